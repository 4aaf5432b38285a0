"""Webhooks of OpenAI: what is refused, what is read, and that the vendor's package agrees."""

from __future__ import annotations

import base64
import copy
import doctest
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import standardwebhooks
import werkzeug.datastructures
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers as StarletteHeaders

from realtime_sip.errors import ConfigurationError, InvalidRequestError, WebhookError
from realtime_sip.sip.headers import SipHeaders
from realtime_sip.webhooks import (
    IncomingCall,
    LiveCallIncoming,
    LiveTransportConnected,
    LiveTransportIncoming,
    OpenAIWebhooks,
    UnknownWebhookEvent,
    WebhookEvent,
    WebhookPayloadError,
    WebhookVerificationError,
)
from realtime_sip.webhooks import unwrap as webhooks_module

SHARED = Path(__file__).resolve().parents[3] / "shared"
NOW = 1_750_287_078
SECRET = "whsec_" + base64.b64encode(b"a secret of the tests").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret").decode()
CALL: dict[str, Any] = {
    "object": "event",
    "id": "evt_1",
    "type": "realtime.call.incoming",
    "created_at": NOW - 3,
    "data": {
        "call_id": "rtc_1",
        "sip_headers": [
            {"name": "From", "value": '"+14155550100" <sip:+14155550100@pstn.twilio.com:5060>;tag=1'},
            {"name": "To", "value": "sip:+18005551212@sip.example.com"},
            {"name": "Call-ID", "value": "03782086-4ce9-44bf-8b0d-4e303d2cc590"},
            {"name": "X-Tier", "value": "gold"},
            {"name": "x-tier", "value": "silver"},
        ],
        "sip_media_security": "srtp",
    },
}
BODY = json.dumps(CALL).encode()


def make(secret: Any = SECRET, **options: Any) -> OpenAIWebhooks:
    return OpenAIWebhooks(secret, clock=lambda: float(NOW), **options)


def signed(body: bytes | str, *, secret: str = SECRET, timestamp: float = NOW) -> dict[str, str]:
    return make(secret).sign(body, id="wh_1", timestamp=timestamp)


def unwrap(payload: object) -> WebhookEvent:
    body = payload if isinstance(payload, (bytes, str)) else json.dumps(payload)
    return make().unwrap(body, signed(body))


def call(payload: object = CALL) -> IncomingCall:
    event = unwrap(payload)
    assert isinstance(event, IncomingCall)
    return event


def refusal(body: Any, headers: object, **options: Any) -> str:
    with pytest.raises(WebhookVerificationError) as raised:
        make(**options).unwrap(body, headers)
    return raised.value.reason


def test_docstring_examples() -> None:
    result = doctest.testmod(webhooks_module)
    assert result.attempted > 0
    assert result.failed == 0


# --- events ------------------------------------------------------------------------------------------------------


def test_an_incoming_call_is_flat() -> None:
    event = call()
    assert (event.call_id, event.caller, event.dialed, event.channel) == (
        "rtc_1",
        "+14155550100",
        "+18005551212",
        "phone",
    )
    assert (event.media_security, event.created_at, event.id) == ("srtp", NOW - 3, "evt_1")
    assert (event.webhook_id, event.webhook_timestamp, event.project) == ("wh_1", NOW, None)


def test_order_and_repeats_survive() -> None:
    event = call()
    assert [name for name, _ in event.sip] == ["From", "To", "Call-ID", "X-Tier", "x-tier"]
    assert event.sip.get_all("X-TIER") == ("gold", "silver")


def test_what_came_in_goes_out() -> None:
    payload = CALL | {"new": {"a": [1, None]}, "webhook_id": "other", "_project": 1, "data": CALL["data"] | {"x": 1.5}}
    event = call(payload)
    assert event.to_wire() == payload
    assert event.webhook_id == "wh_1"
    assert event.project is None


def test_malformed_header_entries_do_not_lose_the_call() -> None:
    entries = [{"name": "From"}, 7, {"name": "From", "value": "sip:+14155550100@h.com"}, {"name": "A", "value": "\r\n"}]
    payload = {"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": entries}}
    event = call(payload)
    assert list(event.sip) == [("From", "sip:+14155550100@h.com")]
    assert event.to_wire() == payload


