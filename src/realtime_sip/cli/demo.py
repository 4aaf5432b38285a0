"""`realtime-sip demo`: the example server answers a call that the emulator makes, and the terminal shows it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.items import UserMessage
from realtime_sip.webhooks import OpenAIWebhooks

try:
    import httpx
    import uvicorn

    from realtime_sip.testing import (
        CallerHangsUp,
        CallerSays,
        EndedBy,
        ExpectedSocket,
        ModelCalls,
        ModelSays,
        OpenAIEmulator,
        Recording,
        RingingCall,
        Said,
    )
except ImportError as error:
    raise MissingExtraError(error.name or "a package", "cli") from None

__all__ = ["run_demo"]

GREETING = "Good morning, this is the shop. How can I help you?"
QUESTION = "Hello. Where is my order, number one zero four two?"
ANSWER = "It left our warehouse yesterday and will be with you tomorrow before noon."
THANKS = "Wonderful, thank you. Goodbye."
GOODBYE = "You are welcome. Goodbye."
SCENARIO = (
    ModelSays(GREETING),
    CallerSays(QUESTION),
    ModelCalls("order_status", {"order_id": "1042"}),
    ModelSays(ANSWER),
    CallerSays(THANKS),
    ModelSays(GOODBYE),
    CallerHangsUp(),
)
DEADLINE = 120.0
"""Real seconds after which a demo that hangs is given up."""

_LOOK = 0.02


async def run_demo(*, recording: Path | None = None, speed: float = 3.0, server: ModuleType | None = None) -> bool:
    """Play a call and return whether it went the way it should, each step of it.

    Args:
        recording: A recorded session to replay instead of the demo's own scenario, one JSON object a line.
        speed: How much faster than life the call goes.
        server: A module like `examples/fastapi_server.py`, which it is by default.

    Raises:
        ConfigurationError: The recording cannot be read, or the example is not there.
    """
    recorded = None if recording is None else Recording.load(recording)
    example = _example() if server is None else server
    screen = Screen()
    with screen.showing(example.log):
        async with (
            OpenAIEmulator(speed=speed) as openai,
            AsyncRealtimeSip(openai.api_key, base_url=openai.base_url, webhook_secret=openai.webhook_secret) as client,
        ):
            try:
                async with asyncio.timeout(DEADLINE):
                    if recorded is not None and recorded.primary:
                        checks = await _replay_primary(openai, client, example, recorded, screen)
                    else:
                        checks = await _ring(openai, client, example, recorded, screen)
            except TimeoutError:
                checks = {f"the call ended within {DEADLINE:.0f} seconds": False}
    return screen.verdict(checks)


async def _ring(
    openai: OpenAIEmulator, client: AsyncRealtimeSip, example: ModuleType, recorded: Recording | None, screen: Screen
) -> dict[str, bool]:
    """Start the example server, ring it, and return what was to happen and whether it did."""
    async with _serving(example.create_app(client)) as url:
        forged = await _forged(url)
        screen.show("demo", f"a forged webhook was answered {forged}")
        screen.show("caller", "dials")
        scenario = SCENARIO if recorded is None else ()
        ringing = await openai.ring(url, scenario=scenario, recording=recorded)
        async with screen.following(ringing):
            end = await ringing.ended(timeout=DEADLINE)
        screen.show("caller", f"the call has ended: {end.by}")
        checks = {
            "a forged webhook is refused with 400": forged == 400,
            "the webhook is taken at its first delivery": [r.taken for r in ringing.webhook_responses] == [True],
            "the call is accepted with a session": ringing.accepted_session is not None,
            "the sideband is attached once": ringing.sidebands == 1,
            "session.update is answered by session.updated": "session.updated" in _types(ringing.server_events),
            "the caller ended the call": end.by is EndedBy.CALLER,
        }
        if ringing.replay is not None:
            checks["the recording was played to its end"] = ringing.replay.complete
        else:
            said = [(line.by, line.text) for line in ringing.said]
            checks |= {
                "the agent greets": said[:1] == [("model", GREETING)],
                "the caller is heard": ("caller", QUESTION) in said,
                "the tool's result reaches the model": example.ORDERS["1042"] in _outputs(ringing.client_events),
                "the agent answers, and the call goes on to its end": said[-1:] == [("model", GOODBYE)],
            }
        checks["the socket closes in good order"] = await screen.shown("server", "socket closed: normal")
        return checks


async def _replay_primary(
    openai: OpenAIEmulator, client: AsyncRealtimeSip, example: ModuleType, recorded: Recording, screen: Screen
) -> dict[str, bool]:
    """Hold the example's conversation on a primary socket, and return what was to happen and whether it did."""
    outputs = _recorded_outputs(recorded)
    tools = {name: _answering(output) for name, output in outputs.items()}
    line = openai.expect_socket(recording=recorded)
    async with screen.following(line), client.connect(model="gpt-realtime-2.1") as socket:
        screen.show("server", "primary socket open")
        close = await example.talk(socket, tools, UserMessage.text(_recorded_words(recorded)))
        screen.show("server", f"socket closed: {close}")
    assert line.replay is not None
    return {
        "every tool that the recording calls has answered": set(outputs.values()) <= set(_outputs(line.client_events)),
        "the recording was played to its end": line.replay.complete,
        "the socket closes in good order": close is not None and close.quiet,
    }


