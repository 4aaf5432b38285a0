"""Calls to phones over REST: what is sent, what is refused, and that no call is placed twice."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from provisioning import HOW, provisioning
from twiml_reading import only

from realtime_sip.errors import InvalidRequestError, NetworkError, ServerError, ServiceError
from realtime_sip.outbound import Answered, CallAnswered
from realtime_sip.twilio import twiml
from realtime_sip.twilio.calls import MachineDetection
from realtime_sip.twilio.twiml import VoiceResponse

FROM, TO = "+14155550199", "+14155550123"
VOICE = "https://voice.example.com/twilio/voice"
ANSWERED = "https://voice.example.com/twilio/answered"


@HOW
async def test_a_call_to_a_phone_is_placed_with_machine_detection_beside_it(how: str) -> None:
    detection = MachineDetection(callback=ANSWERED, timeout=20, speech_threshold=2500)
    async with provisioning(how) as p:
        placed = await p.got(
            p.account.calls.place(
                FROM, TO, url=VOICE, machine_detection=detection, send_digits="ww1", time_limit=600, timeout=25
            )
        )
        (seen,) = p.wire.seen
        assert (seen.method, seen.url.path) == ("POST", f"/2010-04-01/Accounts/{p.account.sid}/Calls.json")
        assert parse_qs(seen.content.decode()) == {
            "From": [FROM],
            "To": [TO],
            "Url": [VOICE],
            "Timeout": ["25"],
            "MachineDetection": ["DetectMessageEnd"],
            "AsyncAmd": ["true"],
            "AsyncAmdStatusCallback": [ANSWERED],
            "MachineDetectionTimeout": ["20"],
            "MachineDetectionSpeechThreshold": ["2500"],
            "SendDigits": ["ww1"],
            "TimeLimit": ["600"],
        }
        assert (placed.sid[:2], placed.status, placed.answered) == ("CA", "queued", None)


@HOW
async def test_without_a_callback_the_call_waits_until_it_is_known(how: str) -> None:
    async with provisioning(how) as p:
        await p.got(p.account.calls.place(FROM, TO, url=VOICE, machine_detection=MachineDetection(mode="Enable")))
        form = parse_qs(p.wire.seen[0].content.decode())
        assert form == {"From": [FROM], "To": [TO], "Url": [VOICE], "MachineDetection": ["Enable"]}


@HOW
async def test_a_call_is_read_given_other_twiml_and_ended(how: str) -> None:
    async with provisioning(how) as p:
        placed = await p.got(p.account.calls.place(FROM, TO, url=VOICE))
        p.twilio._board.legs[placed.sid].answered_by = "machine_end_beep"
        found = await p.got(p.account.calls.fetch(placed.sid))
        assert not found.is_final
        assert found.answered == CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)
        await p.got(p.account.calls.redirect(placed.sid, twiml=twiml.press("1w2")))
        await p.got(p.account.calls.end(placed.sid))
        path = f"/2010-04-01/Accounts/{p.account.sid}/Calls/{placed.sid}.json"
        assert p.wire.changes[1:] == [("POST", path)] * 2
        (document,) = parse_qs(p.wire.seen[2].content.decode())["Twiml"]
        assert only(document, "Play").attrib == {"digits": "1w2"}
        assert parse_qs(p.wire.seen[3].content.decode()) == {"Status": ["completed"]}


@HOW
@pytest.mark.parametrize("fault", ["timeout", "500", "503"])
async def test_law_a_call_to_a_phone_is_never_placed_twice(how: str, fault: str) -> None:
    async with provisioning(how) as p:
        p.wire.fault = lambda _number, _request: fault
        with pytest.raises((NetworkError, ServerError)):
            await p.got(p.account.calls.place(FROM, TO, url=VOICE))
        with pytest.raises((NetworkError, ServerError)):
            await p.got(p.account.calls.redirect("CA" + "0" * 32, twiml=twiml.say("Bye.")))
        assert len(p.wire.seen) == 2


async def test_after_429_it_is_repeated_and_an_end_is_repeated_anyway() -> None:
    async with provisioning() as p:
        p.wire.fault = lambda number, _request: "429" if number == 0 else "500" if number == 2 else None
        placed = await p.account.calls.place(FROM, TO, url=VOICE)
        await p.account.calls.end(placed.sid)
        assert len(p.wire.seen) == 4
        assert len(p.twilio.calls) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": "4155550123"},
        {"to": "whatsapp:+14155550123"},
        {"from_": "Shop"},
        {"url": None},
        {"url": "/voice"},
        {"twiml": "<Response/>"},
        {"application_sid": "AP1", "url": None},
        {"machine_detection": "Enable"},
        {"send_digits": "1,2"},
        {"timeout": 4},
        {"time_limit": 0},
        {"status_callback": "/status"},
        {"url": None, "twiml": "<Response><Redirect>/more</Redirect></Response>"},
    ],
    ids=str,
)
async def test_what_could_not_work_is_refused_before_anything_is_sent(wrong: dict[str, Any]) -> None:
    options = {"from_": FROM, "to": TO, "url": VOICE, **wrong}
    async with provisioning() as p:
        with pytest.raises(InvalidRequestError):
            await p.account.calls.place(options.pop("from_"), options.pop("to"), **options)
        for call in (p.account.calls.fetch, p.account.calls.end):
            with pytest.raises(InvalidRequestError):
                await call("CA/../../x")
        assert p.wire.seen == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "On"},
        {"callback": "/answered"},
        {"timeout": 2},
        {"timeout": 61},
        {"timeout": True},
        {"speech_threshold": 999},
        {"speech_end_threshold": 5001},
        {"silence_timeout": 1999},
    ],
    ids=str,
)
def test_detection_out_of_twilios_ranges_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        MachineDetection(**wrong)


async def test_a_call_that_is_over_cannot_be_redirected() -> None:
    async with provisioning() as p:
        placed = await p.account.calls.place(FROM, TO, url=VOICE)
        p.twilio._board.legs[placed.sid].move("completed")
        with pytest.raises(ServiceError) as raised:
            await p.account.calls.redirect(placed.sid, twiml=twiml.say("Bye."))
        assert raised.value.code == "21220"


@pytest.mark.parametrize("noun", ["number", "sip"])
def test_a_dial_finds_out_who_answers(noun: str) -> None:
    detection = MachineDetection(callback=ANSWERED, silence_timeout=4000, speech_end_threshold=900)
    dial = VoiceResponse().dial()
    if noun == "number":
        dial.number(TO, machine_detection=detection)
    else:
        dial.sip("sip:desk@pbx.example.com", machine_detection=detection)
    (element,) = dial.xml()
    assert element.attrib == {
        "machineDetection": "DetectMessageEnd",
        "machineDetectionSpeechEndThreshold": "900",
        "machineDetectionSilenceTimeout": "4000",
        "amdStatusCallback": ANSWERED,
    }


@pytest.mark.parametrize("wrong", ["", "1,2", "one", "1" * 101, 1])
def test_only_keys_are_pressed(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError):
        twiml.press(wrong)
