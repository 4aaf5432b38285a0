"""Calls that collect digits or change their session, while sockets, updates and responses go wrong."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from plans.plan import ASK, BYE, HELLO, SESSION, TELL, Plan, turn_detection
from realtime_sip import Call, Tools, TransferTargets
from realtime_sip.call.machine.keypad import CollectedDigits, DigitsEnd
from realtime_sip.errors import DeadlineError, EventRefusedError, RealtimeSipError
from realtime_sip.outcomes import TransferFailureReason
from realtime_sip.testing import (
    Behavior,
    CallerPresses,
    CallerSays,
    EventLost,
    ModelCalls,
    ModelSays,
    ResponseRaced,
    SocketDropped,
    SocketSilent,
    UpdateRefused,
)

__all__ = ["SESSIONS"]

PROMPT = ModelSays("Please enter your number, and then press the hash key.")
SOON = CallerSays("Hello?", after=12.0)
"""When the digits are there, or the time for them is over, and turn detection with them."""
LATER = CallerSays("Hello?", after=22.0)
"""When an update that was refused or lost twice has been sent again; before anything else could have restored it."""
YES = ModelSays("Yes.")
PRESSED = "input_audio_buffer.dtmf_event_received"
DETECTIONS: list[dict[str, Any] | None] = [
    {},
    {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 400},
    {"type": "semantic_vad", "eagerness": "low"},
]
CODES = [1000, 1001, 1005, 1006, 1011, 1012]


def collected(keys: str, *, terminator: str | None, most: int) -> CollectedDigits:
    """Return what must be collected of these keys."""
    kept = ""
    for key in keys:
        if key == terminator:
            return CollectedDigits(kept, DigitsEnd.TERMINATOR)
        kept += key
        if len(kept) == most:
            return CollectedDigits(kept, DigitsEnd.MAX_DIGITS)
    return CollectedDigits(kept, DigitsEnd.INTER_DIGIT_TIMEOUT if kept else DigitsEnd.TIMEOUT)


def with_detection(detection: dict[str, Any] | None) -> dict[str, Any]:
    """Return a session with this turn detection; {} is the service's default."""
    return SESSION if detection == {} else {**SESSION, "audio": {"input": {"turn_detection": detection}}}


def restored(plan: Plan) -> Iterator[str]:
    """Tell where turn detection is not as it was."""
    if turn_detection(plan) != plan.detection:
        yield f"turn detection is {turn_detection(plan)}; it was {plan.detection}"


def answered(plan: Plan) -> Iterator[str]:
    """Tell where the caller was not answered by turn detection afterwards."""
    if plan.said()[-2:] != ["Hello?", "Yes."]:
        yield f"said at last: {plan.said()[-2:]}"


class Collects:
    """A program that collects digits once."""

    def __init__(self, expected: CollectedDigits, **options: Any) -> None:
        self.collected: CollectedDigits | None = None
        self._expected = expected
        self._options = options

    async def __call__(self, call: Call) -> None:
        self.collected = await call.collect_digits("Ask for the number.", **self._options)
        await call.wait_ended()

    def check(self, _plan: Plan) -> Iterator[str]:
        """Tell where it is not what the caller has pressed."""
        if self.collected != self._expected:
            got = None if self.collected is None else (self.collected.digits, self.collected.end.value)
            yield f"collected {got}, not {self._expected.digits, self._expected.end.value}"


def drops(rng: random.Random, keys: str) -> list[Any]:
    """Draw dropped sockets. Between two keys, not with one of them: what was not delivered is lost."""
    times = sorted(rng.sample(range(1, len(keys) + 1), k=min(len(keys), rng.randint(0, 2))))
    pressed: list[Any] = [
        SocketDropped(when=PRESSED, occurrence=n, after=rng.uniform(0.01, 0.2), code=rng.choice(CODES)) for n in times
    ]
    phases = ["attached", "generating", "playing", "session.updated", "session.update", "response.create"]
    others = [SocketDropped(when=rng.choice(phases), code=rng.choice(CODES)) for _ in range(rng.randint(0, 1))]
    return [*pressed, *others]


