"""Twilio's signature: what is signed, what is refused, and that the vendor's validator agrees."""

from __future__ import annotations

import base64
import doctest
import hashlib
import hmac
import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import httpx
import pytest
import werkzeug.datastructures
from hypothesis import assume, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from reported import reported
from starlette.datastructures import Headers as StarletteHeaders
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from twilio.request_validator import RequestValidator
from werkzeug.test import create_environ

from realtime_sip.errors import ConfigurationError, InvalidRequestError, WebhookPayloadError, WebhookVerificationError
from realtime_sip.twilio import TwilioSignature
from realtime_sip.twilio import signature as signature_module
from realtime_sip.twilio.form import MAX_FIELDS, MAX_FORM, fields_of, signed_form
from realtime_sip.twilio.signature import MAX_BODY
from realtime_sip.twilio.webhooks import read_webhook

TOKEN = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
ACCOUNT = "AC" + "1" * 32
SUBACCOUNT = "AC" + "2" * 32
BASE = "https://voice.example.com"
URL = BASE + "/voice"
FORM = "application/x-www-form-urlencoded; charset=UTF-8"
VOICE = [
    ("CallSid", "CA" + "1" * 32),
    ("AccountSid", ACCOUNT),
    ("From", "whatsapp:+5511987650001"),
    ("To", "whatsapp:+551130000001"),
    ("CallerName", "Ann"),
    ("FromCity", ""),
]
BODY = urlencode(VOICE).encode()


def twilio(token: Any = TOKEN, public_url: str | None = BASE, **options: Any) -> TwilioSignature:
    return TwilioSignature(token, public_url, **options)


def mac(text: str | bytes, token: str = TOKEN, algorithm: str = "sha1") -> str:
    """Sign a text by the documented algorithm, apart from the code under test."""
    data = text.encode() if isinstance(text, str) else text
    return base64.b64encode(hmac.new(token.encode(), data, algorithm).digest()).decode()


def over(url: str, fields: Sequence[tuple[str, str]] = (), **how: Any) -> str:
    return mac(url + "".join(name + value for name, value in sorted(set(fields))), **how)


def headers(signature: str, kind: str | None = FORM, **more: str) -> dict[str, str]:
    return {"X-Twilio-Signature": signature, **({"Content-Type": kind} if kind else {}), **more}


def refusal(*args: Any, using: TwilioSignature | None = None, **options: Any) -> str:
    with pytest.raises(WebhookVerificationError) as raised:
        (using or twilio()).verify(*args, **options)
    error = raised.value
    assert error.__cause__ is None
    assert not any(text in str(error) for text in (TOKEN, "+5511", "AC1", "voice.example"))
    return error.reason


def hashed(target: str, body: bytes) -> str:
    return f"{target}{'&' if '?' in target else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"


def test_docstring_examples() -> None:
    result = doctest.testmod(signature_module)
    assert result.attempted > 0
    assert result.failed == 0


# --- what is signed ----------------------------------------------------------------------------------------------


def test_a_form_is_signed_with_its_url_and_names_its_account() -> None:
    assert twilio().verify("/voice", BODY, headers(over(URL, VOICE))) == ACCOUNT
    assert twilio().verify(b"/voice", BODY.decode(), headers(over(URL, VOICE))) == ACCOUNT
    assert twilio(public_url=None).verify(URL, BODY, headers(over(URL, VOICE))) == ACCOUNT


def test_blank_values_repeats_and_order_are_as_twilio_signs_them() -> None:
    fields = [("b", "2"), ("b", "1"), ("b", "2"), ("B", "z"), ("a", ""), ("ç", "+ &=%"), ("b.a", "é\x00\x01")]
    assert twilio().verify("/voice", urlencode(fields), headers(over(URL, fields))) is None


def test_what_only_looks_like_a_border_is_none() -> None:
    fields = [("a", "=b"), ("c", "")]
    for body in (b"a==b&c=", b"a==b&c", b"&a=%3Db&&c=&", b"c&a==b"):
        assert twilio().verify("/voice", body, headers(over(URL, fields))) is None


