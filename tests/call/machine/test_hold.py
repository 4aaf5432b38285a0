"""Holding the service's own responses: whatever is lost, refused or late, its turn detection comes back."""

from __future__ import annotations

from typing import Any

import pytest
from door import Door, collector, key, refused, updated
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine import effects, inputs, session
from realtime_sip.call.machine.state import End
from realtime_sip.session import RealtimeSession

Detection = dict[str, Any] | None

SERVER: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "idle_timeout_ms": None,
    "create_response": True,
    "interrupt_response": True,
}
SEMANTIC: dict[str, Any] = {
    "type": "semantic_vad",
    "eagerness": "auto",
    "create_response": True,
    "interrupt_response": True,
}
DEFAULTS = {"server_vad": SERVER, "semantic_vad": SEMANTIC}
LONG = 3600.0
"""Longer than everything that is ever waited for."""


def detection_of(update: events.SessionUpdate) -> Detection:
    """Return the turn detection that an update asks for. It asks for nothing else."""
    session = update.to_wire()["session"]
    assert session.keys() == {"type", "audio"}
    assert session["audio"].keys() == {"input"}
    assert session["audio"]["input"].keys() == {"turn_detection"}
    wanted: Detection = session["audio"]["input"]["turn_detection"]
    return wanted


def filled(old: Detection, new: Detection, *, merges: bool) -> Detection:
    """Return what a session has after an update, with the defaults filled in, as the service reports it."""
    if new is None:
        return None
    kind = new.get("type", "server_vad")
    defaults = DEFAULTS[kind]
    before = old if merges and old is not None and old["type"] == kind else defaults
    whole = {**before, **new}
    return {name: defaults[name] if value is None else value for name, value in whole.items()}


def creates(detection: Detection) -> bool:
    return detection is not None and detection["create_response"]


def having(detection: Detection) -> RealtimeSession:
    return RealtimeSession.model_validate({"audio": {"input": {"turn_detection": detection}}})


class Held(Door):
    """A call that is up, and what holds and releases have sent. The caller presses keys while digits are collected."""

    def __init__(self, detection: Detection) -> None:
        super().__init__(having(detection), now=1000.0)
        self.live()
        self.out.clear()

    def begin(self, reason: str = "digits") -> None:
        if reason == "digits":
            if self.s.digits.collector is None:
                self.step(inputs.Collect(reason, collector(), None, barge_in=False, secret=False))
        else:
            self.apply(lambda: session.hold(self.s, reason))

    def end(self, reason: str = "digits") -> None:
        if reason == "digits":
            self.step(inputs.Abandon(reason))
        else:
            self.apply(lambda: session.release(self.s, reason))

    def report(self, *detections: object) -> None:
        for detection in detections:
            self.receive(updated(audio={"input": {"turn_detection": detection}}))

    def refuse(self, update: events.SessionUpdate) -> None:
        self.receive(refused(update.event_id))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.s.timers.at("digits")) is not None and at <= end:
            super().wait(at - 1.0 - self.now)
            self.receive(key())
        super().wait(end - self.now)

    @property
    def on(self) -> bool:
        return self.s.hold.on

    @property
    def waits(self) -> float | None:
        """When a hold or a release is sent again, or given up."""
        return self.s.timers.at("hold")

    @property
    def updates(self) -> list[events.SessionUpdate]:
        """The updates that hold and release."""
        updates = [event for event in self.sent if isinstance(event, events.SessionUpdate)]
        return [update for update in updates if str(update.event_id).startswith("hold_")]

    @property
    def wanted(self) -> list[Detection]:
        return [detection_of(update) for update in self.updates]

    def confirm(self) -> None:
        """The service has taken what was sent last."""
        self.report(filled(None, self.wanted[-1], merges=False))


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_hold_sends_the_whole_of_turn_detection_without_responses_and_brings_all_of_it_back() -> None:
    own = {**SERVER, "threshold": 0.8, "silence_duration_ms": 700, "interrupt_response": False}
    held = Held(own)
    states = [held.on]
    held.begin()
    states.append(held.on)
    held.confirm()
    held.end()
    states.append(held.on)
    assert states == [False, True, False]
    held.confirm()
    assert held.wanted == [{**own, "create_response": False}, own]
    held.wait(LONG)
    assert len(held.updates) == 2


