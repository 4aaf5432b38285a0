"""`realtime-sip doctor --url`: each way in which a server is broken has a name, over real sockets."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from pydantic import BaseModel
from werkzeug.serving import WSGIRequestHandler

from fronts import Authority, Front
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, ThreadCallHost
from realtime_sip.cli.doctor.asking import ask_all
from realtime_sip.cli.doctor.environment import secrets_of
from realtime_sip.cli.doctor.finding import Finding, Level
from realtime_sip.cli.doctor.webhook_url import Answers, deliveries, webhook_url
from realtime_sip.errors import WebhookError
from realtime_sip.integrations import fastapi, flask
from realtime_sip.webhooks import OpenAIWebhooks
from serving import serving, serving_wsgi

SECRET = "whsec_ZG9jdG9yJ3Mgb3duIHNlY3JldA=="
OTHER = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="

Environ = dict[str, Any]
Start = Callable[..., Any]
Wsgi = Callable[[Environ, Start], Iterable[bytes]]


def looked(url: str, *, secret: str | None = SECRET, timeout: float = 5.0) -> dict[str, Finding]:
    """Return what is found about a URL, by the name of the check."""
    answers = ask_all(deliveries(url, secret, time.time), timeout=timeout)
    return {each.name: each for each in webhook_url(answers)}


def says(
    app: Wsgi, *, path: str = "/openai/webhook", secret: str | None = SECRET, timeout: float = 5.0
) -> dict[str, Finding]:
    with serving_wsgi(app) as url:
        return looked(f"{url}{path}", secret=secret, timeout=timeout)


def headers_of(environ: Environ) -> dict[str, str]:
    return {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}


def answering(status: str, text: str = "", **headers: str) -> Wsgi:
    """Return a server that answers whatever comes so."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        return [text.encode()]

    return app


def verifying(
    secret: str = SECRET,
    *,
    body: Callable[[bytes], bytes] = lambda sent: sent,
    refusal: str = "400 Bad Request",
    taken: str = "200 OK",
    tolerance: float = 300.0,
    clock: Callable[[], float] = time.time,
    slow: threading.Event | None = None,
) -> Wsgi:
    """Return a server that verifies, with one mistake or none."""
    webhooks = OpenAIWebhooks(secret, tolerance=tolerance, clock=clock)

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        sent = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            event = webhooks.unwrap(body(sent), headers_of(environ))
        except WebhookError:
            start(refusal, [])
            return [b"Invalid signature"]
        assert event.type == "realtime_sip.doctor"
        if slow is not None:
            slow.wait(10)
        start(taken, [])
        return [b""]

    return app


async def on_call(incoming: IncomingCall) -> None:
    raise AssertionError("no call is announced by a doctor")


# --- a server without mistakes ----------------------------------------------------------------------------------------


def test_a_signed_delivery_arrives_and_a_forged_one_is_refused() -> None:
    found = says(verifying())
    assert {name: each.level for name, each in found.items()} == {
        "webhook-address": Level.NOTE,
        "webhook-reachable": Level.OK,
        "webhook-clock": Level.OK,
        "webhook-forged": Level.OK,
        "webhook-signed": Level.OK,
        "webhook-old": Level.OK,
    }
    assert "whoever answers has the secret" in found["webhook-signed"].found


async def test_the_integrations_take_it_and_run_no_handler() -> None:
    client = AsyncRealtimeSip("sk-test", webhook_secret=SECRET, base_url="http://127.0.0.1:9/v1")
    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(fastapi.openai_webhook(host, path="/openai/webhook"))
    async with client, serving(app) as url:
        found = await asyncio.to_thread(looked, url)
        assert found["webhook-signed"].level is Level.OK
        lost = await asyncio.to_thread(looked, url.replace("/openai", "/api/openai"))
        assert lost["webhook-reachable"].level is Level.ERROR
        assert "the prefix under which the application or router is mounted" in lost["webhook-reachable"].fix
        assert lost["webhook-reachable"].found == "the application has nothing at /api/openai/webhook (404)"


