"""What usage costs: prices by model, with their date.

Usage without a price has no known cost: the cost is then None, never 0.

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
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from typing import Any

from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError
from realtime_sip.usage import TokenUsage, TranscriptionUsage, Usage, check_amount, exactly

_MILLION = 1_000_000
_SNAPSHOT = re.compile(r"-20[0-9]{2}-[01][0-9]-[0-3][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRates:
    """What a realtime model costs, in USD for a million tokens. A `cached` price replaces the full price.

    An image price may be None: then the cost of a call with images is not known. `residency` is what the prices are
    multiplied by at hosts with data residency; with None the model has no known price there.
    """

    text_in: Decimal
    cached_text_in: Decimal
    text_out: Decimal
    audio_in: Decimal
    cached_audio_in: Decimal
    audio_out: Decimal
    image_in: Decimal | None = None
    cached_image_in: Decimal | None = None
    residency: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse prices that are not valid.

        Raises:
            ConfigurationError: A price is negative, not finite, or not a Decimal.
        """
        for entry in fields(self):
            check_amount(self, entry.name, optional="image" in entry.name or entry.name == "residency")

    def cost(self, tokens: TokenUsage) -> Decimal | None:
        """Return what these tokens cost in USD, or None if some of them have no price."""
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
    """What a transcription model costs in USD: for a minute, or for a million tokens. None is unknown, not 0.

    `residency` is what the prices are multiplied by at hosts with data residency.
    """

    per_minute: Decimal | None = None
    text_in: Decimal | None = None
    audio_in: Decimal | None = None
    text_out: Decimal | None = None
    residency: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse prices that are not valid.

        Raises:
            ConfigurationError: There is no price at all, or one is negative, not finite, or not a Decimal.
        """
        for entry in fields(self):
            check_amount(self, entry.name, optional=True)
        if all(getattr(self, entry.name) is None for entry in fields(self) if entry.name != "residency"):
            raise ConfigurationError("transcription rates need a price: per_minute, or one of the prices of tokens")

    def cost(self, used: TranscriptionUsage) -> Decimal | None:
        """Return what this usage costs in USD, or None if some of it has no price.

        A second is a sixtieth of a minute, to 40 digits.
        """
        tokens = _priced((used.text_in, self.text_in), (used.audio_in, self.audio_in), (used.text_out, self.text_out))
        if not used.seconds:
            return tokens
        if tokens is None or self.per_minute is None:
            return None
        with exactly():
            return tokens + used.seconds * self.per_minute / 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RateCard:
    """Prices by model, as they were on one day. Prices change: compare the card with your bill, and make your own.

    A dated snapshot, such as gpt-realtime-2.1-2026-05-01, costs what its model costs, unless the card has it by name.

    >>> whisper = TranscriptionRates(per_minute=Decimal("0.006"))
    >>> card = RateCard.published().with_rates({"whisper-1": whisper})
    >>> card.has_price("gpt-realtime-2.1-2026-05-01", transcription_model="whisper-1"), card.has_price(None)
    (True, False)

    Attributes:
        as_of: The day on which the prices were valid, as far as their source says.
        source: Where the prices come from.
        rates: Model -> its prices.
    """

    as_of: date
    source: str
    rates: Mapping[str, ModelRates | TranscriptionRates] = field(hash=False)

    def __post_init__(self) -> None:
        """Keep a copy of the prices, and refuse any that is not valid.

        Raises:
            ConfigurationError: `rates` is not a mapping from models to their prices.
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

        The prices of current models come from their model pages, in copies of 2026. That of gpt-realtime is its launch
        price, not verified since. Without a price are gpt-realtime-mini, the previews of gpt-4o, and transcription by
        gpt-transcribe, whisper-1 and gpt-4o. At hosts with data residency, models released since 2026-03-05 cost a
        tenth more (data controls guide, autumn 2026): gpt-realtime-2 and later. When the transcription models were
        released is not known, so they have no price there. Azure bills by a list of its own.
        """
        return cls(
            as_of=date(2026, 11, 1),
            source="OpenAI's model pages, in copies of 2026; gpt-realtime by its launch pricing, not verified since",
            rates=dict(_PUBLISHED),
        )

    def with_rates(self, rates: Mapping[str, ModelRates | TranscriptionRates]) -> RateCard:
        """Return a card with these prices too. They replace the prices of models that this card has already.

        `as_of` and `source` stay; `dataclasses.replace` changes them.

        Raises:
            ConfigurationError: `rates` is not a mapping from models to their prices.
        """
        added: Any = rates
        if not isinstance(added, Mapping):
            raise ConfigurationError("rates must map models to ModelRates or TranscriptionRates")
        return replace(self, rates={**self.rates, **added})

    def at(self, endpoints: Endpoints) -> RateCard:
        """Return the card of a host. At one with data residency, some models cost more, and others have no known price.

        >>> card = RateCard.published().at(Endpoints.EU)
        >>> card.has_price("gpt-realtime-2.1"), card.has_price(None, transcription_model="gpt-live-transcribe")
        (True, False)
        """
        if not endpoints.has_residency:
            return self
        rates = {model: _at_residency(rates) for model, rates in self.rates.items() if rates.residency is not None}
        return replace(self, source=f"{self.source}; at hosts with data residency", rates=rates)

    def of_model(self, model: str | None) -> ModelRates | None:
        """Return the prices of a realtime model or of its dated snapshot, or None if they are not known."""
        found = self._find(model)
        return found if isinstance(found, ModelRates) else None

    def of_transcription(self, model: str | None) -> TranscriptionRates | None:
        """Return the prices of a transcription model or of its dated snapshot, or None if they are not known."""
        found = self._find(model)
        return found if isinstance(found, TranscriptionRates) else None

    def _find(self, model: str | None) -> ModelRates | TranscriptionRates | None:
        if model is None or model in self.rates:
            return self.rates.get(model or "")
        known, snapshot = model[:-11], model[-11:]
        return self.rates.get(known) if _SNAPSHOT.fullmatch(snapshot) else None

    def has_price(self, model: str | None, *, transcription_model: str | None = None) -> bool:
        """Return whether the cost of a call with these models can be known, and so limited.

        `model` is None if it is not known yet: then it has no price. `transcription_model` is None for no
        transcription.
        """
        transcribed = transcription_model is None or self.of_transcription(transcription_model) is not None
        return self.of_model(model) is not None and transcribed

    def cost(self, usage: Usage, *, model: str | None) -> Decimal | None:
        """Return what the usage costs in USD, exactly; None if the model, or a part that was used, has no price.

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
            with exactly():
                total += part
        return total


