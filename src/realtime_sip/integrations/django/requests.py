"""Requests of Django as the place that decides takes them, and its replies as Django's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, RawPostDataException

from realtime_sip.integrations import exchange
from realtime_sip.integrations.exchange import Payload, Received, Reply
from realtime_sip.twilio.signature import TwilioSignature
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

_CULPRITS = "something has read the request before. Under uWSGI, and under WSGI servers, what comes in chunks is empty"
_READ = "a middleware or a decorator has read request.read() or a multipart request.POST, as DRF's request.data does"


def received(request: HttpRequest) -> Received | Reply:
    """Return a request as it came in, or what to answer if it cannot be read."""
    if exchange.is_too_long(request.headers):
        return exchange.TOO_LARGE
    try:
        body = request.body
    except RequestDataTooBig:
        return exchange.TOO_LARGE
    except RawPostDataException:
        return exchange.taken_by_others(_READ)
    scope = getattr(request, "scope", None)
    return Received(
        method=request.method or "",
        target=exchange.wsgi_target(request.META) if scope is None else exchange.asgi_target(scope),
        headers=request.headers,
        body=body[: exchange.MAX_BODY + 1],
        peer=request.META.get("REMOTE_ADDR"),
    )


def call_of(request: HttpRequest, webhooks: OpenAIWebhooks) -> IncomingCall | Reply:
    """Return the call that a request announces, or what to answer."""
    found = received(request)
    return found if isinstance(found, Reply) else exchange.incoming_call(found, webhooks, culprits=_CULPRITS)


def payload_of(request: HttpRequest, kind: type[Payload], signature: TwilioSignature | None) -> Payload | Reply:
    """Return what a request of Twilio's says, or what to answer."""
    found = received(request)
    return found if isinstance(found, Reply) else exchange.twilio_payload(found, kind, signature, culprits=_CULPRITS)


def response(reply: Reply) -> HttpResponse:
    """Return Django's response."""
    return HttpResponse(reply.body.encode(), status=reply.status, content_type=reply.content_type)


def open_to_webhooks(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a view: whoever calls it has neither a CSRF token nor a login, and proves itself by a signature."""
    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.login_required = False  # type: ignore[attr-defined]
    view.takes_webhooks = True  # type: ignore[attr-defined]
    return view
