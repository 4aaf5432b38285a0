"""Calls whose tools go round in circles, hang, break or take long, whose answers fail, and on which nobody is heard."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from typing import Any

from plans.plan import ASK, BY_AGENT, BYE, HELLO, LOOK, SESSION, TELL, TOOLS, TRANSCRIBED, Plan, greet, scripted
from realtime_sip import Call, CallLimits, EndReason, LimitKind, Tools
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EventAltered,
    EventLost,
    ModelCalls,
    ModelFails,
    ModelSays,
)

__all__ = ["TOOLWORK"]

LOOP = ModelCalls("order_status", {"order_id": "1042"}, again=True)
GOODBYE = ModelSays("Goodbye.")
LATE = "found at last"
"""What a tool says that goes on though its time is over."""


def outputs(plan: Plan) -> list[str]:
    """Return what the tools said, for the service."""
    items = [event["item"] for event in plan.sent("conversation.item.create")]
    return [str(item["output"]) for item in items if item.get("type") == "function_call_output"]


# --- circles ----------------------------------------------------------------------------------------------------------


def loop(rng: random.Random) -> Plan:
    """The model calls tools until it is told to stop, and then speaks; after the caller's turn it may call more."""
    most = rng.randint(2, 10)
    limits = CallLimits(silence=90.0) if most == 8 else CallLimits(silence=90.0, tool_rounds=most)
    again = rng.random() < 0.3

    def check(plan: Plan) -> Iterator[str]:
        ran = len(outputs(plan))
        if ran != most * (2 if again else 1):
            yield f"tools ran {ran} times, where {most} rounds are allowed"

    return Plan(
        name="tool loop",
        scenario=(HELLO, ASK, LOOP, TELL, *((ASK, LOOP, TELL) if again else ()), BYE),
        answer={"limits": limits},
        checks=(check, scripted),
    )


