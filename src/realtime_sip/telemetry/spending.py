"""What one call uses, as metrics: tokens as they are used, and at the end what it has cost, as the meter counts it."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_sip.call.record.meter import Meter
from realtime_sip.telemetry.instruments import Instruments
from realtime_sip.usage import TokenUsage, TranscriptionUsage

_INPUT, _OUTPUT = "input", "output"
_MODALITIES = ("text", "audio", "image")


class Spending:
    """What a call has used since it was last told."""

    def __init__(self, meter: Meter, instruments: Instruments) -> None:
        self._meter = meter
        self._instruments = instruments
        self._tokens = TokenUsage()
        self._transcription: dict[str | None, TranscriptionUsage] = {}

    def begin(self) -> None:
        """Tell nothing of what was used so far."""
        usage = self._meter.usage
        self._tokens, self._transcription = usage.tokens, {used.model: used for used in usage.transcription}

    def response(self, of: dict[str, str]) -> None:
        """Tell what a response has used, if anything was counted; `of` names the operation and its model."""
        before, now = self._tokens, self._meter.usage.tokens
        self._tokens = now
        for kind, modality, cached, more in _more(before, now):
            self._add(more, of["gen_ai.request.model"], kind, modality, cached=cached)
        for kind, total in ((_INPUT, _read), (_OUTPUT, _written)):
            used = total(now) - total(before)
            if used:
                self._instruments.record("gen_ai.client.token.usage", used, {**of, "gen_ai.token.type": kind})

    def transcription(self) -> None:
        """Tell what transcription has used."""
        for used in self._meter.usage.transcription:
            before = self._transcription.get(used.model) or TranscriptionUsage(model=used.model)
            self._transcription[used.model] = used
            model = self._instruments.models.bounded(used.model)
            self._add(used.text_in - before.text_in, model, _INPUT, "text")
            self._add(used.audio_in - before.audio_in, model, _INPUT, "audio")
            self._add(used.text_out - before.text_out, model, _OUTPUT, "text")
            if used.seconds > before.seconds:
                seconds = float(used.seconds - before.seconds)
                self._instruments.add("realtime_sip.transcription.audio", seconds, {"gen_ai.request.model": model})

    def _add(self, more: int, model: str, kind: str, modality: str, *, cached: bool = False) -> None:
        if more:
            of: dict[str, str | bool] = {
                "gen_ai.request.model": model,
                "gen_ai.token.type": kind,
                "realtime_sip.token.modality": modality,
                "realtime_sip.token.cached": cached,
            }
            self._instruments.add("realtime_sip.tokens", more, of)

    def cost(self, model: str, *, told: bool) -> float | None:
        """Return what the call has cost, in USD, and tell it if it is to be `told`; None if that is not known."""
        cost = self._meter.cost
        if cost is None:
            return None
        if cost and told:
            self._instruments.add("realtime_sip.cost", float(cost), {"gen_ai.request.model": model})
        return float(cost)


def _more(before: TokenUsage, now: TokenUsage) -> Iterator[tuple[str, str, bool, int]]:
    """Yield how many tokens of each kind came to it; those from the cache are no part of the others here."""

    def more(name: str) -> int:
        return int(getattr(now, name, 0)) - int(getattr(before, name, 0))

    for modality in _MODALITIES:
        cached = more(f"cached_{modality}_in")
        yield _INPUT, modality, True, cached
        yield _INPUT, modality, False, more(f"{modality}_in") - cached
        yield _OUTPUT, modality, False, more(f"{modality}_out")


def _read(tokens: TokenUsage) -> int:
    return tokens.text_in + tokens.audio_in + tokens.image_in


def _written(tokens: TokenUsage) -> int:
    return tokens.text_out + tokens.audio_out


def tokens_of(tokens: TokenUsage) -> dict[str, int]:
    """Return the attributes of a response's span that say what it has used, without those that are 0."""
    found = {"input_tokens": _read(tokens), "output_tokens": _written(tokens)}
    for modality in _MODALITIES:
        found[f"{modality}.input_tokens"] = getattr(tokens, f"{modality}_in")
        found[f"{modality}.output_tokens"] = getattr(tokens, f"{modality}_out", 0)
        found[f"{modality}.cache_read.input_tokens"] = getattr(tokens, f"cached_{modality}_in")
    found["cache_read.input_tokens"] = sum(found[f"{modality}.cache_read.input_tokens"] for modality in _MODALITIES)
    return {f"gen_ai.usage.{name}": count for name, count in found.items() if count}
