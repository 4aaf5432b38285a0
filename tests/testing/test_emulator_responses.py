"""Responses that go otherwise: raced, failed, started by the service, answered to a caller who does not wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, act, error_of, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelFails,
    ModelSays,
    OpenAIEmulator,
    ResponseRaced,
    Timings,
)

TOOLS: dict[str, Any] = {
    **SESSION,
    "tools": [{"type": "function", "name": "order_status", "parameters": {"type": "object"}}],
}


def _idle(seconds: float, **settings: Any) -> Frame:
    turns = {"type": "server_vad", "idle_timeout_ms": int(seconds * 1000), **settings}
    return {**SESSION, "audio": {"input": {"turn_detection": turns}}}


def _now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(("named", "event_id"), [(True, "mine"), (False, None)])
@pytest.mark.parametrize("said", [None, "Wait, one more thing."])
@virtual
async def test_a_response_of_the_service_overtakes_the_clients(said: str | None, named: bool, event_id: Any) -> None:
    async with OpenAIEmulator(behavior=Behavior(busy_names_event=named)) as openai:
        scenario = [ModelSays("The service's."), ModelSays("The client's.")]
        faults = [ResponseRaced(said=said)]
        ringing = await accepted(openai, Program(), scenario=scenario, faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create", event_id="mine", response={"metadata": {"mine": "yes"}})
            error = (await peer.until("error"))["error"]
            assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", event_id)
            assert peer.types[-2] == "response.created"
            assert peer.frames[-2]["response"]["metadata"] is None
            assert ("input_audio_buffer.speech_stopped" in peer.types) is (said is not None)
            done = (await peer.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["transcript"] == "The service's."
            await peer.send("response.create", event_id="again")
            await peer.until("response.done")
    assert [s.text for s in ringing.said] == [*([said] if said else []), "The service's.", "The client's."]


@virtual
async def test_a_response_beside_the_conversation_is_not_raced() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await accepted(openai, Program(), faults=[ResponseRaced(occurrence=2)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            beside = {"conversation": "none", "metadata": {"for": "a label"}, "output_modalities": ["text"]}
            await peer.send("response.create", response=beside)
            shown = (await peer.until("response.done"))["response"]
            assert (shown["conversation_id"], shown["metadata"]) == (None, {"for": "a label"})
            await peer.send("response.create")
            assert (await peer.until("response.done"))["response"]["conversation_id"] is not None
            await peer.send("response.create")
            await peer.until("error")


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("content_filter", "incomplete", {"type": "incomplete", "reason": "content_filter"}),
        ("max_output_tokens", "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}),
        ("rate_limit_exceeded", "failed", {"type": "failed", "error": "rate_limit_exceeded"}),
    ],
)
@pytest.mark.parametrize("text", ["", "I was about to say"])
@virtual
async def test_a_response_fails_or_stays_incomplete(reason: str, status: str, details: Frame, text: str) -> None:
    async with OpenAIEmulator() as openai:
        scenario = [ModelFails(reason, text=text), ModelSays("Once more."), CallerHangsUp()]
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            response = (await peer.until("response.done"))["response"]
            await peer.send("response.create")
            await peer.closed()
    assert response["status"] == status
    if status == "failed":
        assert response["status_details"]["error"]["code"] == reason
    else:
        assert response["status_details"] == details
    assert [item["status"] for item in response["output"]] == (["incomplete"] if text else [])
    assert peer.types.count("output_audio_buffer.stopped") == (2 if text else 1)
    assert ringing.notes == []


@virtual
async def test_a_call_breaks_off_behind_one_that_is_complete() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            ModelCalls("order_status", {"order_id": "A1"}),
            ModelFails("max_output_tokens", calling="order_status", same_response=True),
        ]
        ringing = await accepted(openai, Program(), TOOLS, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            output = (await peer.until("response.done"))["response"]["output"]
    assert [item["status"] for item in output] == ["completed", "incomplete"]
    assert output[1]["arguments"] == '{"'
    assert peer.types.count("response.function_call_arguments.done") == 1


def test_failures_that_cannot_be_are_refused() -> None:
    for make in (
        lambda: ModelFails(" "),
        lambda: ModelFails("content_filter", text="x" * 20_001),
        lambda: ModelFails("content_filter", text="x", calling="f"),
        lambda: ResponseRaced(occurrence=0),
        lambda: CallerSays("x", during="lunch"),  # type: ignore[arg-type]
        lambda: CallerSays("x", interrupting=True, during="tool"),
        lambda: CallerHangsUp(while_ringing=True, during="tool"),
    ):
        with pytest.raises(ConfigurationError):
            make()


@virtual
async def test_nothing_follows_a_failure_in_the_same_response() -> None:
    async with OpenAIEmulator() as openai:
        with pytest.raises(ConfigurationError):
            await openai.ring(
                Program(), scenario=[ModelFails("content_filter"), ModelSays("And then?", same_response=True)]
            )


@virtual
async def test_the_caller_speaks_while_a_tool_runs_and_the_service_answers() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            CallerSays("Where is my order?"),
            ModelCalls("order_status"),
            CallerSays("Are you there?", during="tool", after=2),
            ModelSays("One moment, please."),
            ModelSays("It is on its way."),
            CallerHangsUp(),
        ]
        ringing = await accepted(openai, Program(), TOOLS, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            call = await peer.until("response.function_call_arguments.done")
            await peer.until("response.done")
            began = _now()
            await peer.until("input_audio_buffer.speech_started")
            assert _now() - began == pytest.approx(2.0)
            said = (await peer.until("response.done"))["response"]
            assert said["output"][0]["content"][0]["transcript"] == "One moment, please."
            output = {"type": "function_call_output", "call_id": call["call_id"], "output": "on its way"}
            await peer.send("conversation.item.create", item=output)
            await peer.send("response.create")
            await peer.closed()
    assert ringing.notes == []
    assert ringing.said[-1].text == "It is on its way."


@pytest.mark.parametrize("during", ["tool", "speech"])
@virtual
async def test_the_caller_hangs_up_in_the_middle(during: Any) -> None:
    async with OpenAIEmulator() as openai:
        model = ModelCalls("order_status") if during == "tool" else ModelSays("It is on its way, and then some.")
        ringing = await accepted(openai, Program(), TOOLS, scenario=[model, CallerHangsUp(during=during, after=0.5)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.closed()
        end = await ringing.ended()
    assert end.by is EndedBy.CALLER
    assert "output_audio_buffer.stopped" not in peer.types
    assert ringing.notes == []


@virtual
async def test_a_caller_who_was_to_act_during_a_tool_goes_on_without_one() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=[CallerPresses("1", during="tool"), CallerHangsUp()])
        async with sideband(openai, ringing) as connection:
            await Peer(connection).closed()
    assert ringing.notes == ["the caller was to act during a tool, but none was called"]


@virtual
async def test_silence_triggers_the_timeout_and_a_response() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [ModelSays("How can I help?"), ModelSays("Are you still there?"), CallerHangsUp()]
        ringing = await accepted(openai, Program(), _idle(25), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.stopped")
            began = _now()
            timeout = await peer.until("input_audio_buffer.timeout_triggered")
            assert _now() - began == pytest.approx(25.0)
            assert timeout["audio_end_ms"] - timeout["audio_start_ms"] == pytest.approx(25_000, abs=2)
            assert (await peer.until("input_audio_buffer.committed"))["item_id"] == timeout["item_id"]
            await peer.until("response.created")
            await peer.closed()
    assert [(said.by, said.text) for said in ringing.said] == [
        ("model", "How can I help?"),
        ("model", "Are you still there?"),
    ]
    assert ringing.notes == []


@virtual
async def test_the_timeout_waits_for_the_model_and_rests_once_the_caller_has_spoken() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [CallerSays("Hello?", after=30), CallerHangsUp(after=30)]
        session = _idle(5, create_response=False)
        ringing = await accepted(openai, Program(), session, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
    assert "input_audio_buffer.committed" in peer.types
    assert "input_audio_buffer.timeout_triggered" not in peer.types


@virtual
async def test_an_update_switches_the_timeout_on_and_off() -> None:
    async with OpenAIEmulator(strict=False, timings=Timings(pause=1)) as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello."), CallerHangsUp(after=60)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.stopped")
            change = {key: _idle(5, create_response=False)[key] for key in ("type", "audio")}
            await peer.send("session.update", session=change)
            await peer.until("input_audio_buffer.timeout_triggered")
            await peer.until("conversation.item.done")
            await peer.send("response.create")
            await peer.until("output_audio_buffer.stopped")
            off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
            await peer.send("session.update", session=off)
            await peer.closed()
    assert [kind for kind in peer.types if kind.endswith("timeout_triggered")] == [
        "input_audio_buffer.timeout_triggered"
    ]


@virtual
async def test_responses_are_heard_one_after_another() -> None:
    async with OpenAIEmulator(timings=Timings(characters_per_second=10)) as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelSays("x" * 50), ModelSays("y" * 20)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            heard: list[tuple[str, float]] = []
            for _ in range(2):
                await peer.send("response.create")
                await peer.until("response.done")
            while len(heard) < 3:
                frame = await peer.receive()
                if frame["type"].startswith("output_audio_buffer"):
                    heard.append((frame["type"].rpartition(".")[2], _now()))
    assert [what for what, _ in heard] == ["stopped", "started", "stopped"]
    assert heard[1][1] == heard[0][1]
    assert heard[2][1] - heard[1][1] == pytest.approx(2.0)


@virtual
async def test_two_messages_of_one_response_are_heard_as_one() -> None:
    async with OpenAIEmulator(timings=Timings(characters_per_second=10)) as openai:
        scenario = [ModelSays("x" * 50), ModelSays("y" * 20, same_response=True)]
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.started")
            began = _now()
            response = (await peer.until("response.done"))["response"]
            await peer.until("output_audio_buffer.stopped")
            assert _now() - began == pytest.approx(7.0)
    assert len(response["output"]) == 2
    assert peer.types.count("output_audio_buffer.started") == 1


@virtual
async def test_the_session_expires_when_it_said_and_tells_why() -> None:
    async with OpenAIEmulator(starts_at=1_800_000_000) as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime"})
            expires_at = (await peer.until("session.updated"))["session"]["expires_at"]
            assert expires_at == 1_800_003_600
            await peer.closed()
            assert openai.now() == pytest.approx(expires_at, abs=1)
    assert peer.frames[-1]["error"]["code"] == "session_expired"


@virtual
async def test_an_item_whose_id_is_taken_is_refused() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), TOOLS, scenario=[ModelCalls("order_status")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            call_id = (await peer.until("response.function_call_arguments.done"))["call_id"]
            await peer.until("response.done")
            output = {"type": "function_call_output", "id": "item_mine", "call_id": call_id, "output": "x"}
            await peer.send("conversation.item.create", item=output)
            await peer.until("conversation.item.done")
            await peer.send("conversation.item.create", item=output, event_id="again")
            error = (await peer.until("error"))["error"]
    assert (error["param"], error["event_id"]) == ("item.id", "again")
    assert ringing.notes == []


@virtual
async def test_accept_may_lie_about_a_session_that_is_valid() -> None:
    async with OpenAIEmulator(behavior=Behavior(accept="lies")) as openai:
        ringing = await openai.ring(Program())
        assert (await act(openai, ringing, "accept", SESSION)).status_code == 200
        assert (await ringing.ended()).by is EndedBy.FAILED
        assert error_of(await act(openai, ringing, "hangup"))["code"] == "call_id_not_found"


@virtual
async def test_a_call_may_not_be_found_for_a_while() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        openai.fail("hangup", status=404, times=2)
        answers = [await act(openai, ringing, "hangup") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 404, 200]
    assert error_of(answers[0])["code"] == "call_id_not_found"
