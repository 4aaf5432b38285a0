"""Calls that are kept account of or turned away: limits of money, event logs, transcripts, policies, routes."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from plans.plan import ASK, BY_AGENT, BYE, HELLO, REJECTED, TELL, TRANSCRIBED, Plan
from realtime_sip import Call, CallLimits, CallPolicy, EndReason, EventLogFolder, IncomingCall, LimitKind, LimitNear
from realtime_sip.event_log import read_event_log
from realtime_sip.policy import CallRate, ConcurrentCalls, DailySpend, DenyCallers, Rule
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelSays,
    SocketDropped,
)

__all__ = ["LOGGED", "RECORDS", "Shelf"]

WORDS = [
    *(
        "marmalade",
        "zeppelin",
        "quixotic",
        "rhubarb",
        "saffron",
        "kumquat",
        "dulcimer",
        "ocelot",
        "bassoon",
        "tamarind",
    ),
    *("gondola", "pomegranate", "turquoise", "velvet", "xylophone", "yodelling", "zinnia", "artichoke", "brocade"),
]
"""Words that no event of the service has by itself."""


# --- limits of money and tokens ---------------------------------------------------------------------------------------


def costly(rng: random.Random) -> Plan:
    """A limit of money or of tokens is passed: after the response that passes it, nothing but the goodbye is said."""
    kind = rng.choice([LimitKind.COST, LimitKind.TOKENS])
    tokens, cost = rng.randint(1500, 6000), Decimal(rng.randint(5, 40)) / 100
    limits = CallLimits(max_tokens=tokens) if kind is LimitKind.TOKENS else CallLimits(max_cost=cost)
    turns = tuple(step for _ in range(20) for step in (CallerSays("Go on."), ModelSays("z" * 200)))
    near: list[LimitNear] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        near.extend([event async for event in call if isinstance(event, LimitNear)])

    def check(plan: Plan) -> Iterator[str]:
        assert plan.call is not None
        total = plan.call.usage.tokens.total
        if kind is LimitKind.TOKENS and total < tokens:
            yield f"ended at {total} tokens of {tokens}"
        if kind is LimitKind.COST and (plan.call.cost is None or plan.call.cost < cost):
            yield f"ended at {plan.call.cost} of {cost} dollars"
        asked = plan.sent("response.create")
        if str(limits.goodbye) not in str(asked[-1].get("response", {}).get("instructions")):
            yield "the last response that was asked for is no goodbye"
        if [event.limit for event in near] not in ([kind], []) or (kind is LimitKind.COST and not near):
            yield f"told of limits that are near: {[event.limit.value for event in near]}"
        used = 0
        for number, done in enumerate(plan.told("response.done"), 1):
            used += done["response"]["usage"]["total_tokens"]
            if kind is LimitKind.TOKENS and used >= tokens:
                if len(plan.told("response.created")) > number + 1:
                    yield f"{len(plan.told('response.created')) - number} responses after the limit was passed"
                break

    return Plan(
        name=f"limit: {kind.value}",
        scenario=(HELLO, *turns),
        talk=talk,
        answer={"limits": limits},
        reason=EndReason.LIMIT,
        limit=kind,
        by=BY_AGENT,
        checks=(check,),
    )


# --- what is kept -----------------------------------------------------------------------------------------------------


class Shelf:
    """Where the event logs of a soak are, until it is over."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="soak-")
        root = Path(self._folder.name)
        self.redacted = EventLogFolder(root / "redacted")
        self.whole = EventLogFolder(root / "whole", redact=False)
        self.agreed = EventLogFolder(root / "agreed")

    def close(self) -> None:
        """Remove the logs."""
        self._folder.cleanup()


async def _agrees(call: Call) -> bool:
    return (await call.collect_digits("Ask for a 1.", max_digits=1)).digits == "1"


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 12))).capitalize() + "."


def of(logs: EventLogFolder, plan: Plan) -> list[Path]:
    """Return the logs of a call."""
    return [path for path in logs.paths() if path.name.split(".")[1] == plan.ringing.call_id]


