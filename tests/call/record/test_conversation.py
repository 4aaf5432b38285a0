"""The transcript: both sides in the order of the conversation, whatever of it is told, late, twice or never."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import AHEAD, Observed

from emulated import HEARING, SESSION, Frame, Program, accepted, sideband, virtual
from realtime_sip import events
from realtime_sip.call.record.conversation import Conversation
from realtime_sip.call.record.said import Item, agent_line
from realtime_sip.call.record.transcript import Line, Transcript
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelSays, OpenAIEmulator, Recording

RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "recordings"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
QUESTION = "Where is my order?"
ANSWER = "It will be with you on Tuesday."


def parsed(frame: Frame) -> events.ServerEvent:
    return events.parse_server_event(json.dumps(frame))


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(line.by, line.text) for line in conversation.transcript]


class Service:
    """Says what the service says of a conversation, in its order, and keeps it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.last: str | None = None
        self._numbers = count(1)

    def emit(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, "event_id": f"event_{next(self._numbers)}", **fields})

    def id(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    def add(self, item: Frame, *, after: str | None = None) -> None:
        previous = self.last if after is None else after
        self.emit("conversation.item.added", previous_item_id=previous, item=item)
        self.last = item["id"] if previous == self.last else self.last

    def done(self, item: Frame) -> None:
        # Recorded: the service says null here for its own items.
        self.emit("conversation.item.done", previous_item_id=None, item=item)

    def caller_begins(self) -> str:
        item_id = self.id("item")
        self.emit("input_audio_buffer.speech_started", audio_start_ms=1000, item_id=item_id)
        return item_id

    def caller_ends(self, item_id: str) -> None:
        self.emit("input_audio_buffer.speech_stopped", audio_end_ms=2000, item_id=item_id)
        self.emit("input_audio_buffer.committed", previous_item_id=self.last, item_id=item_id)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "status": "completed", "role": "user", "content": content}
        self.add(item)
        self.done(item)

    def transcribe(self, item_id: str, text: str) -> None:
        for word in pieces(text):
            self.emit(f"{TRANSCRIPTION}.delta", item_id=item_id, content_index=0, delta=word)
        usage = {"type": "duration", "seconds": 2}
        self.emit(
            f"{TRANSCRIPTION}.completed", item_id=item_id, content_index=0, transcript=text, usage=usage, languages=None
        )

    def fail_to_transcribe(self, item_id: str) -> None:
        self.emit(f"{TRANSCRIPTION}.failed", item_id=item_id, content_index=0, error={"type": "server_error"})

    def respond(self, *, outside: bool = False) -> Answer:
        return Answer(self, None if outside else "conv_1")

    def message(self, role: str, kind: str, text: str, *, after: str | None = None) -> str:
        content = [{"type": kind, "text": text}]
        item = {"id": self.id("item"), "type": "message", "status": "completed", "role": role, "content": content}
        self.add(item, after=after)
        self.done(item)
        return str(item["id"])

    def call_and_output(self) -> None:
        for kind in ("function_call", "function_call_output"):
            item = {"id": self.id("item"), "type": kind, "call_id": "call_1", "output": "secret", "name": "look"}
            self.add({**item, "arguments": "secret"})
            self.done({**item, "arguments": "secret"})