def test_that_of_flask_names_a_header_that_is_missing() -> None:
    client = AsyncRealtimeSip("sk-test", webhook_secret=SECRET, base_url="http://127.0.0.1:9/v1")
    host = ThreadCallHost(on_call, client=client)
    app = Flask("shop")
    app.register_blueprint(flask.openai_webhook(host, path="/openai/webhook"))

    def without_id(environ: Environ, start: Start) -> Iterable[bytes]:
        environ.pop("HTTP_WEBHOOK_ID")
        return app(environ, start)

    assert says(app)["webhook-signed"].level is Level.OK
    found = says(without_id)["webhook-signed"]
    assert (found.level, "Let the proxy pass all headers on." in found.fix) == (Level.ERROR, True)
    host.close()


# --- broken servers ---------------------------------------------------------------------------------------------------

LOGIN = "<form><input type='password' name='p'></form>"
DJANGO_CSRF = "<h1>Forbidden <span>(403)</span></h1><p>CSRF verification failed. Request aborted.</p>"
HTML = {"Content_Type": "text/html; charset=utf-8"}

BEFORE_THE_PROGRAM = {
    "CSRF of Django": (answering("403 Forbidden", DJANGO_CSRF, **HTML), "protection against CSRF", "csrf_exempt"),
    "CSRF of Flask-WTF": (
        answering("400 X", "<p>The CSRF token is missing.</p>", **HTML),
        "protection against CSRF",
        "csrf.exempt",
    ),
    "nothing there": (answering("404 Not Found", "Not Found"), "nothing at /openai/webhook (404)", "with the prefix"),
    "no POST": (answering("405 Method Not Allowed", Allow="GET"), "takes no POST at /openai/webhook", "take POST"),
    "a login page": (answering("200 OK", LOGIN, **HTML), "a login page answers", "Exempt"),
    "a redirect to a login": (answering("302 Found", Location="/accounts/login/?next=/"), "a login answers", "Exempt"),
    "a gate": (
        answering("302 Found", Location="https://shop.cloudflareaccess.com/cdn-cgi/access/login"),
        "a login answers in place of the program: the URL redirects to https://shop.cloudflareaccess.com",
        "Exempt",
    ),
    "basic auth": (
        answering("401 X", WWW_Authenticate='Basic realm="staging"'),
        "asks for a user (Basic, 401)",
        "Exempt",
    ),
    "a front end": (
        answering("200 OK", "<div id=root>", **HTML),
        "a page answers at /openai/webhook (200, HTML)",
        "before the pages",
    ),
    "ngrok without a tunnel": (
        answering("404 Not Found", "<p>ERR_NGROK_3200</p>", Ngrok_Error_Code="ERR_NGROK_3200"),
        "the tunnel is not up (ERR_NGROK_3200)",
        "Start ngrok again",
    ),
    "ngrok without a server": (
        answering("502 Bad Gateway", "ERR_NGROK_8012", Ngrok_Error_Code="ERR_NGROK_8012"),
        "ngrok reaches nothing behind it",
        "Start the server",
    ),
    "ngrok's warning": (answering("200 OK", "<p>… ERR_NGROK_6024</p>", **HTML), "ngrok's warning page", "header"),
    "Cloudflare without a server": (
        answering("530 X", "error code: 1033"),
        "Cloudflare reaches nothing",
        "cloudflared",
    ),
    "a host that is not allowed": (
        answering("400 Bad Request", "<h1>DisallowedHost at /openai/webhook</h1>", **HTML),
        "does not take requests for the host 127.0.0.1",
        "ALLOWED_HOSTS",
    ),
    "the same without DEBUG": (
        answering("400 X", "<h1>Bad Request (400)</h1>", **HTML),
        "as Django does",
        "ALLOWED_HOSTS",
    ),
    "a host that Starlette does not know": (
        answering("400 X", "Invalid host header"),
        "the host 127.0.0.1",
        "allowed_hosts",
    ),
    "a proxy without a server": (answering("502 Bad Gateway"), "a proxy answers", "Start the server"),
    "too many": (answering("429 Too Many Requests"), "because there are many (429)", "let webhooks pass"),
    "Django without the slash": (
        answering("500 X", "<p>RuntimeError: APPEND_SLASH", **HTML),
        "redirect a POST",
        "hook/.",
    ),
    "a redirect to nowhere": (answering("301 Moved"), "redirects nowhere", "the URL that answers"),
    "a redirect elsewhere": (answering("307 X", Location="/v2/hook"), "redirects to http://127.0.0.1", "that answers"),
}


