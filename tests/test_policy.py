"""Who may call: rules by themselves, and a host that asks them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phone import Phone, greet, phone, virtual
from realtime_sip import (
    Call,
    CallHost,
    EndReason,
    IncomingCall,
    MemoryStore,
    RealtimeSession,
    Router,
    Submission,
)
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.policy import (
    AllowCallers,
    CallPolicy,
    CallRate,
    ConcurrentCalls,
    Countries,
    DailySpend,
    DenyCallers,
    Refusal,
    Rule,
)
from realtime_sip.stores.rules import Claimed
from realtime_sip.testing import (
    CallerHangsUp,
    EndedBy,
    ModelSays,
    RingingCall,
)

ANNA, BERT = "+14155550101", "+14155550102"
CANADIAN, BRITISH, NOWHERE = "+12045550101", "+442079460101", "+99914155550101"

HELLO = ModelSays("Good morning.")
BYE = CallerHangsUp()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


class Failing(MemoryStore):
    """Keeps claims, and fails at everything that it is to count."""

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        raise ConnectionError(f"no counter at {key}, {amount}")

    async def total(self, key: str, *, per: float) -> int:
        raise ConnectionError(key)

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        raise ConnectionError(key)

    async def leave(self, key: str, member: str) -> None:
        raise ConnectionError(key)


def call(caller: str | None = ANNA, call_id: str = "rtc_1") -> IncomingCall:
    """Return a call; without a caller, one whose number is withheld."""
    address = f"<sip:{caller}@example.com>" if caller else "<sip:anonymous@anonymous.invalid>"
    headers = [{"name": "From", "value": address}]
    return IncomingCall.model_validate(
        {"type": "realtime.call.incoming", "data": {"call_id": call_id, "sip_headers": headers}}
    )


async def refused(*rules: Rule, caller: str | None = ANNA, store: MemoryStore | None = None) -> int | None:
    """Return the status with which these rules refuse a call."""
    refusal = await CallPolicy(*rules).check(call(caller), store=store or MemoryStore())
    return None if refusal is None else refusal.status_code


# --- who: lists and countries -----------------------------------------------------------------------------------------


async def test_a_denied_caller_is_declined_so_that_no_trunk_tries_its_next_route() -> None:
    deny = DenyCallers({ANNA})
    assert await refused(deny, caller=ANNA) == 603
    assert await refused(deny, caller=BERT) is None


async def test_numbers_are_denied_as_people_write_them_and_by_their_beginning() -> None:
    deny = DenyCallers(["+1 (415) 555-0101", "+1900*", "+4420794601*"])
    assert await refused(deny, caller=ANNA) == 603
    assert await refused(deny, caller="+19005550101") == 603
    assert await refused(deny, caller=BRITISH) == 603
    assert await refused(deny, caller="+442079460201") is None
    assert await refused(deny, caller="+18005550101") is None


async def test_only_allowed_callers_pass() -> None:
    allow = AllowCallers({ANNA, "+1204*"}, status_code=480)
    assert await refused(allow, caller=ANNA) is None
    assert await refused(allow, caller=CANADIAN) is None
    assert await refused(allow, caller=BERT) == 480


async def test_a_withheld_number_is_on_no_list() -> None:
    assert await refused(DenyCallers({"+1*"}), caller=None) is None
    assert await refused(AllowCallers({"+1*"}), caller=None) == 603


async def test_countries_are_told_apart_where_they_share_a_calling_code() -> None:
    here = Countries({"US", "gb"})
    assert await refused(here, caller=ANNA) is None
    assert await refused(here, caller=BRITISH) is None
    assert await refused(here, caller=CANADIAN) == 603
    assert await refused(Countries({"CA"}, status_code=404), caller=ANNA) == 404


@pytest.mark.parametrize("caller", [None, NOWHERE])
async def test_a_caller_of_no_known_country_is_refused(caller: str | None) -> None:
    assert await refused(Countries({"US"}), caller=caller) == 603


@given(st.from_regex(r"\A\+[1-9][0-9]{7,14}\Z"))
@settings(deadline=None, derandomize=True)
def test_no_number_breaks_a_list_or_a_country(caller: str) -> None:
    incoming = call(caller)
    assert Countries({"US"})(incoming) in {None, 603}
    assert DenyCallers({caller})(incoming) == (603 if incoming.caller else None)
    assert AllowCallers({caller[:3] + "*"})(incoming) == (None if incoming.caller else 603)


def test_without_phonenumbers_the_rule_of_countries_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(MissingExtraError, match=r"realtime-sip\[policy\]"):
        Countries({"US"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: DenyCallers({"4155550101"}),
        lambda: DenyCallers({"+1900"}),
        lambda: DenyCallers({"+*"}),
        lambda: DenyCallers({"+1*55"}),
        lambda: DenyCallers({"*"}),
        lambda: DenyCallers(ANNA),
        lambda: DenyCallers([14155550101]),  # type: ignore[list-item]
        lambda: DenyCallers({ANNA}, status_code=200),
        lambda: AllowCallers(set()),
        lambda: Countries({"USA"}),
        lambda: Countries("US"),
        lambda: Countries(set()),
        lambda: Countries({"US"}, status_code=700),
        lambda: CallRate(0, per=60),
        lambda: CallRate(True, per=60),
        lambda: CallRate(1, per=0, per_caller=False),
        lambda: CallRate(1, per=float("nan"), per_caller=False),
        lambda: ConcurrentCalls(-1),
        lambda: DailySpend(Decimal(0)),
        lambda: DailySpend(Decimal("NaN")),
        lambda: DailySpend(-0.5),
        lambda: CallPolicy(DailySpend),  # type: ignore[arg-type]
        lambda: CallPolicy("deny"),  # type: ignore[arg-type]
        lambda: CallPolicy(CallRate(5, per=60), CallRate(9, per=60)),
        lambda: CallPolicy(DailySpend(5), DailySpend(9)),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door_without_repeating_a_number(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert "5550101" not in str(caught.value)


# --- how much: rates, calls at a time, money --------------------------------------------------------------------------


async def test_a_callers_rate_counts_attempts_and_each_caller_alone(store: MemoryStore, clock: Clock) -> None:
    policy = CallPolicy(CallRate(2, per=60))
    answers = [await policy.check(call(ANNA), store=store) for _ in range(3)]
    assert answers == [None, None, Refusal(486, "CallRate")]
    assert await policy.check(call(BERT), store=store) is None
    clock.now += 50
    assert await policy.check(call(ANNA), store=store) is not None
    clock.now += 20  # the attempts of a minute ago are over; the one that was refused since then counts
    assert await policy.check(call(ANNA), store=store) is None
    assert await policy.check(call(ANNA), store=store) is not None
    clock.now += 62
    assert await policy.check(call(ANNA), store=store) is None


async def test_all_callers_without_a_number_are_one(store: MemoryStore) -> None:
    policy = CallPolicy(CallRate(1, per=60))
    assert await policy.check(call(None, "rtc_1"), store=store) is None
    assert await policy.check(call(None, "rtc_2"), store=store) is not None


async def test_who_keeps_calling_does_not_close_the_line_to_everybody(store: MemoryStore, clock: Clock) -> None:
    policy = CallPolicy(CallRate(3, per=60, per_caller=False))
    passed = 0
    for _ in range(600):
        passed += await policy.check(call(), store=store) is None
        clock.now += 1
    assert 27 <= passed <= 30


async def test_law_full__what_is_about_us_is_503_and_what_is_about_the_caller_is_no_5xx() -> None:
    ours: list[Rule] = [CallRate(1, per=60, per_caller=False), ConcurrentCalls(1), DailySpend(1)]
    theirs: list[Rule] = [CallRate(1, per=60), ConcurrentCalls(1, per_caller=True)]
    for rule in ours + theirs:
        store = MemoryStore()
        policy = CallPolicy(rule)
        await policy.check(call(call_id="rtc_1"), store=store)
        await store.add(DailySpend.key, 1_000_000, per=86_400)
        refusal = await policy.check(call(call_id="rtc_2"), store=store)
        assert refusal == Refusal(503 if rule in ours else 486, type(rule).__name__)


async def test_a_rule_counts_what_reaches_it(store: MemoryStore) -> None:
    policy = CallPolicy(DenyCallers({BERT}), CallRate(1, per=60, per_caller=False))
    for _ in range(5):
        assert await policy.check(call(BERT), store=store) == Refusal(603, "DenyCallers")
    assert await policy.check(call(ANNA), store=store) is None


async def test_calls_at_a_time_are_freed_when_they_end(store: MemoryStore) -> None:
    policy = CallPolicy(ConcurrentCalls(2))
    one, two, three = (call(call_id=f"rtc_{n}") for n in (1, 2, 3))
    assert await policy.check(one, store=store) is None
    assert await policy.check(two, store=store) is None
    assert await policy.check(three, store=store) is not None
    await policy.ended(one, store=store)
    assert await policy.check(three, store=store) is None


async def test_calls_of_one_caller_do_not_take_the_places_of_another(store: MemoryStore) -> None:
    policy = CallPolicy(ConcurrentCalls(1, per_caller=True, status_code=480))
    assert await policy.check(call(ANNA, "rtc_1"), store=store) is None
    assert await policy.check(call(ANNA, "rtc_2"), store=store) == Refusal(480, "ConcurrentCalls")
    assert await policy.check(call(BERT, "rtc_3"), store=store) is None


async def test_law_the_places_of_a_process_that_died_are_free_after_their_lease(
    store: MemoryStore, clock: Clock
) -> None:
    policy = CallPolicy(ConcurrentCalls(1))
    assert await policy.check(call(call_id="rtc_1"), store=store) is None
    for _ in range(10):
        clock.now += 29
        await policy.renew(call(call_id="rtc_1"), store=store)
        assert await policy.check(call(call_id="rtc_2"), store=store) is not None
    clock.now += 30
    assert await policy.check(call(call_id="rtc_2"), store=store) is None


async def test_a_call_that_a_later_rule_refuses_keeps_no_place(store: MemoryStore) -> None:
    policy = CallPolicy(ConcurrentCalls(1), ConcurrentCalls(1, per_caller=True), DenyCallers({BERT}))
    assert await policy.check(call(BERT, "rtc_1"), store=store) == Refusal(603, "DenyCallers")
    assert await policy.check(call(ANNA, "rtc_2"), store=store) is None


async def test_a_call_that_is_adopted_counts_however_full_it_is(store: MemoryStore) -> None:
    policy = CallPolicy(ConcurrentCalls(1))
    assert await policy.check(call(call_id="rtc_1"), store=store) is None
    await policy.renew(call(call_id="rtc_2"), store=store)
    await policy.ended(call(call_id="rtc_1"), store=store)
    assert await policy.check(call(call_id="rtc_3"), store=store) is not None


async def test_what_is_spent_counts_for_a_day_and_each_dollar_once(store: MemoryStore, clock: Clock) -> None:
    policy = CallPolicy(DailySpend(Decimal("1.00")))
    for cost in ("0.30", "0.30", "0.60"):  # of one call, so far
        await policy.renew(call(call_id="rtc_1"), store=store, cost=Decimal(cost))
    assert await policy.check(call(), store=store) is None
    await policy.ended(call(call_id="rtc_1"), store=store, cost=Decimal("0.70"))
    await policy.ended(call(call_id="rtc_2"), store=store, cost=Decimal("0.2999995"))
    assert await policy.check(call(), store=store) == Refusal(503, "DailySpend")
    clock.now += 86_400
    assert await policy.check(call(), store=store) is not None
    clock.now += 24 * 60
    assert await policy.check(call(), store=store) is None


async def test_a_call_that_comes_back_from_another_worker_counts_what_it_costs_here_now(store: MemoryStore) -> None:
    policy = CallPolicy(DailySpend(Decimal("1.00")))
    await policy.renew(call(), store=store, cost=Decimal("0.50"))
    for cost in ("0", "0.20", "0.60"):
        await policy.renew(call(), store=store, cost=Decimal(cost))
    await policy.ended(call(), store=store, cost=Decimal("0.60"))
    assert await store.total(DailySpend.key, per=86_400) == 1_100_000


async def test_what_a_live_call_has_cost_counts_for_other_hosts_too(store: MemoryStore) -> None:
    await CallPolicy(DailySpend(1)).renew(call(), store=store, cost=Decimal(1))
    assert await CallPolicy(DailySpend(1)).check(call(), store=store) is not None


async def test_a_cost_that_nobody_knows_is_told_once_and_counts_nothing(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    policy = CallPolicy(DailySpend(1))
    for n in range(3):
        await policy.renew(call(call_id=f"rtc_{n}"), store=store)
        await policy.ended(call(call_id=f"rtc_{n}"), store=store, cost=None)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert await policy.check(call(), store=store) is None


async def test_no_key_of_a_counter_holds_a_number() -> None:
    keys: list[str] = []

    class Watched(MemoryStore):
        async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
            keys.append(key)
            return await super().add(key, amount, per=per, most=most)

        async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
            keys.append(key)
            return await super().enter(key, member, lease=lease, most=most)

    policy = CallPolicy(CallRate(1, per=60), ConcurrentCalls(1, per_caller=True))
    await policy.check(call(ANNA), store=Watched())
    assert len(keys) == 2
    assert not [key for key in keys if "5550101" in key]


async def test_a_policy_that_counts_needs_a_store_and_another_does_not() -> None:
    with pytest.raises(ConfigurationError, match="store"):
        await CallPolicy(CallRate(1, per=60, per_caller=False)).check(call())
    assert await CallPolicy(DenyCallers({ANNA})).check(call()) == Refusal(603, "DenyCallers")
    assert await CallPolicy().check(call()) is None


# --- functions, and what fails ----------------------------------------------------------------------------------------


async def test_a_function_is_a_rule_sync_or_async() -> None:
    def busy(incoming: IncomingCall) -> int | None:
        return 486 if incoming.caller == ANNA else None

    async def gone(incoming: IncomingCall) -> int | None:
        return 410 if incoming.caller == BERT else None

    policy = CallPolicy(busy, gone)
    assert await policy.check(call(ANNA)) == Refusal(486, "busy")
    assert await policy.check(call(BERT)) == Refusal(410, "gone")
    assert await policy.check(call(None)) is None
    assert repr(CallPolicy(DenyCallers({ANNA}), busy)) == "CallPolicy(DenyCallers, busy)"


async def _raises(incoming: IncomingCall) -> int | None:
    raise ValueError(f"cannot look up {incoming.caller}")


@pytest.mark.parametrize("answer", [_raises, lambda _: 200, lambda _: True, lambda _: "486", lambda _: 4_860])
async def test_law_a_gate_that_fails_is_shut_with_503_for_the_next_route_and_says_so(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = await CallPolicy(answer).check(call(ANNA))
    assert refusal is not None
    assert refusal.status_code == 503
    (record,) = caplog.records
    assert (record.levelname, "5550101" in caplog.text) == ("ERROR", False)


@virtual
async def test_a_gate_that_never_answers_is_shut_while_the_phone_still_rings() -> None:
    async def never(_incoming: IncomingCall) -> int | None:
        await asyncio.Event().wait()
        return None

    began = asyncio.get_running_loop().time()
    assert await CallPolicy(never).check(call()) == Refusal(503, "never")
    assert asyncio.get_running_loop().time() - began < 5


EVERY_COUNTER: list[Rule] = [
    CallRate(1, per=60),
    CallRate(1, per=60, per_caller=False),
    ConcurrentCalls(1),
    ConcurrentCalls(1, per_caller=True),
    DailySpend(1),
]


async def test_law_a_store_that_fails_lets_calls_pass_and_says_so_each_time(caplog: pytest.LogCaptureFixture) -> None:
    policy = CallPolicy(*EVERY_COUNTER, DenyCallers({BERT}))
    store = Failing()
    for n in range(3):
        assert await policy.check(call(ANNA, f"rtc_{n}"), store=store) is None
        assert [record.levelname for record in caplog.records] == ["ERROR"] * (n + 1)
    assert await policy.check(call(BERT), store=store) == Refusal(603, "DenyCallers")
    await policy.renew(call(), store=store, cost=Decimal(1))
    await policy.ended(call(), store=store, cost=Decimal(2))
    assert "ConnectionError" in caplog.text
    assert "no counter at" not in caplog.text


@virtual
async def test_a_store_that_never_answers_is_waited_for_once() -> None:
    class Stuck(MemoryStore):
        async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
            await asyncio.Event().wait()
            return 0

    began = asyncio.get_running_loop().time()
    assert await CallPolicy(*EVERY_COUNTER).check(call(), store=Stuck()) is None
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_cost_that_could_not_be_told_is_told_the_next_time(store: MemoryStore) -> None:
    policy = CallPolicy(DailySpend(1))
    await policy.renew(call(), store=Failing(), cost=Decimal("0.9"))
    await policy.ended(call(), store=store, cost=Decimal(1))
    assert await policy.check(call(), store=store) is not None


# --- a host that asks -------------------------------------------------------------------------------------------------


def operations(ringing: RingingCall) -> list[str]:
    return [request.operation for request in ringing.requests]


def hosting(line: Phone, *rules: Rule, store: MemoryStore | None = None, **options: Any) -> MemoryStore:
    """Let the host of the phone ask these rules, with a store whose clock is the test's."""
    store = store or MemoryStore(clock=asyncio.get_running_loop().time)
    line.host = CallHost(line.on_call, client=line.client, store=store, policy=CallPolicy(*rules), **options)
    line.talk = greet
    return store


