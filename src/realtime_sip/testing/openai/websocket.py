"""The server's end of one WebSocket, with control over how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from realtime_sip._redaction import logger_without_wire

__all__ = ["WebSocket", "handshake", "reset"]

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message from the client; the service takes 15 MiB of audio in one event (API guide)."""
_MAX_UNSENT = 64 * 1024 * 1024
_CLOSE_SECONDS = 2.0

_logger = logger_without_wire("realtime_sip.testing.websocket")


class _Protocol(ServerProtocol):
    """The protocol of a server that can be told not to answer pings."""

    pongs = True

    def send_frame(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.PONG or self.pongs:
            super().send_frame(frame)


def handshake(head: bytes, *, headers: tuple[tuple[str, str], ...]) -> tuple[_Protocol, bool]:
    """Answer the upgrade request `head`; return the protocol, which holds the answer to send, and whether it agreed."""
    protocol = _Protocol(max_size=MAX_MESSAGE, logger=_logger)
    protocol.receive_data(head)
    events = protocol.events_received()
    if not events or not isinstance(events[0], HandshakeRequest):
        return protocol, False
    response = protocol.accept(events[0])
    for name, value in headers:
        response.headers[name] = value
    protocol.send_response(response)
    return protocol, response.status_code == 101


def reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection so that the client sees a reset (RST), not an orderly end."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class WebSocket:
    """One open WebSocket. Sending never waits; a client that does not read is dropped at 64 MiB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Protocol) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._abort_timer: asyncio.TimerHandle | None = None
        self._silent = False
        self._deaf = False
        self._holds = False
        self.sent = 0
        """How many messages were sent."""
        self.close_code: int | None = None
        """How this end closed it: the code, 1005 without one, 1006 without a close frame; None if it did not."""

    @property
    def open(self) -> bool:
        """Whether messages can be sent."""
        return self._protocol.state is OPEN and not self._writer.transport.is_closing()

    def start(self, pending: bytes) -> None:
        """Send the answer to the upgrade, and take in what the client sent right behind its request."""
        self._flush()
        if pending:
            self._protocol.receive_data(pending)

    def send(self, data: str | bytes) -> bool:
        """Send one message; return False if the socket is not open any more."""
        if not self.open or self._silent:
            return False
        try:
            if isinstance(data, str):
                self._protocol.send_text(data.encode())
            else:
                self._protocol.send_binary(data)
        except InvalidState:
            return False
        self._flush()
        self.sent += 1
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT:
            self.close(1006)
        return True

    def close(self, code: int, reason: str = "", *, fin: bool = True) -> bool:
        """Close with `code`: 1005 without a code, 1006 without a close frame. Return whether that closed it.

        Without `fin` the connection stays open after the close frames, until the client ends it.

        The second time does nothing. One that has gone silent stays open: a close would not get through either.
        """
        if not self.open or self._silent:
            return False
        self.close_code = code
        self._holds = not fin
        if code == 1006:
            self._writer.transport.abort()
            return True
        if code == 1005:
            self._protocol.send_close()
        else:
            self._protocol.send_close(code, reason)
        self._flush()
        self._abort_later()
        return True

    def silence(self, *, pongs: bool) -> None:
        """Let no message through any more, in either direction; without `pongs` no control frame either."""
        self._silent = True
        self._deaf = not pongs

    def leave_pings(self) -> None:
        """Answer no ping any more; everything else goes on."""
        self._protocol.pongs = False

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield the client's messages until the connection is over."""
        parts: list[bytes] = []
        binary = False
        while True:
            for frame in self._protocol.events_received():
                if not isinstance(frame, Frame) or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    continue
                if frame.opcode is not Opcode.CONT:
                    parts, binary = [], frame.opcode is Opcode.BINARY
                parts.append(bytes(frame.data))
                if frame.fin and not self._silent:
                    message = b"".join(parts)
                    parts = []
                    yield message if binary else message.decode(errors="replace")
            self._flush()
            if self._protocol.close_expected():
                self._abort_later()
            try:
                data = await self._reader.read(65536)
            except OSError:
                data = b""
            if not data:
                self._protocol.receive_eof()
                self._flush()
                return
            if not self._deaf:
                self._protocol.receive_data(data)

    def release(self) -> None:
        """Let go of timers; the connection itself is closed by the server."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None

    def _abort_later(self) -> None:
        if self._abort_timer is None and not self._holds:
            loop = asyncio.get_running_loop()
            self._abort_timer = loop.call_later(_CLOSE_SECONDS, self._writer.transport.abort)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if self._writer.transport.is_closing():
                return
            if data:
                self._writer.write(data)
            elif self._writer.can_write_eof() and not self._holds:
                with contextlib.suppress(OSError, RuntimeError):
                    self._writer.write_eof()
