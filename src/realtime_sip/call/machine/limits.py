"""When a call is ended because nobody else ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from realtime_sip import events
from realtime_sip.call.machine.effects import Tell
from realtime_sip.call.machine.ending import end
from realtime_sip.call.machine.inputs import Spent
from realtime_sip.call.machine.sequences import start
from realtime_sip.call.machine.state import CallState, End, Socket, Steps
from realtime_sip.call.machine.wants import busy, respond, withdraw
from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import EndReason, LimitKind, LimitNear

_NEAR = Decimal("0.8")
_BEFORE_THE_WALL = 5.0
"""Seconds that a goodbye before the session's own end has beyond the time that it may take."""


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


# --- what happens -----------------------------------------------------------------------------------------------------


def set_limit(s: CallState, limit: LimitKind, at: float) -> None:
    """Let a limit be reached at this time, and emit `LimitNear` before that."""
    if s.timers.at(f"limit {limit.value}") != at:
        s.timers.set(f"limit {limit.value}", at)
        s.timers.set(f"near {limit.value}", max(at - s.limits.warning, s.now))


def lift(s: CallState, limit: LimitKind) -> None:
    """Let a limit not be reached, as things are now."""
    s.timers.stop(f"limit {limit.value}")
    s.timers.stop(f"near {limit.value}")


def attached(s: CallState, *, first: bool) -> None:
    """Begin to count, or to count anew: nobody knows what was said while the sideband was lost."""
    if first and s.limits.max_duration is not None:
        set_limit(s, LimitKind.DURATION, s.now + s.limits.max_duration)
    listen_anew(s)


def listen_anew(s: CallState) -> None:
    """Count silence anew, and the time without any sound."""
    s.unattended = False
    lift(s, LimitKind.SILENCE)
    if s.limits.first_sound is not None and not s.sounded and s.socket is Socket.OPEN:
        lift(s, LimitKind.FIRST_SOUND)
        set_limit(s, LimitKind.FIRST_SOUND, s.now + s.limits.first_sound)


def rest(s: CallState) -> None:
    """Count neither while the sideband is lost, or the call is transferred."""
    lift(s, LimitKind.SILENCE)
    lift(s, LimitKind.FIRST_SOUND)


def on_sound(s: CallState, event: events.ServerEvent) -> None:
    """Record that somebody was heard, or pressed a key."""
    s.sounded = True
    lift(s, LimitKind.FIRST_SOUND)
    if event.type in ("input_audio_buffer.speech_started", "input_audio_buffer.dtmf_event_received"):
        s.unattended = False
        s.rounds = 0
    if not s.unattended:
        lift(s, LimitKind.SILENCE)  # `rule_limits` counts anew


def on_timeout(s: CallState, _event: events.ServerEvent) -> None:
    """Record that the model is about to ask whether anybody is there. Until the caller answers, it is silence."""
    s.unattended = True


def spent(s: CallState, what: Spent) -> None:
    """Record what the call has cost so far."""
    limits = s.limits
    most_cost = None if limits.max_cost is None else Decimal(str(limits.max_cost))
    for limit, used, likely, most in (
        (LimitKind.COST, what.cost, what.estimate, most_cost),
        (LimitKind.TOKENS, Decimal(what.tokens), Decimal(what.tokens), limits.max_tokens),
    ):
        if most is None or used is None or "limit" in s.sequences:
            continue
        if used >= most:
            if f"limit {limit.value}" not in s.timers:
                s.timers.set(f"limit {limit.value}", s.now)
        elif max(used, likely or used) >= most * _NEAR and limit not in s.near:
            s.near.add(limit)
            s.out.append(Tell(LimitNear(limit, None)))


# --- what time does ---------------------------------------------------------------------------------------------------


def near(s: CallState, name: str) -> None:
    """Emit that a limit is near."""
    at = s.timers.at(f"limit {name}")
    if at is not None and s.end is End.NONE and at > s.now:
        s.out.append(Tell(LimitNear(LimitKind(name), at - s.now)))


def reached(s: CallState, name: str) -> None:
    """End the call, because a limit was reached."""
    if s.end in (End.NONE, End.TRANSFERRING) and s.decided is None and "limit" not in s.sequences:
        s.timers.stop_all("limit ")
        s.timers.stop_all("near ")
        start(s, "limit", _end_at_limit(s, LimitKind(name)))


def _end_at_limit(s: CallState, limit: LimitKind) -> Steps:
    yield lambda: s.end is not End.TRANSFERRING, None
    evidence = f"the limit of {limit.value} was reached"
    words = s.limits.goodbye
    if words is not None and limit is not LimitKind.FIRST_SOUND and s.socket is Socket.OPEN and s.decided is None:
        withdraw(s)
        respond(s, "goodbye_limit", words, despite_hold=True)
        yield lambda: "goodbye_limit" in s.told, s.limits.goodbye_time
    end(s, EndReason.LIMIT, evidence, limit=limit)


def rule_limits(s: CallState) -> bool:
    """Count silence while nothing is going on, and the time to the session's own end."""
    if "limit" in s.sequences or s.decided is not None:
        s.timers.stop_all("limit ")
        s.timers.stop_all("near ")
        return False
    if s.sounded:
        lift(s, LimitKind.FIRST_SOUND)
    if s.line.wall is not None:
        set_limit(s, LimitKind.EXPIRY, s.line.wall - s.limits.goodbye_time - _BEFORE_THE_WALL)
    if s.limits.silence is None:
        return False
    silent = s.socket is Socket.OPEN and s.end is End.NONE and (s.unattended or not busy(s))
    if silent is not ("limit silence" in s.timers):
        if silent:
            set_limit(s, LimitKind.SILENCE, s.now + s.limits.silence)
        else:
            lift(s, LimitKind.SILENCE)
    return False


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "input_audio_buffer.speech_started": on_sound,
    "input_audio_buffer.speech_stopped": on_sound,
    "input_audio_buffer.dtmf_event_received": on_sound,
    "input_audio_buffer.timeout_triggered": on_timeout,
    "output_audio_buffer.started": on_sound,
    "output_audio_buffer.stopped": on_sound,
    "output_audio_buffer.cleared": on_sound,
}
