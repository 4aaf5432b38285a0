"""A bakery that takes orders by phone: what a tool can be.

Each function below shows one thing: async and sync, a timeout, the call itself as an argument, a nested argument, the
caller's yes before something is done, and an output that the model says nothing about.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    uvicorn --factory examples.bakery:from_environment
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from realtime_sip import AsyncRealtimeSip, Call, CallHost, IncomingCall, RealtimeSession, ToolOutput, Tools, end_call
from realtime_sip.integrations.fastapi import openai_webhook

SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You take orders for a bakery. Be brief. Look customers up first. Say goodbye before end_call.",
)

Bread = Literal["rye", "wheat", "spelt"]


class Line(BaseModel):
    """One line of an order."""

    bread: Bread
    loaves: Annotated[int, Field(ge=1, le=20)]


class Order(BaseModel):
    """What is ordered, and for which day."""

    lines: Annotated[list[Line], Field(min_length=1, max_length=10)]
    day: date
    deliver: Annotated[bool, Field(description="Whether it is delivered; else it is fetched.")] = False


class Bakery:
    """The bakery's books, which would be a database. One object serves all calls."""

    def __init__(self) -> None:
        self.customers = {"+14155550100": "Customer 7, who mostly takes rye."}
        self.stock: dict[Bread, int] = {"rye": 12, "wheat": 3, "spelt": 0}
        self.orders: list[Order] = []
        self.notes: list[str] = []

    async def who_calls(self, call: Call) -> str:
        """Tell which customer is on the line."""
        # The model neither sees nor fills in the parameter `call`. The caller's number is a claim, and not a login.
        caller = call.incoming.caller if call.incoming is not None else None
        return self.customers.get(caller or "", "Not a customer yet.")

    def loaves_left(self, bread: Bread) -> int:
        """Tell how many loaves of a bread are left today."""
        # A plain function runs in a thread, so that it may block, as most database drivers do.
        return self.stock[bread]

    async def ask_the_oven(self, bread: Bread) -> str:
        """Ask when the next loaves of a bread are ready."""
        # The oven is slow. After the timeout the model is told so, and goes on; the caller does not wait forever.
        await asyncio.sleep(3600)
        return f"The {bread} bread is ready."

    async def place_order(self, order: Order) -> dict[str, int]:
        """Place an order.

        Args:
            order: What the caller wants, as they have confirmed it.
        """
        # Whatever is raised here reaches the model as a failure, without the message; the call goes on.
        self.orders.append(order)
        return {"order_number": len(self.orders), "loaves": sum(line.loaves for line in order.lines)}

    async def take_note(self, note: str) -> ToolOutput:
        """Note something for the staff, such as an allergy. The caller need not hear about it."""
        self.notes.append(note)
        return ToolOutput("noted", respond=False)

    def tools(self) -> Tools:
        """Return what the model may do here."""
        tools = Tools()
        tools.function(self.who_calls)
        tools.function(self.loaves_left, preamble="Let me see.")
        tools.function(self.ask_the_oven, timeout=2)
        # The first time, the model is told to ask; it runs when it is called again after the caller has spoken.
        tools.function(self.place_order, confirm=True)
        tools.function(self.take_note)
        tools.function(end_call)
        return tools


def create_app(client: AsyncRealtimeSip, bakery: Bakery) -> FastAPI:
    """Return the server."""
    tools = bakery.tools()

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, tools=tools) as call:
            call.respond("Greet the caller in the name of the bakery.")
            await call.wait_ended()

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))
    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    return create_app(AsyncRealtimeSip(), Bakery())