def test_a_target_counts_byte_for_byte() -> None:
    target = "/voice?caller=client%3AAnonymous&ref=a%2Fb&name=Jo+Do&x=%7e|&&"
    right = over(BASE + target)
    assert twilio().verify(target, b"", headers(right, None), method="GET") is None
    for other in (target.replace("%3A", ":"), target.replace("+", "%20"), target[:-1], target.replace("%7e", "%7E")):
        assert refusal(other, b"", headers(right, None), method="GET") == "no_match"


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        ("https://h.example", "https://h.example:443"),
        ("https://h.example:443", "https://h.example"),
        ("http://h.example", "http://h.example:80"),
        ("https://h.example:8443", "https://h.example"),
        ("https://h.example:8443", "https://h.example:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("https://user:pass@h.example:8443", "https://user:pass@h.example"),
        ("https://user:pass@h.example", "https://h.example"),
        ("https://H.Example", "https://h.example"),
        ("https://h.example/", "https://h.example"),
        ("https://h.example/app", "https://h.example/app"),
        ("https://h.example/app/", "https://h.example:443/app"),
    ],
)
def test_a_url_may_be_signed_with_and_without_its_port(configured: str, signed: str) -> None:
    using = twilio(public_url=configured)
    assert using.verify("/voice?a=1", BODY, headers(over(signed + "/voice?a=1", VOICE))) == ACCOUNT


@pytest.mark.parametrize("signed", ["http://h.example", "https://h.example:8443", "https://h.example.", "https://h2"])
def test_another_origin_is_not_ours(signed: str) -> None:
    signature = over(signed + "/voice", VOICE)
    assert refusal("/voice", BODY, headers(signature), using=twilio(public_url="https://h.example")) == "no_match"


def test_what_the_request_says_of_its_host_does_not_count() -> None:
    """Whoever can have Twilio sign a URL of another host of theirs, a test system's, cannot use it here."""
    elsewhere = "https://staging.example.com/voice"
    more = {"Host": "staging.example.com", "X-Forwarded-Host": "staging.example.com", "X-Forwarded-Proto": "https"}
    assert refusal("/voice", BODY, headers(over(elsewhere, VOICE), **more)) == "no_match"
    assert refusal(elsewhere, BODY, headers(over(elsewhere, VOICE), **more)) == "no_match"
    assert twilio().verify(elsewhere, BODY, headers(over(URL, VOICE), **more)) == ACCOUNT


def test_a_whole_url_below_the_public_one_keeps_its_path() -> None:
    using = twilio(public_url=BASE + "/app")
    signature = headers(over(BASE + "/app/voice", VOICE))
    for given_ in ("/voice", BASE + "/app/voice", "http://10.0.0.7:8000/voice"):
        assert using.verify(given_, BODY, signature) == ACCOUNT


def test_a_url_without_a_path_is_requested_as_slash() -> None:
    for signed in (BASE, BASE + "/"):
        assert twilio().verify("/", BODY, headers(over(signed, VOICE))) == ACCOUNT
        assert twilio(public_url=None).verify(BASE, BODY, headers(over(signed, VOICE))) == ACCOUNT
    assert twilio().verify("/?a=1", BODY, headers(over(BASE + "?a=1", VOICE))) == ACCOUNT
    assert refusal("/voice/", BODY, headers(over(URL, VOICE))) == "no_match"


@pytest.mark.parametrize(
    "target",
    ["", "voice", "*", "//", "/a b", "/a\r\nX: 1", "/a#b", "/\ud800", "ftp://h/x", "https://", "https://h:99999/",
     "/\x00", "https://h:8x/", "https://@/", "https:///x", "/" + "a" * 40_000, None, 7, ["/voice"]],
)  # fmt: skip
def test_hostile_targets_are_refused_in_one_way(target: Any) -> None:
    for using in (twilio(), twilio(public_url=None, trusted_proxies=["10.0.0.0/8"])):
        reason = refusal(target, BODY, headers(over(URL, VOICE)), using=using)
        assert reason in {"target_malformed", "no_match", "proxy_not_trusted"}


