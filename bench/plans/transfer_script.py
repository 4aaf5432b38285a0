"""What happens to a call that is handed over, and what must come of it.

What must come of a transfer is worked out here from the script alone: what the carrier does, whether the refer was
carried out and answered, what the carrier tells, and what a fallback does. However it ends, a target is dialed a
second time only where the first time came to nothing and nobody had told that it was dialed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from plans.plan import ASK, BYE, HELLO, TELL, Plan, World, turn_detection
from realtime_sip import Call, CallEnded, EndReason, TransferTarget, TransferTargets
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.errors import TransferError
from realtime_sip.outcomes import TransferFailureReason, TransferProgress
from realtime_sip.testing import (
    Behavior,
    EndedBy,
    ModelSays,
)

__all__ = [
    "BILLING",
    "BY_CARRIER",
    "CONNECTING",
    "ESCALATE",
    "FOUND_AFTER",
    "KEPT",
    "SORRY",
    "HandsOver",
    "Script",
    "announces",
    "keeps",
]

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
            world=None if self.fails is None else World(fails=self.fails),
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
