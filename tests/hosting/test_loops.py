"""One loop, one client: what cannot be served is refused at the door, before anything is sent, with what to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import flask
import httpx
import pytest

import emulated
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, Submission
from realtime_sip.errors import MisuseError
from realtime_sip.testing import ModelSays, OpenAIEmulator, RingingCall
from realtime_sip.testing.on_thread import EmulatorOnThread

SESSION: Any = {"model": "gpt-realtime-2.1"}

PROGRAM = """
import asyncio, sys
from realtime_sip import AsyncRealtimeSip
from realtime_sip.errors import CallGoneError

client = AsyncRealtimeSip(sys.argv[1], base_url=sys.argv[2], timeout=5)

async def use():
    try:
        await client.calls.hangup("rtc_1", attached=True)
    except CallGoneError:
        print("used")

asyncio.run(use())
asyncio.run(client.close())
print("closed")
"""


class Line:
    """A service on a thread of its own, where a phone rings."""

    def __init__(self, openai: EmulatorOnThread, endpoint: emulated.Endpoint) -> None:
        self.openai = openai
        self._endpoint = endpoint

    def client(self, **options: Any) -> AsyncRealtimeSip:
        # It leaves no connection in a loop that was closed.
        http = httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))
        return AsyncRealtimeSip(**{**self.openai.emulator.client_options, "http_client": http, **options})

    def ring(self) -> tuple[RingingCall, IncomingCall]:
        before = len(self._endpoint.deliveries)
        ringing = self.openai.run(self.openai.emulator.ring, self._endpoint.url, scenario=[ModelSays("Hello.")])
        while len(self._endpoint.deliveries) == before:
            threading.Event().wait(0.01)
        delivery = self._endpoint.deliveries[-1]
        incoming = self.client().webhooks.unwrap(delivery.body or b"", delivery.headers)
        assert isinstance(incoming, IncomingCall)
        return ringing, incoming


@pytest.fixture
def line(endpoint: emulated.Endpoint) -> Iterator[Line]:
    with EmulatorOnThread(OpenAIEmulator(speed=emulated.SPEED, timings=emulated.PATIENT, strict=False)) as openai:
        yield Line(openai, endpoint)


async def answered(client: AsyncRealtimeSip, incoming: IncomingCall) -> None:
    async with client.calls.answer(incoming, SESSION) as call:
        await call.respond("Greet the caller.")


def test_law_a_client_belongs_to_one_loop__a_second_one_is_refused_before_anything_is_sent(line: Line) -> None:
    client = line.client()
    first, incoming = line.ring()
    asyncio.run(answered(client, incoming))
    assert first.tally.accepts == 1
    second, incoming = line.ring()
    host = CallHost(_never, client=client)

    async def connect() -> None:
        async with client.calls.connect(incoming.call_id):
            pass

    uses: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: answered(client, incoming),
        lambda: client.calls.accept(incoming.call_id, SESSION),
        lambda: client.calls.hangup(incoming.call_id),
        lambda: client.with_options(timeout=1).calls.reject(incoming.call_id),
        lambda: client.client_secrets.create(),
        lambda: host.submit(incoming),
        connect,
    ]
    for use in uses:
        with pytest.raises(MisuseError, match="another event loop"):
            asyncio.run(_wrapped(use()))
    assert second.requests == []


def test_a_client_whose_loop_is_over_can_be_closed(line: Line) -> None:
    emulator = line.openai.emulator
    command = [sys.executable, "-c", PROGRAM, emulator.api_key, emulator.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "used\nclosed\n", done.stderr


async def _never(incoming: IncomingCall) -> int:
    raise AssertionError(incoming.call_id)


async def _wrapped(use: Coroutine[Any, Any, Any]) -> Any:
    return await use


async def test_law_a_client_belongs_to_one_loop__not_to_that_of_another_thread_either(line: Line) -> None:
    client = line.client()
    ringing, incoming = line.ring()
    await client.calls.accept(incoming.call_id, SESSION)
    for use in (client.calls.hangup(incoming.call_id), _in_a_block(client)):
        with pytest.raises(MisuseError, match="another event loop"):
            await asyncio.to_thread(asyncio.run, use)
    await client.calls.hangup(incoming.call_id)
    assert ringing.tally.hangups == 1
    await client.close()


async def _in_a_block(client: AsyncRealtimeSip) -> None:
    await client.calls.hangup("rtc_1")


def test_law_a_client_belongs_to_one_loop__one_for_each_loop_is_right(line: Line) -> None:
    async def main(incoming: IncomingCall) -> None:
        async with line.client() as client:
            await answered(client, incoming)

    for _ in range(2):
        ringing, incoming = line.ring()
        asyncio.run(main(incoming))
        assert ringing.tally.accepts == 1


def outside(work: Coroutine[Any, Any, Any]) -> None:
    """Drive a coroutine as trio does: without an event loop of asyncio."""
    with pytest.raises(MisuseError, match="asyncio"):
        work.send(None)
    work.close()


def test_law_without_asyncio_nothing_is_sent(line: Line) -> None:
    ringing, incoming = line.ring()
    client = line.client()
    outside(client.calls.accept(incoming.call_id, SESSION))
    outside(answered(client, incoming))
    outside(client.calls.connect(incoming.call_id).__aenter__())
    outside(CallHost(_never, client=client).submit(incoming))
    closing = client.close()
    with pytest.raises(StopIteration):
        closing.send(None)
    assert ringing.requests == []


def served(line: Line) -> CallHost:
    client = line.client()

    async def on_call(incoming: IncomingCall) -> None:
        await answered(client, incoming)

    return CallHost(on_call, client=client)


def test_law_nothing_is_accepted_that_cannot_be_served__the_loop_ends_with_the_submit(line: Line) -> None:
    ringing, incoming = line.ring()
    host = served(line)
    with pytest.raises(MisuseError, match="run_coroutine_threadsafe"):
        asyncio.run(host.submit(incoming))
    with pytest.raises(MisuseError, match="goes on"):
        anyio.run(served(line).submit, incoming)
    assert ringing.requests == []


def test_law_nothing_is_accepted_that_cannot_be_served__an_async_view_of_flask(line: Line) -> None:
    ringing, incoming = line.ring()
    host, app = served(line), flask.Flask("shop")
    app.testing = True

    @app.post("/openai")
    async def hook() -> str:
        submission = await host.submit(incoming)
        return submission.value

    with pytest.raises(MisuseError, match="goes on"):
        app.test_client().post("/openai")
    assert ringing.requests == []


def test_what_goes_on_is_served(line: Line) -> None:
    async def in_the_main_task(host: CallHost, incoming: IncomingCall) -> Submission:
        submission = await host.submit(incoming)
        await host.ended(incoming.call_id)
        return submission

    async def in_a_task(host: CallHost, incoming: IncomingCall) -> Submission:
        submission = await asyncio.create_task(host.submit(incoming))
        await host.ended(incoming.call_id)
        return submission

    for main in (in_the_main_task, in_a_task):
        _, incoming = line.ring()
        assert asyncio.run(main(served(line), incoming)) is Submission.STARTED


def test_what_goes_on_is_served__by_a_loop_that_is_run_again(line: Line) -> None:
    ringing, incoming = line.ring()
    host = served(line)
    with asyncio.Runner() as runner:
        assert runner.run(host.submit(incoming)) is Submission.STARTED
        runner.run(host.ended(incoming.call_id))
    assert ringing.tally.accepts == 1


def test_what_goes_on_is_served__on_the_loop_of_a_thread(line: Line) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        ringing, incoming = line.ring()
        host = served(line)
        submitted = asyncio.run_coroutine_threadsafe(host.submit(incoming), loop)
        assert submitted.result(30) is Submission.STARTED
        asyncio.run_coroutine_threadsafe(host.ended(incoming.call_id), loop).result(30)
        assert ringing.tally.accepts == 1
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_a_call_in_a_foreign_loop_is_not_accepted_by_a_handler(line: Line) -> None:
    """The host's client is right, and the handler's is one that another loop has used."""
    elsewhere = line.client()
    _, incoming = line.ring()
    asyncio.run(answered(elsewhere, incoming))
    ringing, incoming = line.ring()

    async def on_call(incoming: IncomingCall) -> None:
        await answered(elsewhere, incoming)

    async def main() -> None:
        async with line.client() as client:
            host = CallHost(on_call, client=client)
            await host.submit(incoming)
            await host.ended(incoming.call_id)

    asyncio.run(main())
    assert [request.operation for request in ringing.requests] == ["reject"]
