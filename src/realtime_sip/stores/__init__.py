"""What hosts share: who serves a call, what was counted, which contexts were used, and what was noted."""

from __future__ import annotations

from realtime_sip.stores.memory import MemoryStore
from realtime_sip.stores.rules import Claim, Claimed, Outcome, Phase, Store

__all__ = ["Claim", "Claimed", "MemoryStore", "Outcome", "Phase", "Store"]
