"""The event log of a call: what may stand in it, what is read back, and what becomes of the files."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.event_queue import EventsDropped
from realtime_sip.errors import ConfigurationError, NotAnEventError
from realtime_sip.event_log import (
    CallLogHeader,
    EventLog,
    EventLogFolder,
    LogEntry,
    entries,
    read_event_log,
    redacted_event,
    redaction,
    writer,
)
from realtime_sip.event_log.entries import MAX_LINE, Logged, encoded_entry, encoded_header
from realtime_sip.event_log.file import LogFile, made_key
from realtime_sip.outcomes import CallEnded, EndReason, LimitKind, LimitNear, SidebandGap, SocketClose, SocketCloseKind
from realtime_sip.session import McpTool, RealtimeSession
from realtime_sip.testing import RecordedFrame, Recording, run_virtual

if TYPE_CHECKING:
    from realtime_sip.call.call import Call

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the recordings are not beside this checkout")

Json = dict[str, Any]
ADA = "+14155550123"
BOB = "+14155550199"
STARTED = 1_795_000_000.25
CALL = cast("Call", SimpleNamespace(call_id="rtc_1"))
ENDED = CallEnded(
    reason=EndReason.CONNECTION_LOST,
    certainty="inferred",
    evidence="the socket closed 5 times within a minute",
    started_at=STARTED,
    attached_at=STARTED + 1,
    ended_at=STARTED + 60,
    close=SocketClose(SocketCloseKind.DROPPED, 1006),
)


def event(kind: str, **fields: Any) -> events.ServerEvent:
    return events.parse_server_event(json.dumps({"type": kind, **fields}))


def said(text: str = "Hello.", number: int = 1) -> events.ServerEvent:
    where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    return event("response.output_text.done", event_id=f"event_{number}", text=text, **where)


def key(digit: str) -> events.ServerEvent:
    return event("input_audio_buffer.dtmf_event_received", event=digit, received_at=1_795_000_007)


def shown(logged: Logged, *, redacted: bool = True, secret: bool = False) -> Json:
    """Return the event as it stands in a log."""
    line: Json = json.loads(encoded_entry(logged, at=1.0, redacted=redacted, secret=secret))
    return cast("Json", line["event"])


def started(logs: EventLogFolder, call_id: str = "rtc_1", *, caller: str | None = ADA, at: float = STARTED) -> EventLog:
    log = logs.start(call_id, caller=caller, started_at=at)
    log.begin(consented=False)
    return log


async def written(
    logs: EventLogFolder, call_id: str = "rtc_1", *, caller: str | None = ADA, at: float = STARTED
) -> Path:
    log = started(logs, call_id, caller=caller, at=at)
    log.write(said())
    log.write(ENDED)
    await log.close()
    return log.path


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def types(path: Path) -> list[str]:
    return [entry.type for entry in read_event_log(path).entries]


# --- redaction --------------------------------------------------------------------------------------------------------

SESSION: Json = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime-2025-08-28",
    "instructions": "You answer for a bakery.",
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "expires_at": 1_795_003_600,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "gpt-transcribe", "languages": ["en"], "prompt": "Names", "keywords": ["Ada"]},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "idle_timeout_ms": None,
                "create_response": True,
            },
        },
        "output": {"voice": "marin", "speed": 1.0},
    },
    "tools": [
        {"type": "function", "name": "order_status", "description": "Of an order.", "parameters": {"type": "object"}},
        {
            "type": "mcp",
            "server_label": "shop",
            "server_url": "https://shop.example/?key=abc",
            "authorization": "Bearer abc",
            "headers": {"X-Customer": "Ada"},
            "allowed_tools": {"tool_names": ["orders"], "read_only": True},
            "require_approval": {"never": {"tool_names": ["orders"]}},
        },
    ],
    "tool_choice": {"type": "function", "name": "order_status"},
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"customer": "Ada"}},
    "tracing": {"workflow_name": "Bakery", "metadata": {"customer": "Ada"}},
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000}},
    "include": ["item.input_audio_transcription.logprobs"],
}
RESPONSE: Json = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "failed",
    "status_details": {
        "type": "failed",
        "reason": "turn_detected",
        "error": {"type": "server_error", "code": "rate_limit_exceeded", "message": "Of org-1 on +14155550100"},
    },
    "conversation_id": "conv_1",
    "metadata": {"customer": "Ada"},
    "usage": {"total_tokens": 30, "input_token_details": {"cached_tokens_details": {"audio_tokens": 1}}},
    "output": [
        {
            "id": "item_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_audio", "transcript": "Your order is on its way."}],
        },
        {"id": "item_2", "type": "function_call", "name": "order_status", "call_id": "call_1", "arguments": "{}"},
        {
            "id": "item_3",
            "type": "mcp_call",
            "server_label": "shop",
            "name": "orders",
            "arguments": "{}",
            "error": {"type": "http_error", "code": 502, "message": "Bad gateway."},
        },
    ],
}
TEMPLATES: list[Json] = [
    {"type": "session.updated", "event_id": "event_1", "session": SESSION},
    {"type": "response.done", "event_id": "event_2", "response": RESPONSE},
    {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "event_3",
        "item_id": "item_4",
        "content_index": 0,
        "languages": [{"code": "en"}],
        "logprobs": [{"token": "Ada", "logprob": -0.1, "bytes": [65, 100, 97]}],
        "transcript": "This is Ada.",
        "usage": {"type": "duration", "seconds": 2.5},
    },
    {
        "type": "conversation.item.done",
        "event_id": "event_4",
        "item": {
            "id": "item_5",
            "type": "mcp_list_tools",
            "server_label": "shop",
            "tools": [{"name": "orders", "description": "Orders.", "input_schema": {}, "annotations": {"a": 1}}],
        },
    },
    {"type": "error", "event_id": "event_5", "error": {"type": "invalid_request_error", "code": "x", "message": "No"}},
    {"type": "rate_limits.updated", "event_id": "event_6", "rate_limits": [{"name": "tokens", "reset_seconds": 0.5}]},
    {"type": "input_audio_buffer.dtmf_event_received", "event": "5", "received_at": 1_795_000_000},
    {"type": "something.new", "event_id": "event_7", "detail": {"words": "of tomorrow"}, "list": [["a"], {"b": "c"}]},
]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["type"])
def test_a_redacted_event_still_parses_as_what_it_is(template: Json) -> None:
    before = events.parse_server_event(json.dumps(template))
    after = events.parse_server_event(json.dumps(shown(before)))
    assert type(after) is type(before)
    assert (after.type, after.event_id) == (before.type, before.event_id)


def _recorded() -> Iterator[Json]:
    paths = [
        *(SHARED / "recordings").glob("pydantic*.jsonl"),
        SHARED / "recordings" / "sip_errors_and_dtmf__reported.jsonl",
    ]
    for path in paths:
        frames = [json.loads(line) for line in path.read_text().splitlines()]
        yield from (frame["data"] for frame in frames if frame["direction"] == "received")
    examples = [json.loads(path.read_text()) for path in (SHARED / "api_examples").glob("*.json")]
    yield from (frame for frame in examples if "data" not in frame and "event_id" in frame)


def _sentences(value: Any) -> Iterator[str]:
    for path in _places(value):
        text = _at(value, path)
        if isinstance(text, str) and " " in text.strip():
            yield text


@needs_shared
def test_every_recorded_event_is_readable_when_it_is_redacted_and_has_none_of_its_words() -> None:
    seen = 0
    for frame in _recorded():
        before = events.parse_server_event(json.dumps(frame))
        line = encoded_entry(before, at=0.0, redacted=True)
        assert type(events.parse_server_event(json.dumps(json.loads(line)["event"]))) is type(before)
        seen += 1
        for sentence in _sentences(frame):
            assert json.dumps(sentence)[1:-1] not in line.decode()
    assert seen > 100


def test_ids_counts_and_the_course_of_a_call_are_kept() -> None:
    done = shown(event("response.done", event_id="event_2", response=RESPONSE))["response"]
    assert done["usage"] == RESPONSE["usage"]
    assert done["status_details"] == {
        "type": "failed",
        "reason": "turn_detected",
        "error": {"type": "server_error", "code": "rate_limit_exceeded", "message": "<24 chars>"},
    }
    assert done["output"][1] == {**RESPONSE["output"][1], "arguments": "<2 chars>"}
    assert done["metadata"] == {"<1 items>": "<withheld>"}
    session = shown(event("session.updated", event_id="event_1", session=SESSION))["session"]
    assert session["instructions"] == "<24 chars>"
    assert session["audio"]["input"]["turn_detection"] == SESSION["audio"]["input"]["turn_detection"]
    for name in (
        "model",
        "output_modalities",
        "max_output_tokens",
        "expires_at",
        "tool_choice",
        "truncation",
        "include",
    ):
        assert session[name] == SESSION[name]


def test_the_words_of_a_transcript_are_not_spelled_by_its_bytes() -> None:
    shown_logprobs = redacted_event(TEMPLATES[2])["logprobs"]
    assert shown_logprobs == []
    assert redacted_event({"type": "x", "new_bytes": [65, 100, 97]})["new_bytes"] == ["<number>"] * 3


@pytest.mark.parametrize("digit", [*"0123456789*#ABCD"])
def test_law_a_key_that_was_pressed_is_not_in_a_redacted_log(digit: str) -> None:
    assert shown(key(digit))["event"] == "<1 chars>"
    assert shown(key(digit), redacted=False)["event"] == digit
    assert shown(key(digit), redacted=False, secret=True)["event"] == "<1 chars>"


# Words with something that no identifier has, numbers and keys: where a name may stand, they may not.
SECRETS = st.one_of(
    st.sampled_from(
        [
            *(ADA, "4155550123", "415-555-0123", "tel-415-555-0123", "sip:ada@example.com", "ada@example.com"),
            *("sk-proj-4f6a2b", "ek_6a2b4f", "whsec_c2VjcmV0", "PIN: 4711", "my\nline", "Ada Lovelace"),
            *("Grüße aus Köln", "\ud83d half"),
        ]
    ),
    st.text(min_size=3, max_size=30).map(lambda text: f"{text}§ß"),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in pairs:
        yield from _places(part, (*path, name))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


@settings(max_examples=400, derandomize=True)
@given(st.data(), SECRETS, st.sampled_from(TEMPLATES))
def test_law_no_secret_text_anywhere_in_an_event_occurs_in_a_redacted_log(
    data: st.DataObject, secret: str, template: Json
) -> None:
    place = data.draw(st.sampled_from([path for path in _places(template) if path]))
    there = _at(template, place)
    forms: list[Any] = [secret, [secret], {"a": secret}, {"id": [{"type": secret}]}, {secret: 1}]
    if isinstance(there, dict):
        forms += [{**there, secret: secret}, {**there, "later": secret}, {**there, "name": secret, "id": secret}]
    if isinstance(there, str):
        forms += [f"{there} {secret}"]
    frame = _with(template, place, data.draw(st.sampled_from(forms)))
    lines = [encoded_entry(frame, at=0.0, redacted=True).decode()]
    if isinstance(frame["type"], str):
        wire = json.dumps(frame)
        lines += [encoded_entry(events.parse_server_event(wire), at=0.0, redacted=True).decode()]
        lines += [encoded_entry(events.parse_server_event(wire), at=0.0, redacted=False, secret=True).decode()]
    for line in lines:
        assert secret not in line
        assert json.dumps(secret)[1:-1] not in line
        assert secret not in json.dumps(json.loads(line), ensure_ascii=False)


@settings(max_examples=400, derandomize=True)
@given(st.data(), st.sampled_from(TEMPLATES))
def test_law_an_event_is_redacted_where_it_is_as_its_wire_form_would_be(data: st.DataObject, template: Json) -> None:
    place = data.draw(st.sampled_from([path for path in _places(template) if path != ("type",)]))
    there = _at(template, place)
    forms: list[Any] = [
        "",
        "item_1",
        ADA,
        7,
        -1e12,
        4711.5,
        None,
        True,
        {},
        [],
        {"id": "a_b", "x": [1]},
        [there, there],
    ]
    if isinstance(there, dict):
        forms += [{**there, "later": "words", "id": "item_9", "Ada Lovelace": 1}]
    frame = _with(template, place, data.draw(st.sampled_from(forms))) if place else template
    parsed = events.parse_server_event(json.dumps(frame))
    assert redaction.redacted_model(parsed) == redacted_event(parsed.to_wire())


@given(
    st.text(alphabet="aZ09_./- ék\u0660", max_size=12)
    | st.sampled_from(
        ["sk_live", "ek_1a", "a_" + "b" * 98, "a_" + "b" * 99, "tel_4155550123", "x_12345678", "x_123456789"]
    )
)
def test_a_name_is_told_alike_on_the_short_way_and_on_the_long(text: str) -> None:
    pieces = re.split(r"[_./-]", text)
    name = re.fullmatch(r" ?[A-Za-z0-9_./-]{1,100}", text) and re.search("[A-Za-z]", text)
    digits = sum(len(piece) for piece in pieces if piece.isdigit())
    secret = text.startswith(("sk-", "sk_", "ek-", "ek_", "whsec_"))
    assert redaction.is_name(text) is bool(name and digits <= 8 and not secret)


@settings(max_examples=200, derandomize=True)
@given(
    st.from_regex(r"[a-z]{6,12}", fullmatch=True),
    st.sampled_from(["text", "transcript", "delta", "arguments", "output", "instructions", "description", "message"])
    | st.sampled_from(["event", "reason", "speaker", "token", "display_name", "workflow_name", "version", "new_field"])
    | st.sampled_from(["server_url", "authorization", "tunnel_id", "image_url", "audio", "code", "evidence"]),
)
def test_law_a_word_is_withheld_where_no_name_is_expected(word: str, field_name: str) -> None:
    line = encoded_entry({"type": "x", "item": {field_name: f"{word}zz"}, field_name: f"{word}zz"}, at=0, redacted=True)
    assert f"{word}zz" not in line.decode()


@given(st.integers() | st.floats(), st.text(max_size=20))
def test_a_number_is_kept_only_where_one_is_known_to_be_harmless(number: float, name: str) -> None:
    assume(name not in redaction._NUMBERS)
    assert list(redacted_event({name: number}).values()) == ["<number>"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), JSON | st.binary(max_size=3), max_size=5), st.booleans(), st.booleans())
@example({"type": object()}, False, False)
@example({"type": "x", "number": float("nan")}, False, False)
@example({"type": "x", "audio": "A" * MAX_LINE}, False, False)
def test_any_event_becomes_one_line_of_bounded_size(junk: Json, redacted: bool, secret: bool) -> None:
    line = encoded_entry(junk, at=0.5, redacted=redacted, secret=secret)
    assert len(line) <= MAX_LINE
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line)["from"] == "call"


def test_what_is_too_large_to_be_written_is_there_with_its_type() -> None:
    line = json.loads(encoded_entry(said("x" * MAX_LINE), at=1.0, redacted=False))
    assert line == {"at": 1.0, "from": "service", "withheld": True, "event": {"type": "response.output_text.done"}}


def test_something_nested_without_end_is_written_all_the_same() -> None:
    deep: Any = "Ada Lovelace"
    for _ in range(100_000):
        deep = [deep]
    assert b"Ada" not in encoded_entry({"type": "x", "content": deep}, at=0, redacted=True)
    assert shown({"type": "x", "content": deep}, redacted=False) == {"type": "x"}


def test_the_credentials_of_mcp_servers_are_in_no_log() -> None:
    tool = McpTool(
        server_label="shop",
        server_url="https://shop.example/?key=abc",
        authorization="Bearer abc",
        headers={"X-Key": "abc"},
    )
    session = RealtimeSession(instructions="Sell bread.", tools=[tool])
    for logged in (
        events.SessionUpdate(session=session),
        events.ResponseCreate.model_validate({"response": {"tools": [tool]}}),
        event("session.updated", event_id="event_1", session=SESSION),
    ):
        for redacted in (False, True):
            assert b"abc" not in encoded_entry(logged, at=0, redacted=redacted)
    assert shown(events.SessionUpdate(session=session), redacted=False)["session"]["instructions"] == "Sell bread."
    assert session.tools == [tool]


# --- what happens to the call itself ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class HandedOver:
    """A note as another module may have it: words that its repr hides, a name, and a number in a text."""

    type: ClassVar[str] = "call.handed_over"
    cause: EndReason
    tool: str
    target: str
    summary: str = field(repr=False)
    tries: int = 2


@pytest.mark.parametrize("redacted", [False, True])
def test_what_happens_to_the_call_is_logged_in_its_own_words(redacted: bool) -> None:
    close = SocketClose(SocketCloseKind.DROPPED, 1006)
    assert shown(LimitNear(LimitKind.FIRST_SOUND, 15.0), redacted=redacted) == {
        "type": "call.limit_near",
        "limit": "first sound",
        "seconds": 15.0,
    }
    gap = shown(SidebandGap(1_795_000_001.5, 1_795_000_002.5, close), redacted=redacted)
    assert (gap["type"], gap["start"], gap["end"]) == ("call.gap", 1_795_000_001.5, 1_795_000_002.5)
    assert (gap["close"]["kind"], gap["close"]["code"]) == ("dropped", 1006)
    ended = shown(ENDED, redacted=redacted)
    assert ended["type"] == "call.ended"
    assert (ended["reason"], ended["certainty"]) == ("connection lost", "inferred")
    assert ended["evidence"] == "the socket closed 5 times within a minute"
    assert shown(EventsDropped(3), redacted=redacted) == {"type": "call.events_dropped", "count": 3}
    assert shown({"type": "call.started", "channel": "phone"}, redacted=redacted)["type"] == "call.started"


def test_a_note_keeps_names_and_withholds_words_and_numbers_in_a_redacted_log() -> None:
    note = HandedOver(EndReason.AGENT, tool="order_status", target=ADA, summary="angry", tries=3)
    assert shown(note) == {
        "type": "call.handed_over",
        "cause": "agent",
        "tool": "order_status",
        "target": "<12 chars>",
        "summary": "<5 chars>",
        "tries": 3,
    }
    assert shown(note, redacted=False)["summary"] == "angry"
    odd = HandedOver(EndReason.AGENT, tool="order_status", target="desk", summary="", tries=cast("int", Decimal(3)))
    assert shown(odd, redacted=False)["tries"] == "<Decimal>"


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_a_log_is_read_back(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path, redact=False)
    log = started(logs)
    log.write({"type": "call.started"})
    log.write(said("Hello."))
    log.write(events.SessionUpdate(session=RealtimeSession(instructions="Sell bread.")))
    log.write(key("7"), secret=True)
    log.write(ENDED)
    await log.close()
    read = read_event_log(log.path)
    header = read.header
    assert (header.call_id, header.started_at, header.redacted, header.consented) == ("rtc_1", STARTED, False, False)
    assert [(entry.source, entry.type, entry.withheld) for entry in read.entries] == [
        ("call", "call.started", False),
        ("service", "response.output_text.done", False),
        ("program", "session.update", False),
        ("service", "input_audio_buffer.dtmf_event_received", True),
        ("call", "call.ended", False),
    ]
    assert not read.cut
    assert read.entries[1].event() == said("Hello.")
    assert read.entries[2].event() is None
    assert read.entries[2].data["session"]["instructions"] == "Sell bread."
    assert [entry.at for entry in read.entries] == sorted(round(entry.at, 3) for entry in read.entries)
    assert "Hello" not in repr(read) + repr(read.entries)
    assert str(header.caller) not in repr(read)


def test_an_entry_that_json_cannot_write_is_no_event() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"inner": deep}
    for data in (deep, {"number": 10**5000}, {"odd": object()}):
        with pytest.raises(NotAnEventError, match="cannot write"):
            LogEntry(at=1.0, source="service", data={"type": "x", **data}).event()
    halved = LogEntry(at=1.0, source="service", data={"type": "x", "text": "\ud800"}).event()
    assert isinstance(halved, events.UnknownServerEvent)


async def test_the_times_count_from_the_start_of_the_call(tmp_path: Path) -> None:
    times: list[float] = []

    async def call() -> None:
        log = EventLogFolder(tmp_path).start("rtc_1", caller=None, started_at=STARTED)
        await asyncio.sleep(2.5)
        log.begin(consented=False)
        await asyncio.sleep(1.0004)
        log.write(said())
        await log.close()
        read = read_event_log(log.path)
        times.extend((read.header.began, read.entries[0].at))

    await asyncio.to_thread(run_virtual, call())
    assert times == [2.5, 3.5]


@pytest.fixture(scope="module")
def example_log(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = asyncio.run(written(EventLogFolder(tmp_path_factory.mktemp("calls"))))
    return path.read_bytes()


def test_law_a_log_that_a_crash_has_cut_anywhere_is_read_up_to_there(tmp_path: Path, example_log: bytes) -> None:
    path = tmp_path / "log"
    header = example_log.index(b"\n") + 1
    whole = example_log.split(b"\n")[1:-1]
    assert len(whole) == 2
    for end in range(header, len(example_log) + 1):
        path.write_bytes(example_log[:end])
        read = read_event_log(path)
        # A line that lacks its end alone is whole.
        there = [line for line in example_log[header:end].split(b"\n") if line]
        assert [entry.data for entry in read.entries] == [json.loads(line)["event"] for line in there if line in whole]
        assert read.cut == (there != [] and there[-1] not in whole)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no header"),
        (b'{"direction": "sent", "data": {"type": "x"}}\n', "no header"),
        (b'{"realtime_sip_event_log": true}\n', "no header"),
        (
            b'{"realtime_sip_event_log": 3, "call_id": "rtc_1"}\n{"whatever": 1}\n',
            "version 3; this release reads version 2",
        ),
        (b'{"realtime_sip_event_log": 2, "call_id": "rtc_1"}\n', "malformed"),
        (b"[" * 100_000, "no header"),
    ],
)
def test_what_is_no_log_of_this_version_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint):
        read_event_log(path)


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"at": "1", "from": "call", "event": {"type": "x"}}',
        b'{"at": NaN, "from": "call", "event": {"type": "x"}}',
        b'{"at": 1, "from": "caller", "event": {"type": "x"}}',
        b'{"at": 1, "from": "call", "event": {}}',
        b'{"at": 1, "from": ["call"], "event": {"type": "x"}}',
    ],
)
def test_a_line_in_the_middle_that_is_no_entry_is_named(tmp_path: Path, example_log: bytes, line: bytes) -> None:
    path = tmp_path / "log"
    lines = example_log.split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(ConfigurationError, match="line 3 "):
        read_event_log(path)


@given(st.lists(st.binary(max_size=20) | st.sampled_from([b'{"at": 1, "from": "call", "event": {"type": "x"}}', b"{"])))
def test_reading_raises_nothing_but_its_own_error(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "junk"
    header = encoded_header(
        CallLogHeader(call_id="rtc_1", started_at=1.0, began=0.0, redacted=True, consented=False, caller=None)
    )
    path.write_bytes(header + b"\n".join(lines))
    try:
        read = read_event_log(path)
    except ConfigurationError:
        return
    assert all(isinstance(entry, LogEntry) for entry in read.entries)


def test_a_log_that_is_too_large_is_not_read(
    tmp_path: Path, example_log: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(example_log)
    monkeypatch.setattr(entries, "MAX_LOG", len(example_log))
    assert len(read_event_log(path).entries) == 2
    monkeypatch.setattr(entries, "MAX_LOG", len(example_log) - 1)
    with pytest.raises(ConfigurationError, match="is larger than"):
        read_event_log(path)


def test_a_log_that_is_missing_is_an_error_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^cannot read the event log: FileNotFoundError$"):
        read_event_log(tmp_path / "rtc_1.jsonl")


# --- beginning --------------------------------------------------------------------------------------------------------


async def test_law_nothing_is_written_or_kept_before_it_begins(tmp_path: Path) -> None:
    log = EventLogFolder(tmp_path, redact=False).start("rtc_1", caller=ADA, started_at=STARTED)
    log.write(said("before anything"))
    assert not log.writing
    log.begin(consented=True)
    assert (log.writing, names(tmp_path)) == (True, [])
    log.begin(consented=False)
    log.write(said("afterwards"))
    await log.close()
    read = read_event_log(log.path)
    assert [entry.data["text"] for entry in read.entries] == ["afterwards"]
    assert read.header.consented


async def test_a_log_that_never_begins_is_no_file(tmp_path: Path) -> None:
    log = EventLogFolder(tmp_path).start("rtc_1", caller=ADA, started_at=STARTED)
    log.write(said())
    log.write(ENDED)
    await log.close()
    log.begin(consented=True)
    log.write(said())
    assert (log.writing, names(tmp_path)) == (False, [])


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_folder_and_files_are_the_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = tmp_path / "var" / "calls"
        path = await written(EventLogFolder(folder))
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in folder.iterdir()} == {0o600}
    assert names(folder) == [".key", path.name]


def test_what_was_written_is_on_disk_within_half_a_second(tmp_path: Path) -> None:
    async def call() -> int:
        log = started(EventLogFolder(tmp_path))
        log.write(said())
        await asyncio.sleep(0.5)
        log.write(said())
        return len(read_event_log(log.path).entries)

    assert run_virtual(call()) == 1


@pytest.mark.parametrize("redact", [False, True])
async def test_law_a_log_is_bounded_and_still_tells_how_the_call_ended(tmp_path: Path, redact: bool) -> None:
    most = 64 * 1024
    log = started(EventLogFolder(tmp_path, max_bytes=most, redact=redact), "☎" * 300)
    for number in range(2000):
        log.write(said("x" * 40, number))
    assert not log.writing
    worst = "\U0001f4de" * 300
    close = SocketClose(SocketCloseKind.REFUSED, 4000, "\U0001f4de" * 30)
    log.write(CallEnded(**{**_fields(ENDED), "evidence": worst, "close": close}))
    log.write(said())
    await log.close()
    assert types(log.path)[-2:] == ["call.log_full", "call.ended"]
    assert most * 0.8 < log.path.stat().st_size <= most


def _fields(ended: CallEnded) -> Json:
    return {name: getattr(ended, name) for name in ended.__dataclass_fields__}


class Blocked:
    """A disk that hangs until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.released = threading.Event()
        append = LogFile.append

        def hang(file: LogFile, lines: bytes, **more: Any) -> None:
            self.released.wait(30)
            append(file, lines, **more)

        monkeypatch.setattr(LogFile, "append", hang)


