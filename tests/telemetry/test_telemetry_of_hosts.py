"""What telemetry tells about the calls of a host, by OpenTelemetry's own SDK. On virtual time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry import metrics, trace

from phone import greet, outputs, phone, virtual
from realtime_sip import CallHost, Tools
from realtime_sip.errors import ConfigurationError
from realtime_sip.telemetry import Telemetry
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays
from seen import Seen, attributes, id_of, parent_of

HELLO = (ModelSays("Good morning."), CallerHangsUp())


@virtual
async def test_a_call_is_one_trace_with_its_webhook_and_how_it_ended() -> None:
    seen = Seen()
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=seen.telemetry)
        ended, ringing = await line.played(*HELLO, talk=greet)
    call, webhook = seen.one("realtime_sip.call"), seen.one("realtime_sip.webhook")
    assert call.parent is None
    assert call.kind is trace.SpanKind.CONSUMER
    assert attributes(call)["gen_ai.conversation.id"] == ringing.call_id
    assert attributes(call)["realtime_sip.end.reason"] == "caller"
    assert attributes(call)["realtime_sip.end.certainty"] == ended.certainty
    assert parent_of(webhook) == id_of(call)
    assert attributes(webhook)["realtime_sip.webhook.result"] == "started"
    assert len({span.context.trace_id for span in seen.spans if span.context}) == 1
    assert seen.points("realtime_sip.calls.live") == [({}, 0)]
    how = {"realtime_sip.end.reason": "caller", "realtime_sip.end.certainty": ended.certainty}
    assert seen.points("realtime_sip.calls.ended") == [(how, 1)]
    assert seen.points("realtime_sip.webhooks") == [({"realtime_sip.webhook.result": "started"}, 1)]
    [(_, (count, _))] = seen.points("realtime_sip.webhook.age")
    assert count == 1


@virtual
async def test_its_trace_goes_on_from_the_webhooks_headers_and_is_linked_to_the_requests_span() -> None:
    seen = Seen()
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=seen.telemetry)

        class Framework:
            """Makes a span for each request, as FastAPI does."""

            async def submit(self, incoming: Any) -> None:
                incoming._note_trace({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
                with seen.tracer_provider.get_tracer("framework").start_as_current_span("POST /openai") as span:
                    self.span = span.get_span_context()
                    await line.host.submit(incoming)

        framework = Framework()
        ringing = await line.openai.ring(framework, scenario=[CallerHangsUp()])
        await ringing.ended()
        await line.idle()
    call = seen.one("realtime_sip.call")
    assert call.parent is not None
    assert call.parent.span_id == int("b" * 16, 16)
    assert [link.context for link in call.links] == [framework.span]


@virtual
async def test_a_call_that_is_turned_away_has_a_trace_and_was_never_live() -> None:
    seen = Seen()
    async with phone(strict=False) as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=seen.telemetry)
        await line.host.drain(0)
        ringing = await line.openai.ring(line.host)
        await ringing.ended()
        await line.idle()
    assert attributes(seen.one("realtime_sip.webhook"))["realtime_sip.webhook.result"] == "draining"
    assert attributes(seen.one("realtime_sip.call"))["realtime_sip.end.reason"] == "rejected"
    assert seen.points("realtime_sip.calls.live") == []


def test_orphans_and_takeovers_are_counted_by_a_host() -> None:
    seen = Seen()
    seen.telemetry.orphans(3)
    seen.telemetry.takeover()
    assert seen.points("realtime_sip.orphans") == [({}, 3)]
    assert seen.points("realtime_sip.takeovers") == [({}, 1)]


class BrokenSpan(trace.NonRecordingSpan):
    """Raises whatever is done with it."""

    def set_attribute(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    set_attributes = set_status = end = set_attribute


class Broken(trace.TracerProvider):
    """A provider that raises: when a span begins, or whatever is done with it afterwards."""

    def __init__(self, *, late: bool) -> None:
        self._late = late

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        late = self._late

        class Tracer:
            """Makes broken spans, or none."""

            def start_span(self, *args: Any, **kwargs: Any) -> Any:
                if late:
                    return BrokenSpan(trace.INVALID_SPAN_CONTEXT)
                raise RuntimeError("the exporter is broken")

        return Tracer()


class BrokenMeters(metrics.NoOpMeterProvider):
    """A provider whose instruments raise."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Any:
        class Meter:
            """Makes broken instruments."""

            def make(self, *args: Any, **kwargs: Any) -> Any:
                class Instrument:
                    """Counts nothing."""

                    def add(self, *args: Any, **kwargs: Any) -> None:
                        raise RuntimeError

                    record = add

                return Instrument()

            create_counter = create_up_down_counter = create_histogram = make

        return Meter()


@pytest.mark.parametrize(
    "telemetry",
    [
        Telemetry(Broken(late=False), metrics.NoOpMeterProvider()),
        Telemetry(Broken(late=True), metrics.NoOpMeterProvider()),
        Telemetry(trace.NoOpTracerProvider(), BrokenMeters()),
        Telemetry(Broken(late=True), BrokenMeters()),
    ],
    ids=["no span", "spans", "instruments", "all"],
)
def test_law_no_call_is_hurt_by_what_a_provider_raises(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            line.host = CallHost(line.on_call, client=line.client, telemetry=telemetry)
            steps = (ModelSays("Good morning."), CallerSays("Hello?"), ModelCalls("look"), ModelSays("Yes."))
            ended, ringing = await line.played(*steps, CallerHangsUp(), talk=greet, tools=Tools([look]))
        assert ended.reason.value == "caller"
        assert outputs(ringing) == ["seen"]

    run()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def look() -> str:
    """Look."""
    return "seen"


@virtual
async def test_telemetry_is_one() -> None:
    async with phone() as line:
        with pytest.raises(ConfigurationError, match="telemetry must be a Telemetry"):
            CallHost(line.on_call, client=line.client, telemetry=logging)  # type: ignore[arg-type]