class Screen:
    """Shows who does what, when, and says at the end whether it was right."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lines: list[tuple[str, str]] = []
        self._look: Callable[[], None] = lambda: None

    def show(self, who: str, what: str) -> None:
        """Print one line, after what has happened on the line before it."""
        self._look()
        self._print(who, what)

    def _print(self, who: str, what: str) -> None:
        self._lines.append((who, what))
        self._write(f"{time.monotonic() - self._started:7.2f}s  {who:>6} │ {what}")

    def _write(self, line: str) -> None:
        try:
            print(line, flush=True)
        except BrokenPipeError:
            # Nobody looks any more (`| head`); the call and its verdict go on.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process

    async def shown(self, who: str, start: str) -> bool:
        """Return whether `who` has said something that starts so, or says so within a second."""
        for _ in range(int(1 / _LOOK)):
            if any(by == who and what.startswith(start) for by, what in self._lines):
                return True
            await asyncio.sleep(_LOOK)
        return False

    @contextmanager
    def showing(self, log: logging.Logger) -> Iterator[None]:
        """Show what the example server logs."""
        handler = _Lines(self)
        before = log.level, log.propagate
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.level, log.propagate = before

    @asynccontextmanager
    async def following(self, line: RingingCall | ExpectedSocket) -> AsyncIterator[None]:
        """Show what is said on the line, until the block is left."""
        at = [0, 0, 0]

        def look() -> None:
            heard: tuple[Sequence[Said | dict[str, Any]], ...] = (line.said, line.client_events, line.server_events)
            for row, rows in enumerate(heard):
                new = rows[at[row] :]
                at[row] += len(new)
                for entry in new:
                    shown = _told(entry, replayed=line.replay is not None)
                    if shown is not None:
                        self._print(*shown)

        async def follow() -> None:
            while True:
                look()
                await asyncio.sleep(_LOOK)

        self._look = look
        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            look()
            self._look = lambda: None

    def verdict(self, checks: dict[str, bool]) -> bool:
        """Print what was to happen and whether it did; return whether all of it did."""
        self._write("")
        for what, ok in checks.items():
            self._write(f"  {'✓' if ok else '✗'} {what}")
        passed = all(checks.values())
        self._write(f"\n{'The call went as it should.' if passed else 'The call did NOT go as it should.'}")
        return passed


class _Lines(logging.Handler):
    """Hands the example's log lines to the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.show("server", record.getMessage())


