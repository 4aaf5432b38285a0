"""An event log becomes a timeline: who spoke when, waits, tools, interruptions, the end; redacted or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logged import logged_call
from realtime_sip.call.record.timeline import Mark, Speech, Timeline, ToolRun, timeline
from realtime_sip.cli.timeline_page import timeline_page
from realtime_sip.cli.timeline_scenario import scenario_of
from realtime_sip.cli.timeline_text import timeline_text
from realtime_sip.event_log import read_event_log
from realtime_sip.testing import CallerSays, ModelSays

HEADER = {
    "realtime_sip_event_log": 2,
    "call_id": "rtc_1",
    "started_at": 1795000000.0,
    "began": 0.1,
    "redacted": False,
    "consented": False,
    "caller": None,
}


def read(folder: Path, entries: list[tuple[float, str, dict[str, Any]]], **header: Any) -> Timeline:
    path = folder / "log.jsonl"
    lines = [json.dumps({"at": at, "from": source, "event": event}) for at, source, event in entries]
    path.write_text("\n".join([json.dumps({**HEADER, **header}), *lines, ""]))
    return timeline(read_event_log(path))


def test_a_call_is_told_in_the_order_in_which_it_happened(tmp_path: Path) -> None:
    course = timeline(read_event_log(logged_call(tmp_path, redact=False)))
    speeches = [(row.by, str(row.words)) for row in course.speeches]
    assert speeches == [
        ("agent", "Good morning, this is the shop."),
        ("caller", "Where is my order?"),
        ("agent", "It left our warehouse yesterday and will be with you tomorrow."),
        ("caller", "Cancel it!"),
        ("agent", "That did not work."),
    ]
    assert [row.begin for row in course.rows] == sorted(row.begin for row in course.rows)
    assert [row.interrupted for row in course.speeches] == [False, False, True, False, False]
    assert course.interruptions == 1
    assert [(row.name, str(row.arguments)) for row in course.tools] == [
        ("order_status", '{"order_id": "1042"}'),
        ("cancel_order", "{}"),
    ]
    assert course.tools[0].end is not None
    assert 2 <= course.tools[0].end - course.tools[0].begin < 3
    assert course.model == "gpt-realtime-2.1"
    assert course.ending is not None
    assert course.ending.reason == "caller"
    assert course.seconds == course.ending.at
    assert course.cost is not None
    assert course.cost > 0


def test_the_wait_is_from_the_end_of_the_callers_turn_to_the_first_audio_with_its_tools(tmp_path: Path) -> None:
    course = timeline(read_event_log(logged_call(tmp_path, redact=False)))
    greeting, question, answer, *_ = course.speeches
    assert greeting.wait is None
    assert question.end is not None
    assert answer.wait == round(answer.begin - question.end, 3)
    assert answer.wait > 2
    assert course.median_wait is not None
    assert max(course.waits) == answer.wait


def test_of_a_redacted_log_lengths_stand_in_the_place_of_words(tmp_path: Path) -> None:
    course = timeline(read_event_log(logged_call(tmp_path, redact=True)))
    assert [row.words and row.words.characters for row in course.speeches] == [31, 18, 62, 10, 18]
    assert all(row.words is not None and row.words.text is None for row in course.speeches)
    shown = timeline_text(course) + timeline_page(course)
    for word in ("warehouse", "1042", "Cancel", "morning"):
        assert word not in shown
    assert "[62 characters]" in shown
    assert "order_status" in shown


def test_a_log_that_ends_in_the_middle_says_that_it_does_not_know_the_end(tmp_path: Path) -> None:
    course = read(tmp_path, [(1.0, "call", {"type": "call.started"}), (2.5, "service", {"type": "error", "error": {}})])
    assert course.ending is None
    assert course.seconds == 2.5
    assert "does not say how it ended" in timeline_text(course)


def test_what_is_alarming_is_marked(tmp_path: Path) -> None:
    close = {"kind": "dropped", "code": 1006, "reason": ""}
    course = read(
        tmp_path,
        [
            (1.0, "call", {"type": "call.gap", "start": 10.0, "end": 12.5, "close": close}),
            (2.0, "call", {"type": "call.limit_near", "limit": "duration", "seconds": 30.0}),
            (3.0, "call", {"type": "call.service_refused", "kind": "failed", "code": "server_error", "param": None}),
            (4.0, "call", {"type": "call.transfer_failed", "target": "sales", "failure": "busy", "evidence": "486"}),
            (5.0, "service", {"type": "error", "error": {"type": "invalid_request_error", "code": "bad_item"}}),
            (6.0, "program", {"type": "session.update", "session": {"type": "realtime", "instructions": "New."}}),
        ],
    )
    marks = [row for row in course.rows if isinstance(row, Mark)]
    assert [(row.what, row.detail) for row in marks] == [
        ("sideband was down", "for 2.5 s"),
        ("limit near", "duration, 30.0"),
        ("service refused", "failed, server_error"),
        ("transfer failed", "sales, busy, 486"),
        ("error", "bad_item"),
        ("session updated", "instructions"),
    ]
    assert [row.alarming for row in marks] == [True] * 5 + [False]


def test_an_answer_that_is_cut_off_as_it_begins_stands_before_what_cut_it_off(tmp_path: Path) -> None:
    cut_off = {"id": "r", "status": "cancelled", "status_details": {"type": "cancelled", "reason": "turn_detected"}}
    course = read(
        tmp_path,
        [
            (1.0, "service", {"type": "response.created", "response": {"id": "r"}}),
            (1.5, "service", {"type": "output_audio_buffer.started", "response_id": "r"}),
            (1.5, "service", {"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 0}),
            (1.5, "service", {"type": "response.done", "response": cut_off}),
            (1.5, "service", {"type": "output_audio_buffer.cleared", "response_id": "r"}),
            (2.0, "service", {"type": "input_audio_buffer.speech_stopped", "item_id": "i", "audio_end_ms": 0}),
        ],
    )
    assert [row.by for row in course.rows if isinstance(row, Speech)] == ["agent", "caller"]
    model, caller = scenario_of(course)
    assert isinstance(model, ModelSays)
    assert isinstance(caller, CallerSays)
    assert caller.interrupting


def test_a_tool_of_an_mcp_server_is_a_tool(tmp_path: Path) -> None:
    item = {"type": "mcp_call", "id": "mcp_1", "server_label": "shop", "name": "stock", "arguments": '{"id":1}'}
    course = read(
        tmp_path,
        [
            (1.0, "service", {"type": "response.output_item.added", "response_id": "r", "item": item}),
            (1.5, "service", {"type": "response.mcp_call.in_progress", "item_id": "mcp_1"}),
            (2.5, "service", {"type": "response.mcp_call.failed", "item_id": "mcp_1"}),
        ],
    )
    (tool,) = course.tools
    assert (tool.server, tool.name, tool.begin, tool.end, tool.failed) == ("shop", "stock", 1.5, 2.5, True)
    assert "shop: stock" in timeline_text(course)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        *("item_id", "response_id", "item", "response", "session", "error", "transcript", "event", "content_index"),
        *("call_id", "name", "arguments", "delta", "limit", "seconds", "start", "end", "kind", "code", "reason"),
    ]
)
TYPES = st.sampled_from(
    [
        *("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "output_audio_buffer.started"),
        *("output_audio_buffer.stopped", "output_audio_buffer.cleared", "response.done", "response.output_item.added"),
        *("response.output_item.done", "response.function_call_arguments.done", "response.output_text.done"),
        *("conversation.item.create", "session.update", "session.updated", "error", "call.gap", "call.ended"),
        *("call.limit_near", "call.service_refused", "conversation.item.input_audio_transcription.completed"),
        *("input_audio_buffer.dtmf_event_received", "response.mcp_call.completed", "unheard.of"),
    ]
)


@given(
    st.lists(
        st.tuples(
            st.floats(-10, 1e6), st.sampled_from(["service", "program", "call"]), TYPES, st.dictionaries(NAMES, VALUES)
        ),
        max_size=12,
    ),
    st.booleans(),
)
def test_whatever_a_log_holds_nothing_is_raised_and_the_page_has_none_of_its_markup(
    tmp_path_factory: Any, entries: list[tuple[float, str, str, dict[str, Any]]], redacted: bool
) -> None:
    folder = tmp_path_factory.mktemp("log")
    course = read(folder, [(at, who, {**more, "type": kind}) for at, who, kind, more in entries], redacted=redacted)
    assert all(isinstance(row, (Speech, ToolRun, Mark)) for row in course.rows)
    assert all(line.isprintable() for line in timeline_text(course).split("\n"))
    assert timeline_page(course).count("<script") == 0


def test_no_text_of_a_call_is_markup_in_the_page(tmp_path: Path) -> None:
    evil = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e"
    entries: list[tuple[float, str, dict[str, Any]]] = [
        (1.0, "service", {"type": "input_audio_buffer.speech_started", "item_id": "i"}),
        (
            2.0,
            "service",
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "item_id": "i",
                "content_index": 0,
                "transcript": evil,
            },
        ),
        (3.0, "service", {"type": "error", "error": {"code": evil}}),
        (4.0, "call", {"type": "call.ended", "reason": evil, "certainty": evil, "evidence": evil}),
    ]
    course = read(tmp_path, entries, call_id=evil)
    page, text = timeline_page(course), timeline_text(course)
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    for char in ("\x1b", "\u202e"):
        assert char not in page + text
