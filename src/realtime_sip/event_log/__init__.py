"""The event log of a call: the events on its socket and how it ended, as JSON lines in a folder.

    logs = EventLogFolder("calls/")                          # redacted, unless redact=False
    client.calls.answer(incoming, session, event_log=logs)
    logs.prune(older_than=30 * 86400)                   # retention: call it daily
    logs.delete_caller("+14155550100")                  # a caller's right to be forgotten
    log = read_event_log(logs.paths()[0])

`EventLogFolder` is the folder, `EventLog` writes the log of one call, and `read_event_log` reads one back as a
`CallLog`. An unredacted one can be replayed: `realtime_sip.testing.Recording.from_event_log`.

Line 1 of a file is its header, each other line an entry; the fields are those of `CallLogHeader` and `LogEntry`:

    {"realtime_sip_event_log": 2, "call_id": "rtc_1", "started_at": 1795000000.0, "began": 0.412,
     "redacted": true, "consented": false, "caller": "5b1e…"}
    {"at": 3.207, "from": "service", "event": {"type": "response.created", "event_id": "event_1", …}}
"""

from __future__ import annotations

from realtime_sip.event_log.entries import CallLog, CallLogHeader, LogEntry, Logged, Source, read_event_log
from realtime_sip.event_log.folder import EventLogFolder
from realtime_sip.event_log.redaction import redacted_event
from realtime_sip.event_log.writer import EventLog

__all__ = [
    "CallLog",
    "CallLogHeader",
    "EventLog",
    "EventLogFolder",
    "LogEntry",
    "Logged",
    "Source",
    "read_event_log",
    "redacted_event",
]
