"""FastAPI and Starlette: webhooks in an application, beside what such applications have."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeAlias

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from webhook_requests import (
    CALL,
    DIALED,
    FORM,
    MESSAGE,
    QUEUED,
    RECORDED,
    REFERRED,
    STATUS,
    TWILIO,
    VOICE,
    TakingHost,
    client_of_tests,
    nobody,
    openai_headers,
    twilio_headers,
)

from realtime_sip import IncomingCall, ThreadCallHost
from realtime_sip.errors import ConfigurationError
from realtime_sip.integrations import exchange
from realtime_sip.integrations.fastapi import health, openai_webhook, twilio_webhook, verified_call, verified_webhook
from realtime_sip.twilio import twiml
from realtime_sip.twilio.webhooks import DialResult, VoiceWebhook

Answered: TypeAlias = httpx.Response
VERIFIED = verified_call(client_of_tests())


async def posted(app: ASGIApp, path: str, body: bytes, headers: dict[str, str], *, method: str = "POST") -> Answered:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.request(method, path, content=body, headers=headers)


async def called(app: ASGIApp, path: str = "/openai/webhook") -> Answered:
    return await posted(app, path, CALL, openai_headers())


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """Run the application's lifespan, as a server does."""
    to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    yield
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await running


def application(host: TakingHost, *middleware: Any, **options: Any) -> FastAPI:
    app = FastAPI(**options)
    app.include_router(openai_webhook(host))
    for each in middleware:
        app.add_middleware(each)
    return app