def logged(rng: random.Random, shelf: Shelf) -> Plan:
    """A call with a transcript and an event log, on some of which sockets are dropped."""
    redact = rng.random() < 0.7
    logs = shelf.redacted if redact else shelf.whole
    caller = f"+1415555{rng.randint(100, 199):04}"
    keys = "".join(rng.choice("0123456789") for _ in range(6))
    look = ModelCalls("order_status", {"order_id": f"A-{rng.choice(WORDS)}-7"})
    turns: list[Any] = []
    for _ in range(rng.randint(1, 4)):
        turn = CallerSays(sentence(rng))
        turns += rng.choice(
            [[turn, ModelSays(sentence(rng))], [turn, look, ModelSays(sentence(rng))], [CallerPresses(keys)]]
        )
    faults = [SocketDropped(when=rng.choice(["generating", "playing", "caller"]))] if rng.random() < 0.3 else []

    def check(plan: Plan) -> Iterator[str]:
        (path,) = of(logs, plan) or (None,)
        if path is None:
            yield "there is no event log"
            return
        text = path.read_text()
        secrets = [*WORDS, *(word.capitalize() for word in WORDS), caller, caller[1:], TRANSCRIBED["instructions"]]
        if redact:
            yield from (f"the redacted log has {secret!r}" for secret in secrets if secret in text)
            yield from ("the redacted log has a key" for key in set(keys) if f'"event": "{key}"' in text)
        elif not faults:
            yield from (f"the log has not {said!r}" for said in plan.said() if said not in text)
        log = read_event_log(path)
        if log.header.call_id != plan.ringing.call_id or log.entries[-1].type != "call.ended":
            yield "the log is not whole"
        told = [entry.type for entry in log.entries if entry.source == "service"]
        heard = [event["type"] for event in plan.ringing.server_events]
        if plan.untroubled and told != heard[len(heard) - len(told) :]:
            yield "the log has not what the service told"
        assert plan.call is not None
        complete = plan.call.transcript.complete or plan.call.usage.complete
        if plan.ringing.sidebands > 1 and (complete or not plan.call.gaps):
            yield "the sideband was lost, and transcript and usage say that they are complete"

    return Plan(
        name=f"event log: {'redacted' if redact else 'whole'}",
        scenario=(HELLO, *turns, CallerHangsUp(after=5.0)),
        session=TRANSCRIBED,
        ring={"caller": caller, "faults": faults},
        answer={"event_log": logs},
        checks=(check, transcribed),
    )


def transcribed(plan: Plan) -> Iterator[str]:
    """Tell where the transcript is not what was said, though all was heard."""
    if not plan.untroubled or plan.call is None:
        return
    lines = [("caller" if line.by == "caller" else "model", line.text) for line in plan.call.transcript]
    said = [(said.by, said.text) for said in plan.ringing.said]
    if lines != said:
        yield f"the transcript is {lines}, and said was {said}"
    if not plan.call.transcript.complete:
        yield "the transcript says that it is not complete"


def keeps_secrets(rng: random.Random, shelf: Shelf) -> Plan:
    """Keys that are secret are in no log, also where all else is."""
    keys = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 8)))
    got: list[str] = []

    async def talk(call: Call) -> None:
        got.append((await call.collect_digits("Ask for the PIN.", max_digits=len(keys), secret=True)).digits)
        await call.wait_ended()

    def check(plan: Plan) -> Iterator[str]:
        (path,) = of(shelf.whole, plan)
        if got != [keys]:
            yield f"collected {got}, not {keys}"
        if any(f'"event": "{key}"' in path.read_text() for key in keys):
            yield "the log has a key that is secret"

    return Plan(
        name="event log: secret digits",
        scenario=(ModelSays(sentence(rng)), CallerPresses(keys), CallerHangsUp(after=5.0)),
        talk=talk,
        ring={"faults": rng.choice([[], [SocketDropped(when="playing")]])},
        answer={"event_log": shelf.whole},
        checks=(check,),
    )


