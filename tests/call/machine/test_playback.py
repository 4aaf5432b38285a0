"""What was heard of each response: as the service tells it, and where it does not tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip.call.machine.playback import Playback, PlaybackTimings
from realtime_sip.outcomes import Heard

Shown = dict[str, Any]
TIMINGS = PlaybackTimings()


def made(*, audio: bool = True, status: str = "completed", tokens: object = 20, outside: bool = False) -> Shown:
    """Return what `response.done` shows of a response; 20 tokens are a second of audio."""
    part = {"type": "output_audio"} if audio else {"type": "output_text", "text": "…"}
    return {
        "status": status,
        "conversation_id": None if outside else "conv_1",
        "output": [{"type": "message", "content": [part]}],
        "usage": {"output_token_details": {"audio_tokens": tokens}},
    }


class Line:
    """A playback, a clock, and what was heard."""

    def __init__(self) -> None:
        self.playback = Playback(TIMINGS)
        self.now = 0.0
        self.heard: dict[str, Heard] = {}

    def create(self, response_id: str = "resp_1", *, key: str | None = "speech", outside: bool = False) -> None:
        self.playback.created(response_id, key=key, outside=outside, now=self.now)

    def done(self, shown: Shown | None = None, response_id: str = "resp_1") -> None:
        self.playback.done(response_id, made() if shown is None else shown, self.now)

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(1000):
            due = [when for _, when in self.playback.deadlines() if when <= end]
            if not due:
                break
            self.now = max(self.now, min(due))
            for key, heard in self.playback.expire(self.now):
                assert key not in self.heard, "a response ends once"
                self.heard[key] = heard
        else:
            raise AssertionError("expires for ever")
        self.now = end


@pytest.fixture
def line() -> Line:
    return Line()


def test_law_speech_is_heard_on_stopped_of_its_response_and_a_little_later(line: Line) -> None:
    line.create()
    line.playback.started("resp_1", line.now)
    line.done()
    line.wait(1)
    audible = [line.playback.audible]
    line.playback.stopped("resp_1", line.now)
    assert [*audible, line.playback.audible] == [True, False]
    line.wait(TIMINGS.jitter / 2)
    assert line.heard == {}
    line.wait(TIMINGS.jitter)
    assert line.heard == {"speech": Heard.ENTIRELY}
    assert line.playback.is_over("resp_1")
    assert not line.playback.going_on


def test_law_speech_is_heard_on_cleared_of_its_response(line: Line) -> None:
    line.create()
    line.playback.started("resp_1", line.now)
    line.done(made(status="cancelled"))
    line.playback.cleared("resp_1", line.now)
    line.playback.stopped("resp_1", line.now)
    line.wait(0)
    assert line.heard == {"speech": Heard.IN_PART}


@pytest.mark.parametrize(
    ("shown", "heard"),
    [
        (made(audio=False), Heard.NOT_AT_ALL),
        (made(status="cancelled"), Heard.NOT_AT_ALL),
        (made(status="failed"), Heard.FAILED),
        (made(outside=True), Heard.NOT_AT_ALL),
        ({}, Heard.NOT_AT_ALL),
        ({"output": "?", "usage": 7, "status": []}, Heard.NOT_AT_ALL),
    ],
)
def test_law_speech_is_over_at_once_when_its_response_ended_without_audio(
    line: Line, shown: Shown, heard: Heard
) -> None:
    line.create()
    line.done(shown)
    line.wait(0)
    assert line.heard == {"speech": heard}


def test_a_response_that_was_heard_before_it_is_done_is_over_when_it_is_done(line: Line) -> None:
    line.create()
    line.playback.started("resp_1", line.now)
    line.playback.stopped("resp_1", line.now)
    line.wait(1)
    assert line.heard == {}
    line.done()
    line.wait(0)
    assert line.heard == {"speech": Heard.ENTIRELY}


def test_law_a_bound_in_any_case__audio_that_never_starts(line: Line) -> None:
    line.create()
    line.done(made(tokens=40))
    line.wait(TIMINGS.start + 1.9)
    assert line.heard == {}
    line.wait(0.2)
    assert line.heard == {"speech": Heard.ASSUMED}


def test_law_a_bound_in_any_case__audio_that_never_stops(line: Line) -> None:
    line.create()
    line.playback.started("resp_1", line.now)
    line.done(made(tokens=200))
    line.wait(10 + TIMINGS.end - 0.1)
    assert line.heard == {}
    line.wait(0.2)
    assert line.heard == {"speech": Heard.ASSUMED}


@pytest.mark.parametrize("tokens", [-5, 10**9, "20", None, 1.5, {}])
def test_law_a_bound_in_any_case__usage_that_makes_no_sense_adds_nothing(line: Line, tokens: object) -> None:
    line.create()
    line.done(made(tokens=tokens))
    line.wait(TIMINGS.start)
    assert line.heard == {"speech": Heard.ASSUMED}


@pytest.mark.parametrize("outside", [False, True])
def test_law_a_bound_in_any_case__a_response_whose_end_is_lost(line: Line, outside: bool) -> None:
    line.create(outside=outside)
    line.wait(TIMINGS.making - 1)
    line.playback.appeared("resp_1", line.now)
    line.wait(TIMINGS.making - 1)
    assert line.heard == {}
    line.wait(1)
    assert line.heard == {"speech": Heard.ASSUMED}
    assert not line.playback.going_on


def test_a_response_that_is_given_up_does_not_wait_for_long(line: Line) -> None:
    line.create()
    line.playback.abandoned("resp_1", line.now)
    assert not line.playback.is_being_made("resp_1")
    line.wait(TIMINGS.start)
    assert line.heard == {"speech": Heard.ASSUMED}


def test_whichever_response_is_made_can_be_given_up_without_its_name(line: Line) -> None:
    line.create("resp_1", key="in")
    line.create("resp_2", key="beside", outside=True)
    line.playback.abandoned("", line.now)
    line.wait(TIMINGS.start)
    assert line.heard == {"in": Heard.ASSUMED}


def test_a_new_response_in_the_conversation_shows_that_the_one_before_has_ended(line: Line) -> None:
    line.create("resp_1", key="first")
    line.create("resp_2", key="second")
    assert not line.playback.is_being_made("resp_1")
    assert line.playback.is_being_made("resp_2")
    line.wait(TIMINGS.start)
    assert line.heard == {"first": Heard.ASSUMED}


def test_a_response_beside_the_conversation_ends_nothing_and_holds_nothing_up(line: Line) -> None:
    line.create("resp_1", key="first")
    line.create("resp_2", key="beside", outside=True)
    assert line.playback.is_being_made("resp_1")
    assert line.playback.is_outside("resp_2")
    line.done(made(audio=False), "resp_1")
    line.wait(0)
    assert not line.playback.going_on


def test_cutting_off_ends_what_was_made_and_not_what_is_being_made(line: Line) -> None:
    line.create("resp_1", key="playing")
    line.playback.started("resp_1", line.now)
    line.done(response_id="resp_1")
    line.create("resp_2", key="waiting")
    line.done(response_id="resp_2")
    line.create("resp_3", key="made")
    line.playback.cut_off(line.now)
    line.wait(0)
    assert line.heard == {"playing": Heard.IN_PART, "waiting": Heard.NOT_AT_ALL}


def test_playback_of_a_response_that_nobody_knows_is_heard_and_bounded(line: Line) -> None:
    line.playback.started("resp_old", line.now)
    audible = [line.playback.audible]
    line.wait(TIMINGS.end)
    line.playback.started("resp_old", line.now)
    assert [*audible, line.playback.audible] == [True, False], "it was given up"
    assert not line.playback.going_on


def test_a_second_creation_without_the_tag_does_not_lose_the_speech(line: Line) -> None:
    line.create()
    line.create(key=None)
    line.done(made(audio=False))
    line.wait(0)
    assert line.heard == {"speech": Heard.NOT_AT_ALL}


def test_what_says_nothing_of_any_response_is_ignored(line: Line) -> None:
    line.playback.started("", line.now)
    line.playback.stopped("resp_1", line.now)
    line.playback.cleared("resp_1", line.now)
    line.playback.abandoned("resp_1", line.now)
    assert line.playback.deadlines() == []


IDS = st.sampled_from(["resp_1", "resp_2", "resp_3"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["created", "beside", "appeared", "done", "abandoned", "started", "stopped", "cleared", "cut_off", "time"]
        ),
        IDS,
        st.sampled_from(["completed", "cancelled", "failed", "incomplete"]),
        st.sampled_from([0.0, 0.2, 3.0, 30.0]),
    ),
    max_size=40,
)


@settings(derandomize=True)
@given(STEPS)
def test_law_every_response_ends_once_and_is_heard_entirely_only_where_the_service_said_so(
    steps: list[tuple[str, str, str, float]],
) -> None:
    line = Line()
    playback = line.playback
    told: dict[str, set[str]] = {"stopped": set(), "cut": set(), "failed": set()}
    wanted = set()
    for step, response_id, status, seconds in steps:
        if playback.is_over(response_id):
            continue  # as `Turns` does
        match step:
            case "created" | "beside":
                wanted.add(response_id)
                line.create(response_id, key=response_id, outside=step == "beside")
            case "appeared":
                playback.appeared(response_id, line.now)
            case "done":
                told["failed"] |= {response_id} if status == "failed" else set()
                line.done(made(status=status), response_id)
            case "abandoned":
                playback.abandoned(response_id, line.now)
            case "started":
                playback.started(response_id, line.now)
            case "stopped":
                told["stopped"].add(response_id)
                playback.stopped(response_id, line.now)
            case "cleared":
                told["cut"].add(response_id)
                playback.cleared(response_id, line.now)
            case "cut_off":
                told["cut"] |= wanted
                playback.cut_off(line.now)
            case "time":
                line.wait(seconds)
    line.wait(TIMINGS.making + TIMINGS.start + TIMINGS.end)
    assert set(line.heard) == wanted
    assert not playback.going_on
    assert not playback.audible
    assert playback.deadlines() == []
    for response_id, heard in line.heard.items():
        assert heard is not Heard.ENTIRELY or response_id in told["stopped"]
        assert heard is not Heard.IN_PART or response_id in told["cut"]
        assert heard is not Heard.FAILED or response_id in told["failed"]
