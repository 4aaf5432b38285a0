"""How long a call was up with nobody attached to it."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_sip.testing.clock import Clock

__all__ = ["Attendance", "Tally"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was done to a call, as the service counts it: what it carried out, whether or not the reply arrived.

    Attributes:
        accepts: Accepts of the program under test; two of them would be two answers to one caller.
        rejects: Rejects of the program.
        refers: Refers of the program.
        hangups: Hang-ups of the program that ended the call.
        attaches: Sidebands that were opened.
        unattended: The longest time without a sideband while the call was up, in seconds of the emulator's clock: a
            model talks with nobody in charge. Some is usual: attaching takes `Timings.attach`.
        unattended_in_all: All such times together.
    """

    accepts: int = 0
    rejects: int = 0
    refers: int = 0
    hangups: int = 0
    attaches: int = 0
    unattended: float = 0.0
    unattended_in_all: float = 0.0


class Attendance:
    """Counts the time without anybody while a call is up."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alone_since: float | None = None
        self._longest = 0.0
        self._total = 0.0

    @property
    def alone(self) -> bool:
        """Whether the call is up, and nobody is there."""
        return self._alone_since is not None

    @property
    def longest(self) -> float:
        """The longest time in one go, the one that lasts included."""
        return max(self._longest, self._lasting())

    @property
    def total(self) -> float:
        """All times together."""
        return self._total + self._lasting()

    def attended(self, attended: bool) -> None:
        """Record that somebody is there, or that nobody is, while the call is up."""
        if not attended and self._alone_since is None:
            self._alone_since = self._clock.now()
        elif attended:
            self.over()

    def over(self) -> None:
        """Record that the time has ended: somebody came, or the call is over."""
        self._longest, self._total, self._alone_since = self.longest, self.total, None

    def _lasting(self) -> float:
        return 0.0 if self._alone_since is None else self._clock.now() - self._alone_since
