"""What became of a `<Dial>`: the whole table, and no guess where a field is missing."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported import reported

from realtime_sip.twilio import twiml
from realtime_sip.twilio.twiml import AfterDial, after_dial

STATUSES = ["completed", "answered", "busy", "no-answer", "failed", "canceled", "", "new-word"]


def fields(status: str = "", code: object = "", bridged: str = "", **more: str) -> dict[str, str]:
    """Return the form; an empty value is a field that is missing."""
    form = {"DialCallStatus": status, "DialSipResponseCode": str(code), "DialBridged": bridged, **more}
    return {name: value for name, value in form.items() if value}


@pytest.mark.parametrize(
    ("form", "right"),
    [
        # Answered.
        (fields("completed", 200, "true", DialCallDuration="6"), AfterDial.TALKED),
        (fields("completed", bridged="true"), AfterDial.TALKED),  # a child that was redirected has no duration
        (fields("answered", bridged="true"), AfterDial.TALKED),  # after a conference
        (fields("answered"), AfterDial.TALKED),
        (fields("completed"), AfterDial.TALKED),
        (fields(code=200), AfterDial.TALKED),
        (fields(bridged="true"), AfterDial.TALKED),
        (fields("completed", 200, "true", CallStatus="completed"), AfterDial.TALKED),
        (fields("completed", 200, "false"), AfterDial.FAILED),
        (fields("completed", bridged="false"), AfterDial.FAILED),
        # Declined on purpose, whatever Twilio calls it.
        *(
            (fields(status, code, "false"), AfterDial.REJECTED)
            for status in STATUSES[2:5]
            for code in (486, 600, 603, 607)
        ),
        (fields(code=603), AfterDial.REJECTED),
        (fields("busy"), AfterDial.REJECTED),
        # What may pass.
        *((fields("failed", code, "false"), AfterDial.UNREACHABLE) for code in (400, 404, 408, 480, 500, 503, 504)),
        (fields("busy", 503), AfterDial.UNREACHABLE),
        (fields("completed", 480), AfterDial.UNREACHABLE),
        (fields("no-answer", 487), AfterDial.UNREACHABLE),
        (fields("no-answer"), AfterDial.UNREACHABLE),
        (fields("failed"), AfterDial.UNREACHABLE),
        # What nobody knows to pass.
        *((fields("failed", code, "false"), AfterDial.FAILED) for code in (302, 401, 403, 405, 487, 488)),
        (fields(code=487), AfterDial.FAILED),
        (fields(code=180), AfterDial.FAILED),
        # Twilio could not even dial.
        (fields("failed", bridged="false", ErrorMessage="callerId missing"), AfterDial.MISCONFIGURED),
        (fields("failed", 503, ErrorMessage="x"), AfterDial.UNREACHABLE),
        # The caller gave up.
        (fields("canceled"), AfterDial.CALLER_LEFT),
        (fields("canceled", 487, "false"), AfterDial.CALLER_LEFT),
        (fields("no-answer", 487, CallStatus="completed"), AfterDial.CALLER_LEFT),
        (fields("failed", 503, CallStatus="no-answer"), AfterDial.CALLER_LEFT),
        (fields("failed", 503, CallStatus="ringing"), AfterDial.UNREACHABLE),
        (fields("failed", 503, CallStatus="in-progress"), AfterDial.UNREACHABLE),
        # Nothing is said.
        ({}, AfterDial.UNKNOWN),
        (fields(bridged="false"), AfterDial.UNKNOWN),
        (fields("new-word"), AfterDial.UNKNOWN),
        (fields(ErrorMessage="x"), AfterDial.UNKNOWN),
        (fields(CallStatus="in-progress"), AfterDial.UNKNOWN),
        *((fields("new-word", code), AfterDial.UNKNOWN) for code in ("20", "+200", "2e2", "٢٠٠", "700", "200 ")),
    ],
)
def test_the_table(form: dict[str, str], right: AfterDial) -> None:
    assert after_dial(form) is right
    assert after_dial(form, redirected=True) is AfterDial.OWN_REDIRECT


def test_the_same_dial_is_tried_again_only_if_it_may_succeed() -> None:
    assert {verdict for verdict in AfterDial if verdict.try_again} == {AfterDial.UNREACHABLE}


def test_law_a_caller_who_talked_is_never_dialed_again_and_one_who_waits_is_never_dropped() -> None:
    for status, code, bridged in itertools.product(STATUSES, ["", 200, 404, 486, 487, 503, 603], ["", "true", "false"]):
        verdict = after_dial(fields(status, code, bridged))
        if bridged == "true":
            assert verdict is AfterDial.TALKED
        if bridged == "false":
            assert verdict is not AfterDial.TALKED
        if verdict is AfterDial.CALLER_LEFT:
            assert status == "canceled"


@given(st.dictionaries(st.sampled_from([*fields("x", "x", "x"), "ErrorMessage", "CallStatus", "X"]), st.text()))
def test_any_form_has_an_answer(form: dict[str, str]) -> None:
    assert isinstance(after_dial(form), AfterDial)


@reported("dial_result")
def test_reported_cases(case: dict[str, Any]) -> None:
    given, right = case["input"], case["right"]
    redirected = given.get("redirect_posted_for") is not None
    verdict = after_dial(
        given["requests"][0]["params"] if "requests" in given else given["params"], redirected=redirected
    )
    if "answered" in right:
        assert (verdict is AfterDial.TALKED) is right["answered"]
    if "retry_same_dial" in right:
        assert verdict.try_again is right["retry_same_dial"]
    if right.get("cause") == "configuration":
        assert verdict is AfterDial.MISCONFIGURED
    if right.get("caller_still_there"):
        assert verdict not in (AfterDial.CALLER_LEFT, AfterDial.TALKED, AfterDial.OWN_REDIRECT)
    if "decisions" in right:
        expected = {"ignored: own redirect": AfterDial.OWN_REDIRECT, "call over": AfterDial.TALKED}
        assert verdict is expected[right["decisions"][0]]


def test_every_verdict_is_on_the_page_of_twilio() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "twilio.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `AfterDial\.(\w+)` \|", page, flags=re.MULTILINE)) == set(AfterDial.__members__)


def test_every_builder_is_on_the_page_of_twilio() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "twilio.md").read_text(encoding="utf-8")
    table = page[page.index("## What to answer") : page.index("### What OpenAI's webhook then knows")]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == {
        name for name in twiml.__all__ if name.islower()
    }
