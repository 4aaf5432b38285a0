"""Which of a line's faults happen now. Does no I/O."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from typing import Any

from realtime_sip.testing.faults import (
    EventAltered,
    EventFault,
    EventLost,
    EventRefused,
    EventRepeated,
    LineFault,
    ResponseRaced,
    TimedFault,
    UpdateRefused,
)
from realtime_sip.testing.openai.frames import Frame

__all__ = ["FaultPlan"]

_PHASE_OF = {
    "output_audio_buffer.started": "playing",
    "input_audio_buffer.speech_started": "caller",
    "response.mcp_call.in_progress": "mcp",
}


class FaultPlan:
    """The faults of one line: it sees what is sent and read, and says what goes wrong."""

    def __init__(self, faults: Iterable[LineFault] = ()) -> None:
        self._counted: list[TimedFault] = []
        self._timed: list[TimedFault] = []
        self._events: list[EventFault] = []
        self._matched: Counter[int] = Counter()
        self._races: list[ResponseRaced] = []
        self._refusals: list[UpdateRefused] = []
        for fault in faults:
            match fault:
                case ResponseRaced():
                    self._races.append(fault)
                case UpdateRefused():
                    self._refusals.append(fault)
                case EventLost() | EventRepeated() | EventAltered() | EventRefused():
                    self._events.append(fault)
                case _:
                    (self._timed if fault.after_frames is None else self._counted).append(fault)
        self._counted.sort(key=lambda fault: fault.after_frames or 0)
        self._seen: Counter[str] = Counter()
        self._generating: set[str] = set()
        self._sent = 0
        self._asked = 0
        self._updates = 0

    def outgoing(self, frame: Frame) -> list[Frame]:
        """Return what is sent in the place of `frame`."""
        frames = [frame]
        for fault in self._matching(frame.get("type")):
            match fault:
                case EventLost():
                    frames = []
                case EventRepeated():
                    frames = frames * 2
                case EventAltered():
                    frames = [fault.alter(copy.deepcopy(each)) for each in frames]
        return frames

    def heard(self, kind: object) -> EventLost | EventRefused | None:
        """Return what becomes of an event of the client's: it does not arrive, or is refused; None for neither."""
        found = self._matching(kind)
        return next((fault for fault in found if isinstance(fault, (EventLost, EventRefused))), None)

    def sent(self, frame: Frame) -> list[TimedFault]:
        """Return the faults that are due after `frame` was sent to a socket."""
        self._sent += 1
        return self._due([str(frame.get("type")), *self._phases(frame)])

    def happened(self, moment: str) -> list[TimedFault]:
        """Return the faults that are due at a moment that is no frame of the service."""
        return self._due([moment])

    def race(self) -> ResponseRaced | None:
        """Return how the client's request for a response is overtaken, or None. To be asked for each one."""
        self._asked += 1
        return next((race for race in self._races if race.occurrence == self._asked), None)

    def refuses_update(self) -> UpdateRefused | None:
        """Return how the client's change of the session is refused, or None. To be asked for each one."""
        self._updates += 1
        return next((refused for refused in self._refusals if refused.occurrence == self._updates), None)

    def _matching(self, kind: object) -> list[EventFault]:
        found: list[EventFault] = []
        for index, fault in enumerate(self._events):
            if fault.type == kind:
                self._matched[index] += 1
                if fault.occurrence <= self._matched[index] < fault.occurrence + fault.times:
                    found.append(fault)
        return found

    def _phases(self, frame: Frame) -> list[str]:
        kind = str(frame.get("type"))
        if kind in _PHASE_OF:
            return [_PHASE_OF[kind]]
        if kind.startswith("response.") and kind.endswith(".delta"):
            response_id = str(frame.get("response_id"))
            if response_id not in self._generating:
                self._generating.add(response_id)
                return ["generating"]
        if kind == "response.done" and any(_is_call(item) for item in _output(frame)):
            return ["tool"]
        return []

    def _due(self, moments: list[str]) -> list[TimedFault]:
        due: list[TimedFault] = []
        while self._counted and (self._counted[0].after_frames or 0) <= self._sent:
            due.append(self._counted.pop(0))
        for moment in moments:
            self._seen[moment] += 1
            now = [fault for fault in self._timed if fault.when == moment and fault.occurrence == self._seen[moment]]
            self._timed = [fault for fault in self._timed if fault not in now]
            due += now
        return due


def _output(frame: Frame) -> list[Any]:
    response = frame.get("response")
    output = response.get("output") if isinstance(response, dict) else None
    return output if isinstance(output, list) else []


def _is_call(item: object) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call" and item.get("status") == "completed"
