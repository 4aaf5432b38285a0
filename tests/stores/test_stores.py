"""Stores: a call that is announced twice is answered once, one whose owner died is adopted; counters and nonces."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_sip.errors import ConfigurationError
from realtime_sip.stores import rules
from realtime_sip.stores.memory import MemoryStore, Places, Window
from realtime_sip.stores.rules import BUCKETS, REMEMBER, Claim, Claimed, Outcome, Store, bucket, decide


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


async def claimed(store: Store, owner: str, *, call_id: str = "rtc_1", lease: float = 10.0) -> tuple[str, str]:
    """Return the outcome and the phase of a claim."""
    answer = await store.claim(call_id, owner=owner, lease=lease)
    return answer.outcome.value, answer.claim.phase


# --- the ways of one call ---------------------------------------------------------------------------------------------


async def test_law_one_call_one_handler(store: MemoryStore) -> None:
    assert await claimed(store, "a") == ("new", "claimed")
    assert await claimed(store, "b") == ("repeat", "claimed")
    assert await claimed(store, "a") == ("repeat", "claimed")
    assert await store.advance("rtc_1", owner="a", phase="accepted")
    assert await claimed(store, "b") == ("repeat", "accepted")
    assert await store.finish("rtc_1", owner="a")
    assert await claimed(store, "b") == ("repeat", "done")
    assert await claimed(store, "b", call_id="rtc_2") == ("new", "claimed")


async def test_law_a_dead_claimants_call_is_adopted_in_the_phase_it_had(store: MemoryStore, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    clock.now += 9.9
    assert await claimed(store, "b") == ("repeat", "claimed")
    clock.now += 0.1
    assert await claimed(store, "b") == ("adopted", "claimed")
    await store.advance("rtc_1", owner="b", phase="accepted")
    clock.now += 10
    assert await claimed(store, "c") == ("adopted", "accepted")


async def test_an_owner_whose_call_was_adopted_can_do_nothing_any_more(store: MemoryStore, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    clock.now += 10
    await store.claim("rtc_1", owner="b", lease=10)
    assert not await store.renew("rtc_1", owner="a", lease=10)
    assert not await store.advance("rtc_1", owner="a", phase="accepted")
    assert not await store.finish("rtc_1", owner="a")
    assert await store.renew("rtc_1", owner="b", lease=10)
    assert await claimed(store, "c") == ("repeat", "claimed")


async def test_renewing_keeps_a_call_as_long_as_it_lasts(store: MemoryStore, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    for _ in range(20):
        clock.now += 9
        assert await store.renew("rtc_1", owner="a", lease=10)
        assert await claimed(store, "b") == ("repeat", "claimed")


async def test_an_owner_that_was_late_keeps_what_nobody_adopted(store: MemoryStore, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    clock.now += 60
    assert await claimed(store, "a") == ("repeat", "claimed")
    assert await store.renew("rtc_1", owner="a", lease=10)
    assert await claimed(store, "b") == ("repeat", "claimed")


async def test_what_is_done_stays_done_for_as_long_as_webhooks_are_repeated(store: MemoryStore, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    await store.finish("rtc_1", owner="a")
    clock.now += REMEMBER - 1
    assert REMEMBER == 72 * 60 * 60
    assert await claimed(store, "b") == ("repeat", "done")
    assert not await store.renew("rtc_1", owner="a", lease=10)
    assert not await store.advance("rtc_1", owner="a", phase="accepted")
    clock.now += 1
    assert await claimed(store, "b") == ("new", "claimed")


async def test_finishing_can_be_repeated_by_the_one_who_finished(store: MemoryStore) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    assert await store.finish("rtc_1", owner="a")
    assert await store.finish("rtc_1", owner="a")
    assert not await store.finish("rtc_1", owner="b")


async def test_a_phase_that_was_passed_is_not_gone_back_to(store: MemoryStore) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    await store.advance("rtc_1", owner="a", phase="accepted")
    assert await store.advance("rtc_1", owner="a", phase="claimed")
    assert await claimed(store, "b") == ("repeat", "accepted")


async def test_nobody_owns_a_call_that_was_not_claimed(store: MemoryStore) -> None:
    assert not await store.renew("rtc_1", owner="a", lease=10)
    assert not await store.advance("rtc_1", owner="a", phase="accepted")
    assert not await store.finish("rtc_1", owner="a")


async def test_of_many_at_once_one_gets_the_call(store: MemoryStore) -> None:
    answers = await asyncio.gather(*(store.claim("rtc_1", owner=str(n), lease=10) for n in range(50)))
    assert [answer.outcome for answer in answers].count(Outcome.NEW) == 1
    assert len({answer.claim.owner for answer in answers}) == 1


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_lease_that_makes_no_sense_is_refused(store: MemoryStore, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="lease"):
        await store.claim("rtc_1", owner="a", lease=seconds)
    await store.claim("rtc_1", owner="a", lease=10)
    with pytest.raises(ConfigurationError, match="lease"):
        await store.renew("rtc_1", owner="a", lease=seconds)
    with pytest.raises(ConfigurationError, match="remember"):
        await store.finish("rtc_1", owner="a", remember=seconds)
    with pytest.raises(ConfigurationError, match="use finish"):
        await store.advance("rtc_1", owner="a", phase="done")
    assert await claimed(store, "b") == ("repeat", "claimed")


def test_the_rule_says_who_owns_the_call_now() -> None:
    dead = Claim("rtc_1", "a", "accepted", 5.0)
    adopted = decide(dead, call_id="rtc_1", owner="b", now=5.0, lease=2.0)
    assert adopted == Claimed(Outcome.ADOPTED, Claim("rtc_1", "b", "accepted", 7.0))
    living = decide(dead, call_id="rtc_1", owner="b", now=4.0, lease=2.0)
    assert living == Claimed(Outcome.REPEAT, dead)


# --- what a memory store forgets --------------------------------------------------------------------------------------


async def served(store: MemoryStore, *call_ids: str, lease: float = 10) -> None:
    for call_id in call_ids:
        await store.claim(call_id, owner="a", lease=lease)


async def done(store: MemoryStore, *call_ids: str, remember: float = REMEMBER) -> None:
    for call_id in call_ids:
        await store.claim(call_id, owner="a", lease=10)
        await store.finish(call_id, owner="a", remember=remember)


async def test_beyond_its_bound_the_store_forgets_what_was_done_first(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=3)
    await served(store, "live")
    await done(store, "first", "second", "third")
    assert len(store) == 3
    assert await claimed(store, "b", call_id="second") == ("repeat", "done")
    assert await claimed(store, "b", call_id="third") == ("repeat", "done")
    assert await claimed(store, "b", call_id="live") == ("repeat", "claimed")
    assert await claimed(store, "b", call_id="first") == ("new", "claimed")


async def test_finishing_again_makes_a_call_the_last_to_be_forgotten(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=2)
    await done(store, "first", "second")
    await store.finish("first", owner="a")
    await served(store, "live")
    assert await claimed(store, "b", call_id="first") == ("repeat", "done")


async def test_a_call_that_is_served_is_never_forgotten_and_a_new_one_is_refused(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=2)
    await served(store, "one", "two")
    with pytest.raises(ConfigurationError, match="max_calls"):
        await store.claim("three", owner="a", lease=10)
    assert await claimed(store, "b", call_id="one") == ("repeat", "claimed")
    assert await claimed(store, "b", call_id="two") == ("repeat", "claimed")
    await store.finish("one", owner="a")
    assert await claimed(store, "b", call_id="three") == ("new", "claimed")


async def test_a_full_store_forgets_calls_of_the_dead_before_it_refuses(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=2)
    await served(store, "living", lease=100)
    await served(store, "dead", lease=10)
    clock.now += 10
    assert await claimed(store, "b", call_id="three") == ("new", "claimed")
    assert await claimed(store, "b", call_id="living") == ("repeat", "claimed")
    assert len(store) == 2


async def test_a_full_store_still_lets_a_dead_owners_call_be_adopted(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=1)
    await served(store, "one")
    clock.now += 10
    assert await claimed(store, "b", call_id="one") == ("adopted", "claimed")


async def test_what_need_not_be_remembered_goes_when_new_calls_come(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    await done(store, *(f"rtc_{n}" for n in range(50)), remember=60)
    clock.now += 60
    await served(store, "live")
    assert len(store) == 1


async def test_a_call_that_comes_back_after_all_counts_once(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    await done(store, "long", remember=600)
    await done(store, "short", remember=60)
    clock.now += 60
    await served(store, "short")
    assert len(store) == 2


def test_a_store_for_no_calls_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_calls"):
        MemoryStore(max_calls=0)


async def test_the_usual_clock_is_the_machines() -> None:
    store = MemoryStore()
    assert await claimed(store, "a", lease=1e6) == ("new", "claimed")
    assert await claimed(store, "b") == ("repeat", "claimed")


# --- any order of anything --------------------------------------------------------------------------------------------

CALLS = st.sampled_from(["rtc_1", "rtc_2"])
OWNERS = st.sampled_from(["a", "b", "c"])
SECONDS = st.sampled_from([1.0, 5.0, 30.0])


class Claims(RuleBasedStateMachine):
    """Knows of a store only what each owner was told, and holds the promises against that."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryStore(clock=self.clock)
        # (call, owner) -> until when that owner believes that it serves the call.
        self.believed: dict[tuple[str, str], float] = {}
        # call -> whoever was given it last, unless it was finished.
        self.holder: dict[str, str] = {}
        self.phase: dict[str, str] = {}
        # call -> (who finished it, until when it is to be remembered).
        self.finished: dict[str, tuple[str, float]] = {}

    def run(self, operation: Any) -> Any:
        return asyncio.run(operation)

    def living(self, call_id: str) -> set[str]:
        return {owner for (call, owner), until in self.believed.items() if call == call_id and until > self.clock.now}

    def remembered(self, call_id: str) -> bool:
        return call_id in self.finished and self.finished[call_id][1] > self.clock.now

    @initialize(call_id=CALLS, owner=OWNERS)
    def first(self, call_id: str, owner: str) -> None:
        self.claim(call_id, owner, 5.0)

    @rule(call_id=CALLS, owner=OWNERS, lease=SECONDS)
    def claim(self, call_id: str, owner: str, lease: float) -> None:
        answer: Claimed = self.run(self.store.claim(call_id, owner=owner, lease=lease))
        living = self.living(call_id)
        if self.remembered(call_id):
            assert answer.outcome is Outcome.REPEAT
            assert answer.claim.phase == "done"
        elif call_id not in self.holder:
            assert answer.outcome is Outcome.NEW
            assert answer.claim.phase == "claimed"
        elif living or self.holder[call_id] == owner:
            assert answer.outcome is Outcome.REPEAT
            assert answer.claim.owner == self.holder[call_id]
            assert answer.claim.phase == self.phase[call_id]
        else:
            assert answer.outcome is Outcome.ADOPTED
            assert answer.claim.phase == self.phase[call_id]
        if answer.outcome is not Outcome.REPEAT:
            assert not living
            self.finished.pop(call_id, None)
            self.holder[call_id] = owner
            self.phase[call_id] = answer.claim.phase
            self.believed[call_id, owner] = self.clock.now + lease

    @rule(call_id=CALLS, owner=OWNERS, lease=SECONDS)
    def renew(self, call_id: str, owner: str, lease: float) -> None:
        kept = self.run(self.store.renew(call_id, owner=owner, lease=lease))
        assert kept == (self.holder.get(call_id) == owner)
        if kept:
            self.believed[call_id, owner] = self.clock.now + lease

    @rule(call_id=CALLS, owner=OWNERS)
    def accept(self, call_id: str, owner: str) -> None:
        kept = self.run(self.store.advance(call_id, owner=owner, phase="accepted"))
        assert kept == (self.holder.get(call_id) == owner)
        if kept:
            self.phase[call_id] = "accepted"

    @rule(call_id=CALLS, owner=OWNERS, remember=SECONDS)
    def finish(self, call_id: str, owner: str, remember: float) -> None:
        known = self.holder.get(call_id) or self.finished.get(call_id, ("", 0.0))[0]
        kept = self.run(self.store.finish(call_id, owner=owner, remember=remember))
        if kept:
            assert known == owner
            self.holder.pop(call_id, None)
            self.believed.pop((call_id, owner), None)
            self.finished[call_id] = (owner, self.clock.now + remember)
        else:
            assert self.holder.get(call_id) != owner

    @precondition(lambda self: self.holder or self.finished)
    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def one_living_owner_at_most(self) -> None:
        for call_id in ("rtc_1", "rtc_2"):
            assert len(self.living(call_id)) <= 1