def update_faults(rng: random.Random) -> list[Any]:
    """Draw refused and lost updates. The first that are sent are the sign of life, hold, release, and their repeats."""
    kinds: list[Callable[[], Any]] = [
        lambda: UpdateRefused(occurrence=rng.randint(1, 2)),
        lambda: EventLost("session.updated", occurrence=rng.randint(1, 4)),
        lambda: EventLost("session.update", occurrence=rng.randint(1, 4)),
    ]
    return [rng.choice(kinds)() for _ in range(rng.randint(1, 2))]


def digits(rng: random.Random, name: str, faults: Callable[[str], list[Any]], *, afterwards: CallerSays = SOON) -> Plan:
    terminator = rng.choice(["#", "*", None])
    most = rng.randint(1, 8)
    keys = "".join(rng.choice("0123456789") for _ in range(rng.randint(0, 9)))
    keys += rng.choice(["", terminator or ""])
    expected = collected(keys, terminator=terminator, most=most)
    options = {"max_digits": most, "terminator": terminator, "timeout": rng.uniform(4.0, 8.0)}
    talk = Collects(expected, **options, inter_digit_timeout=rng.uniform(1.0, 4.0), secret=rng.random() < 0.5)
    update = rng.choice(["merged", "replaced"])
    return Plan(
        name=f"digits: {name}",
        scenario=(PROMPT, *([CallerPresses(keys)] if keys else []), afterwards, YES, BYE),
        session=with_detection(rng.choice(DETECTIONS)),
        talk=talk,
        ring={"behavior": Behavior(turn_detection_update=update), "faults": faults(keys)},  # type: ignore[arg-type]
        checks=(talk.check, restored, answered),
    )


def digits_plainly(rng: random.Random) -> Plan:
    return digits(rng, "plainly", lambda _: [])


def digits_with_drops(rng: random.Random) -> Plan:
    return digits(rng, "sockets dropped", lambda keys: drops(rng, keys))


def digits_with_update_faults(rng: random.Random) -> Plan:
    return digits(rng, "updates refused or lost", lambda _: update_faults(rng), afterwards=LATER)


def digits_with_both(rng: random.Random) -> Plan:
    faults = update_faults(rng)
    return digits(rng, "sockets dropped, updates fail", lambda keys: [*drops(rng, keys), *faults], afterwards=LATER)


def digits_raced(rng: random.Random) -> Plan:
    """The service starts a response of its own where the prompt is asked for, which is then asked for again."""
    said = rng.choice([None, "And tell me"])
    plan = digits(rng, "response raced", lambda _: [ResponseRaced(occurrence=1, said=said)])
    plan.scenario = (HELLO, *plan.scenario)
    return plan


def digits_silent(rng: random.Random) -> Plan:
    """The socket falls silent while nobody presses a key. What is pressed later is seen."""
    talk = Collects(CollectedDigits("12", DigitsEnd.TERMINATOR), timeout=120.0)
    fault = SocketSilent(when="output_audio_buffer.stopped", after=rng.uniform(0.1, 5.0), pongs=rng.random() < 0.5)
    return Plan(
        name="digits: socket silent",
        scenario=(PROMPT, CallerPresses("12#", after=60.0), SOON, YES, BYE),
        talk=talk,
        ring={"faults": [fault]},
        checks=(talk.check, restored, answered),
    )


def digits_barge_in(rng: random.Random) -> Plan:
    barge_in = rng.random() < 0.5
    keys = "".join(rng.choice("0123456789") for _ in range(4))
    talk = Collects(CollectedDigits(keys, DigitsEnd.MAX_DIGITS), max_digits=4, barge_in=barge_in)

    def check(plan: Plan) -> Iterator[str]:
        if bool(plan.told("output_audio_buffer.cleared")) is not barge_in:
            yield f"the prompt was {'not ' if barge_in else ''}cut off"

    return Plan(
        name="digits: barge-in",
        scenario=(
            ModelSays("z" * 300),
            CallerPresses(keys, during="speech", after=rng.uniform(0, 15)),
            SOON,
            YES,
            BYE,
        ),
        talk=talk,
        checks=(talk.check, check, restored, answered),
    )


