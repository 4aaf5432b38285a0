"""The session of a call: which updates the service accepted, and turn detection that is held for a while.

`session.updated` does not say which `session.update` it answers (API reference, November 2026), but each is answered
once, in order, by it or by an `error` that names the event. If an answer is lost, the next report of the session shows
what happened; a late answer is not taken for that of the next update.

While digits are collected, or the call is transferred or hung up, the service must not answer the caller by itself.
A field of the session's turn detection, `create_response`, prevents it. It has to come back, even if a socket was lost,
an update was refused, or its answer never came. Whether `session.update` merges turn detection or replaces it is not
documented, so all of it is sent, as the service reported it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from realtime_sip import events
from realtime_sip.call.machine.effects import Done, Send
from realtime_sip.call.machine.inputs import SendEvent, Update
from realtime_sip.call.machine.refusals import is_hopeless, of_event
from realtime_sip.call.machine.state import CallState, End, Hold, Socket, answered, ask, send
from realtime_sip.call.machine.tools import put
from realtime_sip.call.record.frame import get, has, plain, text
from realtime_sip.errors import DeadlineError, EventRefusedError
from realtime_sip.items import SystemMessage
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, SemanticVad, ServerVad

PROOF_OF_LIFE = 5.0
"""Seconds for a sign of life, after it was asked for."""
UPDATED = 10.0
"""Seconds for the service to answer a `session.update`."""
_AGAIN = 5.0
"""Seconds after which a hold that was not confirmed is sent again."""
_MAX_TRIES = 12
_MAX_UNANSWERED = 100
_LONGEST_SESSION = 86_400.0
"""Seconds; an `expires_at` beyond that is not valid. A session lasts 60 minutes (API guide, November 2026)."""
_MODELS: dict[object, type[ServerVad | SemanticVad]] = {"server_vad": ServerVad, "semantic_vad": SemanticVad}

_Detection = dict[str, Any] | None


def tell(s: CallState, words: str, *, tool: str = "") -> None:
    """Tell the model something, as an item of the conversation; `tool` is the call whose output it brings."""
    put(s, SystemMessage.text(words).model_copy(update={"id": f"item_{secrets.token_hex(10)}"}), tool=tool)


# --- updates ----------------------------------------------------------------------------------------------------------


def _note(s: CallState, update: events.SessionUpdate) -> None:
    assert update.event_id is not None
    s.session.updates[update.event_id] = update
    while len(s.session.updates) > _MAX_UNANSWERED:
        s.session.updates.popitem(last=False)


def _send(s: CallState, session: RealtimeSession, event_id: str) -> None:
    update = events.SessionUpdate(event_id=event_id, session=session)
    _note(s, update)
    send(s, update)


def probe(s: CallState) -> None:
    """Ask the service for a sign of life; if none comes, the socket is dropped (timer `proof`)."""
    if s.socket is Socket.OPEN:
        s.timers.set("proof", s.now + PROOF_OF_LIFE)
        _send(s, RealtimeSession(), f"probe_{secrets.token_hex(8)}")


def send_event(s: CallState, what: SendEvent) -> None:
    """Send an event of the program."""
    event = what.event
    if isinstance(event, events.SessionUpdate):
        if event.event_id is None:
            event = event.model_copy(update={"event_id": f"update_{secrets.token_hex(8)}"})
        if s.socket is Socket.OPEN:
            _note(s, event)
    if s.socket is Socket.OPEN:
        s.out.append(Send(event, what.key))


def update(s: CallState, what: Update) -> None:
    """Change the session, over as many sidebands as it takes."""
    event = events.SessionUpdate(event_id=what.key, session=what.session)
    if s.socket is Socket.OPEN:
        _note(s, event)
    ask(s, f"update {what.key}", event, UPDATED)


def late(s: CallState, name: str) -> None:
    """Give up waiting for the answer to an update. The session may have changed."""
    answered(s, name)
    error = DeadlineError(f"session.update: not answered within {UPDATED:g} s", sent=True)
    s.out.append(Done(name.partition(" ")[2], error))


def _taken(s: CallState, event_id: str, error: EventRefusedError | None = None) -> None:
    asked = answered(s, f"update {event_id}")
    if asked is None:
        return
    s.out.append(Done(event_id, error))
    if error is None and isinstance(asked.event, events.SessionUpdate):
        heard = get(asked.event.session, "audio", "input")
        if heard is not None and "turn_detection" in heard.model_fields_set:
            s.hold.reasons.discard("greeting")  # the program sets turn detection itself
            s.hold.off = False


def refused(s: CallState, error: object, cause: str) -> bool:
    """Record that the service refused an event; return whether it was an update."""
    updates = s.session.updates
    if not cause or cause not in updates:
        return False
    # Answers come in order: for earlier updates that the session has shown already, no answer will come.
    earlier = list(updates)[: list(updates).index(cause)]
    update = updates[cause]
    for over in (*(name for name in earlier if updates[name] is None), cause):
        del updates[over]
    asked = update is not None and f"update {cause}" in s.asks
    if cause == s.hold.update and is_hopeless(error):
        s.hold.tries = _MAX_TRIES
    if not asked:
        of_event(s, error, again=cause == s.hold.update and s.hold.tries < _MAX_TRIES)
    if update is not None:
        code, param = get(error, "code"), get(error, "param")
        _taken(
            s,
            cause,
            EventRefusedError(
                "session.update",
                code=code if isinstance(code, str) else None,
                param=param if isinstance(param, str) else None,
            ),
        )
    if cause == s.hold.update:
        s.hold.update = ""
        if s.hold.asked != hold_wanted(s.hold):
            s.timers.stop("hold")
        elif "hold" in s.timers:
            s.timers.set("hold", s.now + _AGAIN)
    return True


def on_updated(s: CallState, event: events.ServerEvent) -> None:
    shown, updates = get(event, "session"), s.session.updates
    if updates:
        first, answered_update = updates.popitem(last=False)
        if answered_update is not None:
            _taken(s, first)
        if updates:
            whole = plain(shown)
            for event_id, later in updates.items():
                wanted = {} if later is None else later.to_wire()["session"]
                if len(wanted) > 1 and _shows(whole, wanted):
                    updates[event_id] = None
                    _taken(s, event_id)
    on_session(s, event)


def on_session(s: CallState, event: events.ServerEvent) -> None:
    """Record the session as it is reported."""
    shown = get(event, "session")
    instructions, wall = get(shown, "instructions"), get(shown, "expires_at")
    if isinstance(instructions, str):
        s.session.instructions = instructions
    if isinstance(wall, int):
        _expires(s, wall)
    if has(shown, "tool_choice"):
        s.session.forces_tools = forces_tools(get(shown, "tool_choice"))
    modalities = get(shown, "output_modalities")
    if isinstance(modalities, list):
        s.session.speaks = "audio" in modalities
    heard = get(shown, "audio", "input")
    if has(heard, "transcription"):
        s.session.transcribes = get(heard, "transcription") is not None
    if has(heard, "turn_detection"):
        detection = plain(get(heard, "turn_detection"))
        s.service_responds = isinstance(detection, dict) and detection.get("create_response") is not False
        reported(s, detection)


def transcribes(session: RealtimeSession) -> bool:
    """Whether the session has the caller's words written down."""
    return get(session, "audio", "input", "transcription") is not None


