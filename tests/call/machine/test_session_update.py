"""Changing a session: which update was answered how, what is locked, and the language to speak."""

from __future__ import annotations

from typing import Any

import pytest
from door import DROPPED, Door, Frame, refused, updated
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.effects import Effect
from realtime_sip.call.session_changes import in_language, refuse_locked
from realtime_sip.errors import DeadlineError, EventRefusedError, InvalidRequestError
from realtime_sip.session import RealtimeSession


class Updates(Door):
    """The updates of a call that is up, and what they came to: "taken", "late", or the code of the refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[tuple[str, str]] = []
        self.errors: list[EventRefusedError] = []
        self.live()
        self.out.clear()
        self.answers.clear()

    def take(self, out: list[Effect]) -> None:
        super().take(out)
        for effect in out:
            match effect:
                case effects.Done(key, EventRefusedError() as error):
                    self.answers.append((key, str(error.code)))
                    self.errors.append(error)
                case effects.Done(key, DeadlineError()):
                    self.answers.append((key, "late"))
                case effects.Done(key, None):
                    self.answers.append((key, "taken"))
                case _:
                    pass

    def update(self, event_id: str, **session: Any) -> None:
        self.step(inputs.Update(event_id, RealtimeSession.model_validate(session)))

    def lost(self) -> list[str | None]:
        """Lose the sideband, and have it again; return which updates are sent again."""
        before = len(self.sent)
        self.attach_again()
        return [event.event_id for event in self.sent[before:] if isinstance(event, events.SessionUpdate)]


@pytest.fixture
def updates() -> Updates:
    return Updates()


# --- answers ----------------------------------------------------------------------------------------------------------


def test_law_updates_are_answered_in_their_order(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.update(event_id, instructions=event_id)
    updates.receive(updated(instructions="a"))
    assert updates.answers == [("a", "taken")]
    updates.receive(updated(instructions="b"), updated(instructions="c"))
    assert updates.answers == [("a", "taken"), ("b", "taken"), ("c", "taken")]


def test_an_update_whose_value_the_service_shows_otherwise_is_answered_all_the_same(updates: Updates) -> None:
    updates.update("a", max_output_tokens=4096)
    updates.receive(updated(max_output_tokens="inf"))
    assert updates.answers == [("a", "taken")]


def test_a_refusal_names_its_update_and_keeps_the_others_in_their_order(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.update(event_id, instructions=event_id)
    updates.receive(refused("b"), updated(instructions="a"), updated(instructions="c"))
    assert updates.answers == [("b", "invalid_value"), ("a", "taken"), ("c", "taken")]


def test_a_refusal_says_what_was_refused(updates: Updates) -> None:
    updates.update("a", instructions="secret words")
    updates.receive(refused("a", "unknown_parameter", "session.x"))
    (error,) = updates.errors
    assert (error.code, error.param) == ("unknown_parameter", "session.x")
    assert "session.update" in str(error)


@pytest.mark.parametrize("event_id", ["event_other", "", None])
def test_a_refusal_of_something_else_answers_nothing(updates: Updates, event_id: str | None) -> None:
    updates.update("a", instructions="a")
    updates.receive(refused(event_id))
    assert updates.answers == []
    updates.receive(updated(instructions="a"))
    assert updates.answers == [("a", "taken")]


def test_what_nobody_has_asked_for_answers_nothing(updates: Updates) -> None:
    updates.receive(updated(instructions="a"), refused("a"))
    updates.update("a", instructions="a")
    updates.receive({"type": "session.created", "session": {"type": "realtime", "instructions": "a"}})
    assert updates.answers == []


def test_an_update_whose_answer_was_lost_is_answered_by_what_the_session_shows_later(updates: Updates) -> None:
    updates.update("a", instructions="new", tool_choice="none")
    updates.update("b", audio={"output": {"speed": 1.2}})
    updates.receive(updated(instructions="new", tool_choice="none", audio={"output": {"speed": 1.2, "voice": "ash"}}))
    assert updates.answers == [("a", "taken"), ("b", "taken")]


def test_an_update_that_the_session_does_not_show_is_not_answered_by_the_answer_of_another(updates: Updates) -> None:
    tools = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("look", "pay")]
    updates.update("a", instructions="new")
    updates.update("b", instructions="newer")
    updates.update("c", tools=tools)
    updates.update("d", audio={"input": {"turn_detection": None}})
    updates.update("e", audio={"output": {"voice": "ash"}})
    updates.update("f")
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
    updates.update("a", instructions="new")
    updates.update("b", tools=[{"type": "function", "name": "look", "parameters": {"type": "object"}}])
    updates.receive(updated(tools=shown))
    assert (("b", "taken") in updates.answers) is taken


def test_law_an_answer_that_was_not_lost_is_not_taken_for_that_of_the_next_update(updates: Updates) -> None:
    updates.update("a", instructions="same")
    updates.update("b", instructions="same")
    updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken")], "both are there"
    updates.update("c", instructions="other")
    updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken")], "this was the answer to b"
    updates.receive(refused("c"))
    assert updates.answers[2:] == [("c", "invalid_value")]


def test_an_update_that_the_session_shows_is_told_once(updates: Updates) -> None:
    updates.update("a", instructions="same")
    for event_id in ("b", "c"):
        updates.update(event_id, instructions="same")
    for _ in range(5):
        updates.receive(updated(instructions="same"))
    assert updates.answers == [("a", "taken"), ("b", "taken"), ("c", "taken")]
    updates.update("d", instructions="other")
    updates.receive(updated(instructions="another"))
    assert updates.answers[3:] == [("d", "taken")]


def test_an_update_that_was_shown_is_not_refused_afterwards(updates: Updates) -> None:
    updates.update("a", instructions="same")
    updates.update("b", instructions="same")
    updates.receive(updated(instructions="same"), refused("b"))
    assert updates.answers == [("a", "taken"), ("b", "taken")]
    updates.update("c", instructions="other")
    updates.receive(updated(instructions="?"))
    assert updates.answers[2:] == [("c", "taken")]


def test_a_refusal_shows_that_no_answer_of_before_is_to_come(updates: Updates) -> None:
    updates.update("a", instructions="same")
    updates.update("b", instructions="same")
    updates.receive(updated(instructions="same"))  # the answer to both, for one was lost
    updates.update("c", instructions="other")
    updates.update("d", instructions="another")
    updates.receive(refused("c"), updated(instructions="?"))
    assert updates.answers[2:] == [("c", "invalid_value"), ("d", "taken")]


def test_law_after_a_re_attach_what_was_not_answered_is_sent_again_in_order_and_once(updates: Updates) -> None:
    for event_id in ("a", "b", "c"):
        updates.update(event_id, instructions=event_id)
    updates.receive(updated(instructions="a"))
    assert updates.lost() == ["b", "c"]
    assert updates.answers == [("a", "taken")], "what is asked for as a sign of life is answered too"
    updates.receive(refused("c"), updated(instructions="b"))
    assert updates.answers == [("a", "taken"), ("c", "invalid_value"), ("b", "taken")]
    assert updates.lost() == []


def test_a_refusal_after_a_lost_socket_is_told(updates: Updates) -> None:
    updates.update("a", instructions="a")
    updates.lost()
    updates.receive(refused("a"))
    assert updates.answers == [("a", "invalid_value")]


def test_an_update_while_the_sideband_is_lost_is_sent_when_it_is_back(updates: Updates) -> None:
    updates.step(inputs.Closed(DROPPED))
    updates.update("a", instructions="a")
    assert updates.sent == []
    updates.attach()
    assert [event.event_id for event in updates.sent] == ["a"]
    assert updates.answers == []
    updates.receive(updated(instructions="a"))
    assert updates.answers == [("a", "taken")]


def test_a_lost_socket_does_not_give_back_what_the_session_has_shown(updates: Updates) -> None:
    updates.update("a", instructions="same")
    updates.update("b", instructions="same")
    updates.receive(updated(instructions="same"))
    assert updates.lost() == []
    updates.update("c", instructions="new")
    updates.receive(updated(instructions="new"))
    assert updates.answers[2:] == [("c", "taken")]


def test_law_updates_that_are_never_answered_are_late_and_forgotten_in_the_end(updates: Updates) -> None:
    for number in range(5000):
        updates.update(f"update_{number}", instructions=f"{number}")
    assert len(updates.s.session.updates) <= 100
    updates.wait(10)
    assert updates.answers == [(f"update_{number}", "late") for number in range(5000)]
    assert updates.lost() == []


@pytest.mark.parametrize("session", [None, 7, [], "x", {}, {"instructions": 5}, {"audio": {"output": [1]}}])
def test_junk_in_place_of_the_session_answers_the_first_and_no_other(updates: Updates, session: object) -> None:
    updates.update("a", instructions="a")
    updates.update("b", audio={"output": {"speed": 1.2}})
    updates.receive({"type": "session.updated", "session": session})
    assert updates.answers == [("a", "taken")]


@pytest.mark.parametrize("error", [None, 7, [], {}, {"event_id": ["a"]}, {"event_id": {"a": "a"}}, {"event_id": 5}])
def test_junk_in_place_of_an_error_answers_nothing(updates: Updates, error: object) -> None:
    updates.update("a", instructions="a")
    updates.receive({"type": "error", "error": error})
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
            updates.update(f"update_{number}", **session)
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
        ({"audio": {"input": {"format": {"type": "audio/pcmu"}}}}, []),
        ({"audio": {"output": {"format": {"type": "audio/pcma"}}}}, []),
        ({}, []),
        ({"instructions": "Be brief.", "tools": [], "tool_choice": "none", "tracing": "auto"}, []),
        ({"audio": {"output": {"speed": 1.2}, "input": {"turn_detection": None, "transcription": None}}}, []),
        ({"audio": {}}, []),
    ],
)
def test_what_cannot_change_is_refused_and_the_rest_is_not(changed: Frame, places: list[str], spoken: bool) -> None:
    assert problems(changed, spoken=spoken) == places


@pytest.mark.parametrize("voice", ["ash", {"id": "voice_1"}])
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
    assert sorted(places) == ["audio.output.voice", "model", "tracing"]


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
