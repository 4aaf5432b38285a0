"""The other answers of a voice webhook: what they write, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twilio.twiml import voice_response as vendor
from twiml_reading import SID, only, read

from realtime_sip.errors import InvalidRequestError
from realtime_sip.twilio import twiml
from realtime_sip.twilio.inline import document_of
from realtime_sip.twilio.twiml import VoiceResponse

WORKFLOW = "WW" + "0123456789abcdef" * 2
SENDER = "whatsapp:+551130000001"
USER = "+5511987650001"


def body(response: VoiceResponse) -> str:
    return response.to_xml(xml_declaration=False)


@pytest.mark.parametrize(
    ("response", "xml"),
    [
        (
            twiml.dial_whatsapp(USER, SENDER),
            f'<Dial callerId="{SENDER}"><WhatsApp>{USER}</WhatsApp></Dial>',
        ),
        (
            twiml.dial_whatsapp(
                f"whatsapp:{USER}", SENDER, timeout=20, time_limit=600, action="/a", status_callback="/s"
            ),
            (
                f'<Dial action="/a" callerId="{SENDER}" timeLimit="600" timeout="20">'
                f'<WhatsApp statusCallback="/s">{USER}</WhatsApp></Dial>'
            ),
        ),
        (
            twiml.enqueue_flex(WORKFLOW),
            f'<Enqueue action="" method="POST" workflowSid="{WORKFLOW}">call</Enqueue>',
        ),
        (
            twiml.enqueue_flex(
                WORKFLOW, task={"summary": 'a "b" & <c>'}, priority=2, action="/left", wait_url="/music"
            ),
            (
                f'<Enqueue action="/left" method="POST" waitUrl="/music" workflowSid="{WORKFLOW}">'
                '<Task priority="2">{"summary":"a \\"b\\" &amp; &lt;c&gt;"}</Task></Enqueue>'
            ),
        ),
        (twiml.reject(), '<Reject reason="rejected" />'),
        (twiml.reject("busy"), '<Reject reason="busy" />'),
        (twiml.say("Olá & <tchau>"), "<Say>Olá &amp; &lt;tchau&gt;</Say>"),
        (
            twiml.say("Olá", language="pt-BR", voice="Polly.Camila"),
            '<Say language="pt-BR" voice="Polly.Camila">Olá</Say>',
        ),
        (
            twiml.voicemail("Leave a message.", action="/bye", recording_status_callback="/recorded", voice="alice"),
            (
                '<Say voice="alice">Leave a message.</Say><Record action="/bye" finishOnKey="#" maxLength="120" '
                'playBeep="true" recordingStatusCallback="/recorded" timeout="5" /><Hangup />'
            ),
        ),
        (
            twiml.warm_transfer_wait(SID, action="/over", wait_url="/music"),
            (
                '<Dial action="/over"><Conference beep="false" endConferenceOnExit="true" '
                f'startConferenceOnEnter="false" waitUrl="/music">{SID}</Conference></Dial>'
            ),
        ),
        (
            twiml.warm_transfer_join(SID, summary="Wants a refund.", language="en-US"),
            (
                '<Say language="en-US">Wants a refund.</Say><Dial><Conference beep="false" endConferenceOnExit="true" '
                f'startConferenceOnEnter="true">{SID}</Conference></Dial>'
            ),
        ),
        (
            twiml.warm_transfer_join(SID),
            (
                '<Dial><Conference beep="false" endConferenceOnExit="true" startConferenceOnEnter="true">'
                f"{SID}</Conference></Dial>"
            ),
        ),
    ],
)
def test_what_is_written(response: VoiceResponse, xml: str) -> None:
    assert body(response) == f"<Response>{xml}</Response>"


def test_the_answer_is_what_twilio_takes_for_twiml() -> None:
    answer = twiml.reject()
    assert answer.content_type == "text/xml"
    assert str(answer).startswith('<?xml version="1.0" encoding="UTF-8"?><Response>')


BAD_URLS: list[Any] = ["", "a b", "ftp://example.com", "//example.com", '/"', 7]
BAD_TEXTS: list[Any] = ["", " ", "x" * 4097, "a\x00", "a\x1b[31m", "a\ud800", "a\ufffe", None, 7]


@pytest.mark.parametrize(
    ("build", "good", "bad"),
    [
        (
            twiml.dial_whatsapp,
            {"to": USER, "caller_id": SENDER},
            {
                "to": ["5511987650001", "BR.1502576394655843", "+55 11 98765 0001", "", None, f"{USER}\n"],
                "caller_id": [
                    "+551130000001",
                    "WhatsApp:+551130000001",
                    "whatsapp:551130000001",
                    "whatsapp:BR.1",
                    "",
                    None,
                    f"{SENDER}\n",
                ],
                "timeout": [4, 601, "20", 20.0],
                "time_limit": [0, 86401],
                "action": BAD_URLS,
                "status_callback": BAD_URLS,
                "into": ["<Response/>", 7],
            },
        ),
        (
            twiml.enqueue_flex,
            {"workflow_sid": WORKFLOW, "task": {}},
            {
                "workflow_sid": [
                    "[TASKROUTER_WORKFLOW_SID]",
                    "WW1",
                    WORKFLOW + "0",
                    WORKFLOW + "\n",
                    None,
                    "AC" + "0" * 32,
                ],
                "task": ["{}", [], {"a": float("nan")}, {"a": object()}, {"a": "x" * 16384}, 7],
                "priority": [-1, 1.5, True, "1"],
                "action": BAD_URLS[1:],
                "wait_url": BAD_URLS,
                "into": ["<Response/>"],
            },
        ),
        (twiml.reject, {}, {"reason": ["no", "", None, '"/><Dial']}),
        (
            twiml.say,
            {"message": "Hello."},
            {
                "message": BAD_TEXTS,
                "language": ["", "português", 'pt"', 7],
                "voice": ["", "a b", 'a"b'],
                "into": ["<Response/>"],
            },
        ),
        (
            twiml.voicemail,
            {"greeting": "Hello.", "action": "/bye"},
            {
                "greeting": BAD_TEXTS,
                "action": [*BAD_URLS, None],
                "max_length": [1, 86401, "60"],
                "pause": [0, 5.0],
                "language": ["?"],
                "voice": ["?"],
                "recording_status_callback": BAD_URLS,
                "into": ["<Response/>"],
            },
        ),
        (
            twiml.warm_transfer_wait,
            {"room": SID},
            {
                "room": ["", " a", "x" * 129, "a\x00b", None, "a\n"],
                "action": BAD_URLS,
                "wait_url": BAD_URLS,
                "into": ["<Response/>"],
            },
        ),
        (
            twiml.warm_transfer_join,
            {"room": SID, "summary": "x"},
            {
                "room": ["", "a ", None],
                "summary": [*BAD_TEXTS[:-2], 7],
                "language": ["?"],
                "voice": ["?"],
                "into": ["<Response/>"],
            },
        ),
    ],
)
def test_each_argument_is_checked_and_nothing_is_appended(
    build: Any, good: dict[str, Any], bad: dict[str, list[Any]]
) -> None:
    build(**good)
    for name, values in bad.items():
        for value in values:
            response = VoiceResponse()
            into = {} if build is twiml.reject else {"into": response}
            with pytest.raises(InvalidRequestError, match=f"^{build.__name__}.*{name}: ") as refused:
                build(**into | good | {name: value})
            assert not response.verbs
            assert not (isinstance(value, str) and len(value) > 12) or value not in str(refused.value)


def test_a_priority_is_that_of_a_task() -> None:
    with pytest.raises(InvalidRequestError, match="priority: is that of a task"):
        twiml.enqueue_flex(WORKFLOW, priority=1)


def test_a_task_is_json_that_comes_back() -> None:
    task = {"summary": "Über </Task> & \n\x00", "nested": {"a": [1, None, True]}}
    assert json.loads(only(twiml.enqueue_flex(WORKFLOW, task=task), "Enqueue/Task").text or "") == task


@pytest.mark.parametrize(
    "words", ["Не дошла посылка. ", "रिफंड चाहिए। ", "返金を希望。 ", "Não recebi o código à noite. "]
)
def test_law_a_task_in_any_language_fits_into_a_redirect(words: str) -> None:
    """Twilio takes 4000 characters over REST; in ASCII, 650 of Russian are more, and the caller goes nowhere."""
    summary = (words * 200)[:2000]
    response = twiml.enqueue_flex(WORKFLOW, task={"reason": words, "summary": summary}, action="https://a.example/q")
    assert len(document_of(response)) < 2400
    assert json.loads(only(response, "Enqueue/Task").text or "")["summary"] == summary


@pytest.mark.parametrize("odd", ["\ud800", "\ufffe", "\uffff", "\x00", "\x7f", "\r\n", "\u2028", "😀", "\x85"])
def test_what_xml_cannot_hold_is_escaped_in_a_task(odd: str) -> None:
    response = twiml.enqueue_flex(WORKFLOW, task={"a": odd, odd: [odd]})
    assert json.loads(only(response, "Enqueue/Task").text or "") == {"a": odd, odd: [odd]}


@pytest.mark.parametrize(
    ("account", "flow"),
    [("ACCOUNT_SID", "FW" + "0" * 32), ("AC" + "0" * 32, "STUDIO_FLOW_SID"), ("AC" + "0" * 32 + "/x", "FW" + "0" * 32)],
)
def test_the_urls_of_studio_take_sids_alone(account: str, flow: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"account_sid|flow_sid"):
        twiml.studio_flow_url(account, flow)


def test_answers_are_joined_by_into() -> None:
    response = vendor.VoiceResponse()
    assert twiml.say("All lines are busy.", into=response) is response
    twiml.voicemail("Leave a message.", action="/bye", into=response)
    twiml.warm_transfer_wait("room", into=response)
    twiml.warm_transfer_join("room", summary="x", into=response)
    twiml.enqueue_flex(WORKFLOW, into=response)
    twiml.dial_whatsapp(USER, SENDER, into=response)
    assert [verb.tag for verb in read(response)] == [
        *("Say", "Say", "Record", "Hangup", "Dial", "Say", "Dial", "Enqueue", "Dial"),
    ]


def test_nothing_here_dials_the_phone_network() -> None:
    written = [
        twiml.dial_openai("proj_abc"),
        twiml.dial_whatsapp(USER, SENDER),
        twiml.enqueue_flex(WORKFLOW),
        twiml.voicemail("Hello.", action="/bye"),
        twiml.warm_transfer_wait("room"),
        twiml.warm_transfer_join("room", summary="x"),
    ]
    assert not any(element.tag == "Number" for response in written for element in read(response).iter())
    assert not any((element.text or "").strip() for response in written for element in read(response).iter("Dial"))
