"""Whatever an argument holds is refused, or is a value: no element, attribute, parameter or header comes of it."""

from __future__ import annotations

import functools
import inspect
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twiml_reading import SID, Voice, headers_of, only, read, shape, uri_of

from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.sip import ContextSigner, SipUri
from realtime_sip.sip.signed_context import SignedContext
from realtime_sip.twilio import twiml

SIGNER = ContextSigner("a context secret of the tests")
WORKFLOW = "WW" + "0" * 32

# What ends a value in XML, in a URI and in a header, alone and among other text.
PIECES = [
    *('"', "'", "<", ">", "&", "&lt;", "&#10;", "]]>", "<!--", "</Sip><Number>+1900</Number><Sip>", '"/><Hangup/>'),
    *(";", "?", "=", "%", "%0d%0aX-Evil:1", "@", "@evil.example.com", ";transport=udp", "?edge=dublin", "&X-Evil=1"),
    *("\r", "\n", "\r\nX-Evil: 1", "\t", "\x00", "\x0b", "\x85", "\u2028", "\ud800", "\ufffe", " ", ":", "é", "日本"),
    *("proj_a", "+14155550100", "whatsapp:", "https://example.com/", "/a", "sip:", "a", "1", "CA", WORKFLOW, SID),
]
HOSTILE = st.one_of(st.lists(st.sampled_from(PIECES), max_size=5).map("".join), st.text(max_size=30))

BUILDERS: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
    "dial_openai": (
        twiml.dial_openai,
        {
            "project": "proj_abc",
            "region": "br1",
            "host": "sip.api.openai.com",
            "caller_id": "+14155550100",
            "action": "/a",
            "refer_url": "/r",
            "record": "record-from-answer",
            "recording_status_callback": "/c",
            "status_callback": "/s",
        },
    ),
    "dial_openai by edge": (twiml.dial_openai, {"project": "proj_abc", "edge": "dublin"}),
    "dial_whatsapp": (
        twiml.dial_whatsapp,
        {"to": "+14155550100", "caller_id": "whatsapp:+14155550100", "action": "/a", "status_callback": "/s"},
    ),
    "enqueue_flex": (twiml.enqueue_flex, {"workflow_sid": WORKFLOW, "action": "/a", "wait_url": "/w"}),
    "reject": (twiml.reject, {"reason": "busy"}),
    "say": (twiml.say, {"message": "Hello.", "language": "pt-BR", "voice": "Polly.Camila"}),
    "voicemail": (
        twiml.voicemail,
        {"greeting": "Hi.", "action": "/a", "language": "en", "voice": "alice", "recording_status_callback": "/c"},
    ),
    "press": (twiml.press, {"digits": "1w2"}),
    "transfer_to": (
        functools.partial(twiml.transfer_to, SipUri.parse("sip:desk@pbx.example.com"), channel="phone"),
        {"caller_id": "+14155550100", "action": "/a", "status_callback": "/s"},
    ),
    "warm_transfer_wait": (
        twiml.warm_transfer_wait,
        {"room": "room", "action": "/a", "wait_url": "/w", "status_callback": "/s"},
    ),
    "warm_transfer_join": (
        twiml.warm_transfer_join,
        {"room": "room", "summary": "Hi.", "language": "en", "voice": "alice", "status_callback": "/s"},
    ),
}
# Numbers and switches, what is read and not written, and what has a law of its own below.
NO_TEXT = {
    *("into", "signer", "secure", "timeout", "time_limit", "priority", "pause", "max_length", "permission"),
    *("channel", "target", "context", "headers", "task", "status_callback_events"),
}
ARGUMENTS = [(name, argument) for name, (_, good) in BUILDERS.items() for argument in good]


def values(element: Any) -> list[str]:
    return [element.text or "", *element.attrib.values(), *(value for child in element for value in values(child))]


def test_every_argument_of_every_builder_is_tried_here() -> None:
    tried: dict[str, set[str]] = {}
    for name, (_, good) in BUILDERS.items():
        tried.setdefault(name.partition(" ")[0], set()).update(good)
    for name in twiml.__all__:
        builder = getattr(twiml, name)
        returns = str(getattr(builder, "__annotations__", {}).get("return", ""))
        if inspect.isfunction(builder) and returns in ("VoiceResponse", "AnyResponse"):
            read_only = {"voice"} if name == "dial_openai" else set[str]()  # the webhook that is answered
            assert set(inspect.signature(builder).parameters) - tried[name] - NO_TEXT - read_only == set(), name


