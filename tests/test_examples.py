"""The examples: each answers calls of the emulator as it says, over real HTTP where it is a server.

What is looked at is what the world sees: what was said on the line, what the tools answered, who hung up, and how the
webhooks were answered. The servers of one event loop run in virtual time, with the service's own timings.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Response
from flask import Flask
from twilio.rest import Client

from emulated import SPEED
from realtime_sip import AsyncRealtimeSip, EndReason, EventLogFolder, MemoryStore, OpenAIWebhooks
from realtime_sip.event_log import read_event_log
from realtime_sip.testing import (
    Behavior,
    Callee,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Timings,
    TwilioBehavior,
    TwilioCall,
    TwilioEmulator,
    run_virtual,
)
from realtime_sip.testing.scenario import Step
from realtime_sip.twilio import AsyncTwilioAccount, TwilioSignature
from realtime_sip.twilio.voice import AsyncTwilioHttp
from realtime_sip.twilio.whatsapp import CallPermissions
from serving import at, serving, serving_wsgi

FOLDER = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))

HELLO = ModelSays("Good morning.")
PUBLIC_URL = "https://voice.example.com"
TWILIO_TOKEN = "a token of the tests"
WORKFLOW = "WW" + "0" * 31 + "1"
BYE = "Thank you for your time. Goodbye."


def example(name: str) -> ModuleType:
    """Return the module as if it had just been imported."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that FastAPI can resolve its annotations
    spec.loader.exec_module(module)
    return module


def on_the_phone(
    create_app: Callable[[AsyncRealtimeSip], FastAPI],
    check: Callable[[OpenAIEmulator, str], Coroutine[Any, Any, None]],
    *,
    timings: Timings | None = None,
) -> None:
    """Run a server and the emulator in virtual time, and `check` with both."""

    async def main() -> None:
        async with (
            OpenAIEmulator(timings=timings) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
            serving(create_app(client)) as url,
        ):
            await check(openai, url)

    run_virtual(main())


def called(
    create_app: Callable[[AsyncRealtimeSip], FastAPI],
    scenario: Iterable[Step],
    *,
    notes: Iterable[str] = (),
    timings: Timings | None = None,
    **ring: Any,
) -> tuple[RingingCall, EndedBy]:
    """Ring the server, and return the call and who ended it. Nothing strange was seen but `notes`.

    `ring` is what else `OpenAIEmulator.ring` takes.
    """
    seen: list[tuple[RingingCall, EndedBy]] = []

    async def check(openai: OpenAIEmulator, url: str) -> None:
        ringing = await openai.ring(url, scenario=scenario, **ring)
        end = await ringing.ended()
        seen.append((ringing, end.by))

    on_the_phone(create_app, check, timings=timings)
    ((ringing, by),) = seen
    assert [answer.status_code for answer in ringing.webhook_responses] == [200]
    assert ringing.notes == list(notes)
    return ringing, by


def said(ringing: RingingCall) -> list[tuple[str, str]]:
    return [(line.by, line.text) for line in ringing.said]


def outputs(ringing: RingingCall) -> list[str]:
    """Return what the tools answered, in order."""
    items = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def operations(ringing: RingingCall) -> list[str]:
    return [request.operation for request in ringing.requests if request.operation != "attach"]


