"""MCP servers of an emulated session: their tools, approvals, calls, and who answers to a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    ModelCallsMcp,
    ModelSays,
    OpenAIEmulator,
    Timings,
)

SERVER: dict[str, Any] = {"type": "mcp", "server_label": "orders", "server_url": "https://mcp.example.com"}
SLOW_LISTING = Timings(mcp_listing=5.0)  # the sideband is there before the servers have answered


def _session(**settings: Any) -> Frame:
    return {**SESSION, "tools": [{**SERVER, **settings}]}


def _items(peer: Peer, event: str, kind: str) -> list[Frame]:
    return [frame["item"] for frame in peer.frames if frame["type"] == event and frame["item"]["type"] == kind]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["find", "cancel"]),
        ({"allowed_tools": ["find"]}, ["find"]),
        ({"allowed_tools": {"tool_names": ["cancel"]}}, ["cancel"]),
    ],
)
@virtual
async def test_a_server_tells_its_tools(settings: Frame, names: list[str]) -> None:
    scenario = [ModelCallsMcp("orders", "find"), ModelCallsMcp("orders", "cancel"), ModelCallsMcp("orders", "find")]
    async with OpenAIEmulator(strict=False, timings=SLOW_LISTING) as openai:
        ringing = await accepted(openai, Program(), _session(**settings), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            completed = await peer.until("mcp_list_tools.completed")
    (item,) = _items(peer, "conversation.item.done", "mcp_list_tools")
    assert (item["id"], item["server_label"]) == (completed["item_id"], "orders")
    assert [tool["name"] for tool in item["tools"]] == names
    assert ringing.server_events[0]["type"] == "mcp_list_tools.in_progress"


@virtual
async def test_a_server_may_fail_to_tell_its_tools_and_is_asked_once() -> None:
    async with OpenAIEmulator(behavior=Behavior(mcp_listing="failed")) as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            for _ in range(2):
                await peer.send("session.update", session={"type": "realtime", "tools": [SERVER]})
            await peer.until("mcp_list_tools.failed")
            await asyncio.sleep(10)
    assert peer.types.count("mcp_list_tools.in_progress") == 1
    listed = [event["type"] for event in ringing.server_events if event["type"].startswith("mcp_list_tools")]
    assert listed == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]


@pytest.mark.parametrize(
    "require", ["never", {"never": {"tool_names": ["find"]}}, {"always": {"tool_names": ["cancel"]}, "never": {}}]
)
@virtual
async def test_a_call_goes_on_after_its_response_and_the_client_answers(require: Any) -> None:
    scenario = [
        CallerSays("Where is my order?"),
        ModelCallsMcp("orders", "find", {"id": "A1"}, output="on its way", seconds=8, approval=_forced(require)),
        ModelSays("It is on its way."),
        CallerHangsUp(),
    ]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), _session(require_approval=require), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            response = (await peer.until("response.done"))["response"]
            began = asyncio.get_running_loop().time()
            completed = await peer.until("response.mcp_call.completed")
            assert asyncio.get_running_loop().time() - began == pytest.approx(8.0)
            await peer.until("response.output_item.done")
            await peer.send("response.create")
            await peer.closed()
    called = peer.types[peer.types.index("response.created") : peer.types.index("response.mcp_call.completed") + 3]
    assert called == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.done",
        "rate_limits.updated",
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    (started,) = response["output"]
    assert (started["id"], started["type"], started["output"]) == (completed["item_id"], "mcp_call", None)
    (item,) = _items(peer, "response.output_item.done", "mcp_call")
    assert (item["arguments"], item["output"], item["error"]) == ('{"id": "A1"}', "on its way", None)
    assert ringing.notes == []


def _forced(require: Any) -> bool | None:
    """What the tool's filters leave open is decided by the step."""
    return False if isinstance(require, dict) and "always" in require else None


