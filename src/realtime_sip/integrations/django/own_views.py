"""Decorators for views of one's own, which get what is verified."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeAlias

from django.http import HttpRequest, HttpResponseBase

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.integrations.django.requests import call_of, open_to_webhooks, payload_of, response
from realtime_sip.integrations.exchange import Payload, Reply
from realtime_sip.twilio.signature import TwilioSignature
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

P = ParamSpec("P")
_Answer: TypeAlias = HttpResponseBase | Awaitable[HttpResponseBase]


def verified_call(
    webhooks: OpenAIWebhooks | AsyncRealtimeSip,
) -> Callable[[Callable[Concatenate[HttpRequest, IncomingCall, P], _Answer]], Callable[..., Any]]:
    """Return a decorator for a view of your own, sync or async: it gets the call that OpenAI's webhook announces.

        @verified_call(client)
        def calls(request: HttpRequest, call: IncomingCall, tenant: str) -> HttpResponse:
            host.submit(call)
            return HttpResponse()

    A request that nothing proves is answered 400 and never reaches the view; neither does an event of another type,
    which is answered 200. The view is exempt from CSRF and from a login, and must come first of all decorators.

    Args:
        webhooks: Proves who sent it; a client stands for the webhooks of its secret.
    """
    proving = webhooks if isinstance(webhooks, OpenAIWebhooks) else webhooks.webhooks
    return functools.partial(_decorated, lambda request: call_of(request, proving))


def verified_webhook(
    signature: TwilioSignature | None, kind: type[Payload]
) -> Callable[[Callable[Concatenate[HttpRequest, Payload, P], _Answer]], Callable[..., Any]]:
    """Return a decorator for a view of your own, sync or async: it gets what a webhook of Twilio's says.

        @verified_webhook(signature, VoiceWebhook)
        def menu(request: HttpRequest, call: VoiceWebhook) -> HttpResponse:
            return HttpResponse(str(twiml.say("Good morning.")), content_type="text/xml")

    A request that nothing proves is answered 403 and never reaches the view. The view is exempt from CSRF and from a
    login, and must come first of all decorators.

    Args:
        signature: Proves that Twilio sent it; None if something in front of the application has proven it.
        kind: What it is read as: a class of `realtime_sip.twilio.webhooks`.
    """
    return functools.partial(_decorated, lambda request: payload_of(request, kind, signature))


def _decorated(read: Callable[[HttpRequest], Any], view: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def verified(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            found = read(request)
            return response(found) if isinstance(found, Reply) else await view(request, found, *args, **kwargs)

        return open_to_webhooks(verified)

    @functools.wraps(view)
    def blocking(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        found = read(request)
        return response(found) if isinstance(found, Reply) else view(request, found, *args, **kwargs)

    return open_to_webhooks(blocking)
