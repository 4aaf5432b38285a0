"""The WebSocket's protocol without its I/O: frames to events, events to frames, and what a close means.

A shell of a few lines pumps a socket through it: every frame that arrives goes to `receive`, every event to send
through `encode`, and the close, however it came, to `closed`.
"""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from typing import Any
from urllib.parse import urlencode

from realtime_sip import beta, events
from realtime_sip._redaction import redact
from realtime_sip.api.operations import Operation, Repeat, checked_call_id, json_body, nothing
from realtime_sip.errors import ConfigurationError, InvalidRequestError, RealtimeSipError
from realtime_sip.outcomes import SocketClose, SocketCloseKind

_log = logging.getLogger("realtime_sip.protocol")

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""A larger frame is skipped; the largest that the service is known to send, a whole response, is far below."""

MAX_SENT_BYTES = events.MAX_APPENDED_AUDIO * 4 // 3 + 64 * 1024
"""The largest frame to send: as much audio as one `input_audio_buffer.append` may hold, in base64, and its envelope."""

_LARGE = 64 * 1024
_MAX_PARTS = 20_000
"""Objects and lists in a frame. A list of a million empty ones would hold the event loop for seconds."""
_REMEMBERED = 256
_MAX_CLOSE_REASON = 123


_KINDS = {
    1000: SocketCloseKind.NORMAL,
    1001: SocketCloseKind.GOING_AWAY,
    1002: SocketCloseKind.REFUSED,
    1003: SocketCloseKind.REFUSED,
    1005: SocketCloseKind.NORMAL,
    1006: SocketCloseKind.DROPPED,
    1007: SocketCloseKind.REFUSED,
    1008: SocketCloseKind.REFUSED,
    1009: SocketCloseKind.REFUSED,
    1010: SocketCloseKind.REFUSED,
    1011: SocketCloseKind.FAILED,
    1012: SocketCloseKind.GOING_AWAY,
    1013: SocketCloseKind.GOING_AWAY,
    1014: SocketCloseKind.GOING_AWAY,
}


def attach(call_id: str, *, again: bool = False) -> Operation[None]:
    """Open the sideband of a call that has been accepted.

    An early 404 is repeated, because attaching takes a while; but not if it was open before, for then 404 means ended.

    Raises:
        InvalidRequestError: `call_id` cannot be one.
    """
    return _open("attach", {"call_id": checked_call_id(call_id)}, early_404=not again)


def open_primary(*, model: str | None, intent: str | None) -> Operation[None]:
    """Open a primary socket, whose events carry the audio.

    Raises:
        ConfigurationError: Neither model nor intent is given.
        InvalidRequestError: One of them is not printable.
    """
    query = {name: value for name, value in (("model", model), ("intent", intent)) if value}
    for name, value in query.items():
        if not value.isprintable():
            raise InvalidRequestError(name, (("", "must be printable characters"),))
    if not query:
        raise ConfigurationError("connect() needs a model, or an intent such as 'transcription'")
    return _open("connect", query, early_404=False)


def _open(name: str, query: dict[str, str], *, early_404: bool) -> Operation[None]:
    # A failed opening leaves nothing behind, so it may be repeated after any failure.
    path = "/realtime?" + urlencode(query)
    return Operation(
        name=name, path=path, read=nothing, repeat=Repeat.ANY, early_404=early_404, upgrade=True, method="GET"
    )


def _parts(frame: str | bytes) -> int:
    """Return about how many objects and lists a frame has, in far less time than it takes to read it."""
    return frame.count("{") + frame.count("[") if isinstance(frame, str) else frame.count(b"{") + frame.count(b"[")


def _of_error(event: events.ServerEvent, name: str) -> object:
    """Return a field of an `error`, such as its code, whether or not the event has all that it should."""
    error = getattr(event, "error", None)
    return error.get(name) if isinstance(error, dict) else getattr(error, name, None)


def _is_too_much(frame: str | bytes) -> bool:
    """Whether reading the frame would hold the event loop for too long, which is logged."""
    if len(frame) > MAX_EVENT_BYTES:
        _log.warning("skipped a frame of %d characters: larger than %d", len(frame), MAX_EVENT_BYTES)
        return True
    if _parts(frame) > _MAX_PARTS:
        _log.warning("skipped a frame of %d characters: more than %d objects and lists", len(frame), _MAX_PARTS)
        return True
    return False


def parsed(frame: str | bytes) -> events.ServerEvent:
    """Return the event of a frame.

    Raises:
        NotAnEventError: The frame is not an event.
    """
    event = events.parse_server_event(frame)
    # The API specification's own example of a key has a blank there: what goes by the type must not miss it.
    return event.model_copy(update={"type": event.type.strip()}) if event.type.startswith(" ") else event


class Protocol:
    """One connection: encodes and decodes, remembers what was sent, and says what a close means."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, events.ClientEvent] = OrderedDict()
        self._expired = False
        self._beta: str | None = None
        self._closing = False
        self.frame: str | bytes = b""
        """The latest frame."""

    def encode(self, event: events.ClientEvent | dict[str, Any]) -> tuple[str, str]:
        """Return the frame to send and the event's id, generated if it has none.

        Raises:
            BetaShapeError: The event has a name of the beta API.
            InvalidRequestError: The event is not valid, or larger than the service takes.
        """
        event = events.client_event(event)
        if event.event_id is None:
            event = event.model_copy(update={"event_id": f"event_{secrets.token_hex(8)}"})
        assert event.event_id is not None
        frame = json_body(event, what=event.type)
        if len(frame) > MAX_SENT_BYTES:
            raise InvalidRequestError(event.type, (("", f"is larger than {MAX_SENT_BYTES} bytes"),))
        if not isinstance(event, events.InputAudioBufferAppend):
            self._sent[event.event_id] = event
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        return frame.decode(), event.event_id

    def receive(self, frame: str | bytes) -> events.ServerEvent | None:
        """Return the frame's event, or None for a frame that is not an event: it is logged and skipped."""
        if len(frame) > _LARGE and _is_too_much(frame):
            return None
        try:
            event = parsed(frame)
        except RealtimeSipError as error:
            _log.warning("skipped a frame of %d characters: %s", len(frame), error)
            return None
        self.frame = frame
        if event.type == "error":
            code, param = _of_error(event, "code"), _of_error(event, "param")
            self._expired = self._expired or code == "session_expired"
            if code == beta.DISABLED:
                self._beta = param if isinstance(param, str) else ""
        return event

    def cause(self, error: events.Error) -> events.ClientEvent | None:
        """Return the client event that caused `error`, if the service named it and it was among the last sent.

        Appended audio is not remembered: a second of it would push out all else, and it may be 15 MiB at a time.
        """
        return self._sent.get(error.error.event_id) if error.error.event_id else None

    def closing(self) -> None:
        self._closing = True

    def closed(self, code: int | None, reason: str | None) -> SocketClose:
        """Return what the close means. `code` is None if no close frame came."""
        # websockets has an enumeration for it.
        code = 1006 if code is None else int(code)
        reason = reason or ""
        if self._closing:
            kind = SocketCloseKind.OURS
        elif self._expired:
            kind = SocketCloseKind.EXPIRED
        elif self._beta is not None or beta.DISABLED in reason:
            kind = SocketCloseKind.BETA
            reason = f"{reason or beta.DISABLED}{f': {self._beta}' if self._beta else ''}"
        elif 3000 <= code <= 4999:
            kind = SocketCloseKind.REFUSED
        else:
            kind = _KINDS.get(code, SocketCloseKind.FAILED)
        return SocketClose(kind, code, redact(reason[:_MAX_CLOSE_REASON]))
