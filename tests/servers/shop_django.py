"""The shop as a project of Django: for servers that run a lifespan, and for those that do not."""

from __future__ import annotations

import sys

import shop
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.urls import path

from realtime_sip import CallHost, ThreadCallHost
from realtime_sip.integrations.django import asgi, openai_webhook

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="shop_django",
    SECRET_KEY="of a test",
    INSTALLED_APPS=["realtime_sip.integrations.django"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)

host = CallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
thread_host = ThreadCallHost(shop.on_call, client=shop.client, drain_timeout=shop.DRAIN)
thread_host.exit_on_sigterm()

urlpatterns = [
    path("openai/webhook", openai_webhook(host)),
    path("thread/webhook", openai_webhook(thread_host)),
]
django = get_asgi_application()
application = asgi(django)

if __name__ == "__main__":
    sys.modules["shop_django"] = sys.modules["__main__"]
    execute_from_command_line(sys.argv)
