"""What was said in a call, by whom and in which order, folded from the service's events without I/O.

The order is that of the conversation's items, not of their texts: the caller's words are transcribed seconds after the
model began to answer them, or never. The service tells it in order; what was lost, and is told late, stands before all
that was seen since.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_sip import events
from realtime_sip.call.record.frame import get, has, items, text
from realtime_sip.call.record.responses import Book, Response
from realtime_sip.call.record.said import (
    MAX_ID,
    MAX_PARTS,
    RETRIEVED,
    SHOWN,
    SPEAKERS,
    TOLD,
    WORDS,
    Item,
    Latest,
    Part,
    Speaker,
    agent_line,
    caller_line,
)
from realtime_sip.call.record.transcript import Line, Transcript

_MAX_ITEMS = 2_000
_MAX_CHARACTERS = 1_000_000
_MAX_AUDIO = 1_000_000_000
"""Milliseconds; what is longer is not valid."""


class Conversation:
    """The transcript of one call, as it grows. The book has taken in each event before.

    Args:
        book: The responses of the call.
        transcribes: Whether the session that is asked for has transcription. What the service reports replaces it.
        unix_ahead: What the wall clock is ahead of `now`.
    """

    def __init__(self, book: Book, *, transcribes: bool, unix_ahead: float) -> None:
        self._book = book
        self._transcribes = transcribes
        self._ahead = unix_ahead
        self._items: dict[str, Item] = {}
        self._order: list[Item] = []
        self._first_since: Item | None = None  # the first item that was seen since the sideband was attached
        self._uncommitted: dict[str, Item] = {}  # turns of the caller that are not items of the conversation yet
        self._characters = 0
        self._pieces = Latest()  # ids of deltas
        self._incomplete = False  # lines were lost or forgotten
        self._taken: Transcript | None = None

    @property
    def transcript(self) -> Transcript:
        """What was said so far. Only the lines that have changed since it was last taken are made anew."""
        if self._taken is None:
            lines = tuple([line for item in self._order if (line := self._line(item)) is not None])
            complete = not self._incomplete and all(line.complete for line in lines)
            self._taken = Transcript(lines, complete=complete)
        return self._taken

    @property
    def warning(self) -> str | None:
        """What a program that wants the transcript has to know, in a sentence that is safe to log; mostly None."""
        if self._transcribes:
            return None
        return "the session sets no audio.input.transcription, so that the caller's words are not in the transcript"

    def gap(self) -> None:
        """Record that the sideband was lost. What is said until it is back is missing, for nothing is told again."""
        self._incomplete = True
        self._first_since = None
        self._taken = None
        for item in self._order:
            item.broken = item.broken or not item.complete

    def receive(self, event: events.ServerEvent, now: float) -> None:
        """Take in what the service says. Whatever it is, nothing is raised."""
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event, now)
            self._taken = None
            while len(self._order) > _MAX_ITEMS or self._characters > _MAX_CHARACTERS:
                self._forget(self._order.pop(0))

    # --- items and their order ----------------------------------------------------------------------------------------

    def _item(
        self,
        item_id: object,
        by: Speaker | None = None,
        *,
        previous: object = None,
        before: Item | None = None,
        late: bool = False,
    ) -> Item | None:
        """Return an item, a new one if it is not known, at its place; None if it is not to be changed.

        A new one is at the end, behind `previous` or in front of `before`. `late` says that the event may come long
        after the item was added: an item that was not seen then is older than all that were seen since we are attached.
        """
        if not isinstance(item_id, str) or not 0 < len(item_id) <= MAX_ID:
            return None
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = Item(item_id)
            before = self._first_since if late else before
            if before is None:
                self._order.append(item)
                self._first_since = item if self._first_since is None and not late else self._first_since
            else:
                self._order.insert(self._at(before), item)
        if isinstance(previous, str) and 0 < len(previous) <= MAX_ID and previous != item_id and not item.placed:
            self._place(item, previous)
        if item.deleted or (by is not None and item.by not in (None, by)):
            return None
        item.by = item.by or by
        item.fresh = False
        return item

    def _place(self, item: Item, previous: str) -> None:
        """Put an item right behind the one that the service names."""
        at, behind = self._at(item), self._items.get(previous)
        if behind is None:
            # It was not seen yet; what comes of it later goes here.
            behind = self._items[previous] = Item(previous)
            self._order.insert(at, behind)
            if self._first_since is item:
                self._first_since = behind
        elif at == 0 or self._order[at - 1] is not behind:
            del self._order[at]
            self._order.insert(self._at(behind) + 1, item)
        item.placed = item.inside = True
        behind.fresh, behind.inside = behind.fresh and behind.inside, True

    def _at(self, item: Item) -> int:
        """Return where an item is. The search starts at the end, because most events are about the latest items."""
        at = len(self._order) - 1
        while self._order[at] is not item:
            at -= 1
        return at

    def _forget(self, item: Item) -> None:
        self._incomplete = self._incomplete or item.is_line
        self._characters -= item.size
        del self._items[item.id]
        self._uncommitted.pop(item.id, None)
        if self._first_since is item:
            self._first_since = self._order[0] if self._order else None
        if item.response is not None:
            item.response.messages.remove(item.id)

    # --- words --------------------------------------------------------------------------------------------------------

    def _piece(self, item: Item, event: events.ServerEvent) -> None:
        """Add the next piece of a text. No hole is hidden: after one, nothing is added but the whole."""
        index, delta, event_id = _index(event), getattr(event, "delta", None), event.event_id
        if index is None:
            return
        part = item.parts.get(index)
        if part is None:
            part = item.parts[index] = Part()
        if isinstance(delta, str) and not item.broken and not self._pieces.has(event_id):
            self._characters += part.add(delta)

    def _agent_says(self, event: events.ServerEvent, _now: float) -> None:
        item_id = getattr(event, "item_id", None)
        item = self._items.get(item_id) if isinstance(item_id, str) else None
        if item is None or item.by is None or item.response is None:
            item = self._answer(event)
        elif item.by != "agent" or item.deleted or item.response.outside:
            return
        if item is not None:
            item.fresh = False
            item.spoken = item.spoken or event.type == "response.output_audio_transcript.delta"
            self._piece(item, event)

    def _answer(self, event: events.ServerEvent) -> Item | None:
        """Return the item of an answer that an event is about; None if it is not in the transcript."""
        response = self._book.get(text(event, "response_id"))
        if response is not None and response.outside:
            return None
        item = self._item(get(event, "item_id"), "agent")
        if item is not None:
            item.tie(response)
        return item

    def _agent_said(self, event: events.ServerEvent, _now: float) -> None:
        """Take in a part of an answer that has begun, or its whole text."""
        kind, index, told = event.type, _index(event), event
        name: str | None = "transcript" if "audio" in kind else "text"
        if kind.startswith("response.content_part"):
            told = get(event, "part")
            name = WORDS["agent"].get(text(told, "type"))
        if index is None or name is None:
            return
        item = self._answer(event)
        if item is None:
            return
        item.spoken = item.spoken or name == "transcript"
        part, words = item.parts.setdefault(index, Part()), get(told, name)
        if kind.endswith(".done") and isinstance(words, str):
            self._characters += part.write(words, TOLD)

    def _caller_said(self, event: events.ServerEvent, _now: float) -> None:
        item, index = self._item(get(event, "item_id"), "caller", late=True), _index(event)
        if item is None or index is None:
            return
        item.spoken = True
        if event.type.endswith(".delta"):
            self._piece(item, event)
            return
        part, words = item.parts.setdefault(index, Part()), get(event, "transcript")
        if event.type.endswith(".completed") and isinstance(words, str):
            self._characters += part.write(words, TOLD)

    def _shown(self, event: events.ServerEvent, _now: float) -> None:
        """Take in an item as it is shown: when it was added, done, or asked for."""
        if event.type.startswith("response."):
            response = self._book.get(text(event, "response_id"))
            if response is None or not response.outside:
                self._show(get(event, "item"), response, event.type)
        else:
            self._show(get(event, "item"), None, event.type, previous=get(event, "previous_item_id"))

    def _show(
        self, shown: object, response: Response | None, kind: str, previous: object = None, before: Item | None = None
    ) -> None:
        late = kind == "conversation.item.retrieved"
        item = self._item(get(shown, "id"), previous=previous, before=before, late=late)
        by = SPEAKERS.get(text(shown, "role"))
        if item is None or text(shown, "type") != "message" or by is None or item.by not in (None, by):
            return
        item.by = by
        item.tie(response)
        item.phase = text(shown, "phase") or item.phase
        item.inside = item.inside or kind.startswith("conversation.")
        being_made = get(shown, "status") == "in_progress"
        item.settled = item.settled or not (being_made or kind.endswith((".added", ".created")))
        self._characters += item.show(items(shown, "content"), RETRIEVED if late else SHOWN, being_made=being_made)

    def _truncated(self, event: events.ServerEvent, _now: float) -> None:
        item = self._item(get(event, "item_id"), "agent", late=True)
        end = _milliseconds(event)
        if item is not None and end is not None:
            item.spoken = item.inside = True
            item.kept_ms = end if item.kept_ms is None else min(end, item.kept_ms)

    def _deleted(self, event: events.ServerEvent, _now: float) -> None:
        """Forget the words of an item. Its place stays, because the places of others depend on it."""
        item = self._item(get(event, "item_id"), late=True)
        if item is not None:
            self._characters -= item.size
            item.parts.clear()
            item.deleted = True

    # --- the caller's voice -------------------------------------------------------------------------------------------

    def _speech_started(self, event: events.ServerEvent, now: float) -> None:
        item = self._item(get(event, "item_id"), "caller")
        if item is not None:
            item.spoken = True
            item.started_at = now if item.started_at is None else item.started_at
            if not item.inside:
                self._uncommitted[item.id] = item

    def _speech_stopped(self, event: events.ServerEvent, now: float) -> None:
        item, end = self._item(get(event, "item_id"), "caller"), _milliseconds(event) or 0
        if item is not None:
            item.spoken = True
            # There can be several of one turn, of which the last counts, and which may be told twice.
            if item.stopped_at is None or end > item.stopped_ms:
                item.stopped_at, item.stopped_ms = now, end

    def _committed(self, event: events.ServerEvent, _now: float) -> None:
        item = self._item(get(event, "item_id"), "caller", previous=get(event, "previous_item_id"))
        if item is not None:
            item.spoken = item.inside = True
            self._uncommitted.pop(item.id, None)

    def _timed_out(self, event: events.ServerEvent, _now: float) -> None:
        item = self._item(get(event, "item_id"), "caller")
        if item is not None:
            item.silent = True

    def _input_cleared(self, _event: events.ServerEvent, _now: float) -> None:
        for item in self._uncommitted.values():
            item.silent = item.silent or not item.inside
            item.fresh = False
        self._uncommitted.clear()

    # --- responses and the session ------------------------------------------------------------------------------------

    def _response(self, event: events.ServerEvent, _now: float) -> None:
        """See what the book has taken in: where a response belongs, or that it plays."""
        self._touch(self._book.get(text(event, "response_id") or text(event, "response", "id")))

    def _done(self, event: events.ServerEvent, now: float) -> None:
        shown = get(event, "response")
        response = self._book.get(text(shown, "id"))
        if response is None:
            return
        if response.told_at is None:
            self._book.told(response, shown, now)  # the core had given it up
        if not response.outside:
            told = items(shown, "output")[:_MAX_ITEMS]
            following: Item | None = None
            for each in reversed(told):
                self._show(each, response, event.type, before=following)
                following = self._items.get(text(each, "id")) or following
            places = {text(each, "id"): place for place, each in enumerate(told)}
            response.messages.sort(key=lambda item_id: places.get(item_id, len(places)))
        self._touch(response)

    def _touch(self, response: Response | None) -> None:
        for item_id in () if response is None else response.messages:
            self._items[item_id].fresh = False

    def _session(self, event: events.ServerEvent, _now: float) -> None:
        told = get(event, "session", "audio", "input")
        if has(told, "transcription"):
            self._transcribes = get(told, "transcription") is not None

    # --- lines --------------------------------------------------------------------------------------------------------

    def _line(self, item: Item) -> Line | None:
        if item.fresh:
            return item.line
        item.fresh, item.line = True, None
        if item.is_line and item.by == "caller":
            item.line = caller_line(item, self._ahead)
        elif item.is_line:
            response, messages, plays = item.response, [item], False
            if response is not None:
                messages = [self._items[item_id] for item_id in response.messages]
                begun = item.spoken and response.began_at is not None and response.ended_at is None
                plays = begun and (response.lost or response.id == self._book.playing)
                # Such a line changes when another response begins to play, or with the words of another line.
                item.fresh = not plays and not (response.cut_off and len(messages) > 1)
            item.line = agent_line(item, messages, self._ahead, plays=plays)
        return item.line


# --- what may come over the wire --------------------------------------------------------------------------------------


def _index(event: events.ServerEvent) -> int | None:
    """Return the place of a part: the first if it is not a number, because most messages have one part."""
    value = getattr(event, "content_index", None)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 <= value < MAX_PARTS else None


def _milliseconds(event: events.ServerEvent) -> int | None:
    value = get(event, "audio_end_ms")
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_AUDIO else None


# Diarized segments are not here: the completed transcript has their words.
_HANDLERS: dict[str, Callable[[Conversation, events.ServerEvent, float], None]] = {
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
    "output_audio_buffer.cleared": Conversation._response,
    "output_audio_buffer.started": Conversation._response,
    "output_audio_buffer.stopped": Conversation._response,
    "response.content_part.added": Conversation._agent_said,
    "response.content_part.done": Conversation._agent_said,
    "response.created": Conversation._response,
    "response.done": Conversation._done,
    "response.output_audio_transcript.delta": Conversation._agent_says,
    "response.output_audio_transcript.done": Conversation._agent_said,
    "response.output_item.added": Conversation._shown,
    "response.output_item.done": Conversation._shown,
    "response.output_text.delta": Conversation._agent_says,
    "response.output_text.done": Conversation._agent_said,
    "session.created": Conversation._session,
    "session.updated": Conversation._session,
}
