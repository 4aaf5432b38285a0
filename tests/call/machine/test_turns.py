"""Whose turn it is: the sequencer against scripts, recordings, and a service that does things in any order."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from door import (
    SPEECH_STARTED,
    SPEECH_STOPPED,
    SPOKEN,
    Door,
    Frame,
    added,
    busy,
    call,
    collector,
    created,
    done,
    item_done,
    playing,
    refused,
    updated,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs, session, wants
from realtime_sip.call.machine.effects import AskApproval, Effect, RunTool
from realtime_sip.outcomes import Heard, SocketClose, SocketCloseKind
from realtime_sip.response import ResponseConfig
from realtime_sip.session import RealtimeSession


class Played(Door):
    """A call that is up, and what was heard of it."""

    def __init__(self, detection: Frame | None = None) -> None:
        super().__init__(RealtimeSession.model_validate({"audio": {"input": {"turn_detection": detection}}}))
        self.heard: dict[str, Heard] = {}
        self.live()
        self.out.clear()

    def take(self, out: list[Effect]) -> None:
        super().take(out)
        for effect in out:
            if isinstance(effect, effects.Done) and isinstance(effect.value, Heard):
                assert effect.key not in self.heard, "speech ends once"
                self.heard[effect.key] = effect.value

    def respond(self, key: str = "speech_1", *, despite_hold: bool = False, **config: Any) -> None:
        if despite_hold:
            self.apply(lambda: wants.respond(self.s, key, config=ResponseConfig(**config), despite_hold=True))
        else:
            self.step(inputs.Respond(key, config=ResponseConfig(**config)))

    def hold(self, reason: str = "digits") -> None:
        if reason == "digits":
            self.step(inputs.Collect(reason, collector(), None, barge_in=False, secret=False))
        else:
            self.apply(lambda: session.hold(self.s, reason))

    def release(self, reason: str = "digits") -> None:
        if reason == "digits":
            self.step(inputs.Abandon(reason))
        else:
            self.apply(lambda: session.release(self.s, reason))

    def output(self, call_id: str, *, respond: bool = True) -> None:
        self.step(inputs.ToolEnded(call_id, "output", respond))

    def interrupt(self) -> None:
        self.step(inputs.Interrupt())

    def approve(self, request_id: str, *, approve: bool) -> None:
        self.step(inputs.ApprovalDecided(request_id, approve))

    @property
    def active(self) -> str:
        return self.s.active

    @property
    def speaking(self) -> bool:
        return wants.speaking(self.s)

    @property
    def tools(self) -> list[RunTool]:
        return self.all(RunTool)

    @property
    def approvals(self) -> list[AskApproval]:
        return self.all(AskApproval)

    @property
    def asked(self) -> list[events.ResponseCreate]:
        return [event for event in self.sent if isinstance(event, events.ResponseCreate)]

    @property
    def updates(self) -> list[events.SessionUpdate]:
        return [event for event in self.sent if isinstance(event, events.SessionUpdate)]

    @property
    def cancelled(self) -> list[str | None]:
        return [event.response_id for event in self.sent if isinstance(event, events.ResponseCancel)]

    @property
    def outputs(self) -> list[Any]:
        return [e.item for e in self.sent if isinstance(e, events.ConversationItemCreate)]

    def last_key(self) -> str:
        key = self.asked[-1].event_id
        assert key is not None
        return key

    def granted(self, response_id: str) -> None:
        """The service starts the response that was asked for last."""
        response = self.asked[-1].response
        assert response is not None
        assert response.metadata is not None
        self.receive(created(response_id, key=response.metadata["realtime_sip"]))


@pytest.fixture
def played() -> Played:
    return Played()


# --- one response at a time ------------------------------------------------------------------------------------------


def test_law_one_response_at_a_time__ours_is_asked_for_at_once_when_nothing_is_going_on(played: Played) -> None:
    played.respond(instructions="Greet.")
    (asked,) = played.asked
    assert asked.response is not None
    assert asked.response.instructions == "Greet."


def test_the_programs_own_metadata_is_kept(played: Played) -> None:
    played.respond(metadata={"order": "7"})
    (asked,) = played.asked
    assert asked.response is not None
    assert asked.response.metadata == {"order": "7", "realtime_sip": "speech_1"}


def test_law_one_response_at_a_time__ours_waits_while_another_is_made(played: Played) -> None:
    played.receive(created("resp_own"))
    played.respond()
    assert played.asked == []
    played.receive(done("resp_own", SPOKEN))
    assert len(played.asked) == 1


def test_law_one_response_at_a_time__ours_waits_while_the_caller_speaks(played: Played) -> None:
    played.receive(SPEECH_STARTED)
    played.respond()
    assert played.asked == []
    played.receive(SPEECH_STOPPED)
    assert played.asked == [], "the service starts one by itself now"
    played.receive(created("resp_own"), done("resp_own", SPOKEN))
    assert len(played.asked) == 1


def test_law_one_response_at_a_time__ours_does_not_wait_for_a_service_that_does_not_respond_by_itself(
    played: Played,
) -> None:
    played.receive(detecting({"type": "server_vad", "create_response": False}), SPEECH_STARTED)
    played.respond()
    played.receive(SPEECH_STOPPED)
    assert len(played.asked) == 1


def test_law_one_response_at_a_time__both_sides_asking_at_once_is_absorbed_and_ours_queued_again(
    played: Played,
) -> None:
    played.respond()
    played.receive(created("resp_own", metadata={}), busy(played.last_key()))
    assert played.heard == {}
    played.receive(done("resp_own", SPOKEN))
    assert len(played.asked) == 2
    assert played.asked[0].event_id == played.asked[1].event_id


def test_law_one_response_at_a_time__a_refusal_that_names_no_event_is_ours_too(played: Played) -> None:
    played.receive(SPEECH_STARTED, SPEECH_STOPPED)
    played.wait(2)
    played.respond()
    played.receive(SPEECH_STARTED, SPEECH_STOPPED, created("resp_own"), busy(None), done("resp_own", SPOKEN))
    assert len(played.asked) == 2


def test_a_refusal_for_another_reason_ends_the_speech(played: Played) -> None:
    played.respond()
    played.receive(refused(played.last_key(), "invalid_value"))
    assert played.heard == {"speech_1": Heard.FAILED}
    assert len(played.asked) == 1


def test_an_error_of_something_else_changes_nothing(played: Played) -> None:
    played.respond()
    played.receive(refused("event_other", "invalid_value"))
    assert played.heard == {}


def test_two_responses_are_asked_for_one_after_the_other(played: Played) -> None:
    played.respond("a")
    played.respond("b")
    assert len(played.asked) == 1
    played.granted("resp_a")
    played.receive(done("resp_a", SPOKEN))
    assert [asked.event_id for asked in played.asked] == ["a", "b"]


def test_responses_outside_of_the_conversation_run_beside_and_do_not_count(played: Played) -> None:
    played.respond("a")
    played.respond("side", conversation="none")
    assert len(played.asked) == 2
    played.receive(created("resp_side", key="side", conversation=None))
    played.receive(done("resp_side", call("call_side"), conversation=None))
    assert played.tools == [], "tools run from the conversation only"
    assert played.heard == {"side": Heard.NOT_AT_ALL}
    assert played.active == ""


def test_a_response_outside_that_is_refused_or_never_comes_ends(played: Played) -> None:
    played.respond("refused", conversation="none")
    played.respond("lost", conversation="none")
    played.receive(refused("refused", None))
    assert played.heard == {"refused": Heard.FAILED}
    played.wait(60)
    assert played.heard["lost"] is Heard.FAILED


# --- tools ------------------------------------------------------------------------------------------------------------


def test_law_a_tool_runs_once_per_call_id(played: Played) -> None:
    played.receive(created("resp_1"))
    item = item_done(call("call_1"), "resp_1")
    played.receive(item, item, done("resp_1", call("call_1")), done("resp_1", call("call_1")))
    assert [tool.call_id for tool in played.tools] == ["call_1"]


@pytest.mark.parametrize("status", ["in_progress", "incomplete"])
def test_law_a_tool_runs_from_completed_items_only(played: Played, status: str) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1", status=status), status="cancelled"))
    assert played.tools == []


def test_a_call_that_the_client_put_into_the_conversation_is_not_run(played: Played) -> None:
    played.receive({"type": "conversation.item.added", "item": call("call_1")})
    played.receive({"type": "conversation.item.done", "item": call("call_1")})
    assert played.tools == []


def test_law_outputs_are_sent_as_they_finish_and_only_the_response_waits(played: Played) -> None:
    played.receive(created("resp_1"))
    for call_id in ("call_1", "call_2"):
        played.receive(item_done(call(call_id), "resp_1"))
    played.output("call_1")
    assert [item.call_id for item in played.outputs] == ["call_1"]
    played.receive(done("resp_1", call("call_1"), call("call_2")))
    assert played.asked == [], "the other tool has not reported"
    played.output("call_2")
    assert len(played.asked) == 1
    played.granted("resp_2")
    played.receive(added("call_1"), added("call_2"), done("resp_2", SPOKEN))
    played.wait(300)
    assert len(played.asked) == 1


def test_law_a_response_that_the_service_created_meanwhile_satisfies_it(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1")), SPEECH_STARTED)
    played.output("call_1")
    played.receive(added("call_1"), SPEECH_STOPPED, created("resp_own"), done("resp_own", SPOKEN))
    played.wait(300)
    assert played.asked == []


def test_a_response_that_did_not_know_the_output_does_not_satisfy_it(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1")), created("resp_own"))
    played.output("call_1")
    played.receive(done("resp_own", SPOKEN), added("call_1"))
    assert len(played.asked) == 1


def test_an_output_without_a_response_is_sent_and_that_is_all(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1")))
    played.output("call_1", respond=False)
    played.wait(300)
    assert len(played.outputs) == 1
    assert played.asked == []


def test_a_second_output_of_a_call_is_ignored_also_after_it_was_answered(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1")))
    played.output("call_1")
    played.output("call_1")
    played.granted("resp_2")
    played.receive(added("call_1"), done("resp_2", SPOKEN))
    played.output("call_1")
    assert len(played.outputs) == 1


def test_a_tool_that_nobody_answers_holds_nothing_up_for_ever(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1"), call("call_2")))
    played.output("call_1")
    assert played.asked == []
    played.wait(130)
    assert len(played.asked) == 1
    played.granted("resp_2")
    played.receive(added("call_1"), done("resp_2", SPOKEN))
    played.output("call_2")
    assert len(played.outputs) == 2


def test_an_answer_that_is_refused_is_tried_a_few_times_and_not_for_ever(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1")))
    played.output("call_1")
    for _ in range(10):
        played.receive(refused(played.last_key(), None))
        played.wait(10)
    assert 1 < len(played.asked) < 6


def test_the_recorded_tool_round_goes_as_recorded(shared_data: Path) -> None:
    played = Played()
    path = shared_data / "recordings" / "pydantic_ai__test_openai_ws__test_tool_call_round.jsonl"
    played.respond()
    for line in path.read_text().splitlines():
        frame = json.loads(line)
        if frame["direction"] == "received":
            if frame["data"]["type"] == "response.created":
                # The service gives back the metadata that it got; the recorded client had sent none.
                frame["data"]["response"]["metadata"] = {"realtime_sip": played.last_key()}
            played.step(inputs.Received(events.parse_server_event(json.dumps(frame["data"]))))
            for tool in played.tools[len(played.outputs) :]:
                played.output(tool.call_id)
    assert [tool.name for tool in played.tools] == ["get_weather"]
    assert [event.type for event in played.sent] == ["response.create", "conversation.item.create", "response.create"]


# --- MCP --------------------------------------------------------------------------------------------------------------


def mcp(kind: str, item_id: str = "mcp_1") -> Frame:
    return {"type": f"response.mcp_call.{kind}", "item_id": item_id, "output_index": 0}


def test_law_hosted_mcp_calls_get_their_response_when_both_the_call_and_its_response_have_ended(played: Played) -> None:
    played.receive(created("resp_1"), mcp("in_progress"), done("resp_1"))
    assert played.asked == []
    played.receive(mcp("completed"))
    assert len(played.asked) == 1
    played.granted("resp_2")
    played.receive(done("resp_2", SPOKEN))
    played.wait(300)
    assert len(played.asked) == 1


def test_an_mcp_call_that_never_ends_holds_nothing_up_for_ever(played: Played) -> None:
    played.receive(created("resp_1"), mcp("in_progress"), done("resp_1"))
    played.wait(31)
    assert len(played.asked) == 1


REQUEST = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "docs", "name": "search", "arguments": "{}"}


def test_an_approval_is_asked_for_once_and_a_refusal_is_answered_by_a_response(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", REQUEST), done("resp_1", REQUEST))
    assert [approval.request_id for approval in played.approvals] == ["mcpr_1"]
    assert played.asked == []
    played.approve("mcpr_1", approve=False)
    assert played.outputs[-1].approve is False
    assert len(played.asked) == 1


def test_an_approved_call_is_waited_for(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", REQUEST))
    played.approve("mcpr_1", approve=True)
    assert played.asked == []
    played.receive(mcp("in_progress"), mcp("completed"))
    assert len(played.asked) == 1


# --- speech -----------------------------------------------------------------------------------------------------------


def spoken(played: Played) -> None:
    played.respond()
    played.granted("resp_1")
    played.receive(playing("started", "resp_1"), done("resp_1", SPOKEN))


def test_law_speech_is_heard_when_it_stopped_and_a_little_later(played: Played) -> None:
    spoken(played)
    assert played.heard == {}
    assert played.s.book.audible
    played.receive(playing("stopped", "resp_1"))
    assert played.heard == {}, "the last syllable is on its way"
    played.wait(0.5)
    assert played.heard == {"speech_1": Heard.ENTIRELY}
    assert not played.speaking


def test_law_speech_is_over_when_it_was_cleared(played: Played) -> None:
    spoken(played)
    played.receive(playing("cleared", "resp_1"))
    assert played.heard == {"speech_1": Heard.IN_PART}


@pytest.mark.parametrize(
    ("frame", "heard"),
    [
        (done("resp_1", call("call_1")), Heard.NOT_AT_ALL),
        (done("resp_1"), Heard.NOT_AT_ALL),
        (done("resp_1", SPOKEN, status="cancelled"), Heard.NOT_AT_ALL),
        (done("resp_1", status="failed"), Heard.FAILED),
    ],
)
def test_law_speech_is_over_at_once_when_its_response_ended_without_audio(
    played: Played, frame: Frame, heard: Heard
) -> None:
    played.respond()
    played.granted("resp_1")
    played.receive(frame)
    assert played.heard == {"speech_1": heard}


@pytest.mark.parametrize("started", [True, False])
def test_law_speech_is_over_in_any_case_some_time_after_its_audio(played: Played, started: bool) -> None:
    played.respond()
    played.granted("resp_1")
    if started:
        played.receive(playing("started", "resp_1"))
    played.receive(done("resp_1", SPOKEN, tokens=200))  # ten seconds
    played.wait(9)
    assert played.heard == {}
    played.wait(10)
    assert played.heard == {"speech_1": Heard.ASSUMED}


def test_a_response_that_does_not_say_whose_it_is_is_taken_for_ours_when_nothing_refuses_it(played: Played) -> None:
    played.respond()
    played.receive(created("resp_1"), done("resp_1", call("call_1")))
    played.output("call_1")
    played.wait(3)
    assert played.heard == {"speech_1": Heard.ASSUMED}
    assert len(played.asked) == 2


def test_a_response_that_calls_a_thousand_tools_runs_few_and_all_are_answered(played: Played) -> None:
    calls = [f"call_{number}" for number in range(1000)]
    played.receive(created("resp_1"), done("resp_1", *map(call, calls)))
    running = [tool.call_id for tool in played.tools]
    assert running == calls[:64]
    for call_id in running:
        played.output(call_id)
    assert sorted(item.call_id for item in played.outputs) == sorted(calls)
    played.wait(20)
    assert len(played.asked) == 1


def test_a_response_that_is_never_created_ends_the_speech(played: Played) -> None:
    played.respond()
    played.receive({"type": "rate_limits.updated", "event_id": "event_1", "rate_limits": []})
    played.wait(15)
    assert played.heard == {"speech_1": Heard.FAILED}


def test_a_response_is_not_given_up_while_nothing_at_all_is_heard() -> None:
    """The socket is dead then, and over the next one it is asked for again."""
    played = Played()
    played.alive = False
    played.respond()
    played.wait(40)
    assert played.heard == {}
    assert played.all(effects.DropSocket)
    played.alive = True
    played.attach_again(SocketClose(SocketCloseKind.OURS, 1000))
    played.wait(5)
    assert [asked.event_id for asked in played.asked] == ["speech_1", "speech_1"]


def test_a_response_of_which_nothing_is_ever_heard_is_given_up_in_the_end(played: Played) -> None:
    played.alive = False
    played.respond()
    played.wait(70)
    assert played.heard == {"speech_1": Heard.FAILED}


@pytest.mark.parametrize("told", [created, done])
def test_a_response_that_is_known_under_one_key_does_not_grant_what_was_asked_under_another(
    played: Played, told: Callable[..., Frame]
) -> None:
    played.respond("a")
    played.granted("resp_a")
    played.receive(done("resp_a"))
    played.respond("b")
    played.receive(told("resp_a", metadata={"realtime_sip": "b"}), busy("b"), created("resp_c"), done("resp_c"))
    played.wait(5)
    assert [asked.event_id for asked in played.asked] == ["a", "b", "b"]
    assert "b" not in played.heard


def test_a_speech_is_told_though_whose_it_was_shows_only_when_it_was_heard(played: Played) -> None:
    played.respond()
    played.attach_again()
    played.receive(playing("started", "resp_1"), playing("stopped", "resp_1"))
    played.wait(1.5)
    played.receive(done("resp_1", SPOKEN, metadata={"realtime_sip": "speech_1"}))
    played.wait(5)
    assert played.heard == {"speech_1": Heard.ENTIRELY}
    assert len(played.asked) == 1


def test_an_end_without_an_id_does_not_leave_a_speech_without_one(played: Played) -> None:
    played.respond()
    played.receive(done("", metadata={"realtime_sip": "speech_1"}))
    played.wait(15)
    assert played.heard == {"speech_1": Heard.FAILED}


def test_a_response_whose_end_is_lost_holds_nothing_up_for_ever(played: Played) -> None:
    played.respond("a")
    played.granted("resp_a")
    played.receive(playing("started", "resp_a"), playing("stopped", "resp_a"))
    played.respond("b")
    played.wait(20)
    assert [asked.event_id for asked in played.asked] == ["a", "b"]
    assert played.heard == {"a": Heard.ENTIRELY} | {k: v for k, v in played.heard.items() if k != "a"}


def test_interrupting_cancels_and_clears(played: Played) -> None:
    played.respond()
    played.granted("resp_1")
    played.receive(playing("started", "resp_1"))
    played.interrupt()
    assert [event.type for event in played.sent[1:]] == ["response.cancel", "output_audio_buffer.clear"]
    played.receive(done("resp_1", SPOKEN, status="cancelled"), playing("cleared", "resp_1"))
    assert played.heard == {"speech_1": Heard.IN_PART}


def test_interrupting_what_is_only_heard_still_cancels_nothing(played: Played) -> None:
    spoken(played)
    played.interrupt()
    assert [event.type for event in played.sent[1:]] == ["output_audio_buffer.clear"]
    played.receive(playing("cleared", "resp_1"))
    assert played.heard == {"speech_1": Heard.IN_PART}


def test_interrupting_names_the_response_that_is_being_made(played: Played) -> None:
    played.receive(created("resp_own"))
    played.interrupt()
    assert played.cancelled == ["resp_own"]


def test_a_response_that_is_over_is_not_begun_again_by_a_repeat(played: Played) -> None:
    spoken(played)
    played.receive(playing("stopped", "resp_1"))
    played.wait(30)
    played.receive(created("resp_1"))
    assert played.active == ""
    assert not played.speaking


def test_interrupting_nothing_sends_nothing(played: Played) -> None:
    played.interrupt()
    assert played.sent == []


def test_a_goodbye_ends_what_was_not_asked_for_yet(played: Played) -> None:
    played.receive(created("resp_own"))
    played.respond()
    played.step(inputs.Hangup(goodbye="Bye."))
    played.receive(done("resp_own", SPOKEN))
    assert [asked.event_id for asked in played.asked] == ["goodbye_program"]
    assert played.heard == {"speech_1": Heard.NOT_AT_ALL}


@pytest.mark.parametrize("audible", [True, False])
def test_interrupting_stops_a_response_that_was_asked_for_and_not_created_yet(played: Played, audible: bool) -> None:
    if audible:
        spoken(played)
    played.respond("late")
    played.interrupt()
    assert [event.type for event in played.sent[-2:]] == ["response.cancel", "output_audio_buffer.clear"]
    assert played.cancelled == [None], "it has no id yet"
    played.granted("resp_late")
    played.receive(done("resp_late", status="cancelled"))
    assert played.heard["late"] is Heard.NOT_AT_ALL


# --- a hold -----------------------------------------------------------------------------------------------------------

DETECTION = {"type": "server_vad", "create_response": True}


def detecting(detection: Frame | None) -> Frame:
    return updated(audio={"input": {"turn_detection": detection}})


QUIET = detecting({**DETECTION, "create_response": False})


def creates_of(update: events.SessionUpdate) -> bool:
    creates: bool = update.to_wire()["session"]["audio"]["input"]["turn_detection"]["create_response"]
    return creates


@pytest.fixture
def held() -> Played:
    """Turns under a hold that the service has confirmed."""
    played = Played(DETECTION)
    played.hold()
    played.receive(QUIET)
    return played


def test_law_a_hold_turns_the_services_responses_off_and_a_release_turns_them_on() -> None:
    played = Played(DETECTION)
    states = [played.s.hold.on]
    played.hold()
    states.append(played.s.hold.on)
    played.receive(QUIET)
    played.release()
    states.append(played.s.hold.on)
    assert states == [False, True, False]
    played.receive(detecting(DETECTION))
    played.wait(300)
    assert [creates_of(update) for update in played.updates] == [False, True]


def test_law_a_held_response_waits_for_the_release(held: Played) -> None:
    held.respond()
    held.wait(300)
    assert held.asked == []
    assert held.heard == {}
    held.release()
    assert [asked.event_id for asked in held.asked] == ["speech_1"]


def test_a_held_response_waits_for_the_last_of_two_releases(held: Played) -> None:
    held.hold("transfer")
    held.respond()
    held.release("digits")
    assert held.asked == []
    held.release("transfer")
    assert len(held.asked) == 1


def test_what_is_asked_for_despite_the_hold_overtakes_what_waits_in_its_own_order(held: Played) -> None:
    held.respond("waits")
    held.respond("prompt", despite_hold=True)
    held.respond("again", despite_hold=True)
    for response_id in ("resp_1", "resp_2"):
        held.granted(response_id)
        held.receive(done(response_id, SPOKEN))
    assert [asked.event_id for asked in held.asked] == ["prompt", "again"]
    held.release()
    assert [asked.event_id for asked in held.asked] == ["prompt", "again", "waits"]


def test_what_is_asked_for_despite_the_hold_waits_for_its_turn_all_the_same(held: Played) -> None:
    held.receive(SPEECH_STARTED)
    held.respond(despite_hold=True)
    assert held.asked == []
    held.receive(SPEECH_STOPPED)
    assert len(held.asked) == 1, "the service starts none by itself now"


def test_law_outputs_are_sent_during_a_hold_and_only_the_response_waits(held: Played) -> None:
    held.receive(created("resp_1", key="x"), done("resp_1", call("call_1")))
    held.output("call_1")
    held.receive(added("call_1"))
    held.wait(300)
    assert [item.call_id for item in held.outputs] == ["call_1"]
    assert held.asked == []
    held.release()
    assert len(held.asked) == 1


def test_an_mcp_call_that_ends_during_a_hold_gets_its_response_after_it(held: Played) -> None:
    held.receive(created("resp_1", key="x"), mcp("in_progress"), done("resp_1"))
    held.receive(mcp("completed"))
    held.wait(300)
    assert held.asked == []
    held.release()
    assert len(held.asked) == 1


def test_law_a_response_that_the_service_starts_in_a_hold_is_stopped() -> None:
    played = Played(DETECTION)
    played.hold()
    played.receive(created("resp_own"))
    assert played.cancelled == ["resp_own"]
    assert played.sent[-1].type == "output_audio_buffer.clear"
    played.receive(done("resp_own", status="cancelled"), QUIET)
    played.wait(300)
    assert played.cancelled == ["resp_own"]


def test_a_response_that_the_service_had_started_before_is_left_alone() -> None:
    played = Played(DETECTION)
    played.receive(created("resp_own"))
    played.hold()
    played.receive(created("resp_own"))
    assert played.cancelled == []


def test_a_response_that_the_service_starts_after_the_release_is_left_alone(held: Played) -> None:
    held.release()
    held.receive(created("resp_own"))
    assert held.cancelled == []


@pytest.mark.parametrize("key", [None, "speech_1"])
def test_law_a_response_of_ours_is_not_stopped_by_a_hold(key: str | None) -> None:
    played = Played(DETECTION)
    played.respond()
    played.hold()
    played.receive(created("resp_1", key=key), created("resp_1", key=key))
    played.receive(playing("started", "resp_1"), done("resp_1", SPOKEN))
    for _ in range(2):
        played.wait(3)
        played.receive(created("resp_1", key=key))
    assert played.cancelled == []
    assert not any(event.type == "output_audio_buffer.clear" for event in played.sent)


def test_law_a_response_of_ours_is_not_stopped_by_a_hold__one_of_before_a_lost_socket(held: Played) -> None:
    held.respond(despite_hold=True)
    held.attach_again()
    held.receive(created("resp_1"))
    assert held.cancelled == []


def test_law_a_response_of_ours_is_not_stopped_by_a_hold__one_that_was_active_when_it_is_asked_for_again(
    held: Played,
) -> None:
    held.respond(despite_hold=True)
    held.attach_again()
    held.wait(3)
    held.receive(created("resp_1"), busy(held.last_key()))
    assert held.cancelled == []
    assert held.heard == {"speech_1": Heard.ASSUMED}


def test_law_a_response_of_ours_is_not_stopped_by_a_hold__one_outside_of_the_conversation(held: Played) -> None:
    held.respond("side", conversation="none")
    nameless = created("resp_side")
    del nameless["response"]["conversation_id"]
    held.receive(nameless)
    assert held.cancelled == []


def test_the_services_response_that_made_it_refuse_ours_is_stopped_and_ours_follows() -> None:
    played = Played(DETECTION)
    played.hold()
    played.respond("prompt", despite_hold=True)
    played.receive(created("resp_own"))
    assert played.cancelled == [], "it could be ours, of a service that does not give metadata back"
    played.receive(busy("prompt"))
    assert played.cancelled == ["resp_own"]
    played.receive(done("resp_own", status="cancelled"))
    assert [asked.event_id for asked in played.asked] == ["prompt", "prompt"]
    played.granted("resp_prompt")
    assert played.cancelled == ["resp_own"]


def test_the_services_response_that_made_it_refuse_ours_goes_on_after_the_release() -> None:
    played = Played(DETECTION)
    played.hold()
    played.respond("prompt", despite_hold=True)
    played.receive(created("resp_own"))
    played.release()
    played.receive(busy("prompt"))
    assert played.cancelled == []


def test_the_services_response_that_has_ended_before_ours_was_refused_is_not_stopped() -> None:
    played = Played(DETECTION)
    played.hold()
    played.respond("prompt", despite_hold=True)
    played.receive(created("resp_own"), done("resp_own"), busy("prompt"))
    assert played.cancelled == []
    played.wait(5)
    assert [asked.event_id for asked in played.asked] == ["prompt", "prompt"]


def test_stopping_the_services_response_does_not_cut_off_ours_that_is_still_heard(held: Played) -> None:
    held.respond("prompt", despite_hold=True)
    held.granted("resp_prompt")
    held.receive(playing("started", "resp_prompt"), done("resp_prompt", SPOKEN, tokens=100), created("resp_own"))
    assert held.cancelled == ["resp_own"]
    assert not any(event.type == "output_audio_buffer.clear" for event in held.sent)
    held.receive(playing("stopped", "resp_prompt"))
    held.wait(1)
    assert held.heard == {"prompt": Heard.ENTIRELY}


@pytest.mark.parametrize("what", ["tool", "mcp"])
@pytest.mark.parametrize("prompted", [True, False])
def test_law_a_response_that_was_stopped_answers_no_tool(what: str, prompted: bool) -> None:
    played = Played(DETECTION)
    if what == "tool":
        played.receive(created("resp_1"), done("resp_1", call("call_1")))
        played.hold()
        played.output("call_1")
        played.receive(added("call_1"))
    else:
        played.receive(created("resp_1"), mcp("in_progress"), done("resp_1"))
        played.hold()
        played.receive(mcp("completed"))
    if prompted:
        played.respond("prompt", despite_hold=True)
    played.receive(created("resp_own"))
    if prompted:
        played.receive(busy("prompt"))
    played.receive(done("resp_own", status="cancelled"))
    assert played.cancelled == ["resp_own"]
    if prompted:
        played.receive(refused("prompt", "invalid_value"))
        assert played.heard == {"prompt": Heard.FAILED}
    played.release()
    assert played.last_key().startswith("answer_")


def test_a_refused_hold_is_not_a_refused_response() -> None:
    played = Played(DETECTION)
    played.respond("prompt", despite_hold=True)
    played.hold()
    (update,) = played.updates
    played.receive(refused(update.event_id, "invalid_value"))
    assert played.heard == {}
    played.wait(8)
    assert [creates_of(update) for update in played.updates] == [False, False]


def test_law_after_a_re_attach_a_hold_that_was_not_confirmed_is_sent_again() -> None:
    played = Played(DETECTION)
    played.hold()
    played.attach_again()
    assert [creates_of(update) for update in played.updates] == [False, False]


def test_a_goodbye_in_a_hold_ends_what_waits_and_comes_despite_it(held: Played) -> None:
    held.respond("waits")
    held.step(inputs.Hangup(goodbye="Bye."))
    assert held.heard == {"waits": Heard.NOT_AT_ALL}
    assert [asked.event_id for asked in held.asked] == ["goodbye_program"]


# --- a lost connection ------------------------------------------------------------------------------------------------


def test_law_after_a_re_attach_finished_outputs_are_sent_once_under_the_same_id(played: Played) -> None:
    played.receive(created("resp_1"), done("resp_1", call("call_1"), call("call_2")))
    played.output("call_1")
    played.receive(added("call_1"))
    played.output("call_2")
    played.attach_again()
    assert [item.call_id for item in played.outputs] == ["call_1", "call_2", "call_2"]
    assert played.outputs[1].id == played.outputs[2].id


def test_law_after_a_re_attach_nothing_is_assumed__what_was_asked_for_is_asked_again_and_a_refusal_satisfies_it(
    played: Played,
) -> None:
    played.respond()
    played.attach_again()
    assert len(played.asked) == 1
    played.wait(3)
    assert len(played.asked) == 2
    played.receive(busy(played.last_key()))
    assert played.heard == {"speech_1": Heard.ASSUMED}
    played.wait(300)
    assert len(played.asked) == 2


def test_law_after_a_re_attach_nothing_is_assumed__a_response_that_shows_itself_is_the_one_that_was_asked_for(
    played: Played,
) -> None:
    played.respond()
    played.attach_again()
    played.receive(created("resp_1", key="speech_1"), done("resp_1", SPOKEN, tokens=1))
    played.wait(300)
    assert len(played.asked) == 1
    assert played.heard == {"speech_1": Heard.ASSUMED}


def test_law_after_a_re_attach_nothing_is_assumed__a_response_that_was_active_is_not_waited_for_long(
    played: Played,
) -> None:
    played.receive(created("resp_1"))
    played.attach_again()
    played.respond()
    assert played.asked == []
    played.wait(3)
    assert len(played.asked) == 1


def test_whichever_response_is_made_can_be_given_up_without_its_name(played: Played) -> None:
    played.respond("in")
    played.granted("resp_in")
    played.respond("beside", conversation="none")
    played.receive(created("resp_beside", key="beside", conversation=None))
    played.attach_again()
    played.wait(8)
    assert played.heard == {"in": Heard.ASSUMED}


# --- unknown, malformed and lost events ------------------------------------------------------------------------------


def test_law_the_state_advances_on_type_and_ids_also_of_unknown_events(played: Played) -> None:
    played.receive({"type": "response.created", "response": {"id": "resp_1", "status": 7, "output": "?"}})
    assert played.active == "resp_1"
    played.respond()
    played.receive({"type": "response.done", "response": {"id": "resp_1", "output": [{**call("call_1"), "id": 7}]}})
    assert [tool.call_id for tool in played.tools] == ["call_1"]
    assert len(played.asked) == 1


def test_a_response_whose_creation_was_lost_shows_itself_by_its_other_events(played: Played) -> None:
    delta = {"item_id": "item_1", "output_index": 0, "content_index": 0, "delta": "x"}
    played.receive({"type": "response.output_audio_transcript.delta", "response_id": "resp_1", **delta})
    assert played.active == "resp_1"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["id", "response", "item", "output", "status", "metadata", "error", "code", "call_id", "usage"]
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=8,
)
TYPES = [
    "response.created",
    "response.done",
    "response.output_item.done",
    "conversation.item.added",
    "response.mcp_call.completed",
    "input_audio_buffer.speech_started",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "session.updated",
    "error",
]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(TYPES),
            st.dictionaries(st.sampled_from(["response", "item", "response_id", "session", "error", "item_id"]), JUNK),
        ),
        max_size=12,
    )
)
def test_no_malformed_event_breaks_the_state(frames: list[tuple[str, Frame]]) -> None:
    played = Played()
    for kind, body in frames:
        played.receive({**body, "type": kind})
    played.wait(1000)
    assert played.due is None


# --- every order ------------------------------------------------------------------------------------------------------


class Service:
    """The service, as far as turns are concerned: one response at a time in the conversation, some of its own."""

    def __init__(self, *, echoes_metadata: bool) -> None:
        self.echoes_metadata = echoes_metadata
        self.creates_responses = True
        self.stopped: list[str] = []  # keys of ours that were canceled
        self.inbox: list[events.ClientEvent] = []
        self.outbox: list[Frame] = []
        self.active: tuple[str, str | None, set[str]] | None = None
        """Its id, the key of ours, and the outputs that were answered before."""
        self.playing: list[str] = []
        self.items: set[str] = set()
        self.outputs: set[str] = set()
        self.answered: set[str] = set()
        self.responses: list[str | None] = []
        self.calls = itertools.count(1)
        self.count = itertools.count(1)

    def start(self, *, key: str | None) -> None:
        response_id = f"resp_{next(self.count)}"
        self.active = (response_id, key, set(self.answered))
        self.responses.append(key)
        self.answered |= self.outputs
        self.outbox.append(created(response_id, key=key if self.echoes_metadata else None))

    def read(self) -> None:
        event = self.inbox.pop(0)
        if isinstance(event, events.ResponseCreate):
            if self.active is not None:
                self.outbox.append(busy(event.event_id))
            else:
                self.start(key=event.event_id)
        elif isinstance(event, events.ConversationItemCreate):
            item: Any = event.item
            assert item.call_id not in self.outputs, "an output is sent once"
            self.outputs.add(item.call_id)
            self.outbox.append(added(item.call_id))
        elif isinstance(event, events.SessionUpdate):
            self.creates_responses = creates_of(event)
            self.outbox.append(detecting({**DETECTION, "create_response": self.creates_responses}))
        elif isinstance(event, events.ResponseCancel) and self.active and self.active[0] == event.response_id:
            response_id, key, self.answered = self.active
            self.active = None
            self.stopped += [key] if key else []
            self.outbox.append(done(response_id, status="cancelled"))

    def finish(self, tools: int) -> None:
        assert self.active is not None
        response_id, _, _ = self.active
        self.active = None
        calls = [call(f"call_{next(self.calls)}") for _ in range(tools)]
        if not calls:
            self.playing.append(response_id)
            self.outbox.append(playing("started", response_id))
        self.outbox.append(done(response_id, *calls) if calls else done(response_id, SPOKEN))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.just(0)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("finish"), st.integers(0, 2)),
        st.tuples(st.just("caller"), st.just(0)),
        st.tuples(st.just("tool"), st.integers(0, 3)),
        st.tuples(st.just("respond"), st.integers(0, 1)),
        st.tuples(st.just("hold"), st.integers(0, 1)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("time"), st.integers(0, 4)),
    ),
    max_size=60,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(STEPS, st.booleans())
def test_law_no_order_makes_it_ask_twice_run_a_tool_twice_or_wait_for_ever(
    steps: list[tuple[str, int]], echoes_metadata: bool
) -> None:
    played, service = Played(DETECTION), Service(echoes_metadata=echoes_metadata)
    sent = 0
    wanted: list[str] = []
    open_tools: list[str] = []
    reasons: set[str] = set()
    speaking = False

    def deliver() -> None:
        frame = service.outbox.pop(0)
        before = len(played.tools)
        played.receive(frame)
        open_tools.extend(tool.call_id for tool in played.tools[before:])

    def transmit() -> None:
        nonlocal sent
        service.inbox.extend(played.sent[sent:])
        sent = len(played.sent)

    for step, argument in steps:
        if step == "deliver" and service.outbox:
            deliver()
        elif step == "read" and service.inbox:
            service.read()
        elif step == "finish" and service.active is not None:
            service.finish(argument)
        elif step == "caller":
            if not speaking:
                service.outbox.append(SPEECH_STARTED)
            else:
                service.outbox.append(SPEECH_STOPPED)
                if service.active is None and service.creates_responses:
                    service.start(key=None)
            speaking = not speaking
        elif step == "tool" and open_tools:
            played.output(open_tools.pop(argument % len(open_tools)))
        elif step == "respond":
            wanted.append(f"speech_{len(wanted)}")
            played.respond(wanted[-1], despite_hold=bool(argument))
        elif step == "hold":
            reason = ("digits", "transfer")[argument]
            (played.release if reason in reasons else played.hold)(reason)
            reasons ^= {reason}
        elif step == "stop" and service.playing:
            service.outbox.append(playing("stopped", service.playing.pop(0)))
        elif step == "time":
            played.wait(argument / 4)
        transmit()

    # Now everybody finishes what is under way, and time passes.
    for reason in reasons:
        played.release(reason)
    if speaking:
        service.outbox.append(SPEECH_STOPPED)
    for _ in range(400):
        transmit()
        if service.outbox:
            deliver()
        elif open_tools:
            played.output(open_tools.pop())
        elif service.inbox:
            service.read()
        elif service.active is not None:
            service.finish(0)
        elif service.playing:
            service.outbox.append(playing("stopped", service.playing.pop(0)))
        elif played.due is not None:
            played.wait(max(played.due - played.now, 0))
        else:
            break
    else:
        raise AssertionError("it never comes to rest")

    assert not wants.busy(played.s)
    assert service.creates_responses
    assert all(played.heard[key] is Heard.FAILED for key in service.stopped), "ours are not stopped, unless given up"
    assert set(wanted) == set(played.heard) - {key for key in played.heard if key.startswith("answer_")}
    runs = Counter(tool.call_id for tool in played.tools)
    assert all(count == 1 for count in runs.values())
    assert service.answered >= service.outputs, "every output gets a response"
    asked = Counter(key for key in service.responses if key is not None)
    assert all(count == 1 for count in asked.values()), "nothing is answered twice"
    assert set(wanted) <= set(asked), "everything that was wanted was made"