def forces_tools(choice: object) -> bool:
    """Whether this `tool_choice` makes every response call a tool. What is neither a word nor a tool makes none."""
    return choice not in ("auto", "none") if isinstance(choice, str) else bool(text(choice, "type"))


def _expires(s: CallState, unix: float) -> None:
    """Record when the session ends by itself. A time that cannot be true is ignored."""
    started = s.line.began + s.line.unix_ahead
    if started < unix < started + _LONGEST_SESSION:
        s.line.wall = unix - s.line.unix_ahead


def closed(s: CallState) -> None:
    """Expect no answers to what was sent over the sideband that was lost."""
    s.session.updates.clear()
    s.hold.tries, s.hold.update = 0, ""
    s.timers.stop("hold")


def attached_again(s: CallState) -> None:
    """Expect the answers to what is sent again, after the answer to the first sign of life.

    Holding and releasing goes first: it is made of the turn detection from before the program's own updates.
    """
    rule_hold(s)
    for name, asked in s.asks.items():
        if name.startswith("update ") and isinstance(asked.event, events.SessionUpdate):
            _note(s, asked.event)


def _shows(shown: Any, wanted: Any) -> bool:
    """Return whether what is shown has everything that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(_shows(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(shown, list) and len(shown) == len(wanted) and all(map(_shows, shown, wanted))
    return bool(shown == wanted)


# --- a hold -----------------------------------------------------------------------------------------------------------


def hold(s: CallState, reason: str) -> None:
    """Let only us start responses, and let wanted ones wait; but not on a call that is let go of."""
    if "let go" in s.sequences:
        return
    s.hold.reasons.add(reason)
    _hold_changed(s)


def release(s: CallState, reason: str) -> None:
    """Go on as before the hold."""
    s.hold.reasons.discard(reason)
    _hold_changed(s)


def _hold_changed(s: CallState) -> None:
    if not as_wanted(s.hold):
        s.hold.tries = 0
        if not s.hold.update:
            s.timers.stop("hold")  # an update that waits for its next try is tried now


def hold_wanted(held: Hold) -> bool:
    """Whether to send turn detection as we change it. One of an unknown kind cannot be sent."""
    if held.off:
        return bool(held.reasons)
    return bool(held.reasons) and _starts_responses(held.own) and _is_known(held.own)


def as_wanted(held: Hold) -> bool:
    """Whether the service has the turn detection that we want, as far as is known."""
    # A hold stays until it ends, even if the program turned its turn detection off meanwhile.
    return held.there == hold_wanted(held) or (bool(held.reasons) and held.there is True)


def reported(s: CallState, detection: object) -> None:
    """Take in the turn detection that the service reports, None if it is off."""
    held = s.hold
    if detection is not None and not isinstance(detection, dict):
        return
    as_held = detection is None if held.off else _creates(detection) is False
    if held.there is not None:
        if not (held.there and as_held):
            held.own, held.there, held.off = detection, False, False
    elif as_held if held.asked else _matches(detection, held.sent):
        held.update = ""
        s.timers.stop("hold")
        if held.asked:
            held.there = True
        elif _wire(_written(held.own, held=False)) == held.sent:
            held.own, held.there, held.off = detection, False, False
    elif not as_held and _is_known(detection):
        # The program's own, from before ours was sent: it is what comes back.
        held.own = detection


def rule_hold(s: CallState) -> bool:
    """Send the wanted turn detection until the service shows it. One such update is under way at a time."""
    held = s.hold
    if s.socket is not Socket.OPEN or "hold" in s.timers or as_wanted(held) or held.tries >= _MAX_TRIES:
        return False
    if s.end is End.ENDING and "ending" not in held.reasons:
        return False
    held.tries += 1
    held.asked, held.there = hold_wanted(held), None
    held.update = f"hold_{secrets.token_hex(8)}"
    detection = None if held.asked and held.off else _written(held.own, held=held.asked)
    held.sent = _wire(detection)
    s.timers.set("hold", s.now + _AGAIN)
    _send(s, RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=detection))), held.update)
    return True


def detection_of(session: RealtimeSession) -> dict[str, Any] | None:
    """Return the turn detection that the session asks for, as the wire has it; the service's default is server VAD."""
    heard = session.audio.input if session.audio is not None else None
    if heard is None or "turn_detection" not in heard.model_fields_set:
        return {"type": "server_vad"}
    return None if heard.turn_detection is None else heard.turn_detection.to_wire()


