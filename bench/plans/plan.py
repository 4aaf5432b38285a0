"""One call of the soak: what happens on it, and how it must end."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from realtime_sip import (
    Call,
    CallEnded,
    CallLimits,
    CallPolicy,
    EndReason,
    LimitKind,
    MemoryStore,
    Tools,
    end_call,
    transfer_to_human,
)
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
)
from realtime_sip.testing.openai.call import CallEnd
from realtime_sip.testing.scenario import Step

__all__ = [
    "ASK",
    "BYE",
    "BY_AGENT",
    "BY_CALLER",
    "HANDS_OVER",
    "HELLO",
    "LOOK",
    "NOT_ANSWERED",
    "REJECTED",
    "SESSION",
    "TELL",
    "TRANSCRIBED",
    "Check",
    "Plan",
    "World",
    "greet",
    "heard_out",
    "operations",
    "scripted",
    "turn_detection",
]

SESSION: dict[str, Any] = {"model": "gpt-realtime-2.1", "instructions": "You answer the phone of a shop."}
TRANSCRIBED: dict[str, Any] = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
LOOK = ModelCalls("order_status", {"order_id": "1042"})
TELL = ModelSays("It comes tomorrow.")
BYE = CallerHangsUp()
BY_CALLER = frozenset({EndedBy.CALLER})
BY_AGENT = frozenset({EndedBy.AGENT})
NOT_ANSWERED = frozenset({EndedBy.NOT_ANSWERED})
REJECTED = frozenset({EndedBy.REJECTED})

TOOLS = Tools()
TOOLS.function(end_call)


@TOOLS.function
async def order_status(call: Call, order_id: str) -> str:
    """Tell where an order is."""
    await asyncio.sleep(random.Random(call.call_id).uniform(0, 3))
    return f"{order_id} comes tomorrow"


HANDS_OVER = Tools()
HANDS_OVER.function(transfer_to_human)


async def greet(call: Call) -> None:
    """Greet, and let them talk."""
    call.respond("Greet the caller.")
    await call.wait_ended()


@dataclass(frozen=True, kw_only=True)
class World:
    """A service of a plan's own, and what happens there.

    Attributes:
        fails: How requests fail, as `OpenAIEmulator.fail` takes it.
        weather: What happens to the service meanwhile.
        clock_off: Seconds by which the program's clock is ahead of the service's.
        drains: After so many seconds the program's host is drained, in as many; None for never.
    """

    fails: dict[str, Any] | None = None
    weather: Callable[[OpenAIEmulator], Awaitable[None]] | None = None
    clock_off: float = 0.0
    drains: tuple[float, float] | None = None


@dataclass(kw_only=True)
class Plan:
    """One call: what happens on it, how it must end, and what else must hold then.

    Attributes:
        name: What kind of call it is.
        scenario: What the caller and the model do.
        ring: What else `OpenAIEmulator.ring` takes.
        session: What it is answered with.
        answer: What else `calls.answer` takes.
        talk: What the program does on it.
        outside: What the world does meanwhile: the carrier, or the caller of their own accord.
        world: A service of the call's own.
        policy: Who may call, on a host of the call's own.
        store: Makes the store of a host of the call's own.
        max_calls: How many calls a host of the call's own takes.
        goes_away: Seconds after which whoever delivers the webhook goes away, so that what it awaits is canceled.
        rivals: How many more workers get the webhook, each with a store of its own. One of them all has the call.
        crowd: Calls to that host before this one.
        pause: Seconds after the call before this one, where it is in or after a crowd.
        reason: Why it ended, for the program.
        certainty: How sure the program must be of that; None where either will do.
        limit: Which limit it was.
        by: Who ended it, for the service; several where the script leaves it open.
        status_code: The SIP status of a call that was rejected.
        checks: What else must hold. Each yields what is wrong, in a sentence.
    """

    name: str
    scenario: tuple[Step, ...] = (HELLO, ASK, LOOK, TELL, BYE)
    ring: dict[str, Any] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=lambda: SESSION)
    answer: dict[str, Any] = field(default_factory=dict)
    talk: Callable[[Call], Awaitable[None]] = greet
    outside: Callable[[Plan], Awaitable[None]] | None = None
    world: World | None = None
    policy: CallPolicy | None = None
    store: Callable[[], MemoryStore] | None = None
    max_calls: int | None = None
    goes_away: float | None = None
    rivals: int = 0
    crowd: tuple[Plan, ...] = ()
    pause: float = 1.0
    reason: EndReason = EndReason.CALLER
    certainty: str | None = None
    limit: LimitKind | None = None
    by: frozenset[EndedBy] = BY_CALLER
    status_code: int | None = None
    checks: tuple[Check, ...] = ()

    number: int = field(default=0, init=False)
    ringing: RingingCall = field(init=False, repr=False)
    call: Call | None = field(default=None, init=False)
    ended: CallEnded = field(init=False)
    others: list[CallEnded] = field(default_factory=list, init=False)
    """What the other workers say about the end, where there are any."""
    end: CallEnd = field(init=False)
    detection: Any = field(default=None, init=False)
    """Turn detection as it was when the program began to talk."""
    broken: BaseException | None = field(default=None, init=False)
    """What left the program's handler, where nothing should have."""

    @property
    def options(self) -> dict[str, Any]:
        """What `calls.answer` takes."""
        return {"tools": TOOLS, "limits": CallLimits(silence=90.0), **self.answer}

    @property
    def faults(self) -> list[Any]:
        """What goes wrong on the sockets."""
        return list(self.ring.get("faults", ()))

    @property
    def untroubled(self) -> bool:
        """Whether all that the service told has arrived, once, as it was."""
        return self.call is not None and not self.call.gaps and not self.faults

    def began(self, call: Call) -> None:
        """Note that the program begins to talk."""
        self.call = call
        self.detection = copy.deepcopy(turn_detection(self))

    def troubles(self) -> str:
        """Say what is done to it, without what is usual."""
        usual, parts = Behavior(), []
        fails = None if self.world is None else self.world.fails
        for name, value in {**self.ring, "fails": fails}.items():
            if isinstance(value, Behavior):
                shown = {part.name: getattr(value, part.name) for part in fields(Behavior)}
                parts += [f"{part}={is_!r}" for part, is_ in shown.items() if is_ != getattr(usual, part)]
            elif value:
                parts.append(f"{name}={value}")
        return ", ".join(parts)

    def sent(self, kind: str) -> list[dict[str, Any]]:
        """Return the client's events of a type."""
        return [event for event in self.ringing.client_events if event.get("type") == kind]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the service's events of a type."""
        return [event for event in self.ringing.server_events if event.get("type") == kind]

    def requested(self, operation: str) -> int:
        """Return how many requests there were for an operation."""
        return sum(request.operation == operation for request in self.ringing.requests)

    def said(self, by: str | None = None) -> list[str]:
        """Return what was said, for the service."""
        return [said.text for said in self.ringing.said if by in (None, said.by)]


