"""Calls that are handed over, while refers, carriers, sockets and callers go wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

from plans.plan import ASK, BY_AGENT, BY_CALLER, BYE, HANDS_OVER, HELLO, Plan
from plans.transfer_script import (
    BILLING,
    BY_CARRIER,
    CONNECTING,
    ESCALATE,
    FOUND_AFTER,
    KEPT,
    SORRY,
    HandsOver,
    Script,
    announces,
    keeps,
)
from realtime_sip import Call, CallLimits, EndReason, LimitKind, TransferTargets
from realtime_sip.errors import TransferError
from realtime_sip.outcomes import TransferFailureReason, TransferProgress
from realtime_sip.testing import (
    CallerSays,
    ModelCalls,
    ModelSays,
    SocketDropped,
    SocketSilent,
)

__all__ = ["TRANSFERS"]

# --- what the script draws --------------------------------------------------------------------------------------------


def refer_fault(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.25:
        return {"operation": "refer", "status": rng.choice([400, 401, 403, 409, 422, 429]), "acted": False}
    how = rng.choice(["status", "no answer", "reset"])
    return {"operation": "refer", "status": rng.choice([500, 503]), "how": how, "acted": rng.random() < 0.7}


def carrier_tells(rng: random.Random, script: Script) -> list[tuple[float, TransferProgress | TransferFailureReason]]:
    """Draw what the carrier tells, which is the truth."""
    refer = script.refer
    if not script.dials:
        after = rng.uniform(0.1, 20.0)
        return rng.choice([[], [(after, TransferFailureReason.CARRIER)]]) if script.fails is None else []
    asked = rng.uniform(0.05, 0.9)
    if refer in ("busy", "no answer"):
        end = TransferFailureReason.BUSY if refer == "busy" else TransferFailureReason.NO_ANSWER
        found = FOUND_AFTER[refer] + rng.uniform(0.1, 0.9)
        ends: list[tuple[float, TransferProgress | TransferFailureReason]] = (
            [(found, end)] if rng.random() < 0.5 else []
        )
        return [(asked, TransferProgress.ASKED), *ends] if rng.random() < 0.5 else ends
    if refer == "given up":
        return [(asked, TransferProgress.ASKED)]
    answered = rng.uniform(6.0, 10.0) if refer == "bridged" else rng.uniform(0.9, 9.0)
    return [(asked, TransferProgress.ASKED), *([(answered, TransferProgress.ANSWERED)] if rng.random() < 0.6 else [])]


def socket_faults(rng: random.Random) -> list[Any]:
    """Draw what happens to the sockets while the transfer is under way, which is from about 3 s after the greeting."""
    after = sorted(rng.uniform(2.6, 40.0) for _ in range(rng.choice([0, 1, 1, 2])))
    codes = [1000, 1005, 1006, 1011, 1012]
    drops: list[Any] = [SocketDropped(when="playing", after=seconds, code=rng.choice(codes)) for seconds in after]
    silence = SocketSilent(when="playing", after=rng.uniform(2.6, 20.0), pongs=rng.random() < 0.5)
    return rng.choice([drops, drops, [silence], []])


def transfer(rng: random.Random, *, fails: bool = False, tells: bool = False) -> Script:
    script = Script(
        refer=rng.choice(["leaves", "bridged", "busy", "no answer", "given up", "ignored"]),
        second=rng.choice([None, "takes", "fails", "hangs", "does nothing"]),
        ring_time=rng.uniform(20.0, 40.0),
    )
    if fails:
        script.fails = refer_fault(rng)
    if tells and not script.refused:
        script.signs = carrier_tells(rng, script)
    return script


def by_program(rng: random.Random, script: Script, name: str, **more: Any) -> Plan:
    checks = () if script.failure is None else (keeps,)
    return script.plan(name, HandsOver(after_speech=rng.random() < 0.5), checks=checks, **more)


# --- the calls --------------------------------------------------------------------------------------------------------


def plain(rng: random.Random) -> Plan:
    return by_program(rng, transfer(rng), "by the program")


def announced(rng: random.Random) -> Plan:
    """The program has the model say first what it does."""
    script = transfer(rng)
    checks = (announces,) if script.failure is None else (announces, keeps)
    talk = HandsOver(announcement="Say that you connect them.")
    return script.plan("announced", talk, scenario=(HELLO, CONNECTING, *KEPT[1:]), checks=checks)


def unreachable(rng: random.Random) -> Plan:
    """A WhatsApp caller, whom the phone network does not take: the model tells them so. A SIP target does."""
    by_sip = rng.random() < 0.3
    talk = HandsOver()
    uri = "sip:billing@pbx.example.com" if by_sip else BILLING

    def check(plan: Plan) -> Iterator[str]:
        if plan.ringing.dialed != ([uri] if by_sip else []):
            yield f"dialed {len(plan.ringing.dialed)} times"
        if not by_sip and (talk.failed is None or talk.failed.reason is not TransferFailureReason.UNREACHABLE):
            yield f"the transfer failed with {talk.failed}"

    return Plan(
        name="transfer: from WhatsApp",
        scenario=KEPT,
        talk=talk,
        ring={"channel": "whatsapp"},
        answer={"transfers": TransferTargets({"billing": uri})},
        reason=EndReason.TRANSFERRED if by_sip else EndReason.CALLER,
        by=BY_CARRIER if by_sip else BY_CALLER,
        checks=(check,) if by_sip else (check, keeps),
    )


def sockets_fail(rng: random.Random) -> Plan:
    return by_program(rng, transfer(rng), "sockets fail", faults=socket_faults(rng))


def socket_stays_open(rng: random.Random) -> Plan:
    script = transfer(rng)
    script.refer = rng.choice(["leaves", "bridged", "given up"])
    return by_program(rng, script, "socket stays open", closes_at_end=False)


def refer_fails(rng: random.Random) -> Plan:
    return by_program(rng, transfer(rng, fails=True), "refer fails", faults=socket_faults(rng))


def carrier_speaks(rng: random.Random) -> Plan:
    return by_program(rng, transfer(rng, tells=True), "the carrier tells", faults=socket_faults(rng))


def dialed_once(rng: random.Random) -> Plan:
    """The carrier has said that it dials, and nothing comes of it: no fallback dials once more."""
    script = transfer(rng)
    script.refer, script.second = rng.choice(["busy", "no answer"]), "takes"
    script.signs = [(rng.uniform(0.1, 15.0), TransferProgress.ASKED)]
    script.fails = rng.choice([None, {"operation": "refer", "status": 500, "how": "reset", "acted": True}])
    return by_program(rng, script, "dialed once", faults=socket_faults(rng))


def refer_fails_and_carrier_speaks(rng: random.Random) -> Plan:
    return by_program(rng, transfer(rng, fails=True, tells=True), "refer fails, the carrier tells")


def answered_and_stays(rng: random.Random) -> Plan:
    """The carrier says that the target has answered, and the caller's leg stays: then it is hung up."""
    talk = HandsOver()
    script = Script(refer="ignored", second="takes", signs=[(rng.uniform(0.1, 30.0), TransferProgress.ANSWERED)])
    plan = script.plan("answered, and the leg stays", talk)

    def check(plan: Plan) -> Iterator[str]:
        if plan.ringing.dialed or talk.failed is not None:
            yield f"dialed {len(plan.ringing.dialed)} times, failed with {talk.failed}"

    plan.checks, plan.certainty = (check,), None
    plan.reason, plan.by = EndReason.TRANSFERRED, BY_AGENT
    return plan


