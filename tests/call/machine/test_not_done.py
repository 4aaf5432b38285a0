"""Nothing silent: what the service did not do, cut short or left out is told to the program, once for each."""

from __future__ import annotations

from typing import Any

import pytest
from door import NO_LIMITS, SPEECH_STARTED, SPEECH_STOPPED, SPOKEN, Door, Frame, call, created, done, playing, refused

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.session import tell
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.items import FunctionCallOutput
from realtime_sip.outcomes import Heard, RefusalKind, ServiceRefused
from realtime_sip.response import ResponseConfig
from realtime_sip.session import RealtimeSession

WRITTEN: Frame = {
    "id": "item_w",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "It is foggy."}],
}


class Talk(Door):
    """A call that is up."""

    def __init__(self, session: RealtimeSession | None = None) -> None:
        super().__init__(session, NO_LIMITS)
        self.live()
        self.out.clear()

    @property
    def asked(self) -> list[events.ResponseCreate]:
        return [event for event in self.sent if isinstance(event, events.ResponseCreate)]

    @property
    def told(self) -> list[Any]:
        return [tell.what for tell in self.all(effects.Tell)]

    def turn(self, *items: Frame, response_id: str = "resp_own", **shown: Any) -> None:
        """The caller speaks, and the service's own response ends."""
        self.receive(SPEECH_STARTED, SPEECH_STOPPED, created(response_id), done(response_id, *items, **shown))

    def grant(self) -> str:
        """The service begins the response that was asked for last; return its id."""
        response_id = f"resp_asked_{len(self.asked)}"
        self.receive(created(response_id, key=self.asked[-1].event_id))
        return response_id


@pytest.fixture
def talk() -> Talk:
    return Talk()


def failed(code: str | None) -> dict[str, Any]:
    return {"status": "failed", "status_details": {"type": "failed", "error": {"type": "x", "code": code}}}


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_a_response_that_was_cut_short_is_told_and_heard_in_part(talk: Talk, reason: str) -> None:
    talk.step(inputs.Respond("speech"))
    response_id = talk.grant()
    talk.receive(
        playing("started", response_id),
        done(response_id, SPOKEN, status="incomplete", status_details={"reason": reason}),
        playing("stopped", response_id),
    )
    assert talk.told == [ServiceRefused(RefusalKind.INCOMPLETE, reason, response_id=response_id)]
    talk.wait(1)
    assert talk.done("speech") == [Heard.IN_PART]


def test_a_response_that_was_played_before_its_end_was_told_is_heard_in_part_too(talk: Talk) -> None:
    talk.step(inputs.Respond("speech"))
    response_id = talk.grant()
    talk.receive(playing("started", response_id), playing("stopped", response_id))
    talk.receive(done(response_id, SPOKEN, status="incomplete", status_details={"reason": "content_filter"}))
    talk.wait(1)
    assert talk.done("speech") == [Heard.IN_PART]


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "inference_rate_limit_exceeded", "server_error", None])
def test_the_services_own_response_that_failed_is_told_and_asked_for_twice_more(talk: Talk, code: str | None) -> None:
    talk.turn(**failed(code))
    assert talk.told == [ServiceRefused(RefusalKind.FAILED, code, response_id="resp_own", again=True)]
    talk.wait(1)
    talk.receive(done(talk.grant(), **failed(code)))
    assert talk.told[-1].again
    talk.wait(2)
    talk.receive(done(talk.grant(), **failed(code)))
    assert not talk.told[-1].again
    assert [told.kind for told in talk.told] == ["failed"] * 3


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_quota_is_told_at_once_and_not_asked_for_again(talk: Talk, code: str) -> None:
    talk.turn(**failed(code))
    assert talk.told == [
        ServiceRefused(RefusalKind.QUOTA, code, response_id="resp_own"),
        Escalation(EscalationCause.RESPONSE_FAILURES, 1),
    ]
    talk.wait(300)
    assert talk.asked == []


def test_speech_that_failed_tells_its_code(talk: Talk) -> None:
    talk.step(inputs.Respond("speech"))
    talk.receive(done(talk.grant(), **failed("server_error")))
    assert talk.done("speech") == [Heard.FAILED]
    assert talk.told == [ServiceRefused(RefusalKind.FAILED, "server_error", response_id="resp_asked_1")]