@pytest.mark.parametrize("data", [{"call_id": "rtc_1"}, {"call_id": "rtc_1", "sip_headers": None}])
def test_absent_headers_do_not_lose_the_call(data: dict[str, Any]) -> None:
    payload = {"type": "realtime.call.incoming", "data": data}
    event = call(payload)
    assert event.sip == SipHeaders()
    assert (event.id, event.created_at, event.media_security) == (None, None, None)
    assert event.to_wire() == payload


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("live.call.incoming", {"session_id": "rtc_1", "sip_headers": []}, LiveCallIncoming),
        ("live.transport.incoming", {"type": "sip", "session_id": "live_1", "sip_headers": []}, LiveTransportIncoming),
        ("live.transport.connected", {"type": "webrtc", "session_id": "live_1"}, LiveTransportConnected),
        ("batch.completed", {"id": "batch_1"}, UnknownWebhookEvent),
        ("a.new.type", None, UnknownWebhookEvent),
    ],
)
def test_each_type_has_its_class(kind: str, data: dict[str, Any] | None, expected: type) -> None:
    payload = {"type": kind, "id": "evt_1", "created_at": 1, "data": data}
    event = unwrap(payload)
    assert type(event) is expected
    assert event.to_wire() == payload
    assert (event.type, event.id, event.created_at, event.webhook_id) == (kind, "evt_1", 1, "wh_1")
    if isinstance(event, (LiveCallIncoming, LiveTransportIncoming, LiveTransportConnected)):
        assert data is not None
        assert event.session_id == data["session_id"]
    if isinstance(event, UnknownWebhookEvent):
        assert event.data == (data or {})
        assert event.raw == payload


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": []},
        {"data": {"sip_headers": []}},
        {"data": {"call_id": "", "sip_headers": []}},
        {"data": {"call_id": 7, "sip_headers": []}},
        {"data": {"call_id": "rtc_1", "sip_headers": "From"}},
        {"created_at": "1750287018"},
        {"id": 7},
    ],
)
def test_unknown_flows_through_also_for_a_broken_event(
    change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    payload = CALL | change
    with caplog.at_level(logging.DEBUG):
        event = unwrap(payload)
    assert isinstance(event, UnknownWebhookEvent)
    assert event.to_wire() == payload
    assert event.type == "realtime.call.incoming"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "realtime.call.incoming" in caplog.text
    assert "rtc_1" not in caplog.text
    assert "0100" not in caplog.text


def test_an_unknown_event_survives_members_of_any_kind() -> None:
    event = unwrap({"type": "x", "id": 1, "created_at": True, "data": "text", "raw": 1, "to_wire": 2})
    assert isinstance(event, UnknownWebhookEvent)
    assert (event.id, event.created_at, event.data) == (None, None, {})
    assert event.to_wire()["to_wire"] == 2


def test_no_number_is_in_a_repr() -> None:
    payload = CALL | {"note": "call +14155550100"}
    for event in (call(payload), unwrap(payload | {"type": "x"}), unwrap(CALL | {"data": None})):
        assert "0100" not in repr(event) + str(event)
        assert "gold" not in repr(event)
        assert "wh_1" in repr(event)
    shown = repr(call())
    assert "rtc_1" in shown
    assert "X-Tier" in shown


def test_what_is_not_of_the_body_is_no_part_of_the_event() -> None:
    event, again = call(), IncomingCall.model_validate(CALL)
    assert event.caller is not None  # which reads the headers, and keeps them
    assert event == again
    assert event.to_wire() == event.model_dump(exclude_unset=True) == CALL
    assert json.loads(event.model_dump_json(exclude_unset=True)) == CALL
    assert dict(event) == dict(again)
    assert (copy.deepcopy(event).webhook_id, event.model_copy().caller) == ("wh_1", event.caller)
    forged = call({**CALL, "_delivery": ["wh_2", 1, "proj_2"], "_sip": [], "webhook_id": "wh_2"})
    assert (forged.webhook_id, forged.project, forged.caller) == ("wh_1", None, event.caller)


PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, {}),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"TraceParent": PARENT.encode(), "tracestate": "a=1"}, {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"HTTP_TRACEPARENT": PARENT}, {"traceparent": PARENT}),
        ({"traceparent": [PARENT]}, {"traceparent": PARENT}),
        ({"traceparent": "0" * 129}, {}),
        ({"traceparent": "é"}, {}),
        ({"traceparent": 7}, {}),
        ({"tracestate": "a=1"}, {}),
    ],
)
def test_the_trace_of_a_delivery_is_read_and_never_a_reason_to_refuse_it(
    headers: dict[str, Any], found: dict[str, str]
) -> None:
    body = json.dumps(CALL)
    event = make().unwrap(body, {**signed(body), **headers})
    assert isinstance(event, IncomingCall)
    assert event.trace_context == found
    assert event.without_context().trace_context == found
    assert "trace" not in repr(event)


