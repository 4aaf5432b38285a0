"""Calls during outages: of the REST API under load, of the sidebands' server, of a clock, of single requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any, get_args

from plans.plan import (
    ASK,
    BY_AGENT,
    BY_CALLER,
    BYE,
    HELLO,
    LOOK,
    NOT_ANSWERED,
    REJECTED,
    TELL,
    Plan,
    World,
    scripted,
)
from realtime_sip import CallLimits, EndReason
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    PingsUnanswered,
    RequestFails,
    ServiceRestarts,
    SocketDropped,
)
from realtime_sip.testing.reply_faults import How, Operation

__all__ = ["OUTAGES"]

GOODBYE = (ModelSays("Goodbye."), ModelCalls("end_call", same_response=True))
PHASES = ["attached", "generating", "playing", "tool", "caller"]
RINGS = 20.0
"""Seconds that a phone rings at the emulator."""
BEARABLE = 5.0
"""Seconds of an outage that a caller sits out who hears ringing: the program tries for some more."""
STARTING = 3.0
"""Seconds in which a call that rang is attached for certain."""


def moment(rng: random.Random) -> dict[str, Any]:
    return {"when": rng.choice(PHASES), "after": rng.choice([0.0, rng.uniform(0.0, 2.0)])}


# --- the REST API, under load -----------------------------------------------------------------------------------------


def rings_at(began: float, outage: tuple[float, float]) -> str | None:
    """Say how a call fares that rings then: it is "up" before, "waits" for the end, is "lost", or comes "after"."""
    begins, ends = outage
    if began < begins - STARTING:
        return "up"
    if began > ends:
        return "after"
    if began > begins and ends - began < BEARABLE:
        return "waits"
    if began > begins and ends - began > RINGS + STARTING:
        return "lost"
    return None  # it depends on fractions of a second


def outage_under_load(rng: random.Random) -> Plan:
    """REST operations fail for everybody, for a while, while calls come in, talk and end."""
    begins = rng.uniform(4.0, 12.0)
    outage = begins, begins + rng.choice([rng.uniform(1.0, BEARABLE), rng.uniform(26.0, 60.0)])
    how: How = rng.choice(["status", "status", "no answer", "reset"])
    everything = rng.random() < 0.3
    operations: tuple[Operation, ...] = get_args(Operation) if everything else ()
    status, bare = rng.choice([500, 502, 503]), rng.random() < 0.5

    async def weather(openai: OpenAIEmulator) -> None:
        await asyncio.sleep(begins)
        openai.outage(outage[1] - begins, *operations, how=how, status=status, bare=bare)

    starts = sorted(rng.uniform(0.0, outage[1] + 5.0) for _ in range(rng.randint(15, 40)))
    starts = [0.0, *(start for start in starts if rings_at(start, outage) is not None)]
    calls: list[Plan] = []
    for before, start in zip([0.0, *starts], starts, strict=False):
        fares = rings_at(start, outage)
        plan = Plan(name=f"outage: {fares}", pause=start - before)
        if fares == "lost":
            plan.by, plan.certainty = NOT_ANSWERED, "inferred"
            # Without sidebands nobody says that there is no call.
            plan.reason = EndReason.CONNECTION_LOST if everything else EndReason.NOT_CONNECTED
        elif rng.random() < 0.5:
            plan.scenario, plan.reason, plan.by = (HELLO, ASK, *GOODBYE), EndReason.AGENT, BY_AGENT
        elif everything:
            # Nobody could say during the outage that the caller has hung up.
            plan.scenario = (HELLO, ASK, TELL, CallerHangsUp(after=outage[1]))
            plan.answer = {"limits": CallLimits(silence=300.0)}
        calls.append(plan)
    *crowd, last = calls
    last.crowd, last.world = tuple(crowd), World(weather=weather)
    return last


# --- the server of the sidebands --------------------------------------------------------------------------------------


def restarts(rng: random.Random) -> Plan:
    """Sockets open and close for some seconds, which the call outlives."""
    seconds, code = rng.uniform(0.3, 8.0), rng.choice([1001, 1012, 1012, 1013])
    fault = ServiceRestarts(**moment(rng), seconds=seconds, code=code)
    return Plan(name="restart", ring={"faults": [fault]}, checks=(scripted,))


def restarts_for_long(rng: random.Random) -> Plan:
    """Sockets open and close for longer than a caller bears: the call is hung up, and is not left to the model."""
    fault = ServiceRestarts(when=rng.choice(["attached", "playing"]), seconds=rng.uniform(25.0, 60.0))
    return Plan(
        name="restart that lasts",
        scenario=(HELLO, CallerHangsUp(after=120.0)),
        ring={"faults": [fault]},
        reason=EndReason.CONNECTION_LOST,
        by=BY_AGENT,
    )


def restarts_for_all(rng: random.Random) -> Plan:
    """The server restarts once or twice under many calls; so does REST, sometimes."""
    times = [rng.uniform(1.0, 15.0) for _ in range(rng.randint(1, 2))]
    seconds = rng.uniform(0.5, 6.0)
    rest = rng.random() < 0.5

    async def weather(openai: OpenAIEmulator) -> None:
        for pause in times:
            await asyncio.sleep(pause)
            openai.restart(seconds)
            if rest:
                openai.outage(min(seconds, BEARABLE - 1.0))

    calls = [Plan(name="restart of all", pause=rng.uniform(0.0, 1.5)) for _ in range(rng.randint(10, 25))]
    for plan in calls:
        if rng.random() < 0.3:
            # The call of the tool may be lost: then the model is asked to repeat it.
            again = ModelCalls("end_call")
            plan.scenario, plan.reason, plan.by = (HELLO, ASK, *GOODBYE, again), EndReason.AGENT, BY_AGENT
    *crowd, last = calls
    last.crowd, last.world = tuple(crowd), World(weather=weather)
    return last


def half_open(rng: random.Random) -> Plan:
    """The old socket still counts, no new one can be opened, or the old one is closed only by half."""
    fault = rng.choice(
        [
            SocketDropped(**moment(rng), counted=rng.uniform(0.5, 8.0), code=rng.choice([1006, 1011])),
            SocketDropped(**moment(rng), away=rng.uniform(0.5, 8.0), code=rng.choice([1001, 1006, 1012])),
            SocketDropped(**moment(rng), fin=False, code=rng.choice([1000, 1001, 1011, 1012])),
        ]
    )
    return Plan(name="socket half open", ring={"faults": [fault]}, checks=(scripted,))


def pings_unanswered(rng: random.Random) -> Plan:
    """Pings are not answered while events flow: that is no reason to drop a socket."""
    turns = tuple(step for _ in range(rng.randint(1, 4)) for step in (CallerSays("And then?", after=9.0), TELL))

    def check(plan: Plan) -> Iterator[str]:
        if plan.ringing.sidebands != 1:
            yield f"{plan.ringing.sidebands} sidebands were opened"

    fault = PingsUnanswered(when=rng.choice(PHASES[:3]))
    return Plan(
        name="pings unanswered", scenario=(HELLO, *turns, BYE), ring={"faults": [fault]}, checks=(check, scripted)
    )


def stray_404(rng: random.Random) -> Plan:
    """One 404 on attaching again, after a socket that broke, says nothing yet."""
    faults = [
        SocketDropped(**moment(rng), code=rng.choice([1006, 1011, 1012])),
        RequestFails("attach", occurrence=2, status=404, bare=rng.random() < 0.5),
    ]
    return Plan(name="stray 404", ring={"faults": faults}, checks=(scripted,))


def ready_late(rng: random.Random) -> Plan:
    """The sideband can be opened late, or so late that the call is given up; then it is not left to the model."""
    if rng.random() < 0.5:
        behavior = Behavior(sideband_after=rng.uniform(0.6, 6.5), early_named=rng.random() < 0.5)
        return Plan(name="ready late", ring={"behavior": behavior}, checks=(scripted,))
    behavior = Behavior(sideband_after=rng.uniform(12.0, 60.0), early_named=rng.random() < 0.5)
    return Plan(
        name="ready too late",
        ring={"behavior": behavior},
        scenario=(HELLO, CallerHangsUp(after=120.0)),
        reason=EndReason.NOT_CONNECTED,
        by=BY_AGENT,
    )


# --- single requests --------------------------------------------------------------------------------------------------


def accept_fails(rng: random.Random) -> Plan:
    """An accept that was not performed is tried again; one that fails for good is rejected, as is one refused."""
    how: How = rng.choice(["status", "no answer", "reset"])
    if rng.random() < 0.5:
        times = 1 if how == "no answer" else rng.randint(1, 2)
        fault = RequestFails("accept", times=times, how=how, status=rng.choice([500, 503]))
        return Plan(name="accept fails at first", ring={"faults": [fault]}, checks=(scripted,))
    faults = [RequestFails("accept", times=10_000, how=how)]
    plan = Plan(name="accept fails for good", ring={"faults": faults}, reason=EndReason.NOT_CONNECTED)
    if rng.random() < 0.5:
        faults = [RequestFails("accept", times=10_000, status=rng.choice([400, 403, 422]))]
        plan = Plan(name="accept refused", ring={"faults": faults}, reason=EndReason.REJECTED)
    if rng.random() < 0.5:
        faults.append(RequestFails("reject", times=rng.randint(1, 3), status=503))
    plan.by, plan.status_code = REJECTED, 503
    return plan


def hangup_unanswered(rng: random.Random) -> Plan:
    """Hanging up is answered late or never. Meanwhile the model answers nobody, until the caller has enough of it."""
    never = rng.random() < 0.4
    how: How = rng.choice(["no answer", "no answer", "reset", "status"])
    acted = not never and rng.random() < 0.3
    fault = RequestFails("hangup", times=10_000 if never else rng.randint(1, 4), how=how, acted=acted)
    enough = rng.uniform(5.0, 60.0)

    async def outside(plan: Plan) -> None:
        await plan.ringing.until_requested("hangup")
        if never:
            await asyncio.sleep(enough)
            plan.ringing.hang_up()

    def check(plan: Plan) -> Iterator[str]:
        if plan.said("model") != [HELLO.text, GOODBYE[0].text]:
            yield f"the model said {plan.said('model')}"

    return Plan(
        name="hang-up never answered" if never else "hang-up unanswered",
        scenario=(HELLO, ASK, LOOK, *GOODBYE, CallerSays("Hello?", after=2.0), CallerSays("Hello?", after=10.0)),
        outside=outside,
        ring={"faults": [fault]},
        reason=EndReason.AGENT,
        by=BY_CALLER if never else BY_AGENT,
        checks=(check,),
    )


# --- clocks -----------------------------------------------------------------------------------------------------------


def clock_is_off(rng: random.Random) -> Plan:
    """The program's clock is off, so that webhooks look old: up to five minutes a call is answered all the same."""
    off = rng.choice([rng.uniform(31.0, 280.0), -rng.uniform(31.0, 280.0), rng.uniform(320.0, 7200.0)])
    stale = off > 300
    *crowd, last = [Plan(name="clock is off") for _ in range(rng.randint(1, 4))]
    for each in (*crowd, last):
        each.pause = rng.uniform(0.0, 2.0)
        if stale:
            each.name, each.reason, each.by = "clock is off: stale", EndReason.STALE, NOT_ANSWERED
    last.crowd, last.world = tuple(crowd), World(clock_off=off)
    return last


OUTAGES = [
    outage_under_load,
    *[restarts] * 2,
    restarts_for_long,
    restarts_for_all,
    *[half_open] * 2,
    pings_unanswered,
    stray_404,
    ready_late,
    *[accept_fails] * 2,
    *[hangup_unanswered] * 2,
    clock_is_off,
]