class Answer:
    """One response, as it is made and heard."""

    def __init__(self, service: Service, conversation_id: str | None) -> None:
        self.service = service
        self.id = service.id("resp")
        self._conversation_id = conversation_id
        self._output: list[Frame] = []
        self._shown("response.created", status="in_progress")

    def _shown(self, kind: str, **shown: Any) -> None:
        shown = {"id": self.id, "conversation_id": self._conversation_id, "output": [], **shown}
        self.service.emit(kind, response=shown)

    def begin(self, phase: str | None = None) -> str:
        item_id, emit = self.service.id("item"), self.service.emit
        item = {"id": item_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        if phase is not None:
            item["phase"] = phase
        emit("response.output_item.added", response_id=self.id, output_index=0, item=item)
        if self._conversation_id is not None:
            self.service.add(item)
        part = {"type": "audio", "transcript": ""}
        emit("response.content_part.added", **self._where(item_id), part=part)
        return item_id

    def _where(self, item_id: str) -> Frame:
        return {"response_id": self.id, "item_id": item_id, "output_index": 0, "content_index": 0}

    def say(self, item_id: str, text: str) -> None:
        for word in pieces(text):
            self.service.emit("response.output_audio_transcript.delta", **self._where(item_id), delta=word)

    def call(self) -> None:
        """Call a function between messages."""
        item = {"id": self.service.id("item"), "type": "function_call", "call_id": "call_1", "name": "look"}
        shown = {**item, "status": "completed", "arguments": "{}"}
        self.service.emit("response.output_item.added", response_id=self.id, output_index=0, item=shown)
        self.service.add(shown)
        self.service.done(shown)
        self.service.emit("response.output_item.done", response_id=self.id, output_index=0, item=shown)
        self._output.append(shown)

    def finish(self, item_id: str, text: str, *, status: str = "completed") -> None:
        emit, where = self.service.emit, self._where(item_id)
        emit("response.output_audio_transcript.done", **where, transcript=text)
        emit("response.content_part.done", **where, part={"type": "audio", "transcript": text})
        content = [{"type": "output_audio", "transcript": text}]
        item = {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}
        if self._conversation_id is not None:
            self.service.done(item)
        emit("response.output_item.done", response_id=self.id, output_index=0, item=item)
        self._output.append(item)

    def done(self, status: str = "completed", tokens: int | None = None) -> None:
        usage = {"output_token_details": {"audio_tokens": tokens}}
        self._shown("response.done", status=status, output=self._output, usage=usage)

    def whole(self, text: str, *, tokens: int | None = None) -> str:
        item_id = self.begin()
        self.say(item_id, text)
        self.finish(item_id, text)
        self.done(tokens=tokens)
        return item_id

    def plays(self, what: str) -> None:
        self.service.emit(f"output_audio_buffer.{what}", response_id=self.id)


def pieces(text: str) -> list[str]:
    return [word if number == 0 else f" {word}" for number, word in enumerate(text.split(" "))]


@pytest.fixture
def service() -> Service:
    return Service()


class Listener:
    """Tells a call what the service has said since, at the time that it is by the wall clock."""

    def __init__(self, service: Service, *, transcribes: bool = True) -> None:
        self.service = service
        self.call = Observed(1000.0 - AHEAD)
        self.conversation = Conversation(self.call.book, transcribes=transcribes, unix_ahead=AHEAD)

    def take(self, event: events.ServerEvent) -> None:
        self.call.take(event)
        self.conversation.receive(event, self.call.now)

    def hear(self, seconds: float = 0.0) -> Transcript:
        for frame in self.service.frames:
            self.take(parsed(frame))
        self.service.frames.clear()
        transcript = self.conversation.transcript
        self.call.wait(seconds)
        return transcript

    def gap(self) -> None:
        self.call.lose()
        self.conversation.gap()


@pytest.fixture
def listener(service: Service) -> Listener:
    return Listener(service)


# --- what is in it, and in which order --------------------------------------------------------------------------------


def test_law_the_order_is_that_of_the_conversation_and_not_of_the_texts(service: Service, listener: Listener) -> None:
    question = service.caller_begins()
    service.caller_ends(question)
    answer = service.respond()
    item_id = answer.begin()
    answer.say(item_id, "It will be")
    transcript = listener.hear()
    assert [(line.by, line.text, line.complete) for line in transcript] == [
        ("caller", "", False),
        ("agent", "It will be", False),
    ]
    service.transcribe(question, QUESTION)
    answer.finish(item_id, ANSWER)
    answer.done()
    transcript = listener.hear()
    assert [(line.by, line.text, line.complete) for line in transcript] == [
        ("caller", QUESTION, True),
        ("agent", ANSWER, True),
    ]
    assert [line.item_id for line in transcript] == [question, item_id]
    assert transcript.complete


def test_what_was_said_before_is_not_changed_by_what_is_said_after(service: Service, listener: Listener) -> None:
    service.message("user", "input_text", "One.")
    earlier = listener.hear()
    assert listener.hear() is earlier
    service.message("user", "input_text", "Two.")
    assert len(listener.hear()) == 2
    assert [line.text for line in earlier] == ["One."]


def test_a_line_is_where_the_service_says_that_its_item_is(service: Service, listener: Listener) -> None:
    first = service.message("user", "input_text", "first")
    service.message("user", "input_text", "third")
    service.message("user", "input_text", "second", after=first)
    service.call_and_output()
    service.message("assistant", "output_text", "fourth")
    assert [line.text for line in listener.hear()] == ["first", "second", "third", "fourth"]


def test_a_turn_of_the_caller_that_begins_first_and_ends_later_is_behind_what_was_added_meanwhile(
    service: Service, listener: Listener
) -> None:
    service.respond().whole("Good morning.")
    turn = service.caller_begins()
    service.respond().whole("Are you there?")
    service.caller_ends(turn)
    service.respond().whole("Good.")
    texts = [line.text for line in listener.hear()]
    assert texts == ["Good morning.", "Are you there?", "", "Good."]


def test_messages_that_were_put_in_are_lines_and_nothing_else_is(service: Service, listener: Listener) -> None:
    service.message("system", "input_text", "Be kind.")
    service.message("user", "input_text", QUESTION)
    service.call_and_output()
    service.message("assistant", "output_text", ANSWER)
    transcript = listener.hear()
    assert [(line.by, line.text) for line in transcript] == [("caller", QUESTION), ("agent", ANSWER)]
    assert [(line.started_at, line.ended_at, line.heard) for line in transcript] == [
        (None, None, QUESTION),
        (None, None, ANSWER),
    ]
    assert transcript.complete


def test_the_models_text_is_a_line(service: Service, listener: Listener) -> None:
    answer = service.respond()
    where = {"response_id": answer.id, "item_id": "item_w", "output_index": 0, "content_index": 0}
    service.emit("response.content_part.added", **where, part={"type": "text", "text": ""})
    service.emit("response.output_text.delta", **where, delta="It is")
    assert [(line.text, line.complete) for line in listener.hear()] == [("It is", False)]
    service.emit("response.output_text.done", **where, text="It is foggy.")
    answer.done("cancelled")
    (line,) = listener.hear()
    assert (line.text, line.complete, line.heard, line.interrupted) == ("It is foggy.", True, "", True)


def test_law_a_response_outside_of_the_conversation_is_not_in_the_transcript(
    service: Service, listener: Listener
) -> None:
    service.respond(outside=True).whole("A summary for the records.")
    assert len(listener.hear()) == 0
    answer = service.respond(outside=True)
    service.frames.clear()  # it was created before we attached
    item_id = answer.begin()
    answer.say(item_id, "Another summary.")
    assert len(listener.hear()) == 0
    answer.finish(item_id, "Another summary.")
    answer.done()
    service.message("user", "input_text", QUESTION)
    assert [line.text for line in listener.hear()] == [QUESTION]


def test_a_response_that_does_not_say_where_it_belongs_is_in_the_conversation(
    service: Service, listener: Listener
) -> None:
    content = [{"type": "output_audio", "transcript": ANSWER}]
    item = {"id": "item_1", "type": "message", "status": "completed", "role": "assistant", "content": content}
    service.emit("response.created", response={"id": "resp_1"})
    service.emit("response.done", response={"id": "resp_1", "status": "completed", "output": [item]})
    assert [(line.text, line.complete) for line in listener.hear()] == [(ANSWER, True)]


def test_what_is_deleted_leaves_it_for_good(service: Service, listener: Listener) -> None:
    turn = service.caller_begins()
    service.caller_ends(turn)
    item_id = service.respond().whole(ANSWER)
    service.message("user", "input_text", "Thanks.")
    listener.hear()
    for each in (turn, item_id):
        service.emit("conversation.item.deleted", item_id=each)
    service.transcribe(turn, QUESTION)
    assert [line.text for line in listener.hear()] == ["Thanks."]
    assert listener.conversation.transcript.complete


def test_a_turn_that_cannot_be_transcribed_is_not_missing(service: Service, listener: Listener) -> None:
    turn = service.caller_begins()
    service.caller_ends(turn)
    service.fail_to_transcribe(turn)
    service.respond().whole(ANSWER)
    transcript = listener.hear()
    assert [(line.by, line.text, line.complete) for line in transcript] == [
        ("caller", "", False),
        ("agent", ANSWER, True),
    ]
    assert not transcript.complete


def test_silence_is_no_line(service: Service, listener: Listener) -> None:
    silence = {"audio_start_ms": 1, "audio_end_ms": 5000, "item_id": "item_s"}
    service.emit("input_audio_buffer.timeout_triggered", **silence)
    service.caller_ends("item_s")
    dropped = service.caller_begins()
    service.emit("input_audio_buffer.cleared")
    transcript = listener.hear()
    assert (len(transcript), transcript.complete) == (0, True)
    service.transcribe("item_s", "Hello?")
    assert [line.text for line in listener.hear()] == ["Hello?"]
    service.caller_ends(dropped)
    service.transcribe(dropped, "Still here.")
    assert [line.text for line in listener.hear()] == ["Hello?", "Still here."]


def test_an_answer_that_was_cut_off_before_its_first_word_is_no_line(service: Service, listener: Listener) -> None:
    answer = service.respond()
    item_id = answer.begin()
    assert [(line.text, line.complete) for line in listener.hear()] == [("", False)]
    answer.finish(item_id, "", status="incomplete")
    answer.done("cancelled")
    assert len(listener.hear()) == 0


def test_several_parts_are_one_line(service: Service, listener: Listener) -> None:
    parts = [{"type": "input_text", "text": "Look."}, {"type": "input_image", "image_url": "data:"}]
    parts.append({"type": "input_text", "text": " What is it? "})
    service.add({"id": "item_1", "type": "message", "role": "user", "content": parts})
    assert [line.text for line in listener.hear()] == ["Look. What is it?"]


def test_the_messages_of_a_response_are_lines_in_order_each_with_its_phase(
    service: Service, listener: Listener
) -> None:
    answer = service.respond()
    for phase, text in (("commentary", "Let me see."), ("final_answer", ANSWER)):
        item_id = answer.begin(phase)
        answer.say(item_id, text)
        answer.finish(item_id, text)
        if phase == "commentary":
            answer.call()
    answer.done()
    service.message("assistant", "output_text", "Bye.")
    transcript = listener.hear()
    assert [(line.text, line.phase) for line in transcript] == [
        ("Let me see.", "commentary"),
        (ANSWER, "final_answer"),
        ("Bye.", None),
    ]
    assert transcript.complete


def test_a_response_that_only_its_end_tells_of_is_in_its_own_order(service: Service, listener: Listener) -> None:
    answer = service.respond()
    listener.hear()
    known: list[str] = []
    for text in ("One.", "Two.", "Three."):
        known.append(answer.begin())
        answer.finish(known[-1], text)
    lost = [frame for frame in service.frames if known[1] not in json.dumps(frame)]
    service.frames[:] = lost  # all of the second, so that the third is not told to be behind it
    answer.done()
    assert [line.text for line in listener.hear()] == ["One.", "Two.", "Three."]


# --- when, and how much was heard -------------------------------------------------------------------------------------


def test_lines_have_the_times_that_the_service_told(service: Service, listener: Listener) -> None:
    turn = service.caller_begins()
    listener.hear(2)
    service.caller_ends(turn)
    listener.hear(1)
    answer = service.respond()
    item_id = answer.begin()
    answer.plays("started")
    answer.finish(item_id, ANSWER)
    answer.done()
    transcript = listener.hear(3)
    assert [(line.started_at, line.ended_at) for line in transcript] == [(1000, 1002), (1003, None)]
    assert not transcript[1].complete, "it is being said"
    answer.plays("stopped")
    transcript = listener.hear()
    assert (transcript[1].started_at, transcript[1].ended_at, transcript[1].complete) == (1003, 1006, True)


def test_an_end_of_playback_that_is_never_told_does_not_last_for_ever(service: Service, listener: Listener) -> None:
    first, second = service.respond(), None
    first.plays("started")
    first.whole("One.")
    listener.hear(5)
    second = service.respond()
    second.plays("started")
    second.whole("Two.")
    second.plays("stopped")
    assert [line.complete for line in listener.hear()] == [True, True]


WORDS = "one two three four five six seven eight nine ten."  # 49 characters


def test_law_heard_is_cut_where_the_service_truncated_the_audio(service: Service, listener: Listener) -> None:
    answer = service.respond()
    item_id = answer.whole(WORDS, tokens=98)  # 4.9 s, so that a second has ten characters
    answer.plays("started")
    listener.hear(9)
    answer.plays("cleared")
    service.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=2000)
    (line,) = listener.hear()
    assert line.interrupted
    assert (line.heard, line.text) == ("one two three four", WORDS)
    assert (line.complete, line.ended_at) == (True, 1009)


