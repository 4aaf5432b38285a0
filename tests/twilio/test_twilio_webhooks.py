"""What Twilio's webhooks say, typed: calls, messages, recordings, and where a caller is to be transferred."""

from __future__ import annotations

import doctest
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reported import reported

from realtime_sip import TransferTarget
from realtime_sip.errors import ConfigurationError, WebhookPayloadError
from realtime_sip.twilio import address as address_module
from realtime_sip.twilio import refer_target as refer_module
from realtime_sip.twilio import status as status_module
from realtime_sip.twilio import webhooks as webhooks_module
from realtime_sip.twilio.form import MAX_FIELDS, MAX_FORM, signed_form
from realtime_sip.twilio.webhooks import (
    CallPermissionReply,
    CallStatusCallback,
    CallWebhook,
    DialResult,
    IncomingMessage,
    MessageStatusCallback,
    QueueResult,
    RecordingCallback,
    ReferRequest,
    ReferTarget,
    TwilioAddress,
    TwilioWebhook,
    UnknownTwilioWebhook,
    VoiceWebhook,
    is_final,
    is_news,
    read_webhook,
)

CALL = {
    "CallSid": "CA" + "1" * 32,
    "AccountSid": "AC" + "1" * 32,
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
    "From": "+14155550100",
    "To": "+12025550101",
    "FromCountry": "US",
    "FromCity": "SAN FRANCISCO",
}
MESSAGE = {
    "MessageSid": "SM" + "1" * 32,
    "AccountSid": "AC" + "1" * 32,
    "From": "whatsapp:+5511987650001",
    "To": "whatsapp:+551130000001",
    "Body": "hello",
    "WaId": "5511987650001",
    "ProfileName": "Ann",
    "SmsStatus": "received",
}
REPLY = MESSAGE | {"Body": "VOICE_CALL_REQUEST", "ButtonText": "VOICE_CALL_REQUEST", "ButtonPayload": "ACCEPTED"}
OVER = CALL | {"CallStatus": "in-progress", "DialCallStatus": "completed"}
RECORDED = {"RecordingSid": "RE" + "1" * 32, "CallSid": "CA" + "1" * 32, "RecordingStatus": "completed"}
KINDS: list[tuple[type[TwilioWebhook], dict[str, str]]] = [
    (VoiceWebhook, CALL),
    (VoiceWebhook, CALL | {"CallStatus": "in-progress"}),
    (VoiceWebhook, CALL | {"CallStatus": "completed", "Digits": "1"}),
    (VoiceWebhook, CALL | {"CallStatus": "completed", "RecordingUrl": "https://api.twilio.com/RE1"}),
    (VoiceWebhook, {"CallSid": "CA1"}),
    (DialResult, OVER),
    (QueueResult, CALL | {"CallStatus": "in-progress", "QueueResult": "bridged", "QueueTime": "12"}),
    (QueueResult, CALL | {"CallStatus": "completed", "QueueResult": "hangup", "QueueSid": "QU" + "1" * 32}),
    (CallStatusCallback, CALL | {"SequenceNumber": "0"}),
    (CallStatusCallback, CALL | {"CallbackSource": "call-progress-events", "CallStatus": "in-progress"}),
    (CallStatusCallback, CALL | {"CallStatus": "completed", "CallDuration": "7"}),
    (CallStatusCallback, CALL | {"CallStatus": "no-answer"}),
    (ReferRequest, CALL | {"ReferTransferTarget": "<tel:+12025550143>"}),
    (ReferRequest, CALL | {"ReferTransferTarget": ""}),
    (RecordingCallback, RECORDED),
    (IncomingMessage, MESSAGE),
    (IncomingMessage, MESSAGE | {"Body": "VOICE_CALL_REQUEST"}),
    (CallPermissionReply, REPLY),
    (MessageStatusCallback, MESSAGE | {"MessageStatus": "sent"}),
    (UnknownTwilioWebhook, {"AccountSid": "AC" + "1" * 32, "ConferenceSid": "CF1"}),
    (UnknownTwilioWebhook, {}),
]


def call(**more: str) -> VoiceWebhook:
    return VoiceWebhook.read(urlencode(CALL | more))


