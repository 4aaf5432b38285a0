"""A call whose core takes in what the service says, for what watches it: as the runtime has it, without I/O."""

from __future__ import annotations

from realtime_sip import events
from realtime_sip.call.machine import core, floor, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.state import End
from realtime_sip.call.record.responses import Book
from realtime_sip.session import RealtimeSession

AHEAD = 512.0
"""What the wall clock is ahead of the core's."""
_NO_LIMITS = CallLimits(max_duration=None, silence=None, first_sound=None, tool_rounds=None, no_audio=None)


class Observed:
    """The core, and the time that it is."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self._state = core.start(RealtimeSession(), _NO_LIMITS, now=now, unix=now + AHEAD)
        for what in (inputs.Answer(), inputs.Accepted(), inputs.Attached()):
            core.step(self._state, what, now)

    @property
    def book(self) -> Book:
        return self._state.book

    def take(self, event: events.ServerEvent) -> None:
        core.step(self._state, inputs.Received(event), self.now)
        assert self._state.end is End.NONE

    def wait(self, seconds: float) -> None:
        self.now += seconds
        core.step(self._state, inputs.Tick(), self.now)

    def lose(self) -> None:
        """Lose the sideband, and have it again at once."""
        self.book.gap(self.now)
        floor.attached_again(self._state)
