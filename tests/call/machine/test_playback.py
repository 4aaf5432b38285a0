"""What was heard of each response: as the service tells it, and where it does not tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip.call.record.responses import END, JITTER, MAKING, SLOWEST, START, Book
from realtime_sip.outcomes import Heard

Shown = dict[str, Any]


def made(
    *, audio: bool = True, status: str = "completed", tokens: object = 20, outside: bool = False, messages: int = 1
) -> Shown:
    """Return what `response.done` shows of a response; 20 tokens are a second of audio."""
    part = {"type": "output_audio"} if audio else {"type": "output_text", "text": "…"}
    return {
        "status": status,
        "conversation_id": None if outside else "conv_1",
        "output": [{"type": "message", "content": [part]}] * messages,
        "usage": {"output_token_details": {"audio_tokens": tokens}},
    }


class Line:
    """A book of responses, a clock, and what was heard."""

    def __init__(self) -> None:
        self.book = Book()
        self.now = 0.0
        self.heard: dict[str, Heard] = {}

    def create(self, response_id: str = "resp_1", *, key: str | None = "speech", outside: bool = False) -> None:
        self.book.created({"id": response_id, "conversation_id": None if outside else "conv_1"}, key, self.now)

    def done(self, shown: Shown | None = None, response_id: str = "resp_1") -> None:
        self.book.done({**(made() if shown is None else shown), "id": response_id}, self.now)

    def speak(self, *, tokens: object = 20, response_id: str = "resp_1", key: str | None = None) -> None:
        """A response is made at once."""
        self.create(response_id, key=key or response_id)
        self.done(made(tokens=tokens), response_id)

    def start(self, response_id: str = "resp_1") -> None:
        self.book.started(response_id, self.now)

    def stop(self, response_id: str = "resp_1") -> None:
        self.book.stopped(response_id, self.now)

    def clear(self, response_id: str = "resp_1") -> None:
        self.book.cleared(response_id, self.now)

    def abandon(self, response_id: str = "resp_1") -> None:
        self.book.abandoned(self.book.responses[response_id], self.now)

    def is_being_made(self, response_id: str) -> bool:
        return self.book.responses[response_id].being_made

    @property
    def deadlines(self) -> list[float]:
        return [over for _, _, over in self.book.ends()]

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(1000):
            due = [when for when in self.deadlines if when <= end]
            if not due:
                break
            self.now = max(self.now, min(due))
            for response in self.book.expire(self.now):
                assert response.heard is not None
                if response.key is not None:
                    assert response.key not in self.heard, "a response ends once"
                    self.heard[response.key] = response.heard
        else:
            raise AssertionError("expires for ever")
        self.now = end


@pytest.fixture
def line() -> Line:
    return Line()


def test_law_speech_is_heard_on_stopped_of_its_response_and_a_little_later(line: Line) -> None:
    line.create()
    line.start()
    line.done()
    line.wait(1)
    audible = [line.book.audible]
    line.stop()
    assert [*audible, line.book.audible] == [True, False]
    line.wait(JITTER / 2)
    assert line.heard == {}
    line.wait(JITTER)
    assert line.heard == {"speech": Heard.ENTIRELY}
    assert line.book.is_over("resp_1")
    assert not line.book.speaking


def test_law_speech_is_heard_on_cleared_of_its_response(line: Line) -> None:
    line.create()
    line.start()
    line.done(made(status="cancelled"))
    line.clear()
    line.stop()
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
    line.start()
    line.stop()
    line.wait(1)
    assert line.heard == {}
    line.done()
    line.wait(0)
    assert line.heard == {"speech": Heard.ENTIRELY}


def test_law_a_bound_in_any_case__audio_that_never_starts(line: Line) -> None:
    line.create()
    line.done(made(tokens=40))
    line.wait(START + 1.9)
    assert line.heard == {}
    line.wait(0.2)
    assert line.heard == {"speech": Heard.ASSUMED}


def test_law_a_bound_in_any_case__audio_that_never_stops(line: Line) -> None:
    line.create()
    line.start()
    line.done(made(tokens=200))
    line.wait(10 + END - 0.1)
    assert line.heard == {}
    line.wait(0.2)
    assert line.heard == {"speech": Heard.ASSUMED}


@pytest.mark.parametrize("tokens", [-5, 10**9, "20", None, 1.5, {}])
def test_law_a_bound_in_any_case__usage_that_makes_no_sense_adds_nothing(line: Line, tokens: object) -> None:
    line.create()
    line.done(made(tokens=tokens))
    line.wait(START)
    assert line.heard == {"speech": Heard.ASSUMED}


@pytest.mark.parametrize("outside", [False, True])
def test_law_a_bound_in_any_case__a_response_whose_end_is_lost(line: Line, outside: bool) -> None:
    line.create(outside=outside)
    line.wait(MAKING - 1)
    line.book.seen("resp_1", line.now)
    line.wait(MAKING - 1)
    assert line.heard == {}
    line.wait(1)
    assert line.heard == {"speech": Heard.ASSUMED}
    assert not line.book.speaking


def test_a_response_that_is_given_up_does_not_wait_for_long(line: Line) -> None:
    line.create()
    line.abandon()
    assert not line.is_being_made("resp_1")
    line.wait(START)
    assert line.heard == {"speech": Heard.ASSUMED}


def test_a_new_response_in_the_conversation_shows_that_the_one_before_has_ended(line: Line) -> None:
    line.create("resp_1", key="first")
    line.create("resp_2", key="second")
    assert not line.is_being_made("resp_1")
    assert line.is_being_made("resp_2")
    line.wait(START)
    assert line.heard == {"first": Heard.ASSUMED}


def test_a_response_beside_the_conversation_ends_nothing_and_holds_nothing_up(line: Line) -> None:
    line.create("resp_1", key="first")
    line.create("resp_2", key="beside", outside=True)
    assert line.is_being_made("resp_1")
    assert line.book.is_outside("resp_2")
    line.done(made(audio=False), "resp_1")
    line.wait(0)
    assert not line.book.speaking


def test_cutting_off_ends_what_was_made_and_not_what_is_being_made(line: Line) -> None:
    line.create("resp_1", key="playing")
    line.start()
    line.done(response_id="resp_1")
    line.create("resp_2", key="waiting")
    line.done(response_id="resp_2")
    line.create("resp_3", key="made")
    line.book.cut_off(line.now)
    line.wait(0)
    assert line.heard == {"playing": Heard.IN_PART, "waiting": Heard.NOT_AT_ALL}


def test_playback_of_a_response_that_nobody_knows_is_heard_and_bounded(line: Line) -> None:
    line.start("resp_old")
    audible = [line.book.audible]
    line.wait(END)
    line.start("resp_old")
    assert [*audible, line.book.audible] == [True, False], "it was given up"
    assert not line.book.speaking


def test_a_second_creation_without_the_tag_does_not_lose_the_speech(line: Line) -> None:
    line.create()
    line.create(key=None)
    line.done(made(audio=False))
    line.wait(0)
    assert line.heard == {"speech": Heard.NOT_AT_ALL}


def test_what_says_nothing_of_any_response_is_ignored(line: Line) -> None:
    line.start("")
    line.stop()
    line.clear()
    assert line.deadlines == []


# --- speech plays in the order it was made ----------------------------------------------------------------------------


def test_law_speech_plays_in_the_order_it_was_made__what_waits_behind_other_speech_has_not_begun(line: Line) -> None:
    line.speak(tokens=240, response_id="resp_1")  # twelve seconds
    line.start("resp_1")
    line.speak(tokens=40, response_id="resp_2")
    line.wait(12)
    line.stop("resp_1")
    line.wait(1)
    assert line.heard == {"resp_1": Heard.ENTIRELY}
    line.start("resp_2")
    line.wait(2)
    line.stop("resp_2")
    line.wait(1)
    assert line.heard == {"resp_1": Heard.ENTIRELY, "resp_2": Heard.ENTIRELY}


def test_law_speech_plays_in_the_order_it_was_made__with_its_whole_time_where_nothing_is_told_of_playback(
    line: Line,
) -> None:
    for number in (1, 2, 3):
        line.speak(tokens=200, response_id=f"resp_{number}")  # ten seconds each
    assert line.book.speech_ends(line.now) == 30
    line.wait(30)
    assert "resp_3" not in line.heard
    line.wait(3 * START)
    assert line.heard == dict.fromkeys(("resp_1", "resp_2", "resp_3"), Heard.ASSUMED)


def test_what_waits_behind_speech_begins_to_count_when_that_ends_sooner(line: Line) -> None:
    line.speak(tokens=400, response_id="resp_1")
    line.start("resp_1")
    line.speak(tokens=40, response_id="resp_2")
    line.wait(3)
    line.stop("resp_1")  # its rest was not as long as its tokens
    assert line.book.speech_ends(line.now) == line.now + JITTER + 2
    line.wait(JITTER + 2 + START)
    assert line.heard == {"resp_1": Heard.ENTIRELY, "resp_2": Heard.ASSUMED}


def test_a_clear_takes_along_what_waits_behind_it(line: Line) -> None:
    line.speak(tokens=240, response_id="resp_1")
    line.start("resp_1")
    line.speak(tokens=240, response_id="resp_2")
    line.wait(4)
    line.clear("resp_1")
    assert line.book.speech_ends(line.now) == line.now
    line.wait(START)
    assert line.heard == {"resp_1": Heard.IN_PART, "resp_2": Heard.ASSUMED}


def test_what_plays_all_the_same_behind_what_was_cleared_is_heard(line: Line) -> None:
    line.speak(tokens=240, response_id="resp_1")
    line.start("resp_1")
    line.speak(tokens=240, response_id="resp_2")
    line.clear("resp_1")
    line.wait(1)
    line.start("resp_2")
    line.wait(12)
    assert line.heard == {"resp_1": Heard.IN_PART}
    line.stop("resp_2")
    line.wait(1)
    assert line.heard["resp_2"] is Heard.ENTIRELY


def test_several_messages_of_one_response_are_heard_when_the_last_one_was(line: Line) -> None:
    line.create()
    line.start()
    line.done(made(tokens=200, messages=2))
    line.wait(4)
    line.stop()
    line.wait(2)
    assert line.heard == {}, "six seconds are to come"
    line.start()
    line.wait(6)
    line.stop()
    line.wait(1)
    assert line.heard == {"speech": Heard.ENTIRELY}


def test_several_messages_of_one_response_are_heard_when_the_last_one_was__also_told_after_the_first(
    line: Line,
) -> None:
    line.create()
    line.start()
    line.wait(4)
    line.stop()
    line.wait(1)
    line.done(made(tokens=200, messages=2))
    assert line.heard == {}
    line.start()
    line.wait(6)
    line.stop()
    line.wait(1)
    assert line.heard == {"speech": Heard.ENTIRELY}


@pytest.mark.parametrize("told", [True, False])
def test_law_speech_is_as_long_as_its_tokens_whatever_its_text_says(line: Line, told: bool) -> None:
    line.create()
    line.book.seen("resp_1", line.now).spoke(100, line.now, aloud=True)
    if told:
        line.start()
    line.done(made(tokens=900))
    assert line.book.speech_ends(line.now) == 45
    line.wait(45)
    assert line.heard == {}
    line.wait(START + END)
    assert line.heard == {"speech": Heard.ASSUMED}


@pytest.mark.parametrize("tokens", [None, 0, "?"])
def test_speech_whose_usage_is_not_told_is_taken_to_be_as_long_as_its_text_can_take(line: Line, tokens: object) -> None:
    line.create()
    line.book.seen("resp_1", line.now).spoke(70, line.now, aloud=True)
    line.book.seen("resp_1", line.now).spoke(1000, line.now, aloud=False)
    line.done(made(tokens=tokens))
    assert line.book.speech_ends(line.now) == 70 / SLOWEST
    line.wait(70 / SLOWEST + START - 0.1)
    assert line.heard == {}
    line.wait(0.2)
    assert line.heard == {"speech": Heard.ASSUMED}


def test_speech_that_is_made_and_heard_at_once_is_as_long_as_what_has_come_of_it(line: Line) -> None:
    line.create()
    line.start()
    line.book.seen("resp_1", line.now).spoke(35, line.now, aloud=True)
    ends = [line.book.speech_ends(line.now)]
    line.book.seen("resp_1", line.now).spoke(35, line.now, aloud=True)
    assert [*ends, line.book.speech_ends(line.now)] == [35 / SLOWEST, 70 / SLOWEST]


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
    told: dict[str, set[str]] = {"stopped": set(), "cut": set(), "failed": set()}
    wanted = set()
    for step, response_id, status, seconds in steps:
        if line.book.is_over(response_id):
            continue  # as the floor does
        match step:
            case "created" | "beside":
                wanted.add(response_id)
                line.create(response_id, key=response_id, outside=step == "beside")
            case "appeared":
                line.book.seen(response_id, line.now)
            case "done":
                told["failed"] |= {response_id} if status == "failed" else set()
                line.done(made(status=status), response_id)
            case "abandoned":
                if response_id in line.book.responses:
                    line.abandon(response_id)
            case "started":
                line.start(response_id)
            case "stopped":
                told["stopped"].add(response_id)
                line.stop(response_id)
            case "cleared":
                told["cut"].add(response_id)
                line.clear(response_id)
            case "cut_off":
                told["cut"] |= set(line.book.open)
                line.book.cut_off(line.now)
            case "time":
                line.wait(seconds)
    line.wait(MAKING + START + END)
    assert set(line.heard) == wanted
    assert not line.book.speaking
    assert not line.book.audible
    assert line.deadlines == []
    for response_id, heard in line.heard.items():
        assert heard is not Heard.ENTIRELY or response_id in told["stopped"]
        assert heard is not Heard.IN_PART or response_id in told["cut"]
        assert heard is not Heard.FAILED or response_id in told["failed"]