# --- OpenAI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/openai/webhook", "/openai/webhook/"])
async def test_a_call_is_submitted_and_the_webhook_answered(path: str) -> None:
    host = TakingHost()
    reply = await called(application(host), path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert [call.call_id for call in host.taken] == ["rtc_1"]


async def test_a_router_can_have_a_prefix_and_a_path() -> None:
    host = TakingHost()
    app = FastAPI()
    inner = APIRouter(prefix="/inner")
    inner.include_router(openai_webhook(host, path="/calls"))
    app.include_router(inner, prefix="/api")
    assert (await called(app, "/api/inner/calls")).status_code == 200
    assert (await called(app, "/calls")).status_code == 404


async def test_a_forged_webhook_is_refused_and_nobody_is_called() -> None:
    host = TakingHost()
    reply = await posted(application(host), "/openai/webhook", CALL + b" ", openai_headers())
    assert (reply.status_code, reply.text) == (400, "no_match")
    assert host.taken == []


async def test_a_call_that_could_not_be_taken_comes_again() -> None:
    host = TakingHost()
    host.late = True
    assert (await called(application(host))).status_code == 503


async def test_another_method_is_refused() -> None:
    app = application(TakingHost())
    assert (await posted(app, "/openai/webhook", b"", {}, method="GET")).status_code == 405


def test_the_webhooks_are_no_part_of_the_api_that_the_application_describes() -> None:
    app = application(TakingHost())
    app.include_router(twilio_webhook(TWILIO, voice=lambda call: None))
    assert app.openapi()["paths"] == {}


@pytest.mark.parametrize("host", [None, object(), TakingHost, ThreadCallHost(nobody, client=client_of_tests())])
def test_a_host_that_is_none_is_refused(host: Any) -> None:
    with pytest.raises(ConfigurationError, match="a ThreadCallHost is for"):
        openai_webhook(host)
    with pytest.raises(ConfigurationError, match="a ThreadCallHost is for"):
        health(host)


# --- the drain --------------------------------------------------------------------------------------------------------


async def test_the_router_drains_the_host_when_the_application_stops() -> None:
    host = TakingHost()
    stopped: list[str] = []

    @asynccontextmanager
    async def own(_: FastAPI) -> AsyncIterator[None]:
        yield
        stopped.append("draining" if host.health().draining else "up")

    app = application(host, lifespan=own)
    async with started(app):
        assert host.has_lifespan
        assert not host.health().draining
        await called(app)
    assert host.health().draining
    assert len(stopped) == 1


@pytest.mark.parametrize("mounted", [True, False])
async def test_a_mounted_application_is_told_that_its_calls_would_be_cut_off(
    mounted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    host = TakingHost()
    app = application(host)
    if mounted:
        outer = FastAPI()
        outer.mount("/phone", app)
    async with started(outer if mounted else app):
        for _ in range(2):
            assert (
                await called(outer if mounted else app, "/phone/openai/webhook" if mounted else "/openai/webhook")
            ).status_code == 200
    assert caplog.text.count("no lifespan has begun") == (1 if mounted else 0)


async def test_starlette_takes_the_routes_and_the_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    host = TakingHost()
    app = Starlette(routes=openai_webhook(host).routes, lifespan=host.lifespan)
    async with started(app):
        assert (await called(app)).status_code == 200
    assert host.health().draining
    assert "lifespan" not in caplog.text


# --- the body ---------------------------------------------------------------------------------------------------------


async def sent(app: ASGIApp, chunks: Iterable[bytes], headers: dict[str, str]) -> tuple[int, int]:
    """POST in chunks, as they are asked for; return the status and how many were."""
    waiting, asked, status = list(chunks), 0, 0

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        if not waiting:
            await asyncio.Event().wait()
        asked += 1
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/openai/webhook",
        "raw_path": b"/openai/webhook",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return status, asked


async def test_a_body_that_is_announced_as_too_large_is_not_read() -> None:
    headers = {**openai_headers(), "content-length": "2000000"}
    assert await sent(application(TakingHost()), [b"x"] * 3, headers) == (413, 0)


async def test_a_body_that_grows_too_large_is_read_no_further() -> None:
    headers = {**openai_headers(), "transfer-encoding": "chunked"}
    assert await sent(application(TakingHost()), [b"x" * 600_000] * 9, headers) == (413, 2)


async def test_a_body_in_chunks_is_whole() -> None:
    host = TakingHost()
    headers = {**openai_headers(), "transfer-encoding": "chunked"}
    assert await sent(application(host), [CALL[:9], b"", CALL[9:]], headers) == (200, 3)
    assert len(host.taken) == 1


async def test_a_middleware_that_reads_and_passes_nothing_on_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exchange, "READ_WITHIN", 0.01)

    class Reading:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            while (await receive()).get("more_body"):
                pass
            await self.app(scope, receive, send)

    status, _ = await sent(application(TakingHost(), Reading), [CALL], openai_headers())
    assert status == 408
    assert "a middleware has read it" in caplog.text


async def test_a_middleware_that_reads_the_stream_leaves_nothing_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Reading(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            async for _ in request.stream():
                pass
            return await call_next(request)

    reply = await called(application(TakingHost(), Reading))
    assert reply.status_code == 500
    assert "BaseHTTPMiddleware" in caplog.text


async def test_middlewares_that_leave_the_body_alone_do_no_harm() -> None:
    class Reading(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            assert await request.body() == CALL
            return await call_next(request)

    host = TakingHost()
    assert (await called(application(host, Reading, GZipMiddleware))).status_code == 200
    assert len(host.taken) == 1


# --- Twilio -----------------------------------------------------------------------------------------------------------


async def test_each_function_gets_its_typed_payload_at_a_path_of_its_own() -> None:
    got: list[str] = []
    host = TakingHost()

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        got.append(f"voice of {call.caller}")
        return twiml.say("Hello.")

    async def after_dial(result: DialResult) -> str:
        got.append(f"after {result.dial_status}")
        return "<Response><Hangup/></Response>"

    async def refer(asked: Any) -> twiml.VoiceResponse:
        got.append(f"refer to {asked.target.kind}")
        return twiml.say("One moment.")

    app = FastAPI()
    app.include_router(
        twilio_webhook(
            TWILIO,
            host=host,
            voice=voice,
            after_dial=after_dial,
            after_queue=lambda call: got.append(f"left {call.queue_result}"),
            refer=refer,
            status=lambda call: got.append(f"status {call.status}"),
            recording=lambda recording: got.append(f"recorded {recording.recording_sid}"),
            message=lambda message: got.append(f"wrote {message.body}"),
        )
    )
    replies = {}
    for name, body in {
        "voice": VOICE,
        "after_dial": DIALED,
        "after_queue": QUEUED,
        "refer": REFERRED,
        "status": STATUS,
        "recording": RECORDED,
        "message": MESSAGE,
    }.items():
        path = f"/twilio/{name}"
        replies[name] = await posted(app, path, body, twilio_headers(path, body))
    assert got == [
        *("voice of +14155550100", "after busy", "left bridged", "refer to sip"),
        *("status completed", "recorded RE1", "wrote Hello"),
    ]
    assert {name: reply.status_code for name, reply in replies.items()} == {
        **dict.fromkeys(("voice", "after_dial", "after_queue", "refer", "message"), 200),
        **dict.fromkeys(("status", "recording"), 204),
    }
    assert replies["voice"].headers["content-type"].startswith("text/xml")
    assert "<Say>Hello.</Say>" in replies["voice"].text
    assert [type(each).__name__ for each in host.heard] == [
        "DialResult",
        "QueueResult",
        "ReferRequest",
        "CallStatusCallback",
    ]


@pytest.mark.parametrize("target", ["/twilio/voice", "/twilio/voice/", "/twilio/voice?tier=caf%C3%A9&x=a+b%20c"])
async def test_the_target_is_checked_as_it_was_requested(target: str) -> None:
    app = FastAPI()
    app.include_router(twilio_webhook(TWILIO, voice=lambda call: twiml.say("Hello.")))
    assert (await posted(app, target, VOICE, twilio_headers(target))).status_code == 200
    assert (await posted(app, target, VOICE, twilio_headers("/twilio/else"))).status_code == 403


async def test_a_webhook_by_get_is_answered_too() -> None:
    app = FastAPI()
    app.include_router(twilio_webhook(TWILIO, voice=lambda call: twiml.say(f"You called {call.dialed}.")))
    target = f"/twilio/voice?{VOICE.decode()}"
    reply = await posted(app, target, b"", twilio_headers(target, b"", method="GET"), method="GET")
    assert "+14155550199" in reply.text


async def test_what_is_not_twilios_reaches_no_function() -> None:
    got: list[object] = []
    app = FastAPI()
    app.include_router(twilio_webhook(TWILIO, voice=got.append))
    assert (await posted(app, "/twilio/voice", VOICE, FORM)).status_code == 403
    assert got == []


async def test_what_a_function_raises_is_the_applications_error_so_that_twilio_asks_the_fallback() -> None:
    def voice(call: VoiceWebhook) -> None:
        raise LookupError("no such number")

    app = FastAPI()
    app.include_router(twilio_webhook(TWILIO, voice=voice))
    with pytest.raises(LookupError):
        await posted(app, "/twilio/voice", VOICE, twilio_headers("/twilio/voice"))


async def test_without_a_signature_the_application_says_so_itself() -> None:
    app = FastAPI()
    app.include_router(twilio_webhook(None, voice=lambda call: None))
    assert (await posted(app, "/twilio/voice", VOICE, FORM)).status_code == 200


# --- routes of one's own ----------------------------------------------------------------------------------------------


def own_routes(host: TakingHost) -> FastAPI:
    app = FastAPI()

    @app.post("/calls/{tenant}", status_code=204)
    async def calls(tenant: str, call: Annotated[IncomingCall, Depends(VERIFIED)]) -> None:
        await host.submit(call)

    @app.post("/menu")
    async def menu(
        request: Request, call: Annotated[VoiceWebhook, Depends(verified_webhook(TWILIO, VoiceWebhook))]
    ) -> Response:
        assert await request.body() == VOICE
        return Response(call.caller)

    return app


async def test_a_route_of_ones_own_gets_what_is_verified() -> None:
    host = TakingHost()
    app = own_routes(host)
    assert (await called(app, "/calls/acme")).status_code == 204
    assert len(host.taken) == 1
    assert (await posted(app, "/menu", VOICE, twilio_headers("/menu"))).text == "+14155550100"


async def test_a_route_of_ones_own_is_not_reached_by_what_nothing_proves() -> None:
    host = TakingHost()
    app = own_routes(host)
    refused = await posted(app, "/calls/acme", CALL, {})
    assert (refused.status_code, refused.json()) == (400, {"detail": "header_missing"})
    assert (await posted(app, "/menu", VOICE, FORM)).status_code == 403
    live = json.dumps({"type": "live.call.incoming", "data": {"session_id": "live_1"}}).encode()
    assert (await posted(app, "/calls/acme", live, openai_headers(live))).status_code == 200
    assert host.taken == []


async def test_what_has_read_the_stream_before_the_dependency_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """As a parameter that is a form does."""
    app = FastAPI()

    async def reading(request: Request) -> None:
        async for _ in request.stream():
            pass

    @app.post("/menu", dependencies=[Depends(reading)])
    async def menu(call: Annotated[VoiceWebhook, Depends(verified_webhook(TWILIO, VoiceWebhook))]) -> None:
        raise AssertionError

    assert (await posted(app, "/menu", VOICE, twilio_headers("/menu"))).status_code == 500
    assert "Form()" in caplog.text


# --- a balancer -------------------------------------------------------------------------------------------------------


async def test_a_balancer_is_told_that_a_draining_host_takes_no_calls_and_still_lives() -> None:
    host = TakingHost()
    app = FastAPI()
    app.include_router(health(host))
    assert (await posted(app, "/health/ready", b"", {}, method="GET")).json()["status"] == "ready"
    await host.drain(0)
    ready, live = [await posted(app, f"/health/{name}", b"", {}, method="GET") for name in ("ready", "live")]
    assert (ready.status_code, live.status_code) == (503, 200)
    assert ready.json()["status"] == "draining"


async def test_a_mount_of_starlette_drains_by_the_lifespan_of_the_application(caplog: pytest.LogCaptureFixture) -> None:
    host = TakingHost()
    app = Starlette(routes=[Mount("/phone", routes=openai_webhook(host).routes)], lifespan=host.lifespan)
    async with started(app):
        assert (await called(app, "/phone/openai/webhook")).status_code == 200
    assert "lifespan" not in caplog.text


async def test_the_log_says_nothing_of_who_called(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="realtime_sip.integrations"):
        app = FastAPI()
        app.include_router(twilio_webhook(TWILIO, voice=lambda call: None))
        await posted(app, "/twilio/voice", VOICE, FORM)
    assert "4155550100" not in caplog.text
