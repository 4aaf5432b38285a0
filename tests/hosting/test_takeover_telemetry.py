"""A call that goes from one worker to another is one trace, and counted."""

from __future__ import annotations

import asyncio

import pytest
from fleet import fleet

from phone import until, virtual
from realtime_sip import CallLimits
from realtime_sip.testing import CallerHangsUp
from seen import Seen, attributes, id_of, parent_of

QUIET = CallLimits(silence=None, first_sound=None)


@pytest.mark.parametrize("drained", [True, False])
def test_a_call_that_is_taken_over_goes_on_in_the_same_trace(drained: bool) -> None:
    seen = Seen()

    @virtual
    async def run() -> None:
        async with fleet(limits=QUIET, telemetry=seen.telemetry) as shop:
            first, second = shop.workers
            ringing = await shop.ring(CallerHangsUp(after=60.0))
            await until(lambda: first.calls)
            await asyncio.sleep(3)
            await (first.host.drain() if drained else first.die())
            await until(lambda: second.calls)
            await second.host.ended(ringing.call_id)

    run()
    assert seen.points("realtime_sip.takeovers") == [({}, 1)]
    assert seen.points("realtime_sip.orphans") == ([] if drained else [({}, 1)])
    [taken] = [span for span in seen.all_of("realtime_sip.call") if attributes(span)["realtime_sip.call.adopted"]]
    if drained:
        [before] = [span for span in seen.all_of("realtime_sip.call") if span is not taken]
        assert attributes(before)["realtime_sip.end.reason"] == "detached"
        assert parent_of(taken) == id_of(before)
    assert taken.parent is not None
    assert len({span.context.trace_id for span in seen.spans if span.context}) == 1
