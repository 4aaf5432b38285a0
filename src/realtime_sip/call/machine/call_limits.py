"""The limits of a call, as the program sets them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from realtime_sip.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """The limits at which a call is ended. None turns a limit off; those of time and of tool rounds are on by default.

    Attributes:
        max_duration: Seconds from attaching. The service's own limit is 60 minutes.
        silence: Seconds in which nobody speaks or presses a key, nothing plays, and no tool or response is under way.
            What the model says after the idle timeout of turn detection does not count, until the caller answers.
        first_sound: Seconds from attaching without any sound from either side. If the sideband was lost, this and
            `silence` begin anew, because nobody knows what was said meanwhile.
        warning: Seconds before a limit (and the service's own) at which `LimitNear` is emitted.
        goodbye: Instructions for the model when a limit is reached; None hangs up without a word.
        goodbye_time: Seconds that the goodbye may take.
        max_cost: US dollars, by the call's rate card. Checked when a response is done, so it is exceeded by one
            response and the goodbye. A model without a price is refused.
        max_tokens: Tokens of all responses together, checked when `max_cost` is.
        tool_rounds: How often in a row the model may call tools and be asked again without a turn of the caller (a key
            counts as one). The last time it is instructed to call no tool and to speak; if it goes on, the call ends.
        no_audio: Turns in which nobody hears anybody: of the caller without a word, in a row, if the session has
            transcription; or of the model if nobody has ever spoken or pressed a key. `LimitNear` comes ten seconds
            before the end.
    """

    max_duration: float | None = 55 * 60.0
    silence: float | None = 60.0
    first_sound: float | None = 20.0
    warning: float = 15.0
    goodbye: str | None = "The call ends now. Say goodbye in one short sentence."
    goodbye_time: float = 15.0
    max_cost: Decimal | float | None = None
    max_tokens: int | None = None
    tool_rounds: int | None = 8
    no_audio: int | None = 3

    def __post_init__(self) -> None:
        """Refuse values that are not valid.

        Raises:
            ConfigurationError: A value is not a positive number of seconds.
        """
        for name in ("max_duration", "silence", "first_sound", "warning", "goodbye_time"):
            value = getattr(self, name)
            optional = name in ("max_duration", "silence", "first_sound")
            if not (value is None and optional) and not (isinstance(value, (int, float)) and 0 < value < 1e7):
                raise ConfigurationError(f"{name} must be a positive number of seconds{' or None' if optional else ''}")
        for name, kinds in (
            ("max_cost", (int, float, Decimal)),
            *((name, (int,)) for name in ("max_tokens", "tool_rounds", "no_audio")),
        ):
            value = getattr(self, name)
            # A Decimal NaN cannot be compared.
            number = isinstance(value, kinds) and (not isinstance(value, Decimal) or value.is_finite())
            if value is not None and not (number and 0 < value < 1e12):
                raise ConfigurationError(f"{name} must be a positive number or None")
