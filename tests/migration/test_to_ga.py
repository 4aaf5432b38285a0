"""What `to_ga` does to whole objects, and what it leaves alone."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip import beta, events
from realtime_sip.errors import InvalidRequestError
from realtime_sip.migration import Change, ChangeKind, to_ga
from realtime_sip.session import checked_session

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

BETA_SESSION: dict[str, Any] = {
    "modalities": ["text", "audio"],
    "instructions": "You answer for a bakery.",
    "voice": "sage",
    "input_audio_format": "g711_ulaw",
    "output_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "gpt-4o-mini-transcribe", "language": "pt"},
    "input_audio_noise_reduction": {"type": "near_field"},
    "turn_detection": {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 400},
    "tools": [{"type": "function", "name": "order_status", "parameters": {"type": "object", "properties": {}}}],
    "tool_choice": "auto",
    "temperature": 0.8,
    "speed": 1.1,
    "max_response_output_tokens": "inf",
    "tracing": "auto",
    "include": ["item.input_audio_transcription.logprobs"],
}
GA_SESSION: dict[str, Any] = {
    "type": "realtime",
    "instructions": "You answer for a bakery.",
    "tools": [{"type": "function", "name": "order_status", "parameters": {"type": "object", "properties": {}}}],
    "tool_choice": "auto",
    "tracing": "auto",
    "include": ["item.input_audio_transcription.logprobs"],
    "output_modalities": ["audio"],
    "audio": {
        "output": {"voice": "sage", "format": {"type": "audio/pcmu"}, "speed": 1.1},
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-mini-transcribe", "language": "pt"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 400},
        },
    },
    "max_output_tokens": "inf",
}


@pytest.mark.filterwarnings("ignore::realtime_sip.session.ModelDeprecationWarning")
def test_a_whole_session_becomes_one_that_can_be_sent() -> None:
    before = copy.deepcopy(BETA_SESSION)
    migrated = to_ga(BETA_SESSION)
    assert migrated.value == GA_SESSION
    assert before == BETA_SESSION  # what was given is not changed
    assert checked_session(migrated.value).to_wire() == GA_SESSION
    assert [change.place for change in migrated.dropped] == ["temperature"]
    update = to_ga({"type": "session.update", "session": BETA_SESSION})
    assert update.value == {"type": "session.update", "session": GA_SESSION}
    assert Change(ChangeKind.MOVED, "session.voice", "session.audio.output.voice") in update.changes


@pytest.mark.parametrize("name", [n for n, path in beta.SESSION_FIELDS.items() if path])
def test_absent_is_not_null(name: str) -> None:
    path = beta.SESSION_FIELDS[name]
    assert path is not None
    *above, last = path.split(".")
    here: Any = to_ga({name: None}).value
    for step in above:
        here = here[step]
    assert here == ({last: None} if above else {"type": "realtime", last: None})


def test_what_is_of_both_keeps_the_current_value() -> None:
    migrated = to_ga({"voice": "sage", "audio": {"output": {"voice": "marin"}}})
    assert migrated.value == {"type": "realtime", "audio": {"output": {"voice": "marin"}}}
    assert [str(change) for change in migrated.dropped] == ["voice: dropped; audio.output.voice is set already"]


def test_unknown_fields_stay() -> None:
    assert to_ga({"voice": "sage", "x_team": 7}).value["x_team"] == 7


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ({"type": "session.update", "session": {}}, "event"),
        ({"type": "message", "role": "user", "content": []}, "item"),
        ({"voice": "sage"}, "session"),
        ({"object": "realtime.session"}, "session"),
        ({"object": "realtime.transcription_session"}, "transcription_session"),
        ({"voice": "sage", "conversation": "none"}, "response"),
        ({"object": "realtime.response", "status": "completed"}, "response"),
        ({"voice": "sage", "client_secret": {"expires_after": {}}}, "secret_request"),
        ({"voice": "sage", "client_secret": {"value": "ek_1"}}, "secret_reply"),
        ({"value": "ek_1", "session": {"type": "realtime"}}, "secret_reply"),
        ({"instructions": "Be brief."}, None),
        ({}, None),
    ],
)
def test_shapes_are_told_by_their_fields(value: dict[str, Any], shape: str | None) -> None:
    assert to_ga(value).shape == shape


@pytest.mark.parametrize(
    "value",
    [
        {"type": "response.created", "response": {"object": "response", "temperature": 1.0, "output": []}},
        {"type": "response.content_part.added", "part": {"type": "audio"}},
        {"type": "conversation.item.created", "item": {"type": "message", "role": "user", "content": []}},
        {"type": "message", "role": "user", "content": [{"type": "text", "text": "Hi."}]},
        {"expires_after": {"anchor": "created_at", "seconds": 60}},
        {"type": "realtime", "audio": {"input": {"turn_detection": None}}},
        {"type": "realtime", "tool_choice": {"type": "mcp", "server_label": "shop"}},
    ],
)
def test_what_is_current_stays(value: dict[str, Any]) -> None:
    migrated = to_ga(value)
    assert migrated.value == value
    assert migrated.changes == ()


def test_an_object_that_is_none_or_too_deep_is_refused() -> None:
    deep: Any = {}
    for _ in range(70):
        deep = {"session": deep}
    wrong: list[Any] = [deep, [], "x"]
    for value in wrong:
        with pytest.raises(InvalidRequestError, match="beta object is not valid"):
            to_ga(value)


def test_no_change_holds_a_value_of_the_program() -> None:
    secret = "the caller's own words"
    migrated = to_ga({**BETA_SESSION, "instructions": secret, "voice": secret, "temperature": secret})
    assert secret not in repr(migrated.changes)


# --- properties -------------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
names = st.sampled_from(
    [
        *beta.SESSION_FIELDS,
        *("type", "object", "audio", "input", "output", "format", "session", "response", "item", "tool_choice"),
        *("function", "name", "output_modalities", "content", "role", "id", "value", "model"),
    ]
)
words = st.sampled_from(
    [
        *(*beta.AUDIO_FORMATS, *beta.CONTENT_TYPES, *beta.CLIENT_EVENT_TYPES, *beta.SERVER_EVENT_TYPES, *beta.MODELS),
        *("realtime", "transcription", "function", "assistant", "message", "session.update", "response.create"),
        *("item_reference", "realtime.response", "realtime.session", "text", "audio"),
    ]
)
anything = st.recursive(
    scalars | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=5),
    max_leaves=20,
)
objects = st.dictionaries(names, anything, max_size=6)


@given(objects)
def test_law_to_ga_of_ga_is_itself(value: dict[str, Any]) -> None:
    once = to_ga(value)
    again = to_ga(once.value, shape=once.shape)
    assert again.value == once.value
    assert {change.kind for change in again.changes} <= {ChangeKind.KEPT}
    if once.value == value:
        assert {change.kind for change in once.changes} <= {ChangeKind.KEPT}


OLD_NAMES_IN_EXAMPLES = {"conversation.item.retrieved.json", "response.output_item.done.json"}
"""The vendor's own examples of the current API still have the beta's names of content in two places."""


@pytest.mark.skipif(not SHARED.is_dir(), reason="the vendor's examples are not beside the checkout")
@pytest.mark.parametrize("path", sorted((SHARED / "api_examples").glob("*.json")), ids=lambda path: path.name)
def test_law_to_ga_of_the_vendors_examples_is_itself(path: Path) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    migrated = to_ga(value)
    if path.name in OLD_NAMES_IN_EXAMPLES:
        assert [change.place for change in migrated.changes] == ["item.content.0.type"]
    else:
        assert (migrated.value, migrated.changes) == (value, ())


@pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not beside the checkout")
@pytest.mark.parametrize("path", sorted((SHARED / "recordings").glob("pydantic_ai*.jsonl")), ids=lambda path: path.stem)
def test_law_to_ga_of_recorded_frames_is_itself(path: Path) -> None:
    frames = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for frame in frames:
        data = frame.get("data", frame)
        if isinstance(data, dict):
            migrated = to_ga(data)
            assert (migrated.value, migrated.changes) == (data, ())


def test_law_to_ga_of_what_can_be_sent_is_itself() -> None:
    for event in (
        {"type": "session.update", "session": GA_SESSION},
        {"type": "response.create", "response": {"output_modalities": ["text"], "conversation": "none"}},
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": ""}},
    ):
        if "instructions" not in str(event):
            events.client_event(event)
        assert to_ga(event).value == event
