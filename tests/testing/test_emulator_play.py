"""Steps that are added while a call is up: `RingingCall.play`."""

from __future__ import annotations

import pytest

from emulated import SESSION, Peer, Program, accepted, act, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RecordedFrame,
    Recording,
    ScenarioError,
)


@virtual
async def test_steps_are_played_behind_the_scenario_as_they_come() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=[CallerSays("One."), ModelSays("First.")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            while [line.text for line in ringing.said] != ["One.", "First."]:
                await peer.until("response.done")
            ringing.play(ModelSays("Second."), CallerSays("Two."), CallerPresses("7#"), CallerHangsUp())
            await peer.closed()
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert [line.text for line in ringing.said] == ["One.", "First.", "Two.", "Second."]
        assert ringing.notes == []


@virtual
async def test_steps_of_the_model_are_for_responses_without_a_step_and_keep_nobody_waiting() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Program())
        ringing.play(ModelSays("An answer."), CallerSays("A question."), CallerHangsUp())
        assert (await act(openai, ringing, "accept", SESSION)).status_code == 200
        async with sideband(openai, ringing) as connection:
            await Peer(connection).closed()
        assert [line.text for line in ringing.said] == ["A question.", "An answer."]
        assert ringing.notes == []


async def test_a_strict_call_has_to_reach_what_was_added() -> None:
    openai = await OpenAIEmulator().__aenter__()
    ringing = await openai.ring(Program())
    ringing.play(ModelCalls("order_status"), CallerSays("Hello?"))
    with pytest.raises(ScenarioError, match=r"not reached: step 1 \(CallerSays\), added: ModelCalls order_status"):
        await openai.__aexit__(None, None, None)


async def test_what_cannot_be_added_is_refused() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await openai.ring(Program())
        with pytest.raises(ConfigurationError, match="first step of a scenario"):
            ringing.play(CallerHangsUp(while_ringing=True))
        with pytest.raises(ConfigurationError, match="needs a step of the model before it"):
            ringing.play(ModelSays("More.", same_response=True))
        with pytest.raises(ConfigurationError, match="made of steps, not of str"):
            ringing.play("Hello?")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="at most 1000 steps"):
            ringing.play(*[CallerSays("Hello?")] * 1001)
        recording = Recording([RecordedFrame("received", {"type": "session.updated", "session": {}})])
        replayed = await openai.ring(Program(), recording=recording)
        with pytest.raises(ConfigurationError, match="a scenario or a recording"):
            replayed.play(CallerSays("Hello?"))


async def test_a_refused_request_has_the_services_message() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await openai.ring(Program())
        await act(openai, ringing, "accept", {"type": "realtime", "nonsense": 1})
        await act(openai, ringing, "accept", SESSION)
        refused, taken = ringing.requests
        assert (refused.status, refused.refusal) == (400, "Unknown parameter: 'nonsense'.")
        assert (taken.status, taken.refusal) == (200, None)
        assert "nonsense" not in repr(refused)
