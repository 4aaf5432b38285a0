"""Faults of a call's sockets: they drop, go silent, restart, and carry unusual events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from realtime_sip.errors import ConfigurationError

__all__ = [
    "CLIENT_EVENTS",
    "ErrorSent",
    "EventAltered",
    "EventFault",
    "EventLost",
    "EventRefused",
    "EventRepeated",
    "FrameInjected",
    "LineFault",
    "PingsUnanswered",
    "ResponseRaced",
    "ServiceRestarts",
    "SocketDropped",
    "SocketSilent",
    "TimedFault",
    "UpdateRefused",
    "check_close_code",
    "check_frame",
]

CLIENT_EVENTS = (
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "output_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
)
"""The events that a client may send (API guide, November 2026)."""

PHASES = ("attached", "generating", "playing", "tool", "mcp", "caller")

_MAX_FRAME = 64 * 1024 * 1024
_MAX_COUNT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timed:
    """When a fault of a call's sockets happens: after a number of frames, or at a moment.

    Attributes:
        after_frames: After this many frames were sent to sockets of the call in all.
        when: Or at this moment, which is a phase:

            - "attached": a socket has been opened;
            - "generating": the first delta of a response was sent;
            - "playing": the caller begins to hear a response;
            - "tool": a response that called a function is done, and the output has not come yet;
            - "mcp": a call of an MCP server is in progress;
            - "caller": the caller begins to speak;

            or the type of an event: of one that was just sent, as "response.done"; or of one of the client's, as
            "response.create", that was just read, before the service acts on it.
        occurrence: Which of these moments: 1 is the first.
        after: Seconds of the emulator's clock from that moment.
    """

    after_frames: int | None = None
    when: str | None = None
    occurrence: int = 1
    after: float = 0.0

    def __post_init__(self) -> None:
        """Refuse moments that make no sense."""
        if (self.after_frames is None) == (self.when is None):
            raise ConfigurationError("a fault needs either after_frames or when")
        if self.after_frames is not None and not 0 <= self.after_frames <= _MAX_COUNT:
            raise ConfigurationError(f"after_frames must be 0 to {_MAX_COUNT}")
        if self.when is not None and self.when not in PHASES and "." not in self.when and self.when != "error":
            raise ConfigurationError(f"when must be the type of an event, or one of: {', '.join(PHASES)}")
        _check_count(self.occurrence, "occurrence")
        _check_length(self.after, "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketDropped(_Timed):
    """The sockets of the call are dropped, with the close code `code`; 1005 closes without one, 1006 without a frame.

    The call goes on, and a new socket can be opened. Events until then are lost in the hole. The service knows the
    items that were made meanwhile, function calls among them, but sends them only on `conversation.item.retrieve`.

    Attributes:
        code: The close code.
        call_over: The call ends too, as if the caller had hung up.
        away: Seconds of the emulator's clock for which no new socket can be opened: attaching gets 503.
        counted: Seconds for which the service counts the old socket as open, and refuses a new one with 409.
        fin: Whether the TCP connection ends after the close frame; if not, it stays open until the client ends it.

    >>> SocketDropped(when="tool", code=1011).code
    1011
    """

    code: int = 1006
    call_over: bool = False
    away: float = 0.0
    counted: float = 0.0
    fin: bool = True

    def __post_init__(self) -> None:
        """Refuse codes that make no sense."""
        _Timed.__post_init__(self)
        check_close_code(self.code)
        _check_length(self.away, "away")
        _check_length(self.counted, "counted")
        if not self.fin and self.code == 1006:
            raise ConfigurationError("without a close frame, dropping a socket is ending its connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRestarts(_Timed):
    """The server of the sidebands restarts: for `seconds` of the emulator's clock sockets open, and close with `code`.

    Sockets that are open close with it too. The call goes on, and so do the REST operations; after that a new socket
    works. See `OpenAIEmulator.restart` for all calls at once.
    """

    seconds: float = 3.0
    code: int = 1012

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _Timed.__post_init__(self)
        check_close_code(self.code)
        _check_length(self.seconds, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class PingsUnanswered(_Timed):
    """The client's pings are no longer answered on the sockets that are open, while events flow as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketSilent(_Timed):
    """The sockets of the call stay open, but no event gets through in either direction.

    Pings are answered, as by a proxy that has lost its other side; or not, with `pongs=False`, as if the network were
    gone. The call goes on, and events flow on a new socket, while the old one stays open and silent.
    """

    pongs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInjected(_Timed):
    """A frame that is not the service's own is sent to all sockets of the call; text as text, bytes as binary."""

    data: str | bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a frame that is too large."""
        _Timed.__post_init__(self)
        check_frame(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSent(_Timed):
    """An `error` event is sent that no event of the client caused, or that names the one with the id `event_id`."""

    code: str | None = None
    message: str = "The server had an error while processing your request."
    kind: str = "server_error"
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Matching:
    """Which events of a type a fault is about: `times` of them, beginning with number `occurrence`.

    Events count even if no socket is open.
    """

    type: str
    occurrence: int = field(default=1, kw_only=True)
    times: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        _check_count(self.occurrence, "occurrence")
        _check_count(self.times, "times")


@dataclass(frozen=True, slots=True)
class EventLost(_Matching):
    """An event never arrives: one of the service's, or one of the client's, which the service then does not know.

    >>> EventLost("response.done", occurrence=2)
    EventLost(type='response.done', occurrence=2, times=1)
    """


@dataclass(frozen=True, slots=True)
class EventRepeated(_Matching):
    """An event of the service arrives twice, the second time as it was."""

    def __post_init__(self) -> None:
        """Refuse an event of the client's."""
        _Matching.__post_init__(self)
        _check_own(self.type)


