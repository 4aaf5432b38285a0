"""What is kept of a call: transcript, usage, cost and the event log; over real sockets against the emulator."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from phone import SESSION, greet, phone, types, virtual
from realtime_sip import Call, CallLimits, EndReason, LimitKind, LimitNear, Tools
from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import EventLogFolder, read_event_log
from realtime_sip.rates import RateCard
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelSays,
    Recording,
    SocketDropped,
)

HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
TELL = ModelSays("It comes tomorrow.")
BYE = CallerHangsUp(after=5.0)
TRANSCRIBED: dict[str, Any] = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
TALKATIVE = tuple(step for _ in range(20) for step in (CallerSays("Go on."), ModelSays("z" * 400)))


@virtual
async def test_the_transcript_has_both_sides_in_order_with_times() -> None:
    async with phone() as line:
        ended, _ = await line.played(HELLO, ASK, TELL, BYE, talk=greet, session=TRANSCRIBED)
        (call,) = line.calls
    transcript = call.transcript
    assert [(said.by, said.text) for said in transcript] == [
        ("agent", HELLO.text),
        ("caller", ASK.text),
        ("agent", TELL.text),
    ]
    assert transcript.complete
    times = [(said.started_at, said.ended_at) for said in transcript]
    assert ended.attached_at is not None
    flat = [time for pair in times for time in pair if time is not None]
    assert len(flat) == 6
    assert flat == sorted(flat)
    assert ended.attached_at < flat[0] < flat[-1] < ended.ended_at
    assert ASK.text not in repr(transcript)


@virtual
async def test_what_was_heard_of_an_interrupted_line_is_estimated() -> None:
    words = "One two three four five six seven eight nine ten. " * 8
    async with phone() as line:
        scenario = (ModelSays(words), CallerSays("Stop!", interrupting=True, after=4.0), TELL, BYE)
        await line.played(*scenario, talk=greet, session=TRANSCRIBED)
        (call,) = line.calls
    said = call.transcript[0]
    assert said.interrupted
    assert said.text.strip() == words.strip()
    assert 0 < len(said.heard) < len(words) / 2
    assert words.startswith(said.heard)


@virtual
async def test_a_transcript_without_transcription_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async with phone() as line:
        await line.played(HELLO, ASK, TELL, BYE, talk=greet)
        (call,) = line.calls
    assert [(said.by, said.text, said.complete) for said in call.transcript][1] == ("caller", "", False)
    assert not call.transcript.complete
    warnings = [record.message for record in caplog.records if "transcription" in record.message]
    assert len(warnings) == 1


@virtual
async def test_law_after_a_lost_sideband_transcript_and_usage_are_incomplete() -> None:
    async with phone() as line:
        fault = SocketDropped(when="playing", code=1006)
        await line.played(HELLO, ASK, TELL, BYE, talk=greet, session=TRANSCRIBED, faults=[fault])
        (call,) = line.calls
    assert call.gaps
    assert not call.transcript.complete
    assert not call.usage.complete


@virtual
async def test_usage_and_cost_are_those_of_responses_and_of_transcription() -> None:
    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, TELL, BYE, talk=greet, session=TRANSCRIBED)
        (call,) = line.calls
    done = [event["response"]["usage"] for event in ringing.server_events if event["type"] == "response.done"]
    assert call.usage.responses == len(done) == 2
    assert call.usage.tokens.total == sum(usage["total_tokens"] for usage in done)
    (transcription,) = call.usage.transcription
    assert transcription.model == "gpt-realtime-whisper"
    assert transcription.seconds > 0
    expected = RateCard.published().cost(call.usage, model="gpt-realtime-2.1")
    assert expected is not None
    assert call.cost == expected > 0


@virtual
async def test_law_an_unknown_model_has_no_cost_and_never_costs_nothing() -> None:
    async with phone() as line:
        await line.played(HELLO, BYE, talk=greet, session={**SESSION, "model": "gpt-realtime-99"})
        (call,) = line.calls
    assert call.usage.tokens.total > 0
    assert call.cost is None


# --- limits of money and tokens ---------------------------------------------------------------------------------------


@virtual
async def test_law_a_limit_of_money_ends_the_call_with_a_goodbye_after_one_response_too_many() -> None:
    near: list[LimitNear] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, LimitNear):
                near.append(event)

    async with phone(strict=False) as line:
        limit = CallLimits(max_cost=Decimal("0.20"))
        ended, ringing = await line.played(HELLO, *TALKATIVE, talk=talk, limits=limit)
        (call,) = line.calls
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.COST)
    assert call.cost is not None
    done = [event["response"] for event in ringing.server_events if event["type"] == "response.done"]
    assert Decimal("0.20") <= call.cost < Decimal("0.60")
    assert [(event.limit, event.seconds) for event in near] == [(LimitKind.COST, None)]
    # The goodbye is the one response after the limit was passed.
    words = CallLimits().goodbye
    assert words is not None
    last = [event for event in ringing.client_events if event["type"] == "response.create"][-1]
    assert words in last["response"]["instructions"]
    assert done


@virtual
async def test_law_a_limit_of_tokens_ends_the_call() -> None:
    async with phone(strict=False) as line:
        ended, _ = await line.played(HELLO, *TALKATIVE, talk=greet, limits=CallLimits(max_tokens=3000))
        (call,) = line.calls
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.TOKENS)
    assert call.usage.tokens.total >= 3000


@virtual
async def test_law_a_limit_of_money_is_refused_for_a_model_without_a_price() -> None:
    unknown = {**SESSION, "model": "gpt-realtime-99"}
    unnamed = {"instructions": SESSION["instructions"]}
    heard = {**SESSION, "audio": {"input": {"transcription": {"model": "new-transcribe"}}}}
    async with phone() as line:
        for session in (unknown, unnamed, heard):
            with pytest.raises(ConfigurationError, match="max_cost"):
                async with line.client.calls.answer("rtc_1", session, limits=CallLimits(max_cost=1)):
                    pass
        assert line.openai.requests == []


# --- the event log ----------------------------------------------------------------------------------------------------


def shop() -> Tools:
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return f"{order_id} is on its way"

    return tools


SCENARIO = (HELLO, ASK, ModelCalls("order_status", {"order_id": "A-77-secret"}), TELL, BYE)


@virtual
async def test_the_event_log_of_a_call_is_redacted_and_readable_again(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path)
    async with phone() as line:
        _, ringing = await line.played(
            *SCENARIO, talk=greet, session=TRANSCRIBED, tools=shop(), event_log=logs, invite={"caller": "+14155550101"}
        )
    (path,) = logs.paths()
    text = path.read_text()
    for secret in (HELLO.text, ASK.text, TELL.text, "A-77-secret", "on its way", "4155550101", SESSION["instructions"]):
        assert secret not in text
    log = read_event_log(path)
    assert log.header.call_id == ringing.call_id
    assert log.header.redacted
    told = [entry.type for entry in log.entries if entry.source == "service"]
    assert told == types(ringing.server_events)[-len(told) :]
    assert [entry.type for entry in log.entries][-1] == "call.ended"
    assert logs.delete_caller("+14155550102") == 0
    assert logs.delete_caller("+14155550101") == 1
    assert logs.paths() == []


@virtual
async def test_an_event_log_that_is_not_redacted_can_be_replayed(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path, redact=False)
    async with phone() as line:
        await line.played(*SCENARIO, talk=greet, tools=shop(), event_log=logs)
        (path,) = logs.paths()
        recording = Recording.from_event_log(path)

        ringing = await line.openai.ring(line.host, recording=recording)
        await ringing.until_attached()
        ended = await line.host.ended(ringing.call_id)
        await line.idle()
        (_, call) = line.calls
    assert ended.reason is EndReason.CALLER
    assert ringing.replay is not None
    assert ringing.replay.failure is None
    assert [said.text for said in call.transcript if said.by == "agent"] == [HELLO.text, TELL.text]


@virtual
async def test_nothing_is_logged_before_the_caller_has_consented(tmp_path: Path) -> None:
    async def agreed(call: Call) -> bool:
        await call.respond("Say that the call is recorded.")
        digits = await call.collect_digits("Ask for a 1.", max_digits=1)
        return digits.digits == "1"

    for key, logged in (("1", True), ("2", False)):
        logs = EventLogFolder(tmp_path / key)
        async with phone() as line:
            scenario = (
                ModelSays("We record."),
                ModelSays("Press 1."),
                CallerPresses(key),
                CallerSays("Hi."),
                TELL,
                BYE,
            )
            await line.played(*scenario, event_log=logs, consent=agreed)
        assert bool(logs.paths()) is logged
        if logged:
            types_logged = [entry.type for entry in read_event_log(logs.paths()[0]).entries]
            assert "input_audio_buffer.dtmf_event_received" not in types_logged
            assert "call.ended" in types_logged


async def _no(_call: Call) -> bool:
    return False


def _forgotten(_call: Call) -> Any:
    return "yes"


def _broken(_call: Call) -> bool:
    raise LookupError(f"+1{415_555_0100}")


@virtual
@pytest.mark.parametrize("consent", [_no, _forgotten, _broken])
async def test_law_without_a_plain_yes_nothing_is_ever_written(
    tmp_path: Path, consent: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logs = EventLogFolder(tmp_path)
    async with phone() as line:
        ended, _ = await line.played(HELLO, BYE, talk=greet, event_log=logs, consent=consent)
    assert ended.reason is EndReason.CALLER
    assert logs.paths() == []
    assert "4155550100" not in caplog.text
    assert ("LookupError" in caplog.text) == (consent is _broken)


@virtual
async def test_law_no_wait_without_a_deadline__consent_that_never_comes_does_not_outlive_the_call(
    tmp_path: Path,
) -> None:
    async def consent(call: Call) -> bool:
        call.respond("Greet the caller.")
        await asyncio.Event().wait()
        return True

    async with phone() as line:
        logs = EventLogFolder(tmp_path)
        ended, _ = await line.played(HELLO, CallerHangsUp(after=2.0), event_log=logs, consent=consent)
        assert ended.reason is EndReason.CALLER
        async with asyncio.timeout(30):
            await line.idle()
    assert [path for path in logs.paths() if path.read_text()] == []


@virtual
async def test_a_call_that_ends_while_consent_is_asked_for_has_no_log(tmp_path: Path) -> None:
    async def consent(call: Call) -> bool:
        await call.wait_ended()
        return True

    logs = EventLogFolder(tmp_path)
    async with phone() as line:
        ended, _ = await line.played(CallerHangsUp(after=2.0), event_log=logs, consent=consent)
    assert ended.reason is EndReason.CALLER
    assert logs.paths() == []


@virtual
async def test_a_disk_that_fails_does_not_end_the_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    logs = EventLogFolder(tmp_path / "calls")
    (tmp_path / "calls").rmdir() if (tmp_path / "calls").exists() else None
    (tmp_path / "calls").write_text("in the way")
    async with phone() as line:
        ended, _ = await line.played(HELLO, BYE, talk=greet, event_log=logs)
    assert ended.reason is EndReason.CALLER
    assert len([r for r in caplog.records if r.name == "realtime_sip.event_log"]) == 1


@virtual
async def test_the_log_is_whole_when_the_block_is_left(tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path)
    async with phone() as line:
        ringing = await line.openai.ring("http://127.0.0.1:9/nobody", scenario=[HELLO])
        async with line.client.calls.answer(ringing.call_id, SESSION, event_log=logs) as call:
            await call.respond("Greet the caller.")
        (path,) = logs.paths()
        assert read_event_log(path).entries[-1].type == "call.ended"
        await asyncio.sleep(0)