@pytest.mark.parametrize(
    ("tokens", "seconds", "heard"),
    [
        (98, 1.2, "one two"),  # "three" is not over
        (98, 1.35, "one two three"),
        (98, 60, WORDS),
        (98, 0, ""),
        (None, 2.5, "one two three"),  # 6 characters a second, about what was recorded
        (0, 2.5, "one two three"),
        (-5, 2.5, "one two three"),
        (10**9, 2.5, "one two three"),
        (1, 1.0, "one two three four five six"),  # the text was ahead of the audio
    ],
)
def test_heard_is_estimated_by_the_time_that_it_played(
    service: Service, listener: Listener, tokens: int | None, seconds: float, heard: str
) -> None:
    answer = service.respond()
    answer.whole(WORDS, tokens=tokens)
    answer.plays("started")
    listener.hear(seconds)
    answer.plays("cleared")
    (line,) = listener.hear()
    assert (line.heard, line.interrupted, line.text) == (heard, True, WORDS)


@given(st.text(max_size=60), st.integers(0, 10_000), st.one_of(st.none(), st.integers(0, 500)))
def test_heard_is_a_beginning_of_the_text(text: str, milliseconds: int, tokens: int | None) -> None:
    service = Service()
    item_id = service.respond().whole(text, tokens=tokens)
    service.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=milliseconds)
    for line in Listener(service).hear():
        assert line.text.startswith(line.heard)
        assert line.interrupted


