"""No silence without a cause: answers that fail, calls that are lost in a hole, and tools without end."""

from __future__ import annotations

from typing import Any

import pytest
from door import (
    NO_LIMITS,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    SPOKEN,
    Door,
    Frame,
    added,
    call,
    collector,
    created,
    done,
    item_done,
    key,
    playing,
    refused,
    updated,
)

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import HangUp, RunTool
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.outcomes import EndReason, Heard, LimitKind, LimitNear, ServiceRefused
from realtime_sip.session import RealtimeSession


class Talk(Door):
    """A call that is up, whose model is asked and answers."""

    def __init__(self, session: RealtimeSession | None = None, limits: CallLimits = NO_LIMITS) -> None:
        super().__init__(session, limits)
        self.responses = 0
        self.live()
        self.out.clear()

    @property
    def asked(self) -> list[events.ResponseCreate]:
        return [event for event in self.sent if isinstance(event, events.ResponseCreate)]

    @property
    def told(self) -> list[Any]:
        """What was told, but for what the service refused."""
        return [tell.what for tell in self.all(effects.Tell) if not isinstance(tell.what, ServiceRefused)]

    @property
    def refusals(self) -> list[ServiceRefused]:
        return [tell.what for tell in self.all(effects.Tell) if isinstance(tell.what, ServiceRefused)]

    def grant(self) -> str:
        """The service begins the response that was asked for last; return its id."""
        self.responses += 1
        response_id = f"resp_asked_{self.responses}"
        self.receive(created(response_id, key=self.asked[-1].event_id))
        return response_id

    def fails(self, code: str = "server_error", *, status: str = "failed") -> None:
        """What was asked for last fails."""
        details = {"error": {"code": code}} if status == "failed" else {"reason": code}
        self.receive(done(self.grant(), status=status, status_details=details))

    def calls(self, *call_ids: str, response_id: str = "resp_1") -> None:
        """The model calls tools, which have their output at once."""
        self.receive(created(response_id), done(response_id, *map(call, call_ids)))
        self.put_out(*call_ids)

    def put_out(self, *call_ids: str) -> None:
        for call_id in call_ids:
            self.step(inputs.ToolEnded(call_id, "output"))
            self.receive(added(call_id))


@pytest.fixture
def talk() -> Talk:
    return Talk()


# --- an answer that failed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [("rate_limit_exceeded", "failed"), ("server_error", "failed"), ("max_output_tokens", "incomplete")],
)
def test_law_no_silence_without_a_cause__an_answer_that_failed_is_asked_again_then_said_otherwise_then_escalated(
    talk: Talk, code: str, status: str
) -> None:
    talk.calls("call_1")
    asked_at = [talk.now]
    for count in (2, 3):
        talk.fails(code, status=status)
        assert len(talk.asked) == count - 1, "not at once"
        while len(talk.asked) < count:
            talk.wait(0.5)
        asked_at.append(talk.now)
    assert asked_at == [0, 1, 3]
    talk.fails(code, status=status)
    assert len(talk.asked) == 4
    sorry = talk.asked[-1].response
    assert sorry is not None
    assert sorry.tool_choice == "none"
    assert "wrong" in str(sorry.instructions)
    assert talk.told == []
    talk.fails(code, status=status)
    assert talk.told == [Escalation(EscalationCause.RESPONSE_FAILURES, 4)]
    talk.wait(300)
    assert len(talk.asked) == 4, "bounded"


def test_the_services_own_response_that_failed_is_asked_for_again(talk: Talk) -> None:
    talk.receive(SPEECH_STARTED, SPEECH_STOPPED, created("resp_own"))
    talk.receive(done("resp_own", status="failed", status_details={"error": {"code": "server_error"}}))
    talk.wait(1)
    assert len(talk.asked) == 1


def test_an_answer_that_succeeds_begins_the_count_anew(talk: Talk) -> None:
    talk.calls("call_1")
    for _ in range(3):
        talk.fails()
        talk.wait(1)
        talk.receive(done(talk.grant(), SPOKEN))
        talk.wait(10)
        talk.calls(f"call_{talk.responses + 1}", response_id=f"resp_{talk.responses + 1}")
    assert talk.told == []


def test_no_waiting_cures_an_account_without_money(talk: Talk) -> None:
    talk.calls("call_1")
    talk.fails("insufficient_quota")
    assert talk.told == [Escalation(EscalationCause.RESPONSE_FAILURES, 1)]
    talk.wait(300)
    assert len(talk.asked) == 1


def test_an_answer_that_was_cut_short_while_it_was_heard_is_not_asked_again(talk: Talk) -> None:
    talk.calls("call_1")
    response_id = talk.grant()
    talk.receive(
        playing("started", response_id),
        done(response_id, SPOKEN, status="incomplete", status_details={"reason": "max_output_tokens"}),
    )
    talk.wait(300)
    assert len(talk.asked) == 1


def test_an_answer_that_the_caller_has_cut_off_is_not_asked_again(talk: Talk) -> None:
    talk.calls("call_1")
    talk.receive(done(talk.grant(), status="cancelled"))
    talk.wait(300)
    assert len(talk.asked) == 1


