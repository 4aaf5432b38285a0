"""What waits to be sent on a call's socket, which may be down for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime_sip import events
from realtime_sip.api.sideband import AsyncSideband
from realtime_sip.errors import InvalidRequestError, RealtimeSipError, SocketClosedError
from realtime_sip.outcomes import Close, CloseKind

__all__ = ["Outbox"]

_Sent = asyncio.Future[None]


class Outbox:
    """A queue in the order of asking.

    What is `put` is dropped with the socket: whoever put it says it again, knowing what became of the call. What is
    `sent` waits for a new socket, and its sender for it; unless the old one broke while it was being sent, for then
    nobody knows whether it arrived.

    Args:
        note: Told each event that was sent, with its id.
    """

    def __init__(self, note: Callable[[events.ClientEvent], None]) -> None:
        self._note = note
        self._waiting: asyncio.Queue[tuple[events.ClientEvent, _Sent | None]] = asyncio.Queue()

    def put(self, event: events.ClientEvent) -> None:
        """Send an event if the socket allows."""
        self._waiting.put_nowait((event, None))

    async def sent(self, event: events.ClientEvent) -> None:
        """Send an event, and wait until it was.

        Raises:
            SocketClosedError: The socket closed meanwhile; whether the service got the event is unknown.
            RealtimeSipError: It cannot be sent, or the call has ended.
        """
        sent: _Sent = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((event, sent))
        await sent

    async def deliver(self, sideband: AsyncSideband) -> None:
        """Send what waits and what comes, until cancelled or until the socket breaks."""
        while True:
            event, sent = await self._waiting.get()
            try:
                event_id = await sideband.send(event)
            except InvalidRequestError as error:
                _settle(sent, error)
            except RealtimeSipError as error:
                _settle(sent, error)
                await sideband.close()
                return
            except asyncio.CancelledError:
                _settle(sent, SocketClosedError(Close(CloseKind.DROPPED, 1006)))
                raise
            else:
                self._note(event.model_copy(update={"event_id": event_id}))
                _settle(sent, None)

    def drop(self) -> None:
        """Drop what nobody waits for: the socket that it was for is gone."""
        waiting = self._all()
        for event, sent in waiting:
            if sent is not None:
                self._waiting.put_nowait((event, sent))

    def fail(self, error: RealtimeSipError) -> None:
        """Tell everybody who waits that nothing will be sent any more."""
        for _, sent in self._all():
            _settle(sent, error)

    def _all(self) -> list[tuple[events.ClientEvent, _Sent | None]]:
        waiting = []
        while not self._waiting.empty():
            waiting.append(self._waiting.get_nowait())
        return waiting


def _settle(sent: _Sent | None, error: RealtimeSipError | None) -> None:
    if sent is None or sent.done():
        return
    if error is None:
        sent.set_result(None)
    else:
        sent.set_exception(error)
