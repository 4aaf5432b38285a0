"""Calls that are handed over, while refers, carriers, sockets and callers go wrong.

What must come of a transfer is worked out here from the script alone: what the carrier does, whether the refer was
carried out and answered, what the carrier tells, and what a fallback does. However it ends, a target is dialed a
second time only where the first time came to nothing and nobody had told that it was dialed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from plans.plan import ASK, BY_AGENT, BY_CALLER, BYE, HANDS_OVER, HELLO, TELL, Plan, turn_detection
from realtime_sip import Call, CallEnded, CallLimits, EndReason, LimitKind, TransferTarget, TransferTargets
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.errors import TransferError
from realtime_sip.outcomes import TransferFailureReason, TransferProgress
from realtime_sip.testing import (
    Behavior,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    SocketDropped,
    SocketSilent,
)

__all__ = ["TRANSFERS"]

BILLING = "tel:+14155550123"
SORRY = ModelSays("Nobody is there right now. Can I help you myself?")
CONNECTING = ModelSays("I am connecting you with a person now.")
ESCALATE = {"target": "billing", "reason": "asked for a person", "summary": "Refund of order 1042."}
KEPT = (HELLO, SORRY, ASK, TELL, BYE)
BY_CARRIER = frozenset({EndedBy.TRANSFERRED})

Refer = Literal["leaves", "bridged", "busy", "no answer", "given up", "ignored"]
Second = Literal["takes", "fails", "hangs", "does nothing"]
AWAY: dict[Refer, frozenset[EndedBy]] = {
    "leaves": BY_CARRIER,
    "bridged": BY_CARRIER,
    "given up": frozenset({EndedBy.CALLER}),
}
"""What the caller's leg does not come back from."""
FOUND_AFTER: dict[Refer, float] = {"busy": 1.0, "no answer": 8.0, "ignored": 0.0}
"""Seconds after which the carrier knows that it came to nothing."""


class CarrierError(Exception):
    """What a fallback raises that has not dialed."""


class HandsOver:
    """A program that greets, transfers, and keeps what came of it."""

    def __init__(self, **options: Any) -> None:
        self.failed: TransferError | None = None
        self.returned: CallEnded | None = None
        self.seconds = 0.0
        self._options = options

    async def __call__(self, call: Call) -> None:
        await call.respond("Greet the caller.")
        began = asyncio.get_running_loop().time()
        try:
            self.returned = await call.transfer("billing", **self._options)
        except TransferError as error:
            self.failed = error
            self.seconds = asyncio.get_running_loop().time() - began
            await call.wait_ended()


class TransferFallback:
    """The carrier's own way, which works or not."""

    def __init__(self, does: Second) -> None:
        self.asked = 0
        self.plan: Plan | None = None
        self._does = does

    async def __call__(self, _request: TransferRequest) -> None:
        self.asked += 1
        assert self.plan is not None
        if self._does == "hangs":
            await asyncio.sleep(3600)
        elif self._does == "fails":
            raise CarrierError
        elif self._does == "takes":
            self.plan.ringing.redirect(BILLING)


