"""The settings of a client: where the service is, who asks, and how long an answer may take."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

from realtime_sip import beta
from realtime_sip._redaction import miscopied
from realtime_sip.api.keys import ApiKey, checked_key
from realtime_sip.api.operations import DEADLINE
from realtime_sip.api.proxies import ProxyOption, checked_proxy
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

USER_AGENT = f"realtime-sip/{version('realtime-sip')}"

# Azure takes keys in a header of their own, and the tokens of Entra ID, which are JSON Web Tokens, as everybody does.
_AZURE, _TOKEN = "api-key", "eyJ"


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2
# What each request has or must not have. The service refuses what has the beta's header.
_OURS = {"connection", "host", beta.HEADER.lower(), "te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
_OURS |= {"accept-encoding", "openai-organization", "openai-project", "proxy-authorization"}
_OURS_BEGIN = ("content-", "sec-websocket-")


def _pairs(headers: object) -> list[tuple[object, object]]:
    if not isinstance(headers, Mapping):
        raise ConfigurationError("headers must be a mapping of names of headers to texts")
    return [*headers.items()]


def may_be_passed_on(name: str) -> bool:
    """Whether a header of the program's own HTTP client is one that a WebSocket's upgrade can carry too."""
    return name not in _OURS and name not in ("accept", "authorization") and not name.startswith(_OURS_BEGIN)


def _check_context(context: object) -> None:
    from ssl import SSLContext

    if not isinstance(context, SSLContext):
        raise ConfigurationError("ssl must be an ssl.SSLContext, such as ssl.create_default_context(cafile=…)")


def unix_now() -> float:
    """Return Unix seconds. The clock is looked up with each call, since tests replace it."""
    return time.time()


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings, checked.

    Attributes:
        api_key: The key, or a function that returns it; it is sent as it is and never shown.
        endpoints: Where the service is.
        organization: Sent as `OpenAI-Organization`.
        project: Sent as `OpenAI-Project`.
        timeout: Seconds that an operation may take with all its repeats.
        ping_interval: Seconds between the WebSocket's pings, or None for none.
        ping_timeout: Seconds after which a ping without an answer ends the connection, or None to wait forever.
        clock: Returns Unix seconds. Durations are measured by other clocks.
        ssl: What is trusted, or None for the system's and certifi's authorities.
        proxy: The URL of the proxy, False for none, None for that of the environment.
        extra_headers: Sent with each request and each upgrade.
    """

    api_key: ApiKey = field(repr=False)
    endpoints: Endpoints = Endpoints.DEFAULT
    organization: str | None = None
    project: str | None = None
    timeout: float = DEADLINE
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    clock: Callable[[], float] = field(default=unix_now, repr=False)
    ssl: SSLContext | None = field(default=None, repr=False)
    proxy: ProxyOption = field(default=None, repr=False)
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse at the door what could not be sent.

        Raises:
            ConfigurationError: A value cannot ride in a header, or is not a positive number of seconds.
        """
        if not callable(self.api_key):
            checked_key(self.api_key)
        for name in ("organization", "project"):
            value = getattr(self, name)
            if value is None:
                continue
            if not (isinstance(value, str) and value and value.isascii() and value.isprintable() and " " not in value):
                raise ConfigurationError(f"{name} must be ASCII text without spaces or line ends")
            wrong = miscopied(value)
            if wrong is not None:
                raise ConfigurationError(f"{name} {wrong}")
        if self.ssl is not None:
            _check_context(self.ssl)
        if self.proxy is not None and self.proxy is not False:
            checked_proxy(self.proxy, "proxy")
        self._check_headers()
        for name in ("timeout", "ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is None and name != "timeout":
                continue
            if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be a positive number of seconds")

    def _check_headers(self) -> None:
        seen: set[str] = set()
        for name, value in _pairs(self.extra_headers):
            if not (isinstance(name, str) and _HEADER_NAME.fullmatch(name)):
                raise ConfigurationError("headers must be a mapping of names of headers to texts")
            lower = name.lower()
            if lower == beta.HEADER.lower():
                raise ConfigurationError(
                    f"headers: {name} asked for the beta API, which was switched off; leave it out"
                )
            if (
                lower in seen
                or lower in _OURS
                or lower.startswith(_OURS_BEGIN)
                or lower == self.endpoints.key_header.lower()
            ):
                raise ConfigurationError(f"headers: {name} is set by the client itself, or is there twice")
            if not (isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()):
                raise ConfigurationError(
                    f"headers: {name} must be ASCII text without line ends, and no blanks around it"
                )
            seen.add(lower)

    def headers(self, key: str | None = None) -> dict[str, str]:
        """Return the headers of a request with this key, or with `api_key` if that is a text.

        `OpenAI-Beta` is not among them: the service refuses what has it.
        """
        key = self.api_key if key is None and isinstance(self.api_key, str) else key
        headers = dict(self.extra_headers)
        name = self.endpoints.key_header
        if key is not None and (name == "Authorization" or (name == _AZURE and key.startswith(_TOKEN))):
            headers["Authorization"] = f"Bearer {key}"
        elif key is not None:
            headers[name] = key
        if self.organization is not None:
            headers["OpenAI-Organization"] = self.organization
        if self.project is not None:
            headers["OpenAI-Project"] = self.project
        return headers
