"""Which proxy leads to the service: one answer for the REST calls and the WebSocket, whose libraries have two."""

from __future__ import annotations

import ipaddress
import os
import sys
from importlib.util import find_spec
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from realtime_sip.errors import ConfigurationError

ProxyOption: TypeAlias = str | Literal[False] | None
"""The URL of a proxy; False for none; None for that of the environment."""

_SCHEMES = ("http", "https", "socks5", "socks5h")
_SOCKS = ("socksio", "python_socks")
"""What httpx and websockets need for it."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def proxy_to(url: str, option: ProxyOption, *, trust_env: bool) -> str | None:
    """Return the URL of the proxy that leads to `url`, or None. The environment has none for this machine itself.

    Raises:
        ConfigurationError: The proxy could not be used.
    """
    if option is not None:
        return None if option is False else checked_proxy(option, "proxy")
    parts = urlsplit(url)
    host = parts.hostname or ""
    # Loading what follows takes long, and most machines have no proxy. Two systems keep theirs elsewhere.
    named = any(name.lower().endswith("_proxy") for name in os.environ)
    if not trust_env or is_loopback(host) or not (named or sys.platform in ("darwin", "win32")):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not found or proxy_bypass(f"{host}:{port}"):
        return None
    return checked_proxy(found, "the proxy of the environment (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)")


def checked_proxy(url: object, what: str) -> str:
    """Return the URL of a proxy in the form that both libraries take.

    Raises:
        ConfigurationError: One of them could not use it. The message does not show it, since it may hold a password.
    """
    if not isinstance(url, str) or not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigurationError(f"{what} must be the URL of a proxy, or False for none")
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError(f"{what} must be the URL of a proxy with its port, such as http://proxy.example:3128")
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(f"{what} has a scheme that cannot be used; schemes: {', '.join(_SCHEMES)}")
    if parts.username is not None and parts.password is None:
        raise ConfigurationError(f"{what} has a user without a password")
    if not parts.scheme.startswith("socks"):
        return url
    missing = [name.replace("_", "-") for name in _SOCKS if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"{what} is a SOCKS proxy, which needs a package: pip install {' '.join(missing)}")
    # The HTTP client leaves names to the proxy in any case; so does the WebSocket then.
    return f"socks5h://{url.partition('://')[2]}"
