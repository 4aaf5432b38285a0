"""A call's WebSocket: typed events in, typed events out. It sends what it is given and sequences nothing.

Two shells of one protocol (`protocol.Protocol`): `Sideband` blocks, `AsyncSideband` awaits. A primary socket, whose
events carry the audio, is the same thing opened by model instead of by call.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Generic, TypeVar

from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.sync.client import ClientConnection as Connection

from realtime_sip import events
from realtime_sip._wire import Outbound
from realtime_sip.api.operations import Operation
from realtime_sip.api.protocol import Protocol
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.api.websocket import CLOSE_TIMEOUT
from realtime_sip.errors import DeadlineError, MisuseError, SocketClosedError
from realtime_sip.outcomes import SocketClose
from realtime_sip.session import RealtimeSession, TranscriptionSession, checked_session

SEND_TIMEOUT = 10.0
"""Seconds that a frame may wait for a service that does not read; then the socket is dropped."""

# The close frame waits behind what the service has not read, and websockets bounds only the wait for the answer to it.
_CLOSE_AT_MOST = CLOSE_TIMEOUT + 1.0

R = TypeVar("R")

_Json = dict[str, Any]
_ONE_READER = "the events are already being read elsewhere; one task or thread may read them"


class SidebandEvents(Generic[R]):
    """One method per client event, named as on the wire. Each returns the event's id, which an error names.

    Arguments are models or plain dicts; both are checked. Each method raises BetaShapeError or InvalidRequestError for
    what the service would refuse, and SocketClosedError once the socket closed.
    """

    def __init__(self) -> None:
        self._protocol = Protocol()
        self._closed: SocketClose | None = None

    @property
    def closed(self) -> SocketClose | None:
        """How the socket closed, or None while it is open."""
        return self._closed

    def cause(self, error: events.Error) -> events.ClientEvent | None:
        """Return the event that an error answers, if the service named it and it was among the last 256 sent.

        Appended audio is not counted among them and not returned.
        """
        return self._protocol.cause(error)

    def _note_close(self, code: int | None, reason: str | None) -> SocketClose:
        if self._closed is None:
            self._closed = self._protocol.closed(code, reason)
        return self._closed

    def _close_error(self, error: ConnectionClosed) -> SocketClosedError:
        """Return the error for a socket that closed by itself. Only the service's own close frame counts."""
        code, reason = (None, None) if error.rcvd is None else (error.rcvd.code, error.rcvd.reason)
        return SocketClosedError(self._note_close(code, reason))

    def send(self, event: events.ClientEvent | _Json) -> R:
        """Send a client event, given as a model or as a dict of the wire's form."""
        raise NotImplementedError

    def _send(self, event: _Json) -> R:
        # Models stay models inside the dict; pydantic checks all of it.
        return self.send({name: value for name, value in event.items() if value is not None})

    def session_update(self, session: RealtimeSession | TranscriptionSession | _Json) -> R:
        """Change the session: a field that is set is changed, None clears it. `session.updated` answers."""
        return self._send({"type": "session.update", "session": checked_session(session)})

    def response_create(self, response: Outbound | _Json | None = None) -> R:
        """Ask for a response. Its `instructions` replace the session's own; they do not add to them.

        Only one response may write to the conversation at a time; a second is refused with
        `conversation_already_has_active_response`.
        """
        return self._send({"type": "response.create", "response": response})

    def response_cancel(self, response_id: str | None = None) -> R:
        """Stop a response that is being made, by default the conversation's. Without one, a harmless error comes."""
        return self._send({"type": "response.cancel", "response_id": response_id})

    def conversation_item_create(self, item: Outbound | _Json, *, previous_item_id: str | None = None) -> R:
        """Add an item, at the end or after `previous_item_id` ("root" for the start)."""
        return self._send({"type": "conversation.item.create", "item": item, "previous_item_id": previous_item_id})

    def conversation_item_delete(self, item_id: str) -> R:
        """Take an item out of the conversation. `conversation.item.deleted` answers."""
        return self._send({"type": "conversation.item.delete", "item_id": item_id})

    def conversation_item_retrieve(self, item_id: str) -> R:
        """Ask for the service's copy of an item. `conversation.item.retrieved` answers."""
        return self._send({"type": "conversation.item.retrieve", "item_id": item_id})

    def conversation_item_truncate(self, item_id: str, *, audio_end_ms: int, content_index: int = 0) -> R:
        """Cut an assistant's audio at the point that was heard. On SIP the service does so itself on a barge-in."""
        event = {"item_id": item_id, "audio_end_ms": audio_end_ms, "content_index": content_index}
        return self._send({"type": "conversation.item.truncate", **event})

    def input_audio_buffer_append(self, audio: str) -> R:
        """Add base64 to the input, of at most 15 MiB of audio. Not answered. On SIP the caller is the input."""
        return self._send({"type": "input_audio_buffer.append", "audio": audio})

    def input_audio_buffer_commit(self) -> R:
        """Make the input buffer an item. Needed only without turn detection."""
        return self._send({"type": "input_audio_buffer.commit"})

    def input_audio_buffer_clear(self) -> R:
        """Drop the audio in the input buffer."""
        return self._send({"type": "input_audio_buffer.clear"})

    def output_audio_buffer_clear(self) -> R:
        """Stop what is being played, after `response_cancel`. WebRTC and SIP only."""
        return self._send({"type": "output_audio_buffer.clear"})