async def rings(line: Phone, *, lasts: float = 1.0, **options: Any) -> RingingCall:
    """Let a call come in, and wait until it is decided."""
    ringing = await line.openai.ring(line.host, scenario=[HELLO, CallerHangsUp(after=lasts)], **options)
    await ringing.until_delivered(timeout=600)
    return ringing


async def over(line: Phone, ringing: RingingCall) -> None:
    await ringing.ended(timeout=3600)
    await line.idle()


def test_law_the_first_refusal_wins__the_call_is_rejected_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "realtime_sip")

    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            store = hosting(line, DenyCallers({BERT}, status_code=404), AllowCallers({ANNA}))
            refused = await rings(line, caller=BERT)
            end = await refused.ended()
            assert (end.by, end.status_code) == (EndedBy.REJECTED, 404)
            assert (refused.submissions, operations(refused)) == ([Submission.REFUSED], ["reject"])
            assert (await line.host.ended(refused.call_id)).reason is EndReason.REJECTED
            claim: Claimed = await store.claim(refused.call_id, owner="another", lease=30)
            assert claim.claim.phase == "done"
            assert not line.calls
            taken = await rings(line, caller=ANNA)
            await over(line, taken)
            assert taken.submissions == [Submission.STARTED]

    test()
    refusals = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert len(refusals) == 1
    assert "DenyCallers" in refusals[0]
    assert "5550102" not in caplog.text
    assert "did not decide" not in caplog.text


