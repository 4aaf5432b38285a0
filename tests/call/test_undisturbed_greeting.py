"""A greeting that nothing cuts off: turn detection comes back after it, whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import greet, phone, types, until, virtual
from realtime_sip import (
    Call,
    CallLimits,
)
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EventLost,
    ModelSays,
    RingingCall,
    SocketSilent,
    Timings,
    UpdateRefused,
)

HELLO = ModelSays("Good morning, how can I help you?")
BYE = CallerHangsUp()
PATIENT = Timings(patience=150.0)


def detections(ringing: RingingCall) -> list[Any]:
    """Return the turn detection of each update that says one."""
    inputs = [
        e["session"].get("audio", {}).get("input", {}) for e in ringing.client_events if e["type"] == "session.update"
    ]
    return [heard["turn_detection"] for heard in inputs if "turn_detection" in heard]


@virtual
async def test_digits_that_are_asked_for_first_are_a_greeting_too_and_nothing_cuts_it_off() -> None:
    began: list[int] = []

    async def talk(call: Call) -> None:
        (ringing,) = line.ringings
        collecting = asyncio.ensure_future(call.collect_digits("Ask for the number.", timeout=5.0))
        await until(lambda: "output_audio_buffer.started" in types(ringing.server_events))
        began.extend(1 for detection in detections(ringing) if detection is not None)
        await collecting
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(
            ModelSays("Please enter your number."), CallerHangsUp(after=30.0), talk=talk, greet_undisturbed=True
        )
    assert began == []
    assert ringing.session is not None
    restored = ringing.session["audio"]["input"]["turn_detection"]
    assert (restored["type"], restored["create_response"]) == ("server_vad", True)


@virtual
@pytest.mark.parametrize(
    "faults",
    [
        [SocketSilent(when="output_audio_buffer.stopped")],
        [UpdateRefused(occurrence=n) for n in (1, 2, 3, 4)],
        [EventLost("session.update", occurrence=2, times=5)],
    ],
)
async def test_law_never_a_dead_agent__a_call_that_was_to_listen_after_its_greeting_does(faults: list[Any]) -> None:
    # After a silent socket nobody knows what was said, so the model asks too.
    async with phone(timings=PATIENT, strict=False) as line:
        _, ringing = await line.played(
            HELLO,
            CallerSays("Hello?", after=100.0),
            ModelSays("Yes."),
            BYE,
            talk=greet,
            faults=faults,
            greet_undisturbed=True,
            limits=CallLimits(silence=None),
        )
    assert ringing.session is not None
    detection = ringing.session["audio"]["input"]["turn_detection"]
    assert detection is not None
    assert detection["type"] == "server_vad"


@virtual
async def test_turn_detection_that_the_program_sets_during_an_undisturbed_greeting_stays() -> None:
    semantic = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.update(semantic)
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(HELLO, CallerHangsUp(after=20.0), talk=talk, greet_undisturbed=True)
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
