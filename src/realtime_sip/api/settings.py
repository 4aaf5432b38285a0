"""The settings of a client: where the service is, who asks, and how long an answer may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

from realtime_sip.api.operations import DEADLINE
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError

USER_AGENT = f"realtime-sip/{version('realtime-sip')}"


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings, checked.

    Attributes:
        api_key: The key; it is sent as it is and never shown.
        endpoints: Where the service is.
        organization: Sent as `OpenAI-Organization`.
        project: Sent as `OpenAI-Project`.
        timeout: Seconds that an operation may take with all its repeats.
        ping_interval: Seconds between the WebSocket's pings, or None for none.
        ping_timeout: Seconds after which a ping without an answer ends the connection, or None to wait forever.
        clock: Returns Unix seconds. Durations are measured by other clocks.
    """

    api_key: str = field(repr=False)
    endpoints: Endpoints = Endpoints.DEFAULT
    organization: str | None = None
    project: str | None = None
    timeout: float = DEADLINE
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    clock: Callable[[], float] = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        """Refuse at the door what could not be sent.

        Raises:
            ConfigurationError: A value cannot ride in a header, or is not a positive number of seconds.
        """
        for name in ("api_key", "organization", "project"):
            value = getattr(self, name)
            if value is None and name != "api_key":
                continue
            if not (isinstance(value, str) and value and value.isascii() and value.isprintable() and " " not in value):
                raise ConfigurationError(f"{name} must be ASCII text without spaces or line ends")
        for name in ("timeout", "ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is None and name != "timeout":
                continue
            if not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"{name} must be a positive number of seconds")

    def headers(self) -> dict[str, str]:
        """Return the headers of every request. `OpenAI-Beta` is not among them: it would bring the beta API back."""
        if self.endpoints.key_header == "Authorization":
            headers = {"Authorization": f"Bearer {self.api_key}"}
        else:
            headers = {self.endpoints.key_header: self.api_key}
        if self.organization is not None:
            headers["OpenAI-Organization"] = self.organization
        if self.project is not None:
            headers["OpenAI-Project"] = self.project
        return headers