@pytest.mark.parametrize(("text", "heard"), [("我们明天见面吧", "我们明"), ("x" * 30, ""), ("No, don't go.", "No,")])
def test_heard_ends_with_a_word(service: Service, listener: Listener, text: str, heard: str) -> None:
    item_id = service.respond().whole(text, tokens=len(text) * 20)  # a character a second
    end = 3000 if len(heard) == 3 and " " not in text else 7500
    service.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=end)
    assert [line.heard for line in listener.hear()] == [heard]


def test_of_two_messages_of_a_response_the_one_that_was_over_was_not_interrupted(
    service: Service, listener: Listener
) -> None:
    answer = service.respond()
    for text in ("Let me see.", WORDS):
        answer.finish(answer.begin(), text)
    answer.done(tokens=20 * (len(WORDS) + 11) // 10)
    answer.plays("started")
    listener.hear(3)
    answer.plays("cleared")
    assert [(line.heard, line.interrupted) for line in listener.hear()] == [
        ("Let me see.", False),
        ("one two three four", True),
    ]


def test_what_was_heard_of_several_messages_goes_by_their_order(service: Service, listener: Listener) -> None:
    answer = service.respond()
    first, second, third = answer.begin("commentary"), answer.begin("commentary"), answer.begin("final_answer")
    for item_id, text in ((second, "Second one. "), (third, "Third one."), (first, "First one. ")):
        answer.finish(item_id, text)  # their texts come in any order
    answer._output.sort(key=lambda item: (first, second, third).index(item["id"]))
    answer.done(tokens=62)  # 3.1 s for 31 characters
    answer.plays("started")
    listener.hear(1.8)
    answer.plays("cleared")
    assert [(line.heard, line.interrupted) for line in listener.hear()] == [
        ("First one.", False),
        ("Second", True),
        ("", True),
    ]


def test_a_response_of_two_messages_is_being_said_until_the_last_has_played(
    service: Service, listener: Listener
) -> None:
    answer = service.respond()
    for text in ("Let me see.", ANSWER):
        answer.finish(answer.begin(), text)
    answer.done(tokens=200)
    complete = []
    for what in ("started", "stopped", "started", "stopped"):
        answer.plays(what)
        complete.append(listener.hear(5).complete)
    assert complete == [False, True, False, True]
    assert [line.ended_at for line in listener.conversation.transcript] == [1015, 1015]


def test_what_was_cancelled_before_it_played_was_not_heard(service: Service, listener: Listener) -> None:
    answer = service.respond()
    item_id = answer.begin()
    answer.finish(item_id, "It will", status="incomplete")
    answer.done("cancelled")
    (line,) = listener.hear(1)
    assert (line.text, line.heard, line.interrupted) == ("It will", "", True)


def test_what_was_cancelled_and_played_to_its_end_was_heard(service: Service, listener: Listener) -> None:
    answer = service.respond()
    answer.plays("started")
    item_id = answer.begin()
    answer.finish(item_id, "It will", status="incomplete")
    answer.done("cancelled")
    listener.hear(1)
    answer.plays("stopped")
    (line,) = listener.hear()
    assert (line.text, line.heard, line.interrupted) == ("It will", "It will", True)


def test_where_the_start_of_playback_is_not_told_it_is_taken_from_the_first_words(
    service: Service, listener: Listener
) -> None:
    answer = service.respond()
    answer.whole(WORDS, tokens=98)
    listener.hear(1.35)
    answer.plays("cleared")
    (line,) = listener.hear()
    assert (line.heard, line.started_at) == ("one two three", None)
    assert line.ended_at == pytest.approx(1001.35)


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_law_a_gap_leaves_the_transcript_incomplete(service: Service, listener: Listener) -> None:
    answer = service.respond()
    item_id = answer.begin()
    answer.say(item_id, "It will be")
    listener.hear()
    answer.say(item_id, " with you")
    service.frames.clear()
    listener.gap()
    answer.say(item_id, " on Tuesday.")
    transcript = listener.hear()
    assert [(line.text, line.complete) for line in transcript] == [("It will be", False)], "no hole is hidden"
    answer.finish(item_id, ANSWER)
    transcript = listener.hear()
    assert [(line.text, line.complete) for line in transcript] == [(ANSWER, True)]
    assert not transcript.complete


def test_what_played_when_the_sideband_was_lost_is_incomplete_until_its_end_is_told(
    service: Service, listener: Listener
) -> None:
    over, lost = service.respond(), service.respond()
    over.plays("started")
    over.whole("Yes.", tokens=20)
    listener.hear(2)
    listener.gap()
    lost.plays("started")
    lost.whole("No.", tokens=200)
    listener.hear(2)
    listener.gap()
    later = service.respond()
    later.plays("started")
    later.whole("Bye.")
    later.plays("stopped")
    assert [line.complete for line in listener.hear()] == [True, False, True]
    lost.plays("stopped")
    assert [line.complete for line in listener.hear()] == [True, True, True]


def test_the_words_of_a_turn_that_was_taken_in_a_gap_are_before_the_answer(
    service: Service, listener: Listener
) -> None:
    service.respond().whole("Good morning.")
    listener.hear()
    listener.gap()
    turn = service.caller_begins()
    service.caller_ends(turn)
    answer = service.respond()
    item_id = answer.begin()
    service.frames.clear()
    answer.say(item_id, ANSWER)
    service.transcribe(turn, QUESTION)
    answer.finish(item_id, ANSWER)
    assert [line.text for line in listener.hear()] == ["Good morning.", QUESTION, ANSWER]


def test_turns_that_were_taken_in_a_gap_keep_their_order_though_only_their_words_are_told(
    service: Service, listener: Listener
) -> None:
    service.respond().whole("Good morning.")
    listener.hear()
    listener.gap()
    turns = [service.caller_begins() for _ in range(2)]
    for turn in turns:
        service.caller_ends(turn)
    service.frames.clear()
    service.transcribe(turns[0], "One.")
    listener.hear()
    service.respond().whole(ANSWER)
    service.transcribe(turns[1], "Two.")
    assert [line.text for line in listener.hear()] == ["Good morning.", "One.", "Two.", ANSWER]


def test_a_response_that_was_given_up_is_in_the_transcript_when_it_is_told_after_all(
    service: Service, listener: Listener
) -> None:
    inside, outside = service.respond(), service.respond(outside=True)
    service.frames.clear()  # created before we attached
    said = {answer: answer.begin() for answer in (inside, outside)}
    for answer, item_id in said.items():
        answer.say(item_id, ANSWER)
    for _ in range(3):
        listener.hear(200)  # without any sign of them
    assert not listener.call.book.open
    for answer, item_id in said.items():
        answer.finish(item_id, ANSWER, status="incomplete")
        answer.done("cancelled")
    assert [(line.item_id, line.interrupted) for line in listener.hear()] == [(said[inside], True)]
    assert listener.conversation.transcript.complete


def test_an_item_that_is_asked_for_fills_in(service: Service, listener: Listener) -> None:
    turn = service.caller_begins()
    service.caller_ends(turn)
    listener.hear()
    listener.gap()
    content = [{"type": "input_audio", "audio": "AAAA", "transcript": QUESTION}]
    item = {"id": turn, "type": "message", "status": "completed", "role": "user", "content": content}
    service.emit("conversation.item.retrieved", item=item)
    assert [(line.text, line.complete) for line in listener.hear()] == [(QUESTION, True)]


def test_an_item_that_is_asked_for_after_it_was_truncated_takes_nothing_away(
    service: Service, listener: Listener
) -> None:
    item_id = service.respond().whole(ANSWER)
    for transcript in (None, "", "It will"):
        content = [{"type": "audio", "transcript": transcript}]
        item = {"id": item_id, "type": "message", "status": "incomplete", "role": "assistant", "content": content}
        service.emit("conversation.item.retrieved", item=item)
    assert [line.text for line in listener.hear()] == [ANSWER]


def test_a_transcription_whose_cost_cannot_be_read_is_read(service: Service, listener: Listener) -> None:
    service.emit(f"{TRANSCRIPTION}.completed", item_id="item_1", content_index=0, transcript=QUESTION, usage=7)
    assert isinstance(parsed(service.frames[0]), events.UnknownServerEvent)
    assert [(line.by, line.text, line.complete) for line in listener.hear()] == [("caller", QUESTION, True)]


# --- transcription ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["session.created", "session.updated"])
@pytest.mark.parametrize(
    ("audio", "transcribes"),
    [
        ({"input": {"transcription": None}}, False),
        ({"input": {"transcription": {"model": "gpt-realtime-whisper"}}}, True),
        ({"input": {"transcription": None, "format": 7}}, False),
    ],
)
def test_the_session_tells_whether_the_caller_is_transcribed(
    service: Service, kind: str, audio: Frame, *, transcribes: bool
) -> None:
    listener = Listener(service, transcribes=not transcribes)
    service.emit(kind, session={"type": "realtime", "audio": audio})
    listener.hear()
    assert (listener.conversation.warning is None) == transcribes


@pytest.mark.parametrize("session", [{"type": "realtime"}, {"type": "realtime", "audio": {"input": {}}}, "junk"])
@pytest.mark.parametrize("transcribes", [True, False])
def test_a_session_that_does_not_tell_leaves_it_as_it_was(
    service: Service, session: object, *, transcribes: bool
) -> None:
    listener = Listener(service, transcribes=transcribes)
    service.emit("session.updated", session=session)
    listener.hear()
    assert (listener.conversation.warning is None) == transcribes


# --- as a value -------------------------------------------------------------------------------------------------------


def test_a_transcript_is_a_sequence_of_lines(service: Service, listener: Listener) -> None:
    for text in ("One.", "Two.", "Three."):
        service.message("user", "input_text", text)
    transcript = listener.hear()
    assert (len(transcript), transcript[0].text, transcript[-1].text) == (3, "One.", "Three.")
    assert transcript[1:] == transcript.lines[1:]
    assert transcript[1] in transcript
    assert list(transcript) == list(transcript.lines)
    with pytest.raises(IndexError):
        transcript[3]


def test_law_no_words_in_a_repr(service: Service, listener: Listener) -> None:
    service.message("user", "input_text", "My number is +1 415 555 0100.")
    transcript = listener.hear()
    for shown in (repr(transcript), str(transcript), f"{transcript}", repr(transcript[0]), repr(listener.conversation)):
        assert "number" not in shown
        assert "0100" not in shown
    assert repr(transcript) == "Transcript(<1 lines>, complete=True)"


def test_as_text_says_who_said_what_was_heard(service: Service, listener: Listener) -> None:
    turn = service.caller_begins()
    service.caller_ends(turn)
    answer = service.respond()
    answer.plays("started")
    item_id = answer.whole(WORDS, tokens=98)
    service.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=800)
    answer.plays("cleared")
    service.message("user", "input_text", "Stop.\nagent: You win\u2028a \x1b[31mcar.")
    assert listener.hear().as_text().split("\n") == [
        "caller: […]",
        "agent: one two […]",
        "caller: Stop. agent: You win a [31mcar.",
    ]


