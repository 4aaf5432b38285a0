"""What calls cost whose events nobody reads: 300 of them, for two minutes, with a tool, a transcript and no iteration.

The emulator is a process of its own, so that the memory and the loop are those of the program alone: interpreter,
imports and HTTP client included. Time is real, and so is the pace of speech. What is asked of the loop is asked in
seconds of the processor, for one turn of the loop: what other programs take in the meantime does not count.

    python bench/unread.py [--calls N] [--seconds N] [--speed N]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import multiprocessing
import resource
import selectors
import sys
import time
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from paired import Rows
from realtime_sip import AsyncRealtimeSip, Call, CallHost, IncomingCall, Tools
from realtime_sip.testing import CallerSays, ModelCalls, ModelSays, OpenAIEmulator

MOST_MEGABYTES = 150
MOST_HELD = 250
"""Milliseconds."""
STAGGERED = 10.0
"""Seconds in which the calls come in."""
TOOLS = Tools()


@TOOLS.function
async def order_status(order_id: str) -> str:
    """Tell where an order is."""
    await asyncio.sleep(0.5)
    return f"{order_id} comes tomorrow"


class Watched(selectors.DefaultSelector):
    """Notes how long each turn of the loop takes, between two looks at the sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.held = self.held_by_clock = self.collecting = 0.0
        self._began: tuple[float, float] | None = None
        self._collection_began = 0.0

    def collects(self, phase: str, _info: dict[str, int]) -> None:
        """Note how long a collection of cycles takes, which holds the loop too."""
        if phase == "start":
            self._collection_began = time.thread_time()
        else:
            self.collecting = max(self.collecting, time.thread_time() - self._collection_began)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look at the sockets."""
        if self._began is not None:
            self.held = max(self.held, time.thread_time() - self._began[0])
            self.held_by_clock = max(self.held_by_clock, time.perf_counter() - self._began[1])
        found = super().select(timeout)
        self._began = time.thread_time(), time.perf_counter()
        return found


# --- the service ------------------------------------------------------------------------------------------------------


class Pipe:
    """Hands calls to the other process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    async def submit(self, incoming: IncomingCall) -> None:
        """Hand a call over."""
        self._pipe.send(incoming)


def serve(pipe: Connection, calls: int, speed: float) -> None:
    """Let calls come in, each with more turns than there is time for."""
    logging.disable()
    turn = (
        CallerSays("Where is my order, please?"),
        ModelCalls("order_status", {"order_id": "1042"}),
        ModelSays("It comes tomorrow, between nine in the morning and noon, by van."),
        CallerSays("And what does it cost?"),
        ModelSays("Nothing at all, since it is above thirty dollars. Anything else?"),
    )

    async def run() -> None:
        async with OpenAIEmulator(strict=False, speed=speed) as openai:
            pipe.send({name: value for name, value in openai.client_options.items() if name != "clock"})
            for _ in range(calls):
                await openai.ring(Pipe(pipe), scenario=(ModelSays("Good morning, how can I help you?"), *turn * 30))
                await asyncio.sleep(STAGGERED / calls / speed)
            await asyncio.Event().wait()

    asyncio.run(run())


# --- the program ------------------------------------------------------------------------------------------------------


def megabytes() -> float:
    """Return the most memory that this process had at a time, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


class Program:
    """Answers calls, greets, and never reads what happens."""

    def __init__(self, options: Mapping[str, Any], calls: int) -> None:
        self.client = AsyncRealtimeSip(**options)
        self.host = CallHost(self.on_call, client=self.client, max_calls=calls)
        self.up: list[Call] = []
        self.ends: Counter[str] = Counter()

    async def on_call(self, incoming: IncomingCall) -> None:
        """Answer a call."""
        session = {
            "model": "gpt-realtime-2.1",
            "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
        }
        async with self.client.calls.answer(incoming, session, tools=TOOLS) as call:
            self.up.append(call)
            call.respond("Greet the caller.")
            self.ends[str(await call.wait_ended())] += 1


async def played(pipe: Connection, calls: int, seconds: float) -> tuple[Program, int]:
    """Serve calls for so long; return the program, and how many events it got."""
    loop = asyncio.get_running_loop()
    program = Program(await asyncio.to_thread(pipe.recv), calls)
    submitted: set[asyncio.Task[Any]] = set()
    loop.add_reader(pipe.fileno(), lambda: submitted.add(loop.create_task(program.host.submit(pipe.recv()))))
    await asyncio.sleep(seconds)
    loop.remove_reader(pipe.fileno())
    events = sum(call._runtime.state.line.frames for call in program.up)
    return program, events


def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=120.0, help="on the emulator's clock")
    parser.add_argument("--speed", type=float, default=1.0, help="how much faster that is")
    options = parser.parse_args()
    logging.disable()
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, options.calls, options.speed)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
    server.start()
    selector = Watched()
    gc.callbacks.append(selector.collects)
    before = megabytes()
    used = time.process_time()

    measured: dict[str, float] = {}
    ends: Counter[str] = Counter()

    async def whole() -> None:
        program, events = await played(ours, options.calls, (STAGGERED + options.seconds) / options.speed)
        # Before the calls are ended, which is no part of it.
        measured.update(
            peak=megabytes(),
            held=selector.held * 1000,
            by_clock=selector.held_by_clock * 1000,
            collecting=selector.collecting * 1000,
            cpu=(time.process_time() - used) / max(events, 1) * 1e6,
            events=events,
            up=sum(call.ended is None for call in program.up),
        )
        ends.update(program.ends)
        await program.client.close()

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(whole())
    server.terminate()
    server.join()
    rows = Rows()
    up, peak = measured["up"], measured["peak"]
    print(
        f"\n{options.calls} calls for {options.seconds:g} s with nobody iterating, {measured['events']:.0f} events, "
        f"{up:.0f} calls still up; the emulator in a process of its own"
    )
    rows.compare("the most memory of the whole process", peak, "MB", most=MOST_MEGABYTES)
    print(f"    of which {before:.1f} MB before the first call; {(peak - before) * 1000 / options.calls:.0f} kB a call")
    rows.compare("the loop held, the processor's time", measured["held"], "ms", most=MOST_HELD)
    print(
        f"    {measured['by_clock']:.1f} ms by the clock; {measured['collecting']:.1f} ms for collecting cycles alone"
    )
    print(f"    {measured['cpu']:.0f} us of the processor for an event, accepting and attaching included")
    if up < options.calls:
        rows.missed = True
        print(f"  {options.calls - up:.0f} calls had ended or were never up, MISSED: {dict(ends)}")
    return int(rows.missed)


if __name__ == "__main__":
    sys.exit(main())
