"""OpenAI's and Twilio's webhooks as views of Django, and an app with settings, system checks and a command.

    INSTALLED_APPS = [..., "realtime_sip.integrations.django"]
    REALTIME_SIP = {"HOST": "shop.calls.host"}

    urlpatterns = [path("", include("realtime_sip.integrations.django.urls"))]

    application = asgi(get_asgi_application())  # under ASGI

The host is a `ThreadCallHost`, which lives under every server, or a `CallHost` under ASGI servers that have a lifespan.
"""

from __future__ import annotations

from realtime_sip.errors import MissingExtraError

try:
    import django as _django  # noqa: F401 - without it nothing below can be imported
except ImportError:
    raise MissingExtraError("django", "django") from None

from realtime_sip.integrations.django.asgi import asgi
from realtime_sip.integrations.django.own_views import verified_call, verified_webhook
from realtime_sip.integrations.django.views import health, openai_webhook, twilio_webhook

__all__ = ["asgi", "health", "openai_webhook", "twilio_webhook", "verified_call", "verified_webhook"]
