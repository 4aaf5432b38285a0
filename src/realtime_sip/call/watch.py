"""Who only watches a call, from outside of it: it sees all that happens, and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from realtime_sip.call.machine.effects import Effect
from realtime_sip.call.machine.inputs import Input
from realtime_sip.call.record.meter import Meter
from realtime_sip.session import RealtimeSession


class Watch(Protocol):
    """Watches one call. What it is called with is not to be changed, and it raises nothing."""

    call_id: str

    def began(self, session: RealtimeSession, meter: Meter, unix_ahead: float) -> None:
        """See that the call is being answered.

        Args:
            session: What it is accepted with.
            meter: Has what the call has used, each event counted before `saw` sees it.
            unix_ahead: Seconds by which the wall clock is ahead of the clock of `saw`.
        """
        ...

    def saw(self, what: Input, decided: Sequence[Effect], now: float) -> None:
        """See what happened, and what was decided, before that is carried out."""
        ...

    def running(self, call_id: str) -> AbstractContextManager[None]:
        """Return what is entered around a tool, in its task."""
        ...


watching: ContextVar[Watch | None] = ContextVar("realtime_sip.watching", default=None)
"""Who watches the call that is answered in this context."""
