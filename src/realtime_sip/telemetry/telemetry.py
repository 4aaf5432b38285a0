"""`Telemetry`: what a host is given, so that its calls are watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanContext, TracerProvider

from realtime_sip.telemetry.call_trace import CallTrace
from realtime_sip.telemetry.harmless import failed, harmless
from realtime_sip.telemetry.instruments import Instruments
from realtime_sip.webhooks import IncomingCall

_SCOPE = "realtime_sip"


class Telemetry:
    """Traces and metrics of calls, over OpenTelemetry (extra `otel`): `CallHost(…, telemetry=Telemetry())`.

    One trace a call, and the metrics of `docs/telemetry.md`. They have the call's id, and no number, no words and no
    arguments. What a provider or an exporter raises is logged once, and never reaches a call.

    Args:
        tracer_provider: Makes the spans; the global one if left out.
        meter_provider: Makes the metrics; the global one if left out.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        release = version("realtime-sip")
        self._tracer = trace.get_tracer(_SCOPE, release, tracer_provider)
        self._instruments = Instruments(metrics.get_meter(_SCOPE, release, meter_provider))

    def took(
        self,
        incoming: IncomingCall,
        *,
        arrived: float,
        clock: Callable[[], float],
        webhook: SpanContext | None = None,
        adopted: bool = False,
    ) -> CallTrace | None:
        """Begin the trace of a call that a host took, or turns away. None if that failed.

        Args:
            incoming: The call.
            arrived: Unix seconds at which its webhook arrived.
            clock: Returns Unix seconds.
            webhook: The span of the webhook's request, to which the call's is linked.
            adopted: Whether another worker had the call before.
        """
        try:
            return CallTrace(
                self._tracer,
                self._instruments,
                incoming,
                clock=clock,
                arrived=arrived,
                webhook=webhook,
                adopted=adopted,
            )
        except Exception as error:  # noqa: BLE001 - no call ends because of whoever watches it
            failed("Telemetry.took", error)
            return None

    @contextmanager
    def call(self, incoming: IncomingCall) -> Iterator[None]:
        """Watch a call that is answered without a host: enter it around `client.calls.answer`.

        The call has a trace of its own, linked to the span that is current; a host does all this by itself.
        """
        around = trace.get_current_span().get_span_context()
        webhook = around if around.is_valid else None
        call = self.took(incoming, arrived=time.time(), clock=lambda: time.time(), webhook=webhook)
        if call is None:
            yield
            return
        try:
            with call.current():
                yield
        finally:
            call.ended(call.finished)

    @harmless
    def webhook(self, result: str, age: float | None) -> None:
        """Count a webhook, by what became of it; `age` is in seconds, if it is known."""
        self._instruments.add("realtime_sip.webhooks", 1, {"realtime_sip.webhook.result": result})
        if age is not None:
            self._instruments.record("realtime_sip.webhook.age", age)

    @harmless
    def orphans(self, calls: int = 1) -> None:
        """Count calls that were found to be up with no worker serving them."""
        self._instruments.add("realtime_sip.orphans", calls)

    @harmless
    def takeover(self) -> None:
        """Count a call that was taken over from another worker."""
        self._instruments.add("realtime_sip.takeovers")