TestClaims: Callable[..., Any] = Claims.TestCase
Claims.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=30)


# --- counters: amounts within a time ----------------------------------------------------------------------------------

# Widths that are no round numbers in binary are among them.
PER = st.sampled_from([0.7, 1.0, 60.0, 3600.0, 86_400.0])
STEPS = st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 1_000_000)), max_size=200)


@given(per=PER, steps=STEPS)
@settings(derandomize=True, deadline=None)
def test_law_a_sum_never_misses_what_is_within_the_time_and_takes_in_one_bucket_more_at_most(
    per: float, steps: list[tuple[float, int]]
) -> None:
    window, now, added = Window(per), 1_000.0, list[tuple[float, int]]()
    for step, amount in steps:
        now += step * per
        added.append((now, amount))
        total = window.add(amount, now=now)
        surely = sum(amount for at, amount in added if at > now - per * 0.999)
        perhaps = sum(amount for at, amount in added if at > now - per * (1 + 1.001 / BUCKETS))
        assert surely <= total <= perhaps
        assert window.total(now=now) == total
        assert len(window) <= BUCKETS + 1
    assert window.total(now=now + per * (1 + 1.001 / BUCKETS)) == 0
    assert not window.counts(now=now + per * (1 + 1.001 / BUCKETS))


