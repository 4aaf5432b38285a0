"""Django: webhooks as views under both kinds of servers, beside what projects have; checks, settings, a database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import shop_calls
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path, set_script_prefix
from orphans import SESSION, orphan
from test_flask_webhooks import TakingThreadHost, closing
from webhook_requests import (
    CALL,
    DIALED,
    FORM,
    STATUS,
    TWILIO,
    URL,
    VOICE,
    TakingHost,
    client_of_tests,
    nobody,
    openai_headers,
    twilio_headers,
)

import django_project
from realtime_sip import AsyncRealtimeSip, CallHost, CallLimits, IncomingCall, ThreadCallHost, Tools
from realtime_sip.call.options import around_code
from realtime_sip.errors import ConfigurationError
from realtime_sip.integrations import exchange
from realtime_sip.integrations.django import (
    asgi,
    health,
    openai_webhook,
    twilio_webhook,
    verified_call,
    verified_webhook,
)
from realtime_sip.integrations.django import connections as of_calls
from realtime_sip.testing import CallerHangsUp, CallerSays, EndedBy, ModelCalls, ModelSays, OpenAIEmulator
from realtime_sip.twilio import twiml
from realtime_sip.twilio.webhooks import DialResult, VoiceWebhook
from serving import serving, serving_wsgi

JSON = "application/json"
FORM_TYPE = FORM["content-type"]


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return what sets the project's URLs for this test."""
    from django.urls import clear_url_caches

    def to(*patterns: Any) -> None:
        monkeypatch.setattr(django_project, "urlpatterns", list(patterns))
        clear_url_caches()

    yield to
    monkeypatch.undo()
    clear_url_caches()


def posted(client: Client, target: str, body: bytes, headers: dict[str, str], **extra: Any) -> Any:
    kind = headers.get("content-type", JSON)
    sent = {name: value for name, value in headers.items() if name != "content-type"}
    return client.post(target, data=body, content_type=kind, headers=sent, **extra)


def called(client: Client | None = None, target: str = "/openai/webhook", **extra: Any) -> Any:
    return posted(
        Client(enforce_csrf_checks=True) if client is None else client, target, CALL, openai_headers(), **extra
    )


# --- OpenAI -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/openai/webhook", "/openai/webhook/"])
def test_a_call_is_submitted_past_csrf_and_login(target: str, urls: Callable[..., None]) -> None:
    host = TakingThreadHost()
    view = openai_webhook(host)
    urls(path("openai/webhook", view), path("openai/webhook/", view))
    assert called(target=target).status_code == 200
    assert [call.call_id for call in host.taken] == ["rtc_1"]


async def test_a_call_is_submitted_by_an_async_view_to_a_host_of_the_event_loop(
    urls: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    host = TakingHost()
    urls(path("openai/webhook", openai_webhook(host)))
    for _ in range(2):
        reply = await AsyncClient(enforce_csrf_checks=True).post(
            "/openai/webhook", data=CALL, content_type=JSON, headers=openai_headers()
        )
        assert reply.status_code == 200
    assert len(host.taken) == 2
    assert caplog.text.count("no lifespan has begun") == 1


def test_a_host_of_the_event_loop_says_what_is_wrong_under_wsgi__each_time(urls: Callable[..., None]) -> None:
    urls(path("openai/webhook", openai_webhook(in_memory())))
    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match="take a ThreadCallHost"):
            called()


