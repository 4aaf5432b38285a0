"""Twilio's TwiML objects with types: they write what Twilio's own write, and refuse what those let pass."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from reported import reported
from twilio.twiml import voice_response as vendor

from realtime_sip.errors import InvalidRequestError
from realtime_sip.twilio.twiml import VoiceResponse


def test_they_are_twilios_own_and_write_the_same() -> None:
    ours, theirs = VoiceResponse(), vendor.VoiceResponse()
    assert isinstance(ours, vendor.VoiceResponse)
    for response, events in ((ours, ["ringing", "answered"]), (theirs, "ringing answered")):
        response.say("a & b <c>", language="pt-BR")
        response.pause(2)
        response.play("https://example.com/a.mp3?b=c&d", loop=2)
        dial = response.dial(answer_on_bridge=True, time_limit=60, action="/after?a=1&b=2", hangup_on_star=False)
        dial.sip("sip:a@example.com;transport=tls", status_callback="/s", status_callback_event=events)
        dial.number("+14155550100", send_digits="wwww1")
        dial.client("ana")
        dial.conference("room", beep=False, wait_url="")
        response.dial(caller_id="whatsapp:+14155550199").whats_app("+14155550100")
        response.enqueue(None, workflow_sid="WW1").task('{"a": "<b>"}', priority=1)
        response.record(max_length=60, play_beep=True)
        response.redirect("/next", method="POST")
        response.reject("busy")
        response.hangup()
    assert str(ours) == str(theirs)
    assert ours.to_xml(xml_declaration=False) == theirs.to_xml(xml_declaration=False)


def test_they_go_together_with_twilios_own() -> None:
    ours = VoiceResponse().append(vendor.Echo()).append("text")
    theirs = vendor.VoiceResponse()
    theirs.append(ours.dial("+14155550100"))
    assert str(ours).endswith("<Response><Echo />text<Dial>+14155550100</Dial></Response>")
    assert str(theirs).endswith("<Response><Dial>+14155550100</Dial></Response>")


def test_a_misspelled_attribute_is_an_error() -> None:
    with pytest.raises(TypeError, match="anwser_on_bridge"):
        VoiceResponse().dial(anwser_on_bridge=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("caller_id", ["whatsapp:+5511987650001", "client:ana", "sip:a@example.com", "+1 415", ""])
def test_a_caller_id_that_sip_does_not_take_is_refused_before_twilio_does(caller_id: str) -> None:
    dial = VoiceResponse().dial(caller_id=caller_id)
    with pytest.raises(InvalidRequestError, match="callerId"):
        dial.sip("sip:a@example.com;transport=tls")
    assert dial.verbs == []


@pytest.mark.parametrize("caller_id", [None, "+551130000001", "whatsapp:551130000001", "whatsapp:BR.1502576394655843"])
def test_whatsapp_needs_the_number_of_a_sender_as_caller_id(caller_id: str | None) -> None:
    dial = VoiceResponse().dial(caller_id=caller_id)
    with pytest.raises(InvalidRequestError, match="activated for calls"):
        dial.whats_app("+5511987650001")
    assert dial.verbs == []


@pytest.mark.parametrize("text", ["\x00", "\x0b", "\x1f", "\ufffe", "\ud800"])
def test_what_xml_cannot_hold_is_refused_wherever_it_stands(text: str) -> None:
    for response in (
        VoiceResponse().append(vendor.Say(text)),
        VoiceResponse().append(vendor.Dial(caller_id=f"a{text}")),
        VoiceResponse().append(vendor.Echo()).append(text),
    ):
        with pytest.raises(InvalidRequestError, match="XML cannot hold") as refused:
            str(response)
        assert text not in str(refused.value)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['twilio'] = None\n"
        "import realtime_sip.twilio\n"
        "from realtime_sip.errors import MissingExtraError\n"
        "assert 'twiml' in dir(realtime_sip.twilio)\n"
        "try: realtime_sip.twilio.twiml\n"
        "except MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "twilio is not installed; it comes with: pip install 'realtime-sip[twilio]'"


def test_the_room_loads_nothing_before_it_is_asked() -> None:
    code = "import sys, realtime_sip.twilio as room; print('twilio' in sys.modules, 'twiml' in dir(room))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("sip:proj_abc@sip.api.openai.com;transport=tls&secure=true", "transport: must be udp, tcp or tls"),
        ("sip:proj_abc@sip.api.openai.com;transport=tls&amp;secure=true", "transport: must be udp, tcp or tls"),
        ("sip:proj_abc@sip.api.openai.com;region=br1&transport=tls", "parameter: has a '&'"),
        ("sip:proj_abc@sip.api.openai.com;transport=tls?edge=frankfurt", "edge: is a parameter: write it with ';'"),
        ("sip:a@example.com?X-A=1;transport=tls", "header: has a ';' or '\\?'"),
        ("sip:a@example.com?X-A=1?edge=dublin", "header: has a ';' or '\\?'"),
        ("sip:a@example.com?Subject=x", "header: Twilio passes on"),
        ("sip:a@example.com?X-Twilio-A=x", "header: Twilio passes on"),
        ("sip:a@example.com?X-A=" + "x" * 1020, "headers: have more than 1023"),
        ("sip:" + "a" * 250 + "@example.com", "more than 254 characters"),
        ("tel:+14155550100", "the scheme is not sip or sips"),
        ("sip:a@example.com ", "must be escaped"),
        ("", "scheme"),
        (None, "no text"),
    ],
)
def test_a_uri_that_twilio_takes_for_something_else_is_refused(uri: str, problem: str) -> None:
    dial = VoiceResponse().dial()
    with pytest.raises(InvalidRequestError, match=problem):
        dial.sip(uri)
    assert not dial.verbs


@pytest.mark.parametrize(
    "uri",
    [
        "sip:proj_abc@sip.api.openai.com;transport=tls;secure=true",
        "sips:a@example.com:5061;TRANSPORT=TLS;edge=dublin;unknown=1?X-A=1&User-to-User=2",
        "sip:+14155550100@example.com",
    ],
)
def test_a_uri_that_is_what_it_seems_is_dialed_as_it_is(uri: str) -> None:
    assert VoiceResponse().dial().sip(uri).value == uri


@reported("twiml")
def test_reported_cases(case: dict[str, Any]) -> None:
    given, right = case["input"], case["right"]
    response = VoiceResponse()
    if right.get("refused"):
        with pytest.raises(InvalidRequestError):
            response.dial().sip(given["sip_uri"])
    elif "sip_uri" in given:
        assert response.dial().sip(given["sip_uri"]).value == right["sip_text"]
    else:
        assert response.content_type in right["content_type_one_of"]
        assert str(response).startswith(right["body_starts_with"])
        assert f"<{right['root']}" in str(response)