async def test_law_a_disk_that_hangs_stops_no_call_and_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Blocked(monkeypatch)
    monkeypatch.setattr(writer, "MAX_WAITING", 20_000)
    log = started(EventLogFolder(tmp_path, redact=False))
    for number in range(1000):
        log.write(said("x" * 100, number))
    assert log.writing
    disk.released.set()
    log.write(ENDED)
    await log.close()
    read = read_event_log(log.path)
    numbers = [entry.data["event_id"] for entry in read.entries if entry.source == "service"]
    assert numbers == [f"event_{number}" for number in range(len(numbers))]
    assert read.entries[-2].data == {"type": "call.log_dropped", "count": 1000 - len(numbers)}
    assert read.entries[-1].type == "call.ended"
    assert log.path.stat().st_size < 25_000


async def test_closing_waits_for_a_disk_that_hangs_no_longer_than_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Blocked(monkeypatch)
    monkeypatch.setattr(writer, "CLOSE_TIMEOUT", 0.05)
    log = started(EventLogFolder(tmp_path))
    log.write(said())
    await log.close()
    assert "the disk takes too long" in caplog.text
    await log.close()
    disk.released.set()


async def test_law_a_disk_that_is_full_ends_the_log_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_file: LogFile, _lines: bytes, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    log = started(EventLogFolder(tmp_path))
    log.write(said())
    monkeypatch.setattr(LogFile, "append", full)
    await log.close()
    log.write(said())
    await log.close()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "call rtc_1: the event log can no longer be written: OSError"
    ]


