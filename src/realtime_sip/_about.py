"""Which call the running code is about, so that each line of a log says it, whoever writes the line."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

about_call: ContextVar[str] = ContextVar("realtime_sip.about_call", default="")
"""The id of the call that the handler, its tasks and its tools are about; "" outside of calls."""

LOGGERS = (
    *("host", "router", "policy", "call", "tools", "guardrail", "http", "protocol", "events", "websocket"),
    *("webhooks", "integrations", "context", "twilio", "event_log", "telemetry"),
)
"""The loggers below `realtime_sip` that may write about a call."""

_NAMED = re.compile(r"call (\S+): ")


class _AboutCall(logging.Filter):
    """Puts the call's id in front of a line that does not begin with it, and into the record as `call_id`."""

    def filter(self, record: logging.LogRecord) -> bool:
        named = _NAMED.match(record.getMessage())
        about = about_call.get()
        record.call_id = named[1] if named else about
        if about and named is None:
            record.msg, record.args = "call %s: %s", (about, record.getMessage())
        return True


_FILTER = _AboutCall()
for _name in LOGGERS:
    logging.getLogger(f"realtime_sip.{_name}").addFilter(_FILTER)
