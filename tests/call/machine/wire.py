"""Frames that the service may send: every documented type, the recordings of others, and what is none of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from realtime_sip import events

RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "recordings"
Frame = dict[str, Any]
T = TypeVar("T")


class Chooser(Protocol):
    """Who chooses among the ids that are about."""

    def one(self, options: Sequence[T]) -> T: ...
    def response_id(self) -> str: ...
    def item_id(self) -> str: ...
    def call_id(self) -> str: ...
    def key(self) -> str | None: ...
    def tag(self) -> str | None: ...


def item(w: Chooser, kind: str | None = None) -> Frame:
    kind = kind or w.one(ITEMS)
    made: Frame = {"id": w.item_id(), "type": kind, "status": w.one(("completed", "in_progress", "incomplete"))}
    match kind:
        case "message":
            made |= {"role": "assistant", "content": [{"type": "output_audio", "transcript": "Hello."}]}
        case "function_call":
            made |= {"call_id": w.call_id(), "name": "look_up", "arguments": "{}"}
        case "function_call_output":
            made |= {"call_id": w.call_id(), "output": "fine"}
        case "mcp_approval_request":
            made |= {"server_label": "shop", "name": "buy", "arguments": "{}"}
        case "mcp_approval_response":
            made |= {"approval_request_id": w.item_id(), "approve": True}
        case "mcp_call":
            made |= {"server_label": "shop", "name": "buy", "arguments": "{}"}
        case "mcp_list_tools":
            made |= {"server_label": "shop", "tools": []}
        case _:
            made |= {"whatever": 1}
    return made


ITEMS = (
    "message",
    "function_call",
    "function_call",
    "function_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "hologram",
)


def response(w: Chooser, status: str = "in_progress") -> Frame:
    key = w.tag()
    made: Frame = {"id": w.response_id(), "object": "realtime.response", "status": status, "output": []}
    if key is not None:
        made["metadata"] = {"realtime_sip": key}
    place = w.one(("conv_1", "conv_1", None, ""))
    if place != "":
        made["conversation_id"] = place
    if status != "in_progress":
        made["output"] = [item(w) for _ in range(w.one((0, 1, 1, 2)))]
        made["usage"] = usage(w.one((0, 20, 100, 900)))
    if status == "failed":
        made["status_details"] = {"type": "failed", "error": {"code": w.one(("server_error", "insufficient_quota"))}}
    return made


def usage(audio: int) -> Frame:
    return {"total_tokens": audio, "output_tokens": audio, "output_token_details": {"audio_tokens": audio}}


def session(w: Chooser) -> Frame:
    detection = w.one(
        (
            {"type": "server_vad", "create_response": True},
            {"type": "server_vad", "create_response": False},
            {"type": "semantic_vad", "eagerness": "odd"},
            {"type": "telepathy"},
            {"type": "server_vad", "idle_timeout_ms": 5000, "create_response": False},
            None,
        )
    )
    made: Frame = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    if w.one((True, False)):
        made["expires_at"] = w.one((1_790_000_060, 1_790_003_600, 7, -1))
    return made


def _part(w: Chooser) -> Frame:
    return {"response_id": w.response_id(), "item_id": w.item_id(), "output_index": 0, "content_index": 0}


def _error(w: Chooser) -> Frame:
    code = w.one(("conversation_already_has_active_response", "invalid_value", "rate_limit_exceeded", None))
    return {"error": {"type": "invalid_request_error", "code": code, "message": "no", "event_id": w.key()}}


def _text(w: Chooser) -> str:
    return w.one(("", "a", " few words", "x" * 500))


Maker = Callable[[Chooser], Frame]
DOCUMENTED: dict[str, Maker] = {
    "conversation.created": lambda w: {"conversation": {"id": "conv_1"}},
    "conversation.item.added": lambda w: {"item": item(w)},
    "conversation.item.created": lambda w: {"item": item(w)},
    "conversation.item.deleted": lambda w: {"item_id": w.item_id()},
    "conversation.item.done": lambda w: {"item": item(w)},
    "conversation.item.input_audio_transcription.completed": lambda w: {
        "item_id": w.item_id(),
        "content_index": 0,
        "transcript": "Where is my order?",
        "usage": {"type": "duration", "seconds": 2},
    },
    "conversation.item.input_audio_transcription.delta": lambda w: {"item_id": w.item_id(), "delta": _text(w)},
    "conversation.item.input_audio_transcription.failed": lambda w: {
        "item_id": w.item_id(),
        "content_index": 0,
        "error": {},
    },
    "conversation.item.input_audio_transcription.segment": lambda w: {
        "item_id": w.item_id(),
        "content_index": 0,
        "start": 0.0,
        "end": 1.0,
        "id": "seg_1",
        "speaker": "A",
        "text": "Hello.",
    },
    "conversation.item.retrieved": lambda w: {"item": item(w)},
    "conversation.item.truncated": lambda w: {"item_id": w.item_id(), "content_index": 0, "audio_end_ms": 100},
    "error": _error,
    "input_audio_buffer.cleared": lambda w: {},
    "input_audio_buffer.committed": lambda w: {"item_id": w.item_id()},
    "input_audio_buffer.dtmf_event_received": lambda w: {"event": w.one("0123456789*#ABCDx"), "received_at": 1},
    "input_audio_buffer.speech_started": lambda w: {"item_id": w.item_id(), "audio_start_ms": 1},
    "input_audio_buffer.speech_stopped": lambda w: {"item_id": w.item_id(), "audio_end_ms": 1},
    "input_audio_buffer.timeout_triggered": lambda w: {
        "item_id": w.item_id(),
        "audio_start_ms": 1,
        "audio_end_ms": 1,
    },
    "mcp_list_tools.completed": lambda w: {"item_id": w.item_id()},
    "mcp_list_tools.failed": lambda w: {"item_id": w.item_id()},
    "mcp_list_tools.in_progress": lambda w: {"item_id": w.item_id()},
    "output_audio_buffer.cleared": lambda w: {"response_id": w.response_id()},
    "output_audio_buffer.started": lambda w: {"response_id": w.response_id()},
    "output_audio_buffer.stopped": lambda w: {"response_id": w.response_id()},
    "rate_limits.updated": lambda w: {"rate_limits": []},
    "response.content_part.added": lambda w: {**_part(w), "part": {"type": "audio"}},
    "response.content_part.done": lambda w: {**_part(w), "part": {"type": "audio"}},
    "response.created": lambda w: {"response": response(w)},
    "response.done": lambda w: {"response": response(w, w.one(("completed", "cancelled", "failed", "incomplete")))},
    "response.function_call_arguments.delta": lambda w: {**_part(w), "call_id": w.call_id(), "delta": "{"},
    "response.function_call_arguments.done": lambda w: {
        **_part(w),
        "call_id": w.call_id(),
        "name": "look_up",
        "arguments": "{}",
    },
    "response.mcp_call.completed": lambda w: {"item_id": w.item_id(), "output_index": 0},
    "response.mcp_call.failed": lambda w: {"item_id": w.item_id(), "output_index": 0},
    "response.mcp_call.in_progress": lambda w: {"item_id": w.item_id(), "output_index": 0},
    "response.mcp_call_arguments.delta": lambda w: {**_part(w), "delta": "{"},
    "response.mcp_call_arguments.done": lambda w: {**_part(w), "arguments": "{}"},
    "response.output_audio.delta": lambda w: {**_part(w), "delta": "AAAA"},
    "response.output_audio.done": _part,
    "response.output_audio_transcript.delta": lambda w: {**_part(w), "delta": _text(w)},
    "response.output_audio_transcript.done": lambda w: {**_part(w), "transcript": _text(w)},
    "response.output_item.added": lambda w: {"response_id": w.response_id(), "output_index": 0, "item": item(w)},
    "response.output_item.done": lambda w: {"response_id": w.response_id(), "output_index": 0, "item": item(w)},
    "response.output_text.delta": lambda w: {**_part(w), "delta": _text(w)},
    "response.output_text.done": lambda w: {**_part(w), "text": _text(w)},
    "session.created": lambda w: {"session": session(w)},
    "session.updated": lambda w: {"session": session(w)},
}
KINDS = tuple(DOCUMENTED)
UNKNOWN = ("response.dreamt", "output_audio_buffer.paused", "conversation.item.sung", "", "live.created")


def documented(w: Chooser, kind: str) -> Frame:
    return {"type": kind, "event_id": "event_1", **DOCUMENTED[kind](w)}


def mangled(w: Chooser, frame: Frame) -> Frame:
    """Return a frame of which something is missing, or of another kind."""
    made: Frame = json.loads(json.dumps(frame))
    place = made
    while True:
        inner = [value for value in place.values() if isinstance(value, dict) and value]
        if not inner or w.one((True, False)):
            break
        place = w.one(inner)
    name = w.one(sorted(place))
    odd: object = w.one(("missing", None, 7, "", [], {}, [None, 3, {"type": "function_call"}], True, "odd"))
    if odd == "missing":
        del place[name]
    else:
        place[name] = odd
    return made


def parsed(frame: Frame) -> events.ServerEvent:
    return events.parse_server_event(json.dumps(frame))


@functools.cache
def recorded() -> tuple[tuple[Frame, ...], ...]:
    """Return the frames that services sent in the recordings, if those are beside this checkout."""
    found = []
    for path in sorted(RECORDINGS.glob("*.jsonl")) if RECORDINGS.is_dir() else ():
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        frames = tuple(line["data"] for line in lines if line.get("direction") == "received")
        if frames:
            found.append(frames)
    return tuple(found)
