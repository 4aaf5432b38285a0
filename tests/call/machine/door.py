"""The core of a call behind its one door, with a clock; and what the service says, as frames."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

from realtime_sip import events
from realtime_sip.call.machine import core, effects, inputs, state
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Effect
from realtime_sip.call.machine.keypad import DigitCollector
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.outcomes import CallEnded, SocketClose, SocketCloseKind
from realtime_sip.session import RealtimeSession

state.strict = True

Frame = dict[str, Any]
Kind = TypeVar("Kind")

NO_LIMITS = CallLimits(max_duration=None, silence=None, first_sound=None, tool_rounds=None, no_audio=None)
DROPPED = SocketClose(SocketCloseKind.DROPPED, 1006)
SIGNS_OF_LIFE = ("proof", "silent", "awaited", "stays")
"""The timers that an open sideband always has."""

_ids = itertools.count(1)


# --- what the service says --------------------------------------------------------------------------------------------


def parse(frame: Frame) -> events.ServerEvent:
    return events.parse_server_event(json.dumps({"event_id": f"event_{next(_ids)}", **frame}))


def created(response_id: str, *, key: str | None = None, conversation: str | None = "conv_1", **shown: Any) -> Frame:
    metadata = None if key is None else {"realtime_sip": key}
    response = {"id": response_id, "status": "in_progress", "conversation_id": conversation, "metadata": metadata}
    return {"type": "response.created", "response": {**response, **shown}}


def done(
    response_id: str,
    *output: Frame,
    status: str = "completed",
    tokens: object = 20,
    conversation: str | None = "conv_1",
    **shown: Any,
) -> Frame:
    response = {
        "id": response_id,
        "status": status,
        "conversation_id": conversation,
        "output": list(output),
        "usage": {"output_token_details": {"audio_tokens": tokens}},
    }
    return {"type": "response.done", "response": {**response, **shown}}


SPOKEN = {"type": "message", "role": "assistant", "id": "item_1", "content": [{"type": "output_audio"}]}


def call(call_id: str, name: str = "lookup", status: str = "completed") -> Frame:
    return {
        "type": "function_call",
        "id": f"fc_{call_id}",
        "call_id": call_id,
        "name": name,
        "arguments": "{}",
        "status": status,
    }


def item_done(item: Frame, response_id: str, kind: str = "done") -> Frame:
    return {"type": f"response.output_item.{kind}", "response_id": response_id, "output_index": 0, "item": item}


def added(call_id: str) -> Frame:
    item = {"type": "function_call_output", "call_id": call_id, "output": "x", "id": f"out_{call_id}"}
    return {"type": "conversation.item.added", "item": item}


def playing(kind: str, response_id: str) -> Frame:
    return {"type": f"output_audio_buffer.{kind}", "response_id": response_id}


def key(digit: str = "1") -> Frame:
    return {"type": "input_audio_buffer.dtmf_event_received", "event": digit, "received_at": 1}


def updated(**shown: Any) -> Frame:
    return {"type": "session.updated", "session": {"type": "realtime", "object": "realtime.session", **shown}}


def refused(event_id: object, code: str | None = "invalid_value", param: str | None = None) -> Frame:
    error = {"type": "invalid_request_error", "code": code, "param": param, "message": "…", "event_id": event_id}
    return {"type": "error", "error": error}


def busy(event_id: str | None) -> Frame:
    return refused(event_id, "conversation_already_has_active_response")


SPEECH_STARTED = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "item_9"}
SPEECH_STOPPED = {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 2, "item_id": "item_9"}
NOTHING = {"type": "rate_limits.updated", "rate_limits": []}
"""A sign of life, and no more."""


# --- the call ---------------------------------------------------------------------------------------------------------


def is_probe(effect: Effect) -> bool:
    """Whether the service is asked for a sign of life."""
    return isinstance(effect, effects.Send) and str(effect.event.event_id).startswith("probe_")


def collector(**options: Any) -> DigitCollector:
    """Collect digits for as long as can be."""
    whole = {"max_digits": 100, "terminator": None, "timeout": 600.0, "inter_digit_timeout": 600.0, **options}
    return DigitCollector(**whole)


class Door:
    """A call, a clock, and all that it has asked for. While `alive`, the service answers when it is asked for life."""

    def __init__(
        self,
        session: RealtimeSession | None = None,
        limits: CallLimits = NO_LIMITS,
        *,
        now: float = 0.0,
        unix: float = 0.0,
        maybe_accepted: bool = False,
    ) -> None:
        self.now = now
        self.alive = True
        self.attaching = False
        self.out: list[Effect] = []
        self.s = core.start(session or RealtimeSession(), limits, now=now, unix=unix, maybe_accepted=maybe_accepted)

    def take(self, out: list[Effect]) -> None:
        """Note what is to be carried out."""
        self.out += out

    def step(self, what: inputs.Input) -> list[Effect]:
        """Let something happen; return what it led to."""
        return self._noted([*core.step(self.s, what, self.now)])

    def apply(self, change: Callable[[], object]) -> list[Effect]:
        """Let something happen that only a room of the core decides."""
        self.s.now, self.s.out = max(self.now, self.s.now), []
        if self.s.end is not End.OVER:
            change()
            core._settle(self.s)
        return self._noted([*self.s.out])

    def _noted(self, out: list[Effect]) -> list[Effect]:
        if any(isinstance(effect, effects.Attach) for effect in out):
            assert not self.attaching, "one at a time"
            self.attaching = True
        self.take(out)
        if self.alive and any(map(is_probe, out)) and self.s.socket is Socket.OPEN:
            self.receive(updated())
        return out

    def receive(self, *frames: Frame) -> None:
        for frame in frames:
            self.step(inputs.Received(parse(frame)))

    def live(self) -> None:
        """Accept and attach."""
        self.step(inputs.Answer())
        self.step(inputs.Accepted())
        self.attach()

    def attach(self) -> None:
        """Let the sideband open when that is tried next."""
        while not self.attaching:
            at = self.s.timers.at("attach")
            assert at is not None, "attaching is to be tried"
            self.wait(at - self.now)
        self.attaching = False
        self.step(inputs.Attached())

    def attach_fails(self, error: Any) -> list[Effect]:
        self.attaching = False
        return self.step(inputs.AttachFailed(error))

    def attach_again(self, close: SocketClose = DROPPED) -> None:
        """Lose the sideband, and have it again."""
        self.step(inputs.Closed(close))
        self.attach()

    def tick(self) -> None:
        self.step(inputs.Tick())
        assert self.s.timers.next is None or self.s.timers.next > self.now, "nothing is due after a tick"

    def wait(self, seconds: float) -> None:
        """Let time pass, told whenever something is due, and at the end."""
        end = self.now + seconds
        for _ in range(10_000):
            at = self.s.timers.next
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.tick()
        else:
            raise AssertionError("ticks for ever")
        self.now = end
        self.step(inputs.Tick())

    @property
    def due(self) -> float | None:
        """When something is due, other than a sign of life; None if nothing is waited for."""
        times = [self.s.timers.at(name) for name in self.s.timers if name not in SIGNS_OF_LIFE]
        return min((at for at in times if at is not None), default=None)

    @property
    def sent(self) -> list[events.ClientEvent]:
        """What was sent, without asking for a sign of life."""
        return [effect.event for effect in self.out if isinstance(effect, effects.Send) and not is_probe(effect)]

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return all that was asked for of a kind."""
        return [effect for effect in self.out if isinstance(effect, kind)]

    def done(self, key: str) -> list[object]:
        """Return what was told under this key."""
        return [effect.value for effect in self.all(effects.Done) if effect.key == key]

    @property
    def ended(self) -> CallEnded:
        assert self.s.ended is not None, "it is over"
        return self.s.ended