@virtual
async def test_a_call_fails() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [ModelCallsMcp("orders", "find", error="no such order")]
        ringing = await accepted(openai, Program(), _session(require_approval="never"), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("response.mcp_call.failed")
            await peer.until("response.output_item.done")
    (item,) = _items(peer, "response.output_item.done", "mcp_call")
    assert item["error"] == {"type": "tool_execution_error", "message": "no such order"}


@pytest.mark.parametrize(("where", "in_output"), [("output", True), ("item", False)])
@virtual
async def test_a_call_waits_for_approval(where: Any, in_output: bool) -> None:
    async with OpenAIEmulator(behavior=Behavior(approval_request=where)) as openai:
        scenario = [ModelCallsMcp("orders", "cancel", {"id": "A1"}), ModelSays("It is canceled."), CallerHangsUp()]
        ringing = await accepted(openai, Program(), _session(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            response = (await peer.until("response.done"))["response"]
            (request,) = _items(peer, "conversation.item.done", "mcp_approval_request")
            kinds = [item["type"] for item in response["output"]]
            assert kinds == (["mcp_call", "mcp_approval_request"] if in_output else ["mcp_call"])
            assert (request["name"], request["arguments"]) == ("cancel", '{"id": "A1"}')
            answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
            await peer.send("conversation.item.create", item=answer)
            await peer.until("response.mcp_call.completed")
            await peer.send("response.create")
            await peer.closed()
    (item,) = _items(peer, "response.output_item.done", "mcp_call")
    assert item["approval_request_id"] == request["id"]
    assert ringing.notes == []


@virtual
async def test_of_a_denied_call_nothing_more_is_told() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [ModelCallsMcp("orders", "cancel", approval=True), ModelSays("Then not."), CallerHangsUp()]
        ringing = await accepted(openai, Program(), _session(require_approval="never"), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("response.done")
            (request,) = _items(peer, "conversation.item.done", "mcp_approval_request")
            answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": False}
            await peer.send("conversation.item.create", item=answer)
            await peer.send("conversation.item.create", item=answer)
            await peer.send("response.create")
            await peer.closed()
    assert not [kind for kind in peer.types if kind.startswith("response.mcp_call.")]
    assert ringing.said[-1].text == "Then not."
    assert ringing.notes == ["an mcp_approval_response came for a request that is not open"]


@pytest.mark.parametrize("missing", ["approval_request_id", "approve"])
@virtual
async def test_an_approval_needs_its_fields(missing: str) -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
            await peer.send("conversation.item.create", item={k: v for k, v in answer.items() if k != missing})
            assert (await peer.until("error"))["error"]["param"] == f"item.{missing}"


@virtual
async def test_the_service_may_answer_to_calls_by_itself_once_all_are_over() -> None:
    async with OpenAIEmulator(behavior=Behavior(mcp_follow_up="service")) as openai:
        scenario = [
            ModelCallsMcp("orders", "find", seconds=1),
            ModelCallsMcp("orders", "find", seconds=9, same_response=True),
            ModelSays("Both are on their way."),
            CallerHangsUp(),
        ]
        ringing = await accepted(openai, Program(), _session(require_approval="never"), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.closed()
    kinds = [frame["type"] for frame in peer.frames]
    assert kinds.count("response.created") == 2
    second = len(kinds) - 1 - kinds[::-1].index("response.created")
    assert kinds[:second].count("response.mcp_call.completed") == 2
    assert ringing.notes == []


@virtual
async def test_the_caller_speaks_during_a_call_of_a_server() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        scenario = [
            ModelCallsMcp("orders", "find", seconds=20),
            CallerSays("Still there?", during="tool", after=3),
            ModelSays("One moment."),
            CallerHangsUp(),
        ]
        ringing = await accepted(openai, Program(), _session(require_approval="never"), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.stopped")
            assert "response.mcp_call.completed" not in peer.types
            await peer.until("response.mcp_call.completed")


@virtual
async def test_a_server_that_the_session_does_not_have_is_noted() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelCallsMcp("orders", "find", approval=False)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("response.mcp_call.completed")
    assert ringing.notes == ["the model calls an MCP server that the session does not have"]


@pytest.mark.parametrize(
    "call",
    [
        {"server_label": ""},
        {"name": ""},
        {"arguments": {"a": object()}},
        {"output": "x" * 20_001},
        {"seconds": -1},
    ],
)
def test_calls_that_cannot_be_are_refused(call: Frame) -> None:
    with pytest.raises(ConfigurationError):
        ModelCallsMcp(**{"server_label": "orders", "name": "find", **call})


def test_what_is_said_to_a_server_is_not_in_the_repr_of_a_step() -> None:
    assert "secret" not in repr(ModelCallsMcp("orders", "find", {"a": "secret"}, output="secret", error="secret"))
