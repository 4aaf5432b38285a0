"""What the service refuses, and what it advises: what no waiting cures is asked once, over REST and on the upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from phone import greet, phone, virtual
from realtime_sip import EndReason
from realtime_sip.errors import QuotaError, RateLimitError, ServiceError
from realtime_sip.testing import CallerHangsUp, ModelSays, RequestFails

ALWAYS = 10_000
UNPAID = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


def tries(ringing: Any, operation: str) -> int:
    return sum(request.operation == operation for request in ringing.requests)


@pytest.mark.parametrize("code", UNPAID)
@pytest.mark.parametrize("status", [429, 403, 400])
def test_law_what_no_waiting_cures_is_not_repeated__an_accept(code: str, status: int) -> None:
    @virtual
    async def run() -> None:
        async with phone(strict=False) as here:
            fault = RequestFails("accept", status=status, code=code, times=ALWAYS)
            refused: list[ServiceError] = []

            async def on_call(incoming: Any) -> int:
                with pytest.raises(QuotaError) as caught:
                    async with here.client.calls.answer(incoming, {"model": "gpt-realtime-2.1"}):
                        pass
                refused.append(caught.value)
                return 503

            here.host._on_call = on_call
            ringing = await here.ring(faults=[fault])
            await ringing.until_requested("reject")
            await here.idle()
            assert tries(ringing, "accept") == 1
            assert (refused[0].code, refused[0].status_code) == (code, status)
            assert isinstance(refused[0], RateLimitError), "as with the vendor's own package"

    run()


@virtual
async def test_law_what_no_waiting_cures_is_not_repeated__the_sideband() -> None:
    async with phone(strict=False) as here:
        fault = RequestFails("attach", status=429, code="insufficient_quota", times=ALWAYS)
        ended, ringing = await here.played(ModelSays("Hello."), talk=greet, faults=[fault])
    assert tries(ringing, "attach") == 1
    assert ended.reason is EndReason.CONNECTION_LOST
    assert "QuotaError 429 insufficient_quota" in ended.evidence
    assert tries(ringing, "hangup") == 1


@virtual
async def test_law_what_no_waiting_cures_is_not_repeated__a_hang_up() -> None:
    async with phone(strict=False) as here:

        async def leave(call: Any) -> None:
            await call.hangup()

        fault = RequestFails("hangup", status=429, code="insufficient_quota", times=ALWAYS)
        ended, ringing = await here.played(CallerHangsUp(after=20), talk=leave, faults=[fault])
    assert tries(ringing, "hangup") == 1
    assert (ended.reason, ended.certainty) == (EndReason.AGENT, "inferred")
    assert "QuotaError 429 insufficient_quota" in ended.evidence


ADVICE: list[tuple[dict[str, str], int, float | None]] = [
    ({"x-should-retry": "false"}, 1, None),
    ({"retry-after-ms": "60000"}, 1, 60.0),
    ({"retry-after-ms": "60000", "retry-after": "1"}, 1, 60.0),
    ({"retry-after-ms": "1500", "retry-after": "60"}, 4, 1.5),
    ({"retry-after-ms": "soon", "retry-after": "60"}, 1, 60.0),
    ({"retry-after": "9" * 30}, 1, 3600.0),
    ({"retry-after-ms": "9" * 39}, 1, 3600.0),
]


@pytest.mark.parametrize(("headers", "attempts", "advised"), ADVICE)
def test_law_the_services_advice_is_followed__over_rest(
    headers: dict[str, str], attempts: int, advised: float | None
) -> None:
    @virtual
    async def run() -> None:
        async with phone(strict=False) as here:
            ringing = await here.openai.ring(
                Taken(), faults=[RequestFails("accept", status=429, times=ALWAYS, headers=headers)]
            )
            with pytest.raises(RateLimitError) as caught:
                await here.client.calls.accept(ringing.call_id, {"model": "gpt-realtime-2.1"})
            assert tries(ringing, "accept") == attempts
            assert caught.value.retry_after == advised

    run()


@pytest.mark.parametrize(("headers", "attempts", "advised"), ADVICE)
def test_law_the_services_advice_is_followed__on_the_upgrade(
    headers: dict[str, str], attempts: int, advised: float | None
) -> None:
    @virtual
    async def run() -> None:
        async with phone(strict=False) as here:
            ringing = await here.openai.ring(
                Taken(), faults=[RequestFails("attach", status=429, times=ALWAYS, headers=headers)]
            )
            await here.client.calls.accept(ringing.call_id, {"model": "gpt-realtime-2.1"})
            with pytest.raises(RateLimitError) as caught:
                await here.client.calls.connect(ringing.call_id).__aenter__()
            assert tries(ringing, "attach") == attempts
            assert caught.value.retry_after == advised
            await here.client.calls.hangup(ringing.call_id)

    run()


@pytest.mark.parametrize("headers", [{"x-should-retry": "false"}, {"retry-after-ms": "60000"}])
def test_law_the_services_advice_is_followed__by_a_call(headers: dict[str, str]) -> None:
    @virtual
    async def run() -> None:
        async with phone(strict=False) as here:
            fault = RequestFails("attach", status=503, times=ALWAYS, headers=headers)
            ended, ringing = await here.played(ModelSays("Hello."), talk=greet, faults=[fault])
        assert tries(ringing, "attach") == 1
        assert ended.reason is EndReason.CONNECTION_LOST
        assert "ServerError 503" in ended.evidence

    run()


@pytest.mark.parametrize("milliseconds", ["3000", "6000"])  # within the deadline of one attempt, and beyond it
def test_law_the_services_advice_is_followed__a_call_comes_back_when_it_is_told_to(milliseconds: str) -> None:
    @virtual
    async def run() -> None:
        async with phone() as here:
            fault = RequestFails("attach", status=429, headers={"retry-after-ms": milliseconds})
            ended, ringing = await here.played(ModelSays("Hello."), CallerHangsUp(), talk=greet, faults=[fault])
        statuses = [request.status for request in ringing.requests if request.operation == "attach"]
        assert statuses[:2] == [429, 101]
        assert ended.reason is EndReason.CALLER

    run()


@virtual
async def test_law_the_services_advice_is_followed__also_to_try_again() -> None:
    async with phone(strict=False) as here:
        again = RequestFails("accept", status=408, times=2, headers={"x-should-retry": "true"})
        ringing = await here.openai.ring(Taken(), faults=[again])
        await here.client.calls.accept(ringing.call_id, {"model": "gpt-realtime-2.1"})
        assert tries(ringing, "accept") == 3
        await here.client.calls.hangup(ringing.call_id)


class Taken:
    """Takes a call, which the test itself accepts."""

    async def submit(self, incoming: Any) -> str:
        return f"taken: {incoming.call_id}"
