"""Collecting digits: what was pressed, why it ended, and that it ends."""

from __future__ import annotations

from typing import Any

import pytest
from door import SPOKEN, Door, created, done, key, playing
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.call.machine import inputs
from realtime_sip.call.machine.keypad import CollectedDigits, DigitCollector, DigitsEnd
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import TransferFailureReason

KEYS = [*"0123456789*#ABCD"]


def collector(**options: Any) -> DigitCollector:
    return DigitCollector(
        **{"max_digits": 4, "terminator": "#", "timeout": 10.0, "inter_digit_timeout": 3.0, **options}
    )


def press(digits: DigitCollector, keys: str, *, now: float = 0.0) -> list[bool]:
    return [digits.press(key, now) for key in keys]


def outcome(digits: DigitCollector) -> tuple[str, DigitsEnd]:
    assert digits.collected is not None
    assert digits.deadline is None, "nothing is waited for any more"
    return digits.collected.digits, digits.collected.end


def test_the_terminator_ends_it_and_is_no_part_of_it() -> None:
    digits = collector()
    press(digits, "12#")
    assert outcome(digits) == ("12", DigitsEnd.TERMINATOR)


def test_as_many_as_were_asked_for_end_it_without_the_terminator() -> None:
    digits = collector()
    press(digits, "123")
    assert digits.collected is None
    press(digits, "45#")
    assert outcome(digits) == ("1234", DigitsEnd.MAX_DIGITS)


def test_the_terminator_alone_is_an_answer_without_digits() -> None:
    digits = collector()
    assert press(digits, "#") == [True]
    assert outcome(digits) == ("", DigitsEnd.TERMINATOR)
    assert not digits.collected


@pytest.mark.parametrize("terminator", ["*", None])
def test_another_terminator_makes_the_hash_a_digit(terminator: str | None) -> None:
    digits = collector(terminator=terminator)
    press(digits, "1#")
    assert digits.collected is None
    press(digits, "*")
    if terminator is None:
        assert digits.collected is None
        digits.tick(100)
        assert outcome(digits) == ("1#*", DigitsEnd.INTER_DIGIT_TIMEOUT)
    else:
        assert outcome(digits) == ("1#", DigitsEnd.TERMINATOR)


def test_the_time_for_the_first_key_begins_with_the_end_of_the_prompt() -> None:
    digits = collector()
    digits.tick(1000)
    deadlines = [digits.deadline]
    digits.listen(1000)
    deadlines.append(digits.deadline)
    digits.listen(1005)
    digits.tick(1009)
    deadlines.append(digits.deadline)
    assert deadlines == [None, 1010, 1010]
    digits.tick(1010)
    assert outcome(digits) == ("", DigitsEnd.TIMEOUT)


def test_each_key_gives_time_for_the_next() -> None:
    digits = collector()
    digits.listen(0)
    press(digits, "1", now=9)
    assert digits.deadline == 12
    press(digits, "2", now=11)
    digits.tick(13)
    assert digits.collected is None
    digits.tick(14)
    assert outcome(digits) == ("12", DigitsEnd.INTER_DIGIT_TIMEOUT)
    assert digits.collected


def test_keys_count_before_the_prompt_is_over() -> None:
    digits = collector()
    press(digits, "1")
    digits.listen(1)
    press(digits, "2#", now=2)
    assert outcome(digits) == ("12", DigitsEnd.TERMINATOR)


def test_only_the_first_key_is_the_first() -> None:
    digits = collector()
    assert press(digits, "x1?23") == [False, True, False, False, False]


@pytest.mark.parametrize("junk", ["", "12", " ", "E", "ß", "\u0661", "１", "key"])
def test_what_is_no_key_is_ignored_and_gives_no_time(junk: str) -> None:
    digits = collector()
    digits.listen(0)
    assert not digits.press(junk, 5)
    assert digits.deadline == 10
    assert digits.collected is None


def test_letters_count_in_either_case() -> None:
    digits = collector(max_digits=2)
    press(digits, "aD")
    assert outcome(digits) == ("AD", DigitsEnd.MAX_DIGITS)


