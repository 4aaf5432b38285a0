"""What hosts share: who serves a call, what was counted, which contexts were used, and what was noted.

`MemoryStore` is for one process. `RedisStore` (extra `redis`) and `PostgresStore` (extra `postgres`, its table from
`store_sql`) are for all processes and machines that share them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.rules import Beat, Claim, Claimed, Outcome, Phase, Store

if TYPE_CHECKING:
    from realtime_sip.stores.postgres import PostgresStore, store_sql
    from realtime_sip.stores.redis import RedisStore

__all__ = [
    "Beat",
    "Claim",
    "Claimed",
    "MemoryStore",
    "Outcome",
    "Phase",
    "PostgresStore",
    "RedisStore",
    "Store",
    "store_sql",
]

# Imported when they are asked for: not everybody has a server.
_LATER = {"PostgresStore": "postgres", "RedisStore": "redis", "store_sql": "postgres"}

# Not for type checkers, which would believe in every name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return value