def test_what_the_service_reports_counts_for_more_than_what_the_call_was_accepted_with() -> None:
    held = Held({"type": "server_vad"})
    held.report({**SEMANTIC, "eagerness": "low"})
    held.begin()
    assert held.wanted == [{**SEMANTIC, "eagerness": "low", "create_response": False}]


def test_turn_detection_that_left_create_response_out_comes_back_with_it() -> None:
    held = Held({"type": "semantic_vad"})
    held.begin()
    held.confirm()
    held.end()
    assert held.wanted == [
        {"type": "semantic_vad", "create_response": False},
        {"type": "semantic_vad", "create_response": True},
    ]


@pytest.mark.parametrize("create_response", [True, False])
def test_the_idle_timeout_is_off_meanwhile_for_the_model_would_speak_after_it(create_response: bool) -> None:
    own = {"type": "server_vad", "idle_timeout_ms": 8000, "create_response": create_response}
    held = Held(own)
    held.begin()
    assert held.wanted == [{**own, "idle_timeout_ms": None, "create_response": False}]
    held.confirm()
    held.end()
    assert held.wanted[1] == own


@pytest.mark.parametrize("own", [None, {**SERVER, "create_response": False}])
def test_nothing_is_sent_where_the_service_starts_no_responses_anyway(own: Detection) -> None:
    held = Held(own)
    held.begin()
    assert held.on
    held.report(own)
    held.attach_again()
    held.end()
    held.report(own)
    held.wait(LONG)
    assert held.updates == []


@pytest.mark.parametrize("kind", ["telepathic_vad", None, 7, [], {}])
def test_a_kind_of_turn_detection_that_is_unknown_is_left_alone(kind: object) -> None:
    held = Held(SERVER)
    held.report({**SERVER, "type": kind})
    held.begin()
    held.attach_again()
    held.end()
    held.wait(LONG)
    assert held.updates == []


@pytest.mark.parametrize(
    "odd",
    [
        {"threshold": 1.5},
        {"threshold": "loud", "prefix_padding_ms": -3},
        {"prefix_padding_ms": float("nan")},
        {"interrupt_response": "?"},
        {"create_response": "?"},
        {"create_response": 0},
        {"idle_timeout_ms": 100},
        {"idle_timeout_ms": []},
        {"extra_fields": {"threshold": 0.1}},
        {"extra_fields": {"evil": 1}},
        {"a_field_of_tomorrow": 1},
    ],
)
def test_a_value_that_cannot_be_sent_costs_no_other_value(odd: dict[str, Any]) -> None:
    own = {**SERVER, "silence_duration_ms": 700, **odd}
    held = Held(SERVER)
    held.report(own)
    held.begin()
    held.confirm()
    held.end()
    kept = {name: value for name, value in SERVER.items() if name not in odd} | {
        "silence_duration_ms": 700,
        "idle_timeout_ms": None,
    }
    assert held.wanted == [{**kept, "create_response": False}, {**kept, "create_response": True}]


# --- several reasons --------------------------------------------------------------------------------------------------


def test_two_reasons_hold_together_and_the_last_one_to_go_restores() -> None:
    held = Held(SERVER)
    held.begin("digits")
    held.confirm()
    held.begin("transfer")
    held.end("digits")
    assert held.on
    assert len(held.updates) == 1
    held.end("transfer")
    assert [creates(detection) for detection in held.wanted] == [False, True]


