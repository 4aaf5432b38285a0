"""What was said in a call, by whom and in which order, folded from the service's events without I/O.

`Conversation` is told every event; `Conversation.transcript` is what was said so far, as a value. The order is that of
the conversation's items, not of their texts: the caller's words are transcribed seconds after the model began to answer
them, or never.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from realtime_sip import events
from realtime_sip.call.record.transcript import Line, Transcript

__all__ = ["Conversation"]

_MOST_ITEMS = 2_000
_MOST_CHARACTERS = 1_000_000
_MOST_IN_A_PART = 100_000
"""Characters. An hour of speech, the longest session, has about half of that."""
_MOST_PARTS = 32
_LONGEST_ID = 200
_REMEMBERED = 1_024
_SECONDS_A_TOKEN = 0.05
"""One audio token is 50 ms of the model's voice (costs guide, November 2026)."""
_MOST_TOKENS = 100_000
_LONGEST_AUDIO = 1_000_000_000
"""Milliseconds; what is longer is none."""
_CHARACTERS_A_SECOND = 15.0
"""Of English speech, roughly; for where usage does not tell how long the audio is."""
_FASTEST = 30.0
"""Characters a second. Where a response was cut off, its text may be far ahead of its audio."""
_NO_SPACES = "\u2e80"
"""From here on are the scripts, Chinese and Japanese above all, that are written without spaces."""

_Speaker = Literal["caller", "agent"]

# What a text is worth: pieces of it; all of it, as an item shows it that was asked for, which may be truncated by then;
# as an item shows it that is done; and as its own event tells.
_NOTHING, _PIECES, _RETRIEVED, _SHOWN, _TOLD = range(5)


# --- what is known of items and responses -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    text: str = ""
    worth: int = _NOTHING
    cut: bool = False  # longer than what is kept


@dataclass(slots=True)
class _Item:
    id: str
    previous: str | None  # the item before it
    placed: int = 0  # the how many-th to be placed by the service; 0 where `previous` is a guess
    by: _Speaker | None = None  # None: no message, or nothing known but its place
    parts: dict[int, _Part] = field(default_factory=dict)
    response_id: str = ""
    spoken: bool = False
    silent: bool = False  # no words are expected: silence, or audio that was dropped
    settled: bool = False  # no more will come
    broken: bool = False  # pieces of it may have been lost
    deleted: bool = False
    inside: bool = False  # of the conversation, as it was told; else its response tells
    started_at: float | None = None
    stopped_at: float | None = None
    stopped_ms: int = 0
    kept_ms: int | None = None  # of its audio, where the service truncated it

    @property
    def text(self) -> str:
        parts = [self.parts[index].text.strip() for index in sorted(self.parts)]
        return " ".join(text for text in parts if text)

    @property
    def size(self) -> int:
        return sum(len(part.text) for part in self.parts.values())

    @property
    def complete(self) -> bool:
        parts = self.parts.values()
        return bool(parts) and all(part.worth >= _RETRIEVED and not part.cut for part in parts)

    @property
    def tells(self) -> bool:
        """Whether it has words, or should have some."""
        if self.by == "agent":
            # One that ended without a word was cut off before the first.
            return bool(self.text) or not (self.settled or self.complete)
        return self.by is not None and (bool(self.text) or (self.spoken and not self.silent))


@dataclass(slots=True)
class _Response:
    outside: bool | None = None  # of the conversation; None where that is not told
    cancelled: bool = False
    seconds: float = 0.0  # that its audio takes, as far as usage tells
    spoke_at: float | None = None
    started_at: float | None = None
    stopped_at: float | None = None
    cleared_at: float | None = None
    done_at: float | None = None
    lost: bool = False  # it was playing when the sideband was lost

    @property
    def cut_off(self) -> bool:
        return self.cancelled or self.cleared_at is not None

    @property
    def ended_at(self) -> float | None:
        return self.stopped_at if self.cleared_at is None else self.cleared_at

    def is_over(self, unix: float) -> bool:
        """Whether it has ended to play, by what was told or by how long it is."""
        if self.ended_at is not None:
            return True
        return self.seconds > 0 and self.started_at is not None and self.started_at + self.seconds < unix

    @property
    def played(self) -> float | None:
        """How many seconds of it were played, where it was cut off; None for all that there was of it."""
        if self.cleared_at is None and (self.stopped_at is not None or not self.cancelled):
            return None
        # Where it is not told that it began, it was cleared because it played, from about its first words on.
        began = self.spoke_at if self.started_at is None and self.cleared_at is not None else self.started_at
        ended = self.done_at if self.cleared_at is None else self.cleared_at
        return 0.0 if began is None or ended is None else max(0.0, ended - began)


