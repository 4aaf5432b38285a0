"""`realtime-sip demo --without-twilio`: the server of the README answers a call, as a trunk would bring it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import MissingExtraError
from realtime_sip.event_log import EventLogFolder

try:
    from realtime_sip.cli.demo_server import (
        DEADLINE,
        address,
        example,
        loopback,
        on_time,
        posted,
        serving,
    )
    from realtime_sip.cli.forged import forged_by_openai
    from realtime_sip.cli.replay import for_a_call, outputs, replay_primary
    from realtime_sip.cli.screen import Screen
    from realtime_sip.cli.shown import conversation
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


async def run_demo(
    *,
    recording: Path | None = None,
    speed: float = 3.0,
    server: ModuleType | None = None,
    event_log: EventLogFolder | None = None,
) -> bool:
    """Play a call and return whether it went the way it should, each step of it.

    Args:
        recording: A recorded session to replay instead of the demo's own scenario, one JSON object a line.
        speed: How much faster than life the call goes; the server's own clocks are real, so not more than 30 times.
        server: A module like `examples/fastapi_server.py`, which it is by default.
        event_log: Where the server writes the log of the call.

    Raises:
        ConfigurationError: The recording cannot be read, or the example is not there.
    """
    recorded = None if recording is None else Recording.load(recording)
    module = example("fastapi_server") if server is None else server
    screen = Screen()
    with screen.showing(module.log):
        async with (
            OpenAIEmulator(speed=speed, strict=False) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
        ):
            if recorded is not None and recorded.primary:
                played = replay_primary(openai, client, recorded, screen)
            else:
                app = module.create_app(client, event_log=event_log)
                played = _ring(openai, app, recorded, screen)
            checks = await on_time(played)
    return screen.verdict(checks)


async def _ring(openai: OpenAIEmulator, app: object, recorded: Recording | None, screen: Screen) -> dict[str, bool]:
    """Start the example server, ring it, and return what was to happen and whether it did."""
    with loopback() as listening:
        url = f"{address(listening)}/openai/webhook"
        async with serving(app, listening):
            return await _rung(openai, url, recorded, screen)


async def _rung(openai: OpenAIEmulator, url: str, recorded: Recording | None, screen: Screen) -> dict[str, bool]:
    forged = await posted(url, *forged_by_openai())
    screen.show("demo", f"a forged webhook was answered {forged}")
    screen.show("caller", "dials")
    if recorded is None:
        ringing = await openai.ring(url, scenario=SCENARIO)
    else:
        ringing = await openai.ring(url, recording=for_a_call(recorded))
    async with screen.following(conversation(ringing)):
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
