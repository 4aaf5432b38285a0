"""What one handler, tool or callback raises ends at most its own call, also if it wants to end the program."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phone import SESSION, phone, virtual
from realtime_sip import Call, CallHost, CallLimits, IncomingCall, Router, Tools, TransferTargets
from realtime_sip.errors import TransferError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.policy import CallPolicy
from realtime_sip.testing import Behavior, EndedBy, ModelCalls, ModelSays

HELLO = ModelSays("Good morning.")
LOOK = ModelCalls("look")
QUIET = CallLimits(silence=None, first_sound=None)


class Odd(BaseException):
    """What no `except Exception` catches."""


def exits(*_args: Any, **_kwargs: Any) -> Any:
    sys.exit(3)


def odd(*_args: Any, **_kwargs: Any) -> Any:
    raise Odd("a BaseException")


async def exits_later(*_args: Any, **_kwargs: Any) -> Any:
    await asyncio.sleep(0.1)
    sys.exit(3)


WAYS: dict[str, Callable[..., Any]] = {"exits": exits, "odd": odd, "exits later": exits_later}


async def raised(way: Callable[..., Any]) -> None:
    result = way()
    if result is not None:
        await result


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["before", "in the block", "behind", "tool", "thread"])
def test_law_a_handler_that_exits_ends_no_other_call(way: str, where: str, caplog: pytest.LogCaptureFixture) -> None:
    line: Any = None
    tools = Tools()

    @tools.function(name="look")
    async def look_async() -> None:
        """Look."""
        await raised(WAYS[way])

    in_thread = Tools()

    @in_thread.function(name="look")
    def look() -> Any:
        """Look."""
        return WAYS[way]()

    async def on_call(incoming: IncomingCall) -> None:
        first = incoming.call_id == ids[0]
        if first and where == "before":
            await raised(WAYS[way])
        async with line.client.calls.answer(
            incoming, SESSION, limits=QUIET, tools=in_thread if where == "thread" else tools
        ) as call:
            call.respond("Greet the caller.")
            await asyncio.sleep(2)
            if first and where == "in the block":
                await raised(WAYS[way])
            if first and where == "behind":
                await call.hangup()
            else:
                await asyncio.sleep(20)
        if first and where == "behind":
            await raised(WAYS[way])

    ids: list[str] = []

    @virtual
    async def test() -> None:
        nonlocal line
        async with phone(strict=False) as line:
            line.host = CallHost(on_call, client=line.client)
            calls = [HELLO], [LOOK, HELLO]
            first = await line.openai.ring(line.host, scenario=calls[where in ("tool", "thread")])
            ids.append(first.call_id)
            second = await line.openai.ring(line.host, scenario=[HELLO])
            await second.until_attached()
            await asyncio.sleep(10)
            assert second.state == "accepted"
            expected = EndedBy.REJECTED if where == "before" else EndedBy.AGENT
            if where in ("tool", "thread"):
                assert first.state == "accepted"
            assert (await first.ended(timeout=60)).by is expected
            assert (await second.ended(timeout=60)).by is EndedBy.AGENT
            await line.idle()

    test()
    told = [record for record in caplog.records if record.levelno == logging.ERROR and ids[0] in record.getMessage()]
    assert len(told) == 1
    assert ("Odd" if way == "odd" else "SystemExit") in told[0].getMessage()


@pytest.mark.parametrize("way", ["exits", "exits later"])
@pytest.mark.parametrize("what", ["check_tool", "check_speech", "consent", "fallback", "rule", "condition"])
def test_law_a_callback_that_exits_ends_no_other_call(way: str, what: str, tmp_path: Path) -> None:
    line: Any = None

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await asyncio.sleep(8)
        if what == "fallback" and call.call_id == ids[0]:
            with pytest.raises(TransferError):
                await call.transfer("billing")
        await asyncio.sleep(30)

    async def answer(incoming: IncomingCall, *_session: Any) -> None:
        first = incoming.call_id == ids[0]
        options: dict[str, Any] = {}
        if first and what in ("check_tool", "check_speech"):
            options[what] = WAYS[way]
        if first and what == "consent":
            options = {"consent": WAYS[way], "event_log": EventLogFolder(tmp_path)}
        if first and what == "fallback":
            options["transfers"] = TransferTargets({"billing": "tel:+14155550123"}, fallback=WAYS[way])
        async with line.client.calls.answer(incoming, SESSION, limits=QUIET, tools=tools, **options) as call:
            await talk(call)

    tools = Tools()

    @tools.function
    async def look() -> str:
        """Look."""
        return "seen"

    def on_first(incoming: IncomingCall) -> Any:
        return WAYS[way]() if incoming.call_id == ids[0] else None

    ids: list[str] = []

    @virtual
    async def test() -> None:
        nonlocal line
        async with phone(strict=False) as line:
            router = Router()
            if what == "condition":
                router.add(answer, session=SESSION, when=on_first)
            router.add(answer, session=SESSION)
            line.host = CallHost(
                router, client=line.client, policy=CallPolicy(on_first) if what == "rule" else CallPolicy()
            )
            first = await line.openai.ring(
                line.host, scenario=[LOOK, HELLO], behavior=Behavior(refer="busy" if what == "fallback" else "bridged")
            )
            ids.append(first.call_id)
            second = await line.openai.ring(line.host, scenario=[HELLO])
            await second.until_attached()
            await asyncio.sleep(20)
            assert second.state == "accepted"
            assert first.state == ("ended" if what == "rule" else "accepted")
            assert (await second.ended(timeout=600)).by is EndedBy.AGENT
            await line.idle()

    test()
