"""The settings of a client: where the service is, who asks, and how long an answer may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

from realtime_sip._redaction import miscopied
from realtime_sip.api.keys import ApiKey, checked_key
from realtime_sip.api.operations import DEADLINE
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError

USER_AGENT = f"realtime-sip/{version('realtime-sip')}"

# Azure takes keys in a header of their own, and the tokens of Entra ID, which are JSON Web Tokens, as everybody does.
_AZURE, _TOKEN = "api-key", "eyJ"


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
    """

    api_key: ApiKey = field(repr=False)
    endpoints: Endpoints = Endpoints.DEFAULT
    organization: str | None = None
    project: str | None = None
    timeout: float = DEADLINE
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    clock: Callable[[], float] = field(default=unix_now, repr=False)

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
        for name in ("timeout", "ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is None and name != "timeout":
                continue
            if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be a positive number of seconds")

    def headers(self, key: str | None = None) -> dict[str, str]:
        """Return the headers of a request with this key, or with `api_key` if that is a text.

        `OpenAI-Beta` is not among them: it would bring the beta API back.
        """
        key = self.api_key if key is None and isinstance(self.api_key, str) else key
        headers: dict[str, str] = {}
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
