"""Stores: a call that is announced twice is answered once, one whose owner died is adopted; counters and nonces."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kept import Clock, Servers

from realtime_sip.errors import ConfigurationError
from realtime_sip.stores import rules
from realtime_sip.stores.memory import MemoryStore, Places, Window
from realtime_sip.stores.rules import BUCKETS, REMEMBER, Claim, Claimed, Outcome, Store, bucket, decide

pytest_plugins = ["store_fixtures"]


async def claimed(store: Store, owner: str, *, call_id: str = "rtc_1", lease: float = 10.0) -> tuple[str, str]:
    """Return the outcome and the phase of a claim."""
    answer = await store.claim(call_id, owner=owner, lease=lease)
    return answer.outcome.value, answer.claim.phase


# --- the ways of one call ---------------------------------------------------------------------------------------------


async def test_law_one_call_one_handler(store: Store) -> None:
    assert await claimed(store, "a") == ("new", "claimed")
    assert await claimed(store, "b") == ("repeat", "claimed")
    assert await claimed(store, "a") == ("repeat", "claimed")
    assert await store.accept("rtc_1", owner="a", lease=10)
    assert await claimed(store, "b") == ("repeat", "accepted")
    assert await store.finish("rtc_1", owner="a")
    assert await claimed(store, "b") == ("repeat", "done")
    assert await claimed(store, "b", call_id="rtc_2") == ("new", "claimed")


async def test_law_a_dead_claimants_call_is_adopted_in_the_phase_it_had(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    clock.now += 9.5
    assert await claimed(store, "b") == ("repeat", "claimed")
    clock.now += 0.6
    assert await claimed(store, "b") == ("adopted", "claimed")
    await store.accept("rtc_1", owner="b", lease=4)
    clock.now += 3.5
    assert await claimed(store, "c") == ("repeat", "accepted")
    clock.now += 0.6
    assert await claimed(store, "c") == ("adopted", "accepted")


async def test_the_lease_of_an_accepted_call_is_its_workers_and_one_heartbeat_is_for_all_its_calls(
    store: Store, clock: Clock
) -> None:
    for call_id in ("rtc_1", "rtc_2", "rtc_3"):
        await store.claim(call_id, owner="a", lease=10)
        await store.accept(call_id, owner="a", lease=4)
    for _ in range(20):
        clock.now += 3
        assert (await store.heartbeat("a", lease=4)).taken == ()
        for call_id in ("rtc_1", "rtc_2", "rtc_3"):
            assert await claimed(store, "b", call_id=call_id) == ("repeat", "accepted")
    clock.now += 4.1
    assert await claimed(store, "b", call_id="rtc_2") == ("adopted", "accepted")


async def test_a_heartbeat_does_not_keep_a_call_that_is_claimed_and_not_decided(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    clock.now += 10.1
    await store.heartbeat("a", lease=4)
    assert await claimed(store, "b") == ("adopted", "claimed")


async def test_who_adopts_an_accepted_call_lives_for_the_claims_lease_at_least(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    await store.accept("rtc_1", owner="a", lease=4)
    clock.now += 4.1
    assert await claimed(store, "b", lease=10) == ("adopted", "accepted")
    clock.now += 9.5
    assert await claimed(store, "c") == ("repeat", "accepted")
    await store.heartbeat("b", lease=4)
    clock.now += 3.5
    assert await claimed(store, "c") == ("repeat", "accepted")


async def test_law_an_owner_whose_call_was_adopted_can_do_nothing_any_more_and_hears_of_it_once(
    store: Store, clock: Clock
) -> None:
    for call_id in ("rtc_1", "rtc_2"):
        await store.claim(call_id, owner="a", lease=10)
        await store.accept(call_id, owner="a", lease=4)
    clock.now += 4.1
    await store.claim("rtc_1", owner="b", lease=10)
    assert not await store.accept("rtc_1", owner="a", lease=4)
    assert not await store.finish("rtc_1", owner="a")
    assert (await store.heartbeat("a", lease=4)).taken == ("rtc_1",)
    assert (await store.heartbeat("a", lease=4)).taken == ()
    assert (await store.heartbeat("b", lease=4)).taken == ()
    assert await store.accept("rtc_1", owner="b", lease=4)
    assert await store.accept("rtc_2", owner="a", lease=4)
    assert await claimed(store, "c") == ("repeat", "accepted")


async def test_an_owner_that_was_late_keeps_what_nobody_adopted(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    await store.accept("rtc_1", owner="a", lease=4)
    clock.now += 60
    assert await claimed(store, "a") == ("repeat", "accepted")
    assert (await store.heartbeat("a", lease=4)).taken == ()
    assert await claimed(store, "b") == ("repeat", "accepted")


async def test_what_is_done_stays_done_for_as_long_as_webhooks_are_repeated(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    await store.finish("rtc_1", owner="a")
    clock.now += REMEMBER - 1
    assert REMEMBER == 72 * 60 * 60
    assert await claimed(store, "b") == ("repeat", "done")
    assert not await store.accept("rtc_1", owner="a", lease=10)
    clock.now += 2
    assert await claimed(store, "b") == ("new", "claimed")


async def test_finishing_can_be_repeated_by_the_one_who_finished(store: Store) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    assert await store.finish("rtc_1", owner="a")
    assert await store.finish("rtc_1", owner="a")
    assert not await store.finish("rtc_1", owner="b")


async def test_accepting_can_be_repeated_by_the_one_who_accepted(store: Store) -> None:
    await store.claim("rtc_1", owner="a", lease=10)
    assert await store.accept("rtc_1", owner="a", lease=10)
    assert await store.accept("rtc_1", owner="a", lease=10)
    assert not await store.accept("rtc_1", owner="b", lease=10)
    assert await claimed(store, "b") == ("repeat", "accepted")


async def test_law_no_live_call_ends_because_of_its_store__one_that_lost_all_it_had_learns_of_it_again(
    store: Store,
) -> None:
    assert await store.accept("rtc_1", owner="a", lease=10)
    assert await claimed(store, "b") == ("repeat", "accepted")
    assert not await store.finish("rtc_2", owner="a")


async def test_of_many_at_once_one_gets_the_call(store: Store) -> None:
    answers = await asyncio.gather(*(store.claim("rtc_1", owner=str(n), lease=10) for n in range(50)))
    assert [answer.outcome for answer in answers].count(Outcome.NEW) == 1
    assert len({answer.claim.owner for answer in answers}) == 1


@pytest.mark.timeout(300)
async def test_of_fifty_claimants_one_wins_two_hundred_times_over(store: Store) -> None:
    for number in range(200):
        call_id = f"rtc_{number}"
        answers = await asyncio.gather(*(store.claim(call_id, owner=str(n), lease=300) for n in range(50)))
        (won,) = [answer.claim.owner for answer in answers if answer.outcome is Outcome.NEW]
        assert {answer.claim.owner for answer in answers} == {won}


async def test_of_many_who_adopt_at_once_one_gets_the_call(store: Store, clock: Clock) -> None:
    await store.claim("rtc_1", owner="dead", lease=10)
    await store.accept("rtc_1", owner="dead", lease=4)
    clock.now += 60
    answers = await asyncio.gather(*(store.claim("rtc_1", owner=str(n), lease=10) for n in range(50)))
    assert [answer.outcome for answer in answers].count(Outcome.ADOPTED) == 1
    assert (await store.heartbeat("dead", lease=4)).taken == ("rtc_1",)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_lease_that_makes_no_sense_is_refused(store: Store, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="lease"):
        await store.claim("rtc_1", owner="a", lease=seconds)
    await store.claim("rtc_1", owner="a", lease=10)
    with pytest.raises(ConfigurationError, match="lease"):
        await store.accept("rtc_1", owner="a", lease=seconds)
    with pytest.raises(ConfigurationError, match="lease"):
        await store.heartbeat("a", lease=seconds)
    with pytest.raises(ConfigurationError, match="remember"):
        await store.finish("rtc_1", owner="a", remember=seconds)
    assert await claimed(store, "b") == ("repeat", "claimed")


def test_the_rule_says_who_owns_the_call_now() -> None:
    dead = Claim("rtc_1", "a", "accepted", 5.0)
    adopted = decide(dead, call_id="rtc_1", owner="b", now=5.0, lease=2.0)
    assert adopted == Claimed(Outcome.ADOPTED, Claim("rtc_1", "b", "accepted", 7.0))
    living = decide(dead, call_id="rtc_1", owner="b", now=4.0, lease=2.0)
    assert living == Claimed(Outcome.REPEAT, dead)


# --- tickets: calls that others take over -----------------------------------------------------------------------------


async def served_by(store: Store, owner: str, call_id: str, *, ticket: str = "how") -> None:
    await store.claim(call_id, owner=owner, lease=10, ticket=ticket)
    await store.accept(call_id, owner=owner, lease=4)


async def adopted(store: Store, owner: str, *, most: int = 10) -> list[tuple[str, str, str]]:
    """Return the call, the phase and the ticket of each call that was adopted, after a heartbeat."""
    await store.heartbeat(owner, lease=4)
    claims = await store.adopt(owner, lease=10, most=most)
    assert all(claim.owner == owner and not claim.offered for claim in claims)
    return sorted((claim.call_id, claim.phase, claim.ticket) for claim in claims)


async def test_law_calls_of_a_worker_that_died_are_adopted_with_their_tickets(store: Store, clock: Clock) -> None:
    await served_by(store, "a", "rtc_1")
    await served_by(store, "a", "rtc_2")
    await store.accept("rtc_2", owner="a", lease=4, ticket="how now")
    await served_by(store, "living", "rtc_3")
    clock.now += 3.5
    await store.heartbeat("living", lease=4)
    assert await adopted(store, "b") == []
    clock.now += 0.6
    assert await adopted(store, "b") == [("rtc_1", "accepted", "how"), ("rtc_2", "accepted", "how now")]
    assert await adopted(store, "c") == []
    assert set((await store.heartbeat("a", lease=4)).taken) == {"rtc_1", "rtc_2"}
    assert not await store.accept("rtc_1", owner="a", lease=4)
    clock.now += 5
    await store.heartbeat("b", lease=4)
    assert await adopted(store, "c") == [("rtc_3", "accepted", "how")]


async def test_a_call_that_is_only_claimed_is_an_orphan_with_its_own_lease_or_its_workers(
    store: Store, clock: Clock
) -> None:
    await store.heartbeat("a", lease=4)
    await store.claim("rtc_1", owner="a", lease=15, ticket="how")
    await store.claim("rtc_2", owner="never seen", lease=15, ticket="how")
    clock.now += 3.5
    assert await adopted(store, "b") == []
    clock.now += 1
    await store.heartbeat("b", lease=100)
    assert await adopted(store, "b") == [("rtc_1", "claimed", "how")]
    assert await store.accept("rtc_1", owner="b", lease=100)
    clock.now += 10
    assert await adopted(store, "b") == []
    clock.now += 1
    assert await adopted(store, "b") == [("rtc_2", "claimed", "how")]


async def test_a_call_without_a_ticket_and_one_that_is_done_are_nobodys_to_adopt(store: Store, clock: Clock) -> None:
    await served_by(store, "a", "rtc_1", ticket="")
    await served_by(store, "a", "rtc_2")
    await store.finish("rtc_2", owner="a")
    clock.now += 60
    assert await adopted(store, "b") == []
    assert (await store.claim("rtc_2", owner="b", lease=10)).claim.ticket == ""


async def test_an_orphan_that_is_announced_again_brings_its_ticket(store: Store, clock: Clock) -> None:
    await served_by(store, "a", "rtc_1")
    clock.now += 60
    answer = await store.claim("rtc_1", owner="b", lease=10, ticket="new")
    assert (answer.outcome, answer.claim.ticket) == (Outcome.ADOPTED, "how")


@pytest.mark.parametrize("accepted", [True, False])
async def test_what_is_offered_is_adopted_at_once_and_can_be_taken_back_before(store: Store, *, accepted: bool) -> None:
    await store.heartbeat("a", lease=100)
    await store.claim("rtc_1", owner="a", lease=100, ticket="how")
    if accepted:
        await store.accept("rtc_1", owner="a", lease=100)
    phase = "accepted" if accepted else "claimed"
    assert await adopted(store, "b") == []
    assert await store.offer("rtc_1", owner="a", ticket="how now")
    assert await adopted(store, "a") == []
    assert await store.recall("rtc_1", owner="a")
    assert await adopted(store, "b") == []
    assert await store.offer("rtc_1", owner="a", ticket="how then")
    assert await adopted(store, "b") == [("rtc_1", phase, "how then")]
    assert not await store.recall("rtc_1", owner="a")
    assert not await store.offer("rtc_1", owner="a", ticket="too late")
    assert await adopted(store, "c") == []
    assert await store.accept("rtc_1", owner="b", lease=4)


async def test_who_renews_a_call_that_it_offers_goes_on_offering_it(store: Store) -> None:
    await served_by(store, "a", "rtc_1")
    await store.offer("rtc_1", owner="a", ticket="how now")
    await store.accept("rtc_1", owner="a", lease=100)
    assert await adopted(store, "b") == [("rtc_1", "accepted", "how now")]


async def test_law_no_call_is_lost__what_was_adopted_and_not_accepted_since_is_given_again_to_who_did_not_hear(
    store: Store, clock: Clock
) -> None:
    for call_id in ("rtc_1", "rtc_2", "rtc_3"):
        await served_by(store, "dead", call_id)
    clock.now += 5
    first = [("rtc_1", "accepted", "how"), ("rtc_2", "accepted", "how"), ("rtc_3", "accepted", "how")]
    assert await adopted(store, "a") == first  # whose answer is lost
    await store.accept("rtc_2", owner="a", lease=4)
    await store.finish("rtc_3", owner="a")
    assert await adopted(store, "a") == []
    await store.heartbeat("a", lease=60)
    clock.now += 10.5
    assert await adopted(store, "b") == []
    assert await adopted(store, "a") == [("rtc_1", "accepted", "how")]
    assert (await store.heartbeat("a", lease=4)).taken == ()
    assert await store.accept("rtc_1", owner="a", lease=4)
    clock.now += 3.5
    await store.heartbeat("a", lease=60)
    clock.now += 20
    assert await adopted(store, "a") == []


async def test_nobody_adopts_more_than_it_asked_for_and_who_asks_next_gets_the_rest(store: Store, clock: Clock) -> None:
    for number in range(5):
        await served_by(store, "dead", f"rtc_{number}")
    await served_by(store, "living", "rtc_offered")
    await store.offer("rtc_offered", owner="living", ticket="how")
    clock.now += 5
    got = [await adopted(store, worker, most=2) for worker in ("a", "b", "c", "d")]
    assert [len(each) for each in got] == [2, 2, 2, 0]
    assert len({call_id for each in got for call_id, _, _ in each}) == 6


async def test_of_many_who_look_for_orphans_at_once_each_is_adopted_by_one(store: Store, clock: Clock) -> None:
    for number in range(30):
        await served_by(store, "dead", f"rtc_{number}")
    clock.now += 5
    for number in range(20):
        await store.heartbeat(str(number), lease=60)
    answers = await asyncio.gather(*(store.adopt(str(n), lease=10, most=7) for n in range(20)))
    assert len([claim for answer in answers for claim in answer]) == len(
        {claim.call_id for answer in answers for claim in answer}
    )
    left = await store.adopt("last", lease=10, most=100)
    assert len([claim for answer in answers for claim in answer]) + len(left) == 30


async def test_a_letter_reaches_whoever_serves_the_call_once_and_in_order(store: Store, clock: Clock) -> None:
    assert not await store.post("rtc_1", "nobody is there")
    await served_by(store, "a", "rtc_1")
    await served_by(store, "a", "rtc_2")
    for number in range(3):
        assert await store.post("rtc_1", f"one {number}")
        assert await store.post("rtc_2", f"two {number}")
    clock.now += 5
    await store.claim("rtc_2", owner="b", lease=10)
    letters = (await store.heartbeat("a", lease=4)).letters
    assert [text for call_id, text in letters if call_id == "rtc_1"] == ["one 0", "one 1", "one 2"]
    # Of a call that was taken, they are the taker's.
    assert (await store.heartbeat("b", lease=4)).letters == tuple(("rtc_2", f"two {number}") for number in range(3))
    assert (await store.heartbeat("a", lease=4)).letters == ()
    await store.finish("rtc_1", owner="a")
    assert not await store.post("rtc_1", "it is over")


async def test_letters_that_nobody_reads_are_bounded(store: Store) -> None:
    await served_by(store, "a", "rtc_1")
    for number in range(130):
        await store.post("rtc_1", f"{number}")
    letters = (await store.heartbeat("a", lease=4)).letters
    assert letters == tuple(("rtc_1", f"{number}") for number in range(30, 130))


async def test_a_worker_hears_how_many_calls_the_others_would_take(store: Store, clock: Clock) -> None:
    assert (await store.heartbeat("a", lease=4, free=10)).free == 0
    assert (await store.heartbeat("b", lease=4, free=3)).free == 10
    assert (await store.heartbeat("a", lease=4, free=7)).free == 3
    assert (await store.heartbeat("c", lease=9)).free == 10
    clock.now += 5
    assert (await store.heartbeat("c", lease=4)).free == 0


@pytest.mark.parametrize("what", ["offer", "letter"])
async def test_who_waits_for_news_hears_at_once_of_an_offer_and_of_a_letter(store: Store, what: str) -> None:
    await served_by(store, "a", "rtc_1")
    await store.news(0.01)  # whoever listens has begun to
    async with asyncio.timeout(20):
        waiting = [asyncio.create_task(store.news(60))]
        await asyncio.sleep(0)
        if what == "offer":
            await store.offer("rtc_1", owner="a", ticket="how")
        else:
            await store.post("rtc_1", "a letter")
        await asyncio.gather(*waiting)


async def test_without_news_waiting_ends_in_its_time(store: Store) -> None:
    async with asyncio.timeout(20):
        await store.news(0.01)
        await store.news(0.01)


async def test_what_is_too_long_to_keep_is_refused(store: Store) -> None:
    text = "x" * (rules.MAX_NOTE + 1)
    with pytest.raises(ConfigurationError, match="16384"):
        await store.claim("rtc_1", owner="a", lease=10, ticket=text)
    await store.claim("rtc_1", owner="a", lease=10)
    for refused in (
        store.accept("rtc_1", owner="a", lease=10, ticket=text),
        store.offer("rtc_1", owner="a", ticket=text),
        store.post("rtc_1", text),
    ):
        with pytest.raises(ConfigurationError, match="16384"):
            await refused


# --- what a memory store forgets --------------------------------------------------------------------------------------


async def served(store: Store, *call_ids: str, lease: float = 10) -> None:
    for call_id in call_ids:
        await store.claim(call_id, owner="a", lease=lease)


async def done(store: Store, *call_ids: str, remember: float = REMEMBER) -> None:
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

    kind = "memory"
    servers: Servers

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.store = self.servers.make(self.kind, self.clock)
        # Until when each worker said that it lives, and each claim that is not accepted counts.
        self.lives: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        # call -> whoever was given it last, unless it was finished.
        self.holder: dict[str, str] = {}
        self.phase: dict[str, str] = {}
        # call -> (who finished it, until when it is to be remembered).
        self.finished: dict[str, tuple[str, float]] = {}
        # What others have taken from a worker since its last heartbeat.
        self.taken: dict[str, list[str]] = {}
        self.offered: set[str] = set()
        self.tickets: set[str] = set()
        # Adopted and not accepted since: until when its owner has to have heard of it.
        self.unheard: dict[str, float] = {}

    def teardown(self) -> None:
        if self.kind != "memory":
            self.run(self.store.close())
        self.runner.close()

    def run(self, operation: Any) -> Any:
        return self.runner.run(operation)

    def is_served(self, call_id: str) -> bool:
        if call_id in self.offered:
            return False
        if self.phase.get(call_id) == "accepted":
            return self.lives.get(self.holder.get(call_id, ""), 0.0) > self.clock.now
        return self.counts.get(call_id, 0.0) > self.clock.now

    def remembered(self, call_id: str) -> bool:
        return call_id in self.finished and self.finished[call_id][1] > self.clock.now

    @initialize(call_id=CALLS, owner=OWNERS)
    def first(self, call_id: str, owner: str) -> None:
        self.claim(call_id, owner, 5.0)

    @rule(call_id=CALLS, owner=OWNERS, lease=SECONDS)
    def claim(self, call_id: str, owner: str, lease: float) -> None:
        answer: Claimed = self.run(self.store.claim(call_id, owner=owner, lease=lease, ticket="how"))
        if self.remembered(call_id):
            assert answer.outcome is Outcome.REPEAT
            assert answer.claim.phase == "done"
        elif call_id not in self.holder:
            assert answer.outcome is Outcome.NEW
            assert answer.claim.phase == "claimed"
        elif self.is_served(call_id) or self.holder[call_id] == owner:
            assert answer.outcome is Outcome.REPEAT
            assert answer.claim.owner == self.holder[call_id]
            assert answer.claim.phase == self.phase[call_id]
        else:
            assert answer.outcome is Outcome.ADOPTED
            assert answer.claim.phase == self.phase[call_id]
            self.taken.setdefault(self.holder[call_id], []).append(call_id)
        if answer.outcome is not Outcome.REPEAT:
            self.given(answer.claim, lease)
            self.unheard.pop(call_id, None)
            if answer.outcome is Outcome.ADOPTED:
                self.unheard[call_id] = self.clock.now + lease

    def given(self, claim: Claim, lease: float) -> None:
        if claim.ticket:
            self.tickets.add(claim.call_id)
        else:
            self.tickets.discard(claim.call_id)
        self.offered.discard(claim.call_id)
        self.finished.pop(claim.call_id, None)
        self.holder[claim.call_id] = claim.owner
        self.phase[claim.call_id] = claim.phase
        self.counts[claim.call_id] = self.clock.now + lease
        if claim.phase == "accepted":
            self.lives[claim.owner] = max(self.lives.get(claim.owner, 0.0), self.clock.now + lease)

    @rule(call_id=CALLS, owner=OWNERS)
    def offer(self, call_id: str, owner: str) -> None:
        assert self.run(self.store.offer(call_id, owner=owner, ticket="how")) == (self.holder.get(call_id) == owner)
        if self.holder.get(call_id) == owner:
            self.offered.add(call_id)
            self.tickets.add(call_id)
            self.unheard.pop(call_id, None)

    @rule(call_id=CALLS, owner=OWNERS)
    def recall(self, call_id: str, owner: str) -> None:
        assert self.run(self.store.recall(call_id, owner=owner)) == (self.holder.get(call_id) == owner)
        if self.holder.get(call_id) == owner:
            self.offered.discard(call_id)
            self.unheard.pop(call_id, None)

    @rule(owner=OWNERS, lease=SECONDS)
    def adopt(self, owner: str, lease: float) -> None:
        now = self.clock.now
        orphans = {
            call_id
            for call_id, holder in self.holder.items()
            if call_id in self.tickets
            and (
                self.unheard.get(call_id, now + 1) <= now
                if holder == owner
                else not self.is_served(call_id) or self.lives.get(holder, now + 1) <= now
            )
        }
        claims = self.run(self.store.adopt(owner, lease=lease, most=10))
        assert {claim.call_id for claim in claims} == orphans
        for claim in claims:
            assert claim.phase == self.phase[claim.call_id]
            if self.holder[claim.call_id] != owner:
                self.taken.setdefault(self.holder[claim.call_id], []).append(claim.call_id)
            lives = self.lives.get(owner)
            self.given(claim, lease)
            self.unheard[claim.call_id] = now + lease
            if lives is None:
                self.lives.pop(owner, None)
            else:
                self.lives[owner] = lives

    @rule(owner=OWNERS, lease=SECONDS)
    def heartbeat(self, owner: str, lease: float) -> None:
        taken = self.run(self.store.heartbeat(owner, lease=lease)).taken
        assert set(taken) == set(self.taken.pop(owner, []))
        self.lives[owner] = self.clock.now + lease

    @rule(call_id=CALLS, owner=OWNERS, lease=SECONDS)
    def accept(self, call_id: str, owner: str, lease: float) -> None:
        kept = self.run(self.store.accept(call_id, owner=owner, lease=lease))
        unknown = call_id not in self.holder and not self.remembered(call_id)
        assert kept == (unknown or self.holder.get(call_id) == owner)
        if kept:
            if unknown:
                self.tickets.discard(call_id)
            self.finished.pop(call_id, None)
            self.holder[call_id] = owner
            self.phase[call_id] = "accepted"
            self.unheard.pop(call_id, None)
            self.lives[owner] = max(self.lives.get(owner, 0.0), self.clock.now + lease)

    @rule(call_id=CALLS, owner=OWNERS, remember=SECONDS)
    def finish(self, call_id: str, owner: str, remember: float) -> None:
        known = self.holder.get(call_id) or self.finished.get(call_id, ("", 0.0))[0]
        kept = self.run(self.store.finish(call_id, owner=owner, remember=remember))
        if kept:
            assert known == owner
            self.holder.pop(call_id, None)
            self.phase.pop(call_id, None)
            self.offered.discard(call_id)
            self.tickets.discard(call_id)
            self.unheard.pop(call_id, None)
            self.finished[call_id] = (owner, self.clock.now + remember)
        else:
            assert self.holder.get(call_id) != owner

    @precondition(lambda self: self.holder or self.finished)
    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 60.0]))
    def wait(self, seconds: float) -> None:
        # Beside the clock of a server the test's own stands still: nothing falls due just now.
        self.clock.now += seconds + 0.25


@pytest.mark.timeout(600)
def test_any_order_of_anything(kind: str, servers: Servers) -> None:
    machine = type("TheseClaims", (Claims,), {"kind": kind, "servers": servers})
    most = 60 if kind == "memory" else 25
    run_state_machine_as_test(
        machine,
        settings=settings(derandomize=True, deadline=None, max_examples=most, stateful_step_count=30),
    )


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


async def test_amounts_are_summed_for_each_key_and_time_alone(store: Store, clock: Clock) -> None:
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


async def test_what_cannot_be_counted_is_refused(store: Store) -> None:
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


async def test_members_are_in_until_they_leave_or_their_lease_ends(store: Store, clock: Clock) -> None:
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


async def test_there_is_always_room_for_who_is_in_already_by_right(store: Store) -> None:
    assert await store.enter("calls", "one", lease=10, most=1)
    assert await store.enter("calls", "adopted", lease=10)
    await store.leave("calls", "one")
    assert not await store.enter("calls", "two", lease=10, most=1)


async def test_of_many_at_once_so_many_get_in_as_may_be(store: Store) -> None:
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
    # Their types alone: what others left behind may answer a question about its class with anything.
    return sum(type(each) in (Window, Places) for each in gc.get_objects())


async def test_law_who_called_is_forgotten_once_it_counts_no_more(clock: Clock) -> None:
    store, others = MemoryStore(clock=clock), counters()
    for n in range(500):
        await store.add(f"caller {n}", 1, per=60)
        await store.enter(f"caller {n}", "rtc_1", lease=30)
        clock.now += 1
    assert 60 + 29 <= counters() - others <= 62 + 31
    assert [await store.total(f"caller {n}", per=60) for n in (438, 441, 499)] == [0, 1, 1]


async def test_each_kind_is_a_store(store: Store) -> None:
    assert isinstance(store, Store)


# --- nonces -----------------------------------------------------------------------------------------------------------


async def test_law_context_is_used_once__a_nonce_is_whose_call_used_it_first(store: Store, clock: Clock) -> None:
    assert await store.use("nonce-01", by="rtc_1", remember=60)
    assert not await store.use("nonce-01", by="rtc_2", remember=60)
    assert await store.use("nonce-02", by="rtc_2", remember=60)
    clock.now += 59
    assert await store.use("nonce-01", by="rtc_1", remember=60)
    clock.now += 1
    assert await store.use("nonce-01", by="rtc_2", remember=60)


async def test_of_many_calls_at_once_one_uses_a_nonce(store: Store) -> None:
    used = await asyncio.gather(*(store.use("nonce-01", by=f"rtc_{n}", remember=60) for n in range(50)))
    assert used.count(True) == 1


async def test_a_nonce_is_no_claim(store: Store) -> None:
    assert await store.use("rtc_1", by="rtc_1", remember=60)
    assert await claimed(store, "a") == ("new", "claimed")


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
async def test_a_nonce_is_remembered_for_some_time(store: Store, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="remember"):
        await store.use("nonce-01", by="rtc_1", remember=seconds)


# --- notes ------------------------------------------------------------------------------------------------------------


async def test_what_is_noted_is_known_for_its_time_and_the_last_note_counts(store: Store, clock: Clock) -> None:
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


@pytest.mark.parametrize(
    "key", ["a\x00b", "\ud800", "a" * 5000, "é" * 3000, "\U0001f4de {}*?[", "a\r\nb", ""], ids=range(7)
)
async def test_law_input_from_outside_is_hostile__any_text_is_a_key(store: Store, key: str) -> None:
    for name in (key, f"{key}+"):
        assert await store.add(name, 1, per=60) == 1
        assert await store.enter(name, key, lease=60, most=1)
        assert not await store.enter(name, f"{key}+", lease=60, most=1)
        await store.leave(name, key)
        assert await store.use(name, by=key, remember=60)
        assert not await store.use(name, by=f"{key}+", remember=60)
        await store.note(name, "text", remember=60)
        assert await store.noted(name) == "text"
        assert await store.take(name) == "text"


async def test_of_all_who_take_a_note_one_gets_it(store: Store) -> None:
    await store.note("a", "once", remember=60)
    assert sorted(filter(None, await asyncio.gather(*(store.take("a") for _ in range(50))))) == ["once"]
    assert await store.noted("a") is None


async def test_a_note_is_neither_a_claim_nor_a_nonce(store: Store) -> None:
    await store.note("rtc_1", "text", remember=60)
    assert await claimed(store, "a") == ("new", "claimed")
    assert await store.use("rtc_1", by="rtc_1", remember=60)


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
