"""What the soak has found, as small as it gets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import greet, phone, types, virtual
from realtime_sip import Call, CallLimits, EndReason, Tools, TransferTargets
from realtime_sip.errors import TransferError
from realtime_sip.outcomes import TransferFailureReason, TransferProgress
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    ModelCalls,
    ModelSays,
    SocketDropped,
    SocketSilent,
    Timings,
)

HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
LOOK = ModelCalls("order_status", {"order_id": "1042"})
TELL = ModelSays("It comes tomorrow.")
SORRY = ModelSays("Nobody is there right now. Can I help you myself?")
BYE = CallerHangsUp()
DESKS = TransferTargets({"billing": "tel:+14155550123"})
PATIENT = Timings(patience=150.0)


@virtual
@pytest.mark.parametrize("moment", ["session.update", "session.updated", "response.create"])
async def test_a_response_that_was_made_while_the_socket_was_lost_is_not_asked_for_again(moment: str) -> None:
    """`response.done` names it by its metadata, so that nobody is greeted twice."""
    async with phone(timings=PATIENT) as line:
        _, ringing = await line.played(
            HELLO, CallerHangsUp(after=20.0), talk=greet, faults=[SocketDropped(when=moment, code=1006)]
        )
    assert [said.text for said in ringing.said] == [HELLO.text]


async def fails_as_told(call: Call) -> None:
    await call.respond("Greet the caller.")
    transferring = asyncio.ensure_future(call.transfer("billing"))
    await asyncio.sleep(10)
    call.transfer_progress(TransferFailureReason.BUSY)
    with pytest.raises(TransferError):
        await transferring
    await call.wait_ended()


@virtual
async def test_law_the_agent_keeps_the_caller_also_where_the_socket_is_silent_as_a_transfer_fails() -> None:
    """What the model has to be told, and to say, goes into a dead socket; it comes again over the next one."""
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO,
            SORRY,
            ASK,
            TELL,
            BYE,
            talk=fails_as_told,
            transfers=DESKS,
            limits=CallLimits(silence=90.0),
            behavior=Behavior(refer="busy"),
            faults=[SocketSilent(when="playing", after=6.0)],
        )
    told = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    assert [item["role"] for item in told] == ["system"]
    assert [said.text for said in ringing.said] == [HELLO.text, SORRY.text, ASK.text, TELL.text]
    assert ended.reason is EndReason.CALLER


@virtual
async def test_the_answer_to_a_tool_survives_a_silent_socket() -> None:
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return f"{order_id} comes tomorrow"

    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO,
            ASK,
            LOOK,
            TELL,
            BYE,
            talk=greet,
            tools=tools,
            limits=CallLimits(silence=90.0),
            faults=[SocketSilent(when="tool")],
        )
    assert "function_call_output" in [
        event["item"]["type"] for event in ringing.client_events if event["type"] == "conversation.item.create"
    ]
    assert ended.reason is EndReason.CALLER
    assert ringing.said[-1].text == TELL.text


@virtual
async def test_a_silent_socket_is_no_lack_of_sound() -> None:
    """The limit of 20 s for a first sound is shorter than the 30 s after which a socket is asked for a sign of life."""
    async with phone(timings=PATIENT) as line:
        ended, _ = await line.played(
            HELLO,
            ASK,
            TELL,
            CallerSays("And then?", after=12.0),
            TELL,
            BYE,
            talk=greet,
            faults=[SocketSilent(when="generating")],
        )
    assert ended.reason is EndReason.CALLER


@virtual
async def test_law_a_target_that_has_answered_is_reported_also_where_nobody_saw_the_leg_leave() -> None:
    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(9)
        call.transfer_progress(TransferProgress.ANSWERED)
        await transferring

    async with phone(timings=PATIENT) as line:
        behavior: Any = Behavior(refer="bridged", closes_at_end=False)
        ended, ringing = await line.played(talk=talk, transfers=DESKS, behavior=behavior)
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
    assert "session.update" in types(ringing.client_events)
