"""What `realtime-sip ring` shows of a server: what it asks the model to say, so that a changed greeting is seen."""

from __future__ import annotations

import pytest

from realtime_sip import AsyncRealtimeSip
from realtime_sip.cli.ring_shown import of_server
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator

NOBODY = "http://127.0.0.1:9/webhook"
PROMPT = "You answer the phone of a shop."


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({"instructions": f"{PROMPT}\n\nSay hello."}, ["asks for a response: Say hello."]),
        ({"instructions": "Say\nhello."}, ["asks for a response: Say hello."]),
        ({"instructions": "na " * 100}, [f"asks for a response: {('na ' * 54)[:160]}…"]),
        ({"instructions": PROMPT}, []),
        ({}, []),
        (None, []),
    ],
)
async def test_what_a_response_is_asked_for_is_shown(asked: dict[str, str] | None, shown: list[str]) -> None:
    async with OpenAIEmulator(speed=50) as openai, AsyncRealtimeSip(**openai.client_options) as client:
        ringing = await openai.ring(NOBODY, scenario=[ModelSays("Hello."), CallerHangsUp()])
        watch = of_server(ringing)
        await client.calls.accept(ringing.call_id, {"model": "gpt-realtime-2.1", "instructions": PROMPT})
        async with client.calls.connect(ringing.call_id) as sideband:
            await sideband.response_create(asked)
            async for _event in sideband:
                pass
        assert [line.what for line in watch() if line.what.startswith("asks for")] == shown