class AsyncSideband(SidebandEvents[Coroutine[Any, Any, str]]):
    """An open WebSocket, async. Iterate over it for the events; it ends when the socket does."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def opened(cls, transport: AsyncTransport, operation: Operation[None]) -> AsyncIterator[AsyncSideband]:
        """Open, hand out, and close. If opening fails, nothing is handed out."""
        sideband = cls(await transport.open(operation))
        try:
            yield sideband
        finally:
            await sideband.close()

    async def send(self, event: events.ClientEvent | _Json) -> str:
        """Send a client event and return its id.

        Raises:
            BetaShapeError, InvalidRequestError: The event is not valid; nothing was sent.
            SocketClosedError: The socket closed; whether the service got the event is unknown.
            DeadlineError: The service did not read for 10 seconds. The socket is dropped.
        """
        frame, event_id = self._protocol.encode(event)
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._connection.send(frame)
        except ConnectionClosed as error:
            raise self._close_error(error) from None
        except TimeoutError:
            await self._drop()
            raise DeadlineError("send: the service does not read", sent=True) from None
        return event_id

    async def recv(self, *, timeout: float | None = None) -> events.ServerEvent:  # noqa: ASYNC109 - as the blocking face
        """Return the next event.

        Raises:
            DeadlineError: No event came within `timeout` seconds. None waits as long as the service answers pings.
            SocketClosedError: The socket closed, in good order or not.
        """
        try:
            if timeout is None:  # no timer is made for each event of a call
                while True:
                    event = self._protocol.receive(await self._connection.recv(decode=False))
                    if event is not None:
                        return event
            async with asyncio.timeout(timeout):
                while True:
                    event = self._protocol.receive(await self._connection.recv(decode=False))
                    if event is not None:
                        return event
        except ConnectionClosed as error:
            raise self._close_error(error) from None
        except TimeoutError:
            raise DeadlineError("recv: no event in time", sent=True) from None
        except ConcurrencyError:
            raise MisuseError(_ONE_READER) from None

    def __aiter__(self) -> AsyncIterator[events.ServerEvent]:
        return self

    async def __anext__(self) -> events.ServerEvent:
        """Return the next event; end after a close in good order, raise SocketClosedError after another."""
        try:
            return await self.recv()
        except SocketClosedError as error:
            if error.close.quiet:
                raise StopAsyncIteration from None
            raise

    async def close(self) -> None:
        """Close the socket. The call goes on: `client.calls.hangup` ends it."""
        if self._connection.close_code is None:
            self._protocol.closing()
        try:
            async with asyncio.timeout(_CLOSE_AT_MOST):
                await self._connection.close()
        except TimeoutError:
            await self._drop()
        self._note_close(self._connection.close_code, self._connection.close_reason)

    async def _drop(self) -> None:
        self._connection.transport.abort()
        await self._connection.wait_closed()


@contextmanager
def _dropping_after(seconds: float, connection: Connection) -> Iterator[threading.Event]:
    """Drop the connection if the block takes longer, and set the event that is handed out.

    websockets writes without a timeout, and under the lock that its pings and its close need too, so nothing else would
    ever end a write to a service that does not read.
    """
    dropped = threading.Event()

    def drop() -> None:
        dropped.set()
        # A second socket object for the same connection: that of TLS would first forget its keys, and the rest of the
        # frame would go out in the clear. It no longer has a descriptor if it is closed.
        with suppress(OSError), socket.fromfd(connection.socket.fileno(), socket.AF_INET, socket.SOCK_STREAM) as same:
            same.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, drop)
    timer.daemon = True
    timer.start()
    try:
        yield dropped
    finally:
        timer.cancel()


class Sideband(SidebandEvents[str]):
    """An open WebSocket, blocking. Iterate over it for the events; it ends when the socket does.

    One thread may read while others send.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, transport: Transport, operation: Operation[None]) -> Iterator[Sideband]:
        """Open, hand out, and close. If opening fails, nothing is handed out."""
        with transport.open(operation) as connection:
            sideband = cls(connection)
            try:
                yield sideband
            finally:
                sideband.close()

    def send(self, event: events.ClientEvent | _Json) -> str:
        """Send a client event and return its id.

        Raises:
            BetaShapeError, InvalidRequestError: The event is not valid; nothing was sent.
            SocketClosedError: The socket closed; whether the service got the event is unknown.
            DeadlineError: The service did not read for 10 seconds. The socket is dropped.
        """
        frame, event_id = self._protocol.encode(event)
        with _dropping_after(SEND_TIMEOUT, self._connection) as dropped:
            try:
                self._connection.send(frame)
            except ConnectionClosed as error:
                if dropped.is_set():
                    raise DeadlineError("send: the service does not read", sent=True) from None
                raise self._close_error(error) from None
        return event_id

    def recv(self, *, timeout: float | None = None) -> events.ServerEvent:
        """Return the next event.

        Raises:
            DeadlineError: No event came within `timeout` seconds. None waits as long as the service answers pings.
            SocketClosedError: The socket closed, in good order or not.
        """
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = None if end is None else max(end - time.monotonic(), 0)
                event = self._protocol.receive(self._connection.recv(left, decode=False))
                if event is not None:
                    return event
        except ConnectionClosed as error:
            raise self._close_error(error) from None
        except TimeoutError:
            raise DeadlineError("recv: no event in time", sent=True) from None
        except ConcurrencyError:
            raise MisuseError(_ONE_READER) from None

    def __iter__(self) -> Iterator[events.ServerEvent]:
        return self

    def __next__(self) -> events.ServerEvent:
        """Return the next event; end after a close in good order, raise SocketClosedError after another."""
        try:
            return self.recv()
        except SocketClosedError as error:
            if error.close.quiet:
                raise StopIteration from None
            raise

    def close(self) -> None:
        """Close the socket. The call goes on: `client.calls.hangup` ends it."""
        if self._connection.close_code is None:
            self._protocol.closing()
        with _dropping_after(_CLOSE_AT_MOST, self._connection):
            self._connection.close()
        self._note_close(self._connection.close_code, self._connection.close_reason)