def test_a_trace_that_is_given_twice_does_not_refuse_a_delivery() -> None:
    body = json.dumps(CALL)
    pairs = [*signed(body).items(), ("traceparent", PARENT), ("traceparent", PARENT)]
    assert make().unwrap(body, pairs).type == "realtime.call.incoming"
    assert make().unwrap(body, {**signed(body), "traceparent": [PARENT, PARENT]}).type == "realtime.call.incoming"


def test_a_call_grows_old() -> None:
    event = call()
    assert event.age(NOW) == 3
    assert not event.is_stale(NOW + 297)
    assert event.is_stale(NOW + 298)
    assert event.is_stale(NOW, after=2)
    assert not event.is_stale(NOW - 3600)


def test_without_a_date_of_its_own_the_delivery_counts() -> None:
    event = call({"type": "realtime.call.incoming", "data": {"call_id": "rtc_1"}})
    assert event.age(NOW + 40) == 40
    assert event.is_stale(NOW + 301)
    unsigned = IncomingCall.model_validate(event.to_wire())
    assert unsigned.age(NOW) is None
    assert not unsigned.is_stale(NOW)
    assert unsigned.webhook_id == ""


def test_a_sample_event_is_recognized() -> None:
    sample = {
        "type": "realtime.call.incoming",
        "data": {"call_id": "x", "sip_headers": [{"name": "CSeq", "value": "1"}]},
    }
    assert call(sample).is_test
    assert not call().is_test


# --- signatures --------------------------------------------------------------------------------------------------


@given(
    st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="utf-8")).map(str.encode)),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1, max_size=256),
    st.integers(NOW - 300, NOW + 300),
)
@example(BODY, "wh_1", NOW)
def test_what_is_signed_is_verified(body: bytes | str, webhook_id: str, timestamp: int) -> None:
    hooks = make()
    headers = hooks.sign(body, id=webhook_id, timestamp=timestamp)
    try:
        event = hooks.unwrap(body, headers)
    except WebhookPayloadError:
        return  # which is only raised once the signature was found right
    assert event.webhook_id == webhook_id
    assert event.webhook_timestamp == timestamp


def test_the_signature_is_that_of_the_standard() -> None:
    headers = signed(BODY)
    mac = hmac.new(b"a secret of the tests", b"wh_1.%d.%b" % (NOW, BODY), hashlib.sha256)
    assert headers == {
        "webhook-id": "wh_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": "v1," + base64.b64encode(mac.digest()).decode(),
    }


@pytest.mark.parametrize("secret", [SECRET, "plain text, é"])
def test_the_vendors_package_agrees_both_ways(secret: str) -> None:
    vendor = openai.OpenAI(api_key="x", webhook_secret=secret).webhooks
    now = int(time.time())
    hooks = OpenAIWebhooks(secret)
    headers = hooks.sign(BODY, id="wh_1", timestamp=now)
    event = vendor.unwrap(BODY, headers)
    assert event.type == "realtime.call.incoming"
    assert event.data.call_id == "rtc_1"
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    standard = standardwebhooks.Webhook(key)
    assert standard.verify(BODY, headers) == CALL
    theirs = headers | {"webhook-signature": standard.sign("wh_1", datetime.fromtimestamp(now, UTC), BODY.decode())}
    vendor.verify_signature(BODY, theirs)
    assert hooks.unwrap(BODY, theirs).webhook_id == "wh_1"


def test_body_and_signature_as_documented_are_taken_as_text_or_bytes() -> None:
    assert make().unwrap(BODY.decode(), signed(BODY)) == make().unwrap(BODY, signed(BODY.decode()))


def test_while_a_secret_is_rotated_old_and_new_are_taken() -> None:
    for secret in (SECRET, OTHER):
        event = make([OTHER, SECRET]).unwrap(BODY, signed(BODY, secret=secret))
        assert event.project is None
    several = signed(BODY)["webhook-signature"] + " " + signed(BODY, secret=OTHER)["webhook-signature"]
    assert make().unwrap(BODY, signed(BODY) | {"webhook-signature": several}).webhook_id == "wh_1"
    assert make(OTHER).unwrap(BODY, signed(BODY) | {"webhook-signature": several}).webhook_id == "wh_1"
    assert refusal(BODY, signed(BODY, secret="third")) == "no_match"
    assert make([OTHER, SECRET]).sign(BODY, id="wh_1", timestamp=NOW) == signed(BODY, secret=OTHER)