def test_law_a_key_that_comes_after_the_time_is_too_late_also_where_nobody_has_ticked() -> None:
    digits = collector()
    digits.listen(0)
    assert not digits.press("1", 10)
    assert outcome(digits) == ("", DigitsEnd.TIMEOUT)


@pytest.mark.parametrize(("pressed", "true"), [("", False), ("0", True)])
def test_an_answer_is_true_where_there_are_digits(pressed: str, true: bool) -> None:
    assert bool(CollectedDigits(pressed, DigitsEnd.TERMINATOR)) is true


def test_law_digits_are_not_shown() -> None:
    assert "4711" not in repr(CollectedDigits("4711", DigitsEnd.MAX_DIGITS))
    digits = collector(max_digits=5)
    press(digits, "4711")
    assert "4711" not in repr(digits)


@pytest.mark.parametrize(
    "options",
    [
        {"max_digits": 0},
        {"max_digits": 101},
        {"max_digits": 4.0},
        {"max_digits": True},
        {"max_digits": "4"},
        {"terminator": "x"},
        {"terminator": ""},
        {"terminator": "##"},
        {"terminator": 5},
        {"terminator": ["#"]},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 601},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"timeout": "10"},
        {"inter_digit_timeout": 0},
        {"inter_digit_timeout": 601},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ConfigurationError, match=rf"^{name} must"):
        collector(**options)


@pytest.mark.parametrize(
    "options", [{"max_digits": 1}, {"max_digits": 100}, {"timeout": 600}, {"inter_digit_timeout": 0.1}]
)
def test_options_at_their_bounds_are_taken(options: dict[str, Any]) -> None:
    assert collector(**options).collected is None


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("press"), st.sampled_from([*KEYS, "a", "?", "12"])),
            st.tuples(st.just("wait"), st.floats(0, 15)),
            st.tuples(st.just("listen"), st.none()),
        ),
        max_size=40,
    ),
    max_digits=st.integers(1, 8),
    terminator=st.none() | st.sampled_from(KEYS),
    ticks=st.booleans(),
)
def test_law_it_is_a_beginning_of_what_was_pressed_and_over_in_time(
    steps: list[tuple[str, Any]], max_digits: int, terminator: str | None, ticks: bool
) -> None:
    digits = collector(max_digits=max_digits, terminator=terminator)
    now, firsts, pressed = 0.0, 0, ""
    ended: CollectedDigits | None = None
    for step, argument in steps:
        if step == "press":
            firsts += digits.press(argument, now)
            if argument.upper() in KEYS:
                pressed += argument.upper()
        elif step == "listen":
            digits.listen(now)
        else:
            now += argument
            if ticks:
                digits.tick(now)
                assert digits.deadline is None or digits.deadline > now, "nothing is due after a tick"
        assert ended is None or digits.collected is ended, "it ends once"
        ended = digits.collected
    digits.listen(now)
    if digits.deadline is not None:
        assert digits.deadline <= now + 10
        digits.tick(digits.deadline)
    result, end = outcome(digits)
    assert firsts == bool(result or end is DigitsEnd.TERMINATOR), "one key is the first, if there is any"
    before = pressed if terminator is None else pressed.split(terminator)[0]
    assert before.startswith(result)
    assert len(result) <= max_digits
    assert (end is DigitsEnd.MAX_DIGITS) == (len(result) == max_digits)
    assert end is not DigitsEnd.TIMEOUT or not result
    assert end is not DigitsEnd.TERMINATOR or pressed.startswith(f"{result}{terminator}")


# --- on a call --------------------------------------------------------------------------------------------------------


class Keys(Door):
    """A call that is up, and what was collected."""

    def __init__(self) -> None:
        super().__init__()
        self.live()
        self.out.clear()

    def collect(
        self, name: str = "digits", *, prompt: str | None = None, barge_in: bool = True, secret: bool = False, **of: Any
    ) -> None:
        self.step(inputs.Collect(name, collector(**of), prompt, barge_in=barge_in, secret=secret))

    def press(self, keys: str) -> list[bool]:
        """Press keys; return for each whether it is to be withheld."""
        withheld = []
        for digit in keys:
            self.receive(key(digit))
            withheld.append(self.s.withheld)
        return withheld

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.sent if event.type != "session.update"]