@pytest.fixture(autouse=True)
def event_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which examples keep what happened, where they do."""
    folder = tmp_path / "calls"
    monkeypatch.setenv("EVENT_LOGS", str(folder))
    return folder


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_importing_an_example_does_nothing(name: str) -> None:
    code = f"import {name}, threading; print(threading.active_count())"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_an_example_takes_its_keys_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", "a secret of the tests")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_example")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a token of the tests")
    monkeypatch.setenv("PUBLIC_URL", PUBLIC_URL)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    monkeypatch.setenv("FLEX_WORKFLOW_SID", WORKFLOW)
    monkeypatch.setenv("TWILIO_NUMBER", "+14155550199")
    monkeypatch.setenv("WHATSAPP_SENDER", "whatsapp:+551130000001")
    monkeypatch.setenv("CALLS_TOKEN", "a token for calls")
    before = signal.getsignal(signal.SIGTERM)
    app = example(name).from_environment()
    if isinstance(app, Flask):
        signal.signal(signal.SIGTERM, before)
        assert app.test_client().post("/").status_code == 400
        return

    async def posted() -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return (await http.post("/openai/webhook")).status_code

    assert asyncio.run(posted()) == 400


SERVERS: dict[str, Callable[[AsyncRealtimeSip], FastAPI]] = {
    "fastapi_server": lambda client: example("fastapi_server").create_app(client),
    "greet_and_answer": lambda client: example("greet_and_answer").create_app(client),
    "bakery": lambda client: (module := example("bakery")).create_app(client, module.Bakery()),
    "survey": lambda client: example("survey").create_app(client, save=lambda answers: None),
    "escalation": lambda client: example("escalation").create_app(client, keep=lambda message: None),
    "pin_entry": lambda client: pin_entry(client),
    "two_numbers": lambda client: two_numbers(client),
    "cost_ceiling": lambda client: cost_ceiling(client),
    "whatsapp_receptionist": lambda client: receptionist(client),
    "voicemail": lambda client: voicemail(client, {}),
    "flex_escalation": lambda client: flex_escalation(client),
    "outbound_call": lambda client: outbound_call(client),
}
DIALS = {"two_numbers": "+14155550110"}
"""What to dial, where that matters."""
SAYS_FIRST: dict[str, list[Step]] = {"outbound_call": [CallerSays("Hello?")]}
"""What is said before the model speaks, if it waits for that."""


def forged() -> tuple[bytes, dict[str, str]]:
    """Return a webhook that somebody else has signed."""
    body = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_forged", "sip_headers": []}}'
    return body, OpenAIWebhooks("somebody else's secret").sign(body, id="wh_forged", timestamp=int(time.time()))


def test_every_example_is_tested_here() -> None:
    assert sorted([*SERVERS, "flask_guide"]) == NAMES


@pytest.mark.parametrize("name", SERVERS)
def test_a_forged_webhook_is_refused_and_calls_nobody(name: str) -> None:
    async def check(openai: OpenAIEmulator, url: str) -> None:
        body, headers = forged()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, content=body, headers=headers)).status_code == 400
        assert openai.requests == []

    on_the_phone(SERVERS[name], check)


@pytest.mark.parametrize("name", SERVERS)
def test_a_call_that_is_announced_twice_is_answered_once(name: str) -> None:
    async def check(openai: OpenAIEmulator, url: str) -> None:
        dialed = DIALS.get(name, "+14155550199")
        scenario = [*SAYS_FIRST.get(name, []), HELLO, CallerHangsUp()]
        ringing = await openai.ring([url, url], duplicates=1, scenario=scenario, dialed=dialed)
        await ringing.until_delivered(count=4)
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert [answer.status_code for answer in ringing.webhook_responses] == [200] * 4
        assert operations(ringing) == ["accept"]
        assert [line for line in said(ringing) if line[0] == "model"] == [("model", HELLO.text)]

    on_the_phone(SERVERS[name], check)


# --- greet_and_answer -------------------------------------------------------------------------------------------------


def test_greet_and_answer_talks_until_the_caller_hangs_up() -> None:
    ringing, by = called(
        SERVERS["greet_and_answer"], [HELLO, CallerSays("Is it open?"), ModelSays("It is."), CallerHangsUp()]
    )
    assert by is EndedBy.CALLER
    assert said(ringing) == [("model", HELLO.text), ("caller", "Is it open?"), ("model", "It is.")]


# --- fastapi_server ---------------------------------------------------------------------------------------------------


def test_the_fastapi_server_hangs_up_when_the_model_ends_the_call() -> None:
    scenario: list[Step] = [
        HELLO,
        CallerSays("Number 1042, please."),
        ModelCalls("order_status", {"order_id": "1042"}),
        ModelSays("Tomorrow."),
        CallerSays("That is all."),
        ModelSays("Goodbye."),
        ModelCalls("end_call", same_response=True),
    ]
    ringing, by = called(SERVERS["fastapi_server"], scenario)
    assert by is EndedBy.AGENT
    assert outputs(ringing) == ["It left our warehouse yesterday and arrives tomorrow before noon."]
    assert [text for who, text in said(ringing) if who == "model"] == [HELLO.text, "Tomorrow.", "Goodbye."]


# --- bakery -----------------------------------------------------------------------------------------------------------


def test_the_bakery_looks_things_up_in_parallel_and_does_not_wait_for_a_slow_tool_for_ever() -> None:
    scenario: list[Step] = [
        HELLO,
        CallerSays("Have you got rye or spelt?"),
        ModelCalls("who_calls"),
        ModelCalls("loaves_left", {"bread": "rye"}, same_response=True),
        ModelCalls("ask_the_oven", {"bread": "spelt"}, same_response=True),
        ModelSays("Twelve rye; of spelt I do not know."),
        CallerHangsUp(),
    ]
    ringing, by = called(SERVERS["bakery"], scenario)
    assert by is EndedBy.CALLER
    *at_once, late = outputs(ringing)
    assert sorted(at_once) == ["12", "Customer 7, who mostly takes rye."]
    assert "took too long" in late
    assert said(ringing)[-1] == ("model", "Twelve rye; of spelt I do not know.")


ORDER = {"order": {"lines": [{"bread": "rye", "loaves": 2}], "day": "2026-11-27", "deliver": True}}


def test_the_bakery_places_an_order_only_after_the_caller_has_agreed() -> None:
    books: list[Any] = []

    def create_app(client: AsyncRealtimeSip) -> FastAPI:
        module = example("bakery")
        books.append(module.Bakery())
        app: FastAPI = module.create_app(client, books[0])
        return app

    scenario: list[Step] = [
        HELLO,
        CallerSays("Two rye for Friday."),
        ModelCalls("place_order", ORDER),
        ModelSays("Two rye for Friday, brought to you?"),
        CallerSays("Yes."),
        ModelCalls("place_order", ORDER),
        ModelSays("It is ordered."),
        CallerSays("I am allergic to nuts."),
        ModelSays("I have noted it."),
        ModelCalls("take_note", {"note": "No nuts."}, same_response=True),
        CallerSays("Goodbye."),
        ModelSays("Goodbye."),
        ModelCalls("end_call", same_response=True),
    ]
    # As it should be: nobody says anything about the note, so the caller, after some patience, goes on.
    unanswered = "the caller went on: a response was expected from the client, and none came"
    ringing, by = called(create_app, scenario, notes=[unanswered])
    assert by is EndedBy.AGENT
    refused, placed, noted = outputs(ringing)
    assert "the caller has to agree first" in refused
    assert placed == '{"order_number":1,"loaves":2}'
    assert noted == "noted"
    assert [(order.lines[0].bread, order.lines[0].loaves, order.deliver) for order in books[0].orders] == [
        ("rye", 2, True)
    ]
    assert books[0].notes == ["No nuts."]


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ({"lines": [], "day": "2026-11-27"}, "order.lines"),
        ({"lines": [{"bread": "brick", "loaves": 1}], "day": "2026-11-27"}, "order.lines.0.bread"),
        ({"lines": [{"bread": "rye", "loaves": 500}], "day": "2026-11-27"}, "order.lines.0.loaves"),
        ({"lines": [{"bread": "rye", "loaves": 1}], "day": "Friday"}, "order.day"),
    ],
)
def test_what_the_model_gets_wrong_is_told_to_it_and_the_call_goes_on(order: dict[str, Any], problem: str) -> None:
    scenario: list[Step] = [
        HELLO,
        CallerSays("Bread."),
        ModelCalls("place_order", {"order": order}),
        ModelSays("How many?"),
        CallerHangsUp(),
    ]
    ringing, by = called(SERVERS["bakery"], scenario)
    assert by is EndedBy.CALLER
    (output,) = outputs(ringing)
    assert problem in output
    assert said(ringing)[-1] == ("model", "How many?")


# --- survey -----------------------------------------------------------------------------------------------------------


def surveyed(scenario: Iterable[Step]) -> tuple[RingingCall, EndedBy, Any]:
    """Ring the survey, and return the call, who ended it, and what was saved."""
    saved: list[Any] = []
    ringing, by = called(lambda client: example("survey").create_app(client, save=saved.append), scenario)
    (answers,) = saved
    return ringing, by, answers


def answer(question: str, words: str) -> list[Step]:
    return [CallerSays(words), ModelCalls("record_answer", {"question": question, "answer": words})]


def test_the_survey_hangs_up_when_its_goodbye_was_heard() -> None:
    scenario: list[Step] = [
        ModelSays("How was your visit?"),
        *answer("visit", "A five."),
        ModelSays("Did the staff help you?"),
        *answer("staff", "They did."),
        ModelSays("Will you come again?"),
        *answer("again", "I will."),
        ModelSays(BYE),
    ]
    ringing, by, answers = surveyed(scenario)
    assert by is EndedBy.AGENT
    assert answers.given == {"visit": "A five.", "staff": "They did.", "again": "I will."}
    assert answers.ended is EndReason.AGENT
    # Four were asked for by us or by tool outputs; the goodbye is the last, and there is no second one.
    assert [text for who, text in said(ringing) if who == "model"][-2:] == ["Will you come again?", BYE]
    ends = [event["type"] for event in ringing.server_events if event["type"] in ("response.done", BUFFER)]
    assert ends[-2:] == ["response.done", BUFFER]  # it was played to its end
    assert operations(ringing) == ["accept", "hangup"]


BUFFER = "output_audio_buffer.stopped"


def test_the_survey_keeps_what_was_answered_when_the_caller_hangs_up() -> None:
    scenario: list[Step] = [
        ModelSays("How was your visit?"),
        *answer("visit", "A two."),
        ModelSays("And?"),
        CallerHangsUp(),
    ]
    ringing, by, answers = surveyed(scenario)
    assert by is EndedBy.CALLER
    assert answers.given == {"visit": "A two."}
    assert answers.ended is EndReason.CALLER
    assert operations(ringing) == ["accept"]


def test_the_survey_lets_a_caller_go_who_does_not_want_it() -> None:
    scenario: list[Step] = [
        ModelSays("How was your visit?"),
        CallerSays("Not now."),
        ModelSays("Sorry to disturb. Goodbye."),
        ModelCalls("end_call", same_response=True),
    ]
    ringing, by, answers = surveyed(scenario)
    assert by is EndedBy.AGENT
    assert answers.given == {}
    assert answers.ended is EndReason.AGENT
    assert said(ringing)[-1] == ("model", "Sorry to disturb. Goodbye.")


# --- escalation -------------------------------------------------------------------------------------------------------

SERVICE, BILLING = "sip:service@pbx.example.com", "tel:+14155550123"
PATIENT = Timings(patience=120)  # nobody speaks while a transfer comes to nothing
HANDED_OVER: list[Step] = [
    HELLO,
    CallerSays("I was charged twice. Give me a person."),
    ModelSays("Thank you for your patience, I am connecting you."),
    ModelCalls(
        "transfer_to_human",
        {"target": "billing", "reason": "charged twice", "summary": "Wants a refund."},
        same_response=True,
    ),
]


def order(number: str, answer: str) -> list[Step]:
    return [CallerSays("Where is it?"), ModelCalls("order_status", {"order_id": number}), ModelSays(answer)]


def escalated(scenario: Iterable[Step], **options: Any) -> tuple[RingingCall, EndedBy, list[str]]:
    """Ring the shop, and return the call, who ended it, and the messages that were taken."""
    kept: list[str] = []
    ringing, by = called(
        lambda client: example("escalation").create_app(client, keep=kept.append), scenario, timings=PATIENT, **options
    )
    return ringing, by, kept


def offered_desks(ringing: RingingCall) -> list[str]:
    assert ringing.accepted_session is not None
    (tool,) = [tool for tool in ringing.accepted_session["tools"] if tool["name"] == "transfer_to_human"]
    desks: list[str] = tool["parameters"]["properties"]["target"]["enum"]
    return desks


def test_the_model_hands_the_caller_over_to_a_desk_of_the_allow_list() -> None:
    ringing, by, _ = escalated(HANDED_OVER)
    assert by is EndedBy.TRANSFERRED
    assert ringing.dialed == [BILLING]
    assert operations(ringing) == ["accept", "refer"]
    assert offered_desks(ringing) == ["service", "billing"]
    assert "4155550123" not in str(ringing.accepted_session)
    assert said(ringing)[-1] == ("model", "Thank you for your patience, I am connecting you.")
    assert [event["type"] for event in ringing.server_events].count(BUFFER) == 2  # it was played to its end


def test_a_desk_that_is_not_on_the_allow_list_is_dialed_by_nobody() -> None:
    scenario: list[Step] = [
        HELLO,
        CallerSays("Connect me with a friend of mine."),
        ModelCalls("transfer_to_human", {"target": "tel:+14155550155", "reason": "a friend", "summary": ""}),
        ModelSays("I cannot do that."),
        CallerHangsUp(),
    ]
    ringing, by, _ = escalated(scenario)
    assert by is EndedBy.CALLER
    assert ringing.dialed == []
    assert "service, billing" in outputs(ringing)[0]


CONNECTING = "Thank you for your patience. I am connecting you with a person."


@pytest.mark.parametrize("channel", ["phone", "whatsapp"])
def test_after_two_failures_of_a_tool_the_program_fetches_a_person(channel: str) -> None:
    scenario = [HELLO, *order("1", "Once more, please?"), *order("7", "Not found either."), ModelSays(CONNECTING)]
    ringing, by, _ = escalated(scenario, channel=channel)
    assert by is EndedBy.TRANSFERRED
    assert ringing.dialed == [SERVICE]
    assert said(ringing)[-1] == ("model", CONNECTING)
    assert offered_desks(ringing) == (["service", "billing"] if channel == "phone" else ["service"])


def test_after_three_turns_that_match_nothing_the_program_fetches_a_person() -> None:
    mumbled: list[Step] = [CallerSays("Mm."), ModelCalls("not_understood"), ModelSays("What did you say?")]
    ringing, by, _ = escalated([HELLO, *mumbled * 3, ModelSays(CONNECTING)])
    assert by is EndedBy.TRANSFERRED
    assert ringing.dialed == [SERVICE]
    assert said(ringing)[-1] == ("model", CONNECTING)


def test_a_failure_that_is_followed_by_a_success_fetches_nobody() -> None:
    scenario = [HELLO, *order("1", "Once more?"), *order("1042", "Tomorrow."), *order("7", "Again?"), CallerHangsUp()]
    ringing, by, _ = escalated(scenario)
    assert by is EndedBy.CALLER
    assert ringing.dialed == []


LEFT_A_MESSAGE: list[Step] = [
    ModelSays("I am sorry, nobody answers. May I take a message?"),
    CallerSays("Please call me back."),
    ModelCalls("take_message", {"message": "Please call back."}),
    ModelSays("Somebody will call you back."),
    CallerHangsUp(),
]


@pytest.mark.parametrize("refer", ["no answer", "busy", "ignored"])
@pytest.mark.parametrize(
    "before",
    [HANDED_OVER, [HELLO, *order("1", "Once more?"), *order("7", "Not found either."), ModelSays(CONNECTING)]],
    ids=["by the model", "by the program"],
)
def test_where_nobody_answers_the_agent_keeps_the_caller_and_takes_a_message(before: list[Step], refer: Any) -> None:
    ringing, by, kept = escalated([*before, *LEFT_A_MESSAGE], behavior=Behavior(refer=refer))
    assert by is EndedBy.CALLER
    assert kept == ["Please call back."]
    assert [text for who, text in said(ringing) if who == "model"][-2:] == [
        "I am sorry, nobody answers. May I take a message?",
        "Somebody will call you back.",
    ]
    assert operations(ringing) == ["accept", "refer"]


# --- pin_entry --------------------------------------------------------------------------------------------------------

PIN = "73918264"


def pin_entry(client: AsyncRealtimeSip, accounts: dict[str, Any] | None = None, **options: Any) -> FastAPI:
    module = example("pin_entry")
    app: FastAPI = module.create_app(client, accounts_of(module) if accounts is None else accounts, **options)
    return app


def accounts_of(module: ModuleType) -> dict[str, Any]:
    return {"1042": module.Account(pin=PIN, balance="Twelve dollars.")}


def asks_for(number: str) -> list[Step]:
    return [HELLO, CallerSays(f"My balance, please; I am {number}."), ModelCalls("enter_pin", {"number": number})]


ENTER = ModelSays("Please enter your PIN and press the hash key.")
AGAIN = ModelSays("That was not right. Once more, please.")
BALANCE: list[Step] = [ModelCalls("balance", {"number": "1042"}), ModelSays("Twelve dollars."), CallerHangsUp()]
LOCKED = ModelSays("The account is locked. Goodbye.")


def entered(scenario: Iterable[Step], folder: Path, caplog: pytest.LogCaptureFixture) -> tuple[RingingCall, EndedBy]:
    """Ring the club, and hold that no PIN that was pressed is anywhere but in the service's own events."""
    caplog.set_level(logging.DEBUG)
    steps = list(scenario)
    logs = EventLogFolder(folder, redact=False)
    ringing, by = called(lambda client: pin_entry(client, event_log=logs), steps)
    (path,) = logs.paths()
    log = path.read_text()
    pressed = [step.digits.rstrip("#") for step in steps if isinstance(step, CallerPresses)]
    for pin in [PIN, *pressed]:
        assert pin not in str(ringing.client_events)
        assert pin not in str([request.body for request in ringing.requests])
        assert pin not in log
        assert pin not in caplog.text
    kept = [entry for entry in read_event_log(path).entries if entry.type == DTMF]
    assert len(kept) == [event["type"] for event in ringing.server_events].count(DTMF)
    assert {entry.data["event"] for entry in kept} <= {"<1 chars>"}
    return ringing, by