# --- JSON and hashes ---------------------------------------------------------------------------------------------

JSON = b'{"CallSid": "CA1"}'


def test_json_is_signed_by_its_hash_in_the_url() -> None:
    target = hashed("/events?a=1", JSON)
    assert twilio().verify(target, JSON, headers(over(BASE + target), "application/json")) is None
    upper = hashed("/events", JSON).replace("bodySHA256=", "bodySHA256=|").partition("|")
    target = upper[0] + upper[2].upper()
    assert twilio().verify(target, JSON, headers(over(BASE + target), "application/json")) is None


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", FORM, None])
@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
def test_law_a_body_that_nothing_signs_is_refused(kind: str | None, method: str) -> None:
    """Whoever has one signed URL, of a webhook by GET, cannot put a body under it."""
    target = "/events?CallSid=CA1"
    signature = over(BASE + target)
    assert twilio().verify(target, b"", headers(signature, kind), method=method) is None
    assert refusal(target, JSON, headers(signature, kind), method=method) in {"unhashed_body", "no_match"}


def test_json_may_be_larger_than_a_form() -> None:
    body = b"[" + b" " * (MAX_FORM * 2) + b"]"
    target = hashed("/events", body)
    assert twilio().verify(target, body, headers(over(BASE + target), "application/json")) is None


def test_another_body_than_the_hashed_one_is_refused() -> None:
    target = hashed("/events", JSON)
    signature = over(BASE + target)
    for body in (b"{}", JSON + b" ", b""):
        assert refusal(target, body, headers(signature, "application/json")) == "body_hash"
    assert refusal(target, b"{}", headers(signature, None), method="GET") == "body_hash"
    assert twilio().verify(target, b"", headers(signature, None), method="GET") is None
    assert refusal(target + "&bodySHA256=" + "0" * 64, JSON, headers(signature, "application/json")) == "body_hash"


def test_a_form_below_a_url_with_a_hash_is_signed_either_way() -> None:
    old = "/voice?bodySHA256=" + "0" * 64
    assert twilio().verify(old, BODY, headers(over(BASE + old, VOICE))) == ACCOUNT
    new = hashed("/voice", BODY)
    assert twilio().verify(new, BODY, headers(over(BASE + new))) == ACCOUNT
    assert refusal(new, BODY.replace(b"Ann", b"Eve"), headers(over(BASE + new))) == "no_match"


def test_a_form_that_is_the_end_of_a_signed_url_is_refused() -> None:
    """Nothing stands between the URL and the form: without this a signed GET would be a signed POST."""
    signature = over(URL + "?a=1&CallSid=CA2")
    for target, body in (
        ("/voice", "?a=1&CallSid=CA2"),
        ("/voice?a=1", "&CallSid=CA2"),
        ("", "/voice?a=1&CallSid=CA2"),
    ):
        assert refusal(target or "/", quote_plus(body), headers(signature)) == "ambiguous_form"


# --- keys --------------------------------------------------------------------------------------------------------


def test_several_tokens_while_one_is_rotated() -> None:
    for token in (TOKEN, OTHER):
        assert twilio([TOKEN, OTHER]).verify("/voice", BODY, headers(over(URL, VOICE, token=token))) == ACCOUNT
    assert (
        refusal("/voice", BODY, headers(over(URL, VOICE, token="x" * 32)), using=twilio([TOKEN, OTHER])) == "no_match"
    )


def test_tokens_by_account() -> None:
    using = twilio({ACCOUNT: TOKEN, SUBACCOUNT: [OTHER, "3" * 32]})
    sub = [(name, SUBACCOUNT if name == "AccountSid" else value) for name, value in VOICE]
    assert using.verify("/voice", BODY, headers(over(URL, VOICE))) == ACCOUNT
    for token in (OTHER, "3" * 32):
        assert using.verify("/voice", urlencode(sub), headers(over(URL, sub, token=token))) == SUBACCOUNT
    # One account's owner knows its token, and no more than that.
    assert refusal("/voice", urlencode(sub), headers(over(URL, sub)), using=using) == "no_match"
    unnamed = [("a", "b")]
    assert using.verify("/voice", urlencode(unnamed), headers(over(URL, unnamed, token=OTHER))) == SUBACCOUNT