@dataclass(frozen=True, slots=True)
class EventAltered(_Matching):
    """An event of the service arrives as `alter` makes it; the function gets a copy of it.

    >>> fault = EventAltered("response.done", lambda event: {**event, "response": 7})
    """

    alter: Callable[[dict[str, Any]], dict[str, Any]] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse an event of the client's."""
        _Matching.__post_init__(self)
        _check_own(self.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRaced:
    """The service creates a response of its own right before it reads a `response.create`, which it then refuses.

    The events of its own response come before the refusal. `occurrence` counts the client's events for a response in
    the conversation. With `said`, the caller said this just before, and turn detection was faster; otherwise the
    service creates the response for no visible reason.
    """

    occurrence: int = 1
    said: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        _check_count(self.occurrence, "occurrence")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRefused:
    """The service refuses a `session.update`: nothing changes, and an `error` names the event.

    `occurrence` counts the updates that carry more than the session's type. `code`, `param` and `message` are those of
    the error; the defaults are the emulator's invention.

    >>> UpdateRefused(param="session.tools")
    UpdateRefused(occurrence=1, code='invalid_value', param='session.tools', message='The session cannot be updated.')
    """

    occurrence: int = 1
    code: str | None = "invalid_value"
    param: str | None = None
    message: str = "The session cannot be updated."

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        _check_count(self.occurrence, "occurrence")


@dataclass(frozen=True, slots=True)
class EventRefused(_Matching):
    """The service refuses an event of the client's: it changes nothing, and an `error` names it.

    `code`, `param` and `message` are those of the error; the defaults are the emulator's invention.

    >>> EventRefused("conversation.item.create", times=2).code
    'invalid_value'
    """

    code: str | None = field(default="invalid_value", kw_only=True)
    param: str | None = field(default=None, kw_only=True)
    message: str = field(default="The event cannot be taken.", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse an event of the service's."""
        _Matching.__post_init__(self)
        if self.type not in CLIENT_EVENTS:
            raise ConfigurationError("only events of the client can be refused")


TimedFault = SocketDropped | ServiceRestarts | SocketSilent | PingsUnanswered | FrameInjected | ErrorSent
EventFault = EventLost | EventRepeated | EventAltered | EventRefused
LineFault = TimedFault | EventFault | ResponseRaced | UpdateRefused
"""What can go wrong on the sockets of a call."""


def _check_count(count: int, what: str) -> None:
    if not 1 <= count <= _MAX_COUNT:
        raise ConfigurationError(f"{what} must be 1 to {_MAX_COUNT}")


def _check_length(seconds: float, what: str) -> None:
    if not 0 <= seconds <= 86_400:
        raise ConfigurationError(f"{what} must be 0 to 86400 seconds")


def _check_own(kind: str) -> None:
    if kind in CLIENT_EVENTS:
        raise ConfigurationError("only events of the service can be repeated or altered")


def check_close_code(code: int) -> None:
    """Refuse a close code that no server sends (RFC 6455 7.4), except 1005 and 1006, which stand for their cases.

    Raises:
        ConfigurationError: It is not valid.
    """
    if not (1000 <= code <= 1003 or 1005 <= code <= 1014 or 3000 <= code <= 4999):
        raise ConfigurationError("code must be a close code of RFC 6455, 1005 (no code) or 1006 (no close frame)")


def check_frame(data: str | bytes) -> None:
    """Refuse a frame above 64 MiB.

    Raises:
        ConfigurationError: It is larger.
    """
    if len(data) > _MAX_FRAME:
        raise ConfigurationError(f"a frame has at most {_MAX_FRAME} bytes")
