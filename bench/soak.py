"""A thousand calls with random faults, and whether each of them ended as it had to.

Run by `make soak`. The calls run against the emulator over real sockets on virtual time, fifty at a time. A seed
decides what goes wrong in each; the script that breaks a call says how it must end, for the program and for the
service, and the SDK is held to that. At the end no call may be up without an agent, and no task, socket or thread may
be left.

    python bench/soak.py [--calls N] [--seed N] [--at-once N]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from realtime_sip import AsyncRealtimeSip, Call, CallHost, CallLimits, EndReason, IncomingCall, Tools, end_call
from realtime_sip.testing import (
    Behaviour,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ErrorSent,
    EventLost,
    EventRepeated,
    FrameInjected,
    ModelCalls,
    ModelFails,
    ModelSays,
    OpenAIEmulator,
    ResponseRaced,
    SocketDropped,
    SocketSilent,
    run_virtual,
)

SESSION = {"model": "gpt-realtime-2.1", "instructions": "You answer the phone of a shop."}
HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
LOOK = ModelCalls("order_status", {"order_id": "1042"})
TELL = ModelSays("It comes tomorrow.")
BYE = CallerHangsUp()
GOODBYE = (ModelSays("Goodbye."), ModelCalls("end_call", same_response=True))
PHASES = ["attached", "generating", "playing", "tool", "caller"]
# What the service may be left with where nobody tells it of an end.
BY_CALLER = frozenset({EndedBy.CALLER})


class HandlerError(Exception):
    """What a broken handler raises."""


@dataclass(kw_only=True)
class Plan:
    """One call: what happens on it, and how it must end."""

    name: str
    scenario: tuple[Any, ...] = (HELLO, ASK, LOOK, TELL, BYE)
    ring: dict[str, Any] = field(default_factory=dict)
    breaks: bool = False
    reason: EndReason = EndReason.CALLER
    by: frozenset[EndedBy] = BY_CALLER


def plain(rng: random.Random) -> Plan:
    return Plan(name="plain", ring={"behaviour": Behaviour(end_code=rng.choice([1000, 1005, 1006]))})


def agent_ends(_rng: random.Random) -> Plan:
    by = frozenset({EndedBy.AGENT})
    return Plan(name="agent ends", scenario=(HELLO, ASK, *GOODBYE), reason=EndReason.AGENT, by=by)


def dropped(rng: random.Random) -> Plan:
    fault = SocketDropped(when=rng.choice(PHASES), code=rng.choice([1000, 1001, 1005, 1006, 1011, 1012, 4000]))
    return Plan(name="socket dropped", ring={"faults": [fault]})


def dropped_often(rng: random.Random) -> Plan:
    faults = [SocketDropped(when=phase, code=1006) for phase in rng.sample(PHASES, 3)]
    return Plan(name="socket dropped often", ring={"faults": faults})


def lost_with_the_call(rng: random.Random) -> Plan:
    fault = SocketDropped(when=rng.choice(PHASES), code=rng.choice([1000, 1006, 1011]), call_over=True)
    return Plan(name="lost with the call", ring={"faults": [fault]})


def silent(rng: random.Random) -> Plan:
    scenario = (HELLO, CallerSays("Hm.", after=50.0), TELL, BYE)
    fault = SocketSilent(when="playing", pongs=rng.random() < 0.5)
    return Plan(name="socket silent", scenario=scenario, ring={"faults": [fault]})


def accept_lies(_rng: random.Random) -> Plan:
    behaviour = Behaviour(accept="lies")
    by = frozenset({EndedBy.FAILED})
    return Plan(name="accept lies", ring={"behaviour": behaviour}, reason=EndReason.NOT_CONNECTED, by=by)


def late_404(rng: random.Random) -> Plan:
    return Plan(name="late 404", ring={"behaviour": Behaviour(early=rng.uniform(0.1, 2.0))})


def gave_up_ringing(rng: random.Random) -> Plan:
    scenario = (CallerHangsUp(while_ringing=True, after=rng.uniform(0.0, 0.5)),)
    behaviour = Behaviour(cancelled="gone")
    return Plan(name="caller gave up", scenario=scenario, ring={"behaviour": behaviour, "late": 2.0})


def talks_to_nobody(_rng: random.Random) -> Plan:
    scenario = (CallerHangsUp(while_ringing=True),)
    return Plan(
        name="caller gave up, accept answers",
        scenario=scenario,
        ring={"behaviour": Behaviour(cancelled="answers"), "late": 2.0},
        reason=EndReason.LIMIT,
        by=frozenset({EndedBy.AGENT, EndedBy.CALLER}),
    )


def hangs_up_meanwhile(rng: random.Random) -> Plan:
    scenario = rng.choice(
        [
            (HELLO, ASK, LOOK, CallerHangsUp(during="tool")),
            (ModelSays("z" * 400), CallerHangsUp(during="speech")),
            (HELLO, ASK, ModelSays("z" * 400), CallerHangsUp(interrupting=True)),
        ]
    )
    return Plan(name="caller hangs up meanwhile", scenario=scenario)


def falls_silent(_rng: random.Random) -> Plan:
    by = frozenset({EndedBy.AGENT})
    return Plan(name="silence", scenario=(HELLO, ASK, TELL), reason=EndReason.LIMIT, by=by)


def handler_breaks(_rng: random.Random) -> Plan:
    by = frozenset({EndedBy.AGENT})
    return Plan(name="handler breaks", breaks=True, reason=EndReason.HANDLER_FAILED, by=by)


def repeated_webhook(rng: random.Random) -> Plan:
    return Plan(name="webhook repeated", ring={"duplicates": rng.randint(1, 4)})


def stale_webhook(rng: random.Random) -> Plan:
    by = frozenset({EndedBy.NOT_ANSWERED})
    return Plan(name="webhook stale", ring={"late": rng.uniform(40, 3600)}, reason=EndReason.STALE, by=by)


def raced(rng: random.Random) -> Plan:
    scenario = (HELLO, ASK, LOOK, ModelSays("Hm?"), TELL, BYE)
    behaviour = Behaviour(busy_names_event=rng.random() < 0.5)
    fault = ResponseRaced(occurrence=rng.randint(1, 2), said=rng.choice([None, "And tell me"]))
    return Plan(name="response raced", scenario=scenario, ring={"faults": [fault], "behaviour": behaviour})


def event_lost(rng: random.Random) -> Plan:
    kinds = ["response.created", "response.done", "output_audio_buffer.stopped", "output_audio_buffer.started"]
    fault = EventLost(rng.choice([*kinds, "session.updated", "input_audio_buffer.speech_stopped"]))
    scenario = (HELLO, ASK, LOOK, TELL, CallerHangsUp(after=20.0))
    return Plan(name="event lost", scenario=scenario, ring={"faults": [fault]})


def strange_frames(rng: random.Random) -> Plan:
    junk = ["[]", "{", '{"type": "new.event"}', b"\x00\xff", '{"type": "response.done", "response": 7}', "x" * 100_000]
    faults = [
        FrameInjected(when=rng.choice(["attached", "generating", "playing"]), data=rng.choice(junk)),
        ErrorSent(when=rng.choice(["attached", "playing"])),
        EventRepeated(rng.choice(["response.done", "response.output_item.done", "response.created"])),
    ]
    return Plan(name="strange frames", ring={"faults": faults})


def model_fails(rng: random.Random) -> Plan:
    failed = ModelFails(rng.choice(["rate_limit_exceeded", "content_filter", "max_output_tokens"]))
    return Plan(name="response fails", scenario=(HELLO, ASK, failed, CallerPresses("42"), BYE))


def interrupted(_rng: random.Random) -> Plan:
    scenario = (ModelSays("z" * 300), CallerSays("Stop!", interrupting=True), TELL, BYE)
    return Plan(name="barge-in", scenario=scenario)


PLANS: list[Callable[[random.Random], Plan]] = [
    plain,
    agent_ends,
    dropped,
    dropped_often,
    lost_with_the_call,
    silent,
    accept_lies,
    late_404,
    gave_up_ringing,
    talks_to_nobody,
    hangs_up_meanwhile,
    falls_silent,
    handler_breaks,
    repeated_webhook,
    stale_webhook,
    raced,
    event_lost,
    strange_frames,
    model_fails,
    interrupted,
]


class Progress:
    """A bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0

    def step(self) -> None:
        self.done += 1
        if sys.stdout.isatty():
            filled = self.done * 40 // self.total
            print(f"\r[{'#' * filled}{' ' * (40 - filled)}] {self.done}/{self.total}", end="", flush=True)
        elif self.done % max(self.total // 10, 1) == 0:
            print(f"{self.done}/{self.total}", flush=True)


async def soak(calls: int, seed: int, at_once: int) -> list[str]:
    """Play the calls; return what went wrong."""
    wrong: list[str] = []
    names: Counter[str] = Counter()
    progress = Progress(calls)
    rng = random.Random(seed)
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        await asyncio.sleep(rng.uniform(0, 3))
        return f"{order_id} comes tomorrow"

    tools.function(end_call)
    async with OpenAIEmulator() as openai:
        client = AsyncRealtimeSip(openai.api_key, base_url=openai.base_url, webhook_secret=openai.webhook_secret)
        client.calls.transport.unix = openai.now
        broken: set[str] = set()

        async def on_call(incoming: IncomingCall) -> None:
            limits = CallLimits(silence=90.0)
            async with client.calls.answer(incoming, SESSION, tools=tools, limits=limits) as call:
                await talk(call)

        async def talk(call: Call) -> None:
            await call.respond("Greet the caller.")
            if call.call_id in broken:
                await asyncio.sleep(rng.uniform(0, 5))
                raise HandlerError
            await call.wait_ended()

        host = CallHost(on_call, client=client, max_calls=at_once * 2)
        free = asyncio.Semaphore(at_once)

        async def play(number: int, plan: Plan) -> None:
            async with free:
                names[plan.name] += 1
                ringing = await openai.ring(host, scenario=plan.scenario, **plan.ring)
                if plan.breaks:
                    broken.add(ringing.call_id)
                await ringing.until_delivered(timeout=7200)
                ended = await host.ended(ringing.call_id)
                if ringing.state != "ended" and ended.reason is not EndReason.STALE:
                    wrong.append(f"call {number}, {plan.name}: over for the program ({ended.evidence}) and still up")
                end = await ringing.ended(timeout=600)
                if ended.reason is not plan.reason or end.by not in plan.by:
                    wrong.append(
                        f"call {number}, {plan.name}: {ended.reason.value} ({ended.evidence}), for the service "
                        f"{end.by}; it had to be {plan.reason.value}; {plan.ring}"
                    )
                progress.step()

        plans = [PLANS[rng.randrange(len(PLANS))](rng) for _ in range(calls)]
        async with client:
            await asyncio.gather(*(play(number, plan) for number, plan in enumerate(plans)))
            await host.drain(1)
            if host.live:
                wrong.append(f"{host.live} calls are still held by the host")
            up = [call_id for call_id, call in openai.calls.items() if call.state != "ended"]
            if up:
                wrong.append(f"{len(up)} calls are up without an agent")
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if left:
        wrong.append(f"{len(left)} tasks are left, such as {left[0]}")
    print()
    for name, count in sorted(names.items()):
        print(f"  {count:5} {name}")
    return wrong


def sockets() -> int:
    """Return how many files and sockets are open, where the system tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH208, PTH112


def main() -> int:
    """Run the soak and return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args()
    logging.getLogger("realtime_sip").setLevel(logging.CRITICAL)
    before = sockets()
    began = time.monotonic()
    wrong = run_virtual(soak(options.calls, options.seed, options.at_once))
    gc.collect()
    if sockets() > before:
        wrong.append(f"{sockets() - before} sockets or files are left open")
    if threading.active_count() > 1:
        wrong.append(f"{threading.active_count() - 1} threads are left")
    print(f"\n{options.calls} calls, seed {options.seed}, in {time.monotonic() - began:.1f} s: ", end="")
    print("each ended as it had to, and nothing is left" if not wrong else f"{len(wrong)} went wrong")
    for line in wrong[:20]:
        print(f"  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
