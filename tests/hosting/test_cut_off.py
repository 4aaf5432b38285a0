"""A worker that is cut off from the store, while others take over its calls, which are up."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest
from fleet import fleet

from phone import until, virtual
from realtime_sip import CallLimits, EndReason
from realtime_sip.testing import Behavior, CallerHangsUp
from realtime_sip.testing.openai.call import EndedBy

QUIET = CallLimits(silence=None, first_sound=None)


class CutOff:
    """A store as one worker sees it whose network fails for a while."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.off = False

    def __getattr__(self, name: str) -> Any:
        what = getattr(self._store, name)
        if not self.off or not asyncio.iscoroutinefunction(what):
            return what

        async def fails(*given: Any, **_: object) -> None:
            if name == "news":
                await asyncio.sleep(given[0])
            raise ConnectionError

        return fails


@pytest.mark.parametrize("second_attach", ["shared", "refused", "superseding"])
@virtual
async def test_law_a_live_call_never_ends_because_of_its_store__one_worker_is_cut_off(
    second_attach: Literal["shared", "refused", "superseding"],
) -> None:
    async with fleet(limits=QUIET) as shop:
        cut_off, other = shop.workers
        store = CutOff(shop.store)
        claims: Any = cut_off.host._claims
        claims._store = store
        ringing = await shop.ring(CallerHangsUp(after=150.0), behavior=Behavior(second_attach=second_attach))
        await until(lambda: cut_off.calls)
        await asyncio.sleep(3)
        store.off = True
        await asyncio.sleep(60)
        assert ringing.sidebands
        store.off = False
        ended = await cut_off.calls[0].wait_ended()
        assert ended.reason is EndReason.DETACHED
        assert (await other.host.ended(ringing.call_id)).reason is EndReason.CALLER
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert (ringing.tally.accepts, ringing.tally.hangups, len(other.calls)) == (1, 0, 1)
        assert ringing.tally.unattended < 5


@virtual
async def test_law_a_live_call_never_ends_because_of_its_store__all_are_cut_off_and_the_service_closes_sidebands() -> (
    None
):
    async with fleet(limits=QUIET) as shop:
        stores = [CutOff(shop.store) for _ in shop.workers]
        for worker, store in zip(shop.workers, stores, strict=True):
            claims: Any = worker.host._claims
            claims._store = store
        ringing = await shop.ring(CallerHangsUp(after=150.0))
        await until(lambda: shop.workers[0].calls)
        await asyncio.sleep(3)
        for store in stores:
            store.off = True
        await asyncio.sleep(10)
        for _ in range(3):
            ringing.drop(code=1000)
            await asyncio.sleep(1)
        await until(lambda: ringing.sidebands, 20.0)
        for store in stores:
            store.off = False
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert ringing.tally.hangups == 0
        assert ringing.tally.unattended < 12
