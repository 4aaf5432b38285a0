"""Say it, then act: goodbyes and announcements are said, whatever comes before them."""

from __future__ import annotations

import asyncio

import pytest

from phone import phone, said, virtual, words_asked_for
from realtime_sip import (
    Call,
    EndReason,
    TransferTargets,
)
from realtime_sip.errors import TransferError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    ModelSays,
    Timings,
)

HELLO = ModelSays("Good morning, how can I help you?")
LONG = ModelSays("We are open every day of the week, and this is everything that we have to tell you about it. " * 2)
ANNOUNCED = ModelSays("I am connecting you.")
SORRY = ModelSays("Nobody is there right now.")
GOODBYE = ModelSays("Goodbye, and thank you.")
BYE = CallerHangsUp()
DESKS = TransferTargets({"billing": "tel:+14155550123"})
PATIENT = Timings(patience=150.0)


@virtual
async def test_law_say_it_then_act__a_goodbye_is_said_also_where_the_caller_cuts_off_what_comes_before() -> None:
    async def talk(call: Call) -> None:
        call.respond("Tell everything.")
        await asyncio.sleep(1)
        await call.hangup(goodbye="Say goodbye.")

    interrupting = CallerSays("Yes, yes, I know.", interrupting=True, after=3.0)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(LONG, interrupting, ModelSays("I see."), GOODBYE, talk=talk)
    assert ended.reason is EndReason.AGENT
    assert any("Say goodbye." in words for words in words_asked_for(ringing))
    assert said(ringing)[-1] == GOODBYE.text


@virtual
async def test_law_say_it_then_act__an_announcement_is_said_also_where_the_caller_cuts_off_what_comes_before() -> None:
    async def talk(call: Call) -> None:
        call.respond("Tell everything.")
        await asyncio.sleep(1)
        await call.transfer("billing", announcement="Say who you connect to.")

    interrupting = CallerSays("Yes, yes, I know.", interrupting=True, after=3.0)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            LONG, interrupting, ModelSays("I see."), ANNOUNCED, talk=talk, transfers=DESKS
        )
    assert ended.reason is EndReason.TRANSFERRED
    assert said(ringing)[-1] == ANNOUNCED.text


@virtual
async def test_an_announcement_that_could_not_be_said_is_not_said_after_the_transfer() -> None:
    """A caller who talks for longer than the announcement waits is transferred without it."""

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        await asyncio.sleep(3)
        with pytest.raises(TransferError):
            await call.transfer("billing", announcement="Say who you connect to.")
        await call.wait_ended()

    talking = CallerSays("I will tell you all of it. " * 30, after=0.5)
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=400)
        _, ringing = await line.played(HELLO, talking, SORRY, SORRY, BYE, talk=talk, transfers=DESKS)
    assert not any("who you connect to" in words for words in words_asked_for(ringing))


@virtual
async def test_law_a_second_hangup_changes_nothing() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        first = asyncio.ensure_future(call.hangup(goodbye="Say goodbye."))
        await asyncio.sleep(0.5)
        await call.hangup(goodbye="Say goodbye once more.")
        await first

    async with phone(strict=False) as line:
        ended, ringing = await line.played(HELLO, GOODBYE, GOODBYE, talk=talk)
    assert ended.reason is EndReason.AGENT
    assert said(ringing) == [HELLO.text, GOODBYE.text]


@virtual
async def test_law_say_it_then_act__a_goodbye_is_said_where_the_transfer_before_it_fails() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(5)
        await call.hangup(goodbye="Say goodbye.")

    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO, GOODBYE, talk=talk, transfers=DESKS, behavior=Behavior(refer="ignored")
        )
    assert ended.reason is EndReason.AGENT
    assert said(ringing) == [HELLO.text, GOODBYE.text]