def test_a_log_that_is_deleted_while_the_call_goes_on_does_not_come_back(tmp_path: Path) -> None:
    async def call() -> bool:
        logs = EventLogFolder(tmp_path)
        log = started(logs)
        log.write(said())
        await asyncio.sleep(1)
        assert logs.delete_caller(ADA) == 1
        log.write(said())
        await asyncio.sleep(1)
        log.write(ENDED)
        await log.close()
        return log.path.exists()

    assert run_virtual(call()) is False
    assert EventLogFolder(tmp_path).paths() == []


async def test_a_link_that_somebody_has_put_in_the_way_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = EventLogFolder(tmp_path / "calls")
    log = started(logs)
    target = tmp_path / "target"
    target.write_text("precious")
    log.path.symlink_to(target)
    log.write(said())
    await log.close()
    assert target.read_text() == "precious"
    assert logs.paths() == []
    assert "FileExistsError" in caplog.text


@given(st.text(min_size=1, max_size=300) | st.sampled_from(["../../etc/passwd", "a/b", "a\0b", ".", "..", "x.jsonl"]))
def test_law_no_call_id_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, call_id: str) -> None:
    folder = tmp_path_factory.mktemp("calls")

    async def call() -> Path:
        logs = EventLogFolder(folder)
        await written(logs, "rtc_1", at=STARTED + 1)
        path = await written(logs, call_id)
        assert logs.paths()[0] == path
        assert logs.delete_call(call_id) == (2 if call_id == "rtc_1" else 1)
        return path

    path = run_virtual(call())
    assert path.parent == folder
    assert path.name.isascii()
    assert len(path.name) < 130


