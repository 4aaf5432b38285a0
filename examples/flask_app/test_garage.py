"""How the application is tested: an emulator rings it, and its page is read afterwards. No account is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.serving import make_server

from garage import create_app
from garage.models import PhoneCall, db, first_day
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EmulatorOnThread,
    ModelCalls,
    ModelSays,
    RingingCall,
    Step,
    Timings,
)

# Twenty times as fast as life; but a machine that is busy is given ten seconds for everything.
pytestmark = pytest.mark.openai_emulator(speed=20, timings=Timings(least_patience=10))

HELLO = ModelSays("Good morning.")
PASSWORD = "a password of the tests"


@pytest.fixture
def app(tmp_path: Path, openai_on_thread: EmulatorOnThread) -> Iterator[Flask]:  # noqa: ARG001 - it sets the environment
    """The application as it runs, with the emulator in OpenAI's place and a database of its own."""
    app = create_app({"SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/garage.db", "OFFICE_PASSWORD": PASSWORD})
    with app.app_context():
        first_day()
    yield app
    app.extensions["phone"].close()


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """Serve the application, and return the URL of its webhook."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/openai/webhook"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def call(openai_on_thread: EmulatorOnThread, app: Flask, url: str) -> Callable[..., RingingCall]:
    """Return what calls a number, and waits until the call has ended and is written down."""

    def call(dialed: str, *scenario: Step) -> RingingCall:
        ring = openai_on_thread.emulator.ring
        ringing = openai_on_thread.run(ring, url, dialed=dialed, caller="+14155550101", scenario=scenario)
        openai_on_thread.run(ringing.ended)
        app.extensions["phone"].ended(ringing.call_id)
        return ringing

    return call


def outputs(ringing: RingingCall) -> list[str]:
    """Return what the tools answered."""
    created = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    return [item["output"] for item in created if item["type"] == "function_call_output"]


def page(app: Flask) -> str:
    """Return what the office sees."""
    return app.test_client().get("/calls", auth=("office", PASSWORD)).text


def test_what_both_sides_said_is_on_the_page_when_the_caller_has_hung_up(
    app: Flask, call: Callable[..., RingingCall]
) -> None:
    ringing = call(
        "+14155550110",
        HELLO,
        CallerSays("Is <b>my car</b> ready? The plate is 7abc 123."),
        ModelCalls("repair_status", {"plate": "7abc 123"}),
        ModelSays("It is ready."),
        CallerHangsUp(),
    )
    assert outputs(ringing) == ["ready, and open until six"]
    with app.app_context():
        kept = db.session.scalars(select(PhoneCall)).one()
        assert (kept.agent, kept.caller, kept.ended_by) == ("workshop", "+14155550101", "caller")
        assert [line.by for line in kept.lines] == ["agent", "caller", "agent"]
    assert "<dd>Is &lt;b&gt;my car&lt;/b&gt; ready? The plate is 7abc 123.</dd>" in page(app)
    assert "<dd>It is ready.</dd>" in page(app)


def test_the_other_number_has_the_agent_for_parts__who_writes_down_whom_to_call(
    app: Flask, call: Callable[..., RingingCall]
) -> None:
    ringing = call(
        "+14155550120",
        HELLO,
        CallerSays("Do you have W-4410? Please keep four for me."),
        ModelCalls("in_stock", {"part_number": "w-4410"}),
        ModelCalls("request_callback", {"reason": "four wiper blades"}),
        ModelSays("We have three, and call you back today."),
        CallerHangsUp(),
    )
    assert outputs(ringing)[0] == "wiper blade: 3"
    assert "<li>+14155550101: four wiper blades</li>" in page(app)


def test_a_number_that_is_not_ours_is_rejected(app: Flask, openai_on_thread: EmulatorOnThread, url: str) -> None:
    ringing = openai_on_thread.run(openai_on_thread.emulator.ring, url, dialed="+14155550130", strict=False)
    assert openai_on_thread.run(ringing.ended).status_code == 404
    assert "none yet" in page(app)


@pytest.mark.parametrize("password", ["a guess", ""])
def test_nobody_sees_the_calls_without_the_password(app: Flask, password: str) -> None:
    assert app.test_client().get("/calls", auth=("office", password)).status_code == 401
    app.config["OFFICE_PASSWORD"] = None
    assert app.test_client().get("/calls", auth=("office", password)).status_code == 401
