"""How a call ends: what is heard before, whether it is hung up, and that the model answers nobody meanwhile."""

from __future__ import annotations

import pytest
from door import (
    NO_LIMITS,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    SPOKEN,
    Door,
    added,
    call,
    collector,
    created,
    done,
    item_done,
    playing,
)

from realtime_sip import events
from realtime_sip.call.machine import inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Accept, Finish, HangUp, Refer, Reject
from realtime_sip.call.machine.keypad import CollectedDigits, DigitsEnd
from realtime_sip.call.machine.state import Socket
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.errors import (
    CallGoneError,
    DecisionAlreadyMadeError,
    NetworkError,
    NotFoundError,
    RealtimeSipError,
    ServerError,
)
from realtime_sip.outcomes import EndReason, Heard, SocketClose, SocketCloseKind
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, ServerVad

GONE = CallGoneError("no such call", status_code=404, code="call_id_not_found")
DECIDED = DecisionAlreadyMadeError("decided", status_code=409, code="decision_already_made")
LOST = NetworkError("no answer", sent=True)
CLOSED = SocketClose(SocketCloseKind.NORMAL, 1000)


class Talk(Door):
    """A call that is up, and a model that talks."""

    def __init__(self, limits: CallLimits = NO_LIMITS) -> None:
        detection = AudioConfig(input=AudioInput(turn_detection=ServerVad(create_response=True)))
        super().__init__(RealtimeSession(audio=detection), limits)
        self.live()
        self.out.clear()

    def says(self, response_id: str, seconds: float, *, asked: str | None = None, told: bool = True) -> None:
        """A response is made at once; `told` says whether the service tells that it begins to play."""
        self.receive(created(response_id, key=asked))
        if told:
            self.receive(playing("started", response_id))
        self.receive(done(response_id, SPOKEN, tokens=int(20 * seconds)))

    @property
    def asked(self) -> list[str]:
        return [str(event.event_id) for event in self.sent if isinstance(event, events.ResponseCreate)]

    @property
    def hangups(self) -> int:
        return len(self.all(HangUp))


@pytest.fixture
def talk() -> Talk:
    return Talk()


# --- say it, then act -------------------------------------------------------------------------------------------------


def test_law_say_it_then_act__a_goodbye_during_a_long_sentence_is_heard_behind_it(talk: Talk) -> None:
    talk.says("resp_1", 12)
    talk.step(inputs.Hangup(goodbye="Bye."))
    assert talk.asked == ["goodbye_program"]
    talk.says("resp_bye", 3, asked="goodbye_program", told=False)
    talk.wait(12)
    assert talk.hangups == 0
    talk.receive(playing("stopped", "resp_1"), playing("started", "resp_bye"))
    talk.wait(3)
    assert talk.hangups == 0
    talk.receive(playing("stopped", "resp_bye"))
    talk.wait(0.3)
    assert talk.hangups == 1
    assert talk.done("goodbye_program") == [Heard.ENTIRELY]


def test_law_say_it_then_act__a_goodbye_behind_speech_of_which_nothing_is_told_has_its_time_too(talk: Talk) -> None:
    talk.says("resp_1", 12, told=False)
    talk.step(inputs.Hangup(goodbye="Bye."))
    talk.says("resp_bye", 3, asked="goodbye_program", told=False)
    talk.wait(15)
    assert talk.hangups == 0
    talk.wait(10)
    assert talk.hangups == 1


@pytest.mark.parametrize("told", [True, False])
def test_law_say_it_then_act__a_sentence_of_45_seconds_is_not_cut_by_hanging_up_after_speech(
    talk: Talk, told: bool
) -> None:
    talk.says("resp_1", 45, told=told)
    talk.step(inputs.Hangup(after_speech=True))
    talk.wait(45)
    assert talk.hangups == 0
    talk.receive(playing("stopped", "resp_1"))
    talk.wait(0.3)
    assert talk.hangups == 1


def test_law_say_it_then_act__the_length_that_becomes_known_later_counts(talk: Talk) -> None:
    talk.receive(created("resp_1"), playing("started", "resp_1"))
    talk.step(inputs.Hangup(after_speech=True))
    talk.wait(5)
    talk.receive(done("resp_1", SPOKEN, tokens=20 * 45))
    talk.wait(40)
    assert talk.hangups == 0
    talk.receive(playing("stopped", "resp_1"))
    talk.wait(0.3)
    assert talk.hangups == 1