async def test_the_options_are_checked(tmp_path: Path) -> None:
    for most in (0, 1000, 10**12):
        with pytest.raises(ConfigurationError, match="max_bytes"):
            EventLogFolder(tmp_path, max_bytes=most)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot make the folder .*: FileExistsError$"):
        EventLogFolder(tmp_path / "file")
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="older_than"):
            EventLogFolder(tmp_path).prune(older_than=seconds)


# --- retention and deletion -------------------------------------------------------------------------------------------

DAY = 86_400.0


async def test_prune_deletes_what_is_older_and_nothing_else(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path)
    old = await written(logs, "rtc_old", at=STARTED - 31 * DAY)
    young = await written(logs, "rtc_young", at=STARTED - 29 * DAY)
    os.utime(old, (STARTED, STARTED))
    for name in ("notes.txt", "00000000T000000000Z.rtc_1.jsonl", "20200101T000000000Z.a.b.jsonl", "rtc_1.jsonl"):
        (tmp_path / name).touch()
    assert logs.prune(older_than=30 * DAY, now=STARTED) == 1
    assert not old.exists()
    assert young.exists()
    assert len(names(tmp_path)) == 6
    assert logs.prune(older_than=30 * DAY, now=STARTED) == 0
    assert logs.prune(older_than=0, now=STARTED) == 1


