"""The webhooks of what `REALTIME_SIP` names, which is imported by the first request.

- `openai/webhook`: OpenAI's
- `twilio/voice`, `twilio/after_dial` and so on: Twilio's, for each function that `REALTIME_SIP["TWILIO"]` names
- `health/ready`, `health/live`: for a balancer
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from django.core.signals import setting_changed
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import re_path

from realtime_sip.integrations import exchange
from realtime_sip.integrations.django.hosts import configured, configured_host
from realtime_sip.integrations.django.requests import open_to_webhooks
from realtime_sip.integrations.django.transactions import in_transaction, without_transaction
from realtime_sip.integrations.django.views import View, health_view, openai_webhook, run, twilio_view

app_name = "realtime_sip"

_KINDS = [*exchange.TwilioFunctions.__annotations__]


@cache
def _openai() -> View:
    return openai_webhook(configured_host())


@cache
def _twilio() -> dict[str, View]:
    named: dict[str, Any] = configured("TWILIO")
    functions: Any = {kind: configured(kind.upper(), of=named) for kind in _KINDS if kind.upper() in named}
    # None has to be said, and not left out.
    signature = None if named.get("SIGNATURE", "") is None else configured("SIGNATURE", of=named)
    routes = exchange.twilio_routes(configured_host(), functions)
    views = {route.name: twilio_view(route, signature) for route in routes}
    return {name: view if inspect.iscoroutinefunction(view) else in_transaction(view) for name, view in views.items()}


def _forget(*, setting: str, **_: Any) -> None:
    """Let the next request look again, in a test that overrides the settings."""
    if setting == "REALTIME_SIP":
        _openai.cache_clear()
        _twilio.cache_clear()


setting_changed.connect(_forget, dispatch_uid="realtime_sip")


async def _call(request: HttpRequest) -> HttpResponse:
    return await run(_openai(), request)


async def _of_twilio(request: HttpRequest, kind: str) -> HttpResponse:
    view = _twilio().get(kind)
    if view is None:
        raise Http404
    return await run(view, request)


urlpatterns = [
    re_path(r"^openai/webhook/?$", without_transaction(open_to_webhooks(_call)), name="openai_webhook"),
    re_path(
        rf"^twilio/(?P<kind>{'|'.join(_KINDS)})/?$",
        without_transaction(open_to_webhooks(_of_twilio)),
        name="twilio_webhook",
    ),
    re_path(r"^health/ready/?$", health_view(configured_host, ready=True), name="ready"),
    re_path(r"^health/live/?$", health_view(configured_host, ready=False), name="live"),
]