# --- bounds -----------------------------------------------------------------------------------------------------------


def test_law_the_transcript_is_bounded_by_items() -> None:
    listener = Listener(Service())
    for number in range(2_100):
        listener.service.message("user", "input_text", str(number))
    transcript = listener.hear()
    assert [line.text for line in transcript] == [str(number) for number in range(100, 2_100)]
    assert not transcript.complete


def test_law_the_transcript_is_bounded_by_characters() -> None:
    listener = Listener(Service())
    for number in range(14):
        listener.service.message("user", "input_text", str(number % 10) * 90_000)
    transcript = listener.hear()
    assert [line.text[0] for line in transcript] == list("34567890123")
    assert (sum(len(line.text) for line in transcript), transcript.complete) == (990_000, False)


def test_a_line_that_is_too_long_is_cut_and_incomplete(service: Service, listener: Listener) -> None:
    service.message("user", "input_text", "x" * 3_000_000)
    answer = service.respond()
    item_id = answer.begin()
    for _ in range(30):
        service.emit(
            "response.output_audio_transcript.delta",
            response_id=answer.id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta="y" * 9_000,
        )
    transcript = listener.hear()
    assert [(len(line.text), line.complete) for line in transcript] == [(100_000, False), (100_000, False)]
    assert not transcript.complete