def test_the_secret_tells_the_project() -> None:
    hooks = make({SECRET: "proj_a", OTHER: "proj_b"})
    assert hooks.unwrap(BODY, signed(BODY)).project == "proj_a"
    other = json.dumps({"type": "batch.completed"})
    assert hooks.unwrap(other, signed(other, secret=OTHER)).project == "proj_b"


def test_other_versions_are_skipped() -> None:
    good = signed(BODY)["webhook-signature"]
    for value in (f"v1a,xyz {good}", f"{good} v2,{good[3:]}", f"  {good}", f"v1,!!! {good} v1,"):
        assert make().unwrap(BODY, signed(BODY) | {"webhook-signature": value}).webhook_id == "wh_1"
    for value in (f"v2,{good[3:]}", good[3:], f"V1,{good[3:]}", f"v1a,{good[3:]}", f"v1 {good[3:]}", ","):
        assert refusal(BODY, signed(BODY) | {"webhook-signature": value}) == "no_signature"


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: s + "=", lambda s: s + ",", str.lower, lambda s: "v1,"])
def test_a_changed_signature_does_not_match(change: Callable[[str], str]) -> None:
    assert refusal(BODY, signed(BODY) | {"webhook-signature": change(signed(BODY)["webhook-signature"])}) == "no_match"