@given(per=PER, most=st.integers(1, 5), steps=st.lists(st.floats(0, 0.5), max_size=100))
@settings(derandomize=True, deadline=None)
def test_law_no_more_is_added_within_any_time_than_may_be(per: float, most: int, steps: list[float]) -> None:
    window, now, passed = Window(per), 1_000.0, list[float]()
    for step in steps:
        now += step * per
        if window.add(1, now=now, most=most) <= most:
            passed.append(now)
        assert len([at for at in passed if at > now - per * 0.999]) <= most
    assert window.add(1, now=now + 2 * per, most=most) == 1


async def test_amounts_are_summed_for_each_key_and_time_alone(store: MemoryStore, clock: Clock) -> None:
    assert await store.add("a", 2, per=60) == 2
    assert await store.add("a", 3, per=60) == 5
    assert await store.add("a", 3, per=60, most=7) == 8
    assert await store.total("a", per=60) == 5
    assert await store.add("b", 1, per=60) == 1
    assert await store.add("a", 1, per=3600) == 1
    clock.now += 60
    assert await store.total("a", per=60) == 5
    clock.now += 1
    assert await store.total("a", per=60) == 0
    assert await store.total("a", per=3600) == 1
    assert await store.total("never", per=60) == 0


def test_all_clocks_that_agree_name_a_bucket_alike() -> None:
    assert [bucket(float(now), per=60.0) for now in (0, 1, 59, 60)] == [0, 1, 59, 60]


