"""What a call has used and cost so far, read from its events, without I/O.

`Meter` is told the service's events, and when. A response counts at its `response.done`, whichever way it ended and
whether or not it is part of the conversation; what the caller said, when its transcription is complete. Each counts
once, though events may come again. Until a response is done, `estimate` guesses what it will cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from realtime_sip import events
from realtime_sip.rates import RateCard
from realtime_sip.usage import TokenUsage, TranscriptionUsage, Usage

__all__ = ["Meter"]

_REMEMBERED = 4096
_MOST_MAKING = 32
_MOST_MODELS = 16
_LONGEST_NAME = 200
_MAKING = 60.0
"""Seconds without any sign of a response, after which it is not taken to be made any more."""
_CHARACTERS_A_SECOND = 15
_CHARACTERS_A_TOKEN = 4
_AUDIO_TOKENS_A_SECOND = 20
"""One audio token is 50 ms of the assistant's voice (costs guide, November 2026)."""
_LONGEST_RESPONSE = 32_000
"""Tokens of output (model pages, 2026)."""


@dataclass(slots=True)
class _Making:
    """A response that is being made, and what is known of its length."""

    seen_at: float
    spoken: int = 0  # characters
    written: int = 0
    playing_since: float | None = None
    played: float = 0.0  # seconds, where it was stopped

    def output(self, now: float) -> TokenUsage:
        playing = 0.0 if self.playing_since is None else max(now - self.playing_since, 0.0)
        seconds = max(self.spoken / _CHARACTERS_A_SECOND, playing, self.played)
        text = math.ceil((self.spoken + self.written) / _CHARACTERS_A_TOKEN)
        audio = math.ceil(min(seconds * _AUDIO_TOKENS_A_SECOND, _LONGEST_RESPONSE))
        return TokenUsage(text_out=min(text, _LONGEST_RESPONSE), audio_out=audio)


