"""What hosts share: who serves a call, what was counted, and which contexts were used."""

from __future__ import annotations

from realtime_sip.stores.claims import Claim, Claimed, DedupeStore, Outcome
from realtime_sip.stores.counters import TallyStore
from realtime_sip.stores.memory import MemoryStore

__all__ = ["Claim", "Claimed", "DedupeStore", "MemoryStore", "Outcome", "TallyStore"]
