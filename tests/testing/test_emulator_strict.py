"""The emulator is strict: as the service is with what it is sent, and with the scenario that a test has written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, act, error_of, sideband, socket, virtual
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    DecidedElsewhere,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RecordedFrame,
    Recording,
    ScenarioError,
    run_virtual,
)
from realtime_sip.testing.openai import emulator

TOOLS: Frame = {**SESSION, "tools": [{"type": "function", "name": "order_status"}]}


# --- as the service is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("most", "code"),
    [
        (0, "integer_below_min_value"),
        (4097, "integer_above_max_value"),
        ("100", "invalid_type"),
        (True, "invalid_type"),
        (1.5, "invalid_type"),
        (None, "invalid_type"),
    ],
)
def test_max_output_tokens_out_of_range_is_refused(most: Any, code: str) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program())
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send("response.create", response={"max_output_tokens": most})
                error = (await peer.until("error"))["error"]
                assert (error["code"], error["param"]) == (code, "response.max_output_tokens")
                update = {"type": "realtime", "max_output_tokens": most}
                await peer.send("session.update", session=update)
                assert (await peer.until("error"))["error"]["param"].startswith("session.max_output_tokens")
        assert "response.created" not in peer.types

    run()


@pytest.mark.parametrize("most", [1, 4096, "inf"])
def test_max_output_tokens_in_range_are_taken(most: Any) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello.")])
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send("response.create", response={"max_output_tokens": most})
                assert (await peer.until("response.done"))["response"]["max_output_tokens"] == most

    run()


@virtual
async def test_an_output_for_a_call_that_nobody_made_is_refused_and_a_second_one_noted() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), TOOLS, scenario=[ModelCalls("order_status")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
            await peer.send("conversation.item.create", item=output, event_id="mine")
            error = (await peer.until("error"))["error"]
            assert (error["code"], error["event_id"]) == ("invalid_tool_call_id", "mine")
            await peer.send("response.create")
            call_id = (await peer.until("response.function_call_arguments.done"))["call_id"]
            for _ in range(2):
                await peer.send("conversation.item.create", item={**output, "call_id": call_id})
                await peer.until("conversation.item.done")
    assert ringing.notes == ["a function_call_output came for a call that has one already"]


@pytest.mark.parametrize("target", ["", " ", "+14155550101", "reception", "tel:", "tel:+1415 5550101", 7])
def test_a_refer_to_no_uri_is_refused(target: Any) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program())
            answer = await act(openai, ringing, "refer", {"target_uri": target})
            assert (answer.status_code, error_of(answer)["param"]) == (400, "target_uri")
            assert ringing.dialed == []
            assert ringing.tally.refers == 0
            for uri in ("tel:+14155550101", "sip:desk@example.com", "sips:desk@example.com;transport=tls"):
                assert (await act(openai, ringing, "refer", {"target_uri": uri})).status_code == 200
            assert ringing.tally.refers == 3

    run()


@virtual
async def test_a_second_response_is_refused_in_the_recorded_words(shared_data: Path) -> None:
    lines = (shared_data / "recordings" / "sip_errors_and_dtmf__reported.jsonl").read_text().splitlines()
    (recorded,) = [
        frame["error"]
        for frame in (json.loads(line)["data"] for line in lines)
        if frame.get("error", {}).get("code") == "conversation_already_has_active_response"
    ]
    async with OpenAIEmulator(behavior=Behavior(busy_names_event=False)) as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello.")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            active = (await peer.until("response.created"))["response"]["id"]
            await peer.send("response.create", event_id="mine")
            error = (await peer.until("error"))["error"]
    recorded["message"] = recorded["message"].replace("resp_CdulSkgwnvcvHPA8FsqBM", active)
    assert error == recorded


# --- with the scenario ------------------------------------------------------------------------------------------------

TALK = [ModelSays("Hello."), CallerSays("Where is my order?"), ModelCalls("order_status"), CallerHangsUp()]


async def _play(openai: OpenAIEmulator, *, responses: int, **ring: Any) -> None:
    """Ask for so many responses, then hang up."""
    ringing = await accepted(openai, Program(), TOOLS, **ring)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        for _ in range(responses):
            await peer.send("response.create")
            await peer.until("response.done")
        await act(openai, ringing, "hangup")


def test_a_step_that_was_not_reached_fails_the_test() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            await _play(openai, responses=1, scenario=TALK)

    with pytest.raises(ScenarioError) as failed:
        run_virtual(run())
    told = str(failed.value)
    assert "not reached: step 2 (CallerSays), step 3 (ModelCalls order_status), step 4 (CallerHangsUp)" in told
    assert "Expected: ModelSays, CallerSays, ModelCalls order_status, CallerHangsUp. Seen: a response: speech" in told
    assert "ended by: agent" in told
    assert "order?" not in told


def test_a_response_that_no_step_has_fails_the_test() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            await _play(openai, responses=2, scenario=[ModelSays("Hello.")])

    with pytest.raises(ScenarioError, match="a response was created for which the scenario has no step"):
        run_virtual(run())


def test_a_step_of_the_model_that_nobody_asked_for_fails_the_test() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello."), CallerHangsUp()])
            async with sideband(openai, ringing):
                await ringing.ended()

    with pytest.raises(ScenarioError, match="step 1 of 2, the model's, was skipped"):
        run_virtual(run())


def test_a_scenario_that_was_played_passes_and_so_does_what_is_said_to_be_lenient() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            await _play(openai, responses=1, scenario=[ModelSays("Hello.")])
            await _play(openai, responses=2, scenario=TALK, strict=False)
            await openai.ring(Program(), faults=[DecidedElsewhere(by="reject")])
        async with OpenAIEmulator(strict=False) as openai:
            await _play(openai, responses=3, scenario=[ModelSays("Hello.")])

    run_virtual(run())


def test_one_call_can_be_strict_where_the_emulator_is_not() -> None:
    async def run() -> None:
        async with OpenAIEmulator(strict=False) as openai:
            await _play(openai, responses=0, scenario=TALK, strict=True)

    with pytest.raises(ScenarioError, match="not reached"):
        run_virtual(run())


@pytest.mark.parametrize("whole", [True, False])
def test_a_recording_has_to_be_played_to_its_end(whole: bool) -> None:
    recording = Recording(
        [RecordedFrame("sent", {"type": "response.create"}), RecordedFrame("received", {"type": "response.done"})]
    )

    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program(), recording=recording)
            async with sideband(openai, ringing) as connection:
                if whole:
                    await Peer(connection).send("response.create")
                    await ringing.ended()
                else:
                    await act(openai, ringing, "hangup")

    if whole:
        run_virtual(run())
        return
    with pytest.raises(ScenarioError, match="the recording was not played to its end"):
        run_virtual(run())


@pytest.mark.parametrize(("responses", "told"), [(None, "did not come"), (0, "not reached: step 1"), (2, "no step")])
@pytest.mark.parametrize("strict", [True, False])
def test_an_expected_socket_is_as_strict_as_a_call(responses: int | None, told: str, strict: bool) -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            openai.expect_socket(scenario=[ModelSays("Hello.")], strict=None if strict else False)
            if responses is None:
                return
            async with socket(openai, "model=gpt-realtime-2.1") as connection:
                peer = Peer(connection)
                for _ in range(responses):
                    await peer.send("response.create")
                    await peer.until("response.done")

    if not strict:
        run_virtual(run())
        return
    with pytest.raises(ScenarioError, match=rf"an expected socket: .*{told}.* Expected: ModelSays"):
        run_virtual(run())


def test_an_expected_socket_that_was_played_passes() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            expected = openai.expect_socket(scenario=[ModelSays("Hello.")])
            async with socket(openai, "model=gpt-realtime-2.1") as connection:
                await Peer(connection).send("response.create")
                await Peer(connection).until("response.done")
            await expected.closed()

    run_virtual(run())


def test_a_call_that_made_room_for_others_is_still_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "_MAX_CALLS", 1)

    async def run() -> None:
        async with OpenAIEmulator() as openai:
            await _play(openai, responses=0, scenario=[ModelSays("Hello.")])
            await _play(openai, responses=1, scenario=[ModelSays("Hello.")])
            assert len(openai.calls) == 1

    with pytest.raises(ScenarioError, match="not reached"):
        run_virtual(run())


def test_a_failure_of_the_test_itself_is_not_covered_up() -> None:
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            await _play(openai, responses=0, scenario=TALK)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run_virtual(run())
