"""What of a webhook's context reaches handlers and tools, and what is put around them. On virtual time, mostly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import asgiref.sync
import flask
import pytest

from emulated import SPEED
from phone import SESSION, Phone, phone, virtual
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession, Router, ThreadCallHost, Tools
from realtime_sip.errors import ConfigurationError
from realtime_sip.policy import CallPolicy
from realtime_sip.testing import CallerHangsUp, EndedBy, ModelCalls, ModelSays, OpenAIEmulator, RingingCall
from realtime_sip.testing.on_thread import EmulatorOnThread

tenant: ContextVar[str] = ContextVar("tenant", default="nobody's")
HELLO = ModelSays("Good morning.")
BOTH = [ModelCalls("plain"), ModelCalls("awaited"), HELLO, CallerHangsUp()]
EVERYWHERE = ["policy", "handler", "plain", "awaited", "behind"]


class Seen:
    """What is seen in each place where the program's code runs."""

    def __init__(self, line: Phone, look: Any, **options: Any) -> None:
        self.places: dict[str, Any] = {}
        self.threads: dict[str, str] = {}
        self._line, self._look = line, look
        self.tools = Tools([self.plain, self.awaited])
        line.host = CallHost(self.on_call, client=line.client, policy=CallPolicy(self.rule), **options)

    def note(self, place: str) -> None:
        self.places[place] = self._look()
        self.threads[place] = threading.current_thread().name

    def rule(self, _incoming: IncomingCall) -> None:
        self.note("policy")

    async def on_call(self, incoming: IncomingCall) -> None:
        self.note("handler")
        async with self._line.client.calls.answer(incoming, SESSION, tools=self.tools) as call:
            call.respond("Greet the caller.")
            await call.wait_ended()
        self.note("behind")

    def plain(self) -> str:
        """Look."""
        self.note("plain")
        return "seen"

    async def awaited(self) -> str:
        """Look."""
        self.note("awaited")
        return "seen"


async def played(line: Phone) -> None:
    ringing = await line.openai.ring(line.host, scenario=BOTH)
    assert (await ringing.ended()).by is EndedBy.CALLER
    await line.idle()


@virtual
async def test_a_variable_of_a_middleware_reaches_the_handler_and_every_tool() -> None:
    async with phone() as line:
        seen = Seen(line, tenant.get)
        token = tenant.set("the shop's")
        await played(line)
        tenant.reset(token)
    assert seen.places == dict.fromkeys(EVERYWHERE, "the shop's")
    assert seen.threads["plain"] == "realtime-sip-tool"


@virtual
async def test_so_does_one_that_is_named_as_one_of_asgirefs() -> None:
    mine = ContextVar("deadlock_context", default=False)
    async with phone() as line:
        seen = Seen(line, lambda: (mine.get(), asgiref.sync.SyncToAsync.thread_sensitive_context.get(None)))
        mine.set(True)
        async with asgiref.sync.ThreadSensitiveContext():
            await played(line)
    assert seen.places == dict.fromkeys(EVERYWHERE, (True, None))


@virtual
async def test_the_contexts_of_a_request_of_flask_do_not() -> None:
    app = flask.Flask("shop")
    async with phone() as line:
        seen = Seen(line, lambda: (flask.has_request_context(), flask.has_app_context()))
        with app.test_request_context():
            await played(line)
    assert seen.places == dict.fromkeys(EVERYWHERE, (False, False))


@virtual
async def test_an_application_context_of_flask_is_put_around_the_handler_and_anew_around_each_tool() -> None:
    app = flask.Flask("shop")
    torn_down: list[int] = []
    held: list[Any] = []

    @app.teardown_appcontext
    def torn(_error: BaseException | None) -> None:
        torn_down.append(id(flask.g._get_current_object()))

    def look() -> int:
        assert flask.current_app.name == "shop"
        held.append(flask.g._get_current_object())
        return id(held[-1])

    async with phone() as line:
        seen = Seen(line, look, around=app.app_context)
        with app.test_request_context():
            await played(line)
            assert flask.g._get_current_object() not in held
    handlers = {seen.places[place] for place in ("policy", "handler", "behind")}
    assert len(handlers) == 1
    assert len({*seen.places.values()}) == 3
    assert {*seen.places.values()} <= {*torn_down}


@virtual
async def test_what_is_put_around_closes_what_it_opened_in_the_thread_of_a_tool() -> None:
    entered: list[str] = []
    left: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        entered.append(threading.current_thread().name)
        try:
            yield
        finally:
            left.append(threading.current_thread().name)

    async with phone() as line:
        Seen(line, lambda: None, around=around)
        await played(line)
    assert entered.count("realtime-sip-tool") == left.count("realtime-sip-tool") == 1
    assert len(entered) == len(left) == 3


@pytest.mark.parametrize("where", ["entering", "leaving"])
@virtual
async def test_law_one_call_one_handler__what_is_put_around_fails(where: str) -> None:
    @contextmanager
    def around() -> Iterator[None]:
        if where == "entering":
            raise RuntimeError
        yield
        raise RuntimeError

    async with phone(strict=False) as line:
        Seen(line, lambda: None, around=around)
        ringing = await line.openai.ring(line.host, scenario=BOTH)
        expected = EndedBy.REJECTED if where == "entering" else EndedBy.CALLER
        assert (await ringing.ended()).by is expected
        await line.idle()


