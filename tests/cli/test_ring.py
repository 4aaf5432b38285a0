"""The command `realtime-sip ring`: it rings a server that is another program, and says what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from other_language import other_server

from emulated import endpoint
from ports import free_port
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, OpenAIWebhooks
from realtime_sip.cli import main
from realtime_sip.cli.ring import PORT, add_arguments
from realtime_sip.cli.ring_call import _SECRET, Ring, _environment, ring
from realtime_sip.errors import ConfigurationError, WebhookError
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelSays, Step, run_virtual, write_scenario
from realtime_sip.testing.twilio.emulator import AUTH_TOKEN
from realtime_sip.twilio import TwilioSignature, twiml
from realtime_sip.twilio.webhooks import VoiceWebhook
from serving import at, serving

FAST = "30"
DOCS = Path(__file__).resolve().parents[2] / "docs"
GREETED: list[Step] = [ModelSays("Hello."), CallerSays("Hi."), ModelSays("Bye."), CallerHangsUp()]
VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "TWILIO_AUTH_TOKEN", "TWILIO_ACCOUNT_SID")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port() -> int:
    """Return a port that is free."""
    return free_port()


def rung(url: str, port: int, *options: str) -> int:
    """Ring as fast as can be, and return the exit status."""
    return main(["ring", url, "--port", str(port), "--speed", FAST, *options])


def plain(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what was shown, without the breaks of its lines."""
    return " ".join(re.sub(r"\n +│ ", " ", capsys.readouterr().out).split())


def scenario(folder: Path, steps: list[Step]) -> str:
    path = folder / "scenario.jsonl"
    write_scenario(steps, path)
    return str(path)


