"""Tools that take long, as the caller hears them."""

from __future__ import annotations

import asyncio

from phone import greet, outputs, phone, types, virtual
from realtime_sip import Tools
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays


@virtual
async def test_law_slow_tools_are_not_silence() -> None:
    tools = Tools()

    @tools.function(timeout=60, progress=(8, 16))
    async def look_up() -> str:
        """Look something up."""
        await asyncio.sleep(20)
        return "found"

    async with phone() as line:
        _, ringing = await line.played(
            ModelSays("Hello."),
            CallerSays("Where is it?"),
            ModelCalls("look_up"),
            ModelSays("I am still looking."),
            ModelSays("It takes a moment more."),
            ModelSays("Here it is."),
            CallerHangsUp(),
            talk=greet,
            tools=tools,
        )
    assert outputs(ringing) == ["found"]
    assert types(ringing.server_events).count("output_audio_buffer.stopped") == 4


@virtual
async def test_a_tool_in_the_background_lets_the_conversation_go_on() -> None:
    tools = Tools()

    @tools.function(timeout=60, background=True)
    async def order() -> str:
        """Order it."""
        await asyncio.sleep(6)
        return "ordered"

    async with phone() as line:
        _, ringing = await line.played(
            ModelSays("Hello."),
            CallerSays("Order it."),
            ModelCalls("order"),
            ModelSays("I am at it."),
            ModelSays("It is ordered."),
            CallerHangsUp(),
            talk=greet,
            tools=tools,
        )
    assert "background" in outputs(ringing)[0]
    messages = [frame["item"] for frame in ringing.client_events if frame["type"] == "conversation.item.create"]
    assert "ordered" in messages[-1]["content"][0]["text"]
