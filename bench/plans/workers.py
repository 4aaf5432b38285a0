"""Calls that several workers get, and webhooks whose client goes away before they are answered."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from plans.plan import ASK, BY_CALLER, BYE, HELLO, LOOK, REJECTED, TELL, Plan, operations, scripted
from realtime_sip import CallPolicy, EndReason, IncomingCall, MemoryStore
from realtime_sip.stores import Claimed
from realtime_sip.testing import Behavior, CallerHangsUp, DecidedElsewhere

__all__ = ["WORKERS"]


class SlowStore(MemoryStore):
    """Takes seconds to answer a claim, which counts by then; or fails, `fails` times, before or after it counts."""

    def __init__(self, seconds: float, *, fails: int = 0, counts: bool = True) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self._seconds, self._fails, self._counts = seconds, fails, counts

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        """Claim a call, late."""
        fails = self._fails > 0
        self._fails -= 1
        claimed = None
        if self._counts or not fails:
            claimed = await super().claim(call_id, owner=owner, lease=lease, ticket=ticket)
        await asyncio.sleep(self._seconds)
        if fails or claimed is None:
            raise ConnectionError("no store")
        return claimed


# --- workers ----------------------------------------------------------------------------------------------------------


def decided_before(rng: random.Random) -> Plan:
    """Another worker has accepted or rejected the call before our first accept: it is theirs, and left alone."""
    status = rng.choice([404, 409])
    behavior = Behavior(
        second_decision=status,  # type: ignore[arg-type]
        decision_named=status == 404 or rng.random() < 0.5,
    )
    accepts = rng.random() < 0.6
    return Plan(
        name=f"another worker has {'accepted' if accepts else 'rejected'}",
        scenario=(CallerHangsUp(after=30.0),),
        ring={"faults": [DecidedElsewhere(by="accept" if accepts else "reject")], "behavior": behavior},
        reason=EndReason.DECIDED_ELSEWHERE,
        certainty="reported",
        by=BY_CALLER if accepts else REJECTED,
        status_code=None if accepts else 603,
        checks=(operations("accept"),),
    )


def rivals(rng: random.Random) -> Plan:
    """Several workers, each with a store of its own, get one call: one of them drives it, and each tool runs once."""
    others = rng.randint(1, 3)

    def check(plan: Plan) -> Iterator[str]:
        outputs = [event for event in plan.sent("conversation.item.create") if "output" in event["item"]]
        if len(outputs) != 2 or plan.ringing.sidebands != 1:
            yield f"{len(outputs)} outputs of two calls of a tool, {plan.ringing.sidebands} sidebands"
        if plan.requested("accept") != others + 1 or plan.requested("hangup"):
            yield f"{plan.requested('accept')} accepts of {others + 1} workers, {plan.requested('hangup')} hang-ups"

    return Plan(
        name="rival workers",
        scenario=(HELLO, ASK, LOOK, TELL, ASK, LOOK, TELL, BYE),
        ring={"duplicates": rng.choice([0, 0, 1])},
        rivals=others,
        checks=(check, scripted),
    )


# --- webhooks that nobody waits for -----------------------------------------------------------------------------------


def goes_away(rng: random.Random) -> Plan:
    """Whoever delivered the webhook goes away while its claim is in flight: the call is served, once."""
    seconds = rng.uniform(0.2, 4.0)
    return Plan(
        name="submit canceled: claiming",
        store=lambda: SlowStore(seconds),
        goes_away=rng.uniform(0.0, seconds),
        ring={"duplicates": rng.choice([0, 0, 2])},
        checks=(scripted,),
    )


def goes_away_and_store_fails(rng: random.Random) -> Plan:
    """The same, and the claim fails, whether or not it counted: the next delivery has the call."""
    seconds, counts = rng.uniform(0.0, 2.0), rng.random() < 0.5
    fails = rng.randint(1, 2)
    return Plan(
        name="submit canceled: the store fails",
        store=lambda: SlowStore(seconds, fails=fails, counts=counts),
        goes_away=rng.choice([rng.uniform(0.0, 2.0), 60.0]),
        checks=(scripted,),
    )


def goes_away_while_refused(rng: random.Random) -> Plan:
    """The same while a rule of the policy thinks: the call is rejected all the same."""
    seconds = rng.uniform(0.5, 1.8)

    async def thinks(_incoming: IncomingCall) -> int | None:
        await asyncio.sleep(seconds)
        return 603

    return Plan(
        name="submit canceled: refused",
        policy=CallPolicy(thinks),
        goes_away=rng.uniform(0.0, seconds),
        reason=EndReason.REJECTED,
        by=REJECTED,
        status_code=603,
        checks=(operations("reject"),),
    )


def goes_away_while_full(rng: random.Random) -> Plan:
    """The same while the host is full."""
    seconds = rng.uniform(0.2, 3.0)
    first = Plan(name="submit canceled: the host is full by it", scenario=(HELLO, CallerHangsUp(after=30.0)))
    return Plan(
        name="submit canceled: the host is full",
        store=lambda: SlowStore(seconds),
        max_calls=1,
        crowd=(first,),
        pause=5.0,
        goes_away=rng.uniform(0.0, seconds),
        reason=EndReason.REJECTED,
        by=REJECTED,
        status_code=503,
        checks=(operations("reject"),),
    )


WORKERS = [decided_before, *[rivals] * 2, *[goes_away] * 2, goes_away_and_store_fails, goes_away_while_refused]
WORKERS += [goes_away_while_full]
