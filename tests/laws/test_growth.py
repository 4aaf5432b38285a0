"""A long call costs what a short one does: the last of its events is as cheap as the first.

Cost is the number of instructions of Python that the product executes, which no other process disturbs. What C does in
one instruction is not seen by that, so containers are bounded too: what is bounded cannot be scanned at length.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from test_layers import SOURCE

from phone import virtual
from realtime_sip import AsyncRealtimeSip, CallHost, CallLimits, EventLogFolder, RateCard, RealtimeSession, Tools
from realtime_sip.api.operations import Operation
from realtime_sip.api.settings import Settings
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.call import Call
from realtime_sip.call.machine import inputs
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.record.conversation import Conversation
from realtime_sip.call.record.said import Item
from realtime_sip.call.record.struggle import EscalationRules
from realtime_sip.call.record.transcript import Line
from realtime_sip.events import ServerEvent, parse_server_event
from realtime_sip.webhooks import IncomingCall

TURNS = 1_350
WINDOW = 20
"""Turns whose cost is compared."""
MOST_GROWTH = 1.1
MOST_KEPT = 5_000
"""Entries of the largest container that a call may have: a quarter of the events."""
SESSION = RealtimeSession.model_validate(
    {"model": "gpt-realtime-2.1", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
)
USAGE = {"total_tokens": 60, "input_tokens": 40, "output_tokens": 20, "output_token_details": {"audio_tokens": 20}}


class _Silent(AsyncTransport):
    """A service that never answers."""

    def __init__(self) -> None:
        super().__init__(Settings("sk"))

    def sharing(self, _settings: Settings) -> AsyncTransport:
        return self

    async def run(self, _operation: Operation[Any]) -> Any:
        await asyncio.Event().wait()

    async def open(self, _operation: Operation[None]) -> Any:
        await asyncio.Event().wait()


def turn(number: int) -> Iterator[dict[str, Any]]:
    """Yield what a turn of the caller and its answer emit, with one delta of each kind."""
    heard, said, response = f"item_h{number}", f"item_s{number}", f"resp_r{number}"
    yield {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": heard}
    yield {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2, "item_id": heard}
    yield {"type": "input_audio_buffer.committed", "previous_item_id": None, "item_id": heard}
    message = {"id": heard, "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
    yield {"type": "conversation.item.added", "previous_item_id": None, "item": message}
    place = {"item_id": heard, "content_index": 0}
    kind = "conversation.item.input_audio_transcription"
    yield {"type": f"{kind}.delta", **place, "delta": "Go"}
    yield {"type": f"{kind}.completed", **place, "transcript": "Go on.", "usage": {"type": "duration", "seconds": 1}}
    shown: dict[str, Any] = {
        "id": response,
        "object": "realtime.response",
        "status": "in_progress",
        "output": [],
        "usage": None,
    }
    shown = {**shown, "conversation_id": "conv_1"}
    yield {"type": "response.created", "response": shown}
    answer = {"id": said, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    where = {"response_id": response, "output_index": 0}
    yield {"type": "response.output_item.added", **where, "item": answer}
    yield {"type": "conversation.item.added", "previous_item_id": heard, "item": answer}
    where = {**where, "item_id": said, "content_index": 0}
    yield {"type": "response.output_audio_transcript.delta", **where, "delta": "Certainly, let me have a look."}
    yield {"type": "output_audio_buffer.started", "response_id": response}
    yield {"type": "response.output_audio_transcript.done", **where, "transcript": "Certainly, let me have a look."}
    content = [{"type": "output_audio", "transcript": "Certainly, let me have a look."}]
    done = {**answer, "status": "completed", "content": content}
    yield {"type": "conversation.item.done", "previous_item_id": heard, "item": done}
    yield {"type": "response.done", "response": {**shown, "status": "completed", "output": [done], "usage": USAGE}}
    yield {"type": "output_audio_buffer.stopped", "response_id": response}


def turns(first: int, last: int) -> Iterator[ServerEvent]:
    """Yield the events of some turns, each with an id of its own."""
    for number in range(first, last):
        for place, frame in enumerate(turn(number)):
            yield parse_server_event(json.dumps({"event_id": f"event_e{number}x{place}", **frame}))


def instructions(run: Callable[[], object]) -> int:
    """Return how many instructions of Python the product executes in `run`."""
    count = 0

    def trace(frame: FrameType, what: str, _value: object) -> Any:
        nonlocal count
        if what == "call":
            if not frame.f_code.co_filename.startswith(str(SOURCE)):
                return None
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += what == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def containers(root: object) -> Iterator[Any]:
    """Yield the containers that hang on an object, through the product's own objects."""
    seen: set[int] = set()
    level: list[object] = [root]
    while level:
        value = level.pop()
        module = type(value).__module__
        known = isinstance(value, (dict, list, set, deque)) or module.startswith(
            ("realtime_sip.call", "realtime_sip.ev")
        )
        if id(value) in seen or not known:
            continue
        seen.add(id(value))
        if isinstance(value, (dict, list, set, deque)):
            yield value
        level += gc.get_referents(value)


