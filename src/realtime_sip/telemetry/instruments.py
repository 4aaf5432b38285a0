"""The metrics: one table of names, units and buckets, and the instruments that are made from it.

Names are those of the GenAI semantic conventions if they have one (semantic-conventions-genai, November 2026, in
development), else `realtime_sip.*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

from realtime_sip.telemetry.names import Names

Attributes: TypeAlias = Mapping[str, str | bool]

_TIMES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Seconds, as the conventions advise for operations."""
_AGES = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 300.0)
"""Seconds for which a phone rings."""
_LENGTHS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
"""Seconds for which people talk; a session ends after 3,600."""
_TOKENS = tuple(float(4**power) for power in range(14))
"""As the conventions advise."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as `docs/telemetry.md` lists it."""

    name: str
    kind: Literal["counter", "up-down counter", "histogram"]
    unit: str
    description: str
    buckets: tuple[float, ...] | None = None


METRICS = (
    Metric("realtime_sip.webhooks", "counter", "{webhook}", "Announcements of calls, by what became of each."),
    Metric("realtime_sip.webhook.age", "histogram", "s", "From an announcement to its arrival here.", _AGES),
    Metric("realtime_sip.calls.live", "up-down counter", "{call}", "Calls that a handler has."),
    Metric("realtime_sip.calls.answered", "counter", "{call}", "Calls whose sideband was attached."),
    Metric("realtime_sip.calls.ended", "counter", "{call}", "Calls that ended, by reason and certainty."),
    Metric("realtime_sip.call.duration", "histogram", "s", "From the first sideband to the end.", _LENGTHS),
    Metric("realtime_sip.call.time_to_answer", "histogram", "s", "From the webhook's arrival to the accept.", _TIMES),
    Metric("realtime_sip.call.time_to_first_word", "histogram", "s", "From the accept to the first audio.", _TIMES),
    Metric("realtime_sip.turn.wait", "histogram", "s", "From the end of the caller's turn to the answer.", _TIMES),
    Metric("realtime_sip.early_404s", "counter", "{reply}", "Replies that a call is not known yet."),
    Metric("realtime_sip.transfers", "counter", "{transfer}", "Transfers, by what became of each."),
    Metric("realtime_sip.refers.without_effect", "counter", "{refer}", "Refers that succeeded, with no sign of it."),
    Metric("realtime_sip.orphans", "counter", "{call}", "Calls found that were up with no worker serving them."),
    Metric("realtime_sip.takeovers", "counter", "{call}", "Calls taken over from another worker."),
    Metric("realtime_sip.tokens", "counter", "{token}", "Tokens by kind, those of transcription among them."),
    Metric("realtime_sip.transcription.audio", "counter", "s", "Audio transcribed by models billed by time."),
    Metric("realtime_sip.cost", "counter", "{USD}", "What calls have cost that ended, if all of it has a price."),
    Metric("gen_ai.client.operation.duration", "histogram", "s", "From a response's beginning to its end.", _TIMES),
    Metric("gen_ai.client.token.usage", "histogram", "{token}", "Tokens of a response, in and out.", _TOKENS),
    Metric("gen_ai.execute_tool.duration", "histogram", "s", "How long tools ran.", _TIMES),
)


class Instruments:
    """The instruments of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._counters: dict[str, Counter | UpDownCounter] = {}
        self._histograms: dict[str, Histogram] = {}
        self.models, self.tools, self.errors = Names(), Names(), Names()
        for metric in METRICS:
            if metric.kind == "histogram":
                self._histograms[metric.name] = meter.create_histogram(
                    metric.name,
                    unit=metric.unit,
                    description=metric.description,
                    explicit_bucket_boundaries_advisory=metric.buckets,
                )
            else:
                create = meter.create_counter if metric.kind == "counter" else meter.create_up_down_counter
                self._counters[metric.name] = create(metric.name, unit=metric.unit, description=metric.description)

    def add(self, name: str, amount: float = 1, attributes: Attributes | None = None) -> None:
        """Add to a counter."""
        self._counters[name].add(amount, attributes)

    def record(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        """Record a value in a histogram. What is negative, because clocks differ, counts as 0."""
        self._histograms[name].record(max(value, 0.0), attributes)