@pytest.mark.parametrize(("builder", "argument"), ARGUMENTS, ids=str)
@given(hostile=HOSTILE)
def test_law_no_argument_writes_twiml(builder: str, argument: str, hostile: str) -> None:
    build, good = BUILDERS[builder]
    right = build(**good)
    try:
        response = build(**{**good, argument: hostile})
    except (InvalidRequestError, ConfigurationError):
        return
    assert shape(read(response)) == shape(read(right))
    written = values(read(response))
    # XML reads a line end in an attribute as a space; none gets into one here.
    assert any(hostile in value for value in written) or (argument == "to" and hostile.startswith("whatsapp:"))
    if build is twiml.dial_openai:
        assert [name for name, _ in uri_of(response).params] == [name for name, _ in uri_of(right).params]
        assert uri_of(response).param("transport") == "tls"
        assert uri_of(response).headers == ()


@given(events=st.lists(HOSTILE | st.sampled_from(["ringing", "completed"]), max_size=3))
def test_law_no_event_writes_another(events: list[Any]) -> None:
    try:
        response = twiml.dial_openai("proj_abc", status_callback="/s", status_callback_events=events)
    except InvalidRequestError:
        return
    assert set(events) <= {"ringing", "completed"}
    assert only(response, "Dial/Sip").attrib == {"statusCallback": "/s", "statusCallbackEvent": " ".join(events)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=5,
)


@given(task=st.dictionaries(HOSTILE, JSON, max_size=3))
def test_law_no_task_writes_twiml(task: dict[str, Any]) -> None:
    try:
        response = twiml.enqueue_flex(WORKFLOW, task=task)
    except InvalidRequestError:
        return
    assert shape(read(response)) == shape(read(twiml.enqueue_flex(WORKFLOW, task={})))
    assert json.loads(only(response, "Enqueue/Task").text or "") == task


@given(name=HOSTILE, value=HOSTILE)
def test_law_no_header_writes_another(name: str, value: str) -> None:
    for header in (name, "X-" + name, "X-Order"):
        try:
            response = twiml.dial_openai("proj_abc", headers={header: value})
        except InvalidRequestError:
            continue
        assert uri_of(response).headers == ((header, value),)
        assert uri_of(response).params == (("transport", "tls"),)
        assert "\r" not in str(response)
        assert "\n" not in str(response)


@given(key=HOSTILE, value=HOSTILE)
def test_law_no_context_writes_a_header(key: str, value: str) -> None:
    for context in ({key: value}, {"key": value}):
        try:
            response = twiml.dial_openai("proj_abc", voice=Voice(), context=context, signer=SIGNER)
        except InvalidRequestError:
            continue
        assert [name for name, _ in headers_of(response)] == ["X-Channel", "X-Dialed-Number", "X-Realtime-Sip-Context"]
        verified = SIGNER.verify(headers_of(response), now=time.time())
        assert isinstance(verified, SignedContext)
        assert dict(verified.values) == context


@given(caller=HOSTILE, user_id=HOSTILE, dialed=HOSTILE, sid=HOSTILE, channel=st.sampled_from(["phone", "whatsapp"]))
def test_law_no_webhook_writes_twiml(caller: str, user_id: str, dialed: str, sid: str, channel: str) -> None:
    right = twiml.dial_openai("proj_abc", voice=Voice(), signer=SIGNER)
    for voice in (
        Voice(caller=caller, channel=channel),
        Voice(caller=None, channel=channel, user_id=user_id),
        Voice(dialed=dialed),
        Voice(call_sid=sid),
    ):
        for signer in (None, SIGNER):
            try:
                response = twiml.dial_openai("proj_abc", voice=voice, signer=signer)
            except InvalidRequestError:
                continue
            found = shape(read(response))
            assert found in (shape(read(right)), shape(read(twiml.dial_openai("proj_abc"))))
            assert {name for name, _ in headers_of(response)} <= {name for name, _ in headers_of(right)}
            assert ":" not in only(response, "Dial").get("callerId", "")


@given(
    st.lists(st.sampled_from(["?edge=dublin", ";transport=tls", "&secure=true", ";edge=dublin", "?X-A=1", "&", ";"]))
)
def test_law_a_uri_that_twilio_misreads_cannot_be_dialed(pieces: list[str]) -> None:
    uri = "sip:proj_abc@sip.api.openai.com" + "".join(pieces)
    response = twiml.VoiceResponse()
    try:
        response.dial().sip(uri)
    except InvalidRequestError:
        return
    address, _, headers = uri.partition("?")
    assert "&" not in address
    assert "edge=" not in headers
    assert "transport=tls&" not in uri
