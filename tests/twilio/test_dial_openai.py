"""`dial_openai`: each argument's result and refusal, and what OpenAI's webhook makes of it."""

from __future__ import annotations

import base64
import json
import logging
import re
import time
from typing import Any
from urllib.parse import urlencode

import pytest
from reported import reported
from twilio.twiml import voice_response as vendor
from twiml_reading import SID, Voice, alone, headers_of, only, read, signed, uri_of

from realtime_sip import Endpoints, IncomingCall, OpenAIWebhooks
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.sip import CONTEXT_HEADER, ContextSigner, SipHeaders
from realtime_sip.twilio.twiml import VoiceResponse, dial_openai, openai_uri
from realtime_sip.twilio.webhooks import VoiceWebhook

SECRET = "a context secret of the tests"
SIGNER = ContextSigner(SECRET)
PROJECT = "proj_abc123"
__all__ = ["alone"]  # a fixture for each test here

PLAIN = "sip:proj_abc123@sip.api.openai.com;transport=tls"


def arrive(response: object, **options: Any) -> IncomingCall:
    """Return the call that OpenAI would announce for the TwiML."""
    caller = only(response, "Dial").get("callerId", "Anonymous")
    headers = [("From", f"<sip:{caller}@pstn.twilio.com>"), ("To", f"<{PLAIN}>"), *headers_of(response)]
    body = json.dumps(
        {
            "type": "realtime.call.incoming",
            "created_at": int(time.time()),
            "data": {"call_id": "rtc_1", "sip_headers": [{"name": name, "value": value} for name, value in headers]},
        }
    )
    webhooks = OpenAIWebhooks("whsec_" + base64.b64encode(b"secret").decode(), context_secret=SECRET, **options)
    event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=time.time()))
    assert isinstance(event, IncomingCall)
    return event


# --- the URI -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "uri"),
    [
        ({}, PLAIN),
        ({"region": "br1"}, f"{PLAIN};region=br1"),
        ({"edge": "sao-paulo"}, f"{PLAIN};edge=sao-paulo"),
        ({"secure": True}, f"{PLAIN};secure=true"),
        ({"secure": True, "edge": "dublin"}, f"{PLAIN};secure=true;edge=dublin"),
        ({"host": Endpoints.EU}, "sip:proj_abc123@sip-eu.api.openai.com;transport=tls"),
        ({"host": Endpoints.INDIA}, "sip:proj_abc123@sip-in.api.openai.com;transport=tls"),
        (
            {"host": Endpoints.azure("contoso", region="eastus2")},
            "sip:proj_abc123@eastus2.sip.ai.azure.com;transport=tls",
        ),
        ({"host": "sip.example.com"}, "sip:proj_abc123@sip.example.com;transport=tls"),
        ({"headers": {"X-A": "1", "User-to-User": "2;encoding=hex"}}, f"{PLAIN}?X-A=1&User-to-User=2%3Bencoding%3Dhex"),
    ],
)
def test_the_uri_has_parameters_before_headers(options: dict[str, Any], uri: str) -> None:
    assert only(dial_openai(PROJECT, **options), "Dial/Sip").text == uri
    assert openai_uri(PROJECT, **options) == uri


def test_each_reserved_character_of_a_header_is_escaped_for_sip_and_then_for_xml() -> None:
    value = "a%b?c&d=e;f,g:h@i<j>k\"l m+n'"
    response = dial_openai(PROJECT, headers={"X-A": value, "X-B": "2"})
    written = "X-A=a%25b%3Fc%26d%3De%3Bf%2Cg%3Ah%40i%3Cj%3Ek%22l%20m%2Bn%27&amp;X-B=2</Sip>"
    assert str(response).endswith(f"?{written}</Dial></Response>")
    assert headers_of(response).extensions == (("X-A", value), ("X-B", "2"))