def values(payload: TwilioWebhook) -> dict[str, Any]:
    """Return all that a payload says, without what nothing proves."""
    names = {
        name for kind in type(payload).__mro__ for name, value in vars(kind).items() if isinstance(value, property)
    }
    return {name: getattr(payload, name) for name in names - {"extras", "sip_headers", "reply_headers"}}


@pytest.mark.parametrize("module", [address_module, refer_module, status_module, webhooks_module])
def test_docstring_examples(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_a_kind_is_told_by_what_it_has(kind: type[TwilioWebhook], fields: dict[str, str]) -> None:
    payload = read_webhook(urlencode(fields).encode())
    assert type(payload) is kind
    assert payload == kind.read(urlencode(fields))
    assert pickle.loads(pickle.dumps(payload)) == payload
    assert hash(pickle.loads(pickle.dumps(payload))) == hash(payload)


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_nobodys_words_and_numbers_are_shown(kind: type[TwilioWebhook], fields: dict[str, str]) -> None:
    payload = read_webhook(urlencode(fields | {"CallerName": "Ann Example", "X": "secret"}))
    shown = (
        f"{payload!r} {payload.fields!r} {[value for value in values(payload).values() if not isinstance(value, str)]}"
    )
    assert not re.search(r"Ann|hello|secret|SAN|\+\d", shown)


# --- who calls ---------------------------------------------------------------------------------------------------


def test_a_phone() -> None:
    voice = call(CallerName="ANN", StirVerstat="TN-Validation-Passed-A", ForwardedFrom="+12025550199", New="1")
    assert (voice.channel, voice.caller, voice.dialed) == ("phone", "+14155550100", "+12025550101")
    assert (voice.withheld, voice.callable_back, voice.caller_country) == (False, True, "US")
    assert (voice.caller_name, voice.stir_verstat, voice.sip_caller_id) == (
        "ANN",
        "TN-Validation-Passed-A",
        "+14155550100",
    )
    assert voice.forwarded_from is not None
    assert voice.forwarded_from.number == "+12025550199"
    assert voice.extras == {"FromCity": "SAN FRANCISCO", "New": "1"}
    assert (voice.call_sid, voice.account_sid) == (CALL["CallSid"], CALL["AccountSid"])


def test_an_inbound_call_by_a_twiml_app() -> None:
    app = "AP" + "1" * 32
    voice = call(From="whatsapp:+5511987650001", To="whatsapp:+551130000001", ApplicationSid=app)
    assert (voice.application_sid, voice.channel, voice.caller) == (app, "whatsapp", "+5511987650001")
    assert call().application_sid is None


@pytest.mark.parametrize(
    "text",
    ["Anonymous", "RESTRICTED", "unavailable", "Unknown", "Private", "Private Number", "No Caller ID", "", " ",
     "+266696687", "266696687", "+7378742833", "+2562533", "+8656696", "+86282452253",
     "sip:anonymous@anonymous.invalid", "sip:+266696687@192.0.2.1"],
)  # fmt: skip
def test_a_withheld_caller_is_nobody(text: str) -> None:
    voice = call(From=text, FromCountry="TH")
    assert voice.withheld
    assert voice.callable_back is False
    assert (voice.caller, voice.caller_country, voice.user_id) == (None, None, None)
    assert voice.sip_caller_id == "anonymous"
    assert voice.channel == ("sip" if text.startswith("sip:") else "phone")


def test_a_caller_that_is_missing_is_withheld() -> None:
    voice = VoiceWebhook.read("CallSid=CA1&To=whatsapp%3A%2B551130000001")
    assert (voice.withheld, voice.caller, voice.channel, voice.dialed) == (True, None, "whatsapp", "+551130000001")


@pytest.mark.parametrize("text", ["4155550100", "911", "*67", "+1"])
def test_a_number_without_its_country_is_not_guessed(text: str) -> None:
    voice = call(From=text)
    assert (voice.channel, voice.caller, voice.withheld, voice.callable_back) == ("phone", None, False, None)


def test_whatsapp_with_and_without_a_number() -> None:
    both = call(From="whatsapp:+5511987650001", ExternalUserIdentifier="BR.15", ParentExternalUserId="US.ENT.2")
    assert (both.channel, both.caller, both.user_id, both.parent_user_id) == (
        *("whatsapp", "+5511987650001"),
        *("BR.15", "US.ENT.2"),
    )
    assert (both.sip_caller_id, both.withheld, both.callable_back) == ("+5511987650001", False, None)
    alone = call(From="whatsapp:BR.5511987650001")
    assert (alone.channel, alone.caller, alone.user_id) == ("whatsapp", None, "BR.5511987650001")
    assert alone.sip_caller_id == "BR.5511987650001"


@pytest.mark.parametrize(
    "text", ["", "whatever", "BR.", "br.15", "BR." + "7" * 129, "BR.ENT.", "BR.1.2", "15", "BR.\n"]
)
def test_a_user_id_that_is_none_is_not_taken(text: str) -> None:
    assert call(From="whatsapp:+5511987650001", ExternalUserId=text).user_id is None
    assert TwilioAddress.of(f"whatsapp:{text}").user_id is None


def test_sip_and_apps() -> None:
    sip = call(From="sip:alice@pbx.example.com;x=1?y=2", SipDomain="a.sip.twilio.com", **{"SipHeader_x-route": "7"})
    assert (sip.channel, sip.caller, sip.callable_back, sip.sip_domain) == ("sip", None, None, "a.sip.twilio.com")
    assert sip.caller_address is not None
    assert (sip.caller_address.user, sip.sip_caller_id, sip.sip_headers.get("X-Route")) == ("alice", "alice", "7")
    assert call(From="Anonymous", SipDomain="a.sip.twilio.com").channel == "sip"
    nobody = call(From="client:Anonymous")
    assert (nobody.channel, nobody.withheld, nobody.sip_caller_id) == ("client", True, "anonymous")
    app = call(From="client:agent 7", To="")
    assert (app.channel, app.caller, app.dialed, app.dialed_address) == ("phone", None, None, None)
    app = call(From="client:agent_7", To="")
    assert (app.channel, app.caller, app.sip_caller_id) == ("client", None, "agent_7")


def test_sip_headers_that_cannot_be_any_do_not_lose_the_call() -> None:
    voice = call(**{"SipHeader_X-A": "a", "SipHeader_": "b", "SipHeader_a b": "c", "SipHeader_X-B": "\r\nX: 1"})
    assert list(voice.sip_headers) == [("X-A", "a")]


def test_reading_and_verifying_load_nothing_of_the_vendors() -> None:
    code = (
        "import sys; from realtime_sip.twilio import TwilioSignature, webhooks;"
        "twilio = TwilioSignature('a token', 'https://h'); body = b'CallSid=CA1';"
        "twilio.verify('/', body, twilio.sign('https://h/', body)); webhooks.read_webhook(body); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "realtime_sip.twilio.fields" in loaded
    assert not {"twilio", "httpx", "requests"} & set(loaded)


@given(st.text(max_size=80) | st.from_regex(r"(sip|whatsapp|client|tel):.{0,40}"))
def test_law_every_text_is_an_address(text: str) -> None:
    address = TwilioAddress.of(text)
    assert address.number is None or re.fullmatch(r"\+[1-9]\d{7,14}", address.number)
    assert address.sip_caller_id is None or re.fullmatch(r"[A-Za-z0-9+_.-]+", address.sip_caller_id)
    assert not (address.withheld and (address.number or address.user_id))
    assert text not in repr(address) or len(text) < 9 or text in "<TwilioAddress phone withheld problem known>"


# --- how it went -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "answered"),
    [
        ({}, True),
        ({"DialCallStatus": "answered"}, True),
        ({"DialBridged": "false"}, False),
        ({"DialCallStatus": "failed", "DialBridged": "TRUE"}, True),
        *[({"DialCallStatus": status}, False) for status in ("busy", "failed", "no-answer", "canceled")],
        ({"DialCallStatus": "new-word"}, None),
    ],
)
def test_whether_they_talked(more: dict[str, str], answered: bool | None) -> None:
    result = DialResult.read(urlencode(OVER | more))
    assert result.answered is answered
    assert result.caller_is_there is True


def test_what_is_missing_from_a_dial_stays_unknown() -> None:
    result = DialResult.read("CallSid=CA1&DialCallStatus=answered")
    assert (result.dialed_call_sid, result.duration_s, result.sip_code, result.bridged) == (None,) * 4
    assert (result.caller_is_there, result.error_message, result.recording_url) == (None,) * 3
    full = OVER | {"DialCallSid": "CA2", "DialCallDuration": "6", "DialSipResponseCode": "200", "DialSipCallId": "x@h"}
    result = DialResult.read(urlencode(full | {"DialSipHeader_X-Why": "busy", "CallStatus": "completed"}))
    assert (result.dialed_call_sid, result.duration_s, result.sip_code, result.sip_call_id) == ("CA2", 6, 200, "x@h")
    assert (result.reply_headers.get("x-why"), result.caller_is_there) == ("busy", False)


def test_a_status_callback() -> None:
    more = {"SequenceNumber": "3", "Timestamp": "Thu, 26 Nov 2026 10:00:00 +0000", "CallStatus": "completed"}
    callback = CallStatusCallback.read(urlencode(CALL | more | {"CallDuration": "7", "SipResponseCode": "200"}))
    assert (callback.sequence_number, callback.duration_s, callback.sip_code) == (3, 7, 200)
    assert callback.at == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert callback.key == f"{CALL['CallSid']}:3:completed"
    assert callback.is_final
    assert callback.is_news(after="in-progress")
    odd = CallStatusCallback.read(urlencode(CALL | {"Timestamp": "Thu, 99 Nov 2026 99:99:99 +0000"}))
    assert (odd.at, odd.sequence_number) == (None, None)


STATUSES = ["queued", "initiated", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled",
            "accepted", "sending", "sent", "delivered", "undelivered", "read", "new-word", "other-word"]  # fmt: skip


@given(st.lists(st.sampled_from(STATUSES), max_size=6), st.randoms())
def test_law_no_order_takes_back_what_is_final(statuses: list[str], order: Any) -> None:
    def last(sequence: list[str]) -> str | None:
        known = None
        for status in [*sequence, *sequence]:
            if is_news(status, after=known):
                assert not is_final(known) or status == "read"
                known = status
        return known

    shuffled = list(statuses)
    order.shuffle(shuffled)
    assert is_final(last(statuses)) == is_final(last(shuffled)) == any(is_final(status) for status in statuses)


@pytest.mark.parametrize(
    ("word", "answered", "refused"),
    [
        ("bridged", True, False),
        ("redirected-from-bridged", True, False),
        *((word, False, False) for word in ("hangup", "leave", "redirected")),
        *((word, False, True) for word in ("queue-full", "error", "system-error")),
        ("bridging-in-process", None, False),
        ("a-new-word", None, False),
    ],
)
def test_a_queue_says_whether_a_person_took_the_call(word: str, answered: bool | None, refused: bool) -> None:
    waited = CALL | {"QueueResult": word, "QueueSid": "QU" + "1" * 32, "QueueTime": "41"}
    result = QueueResult.read(urlencode(waited))
    assert (result.queue_result, result.answered, result.refused) == (word, answered, refused)
    assert (result.queue_sid, result.waited_s) == ("QU" + "1" * 32, 41)
    never = QueueResult.read(urlencode(CALL | {"QueueResult": word}))
    assert (never.queue_sid, never.waited_s) == (None, None)


def test_a_recording_is_there_only_if_its_own_callback_says_so() -> None:
    url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"
    ready = RecordingCallback.read(urlencode(RECORDED | {"RecordingUrl": url, "RecordingDuration": "41"}))
    assert (ready.is_ready, ready.url, ready.duration_s, ready.call_sid) == (True, url, 41, RECORDED["CallSid"])
    assert ready.key == f"{RECORDED['RecordingSid']}:completed"
    for more in ({"RecordingStatus": "in-progress", "RecordingUrl": url}, {"RecordingUrl": ""}, {"RecordingUrl": "x"}):
        assert not RecordingCallback.read(urlencode(RECORDED | more)).is_ready


# --- messages ----------------------------------------------------------------------------------------------------


def test_a_message() -> None:
    message = IncomingMessage.read(urlencode(MESSAGE | {"ExternalUserId": "BR.15"}))
    assert (message.number, message.user_id, message.reply_to) == ("+5511987650001", "BR.15", "whatsapp:+5511987650001")
    assert (message.body, message.profile_name, message.button_payload) == ("hello", "Ann", None)
    alone = IncomingMessage.read(urlencode(MESSAGE | {"From": "whatsapp:BR.15", "WaId": ""}))
    assert (alone.number, alone.reply_to) == (None, "whatsapp:BR.15")
    text = IncomingMessage.read(urlencode(MESSAGE | {"From": "+14155550100", "WaId": ""}))
    assert (text.reply_to, text.user_id) == ("+14155550100", None)


@pytest.mark.parametrize(
    ("payload", "answer"), [("ACCEPTED", "accepted"), ("rejected", "rejected"), ("LATER", None), ("", None)]
)
def test_a_permission_is_given_by_one_word(payload: str, answer: str | None) -> None:
    reply = read_webhook(urlencode(REPLY | {"ButtonPayload": payload}))
    assert isinstance(reply, CallPermissionReply)
    assert reply.answer == answer


def test_a_message_that_only_says_so_is_no_permission() -> None:
    assert type(read_webhook(urlencode(MESSAGE | {"ButtonPayload": "ACCEPTED"}))) is IncomingMessage
    assert type(read_webhook(urlencode(MESSAGE | {"Body": "ACCEPTED"}))) is IncomingMessage


def test_a_message_status() -> None:
    status = MessageStatusCallback.read("MessageSid=SM1&MessageStatus=undelivered&ErrorCode=63016&To=whatsapp:%2B5511")
    assert (status.status, status.error_code, status.key, status.is_final) == (
        *("undelivered", 63016),
        *("SM1:undelivered", True),
    )


# --- where to ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "uri"),
    [
        ("<tel:+12025550143>", "number", "tel:+12025550143"),
        ("TEL:+1-202-555-0143", "number", "tel:+1-202-555-0143"),
        ("tel:+12025550143;ext=5", "number", "tel:+12025550143;ext=5"),
        ("+1 202 555 0143", "number", "tel:+12025550143"),
        ("%3Ctel%3A%2B12025550143%3E", "number", "tel:+12025550143"),
        ("&lt;sip:a@h.example&gt;", "sip", "sip:a@h.example"),
        ("sip%3Aa%40h.example", "sip", "sip:a@h.example"),
        ("sip:a@h.example;transport=tls?X-A=1", "sip", "sip:a@h.example;transport=tls"),
        ("  <sips:a@h.example:5061>  ", "sip", "sips:a@h.example:5061"),
        ("<sip:a@h.example>;method=INVITE", "sip", "sip:a@h.example"),
        ("tel:2025550143", "none", "tel:2025550143"),
        ("tel:5550143;phone-context=+1202", "none", "tel:5550143;phone-context=%2B1202"),
        ("sip:tel:+12025550143@192.0.2.10", "none", None),
        ("12025550143", "none", None),
        ("<tel:+12025550143><Hangup/>", "none", None),
        ("<tel:+12025550143", "none", None),
        ("tel:+12025550143>", "none", None),
        ("sip:a@h.example?X-A=%0d%0aX:%201", "none", None),
        ("javascript:alert(1)", "none", None),
        ("sip:" + "a" * 5000 + "@h.example", "none", None),
        ("", "none", None),
    ],
)
def test_targets_in_every_form(text: str, kind: str, uri: str | None) -> None:
    target = ReferTarget.parse(text)
    assert (target.kind, target.problem is None) == (kind, kind != "none")
    if kind != "none":
        assert target.uri == uri
    assert ReferRequest.read(urlencode(CALL | {"ReferTransferTarget": text})).target == target