def test_a_reason_counts_once_and_one_that_was_not_given_ends_nothing() -> None:
    held = Held(SERVER)
    held.end("transfer")
    held.begin("digits")
    held.begin("digits")
    held.end("transfer")
    assert held.on
    assert len(held.updates) == 1
    held.confirm()
    held.end("digits")
    held.end("digits")
    assert len(held.updates) == 2


# --- reports that are late, or of somebody else -----------------------------------------------------------------------


def test_a_report_of_before_the_hold_confirms_nothing() -> None:
    held = Held(SERVER)
    held.begin()
    held.report(SERVER)
    held.wait(6)
    assert [creates(detection) for detection in held.wanted] == [False, False], "it was not confirmed"
    held.confirm()
    held.wait(LONG)
    assert len(held.updates) == 2


def test_an_update_of_the_program_that_was_taken_just_before_the_hold_is_what_comes_back() -> None:
    held = Held(SERVER)
    held.begin()
    held.report({**SERVER, "silence_duration_ms": 900})
    held.confirm()
    held.end()
    assert held.wanted[-1] is not None
    assert held.wanted[-1]["silence_duration_ms"] == 900


def test_an_update_of_the_program_that_turned_it_off_just_before_the_hold_is_what_comes_back() -> None:
    held = Held(SERVER)
    held.begin()
    held.report(None)
    held.confirm()
    assert len(held.updates) == 1, "it is quiet, and that is enough"
    held.end()
    assert held.wanted[1:] == [None]
    quiet = {**SERVER, "create_response": False}
    held.report(quiet, None)
    held.wait(LONG)
    assert len(held.updates) == 2


@pytest.mark.parametrize("changed", [{**SERVER, "silence_duration_ms": 900}, SEMANTIC, None])
def test_an_update_of_the_program_that_a_release_has_overwritten_comes_back(changed: Detection) -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.end()
    held.report(changed)  # taken after the hold and before the release
    held.report(SERVER)
    assert held.wanted[2:] == [changed]
    held.confirm()
    held.wait(LONG)
    assert len(held.updates) == 3


def test_a_service_that_rounds_what_it_is_told_is_not_told_again_and_again() -> None:
    held = Held({"type": "server_vad", "threshold": 0.8})
    held.begin()
    held.confirm()
    held.end()
    for _ in range(5):
        held.report({**SERVER, "threshold": 0.800000012})
        held.wait(6)
    assert len(held.updates) == 3
    held.begin()
    held.report({**SERVER, "threshold": 0.8, "create_response": False})
    held.wait(LONG)
    assert len(held.updates) == 4


def test_what_the_service_leaves_out_or_shows_as_null_is_not_sent() -> None:
    held = Held(SERVER)
    held.report({"type": "semantic_vad", "eagerness": None})
    held.begin()
    assert held.wanted == [{"type": "semantic_vad", "create_response": False}]


def test_turn_detection_that_comes_on_during_a_hold_is_held_too() -> None:
    held = Held(None)
    held.begin()
    held.report(SEMANTIC)
    assert held.wanted == [{**SEMANTIC, "create_response": False}]
    held.confirm()
    held.end()
    assert held.wanted[1:] == [SEMANTIC]


def test_turn_detection_that_somebody_changes_during_a_hold_is_held_again_and_comes_back_as_changed() -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.report(SEMANTIC)
    assert held.wanted[1:] == [{**SEMANTIC, "create_response": False}]
    held.confirm()
    held.end()
    assert held.wanted[2:] == [SEMANTIC]


def test_turn_detection_that_somebody_turns_off_during_a_hold_stays_off() -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.report(None)
    held.end()
    held.wait(LONG)
    assert len(held.updates) == 1


def test_an_unknown_kind_that_was_reported_too_late_is_no_reason_to_bring_nothing_back() -> None:
    held = Held(SERVER)
    held.begin()
    held.report({"type": "telepathic_vad"})
    held.confirm()
    held.end()
    assert creates(held.wanted[-1])