def caller_gives_up(rng: random.Random) -> Plan:
    """The caller hangs up while the target rings, or while nothing happens."""
    script = Script(refer=rng.choice(["bridged", "no answer", "ignored"]), second="takes")
    if rng.random() < 0.4:
        how = rng.choice(["status", "reset"])
        script.fails = {"operation": "refer", "status": 500, "how": how, "acted": rng.random() < 0.5}
    seconds = rng.uniform(0.1, 7.5)

    async def outside(plan: Plan) -> None:
        await plan.ringing.until_requested("refer")
        await asyncio.sleep(seconds)
        plan.ringing.hang_up()

    def check(plan: Plan) -> Iterator[str]:
        if len(plan.ringing.dialed) != script.dials:
            yield f"dialed {len(plan.ringing.dialed)} times"

    fault = SocketDropped(when="playing", after=rng.uniform(2.6, 9.0))
    plan = script.plan("caller gives up", HandsOver(), faults=rng.choice([[], [fault]]))
    plan.outside, plan.checks, plan.by = outside, (check,), BY_CALLER
    plan.reason = EndReason.TRANSFERRED if script.fails is None else EndReason.CALLER
    plan.certainty = "inferred"
    return plan


def by_tool(rng: random.Random) -> Plan:
    script = transfer(rng, fails=rng.random() < 0.4)
    hands_over = (CONNECTING, ModelCalls("transfer_to_human", ESCALATE, same_response=True))

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    return script.plan(
        "by the model",
        talk,
        scenario=(HELLO, ASK, *hands_over, *KEPT[1:]),
        answer={"tools": HANDS_OVER},
        checks=(announces,) if script.failure is None else (announces, keeps),
    )