@given(st.text(max_size=60) | st.from_regex(r"<?(sip|tel):[^\n]{0,40}>?"))
def test_law_a_target_is_never_two(text: str) -> None:
    target = ReferTarget.parse(text)
    for written in (target.uri or "", target.number or ""):
        assert not re.search(r"[\s<>\"]", written)


# --- borders and bounds ------------------------------------------------------------------------------------------


def moved(fields: dict[str, str], name: str) -> Iterator[bytes]:
    """Yield the form with the border between that field's name and its value at every other place."""
    text = name + fields[name]
    for end in range(1, len(text) + 1):
        yield urlencode([(text[:end], text[end:]) if own == name else (own, fields[own]) for own in fields]).encode()


@pytest.mark.parametrize(("kind", "fields"), KINDS)
def test_law_nothing_depends_on_where_a_name_ends(kind: type[TwilioWebhook], fields: dict[str, str]) -> None:
    whole = fields | {
        "CallerName": "Ann",
        "DialSipResponseCode": "486",
        "ErrorMessage": "no",
        "ExternalUserId": "BR.15",
    }
    body = urlencode(whole).encode()
    payload = read_webhook(body)
    for name in whole:
        for other in moved(whole, name):
            if signed_form(other)[0] == signed_form(body)[0]:
                again = read_webhook(other)
                assert type(again) is type(payload)
                assert values(again) == values(payload)


