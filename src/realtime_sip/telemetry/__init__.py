"""Traces and metrics of calls, over OpenTelemetry (extra `otel`).

    host = CallHost(on_call, client=client, telemetry=Telemetry())

Nothing of OpenTelemetry is imported before this module is. `docs/telemetry.md` lists what is emitted.
"""

from __future__ import annotations

from realtime_sip.errors import MissingExtraError

try:
    import opentelemetry.trace  # noqa: F401 - here, so that what is missing has a name
except ImportError:
    raise MissingExtraError("opentelemetry-api", "otel") from None

from realtime_sip.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
