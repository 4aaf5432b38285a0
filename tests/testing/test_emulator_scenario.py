"""Scenarios: what the caller and the model do, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulated import HEARING, SESSION, SPEED, Peer, Program, accepted, act, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    ScenarioError,
    Timings,
)
from realtime_sip.testing.openai.frames import pieces

TOOLS = [{"type": "function", "name": "order_status", "parameters": {"type": "object"}}]
LONG = "One two three four five six seven. " * 20
DTMF = "input_audio_buffer.dtmf_event_received"


def _turns(**settings: Any) -> dict[str, Any]:
    return {**SESSION, "audio": {"input": {"turn_detection": {"type": "server_vad", **settings}}}}


async def test_a_turn_is_detected_answered_and_transcribed_late(openai: OpenAIEmulator, url: str) -> None:
    scenario = [CallerSays("Where is my order?"), ModelSays("On its way."), CallerHangsUp(after=3)]
    ringing = await accepted(openai, url, HEARING, scenario=scenario)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.closed()
    end = await ringing.ended()
    assert (end.by, end.close_code) == (EndedBy.CALLER, 1000)
    kinds = [kind for kind in peer.types if "transcription" not in kind]
    assert kinds[:6] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    item_id = peer.frames[0]["item_id"]
    assert {frame["item_id"] for frame in peer.frames[:3]} == {item_id}
    assert peer.frames[3]["item"] == {
        "id": item_id,
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    completed = next(frame for frame in peer.frames if frame["type"].endswith("transcription.completed"))
    assert (completed["item_id"], completed["transcript"]) == (item_id, "Where is my order?")
    assert completed["usage"]["type"] == "duration"
    assert peer.types.index(completed["type"]) > peer.types.index("response.created")
    assert [(said.by, said.text) for said in ringing.said] == [
        ("caller", "Where is my order?"),
        ("model", "On its way."),
    ]
    assert ringing.notes == []


async def test_without_transcription_nobody_writes_down_what_was_said(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[CallerSays("Hello?"), CallerHangsUp(after=10)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.closed()
    assert not [kind for kind in peer.types if "transcription" in kind]


async def test_a_transcription_may_fail(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, HEARING, scenario=[CallerSays("Mumble.", transcribed=False)])
    async with sideband(openai, ringing) as connection:
        failed = await Peer(connection).until("conversation.item.input_audio_transcription.failed")
    assert set(failed["error"]) == {"type", "code", "message", "param"}


async def test_a_tool_round(openai: OpenAIEmulator, url: str) -> None:
    scenario = [
        CallerSays("Where is my order?"),
        ModelCalls("order_status", {"order_id": "A1"}),
        ModelSays("It is on its way."),
        CallerHangsUp(),
    ]
    ringing = await accepted(openai, url, {**SESSION, "tools": TOOLS}, scenario=scenario)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        done = await peer.until("response.function_call_arguments.done")
        assert (done["name"], done["arguments"]) == ("order_status", '{"order_id": "A1"}')
        response = (await peer.until("response.done"))["response"]
        assert response["output"][0]["call_id"] == done["call_id"]
        called = peer.types[peer.types.index("response.created") :]
        assert called == [
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        output = {"type": "function_call_output", "call_id": done["call_id"], "output": "on its way"}
        await peer.send("conversation.item.create", item=output)
        added = await peer.until("conversation.item.added")
        assert added["item"] == {"id": added["item"]["id"], **output}
        await peer.send("response.create")
        response = (await peer.until("response.done"))["response"]
        assert response["output"][0]["content"][0]["transcript"] == "It is on its way."
        await peer.closed()
    assert (await ringing.ended()).by is EndedBy.CALLER
    assert ringing.notes == []


async def test_several_calls_in_one_response_and_speech_before_them(openai: OpenAIEmulator, url: str) -> None:
    scenario = [
        ModelSays("One moment."),
        ModelCalls("order_status", {"order_id": "A1"}, same_response=True),
        ModelCalls("order_status", "{no json", same_response=True),
        ModelSays("Both are on their way."),
    ]
    ringing = await accepted(openai, url, {**SESSION, "tools": TOOLS}, scenario=scenario)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        response = (await peer.until("response.done"))["response"]
        assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
        assert response["output"][2]["arguments"] == "{no json"
        assert len({item["call_id"] for item in response["output"][1:]}) == 2
        await peer.send("response.create")
        response = (await peer.until("response.done"))["response"]
        assert response["output"][0]["content"][0]["transcript"] == "Both are on their way."


@pytest.mark.parametrize("reported", [True, False])
async def test_the_caller_interrupts_while_the_model_is_generating(
    openai: OpenAIEmulator, url: str, reported: bool
) -> None:
    scenario = [ModelSays(LONG), CallerSays("Stop!", interrupting=True), ModelSays("Yes?")]
    behavior = Behavior(truncation_reported=reported)
    ringing = await accepted(openai, url, scenario=scenario, behavior=behavior)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.until("input_audio_buffer.speech_started")
        response = (await peer.until("response.done"))["response"]
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        cleared = await peer.until("output_audio_buffer.cleared")
        assert cleared["response_id"] == response["id"]
        answered = await peer.until("response.done")
        assert answered["response"]["output"][0]["content"][0]["transcript"] == "Yes?"
        await peer.until("output_audio_buffer.stopped", response_id=answered["response"]["id"])
    assert ("conversation.item.truncated" in peer.types) is reported
    stopped = [frame for frame in peer.frames if frame["type"] == "output_audio_buffer.stopped"]
    assert [frame["response_id"] for frame in stopped] == [answered["response"]["id"]]
    spoken = "".join(frame.get("delta", "") for frame in peer.frames if frame.get("response_id") == response["id"])
    assert ringing.said[0].text == spoken
    assert len(spoken) < len(LONG)


async def test_the_caller_interrupts_what_was_generated_and_is_still_played(url: str) -> None:
    # One long word is one delta: it is generated at once, and takes twenty minutes to say.
    word = "o" * 18_000
    scenario = [ModelSays(word), CallerSays("Stop!", interrupting=True, after=20)]
    async with OpenAIEmulator(speed=SPEED, timings=Timings(token=0.0)) as openai:
        ringing = await accepted(openai, url, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            assert (await peer.until("response.done"))["response"]["status"] == "completed"
            await peer.until("input_audio_buffer.speech_started")
            await peer.until("output_audio_buffer.cleared")
            truncated = await peer.until("conversation.item.truncated")
            assert 20_000 <= truncated["audio_end_ms"] < len(word) / 15 * 1000


async def test_nobody_is_interrupted_where_the_session_says_so(openai: OpenAIEmulator, url: str) -> None:
    scenario = [ModelSays(LONG), CallerSays("Wait", interrupting=True), ModelSays("I am done now.")]
    ringing = await accepted(openai, url, _turns(interrupt_response=False), scenario=scenario)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        assert (await peer.until("response.done"))["response"]["status"] == "completed"
        second = (await peer.until("response.done"))["response"]
        assert second["output"][0]["content"][0]["transcript"] == "I am done now."
    assert "output_audio_buffer.cleared" not in peer.types


async def test_the_client_creates_the_response_where_turn_detection_does_not(openai: OpenAIEmulator, url: str) -> None:
    scenario = [CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp()]
    ringing = await accepted(openai, url, _turns(create_response=False), scenario=scenario)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.until("input_audio_buffer.committed")
        await peer.send("response.create")
        await peer.closed()
    assert peer.types.count("response.created") == 1
    assert ringing.notes == []


async def test_a_response_of_the_client_satisfies_the_turn(url: str) -> None:
    scenario = [CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp(after=60)]
    # Turn detection thinks for a minute, so that the client is first.
    async with OpenAIEmulator(speed=SPEED, timings=Timings(turn=60.0)) as openai:
        ringing = await accepted(openai, url, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.until("input_audio_buffer.committed")
            await peer.send("response.create")
            await peer.closed()
        assert peer.types.count("response.created") == 1


async def test_a_response_of_turn_detection_races_the_clients(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[CallerSays("Hello?"), ModelSays("Hello.")])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.until("response.created")
        await peer.send("response.create", event_id="mine")
        error = (await peer.until("error"))["error"]
        assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "mine")


async def test_without_turn_detection_words_wait_for_the_commit(openai: OpenAIEmulator, url: str) -> None:
    session = {**SESSION, "audio": {"input": {"turn_detection": None}}}
    ringing = await accepted(openai, url, session, scenario=[CallerSays("Hello?"), CallerHangsUp(after=3)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        while True:
            await peer.send("input_audio_buffer.commit")
            if (await peer.receive())["type"] == "input_audio_buffer.committed":
                break
        await peer.send("input_audio_buffer.clear")
        await peer.until("input_audio_buffer.cleared")
        await peer.send("response.create")
        await peer.closed()
    assert "input_audio_buffer.speech_started" not in peer.types
    assert ringing.said[0].text == "Hello?"


async def test_digits_come_one_by_one_without_an_event_id(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[CallerPresses("12#"), CallerHangsUp()])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.closed()
    assert [frame["event"] for frame in peer.frames] == ["1", "2", "#"]
    assert all(
        set(frame) == {"type", "event", "received_at"}
        and frame["type"] == "input_audio_buffer.dtmf_event_received"
        and isinstance(frame["received_at"], int)
        for frame in peer.frames
    )


@virtual
async def test_keys_are_pressed_while_the_model_speaks_and_do_not_interrupt_it() -> None:
    scenario = [ModelSays(LONG), CallerPresses("1234#", during="speech", after=2), CallerHangsUp()]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.closed()
    kinds = peer.types
    assert kinds.index("output_audio_buffer.started") < kinds.index(DTMF) < kinds.index("output_audio_buffer.stopped")
    assert "".join(frame["event"] for frame in peer.frames if frame["type"] == DTMF) == "1234#"
    assert "output_audio_buffer.cleared" not in kinds
    assert ringing.notes == []


@virtual
async def test_keys_are_pressed_in_the_rhythm_of_the_script() -> None:
    scenario = [CallerPresses("12"), CallerPresses("3", after=2), CallerHangsUp()]
    async with OpenAIEmulator(strict=False, timings=Timings(digit=0.5, pause=1.5)) as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            at: list[float] = []
            for _ in range(3):
                await peer.until(DTMF)
                at.append(openai.now())
    assert at[1] - at[0] == pytest.approx(0.5, abs=0.1)
    assert at[2] - at[1] == pytest.approx(1.5 + 2, abs=0.1)


@virtual
async def test_keys_are_pressed_during_a_tool_that_collects_them() -> None:
    scenario = [
        CallerSays("I want to pay."),
        ModelCalls("order_status"),
        ModelSays("Please enter your code."),
        CallerPresses("1234#", during="tool", after=4),
        ModelSays("Thank you."),
        CallerHangsUp(),
    ]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), {**SESSION, "tools": TOOLS}, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            called = await peer.until("response.function_call_arguments.done")
            await peer.until("response.done")
            await peer.send("response.create")
            await peer.until(DTMF, event="#")
            output = {"type": "function_call_output", "call_id": called["call_id"], "output": "4 digits"}
            await peer.send("conversation.item.create", item=output)
            await peer.send("response.create")
            await peer.closed()
    assert [said.text for said in ringing.said][1:] == ["Please enter your code.", "Thank you."]
    assert ringing.notes == []


QUIET = {"type": "server_vad", "create_response": False}
ANSWERING = {"type": "server_vad", "create_response": True}


async def _detect(peer: Peer, turns: dict[str, Any] | None) -> None:
    await peer.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": turns}}})


async def _collecting(peer: Peer, turns: dict[str, Any] | None = QUIET) -> None:
    """Have turn detection answer nothing, and ask the caller for digits."""
    await _detect(peer, turns)
    await peer.until("session.updated")
    await peer.send("response.create")


@pytest.mark.parametrize(("turns", "heard"), [(QUIET, ["Hm."]), (None, [])])
@virtual
async def test_a_caller_who_speaks_presses_on_while_the_program_collects_digits(
    turns: dict[str, Any] | None, heard: list[str]
) -> None:
    scenario = [
        ModelSays("Please enter your code."),
        CallerSays("Hm."),
        CallerPresses("1"),
        CallerPresses("234#", after=2),
        CallerSays("And now?"),
        ModelSays("Thank you."),
        CallerHangsUp(),
    ]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _collecting(peer, turns)
            await peer.until("output_audio_buffer.stopped")
            began = openai.now()
            await peer.until(DTMF, event="1")
            assert openai.now() - began < 5  # quiet, "Hm.", quiet: nobody waits for an answer to it
            await peer.until(DTMF, event="#")
            await _detect(peer, ANSWERING)
            await peer.closed()
    kinds = peer.types
    after = kinds[len(kinds) - kinds[::-1].index(DTMF) :]
    # What was said before is not answered, what is said from now on is.
    expected = ["session.updated", "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
    assert after[:3] == expected
    assert kinds.count("response.created") == 2
    assert [said.text for said in ringing.said] == ["Please enter your code.", *heard, "And now?", "Thank you."]
    assert ringing.notes == []


@virtual
async def test_turn_detection_answers_words_at_whose_end_it_is_on_again() -> None:
    scenario = [ModelSays("Your code?"), CallerSays("I do not have any. " * 20), ModelSays("Never mind.")]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _collecting(peer)
            await peer.until("input_audio_buffer.speech_started")
            await _detect(peer, ANSWERING)
            await peer.until("response.done")
    assert ringing.said[-1].text == "Never mind."
    assert ringing.notes == []


async def test_a_caller_who_hangs_up_takes_what_was_not_delivered(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays(LONG), CallerHangsUp(interrupting=True)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.closed()
    assert "output_audio_buffer.started" in peer.types
    assert "response.done" not in peer.types
    assert (await ringing.ended()).by is EndedBy.CALLER


async def test_an_unscripted_response_has_a_placeholder(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[CallerHangsUp(after=3)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.closed()
    assert [said.text for said in ringing.said] == ["This response is not in the script."]
    assert ringing.notes == ["a response was created for which the scenario has no step"]


async def test_the_caller_does_not_wait_for_ever(url: str) -> None:
    scenario = [
        ModelSays("A greeting that nobody asks for."),
        CallerSays("Hello?"),
        CallerHangsUp(),
    ]
    timings = Timings(patience=5, least_patience=1.0)
    async with OpenAIEmulator(strict=False, speed=SPEED, timings=timings) as openai:
        ringing = await accepted(openai, url, _turns(create_response=False), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            await Peer(connection).closed()
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert ringing.notes == [
            "step 1 of 3, the model's, was skipped: nobody created a response",
            "the caller went on: a response was expected from the client, and none came",
        ]


async def test_a_call_goes_on_without_a_sideband(url: str) -> None:
    timings = Timings(patience=5, least_patience=1.0)
    async with OpenAIEmulator(speed=SPEED, timings=timings) as openai:
        ringing = await accepted(openai, url, scenario=[CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp()])
        end = await ringing.ended()
        assert (end.by, end.close_code) == (EndedBy.CALLER, None)
        assert [said.by for said in ringing.said] == ["caller", "model"]


async def test_nothing_is_repeated_for_a_second_sideband(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays("First."), ModelSays("Second.")])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.until("output_audio_buffer.stopped")
    async with sideband(openai, ringing) as connection:
        again = Peer(connection)
        await again.send("response.create")
        await again.until("output_audio_buffer.stopped")
    assert again.types[0] == "response.created"
    assert "First" not in str(again.frames)
    assert ringing.sidebands == 2


async def test_a_session_expires(url: str) -> None:
    async with OpenAIEmulator(speed=SPEED, timings=Timings(session=60)) as openai:
        ringing = await accepted(openai, url)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
        assert peer.frames[-1]["error"]["code"] == "session_expired"
        assert peer.frames[-1]["error"]["message"] == "Your session hit the maximum duration of 1 minutes."
        assert (await ringing.ended()).by is EndedBy.EXPIRED


async def test_waiting_says_what_was_expected_and_what_happened(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays("A secret."), CallerSays("Another secret.")])
    async with sideband(openai, ringing) as connection:
        await Peer(connection).send("session.update", session={"type": "realtime"})
        assert (await ringing.until_client_sent("session.update"))["session"] == {"type": "realtime"}
        with pytest.raises(ScenarioError) as raised:
            await ringing.ended(timeout=0.01)
    text = str(raised.value)
    assert "expected the call to end within 0.01 s" in text
    assert "accept 200" in text
    assert "the client sent: session.update" in text
    assert "step 1 of 2 (ModelSays) has not begun" in text
    assert "secret" not in text


async def test_waiting_ends_when_the_call_does(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    await act(openai, ringing, "reject")
    with pytest.raises(ScenarioError, match=r"expected the call to be accepted .* ended by: rejected"):
        await ringing.until_accepted()
    with pytest.raises(ScenarioError, match=r"expected 1 response\.create of the client"):
        await ringing.until_client_sent("response.create")


async def test_a_test_can_hang_up_for_the_caller(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        await ringing.until_attached()
        ringing.hang_up()
        await Peer(connection).closed()
    assert (await ringing.ended()).by is EndedBy.CALLER


@pytest.mark.parametrize(
    "make",
    [
        lambda: CallerSays(" "),
        lambda: CallerSays("x", after=-1),
        lambda: CallerPresses(""),
        lambda: CallerPresses("12a"),
        lambda: CallerHangsUp(while_ringing=True, interrupting=True),
        lambda: ModelSays("x" * 20_001),
        lambda: ModelCalls(""),
        lambda: ModelCalls("f", {"a": object()}),
    ],
)
def test_steps_that_cannot_be_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize(
    "scenario",
    [
        [ModelSays("x", same_response=True)],
        [CallerSays("x"), ModelSays("x", same_response=True)],
        [CallerSays("x"), CallerHangsUp(while_ringing=True)],
        ["Hello"],
        [CallerHangsUp()] * 1001,
    ],
)
async def test_scenarios_that_cannot_be_are_refused(openai: OpenAIEmulator, url: str, scenario: Any) -> None:
    with pytest.raises(ConfigurationError):
        await openai.ring(url, scenario=scenario)
    assert not openai.calls


def test_the_words_and_digits_of_a_step_are_not_in_its_repr() -> None:
    assert "secret" not in repr([CallerSays("secret"), ModelSays("secret"), ModelCalls("f", {"a": "secret"})])
    assert "123" not in repr(CallerPresses("123"))


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