def test_constant_time_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def record(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", record)
    good = signed(BODY)["webhook-signature"]
    several = " ".join([good, "v1,x", good])
    make([SECRET, OTHER]).unwrap(BODY, signed(BODY) | {"webhook-signature": several})
    # Each of two secrets against each of three signatures, although the very first pair matched.
    assert len(compared) == 6
    assert all(isinstance(part, bytes) for pair in compared for part in pair)


def test_a_changed_part_does_not_match() -> None:
    headers = signed(BODY)
    assert refusal(BODY + b" ", headers) == "no_match"
    assert refusal(BODY, headers | {"webhook-id": "wh_2"}) == "no_match"
    assert refusal(BODY, headers | {"webhook-timestamp": str(NOW + 1)}) == "no_match"


def test_nothing_is_parsed_before_it_is_verified() -> None:
    assert refusal(b"no json", signed(BODY)) == "no_match"


def test_a_dot_in_the_id_cannot_move_the_timestamp() -> None:
    # The same signed text, cut at other dots: the old delivery would become a new one.
    old = make().sign("{}", id="wh_1", timestamp=NOW - 1000)
    body = f"{NOW}.{{}}"
    shifted = make().sign(body, id="wh_1", timestamp=NOW - 1000)
    headers = shifted | {"webhook-id": f"wh_1.{NOW - 1000}", "webhook-timestamp": str(NOW)}
    assert refusal("{}", headers) == "header_malformed"
    assert refusal("{}", old) == "too_old"


@pytest.mark.parametrize(
    ("timestamp", "reason"),
    [(NOW - 301, "too_old"), (NOW + 301, "too_new"), (1, "too_old"), (99_999_999_999, "too_new")],
)
def test_only_fresh_deliveries_are_taken(timestamp: int, reason: str) -> None:
    assert refusal(BODY, signed(BODY, timestamp=timestamp)) == reason
    assert make().unwrap(BODY, signed(BODY, timestamp=NOW - 300)).webhook_timestamp == NOW - 300
    assert make().unwrap(BODY, signed(BODY, timestamp=NOW + 300)).webhook_timestamp == NOW + 300


def test_the_tolerance_can_be_set() -> None:
    assert refusal(BODY, signed(BODY, timestamp=NOW - 11), tolerance=10) == "too_old"
    assert make(tolerance=3600).unwrap(BODY, signed(BODY, timestamp=NOW - 3600)).webhook_id == "wh_1"


# --- headers of frameworks ---------------------------------------------------------------------------------------


def environ(headers: dict[str, str]) -> dict[str, Any]:
    names = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {"REQUEST_METHOD": "POST", "wsgi.input": object(), "SERVER_PORT": 80, **names}


def django_request(headers: dict[str, str]) -> Any:
    from django.conf import settings
    from django.http import HttpRequest

    if not settings.configured:
        settings.configure()
    request = HttpRequest()
    request.META = environ(headers)
    return request


def message(headers: dict[str, str]) -> Message:
    found = Message()
    for name, value in headers.items():
        found[name] = value
    return found


FORMS: dict[str, Callable[[dict[str, str]], object]] = {
    "dict": dict,
    "mixed case": lambda h: {name.title(): value for name, value in h.items()},
    "bytes": lambda h: {name.encode(): value.encode() for name, value in h.items()},
    "pairs": lambda h: list(h.items()),
    "iterator": lambda h: iter(h.items()),
    "asgi scope": lambda h: [(b"host", b"x"), *((n.encode(), v.encode()) for n, v in h.items()), (b"x", b"\xff")],
    "aws multi values": lambda h: {"X-Other": [], **{name.upper(): [value] for name, value in h.items()}},
    "wsgi environ": environ,
    "django headers": lambda h: django_request(h).headers,
    "django META": lambda h: django_request(h).META,
    "werkzeug": lambda h: werkzeug.datastructures.EnvironHeaders(environ(h)),
    "starlette": lambda h: StarletteHeaders(h),
    "httpx": lambda h: httpx.Headers(h),
    "email message": message,
}


@pytest.mark.parametrize("form", FORMS)
def test_headers_of_every_framework_are_read(form: str) -> None:
    headers = FORMS[form]({"Content-Type": "application/json", **signed(BODY)})
    assert make().unwrap(BODY, headers).webhook_id == "wh_1"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused_in_every_form(form: str, name: str) -> None:
    headers = {own: value for own, value in signed(BODY).items() if own != name}
    assert refusal(BODY, FORMS[form](headers)) == "header_missing"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_repeated_header_is_refused(name: str) -> None:
    headers = signed(BODY)
    twice = [*headers.items(), (name.title(), headers[name])]
    raw = [(own.encode(), value.encode()) for own, value in twice]
    for form in (twice, raw, StarletteHeaders(raw=raw), dict(twice), headers | {name: [headers[name]] * 2}):
        assert refusal(BODY, form) == "header_repeated"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("webhook-id", "", "header_missing"),
        ("webhook-id", None, "header_missing"),
        ("webhook-id", [], "header_missing"),
        ("webhook-id", b"", "header_missing"),
        ("webhook-id", "wh 1", "header_malformed"),
        ("webhook-id", "wh.1", "header_malformed"),
        ("webhook-id", "wh_é", "header_malformed"),
        ("webhook-id", "wh_1\r\nx", "header_malformed"),
        ("webhook-id", "x" * 300, "header_malformed"),
        ("webhook-id", 7, "header_malformed"),
        ("webhook-id", {}, "header_malformed"),
        ("webhook-id", {"a": []}, "header_malformed"),
        ("webhook-timestamp", f"{NOW}.0", "header_malformed"),
        ("webhook-timestamp", f"+{NOW}", "header_malformed"),
        ("webhook-timestamp", f" {NOW}", "header_malformed"),
        ("webhook-timestamp", f"0{NOW}", "header_malformed"),
        ("webhook-timestamp", "1_750_287_078", "header_malformed"),
        ("webhook-timestamp", "١٧٥٠٢٨٧٠٧٨", "header_malformed"),
        ("webhook-timestamp", "nan", "header_malformed"),
        ("webhook-timestamp", "-1", "header_malformed"),
        ("webhook-timestamp", "9" * 12, "header_malformed"),
        ("webhook-timestamp", "9" * 5000, "header_malformed"),
        ("webhook-timestamp", NOW, "header_malformed"),
        ("webhook-signature", "v1,é", "header_malformed"),
        ("webhook-signature", b"v1,\xff", "header_malformed"),
        ("webhook-signature", "v1," + "a" * 5000, "header_malformed"),
        ("webhook-signature", " ".join(["v1,a"] * 100), "too_many_signatures"),
        ("webhook-signature", "v1,\x00", "no_match"),
    ],
)
def test_a_bad_header_is_refused(name: str, value: object, reason: str) -> None:
    assert refusal(BODY, signed(BODY) | {name: value}) == reason