async def test_law_all_logs_of_a_caller_are_deleted_without_their_number_in_them(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path, redact=False)
    for number, caller in enumerate([ADA, BOB, "tel", None, ADA]):
        await written(logs, f"rtc_{number}", caller=caller, at=STARTED + number)
    content = b"".join((tmp_path / name).read_bytes() for name in names(tmp_path))
    assert ADA.encode()[1:] not in content
    hashes = [read_event_log(path).header.caller for path in logs.paths()]
    assert hashes[0] == hashes[4] != hashes[1]
    assert hashes[3] is None
    # Another process, and the number as it may be written.
    assert EventLogFolder(tmp_path).delete_caller("+1 (415) 555-0123") == 2
    assert [path.name.split(".")[1] for path in logs.paths()] == ["rtc_1", "rtc_2", "rtc_3"]
    assert logs.delete_caller(ADA) == 0


async def test_a_caller_has_another_hash_in_another_folder(tmp_path: Path) -> None:
    paths = [await written(EventLogFolder(tmp_path / name)) for name in ("a", "b")]
    assert len({read_event_log(path).header.caller for path in paths}) == 2


async def test_a_caller_is_deleted_from_logs_that_this_release_cannot_read(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path)
    path = await written(logs)
    path.write_bytes(path.read_bytes().replace(b'"realtime_sip_event_log": 2', b'"realtime_sip_event_log": 3'))
    for number, junk in enumerate([b"", b"{", b"[]\n", b'{"realtime_sip_event_log": 2, "caller": "\xc3\xa4"}']):
        (tmp_path / f"20200101T00000000{number}Z.rtc_1.jsonl").write_bytes(junk)
    assert logs.delete_caller(ADA) == 1
    assert not path.exists()


