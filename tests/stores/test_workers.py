"""Three workers behind one address that are killed, a store that restarts, and a drain: no call is lost."""

from __future__ import annotations

import itertools
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from store_servers import listens, postgres_server, running

from ports import free_port
from realtime_sip.stores import store_sql
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EmulatorOnThread,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Timings,
)
from workers import Workers, workers

pytestmark = [pytest.mark.stores, pytest.mark.timeout(240)]

SPEED = 4.0
CALLS = int(os.environ.get("FLEET_CALLS", "120"))
TIMED = "FLEET_TIMED" in os.environ
"""Whether how long it takes is asserted, which wants a machine with nothing else to do (`make soak`)."""
RATE = 15.0
"""Calls a second."""
PATIENT = Timings(ring=120 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED, webhook_retry=SPEED)


class Store:
    """A server of a store that can be restarted, with or without what it had."""

    def __init__(self, url: str, restart: Callable[[], None]) -> None:
        self.url = url
        self.restart = restart


@contextmanager
def redis(folder: Path, *, keeps: bool = True) -> Iterator[Store]:
    import shutil

    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes" if keeps else "no", "--appendfsync", "always"]
    running_now = []

    def start() -> None:
        server = running(command, folder / "redis.log", lambda: listens(port))
        running_now.append(server)
        server.__enter__()

    def stop() -> None:
        running_now.pop().__exit__(None, None, None)

    def restart() -> None:
        stop()
        time.sleep(0.5)  # a restart takes its time
        start()

    start()
    try:
        yield Store(f"redis://127.0.0.1:{port}/0", restart)
    finally:
        stop()


@contextmanager
def postgres(folder: Path) -> Iterator[Store]:
    import psycopg

    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(store_sql())

        def restart() -> None:
            # As a restart looks to its clients: all connections are gone.
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")

        yield Store(url, restart)


def ring(openai: EmulatorOnThread, fleet: Workers, number: int, chance: random.Random) -> RingingCall:
    tool = chance.choice(["pay", "look_up"])
    order = f"order-{number}"
    scenario = [
        CallerSays("It is about my order."),
        ModelCalls(tool, {"order": order}),
        ModelSays("There it is.", seconds=2.0),
        CallerSays("And thank you.", after=chance.uniform(0, 20)),
        ModelSays("Any time.", seconds=1.0),
        CallerHangsUp(after=chance.uniform(0, 20)),
    ]
    return openai.run(partial(openai.emulator.ring, fleet.url, scenario=scenario, duplicates=chance.randrange(3)))


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_law_no_call_is_lost__workers_are_killed_and_the_store_restarts(kind: str, tmp_path: Path) -> None:
    chance = random.Random(20261126)
    stores = {"redis": redis, "postgres": postgres}
    with (
        stores[kind](tmp_path) as store,
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        workers(openai.emulator, store.url, tmp_path, 3) as fleet,
    ):
        calls: list[RingingCall] = []
        began, kills = time.monotonic(), itertools.cycle(range(3))
        next_kill, dead, restarted = began + 2.5, None, False
        for number in range(CALLS):
            calls.append(ring(openai, fleet, number, chance))
            while (now := time.monotonic()) < began + number / RATE:
                time.sleep(0.01)
            if now >= next_kill:
                if dead is None:
                    dead = next(kills)
                    fleet.stop(dead, signal.SIGKILL)
                    next_kill = now + 1.0
                else:
                    fleet.start(dead)
                    dead, next_kill = None, now + 2.0
            if number == CALLS // 2 and not restarted:
                restarted = True
                store.restart()
        if dead is not None:
            fleet.start(dead)
        ends = [openai.run(partial(call.ended, timeout=120)) for call in calls]
        told = Counter(end.by for end in ends)
        assert told == {EndedBy.CALLER: CALLS}, fleet.log[-20_000:]
        assert Counter(call.tally.accepts for call in calls) == {1: CALLS}
        said = [[words.text for words in call.said if words.by == "model"] for call in calls]
        # After a time that nobody saw, the model is asked for an answer that it may owe; what it says then is no step.
        scripted = [[words for words in each if words in ("There it is.", "Any time.")] for each in said]
        odd = [
            (call.call_id, call.notes, call.said) for call, each in zip(calls, scripted, strict=True) if len(each) != 2
        ]
        assert not odd, fleet.told_of(odd[0][0])
        paid = Counter(argument for tool, argument, _ in fleet.runs if tool == "pay")
        assert set(paid.values()) == {1}
        for argument in {argument for tool, argument, _ in fleet.runs if tool == "look_up"}:
            assert len({key for _, other, key in fleet.runs if other == argument}) == 1
        waited = [call.tally.unattended / SPEED for call in calls if call.tally.attaches > 1]
        figures = (
            f"{kind}: {len(waited)} taken over, median {statistics.median(waited):.2f} s, most {max(waited):.2f} s"
        )
        print(figures)  # noqa: T201 - the figures of docs/stores.md
        assert len(waited) > CALLS / 20
        assert statistics.median(waited) < 5.0 or not TIMED


