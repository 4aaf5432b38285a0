"""The resource of one leg: its status, its callbacks, and how REST shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

__all__ = ["FINAL", "Callback", "Leg", "LegStatus", "written"]

LegStatus = Literal[
    "queued", "initiated", "ringing", "in-progress", "completed", "busy", "failed", "no-answer", "canceled"
]

FINAL: frozenset[str] = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
EVENTS = ("initiated", "ringing", "answered", "completed")
_API = "2010-04-01"


def written(unix: float) -> str:
    """Return a time as Twilio writes it (RFC 2822)."""
    return format_datetime(datetime.fromtimestamp(int(unix), UTC))


@dataclass(frozen=True, slots=True)
class Callback:
    """Where the status of a leg is reported, and which events. Subscribing to "answered" delivers "in-progress"."""

    url: str = field(repr=False)
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})

    @classmethod
    def of(cls, url: str, method: str, events: Iterable[str]) -> Callback | None:
        """Return the callback, if there is a URL; without events it is for the end."""
        return cls(url, method or "POST", frozenset(events) or frozenset({"completed"})) if url else None


class Leg:
    """One call in the sense of the REST API: a parent, or one that it dialed.

    `report` is called with each status that the leg's callback is for, and its parameters; `moved` at each status.
    """

    def __init__(
        self,
        sid: str,
        *,
        account_sid: str,
        from_: str,
        to: str,
        direction: Literal["inbound", "outbound-api", "outbound-dial"],
        now: Callable[[], float],
        unix: Callable[[], float],
        parent: Leg | None = None,
        callback: Callback | None = None,
        extra: Mapping[str, str] | None = None,
        report: Callable[[Leg, Callback, dict[str, str]], None],
        moved: Callable[[], None],
    ) -> None:
        self.sid = sid
        self.account_sid = account_sid
        self.from_ = from_
        self.to = to
        self.direction = direction
        self.parent = parent
        self.callback = callback
        self.status: LegStatus = "queued"
        self.history: list[LegStatus] = []
        self.sip_code: int | None = None
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.sequence = 0
        self.answered_by: str | None = None
        """What machine detection has found."""
        self.hang_up: Callable[[], None] | None = None
        """What ends the leg if REST says so, while it is a leg that was dialed and is up."""
        self._extra = dict(extra or {})
        self._now = now
        self._unix = unix
        self._report = report
        self._moved = moved
        self._times: dict[str, float] = {"created": unix()}

    @property
    def over(self) -> bool:
        """Whether the status is final."""
        return self.status in FINAL

    @property
    def began_at(self) -> float:
        """When it was made, as Unix seconds."""
        return self._times["created"]

    @property
    def whatsapp(self) -> bool:
        """Whether one of its ends is on WhatsApp."""
        return self.from_.startswith("whatsapp:") or self.to.startswith("whatsapp:")

    @property
    def seconds(self) -> int | None:
        """The duration since it was answered; None if it was not."""
        if self.answered_at is None:
            return None
        return round((self._now() if self.ended_at is None else self.ended_at) - self.answered_at)

    def move(self, status: LegStatus) -> None:
        """Take a status; the one that it has, and any after a final one, changes nothing."""
        if self.over or status == self.status:
            return
        self.status = status
        self.history.append(status)
        if status == "in-progress":
            self.answered_at = self._now()
            self._times["start"] = self._unix()
        elif status in FINAL:
            self.ended_at = self._now()
            self._times["end"] = self._unix()
        event = {"in-progress": "answered"}.get(status, "completed" if status in FINAL else status)
        if self.callback is not None and event in self.callback.events:
            self._report(self, self.callback, self._status_params())
            self.sequence += 1
        self._moved()

    def params(self) -> dict[str, str]:
        """Return the standard parameters of a voice webhook."""
        params = {
            "CallSid": self.sid,
            "AccountSid": self.account_sid,
            "From": self.from_,
            "To": self.to,
            "Caller": self.from_,
            "Called": self.to,
            "CallStatus": self.status,
            "ApiVersion": _API,
            "Direction": self.direction,
            **self._extra,
        }
        if self.parent is not None:
            params["ParentCallSid"] = self.parent.sid
        return params

    def shown(self) -> dict[str, Any]:
        """Return the resource as REST shows it."""
        path = f"/{_API}/Accounts/{self.account_sid}/Calls/{self.sid}"
        start = self._times.get("start", self._times["created"])
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "parent_call_sid": None if self.parent is None else self.parent.sid,
            "from": self.from_,
            "from_formatted": self.from_,
            "to": self.to,
            "to_formatted": self.to,
            "caller_name": None,
            "answered_by": self.answered_by,
            "forwarded_from": None,
            "group_sid": None,
            "phone_number_sid": None,
            "queue_time": "0",
            "trunk_sid": None,
            "price": None,
            "price_unit": "USD",
            "annotation": None,
            "status": self.status,
            "direction": self.direction,
            "duration": str(self.seconds or 0) if self.over else None,
            "date_created": written(self._times["created"]),
            "date_updated": written(max(self._times.values())),
            "start_time": written(start) if self.answered_at is not None else None,
            "end_time": written(self._times["end"]) if self.over else None,
            "api_version": _API,
            "uri": f"{path}.json",
            "subresource_uris": {"recordings": f"{path}/Recordings.json"},
        }

    def _status_params(self) -> dict[str, str]:
        params = self.params()
        params["Timestamp"] = written(self._unix())
        params["CallbackSource"] = "call-progress-events"
        params["SequenceNumber"] = str(self.sequence)
        if self.answered_by is not None:
            params["AnsweredBy"] = self.answered_by
        if self.over:
            params["CallDuration"] = str(self.seconds or 0)
            params["Duration"] = str(-(-(self.seconds or 0) // 60))  # minutes begun
        if self.sip_code is not None and self.over:
            params["SipResponseCode"] = str(self.sip_code)
        return params
