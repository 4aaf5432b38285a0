"""Business hours: whether somebody is there, and when again, in the place's own time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.twilio.twiml import BusinessHours

SAO_PAULO, BERLIN = ZoneInfo("America/Sao_Paulo"), ZoneInfo("Europe/Berlin")
SHOP = BusinessHours(
    "America/Sao_Paulo",
    {"mon-fri": "09:00-12:00 13:30-18:00", "sat": "09:00-12:00"},
    holidays=[date(2026, 12, 25)],
    exceptions={date(2026, 12, 24): "09:00-11:00", date(2026, 12, 27): "10:00-12:00"},
)
BAR = BusinessHours("Europe/Berlin", {"thu-sat": "20:00-03:00", "sun": "00:00-24:00"}, holidays=[date(2026, 11, 27)])


def at(text: str, zone: ZoneInfo = SAO_PAULO) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-11-26 08:59:59.999999", False),
        ("2026-11-26 09:00", True),
        ("2026-11-26 11:59:59.999999", True),
        ("2026-11-26 12:00", False),
        ("2026-11-26 13:30", True),
        ("2026-11-26 18:00", False),
        ("2026-11-28 10:00", True),
        ("2026-11-28 14:00", False),
        ("2026-11-29 10:00", False),
        ("2026-12-25 10:00", False),
        ("2026-12-24 10:59", True),
        ("2026-12-24 14:00", False),
        ("2026-12-27 11:00", True),  # a Sunday
    ],
)
def test_hours_are_those_of_the_day_in_the_place(when: str, is_open: bool) -> None:
    assert SHOP.are_open(at(when)) is is_open
    assert SHOP.are_open(at(when).astimezone(UTC)) is is_open
    assert SHOP.are_open(at(when).astimezone(ZoneInfo("Asia/Tokyo"))) is is_open


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-11-26 20:00", True),  # Thursday
        ("2026-11-27 02:59", True),  # what began on Thursday ends on the holiday
        ("2026-11-27 03:00", False),
        ("2026-11-27 21:00", False),
        ("2026-11-28 01:00", False),  # of the night that a holiday began
        ("2026-11-28 22:00", True),
        ("2026-11-29 00:00", True),
        ("2026-11-29 23:59:59", True),
        ("2026-11-30 00:00", False),
    ],
)
def test_hours_over_midnight_belong_to_the_day_on_which_they_begin(when: str, is_open: bool) -> None:
    assert BAR.are_open(at(when, BERLIN)) is is_open


@pytest.mark.parametrize(
    ("when", "opens"),
    [
        ("2026-11-26 08:00", "2026-11-26 09:00"),
        ("2026-11-26 10:00", "2026-11-26 10:00"),  # it is open
        ("2026-11-26 12:00", "2026-11-26 13:30"),
        ("2026-11-28 12:00", "2026-11-30 09:00"),
        ("2026-12-24 11:00", "2026-12-26 09:00"),
        ("2026-12-26 12:00", "2026-12-27 10:00"),
    ],
)
def test_when_it_opens_again(when: str, opens: str) -> None:
    assert SHOP.opens_at(at(when)) == at(opens)


def test_what_never_opens_says_so() -> None:
    year = [date(2026, 1, 1) + timedelta(days) for days in range(366 * 2)]
    closed = BusinessHours("UTC", {"mon-sun": "00:00-24:00"}, holidays=year)
    assert closed.opens_at(datetime(2026, 11, 26, tzinfo=UTC)) is None
    always = BusinessHours("UTC", {"mon-sun": "00:00-24:00"})
    assert always.are_open(datetime(2026, 11, 26, 23, 59, 59, tzinfo=UTC))


def test_clocks_that_are_put_forward_and_back_change_nothing_of_the_hours() -> None:
    early = BusinessHours("Europe/Berlin", {"sun": "02:30-04:00"})
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    opens = early.opens_at(before)
    assert opens is not None
    assert early.are_open(opens)  # there is no 02:30 on that day
    assert opens.astimezone(UTC) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    # Clocks are put back from 03:00 to 02:00: hours that have ended begin again.
    short = BusinessHours("Europe/Berlin", {"sun": "02:15-02:45"})
    ended = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
    assert not short.are_open(ended)
    again = short.opens_at(ended)
    assert again is not None
    assert again.astimezone(UTC) == datetime(2026, 10, 25, 1, 15, tzinfo=UTC)
    twice = [datetime(2026, 10, 25, hour, 45, tzinfo=UTC) for hour in (0, 1)]
    assert [early.are_open(each) for each in twice] == [True, True]  # 02:45, and 02:45 again


BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
PUT_BACK, PUT_FORWARD = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2027, 3, 27, 22, tzinfo=UTC)
MOMENTS = st.one_of(
    st.integers(0, 2 * 366 * 86_400).map(lambda seconds: BEGIN + timedelta(seconds=seconds)),
    st.integers(0, 6 * 3600).map(lambda seconds: PUT_BACK + timedelta(seconds=seconds)),
    st.integers(0, 6 * 3600).map(lambda seconds: PUT_FORWARD + timedelta(seconds=seconds)),
)


@given(
    MOMENTS,
    st.sampled_from(["America/Sao_Paulo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["09:00-17:00", "22:00-02:30", "00:00-24:00", "02:15-02:45", "23:30-00:15 12:00-12:01"]),
    st.sets(st.sampled_from([date(2026, 12, 25), date(2027, 1, 1), date(2027, 3, 28), date(2026, 10, 25)])),
)
def test_law_it_opens_when_it_is_said_to_and_not_before(
    now: datetime, zone: str, hours: str, holidays: set[date]
) -> None:
    place = BusinessHours(zone, {"mon-fri": hours, "sun": hours}, holidays=holidays)
    opens = place.opens_at(now)
    assert opens is not None
    assert opens >= now
    assert place.are_open(opens)
    assert (opens == now) is place.are_open(now)
    for part in range(1, 20):
        between = now + (opens - now) * part / 20
        assert between == opens or not place.are_open(between)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("Mars/Olympus", {"mon": "09:00-17:00"}), "time zone"),
        (("../etc/passwd", {"mon": "09:00-17:00"}), "time zone"),
        ((None, {"mon": "09:00-17:00"}), "time zone"),
        (("UTC", {}), "no hours"),
        (("UTC", None), "no hours"),
        (("UTC", {"monday": "09:00-17:00"}), "mon, tue"),
        (("UTC", {"fri-mon-tue": "09:00-17:00"}), "mon, tue"),
        (("UTC", {"mon": "9-17"}), "09:00-17:00"),
        (("UTC", {"mon": "09:00-25:00"}), "09:00-17:00"),
        (("UTC", {"mon": "24:00-25:00"}), "09:00-17:00"),
        (("UTC", {"mon": "09:00-09:00"}), "09:00-17:00"),
        (("UTC", {"mon": ""}), "09:00-17:00"),
        (("UTC", {"mon": 9}), "09:00-17:00"),
        (("UTC", {"mon-wed": "09:00-17:00", "tue": "10:00-11:00"}), "twice"),
        (("UTC", {"mon": "09:00-12:00 11:00-14:00"}), "overlap"),
    ],
)
def test_what_cannot_be_is_refused_when_the_program_starts(arguments: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        BusinessHours(*arguments)


@pytest.mark.parametrize(
    "more", [{"holidays": ["2026-12-25"]}, {"exceptions": {"2026-12-24": "09:00-11:00"}}, {"holidays": 5}]
)
def test_days_are_dates(more: Any) -> None:
    with pytest.raises(ConfigurationError, match="dates"):
        BusinessHours("UTC", {"mon": "09:00-17:00"}, **more)


@pytest.mark.parametrize(
    "wrong", [datetime(2026, 11, 26, 10, tzinfo=UTC).replace(tzinfo=None), "2026-11-26", 1_795_000_000, None]
)
def test_a_moment_has_a_time_zone(wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="time zone"):
        SHOP.are_open(wrong)
    with pytest.raises(InvalidRequestError, match="time zone"):
        SHOP.opens_at(wrong)


def test_days_may_run_over_the_end_of_the_week() -> None:
    weekend = BusinessHours("UTC", {"fri-mon": "10:00-11:00"})
    days = [datetime(2026, 11, 23 + day, 10, 30, tzinfo=UTC) for day in range(7)]
    assert [weekend.are_open(day) for day in days] == [True, False, False, False, True, True, True]
    assert repr(weekend) == "<BusinessHours UTC>"
