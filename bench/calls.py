"""What the events of a call cost: in the runtime behind the parse, over a WebSocket on loopback, and in memory.

The WebSocket's server is a process of its own and sends all frames at once, so that the client is never waited for.
The floor there is websockets' own client with `json.loads`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import sys
import tempfile
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from multiprocessing.connection import Connection
from typing import Any, cast

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import mix
from paired import Rows, cpu
from realtime_sip import CallLimits, EventLogFolder, RateCard, RealtimeSession, Tools
from realtime_sip.api import protocol
from realtime_sip.api.operations import Operation
from realtime_sip.api.settings import Settings
from realtime_sip.api.sideband import AsyncSideband
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.call import Call
from realtime_sip.call.machine import inputs
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.record.struggle import EscalationRules
from realtime_sip.endpoints import Endpoints
from realtime_sip.events import ServerEvent, parse_server_event
from realtime_sip.telemetry import Telemetry
from realtime_sip.webhooks import IncomingCall

ROUNDS = 15
EVENTS = 2000
GROWN = 100_000
_SESSION = RealtimeSession.model_validate(
    {"model": "gpt-realtime-2.1", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
)


class _Unanswered(AsyncTransport):
    """A service that never answers over REST; and over WebSocket, if it has no port."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        super().__init__(Settings("sk", endpoints=replace(Endpoints.DEFAULT, api=f"http://127.0.0.1:{port or 1}/v1")))

    def sharing(self, _settings: Settings) -> AsyncTransport:
        return self

    async def run(self, _operation: Operation[Any]) -> Any:
        await asyncio.Event().wait()

    async def open(self, operation: Operation[None]) -> Any:
        if self._port is None:
            await asyncio.Event().wait()
        return await super().open(operation)


