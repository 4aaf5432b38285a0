"""OpenAI's and Twilio's webhooks as routers of FastAPI.

    host = CallHost(on_call, client=client)
    app = FastAPI()
    app.include_router(openai_webhook(host))

With Starlette: `Starlette(routes=openai_webhook(host).routes, lifespan=host.lifespan)`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, Unpack

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError, DeadlineError, MissingExtraError
from realtime_sip.hosting.host import CallHost
from realtime_sip.integrations import exchange
from realtime_sip.integrations.exchange import Payload, Received, Reply, TwilioFunctions
from realtime_sip.twilio.signature import TwilioSignature
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

try:
    # In the module's namespace, where FastAPI looks up the annotations of dependencies.
    from fastapi import APIRouter, HTTPException, Request, Response
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect
except ImportError:
    raise MissingExtraError("fastapi", "fastapi") from None

__all__ = ["health", "openai_webhook", "twilio_webhook", "verified_call", "verified_webhook"]

_log = logging.getLogger("realtime_sip.integrations")

_CULPRITS = "a BaseHTTPMiddleware that reads request.form() or request.stream() leaves nothing; request.body() is fine"
_FORM = "a parameter that is Form() or File() has read it: the webhook's fields are in its payload"
_NO_LIFESPAN = (
    "calls would be cut off when the server stops, since no lifespan has begun: include the router in the application "
    "itself and not in a mounted one, or pass host.lifespan to the application"
)

_Endpoint = Callable[[Request], Awaitable[Response]]
_Found = TypeVar("_Found")


def openai_webhook(host: CallHost, *, path: str = "/openai/webhook") -> APIRouter:
    """Return a router with the webhook of `realtime.call.incoming`: verified, submitted, and answered once decided.

    The router's lifespan drains the host when the application stops.

    Args:
        host: Takes the calls. Its client has the webhook secret.
        path: Where the webhook is, with and without a slash at the end.

    Raises:
        ConfigurationError: The client has no webhook secret, or the host or the path is not valid.
    """
    _check(host)
    webhooks = host.client.webhooks
    warned = False

    async def webhook(request: Request) -> Response:
        nonlocal warned
        call = await _call(request, webhooks)
        if isinstance(call, Reply):
            return _response(call)
        if not host.has_lifespan and not warned:
            warned = True
            _log.warning(_NO_LIFESPAN)
        try:
            became = await host.submit(call)
        except DeadlineError as error:
            return _response(exchange.not_submitted(call, error))
        return _response(exchange.submitted(call, became))

    router = APIRouter(lifespan=host.lifespan)
    _add(router, path, webhook, ["POST"])
    return router


def twilio_webhook(
    signature: TwilioSignature | None,
    *,
    host: CallHost | None = None,
    path: str = "/twilio",
    **functions: Unpack[TwilioFunctions],
) -> APIRouter:
    """Return a router with Twilio's webhooks: those that a function is given for, each under its own name.

    A function gets the verified, typed payload, and returns TwiML or None. It may be plain, and then runs in a thread,
    or async.

    Args:
        signature: Proves that Twilio sent a request; None if something in front of the application has proven it.
        host: Is passed what the carrier reports, before the functions for those reports are called.
        path: What the paths begin with.
        **functions: `voice`, `after_dial`, `after_queue`, `refer`, `status`, `answered`, `recording`, `message`: each
            answers what comes to the path of its name, or hears it. `docs/fastapi.md` has a table of what they get and
            answer.

    Raises:
        ConfigurationError: There is nothing to answer, or what is given is no function.
    """
    routes = exchange.twilio_routes(host, functions)
    router = APIRouter()
    for route in routes:
        _add(router, f"{path.rstrip('/')}/{route.name}", _twilio_endpoint(route, signature), ["POST", "GET"])
    return router


def health(host: CallHost, *, path: str = "/health") -> APIRouter:
    """Return a router for a balancer: `/health/ready` and `/health/live`.

    `ready` answers 503 while the host is full or draining, so that no new calls come here. `live` answers 200 as long
    as the process does. Restart it by that one alone: a host that is full has calls on the line.

    Raises:
        ConfigurationError: The host or the path is not valid.
    """
    _check(host)

    def endpoint(*, ready: bool) -> _Endpoint:
        async def answer(_: Request) -> Response:
            return _response(exchange.health_reply(host.health(), ready=ready))

        return answer

    router = APIRouter()
    for name in ("ready", "live"):
        _add(router, f"{path.rstrip('/')}/{name}", endpoint(ready=name == "ready"), ["GET"])
    return router


def verified_call(webhooks: OpenAIWebhooks | AsyncRealtimeSip) -> Callable[[Request], Awaitable[IncomingCall]]:
    """Return a dependency: the call that OpenAI's webhook announces, for a route of your own.

        @app.post("/calls")
        async def ring(call: Annotated[IncomingCall, Depends(verified_call(client))]) -> None:
            await host.submit(call)

    A request that nothing proves is answered 400 and never reaches the route; neither does an event of another type,
    which is answered 200.

    Args:
        webhooks: Proves who sent it; a client stands for the webhooks of its secret.
    """
    proving = webhooks if isinstance(webhooks, OpenAIWebhooks) else webhooks.webhooks

    async def dependency(request: Request) -> IncomingCall:
        return _or_raise(await _call(request, proving))

    return dependency


def verified_webhook(signature: TwilioSignature | None, kind: type[Payload]) -> Callable[[Request], Awaitable[Payload]]:
    """Return a dependency: what a webhook of Twilio's says, for a route of your own.

        @app.post("/menu")
        async def menu(call: Annotated[VoiceWebhook, Depends(verified_webhook(signature, VoiceWebhook))]) -> Response:
            return Response(str(twiml.say("Good morning.")), media_type="text/xml")

    A request that nothing proves is answered 403 and never reaches the route.

    Args:
        signature: Proves that Twilio sent it; None if something in front of the application has proven it.
        kind: What it is read as: a class of `realtime_sip.twilio.webhooks`.
    """

    async def dependency(request: Request) -> Payload:
        return _or_raise(await _payload(request, kind, signature))

    return dependency


def _check(host: object) -> None:
    if not isinstance(host, CallHost):
        raise ConfigurationError("host must be a CallHost: a ThreadCallHost is for servers without an event loop")


def _twilio_endpoint(route: exchange.Route, signature: TwilioSignature | None) -> _Endpoint:
    async def webhook(request: Request) -> Response:
        payload: Any = await _payload(request, route.kind, signature)
        if isinstance(payload, Reply):
            return _response(payload)
        if route.host is not None:
            route.host.carrier(payload)
        answer: object = None
        if route.function is not None:
            if _is_async(route.function):
                answer = route.function(payload)
            else:
                answer = await run_in_threadpool(route.function, payload)
            if inspect.isawaitable(answer):
                answer = await answer
        return _response(route.reply(answer))

    return webhook


def _is_async(function: object) -> bool:
    called = inspect.getattr_static(type(function), "__call__", None)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _add(router: APIRouter, path: str, endpoint: _Endpoint, methods: list[str]) -> None:
    for form in exchange.both_forms(path):
        router.add_route(form, endpoint, methods=methods, include_in_schema=False)


async def _call(request: Request, webhooks: OpenAIWebhooks) -> IncomingCall | Reply:
    received = await _received(request)
    if isinstance(received, Reply):
        return received
    return exchange.incoming_call(received, webhooks, culprits=_CULPRITS)


async def _payload(request: Request, kind: type[Payload], signature: TwilioSignature | None) -> Payload | Reply:
    received = await _received(request)
    if isinstance(received, Reply):
        return received
    return exchange.twilio_payload(received, kind, signature, culprits=_CULPRITS)


async def _received(request: Request) -> Received | Reply:
    headers = request.scope["headers"]
    if exchange.is_too_long(headers):
        return exchange.TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout(exchange.READ_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > exchange.MAX_BODY:
                    return exchange.TOO_LARGE
    except TimeoutError:
        return exchange.late_body()
    except ClientDisconnect:
        return exchange.NOT_HERE
    except RuntimeError:
        return exchange.taken_by_others(_FORM)
    # As `request.body()` would have it, so that a route that has this as a dependency can read it too.
    request._body = bytes(body)
    return Received(
        method=request.method,
        target=exchange.asgi_target(request.scope),
        headers=headers,
        body=request._body,
        peer=None if request.client is None else request.client.host,
    )


def _response(reply: Reply) -> Response:
    return Response(reply.body, status_code=reply.status, media_type=reply.content_type)


def _or_raise(found: _Found | Reply) -> _Found:
    if isinstance(found, Reply):
        raise HTTPException(found.status, found.body)
    return found