@virtual
async def test_repeats_and_stale_webhooks_and_calls_without_room_do_not_count() -> None:
    seen: list[str] = []

    def watch(incoming: IncomingCall) -> None:
        seen.append(incoming.call_id)

    async with phone(strict=False) as line:
        hosting(line, watch, max_calls=1)
        first = await rings(line, lasts=30, duplicates=3)
        busy = await rings(line)
        assert busy.submissions == [Submission.BUSY]
        stale = await rings(line, late=301.0)
        assert stale.submissions == [Submission.STALE]
        await over(line, first)
        assert seen == [first.call_id]


@virtual
async def test_a_host_keeps_the_places_of_its_calls_as_long_as_they_last() -> None:
    async with phone(strict=False) as line:
        hosting(line, ConcurrentCalls(1))
        first = await rings(line, lasts=50)
        await asyncio.sleep(40)  # longer than a lease
        second = await rings(line)
        assert (await second.ended()).status_code == 503
        assert second.submissions == [Submission.REFUSED]
        await over(line, first)
        third = await rings(line)
        assert third.submissions == [Submission.STARTED]
        await over(line, third)


@virtual
async def test_a_handler_that_fails_frees_the_place_of_its_call() -> None:
    async def fails(_call: Call) -> None:
        raise ValueError("a bug")

    async with phone(strict=False) as line:
        hosting(line, ConcurrentCalls(1))
        line.talk = fails
        for _ in range(3):
            ringing = await rings(line)
            assert ringing.submissions == [Submission.STARTED]
            await over(line, ringing)


