"""The life of a call: what follows from what happens, in scripts and in every order."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from door import DROPPED, NOTHING, SPOKEN, Door, Frame, collector, created, done, is_probe, key, playing, updated
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Accept, Attach, DropSocket, Effect, Finish, HangUp, Reject
from realtime_sip.call.machine.socket import QUIET
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.call.machine.wants import CREATED
from realtime_sip.errors import (
    AuthenticationError,
    BadRequestError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    DecisionAlreadyMadeError,
    NetworkError,
    NotFoundError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
    UnexpectedReplyError,
)
from realtime_sip.outcomes import CallEnded, EndReason, LimitKind, LimitNear, SidebandGap, SocketClose, SocketCloseKind

NOW, UNIX = 1000.0, 1_790_000_000.0
GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
DECIDED = DecisionAlreadyMadeError("decided", status_code=409, code="decision_already_made")
FAILED = ServerError("failed", status_code=500)
BUSY = RateLimitError("too many", status_code=429)
DENIED = AuthenticationError("no key", status_code=401)
LOST = NetworkError("no answer", sent=True)
UNSENT = NetworkError("no connection", sent=False)
CLOSED, OURS, EXPIRED, RESTARTS = (
    SocketClose(kind, code)
    for kind, code in (
        (SocketCloseKind.NORMAL, 1000),
        (SocketCloseKind.OURS, 1000),
        (SocketCloseKind.EXPIRED, 1000),
        (SocketCloseKind.GOING_AWAY, 1012),
    )
)
NO_LIMITS: dict[str, Any] = {
    "max_duration": None,
    "silence": None,
    "first_sound": None,
    "tool_rounds": None,
    "no_audio": None,
}


GOODBYE, PROBE = "goodbye", "probe"
"""What is said, or asked for, by what is sent."""


class Life(Door):
    """A call that rings, and what it has asked for since the last look."""

    def __init__(self, *, owned: bool = False, **limits: Any) -> None:
        self.acts: list[Any] = []
        super().__init__(limits=CallLimits(**limits), now=NOW, unix=UNIX, maybe_accepted=owned)
        self.step(inputs.Answer())
        self.asked()

    def take(self, out: list[Effect]) -> None:
        super().take(out)
        for effect in out:
            match effect:
                case effects.Send(events.ResponseCreate(event_id="goodbye_limit")):
                    self.acts.append(GOODBYE)
                case effects.Send() if is_probe(effect) and not self.alive:
                    self.acts.append(PROBE)
                case effects.Tell(LimitNear() as near):
                    self.acts.append(near)
                case Accept() | Reject() | Attach() | DropSocket() | HangUp() | Finish():
                    self.acts.append(effect)
                case _:
                    pass

    def asked(self, *kinds: type[Any] | str) -> list[Any]:
        """Return what was asked for since the last look, of these kinds or all."""
        acts, self.acts = self.acts, []
        return [act for act in acts if not kinds or act in kinds or type(act) in kinds]

    def up(self) -> Life:
        """Accept and attach, with a sign of life."""
        self.step(inputs.Accepted())
        self.attach()
        self.asked()
        return self

    def accept_fails(self, error: RealtimeSipError) -> None:
        self.step(inputs.AcceptFailed(error))

    def close(self, close: SocketClose = DROPPED) -> None:
        self.step(inputs.Closed(close))

    def end(self, reason: EndReason = EndReason.AGENT) -> None:
        self.step(inputs.Hangup() if reason is EndReason.AGENT else inputs.Fail("because"))

    def until_asked(self) -> None:
        """Let time pass until something is asked for."""
        while not self.acts:
            assert self.s.timers.next is not None
            self.wait(self.s.timers.next - self.now)

    def gone(self) -> None:
        """The call is gone: attaching says so whenever it is tried."""
        while self.s.ended is None and (self.attaching or "attach" in self.s.timers):
            if self.attaching:
                self.attach_fails(GONE)
            else:
                self.wait((self.s.timers.at("attach") or self.now) - self.now)

    def hung_up(self) -> None:
        """The service hangs up, and closes the socket."""
        self.step(inputs.HungUp())
        if self.s.socket is Socket.OPEN:
            self.close(CLOSED)

    def hangup_fails(self, error: RealtimeSipError) -> None:
        self.step(inputs.HangupFailed(error))

    def let_go(self) -> None:
        self.step(inputs.LetGo("let go"))

    def sound(self) -> None:
        """The caller presses a key."""
        self.receive(key())

    def something_begins(self) -> None:
        self.step(inputs.Collect("digits", collector(), None, barge_in=False, secret=False))

    def something_ends(self) -> None:
        self.step(inputs.Abandon("digits"))

    def goodbye_said(self) -> None:
        """The goodbye is made, and the caller cuts off the last of it."""
        self.receive(
            created("resp_bye", key="goodbye_limit"),
            playing("started", "resp_bye"),
            done("resp_bye", SPOKEN),
            playing("cleared", "resp_bye"),
        )

    def wall(self, unix: object) -> None:
        self.receive(updated(expires_at=unix))

    def gaps(self) -> list[SidebandGap]:
        return [tell.what for tell in self.all(effects.Tell) if isinstance(tell.what, SidebandGap)]

    @property
    def is_live(self) -> bool:
        return self.s.end is not End.OVER


# --- answering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LOST, FAILED, DeadlineError("late", sent=True)])
def test_law_an_unclear_accept_is_settled_by_attaching(error: RealtimeSipError) -> None:
    life = Life()
    life.accept_fails(error)
    assert life.asked() == [Attach()]
    life.attach()
    life.end()
    life.hung_up()
    assert life.ended.reason is EndReason.AGENT


def test_law_an_unclear_accept_is_settled_by_attaching__a_call_of_our_own_claim_that_was_decided_is_attached() -> None:
    life = Life(owned=True)
    life.accept_fails(DECIDED)
    assert life.asked() == [Attach()]


@pytest.mark.parametrize("early", [GONE, NotFoundError("no JSON", status_code=404)])
def test_law_an_unclear_accept_is_settled_by_attaching__without_a_call_it_is_accepted_again_then_rejected(
    early: RealtimeSipError,
) -> None:
    life = Life()
    life.accept_fails(LOST)
    asked = life.asked()
    while not isinstance(asked[-1], Reject):
        life.wait(0.3)
        if isinstance(asked[-1], Accept):
            life.accept_fails(FAILED)
        else:
            life.attach_fails(early)
        while not life.acts:
            life.wait(0.1)
        asked += life.asked()
        assert life.now < NOW + 10
    assert asked.count(Accept()) >= 2, "each has its time to be performed"
    assert asked.count(Attach()) > asked.count(Accept())
    assert 8.0 <= life.now - NOW < 10.0, "the phone does not ring on"
    life.step(inputs.Rejected())
    assert life.asked() == [Finish(life.ended)]
    assert (life.ended.reason, life.ended.certainty) == (EndReason.NOT_CONNECTED, "inferred")
    assert "unclear" in life.ended.evidence
    assert "rejected" in life.ended.evidence


def test_an_accept_that_is_performed_when_it_is_asked_again_is_attached() -> None:
    life = Life()
    life.accept_fails(LOST)
    life.wait(2)
    life.attach_fails(GONE)
    assert life.asked() == [Attach(), Accept()]
    life.step(inputs.Accepted())
    life.attach_fails(GONE)
    life.attach()
    assert life.asked() == [Attach(), Attach()]
    assert life.done("answer") == [None]


@pytest.mark.parametrize("error", [DENIED, BUSY, UNSENT, BadRequestError("no", status_code=400)])
def test_a_call_that_cannot_be_accepted_again_is_rejected_so_that_its_trunk_goes_on(error: RealtimeSipError) -> None:
    life = Life()
    life.accept_fails(LOST)
    life.wait(2)
    life.attach_fails(GONE)
    life.asked()
    life.accept_fails(error)
    assert life.asked() == [Reject()]
    life.step(inputs.Rejected(FAILED))
    assert life.ended.reason is EndReason.NOT_CONNECTED
    assert "ServerError" in life.ended.evidence


def test_a_second_accept_that_finds_the_call_decided_is_attached_for_the_first_was_performed() -> None:
    life = Life()
    life.accept_fails(LOST)
    life.wait(2)
    life.attach_fails(GONE)
    life.asked()
    life.accept_fails(DECIDED)
    assert life.asked() == [Attach()]


def test_a_program_that_hangs_up_while_the_call_is_being_rejected_has_hung_up() -> None:
    for error in (None, FAILED):
        life = Life(owned=True)
        life.accept_fails(DENIED)
        life.end()
        assert life.asked() == [Reject(), HangUp()]
        life.step(inputs.Rejected(error))
        if error is not None:
            life.hung_up()
        assert life.ended.reason is EndReason.AGENT


@pytest.mark.parametrize("error", [DECIDED, ServiceError("decided", status_code=409)])
def test_law_a_409_is_somebody_elses_call(error: RealtimeSipError) -> None:
    life = Life()
    life.accept_fails(error)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.DECIDED_ELSEWHERE, "reported")
    assert life.ended.attached_at is None
    assert life.asked() == [Finish(life.ended)], "no attach, and no hangup"


def test_a_caller_who_gives_up_while_it_rings_ends_the_call() -> None:
    life = Life()
    life.accept_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CALLER, "inferred")
    assert life.asked() == [Finish(life.ended)]


@pytest.mark.parametrize("error", [UNSENT, DENIED, BUSY, BadRequestError("no", status_code=400)])
def test_an_accept_that_was_certainly_refused_is_for_the_program_to_hear_of(error: RealtimeSipError) -> None:
    life = Life()
    life.accept_fails(error)
    assert life.done("answer") == [error]
    assert life.asked() == []
    assert life.s.ended is None
    life.wait(100)
    assert life.asked() == [], "no hangup follows a refused accept"


def test_law_an_early_404_is_tried_again_within_the_ringing_deadline() -> None:
    life = Life()
    life.step(inputs.Accepted())
    while life.now < NOW + 7.0:
        life.attach_fails(GONE)
        assert HangUp() not in life.acts
        while not life.attaching:
            life.wait(0.1)
    life.attach()
    assert life.done("answer") == [None]


def test_an_accept_that_was_not_what_it_said_is_reported_as_what_it_is_after_one_hangup() -> None:
    life = Life()
    life.step(inputs.Accepted())
    assert life.asked() == [Attach()]
    life.gone()
    assert life.asked(HangUp) == [HangUp()]
    life.hangup_fails(GONE)
    assert life.ended.reason is EndReason.NOT_CONNECTED
    assert "success" in life.ended.evidence
    assert life.ended.attached_at is None


def test_law_a_late_webhook_or_a_clock_that_is_off_lets_no_phone_ring_out() -> None:
    late = Life()
    late.step(inputs.Answer(age=290.0))
    assert late.asked(Accept) == [Accept(early=False)]
    late.step(inputs.Accepted())
    late.attach()
    assert late.s.end is End.NONE


@pytest.mark.parametrize("age", [-40.0, 0.0, 29.0])
def test_a_webhook_in_time_is_accepted_until_the_call_is_there(age: float) -> None:
    fresh = Life()
    fresh.step(inputs.Answer(age=age))
    assert fresh.asked(Accept) == [Accept(early=True)]


@pytest.mark.parametrize("error", [GONE, NotFoundError("no such call", status_code=404)], ids=["named", "bare"])
def test_a_late_accept_without_a_call_is_stale(error: NotFoundError) -> None:
    late = Life()
    late.step(inputs.Answer(age=31.0))
    late.step(inputs.AcceptFailed(error))
    assert (late.ended.reason, late.ended.certainty) == (EndReason.STALE, "inferred")
    assert late.asked(HangUp) == []


def test_a_stale_webhook_ends_without_asking_for_anything() -> None:
    stale = Life()
    stale.step(inputs.NoCaller())
    assert (stale.ended.reason, stale.ended.certainty) == (EndReason.STALE, "inferred")
    assert stale.asked() == [Finish(stale.ended)]


# --- the sideband -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "close",
    [
        DROPPED,
        CLOSED,
        OURS,
        SocketClose(SocketCloseKind.FAILED, 1011),
        SocketClose(SocketCloseKind.GOING_AWAY, 1012),
        SocketClose(SocketCloseKind.REFUSED, 4000),
    ],
)
def test_law_a_closed_socket_is_not_the_end__re_attach_decides(close: SocketClose) -> None:
    life = Life().up()
    life.alive = False
    life.close(close)
    assert life.asked() == [Attach()]
    life.attach()
    assert life.asked() == [PROBE]
    assert life.is_live
    life.close(close)
    life.gone()
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CALLER, "inferred")
    assert life.ended.close == close


def test_accepting_and_attaching_share_one_ringing_deadline() -> None:
    for seconds, tried in ((7.0, True), (9.0, False)):
        life = Life()
        life.step(inputs.Accepted())
        life.wait(seconds)
        life.attach_fails(UNSENT)
        life.asked()
        assert ("attach" in life.s.timers) is tried
        assert (life.s.end is End.ENDING) is not tried


def test_law_after_one_successful_attach_404_means_ended__at_once_after_a_close_in_good_order() -> None:
    life = Life().up()
    life.close(CLOSED)
    life.attach_fails(GONE)
    assert life.asked() == [Attach(), Finish(life.ended)]


@pytest.mark.parametrize(
    "close", [DROPPED, OURS, SocketClose(SocketCloseKind.GOING_AWAY, 1012), SocketClose(SocketCloseKind.FAILED, 1011)]
)
def test_law_after_one_successful_attach_404_means_ended__said_twice_half_a_second_apart_if_the_socket_broke(
    close: SocketClose,
) -> None:
    life = Life().up()
    life.close(close)
    life.attach_fails(GONE)
    life.wait(0.4)
    assert life.asked() == [Attach()]
    life.wait(0.2)
    assert life.asked() == [Attach()]
    life.attach_fails(GONE)
    assert life.asked() == [Finish(life.ended)], "that is proof, and needs no hangup"


def test_one_stray_404_on_attaching_again_ends_nothing() -> None:
    life = Life().up()
    life.close()
    life.attach_fails(GONE)
    life.attach()
    life.close()
    life.attach_fails(GONE)
    life.wait(0.5)
    life.attach_fails(FAILED)
    life.wait(0.5)
    life.attach_fails(GONE)
    assert life.is_live, "twice in a row"
    life.attach()


def test_law_the_end_has_a_reason_evidence_and_a_certainty() -> None:
    life = Life().up()
    life.wait(10)
    life.close(SocketClose(SocketCloseKind.FAILED, 1011, "internal"))
    life.wait(2)
    life.gone()
    assert life.ended == CallEnded(
        reason=EndReason.CALLER,
        certainty="inferred",
        evidence="the socket closed (failed (1011 internal)), and the call was gone when attaching again",
        started_at=UNIX,
        attached_at=UNIX,
        ended_at=UNIX + 12.5,
        close=SocketClose(SocketCloseKind.FAILED, 1011, "internal"),
    )


ODD = UnexpectedReplyError("a 200 in place of the 101", status_code=200)
EARLY = NotFoundError("no JSON", status_code=404)
CONFLICT = ServiceError("the old socket counts", status_code=409)


@pytest.mark.parametrize("error", [LOST, UNSENT, FAILED, BUSY, CONFLICT, ODD, EARLY])
def test_law_attaching_again_has_a_back_off__what_may_pass_is_tried_for_as_long_as_a_caller_bears(
    error: RealtimeSipError,
) -> None:
    life = Life(**NO_LIMITS).up()
    life.close()
    tried = [0.0]
    while life.asked() == [Attach()]:
        life.attach_fails(error)
        life.until_asked()
        tried.append(life.now - NOW)
    assert tried[:6] == [0.0, 0.25, 0.75, 1.75, 3.75, 5.75]
    assert 15.0 <= tried[-1] < 18.0
    assert life.s.end is End.ENDING
    life.hung_up()
    assert (life.ended.reason, life.ended.certainty) == (EndReason.CONNECTION_LOST, "reported")
    assert type(error).__name__ in life.ended.evidence


def test_attaching_is_not_tried_again_after_what_stays_so() -> None:
    life = Life()
    life.step(inputs.Accepted())
    life.attach_fails(DENIED)
    assert life.asked() == [Attach(), HangUp()]


def test_law_attaching_again_has_a_back_off__three_times_at_once_then_later() -> None:
    life = Life(**NO_LIMITS).up()
    waited = []
    for _ in range(7):
        before = life.now
        life.close(RESTARTS)
        life.attach()
        waited.append(life.now - before)
    assert waited == [0, 0, 0, 0.25, 0.5, 1, 2]


def test_law_attaching_again_has_a_back_off__a_service_that_restarts_for_three_seconds_keeps_the_call() -> None:
    life = Life(**NO_LIMITS).up()
    until = life.now + 3.0
    while life.now < until:
        life.close(RESTARTS)
        life.attach()
        life.wait(0.01)
    life.wait(100)
    assert life.is_live
    assert HangUp() not in life.asked()


def test_a_socket_that_flaps_is_given_up() -> None:
    life = Life(**NO_LIMITS).up()
    while life.s.end is End.NONE:
        life.attach() if life.s.socket is Socket.ATTACHING else life.close()
        life.wait(1)
        assert life.now < NOW + 20
    assert life.now >= NOW + 15
    assert life.asked(HangUp) == [HangUp()]
    life.hung_up()
    assert life.ended.reason is EndReason.CONNECTION_LOST


def test_a_socket_that_drops_now_and_then_is_not_given_up() -> None:
    life = Life(silence=None, first_sound=None).up()
    for _ in range(50):
        life.wait(20)
        life.close()
        life.attach()
    assert HangUp() not in life.asked()


def test_the_end_of_the_session_is_known_by_the_close() -> None:
    life = Life().up()
    life.close(EXPIRED)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.EXPIRED, "reported")
    assert life.asked() == [Finish(life.ended)]


def test_a_call_that_is_gone_past_the_wall_has_expired_as_far_as_anybody_can_tell() -> None:
    life = Life(max_duration=None).up()
    life.wall(int(UNIX) + 100)
    life.now += 100  # and the program was asleep
    life.close(CLOSED)
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.EXPIRED, "inferred")


def test_the_hole_is_known_once_the_sideband_is_back() -> None:
    life = Life().up()
    life.wait(5)
    life.close()
    life.wait(3)
    assert life.gaps() == []
    life.attach()
    assert life.gaps() == [SidebandGap(UNIX + 5, UNIX + 8, DROPPED)]


# --- proof of life ----------------------------------------------------------------------------------------------------


def test_an_attached_socket_is_proven_or_dropped() -> None:
    life = Life(**NO_LIMITS)
    life.alive = False
    life.step(inputs.Accepted())
    life.attach()
    assert life.asked() == [Attach(), PROBE]
    life.wait(10)
    assert life.asked() == [DropSocket()]
    life.close(OURS)
    assert life.asked() == [Attach()]


def test_a_silent_socket_is_probed_and_kept_where_it_answers() -> None:
    life = Life(**NO_LIMITS).up()
    life.alive = False
    life.wait(31)
    assert life.asked() == [PROBE]
    life.receive(NOTHING)
    life.wait(29)
    assert life.asked() == []


def test_a_silent_socket_is_probed_and_dropped_where_it_does_not() -> None:
    life = Life(**NO_LIMITS).up()
    life.alive = False
    life.wait(36)
    assert life.asked() == [PROBE, DropSocket()]


def test_a_socket_over_which_events_flow_is_not_dropped_for_its_probe() -> None:
    life = Life(**NO_LIMITS).up()
    life.alive = False
    life.close()
    life.attach()
    for _ in range(20):
        life.wait(4)
        life.receive(NOTHING)
    assert DropSocket() not in life.asked()


def test_what_arrived_while_the_loop_stood_still_is_read_before_what_fell_due() -> None:
    life = Life(**NO_LIMITS).up()
    life.alive = False
    life.wait(31)
    life.now += 12
    life.receive(NOTHING)
    life.tick()
    assert life.asked() == [PROBE]


def test_law_never_a_caller_with_a_dead_agent__a_service_that_attaches_and_says_nothing_is_given_up() -> None:
    life = Life(**NO_LIMITS)
    life.alive = False
    life.step(inputs.Accepted())
    for _ in range(20):
        if HangUp() in life.acts:
            break
        life.attach()
        life.wait(6)
        life.close(OURS)
    assert life.asked(HangUp) == [HangUp()]
    life.hung_up()
    assert life.ended.reason is EndReason.CONNECTION_LOST


# --- ending -----------------------------------------------------------------------------------------------------------


def test_law_never_a_caller_with_a_dead_agent__hanging_up_is_tried_until_it_succeeds() -> None:
    life = Life(**NO_LIMITS).up()
    life.end()
    assert life.asked() == [HangUp()]
    for error in (LOST, FAILED, BUSY, DENIED):
        life.hangup_fails(error)
        life.wait(60)
        assert life.asked(HangUp, Finish) == [HangUp()], "one at a time"
    life.hung_up()
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "reported")


def test_law_never_a_caller_with_a_dead_agent__hanging_up_is_given_up_after_a_bound_and_says_so() -> None:
    life = Life(**NO_LIMITS).up()
    life.end()
    tries = 0
    while life.s.ended is None:
        tries += len(life.asked(HangUp))
        assert tries <= 30
        life.hangup_fails(LOST)
        life.wait(30)
    assert tries > 5
    assert life.ended.certainty == "inferred"
    assert "may be up" in life.ended.evidence


def test_law_never_a_caller_with_a_dead_agent__a_call_that_is_over_needs_no_hanging_up() -> None:
    life = Life().up()
    life.end()
    life.hangup_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "inferred")
    assert "over" in life.ended.evidence


def test_a_second_decision_changes_nothing() -> None:
    life = Life().up()
    life.end()
    life.end(EndReason.HANDLER_FAILED)
    life.let_go()
    assert life.asked() == [HangUp()]
    life.hung_up()
    assert life.ended.reason is EndReason.AGENT
    life.end(EndReason.HANDLER_FAILED)
    assert life.asked() == [Finish(life.ended)]


def test_a_decided_end_stays_so_when_the_session_expires_first() -> None:
    life = Life().up()
    life.end()
    life.hangup_fails(LOST)
    life.close(EXPIRED)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "reported")
    assert "expired" in life.ended.evidence


def test_law_while_a_hang_up_is_retried_nobody_is_answered__a_lost_socket_is_attached_again_for_that() -> None:
    life = Life().up()
    life.close()
    life.end()
    life.attach_fails(LOST)
    assert life.asked() == [Attach(), HangUp()]
    life.wait(10)
    assert life.asked() == [Attach()], "and it hangs up once at a time"
    life.attach_fails(GONE)
    assert (life.ended.reason, life.ended.certainty) == (EndReason.AGENT, "inferred")


def test_attaching_that_was_due_when_the_end_was_decided_is_done_all_the_same() -> None:
    life = Life().up()
    life.close()
    life.attach_fails(GONE)
    life.end()
    life.wait(3)
    assert life.asked() == [Attach(), HangUp(), Attach()]


def test_a_socket_that_closes_because_we_hang_up_is_not_attached_again() -> None:
    life = Life().up()
    life.end()
    life.close(CLOSED)
    assert life.asked() == [HangUp()]


def test_an_accept_that_comes_back_after_the_end_was_decided_attaches_nothing() -> None:
    life = Life()
    life.end()
    life.asked()
    life.step(inputs.Accepted())
    life.accept_fails(LOST)
    assert life.asked() == []


def test_letting_go_ends_our_part_alone() -> None:
    life = Life().up()
    life.let_go()
    assert (life.ended.reason, life.ended.certainty) == (EndReason.DETACHED, "reported")
    assert life.asked() == [Finish(life.ended)]


def test_what_comes_late_does_not_bring_a_call_back() -> None:
    life = Life().up()
    life.let_go()
    ended = life.ended
    life.asked()
    life.step(inputs.Attached())
    life.step(inputs.Accepted())
    life.close()
    life.attach_fails(LOST)
    life.hangup_fails(LOST)
    life.hung_up()
    life.goodbye_said()
    life.sound()
    life.wait(10_000)
    assert life.asked() == []
    assert life.ended is ended
    assert not life.is_live


def test_a_hangup_that_nobody_asked_for_here_is_no_end() -> None:
    life = Life().up()
    life.step(inputs.HungUp())
    assert life.asked() == []
    assert life.is_live


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
    life = Life(goodbye=None, **limits).up()
    life.wait(seconds - 1)
    assert life.asked(HangUp) == []
    life.wait(1)
    assert life.asked(HangUp) == [HangUp()]
    life.hung_up()
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, kind)
    assert kind.value in life.ended.evidence


def test_law_silence_counts_from_the_latest_of_what_is_heard() -> None:
    life = Life(first_sound=None).up()
    for _ in range(5):
        life.wait(59)
        life.sound()
    assert life.asked(GOODBYE, HangUp) == []
    life.wait(60)
    assert life.asked(GOODBYE) != []


def test_law_silence_rests_while_something_is_going_on() -> None:
    life = Life(first_sound=None).up()
    life.something_begins()
    life.wait(599)
    assert life.asked(GOODBYE, LimitNear) == []
    life.something_ends()
    life.wait(59)
    assert life.asked(GOODBYE) == []
    life.wait(1)
    assert life.asked(GOODBYE) != []


def test_a_first_sound_lifts_its_limit_for_good() -> None:
    life = Life(silence=None).up()
    life.wait(19)
    life.sound()
    life.close()
    life.attach()
    life.wait(600)
    assert life.asked(GOODBYE, HangUp) == []


def test_law_limits_know_what_they_cannot_know__silence_and_first_sound_rest_while_the_sideband_is_down() -> None:
    life = Life().up()
    life.wait(19)
    life.close()
    life.wait(120)
    assert life.asked(GOODBYE, HangUp) == []
    life.attach()
    life.wait(19)
    assert life.asked(GOODBYE, HangUp) == [], "somebody may have spoken meanwhile"
    life.wait(1)
    assert life.asked(HangUp) == [HangUp()]


def test_the_longest_duration_counts_while_the_sideband_is_down() -> None:
    life = Life(max_duration=100).up()
    life.close()
    life.wait(100)
    assert life.asked(HangUp) == [HangUp()], "nobody could hear a goodbye"


def test_limits_that_are_off_never_end_a_call() -> None:
    life = Life(**NO_LIMITS).up()
    life.wait(100_000)
    assert life.asked() == []


def test_a_limit_is_told_before_once_for_each_approach() -> None:
    life = Life(max_duration=None, first_sound=None).up()
    life.wait(46)
    assert life.asked() == [LimitNear(LimitKind.SILENCE, 15)]
    life.sound()
    life.wait(44)
    assert life.asked() == []
    life.wait(15)
    assert life.asked() == [LimitNear(LimitKind.SILENCE, 15)]


def test_a_first_sound_that_is_waited_for_anew_is_told_anew() -> None:
    life = Life(silence=None, max_duration=None).up()
    life.wait(6)
    assert life.asked() == [LimitNear(LimitKind.FIRST_SOUND, 15)]
    life.close()
    life.attach()
    life.asked()
    life.wait(6)
    assert life.asked() == [LimitNear(LimitKind.FIRST_SOUND, 15)]


def test_the_wall_is_told_before_and_leaves_time_for_a_goodbye() -> None:
    life = Life(**NO_LIMITS).up()
    life.wall(int(UNIX) + 3600)
    life.wall(int(UNIX) + 3600)
    life.wait(3570)
    assert [near.limit for near in life.asked() if isinstance(near, LimitNear)] == [LimitKind.EXPIRY]
    life.wait(15)
    assert len(life.asked(GOODBYE)) == 1
    life.wait(14.9)
    assert life.asked(HangUp) == [HangUp()], "before the wall"
    life.hung_up()
    assert life.ended.limit is LimitKind.EXPIRY


def test_a_wall_that_moves_is_told_anew() -> None:
    life = Life(**NO_LIMITS).up()
    life.wall(int(UNIX) + 100)
    life.wait(70)
    life.wall(int(UNIX) + 200)
    life.wait(96)
    assert [type(act) for act in life.asked()] == [LimitNear, LimitNear]


@pytest.mark.parametrize("unix", [0, -1, UNIX - 1, UNIX * 1000, 10**400, math.inf, math.nan])
def test_a_wall_that_cannot_be_true_is_ignored(unix: float) -> None:
    life = Life(**NO_LIMITS).up()
    life.wall(unix)
    life.wait(100_000)
    assert life.asked() == []


def test_a_limit_says_goodbye_then_hangs_up() -> None:
    life = Life(first_sound=None, goodbye="Say goodbye.").up()
    life.wait(60)
    assert life.asked(GOODBYE, HangUp) == [GOODBYE]
    life.wait(2)
    life.goodbye_said()
    life.goodbye_said()
    assert life.asked() == [HangUp()]
    life.hung_up()
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, LimitKind.SILENCE)


def test_a_goodbye_is_bounded_and_not_put_off_by_anything() -> None:
    life = Life(first_sound=None).up()
    life.wait(60)
    life.asked()
    life.something_begins()
    life.wall(int(UNIX) + 3600)
    life.close()
    life.attach()
    life.asked()
    life.wait(15)
    assert life.asked(GOODBYE, HangUp) == [GOODBYE, HangUp()], "nobody knows whether it was granted"


def test_a_program_that_hangs_up_during_the_goodbye_does_so() -> None:
    life = Life(first_sound=None).up()
    life.wait(60)
    life.end()
    life.goodbye_said()
    assert life.asked(HangUp) == [HangUp()]
    life.hung_up()
    assert (life.ended.reason, life.ended.limit) == (EndReason.AGENT, None)


def test_a_caller_who_leaves_during_the_goodbye_has_left() -> None:
    life = Life(first_sound=None).up()
    life.wait(60)
    life.close()
    life.gone()
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
    return Life(**(NO_LIMITS | limits)).up()


def spend(life: Life, cost: str | None = None, *, estimate: str | None = None, tokens: int = 0) -> list[Any]:
    """Say what was spent, and let what is due happen."""
    priced = None if cost is None else Decimal(cost)
    life.step(inputs.Spent(priced, None if estimate is None else Decimal(estimate), tokens))
    life.wait(0)
    return life.asked()


NEAR_COST, NEAR_TOKENS = LimitNear(LimitKind.COST, None), LimitNear(LimitKind.TOKENS, None)


def test_law_money_is_told_once_at_eighty_percent_and_ends_the_call_with_a_goodbye() -> None:
    life = spender(max_cost=1.0, goodbye="Bye.")
    assert spend(life, "0.79") == []
    assert spend(life, "0.80") == [NEAR_COST]
    assert spend(life, "0.99") == []
    assert spend(life, "1.00") == [GOODBYE]
    assert spend(life, "1.20") == []
    life.goodbye_said()
    assert life.asked() == [HangUp()]
    life.hung_up()
    assert (life.ended.reason, life.ended.limit) == (EndReason.LIMIT, LimitKind.COST)
    life.asked()
    assert spend(life, "5.00") == []


def test_law_money_is_estimated_meanwhile_and_checked_when_a_response_is_done() -> None:
    life = spender(max_cost=Decimal(1))
    assert spend(life, "0.1", estimate="0.79") == []
    assert spend(life, "0.1", estimate="5.00") == [NEAR_COST], "an estimate ends nothing"
    assert spend(life, "0.9", estimate="0.9") == []
    assert spend(life, "1.1", estimate="1.1") == [GOODBYE]


def test_law_money_that_nobody_can_count_changes_nothing_and_tokens_count_by_themselves() -> None:
    life = spender(max_cost=1.0, max_tokens=100)
    assert spend(life, None, estimate="9", tokens=79) == []
    assert spend(life, None, estimate="9", tokens=80) == [NEAR_TOKENS]
    assert spend(life, None, tokens=100) == [GOODBYE]
    life.goodbye_said()
    life.hung_up()
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
    assert spend(life, tokens=500) == [GOODBYE]


def test_money_that_is_gone_during_a_goodbye_is_not_near() -> None:
    life = spender(silence=60.0, max_cost=1.0)
    life.wait(60)
    assert len(life.asked(GOODBYE)) == 1
    assert spend(life, "1.1") == []
    life.goodbye_said()
    life.hung_up()
    assert life.ended.limit is LimitKind.SILENCE


def test_what_is_spent_after_the_end_is_not_told() -> None:
    life = spender(max_tokens=100)
    life.let_go()
    life.asked()
    assert spend(life, tokens=85) == []


def test_money_that_is_gone_is_not_put_off_by_spending_more() -> None:
    life = spender(max_cost=1.0)
    life.step(inputs.Spent(Decimal(1), None, 0))
    due = life.s.timers.next
    assert due is not None
    life.now += 1
    life.step(inputs.Spent(Decimal(2), None, 0))
    assert life.s.timers.next == due


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
        assert [act for act in acts if not isinstance(act, LimitNear)] == ([GOODBYE] * over)
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

WARNING, GOODBYE_TIME, ROUNDING = 5.0, 8.0, 1e-6
FAILURES = st.sampled_from([GONE, LOST, UNSENT, FAILED, BUSY, DENIED])


class Interleavings(RuleBasedStateMachine):
    """Service, network, program and clock in any order, with a shell that carries out what is asked for, some time."""

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
        self.life = Life(owned=owned, **{name: getattr(self.limits, name) for name in CallLimits.__dataclass_fields__})
        self.life.alive = answers
        self.unclear = owned  # an accept of ours may have arrived
        self.accepted = False
        self.accepting = True
        self.rejecting = False
        self.hanging_up = False
        self.hung_up = False  # at any time
        self.dropping = False
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
        self.reachable = reachable  # the service can be attached to at last
        if live:
            self.accept_is_answered(None)
            self.attach_is_answered(None)

    # What is asked for

    @property
    def now(self) -> float:
        return self.life.now

    @property
    def open(self) -> bool:
        return self.life.s.socket is Socket.OPEN

    @property
    def raised(self) -> bool:
        """Whether the program was told that its accept was refused."""
        return self.life.s.end is End.OVER and self.life.s.ended is None

    @property
    def on(self) -> bool:
        """Whether the call is ours and not over."""
        return self.life.s.end is not End.OVER

    @property
    def due(self) -> float | None:
        return self.life.s.timers.next

    def step(self, what: inputs.Input) -> None:
        self.life.step(what)
        self.look()

    def receive(self, *frames: Frame) -> None:
        for frame in frames:
            self.life.receive(frame)
            self.look()

    def look(self) -> None:
        for act in self.life.asked():
            assert self.ended is None, "nothing is asked for after the end"
            match act:
                case Accept():
                    assert not self.accepting, "one at a time"
                    assert not self.accepted, "what was accepted is not accepted again"
                    assert self.unclear
                    assert not self.hung_up
                    self.accepting = True
                case Reject():
                    assert not self.rejecting, "one at a time"
                    assert not self.accepting
                    assert not self.accepted
                    self.rejecting = True
                case Attach():
                    assert not self.open
                case HangUp():
                    assert not self.hanging_up, "one at a time"
                    self.hanging_up = self.hung_up = True
                    self.note_limits()
                case "goodbye":
                    assert self.open, "there is somebody to hear it"
                    assert not self.goodbye, "once on each sideband"
                    self.goodbye = True
                    self.note_limits()
                case "probe":
                    assert self.open
                case DropSocket():
                    assert self.open or not self.on
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
        if "limit" in self.life.s.sequences:
            self.note_limits()
        if self.life.s.digits.collector is None and self.busy:
            self.busy, self.quiet_since = False, max(self.quiet_since, self.now)

    def note_limits(self) -> None:
        if not self.acted:
            self.acted = True
            self.reached = self.limits_reached()

    def limits_reached(self) -> set[LimitKind]:
        """Say which limits are reached, as the documentation of `CallLimits` has it."""
        reached: set[LimitKind] = set()
        if self.first_attached_at is None:
            return reached
        limits, now = self.limits, self.now + ROUNDING
        if limits.max_duration is not None and now - self.first_attached_at >= limits.max_duration:
            reached.add(LimitKind.DURATION)
        if self.wall is not None and self.wall - now <= GOODBYE_TIME + 5:
            reached.add(LimitKind.EXPIRY)
        if limits.max_tokens is not None and self.tokens >= limits.max_tokens:
            reached.add(LimitKind.TOKENS)
        if self.open and limits.silence is not None and not self.busy and now - self.quiet_since >= limits.silence:
            reached.add(LimitKind.SILENCE)
        unheard = now - self.unheard_since
        if self.open and limits.first_sound is not None and not self.sounded and unheard >= limits.first_sound:
            reached.add(LimitKind.FIRST_SOUND)
        return reached

    # What happens

    @precondition(lambda self: self.on and self.accepting)
    @rule(error=st.none() | FAILURES | st.just(DECIDED))
    def accept_is_answered(self, error: RealtimeSipError | None) -> None:
        self.accepting = False
        if error is None:
            self.accepted = True
            self.step(inputs.Accepted())
            return
        ringing = self.life.s.end is End.NONE
        if error is GONE and not self.unclear:
            self.may_be.add(EndReason.CALLER)
        if error is DECIDED and not self.unclear:
            self.may_be.add(EndReason.DECIDED_ELSEWHERE)
        self.step(inputs.AcceptFailed(error))
        if ringing:
            assert self.raised is (not self.unclear and error in (UNSENT, BUSY, DENIED))
            self.unclear = self.unclear or error in (LOST, FAILED)
            assert self.life.attaching is (self.on and error in (LOST, FAILED, DECIDED, GONE))
            assert self.rejecting is (self.on and error in (UNSENT, BUSY, DENIED))

    @precondition(lambda self: self.on and self.rejecting)
    @rule(error=st.none() | FAILURES)
    def reject_is_answered(self, error: RealtimeSipError | None) -> None:
        self.rejecting = False
        self.may_be.add(EndReason.NOT_CONNECTED)
        self.step(inputs.Rejected(error))
        assert self.ended is not None or self.hanging_up

    @precondition(lambda self: self.on and self.life.attaching)
    @rule(error=st.none() | st.none() | FAILURES)
    def attach_is_answered(self, error: RealtimeSipError | None) -> None:
        if error is None:
            self.opened()
            return
        if error is not GONE:
            self.may_be.add(EndReason.CONNECTION_LOST)
        elif self.first_attached_at is None:
            self.may_be.add(EndReason.NOT_CONNECTED)
        else:
            self.may_be.add(EndReason.CALLER)
        self.life.attach_fails(error)
        self.look()

    def opened(self) -> None:
        self.dropping = self.goodbye = False
        self.quiet_since = self.unheard_since = self.now
        if self.first_attached_at is None:
            self.first_attached_at = self.now
        else:
            self.quiet_since += 2.0  # a response may be active
        self.life.attach()
        if "hole" in self.life.s.sequences:
            self.quiet_since = self.now + QUIET + CREATED  # then the model is asked to go on, and may not answer
        self.look()

    @precondition(lambda self: self.on and self.open)
    @rule()
    def service_says_something(self) -> None:
        self.receive(NOTHING)

    @precondition(lambda self: self.on and self.open)
    @rule(seconds=st.sampled_from([0, 20, 60, 90, 600]) | st.integers())
    def service_tells_its_wall(self, seconds: int) -> None:
        if 0 < seconds < 86_400:
            self.wall = NOW + seconds
        self.receive(updated(expires_at=int(UNIX) + seconds))
        self.pass_time(0)

    @precondition(lambda self: self.on and self.open)
    @rule(tokens=st.sampled_from([1, 40, 85]))
    def a_response_is_done(self, tokens: int) -> None:
        self.tokens += tokens
        self.step(inputs.Spent(None, None, self.tokens))
        self.pass_time(0)
        assert self.near.count(LimitKind.TOKENS) <= 1

    @precondition(lambda self: self.on and self.open)
    @rule(close=st.sampled_from([DROPPED] * 5 + [CLOSED] * 5 + [EXPIRED]))
    def socket_closes(self, close: SocketClose) -> None:
        self.closed(close)

    @precondition(lambda self: self.on and self.dropping)
    @rule()
    def socket_is_dropped(self) -> None:
        self.closed(OURS)

    def closed(self, close: SocketClose) -> None:
        self.dropping = False
        if close.kind is SocketCloseKind.EXPIRED:
            self.may_be.add(EndReason.EXPIRED)
        if self.wall is not None and self.now >= self.wall:
            self.may_be.add(EndReason.EXPIRED)
        self.may_be.add(EndReason.CONNECTION_LOST)
        self.step(inputs.Closed(close))

    @precondition(lambda self: self.on and self.hanging_up)
    @rule(error=st.none() | FAILURES)
    def hangup_is_answered(self, error: RealtimeSipError | None) -> None:
        self.hanging_up = False
        self.step(inputs.HungUp() if error is None else inputs.HangupFailed(error))
        if error is None:
            self.pass_time(1)
            assert self.ended is not None

    @precondition(lambda self: self.goodbye)
    @rule()
    def goodbye_was_said(self) -> None:
        self.sounded = True
        self.life.goodbye_said()
        self.look()

    @precondition(lambda self: not self.patient)
    @rule(reason=st.sampled_from([EndReason.AGENT, EndReason.HANDLER_FAILED]))
    def program_ends_it(self, reason: EndReason) -> None:
        if self.life.s.end is End.NONE:
            self.may_be.add(reason)
            self.decided = reason
        self.life.end(reason)
        self.look()
        assert self.life.s.end in (End.ENDING, End.OVER)

    @precondition(lambda self: not self.patient)
    @rule()
    def program_lets_go(self) -> None:
        if self.life.s.end is End.NONE:
            self.may_be.add(EndReason.DETACHED)
        self.life.let_go()
        self.look()

    @precondition(lambda self: not self.busy)
    @rule()
    def something_begins(self) -> None:
        self.life.something_begins()
        self.busy = self.life.s.digits.collector is not None
        self.look()

    @precondition(lambda self: self.busy)
    @rule()
    def something_ends(self) -> None:
        self.life.something_ends()
        self.look()

    @precondition(lambda self: self.on and self.open)
    @rule()
    def somebody_is_heard(self) -> None:
        self.sounded = True
        self.quiet_since = max(self.quiet_since, self.now)
        self.life.sound()
        self.look()

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Tick whenever something is due up to then."""
        end = self.now + seconds
        for _ in range(200):
            if self.due is None or self.due > end or self.raised:
                break
            self.life.now = max(self.now, self.due)
            self.life.tick()
            self.look()
        else:
            raise AssertionError("ticks for ever")
        self.life.now = end

    # What holds

    @invariant()
    def the_end_is_told_once_and_by_everything(self) -> None:
        assert self.life.s.ended is self.ended
        if not self.on:
            assert self.due is None

    @invariant()
    def something_is_always_under_way(self) -> None:
        if self.on:
            under_way = self.accepting or self.rejecting or self.life.attaching or self.dropping or self.hanging_up
            assert under_way or self.due is not None

    @invariant()
    def no_limit_is_passed_over(self) -> None:
        if self.on and self.limits_reached():
            assert self.acted or (self.due or 0) <= self.now + ROUNDING

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

    @invariant()
    def who_is_let_go_or_decided_elsewhere_is_not_hung_up(self) -> None:
        if self.raised or (self.ended is not None and self.ended.reason is EndReason.DECIDED_ELSEWHERE):
            assert not self.hung_up

    def teardown(self) -> None:
        """From here on nobody ends it, and nothing but attaching succeeds, if that: it ends all the same, in time."""
        if not hasattr(self, "life"):
            return
        # Without limits, a service that answers is enough for a call to go on.
        self.life.alive = self.life.alive and self.limits.max_duration is not None
        end = self.now + 1200
        for _ in range(600):
            if not self.on:
                break
            if self.accepting:
                self.accept_is_answered(LOST)
            elif self.rejecting:
                self.reject_is_answered(LOST)
            elif self.dropping:
                self.closed(OURS)
            elif self.life.attaching:
                self.pass_time(5)
                if self.on and self.life.attaching:
                    self.attach_is_answered(None if self.reachable else LOST)
            elif self.hanging_up:
                self.pass_time(5)
                if self.on and self.hanging_up:
                    self.hangup_is_answered(LOST)
            else:
                assert self.due is not None
                self.pass_time(max(self.due - self.now, 0))
            self.the_end_is_told_once_and_by_everything()
            self.something_is_always_under_way()
            self.the_script_explains_the_reason()
        assert not self.on, "every call ends"
        assert self.now <= end


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