Check = Callable[[Plan], Iterator[str]]


def scripted(plan: Plan) -> Iterator[str]:
    """Tell where more or less was asked of the model than the script has."""
    signs = ("has no step", "was skipped", "the caller went on")
    yield from (note for note in plan.ringing.notes if any(sign in note for sign in signs))


def heard_out(plan: Plan) -> Iterator[str]:
    """Tell where the caller did not hear all that the model was to say, each to its end."""
    heard = [event["type"].rpartition(".")[2] for event in plan.told("output_audio_buffer.started")]
    ends = [*plan.told("output_audio_buffer.stopped"), *plan.told("output_audio_buffer.cleared")]
    scripted = [step for step in plan.scenario if isinstance(step, ModelSays)]
    if plan.said("model") != [step.text for step in scripted] or plan.told("output_audio_buffer.cleared"):
        yield f"of {len(scripted)} sentences {len(plan.said('model'))} were said, and {len(ends)} ended"
    elif len(ends) != len(heard):
        yield f"{len(heard)} sentences began, and {len(ends)} were heard to their end"
    seconds = sum(step.seconds or 0.0 for step in scripted)
    if plan.end.seconds < seconds:
        yield f"the call was over after {plan.end.seconds:.1f} s, though {seconds:.1f} s were to be said"


def operations(*expected: str) -> Check:
    """Return a check that the program has asked for these operations on the call, and for no other."""

    def check(plan: Plan) -> Iterator[str]:
        found = [request.operation for request in plan.ringing.requests]
        if found != list(expected):
            yield f"it asked for {', '.join(found) or 'nothing'}, not for {', '.join(expected) or 'nothing'}"

    return check


def turn_detection(plan: Plan) -> Any:
    """Return the turn detection of a call as it is for the service."""
    session = plan.ringing.session
    return None if session is None else session["audio"]["input"]["turn_detection"]