def up(**options: Any) -> Call:
    """Return a call that is attached."""
    given: dict[str, Any] = {"limits": CallLimits(silence=None, first_sound=None), "event_log": None, **options}
    nothing: dict[str, Any] = dict.fromkeys(("transfers", "consent", "approve_mcp", "check_tool", "check_speech"))
    rules: dict[str, Any] = {"escalation": EscalationRules(), "rates": RateCard.published(), "greet_undisturbed": False}
    call = Call(_Silent(), "rtc_1", SESSION, AnswerOptions(tools=Tools(), **nothing, **rules, **given))
    call._runtime.step(inputs.Answer())
    call._runtime.step(inputs.Accepted())
    call._runtime._attached()
    return call


async def let_go(call: Call) -> None:
    runtime = call._runtime
    tasks = runtime.tasks.running
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await runtime.record.close()
    runtime.let_go()


@pytest.mark.parametrize("reading", ["nobody reads", "a reader who stopped", "with a log and a cost limit"])
@virtual
async def test_law_the_last_of_many_events_is_as_cheap_as_the_first(
    reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt: list[object] = []
    line = Conversation._line

    def counted(self: Conversation, item: Item) -> Line | None:
        rebuilt.append(item)
        return line(self, item)

    monkeypatch.setattr(Conversation, "_line", counted)
    options: dict[str, Any] = {}
    if reading == "with a log and a cost limit":
        limits = CallLimits(silence=None, first_sound=None, max_cost=Decimal(1_000_000), max_duration=None)
        options = {"event_log": EventLogFolder(tmp_path), "limits": limits}
    call = up(**options)
    if reading == "a reader who stopped":
        reader = aiter(call)
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
    received, costs = call._runtime._received, list[int]()
    for number in range(0, TURNS, WINDOW):
        events = list(turns(number, number + WINDOW))
        if number in (WINDOW, TURNS - TURNS % WINDOW - WINDOW):
            costs.append(instructions(partial(deque, map(received, events), 0)))
        else:
            deque(map(received, events), 0)
        await asyncio.sleep(10)  # on a clock that jumps
    early, late = costs
    assert call.ended is None
    assert early > 1_000 * WINDOW
    assert late <= early * MOST_GROWTH, (early, late)
    assert max(map(len, containers(call._runtime))) <= MOST_KEPT
    assert rebuilt == []
    assert len(call.transcript) > TURNS
    if reading == "a reader who stopped":
        await first
    await let_go(call)


@virtual
async def test_law_the_end_of_the_last_of_many_calls_is_noted_as_cheaply_as_the_first() -> None:
    async with AsyncRealtimeSip("sk") as client:
        host = CallHost(_nothing, client=client)
        costs = []
        for number in range(2_200):
            body = {"type": "realtime.call.incoming", "created_at": 1, "data": {"call_id": f"rtc_{number}"}}
            headers = [{"name": name, "value": "x"} for name in ("From", "To", "Call-ID")]
            body["data"]["sip_headers"] = headers  # type: ignore[index]
            submitting = host.submit(IncomingCall.model_validate(body))
            costs.append(instructions(partial(_run, submitting)))
        assert len(host._ends) <= 1_001
        early, late = sum(costs[10:60]), sum(costs[-50:])
        assert early > 1_000
        assert late <= early * MOST_GROWTH, (early, late)


async def _nothing(_incoming: IncomingCall) -> None:
    """Handle no call."""


def _run(work: Any) -> None:
    with pytest.raises(StopIteration):
        work.send(None)
