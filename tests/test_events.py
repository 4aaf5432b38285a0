"""Events: what is received parses to its class and gives back what came, whatever is new or broken about it."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from realtime_sip import beta, events, items, response, session
from realtime_sip._wire import Inbound, Outbound, Unknown
from realtime_sip.errors import BetaShapeError, InvalidRequestError, NotAnEventError, RealtimeSipError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the examples and recordings are not beside the checkout")

SERVER = get_args(events.KnownServerEvent)
CLIENT = get_args(events.ClientEvent)


def _types(kind: type[BaseModel]) -> tuple[str, ...]:
    return get_args(kind.model_fields["type"].annotation)


def _unknowns(value: object) -> Iterator[Unknown]:
    """Yield every object of an unknown kind in `value`."""
    if isinstance(value, Unknown):
        yield value
    if isinstance(value, BaseModel):
        for inner in value.__dict__.values():
            yield from _unknowns(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _unknowns(inner)


def _parse(frame: object) -> events.ServerEvent:
    return events.parse_server_event(json.dumps(frame))


# --- frames of our own ------------------------------------------------------------------------------------------------

SESSION: dict[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "expires_at": 1795000000,
    "model": "gpt-realtime-2.1",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "noise_reduction": {"type": "near_field", "strength": 1.0},
            "transcription": {"model": "gpt-transcribe", "keywords": ["x"]},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": None},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": {"id": "voice_1"}, "speed": 1},
    },
    "tools": [
        {"type": "function", "name": "x", "parameters": {"type": "object"}},
        {
            "type": "mcp",
            "server_label": "shop",
            "allowed_tools": {"tool_names": ["find"]},
            "require_approval": {"never": {"read_only": True}},
        },
    ],
    "tool_choice": {"type": "mcp", "server_label": "shop"},
    "tracing": {"workflow_name": "calls"},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "prompt": {"id": "pmpt_1", "variables": {"name": "x"}},
    "reasoning": {"effort": "low"},
}

OUTPUT: list[dict[str, Any]] = [
    {
        "type": "message",
        "role": "assistant",
        "id": "item_1",
        "content": [{"type": "output_audio", "transcript": "Hi."}],
    },
    {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]},
    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
    {"type": "function_call", "name": "x", "arguments": "{}", "call_id": "call_1"},
    {"type": "function_call_output", "call_id": "call_1", "output": ""},
    {"type": "mcp_list_tools", "server_label": "shop", "tools": [{"name": "find", "input_schema": {}}]},
    {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "shop",
        "name": "find",
        "arguments": "{}",
        "error": {"type": "http_error", "code": 502, "message": "bad gateway"},
    },
    {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "shop", "name": "buy", "arguments": "{}"},
    {"type": "mcp_approval_response", "id": "mcpa_1", "approval_request_id": "mcpr_1", "approve": False},
]

DONE: dict[str, Any] = {
    "type": "response.done",
    "event_id": "event_1",
    "response": {
        "id": "resp_1",
        "object": "realtime.response",
        "status": "failed",
        "status_details": {"type": "failed", "error": {"type": "server_error", "code": None, "message": "no"}},
        "output": OUTPUT,
        "max_output_tokens": 4096,
        "audio": {"output": {"format": {"type": "audio/pcma"}, "voice": "marin"}},
        "usage": {"total_tokens": 3, "input_token_details": {"cached_tokens_details": {"audio_tokens": 1}}},
        "metadata": {"purpose": "x"},
    },
}

UPDATED: dict[str, Any] = {"type": "session.updated", "event_id": "event_1", "session": SESSION}

COMPLETED: dict[str, Any] = {
    "type": "conversation.item.input_audio_transcription.completed",
    "event_id": "event_1",
    "item_id": "item_1",
    "content_index": 0,
    "transcript": "Hi.",
    "usage": {"type": "duration", "seconds": 2},
    "languages": [{"code": "en"}],
    "logprobs": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}],
}

PART: dict[str, Any] = {
    "type": "response.content_part.added",
    "event_id": "event_1",
    "response_id": "resp_1",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "part": {"type": "audio", "transcript": ""},
}

FRAMES = [DONE, UPDATED, COMPLETED, PART]


def _with(frame: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Return `frame` with `value` at the dotted `path`."""
    changed = copy.deepcopy(frame)
    here: Any = changed
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        here = here[step]
    here[last] = value
    return changed


