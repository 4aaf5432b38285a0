"""Recordings: loading them, and replaying them to a client that knows nothing of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulated import SPEED, Frame, Peer, accepted, sideband, socket
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator, RecordedFrame, Recording, Replay, Timings

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "recordings"
PRIMARY = sorted(RECORDINGS.glob("pydantic_ai__test_*_ws__*.jsonl"))
SIDEBANDS = sorted(RECORDINGS.glob("pydantic_ai__test_*_sideband__*.jsonl"))
needs_recordings = pytest.mark.skipif(not PRIMARY, reason="the recordings are not beside this checkout")


def sent(kind: str, **fields: Any) -> RecordedFrame:
    return RecordedFrame("sent", {"type": kind, **fields})


def received(kind: str, **fields: Any) -> RecordedFrame:
    return RecordedFrame("received", {"type": kind, **fields})


def output(call_id: str) -> RecordedFrame:
    return sent("conversation.item.create", item={"type": "function_call_output", "call_id": call_id, "output": "x"})


TOOL_ROUND = [
    sent("session.update", session={"type": "realtime"}),
    received("session.updated", session={}),
    sent("input_audio_buffer.append", audio="AAAA"),
    received("input_audio_buffer.committed", item_id="item_u"),
    received("conversation.item.added", item={"id": "item_u"}),
    received("response.created", response={"id": "resp_1"}),
    received("response.output_item.added", response_id="resp_1", item={"id": "item_c"}),
    received("conversation.item.added", item={"id": "item_c"}),
    received("response.function_call_arguments.done", response_id="resp_1", item_id="item_c", call_id="call_1"),
    output("call_1"),
    received("conversation.item.done", item={"id": "item_c"}),
    received("response.done", response={"id": "resp_1"}),
    sent("response.create"),
    received("conversation.item.added", item={"id": "item_o"}),
    received("response.created", response={"id": "resp_2"}),
    received("response.done", response={"id": "resp_2"}),
    received("rate_limits.updated", rate_limits=[]),
]


def _types(frames: list[Frame]) -> list[str]:
    return [frame["type"] for frame in frames]


def test_what_has_started_flows_and_what_is_new_waits_for_the_client() -> None:
    replay = Replay(Recording(TOOL_ROUND))
    assert replay.proceed() == []
    assert replay.awaited == "session.update"
    frames = replay.client_sent({"type": "session.update", "session": {"instructions": "another client's"}})
    assert _types(frames)[0] == "session.updated"
    assert _types(frames)[-2:] == ["conversation.item.done", "response.done"]
    assert replay.client_sent({"type": "input_audio_buffer.append", "audio": "BBBB"}) == []
    wrong = {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "call_x"}}
    assert replay.client_sent(wrong) == []
    assert replay.client_sent(output("call_1").data) == []
    frames = replay.client_sent({"type": "response.create", "event_id": "e"})
    assert _types(frames) == ["conversation.item.added", "response.created", "response.done", "rate_limits.updated"]
    assert replay.complete
    assert replay.matched == ["session.update", "conversation.item.create", "response.create"]
    assert replay.extra == ["conversation.item.create"]
    assert replay.client_sent({"type": "response.cancel"}) == []
    assert replay.extra == ["conversation.item.create", "response.cancel"]


def test_an_answer_that_comes_before_the_output_it_follows_is_kept() -> None:
    replay = Replay(Recording(TOOL_ROUND))
    replay.client_sent({"type": "session.update"})
    assert replay.client_sent({"type": "response.create"}) == []
    frames = replay.client_sent(output("call_1").data)
    assert _types(frames)[-1] == "rate_limits.updated"
    assert replay.complete


def test_a_greeting_that_is_not_in_the_recording_is_not_taken_for_a_later_response() -> None:
    replay = Replay(Recording(TOOL_ROUND))
    assert replay.client_sent({"type": "response.create"}) == []
    replay.client_sent({"type": "session.update"})
    assert replay.extra == ["response.create"]
    replay.client_sent(output("call_1").data)
    assert not replay.complete
    assert replay.awaited == "response.create"


def test_a_recorded_message_may_be_any_message_but_no_output() -> None:
    message = sent("conversation.item.create", item={"type": "message", "role": "user", "content": []})
    replay = Replay(Recording([message, received("conversation.item.added", item={"id": "item_1"})]))
    assert replay.client_sent(output("call_1").data) == []
    assert _types(replay.client_sent({"type": "conversation.item.create", "item": {"type": "message"}})) == [
        "conversation.item.added"
    ]


@given(st.data())
def test_no_frame_is_lost_or_repeated_whatever_the_client_sends(data: st.DataObject) -> None:
    replay = Replay(Recording(TOOL_ROUND))
    events = [frame.data for frame in TOOL_ROUND if frame.direction == "sent"]
    out = replay.proceed()
    for event in data.draw(st.lists(st.sampled_from(events), max_size=20)):
        out += replay.client_sent(event)
    while not replay.complete:
        waiting = next(event for event in events if event["type"] == replay.awaited and event not in out)
        if waiting["type"] == "conversation.item.create":
            waiting = output("call_1").data
        out += replay.client_sent(waiting)
    expected = [frame.data for frame in TOOL_ROUND if frame.direction == "received"]
    assert sorted(map(str, out)) == sorted(map(str, expected))
    assert replay.matched.count("response.create") == 1


async def _play(peer: Peer) -> None:
    """Do what a client does that reads nothing but types: a session, a turn, tool outputs, until the socket closes."""
    await peer.send("session.update", session={"type": "realtime", "instructions": "Mine."})
    await peer.send("conversation.item.create", item={"type": "message", "role": "user", "content": []})
    await peer.send("response.create")
    async for message in peer.connection:
        frame = json.loads(message)
        peer.frames.append(frame)
        if frame["type"] == "response.function_call_arguments.done":
            item = {"type": "function_call_output", "call_id": frame["call_id"], "output": "{}"}
            await peer.send("conversation.item.create", item=item)
        if frame["type"] == "response.done" and frame["response"]["output"][0]["type"] == "function_call":
            await peer.send("response.create")


@needs_recordings
@pytest.mark.parametrize("path", PRIMARY, ids=lambda path: path.stem)
async def test_the_recordings_of_primary_sockets_replay(openai: OpenAIEmulator, path: Path) -> None:
    recording = Recording.load(path)
    expected = openai.expect_socket(recording=recording)
    async with socket(openai, "model=gpt-realtime") as connection:
        peer = Peer(connection)
        await _play(peer)
    await expected.closed()
    assert expected.replay is not None
    assert expected.replay.complete, expected.replay.failure
    wanted = [frame.data for frame in recording.frames if frame.direction == "received"]
    assert sorted(map(str, peer.frames)) == sorted(map(str, wanted))
    assert peer.frames[0]["type"] == "session.created"


@needs_recordings
@pytest.mark.parametrize("path", SIDEBANDS, ids=lambda path: path.stem)
async def test_the_recordings_of_sidebands_replay(openai: OpenAIEmulator, url: str, path: Path) -> None:
    recording = Recording.load(path)
    ringing = await accepted(openai, url, recording=recording)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await _play(peer)
    assert ringing.replay is not None
    assert (ringing.replay.complete, ringing.replay.failure, ringing.replay.extra) == (True, None, [])
    assert peer.frames == [frame.data for frame in recording.frames if frame.direction == "received"]
    assert (await ringing.ended()).by is EndedBy.CALLER


async def test_a_recording_is_played_on_a_call(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, recording=Recording(TOOL_ROUND))
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", session={"type": "realtime"})
        await peer.until("response.done")
        await peer.send("response.cancel")
        await peer.send("conversation.item.create", item=output("call_1").data["item"])
        await peer.send("response.create")
        await peer.closed()
    assert len(peer.frames) == sum(frame.direction == "received" for frame in TOOL_ROUND)
    assert ringing.replay is not None
    assert (ringing.replay.complete, ringing.replay.extra) == (True, ["response.cancel"])
    assert len(ringing.client_events) == 4


async def test_a_recording_gives_up_on_a_client_that_does_not_come_along(url: str) -> None:
    timings = Timings(patience=5, least_patience=1.0)
    async with OpenAIEmulator(strict=False, speed=SPEED, timings=timings) as openai:
        ringing = await accepted(openai, url, recording=Recording(TOOL_ROUND))
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime"})
            await peer.send("response.cancel")
            await peer.closed()
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert ringing.replay is not None
        assert not ringing.replay.complete
        assert ringing.replay.failure == (
            "waited 5 s for the client's 'conversation.item.create' (frame 10 of 17); "
            "it sent session.update, response.cancel"
        )


def test_the_kind_of_a_recording_is_known() -> None:
    assert Recording([received("session.created", session={}), sent("response.create")]).primary
    assert not Recording(TOOL_ROUND).primary


async def test_a_recording_is_played_where_it_belongs(openai: OpenAIEmulator, url: str) -> None:
    primary = Recording([received("session.created", session={})])
    with pytest.raises(ConfigurationError, match="expect_socket"):
        await openai.ring(url, recording=primary)
    with pytest.raises(ConfigurationError, match="sideband"):
        openai.expect_socket(recording=Recording(TOOL_ROUND))
    with pytest.raises(ConfigurationError, match="not both"):
        await openai.ring(url, recording=Recording(TOOL_ROUND), scenario=[ModelSays("x")])
    with pytest.raises(ConfigurationError, match="not both"):
        openai.expect_socket(recording=primary, scenario=[ModelSays("x")])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no frames"),
        ('{"direction": "sent", "data": {"type": "x"}}\n{', "line 2: not JSON"),
        ("[1]", "line 1: not a JSON object"),
        ('{"direction": "webhook", "data": {"type": "x"}}', "direction must be 'sent' or 'received'"),
        ('{"direction": "sent", "data": {}}', "data must be an object with a type"),
        ('{"direction": "sent", "data": []}', "data must be an object with a type"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        Recording.load(path)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the recording call\.jsonl"):
        Recording.load(tmp_path / "call.jsonl")
    (tmp_path / "call.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match=r"cannot read the recording call\.jsonl"):
        Recording.load(tmp_path / "call.jsonl")


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at most 50000 frames"):
        Recording([received("x")] * 50_001)
    path = tmp_path / "call.jsonl"
    with path.open("wb") as file:
        file.truncate(33 * 1024 * 1024)
    with pytest.raises(ConfigurationError, match="larger than"):
        Recording.load(path)


def test_a_recording_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text('{"note": "n", "direction": "received", "data": {"type": "x", "text": "\u2028"}}\n\n')
    assert Recording.load(path) == Recording([received("x", text="\u2028")])
