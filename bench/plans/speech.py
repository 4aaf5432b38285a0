"""Calls whose last words take long: goodbyes and announcements behind other speech, at the pace of recordings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from plans.plan import ASK, BY_AGENT, HELLO, Plan, World, heard_out, scripted
from realtime_sip import Call, CallLimits, EndReason, LimitKind, TransferTargets
from realtime_sip.testing import CallerPresses, CallerSays, EndedBy, ModelCalls, ModelSays

__all__ = ["SPEECH"]

RECORDED = [(12, 3.05), (31, 4.1), (60, 6.8)]
"""Characters and seconds of three recorded responses."""
BILLING = "tel:+14155550123"


def spoken(rng: random.Random, *, least: float = 1.0, most: float = 45.0) -> ModelSays:
    """Draw what the model says: as long as in a recording, at the recorded pace, or of a length of its own."""
    characters, seconds = rng.choice(RECORDED)
    if rng.random() < 0.5 and seconds >= least:
        return ModelSays("z" * characters, seconds=seconds)
    seconds = rng.uniform(least, most)
    return ModelSays("z" * max(1, int(seconds * rng.uniform(3.9, 8.8))), seconds=seconds)


def goodbye_behind(rng: random.Random) -> Plan:
    """The program says goodbye while something else is heard, or is still to be said before that."""
    before = [spoken(rng, least=3.0) for _ in range(rng.randint(1, 3))]
    goodbye = rng.random() < 0.7
    seconds = rng.uniform(0.5, 2.5)

    async def talk(call: Call) -> None:
        speeches = [call.respond(f"Say sentence {number}.") for number in range(len(before))]
        for speech in speeches[:-1]:
            await speech
        await asyncio.sleep(seconds)
        if goodbye:
            await call.hangup(goodbye="Say goodbye.")
        else:
            await call.hangup(after_speech=True)

    last = [spoken(rng, most=20.0)] if goodbye else []
    return Plan(
        name="goodbye behind speech" if goodbye else "hang-up behind speech",
        scenario=(*before, *last),
        talk=talk,
        reason=EndReason.AGENT,
        by=BY_AGENT,
        checks=(heard_out, scripted),
    )


def leaves_behind(rng: random.Random) -> Plan:
    """The program leaves its block while the model speaks."""
    seconds = rng.uniform(0.5, 2.5)

    async def talk(call: Call) -> None:
        call.respond("Say something long.")
        await asyncio.sleep(seconds)

    return Plan(
        name="the block ends behind speech",
        scenario=(spoken(rng, least=3.0),),
        talk=talk,
        reason=EndReason.AGENT,
        by=BY_AGENT,
        checks=(heard_out, scripted),
    )


def tool_behind(rng: random.Random) -> Plan:
    """The model says a long goodbye and ends the call in the same breath."""
    return Plan(
        name="end_call behind speech",
        scenario=(HELLO, ASK, spoken(rng), ModelCalls("end_call", same_response=True)),
        reason=EndReason.AGENT,
        by=BY_AGENT,
        checks=(heard_out, scripted),
    )


def limit_behind(rng: random.Random) -> Plan:
    """The longest duration is reached in the middle of a sentence: that and the goodbye are heard to their ends."""
    sentence = spoken(rng, least=10.0)
    limits = CallLimits(max_duration=rng.uniform(3.0, (sentence.seconds or 0.0) - 1.0))
    return Plan(
        name="limit behind speech",
        scenario=(sentence, spoken(rng, most=12.0)),
        answer={"limits": limits},
        reason=EndReason.LIMIT,
        limit=LimitKind.DURATION,
        by=BY_AGENT,
        checks=(heard_out, scripted),
    )


def announcement_behind(rng: random.Random) -> Plan:
    """A transfer is announced behind other speech."""
    seconds = rng.uniform(0.5, 2.5)

    async def talk(call: Call) -> None:
        call.respond("Say something long.")
        await asyncio.sleep(seconds)
        await call.transfer("billing", announcement="Say that you connect them.")

    return Plan(
        name="announcement behind speech",
        scenario=(spoken(rng, least=3.0), spoken(rng, most=20.0)),
        talk=talk,
        answer={"transfers": TransferTargets({"billing": BILLING})},
        reason=EndReason.TRANSFERRED,
        by=frozenset({EndedBy.TRANSFERRED}),
        checks=(heard_out, scripted),
    )


def prompt_behind(rng: random.Random) -> Plan:
    """Digits are asked for behind other speech: their time begins when the caller has heard what to press."""
    seconds = rng.uniform(0.5, 2.5)
    got: list[str] = []

    async def talk(call: Call) -> None:
        call.respond("Say something long.")
        await asyncio.sleep(seconds)
        got.append((await call.collect_digits("Ask for the number.", max_digits=4, timeout=6.0)).digits)
        await call.hangup()

    def check(plan: Plan) -> Iterator[str]:
        if got != ["1234"]:
            yield f"collected {got}"
        yield from scripted(plan)

    return Plan(
        name="digits behind speech",
        scenario=(spoken(rng, least=3.0), spoken(rng, most=20.0), CallerPresses("1234", after=2.0)),
        talk=talk,
        reason=EndReason.AGENT,
        by=BY_AGENT,
        checks=(check, heard_out),
    )


def drained(rng: random.Random) -> Plan:
    """The host is drained: calls that end in its time do so, and all others hear a goodbye to its end."""
    after, seconds = rng.uniform(8.0, 12.0), rng.uniform(20.0, 40.0)
    calls: list[Plan] = []
    for _ in range(rng.randint(3, 8)):
        sentence = ModelSays("z" * 40, seconds=rng.uniform(1.0, 6.0))
        plan = Plan(
            name="drained",
            scenario=(HELLO, ASK, sentence, ModelSays("Goodbye.", seconds=rng.uniform(1.0, 5.0))),
            answer={"limits": CallLimits(silence=600.0)},
            pause=rng.uniform(0.0, 0.5),
            reason=EndReason.AGENT,
            by=BY_AGENT,
            checks=(heard_out, scripted),
        )
        calls.append(plan)
    *crowd, last = calls
    last.crowd, last.world = tuple(crowd), World(drains=(after, seconds))
    return last


def at_recorded_pace(rng: random.Random) -> Plan:
    """A conversation at the recorded pace, whose usage and transcript are right, ended by the model."""
    turns = [
        step
        for _ in range(rng.randint(1, 4))
        for step in (CallerSays("z" * rng.randint(5, 60)), spoken(rng, most=30.0))
    ]
    return Plan(
        name="recorded pace",
        scenario=(HELLO, *turns, CallerSays("Bye."), ModelSays("Goodbye."), ModelCalls("end_call", same_response=True)),
        reason=EndReason.AGENT,
        by=BY_AGENT,
        checks=(heard_out, scripted),
    )


SPEECH = [*[goodbye_behind] * 2, leaves_behind, tool_behind, limit_behind, announcement_behind, prompt_behind, drained]
SPEECH += [at_recorded_pace]
