"""A transfer: where to, what speaks for it, and what follows from it. In every order: test_transfer_orders.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from door import (
    DROPPED,
    NOTHING,
    SPOKEN,
    Door,
    busy,
    created,
    done,
    key,
    playing,
)
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Attach, DropSocket, Effect, Fallback, Finish, HangUp, Refer
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget, TransferTargets
from realtime_sip.errors import (
    BadRequestError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    NetworkError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
)
from realtime_sip.outcomes import (
    EndReason,
    LimitKind,
    LimitNear,
    SocketClose,
    SocketCloseKind,
    TransferFailed,
    TransferFailureReason,
    TransferProgress,
)
from realtime_sip.sip.address import SipUri

NOW, UNIX = 1000.0, 1_790_000_000.0
BILLING = "tel:+14155550123"
RING = 35.0
WAIT = RING + 10.0
GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
REFUSED = BadRequestError("no", status_code=400)
FAILED = ServerError("failed", status_code=500)
TIMED_OUT = ServiceError("timeout", status_code=408)
LOST = NetworkError("no answer", sent=True)
LATE = DeadlineError("late", sent=True)
UNSENT = NetworkError("no connection", sent=False)
BUSY = RateLimitError("too many", status_code=429)
EXPIRED, OURS = (
    SocketClose(SocketCloseKind.EXPIRED, 1000),
    SocketClose(SocketCloseKind.OURS, 1000),
)
CLEAR, UNCLEAR = [REFUSED, BUSY, UNSENT], [FAILED, LOST, LATE, TIMED_OUT]
DIALLED = [TransferProgress.ASKED, TransferProgress.LEFT, TransferProgress.ANSWERED]


def requested(ring_time: float = RING) -> TransferRequest:
    return TransferRequest(call_id="rtc_1", name="billing", target=TransferTarget(BILLING, ring_time=ring_time))


# --- where to ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uri",
    [
        "tel:+14155550123",
        "tel:+1-415-555-0123",
        "sip:desk@pbx.example.com",
        "sips:desk@pbx.example.com:5061;transport=tls",
        "sip:+14155550123@pbx.example.com;user=phone?User-to-User=abc",
    ],
)
def test_law_a_target_is_a_tel_or_a_sip_uri(uri: str) -> None:
    assert TransferTarget(uri).uri == SipUri.parse(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "tel:",
        "tel:4155550199",
        "tel:911",
        "tel:+0155550199",
        "tel:0014155550199",
        "tel:5550199;phone-context=+1415",
        "tel:+14155550199456789",
        "https://example.com",
        "mailto:desk@example.com",
        "sip:",
        "sip:desk@pbx.example.com\r\nX: y",
        "sip:tel:+14155550199@192.0.2.10",
        "sips:TEL:+14155550199@pbx.example.com",
        "4155550199",
        "+1 415 555 0199",
        "+911",
    ],
)
def test_law_what_is_no_e164_number_or_sip_uri_is_refused_when_the_program_starts(uri: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TransferTargets({"desk": uri})
    assert "0199" not in str(refused.value)


def test_a_number_alone_is_on_the_phone_network() -> None:
    assert TransferTarget("+14155550199") == TransferTarget("tel:+14155550199")
    assert TransferTarget("+14155550199").on_phone_network
    # A SIP URI whose user is a number is somebody at that address, and not the phone network.
    assert not TransferTarget("sip:+14155550199@pbx.example.com").on_phone_network


def test_a_target_that_a_carrier_would_not_take_is_refused() -> None:
    longest = "sip:" + "d" * (256 - len("sip:@example.com")) + "@example.com"
    assert str(TransferTarget(longest).uri) == longest
    with pytest.raises(ConfigurationError, match="256"):
        TransferTarget(longest.replace("@", "d@"))


@pytest.mark.parametrize("ring_time", [0, -1, 601, float("inf"), float("nan"), "35", None])
def test_a_ring_time_is_a_bounded_number_of_seconds(ring_time: Any) -> None:
    with pytest.raises(ConfigurationError, match="ring_time"):
        TransferTarget(BILLING, ring_time=ring_time)


def test_a_description_is_bounded() -> None:
    assert TransferTarget(BILLING, description="d" * 200).description == "d" * 200
    with pytest.raises(ConfigurationError, match="200"):
        TransferTarget(BILLING, description="d" * 201)


@pytest.mark.parametrize("name", ["", "two words", "d" * 65, BILLING, "büro", "a\n"])
def test_a_name_is_a_word(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        TransferTargets({name: BILLING})


@pytest.mark.parametrize("many", [0, 101])
def test_an_allow_list_has_one_to_a_hundred_targets(many: int) -> None:
    with pytest.raises(ConfigurationError, match="1 to 100"):
        TransferTargets({f"desk_{i}": BILLING for i in range(many)})
    assert len(TransferTargets({f"desk_{i}": BILLING for i in range(100)})) == 100


DESKS = TransferTargets(
    {
        "billing": TransferTarget(BILLING, description="Invoices."),
        "mobile": "sip:+14155550124@pbx.example.com;user=phone",
        "shouted": "sip:+14155550125@pbx.example.com;User=PHONE",
        "workshop": SipUri.parse("sip:workshop@pbx.example.com"),
    }
)


def test_a_second_path_is_kept_as_it_is() -> None:
    async def fallback(request: TransferRequest) -> None:
        raise NotImplementedError

    assert TransferTargets(dict(DESKS), fallback=fallback).fallback is fallback
    assert DESKS.fallback is None


@given(name=st.text() | st.sampled_from([BILLING, "Billing", "billing ", "tel:+14155550123"]))
def test_law_targets_come_from_the_allow_list_by_name(name: str) -> None:
    if name in dict(DESKS):
        assert DESKS.chosen(name, channel="phone") is DESKS[name]
        return
    with pytest.raises(InvalidRequestError, match="must be one of: billing, mobile, shouted, workshop") as refused:
        DESKS.chosen(name, channel="phone")
    assert "415" not in str(refused.value)


@pytest.mark.parametrize("name", ["billing", "mobile", "shouted"])
def test_law_whatsapp_callers_never_go_to_the_phone_network(name: str) -> None:
    assert DESKS.chosen(name, channel="phone").on_phone_network
    assert DESKS.chosen(name, channel=None).on_phone_network
    with pytest.raises(InvalidRequestError, match="WhatsApp"):
        DESKS.chosen(name, channel="whatsapp")
    assert list(DESKS.reachable("whatsapp")) == ["workshop"]
    assert DESKS.chosen("workshop", channel="whatsapp").uri.host == "pbx.example.com"
    assert set(DESKS.reachable("sip")) == set(DESKS)


def test_nothing_that_is_shown_has_a_number_or_what_was_said_in_it() -> None:
    request = TransferRequest(
        call_id="rtc_1", name="billing", target=DESKS["billing"], reason="refund", summary="Order 1042."
    )
    for shown in (repr(request), repr(DESKS), repr(Fallback(request)), repr(DESKS["mobile"])):
        assert not {"4155550123", "4155550124", "1042", "refund"} & {
            word for word in ("4155550123", "4155550124", "1042", "refund") if word in shown
        }


# --- a transfer in scripts --------------------------------------------------------------------------------------------


GOODBYE = "goodbye"


class Line(Door):
    """A call that is up, and what it has asked for since the last look. The service answers probes while `alive`."""

    def __init__(self, **limits: Any) -> None:
        off = {"max_duration": None, "silence": None, "first_sound": None, "tool_rounds": None, "no_audio": None}
        self.acts: list[Any] = []
        self.transfers = 0
        super().__init__(limits=CallLimits(**(off | limits)), now=NOW, unix=UNIX)
        self.live()
        self.asked()

    def take(self, out: list[Effect]) -> None:
        super().take(out)
        for effect in out:
            match effect:
                case effects.Send(events.ResponseCreate(event_id="goodbye_limit")):
                    self.acts.append(GOODBYE)
                case effects.Tell(LimitNear() as near):
                    self.acts.append(near)
                case effects.Done(_, TransferFailed() as given_up):
                    self.acts.append(given_up)
                case Attach() | DropSocket() | HangUp() | Finish() | Refer() | Fallback():
                    self.acts.append(effect)
                case _:
                    pass

    def asked(self, *kinds: type[Any] | str) -> list[Any]:
        """Return what was asked for since the last look, of these kinds or all."""
        acts, self.acts = self.acts, []
        return [act for act in acts if not kinds or act in kinds or type(act) in kinds]

    def close(self, close: SocketClose = DROPPED) -> None:
        self.step(inputs.Closed(close))

    def leaves(self) -> None:
        """The caller's leg leaves: the socket breaks, and attaching says that the call is gone, whenever tried."""
        if self.s.socket is Socket.OPEN:
            self.close()
        while self.s.ended is None and (self.attaching or "attach" in self.s.timers):
            if self.attaching:
                self.attach_fails(GONE)
            else:
                self.wait((self.s.timers.at("attach") or self.now) - self.now)

    def says_something(self) -> None:
        """The service gives a sign of life."""
        self.receive(NOTHING)

    def want(
        self,
        *,
        fallback: bool = False,
        ring_time: float = RING,
        unless_interrupted: bool = False,
        seconds: int = 600,
    ) -> TransferRequest:
        """Want a transfer while the model says something long."""
        self.transfers += 1
        self.request = requested(ring_time)
        if self.s.end is End.NONE:
            said = f"resp_{self.transfers}"
            self.receive(created(said), playing("started", said), done(said, SPOKEN, tokens=20 * seconds))
        self.step(
            inputs.Transfer(
                f"transfer_{self.transfers}",
                self.request,
                fallback=fallback,
                unless_interrupted=unless_interrupted,
            )
        )
        return self.request

    def begin(self) -> None:
        """What is being said was cut off."""
        if self.s.end is not End.OVER:
            self.receive(playing("cleared", f"resp_{self.transfers}"))

    def transfer(
        self, *, fallback: bool = False, ring_time: float = RING, refer_within: float | None = None
    ) -> TransferRequest:
        """Want and begin one."""
        self.transfers += 1
        self.request = requested(ring_time)
        key = f"transfer_{self.transfers}"
        self.step(inputs.Transfer(key, self.request, fallback=fallback, after_speech=False, refer_within=refer_within))
        assert self.asked() == [Refer(self.request)]
        return self.request

    def model_says_so(self) -> None:
        """The model has said that the transfer failed."""
        (key,) = (name for name in [str(event.event_id) for event in self.sent] if name.startswith("notice_"))
        self.receive(created("resp_sorry", key=key), done("resp_sorry", status="cancelled"))

    def refer_answered(self, error: RealtimeSipError | None = None, request: TransferRequest | None = None) -> None:
        of = request or self.request
        self.step(inputs.Referred(of) if error is None else inputs.ReferFailed(of, error))

    def second_path_taken(self, request: TransferRequest | None = None) -> None:
        self.step(inputs.FallbackTaken(request or self.request))

    def second_path_fails(self, request: TransferRequest | None = None) -> None:
        self.step(inputs.FallbackFailed(request or self.request, "RuntimeError"))

    def sign(self, sign: TransferProgress) -> None:
        self.step(inputs.CarrierSays(sign))

    def fails(self, failure: TransferFailureReason) -> None:
        self.step(inputs.CarrierSays(failure))

    def end(self, reason: EndReason = EndReason.AGENT) -> None:
        self.step(inputs.Hangup() if reason is EndReason.AGENT else inputs.Fail("because"))

    def let_go(self) -> None:
        self.step(inputs.LetGo("let go"))

    def hung_up(self) -> None:
        """The service hangs up, and closes the socket."""
        self.step(inputs.HungUp())
        if self.s.socket is Socket.OPEN:
            self.close(SocketClose(SocketCloseKind.NORMAL, 1000))

    def goodbye_said(self) -> None:
        self.receive(
            created("resp_bye", key="goodbye_limit"),
            playing("started", "resp_bye"),
            done("resp_bye", SPOKEN),
            playing("cleared", "resp_bye"),
        )

    def over(self) -> TransferFailed:
        """Return the one end of a transfer that was told since the last look."""
        (over,) = self.asked(TransferFailed)
        assert isinstance(over, TransferFailed)
        return over

    @property
    def transferring(self) -> bool:
        return self.s.end is End.TRANSFERRING

    @property
    def is_live(self) -> bool:
        return self.s.end is not End.OVER

    @property
    def outcome(self) -> tuple[EndReason, str]:
        return self.ended.reason, self.ended.certainty


