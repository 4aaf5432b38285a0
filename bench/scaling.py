"""What a live call costs a worker and its store, and what a heartbeat costs the store as workers are added.

One worker, a process of uvicorn's, answers calls of the emulator, which runs in this process at the pace of life; all
of it is on 127.0.0.1. A Redis of its own is the store, started here on a free port; with `--store postgresql://…` it is
that database, which needs its table (`realtime-sip store sql`), and heartbeats are not measured. Each number of calls
gets a fresh worker. While all calls are up: seconds of the processor, by /proc, so that what other programs take does
not count; memory; open files; operations of the store by its own statistics (scripts of Redis, transactions of
PostgreSQL). It runs for some minutes, and ends by itself. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import realtime_sip
from realtime_sip import AsyncRealtimeSip, CallHost, CallLimits, IncomingCall, RealtimeSession, Tools
from realtime_sip.integrations.fastapi import health, openai_webhook
from realtime_sip.stores import PostgresStore, RedisStore, Store
from realtime_sip.stores.rules import WORKER_LEASE
from realtime_sip.testing import CallerSays, ModelCalls, ModelSays, OpenAIEmulator, RingingCall, Step, Timings

HERE = Path(__file__).resolve().parent
SOURCE = Path(realtime_sip.__file__).parents[1]
RATE = 20.0
"""Calls a second while they arrive."""
QUIET = 20
IDLE = 10.0
DEADLINE = 60.0
TURNS = 40
FLEETS = (10, 100, 500, 1000)
TICKS = os.sysconf("SC_CLK_TCK")
PATIENT = Timings(ring=DEADLINE, patience=DEADLINE, webhook_timeout=DEADLINE, least_patience=DEADLINE)
"""A worker that is slow because the machine is busy is not given up."""
SESSION = RealtimeSession.model_validate(
    {
        "model": "gpt-realtime-2.1",
        "instructions": "You answer the phone of a shop.",
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}},
    }
)


# --- the worker -------------------------------------------------------------------------------------------------------


def store_at(url: str) -> Store:
    """Return the store of a URL."""
    return PostgresStore(url) if url.startswith("postgresql") else RedisStore(url)


def worker() -> FastAPI:
    """Return the worker's application, for uvicorn's --factory."""
    client, tools = AsyncRealtimeSip(timeout=DEADLINE), Tools()

    @tools.function(idempotent=True)
    async def order_status(order: str) -> str:
        """Look up an order."""
        return f"{order} is on its way."

    async def on_call(incoming: IncomingCall) -> None:
        limits = CallLimits(silence=None, first_sound=None)
        async with client.calls.answer(incoming, SESSION, tools=tools, limits=limits) as call:
            await call.wait_ended()

    host = CallHost(on_call, client=client, store=store_at(os.environ["SCALING_STORE"]), max_calls=10_000)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    app.include_router(health(host))
    return app


@dataclass(frozen=True)
class Process:
    """What /proc says of a process."""

    pid: int

    @property
    def cpu(self) -> float:
        """Seconds of the processor so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    @property
    def files(self) -> int:
        """Open files and sockets."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[Process]:
    """Run a server until the block is left; hand it out once it listens."""
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + DEADLINE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert server.poll() is None, command
                assert time.monotonic() < deadline, command
                time.sleep(0.05)
            yield Process(server.pid)
        finally:
            server.kill()


@contextlib.contextmanager
def working(openai: OpenAIEmulator, store: str) -> Iterator[tuple[Process, str]]:
    """Run a worker; hand out its process and the URL of its webhook."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "scaling:worker", "--port", str(port)]
    variables = {
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
        "OPENAI_API_KEY": openai.api_key,
        "OPENAI_BASE_URL": openai.base_url,
        "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
        "SCALING_STORE": store,
    }
    with running([*command, "--log-level", "error"], port, **variables) as process:
        yield process, f"http://127.0.0.1:{port}/openai/webhook"


# --- the store --------------------------------------------------------------------------------------------------------


