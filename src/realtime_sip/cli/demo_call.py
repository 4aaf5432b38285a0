"""`realtime-sip demo`: the example server answers a call that the emulator makes, and the terminal shows it."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.webhooks import OpenAIWebhooks

try:
    import httpx
    import uvicorn

    from realtime_sip.cli.replay import for_a_call, outputs, replay_primary
    from realtime_sip.cli.screen import Screen
    from realtime_sip.testing import (
        CallerHangsUp,
        CallerSays,
        EndedBy,
        ModelCalls,
        ModelSays,
        OpenAIEmulator,
        Recording,
    )
except ImportError as error:
    raise MissingExtraError(error.name or "a package", "cli") from None

__all__ = ["run_demo"]

GREETING = "Good morning, this is the shop. How can I help you?"
QUESTION = "Hello. Where is my order, number one zero four two?"
RESULT = "It left our warehouse yesterday and arrives tomorrow before noon."
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


async def run_demo(*, recording: Path | None = None, speed: float = 3.0, server: ModuleType | None = None) -> bool:
    """Play a call and return whether it went the way it should, each step of it.

    Args:
        recording: A recorded session to replay instead of the demo's own scenario, one JSON object a line.
        speed: How much faster than life the call goes; the server's own clocks are real, so not more than 30 times.
        server: A module like `examples/fastapi_server.py`, which it is by default.

    Raises:
        ConfigurationError: The recording cannot be read, or the example is not there.
    """
    recorded = None if recording is None else Recording.load(recording)
    example = _example() if server is None else server
    screen = Screen()
    with screen.showing(example.log):
        async with (
            OpenAIEmulator(speed=speed, strict=False) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
        ):
            try:
                async with asyncio.timeout(DEADLINE):
                    if recorded is not None and recorded.primary:
                        checks = await replay_primary(openai, client, recorded, screen)
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
        if recorded is None:
            ringing = await openai.ring(url, scenario=SCENARIO)
        else:
            ringing = await openai.ring(url, recording=for_a_call(recorded))
        async with screen.following(ringing):
            end = await ringing.ended(timeout=DEADLINE)
        screen.show("caller", f"the call has ended: {end.by}")
        server_saw = {str(event.get("type")) for event in ringing.server_events}
        checks = {
            "a forged webhook is refused with 400": forged == 400,
            "the webhook is taken at its first delivery": [r.taken for r in ringing.webhook_responses] == [True],
            "the call is accepted with a session": ringing.accepted_session is not None,
            "the sideband is attached once": ringing.sidebands == 1,
            "session.update is answered by session.updated": "session.updated" in server_saw,
            "the caller ended the call": end.by is EndedBy.CALLER,
        }
        if ringing.replay is not None:
            checks["the recording was played to its end"] = ringing.replay.complete
        else:
            said = [(line.by, line.text) for line in ringing.said]
            heard = await screen.shown("server", "greeting heard: entirely")
            checks |= {
                "the agent greets": said[:1] == [("model", GREETING)],
                "the server knows that the greeting was heard": heard,
                "the caller is heard": ("caller", QUESTION) in said,
                "the tool's result reaches the model, once": outputs(ringing.client_events) == [RESULT],
                "the agent answers, and the call goes on to its end": said[-1:] == [("model", GOODBYE)],
            }
        # The caller's end is never reported: the server infers it from a call that is gone.
        how = "call ended: caller (inferred), socket: normal"
        checks["the server knows how the call and its socket ended"] = await screen.shown("server", how)
        return checks


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
