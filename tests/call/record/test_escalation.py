"""When a person should help: what counts, what does not, and how often it is told."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.record.struggle import Escalation, EscalationCause, EscalationRules, Struggle
from realtime_sip.errors import ConfigurationError

_ids = itertools.count(1)


def struggle(**rules: int | None) -> Struggle:
    return Struggle(EscalationRules(**rules))


class Caller:
    """A caller whose turns are told as the service tells them, and what came of it."""

    def __init__(self, **rules: int | None) -> None:
        self.struggle = struggle(**rules)
        self.escalations: list[Escalation] = []

    def receive(self, kind: str, **fields: Any) -> None:
        frame = {"type": kind, "event_id": f"event_{next(_ids)}", **fields}
        escalation = self.struggle.receive(events.parse_server_event(json.dumps(frame)))
        self.escalations += [] if escalation is None else [escalation]

    def silent(self, item_id: str | None = None) -> None:
        """The idle timeout of turn detection."""
        item_id = item_id or f"item_{next(_ids)}"
        self.receive("input_audio_buffer.timeout_triggered", audio_start_ms=1, audio_end_ms=2, item_id=item_id)

    def speaks(self) -> str:
        item_id = f"item_{next(_ids)}"
        self.receive("input_audio_buffer.speech_started", audio_start_ms=1, item_id=item_id)
        self.receive("input_audio_buffer.speech_stopped", audio_end_ms=2, item_id=item_id)
        self.receive("input_audio_buffer.committed", item_id=item_id)
        return item_id

    def transcript(self, text: str, item_id: str) -> None:
        self.receive(
            "conversation.item.input_audio_transcription.completed",
            item_id=item_id,
            content_index=0,
            transcript=text,
            usage={"type": "duration", "seconds": 1},
        )

    def no_transcript(self, item_id: str) -> None:
        error = {"type": "transcription_error", "message": "…"}
        self.receive(
            "conversation.item.input_audio_transcription.failed", item_id=item_id, content_index=0, error=error
        )

    def says(self, text: str) -> None:
        self.transcript(text, self.speaks())

    def not_matched(self) -> None:
        """The model calls `not_understood`."""
        escalation = self.struggle.not_matched()
        self.escalations += [] if escalation is None else [escalation]

    @property
    def counts(self) -> list[int]:
        causes = {EscalationCause.NO_INPUT, EscalationCause.NO_MATCH}
        assert all(e.cause in causes and e.tool is None for e in self.escalations)
        return [escalation.count for escalation in self.escalations]


# --- tools ------------------------------------------------------------------------------------------------------------


def test_a_tool_that_fails_twice_in_a_row_is_told_and_then_when_it_has_failed_twice_more() -> None:
    failing = struggle()
    told = [failing.tool_ended("pay", failed=True) for _ in range(5)]
    escalation = Escalation(EscalationCause.TOOL_FAILURES, 2, tool="pay")
    assert told == [None, escalation, None, escalation, None]


def test_failures_of_different_tools_do_not_add_up() -> None:
    failing = struggle()
    assert [failing.tool_ended(name, failed=True) for name in ("pay", "look", "book")] == [None] * 3
    assert failing.tool_ended("look", failed=True) is not None
    assert failing.tool_ended("look", failed=True) is None
    assert failing.tool_ended("pay", failed=True) is not None


def test_success_of_a_tool_resets_its_failures_and_no_others() -> None:
    failing = struggle()
    failing.tool_ended("pay", failed=True)
    failing.tool_ended("look", failed=True)
    assert failing.tool_ended("pay", failed=False) is None
    assert failing.tool_ended("pay", failed=True) is None
    assert failing.tool_ended("look", failed=True) is not None


def test_a_tool_whose_first_failure_counts_is_told_each_time() -> None:
    failing = struggle(tool_failures=1)
    assert [failing.tool_ended("pay", failed=True) is not None for _ in range(3)] == [True] * 3


def test_the_rule_for_tools_can_be_turned_off() -> None:
    failing = struggle(tool_failures=None)
    assert [failing.tool_ended("pay", failed=True) for _ in range(50)] == [None] * 50


def test_law_tools_are_counted_in_bounds_and_one_that_is_counted_already_is_not_forgotten_for_its_own_sake() -> None:
    failing = struggle()
    for number in range(200):
        assert failing.tool_ended(f"tool_{number}", failed=True) is None
    assert failing.tool_ended("tool_0", failed=True) is not None
    for number in range(5000):
        assert failing.tool_ended(f"invented_{number}", failed=True) is None
    assert failing.tool_ended("invented_0", failed=True) is None, "that is long ago"
    failing.tool_ended("pay", failed=True)
    assert failing.tool_ended("pay", failed=True) is not None


# --- turns without input ----------------------------------------------------------------------------------------------


def test_three_silent_turns_are_told_and_then_three_more() -> None:
    caller = Caller()
    for _ in range(7):
        caller.silent()
    assert caller.counts == [3, 3]


@pytest.mark.parametrize("text", ["", "  ", "\n\t"])
def test_turns_whose_transcript_has_no_words_count(text: str) -> None:
    caller = Caller()
    for _ in range(3):
        assert caller.counts == []
        caller.says(text)
    assert caller.counts == [3]
    caller.says(text)
    assert caller.counts == [3]


@pytest.mark.parametrize("order", list(itertools.product([True, False], repeat=3)))
def test_silent_turns_and_turns_without_words_add_up(order: tuple[bool, ...]) -> None:
    caller = Caller()
    for silent in order:
        assert caller.counts == []
        caller.silent() if silent else caller.says("")
    assert caller.counts == [3]


def test_words_begin_the_count_anew() -> None:
    caller = Caller()
    caller.silent()
    caller.says("")
    caller.says("Yes.")
    caller.silent()
    caller.says("")
    assert caller.counts == []
    caller.silent()
    assert caller.counts == [3]


def test_without_transcription_speech_is_input() -> None:
    caller = Caller()
    for _ in range(10):
        caller.silent()
        caller.silent()
        caller.speaks()
    assert caller.counts == []


def test_keys_are_input() -> None:
    caller = Caller()
    caller.silent()
    caller.silent()
    caller.receive("input_audio_buffer.dtmf_event_received", event="5", received_at=1)
    caller.silent()
    caller.says("")
    assert caller.counts == []
    caller.silent()
    assert caller.counts == [3]


def test_a_key_that_is_pressed_while_a_transcript_is_awaited_is_input() -> None:
    caller = Caller()
    caller.silent()
    caller.silent()
    item_id = caller.speaks()
    caller.receive("input_audio_buffer.dtmf_event_received", event="5", received_at=1)
    caller.transcript("", item_id)
    assert caller.counts == []


def test_a_silence_is_counted_once_also_where_it_gets_a_transcript() -> None:
    caller = Caller()
    for number in range(2):
        caller.silent(f"item_silent_{number}")
        caller.transcript("", f"item_silent_{number}")
    assert caller.counts == []
    caller.silent("item_silent_2")
    assert caller.counts == [3]
    caller.transcript("", "item_silent_2")
    caller.silent()
    caller.silent()
    assert caller.counts == [3]


def test_an_event_that_comes_twice_counts_once() -> None:
    caller = Caller()
    for _ in range(5):
        caller.transcript("", "item_x")
        caller.silent("item_y")
    assert caller.counts == []


@pytest.mark.parametrize("item_id", [None, 7, [], {}])
def test_silences_whose_item_is_not_told_count_each(item_id: object) -> None:
    caller = Caller()
    for _ in range(3):
        caller.receive("input_audio_buffer.timeout_triggered", item_id=item_id)
    assert caller.counts == [3]


def test_transcripts_that_come_late_count_all_the_same() -> None:
    caller = Caller()
    caller.silent()
    turns = [caller.speaks(), caller.speaks()]
    for item_id in turns:
        assert caller.counts == []
        caller.transcript("", item_id)
    assert caller.counts == [3]


def test_words_that_come_late_are_words() -> None:
    caller = Caller()
    caller.silent()
    caller.silent()
    first, second = caller.speaks(), caller.speaks()
    caller.transcript("Hello.", first)
    caller.transcript("", second)
    caller.silent()
    assert caller.counts == []


def test_a_turn_whose_transcription_failed_is_taken_for_words() -> None:
    caller = Caller()
    caller.silent()
    caller.silent()
    caller.no_transcript(caller.speaks())
    caller.says("")
    assert caller.counts == []


def test_one_turn_without_input_can_be_enough_and_the_rule_can_be_turned_off() -> None:
    impatient, patient = Caller(missed_turns=1), Caller(missed_turns=None)
    for caller in (impatient, patient):
        caller.silent()
        caller.says("")
        for _ in range(20):
            caller.silent()
    assert impatient.counts == [1] * 22
    assert patient.counts == []


# --- turns without a match --------------------------------------------------------------------------------------------


def test_three_turns_that_match_nothing_are_told_and_then_three_more() -> None:
    caller = Caller()
    for _ in range(7):
        caller.says("Mumble.")
        caller.not_matched()
    assert caller.counts == [3, 3]
    assert {escalation.cause for escalation in caller.escalations} == {EscalationCause.NO_MATCH}


def test_turns_without_a_match_and_turns_without_input_add_up() -> None:
    caller = Caller()
    caller.silent()
    caller.says("Mumble.")
    caller.not_matched()
    assert caller.counts == []
    caller.says("")
    assert caller.counts == [3]
    assert caller.escalations[0].cause is EscalationCause.NO_INPUT


def test_a_turn_that_matches_begins_the_count_anew() -> None:
    caller = Caller()
    for _ in range(2):
        caller.says("Mumble.")
        caller.not_matched()
    caller.says("My order, please.")
    caller.says("Mumble.")
    caller.not_matched()
    caller.silent()
    assert caller.counts == []
    caller.silent()
    assert caller.counts == [3]


def test_without_transcription_turns_are_counted_as_the_model_reports_them() -> None:
    caller = Caller()
    for matches in (False, False, True, False, False, False):
        caller.speaks()
        if not matches:
            caller.not_matched()
    assert caller.counts == [3]


def test_words_that_come_after_the_report_do_not_undo_it() -> None:
    caller = Caller()
    for _ in range(3):
        item_id = caller.speaks()
        caller.not_matched()
        caller.transcript("Mumble.", item_id)
    assert caller.counts == [3]


def test_a_turn_counts_once_though_it_is_reported_twice_and_has_no_words_either() -> None:
    caller = Caller()
    for _ in range(2):
        item_id = caller.speaks()
        caller.not_matched()
        caller.not_matched()
        caller.transcript("", item_id)
    caller.silent("item_silent")
    assert caller.counts == [3]
    caller.not_matched()
    caller.silent()
    caller.silent()
    assert caller.counts == [3]


def test_a_turn_without_words_is_not_counted_again_by_the_report_that_comes_after_its_transcript() -> None:
    caller = Caller()
    for _ in range(2):
        caller.says("")
        caller.not_matched()
    assert caller.counts == []
    caller.says("")
    assert caller.counts == [3]


def test_what_is_reported_without_a_turn_does_not_count() -> None:
    caller = Caller(missed_turns=1)
    caller.not_matched()
    caller.receive("input_audio_buffer.dtmf_event_received", event="5", received_at=1)
    caller.not_matched()
    assert caller.counts == []


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tool_failures", "missed_turns"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, False])
def test_rules_that_make_no_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        EscalationRules(**{name: value})


def test_law_what_the_model_says_of_the_caller_is_not_shown() -> None:
    escalation = Escalation(EscalationCause.MODEL, target="desk", reason="is 415 555 0100", summary="is Alice")
    assert "0100" not in repr(escalation)
    assert "Alice" not in repr(escalation)
    assert (escalation.type, escalation.count) == ("call.escalation", 1)


KINDS = [
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.dtmf_event_received",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "response.done",
]
JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(["item_id", "transcript", "content_index", "event"]), JUNK),
        ),
        max_size=30,
    )
)
def test_law_no_malformed_event_breaks_the_count(frames: list[tuple[str, dict[str, Any]]]) -> None:
    caller = Caller()
    for kind, fields in frames:
        caller.receive(kind, **fields)
    before = len(caller.escalations)
    caller.says("Yes.")
    for _ in range(3):
        caller.silent()
    assert caller.counts[before:] == [3]


@given(st.lists(st.sampled_from(["silent", "", "words", "key", "speech", "miss"]), max_size=60), st.integers(1, 5))
def test_law_it_is_told_after_so_many_turns_in_a_row_and_no_sooner(turns: list[str], most: int) -> None:
    caller = Caller(missed_turns=most)
    row = 0
    for turn in turns:
        told = len(caller.escalations)
        match turn:
            case "silent":
                caller.silent()
            case "key":
                caller.receive("input_audio_buffer.dtmf_event_received", event="5", received_at=1)
            case "speech":
                caller.no_transcript(caller.speaks())
            case "miss":
                item_id = caller.speaks()
                caller.not_matched()
                caller.transcript("Mumble.", item_id)
            case text:
                caller.says(text)
        row = row + 1 if turn in ("silent", "", "miss") else 0
        assert caller.counts[told:] == ([most] if row == most else [])
        row %= most
