"""Slow tools are not silence: what is said meanwhile, and tools that go on in the background."""

from __future__ import annotations

from typing import Any

import pytest
from door import (
    NO_LIMITS,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    SPOKEN,
    Door,
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
from realtime_sip.call.machine.effects import RunTool, Tell
from realtime_sip.outcomes import ServiceRefused
from realtime_sip.session import RealtimeSession


class Slow(Door):
    """A call whose model has called tools, and says what it is asked for."""

    def __init__(self, limits: CallLimits = NO_LIMITS) -> None:
        super().__init__(RealtimeSession(instructions="You sell cakes."), limits)
        self.responses = 0
        self.live()
        self.out.clear()

    def calls(self, *call_ids: str, progress: tuple[float, ...] = (8.0, 16.0), background: bool = False) -> None:
        self.responses += 1
        self.receive(created(f"resp_{self.responses}"), done(f"resp_{self.responses}", *map(call, call_ids)))
        for call_id in call_ids:
            assert any(run.call_id == call_id for run in self.all(RunTool))
            self.step(inputs.ToolBegan(call_id, "lookup", progress, background))

    @property
    def asked(self) -> list[events.ResponseCreate]:
        return [event for event in self.sent if isinstance(event, events.ResponseCreate)]

    @property
    def progress(self) -> list[events.ResponseCreate]:
        return [event for event in self.asked if str(event.event_id).startswith("progress_")]

    @property
    def items(self) -> list[Any]:
        return [event.item for event in self.sent if isinstance(event, events.ConversationItemCreate)]

    def says(self, seconds: float = 1.0) -> None:
        """The model says what it was asked for last, and the caller hears it."""
        self.responses += 1
        response_id = f"resp_{self.responses}"
        self.receive(created(response_id, key=self.asked[-1].event_id), playing("started", response_id))
        self.receive(done(response_id, SPOKEN, tokens=int(seconds * 20)))
        self.wait(seconds)
        self.receive(playing("stopped", response_id))

    def shows(self) -> None:
        """The conversation shows all items."""
        for item in self.items:
            self.receive({"type": "conversation.item.added", "item": item.to_wire()})


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_law_slow_tools_are_not_silence__the_model_says_that_it_is_still_at_it(slow: Slow) -> None:
    slow.calls("call_1")
    slow.wait(7.9)
    assert slow.asked == []
    slow.wait(0.2)
    (first,) = slow.progress
    assert first.response is not None
    assert "still at it" in str(first.response.instructions)
    assert str(first.response.instructions).startswith("You sell cakes.")
    assert first.response.tool_choice == "none"
    slow.says()
    slow.wait(8)
    assert len(slow.progress) == 2
    slow.says()
    slow.wait(60)
    assert len(slow.asked) == 2, "no more than was asked for"


def test_a_tool_that_is_done_in_time_is_not_said_to_be_slow(slow: Slow) -> None:
    slow.calls("call_1")
    slow.wait(5)
    slow.step(inputs.ToolEnded("call_1", "found"))
    slow.says()
    slow.wait(60)
    assert slow.progress == []
    assert len(slow.asked) == 1, "the answer"


@pytest.mark.parametrize("who", ["caller", "caller, and the answer is due", "model", "digits", "leaving"])
def test_law_progress_is_never_said_over_anybody(slow: Slow, who: str) -> None:
    slow.calls("call_1", progress=(8.0,))
    slow.wait(7.5)
    match who:
        case "caller":
            slow.receive(SPEECH_STARTED)
        case "caller, and the answer is due":
            slow.receive(SPEECH_STARTED, SPEECH_STOPPED)
        case "model":
            slow.receive(created("resp_own"), playing("started", "resp_own"))
        case "digits":
            slow.step(inputs.Collect("digits_1", collector(), None, barge_in=True, secret=False))
        case _:
            slow.step(inputs.Hangup(after_speech=True))
    slow.wait(1)
    if who.startswith("caller"):
        slow.receive(SPEECH_STOPPED)
    slow.wait(5)
    assert slow.progress == []


def test_law_progress_is_never_said_twice_for_two_tools(slow: Slow) -> None:
    slow.calls("call_1", "call_2")
    slow.wait(8.1)
    slow.says()
    slow.wait(3)
    assert len(slow.progress) == 1
    slow.step(inputs.ToolEnded("call_1", "found"))
    slow.wait(5)
    assert len(slow.progress) == 2, "the other one is still running"


def test_tools_that_began_one_after_the_other_share_it(slow: Slow) -> None:
    slow.calls("call_1", progress=(8.0,))
    slow.wait(4)
    slow.calls("call_2", progress=(8.0,))
    slow.wait(4.1)
    slow.says()
    slow.wait(4)
    assert len(slow.progress) == 1


def test_what_is_said_meanwhile_answers_no_tool(slow: Slow) -> None:
    slow.calls("call_1", "call_2", progress=(8.0,))
    slow.step(inputs.ToolEnded("call_1", "found"))
    slow.shows()
    slow.wait(8.1)
    slow.says()
    slow.step(inputs.ToolEnded("call_2", "", respond=False))
    assert len(slow.asked) == 2, "the first one wants an answer"


def test_progress_that_was_refused_is_not_said_after_the_end(slow: Slow) -> None:
    slow.calls("call_1", progress=(8.0,))
    slow.wait(8.1)
    (said,) = slow.progress
    error = {"type": "x", "code": "conversation_already_has_active_response", "message": "…", "event_id": said.event_id}
    slow.receive({"type": "error", "error": error})
    slow.step(inputs.ToolEnded("call_1", "found"))
    slow.wait(3)
    slow.says()
    slow.wait(20)
    assert len(slow.progress) == 1
    assert len(slow.asked) == 2, "the answer"


def test_progress_that_fails_is_nothing_to_escalate(slow: Slow) -> None:
    slow.calls("call_1", progress=(8.0, 16.0, 24.0, 32.0))
    for count in range(4):
        slow.wait(8)
        assert len(slow.progress) == count + 1
        slow.responses += 1
        key = slow.progress[-1].event_id
        details = {"error": {"code": "server_error"}}
        slow.receive(created(f"resp_{slow.responses}", key=key))
        slow.receive(done(f"resp_{slow.responses}", status="failed", status_details=details))
    assert all(isinstance(tell.what, ServiceRefused) for tell in slow.all(Tell))
    slow.step(inputs.ToolEnded("call_1", "found"))
    assert len(slow.asked) == 5


def test_a_tool_in_the_background_is_answered_at_once_and_its_result_comes_later(slow: Slow) -> None:
    slow.calls("call_1", progress=(), background=True)
    (at_once,) = slow.items
    assert (at_once.type, at_once.call_id) == ("function_call_output", "call_1")
    assert "background" in at_once.output
    slow.shows()
    assert len(slow.asked) == 1
    slow.says()
    slow.wait(90)
    slow.step(inputs.ToolEnded("call_1", "42 cakes"))
    slow.step(inputs.ToolEnded("call_1", "43 cakes"))
    _, later = slow.items
    assert later.type == "message"
    assert "lookup" in later.content[0].text
    assert "42 cakes" in later.content[0].text
    assert len(slow.asked) == 2
    slow.shows()
    slow.says()
    slow.wait(60)
    assert len(slow.asked) == 2


def test_the_result_of_a_tool_in_the_background_waits_for_the_caller(slow: Slow) -> None:
    slow.calls("call_1", progress=(), background=True)
    slow.says()
    slow.receive(SPEECH_STARTED)
    slow.step(inputs.ToolEnded("call_1", "42 cakes"))
    assert len(slow.items) == 2
    assert len(slow.asked) == 1
    slow.receive(SPEECH_STOPPED)
    slow.wait(2)
    assert len(slow.asked) == 2


def test_the_result_of_a_tool_in_the_background_outlives_a_lost_sideband(slow: Slow) -> None:
    slow.calls("call_1", progress=(), background=True)
    slow.shows()
    slow.says()
    slow.step(inputs.ToolEnded("call_1", "42 cakes"))
    later = slow.items[-1]
    slow.attach_again()
    assert slow.items[-1] == later
    assert len([item for item in slow.items if item.id == later.id]) == 2


def test_a_tool_that_has_ended_does_not_begin(slow: Slow) -> None:
    slow.calls("call_1", progress=())
    slow.step(inputs.ToolEnded("call_1", "found"))
    slow.step(inputs.ToolBegan("call_1", "lookup", (8.0,), background=True))
    slow.wait(20)
    assert slow.progress == []
    assert len(slow.items) == 1


def test_a_response_that_called_a_tool_and_still_plays_is_not_talked_over(slow: Slow) -> None:
    slow.receive(created("resp_1"), playing("started", "resp_1"), item_done(call("call_1"), "resp_1"))
    slow.step(inputs.ToolBegan("call_1", "lookup", (1.0,)))
    slow.wait(1.5)
    assert slow.progress == []