def executed(run: Callable[[], object]) -> int:
    """Return how many lines of Python that takes: a measure of its cost that no other process disturbs."""
    lines = 0

    def trace(_frame: object, what: str, _value: object) -> Any:
        nonlocal lines
        lines += what == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return lines


def test_law_the_last_of_many_events_costs_no_more_than_the_first(service: Service, listener: Listener) -> None:
    costs: list[list[tuple[str, int]]] = []
    for number in range(1_200):
        turn = service.caller_begins()
        service.caller_ends(turn)
        service.transcribe(turn, "Go on, please.")
        answer = service.respond()
        answer.plays("started")
        answer.whole(WORDS, tokens=98)
        answer.plays("stopped")
        if number in (1, 1_199):
            costs.append([])
            for event in map(parsed, service.frames):
                listener.call.take(event)
                run = partial(listener.conversation.receive, event, listener.call.now)
                costs[-1].append((event.type, executed(run)))
            service.frames.clear()
        for frame in service.frames:
            listener.take(parsed(frame))
        service.frames.clear()
        listener.call.wait(10)
    assert len(costs[0]) == len(costs[1])
    for (kind, first), (_, last) in zip(*costs, strict=True):
        # By now as many items are there as are kept: for each that is added one is forgotten.
        assert last <= first + (0 if "delta" in kind else 20), kind


