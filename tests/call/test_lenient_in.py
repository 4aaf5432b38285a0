"""No branch of a call depends on an event having parsed as its class: it goes on whatever is odd in what it needs not.

A whole call is played to the runtime, frame by frame, and once more with one field of one frame removed or odd. What it
does, writes down and counts has to be the same, unless the field is among those that are needed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip import CallLimits, RealtimeSession, events
from realtime_sip.api.settings import Settings
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.call import Call
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.machine.keypad import DigitCollector
from realtime_sip.call.options import AnswerOptions
from realtime_sip.events import parse_server_event

Frame = dict[str, Any]
Ask = Callable[["Play"], None]
Step = Frame | Ask
Place = tuple[str | int, ...]

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "recordings"
SESSION = RealtimeSession.model_validate(
    {"model": "gpt-realtime-2.1", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
)
_RANDOM = re.compile(r"(?:[a-z]+_)?[0-9a-f]{16,20}")


class _Clock:
    """The loop's clock, which stands still until the play moves it."""

    def __init__(self) -> None:
        self.now = asyncio.get_running_loop().time()
        self.create_future = asyncio.get_running_loop().create_future

    def time(self) -> float:
        return self.now


class Play:
    """One call, live, whose effects are noted and not carried out. Tools answer at once, approvals are given."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.call = Call(
            AsyncTransport(Settings("sk-test")),
            "rtc_1",
            SESSION,
            AnswerOptions(limits=CallLimits(), check_speech=lambda _words: None),
        )
        self.runtime = self.call._runtime
        self.clock = _Clock()
        self.runtime.loop = cast("asyncio.AbstractEventLoop", self.clock)
        for name in ("_carry_out", "spawn"):
            setattr(self.runtime, name, getattr(self, name))
        setattr(self.runtime, "_guard", lambda check: check)  # noqa: B010
        for what in (inputs.Answer(), inputs.Accepted(), inputs.Attached()):
            self.runtime.step(what)

    def spawn(self, work: Any) -> None:
        work.close()
        self.runtime._guardrail._checking = False  # type: ignore[union-attr]

    def _carry_out(self, decided: list[effects.Effect], *, changed: bool = False) -> None:
        for effect in decided:
            shown: object = effect
            if isinstance(effect, effects.Send):
                shown = effect.event.to_wire()
            elif isinstance(effect, (effects.RunTool, effects.AskApproval)):
                shown = dataclasses.astuple(effect)
            self.acts.append(_RANDOM.sub("random", repr(shown)))
        for effect in decided:
            if isinstance(effect, effects.RunTool):
                self.runtime.step(inputs.ToolEnded(effect.call_id, "fine"))
            elif isinstance(effect, effects.AskApproval):
                self.runtime.step(inputs.ApprovalDecided(effect.request_id, True))

    def receive(self, frame: Frame) -> None:
        self.clock.now += 0.05
        self.runtime._received(parse_server_event(json.dumps(frame)))

    def wait(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.clock.now + seconds
        while (due := self.runtime.state.timers.next) is not None and due <= end:
            self.clock.now = max(due, self.clock.now)
            self.runtime.step(inputs.Tick())
        self.clock.now = end

    def over(self) -> list[object]:
        """Return all that came of the call."""
        self.runtime.step(inputs.Respond("last", "Say that it was the last."))
        self.wait(3.0)
        record, guardrail = self.runtime.record, self.runtime._guardrail
        assert guardrail is not None
        lines = [(line.by, line.text, line.heard, line.interrupted, line.complete) for line in record.transcript]
        kinds = [getattr(event, "type", "") for event, _ in self.runtime.queue._waiting.values()]
        queued = [kind for kind in kinds if kind.startswith("call.")]
        return [self.acts, lines, record.usage, guardrail._said, queued, self.runtime.ended]


def played(steps: list[Step]) -> list[object]:
    """Return what comes of a call."""

    async def play() -> list[object]:
        now = Play()
        for step in steps:
            if callable(step):
                step(now)
            else:
                now.receive(step)
        came = now.over()
        now.runtime.let_go()
        return came

    return asyncio.run(play())


# --- a call of our own ------------------------------------------------------------------------------------------------


def respond(key: str) -> Ask:
    return lambda play: play.runtime.step(inputs.Respond(key, f"Say {key}."))


def collect(play: Play) -> None:
    collector = DigitCollector(max_digits=2, terminator="#", timeout=60.0, inter_digit_timeout=60.0)
    play.runtime.step(inputs.Collect("digits", collector, None, barge_in=True, secret=False))


def wait(seconds: float) -> Ask:
    return lambda play: play.wait(seconds)


def part(response_id: str, item_id: str) -> Frame:
    return {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}


def spoken(response_id: str, key: str | None, words: str, *, audible: bool = True) -> Iterator[Frame]:
    """Yield what the service sends while it says something, in the order of the recordings."""
    item_id = f"item_{response_id}"
    head: Frame = {"object": "realtime.response", "id": response_id, "conversation_id": "conv_1"}
    head |= {"max_output_tokens": "inf"}
    head |= {"output_modalities": ["audio"], "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}}
    head |= {"metadata": None if key is None else {"realtime_sip": key}}
    message = {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": "assistant",
        "phase": "final_answer",
    }
    whole = {**message, "status": "completed", "content": [{"type": "output_audio", "transcript": words}]}
    begun = {**message, "status": "in_progress", "content": []}
    yield {
        "type": "response.created",
        "response": {**head, "status": "in_progress", "status_details": None, "output": []},
    }
    yield {"type": "response.output_item.added", "response_id": response_id, "output_index": 0, "item": begun}
    yield {"type": "conversation.item.added", "previous_item_id": None, "item": begun}
    yield {
        "type": "response.content_part.added",
        **part(response_id, item_id),
        "part": {"type": "audio", "transcript": ""},
    }
    half = len(words) // 2
    for piece in (words[:half], words[half:]):
        yield {
            "type": "response.output_audio_transcript.delta",
            **part(response_id, item_id),
            "delta": piece,
            "obfuscation": "x",
        }
    if audible:
        yield {"type": "output_audio_buffer.started", "response_id": response_id}
    yield {"type": "response.output_audio.done", **part(response_id, item_id)}
    yield {"type": "response.output_audio_transcript.done", **part(response_id, item_id), "transcript": words}
    yield {
        "type": "response.content_part.done",
        **part(response_id, item_id),
        "part": {"type": "audio", "transcript": words},
    }
    yield {"type": "conversation.item.done", "previous_item_id": None, "item": whole}
    yield {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": whole}
    yield {
        "type": "response.done",
        "response": {
            **head,
            "status": "completed",
            "status_details": {"type": "completed"},
            "output": [whole],
            "usage": {
                "total_tokens": 30,
                "input_tokens": 10,
                "output_tokens": 20,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 6, "cached_tokens": 0},
                "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
            },
        },
    }


def written(response_id: str, words: str) -> Iterator[Frame]:
    """Yield what the service sends while it writes, beside the conversation."""
    item_id = f"item_{response_id}"
    head = {"object": "realtime.response", "id": response_id, "conversation_id": None, "output_modalities": ["text"]}
    item = {"id": item_id, "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": words}]}
    yield {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}}
    yield {"type": "response.output_text.delta", **part(response_id, item_id), "delta": words}
    yield {"type": "response.output_text.done", **part(response_id, item_id), "text": words}
    yield {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item}
    yield {"type": "response.done", "response": {**head, "status": "completed", "output": [item]}}


def failed(response_id: str, code: str) -> Iterator[Frame]:
    """Yield what the service sends of a response that fails."""
    head = {"object": "realtime.response", "id": response_id, "conversation_id": "conv_1", "output": []}
    yield {"type": "response.created", "response": {**head, "status": "in_progress"}}
    details = {
        "type": "failed",
        "reason": None,
        "error": {"type": "server_error", "code": code, "message": "It failed."},
    }
    yield {"type": "response.done", "response": {**head, "status": "failed", "status_details": details, "usage": None}}


def called(response_id: str, *items: Frame, begun: bool = True) -> Iterator[Frame]:
    """Yield what the service sends while it calls something; unless `begun`, only as the whole response."""
    head = {"object": "realtime.response", "id": response_id, "conversation_id": "conv_1"}
    yield {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}}
    for item in items if begun else ():
        added = {**item, "status": "in_progress", "arguments": ""} if item["type"] == "function_call" else item
        yield {"type": "response.output_item.added", "response_id": response_id, "output_index": 0, "item": added}
        if item["type"] == "function_call":
            pieces = {"response_id": response_id, "item_id": item["id"], "output_index": 0, "call_id": item["call_id"]}
            yield {"type": "response.function_call_arguments.delta", **pieces, "delta": "{}"}
            yield {"type": "response.function_call_arguments.done", **pieces, "arguments": "{}", "name": item["name"]}
        yield {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item}
    yield {
        "type": "response.done",
        "response": {
            **head,
            "status": "completed",
            "output": [*items],
            "usage": {"total_tokens": 7, "input_tokens": 7},
        },
    }


def turn(item_id: str, words: str | None) -> Iterator[Frame]:
    """Yield a turn of the caller."""
    yield {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": 1000}
    yield {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": 2000}
    yield {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": None}
    item = {"id": item_id, "object": "realtime.item", "type": "message", "role": "user", "status": "completed"}
    shown = {**item, "content": [{"type": "input_audio", "transcript": None}]}
    yield {"type": "conversation.item.added", "previous_item_id": None, "item": shown}
    kind = "conversation.item.input_audio_transcription."
    if words is None:
        error = {"type": "server_error", "code": None, "message": "It failed.", "param": None}
        yield {"type": f"{kind}failed", "item_id": item_id, "content_index": 0, "error": error}
        return
    yield {"type": f"{kind}delta", "item_id": item_id, "content_index": 0, "delta": words, "logprobs": None}
    yield {
        "type": f"{kind}completed",
        "item_id": item_id,
        "content_index": 0,
        "transcript": words,
        "logprobs": None,
        "usage": {"type": "duration", "seconds": 1.5},
    }


def key(pressed: str) -> Frame:
    return {"type": "input_audio_buffer.dtmf_event_received", "event": pressed, "received_at": 1_795_000_000}


def error(code: str | None, event_id: str | None) -> Frame:
    shown = {"type": "invalid_request_error", "code": code, "message": "No.", "param": None, "event_id": event_id}
    return {"type": "error", "error": shown}


UPDATED: Frame = {
    "type": "session.updated",
    "session": {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": None,
                "transcription": {"model": "gpt-realtime-whisper", "language": "en"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 200,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
        },
    },
}
FUNCTION: Frame = {
    "id": "item_f",
    "object": "realtime.item",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_f",
    "name": "look_up",
    "arguments": "{}",
}
APPROVAL: Frame = {
    "id": "item_a",
    "type": "mcp_approval_request",
    "server_label": "shop",
    "name": "buy",
    "arguments": "{}",
}
OUTPUT: Frame = {"id": "item_o", "type": "function_call_output", "call_id": "call_f", "output": "fine"}
LIMITS: Frame = {
    "type": "rate_limits.updated",
    "rate_limits": [{"name": "tokens", "limit": 10, "remaining": 9, "reset_seconds": 0.5}],
}
LISTED: Frame = {"id": "item_l", "type": "mcp_list_tools", "server_label": "shop", "tools": []}


def _with_ids(steps: list[Step]) -> list[Step]:
    """Return the steps with an event id for each event but the keys, as the service has it."""
    return [
        step if callable(step) or "dtmf" in step["type"] else {"event_id": f"event_{number}", **step}
        for number, step in enumerate(steps)
    ]


GREETED: list[Step] = [
    UPDATED,
    {"type": "conversation.created", "conversation": {"id": "conv_1", "object": "realtime.conversation"}},
    {"type": "mcp_list_tools.in_progress", "item_id": "item_l"},
    {"type": "conversation.item.done", "item": LISTED, "previous_item_id": None},
    {"type": "mcp_list_tools.completed", "item_id": "item_l"},
    {"type": "mcp_list_tools.failed", "item_id": "item_k"},
    respond("greeting"),
    *spoken("resp_1", "greeting", "Good morning, how can I help you?"),
    LIMITS,
    wait(1.0),
    {"type": "output_audio_buffer.stopped", "response_id": "resp_1"},
    wait(1.0),
]
INTERRUPTED: list[Step] = [
    *turn("item_1", "Where is my order?"),
    *called("resp_1", FUNCTION),
    {"type": "conversation.item.added", "item": OUTPUT, "previous_item_id": "item_f"},
    *spoken("resp_2", None, "It is on its way, and will be there on Monday."),
    {"type": "input_audio_buffer.speech_started", "item_id": "item_2", "audio_start_ms": 9000},
    {"type": "output_audio_buffer.cleared", "response_id": "resp_2"},
    {"type": "conversation.item.truncated", "item_id": "item_resp_2", "content_index": 0, "audio_end_ms": 700},
    *turn("item_2", None),
    wait(1.0),
]
APPROVED: list[Step] = [
    *called("resp_1", APPROVAL),
    {"type": "response.mcp_call.in_progress", "item_id": "item_m", "output_index": 0},
    {"type": "response.mcp_call_arguments.delta", **part("resp_1", "item_m"), "delta": "{}", "obfuscation": "x"},
    {"type": "response.mcp_call_arguments.done", **part("resp_1", "item_m"), "arguments": "{}"},
    {"type": "response.mcp_call.completed", "item_id": "item_m", "output_index": 0},
    {"type": "response.mcp_call.in_progress", "item_id": "item_n", "output_index": 1},
    {"type": "response.mcp_call.failed", "item_id": "item_n", "output_index": 1},
    wait(1.0),
]
COLLECTED: list[Step] = [
    UPDATED,
    collect,
    wait(0.1),
    key("1"),
    key("2"),
    wait(0.1),
    {**UPDATED, "session": {**UPDATED["session"], "tool_choice": None}},
    {"type": "session.created", "session": UPDATED["session"]},
    *called("resp_1", {**FUNCTION, "id": "item_g", "call_id": "call_g"}, begun=False),
    {"type": "conversation.item.created", "item": {**OUTPUT, "id": "item_p", "call_id": "call_g"}},
    wait(1.0),
]
FAILED: list[Step] = [
    UPDATED,
    *written("resp_1", "On its way."),
    *failed("resp_2", "server_error"),
    *spoken("resp_3", None, "I am sorry.", audible=False),
    {"type": "response.output_audio.delta", **part("resp_3", "item_resp_3"), "delta": "AAAA"},
    respond("refused"),
    error("invalid_value", "refused"),
    error(None, None),
    {"type": "input_audio_buffer.timeout_triggered", "item_id": "item_t", "audio_start_ms": 1, "audio_end_ms": 2},
    {"type": "conversation.item.retrieved", "item": LISTED},
    {"type": "conversation.item.deleted", "item_id": "item_t"},
    {"type": "input_audio_buffer.cleared"},
    wait(5.0),
]
OWN = [_with_ids(steps) for steps in (GREETED, INTERRUPTED, APPROVED, COLLECTED, FAILED)]


# --- what is odd ------------------------------------------------------------------------------------------------------

_DETECTION = "session.audio.input.turn_detection"  # it is sent back whole
_CALL = ("id", "type", "name", "call_id", "arguments")
NEEDED: dict[str, tuple[str, ...]] = {
    "conversation.item.deleted": ("item_id",),
    "conversation.item.input_audio_transcription.completed": ("item_id", "transcript", "usage"),
    "conversation.item.truncated": ("item_id", "audio_end_ms"),
    "error": ("error.code", "error.param", "error.event_id"),
    "input_audio_buffer.dtmf_event_received": ("event",),
    "output_audio_buffer.cleared": ("response_id",),
    "output_audio_buffer.started": ("response_id",),
    "output_audio_buffer.stopped": ("response_id",),
    "response.created": ("response.id", "response.conversation_id", "response.metadata.realtime_sip"),
    "response.done": (
        *("response.id", "response.conversation_id", "response.status", "response.status_details.error.code"),
        *(f"response.output.[].{name}" for name in _CALL),
        "response.usage",
    ),
    "response.mcp_call.completed": ("item_id",),
    "response.mcp_call.in_progress": ("item_id",),
    "response.output_audio_transcript.delta": ("response_id", "delta"),
    "response.output_text.delta": ("response_id", "delta"),
    "response.output_item.added": tuple(f"item.{name}" for name in (*_CALL, "server_label")),
    "response.output_item.done": tuple(f"item.{name}" for name in (*_CALL, "server_label")),
    "session.created": ("session.instructions", _DETECTION),
    "session.updated": ("session.instructions", _DETECTION),
}
"""What a call needs of an event besides its type. Nothing else changes what it does, and nothing at all ends it."""

MISSING = object()
ODD: tuple[object, ...] = (MISSING, None, "odd", 1.5, True, [], ["odd"], {}, {"odd": [1]})


def places(value: object, path: Place = ()) -> Iterator[Place]:
    """Yield the path of each field but the type."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        if (*path, name) != ("type",):
            yield (*path, name)
            yield from places(each, (*path, name))


