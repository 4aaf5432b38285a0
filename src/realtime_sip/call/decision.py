"""What a host and its call know of each other, kept in the handler's context.

It says whether the call was decided, in whichever way, whether anybody is there, and which transfer was asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

from realtime_sip.api.operations import Verdict
from realtime_sip.api.transport import on_verdict

if TYPE_CHECKING:
    from realtime_sip.call.call import Call
    from realtime_sip.call.machine.targets import TransferRequest
    from realtime_sip.call.machine.ticket import Ticket
    from realtime_sip.outcomes import Adopted, CallAnswered

_log = logging.getLogger("realtime_sip.call")

NOTE = 1.0
"""Seconds that a store may take to note a transfer."""


class Decision:
    """What is known of one call, between its host and its handler.

    Attributes:
        call_id: The call that it is about.
        accepted_before: Whether another worker had accepted the call, so that it is attached without accepting it.
        maybe_accepted: Whether a worker that died had claimed the call, and may have accepted it.
        ticket: What that worker knew of the call, or None.
        adopted: What the program learns of it.
        route: The name of the handler that has the call, if a router chose it.
        state: The name of the state of `Stages` that the call is in.
        made: Set once it was accepted or rejected.
        rejected: Whether it was rejected.
        lost: Whether another worker has taken the call over, so that it is not answered here any more.
        caller_left: Whether the carrier reported, before anybody answered, that the caller's own call is over.
        answered: Who answered a call that was placed, if the carrier reported that before the call was answered here.
        call: The call, once it is being answered.
        transfer: The last transfer that was asked of the carrier.
        note_transfer: Notes a transfer where other workers can read it.
        changed: Called if what another worker would need has changed.
        saved: Waits until that is where other workers can read it, but not for long. Returns whether none of them has
            the call.
        ours: Returns whether no other worker has the call, as far as is known.
        cut_off: Returns whether the store that workers share was not reached for so long that one may have the call.
    """

    def __init__(
        self,
        call_id: str,
        *,
        accepted_before: bool = False,
        maybe_accepted: bool = False,
        ticket: Ticket | None = None,
        route: str | None = None,
        state: str | None = None,
    ) -> None:
        self.call_id = call_id
        self.accepted_before = accepted_before
        self.maybe_accepted = maybe_accepted
        self.made = asyncio.Event()
        self.ticket = ticket
        self.route = route
        self.state = state
        self.adopted: Adopted | None = None
        self.rejected = False
        self.lost = False
        self.caller_left = False
        self.answered: CallAnswered | None = None
        self.call: Call | None = None
        self.transfer: TransferRequest | None = None
        self.note_transfer: Callable[[TransferRequest], Awaitable[None]] | None = None
        self.changed: Callable[[], None] | None = None
        self.saved: Callable[[], Awaitable[bool]] | None = None
        self.ours: Callable[[], Awaitable[bool]] | None = None
        self.cut_off: Callable[[], bool] = _never
        if accepted_before:
            self.made.set()

    def watch(self) -> None:
        """Be told, from here on in this context, of what is decided and of the call that is being answered."""
        deciding.set(self)
        on_verdict.set(self._decided)

    async def transferring(self, request: TransferRequest) -> None:
        """Note a transfer before the carrier can ask about it. It does not wait for long."""
        self.transfer = request
        if self.note_transfer is None:
            return
        try:
            async with asyncio.timeout(NOTE):
                await self.note_transfer(request)
        except Exception as error:  # noqa: BLE001 - the caller is not kept from a person by a store that fails
            _log.warning("call %s: the transfer was not noted: %s", self.call_id, type(error).__name__)

    def _decided(self, verdict: Verdict) -> None:
        if verdict.call_id == self.call_id:
            self.rejected = verdict.rejected
            self.made.set()


deciding: ContextVar[Decision | None] = ContextVar("realtime_sip.deciding", default=None)
"""The decision of the running handler; None outside of a host."""


def _never() -> bool:
    return False
