"""Whether a WhatsApp user may be asked for permission to be called, and called: WhatsApp's rules, without I/O.

Twilio has no way to read a permission, so what happened is kept (`CallPermissions`), and the rules are applied to it.
Times are Unix seconds.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import PermissionReason, PermissionVerdict

DAY = 86_400.0
WEEK = 7 * DAY
_MOST_EVENTS, _MOST_OLD = 120, 20
_APPROVALS = frozenset({"accepted", "accepted_permanently"})
_ANSWERS = _APPROVALS | {"rejected"}

EventKind: TypeAlias = Literal[
    "requested",
    "accepted",
    "accepted_permanently",
    "rejected",
    "dialed",
    "connected",
    "missed",
    "ended",
    "wrote",
    "called_us",
    "missed_by_us",
]
"""What can happen between a sender and a WhatsApp user:

- "requested": the request for permission was sent; "accepted", "accepted_permanently", "rejected": what they answered.
- "dialed": a call to them was placed; "connected": they answered; "missed": they did not; "ended": it is over.
- "wrote": they sent a message; "called_us": they called; "missed_by_us": their call was not answered.
"""
_ORDER: tuple[str, ...] = get_args(EventKind)


@dataclass(frozen=True, slots=True, order=True)
class PermissionEvent:
    """Something that happened between a sender and a WhatsApp user.

    Attributes:
        at: When, as Unix seconds.
        kind: What.
        id: The SID of the message or call. An event of the same kind and id is a repeat.
    """

    at: float
    kind: EventKind
    id: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` in any `per` seconds.

    Raises:
        ConfigurationError: They are not positive.
    """

    most: int
    per: float

    def __post_init__(self) -> None:
        if type(self.most) is not int or self.most < 1 or not 0 < self.per < math.inf:
            raise ConfigurationError("a limit needs a positive number, and a positive number of seconds")

    def frees(self, times: Sequence[float], now: float) -> float | None:
        """Return when there is room for one more, or None if there is now. The times are sorted.

        >>> Limit(2, 60.0).frees([10.0, 20.0], 30.0), Limit(2, 60.0).frees([10.0, 20.0], 70.0)
        (70.0, None)
        """
        # Added, as in what is returned: subtracted, the last digit may be another one.
        counted = [at for at in times if at <= now < at + self.per]
        return counted[-self.most] + self.per if len(counted) >= self.most else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionRules:
    """WhatsApp's numbers, as Twilio's page on WhatsApp Business Calling had them on `as_of`. Meta changes them.

    Attributes:
        as_of: When these numbers were read.
        requests: How often permission may be requested of a user.
        connected_calls: How many calls may be connected with a user who permits them (Twilio's 37006, April 2026).
        validity: Seconds that a permission lasts, and a request without an answer.
        prompt_after: Missed calls in a row after which WhatsApp asks the user again.
        revoke_after: Missed calls in a row that end the permission.
        concurrent: Calls that a sender may have at a time.
        conversation: Seconds since the user's last message in which a template without approval may be sent.
        longest_call: Seconds after which a call counts as over of which no end was reported. Twilio's own limit.
        connected_call_resets_requests: Whether the count of requests begins anew with a connected call, as one reseller
            of WhatsApp says and Twilio does not.
        calls_open_conversation: Whether a call opens a conversation as a message does, as Meta's page says.
        missed_call_permits: Whether a user whose call was not answered permits a call back without being asked. It is
            the callback setting of the sender, in Meta's WhatsApp Manager.

    Raises:
        ConfigurationError: A number is not positive.
    """

    as_of: datetime.date = datetime.date(2026, 11, 22)
    requests: Sequence[Limit] = (Limit(1, DAY), Limit(2, WEEK))
    connected_calls: Sequence[Limit] = (Limit(5, DAY),)
    validity: float = WEEK
    prompt_after: int = 2
    revoke_after: int = 4
    concurrent: int = 1000
    conversation: float = DAY
    longest_call: float = 4 * 3600.0
    connected_call_resets_requests: bool = False
    calls_open_conversation: bool = True
    missed_call_permits: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and not 0 < value < math.inf:
                raise ConfigurationError(f"{each.name} must be positive")

    @property
    def memory(self) -> float:
        """Seconds that an event may count."""
        limits = [limit.per for limit in (*self.requests, *self.connected_calls)]
        return max(*limits, self.validity, self.conversation, self.longest_call)