def test_speech_that_somebody_waits_for_is_told_to_have_failed_and_not_asked_again(talk: Talk) -> None:
    talk.step(inputs.Respond("speech"))
    talk.fails()
    talk.wait(300)
    assert len(talk.asked) == 1
    assert talk.done("speech") == [Heard.FAILED]


def test_an_answer_that_failed_is_not_asked_again_while_the_caller_speaks(talk: Talk) -> None:
    talk.calls("call_1")
    talk.fails()
    talk.receive(SPEECH_STARTED)
    talk.wait(20)
    assert len(talk.asked) == 1
    talk.receive(SPEECH_STOPPED, created("resp_own"), done("resp_own", SPOKEN))
    talk.wait(300)
    assert len(talk.asked) == 1, "the service has answered"


def test_an_answer_that_failed_is_not_asked_again_by_a_program_that_hangs_up(talk: Talk) -> None:
    talk.calls("call_1")
    talk.step(inputs.Hangup(after_speech=True))
    talk.fails()
    assert len(talk.all(HangUp)) == 1
    assert len(talk.asked) == 1


def test_an_answer_that_is_refused_is_asked_again_later_then_escalated(talk: Talk) -> None:
    talk.calls("call_1")
    asked_at = []
    for _ in range(3):
        asked_at.append(talk.now)
        talk.receive(refused(talk.asked[-1].event_id, "server_error"))
        talk.wait(5)
    assert len(talk.asked) == 3
    assert talk.told == [Escalation(EscalationCause.RESPONSE_FAILURES, 3)]


# --- what is lost in a hole -------------------------------------------------------------------------------------------


def retrieved(item: Frame) -> Frame:
    return {"type": "conversation.item.retrieved", "item": item}


def test_law_no_silence_without_a_cause__a_function_call_lost_in_a_hole_is_retrieved_and_run_once(talk: Talk) -> None:
    talk.receive(created("resp_1"), item_done(call("call_1", status="in_progress"), "resp_1", "added"))
    talk.attach_again()
    (retrieve,) = [event for event in talk.sent if isinstance(event, events.ConversationItemRetrieve)]
    assert retrieve.item_id == "fc_call_1"
    talk.receive(retrieved(call("call_1")), retrieved(call("call_1")), done("resp_1", call("call_1")))
    assert [tool.call_id for tool in talk.all(RunTool)] == ["call_1"]
    talk.put_out("call_1")
    talk.wait(3)
    assert len(talk.asked) == 1


def test_a_function_call_that_came_whole_is_not_retrieved(talk: Talk) -> None:
    talk.receive(created("resp_1"), item_done(call("call_1", status="in_progress"), "resp_1", "added"))
    talk.receive(item_done(call("call_1"), "resp_1"))
    talk.attach_again()
    assert not any(isinstance(event, events.ConversationItemRetrieve) for event in talk.sent)


def test_an_item_that_nobody_asked_for_is_not_run(talk: Talk) -> None:
    talk.receive(retrieved(call("call_1")))
    assert talk.all(RunTool) == []


def test_law_no_silence_without_a_cause__of_a_hole_from_which_nothing_comes_the_model_is_told(talk: Talk) -> None:
    talk.receive(SPEECH_STARTED, SPEECH_STOPPED, created("resp_1"))
    talk.attach_again()
    talk.wait(9)
    texts = [event for event in talk.sent if isinstance(event, events.ConversationItemCreate)]
    assert len(texts) == 1
    assert "lost" in str(texts[0].to_wire())
    assert len(talk.asked) == 1


def test_a_hole_in_which_nothing_was_awaited_is_no_reason_to_speak(talk: Talk) -> None:
    for _ in range(4):
        talk.attach_again()
        talk.wait(10)
    assert talk.sent == []


def test_a_hole_out_of_which_a_response_goes_on_is_no_reason_to_speak(talk: Talk) -> None:
    talk.receive(created("resp_1"))
    talk.attach_again()
    talk.receive(done("resp_1", SPOKEN))
    talk.wait(20)
    assert talk.asked == []


def test_law_no_silence_without_a_cause__the_end_of_a_response_that_has_only_called_costs_five_seconds_if_it_is_lost(
    talk: Talk,
) -> None:
    talk.receive(created("resp_1"), item_done(call("call_1"), "resp_1"))
    talk.put_out("call_1")
    talk.wait(4.9)
    assert talk.asked == []
    talk.wait(0.2)
    assert len(talk.asked) == 1


def test_the_end_of_a_response_that_has_called_counts_from_the_last_sign_of_it(talk: Talk) -> None:
    delta = {"item_id": "fc_2", "output_index": 1, "call_id": "call_2", "delta": "{"}
    talk.receive(created("resp_1"), item_done(call("call_1"), "resp_1"))
    talk.put_out("call_1")
    talk.wait(3)
    talk.receive({"type": "response.function_call_arguments.delta", "response_id": "resp_1", **delta})
    talk.wait(4)
    assert talk.asked == []
    talk.wait(1.1)
    assert len(talk.asked) == 1