@pytest.mark.parametrize(
    ("project", "advice"),
    [
        ("org-abc123", "organization.*proj_"),
        ("org_abc123", "organization.*proj_"),
        ("sk-proj-abc123", "key or secret"),
        ("whsec_abc", "key or secret"),
        ("abc123", "proj_"),
        ("proj_", "proj_"),
        ("proj_a;transport=udp", "proj_"),
        ("proj_a@evil.example.com", "proj_"),
        ("proj_a\r\nX-Evil: 1", "proj_"),
        ("", "proj_"),
        (None, "no text"),
    ],
)
def test_what_is_no_project_is_refused_with_advice_and_not_shown(project: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as refused:
        dial_openai(project)
    assert not project or project == "proj_" or project not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("api.openai.com", "sip.api.openai.com"),
        ("eu.api.openai.com", "sip.api.openai.com"),
        ("contoso.openai.azure.com", "SIP host"),
        ("sip.api.openai.com:5061", "without a port"),
        ("sip.api.openai.com;transport=udp", "without a port"),
        ("sip.api.openai.com?edge=dublin", "without a port"),
        ("", "without a port"),
        (None, "without a port"),
    ],
)
def test_what_is_no_sip_host_is_refused(host: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        dial_openai(PROJECT, host=host)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"region": "br2"}, "region: must be one of us1, us2, ie1, de1, sg1, jp1, br1, au1"),
        ({"region": "BR1"}, "region: must be one of"),
        ({"region": ""}, "region: must be one of"),
        ({"region": "sao-paulo"}, "region: names a place as edge does: pass it as edge="),
        ({"edge": "br1"}, "edge: names a place as region does: pass it as region="),
        ({"edge": "dublin;transport=udp"}, "edge: must be one of"),
        ({"region": "br1", "edge": "sao-paulo"}, "edge: must be left out if there is a region"),
        ({"secure": "true"}, "secure: must be True or False"),
        ({"headers": [("X-A", "1")]}, "headers: must be a mapping"),
        ({"headers": {"A": "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {"edge": "dublin"}}, "headers: Twilio passes on X-"),
        ({"headers": {"X-Twilio-CallSid": "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {"X-": "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {"X-A&X-B": "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {"X-A\n": "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {7: "1"}}, "headers: Twilio passes on X-"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a: is there twice"),
        ({"headers": {"X-A": "1\r\nX-Evil: 1"}}, "headers.X-A: must be text of printable ASCII"),
        ({"headers": {"X-A": "São Paulo"}}, "headers.X-A: must be text of printable ASCII"),
        ({"headers": {"X-A": ""}}, "headers.X-A: must be text of printable ASCII"),
        ({"headers": {"X-A": 7}}, "headers.X-A: must be text of printable ASCII"),
        ({"headers": {CONTEXT_HEADER: "v1.a.b"}}, f"headers.{CONTEXT_HEADER}: is signed here: pass context"),
        ({"headers": {"X-Channel": "phone"}, "voice": Voice()}, "headers.X-Channel: is what voice says"),
        ({"headers": {"x-dialed-number": "1"}, "voice": Voice()}, "headers.x-dialed-number: is what voice says"),
        ({"headers": {"X-A": "1" * 1020}}, "headers: have more than 1023 characters"),
        ({"headers": {"X-A": "%" * 340}}, "headers: have more than 1023 characters"),
        ({"host": "a" * 63 + ".b" * 90}, "more than 254 characters before the headers"),
        ({"voice": {"CallSid": SID}}, "voice: must be the typed voice webhook"),
        ({"voice": Voice(channel="fax")}, "voice: has a channel that is not known"),
        ({"voice": Voice(caller="whatsapp:+14155550100")}, "voice: has what is no number"),
        ({"voice": Voice(dialed="(415) 555-0100")}, "voice: has what is no number"),
        ({"signer": SECRET}, "signer: must be a ContextSigner"),
        ({"into": "<Response/>"}, "into: must be a VoiceResponse"),
        ({"caller_id": "whatsapp:+551130000001"}, "caller_id: must have no colon.*13214, or 13224"),
        ({"caller_id": "a b"}, "caller_id: must be 1 to 140"),
        ({"caller_id": ""}, "caller_id: must be 1 to 140"),
        ({"caller_id": "+1415\n"}, "caller_id: must be 1 to 140"),
        ({"caller_id": "x" * 141}, "caller_id: must be 1 to 140"),
        ({"caller_id": 14155550100}, "caller_id: must be 1 to 140"),
        ({"timeout": 4}, "timeout: must be a whole number of seconds, 5 to 600"),
        ({"timeout": 601}, "timeout: must be a whole"),
        ({"timeout": 30.0}, "timeout: must be a whole"),
        ({"timeout": True}, "timeout: must be a whole"),
        ({"timeout": "30"}, "timeout: must be a whole"),
        ({"time_limit": 0}, "time_limit: must be a whole"),
        ({"time_limit": 86401}, "time_limit: must be a whole"),
        ({"time_limit": None}, "time_limit: must be a whole"),
        ({"action": ""}, "action: must be a URL; an empty one would ask the same document again"),
        ({"action": "ftp://example.com/"}, "action: must be an http or https URL, or a path"),
        ({"action": "javascript:alert(1)"}, "action: must be an http or https URL, or a path"),
        ({"action": "//example.com/a"}, "action: must be an http or https URL, or a path"),
        ({"action": "https://"}, "action: must be an http or https URL, or a path"),
        ({"action": "https://example.com:99999/"}, "action: must be a URL"),
        ({"action": "https://[::1/"}, "action: must be a URL"),
        ({"action": "/after dial"}, "action: must be a URL without spaces"),
        ({"action": "/é"}, "action: must be a URL without spaces"),
        ({"action": 7}, "action: must be a URL"),
        ({"refer_url": '/a"b'}, "refer_url: must be a URL without spaces"),
        ({"status_callback": "/a\n"}, "status_callback: must be a URL without spaces"),
        ({"status_callback": "/a", "status_callback_events": ["rang"]}, "status_callback_events: must be one of"),
        ({"status_callback": "/a", "status_callback_events": []}, "status_callback_events: must be a list of"),
        ({"status_callback": "/a", "status_callback_events": "ringing"}, "status_callback_events: must be a list of"),
        ({"record": True}, "record: must be one of do-not-record, record-from-answer"),
        ({"record": "yes"}, "record: must be one of"),
        ({"recording_status_callback": "/r"}, "recording_status_callback: is never asked if nothing is recorded"),
        ({"recording_status_callback": "/ r", "record": "record-from-answer"}, "recording_status_callback: must be"),
    ],
)
def test_each_argument_is_checked_and_nothing_is_appended(options: dict[str, Any], problem: str) -> None:
    response = VoiceResponse()
    with pytest.raises(InvalidRequestError, match=problem):
        dial_openai(PROJECT, **{"into": response, **options})
    assert not response.verbs


def test_an_error_lists_all_that_is_wrong_and_shows_none_of_it() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        dial_openai(PROJECT, caller_id="whatsapp:+14155550100", timeout=1, action="secret thing")
    assert [place for place, _ in refused.value.problems] == ["caller_id", "timeout", "action"]
    assert "0100" not in str(refused.value)
    assert "secret" not in str(refused.value)


# --- attributes ----------------------------------------------------------------------------------------------------


def test_by_default_the_caller_keeps_ringing_and_the_call_ends_after_the_services_hour() -> None:
    assert only(dial_openai(PROJECT), "Dial").attrib == {"answerOnBridge": "true", "timeout": "30", "timeLimit": "3660"}
    assert only(dial_openai(PROJECT), "Dial/Sip").attrib == {}


def test_every_attribute_is_where_twilio_reads_it() -> None:
    response = dial_openai(
        PROJECT,
        caller_id="+14155550100",
        timeout=5,
        time_limit=60,
        action="/after?a=1&b=2",
        refer_url="https://example.com:8443/refer",
        record="record-from-answer-dual",
        recording_status_callback="/recorded",
        status_callback="https://user:pass@example.com/status#rc=2",
    )
    assert only(response, "Dial").attrib == {
        "answerOnBridge": "true",
        "callerId": "+14155550100",
        "timeout": "5",
        "timeLimit": "60",
        "action": "/after?a=1&b=2",
        "referUrl": "https://example.com:8443/refer",
        "record": "record-from-answer-dual",
        "recordingStatusCallback": "/recorded",
    }
    assert only(response, "Dial/Sip").attrib == {
        "statusCallback": "https://user:pass@example.com/status#rc=2",
        "statusCallbackEvent": "initiated ringing answered completed",
    }


def test_events_of_the_status_callback_are_one_attribute_with_spaces() -> None:
    response = dial_openai(PROJECT, status_callback="/s", status_callback_events=("answered", "completed"))
    assert only(response, "Dial/Sip").get("statusCallbackEvent") == "answered completed"
    assert "statusCallbackEvent" not in str(dial_openai(PROJECT, status_callback_events=["answered"]))


@pytest.mark.parametrize("into", [VoiceResponse(), vendor.VoiceResponse()])
def test_what_it_is_appended_to_is_returned(into: Any) -> None:
    assert dial_openai(PROJECT, into=into) is into
    assert into.verbs[0].name == "Dial"
    dial_openai(PROJECT).say("Nobody is there.")


# --- what voice says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voice", "caller_id"),
    [
        (Voice(), "+14155550100"),
        (Voice(caller=None), None),  # withheld: Twilio's own word for it is passed on
        (Voice(caller="+5511987650001", channel="whatsapp"), "+5511987650001"),
        (Voice(caller="+5511987650001", channel="whatsapp", user_id="BR.1502576394655843"), "+5511987650001"),
        (Voice(caller=None, channel="whatsapp", user_id="BR.1502576394655843"), "BR.1502576394655843"),
        (Voice(caller=None, channel="whatsapp", user_id="US.ENT." + "7" * 128), "US.ENT." + "7" * 128),
        (Voice(caller=None, channel="whatsapp"), "anonymous"),
        (Voice(caller=None, channel="whatsapp", user_id="no: id"), "anonymous"),
        (Voice(caller=None, channel="client", dialed=None), "anonymous"),
        (Voice(caller=None, channel="sip"), None),
        (Voice(caller="+12025550143", channel="sip"), "+12025550143"),
    ],
)
def test_the_caller_id_is_the_caller_and_never_has_a_colon(voice: Voice, caller_id: str | None) -> None:
    assert only(dial_openai(PROJECT, voice=voice), "Dial").get("callerId") == caller_id
    assert only(dial_openai(PROJECT, voice=voice, caller_id="desk-7"), "Dial").get("callerId") == "desk-7"


@pytest.mark.parametrize(
    ("voice", "caller", "channel", "dialed"),
    [
        (Voice(), "+14155550100", "phone", "+14155550199"),
        (Voice(caller=None), None, "phone", "+14155550199"),
        (Voice("+5511987650001", "whatsapp", "+551130000001"), "+5511987650001", "whatsapp", "+551130000001"),
        (Voice(None, "whatsapp", "+551130000001", "BR.1502576394655843"), None, "whatsapp", "+551130000001"),
        (Voice(None, "client", None), None, "sip", None),
    ],
)
@pytest.mark.parametrize("signer", [None, SIGNER])
def test_openais_webhook_knows_the_channel_and_the_number(
    voice: Voice, caller: str | None, channel: str, dialed: str | None, signer: ContextSigner | None
) -> None:
    response = dial_openai(PROJECT, voice=voice, signer=signer)
    headers = headers_of(response)
    assert headers.get("X-Channel") == channel
    assert headers.get("X-Dialed-Number") == dialed
    call = arrive(response)
    assert (call.caller, call.channel, call.dialed) == (caller, channel, dialed)
    assert call.parent_call_sid == (SID if signer else None)


@reported("voice_webhook", has="params")
def test_reported_callers_have_a_caller_id_that_twilio_takes(case: dict[str, Any]) -> None:
    given, right = case["input"], case["right"]
    response = dial_openai(PROJECT, voice=VoiceWebhook.read(urlencode(given["params"])))
    caller_id = only(response, "Dial").get("callerId")
    assert re.fullmatch(right.get("sip_caller_id_pattern", "[A-Za-z0-9+_.-]*"), caller_id or "")
    if right["caller_number"]:
        assert caller_id == right["caller_number"]
    assert headers_of(response).get("X-Channel") == right["channel"].replace("client", "sip")


def test_the_context_comes_back_with_all_that_voice_says() -> None:
    response = dial_openai(
        PROJECT, voice=Voice(), context={"tier": "gold & <silver>"}, signer=SIGNER, refer_url="/refer"
    )
    call = arrive(response)
    assert dict(call.context) == {"tier": "gold & <silver>"}
    assert call.signed_context is not None
    assert call.signed_context.parent_call_sid == SID
    assert call.signed_context.channel == "phone"
    assert call.signed_context.dialed == "+14155550199"
    assert call.signed_context.refer_url is True


def test_the_signed_channel_and_number_win_over_forged_headers() -> None:
    response = dial_openai(PROJECT, voice=Voice("+5511987650001", "whatsapp", "+551130000001"), signer=SIGNER)
    forged = [(name, "phone" if name == "X-Channel" else value) for name, value in headers_of(response)]
    context = SIGNER.verify(SipHeaders(forged), now=time.time())
    assert getattr(context, "channel", None) == "whatsapp"


def test_with_a_secret_the_context_is_signed_even_without_values() -> None:
    content = signed(headers_of(dial_openai(PROJECT, voice=Voice(), signer=SIGNER)).get(CONTEXT_HEADER) or "")
    assert content["c"] == {}
    assert (content["p"], content["w"], content["d"], content["r"]) == (SID, "phone", "+14155550199", False)


def test_the_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", SECRET)
    assert dict(arrive(dial_openai(PROJECT, context={"tier": "gold"})).context) == {"tier": "gold"}
    assert CONTEXT_HEADER in headers_of(dial_openai(PROJECT, voice=Voice()))
    assert CONTEXT_HEADER not in headers_of(dial_openai(PROJECT, headers={"X-A": "1"}))


def test_a_context_without_a_secret_is_a_mistake_of_the_configuration() -> None:
    for voice in (None, Voice()):
        with pytest.raises(ConfigurationError, match="pass signer, or set REALTIME_SIP_CONTEXT_SECRET"):
            dial_openai(PROJECT, voice=voice, context={"tier": "gold"})


@pytest.mark.parametrize(
    "context",
    [
        {"tier": "a\r\nX-Evil: 1"},
        {"tier": "x" * 257},
        {"a": "x" * 256, "b": "x" * 256},
        {"t t": "x"},
        {"tier": 7},
        [("tier", "gold")],
    ],
)
def test_a_context_that_cannot_be_signed_is_refused(context: Any) -> None:
    with pytest.raises(InvalidRequestError, match="context"):
        dial_openai(PROJECT, context=context, signer=SIGNER)


def test_the_largest_context_fits_beside_our_headers_and_leaves_room_for_the_programs() -> None:
    context = {"a": "x" * 256, "b": "x" * 90}
    response = dial_openai(
        PROJECT,
        voice=Voice(caller="+" + "9" * 15, channel="whatsapp", dialed="+" + "9" * 15),
        context=context,
        signer=SIGNER,
        headers={"X-A": "1" * 100},
    )
    assert dict(arrive(response).context) == context


# --- warnings, each once -------------------------------------------------------------------------------------------


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.name for record in caplog.records} <= {"realtime_sip.twilio"}
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.getMessage() for record in caplog.records]


def test_without_voice_what_is_unknown_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        dial_openai(PROJECT)
    (message,) = warned(caplog)
    assert "the channel and the dialed number are unknown" in message


def test_without_a_secret_what_is_off_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        dial_openai(PROJECT, voice=Voice())
    (message,) = warned(caplog)
    assert "the fallback of a transfer and the carrier's callbacks are off" in message
    assert "0100" not in message


def test_a_verb_before_it_is_seen_and_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        response = VoiceResponse()
        response.say("One moment.")
        dial_openai(PROJECT, into=response, voice=Voice(), signer=SIGNER)
        assert [child.tag for child in read(response)] == ["Say", "Dial"]
    (message,) = warned(caplog)
    assert "not the first verb" in message


def test_all_that_it_needs_leaves_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    response = dial_openai(PROJECT, voice=Voice(), into=VoiceResponse(), signer=SIGNER)
    assert uri_of(response).param("transport") == "tls"
    assert warned(caplog) == []