@pytest.mark.parametrize("items", [[], [WRITTEN]], ids=["empty", "text only"])
def test_a_response_with_nothing_to_hear_is_told_and_asked_for_once_more(talk: Talk, items: list[Frame]) -> None:
    talk.turn(*items)
    assert talk.told == [ServiceRefused(RefusalKind.NOTHING_TO_HEAR, response_id="resp_own", again=True)]
    talk.wait(1)
    assert len(talk.asked) == 1
    talk.receive(done(talk.grant(), SPOKEN))
    talk.wait(300)
    assert len(talk.asked) == 1


def test_a_service_that_has_nothing_to_say_is_not_asked_over_and_over(talk: Talk) -> None:
    for number in range(5):
        talk.turn(response_id=f"resp_{number}")
        talk.wait(0.5)
    assert [told.again for told in talk.told] == [True, False, False, False, False]
    talk.wait(300)
    assert len(talk.asked) <= 1


def test_an_empty_response_that_nothing_else_has_shown_is_told_and_not_asked_for_again(talk: Talk) -> None:
    talk.receive(created("resp_1"), done("resp_foreign"), done("resp_1", SPOKEN))
    assert talk.told == [ServiceRefused(RefusalKind.NOTHING_TO_HEAR, response_id="resp_foreign")]
    talk.wait(300)
    assert talk.asked == []


def test_text_is_nothing_unusual_in_a_session_of_text() -> None:
    talk = Talk(RealtimeSession(output_modalities=["text"]))
    talk.turn(WRITTEN)
    talk.wait(10)
    assert (talk.told, talk.asked) == ([], [])


def test_text_that_was_asked_for_is_nothing_unusual(talk: Talk) -> None:
    talk.step(inputs.Respond("speech", None, ResponseConfig(output_modalities=["text"])))
    talk.receive(done(talk.grant(), WRITTEN, output_modalities=["text"]))
    assert talk.told == []


def test_a_session_that_was_changed_to_text_counts(talk: Talk) -> None:
    talk.receive({"type": "session.updated", "session": {"type": "realtime", "output_modalities": ["text"]}})
    talk.turn(WRITTEN)
    assert talk.told == []


def test_a_response_that_calls_or_is_stopped_or_stands_outside_is_nothing_unusual(talk: Talk) -> None:
    talk.turn(call("call_1"))
    talk.turn(response_id="resp_2", status="cancelled", status_details={"reason": "turn_detected"})
    talk.receive(created("resp_3", conversation=None), done("resp_3", WRITTEN, conversation=None))
    assert talk.told == []


def test_the_end_of_a_response_that_comes_twice_is_told_once(talk: Talk) -> None:
    talk.turn(**failed("server_error"))
    talk.receive(done("resp_own", **failed("server_error")))
    assert len(talk.told) == 1


def test_a_response_outside_of_the_conversation_that_failed_is_told(talk: Talk) -> None:
    talk.step(inputs.Respond("speech", None, ResponseConfig(conversation="none")))
    key = talk.asked[-1].event_id
    talk.receive(created("resp_o", key=key, conversation=None))
    talk.receive(done("resp_o", conversation=None, **failed("server_error")))
    assert talk.told == [ServiceRefused(RefusalKind.FAILED, "server_error", response_id="resp_o")]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_an_error_that_nobody_waits_for_is_told(talk: Talk) -> None:
    talk.receive(refused("event_of_mine", "invalid_value", "item.content"))
    talk.receive(refused(None, "server_error"))
    assert talk.told == [
        ServiceRefused(RefusalKind.REFUSED, "invalid_value", "item.content"),
        ServiceRefused(RefusalKind.REFUSED, "server_error"),
    ]


def test_what_an_error_says_is_told_without_numbers_and_in_a_bounded_length(talk: Talk) -> None:
    talk.receive(refused("mine", "no_such_+14155550100", "x" * 5000))
    (told,) = talk.told
    assert "4155550100" not in str(told)
    assert len(str(told)) < 700


@pytest.mark.parametrize("odd", [None, 7, ["a"], {"a": 1}, "", True])
def test_an_error_of_any_shape_is_told(talk: Talk, odd: Any) -> None:
    error = {"type": odd, "code": odd, "param": odd, "message": odd, "event_id": "mine"}
    talk.receive({"type": "error", "error": error}, {"type": "error", "error": odd})
    assert talk.told == [ServiceRefused(RefusalKind.REFUSED)] * 2


def test_that_there_was_nothing_to_stop_any_more_is_no_refusal(talk: Talk) -> None:
    talk.receive(refused("cancel_1", "response_cancel_not_active"))
    assert talk.told == []