def interrupted(rng: random.Random) -> Plan:
    """The caller speaks while the announcement is heard."""
    unless = rng.random() < 0.5
    script = Script(refer=rng.choice(["leaves", "bridged"]), second="takes")
    stop = CallerSays("No, wait!", interrupting=True, after=rng.uniform(0.0, 8.0))
    scenario = (HELLO, ModelSays("z" * 300), stop, ModelSays("Yes?"), BYE)

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.respond("Say that you connect them.")
        try:
            await call.transfer("billing", unless_interrupted=unless)
        except TransferError as error:
            if error.reason is not TransferFailureReason.INTERRUPTED:
                raise
            await call.wait_ended()

    plan = script.plan("interrupted", talk, scenario=scenario)
    if unless:

        def check(plan: Plan) -> Iterator[str]:
            if plan.ringing.dialed or plan.requested("refer"):
                yield "transferred, though the caller has interrupted"
            if plan.said()[-1] != "Yes?":
                yield f"said at last: {plan.said()[-1]}"

        plan.checks, plan.reason, plan.by, plan.certainty = (check,), EndReason.CALLER, BY_CALLER, None
    return plan


def limit_meanwhile(rng: random.Random) -> Plan:
    """A limit is reached while the transfer is under way: it waits."""
    script = Script(refer=rng.choice(["bridged", "no answer", "ignored"]))
    limits = CallLimits(max_duration=rng.uniform(5.0, 20.0), silence=rng.uniform(4.0, 20.0), first_sound=4.0)
    scenario = (HELLO, SORRY, ModelSays("Goodbye."))
    plan = script.plan("a limit meanwhile", HandsOver(), scenario=scenario, answer={"limits": limits})
    if script.failure is not None:
        plan.reason, plan.limit, plan.by = EndReason.LIMIT, LimitKind.DURATION, BY_AGENT
    return plan


def hangs_up_meanwhile(rng: random.Random) -> Plan:
    """The program hangs up, or leaves its block, while the transfer is under way: that waits too."""
    script = transfer(rng)
    seconds, leaves = rng.uniform(0.0, 7.0), rng.random() < 0.5

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(seconds)
        if not leaves:
            await call.hangup()

    plan = script.plan("the program hangs up meanwhile", talk)
    if script.failure is not None:
        plan.reason, plan.by = EndReason.AGENT, BY_AGENT
    return plan


def leaves_the_block(rng: random.Random) -> Plan:
    """A transfer that fails leaves the block as an exception: the model tells the caller, who hears it to its end."""
    script = Script(refer="ignored", second=rng.choice([None, "fails"]))

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        await call.transfer("billing")

    def check(plan: Plan) -> Iterator[str]:
        if plan.said()[-1] != SORRY.text:
            yield f"said at last: {plan.said()[-1]}"

    plan = script.plan("the failure leaves the block", talk, checks=(check,), scenario=(HELLO, SORRY))
    plan.reason, plan.by = EndReason.AGENT, BY_AGENT
    return plan


TRANSFERS = [
    plain,
    announced,
    unreachable,
    sockets_fail,
    socket_stays_open,
    dialed_once,
    refer_fails_and_carrier_speaks,
    answered_and_stays,
    caller_gives_up,
    by_tool,
    interrupted,
    limit_meanwhile,
    hangs_up_meanwhile,
    leaves_the_block,
    # These have more ways to go than the others.
    *[refer_fails] * 2,
    *[carrier_speaks] * 3,
]
