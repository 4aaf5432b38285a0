"""The command `realtime-sip demo`: it shows a call, and its exit status is 0 only if the call really went that way."""

from __future__ import annotations

import functools
import re
import shlex
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from realtime_sip import AsyncRealtimeSip, CallHost, EventLogFolder, IncomingCall, Tools
from realtime_sip.cli import main
from realtime_sip.cli.demo_call import ANSWER, GOODBYE, GREETING, run_demo
from realtime_sip.cli.demo_server import example as loaded
from realtime_sip.testing import run_virtual

FAST = "20"
Handler = Callable[[AsyncRealtimeSip, IncomingCall], Awaitable[None]]


def example(**changes: Any) -> ModuleType:
    """Return the example's module, with something changed."""
    module = loaded("fastapi_server")
    for name, value in changes.items():
        assert hasattr(module, name)
        setattr(module, name, value)
    return module


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the demo makes one for its event log."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_demo_says_where_its_timeline_is(capsys: pytest.CaptureFixture[str], logs: Path) -> None:
    assert main(["demo", "--without-twilio", "--speed", FAST]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:2] == ["realtime-sip", "inspect"]
    assert logs in Path(command[2]).parents
    assert main(command[1:]) == 0
    assert GREETING in capsys.readouterr().out


def test_the_demo_shows_a_call_from_the_webhook_to_the_close(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--without-twilio", "--speed", FAST]) == 0
    shown = re.sub(r"\n +│ +", " ", capsys.readouterr().out)
    steps = [
        "webhook verified",
        "call accepted, sideband attached",
        GREETING,
        "Where is my order",
        'calls order_status({"order_id": "1042"})',
        "sends the tool's result: It left our warehouse",
        ANSWER,
        GOODBYE,
        "the call has ended: caller",
        "call ended: caller (inferred), socket: normal (1000)",
        "The call went as it should.",
    ]
    places = [shown.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)
    assert "greeting heard: entirely" in shown


@pytest.mark.parametrize(
    "name",
    ["pydantic_ai__test_openai_ws__test_tool_call_round", "pydantic_ai__test_azure_ws__test_text_in_audio_out_turn"],
)
def test_a_recorded_session_on_a_primary_socket_is_replayed(
    name: str, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--speed", FAST, "--recording", str(shared_data / "recordings" / f"{name}.jsonl")]) == 0
    assert "primary socket open" in capsys.readouterr().out


def test_a_recorded_sideband_is_replayed_through_the_whole_server(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "pydantic_ai__test_openai_ws_sideband__test_webrtc_sideband_audio_turn.jsonl"
    assert main(["demo", "--speed", FAST, "--recording", str(shared_data / "recordings" / name)]) == 0
    shown = capsys.readouterr().out
    assert "webhook verified" in shown
    assert "“Hello there.”" in shown


def test_a_recording_that_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--recording", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "31", "nan", "fast"])
def test_a_speed_at_which_the_servers_own_clocks_are_too_slow_is_refused(
    speed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["demo", "--speed", speed])
    assert exit_info.value.code == 2
    assert "--speed" in capsys.readouterr().err


def handled_by(handler: Handler) -> ModuleType:
    """Return the example with another handler of calls."""

    def host(_on_call: Any, *, client: AsyncRealtimeSip) -> CallHost:
        return CallHost(functools.partial(handler, client), client=client)

    return example(CallHost=host)


async def silent(client: AsyncRealtimeSip, incoming: IncomingCall) -> None:
    """Answer, and say nothing."""
    async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}) as call:
        await call.wait_ended()


async def leaving(client: AsyncRealtimeSip, incoming: IncomingCall) -> None:
    """Greet, and hang up."""
    async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}) as call:
        call.respond("Greet the caller.")


async def failing(client: AsyncRealtimeSip, incoming: IncomingCall) -> None:
    async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}):
        raise ValueError("a bug")


async def undecided(_client: AsyncRealtimeSip, _incoming: IncomingCall) -> None:
    """Neither answer nor reject."""


@pytest.mark.parametrize(
    "server",
    [
        handled_by(silent),
        handled_by(leaving),
        handled_by(failing),
        handled_by(undecided),
        example(tools=Tools()),
        example(ORDERS={}),
    ],
    ids=["silent", "leaving", "failing", "undecided", "without tools", "without orders"],
)
def test_a_server_that_does_not_do_its_work_fails_the_demo(
    server: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_virtual(run_demo(server=server)) is False
    assert "NOT" in capsys.readouterr().out


def test_a_server_that_takes_every_webhook_for_granted_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Trusting:
        def __init__(self, webhooks: Any) -> None:
            self._webhooks = webhooks

        def unwrap(self, body: bytes, _headers: Any) -> Any:
            headers = self._webhooks.sign(body, id="wh_1", timestamp=int(time.time()))
            return self._webhooks.unwrap(body, headers)

    module = loaded("fastapi_server")
    create = module.create_app

    def trusting(client: AsyncRealtimeSip, *, event_log: EventLogFolder | None) -> Any:
        client.webhooks = Trusting(client.webhooks)  # type: ignore[assignment]
        return create(client, event_log=event_log)

    assert run_virtual(run_demo(server=example(create_app=trusting))) is False
    assert "✗ a forged webhook is refused with 400" in capsys.readouterr().out
