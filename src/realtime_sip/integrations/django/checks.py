"""System checks: what would keep calls from being answered, found before a phone rings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from django import conf
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, get_resolver

from realtime_sip.errors import RealtimeSipError
from realtime_sip.hosting.host import CallHost
from realtime_sip.integrations.django.hosts import Host, configured_host
from realtime_sip.stores.memory import MemoryStore

_KEYS = "the environment must have OPENAI_API_KEY, OPENAI_WEBHOOK_SECRET, and what else the host is made of"
_CSRF = "django.middleware.csrf.CsrfViewMiddleware"
SMALLEST_BODY = 64 * 1024
"""Bytes that a webhook may well have: a call brings all headers of its INVITE."""


def check_host(**_: Any) -> list[CheckMessage]:
    """Check that the host can be imported. Keys may be missing for `migrate`, tests and a build."""
    if not hasattr(conf.settings, "REALTIME_SIP"):
        return []
    try:
        configured_host().client.webhooks  # noqa: B018 - it raises without a secret
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="docs/django.md", id="realtime_sip.E001")]
    except Exception as error:  # noqa: BLE001 - the module that has the host may raise anything when it is imported
        return [CheckWarning(_no_host(error), hint=_KEYS, id="realtime_sip.W005")]
    return []


def check_requests(**_: Any) -> list[CheckMessage]:
    """Check that webhooks get through: CSRF, the size of a body."""
    found: list[CheckMessage] = []
    if _CSRF in conf.settings.MIDDLEWARE:
        found += [
            Error(
                f"the view of {pattern.pattern} takes webhooks, and is not exempt from CSRF any more",
                hint="a decorator around it must keep its attributes, as functools.wraps does",
                id="realtime_sip.E002",
            )
            for pattern in _patterns(get_resolver().url_patterns)
            if _takes_webhooks(pattern.callback) and not getattr(pattern.callback, "csrf_exempt", False)
        ]
    most = conf.settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if most is not None and most < SMALLEST_BODY:
        found.append(
            CheckWarning(
                f"DATA_UPLOAD_MAX_MEMORY_SIZE is {most}: a webhook with many SIP headers may be refused with 413",
                hint=f"set it to {SMALLEST_BODY} or more",
                id="realtime_sip.W001",
            )
        )
    return found


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Check what matters with calls, several processes and a database."""
    if not hasattr(conf.settings, "REALTIME_SIP"):
        return []
    try:
        host = configured_host()
        host.client.webhooks  # noqa: B018 - it raises without a secret
    except ImproperlyConfigured:
        return []
    except Exception as error:  # noqa: BLE001 - as above
        return [Error(_no_host(error), hint=_KEYS, id="realtime_sip.E003")]
    return [*_deployed(host)]


def _no_host(error: Exception) -> str:
    said = str(error) if isinstance(error, RealtimeSipError) else f"{type(error).__name__}: {error}"
    return f"calls cannot be answered, because REALTIME_SIP['HOST'] cannot be made: {said}"


def _deployed(host: Host) -> Iterator[CheckMessage]:
    if isinstance(host.store, MemoryStore):
        yield CheckWarning(
            "claims are kept in the memory of one process: with several workers, code before `answer` may run twice",
            hint="give the host a store that they share, or serve with one worker and silence this",
            id="realtime_sip.W002",
        )
    kept = [name for name, database in conf.settings.DATABASES.items() if database.get("CONN_MAX_AGE", 0) != 0]
    if kept and isinstance(host, CallHost):
        yield CheckWarning(
            f"CONN_MAX_AGE is not 0 for {', '.join(kept)}: under ASGI connections of threads stay open",
            hint="set it to 0, and let a pooler keep connections",
            id="realtime_sip.W003",
        )
    if conf.settings.SECURE_SSL_REDIRECT and conf.settings.SECURE_PROXY_SSL_HEADER is None:
        yield CheckWarning(
            "SECURE_SSL_REDIRECT answers webhooks with 301 if a proxy speaks HTTP to this server",
            hint="set SECURE_PROXY_SSL_HEADER, or add the webhooks to SECURE_REDIRECT_EXEMPT",
            id="realtime_sip.W004",
        )


def _patterns(patterns: Any) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        else:
            yield from _patterns(pattern.url_patterns)


def _takes_webhooks(view: Any) -> bool:
    return bool(getattr(inspect.unwrap(view), "takes_webhooks", False) or getattr(view, "takes_webhooks", False))
