"""What the emulated model can be told to do: several messages, responses that come to nothing, loops of tools."""

from __future__ import annotations

from typing import Any

import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    ModelCalls,
    ModelFails,
    ModelSays,
    ModelSaysNothing,
    OpenAIEmulator,
    RingingCall,
    Step,
)

ORDER = {"type": "function", "name": "order_status"}
TOOLS: Frame = {**SESSION, "tools": [ORDER, {"type": "function", "name": "opening_hours"}]}
REQUIRED: Frame = {**TOOLS, "tool_choice": "required"}


async def _responses(
    openai: OpenAIEmulator, *requests: Frame, scenario: list[Step], session: Frame = TOOLS
) -> tuple[list[Frame], RingingCall]:
    """Ask for responses, and give calls of functions an output; return the responses."""
    ringing = await accepted(openai, Program(), session, scenario=scenario)
    done: list[Frame] = []
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        for request in requests:
            await peer.send("response.create", response=request)
            done.append((await peer.until("response.done"))["response"])
            for call_id in _call_ids(done[-1]):
                output = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
                await peer.send("conversation.item.create", item=output)
                await peer.until("conversation.item.done")
    return done, ringing


def _call_ids(response: Frame) -> list[str]:
    return [item["call_id"] for item in response["output"] if item["type"] == "function_call"]


def _made(responses: list[Frame]) -> list[list[str]]:
    return [[item.get("name", item["type"]) for item in response["output"]] for response in responses]