class Conversation:
    """The transcript of one call, as it grows. `unix` is the time of an event in Unix seconds.

    Args:
        transcribes: Whether the session that is asked for has transcription. What the service reports replaces it.
    """

    def __init__(self, *, transcribes: bool) -> None:
        self._transcribes = transcribes
        self._items: dict[str, _Item] = {}  # in the order in which they were seen first
        self._responses: dict[str, _Response] = {}
        self._playing = ""  # the response that was the last to begin to play
        self._last: str | None = None  # the item at the end of the conversation, as far as is known
        self._first_since = ""  # the first item that was seen since the sideband was attached
        self._placed = 0
        self._characters = 0
        self._pieces: dict[str, None] = {}  # ids of the latest deltas
        self._incomplete = False  # lines were lost or forgotten
        self._taken: Transcript | None = None

    @property
    def transcript(self) -> Transcript:
        """What was said so far. It costs nothing to take it again while nothing has changed."""
        if self._taken is None:
            lines = tuple(self._lines())
            complete = not self._incomplete and all(line.complete for line in lines)
            self._taken = Transcript(lines, complete=complete)
        return self._taken

    @property
    def warning(self) -> str | None:
        """What a program that wants the transcript has to know, in a sentence that is safe to log; mostly None."""
        if self._transcribes:
            return None
        return "the session sets no audio.input.transcription, so that the caller's words are not in the transcript"

    def gap(self, unix: float) -> None:
        """Note that the sideband was lost. What is said until it is back is missing, for nothing is told again."""
        self._incomplete = True
        self._first_since = ""
        self._taken = None
        for item in self._items.values():
            item.broken = item.broken or not item.complete
        playing = self._responses.get(self._playing)
        if playing is not None and not playing.is_over(unix):
            playing.lost = True

    def receive(self, event: events.ServerEvent, unix: float) -> None:
        """Take in what the service says. Whatever it is, nothing is raised."""
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event.to_wire(), unix)
            self._forget()
            self._taken = None

    # --- items and their order ----------------------------------------------------------------------------------------

    def _item(
        self, item_id: object, by: _Speaker | None = None, *, previous: object = None, before: str | None = None
    ) -> _Item | None:
        """Return an item, a new one where it is not known, at its place; None where it is not to be changed.

        `before` is what a new one is thought to be before. Where an event is told long after its item was added, and
        the item was not seen, that is the first one that was seen since we are attached.
        """
        if not _is_id(item_id):
            return None
        item = self._items.get(item_id)
        if item is None:
            item = self._add(item_id, before)
        if _is_id(previous) and previous != item_id and not item.placed:
            self._place(item, previous)
        if item.deleted or (by is not None and item.by not in (None, by)):
            return None
        item.by = item.by or by
        return item

    def _add(self, item_id: str, before: str | None) -> _Item:
        next_item = self._items.get(before or "")
        item = self._items[item_id] = _Item(item_id, previous=self._last)
        if next_item is not None and not next_item.placed:
            item.previous, next_item.previous = next_item.previous, item_id
            return item
        if before is None and not self._first_since:
            self._first_since = item_id
        self._last = item_id
        return item

    def _place(self, item: _Item, previous: str) -> None:
        if previous not in self._items:
            # It was not seen; so it stands where this one was thought to be, and this one behind it.
            self._items[previous] = _Item(previous, previous=item.previous)
            if self._first_since == item.id:
                self._first_since = previous
        elif self._last == item.id and item.previous in self._items and previous != item.previous:
            # It was thought to be the last. It is, unless the service has put it between others.
            guess = self._items[item.previous or ""]
            self._last = guess.id if guess.placed else item.id
        elif self._last == previous:
            self._last = item.id
        self._correct_guess(item, previous)
        self._placed += 1
        item.previous, item.placed = previous, self._placed
        item.inside = self._items[previous].inside = True

    def _correct_guess(self, item: _Item, previous: str) -> None:
        """See that no guess has `previous` behind `item`."""
        guessed: _Item | None = None
        before = self._items.get(previous)
        for _ in range(len(self._items)):
            if before is None:
                return
            if before is item:
                break
            guessed = guessed or (None if before.placed else before)
            before = self._items.get(before.previous or "")
        if guessed is not None:
            guessed.previous = item.previous

    def _ordered(self) -> list[_Item]:
        """Return the items in the order of the conversation."""
        after: dict[str | None, list[_Item]] = {}
        for item in self._items.values():
            after.setdefault(item.previous if item.previous in self._items else None, []).append(item)
        for items in after.values():
            # Guesses as they came. Of those that the service has put behind one item, the latest is the nearest.
            items.sort(key=lambda item: (item.placed > 0, -item.placed))
        ordered: dict[str, _Item] = {}
        # The second round is for items that are each other's previous ones, which a sane service does not tell.
        for roots in (after.get(None, []), list(self._items.values())):
            stack = roots[::-1]
            while stack:
                item = stack.pop()
                if item.id not in ordered:
                    ordered[item.id] = item
                    stack += after.get(item.id, [])[::-1]
        return list(ordered.values())

    def _drop(self, item: _Item) -> None:
        """Forget the words of an item. Its place stays, for others are told by it."""
        self._characters -= item.size
        item.parts.clear()
        item.deleted = True

    def _forget(self) -> None:
        while len(self._items) > _MOST_ITEMS or self._characters > _MOST_CHARACTERS:
            oldest = self._items.pop(next(iter(self._items)))
            self._characters -= oldest.size
            self._incomplete = self._incomplete or self._is_line(oldest)
        while len(self._responses) > _MOST_ITEMS:
            del self._responses[next(iter(self._responses))]

    def _is_line(self, item: _Item) -> bool:
        response = self._responses.get(item.response_id)
        inside = item.by == "caller" or item.inside or (response is not None and response.outside is False)
        return inside and not item.deleted and item.tells

    # --- words --------------------------------------------------------------------------------------------------------

    def _write(self, part: _Part, text: str, worth: int) -> None:
        if worth >= part.worth:
            self._characters -= len(part.text)
            part.text, part.worth, part.cut = text[:_MOST_IN_A_PART], worth, len(text) > _MOST_IN_A_PART
            self._characters += len(part.text)

    def _write_piece(self, item: _Item, part: _Part, raw: dict[str, Any]) -> None:
        event_id = _text(raw.get("event_id"))
        if event_id in self._pieces:
            return
        if _is_id(event_id):
            self._pieces[event_id] = None
            if len(self._pieces) > _REMEMBERED:
                del self._pieces[next(iter(self._pieces))]
        if not item.broken and not part.cut:
            self._write(part, part.text + _text(raw.get("delta")), _PIECES)

    def _shown(self, raw: dict[str, Any], _unix: float) -> None:
        """An item is shown as it is: when it was added, done, or asked for."""
        response_id = _text(raw.get("response_id"))
        response = self._response(response_id)
        if response is None or not response.outside:
            self._show(_object(raw.get("item")), response_id, raw["type"], previous=raw.get("previous_item_id"))

    def _show(
        self,
        shown: dict[str, Any],
        response_id: str,
        kind: str,
        *,
        previous: object = None,
        before: str | None = None,
    ) -> None:
        retrieved = kind == "conversation.item.retrieved"
        item = self._item(shown.get("id"), previous=previous, before=self._first_since if retrieved else before)
        if item is None or shown.get("type") != "message":
            return
        by = _SPEAKERS.get(_text(shown.get("role")))
        if by is None or item.by not in (None, by):
            return
        item.by, item.response_id = by, item.response_id or response_id
        item.inside = item.inside or kind.startswith("conversation.")
        being_made = shown.get("status") == "in_progress"
        item.settled = item.settled or not (being_made or kind.endswith((".added", ".created")))
        for index, content in enumerate(_list(shown.get("content"))[:_MOST_PARTS]):
            name = _PARTS[by].get(_text(_object(content).get("type")))
            if name is None:
                continue
            item.spoken = item.spoken or name == "transcript"
            part, text = item.parts.setdefault(index, _Part()), _object(content).get(name)
            # No words may mean that they are not there yet, or, after an interruption, not any more.
            is_silence = text == "" and by == "agent" and item.settled and not part.text
            if isinstance(text, str) and not being_made and (text or is_silence):
                self._write(part, text, _RETRIEVED if retrieved else _SHOWN)

    def _agent_says(self, raw: dict[str, Any], unix: float) -> None:
        kind, response_id, index = raw["type"], _text(raw.get("response_id")), _index(raw)
        response, told = self._response(response_id), raw
        name: str | None = "transcript" if "audio" in kind else "text"
        if kind.startswith("response.content_part"):
            told = _object(raw.get("part"))
            name = _PARTS["agent"].get(_text(told.get("type")))
        if index is None or name is None or (response is not None and response.outside):
            return
        item = self._item(raw.get("item_id"), "agent")
        if item is None:
            return
        item.response_id = item.response_id or response_id
        if name == "transcript":
            item.spoken = True
            if response is not None and response.spoke_at is None:
                response.spoke_at = unix
        part, text = item.parts.setdefault(index, _Part()), told.get(name)
        if kind.endswith(".delta"):
            self._write_piece(item, part, raw)
        elif kind.endswith(".done") and isinstance(text, str):
            self._write(part, text, _TOLD)

    def _caller_said(self, raw: dict[str, Any], _unix: float) -> None:
        item, index = self._item(raw.get("item_id"), "caller", before=self._first_since), _index(raw)
        if item is None or index is None:
            return
        item.spoken = True
        part = item.parts.setdefault(index, _Part())
        kind, text = raw["type"], raw.get("transcript")
        if kind.endswith(".delta"):
            self._write_piece(item, part, raw)
        elif kind.endswith(".completed") and isinstance(text, str):
            self._write(part, text, _TOLD)

    def _truncated(self, raw: dict[str, Any], _unix: float) -> None:
        item = self._item(raw.get("item_id"), "agent", before=self._first_since)
        end = _milliseconds(raw.get("audio_end_ms"))
        if item is not None and end is not None:
            item.spoken = item.inside = True
            item.kept_ms = end if item.kept_ms is None else min(end, item.kept_ms)

    def _deleted(self, raw: dict[str, Any], _unix: float) -> None:
        item = self._item(raw.get("item_id"), before=self._first_since)
        if item is not None:
            self._drop(item)

    # --- the caller's voice -------------------------------------------------------------------------------------------

    def _speech_started(self, raw: dict[str, Any], unix: float) -> None:
        item = self._item(raw.get("item_id"), "caller")
        if item is not None:
            item.spoken = True
            item.started_at = unix if item.started_at is None else item.started_at

    def _speech_stopped(self, raw: dict[str, Any], unix: float) -> None:
        item, end = self._item(raw.get("item_id"), "caller"), _milliseconds(raw.get("audio_end_ms")) or 0
        if item is not None:
            item.spoken = True
            # There can be several of one turn, of which the last counts, and which may be told twice.
            if item.stopped_at is None or end > item.stopped_ms:
                item.stopped_at, item.stopped_ms = unix, end

    def _committed(self, raw: dict[str, Any], _unix: float) -> None:
        item = self._item(raw.get("item_id"), "caller", previous=raw.get("previous_item_id"))
        if item is not None:
            item.spoken = item.inside = True

    def _timed_out(self, raw: dict[str, Any], _unix: float) -> None:
        item = self._item(raw.get("item_id"), "caller")
        if item is not None:
            item.silent = True

    def _input_cleared(self, _raw: dict[str, Any], _unix: float) -> None:
        for item in self._items.values():
            if item.by == "caller" and not item.inside:
                item.silent = True

    # --- responses and the session ------------------------------------------------------------------------------------

    def _response(self, response_id: object) -> _Response | None:
        return self._responses.setdefault(response_id, _Response()) if _is_id(response_id) else None

    def _response_told(self, raw: dict[str, Any], unix: float) -> None:
        shown = _object(raw.get("response"))
        response_id = _text(shown.get("id"))
        response = self._response(response_id)
        if response is None:
            return
        done = raw["type"] == "response.done"
        if response.outside is None and ("conversation_id" in shown or done):
            response.outside = shown.get("conversation_id", "") is None
        if response.outside:
            for item in [item for item in self._items.values() if item.response_id == response_id]:
                self._drop(item)
        if not done or response.outside:
            return
        response.done_at = unix if response.done_at is None else response.done_at
        response.cancelled = response.cancelled or shown.get("status") == "cancelled"
        response.seconds = response.seconds or _seconds(shown)
        next_id: str | None = None
        for told in _list(shown.get("output"))[:_MOST_ITEMS][::-1]:
            self._show(_object(told), response_id, raw["type"], before=next_id)
            next_id = _text(_object(told).get("id"))
        for item in self._items.values():
            item.settled = item.settled or item.response_id == response_id

    def _playback(self, raw: dict[str, Any], unix: float) -> None:
        response_id = _text(raw.get("response_id"))
        response = self._response(response_id)
        if response is None:
            return
        match raw["type"].rpartition(".")[2]:
            case "started" if response.started_at is None:
                response.started_at, self._playing = unix, response_id
            case "stopped" if response.stopped_at is None:
                response.stopped_at = unix
            case "cleared" if response.cleared_at is None:
                response.cleared_at = unix

    def _session(self, raw: dict[str, Any], _unix: float) -> None:
        told = _object(_object(_object(raw.get("session")).get("audio")).get("input"))
        if "transcription" in told:
            self._transcribes = told["transcription"] is not None

    # --- lines --------------------------------------------------------------------------------------------------------

    def _lines(self) -> Iterator[Line]:
        items = [item for item in self._ordered() if self._is_line(item)]
        lengths: dict[str, int] = {}  # of what is spoken in each response
        for item in items:
            if item.by == "agent" and item.spoken:
                lengths[item.response_id] = lengths.get(item.response_id, 0) + len(item.text)
        before = dict.fromkeys(lengths, 0)
        for item in items:
            if item.by == "caller":
                started_at, ended_at = _times(item.started_at, item.stopped_at)
                yield Line(
                    by="caller",
                    text=item.text,
                    item_id=item.id,
                    started_at=started_at,
                    ended_at=ended_at,
                    heard=item.text,
                    complete=item.complete,
                )
                continue
            response = self._responses.get(item.response_id) or _Response()
            begun = response.started_at is not None and response.ended_at is None
            playing = item.spoken and begun and (response.lost or item.response_id == self._playing)
            heard, interrupted = item.text, response.cancelled
            if item.spoken:
                heard, interrupted = _heard(item, response, before[item.response_id], lengths[item.response_id])
                before[item.response_id] += len(item.text)
            started_at, ended_at = _times(response.started_at, response.ended_at) if item.spoken else (None, None)
            yield Line(
                by="agent",
                text=item.text,
                item_id=item.id,
                started_at=started_at,
                ended_at=ended_at,
                interrupted=interrupted,
                heard=heard,
                complete=item.complete and not playing,
            )


