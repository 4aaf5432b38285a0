"""Where a transfer leads, by who calls: TwiML for a number, an app, a SIP address or a queue, or a clear refusal."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("twilio")

from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import VoiceResponse as TwiliosOwn
from twiml_reading import only, read

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip import SipUri
from realtime_sip.twilio import twiml
from realtime_sip.twilio.webhooks import ReferTarget

WORKFLOW = "WW" + "0" * 32
CALLER, OURS = "+5511987650001", "+14155550199"
PHONES = ["<tel:+14155550123>", "<sip:+14155550123@pbx.example.com;user=phone>", "sip:+14155550123@x.pstn.twilio.com"]
CHANNELS = ["phone", "whatsapp", "sip", "client"]


def to(target: str, channel: Any, caller_id: str | None = OURS, **more: Any) -> twiml.VoiceResponse:
    response: twiml.VoiceResponse = twiml.transfer_to(
        ReferTarget.parse(target), channel=channel, caller_id=caller_id, **more
    )
    return response


@pytest.mark.parametrize("channel", ["phone", "sip", "client"])
def test_a_caller_is_connected_to_a_number(channel: str) -> None:
    response = to("<tel:+1-415-555-0123>", channel, timeout=20, time_limit=600, action="/after")
    dial = only(response, "Dial")
    assert dial.attrib == {"callerId": OURS, "timeout": "20", "timeLimit": "600", "action": "/after"}
    assert [(each.tag, each.text) for each in dial] == [("Number", "+14155550123")]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_caller_is_connected_to_an_app_a_sip_address_and_a_queue(channel: str) -> None:
    called = "https://a.example/s"
    client = only(to("<sip:anna@client.invalid>", channel, CALLER, status_callback=called), "Dial/Client")
    assert (client.text, client.attrib) == (
        "anna",
        {"statusCallback": called, "statusCallbackEvent": "answered completed"},
    )
    sip = to("sip:desk@pbx.example.com;transport=tls", channel, CALLER, status_callback=called)
    assert only(sip, "Dial/Sip").text == "sip:desk@pbx.example.com;transport=tls"
    assert only(sip, "Dial").get("callerId") == CALLER
    assert only(to("sip:support@queue.invalid", channel, action="/left"), "Enqueue").text == "support"
    flex = to(f"sip:{WORKFLOW}@queue.invalid", channel, task={"summary": "A refund."})
    assert only(flex, "Enqueue").get("workflowSid") == WORKFLOW
    assert only(flex, "Enqueue/Task").text == '{"summary":"A refund."}'


@pytest.mark.parametrize("target", PHONES)
def test_law_no_phone_network_for_callers_on_whatsapp(target: str) -> None:
    for channel, why in (("whatsapp", "takes no WhatsApp callers"), (None, "not known")):
        into = twiml.VoiceResponse()
        with pytest.raises(InvalidRequestError, match=why):
            to(target, channel, into=into)
        assert into.verbs == []
    assert to(target, "phone").verbs


@given(
    st.from_regex(r"\A<?(sip|sips|tel):[+a-z0-9]{1,12}(@(client|queue|pbx|a\.pstn\.twilio)\.(invalid|com))?>?\Z"),
    st.sampled_from([None, CALLER, "anonymous"]),
)
def test_law_no_target_gives_a_whatsapp_caller_a_number(target: str, caller_id: str | None) -> None:
    try:
        response = to(target, "whatsapp", caller_id)
    except InvalidRequestError:
        return
    assert not {element.tag for element in read(response).iter()} - {"Response", "Dial", "Client", "Sip", "Enqueue"}


@pytest.mark.parametrize(
    ("target", "channel"),
    [
        *((each, "whatsapp") for each in ("sip:desk@pbx.example.com", "sip:anna@client.invalid")),
        *(("tel:+14155550123", channel) for channel in ("sip", "client")),
        ("sip:desk@pbx.example.com", "client"),
    ],
)
def test_a_caller_whose_own_address_is_refused_needs_a_caller_id(target: str, channel: str) -> None:
    with pytest.raises(InvalidRequestError, match="own is refused"):
        to(target, channel, None)


def test_what_is_no_number_is_not_shown_to_a_number() -> None:
    assert only(to("tel:+14155550123", "phone", "anonymous"), "Dial").attrib == {}
    with pytest.raises(InvalidRequestError, match="number of yours"):
        to("tel:+14155550123", "sip", "anna")


def test_headers_of_the_target_go_on_as_far_as_twilio_passes_them() -> None:
    target = "<sip:desk@pbx.example.com?X-Order=7%20%26%208&Replaces=abc&User-to-User=ff%3Bencoding%3Dhex>"
    uri = only(to(target, "phone"), "Dial/Sip").text
    assert uri == "sip:desk@pbx.example.com?X-Order=7%20%26%208&User-to-User=ff%3Bencoding%3Dhex"


def test_the_target_of_a_fallback_is_taken_as_well() -> None:
    response = twiml.transfer_to(SipUri.parse("sip:anna@client.invalid"), channel="phone")
    assert only(response, "Dial/Client").text == "anna"


def test_it_is_appended_to_twilios_own_response() -> None:
    into = TwiliosOwn()
    into.say("One moment.")
    assert twiml.transfer_to(ReferTarget.parse("tel:+14155550123"), channel="phone", into=into) is into
    assert [verb.name for verb in into.verbs] == ["Say", "Dial"]


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("mailto:anna@example.com", "cannot be read"),
        ("", "cannot be read: empty"),
        ("sip:client.invalid", "cannot be read: no name"),
        (f"sip:{'a' * 200}@queue.invalid", "must be named by"),
        ("sip:%20a@client.invalid", "must be named by"),
        ("sip:desk@pbx.example.com;transport=ws", "transport"),
    ],
)
def test_a_target_that_leads_nowhere_is_refused(target: str, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        to(target, "phone")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("channel", "fax"), ("caller_id", "whatsapp:+1"), ("timeout", 1), ("action", ""), ("status_callback", "a b")],
)
def test_arguments_are_checked(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {"channel": "phone", argument: value}
    with pytest.raises(InvalidRequestError, match=argument):
        twiml.transfer_to(ReferTarget.parse("tel:+14155550123"), **arguments)
    with pytest.raises(InvalidRequestError, match="ReferTarget"):
        twiml.transfer_to("tel:+14155550123", channel="phone")  # type: ignore[arg-type]
