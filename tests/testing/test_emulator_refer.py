"""What a carrier makes of a refer, and of being told to take the caller away: for the caller, and on the sideband."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emulated import SESSION, Peer, Program, accepted, act, error_of, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    CallState,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    ScenarioError,
    Timings,
)

TARGET, OTHER = "tel:+14155550101", "sip:desk@pbx.example.com"
TOOLS = [{"type": "function", "name": "transfer", "parameters": {"type": "object"}}]
LONG = "One two three four five six seven. " * 40


async def _refer(openai: OpenAIEmulator, ringing: RingingCall, target: str = TARGET) -> int:
    return (await act(openai, ringing, "refer", {"target_uri": target})).status_code


@pytest.mark.parametrize(
    ("outcome", "by", "target", "seconds"),
    [
        ("leaves", EndedBy.TRANSFERRED, TARGET, 1.0),
        ("bridged", EndedBy.TRANSFERRED, TARGET, 8.0),
        ("given up", EndedBy.CALLER, None, 8.0),
    ],
)
@virtual
async def test_the_leg_leaves_when_the_carrier_says_so(
    outcome: Any, by: EndedBy, target: str | None, seconds: float
) -> None:
    async with OpenAIEmulator(behavior=Behavior(refer=outcome)) as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            began = openai.now()
            assert await _refer(openai, ringing) == 200
            assert (ringing.state, ringing.dialed) == (CallState.ACCEPTED, [TARGET])
            await peer.closed()
            assert openai.now() - began == pytest.approx(seconds, abs=0.1)
        end = await ringing.ended()
        assert (end.by, end.target_uri, end.close_code) == (by, target, 1000)
        assert peer.frames == []
        assert ringing.dialed == [TARGET]
        again = await act(openai, ringing, "refer", {"target_uri": TARGET})
        assert (again.status_code, error_of(again)["code"]) == (404, "call_id_not_found")
        assert ringing.dialed == [TARGET]


@pytest.mark.parametrize(("outcome", "seconds"), [("busy", 1.0), ("no answer", 8.0)])
@virtual
async def test_the_caller_waits_while_the_target_rings_and_then_goes_on(outcome: Any, seconds: float) -> None:
    scenario = [CallerSays("Hello?"), ModelSays("Still here."), CallerHangsUp()]
    async with OpenAIEmulator(behavior=Behavior(refer=outcome)) as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        began = openai.now()
        assert await _refer(openai, ringing) == 200
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.until("input_audio_buffer.speech_started")
            assert openai.now() - began >= seconds
            assert [frame["type"] for frame in peer.frames] == ["input_audio_buffer.speech_started"]
            await peer.closed()
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert (ringing.dialed, ringing.notes) == ([TARGET], [])
        assert [said.text for said in ringing.said] == ["Hello?", "Still here."]


@virtual
async def test_a_caller_who_was_about_to_act_waits_too() -> None:
    scenario = [CallerPresses("1", after=3), CallerHangsUp()]
    async with OpenAIEmulator(strict=False, behavior=Behavior(refer="no answer")) as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await asyncio.sleep(2)  # the line has been quiet, and the three seconds pass
            began = openai.now()
            assert await _refer(openai, ringing) == 200
            await peer.until("input_audio_buffer.dtmf_event_received")
            assert openai.now() - began >= 8


@virtual
async def test_who_hears_ringing_does_not_interrupt_the_model() -> None:
    scenario = [ModelSays(LONG), CallerSays("Wait!", interrupting=True)]
    async with OpenAIEmulator(behavior=Behavior(refer="no answer")) as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            assert await _refer(openai, ringing) == 200
            began = openai.now()
            await peer.send("response.create")
            await peer.until("output_audio_buffer.started")
            assert openai.now() - began < 8
            await peer.until("input_audio_buffer.speech_started")
            assert openai.now() - began >= 8
            await peer.until("output_audio_buffer.cleared")


@virtual
async def test_the_models_step_is_not_skipped_while_the_target_rings() -> None:
    scenario = [CallerSays("A human, please."), ModelCalls("transfer"), ModelSays("Nobody is there."), CallerHangsUp()]
    timings = Timings(target_rings=600.0)
    async with OpenAIEmulator(behavior=Behavior(refer="no answer"), timings=timings) as openai:
        ringing = await accepted(openai, Program(), {**SESSION, "tools": TOOLS}, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            called = await peer.until("response.function_call_arguments.done")
            assert await _refer(openai, ringing) == 200
            await asyncio.sleep(500)  # far longer than anybody's patience
            output = {"type": "function_call_output", "call_id": called["call_id"], "output": "no answer"}
            await peer.send("conversation.item.create", item=output)
            await peer.send("response.create")
            await peer.closed()
        assert [said.text for said in ringing.said] == ["A human, please.", "Nobody is there."]
        assert ringing.notes == []


@virtual
async def test_a_refer_that_is_ignored_dials_nobody_and_the_caller_plays_on() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="ignored")) as openai:
        ringing = await accepted(openai, Program(), scenario=[CallerPresses("1"), CallerHangsUp()])
        async with sideband(openai, ringing) as connection:
            assert await _refer(openai, ringing) == 200
            await Peer(connection).closed()
        end = await ringing.ended()
        assert (end.by, end.target_uri, ringing.dialed) == (EndedBy.CALLER, None, [])


@pytest.mark.parametrize(("acted", "dialed"), [(True, [TARGET]), (False, [])])
@virtual
async def test_a_refer_whose_reply_failed_may_have_dialed(acted: bool, dialed: list[str]) -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="no answer")) as openai:
        ringing = await accepted(openai, Program())
        openai.fail("refer", status=500, acted=acted)
        assert await _refer(openai, ringing) == 500
        assert ringing.dialed == dialed


@virtual
async def test_a_second_refer_is_seen_as_a_double_dial() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="bridged")) as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            assert await _refer(openai, ringing) == 200
            assert await _refer(openai, ringing, OTHER) == 200
            await Peer(connection).closed()
        end = await ringing.ended()
        assert (end.by, end.target_uri) == (EndedBy.TRANSFERRED, TARGET)
        assert ringing.dialed == [TARGET, OTHER]
        assert ringing.notes == [
            "a refer came while another one was under way; what happens then is not known: both dial"
        ]


@virtual
async def test_of_two_targets_that_are_rung_in_vain_the_later_one_lets_the_caller_go_on() -> None:
    scenario = [CallerPresses("1", after=1), CallerHangsUp()]
    async with OpenAIEmulator(strict=False, behavior=Behavior(refer="no answer")) as openai:
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            assert await _refer(openai, ringing) == 200
            await asyncio.sleep(5)
            began = openai.now()
            assert await _refer(openai, ringing, OTHER) == 200
            await peer.until("input_audio_buffer.dtmf_event_received")
            assert openai.now() - began >= 8


@virtual
async def test_a_refer_after_one_that_failed_is_nothing_strange() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="busy")) as openai:
        ringing = await accepted(openai, Program())
        assert await _refer(openai, ringing) == 200
        await asyncio.sleep(2)
        assert await _refer(openai, ringing, OTHER) == 200
        assert await ringing.until_dialed(count=2) == OTHER
        assert ringing.notes == []


@virtual
async def test_the_carrier_takes_the_caller_away_by_itself() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="ignored")) as openai:
        ringing = await accepted(openai, Program())
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            assert await _refer(openai, ringing) == 200
            with pytest.raises(ConfigurationError):
                ringing.redirect(" ")
            assert ringing.redirect(TARGET)
            await peer.closed()
        end = await ringing.ended()
        assert (end.by, end.target_uri, end.close_code) == (EndedBy.TRANSFERRED, TARGET, 1000)
        assert (ringing.dialed, ringing.notes) == ([TARGET], [])


@virtual
async def test_the_carrier_takes_away_a_caller_who_hears_ringing() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="bridged")) as openai:
        ringing = await accepted(openai, Program())
        assert await _refer(openai, ringing) == 200
        assert ringing.redirect(OTHER)
        end = await ringing.ended()
        assert (end.by, end.target_uri) == (EndedBy.TRANSFERRED, OTHER)
        await asyncio.sleep(60)
        assert ringing.dialed == [TARGET, OTHER]


@virtual
async def test_a_caller_who_reached_the_target_can_be_torn_away_from_it() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        assert await _refer(openai, ringing) == 200
        assert (await ringing.ended()).target_uri == TARGET
        assert ringing.redirect(OTHER)
        assert ((await ringing.ended()).target_uri, ringing.dialed) == (TARGET, [TARGET, OTHER])
        assert ringing.notes == ["the carrier took the caller away from a target that was reached before"]


@virtual
async def test_a_caller_whom_the_program_hung_up_on_may_still_be_redirected() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        assert (await act(openai, ringing, "hangup")).status_code == 200
        assert ringing.redirect(TARGET)
        assert ((await ringing.ended()).by, ringing.dialed) == (EndedBy.AGENT, [TARGET])


@virtual
async def test_a_caller_who_hung_up_is_not_redirected() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        ringing.hang_up()
        assert not ringing.redirect(TARGET)
        given_up = await openai.ring(Program(), scenario=[CallerHangsUp(while_ringing=True)])
        await asyncio.sleep(1)
        assert not given_up.redirect(TARGET)
        assert (ringing.dialed, given_up.dialed) == ([], [])


@virtual
async def test_a_call_that_rings_can_be_redirected() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Program())
        assert ringing.redirect(TARGET)
        assert (await ringing.ended()).by is EndedBy.TRANSFERRED
        assert error_of(await act(openai, ringing, "accept", SESSION))["code"] == "call_id_not_found"


@virtual
async def test_waiting_for_a_dial_says_that_none_came() -> None:
    async with OpenAIEmulator(behavior=Behavior(refer="ignored")) as openai:
        ringing = await accepted(openai, Program())
        assert await _refer(openai, ringing) == 200
        with pytest.raises(ScenarioError, match=r"expected 1 target\(s\) to be dialed"):
            await ringing.until_dialed(timeout=5)
        assert TARGET not in repr(ringing)
