"""`realtime-sip demo`: a WhatsApp call through both emulators, shown; the exit status is 0 only if it went that way."""

from __future__ import annotations

import io
import os
import re
import sys
from types import ModuleType
from typing import Any

import pytest

from realtime_sip import RealtimeSession, Tools, TransferTargets, end_call
from realtime_sip.cli import main
from realtime_sip.cli.demo_chain import A_MOMENT, ANSWER, GREETING, QUESTION, RESULT, run_chain
from realtime_sip.cli.demo_server import example
from realtime_sip.testing import run_virtual

SECRET = "REALTIME_SIP_CONTEXT_SECRET"
STEPS = [
    "Emulated, on this machine: Twilio, OpenAI and its model, the people.",
    "⓪ Nobody but Twilio and OpenAI is believed",
    "answers 403 and 400",
    "① Twilio asks",
    "POST /twilio/voice, signed",
    "<Dial ",
    "sip:proj_demo@sip.api.openai.com;transport=tls;region=br1",
    "② Twilio dials OpenAI",
    "calls sip:proj_demo@sip.api.openai.com",
    "POST /openai/webhook, signed: realtime.call.incoming",
    "③ Your server accepts",
    "accepts with gpt-realtime-2.1, transcription in pt",
    "hears it ringing no more",
    "the caller came by whatsapp",
    GREETING,
    QUESTION,
    "④ The model calls a function",
    "calls free_times(",
    f"sends the tool's result: {RESULT}",
    ANSWER,
    A_MOMENT,
    "⑤ The model hands the caller over",
    "calls transfer_to_human(",
    "refers the caller to sip:flex@desk.invalid: 200",
    "POST /twilio/refer, signed",
    "<Enqueue ",
    "waits in the queue of Flex",
    "the call to the model has ended: transferred",
    "POST /twilio/after_queue, signed: QueueResult=bridged",
    "ends the call: completed",
    "The call went as it should.",
]


def played(**changes: Any) -> bool:
    """Play the call in virtual time, to the example with something changed."""
    module = example("whatsapp_receptionist")
    for name, value in changes.items():
        assert hasattr(module, name)
        setattr(module, name, value)
    return run_virtual(run_chain(server=module))


def test_the_command_shows_the_whole_chain_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--speed", "10"]) == 0
    shown = re.sub(r"\n +│ +", " ", capsys.readouterr().out)
    places = [shown.find(step) for step in STEPS]
    assert [step for step, place in zip(STEPS, places, strict=True) if place < 0] == []
    assert places == sorted(places)
    assert "✗" not in shown


def test_each_line_has_its_time_and_fits_into_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    assert played()
    assert SECRET not in os.environ
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert "\x1b" not in shown
    said = [line for line in shown.splitlines() if " │ " in line[:20]]
    times = [float(line[:6]) for line in said if line[:6].strip()]
    assert len(times) > 25
    assert times == sorted(times)


def test_names_have_colors_in_a_terminal_unless_it_wants_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert played()
    assert "\x1b[35mTwilio\x1b[0m │ POST" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert played()
    assert "\x1b" not in capsys.readouterr().out


def test_a_terminal_without_the_signs_shows_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    assert played()
    plain.seek(0)
    assert "? the call is accepted, with transcription in Portuguese" in plain.read()


def trusting(*, twilio: bool) -> Any:
    """Return a `create_app` for a server that takes what anybody signed."""
    module = example("whatsapp_receptionist")
    create = module.create_app

    class Anybody:
        def verify(self, *_: Any, **__: Any) -> None:
            return None

    def create_app(client: Any, **options: Any) -> Any:
        return create(client, **{**options, "twilio": Anybody()} if twilio else options)

    return create_app


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"create_app": trusting(twilio=True)}, "requests that Twilio or OpenAI did not sign are refused"),
        ({"SESSION": RealtimeSession(model="gpt-realtime-2.1")}, "transcription in Portuguese"),
        ({"tools": Tools([end_call])}, "the function's result reaches the model, once"),
        ({"FREE": {}}, "the function's result reaches the model, once"),
        ({"DESK": TransferTargets({"equipe": "sip:flex@desk.invalid"}), "tools": Tools([end_call])}, "in Flex"),
    ],
    ids=["trusting", "english", "no tools", "no times", "no transfer"],
)
def test_a_server_that_does_not_do_its_work_fails_the_demo(
    changes: dict[str, Any], missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert played(**changes) is False
    shown = capsys.readouterr().out
    assert any(missing in line for line in shown.splitlines() if "✗" in line)
    assert "The call did NOT go as it should." in shown


def test_a_server_whose_twiml_is_wrong_fails_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    module = example("whatsapp_receptionist")

    class Twiml(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return getattr(module_twiml, name)

        def dial_openai(self, project: str, **options: Any) -> Any:
            return module_twiml.dial_openai(project, into=module_twiml.say("Um momento."), **options)

    module_twiml = module.twiml
    assert played(twiml=Twiml("twiml")) is False
    assert "✗ the caller hears it ringing" in capsys.readouterr().out

    class Nothing(Twiml):
        def dial_openai(self, project: str, **options: Any) -> Any:
            return module_twiml.reject()

    assert played(twiml=Nothing("twiml")) is False
    assert "✗ Twilio calls OpenAI" in capsys.readouterr().out