@virtual
async def test_law_an_adopted_call_is_up__it_takes_a_place_and_is_never_refused() -> None:
    seen: list[IncomingCall] = []
    clock = Clock()

    async def dies(incoming: IncomingCall) -> None:
        seen.append(incoming)
        await line.client.calls.accept(incoming.call_id, line.session)

    async with phone(strict=False) as line:
        ringing = await line.openai.ring(CallHost(dies, client=line.client), scenario=[HELLO, CallerHangsUp(after=20)])
        await ringing.until_accepted()
        await asyncio.sleep(1)
        store = MemoryStore(clock=clock)
        await store.claim(ringing.call_id, owner="dead", lease=30)
        await store.accept(ringing.call_id, owner="dead", lease=30)
        clock.now += 31
        full = ConcurrentCalls(1)
        await store.enter(full.key, "another", lease=30)
        hosting(line, full, DenyCallers({"+1*"}), store=store)
        assert await line.host.submit(seen[0]) is Submission.STARTED
        await asyncio.sleep(1)
        assert not await store.enter(full.key, "a third", lease=30, most=2)
        await over(line, ringing)
        assert operations(ringing).count("accept") == 1
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER
        assert await store.enter(full.key, "a third", lease=30, most=2)


def test_what_calls_cost_counts_while_they_are_up_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Call, "cost", Decimal("0.60"), raising=False)

    @virtual
    async def test() -> None:
        async with phone(strict=False) as line:
            store = hosting(line, DailySpend(1))
            first = await rings(line, lasts=60)
            await asyncio.sleep(25)
            second = await rings(line, lasts=60)
            assert second.submissions == [Submission.STARTED]
            await asyncio.sleep(25)
            third = await rings(line)
            assert third.submissions == [Submission.REFUSED]
            await over(line, first)
            await over(line, second)
            assert await store.total(DailySpend.key, per=86_400.0) == 1_200_000  # millionths of a dollar

    test()


