"""Begins and ends the spans of one call. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from realtime_sip.telemetry.harmless import failed

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[str, Value]

MAX_OPEN = 200
"""Spans of one call that are open at a time; one more ends the oldest."""


@dataclass(slots=True)
class Open:
    """A span that has begun."""

    span: Span
    at: float

    def within(self) -> context.Context:
        """Return a context for what is below it."""
        return trace.set_span_in_context(self.span, context.Context())


class Spans:
    """The spans of one call that are open, by a key of each. A key that is not open is ignored."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[str, Open] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._open

    def get(self, key: str) -> Open | None:
        """Return a span, if it is open."""
        return self._open.get(key)

    def begin(
        self,
        key: str,
        name: str,
        at: float,
        parent: context.Context,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
    ) -> Open:
        """Begin a span. One of the same key ends."""
        self.end(key, at)
        while len(self._open) >= MAX_OPEN:
            self.end(next(iter(self._open)), at)
        span = self._tracer.start_span(
            name, parent, kind=kind, links=links, attributes=dict(attributes or {}), start_time=_nanoseconds(at)
        )
        self._open[key] = Open(span, at)
        return self._open[key]

    def end(
        self, key: str, at: float, attributes: Attributes | None = None, *, error: str | None = None
    ) -> float | None:
        """End a span, and return how many seconds it took; `error` is the kind of error that it ended with."""
        was = self._open.pop(key, None)
        if was is None:
            return None
        if attributes:
            was.span.set_attributes(dict(attributes))
        if error is not None:
            was.span.set_attribute("error.type", error)
            was.span.set_status(StatusCode.ERROR)
        was.span.end(_nanoseconds(max(at, was.at)))
        return max(at - was.at, 0.0)

    def end_all(self, at: float) -> None:
        """End what is open, the latest first."""
        for key in [*reversed(self._open)]:
            self.end(key, at)


@contextmanager
def current(of: Open | None) -> Iterator[None]:
    """Make a span, if there is one, the current one."""
    token = None
    try:
        if of is not None:
            token = context.attach(trace.set_span_in_context(of.span))
    except Exception as error:  # noqa: BLE001 - no call ends because of whoever watches it
        failed("current", error)
    try:
        yield
    finally:
        if token is not None:
            context.detach(token)


def _nanoseconds(unix: float) -> int:
    return int(unix * 1e9)
