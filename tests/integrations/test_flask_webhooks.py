"""Flask: webhooks in an application, and handlers and tools with a context of theirs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from flask import Flask, Response, current_app, g, has_request_context, request
from flask.testing import FlaskClient
from orphans import SESSION, orphan
from webhook_requests import (
    CALL,
    DIALED,
    FORM,
    MESSAGE,
    RECORDED,
    STATUS,
    TWILIO,
    VOICE,
    TakingHost,
    client_of_tests,
    nobody,
    openai_headers,
    twilio_headers,
)

from realtime_sip import AsyncRealtimeSip, Call, CallLimits, IncomingCall, Submission, ThreadCallHost, Tools
from realtime_sip.errors import ConfigurationError, DeadlineError
from realtime_sip.integrations import exchange
from realtime_sip.integrations.flask import health, openai_webhook, twilio_webhook, verified_call, verified_webhook
from realtime_sip.testing import CallerHangsUp, CallerSays, EndedBy, ModelCalls, ModelSays, OpenAIEmulator
from realtime_sip.twilio import twiml
from realtime_sip.twilio.webhooks import CallWebhook, DialResult, VoiceWebhook
from serving import serving_wsgi


class TakingThreadHost(ThreadCallHost):
    """Takes every call, and keeps what it was given."""

    def __init__(self) -> None:
        super().__init__(nobody, client=client_of_tests())
        self.taken: list[IncomingCall] = []
        self.heard: list[CallWebhook] = []
        self.late = False

    def submit(self, incoming: IncomingCall, *, timeout: float | None = None) -> Submission:
        if self.late:
            raise DeadlineError("the call was not decided within 25 s", sent=True)
        self.taken.append(incoming)
        return Submission.STARTED

    def carrier(self, payload: CallWebhook) -> bool:
        self.heard.append(payload)
        return True


def application(host: TakingThreadHost) -> Flask:
    app = Flask(__name__)
    app.register_blueprint(openai_webhook(host))
    return app


def called(app: Flask, path: str = "/openai/webhook", **options: Any) -> Any:
    return app.test_client().post(path, data=CALL, headers=openai_headers(), **options)


# --- OpenAI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/openai/webhook", "/openai/webhook/"])
def test_a_call_is_submitted_and_the_webhook_answered(path: str) -> None:
    host = TakingThreadHost()
    assert called(application(host), path).status_code == 200
    assert [call.call_id for call in host.taken] == ["rtc_1"]


def test_a_forged_webhook_is_refused_and_nobody_is_called() -> None:
    host = TakingThreadHost()
    reply = application(host).test_client().post("/openai/webhook", data=CALL + b" ", headers=openai_headers())
    assert (reply.status_code, reply.text) == (400, "no_match")
    assert host.taken == []


def test_a_call_that_could_not_be_taken_comes_again() -> None:
    host = TakingThreadHost()
    host.late = True
    assert called(application(host)).status_code == 503


def test_another_method_is_refused() -> None:
    assert application(TakingThreadHost()).test_client().get("/openai/webhook").status_code == 405


def test_blueprints_can_be_many_and_have_a_prefix() -> None:
    first, second = TakingThreadHost(), TakingThreadHost()
    app = Flask(__name__)
    app.register_blueprint(openai_webhook(first), url_prefix="/first")
    app.register_blueprint(openai_webhook(second, path="/second.v1/calls"))
    app.register_blueprint(twilio_webhook(TWILIO, voice=lambda call: None))
    app.register_blueprint(twilio_webhook(TWILIO, path="/again", voice=lambda call: None))
    assert called(app, "/first/openai/webhook").status_code == 200
    assert called(app, "/second.v1/calls").status_code == 200
    assert (len(first.taken), len(second.taken)) == (1, 1)


@pytest.mark.parametrize("host", [None, TakingHost(), ThreadCallHost])
def test_a_host_that_ends_with_the_request_is_refused(host: Any) -> None:
    with pytest.raises(ConfigurationError, match="ThreadCallHost"):
        openai_webhook(host)
    with pytest.raises(ConfigurationError, match="ThreadCallHost"):
        health(host)


# --- the body ---------------------------------------------------------------------------------------------------------


def test_a_body_that_is_announced_as_too_large_is_not_read() -> None:
    app = application(TakingThreadHost())
    reply = app.test_client().post("/openai/webhook", data=b"x" * (exchange.MAX_BODY + 1), headers=openai_headers())
    assert reply.status_code == 413


@pytest.mark.parametrize(("size", "expected"), [(exchange.MAX_BODY + 1, 413), (exchange.MAX_BODY, 400)])
def test_a_body_in_chunks_that_is_too_large_is_not_cut_off(size: int, expected: int) -> None:
    app = application(TakingThreadHost())
    chunked = {"wsgi.input_terminated": True}
    headers = {**openai_headers(), "Transfer-Encoding": "chunked"}
    stream = io.BytesIO(b"x" * size)
    reply = app.test_client().post("/openai/webhook", input_stream=stream, headers=headers, environ_overrides=chunked)
    assert reply.status_code == expected


def test_a_limit_of_the_application_does_not_keep_webhooks_out() -> None:
    app = application(TakingThreadHost())
    app.config["MAX_CONTENT_LENGTH"] = 10
    assert called(app).status_code == 200


def test_who_reads_the_stream_before_is_named(caplog: pytest.LogCaptureFixture) -> None:
    app = application(TakingThreadHost())

    @app.before_request
    def reading() -> None:
        request.stream.read()

    assert called(app).status_code == 500
    assert "before_request" in caplog.text


def test_who_reads_the_form_before_twilios_webhook_is_named(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)
    app.register_blueprint(twilio_webhook(TWILIO, voice=lambda call: None))

    @app.before_request
    def reading() -> None:
        assert request.form["CallSid"]

    reply = app.test_client().post("/twilio/voice", data=VOICE, headers=twilio_headers("/twilio/voice"))
    assert reply.status_code == 500
    assert "request.form" in caplog.text


def test_what_reads_the_data_before_or_after_does_no_harm() -> None:
    host = TakingThreadHost()
    app = application(host)

    @app.before_request
    def before() -> None:
        assert request.get_data() == CALL

    @app.after_request
    def after(response: Response) -> Response:
        assert request.get_data() == CALL
        return response

    assert called(app).status_code == 200
    assert len(host.taken) == 1


# --- Twilio -----------------------------------------------------------------------------------------------------------


def test_each_function_gets_its_typed_payload_at_a_path_of_its_own() -> None:
    got: list[str] = []
    host = TakingThreadHost()

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        assert current_app.name
        got.append(f"voice of {call.caller}")
        return twiml.say("Hello.")

    app = Flask(__name__)
    app.register_blueprint(
        twilio_webhook(
            TWILIO,
            host=host,
            voice=voice,
            after_dial=lambda result: got.append(f"after {result.dial_status}"),
            recording=lambda recording: got.append(f"recorded {recording.recording_sid}"),
            message=lambda message: got.append(f"wrote {message.body}"),
        )
    )
    bodies = {"voice": VOICE, "after_dial": DIALED, "status": STATUS, "recording": RECORDED, "message": MESSAGE}
    replies = {
        name: app.test_client().post(f"/twilio/{name}", data=body, headers=twilio_headers(f"/twilio/{name}", body))
        for name, body in bodies.items()
    }
    assert got == ["voice of +14155550100", "after busy", "recorded RE1", "wrote Hello"]
    assert {name: reply.status_code for name, reply in replies.items()} == {
        **dict.fromkeys(("voice", "after_dial", "message"), 200),
        **dict.fromkeys(("status", "recording"), 204),
    }
    assert replies["voice"].mimetype == "text/xml"
    assert "<Say>Hello.</Say>" in replies["voice"].text
    assert [type(each).__name__ for each in host.heard] == ["DialResult", "CallStatusCallback"]


@pytest.mark.parametrize("target", ["/twilio/voice", "/twilio/voice/", "/twilio/voice?tier=caf%C3%A9&x=a+b%20c"])
def test_the_target_is_checked_as_it_was_requested(target: str) -> None:
    app = Flask(__name__)
    app.register_blueprint(twilio_webhook(TWILIO, voice=lambda call: twiml.say("Hello.")))
    raw = {"RAW_URI": target}  # as gunicorn has it; what Werkzeug's test client makes of the target is decoded
    for headers, expected in ((twilio_headers(target), 200), (twilio_headers("/twilio/else"), 403)):
        reply = app.test_client().post(target, data=VOICE, headers=headers, environ_overrides=raw)
        assert reply.status_code == expected


def test_a_webhook_by_get_is_answered_too() -> None:
    app = Flask(__name__)
    app.register_blueprint(twilio_webhook(TWILIO, voice=lambda call: twiml.say(f"You called {call.dialed}.")))
    target = f"/twilio/voice?{VOICE.decode()}"
    headers = twilio_headers(target, b"", method="GET")
    reply = app.test_client().get(target, headers=headers, environ_overrides={"RAW_URI": target})
    assert "+14155550199" in reply.text


# --- views of one's own -----------------------------------------------------------------------------------------------


def own_views(host: TakingThreadHost) -> FlaskClient:
    app = Flask(__name__)

    @app.post("/tenants/<tenant>/calls")
    @verified_call(host.client)
    def calls(call: IncomingCall, tenant: str) -> str:
        host.submit(call)
        return tenant

    @app.post("/menu")
    @verified_webhook(TWILIO, DialResult)
    def menu(dial: DialResult) -> str:
        return dial.dial_status

    return app.test_client()


def test_a_view_of_ones_own_gets_what_is_verified() -> None:
    host = TakingThreadHost()
    client = own_views(host)
    assert client.post("/tenants/acme/calls", data=CALL, headers=openai_headers()).text == "acme"
    assert len(host.taken) == 1
    assert client.post("/menu", data=DIALED, headers=twilio_headers("/menu", DIALED)).text == "busy"


def test_a_view_of_ones_own_is_not_reached_by_what_nothing_proves() -> None:
    host = TakingThreadHost()
    client = own_views(host)
    assert client.post("/tenants/acme/calls", data=CALL).status_code == 400
    live = b'{"type": "live.call.incoming", "data": {"session_id": "live_1"}}'
    assert client.post("/tenants/acme/calls", data=live, headers=openai_headers(live)).status_code == 200
    assert host.taken == []
    assert client.post("/menu", data=DIALED, headers=FORM).status_code == 403


def test_a_balancer_is_told_that_a_draining_host_takes_no_calls_and_still_lives() -> None:
    host = TakingThreadHost()
    app = Flask(__name__)
    app.register_blueprint(health(host))
    client = app.test_client()
    assert client.get("/health/ready").status_code == 200
    host.drain(0)
    ready, live = client.get("/health/ready"), client.get("/health/live")
    assert (ready.status_code, live.status_code) == (503, 200)
    assert ready.get_json()["status"] == "draining"


# --- whole calls ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def closing(host: ThreadCallHost) -> AsyncIterator[ThreadCallHost]:
    """Close the host in a thread, as the service is on this event loop."""
    try:
        yield host
    finally:
        await asyncio.to_thread(host.close)


async def test_handlers_and_tools_have_a_context_of_the_application_with_a_g_of_their_own() -> None:
    seen: dict[str, Any] = {}
    torn_down: list[str] = []
    tools = Tools()

    @tools.function
    def in_a_thread() -> str:
        """Look something up, blocking."""
        seen["thread"] = (current_app.name, "session" in g, has_request_context())
        g.session = "of the tool"
        return "yes"

    @tools.function
    async def in_a_task() -> str:
        """Look something up."""
        seen["task"] = (current_app.name, "session" in g, has_request_context())
        return "yes"

    async with OpenAIEmulator(speed=10) as openai:
        client = AsyncRealtimeSip(**openai.client_options)

        async def on_call(incoming: IncomingCall) -> None:
            seen["handler"] = (current_app.name, "session" in g, has_request_context())
            g.session = "of the handler"
            async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}, tools=tools) as call:
                call.respond("Greet the caller.")
                await call.wait_ended()

        async with closing(ThreadCallHost(on_call, client=client)) as host:
            app = Flask("shop")
            app.register_blueprint(openai_webhook(host))

            @app.before_request
            def connect() -> None:
                g.session = "of the request"

            @app.teardown_appcontext
            def close(_: BaseException | None) -> None:
                torn_down.append(g.pop("session", "none"))

            with serving_wsgi(app) as url:
                ringing = await openai.ring(
                    f"{url}/openai/webhook",
                    scenario=[
                        ModelSays("Hello."),
                        CallerSays("Look it up."),
                        ModelCalls("in_a_thread"),
                        ModelCalls("in_a_task", same_response=True),
                        ModelSays("Yes."),
                        CallerHangsUp(),
                    ],
                )
                assert (await ringing.ended()).by is EndedBy.CALLER
    assert seen == dict.fromkeys(("handler", "thread", "task"), ("shop", False, False))
    assert sorted(torn_down) == ["none", "of the handler", "of the request", "of the tool"]


# --- calls of other workers -------------------------------------------------------------------------------------------


async def test_a_call_that_is_taken_over_before_the_first_webhook_has_the_applications_context() -> None:
    app, seen, tools = Flask("shop"), list[object](), Tools()

    @tools.function
    def pay(call: Call) -> str:
        """Pay."""
        seen.append((current_app.name, bool(call.idempotency_key)))
        return "paid"

    async with OpenAIEmulator(speed=10) as openai:
        store, ringing = await orphan(openai)
        client = AsyncRealtimeSip(**openai.client_options)

        async def on_call(incoming: IncomingCall) -> None:
            seen.append(current_app.name)
            async with client.calls.answer(incoming, SESSION, tools=tools, limits=CallLimits(silence=None)) as call:
                seen.append(call.adopted is not None)
                await call.wait_ended()

        host = ThreadCallHost(on_call, client=client, store=store, drain_timeout=1.0)
        app.register_blueprint(openai_webhook(host))
        host.watch(around=app.app_context)
        try:
            assert (await ringing.ended()).by is EndedBy.CALLER
        finally:
            await asyncio.to_thread(host.close)
    assert seen == ["shop", True, ("shop", True)]