def test_a_name_that_is_not_known_does_not_hide_one_that_is() -> None:
    voice = call(FromRegion="BR", CallerNameSource="cnam", ToNumber="+15550001111", CallStatusReason="x")
    assert (voice.caller, voice.dialed, voice.status) == ("+14155550100", "+12025550101", "ringing")
    assert {"FromRegion", "ToNumber", "CallStatusReason"} <= voice.extras.keys()


def test_of_two_that_differ_neither_counts() -> None:
    assert VoiceWebhook.read("CallSid=CA1&From=%2B14155550100&From=%2B14155550101").caller is None
    assert VoiceWebhook.read("CallSid=CA1&From=%2B14155550100&From=%2B14155550100").caller == "+14155550100"
    with pytest.raises(WebhookPayloadError) as raised:
        VoiceWebhook.read("CallSid=CA1&CallSid=CA2")
    assert raised.value.reason == "field_missing"


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (VoiceWebhook, b"", "field_missing"),
        (VoiceWebhook, b'{"CallSid": "CA1"}', "field_missing"),
        (VoiceWebhook, b"CallSid=", "field_missing"),
        (DialResult, b"CallSid=CA1", "field_missing"),
        (CallStatusCallback, b"CallSid=CA1&CallStatus=%0a", "field_missing"),
        (MessageStatusCallback, b"MessageSid=SM1", "field_missing"),
        (VoiceWebhook, b"a" * (MAX_FORM + 1), "body_too_large"),
        (VoiceWebhook, b"&" * MAX_FIELDS, "too_many_fields"),
        (VoiceWebhook, None, "body_type"),
    ],
)
def test_what_is_no_such_webhook_is_refused(kind: Any, body: Any, reason: str) -> None:
    with pytest.raises(WebhookPayloadError) as raised:
        kind.read(body)
    assert raised.value.reason == reason