DTMF = "input_audio_buffer.dtmf_event_received"
OPEN = ["The PIN is right.", "Twelve dollars."]


def test_the_right_pin_opens_the_account(event_logs: Path, caplog: pytest.LogCaptureFixture) -> None:
    ringing, by = entered([*asks_for("1042"), ENTER, CallerPresses(PIN + "#"), *BALANCE], event_logs, caplog)
    assert by is EndedBy.CALLER
    assert outputs(ringing) == OPEN


def test_a_wrong_pin_may_be_corrected(event_logs: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The second time without the hash key: what was pressed counts when no more keys come.
    wrong, right = CallerPresses("73918265#"), CallerPresses(PIN)
    ringing, by = entered([*asks_for("1042"), ENTER, wrong, AGAIN, right, *BALANCE], event_logs, caplog)
    assert by is EndedBy.CALLER
    assert outputs(ringing) == OPEN


def test_a_caller_who_knows_the_prompt_may_press_the_pin_into_it(
    event_logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = ModelSays("Please enter your PIN, which is on the letter that we sent you, and press the hash key. " * 3)
    early = CallerPresses(PIN + "#", during="speech")
    ringing, by = entered([*asks_for("1042"), long, early, *BALANCE], event_logs, caplog)
    assert by is EndedBy.CALLER
    assert outputs(ringing) == OPEN
    assert "output_audio_buffer.cleared" in [event["type"] for event in ringing.server_events]


@pytest.mark.parametrize("number", ["1042", "9999"])
def test_after_three_wrong_pins_the_caller_hears_a_goodbye(
    number: str, event_logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And so it is for a number that nobody has: who tries learns nothing about it."""
    wrong = [CallerPresses(f"5829417{n}#") for n in (1, 2, 3)]
    steps = [*asks_for(number), ENTER, wrong[0], AGAIN, wrong[1], AGAIN, wrong[2], LOCKED]
    ringing, by = entered(steps, event_logs, caplog)
    assert by is EndedBy.AGENT
    assert outputs(ringing) == []
    assert said(ringing)[-1] == ("model", LOCKED.text)
    assert operations(ringing) == ["accept", "hangup"]


def test_a_locked_account_stays_locked_on_the_next_call() -> None:
    ringings: list[RingingCall] = []

    async def check(openai: OpenAIEmulator, url: str) -> None:
        wrong = CallerPresses("58294171#")
        for steps in (
            [*asks_for("1042"), ENTER, wrong, AGAIN, wrong, AGAIN, wrong, LOCKED],
            [*asks_for("1042"), LOCKED],
        ):
            ringings.append(await openai.ring(url, scenario=steps))
            assert (await ringings[-1].ended()).by is EndedBy.AGENT

    on_the_phone(pin_entry, check)
    assert [ringing.notes for ringing in ringings] == [[], []]
    assert said(ringings[1])[-1] == ("model", LOCKED.text)


def test_a_caller_who_presses_nothing_gets_a_person(event_logs: Path, caplog: pytest.LogCaptureFixture) -> None:
    ringing, by = entered([*asks_for("1042"), ENTER], event_logs, caplog)
    assert by is EndedBy.TRANSFERRED
    assert ringing.dialed == ["sip:reception@pbx.example.com"]
    assert outputs(ringing) == ["No PIN was entered. The caller is being transferred."]


def test_the_model_gets_nothing_out_of_an_account_before_its_pin_was_entered() -> None:
    scenario = [HELLO, CallerSays("My balance?"), BALANCE[0], ModelSays("First your PIN."), CallerHangsUp()]
    ringing, _ = called(pin_entry, scenario)
    assert outputs(ringing) == ["Not told: the PIN was not entered."]


# --- two_numbers ------------------------------------------------------------------------------------------------------

SHOP, WORKSHOP, NOBODYS = "+14155550110", "+14155550120", "+14155550130"


def two_numbers(client: AsyncRealtimeSip) -> FastAPI:
    app: FastAPI = example("two_numbers").create_app(client, denied=["+14155550166", "+1900*"])
    return app


def test_each_number_has_its_agent() -> None:
    for dialed, model, tool, arguments, expected in (
        (SHOP, "gpt-realtime-2.1", "opening_hours", {"day": "Saturday"}, "9 to 13"),
        (WORKSHOP, "gpt-realtime-2.1-mini", "repair_status", {"ticket": "17"}, "It is ready to be fetched."),
    ):
        scenario = [HELLO, CallerSays("Tell me."), ModelCalls(tool, arguments), ModelSays("Well."), CallerHangsUp()]
        ringing, by = called(two_numbers, scenario, dialed=dialed)
        assert by is EndedBy.CALLER
        assert ringing.accepted_session is not None
        assert ringing.accepted_session["model"] == model
        assert {tool["name"] for tool in ringing.accepted_session["tools"]} == {"end_call", tool}
        assert outputs(ringing) == [expected]


def rejected(ringing: RingingCall) -> list[Any]:
    """Return the SIP statuses with which the call was rejected, where that is all that was asked for."""
    assert {request.operation for request in ringing.requests} == {"reject"}
    return [request.body["status_code"] for request in ringing.requests]


@pytest.mark.parametrize(
    ("caller", "dialed", "status"),
    [
        ("+14155550101", NOBODYS, 404),
        ("+14155550166", SHOP, 603),
        ("+19005550100", WORKSHOP, 603),
        ("+14155550166", NOBODYS, 603),
    ],
)
def test_a_number_that_nobody_has_and_a_caller_who_may_not_are_rejected(caller: str, dialed: str, status: int) -> None:
    ringing, _ = called(two_numbers, [], caller=caller, dialed=dialed)
    assert rejected(ringing) == [status]


def test_who_calls_too_often_finds_it_busy_and_others_do_not() -> None:
    async def check(openai: OpenAIEmulator, url: str) -> None:
        for n in range(7):
            steps = [HELLO, CallerHangsUp()] if n < 5 else []
            often = await openai.ring(url, scenario=steps, caller="+14155550101", dialed=SHOP)
            await often.ended()
            assert operations(often) == (["accept"] if n < 5 else ["reject"])
        assert rejected(often) == [486]
        other = await openai.ring(url, scenario=[HELLO, CallerHangsUp()], caller="+14155550102", dialed=SHOP)
        assert (await other.ended()).by is EndedBy.CALLER

    on_the_phone(two_numbers, check)


# --- cost_ceiling -----------------------------------------------------------------------------------------------------

TALKATIVE = [HELLO, *(step for _ in range(30) for step in (CallerSays("Go on."), ModelSays("z" * 200)))]


def cost_ceiling(
    client: AsyncRealtimeSip, *, per_call: Decimal = Decimal("0.05"), per_day: Decimal = Decimal(1)
) -> FastAPI:
    logs = EventLogFolder(os.environ["EVENT_LOGS"])
    app: FastAPI = example("cost_ceiling").create_app(client, logs=logs, per_call=per_call, per_day=per_day)
    return app


def test_a_call_that_has_cost_what_it_may_is_told_so_and_ends_with_a_goodbye(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cost")
    ringing, by = called(cost_ceiling, TALKATIVE, strict=False)
    assert by is EndedBy.AGENT
    warned, line = [record.getMessage() for record in caplog.records if record.name == "cost"]
    assert "nearly" in warned
    (told,) = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    assert told["role"] == "system"
    asked = [event["response"] for event in ringing.client_events if event["type"] == "response.create"]
    assert len(asked) == 2  # the greeting and the goodbye
    assert "the time is up" in asked[-1]["instructions"]
    assert said(ringing)[-1][0] == "model"
    cost = Decimal(line.partition("cost ")[2].partition(" USD")[0])
    assert Decimal("0.05") <= cost < Decimal("0.10")
    assert f"{len(said(ringing))} lines" in line
    assert line.startswith(f"call {ringing.call_id}: limit;")


def test_a_call_that_costs_little_is_summed_up_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cost")
    ringing, by = called(cost_ceiling, [HELLO, CallerSays("Soup."), ModelSays("Fine."), CallerHangsUp(after=5)])
    assert by is EndedBy.CALLER
    (line,) = [record.getMessage() for record in caplog.records if record.name == "cost"]
    done = [event["response"]["usage"] for event in ringing.server_events if event["type"] == "response.done"]
    assert f"caller; 3 lines said, 2 responses, {sum(usage['total_tokens'] for usage in done)} tokens" in line
    assert line.endswith(" USD")


def test_what_was_spent_in_a_day_refuses_the_next_call() -> None:
    async def check(openai: OpenAIEmulator, url: str) -> None:
        first = await openai.ring(url, scenario=TALKATIVE, strict=False)
        assert (await first.ended()).by is EndedBy.AGENT
        second = await openai.ring(url)
        await second.ended()
        assert rejected(second) == [503]

    on_the_phone(lambda client: cost_ceiling(client, per_day=Decimal("0.01")), check)


def test_the_log_of_a_call_has_its_course_and_no_words(event_logs: Path) -> None:
    scenario: list[Step] = [HELLO, CallerSays("A soup of leeks."), ModelSays("Chop them finely."), CallerHangsUp()]
    ringing, _ = called(cost_ceiling, scenario, caller="+14155550101")
    (path,) = EventLogFolder(event_logs).paths()
    text = path.read_text()
    for words in (HELLO.text, "leeks", "Chop", "cooking", "4155550101"):
        assert words not in text
    log = read_event_log(path)
    assert log.header.redacted
    assert log.header.call_id == ringing.call_id
    assert [entry.type for entry in log.entries if entry.type == "response.done"] == ["response.done"] * 2
    assert log.entries[-1].type == "call.ended"


# --- flask_guide ------------------------------------------------------------------------------------------------------


@contextmanager
def flask_serving(openai: OpenAIEmulator) -> Iterator[tuple[str, Any]]:
    """Serve the guide's sample with werkzeug on a thread; hand out the webhook's URL and the host of its calls."""
    module = example("flask_guide")
    host = module.create_host(AsyncRealtimeSip(**openai.client_options))
    try:
        with serving_wsgi(module.create_app(host)) as url:
            yield f"{url}/", host
    finally:
        host.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


async def test_the_flask_sample_answers_each_call_once_on_one_thread_that_the_first_starts(
    openai: OpenAIEmulator,
) -> None:
    with flask_serving(openai) as (url, host):
        assert "realtime-sip-calls" not in threads()
        scenario: list[Step] = [ModelSays("Thank you for calling, how can I help you"), CallerHangsUp()]
        for _ in range(2):
            ringing = await openai.ring(url, scenario=scenario, duplicates=1)
            assert (await ringing.ended()).by is EndedBy.CALLER
            await ringing.until_delivered(count=2)
            assert [answer.status_code for answer in ringing.webhook_responses] == [200, 200]
            assert operations(ringing) == ["accept"]
            assert said(ringing) == [("model", "Thank you for calling, how can I help you")]
            assert threads().count("realtime-sip-calls") == 1
        await asyncio.to_thread(host.close)
        assert "realtime-sip-calls" not in threads()


async def test_the_flask_sample_refuses_a_forged_webhook(openai: OpenAIEmulator) -> None:
    with flask_serving(openai) as (url, _host):
        body, headers = forged()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, content=body, headers=headers)).status_code == 400
        assert openai.requests == []
        assert "realtime-sip-calls" not in threads()


async def test_a_call_that_is_up_when_the_flask_sample_stops_hears_a_goodbye_and_is_hung_up() -> None:
    timings = Timings(patience=60 * SPEED)  # the goodbye is waited for, for 60 real seconds
    async with OpenAIEmulator(speed=SPEED, timings=timings) as openai:
        with flask_serving(openai) as (url, host):
            ringing = await openai.ring(url, scenario=[HELLO, ModelSays(BYE)])
            await ringing.until_client_sent("response.create")
            await asyncio.to_thread(host.drain, 12)
            assert (await ringing.ended()).by is EndedBy.AGENT
            assert said(ringing)[-1] == ("model", BYE)


# --- behind Twilio ----------------------------------------------------------------------------------------------------

CONTEXT_SECRET = "a context secret of the tests"
VOICE_URL = f"{PUBLIC_URL}/twilio/voice"
PHONE: dict[str, Any] = {"from_": "+14155550100", "to": "+14155550199"}
WHATSAPP: dict[str, Any] = {"from_": "whatsapp:+5511987650001", "to": "whatsapp:+551130000001"}


def through_twilio(
    create_app: Callable[[AsyncRealtimeSip, TwilioEmulator], FastAPI],
    check: Callable[[TwilioEmulator], Coroutine[Any, Any, None]],
    *,
    rejected: Iterable[int] = (),
    **options: Any,
) -> None:
    """Run a server behind both emulators, and `check` with Twilio's; the first calls are rejected by OpenAI's side.

    `options` are those of `TwilioEmulator`.
    """
    refusals = list(rejected)

    def rejecting(client: AsyncRealtimeSip, twilio: TwilioEmulator) -> FastAPI:
        app = create_app(client, twilio)

        @app.middleware("http")
        async def busy(request: Any, call_next: Any) -> Any:
            if request.url.path == "/openai/webhook" and refusals:
                event = client.webhooks.unwrap(await request.body(), request.headers)
                await client.calls.reject(event.call_id, status_code=refusals.pop(0))  # type: ignore[union-attr]
                return Response(status_code=200)
            return await call_next(request)

        return app

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = at(listening)
            async with (
                OpenAIEmulator() as openai,
                AsyncRealtimeSip(**openai.client_options) as client,
                TwilioEmulator(
                    openai=openai,
                    openai_webhook=f"{url}/openai/webhook",
                    auth_token=TWILIO_TOKEN,
                    tunnels={PUBLIC_URL: url},
                    **options,
                ) as twilio,
                serving((rejecting if refusals else create_app)(client, twilio), listening),
            ):
                await check(twilio)

    run_virtual(main())


def obeys_nobody_but_twilio(create_app: Callable[[AsyncRealtimeSip], FastAPI], paths: Iterable[str]) -> None:
    """Check that what another one signed, or nobody, is refused."""

    async def check(openai: OpenAIEmulator, url: str) -> None:
        body = b"CallSid=CA1&From=%2B14155550100&To=%2B14155550199"
        form = {"content-type": "application/x-www-form-urlencoded"}
        async with httpx.AsyncClient(trust_env=False, base_url=url.removesuffix("/openai/webhook")) as http:
            for path in paths:
                signed = TwilioSignature("somebody else's token", PUBLIC_URL).sign(f"{PUBLIC_URL}{path}", body)
                for headers in ({}, signed):
                    assert (await http.post(path, content=body, headers={**form, **headers})).status_code == 403

    on_the_phone(create_app, check)


def refused_by_the_queue(create_app: Callable[[AsyncRealtimeSip], FastAPI]) -> None:
    """Check what a caller hears who leaves the queue of Flex, by why that is."""
    body = b"CallSid=CA1&From=%2B14155550100&To=%2B14155550199&CallStatus=in-progress&QueueResult="
    form = {"content-type": "application/x-www-form-urlencoded"}

    async def check(openai: OpenAIEmulator, url: str) -> None:
        twilio = TwilioSignature(TWILIO_TOKEN, PUBLIC_URL)
        async with httpx.AsyncClient(trust_env=False, base_url=url.removesuffix("/openai/webhook")) as http:
            for result, heard in ((b"system-error", True), (b"bridged", False), (b"hangup", False)):
                signed = twilio.sign(f"{PUBLIC_URL}/twilio/after_queue", body + result)
                reply = await http.post("/twilio/after_queue", content=body + result, headers={**form, **signed})
                assert ("<Say" in reply.text) is heard

    on_the_phone(create_app, check)


# --- whatsapp_receptionist --------------------------------------------------------------------------------------------

OLA = ModelSays("Bom dia!")


def receptionist(client: AsyncRealtimeSip) -> FastAPI:
    twilio = TwilioSignature(TWILIO_TOKEN, PUBLIC_URL)
    app: FastAPI = example("whatsapp_receptionist").create_app(
        client, project="proj_abc123", twilio=twilio, workflow_sid=WORKFLOW
    )
    return app


def received(
    scenario: Iterable[Step], *, rejected: Iterable[int] = (), monkeypatch: pytest.MonkeyPatch
) -> tuple[TwilioCall, list[RingingCall]]:
    """Ring the receptionist from WhatsApp; the first calls are rejected by OpenAI's side."""
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    seen: list[TwilioCall] = []

    async def check(twilio: TwilioEmulator) -> None:
        silent: list[list[Step]] = [[] for _ in rejected]
        first, *then = [*silent, list(scenario)]
        seen.append(await twilio.ring(VOICE_URL, **WHATSAPP, scenario=first, then=then))
        await seen[0].ended()

    through_twilio(
        lambda client, _: receptionist(client), check, rejected=rejected, strict=False
    )  # the last scenario may be left over
    (call,) = seen
    return call, call.openai_calls


def test_the_receptionist_answers_whatsapp_in_portuguese(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bye: list[Step] = [ModelSays("Até logo!"), ModelCalls("end_call", same_response=True)]
    with caplog.at_level(logging.INFO, logger="receptionist"):
        call, (ringing,) = received([OLA, CallerSays("Obrigada, tchau."), *bye], monkeypatch=monkeypatch)
    assert call.alerts == []
    assert call.history == ["ringing", "in-progress", "completed"]
    assert said(ringing) == [("model", OLA.text), ("caller", "Obrigada, tchau."), ("model", "Até logo!")]
    assert ringing.accepted_session is not None
    assert ringing.accepted_session["audio"]["input"]["transcription"]["language"] == "pt"
    assert "came by whatsapp" in caplog.text
    assert "the dial to OpenAI: talked" in caplog.text
    assert call.queued == []


def test_the_receptionist_looks_times_up_and_fetches_a_colleague_in_flex(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a_moment = ModelSays("Um momento.")
    asked = {"target": "equipe", "reason": "pediu uma pessoa", "summary": "Quinta, às 16 horas."}
    scenario: list[Step] = [
        OLA,
        CallerSays("Tem horário na quinta-feira?"),
        ModelCalls("free_times", {"day": "quinta-feira"}),
        ModelSays("Às 10:30 e às 16:00."),
        CallerSays("Quero falar com alguém."),
        a_moment,
        ModelCalls("transfer_to_human", asked, same_response=True),
    ]
    with caplog.at_level(logging.INFO):
        call, (ringing,) = received(scenario, monkeypatch=monkeypatch)
    assert outputs(ringing)[0] == "10:30 e 16:00"
    assert said(ringing)[-1] == ("model", a_moment.text)  # it was heard before the REFER went out
    assert [queued.task for queued in call.queued] == [{"language": "pt-BR", "summary": "Quinta, às 16 horas."}]
    assert call.requested("action")[-1]["QueueResult"] == "bridged"
    assert (call.heard, call.alerts) == ([], [])
    assert "the call to the model has ended: transferred" in caplog.text
    assert "Quinta" not in caplog.text


def test_a_caller_whom_the_receptionists_queue_does_not_take_hears_it() -> None:
    refused_by_the_queue(receptionist)


@pytest.mark.parametrize(
    ("rejected", "became", "heard"),
    [
        ([603], ["rejected"], True),
        ([503], ["unreachable", "talked"], False),
        ([503, 503], ["unreachable", "unreachable"], True),
    ],
)
def test_the_receptionist_tries_once_more_and_then_says_sorry(
    rejected: list[int],
    became: list[str],
    heard: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="receptionist"):
        call, calls = received([OLA, CallerHangsUp()], rejected=rejected, monkeypatch=monkeypatch)
    assert [record.args for record in caplog.records if "the dial" in record.msg] == [(word,) for word in became]
    assert len(calls) == len(became)
    assert (call.heard != []) is heard


def test_the_receptionist_obeys_nobody_but_twilio() -> None:
    obeys_nobody_but_twilio(
        receptionist, ["/twilio/voice", "/twilio/after_dial", "/twilio/refer", "/twilio/after_queue"]
    )


# --- voicemail --------------------------------------------------------------------------------------------------------


def voicemail(client: AsyncRealtimeSip, missed: dict[str, Any], **options: Any) -> FastAPI:
    twilio = TwilioSignature(TWILIO_TOKEN, PUBLIC_URL)
    app: FastAPI = example("voicemail").create_app(
        client, project="proj_abc123", twilio=twilio, public_url=PUBLIC_URL, missed=missed, **options
    )
    return app


def phoned(
    scenario: Iterable[Step] = (), *, rejected: Iterable[int] = (), monkeypatch: pytest.MonkeyPatch
) -> tuple[TwilioCall, dict[str, Any]]:
    """Call the number with the mailbox; return the call, once its recordings were reported, and who was missed."""
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    missed: dict[str, Any] = {}
    seen: list[TwilioCall] = []

    async def check(twilio: TwilioEmulator) -> None:
        call = await twilio.ring(VOICE_URL, **PHONE, scenario=scenario)
        seen.append(call)
        await call.ended()
        if rejected:
            await call.until_requested("recording")

    through_twilio(lambda client, _: voicemail(client, missed), check, rejected=rejected)
    (call,) = seen
    return call, missed


@pytest.mark.parametrize("status", [486, 503, 603])
def test_a_caller_whom_the_agent_does_not_answer_leaves_a_message(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="voicemail"):
        call, missed = phoned(rejected=[status], monkeypatch=monkeypatch)
    greeting, thanks = call.heard
    assert "leave a message" in greeting
    assert "call you back" in thanks
    (recorded,) = call.requested("recording")
    assert [request.status_code for request in call.requests] == [200, 200, 200, 204]
    left = missed.pop(call.sid)
    assert (left.caller, left.recording, left.seconds) == (PHONE["from_"], recorded["RecordingUrl"], 8)
    assert missed == {}
    assert PHONE["from_"] not in caplog.text + repr(left)
    assert recorded["RecordingUrl"] not in caplog.text + repr(left)


def test_a_caller_who_has_talked_to_the_agent_is_not_sent_to_the_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    bye: list[Step] = [ModelSays(BYE), ModelCalls("end_call", same_response=True)]
    call, missed = phoned([HELLO, CallerSays("That is all."), *bye], monkeypatch=monkeypatch)
    assert (call.heard, missed) == ([], {})
    assert [request.kind for request in call.requests] == ["voice", "action"]


def test_when_all_lines_are_taken_the_next_caller_leaves_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    missed: dict[str, Any] = {}

    async def check(twilio: TwilioEmulator) -> None:
        first = await twilio.ring(VOICE_URL, **PHONE, scenario=[HELLO])
        await (await first.until_openai()).until_client_sent("response.create")
        second = await twilio.ring(VOICE_URL, **PHONE)
        await second.until_requested("recording")
        assert list(missed) == [second.sid]
        first.hang_up()
        await first.ended()
        await second.ended()

    through_twilio(lambda client, _: voicemail(client, missed, max_calls=1), check)
    assert [left.seconds for left in missed.values()] == [8]


def test_a_recording_that_is_reported_twice_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    missed: dict[str, Any] = {}
    apps: list[FastAPI] = []

    def create_app(client: AsyncRealtimeSip, _: TwilioEmulator) -> FastAPI:
        apps.append(voicemail(client, missed))
        return apps[-1]

    async def check(twilio: TwilioEmulator) -> None:
        call = await twilio.ring(VOICE_URL, **PHONE)
        reported = await call.until_requested("recording")
        before = dict(missed)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(apps[0])) as http:
            again = await http.post(reported.url, data=dict(reported.params), headers=dict(reported.headers))
        assert again.status_code == 204
        assert missed == before
        await call.ended()

    through_twilio(create_app, check, rejected=[486])
    assert len(missed) == 1


def test_the_mailbox_obeys_nobody_but_twilio() -> None:
    paths = ["/twilio/voice", "/twilio/after_dial", "/twilio/goodbye/voice", "/twilio/recording"]
    obeys_nobody_but_twilio(lambda client: voicemail(client, {}), paths)


# --- flex_escalation --------------------------------------------------------------------------------------------------

A_MOMENT = ModelSays("Thank you for waiting. A colleague takes over.")
ASKS: list[Step] = [
    HELLO,
    CallerSays("I want a person. My internet is gone."),
    A_MOMENT,
    ModelCalls(
        "escalate_to_human",
        {"target": "flex", "reason": "asked for a person", "summary": "No internet."},
        same_response=True,
    ),
]
FAILS = ModelCalls("line_status", {"customer_number": "7"})


def flex_escalation(client: AsyncRealtimeSip, twilio: TwilioEmulator | None = None) -> FastAPI:
    sid, api = ("AC" + "0" * 32, None) if twilio is None else (twilio.account_sid, twilio.base_url)
    http = AsyncTwilioHttp(base_url=api)
    app: FastAPI = example("flex_escalation").create_app(
        client,
        project="proj_abc123",
        twilio=TwilioSignature(TWILIO_TOKEN, PUBLIC_URL),
        rest=Client(sid, TWILIO_TOKEN, http_client=http),
        workflow_sid=WORKFLOW,
        public_url=PUBLIC_URL,
    )
    app.state.twilio_http = http
    return app


def to_flex(
    scenario: Iterable[Step],
    *,
    from_: dict[str, Any] = PHONE,
    alerts: Iterable[int | None] = (),
    monkeypatch: pytest.MonkeyPatch,
    **options: Any,
) -> tuple[TwilioCall, RingingCall, EndedBy]:
    """Call the support line, and return the call, its side at OpenAI, and how that ended."""
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    apps: list[FastAPI] = []

    def create_app(client: AsyncRealtimeSip, twilio: TwilioEmulator) -> FastAPI:
        apps.append(flex_escalation(client, twilio))
        return apps[0]

    seen: list[tuple[TwilioCall, RingingCall, EndedBy]] = []

    async def check(twilio: TwilioEmulator) -> None:
        call = await twilio.ring(VOICE_URL, **from_, scenario=scenario, alerts=alerts)
        ringing = await call.until_openai()
        end = await ringing.ended()
        await call.ended()
        seen.append((call, ringing, end.by))
        await apps[0].state.twilio_http.aclose()

    through_twilio(create_app, check, **options)
    return seen[0]


@pytest.mark.parametrize("from_", [PHONE, WHATSAPP], ids=["phone", "whatsapp"])
@pytest.mark.parametrize("sid_of", ["parent", "child"])
def test_a_caller_who_wants_a_person_waits_in_flex_with_what_the_model_said_about_them(
    from_: dict[str, Any], sid_of: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        call, ringing, by = to_flex(
            ASKS, from_=from_, monkeypatch=monkeypatch, behavior=TwilioBehavior(refer_call_sid=sid_of)
        )
    assert by is EndedBy.TRANSFERRED
    assert said(ringing)[-1] == ("model", A_MOMENT.text)  # it was heard before the REFER went out
    (queued,) = call.queued
    assert queued.workflow_sid == WORKFLOW
    assert queued.task == {"reason": "asked for a person", "summary": "No internet."}
    assert call.heard == []
    assert call.requested("action")[-1]["QueueResult"] == "bridged"
    assert "No internet" not in caplog.text
    assert ringing.accepted_session is not None
    assert "escalate_to_human" in {tool["name"] for tool in ringing.accepted_session["tools"]}


def test_if_a_tool_fails_twice_the_program_hands_the_caller_over(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario: list[Step] = [
        HELLO,
        CallerSays("My number is 7."),
        FAILS,
        ModelSays("Let me try that again."),
        CallerSays("Please do."),
        FAILS,
        ModelSays("It does not work."),
        A_MOMENT,
    ]
    call, ringing, by = to_flex(scenario, monkeypatch=monkeypatch)
    assert by is EndedBy.TRANSFERRED
    assert said(ringing)[-1] == ("model", A_MOMENT.text)
    assert call.queued[0].task == {"reason": "tool failures", "summary": ""}


def test_if_no_refer_arrives_the_caller_comes_into_the_queue_by_the_api(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="flex"):
        call, _, by = to_flex(ASKS, alerts=[None], monkeypatch=monkeypatch, behavior=TwilioBehavior(enhanced_sip=False))
    assert by is EndedBy.TRANSFERRED
    (queued,) = call.queued
    assert queued.task == {"reason": "asked for a person", "summary": "No internet."}
    assert "the dial to OpenAI: own_redirect" in caplog.text
    assert [request["QueueResult"] for request in call.requested("action") if "QueueResult" in request.params] == [
        "bridged"
    ]


def test_if_the_agent_does_not_answer_a_person_does(monkeypatch: pytest.MonkeyPatch) -> None:
    call, _, by = to_flex([], rejected=[503], monkeypatch=monkeypatch)
    assert by is EndedBy.REJECTED
    assert call.queued[0].task == {"reason": "the agent did not answer", "summary": ""}


def test_a_caller_whom_the_queue_does_not_take_hears_it() -> None:
    refused_by_the_queue(flex_escalation)


def test_the_support_line_obeys_nobody_but_twilio() -> None:
    obeys_nobody_but_twilio(
        flex_escalation, ["/twilio/voice", "/twilio/after_dial", "/twilio/refer", "/twilio/after_queue"]
    )


# --- outbound_call ----------------------------------------------------------------------------------------------------

PHONE_OF_ANA, ANA = "+14155550123", "whatsapp:+5511987650001"
CALLS_TOKEN = "a token for calls"
SENDER = "whatsapp:+551130000001"
BICYCLE = ModelSays("Hello, this is the bicycle workshop.")
GREETED = CallerSays("You've reached Ana. Leave a message after the tone.")
GOODBYE: list[Step] = [ModelSays(BYE), ModelCalls("end_call", same_response=True)]

Before = Callable[[TwilioEmulator, httpx.AsyncClient], Coroutine[Any, Any, None]]


def outbound_call(client: AsyncRealtimeSip, twilio: TwilioEmulator | None = None) -> FastAPI:
    sid, api = ("AC" + "0" * 32, None) if twilio is None else (twilio.account_sid, twilio.base_url)
    module = example("outbound_call")
    account = AsyncTwilioAccount(sid, TWILIO_TOKEN, base_url=api, proxy=False)
    app: FastAPI = module.create_app(
        client,
        shop=module.Shop("proj_abc123", PUBLIC_URL, "+14155550199", SENDER, CALLS_TOKEN),
        account=account,
        twilio=TwilioSignature(TWILIO_TOKEN, PUBLIC_URL),
        permissions=CallPermissions(MemoryStore()),
    )
    app.state.account = account
    return app


def asked_to_call(
    to: str,
    *scenarios: Iterable[Step],
    monkeypatch: pytest.MonkeyPatch,
    callee: Callee | None = None,
    before: Before | None = None,
    token: str = CALLS_TOKEN,
) -> tuple[httpx.Response, list[TwilioCall]]:
    """Ask the server to call somebody; return what it answered and the calls, once they are over.

    `callee` is who answers, by default for ten minutes at most; the scenarios are those of the calls to OpenAI.
    """
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", CONTEXT_SECRET)
    seen: list[tuple[httpx.Response, list[TwilioCall]]] = []
    apps: list[FastAPI] = []

    def create_app(client: AsyncRealtimeSip, twilio: TwilioEmulator) -> FastAPI:
        apps.append(outbound_call(client, twilio))
        return apps[0]

    async def check(twilio: TwilioEmulator) -> None:
        twilio.account.whatsapp.own(SENDER, application_sid="AP" + "0" * 32)
        for scenario in scenarios:
            twilio.expect_call(scenario)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(apps[0]), base_url=PUBLIC_URL) as http:
            if before is not None:
                await before(twilio, http)
            answer = await http.post("/calls", content=to, headers={"authorization": f"Bearer {token}"})
            for call in twilio.calls:
                await call.ended()
        await apps[0].state.account.close()
        seen.append((answer, twilio.calls))

    through_twilio(create_app, check, callees={to: callee or Callee(talks=600)})
    ((answer, calls),) = seen
    return answer, calls


@pytest.mark.parametrize("hello", ["Hello?", "Alô?"])
def test_a_person_who_is_called_at_their_phone_talks_to_the_model(hello: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = [CallerSays(hello), BICYCLE, CallerSays("Great, thanks."), *GOODBYE]
    answer, (call,) = asked_to_call(PHONE_OF_ANA, scenario, monkeypatch=monkeypatch)
    assert (answer.status_code, answer.text) == (201, call.sid)
    (talk,) = call.openai_calls
    assert said(talk) == [("caller", hello), ("model", BICYCLE.text), ("caller", "Great, thanks."), ("model", BYE)]
    assert call.requested("answered")[0].params["AnsweredBy"] == "human"
    assert (call.status, call.history[-2]) == ("completed", "in-progress")


def test_a_voicemail_gets_a_message_once_its_tone_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    message = ModelSays(example("outbound_call").MESSAGE)
    machine = Callee(talks=600, answered_by="machine_end_beep", detected=12)
    _, (call,) = asked_to_call(PHONE_OF_ANA, [GREETED, message], callee=machine, monkeypatch=monkeypatch)
    (talk,) = call.openai_calls
    assert said(talk) == [("caller", GREETED.text), ("model", message.text)]
    assert talk.accepted_session is not None
    assert talk.accepted_session["audio"]["input"]["turn_detection"]["create_response"] is False
    assert call.status == "completed"


def test_a_voicemail_whose_tone_nobody_hears_gets_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Callee(talks=600, answered_by="machine_end_beep", detected=100)  # detection gives up after 30 s
    _, (call,) = asked_to_call(PHONE_OF_ANA, [GREETED], callee=machine, monkeypatch=monkeypatch)
    assert said(call.openai_calls[0]) == [("caller", GREETED.text)]
    assert call.status == "completed"


def test_the_key_of_a_menu_is_pressed_once_and_the_person_behind_it_talks_to_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    menu = CallerSays("For sales, press 1. For everything else, press 0.")
    machine = Callee(talks=600, answered_by="machine_end_silence", detected=20)
    person = [CallerSays("Hello, Ana speaking."), BICYCLE, CallerSays("Good."), *GOODBYE]
    _, (call,) = asked_to_call(PHONE_OF_ANA, [menu], person, callee=machine, monkeypatch=monkeypatch)
    assert [said(talk)[0] for talk in call.openai_calls] == [
        ("caller", menu.text),
        ("caller", "Hello, Ana speaking."),
    ]
    assert len(call.children) == 2
    assert call.status == "completed"


def test_a_menu_behind_the_menu_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    menu = CallerSays("For sales, press 1.")
    machine = Callee(talks=600, answered_by="machine_end_silence", detected=20)
    _, (call,) = asked_to_call(PHONE_OF_ANA, [menu], [menu], callee=machine, monkeypatch=monkeypatch)
    assert [said(talk) for talk in call.openai_calls] == [[("caller", menu.text)]] * 2
    assert call.status == "completed"


def test_an_assistant_that_screens_calls_is_told_who_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = CallerSays("If you record your name and reason for calling, I'll see if this person is available.")
    who = ModelSays("The bicycle workshop, about a bicycle that is ready.")
    scenario = [asks, who, CallerSays("Hi, Ana here."), *GOODBYE]
    _, (call,) = asked_to_call(PHONE_OF_ANA, scenario, callee=Callee(talks=600, detected=40), monkeypatch=monkeypatch)
    assert said(call.openai_calls[0])[:2] == [("caller", asks.text), ("model", who.text)]


def test_a_whatsapp_user_who_permits_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async def permit(twilio: TwilioEmulator, http: httpx.AsyncClient) -> None:
        refused = await http.post("/calls", content=ANA, headers={"authorization": f"Bearer {CALLS_TOKEN}"})
        assert (refused.status_code, refused.text.partition(":")[0]) == (409, "not_asked")
        assert twilio.rest_requests == []
        await twilio.reply_to_permission(f"{PUBLIC_URL}/twilio/message", from_=ANA, to=SENDER, accepted=True)

    scenario = [CallerSays("Oi."), BICYCLE, CallerSays("Que bom."), *GOODBYE]
    answer, (call,) = asked_to_call(ANA, scenario, before=permit, monkeypatch=monkeypatch)
    assert (answer.status_code, answer.text) == (201, call.sid)
    assert said(call.openai_calls[0])[1] == ("model", BICYCLE.text)
    assert [request.status_code for request in call.requested("status")] == [204] * 4
    assert call.status == "completed"


@pytest.mark.parametrize(
    ("to", "token", "status"),
    [(PHONE_OF_ANA, "another", 401), ("4155550123", CALLS_TOKEN, 400), ("whatsapp:Ana", CALLS_TOKEN, 400)],
)
def test_nobody_is_called_for_a_stranger_or_at_what_is_no_number(
    to: str, token: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, calls = asked_to_call(to, token=token, monkeypatch=monkeypatch)
    assert (answer.status_code, calls) == (status, [])


def test_a_call_that_twilio_refuses_is_told_and_no_user_stays_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def permit(twilio: TwilioEmulator, http: httpx.AsyncClient) -> None:
        await twilio.reply_to_permission(f"{PUBLIC_URL}/twilio/message", from_=ANA, to=SENDER, accepted=True)
        twilio.fail("Calls", status=400, code=37006)
        refused = await http.post("/calls", content=ANA, headers={"authorization": f"Bearer {CALLS_TOKEN}"})
        assert (refused.status_code, refused.text) == (502, "CallLimitError")

    scenario = [CallerSays("Oi."), BICYCLE, CallerSays("Que bom."), *GOODBYE]
    answer, (call,) = asked_to_call(ANA, scenario, before=permit, monkeypatch=monkeypatch)
    assert (answer.status_code, call.status) == (201, "completed")


def test_outbound_calls_obey_nobody_but_twilio() -> None:
    paths = ["/twilio/voice", "/twilio/status", "/twilio/answered", "/twilio/message"]
    obeys_nobody_but_twilio(lambda client: outbound_call(client), paths)