async def test_what_cannot_be_counted_is_refused(store: MemoryStore) -> None:
    with pytest.raises(ConfigurationError, match="amount"):
        await store.add("a", -1, per=60)
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="seconds"):
            await store.add("a", 1, per=seconds)
        with pytest.raises(ConfigurationError, match="lease"):
            await store.enter("a", "one", lease=seconds)
    with pytest.raises(ConfigurationError, match="max_keys"):
        MemoryStore(max_keys=0)


# --- counters: members with leases ------------------------------------------------------------------------------------


async def test_members_are_in_until_they_leave_or_their_lease_ends(store: MemoryStore, clock: Clock) -> None:
    assert await store.enter("calls", "one", lease=10, most=2)
    assert await store.enter("calls", "two", lease=20, most=2)
    assert not await store.enter("calls", "three", lease=10, most=2)
    assert await store.enter("calls", "one", lease=10, most=2)
    assert await store.enter("others", "three", lease=10, most=2)
    await store.leave("calls", "two")
    assert await store.enter("calls", "three", lease=30, most=2)
    clock.now += 10
    assert await store.enter("calls", "four", lease=10, most=2)
    assert not await store.enter("calls", "one", lease=10, most=2)
    await store.leave("calls", "never")
    await store.leave("never", "one")


async def test_there_is_always_room_for_who_is_in_already_by_right(store: MemoryStore) -> None:
    assert await store.enter("calls", "one", lease=10, most=1)
    assert await store.enter("calls", "adopted", lease=10)
    await store.leave("calls", "one")
    assert not await store.enter("calls", "two", lease=10, most=1)