def test_the_account_of_a_get_is_in_its_url() -> None:
    using = twilio({ACCOUNT: TOKEN, SUBACCOUNT: OTHER})
    target = f"/status?id=7&AccountSid={SUBACCOUNT}"
    assert using.verify(target, b"", headers(over(BASE + target, token=OTHER), None), method="GET") == SUBACCOUNT
    assert refusal(target, b"", headers(over(BASE + target), None), method="GET", using=using) == "no_match"


def test_an_account_that_is_not_ours_and_two_accounts_are_refused() -> None:
    using = twilio({ACCOUNT: TOKEN})
    other = [("AccountSid", SUBACCOUNT)]
    assert refusal("/voice", urlencode(other), headers(over(URL, other)), using=using) == "unknown_account"
    both = [*other, ("AccountSid", ACCOUNT)]
    assert refusal("/voice", urlencode(both), headers(over(URL, both)), using=using) == "ambiguous_account"


def test_law_the_account_does_not_depend_on_where_its_name_ends() -> None:
    text = "AccountSid" + ACCOUNT
    for end in range(1, len(text)):
        body = urlencode([(text[:end], text[end:])])
        assert twilio().verify("/voice", body, headers(mac(URL + text))) == ACCOUNT


KEY = "webhooks_sharedkey_1"


def settings(key: str = KEY, algorithm: str = "HMAC_SHA256") -> dict[str, str]:
    return {"X-Twilio-Webhooks-Signature-Settings": f"key={key},algorithm={algorithm}"}


def test_a_shared_key_alone_counts_if_it_is_named() -> None:
    using = twilio(shared_keys={KEY: "a shared secret", "other": "another secret"})
    right = over(URL, VOICE, token="a shared secret", algorithm="sha256")
    assert using.verify("/voice", BODY, headers(right, **settings())) == ACCOUNT
    for wrong in (
        over(URL, VOICE),
        over(URL, VOICE, algorithm="sha256"),
        over(URL, VOICE, token="a shared secret"),
        over(URL, VOICE, token="another secret", algorithm="sha256"),
    ):
        assert refusal("/voice", BODY, headers(wrong, **settings()), using=using) == "no_match"
    assert refusal("/voice", BODY, headers(right), using=using) == "no_match"


def test_a_shared_key_that_is_not_configured_is_a_mistake_and_no_forgery() -> None:
    for using in (twilio(), twilio(shared_keys={"other": "another secret"})):
        with pytest.raises(ConfigurationError, match="shared_keys"):
            using.verify("/voice", BODY, headers(over(URL, VOICE), **settings()))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"key={KEY},algorithm=HMAC_MD5", "unknown_algorithm"),
        ("algorithm=HMAC_SHA256", "header_malformed"),
        (f"key={KEY},key=other,algorithm=HMAC_SHA256", "header_malformed"),
        ("key=,algorithm=HMAC_SHA256", "header_malformed"),
        ("k" * 600, "header_malformed"),
        ("key=\u017f", "header_malformed"),
    ],
)
def test_settings_of_another_kind_are_refused(text: str, reason: str) -> None:
    using = twilio(shared_keys={KEY: "a shared secret"})
    signed = headers(over(URL, VOICE, token="a shared secret", algorithm="sha256"))
    signed["X-Twilio-Webhooks-Signature-Settings"] = text
    assert refusal("/voice", BODY, signed, using=using) == reason


def test_settings_of_the_auth_token_are_the_auth_token() -> None:
    for text in ("", "algorithm=HMAC_SHA1"):
        signed = headers(over(URL, VOICE)) | {"X-Twilio-Webhooks-Signature-Settings": text}
        assert twilio().verify("/voice", BODY, signed) == ACCOUNT


