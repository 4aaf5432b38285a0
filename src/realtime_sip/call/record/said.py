"""The items of a conversation as the transcript keeps them: their words, and the lines made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from realtime_sip.call.record.frame import get, text
from realtime_sip.call.record.responses import CHARACTERS_A_SECOND, Response
from realtime_sip.call.record.transcript import Line

MAX_IN_A_PART = 100_000
"""Characters. An hour of speech, the longest session, has about half of that."""
MAX_ID = 200
_REMEMBERED = 512
_FASTEST = 30.0
"""Characters a second. If a response was cut off, its text may be far ahead of its audio."""
_NO_SPACES = "\u2e80"
"""From here on are the scripts, Chinese and Japanese above all, that are written without spaces."""

MAX_PARTS = 32

Speaker = Literal["caller", "agent"]
SPEAKERS: dict[str, Speaker] = {"user": "caller", "assistant": "agent"}
WORDS: dict[Speaker, dict[str, Literal["text", "transcript"]]] = {
    "caller": {"input_text": "text", "input_audio": "transcript"},
    "agent": {"output_text": "text", "text": "text", "output_audio": "transcript", "audio": "transcript"},
}
"""The field that has the words of each kind of part."""

# What a text is worth: pieces of it; all of it, as an item shows it that was asked for, which may be truncated by then;
# as an item shows it that is done; and as its own event tells.
NOTHING, PIECES, RETRIEVED, SHOWN, TOLD = range(5)


class Latest:
    """The latest ids, at least 512 of them, at a cost that does not grow."""

    def __init__(self) -> None:
        self._new: set[str] = set()
        self._old: set[str] = set()

    def has(self, name: str | None) -> bool:
        """Return whether an id came before, and remember it."""
        if not name or len(name) > MAX_ID:
            return False
        if name in self._new or name in self._old:
            return True
        self._new.add(name)
        if len(self._new) >= _REMEMBERED:
            self._new, self._old = set(), self._new
        return False


@dataclass(slots=True, eq=False)
class Part:
    """The words of one part of an item."""

    pieces: list[str] = field(default_factory=list, repr=False)
    size: int = 0
    worth: int = NOTHING
    cut: bool = False  # longer than what is kept

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def write(self, words: str, worth: int) -> int:
        """Set the whole text, unless a better one is there; return by how much it has grown."""
        if worth < self.worth:
            return 0
        kept, before = words[:MAX_IN_A_PART], self.size
        self.pieces, self.size, self.worth, self.cut = [kept], len(kept), worth, len(words) > MAX_IN_A_PART
        return self.size - before

    def add(self, piece: str) -> int:
        """Add the next piece, unless the whole text is there; return by how much it has grown."""
        if self.worth > PIECES or self.cut:
            return 0
        room = MAX_IN_A_PART - self.size
        self.cut = len(piece) > room
        kept = piece[:room] if self.cut else piece
        self.pieces.append(kept)
        self.size += len(kept)
        self.worth = PIECES
        return len(kept)


@dataclass(slots=True, eq=False)
class Item:
    """One item: a turn of the caller, a message of the agent, or what is only known to have a place."""

    id: str
    by: Speaker | None = None  # None: no message, or nothing known but its place
    response: Response | None = None
    parts: dict[int, Part] = field(default_factory=dict, repr=False)
    phase: str | None = None
    placed: bool = False  # by the service; else its place is a guess
    inside: bool = False  # of the conversation, as was reported; else its response decides
    spoken: bool = False
    silent: bool = False  # no words are expected: silence, or audio that was dropped
    settled: bool = False  # no more will come
    broken: bool = False  # pieces of it may have been lost
    deleted: bool = False
    started_at: float | None = None
    stopped_at: float | None = None
    stopped_ms: int = 0
    kept_ms: int | None = None  # of its audio, if the service truncated it
    line: Line | None = field(default=None, repr=False)
    fresh: bool = False  # whether `line` is what there is to show

    @property
    def text(self) -> str:
        parts = [self.parts[index].text.strip() for index in sorted(self.parts)]
        return " ".join(part for part in parts if part)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts.values())

    @property
    def complete(self) -> bool:
        parts = self.parts.values()
        return bool(parts) and all(part.worth >= RETRIEVED and not part.cut for part in parts)

    @property
    def is_line(self) -> bool:
        """Whether it is part of the conversation and has words, or should have some."""
        if self.deleted or self.by is None:
            return False
        if self.by == "caller":
            return bool(self.text) or (self.spoken and not self.silent)
        response = self.response
        if not self.inside if response is None or response.outside is None else response.outside:
            return False
        # One that ended without a word was cut off before the first.
        ended = self.settled or self.complete or (response is not None and response.told_at is not None)
        return bool(self.text) or not ended

    def show(self, content: list[object], worth: int, *, being_made: bool) -> int:
        """Take in the parts as they are shown; return by how much the item has grown."""
        grown = 0
        for index, shown in enumerate(content[:MAX_PARTS]):
            name = None if self.by is None else WORDS[self.by].get(text(shown, "type"))
            if name is None:
                continue
            self.spoken = self.spoken or name == "transcript"
            part, words = self.parts.setdefault(index, Part()), get(shown, name)
            # No words may mean that they are not there yet, or, after an interruption, not any more.
            is_silence = words == "" and self.by == "agent" and self.settled and not part.size
            if isinstance(words, str) and not being_made and (words or is_silence):
                grown += part.write(words, worth)
        return grown

    def tie(self, response: Response | None) -> None:
        """Record which response it is a message of."""
        if self.response is None and response is not None:
            self.response = response
            response.messages.append(self.id)


def caller_line(item: Item, ahead: float) -> Line:
    """Return the line of a turn of the caller. The wall clock is `ahead` of the times of the item."""
    started_at, ended_at = _times(item.started_at, item.stopped_at, ahead)
    words = item.text
    return Line(
        by="caller",
        text=words,
        item_id=item.id,
        started_at=started_at,
        ended_at=ended_at,
        heard=words,
        complete=item.complete,
    )


def agent_line(item: Item, messages: list[Item], ahead: float, *, plays: bool) -> Line:
    """Return the line of a message of the agent.

    Args:
        item: The message.
        messages: Those of its response, in order.
        ahead: Seconds by which the wall clock is ahead of the times of the response.
        plays: Whether the response is playing.
    """
    response, words = item.response, item.text
    # What the model writes, nobody hears; what the program put in is taken as it is.
    heard, interrupted = ("" if response else words), response is not None and response.canceled
    started_at = ended_at = None
    if item.spoken:
        heard, interrupted = _heard(item, messages, words)
        if response is not None:
            started_at, ended_at = _times(response.began_at, response.ended_at, ahead)
    return Line(
        by="agent",
        text=words,
        item_id=item.id,
        started_at=started_at,
        ended_at=ended_at,
        interrupted=interrupted,
        heard=heard,
        phase=item.phase,
        complete=item.complete and not plays and not _is_unfinished(item),
    )


def _is_unfinished(item: Item) -> bool:
    """Whether the service stopped in the middle of it: it is the last message of a response that is not complete."""
    response = item.response
    return response is not None and response.status == "incomplete" and response.messages[-1:] == [item.id]


def _times(began: float | None, ended: float | None, ahead: float) -> tuple[float | None, float | None]:
    if began is not None and ended is not None:
        began = min(began, ended)
    return None if began is None else began + ahead, None if ended is None else ended + ahead


def _heard(item: Item, messages: list[Item], words: str) -> tuple[str, bool]:
    """Return what was heard of a message, and whether it was interrupted. Messages play one after another."""
    response = item.response
    cut_off = response is not None and response.cut_off
    if item.kept_ms is None and not cut_off:
        return words, False
    before = length = 0
    for message in messages:
        before = length if message is item else before
        length += len(message.text) if message.spoken and message.is_line else 0
    seconds = 0.0 if response is None else response.seconds
    pace = min(length / seconds, _FASTEST) if length and seconds else CHARACTERS_A_SECOND
    if item.kept_ms is not None:
        return _beginning(words, item.kept_ms / 1000 * pace), True
    played = None if response is None else response.seconds_heard
    heard = words if played is None else _beginning(words, played * pace - before)
    return heard, heard != words or before + len(words) >= length


def _beginning(words: str, characters: float) -> str:
    """Return the words that end within the first `characters`."""
    end = max(0, int(characters))
    if end >= len(words):
        return words
    while end > 0 and _is_in_word(words[end - 1]) and _is_in_word(words[end]):
        end -= 1
    return words[:end].rstrip()


def _is_in_word(character: str) -> bool:
    return character in "'’" or (character.isalnum() and character < _NO_SPACES)