@dataclass(frozen=True, slots=True)
class _Standing:
    reason: PermissionReason | None
    until: float | None
    missed: int


@dataclass(frozen=True, slots=True)
class PermissionHistory:
    """What happened between one sender and one WhatsApp user, and what follows from it.

    Events may come in any order, and more than once. What happened later than `now` does not count.

    >>> history = PermissionHistory().having(PermissionEvent(0.0, "accepted"))
    >>> bool(history.may_call(3600.0)), history.may_call(8 * 86_400.0).reason
    (True, <PermissionReason.EXPIRED: 'expired'>)
    """

    events: tuple[PermissionEvent, ...] = ()
    rules: PermissionRules = field(default_factory=PermissionRules)

    def having(self, *events: PermissionEvent) -> PermissionHistory:
        """Return the history with these events as well. Of a repeat the earliest counts."""
        known: dict[tuple[str, str | float], PermissionEvent] = {}
        for event in (*self.events, *events):
            key = event.kind, event.id or event.at
            known[key] = min(known.get(key, event), event)
        ordered = sorted(known.values(), key=lambda each: (each.at, _ORDER.index(each.kind), each.id))
        return PermissionHistory(tuple(ordered), self.rules)

    def without(self, kind: EventKind, id: str) -> PermissionHistory:  # noqa: A002 - the event's word
        """Return the history without an event that did not come about."""
        return PermissionHistory(tuple(e for e in self.events if (e.kind, e.id) != (kind, id)), self.rules)

    def may_call(self, now: float, *, concurrent: int = 0) -> PermissionVerdict:
        """Return whether they may be called. `concurrent` calls of the sender are up."""
        events = self._until(now)
        standing = self._standing(events, now)
        about = (standing.until, standing.missed, self._warnings(standing))
        if standing.reason is not None:
            return PermissionVerdict(standing.reason, None, *about)
        if concurrent >= self.rules.concurrent:
            return PermissionVerdict(PermissionReason.SENDER_FULL, None, *about)
        under_way = self._under_way_until(events, now)
        connected = [event.at for event in events if event.kind == "connected"]
        frees = [limit.frees(connected, now) for limit in self.rules.connected_calls]
        waits = [at for at in (under_way, *frees) if at is not None]
        if not waits:
            return PermissionVerdict(None, None, *about)
        reason = PermissionReason.CALL_LIMIT if under_way is None else PermissionReason.CALL_UNDER_WAY
        return PermissionVerdict(reason, self._before(max(waits), standing.until), *about)

    def may_request(self, now: float, *, approved: bool = False) -> PermissionVerdict:
        """Return whether permission may be requested. A template that is `approved` may be sent at any time."""
        events = self._until(now)
        standing = self._standing(events, now)
        about = (standing.until, standing.missed, self._warnings(standing))
        open_until = math.inf if approved else self._conversation_until(events)
        if open_until is None or open_until <= now:
            return PermissionVerdict(PermissionReason.CONVERSATION_CLOSED, None, *about)
        since = max((e.at for e in events if e.kind == "connected"), default=-math.inf)
        since = since if self.rules.connected_call_resets_requests else -math.inf
        requested = [event.at for event in events if event.kind == "requested" and event.at > since]
        waits = [at for limit in self.rules.requests if (at := limit.frees(requested, now)) is not None]
        if not waits:
            return PermissionVerdict(None, None, *about)
        return PermissionVerdict(PermissionReason.REQUEST_LIMIT, self._before(max(waits), open_until), *about)

    def pruned(self, now: float) -> PermissionHistory:
        """Return the history without what no longer counts for anything."""
        since = now - self.rules.memory
        old = self._in_time(event for event in self.events if event.at < since)
        last = {("answer" if event.kind in _ANSWERS else event.kind): event for event in old}
        answered = old.index(last["connected"]) if "connected" in last else -1
        lasting = {last[kind] for kind in ("answer", "requested", "missed_by_us", "connected") if kind in last}
        lasting |= {event for event in old[answered + 1 :] if event.kind == "missed"}
        newer = [event for event in self.events if event.at >= since]
        newest = {event.kind: event for event in newer if event.at <= now}
        kept = [e for e in newer if e.kind not in ("wrote", "called_us") or e.at > now or e == newest[e.kind]]
        before = [event for event in old if event in lasting][-_MOST_OLD:]
        return PermissionHistory((*before, *kept[-_MOST_EVENTS:]), self.rules)

    def _until(self, now: float) -> list[PermissionEvent]:
        return [event for event in self.events if event.at <= now]

    def _in_time(self, events: Iterable[PermissionEvent]) -> list[PermissionEvent]:
        """Return the events without approvals that came after the request, or the answer before, had expired."""
        kept: list[PermissionEvent] = []
        pending: float | None = None
        for event in events:
            lapses = event.at + self.rules.validity
            if event.kind in _APPROVALS and pending is not None and pending <= event.at:
                continue
            if event.kind == "requested" or event.kind in _ANSWERS:
                pending = None if event.kind == "accepted_permanently" else lapses
            kept.append(event)
        return kept

    def _standing(self, events: Iterable[PermissionEvent], now: float) -> _Standing:
        reason, until, missed = PermissionReason.NOT_ASKED, None, 0
        lapsed_at = math.inf
        for event in self._in_time(events):
            lapses = event.at + self.rules.validity
            match event.kind:
                case "requested":
                    lapsed_at = lapses
                    if until is None or until <= event.at:
                        reason, until = PermissionReason.UNANSWERED, None
                case "accepted":
                    until, missed = lapses, 0
                case "accepted_permanently":
                    until, missed = math.inf, 0
                case "rejected":
                    reason, until, lapsed_at = PermissionReason.REJECTED, None, lapses
                case "missed_by_us" if self.rules.missed_call_permits and (until is None or until < lapses):
                    until, missed = lapses, 0
                case "connected":
                    missed = 0
                case "missed":
                    missed += 1
                    if missed >= self.rules.revoke_after and until is not None:
                        reason, until, lapsed_at = PermissionReason.REVOKED, None, math.inf
        if until is not None:
            return _Standing(None if now < until else PermissionReason.EXPIRED, until, missed)
        return _Standing(PermissionReason.EXPIRED if lapsed_at <= now else reason, None, missed)

    def _under_way_until(self, events: Iterable[PermissionEvent], now: float) -> float | None:
        up: dict[str, float] = {}
        over = {event.id for event in events if event.kind in ("ended", "missed")}
        for event in events:
            if event.kind in ("dialed", "connected") and event.id and event.id not in over:
                up.setdefault(event.id, event.at + self.rules.longest_call)
        return max((until for until in up.values() if until > now), default=None)

    def _conversation_until(self, events: Iterable[PermissionEvent]) -> float | None:
        opening = _ANSWERS | {"wrote"}
        if self.rules.calls_open_conversation:
            opening |= {"called_us", "missed_by_us", "connected"}
        return max((e.at + self.rules.conversation for e in events if e.kind in opening), default=None)

    def _warnings(self, standing: _Standing) -> tuple[str, ...]:
        if standing.until is None or standing.missed < self.rules.prompt_after:
            return ()
        end = self.rules.revoke_after
        return (f"{standing.missed} calls in a row were missed: WhatsApp asks them whether to go on; {end} end it",)

    @staticmethod
    def _before(at: float, end: float | None) -> float | None:
        return at if end is None or at < end else None
