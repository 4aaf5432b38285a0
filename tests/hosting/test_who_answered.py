"""Who answered a call that was placed, as its handler learns it: from the carrier, else from the first words."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest
from fleet import fleet

from phone import Phone, phone, until, virtual
from realtime_sip import Call, CallLimits
from realtime_sip.event_log import EventLogFolder, read_event_log
from realtime_sip.outbound import Answered, CallAnswered
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import CallerHangsUp, CallerSays, RingingCall
from realtime_sip.twilio.webhooks import AnsweredByCallback, CallStatusCallback, VoiceWebhook, read_webhook

SECRET = "a context secret of the tests"
PARENT = "CA" + "a" * 32
HEARING: dict[str, Any] = {
    "model": "gpt-realtime-2.1",
    "audio": {
        "input": {
            "transcription": {"model": "gpt-realtime-whisper"},
            "turn_detection": {"type": "server_vad", "create_response": False, "interrupt_response": False},
        }
    },
}
TABLE = [
    ("human", CallAnswered(Answered.HUMAN, "reported")),
    ("machine_start", CallAnswered(Answered.VOICEMAIL, "reported")),
    ("machine_end_beep", CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)),
    ("machine_end_silence", CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)),
    ("machine_end_other", CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)),
    ("fax", CallAnswered(Answered.UNKNOWN, "reported")),
    ("unknown", CallAnswered(Answered.UNKNOWN, "reported")),
    ("a_new_word", CallAnswered(Answered.UNKNOWN, "reported")),
]
"""Twilio's words for `AnsweredBy`, and what each means."""


def detected(word: str, call_sid: str = PARENT) -> AnsweredByCallback:
    form = {"CallSid": call_sid, "AccountSid": "AC" + "0" * 32, "AnsweredBy": word, "MachineDetectionDuration": "3180"}
    payload = read_webhook(urlencode(form))
    assert isinstance(payload, AnsweredByCallback)
    return payload


@pytest.mark.parametrize(("word", "answered"), TABLE)
def test_each_word_of_twilios_means_something(word: str, answered: CallAnswered) -> None:
    payload = detected(word)
    assert (payload.answered_by, payload.word, payload.took_ms) == (answered, word, 3180)
    assert payload.key == detected(word).key != detected(word, "CA" + "b" * 32).key
    form = {"CallSid": PARENT, "CallStatus": "in-progress", "AnsweredBy": word}
    asked = read_webhook(urlencode(form))
    assert isinstance(asked, VoiceWebhook)
    assert asked.answered_by == answered
    report = read_webhook(urlencode({**form, "CallStatus": "completed", "SequenceNumber": "3"}))
    assert isinstance(report, CallStatusCallback)
    assert report.answered_by == answered
    assert VoiceWebhook.read(urlencode({"CallSid": PARENT})).answered_by is None


async def rung(line: Phone, *scenario: Any, **options: Any) -> tuple[Call, RingingCall]:
    """Let a call be announced that our TwiML connects, and wait until it is up."""
    signed = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=line.openai.now())
    up = asyncio.get_running_loop().create_future()

    async def talk(call: Call) -> None:
        up.set_result(call)
        await call.wait_ended()

    invite = {"sip_headers": [*signed.items()]}
    ringing = await line.ring(*scenario, talk=talk, invite=invite, **{"session": HEARING, **options})
    return await up, ringing


async def over(line: Phone, call: Call) -> None:
    await call.hangup()
    await line.idle()


@virtual
async def test_the_carrier_tells_a_call_that_is_up_and_repeats_are_one_event() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line)
        seen: list[CallAnswered] = []

        async def read() -> None:
            seen.extend([event async for event in call if isinstance(event, CallAnswered)])

        reading = asyncio.create_task(read())
        waiting = asyncio.create_task(call.who_answered(within=60))
        await asyncio.sleep(1)
        assert not waiting.done()
        for _ in range(2):
            assert line.host.carrier(detected("human"))
        assert await waiting == CallAnswered(Answered.HUMAN, "reported")
        await over(line, call)
        await reading
        assert seen == [CallAnswered(Answered.HUMAN, "reported")]


@virtual
async def test_what_the_carrier_said_before_openai_announced_the_call_is_known() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        assert not line.host.carrier(detected("machine_end_beep"))
        call, _ = await rung(line)
        assert await call.who_answered() == CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)
        assert await call.greeting_over()
        await over(line, call)