names = st.sampled_from([*CALL, *MESSAGE, *OVER, *RECORDED, "ReferTransferTarget", "SipHeader_X", "Timestamp"])
bodies = (
    st.lists(st.tuples(names | st.text(max_size=8), st.text(st.characters(exclude_categories=["Cs"]), max_size=30)))
    .map(lambda fields: [(name.encode("utf-8", "replace"), value) for name, value in fields])
    .map(urlencode)
)


@given(bodies | st.binary(max_size=200) | st.text(max_size=200))
@example("\ud800=1&CallSid=CA1")
@example(b"CallSid=CA1&From=%ff%fe&SipHeader_%ff=1")
def test_law_whatever_is_signed_is_read_or_refused(body: bytes | str) -> None:
    try:
        payload = read_webhook(body)
    except WebhookPayloadError:
        return
    values(payload)
    assert isinstance(payload.extras, dict)
    assert not isinstance(payload, CallWebhook) or payload.sip_headers is not None


# --- what people reported ----------------------------------------------------------------------------------------


def form(params: dict[str, str]) -> bytes:
    return urlencode(params).encode()


@reported("voice_webhook")
def test_reported_callers(case: dict[str, Any]) -> None:
    right = case["right"]
    if "call_resource" in case["input"]:
        resource = case["input"]["call_resource"]
        caller, dialed = TwilioAddress.of(resource["from"]), TwilioAddress.of(resource["to"])
        got: dict[str, Any] = {
            "channel": caller.channel,
            "caller_number": caller.number,
            "called_number": dialed.number,
        }
        assert {name: got[name] for name in right} == right
        return
    voice = read_webhook(form(case["input"]["params"]))
    assert isinstance(voice, VoiceWebhook)
    address = voice.caller_address
    got = {
        "channel": voice.channel,
        "caller_number": voice.caller,
        "called_number": voice.dialed,
        "withheld": voice.withheld,
        "caller_country": voice.caller_country,
        "callable_back": voice.callable_back,
        "whatsapp_user_id": voice.user_id,
        "caller_user": None if address is None else address.user,
    }
    for name, value in right.items():
        match name:
            case "sip_caller_id_pattern":
                assert re.fullmatch(value, voice.sip_caller_id or "")
            case "sip_caller_id_from_a_phone_number":
                assert (voice.sip_caller_id == voice.caller) == value
            case "sip_headers":
                assert {name: voice.sip_headers.get(name) for name in value} == value
            case _:
                assert got[name] == value, name