def test_law_a_service_that_ignores_the_hold_is_not_asked_for_ever() -> None:
    held = Held(SERVER)
    held.begin()
    for _ in range(200):
        held.report(SERVER)
        held.wait(10)
    assert 2 < len(held.updates) < 20
    held.end()
    assert creates(held.wanted[-1]), "it may have been taken after all"


def test_law_somebody_who_undoes_the_hold_again_and_again_is_not_fought_for_ever() -> None:
    held = Held(SERVER)
    held.begin()
    for _ in range(200):
        held.confirm()
        held.report(SERVER)
    held.wait(LONG)
    assert len(held.updates) < 20


def test_a_restored_session_that_the_program_then_silences_stays_silent() -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.end()
    held.confirm()
    held.report({**SERVER, "create_response": False})
    held.begin()
    held.end()
    held.wait(LONG)
    assert len(held.updates) == 2


def test_a_report_of_the_hold_that_comes_twice_is_not_taken_for_the_programs_wish() -> None:
    held = Held(SERVER)
    held.begin()
    held.wait(6)  # asked twice, and answered twice
    assert held.wanted[0] is not None
    quiet = filled(None, held.wanted[0], merges=False)
    held.report(quiet)
    held.end()
    held.report(quiet, SERVER)
    assert [creates(detection) for detection in held.wanted] == [False, False, True]
    held.begin()
    assert creates(held.wanted[3]) is False


@pytest.mark.parametrize("junk", [7, "server_vad", [], True])
def test_a_report_that_is_no_turn_detection_says_nothing(junk: object) -> None:
    held = Held(SERVER)
    held.report(junk)
    held.begin()
    held.report(junk)
    held.confirm()
    held.report(junk)
    held.end()
    assert [creates(detection) for detection in held.wanted] == [False, True]


# --- release before the hold is there ---------------------------------------------------------------------------------


def test_a_release_before_the_hold_was_confirmed_restores_as_soon_as_it_is() -> None:
    held = Held(SERVER)
    held.begin()
    held.end()
    held.report(SERVER)  # of an update of before; it proves nothing
    held.confirm()
    assert creates(held.wanted[-1])
    held.confirm()
    held.wait(LONG)
    assert len(held.updates) == 2


def test_a_release_whose_hold_is_never_confirmed_restores_all_the_same() -> None:
    held = Held(SERVER)
    held.begin()
    held.end()
    held.wait(6)
    assert [creates(detection) for detection in held.wanted] == [False, True]


def test_a_hold_that_comes_back_before_its_release_was_sent_stays() -> None:
    held = Held(SERVER)
    held.begin()
    held.end()
    held.begin()
    held.confirm()
    held.wait(LONG)
    assert [creates(detection) for detection in held.wanted] == [False]


def test_a_hold_that_comes_before_its_release_was_confirmed_holds_again() -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.end()
    held.begin()
    held.confirm()
    held.confirm()
    held.wait(LONG)
    assert [creates(detection) for detection in held.wanted] == [False, True, False]


# --- refusals and losses ----------------------------------------------------------------------------------------------


def test_an_update_that_is_refused_is_sent_again_later_and_not_for_ever() -> None:
    held = Held(SERVER)
    held.begin()
    for _ in range(200):
        held.refuse(held.updates[-1])
        before = len(held.updates)
        held.report(SERVER)
        held.wait(1)
        assert len(held.updates) == before, "a report is no reason to be quicker"
        held.wait(5)
    held.wait(LONG)
    assert 2 < len(held.updates) < 20
    assert len({update.event_id for update in held.updates}) == len(held.updates)


def test_a_refusal_of_something_else_is_not_ours() -> None:
    held = Held(SERVER)
    held.receive(refused(""))
    held.begin()
    waits = held.waits
    held.receive(refused(""), refused(None), refused("event_other"))
    assert held.waits == waits
    held.confirm()
    held.wait(LONG)
    assert len(held.updates) == 1


