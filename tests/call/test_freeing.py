"""A call that has ended is freed with the last who holds it: the cyclic collector stops a program for all its calls."""

from __future__ import annotations

import gc
import weakref

import pytest

from phone import phone, virtual
from realtime_sip import Call, Tools
from realtime_sip.call.runtime import Runtime
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays

tools = Tools()


@tools.function
async def look(call: Call, order: str) -> str:
    """Look for an order."""
    return f"{call.call_id} {order}"


@pytest.mark.parametrize("by_us", [True, False])
@virtual
async def test_law_a_call_is_freed_without_the_cyclic_collector(by_us: bool) -> None:
    held: list[weakref.ref[Call | Runtime]] = []

    async def talk(call: Call) -> None:
        held.extend((weakref.ref(call), weakref.ref(call._runtime)))
        call.respond("Greet.")
        await call.respond("Talk.")
        if not by_us:
            await call.wait_ended()

    async with phone() as line:
        gc.collect()
        gc.disable()
        try:
            steps = (ModelSays("Hello."), ModelSays("Yes."), CallerSays("Where is it?"))
            calls = (ModelCalls("look", {"order": "4"}), ModelSays("There."))
            told = steps[:2] if by_us else (*steps, *calls, CallerHangsUp())
            await line.played(*told, talk=talk, tools=tools)
            line.calls.clear()
            assert [each() for each in held] == [None, None]
        finally:
            gc.enable()