def test_a_shared_key_belongs_to_an_account() -> None:
    using = twilio({ACCOUNT: TOKEN, SUBACCOUNT: OTHER}, shared_keys={KEY: (SUBACCOUNT, "a shared secret")})
    signed = headers(over(URL, VOICE, token="a shared secret", algorithm="sha256"), **settings())
    assert refusal("/voice", BODY, signed, using=using) == "account_mismatch"
    sub = [("AccountSid", SUBACCOUNT)]
    signed = headers(over(URL, sub, token="a shared secret", algorithm="sha256"), **settings())
    assert using.verify("/voice", urlencode(sub), signed) == SUBACCOUNT


@pytest.mark.parametrize(
    ("token", "options"),
    [
        ("", {}), (" ", {}), (None, {}), ([], {}), ({}, {}), (b"token", {}), ([TOKEN, ""], {}), (f'"{TOKEN}"', {}),
        (f"{TOKEN}\n", {}), (ACCOUNT, {}), ("SK" + "1" * 32, {}), ("sk-abc", {}), ("\ud800", {}),
        ({TOKEN: ACCOUNT}, {}), ({ACCOUNT: ""}, {}), ({ACCOUNT: TOKEN, SUBACCOUNT: TOKEN}, {}),
        (TOKEN, {"shared_keys": {"": "a"}}), (TOKEN, {"shared_keys": {"a,b": "a"}}), (TOKEN, {"shared_keys": ["a"]}),
        (TOKEN, {"shared_keys": {"a": ("b", "secret")}}), (TOKEN, {"shared_keys": {"a": ""}}),
        ({ACCOUNT: TOKEN, SUBACCOUNT: OTHER}, {"shared_keys": {"a": "secret"}}),
        (TOKEN, {"trusted_proxies": "10.0.0.1"}), (TOKEN, {"trusted_proxies": ["10.0.0.1"]}),
        (TOKEN, {"trusted_proxies": ["all"], "public_url": None}),
        (TOKEN, {"trusted_proxies": [7], "public_url": None}),
        (TOKEN, {"public_url": "voice.example.com"}), (TOKEN, {"public_url": ""}), (TOKEN, {"public_url": "https://"}),
        (TOKEN, {"public_url": "https://h?a=1"}), (TOKEN, {"public_url": "https://h/#rc=1"}),
        (TOKEN, {"public_url": "https://h/a b"}), (TOKEN, {"public_url": "https://h:0"}), (TOKEN, {"public_url": 7}),
    ],
)  # fmt: skip
def test_what_cannot_be_configured_is_refused_at_start(token: Any, options: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        twilio(token, **options)
    assert TOKEN not in str(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_only_shared_keys_are_enough() -> None:
    using = twilio([], shared_keys={KEY: "a shared secret"})
    signed = headers(over(URL, VOICE, token="a shared secret", algorithm="sha256"), **settings())
    assert using.verify("/voice", BODY, signed) == ACCOUNT
    assert refusal("/voice", BODY, headers(over(URL, VOICE)), using=using) == "no_match"


def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    using = twilio([TOKEN, OTHER], shared_keys={KEY: "a shared secret"})
    assert repr(using) == "<TwilioSignature tokens=2 shared_keys=1>"
    using.verify("/voice", BODY, headers(over(URL, VOICE)))
    refusal("/voice", BODY, headers("x"), using=using)
    assert caplog.text == ""


# --- forwarded headers -------------------------------------------------------------------------------------------

FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "voice.example.com", "Host": "10.0.0.1:8000"}


def behind() -> TwilioSignature:
    return twilio(public_url=None, trusted_proxies=["10.0.0.0/8", "2001:db8::7"])


@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_forwarded_headers_of_a_trusted_proxy_count(peer: str) -> None:
    signed = headers(over(URL, VOICE), **FORWARDED)
    assert behind().verify("/voice", BODY, signed, peer=peer) == ACCOUNT
    assert behind().verify("http://10.0.0.1:8000/voice", BODY, signed, peer=peer) == ACCOUNT


@pytest.mark.parametrize("peer", [None, "", "192.0.2.1", "2001:db8::8", "10.1.2.3, 192.0.2.1", "unix:", "10.1.2.3\n"])
def test_those_of_anybody_else_do_not(peer: str | None) -> None:
    signed = headers(over(URL, VOICE), **FORWARDED)
    assert refusal("/voice", BODY, signed, using=behind(), peer=peer) == "proxy_not_trusted"
    assert refusal(URL, BODY, signed, using=behind(), peer=peer) == "proxy_not_trusted"


def test_a_proxy_that_appends_writes_the_last_value_and_one_that_passes_the_host_on_needs_no_other() -> None:
    for more in (
        FORWARDED | {"X-Forwarded-Proto": "http, https", "X-Forwarded-Host": "evil.example,voice.example.com"},
        {"X-Forwarded-Proto": "HTTPS", "Host": "voice.example.com"},
    ):
        assert behind().verify("/voice", BODY, headers(over(URL, VOICE), **more), peer="10.0.0.1") == ACCOUNT


@pytest.mark.parametrize(
    "more",
    [
        {"Host": "voice.example.com"},
        FORWARDED | {"X-Forwarded-Proto": "gopher"},
        FORWARDED | {"X-Forwarded-Host": "voice.example.com/x"},
        FORWARDED | {"X-Forwarded-Host": "a@voice.example.com"},
        FORWARDED | {"X-Forwarded-Host": ","},
    ],
)
def test_broken_forwarded_headers_are_refused(more: dict[str, str]) -> None:
    reason = refusal("/voice", BODY, headers(over(URL, VOICE), **more), using=behind(), peer="10.0.0.1")
    assert reason in {"header_missing", "header_malformed"}


def test_a_target_without_any_url_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="public_url"):
        twilio(public_url=None).verify("/voice", BODY, headers(over(URL, VOICE)))


