"""What OpenTelemetry's own SDK has seen: the spans that ended, and the metrics."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime_sip.telemetry import Telemetry


class Seen:
    """A telemetry, and what came of it."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self._metrics = InMemoryMetricReader()
        self.telemetry = Telemetry(self.tracer_provider, MeterProvider(metric_readers=[self._metrics]))

    @property
    def spans(self) -> list[ReadableSpan]:
        """Ours, in the order in which they began."""
        ended = [span for span in self._spans.get_finished_spans() if scope(span) == "realtime_sip"]
        return sorted(ended, key=lambda span: (span.start_time or 0, span.name))

    @property
    def foreign(self) -> list[ReadableSpan]:
        """Those of others."""
        return [span for span in self._spans.get_finished_spans() if scope(span) != "realtime_sip"]

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def all_of(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.all_of(name)
        return found

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Return each point of a metric: its attributes, and its sum or (count, sum)."""
        data = self._metrics.get_metrics_data()
        found: list[tuple[dict[str, Any], Any]] = []
        for resource in [] if data is None else data.resource_metrics:
            for metric in [each for scoped in resource.scope_metrics for each in scoped.metrics if each.name == name]:
                for point in metric.data.data_points:
                    value = getattr(point, "value", None)
                    counted = value if value is not None else (getattr(point, "count"), getattr(point, "sum"))  # noqa: B009
                    found.append((dict(point.attributes or {}), counted))
        return found

    def metric_names(self) -> set[str]:
        data = self._metrics.get_metrics_data()
        scopes = [] if data is None else [each for resource in data.resource_metrics for each in resource.scope_metrics]
        return {metric.name for each in scopes for metric in each.metrics}


def scope(span: ReadableSpan) -> str:
    return "" if span.instrumentation_scope is None else span.instrumentation_scope.name


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def tree(spans: list[ReadableSpan]) -> list[str]:
    """Return the names of spans, each below its parent, in the order in which they began."""
    lines: list[str] = []

    def add(parent: int | None, depth: int) -> None:
        for span in spans:
            if parent_of(span) == parent:
                lines.append("  " * depth + span.name.removeprefix("realtime_sip."))
                add(id_of(span), depth + 1)

    add(None, 0)
    return lines