def digits_idle(rng: random.Random) -> Plan:
    """Turn detection has an idle timeout, which must not strike meanwhile, and strikes at once when it is back."""
    idle = rng.choice([5000, 6000, 10_000])
    talk = Collects(CollectedDigits("12", DigitsEnd.TERMINATOR), timeout=60.0)

    def check(plan: Plan) -> Iterator[str]:
        kinds = [event["type"] for event in plan.ringing.server_events]
        if "input_audio_buffer.timeout_triggered" in kinds[: kinds.index(PRESSED)]:
            yield "the idle timeout has struck while digits were collected"

    return Plan(
        name="digits: idle timeout",
        scenario=(PROMPT, CallerPresses("12#", after=rng.uniform(12.0, 40.0)), ModelSays("Are you there?"), BYE),
        session=with_detection({"type": "server_vad", "idle_timeout_ms": idle}),
        talk=talk,
        ring={"behavior": Behavior(turn_detection_update=rng.choice(["merged", "replaced"]))},
        checks=(talk.check, restored, check),
    )


def digits_canceled(rng: random.Random) -> Plan:
    """The program loses its patience."""
    seconds = rng.uniform(0.1, 12.0)

    async def talk(call: Call) -> None:
        try:
            async with asyncio.timeout(seconds):
                await call.collect_digits("Ask for the number.", timeout=60)
        except TimeoutError:
            await call.wait_ended()

    return Plan(
        name="digits: canceled",
        scenario=(PROMPT, CallerSays("Hello?", after=seconds + 14.0), YES, BYE),
        talk=talk,
        ring={"faults": rng.choice([[], update_faults(rng), drops(rng, "")])},
        checks=(restored, answered),
    )


def digits_and_words(rng: random.Random) -> Plan:
    """The caller speaks before they press keys: nobody answers that, until the digits are there."""
    keys = "".join(rng.choice("0123456789") for _ in range(4))
    talk = Collects(CollectedDigits(keys, DigitsEnd.TERMINATOR), timeout=20.0)
    words = CallerSays("Hold on.", after=rng.uniform(0.0, 3.0))

    def check(plan: Plan) -> Iterator[str]:
        if plan.said() != [PROMPT.text, words.text, "Hello?", YES.text]:
            yield f"said was {plan.said()}"

    return Plan(
        name="digits: words before them",
        scenario=(PROMPT, words, CallerPresses(f"{keys}#", after=rng.uniform(0.0, 6.0)), SOON, YES, BYE),
        session=with_detection(rng.choice(DETECTIONS)),
        talk=talk,
        ring={"faults": drops(rng, keys)},
        checks=(talk.check, check, restored),
    )


def digits_and_transfer(rng: random.Random) -> Plan:
    """Two reasons to hold at once: the one that ends first does not end the other. A transfer is not talked into."""
    transfer_first = rng.random() < 0.5
    talk = Collects(CollectedDigits("", DigitsEnd.TIMEOUT), timeout=rng.uniform(25.0, 30.0) if transfer_first else 3.0)
    sorry = ModelSays("Nobody is there.")

    async def both(call: Call) -> None:
        if transfer_first:
            call.transfer("billing")
            await talk(call)
            return
        collecting = asyncio.ensure_future(talk(call))
        await asyncio.sleep(6.0)
        call.transfer("billing")
        await collecting

    async def outside(plan: Plan) -> None:
        if transfer_first:
            await plan.ringing.until_requested("refer")
            await asyncio.sleep(6.0)
            assert plan.call is not None
            plan.call.transfer_progress(TransferFailureReason.CARRIER)

    def check(plan: Plan) -> Iterator[str]:
        if plan.said() != [PROMPT.text, "Hm?", sorry.text, "Hello?", YES.text]:
            yield f"said was {plan.said()}"

    return Plan(
        name="digits: and a transfer",
        scenario=(PROMPT, CallerSays("Hm?", after=12.0), sorry, CallerSays("Hello?", after=5.0), YES, BYE),
        talk=both,
        outside=outside,
        answer={"transfers": TransferTargets({"billing": "tel:+14155550123"})},
        ring={"behavior": Behavior(refer="ignored"), "faults": drops(rng, "")},
        checks=(talk.check, check, restored),
    )


