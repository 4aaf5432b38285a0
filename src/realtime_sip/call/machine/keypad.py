"""The keys of a telephone, and the digits that are collected from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from realtime_sip.errors import ConfigurationError

KEYS = frozenset("0123456789*#ABCD")
"""The keys that a telephone can send (RFC 4733 3.2)."""
_MOST_DIGITS = 100
_LONGEST_WAIT = 600.0


class DigitsEnd(Enum):
    """Why collecting digits ended."""

    TERMINATOR = "terminator"
    """The caller pressed the terminator."""
    MAX_DIGITS = "max digits"
    """There are as many digits as were asked for."""
    INTER_DIGIT_TIMEOUT = "inter-digit timeout"
    """The caller stopped pressing keys."""
    TIMEOUT = "timeout"
    """The caller pressed no key."""


@dataclass(frozen=True, slots=True)
class CollectedDigits:
    """What the caller pressed. It is true if there are digits.

    Attributes:
        digits: The keys, without the terminator. `repr` does not show them.
        end: Why collecting ended.
    """

    digits: str = field(repr=False)
    end: DigitsEnd

    def __bool__(self) -> bool:
        """Whether there are digits."""
        return bool(self.digits)


class DigitCollector:
    """Collects the keys of one answer.

    The time for the first key begins when `listen` says that the prompt is over. Keys that are pressed before count.

    Args:
        max_digits: The number of keys that completes the answer, 1 to 100.
        terminator: The key that ends the answer and is not part of it, or None.
        timeout: Seconds for the first key.
        inter_digit_timeout: Seconds from one key to the next.

    Raises:
        ConfigurationError: A number is out of range, or the terminator is not a key.
    """

    def __init__(self, *, max_digits: int, terminator: str | None, timeout: float, inter_digit_timeout: float) -> None:
        if isinstance(max_digits, bool) or not isinstance(max_digits, int) or not 1 <= max_digits <= _MOST_DIGITS:
            raise ConfigurationError(f"max_digits must be 1 to {_MOST_DIGITS}")
        if terminator is not None and not (isinstance(terminator, str) and terminator in KEYS):
            raise ConfigurationError("terminator must be one of 0-9, *, #, A-D, or None")
        for name, seconds in (("timeout", timeout), ("inter_digit_timeout", inter_digit_timeout)):
            if not isinstance(seconds, (int, float)) or not 0 < seconds <= _LONGEST_WAIT:
                raise ConfigurationError(f"{name} must be more than 0 and at most {_LONGEST_WAIT:g} seconds")
        self._max_digits = max_digits
        self._terminator = terminator
        self._timeout = timeout
        self._inter_digit_timeout = inter_digit_timeout
        self._pressed = ""
        self._until: float | None = None
        self.collected: CollectedDigits | None = None
        """The answer, once it is complete."""

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest; None if it waits for nothing."""
        return None if self.collected is not None else self._until

    def listen(self, now: float) -> None:
        """Record that the prompt is over."""
        if self._until is None:
            self._until = now + self._timeout

    def press(self, key: str, now: float) -> bool:
        """Take a key; return whether it is the first. A key that does not exist or comes too late is ignored."""
        self.tick(now)
        key = key.upper()
        if self.collected is not None or key not in KEYS:
            return False
        first = not self._pressed
        self._until = now + self._inter_digit_timeout
        if key == self._terminator:
            self.collected = CollectedDigits(self._pressed, DigitsEnd.TERMINATOR)
            return first
        self._pressed += key
        if len(self._pressed) == self._max_digits:
            self.collected = CollectedDigits(self._pressed, DigitsEnd.MAX_DIGITS)
        return first

    def tick(self, now: float) -> None:
        """Give up waiting for keys that did not come in time."""
        if self.collected is None and self._until is not None and self._until <= now:
            end = DigitsEnd.INTER_DIGIT_TIMEOUT if self._pressed else DigitsEnd.TIMEOUT
            self.collected = CollectedDigits(self._pressed, end)

    def swallows(self, key: str, now: float) -> bool:
        """Whether a key that comes after the answer still belongs to it: the terminator behind `max_digits` keys, once.

        Callers press it out of habit, and it would end the next answer before it begins.
        """
        habit = self.collected is not None and self.collected.end is DigitsEnd.MAX_DIGITS and key == self._terminator
        if not habit or self._until is None or now >= self._until:
            return False
        self._until = None
        return True

    @property
    def grace(self) -> float:
        """Seconds after the answer in which a slow caller still presses keys that were meant for it."""
        return max(self._timeout, self._inter_digit_timeout)


@dataclass(slots=True)
class Digits:
    """What is being collected, and which secret keys are still to be withheld."""

    key: str = ""
    """The name under which the answer is awaited."""
    collector: DigitCollector | None = None
    before: DigitCollector | None = None
    """The collector before it, to which a late terminator belongs."""
    barge_in: bool = False
    secret: bool = False
    grace: float = 0.0
    """Seconds in which keys that follow secret ones are secret too (timer `secret`)."""