class Server:
    """The server of the store, which counts its operations.

    Args:
        url: Where it is.
        process: Redis itself, if it was started here.
    """

    def __init__(self, url: str, process: Process | None = None) -> None:
        self.url = url
        self.process = process
        self._client: Any = None

    async def operations(self) -> int:
        """Return how many there were: scripts of Redis, or transactions of PostgreSQL."""
        if self.url.startswith("postgresql"):
            return await self._transactions()
        from redis.asyncio import Redis

        self._client = self._client or Redis.from_url(self.url)
        stats = await self._client.info("commandstats")
        return sum(stats[name]["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)

    async def _transactions(self) -> int:
        import psycopg

        if self._client is None:
            self._client = await psycopg.AsyncConnection.connect(self.url, autocommit=True)
        await asyncio.sleep(1.5)  # sessions report once a second
        query = "select xact_commit from pg_stat_database where datname = current_database()"
        row = await (await self._client.execute(query)).fetchone()
        return int(row[0])

    @property
    def cpu(self) -> float:
        """Seconds of the processor that it has used; 0 if it was not started here."""
        return 0.0 if self.process is None else self.process.cpu

    async def close(self) -> None:
        if self._client is not None:
            await (self._client.close() if self.url.startswith("postgresql") else self._client.aclose())


@contextlib.contextmanager
def served(url: str | None) -> Iterator[Server]:
    """Hand out the store's server: that of the URL, or a Redis that is started for it."""
    if url is not None:
        yield Server(url)
        return
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        sys.exit("neither redis-server nor valkey-server is installed; or name a store with --store")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""]
        with running([*command, "--appendonly", "yes"], port) as process:
            yield Server(f"redis://127.0.0.1:{port}/0", process)


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What was used until a moment."""

    at: float
    cpu: float
    own: float
    store: float
    operations: int
    events: int


class Fleet:
    """One worker with its calls, and what they use."""

    def __init__(self, openai: OpenAIEmulator, server: Server, process: Process, url: str) -> None:
        self._openai = openai
        self._server = server
        self._process = process
        self._url = url
        self._calls: list[RingingCall] = []

    async def read(self) -> Reading:
        operations = await self._server.operations()
        events = sum(len(call.server_events) for call in self._calls)
        cpu, store = self._process.cpu, self._server.cpu
        return Reading(time.monotonic(), cpu, time.process_time(), store, operations, events)

    async def ring(self, count: int, scenario: list[Step]) -> None:
        """Let calls come in, one after the other, and wait until all are up."""
        chance = random.Random(count)
        for _ in range(count):
            steps = scenario and [CallerSays("Hello?", after=chance.uniform(0, 10)), *scenario]
            self._calls.append(await self._openai.ring(self._url, scenario=steps))
            await asyncio.sleep(1 / RATE)
        for call in self._calls:
            await call.until_attached(timeout=DEADLINE)

    async def over(self) -> None:
        """Let all callers hang up."""
        for call in self._calls:
            call.hang_up()
        for call in self._calls:
            await call.ended(timeout=DEADLINE)
        await asyncio.sleep(1)  # the worker finishes their claims

    @property
    def up(self) -> int:
        return sum(str(call.state) == "accepted" for call in self._calls)


def conversation() -> list[Step]:
    """Return a call of about 15 s a turn; every third turn runs a tool."""
    steps: list[Step] = [ModelSays("Good morning, what can I do for you?")]
    for turn in range(TURNS):
        steps.append(CallerSays("I would like to know where my order is.", after=1.0))
        if turn % 3 == 0:
            steps.append(ModelCalls("order_status", {"order": f"order {turn}"}))
        steps.append(ModelSays("It left our warehouse yesterday, and should be with you tomorrow before noon."))
    return steps


async def begin_and_end(openai: OpenAIEmulator, server: Server) -> None:
    """Print what a worker asks of its store without calls, and for the beginning and the end of a call."""
    with working(openai, server.url) as (process, url):
        fleet = Fleet(openai, server, process, url)
        await fleet.ring(1, [])  # once, so that all is imported and all scripts are there
        await fleet.over()
        before = await fleet.read()
        await asyncio.sleep(IDLE)
        after = await fleet.read()
        idle = (after.operations - before.operations) / (after.at - before.at)
        cpu = (after.cpu - before.cpu) / (after.at - before.at)
        before = after
        await fleet.ring(QUIET, [])
        await fleet.over()
        after = await fleet.read()
        calls = (after.operations - before.operations - idle * (after.at - before.at)) / QUIET
    print(f"a worker without calls: {idle:.2f} operations of the store a second, {cpu:.2%} of a processor")
    print(f"a call's beginning and end: {calls:.1f} operations\n", flush=True)


async def with_calls(openai: OpenAIEmulator, server: Server, count: int, seconds: float) -> None:
    """Print what a worker with so many live calls uses."""
    with working(openai, server.url) as (process, url):
        first = Fleet(openai, server, process, url)
        await first.ring(1, [])  # so that all is imported
        await first.over()
        idle, fleet = process.megabytes, Fleet(openai, server, process, url)
        began = time.monotonic()
        await fleet.ring(count, conversation())
        arrived = time.monotonic() - began
        before = await fleet.read()
        await asyncio.sleep(seconds)
        after = await fleet.read()
        passed = after.at - before.at
        megabytes, files, up = process.megabytes, process.files, fleet.up
        operations = (after.operations - before.operations) / passed
        store = (after.store - before.store) / (after.operations - before.operations)
        cpu = (after.cpu - before.cpu) / passed
        print(
            f"{count:>6}{up:>6}{arrived:>10.0f}{cpu:>10.1%}{1000 * cpu / count:>10.2f}"
            f"{(after.events - before.events) / passed / count:>10.1f}{megabytes:>8.0f}"
            f"{1000 * (megabytes - idle) / count:>9.0f}{files:>8}{operations:>8.1f}{1e6 * store:>8.0f}"
            f"{(after.own - before.own) / passed:>10.1%}",
            flush=True,
        )
        await fleet.over()


async def heartbeats(server: Server, size: int) -> None:
    """Print what a heartbeat and a look for orphans cost the store if there are so many workers."""
    stores = [RedisStore(server.url, prefix=f"fleet-{size}") for _ in range(10)]
    owners = [f"worker-{number}" for number in range(size)]

    async def beat(store: RedisStore, mine: list[str]) -> None:
        for owner in mine:
            await store.heartbeat(owner, lease=WORKER_LEASE * 100, free=200)

    async def look(store: RedisStore, mine: list[str]) -> None:
        for owner in mine:
            await store.adopt(owner, lease=WORKER_LEASE, most=10)

    costs = []
    for what in (beat, look):
        for rounds in (1, max(5, 5000 // size)):  # the first one fills it, and is not measured
            before = server.cpu
            for _ in range(rounds):
                await asyncio.gather(*(what(store, owners[at::10]) for at, store in enumerate(stores)))
        costs.append(1e6 * (server.cpu - before) / (rounds * size))
    print(f"{size:>9}{costs[0]:>16.0f}{costs[1]:>16.0f}", flush=True)
    for store in stores:
        await store.close()


async def measure(server: Server, counts: list[int], seconds: float) -> None:
    """Print all figures."""
    async with OpenAIEmulator(timings=PATIENT, strict=False) as openai:
        await begin_and_end(openai, server)
        print(
            "one worker, while all calls are up (memory in MB, and kB for each call; a call's processor in ms a second)"
        )
        print(
            f"{'calls':>6}{'up':>6}{'arrival s':>10}{'processor':>10}{'a call':>10}{'events/s':>10}{'MB':>8}{'kB':>9}"
            f"{'files':>8}{'ops/s':>8}{'us/op':>8}{'emulator':>10}"
        )
        for count in counts:
            await with_calls(openai, server, count, seconds)
    if server.process is not None:
        print("\nwhat one operation costs the store's thread, in us of the processor, by workers that live")
        print(f"{'workers':>9}{'a heartbeat':>16}{'a look':>16}")
        for size in FLEETS:
            await heartbeats(server, size)
    await server.close()


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 100, 200, 400], metavar="COUNT")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each number of calls is measured")
    parser.add_argument("--store", metavar="URL", help="a PostgreSQL, in place of a Redis of its own")
    options = parser.parse_args()
    print(time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), platform.python_version(), f"{os.cpu_count()} processors")
    with served(options.store) as server:
        asyncio.run(measure(server, options.calls, options.seconds))


if __name__ == "__main__":
    main()
