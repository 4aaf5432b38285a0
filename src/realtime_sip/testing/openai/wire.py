"""One line's connection with its clients: the sockets, what is sent on them, their faults, and its tasks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.faults import (
    ErrorSent,
    EventLost,
    EventRefused,
    FrameInjected,
    LineFault,
    PingsUnanswered,
    ServiceRestarts,
    SocketDropped,
    SocketSilent,
    TimedFault,
)
from realtime_sip.testing.openai.attendance import Attendance
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.fault_plan import FaultPlan
from realtime_sip.testing.openai.frames import Frame, Ids
from realtime_sip.testing.openai.record import LineRecord
from realtime_sip.testing.openai.websocket import WebSocket

__all__ = ["Wire"]

_logger = logging.getLogger("realtime_sip.testing")


class Wire:
    """What all parts of one line share."""

    def __init__(
        self,
        *,
        ids: Ids,
        clock: Clock,
        timings: Timings,
        behavior: Behavior,
        record: LineRecord,
        changes: Changes,
        faults: Iterable[LineFault] = (),
        on_call_over: Callable[[int], None],
    ) -> None:
        self.ids = ids
        self.clock = clock
        self.timings = timings
        self.behavior = behavior
        self.record = record
        self.changes = changes
        self.sockets: list[WebSocket] = []
        self.close_code: int | None = None
        """The code with which the last socket was closed from this side."""
        self.away_until = 0.0
        """Until when no socket can be opened."""
        self.counted_until = 0.0
        """Until when a socket that was dropped counts as open."""
        self.elsewhere = False
        """Whether another worker is attached, over no socket of ours."""
        self.attendance = Attendance(clock)
        self._restarts: tuple[float, int] = (0.0, 1012)
        self.plan = FaultPlan(faults)
        self._on_call_over = on_call_over
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def emit(self, kind: str, **fields: Any) -> None:
        """Send one event, with an id of its own, to all sockets; without any it is lost."""
        self.emit_frame({"type": kind, "event_id": self.ids("event"), **fields})

    def emit_frame(self, frame: Frame) -> None:
        """Send `frame` as it is to all sockets; without any it is lost."""
        if self._stopped:
            return
        frames = self.plan.outgoing(frame)
        for kept in frames[:1] or [frame]:
            self.record.keep(self.record.server_events, kept)
        for each in frames:
            text = json.dumps(each)
            delivered = [socket.send(text) for socket in list(self.sockets)]
            if any(delivered):
                self._play(self.plan.sent(each))
        self.changes.notify()

    def attach(self, socket: WebSocket) -> None:
        """Send to `socket` too from now on; nothing of before is repeated."""
        self.record.sockets += 1
        until, code = self._restarts
        if self.clock.now() < until:
            socket.close(code)
            return
        self.sockets.append(socket)
        self.attended()
        self._play(self.plan.happened("attached"))
        self.changes.notify()

    def detach(self, socket: WebSocket) -> None:
        """Forget `socket`."""
        if socket in self.sockets:
            self.sockets.remove(socket)
        self.attended()
        self.changes.notify()

    def attended(self) -> None:
        """Note whether anybody is there, while the line is up."""
        if not self._stopped:
            self.attendance.attended(self.elsewhere or any(socket.open for socket in self.sockets))

    def restart(self, seconds: float, code: int) -> None:
        """Close all sockets with `code`, and those that are opened in the next `seconds` too."""
        self._restarts = (self.clock.now() + seconds, code)
        self.drop(code)

    def inject(self, data: str | bytes) -> None:
        """Send a frame that is none of the service's own."""
        for socket in list(self.sockets):
            socket.send(data)

    def heard(self, kind: object) -> EventLost | EventRefused | None:
        """Record that the client sent an event of the type `kind`; return what becomes of it, if not what should."""
        fault = self.plan.heard(kind)
        if not isinstance(fault, EventLost):
            self._play(self.plan.happened(str(kind)))
        return fault

    def drop(self, code: int, reason: str = "", *, fin: bool = True) -> None:
        """Close all sockets with `code` (1005, 1006 and `fin` as in `WebSocket.close`)."""
        for socket in list(self.sockets):
            if socket.close(code, reason, fin=fin):
                self.close_code = code
        self.attended()

    def silence(self, *, pongs: bool) -> None:
        """Let nothing through any more on the sockets that are open now."""
        for socket in self.sockets:
            socket.silence(pongs=pongs)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` until it ends or the line does; a mistake in it is logged and noted."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        if self._stopped:
            task.cancel()  # whoever stopped the line is still at work in it
        return task

    def stop(self) -> None:
        """Stop all work; nothing is sent any more."""
        self._stopped = True
        self.attendance.over()
        for task in list(self._tasks):
            if task is asyncio.current_task():
                asyncio.get_running_loop().call_soon(task.cancel)  # let it finish what it is doing
            else:
                task.cancel()

    async def stopped(self) -> None:
        """Wait until all work has stopped."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _logger.error("the emulator failed on a line", exc_info=error)
            self.record.note(f"the emulator itself failed: {type(error).__name__}")
            self.changes.notify()

    def _play(self, faults: list[TimedFault]) -> None:
        for fault in faults:
            if fault.after:
                self.spawn(self._play_later(fault))
            else:
                self._play_now(fault)

    async def _play_later(self, fault: TimedFault) -> None:
        await self.clock.sleep(fault.after)
        self._play_now(fault)

    def _play_now(self, fault: TimedFault) -> None:
        match fault:
            case SocketDropped(code=code, call_over=True):
                self._on_call_over(code)
            case SocketDropped():
                self.away_until = self.clock.now() + fault.away
                self.counted_until = self.clock.now() + fault.counted
                self.drop(fault.code, fin=fault.fin)
            case ServiceRestarts():
                self.restart(fault.seconds, fault.code)
            case PingsUnanswered():
                for socket in self.sockets:
                    socket.leave_pings()
            case SocketSilent():
                self.silence(pongs=fault.pongs)
            case FrameInjected():
                self.inject(fault.data)
            case ErrorSent():
                error = {"type": fault.kind, "code": fault.code, "message": fault.message, "param": None}
                self.emit("error", error={**error, "event_id": fault.event_id})