async def test_of_many_at_once_so_many_get_in_as_may_be(store: MemoryStore) -> None:
    entered = await asyncio.gather(*(store.enter("calls", str(n), lease=10, most=7) for n in range(50)))
    assert entered.count(True) == 7


MEMBERS = st.sampled_from("abcde")
DEEDS = st.lists(
    st.tuples(st.sampled_from(["enter", "renew", "leave"]), MEMBERS, st.integers(0, 4), st.integers(1, 9)), max_size=80
)


@given(deeds=DEEDS, most=st.integers(1, 4))
@settings(derandomize=True, deadline=None)
def test_places_do_what_a_list_of_leases_would(deeds: list[tuple[str, str, int, int]], most: int) -> None:
    places, leases, now = Places(), dict[str, float](), 0.0
    for deed, member, seconds, lease in deeds:
        now += seconds
        leases = {each: until for each, until in leases.items() if until > now}
        if deed == "leave":
            places.leave(member)
            leases.pop(member, None)
        else:
            fits = deed == "renew" or member in leases or len(leases) < most
            assert places.enter(member, now=now, lease=lease, most=most if deed == "enter" else None) == fits
            if fits:
                leases[member] = now + lease
        assert places.counts(now=now) == bool(leases)
    assert places.live(now=now) == len(leases)


def test_the_dead_do_not_pile_up() -> None:
    places = Places()
    for n in range(10_000):
        places.enter(str(n), now=float(n), lease=5)
    assert len(places) == 5


# --- what a memory store forgets of its counters ----------------------------------------------------------------------


async def test_beyond_its_bound_the_counter_that_was_asked_for_least_recently_is_forgotten(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_keys=2)
    for key in ("first", "second"):
        await store.add(key, 1, per=60)
        await store.enter(key, "one", lease=60)
    await store.total("first", per=60)
    await store.enter("first", "one", lease=60)
    await store.add("third", 1, per=60)
    await store.enter("third", "one", lease=60)
    assert [await store.total(key, per=60) for key in ("first", "second", "third")] == [1, 0, 1]
    assert not await store.enter("first", "two", lease=60, most=1)
    assert await store.enter("second", "two", lease=60, most=1)


async def test_a_store_counts_for_as_many_keys_as_come_and_keeps_what_is_in_use(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_keys=10)
    for n in range(1000):
        await store.add(f"caller {n}", 1, per=60)
        assert await store.add("all", 1, per=3600) == n + 1


def counters() -> int:
    """Return how many counters are in memory."""
    gc.collect()
    return sum(isinstance(each, (Window, Places)) for each in gc.get_objects())


async def test_law_who_called_is_forgotten_once_it_counts_no_more(clock: Clock) -> None:
    store, others = MemoryStore(clock=clock), counters()
    for n in range(500):
        await store.add(f"caller {n}", 1, per=60)
        await store.enter(f"caller {n}", "rtc_1", lease=30)
        clock.now += 1
    assert 60 + 29 <= counters() - others <= 62 + 31
    assert [await store.total(f"caller {n}", per=60) for n in (438, 441, 499)] == [0, 1, 1]


