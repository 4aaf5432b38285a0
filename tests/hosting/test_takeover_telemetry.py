"""A call that goes from one worker to another is one trace, and counted."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from fleet import fleet

from phone import until, virtual
from realtime_sip import Call, CallLimits, EndReason, TransferTargets
from realtime_sip.testing import Behavior, CallerHangsUp, CallerSays, ModelSays
from realtime_sip.usage import TokenUsage
from seen import Seen, attributes, id_of, parent_of

QUIET = CallLimits(silence=None, first_sound=None)


@pytest.mark.parametrize("drained", [True, False])
def test_a_call_that_is_taken_over_goes_on_in_the_same_trace(drained: bool) -> None:
    seen, used = Seen(), list[tuple[TokenUsage, Decimal | None]]()

    @virtual
    async def run() -> None:
        async with fleet(limits=QUIET, telemetry=seen.telemetry) as shop:
            first, second = shop.workers
            ringing = await shop.ring(
                CallerSays("Hello?"),
                ModelSays("The shop."),
                CallerSays("Are you there?", after=20.0),
                ModelSays("I am."),
                CallerHangsUp(after=10.0),
            )
            await until(lambda: first.calls)
            await until(lambda: first.calls[0].usage.responses == 1)
            await asyncio.sleep(6)
            await (first.host.drain() if drained else first.die())
            await until(lambda: second.calls)
            await second.host.ended(ringing.call_id)
            (taken,) = second.calls
            used.append((taken.usage.tokens, taken.cost))

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
    # It is one call: answered once, ended once, and each token and cent of it counts once.
    assert seen.points("realtime_sip.calls.answered") == [({"realtime_sip.channel": "phone"}, 1)]
    assert seen.points("realtime_sip.calls.live") == [({}, 0 if drained else 1)]
    [(how, ended)] = seen.points("realtime_sip.calls.ended")
    assert (how["realtime_sip.end.reason"], ended) == ("caller", 1)
    [(_, (count, seconds))] = seen.points("realtime_sip.call.duration")
    assert (count, seconds > 30) == (1, True)
    [(tokens, cost)] = used
    assert cost is not None
    assert [total for _, total in seen.points("realtime_sip.cost")] == [pytest.approx(float(cost))]
    assert sum(total for _, total in seen.points("realtime_sip.tokens")) == (
        tokens.text_in + tokens.audio_in + tokens.text_out + tokens.audio_out
    )
    # Only the worker that got the webhook has a span of it.
    assert len(seen.all_of("realtime_sip.webhook")) == 1


@pytest.mark.parametrize("drained", [True, False])
def test_a_transfer_that_is_under_way_when_its_worker_dies_counts_once(drained: bool) -> None:
    seen = Seen()
    desks = TransferTargets({"desk": "sip:desk@pbx.example.com"})

    async def talk(call: Call) -> None:
        if call.adopted is None:
            call.transfer("desk", after_speech=False)
        await call.wait_ended()

    @virtual
    async def run() -> None:
        async with fleet(talk=talk, limits=QUIET, transfers=desks, telemetry=seen.telemetry) as shop:
            first, second = shop.workers
            ringing = await shop.ring(behavior=Behavior(refer="bridged"))
            await ringing.until_requested("refer")
            await asyncio.sleep(1)
            if drained:
                await first.host.drain()
                return
            await first.die()
            await until(lambda: second.calls)
            assert (await second.host.ended(ringing.call_id)).reason is EndReason.TRANSFERRED

    run()
    assert seen.points("realtime_sip.transfers") == [({"realtime_sip.transfer.result": "transferred"}, 1)]