def test_where_no_caller_was_logged_nothing_is_deleted_and_no_key_made(tmp_path: Path) -> None:
    assert EventLogFolder(tmp_path).delete_caller(ADA) == 0
    assert names(tmp_path) == []


def test_law_of_several_processes_one_makes_the_key(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def make(_number: int) -> bytes:
        start.wait()
        return made_key(tmp_path)

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(make, range(8)))
    assert len(keys) == 1
    assert names(tmp_path) == [".key"]
    assert stat.S_IMODE((tmp_path / ".key").stat().st_mode) == 0o600
    assert len(keys.pop()) == 32


async def test_a_damaged_key_is_told_and_nothing_is_hidden_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".key").write_bytes(b"short")
    log = started(EventLogFolder(tmp_path))
    log.write(said())
    await log.close()
    assert not log.path.exists()
    assert "OSError" in caplog.text
    with pytest.raises(OSError, match="damaged"):
        EventLogFolder(tmp_path).delete_caller(ADA)


async def test_a_log_that_cannot_be_deleted_is_told_after_all_others_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = EventLogFolder(tmp_path)
    stuck, gone, other = [await written(logs, f"rtc_{number}", at=STARTED + number) for number in range(3)]
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(path)
        if path == gone:
            unlink(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        logs.delete_caller(ADA)
    assert logs.paths() == [stuck]
    assert not other.exists()


async def test_one_call_is_deleted_by_its_id(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path)
    for number, call_id in enumerate(["rtc_1", "rtc_12", "rtc_1"]):
        await written(logs, call_id, at=STARTED + number)
    assert logs.delete_call("rtc_1") == 2
    assert logs.delete_call("rtc_1") == 0
    assert len(logs.paths()) == 1


# --- replay -----------------------------------------------------------------------------------------------------------


async def test_an_unredacted_log_is_a_recording(tmp_path: Path) -> None:
    log = started(EventLogFolder(tmp_path, redact=False))
    log.write({"type": "call.started"})
    log.write(events.ResponseCreate())
    log.write(said("Hello."))
    log.write(key("7"), secret=True)
    log.write(key("8"))
    log.write(ENDED)
    await log.close()
    assert Recording.from_event_log(log.path) == Recording(
        [
            RecordedFrame("sent", {"type": "response.create"}),
            RecordedFrame("received", said("Hello.").to_wire()),
            RecordedFrame("received", key("8").to_wire()),
        ]
    )


async def test_a_redacted_log_is_no_recording_and_says_why(tmp_path: Path) -> None:
    path = await written(EventLogFolder(tmp_path))
    with pytest.raises(ConfigurationError, match="is redacted"):
        Recording.from_event_log(path)
