"""A drain that hands calls over: many of them, to a worker that comes late, with a store that is down, in the middle of
an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fleet import Worker, fleet

from phone import said, until, virtual
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallLimits,
    EndReason,
    Submission,
    TransferFailureReason,
    TransferTargets,
)
from realtime_sip.testing import Behavior, EndedBy
from realtime_sip.testing.scenario import CallerHangsUp, CallerSays, ModelSays

QUIET = CallLimits(silence=None, first_sound=None)
OPERATIONS = ("claim", "accept", "heartbeat", "offer", "recall", "adopt", "finish", "post", "noted", "note", "news")
DESKS = TransferTargets({"desk": "sip:desk@pbx.example.com"})


@virtual
async def test_many_calls_go_to_another_worker_in_the_time_of_a_drain() -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, staying = shop.workers
        ringings = [await shop.ring(CallerHangsUp(after=60.0)) for _ in range(60)]
        await until(lambda: len(stopping.calls) == 60)
        await asyncio.sleep(3)
        began = asyncio.get_running_loop().time()
        await stopping.host.drain()
        assert asyncio.get_running_loop().time() - began < 8
        ends = [await ringing.ended() for ringing in ringings]
        assert {end.by for end in ends} == {EndedBy.CALLER}
        assert len(staying.calls) == 60
        assert max(ringing.tally.unattended for ringing in ringings) < 1.5


@virtual
async def test_a_worker_that_starts_while_another_is_drained_gets_its_calls() -> None:
    async with fleet(1, limits=QUIET) as shop:
        (stopping,) = shop.workers
        ringing = await shop.ring(CallerHangsUp(after=60.0))
        await until(lambda: stopping.calls)
        await asyncio.sleep(3)
        draining = asyncio.create_task(stopping.host.drain())
        await asyncio.sleep(5)
        late = Worker(AsyncRealtimeSip(**shop.openai.client_options), shop.store, stopping.talk)
        late.answer_options = {"limits": QUIET}
        shop.workers.append(late)
        late.host.watch()
        await until(lambda: late.calls, 5.0)
        await draining
        assert (await ringing.ended()).by is EndedBy.CALLER


@pytest.mark.parametrize("seconds", [25.0, 5.0, 0.0])
@virtual
async def test_a_drain_keeps_its_time_while_the_store_is_down(seconds: float) -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, _ = shop.workers
        ringing = await shop.ring(ModelSays("Goodbye."))
        await until(lambda: stopping.calls)
        await asyncio.sleep(3)
        store: Any = shop.store

        async def hangs(*_: object, **__: object) -> None:
            await asyncio.sleep(3600)

        for name in OPERATIONS:
            setattr(store, name, hangs)
        began = asyncio.get_running_loop().time()
        await stopping.host.drain(seconds)
        assert asyncio.get_running_loop().time() - began <= seconds + 2
        assert (await ringing.ended()).by is EndedBy.AGENT
        for name in OPERATIONS:
            delattr(store, name)
        await asyncio.sleep(10)


@virtual
async def test_a_second_request_to_stop_makes_a_drain_short__calls_that_can_go_have_gone() -> None:
    async def talk(call: Call) -> None:
        if call.adopted is None and len(stopping.calls) == 1:
            async with asyncio.timeout(300):
                await call.collect_digits("Your number, please.", timeout=300.0)
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET) as shop:
        stopping, staying = shop.workers
        busy = await shop.ring(ModelSays("Your number, please."))
        await until(lambda: len(stopping.calls) == 1)
        idle = await shop.ring(CallerHangsUp(after=40.0))
        await until(lambda: len(stopping.calls) == 2)
        await asyncio.sleep(4)
        first = asyncio.create_task(stopping.host.drain())
        await asyncio.sleep(3)
        began = asyncio.get_running_loop().time()
        await stopping.host.drain(0)
        await first
        assert asyncio.get_running_loop().time() - began < 2.5
        assert (await busy.ended()).by is EndedBy.AGENT
        assert (await idle.ended()).by is EndedBy.CALLER
        assert len(staying.calls) == 1


@virtual
async def test_a_call_in_the_middle_of_a_goodbye_finishes_where_it_is() -> None:
    async def talk(call: Call) -> None:
        await call.hangup(goodbye="Say goodbye.")

    async with fleet(talk=talk, limits=QUIET) as shop:
        stopping, staying = shop.workers
        ringing = await shop.ring(ModelSays("Goodbye.", seconds=6.0))
        await until(lambda: said(ringing))
        await stopping.host.drain()
        assert (await stopping.host.ended(ringing.call_id)).reason is EndReason.AGENT
        assert staying.calls == []
        assert ringing.tally.attaches == 1


@pytest.mark.parametrize("refer", ["bridged", "busy"])
@virtual
async def test_a_call_in_the_middle_of_a_transfer_leaves_or_goes_to_another_worker_after_it(refer: Any) -> None:
    async def talk(call: Call) -> None:
        if call.adopted is None:
            call.transfer("desk", after_speech=False)
        await call.wait_ended()

    async with fleet(talk=talk, limits=QUIET, transfers=DESKS) as shop:
        stopping, staying = shop.workers
        ringing = await shop.ring(
            ModelSays("They are busy."), CallerHangsUp(after=40.0), behavior=Behavior(refer=refer)
        )
        await ringing.until_requested("refer")
        draining = asyncio.create_task(stopping.host.drain())
        if refer == "busy":
            await asyncio.sleep(2)
            stopping.calls[0].transfer_progress(TransferFailureReason.BUSY)
        await draining
        ended = await ringing.ended()
        assert ringing.tally.refers == 1
        if refer == "bridged":
            assert staying.calls == []
            assert stopping.calls[0].ended is not None
            assert stopping.calls[0].ended.reason is EndReason.TRANSFERRED
        else:
            assert ended.by is EndedBy.CALLER
            assert len(staying.calls) == 1
            assert "They are busy." in said(ringing)


@virtual
async def test_webhooks_that_reach_a_worker_that_stops_are_passed_on_or_turned_away() -> None:
    async with fleet(limits=QUIET) as shop:
        stopping, staying = shop.workers
        await shop.ring(CallerSays("Hello?"), ModelSays("Yes?", seconds=10.0), CallerHangsUp(after=8.0))
        await until(lambda: stopping.calls)
        await asyncio.sleep(2)
        draining = asyncio.create_task(stopping.host.drain())
        await asyncio.sleep(0.2)
        ringings = [await shop.ring(CallerHangsUp(after=5.0)) for _ in range(5)]
        for ringing in ringings:
            await ringing.until_delivered()
            assert ringing.submissions == [Submission.PASSED_ON]
            assert (await ringing.ended()).by is EndedBy.CALLER
        assert len(staying.calls) >= 5
        await draining