def test_a_forged_webhook_is_refused_and_nobody_is_called(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()
    urls(path("openai/webhook", openai_webhook(host)))
    reply = posted(Client(), "/openai/webhook", CALL + b" ", openai_headers())
    assert (reply.status_code, reply.content) == (400, b"no_match")
    assert Client().get("/openai/webhook").status_code == 405
    assert host.taken == []


def test_a_call_that_could_not_be_taken_comes_again(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()
    host.late = True
    urls(path("openai/webhook", openai_webhook(host)))
    assert called().status_code == 503


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        openai_webhook(None)  # type: ignore[arg-type]


# --- the body ---------------------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused(urls: Callable[..., None]) -> None:
    urls(path("openai/webhook", openai_webhook(TakingThreadHost())))
    assert posted(Client(), "/openai/webhook", b"x" * (exchange.MAX_BODY + 1), openai_headers()).status_code == 413
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        assert called().status_code == 413


def reads(how: Callable[[HttpRequest], object]) -> Callable[[Any], Any]:
    """Return a decorator that reads the request before the view."""

    def decorate(view: Any) -> Any:
        def reading(request: HttpRequest) -> Any:
            how(request)
            return view(request)

        reading.csrf_exempt = True  # type: ignore[attr-defined]
        reading.login_required = False  # type: ignore[attr-defined]
        return reading

    return decorate


def test_who_reads_the_request_before_is_named(urls: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    view = openai_webhook(TakingThreadHost())
    urls(path("openai/webhook", reads(lambda request: request.read())(view)))
    assert called().status_code == 500
    assert "request.read()" in caplog.text


def test_who_reads_the_body_or_a_form_before_does_no_harm(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()
    patterns = twilio_webhook(TWILIO, voice=lambda call: None)
    urls(
        path("openai/webhook", reads(lambda request: request.body)(openai_webhook(host))),
        path("twilio/voice", reads(lambda request: request.POST)(patterns[0].callback)),
    )
    assert called().status_code == 200
    assert posted(Client(), "/twilio/voice", VOICE, twilio_headers("/twilio/voice")).status_code == 200


def test_a_view_of_rest_framework_that_has_read_multipart_data_is_named(
    urls: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    api_view: Any = pytest.importorskip("rest_framework.decorators").api_view

    inner = openai_webhook(TakingThreadHost())

    def reading(request: Any) -> Any:
        assert request.data is not None
        return inner(request._request)

    view = api_view(["POST"])(reading)
    view.login_required = False
    urls(path("openai/webhook", view))
    body = b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--\r\n"
    headers = {**openai_headers(body), "content-type": "multipart/form-data; boundary=b"}
    assert posted(Client(), "/openai/webhook", body, headers).status_code == 500
    assert "request.data" in caplog.text


# --- Twilio -----------------------------------------------------------------------------------------------------------


def test_each_function_gets_its_typed_payload_at_a_path_of_its_own(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()

    async def after_dial(result: DialResult) -> twiml.VoiceResponse:
        return twiml.say(result.dial_status)

    urls(
        path(
            "twilio/",
            include(twilio_webhook(TWILIO, host=host, voice=lambda call: twiml.say("Hello."), after_dial=after_dial)),
        )
    )
    client = Client(enforce_csrf_checks=True)
    voice = posted(client, "/twilio/voice", VOICE, twilio_headers("/twilio/voice"))
    assert (voice.status_code, voice["content-type"]) == (200, "text/xml")
    assert b"<Say>Hello.</Say>" in voice.content
    after = posted(client, "/twilio/after_dial/", DIALED, twilio_headers("/twilio/after_dial/", DIALED))
    assert b"<Say>busy</Say>" in after.content
    assert posted(client, "/twilio/status", STATUS, twilio_headers("/twilio/status", STATUS)).status_code == 204
    assert [type(each).__name__ for each in host.heard] == ["DialResult", "CallStatusCallback"]
    assert posted(client, "/twilio/voice", VOICE, FORM).status_code == 403
    assert posted(client, "/twilio/refer", VOICE, FORM).status_code == 404


def test_the_target_is_checked_as_it_was_requested(urls: Callable[..., None]) -> None:
    urls(path("twilio/", include(twilio_webhook(TWILIO, voice=lambda call: twiml.say("Hello.")))))
    target = "/twilio/voice?tier=caf%C3%A9&x=a+b%20c"
    for headers, expected in ((twilio_headers(target), 200), (twilio_headers("/twilio/else"), 403)):
        assert posted(Client(), target, VOICE, headers, REQUEST_URI=target).status_code == expected


# --- views of one's own -----------------------------------------------------------------------------------------------


def test_a_view_of_ones_own_gets_what_is_verified(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()

    @verified_call(host.client)
    def calls(request: HttpRequest, call: IncomingCall, tenant: str) -> HttpResponse:
        host.submit(call)
        return HttpResponse(tenant)

    @verified_webhook(TWILIO, VoiceWebhook)
    async def menu(request: HttpRequest, call: VoiceWebhook) -> HttpResponse:
        return HttpResponse(call.caller)

    urls(path("<tenant>/calls", calls), path("menu", menu))
    assert called(target="/acme/calls").content == b"acme"
    assert posted(Client(enforce_csrf_checks=True), "/menu", VOICE, twilio_headers("/menu")).content == b"+14155550100"
    assert posted(Client(), "/acme/calls", CALL, {}).status_code == 400
    assert posted(Client(), "/menu", VOICE, FORM).status_code == 403
    assert len(host.taken) == 1


def test_a_balancer_is_told_that_a_draining_host_takes_no_calls_and_still_lives(urls: Callable[..., None]) -> None:
    host = TakingThreadHost()
    urls(path("health/", include(health(host))))
    assert Client().get("/health/ready").status_code == 200
    host.drain(0)
    assert [Client().get(f"/health/{name}").status_code for name in ("ready", "live")] == [503, 200]


# --- the app ----------------------------------------------------------------------------------------------------------


def test_the_urls_serve_what_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[IncomingCall] = []

    def submit(incoming: IncomingCall, **_: Any) -> Any:
        from realtime_sip import Submission

        taken.append(incoming)
        return Submission.STARTED

    monkeypatch.setattr(shop_calls.host, "submit", submit)
    client = Client(enforce_csrf_checks=True)
    assert called(client).status_code == 200
    assert called(client, "/openai/webhook/").status_code == 200
    assert len(taken) == 2
    assert b"+14155550199" in posted(client, "/twilio/voice", VOICE, twilio_headers("/twilio/voice")).content
    assert posted(client, "/twilio/message", VOICE, FORM).status_code == 404
    assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler])
async def test_in_a_project_whose_requests_are_transactions_a_webhook_is_none(
    handler: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, table: None
) -> None:
    """A view that is async cannot be one, and one that waits for a decision would lock what the handler needs."""
    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict, "ATOMIC_REQUESTS", True)
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    within: list[bool] = []

    class Looking(TakingThreadHost):
        def submit(self, incoming: IncomingCall, *, timeout: float | None = None) -> Any:
            within.append(connection.in_atomic_block)
            return super().submit(incoming, timeout=timeout)

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        within.append(connection.in_atomic_block)
        return twiml.say("Hello.")

    names = {"SIGNATURE": TWILIO, "VOICE": voice}
    with override_settings(REALTIME_SIP={"HOST": Looking(), "TWILIO": names}):
        headers = openai_headers()
        voiced = TWILIO.sign(f"{URL}/twilio/voice", VOICE)
        if handler is ASGIHandler:
            client = AsyncClient()
            answers = [
                await client.post("/openai/webhook", data=CALL, content_type=JSON, headers=headers),
                await client.post("/twilio/voice", data=VOICE, content_type=FORM_TYPE, headers=voiced),
                await client.get("/health/ready"),
            ]
        else:
            blocking = Client()
            answers = await sync_to_async(
                lambda: [
                    posted(blocking, "/openai/webhook", CALL, headers),
                    posted(blocking, "/twilio/voice", VOICE, {**voiced, **FORM}),
                    blocking.get("/health/ready"),
                ]
            )()
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert within == [False, True], "the program's own function is in a transaction, as its project says"


def test_health_is_cached_by_nobody() -> None:
    assert "no-store" in Client().get("/health/ready")["cache-control"]
    cached = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
    host = TakingThreadHost()
    with override_settings(MIDDLEWARE=cached, REALTIME_SIP={"HOST": host}):
        assert Client().get("/health/ready").status_code == 200
        host.drain(0)
        assert Client().get("/health/ready").status_code == 503


def test_the_settings_that_a_test_overrides_are_served() -> None:
    first, second = TakingThreadHost(), TakingThreadHost()
    for host in (first, second):
        with override_settings(REALTIME_SIP={"HOST": host}):
            assert called().status_code == 200
    assert [len(first.taken), len(second.taken)] == [1, 1]


def ids(**changed: Any) -> list[str]:
    with override_settings(**changed):
        return sorted(str(each.id) for each in run_checks(tags=["realtime_sip"], include_deployment_checks=True))


def in_memory() -> CallHost:
    return CallHost(nobody, client=client_of_tests())


def test_checks_find_what_would_keep_calls_from_being_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ids() == ["realtime_sip.W002"]
    assert ids(REALTIME_SIP={}) == ["realtime_sip.E001"]
    assert ids(REALTIME_SIP={"HOST": "shop_calls.nothing"}) == ["realtime_sip.E001"]
    assert ids(REALTIME_SIP={"HOST": "shop_calls.voice"}) == ["realtime_sip.E001"]
    assert ids(REALTIME_SIP={"HOST": "no_shop.host"}) == ["realtime_sip.E001"]
    assert "realtime_sip.W001" in ids(DATA_UPLOAD_MAX_MEMORY_SIZE=1000)
    monkeypatch.setitem(settings.DATABASES["default"], "CONN_MAX_AGE", 60)
    assert "realtime_sip.W003" in ids(REALTIME_SIP={"HOST": in_memory()})
    assert "realtime_sip.W004" in ids(SECURE_SSL_REDIRECT=True)


@pytest.mark.parametrize("why", ["no webhook secret", "no key", "no variable"])
def test_without_keys_a_project_is_migrated_and_tested_but_not_deployed(why: str, tmp_path: Path) -> None:
    made = {
        "no webhook secret": "host = ThreadCallHost(nobody, client=AsyncRealtimeSip('sk-example'))",
        "no key": "AsyncRealtimeSip()",
        "no variable": "import os; os.environ['TWILIO_AUTH_TOKEN']",
    }[why]
    module = f"unkeyed_{why.rpartition(' ')[2]}"
    imports = "from realtime_sip import AsyncRealtimeSip, ThreadCallHost\nfrom webhook_requests import nobody"
    (tmp_path / f"{module}.py").write_text(f"{imports}\n{made}\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(tmp_path)
        for name in ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "TWILIO_AUTH_TOKEN"):
            patched.delenv(name, raising=False)
        with override_settings(REALTIME_SIP={"HOST": f"{module}.host"}):
            (warning,) = run_checks(tags=["realtime_sip"])
            assert (warning.id, warning.is_serious()) == ("realtime_sip.W005", False)
            assert ids() == ["realtime_sip.E003", "realtime_sip.W005"]


def test_a_view_that_has_lost_its_exemption_is_found(urls: Callable[..., None]) -> None:
    view = openai_webhook(TakingThreadHost())

    def wrapped(request: HttpRequest) -> Any:
        return view(request)

    wrapped.__wrapped__ = view  # type: ignore[attr-defined]
    urls(path("openai/webhook", wrapped))
    assert "realtime_sip.E002" in ids()


def test_the_command_rings_as_the_other_does(capsys: pytest.CaptureFixture[str]) -> None:
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError) as failed:
        call_command(
            "ring", "http://127.0.0.1:1/openai/webhook", "--scenario", "/nothing/there.jsonl", "--port", "15999"
        )
    assert failed.value.returncode == 2


# --- the lifespan -----------------------------------------------------------------------------------------------------


async def test_the_application_of_asgi_drains_all_hosts_when_the_server_stops(urls: Callable[..., None]) -> None:
    host, threaded = TakingHost(), TakingThreadHost()
    urls(path("openai/webhook", openai_webhook(host)), path("other", openai_webhook(threaded)))
    async with serving(asgi(ASGIHandler())):
        assert not host.health().draining
    assert host.health().draining


async def test_an_application_is_taken_as_django_stubs_types_it() -> None:
    seen: list[str] = []

    async def application(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> dict[str, Any]:
        raise AssertionError

    with_lifespan: Any = asgi(application)
    await with_lifespan({"type": "http"}, nothing, nothing)
    assert seen == ["http"]


# --- whole calls, with a database -------------------------------------------------------------------------------------


@pytest.fixture
def table() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS noted (what TEXT)")
        cursor.execute("DELETE FROM noted")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE noted")
    connection.close()


def note(what: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO noted VALUES (%s)", [what])
    return threading.current_thread().name


def noted() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT what FROM noted ORDER BY what")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("kind", [ThreadCallHost, CallHost])
async def test_handlers_and_tools_use_the_database(
    kind: type[ThreadCallHost | CallHost], urls: Callable[..., None], table: None
) -> None:
    threads: list[str] = []
    tools = Tools()

    @tools.function
    def in_a_thread() -> str:
        """Note something, blocking."""
        threads.append(note("by a plain tool"))
        return "yes"

    @tools.function
    async def in_a_task() -> str:
        """Note something."""
        threads.append(await sync_to_async(note)("by an async tool"))
        return "yes"

    async with OpenAIEmulator(speed=10) as openai:
        client = AsyncRealtimeSip(**openai.client_options)

        async def on_call(incoming: IncomingCall) -> None:
            threads.append(await sync_to_async(note)("by the handler"))
            async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}, tools=tools) as call:
                call.respond("Greet the caller.")
                await call.wait_ended()
            await sync_to_async(note)("by the handler, after the call")

        scenario = [
            ModelSays("Hello."),
            CallerSays("Note it."),
            ModelCalls("in_a_thread"),
            ModelCalls("in_a_task", same_response=True),
            ModelSays("Yes."),
            CallerHangsUp(),
        ]
        if kind is CallHost:
            host = CallHost(on_call, client=client)
            urls(path("openai/webhook", openai_webhook(host)))
            async with client, serving(asgi(ASGIHandler())) as url:
                ringing = await openai.ring(url, scenario=scenario)
                assert (await ringing.ended()).by is EndedBy.CALLER
                await host.ended(ringing.call_id)
        else:
            async with closing(ThreadCallHost(on_call, client=client)) as threaded:
                urls(path("openai/webhook", openai_webhook(threaded)))
                with serving_wsgi(WSGIHandler()) as at:
                    ringing = await openai.ring(f"{at}/openai/webhook", scenario=scenario)
                    assert (await ringing.ended()).by is EndedBy.CALLER
    kept = await sync_to_async(noted)()
    assert kept == ["by a plain tool", "by an async tool", "by the handler", "by the handler, after the call"]
    assert [name.startswith("realtime-sip-database") for name in threads].count(True) == 2
    set_script_prefix("/")


async def test_a_call_that_is_taken_over_before_the_first_webhook_uses_the_database_too(
    urls: Callable[..., None],
) -> None:
    seen, tools = list[object](), Tools()

    def query() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return around_code.get().__module__

    @tools.function
    async def pay() -> str:
        """Pay."""
        seen.append(await sync_to_async(query)())
        return "paid"

    async with OpenAIEmulator(speed=10) as openai:
        store, ringing = await orphan(openai)
        client = AsyncRealtimeSip(**openai.client_options)

        async def on_call(incoming: IncomingCall) -> None:
            seen.append(await sync_to_async(query)())
            async with client.calls.answer(incoming, SESSION, tools=tools, limits=CallLimits(silence=None)) as call:
                seen.append(call.adopted is not None)
                await call.wait_ended()

        host = CallHost(on_call, client=client, store=store, drain_timeout=1.0)
        urls(path("openai/webhook", openai_webhook(host)))
        async with client, serving(asgi(ASGIHandler())):
            assert (await ringing.ended()).by is EndedBy.CALLER
    of_django = "realtime_sip.integrations.django.connections"
    assert seen == [of_django, True, of_django]


async def test_many_calls_have_few_threads_for_the_database_and_none_waits_for_itself() -> None:
    names: set[str] = set()

    async def call() -> None:
        with of_calls.around():
            for _ in range(3):
                names.add(await sync_to_async(lambda: threading.current_thread().name)())
            assert await sync_to_async(lambda: async_to_sync(nested)())() == "inside"

    async def nested() -> str:
        return await sync_to_async(lambda: "inside")()

    await asyncio.gather(*(asyncio.create_task(call()) for _ in range(200)))
    assert len(names) <= of_calls.MOST


async def test_what_one_call_asks_of_the_database_comes_one_after_the_other_and_a_failure_ends_only_itself() -> None:
    order: list[int] = []

    def work(number: int) -> int:
        order.append(number)
        if number == 1:
            raise LookupError
        return number

    with of_calls.around():
        done = await asyncio.gather(*(sync_to_async(work)(n) for n in range(4)), return_exceptions=True)
    assert order == [0, 1, 2, 3]
    assert [type(each) for each in done] == [int, LookupError, int, int]
