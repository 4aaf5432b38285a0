"""Turns that are no request: what comes to nothing is counted, and what is not for the model is met with silence."""

from __future__ import annotations

from phone import greet, outputs, phone, virtual
from realtime_sip import Call, Escalation, EscalationCause, EscalationRules, Tools
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays
from realtime_sip.tools import not_understood, wait_for_user

HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp(after=1.0)
MUMBLES = (CallerSays("Mm the thing."), ModelCalls("not_understood"), ModelSays("What did you say?"))


def test_what_the_model_reads_of_them_is_short_and_says_when() -> None:
    waits, asks = Tools([wait_for_user, not_understood]).wire()
    for tool in (waits, asks):
        assert tool.parameters is not None
        assert tool.parameters["properties"] == {}
        assert tool.description is not None
        assert len(tool.description) < 250
    assert "silence" in (waits.description or "")


@virtual
async def test_a_turn_that_is_not_for_the_model_ends_in_silence_and_the_call_goes_on() -> None:
    async with phone() as line:
        scenario = (
            *(HELLO, CallerSays("Turn that television down!"), ModelCalls("wait_for_user")),
            *(CallerSays("Are you open today?"), ModelSays("Until six."), BYE),
        )
        _, ringing = await line.played(*scenario, talk=greet, tools=Tools([wait_for_user]))
    assert [line.text for line in ringing.said if line.by == "model"] == ["Good morning.", "Until six."]
    assert outputs(ringing) == ['{"ok":true,"result":null}']


@virtual
async def test_three_turns_without_a_match_are_an_escalation_and_the_model_asks_each_time() -> None:
    seen: list[Escalation] = []

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        async for event in call:
            if isinstance(event, Escalation):
                seen.append(event)

    async with phone() as line:
        _, ringing = await line.played(HELLO, *MUMBLES * 3, BYE, talk=talk, tools=Tools([not_understood]))
    assert seen == [Escalation(EscalationCause.NO_MATCH, 3)]
    assert [line.text for line in ringing.said].count("What did you say?") == 3


@virtual
async def test_a_program_can_count_a_turn_itself() -> None:
    seen: list[Escalation] = []

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        async for event in call:
            if event.type == "input_audio_buffer.committed":
                call.missed_turn()
                call.missed_turn()
            if isinstance(event, Escalation):
                seen.append(event)

    rules = EscalationRules(missed_turns=2)
    async with phone() as line:
        answers = (CallerSays("Mm."), ModelSays("Sorry?"))
        await line.played(HELLO, *answers * 2, BYE, talk=talk, escalation=rules)
    assert [escalation.count for escalation in seen] == [2]