@pytest.mark.parametrize("kind", ["redis", "postgres"])
def test_law_a_drain_hands_calls_to_another_worker_in_less_than_a_second(kind: str, tmp_path: Path) -> None:
    stores = {"redis": redis, "postgres": postgres}
    with (
        stores[kind](tmp_path) as store,
        EmulatorOnThread(OpenAIEmulator(timings=Timings(least_patience=60), strict=False)) as openai,
        workers(openai.emulator, store.url, tmp_path, 1) as fleet,
    ):
        scenario = [ModelSays("Any time.", seconds=1.0), CallerHangsUp(after=600.0)]
        calls = [openai.run(partial(openai.emulator.ring, fleet.url, scenario=scenario)) for _ in range(20)]
        for call in calls:
            openai.run(partial(call.until_attached, timeout=60))
        fleet.ports.append(free_port())
        fleet.processes.append(None)
        fleet.start(1)
        fleet.ready()
        end = time.monotonic() + 60
        time.sleep(2.0)  # each has told the other that it lives
        before = [call.tally.unattended for call in calls]
        fleet.stop(0, signal.SIGTERM)
        while any(call.tally.attaches < 2 for call in calls):
            assert time.monotonic() < end, fleet.log[-10_000:]
            time.sleep(0.05)
        gaps = [call.tally.unattended_in_all - already for call, already in zip(calls, before, strict=True)]
        figures = f"{kind}: handed over, median {statistics.median(gaps):.2f} s, most {max(gaps):.2f} s"
        print(figures)  # noqa: T201 - the figures of docs/stores.md
        assert statistics.median(gaps) < 1.0 or not TIMED
        assert all(call.tally.hangups == 0 for call in calls)
        assert all(call.state == "accepted" for call in calls)
        for call in calls:
            openai.run(call.hang_up)
        assert {openai.run(partial(call.ended, timeout=60)).by for call in calls} == {EndedBy.CALLER}


def test_law_no_live_call_ends_because_of_its_store__redis_restarts_empty(tmp_path: Path) -> None:
    with (
        redis(tmp_path, keeps=False) as store,
        EmulatorOnThread(OpenAIEmulator(timings=Timings(least_patience=60), strict=False)) as openai,
        workers(openai.emulator, store.url, tmp_path, 2) as fleet,
    ):
        scenario = [ModelSays("Any time.", seconds=1.0), CallerHangsUp(after=600.0)]
        calls = [openai.run(partial(openai.emulator.ring, fleet.url, scenario=scenario)) for _ in range(10)]
        for call in calls:
            openai.run(partial(call.until_attached, timeout=60))
        store.restart()
        # A worker that died now is missed all the same: what lives has told the store of its calls again.
        time.sleep(12.0)
        assert all(call.state == "accepted" for call in calls)
        fleet.stop(0, signal.SIGKILL)
        end = time.monotonic() + 60
        while not all(call.sidebands for call in calls):
            assert time.monotonic() < end, fleet.log[-10_000:]
            time.sleep(0.05)
        assert Counter(call.tally.accepts for call in calls) == {1: 10}
        for call in calls:
            openai.run(call.hang_up)
        assert {openai.run(partial(call.ended, timeout=60)).by for call in calls} == {EndedBy.CALLER}
