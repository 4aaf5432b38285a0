"""How far two clocks are apart, and what of that a webhook bears. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from realtime_sip.cli.doctor.finding import Finding, Level, Report

__all__ = ["NOTICEABLE", "TOLERANCE", "skew", "skew_of"]

TOLERANCE = 300
"""Seconds by which the timestamp of a webhook may differ from the clock of the server that verifies it."""

NOTICEABLE = 30
"""Seconds from which two clocks are not the same."""


def skew_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return by how many seconds the clock that wrote `Date` is ahead of `now`; None if there is no such header.

    >>> skew_of({"date": "Thu, 26 Nov 2026 08:00:10 GMT"}, 1795680000.0)
    10.0
    """
    try:
        then = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return then.replace(tzinfo=then.tzinfo or UTC).timestamp() - now


def skew(report: Report, name: str, seconds: float | None, *, ours: str, theirs: str) -> Finding:
    """Return what it means that the clock of `ours` is `seconds` behind that of `theirs`."""
    if seconds is None:
        return report(name, Level.NOT_CHECKED, "the answer has no Date")
    apart = f"{abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'}"
    if abs(seconds) > TOLERANCE:
        found = f"the clock of {ours} is {apart} that of {theirs}: each webhook is refused as too old or too new"
        return report(name, Level.ERROR, found, f"Set the clock of {ours}, by NTP.")
    if abs(seconds) > NOTICEABLE:
        found = f"the clock of {ours} is {apart} that of {theirs}; webhooks bear {TOLERANCE} s"
        return report(name, Level.WARNING, found, f"Set the clock of {ours}, by NTP.")
    return report(name, Level.OK, f"the clock of {ours} is that of {theirs}, to {NOTICEABLE} s")