def test_a_response_that_has_spoken_and_called_is_not_given_up_while_it_is_made(talk: Talk) -> None:
    delta = {"item_id": "item_1", "output_index": 0, "content_index": 0, "delta": "One moment."}
    talk.receive(created("resp_1"))
    talk.receive({"type": "response.output_audio_transcript.delta", "response_id": "resp_1", **delta})
    talk.receive(item_done(call("call_1"), "resp_1"))
    talk.put_out("call_1")
    talk.wait(20)
    assert talk.asked == []


# --- tools without end ------------------------------------------------------------------------------------------------


def looping(**options: Any) -> Talk:
    """The model calls a tool, and as the answer to it again, and so on."""
    talk = Talk(limits=CallLimits(max_duration=None, silence=None, first_sound=None, **options))
    talk.calls("call_0", response_id="resp_0")
    return talk


def again(talk: Talk, number: int) -> None:
    talk.receive(done(talk.grant(), call(f"call_{number}")))
    talk.put_out(f"call_{number}")


def test_law_a_tool_loop_has_an_end__the_eighth_answer_calls_none_and_then_the_call_ends() -> None:
    talk = looping()
    for number in range(1, 8):
        assert len(talk.asked) == number
        again(talk, number)
    choices = [asked.response.tool_choice for asked in talk.asked if asked.response is not None]
    assert choices == [None] * 7 + ["none"]
    assert talk.told == [LimitNear(LimitKind.TOOL_ROUNDS, None)]
    again(talk, 8)
    assert talk.told[1:] == [Escalation(EscalationCause.TOOL_ROUNDS, 9)]
    talk.wait(0)
    assert [str(asked.event_id).partition("_")[0] for asked in talk.asked] == ["answer"] * 8 + ["goodbye"]
    talk.receive(done(talk.grant()))
    talk.step(inputs.HungUp())
    talk.wait(1)
    assert (talk.ended.reason, talk.ended.limit) == (EndReason.LIMIT, LimitKind.TOOL_ROUNDS)


def test_law_a_tool_loop_has_an_end__that_the_model_speaks_as_it_is_told_is_one() -> None:
    talk = looping(tool_rounds=2)
    again(talk, 1)
    assert talk.asked[-1].response is not None
    assert talk.asked[-1].response.tool_choice == "none"
    talk.receive(done(talk.grant(), SPOKEN))
    talk.wait(300)
    assert talk.all(HangUp) == []
    assert talk.told == [LimitNear(LimitKind.TOOL_ROUNDS, None)]


@pytest.mark.parametrize("turn", [[SPEECH_STARTED, SPEECH_STOPPED], [key()]])
def test_a_turn_of_the_caller_begins_the_count_anew(turn: list[Frame]) -> None:
    talk = looping(tool_rounds=2)
    for number in range(1, 20):
        talk.receive(*turn)
        again(talk, number)
        talk.wait(1)
    assert talk.told == []
    assert len(talk.asked) == 20


def test_an_answer_that_is_asked_again_is_no_round_of_tools() -> None:
    talk = looping(tool_rounds=2)
    for _ in range(2):
        talk.fails()
        talk.wait(3)
    assert talk.told == []
    assert len(talk.asked) == 3


def test_rounds_without_a_limit_go_on() -> None:
    talk = looping(tool_rounds=None)
    for number in range(1, 50):
        again(talk, number)
    assert len(talk.asked) == 50
    assert talk.told == []


FORCED = ["required", {"type": "function", "name": "lookup"}]


@pytest.mark.parametrize("choice", FORCED)
@pytest.mark.parametrize("since", ["the accept", "an update"])
def test_law_a_tool_loop_has_an_end__answers_may_speak_where_the_session_forces_tools(choice: Any, since: str) -> None:
    wire = {"tool_choice": choice, "tools": [{"type": "function", "name": "lookup"}]}
    talk = Talk(RealtimeSession.model_validate(wire) if since == "the accept" else None)
    if since == "an update":
        talk.receive(updated(tool_choice=choice))
    talk.calls("call_1")
    assert talk.asked[-1].response is not None
    assert talk.asked[-1].response.tool_choice == "auto"


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_the_tool_choice_of_a_session_that_forces_none_is_left_alone(choice: str) -> None:
    talk = Talk(RealtimeSession.model_validate({"tool_choice": "required"}))
    talk.receive(updated(tool_choice=choice))
    talk.calls("call_1")
    assert talk.asked[-1].response is not None
    assert talk.asked[-1].response.tool_choice is None


# --- digits -----------------------------------------------------------------------------------------------------------


def test_tools_that_report_while_digits_are_collected_are_answered_after_them(talk: Talk) -> None:
    talk.step(inputs.Collect("digits", collector(max_digits=1), None, barge_in=False, secret=False))
    talk.receive(created("resp_1", key="x"), done("resp_1", call("call_1")))
    talk.put_out("call_1")
    talk.wait(5)
    assert talk.asked == []
    talk.receive(key())
    assert len(talk.asked) == 1