def _times(started_at: float | None, ended_at: float | None) -> tuple[float | None, float | None]:
    if started_at is not None and ended_at is not None:
        started_at = min(started_at, ended_at)
    return started_at, ended_at


def _heard(item: _Item, response: _Response, before: int, length: int) -> tuple[str, bool]:
    """Return what was heard of an item, and whether it was interrupted.

    Its response has `length` characters that are spoken, `before` of them before the item's.
    """
    text = item.text
    pace = min(length / response.seconds, _FASTEST) if length and response.seconds else _CHARACTERS_A_SECOND
    if item.kept_ms is not None:
        return _beginning(text, item.kept_ms / 1000 * pace), True
    if not response.cut_off:
        return text, False
    played = response.played
    heard = text if played is None else _beginning(text, played * pace - before)
    return heard, heard != text or before + len(text) >= length


def _beginning(text: str, characters: float) -> str:
    """Return the words of `text` that end within its first `characters`."""
    end = max(0, int(characters))
    if end >= len(text):
        return text
    while end > 0 and _is_in_word(text[end - 1]) and _is_in_word(text[end]):
        end -= 1
    return text[:end].rstrip()


def _is_in_word(character: str) -> bool:
    return character in "'’" or (character.isalnum() and character < _NO_SPACES)


# --- what may come over the wire --------------------------------------------------------------------------------------

