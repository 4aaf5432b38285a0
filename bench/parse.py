"""What it costs to parse the events of a call, beside `orjson.loads` and the `openai` package's own parser.

Run by `make bench`. All three parse the same frames in turn, round after round in one process, so that a busy machine
slows all of them alike; the best round counts. Exit status 1 means that a target was missed.

The mix is made here and says nothing that anybody said. Its shape is that of a call over SIP as recorded sidebands
show it: `session.updated` first, no audio deltas, and three turns of the caller, each with its transcription in deltas,
a response of some forty words (a delta for each, with the padding field that the service adds), the events around
them, usage, and rate limits. In the second turn the model calls a function first. Deltas are four fifths of it, as in
a real call, and `response.done` with its output and usage is the heaviest frame.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, cast

import orjson
from openai._models import construct_type_unchecked
from openai.types.realtime import RealtimeServerEvent

from realtime_sip.events import parse_server_event

ROUNDS = 30
CALLS_A_ROUND = 5
MOST_OF_ORJSON = 3.5
LEAST_OF_OPENAI = 25.0

Frame = dict[str, Any]

_HEARD = "could you tell me please where the parcel is that I ordered last week"
_SAID = (
    "Of course, let me have a look. The parcel left our warehouse on Monday morning and should be with you tomorrow "
    "between nine and noon. If nobody is at home, the driver leaves it with a neighbor and sends a message. "
    "Is there anything else that I can do for you?"
)


class _Call:
    def __init__(self) -> None:
        self._count = 0

    def id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_E6mH8gMSHj8w5w9S{self._count:05d}"  # letters and digits, as long as the service's

    def event(self, kind: str, **fields: Any) -> Frame:
        return {"type": kind, "event_id": self.id("event"), **fields}

    def frames(self) -> Iterator[Frame]:
        yield self.event("session.updated", session=_session(self.id("sess")))
        for turn in range(3):
            yield from self.heard()
            if turn == 1:
                yield from self.response(called=True)
            yield from self.response(called=False)

    def heard(self) -> Iterator[Frame]:
        item = self.id("item")
        yield self.event("input_audio_buffer.speech_started", audio_start_ms=4200, item_id=item)
        yield self.event("input_audio_buffer.speech_stopped", audio_end_ms=8100, item_id=item)
        yield self.event("input_audio_buffer.committed", previous_item_id=None, item_id=item)
        message = {"id": item, "type": "message", "status": "completed", "role": "user"}
        for kind in ("added", "done"):
            content = [{"type": "input_audio", "transcript": None}]
            yield self.event(f"conversation.item.{kind}", previous_item_id=None, item={**message, "content": content})
        kind = "conversation.item.input_audio_transcription"
        for word in _HEARD.split():
            padding = "x" * (16 - len(word))
            delta = {"item_id": item, "content_index": 0, "delta": f" {word}", "obfuscation": padding}
            yield self.event(f"{kind}.delta", **delta)
        usage = {"type": "duration", "seconds": 4}
        yield self.event(f"{kind}.completed", item_id=item, content_index=0, transcript=_HEARD, usage=usage)

    def response(self, *, called: bool) -> Iterator[Frame]:
        response, item = self.id("resp"), self.id("item")
        whole = _response(response, self.id("conv"))
        yield self.event("response.created", response=whole)
        begun, done, deltas = self.call(response, item) if called else self.speech(response, item)
        place = {"response_id": response, "output_index": 0}
        yield self.event("response.output_item.added", **place, item=begun)
        yield self.event("conversation.item.added", previous_item_id=None, item=begun)
        yield from deltas
        yield self.event("conversation.item.done", previous_item_id=None, item=done)
        yield self.event("response.output_item.done", **place, item=done)
        ended = {**whole, "status": "completed", "output": [done], "usage": _usage()}
        yield self.event("response.done", response=ended)
        limits = [{"name": "tokens", "limit": 15000000, "remaining": 14999361, "reset_seconds": 0.002}]
        yield self.event("rate_limits.updated", rate_limits=limits)
        if not called:
            yield self.event("output_audio_buffer.stopped", response_id=response)

    def speech(self, response: str, item: str) -> tuple[Frame, Frame, Iterator[Frame]]:
        message = {"id": item, "type": "message", "role": "assistant"}
        done = {**message, "status": "completed", "content": [{"type": "output_audio", "transcript": _SAID}]}

        def deltas() -> Iterator[Frame]:
            place = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
            part = {"type": "audio", "transcript": ""}
            yield self.event("response.content_part.added", **place, part=part)
            for number, word in enumerate(_SAID.split()):
                delta = {"delta": f" {word}", "obfuscation": "x" * (16 - len(word))}
                yield self.event("response.output_audio_transcript.delta", **place, **delta)
                if number == 3:
                    yield self.event("output_audio_buffer.started", response_id=response)
            yield self.event("response.output_audio.done", **place)
            yield self.event("response.output_audio_transcript.done", **place, transcript=_SAID)
            yield self.event("response.content_part.done", **place, part={**part, "transcript": _SAID})

        return {**message, "status": "in_progress", "content": []}, done, deltas()

    def call(self, response: str, item: str) -> tuple[Frame, Frame, Iterator[Frame]]:
        call = self.id("call")
        begun = {"id": item, "type": "function_call", "name": "parcel_status", "call_id": call, "arguments": ""}
        pieces = ['{"', "parcel", "_id", '":"', "4", "0", "7", "1", '"}']
        done = {**begun, "status": "completed", "arguments": "".join(pieces)}

        def deltas() -> Iterator[Frame]:
            place = {"response_id": response, "item_id": item, "output_index": 0, "call_id": call}
            for piece in pieces:
                yield self.event("response.function_call_arguments.delta", **place, delta=piece, obfuscation="xxxxxxxx")
            end = {"name": "parcel_status", "arguments": "".join(pieces)}
            yield self.event("response.function_call_arguments.done", **place, **end)

        return {**begun, "status": "in_progress"}, done, deltas()


def _session(session: str) -> Frame:
    audio = {"type": "audio/pcmu"}
    turns = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200}
    turns |= {"idle_timeout_ms": None, "create_response": True, "interrupt_response": True}
    listening = {"format": audio, "transcription": {"model": "gpt-realtime-whisper", "language": None, "prompt": None}}
    listening |= {"noise_reduction": None, "turn_detection": turns}
    parameters = {"type": "object", "properties": {"parcel_id": {"type": "string"}}, "required": ["parcel_id"]}
    tool = {"type": "function", "name": "parcel_status", "description": "Where it is.", "parameters": parameters}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session,
        "model": "gpt-realtime-2.1",
        "output_modalities": ["audio"],
        "instructions": "You answer the phone of a parcel service. Be brief and friendly. " * 20,
        "tools": [tool],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1795000000,
        "audio": {"input": listening, "output": {"format": audio, "voice": "marin", "speed": 1.0}},
        "include": None,
    }


def _response(response: str, conversation: str) -> Frame:
    return {
        "object": "realtime.response",
        "id": response,
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": conversation,
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}},
        "usage": None,
        "metadata": None,
    }


def _usage() -> Frame:
    kinds = {"text_tokens": 119, "audio_tokens": 613, "image_tokens": 0}
    cached = {
        "cached_tokens": 512,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 448, "image_tokens": 0},
    }
    return {
        "total_tokens": 1053,
        "input_tokens": 732,
        "output_tokens": 321,
        "input_token_details": {**kinds, **cached},
        "output_token_details": {"text_tokens": 60, "audio_tokens": 261},
    }


def _openai(frame: bytes) -> object:
    # What the package's connection does with a frame (openai.resources.realtime, parse_event).
    return construct_type_unchecked(value=json.loads(frame), type_=cast("Any", RealtimeServerEvent))


_PARSERS: dict[str, Callable[[bytes], object]] = {
    "orjson.loads": orjson.loads,
    "realtime_sip": parse_server_event,
    "openai": _openai,
}


def _measure(frames: list[bytes], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in _PARSERS}
    for _ in range(rounds):
        for name, parse in _PARSERS.items():
            for frame in frames:  # unmeasured: the parser before this one has emptied the processor's caches
                parse(frame)
            begun = time.perf_counter()
            for _ in range(CALLS_A_ROUND):
                for frame in frames:
                    parse(frame)
            times[name].append((time.perf_counter() - begun) / CALLS_A_ROUND)
    return times


def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    frames = [json.dumps(frame).encode() for frame in _Call().frames()]
    kinds: dict[str, list[bytes]] = {}
    for frame in frames:
        event = parse_server_event(frame)
        assert type(event).__name__ != "UnknownServerEvent", event.type
        kinds.setdefault(event.type, []).append(frame)

    packages = ", ".join(f"{name} {version(name)}" for name in ("pydantic", "pydantic-core", "orjson", "openai"))
    print(f"Python {sys.version.split()[0]}, {packages}")
    size = sum(map(len, frames))
    print(f"frames: made in parse.py, one call: {len(frames)} events of {len(kinds)} types, {size} bytes")
    print(f"{ROUNDS} rounds\n")

    _measure(frames, 2)
    times = _measure(frames, ROUNDS)
    print(f"{'whole call':<58}{'best':>10}{'median':>12}")
    for name, seconds in times.items():
        print(f"  {name:<56}{min(seconds) * 1e3:>7.3f} ms{statistics.median(seconds) * 1e3:>9.3f} ms")

    print(f"\n{'one event, microseconds, best':<58}{'orjson':>10}{'realtime_sip':>14}{'openai':>10}")
    for kind, same in sorted(kinds.items()):
        repeated = same * max(1, 20 // len(same))
        best = [min(seconds) / len(repeated) * 1e6 for seconds in _measure(repeated, 10).values()]
        print(f"  {kind:<56}{best[0]:>10.2f}{best[1]:>14.2f}{best[2]:>10.2f}")

    ours = min(times["realtime_sip"])
    of_orjson, of_openai = ours / min(times["orjson.loads"]), min(times["openai"]) / ours
    slow, slower = of_orjson > MOST_OF_ORJSON, of_openai < LEAST_OF_OPENAI
    verdicts = {True: "MISSED", False: "reached"}
    print(f"\n  {of_orjson:.2f} x orjson.loads; asked: at most {MOST_OF_ORJSON}, {verdicts[slow]}")
    print(f"  {of_openai:.1f} x as fast as openai; asked: at least {LEAST_OF_OPENAI:g}, {verdicts[slower]}")
    return int(slow or slower)


if __name__ == "__main__":
    sys.exit(main())
