"""Two thousand calls with random faults, and whether each of them ended as it had to.

Run by `make soak`. The calls run against the emulator over real sockets on virtual time, fifty at a time. A seed
decides what happens on each and what goes wrong; the script says how it must end, for the program and for the service,
and what else must hold: who was dialed, which digits were collected, what is in the log. The SDK is held to that. At
the end no call may be up without an agent, and no task, socket, thread or file may be left. The service counts for how
long each call was up with nobody attached.

    python bench/soak.py [--calls N] [--seed N] [--at-once N] [--only NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from plans import Plan, Shelf, World, drawn, scripted
from realtime_sip import (
    AsyncRealtimeSip,
    CallEnded,
    CallHost,
    EndReason,
    IncomingCall,
    MemoryStore,
    RealtimeSession,
    Router,
    Submission,
)
from realtime_sip.errors import CallEndedError, TransferError
from realtime_sip.testing import OpenAIEmulator, Timings, run_virtual

DIALED = "+14155550199"
BROKEN_ROUTE = "+14155550151"
PATIENCE = 150.0
"""Seconds that callers wait for the program: longer than any transfer takes to come to nothing."""

STUCK = 1800.0
"""Seconds, real ones, after which the soak is given up: it takes a minute or two."""

PATIENCE_OF_SOAK = 72 * 3600.0
"""Seconds for one call: a webhook may be that late."""

ALONE = 20.0
"""Seconds that a call may be up with nobody attached: while attaching again is tried, or the hang-up is repeated."""


class Progress:
    """A bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def step(self) -> None:
        """Note that a call is over."""
        self.done += 1
        if sys.stdout.isatty():
            filled = self.done * 40 // self.total
            print(f"\r[{'#' * filled}{' ' * (40 - filled)}] {self.done}/{self.total}", end="", flush=True)
        elif self.done % max(self.total // 10, 1) == 0:
            print(f"{self.done}/{self.total}", flush=True)


class Door:
    """A host behind an endpoint whose client goes away after so many seconds: what it awaits is canceled."""

    def __init__(self, host: CallHost, seconds: float) -> None:
        self._host, self._seconds = host, seconds

    async def submit(self, incoming: IncomingCall) -> Submission:
        """Hand a call on, for as long as somebody waits for that."""
        async with asyncio.timeout(self._seconds):
            return await self._host.submit(incoming)

    async def ended(self, call_id: str) -> CallEnded:
        """Wait for the end of a call."""
        return await self._host.ended(call_id)


class Exchange:
    """An emulated service, and a program that answers its calls: each as its plan says."""

    def __init__(self, openai: OpenAIEmulator, world: World) -> None:
        self.openai = openai
        options = openai.client_options
        options["clock"] = lambda: openai.now() + world.clock_off
        self.client = AsyncRealtimeSip(**options)
        self.plans: dict[str, Plan] = {}
        self.router = Router()

        def breaks(_incoming: IncomingCall) -> bool:
            raise ZeroDivisionError

        self.router.add(self.on_call, session=self.session, dialed=DIALED)
        self.router.add(self.on_call, session=self.session, dialed=BROKEN_ROUTE, when=breaks)
        self.host = CallHost(self.router, client=self.client)

    def session(self, incoming: IncomingCall) -> dict[str, Any]:
        """Return what a call is answered with."""
        return self.plans[incoming.call_id].session

    async def on_call(self, incoming: IncomingCall, session: RealtimeSession) -> None:
        """Answer a call."""
        plan = self.plans[incoming.call_id]
        async with self.client.calls.answer(incoming, session, **plan.options) as call:
            plan.began(call)
            try:
                await plan.talk(call)
            except (CallEndedError, TransferError):
                raise
            except Exception as error:
                plan.broken = error
                raise

    def host_for(self, plan: Plan) -> CallHost:
        """Return a host as the plan wants it."""
        if (plan.policy, plan.store, plan.max_calls) == (None, None, None):
            return self.host
        store = MemoryStore(clock=asyncio.get_running_loop().time) if plan.store is None else plan.store()
        return CallHost(
            self.router, client=self.client, policy=plan.policy, store=store, max_calls=plan.max_calls or 200
        )

    def another(self) -> CallHost:
        """Return another worker's host, which shares no store with anybody."""
        return CallHost(self.router, client=self.client)

    async def play(self, plan: Plan, host: CallHost) -> None:
        """Let a call come in, and go to its end."""
        hosts = [host, *(self.another() for _ in range(plan.rivals))]
        target = hosts if plan.goes_away is None else Door(host, plan.goes_away)
        plan.ringing = ringing = await self.openai.ring(
            target, scenario=plan.scenario, **{"dialed": DIALED} | plan.ring
        )
        self.plans[ringing.call_id] = plan
        outside = None if plan.outside is None else asyncio.ensure_future(plan.outside(plan))
        try:
            async with asyncio.timeout(PATIENCE_OF_SOAK):
                await ringing.until_delivered(timeout=PATIENCE_OF_SOAK, count=len(hosts))
                ends = [await each.ended(ringing.call_id) for each in hosts]
                ends.sort(key=lambda ended: ended.reason is EndReason.DECIDED_ELSEWHERE)
                plan.ended, *plan.others = ends
                plan.end = await ringing.ended(timeout=600)
                if outside is not None:
                    await outside
        finally:
            if outside is not None:
                outside.cancel()
                await asyncio.gather(outside, return_exceptions=True)


@asynccontextmanager
async def exchange(wrong: list[str], world: World | None = None) -> AsyncIterator[Exchange]:
    """Set up an exchange in a world, and see that nothing is left of it."""
    world = world or World()
    async with OpenAIEmulator(timings=Timings(patience=PATIENCE), strict=False) as openai:
        here = Exchange(openai, world)
        if world.fails is not None:
            openai.fail(**world.fails)
        async with here.client:
            meanwhile = asyncio.ensure_future(changes(here, world))
            yield here
            await meanwhile
            await here.host.drain(1)
            if here.host.live:
                wrong.append(f"{here.host.live} calls are still held by the host")
            up = [call for call in openai.calls.values() if call.state != "ended"]
            if up:
                wrong.append(f"{len(up)} calls are up without an agent, {len(openai.unattended)} with nobody attached")


async def changes(here: Exchange, world: World) -> None:
    """Let happen what happens in a world."""
    if world.weather is not None:
        await world.weather(here.openai)
    if world.drains is not None:
        after, seconds = world.drains
        await asyncio.sleep(after)
        await here.host.drain(seconds)


def judged(plan: Plan) -> Iterator[str]:
    """Tell what is wrong about a call that is over."""
    ended, end = plan.ended, plan.end
    # The carrier may tell after the end that the target has answered.
    certainty = ended.certainty if plan.call is None or plan.call.ended is None else plan.call.ended.certainty
    found = (ended.reason, ended.limit if plan.limit else None, certainty if plan.certainty else None)
    if found != (plan.reason, plan.limit, plan.certainty):
        limit = f" of {ended.limit.value}" if ended.limit else ""
        yield f"{ended.reason.value}{limit}, {certainty} ({ended.evidence}); it had to be {plan.reason.value}"
    if end.by not in plan.by:
        yield f"ended by {end.by} for the service; it had to be {', '.join(plan.by)}"
    if end.status_code != plan.status_code:
        yield f"rejected with {end.status_code}, not {plan.status_code}"
    if plan.broken is not None and plan.reason is not EndReason.HANDLER_FAILED:
        yield f"the program failed: {type(plan.broken).__name__}: {plan.broken}"
    yield from (note for note in plan.ringing.notes if "the emulator itself failed" in note)
    tally = plan.ringing.tally
    if tally.accepts > 1:
        yield f"it was accepted {tally.accepts} times"
    if tally.unattended > ALONE and plan.reason is not EndReason.DETACHED:
        yield f"it was up for {tally.unattended:.0f} s with nobody attached"
    if len(plan.others) != plan.rivals or any(each.reason is not EndReason.DECIDED_ELSEWHERE for each in plan.others):
        yield f"the other workers say {', '.join(each.reason.value for each in plan.others)}"
    for check in plan.checks:
        yield from check(plan)
    if plan.call is not None and plan.untroubled:
        yield from metered(plan)
        if plan.reason is not EndReason.LIMIT:  # which has a goodbye
            yield from scripted(plan)


def metered(plan: Plan) -> Iterator[str]:
    """Tell where usage and what the agent said are not what was told, though all was heard."""
    assert plan.call is not None
    done = [event["response"]["usage"] for event in plan.told("response.done")]
    used = sum(usage["total_tokens"] for usage in done if usage)
    if (plan.call.usage.tokens.total, plan.call.usage.responses) != (used, len(done)):
        yield f"{plan.call.usage.tokens.total} tokens were counted, and {used} were told"
    spoken = [line.text for line in plan.call.transcript if line.by == "agent"]
    if spoken and not plan.call.transcript[-1].complete:
        spoken.pop()  # the end of the call came before its end
    said = plan.said("model")
    if spoken[: len(said)] != said[: len(spoken)] or len(said) - len(spoken) not in (0, 1):
        yield f"the agent said {said}, and the transcript has {spoken}"


async def soak(calls: int, seed: int, at_once: int, only: str, shelf: Shelf) -> tuple[int, list[str]]:
    """Play the calls; return how many, and what went wrong."""
    wrong: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: wrong.append(f"in the loop: {told}"))
    plans = [plan for plan in drawn(random.Random(seed), calls=calls, shelf=shelf) if only in plan.name]
    names = Counter(each.name for plan in plans for each in (*plan.crowd, plan))
    progress = Progress(names.total())
    free = asyncio.Semaphore(at_once)
    alone: list[tuple[float, str]] = []
    async with exchange(wrong) as shared:

        async def play(plan: Plan, here: Exchange, host: CallHost) -> None:
            try:
                await here.play(plan, host)
                found = list(judged(plan))
                if plan.reason not in (EndReason.DETACHED, EndReason.DECIDED_ELSEWHERE):
                    alone.append((plan.ringing.tally.unattended, plan.name))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                found = [f"{type(error).__name__}: {error}"]
            wrong.extend(f"call {plan.number}, {plan.name}: {what}; {plan.troubles()}" for what in found)
            progress.step()

        async def play_all(plan: Plan) -> None:
            async with free:
                if plan.world is None:
                    await play_on(plan, shared)
                    return
                async with exchange(wrong, plan.world) as own:
                    await play_on(plan, own)

        async def play_on(plan: Plan, here: Exchange) -> None:
            host = here.host_for(plan)
            playing: list[asyncio.Future[None]] = []
            for each in (*plan.crowd, plan):
                await asyncio.sleep(each.pause if playing else 0.0)
                playing.append(asyncio.ensure_future(play(each, here, host)))
            await asyncio.gather(*playing)

        await asyncio.gather(*map(play_all, plans))
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if left:
        wrong.append(f"{len(left)} tasks are left, such as {left[0]}")
    print()
    for name, count in sorted(names.items()):
        print(f"  {count:5} {name}")
    longest, name = max(alone, default=(0.0, "none"))
    print(
        f"\nno call was up for longer than {longest:.1f} s with nobody attached ({name}; at most {ALONE:g} s are borne)"
    )
    return names.total(), wrong


