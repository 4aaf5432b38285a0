"""Workers that share a store, each a host with a client of its own, and one that dies without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from phone import SESSION, wait
from realtime_sip import AsyncRealtimeSip, Call, CallEnded, CallHost, EndReason, IncomingCall, MemoryStore
from realtime_sip.hosting import at_exit
from realtime_sip.telemetry import Telemetry
from realtime_sip.testing import Behavior, OpenAIEmulator, RingingCall, Timings
from realtime_sip.testing.scenario import Step

GONE = CallEnded(
    reason=EndReason.DETACHED, certainty="inferred", evidence="", started_at=0.0, attached_at=None, ended_at=0.0
)
Answering = Callable[[Call], Awaitable[None]]


class Worker:
    """A host, and the calls that its handler has had."""

    def __init__(self, client: AsyncRealtimeSip, store: MemoryStore, talk: Answering, **options: Any) -> None:
        self.client = client
        self.talk = talk
        self.calls: list[Call] = []
        self.answer_options: dict[str, Any] = {}
        self.host = CallHost(self.on_call, client=client, store=store, **options)

    async def on_call(self, incoming: IncomingCall) -> None:
        async with self.client.calls.answer(incoming, SESSION, **self.answer_options) as call:
            self.calls.append(call)
            await self.talk(call)

    async def die(self) -> None:
        """Do nothing any more, as after SIGKILL: no request, no frame, no heartbeat."""
        claims: Any = self.host._claims
        claims._beating.cancel()
        claims._watching = False
        dead = [claims._beating]
        answering = [taken.call for taken in self.host._calls.values() if taken.call is not None]
        for call in {*self.calls, *answering}:
            runtime: Any = call._runtime
            runtime.step = lambda _what: None
            runtime._alarm.stop()
            if not runtime.over.done():
                runtime.over.set_result(GONE)
            dead += runtime.tasks.running
        for taken in self.host._calls.values():
            taken.trace = None
            dead += [each for each in (taken.serving, taken.handling) if each is not None]
            claims._calls[taken.call_id].lost.set()  # ends the task that renews
            claims._calls[taken.call_id].lost = asyncio.Event()
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        at_exit.forget(self.host)


class Fleet:
    """Workers that share a store, and who rings them."""

    def __init__(self, openai: OpenAIEmulator, workers: list[Worker], store: MemoryStore) -> None:
        self.openai = openai
        self.workers = workers
        self.store = store

    async def ring(self, *scenario: Step, at: int = 0, behavior: Behavior | None = None, **invite: Any) -> RingingCall:
        """Let a call come in at a worker."""
        host = self.workers[at].host
        return await self.openai.ring(host, scenario=scenario, behavior=behavior, **invite)


@asynccontextmanager
async def fleet(
    count: int = 2,
    *,
    talk: Answering = wait,
    timings: Timings | None = None,
    context_secret: str | None = None,
    max_calls: int = 200,
    telemetry: Telemetry | None = None,
    **answer_options: Any,
) -> AsyncIterator[Fleet]:
    """Set everything up, all workers watching, and see that nothing is left of it."""
    store = MemoryStore(clock=asyncio.get_running_loop().time)
    store.shared = True
    async with OpenAIEmulator(
        timings=timings, context_secret=context_secret, starts_at=1_795_000_000.0, strict=False
    ) as openai:
        clients = [AsyncRealtimeSip(**openai.client_options) for _ in range(count)]
        workers = [Worker(client, store, talk, max_calls=max_calls, telemetry=telemetry) for client in clients]
        for worker in workers:
            worker.answer_options = answer_options
            worker.host.watch()
        await asyncio.sleep(1.5)  # each knows of the others
        try:
            yield Fleet(openai, workers, store)
        finally:
            for worker in workers:
                await worker.host.drain(0)
                await worker.client.close()
            await asyncio.sleep(2)