def test_a_refused_hold_that_was_released_meanwhile_is_followed_by_the_release() -> None:
    held = Held(SERVER)
    held.begin()
    held.end()
    held.refuse(held.updates[0])
    assert [creates(detection) for detection in held.wanted] == [False, True]


def test_a_release_does_not_wait_for_a_refused_hold_to_be_tried_again() -> None:
    held = Held(SERVER)
    held.begin()
    held.refuse(held.updates[0])
    held.end()
    assert [creates(detection) for detection in held.wanted] == [False, True]


def test_a_release_that_is_refused_is_tried_again() -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.end()
    held.refuse(held.updates[-1])
    held.wait(30)
    held.confirm()
    held.wait(LONG)
    assert len(held.updates) > 2
    assert all(creates(detection) for detection in held.wanted[1:])


@pytest.mark.parametrize("tries", [1, 3])
def test_an_update_whose_answer_is_lost_is_sent_again_with_an_id_of_its_own(tries: int) -> None:
    held = Held(SERVER)
    held.begin()
    for _ in range(tries):
        held.wait(6)
    ids = [update.event_id for update in held.updates]
    assert len(set(ids)) == len(ids) == 1 + tries
    assert all(ids)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_lost_socket_in_a_hold_sends_again_what_was_not_confirmed(confirmed: bool) -> None:
    held = Held(SERVER)
    held.begin()
    if confirmed:
        held.confirm()
    held.attach_again()
    assert [creates(detection) for detection in held.wanted] == ([False] if confirmed else [False, False])


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_lost_socket_after_a_release_sends_again_what_was_not_confirmed(confirmed: bool) -> None:
    held = Held(SERVER)
    held.begin()
    held.confirm()
    held.end()
    if confirmed:
        held.confirm()
    held.attach_again()
    assert [creates(detection) for detection in held.wanted] == ([False, True] if confirmed else [False, True, True])


def test_a_release_while_the_socket_is_lost_restores_when_it_is_back() -> None:
    held = Held(SERVER)
    held.begin()
    held.end()
    held.attach_again()
    assert [creates(detection) for detection in held.wanted] == [False, True]


def test_a_lost_socket_without_a_hold_sends_nothing() -> None:
    held = Held(SERVER)
    held.attach_again()
    assert held.updates == []


def test_law_what_was_given_up_is_tried_again_after_the_next_lost_socket_and_at_the_next_change() -> None:
    held = Held(SERVER)
    held.begin()
    held.wait(LONG)
    given_up = len(held.updates)
    held.attach_again()
    held.wait(LONG)
    assert len(held.updates) == 2 * given_up
    held.end()
    held.wait(LONG)
    assert len(held.updates) == 3 * given_up
    assert all(creates(detection) for detection in held.wanted[2 * given_up :])
    assert held.waits is None


# --- everything together ----------------------------------------------------------------------------------------------


class Service:
    """A session as far as its turn detection goes, at the end of a line on which updates and answers wait.

    `own` is what the session would have if nobody held.
    """

    def __init__(self, detection: Detection, *, merges: bool) -> None:
        self.merges = merges
        self.detection = self.own = detection
        self.inbox: list[tuple[str, Detection]] = []
        """The id of an update, "" for one that changes nothing, and what it asks for."""
        self.outbox: list[tuple[str, bool, Detection]] = []
        """The id of an update, whether it was refused, and what is reported."""

    def read(self, fate: str = "taken") -> None:
        event_id, wanted = self.inbox.pop(0)
        ours = event_id.startswith("hold_")
        if fate == "refused" and event_id:
            self.outbox.append((event_id, True, None))
        elif fate != "lost":
            if event_id:
                self.detection = filled(self.detection, wanted, merges=self.merges)
            if event_id and not ours:
                self.own = filled(self.own, wanted, merges=self.merges)
            if fate != "unanswered" or not ours:  # what the program has changed is seen somewhere
                self.outbox.append((event_id, False, self.detection))


