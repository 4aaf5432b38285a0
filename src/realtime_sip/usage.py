"""What a call used: tokens of the model by kind, and transcription of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Any

from realtime_sip.errors import ConfigurationError

_MOST_TOKENS = 1_000_000
"""Tokens of one kind in one event. A context has 128,000 (model pages, 2026); a higher count is not believed."""
_MOST_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens by kind. Tokens from the cache are part of the input, not extra.

    >>> TokenUsage(text_in=10, text_out=2) + TokenUsage(text_in=5) == TokenUsage(text_in=15, text_out=2)
    True
    """

    text_in: int = 0
    audio_in: int = 0
    image_in: int = 0
    cached_text_in: int = 0
    cached_audio_in: int = 0
    cached_image_in: int = 0
    text_out: int = 0
    audio_out: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that are not valid.

        Raises:
            ConfigurationError: A count is negative or not an integer, or more came from the cache than there was.
        """
        _check_counts(self, [entry.name for entry in fields(self)])
        for kind in ("text_in", "audio_in", "image_in"):
            if getattr(self, f"cached_{kind}") > getattr(self, kind):
                raise ConfigurationError(f"cached_{kind} is part of {kind}, and cannot be more")

    @classmethod
    def from_wire(cls, usage: object) -> TokenUsage:
        """Return the tokens in the `usage` of a `response.done`. It never raises: a count that is missing or bad is 0.

        If the details do not explain a total, the rest is attributed so that the cost is too high rather than too low:

        - tokens without a kind, in or out, are audio, the most expensive kind and most of a phone call;
        - tokens from the cache without a kind are text, then images, then audio: a prompt is cached from its beginning,
          which has the instructions, and a cached text token saves least;
        - if there is only a total, what is not output is input, because the whole conversation is the input.

        If more of a kind came from the cache than there was, the cached count is cut. If details add up to more than
        their total, the details count.

        >>> TokenUsage.from_wire({"total_tokens": 25, "output_token_details": {"text_tokens": 5}})
        TokenUsage(text_in=0, audio_in=20, image_in=0, ..., text_out=5, audio_out=0)
        """
        told = _object(usage)
        details, made = _object(told.get("input_token_details")), _object(told.get("output_token_details"))
        of_cache = _object(details.get("cached_tokens_details"))
        given = {kind: _count(details.get(f"{kind}_tokens")) or 0 for kind in ("text", "image", "audio")}
        text_out, audio_out = _count(made.get("text_tokens")) or 0, _count(made.get("audio_tokens")) or 0
        inputs, outputs = _count(told.get("input_tokens")), _count(told.get("output_tokens"))
        total = _count(told.get("total_tokens")) or 0
        no_inputs = inputs is None and not any(given.values())
        no_outputs = outputs is None and not (text_out or audio_out)
        all_in, all_out = max(inputs or 0, sum(given.values())), max(outputs or 0, text_out + audio_out)
        if no_inputs:
            all_in = max(total - all_out, 0)
        elif no_outputs:
            all_out = max(total - all_in, 0)
        given["audio"] += all_in - sum(given.values())
        told_cached = {kind: _count(of_cache.get(f"{kind}_tokens")) or 0 for kind in given}
        cached = {kind: min(told_cached[kind], given[kind]) for kind in given}
        rest = max((_count(details.get("cached_tokens")) or 0) - sum(told_cached.values()), 0)
        for kind in given:
            more = min(rest, given[kind] - cached[kind])
            cached[kind] += more
            rest -= more
        return cls(
            text_in=given["text"],
            audio_in=given["audio"],
            image_in=given["image"],
            cached_text_in=cached["text"],
            cached_audio_in=cached["audio"],
            cached_image_in=cached["image"],
            text_out=text_out,
            audio_out=all_out - text_out,
        )

    @property
    def total(self) -> int:
        """All tokens, in and out."""
        return self.text_in + self.audio_in + self.image_in + self.text_out + self.audio_out

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(**{e.name: getattr(self, e.name) + getattr(other, e.name) for e in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionUsage:
    """What one transcription model used. The model is billed by time or by tokens.

    Attributes:
        model: The transcription model, or None if it is not known.
        seconds: Seconds of audio, if the model is billed by time.
        text_in: Tokens of the prompt.
        audio_in: Tokens of what the caller said.
        text_out: Tokens of the transcript.
    """

    model: str | None
    seconds: Decimal = Decimal(0)
    text_in: int = 0
    audio_in: int = 0
    text_out: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that are not valid.

        Raises:
            ConfigurationError: A count is negative or not an integer, or the seconds are negative or not a Decimal.
        """
        _check_counts(self, ["text_in", "audio_in", "text_out"])
        check_amount(self, "seconds")

    @classmethod
    def from_wire(cls, usage: object, *, model: str | None) -> TranscriptionUsage:
        """Return what the `usage` of a completed transcription says. It never raises: a bad value counts as 0.

        Input tokens without a kind are audio. Usage that is neither `duration` nor `tokens` counts as 0. Seconds are
        taken to the microsecond.

        >>> TranscriptionUsage.from_wire({"type": "duration", "seconds": 3}, model="gpt-realtime-whisper").seconds
        Decimal('3')
        """
        told = _object(usage)
        if told.get("type") == "duration":
            return cls(model=model, seconds=_seconds(told.get("seconds")))
        if told.get("type") != "tokens":
            return cls(model=model)
        details = _object(told.get("input_token_details"))
        text_in, audio_in = _count(details.get("text_tokens")) or 0, _count(details.get("audio_tokens")) or 0
        inputs, outputs = _count(told.get("input_tokens")), _count(told.get("output_tokens")) or 0
        if inputs is None and not (text_in or audio_in):
            inputs = max((_count(told.get("total_tokens")) or 0) - outputs, 0)
        audio_in = max((inputs or 0) - text_in, audio_in)
        return cls(model=model, text_in=text_in, audio_in=audio_in, text_out=outputs)

    @property
    def total(self) -> int:
        """All tokens, in and out."""
        return self.text_in + self.audio_in + self.text_out

    def __add__(self, other: TranscriptionUsage) -> TranscriptionUsage:
        """Return what both used.

        Raises:
            ConfigurationError: They are of different models, which have different prices.
        """
        if self.model != other.model:
            raise ConfigurationError("the usage of different transcription models cannot be added")
        with exactly():
            seconds = self.seconds + other.seconds
        return TranscriptionUsage(
            model=self.model,
            seconds=seconds,
            text_in=self.text_in + other.text_in,
            audio_in=self.audio_in + other.audio_in,
            text_out=self.text_out + other.text_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call used.

    Attributes:
        tokens: The realtime model's tokens, over all responses. Each has the whole conversation as its input.
        responses: The number of responses, canceled and failed ones included.
        transcription: The usage of each transcription model.
        complete: False if more was used than this says: it is then a lower bound.
    """

    tokens: TokenUsage = field(default_factory=TokenUsage)
    responses: int = 0
    transcription: tuple[TranscriptionUsage, ...] = ()
    complete: bool = True


def exactly() -> AbstractContextManager[Context]:
    """Calculate exactly, whatever precision and traps the program has set."""
    return localcontext(Context(prec=40, traps=[InvalidOperation, DivisionByZero, Overflow]))


def _check_counts(value: object, names: list[str]) -> None:
    for name in names:
        count = getattr(value, name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ConfigurationError(f"{name} must be a number of tokens that is not negative")


def check_amount(value: object, name: str, *, optional: bool = False) -> None:
    amount = getattr(value, name)
    if optional and amount is None:
        return
    if not (isinstance(amount, Decimal) and amount.is_finite() and amount >= 0):
        raise ConfigurationError(f"{name} must be a Decimal that is finite and not negative{' or None' * optional}")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    return None


def _seconds(value: object) -> Decimal:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MOST_SECONDS:
        return Decimal(0)
    return Decimal(str(round(value, 6)))
