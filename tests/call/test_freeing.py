"""A call that has ended is freed with the last who holds it: the cyclic collector stops a program for all its calls."""

from __future__ import annotations

import contextlib
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from phone import Answering, Phone, phone, virtual
from realtime_sip import Call, Tools, TransferTargets
from realtime_sip.call.runtime import Runtime
from realtime_sip.errors import CallEndedError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelFails,
    ModelSays,
    RequestFails,
    SocketDropped,
)

HELLO, BYE = ModelSays("Hello."), CallerHangsUp()

tools = Tools()


@tools.function
async def look(call: Call, order: str) -> str:
    """Look for an order."""
    return f"{call.call_id} {order}"


@contextlib.asynccontextmanager
async def _freed() -> AsyncIterator[tuple[Phone, Callable[[Answering], Answering]]]:
    """Have a phone whose calls are all freed when they have ended."""
    held: list[weakref.ref[Call | Runtime]] = []

    def hold(talk: Answering) -> Answering:
        async def held_talk(call: Call) -> None:
            held.extend((weakref.ref(call), weakref.ref(call._runtime)))
            await talk(call)

        return held_talk

    async with phone(strict=False) as line:
        gc.collect()
        gc.disable()
        try:
            yield line, hold
            line.calls.clear()
            assert held
            assert [each() for each in held] == [None] * len(held)
        finally:
            gc.enable()


async def _reads(call: Call) -> None:
    call.respond("Greet.")
    async for _ in call:
        pass


async def _stops_reading(call: Call) -> None:
    call.respond("Greet.")
    async for _ in call:
        break


async def _collects(call: Call) -> None:
    await call.collect_digits("Ask.", max_digits=2)
    await call.wait_ended()


async def _transfers(call: Call) -> None:
    await call.respond("Greet.")
    await call.transfer("billing")


async def _fails(call: Call) -> None:
    call.respond("Greet.")
    raise ValueError


async def _is_cut_off(call: Call) -> None:
    with contextlib.suppress(CallEndedError):
        await call.respond("Greet.").heard()
        await call.respond("Talk.")


async def _updates(call: Call) -> None:
    await call.respond("Greet.")
    await call.update({"instructions": "Be formal."})
    await call.hangup(goodbye="Bye.")


PRESSED = (HELLO, CallerPresses("12"), BYE)
WAYS: dict[str, tuple[Answering, tuple[Any, ...], dict[str, Any]]] = {
    "with a reader": (_reads, (HELLO, BYE), {}),
    "with a reader that stops": (_stops_reading, (HELLO, BYE), {}),
    "after digits": (_collects, PRESSED, {}),
    "after a transfer": (_transfers, (HELLO,), {"transfers": TransferTargets({"billing": "tel:+14155550123"})}),
    "after an exception": (_fails, (HELLO,), {}),
    "cut off": (_is_cut_off, (HELLO, BYE), {}),
    "after an update": (_updates, (HELLO, ModelSays("Bye.")), {}),
    "after a drop": (
        _reads,
        (HELLO, CallerSays("Yes?"), HELLO, BYE),
        {"faults": [SocketDropped(when="response.done")]},
    ),
    "after a response that failed": (_reads, (ModelFails("server_error"), HELLO, BYE), {}),
    "after a hang-up that failed": (_updates, (HELLO,), {"faults": [RequestFails("hangup", times=3)]}),
}


@pytest.mark.parametrize("way", WAYS)
def test_law_a_call_is_freed_without_the_cyclic_collector__whatever_happened(
    way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    talk, steps, options = WAYS[way]
    # pytest keeps what is logged, and with it an exception and its frames.
    caplog.set_level(logging.CRITICAL + 1, "realtime_sip")

    @virtual
    async def run() -> None:
        async with _freed() as (line, hold):
            await line.played(*steps, talk=hold(talk), event_log=EventLogFolder(tmp_path), **options)

    run()


@pytest.mark.parametrize("by_us", [True, False])
@virtual
async def test_law_a_call_is_freed_without_the_cyclic_collector(by_us: bool) -> None:
    async def talk(call: Call) -> None:
        call.respond("Greet.")
        await call.respond("Talk.")
        if not by_us:
            await call.wait_ended()

    steps = (HELLO, ModelSays("Yes."), CallerSays("Where is it?"))
    calls = (ModelCalls("look", {"order": "4"}), ModelSays("There."))
    async with _freed() as (line, hold):
        await line.played(*(steps[:2] if by_us else (*steps, *calls, BYE)), talk=hold(talk), tools=tools)