@virtual
async def test_what_is_spent_is_what_the_calls_say_that_they_cost() -> None:
    async with phone(strict=False) as line:
        store = hosting(line, DailySpend(1))
        for lasts in (1.0, 45.0):
            await over(line, await rings(line, lasts=lasts))
        costs = [each.cost or Decimal(0) for each in line.calls]
        spent = Decimal(await store.total(DailySpend.key, per=86_400.0)) / 1_000_000
        assert min(costs) > 0
        assert sum(costs) <= spent <= sum(costs) + Decimal("0.000002")  # each is rounded up


def test_a_call_that_was_rejected_cost_nothing_and_one_of_unknown_cost_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Call, "cost", None, raising=False)

    @virtual
    async def test() -> None:
        async def rejects(incoming: IncomingCall) -> None:
            await line.client.calls.reject(incoming.call_id)

        async with phone(strict=False) as line:
            host = CallHost(rejects, client=line.client, policy=CallPolicy(DailySpend(1)))
            await (await line.openai.ring(host)).ended()
            await host.drain(1)
            assert "cost" not in caplog.text
            hosting(line, DailySpend(1))
            for _ in range(2):
                await over(line, await rings(line))

    test()
    assert len([record for record in caplog.records if "cost" in record.getMessage()]) == 1


