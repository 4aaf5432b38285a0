"""The sideband of a call while it is open: what is read from it, and what is sent over it, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from realtime_sip import events
from realtime_sip.api import protocol
from realtime_sip.api.sideband import AsyncSideband
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.errors import InvalidRequestError, RealtimeSipError, SocketClosedError
from realtime_sip.outcomes import SocketClose, SocketCloseKind

_log = logging.getLogger("realtime_sip.call")

Sent = asyncio.Future[None]


class Sideline:
    """Opens sidebands of one call, one after the other.

    What is sent waits in a queue for the socket that is open, and is dropped with it: whoever asked for it asks again,
    knowing what became of the call.

    Args:
        transport: An unanswered ping of its does not close the socket: the call has a sign of life of its own.
        attached: Called when a sideband is open.
        received: Called with each event.
        sent: Called with each event that was sent, and its id.
        ours: Asked before each event: returns whether no other worker has the call.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        call_id: str,
        *,
        attached: Callable[[], None],
        received: Callable[[events.ServerEvent], None],
        sent: Callable[[events.ClientEvent], None],
        ours: Callable[[], Awaitable[bool]],
    ) -> None:
        self._transport = transport.sharing(replace(transport.settings, ping_timeout=None))
        self._call_id = call_id
        self._attached = attached
        self._received = received
        self._sent = sent
        self._ours = ours
        self._waiting: asyncio.Queue[tuple[events.ClientEvent, Sent | None]] = asyncio.Queue()
        self._sideband: AsyncSideband | None = None
        self.opened = asyncio.Event()
        """Set while a sideband is open."""

    @property
    def frame(self) -> str | bytes | None:
        """The frame of the latest event."""
        return None if self._sideband is None else self._sideband._protocol.frame

    async def follow(self) -> SocketClose:
        """Open a sideband, read until it closes, and return how it did.

        Raises:
            RealtimeSipError: It could not be opened.
        """
        # An early 404 is not repeated here: the core decides when to try again.
        opening = AsyncSideband.opened(self._transport, protocol.attach(self._call_id, again=True))
        async with opening as sideband:
            self._sideband = sideband
            sender = asyncio.create_task(self._deliver(sideband))
            try:
                self.opened.set()
                self._attached()
                while True:  # iterating would be another coroutine for each event
                    self._received(await sideband.recv())
            except SocketClosedError:
                pass  # the sideband knows how it closed
            finally:
                self._sideband = None
                self.opened.clear()
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                self._drop()
        assert sideband.closed is not None
        return sideband.closed

    def let_go(self) -> None:
        """Tell nobody any more. What was told holds this in turn."""
        self._attached, self._received, self._ours = _nobody, _nobody, _everybody

    async def close(self) -> None:
        """Close the sideband that is open; `follow` returns."""
        if self._sideband is not None:
            await self._sideband.close()

    def put(self, event: events.ClientEvent, sent: Sent | None = None) -> None:
        """Send an event over the sideband that is open; `sent` learns that it was sent, or why it was not."""
        self._waiting.put_nowait((event, sent))

    async def _deliver(self, sideband: AsyncSideband) -> None:
        while True:
            event, sent = await self._waiting.get()
            try:
                if not await self._ours():
                    raise SocketClosedError(SocketClose(SocketCloseKind.OURS, 1000))
                event_id = await sideband.send(event)
            except InvalidRequestError as error:
                if sent is None:
                    _log.error("call %s: %s was not sent: %s", self._call_id, event.type, error)
                _settle(sent, error)
            except asyncio.CancelledError:
                _settle(sent, SocketClosedError(SocketClose(SocketCloseKind.DROPPED, 1006)))
                raise
            except Exception as error:  # noqa: BLE001 - without a sender the call would be mute
                if not isinstance(error, RealtimeSipError):
                    _log.error("call %s: sending failed: %s", self._call_id, type(error).__name__)
                    error = SocketClosedError(SocketClose(SocketCloseKind.DROPPED, 1006))
                _settle(sent, error)
                await sideband.close()
                return
            else:
                self._sent(event.model_copy(update={"event_id": event_id}))
                _settle(sent, None)

    def _drop(self) -> None:
        while not self._waiting.empty():
            _, sent = self._waiting.get_nowait()
            _settle(sent, SocketClosedError(SocketClose(SocketCloseKind.DROPPED, 1006)))


def _nobody(*_: object) -> None:
    pass


async def _everybody() -> bool:
    return True


def _settle(sent: Sent | None, error: RealtimeSipError | None) -> None:
    if sent is None or sent.done():
        return
    if error is None:
        sent.set_result(None)
    else:
        sent.set_exception(error)