@dataclass(kw_only=True)
class Script:
    """What happens to one transfer.

    Attributes:
        refer: What the carrier does once it was asked.
        fails: How the refer fails, or None.
        second: What the fallback does, or None where there is none.
        signs: What the carrier tells, and how many seconds after the refer was answered.
        ring_time: Of the target.
    """

    refer: Refer
    fails: dict[str, Any] | None = None
    second: Second | None = None
    signs: list[tuple[float, TransferProgress | TransferFailureReason]] = field(default_factory=list)
    ring_time: float = 35.0

    @property
    def refused(self) -> bool:
        """Whether the service says that it does not do it."""
        return self.fails is not None and self.fails["status"] < 500

    @property
    def dials(self) -> bool:
        """Whether the target is dialed by the refer."""
        return self.refer != "ignored" and (self.fails is None or self.fails["acted"])

    @property
    def leaves(self) -> frozenset[EndedBy] | None:
        """How the caller is gone by the refer alone; None where they are not."""
        return AWAY.get(self.refer) if self.dials else None

    @property
    def failure_told(self) -> TransferFailureReason | None:
        """What the carrier tells that has failed, or None."""
        return next((sign for _, sign in self.signs if isinstance(sign, TransferFailureReason)), None)

    def told(self, sign: TransferProgress) -> bool:
        """Whether the carrier tells this."""
        return any(told is sign for _, told in self.signs)

    @property
    def takes_second(self) -> bool:
        """Whether the fallback is to be taken."""
        came_to_nothing = self.leaves is None and self.failure_told is None
        return came_to_nothing and self.second is not None and not self.told(TransferProgress.ASKED)

    @property
    def failure(self) -> TransferFailureReason | None:
        """Why it fails, or None where the caller leaves."""
        if self.leaves is not None:
            return None
        if self.failure_told is not None:
            return self.failure_told
        if self.takes_second:
            ways = {"takes": None, "fails": TransferFailureReason.REFUSED}
            return ways.get(self.second or "", TransferFailureReason.NO_ANSWER)
        if self.refused:
            return TransferFailureReason.REFUSED
        return TransferFailureReason.NO_ANSWER if self.told(TransferProgress.ASKED) else TransferFailureReason.NO_SIGN

    @property
    def dialed(self) -> int:
        """How many times the target is dialed."""
        return self.dials + (self.takes_second and self.second == "takes")

    @property
    def recognized(self) -> bool:
        """Whether the program has a reason to take a caller who left for one who was transferred."""
        return (
            self.fails is None or self.takes_second or any(isinstance(sign, TransferProgress) for _, sign in self.signs)
        )

    @property
    def certainty(self) -> str:
        """How sure that is."""
        return "reported" if self.told(TransferProgress.ANSWERED) else "inferred"

    def plan(self, name: str, talk: Any, **more: Any) -> Plan:
        """Return the call."""
        path = None if self.second is None else TransferFallback(self.second)
        target = TransferTarget(BILLING, description="Invoices and refunds.", ring_time=self.ring_time)
        gone = self.failure is None
        behavior = Behavior(refer=self.refer, closes_at_end=more.pop("closes_at_end", True))
        plan = Plan(
            name=f"transfer: {name}",
            scenario=more.pop("scenario", KEPT),
            talk=talk,
            ring={"behavior": behavior, "faults": more.pop("faults", [])},
            answer={"transfers": TransferTargets({"billing": target}, fallback=path), **more.pop("answer", {})},
            fails=self.fails,
            outside=self.tells if self.signs else None,
            checks=(lambda plan: self.wrong(plan, path, talk), *more.pop("checks", ())),
            **more,
        )
        if path is not None:
            path.plan = plan
        if gone:
            plan.reason = EndReason.TRANSFERRED if self.recognized else EndReason.CALLER
            plan.certainty = self.certainty
            plan.by = BY_CARRIER if self.leaves is None else self.leaves
        return plan

    async def tells(self, plan: Plan) -> None:
        """Tell what the carrier knows, when it knows."""
        await plan.ringing.until_requested("refer")
        passed = 0.0
        for after, sign in sorted(self.signs, key=lambda told: told[0]):
            await asyncio.sleep(after - passed)
            passed = after
            assert plan.call is not None
            if isinstance(sign, TransferProgress):
                plan.call.transfer_progress(sign)
            else:
                plan.call.transfer_progress(sign)

    def wrong(self, plan: Plan, path: TransferFallback | None, talk: Any) -> Iterator[str]:
        """Tell what has not come of it as it had to."""
        if plan.ringing.dialed != [BILLING] * self.dialed:
            yield f"dialed {len(plan.ringing.dialed)} times, not {self.dialed}"
        if plan.requested("refer") != 1:
            yield f"{plan.requested('refer')} refers"
        if path is not None and path.asked != self.takes_second:
            yield f"the fallback was asked {path.asked} times, not {int(self.takes_second)}"
        if self.refused and self.second == "takes" and plan.end.seconds > 30:
            yield f"the fallback was taken after {plan.end.seconds:.1f} s, though the refer was refused at once"
        yield from (note for note in plan.ringing.notes if "refer" in note or "carrier" in note)
        if isinstance(talk, HandsOver):
            failure = None if talk.failed is None else talk.failed.reason
            if failure is not self.failure:
                yield f"the transfer failed with {failure}, not {self.failure}"
            if (
                failure is TransferFailureReason.NO_SIGN
                and not self.ring_time + 9.9 < talk.seconds < self.ring_time + 20
            ):
                yield f"given up after {talk.seconds:.1f} s, where the target rings for {self.ring_time:.1f} s"
            if self.refused and self.second in (None, "fails") and talk.seconds > 5:
                yield f"given up after {talk.seconds:.1f} s, though it was refused at once"
            gone = self.failure is None and plan.reason is EndReason.TRANSFERRED
            if gone and (talk.returned is None or talk.returned.reason is not EndReason.TRANSFERRED):
                yield "the transfer has not returned the end"


def keeps(plan: Plan) -> Iterator[str]:
    """Tell what is wrong on a call whose caller was kept: the model knows it, says so, and listens again."""
    items = [event["item"] for event in plan.sent("conversation.item.create")]
    if not any(item.get("role") == "system" for item in items):
        yield "the model was not told that the transfer has failed"
    if plan.said()[-3:] != [SORRY.text, ASK.text, TELL.text]:
        yield f"said at last: {plan.said()[-3:]}"
    if turn_detection(plan) != plan.detection:
        yield f"turn detection is {turn_detection(plan)}"


def announces(plan: Plan) -> Iterator[str]:
    """Tell where the caller was handed over before the announcement was heard to its end."""
    if CONNECTING.text not in plan.said() or plan.told("output_audio_buffer.cleared"):
        yield "the announcement was not heard to its end"


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