@virtual
async def test_around_is_a_function() -> None:
    async with phone() as line:
        with pytest.raises(ConfigurationError, match="around must be a function"):
            Seen(line, None, around=flask.Flask("shop").app_context())


@virtual
async def test_a_route_of_a_router_has_them_too() -> None:
    app = flask.Flask("shop")
    router = Router()
    names: list[str] = []

    def dialed(_incoming: IncomingCall) -> bool:
        names.append(flask.current_app.name)
        return True

    @router.route(session=RealtimeSession(model="gpt-realtime-2.1"), when=dialed)
    async def on_call(_incoming: IncomingCall, _session: RealtimeSession) -> int:
        names.append(flask.current_app.name)
        return 486

    async with phone(strict=False) as line:
        line.host = CallHost(router, client=line.client, around=app.app_context)
        ringing = await line.openai.ring(line.host)
        assert (await ringing.ended()).by is EndedBy.REJECTED
        await line.idle()
    assert names == ["shop", "shop"]


async def test_the_executor_of_a_sync_view_of_django_is_not_used_after_its_request() -> None:
    """asgiref 3.13 raises "CurrentThreadExecutor already quit or is broken" in a task of such a view."""
    worked: list[str] = []

    async def on_call(incoming: IncomingCall) -> int:
        over.set()
        await answered.wait()
        worked.append(await asgiref.sync.sync_to_async(lambda: threading.current_thread().name)())
        return 486

    over, answered = asyncio.Event(), asyncio.Event()
    async with phone(strict=False) as line:
        line.host = CallHost(on_call, client=line.client)

        class Django:
            """Takes calls in sync views, as Django runs them under ASGI."""

            async def submit(self, incoming: IncomingCall) -> None:
                await asgiref.sync.sync_to_async(self._view)(incoming)

            def _view(self, incoming: IncomingCall) -> None:
                async def in_time() -> None:
                    submitting = asyncio.ensure_future(line.host.submit(incoming))
                    await over.wait()
                    submitting.cancel()  # the request is over, and the call goes on

                asgiref.sync.async_to_sync(in_time)()

        ringing: RingingCall = await line.openai.ring(Django())
        await ringing.until_delivered()
        answered.set()
        assert (await ringing.ended()).by is EndedBy.REJECTED
    assert len(worked) == 1


class Spans:
    """What OpenTelemetry exports."""

    def __init__(self) -> None:
        trace = pytest.importorskip("opentelemetry.sdk.trace")
        export = pytest.importorskip("opentelemetry.sdk.trace.export")
        memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
        self.exporter = memory.InMemorySpanExporter()
        self.provider = trace.TracerProvider()
        self.provider.add_span_processor(export.SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("shop")

    def of(self, name: str) -> Any:
        (found,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return found


@virtual
async def test_the_span_of_a_webhook_becomes_a_link_of_the_calls_own(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    from opentelemetry import baggage, context, trace

    monkeypatch.setattr(trace, "get_tracer", spans.provider.get_tracer)

    def look() -> object:
        with spans.tracer.start_as_current_span("work"):
            return baggage.get_baggage("tenant")

    async with phone() as line:
        seen = Seen(line, look)
        token = context.attach(baggage.set_baggage("tenant", "the shop's"))
        with spans.tracer.start_as_current_span("POST /openai") as webhook:
            ringing = await line.openai.ring(line.host, scenario=BOTH)
            await ringing.until_delivered()
        assert (await ringing.ended()).by is EndedBy.CALLER
        await line.idle()
        context.detach(token)
    call = spans.of("realtime_sip.call")
    assert call.parent is None
    assert [link.context for link in call.links] == [webhook.get_span_context()]
    work = [span for span in spans.exporter.get_finished_spans() if span.name == "work"]
    assert len(work) == len(EVERYWHERE)
    assert {span.parent.span_id for span in work} == {call.context.span_id}
    assert {*seen.places.values()} == {"the shop's"}
    assert call.end_time >= max(span.end_time for span in work)


@virtual
async def test_without_a_span_at_the_webhook_a_call_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Spans()
    from opentelemetry import trace

    monkeypatch.setattr(trace, "get_tracer", spans.provider.get_tracer)
    async with phone() as line:
        Seen(line, lambda: None)
        await played(line)
    assert spans.exporter.get_finished_spans() == ()


def test_a_thread_of_calls_keeps_what_the_request_had_set_and_nothing_of_flasks() -> None:
    app = flask.Flask("shop")
    seen: list[object] = []

    async def on_call(_incoming: IncomingCall) -> int:
        seen.extend((tenant.get(), flask.has_request_context(), flask.has_app_context()))
        return 486

    class View:
        """Takes calls in a request of Flask's."""

        def submit(self, incoming: IncomingCall) -> None:
            with app.test_request_context():
                tenant.set("the shop's")
                host.submit(incoming)

    with EmulatorOnThread(OpenAIEmulator(speed=SPEED, strict=False)) as openai:
        host = ThreadCallHost(on_call, client=AsyncRealtimeSip(**openai.emulator.client_options))
        ringing = openai.run(openai.emulator.ring, View())
        assert openai.run(ringing.ended).by is EndedBy.REJECTED
        host.close()
    assert seen == ["the shop's", False, False]
