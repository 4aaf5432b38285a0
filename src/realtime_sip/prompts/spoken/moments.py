"""Dates and times of day in words."""

from __future__ import annotations

import datetime as dt

from realtime_sip.prompts.locales import Locale, checked_locale
from realtime_sip.prompts.numbers import number
from realtime_sip.prompts.spoken.characters import refused

_MONTHS: dict[Locale, tuple[str, ...]] = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
        *("November", "December"),
    ),
    "pt-BR": (
        *("janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro"),
        *("novembro", "dezembro"),
    ),
}
_WEEKDAYS: dict[Locale, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "pt-BR": (
        *("segunda-feira", "terça-feira", "quarta-feira", "quinta-feira", "sexta-feira"),
        *("sábado", "domingo"),
    ),
}
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
    "twenty": "twentieth",
    "thirty": "thirtieth",
}


def date(day: dt.date, locale: Locale = "en", *, year: bool = True, weekday: bool = False) -> str:
    """Return a date in words.

    >>> date(dt.date(2026, 3, 1)), date(dt.date(2026, 3, 1), "pt-BR")
    ('March first, twenty twenty-six', 'primeiro de março de dois mil e vinte e seis')
    >>> date(dt.date(2026, 12, 1), "pt-BR", year=False, weekday=True)
    'terça-feira, primeiro de dezembro'

    Args:
        day: A date; of a datetime, its date. The year is from 1000 on.
        locale: The language of the words.
        year: Whether the year is said.
        weekday: Whether the day of the week is said first.

    Raises:
        InvalidRequestError: The year has less than four digits.
    """
    locale = checked_locale(locale)
    if day.year < 1_000:
        raise refused("a date", "must have a year of four digits")
    month = _MONTHS[locale][day.month - 1]
    if locale == "en":
        said = f"{month} {_ordinal(day.day)}"
        said = f"{said}, {_year(day.year)}" if year else said
    else:
        said = f"{'primeiro' if day.day == 1 else number(day.day, locale)} de {month}"
        said = f"{said} de {number(day.year, locale)}" if year else said
    return f"{_WEEKDAYS[locale][day.weekday()]}, {said}" if weekday else said


def _ordinal(value: int) -> str:
    head, dash, last = number(value).rpartition("-")
    return f"{head}{dash}{_ORDINALS.get(last, f'{last}th')}"


def _year(value: int) -> str:
    century, rest = divmod(value, 100)
    if century % 10 == 0 and rest < 10:
        return number(value)
    return f"{number(century)} {'hundred' if rest == 0 else f'oh {number(rest)}' if rest < 10 else number(rest)}"


def time(moment: dt.time | dt.datetime, locale: Locale = "en") -> str:
    """Return a time of day in words: of twelve hours in English, of twenty-four in Portuguese. Seconds are left out.

    >>> time(dt.time(21, 5)), time(dt.time(21, 5), "pt-BR"), time(dt.time(12, 30), "pt-BR")
    ('nine oh five p.m.', 'vinte e uma horas e cinco minutos', 'meio-dia e meia')
    """
    hour, minute = moment.hour, moment.minute
    if checked_locale(locale) == "en":
        if minute == 0 and hour in (0, 12):
            return "noon" if hour else "midnight"
        minutes = "" if minute == 0 else f" oh {number(minute)}" if minute < 10 else f" {number(minute)}"
        return f"{number((hour - 1) % 12 + 1)}{minutes} {'a.m.' if hour < 12 else 'p.m.'}"
    if hour in (0, 12):
        return _with_minutes("meio-dia" if hour else "meia-noite", minute)
    hours = number(hour, locale, feminine=True)
    # "Seis e meia" is half past six, and is said of no hour after noon.
    if minute == 30 and hour < 12:
        return _with_minutes(hours, minute)
    return _with_minutes(f"{hours} hora{'s' if hour > 1 else ''}", minute, unit=True)


def _with_minutes(hours: str, minute: int, *, unit: bool = False) -> str:
    if minute == 0:
        return hours
    if minute == 30 and not unit:
        return f"{hours} e meia"
    return f"{hours} e {number(minute, 'pt-BR')} minuto{'s' if minute > 1 else ''}"
