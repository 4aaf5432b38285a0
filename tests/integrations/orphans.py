"""A call that is up, and whose worker has died."""

from __future__ import annotations

from typing import Any

from realtime_sip import AsyncRealtimeSip, IncomingCall, MemoryStore
from realtime_sip.hosting.tickets import Seals
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays, OpenAIEmulator, RingingCall

SESSION: dict[str, Any] = {"model": "gpt-realtime-2.1"}


class Arriving:
    """Gets a webhook, and does nothing with it."""

    def __init__(self) -> None:
        self.calls: list[IncomingCall] = []

    async def submit(self, incoming: IncomingCall) -> None:
        self.calls.append(incoming)


async def orphan(openai: OpenAIEmulator) -> tuple[MemoryStore, RingingCall]:
    """Return a store with a call that a worker had accepted before it died."""
    store = MemoryStore()
    store.shared = True
    arriving = Arriving()
    scenario = [CallerSays("Pay.", after=20.0), ModelCalls("pay"), ModelSays("It is paid."), CallerHangsUp()]
    ringing = await openai.ring(arriving, scenario=scenario)
    await ringing.until_delivered()
    (incoming,) = arriving.calls
    async with AsyncRealtimeSip(**openai.client_options) as dead:
        await dead.calls.accept(incoming.call_id, SESSION)
        ticket = Seals(dead).ticket(incoming)
    await store.claim(incoming.call_id, owner="dead", lease=0.001, ticket=ticket)
    await store.accept(incoming.call_id, owner="dead", lease=0.001)
    return store, ringing
