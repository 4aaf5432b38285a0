"""A transfer in every order of what the service, the network, the carrier, the program and the clock may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from door import DROPPED, NOTHING, SPOKEN, created, done, key, playing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from test_transfer import Line

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs, wants
from realtime_sip.call.machine.effects import Attach, DropSocket, Effect, Fallback, Finish, HangUp, Refer
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.errors import (
    BadRequestError,
    CallGoneError,
    NetworkError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
)
from realtime_sip.outcomes import (
    CallEnded,
    EndReason,
    SocketClose,
    SocketCloseKind,
    TransferFailed,
    TransferFailureReason,
    TransferProgress,
)

RING = 35.0
WAIT = RING + 10.0
TARGET = TransferTarget("tel:+14155550123", ring_time=RING)
GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
REFUSED = BadRequestError("no", status_code=400)
FAILED = ServerError("failed", status_code=500)
TIMED_OUT = ServiceError("timeout", status_code=408)
LOST = NetworkError("no answer", sent=True)
UNSENT = NetworkError("no connection", sent=False)
BUSY = RateLimitError("too many", status_code=429)
EXPIRED, OURS = (
    SocketClose(SocketCloseKind.EXPIRED, 1000),
    SocketClose(SocketCloseKind.OURS, 1000),
)
CLEAR, UNCLEAR = [REFUSED, BUSY, UNSENT], [FAILED, LOST, TIMED_OUT]
DIALLED = {TransferProgress.ASKED, TransferProgress.LEFT, TransferProgress.ANSWERED}


@dataclass(eq=False)
class Attempt:
    """A transfer as the world sees it: what was asked for, and what became of it."""

    request: TransferRequest
    said: str  # the response that is heard when it is wanted
    unless_interrupted: bool
    refer: Literal["unsent", "asked", "answered"] = "unsent"
    fallback: Literal["unsent", "asked", "answered"] = "unsent"
    asked_at: float = 0.0
    second_asked_at: float = 0.0
    referred_on: bool = False  # whether the refer has reached the carrier
    rings_until: float | None = None
    told: set[TransferProgress] = field(default_factory=set)  # since it was asked for
    answered_at: float | None = None  # as far as was told
    succeeded: bool = False  # the refer was answered with success, or the fallback taken
    due: float = 0.0
    decided: EndReason | None = None  # what is to follow if it fails
    over: TransferFailed | None = None
    overstayed: bool = False
    abandoned: bool = False  # the carrier has told that the caller is gone, before anybody was known to have answered


class Talking(Line):
    """The model says at once what it is asked to say to the caller whose transfer has failed."""

    def __init__(self, **limits: Any) -> None:
        self.answers: list[str] = []
        super().__init__(**limits)

    def take(self, out: list[Effect]) -> None:
        super().take(out)
        for effect in out:
            if isinstance(effect, effects.Send) and isinstance(effect.event, events.ResponseCreate) and self.alive:
                asked = str(effect.event.event_id)
                if asked.startswith("answer_"):
                    self.answers.append(asked)

    def answer(self) -> None:
        while self.answers and self.s.socket is Socket.OPEN:
            asked = self.answers.pop()
            self.receive(created(f"resp_{asked}_{self.s.line.frames}", key=asked))
            self.receive(done(self.s.active))


class Handovers(RuleBasedStateMachine):
    """A call that is transferred, with a service and a network that do what is possible, and a carrier that may lie.

    The caller's leg leaves by the transfer, or because the caller or we hang up. The socket closes with it or stays
    open, silent. The service answers probes where the leg is there, and also then not always. The carrier tells
    anything at any time.
    """

    @initialize(
        fallback=st.booleans(),
        closes=st.booleans(),
        answers=st.booleans(),
        so_far=st.sampled_from(["nothing", "wanted", "begun", "begun"]),
        limits=st.sampled_from(
            [
                {},
                {"max_duration": 60.0, "goodbye": "Bye."},
                {"silence": 20.0, "goodbye": "Bye."},
                {"silence": 20.0, "first_sound": 10.0, "max_tokens": 100, "goodbye": None},
            ]
        ),
    )
    def begin(self, fallback: bool, closes: bool, answers: bool, so_far: str, limits: dict[str, Any]) -> None:
        self.only_silence = set(limits) == {"silence", "goodbye"}
        self.has_second_path = fallback
        self.closes = closes  # with the leg, the socket too
        self.answers = answers  # at last, what was asked for
        self.attempts: list[Attempt] = []
        self.leg = True
        self.transferred = False  # that is how it left
        self.healthy = True  # the service speaks over the socket
        self.dropping = self.hanging_up = False
        self.goodbye = False
        self.let_go = False
        self.telling_of_the_caller = False
        self.decided: EndReason | None = None
        self.ended: CallEnded | None = None
        self.tokens = 0
        self.line = Talking(**limits)
        self.quiet_since = self.now
        if so_far != "nothing":
            self.transfer_is_wanted(unless_interrupted=False)
        if so_far == "begun":
            self.what_was_being_said_was_heard()

    @property
    def now(self) -> float:
        return self.line.now

    @property
    def open(self) -> bool:
        return self.line.s.socket is Socket.OPEN

    @property
    def attaching(self) -> bool:
        return self.on and self.line.attaching

    @property
    def ending(self) -> bool:
        return self.line.s.end is End.ENDING

    @property
    def due(self) -> float | None:
        return self.line.s.timers.next

    @property
    def on(self) -> bool:
        return self.ended is None

    @property
    def talks(self) -> bool:
        """Whether the service can say something of this call."""
        return self.on and self.open and self.leg and self.healthy

    @property
    def attempt(self) -> Attempt | None:
        """The transfer that is wanted or under way."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.over is None and not last.overstayed and self.on else None

    @property
    def unanswered(self) -> list[Attempt]:
        return [one for one in self.attempts if "asked" in (one.refer, one.fallback)]

    # What is asked for

    def step(self, what: inputs.Input) -> None:
        self.line.alive = self.leg and self.healthy
        self.line.step(what)
        self.look()
        self.line.answer()
        self.look()

    def receive(self, *frames: dict[str, Any]) -> None:
        for frame in frames:
            self.line.receive(frame)
            self.look()

    def look(self) -> None:
        attempt, acts = self.attempt, self.line.asked()
        for at, act in enumerate(acts):
            assert self.ended is None, "nothing is asked for after the end"
            match act:
                case Refer(request):
                    assert attempt is not None
                    assert request is attempt.request
                    assert attempt.refer == "unsent", "at most one"
                    attempt.refer, attempt.asked_at, attempt.due = "asked", self.now, self.now + WAIT
                case Fallback(request):
                    assert attempt is not None
                    assert request is attempt.request
                    assert attempt.fallback == "unsent", "at most one"
                    assert self.has_second_path
                    assert not attempt.told & DIALLED, "the carrier has taken the refer"
                    assert attempt.rings_until is None, "the target rings"
                    assert not self.transferred, "the caller is there already"
                    attempt.fallback, attempt.second_asked_at, attempt.due = "asked", self.now, self.now + WAIT
                case TransferFailed(_, failure):
                    assert attempt is not None
                    assert attempt.over is None, "once"
                    attempt.over = act
                    self.quiet_since = self.now
                    if failure is TransferFailureReason.NO_SIGN:
                        assert self.now >= attempt.due
                        assert not attempt.told & DIALLED
                    self.decided = attempt.decided
                    if attempt.decided:
                        assert acts[at + 1 :] == [HangUp()]
                case HangUp():
                    assert not self.hanging_up, "one at a time"
                    self.hanging_up = True
                    if self.attempt is not None and self.telling_of_the_caller:
                        answered = self.attempt.answered_at is not None
                        self.attempt.abandoned = not answered and self.attempt.refer != "unsent"
                        self.decided = EndReason.TRANSFERRED if answered else EndReason.CALLER
                        self.attempt.overstayed = True
                    elif self.attempt is not None:
                        answered_at = self.attempt.answered_at
                        assert answered_at is not None, "a transfer is under way"
                        assert self.now >= answered_at + 10.0, "the leg may still leave"
                        self.attempt.overstayed = True
                        self.decided = EndReason.TRANSFERRED
                case "goodbye":
                    assert self.attempt is None, "a transfer is under way"
                    if self.only_silence and not self.goodbye:
                        assert self.now >= self.quiet_since + 20.0
                    self.goodbye = True
                case Attach():
                    assert not self.open
                case DropSocket():
                    assert self.open or not self.line.is_live
                    self.dropping = True
                case Finish(ended):
                    self.finish(ended)
        if self.attempt is not None and self.line.s.decided is not None and self.attempt.decided is None:
            self.attempt.decided = self.line.s.decided.reason
            assert self.attempt.decided in (EndReason.LIMIT, EndReason.CONNECTION_LOST), "by itself"

    def finish(self, ended: CallEnded) -> None:
        attempt = self.attempts[-1] if self.attempts else None
        attempt = None if attempt is None or attempt.over is not None else attempt
        answered = attempt is not None and attempt.answered_at is not None
        self.ended = ended
        if ended.reason is EndReason.TRANSFERRED:
            assert attempt is not None
            assert (ended.certainty == "reported") is answered
            assert attempt.told or attempt.succeeded or attempt.fallback == "asked"
        elif ended.reason is EndReason.DETACHED:
            assert self.let_go
        else:
            assert not answered
        if ended.reason is EndReason.CALLER and attempt is not None and attempt.overstayed:
            assert ended.certainty == "reported"
        elif ended.reason is EndReason.CALLER and attempt is not None:
            assert not attempt.told
            assert not attempt.succeeded
            assert attempt.fallback == "unsent"
        if self.decided is not None:
            assert ended.reason is self.decided

    # The program

    @precondition(lambda self: self.on and self.line.s.end is End.NONE and len(self.attempts) < 3)
    @rule(unless_interrupted=st.booleans())
    def transfer_is_wanted(self, unless_interrupted: bool) -> None:
        """While the model says something, if it can be heard."""
        number = len(self.attempts) + 1
        said = f"resp_{number}"
        if self.talks:
            self.receive(created(said), playing("started", said), done(said, SPOKEN, tokens=20 * 60))
        if self.line.s.end is not End.NONE:
            return
        request = TransferRequest(call_id="rtc_1", name="billing", target=TARGET)
        self.attempts.append(Attempt(request, said, unless_interrupted))
        self.step(
            inputs.Transfer(
                f"transfer_{number}",
                request,
                fallback=self.has_second_path,
                unless_interrupted=unless_interrupted,
            )
        )

    @precondition(lambda self: self.talks and self.attempt is not None and self.attempt.refer == "unsent")
    @rule()
    def what_was_being_said_was_heard(self) -> None:
        assert self.attempt is not None
        self.receive(playing("stopped", self.attempt.said))
        self.pass_time(0.3)

    @precondition(lambda self: self.talks and self.attempt is not None and self.attempt.refer == "unsent")
    @rule()
    def caller_interrupts(self) -> None:
        attempt = self.attempt
        assert attempt is not None
        self.receive(playing("cleared", attempt.said))
        assert (attempt.over is not None) is attempt.unless_interrupted
        assert (attempt.refer != "unsent") is not attempt.unless_interrupted

    @rule(reason=st.sampled_from([EndReason.AGENT, EndReason.HANDLER_FAILED]))
    def program_ends_it(self, reason: EndReason) -> None:
        if self.attempt is not None:
            self.attempt.decided = self.attempt.decided or reason
        elif self.on and not self.ending:
            self.decided = reason
        self.step(inputs.Hangup() if reason is EndReason.AGENT else inputs.Fail("because"))

    @rule()
    def program_lets_go(self) -> None:
        self.let_go = True
        self.step(inputs.LetGo("let go"))

    @precondition(lambda self: self.talks)
    @rule()
    def caller_presses_a_key(self) -> None:
        self.quiet_since = self.now
        self.receive(key())

    @precondition(lambda self: self.goodbye and self.talks)
    @rule()
    def goodbye_was_said(self) -> None:
        self.line.goodbye_said()
        self.look()

    @rule(tokens=st.sampled_from([30, 80]))
    def tokens_are_spent(self, tokens: int) -> None:
        self.tokens += tokens
        self.step(inputs.Spent(None, None, self.tokens))
        self.pass_time(0)

    # The service and the carrier

    def reach(self, attempt: Attempt, *, leaves: bool) -> None:
        """Let the carrier have it: it dials, with the leg or without."""
        attempt.rings_until = self.now + RING
        if leaves:
            self.leave(transferred=True)

    def may_refer(self) -> bool:
        """Whether a refer that is under way may come to the carrier."""
        return any(one.refer == "asked" and self.now < one.asked_at + 5.0 for one in self.attempts)

    @precondition(lambda self: self.leg and self.may_refer())
    @rule(leaves=st.booleans())
    def carrier_gets_the_refer(self, leaves: bool) -> None:
        one = next(one for one in self.attempts if one.refer == "asked" and self.now < one.asked_at + 5.0)
        if not one.referred_on:
            one.referred_on = True
            self.reach(one, leaves=leaves)

    @precondition(lambda self: any(one.refer == "asked" for one in self.attempts))
    @rule(error=st.none() | st.sampled_from([*CLEAR, *UNCLEAR, GONE]))
    def refer_is_answered(self, error: RealtimeSipError | None) -> None:
        one = next(one for one in self.attempts if one.refer == "asked")
        if self.leg:
            error = LOST if error is GONE else error
        if one.referred_on:
            error = LOST if error in CLEAR else error
        one.refer = "answered"
        if error is None:
            one.succeeded = True
            self.step(inputs.Referred(one.request))
        else:
            self.step(inputs.ReferFailed(one.request, error))

    @precondition(lambda self: any(one.fallback == "asked" for one in self.attempts))
    @rule(leaves=st.booleans(), reached=st.booleans(), raises=st.booleans())
    def second_path_is_answered(self, leaves: bool, reached: bool, raises: bool) -> None:
        """What it certainly did not do, it raises; the leg may leave before it returns."""
        one = next(one for one in self.attempts if one.fallback == "asked")
        if reached and self.leg and self.now < one.second_asked_at + 10.0:
            self.reach(one, leaves=leaves)
        elif raises:
            one.fallback = "answered"
            self.step(inputs.FallbackFailed(one.request, "RuntimeError"))
            return
        one.fallback = "answered"
        one.succeeded = True
        one.due = self.now + WAIT
        self.step(inputs.FallbackTaken(one.request))

    @precondition(lambda self: self.leg and any(one.rings_until is not None for one in self.attempts))
    @rule()
    def target_answers(self) -> None:
        for one in self.attempts:
            one.rings_until = None
        self.leave(transferred=True)

    @rule(sign=st.sampled_from(list(TransferProgress)))
    def carrier_tells(self, sign: TransferProgress) -> None:
        attempt, ended = self.attempt, self.ended
        if attempt is not None and attempt.refer != "unsent":
            attempt.told.add(sign)
            if sign is TransferProgress.ANSWERED and attempt.answered_at is None:
                attempt.answered_at = self.now
        last = self.attempts[-1] if self.attempts else None
        completed = sign is TransferProgress.ANSWERED and last is not None and last.abandoned
        if completed:
            assert last is not None
            last.abandoned, last.answered_at, self.decided = False, self.now, EndReason.TRANSFERRED
            last.told.add(sign)
        self.step(inputs.CarrierSays(sign))
        if ended is not None:
            self.ended = self.line.s.ended
            assert self.ended is not None
            assert self.ended.reason is (EndReason.TRANSFERRED if completed else ended.reason)
            better = self.ended.reason is EndReason.TRANSFERRED and sign is TransferProgress.ANSWERED
            assert self.ended.certainty == ("reported" if better else ended.certainty)

    @rule(
        failure=st.sampled_from(
            [TransferFailureReason.BUSY, TransferFailureReason.NO_ANSWER, TransferFailureReason.CARRIER]
        )
    )
    def carrier_gives_up(self, failure: TransferFailureReason) -> None:
        attempt, ended = self.attempt, self.ended
        self.step(inputs.CarrierSays(failure))
        if attempt is not None:
            assert (attempt.over is None) is (attempt.refer == "unsent" or attempt.fallback == "asked")
        if ended is not None:
            self.ended = self.line.s.ended
            assert self.ended is not None
            assert (self.ended.reason, self.ended.certainty) == (ended.reason, ended.certainty)

    @precondition(lambda self: self.attempts)
    @rule()
    def carrier_tells_that_the_caller_is_gone(self) -> None:
        """Nothing is left to transfer: the call is hung up, or its end explained if that was just now."""
        ended, up = self.ended, self.on and not self.ending
        if up and self.attempt is None:
            self.decided = EndReason.CALLER
        self.telling_of_the_caller = True
        self.step(inputs.CallerLeft())
        self.telling_of_the_caller = False
        if up:
            assert self.hanging_up
            assert self.attempt is None
        if ended is not None:
            self.ended = self.line.s.ended
            assert self.ended is not None
            assert self.ended.reason is ended.reason
            explained = ended.reason is EndReason.CALLER and self.line.s.unix <= ended.ended_at + 5.0
            assert self.ended.certainty == ("reported" if explained else ended.certainty)

    # The caller, the network and time

    def leave(self, *, transferred: bool = False) -> None:
        self.leg, self.transferred = False, transferred
        if self.closes and self.open:
            self.closed(DROPPED)

    @precondition(lambda self: self.leg)
    @rule()
    def caller_hangs_up(self) -> None:
        self.leave()

    @precondition(lambda self: self.hanging_up)
    @rule(error=st.none() | st.sampled_from([LOST, FAILED, BUSY]))
    def hangup_is_answered(self, error: RealtimeSipError | None) -> None:
        self.hanging_up = False
        if not self.leg:
            error = error or GONE
        if error is None:
            self.leave()
            self.step(inputs.HungUp())
            self.pass_time(1)
        else:
            self.step(inputs.HangupFailed(error))

    @precondition(lambda self: self.open and self.leg)
    @rule(close=st.sampled_from([DROPPED] * 5 + [EXPIRED]))
    def socket_closes(self, close: SocketClose) -> None:
        if close is EXPIRED:
            self.leg = False
            self.decided = None if self.attempt is not None else self.decided
        self.closed(close)

    @precondition(lambda self: self.dropping)
    @rule()
    def socket_is_dropped(self) -> None:
        self.closed(OURS)

    def closed(self, close: SocketClose) -> None:
        self.dropping = False
        self.step(inputs.Closed(close))

    @precondition(lambda self: self.attaching)
    @rule(error=st.none() | st.none() | st.sampled_from([LOST, UNSENT, FAILED, BUSY, REFUSED]))
    def attach_is_answered(self, error: RealtimeSipError | None) -> None:
        self.line.attaching = False
        if error is None and self.leg:
            self.quiet_since = self.now
            self.step(inputs.Attached())
        else:
            self.step(inputs.AttachFailed(error or GONE))

    @rule(healthy=st.booleans())
    def service_is(self, healthy: bool) -> None:
        self.healthy = healthy

    @precondition(lambda self: self.talks)
    @rule()
    def service_says_something(self) -> None:
        self.receive(NOTHING)
        self.pass_time(0)

    @rule()
    def somebody_ticks(self) -> None:
        self.step(inputs.Tick())

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0, 31.0, 44.0]))
    def time_passes(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        """Tick at every deadline up to then."""
        end = self.now + seconds
        for _ in range(200):
            self.stop_ringing()
            if self.due is None or self.due > end:
                break
            self.line.now = max(self.now, self.due)
            self.stop_ringing()
            self.step(inputs.Tick())
            assert self.due is None or self.due > self.now, "nothing is due after a tick"
        else:
            raise AssertionError("ticks for ever")
        self.line.now = end
        self.stop_ringing()

    def stop_ringing(self) -> None:
        for one in self.attempts:
            if one.rings_until is not None and one.rings_until <= self.now:
                one.rings_until = None

    # What holds

    @invariant()
    def both_know_whether_a_transfer_is_under_way(self) -> None:
        assert self.line.transferring is (self.attempt is not None)
        assert self.line.s.ended is self.ended

    @invariant()
    def no_wait_is_without_an_end(self) -> None:
        if self.on and not (self.attaching or self.dropping or self.hanging_up):
            assert self.due is not None
        if self.attempt is not None and self.attempt.refer != "unsent" and not (self.attaching or self.dropping):
            assert self.due is not None
            assert self.due <= max(self.attempt.due, self.now) + 5.0

    @invariant()
    def silence_counts_where_nothing_else_does(self) -> None:
        counts = self.open and self.on and self.line.s.end is End.NONE and not self.goodbye
        if counts and self.only_silence and not wants.busy(self.line.s):
            at = self.line.s.timers.at("limit silence")
            assert "limit" in self.line.s.sequences or (at is not None and at <= self.now + 20.0)

    def teardown(self) -> None:
        """From here on nobody does anything but answer, if that: the call or the transfer comes to its end in time."""
        if not hasattr(self, "line"):
            return
        end = self.now + 600
        for _ in range(400):
            attempt = self.attempt
            if not self.on or (attempt is None and not self.ending):
                break
            if self.dropping:
                self.socket_is_dropped()
            elif self.attaching:
                self.pass_time(5)
                if self.attaching:
                    self.attach_is_answered(None if self.answers else LOST)
            elif self.hanging_up:
                self.pass_time(5)
                if self.hanging_up:
                    self.hangup_is_answered(LOST)
            elif attempt is not None and attempt.refer == "asked" and self.answers:
                self.refer_is_answered(LOST)
            elif attempt is not None and attempt.fallback == "asked" and self.answers:
                self.pass_time(10)
                if attempt is self.attempt:
                    self.second_path_is_answered(False, False, False)
            else:
                assert self.due is not None
                self.pass_time(max(self.due - self.now, 0))
            self.both_know_whether_a_transfer_is_under_way()
            self.no_wait_is_without_an_end()
        assert not self.on or (self.attempt is None and not self.ending)
        assert self.now <= end


TestHandovers = Handovers.TestCase
TestHandovers.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
