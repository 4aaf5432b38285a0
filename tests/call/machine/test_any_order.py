"""The one door of a call, with anything in any order: see `world` for what happens, and for what has to hold."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import get_args

import pytest
import wire
import world
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_sip import events
from realtime_sip.call.machine import core, effects, inputs
from realtime_sip.call.machine.state import CallState, End, Floor, Socket, Tool
from realtime_sip.call.machine.targets import TransferRequest, TransferTarget
from realtime_sip.outcomes import EndReason, Heard
from realtime_sip.session import RealtimeSession

SEQUENCES = 1000
SIZES = (8, 120)
"""How many things happen in one sequence."""


def sequence(rng: random.Random) -> bytes:
    return rng.randbytes(world.SIZE * rng.randint(*SIZES))


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.binary(min_size=world.SIZE, max_size=world.SIZE), min_size=2, max_size=60).map(b"".join))
def test_any_order_of_what_can_happen_ends_once_and_leaves_nothing_that_waits_for_ever(data: bytes) -> None:
    world.run(data)


@pytest.mark.timeout(300)
def test_a_thousand_sequences_more() -> None:
    rng = random.Random(20261126)
    reasons = set()
    for _ in range(SEQUENCES):
        data = sequence(rng)
        try:
            lived = world.run(data)
        except Exception as error:
            data = world.smaller(data, _fails)
            raise AssertionError(f"world.run(bytes.fromhex({data.hex()!r})): {error!r:.500}") from error
        reasons.add(lived.s.ended and lived.s.ended.reason)
    assert len(reasons) > 8, "the world has become too small"


def _fails(data: bytes) -> bool:
    try:
        world.run(data)
    except Exception:  # noqa: BLE001 - whatever it is, it is a fault
        return True
    return False


def test_the_world_knows_every_documented_event() -> None:
    known = {
        kind for one in get_args(events.KnownServerEvent) for kind in get_args(one.model_fields["type"].annotation)
    }
    assert {kind.strip() for kind in known} == set(wire.DOCUMENTED)
    w = world.World(bytes(world.SIZE))
    for kind in wire.KINDS:
        parsed = [wire.parsed(wire.documented(w, kind)) for _ in range(30)]
        assert any(not isinstance(event, events.UnknownServerEvent) for event in parsed), kind


SPOILED: dict[str, Callable[[CallState], object]] = {
    "no timers": lambda s: s.timers.stop_all(),
    "a timer of no kind": lambda s: s.timers.set("dinner", 1.0),
    "asked, and not in the ledger": lambda s: setattr(s, "floor", Floor.ASKED),
    "a response without its floor": lambda s: setattr(s, "active", "resp_1"),
    "a tool that nobody answers": lambda s: s.tools.update(call_1=Tool.KNOWN),
    "a hold that nobody asks for": lambda s: setattr(s.hold, "there", None),
    "a memory that grows": lambda s: s.seen.update({str(n): None for n in range(600)}),
}


@pytest.mark.parametrize("how", SPOILED)
def test_the_world_notices_what_must_not_be(how: str) -> None:
    w = world.World(bytes(world.SIZE))
    assert not w.problems()
    SPOILED[how](w.s)
    assert w.problems()


FLOODS: dict[str, Callable[[int], wire.Frame]] = {
    "responses": lambda n: {"type": "response.created", "response": {"id": f"resp_{n}", "conversation_id": "c"}},
    "responses done": lambda n: {"type": "response.done", "response": {"id": f"resp_{n}", "status": "completed"}},
    "signs of responses": lambda n: {"type": "response.output_text.delta", "response_id": f"resp_{n}", "delta": "a"},
    "playback": lambda n: {"type": "output_audio_buffer.started", "response_id": f"resp_{n}"},
    "calls begun": lambda n: {
        "type": "response.output_item.added",
        "response_id": "resp_1",
        "item": {"type": "function_call", "id": f"item_{n}", "call_id": f"call_{n}", "status": "in_progress"},
    },
    "errors": lambda n: {"type": "error", "error": {"event_id": f"event_{n}", "code": "invalid_value"}},
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_leaves_what_is_remembered_small(flood: str) -> None:
    w = world.World(bytes(world.SIZE))
    w.up = True
    for n in range(3000):
        w.receive({"event_id": "event_1", **FLOODS[flood](n)})
    assert len(list(w.s.timers.due(float("inf")))) < 20
    assert len(w.s.tools) + len(w.s.asks) < 5


# --- what it has found ------------------------------------------------------------------------------------------------


def live(*more: inputs.Input, undisturbed: bool = False, attached: bool = True) -> CallState:
    s = core.start(RealtimeSession(), world.NO_LIMITS, now=0.0, unix=world.UNIX, greet_undisturbed=undisturbed)
    for what in (inputs.Answer(), *((inputs.Accepted(), inputs.Attached()) if attached else ()), *more):
        core.step(s, what, 0.0)
    return s


def says(kind: str, **fields: object) -> inputs.Received:
    return inputs.Received(wire.parsed({"type": kind, "event_id": "event_1", **fields}))


TRANSFER = inputs.Transfer(
    "transfer_1",
    TransferRequest(call_id="rtc_1", name="desk", target=TransferTarget("tel:+14155550123", ring_time=10)),
    after_speech=False,
)


def test_an_accept_that_was_refused_leaves_nothing() -> None:
    s = live(inputs.AcceptFailed(world.DENIED), undisturbed=True, attached=False)
    assert s.end is End.OVER
    assert not s.sequences


def test_a_call_is_not_being_attached_any_more_where_that_failed_while_hanging_up() -> None:
    s = live(inputs.Accepted(), inputs.Hangup(), inputs.AttachFailed(world.MISSING), attached=False)
    assert (s.end, s.socket) == (End.ENDING, Socket.LOST)


def test_what_was_not_accepted_is_not_hung_up_again() -> None:
    s = live(
        inputs.Fail("broken"), inputs.AcceptFailed(world.DECIDED), inputs.HangupFailed(world.FAILED), attached=False
    )
    assert s.end is End.OVER


def test_a_sign_of_life_asked_for_by_a_transfer_leaves_the_watch_over_the_socket() -> None:
    s = live(says("session.updated", session={}), TRANSFER)
    core.step(s, inputs.Tick(), 31.0)  # the transfer is due, and so is the watch
    core.step(s, says("rate_limits.updated", rate_limits=[]), 31.1)
    assert "silent" in s.timers


def test_a_dead_socket_is_dropped_once() -> None:
    s, dropped = live(inputs.Respond("speech_1")), []
    for now in range(1, 60):
        dropped += [effect for effect in core.step(s, inputs.Tick(), float(now)) if effect == effects.DropSocket()]
    assert len(dropped) == 1


def test_a_limit_that_is_reached_while_a_transfer_holds_the_end_back_is_not_reached_again_and_again() -> None:
    s = live(says("session.updated", session={"expires_at": int(world.UNIX) + 35}), TRANSFER, inputs.Hangup())
    core.step(s, inputs.Tick(), 15.0)
    assert s.end is End.TRANSFERRING
    assert s.timers.next is not None
    assert s.timers.next > 15.0


def test_a_call_that_is_let_go_of_during_its_greeting_has_turn_detection_back() -> None:
    s = live(says("session.updated", session={"audio": {"input": {"turn_detection": None}}}), undisturbed=True)
    (sent, *_) = core.step(s, inputs.LetGo("go_1"), 1.0)
    assert isinstance(sent, effects.Send)
    assert isinstance(sent.event, events.SessionUpdate)
    back = sent.event.to_wire()["session"]["audio"]["input"]["turn_detection"]
    assert back["create_response"] is True
    core.step(s, says("session.updated", session={"audio": {"input": {"turn_detection": back}}}), 1.1)
    assert s.ended is not None
    assert s.ended.reason is EndReason.DETACHED


def test_who_asked_for_a_response_is_told_of_it_though_it_was_shown_with_another_tag_first() -> None:
    s = live(inputs.Respond("speech_1"))
    for tag in ("other", "speech_1"):
        core.step(s, says("response.created", response={"id": "resp_1", "metadata": {"realtime_sip": tag}}), 0.1)
    core.step(s, says("response.done", response={"id": "resp_1", "status": "completed", "output": []}), 0.2)
    assert effects.Done("speech_1", Heard.FAILED) in core.step(s, inputs.Tick(), 10.0)