_SPEAKERS: dict[str, _Speaker] = {"user": "caller", "assistant": "agent"}
_PARTS: dict[_Speaker, dict[str, Literal["text", "transcript"]]] = {
    "caller": {"input_text": "text", "input_audio": "transcript"},
    "agent": {"output_text": "text", "text": "text", "output_audio": "transcript", "audio": "transcript"},
}
"""The field that has the words of each kind of part."""


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID


def _index(raw: dict[str, Any]) -> int | None:
    value = raw.get("content_index")
    if value is None:
        return 0
    return value if isinstance(value, int) and 0 <= value < _MOST_PARTS else None


def _milliseconds(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _LONGEST_AUDIO else None


def _seconds(shown: dict[str, Any]) -> float:
    tokens = _object(_object(shown.get("usage")).get("output_token_details")).get("audio_tokens")
    return tokens * _SECONDS_A_TOKEN if isinstance(tokens, int) and 0 < tokens < _MOST_TOKENS else 0.0


# Diarized segments are not here: the completed transcript has their words.
_HANDLERS: dict[str, Callable[[Conversation, dict[str, Any], float], None]] = {
    "conversation.item.added": Conversation._shown,
    "conversation.item.created": Conversation._shown,
    "conversation.item.deleted": Conversation._deleted,
    "conversation.item.done": Conversation._shown,
    "conversation.item.input_audio_transcription.completed": Conversation._caller_said,
    "conversation.item.input_audio_transcription.delta": Conversation._caller_said,
    "conversation.item.input_audio_transcription.failed": Conversation._caller_said,
    "conversation.item.retrieved": Conversation._shown,
    "conversation.item.truncated": Conversation._truncated,
    "input_audio_buffer.cleared": Conversation._input_cleared,
    "input_audio_buffer.committed": Conversation._committed,
    "input_audio_buffer.speech_started": Conversation._speech_started,
    "input_audio_buffer.speech_stopped": Conversation._speech_stopped,
    "input_audio_buffer.timeout_triggered": Conversation._timed_out,
    "output_audio_buffer.cleared": Conversation._playback,
    "output_audio_buffer.started": Conversation._playback,
    "output_audio_buffer.stopped": Conversation._playback,
    "response.content_part.added": Conversation._agent_says,
    "response.content_part.done": Conversation._agent_says,
    "response.created": Conversation._response_told,
    "response.done": Conversation._response_told,
    "response.output_audio_transcript.delta": Conversation._agent_says,
    "response.output_audio_transcript.done": Conversation._agent_says,
    "response.output_item.added": Conversation._shown,
    "response.output_item.done": Conversation._shown,
    "response.output_text.delta": Conversation._agent_says,
    "response.output_text.done": Conversation._agent_says,
    "session.created": Conversation._session,
    "session.updated": Conversation._session,
}