def consents(rng: random.Random, shelf: Shelf) -> Plan:
    """The caller is asked first whether anything may be kept."""
    key = rng.choice("12")

    async def talk(call: Call) -> None:
        await call.wait_ended()

    def check(plan: Plan) -> Iterator[str]:
        if bool(of(shelf.agreed, plan)) is not (key == "1"):
            yield f"the caller has pressed {key}, and there are {len(of(shelf.agreed, plan))} logs"

    return Plan(
        name="event log: consent",
        scenario=(ModelSays("Press 1 to agree."), CallerPresses(key), CallerSays("Hi.", after=10.0), TELL, BYE),
        talk=talk,
        answer={"event_log": shelf.agreed, "consent": _agrees},
        checks=(check,),
    )


def barges_in(rng: random.Random) -> Plan:
    """A transcript with an interrupted line, of which a part was heard."""
    words = " ".join(rng.choice(WORDS) for _ in range(60))
    stop = CallerSays("Stop!", interrupting=True, after=rng.uniform(2.0, 10.0))

    def check(plan: Plan) -> Iterator[str]:
        assert plan.call is not None
        line = plan.call.transcript[0]
        if not line.interrupted or not words.startswith(line.heard) or not 0 < len(line.heard) < len(words) / 2:
            yield f"of {len(words)} characters were heard {len(line.heard)}"

    return Plan(
        name="transcript: barge-in",
        scenario=(ModelSays(words), stop, TELL, CallerHangsUp(after=5.0)),
        session=TRANSCRIBED,
        checks=(transcribed, check),
    )


# --- who may call -----------------------------------------------------------------------------------------------------


def refused(name: str, policy: CallPolicy | None, status_code: int, **more: Any) -> Plan:
    by = REJECTED
    return Plan(name=name, policy=policy, status_code=status_code, reason=EndReason.REJECTED, by=by, **more)


def denied(rng: random.Random) -> Plan:
    """A caller on a list, or a gate that raises or hangs, which is shut."""

    def raises(_incoming: IncomingCall) -> int | None:
        raise ZeroDivisionError

    async def hangs(_incoming: IncomingCall) -> int | None:
        await asyncio.sleep(3600)
        return None

    lists = DenyCallers({"+14155550177", "+1900*"})
    rules: list[tuple[Rule, int]] = [(lists, 603), (raises, 503), (hangs, 503)]
    rule, status_code = rng.choice(rules)
    caller = rng.choice(["+14155550177", "+19005550100"])
    return refused("policy: denied", CallPolicy(rule), status_code, ring={"caller": caller})


def too_often(rng: random.Random) -> Plan:
    most = rng.randint(1, 2)
    pause = rng.choice([1.0, 300.0])
    crowd = tuple(Plan(name="policy: within the rate", scenario=(HELLO, BYE), pause=pause) for _ in range(most))
    return refused("policy: beyond the rate", CallPolicy(CallRate(most, per=3600)), 486, crowd=crowd, pause=pause)


def too_many(rng: random.Random) -> Plan:
    """One call at a time: a second one is refused while the first is up, and taken when that is over."""
    per_caller = rng.random() < 0.5
    policy = CallPolicy(ConcurrentCalls(1, per_caller=per_caller))
    first = Plan(name="policy: alone", scenario=(HELLO, ASK, TELL, CallerHangsUp(after=20.0)))
    if rng.random() < 0.5:
        return Plan(name="policy: free again", policy=policy, crowd=(first,), pause=120.0)
    crowd = (first, refused("policy: one too many", None, 486 if per_caller else 503, pause=5.0))
    if rng.random() < 0.5:
        return Plan(name="policy: free again", policy=policy, crowd=crowd, pause=60.0)
    return refused("policy: one too many", policy, 486 if per_caller else 503, crowd=(first,), pause=5.0)


def too_dear(_rng: random.Random) -> Plan:
    policy = CallPolicy(DailySpend(Decimal("0.001")))
    crowd = (Plan(name="policy: within the budget"),)
    return refused("policy: beyond the budget", policy, 503, crowd=crowd, pause=300.0)


def unrouted(rng: random.Random) -> Plan:
    """A number that no route has; or of whose route the condition fails, so that nobody knows whose the call is."""
    dialed, status_code = rng.choice([("+14155550150", 404), ("+14155550151", 503)])
    return refused("router: no route", None, status_code, ring={"dialed": dialed})


RECORDS = [costly, barges_in, denied, too_often, too_many, too_dear, unrouted]
LOGGED = [logged, keeps_secrets, consents]