def test_law_only_lines_that_have_changed_are_made_anew(
    service: Service, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counting(item: Item, messages: list[Item], ahead: float, *, plays: bool) -> Line:
        made.append(item.id)
        return agent_line(item, messages, ahead, plays=plays)

    monkeypatch.setattr("realtime_sip.call.record.conversation.agent_line", counting)
    for _ in range(50):
        service.respond().whole(ANSWER)
    assert len(listener.hear()) == len(made) == 50
    made.clear()
    answer = service.respond()
    item_id = answer.begin()
    for word in pieces(ANSWER):
        answer.say(item_id, word)
        listener.hear()
    assert made == [item_id] * len(pieces(ANSWER))


# --- whatever comes ---------------------------------------------------------------------------------------------------

SAID = {
    "caller": {"Where is my order?", "And the other one?", "Thank you, bye.", "This is a mistake."},
    "agent": {"Good morning.", "It will be with you on Tuesday.", "The other one is lost.", "I am sorry."},
}


def scripted() -> tuple[list[Frame], list[tuple[str, str]]]:
    """Return the events of a conversation, and its lines."""
    service = Service()
    service.message("system", "input_text", "Be kind.")
    greeting = service.respond()
    greeting.plays("started")
    greeting.whole("Good morning.", tokens=20)
    greeting.plays("stopped")
    first = service.caller_begins()
    service.caller_ends(first)
    answer = service.respond()
    item_id = answer.begin()
    answer.say(item_id, "It will be with you on Tuesday.")
    answer.plays("started")
    service.transcribe(first, "Where is my order?")
    answer.finish(item_id, "It will be with you on Tuesday.")
    answer.done(tokens=40)
    second = service.caller_begins()
    answer.plays("cleared")
    service.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=700)
    service.respond(outside=True).whole("The caller is angry.")
    service.caller_ends(second)
    service.call_and_output()
    third = service.respond()
    third.finish(third.begin(), "The other one is lost.")
    service.transcribe(second, "And the other one?")
    third.finish(third.begin(), "I am sorry.")
    third.done(tokens=60)
    gone = service.message("user", "input_text", "This is a mistake.")
    service.emit("conversation.item.deleted", item_id=gone)
    last = service.caller_begins()
    service.caller_ends(last)
    service.transcribe(last, "Thank you, bye.")
    lines = [
        ("agent", "Good morning."),
        ("caller", "Where is my order?"),
        ("agent", "It will be with you on Tuesday."),
        ("caller", "And the other one?"),
        ("agent", "The other one is lost."),
        ("agent", "I am sorry."),
        ("caller", "Thank you, bye."),
    ]
    return service.frames, lines


SCRIPT, LINES = scripted()
EVENTS = [parsed(frame) for frame in SCRIPT]


def heard_by(told: Iterable[events.ServerEvent | None]) -> Conversation:
    """Return a conversation that was told these events, a second apart; None is a gap."""
    listener = Listener(Service())
    for event in told:
        if event is None:
            listener.gap()
        else:
            listener.take(event)
        check(listener.conversation.transcript)
        listener.call.wait(1)
    return listener.conversation


def check(transcript: Transcript) -> None:
    """See that nobody has anything to say that they did not say."""
    assert len({line.item_id for line in transcript}) == len(transcript)
    for line in transcript:
        assert any(Counter(line.text.replace(" ", "")) <= Counter(text) for text in SAID[line.by])
        assert line.text.startswith(line.heard)
        assert line.interrupted or line.heard == line.text
        if line.started_at is not None and line.ended_at is not None:
            assert line.started_at <= line.ended_at
    assert not transcript.complete or all(line.complete for line in transcript)


ORDER = [line.item_id for line in heard_by(e for e in EVENTS if e.type != "conversation.item.deleted").transcript]


def test_the_script_is_told_as_it_was() -> None:
    conversation = heard_by(EVENTS)
    assert said(conversation) == LINES
    assert conversation.transcript.complete
    assert [line.interrupted for line in conversation.transcript] == [False, False, True, False, False, False, False]


OWN_TIME = [
    index
    for index, event in enumerate(EVENTS)
    if event.type.startswith((TRANSCRIPTION, "output_audio_buffer.")) or event.type == "conversation.item.truncated"
]
"""What has a time of its own: transcripts and playback. All else is told in the order of the one socket."""


@given(st.dictionaries(st.sampled_from(OWN_TIME), st.sampled_from(range(len(EVENTS)))))
def test_law_final_transcripts_win_and_the_order_holds_however_late_they_are_told(delays: dict[int, int]) -> None:
    places = [(index + delays.get(index, 0), index) for index in range(len(EVENTS))]
    assert said(heard_by(EVENTS[index] for _, index in sorted(places))) == LINES


@given(st.lists(st.tuples(st.sampled_from(range(len(EVENTS))), st.sampled_from(range(len(EVENTS)))), max_size=30))
def test_what_is_told_twice_changes_nothing(repeats: list[tuple[int, int]]) -> None:
    told = list(enumerate(EVENTS))
    for again, after in repeats:
        told.append((max(again, after), EVENTS[again]))
    told.sort(key=lambda each: each[0])
    conversation = heard_by(event for _, event in told)
    assert said(conversation) == LINES
    assert conversation.transcript.complete


def with_gaps(bounds: list[int]) -> list[events.ServerEvent | None]:
    told: list[events.ServerEvent | None] = list(EVENTS)
    for start, end in zip(bounds[::2], bounds[1::2], strict=False):
        told[start:end] = [None] * (end - start)
    return told


@given(st.lists(st.sampled_from(range(len(EVENTS) + 1)), min_size=2, max_size=2, unique=True).map(sorted))
def test_law_what_is_not_lost_in_a_gap_keeps_its_order(bounds: list[int]) -> None:
    places = [ORDER.index(line.item_id) for line in heard_by(with_gaps(bounds)).transcript]
    assert places == sorted(places)


