"""Whether a ringing call was decided: kept in the handler's context, so that every way of deciding is seen."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

from realtime_sip.api.operations import Verdict
from realtime_sip.api.transport import on_verdict

if TYPE_CHECKING:
    from realtime_sip.call.call import Call


class Decision:
    """Whether a call was accepted or rejected yet, in whichever way the handler did it.

    Attributes:
        call_id: The call that it is about.
        accepted_before: Whether a program that died had accepted the call, so that it is attached without accepting it.
        maybe_accepted: Whether a program that died had claimed the call, and may have accepted it.
        made: Set once it was accepted or rejected.
        rejected: Whether it was rejected.
        call: The call, once it is being answered.
    """

    def __init__(self, call_id: str, *, accepted_before: bool = False, maybe_accepted: bool = False) -> None:
        self.call_id = call_id
        self.accepted_before = accepted_before
        self.maybe_accepted = maybe_accepted
        self.made = asyncio.Event()
        self.rejected = False
        self.call: Call | None = None
        if accepted_before:
            self.made.set()

    def watch(self) -> None:
        """Be told, from here on in this context, of what is decided and of the call that is being answered."""
        deciding.set(self)
        on_verdict.set(self._decided)

    def _decided(self, verdict: Verdict) -> None:
        if verdict.call_id == self.call_id:
            self.rejected = verdict.rejected
            self.made.set()


deciding: ContextVar[Decision | None] = ContextVar("realtime_sip.deciding", default=None)
"""The decision of the running handler; None outside of a host."""
