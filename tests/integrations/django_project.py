"""A project of Django for the tests, whose settings are made when this is imported."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.urls import include, path

urlpatterns: list[Any] = [path("", include("realtime_sip.integrations.django.urls"))]

if not settings.configured:
    settings.configure(
        SECRET_KEY="a key of the tests",
        ALLOWED_HOSTS=["testserver", "127.0.0.1"],
        ROOT_URLCONF="django_project",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "realtime_sip.integrations.django",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "file:tests?mode=memory&cache=shared"}},
        REALTIME_SIP={
            "HOST": "shop_calls.host",
            "TWILIO": {"SIGNATURE": "shop_calls.twilio", "VOICE": "shop_calls.voice"},
        },
    )
    django.setup()
