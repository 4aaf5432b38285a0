"""Stores that fail while calls are up: no call ends, no wait is longer than its deadline, and the log stays short."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fleet import fleet

from phone import greet, phone, virtual, wait
from realtime_sip import CallHost, CallLimits, EndReason, MemoryStore
from realtime_sip.errors import ConfigurationError
from realtime_sip.policy import CallPolicy, ConcurrentCalls, DailySpend
from realtime_sip.stores import Beat, Claim
from realtime_sip.stores.rules import WORKER_LEASE
from realtime_sip.testing import CallerHangsUp, ModelSays

HELLO = ModelSays("Good morning.")
QUIET = CallLimits(silence=None, first_sound=None)


class Failing(MemoryStore):
    """Fails as long as it is told to: with an error, or, without one, by never answering."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.shared = shared
        self.away = False
        self.error: Exception | None = OSError("postgresql://shop:hush@127.0.0.1/shop does not answer")
        self.asked: list[float] = []

    async def _stand(self) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        if self.away and self.error is not None:
            raise self.error
        if self.away:
            await asyncio.Event().wait()

    async def accept(self, *args: Any, **options: Any) -> bool:
        await self._stand()
        return await super().accept(*args, **options)

    async def heartbeat(self, *args: Any, **options: Any) -> Beat:
        await self._stand()
        return await super().heartbeat(*args, **options)

    async def adopt(self, *args: Any, **options: Any) -> list[Claim]:
        await self._stand()
        return await super().adopt(*args, **options)

    async def finish(self, *args: Any, **options: Any) -> bool:
        await self._stand()
        return await super().finish(*args, **options)

    async def enter(self, *args: Any, **options: Any) -> bool:
        await self._stand()
        return await super().enter(*args, **options)

    async def offer(self, *args: Any, **options: Any) -> bool:
        await self._stand()
        return await super().offer(*args, **options)


class Stubborn(Failing):
    """A store whose driver takes ten seconds to give up, as psycopg does beside a silent server."""

    async def _stand(self) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        if self.away:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(10.0)


def said_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@virtual
async def test_law_an_outage_is_a_few_lines_of_the_log_however_many_calls_are_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with phone() as line:
        store, policy = Failing(shared=True), CallPolicy(ConcurrentCalls(30), DailySpend(100))
        line.host = CallHost(line.on_call, client=line.client, store=store, policy=policy)
        ringings = [await line.ring(CallerHangsUp(after=420.0), talk=wait, limits=QUIET) for _ in range(8)]
        for ringing in ringings:
            await ringing.until_attached(timeout=60)
        await asyncio.sleep(30)
        assert said_of(caplog) == []
        store.away = True
        await asyncio.sleep(300)
        lines = said_of(caplog)
        assert "OSError" in lines[0]
        assert len(lines) <= 6
        store.away = False
        await asyncio.sleep(60)
        assert "answers again" in said_of(caplog)[-1]
        assert len(said_of(caplog)) <= 7
        assert "hush" not in caplog.text
        assert all(ringing.state == "accepted" for ringing in ringings)
        for ringing in ringings:
            assert (await ringing.ended(timeout=3600)).reason is EndReason.CALLER
        await line.idle()
        assert (await store.claim("rtc_new", owner="other", lease=10)).outcome.value == "new"


@virtual
async def test_what_a_store_says_of_its_setup_is_logged_as_it_says_it(caplog: pytest.LogCaptureFixture) -> None:
    async with phone() as line:
        store = Failing(shared=True)
        store.away, store.error = True, ConfigurationError("there is no table shop: run the SQL")
        line.host = CallHost(line.on_call, client=line.client, store=store)
        line.host.watch()
        await asyncio.sleep(3)
        assert "there is no table shop: run the SQL" in said_of(caplog)[0]


@virtual
async def test_law_no_wait_without_a_deadline__a_driver_that_is_slow_to_give_up_stops_no_heartbeat() -> None:
    async with phone() as line:
        store = Stubborn()
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, CallerHangsUp(after=60.0), talk=greet, limits=QUIET)
        await ringing.until_attached(timeout=60)
        store.away = True
        await asyncio.sleep(10)
        store.away = False
        await asyncio.sleep(10)
        gaps = [later - before for before, later in zip(store.asked, store.asked[1:], strict=False)]
        assert max(gaps) < WORKER_LEASE
        assert (await ringing.ended(timeout=3600)).reason is EndReason.CALLER
        await line.idle()
        await asyncio.sleep(20)  # the driver gives up


@pytest.mark.parametrize("kind", [Failing, Stubborn])
@pytest.mark.parametrize("seconds", [0.0, 5.0, 25.0])
@virtual
async def test_law_no_wait_without_a_deadline__a_drain_ends_in_its_time_though_the_store_never_answers(
    kind: type[Failing], seconds: float
) -> None:
    async with phone(strict=False) as line:
        store = kind(shared=True)
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, CallerHangsUp(after=900.0), talk=wait, limits=QUIET)
        await ringing.until_attached(timeout=60)
        store.away, store.error = True, None
        clock = asyncio.get_running_loop().time
        began = clock()
        await line.host.drain(seconds)
        assert clock() - began <= seconds + 2.0
        assert ringing.state == "ended"
        await asyncio.sleep(30)


@virtual
async def test_law_no_call_is_lost__a_worker_that_did_not_hear_what_it_adopted_is_told_again() -> None:
    async with fleet(2, limits=QUIET) as shop:
        ringing = await shop.ring(CallerHangsUp(after=100.0))
        await ringing.until_attached(timeout=60)
        await asyncio.sleep(3)
        store: Any = shop.store
        adopt, unheard = store.adopt, list[Claim]()

        async def loses_an_answer(owner: str, **options: Any) -> list[Claim]:
            claims: list[Claim] = await adopt(owner, **options)
            if unheard or not claims:
                return claims
            unheard.extend(claims)
            raise ConnectionError

        store.adopt = loses_an_answer
        await shop.workers[0].die()
        await asyncio.sleep(30)
        assert len(unheard) == 1
        assert len(shop.workers[1].calls) == 1
        assert (await shop.workers[1].host.ended(ringing.call_id)).reason is EndReason.CALLER