def base(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1"


@contextmanager
def typing(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    """Pipe what is typed into standard input."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    with os.fdopen(read) as piped:
        monkeypatch.setattr("sys.stdin", piped)
        yield


# --- a server without mistakes ----------------------------------------------------------------------------------------


def test_a_server_of_another_language_is_rung_with_a_scenario(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_server(base_url=base(port), secret=_SECRET) as server:
        assert rung(server.url, port, "--scenario", scenario(tmp_path, GREETED)) == 0
    shown = plain(capsys)
    steps = [
        f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1",
        "export OPENAI_API_KEY=sk-emulator",
        f"export OPENAI_WEBHOOK_SECRET={_SECRET}",
        "a webhook that somebody else has signed was answered 400",
        "caller │ dials",
        "server │ accepts the call",
        "server │ attaches to the call",
        "agent │ “Hello.”",
        "caller │ “Hi.”",
        "agent │ “Bye.”",
        "the call has ended: caller",
        "✓ it goes as the scenario says",
        "The call went as it should.",
    ]
    places = [shown.find(step) for step in steps]
    assert -1 not in places, shown
    assert places == sorted(places), shown


def test_a_server_is_rung_again_and_again_on_the_same_port(port: int, tmp_path: Path) -> None:
    with other_server(base_url=base(port), secret=_SECRET) as server:
        for _ in range(3):
            assert rung(server.url, port, "--scenario", scenario(tmp_path, GREETED)) == 0


def test_what_is_typed_is_what_the_caller_does(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = '\nWhere is my order?\n12#\n{"step": "ModelSays", "text": "On its way."}\nOlá!\n/hangup\n'
    with other_server(base_url=base(port), secret=_SECRET) as server, typing(monkeypatch, typed):
        assert rung(server.url, port) == 0
    shown = plain(capsys)
    steps = ["“Where is my order?”", "“On its way.”", "presses 1", "presses 2", "presses #", "“Olá!”", "ended: caller"]
    places = [shown.find(step) for step in steps]
    assert -1 not in places, shown
    assert places == sorted(places), shown


@pytest.mark.parametrize("typed", ["", "Hello?", "Hello?\n"])
def test_the_end_of_the_input_hangs_up(typed: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with other_server(base_url=base(port), secret=_SECRET) as server, typing(monkeypatch, typed):
        assert rung(server.url, port) == 0


def test_a_typed_line_that_cannot_be_played_is_said_and_fails(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = 'Hello?\n/quit\n{"step": "CallerSays"}\n'
    with other_server(base_url=base(port), secret=_SECRET) as server, typing(monkeypatch, typed):
        assert rung(server.url, port) == 1
    shown = plain(capsys)
    assert "line 2 is not played: there is no such command; /hangup hangs up" in shown
    assert "line 3 is not played: CallerSays needs: text" in shown
    assert "✗ all that was typed can be played" in shown


def test_more_lines_than_a_call_has_steps_end_it(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("realtime_sip.testing.scenario._MAX_STEPS", 2)
    with other_server(base_url=base(port), secret=_SECRET) as server, typing(monkeypatch, "1\n2\n3\n"):
        assert rung(server.url, port) == 1
    shown = plain(capsys)
    assert "line 3 is not played: a scenario has at most 2 steps" in shown
    assert "the call has ended: caller" in shown


def test_a_server_that_hangs_up_ends_a_scenario_without_a_hang_up(port: int, tmp_path: Path) -> None:
    with other_server(base_url=base(port), secret=_SECRET, hangs_up=True) as server:
        assert rung(server.url, port, "--scenario", scenario(tmp_path, [ModelSays("Goodbye.")])) == 0


def test_keys_and_secrets_of_this_shell_are_used_and_not_shown(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "whsec_c29tZWJvZHkncyByZWFsIHNlY3JldA=="
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-real-key")
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", secret)
    with other_server(base_url=base(port), secret=secret, key="sk-a-real-key") as server:
        assert rung(server.url, port, "--scenario", scenario(tmp_path, GREETED)) == 0
    shown = plain(capsys)
    assert "and with OPENAI_API_KEY and OPENAI_WEBHOOK_SECRET as in this shell." in shown
    assert "sk-a-real-key" not in shown
    assert secret not in shown


def test_who_calls_and_what_is_called_can_be_said(port: int, tmp_path: Path) -> None:
    with endpoint() as server:
        server.answer = lambda delivery: 400
        assert rung(server.url, port, "--from", "whatsapp:+5511999990000", "--to", "+14155550110") == 1
    headers = {each["name"]: each["value"] for each in server.deliveries[-1].event["data"]["sip_headers"]}
    assert "+5511999990000" in headers["From"]
    assert (headers["X-Channel"], headers["X-Dialed-Number"]) == ("whatsapp", "+14155550110")


# --- what newcomers get wrong -----------------------------------------------------------------------------------------


def test_nobody_listens(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rung("http://127.0.0.1:9/openai", port) == 2
    out, err = capsys.readouterr()
    assert f"export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1" in out
    assert "no server can be reached at http://127.0.0.1:9 (ConnectError: the connection was refused)" in err
    assert "Start yours with the lines above" in err


@pytest.mark.parametrize(
    ("status", "location", "said"),
    [
        (404, "", "The server has nothing at /openai (404). Ring the URL of its webhook"),
        (405, "", "The server takes no POST at /openai (405)."),
        (
            308,
            "/openai/",
            "The server redirects to /openai/ (308), and OpenAI follows no redirect.",
        ),
    ],
)
def test_the_url_is_not_that_of_the_webhook(
    status: int, location: str, said: str, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint() as server:
        server.answer = lambda delivery: status
        server.location = location
        assert rung(server.url, port) == 1
    assert said in plain(capsys)


ANOTHER = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhlIHNlcnZlcg=="
MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"secret": ANOTHER}, ["refused the signature of the webhook (400)", f"export OPENAI_WEBHOOK_SECRET={_SECRET}"]),
    ({"key": "sk-another"}, ["key was refused (401): start it again with export OPENAI_API_KEY=sk-emulator"]),
    (
        {"session": {"type": "realtime", "modell": "x"}},
        ["OpenAI refused to accept (400): Unknown parameter: 'modell'."],
    ),
    ({"accepts": False}, ["The server rejected the call, with SIP status 486."]),
    (
        {"events": ({"type": "response.make"}, {"type": "response.create"})},
        ["OpenAI refused an event of the server: Invalid value: 'response.make'"],
    ),
    ({"checks_signature": False}, ["✗ a webhook that somebody else has signed is refused"]),
    ({"hangs_up": True}, ["✗ the caller hangs up", "not reached: step 2 (CallerSays)"]),
]


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=lambda value: next(iter(value)))
def test_a_mistake_of_the_server_is_said_and_fails(
    mistake: dict[str, Any], said: list[str], port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_server(**{"base_url": base(port), "secret": _SECRET, **mistake}) as server:
        assert rung(server.url, port, "--scenario", scenario(tmp_path, GREETED)) == 1
    shown = plain(capsys)
    for sentence in [*said, "The call did NOT go as it should."]:
        assert sentence in shown


def test_a_secret_that_is_not_that_of_this_shell_is_said_and_not_shown(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", ANOTHER)
    with other_server(base_url=base(port), secret=_SECRET) as server:
        assert rung(server.url, port) == 1
    shown = plain(capsys)
    assert "start it with the OPENAI_WEBHOOK_SECRET that this shell has" in shown
    assert ANOTHER not in shown


def test_a_call_that_nobody_ends_is_given_up(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with other_server(base_url=base(port), secret=_SECRET) as server:
        steps = scenario(tmp_path, [ModelSays("Hello.")])
        assert rung(server.url, port, "--scenario", steps, "--timeout", "0.3") == 1
    assert "The call was still up after 0.3 seconds." in plain(capsys)


# --- what shows only after a while: servers of the same event loop, in virtual time -----------------------------------


def under_a_lifespan(app: Any) -> FastAPI:
    """Return an application that starts and ends, around one that knows of requests alone."""
    outer = FastAPI()
    outer.mount("/", app)
    return outer


def rung_virtually(app: Any, port: int, folder: Path, steps: list[Step]) -> bool:
    """Ring an ASGI application with the command's own timings."""

    async def main() -> bool:
        async with serving(under_a_lifespan(app)) as url:
            return await ring(Ring(url=url, port=port, scenario=Path(scenario(folder, steps))))

    return run_virtual(main())


def answering(answer: Callable[[str], Awaitable[int]]) -> Callable[..., Awaitable[None]]:
    """Return an application that refuses what is forged, and answers other webhooks with what `answer` says."""
    webhooks = OpenAIWebhooks(_SECRET)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        try:
            event = webhooks.unwrap(body, scope["headers"])
        except WebhookError:
            status = 403
        else:
            status = await answer(getattr(event, "call_id", ""))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


def test_a_server_that_calls_nobody_back_has_no_base_url(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(_call_id: str) -> int:
        return 200

    assert not rung_virtually(answering(answer), port, tmp_path, GREETED)
    shown = plain(capsys)
    assert "The server called nobody back here, so it calls api.openai.com." in shown
    assert shown.endswith(f"start it again with export OPENAI_BASE_URL=http://127.0.0.1:{port}/v1")


def test_a_server_that_fails_says_so_and_may_have_no_base_url(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(_call_id: str) -> int:
        return 500

    assert not rung_virtually(answering(answer), port, tmp_path, GREETED)
    shown = plain(capsys)
    assert shown.count("answers the webhook with 500") > 1
    assert "The server failed on the webhook (500): see its log." in shown
    assert "The server called nobody back here, and may have failed before it could" in shown


def test_a_server_that_takes_too_long_is_said(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_call_id: str) -> int:
        await asyncio.sleep(8)
        return 200

    assert not rung_virtually(answering(answer), port, tmp_path, GREETED)
    assert "The server did not answer the webhook within 5 seconds" in plain(capsys)


def test_a_server_that_only_accepts_attaches_to_nothing(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def answer(call_id: str) -> int:
        async with AsyncRealtimeSip("sk-emulator", base_url=base(port)) as client:
            await client.calls.accept(call_id, {"model": "gpt-realtime-2.1"})
        return 200

    assert not rung_virtually(answering(answer), port, tmp_path, GREETED)
    said = f"opened no WebSocket here, at ws://127.0.0.1:{port}/v1/realtime?call_id=…"
    assert said in plain(capsys)


def test_a_base_url_without_its_path_is_said(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(call_id: str) -> int:
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.post(f"http://127.0.0.1:{port}/realtime/calls/{call_id}/accept", json={"type": "realtime"})
        return 200

    assert not rung_virtually(answering(answer), port, tmp_path, GREETED)
    said = "The server requested /realtime/calls/rtc_"
    assert said in (shown := plain(capsys))
    assert "which is no path of OpenAI's: its URL ends in /v1." in shown


def test_a_server_that_never_answers_cannot_be_tried(port: int, tmp_path: Path) -> None:
    async def silent(_scope: Any, _receive: Any, _send: Any) -> None:
        await asyncio.sleep(60)

    with pytest.raises(ConfigurationError, match=r"does not answer within 6 seconds"):
        rung_virtually(silent, port, tmp_path, GREETED)


def test_protection_against_csrf_is_said(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def protected(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"<h1>CSRF verification failed.</h1>"})

    assert not rung_virtually(protected, port, tmp_path, GREETED)
    assert "in Django with csrf_exempt" in plain(capsys)


def test_a_caller_who_gives_up_while_it_rings_needs_no_answer(port: int, tmp_path: Path) -> None:
    async def answer(_call_id: str) -> int:
        return 200

    assert rung_virtually(answering(answer), port, tmp_path, [CallerHangsUp(while_ringing=True, after=1)])


# --- from Twilio's voice webhook on -----------------------------------------------------------------------------------

TOKEN = "a token of the tests"


def line_at_twilio(client: AsyncRealtimeSip, twilio: TwilioSignature) -> FastAPI:
    """Return a server that Twilio asks what to do with a call, and that lets OpenAI's model answer it."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}) as call:
            call.respond("Greet.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
    app = FastAPI(lifespan=host.lifespan)

    @app.post("/openai/webhook")
    async def webhook(request: Request) -> Response:
        try:
            event = client.webhooks.unwrap(await request.body(), request.headers)
        except WebhookError:
            return Response(status_code=400)
        if isinstance(event, IncomingCall):
            await host.submit(event)
        return Response()

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        try:
            twilio.verify(request.url.path, await request.body(), request.headers)
        except WebhookError:
            return Response(status_code=403)
        call = VoiceWebhook.read(await request.body())
        dial = twiml.dial_openai("proj_1", voice=call, action="/twilio/after")
        return Response(str(dial), media_type=dial.content_type)

    @app.post("/twilio/after")
    async def after() -> Response:
        return Response("<Response/>", media_type="text/xml")

    return app


def rung_at_twilio(
    port: int,
    folder: Path,
    *,
    public_url: str | None = None,
    token: str = AUTH_TOKEN,
    path: str = "/twilio/voice",
    signed_for: str | None = None,
    caller: str | None = None,
) -> bool:
    """Ring a server at Twilio, whose public URL is `signed_for`, or its own."""

    async def main() -> bool:
        async with AsyncRealtimeSip("sk-emulator", base_url=base(port), webhook_secret=_SECRET) as client:
            listening = socket.create_server(("127.0.0.1", 0))
            app = line_at_twilio(client, TwilioSignature(token, signed_for or at(listening)))
            async with serving(app, listening) as url:
                plan = Ring(
                    url=url,
                    port=port,
                    scenario=Path(scenario(folder, GREETED)),
                    voice_url=url.replace("/openai/webhook", path),
                    public_url=public_url,
                    caller=caller,
                )
                return await ring(plan)

    return run_virtual(main())


def test_a_call_begins_at_twilios_voice_webhook(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", TOKEN)
    assert rung_at_twilio(port, tmp_path, token=TOKEN, caller="whatsapp:+5511999990000")
    shown = plain(capsys)
    steps = [
        "and with TWILIO_AUTH_TOKEN as in this shell.",
        "caller │ dials",
        "Twilio │ POST /twilio/voice, signed: From=whatsapp:+5511999990000",
        "server │ answers 200 with TwiML:",
        "Twilio │ calls sip:proj_1@sip.api.openai.com",
        "server │ accepts the call",
        "agent │ “Bye.”",
        "Twilio │ POST /twilio/after, signed: DialCallStatus=completed",
        "✓ Twilio gets what it asks for",
    ]
    places = [shown.find(step) for step in steps]
    assert -1 not in places, shown
    assert places == sorted(places), shown
    assert TOKEN not in shown


def test_a_token_that_nobody_has_set_is_printed(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rung_at_twilio(port, tmp_path)
    assert f"export TWILIO_AUTH_TOKEN={AUTH_TOKEN}" in plain(capsys)


def test_a_server_with_a_public_url_is_rung_on_this_machine(port: int, tmp_path: Path) -> None:
    public = "https://voice.example.com"
    assert rung_at_twilio(port, tmp_path, public_url=public, signed_for=public)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (
            {"token": "another token"},
            f"another one: start it again with export TWILIO_AUTH_TOKEN={AUTH_TOKEN}",
        ),
        ({"signed_for": "https://voice.example.com"}, "which the server has to take for its public URL"),
        ({"path": "/twilio/voise"}, "The server has nothing at the voice URL (404)."),
        ({"path": "/openai/webhook"}, "Twilio's debugger would show 11200: the URL answered 400."),
    ],
    ids=["token", "public URL", "path", "another path"],
)
def test_a_mistake_at_twilio_is_said_and_fails(
    mistake: dict[str, Any], said: str, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not rung_at_twilio(port, tmp_path, **mistake)
    shown = plain(capsys)
    assert said in shown
    assert "✗ the call rings at OpenAI" in shown


def test_twiml_that_does_not_dial_openai_is_said(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        status = 200 if scope["path"] == "/voice" else 400
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/xml")]})
        await send({"type": "http.response.body", "body": b"<Response><Say>Closed.</Say></Response>"})

    async def main() -> bool:
        async with serving(under_a_lifespan(app)) as url:
            steps = Path(scenario(tmp_path, GREETED))
            voice_url = url.replace("/openai/webhook", "/voice")
            return await ring(Ring(url=url, port=port, scenario=steps, voice_url=voice_url))

    assert not run_virtual(main())
    shown = plain(capsys)
    assert "caller │ hears: Closed." in shown
    assert "The TwiML did not dial OpenAI" in shown


# --- what cannot be tried ---------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert rung("http://127.0.0.1:9/openai", port) == 2
    assert f"port {port} is not free (Address already in use): is another ring running?" in capsys.readouterr().err


def test_a_scenario_that_is_not_valid_rings_nobody(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text('{"step": "CallerSays", "txt": "Hello?"}\n')
    with endpoint() as server:
        assert rung(server.url, port, "--scenario", str(path)) == 2
        assert server.deliveries == []
    assert "call.jsonl, line 1: CallerSays has no field txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--port", "0"], ["--port", "70000"], ["--port", "x"], ["--speed", "31"], ["--rings", "0"], ["--timeout", "nan"]],
)
def test_an_option_out_of_range_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["ring", "http://127.0.0.1:9/openai", *options])
    assert exit_info.value.code == 2
    assert options[0] in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1:8000/openai", "ftp://127.0.0.1/openai", "http:///openai"])
def test_what_is_no_url_of_a_webhook_is_said(url: str, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert rung(url, port) == 2
    assert "realtime-sip: " in capsys.readouterr().err


# --- its page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ring.md", "pt/ring/index.md"])
def test_the_page_shows_what_the_command_prints_and_takes(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) - {"--network"}  # that one is of Docker
    taken = {option for action in parser._actions for option in action.option_strings}
    assert shown <= taken
    assert taken - {"-h", "--help", "--timeout"} <= shown
    exports = _environment(Ring(url="http://127.0.0.1:8000/openai/webhook", port=PORT)).exports
    for name, value in exports.items():
        assert f"    export {name}={value}\n" in page


def test_what_a_server_says_cannot_control_the_terminal(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = "\x1b[2JHello\x07\x9b?\n"
    with other_server(base_url=base(port), secret=_SECRET) as server, typing(monkeypatch, typed):
        assert rung(server.url, port) == 0
    shown = capsys.readouterr().out
    assert "“\ufffd[2JHello\ufffd\ufffd?”" in shown
    assert not any(character in shown for character in "\x1b\x07\x9b")
