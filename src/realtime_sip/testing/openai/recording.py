"""Recordings of real sessions: loading them, and playing the service's side in step with another client."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import read_event_log
from realtime_sip.testing.openai.frames import Frame

__all__ = ["RecordedFrame", "Recording", "Replay"]

_MAX_BYTES = 32 * 1024 * 1024
_MAX_FRAMES = 50_000
_MEDIA = frozenset({"input_audio_buffer.append", "input_audio_buffer.commit", "input_audio_buffer.clear"})


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """One frame, seen from the client that was recorded."""

    direction: Literal["sent", "received"]
    data: Frame = field(repr=False)

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.data["type"])


@dataclass(frozen=True, slots=True)
class Recording:
    """The frames of one WebSocket, both directions, in order.

    >>> recording = Recording([RecordedFrame("received", {"type": "session.created", "session": {}})])
    >>> recording.primary
    True
    """

    frames: tuple[RecordedFrame, ...] = field(repr=False)

    def __init__(self, frames: Iterable[RecordedFrame]) -> None:
        """Keep the frames.

        Raises:
            ConfigurationError: There are no frames, or too many.
        """
        kept = tuple(frames)
        if not kept:
            raise ConfigurationError("the recording has no frames")
        if len(kept) > _MAX_FRAMES:
            raise ConfigurationError(f"a recording has at most {_MAX_FRAMES} frames")
        object.__setattr__(self, "frames", kept)

    @property
    def primary(self) -> bool:
        """Whether it is of a primary socket (`?model=`): the service speaks first, with `session.created`."""
        first = next((frame for frame in self.frames if frame.direction == "received"), None)
        return first is not None and first.type == "session.created"

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read a file of JSON lines, each `{"direction": "sent" | "received", "data": {…}}`; other keys are ignored.

        At most 32 MiB and 50,000 frames.

        Raises:
            ConfigurationError: It cannot be read, is too large, or a line is not such an object; the message has its
                number.
        """
        file = Path(path)
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise ConfigurationError(f"{file.name} is larger than {_MAX_BYTES} bytes")
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read the recording {file.name}: {type(error).__name__}") from None
        frames = [
            _frame(line, f"{file.name}, line {number}")
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
        return cls(frames)

    @classmethod
    def from_event_log(cls, path: str | os.PathLike[str]) -> Recording:
        """Make a recording from the event log of a call, which must not be redacted.

        Its frames are what the service sent and what was sent to it. It lacks events that were withheld, such as secret
        digits, and whatever the log lacks because it was full or the sideband was down.

        Raises:
            ConfigurationError: It cannot be read as an event log, is redacted, or has no frames, or too many.
        """
        log = read_event_log(path)
        if log.header.redacted:
            raise ConfigurationError(
                "the event log is redacted, so that nothing can be replayed: log with EventLogFolder(…, redact=False)"
            )
        return cls(
            RecordedFrame("received" if entry.source == "service" else "sent", entry.data)
            for entry in log.entries
            if entry.source != "call" and not entry.withheld
        )


def _frame(line: str, place: str) -> RecordedFrame:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{place}: not JSON") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{place}: not a JSON object")
    direction, data = value.get("direction"), value.get("data")
    if direction not in ("sent", "received"):
        raise ConfigurationError(f"{place}: direction must be 'sent' or 'received'")
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise ConfigurationError(f"{place}: data must be an object with a type")
    return RecordedFrame(direction, data)


