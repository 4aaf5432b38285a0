"""The lines of an event log: writing one, and reading a whole log back."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

from pydantic_core import to_json

from realtime_sip import events
from realtime_sip._redaction import redact, size_of
from realtime_sip._wire import Inbound, Outbound
from realtime_sip.errors import ConfigurationError, NotAnEventError
from realtime_sip.event_log.redaction import is_name, redacted_event, redacted_model
from realtime_sip.outcomes import CallEnded

MAX_LOG = 64 * 1024 * 1024
"""Bytes of the largest log that is written or read."""
MAX_LINE = 1024 * 1024
"""Bytes of the largest entry. Of a larger event only the type is written."""
MAX_HEADER = 4096
"""Bytes of the largest header."""

_encode = json.JSONEncoder(allow_nan=False).encode

_VERSION = 2
_VERSION_KEY = "realtime_sip_event_log"
_MOST_CALL_ID = 256

Source: TypeAlias = Literal["service", "program", "call"]
"""Whose event it is: the service sent it, this side sent it to the service, or it happened to the call itself."""

_SOURCES: dict[str, Source] = {"service": "service", "program": "program", "call": "call"}


class CallNote(Protocol):
    """A dataclass of what happens to a call, such as `LimitNear`. Its fields become those of the event."""

    type: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


Logged: TypeAlias = Inbound | Outbound | CallNote | CallEnded | Mapping[str, Any]
"""What can be logged: an event of the service, an event that was sent, or something that happened to the call."""


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLogHeader:
    """The first line of a log.

    Attributes:
        call_id: The call's id, cut to 256 characters.
        started_at: Unix seconds at which the program began to answer. The times of the entries count from here.
        began: Seconds from `started_at` at which logging began.
        redacted: Whether words, numbers and keys are withheld.
        consented: Whether the program's `consent` was asked, and said yes.
        caller: A keyed hash of the caller's number, or None if there is no number. Without the folder's key it reveals
            nothing; see `EventLogFolder.delete_caller`.
    """

    call_id: str
    started_at: float
    began: float
    redacted: bool
    consented: bool
    caller: str | None = field(repr=False)


def encoded_header(header: CallLogHeader) -> bytes:
    """Return the first line of a log, of at most `MAX_HEADER` bytes."""
    fields = {**dataclasses.asdict(header), "call_id": header.call_id[:_MOST_CALL_ID]}
    return json.dumps({_VERSION_KEY: _VERSION, **fields}).encode() + b"\n"


def encoded_entry(event: Logged, *, at: float, redacted: bool, secret: bool = False) -> bytes:
    """Return the line of an event at `at` seconds. It never raises, whatever the event holds.

    A `secret` event is redacted in any log. No log has the credentials of MCP servers. Of an event that JSON cannot
    write, or that is larger than `MAX_LINE`, only the type is written.
    """
    source: Source = "service" if isinstance(event, Inbound) else "program" if isinstance(event, Outbound) else "call"
    hidden = redacted or secret
    try:
        if isinstance(event, Inbound):
            data = redacted_model(event) if hidden else _without_credentials(event.to_wire())
        elif isinstance(event, Outbound):
            data = redacted_event(event.to_wire()) if hidden else _without_credentials(event.to_wire())
        else:
            data = _own(event, redacted=hidden)
        # What redaction leaves of the wire's own is ASCII, and finite.
        plain = hidden and source != "call"
        line = _line(at, source, data, withheld=secret and not redacted, plain=plain)
        if len(line) <= MAX_LINE:
            return line
    except (ValueError, TypeError, RecursionError):
        pass
    kind = event.get("type") if isinstance(event, Mapping) else getattr(event, "type", None)
    kind = kind if isinstance(kind, str) and is_name(kind) else "unreadable"
    return _line(at, source, {"type": kind}, withheld=True)


def _line(at: float, source: Source, data: dict[str, Any], *, withheld: bool, plain: bool = False) -> bytes:
    entry = {"at": round(at, 3), "from": source, **({"withheld": True} if withheld else {}), "event": data}
    if plain:
        return to_json(entry) + b"\n"  # in a quarter of the time
    # Only ASCII, so that no text looks like another line, and half a surrogate pair can be written too.
    return _encode(entry).encode("ascii") + b"\n"


# What an MCP server is reached and opened with.
_CREDENTIALS = frozenset({"authorization", "headers", "server_url", "tunnel_id"})


def _without_credentials(data: dict[str, Any]) -> dict[str, Any]:
    for name in ("session", "response"):
        part = data.get(name)
        if isinstance(part, dict) and isinstance(part.get("tools"), list):
            data = {**data, name: {**part, "tools": [_without_credential(tool) for tool in part["tools"]]}}
    return data


def _without_credential(tool: Any) -> Any:
    if not isinstance(tool, dict):
        return tool
    return {key: _withheld(value) if key in _CREDENTIALS else value for key, value in tool.items()}


def _withheld(value: object) -> object:
    if isinstance(value, dict):
        return {name: size_of(text) for name, text in value.items()}
    return size_of(value) if isinstance(value, str) else value


# What we say about a call in our own words.
_OWN_WORDS = frozenset({"certainty", "channel", "target", "tool"})


def _own(event: CallNote | CallEnded | Mapping[str, Any], *, redacted: bool) -> dict[str, Any]:
    if isinstance(event, Mapping):
        return redacted_event(event) if redacted else dict(event)
    kind = "call.ended" if isinstance(event, CallEnded) else event.type
    return {"type": kind, **_own_fields(event, redacted=redacted)}


def _own_fields(value: Any, *, redacted: bool) -> dict[str, Any]:
    # What a class of ours leaves out of its repr, nobody should see.
    return {
        part.name: _own_value(getattr(value, part.name), part.name, redacted=redacted)
        if part.repr or not redacted
        else size_of(getattr(value, part.name))
        for part in dataclasses.fields(value)
    }


def _own_value(value: object, name: str, *, redacted: bool) -> object:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _own_fields(value, redacted=redacted)
    if isinstance(value, str) and name == "evidence":
        return redact(value)  # it is safe to log, but of any length
    if not isinstance(value, (str, int, float, dict, list, tuple, type(None))):
        return size_of(value)
    number = isinstance(value, (int, float))
    if not redacted or number or (name in _OWN_WORDS and isinstance(value, str) and is_name(value)):
        return value
    return redacted_event({name: value})[name]


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One event of a log.

    Attributes:
        at: Seconds since `CallLogHeader.started_at`, to the millisecond.
        source: Whose event it is.
        data: The event in the wire's form, as it was written.
        withheld: Whether parts of it, or all but its type, were withheld in a log that is not redacted.
    """

    at: float
    source: Source
    data: dict[str, Any] = field(repr=False)
    withheld: bool = False

    @property
    def type(self) -> str:
        """The event's type."""
        return str(self.data["type"])

    def event(self) -> events.ServerEvent | None:
        """Return the event of the service, typed; None for one that is not the service's.

        In a redacted log its words are "<12 chars>" and its keys "<1 chars>".

        Raises:
            NotAnEventError: `data` is nothing that JSON can write; no entry that was read from a log is.
        """
        if self.source != "service":
            return None
        try:
            frame = json.dumps(self.data)
        except (ValueError, TypeError, RecursionError) as error:
            raise NotAnEventError(f"JSON cannot write the entry: {type(error).__name__}") from None
        return events.parse_server_event(frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLog:
    """The log of one call, read back.

    Attributes:
        header: What the log says about itself.
        entries: The events in order.
        cut: Whether the last line was cut off, as a crash or a full disk does.
    """

    header: CallLogHeader
    entries: tuple[LogEntry, ...] = field(repr=False)
    cut: bool = False


def read_event_log(path: str | os.PathLike[str]) -> CallLog:
    """Read a log. A last line that was cut off is left out, and `cut` says so. At most 64 MiB.

    Raises:
        ConfigurationError: It cannot be read, is too large, is no event log, is of a version that this release does not
            read, or has a line that is no entry; the message has its number.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_LOG + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read the event log: {type(error).__name__}") from None
    if len(content) > MAX_LOG:
        raise ConfigurationError(f"the event log is larger than {MAX_LOG} bytes")
    first, *lines = content.split(b"\n")
    header = _header(_object(first))
    # What is behind the last line end was cut off, but for a line that lacks its end alone: the beginning of an object
    # is never an object.
    rest = lines.pop() if lines else b""
    cut = rest != b"" and _object(rest) is None
    if rest and not cut:
        lines.append(rest)
    entries = []
    for number, line in enumerate(lines, start=2):
        entry = _entry(_object(line))
        if entry is None:
            another = read_header(line) is not None
            problem = "begins another log: read each by itself" if another else "is no entry"
            raise ConfigurationError(f"line {number} of the event log {problem}")
        entries.append(entry)
    return CallLog(header=header, entries=tuple(entries), cut=cut)


def read_header(line: bytes) -> dict[str, Any] | None:
    """Return the header in a first line, of whatever version; None if the line is not a header."""
    value = _object(line)
    return value if value is not None and _VERSION_KEY in value else None


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _header(value: dict[str, Any] | None) -> CallLogHeader:
    version = (value or {}).get(_VERSION_KEY)
    if value is None or type(version) is not int:
        raise ConfigurationError("this is no event log of a call: its first line is no header")
    if version != _VERSION:
        raise ConfigurationError(f"the event log is of version {version}; this release reads version {_VERSION}")
    call_id, caller = value.get("call_id"), value.get("caller")
    redacted, consented = value.get("redacted"), value.get("consented")
    started_at, began = _number(value.get("started_at")), _number(value.get("began"))
    well_formed = isinstance(call_id, str) and (caller is None or isinstance(caller, str))
    if not well_formed or not isinstance(redacted, bool) or not isinstance(consented, bool):
        raise ConfigurationError("the header of the event log is malformed")
    if started_at is None or began is None:
        raise ConfigurationError("the header of the event log is malformed")
    return CallLogHeader(
        call_id=str(call_id), started_at=started_at, began=began, redacted=redacted, consented=consented, caller=caller
    )


def _entry(value: dict[str, Any] | None) -> LogEntry | None:
    if value is None:
        return None
    at, data = _number(value.get("at")), value.get("event")
    source = _SOURCES.get(str(value.get("from")))
    if at is None or source is None or not isinstance(data, dict) or not isinstance(data.get("type"), str):
        return None
    return LogEntry(at=at, source=source, data=data, withheld=value.get("withheld") is True)


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12 else None