@virtual
async def test_a_response_holds_commentary_an_answer_and_a_call() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            ModelSays("One moment.", phase="commentary", seconds=2),
            ModelSays("It is on its way.", phase="final_answer", same_response=True, seconds=3),
            ModelCalls("order_status", same_response=True),
        ]
        ringing = await accepted(openai, Program(), TOOLS, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            output = (await peer.until("response.done"))["response"]["output"]
            await peer.until("output_audio_buffer.stopped")
    assert [(item["type"], item.get("phase")) for item in output] == [
        ("message", "commentary"),
        ("message", "final_answer"),
        ("function_call", None),
    ]
    assert peer.types.count("output_audio_buffer.started") == 1
    kinds = ("response.output_item.added", "response.output_item.done", "conversation.item.added")
    for kind in (*kinds, "conversation.item.done"):
        items = [frame["item"] for frame in peer.frames if frame["type"] == kind]
        assert [item.get("phase") for item in items] == ["commentary", "final_answer", None]


@pytest.mark.parametrize(
    ("step", "status", "details"),
    [
        (
            ModelFails("insufficient_quota", message="No credit."),
            "failed",
            {"type": "insufficient_quota", "code": "insufficient_quota", "message": "No credit."},
        ),
        (
            ModelFails(None, message="Sorry."),
            "failed",
            {"type": "server_error", "code": None, "message": "Sorry."},
        ),
        (ModelFails("content_filter", text="I could"), "incomplete", "content_filter"),
        (ModelFails("max_output_tokens"), "incomplete", "max_output_tokens"),
        (ModelFails("turn_detected", text="I could"), "cancelled", "turn_detected"),
    ],
)
def test_a_response_ends_otherwise(step: ModelFails, status: str, details: object) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            # The service's own response, which turn detection starts, and one that the client asks for.
            scenario = [CallerSays("Hello?"), step, step, CallerHangsUp()]
            ringing = await accepted(openai, Program(), TOOLS, scenario=scenario)
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                own = (await peer.until("response.done"))["response"]
                await peer.send("response.create")
                asked = (await peer.until("response.done"))["response"]
                await peer.closed()
        for response in (own, asked):
            assert response["status"] == status
            assert response["status_details"]["type"] == status
            assert details in (response["status_details"].get("error"), response["status_details"].get("reason"))
            assert [item["status"] for item in response["output"]] == ["incomplete"] * bool(step.text)
        assert peer.types.count("output_audio_buffer.started") == 2 * bool(step.text)

    run()


@virtual
async def test_the_answer_to_a_tool_fails_several_times() -> None:
    async with OpenAIEmulator() as openai:
        scenario: list[Step] = [
            ModelCalls("order_status"),
            ModelFails("rate_limit_exceeded", times=3),
            ModelSays("It is on its way."),
        ]
        done, ringing = await _responses(openai, *[{}] * 5, scenario=scenario)
    assert [response["status"] for response in done] == ["completed", *["failed"] * 3, "completed"]
    assert ringing.notes == []


@virtual
async def test_a_response_is_completed_with_text_alone_or_with_nothing() -> None:
    async with OpenAIEmulator() as openai:
        scenario: list[Step] = [ModelSays("Written.", as_text=True), ModelSaysNothing()]
        done, ringing = await _responses(openai, {}, {}, scenario=scenario)
    written, nothing = done
    assert [response["status"] for response in done] == ["completed", "completed"]
    assert written["output"][0]["content"] == [{"type": "output_text", "text": "Written."}]
    assert written["output_modalities"] == ["audio"]
    assert nothing["output"] == []
    assert all(response["usage"]["output_token_details"]["audio_tokens"] == 0 for response in done)
    kinds = {frame["type"] for frame in ringing.server_events}
    assert "response.output_text.done" in kinds
    assert not any(kind.startswith("output_audio_buffer") for kind in kinds)


LOOP = ModelCalls("order_status", {"number": 7}, again=True, until="Stop now")


@pytest.mark.parametrize(
    "stop",
    [{"tool_choice": "none"}, {"instructions": "Stop now, and say so."}],
    ids=["tool choice", "instructions"],
)
def test_a_loop_of_tools_goes_on_until_it_is_stopped(stop: Frame) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            scenario: list[Step] = [LOOP, ModelSays("I give up.")]
            done, ringing = await _responses(openai, *[{}] * 20, stop, scenario=scenario)
        assert _made(done) == [["order_status"]] * 20 + [["message"]]
        assert ringing.notes == []

    run()


@virtual
async def test_a_system_message_stops_a_loop_too() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), TOOLS, scenario=[LOOP, ModelSays("I give up.")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            assert _call_ids((await peer.until("response.done"))["response"])
            text = {"type": "input_text", "text": "Stop now."}
            await peer.send("conversation.item.create", item={"type": "message", "role": "system", "content": [text]})
            await peer.send("response.create")
            assert _made([(await peer.until("response.done"))["response"]]) == [["message"]]


@virtual
async def test_a_model_that_must_call_never_speaks() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        scenario: list[Step] = [
            ModelCalls("order_status", {"number": 7}),
            ModelSays("It is on its way."),
            ModelCalls("opening_hours", same_response=True),
            ModelSays("We open at nine."),
        ]
        requests: list[Frame] = [{}, {}, {}, {"tool_choice": "auto"}]
        done, _ = await _responses(openai, *requests, scenario=scenario, session=REQUIRED)
    # The third has no call left in the script, and calls the first function as it was called last.
    assert _made(done) == [["order_status"], ["opening_hours"], ["order_status"], ["message"]]
    assert done[2]["output"][0]["arguments"] == '{"number": 7}'


@virtual
async def test_the_choice_of_the_response_overrides_that_of_the_session() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        scenario: list[Step] = [ModelSays("Hello."), ModelCalls("order_status"), ModelSays("Good-bye.")]
        named = {"tool_choice": {"type": "function", "name": "opening_hours"}}
        other = {"tool_choice": "required", "tools": [{"type": "function", "name": "other"}]}
        done, _ = await _responses(openai, named, other, {}, {"tool_choice": "none"}, scenario=scenario)
    assert _made(done) == [["opening_hours"], ["other"], ["message"], ["message"]]
    assert done[3]["output"][0]["content"][0]["transcript"] == "Good-bye."


@virtual
async def test_what_turn_detection_starts_has_to_call_too() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        scenario = [CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp()]
        ringing = await accepted(openai, Program(), REQUIRED, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
    (done,) = [frame["response"] for frame in peer.frames if frame["type"] == "response.done"]
    assert _made([done]) == [["order_status"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ModelSays("Hello.", phase="final"),  # type: ignore[arg-type]
        lambda: ModelCalls("f", until="stop"),
        lambda: ModelCalls("f", again=True, same_response=True),
        lambda: ModelFails("server_error", times=0),
    ],
)
def test_steps_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize("first", [ModelSaysNothing(), LOOP, ModelFails("server_error")])
def test_nothing_follows_in_a_response_that_stands_alone(first: Step) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            with pytest.raises(ConfigurationError, match="same_response"):
                await openai.ring(Program(), scenario=[first, ModelSays("More.", same_response=True)])

    run()