def test_a_memory_store_is_a_store(store: MemoryStore) -> None:
    kept: Store = store
    assert isinstance(kept, Store)


# --- nonces -----------------------------------------------------------------------------------------------------------


async def test_law_context_is_used_once__a_nonce_is_whose_call_used_it_first(store: MemoryStore, clock: Clock) -> None:
    assert await store.use("nonce-01", by="rtc_1", remember=60)
    assert not await store.use("nonce-01", by="rtc_2", remember=60)
    assert await store.use("nonce-02", by="rtc_2", remember=60)
    clock.now += 59
    assert await store.use("nonce-01", by="rtc_1", remember=60)
    clock.now += 1
    assert await store.use("nonce-01", by="rtc_2", remember=60)


async def test_of_many_calls_at_once_one_uses_a_nonce(store: MemoryStore) -> None:
    used = await asyncio.gather(*(store.use("nonce-01", by=f"rtc_{n}", remember=60) for n in range(50)))
    assert used.count(True) == 1


async def test_a_nonce_is_no_claim(store: MemoryStore) -> None:
    assert await store.use("rtc_1", by="rtc_1", remember=60)
    assert await claimed(store, "a") == ("new", "claimed")
    assert len(store) == 1


async def test_nonces_are_bounded_and_forgotten_in_their_time(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=3)
    for n in range(5):
        assert await store.use(f"nonce-{n}", by="rtc_1", remember=60)
    assert not await store.use("nonce-4", by="rtc_2", remember=60)
    assert await store.use("nonce-0", by="rtc_2", remember=60)
    clock.now += 60
    assert await store.use("nonce-9", by="rtc_1", remember=1e-14)
    assert store._used == {}


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_nonce_is_remembered_for_some_time(store: MemoryStore, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="remember"):
        await store.use("nonce-01", by="rtc_1", remember=seconds)


# --- notes ------------------------------------------------------------------------------------------------------------


async def test_what_is_noted_is_known_for_its_time_and_the_last_note_counts(store: MemoryStore, clock: Clock) -> None:
    assert await store.noted("a") is None
    await store.note("a", "first", remember=60)
    await store.note("b", "other", remember=60)
    await store.note("a", "second", remember=30)
    clock.now += 29
    assert (await store.noted("a"), await store.noted("b")) == ("second", "other")
    clock.now += 1
    assert await store.noted("a") is None
    assert await store.take("a") is None
    await store.note("a", "", remember=60)
    assert await store.noted("a") == ""


async def test_of_all_who_take_a_note_one_gets_it(store: MemoryStore) -> None:
    await store.note("a", "once", remember=60)
    assert sorted(filter(None, await asyncio.gather(*(store.take("a") for _ in range(50))))) == ["once"]
    assert await store.noted("a") is None


async def test_a_note_is_neither_a_claim_nor_a_nonce(store: MemoryStore) -> None:
    await store.note("rtc_1", "text", remember=60)
    assert await claimed(store, "a") == ("new", "claimed")
    assert await store.use("rtc_1", by="rtc_1", remember=60)
    assert len(store) == 1


async def test_notes_are_bounded_and_forgotten_in_their_time(clock: Clock) -> None:
    store = MemoryStore(clock=clock, max_calls=3)
    for n in range(5):
        await store.note(f"note {n}", "text", remember=60)
    assert [await store.noted(f"note {n}") for n in range(5)] == [None, None, "text", "text", "text"]
    clock.now += 60
    await store.note("last", "text", remember=1e-14)
    assert store._notes == {}
    with pytest.raises(ConfigurationError, match="16384 characters"):
        await store.note("long", "a" * 16_385, remember=60)
    with pytest.raises(ConfigurationError, match="remember"):
        await store.note("never", "text", remember=0)
    assert "text" not in repr(rules.written("text", now=0, remember=1))