def _creates(detection: _Detection) -> bool | None:
    """Return the effective `create_response`, or None if turn detection is off."""
    return None if detection is None else detection.get("create_response") is not False


def _matches(detection: _Detection, sent: _Detection) -> bool:
    if detection is None or sent is None:
        return detection is sent
    return all(detection.get(name) == value for name, value in sent.items())


def _starts_responses(detection: _Detection) -> bool:
    # After the idle timeout the model asks whether anybody is there, which is a response too.
    return detection is not None and (_creates(detection) is True or bool(detection.get("idle_timeout_ms")))


def _is_known(detection: _Detection) -> bool:
    kind = (detection or {}).get("type", "server_vad")
    return isinstance(kind, str) and kind in _MODELS


def _written(detection: _Detection, *, held: bool) -> ServerVad | SemanticVad | None:
    """Return turn detection to be sent: without unknown fields and odd values, and held if it is to be."""
    if detection is None:
        return None
    model = _MODELS[detection.get("type", "server_vad")]
    names = model.model_fields.keys() - {"extra_fields"}
    kept = {name: value for name, value in detection.items() if name in names and value is not None}
    kept["create_response"] = _creates(detection)
    try:
        model.model_validate(kept)
    except ValidationError as error:
        odd = {problem["loc"][0] for problem in error.errors()}
        kept = {name: value for name, value in kept.items() if name not in odd}
    if "idle_timeout_ms" in names:
        kept["idle_timeout_ms"] = None if held else kept.get("idle_timeout_ms")  # left out, it may stay as it is
    if held:
        kept["create_response"] = False
    return model.model_validate(kept)


def _wire(detection: ServerVad | SemanticVad | None) -> _Detection:
    return None if detection is None else detection.to_wire()


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "session.created": on_session,
    "session.updated": on_updated,
}
