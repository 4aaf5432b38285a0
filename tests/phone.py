"""A phone that rings a host through the emulator, on virtual time: an hour-long call is over in a moment."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from realtime_sip import AsyncRealtimeSip, Call, CallEnded, CallHost, IncomingCall
from realtime_sip.testing import Behavior, OpenAIEmulator, RingingCall, Timings, run_virtual
from realtime_sip.testing.reply_faults import CallFault
from realtime_sip.testing.scenario import Step

SESSION: dict[str, Any] = {"model": "gpt-realtime-2.1", "instructions": "You answer the phone of a shop."}

Answering = Callable[[Call], Awaitable[None]]


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on virtual time, and hold that it leaves no task behind."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def whole() -> None:
            await test(*args, **kwargs)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert not left, f"left behind: {left}"

        run_virtual(whole())

    return run


class Phone:
    """An emulator, a client, and a host whose handler answers with what a test gives."""

    def __init__(self, openai: OpenAIEmulator, client: AsyncRealtimeSip) -> None:
        self.openai = openai
        self.client = client
        self.host = CallHost(self.on_call, client=client)
        self.calls: list[Call] = []
        self.ringings: list[RingingCall] = []
        self.answer_options: dict[str, Any] = {}
        self.session: dict[str, Any] = SESSION
        self.talk: Answering = wait

    async def on_call(self, incoming: IncomingCall) -> None:
        async with self.client.calls.answer(incoming, self.session, **self.answer_options) as call:
            self.calls.append(call)
            await self.talk(call)

    async def ring(
        self,
        *scenario: Step,
        talk: Answering | None = None,
        faults: Iterable[CallFault] = (),
        behavior: Behavior | None = None,
        session: dict[str, Any] | None = None,
        invite: dict[str, Any] | None = None,
        **options: Any,
    ) -> RingingCall:
        """Let a call come in. `invite` is who calls whom, as `OpenAIEmulator.ring` takes it."""
        self.talk = talk or wait
        self.session = SESSION if session is None else session
        self.answer_options = options
        ringing = await self.openai.ring(
            self.host, scenario=scenario, faults=faults, behavior=behavior, **(invite or {})
        )
        self.ringings.append(ringing)
        return ringing

    async def played(self, *scenario: Step, **options: Any) -> tuple[CallEnded, RingingCall]:
        """Let a call come in, and go to its end; return how it ended for the program, and what the service saw."""
        ringing = await self.ring(*scenario, **options)
        async with asyncio.timeout(2 * 3600):
            await ringing.until_requested("accept", timeout=3600)
            ended = await self.host.ended(ringing.call_id)
        await self.idle()
        return ended, ringing

    async def idle(self) -> None:
        """Wait until the host has nothing left to do."""
        async with asyncio.timeout(600):
            while self.host.live:  # noqa: ASYNC110 - the host tells nobody, and virtual time costs nothing
                await asyncio.sleep(0.01)


async def wait(call: Call) -> None:
    """Let the model and the caller talk."""
    await call.wait_ended()


async def greet(call: Call) -> None:
    """Greet, and let them talk."""
    call.respond("Greet the caller.")
    await call.wait_ended()


@asynccontextmanager
async def phone(
    *, timings: Timings | None = None, context_secret: str | None = None, strict: bool = True, **options: Any
) -> AsyncIterator[Phone]:
    """Set everything up, and see that nothing is left of it."""
    async with OpenAIEmulator(
        timings=timings, context_secret=context_secret, starts_at=1_795_000_000.0, strict=strict
    ) as openai:
        client = AsyncRealtimeSip(**openai.client_options, **options)
        client.webhooks  # noqa: B018 - made here, so that it is not made in a test's time
        async with client:
            here = Phone(openai, client)
            yield here
            await here.host.drain(1)


def types(frames: Iterable[dict[str, Any]]) -> list[str]:
    """Return the types of frames, in order."""
    return [str(frame["type"]) for frame in frames]


def outputs(ringing: RingingCall) -> list[str]:
    """Return what tools have sent."""
    items = [frame["item"] for frame in ringing.client_events if frame["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def asked(ringing: RingingCall) -> int:
    """Return how many times the program has asked for a response."""
    return types(ringing.client_events).count("response.create")


def said(ringing: RingingCall) -> list[str]:
    """Return what the model has said."""
    return [words.text for words in ringing.said if words.by == "model"]


def words_asked_for(ringing: RingingCall) -> list[str]:
    """Return the instructions of the responses that the program has asked for."""
    wanted = [e.get("response", {}) for e in ringing.client_events if e["type"] == "response.create"]
    return [str(response.get("instructions", "")) for response in wanted]


async def until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)
