"""When a call is ended because nobody else ends it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from realtime_sip import events
from realtime_sip.call.machine.effects import Tell
from realtime_sip.call.machine.ending import end
from realtime_sip.call.machine.inputs import Spent
from realtime_sip.call.machine.sequences import start
from realtime_sip.call.machine.state import CallState, End, Socket, Steps
from realtime_sip.call.machine.wants import busy, respond, withdraw
from realtime_sip.outcomes import EndReason, LimitKind, LimitNear

_NEAR = Decimal("0.8")
_BEFORE_THE_WALL = 5.0
"""Seconds that a goodbye before the session's own end has beyond the time that it may take."""


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
