"""A client that is closed while calls are up ends them first. On virtual time, over the emulator."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from phone import SESSION, Phone, phone, virtual
from realtime_sip import AsyncRealtimeSip, Call, CallHost, CallLimits, EndReason, IncomingCall
from realtime_sip.testing import EndedBy, ModelSays, RingingCall

HELLO = ModelSays("Good morning.")
QUIET = CallLimits(silence=None, first_sound=None)


async def up(line: Phone, client: AsyncRealtimeSip, **options: Any) -> RingingCall:
    """Let a call come in that `client` answers, and wait until it is attached."""

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, limits=QUIET, **options) as call:
            line.calls.append(call)
            await call.wait_ended()

    line.host = CallHost(on_call, client=line.client)
    ringing = await line.openai.ring(line.host, scenario=[HELLO])
    await ringing.until_attached()
    await asyncio.sleep(0.1)
    return ringing


@virtual
async def test_law_never_an_agent_with_a_dead_line__a_client_that_is_closed_ends_its_calls_first() -> None:
    async with phone(strict=False) as line:
        ringings = [await up(line, line.client) for _ in range(5)]
        began = asyncio.get_running_loop().time()
        await line.client.close()
        assert asyncio.get_running_loop().time() - began < 2
        assert [(await ringing.ended()).by for ringing in ringings] == [EndedBy.AGENT] * 5
        assert {call.ended.reason for call in line.calls if call.ended} == {EndReason.AGENT}
        await line.idle()


@pytest.mark.parametrize("fault", [{"status": 500}, {"how": "no answer"}, {"how": "reset"}])
def test_law_shutting_down_keeps_its_time__a_client_that_is_closed_while_nothing_can_be_hung_up(
    fault: dict[str, Any],
) -> None:
    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            ringing = await up(line, line.client)
            line.openai.fail("hangup", times=1000, **fault)
            began = asyncio.get_running_loop().time()
            await line.client.close()
            assert asyncio.get_running_loop().time() - began < 2
            (call,) = line.calls
            assert call.ended is not None
            assert call.ended.certainty == "inferred"
            ringing.hang_up()
            await line.idle()

    test()


@virtual
async def test_a_client_over_an_http_client_of_the_programs_own_ends_its_calls_too() -> None:
    async with phone(strict=False) as line, httpx.AsyncClient() as http:
        async with AsyncRealtimeSip(**line.openai.client_options, http_client=http) as client:
            ringing = await up(line, client)
        assert (await ringing.ended()).by is EndedBy.AGENT
        assert not http.is_closed
        await line.idle()


@virtual
async def test_a_client_with_other_options_ends_its_own_calls_and_the_first_one_all() -> None:
    async with phone(strict=False) as line:
        other = line.client.with_options(timeout=3.0)
        first, second = await up(line, line.client), await up(line, other)
        await other.close()
        assert (await second.ended()).by is EndedBy.AGENT
        assert first.state == "accepted"
        third = await up(line, line.client.with_options(timeout=3.0))
        await line.client.close()
        assert [(await ringing.ended()).by for ringing in (first, third)] == [EndedBy.AGENT] * 2
        await line.idle()


@virtual
async def test_a_client_that_is_closed_in_the_block_of_a_call_ends_it() -> None:
    async def talk(call: Call) -> None:
        await line.client.close()
        assert call.ended is not None

    async with phone(strict=False) as line:
        ended, _ = await line.played(HELLO, talk=talk)
    assert ended.reason is EndReason.AGENT
