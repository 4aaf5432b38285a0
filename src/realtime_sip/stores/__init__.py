"""What hosts share: who serves a call, what was counted, and which contexts were used."""

from __future__ import annotations

from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.rules import Claim, Claimed, Outcome, Phase, Store

__all__ = ["Claim", "Claimed", "MemoryStore", "Outcome", "Phase", "Store"]