@pytest.mark.parametrize(
    ("words", "who"),
    [
        ("Hello?", Answered.HUMAN),
        ("Alô, quem fala?", Answered.HUMAN),
        ("You've reached Ana. Leave a message after the tone.", Answered.VOICEMAIL),
        ("Deixe seu recado após o sinal.", Answered.VOICEMAIL),
        ("For sales, press 1.", Answered.IVR),
        ("Record your name and reason for calling, and I'll see if this person is available.", Answered.SCREENING),
    ],
)
@virtual
async def test_without_a_carrier_the_first_words_tell(words: str, who: Answered) -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, CallerSays(words))
        assert await call.who_answered(within=30) == CallAnswered(who)
        await over(line, call)


@virtual
async def test_law_nobody_waits_longer_than_said_and_does_not_guess() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, CallerSays("Our hours are from nine to five."))
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await call.who_answered(within=7) == CallAnswered(Answered.UNKNOWN)
        assert loop.time() - began == pytest.approx(7, abs=0.1)
        assert not await call.greeting_over(within=5)
        assert loop.time() - began == pytest.approx(12, abs=0.1)
        await over(line, call)


@pytest.mark.parametrize("announced", [True, False], ids=["while it is up", "before it is announced"])
@virtual
async def test_what_the_carrier_tells_another_worker_the_call_learns(announced: bool) -> None:
    async with fleet(limits=CallLimits(silence=None, first_sound=None), context_secret=SECRET) as shop:
        owner, other = shop.workers
        if not announced:
            assert not other.host.carrier(detected("machine_end_beep"))
            await asyncio.sleep(0.1)
        signed = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=1_795_000_000.0)
        await shop.ring(CallerHangsUp(after=60), sip_headers=signed.items())
        await until(lambda: bool(owner.calls))
        (call,) = owner.calls
        waiting = asyncio.create_task(call.who_answered())
        await asyncio.sleep(1)
        if announced:
            assert not waiting.done()
            assert not other.host.carrier(detected("machine_end_beep"))
        assert await waiting == CallAnswered(Answered.VOICEMAIL, "reported", greeting_over=True)
        await call.hangup()


@virtual
async def test_nobody_waits_for_words_if_the_carrier_gave_up_and_nobody_speaks() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = asyncio.create_task(call.who_answered())
        await asyncio.sleep(5)
        line.host.carrier(detected("unknown"))
        assert await waiting == CallAnswered(Answered.UNKNOWN, "reported")
        assert loop.time() - began == pytest.approx(5, abs=0.1)
        await over(line, call)


@virtual
async def test_words_tell_a_menu_and_screening_from_a_voicemail_and_the_carrier_cannot() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, ringing = await rung(line, CallerSays("For sales, press 1."))
        assert (await call.who_answered(within=30)).who is Answered.IVR
        line.host.carrier(detected("machine_start"))
        assert (await call.who_answered()).who is Answered.IVR
        line.host.carrier(detected("human"))
        assert (await call.who_answered()).who is Answered.HUMAN
        await over(line, call)
        del ringing


@virtual
async def test_the_end_of_the_greeting_is_waited_for() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, CallerSays("Leave a message after the tone."))
        assert (await call.who_answered(within=30)).who is Answered.VOICEMAIL
        waiting = asyncio.create_task(call.greeting_over(within=30))
        await asyncio.sleep(2)
        assert not waiting.done()
        line.host.carrier(detected("machine_end_beep"))
        assert await waiting
        await over(line, call)


@virtual
async def test_the_end_of_the_call_ends_the_wait() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, CallerSays("Hm."), CallerHangsUp(after=2))
        assert await call.who_answered(within=3000) == CallAnswered(Answered.UNKNOWN)
        assert not await call.greeting_over(within=3000)
        assert call.ended is not None
        await line.idle()


@virtual
async def test_it_is_in_the_event_log(tmp_path: Any) -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, ringing = await rung(line, CallerSays("Hello?"), event_log=EventLogFolder(tmp_path))
        await call.who_answered(within=30)
        await over(line, call)
        log = read_event_log(next(tmp_path.rglob(f"*{ringing.call_id}*")))
        (entry,) = [each for each in log.entries if each.data["type"] == "call.answered"]
        assert entry.data["who"] == "human"
        assert entry.data["certainty"] == "inferred"
