"""What the core makes of a ticket: nothing is assumed, nothing runs twice, and what nobody saw is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_sip.call.machine import core, effects, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.state import Called, CallState, Tool
from realtime_sip.call.machine.takeover import INTERRUPTED
from realtime_sip.call.machine.ticket import Ticket
from realtime_sip.errors import DecisionAlreadyMadeError, ServiceError
from realtime_sip.outcomes import EndReason, SocketClose, SocketCloseKind
from realtime_sip.session import RealtimeSession

AT = 1_795_000_000.0
NO_LIMITS = CallLimits(silence=None, first_sound=None)


def taken(ticket: Ticket | None, *, idempotent: frozenset[str] = frozenset(), now: float = 0.0) -> CallState:
    s = core.start(RealtimeSession(model="gpt-realtime-2.1"), NO_LIMITS, now=0.0, unix=AT)
    assert effects.Attach() in core.step(s, inputs.Adopt(ticket, idempotent), now)
    return s


def sent(found: list[effects.Effect]) -> list[dict[str, Any]]:
    return [effect.event.to_wire() for effect in found if isinstance(effect, effects.Send)]


@pytest.mark.parametrize(
    "ticket", [None, Ticket(at=AT - 5, began=AT - 5), Ticket(at=AT - 5, began=AT - 9, attached=AT - 8)]
)
def test_a_caller_who_may_wait_for_an_answer_gets_one_if_nothing_is_said(ticket: Ticket | None) -> None:
    s = taken(ticket)
    found = core.step(s, inputs.Attached(), 0.5)
    assert effects.Done("answer", None) in found
    asked = [frame["type"] for now in range(1, 12) for frame in sent(core.step(s, inputs.Tick(), float(now)))]
    assert asked.count("response.create") == 1


def test_a_call_that_turns_out_to_be_accepted_by_a_worker_that_died_is_not_left_in_silence() -> None:
    s = core.start(RealtimeSession(model="gpt-realtime-2.1"), NO_LIMITS, now=0.0, unix=AT, maybe_accepted=True)
    core.step(s, inputs.Answer(), 0.0)
    assert effects.Attach() in core.step(
        s, inputs.AcceptFailed(DecisionAlreadyMadeError("decided", status_code=409)), 0.1
    )
    core.step(s, inputs.Attached(), 0.5)
    asked = [frame["type"] for now in range(1, 12) for frame in sent(core.step(s, inputs.Tick(), float(now)))]
    assert asked.count("response.create") == 1


@pytest.mark.parametrize("ticket", [None, Ticket(at=AT - 5, began=AT - 9, attached=AT - 8)])
def test_whoever_is_refused_a_second_sideband_waits_while_there_is_another__but_not_longer_than_a_session_lasts(
    ticket: Ticket | None,
) -> None:
    s, now = taken(ticket), 0.0
    while s.decided is None:
        core.step(s, inputs.AttachFailed(ServiceError("another is open", status_code=409)), now)
        now = s.timers.next or now
        core.step(s, inputs.Tick(), now)
    # A ticket says since when the call is up, so that its limit of 55 minutes counts.
    longest, reason = (3600, EndReason.CONNECTION_LOST) if ticket is None else (3292, EndReason.LIMIT)
    assert longest <= now < longest + 5
    assert s.decided.reason is reason


def test_a_call_that_was_handed_over_at_once_and_at_rest_is_left_alone() -> None:
    s = taken(Ticket(at=AT, began=AT - 60, attached=AT - 59, handed=True))
    core.step(s, inputs.Attached(), 0.5)
    asked = [frame["type"] for now in range(1, 12) for frame in sent(core.step(s, inputs.Tick(), float(now)))]
    assert "response.create" not in asked


def test_an_output_that_was_sent_and_not_shown_is_not_sent_twice() -> None:
    ticket = Ticket(
        at=AT - 1, began=AT - 60, attached=AT - 59, tools={"call call_1": Tool.SENT}, outputs={"call call_1": "item_7"}
    )
    s = taken(ticket)
    (item,) = [frame["item"] for frame in sent(core.step(s, inputs.Attached(), 0.5)) if "item" in frame]
    # Under the id of the output: the service refuses it if it has that.
    assert (item["id"], item["call_id"], item["output"]) == ("item_7", "call_1", INTERRUPTED)


def test_a_function_that_ran_is_reported_and_one_that_is_idempotent_is_looked_up_to_run_again() -> None:
    ticket = Ticket(
        at=AT - 1,
        began=AT - 60,
        attached=AT - 59,
        tools={"call call_1": Tool.RUNNING, "call call_2": Tool.RUNNING},
        functions={"call_1": Called("item_1", "pay"), "call_2": Called("item_2", "look_up")},
        seen=("call_1", "call_2"),
    )
    assert ticket.interrupted({"look_up"}) == ("pay",)
    s = taken(ticket, idempotent=frozenset({"look_up"}))
    frames = sent(core.step(s, inputs.Attached(), 0.5))
    assert [frame["item"]["call_id"] for frame in frames if "item" in frame] == ["call_1"]
    assert [frame["item_id"] for frame in frames if frame["type"] == "conversation.item.retrieve"] == ["item_2"]
    assert "call_1" in s.seen
    assert "call_2" not in s.seen


def test_a_ticket_of_another_release_is_read_as_far_as_it_is_known() -> None:
    text = json.dumps({"at": AT, "began": AT, "attached": AT, "something new": {"a": 1}})
    assert Ticket.model_validate_json(text) == Ticket(at=AT, began=AT, attached=AT)


def test_nobody_hands_over_a_call_that_is_not_at_rest() -> None:
    s = taken(None)
    core.step(s, inputs.HandOver("key"), 0.1)
    assert s.socket.value == "attaching"
    found = core.step(s, inputs.Attached(), 0.5)
    assert s.socket.value == "open"
    assert not [effect for effect in found if isinstance(effect, effects.DropSocket)]
    assert [type(effect) for effect in core.step(s, inputs.Taken(), 1.0)] == [effects.Finish]


def test_what_nobody_took_is_attached_again() -> None:
    s = taken(Ticket(at=AT, began=AT - 60, attached=AT - 59))
    core.step(s, inputs.Attached(), 0.1)
    s.asks.clear()
    s.sequences.clear()
    s.hold.there = False
    s.timers.stop("proof")
    found = core.step(s, inputs.HandOver("key"), 5.0)
    assert effects.DropSocket() in found
    assert core.step(s, inputs.Kept(), 5.5) == []
    # Only once the socket that was closed is closed.
    assert effects.Attach() in core.step(s, inputs.Closed(SocketClose(SocketCloseKind.OURS, 1000)), 5.6)
    assert s.socket.value == "attaching"
    assert core.step(s, inputs.Kept(), 5.7) == []
