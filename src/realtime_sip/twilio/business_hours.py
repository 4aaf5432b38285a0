"""Business hours, by which a voice webhook decides before anything at OpenAI costs money."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from realtime_sip.errors import ConfigurationError
from realtime_sip.twilio.arguments import refuse

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    "([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])|([01][0-9]|2[0-3]):([0-5][0-9])-24:00"
)
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_AHEAD = 400
"""Days in which it has to open again."""

Span = tuple[timedelta, timedelta]
"""From when until when it is open, since the midnight that begins the day; until up to two days later."""


class BusinessHours:
    """When somebody is there, in the time of a place.

    Args:
        zone: The time zone, such as "America/Sao_Paulo".
        hours: Days -> hours: `{"mon-fri": "09:00-12:00 13:30-18:00", "sat": "09:00-12:00"}`. Days that are not there
            are closed. Hours that end before they begin end on the next day, and belong to the day on which they begin.
        holidays: Days that are closed, whatever day of the week they are.
        exceptions: Days with hours of their own.

    >>> from datetime import UTC, datetime
    >>> shop = BusinessHours("America/Sao_Paulo", {"mon-fri": "09:00-18:00"})
    >>> shop.are_open(datetime(2026, 11, 26, 11, 30, tzinfo=UTC))
    False
    >>> print(shop.opens_at(datetime(2026, 11, 26, 11, 30, tzinfo=UTC)))
    2026-11-26 09:00:00-03:00

    Raises:
        ConfigurationError: The zone is not known, or days or hours cannot be read.
    """

    __slots__ = ("_special", "_week", "_zone")

    def __init__(
        self,
        zone: str,
        hours: Mapping[str, str],
        *,
        holidays: Iterable[date] = (),
        exceptions: Mapping[date, str] | None = None,
    ) -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (KeyError, ValueError, TypeError, OSError):
            raise ConfigurationError(
                "zone must be a time zone, as America/Sao_Paulo; a system without them needs tzdata"
            ) from None
        if not isinstance(hours, Mapping) or not hours:
            raise ConfigurationError("there are no hours: pass days and hours, as mon-fri and 09:00-17:00")
        self._week: dict[int, tuple[Span, ...]] = {}
        for days, text in hours.items():
            for day in _days(days):
                if day in self._week:
                    raise ConfigurationError(f"{_DAYS[day]} has hours twice")
                self._week[day] = _spans(text)
        special = {} if exceptions is None else {day: _spans(text) for day, text in exceptions.items()}
        closed = list(holidays) if isinstance(holidays, Iterable) else [holidays]
        if not all(type(day) is date for day in (*closed, *special)):
            raise ConfigurationError("holidays and exceptions are dates: date(2026, 12, 25)")
        self._special: dict[date, tuple[Span, ...]] = {**dict.fromkeys(closed, ()), **special}

    def __repr__(self) -> str:
        """Show the zone."""
        return f"<BusinessHours {self._zone.key}>"

    def are_open(self, at: datetime) -> bool:
        """Return whether somebody is there.

        Raises:
            InvalidRequestError: The moment has no time zone.
        """
        here = self._here(at)
        return any(begin <= here < end for begin, end in self._near(here.date()))

    def opens_at(self, at: datetime) -> datetime | None:
        """Return when somebody is there again: now, if they are; None if not within 400 days.

        Raises:
            InvalidRequestError: The moment has no time zone.
        """
        if self.are_open(at):
            return at
        today = self._here(at).date()
        for days in range(-1, _AHEAD):
            begins = (begin for begin, _ in self._on(today + days * _DAY))
            moments = sorted(moment for begin in begins for moment in self._moments(begin))
            for moment in moments:
                if moment > at and self.are_open(moment):
                    return moment.astimezone(self._zone)
        return None

    def _here(self, at: datetime) -> datetime:
        """Return a moment as a clock of the place shows it."""
        aware = isinstance(at, datetime) and at.utcoffset() is not None
        refuse("BusinessHours", {"at": None if aware else "must be a datetime with a time zone"})
        return at.astimezone(self._zone).replace(tzinfo=None)

    def _near(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        yield from self._on(day - _DAY)
        yield from self._on(day)

    def _on(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        midnight = datetime.combine(day, time())
        for begin, end in self._special.get(day, self._week.get(day.weekday(), ())):
            yield midnight + begin, midnight + end

    def _moments(self, shown: datetime) -> list[datetime]:
        """Return when a clock of the place shows a time: once, or twice if it is put back.

        If it is put forward over that time, this is when it is.
        """
        either = sorted({shown.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)})
        found = [moment for moment in either if self._here(moment) == shown]
        if not found:
            found = either[:1]
            while self._here(found[0]) < shown:
                found[0] += _MINUTE
        return found


def _days(text: object) -> list[int]:
    """Return the days of the week, 0 for Monday, that "mon" or "fri-mon" says."""
    first, _, last = text.partition("-") if isinstance(text, str) else ("", "", "")
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ConfigurationError(f"days are written as {', '.join(_DAYS)}, or from one to another, as mon-fri")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]


def _spans(text: object) -> tuple[Span, ...]:
    spans: list[Span] = []
    for each in text.split() if isinstance(text, str) else ():
        if _HOURS.fullmatch(each) is None:
            spans.clear()
            break
        begin, end = (timedelta(hours=int(part[:2]), minutes=int(part[3:])) for part in each.split("-"))
        if begin == end:
            spans.clear()
            break
        spans.append((begin, end if end > begin else end + _DAY))
    if not spans:
        raise ConfigurationError("hours are written as 09:00-17:00, several with a space between them")
    spans.sort()
    if any(end > begin for (_, end), (begin, _) in pairwise(spans)):
        raise ConfigurationError("hours of one day overlap")
    return tuple(spans)
