"""The webhooks as views: async for a `CallHost`, sync for a `ThreadCallHost`, which both kinds of servers run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Unpack

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from django.views.decorators.cache import never_cache

from realtime_sip.call.options import around_code
from realtime_sip.errors import DeadlineError
from realtime_sip.hosting.host import CallHost
from realtime_sip.integrations import exchange
from realtime_sip.integrations.django.connections import around
from realtime_sip.integrations.django.hosts import Host, checked, warn_without_lifespan
from realtime_sip.integrations.django.requests import call_of, open_to_webhooks, payload_of, response
from realtime_sip.integrations.django.transactions import without_transaction
from realtime_sip.integrations.exchange import Reply, TwilioFunctions
from realtime_sip.twilio.signature import TwilioSignature

_WSGI = (
    "a CallHost needs the event loop of an ASGI server, and this request came by WSGI (runserver, wsgi.py), whose loop "
    "ends with it: serve the application of asgi.py, or take a ThreadCallHost, which lives under both"
)

View = Callable[..., Any]


def openai_webhook(host: Host) -> View:
    """Return the view of the webhook of `realtime.call.incoming`: verified, submitted, answered once decided.

        path("openai/webhook", openai_webhook(host))

    Handlers and tools may use the ORM: `await` its async methods, or a plain tool's. Database connections are closed
    after use, and there are at most sixteen for all handlers and async tools.

    Args:
        host: Takes the calls. Its client has the webhook secret.

    Raises:
        ConfigurationError: The client has no webhook secret, or the host is not one.
    """
    here = checked(host)
    webhooks = here.client.webhooks

    if isinstance(here, CallHost):
        here_async = here

        async def webhook(request: HttpRequest) -> HttpResponse:
            call = call_of(request, webhooks)
            if isinstance(call, Reply):
                return response(call)
            if not isinstance(request, ASGIRequest):
                raise ImproperlyConfigured(_WSGI)
            warn_without_lifespan(here_async)
            before = around_code.set(around)
            try:
                became = await here_async.submit(call)
            except DeadlineError as error:
                return response(exchange.not_submitted(call, error))
            finally:
                around_code.reset(before)
            return response(exchange.submitted(call, became))

        return without_transaction(open_to_webhooks(webhook))

    here_sync = here

    def blocking_webhook(request: HttpRequest) -> HttpResponse:
        call = call_of(request, webhooks)
        if isinstance(call, Reply):
            return response(call)
        before = around_code.set(around)
        try:
            became = here_sync.submit(call)
        except DeadlineError as error:
            return response(exchange.not_submitted(call, error))
        finally:
            around_code.reset(before)
        return response(exchange.submitted(call, became))

    return without_transaction(open_to_webhooks(blocking_webhook))


def twilio_webhook(
    signature: TwilioSignature | None,
    *,
    host: Host | None = None,
    **functions: Unpack[TwilioFunctions],
) -> list[URLPattern | URLResolver]:
    """Return URL patterns of Twilio's webhooks: those that a function is given for, each under its own name.

        path("twilio/", include(twilio_webhook(signature, host=host, voice=voice)))

    A function gets the verified, typed payload, and returns TwiML or None. The view of an async one is async.

    Args:
        signature: Proves that Twilio sent a request; None if something in front of the application has proven it.
        host: Is passed what the carrier reports, before the functions for those reports are called.
        **functions: `voice`, `after_dial`, `after_queue`, `refer`, `status`, `answered`, `recording`, `message`: each
            answers what comes to the path of its name, or hears it. `docs/fastapi.md` has a table of what they get and
            answer.

    Raises:
        ConfigurationError: There is nothing to answer, or what is given is no function.
    """
    routes = exchange.twilio_routes(None if host is None else checked(host), functions)
    return [re_path(f"^{each.name}/?$", twilio_view(each, signature), name=f"twilio_{each.name}") for each in routes]


def twilio_view(route: exchange.Route, signature: TwilioSignature | None) -> View:
    """Return the view of one kind of Twilio's webhooks."""

    def read(request: HttpRequest) -> Any:
        payload: Any = payload_of(request, route.kind, signature)
        if not isinstance(payload, Reply) and route.host is not None:
            route.host.carrier(payload)
        return payload

    function = route.function
    if function is not None and inspect.iscoroutinefunction(function):

        async def webhook(request: HttpRequest) -> HttpResponse:
            payload = read(request)
            return response(payload if isinstance(payload, Reply) else route.reply(await function(payload)))

        return without_transaction(open_to_webhooks(webhook))

    def blocking_webhook(request: HttpRequest) -> HttpResponse:
        payload = read(request)
        if isinstance(payload, Reply):
            return response(payload)
        return response(route.reply(None if function is None else function(payload)))

    return open_to_webhooks(blocking_webhook)


def health(host: Host) -> list[URLPattern | URLResolver]:
    """Return URL patterns for a balancer: `ready` and `live`.

        path("health/", include(health(host)))

    `ready` answers 503 while the host is full or draining, so that no new calls come here. `live` answers 200 as long
    as the process does. Restart it by that one alone: a host that is full has calls on the line.

    Raises:
        ConfigurationError: The host is not one.
    """
    here = checked(host)
    return [re_path(f"^{name}/?$", health_view(lambda: here, ready=name == "ready")) for name in ("ready", "live")]


def health_view(host: Callable[[], Host], *, ready: bool) -> View:
    """Return the view that tells how a host is, which is asked for when somebody wants to know."""

    def answer(_: HttpRequest) -> HttpResponse:
        return response(exchange.health_reply(host().health(), ready=ready))

    answer.login_required = False  # type: ignore[attr-defined]
    view: View = never_cache(without_transaction(answer))  # a balancer asks how it is now, and not how the database is
    return view


async def run(view: View, request: HttpRequest) -> HttpResponse:
    """Run a view of either kind from an async one."""
    if inspect.iscoroutinefunction(view):
        answered: HttpResponse = await view(request)
        return answered
    return await sync_to_async(view)(request)