@virtual
async def test_a_host_whose_counters_fail_serves_its_calls_all_the_same() -> None:
    async with phone(strict=False) as line:
        hosting(line, *EVERY_COUNTER, store=Failing())
        ringing = await rings(line, lasts=30)
        assert ringing.submissions == [Submission.STARTED]
        await over(line, ringing)
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER


@virtual
async def test_a_webhook_is_answered_once_a_refused_call_is_rejected() -> None:
    async def slow(_incoming: IncomingCall) -> int:
        await asyncio.sleep(1.5)
        return 603

    async with phone(strict=False) as line:
        hosting(line, slow)
        ringing = await rings(line)
        assert ringing.submissions == [Submission.REFUSED]
        assert operations(ringing) == ["reject"]


@pytest.mark.parametrize("number", ["+44 (0)20 7946 0101", "+44(0)2079460101"])
def test_a_number_that_nobody_has_is_on_no_list_and_dialed_by_nobody(number: str) -> None:
    with pytest.raises(ConfigurationError) as deny:
        DenyCallers({number})
    with pytest.raises(ConfigurationError) as allow:
        AllowCallers({number})
    router = Router()

    async def nobody(incoming: IncomingCall, session: RealtimeSession) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError) as route:
        router.add(nobody, session={"model": "gpt-realtime-2.1"}, dialed=number)
    assert not any("7946" in str(error.value) for error in (deny, allow, route))
