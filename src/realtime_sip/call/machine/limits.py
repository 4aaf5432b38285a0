"""When a call is ended by itself, because nobody else does."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import LimitKind

__all__ = ["CallLimits", "LimitNear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """When a call is ended by itself. None turns a limit off; all are on by default.

    Attributes:
        max_duration: Seconds from attaching. The service's own wall is at 60 minutes.
        silence: Seconds in which nobody speaks or presses a key, nothing plays, and no tool or response is under way.
            What the model says after the idle timeout of turn detection does not count, until the caller answers.
        first_sound: Seconds from attaching without any sound from either side. Where the sideband was lost, this and
            `silence` begin anew, for nobody knows what was said meanwhile.
        warning: Seconds before a limit (and the service's wall) at which `LimitNear` is told.
        goodbye: What the model is told to do when a limit is reached; None hangs up without a word.
        goodbye_time: Seconds that the goodbye may take.
        max_cost: US dollars, by the call's rate card. Looked at when a response is done, so that it is exceeded by one
            response and the goodbye. A model without a price is refused.
        max_tokens: Tokens of all responses together, looked at as `max_cost` is.
    """

    max_duration: float | None = 55 * 60.0
    silence: float | None = 60.0
    first_sound: float | None = 20.0
    warning: float = 15.0
    goodbye: str | None = "The call ends now. Say goodbye in one short sentence."
    goodbye_time: float = 15.0
    max_cost: Decimal | float | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no duration.

        Raises:
            ConfigurationError: A value is not a positive number of seconds.
        """
        for name in ("max_duration", "silence", "first_sound", "warning", "goodbye_time"):
            value = getattr(self, name)
            optional = name in ("max_duration", "silence", "first_sound")
            if not (value is None and optional) and not (isinstance(value, (int, float)) and 0 < value < 1e7):
                raise ConfigurationError(f"{name} must be a positive number of seconds{' or None' if optional else ''}")
        for name, kinds in (("max_cost", (int, float, Decimal)), ("max_tokens", (int,))):
            value = getattr(self, name)
            # Not a number of Decimal compares with nothing.
            number = isinstance(value, kinds) and (not isinstance(value, Decimal) or value.is_finite())
            if value is not None and not (number and 0 < value < 1e12):
                raise ConfigurationError(f"{name} must be a positive number or None")


@dataclass(frozen=True, slots=True)
class LimitNear:
    """A limit will be reached in `seconds`, unless something changes. Told once for each approach.

    `seconds` is None for cost and tokens, which are told at 80 % of the limit, the response under way estimated.
    """

    type: ClassVar[str] = "call.limit_near"
    limit: LimitKind
    seconds: float | None
