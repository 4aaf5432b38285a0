"""Digits that the caller presses, collected until they are complete. SIP only.

Meanwhile the service starts no responses by itself, and of ours only the prompt does not wait.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_sip import events
from realtime_sip.call.machine import session
from realtime_sip.call.machine.effects import Done
from realtime_sip.call.machine.inputs import Collect
from realtime_sip.call.machine.sequences import start
from realtime_sip.call.machine.state import CallState, End, Steps
from realtime_sip.call.machine.wants import interrupt, respond
from realtime_sip.call.record.frame import text
from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import Heard


def collect(s: CallState, what: Collect) -> None:
    """Collect digits, one answer at a time."""
    digits = s.digits
    if digits.collector is not None:
        s.out.append(Done(what.key, ConfigurationError("digits are being collected already")))
        return
    digits.key = what.key
    digits.collector, digits.barge_in, digits.secret = what.collector, what.barge_in, what.secret
    session.hold(s, "digits")
    start(s, "digits", _collect(s, what))


def _collect(s: CallState, what: Collect) -> Steps:
    digits, collector, key = s.digits, what.collector, f"prompt_{what.key}"
    try:
        # The model is quiet during a transfer, and the caller hears the target ring.
        yield lambda: s.end is not End.TRANSFERRING, None
        if what.prompt is not None:
            respond(s, key, what.prompt, despite_hold=True)
            yield lambda: key in s.told or collector.collected is not None, None
            if s.told.get(key) is Heard.ENTIRELY:
                s.timers.stop("secret")  # keys from now on answer this prompt
        collector.listen(s.now)
        yield lambda: collector.collected is not None, None
    finally:
        if what.secret:
            digits.grace = collector.grace
            s.timers.set("secret", s.now + digits.grace)
        digits.collector, digits.before, digits.secret = None, collector, False
        s.timers.stop("digits")
        session.release(s, "digits")
    s.out.append(Done(what.key, collector.collected))


def on_key(s: CallState, event: events.ServerEvent) -> None:
    """Take a key."""
    digits = s.digits
    s.withheld = digits.secret or "secret" in s.timers
    if s.withheld and not digits.secret:
        s.timers.set("secret", s.now + digits.grace)
    key, collector = text(event, "event").strip(), digits.collector
    if collector is None or (digits.before is not None and digits.before.swallows(key, s.now)):
        return
    if collector.press(key, s.now) and digits.barge_in:
        interrupt(s)


def late(s: CallState) -> None:
    """Wait no longer for the next key."""
    if s.digits.collector is not None:
        s.digits.collector.tick(s.now)


def rule_digits(s: CallState) -> bool:
    """Wait for the next key for as long as its collector says."""
    collector = s.digits.collector
    if collector is None or collector.deadline is None:
        s.timers.stop("digits")
    else:
        s.timers.set("digits", collector.deadline)
    return False


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "input_audio_buffer.dtmf_event_received": on_key,
}
