"""What a request means, whatever the framework: what is refused, with which status, and what is answered."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from realtime_sip.errors import ConfigurationError
from realtime_sip.hosting.health import Health
from realtime_sip.integrations import exchange
from realtime_sip.integrations.exchange import Received, Reply, Route
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.webhooks import (
    AnsweredByCallback,
    CallPermissionReply,
    CallStatusCallback,
    DialResult,
    IncomingMessage,
    TwilioWebhook,
    VoiceWebhook,
)
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

NOW = 1_795_000_000
WEBHOOKS = OpenAIWebhooks("a secret of the tests", clock=lambda: NOW)
CALL = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": []}}'
URL = "https://voice.example.com"
TWILIO = TwilioSignature("a token of the tests", URL)
FORM = {"content-type": "application/x-www-form-urlencoded"}
VOICE = b"CallSid=CA1&From=%2B14155550100&To=%2B14155550199&CallStatus=ringing&Direction=inbound"
CULPRITS = "whoever was there"


def from_openai(
    body: bytes = CALL, *, method: str = "POST", sent: bytes | None = None, headers: dict[str, str] | None = None
) -> Received:
    """Return a signed request; `sent` is what arrives in place of the body."""
    signed = WEBHOOKS.sign(body, id="wh_1", timestamp=NOW)
    return Received(
        method=method,
        target=b"/openai/webhook",
        headers={**signed, **(headers or {})},
        body=body if sent is None else sent,
    )


def from_twilio(
    body: bytes = VOICE, *, target: str = "/twilio/voice", method: str = "POST", headers: dict[str, str] | None = None
) -> Received:
    signed = TWILIO.sign(URL + target, body, method=method)
    return Received(method=method, target=target.encode(), headers={**FORM, **signed, **(headers or {})}, body=body)


def call(received: Received) -> IncomingCall | Reply:
    return exchange.incoming_call(received, WEBHOOKS, culprits=CULPRITS)


def payload(
    received: Received, kind: type[TwilioWebhook] = VoiceWebhook, signature: TwilioSignature | None = TWILIO
) -> TwilioWebhook | Reply:
    return exchange.twilio_payload(received, kind, signature, culprits=CULPRITS)


def status(found: object) -> int:
    assert isinstance(found, Reply)
    return found.status


# --- OpenAI -----------------------------------------------------------------------------------------------------------


def test_a_signed_webhook_is_its_call() -> None:
    found = call(from_openai())
    assert isinstance(found, IncomingCall)
    assert found.call_id == "rtc_1"


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (from_openai(method="GET"), 405),
        (from_openai(sent=CALL + b" "), 400),
        (from_openai(b"[]"), 400),
        (Received(method="POST", target=b"/", headers={}, body=CALL), 400),
        (from_openai(sent=b"x" * (exchange.MAX_BODY + 1)), 413),
        (from_openai(sent=b""), 400),
        (from_openai(sent=b"", headers={"content-length": "0"}), 400),
    ],
    ids=["method", "another body", "no event", "unsigned", "too large", "empty", "announced as empty"],
)
def test_what_is_no_webhook_is_refused_with_a_status_that_says_so(received: Received, expected: int) -> None:
    assert status(call(received)) == expected


@pytest.mark.parametrize("announced", [{"content-length": "83"}, {"transfer-encoding": "chunked"}])
def test_a_body_that_somebody_else_has_read_is_said_so_and_is_no_bad_signature(
    announced: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert status(call(from_openai(sent=b"", headers=announced))) == 500
    assert CULPRITS in caplog.text
    assert status(payload(Received(method="POST", target=b"/", headers=announced, body=b""))) == 500


@pytest.mark.parametrize("kind", ["live.call.incoming", "live.transport.incoming", "batch.completed"])
def test_an_event_that_is_no_call_is_answered_and_said_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"type": "%b", "data": {"session_id": "live_1"}}' % kind.encode()
    exchange._passed_over.discard(kind)
    with caplog.at_level(logging.INFO, logger="realtime_sip.integrations"):
        assert [status(call(from_openai(body))) for _ in range(3)] == [200] * 3
    assert caplog.text.count(kind) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Content-Length": str(exchange.MAX_BODY + 1)}, True),
        ([(b"content-length", b"99999999")], True),
        ({"CONTENT_LENGTH": "9" * 19}, True),
        ({"content-length": str(exchange.MAX_BODY)}, False),
        ({"content-length": "many"}, False),
        ({"content-length": "٣" * 9}, False),
        ([("content-length", "1"), ("content-length", "99999999")], False),
        ({}, False),
    ],
)
def test_a_body_that_is_announced_as_too_long_need_not_be_read(headers: object, expected: bool) -> None:
    assert exchange.is_too_long(headers) is expected


# --- Twilio -----------------------------------------------------------------------------------------------------------


def test_a_signed_form_is_what_it_says() -> None:
    found = payload(from_twilio())
    assert isinstance(found, VoiceWebhook)
    assert (found.call_sid, found.caller) == ("CA1", "+14155550100")


def test_a_webhook_by_get_has_its_fields_in_the_query() -> None:
    found = payload(from_twilio(b"", target=f"/twilio/voice?{VOICE.decode()}", method="GET"))
    assert isinstance(found, VoiceWebhook)
    assert found.dialed == "+14155550199"


def test_what_something_else_has_proven_needs_no_signature() -> None:
    assert isinstance(
        payload(Received(method="POST", target=b"/", headers=FORM, body=VOICE), signature=None), VoiceWebhook
    )


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (from_twilio(method="PUT"), 405),
        (Received(method="POST", target=b"/twilio/voice", headers=FORM, body=VOICE), 403),
        (from_twilio(target="/twilio/else"), 200),
        (from_twilio(b"MessageSid=SM1"), 400),
        (from_twilio(b"a=1&" * 1000 + b"a=1"), 413),
        (from_twilio(b"a=" + b"1" * 300_000), 413),
        (from_twilio(headers={"X-Twilio-Webhooks-Signature-Settings": "key=other,algorithm=HMAC_SHA256"}), 500),
    ],
    ids=["method", "unsigned", "another path", "another kind", "too many fields", "too large", "unknown key"],
)
def test_what_is_not_twilios_is_refused_with_a_status_that_says_so(received: Received, expected: int) -> None:
    found = payload(received)
    assert (found.status if isinstance(found, Reply) else 200) == expected


def test_a_message_is_read_as_what_it_is() -> None:
    asked = b"MessageSid=SM1&Body=VOICE_CALL_REQUEST&ButtonPayload=ACCEPTED"
    assert type(payload(from_twilio(asked), IncomingMessage)) is CallPermissionReply
    assert type(payload(from_twilio(b"MessageSid=SM1&Body=Hello"), IncomingMessage)) is IncomingMessage
    # A report about a message of the program's own must not be answered as if somebody had written.
    assert status(payload(from_twilio(b"MessageSid=SM1&MessageStatus=sent"), IncomingMessage)) == 400


def function(_: Any) -> None:
    """Answer nothing."""


def routes(host: Any = None, **functions: Any) -> list[Route]:
    return exchange.twilio_routes(host, functions)  # type: ignore[arg-type] # some tests give what is not allowed


def test_there_is_a_path_for_each_function_and_one_for_what_a_host_hears() -> None:
    class Host:
        def carrier(self, payload: Any) -> bool:
            return True

    assert [(each.name, each.kind) for each in routes(voice=function, after_dial=function)] == [
        ("voice", VoiceWebhook),
        ("after_dial", DialResult),
    ]
    only = routes(Host())
    heard = [("status", CallStatusCallback, None), ("answered", AnsweredByCallback, None)]
    assert [(each.name, each.kind, each.function) for each in only] == heard
    others = dict.fromkeys(("voice", "after_dial", "after_queue", "refer", "recording", "message"), function)
    assert {each.name for each in routes(Host(), **others) if each.host is not None} == {
        *("after_dial", "after_queue", "refer", "status", "answered")
    }


@pytest.mark.parametrize("functions", [{}, {"voice": "say hello"}, {"voices": function}])
def test_what_answers_nothing_is_refused_before_a_phone_rings(functions: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        routes(**functions)


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("voice", twiml.say("Hello."), Reply(200, str(twiml.say("Hello.")), "text/xml")),
        ("voice", "<Response/>", Reply(200, "<Response/>", "text/xml")),
        ("voice", None, Reply(200, "<Response/>", "text/xml")),
        ("message", None, Reply(200, "<Response/>", "text/xml")),
        ("status", None, Reply(204)),
        ("recording", None, Reply(204)),
        ("recording", "<Response/>", Reply(200, "<Response/>", "text/xml")),
    ],
)
def test_who_waits_for_twiml_gets_some(name: str, answer: object, expected: Reply) -> None:
    (route,) = routes(**{name: function})
    assert route.reply(answer) == expected


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health(live=1, max_calls=2, draining=False), (200, "ready")),
        (Health(live=2, max_calls=2, draining=False), (503, "full")),
        (Health(live=1, max_calls=2, draining=True), (503, "draining")),
    ],
)
def test_a_balancer_learns_whether_calls_are_taken_and_whether_the_process_lives(
    health: Health, expected: tuple[int, str]
) -> None:
    ready, live = exchange.health_reply(health, ready=True), exchange.health_reply(health, ready=False)
    assert ready.status == expected[0]
    assert live.status == 200
    assert f'"status": "{expected[1]}"' in ready.body


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RAW_URI": "/caf%C3%A9?a=%20", "PATH_INFO": "/cafÃ©"}, b"/caf%C3%A9?a=%20"),
        ({"REQUEST_URI": "/voice", "PATH_INFO": "/else"}, b"/voice"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/caf\xc3\xa9", "QUERY_STRING": "a=%20"}, b"/app/caf%C3%A9?a=%20"),
        ({"PATH_INFO": "/voice", "QUERY_STRING": ""}, b"/voice"),
    ],
)
def test_the_target_under_wsgi_is_as_it_came_in(environ: dict[str, str], expected: bytes) -> None:
    assert exchange.wsgi_target(environ) == expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"raw_path": b"/caf%C3%A9", "path": "/café", "query_string": b"a=%20"}, b"/caf%C3%A9?a=%20"),
        ({"raw_path": None, "path": "/café", "query_string": b""}, b"/caf%C3%A9"),
        ({"path": "/a b@c"}, b"/a%20b@c"),
    ],
)
def test_the_target_under_asgi_is_as_it_came_in(scope: dict[str, Any], expected: bytes) -> None:
    assert exchange.asgi_target(scope) == expected


def test_paths_have_both_forms() -> None:
    assert exchange.both_forms("/openai/webhook") == ["/openai/webhook", "/openai/webhook/"]
    assert exchange.both_forms("/openai/webhook/") == ["/openai/webhook", "/openai/webhook/"]
    assert exchange.both_forms("/") == ["/"]
    with pytest.raises(ConfigurationError):
        exchange.both_forms("openai/webhook")


def test_no_repr_shows_what_somebody_sent() -> None:
    shown = repr(from_twilio(target="/twilio/voice?token=secret"))
    assert "secret" not in shown
    assert "4155550100" not in shown