def is_needed(kind: str, path: Place) -> bool:
    """Return whether the field, or one in it, is needed."""
    name = ".".join("[]" if isinstance(part, int) else part for part in path)
    return any(f"{name}.".startswith(f"{each}.") or f"{each}.".startswith(f"{name}.") for each in NEEDED.get(kind, ()))


def at(value: Any, path: Place) -> Any:
    for name in path:
        value = value[name]
    return value


def is_odd(value: object, instead: object) -> bool:
    """Return whether a value is of no kind that this field may have. Of a null nothing is known."""
    return type(instead) is not type(value) and not (value is None and isinstance(instead, (str, float)))


def with_odd(frame: Frame, path: Place, instead: object) -> Frame:
    made: Frame = json.loads(json.dumps(frame))
    place = at(made, path[:-1])
    if instead is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = instead
    return made


def recorded() -> Iterator[list[Step]]:
    """Yield what services sent in the recordings, if those are beside this checkout."""
    for path in sorted(RECORDINGS.glob("*.jsonl")) if RECORDINGS.is_dir() else ():
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        frames: list[Step] = [line["data"] for line in lines if line.get("direction") == "received"]
        if frames:
            yield frames


@functools.cache
def base(number: int) -> list[object]:
    """Return what comes of one of the calls."""
    return played(CALLS[number])


