"""What the tests of Twilio's side share: a program that answers voice webhooks, and a caller's usual call."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall
from realtime_sip.testing import OpenAIEmulator
from realtime_sip.testing.openai.server import LoopbackServer, Reply, Request

PROJECT = "sip:proj_abc123@sip.api.openai.com;transport=tls"
SESSION: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}

Answer = str | Reply


class Program:
    """Answers requests of Twilio: `routes` maps a path to TwiML, a reply, or what makes one of the parameters."""

    def __init__(self, **routes: Answer | Callable[[Mapping[str, str]], Answer | Awaitable[Answer]]) -> None:
        self.routes = {f"/{name}": answer for name, answer in routes.items()}
        self.seen: list[tuple[Request, dict[str, str]]] = []
        self.server = LoopbackServer(self.handle)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop()

    async def handle(self, request: Request) -> Reply:
        params = {**request.query, **dict(parse_qsl(request.body.decode(), keep_blank_values=True))}
        self.seen.append((request, params))
        answer = self.routes.get(request.path, "<Response/>")
        if callable(answer):
            made = answer(params)
            answer = await made if inspect.isawaitable(made) else made
        return answer if isinstance(answer, Reply) else Reply(body=answer.encode(), content_type="text/xml")


def dial(uri: str = PROJECT, *, inside: str = "", noun: str = "", **attributes: str) -> str:
    """Return TwiML that dials OpenAI; `uri` is written as it is, so it has to be escaped for XML."""
    attributes = {"answerOnBridge": "true", "callerId": "+14155550100", **attributes}
    written = "".join(f' {name}="{value}"' for name, value in attributes.items() if value)
    return f"<Response><Dial{written}><Sip{noun}>{uri}</Sip>{inside}</Dial></Response>"


@contextlib.asynccontextmanager
async def answering(openai: OpenAIEmulator, *, hang_up: bool = False, **options: Any) -> AsyncIterator[CallHost]:
    """A host that answers each call, greets, and waits until it is over, or hangs up."""
    async with AsyncRealtimeSip(**openai.client_options) as client:

        async def on_call(incoming: IncomingCall) -> None:
            async with client.calls.answer(incoming, SESSION, **options) as call:
                greeting = call.respond("Greet.")
                if hang_up:
                    await greeting
                else:
                    await call.wait_ended()

        yield CallHost(on_call, client=client)


@contextlib.asynccontextmanager
async def rejecting(openai: OpenAIEmulator, status: int, *, times: int = 100) -> AsyncIterator[CallHost]:
    """A host that rejects the first `times` calls, and answers the others."""
    async with AsyncRealtimeSip(**openai.client_options) as client:
        rejected: list[str] = []

        async def on_call(incoming: IncomingCall) -> None:
            if len(rejected) < times:
                rejected.append(incoming.call_id)
                await client.calls.reject(incoming.call_id, status_code=status)
                return
            async with client.calls.answer(incoming, SESSION) as call:
                call.respond("Greet.")
                await call.wait_ended()

        yield CallHost(on_call, client=client)
