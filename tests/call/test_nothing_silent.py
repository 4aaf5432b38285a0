"""Nothing silent, over sockets: what the service refuses, cuts short or leaves out is logged and told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from phone import SESSION, outputs, phone, types, virtual
from realtime_sip import Call, ServiceRefused, Tools
from realtime_sip.event_log import EventLogFolder, read_event_log
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    ErrorSent,
    EventRefused,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
    ModelSaysNothing,
)

HELLO = ModelSays("Hello.")
MCP = {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com", "allowed_tools": ["read"]}


class Told:
    """A program that reads its call's events, and keeps what the service refused."""

    def __init__(self) -> None:
        self.refused: list[ServiceRefused] = []

    async def __call__(self, call: Call) -> None:
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, ServiceRefused):
                self.refused.append(event)


@pytest.fixture
def told() -> Told:
    return Told()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@virtual
async def test_law_nothing_silent__a_sentence_that_stops_in_the_middle(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async with phone() as line:
        await line.played(ModelFails("max_output_tokens", text="We are open from"), CallerHangsUp(), talk=told)
        (call,) = line.calls
    assert [(one.kind, one.code, one.again) for one in told.refused] == [("incomplete", "max_output_tokens", False)]
    (spoken,) = call.transcript
    assert (spoken.text, spoken.complete) == ("We are open from", False)
    assert any(call.call_id in line and "max_output_tokens" in line for line in warnings(caplog))


@virtual
async def test_law_nothing_silent__the_answer_to_the_caller_fails(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    async with phone() as line:
        _, ringing = await line.played(
            HELLO,
            CallerSays("Are you open?"),
            ModelFails("inference_rate_limit_exceeded"),
            ModelSays("Yes, until five."),
            CallerHangsUp(),
            talk=told,
        )
    assert [(one.kind, one.again) for one in told.refused] == [("failed", True)]
    assert types(ringing.client_events).count("response.create") == 2
    assert any("inference_rate_limit_exceeded" in line for line in warnings(caplog))


@virtual
async def test_law_nothing_silent__quota_is_told_so_that_the_program_can_reroute(told: Told) -> None:
    async with phone() as line:
        _, ringing = await line.played(
            HELLO, CallerSays("Are you open?"), ModelFails("insufficient_quota"), CallerHangsUp(), talk=told
        )
    assert [(one.kind, one.again) for one in told.refused] == [("quota", False)]
    assert types(ringing.client_events).count("response.create") == 1


@pytest.mark.parametrize("nothing", [ModelSaysNothing(), ModelSays("Yes.", as_text=True)], ids=["empty", "text"])
@virtual
async def test_law_nothing_silent__an_answer_with_nothing_to_hear_is_asked_for_again(told: Told, nothing: Any) -> None:
    async with phone() as line:
        await line.played(
            HELLO, CallerSays("Are you open?"), nothing, ModelSays("Yes, until five."), CallerHangsUp(), talk=told
        )
        (call,) = line.calls
    assert [(one.kind, one.again) for one in told.refused] == [("nothing to hear", True)]
    assert [line.heard for line in call.transcript if line.by == "agent" and line.text == "Yes."] in ([], [""])


@virtual
async def test_law_nothing_silent__an_error_that_nobody_waits_for(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    error = ErrorSent(when="playing", code="odd_thing", message="Hidden +14155550100.", event_id="event_7")
    async with phone() as line:
        await line.played(HELLO, CallerHangsUp(), talk=told, faults=[error])
    assert [(one.kind, one.code) for one in told.refused] == [("refused", "odd_thing")]
    (said,) = [line for line in warnings(caplog) if "odd_thing" in line]
    assert "Hidden" not in said


@pytest.mark.parametrize(("times", "last"), [(1, "found"), (2, "error")])
@virtual
async def test_law_nothing_silent__a_tools_output_that_is_refused(told: Told, times: int, last: str) -> None:
    async def look_up() -> str:
        """Look something up."""
        return "found"

    async with phone() as line:
        _, ringing = await line.played(
            HELLO,
            CallerSays("Where is it?"),
            ModelCalls("look_up"),
            ModelSays("Here."),
            CallerHangsUp(),
            talk=told,
            tools=Tools([look_up]),
            faults=[EventRefused("conversation.item.create", times=times)],
        )
    assert [(one.kind, one.again) for one in told.refused] == [("refused", True), ("refused", False)][:times]
    assert last in outputs(ringing)[-1]


@virtual
async def test_law_nothing_silent__an_mcp_server_that_nobody_approves(
    told: Told, caplog: pytest.LogCaptureFixture, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_sip.call.plausible._told", set())
    folder = EventLogFolder(tmp_path)
    async with phone() as line:
        await line.played(
            HELLO,
            CallerSays("Read it."),
            ModelCallsMcp("docs", "read"),
            ModelSays("I cannot."),
            CallerHangsUp(),
            talk=told,
            session={**SESSION, "tools": [MCP]},
            event_log=folder,
        )
    assert [one.kind for one in told.refused] == ["approval denied"]
    said = warnings(caplog)
    assert any("approve_mcp" in line and "docs" in line for line in said)
    assert any("approval denied" in line for line in said)
    (path,) = folder.paths()
    logged = [entry.data for entry in read_event_log(path).entries if entry.type == "call.service_refused"]
    assert [entry["kind"] for entry in logged] == ["approval denied"]


@pytest.mark.parametrize(
    ("required", "warns"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": {"tool_names": ["read"]}}, False),
        ({"never": {"tool_names": ["list"]}}, True),
        ({"always": {"tool_names": ["read"]}}, True),
    ],
)
@virtual
async def test_an_mcp_server_is_warned_about_if_any_of_its_tools_needs_an_approval(
    required: Any, warns: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_sip.call.plausible._told", set())
    tool = MCP if required is None else {**MCP, "require_approval": required}
    async with phone() as line:
        await line.played(CallerHangsUp(), session={**SESSION, "tools": [tool]})
    assert any("approve_mcp" in line for line in warnings(caplog)) is warns