def test_law_say_it_then_act__a_bound_in_any_case(talk: Talk) -> None:
    talk.says("resp_1", 45)
    talk.step(inputs.Hangup(after_speech=True))
    talk.wait(45 + 30)
    assert talk.hangups == 1


def test_law_say_it_then_act__hanging_up_happens_also_if_the_caller_barges_in(talk: Talk) -> None:
    talk.says("resp_1", 45)
    talk.step(inputs.Hangup(after_speech=True))
    talk.wait(3)
    talk.receive(SPEECH_STARTED, playing("cleared", "resp_1"))
    assert talk.hangups == 1


def test_law_say_it_then_act__the_goodbye_of_a_limit_is_heard_behind_what_is_being_said() -> None:
    talk = Talk(CallLimits(max_duration=30, silence=None, first_sound=None, goodbye_time=5))
    talk.wait(29)
    talk.says("resp_1", 12)
    talk.wait(1)
    assert talk.asked == ["goodbye_limit"]
    talk.says("resp_bye", 3, asked="goodbye_limit", told=False)
    talk.wait(11)
    talk.receive(playing("stopped", "resp_1"), playing("started", "resp_bye"))
    talk.wait(3)
    assert talk.hangups == 0
    talk.receive(playing("stopped", "resp_bye"))
    talk.wait(0.3)
    assert talk.hangups == 1


def test_law_say_it_then_act__an_announcement_is_heard_behind_what_is_being_said(talk: Talk) -> None:
    request = TransferRequest(call_id="rtc_1", name="billing", target=TransferTarget("tel:+14155550123"))
    talk.says("resp_1", 12)
    talk.step(inputs.Transfer("transfer", request, announcement="Say that you transfer them."))
    assert talk.asked == ["announcement_transfer"]
    talk.says("resp_2", 3, asked="announcement_transfer", told=False)
    talk.wait(12)
    talk.receive(playing("stopped", "resp_1"), playing("started", "resp_2"))
    talk.wait(3)
    assert talk.all(Refer) == []
    talk.receive(playing("stopped", "resp_2"))
    talk.wait(0.3)
    assert talk.all(Refer) == [Refer(request)]


def test_law_say_it_then_act__the_time_for_digits_begins_when_the_prompt_behind_a_sentence_was_heard(
    talk: Talk,
) -> None:
    digits = collector(timeout=5.0)
    talk.says("resp_1", 12)
    talk.step(inputs.Collect("digits", digits, "Ask for the number.", barge_in=True, secret=False))
    talk.says("resp_2", 3, asked="prompt_digits", told=False)
    talk.wait(12)
    talk.receive(playing("stopped", "resp_1"), playing("started", "resp_2"))
    talk.wait(3)
    talk.receive(playing("stopped", "resp_2"))
    talk.wait(5)
    assert talk.done("digits") == []
    talk.wait(0.3)
    assert talk.done("digits") == [CollectedDigits("", DigitsEnd.TIMEOUT)]


# --- while hanging up is tried again ----------------------------------------------------------------------------------


def held(talk: Talk) -> bool:
    """Whether turn detection was held as far as was sent."""
    wires = [event.to_wire()["session"] for event in talk.sent if isinstance(event, events.SessionUpdate)]
    return bool(wires) and wires[-1]["audio"]["input"]["turn_detection"]["create_response"] is False


def begin(talk: Talk, how: str) -> None:
    talk.step(inputs.Hangup())
    if how == "refused":
        talk.step(inputs.HangupFailed(LOST))
    else:
        talk.wait(1)


@pytest.mark.parametrize("how", ["refused", "unanswered"])
def test_law_while_hanging_up_is_tried_again_the_model_answers_nobody(talk: Talk, how: str) -> None:
    talk.receive(created("resp_1"), item_done(call("call_1"), "resp_1"), done("resp_1", call("call_1")))
    begin(talk, how)
    assert held(talk)
    talk.step(inputs.ToolEnded("call_1", "output"))
    talk.step(inputs.Respond("speech"))
    talk.receive(added("call_1"), SPEECH_STARTED, SPEECH_STOPPED)
    talk.wait(4)
    talk.receive(created("resp_own"))
    talk.wait(30)
    assert talk.asked == []
    cancelled = [event.response_id for event in talk.sent if isinstance(event, events.ResponseCancel)]
    assert cancelled == ["resp_own"], "the service may be faster than what holds it"


