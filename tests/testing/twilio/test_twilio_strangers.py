"""What nobody should send: the stand-in refuses it in its own words, and knows as much as twilio's own builder."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio_program import Program

from emulated import virtual
from realtime_sip.testing import ScenarioError, TwilioEmulator
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.sip_uri import read_target
from realtime_sip.testing.twilio.twiml import _ATTRIBUTES, _INSIDE, Verb, parse

NAMES = st.sampled_from(["Response", "Dial", "Sip", "Say", "Enqueue", "Task", "Number", "Headers", "Header", "x"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
URI = st.text("sip:proj_abc@.openai;=?&%X-aZ0é\r\n \x00", max_size=60)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    name = draw(NAMES)
    inside = draw(TEXT) if depth == 0 else "".join(draw(st.lists(elements(depth - 1), max_size=3)))
    attribute = draw(st.sampled_from(["", 'timeout="x"', "a='&amp;'", 'b="<"']))
    return f"<{name} {attribute}>{inside}</{name}>"


@given(st.one_of(elements(), TEXT, elements().map(lambda inside: f"<Response>{inside}</Response>")))
def test_any_text_is_a_document_or_is_refused_with_a_code(text: str) -> None:
    with contextlib.suppress(TwilioRefusal):
        document = parse(text)
        assert all(isinstance(verb, Verb) for verb in document.verbs)


@given(st.one_of(URI, URI.map(lambda text: f"sip:proj_a@sip.api.openai.com{text}")))
def test_any_uri_is_read_or_refused_and_no_header_has_a_control_character(text: str) -> None:
    with contextlib.suppress(TwilioRefusal):
        target = read_target(Verb("Sip", text=text))
        assert all(value.isprintable() or not value.isascii() for _, value in target.headers)
        assert len(text.partition("?")[0]) < 255


ODD = st.sampled_from(["", "0", "-1", "inf", "nan", "1e99", "true", "/voice", "http://[", "mailto:x", "whatsapp:+1"])
CALLERS = st.sampled_from(["+14155550100", "whatsapp:BR.1", "sip:a@b.example", "Anonymous"])


@st.composite
def verbs(draw: st.DrawFn) -> str:
    """Write a verb as a program might: the right names, and any values."""
    name = draw(st.sampled_from(sorted(_INSIDE["Response"])))
    inside = draw(st.sampled_from(["", "hello", "/voice"]))
    if name in _INSIDE and draw(st.booleans()):
        noun = draw(st.sampled_from(sorted(_INSIDE[name])))
        text = draw(st.sampled_from(["", "+14155550101", "room", "sip:a@b.example", "sip:proj_a@sip.api.openai.com"]))
        inside = f"<{noun}{draw(attributes(noun))}>{text}</{noun}>"
    return f"<{name}{draw(attributes(name))}>{inside}</{name}>"


def attributes(name: str) -> st.SearchStrategy[str]:
    """Write some of the attributes that an element has."""
    known = _ATTRIBUTES[name].split()
    chosen = st.dictionaries(st.sampled_from(known), ODD, max_size=3) if known else st.just(dict[str, str]())
    return chosen.map(lambda given: "".join(f' {each}="{value}"' for each, value in given.items()))


@settings(max_examples=60, deadline=None)
@given(st.lists(verbs(), max_size=4), CALLERS)
@virtual
async def test_whatever_twiml_says_the_call_comes_to_its_end_and_the_stand_in_makes_no_mistake(
    written: list[str], from_: str
) -> None:
    async with (
        Program(voice=f"<Response>{''.join(written)}</Response>") as program,
        TwilioEmulator(strict=False) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", from_=from_, fallback_url=f"{program.url}/fallback")
        with contextlib.suppress(ScenarioError):  # a conference of one ends when they leave
            await call.ended(timeout=10_000)
        call.hang_up()
        await call.ended()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Calls", "Messages", "Conferences", "Conferences/x/Participants", "Calls/CA1", "%2F/.."]),
            st.dictionaries(st.sampled_from(["To", "From", "Twiml", "Url", "Timeout", "Status", "Body"]), TEXT),
        ),
        min_size=1,
        max_size=10,
    )
)
@virtual
async def test_rest_answers_whatever_is_posted_with_json_and_no_failure_of_its_own(asked: list[Any]) -> None:
    async with TwilioEmulator(strict=False) as twilio, httpx.AsyncClient(trust_env=False) as client:
        base = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}"
        for path, form in asked:
            auth = (twilio.account_sid, twilio.auth_token)
            response = await client.post(f"{base}/{path}.json", data=form, auth=auth)
            assert 200 <= response.status_code < 500
            assert isinstance(response.json(), dict)


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer x", "Basic /w=="])
@virtual
async def test_credentials_that_are_not_valid_are_refused(header: str) -> None:
    async with TwilioEmulator() as twilio, httpx.AsyncClient(trust_env=False) as client:
        url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}/Calls.json"
        response = await client.get(url, headers={"authorization": header})
        assert (response.status_code, response.json()["code"]) == (401, 20003)


def test_every_attribute_that_twilio_s_builder_writes_is_known() -> None:
    builder = pytest.importorskip("twilio.twiml.voice_response", reason="needs the package twilio")
    missing = []
    for parent, name, method in _methods(builder):
        known = {_plain(attribute) for attribute in _ATTRIBUTES[name].split()}
        parameters = set(inspect.signature(method).parameters) - {"self", "kwargs"} - BODIES
        missing += [f"{parent}.{name}.{each}" for each in parameters if _plain(each) not in known]
    assert missing == []


BODIES = {
    *("message", "number", "phone_number", "identity", "sip_url", "name", "url", "body", "digits", "length", "reason"),
    *("client_sid", "sim_sid", "application_sid", "queue_name"),
}
"""Parameters that become text, or are attributes that the tables have anyway."""


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _methods(builder: Any) -> list[tuple[str, str, Any]]:
    found = []
    for parent, cls in (("Response", "VoiceResponse"), ("Dial", "Dial"), ("Enqueue", "Enqueue")):
        for name in _INSIDE[parent]:
            method = {"WhatsApp": "whats_app"}.get(name, name.lower())
            found.append((parent, name, getattr(getattr(builder, cls), method)))
    return found