@reported("dial_result")
def test_reported_dials(case: dict[str, Any]) -> None:
    right = case["right"]
    if "params" not in case["input"]:
        first = read_webhook(form(case["input"]["requests"][0]["params"]))
        assert isinstance(first, DialResult)  # nothing in it tells whose end it was
        return
    result = read_webhook(form(case["input"]["params"]))
    assert isinstance(result, DialResult)
    got = {
        "answered": result.answered,
        "sip_code": result.sip_code,
        "dialled_call_sid": result.dialed_call_sid,
        "duration_s": result.duration_s,
        "caller_still_there": result.caller_is_there,
    }
    others = {"cause", "retry_same_dial", "text_is_not_spoken"}  # of twiml.after_dial
    assert {name: got[name] for name in right.keys() - others} == {name: right[name] for name in right.keys() - others}


@reported("refer", has="params")
def test_reported_targets(case: dict[str, Any]) -> None:
    right = dict(case["right"])
    request = read_webhook(form(case["input"]["params"]))
    assert isinstance(request, ReferRequest)
    target = request.target
    assert (target.problem is not None) == right.pop("error", False)
    assert dict(target.headers) == right.pop("headers", dict(target.headers))
    assert {name: getattr(target, name) for name in right} == right


@reported("refer", has="target")
def test_reported_targets_on_a_trunk(case: dict[str, Any]) -> None:
    given_, right = case["input"]["target"], case["right"]
    if right.get("refused"):
        with pytest.raises(ConfigurationError):
            TransferTarget(given_)
        return
    target = TransferTarget(given_)
    assert (str(target.uri), target.on_phone_network) == (right["refer_to"], right["reaches_phone_network"])