@pytest.mark.parametrize("headers", [None, 7, "webhook-id", b"webhook-id", [1], [("a", "b", "c")], object(), ["ab"]])
def test_what_is_no_header_mapping_is_refused(headers: object) -> None:
    assert refusal(BODY, headers) in {"header_malformed", "header_missing"}


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (CALL, "body_type"),
        (None, "body_type"),
        (b"\xff\xfe", "body_encoding"),
        ("\ud800", "body_encoding"),
        (b" " * (1024 * 1024 + 1), "body_too_large"),
        (" " * (1024 * 1024 + 1), "body_too_large"),
        ("é" * (1024 * 600), "body_too_large"),
    ],
)
def test_a_bad_body_is_refused(body: object, reason: str) -> None:
    assert refusal(body, signed(BODY)) == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ("\ufeff{}", "not_json"),
        ('{"type": "x", "a": NaN}', "not_json"),
        ('{"type": "x", "a": -Infinity}', "not_json"),
        ('{"type": "x", "a": 1e999}', "not_json"),
        ('{"type": "x", "a": ' + "9" * 5000 + "}", "not_json"),
        ('{"type": "x", "created_at": ' + "9" * 400 + "}", "not_json"),
        ("[]", "not_object"),
        ('"x"', "not_object"),
        ("null", "not_object"),
        ("{}", "no_type"),
        ('{"type": ""}', "no_type"),
        ('{"type": ["realtime.call.incoming"]}', "no_type"),
        ('{"type": "x", "a": ' + "[" * 100 + "]" * 100 + "}", "not_json"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "not_json"),
        ("[" * 200_000, "not_json"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(body: str, reason: str) -> None:
    with pytest.raises(WebhookPayloadError) as raised:
        unwrap(body)
    assert raised.value.reason == reason


def test_a_call_is_not_lost_for_a_character_that_is_none() -> None:
    headers = [
        {"name": "From", "value": "\ud83d caller <sip:+14155550100@trunk.example>"},
        {"name": "\udfff", "value": "x"},
    ]
    data = {"call_id": "rtc_1", "sip_headers": headers}
    event = unwrap(json.dumps({"type": "realtime.call.incoming", "id": "evt_1", "created_at": NOW, "data": data}))
    assert isinstance(event, IncomingCall)
    assert event.caller == "+14155550100"
    json.dumps(event.to_wire(), ensure_ascii=False).encode()


def test_law_bounded__body_headers_signatures_and_nesting() -> None:
    whole = b'{"type": "x"}'
    for body in (
        whole.ljust(1024 * 1024 + 1),
        whole.decode().ljust(1024 * 1024 + 1),
        '{"type": "é"}'.ljust(1024 * 1024),
    ):
        assert refusal(body, signed(body)) == "body_too_large"
    assert (
        refusal(BODY, make().sign(BODY, id="w" * 256, timestamp=NOW) | {"webhook-id": "w" * 257}) == "header_malformed"
    )
    good = signed(BODY)["webhook-signature"]
    assert refusal(BODY, signed(BODY) | {"webhook-signature": f"{good} v1,{'a' * 5000}"}) == "header_malformed"
    assert refusal(BODY, signed(BODY) | {"webhook-signature": good + " v1,a" * 20}) == "too_many_signatures"
    for deep in (
        '{"type": "x", "a": ' + "[" * 70 + "]" * 70 + "}",
        '{"type": "x", "a": ' + '{"a":' * 70 + "1" + "}" * 71,
    ):
        with pytest.raises(WebhookPayloadError, match="deeply"):
            unwrap(deep)


def test_a_body_of_the_largest_size_is_read() -> None:
    body = b'{"type": "x"}'.ljust(1024 * 1024)
    assert unwrap(body).to_wire() == {"type": "x"}


def test_no_error_holds_what_was_sent() -> None:
    for body, headers in (
        (BODY, signed(BODY) | {"webhook-id": "a.+14155550100"}),
        (BODY, signed(BODY) | {"webhook-signature": "v1,+14155550100\xff"}),
        (BODY, signed(BODY) | {"webhook-signature": "v1,+14155550100"}),
        (BODY, [*signed(BODY).items(), ("webhook-id", "+14155550100")]),
        (BODY + b"+14155550100", signed(BODY)),
    ):
        with pytest.raises(WebhookVerificationError) as raised:
            make().unwrap(body, headers)
        assert "0100" not in repr(raised.value)
        assert raised.value.__cause__ is None
    with pytest.raises(WebhookPayloadError) as refused:
        unwrap('{"+14155550100"')
    assert "0100" not in repr(refused.value)


junk = st.one_of(
    st.none(), st.integers(), st.text(max_size=20), st.binary(max_size=20), st.lists(st.text(), max_size=3)
)
junk_names = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "HTTP_WEBHOOK_ID", "x"]) | junk


