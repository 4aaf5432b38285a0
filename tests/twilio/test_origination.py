"""Which origination URL a call ends at: Twilio's own example, and what our rejections mean there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip.policy import BROKEN, CallRate, ConcurrentCalls, DenyCallers
from realtime_sip.twilio.origination import same_place
from realtime_sip.twilio.trunking import OriginationUrl, call_shares, fails_over

REQUEST = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"

ONE, TWO, THREE, BACKUP = "sip:mysbc1.com", "sip:mysbc2.com", "sip:mysbc3.com", "sip:mysbc-backup.com"
TABLE = (
    OriginationUrl(ONE, priority=10, weight=60),
    OriginationUrl(TWO, priority=10, weight=20),
    OriginationUrl(THREE, priority=10, weight=20),
    OriginationUrl(BACKUP, priority=20, weight=10),
)
FULL, HALF = Fraction(1), Fraction(1, 2)


def test_three_share_by_weight_and_the_backup_gets_none() -> None:
    assert call_shares(TABLE) == {ONE: Fraction(6, 10), TWO: Fraction(2, 10), THREE: Fraction(2, 10)}


def test_if_the_first_is_unavailable_the_others_share_equally() -> None:
    for gone in (None, 503):
        assert call_shares(TABLE, {ONE: gone}) == {TWO: HALF, THREE: HALF}


def test_if_all_three_are_unavailable_the_backup_gets_all() -> None:
    assert call_shares(TABLE, {ONE: None, TWO: 503, THREE: 408}) == {BACKUP: FULL}


def test_busy_ends_a_call_where_it_is() -> None:
    assert call_shares(TABLE, {ONE: 486})[ONE] == Fraction(6, 10)


def test_without_any_the_disaster_recovery_url_is_left() -> None:
    assert call_shares(TABLE, dict.fromkeys((ONE, TWO, THREE, BACKUP), 503)) == {None: FULL}
    assert call_shares(()) == call_shares([OriginationUrl(ONE, enabled=False)]) == {None: FULL}


def test_the_table_is_that_of_the_request() -> None:
    if not REQUEST.exists():
        pytest.skip("the request is not beside this checkout")
    text = REQUEST.read_text(encoding="utf-8")
    table = text[text.index("Origination SIP URI\tPriority\tWeight\n") :].splitlines()[1:5]
    assert [tuple(line.split("\t")) for line in table] == [
        (url.sip_url, str(url.priority), str(url.weight)) for url in TABLE
    ]
    words = text[text.index("any of the following SIP status codes are returned (") :].partition(")")[0]
    written = {part.strip(' "(') for part in words.partition("(")[2].split(",")}
    ours = {str(status) for status in range(200, 700) if not fails_over(status)}
    whole = {word for word in written if not word.endswith("xx")}
    assert whole == {status for status in ours if status[0] in "45"}
    assert {word[0] for word in written if word.endswith("xx")} == {status[0] for status in ours} - {"3", "4", "5"}


@pytest.mark.parametrize(
    ("status", "goes_on"),
    [
        (BROKEN, True),
        (DenyCallers(["+14155550100"])._status_code, False),
        (CallRate(3, per=60)._status_code, False),
        (CallRate(3, per=60, per_caller=False)._status_code, True),
        (ConcurrentCalls(3)._status_code, True),
        (ConcurrentCalls(3, per_caller=True)._status_code, False),
    ],
)
def test_what_we_reject_with_means_what_it_says_on_a_trunk(status: int, goes_on: bool) -> None:
    """If the caller is the reason nobody else is called, and if we are full, the next URL is."""
    assert fails_over(status) is goes_on


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 65535), st.booleans()), max_size=10),
    st.lists(st.sampled_from([200, 486, 503, None]), min_size=10, max_size=10),
)
def test_all_calls_end_somewhere_and_none_beyond_a_lower_priority_that_answers(
    urls: list[tuple[int, int, bool]], said: list[int | None]
) -> None:
    table = [
        OriginationUrl(f"sip:a{n}.example", priority=priority, weight=weight, enabled=enabled)
        for n, (priority, weight, enabled) in enumerate(urls)
    ]
    answers = {url.sip_url: answer for url, answer in zip(table, said, strict=False)}
    shares = call_shares(table, answers)
    assert sum(shares.values()) == 1
    taking = [url for url in table if url.enabled and not fails_over(answers[url.sip_url])]
    best = min((url.priority for url in taking), default=None)
    places: set[str | None] = {url.sip_url for url in taking if url.priority == best}
    assert set(shares) == (places or {None})


def test_the_order_of_parameters_means_nothing() -> None:
    assert same_place("sip:a@B.example;transport=tls;edge=dublin") == same_place(
        "sip:a@b.example;edge=dublin;transport=TLS"
    )
    assert same_place("sip:a@b.example?X-A=1") != same_place("sip:a@b.example")
    assert same_place("not a URI") == "not a URI"
