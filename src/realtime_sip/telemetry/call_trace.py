"""The trace of one call: a span for the call, and below it one for each thing that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from realtime_sip.outcomes import CallEnded
from realtime_sip.telemetry.harmless import failed, harmless
from realtime_sip.telemetry.instruments import Instruments
from realtime_sip.webhooks import IncomingCall

_PROPAGATOR = TraceContextTextMapPropagator()

Value = str | bool | int | float


class CallTrace:
    """What is told about one call, from its webhook to its end. Nothing here raises.

    Args:
        tracer: Makes the spans.
        instruments: Count.
        incoming: The call.
        clock: Returns Unix seconds.
        arrived: Unix seconds at which the webhook arrived.
        webhook: The span of the webhook's request, which ends with it; the call's is linked to it.
        adopted: Whether another worker had the call before.
    """

    def __init__(
        self,
        tracer: Tracer,
        instruments: Instruments,
        incoming: IncomingCall,
        *,
        clock: Callable[[], float],
        arrived: float,
        webhook: SpanContext | None,
        adopted: bool = False,
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._clock = clock
        self._is_live = False
        self._is_over = False
        self._call = self._begin(
            "realtime_sip.call",
            arrived,
            parent=_PROPAGATOR.extract(incoming.trace_context, context.Context()),
            kind=SpanKind.CONSUMER,
            links=[] if webhook is None else [trace.Link(webhook)],
            attributes={
                "gen_ai.conversation.id": incoming.call_id,
                "realtime_sip.channel": incoming.channel,
                "realtime_sip.call.adopted": adopted,
            },
        )
        self._below = trace.set_span_in_context(self._call, context.Context())
        self._webhook = self._begin("realtime_sip.webhook", arrived)
        age = incoming.age(arrived)
        if age is not None:
            self._webhook.set_attribute("realtime_sip.webhook.age", age)

    @property
    def carrier(self) -> dict[str, str]:
        """What a worker needs that takes the call over, so that its spans belong to the same trace."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._below)
        return carrier

    def _begin(
        self,
        name: str,
        at: float,
        *,
        parent: context.Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: list[trace.Link] | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        parent = self._below if parent is None else parent
        return self._tracer.start_span(
            name,
            parent,
            kind=kind,
            links=links,
            attributes=attributes,
            start_time=_nanoseconds(at),
            record_exception=False,
            set_status_on_exception=False,
        )

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the call's span the current one: what the handler does is below it."""
        token = None
        try:
            if not self._is_live:
                self._is_live = True
                self._instruments.add("realtime_sip.calls.live", 1)
            token = context.attach(trace.set_span_in_context(self._call))
        except Exception as error:  # noqa: BLE001 - no call ends because of whoever watches it
            failed("CallTrace.current", error)
        try:
            yield
        finally:
            if token is not None:
                context.detach(token)

    @harmless
    def webhook_answered(self, result: str) -> None:
        """Record that the webhook can be answered, and what became of it. Only the first time counts."""
        if self._webhook.is_recording():
            self._webhook.set_attribute("realtime_sip.webhook.result", result)
            self._webhook.end(_nanoseconds(self._clock()))

    @harmless
    def ended(self, ended: CallEnded) -> None:
        """Record how the call ended. Only the first time counts."""
        if self._is_over:
            return
        self._is_over = True
        how = {"realtime_sip.end.reason": ended.reason.value, "realtime_sip.end.certainty": ended.certainty}
        if ended.limit is not None:
            how["realtime_sip.end.limit"] = ended.limit.value
        self._instruments.add("realtime_sip.calls.ended", 1, how)
        if self._is_live:
            self._instruments.add("realtime_sip.calls.live", -1)
        if ended.attached_at is not None:
            self._instruments.record("realtime_sip.call.duration", ended.ended_at - ended.attached_at, how)
        now = _nanoseconds(self._clock())
        self._call.set_attributes(how)
        self._call.end(now)


def _nanoseconds(unix: float) -> int:
    return int(unix * 1e9)