@given(
    st.one_of(st.binary(), st.text(), st.none(), st.integers()),
    st.one_of(
        junk,
        st.dictionaries(junk_names.filter(lambda name: not isinstance(name, list)), junk),
        st.lists(st.tuples(junk_names, junk)),
        st.lists(st.lists(junk, max_size=3), max_size=4),
    ),
    st.booleans(),
)
def test_nothing_but_the_two_errors_is_raised(body: Any, headers: Any, complete: bool) -> None:
    if complete and isinstance(headers, dict):
        headers = signed(BODY) | headers
    with pytest.raises(WebhookError) as raised:
        make().unwrap(body, headers)
    assert raised.value.reason.replace("_", "").isalpha()


@given(
    key=st.binary(min_size=1, max_size=64),
    body=st.text(max_size=200),
    webhook_id=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1, max_size=256
    ),
    timestamp=st.integers(1, 253402300799),
)
def test_the_signature_that_is_compared_is_that_of_standardwebhooks(
    key: bytes, body: str, webhook_id: str, timestamp: int
) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    webhooks = OpenAIWebhooks(secret, clock=lambda: timestamp)
    theirs = standardwebhooks.Webhook(secret).sign(webhook_id, datetime.fromtimestamp(timestamp, UTC), body)
    headers = {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp), "webhook-signature": theirs}
    reason = None
    try:
        webhooks.unwrap(body, headers)
    except WebhookError as error:
        reason = error.reason
    assert reason in {None, "not_json", "not_object", "no_type"}  # signed, whatever it says
    forged = theirs[:-2] + ("A" if theirs[-2] != "A" else "B") + theirs[-1]
    with pytest.raises(WebhookError, match="no signature of the webhook matches"):
        webhooks.unwrap(body, headers | {"webhook-signature": forged})


@given(body=st.text(max_size=200), webhook_id=st.from_regex(r"[!-\-/-~]{1,40}", fullmatch=True))
def test_standardwebhooks_verifies_what_we_sign(body: str, webhook_id: str) -> None:
    now = int(time.time())
    headers = OpenAIWebhooks("whsec_c2VjcmV0").sign(body, id=webhook_id, timestamp=now)
    standardwebhooks.Webhook("whsec_c2VjcmV0").verify(body, headers, json_parse=False)


def test_what_the_headers_say_of_the_call_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    event = call()
    said = event.caller, event.dialed, event.channel, event.sip
    monkeypatch.setattr("realtime_sip.sip.headers._Party.of", None)
    assert (event.caller, event.dialed, event.channel) == said[:3]
    assert event.sip is said[3]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
kinds = ["realtime.call.incoming", "live.call.incoming", "live.transport.incoming", "live.transport.connected", "x"]
entries = st.fixed_dictionaries({}, optional={"name": json_values | st.just("From"), "value": json_values})
data_values = json_values | st.fixed_dictionaries(
    {},
    optional={
        "call_id": json_values,
        "session_id": json_values,
        "sip_headers": json_values | st.lists(entries, max_size=4),
        "sip_media_security": json_values,
    },
)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(kinds)},
        optional={"data": data_values, "id": json_values, "created_at": json_values, "webhook_id": json_values},
    )
)
def test_any_signed_object_with_a_type_comes_back_whole(payload: dict[str, Any]) -> None:
    event = unwrap(payload)
    assert event.to_wire() == payload
    assert event.type == payload["type"]
    assert repr(event)
    if isinstance(event, IncomingCall):
        assert isinstance(event.call_id, str)
        assert event.channel in {"phone", "whatsapp", "sip"}
        age = event.age(NOW)
        assert age is not None
        assert event.is_stale(NOW) is (age > 300)


# --- configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        *("", " ", "whsec_", "whsec_====", "whsec_!!!!", "whsec_a", "whsec_é", "\ud800", f"{SECRET}\n", None, 7, b"x"),
        *([], [""], {}, {"": "proj_a"}, [SECRET, "whsec_*"], [None]),
        {OTHER: "proj_a", OTHER.rstrip("="): "proj_b"},
    ],
)
def test_a_secret_that_cannot_be_used_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIWebhooks(secret)


