"""How the emulated model speaks: at the recorded pace, in the order it was made, in tokens that are as long as it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelFails, ModelSays, OpenAIEmulator, Timings

TEN = Timings(characters_per_second=10)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _heard(peer: Peer, count: int) -> list[tuple[str, str, float]]:
    """Return so many events of the output buffer: what, of which response, and when."""
    seen: list[tuple[str, str, float]] = []
    while len(seen) < count:
        frame = await peer.receive()
        if frame["type"].startswith("output_audio_buffer."):
            seen.append((frame["type"].rpartition(".")[2], frame["response_id"], _now()))
    return seen


def test_the_pace_is_that_of_the_recordings(shared_data: Path) -> None:
    characters, tokens = 0, 0
    for path in (shared_data / "recordings").glob("pydantic*.jsonl"):
        for line in path.read_text().splitlines():
            frame = json.loads(line)["data"]
            if frame["type"] == "response.done" and frame["response"]["output_modalities"] == ["audio"]:
                (item,) = frame["response"]["output"]
                spoken = frame["response"]["usage"]["output_token_details"]["audio_tokens"]
                assert 3.9 < len(item["content"][0]["transcript"]) / (spoken * 0.05) < 8.9
                characters += len(item["content"][0]["transcript"])
                tokens += spoken
    assert Timings().characters_per_second == round(characters / (tokens * 0.05), 1)


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        (ModelSays("Twenty one letters ok"), 2.85),  # 21 / 7.4 = 2.838, in whole tokens
        (ModelSays("A sentence.", seconds=45), 45.0),
        (ModelFails("max_output_tokens", text="A sentence that", seconds=12.5), 12.5),
    ],
)
def test_audio_tokens_are_as_long_as_what_plays(step: ModelSays | ModelFails, seconds: float) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await accepted(openai, Program(), scenario=[step])
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send("response.create")
                await peer.until("output_audio_buffer.started")
                began = _now()
                done = await peer.until("response.done")
                assert _now() - began < 1  # made much faster than spoken
                await peer.until("output_audio_buffer.stopped")
                assert _now() - began == pytest.approx(seconds)
        assert done["response"]["usage"]["output_token_details"]["audio_tokens"] == pytest.approx(seconds * 20)

    run()


@virtual
async def test_a_response_that_is_canceled_plays_what_was_made_of_it() -> None:
    async with OpenAIEmulator(timings=Timings(token=1.0)) as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelSays("one two six ten", seconds=16)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.started")
            began = _now()
            await peer.send("response.cancel")
            done = (await peer.until("response.done"))["response"]
            await peer.until("output_audio_buffer.stopped")
            played = _now() - began
    assert done["status"] == "cancelled"
    assert played == pytest.approx(16 * 11 / 15, abs=0.03)  # of "one two six"
    assert done["usage"]["output_token_details"]["audio_tokens"] == pytest.approx(played * 20)


@virtual
async def test_speech_waits_behind_speech() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            ModelSays("A long one.", seconds=12),
            ModelSays("Short.", seconds=1),
            ModelSays("Third.", seconds=2),
        ]
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            made = []
            for _ in range(3):
                await peer.send("response.create")
                made.append((await peer.until("response.done"))["response"]["id"])
            began = next(i for i, frame in enumerate(peer.frames) if frame["type"] == "output_audio_buffer.started")
            assert [frame["type"] for frame in peer.frames[began + 1 :]].count("output_audio_buffer.started") == 0
            heard = await _heard(peer, 5)
    first, second, third = made
    assert [(what, who) for what, who, _ in heard] == [
        ("stopped", first),
        ("started", second),
        ("stopped", second),
        ("started", third),
        ("stopped", third),
    ]
    times = [when for _, _, when in heard]
    assert [times[0] - when for when in times] == pytest.approx([0, 0, -1, -1, -3])


@virtual
async def test_the_caller_silences_what_plays_and_what_waits() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            ModelSays("A long one.", seconds=12),
            ModelSays("Waiting.", seconds=3),
            CallerSays("Stop!", interrupting=True, after=2),
            ModelSays("Yes?", seconds=1),
            CallerHangsUp(),
        ]
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            made = []
            for _ in range(2):
                await peer.send("response.create")
                made.append((await peer.until("response.done"))["response"]["id"])
            await peer.closed()
    heard = [(frame["type"], frame["response_id"]) for frame in peer.frames if frame["type"].startswith("output_audio")]
    assert heard[:2] == [("output_audio_buffer.started", made[0]), ("output_audio_buffer.cleared", made[0])]
    assert made[1] not in [response_id for _, response_id in heard]
    assert [what.rpartition(".")[2] for what, _ in heard[2:]] == ["started", "stopped"]
    (cut,) = [frame for frame in peer.frames if frame["type"] == "conversation.item.truncated"]
    assert 2000 <= cut["audio_end_ms"] < 12_000
    assert ringing.notes == []


@virtual
async def test_what_is_truncated_is_the_message_that_was_being_heard() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [
            ModelSays("One moment.", seconds=2),
            ModelSays("It is ready.", same_response=True, seconds=8),
            CallerSays("Stop!", interrupting=True, after=5),
            ModelSays("Yes?"),
            CallerHangsUp(),
        ]
        ringing = await accepted(openai, Program(), scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            first, second = (await peer.until("response.done"))["response"]["output"]
            cut = await peer.until("conversation.item.truncated")
            await peer.closed()
    assert first["id"] != second["id"] == cut["item_id"]
    assert cut["audio_end_ms"] == pytest.approx(3000, abs=10)


@virtual
async def test_the_caller_speaks_at_a_pace_of_its_own_or_as_long_as_the_step_says() -> None:
    session: Frame = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    async with OpenAIEmulator() as openai:
        scenario = [CallerSays("Hello, my name is Marcelo."), CallerSays("Hm.", seconds=7), CallerHangsUp(after=5)]
        session["audio"]["input"]["turn_detection"] = {"type": "server_vad", "create_response": False}
        ringing = await accepted(openai, Program(), session, scenario=scenario)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
    began = [frame["audio_start_ms"] for frame in peer.frames if "audio_start_ms" in frame]
    ended = [frame["audio_end_ms"] for frame in peer.frames if "audio_end_ms" in frame]
    spoken = [(end - start - 200) / 1000 for start, end in zip(began, ended, strict=True)]
    assert spoken == pytest.approx([2.7, 7.0], abs=0.02)


@pytest.mark.parametrize("seconds", [-1, 1e9, float("nan")])
def test_a_length_that_cannot_be_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="seconds"):
        ModelSays("Hello.", seconds=seconds)
    with pytest.raises(ConfigurationError, match="seconds"):
        CallerSays("Hello.", seconds=seconds)