def _published() -> dict[str, ModelRates | TranscriptionRates]:
    usd = Decimal
    text, audio, image = (
        {"text_in": usd(4), "cached_text_in": usd("0.40")},
        {"audio_in": usd(32), "cached_audio_in": usd("0.40"), "audio_out": usd(64)},
        {"image_in": usd(5), "cached_image_in": usd("0.50")},
    )
    since, earlier = usd("1.1"), usd(1)
    reasoning = ModelRates(**text, text_out=usd(24), **audio, **image, residency=since)
    before = ModelRates(**text, text_out=usd(16), **audio, **image, residency=earlier)
    mini = ModelRates(
        text_in=usd("0.60"),
        cached_text_in=usd("0.06"),
        text_out=usd("2.40"),
        audio_in=usd(10),
        cached_audio_in=usd("0.30"),
        audio_out=usd(20),
        image_in=usd("0.80"),
        cached_image_in=usd("0.08"),
        residency=since,
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


def _at_residency(rates: ModelRates | TranscriptionRates) -> ModelRates | TranscriptionRates:
    """Return the rates at hosts with data residency, for which the factor is known. Once is enough: it is 1 then."""
    factor, one = rates.residency or Decimal(0), Decimal(1)
    with exactly():
        prices = {
            entry.name: price * factor
            for entry in fields(rates)
            if entry.name != "residency" and (price := getattr(rates, entry.name)) is not None
        }
    return replace(rates, **prices, residency=one)


def _priced(*parts: tuple[int, Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    with exactly():
        for tokens, price in parts:
            if not tokens:
                continue
            if price is None:
                return None
            total += tokens * price
        return total / _MILLION


_PUBLISHED = _published()