CALLS = [*OWN, *recorded()]
Field = tuple[int, int, Place]
"""A call's number, the number of an event in it, and the path of a field of that."""
FIELDS: list[Field] = [
    (number, place, path)
    for number, steps in enumerate(CALLS)
    for place, step in enumerate(steps)
    if not callable(step)
    for path in places(step)
]


def event_of(field: Field) -> Frame:
    event = CALLS[field[0]][field[1]]
    assert not callable(event)
    return event


def check(field: Field, instead: object) -> None:
    """Play a call with one odd field."""
    number, place, path = field
    event, steps = event_of(field), CALLS[number]
    came = played([*steps[:place], with_odd(event, path, instead), *steps[place + 1 :]])
    if is_odd(at(event, path), instead) and not is_needed(event["type"], path):
        assert came == base(number), (event["type"], path, instead)
    assert came[-1] is None, "the call has ended"


KINDS: dict[str, dict[tuple[str, ...], Field]] = {}
"""The fields of our own calls by the types of the events, each once."""
for _field in FIELDS:
    if _field[0] < len(OWN):
        KINDS.setdefault(event_of(_field)["type"], {}).setdefault(tuple(map(str, _field[2])), _field)


# --- the laws ---------------------------------------------------------------------------------------------------------


def test_the_calls_have_most_types_of_events() -> None:
    known = {name.strip() for name in events._TYPES}
    assert known - KINDS.keys() == {"conversation.item.input_audio_transcription.segment"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_law_a_call_goes_on_the_same_whatever_is_odd_in_what_it_does_not_need(kind: str) -> None:
    for field in KINDS[kind].values():
        for instead in ODD:
            check(field, instead)


@given(st.sampled_from(FIELDS), st.sampled_from(ODD))
@settings(max_examples=200)
def test_law_recorded_calls_go_on_the_same_too(field: Field, instead: object) -> None:
    check(field, instead)
