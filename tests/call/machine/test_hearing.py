"""Calls in which nobody hears anybody are told, and end."""

from __future__ import annotations

from typing import Any

import pytest
from door import SPEECH_STARTED, SPEECH_STOPPED, SPOKEN, Door, created, done, key, playing, updated

from realtime_sip.call.machine import core
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import Tell
from realtime_sip.errors import ConfigurationError
from realtime_sip.outcomes import EndReason, LimitKind, LimitNear
from realtime_sip.session import RealtimeSession

OTHERS_OFF: dict[str, Any] = {"max_duration": None, "silence": None, "first_sound": None, "goodbye": None}
WRITTEN = {"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}


def transcript(words: str) -> dict[str, Any]:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": "item_9", "content_index": 0, "transcript": words}


class Line(Door):
    def __init__(self, *, written: bool = True, no_audio: int | None = 3) -> None:
        session = RealtimeSession.model_validate(WRITTEN) if written else RealtimeSession()
        super().__init__(session, CallLimits(**OTHERS_OFF, no_audio=no_audio))
        self.responses = 0
        self.live()

    def noise(self, *frames: dict[str, Any], times: int = 1) -> None:
        for _ in range(times):
            self.receive(SPEECH_STARTED)
            self.wait(0.5)
            self.receive(SPEECH_STOPPED)
            self.wait(0.5)
            self.receive(*frames)

    def says(self, key: str | None = None) -> None:
        self.responses += 1
        response_id = f"resp_{self.responses}"
        self.receive(created(response_id, key=key), playing("started", response_id), done(response_id, SPOKEN))
        self.wait(1)
        self.receive(playing("stopped", response_id))
        self.wait(0.1)

    @property
    def near(self) -> list[LimitNear]:
        whole = [tell.what for tell in self.all(Tell) if isinstance(tell.what, LimitNear)]
        return [what for what in whole if what.limit is LimitKind.NO_AUDIO]

    @property
    def ends(self) -> bool:
        self.wait(10.5)
        return self.s.decided is not None and self.s.decided.limit is LimitKind.NO_AUDIO


@pytest.mark.parametrize("blank", [[], [transcript(" ")]], ids=["no transcript", "a blank one"])
def test_law_a_call_in_which_nobody_hears_anybody_ends__noise_without_words(blank: list[Any]) -> None:
    line = Line()
    line.noise(*blank, times=2)
    line.wait(60)
    assert line.near == []
    line.noise(*blank)
    assert len(line.near) == 1
    assert line.ends
    assert line.s.decided is not None
    assert line.s.decided.reason is EndReason.LIMIT


def test_no_rule_looks_at_a_further_piece_of_what_the_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[object] = []
    line = Line()
    line.noise()
    monkeypatch.setattr(core, "_settle", settled.append)
    piece = {"type": "conversation.item.input_audio_transcription.delta", "item_id": "item_9", "delta": "ye"}
    for _ in range(5):
        line.receive(piece)
    assert len(settled) == 1


@pytest.mark.parametrize(
    "frame",
    [
        transcript("yes"),
        key(),
        {"type": "conversation.item.input_audio_transcription.failed", "item_id": "item_9", "error": {}},
        {"type": "conversation.item.input_audio_transcription.delta", "item_id": "item_9", "delta": "ye"},
    ],
    ids=["words", "a key", "a failure", "pieces"],
)
def test_words_that_come_late_count(frame: dict[str, Any]) -> None:
    line = Line()
    line.noise(times=3)
    assert len(line.near) == 1
    line.wait(4)
    line.receive(frame)
    assert not line.ends
    line.noise(times=2)
    assert not line.ends


def test_the_caller_may_begin_again_and_speak_for_long() -> None:
    line = Line()
    line.noise(times=3)
    line.receive(SPEECH_STARTED)
    line.wait(40)
    line.receive(SPEECH_STOPPED, transcript("a long story"))
    assert not line.ends


def test_noise_that_never_stops_is_not_waited_for() -> None:
    line = Line()
    line.noise(times=14)
    assert line.ends


def test_without_transcription_nobody_knows_that_there_are_no_words() -> None:
    line = Line(written=False)
    line.noise(times=5)
    assert not line.ends


def test_transcription_can_come_and_go() -> None:
    line = Line(written=False)
    line.receive(updated(audio={"input": {"transcription": {"model": "gpt-realtime-whisper"}}}))
    line.noise(times=2)
    line.receive(updated(audio={"input": {"transcription": None}}))
    line.noise()
    assert not line.ends


def test_law_a_call_in_which_nobody_hears_anybody_ends__a_model_without_any_input() -> None:
    line = Line(written=False)
    line.says("speech_greeting")
    line.says()
    assert line.near == []
    line.says()
    assert len(line.near) == 1
    assert line.ends


def test_a_program_may_tell_a_story() -> None:
    line = Line(written=False)
    for part in range(6):
        line.says(f"speech_{part}")
    assert not line.ends


@pytest.mark.parametrize("frame", [SPEECH_STARTED, key()], ids=["speech", "a key"])
def test_a_caller_who_was_heard_once_may_listen(frame: dict[str, Any]) -> None:
    line = Line(written=False)
    line.receive(frame, SPEECH_STOPPED)
    for _ in range(6):
        line.says()
    assert not line.ends


def test_after_the_sideband_was_lost_it_is_counted_anew() -> None:
    line = Line()
    line.noise(times=2)
    line.attach_again()
    line.noise()
    assert not line.ends


def test_it_can_be_off_or_another_number() -> None:
    off, once = Line(no_audio=None), Line(no_audio=1)
    off.noise(times=9)
    once.noise()
    assert not off.ends
    assert once.ends
    with pytest.raises(ConfigurationError, match="no_audio must be a positive number or None"):
        CallLimits(no_audio=0)
