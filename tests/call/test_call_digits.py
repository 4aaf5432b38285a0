"""Collecting digits on a call, over real sockets against the emulator, on virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from phone import SESSION, outputs, phone, said, types, virtual
from realtime_sip import (
    Call,
    CallLimits,
    EndReason,
    Heard,
    Tools,
    TransferTargets,
    events,
)
from realtime_sip.call.machine.keypad import CollectedDigits, DigitsEnd
from realtime_sip.errors import CallEndedError, ConfigurationError, InvalidRequestError
from realtime_sip.event_log import EventLogFolder, read_event_log
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EventLost,
    ModelCalls,
    ModelSays,
    RingingCall,
    SocketDropped,
    Timings,
    UpdateRefused,
)

HELLO = ModelSays("Good morning.")
PROMPT = ModelSays("Please enter your number, and then press the hash key.")
BYE = CallerHangsUp()


class Collecting:
    """A handler that collects digits once, says something, and lets the call go on."""

    def __init__(self, **options: Any) -> None:
        self.collected: CollectedDigits | None = None
        self.seconds = 0.0
        self._options = options

    async def __call__(self, call: Call) -> None:
        began = asyncio.get_running_loop().time()
        self.collected = await call.collect_digits("Ask for the number.", **self._options)
        self.seconds = asyncio.get_running_loop().time() - began
        await call.wait_ended()


def creates_responses(ringing: RingingCall) -> bool:
    assert ringing.session is not None
    return bool(ringing.session["audio"]["input"]["turn_detection"]["create_response"])


def without_ids(text: str) -> str:
    """Return a text without its random ids, which hold any digits by chance."""
    return re.sub(r"[a-z]+_[0-9a-z_]+", "", text)


def responses(ringing: RingingCall) -> int:
    return types(ringing.server_events).count("response.created")


@virtual
async def test_digits_are_collected_to_the_terminator() -> None:
    talk = Collecting()
    async with phone() as line:
        ended, ringing = await line.played(PROMPT, CallerPresses("1042#"), BYE, talk=talk)
    assert talk.collected == CollectedDigits("1042", DigitsEnd.TERMINATOR)
    assert ended.reason is EndReason.CALLER
    assert creates_responses(ringing)


@pytest.mark.parametrize(
    "frame",
    [
        {"event": "1"},
        {"event": "1", "received_at": 1_795_000_000.25},
        {"event": "1", "received_at": None},
        {"event": "1", "received_at": "2026-11-26T02:25:09Z"},
        {"event": "1", "received_at": 1_795_000_000, "event_id": 7},
        {"event": "1", "received_at": 1_795_000_000, "type": " input_audio_buffer.dtmf_event_received"},
        {"event": "1", "type": " input_audio_buffer.dtmf_event_received", "event_id": []},
    ],
)
def test_a_key_counts_whatever_else_its_event_has(frame: dict[str, Any]) -> None:
    @virtual
    async def run() -> None:
        talk = Collecting(max_digits=2)
        async with phone(strict=False) as line:
            ringing = await line.ring(talk=talk)
            await ringing.until_attached()
            while talk.collected is None:  # the last keys may come before anybody asks for them
                ringing.inject(json.dumps({"type": "input_audio_buffer.dtmf_event_received", **frame}))
                await asyncio.sleep(1)
            ringing.hang_up()
        assert talk.collected == CollectedDigits("11", DigitsEnd.MAX_DIGITS)

    run()


@virtual
async def test_digits_are_complete_at_their_number_or_when_no_more_come() -> None:
    for options, digits, expected in (
        ({"max_digits": 4}, "104299", CollectedDigits("1042", DigitsEnd.MAX_DIGITS)),
        ({}, "10", CollectedDigits("10", DigitsEnd.INTER_DIGIT_TIMEOUT)),
        ({"terminator": None, "max_digits": 3}, "1#2", CollectedDigits("1#2", DigitsEnd.MAX_DIGITS)),
    ):
        talk = Collecting(**options)
        async with phone() as line:
            await line.played(PROMPT, CallerPresses(digits), CallerHangsUp(after=10.0), talk=talk)
        assert talk.collected == expected


@virtual
async def test_the_time_for_the_first_key_begins_when_the_prompt_was_heard() -> None:
    talk = Collecting(timeout=5.0)
    async with phone() as line:
        _, ringing = await line.played(PROMPT, CallerHangsUp(after=30.0), talk=talk)
    assert talk.collected == CollectedDigits("", DigitsEnd.TIMEOUT)
    assert not talk.collected
    spoken = len(PROMPT.text) / 15
    assert talk.seconds > 5.0 + spoken
    assert creates_responses(ringing)


@virtual
async def test_law_server_made_responses_are_off_while_collecting_and_restored() -> None:
    """Whether an update of turn detection is merged by the service or replaces it."""
    detection = {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 400, "idle_timeout_ms": 6000}
    session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
    for update in ("merged", "replaced"):
        talk = Collecting(timeout=20.0)
        scenario = (
            PROMPT,
            CallerSays("Hold on, where did I put it?"),
            CallerPresses("12#", after=8.0),
            CallerSays("Are you there?"),
            ModelSays("Yes."),
            BYE,
        )
        async with phone() as line:
            ended, ringing = await line.played(
                *scenario, talk=talk, session=session, behavior=Behavior(turn_detection_update=update)
            )
        assert ended.reason is EndReason.CALLER
        assert talk.collected is not None
        assert talk.collected.digits == "12"
        assert [said.text for said in ringing.said] == [s.text for s in scenario if hasattr(s, "text")]
        assert responses(ringing) == 2  # the prompt, and the answer after it was over
        assert ringing.session is not None
        restored = ringing.session["audio"]["input"]["turn_detection"]
        assert restored["create_response"] is True
        assert {name: restored[name] for name in detection} == detection


@virtual
async def test_law_turn_detection_is_restored_whatever_happens() -> None:
    faults: list[list[Any]] = [
        [SocketDropped(when="input_audio_buffer.dtmf_event_received", code=1006)],
        [SocketDropped(when="playing", code=1011)],
        [UpdateRefused(occurrence=1)],
        [UpdateRefused(occurrence=2)],
        [EventLost("session.updated", occurrence=2)],
        [EventLost("session.updated", occurrence=3)],
        [EventLost("session.update", occurrence=2)],
        [EventLost("session.update", occurrence=3)],
    ]
    for fault in faults:
        talk = Collecting(max_digits=2)
        async with phone() as line:
            scenario = (PROMPT, CallerPresses("12345"), CallerSays("Hello?", after=15.0), ModelSays("Yes."), BYE)
            ended, ringing = await line.played(*scenario, talk=talk, faults=fault)
        assert ended.reason is EndReason.CALLER, fault
        assert creates_responses(ringing), fault
        assert ringing.said[-1].text == "Yes.", fault


@virtual
async def test_law_turn_detection_is_restored_where_collecting_is_canceled() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(6):
                await call.collect_digits("Ask for the number.", timeout=60)
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(PROMPT, CallerSays("Hello?", after=10.0), ModelSays("Yes."), BYE, talk=talk)
    assert creates_responses(ringing)
    assert ringing.said[-1].text == "Yes."


@virtual
async def test_what_is_asked_for_meanwhile_waits() -> None:
    async def talk(call: Call) -> None:
        collecting = asyncio.ensure_future(call.collect_digits("Ask for the number."))
        await asyncio.sleep(0.1)
        speech = call.respond("Say thank you.")
        assert (await collecting).digits == "12"
        assert not speech.over
        assert await speech.heard() is Heard.ENTIRELY
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(PROMPT, CallerPresses("12#"), ModelSays("Thank you."), BYE, talk=talk)
    assert ringing.said[-1].text == "Thank you."


@virtual
async def test_the_first_key_stops_the_prompt_where_that_is_asked_for() -> None:
    for barge_in in (True, False):
        talk = Collecting(barge_in=barge_in, max_digits=2)
        async with phone() as line:
            _, ringing = await line.played(ModelSays("z" * 300), CallerPresses("12", during="speech"), BYE, talk=talk)
        assert talk.collected == CollectedDigits("12", DigitsEnd.MAX_DIGITS)
        assert ("output_audio_buffer.cleared" in types(ringing.server_events)) is barge_in


@virtual
async def test_a_tool_may_collect_digits() -> None:
    tools = Tools()

    @tools.function(timeout=60)
    async def check_pin(call: Call) -> str:
        """Ask the caller for the PIN, and check it."""
        digits = await call.collect_digits("Ask for the PIN.", max_digits=4, secret=True)
        return "right" if digits.digits == "1234" else "wrong"

    scenario = (
        HELLO,
        CallerSays("My balance?"),
        ModelCalls("check_pin"),
        PROMPT,
        CallerPresses("1234"),
        ModelSays("Ten."),
        BYE,
    )

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    async with phone() as line:
        ended, ringing = await line.played(*scenario, talk=talk, tools=tools)
    assert ended.reason is EndReason.CALLER
    assert outputs(ringing) == ["right"]
    assert ringing.said[-1].text == "Ten."


@virtual
async def test_law_secret_digits_are_told_to_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    async def talk(call: Call) -> None:
        async def watch() -> None:
            async for event in call:
                if isinstance(event, events.InputAudioBufferDtmfEventReceived):
                    seen.append(event.event)

        watching = asyncio.ensure_future(watch())
        digits = await call.collect_digits("Ask for the PIN.", max_digits=4, secret=True)
        assert digits.digits == "7391"
        assert "7391" not in repr(digits)
        assert (await call.collect_digits("Ask for a key.", max_digits=1)).digits == "5"
        await call.wait_ended()
        await watching

    logs = EventLogFolder(tmp_path, redact=False)
    async with phone() as line:
        scenario = (PROMPT, CallerPresses("7391"), ModelSays("Now press a key."), CallerPresses("5"), BYE)
        _, ringing = await line.played(*scenario, talk=talk, event_log=logs)
    assert seen == ["5"]
    (path,) = logs.paths()
    pressed = [entry for entry in path.read_text().splitlines() if "dtmf_event" in entry]
    assert len(pressed) == 5
    assert not any(f'"event": "{key}"' in entry for entry in pressed[:4] for key in "7391")
    assert '"event": "5"' in pressed[4]
    assert "7391" not in without_ids(str(list(ringing.client_events)))
    assert "7391" not in without_ids(caplog.text)


@virtual
async def test_a_terminator_out_of_habit_does_not_end_the_next_answer(tmp_path: Path) -> None:
    seen: list[str] = []
    digits: list[str] = []

    async def talk(call: Call) -> None:
        async def watch() -> None:
            async for event in call:
                if isinstance(event, events.InputAudioBufferDtmfEventReceived):
                    seen.append(event.event)

        watching = asyncio.ensure_future(watch())
        for _ in range(2):
            collected = await call.collect_digits("Ask for the PIN.", max_digits=4, secret=True)
            digits.append(collected.digits)
        await call.wait_ended()
        await watching

    logs = EventLogFolder(tmp_path, redact=False)
    async with phone() as line:
        scenario = (PROMPT, CallerPresses("1111#"), PROMPT, CallerPresses("222288", during="speech"), BYE)
        await line.played(*scenario, talk=talk, event_log=logs)
    assert digits == ["1111", "2222"]
    assert seen == []
    (path,) = logs.paths()
    assert '"event": "8"' not in path.read_text()


@virtual
async def test_the_time_of_the_caller_is_not_the_time_of_the_tool() -> None:
    tools = Tools()

    @tools.function(timeout=2)
    async def ask_for_number(call: Call) -> str:
        """Ask for the number."""
        return (await call.collect_digits("Ask for the number.")).digits

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    asking = (ModelCalls("ask_for_number"), PROMPT, CallerPresses("12#", after=7.0))
    async with phone() as line:
        _, ringing = await line.played(
            HELLO, CallerSays("Here it is."), *asking, ModelSays("Thanks."), BYE, talk=talk, tools=tools
        )
    assert outputs(ringing) == ["12"]


@virtual
async def test_silence_does_not_end_a_call_while_digits_are_awaited() -> None:
    talk = Collecting(timeout=40.0)
    async with phone() as line:
        ended, _ = await line.played(
            PROMPT, CallerPresses("1#", after=30.0), BYE, talk=talk, limits=CallLimits(silence=15.0)
        )
    assert talk.collected == CollectedDigits("1", DigitsEnd.TERMINATOR)
    assert ended.reason is EndReason.CALLER


@virtual
async def test_the_end_of_the_call_ends_the_wait() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(CallEndedError):
            await call.collect_digits("Ask for the number.", timeout=60)

    async with phone() as line:
        ended, _ = await line.played(PROMPT, BYE, talk=talk)
    assert ended.reason is EndReason.CALLER


@virtual
async def test_what_makes_no_sense_is_refused_at_the_door() -> None:
    async def talk(call: Call) -> None:
        for options in ({"max_digits": 0}, {"terminator": "x"}, {"timeout": 0}, {"inter_digit_timeout": -1.0}):
            with pytest.raises(ConfigurationError):
                await call.collect_digits(**options)
        collecting = asyncio.ensure_future(call.collect_digits(timeout=5))
        await asyncio.sleep(0.1)
        with pytest.raises(ConfigurationError, match="already"):
            await call.collect_digits()
        with pytest.raises(InvalidRequestError, match="turn_detection"):
            await call.update({"audio": {"input": {"turn_detection": None}}})
        await collecting

    async with phone() as line:
        ended, _ = await line.played(talk=talk)
    assert ended.reason is EndReason.AGENT


@virtual
async def test_a_session_without_turn_detection_is_left_alone() -> None:
    session = {**SESSION, "audio": {"input": {"turn_detection": None}}}
    talk = Collecting()
    async with phone() as line:
        _, ringing = await line.played(PROMPT, CallerPresses("12#"), BYE, talk=talk, session=session)
    assert talk.collected is not None
    updates = [e["session"] for e in ringing.client_events if e["type"] == "session.update"]
    assert all("audio" not in update for update in updates)


SORRY = ModelSays("Nobody is there right now.")
DESKS = TransferTargets({"billing": "tel:+14155550123"})
PATIENT = Timings(patience=150.0)


@virtual
async def test_law_secret_digits_are_told_to_nobody__nor_those_that_follow_into_the_next_answer() -> None:
    seen: list[str] = []

    async def read(call: Call) -> None:
        async for event in call:
            if isinstance(event, events.InputAudioBufferDtmfEventReceived):
                seen.append(event.event)

    async def talk(call: Call) -> None:
        reading = asyncio.create_task(read(call))
        await call.collect_digits(max_digits=4, secret=True)
        await call.collect_digits(max_digits=1, terminator=None)
        await call.wait_ended()
        await reading

    async with phone() as line:
        await line.played(CallerPresses("104299"), BYE, talk=talk)
    assert seen == []


@virtual
async def test_law_the_model_is_quiet_while_a_transfer_is_pending__also_where_digits_are_asked_for() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(2)
        await call.collect_digits("Ask for the number.", timeout=5.0)

    async with phone(strict=False, timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO, ModelSays("Your number?"), talk=talk, transfers=DESKS, behavior=Behavior(refer="bridged")
        )
    assert ended.reason is EndReason.TRANSFERRED
    assert said(ringing) == [HELLO.text]


@virtual
async def test_digits_are_asked_for_once_the_transfer_has_failed() -> None:
    collected: list[str] = []

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(2)
        collected.append((await call.collect_digits("Ask for the number.", timeout=5.0, max_digits=2)).digits)
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        _, ringing = await line.played(
            HELLO,
            ModelSays("Your number?"),
            CallerPresses("12"),
            SORRY,
            BYE,
            talk=talk,
            transfers=DESKS,
            behavior=Behavior(refer="busy"),
        )
    assert collected == ["12"]
    assert said(ringing) == [HELLO.text, "Your number?", SORRY.text]


@virtual
async def test_digits_of_the_consent_and_of_the_handler_are_collected_one_after_the_other(tmp_path: Path) -> None:
    """Both may ask as soon as the call is up, and neither knows of the other."""

    async def consent(call: Call) -> bool:
        return (await call.collect_digits("Ask for consent.", max_digits=1)).digits == "1"

    async def talk(call: Call) -> None:
        await call.collect_digits("Ask for the number.", max_digits=2, timeout=5.0)

    async with phone(timings=PATIENT) as line:
        scenario = (ModelSays("May we?"), CallerPresses("1"), ModelSays("Your number?"), CallerPresses("12"))
        ended, _ = await line.played(*scenario, talk=talk, event_log=EventLogFolder(tmp_path), consent=consent)
    assert ended.reason is EndReason.AGENT


@virtual
async def test_law_turn_detection_is_restored_whatever_happens__also_where_the_program_lets_go() -> None:
    async def talk(call: Call) -> None:
        collecting = asyncio.ensure_future(call.collect_digits(timeout=60.0))
        await asyncio.sleep(3)
        await call.detach()
        with pytest.raises(CallEndedError):
            await collecting

    async with phone(strict=False) as line:
        ended, ringing = await line.played(CallerHangsUp(after=30.0), talk=talk)
        assert ended.reason is EndReason.DETACHED
        assert ringing.session is not None
        assert ringing.session["audio"]["input"]["turn_detection"]["create_response"] is True
        ringing.hang_up()


@pytest.mark.parametrize(
    "pressed",
    [[CallerPresses("7391#", after=10.5)], [CallerPresses("73"), CallerPresses("91#", after=3.5)]],
    ids=["late", "slow"],
)
@virtual
async def test_law_secret_digits_are_told_to_nobody__also_where_the_caller_is_too_slow(
    pressed: list[CallerPresses], tmp_path: Path
) -> None:
    seen: list[str] = []

    async def talk(call: Call) -> None:
        await call.collect_digits("Ask for the PIN.", secret=True)
        async for event in call:
            if event.type == "input_audio_buffer.dtmf_event_received":
                seen.append(getattr(event, "event", ""))

    logs = EventLogFolder(tmp_path, redact=False)
    async with phone() as line:
        steps = (ModelSays("Please enter your PIN."), *pressed, CallerHangsUp(after=5.0))
        await line.played(*steps, talk=talk, event_log=logs)
    (path,) = logs.paths()
    kept = [entry.data["event"] for entry in read_event_log(path).entries if "dtmf" in entry.type]
    assert seen == []
    assert set(kept) == {"<1 chars>"}