# --- bodies and headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "body_type"),
        ({"CallSid": "CA1"}, "body_type"),
        ("\ud800", "body_encoding"),
        (b"a" * (MAX_FORM + 1), "body_too_large"),
        (b"a" * (MAX_BODY + 1), "body_too_large"),
        ("é" * (MAX_BODY - 1), "body_too_large"),
        (b"&" * MAX_FIELDS, "too_many_fields"),
        (b"a=1&" * MAX_FIELDS, "too_many_fields"),
        (b"a=" + b"%" * (MAX_FORM - 2), "no_match"),
        (b"=" * MAX_FORM, "no_match"),
        (b"%00=" + b"&" * (MAX_FIELDS - 1), "no_match"),
        (b"\xff\xfe=%ff", "no_match"),
    ],
)
def test_bodies_are_bounded_and_of_any_bytes(body: Any, reason: str) -> None:
    assert refusal("/voice", body, headers(over(URL, VOICE))) == reason


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({}, "header_missing"),
        (None, "header_malformed"),
        (7, "header_malformed"),
        ({"X-Twilio-Signature": ""}, "header_missing"),
        ({"X-Twilio-Signature": "é"}, "header_malformed"),
        ({"X-Twilio-Signature": "A" * 600}, "header_malformed"),
        ({"X-Twilio-Signature": 7}, "header_malformed"),
        ({"X-Twilio-Signature": ["a", "b"]}, "header_repeated"),
        ([("x-twilio-signature", "a"), ("X-Twilio-Signature", "a")], "header_repeated"),
        ({"X_Twilio_Signature": over(URL, VOICE)}, "header_missing"),
        ({"X-Twilio-Signature": "AAAA"}, "no_match"),
        ({"X-Twilio-Signature": over(URL, VOICE).lower()}, "no_match"),
    ],
)
def test_headers_that_prove_nothing(given_: Any, reason: str) -> None:
    assert refusal("/voice", BODY, given_) == reason


