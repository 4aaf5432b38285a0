"""Turn detection that starts no responses for a while, and does so again whatever happens; decided without I/O.

While digits are collected or the call is transferred, the service must not answer the caller by itself. That is a field
of the session's turn detection, `create_response`, which has to come back: also where a socket was lost, an update was
refused, or its answer never came. Whether `session.update` merges turn detection or replaces it is not documented, so
the whole of it is sent, as the service has reported it.

`session.updated` does not name what it answers. So one update is under way at a time, and the next waits for its answer
or for the end of the time that it has: what is reported meanwhile, and is not what was asked for, is of before.
"""

from __future__ import annotations

import secrets
from typing import Any

from pydantic import ValidationError

from realtime_sip import events
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, SemanticVad, ServerVad

__all__ = ["Hold"]

_AGAIN = 5.0
"""Seconds after which an update that was not confirmed is sent again."""
_MOST_TRIES = 12
_MODELS: dict[object, type[ServerVad | SemanticVad]] = {"server_vad": ServerVad, "semantic_vad": SemanticVad}

_Detection = dict[str, Any] | None


class Hold:
    """Whether the service starts responses by itself, as we want it and as it is.

    Args:
        detection: The session's turn detection as it was accepted, until the service reports it: an object of the wire,
            or None where it is off.
    """

    def __init__(self, detection: dict[str, Any] | None) -> None:
        self._own: _Detection = detection
        self._reasons: set[str] = set()
        self._there: bool | None = False
        """Whether the service has what we made of its turn detection, rather than `_own`; None for unknown."""
        self._asked = False  # what the update that was sent last asks for, as `_there` has it
        self._sent: _Detection = None
        self._update = ""  # its event's id, until it is answered
        self._tries = 0
        self._next_try: float | None = None

    @property
    def on(self) -> bool:
        """Whether responses are held."""
        return bool(self._reasons)

    def begin(self, reason: str, now: float) -> list[events.SessionUpdate]:
        """Hold for this reason. Returns what to send."""
        self._reasons.add(reason)
        return self._changed(now)

    def end(self, reason: str, now: float) -> list[events.SessionUpdate]:
        """Hold for this reason no more. Returns what to send."""
        self._reasons.discard(reason)
        return self._changed(now)

    def reported(self, detection: object, now: float) -> None:
        """Take in the turn detection that the service reports, None for none. What follows is due for `tick`."""
        if detection is not None and not isinstance(detection, dict):
            return
        as_held = _creates(detection) is False
        if self._there is not None:
            if not (self._there and as_held):
                self._own, self._there = detection, False
        elif as_held if self._asked else _shows(detection, self._sent):
            self._update, self._next_try = "", None
            if self._asked:
                self._there = True
            elif _wire(_written(self._own, held=False)) == self._sent:
                self._own, self._there = detection, False
        elif not as_held and _is_known(detection):
            # The program's own, of before what was sent: it is what comes back.
            self._own = detection
        if self._next_try is None and not self._is_as_wanted and self._tries < _MOST_TRIES:
            self._next_try = now

    def refused(self, event_id: str, now: float) -> bool:
        """Note that the service has refused an event; return whether it was ours. It is sent again."""
        if not event_id or event_id != self._update:
            return False
        self._update = ""
        if self._next_try is not None:
            self._next_try = now if self._asked != self._wanted else now + _AGAIN
        return True

    def attached_again(self, now: float) -> list[events.SessionUpdate]:
        """Note that the sideband was lost and is back: what was not confirmed may never have arrived."""
        self._tries = 0
        return [] if self._is_as_wanted else self._send(now)

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest; None where nothing is waited for."""
        return self._next_try

    def tick(self, now: float) -> list[events.SessionUpdate]:
        """Send again what was not confirmed, and what had to wait."""
        return self._send(now) if self._next_try is not None and self._next_try <= now else []

    @property
    def _is_as_wanted(self) -> bool:
        # What is held stays so during a hold, also where the program has turned its own off meanwhile.
        return self._there == self._wanted or (self.on and self._there is True)

    @property
    def _wanted(self) -> bool:
        """Whether the service is to have what we make of its turn detection. One of an unknown kind cannot be sent."""
        return self.on and _starts_responses(self._own) and _is_known(self._own)

    def _changed(self, now: float) -> list[events.SessionUpdate]:
        if self._is_as_wanted:
            return []
        self._tries = 0
        return [] if self._update and self._next_try is not None else self._send(now)

    def _send(self, now: float) -> list[events.SessionUpdate]:
        self._tries += 1
        self._next_try = now + _AGAIN if self._tries < _MOST_TRIES else None
        self._asked, self._there = self._wanted, None
        self._update = f"hold_{secrets.token_hex(8)}"
        detection = _written(self._own, held=self._asked)
        self._sent = _wire(detection)
        session = RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=detection)))
        return [events.SessionUpdate(event_id=self._update, session=session)]


def _creates(detection: _Detection) -> bool | None:
    """Return what `create_response` comes to, None where turn detection is off."""
    return None if detection is None else detection.get("create_response") is not False


def _shows(detection: _Detection, sent: _Detection) -> bool:
    if detection is None or sent is None:
        return detection is sent
    return all(detection.get(name) == value for name, value in sent.items())


def _starts_responses(detection: _Detection) -> bool:
    # After the idle timeout the model asks whether anybody is there, so that is a response too.
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
