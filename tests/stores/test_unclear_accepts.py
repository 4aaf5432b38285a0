"""Accepts that are not answered in time, and two workers: with a store that they share, one of them serves the call."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest
from kept import Servers

from emulated import virtual
from realtime_sip import AsyncRealtimeSip, CallHost, EndReason, IncomingCall, MemoryStore, Submission
from realtime_sip.stores import PostgresStore, RedisStore
from realtime_sip.stores.rules import CLAIM_LEASE
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    ModelSays,
    OpenAIEmulator,
    RequestFails,
    Timings,
    run_virtual,
)

pytest_plugins = ["store_fixtures"]

UNANSWERED = RequestFails("accept", times=10, how="no answer", acted=True)
SESSION = {"model": "gpt-realtime-2.1"}
SCENARIO = [ModelSays("Good morning."), CallerSays("Hello?"), ModelSays("Yes?"), CallerHangsUp()]
CALLS = 5
prefixes = itertools.count(1)

SHARED = [
    "memory",
    pytest.param("redis", marks=pytest.mark.stores),
    pytest.param("postgres", marks=pytest.mark.stores),
]


def stores(kind: str, servers: Servers) -> tuple[Any, Any]:
    """Return the stores of two workers, which share what they keep."""
    if kind == "memory":
        shared = MemoryStore()
        return shared, shared
    url = servers.url(kind)
    if kind == "redis":
        prefix = f"unclear-{next(prefixes)}"
        return RedisStore(url, prefix=prefix), RedisStore(url, prefix=prefix)
    return PostgresStore(url), PostgresStore(url)


async def served_by_two(first: Any, second: Any, **emulator: Any) -> Counter[int]:
    """Announce calls to two workers at once, and return by how many of them the calls were served."""
    serving: Counter[str] = Counter()
    async with OpenAIEmulator(strict=False, **emulator) as openai:

        def worker(client: AsyncRealtimeSip, store: Any) -> CallHost:
            async def on_call(incoming: IncomingCall) -> None:
                async with client.calls.answer(incoming, SESSION) as call:
                    call.respond("Greet the caller.")
                    serving[call.call_id] += 1
                    await call.wait_ended()

            return CallHost(on_call, client=client, store=store)

        async with (
            AsyncRealtimeSip(**openai.client_options) as one,
            AsyncRealtimeSip(**openai.client_options) as other,
        ):
            hosts = [worker(one, first), worker(other, second)]
            calls = [
                await openai.ring(hosts, scenario=SCENARIO, faults=[UNANSWERED], duplicates=1) for _ in range(CALLS)
            ]
            for call in calls:
                await call.ended()
            for host in hosts:
                await host.drain(0)
    # The heartbeats of the hosts end by themselves, and are to be over before their stores are closed.
    left = {task for task in asyncio.all_tasks() if task.get_name() == "heartbeat of a call host"}
    if left:
        await asyncio.wait(left)
    assert len(serving) == CALLS
    return Counter(serving.values())


@pytest.mark.parametrize("kind", SHARED)
def test_law_one_call_one_handler__an_accept_without_an_answer_is_settled_by_the_worker_that_has_the_claim(
    kind: str, servers: Servers
) -> None:
    async def main(**emulator: Any) -> Counter[int]:
        first, second = stores(kind, servers)
        try:
            return await served_by_two(first, second, **emulator)
        finally:
            if kind != "memory":
                await first.close()
                await second.close()

    if kind == "memory":
        served = run_virtual(main())
    else:  # what listens to a server never answers, so that virtual time would wait for it
        served = asyncio.run(main(speed=20, timings=Timings(least_patience=60)))
    assert served == {1: CALLS}


@virtual
async def test_law_one_call_one_handler__a_handler_that_is_slower_than_its_claim_does_not_answer_after_another() -> (
    None
):
    """Its own accept, unanswered as it is, would make it believe that the call is its own."""
    loop = asyncio.get_running_loop()
    store = MemoryStore(clock=loop.time)
    announced: list[IncomingCall] = []
    ends: dict[str, EndReason] = {}
    faults = [RequestFails("accept", occurrence=2, times=10, how="no answer", acted=True)]
    async with (
        OpenAIEmulator(timings=Timings(ring=120, patience=120)) as openai,
        AsyncRealtimeSip(**openai.client_options) as one,
        AsyncRealtimeSip(**openai.client_options) as other,
    ):

        async def slow(incoming: IncomingCall) -> None:
            announced.append(incoming)
            await asyncio.sleep(CLAIM_LEASE + 3)
            async with one.calls.answer(incoming, SESSION) as call:
                call.respond("Greet the caller.")
                pytest.fail("it is another worker's")
            assert call.ended is not None
            ends["slow"] = call.ended.reason

        async def quick(incoming: IncomingCall) -> None:
            async with other.calls.answer(incoming, SESSION) as call:
                call.respond("Greet the caller.")
                await call.wait_ended()

        hosts = CallHost(slow, client=one, store=store), CallHost(quick, client=other, store=store)
        ringing = await openai.ring(
            hosts[0], scenario=[ModelSays("Good morning.", seconds=20), CallerHangsUp()], faults=faults
        )
        await asyncio.sleep(CLAIM_LEASE + 1)
        assert await hosts[1].submit(announced[0]) is Submission.STARTED
        await ringing.ended()
        assert (await hosts[1].ended(ringing.call_id)).reason is EndReason.CALLER
        assert (await hosts[0].ended(ringing.call_id)).reason is EndReason.DETACHED
    assert ends == {"slow": EndReason.DETACHED}
    assert [request.operation for request in ringing.requests if request.operation != "attach"] == ["accept"]
    assert (ringing.tally.accepts, ringing.sidebands) == (1, 1)


def test_with_a_store_each_two_workers_serve_such_a_call() -> None:
    """As `docs/deploying.md` says. If this no longer holds, the page is to be changed."""
    assert run_virtual(served_by_two(MemoryStore(), MemoryStore())) == {2: CALLS}
