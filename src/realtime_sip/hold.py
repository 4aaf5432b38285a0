"""Turn detection that starts no responses for a while, and does so again whatever happens; decided without I/O.

While digits are collected or the call is transferred, the service must not answer the caller by itself. That is a field
of the session's turn detection, `create_response`, which has to come back: also where a socket was lost, an update was
refused, or its answer never came. Whether `session.update` merges turn detection or replaces it is not documented, so
the whole of it is sent, as the service has reported it.
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


class Hold:
    """Whether the service starts responses by itself, as we want it and as it is.

    Args:
        detection: The session's turn detection as it was accepted, until the service reports it: an object of the wire,
            or None where it is off.
    """

    def __init__(self, detection: dict[str, Any] | None) -> None:
        self._own = detection
        self._reasons: set[str] = set()
        self._altered = False  # the service has, or may have, what we sent
        self._confirmed = True
        self._update = ""  # the id of the event that was sent last
        self._tries = 0
        self._next_try: float | None = None

    @property
    def on(self) -> bool:
        """Whether responses are held."""
        return bool(self._reasons)

    def begin(self, reason: str, now: float) -> list[events.SessionUpdate]:
        """Hold for this reason. Returns what to send."""
        if reason in self._reasons:
            return []
        self._reasons.add(reason)
        return self._changed(now) if len(self._reasons) == 1 else []

    def end(self, reason: str, now: float) -> list[events.SessionUpdate]:
        """Hold for this reason no more. Returns what to send."""
        if reason not in self._reasons:
            return []
        self._reasons.discard(reason)
        return [] if self._reasons else self._changed(now)

    def reported(self, detection: object) -> None:
        """Take in the turn detection that the service reports, None for none."""
        shown = detection if isinstance(detection, dict) else None
        quiet = shown is None or shown.get("create_response") is False
        if not self._altered:
            self._own = shown
        elif quiet == self.on:
            # Reports of before come too; what they show is not what was asked for.
            self._confirmed, self._next_try = True, None
            self._altered = self.on

    def refused(self, event_id: str, now: float) -> bool:
        """Note that the service has refused an event; return whether it was ours. It is sent again."""
        if not event_id or event_id != self._update or self._confirmed:
            return False
        self._next_try = now + _AGAIN
        return True

    def attached_again(self, now: float) -> list[events.SessionUpdate]:
        """Note that the sideband was lost and is back: what was not confirmed may never have arrived."""
        self._tries = 0
        return [] if self._confirmed else self._send(now)

    @property
    def deadline(self) -> float | None:
        """When `tick` must be called at the latest; None where nothing is waited for."""
        return self._next_try

    def tick(self, now: float) -> list[events.SessionUpdate]:
        """Send again what was not confirmed."""
        return self._send(now) if self._next_try is not None and self._next_try <= now else []

    def _changed(self, now: float) -> list[events.SessionUpdate]:
        if not self._altered and (self._own is None or self._own.get("create_response") is False):
            return []  # the service starts none anyway
        self._tries = 0
        return self._send(now)

    def _send(self, now: float) -> list[events.SessionUpdate]:
        detection = self._wanted()
        self._tries += 1
        self._next_try = now + _AGAIN if self._tries < _MOST_TRIES else None
        if detection is None:
            self._confirmed, self._next_try = True, None
            return []
        self._altered, self._confirmed = True, False
        self._update = f"hold_{secrets.token_hex(8)}"
        session = RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=detection)))
        return [events.SessionUpdate(event_id=self._update, session=session)]

    def _wanted(self) -> ServerVad | SemanticVad | None:
        """Return the turn detection as it is to be; None where it is of a kind that cannot be written here."""
        own = self._own or {}
        model = _MODELS.get(own.get("type", "server_vad"))
        if model is None:
            return None
        kept = {name: value for name, value in own.items() if value is not None and name in model.model_fields}
        kept["create_response"] = False if self.on else kept.get("create_response", True)
        if self.on and "idle_timeout_ms" in kept:
            kept["idle_timeout_ms"] = None  # it would have the model ask whether anybody is there
        try:
            return model.model_validate(kept)
        except ValidationError:
            return model(create_response=bool(kept["create_response"]))
