"""The emulated Twilio finds out who answered, as the table of callees says, and reports it as the page says."""

from __future__ import annotations

from typing import Any

import pytest
from twilio_program import Program

from emulated import virtual
from realtime_sip.errors import BadRequestError, ConfigurationError
from realtime_sip.testing import Callee, TwilioEmulator
from realtime_sip.twilio import AsyncTwilioAccount, twiml
from realtime_sip.twilio.calls import DetectionMode, MachineDetection
from realtime_sip.twilio.twiml import VoiceResponse

FROM, TO = "+14155550199", "+14155550123"
TALK = "<Response><Pause length='20'/></Response>"


def account(twilio: TwilioEmulator) -> AsyncTwilioAccount:
    return AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, base_url=twilio.base_url, proxy=False)


@pytest.mark.parametrize(
    ("mode", "callee", "word", "milliseconds"),
    [
        ("DetectMessageEnd", Callee(), "human", "3000"),
        ("DetectMessageEnd", Callee(answered_by="machine_end_beep", detected=9), "machine_end_beep", "9000"),
        ("Enable", Callee(answered_by="machine_end_beep"), "machine_start", "3000"),
        ("Enable", Callee(answered_by="fax"), "fax", "3000"),
        ("DetectMessageEnd", Callee(answered_by="machine_end_beep", detected=50), "unknown", "30000"),
    ],
)
@pytest.mark.parametrize("asynchronous", [True, False])
@virtual
async def test_who_answered_is_posted_beside_the_talk_or_asked_with(
    mode: DetectionMode, callee: Callee, word: str, milliseconds: str, asynchronous: bool
) -> None:
    callee = Callee(answered_by=callee.answered_by, detected=callee.detected, talks=100)
    pause = "<Response><Pause length='60'/></Response>"
    async with Program(voice=pause) as program, TwilioEmulator(callees={TO: callee}) as twilio:
        detection = MachineDetection(mode=mode, callback=f"{program.url}/answered" if asynchronous else None)
        async with account(twilio) as rest:
            options: dict[str, Any] = {"url": f"{program.url}/voice", "status_callback": f"{program.url}/status"}
            placed = await rest.calls.place(FROM, TO, machine_detection=detection, **options)
            (call,) = twilio.calls
            told = await call.until_requested("answered" if asynchronous else "voice")
            assert (told.params["AnsweredBy"], told.params["MachineDetectionDuration"]) == (word, milliseconds)
            if asynchronous:
                sent = {"CallSid", "AccountSid", "AnsweredBy", "MachineDetectionDuration"}
                assert set(told.params) == sent
                assert "AnsweredBy" not in call.requested("voice")[0].params
            assert (await rest.calls.fetch(placed.sid)).answered_by == word
            await call.ended()
            assert call.requested("status")[-1].params["AnsweredBy"] == word


@virtual
async def test_nobody_is_told_of_a_call_that_was_over_before() -> None:
    callees = {TO: Callee(talks=1)}
    async with Program(voice=TALK) as program, TwilioEmulator(callees=callees) as twilio, account(twilio) as rest:
        detection = MachineDetection(callback=f"{program.url}/answered")
        await rest.calls.place(FROM, TO, machine_detection=detection, url=f"{program.url}/voice")
        (call,) = twilio.calls
        await call.ended()
        assert [request.kind for request in call.requests] == ["voice"]


@virtual
async def test_a_dial_finds_out_who_answered_and_warns_if_nobody_is_told() -> None:
    def dial(*, told: bool) -> str:
        detection = MachineDetection(callback=f"{program.url}/answered" if told else None)
        response = VoiceResponse()
        response.dial(caller_id=FROM).number(TO, machine_detection=detection)
        return str(response)

    callees = {TO: Callee(answered_by="machine_end_silence", talks=10)}
    async with Program() as program, TwilioEmulator(callees=callees, strict=False) as twilio:
        program.routes["/voice"] = dial(told=True)
        call = await twilio.ring(f"{program.url}/voice")
        told = await call.until_requested("answered")
        assert (told.params["AnsweredBy"], told.params["CallSid"]) == ("machine_end_silence", call.children[0].sid)
        await call.ended()
        program.routes["/voice"] = dial(told=False)
        second = await twilio.ring(f"{program.url}/voice")
        await second.ended()
        assert [alert.code for alert in second.alerts] == [21262]
        assert second.requested("answered") == []


@virtual
async def test_what_is_out_of_range_is_refused() -> None:
    async with TwilioEmulator() as twilio, account(twilio) as rest:
        detection = MachineDetection()
        for name, value in (("mode", "On"), ("timeout", 90)):
            wrong = MachineDetection()
            object.__setattr__(wrong, name, value)
            with pytest.raises(BadRequestError):
                await rest.calls.place(FROM, TO, twiml=twiml.say("Hi."), machine_detection=wrong)
        assert detection.timeout is None
        assert twilio.calls == []


@pytest.mark.parametrize("wrong", [{"answered_by": "machine_start"}, {"detected": -1}], ids=str)
def test_a_callee_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Callee(**wrong)
