"""Answer calls with FastAPI: verify the webhook, accept, greet the caller, run a tool, and end with the call.

    pip install 'realtime-sip[fastapi]' uvicorn
    export OPENAI_API_KEY=… OPENAI_WEBHOOK_SECRET=…
    uvicorn --factory examples.fastapi_server:from_environment

This uses the bare sideband, where the program does everything by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping

from fastapi import FastAPI, Request, Response

from realtime_sip import AsyncRealtimeSip, AsyncSideband, Close, IncomingCall, RealtimeSession, events, items
from realtime_sip.errors import CallGoneError, DecisionAlreadyMadeError, EndedError, WebhookError
from realtime_sip.session import FunctionTool

log = logging.getLogger("phone")

ORDERS = {"1042": "It left our warehouse yesterday and arrives tomorrow before noon."}


def order_status(order_id: str) -> str:
    """Tell where an order is."""
    return ORDERS.get(order_id, "There is no such order.")


SESSION = RealtimeSession(
    model="gpt-realtime-2.1",
    instructions="You answer the phone of a shop. Be brief and friendly. Look orders up with order_status.",
    tools=[
        FunctionTool(
            name="order_status",
            description="Tell where an order is.",
            parameters={
                "type": "object",
                "properties": {"order_id": {"type": "string", "description": "The number on the receipt."}},
                "required": ["order_id"],
            },
        )
    ],
)
TOOLS: Mapping[str, Callable[..., str]] = {"order_status": order_status}
GREETING = "The caller is on the line. Greet them and ask how you can help."


async def talk(
    sideband: AsyncSideband, tools: Mapping[str, Callable[..., str]], opening: items.NewItem
) -> Close | None:
    """Hold one conversation: open it, answer every tool call, and return how the socket closed."""
    # session.updated is the proof that the session lives: an accept answered 200 is not.
    await sideband.session_update({"tool_choice": "auto"})
    # An item adds to the session's instructions; instructions of the response itself would replace them.
    await sideband.conversation_item_create(opening)
    await sideband.response_create()
    answered = False
    async for event in sideband:
        match event:
            case events.SessionUpdated():
                log.info("session is live")
            case events.ResponseOutputItemDone(item=items.FunctionCallItem() as call) if call.call_id:
                log.info("tool %s is called", call.name)
                output = run_tool(tools, call)
                await sideband.conversation_item_create(items.FunctionCallOutput(call_id=call.call_id, output=output))
                log.info("tool %s has answered", call.name)
                answered = True
            case events.ResponseDone() if answered:
                # Only now: while a response is active, another one is refused.
                answered = False
                await sideband.response_create()
            case events.Error(error=error):
                log.warning("the service reports an error: %s", error.code or error.type)
    return sideband.closed


def run_tool(tools: Mapping[str, Callable[..., str]], call: items.FunctionCallItem) -> str:
    """Return the tool's answer, or what went wrong: the model can make something of both."""
    try:
        return tools[call.name](**json.loads(call.arguments))
    except Exception:  # noqa: BLE001 - whatever breaks here, the caller is still on the line
        log.warning("tool %s failed", call.name)
        return json.dumps({"error": "The tool failed. Say so, and offer something else."})


def create_app(client: AsyncRealtimeSip) -> FastAPI:
    """Return the server: one webhook, and a task for each call."""
    app = FastAPI()
    calls: set[asyncio.Task[None]] = set()  # the event loop itself holds tasks only weakly

    @app.post("/openai/webhook")
    async def webhook(request: Request) -> Response:
        try:
            event = client.webhooks.unwrap(await request.body(), request.headers)
        except WebhookError as error:
            log.warning("webhook refused: %s", error.reason)
            return Response(status_code=400)
        if isinstance(event, IncomingCall):
            log.info("webhook verified: call %s by %s", event.call_id, event.channel)
            try:
                await client.calls.accept(event.call_id, SESSION)
            except (CallGoneError, DecisionAlreadyMadeError) as error:
                log.info("nothing to accept: %s", type(error).__name__)
                return Response(status_code=200)
            log.info("call accepted")
            task = asyncio.create_task(serve(event.call_id))
            calls.add(task)
            task.add_done_callback(calls.discard)
        return Response(status_code=200)

    async def serve(call_id: str) -> None:
        try:
            async with client.calls.connect(call_id) as sideband:
                log.info("sideband attached")
                close = await talk(sideband, TOOLS, items.SystemMessage.text(GREETING))
            log.info("socket closed: %s", close)
        except EndedError as error:
            log.warning("the call is over: %s", error)
        except Exception:
            # Never leave a caller alone with a dead agent.
            log.exception("call %s failed", call_id)
            await client.calls.hangup(call_id, attached=True)

    return app


def from_environment() -> FastAPI:
    """Return the server with keys from the environment, for uvicorn's --factory."""
    return create_app(AsyncRealtimeSip())