# --- updates ----------------------------------------------------------------------------------------------------------

Shows = Callable[[dict[str, Any]], bool]


class Change:
    """An update, and how the session shows that it was taken."""

    def __init__(self, shows: Shows, session: dict[str, Any] | None = None, **given: Any) -> None:
        self.shows = shows
        self._session, self._given = session, given

    async def make(self, call: Call) -> None:
        """Ask for it."""
        await call.update(self._session, **self._given)


def registry(name: str) -> Tools:
    """Return a registry with one tool, which says its own name."""
    tools = Tools()

    @tools.function(name=name)
    async def tool() -> str:
        """Do what the caller asks for."""
        return f"{name} has run"

    return tools


def change(rng: random.Random) -> Change:
    number = rng.randint(1, 4000)
    kinds: list[Callable[[], Change]] = [
        lambda: Change(lambda shown: shown["instructions"] == f"No. {number}.", instructions=f"No. {number}."),
        lambda: Change(lambda shown: shown["max_output_tokens"] == number, {"max_output_tokens": number}),
        lambda: Change(
            lambda shown: [tool["name"] for tool in shown["tools"]] == [f"tool_{number}"],
            tools=registry(f"tool_{number}"),
        ),
        lambda: Change(lambda shown: '"pt"' in shown["instructions"], language="pt"),
        lambda: Change(
            lambda shown: shown["audio"]["input"]["noise_reduction"] == {"type": "near_field"},
            {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
        ),
        lambda: Change(
            lambda shown: shown["prompt"] == {"id": "pmpt_1", "version": str(number)},
            prompt={"id": "pmpt_1", "version": str(number)},
        ),
    ]
    return rng.choice(kinds)()


class Updates:
    """A program that changes the session one time after the other, and looks what came of each."""

    def __init__(self, changes: list[Change], shown: Callable[[], dict[str, Any]]) -> None:
        self.outcomes: list[str] = []
        self.wrong: list[str] = []
        self._changes, self._shown = changes, shown

    async def __call__(self, call: Call) -> None:
        await call.respond("Greet the caller.")
        for number, each in enumerate(self._changes, 1):
            before = copy.deepcopy(self._shown())
            try:
                await each.make(call)
            except EventRefusedError:
                self.outcomes.append("refused")
                if self._shown() != before:
                    self.wrong.append(f"update {number} was refused, and has changed the session")
            except DeadlineError:
                self.outcomes.append("late")
            else:
                self.outcomes.append("taken")
                if not each.shows(self._shown()):
                    self.wrong.append(f"update {number} was taken, and the session does not show it")
        await call.wait_ended()


def updates(rng: random.Random, name: str, faults: list[Any], outcomes: list[str] | None, count: int) -> Plan:
    plan = Plan(name=f"updates: {name}", scenario=(HELLO, CallerSays(ASK.text, after=60.0), TELL, BYE))
    talk = Updates([change(rng) for _ in range(count)], lambda: plan.ringing.session or {})

    def check(plan: Plan) -> Iterator[str]:
        yield from talk.wrong
        if outcomes is not None and talk.outcomes != outcomes:
            yield f"updates were {talk.outcomes}, not {outcomes}"
        if plan.said()[-1:] != [TELL.text]:
            yield f"said at last: {plan.said()[-1:]}"

    plan.talk, plan.checks, plan.ring = talk, (check, restored), {"faults": faults}
    return plan


def updates_plainly(rng: random.Random) -> Plan:
    count = rng.randint(1, 5)
    return updates(rng, "plainly", [], ["taken"] * count, count)


def updates_refused(rng: random.Random) -> Plan:
    count = rng.randint(1, 5)
    refused = rng.randint(1, count)
    outcomes = ["refused" if number == refused else "taken" for number in range(1, count + 1)]
    return updates(rng, "refused", [UpdateRefused(occurrence=refused)], outcomes, count)


def updates_lost(rng: random.Random) -> Plan:
    """An update or its answer is lost; the first is the sign of life."""
    count = rng.randint(1, 4)
    lost = rng.randint(2, count + 1)
    outcomes = ["late" if number == lost - 1 else "taken" for number in range(1, count + 1)]
    kind = rng.choice(["session.update", "session.updated"])
    return updates(rng, "lost", [EventLost(kind, occurrence=lost)], outcomes, count)


def updates_with_drops(rng: random.Random) -> Plan:
    """Sockets are dropped as an update is read or answered: it is sent again, and taken."""
    count = rng.randint(1, 4)
    moments = ["session.update", "session.updated", "playing", "output_audio_buffer.stopped"]
    faults: list[Any] = [
        SocketDropped(when=rng.choice(moments), occurrence=rng.randint(1, count + 1), code=rng.choice(CODES))
        for _ in range(rng.randint(1, 3))
    ]
    if rng.random() < 0.3:
        return updates(rng, "sockets dropped, one refused", [*faults, UpdateRefused(occurrence=count)], None, count)
    return updates(rng, "sockets dropped", faults, ["taken"] * count, count)


def updates_during_digits(rng: random.Random) -> Plan:
    """Instructions change while digits are collected: both are there afterwards."""
    seconds = rng.uniform(0.0, 8.0)
    talk = Collects(CollectedDigits("12", DigitsEnd.TERMINATOR), timeout=30.0)

    async def both(call: Call) -> None:
        async def change() -> None:
            await asyncio.sleep(seconds)
            await call.update(instructions="Be brief.")

        changing = asyncio.ensure_future(change())
        try:
            await talk(call)
        finally:
            await asyncio.gather(changing, return_exceptions=True)
        if changing.exception() is not None:
            raise RealtimeSipError("the update has failed") from changing.exception()

    def check(plan: Plan) -> Iterator[str]:
        if plan.ringing.session is None or plan.ringing.session["instructions"] != "Be brief.":
            yield "the instructions have not changed"

    return Plan(
        name="updates: during digits",
        scenario=(PROMPT, CallerPresses("12#", after=rng.uniform(0.0, 6.0)), SOON, YES, BYE),
        talk=both,
        ring={"faults": drops(rng, "12#")},
        checks=(talk.check, check, restored, answered),
    )


def tools_exchanged(rng: random.Random) -> Plan:
    """The model calls what it was given; or, where the update was refused, what it had before."""
    refused = rng.random() < 0.5
    first, second = registry("first"), registry("second")
    ran, called = ("first has run", "first") if refused else ("second has run", "second")
    done: list[str] = []

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        try:
            await call.update(tools=second)
        except EventRefusedError:
            done.append("refused")
        await call.wait_ended()

    def check(plan: Plan) -> Iterator[str]:
        outputs = [event["item"].get("output") for event in plan.sent("conversation.item.create")]
        if outputs != [ran] or (done == ["refused"]) is not refused:
            yield f"the tools said {outputs}"
        yield from (note for note in plan.ringing.notes if "function" in note)

    return Plan(
        name="updates: tools",
        scenario=(HELLO, CallerSays(ASK.text, after=3.0), ModelCalls(called), TELL, BYE),
        talk=talk,
        answer={"tools": first},
        ring={"faults": [UpdateRefused()] if refused else []},
        checks=(check, restored),
    )


SESSIONS = [
    digits_plainly,
    digits_with_drops,
    digits_with_update_faults,
    digits_with_both,
    digits_raced,
    digits_silent,
    digits_barge_in,
    digits_idle,
    digits_canceled,
    digits_and_words,
    digits_and_transfer,
    updates_plainly,
    updates_refused,
    updates_lost,
    updates_with_drops,
    updates_during_digits,
    tools_exchanged,
]
