"""Floods of calls and callers: what counts stays, what is in memory is bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from realtime_sip import IncomingCall, MemoryStore, OpenAIWebhooks
from realtime_sip.policy import CallPolicy, CallRate, DailySpend
from realtime_sip.sip.signed_context import ContextSigner
from realtime_sip.stores.memory import Places, Window
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.rules import Outcome

SECRET = "a context secret of the tests"
NOW = 1_795_000_000.0
ANNA = "+14155550101"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def call(caller: str = ANNA, *, call_id: str = "rtc_1", context: dict[str, str] | None = None) -> IncomingCall:
    headers = {"From": f"<sip:{caller}@example.com>", "To": "sip:proj_a@example.com", **(context or {})}
    data = {"call_id": call_id, "sip_headers": [{"name": name, "value": value} for name, value in headers.items()]}
    body = json.dumps({"type": "realtime.call.incoming", "created_at": int(NOW), "data": data})
    webhooks = OpenAIWebhooks("a webhook secret", context_secret=SECRET, clock=lambda: NOW)
    event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=NOW))
    assert isinstance(event, IncomingCall)
    return event


def strangers(most: int) -> Iterator[IncomingCall]:
    """Calls from ever new numbers, as whoever writes `From` by themselves can place them."""
    return (call(f"+1415556{n:04d}", call_id=f"rtc_stranger_{n}") for n in range(most))


def shut(incoming: IncomingCall) -> int | None:
    return None if incoming.caller == ANNA else 603


async def test_law_a_flood_of_refused_callers_does_not_reset_what_the_day_has_cost() -> None:
    store = MemoryStore(clock=Clock(), max_keys=50)
    policy = CallPolicy(CallRate(5, per=3600), shut, CallRate(1, per=86_400, per_caller=False), DailySpend(1))
    assert await policy.check(call(), store=store) is None
    await policy.ended(call(), store=store, cost=Decimal(2))
    for stranger in strangers(200):
        refusal = await policy.check(stranger, store=store)
        assert refusal is not None
        assert refusal.rule == "shut"
    refusal = await policy.check(call(call_id="rtc_2"), store=store)
    assert refusal is not None
    assert refusal.rule == "CallRate"
    assert await store.total("spend", per=86_400) == 2_000_000


async def test_law_who_called_is_forgotten_though_another_counter_counts_for_longer() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    policy = CallPolicy(CallRate(5, per=60), shut, DailySpend(1))
    await policy.ended(call(), store=store, cost=Decimal(2))
    seen = _counters(store)
    for stranger in strangers(50):
        await policy.check(stranger, store=store)
        clock.now += 120
    assert _counters(store) <= seen + 1


def _counters(store: MemoryStore) -> int:
    """Return how many counters the store holds, wherever it does."""
    found, level = 0, list[Any]([vars(store)])
    while level:
        one = level.pop()
        found += isinstance(one, (Window, Places))
        if isinstance(one, dict):
            level += one.values()
        elif hasattr(one, "__dict__") and type(one).__module__ == MemoryStore.__module__:
            level += vars(one).values()
    return found


async def test_law_context_is_used_once__also_where_a_flood_of_calls_fills_the_store() -> None:
    store = MemoryStore(clock=Clock(), max_calls=20)
    header = ContextSigner(SECRET).sign({"tier": "gold"}, parent_call_sid=None, now=NOW)
    first = await use_context(call(context=header), store, now=NOW)
    assert first.context == {"tier": "gold"}
    for n in range(100):
        claimed = await store.claim(f"rtc_stranger_{n}", owner="host", lease=30)
        assert claimed.outcome is Outcome.NEW
        assert await store.finish(f"rtc_stranger_{n}", owner="host")
    assert len(store) == 20
    second = await use_context(call(call_id="rtc_2", context=header), store, now=NOW)
    assert second.context == {}


async def test_a_store_that_is_full_of_nonces_still_takes_calls() -> None:
    store = MemoryStore(clock=Clock(), max_calls=5)
    for n in range(20):
        header = ContextSigner(SECRET).sign({}, parent_call_sid=None, now=NOW)
        await use_context(call(call_id=f"rtc_{n}", context=header), store, now=NOW)
    assert (await store.claim("rtc_new", owner="host", lease=30)).outcome is Outcome.NEW
    assert len(store) == 1


async def test_a_lease_too_short_for_the_clock_is_over_at_once() -> None:
    clock = Clock()
    clock.now = 1e9
    store = MemoryStore(clock=clock)
    assert await store.enter("calls", "one", lease=1e-12, most=1)
    assert await store.enter("calls", "two", lease=10, most=1)
