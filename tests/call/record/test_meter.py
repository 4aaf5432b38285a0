"""What a call has used, against recordings, repeats and junk: each response counts once, and nothing is invented."""

from __future__ import annotations

import itertools
import json
import pickle
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed import Observed

from realtime_sip import events
from realtime_sip.call.record.meter import Meter
from realtime_sip.rates import RateCard, TranscriptionRates
from realtime_sip.usage import TokenUsage, TranscriptionUsage

Frame = dict[str, Any]
CARD = RateCard.published()
ZERO = Decimal(0)
WHISPER = "gpt-realtime-whisper"
RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "recordings"
_ids = itertools.count(1)


def used(*, text: int = 0, audio: int = 0, text_out: int = 0, audio_out: int = 0) -> Frame:
    return {
        "total_tokens": text + audio + text_out + audio_out,
        "input_tokens": text + audio,
        "output_tokens": text_out + audio_out,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio},
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def created(response_id: str = "resp_1") -> Frame:
    return {"type": "response.created", "response": {"id": response_id, "status": "in_progress"}}


def done(
    response_id: str = "resp_1",
    usage: object = None,
    *,
    status: str = "completed",
    conversation: str | None = "conv_1",
) -> Frame:
    response = {"id": response_id, "status": status, "conversation_id": conversation, "usage": usage, "output": []}
    return {"type": "response.done", "response": response}


def said(words: str, response_id: str = "resp_1", kind: str = "output_audio_transcript") -> Frame:
    place = {"item_id": "item_1", "output_index": 0, "content_index": 0, "call_id": "call_1"}
    return {"type": f"response.{kind}.delta", "response_id": response_id, "delta": words, **place}


def played(what: str, response_id: str = "resp_1") -> Frame:
    return {"type": f"output_audio_buffer.{what}", "response_id": response_id}


def written(item_id: str = "item_u", usage: object = None, index: int = 0) -> Frame:
    kind = "conversation.item.input_audio_transcription.completed"
    return {"type": kind, "item_id": item_id, "content_index": index, "transcript": "…", "usage": usage}


def lasting(seconds: float) -> Frame:
    return {"type": "duration", "seconds": seconds}


def session(model: str | None = "gpt-realtime", transcription: object = None, kind: str = "updated") -> Frame:
    audio = {"input": {"transcription": transcription}}
    return {"type": f"session.{kind}", "session": {"type": "realtime", "model": model, "audio": audio}}


class Measured:
    """A meter of a call."""

    def __init__(
        self, model: str | None = "gpt-realtime", transcription_model: str | None = None, rates: RateCard = CARD
    ) -> None:
        self.call = Observed()
        self.meter = Meter(self.call.book, rates, model=model, transcription_model=transcription_model)
        self.moved: list[bool] = []

    @property
    def now(self) -> float:
        return self.call.now

    def receive(self, *frames: Frame) -> None:
        for frame in frames:
            event = events.parse_server_event(json.dumps({"event_id": f"event_{next(_ids)}", **frame}))
            self.call.take(event)
            self.meter.receive(event)
            self.moved.append(self.meter.has_moved(event))

    @property
    def cost(self) -> Decimal:
        cost = self.meter.cost
        assert cost is not None
        return cost

    @property
    def guessed(self) -> Decimal:
        """What the estimate says beyond the cost."""
        estimate = self.meter.estimate(self.now)
        assert estimate is not None
        return estimate - self.cost

    @property
    def complete(self) -> bool:
        return self.meter.usage.complete


@pytest.fixture
def call() -> Measured:
    return Measured(transcription_model=WHISPER)


# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "tokens", "seconds", "dollars"),
    [
        # 16*4 + 16*16 + 82*64 = 5,568 millionths
        ("azure_ws__test_text_in_audio_out_turn", {"text_in": 16, "text_out": 16, "audio_out": 82}, 0, "0.005568"),
        # 14*4 + 27*32 + 28*16 + 136*64 = 10,072, and 3 s of 0.017 a minute: 0.00085
        (
            "openai_ws__test_audio_in_server_vad_turn",
            {"text_in": 14, "audio_in": 27, "text_out": 28, "audio_out": 136},
            3,
            "0.010922",
        ),
        # (63*4 + 22*16) + (39*4 + 64*0.40 + 13*16) = 604 + 389.6
        ("openai_ws__test_tool_call_round", {"text_in": 166, "cached_text_in": 64, "text_out": 35}, 0, "0.0009936"),
        # 12*4 + 9*16 + 61*64
        (
            "openai_ws_sideband__test_webrtc_sideband_audio_turn",
            {"text_in": 12, "text_out": 9, "audio_out": 61},
            0,
            "0.004096",
        ),
    ],
)
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_recordings_cost_what_was_computed_by_hand(
    name: str, tokens: dict[str, int], seconds: int, dollars: str, repeats: int
) -> None:
    call = Measured(None)  # what runs is told by the session
    lines = (RECORDINGS / f"pydantic_ai__test_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    frames = [json.loads(line) for line in lines]
    received = [frame["data"] for frame in frames if frame.get("direction") == "received"]
    for _ in range(repeats):
        call.receive(*received)
    usage = call.meter.usage
    assert usage.tokens == TokenUsage(**tokens)
    assert [(t.model, t.seconds) for t in usage.transcription] == ([(WHISPER, Decimal(seconds))] if seconds else [])
    assert call.cost == Decimal(dollars)
    assert usage.complete
    assert call.guessed == 0


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pieces"), [(300, 1), (40, 2), (4, 20)])
def test_what_is_being_said_is_estimated_by_its_length_in_however_many_pieces(
    call: Measured, size: int, pieces: int
) -> None:
    call.receive(created(), *[said("z" * size)] * (2 * pieces))
    assert call.moved == [False, *[number % pieces == pieces - 1 for number in range(2 * pieces)]]


def test_law_each_response_counts_once_when_it_is_done(call: Measured) -> None:
    assert (call.meter.tokens, call.cost, call.complete) == (0, ZERO, True)
    call.receive(created(), said("Hello."))
    assert (call.meter.tokens, call.cost) == (0, ZERO)
    usage = used(text=100, audio=50, text_out=10, audio_out=200)
    call.receive(done(usage=usage), done(usage=usage), done("resp_2", usage), created(), said("late"))
    assert call.meter.tokens == 720
    assert call.meter.usage.responses == 2
    assert call.cost == Decimal("0.029920")  # 2 * (100*4 + 50*32 + 10*16 + 200*64) millionths
    assert call.complete
    assert call.guessed == 0


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete", "renamed"])
@pytest.mark.parametrize("conversation", [None, "conv_1"])
def test_a_response_counts_however_it_ended_and_wherever_it_belongs(
    call: Measured, status: str, conversation: str | None
) -> None:
    call.receive(created(), done(usage=used(text=10, audio_out=5), status=status, conversation=conversation))
    assert call.meter.usage.tokens == TokenUsage(text_in=10, audio_out=5)
    assert call.complete


@pytest.mark.parametrize("usage", [None, {}, "free", {"total_tokens": "many"}, {"total_tokens": 10**12}])
def test_a_response_that_does_not_say_what_it_used_makes_the_usage_a_lower_bound(call: Measured, usage: object) -> None:
    call.receive(done(usage=usage, status="cancelled"))
    assert call.meter.usage.responses == 1
    assert call.cost == 0
    assert not call.complete


def test_a_response_that_used_nothing_is_complete(call: Measured) -> None:
    call.receive(done(usage=used(), status="cancelled"))
    assert (call.meter.usage.responses, call.cost, call.complete) == (1, ZERO, True)


def test_a_response_that_does_not_parse_counts_all_the_same(call: Measured) -> None:
    frame = done(usage={**used(text=7), "output_tokens": "?"})
    frame["response"]["status"] = ["completed"]
    call.receive(frame, frame)
    assert call.meter.usage.tokens == TokenUsage(text_in=7)


def test_a_response_without_an_id_goes_by_that_of_its_event(call: Measured) -> None:
    frame = {"type": "response.done", "event_id": "event_x", "response": {"usage": used(text=7)}}
    call.receive(frame, frame)
    assert (call.meter.tokens, call.complete) == (7, True)
    call.receive({**frame, "event_id": None})
    assert (call.meter.tokens, call.complete) == (7, False)


def test_law_a_lost_sideband_makes_the_usage_a_lower_bound(call: Measured) -> None:
    call.receive(done(usage=used(text=7)))
    whole = [call.complete]
    call.meter.mark_incomplete()
    whole.append(call.complete)
    call.receive(done("resp_2", used(text=7)))
    assert [*whole, call.complete] == [True, False, False]
    assert call.meter.tokens == 14


def test_usage_is_not_complete_while_a_response_is_made_or_if_its_end_never_came(call: Measured) -> None:
    call.receive(created())
    assert not call.complete
    call.call.wait(1000)
    call.receive(created("resp_2"), done("resp_2", used(text=7)))
    assert not call.complete
    call.receive(done("resp_1", used(text=7)))
    assert call.complete


# --- transcription ----------------------------------------------------------------------------------------------------


def test_a_transcription_counts_once_and_beside_the_responses(call: Measured) -> None:
    call.receive(written("item_1", lasting(3)), written("item_1", lasting(3)), written("item_2", lasting(0.5)))
    call.receive(written("item_2", lasting(2.5), index=1))
    assert call.meter.usage.transcription == (TranscriptionUsage(model=WHISPER, seconds=Decimal(6)),)
    assert call.meter.tokens == 0
    assert call.cost == Decimal("0.0017")
    assert call.complete


def test_a_transcription_by_tokens(call: Measured) -> None:
    rates = TranscriptionRates(text_in=Decimal(1), audio_in=Decimal(6), text_out=Decimal(10))
    call = Measured(transcription_model="own", rates=CARD.with_rates({"own": rates}))
    details = {"text_tokens": 2, "audio_tokens": 28}
    tokens = {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
    call.receive(written("item_1", {**tokens, "input_token_details": details}), written("item_2", tokens))
    assert call.meter.usage.transcription == (TranscriptionUsage(model="own", text_in=2, audio_in=58, text_out=10),)
    assert call.cost == Decimal("0.00045")


def test_a_transcription_costs_what_the_model_does_that_made_it(call: Measured) -> None:
    call.receive(written("item_1", lasting(60)))
    call.receive(session(transcription={"model": "gpt-live-transcribe"}), written("item_2", lasting(30)))
    assert {used.model: used.seconds for used in call.meter.usage.transcription} == {
        WHISPER: 60,
        "gpt-live-transcribe": 30,
    }
    assert call.cost == Decimal("0.0255")
    call.receive(session(transcription={"model": "whisper-1"}))
    assert call.cost == Decimal("0.0255")
    call.receive(written("item_3", lasting(1)))
    assert call.meter.cost is None
    assert call.meter.estimate(call.now) is None


def test_the_last_words_are_written_down_though_transcription_was_turned_off(call: Measured) -> None:
    call.receive(session(transcription=None), written("item_1", lasting(60)))
    assert call.cost == Decimal("0.017")


@pytest.mark.parametrize("usage", [None, {}, {"type": "words", "words": 7}, {"type": "duration", "seconds": "3"}])
def test_a_transcription_that_does_not_say_what_it_used_makes_the_usage_a_lower_bound(
    call: Measured, usage: object
) -> None:
    call.receive(written("item_1", usage))
    assert (call.cost, call.complete) == (ZERO, False)


@pytest.mark.parametrize("usage", [lasting(0), {"type": "tokens", "total_tokens": 0}])
def test_a_transcription_of_nothing_is_complete(call: Measured, usage: Frame) -> None:
    call.receive(written("item_1", usage))
    assert (call.cost, call.complete) == (ZERO, True)


def test_a_transcription_by_nobody_knows_whom_has_no_cost() -> None:
    call = Measured()
    call.receive(written("item_1", lasting(3)))
    assert call.meter.cost is None
    assert call.meter.usage.transcription == (TranscriptionUsage(model=None, seconds=Decimal(3)),)


# --- the model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["created", "updated"])
def test_a_model_that_a_prompt_names_is_told_by_the_session(kind: str) -> None:
    call = Measured(None)
    assert call.meter.cost is None
    call.receive(done(usage=used(text=1000)))
    assert (call.meter.cost, call.meter.tokens) == (None, 1000)
    call.receive(session("gpt-realtime-2.1-2026-05-01", kind=kind))
    assert call.cost == Decimal("0.004")


def test_a_session_that_is_not_what_it_should_be_still_tells_its_model() -> None:
    call = Measured(None)
    call.receive({"type": "session.updated", "session": {"type": "realtime", "model": "gpt-realtime", "audio": 7}})
    assert call.cost == 0


@pytest.mark.parametrize("model", [None, "", 7, {}, "x" * 10_000])
def test_a_session_that_names_no_model_changes_none(call: Measured, model: Any) -> None:
    call.receive(session(model, {"model": model}), written("item_1", lasting(60)))
    assert call.cost == Decimal("0.017")


def test_law_a_model_without_a_price_has_no_cost() -> None:
    call = Measured("gpt-realtime-9")
    call.receive(created(), said("Hello."))
    assert call.meter.cost is None
    assert call.meter.estimate(call.now) is None
    call.receive(done(usage=used(text=5)))
    assert (call.meter.cost, call.meter.tokens) == (None, 5)


# --- the estimate -----------------------------------------------------------------------------------------------------


def test_the_estimate_counts_the_whole_conversation_again(call: Measured) -> None:
    call.receive(created(), done(usage=used(text=1000, audio=500, audio_out=100)))
    assert call.guessed == 0
    call.receive(created("resp_2"))
    assert call.guessed == Decimal("0.020000")  # 1000*4 + 500*32, and no word of output yet
    call.receive(done("resp_2", used(text=2000)), created("resp_3"))
    assert call.guessed == Decimal("0.008000")
    # A response of its own says nothing of the conversation's length, and neither does one that was cut off early.
    call.receive(done("resp_3", used()), created("resp_4"), done("resp_4", used(text=1), conversation=None))
    call.receive(created("resp_5"))
    assert call.guessed == Decimal("0.008000")


def test_the_estimate_grows_with_the_words(call: Measured) -> None:
    call.receive(created(), said("x" * 200), said("x" * 100))
    # 300 characters: 50 seconds, which are 1,000 audio tokens, and 75 tokens of text
    assert call.guessed == Decimal("0.065200")
    call.receive(said("x" * 40, kind="output_text"), said("x" * 60, kind="function_call_arguments"))
    assert call.guessed == Decimal("0.065600")
    call.receive(done(usage=used(audio_out=990, text_out=95)))
    assert call.guessed == 0
    assert call.cost == Decimal("0.064880")


@pytest.mark.parametrize(("characters", "tokens"), [(12, 61), (31, 82), (60, 136)])
def test_the_estimate_is_about_what_the_recorded_responses_used(call: Measured, characters: int, tokens: int) -> None:
    call.receive(created(), said("x" * characters))
    audio = call.guessed / Decimal("0.000064")
    assert tokens / 2 < audio < tokens * 2


def test_the_estimate_grows_with_what_is_heard(call: Measured) -> None:
    call.receive(created(), played("started"))
    assert call.guessed == 0
    call.call.wait(10)
    assert call.guessed == Decimal("0.012800")  # 200 audio tokens
    call.receive(played("stopped"))
    call.call.wait(5)
    assert call.guessed == Decimal("0.012800")
    call.receive(said("x" * 15))
    assert call.guessed > Decimal("0.012800")


def test_the_estimate_is_bounded(call: Measured) -> None:
    call.receive(created(), *[said("x" * 100_000)] * 30)
    assert call.guessed == Decimal("2.560000")  # 32,000 tokens of each


def test_the_estimate_leaves_out_a_response_that_shows_no_sign_of_life(call: Measured) -> None:
    call.receive(created(), said("x" * 300))
    call.call.wait(59)
    assert call.guessed > 0
    call.call.wait(2)
    assert call.guessed == 0
    for sign in (said("x"), played("started")):
        call.call.wait(59)
        call.receive(sign)
        call.call.wait(59)
        assert call.guessed > 0


def test_a_response_whose_beginning_was_not_seen_is_estimated_too(call: Measured) -> None:
    call.receive(said("x" * 300))
    assert call.guessed > 0
    assert not call.complete


# --- any order, any junk ----------------------------------------------------------------------------------------------

RESPONSES = st.dictionaries(
    st.sampled_from([f"resp_{i}" for i in range(6)]),
    st.builds(used, **dict.fromkeys(("text", "audio", "text_out", "audio_out"), st.integers(0, 30_000))),
    max_size=6,
)
WRITTEN = st.dictionaries(
    st.tuples(st.sampled_from(["item_1", "item_2"]), st.integers(0, 1)),
    st.integers(0, 20).map(lambda n: n * 3),
    max_size=4,
)


@given(RESPONSES, WRITTEN, st.integers(1, 3), st.randoms(use_true_random=False))
def test_law_no_order_and_no_repeat_counts_anything_twice(
    responses: dict[str, Frame], transcripts: dict[tuple[str, int], int], repeats: int, random: Any
) -> None:
    frames = [
        frame
        for name, usage in responses.items()
        for frame in (created(name), played("started", name), said("words", name), done(name, usage))
    ]
    frames += [written(item, lasting(seconds), index) for (item, index), seconds in transcripts.items()]
    frames *= repeats
    random.shuffle(frames)
    call = Measured(transcription_model=WHISPER)
    before = Decimal(0)
    for frame in frames:
        call.receive(frame)
        assert call.cost >= before
        assert call.guessed >= 0
        before = call.cost
    tokens = sum(map(TokenUsage.from_wire, responses.values()), TokenUsage())
    seconds = sum(transcripts.values())
    usage = call.meter.usage
    assert (usage.tokens, usage.responses, usage.complete) == (tokens, len(responses), True)
    assert sum(part.seconds for part in usage.transcription) == seconds
    of_tokens = CARD.cost(replace(usage, transcription=()), model="gpt-realtime")
    assert of_tokens is not None
    assert call.cost - of_tokens == Decimal("0.00085") * (seconds // 3)
    assert call.guessed == 0


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
NAMES = st.sampled_from(
    ["id", "usage", "input_token_details", "cached_tokens", "audio_tokens", "input_tokens", "seconds", "audio", "input"]
)
JUNK = st.recursive(
    LEAVES | st.sampled_from(["gpt-realtime", "resp_1", "duration", "tokens"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            NAMES | st.sampled_from(["model", "transcription", "type", "total_tokens"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)
TYPES = st.sampled_from(
    [
        "response.created",
        "response.done",
        "response.output_audio_transcript.delta",
        "response.function_call_arguments.delta",
        "response.renamed",
        "conversation.item.input_audio_transcription.completed",
        "session.created",
        "session.updated",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "output_audio_buffer.cleared",
        "",
    ]
)
FIELDS = st.sampled_from(
    ["response", "session", "usage", "item_id", "content_index", "response_id", "delta", "event_id"]
)


@given(st.lists(st.tuples(TYPES, st.dictionaries(FIELDS, JUNK, max_size=4)), max_size=12))
def test_no_malformed_event_breaks_the_meter(frames: list[tuple[str, Frame]]) -> None:
    call = Measured(transcription_model=WHISPER)
    tokens = 0
    for kind, body in frames:
        call.receive({**body, "type": kind})
        call.call.wait(1)
        assert call.meter.tokens >= tokens
        tokens = call.meter.tokens
        cost, estimate = call.meter.cost, call.meter.estimate(call.now)
        assert (cost is None) == (estimate is None)
        assert cost is None or estimate is None or 0 <= cost <= estimate


def test_memory_is_bounded_and_what_was_forgotten_is_not_hidden() -> None:
    call = Measured(transcription_model=WHISPER)

    def size(frames: int) -> int:
        for _ in range(frames):
            name = f"{next(_ids):08}"
            call.receive(created(f"resp_{name}"), done(f"resp_x{name}", used(text=1)), said("x", f"resp_y{name}"))
            call.receive(session(transcription={"model": f"own_{name}"}), written(f"item_{name}", lasting(1)))
        return len(pickle.dumps(call.meter))

    assert size(2500) > 0.9 * size(2500)
    assert call.meter.tokens == 5000
    assert sum(part.seconds for part in call.meter.usage.transcription) == 5000
    assert not call.complete
    call.receive({"type": "response.created", "response": {"id": "x" * 100_000}})
    assert len(pickle.dumps(call.meter)) < 1_000_000
