"""Changing a session: which update was answered how, what is locked, and the language to speak."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine.session_update import SessionUpdates, in_language, refuse_locked
from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import RealtimeSession

Frame = dict[str, Any]
_ids = itertools.count(1)


def parse(frame: Frame) -> events.ServerEvent:
    return events.parse_server_event(json.dumps({"event_id": f"event_{next(_ids)}", **frame}))


def updated(**shown: Any) -> events.ServerEvent:
    return parse({"type": "session.updated", "session": {"type": "realtime", "object": "realtime.session", **shown}})


def refused(event_id: Any, code: str = "invalid_value", param: str | None = "session.voice") -> events.ServerEvent:
    error = {"type": "invalid_request_error", "code": code, "param": param, "message": "…", "event_id": event_id}
    return parse({"type": "error", "error": error})


class Updates:
    """The updates of a call, and what they came to: "taken", or the code of the refusal."""

    def __init__(self) -> None:
        self.updates = SessionUpdates()
        self.answers: list[tuple[str, str]] = []

    def sent(self, event_id: str, **session: Any) -> None:
        update = events.SessionUpdate(event_id=event_id, session=RealtimeSession.model_validate(session))
        self.updates.sent(update)

    def receive(self, *received: events.ServerEvent) -> None:
        for event in received:
            for taken in self.updates.receive(event):
                self.answers.append((taken.event_id, "taken" if taken.error is None else str(taken.error.code)))


@pytest.fixture
def updates() -> Updates:
    return Updates()


# --- answers ----------------------------------------------------------------------------------------------------------


def test_law_updates_are_answered_in_their_order(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.sent(event_id, instructions=event_id)
    updates.receive(updated(instructions="a"))
    assert updates.answers == [("a", "taken")]
    updates.receive(updated(instructions="b"), updated(instructions="c"))
    assert updates.answers == [("a", "taken"), ("b", "taken"), ("c", "taken")]


def test_an_update_whose_value_the_service_shows_otherwise_is_answered_all_the_same(updates: Updates) -> None:
    updates.sent("a", max_output_tokens=4096)
    updates.receive(updated(max_output_tokens="inf"))
    assert updates.answers == [("a", "taken")]


def test_a_refusal_names_its_update_and_keeps_the_others_in_their_order(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.sent(event_id, instructions=event_id)
    updates.receive(refused("b"), updated(instructions="a"), updated(instructions="c"))
    assert updates.answers == [("b", "invalid_value"), ("a", "taken"), ("c", "taken")]


def test_a_refusal_says_what_was_refused(updates: Updates) -> None:
    updates.sent("a", instructions="secret words")
    (taken,) = updates.updates.receive(refused("a", code="unknown_parameter", param="session.x"))
    assert taken.error is not None
    assert (taken.error.code, taken.error.param) == ("unknown_parameter", "session.x")
    assert "session.update" in str(taken.error)


@pytest.mark.parametrize("event_id", ["event_other", "", None])
def test_a_refusal_of_something_else_answers_nothing(updates: Updates, event_id: str | None) -> None:
    updates.sent("a", instructions="a")
    updates.receive(refused(event_id))
    assert updates.answers == []
    updates.receive(updated(instructions="a"))
    assert updates.answers == [("a", "taken")]


def test_what_nobody_has_asked_for_answers_nothing(updates: Updates) -> None:
    updates.receive(updated(instructions="a"), refused("a"))
    updates.sent("a", instructions="a")
    updates.receive(parse({"type": "session.created", "session": {"type": "realtime", "instructions": "a"}}))
    assert updates.answers == []


def test_an_update_whose_answer_was_lost_is_answered_by_what_the_session_shows_later(updates: Updates) -> None:
    updates.sent("a", instructions="new", tool_choice="none")
    updates.sent("b", audio={"output": {"speed": 1.2}})
    updates.receive(updated(instructions="new", tool_choice="none", audio={"output": {"speed": 1.2, "voice": "ash"}}))
    assert updates.answers == [("a", "taken"), ("b", "taken")]


def test_an_update_that_the_session_does_not_show_is_not_answered_by_the_answer_of_another(updates: Updates) -> None:
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("look", "pay")]
    updates.sent("a", instructions="new")
    updates.sent("b", instructions="newer")
    updates.sent("c", tools=tools)
    updates.sent("d", audio={"input": {"turn_detection": None}})
    updates.sent("e", audio={"output": {"voice": "ash"}})
    updates.sent("f")
    updates.receive(
        updated(
            instructions="new",
            tools=tools[:1],
            audio={"input": {"turn_detection": {"type": "server_vad"}}, "output": 7},
        )
    )
    assert updates.answers == [("a", "taken")]


@pytest.mark.parametrize(
    ("shown", "taken"),
    [
        ([{"name": "look", "type": "function", "parameters": {"type": "object"}, "description": None}], True),
        ([{"name": "pay", "type": "function", "parameters": {"type": "object"}}], False),
        ([], False),
        ([{"name": "look", "type": "function", "parameters": {"type": "object"}}] * 2, False),
        (7, False),
        (None, False),
    ],
)
def test_tools_are_shown_where_each_of_them_is(updates: Updates, shown: object, taken: bool) -> None:
    updates.sent("a", instructions="new")
    updates.sent("b", tools=[{"type": "function", "name": "look", "parameters": {"type": "object"}}])
    updates.receive(updated(tools=shown))
    assert (("b", "taken") in updates.answers) is taken


def test_law_an_answer_that_was_not_lost_is_not_taken_for_that_of_the_next_update(updates: Updates) -> None:
    updates.sent("a", instructions="same")
    updates.sent("b", instructions="same")
    updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken")], "both are there"
    updates.sent("c", instructions="other")
    updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken")], "this was the answer to b"
    updates.receive(refused("c"))
    assert updates.answers[2:] == [("c", "invalid_value")]


def test_an_update_that_the_session_shows_is_told_once(updates: Updates) -> None:
    updates.sent("a", instructions="same")
    for event_id in ("b", "c"):
        updates.sent(event_id, instructions="same")
    for _ in range(5):
        updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken"), ("c", "taken")]
    updates.sent("d", instructions="other")
    updates.receive(updated(instructions="another"))
    assert updates.answers[3:] == [("d", "taken")]


def test_an_update_that_was_shown_is_not_refused_afterwards(updates: Updates) -> None:
    updates.sent("a", instructions="same")
    updates.sent("b", instructions="same")
    updates.receive(updated(instructions="same"), refused("b"))
    assert updates.answers == [("a", "taken"), ("b", "taken")]
    updates.sent("c", instructions="other")
    updates.receive(updated(instructions="?"))
    assert updates.answers[2:] == [("c", "taken")]


def test_a_refusal_shows_that_no_answer_of_before_is_to_come(updates: Updates) -> None:
    updates.sent("a", instructions="same")
    updates.sent("b", instructions="same")
    updates.receive(updated(instructions="same"))  # the answer to both, for one was lost
    updates.sent("c", instructions="other")
    updates.sent("d", instructions="another")
    updates.receive(refused("c"), updated(instructions="?"))
    assert updates.answers[2:] == [("c", "invalid_value"), ("d", "taken")]


def test_a_lost_socket_gives_back_what_was_not_answered_in_order_and_once(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.sent(event_id, instructions=event_id)
    updates.receive(updated(instructions="a"))
    assert [update.event_id for update in updates.updates.lost()] == ["b", "c"]
    assert updates.updates.lost() == []
    updates.receive(updated(instructions="b"), refused("c"))
    assert updates.answers == [("a", "taken")]
    updates.sent("c", instructions="c")
    updates.receive(updated(instructions="?"))
    assert updates.answers == [("a", "taken"), ("c", "taken")]


def test_a_lost_socket_does_not_give_back_what_the_session_has_shown(updates: Updates) -> None:
    updates.sent("a", instructions="same")
    updates.sent("b", instructions="same")
    updates.receive(updated(instructions="same"))
    assert updates.updates.lost() == []
    updates.sent("b", instructions="new")
    updates.receive(updated(instructions="new"))
    assert updates.answers[2:] == [("b", "taken")]


def test_law_updates_that_are_never_answered_are_forgotten_in_the_end(updates: Updates) -> None:
    for number in range(5000):
        updates.sent(f"update_{number}", instructions=f"{number}")
    waiting = [update.event_id for update in updates.updates.lost()]
    assert len(waiting) <= 100
    assert waiting[-1] == "update_4999"


@pytest.mark.parametrize("session", [None, 7, [], "x", {}, {"instructions": 5}, {"audio": {"output": [1]}}])
def test_junk_in_place_of_the_session_answers_the_first_and_no_other(updates: Updates, session: object) -> None:
    updates.sent("a", instructions="a")
    updates.sent("b", audio={"output": {"speed": 1.2}})
    updates.receive(parse({"type": "session.updated", "session": session}))
    assert updates.answers == [("a", "taken")]


@pytest.mark.parametrize("error", [None, 7, [], {}, {"event_id": ["a"]}, {"event_id": {"a": "a"}}, {"event_id": 5}])
def test_junk_in_place_of_an_error_answers_nothing(updates: Updates, error: object) -> None:
    updates.sent("a", instructions="a")
    updates.receive(parse({"type": "error", "error": error}))
    assert updates.answers == []


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.sampled_from(["one", "two", None])),
            st.tuples(st.just("answer"), st.sampled_from(["taken", "taken", "refused"])),
            st.tuples(st.just("foreign"), st.none()),
        ),
        max_size=40,
    )
)
def test_law_each_update_is_answered_once_and_rightly(steps: list[tuple[str, Any]]) -> None:
    updates, waiting = Updates(), list[tuple[str, str | None]]()
    instructions, outcomes = "none", dict[str, str]()
    session: dict[str, Any]
    for number, (step, argument) in enumerate(steps):
        if step == "send":
            session = {} if argument is None else {"instructions": argument}
            waiting.append((f"update_{number}", argument))
            updates.sent(f"update_{number}", **session)
        elif step == "foreign":
            updates.receive(refused("event_other"))
        elif waiting:
            event_id, wanted = waiting.pop(0)
            if argument == "refused" and wanted != instructions:  # what it has already, the service does not refuse
                outcomes[event_id] = "invalid_value"
                updates.receive(refused(event_id))
            else:
                outcomes[event_id] = "taken"
                instructions = wanted or instructions
                updates.receive(updated(instructions=instructions))
            assert len(dict(updates.answers)) == len(updates.answers), "each is answered once"
            assert outcomes.keys() <= dict(updates.answers).keys(), "none has to wait for the answer of another"
    early = dict(updates.answers).keys() - outcomes.keys()
    assert all(wanted is not None for event_id, wanted in waiting if event_id in early)


# --- what is locked ---------------------------------------------------------------------------------------------------


def problems(changed: Frame, *, accepted: Frame | None = None, spoken: bool = False) -> list[str]:
    session, before = RealtimeSession.model_validate(changed), RealtimeSession.model_validate(accepted or {})
    try:
        refuse_locked(session, accepted=before, spoken=spoken)
    except InvalidRequestError as error:
        return [place for place, _ in error.problems] or ["nowhere"]
    return []


@pytest.mark.parametrize("spoken", [True, False])
@pytest.mark.parametrize(
    ("changed", "places"),
    [
        ({"model": "gpt-realtime-2.1"}, ["model"]),
        ({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, ["audio.input.format"]),
        ({"audio": {"output": {"format": {"type": "audio/pcma"}}}}, ["audio.output.format"]),
        ({"audio": {"output": {"format": None}}}, ["audio.output.format"]),
        ({}, []),
        ({"instructions": "Be brief.", "tools": [], "tool_choice": "none", "tracing": "auto"}, []),
        ({"audio": {"output": {"speed": 1.2}, "input": {"turn_detection": None, "transcription": None}}}, []),
        ({"audio": {}}, []),
    ],
)
def test_what_cannot_change_is_refused_and_the_rest_is_not(changed: Frame, places: list[str], spoken: bool) -> None:
    assert problems(changed, spoken=spoken) == places


@pytest.mark.parametrize("voice", ["ash", {"id": "voice_1"}, None])
def test_the_voice_can_change_until_the_model_has_been_heard(voice: object) -> None:
    changed = {"audio": {"output": {"voice": voice}}}
    assert problems(changed) == []
    assert problems(changed, spoken=True) == ["audio.output.voice"]


@pytest.mark.parametrize("tracing", ["auto", None, {"workflow_name": "calls"}])
def test_tracing_can_be_turned_on_and_is_fixed_then(tracing: object) -> None:
    assert problems({"tracing": tracing}) == []
    assert problems({"tracing": tracing}, accepted={"tracing": None}) == []
    assert problems({"tracing": tracing}, accepted={"tracing": "auto"}) == ["tracing"]
    assert problems({"instructions": "x"}, accepted={"tracing": "auto"}) == []


def test_all_that_is_locked_is_told_at_once() -> None:
    audio = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"voice": "ash"}}
    changed = {"model": "gpt-realtime-2.1", "tracing": "auto", "audio": audio}
    places = problems(changed, accepted={"tracing": "auto"}, spoken=True)
    assert sorted(places) == ["audio.input.format", "audio.output.voice", "model", "tracing"]


# --- the language -----------------------------------------------------------------------------------------------------

CODES = st.sampled_from(["es", "pt", "de", "yue"])


@given(st.text(max_size=40) | st.none(), st.lists(CODES, min_size=1, max_size=5))
def test_law_repeated_changes_of_the_language_leave_one(base: str | None, codes: list[str]) -> None:
    instructions = base
    for code in codes:
        instructions = in_language(instructions, code)
    assert instructions == in_language(base, codes[-1])
    assert instructions.count("# Language") == 1
    assert f'"{codes[-1]}"' in instructions
    assert instructions.startswith(base or "# Language")


OWN = "You take orders.\n\n# Language\nSpeak English; some callers speak Spanish.\n\n# Rules\nNever promise anything."


def test_a_section_of_the_programs_own_with_such_a_heading_stays() -> None:
    once = in_language(OWN, "pt")
    assert once.startswith(OWN)
    twice = in_language(once, "es")
    assert twice.startswith(OWN)
    assert '"pt"' not in twice


@pytest.mark.parametrize("base", ["Be brief.", "", None])
def test_what_the_program_has_added_after_the_language_stays(base: str | None) -> None:
    instructions = in_language(in_language(base, "pt") + "\n\nThe caller is a member.", "es")
    assert "\n\nThe caller is a member.\n\n" in instructions
    assert instructions.startswith(base or "")
    assert '"pt"' not in instructions
    assert '"es"' in instructions