def _told(entry: Said | dict[str, Any], *, replayed: bool) -> tuple[str, str] | None:
    """Return who does what in something that was said or sent, or None for what is not shown."""
    if isinstance(entry, Said):
        return ("caller" if entry.by == "caller" else "agent", f"“{entry.text}”")
    match entry:
        case {"type": "response.function_call_arguments.done", "name": name, "arguments": arguments}:
            return "agent", f"calls {name}({' '.join(arguments.split())})"
        case {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": output}}:
            return "server", f"sends the tool's result: {output}"
        case {"type": "output_audio_buffer.started"}:
            return "caller", "hears the agent"
        case {"type": "input_audio_buffer.dtmf_event_received", "event": digit}:
            return "caller", f"presses {digit}"
    if replayed:
        match entry:
            case {"type": "response.output_audio_transcript.done", "transcript": words} | {
                "type": "response.output_text.done",
                "text": words,
            }:
                return "agent", f"“{words}”"
            case {"type": "conversation.item.input_audio_transcription.completed", "transcript": words}:
                return "caller", f"“{words}”"
            case {"type": "conversation.item.create", "item": {"role": "user", "content": [{"text": words}]}}:
                return "caller", f"“{words}”"
    return None


def _types(frames: list[dict[str, Any]]) -> set[str]:
    return {str(frame.get("type")) for frame in frames}


def _outputs(frames: list[dict[str, Any]]) -> list[str]:
    """Return the outputs of tools among what a client sent."""
    items = [frame.get("item") or {} for frame in frames if frame.get("type") == "conversation.item.create"]
    return [str(item.get("output")) for item in items if item.get("type") == "function_call_output"]


def _recorded_outputs(recorded: Recording) -> dict[str, str]:
    """Return what each tool of the recording answered, by its name."""
    names = {
        frame.data["call_id"]: frame.data["name"]
        for frame in recorded.frames
        if frame.type == "response.function_call_arguments.done"
    }
    sent = [frame.data for frame in recorded.frames if frame.direction == "sent"]
    items = [frame.get("item") or {} for frame in sent if frame.get("type") == "conversation.item.create"]
    return {
        names[item["call_id"]]: item["output"]
        for item in items
        if item.get("type") == "function_call_output" and item.get("call_id") in names
    }


def _answering(output: str) -> Callable[..., str]:
    """Return a tool that gives the recorded answer to whatever it is asked."""
    return lambda **_arguments: output


def _recorded_words(recorded: Recording) -> str:
    """Return what the recorded person typed, if anything."""
    for frame in recorded.frames:
        match frame.data:
            case {"type": "conversation.item.create", "item": {"role": "user", "content": [{"text": str(words)}, *_]}}:
                return words
    return "Hello."


async def _forged(url: str) -> int:
    """Send a webhook that somebody else has signed, and return how it was answered."""
    body = json.dumps({"type": "realtime.call.incoming", "data": {"call_id": "rtc_forged", "sip_headers": []}})
    headers = OpenAIWebhooks("somebody else's secret").sign(body, id="wh_forged", timestamp=int(time.time()))
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.post(url, content=body, headers=headers, timeout=10)).status_code


@asynccontextmanager
async def _serving(app: object) -> AsyncIterator[str]:
    """Serve the app on a free port of the loopback, and hand out the webhook's URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_config=None, log_level="warning", lifespan="on", timeout_graceful_shutdown=5)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            # The socket listens already: what comes before the server has started waits in its backlog.
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/openai/webhook"
        finally:
            server.should_exit = True
            await task


def _example() -> ModuleType:
    """Return `examples/fastapi_server.py`: beside this file in a wheel, in `examples/` in a checkout.

    Raises:
        ConfigurationError: It is in neither place.
    """
    for path in (
        Path(__file__).with_name("fastapi_server.py"),
        Path(__file__).parents[3] / "examples" / "fastapi_server.py",
    ):
        if path.is_file():
            spec = importlib.util.spec_from_file_location("fastapi_server", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # so that FastAPI can resolve its annotations
            spec.loader.exec_module(module)
            return module
    raise ConfigurationError("the example server is not installed beside the command")