def test_an_item_that_is_refused_is_told_and_sent_once_more(talk: Talk) -> None:
    talk.apply(lambda: tell(talk.s, "A note."))
    (create,) = [event for event in talk.sent if isinstance(event, events.ConversationItemCreate)]
    talk.receive(refused(create.event_id), refused(create.event_id))
    item_id = create.item.id
    assert talk.told == [
        ServiceRefused(RefusalKind.REFUSED, "invalid_value", item_id=item_id, again=True),
        ServiceRefused(RefusalKind.REFUSED, "invalid_value", item_id=item_id),
    ]


def test_law_every_tool_call_is_answered__with_an_error_if_its_output_is_refused_again(talk: Talk) -> None:
    talk.turn(call("call_1"))
    talk.step(inputs.ToolEnded("call_1", "too odd"))

    def outputs() -> list[events.ConversationItemCreate]:
        return [event for event in talk.sent if isinstance(event, events.ConversationItemCreate)]

    talk.receive(refused(outputs()[-1].event_id))
    talk.receive(refused(outputs()[-1].event_id))
    first, again, instead = (event.item for event in outputs())
    assert first == again
    assert isinstance(instead, FunctionCallOutput)
    assert instead.call_id == "call_1"
    assert "error" in instead.output
    talk.receive(refused(outputs()[-1].event_id))
    talk.receive(refused(outputs()[-1].event_id))
    talk.wait(3)
    assert len(outputs()) == 4, "bounded"
    assert len(talk.asked) == 1, "the model is asked to go on"


def test_law_after_a_re_attach_an_output_that_is_refused_is_taken_to_be_there(talk: Talk) -> None:
    talk.turn(call("call_1"))
    talk.step(inputs.ToolEnded("call_1", "found"))
    talk.wait(1)
    talk.attach_again()
    creates = [event for event in talk.sent if isinstance(event, events.ConversationItemCreate)]
    talk.receive(refused(creates[-1].event_id, None), refused(creates[-1].event_id, None))
    creates = [event for event in talk.sent if isinstance(event, events.ConversationItemCreate)]
    assert len({str(create.item.id) for create in creates}) == 1
    assert [one for one in talk.told if isinstance(one, ServiceRefused)] == []
    talk.wait(5)
    assert len({ask.event_id for ask in talk.asked}) == 1


def test_an_update_of_the_programs_own_event_that_is_refused_is_told(talk: Talk) -> None:
    update = events.SessionUpdate(event_id="mine", session=RealtimeSession(instructions="Be kind."))
    talk.step(inputs.SendEvent(update))
    talk.receive(refused("mine", "invalid_value", "session.instructions"))
    assert talk.told == [ServiceRefused(RefusalKind.REFUSED, "invalid_value", "session.instructions")]


def test_an_update_that_somebody_waits_for_is_told_to_them_alone(talk: Talk) -> None:
    talk.step(inputs.Update("update_1", RealtimeSession(instructions="Be kind.")))
    talk.receive(refused("update_1"))
    assert talk.told == []
    assert len(talk.done("update_1")) == 1


def test_a_response_that_is_refused_or_never_begun_is_told(talk: Talk) -> None:
    talk.step(inputs.Respond("speech_1"))
    talk.receive(refused("speech_1", "invalid_value", "response.voice"))
    assert talk.told == [ServiceRefused(RefusalKind.REFUSED, "invalid_value", "response.voice")]
    talk.step(inputs.Respond("speech_2"))
    talk.receive({"type": "rate_limits.updated", "rate_limits": []})
    talk.wait(11)
    assert talk.told[1:] == [ServiceRefused(RefusalKind.REFUSED)]


def test_quota_that_refuses_an_answer_is_not_asked_again(talk: Talk) -> None:
    talk.turn(call("call_1"))
    talk.step(inputs.ToolEnded("call_1", "found"))
    talk.wait(1)
    talk.receive(refused(talk.asked[-1].event_id, "insufficient_quota"))
    assert talk.told == [
        ServiceRefused(RefusalKind.QUOTA, "insufficient_quota"),
        Escalation(EscalationCause.RESPONSE_FAILURES, 1),
    ]
    talk.wait(300)
    assert len(talk.asked) == 1


def test_an_mcp_call_that_is_not_approved_is_told(talk: Talk) -> None:
    request = {"id": "mcpr_1", "type": "mcp_approval_request", "server_label": "docs", "name": "f", "arguments": "{}"}
    talk.turn(request)
    talk.step(inputs.ApprovalDecided("mcpr_1", False))
    assert talk.told == [ServiceRefused(RefusalKind.APPROVAL_DENIED, item_id="mcpr_1")]