def sockets() -> int:
    """Return how many files and sockets are open, where the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH208, PTH112


def soaked(calls: int, seed: int, at_once: int, only: str) -> tuple[int, list[str]]:
    """Play the calls on virtual time, with a shelf for their logs."""
    shelf = Shelf()
    try:
        return run_virtual(soak(calls, seed, at_once, only, shelf))
    finally:
        shelf.close()


def main() -> int:
    """Run the soak and return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--only", default="", metavar="NAME", help="play those of the calls alone that have this name")
    options = parser.parse_args()
    logging.getLogger("realtime_sip").setLevel(logging.CRITICAL)
    # A program that asks again and again without waiting stops the virtual clock, and with it every deadline.
    faulthandler.dump_traceback_later(STUCK, exit=True)
    before = sockets()
    began = time.monotonic()
    calls, wrong = soaked(options.calls, options.seed, options.at_once, options.only)
    gc.collect()
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1)  # those that wrote logs end once nothing holds them
    if sockets() > before:
        wrong.append(f"{sockets() - before} sockets or files are left open")
    if threading.active_count() > 1:
        wrong.append(f"{threading.active_count() - 1} threads are left")
    print(f"{calls} calls, seed {options.seed}, in {time.monotonic() - began:.1f} s: ", end="")
    print("each ended as it had to, and nothing is left" if not wrong else f"{len(wrong)} went wrong")
    for line in wrong[:50]:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
