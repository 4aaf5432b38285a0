"""Exceptions of the program's own code: logged with the call's id, the place and the traceback; told to its hook."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from phone import SESSION, Phone, phone, virtual
from realtime_sip import Call, CallHost, CallPolicy, IncomingCall, RealtimeSession, Router, Tools, TransferTargets
from realtime_sip.errors import ConfigurationError, TransferError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.testing import Behavior, CallerHangsUp, ModelCalls, ModelCallsMcp, ModelSays

HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp(after=5.0)
SECRET = "the number of Anna's card"


class WrongError(Exception):
    """What the program raises."""


def wrong(*_args: Any, **_kwargs: Any) -> Any:
    try:
        int(SECRET)
    except ValueError as error:
        raise WrongError(SECRET) from error


async def later(*_args: Any, **_kwargs: Any) -> Any:
    await asyncio.sleep(0.01)
    wrong()


PLACES = [
    *("handler", "behind", "tool", "thread", "check_tool", "check_speech", "approve_mcp", "consent", "fallback"),
    *("rule", "route"),
]
NAMES = {
    "handler": "the handler",
    "behind": "the handler",
    "tool": "the tool look",
    "thread": "the tool look",
    "check_tool": "check_tool of look",
    "check_speech": "check_speech",
    "approve_mcp": "approve_mcp",
    "consent": "consent",
    "fallback": "the fallback of a transfer",
    "rule": "the rule later",
    "route": "the condition of the route to on_route",
}
THEN = {"rule": ", so the call is refused with 503", "route": ", so it is passed over"}
OF_HOST = ("handler", "behind", "rule", "route")


async def goes_wrong(place: str, tmp_path: Path, line: Phone, **options: Any) -> str:
    """Let one call come in, in which something raises; return its id."""
    tools = Tools()
    if place == "thread":
        tools.function(name="look", description="Look.")(wrong_tool)
    else:
        tools.function(name="look", description="Look.")(late_tool if place == "tool" else fine_tool)
    chosen: dict[str, Any] = {"tools": tools, **options}
    if place in ("check_tool", "check_speech", "approve_mcp", "consent"):
        chosen[place] = later
    if place == "consent":
        chosen["event_log"] = EventLogFolder(tmp_path)
    if place == "fallback":
        chosen["transfers"] = TransferTargets({"billing": "tel:+14155550123"}, fallback=later)

    async def on_call(incoming: IncomingCall) -> None:
        if place == "handler":
            wrong()
        async with line.client.calls.answer(incoming, session, **chosen) as call:
            await talk(call)
        if place == "behind":
            await later()

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        if place == "fallback":
            await asyncio.sleep(5)
            with pytest.raises(TransferError):
                await call.transfer("billing")
        await asyncio.sleep(8)

    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example", "require_approval": "always"}
    session = {**SESSION, "tools": [mcp]} if place == "approve_mcp" else SESSION
    handler: Any = on_call
    if place == "route":
        handler = Router()
        handler.add(on_route, session=SESSION, when=later)

    policy = CallPolicy(later) if place == "rule" else None
    line.host = CallHost(handler, client=line.client, policy=policy, **(options if place in OF_HOST else {}))
    if place in OF_HOST:
        chosen = {"tools": tools}
    steps: Any = {"approve_mcp": [ModelCallsMcp("docs", "search"), HELLO]}.get(place, [ModelCalls("look"), HELLO])
    ringing = await line.openai.ring(
        line.host, scenario=steps, behavior=Behavior(refer="busy" if place == "fallback" else "bridged")
    )
    await ringing.ended(timeout=600)
    await line.idle()
    return ringing.call_id


async def on_route(_incoming: IncomingCall, _session: RealtimeSession) -> None:
    """Never reached."""


def wrong_tool() -> str:
    return str(wrong())


async def late_tool() -> str:
    return str(await later())


async def fine_tool() -> str:
    return "seen"


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_law_what_the_programs_code_raises_is_logged_with_its_place_and_without_its_message(
    place: str, shown: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[BaseException, str, Call | None]] = []

    def on_error(error: BaseException, *, call_id: str, call: Call | None) -> None:
        told.append((error, call_id, call))

    ids: list[str] = []

    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            ids.append(await goes_wrong(place, tmp_path, line, on_error=on_error, log_exceptions=shown))

    test()
    lines = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert lines
    first = lines[0].getMessage()
    assert first.startswith(
        f"call {ids[0]}: {NAMES[place]} failed{THEN.get(place, '')}: WrongError in wrong ({__file__}:"
    )
    assert lines[0].name.startswith("realtime_sip.")
    text = logging.Formatter().format(lines[0])
    assert "Traceback (most recent call last)" in text
    assert "in wrong" in text
    assert "direct cause" in text
    assert (SECRET in text) == shown
    assert (SECRET in caplog.text) == shown
    assert [type(error) for error, _, _ in told] == [WrongError] * len(told)
    assert told[0][1] == ids[0]
    assert (told[0][2] is None) == (place in ("handler", "rule", "route"))


@pytest.mark.parametrize("way", ["plain", "async", "exits", "hangs"])
def test_law_a_hook_that_fails_is_logged_and_changes_nothing(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def plain(_error: BaseException, *, call_id: str, call: Call | None) -> None:
        raise ValueError(SECRET)

    async def hook(_error: BaseException, *, call_id: str, call: Call | None) -> None:
        await asyncio.sleep(1000 if way == "hangs" else 0.1)
        if way == "exits":
            sys.exit(1)
        raise ValueError(SECRET)

    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            await goes_wrong("tool", tmp_path, line, on_error=plain if way == "plain" else hook)
            await asyncio.sleep(20)

    test()
    kind = {"exits": "SystemExit", "hangs": "TimeoutError"}.get(way, "ValueError")
    assert f"on_error failed: {kind}" in caplog.text
    assert SECRET not in caplog.text


@virtual
async def test_the_hook_of_the_host_is_that_of_its_calls_which_may_have_one_of_their_own() -> None:
    told: list[str] = []

    async def on_call(incoming: IncomingCall) -> None:
        options: dict[str, Any] = {} if not told else {"on_error": lambda *_args, **_kwargs: told.append("own")}
        async with line.client.calls.answer(incoming, SESSION, tools=tools, **options) as call:
            call.respond("Greet the caller.")
            await asyncio.sleep(8)

    tools = Tools()
    tools.function(name="look", description="Look.")(late_tool)
    async with phone(strict=False) as line:
        line.host = CallHost(on_call, client=line.client, on_error=lambda *_args, **_kwargs: told.append("host"))
        for _ in range(2):
            ringing = await line.openai.ring(line.host, scenario=[ModelCalls("look"), HELLO])
            await ringing.ended(timeout=60)
            await line.idle()
    assert told == ["host", "own"]


@virtual
async def test_a_hook_that_cannot_be_called_is_refused() -> None:
    async with phone(strict=False) as line:
        with pytest.raises(ConfigurationError, match="on_error"):
            CallHost(line.on_call, client=line.client, on_error="sentry")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="on_error"):
            line.client.calls.answer("rtc_1", SESSION, on_error=1)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="log_exceptions"):
            line.client.calls.answer("rtc_1", SESSION, log_exceptions="yes")  # type: ignore[arg-type]
