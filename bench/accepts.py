"""How many calls a second go from their webhook to their accept, 32 at once, beside the `openai` package.

The service is a process of its own on loopback that answers each POST with an empty 200, over connections that stay
open. A call is its webhook, verified and parsed, and its accept, awaited. Ours runs over httpx, which is the default,
and over `httpx2.AsyncClient()`, which the vendor's package uses too. A row without its package is skipped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

from paired import Rows, cpu
from realtime_sip import AsyncRealtimeSip
from realtime_sip.endpoints import Endpoints
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

ROUNDS = 15
CALLS = 320
AT_ONCE = 32
LEAST_OF_OPENAI = 1.2
_SECRET = "whsec_" + "c2VjcmV0" * 4
_SESSION: dict[str, Any] = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "instructions": "You answer the phone of a parcel service. Be brief and friendly. " * 20,
    "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}, "output": {"voice": "marin"}},
}
_HEADERS = {
    "From": '"+14155550100" <sip:+14155550100@pstn.example.com>;tag=77b2',
    "To": "<sip:proj_abc@sip.api.openai.com;transport=tls>",
    "Call-ID": "b2f1a9c3d4e5@192.0.2.1",
    "User-Agent": "Twilio Gateway",
}

_Webhook = tuple[bytes, dict[str, str]]
_Take = Callable[[_Webhook], Awaitable[None]]


class _Service(asyncio.Protocol):
    """Answers each request with an empty 200."""

    _EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while True:
            head, end, rest = self._held.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            if not end or len(rest) < length:
                return
            self._held = rest[length:]
            self._transport.write(self._EMPTY)


def _serve(pipe: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Service, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _webhooks() -> list[_Webhook]:
    signer = OpenAIWebhooks(_SECRET)
    sip = [{"name": name, "value": value} for name, value in _HEADERS.items()]
    found = []
    for number in range(CALLS):
        now = time.time()
        event = {"object": "event", "id": f"evt_{number}", "type": "realtime.call.incoming", "created_at": int(now)}
        body = json.dumps({**event, "data": {"call_id": f"rtc_{number}", "sip_headers": sip}}).encode()
        found.append((body, {"host": "x.example", **signer.sign(body, id=f"wh_{number}", timestamp=now)}))
    return found


def _ours(client: AsyncRealtimeSip) -> _Take:
    webhooks = OpenAIWebhooks(_SECRET, tolerance=3600)

    async def take(webhook: _Webhook) -> None:
        event = webhooks.unwrap(*webhook)
        assert isinstance(event, IncomingCall)
        await client.calls.accept(event.call_id, _SESSION)

    return take


def _theirs(client: Any) -> _Take:
    async def take(webhook: _Webhook) -> None:
        event = client.webhooks.unwrap(*webhook)
        await client.realtime.calls.accept(event.data.call_id, **_SESSION)

    return take


async def _seconds(take: _Take, webhooks: list[_Webhook]) -> float:
    """Return the seconds of a call; so many are under way at any time."""
    left = iter(webhooks)

    async def worker() -> None:
        for webhook in left:
            await take(webhook)

    begun = cpu()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return (cpu() - begun) / len(webhooks)


async def _rows(port: int) -> Rows:
    url = f"http://127.0.0.1:{port}/v1"
    endpoints = replace(Endpoints.DEFAULT, api=url)
    webhooks = _webhooks()
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(AsyncRealtimeSip("sk", endpoints=endpoints, timeout=60))
        takes = {"over httpx": _ours(ours)}
        if find_spec("httpx2") is None:
            print("  over httpx2: skipped, httpx2 is not installed")
        else:
            import httpx2

            http_client = await stack.enter_async_context(httpx2.AsyncClient())
            faster = await stack.enter_async_context(
                AsyncRealtimeSip("sk", endpoints=endpoints, timeout=60, http_client=http_client)
            )
            takes["over httpx2"] = _ours(faster)
        vendor: str | None = None
        if find_spec("openai") is None:
            print("  openai: skipped, the package is not installed")
        else:
            import openai

            vendor = f"openai {openai.__version__}"
            theirs = openai.AsyncOpenAI(api_key="sk", base_url=url, webhook_secret=_SECRET)
            takes[vendor] = _theirs(await stack.enter_async_context(theirs))
        rows = Rows()
        for number in range(ROUNDS + 1):
            costs = {name: await _seconds(take, webhooks) for name, take in takes.items()}
            if number:
                rows.note(costs)
    for name in takes:
        least = LEAST_OF_OPENAI if name == "over httpx2" and vendor else None
        rows.show(name, floor=vendor if name != vendor else None, least=least, unit=1e-3)
    a_second = ", ".join(f"{1 / rows.median(name):.0f} {name}" for name in takes)
    print(f"  calls a second on one core: {a_second}")
    return rows


def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    logging.disable()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    print(f"\nfrom the webhook to the accept, {CALLS} calls, {AT_ONCE} at once, {ROUNDS} rounds, for each call")
    try:
        rows = asyncio.run(_rows(ours.recv()))
    finally:
        server.terminate()
    return int(rows.missed)


if __name__ == "__main__":
    sys.exit(main())