class Replay:
    """Plays the service's side of a recording; does no I/O.

    A recorded `sent` frame is awaited from the client: a frame of the same type, and for a function call's output with
    the same `call_id`. Everything else in it is another client's, and ignored. Audio that the recorded client sent is
    the caller's voice and never awaited.

    The real service did not wait: behind an awaited frame, what continues something that has started (a response or
    an item that the client knows) still flows; everything else waits until the awaited frames came.

    The `metadata` of a response is what this client asks for, in place of what the recorded client asked for.
    """

    def __init__(self, recording: Recording) -> None:
        self._left = [frame for frame in recording.frames if frame.direction == "received" or frame.type not in _MEDIA]
        self._frames = recording.frames
        self._known: set[str] = set()
        self._early: list[Frame] = []
        self._asked: list[Any] = []
        self._metadata: dict[str, Any] = {}
        self.matched: list[str] = []
        """The types of the awaited frames that came, in order."""
        self.extra: list[str] = []
        """The types of the client's frames that are not in the recording; they change nothing."""
        self.failure: str | None = None
        """Why the recording could not be played to its end, or None."""

    @property
    def complete(self) -> bool:
        """Whether every frame was sent, and every awaited one came."""
        return not self._left

    @property
    def awaited(self) -> str | None:
        """The type of the client's frame that everything waits for, or None."""
        return None if self._awaited is None else self._awaited.type

    @property
    def _awaited(self) -> RecordedFrame | None:
        return next((frame for frame in self._left if frame.direction == "sent"), None)

    def proceed(self) -> list[Frame]:
        """Return the frames that the service sends now."""
        out: list[Frame] = []
        index = 0
        blocked = False
        while index < len(self._left):
            frame = self._left[index]
            if frame.direction == "sent":
                if not blocked and (early := self._came_early(frame)) is not None:
                    self._match(index, early)
                else:
                    blocked = True
                    index += 1
                continue
            if blocked and not self._continues(frame.data):
                index += 1
                continue
            del self._left[index]
            self._learn(frame.data)
            out.append(self._with_metadata(frame.data))
        if not self._left:
            self._drop_early()
        return out

    def client_sent(self, event: Frame) -> list[Frame]:
        """Take a frame of the client; return what the service sends because of it."""
        if event.get("type") in _MEDIA:
            return []
        for index, frame in enumerate(self._left):
            if frame.direction == "received":
                if not self._continues(frame.data):
                    break  # What comes behind may depend on this one, which the client has not seen.
            elif _same(frame.data, event):
                self._match(index, event)
                return self.proceed()
        if any(frame.direction == "sent" and _same(frame.data, event) for frame in self._left):
            self._early.append(event)
        else:
            self.extra.append(str(event.get("type")))
        return []

    def give_up(self, seconds: float) -> None:
        """End the replay because the awaited frame did not come for `seconds`."""
        position = next((n for n, frame in enumerate(self._frames, start=1) if frame is self._awaited), 0)
        self.failure = (
            f"waited {seconds:g} s for the client's {self.awaited!r} (frame {position} of {len(self._frames)}); "
            f"it sent {', '.join([*self.matched, *self.extra]) or 'nothing'}"
        )
        self._drop_early()

    def _match(self, index: int, event: Frame) -> None:
        self.matched.append(self._left[index].type)
        if event.get("type") == "response.create":
            config = event.get("response")
            self._asked.append(config.get("metadata") if isinstance(config, dict) else None)
        del self._left[index]

    def _came_early(self, frame: RecordedFrame) -> Frame | None:
        for event in self._early:
            if _same(frame.data, event):
                self._early.remove(event)
                return event
        return None

    def _with_metadata(self, data: Frame) -> Frame:
        """Return the frame with the client's metadata, if it tells of a response that the client created."""
        response = data.get("response")
        if data["type"] not in ("response.created", "response.done") or not isinstance(response, dict):
            return data
        response_id = str(response.get("id"))
        if data["type"] == "response.created" and self._asked:
            self._metadata[response_id] = self._asked.pop(0)
        if self._metadata.get(response_id) is None:
            return data
        return {**data, "response": {**response, "metadata": self._metadata[response_id]}}

    def _drop_early(self) -> None:
        self.extra.extend(str(event.get("type")) for event in self._early)
        self._early.clear()

    def _continues(self, data: Frame) -> bool:
        response, item = data.get("response"), data.get("item")
        kind = data["type"]
        if kind in ("response.created", "session.updated"):
            return False
        named = [data.get("response_id"), data.get("item_id")]
        named += [part.get("id") for part in (response, item) if isinstance(part, dict)]
        ids = [name for name in named if isinstance(name, str)]
        if kind == "conversation.item.added":
            # A new item is no continuation, unless a response has announced it.
            return bool(ids) and all(name in self._known for name in ids)
        return any(name in self._known for name in ids)

    def _learn(self, data: Frame) -> None:
        if data["type"] == "response.created":
            # A frame that came before this response was about this one, not about a later one.
            self._drop_early()
        for part in (data.get("response"), data.get("item")):
            if isinstance(part, dict) and isinstance(part.get("id"), str):
                self._known.add(part["id"])
        item_id = data.get("item_id")
        if isinstance(item_id, str):
            self._known.add(item_id)


def _same(recorded: Frame, event: Frame) -> bool:
    if recorded["type"] != event.get("type"):
        return False
    mine, theirs = recorded.get("item"), event.get("item")
    if not isinstance(mine, dict) or mine.get("type") != "function_call_output":
        # A message of the recorded client may be anything but a function's output.
        return not (isinstance(theirs, dict) and theirs.get("type") == "function_call_output")
    return isinstance(theirs, dict) and theirs.get("type") == mine["type"] and theirs.get("call_id") == mine["call_id"]
