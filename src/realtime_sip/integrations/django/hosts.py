"""The hosts of this process: the one that the settings name, and those that views were made for."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, TypeAlias
from weakref import WeakSet

from django import conf
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver
from django.utils.module_loading import import_string

from realtime_sip.errors import ConfigurationError
from realtime_sip.hosting.host import CallHost
from realtime_sip.hosting.threads import ThreadCallHost
from realtime_sip.integrations.django.connections import around

Host: TypeAlias = CallHost | ThreadCallHost

_log = logging.getLogger("realtime_sip.integrations")
_NO_LIFESPAN = (
    "calls would be cut off when the server stops, since no lifespan has begun: make the application of asgi.py with "
    "asgi(get_asgi_application()), under a server that has a lifespan, or take a ThreadCallHost"
)

known: WeakSet[Host] = WeakSet()
"""The hosts that are drained when the server stops."""
_lifespans: list[bool] = []
_warned: WeakSet[CallHost] = WeakSet()


def checked(host: object) -> Host:
    """Return a host, known from now on.

    Raises:
        ConfigurationError: It is not one.
    """
    if not isinstance(host, (CallHost, ThreadCallHost)):
        raise ConfigurationError("host must be a ThreadCallHost or a CallHost")
    known.add(host)
    return host


def configured(name: str, *, of: dict[str, Any] | None = None) -> Any:
    """Return what a setting names: a dotted path is imported.

    Raises:
        ImproperlyConfigured: It is missing, or cannot be imported.
    """
    values = getattr(conf.settings, "REALTIME_SIP", {}) if of is None else of
    value = values.get(name)
    if value is None:
        raise ImproperlyConfigured(f"REALTIME_SIP has no {name}: give its dotted path, as 'shop.calls.{name.lower()}'")
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError as error:
        raise ImproperlyConfigured(f"REALTIME_SIP names a {name} that cannot be imported: {error}") from error


def configured_host() -> Host:
    """Return the host that the settings name.

    Raises what its module raises when it is imported, as `ConfigurationError` without a key.

    Raises:
        ImproperlyConfigured: It names no host, or something else.
    """
    host = configured("HOST")
    try:
        return checked(host)
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"REALTIME_SIP['HOST']: {error}") from error


def begin_lifespan() -> None:
    """Record that the server says when it stops, and let the hosts look for calls to take over."""
    _lifespans.append(True)
    try:
        _ = get_resolver().url_patterns  # the hosts are known once the views are made, else with the first request
    except Exception as error:  # noqa: BLE001 - Django says what is wrong with each request
        _log.warning("the URLs could not be loaded: %s", type(error).__name__)
    for host in known:
        host.watch(around=around)


def warn_without_lifespan(host: CallHost) -> None:
    """Say once in the log that nothing will drain a host."""
    if not _lifespans and not host.has_lifespan and host not in _warned:
        _warned.add(host)
        _log.warning(_NO_LIFESPAN)


async def drain_all() -> None:
    """Drain the hosts, all at once."""

    async def drained(host: Host) -> None:
        if isinstance(host, CallHost):
            await host.drain()
        else:
            await asyncio.to_thread(host.close)

    await asyncio.gather(*(drained(host) for host in known))