@pytest.mark.parametrize("tolerance", [0, -1, float("nan"), float("inf")])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIWebhooks(SECRET, tolerance=tolerance)


def test_the_padding_of_a_secret_may_be_missing() -> None:
    unpadded = OTHER.rstrip("=")
    assert unpadded != OTHER
    assert signed(BODY, secret=unpadded) == signed(BODY, secret=OTHER)


def test_no_secret_is_in_a_repr_or_an_error() -> None:
    hooks = make({SECRET: "proj_a", OTHER: "proj_b"})
    assert "secrets=2" in repr(hooks)
    for hidden in (SECRET, OTHER, "a secret", SECRET[6:]):
        assert hidden not in repr(hooks)
    with pytest.raises(ConfigurationError) as raised:
        OpenAIWebhooks("whsec_s3cret!")
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "webhook_id", "timestamp"),
    [
        (BODY, "wh.1", NOW),
        (BODY, "", NOW),
        (BODY, "wh 1", NOW),
        (BODY, "x" * 300, NOW),
        (BODY, "wh_1", 0),
        (BODY, "wh_1", float("nan")),
        (BODY, "wh_1", 1e15),
        (b"\xff", "wh_1", NOW),
        ("\ud800", "wh_1", NOW),
    ],
)
def test_only_what_can_be_verified_is_signed(body: bytes | str, webhook_id: str, timestamp: float) -> None:
    with pytest.raises(InvalidRequestError):
        make().sign(body, id=webhook_id, timestamp=timestamp)


def test_fractions_of_a_second_are_cut_off() -> None:
    assert signed(BODY, timestamp=NOW + 0.9) == signed(BODY)


# --- real payloads -----------------------------------------------------------------------------------------------

CLASSES: dict[str, type] = {
    "realtime.call.incoming": IncomingCall,
    "live.call.incoming": LiveCallIncoming,
    "live.transport.incoming": LiveTransportIncoming,
    "live.transport.connected": LiveTransportConnected,
}


def webhook_types() -> set[str]:
    return set(json.loads((SHARED / "data" / "wire_schema.json").read_text())["webhooks"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collected payloads are not beside this checkout")
def test_the_examples_of_the_specification_are_read() -> None:
    seen: set[str] = set()
    for path in sorted((SHARED / "data" / "api_examples").glob("*.json")):
        payload = json.loads(path.read_text())
        if path.stem not in webhook_types() or not str(payload.get("id", "")).startswith("evt_abc"):
            continue  # an event of the socket of the same name
        event = unwrap(payload)
        assert isinstance(event, CLASSES.get(path.stem, UnknownWebhookEvent))
        assert event.to_wire() == payload
        assert getattr(event, "is_test", True)
        seen.add(path.stem)
    assert {"realtime.call.incoming", "live.call.incoming", "batch.completed"} <= seen


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collected payloads are not beside this checkout")
def test_the_recorded_calls_are_read() -> None:
    path = SHARED / "data" / "recordings" / "sip_webhooks__real_and_reported.jsonl"
    payloads = [json.loads(line)["data"] for line in path.read_text().splitlines()]
    events = [call(payload) for payload in payloads]
    assert [event.to_wire() for event in events] == payloads
    assert [event.caller for event in events] == ["+48123123123", "+16722020602", "+142555512112"]
    assert [event.dialed for event in events] == [None, None, "+18005551212"]
    assert [event.created_at for event in events] == [1757177896, None, 1750287018]
    assert {event.channel for event in events} == {"phone"}
    assert not any(event.is_test for event in events)


@pytest.mark.parametrize("call_id", ["rtc_1\nERROR forged", "rtc_1\r", "rtc_\x1b[31m", "rtc_\u2028", "x" * 257])
def test_law_no_call_id_makes_a_line_of_its_own_in_a_log(call_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    headers = [{"name": "From", "value": "+14155550100"}, {"name": "X-Realtime-Sip-Context", "value": "junk"}]
    body = json.dumps({"type": "realtime.call.incoming", "data": {"call_id": call_id, "sip_headers": headers}})
    webhooks = OpenAIWebhooks("a webhook secret", context_secret=SECRET, clock=lambda: NOW)
    event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=NOW))
    assert isinstance(event, UnknownWebhookEvent)
    assert event.data["call_id"] == call_id
    assert [record.getMessage().isprintable() for record in caplog.records] == [True]