def test_headers_of_every_framework_are_read() -> None:
    signature = over(URL, VOICE)
    pairs = [("x-twilio-signature", signature), ("content-type", FORM)]
    for given_ in (
        pairs,
        dict(pairs),
        [(name.encode(), value.encode()) for name, value in pairs],
        {name: [value] for name, value in pairs},
        httpx.Headers(pairs),
        StarletteHeaders(dict(pairs)),
        werkzeug.datastructures.Headers(pairs),
        {"HTTP_X_TWILIO_SIGNATURE": signature, "CONTENT_TYPE": FORM},
    ):
        assert twilio().verify("/voice", BODY, given_) == ACCOUNT
    meta = {"HTTP_X_TWILIO_SIGNATURE": signature, "CONTENT_TYPE": "application/json"}
    assert refusal("/voice", BODY, meta) == "unhashed_body"


TARGETS = [
    "/voice?From=whatsapp%3A%2B5511987650001&Caller=sip%3A1001%40pbx.example.com&Name=Jo+Do",
    "/a%2Fb%7e?x=%7C&y=~&z=",
    "/voice?b=2&a=1&b=1",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_raw_target_of_wsgi_is_the_signed_one(target: str) -> None:
    environ = create_environ(target, "http://10.0.0.1:8000")
    signed = {"HTTP_X_TWILIO_SIGNATURE": over(BASE + target)}
    for name in ("RAW_URI", "REQUEST_URI"):
        assert twilio().verify(environ[name], b"", environ | signed, method="GET") is None


@pytest.mark.parametrize("target", TARGETS)
def test_the_raw_target_of_asgi_is_the_signed_one(target: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raw = scope["raw_path"] + b"?" + scope["query_string"]
        verified = twilio().verify(raw, b"", scope["headers"], method=scope["method"]) is None
        await PlainTextResponse(str(verified))(scope, receive, send)

    client = TestClient(app, base_url="http://10.0.0.1:8000")
    assert client.get(target, headers=headers(over(BASE + target), None)).text == "True"


# --- signing -----------------------------------------------------------------------------------------------------


def test_what_is_signed_here_is_verified_here() -> None:
    using = twilio({ACCOUNT: TOKEN, SUBACCOUNT: OTHER}, shared_keys={KEY: (ACCOUNT, "a shared secret")})
    assert using.verify("/voice", BODY, using.sign(URL, BODY)) == ACCOUNT
    assert using.verify("/voice", BODY, using.sign(URL, BODY, shared_key=KEY)) == ACCOUNT
    sub = urlencode([("AccountSid", SUBACCOUNT)])
    assert using.verify("/voice", sub, using.sign(URL, sub)) == SUBACCOUNT
    target = f"/a?AccountSid={SUBACCOUNT}"
    assert using.verify(target, b"", using.sign(BASE + target, method="GET"), method="GET") == SUBACCOUNT
    target = hashed("/a", JSON)
    assert (
        using.verify(target, JSON, {**using.sign(BASE + target, JSON), "content-type": "application/json"}) == ACCOUNT
    )


def test_what_cannot_be_signed_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        twilio().sign("/voice", BODY)
    with pytest.raises(InvalidRequestError):
        twilio().sign(URL, BODY, shared_key=KEY)


# --- beside the vendor's validator -------------------------------------------------------------------------------


class Fields:
    """A form as frameworks have it, which the vendor reads by `getlist`."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self._fields = fields

    def __iter__(self) -> Any:
        return iter([name for name, _ in self._fields])

    def __bool__(self) -> bool:
        return bool(self._fields)

    def getlist(self, name: str) -> list[str]:
        return [value for own, value in self._fields if own == name]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["From", "To", "a=b", "&", "%41"]
)
forms = st.lists(st.tuples(texts, texts), max_size=8)
targets = st.lists(
    st.sampled_from(["/", "voice", "%3A", "?", "&", "a=1", "+", "%2F", "é", "=", ":", "@"]), max_size=8
).map(lambda parts: "/v" + "".join(parts))
origins = st.sampled_from(["https://h.example", "https://h.example:8443", "http://h.example:80", "http://h.example"])


def accepted(using: TwilioSignature, target: str, body: str, signature: str, **options: Any) -> bool:
    try:
        using.verify(target, body, headers(signature), **options)
    except WebhookVerificationError:
        return False
    return True


@given(origins, targets, forms, st.data())
@example("https://h.example", "/v", [("a", ""), ("a", "")], None)
def test_law_the_vendors_validator_agrees(
    origin: str, target: str, fields: list[tuple[str, str]], data: st.DataObject | None
) -> None:
    fields = [(name, value) for name, value in fields if (name + value)[:1] not in {"", "/", "?", "&"}]
    assume(not target.endswith("?"))  # of which the vendor loses the "?"
    body = urlencode(fields)
    validator = RequestValidator(TOKEN)
    signed = data.draw(forms) if data is not None and data.draw(st.booleans()) else fields
    signature = validator.compute_signature(origin + target, Fields(signed))
    theirs = validator.validate(origin + target, Fields(parse_qsl(body, keep_blank_values=True)), signature)
    assert accepted(twilio(public_url=origin), target, body, signature) == theirs


@given(st.binary(max_size=60), st.binary(max_size=12))
@example(b"a&a=&a==", b"")
@example(b"%00=1&%01", b"")
@example(b"%3D=&=%3d", b"")
def test_law_a_form_is_decoded_in_one_way(form: bytes, more: bytes) -> None:
    form += b"&" + more
    texts = [name + value for name, value in sorted(set(fields_of(form)))]
    assert signed_form(form)[0] == b"".join(texts)
    pairs = parse_qsl(form.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    assert fields_of(form) == [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


@given(
    st.binary(max_size=300) | st.text(max_size=300), st.text(max_size=60) | st.binary(max_size=60), st.text(max_size=40)
)
def test_law_nothing_but_a_refusal_leaves_whatever_comes(body: bytes | str, target: Any, signature: str) -> None:
    for using in (twilio(), twilio({ACCOUNT: TOKEN}, BASE + "/app")):
        for method in ("POST", "GET", ""):
            for kind in (FORM, "application/json", None):
                refusal(target, body, headers(signature, kind), method=method, using=using)


@given(forms, st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_law_a_changed_form_is_refused(fields: list[tuple[str, str]], at: int, byte: int) -> None:
    body = urlencode(fields).encode()
    signature = over(URL, fields)
    if body and signed_form(body)[0][:1] not in {b"/", b"?", b"&"}:
        at %= len(body)
        changed = body[:at] + bytes([byte]) + body[at + 1 :]
        same = signed_form(changed)[0] == signed_form(body)[0]
        assert accepted(twilio(), "/voice", changed.decode("latin-1"), signature) == same or byte > 127


PIECES = st.sampled_from(
    [b"a", b"=", b"&", b"%", b"%00", b"%3D=", b"+", b"\xff", b"AccountSid=" + ACCOUNT.encode(), b"a=1&"]
)


@examples(max_examples=30)
@given(PIECES, PIECES, st.integers(0, MAX_FORM + 1000), st.binary(max_size=20))
def test_law_a_giant_form_is_read_in_bounds_or_refused(first: bytes, then: bytes, size: int, end: bytes) -> None:
    body = (first * (size // len(first) // 2) + then * (size // len(then) // 2) + end)[: MAX_FORM + 1]
    reason = refusal("/voice", body, headers(over(URL, VOICE)), using=twilio({ACCOUNT: TOKEN}, BASE))
    bound = "body_too_large" if len(body) > MAX_FORM else "too_many_fields" if body.count(b"&") >= MAX_FIELDS else None
    assert reason == bound or bound is None
    if bound is not None:
        with pytest.raises(WebhookPayloadError) as raised:
            read_webhook(body)
        assert raised.value.reason == bound
    else:
        assert len(read_webhook(body).fields.pairs) <= MAX_FIELDS


# --- what people reported ----------------------------------------------------------------------------------------


@reported("signature")
def test_reported(case: dict[str, Any]) -> None:
    given_, right = case["input"], case["right"]
    using = TwilioSignature(given_["auth_tokens"], given_["public_base_url"], shared_keys=given_["shared_keys"])
    request = (given_["target"], given_["body"].encode(), given_["headers"])
    if right["valid"]:
        using.verify(*request, method=given_["method"])
    else:
        refusal(*request, method=given_["method"], using=using)