@pytest.mark.parametrize("case", BEFORE_THE_PROGRAM)
def test_what_answers_in_place_of_the_program_is_named(case: str) -> None:
    app, found, fix = BEFORE_THE_PROGRAM[case]
    said = says(app)
    assert [*said] == ["webhook-address", "webhook-reachable"], "nothing is said of a signature that nobody looked at"
    assert said["webhook-reachable"].level is Level.ERROR
    assert found in said["webhook-reachable"].found
    assert fix in said["webhook-reachable"].fix


def redirecting(to: Callable[[str], str], status: str = "301 Moved Permanently") -> Wsgi:
    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(status, [("Location", to(f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}"))])
        return []

    return app


@pytest.mark.parametrize(
    ("to", "found", "fix"),
    [
        (
            lambda url: url.replace("http:", "https:"),
            "from http to https (301), and OpenAI follows no redirect",
            "Give https:",
        ),
        (lambda url: f"{url}/", "with the other slash at its end", "/openai/webhook/."),
        (lambda url: url, "redirects to itself", "X-Forwarded-Proto"),
        (
            lambda _: "https://www.example.com/openai/webhook",
            "redirects to www.example.com",
            "Give https://www.example.com",
        ),
        (lambda _: "https://other.example.com/x", "the URL redirects to https://other.example.com/x", "that answers"),
        (lambda _: "https://login.example.com/x", "a login answers in place of the program", "from the login"),
    ],
)
def test_a_redirect_says_where_to(to: Callable[[str], str], found: str, fix: str) -> None:
    said = says(redirecting(to))["webhook-reachable"]
    assert (said.level, found in said.found, fix in said.fix) == (Level.ERROR, True, True), said


def test_a_slash_that_is_missing_is_found() -> None:
    right = verifying()

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        there = environ["PATH_INFO"] == "/openai/webhook/"
        return (right if there else answering("404 Not Found"))(environ, start)

    said = says(app)["webhook-reachable"]
    assert said.found == "nothing is at /openai/webhook (404), and something is at /openai/webhook/"
    assert says(app, path="/openai/webhook/")["webhook-signed"].level is Level.OK


def test_another_secret_is_named_with_what_the_server_says() -> None:
    said = says(verifying(OTHER))
    assert said["webhook-forged"].level is Level.OK
    assert said["webhook-signed"].level is Level.ERROR
    assert "(400, “Invalid signature”): the server has another secret" in said["webhook-signed"].found


@pytest.mark.parametrize(
    ("rewritten", "by"),
    [
        (lambda body: json.dumps(json.loads(body)).encode(), "json.dumps"),
        (lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(), "json.dumps without blanks"),
        (
            lambda body: json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode(),
            "JSON.stringify",
        ),
        (lambda body: json.dumps(json.loads(body), sort_keys=True).encode(), "json.dumps"),
    ],
)
def test_a_body_that_was_parsed_and_written_again_is_named(rewritten: Callable[[bytes], bytes], by: str) -> None:
    said = says(verifying(body=rewritten))["webhook-signed"]
    assert (said.level, f"written again, as by {by}" in said.found) == (Level.ERROR, True)
    assert "raw bytes" in said.fix


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "202 Accepted"])
@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8"])
def test_a_server_that_takes_everything_proves_nothing(status: str, kind: str) -> None:
    said = says(answering(status, "" if status.startswith("204") else "ok", Content_Type=kind))
    assert said["webhook-forged"].level is Level.ERROR
    assert "anyone can announce calls" in said["webhook-forged"].found
    assert said["webhook-signed"].level is Level.NOT_CHECKED


@pytest.mark.parametrize(("taken", "status"), [("500 X", 500), ("404 X", 404), ("422 X", 422)])
def test_an_event_of_another_type_has_to_be_answered_2xx(taken: str, status: int) -> None:
    said = says(verifying(taken=taken))["webhook-signed"]
    assert said.level is Level.ERROR
    assert "the signature is right, as a forged delivery is answered 400" in said.found
    assert said.found.endswith(f"an event of another type is answered {status}")


def test_a_server_that_does_not_catch_the_error_of_a_forged_one_is_warned() -> None:
    said = says(verifying(refusal="500 Internal Server Error"))
    assert (said["webhook-forged"].level, said["webhook-signed"].level) == (Level.WARNING, Level.OK)


def test_a_server_that_fails_on_everything_is_named() -> None:
    said = says(answering("500 Internal Server Error", "oops"))
    assert said["webhook-forged"].level is Level.ERROR
    assert "fails on each delivery (500)" in said["webhook-signed"].found


def test_a_server_that_takes_what_is_old_is_warned() -> None:
    said = says(verifying(tolerance=1e9))
    assert (said["webhook-signed"].level, said["webhook-old"].level) == (Level.OK, Level.WARNING)


def test_a_clock_that_is_off_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def hour_ahead() -> float:
        return time.time() + 3600

    monkeypatch.setattr(WSGIRequestHandler, "date_time_string", lambda _: formatdate(hour_ahead(), usegmt=True))
    said = says(verifying(clock=hour_ahead))
    assert said["webhook-clock"].level is Level.ERROR
    assert " s ahead of that of this machine" in said["webhook-clock"].found
    assert said["webhook-signed"].fix == "Set its clock, by NTP."


def test_a_framework_that_takes_the_body_for_a_model_is_named() -> None:
    class Event(BaseModel):
        call_id: str

    app = FastAPI()

    @app.post("/openai/webhook")
    def webhook(event: Event) -> None:
        raise AssertionError

    async def look() -> dict[str, Finding]:
        async with serving(app) as url:
            return await asyncio.to_thread(looked, url)

    said = asyncio.run(look())["webhook-signed"]
    assert (said.level, "the framework reads the body" in said.found) == (Level.ERROR, True)


def test_a_middleware_that_eats_the_body_is_named() -> None:
    client = AsyncRealtimeSip("sk-test", webhook_secret=SECRET, base_url="http://127.0.0.1:9/v1")
    host = ThreadCallHost(on_call, client=client)
    app = Flask("shop")
    app.register_blueprint(flask.openai_webhook(host, path="/openai/webhook"))

    def eats(environ: Environ, start: Start) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO()
        return app(environ, start)

    said = says(eats)
    assert "a middleware reads the body before the webhook does" in said["webhook-forged"].found
    assert said["webhook-signed"].found == "the signature is checked over a body that is gone (400)"
    host.close()


async def test_so_is_one_of_asgi() -> None:
    client = AsyncRealtimeSip("sk-test", webhook_secret=SECRET, base_url="http://127.0.0.1:9/v1")
    app = FastAPI()
    app.include_router(fastapi.openai_webhook(CallHost(on_call, client=client), path="/openai/webhook"))

    async def eats(scope: Any, receive: Any, send: Any) -> None:
        async def nothing() -> Any:
            message = await receive()
            return {**message, "body": b""} if message["type"] == "http.request" else message

        await app(scope, nothing, send)

    async with client, serving(eats) as url:
        said = await asyncio.to_thread(looked, url)
    assert "a middleware reads the body before the webhook does (500)" in said["webhook-forged"].found


def test_without_a_secret_only_the_forged_one_is_sent() -> None:
    said = says(verifying(), secret=None)
    assert (said["webhook-forged"].level, said["webhook-signed"].level) == (Level.OK, Level.NOT_CHECKED)
    assert "webhook-old" not in said


# --- what does not answer ---------------------------------------------------------------------------------------------


def test_a_server_that_hangs_is_not_waited_for_longer_than_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = looked(f"http://127.0.0.1:{silent.getsockname()[1]}/hook", timeout=0.2)["webhook-reachable"]
    assert (said.level, "takes the request and does not answer" in said.found) == (Level.ERROR, True)


def test_a_server_that_hangs_behind_its_signature_is_named() -> None:
    release = threading.Event()
    with serving_wsgi(verifying(slow=release)) as url:
        said = looked(f"{url}/openai/webhook", timeout=0.3)["webhook-signed"]
        release.set()
    assert (said.level, "a signed delivery is not answered (timeout), and a forged one is" in said.found) == (
        Level.ERROR,
        True,
    )


def test_an_answer_without_end_is_not_waited_for() -> None:
    over = threading.Event()

    def dribbling(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        while not over.wait(0.01):
            yield b"."

    with serving_wsgi(dribbling) as url:
        said = looked(f"{url}/", timeout=0.2)["webhook-reachable"]
        over.set()
    assert (said.level, "does not answer within" in said.found) == (Level.ERROR, True)


def test_a_port_where_nothing_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = looked(f"http://127.0.0.1:{port}/hook")["webhook-reachable"]
    assert (said.level, said.found) == (Level.ERROR, f"nothing listens at 127.0.0.1:{port}")


async def test_a_certificate_that_nobody_trusts_is_named(tmp_path: Path) -> None:
    authority = await asyncio.to_thread(Authority, tmp_path)
    async with Front("http://127.0.0.1:9").running(ssl=authority.serving) as front:
        url = f"https://127.0.0.1:{front.port}/hook"
        said = (await asyncio.to_thread(looked, url))["webhook-reachable"]
    assert said.level is Level.ERROR
    assert said.found.startswith("no TLS with 127.0.0.1: ")
    assert "the certificate does not verify" in said.found
    assert "public authority" in said.fix


@pytest.mark.parametrize(
    ("url", "level", "found"),
    [
        ("http://voice.example.com/hook", Level.ERROR, "OpenAI delivers to https alone"),
        ("https://10.0.0.7/hook", Level.ERROR, "a private network"),
        ("https://server.local/hook", Level.ERROR, "a private network"),
        ("https://web:8000/hook", Level.ERROR, "a private network"),
        ("http://localhost:8000/hook", Level.NOTE, "on this machine"),
        ("http://[::1]:8000/hook", Level.NOTE, "on this machine"),
    ],
)
def test_a_url_that_openai_cannot_reach_is_named(url: str, level: Level, found: str) -> None:
    from realtime_sip.cli.doctor.answer import Answer

    said = {each.name: each for each in webhook_url(Answers(url, Answer(status=400)))}["webhook-address"]
    assert (said.level, found in said.found) == (level, True)


def test_a_name_that_is_not_found_is_named() -> None:
    from realtime_sip.cli.doctor.answer import Answer

    answers = Answers("https://old.ngrok.app/hook", Answer(failure="dns", cause="ConnectError: DNS"))
    (said,) = webhook_url(answers)
    assert (said.level, said.found) == (Level.ERROR, "the name old.ngrok.app is not found")


def test_a_connection_that_does_not_come_about_is_no_server_that_hangs() -> None:
    from realtime_sip.cli.doctor.answer import Answer

    (said,) = webhook_url(Answers("https://voice.example.com/hook", Answer(failure="unconnected", seconds=10.0)))
    assert said.found == "no connection to voice.example.com comes about within 10 s"
    assert "firewall" in said.fix


@pytest.mark.parametrize(
    ("proxy", "found"),
    [
        ("http://127.0.0.1:{}", "it cannot be reached (ConnectError: the connection was refused)"),
        ("ftp://127.0.0.1:{}", "has a scheme that cannot be used"),
        ("socks4://127.0.0.1:{}", "has a scheme that cannot be used"),
    ],
)
def test_a_proxy_that_is_in_the_way_is_named_and_not_the_server(
    proxy: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(port))
    monkeypatch.setenv("https_proxy", proxy.format(port))
    said = looked("https://voice.example.com/hook")["webhook-reachable"]
    assert said.level is Level.ERROR
    assert said.found.startswith("the proxy of this shell is in the way: ")
    assert found in said.found
    assert "NO_PROXY" in said.fix


def test_a_socks_proxy_without_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_sip.api.proxies.find_spec", lambda _: None)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    assert "pip install socksio" in looked("https://voice.example.com/hook")["webhook-reachable"].found


def test_what_is_not_http_is_said_to_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                read = b""
                while not read.endswith(b"}"):
                    read += connection.recv(65536)
                connection.sendall(b"220 mail.example.com\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        said = looked(f"http://127.0.0.1:{server.getsockname()[1]}/hook")["webhook-reachable"]
        thread.join()
    assert said.found.endswith("breaks: what answers is not HTTP, or ends too early")


@pytest.mark.parametrize("before", ["", "x" * 50])
@pytest.mark.parametrize("prefix", ["", "whsec_"])
def test_a_secret_that_a_server_echoes_is_not_shown_in_part_either(before: str, prefix: str) -> None:
    bare = "0123456789abcdef0123456789abcdef"
    app = answering("400 Bad Request", f"{before} {prefix}{bare}", Content_Type="text/plain")
    with serving_wsgi(app) as url:
        secrets = secrets_of({"OPENAI_WEBHOOK_SECRET": f"whsec_{bare}"})
        answers = ask_all(deliveries(f"{url}/hook", f"whsec_{bare}", time.time), timeout=5, secrets=secrets)
    assert "01234567" not in str([(each.found, each.fix) for each in webhook_url(answers)])
