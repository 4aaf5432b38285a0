"""What the runtime makes of a service that fails, by what the service counts."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from phone import Phone, greet, outputs, phone, types, virtual
from realtime_sip import Call, CallLimits, EndReason, Tools, end_call
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    DecidedElsewhere,
    EndedBy,
    ModelCalls,
    ModelSays,
    PingsUnanswered,
    RequestFails,
    RingingCall,
    ServiceRestarts,
    SocketDropped,
    SocketSilent,
    Timings,
)
from realtime_sip.testing.openai.call import CallEnd

TALK = [ModelSays("Hello."), CallerSays("Hello?"), ModelSays("Yes?"), CallerHangsUp(after=40)]


async def _rung(line: Phone, *scenario: Any, talk: Any = greet, **ring: Any) -> tuple[RingingCall, CallEnd]:
    """Let a call come in that the handler may never see, and go to its end at the service."""
    line.talk = talk
    ringing = await line.openai.ring(line.host, scenario=scenario or TALK, strict=False, **ring)
    end = await ringing.ended(timeout=600)
    await line.idle()
    return ringing, end


async def _says_good_bye(call: Call) -> None:
    call.respond("Say something.")
    await asyncio.sleep(1)
    await call.hangup(goodbye="Say good-bye.")


def _heard(ringing: RingingCall) -> list[str]:
    return [kind.rpartition(".")[2] for kind in types(ringing.server_events) if kind.startswith("output_audio_buffer.")]


@virtual
async def test_a_goodbye_behind_a_long_sentence_is_heard() -> None:
    async with phone() as line:
        ringing, end = await _rung(
            line, ModelSays("A long one.", seconds=12), ModelSays("Good-bye.", seconds=2), talk=_says_good_bye
        )
    assert end.by is EndedBy.AGENT
    assert _heard(ringing) == ["started", "stopped", "started", "stopped"]


@virtual
async def test_a_long_sentence_is_heard_before_the_hang_up() -> None:
    async def talk(call: Call) -> None:
        call.respond("Tell a story.")
        await asyncio.sleep(1)
        await call.hangup(after_speech=True)

    async with phone() as line:
        ringing, _ = await _rung(line, ModelSays("A story.", seconds=45), talk=talk)
    assert _heard(ringing) == ["started", "stopped"]


@pytest.mark.parametrize("named", [True, False])
def test_a_call_that_another_worker_has_is_left_alone(named: bool) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            ringing, end = await _rung(line, faults=[DecidedElsewhere()], behavior=Behavior(decision_named=named))
        assert end.by is EndedBy.CALLER
        assert ringing.sidebands == ringing.tally.hangups == 0
        assert end.reason.name == "DECIDED_ELSEWHERE"

    run()


@pytest.mark.parametrize("acted", [False, True])
def test_an_accept_that_fails_for_good_is_rejected_or_settled(acted: bool) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            ringing, end = await _rung(line, faults=[RequestFails("accept", times=1000, acted=acted)])
        assert end.by is (EndedBy.CALLER if acted else EndedBy.REJECTED)
        assert end.reason is (EndReason.CALLER if acted else EndReason.NOT_CONNECTED)
        assert ringing.tally.unattended < 5

    run()


@virtual
async def test_a_reject_is_repeated() -> None:
    async with phone() as line:
        faults = [RequestFails("accept", times=1000, status=400), RequestFails("reject", times=2, status=503)]
        _, end = await _rung(line, faults=faults)
    assert end.by is EndedBy.REJECTED


@pytest.mark.parametrize(
    "trouble",
    [
        {"behavior": Behavior(sideband_after=7)},
        {"faults": [SocketDropped(when="playing"), RequestFails("attach", occurrence=2, status=404)]},
        {"behavior": Behavior(early=1.0, early_named=False)},
    ],
    ids=["ready after 7 s", "one stray 404", "an early 404 without JSON"],
)
def test_no_call_is_left_up_with_nobody_attached(trouble: dict[str, Any]) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            ringing, end = await _rung(line, **trouble)
        assert end.by in (EndedBy.CALLER, EndedBy.AGENT, EndedBy.REJECTED)
        assert ringing.tally.unattended < 15

    run()


@pytest.mark.parametrize(
    "fault",
    [
        ServiceRestarts(when="playing", seconds=3),
        SocketDropped(when="playing", counted=5),
        SocketDropped(when="playing", away=5),
        PingsUnanswered(when="playing"),
        RequestFails("attach", status=200),
    ],
    ids=["restart", "half-open", "away", "pings", "200"],
)
def test_a_call_outlives_trouble_with_its_socket(fault: Any) -> None:
    @virtual
    async def run() -> None:
        async with phone() as line:
            ringing, end = await _rung(line, faults=[fault])
        assert end.by is EndedBy.CALLER
        assert ringing.tally.unattended < 15

    run()


HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
LOOK = ModelCalls("order_status", {"order_id": "1042"})
TELL = ModelSays("It comes tomorrow.")
BYE = CallerHangsUp()
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
@pytest.mark.parametrize(
    "fault",
    [
        ServiceRestarts(when="output_audio_buffer.stopped", seconds=3.0),
        ServiceRestarts(when="output_audio_buffer.stopped", seconds=8.0),
        SocketSilent(when="output_audio_buffer.stopped"),
        SocketSilent(when="output_audio_buffer.stopped", pongs=False),
        SocketDropped(when="output_audio_buffer.stopped", code=1012, fin=False),
    ],
    ids=["3 s", "8 s", "silent", "dead", "without FIN"],
)
async def test_a_caller_whose_whole_turn_fell_into_a_hole_is_answered(fault: Any) -> None:
    """Nothing that was lost says that anything was: the caller asked, the model called a function, and nobody knows."""
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return f"{order_id} comes tomorrow"

    ask = CallerSays("My order?", seconds=0.5)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO, ask, LOOK, TELL, BYE, talk=greet, tools=tools, limits=CallLimits(silence=90.0), faults=[fault]
        )
    assert ended.reason is EndReason.CALLER
    assert ringing.said[-1].text == TELL.text


@virtual
async def test_the_end_of_a_sentence_says_nothing_about_the_function_that_was_called_with_it() -> None:
    """All that arrives of the response is that it was heard to its end."""
    tools = Tools()
    tools.function(end_call)
    goodbye = [ModelSays("Goodbye.", seconds=4.0), ModelCalls("end_call", same_response=True)]
    async with phone(timings=PATIENT) as line:
        fault = SocketDropped(when="input_audio_buffer.speech_stopped", away=0.9)
        ended, _ = await line.played(
            *[HELLO, ASK, *goodbye, ModelCalls("end_call")],
            talk=greet,
            tools=tools,
            limits=CallLimits(silence=90.0),
            faults=[fault],
        )
    assert ended.reason is EndReason.AGENT


@virtual
async def test_a_caller_who_says_nothing_after_a_short_hole_is_left_in_peace() -> None:
    async with phone(timings=PATIENT) as line:
        drop = SocketDropped(when="output_audio_buffer.stopped", code=1006)
        _, ringing = await line.played(HELLO, CallerHangsUp(after=20.0), talk=greet, faults=[drop])
    assert [said.text for said in ringing.said] == [HELLO.text]


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


def test_tools_that_hang_in_one_call_keep_no_other_call_from_being_answered() -> None:
    over = threading.Event()

    def hang() -> None:
        """Never ends."""
        over.wait()

    @virtual
    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with phone() as line:
            tools = Tools()
            tools.function(hang, timeout=0.05)
            calls = [ModelCalls("hang"), ModelSays("It did not work.")]
            _, first = await line.played(*calls, CallerHangsUp(), talk=greet, tools=tools)
            async with asyncio.timeout(10):
                await asyncio.to_thread(int)
            _, second = await line.played(*calls, CallerHangsUp(), talk=greet, tools=tools)
        assert "too long" in outputs(first)[0]
        assert "too long" in outputs(second)[0]

    try:
        run()
    finally:
        over.set()
