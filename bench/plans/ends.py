"""Calls that end in every way, while sockets, webhooks and events go wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from plans.plan import ASK, BY_AGENT, BYE, HELLO, LOOK, NOT_ANSWERED, TELL, Plan, World, scripted
from realtime_sip import Call, EndReason, LimitKind
from realtime_sip.testing import (
    Behavior,
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
    ResponseRaced,
    SocketDropped,
    SocketSilent,
)

__all__ = ["ENDS"]

GOODBYE = (ModelSays("Goodbye."), ModelCalls("end_call", same_response=True))
PHASES = ["attached", "generating", "playing", "tool", "caller"]


class HandlerError(Exception):
    """What a broken handler raises."""


def plain(rng: random.Random) -> Plan:
    return Plan(name="plain", ring={"behavior": Behavior(end_code=rng.choice([1000, 1005, 1006]))})


def agent_ends(_rng: random.Random) -> Plan:
    return Plan(name="agent ends", scenario=(HELLO, ASK, *GOODBYE), reason=EndReason.AGENT, by=BY_AGENT)


def dropped(rng: random.Random) -> Plan:
    fault = SocketDropped(when=rng.choice(PHASES), code=rng.choice([1000, 1001, 1005, 1006, 1011, 1012, 4000]))
    return Plan(name="socket dropped", ring={"faults": [fault]}, checks=(scripted,))


def dropped_often(rng: random.Random) -> Plan:
    faults = [SocketDropped(when=phase, code=1006) for phase in rng.sample(PHASES, 3)]
    return Plan(name="socket dropped often", ring={"faults": faults}, checks=(scripted,))


def lost_with_the_call(rng: random.Random) -> Plan:
    fault = SocketDropped(when=rng.choice(PHASES), code=rng.choice([1000, 1006, 1011]), call_over=True)
    return Plan(name="lost with the call", ring={"faults": [fault]})


def silent(rng: random.Random) -> Plan:
    """Sockets that are dead: while the line is quiet, and while something is to be told, which is told all the same."""
    pongs = rng.random() < 0.5
    if rng.random() < 0.5:
        scenario = (HELLO, CallerSays("Hm.", after=50.0), TELL, BYE)
        return Plan(
            name="socket silent", scenario=scenario, ring={"faults": [SocketSilent(when="playing", pongs=pongs)]}
        )

    def check(plan: Plan) -> Iterator[str]:
        if plan.said("model") != [HELLO.text, TELL.text]:
            yield f"the model said {plan.said('model')}"

    fault = SocketSilent(when=rng.choice(["attached", "tool"]), pongs=pongs)
    return Plan(name="socket silent meanwhile", ring={"faults": [fault]}, checks=(check,))


def accept_lies(_rng: random.Random) -> Plan:
    return Plan(
        name="accept lies",
        ring={"behavior": Behavior(accept="lies")},
        reason=EndReason.NOT_CONNECTED,
        by=frozenset({EndedBy.FAILED}),
    )


def late_404(rng: random.Random) -> Plan:
    return Plan(name="late 404", ring={"behavior": Behavior(early=rng.uniform(0.1, 2.0))})


def gave_up_ringing(rng: random.Random) -> Plan:
    scenario = (CallerHangsUp(while_ringing=True, after=rng.uniform(0.0, 0.5)),)
    behavior = Behavior(canceled="gone")
    return Plan(name="caller gave up", scenario=scenario, ring={"behavior": behavior, "late": 2.0})


def talks_to_nobody(_rng: random.Random) -> Plan:
    return Plan(
        name="caller gave up, accept answers",
        scenario=(CallerHangsUp(while_ringing=True),),
        ring={"behavior": Behavior(canceled="answers"), "late": 2.0},
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
    scenario = (HELLO, ASK, TELL)
    return Plan(name="silence", scenario=scenario, reason=EndReason.LIMIT, limit=LimitKind.SILENCE, by=BY_AGENT)


def handler_breaks(rng: random.Random) -> Plan:
    seconds = rng.uniform(0, 5)

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await asyncio.sleep(seconds)
        raise HandlerError

    return Plan(name="handler breaks", talk=talk, reason=EndReason.HANDLER_FAILED, by=BY_AGENT)


def repeated_webhook(rng: random.Random) -> Plan:
    return Plan(name="webhook repeated", ring={"duplicates": rng.randint(1, 4)})


def stale_webhook(rng: random.Random) -> Plan:
    late = rng.choice([rng.uniform(40, 280), rng.uniform(320, 7200), 71 * 3600.0])

    def check(plan: Plan) -> Iterator[str]:
        asked = [request.operation for request in plan.ringing.requests]
        if asked != (["accept"] if late < 300 else []):
            yield f"{late:.0f} s late, it asked for {asked}"

    ring = {"late": late}
    return Plan(name="webhook stale", ring=ring, reason=EndReason.STALE, by=NOT_ANSWERED, checks=(check,))


def raced(rng: random.Random) -> Plan:
    scenario = (HELLO, ASK, LOOK, ModelSays("Hm?"), CallerSays("Well?"), TELL, BYE)
    behavior = Behavior(busy_names_event=rng.random() < 0.5)
    fault = ResponseRaced(occurrence=rng.randint(1, 2), said=rng.choice([None, "And tell me"]))
    return Plan(name="response raced", scenario=scenario, ring={"faults": [fault], "behavior": behavior})


def event_lost(rng: random.Random) -> Plan:
    kinds = ["response.created", "response.done", "output_audio_buffer.stopped", "output_audio_buffer.started"]
    fault = EventLost(rng.choice([*kinds, "session.updated", "input_audio_buffer.speech_stopped"]))
    scenario = (HELLO, ASK, LOOK, TELL, CallerHangsUp(after=20.0))
    return Plan(name="event lost", scenario=scenario, ring={"faults": [fault]})


def strange_frames(rng: random.Random) -> Plan:
    junk: list[str | bytes] = [
        "[]",
        "{",
        '{"type": "new.event"}',
        b"\x00\xff",
        '{"type": "response.done", "response": 7}',
        "x" * 100_000,
    ]
    faults = [
        FrameInjected(when=rng.choice(["attached", "generating", "playing"]), data=rng.choice(junk)),
        ErrorSent(when=rng.choice(["attached", "playing"])),
        EventRepeated(rng.choice(["response.done", "response.output_item.done", "response.created"])),
    ]
    return Plan(name="strange frames", ring={"faults": faults})


def model_fails(rng: random.Random) -> Plan:
    failed = ModelFails(rng.choice(["rate_limit_exceeded", "content_filter", "max_output_tokens"]))
    return Plan(name="response fails", scenario=(HELLO, ASK, failed, TELL, CallerPresses("42"), BYE))


def interrupted(_rng: random.Random) -> Plan:
    scenario = (ModelSays("z" * 300), CallerSays("Stop!", interrupting=True), TELL, BYE)
    return Plan(name="barge-in", scenario=scenario)


def service_fails(rng: random.Random) -> Plan:
    """The replies to one operation fail a few times, or its last one is lost."""
    operation = rng.choice(["accept", "attach", "hangup"])
    fails = {"operation": operation, "status": rng.choice([500, 503]), "times": 1}
    plan = Plan(name=f"{operation} fails", world=World(fails=fails))
    match operation:
        case "accept":
            # Whether it was carried out is unknown, and so it is not repeated: attaching tells.
            fails["acted"] = True
            fails["how"] = rng.choice(["status", "reset"])
        case "attach":
            fails["times"] = rng.randint(1, 3)
        case "hangup":
            fails |= {"times": rng.randint(1, 12), "how": rng.choice(["status", "reset"])}
            plan.scenario, plan.reason, plan.by = (HELLO, ASK, *GOODBYE), EndReason.AGENT, BY_AGENT
    return plan


ENDS = [
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
    service_fails,
]