class Meter:
    """What one call has used. `now` is a clock in seconds that only goes forward.

    `model` and `transcription_model` are what the call was accepted with, None where that is not known (a stored prompt
    may name the model) or where nothing is transcribed. What the service reports later counts instead.
    """

    def __init__(self, rates: RateCard, *, model: str | None, transcription_model: str | None) -> None:
        self._rates = rates
        self._model = model
        self._transcription_model = transcription_model
        self._tokens = TokenUsage()
        self._responses = 0
        self._transcription: dict[str | None, TranscriptionUsage] = {}
        self._incomplete = False
        self._counted: dict[tuple[str, str, int], None] = {}  # in the order in which they came
        self._making: dict[str, _Making] = {}
        self._last_input = TokenUsage()

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def usage(self) -> Usage:
        """What was used so far.

        It is complete where all is told: no response is being made, or has ended unseen; the sideband was not lost; and
        the service said of each response and transcription what it used. A transcription that was under way when the
        call ended is not known of.
        """
        return Usage(
            tokens=self._tokens,
            responses=self._responses,
            transcription=tuple(self._transcription.values()),
            complete=not self._incomplete and not self._making,
        )

    @property
    def tokens(self) -> int:
        """Tokens of the realtime model so far, in and out. Those of transcription are not among them."""
        return self._tokens.total

    @property
    def cost(self) -> Decimal | None:
        """What the usage so far costs in USD; None where the model, or a part of what was used, has no price."""
        return self._rates.cost(self.usage, model=self._model)

    def estimate(self, now: float) -> Decimal | None:
        """Return `cost` and, guessed, what the responses cost that are being made; None where `cost` is None.

        It is an estimate. The input is taken to be that of the last response in the conversation, for all of it is sent
        again; it was longer in truth, though more of it came from the cache. The output is what the transcript is long,
        at 15 characters a second, or what was played already, at one audio token for 50 ms. A response without any sign
        of life for 60 seconds is left out.
        """
        tokens = self._tokens
        for making in self._making.values():
            if now <= making.seen_at + _MAKING:
                tokens = tokens + self._last_input + making.output(now)
        return self._rates.cost(replace(self.usage, tokens=tokens), model=self._model)

    # --- what happens -------------------------------------------------------------------------------------------------

    def mark_incomplete(self) -> None:
        """Note that the sideband was lost for a time: what was used meanwhile is not known."""
        self._incomplete = True

    def receive(self, event: events.ServerEvent, now: float) -> None:
        """Take in what the service says."""
        kind = event.type
        if kind in _HANDLERS:
            _HANDLERS[kind](self, event.to_wire(), now)
        elif kind.startswith("response."):
            making = self._sign_of(_name(getattr(event, "response_id", None)), now)
            delta = getattr(event, "delta", None)
            if making is not None and isinstance(delta, str):
                making.spoken += len(delta) if kind in _SPOKEN else 0
                making.written += len(delta) if kind in _WRITTEN else 0

    def _sign_of(self, response_id: str, now: float) -> _Making | None:
        """Note that a response is being made, also where its beginning was not seen; None where it is done."""
        if not response_id or ("response", response_id, 0) in self._counted:
            return None
        making = self._making.setdefault(response_id, _Making(now))
        making.seen_at = now
        if len(self._making) > _MOST_MAKING:
            del self._making[next(iter(self._making))]
            self._incomplete = True
        return making

    def _count_once(self, what: str, name: str, raw: dict[str, Any], place: int = 0) -> bool:
        """Return whether something is new. What has no id goes by that of its event; without one it cannot count."""
        event_id = _name(raw.get("event_id"))
        key = (what, name, place) if name else ("event", event_id, 0)
        if not (name or event_id):
            self._incomplete = True
            return False
        if key in self._counted:
            return False
        self._counted[key] = None
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        return True

    def _created(self, raw: dict[str, Any], now: float) -> None:
        self._sign_of(_name(_object(raw.get("response")).get("id")), now)

    def _done(self, raw: dict[str, Any], _now: float) -> None:
        shown = _object(raw.get("response"))
        response_id = _name(shown.get("id"))
        self._making.pop(response_id, None)
        if not self._count_once("response", response_id, raw):
            return
        told = _object(shown.get("usage"))
        used = TokenUsage.from_wire(told)
        self._responses += 1
        self._tokens += used
        outside = "conversation_id" in shown and shown["conversation_id"] is None
        if used.total > used.text_out + used.audio_out and not outside:
            self._last_input = replace(used, text_out=0, audio_out=0)
        if not used.total and not _is_zero(told.get("total_tokens")):
            self._incomplete = True

    def _transcribed(self, raw: dict[str, Any], _now: float) -> None:
        index = raw.get("content_index")
        place = index if isinstance(index, int) and 0 <= index < 1000 else 0
        if not self._count_once("item", _name(raw.get("item_id")), raw, place):
            return
        told, model = _object(raw.get("usage")), self._transcription_model
        if model not in self._transcription and len(self._transcription) >= _MOST_MODELS:
            model = None
        used = TranscriptionUsage.from_wire(told, model=model)
        self._transcription[model] = self._transcription.get(model, TranscriptionUsage(model=model)) + used
        if not (used.seconds or used.total):
            zero = "seconds" if told.get("type") == "duration" else "total_tokens"
            self._incomplete = self._incomplete or not _is_zero(told.get(zero))

    def _session(self, raw: dict[str, Any], _now: float) -> None:
        session = _object(raw.get("session"))
        heard = _object(_object(session.get("audio")).get("input"))
        self._model = _name(session.get("model")) or self._model
        # Where it is turned off, the last words may still be written down, by the model that had begun.
        self._transcription_model = _name(_object(heard.get("transcription")).get("model")) or self._transcription_model

    def _playing(self, raw: dict[str, Any], now: float) -> None:
        making = self._making.get(_name(raw.get("response_id")))
        if making is not None:
            making.seen_at = now
            making.playing_since = now if making.playing_since is None else making.playing_since

    def _played(self, raw: dict[str, Any], now: float) -> None:
        making = self._making.get(_name(raw.get("response_id")))
        if making is not None and making.playing_since is not None:
            making.played = max(making.played, now - making.playing_since)
            making.playing_since = None


_HANDLERS = {
    "response.created": Meter._created,
    "response.done": Meter._done,
    "conversation.item.input_audio_transcription.completed": Meter._transcribed,
    "session.created": Meter._session,
    "session.updated": Meter._session,
    "output_audio_buffer.started": Meter._playing,
    "output_audio_buffer.stopped": Meter._played,
    "output_audio_buffer.cleared": Meter._played,
}
_SPOKEN = {"response.output_audio_transcript.delta"}
_WRITTEN = {
    "response.output_text.delta",
    "response.function_call_arguments.delta",
    "response.mcp_call_arguments.delta",
}


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _name(value: object) -> str:
    """Return an id or the name of a model, or "" where it is none; a long one would not be kept for long."""
    return value if isinstance(value, str) and len(value) <= _LONGEST_NAME else ""


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
