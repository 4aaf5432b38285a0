"""The guardrail: what the model says is checked as it says it, by one check at a time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime_sip import events
from realtime_sip.call import guardrail
from realtime_sip.call.guardrail import Guardrail

Check = Coroutine[Any, Any, str | None]


def said(words: str, response_id: str = "resp_1", kind: str = "output_audio_transcript") -> events.ServerEvent:
    place = {"item_id": "item_1", "output_index": 0, "content_index": 0}
    frame = {"type": f"response.{kind}.delta", "event_id": "event_1", "response_id": response_id, "delta": words}
    return events.parse_server_event(json.dumps({**frame, **place}))


def received(rail: Guardrail, words: str, response_id: str = "resp_1") -> Check:
    check = rail.receive(said(words, response_id))
    assert check is not None
    return check


class Slow:
    """A check that goes on when it is told to, and notes what it was asked."""

    def __init__(self, forbidden: str = "forbidden") -> None:
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.running = 0
        self.forbidden = forbidden

    async def __call__(self, words: str) -> str | None:
        self.asked.append(words)
        assert self.running == 0, "one at a time"
        self.running += 1
        try:
            await self.go_on.wait()
        finally:
            self.running -= 1
        return "Say sorry." if self.forbidden in words else None


@pytest.mark.parametrize("kind", ["output_audio_transcript", "output_text"])
async def test_the_growing_words_are_checked(kind: str) -> None:
    asked: list[str] = []
    rail = Guardrail(asked.append)
    for words in ("Good ", "morning"):
        check = rail.receive(said(words, kind=kind))
        assert check is not None
        assert await check is None
    assert asked == ["Good ", "Good morning"]


async def test_other_events_are_not_checked() -> None:
    frame = {"type": "input_audio_buffer.speech_started", "event_id": "e", "audio_start_ms": 1, "item_id": "i"}
    assert Guardrail(lambda _: "stop").receive(events.parse_server_event(json.dumps(frame))) is None


@pytest.mark.parametrize("verdict", ["Say sorry.", ""])
async def test_a_verdict_stops_a_response_once(verdict: str) -> None:
    rail = Guardrail(lambda words: verdict if "forbidden" in words else None)
    assert await received(rail, "Good morning") is None
    assert await received(rail, ", forbidden") == verdict
    assert rail.receive(said(" and more forbidden")) is None
    assert await received(rail, "forbidden too", "resp_2") == verdict
    assert rail.receive(said(" late", "resp_1")) is None


async def test_what_is_said_during_a_check_is_checked_after_it_together() -> None:
    slow = Slow()
    rail = Guardrail(slow)
    checking = asyncio.create_task(received(rail, "a"))
    await asyncio.sleep(0)
    for words in "bcd":
        assert rail.receive(said(words)) is None
    slow.go_on.set()
    assert await checking is None
    assert slow.asked == ["a", "abcd"]


async def test_the_end_of_a_response_is_checked_also_when_the_next_has_begun() -> None:
    slow = Slow()
    rail = Guardrail(slow)
    checking = asyncio.create_task(received(rail, "a"))
    await asyncio.sleep(0)
    assert rail.receive(said(" forbidden", "resp_1")) is None
    assert rail.receive(said("b", "resp_2")) is None
    slow.go_on.set()
    assert await checking == "Say sorry."
    assert slow.asked == ["a", "a forbidden"]
    assert await received(rail, "c", "resp_2") is None
    assert slow.asked[2:] == ["bc"]


async def test_responses_whose_words_come_in_turns_are_kept_apart() -> None:
    asked: list[str] = []
    rail = Guardrail(asked.append)
    for words, response_id in (("a", "resp_1"), ("x", "resp_2"), ("b", "resp_1"), ("y", "resp_2")):
        await received(rail, words, response_id)
    assert asked == ["a", "x", "ab", "xy"]


async def test_a_check_that_fails_is_told_once_without_its_words_and_does_not_stop_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def check(words: str) -> str | None:
        if "forbidden" in words:
            return "Say sorry."
        raise ValueError("secret".upper() + words)

    rail = Guardrail(check)
    with caplog.at_level(logging.DEBUG):
        assert await received(rail, "a") is None
        assert await received(rail, "b") is None
        assert await received(rail, " forbidden") == "Say sorry."
    (told,) = caplog.messages
    assert "check_speech failed: ValueError in check" in told
    assert "SECRET" not in caplog.text


async def test_a_check_that_never_ends_does_not_switch_the_guardrail_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guardrail, "CHECK_TIMEOUT", 0.001)
    rail = Guardrail(Slow())
    assert await received(rail, "a") is None
    assert await received(rail, "b") is None
    (told,) = caplog.messages
    assert "check_speech failed: TimeoutError" in told


async def test_a_check_that_is_canceled_does_not_switch_the_guardrail_off() -> None:
    slow = Slow()
    rail = Guardrail(slow)
    checking = asyncio.create_task(received(rail, "a"))
    await asyncio.sleep(0)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    slow.go_on.set()
    assert await received(rail, " forbidden") == "Say sorry."


async def test_what_is_kept_is_bounded() -> None:
    lengths: list[int] = []
    rail = Guardrail(lambda words: lengths.append(len(words)))
    for number in range(50):
        for _ in range(3):
            await received(rail, "x" * 9_000, f"resp_{number}")
    assert max(lengths) == 20_000
    await received(rail, "y", "resp_0")
    assert lengths[-1] == 1, "long forgotten"
