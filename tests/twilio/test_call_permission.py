"""WhatsApp's rules for asking and calling its users, as values."""

from __future__ import annotations

import math
import random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported import reported

from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import PermissionReason
from realtime_sip.twilio.permission import (
    DAY,
    WEEK,
    EventKind,
    Limit,
    PermissionEvent,
    PermissionHistory,
    PermissionRules,
)

HOUR = 3600.0


def having(*events: tuple[float, EventKind] | tuple[float, EventKind, str], **rules: Any) -> PermissionHistory:
    found = [PermissionEvent(*event) for event in events]
    return PermissionHistory(rules=PermissionRules(**rules)).having(*found)


@reported("permission", has="granted_at")
def test_five_connected_calls_in_any_day(case: dict[str, Any]) -> None:
    given_, right = case["input"], case["right"]
    words: dict[str, EventKind] = {"connected": "connected", "no-answer": "missed", "busy": "missed"}
    calls = [PermissionEvent(each["t"], words[each["call"]]) for each in given_["events"]]
    history = PermissionHistory().having(PermissionEvent(given_["granted_at"], "accepted"), *calls)
    verdict = history.may_call(given_["ask_at"])
    assert bool(verdict) is right["may_call"]
    assert verdict.allowed_at == right.get("allowed_at")


def test_who_was_never_asked_is_not_called() -> None:
    verdict = PermissionHistory().may_call(0.0)
    assert (verdict.reason, verdict.allowed_at) == (PermissionReason.NOT_ASKED, None)
    assert not verdict


def test_a_permission_lasts_seven_days_from_its_approval() -> None:
    history = having((0.0, "requested"), (DAY, "accepted"))
    assert history.may_call(DAY)
    assert history.may_call(8 * DAY - 1).permitted_until == 8 * DAY
    assert history.may_call(8 * DAY).reason is PermissionReason.EXPIRED


def test_a_permanent_permission_does_not_expire_and_can_be_taken_back() -> None:
    history = having((0.0, "requested"), (DAY, "accepted_permanently"))
    assert history.may_call(400 * DAY).permitted_until == math.inf
    assert history.having(PermissionEvent(300 * DAY, "rejected")).may_call(301 * DAY).reason == "rejected"


def test_the_last_answer_before_the_expiry_counts() -> None:
    assert having((0.0, "requested"), (1.0, "accepted"), (2.0, "rejected")).may_call(3.0).reason == "rejected"
    assert having((0.0, "requested"), (1.0, "rejected"), (2.0, "accepted")).may_call(3.0)
    late = having((0.0, "requested"), (WEEK, "accepted"))
    assert late.may_call(WEEK + 1).reason is PermissionReason.EXPIRED
    assert having((0.0, "requested")).may_call(1.0).reason is PermissionReason.UNANSWERED
    assert having((0.0, "requested")).may_call(WEEK).reason is PermissionReason.EXPIRED


def test_a_new_approval_takes_the_place_of_the_old_one() -> None:
    history = having((0.0, "requested"), (1.0, "accepted"), (3 * DAY, "requested"))
    assert history.may_call(3 * DAY).permitted_until == 1.0 + WEEK
    renewed = history.having(PermissionEvent(4 * DAY, "accepted"))
    assert renewed.may_call(10 * DAY).permitted_until == 11 * DAY


def test_two_missed_calls_warn_and_four_end_the_permission() -> None:
    missed = [PermissionEvent(float(n), "missed", f"CA{n}") for n in range(1, 5)]
    history = having((0.0, "accepted_permanently"))
    assert history.having(missed[0]).may_call(10.0).warnings == ()
    two = history.having(*missed[:2]).may_call(10.0)
    assert two
    assert two.missed == 2
    assert "WhatsApp asks them" in two.warnings[0]
    assert history.having(*missed).may_call(10.0).reason is PermissionReason.REVOKED
    answered = history.having(
        *missed[:3], PermissionEvent(3.5, "connected", "CA9"), PermissionEvent(3.6, "ended", "CA9")
    )
    assert answered.having(missed[3]).may_call(10.0).missed == 1
    assert history.having(*missed, PermissionEvent(9.0, "requested"), PermissionEvent(9.5, "accepted")).may_call(10.0)


def test_a_call_at_a_time() -> None:
    history = having((0.0, "accepted"), (10.0, "dialed", "CA1"))
    verdict = history.may_call(20.0)
    assert (verdict.reason, verdict.allowed_at) == (PermissionReason.CALL_UNDER_WAY, 10.0 + 4 * HOUR)
    assert history.may_call(10.0 + 4 * HOUR)
    assert history.having(PermissionEvent(30.0, "ended", "CA1")).may_call(31.0)
    assert history.having(PermissionEvent(30.0, "missed", "CA1")).may_call(31.0)