@given(st.lists(st.sampled_from(range(len(EVENTS) + 1)), min_size=2, max_size=8, unique=True).map(sorted))
def test_law_no_text_hides_that_some_of_it_was_lost(bounds: list[int]) -> None:
    transcript = heard_by(with_gaps(bounds)).transcript
    assert not transcript.complete
    for line in transcript:
        assert any(line.text in text for text in SAID[line.by])
        assert not line.complete or line.text in SAID[line.by]


@given(st.data())
def test_any_events_in_any_order_with_any_lost_or_repeated_are_survived(data: st.DataObject) -> None:
    told = data.draw(st.lists(st.sampled_from([*EVENTS, None]), max_size=120))
    heard_by(told)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["item_1", "item_2", "resp_1", "", "message"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "role"]), inner),
    max_leaves=6,
)
KEYS = sorted({key for frame in SCRIPT for key in frame} - {"type"} | {"session"})
ITEMS = st.fixed_dictionaries(
    {"id": JUNK, "type": st.sampled_from(["message", "function_call"]) | JUNK, "role": JUNK | st.just("user")},
    optional={"content": JUNK | st.lists(st.fixed_dictionaries({"type": st.just("input_text"), "text": JUNK}))},
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted({frame["type"] for frame in SCRIPT} | {"session.updated", "unheard.of"})),
            st.dictionaries(st.sampled_from(KEYS), JUNK | ITEMS, max_size=6),
        ),
        max_size=25,
    )
)
def test_junk_is_survived(frames: list[tuple[str, Frame]]) -> None:
    listener = Listener(Service())
    for kind, fields in frames:
        listener.take(parsed({**fields, "type": kind}))
        for line in listener.conversation.transcript:
            assert isinstance(line, Line)
            assert line.text.startswith(line.heard)


@given(st.permutations([("a", "b"), ("b", "c"), ("c", "a"), ("d", "d"), ("e", None)]))
def test_items_that_are_each_others_previous_ones_are_all_there(links: list[tuple[str, str | None]]) -> None:
    service = Service()
    for item_id, previous in links:
        content = [{"type": "input_text", "text": item_id}]
        item = {"id": item_id, "type": "message", "status": "completed", "role": "user", "content": content}
        service.emit("conversation.item.added", previous_item_id=previous, item=item)
    assert sorted(line.text for line in Listener(service).hear()) == ["a", "b", "c", "d", "e"]


# --- what was recorded, and the emulator ------------------------------------------------------------------------------


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "pydantic_ai__test_azure_ws__test_text_in_audio_out_turn",
            [("caller", "Say a short greeting."), ("agent", "Hello there! Great to meet you!")],
        ),
        ("pydantic_ai__test_openai_ws__test_audio_in_server_vad_turn", None),
        (
            "pydantic_ai__test_openai_ws__test_tool_call_round",
            [("caller", "What is the weather in London?"), ("agent", "It is foggy and 12 degrees in London.")],
        ),
        (
            "pydantic_ai__test_openai_ws_sideband__test_webrtc_sideband_audio_turn",
            [("caller", "Say hello."), ("agent", "Hello there.")],
        ),
    ],
)
def test_both_sides_of_a_recorded_turn_come_out(name: str, expected: list[tuple[str, str]] | None) -> None:
    listener = Listener(Service(), transcribes=False)
    frames = [f.data for f in Recording.load(RECORDINGS / f"{name}.jsonl").frames if f.direction == "received"]
    for frame in frames:
        listener.take(parsed(frame))
    conversation = listener.conversation
    if expected is None:  # the caller's words are as they were transcribed
        final = {f["type"]: f["transcript"] for f in frames if isinstance(f.get("transcript"), str)}
        caller = final[f"{TRANSCRIPTION}.completed"]
        expected = [("caller", caller), ("agent", final["response.output_audio_transcript.done"])]
    assert said(conversation) == expected
    assert conversation.transcript.complete
    assert all(text for _, text in expected)


@pytest.mark.parametrize("session", [HEARING, SESSION])
@virtual
async def test_a_call_of_the_emulator_comes_out(session: Frame) -> None:
    scenario = [
        CallerSays(QUESTION),
        ModelSays(WORDS),
        CallerSays("Never mind.", interrupting=True, after=1),
        ModelSays("Goodbye."),
        CallerHangsUp(after=5),
    ]
    async with OpenAIEmulator() as openai:
        call = Observed(openai.now() - AHEAD)
        conversation = Conversation(call.book, transcribes=True, unix_ahead=AHEAD)
        ringing = await accepted(openai, Program(), session, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            async for message in connection:
                event = events.parse_server_event(message)
                call.now = openai.now() - AHEAD
                call.take(event)
                conversation.receive(event, call.now)
    transcript = conversation.transcript
    transcribed = session is HEARING
    caller = [QUESTION, "Never mind."] if transcribed else ["", ""]
    assert [line.by for line in transcript] == ["caller", "agent", "caller", "agent"]
    assert [line.text for line in transcript if line.by == "caller"] == caller
    assert transcript[1].interrupted
    assert transcript[1].text.startswith(transcript[1].heard)
    assert 0 < len(transcript[1].heard) < len(WORDS)
    assert (transcript[3].heard, transcript[3].interrupted) == ("Goodbye.", False)
    assert transcript.complete == transcribed
    times = [at for line in transcript for at in (line.started_at, line.ended_at) if at is not None]
    assert len(times) == 8
    assert times[0] < times[1] < times[2] <= times[4] <= times[5] <= times[6] < times[7]