@pytest.mark.parametrize("how", ["refused", "unanswered"])
def test_while_hanging_up_is_tried_again_what_is_being_said_is_stopped(talk: Talk, how: str) -> None:
    talk.receive(created("resp_1"), playing("started", "resp_1"))
    begin(talk, how)
    kinds = [event.type for event in talk.sent]
    assert "response.cancel" in kinds
    assert "output_audio_buffer.clear" in kinds


def test_a_hang_up_that_is_answered_at_once_holds_nothing(talk: Talk) -> None:
    talk.step(inputs.Hangup())
    talk.step(inputs.HungUp())
    talk.step(inputs.Closed(CLOSED))
    assert talk.sent == []
    assert (talk.ended.reason, talk.ended.certainty) == (EndReason.AGENT, "reported")


# --- gone, as far as we know ------------------------------------------------------------------------------------------


def accepted() -> Door:
    door = Door()
    door.step(inputs.Answer())
    door.step(inputs.Accepted())
    return door


@pytest.mark.parametrize("early", [GONE, NotFoundError("no JSON", status_code=404)])
@pytest.mark.parametrize("error", [GONE, LOST, ServerError("failed", status_code=500)])
def test_law_what_ends_without_proof_gets_one_harmless_hangup(early: RealtimeSipError, error: RealtimeSipError) -> None:
    door = accepted()
    while not door.all(HangUp):
        door.attach_fails(early)
        door.wait(0.5)
        assert door.now < 10
    assert door.now >= 8
    door.step(inputs.HangupFailed(error))
    door.wait(100)
    assert len(door.all(HangUp)) == 1
    assert (door.ended.reason, door.ended.certainty) == (EndReason.NOT_CONNECTED, "inferred")
    assert ("may be up" in door.ended.evidence) is (error is not GONE)


def test_law_what_ends_without_proof_gets_one_harmless_hangup__and_says_what_it_was_though_that_succeeds() -> None:
    door = accepted()
    while not door.all(HangUp):
        door.attach_fails(GONE)
        door.wait(0.5)
    door.step(inputs.HungUp())
    assert door.ended.reason is EndReason.NOT_CONNECTED


def test_law_what_is_proven_to_be_gone_is_not_hung_up(talk: Talk) -> None:
    talk.step(inputs.Closed(CLOSED))
    talk.attach_fails(GONE)
    assert talk.ended.reason is EndReason.CALLER
    assert talk.hangups == 0


def ring(*what: inputs.Input) -> Door:
    door = Door()
    for one in (inputs.Answer(), *what):
        door.step(one)
    return door


@pytest.mark.parametrize(
    ("door", "reason"),
    [
        (ring(inputs.AcceptFailed(DECIDED)), EndReason.DECIDED_ELSEWHERE),
        (ring(inputs.NoCaller()), EndReason.STALE),
        (ring(inputs.NoCaller(reported=True)), EndReason.CALLER),
        (ring(inputs.Accepted(), inputs.Attached(), inputs.LetGo("let go")), EndReason.DETACHED),
        (ring(inputs.AcceptFailed(GONE)), EndReason.CALLER),
    ],
)
def test_law_never_a_hangup_of_a_call_that_is_somebody_elses(door: Door, reason: EndReason) -> None:
    assert door.ended.reason is reason
    for what in (inputs.Hangup(), inputs.Fail("because"), inputs.Tick(), inputs.AttachFailed(GONE)):
        door.now += 100
        door.step(what)
    assert door.all(HangUp) == []
    assert len(door.all(Finish)) == 1


def test_a_hangup_while_the_phone_rings_is_sent_and_nothing_is_attached() -> None:
    door = ring(inputs.Hangup())
    door.step(inputs.Accepted())
    assert [type(one) for one in door.out] == [Accept, HangUp]
    assert door.s.socket is Socket.RINGING
    assert door.all(Reject) == []
