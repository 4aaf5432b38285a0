"""TwiML that goes over REST: no path in it, as there is no document to which it could be relative."""

from __future__ import annotations

import pytest

pytest.importorskip("twilio.twiml", reason="needs the extra twilio")

from realtime_sip.twilio import twiml
from realtime_sip.twilio.inline import problem_of

WORKFLOW = "WW" + "0" * 31 + "1"


def response(body: str) -> str:
    return f"<Response>{body}</Response>"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('<Dial action="/after"><Number>+12025550143</Number></Dial>', "action of <Dial>"),
        ('<Dial referUrl="refer"><Sip>sip:a@example.com</Sip></Dial>', "referUrl of <Dial>"),
        ('<Dial><Sip statusCallback="/status">sip:a@example.com</Sip></Dial>', "statusCallback of <Sip>"),
        ('<Dial><Conference waitUrl="//example.com/wait">room</Conference></Dial>', "waitUrl of <Conference>"),
        ('<Record action="https://a.example" recordingStatusCallback="/r"/>', "recordingStatusCallback of <Record>"),
        ("<Redirect>/voice</Redirect>", "in <Redirect>"),
        ("<Redirect/>", "in <Redirect>"),
        ("<Play>music.mp3</Play>", "in <Play>"),
        ("<Record/>", "<Record> without action"),
        ('<Dial action="http://[">1</Dial>', "action of <Dial>"),
        ("<Dial>", "must be XML"),
        ("\ud800", "must be XML"),
    ],
)
def test_a_path_is_named_by_its_place(body: str, place: str) -> None:
    problem = problem_of(response(body))
    assert problem is not None
    assert place in problem


@pytest.mark.parametrize(
    "body",
    [
        '<Dial action="https://a.example/after" referUrl="http://a.example"><Sip>sip:a@example.com</Sip></Dial>',
        '<Dial><Conference waitUrl="" statusCallbackEvent="start end">room</Conference></Dial>',
        '<Dial><Sip statusCallback="https://a.example/s" statusCallbackMethod="POST">sip:a@b.example</Sip></Dial>',
        "<Redirect>https://a.example/voice</Redirect>",
        '<Play digits="12"/><Say>see /after</Say><Pause length="1"/><Hangup/>',
        '<Connect><Stream url="wss://a.example/audio"/></Connect>',
    ],
)
def test_whole_urls_and_what_is_no_url_pass(body: str) -> None:
    assert problem_of(response(body)) is None


def test_what_the_builders_give_passes_with_whole_urls() -> None:
    whole = "https://voice.example.com/next"
    document: twiml.VoiceResponse = twiml.say("Olá /after & <b>")
    twiml.dial_openai("proj_abc123", action=whole, refer_url=whole, status_callback=whole, into=document)
    twiml.voicemail("Hello.", action=whole, recording_status_callback=whole, into=document)
    twiml.warm_transfer_wait("room", into=document)
    twiml.enqueue_flex(WORKFLOW, task={"summary": "/after"}, into=document)
    assert problem_of(str(document)) is None