@pytest.fixture
def line() -> Line:
    return Line()


# What speaks for it


def test_law_a_refer_that_is_answered_proves_nothing(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.wait(WAIT - 1)
    assert line.is_live
    assert line.transferring
    assert line.asked() == []


def test_law_evidence_is_graded__a_leg_that_left_after_refer_is_inferred_to_be_transferred(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.close()
    assert line.asked() == [Attach()]
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert "refer was answered with success" in line.ended.evidence
    assert line.asked() == [Attach(), Finish(line.ended)], "said twice, since the socket broke; and never hung up"


@pytest.mark.parametrize("sign", [TransferProgress.REFERRED, TransferProgress.ASKED, TransferProgress.LEFT])
def test_law_evidence_is_graded__less_than_an_answer_is_never_reported(line: Line, sign: TransferProgress) -> None:
    line.transfer()
    line.sign(sign)
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert sign.name.lower() in line.ended.evidence


def test_law_evidence_is_graded__only_that_the_target_has_answered_is_reported(line: Line) -> None:
    line.transfer()
    line.sign(TransferProgress.ANSWERED)
    line.sign(TransferProgress.ASKED)
    line.refer_answered()
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "reported")


def test_law_evidence_is_graded__a_caller_who_leaves_before_anything_speaks_for_it_has_hung_up(line: Line) -> None:
    for how in ("wanted", "asked for", "unclear"):
        here = Line()
        here.want()
        if how != "wanted":
            here.begin()
        if how == "unclear":
            here.refer_answered(LOST)
        here.leaves()
        assert here.outcome == (EndReason.CALLER, "inferred")
        assert "a transfer was under way" in here.ended.evidence
        assert ("not sent" in here.ended.evidence) is (how == "wanted")


def test_law_an_answer_that_is_told_after_the_leg_has_left_makes_it_reported(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.leaves()
    before = line.ended
    line.sign(TransferProgress.ASKED)
    line.sign(TransferProgress.LEFT)
    assert line.ended is before
    line.sign(TransferProgress.ANSWERED)
    assert line.outcome == (EndReason.TRANSFERRED, "reported")
    assert line.ended.ended_at == before.ended_at
    line.fails(TransferFailureReason.NO_ANSWER)
    assert line.outcome == (EndReason.TRANSFERRED, "reported")


def test_what_a_carrier_repeats_after_the_end_is_written_once(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.leaves()
    for _ in range(1000):
        line.fails(TransferFailureReason.NO_ANSWER)
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert line.ended.evidence.count("no answer") == 1
    for _ in range(1000):
        line.sign(TransferProgress.ANSWERED)
    assert line.ended.evidence.count("answered") == 2, "the refer, and the target"


def test_what_is_told_of_a_transfer_after_another_end_changes_nothing(line: Line) -> None:
    line.transfer()
    line.leaves()
    ended = line.ended
    line.sign(TransferProgress.ANSWERED)
    line.fails(TransferFailureReason.BUSY)
    assert line.ended is ended
    assert ended.reason is EndReason.CALLER


def test_a_refer_to_a_call_that_is_gone_says_that_the_caller_left(line: Line) -> None:
    line.transfer()
    line.refer_answered(GONE)
    assert line.outcome == (EndReason.CALLER, "inferred")


@pytest.mark.parametrize("sign", DIALLED)
def test_a_refer_to_a_call_that_is_gone_because_it_was_transferred_says_so(line: Line, sign: TransferProgress) -> None:
    line.transfer()
    line.sign(sign)
    line.refer_answered(GONE)
    assert line.outcome == (
        EndReason.TRANSFERRED,
        "reported" if sign is TransferProgress.ANSWERED else "inferred",
    )


def test_a_session_that_expires_during_a_transfer_has_expired(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.close(EXPIRED)
    assert line.outcome == (EndReason.EXPIRED, "reported")
    assert "refer was answered" in line.ended.evidence


def test_law_evidence_is_graded__a_session_that_expires_under_a_caller_whose_target_has_answered(line: Line) -> None:
    line.transfer()
    line.sign(TransferProgress.ANSWERED)
    line.close(EXPIRED)
    assert line.outcome == (EndReason.TRANSFERRED, "reported")


# The deadline


@pytest.mark.parametrize("ring_time", [0.5, 20.0, 35.0, 600.0])
def test_law_the_deadline_is_the_targets_ring_time_plus_ten_seconds(line: Line, ring_time: float) -> None:
    line.transfer(ring_time=ring_time)
    line.refer_answered()
    line.wait(ring_time + 9.9)
    assert line.asked() == []
    line.wait(0.2)
    over = line.over()
    assert over.failure is TransferFailureReason.NO_SIGN
    assert over.target == line.request.name
    assert "nothing was heard" in over.evidence
    assert line.is_live
    assert not line.transferring


def test_law_the_deadline_is_forty_five_seconds_by_default() -> None:
    line = Line()
    request = TransferRequest(call_id="rtc_1", name="billing", target=TransferTarget(BILLING))
    line.step(inputs.Transfer("transfer", request, after_speech=False))
    line.wait(44.9)
    assert line.asked(TransferFailed) == []
    line.wait(0.2)
    assert line.over().failure is TransferFailureReason.NO_SIGN


def test_a_target_that_was_dialed_and_stays_silent_has_not_answered(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.wait(3)
    line.sign(TransferProgress.ASKED)
    line.wait(WAIT - 3)
    assert line.over().failure is TransferFailureReason.NO_ANSWER


def test_law_say_it_then_act__a_transfer_waits_for_what_is_being_said_however_long_that_is(line: Line) -> None:
    line.want()
    line.wait(200)
    assert line.asked() == []
    assert line.transferring
    line.begin()
    line.wait(WAIT - 1)
    assert line.asked(Refer, TransferFailed) == [Refer(line.request)]


def test_law_say_it_then_act__a_transfer_does_not_wait_for_ever_for_speech_that_ought_to_be_over(line: Line) -> None:
    line.want(seconds=100)
    line.wait(100)
    assert line.asked() == []
    line.wait(31)
    assert line.asked(Refer) == [Refer(line.request)]


# The next path, never a double dial


@pytest.mark.parametrize("error", CLEAR)
def test_law_a_refer_that_was_certainly_refused_is_followed_by_the_next_path_at_once(error: RealtimeSipError) -> None:
    line = Line()
    line.transfer(fallback=True)
    line.refer_answered(error)
    assert line.asked() == [Fallback(line.request)]
    assert line.transferring


@pytest.mark.parametrize("error", UNCLEAR)
def test_law_never_a_double_dial__a_refer_that_is_unclear_is_waited_for(error: RealtimeSipError) -> None:
    line = Line()
    line.transfer(fallback=True)
    line.refer_answered(error)
    line.wait(WAIT - 0.1)
    assert line.asked() == []
    line.wait(0.2)
    assert line.asked() == [Fallback(line.request)]
    line.second_path_fails()
    evidence = line.over().evidence
    words = (type(error).__name__, "nothing was heard of it in time", "fallback was asked for", "RuntimeError")
    assert sorted(words, key=evidence.find) == list(words)
    assert min(map(evidence.find, words)) >= 0


def test_law_no_sign_in_time__the_next_path(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered()
    line.wait(WAIT)
    assert line.asked() == [Fallback(line.request)]
    line.second_path_taken()
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert "fallback" in line.ended.evidence


@pytest.mark.parametrize("sign", [TransferProgress.ASKED, TransferProgress.LEFT])
@pytest.mark.parametrize("when", ["before the answer", "after it", "at the last moment"])
def test_law_never_a_double_dial__no_second_path_where_the_carrier_has_taken_the_refer(
    sign: TransferProgress, when: str
) -> None:
    line = Line()
    line.transfer(fallback=True)
    if when == "before the answer":
        line.sign(sign)
    line.refer_answered()
    line.wait(WAIT - 0.1)
    if when != "before the answer":
        line.sign(sign)
    line.wait(1)
    assert line.over().failure is TransferFailureReason.NO_ANSWER
    line.wait(1000)
    assert line.asked(Fallback, Refer) == []


@pytest.mark.parametrize("error", [None, *UNCLEAR])
def test_a_refer_that_the_carrier_does_not_ask_about_takes_the_fallback_soon(error: RealtimeSipError | None) -> None:
    line = Line()
    line.transfer(fallback=True, refer_within=5.0)
    line.wait(3)  # it counts from the answer
    line.refer_answered(error)
    line.wait(4.9)
    assert line.asked() == []
    line.wait(0.2)
    assert line.asked() == [Fallback(line.request)]


@pytest.mark.parametrize("before", [True, False], ids=["before the answer", "after it"])
def test_law_never_a_double_dial__the_carrier_that_has_asked_rings_the_target_for_its_time(before: bool) -> None:
    line = Line()
    line.transfer(fallback=True, refer_within=5.0)
    if before:
        line.sign(TransferProgress.ASKED)
    line.refer_answered()
    line.wait(4)
    line.sign(TransferProgress.ASKED)
    line.wait(WAIT - (4 if before else 0) - 0.1)
    assert line.transferring
    line.wait(0.2)
    assert line.over().failure is TransferFailureReason.NO_ANSWER
    line.wait(1000)
    assert line.asked(Fallback, Refer) == []


@pytest.mark.parametrize("seconds", [0, -1, True, float("inf"), float("nan"), "5"])
def test_the_time_for_the_carrier_to_ask_is_a_positive_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="refer_within"):
        TransferTargets({"billing": BILLING}, refer_within=seconds)


@pytest.mark.parametrize("sign", DIALLED)
@pytest.mark.parametrize("error", CLEAR + UNCLEAR)
def test_law_never_a_double_dial__a_refer_that_the_carrier_has_taken_has_not_failed(
    error: RealtimeSipError, sign: TransferProgress
) -> None:
    line = Line()
    line.transfer(fallback=True)
    line.sign(sign)
    line.refer_answered(error)
    assert line.asked() == []
    assert line.transferring


def test_law_never_a_double_dial__a_carrier_that_says_busy_has_dialed(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered()
    line.fails(TransferFailureReason.BUSY)
    assert line.asked() == [
        TransferFailed(
            line.request.name, TransferFailureReason.BUSY, "the refer was answered with success; it failed: busy"
        )
    ]
    line.wait(1000)
    assert line.asked(Fallback) == []


def test_law_never_a_double_dial__the_service_is_asked_first_whether_the_caller_is_still_there(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered()
    line.wait(WAIT - 1)
    line.says_something()
    line.alive = False  # the leg has left, and the socket is open
    line.wait(5.9)
    assert line.asked() == []
    line.wait(0.2)
    assert line.asked() == [DropSocket()]
    line.close(OURS)
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert line.asked(Fallback, TransferFailed) == []


def test_law_never_a_double_dial__a_proof_from_before_the_deadline_is_none(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered()
    line.wait(WAIT - 0.1)
    line.says_something()
    line.alive = False
    line.wait(1)
    assert line.asked() == []


def test_a_refer_that_is_answered_late_and_unclearly_does_not_put_off_the_proof(line: Line) -> None:
    line.transfer(fallback=True)
    line.wait(WAIT - 1)
    line.says_something()
    line.alive = False
    line.wait(4)
    line.refer_answered(LOST)
    line.wait(2)
    assert line.asked() == [DropSocket()]


def test_law_never_a_double_dial__a_proof_from_an_earlier_transfer_is_none(line: Line) -> None:
    line.transfer()
    line.wait(WAIT - 1)
    line.says_something()
    line.alive = False
    line.wait(2)
    line.fails(TransferFailureReason.BUSY)
    line.says_something()
    line.over()
    line.model_says_so()
    line.transfer(fallback=True)
    line.wait(20)
    line.says_something()
    line.wait(20)
    line.says_something()
    line.wait(6)
    assert line.asked() == []


def test_a_socket_that_is_down_at_the_deadline_is_waited_for(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered()
    line.wait(WAIT - 1)
    line.close()
    line.asked()
    line.wait(3)
    assert line.asked() == []
    line.attach()
    line.wait(0)
    assert line.asked() == [Fallback(line.request)]


def test_a_second_path_has_the_whole_time_again(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.asked()
    line.wait(9)
    line.second_path_taken()
    line.wait(WAIT - 0.1)
    assert line.asked() == []
    line.wait(0.2)
    assert line.over().failure is TransferFailureReason.NO_ANSWER


def test_a_second_path_that_has_taken_the_caller_away_with_the_socket_open_is_noticed(line: Line) -> None:
    line.transfer(fallback=True)
    line.wait(WAIT - 1)
    line.says_something()
    line.alive = False
    line.wait(2)
    line.refer_answered(REFUSED)  # while the service is being asked whether the caller is still there
    assert line.asked() == [Fallback(line.request)]
    line.says_something()
    line.second_path_taken()
    for _ in range(4):
        line.wait(WAIT / 5)
        line.says_something()
    line.wait(WAIT / 5)
    assert line.asked(TransferFailed) == []
    line.wait(6)
    line.close(OURS)
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")


def test_law_never_a_double_dial__there_is_no_third_path(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    assert line.asked() == [Fallback(line.request)]
    line.second_path_fails()
    assert line.over().failure is TransferFailureReason.REFUSED
    line.wait(1000)
    assert line.asked() == []


def test_law_never_a_double_dial__a_refer_that_is_refused_late_does_not_end_the_second_path(line: Line) -> None:
    line.transfer(fallback=True)
    line.wait(WAIT)
    assert line.asked() == [Fallback(line.request)]
    line.refer_answered(REFUSED)
    assert line.asked() == []
    line.second_path_taken()
    line.refer_answered(REFUSED)
    assert line.asked() == []
    assert line.transferring


def test_law_never_a_double_dial__a_second_path_that_the_carrier_has_taken_has_not_failed(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.asked()
    line.sign(TransferProgress.ASKED)
    line.second_path_fails()
    assert line.asked() == []
    assert line.transferring
    line.wait(WAIT - 0.1)
    assert line.asked() == []
    line.wait(0.1)
    assert line.over().failure is TransferFailureReason.NO_ANSWER


def test_a_second_path_that_was_dialed_and_has_failed_since_is_over(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.asked()
    line.sign(TransferProgress.ASKED)
    line.second_path_fails()
    line.fails(TransferFailureReason.BUSY)
    assert line.over().failure is TransferFailureReason.BUSY


def test_a_failure_that_is_told_while_the_second_path_is_being_asked_for_is_not_of_it(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.asked()
    line.end()
    for _ in range(100):
        line.fails(TransferFailureReason.CARRIER)
    assert line.asked() == [], "the carrier is being asked to take the caller"
    line.second_path_taken()
    line.fails(TransferFailureReason.BUSY)
    over, hangup = line.asked()
    assert over.failure is TransferFailureReason.BUSY
    assert over.evidence.count("it failed: carrier") == 1
    assert hangup == HangUp()


def test_a_caller_who_leaves_while_the_carrier_is_asked_was_most_likely_transferred(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")
    assert "the fallback" in line.ended.evidence


def test_a_target_that_has_answered_the_second_path_is_not_given_more_time_to_leave(line: Line) -> None:
    line.transfer(fallback=True)
    line.refer_answered(REFUSED)
    line.sign(TransferProgress.ANSWERED)
    line.second_path_taken()
    line.asked()
    line.wait(10)
    assert line.asked() == [HangUp()]


@pytest.mark.parametrize("fallback", [False, True])
def test_law_never_a_wait_without_a_deadline__an_answer_that_never_comes(fallback: bool) -> None:
    """Neither that of the refer nor that of the fallback, which is the program's own code."""
    line = Line()
    line.transfer(fallback=fallback)
    line.wait(WAIT)
    assert line.asked(Fallback) == [Fallback(line.request)] * fallback
    line.wait(WAIT if fallback else 0.0)
    assert not line.transferring
    assert line.is_live


def test_law_at_most_one_refer_for_a_transfer(line: Line) -> None:
    line.want()
    line.begin()
    line.begin()
    assert line.asked() == [Refer(line.request)]
    line.fails(TransferFailureReason.BUSY)
    line.asked()
    line.begin()
    assert line.asked() == []


def test_law_never_a_double_dial__an_answer_to_another_transfer_is_none_to_this(line: Line) -> None:
    first = line.transfer(fallback=True)
    line.fails(TransferFailureReason.BUSY)
    line.asked()
    second = line.transfer(fallback=True)
    assert first == second
    line.refer_answered(REFUSED, request=first)
    line.refer_answered(GONE, request=first)
    line.refer_answered(request=first)
    line.second_path_fails(request=first)
    line.second_path_taken(request=first)
    assert line.asked() == []
    assert line.is_live
    line.refer_answered(UNSENT, request=second)
    assert line.asked() == [Fallback(second)]
    line.second_path_fails(request=second)
    assert "success" not in line.over().evidence


def test_a_request_is_refused_while_another_is_pending(line: Line) -> None:
    request = line.transfer()
    line.step(inputs.Transfer("another", requested(), fallback=True))
    assert line.over().failure is TransferFailureReason.PENDING
    assert [over.failure for over in line.done("another") if isinstance(over, TransferFailed)] == [
        TransferFailureReason.PENDING
    ]
    line.wait(WAIT)
    assert line.over().failure is TransferFailureReason.NO_SIGN
    assert line.all(Refer) == [Refer(request)]
    assert line.all(Fallback) == []


# Signs that come too early


@pytest.mark.parametrize("sign", list(TransferProgress))
def test_a_sign_from_before_it_was_asked_for_is_of_another_transfer(line: Line, sign: TransferProgress) -> None:
    line.want(fallback=True)
    line.sign(sign)
    line.begin()
    line.refer_answered(LOST)
    line.asked()
    line.wait(WAIT)
    assert line.asked() == [Fallback(line.request)]


@pytest.mark.parametrize(
    "failure", [TransferFailureReason.BUSY, TransferFailureReason.NO_ANSWER, TransferFailureReason.CARRIER]
)
def test_a_failure_from_before_it_was_asked_for_is_of_another_transfer(
    line: Line, failure: TransferFailureReason
) -> None:
    line.want()
    line.fails(failure)
    assert line.asked() == []
    line.begin()
    assert line.asked() == [Refer(line.request)]


def test_a_caller_who_speaks_before_it_was_asked_for_may_undo_it(line: Line) -> None:
    line.want(fallback=True, unless_interrupted=True)
    line.begin()
    assert line.over().failure is TransferFailureReason.INTERRUPTED
    line.wait(1000)
    assert line.asked() == []


# While it is pending, nothing hangs up


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("reason", [EndReason.AGENT, EndReason.HANDLER_FAILED])
def test_law_while_a_transfer_is_pending_nothing_hangs_up_and_afterwards_what_was_decided_is_done(
    reason: EndReason, begun: bool
) -> None:
    line = Line()
    line.want()
    if begun:
        line.begin()
    line.end(reason)
    line.end(EndReason.HANDLER_FAILED if reason is EndReason.AGENT else EndReason.AGENT)
    line.wait(40)
    assert line.asked(HangUp) == []
    if not begun:
        line.begin()
    line.fails(TransferFailureReason.BUSY)
    assert line.asked(TransferFailed, HangUp)[1:] == [HangUp()]
    line.hung_up()
    assert line.outcome == (reason, "reported")


def test_law_while_a_transfer_is_pending_no_limit_hangs_up() -> None:
    line = Line(max_duration=20.0, silence=5.0, first_sound=3.0, max_tokens=10, goodbye=None)
    line.transfer()
    line.refer_answered()
    line.step(inputs.Spent(None, None, 10))
    line.wait(WAIT - 1)
    assert line.asked() == []
    line.leaves()
    assert line.outcome == (EndReason.TRANSFERRED, "inferred")


def test_law_money_that_is_gone_during_a_transfer_waits_for_its_end() -> None:
    line = Line(max_cost=1.0)
    line.transfer()
    for cost in ("0.8", "1.0", "1.1"):
        line.step(inputs.Spent(Decimal(cost), None, 0))
        line.wait(0)
    assert line.asked() == [LimitNear(LimitKind.COST, None)]
    line.wait(WAIT - 1)
    assert line.asked() == []
    line.fails(TransferFailureReason.BUSY)
    line.wait(0)
    assert line.asked(GOODBYE, HangUp) == [GOODBYE]


def test_law_a_limit_that_was_reached_during_a_transfer_ends_the_call_after_it_with_a_goodbye() -> None:
    line = Line(max_duration=20.0)
    line.transfer()
    line.wait(WAIT)
    line.wait(0)
    over, goodbye = line.asked(TransferFailed, GOODBYE)
    assert isinstance(over, TransferFailed)
    assert goodbye == GOODBYE
    line.goodbye_said()
    line.hung_up()
    assert (line.ended.reason, line.ended.limit) == (EndReason.LIMIT, LimitKind.DURATION)


def test_law_silence_rests_during_a_transfer_and_counts_anew_after_it() -> None:
    line = Line(silence=60.0, first_sound=20.0)
    line.transfer()
    line.wait(WAIT)
    line.over()
    line.model_says_so()
    line.wait(19)
    assert line.asked(GOODBYE, HangUp) == []
    line.receive(key())
    line.wait(59)
    assert line.asked(GOODBYE, HangUp) == []
    line.wait(1)
    assert len(line.asked(GOODBYE)) == 1


def test_law_silence_and_first_sound_rest_while_the_sideband_is_down__also_after_a_transfer() -> None:
    line = Line(silence=30.0, first_sound=10.0)
    line.transfer()
    line.close()
    line.fails(TransferFailureReason.BUSY)
    line.over()
    line.wait(100)
    assert line.asked(GOODBYE, HangUp) == [], "nobody knows whether somebody speaks"
    line.attach()
    line.wait(9)
    assert line.asked(GOODBYE, HangUp) == []
    line.wait(1)
    assert line.asked(HangUp) == [HangUp()]


def test_a_goodbye_that_was_said_before_the_transfer_is_followed_by_the_hangup_where_it_fails() -> None:
    line = Line(silence=60.0)
    line.wait(60)
    assert len(line.asked(GOODBYE)) == 1
    line.transfer()
    line.goodbye_said()
    line.wait(WAIT - 1)
    assert line.asked() == []
    line.wait(2)
    assert line.asked(TransferFailed, HangUp)[1:] == [HangUp()]
    line.hung_up()
    assert line.ended.limit is LimitKind.SILENCE


@pytest.mark.parametrize("decided", [False, True])
def test_letting_go_during_a_transfer_leaves_the_call_unless_its_end_was_decided(decided: bool) -> None:
    line = Line()
    line.transfer()
    if decided:
        line.end(EndReason.HANDLER_FAILED)
    line.let_go()
    line.wait(10)  # for turn detection to come back
    assert (line.s.ended is None) is decided
    line.fails(TransferFailureReason.BUSY)
    assert (HangUp() in line.asked()) is decided


def test_a_transfer_of_a_call_that_is_over_is_none(line: Line) -> None:
    line.let_go()
    line.want()
    line.asked()
    line.begin()
    assert line.asked() == []
    assert not line.transferring
    assert line.s.timers.next is None


def test_a_transfer_of_a_call_that_is_to_end_is_none(line: Line) -> None:
    line.end()
    line.want()
    line.begin()
    assert line.asked() == [HangUp()]
    assert not line.transferring


def test_a_goodbye_that_has_to_be_asked_for_again_is_not_said_to_a_caller_who_is_being_transferred() -> None:
    line = Line(silence=60.0)
    line.wait(60)
    assert line.asked(GOODBYE) == [GOODBYE]
    line.receive(busy("goodbye_limit"))
    line.transfer()
    line.attach_again()
    line.wait(WAIT - 1)
    assert line.asked(GOODBYE, HangUp) == []
    line.fails(TransferFailureReason.BUSY)
    assert line.asked(HangUp) == [HangUp()], "the limit was reached before"


# The target has answered


def test_law_a_leg_that_stays_after_its_target_has_answered_is_hung_up(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.wait(20)
    line.sign(TransferProgress.ANSWERED)
    line.wait(9.9)
    assert line.asked() == []
    line.sign(TransferProgress.ANSWERED)
    line.sign(TransferProgress.LEFT)
    line.wait(0.2)
    assert line.asked() == [HangUp()], "whatever is told again"
    line.hung_up()
    assert line.outcome == (EndReason.TRANSFERRED, "reported")
    assert "stayed" in line.ended.evidence


@pytest.mark.parametrize("how", ["gone", "attach", "never"])
def test_law_only_an_answer_is_reported__also_where_the_leg_has_left_before_it_could_be_hung_up(how: str) -> None:
    line = Line()
    line.transfer()
    line.sign(TransferProgress.ANSWERED)
    line.wait(10)
    assert line.asked() == [HangUp()]
    if how == "attach":
        line.leaves()
    while line.s.ended is None:
        line.step(inputs.HangupFailed(GONE if how == "gone" else LOST))
        line.wait(30)
    assert line.outcome == (EndReason.TRANSFERRED, "reported")


def test_an_end_that_was_decided_is_not_the_reason_where_the_target_has_answered(line: Line) -> None:
    line.transfer()
    line.end(EndReason.AGENT)
    line.sign(TransferProgress.ANSWERED)
    line.wait(10)
    line.hung_up()
    assert line.outcome == (EndReason.TRANSFERRED, "reported")


def test_a_carrier_that_says_in_time_that_the_bridge_failed_keeps_the_caller_with_the_agent(line: Line) -> None:
    line.transfer()
    line.sign(TransferProgress.ANSWERED)
    line.wait(5)
    line.fails(TransferFailureReason.CARRIER)
    line.wait(1000)
    assert line.over().failure is TransferFailureReason.CARRIER
    assert line.is_live


# The caller's own call is over


GONE_BY_REPORT = inputs.CallerLeft()


@pytest.mark.parametrize("answer", [None, GONE, LOST])
def test_a_caller_whose_call_is_over_is_hung_up_and_reported_however_the_leg_leaves(
    line: Line, answer: RealtimeSipError | None
) -> None:
    line.step(GONE_BY_REPORT)
    line.step(GONE_BY_REPORT)
    assert line.asked() == [HangUp()]
    if answer is not None:
        line.step(inputs.HangupFailed(answer))
    if answer is LOST:
        line.leaves()
    elif answer is None:
        line.hung_up()
    assert line.outcome == (EndReason.CALLER, "reported")


def test_a_caller_who_gave_up_while_the_target_rang_was_not_transferred(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.sign(TransferProgress.ASKED)
    line.step(GONE_BY_REPORT)
    assert line.asked(HangUp) == [HangUp()]
    line.hung_up()
    assert line.outcome == (EndReason.CALLER, "reported")
    assert "asked" in line.ended.evidence


@pytest.mark.parametrize("when", ["before", "while hanging up", "after the end"])
def test_law_in_any_order__a_caller_whose_target_answered_was_transferred(line: Line, when: str) -> None:
    line.transfer()
    if when == "before":
        line.sign(TransferProgress.ANSWERED)
    line.step(GONE_BY_REPORT)
    if when == "while hanging up":
        line.sign(TransferProgress.ANSWERED)
    line.hung_up()
    line.sign(TransferProgress.ANSWERED)
    line.sign(TransferProgress.ANSWERED)
    assert line.outcome == (EndReason.TRANSFERRED, "reported")
    assert line.ended.evidence.count("reported: answered") == 1


def test_before_the_refer_an_answer_is_that_of_another_transfer(line: Line) -> None:
    line.step(inputs.Transfer("transfer_1", requested(), announcement="Say who they are connected to."))
    line.step(GONE_BY_REPORT)
    line.sign(TransferProgress.ANSWERED)
    line.hung_up()
    assert line.outcome == (EndReason.CALLER, "reported")


@pytest.mark.parametrize(("late", "certainty"), [(1.0, "reported"), (60.0, "inferred")])
def test_a_report_explains_an_end_that_is_not_long_ago(line: Line, late: float, certainty: str) -> None:
    line.leaves()
    line.wait(late)
    line.step(GONE_BY_REPORT)
    line.step(GONE_BY_REPORT)
    assert line.outcome == (EndReason.CALLER, certainty)


def test_an_end_that_the_program_decided_stays_its_own(line: Line) -> None:
    line.end(EndReason.AGENT)
    line.step(GONE_BY_REPORT)
    line.hung_up()
    line.step(GONE_BY_REPORT)
    assert line.outcome == (EndReason.AGENT, "reported")


# The sideband is lost


def test_a_target_that_answers_when_the_transfer_is_due_has_its_time_also_without_a_sideband(line: Line) -> None:
    line.transfer()
    line.wait(WAIT - 1)
    line.close()
    line.wait(1)
    line.sign(TransferProgress.ANSWERED)
    line.wait(1)
    line.attach_fails(REFUSED)
    line.wait(8)
    assert line.asked(HangUp) == []
    line.wait(1)
    assert line.asked(HangUp) == [HangUp()]


def test_a_socket_that_drops_during_a_transfer_is_attached_again(line: Line) -> None:
    line.transfer()
    line.refer_answered()
    line.wait(10)
    line.close()
    line.attach()
    line.wait(WAIT - 11)
    assert line.asked() == [Attach()]
    line.wait(1)
    assert line.over().failure is TransferFailureReason.NO_SIGN


@pytest.mark.parametrize(
    ("sign", "failure"), [(None, TransferFailureReason.NO_SIGN), (2, TransferFailureReason.NO_ANSWER)]
)
@pytest.mark.parametrize("how", ["refused", "flapping"])
def test_law_a_call_that_cannot_be_reached_any_more_is_hung_up_when_the_transfer_has_had_its_time(
    how: str, sign: int | None, failure: TransferFailureReason
) -> None:
    line = Line()
    line.transfer(fallback=True)
    line.refer_answered()
    if sign is not None:
        line.sign(TransferProgress(sign))
    begun = line.now
    line.close()
    while line.attaching or "attach" in line.s.timers:
        if not line.attaching:
            line.wait(0.25)
        elif how == "refused":
            line.attach_fails(LOST)
        else:
            line.attach()
            line.close()
    assert line.now < begun + 20, "longer than that, no caller bears"
    line.asked()
    line.wait(begun + WAIT - 0.1 - line.now)
    assert line.asked() == []
    line.wait(0.2)
    over, hangup = line.asked()
    assert over.failure is failure, "and never a fallback, because nobody knows whether the leg has left"
    assert hangup == HangUp()
    line.hung_up()
    assert line.outcome == (EndReason.CONNECTION_LOST, "reported")


def test_a_transfer_after_one_that_failed_starts_afresh(line: Line) -> None:
    line.transfer(fallback=True)
    line.sign(TransferProgress.ASKED)
    line.wait(WAIT)
    assert line.over().failure is TransferFailureReason.NO_ANSWER
    line.transfer(fallback=True)
    line.refer_answered()
    line.wait(WAIT - 1)
    assert line.asked() == []
    line.wait(1)
    assert line.asked() == [Fallback(line.request)]
