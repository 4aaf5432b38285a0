"""The list of models, and the days on which they end."""

from __future__ import annotations

from datetime import date

import pytest

from realtime_sip.api.models import shutdown_dates
from realtime_sip.api.operations import Reply
from realtime_sip.errors import UnexpectedReplyError


def test_a_day_that_is_missing_or_no_day_is_none() -> None:
    body = b"""{"data": [{"id": "a", "shutdown_date": "2027-01-20"}, {"id": "b", "shutdown_date": null}, {"id": "c"},
        {"id": "d", "shutdown_date": "soon"}, {"id": "e", "shutdown_date": "2027-01-20T00:00:00Z"}]}"""
    end = date(2027, 1, 20)
    assert shutdown_dates().read(Reply(200, {}, body)) == {"a": end, "b": None, "c": None, "d": None, "e": end}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": 7}', b'{"data": [7]}', b'{"data": [{}]}'])
def test_a_reply_that_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(UnexpectedReplyError, match="does not hold a list of models"):
        shutdown_dates().read(Reply(200, {}, body))