def loop_that_goes_on(rng: random.Random) -> Plan:
    """A model that was told to stop, and that calls tools again with no turn of the caller between: the call ends."""
    most = rng.randint(2, 6)

    def check(plan: Plan) -> Iterator[str]:
        if len(outputs(plan)) != most + 1:
            yield f"tools ran {len(outputs(plan))} times, where {most} rounds are allowed"

    return Plan(
        name="tool loop that goes on",
        scenario=(HELLO, ASK, LOOP, TELL, LOOK, GOODBYE),
        session={**SESSION, "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}},
        answer={"limits": CallLimits(silence=90.0, tool_rounds=most)},
        reason=EndReason.LIMIT,
        limit=LimitKind.TOOL_ROUNDS,
        by=BY_AGENT,
        checks=(check, scripted),
    )


def forced(rng: random.Random) -> Plan:
    """The session forces a tool: its answer is asked for so that the model may speak."""
    turns = tuple(step for _ in range(rng.randint(1, 3)) for step in (ASK, LOOK, TELL))
    return Plan(
        name="tools are forced",
        scenario=(LOOK, HELLO, *turns, BYE),
        session={**SESSION, "tool_choice": "required"},
        checks=(scripted,),
    )


# --- tools that hang or break -----------------------------------------------------------------------------------------


def tools_with(look: Any, **options: Any) -> Tools:
    """Return a registry with one function."""
    tools = Tools()
    tools.function(look, **options)
    return tools


def hanging(rng: random.Random) -> Plan:
    """Tools never end, several at once, as threads or tasks: the model learns that they are late, and says so."""
    over = threading.Event()
    blocking = rng.random() < 0.4
    count = rng.randint(1, 10)
    leaves, swallows = rng.random() < 0.25, rng.random() < 0.3

    def waits() -> str:
        """Look something up."""
        over.wait()
        return "never"

    async def sleeps() -> str:
        """Look something up."""
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if swallows:
                await asyncio.sleep(1.0)
                return LATE
            raise
        return "never"

    # In real seconds, if it blocks: the clock waits for threads.
    timeout = 0.05 if blocking else rng.uniform(1.0, 10.0)
    tools = tools_with(waits if blocking else sleeps, name="look", timeout=timeout)

    async def talk(call: Call) -> None:
        try:
            await greet(call)
        finally:
            over.set()

    calls = tuple(ModelCalls("look", same_response=number > 0) for number in range(count))

    def check(plan: Plan) -> Iterator[str]:
        said = outputs(plan)
        told = LATE if swallows and not blocking else '"error"'
        if not leaves and (len(said) != count or any(told not in text for text in said)):
            yield f"{count} tools that hang said {said}"

    after = (CallerHangsUp(during="tool", after=0.5), TELL) if leaves else (TELL, ASK, TELL, BYE)
    return Plan(
        name=f"tools hang: {'threads' if blocking else 'tasks'}",
        scenario=(HELLO, ASK, *calls, *after),
        talk=talk,
        answer={"tools": tools},
        checks=(check,) if leaves else (check, scripted),
    )


def broken(rng: random.Random) -> Plan:
    """A tool raises anything: the model learns that it has failed, and nobody else notices."""
    error: BaseException = rng.choice([ZeroDivisionError(), SystemExit(1), asyncio.CancelledError(), TimeoutError()])

    async def awaited() -> str:
        """Look something up."""
        raise error

    def called() -> str:
        """Look something up."""
        raise error

    def check(plan: Plan) -> Iterator[str]:
        if len(outputs(plan)) != 1 or '"error"' not in outputs(plan)[0]:
            yield f"the tool that broke said {outputs(plan)}"

    return Plan(
        name="tool breaks",
        scenario=(HELLO, ASK, ModelCalls("look"), TELL, ASK, TELL, BYE),
        answer={"tools": tools_with(rng.choice([awaited, called]), name="look")},
        checks=(check, scripted),
    )


# --- tools that take long ---------------------------------------------------------------------------------------------


def slow(rng: random.Random) -> Plan:
    """Slow look-ups are not silence; one that runs in the background does not keep the caller."""
    in_background = rng.random() < 0.5
    seconds = rng.uniform(20.0, 30.0)

    async def look() -> str:
        """Look something up."""
        await asyncio.sleep(seconds)
        return "found"

    progress = () if in_background else (8, 16)
    tools = tools_with(look, timeout=60, progress=progress, background=in_background)
    still = [ModelSays("I am at it."), ModelSays("A moment more.")]
    meanwhile = (still[0], ASK, ModelSays("Not yet."), TELL) if in_background else (*still, TELL)

    def check(plan: Plan) -> Iterator[str]:
        if plan.said("model") != [HELLO.text, *(step.text for step in meanwhile if isinstance(step, ModelSays))]:
            yield f"the model said {plan.said('model')}"

    return Plan(
        name=f"slow tool: {'in the background' if in_background else 'with progress'}",
        scenario=(HELLO, ASK, ModelCalls("look"), *meanwhile, BYE),
        answer={"tools": tools},
        checks=(check, scripted),
    )


def answer_fails(rng: random.Random) -> Plan:
    """The answer to a tool fails: it is asked for again, then said in other words; the caller is never left waiting."""
    reason = rng.choice(["rate_limit_exceeded", "server_error", "max_output_tokens", None])
    times = rng.randint(1, 3)
    return Plan(
        name="answer fails",
        scenario=(HELLO, ASK, LOOK, ModelFails(reason, times=times), TELL, BYE),
        checks=(scripted,),
    )


# --- nobody is heard --------------------------------------------------------------------------------------------------

DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"


def wordless(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "transcript": ""}


def noise(rng: random.Random) -> Plan:
    """There is noise on the line, in which nobody says a word: in a row it ends the call, else it does not."""
    words = rng.choice([None, 1, 2])
    lost = EventLost(DELTA, times=1000)
    if words is None:
        turns = tuple(step for _ in range(3) for step in (CallerSays("Shhh.", after=1.0), ModelSays("Pardon?")))
        return Plan(
            name="nobody is heard: noise",
            scenario=(HELLO, *turns, GOODBYE),
            session=TRANSCRIBED,
            ring={"faults": [lost, EventAltered(COMPLETED, wordless, times=1000)]},
            reason=EndReason.LIMIT,
            limit=LimitKind.NO_AUDIO,
            by=BY_AGENT,
            checks=(scripted,),
        )
    silent = EventAltered(COMPLETED, wordless, times=words)
    after = EventAltered(COMPLETED, wordless, occurrence=words + 2, times=2)
    turns = tuple(step for _ in range(words + 3) for step in (CallerSays("Shhh.", after=3.0), ModelSays("Pardon?")))
    return Plan(
        name="nobody is heard: words between",
        scenario=(HELLO, *turns, CallerHangsUp(after=20.0)),
        session=TRANSCRIBED,
        ring={"faults": [lost, silent, after]},
        checks=(scripted,),
    )


def nobody(rng: random.Random) -> Plan:
    """The caller is never heard, and the model asks again and again by itself whether anybody is there."""
    turns = rng.randint(2, 4)
    asks = [ModelSays("Are you there?") for _ in range(turns - 1)]
    limits = CallLimits(silence=300.0, first_sound=None, no_audio=turns)
    idle = {"type": "server_vad", "idle_timeout_ms": rng.choice([5000, 8000])}
    return Plan(
        name="nobody is heard: silence",
        scenario=(HELLO, *asks, *[ModelSays("Hello?")] * 2),
        session={**SESSION, "audio": {"input": {"turn_detection": idle}}},
        answer={"limits": limits, "tools": TOOLS},
        reason=EndReason.LIMIT,
        limit=LimitKind.NO_AUDIO,
        by=BY_AGENT,
    )


TOOLWORK = [
    *[loop] * 2,
    loop_that_goes_on,
    forced,
    *[hanging] * 2,
    broken,
    *[slow] * 2,
    *[answer_fails] * 2,
    *[noise] * 2,
    nobody,
]