class _Clock:
    """The loop's clock, as if each event came 20 ms after the one before: else no response would ever be over."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time()
        self.create_future = self._loop.create_future

    def time(self) -> float:
        self._now += 0.02
        return self._now


def _call(port: int | None = None, **options: Any) -> Call:
    given = {"limits": CallLimits(), "event_log": None, **options}
    nothing: dict[str, Any] = dict.fromkeys(("transfers", "consent", "approve_mcp", "check_tool", "check_speech"))
    rules: dict[str, Any] = {"escalation": EscalationRules(), "rates": RateCard.published(), "greet_undisturbed": False}
    call = Call(_Unanswered(port), "rtc_1", _SESSION, AnswerOptions(tools=Tools(), **nothing, **rules, **given))
    call._runtime.step(inputs.Answer())
    call._runtime.step(inputs.Accepted())
    return call


def _attached(**options: Any) -> Call:
    call = _call(**options)
    call._runtime._attached()
    call._runtime.loop = cast("asyncio.AbstractEventLoop", _Clock())
    return call


def _stop(call: Call) -> None:
    runtime = call._runtime
    for task in runtime.tasks.running:
        task.cancel()
    runtime.let_go()


def _feed(call: Call, events: list[ServerEvent]) -> float:
    received = call._runtime._received
    begun = cpu()
    for event in events:
        received(event)
    return (cpu() - begun) / len(events)


def _fed(events: list[ServerEvent], **options: Any) -> Callable[[], float]:
    def seconds() -> float:
        call = _attached(**options)
        cost = _feed(call, events)
        _stop(call)
        return cost

    return seconds


def _watched(events: list[ServerEvent]) -> Callable[[], float]:
    """With the SDK, but for an exporter, whose time is its own."""
    telemetry = Telemetry(TracerProvider(), MeterProvider([InMemoryMetricReader()]))
    incoming = IncomingCall.model_validate({"type": "realtime.call.incoming", "data": {"call_id": "rtc_1"}})
    feed = _fed(events)

    def seconds() -> float:
        with telemetry.call(incoming):
            return feed()

    return seconds


async def _runtime(rows: Rows, frames: list[bytes], folder: str) -> None:
    events = [parse_server_event(frame) for frame in frames]

    def parse() -> float:
        begun = cpu()
        for frame in frames:
            parse_server_event(frame)
        return (cpu() - begun) / len(frames)

    limits = CallLimits(max_cost=Decimal(1000))
    kinds = {
        "parse": parse,
        "runtime": _fed(events),
        "with max_cost": _fed(events, limits=limits),
        "with an event log": _fed(events, event_log=EventLogFolder(folder)),
        "with telemetry": _watched(events),
    }
    for number in range(ROUNDS + 1):
        rows.measure(1 if number else 0, kinds)
        await asyncio.sleep(0.01)
    print(f"\nbehind the parse, {len(events)} events on one call, for each")
    rows.show("parse")
    rows.show("runtime", floor="parse", most=4.1)
    rows.show("with max_cost", floor="runtime", most=2)
    rows.show("with an event log", floor="runtime", most=2)
    rows.show("with telemetry", floor="runtime", most=2)


# --- over a socket ----------------------------------------------------------------------------------------------------


def _serve(frames: list[bytes], pipe: Connection) -> None:
    texts = [frame.decode() for frame in frames]

    async def send(socket: ServerConnection) -> None:
        for text in texts:
            await socket.send(text)
        await socket.wait_closed()

    async def run() -> None:
        async with serve(send, "127.0.0.1", 0, compression=None) as server:
            pipe.send(server.sockets[0].getsockname()[1])
            await server.serve_forever()

    asyncio.run(run())


async def _plain(port: int, count: int) -> float:
    async with connect(f"ws://127.0.0.1:{port}", compression=None, max_queue=4096) as socket:
        begun = cpu()
        for _ in range(count):
            json.loads(await socket.recv())
        return (cpu() - begun) / count


async def _sideband(port: int, count: int) -> float:
    async with AsyncSideband.opened(_Unanswered(port), protocol.attach("rtc_1", again=True)) as sideband:
        begun = cpu()
        for _ in range(count):
            await sideband.recv()
        return (cpu() - begun) / count


async def _whole(port: int, count: int) -> float:
    call = _call(port)
    line = call._runtime.state.line
    while not line.frames:  # noqa: ASYNC110 - nothing that would tell is to be in the way
        await asyncio.sleep(0)
    begun, first = cpu(), line.frames
    while line.frames < count:  # noqa: ASYNC110
        await asyncio.sleep(0.0005)
    seconds = (cpu() - begun) / max(count - first, 1)
    _stop(call)
    await asyncio.sleep(0.01)
    return seconds


async def _sockets(rows: Rows, frames: list[bytes]) -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(frames, theirs), daemon=True)
    server.start()
    port = ours.recv()
    kinds: dict[str, Callable[[int, int], Awaitable[float]]] = {
        "websockets and json.loads": _plain,
        "sideband": _sideband,
        "whole call": _whole,
    }
    try:
        for number in range(ROUNDS + 1):
            costs = {name: await run(port, len(frames)) for name, run in kinds.items()}
            if number:
                rows.note(costs)
    finally:
        server.terminate()
    print(f"\nover a WebSocket on loopback, {len(frames)} frames, for each")
    rows.show("websockets and json.loads")
    rows.show("sideband", floor="websockets and json.loads", most=0.95)
    rows.show("whole call", floor="websockets and json.loads", most=4)


# --- memory and growth ------------------------------------------------------------------------------------------------


def _bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def _memory(rows: Rows) -> None:
    def turns(number: int) -> list[bytes]:
        return [mix.IDS.sub(rb'\g<1>\g<2>%d"' % number, frame) for frame in mix.made()]

    many = 20
    warm = [_attached() for _ in range(3)]
    for call in warm:
        _feed(call, [parse_server_event(frame) for frame in turns(0)])
    await asyncio.sleep(0.05)
    tracemalloc.start()
    before = _bytes()
    calls = [_attached() for _ in range(many)]
    await asyncio.sleep(0.05)
    idle = (_bytes() - before) / many
    before = _bytes()
    for call in calls:
        for number in range(3):  # of four responses each
            _feed(call, [parse_server_event(frame) for frame in turns(number)])
    unread = (_bytes() - before) / many
    tracemalloc.stop()
    for call in warm + calls:
        _stop(call)
    print("\nmemory of a call, without its socket")
    rows.compare("idle", idle / 1000, "kB", most=40)
    rows.compare("after 12 turns that nobody reads, beyond that", unread / 1000, "kB", most=200)


async def _growth(rows: Rows) -> None:
    call = _attached()
    costs: list[float] = []
    number = count = 0
    while count < GROWN:
        events = [parse_server_event(mix.IDS.sub(rb'\g<1>\g<2>%d"' % number, frame)) for frame in mix.made()]
        costs.append(_feed(call, events))
        number, count = number + 1, count + len(events)
        if number % 20 == 0:
            await asyncio.sleep(0)
    tenth = len(costs) // 10
    first, last = sorted(costs[1 : tenth + 1])[tenth // 4], sorted(costs[-tenth:])[tenth // 4]
    _stop(call)
    print(f"\n{count} events on one call")
    rows.compare("the last beside the first tenth", last / first, "x", most=1.1)


async def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    logging.disable()
    rows = Rows()
    name, frames = mix.frames(EVENTS)
    print(f"\nframes: {name}, {ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as folder:
        await _runtime(rows, frames, folder)
    await _sockets(rows, frames)
    await _memory(rows)
    await _growth(rows)
    return int(rows.missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