def test_a_thousand_calls_of_a_sender() -> None:
    history = having((0.0, "accepted"))
    assert history.may_call(1.0, concurrent=999)
    assert history.may_call(1.0, concurrent=1000).reason is PermissionReason.SENDER_FULL


def test_that_the_permission_ends_first_is_said_by_no_time() -> None:
    calls = [PermissionEvent(WEEK - n - 1, "connected") for n in range(5)]
    verdict = having((0.0, "accepted")).having(*calls).may_call(WEEK - 0.5)
    assert (verdict.reason, verdict.allowed_at) == (PermissionReason.CALL_LIMIT, None)


def test_one_request_a_day_and_two_a_week() -> None:
    one = having((0.0, "requested"))
    verdict = one.may_request(HOUR, approved=True)
    assert (verdict.reason, verdict.allowed_at) == (PermissionReason.REQUEST_LIMIT, DAY)
    assert one.may_request(DAY, approved=True)
    two = one.having(PermissionEvent(DAY, "requested"))
    assert two.may_request(2 * DAY, approved=True).allowed_at == WEEK
    assert two.may_request(WEEK, approved=True)


def test_without_approval_only_in_a_conversation() -> None:
    assert PermissionHistory().may_request(0.0).reason is PermissionReason.CONVERSATION_CLOSED
    history = having((0.0, "wrote"))
    assert history.may_request(DAY - 1)
    assert history.may_request(DAY).reason is PermissionReason.CONVERSATION_CLOSED
    assert history.may_request(DAY, approved=True)
    asked = history.having(PermissionEvent(1.0, "requested"))
    assert asked.may_request(2.0).allowed_at is None  # the conversation is over by then


def test_a_missed_call_of_theirs_lets_the_callback_be_requested_or_permits_it() -> None:
    assert having((0.0, "missed_by_us")).may_request(HOUR)
    assert not having((0.0, "missed_by_us")).may_call(HOUR)
    assert having((0.0, "missed_by_us"), missed_call_permits=True).may_call(HOUR)
    assert not having((0.0, "missed_by_us"), calls_open_conversation=False).may_request(HOUR)


def test_all_numbers_are_configurable() -> None:
    rules = {
        "connected_calls": (Limit(100, DAY),),
        "requests": (Limit(3, HOUR),),
        "connected_call_resets_requests": True,
    }
    history = having((0.0, "accepted"), *((float(n), "requested") for n in range(3)), **rules)
    assert not history.may_request(10.0)
    assert history.having(PermissionEvent(9.0, "connected")).may_request(10.0)
    with pytest.raises(ConfigurationError):
        PermissionRules(validity=0)
    with pytest.raises(ConfigurationError):
        Limit(0, DAY)


def test_a_verdict_says_why_and_when() -> None:
    assert str(having((0.0, "requested")).may_request(1.0, approved=True)) == (
        "request_limit: they were asked as often as they may be; allowed from 1970-01-02 00:00:00 UTC"
    )
    assert str(having((0.0, "accepted")).may_call(1.0)) == "allowed"


EVENTS = st.lists(
    st.builds(
        PermissionEvent,
        st.floats(0, 12 * DAY).map(lambda at: round(at, 1)),
        st.sampled_from(get_args(EventKind)),
        st.sampled_from(["", "a", "b", "c", "d"]),
    ),
    max_size=25,
)
NOW = st.floats(0, 20 * DAY)


@given(EVENTS, NOW)
def test_law_it_is_allowed_when_it_was_said_to_be_and_not_before(events: list[PermissionEvent], now: float) -> None:
    history = PermissionHistory().having(*(event for event in events if event.at <= now))
    for ask in (history.may_call, history.may_request, lambda at: history.may_request(at, approved=True)):
        verdict = ask(now)
        assert (verdict.allowed_at is None) or not verdict
        if verdict.allowed_at is not None:
            assert verdict.allowed_at > now
            assert ask(verdict.allowed_at)
            assert not ask((now + verdict.allowed_at) / 2)


@given(EVENTS, NOW, st.randoms())
def test_law_neither_order_nor_repeats_of_events_matter(
    events: list[PermissionEvent], now: float, chance: random.Random
) -> None:
    history = PermissionHistory().having(*events)
    other = PermissionHistory()
    shuffled = [*events, *events]
    chance.shuffle(shuffled)
    for event in shuffled:
        other = other.having(event)
    assert history.may_call(now) == other.may_call(now)
    assert history.may_request(now) == other.may_request(now)


@given(EVENTS, NOW, st.floats(0, 20 * DAY))
def test_law_what_is_forgotten_does_not_count(events: list[PermissionEvent], now: float, later: float) -> None:
    history = PermissionHistory().having(*(event for event in events if event.at <= now))
    pruned = history.pruned(now)
    at = now + later
    assert pruned.may_call(at) == history.may_call(at)
    assert pruned.may_request(at) == history.may_request(at)
    assert pruned.may_request(at, approved=True) == history.may_request(at, approved=True)
