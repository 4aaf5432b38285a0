"""The examples: each answers calls of the emulator as it says, over real HTTP where it is a server.

What is looked at is what the world sees: what was said on the line, what the tools answered, who hung up, and how the
webhooks were answered. The servers of one event loop run in virtual time, with the service's own timings.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from flask import Flask
from werkzeug.serving import make_server

from emulated import SPEED
from realtime_sip import AsyncRealtimeSip, EndReason, OpenAIWebhooks, RealtimeSip
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Timings,
    run_virtual,
)
from realtime_sip.testing.scenario import Step

FOLDER = Path(__file__).resolve().parents[1] / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))

HELLO = ModelSays("Good morning.")
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


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve the app with uvicorn, and hand out the webhook's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/openai/webhook"
        finally:
            server.should_exit = True
            await task


def on_the_phone(
    create_app: Callable[[AsyncRealtimeSip], FastAPI],
    check: Callable[[OpenAIEmulator, str], Coroutine[Any, Any, None]],
) -> None:
    """Run a server and the emulator in virtual time, and `check` with both."""

    async def main() -> None:
        async with (
            OpenAIEmulator() as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
            serving(create_app(client)) as url,
        ):
            await check(openai, url)

    run_virtual(main())


def called(
    create_app: Callable[[AsyncRealtimeSip], FastAPI], scenario: Iterable[Step], *, notes: Iterable[str] = ()
) -> tuple[RingingCall, EndedBy]:
    """Ring the server, and return the call and who ended it. Nothing strange was seen but `notes`."""
    seen: list[tuple[RingingCall, EndedBy]] = []

    async def check(openai: OpenAIEmulator, url: str) -> None:
        ringing = await openai.ring(url, scenario=scenario)
        end = await ringing.ended()
        seen.append((ringing, end.by))

    on_the_phone(create_app, check)
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
    app = example(name).from_environment()
    rules = [rule.rule for rule in app.url_map.iter_rules()] if isinstance(app, Flask) else [r.path for r in app.routes]
    assert {"/", "/openai/webhook"} & set(rules)


SERVERS: dict[str, Callable[[AsyncRealtimeSip], FastAPI]] = {
    "fastapi_server": lambda client: example("fastapi_server").create_app(client),
    "greet_and_answer": lambda client: example("greet_and_answer").create_app(client),
    "bakery": lambda client: (module := example("bakery")).create_app(client, module.Bakery()),
    "survey": lambda client: example("survey").create_app(client, save=lambda answers: None),
}


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
        ringing = await openai.ring([url, url], duplicates=1, scenario=[HELLO, CallerHangsUp()])
        await ringing.until_delivered(count=4)
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert [answer.status_code for answer in ringing.webhook_responses] == [200] * 4
        assert operations(ringing) == ["accept"]
        assert said(ringing) == [("model", HELLO.text)]

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


# --- flask_guide ------------------------------------------------------------------------------------------------------


@contextmanager
def flask_serving(openai: OpenAIEmulator) -> Iterator[tuple[str, Any]]:
    """Serve the guide's sample with werkzeug on a thread; hand out the webhook's URL and the thread of its calls."""
    module = example("flask_guide")
    calls = module.CallThread(AsyncRealtimeSip(**openai.client_options))
    with RealtimeSip(**openai.client_options) as client:
        server = make_server("127.0.0.1", 0, module.create_app(client, calls), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", calls
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


async def test_the_flask_sample_answers_each_call_once_on_one_thread_that_the_first_starts(
    openai: OpenAIEmulator,
) -> None:
    with flask_serving(openai) as (url, calls):
        assert "calls" not in threads()
        scenario: list[Step] = [ModelSays("Thank you for calling, how can I help you"), CallerHangsUp()]
        for _ in range(2):
            ringing = await openai.ring(url, scenario=scenario, duplicates=1)
            assert (await ringing.ended()).by is EndedBy.CALLER
            await ringing.until_delivered(count=2)
            assert [answer.status_code for answer in ringing.webhook_responses] == [200, 200]
            assert operations(ringing) == ["accept"]
            assert said(ringing) == [("model", "Thank you for calling, how can I help you")]
            assert threads().count("calls") == 1
        await asyncio.to_thread(calls.close)
        assert "calls" not in threads()


async def test_the_flask_sample_refuses_a_forged_webhook(openai: OpenAIEmulator) -> None:
    with flask_serving(openai) as (url, _calls):
        body, headers = forged()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url, content=body, headers=headers)).status_code == 400
        assert openai.requests == []
        assert "calls" not in threads()


async def test_a_call_that_is_up_when_the_flask_sample_stops_hears_a_goodbye_and_is_hung_up() -> None:
    timings = Timings(patience=60 * SPEED)  # the goodbye is waited for, for 60 real seconds
    async with OpenAIEmulator(speed=SPEED, timings=timings) as openai:
        with flask_serving(openai) as (url, calls):
            ringing = await openai.ring(url, scenario=[HELLO, ModelSays(BYE)])
            await ringing.until_client_sent("response.create")
            await asyncio.to_thread(calls.close, timeout=12)
            assert (await ringing.ended()).by is EndedBy.AGENT
            assert said(ringing)[-1] == ("model", BYE)
            assert "calls" not in threads()
