"""The settings of the bookshop: what differs from one machine to another is in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
SECRET_KEY = "for development alone" if DEBUG else os.environ["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "").split()  # with DEBUG this machine may ask, too

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "realtime_sip.integrations.django",
    "orders",
    "phonecalls",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "bookshop.urls"
WSGI_APPLICATION = "bookshop.wsgi.application"

# The numbers that are answered, and what answers them. Its keys, OPENAI_API_KEY and
# OPENAI_WEBHOOK_SECRET, are read from the environment by its client.
ORDERS_NUMBER = os.environ.get("ORDERS_NUMBER", "+14155550110")
SERVICE_NUMBER = os.environ.get("SERVICE_NUMBER", "+14155550120")
DRAIN_TIMEOUT = float(os.environ.get("DRAIN_TIMEOUT", "25"))  # seconds for calls when a server stops: it needs 5 more
REALTIME_SIP = {"HOST": "phonecalls.host.host"}

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # Several calls may end at once: who writes waits for its turn from the beginning of its transaction.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        # A database in memory cannot be shared by threads without "table is locked".
        "TEST": {"NAME": BASE_DIR / "test.sqlite3"},
    }
}
if "PGDATABASE" in os.environ:  # PGHOST, PGUSER and PGPASSWORD are read by PostgreSQL's own library
    DATABASES["default"] = {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"

if not DEBUG:  # behind a proxy that speaks HTTPS to the world, and says so
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 3600
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]  # HSTS for all subdomains is not ours to decide

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"realtime_sip": {"handlers": ["console"], "level": "INFO"}},
}