OWN = st.sampled_from(
    [
        None,
        SERVER,
        SEMANTIC,
        {**SERVER, "threshold": 0.9, "idle_timeout_ms": 6000},
        {**SERVER, "create_response": False},
        {**SEMANTIC, "create_response": False},
    ]
)
CHANGES = st.sampled_from(
    [
        None,
        {**SERVER, "silence_duration_ms": 800},
        {**SERVER, "idle_timeout_ms": 9000},
        {"type": "semantic_vad", "eagerness": "high", "create_response": True},
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["begin", "end"]), st.sampled_from(["digits", "transfer"])),
        st.tuples(st.just("read"), st.sampled_from(["taken", "taken", "taken", "lost", "refused", "unanswered"])),
        st.tuples(st.just("deliver"), st.none()),
        st.tuples(st.just("deliver"), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 6.0])),
        st.tuples(st.just("socket"), st.none()),
        st.tuples(st.just("program"), CHANGES),
        st.tuples(st.just("report"), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=600, deadline=None)
@given(OWN, STEPS, st.booleans(), st.booleans())
def test_law_responses_are_off_during_a_hold_and_restored_whatever_happens(
    own: Detection, steps: list[tuple[str, Any]], merges: bool, reported: bool
) -> None:
    held, service = Held(own), Service(own, merges=merges)
    held.alive = False  # it answers in its time
    transmitted = 0
    troubles = 8  # fewer than it takes to give up

    def transmit() -> None:
        nonlocal transmitted
        for effect in held.out[transmitted:]:
            if isinstance(effect, effects.Send) and isinstance(effect.event, events.SessionUpdate):
                probing = str(effect.event.event_id).startswith("probe_")
                service.inbox.append(
                    ("", None) if probing else (effect.event.event_id or "", detection_of(effect.event))
                )
        transmitted = len(held.out)

    def waiting() -> bool:
        """Whether the program waits for the answer to an update of its own."""
        return any(name.startswith("update ") for name in held.s.asks)

    def deliver() -> None:
        event_id, was_refused, detection = service.outbox.pop(0)
        if was_refused:
            held.receive(refused(event_id))
        else:
            held.report(detection)
        transmit()

    def exhaust() -> None:
        while service.inbox or service.outbox:
            if service.outbox:
                deliver()
            else:
                service.read()

    def wait(seconds: float) -> None:
        # What takes as long as this counts as lost, so it does not come any more.
        if seconds > 4:
            exhaust()
        held.wait(seconds)
        transmit()

    def come_to_rest() -> None:
        exhaust()
        for _ in range(50):
            if held.waits is None:
                break
            held.wait(held.waits - held.now)
            transmit()
            exhaust()
        else:
            raise AssertionError("it never comes to rest")

    if reported:
        held.report(own)
    for number, (step, argument) in enumerate(steps):
        if step == "begin":
            held.begin(argument)
        elif step == "end":
            held.end(argument)
        elif step == "read" and service.inbox:
            troubles -= argument != "taken"
            service.read(argument if troubles > 0 else "taken")
        elif step == "deliver" and service.outbox:
            deliver()
        elif step == "wait":
            wait(argument)
        elif step == "socket":
            if held.s.line.drops > 4:
                wait(6.0)  # one that stays, else the call is given up
            service.inbox.clear()
            service.outbox.clear()
            held.attach_again()
        elif step == "program" and not (held.on or held.waits or waiting()):
            held.step(inputs.Update(f"program_{number}", having(argument)))
        elif step == "report":
            service.inbox.append(("", None))
        transmit()

    come_to_rest()
    if held.on:
        assert not creates(service.detection)
        assert service.detection is None or not service.detection.get("idle_timeout_ms")
    for reason in ("digits", "transfer"):
        held.end(reason)
        transmit()
    come_to_rest()
    assert held.s.end is End.NONE
    assert service.detection == service.own
