"""What a call has used, and what that costs.

`TokenUsage` is what the model's responses used, `TranscriptionUsage` what writing down the caller's words did, which is
billed beside it. A `RateCard` has the prices, with their date; from both comes a cost in USD. What has no price has no
cost either: that is None, and never 0.

>>> card = RateCard.published()
>>> used = Usage(tokens=TokenUsage(text_in=1000, audio_in=500, cached_text_in=600, text_out=50, audio_out=200))
>>> print(card.cost(used, model="gpt-realtime-2.1-mini"))
0.009396
>>> print(card.cost(used, model="gpt-realtime-9"))
None
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Any

from realtime_sip.errors import ConfigurationError

__all__ = ["ModelRates", "RateCard", "TokenUsage", "TranscriptionRates", "TranscriptionUsage", "Usage"]

_MOST_TOKENS = 1_000_000
"""Of one kind in one event; a context has 128,000 (model pages, 2026). What is beyond is no count."""
_MOST_SECONDS = 86_400
_MILLION = 1_000_000
_SNAPSHOT = re.compile(r"-20[0-9]{2}-[01][0-9]-[0-3][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens by kind. Those from the cache are part of the input, not beside it.

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
        """Refuse what is no count.

        Raises:
            ConfigurationError: A count is negative or no integer, or more came from the cache than there was.
        """
        _check_counts(self, [entry.name for entry in fields(self)])
        for kind in ("text_in", "audio_in", "image_in"):
            if getattr(self, f"cached_{kind}") > getattr(self, kind):
                raise ConfigurationError(f"cached_{kind} is part of {kind}, and cannot be more")

    @classmethod
    def from_wire(cls, usage: object) -> TokenUsage:
        """Return the tokens in the `usage` of a `response.done`. It never raises: what is missing or no count is 0.

        Where the details do not explain a total, the rest is attributed so that the cost is rather too high:

        - tokens without a kind, in or out, are audio, the dearest kind, and most of a phone call;
        - tokens from the cache without a kind are text, then images, then audio: a prompt is cached from its beginning,
          where the instructions are, and a cached text token saves least;
        - of a total alone, what is not output is input, for the whole conversation is the input.

        More from the cache than there was of a kind is cut to what there was. Where details add up to more than their
        total, they count.

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
        """Return the tokens of both."""
        return TokenUsage(**{e.name: getattr(self, e.name) + getattr(other, e.name) for e in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionUsage:
    """What one transcription model used. It is billed by time or by tokens, as the model has it.

    Attributes:
        model: The transcription model, or None where nobody told which.
        seconds: Of audio, where it is billed by time.
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
        """Refuse what is no count.

        Raises:
            ConfigurationError: A count is negative or no integer, or the seconds are negative or no Decimal.
        """
        _check_counts(self, ["text_in", "audio_in", "text_out"])
        _check_amount(self, "seconds")

    @classmethod
    def from_wire(cls, usage: object, *, model: str | None) -> TranscriptionUsage:
        """Return what the `usage` of a completed transcription says. It never raises: what makes no sense is 0.

        Input tokens without a kind are audio. Usage that is neither `duration` nor `tokens` is not understood, so 0.
        Seconds are taken to the microsecond.

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
            raise ConfigurationError("what different transcription models used does not add up")
        with _exactly():
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
    """What a call has used.

    Attributes:
        tokens: Of the realtime model, over all responses. Each has the whole conversation as its input.
        responses: How many responses there were, also those that were cancelled or failed.
        transcription: What the caller's words took to write down, once for each transcription model.
        complete: False where more was used than this says, so that it is a lower bound.
    """

    tokens: TokenUsage = field(default_factory=TokenUsage)
    responses: int = 0
    transcription: tuple[TranscriptionUsage, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRates:
    """What a realtime model costs, in USD for a million tokens. The `cached` ones are instead of the full price.

    An image price may be None: then a call with images in it has no cost.
    """

    text_in: Decimal
    cached_text_in: Decimal
    text_out: Decimal
    audio_in: Decimal
    cached_audio_in: Decimal
    audio_out: Decimal
    image_in: Decimal | None = None
    cached_image_in: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no price.

        Raises:
            ConfigurationError: A price is negative, not finite, or no Decimal.
        """
        for entry in fields(self):
            _check_amount(self, entry.name, optional="image" in entry.name)

    def cost(self, tokens: TokenUsage) -> Decimal | None:
        """Return what these tokens cost in USD, or None where some of them have no price."""
        return _priced(
            (tokens.text_in - tokens.cached_text_in, self.text_in),
            (tokens.cached_text_in, self.cached_text_in),
            (tokens.text_out, self.text_out),
            (tokens.audio_in - tokens.cached_audio_in, self.audio_in),
            (tokens.cached_audio_in, self.cached_audio_in),
            (tokens.audio_out, self.audio_out),
            (tokens.image_in - tokens.cached_image_in, self.image_in),
            (tokens.cached_image_in, self.cached_image_in),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRates:
    """What a transcription model costs in USD: for a minute, or for a million tokens. None is no price, not 0."""

    per_minute: Decimal | None = None
    text_in: Decimal | None = None
    audio_in: Decimal | None = None
    text_out: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse what is no price.

        Raises:
            ConfigurationError: There is no price at all, or one is negative, not finite, or no Decimal.
        """
        for entry in fields(self):
            _check_amount(self, entry.name, optional=True)
        if all(getattr(self, entry.name) is None for entry in fields(self)):
            raise ConfigurationError("transcription rates need a price: per_minute, or those of tokens")

    def cost(self, used: TranscriptionUsage) -> Decimal | None:
        """Return what that costs in USD, or None where some of it has no price.

        A second is a sixtieth of a minute, to 40 digits.
        """
        tokens = _priced((used.text_in, self.text_in), (used.audio_in, self.audio_in), (used.text_out, self.text_out))
        if not used.seconds:
            return tokens
        if tokens is None or self.per_minute is None:
            return None
        with _exactly():
            return tokens + used.seconds * self.per_minute / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """Prices by model, as they were on a day. Prices change: compare the card with your bill, and bring your own.

    A dated snapshot, such as gpt-realtime-2.1-2026-05-01, costs what its model does, unless the card has it by name.

    >>> whisper = TranscriptionRates(per_minute=Decimal("0.006"))
    >>> card = RateCard.published().with_rates({"whisper-1": whisper})
    >>> card.has_price("gpt-realtime-2.1-2026-05-01", transcription_model="whisper-1"), card.has_price(None)
    (True, False)

    Attributes:
        as_of: The day of which the prices are, as far as their source tells.
        source: Where they come from.
        rates: Model -> its prices.
    """

    as_of: date
    source: str
    rates: Mapping[str, ModelRates | TranscriptionRates] = field(hash=False)

    def __post_init__(self) -> None:
        """Keep a copy of the prices, and refuse what are none.

        Raises:
            ConfigurationError: `rates` is no mapping from models to their prices.
        """
        given: Any = self.rates
        if not isinstance(given, Mapping) or not all(
            isinstance(model, str) and isinstance(rates, (ModelRates, TranscriptionRates))
            for model, rates in given.items()
        ):
            raise ConfigurationError("rates must map models to ModelRates or TranscriptionRates")
        object.__setattr__(self, "rates", dict(given))

    @classmethod
    def published(cls) -> RateCard:
        """Return the prices that OpenAI has published, as far as they are known to this version.

        The current models' are those of their model pages, in copies of 2026. That of gpt-realtime is its launch price,
        which was not verified since. What is not here has no price: gpt-realtime-mini, the previews of gpt-4o, and
        transcription by gpt-transcribe, whisper-1 and gpt-4o.
        """
        return cls(
            as_of=date(2026, 11, 1),
            source="OpenAI's model pages, in copies of 2026; gpt-realtime by its launch pricing, not verified since",
            rates=dict(_PUBLISHED),
        )

    def with_rates(self, rates: Mapping[str, ModelRates | TranscriptionRates]) -> RateCard:
        """Return a card with these prices too; a model that is on this card costs what they say.

        `as_of` and `source` stay; `dataclasses.replace` changes them.

        Raises:
            ConfigurationError: `rates` is no mapping from models to their prices.
        """
        added: Any = rates
        if not isinstance(added, Mapping):
            raise ConfigurationError("rates must map models to ModelRates or TranscriptionRates")
        return replace(self, rates={**self.rates, **added})

    def of_model(self, model: str | None) -> ModelRates | None:
        """Return the prices of a realtime model or of its dated snapshot, or None where there are none."""
        found = self._find(model)
        return found if isinstance(found, ModelRates) else None

    def of_transcription(self, model: str | None) -> TranscriptionRates | None:
        """Return the prices of a transcription model or of its dated snapshot, or None where there are none."""
        found = self._find(model)
        return found if isinstance(found, TranscriptionRates) else None

    def _find(self, model: str | None) -> ModelRates | TranscriptionRates | None:
        if model is None or model in self.rates:
            return self.rates.get(model or "")
        known, snapshot = model[:-11], model[-11:]
        return self.rates.get(known) if _SNAPSHOT.fullmatch(snapshot) else None

    def has_price(self, model: str | None, *, transcription_model: str | None = None) -> bool:
        """Return whether a call with these models has a cost, so that it can be limited.

        None as `model` is one that is not known yet, which has no price; as `transcription_model`, no transcription.
        """
        transcribed = transcription_model is None or self.of_transcription(transcription_model) is not None
        return self.of_model(model) is not None and transcribed

    def cost(self, usage: Usage, *, model: str | None) -> Decimal | None:
        """Return what the usage costs in USD, exactly; None where the model, or a part that was used, has no price.

        With a model that has a price, a call that has used nothing yet costs 0.
        """
        rates = self.of_model(model)
        total = None if rates is None else rates.cost(usage.tokens)
        for used in usage.transcription:
            if not (used.seconds or used.total):
                continue
            of_transcription = self.of_transcription(used.model)
            part = None if of_transcription is None else of_transcription.cost(used)
            if total is None or part is None:
                return None
            with _exactly():
                total += part
        return total


def _published() -> dict[str, ModelRates | TranscriptionRates]:
    usd = Decimal
    text, audio, image = (
        {"text_in": usd(4), "cached_text_in": usd("0.40")},
        {"audio_in": usd(32), "cached_audio_in": usd("0.40"), "audio_out": usd(64)},
        {"image_in": usd(5), "cached_image_in": usd("0.50")},
    )
    reasoning = ModelRates(**text, text_out=usd(24), **audio, **image)
    before = ModelRates(**text, text_out=usd(16), **audio, **image)
    mini = ModelRates(
        text_in=usd("0.60"),
        cached_text_in=usd("0.06"),
        text_out=usd("2.40"),
        audio_in=usd(10),
        cached_audio_in=usd("0.30"),
        audio_out=usd(20),
        image_in=usd("0.80"),
        cached_image_in=usd("0.08"),
    )
    by_time = TranscriptionRates(per_minute=usd("0.017"))
    return {
        "gpt-realtime-2.1": reasoning,
        "gpt-realtime-2": reasoning,
        "gpt-realtime-2.1-mini": mini,
        "gpt-realtime-1.5": before,
        "gpt-realtime": before,
        "gpt-realtime-whisper": by_time,
        "gpt-live-transcribe": by_time,
    }


def _exactly() -> AbstractContextManager[Context]:
    """Calculate as we do, whatever precision and traps the program has set for itself."""
    return localcontext(Context(prec=40, traps=[InvalidOperation, DivisionByZero, Overflow]))


def _priced(*parts: tuple[int, Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    with _exactly():
        for tokens, price in parts:
            if not tokens:
                continue
            if price is None:
                return None
            total += tokens * price
        return total / _MILLION


def _check_counts(value: object, names: list[str]) -> None:
    for name in names:
        count = getattr(value, name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ConfigurationError(f"{name} must be a number of tokens, which is not negative")


def _check_amount(value: object, name: str, *, optional: bool = False) -> None:
    amount = getattr(value, name)
    if optional and amount is None:
        return
    if not (isinstance(amount, Decimal) and amount.is_finite() and amount >= 0):
        raise ConfigurationError(f"{name} must be a Decimal that is finite and not negative{' or None' * optional}")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int | None:
    """Return a number of tokens, or None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    return None


def _seconds(value: object) -> Decimal:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MOST_SECONDS:
        return Decimal(0)
    return Decimal(str(round(value, 6)))


_PUBLISHED = _published()
