"""The life of a call: what follows from what happens, in scripts and in every order."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_sip.call.machine.lifecycle import Act, Attach, DropSocket, Finish, HangUp, Lifecycle, Probe, SayGoodbye
from realtime_sip.call.machine.limits import CallLimits, LimitNear
from realtime_sip.errors import (
    AuthenticationError,
    BadRequestError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    DecisionAlreadyMadeError,
    NetworkError,
    RateLimitedError,
    RealtimeSipError,
    ServerError,
)
from realtime_sip.outcomes import CallEnded, Close, CloseKind, EndReason, Gap, LimitKind

NOW, UNIX = 1000.0, 1_790_000_000.0
GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
DECIDED = DecisionAlreadyMadeError("decided", status_code=409, code="decision_already_made")
FAILED = ServerError("failed", status_code=500)
BUSY = RateLimitedError("too many", status_code=429)
DENIED = AuthenticationError("no key", status_code=401)
LOST = NetworkError("no answer", sent=True)
UNSENT = NetworkError("no connection", sent=False)
DROPPED, CLOSED, OURS, EXPIRED = (
    Close(kind, code)
    for kind, code in (
        (CloseKind.DROPPED, 1006),
        (CloseKind.NORMAL, 1000),
        (CloseKind.OURS, 1000),
        (CloseKind.EXPIRED, 1000),
    )
)
NO_LIMITS: dict[str, Any] = {"max_duration": None, "silence": None, "first_sound": None}


class Life:
    """A lifecycle, a clock, and what it asked for."""

    def __init__(self, *, owned: bool = False, **limits: Any) -> None:
        self.lifecycle = Lifecycle(CallLimits(**limits), now=NOW, unix=UNIX, owned=owned)
        self.now = NOW
        self.acts: list[Act] = []

    def take(self, acts: list[Act]) -> None:
        self.acts += acts

    def asked(self, *kinds: type[Act]) -> list[Act]:
        """Return what was asked for since the last look, of these kinds or all."""
        acts, self.acts = self.acts, []
        return [act for act in acts if isinstance(act, kinds)] if kinds else acts

    def live(self) -> Life:
        """Accept and attach, with a sign of life."""
        self.take(self.lifecycle.accepted())
        self.attach()
        self.asked()
        return self

    def attach(self, *, proof: bool = True) -> None:
        self.take(self.lifecycle.attached(self.now))
        if proof:
            self.lifecycle.frame(self.now)

    def close(self, close: Close = DROPPED) -> None:
        self.take(self.lifecycle.closed(close, self.now))

    def end(self, reason: EndReason = EndReason.AGENT) -> None:
        self.take(self.lifecycle.end(reason, "because"))

    def attach_fails(self, error: RealtimeSipError) -> None:
        self.take(self.lifecycle.attach_failed(error, self.now))

    def hangup_fails(self, error: RealtimeSipError) -> None:
        self.take(self.lifecycle.hangup_failed(error, self.now))

    def wait(self, seconds: float, *, frames: bool = True) -> None:
        """Let time pass, ticking when told to; with `frames` the service answers probes."""
        end = self.now + seconds
        for _ in range(10_000):
            deadline = self.lifecycle.deadline
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            acts = self.lifecycle.tick(self.now)
            self.take([act for act in acts if not (frames and isinstance(act, Probe))])
            if frames and Probe() in acts:
                self.lifecycle.frame(self.now)
        else:
            raise AssertionError("ticks for ever")
        self.now = end
        self.take(self.lifecycle.tick(self.now))

    @property
    def ended(self) -> CallEnded:
        assert self.lifecycle.ended is not None
        return self.lifecycle.ended


# --- answering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, FAILED, DeadlineError("late", sent=True)])
def test_law_an_unclear_accept_is_settled_by_attaching(error: RealtimeSipError) -> None:
    life = Life()
    assert life.lifecycle.accept_failed(error, life.now) == [Attach(again=False)]
    life.attach()
    life.end()
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.reason is EndReason.AGENT


def test_law_an_unclear_accept_is_settled_by_attaching__a_call_of_our_own_claim_that_was_decided_is_attached() -> None:
    life = Life(owned=True)
    assert life.lifecycle.accept_failed(DECIDED, life.now) == [Attach(again=False)]


def test_law_an_unclear_accept_is_settled_by_attaching__no_call_to_attach_to_is_no_connection() -> None:
    life = Life()
    life.take(life.lifecycle.accept_failed(LOST, life.now) or [])
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.NOT_CONNECTED, "inferred")
    assert "unclear" in life.ended.evidence


def test_a_call_that_somebody_else_decided_ends_as_such() -> None:
    life = Life()
    life.take(life.lifecycle.accept_failed(DECIDED, life.now) or [])
    assert (life.ended.reason, life.ended.certainty) == (EndReason.DECIDED_ELSEWHERE, "reported")
    assert life.ended.attached_at is None


def test_a_caller_who_gives_up_while_it_rings_ends_the_call() -> None:
    life = Life()
    life.take(life.lifecycle.accept_failed(GONE, life.now) or [])
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CALLER, "inferred")


@pytest.mark.parametrize("error", [UNSENT, DENIED, BUSY, BadRequestError("no", status_code=400)])
def test_an_accept_that_was_certainly_refused_is_for_the_program_to_hear_of(error: RealtimeSipError) -> None:
    life = Life()
    assert life.lifecycle.accept_failed(error, life.now) is None
    assert life.lifecycle.ended is None


def test_an_accept_that_was_not_what_it_said_is_reported_as_what_it_is() -> None:
    life = Life()
    assert life.lifecycle.accepted() == [Attach(again=False)]
    life.attach_fails(GONE)
    assert life.ended.reason is EndReason.NOT_CONNECTED
    assert "success" in life.ended.evidence
    assert life.ended.attached_at is None


def test_a_stale_webhook_and_a_rejection_end_without_asking_for_anything() -> None:
    stale, rejected = Life(), Life()
    stale.take(stale.lifecycle.stale(stale.now))
    rejected.take(rejected.lifecycle.rejected(rejected.now))
    assert (stale.ended.reason, stale.ended.certainty) == (EndReason.STALE, "inferred")
    assert (rejected.ended.reason, rejected.ended.certainty) == (EndReason.REJECTED, "reported")
    assert stale.asked() == [Finish(stale.ended)]


# --- the sideband -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "close",
    [
        DROPPED,
        CLOSED,
        OURS,
        Close(CloseKind.FAILED, 1011),
        Close(CloseKind.GOING_AWAY, 1012),
        Close(CloseKind.REFUSED, 4000),
    ],
)
def test_law_a_closed_socket_is_not_the_end__re_attach_decides(close: Close) -> None:
    life = Life().live()
    life.close(close)
    assert life.asked() == [Attach(again=True)]
    life.attach()
    assert life.asked() == [Probe()]
    assert life.lifecycle.live
    life.close(close)
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CALLER, "inferred")
    assert life.ended.close == close


def test_accepting_and_attaching_share_one_ringing_deadline() -> None:
    for seconds, tried in ((7.0, True), (9.0, False)):
        life = Lifecycle(CallLimits(), now=0.0, unix=1_795_000_000.0)
        life.accepted()
        acts = life.attach_failed(NetworkError("attach: no connection", sent=False), seconds)
        assert (acts == [Attach(again=False)]) is tried
        assert (acts == [HangUp()]) is not tried


def test_law_after_one_successful_attach_404_means_ended() -> None:
    life = Life().live()
    life.close()
    life.attach_fails(GONE)
    assert life.asked() == [Attach(again=True), Finish(life.ended)]


def test_law_the_end_has_a_reason_evidence_and_a_certainty() -> None:
    life = Life().live()
    life.wait(10)
    life.close(Close(CloseKind.FAILED, 1011, "internal"))
    life.wait(2)
    life.attach_fails(GONE)
    assert life.ended == CallEnded(
        reason=EndReason.CALLER,
        certainty="inferred",
        evidence="the socket closed (failed (1011 internal)), and the call was gone when attaching again",
        started_at=UNIX,
        attached_at=UNIX,
        ended_at=UNIX + 12,
        close=Close(CloseKind.FAILED, 1011, "internal"),
    )


@pytest.mark.parametrize("error", [LOST, UNSENT, FAILED, BUSY])
def test_attaching_is_tried_again_after_what_may_pass(error: RealtimeSipError) -> None:
    life = Life().live()
    life.close()
    life.attach_fails(error)
    life.attach_fails(error)
    assert life.asked() == [Attach(again=True)] * 3
    life.attach_fails(error)
    assert life.asked() == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CONNECTION_LOST, "reported")
    assert type(error).__name__ in life.ended.evidence


def test_attaching_is_not_tried_again_after_what_stays_so() -> None:
    life = Life()
    life.take(life.lifecycle.accepted())
    life.attach_fails(DENIED)
    assert life.asked() == [Attach(again=False), HangUp()]


def test_a_socket_that_flaps_is_given_up() -> None:
    life = Life().live()
    for _ in range(4):
        life.close()
        assert life.asked(Attach, HangUp) == [Attach(again=True)]
        life.attach()
        life.wait(5)
    life.close()
    assert life.asked(Attach, HangUp) == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.reason is EndReason.CONNECTION_LOST


def test_a_socket_that_drops_now_and_then_is_not_given_up() -> None:
    life = Life(silence=None, first_sound=None).live()
    for _ in range(50):
        life.wait(20)
        life.close()
        life.attach()
    assert HangUp() not in life.asked()


def test_the_end_of_the_session_is_known_by_the_close() -> None:
    life = Life().live()
    life.close(EXPIRED)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.EXPIRED, "reported")
    assert life.asked() == [Finish(life.ended)]


def test_a_call_that_is_gone_past_the_wall_has_expired_as_far_as_anybody_can_tell() -> None:
    life = Life(max_duration=None).live()
    life.lifecycle.expires_at(UNIX + 100)
    life.now += 100  # and the program was asleep
    life.close()
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.EXPIRED, "inferred")


def test_the_hole_is_known_once_the_sideband_is_back() -> None:
    life = Life().live()
    assert life.lifecycle.gap(life.now) is None
    life.wait(5)
    life.close()
    life.wait(3)
    assert life.lifecycle.gap(life.now) == Gap(UNIX + 5, UNIX + 8, DROPPED)
    life.attach()
    assert life.lifecycle.gap(life.now) is None


# --- proof of life ----------------------------------------------------------------------------------------------------


def test_an_attached_socket_is_proven_or_dropped() -> None:
    life = Life(**NO_LIMITS)
    life.take(life.lifecycle.accepted())
    life.attach(proof=False)
    assert life.asked() == [Attach(again=False), Probe()]
    life.wait(10, frames=False)
    assert life.asked() == [DropSocket()]
    life.close(OURS)
    assert life.asked() == [Attach(again=True)]


def test_a_silent_socket_is_probed_and_kept_where_it_answers() -> None:
    life = Life(**NO_LIMITS).live()
    life.wait(31, frames=False)
    assert life.asked() == [Probe()]
    life.lifecycle.frame(life.now)
    life.wait(29, frames=False)
    assert life.asked() == []


def test_a_silent_socket_is_probed_and_dropped_where_it_does_not() -> None:
    life = Life(**NO_LIMITS).live()
    life.wait(36, frames=False)
    assert life.asked() == [Probe(), DropSocket()]


def test_law_never_a_caller_with_a_dead_agent__a_service_that_attaches_and_says_nothing_is_given_up() -> None:
    life = Life(**NO_LIMITS)
    life.take(life.lifecycle.accepted())
    for _ in range(20):
        if HangUp() in life.acts:
            break
        life.wait(10)  # it takes long to attach, so that it is no flapping
        life.attach(proof=False)
        life.wait(6, frames=False)
        life.close(OURS)
    assert life.asked(HangUp) == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.reason is EndReason.CONNECTION_LOST


# --- ending -----------------------------------------------------------------------------------------------------------


def test_law_never_a_caller_with_a_dead_agent__hanging_up_is_tried_until_it_succeeds() -> None:
    life = Life(**NO_LIMITS).live()
    life.end()
    assert life.asked() == [HangUp()]
    for error in (LOST, FAILED, BUSY, DENIED):
        life.hangup_fails(error)
        life.wait(60)
        assert life.asked(HangUp, Finish) == [HangUp()], "one at a time"
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "reported")


def test_law_never_a_caller_with_a_dead_agent__hanging_up_is_given_up_after_a_bound_and_says_so() -> None:
    life = Life(**NO_LIMITS).live()
    life.end()
    tries = 0
    while life.lifecycle.ended is None:
        tries += len(life.asked(HangUp))
        assert tries <= 20
        life.hangup_fails(LOST)
        life.wait(30)
    assert tries > 5
    assert life.ended.certainty == "inferred"
    assert "may be up" in life.ended.evidence


def test_law_never_a_caller_with_a_dead_agent__a_call_that_is_over_needs_no_hanging_up() -> None:
    life = Life().live()
    life.end()
    life.hangup_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "inferred")
    assert "over" in life.ended.evidence


def test_a_second_decision_changes_nothing() -> None:
    life = Life().live()
    life.end()
    life.end(EndReason.HANDLER_FAILED)
    life.take(life.lifecycle.detached(life.now))
    assert life.asked() == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.reason is EndReason.AGENT
    life.end(EndReason.HANDLER_FAILED)
    assert life.asked() == [Finish(life.ended)]


def test_a_decided_end_stays_so_when_the_session_expires_first() -> None:
    life = Life().live()
    life.end()
    life.hangup_fails(LOST)
    life.close(EXPIRED)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "reported")
    assert "expired" in life.ended.evidence


def test_a_decided_end_does_not_attach_again_and_hangs_up_once_at_a_time() -> None:
    life = Life().live()
    life.close()
    life.end()
    life.attach_fails(LOST)
    assert life.asked() == [Attach(again=True), HangUp()]
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "inferred")


def test_a_socket_that_closes_because_we_hang_up_is_not_attached_again() -> None:
    life = Life().live()
    life.end()
    life.close(CLOSED)
    assert life.asked() == [HangUp()]


def test_an_accept_that_comes_back_after_the_end_was_decided_attaches_nothing() -> None:
    life = Life()
    life.end()
    assert life.lifecycle.accepted() == []
    assert life.lifecycle.accept_failed(LOST, life.now) == []


def test_letting_go_ends_our_part_alone() -> None:
    life = Life().live()
    life.take(life.lifecycle.detached(life.now))
    assert (life.ended.reason, life.ended.certainty) == (EndReason.DETACHED, "reported")
    assert life.asked() == [Finish(life.ended)]


def test_what_comes_late_does_not_bring_a_call_back() -> None:
    life = Life().live()
    life.take(life.lifecycle.detached(life.now))
    ended = life.ended
    life.asked()
    life.attach()
    life.take(life.lifecycle.accepted())
    life.close()
    life.attach_fails(LOST)
    life.hangup_fails(LOST)
    life.take(life.lifecycle.hung_up(life.now))
    life.take(life.lifecycle.goodbye_said())
    life.lifecycle.activity(life.now, busy=False)
    life.wait(10_000)
    assert life.asked() == []
    assert life.ended is ended
    assert not life.lifecycle.live


def test_a_hangup_that_nobody_asked_for_here_is_no_end() -> None:
    life = Life().live()
    assert life.lifecycle.hung_up(life.now) == []
    assert life.lifecycle.live


# --- limits -----------------------------------------------------------------------------------------------------------


def test_law_silence_and_duration_limits_are_on_by_default() -> None:
    assert CallLimits() == CallLimits(max_duration=55 * 60, silence=60, first_sound=20)


@pytest.mark.parametrize(
    ("kind", "seconds", "limits"),
    [
        (LimitKind.FIRST_SOUND, 20, {}),
        (LimitKind.SILENCE, 60, {"first_sound": None}),
        (LimitKind.DURATION, 3300, {"first_sound": None, "silence": None}),
    ],
)
def test_law_limits_are_on_by_default__each_ends_the_call_when_it_is_reached_and_not_before(
    kind: LimitKind, seconds: float, limits: dict[str, Any]
) -> None:
    life = Life(goodbye=None, **limits).live()
    life.wait(seconds - 1)
    assert life.asked(HangUp) == []
    life.wait(1)
    assert life.asked(HangUp) == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, kind)
    assert kind.value in life.ended.evidence


def test_law_silence_counts_from_the_latest_of_what_is_heard() -> None:
    life = Life(first_sound=None).live()
    for _ in range(5):
        life.wait(59)
        life.lifecycle.activity(life.now, busy=False)
    assert life.asked(SayGoodbye, HangUp) == []
    life.wait(60)
    assert life.asked(SayGoodbye) != []


def test_law_silence_rests_while_something_is_going_on() -> None:
    life = Life(first_sound=None).live()
    life.lifecycle.activity(life.now, busy=True)
    life.wait(600)
    assert life.asked(SayGoodbye, LimitNear) == []
    life.lifecycle.activity(life.now, busy=False)
    life.wait(59)
    assert life.asked(SayGoodbye) == []
    life.wait(1)
    assert life.asked(SayGoodbye) != []


def test_a_first_sound_lifts_its_limit_for_good() -> None:
    life = Life(silence=None).live()
    life.wait(19)
    life.lifecycle.sound()
    life.close()
    life.attach()
    life.wait(600)
    assert life.asked(SayGoodbye, HangUp) == []


def test_law_limits_know_what_they_cannot_know__silence_and_first_sound_rest_while_the_sideband_is_down() -> None:
    life = Life().live()
    life.wait(19)
    life.close()
    life.wait(120)
    assert life.asked(SayGoodbye, HangUp) == []
    life.attach()
    life.wait(19)
    assert life.asked(SayGoodbye, HangUp) == [], "somebody may have spoken meanwhile"
    life.wait(1)
    assert life.asked(HangUp) == [HangUp()]


def test_the_longest_duration_counts_while_the_sideband_is_down() -> None:
    life = Life(max_duration=100).live()
    life.close()
    life.wait(100)
    assert life.asked(HangUp) == [HangUp()], "nobody could hear a goodbye"


def test_limits_that_are_off_never_end_a_call() -> None:
    life = Life(**NO_LIMITS).live()
    life.wait(100_000)
    assert life.asked() == []


def test_a_limit_is_told_before_once_for_each_approach() -> None:
    life = Life(max_duration=None, first_sound=None).live()
    life.wait(46)
    assert life.asked() == [LimitNear(LimitKind.SILENCE, 15)]
    life.lifecycle.activity(life.now, busy=False)
    life.wait(44)
    assert life.asked() == []
    life.wait(15)
    assert life.asked() == [LimitNear(LimitKind.SILENCE, 15)]


def test_a_first_sound_that_is_waited_for_anew_is_told_anew() -> None:
    life = Life(silence=None, max_duration=None).live()
    life.wait(6)
    assert life.asked() == [LimitNear(LimitKind.FIRST_SOUND, 15)]
    life.close()
    life.attach()
    life.asked()
    life.wait(6)
    assert life.asked() == [LimitNear(LimitKind.FIRST_SOUND, 15)]


def test_the_wall_is_told_before_and_leaves_time_for_a_goodbye() -> None:
    life = Life(**NO_LIMITS).live()
    life.lifecycle.expires_at(UNIX + 3600)
    life.lifecycle.expires_at(UNIX + 3600)
    life.wait(3570)
    assert [near.limit for near in life.asked() if isinstance(near, LimitNear)] == [LimitKind.EXPIRY]
    life.wait(15)
    assert len(life.asked(SayGoodbye)) == 1
    life.wait(14.9)
    assert life.asked(HangUp) == [HangUp()], "before the wall"
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.limit is LimitKind.EXPIRY


def test_a_wall_that_moves_is_told_anew() -> None:
    life = Life(**NO_LIMITS).live()
    life.lifecycle.expires_at(UNIX + 100)
    life.wait(70)
    life.lifecycle.expires_at(UNIX + 200)
    life.wait(96)
    assert [type(act) for act in life.asked()] == [LimitNear, LimitNear]


@pytest.mark.parametrize("unix", [0, -1, UNIX - 1, UNIX * 1000, 10**400, math.inf, math.nan])
def test_a_wall_that_cannot_be_true_is_ignored(unix: float) -> None:
    life = Life(**NO_LIMITS).live()
    life.lifecycle.expires_at(unix)
    life.wait(100_000)
    assert life.asked() == []


def test_a_limit_says_goodbye_then_hangs_up() -> None:
    life = Life(first_sound=None, goodbye="Say goodbye.").live()
    life.wait(60)
    assert life.asked(SayGoodbye, HangUp) == [SayGoodbye("Say goodbye.")]
    life.wait(2)
    life.take(life.lifecycle.goodbye_said())
    life.take(life.lifecycle.goodbye_said())
    assert life.asked() == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, LimitKind.SILENCE)


def test_a_goodbye_is_bounded_and_not_put_off_by_anything() -> None:
    life = Life(first_sound=None).live()
    life.wait(60)
    life.asked()
    life.lifecycle.activity(life.now, busy=True)
    life.lifecycle.expires_at(UNIX + 3600)
    life.close()
    life.attach()
    life.asked()
    life.wait(15)
    assert life.asked(SayGoodbye, HangUp) == [HangUp()]


def test_a_program_that_hangs_up_during_the_goodbye_does_so() -> None:
    life = Life(first_sound=None).live()
    life.wait(60)
    life.end()
    life.take(life.lifecycle.goodbye_said())
    assert life.asked(HangUp) == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.limit) == (EndReason.AGENT, None)


def test_a_caller_who_leaves_during_the_goodbye_has_left() -> None:
    life = Life(first_sound=None).live()
    life.wait(60)
    life.close()
    life.attach_fails(GONE)
    assert life.ended.reason is EndReason.CALLER


@pytest.mark.parametrize("name", ["max_duration", "silence", "first_sound", "warning", "goodbye_time"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, "60"])
def test_a_limit_must_be_a_positive_number_of_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        CallLimits(**{name: value})


@pytest.mark.parametrize("name", ["warning", "goodbye_time"])
def test_a_time_that_is_no_limit_cannot_be_off(name: str) -> None:
    off: dict[str, Any] = {name: None}
    with pytest.raises(ConfigurationError, match=name):
        CallLimits(**off)


# --- money and tokens -------------------------------------------------------------------------------------------------


def spender(**limits: Any) -> Life:
    return Life(**(NO_LIMITS | limits)).live()


def spend(life: Life, cost: str | None = None, *, estimate: str | None = None, tokens: int = 0) -> list[Act]:
    """Say what was spent, and let what is due happen."""
    life.take(
        life.lifecycle.spent(
            life.now,
            cost=None if cost is None else Decimal(cost),
            estimate=None if estimate is None else Decimal(estimate),
            tokens=tokens,
        )
    )
    life.wait(0)
    return life.asked()


NEAR_COST, NEAR_TOKENS = LimitNear(LimitKind.COST, None), LimitNear(LimitKind.TOKENS, None)


def test_law_money_is_told_once_at_eighty_percent_and_ends_the_call_with_a_goodbye() -> None:
    life = spender(max_cost=1.0, goodbye="Bye.")
    assert spend(life, "0.79") == []
    assert spend(life, "0.80") == [NEAR_COST]
    assert spend(life, "0.99") == []
    assert spend(life, "1.00") == [SayGoodbye("Bye.")]
    assert spend(life, "1.20") == []
    life.take(life.lifecycle.goodbye_said())
    assert life.asked() == [HangUp()]
    life.take(life.lifecycle.hung_up(life.now))
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, LimitKind.COST)
    life.asked()
    assert spend(life, "5.00") == []


def test_law_money_is_estimated_meanwhile_and_checked_when_a_response_is_done() -> None:
    life = spender(max_cost=Decimal(1))
    assert spend(life, "0.1", estimate="0.79") == []
    assert spend(life, "0.1", estimate="5.00") == [NEAR_COST], "an estimate ends nothing"
    assert spend(life, "0.9", estimate="0.9") == []
    assert [type(act) for act in spend(life, "1.1", estimate="1.1")] == [SayGoodbye]


def test_law_money_that_nobody_can_count_changes_nothing_and_tokens_count_by_themselves() -> None:
    life = spender(max_cost=1.0, max_tokens=100)
    assert spend(life, None, estimate="9", tokens=79) == []
    assert spend(life, None, estimate="9", tokens=80) == [NEAR_TOKENS]
    assert [type(act) for act in spend(life, None, tokens=100)] == [SayGoodbye]
    life.take(life.lifecycle.goodbye_said())
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.limit is LimitKind.TOKENS


def test_money_and_tokens_are_each_told() -> None:
    life = spender(max_cost=1.0, max_tokens=100)
    assert spend(life, "0.8", tokens=80) == [NEAR_COST, NEAR_TOKENS]
    assert spend(life, "0.9", tokens=90) == []


def test_what_is_spent_without_a_limit_of_it_ends_nothing() -> None:
    life = spender()
    assert spend(life, "1000000", estimate="1000000", tokens=10**9) == []


def test_a_response_that_costs_it_all_at_once_ends_the_call_without_a_warning() -> None:
    life = spender(max_tokens=100)
    assert [type(act) for act in spend(life, tokens=500)] == [SayGoodbye]


def test_money_that_is_gone_during_a_goodbye_is_not_near() -> None:
    life = spender(silence=60.0, max_cost=1.0)
    life.wait(60)
    assert len(life.asked(SayGoodbye)) == 1
    assert spend(life, "1.1") == []
    life.take(life.lifecycle.goodbye_said())
    life.take(life.lifecycle.hung_up(life.now))
    assert life.ended.limit is LimitKind.SILENCE


def test_what_is_spent_after_the_end_is_not_told() -> None:
    life = spender(max_tokens=100)
    life.take(life.lifecycle.detached(life.now))
    life.asked()
    assert spend(life, tokens=85) == []


def test_money_that_is_gone_is_not_put_off_by_spending_more() -> None:
    life = spender(max_cost=1.0)
    life.take(life.lifecycle.spent(life.now, cost=Decimal(1), estimate=None, tokens=0))
    due = life.lifecycle.deadline
    assert due is not None
    life.take(life.lifecycle.spent(life.now + 1, cost=Decimal(2), estimate=None, tokens=0))
    assert life.lifecycle.deadline == due


def test_money_that_is_gone_while_the_sideband_is_down_ends_the_call_without_a_word() -> None:
    life = spender(max_cost=1.0)
    life.close()
    life.asked()
    assert spend(life, "1.0") == [HangUp()]


@given(steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.booleans(), st.booleans()), max_size=12))
@settings(deadline=None)
def test_law_money_is_told_once_and_ended_at_the_limit_and_not_before(
    steps: list[tuple[int, int, bool, bool]],
) -> None:
    """In cents of 100. A step is what a response has cost, what is estimated on top, and whether there is a price."""
    life = spender(max_cost=1.0, max_tokens=150)
    cents = tokens = nears = 0
    likely = False
    for more, estimated, priced, uttered in steps:
        cents += more
        tokens += more
        likely = likely or (priced and cents + estimated * uttered >= 80)
        acts = spend(
            life,
            str(Decimal(cents) / 100) if priced else None,
            estimate=str(Decimal(cents + estimated) / 100) if uttered else None,
            tokens=tokens,
        )
        nears += acts.count(NEAR_COST)
        assert acts.count(NEAR_TOKENS) <= (tokens >= 120)
        over = (priced and cents >= 100) or tokens >= 150
        assert [act for act in acts if not isinstance(act, LimitNear)] == (
            [SayGoodbye(CallLimits().goodbye or "")] * over
        )
        assert nears <= likely
        if over:
            return
    assert nears == likely


@pytest.mark.parametrize("name", ["max_cost", "max_tokens"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "1", Decimal("NaN"), Decimal("sNaN"), 10**400])
def test_what_may_be_spent_is_a_positive_number(name: str, value: Any) -> None:
    limits: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=name):
        CallLimits(**limits)


# --- every order ------------------------------------------------------------------------------------------------------

WARNING, GOODBYE_TIME = 5.0, 8.0
FAILURES = st.sampled_from([GONE, LOST, UNSENT, FAILED, BUSY, DENIED])


class Interleavings(RuleBasedStateMachine):
    """Server, network, program and clock in any order, with a driver that carries out what is asked for, some time."""

    @initialize(
        max_duration=st.sampled_from([None, 100.0]),
        silence=st.sampled_from([None, 30.0]),
        first_sound=st.sampled_from([None, 10.0]),
        max_tokens=st.sampled_from([None, 100]),
        goodbye=st.sampled_from([None, "Bye."]),
        owned=st.booleans(),
        live=st.booleans(),
        patient=st.booleans(),
        answers=st.booleans(),
        reachable=st.booleans(),
    )
    def begin(
        self,
        max_duration: float | None,
        silence: float | None,
        first_sound: float | None,
        max_tokens: int | None,
        goodbye: str | None,
        owned: bool,
        live: bool,
        patient: bool,
        answers: bool,
        reachable: bool,
    ) -> None:
        self.limits = CallLimits(
            max_duration=max_duration,
            silence=silence,
            first_sound=first_sound,
            max_tokens=max_tokens,
            goodbye=goodbye,
            warning=WARNING,
            goodbye_time=GOODBYE_TIME,
        )
        self.owned = owned
        self.lifecycle = Lifecycle(self.limits, now=NOW, unix=UNIX, owned=owned)
        self.now = NOW
        self.accepting = True
        self.raised = False
        self.attaching: Attach | None = None
        self.hanging_up = False
        self.hung_up = False  # at any time
        self.dropping = False
        self.open = False
        self.goodbye = False
        self.decided: EndReason | None = None
        self.reached: set[LimitKind] = set()  # when the first goodbye or hangup was asked for
        self.acted = False
        self.ended: CallEnded | None = None
        self.may_be: set[EndReason] = set()
        self.first_attached_at: float | None = None
        self.quiet_since = NOW
        self.unheard_since = NOW
        self.busy = False
        self.sounded = False
        self.tokens = 0
        self.near: list[LimitKind] = []
        self.wall: float | None = None
        self.patient = patient  # a program that leaves the end to others
        self.answers = answers  # a service that answers probes
        self.reachable = reachable  # and that can be attached to at last
        if live:
            self.accept_is_answered(None)
            self.attach_is_answered(None)

    # What is asked for

    def take(self, acts: list[Act]) -> None:
        for act in acts:
            assert self.ended is None, "nothing is asked for after the end"
            match act:
                case Attach(again):
                    assert self.attaching is None, "one at a time"
                    assert not self.open
                    assert not self.hung_up, "what is ending is not attached again"
                    assert again == (self.first_attached_at is not None)
                    self.attaching = act
                case HangUp():
                    assert not self.hanging_up, "one at a time"
                    self.hanging_up = self.hung_up = True
                    self.note_limits()
                case SayGoodbye():
                    assert self.open, "there is somebody to hear it"
                    assert not self.goodbye, "once"
                    self.goodbye = True
                    self.note_limits()
                case Probe():
                    assert self.open
                    if self.answers:
                        self.lifecycle.frame(self.now)
                case DropSocket():
                    assert self.open
                    self.dropping = True
                case LimitNear(limit, seconds):
                    if limit is LimitKind.TOKENS:
                        assert seconds is None
                        assert 80 <= self.tokens < 100
                    else:
                        assert seconds is not None
                        assert seconds <= (WARNING if limit is not LimitKind.EXPIRY else math.inf)
                    self.near.append(limit)
                case Finish(ended):
                    self.ended = ended

    def note_limits(self) -> None:
        if not self.acted:
            self.acted = True
            self.reached = self.limits_reached()

    def limits_reached(self) -> set[LimitKind]:
        """Say which limits are reached, as the documentation of `CallLimits` has it."""
        reached: set[LimitKind] = set()
        if self.first_attached_at is None:
            return reached
        limits = self.limits
        if limits.max_duration is not None and self.now - self.first_attached_at >= limits.max_duration:
            reached.add(LimitKind.DURATION)
        if self.wall is not None and self.wall - self.now <= GOODBYE_TIME + 5:
            reached.add(LimitKind.EXPIRY)
        if limits.max_tokens is not None and self.tokens >= limits.max_tokens:
            reached.add(LimitKind.TOKENS)
        if self.open and limits.silence is not None and not self.busy and self.now - self.quiet_since >= limits.silence:
            reached.add(LimitKind.SILENCE)
        unheard = self.now - self.unheard_since
        if self.open and limits.first_sound is not None and not self.sounded and unheard >= limits.first_sound:
            reached.add(LimitKind.FIRST_SOUND)
        return reached

    # What happens

    @property
    def on(self) -> bool:
        """Whether the call is ours and not over."""
        return self.ended is None and not self.raised

    @precondition(lambda self: self.on and self.accepting)
    @rule(error=st.none() | FAILURES | st.just(DECIDED))
    def accept_is_answered(self, error: RealtimeSipError | None) -> None:
        self.accepting = False
        if error is None:
            self.take(self.lifecycle.accepted())
            return
        if error is GONE:
            self.may_be.add(EndReason.CALLER)
        if error is DECIDED and not self.owned:
            self.may_be.add(EndReason.DECIDED_ELSEWHERE)
        acts = self.lifecycle.accept_failed(error, self.now)
        self.raised = acts is None
        assert not self.raised or error in (UNSENT, BUSY, DENIED)
        self.take(acts or [])

    @precondition(lambda self: not self.raised and self.attaching is not None)
    @rule(error=st.none() | st.none() | FAILURES)
    def attach_is_answered(self, error: RealtimeSipError | None) -> None:
        self.attaching = None
        if error is None:
            self.opened()
            return
        if error is not GONE:
            self.may_be.add(EndReason.CONNECTION_LOST)
        elif self.first_attached_at is None:
            self.may_be.add(EndReason.NOT_CONNECTED)
        else:
            self.may_be.add(EndReason.CALLER)
        self.take(self.lifecycle.attach_failed(error, self.now))

    def opened(self) -> None:
        self.open = True
        self.dropping = False
        self.quiet_since = self.unheard_since = self.now
        if self.first_attached_at is None:
            self.first_attached_at = self.now
        self.take(self.lifecycle.attached(self.now))

    @precondition(lambda self: not self.raised and self.open)
    @rule()
    def service_says_something(self) -> None:
        self.lifecycle.frame(self.now)

    @precondition(lambda self: not self.raised and self.open)
    @rule(seconds=st.sampled_from([0, 20, 60, 90, 600]) | st.integers())
    def service_tells_its_wall(self, seconds: int) -> None:
        unix = int(UNIX) + seconds
        if 0 < seconds < 86_400:
            self.wall = NOW + seconds
        self.lifecycle.expires_at(unix)
        self.pass_time(0)

    @precondition(lambda self: not self.raised and self.open)
    @rule(tokens=st.sampled_from([1, 40, 85]))
    def a_response_is_done(self, tokens: int) -> None:
        self.tokens += tokens
        self.take(self.lifecycle.spent(self.now, cost=None, estimate=None, tokens=self.tokens))
        self.pass_time(0)
        assert self.near.count(LimitKind.TOKENS) <= 1

    @precondition(lambda self: not self.raised and self.open)
    @rule(close=st.sampled_from([DROPPED] * 5 + [CLOSED] * 5 + [EXPIRED]))
    def socket_closes(self, close: Close) -> None:
        self.closed(close)

    @precondition(lambda self: not self.raised and self.open and self.dropping)
    @rule()
    def socket_is_dropped(self) -> None:
        self.closed(OURS)

    def closed(self, close: Close) -> None:
        self.open = self.dropping = False
        if close.kind is CloseKind.EXPIRED:
            self.may_be.add(EndReason.EXPIRED)
        if self.wall is not None and self.now >= self.wall:
            self.may_be.add(EndReason.EXPIRED)
        self.may_be.add(EndReason.CONNECTION_LOST)
        self.take(self.lifecycle.closed(close, self.now))

    @precondition(lambda self: not self.raised and self.hanging_up)
    @rule(error=st.none() | FAILURES)
    def hangup_is_answered(self, error: RealtimeSipError | None) -> None:
        self.hanging_up = False
        self.take(self.lifecycle.hung_up(self.now) if error is None else self.lifecycle.hangup_failed(error, self.now))
        assert error is not None or self.ended is not None

    @rule()
    def goodbye_was_said(self) -> None:
        self.take(self.lifecycle.goodbye_said())

    @precondition(lambda self: not self.patient)
    @rule(reason=st.sampled_from([EndReason.AGENT, EndReason.HANDLER_FAILED]))
    def program_ends_it(self, reason: EndReason) -> None:
        if not self.lifecycle.ending and self.ended is None:
            self.may_be.add(reason)
            self.decided = reason
        self.take(self.lifecycle.end(reason, "because"))
        assert self.lifecycle.ending or self.ended is not None

    @precondition(lambda self: not self.patient)
    @rule()
    def program_lets_go(self) -> None:
        if not self.lifecycle.ending:
            self.may_be.add(EndReason.DETACHED)
        self.take(self.lifecycle.detached(self.now))

    @rule(busy=st.booleans())
    def something_is_going_on(self, busy: bool) -> None:
        self.busy, self.quiet_since = busy, self.now
        self.lifecycle.activity(self.now, busy=busy)

    @rule()
    def somebody_is_heard(self) -> None:
        self.sounded = True
        self.lifecycle.sound()

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Tick at every deadline up to then."""
        end = self.now + seconds
        for _ in range(100):
            deadline = self.lifecycle.deadline
            if deadline is None or deadline > end or self.raised:
                break
            self.now = max(self.now, deadline)
            self.take(self.lifecycle.tick(self.now))
        else:
            raise AssertionError("ticks for ever")
        self.now = end

    # What holds

    @invariant()
    def the_end_is_told_once_and_by_everything(self) -> None:
        assert (self.lifecycle.ended is None) == (self.ended is None)
        assert self.lifecycle.live == (self.ended is None)
        if self.ended is not None:
            assert self.lifecycle.ended is self.ended
            assert self.lifecycle.deadline is None

    @invariant()
    def something_is_always_under_way(self) -> None:
        if self.on and not self.accepting:
            under_way = self.attaching is not None or self.hanging_up
            assert under_way or self.lifecycle.deadline is not None

    @invariant()
    def no_limit_is_passed_over(self) -> None:
        if self.on and self.limits_reached():
            assert self.acted or (self.lifecycle.deadline or 0) <= self.now

    @invariant()
    def the_script_explains_the_reason(self) -> None:
        if self.ended is None:
            return
        if self.ended.reason is EndReason.LIMIT:
            assert self.ended.limit in self.reached
        else:
            assert self.ended.reason in self.may_be
            assert self.ended.limit is None
        if self.decided is not None:
            assert self.ended.reason is self.decided

    def teardown(self) -> None:
        """From here on nobody ends it, and nothing but attaching succeeds, if that: it ends all the same, in time."""
        if not hasattr(self, "lifecycle"):
            return
        # Without limits, a service that answers is enough for a call to go on.
        self.answers = self.answers and self.limits.max_duration is not None
        end = self.now + 1200
        for _ in range(200):
            if not self.on:
                break
            if self.accepting:
                self.accept_is_answered(LOST)
            elif self.dropping:
                self.closed(OURS)
            elif self.attaching is not None:
                self.pass_time(5)
                if self.on and self.attaching is not None:
                    self.attach_is_answered(None if self.reachable else LOST)
            elif self.hanging_up:
                self.pass_time(5)
                if self.on and self.hanging_up:
                    self.hangup_is_answered(LOST)
            else:
                assert self.lifecycle.deadline is not None
                self.pass_time(max(self.lifecycle.deadline - self.now, 0))
            self.the_end_is_told_once_and_by_everything()
            self.something_is_always_under_way()
            self.the_script_explains_the_reason()
        assert not self.on, "every call ends"
        assert self.now <= end


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