def _at(event: object, path: str) -> Any:
    here: Any = event
    for step in path.split("."):
        here = here[int(step)] if step.isdigit() else getattr(here, step)
    return here


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*SERVER, *CLIENT], ids=lambda kind: kind.__name__)
def test_one_class_per_wire_type_named_by_the_wire(kind: type[BaseModel]) -> None:
    (name,) = {
        "".join(word.capitalize() for word in wire.strip().replace(".", "_").split("_")) for wire in _types(kind)
    }
    assert kind.__name__ == name
    assert getattr(events, name) is kind
    assert name in events.__all__


def test_there_are_46_server_events_and_11_client_events() -> None:
    assert len({_types(kind)[0] for kind in SERVER}) == len(SERVER) == 46
    assert len({_types(kind)[0] for kind in CLIENT}) == len(CLIENT) == 11


def test_what_is_sent_and_what_is_received_share_no_class() -> None:
    assert all(issubclass(kind, Inbound) for kind in SERVER)
    assert all(issubclass(kind, Outbound) for kind in CLIENT)
    assert not issubclass(Inbound, Outbound)
    assert not issubclass(Outbound, Inbound)


# --- real payloads ----------------------------------------------------------------------------------------------------


def _payloads() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield a name, "sent" or "received", and the event, of each example and recorded frame."""
    client_types = {wire for kind in CLIENT for wire in _types(kind)}
    for path in sorted((SHARED / "api_examples").glob("*.json")):
        frame = json.loads(path.read_text())
        if "data" not in frame:  # else it is a webhook
            yield path.name, "sent" if frame["type"] in client_types else "received", frame
    for path in sorted((SHARED / "recordings").glob("*.jsonl")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            record = json.loads(line)
            if record["direction"] != "webhook":
                yield f"{path.name}:{number}", record["direction"], record["data"]


PAYLOADS = list(_payloads()) if SHARED.is_dir() else []


@needs_shared
def test_every_received_payload_parses_to_its_class_and_gives_back_what_came() -> None:
    received = [(name, frame) for name, direction, frame in PAYLOADS if direction == "received"]
    assert len(received) > 200
    seen = set()
    for name, frame in received:
        event = _parse(frame)
        seen.add(type(event))
        assert frame["type"] in _types(type(event)), name
        assert list(_unknowns(event)) == [], name
        assert event.to_wire() == frame, name
    assert seen == set(SERVER)


@needs_shared
def test_every_sent_payload_is_a_valid_client_event_and_gives_back_what_came() -> None:
    sent = [(name, frame) for name, direction, frame in PAYLOADS if direction == "sent"]
    seen = set()
    for name, frame in sent:
        event = events.parse_client_event(json.dumps(frame))
        seen.add(type(event))
        assert event.to_wire() == frame, name
        assert events.client_event(frame) == event, name
    assert seen == set(CLIENT)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["type"])
def test_frames_of_our_own_parse_without_unknowns_and_give_back_what_came(frame: dict[str, Any]) -> None:
    for form in (json.dumps(frame), json.dumps(frame).encode()):
        event = events.parse_server_event(form)
        assert frame["type"] in _types(type(event))
        assert list(_unknowns(event)) == []
        assert event.to_wire() == frame


def test_dtmf_has_no_event_id_and_a_blank_in_its_type_does_no_harm() -> None:
    for wire in ("input_audio_buffer.dtmf_event_received", " input_audio_buffer.dtmf_event_received"):
        frame = {"type": wire, "event": "9", "received_at": 1763605109}
        event = _parse(frame)
        assert isinstance(event, events.InputAudioBufferDtmfEventReceived)
        assert (event.event, event.event_id) == ("9", None)
        assert event.to_wire() == frame
        assert "'9'" not in repr(event)


@pytest.mark.parametrize(
    ("received_at", "expected"),
    [({}, None), ({"received_at": None}, None), ({"received_at": 7.25}, 7), ({"received_at": "2026-11-26"}, None)],
)
def test_a_key_is_a_key_without_its_time(received_at: dict[str, Any], expected: int | None) -> None:
    event = _parse({"type": "input_audio_buffer.dtmf_event_received", "event": "9", **received_at})
    assert isinstance(event, events.InputAudioBufferDtmfEventReceived)
    assert (event.event, event.received_at) == ("9", expected)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("output_text", items.OutputTextPart),
        ("output_audio", items.OutputAudioPart),
        ("text", items.TextPart),
        ("audio", items.AudioPart),
    ],
)
def test_assistant_parts_have_long_and_short_names(kind: str, expected: type) -> None:
    event = _parse(_with(DONE, "response.output.0.content.0", {"type": kind, "text": "x", "format": "pcm16"}))
    part = _at(event, "response.output.0.content.0")
    assert type(part) is expected
    part_event = _parse(_with(PART, "part", {"type": kind}))
    assert type(_at(part_event, "part")) is expected


# --- unknown flows through, at every level ----------------------------------------------------------------------------

PLACES: list[tuple[dict[str, Any], str, type[Unknown]]] = [
    (DONE, "response.output.0", items.UnknownItem),
    (DONE, "response.output.0.content.0", items.UnknownPart),
    (DONE, "response.output.1.content.0", items.UnknownPart),
    (DONE, "response.output.2.content.0", items.UnknownPart),
    (DONE, "response.output.6.error", items.UnknownMcpErrorDetail),
    (DONE, "response.audio.output.format", session.UnknownAudioFormat),
    (DONE, "response.audio.output.voice", session.UnknownVoice),
    (UPDATED, "session", session.UnknownSession),
    (UPDATED, "session.audio.input.format", session.UnknownAudioFormat),
    (UPDATED, "session.audio.input.turn_detection", session.UnknownTurnDetection),
    (UPDATED, "session.audio.output.voice", session.UnknownVoice),
    (UPDATED, "session.tools.0", session.UnknownTool),
    (UPDATED, "session.tool_choice", session.UnknownToolChoice),
    (UPDATED, "session.truncation", session.UnknownTruncation),
    (COMPLETED, "usage", response.UnknownTranscriptionUsage),
    (PART, "part", items.UnknownPart),
]


@pytest.mark.parametrize(("frame", "path", "expected"), PLACES, ids=[f"{f['type']}:{p}" for f, p, _ in PLACES])
def test_unknown_flows_through_at_every_level(frame: dict[str, Any], path: str, expected: type[Unknown]) -> None:
    for new in ({"type": "brand_new", "id": 7, "detail": {"a": [None]}}, {"kind": "untyped"}):
        changed = _with(frame, path, new)
        event = _parse(changed)
        assert frame["type"] in _types(type(event))
        assert [type(unknown) for unknown in _unknowns(event)] == [expected]
        assert _at(event, path).raw == new
        assert event.to_wire() == changed


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("session.tracing", session.UnknownTracing),
        ("session.tools.1.allowed_tools", session.UnknownMcpSetting),
        ("session.tools.1.require_approval", session.UnknownMcpSetting),
    ],
)
def test_unknown_flows_through_where_objects_have_no_type(path: str, expected: type[Unknown]) -> None:
    broken = {"workflow_name": 7, "tool_names": 7, "always": 7}
    event = _parse(_with(UPDATED, path, broken))
    assert isinstance(event, events.SessionUpdated)
    assert type(_at(event, path)) is expected
    assert event.to_wire() == _with(UPDATED, path, broken)


def test_unknown_flows_through_one_malformed_item_leaves_the_rest_of_the_response() -> None:
    for path, wrong in (("name", None), ("arguments", {}), ("call_id", 7)):
        changed = _with(DONE, f"response.output.3.{path}", wrong)
        event = _parse(changed)
        assert isinstance(event, events.ResponseDone)
        output = event.response.output
        assert output is not None
        assert [type(item) for item in output if isinstance(item, Unknown)] == [items.UnknownItem]
        assert isinstance(output[0], items.AssistantMessageItem)
        assert event.response.usage is not None
        assert event.response.usage.total_tokens == 3
        assert event.to_wire() == changed


def test_the_phase_of_a_message_tells_commentary_from_the_answer() -> None:
    messages: list[dict[str, Any]] = [
        {"type": "message", "id": f"item_{phase}", "role": "assistant", "content": [], "phase": phase}
        for phase in ("commentary", "final_answer", None, "aside")
    ]
    frame = _with(DONE, "response.output", messages)
    event = _parse(frame)
    assert isinstance(event, events.ResponseDone)
    assert event.to_wire() == frame
    output = [item for item in event.response.output or [] if isinstance(item, items.AssistantMessageItem)]
    assert [item.phase for item in output] == ["commentary", "final_answer", None, "aside"]
    assert "phase='commentary'" in repr(output[0])
    without = _parse(DONE)
    assert isinstance(without, events.ResponseDone)
    assert _at(without, "response.output.0").phase is None


def test_unknown_flows_through_what_state_machines_need_stays_readable() -> None:
    broken = _with(_with(UPDATED, "session.model", 7), "session.expires_at", 1795000001)
    event = _parse(broken)
    assert isinstance(event, events.SessionUpdated)
    assert isinstance(event.session, session.UnknownSession)
    assert event.session.expires_at == 1795000001
    item = _at(_parse(_with(DONE, "response.output.0.role", "robot")), "response.output.0")
    assert (item.type, item.id) == ("message", "item_1")


def test_lenient_in_new_values_of_enumerations_are_kept() -> None:
    for path in ("status", "status_details.reason", "object", "output.0.status", "max_output_tokens"):
        changed = _with(DONE, f"response.{path}", "renewed")
        event = _parse(changed)
        assert isinstance(event, events.ResponseDone)
        assert list(_unknowns(event)) == []
        assert event.to_wire() == changed


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "session.renamed", "event_id": "event_1", "session": {}},
        {"type": "response.done", "event_id": "event_1"},
        {"type": "response.done", "event_id": "event_1", "response": []},
        {**PART, "output_index": "0"},
        {**PART, "output_index": None},
        {"type": "response.audio.delta", "event_id": "event_1", "delta": ""},
    ],
)
def test_isinstance_never_lies_what_is_not_its_type_is_an_unknown_event(frame: dict[str, Any]) -> None:
    event = _parse(frame)
    assert type(event) is events.UnknownServerEvent
    assert (event.type, event.event_id) == (frame["type"], "event_1")
    assert event.raw == event.to_wire() == frame


@pytest.mark.parametrize("frame", [{}, {"type": None}, {"type": 7, "event_id": 7}, {"event_id": None}])
def test_an_event_without_type_or_id_is_an_unknown_event(frame: dict[str, Any]) -> None:
    event = _parse(frame)
    assert isinstance(event, events.UnknownServerEvent)
    assert (event.type, event.event_id, event.raw) == ("", None, frame)


# --- any JSON object --------------------------------------------------------------------------------------------------

KEYS = st.sampled_from(
    ["type", "event_id", "id", "raw", "to_wire", "model_config", "model_fields", "__class__", "self", "error", "item"]
) | st.text(max_size=8)
# Integers that a float holds: where the service has a number, 2 and 2.0 are the same.
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
OBJECTS = st.dictionaries(KEYS, JSON, max_size=6)
TYPES = st.sampled_from([wire for kind in SERVER for wire in _types(kind)])


def _leaves(value: object, path: str = "") -> Iterator[str]:
    pairs: list[tuple[object, object]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    for key, inner in pairs:
        place = f"{path}.{key}" if path else str(key)
        yield place
        yield from _leaves(inner, place)


MUTATIONS = st.sampled_from(FRAMES).flatmap(
    lambda frame: st.builds(_with, st.just(frame), st.sampled_from(list(_leaves(frame))), JSON)
)


@settings(deadline=None, derandomize=True)
@given(OBJECTS | st.builds(lambda frame, kind: {**frame, "type": kind}, OBJECTS, TYPES) | MUTATIONS)
def test_parsing_never_raises_on_a_json_object_and_loses_nothing(frame: dict[str, Any]) -> None:
    event = _parse(frame)
    assert event.to_wire() == frame
    assert repr(event)
    if not isinstance(event, events.UnknownServerEvent):
        assert frame["type"] in _types(type(event))


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=200) | JSON.map(json.dumps))
def test_parsing_any_frame_gives_an_event_or_one_clear_error(frame: bytes | str) -> None:
    event: object = None
    with contextlib.suppress(NotAnEventError):
        event = events.parse_server_event(frame)
    assert event is None or isinstance(event, events.UnknownServerEvent)


DEEP = b'{"type": "x", "a": ' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize(
    "frame",
    [b"[]", "7", "null", '"words"', b"", b"{", b'{"a": 1} x', b'{"a": "\xff"}', b"\xff\xfe{", DEEP, '{"a": "\\ud8"}'],
)
def test_what_is_no_json_object_is_one_clear_error(frame: bytes | str) -> None:
    with pytest.raises(NotAnEventError) as caught:
        events.parse_server_event(frame)
    assert isinstance(caught.value, RealtimeSipError)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value) == f"a frame of {len(frame)} bytes is not a JSON object that can be read"
    # The frame may hold somebody's words: it is neither in the message nor on an exception that this one drags along.
    assert caught.value.__context__ is caught.value.__cause__ is None


def test_a_delta_that_was_cut_inside_an_emoji_is_not_lost() -> None:
    # RFC 8259, section 8.2: JSON can spell half of a surrogate pair.
    frame = json.dumps({**PART, "part": {"type": "text", "text": "good \ud83d"}})
    event = events.parse_server_event(frame)
    assert isinstance(event, events.ResponseContentPartAdded)
    assert isinstance(event.part, items.TextPart)
    assert event.part.text == "good ?"
    unknown = events.parse_server_event('{"type": "x.\\uDE00", "event_id": "event_1"}')
    assert isinstance(unknown, events.UnknownServerEvent)
    assert unknown.event_id == "event_1"


# --- what is logged ---------------------------------------------------------------------------------------------------


def _messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "realtime_sip.events"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr("realtime_sip.events._named", set())
    caplog.set_level(logging.WARNING, "realtime_sip.events")
    return caplog


def test_an_unknown_event_is_logged_by_its_type_alone_and_once(log: pytest.LogCaptureFixture) -> None:
    for number in range(3):
        _parse({"type": "caller.spoke", "event_id": f"event_{number}", "transcript": "my card is 4000 1234 5678"})
    (message,) = _messages(log)
    assert "'caller.spoke'" in message
    assert "does not know" in message
    assert "4000" not in message
    assert log.records[0].levelno == logging.WARNING
    assert log.records[0].exc_info is None


def test_a_malformed_event_is_logged_as_such(log: pytest.LogCaptureFixture) -> None:
    _parse({"type": "response.done", "event_id": "event_1", "words": "secret"})
    (message,) = _messages(log)
    assert "'response.done' lacks a field that its type must have" in message
    assert "secret" not in message


def test_a_hostile_type_is_cut_and_made_printable(log: pytest.LogCaptureFixture) -> None:
    _parse({"type": "x\n\x1b[31m\u202e +14155550100 " + "y" * 5000})
    (message,) = _messages(log)
    assert message.isascii()
    assert message.isprintable()
    assert "4155550100" not in message
    assert len(message) < 300


def test_many_new_types_do_not_fill_the_log(log: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        _parse({"type": f"new.{number}"})
    assert 1 <= len(_messages(log)) <= 100


def test_a_known_event_with_an_unknown_part_is_not_logged(log: pytest.LogCaptureFixture) -> None:
    _parse(_with(PART, "part", {"type": "brand_new"}))
    assert _messages(log) == []


# --- client events ----------------------------------------------------------------------------------------------------


def test_a_client_event_may_be_a_model_or_a_dict() -> None:
    event = events.ConversationItemCreate(item=items.FunctionCallOutput(call_id="call_1", output="{}"))
    plain = {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": "{}"},
    }
    assert events.client_event(event) is event
    assert events.client_event(plain) == event
    assert event.to_wire() == plain
    mixed = events.client_event({"type": "session.update", "session": session.RealtimeSession(instructions="Hi.")})
    assert mixed.to_wire() == {"type": "session.update", "session": {"type": "realtime", "instructions": "Hi."}}


@pytest.mark.parametrize("item", OUTPUT, ids=lambda item: item["type"])
def test_every_item_that_is_received_can_be_sent(item: dict[str, Any]) -> None:
    if item.get("role") == "assistant":
        item = {**item, "content": [{"type": "output_text", "text": "Hi."}]}
    if item.get("role") == "user":  # a transcript that is not there yet is null, which cannot be sent
        item = {**item, "content": [{k: v for k, v in part.items() if v is not None} for part in item["content"]]}
    created = events.client_event({"type": "conversation.item.create", "item": item, "previous_item_id": "root"})
    assert created.to_wire()["item"] == item
    asked = events.client_event({"type": "response.create", "response": {"input": [item]}})
    assert asked.to_wire()["response"] == {"input": [item]}


def test_an_item_reference_is_for_responses_only() -> None:
    reference = {"type": "item_reference", "id": "item_1"}
    asked = events.client_event({"type": "response.create", "response": {"input": [reference]}})
    assert asked.to_wire()["response"] == {"input": [reference]}
    with pytest.raises(InvalidRequestError, match="item_reference"):
        events.client_event({"type": "conversation.item.create", "item": reference})


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({}, "type"),
        ({"type": 7}, "type"),
        ({"type": "response.craete"}, "type"),
        ({"type": "response.done"}, "type"),
        ({"type": "conversation.item.delete"}, "item_id"),
        ({"type": "response.cancel", "response": "resp_1"}, "response"),
        ({"type": "session.update", "session": {"instructions": "Hi."}}, "session"),
        (
            {"type": "session.update", "session": {"type": "realtime", "audio": {"voice": "marin"}}},
            "session.audio.voice",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0, "audio_end_ms": -1},
            "audio_end_ms",
        ),
        ({"type": "conversation.item.create", "item": {"type": "message", "content": []}}, "item"),
        ({"type": "conversation.item.create", "item": {"type": "mcp_approval_response"}}, "item.approve"),
        ({"type": "input_audio_buffer.append", "audio": "A" * (20 * 1024 * 1024 + 1)}, "audio"),
    ],
)
def test_strict_out_a_wrong_client_event_is_refused_with_the_place(event: dict[str, Any], place: str) -> None:
    for check in (events.client_event, lambda value: events.parse_client_event(json.dumps(value))):
        with pytest.raises(InvalidRequestError) as caught:
            check(event)
        assert place in [place for place, _ in caught.value.problems]
        assert not isinstance(caught.value, BetaShapeError)


@pytest.mark.parametrize(
    ("event", "current"),
    [
        ({"type": "transcription_session.update"}, "session.update"),
        ({"type": "session.update", "session": {"type": "realtime", "voice": "alloy"}}, "audio.output.voice"),
        ({"type": "response.create", "response": {"modalities": ["text"]}}, "output_modalities"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
            },
            "output_text",
        ),
    ],
)
def test_beta_shapes_are_refused_with_the_current_name(event: dict[str, Any], current: str) -> None:
    with pytest.raises(BetaShapeError, match=f"it is {current} now"):
        events.client_event(event)


def test_the_beta_tables_name_current_types() -> None:
    assert set(beta.SERVER_EVENT_TYPES.values()) <= {wire for kind in SERVER for wire in _types(kind)}
    assert set(beta.CLIENT_EVENT_TYPES.values()) <= {wire for kind in CLIENT for wire in _types(kind)}
    assert not set(beta.SERVER_EVENT_TYPES) & {wire for kind in SERVER for wire in _types(kind)}


@pytest.mark.parametrize("frame", [b"", b"[]", "null", b"\xff", '{"type": "response.create"'])
def test_a_client_frame_that_is_no_json_object_is_refused(frame: bytes | str) -> None:
    with pytest.raises(InvalidRequestError, match="not"):
        events.parse_client_event(frame)


# --- other services, and the beta -------------------------------------------------------------------------------------


def test_the_commonest_beta_event_is_told_the_current_names() -> None:
    beta_event = {"type": "session.update", "session": {"modalities": ["text", "audio"], "voice": "alloy"}}
    with pytest.raises(BetaShapeError, match=r"modalities.*output_modalities.*voice.*audio\.output\.voice"):
        events.client_event(beta_event)
    with pytest.raises(InvalidRequestError, match="Its type is missing"):
        events.client_event({"type": "session.update", "session": {"instructions": "Be brief."}})


def test_a_beta_event_that_comes_in_is_named_by_its_current_name(caplog: pytest.LogCaptureFixture) -> None:
    events._named.discard("response.audio.delta")
    events.parse_server_event('{"type": "response.audio.delta", "delta": "AAAA"}')
    assert "response.output_audio.delta now" in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "event_id": "event_1",
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "yes",
        },
        {
            "type": "response.function_call_arguments.done",
            "event_id": "event_1",
            "response_id": "resp_1",
            "item_id": "item_1",
            "output_index": 0,
            "arguments": "{}",
            "call_id": "call_1",
        },
    ],
    ids=["transcription", "arguments"],
)
def test_what_other_services_of_this_protocol_leave_out_is_optional(frame: dict[str, Any]) -> None:
    assert not isinstance(events.parse_server_event(json.dumps(frame)), events.UnknownServerEvent)


def test_no_number_and_no_key_is_in_the_repr_of_a_code_or_of_an_unknown_type() -> None:
    error = {"type": "error", "event_id": "e", "error": {"type": "x", "message": "m", "code": "to_+14155550100"}}
    shown = repr(events.parse_server_event(json.dumps(error)))
    assert "0100" not in shown
    shown = repr(events.parse_server_event(json.dumps({"type": "sk-proj-abcdefgh4155550100"})))
    assert "abcdefgh" not in shown
    assert "0100" not in shown
