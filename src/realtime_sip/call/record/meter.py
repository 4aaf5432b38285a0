"""What a call has used and cost so far, read from its events, without I/O.

A response counts at its `response.done`, whichever way it ended and whether or not it is part of the conversation; what
the caller said, when its transcription is complete. Each counts once, though events may come again. Until a response is
done, `estimate` guesses what it will cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from realtime_sip import events
from realtime_sip.call.record.frame import get, plain, text
from realtime_sip.call.record.responses import (
    CHARACTERS_A_SECOND,
    MAKING,
    SECONDS_A_TOKEN,
    Book,
    Response,
    is_outside,
)
from realtime_sip.rates import RateCard
from realtime_sip.usage import TokenUsage, TranscriptionUsage, Usage

_REMEMBERED = 4096
_MAX_MODELS = 16
_MAX_NAME = 200
_CHARACTERS_A_TOKEN = 4
_CHARGED = frozenset({"response.done", "conversation.item.input_audio_transcription.completed"})
_SPOKEN = "response.output_audio_transcript.delta"
CHARACTERS_AN_ESTIMATE = 80
"""How much speech is worth one estimate: about half a cent."""
_MAX_OUTPUT = 32_000
"""Tokens of one response (model pages, 2026)."""


class Meter:
    """What one call has used. The book has taken in each event before.

    `model` and `transcription_model` are what the call was accepted with, None if that is not known (a stored prompt
    may name the model) or if nothing is transcribed. What the service reports later counts instead.
    """

    def __init__(self, book: Book, rates: RateCard, *, model: str | None, transcription_model: str | None) -> None:
        self._book = book
        self._rates = rates
        self._model = model
        self._transcription_model = transcription_model
        self._tokens = TokenUsage()
        self._responses = 0
        self._transcription: dict[str | None, TranscriptionUsage] = {}
        self._incomplete = False
        self._counted: dict[str, None] = {}  # what the book does not know, in the order in which it came
        self._last_input = TokenUsage()
        self._spoken = 0  # characters since the last estimate

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def usage(self) -> Usage:
        """What was used so far.

        It is complete if all was told: no response is being made, or has ended unseen; the sideband was not lost; and
        the service said of each response and transcription what it used. A transcription that was under way when the
        call ended is not known of.
        """
        unknown = self._incomplete or self._book.uncounted or self._book.uncounted_forgotten
        return Usage(
            tokens=self._tokens,
            responses=self._responses,
            transcription=tuple(self._transcription.values()),
            complete=not unknown,
        )

    @property
    def tokens(self) -> int:
        """Tokens of the realtime model so far, in and out. Those of transcription are not among them."""
        return self._tokens.total

    @property
    def cost(self) -> Decimal | None:
        """What the usage so far costs in USD; None if the model, or a part of what was used, has no price."""
        return self._rates.cost(self.usage, model=self._model)

    def estimate(self, now: float) -> Decimal | None:
        """Return `cost` and, guessed, what the responses cost that are being made; None if `cost` is None.

        It is an estimate. The input is taken to be that of the last response in the conversation, for all of it is sent
        again; it was longer in truth, though more of it came from the cache. The output is what the transcript is long,
        at 6 characters a second, or what was played already, at one audio token for 50 ms. A response without any sign
        of life for 60 seconds is left out.
        """
        tokens = self._tokens
        for response in self._book.uncounted.values():
            if now <= response.seen_at + MAKING:
                tokens += _so_far(response, self._last_input, now)
        return self._rates.cost(replace(self.usage, tokens=tokens), model=self._model)

    def has_moved(self, event: events.ServerEvent) -> bool:
        """Whether this event, taken in, makes an estimate worth its time, which is that of ten events."""
        if event.type == _SPOKEN:
            self._spoken += len(text(event, "delta"))
        if event.type in _CHARGED or self._spoken >= CHARACTERS_AN_ESTIMATE:
            self._spoken = 0
            return True
        return False

    def begin_with(self, usage: Usage) -> None:
        """Count from what another worker has counted."""
        self._tokens, self._responses = usage.tokens, usage.responses
        self._transcription = {each.model: each for each in usage.transcription}
        self._incomplete = True

    # --- what happens -------------------------------------------------------------------------------------------------

    def mark_incomplete(self) -> None:
        """Record that the sideband was lost for a time: what was used meanwhile is not known."""
        self._incomplete = True

    def receive(self, event: events.ServerEvent) -> None:
        """Take in what the service says."""
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def _is_new(self, name: str, event: events.ServerEvent) -> bool:
        """Return whether something is to be counted. What has no id goes by that of its event."""
        event_id = _name(text(event, "event_id"))
        key = name or f"event {event_id}"
        if not (name or event_id):
            self._incomplete = True
            return False
        if key in self._counted:
            return False
        self._counted[key] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        return True

    def _done(self, event: events.ServerEvent) -> None:
        shown = get(event, "response")
        response_id = text(shown, "id")
        response = self._book.get(response_id) if response_id else None
        if not (self._is_new(_name(response_id), event) if response is None else self._book.count(response)):
            return
        told = get(shown, "usage")
        used = TokenUsage.from_wire(plain(told))
        self._responses += 1
        self._tokens += used
        if used.total > used.text_out + used.audio_out and not is_outside(shown):
            self._last_input = replace(used, text_out=0, audio_out=0)
        if not used.total and not _is_zero(get(told, "total_tokens")):
            self._incomplete = True

    def _transcribed(self, event: events.ServerEvent) -> None:
        item_id, index = _name(text(event, "item_id")), get(event, "content_index")
        place = index if isinstance(index, int) and 0 <= index < 1000 else 0
        if not self._is_new(item_id and f"item {item_id} {place}", event):
            return
        told, model = get(event, "usage"), self._transcription_model
        if model not in self._transcription and len(self._transcription) >= _MAX_MODELS:
            model = None
        used = TranscriptionUsage.from_wire(plain(told), model=model)
        self._transcription[model] = self._transcription.get(model, TranscriptionUsage(model=model)) + used
        if not (used.seconds or used.total):
            zero = "seconds" if text(told, "type") == "duration" else "total_tokens"
            self._incomplete = self._incomplete or not _is_zero(get(told, zero))

    def _session(self, event: events.ServerEvent) -> None:
        session = get(event, "session")
        self._model = _name(text(session, "model")) or self._model
        # If it is turned off, the last words may still be written down, by the model that had begun.
        model = _name(text(session, "audio", "input", "transcription", "model"))
        self._transcription_model = model or self._transcription_model


_HANDLERS: dict[str, Callable[[Meter, events.ServerEvent], None]] = {
    "response.done": Meter._done,
    "conversation.item.input_audio_transcription.completed": Meter._transcribed,
    "session.created": Meter._session,
    "session.updated": Meter._session,
}


def _so_far(response: Response, its_input: TokenUsage, now: float) -> TokenUsage:
    """Return what a response that is being made has used so far, as far as is known."""
    playing = 0.0 if response.started_at is None else max(now - response.started_at, 0.0)
    seconds = max(response.spoken / CHARACTERS_A_SECOND, response.played + playing)
    words = math.ceil((response.spoken + response.written) / _CHARACTERS_A_TOKEN)
    audio = math.ceil(min(seconds / SECONDS_A_TOKEN, _MAX_OUTPUT))
    return replace(its_input, text_out=min(words, _MAX_OUTPUT), audio_out=audio)


def _name(value: str) -> str:
    """Return an id or the name of a model, or "" if it is too long to be one."""
    return value if len(value) <= _MAX_NAME else ""


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