@reported("status")
def test_reported_statuses(case: dict[str, Any]) -> None:
    known, handled = None, []
    for event in case["input"]["events"]:
        if event.get("error"):
            continue
        status = event.get("status")
        if status is None:
            callback = read_webhook(form({"CallSid": "CA1"} | event if "CallStatus" in event else event))
            assert isinstance(callback, (CallStatusCallback, MessageStatusCallback))
            status = callback.status
        handled.append(is_news(status, after=known))
        known = status if handled[-1] else known
    assert known == case["right"]["status"]
    assert handled == case["right"].get("handled", handled)


@reported("recording")
def test_reported_recordings(case: dict[str, Any]) -> None:
    payloads = [read_webhook(form(event["params"])) for event in case["input"]["events"]]
    told = [payload for payload in payloads if isinstance(payload, RecordingCallback)]
    ready = [
        {
            "sid": each.recording_sid,
            "parent_call_sid": each.call_sid,
            "duration_s": each.duration_s,
            "channels": each.channels,
        }
        for each in told
        if each.is_ready
    ]
    assert ready == case["right"]["recordings"]
    assert [each.recording_sid for each in told if each.status == "absent"] == case["right"].get("absent", [])


@reported("whatsapp", has="address")
def test_reported_addresses(case: dict[str, Any]) -> None:
    right = {name: value for name, value in case["right"].items() if name != "raises"}
    address = TwilioAddress.of(case["input"]["address"])
    assert (address.problem is not None) == right.pop("error", False)
    got = {"number": address.number, "whatsapp_user_id": address.user_id}
    assert {name: got[name] for name in right} == right


@reported("whatsapp", has="params")
def test_reported_messages(case: dict[str, Any]) -> None:
    right = {name: value for name, value in case["right"].items() if name != "raises"}
    message = read_webhook(form(case["input"]["params"]))
    assert isinstance(message, IncomingMessage)
    got = {"number": message.number, "whatsapp_user_id": message.user_id, "reply_to": message.reply_to}
    got["answer"] = message.answer if isinstance(message, CallPermissionReply) else None
    assert {name: got[name] for name in right} == right
