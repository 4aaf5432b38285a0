"""The command `realtime-sip demo`: it shows a call, and its exit status is 0 only if the call really went that way."""

from __future__ import annotations

import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from realtime_sip import AsyncRealtimeSip, items
from realtime_sip.cli import main
from realtime_sip.cli.demo import GREETING, _example, run_demo

FAST = "60"


def example(**changes: Any) -> ModuleType:
    """Return the example's module, with something changed."""
    module = _example()
    for name, value in changes.items():
        assert hasattr(module, name)
        setattr(module, name, value)
    return module


def test_the_demo_shows_a_call_from_the_webhook_to_the_close(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--speed", FAST]) == 0
    shown = capsys.readouterr().out
    steps = [
        "webhook verified",
        "call accepted",
        "sideband attached",
        "session is live",
        GREETING,
        "Where is my order",
        'calls order_status({"order_id": "1042"})',
        "tool order_status has answered",
        "tomorrow before noon",
        "the call has ended: caller",
        "socket closed: normal (1000)",
    ]
    places = [shown.find(step) for step in steps]
    assert -1 not in places
    assert places == sorted(places)


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


async def silent(_sideband: Any, _tools: Any, _opening: Any) -> None:
    """Attach, and do nothing."""


async def failing(_sideband: Any, _tools: Any, _opening: Any) -> None:
    raise ValueError("a bug")


def without_tool(_tools: Any, _call: Any) -> str:
    return "I do not know."


@pytest.mark.parametrize(
    "changes",
    [
        {"talk": silent},
        {"talk": failing},
        {"run_tool": without_tool},
    ],
    ids=["silent", "failing", "without tool"],
)
async def test_a_server_that_does_not_do_its_work_fails_the_demo(
    changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run_demo(speed=60, server=example(**changes)) is False
    assert "NOT" in capsys.readouterr().out


async def test_a_server_that_takes_every_webhook_for_granted_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Trusting:
        def __init__(self, webhooks: Any) -> None:
            self._webhooks = webhooks

        def unwrap(self, body: bytes, _headers: Any) -> Any:
            headers = self._webhooks.sign(body, id="wh_1", timestamp=int(time.time()))
            return self._webhooks.unwrap(body, headers)

    module = _example()
    create = module.create_app

    def trusting(client: AsyncRealtimeSip) -> Any:
        client.webhooks = Trusting(client.webhooks)  # type: ignore[assignment]
        return create(client)

    assert await run_demo(speed=60, server=example(create_app=trusting)) is False
    assert "✗ a forged webhook is refused with 400" in capsys.readouterr().out


def test_the_example_answers_the_tool_whatever_the_model_asks() -> None:
    module = _example()
    for arguments in ("", "[]", '{"order_id": 7}', '{"other": 1}', '{"order_id": "1042"}'):
        wire = {"type": "function_call", "name": "order_status", "arguments": arguments, "call_id": "call_1"}
        assert isinstance(module.run_tool(module.TOOLS, items.FunctionCallItem.model_validate(wire)), str)
