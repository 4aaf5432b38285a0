"""FastAPI makes the span of a request by itself: the call's is linked to it, and goes on from the same headers."""

from __future__ import annotations

import json

import fastapi
import httpx
import pytest
from opentelemetry import trace

from phone import phone, virtual
from realtime_sip import CallHost, IncomingCall
from realtime_sip.integrations.fastapi import openai_webhook
from realtime_sip.testing import CallerHangsUp
from seen import Seen, attributes, id_of, parent_of

TRACE, PARENT = "a" * 32, "b" * 16

if tuple(int(part) for part in fastapi.__version__.split(".")[:2]) < (0, 142):
    pytest.skip("FastAPI makes spans since 0.142", allow_module_level=True)


class OverHttp:
    """Passes an announcement on as a signed request to an application."""

    def __init__(self, app: fastapi.FastAPI, host: CallHost, headers: dict[str, str]) -> None:
        self._app, self._host, self._headers = app, host, headers

    async def submit(self, incoming: IncomingCall) -> int:
        body = json.dumps(incoming.to_wire())
        signed = self._host.client.webhooks.sign(body, id="wh_1", timestamp=incoming.webhook_timestamp or 0)
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            reply = await http.post("/openai/webhook", content=body, headers={**signed, **self._headers})
        return reply.status_code


async def called(seen: Seen, headers: dict[str, str]) -> None:
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, telemetry=seen.telemetry)
        app = fastapi.FastAPI(
            lifespan=line.host.lifespan,
            telemetry={"tracer_provider": seen.tracer_provider, "metrics": False, "logs": False},
        )
        app.include_router(openai_webhook(line.host))
        ringing = await line.openai.ring(OverHttp(app, line.host, headers), scenario=[CallerHangsUp()])
        await ringing.ended()
        await line.idle()
        assert ringing.submissions == [200]


@virtual
async def test_the_call_is_linked_to_the_request_and_both_go_on_from_its_traceparent() -> None:
    seen = Seen()
    await called(seen, {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"})
    [request] = [span for span in seen.foreign if span.kind is trace.SpanKind.SERVER]
    call = seen.one("realtime_sip.call")
    assert [link.context for link in call.links] == [request.get_span_context()]
    assert parent_of(call) == parent_of(request) == int(PARENT, 16)
    assert {span.context.trace_id for span in (call, request) if span.context} == {int(TRACE, 16)}
    assert not [span for span in seen.spans if span.kind is trace.SpanKind.SERVER]
    assert id_of(request) not in {parent_of(span) for span in seen.spans}
    assert attributes(seen.one("realtime_sip.webhook"))["realtime_sip.webhook.result"] == "started"


@virtual
async def test_without_one_the_call_has_a_trace_of_its_own_with_the_link() -> None:
    seen = Seen()
    await called(seen, {})
    [request] = [span for span in seen.foreign if span.kind is trace.SpanKind.SERVER]
    call = seen.one("realtime_sip.call")
    assert call.parent is None
    assert [link.context for link in call.links] == [request.get_span_context()]


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "0" * 5000])
@virtual
async def test_a_traceparent_that_is_not_valid_counts_for_nothing(traceparent: str) -> None:
    seen = Seen()
    await called(seen, {"traceparent": traceparent})
    assert seen.one("realtime_sip.call").parent is None
