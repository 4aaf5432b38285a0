"""What the program of the page sends over OTLP, received on a socket and decoded with the protocol's own package."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from phone import greet, phone
from realtime_sip import CallHost
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelSays, run_virtual

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text()


class Collector:
    """What a collector has received, by the path of its signal."""

    def __init__(self, url: str, bodies: dict[str, list[bytes]]) -> None:
        self.url = url
        self._bodies = bodies

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self._bodies.get("/v1/traces", [])]
        scopes = [scope for each in requests for resource in each.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes if scope.scope.name == "realtime_sip" for span in scope.spans]

    def metrics(self) -> dict[str, Any]:
        requests = [ExportMetricsServiceRequest.FromString(body) for body in self._bodies.get("/v1/metrics", [])]
        scopes = [scope for each in requests for resource in each.resource_metrics for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}


@contextmanager
def collector() -> Iterator[Collector]:
    bodies: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        """Takes everything."""

        def do_POST(self) -> None:
            bodies.setdefault(self.path, []).append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_address[1]}", bodies)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_program_of_the_page_sends_traces_and_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    given: dict[str, Any] = {}
    # The global providers can be set once in a process, which has other tests.
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: given.update(tracer=provider))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: given["tracer"])
    monkeypatch.setattr(metrics, "set_meter_provider", lambda provider: given.update(meter=provider))
    monkeypatch.setattr(metrics._internal, "get_meter_provider", lambda: given["meter"])

    async def call() -> str:
        async with phone() as line:
            namespace: dict[str, Any] = {"on_call": line.on_call, "client": line.client}
            exec(program, namespace)
            host: CallHost = namespace["host"]
            line.host = host
            steps = (ModelSays("Good morning."), CallerSays("Thanks."), ModelSays("Goodbye."), CallerHangsUp())
            _, ringing = await line.played(*steps, talk=greet)
            return ringing.call_id

    with collector() as collected:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.url)
        call_id = run_virtual(call())
        given["tracer"].shutdown()
        given["meter"].shutdown()
    spans = {span.name: span for span in collected.spans()}
    [root] = [span for span in spans.values() if span.name == "realtime_sip.call"]
    told = {each.key: each.value.string_value for each in root.attributes}
    assert told["gen_ai.conversation.id"] == call_id
    assert told["realtime_sip.end.reason"] == "caller"
    assert {span.trace_id for span in spans.values()} == {root.trace_id}
    assert {span.name for span in spans.values() if span.parent_span_id == root.span_id} == {
        *("realtime_sip.webhook", "realtime_sip.accept", "realtime_sip.attach", "realtime_sip.turn"),
        "realtime_sip.end",
    }
    sent = collected.metrics()
    assert sent["realtime_sip.calls.ended"].unit == "{call}"
    assert [point.as_int for point in sent["realtime_sip.calls.ended"].sum.data_points] == [1]
    assert sent["realtime_sip.turn.wait"].unit == "s"
    [waited] = sent["realtime_sip.turn.wait"].histogram.data_points
    assert (waited.count, [*waited.explicit_bounds][:2]) == (1, [0.01, 0.02])