@pytest.fixture
def keys() -> Keys:
    return Keys()


def test_what_is_collected_on_a_call_is_told_once(keys: Keys) -> None:
    keys.collect()
    keys.press("12#3")
    assert keys.done("digits") == [CollectedDigits("12", DigitsEnd.TERMINATOR)]


def test_keys_that_do_not_come_end_it_in_time(keys: Keys) -> None:
    keys.collect()
    keys.wait(9.9)
    assert keys.done("digits") == []
    keys.wait(0.2)
    assert keys.done("digits") == [CollectedDigits("", DigitsEnd.TIMEOUT)]


def test_digits_are_collected_one_answer_at_a_time(keys: Keys) -> None:
    keys.collect()
    keys.collect("second")
    (refused,) = keys.done("second")
    assert isinstance(refused, ConfigurationError)
    keys.press("1#")
    assert len(keys.done("digits")) == 1


@pytest.mark.parametrize("barge_in", [True, False])
def test_the_first_key_stops_the_prompt_where_the_caller_may_barge_in(keys: Keys, barge_in: bool) -> None:
    keys.collect(prompt="Ask for the number.", barge_in=barge_in)
    assert keys.kinds == ["response.create"]
    keys.receive(created("resp_1", key="prompt_digits"), playing("started", "resp_1"))
    keys.press("12")
    assert keys.kinds[1:] == ["response.cancel", "output_audio_buffer.clear"] * barge_in


def test_a_prompt_that_was_answered_before_it_was_heard_is_waited_for_no_longer(keys: Keys) -> None:
    keys.collect(prompt="Ask for the number.", barge_in=False, max_digits=2)
    keys.receive(created("resp_1", key="prompt_digits"), playing("started", "resp_1"))
    keys.press("12")
    assert keys.done("digits") == [CollectedDigits("12", DigitsEnd.MAX_DIGITS)]


def test_a_late_terminator_does_not_end_the_next_answer(keys: Keys) -> None:
    keys.collect(max_digits=2)
    keys.press("12")
    keys.collect("second")
    keys.press("#3#")
    assert keys.done("second") == [CollectedDigits("3", DigitsEnd.TERMINATOR)]


def test_whoever_waits_no_longer_is_told_nothing_and_the_hold_ends(keys: Keys) -> None:
    keys.collect()
    keys.step(inputs.Abandon("digits"))
    keys.press("1#")
    assert keys.done("digits") == []
    assert not keys.s.hold.on


def test_law_secret_keys_are_withheld_also_those_that_come_too_late(keys: Keys) -> None:
    assert keys.press("1") == [False]
    keys.collect(secret=True)
    assert keys.press("12#") == [True, True, True]
    keys.wait(5)
    assert keys.press("34") == [True, True], "meant for the answer, as far as anybody knows"
    keys.wait(11)
    assert keys.press("5") == [False]


def test_keys_that_answer_a_prompt_after_secret_ones_are_not_secret(keys: Keys) -> None:
    keys.collect(secret=True)
    keys.press("12#")
    keys.collect("second", prompt="Ask for the order.", barge_in=False)
    keys.receive(created("resp_1", key="prompt_second"), playing("started", "resp_1"), done("resp_1", SPOKEN))
    assert keys.press("1") == [True]
    keys.receive(playing("stopped", "resp_1"))
    keys.wait(0.5)
    assert keys.press("2") == [False]


def test_collecting_digits_waits_for_a_transfer(keys: Keys) -> None:
    request = TransferRequest(call_id="rtc_1", name="billing", target=TransferTarget("tel:+14155550123"))
    keys.step(inputs.Transfer("transfer", request, after_speech=False))
    keys.collect(prompt="Ask for the number.")
    keys.wait(30)
    assert "response.create" not in keys.kinds
    keys.step(inputs.CarrierSays(TransferFailureReason.BUSY))
    asked = [event.event_id for event in keys.sent if event.type == "response.create"]
    assert asked == ["prompt_digits"], "what is said of the transfer waits for the digits"
