"""The emulated sideband, driven with plain websockets: its events, their order, its refusals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from emulated import HEARING, SESSION, Peer, Program, accepted, act, post, sideband, socket, virtual
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
)

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "recordings"
SIDEBAND = RECORDINGS / "pydantic_ai__test_openai_ws_sideband__test_webrtc_sideband_audio_turn.jsonl"

SPOKEN = [
    "session.updated",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "output_audio_buffer.started",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
    "output_audio_buffer.stopped",
]


async def _turn(openai: OpenAIEmulator, url: str, text: str) -> Peer:
    """Do what the client of the recorded sideband does."""
    ringing = await accepted(openai, url, scenario=[ModelSays(text)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", session={"type": "realtime", "instructions": "Answer in two words."})
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello."}]}
        await peer.send("conversation.item.create", item=item)
        await peer.send("response.create")
        await peer.until("output_audio_buffer.stopped")
    return peer


async def test_a_spoken_turn_has_the_events_of_a_sideband_in_their_order(openai: OpenAIEmulator, url: str) -> None:
    peer = await _turn(openai, url, "Hello there.")
    assert peer.types == SPOKEN


@pytest.mark.skipif(not SIDEBAND.exists(), reason="the recordings are not beside this checkout")
async def test_a_spoken_turn_is_as_recorded(openai: OpenAIEmulator, url: str) -> None:
    recorded = [json.loads(line) for line in SIDEBAND.read_text().splitlines()]
    received = [frame["data"] for frame in recorded if frame["direction"] == "received"]
    peer = await _turn(openai, url, "Hello there.")
    assert [frame["type"] for frame in peer.frames] == [frame["type"] for frame in received]
    for mine, theirs in zip(peer.frames, received, strict=True):
        assert set(mine) == set(theirs), mine["type"]
    for kind, part in ("response.done", "response"), ("response.created", "response"), ("session.updated", "session"):
        mine = next(frame[part] for frame in peer.frames if frame["type"] == kind)
        theirs = next(frame[part] for frame in received if frame["type"] == kind)
        assert set(mine) == set(theirs)
    usage = next(frame["response"]["usage"] for frame in peer.frames if frame["type"] == "response.done")
    known = next(frame["response"]["usage"] for frame in received if frame["type"] == "response.done")
    assert usage.keys() == known.keys()
    assert usage["input_token_details"].keys() == known["input_token_details"].keys()


async def test_all_events_belong_together(openai: OpenAIEmulator, url: str) -> None:
    peer = await _turn(openai, url, "Good morning, how can I help you today?")
    done = next(frame["response"] for frame in peer.frames if frame["type"] == "response.done")
    assert done["status"] == "completed"
    assert done["output"][0]["content"] == [
        {"type": "output_audio", "transcript": "Good morning, how can I help you today?"}
    ]
    deltas = [frame for frame in peer.frames if frame["type"] == "response.output_audio_transcript.delta"]
    assert "".join(frame["delta"] for frame in deltas) == "Good morning, how can I help you today?"
    assert {frame["response_id"] for frame in peer.frames if "response_id" in frame} == {done["id"]}
    usage = done["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["output_tokens"] == sum(usage["output_token_details"].values())
    ids = [frame["event_id"] for frame in peer.frames]
    assert len(set(ids)) == len(ids)


async def test_a_sideband_gets_no_session_created_and_no_audio(openai: OpenAIEmulator, url: str) -> None:
    peer = await _turn(openai, url, "Hello there, this is a little longer.")
    assert not {"session.created", "response.output_audio.delta"} & set(peer.types)


async def test_an_update_needs_the_type_of_the_session(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", session={"instructions": "x"}, event_id="mine")
        error = (await peer.until("error"))["error"]
    assert error == {
        "type": "invalid_request_error",
        "code": "missing_required_parameter",
        "message": "Missing required parameter: 'session.type'.",
        "param": "session.type",
        "event_id": "mine",
    }


async def test_an_update_changes_what_it_names_and_null_clears(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, HEARING)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        change: dict[str, Any] = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}}}
        await peer.send("session.update", session={"type": "realtime", **change})
        session = (await peer.until("session.updated"))["session"]
        assert session["instructions"] == "Be brief."
        assert session["audio"]["input"]["transcription"]["model"] == "gpt-realtime-whisper"
        assert session["audio"]["input"]["turn_detection"] == {
            "type": "server_vad",
            "threshold": 0.7,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 200,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        }
        assert session["id"].startswith("sess_")
        assert session["object"] == "realtime.session"
        expires_at = session["expires_at"]
        change = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}, "transcription": None}}}
        await peer.send("session.update", session={"type": "realtime", **change})
        session = (await peer.until("session.updated"))["session"]
        assert session["audio"]["input"]["turn_detection"]["eagerness"] == "auto"
        assert "threshold" not in session["audio"]["input"]["turn_detection"]
        assert session["audio"]["input"]["transcription"] is None
        await peer.send("session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
        session = (await peer.until("session.updated"))["session"]
        assert session["audio"]["input"]["turn_detection"] is None
        assert session["expires_at"] == expires_at


@pytest.mark.parametrize(("how", "threshold"), [("merged", 0.7), ("replaced", 0.5)])
async def test_an_update_of_turn_detection_keeps_what_it_leaves_out_or_not(
    openai: OpenAIEmulator, url: str, how: Any, threshold: float
) -> None:
    detection: dict[str, Any] = {"type": "server_vad", "threshold": 0.7}
    session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
    ringing = await accepted(openai, url, session, behavior=Behavior(turn_detection_update=how))
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"]["threshold"] == 0.7
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        change = {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}
        await peer.send("session.update", session={"type": "realtime", "audio": change})
        shown = (await peer.until("session.updated"))["session"]["audio"]["input"]["turn_detection"]
    assert (shown["threshold"], shown["create_response"]) == (threshold, False)


async def test_another_model_may_be_ignored(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(model_update="ignored"))
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        change = {"type": "realtime", "model": "gpt-realtime-1.5", "instructions": "Be long."}
        await peer.send("session.update", session=change)
        shown = (await peer.until("session.updated"))["session"]
    assert (shown["model"], shown["instructions"]) == (SESSION["model"], "Be long.")


@virtual
async def test_every_response_reads_the_whole_conversation_and_what_was_read_before_is_cached() -> None:
    said = "This is a sentence that takes a while to be said, by whoever says it. "
    scenario = [step for _ in range(4) for step in (CallerSays(said), ModelSays(said * 3))]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=[*scenario, CallerHangsUp()])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
    usages = [frame["response"]["usage"] for frame in peer.frames if frame["type"] == "response.done"]
    assert len(usages) == 4
    heard, spoken = round(10 * len(said) / 9.6), round(20 * 3 * len(said) / 7.4)
    for before, after in itertools.pairwise(usages):
        read, more = before["input_token_details"], after["input_token_details"]
        # The caller's words and the model's, which were read as audio and as text.
        grown = more["audio_tokens"] - read["audio_tokens"]
        assert grown == pytest.approx(heard + spoken, abs=2)
        assert more["text_tokens"] - read["text_tokens"] == before["output_token_details"]["text_tokens"]
        assert before["input_tokens"] - 64 < more["cached_tokens"] <= before["input_tokens"]
        assert more["cached_tokens"] == sum(more["cached_tokens_details"].values())
    first = usages[0]
    # The first response has read what was said to it, and not what it says itself.
    assert first["input_token_details"]["audio_tokens"] == pytest.approx(heard, abs=1)
    assert first["input_token_details"]["cached_tokens"] == 0


async def test_the_model_and_a_voice_that_was_heard_are_fixed(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "marin"}}})
        await peer.until("session.updated")
        await peer.send("response.create")
        await peer.until("output_audio_buffer.started")
        await peer.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}})
        assert (await peer.until("error"))["error"]["code"] == "cannot_update_voice"
        await peer.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "marin"}}})
        await peer.until("session.updated")
        await peer.send("session.update", session={"type": "realtime", "model": "gpt-realtime-1.5"})
        assert (await peer.until("error"))["error"]["param"] == "session.model"


ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({"event_id": "x"}, "invalid_event", None),
        ({"type": "response.speak", "event_id": "x"}, "invalid_value", "type"),
        ({"type": "transcription_session.update", "session": {}, "event_id": "x"}, "invalid_value", "type"),
        ({"type": "session.update", "event_id": "x"}, "missing_required_parameter", "session"),
        (
            {
                "type": "session.update",
                "session": {"type": "realtime", "input_audio_transcription": {}},
                "event_id": "x",
            },
            "unknown_parameter",
            "session.input_audio_transcription",
        ),
        (
            {"type": "response.create", "response": {"modalities": ["audio"]}, "event_id": "x"},
            "unknown_parameter",
            "response.modalities",
        ),
        (
            {"type": "response.create", "response": {"output_modalities": ["audio", "text"]}, "event_id": "x"},
            "invalid_value",
            "response.output_modalities",
        ),
        (
            {"type": "response.create", "response": {"conversation": "other"}, "event_id": "x"},
            "invalid_value",
            "response.conversation",
        ),
        (
            {"type": "response.create", "response": {"metadata": {"k": 1}}, "event_id": "x"},
            "invalid_value",
            "response.metadata",
        ),
        ({"type": "response.cancel", "event_id": "x"}, "response_cancel_not_active", None),
        ({"type": "input_audio_buffer.commit", "event_id": "x"}, "input_audio_buffer_commit_empty", None),
        (
            {"type": "conversation.item.delete", "item_id": "item_x", "event_id": "x"},
            "item_delete_invalid_item_id",
            "item_id",
        ),
        (
            {"type": "conversation.item.retrieve", "item_id": "item_x", "event_id": "x"},
            "item_retrieve_invalid_item_id",
            "item_id",
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "item_x",
                "content_index": 0,
                "audio_end_ms": 1,
                "event_id": "x",
            },
            "item_truncate_invalid_item_id",
            "item_id",
        ),
        ({"type": "conversation.item.create", "event_id": "x"}, "missing_required_parameter", "item"),
        (
            {"type": "conversation.item.create", "item": {"type": "item_reference"}, "event_id": "x"},
            "invalid_value",
            "item.type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "user", "content": [{"type": "text"}]},
                "event_id": "x",
            },
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]},
                "event_id": "x",
            },
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "call_x"},
                "event_id": "x",
            },
            "missing_required_parameter",
            "item.output",
        ),
        (
            {"type": "conversation.item.create", "item": ITEM, "previous_item_id": "item_x", "event_id": "x"},
            None,
            "previous_item_id",
        ),
    ],
)
async def test_what_the_service_does_not_take_is_an_error_event_and_harmless(
    openai: OpenAIEmulator, url: str, event: Any, code: str | None, param: str | None
) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await connection.send(json.dumps(event))
        error = (await peer.until("error"))["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
        assert error["event_id"] == "x"
        await peer.send("session.update", session={"type": "realtime"})
        await peer.until("session.updated")
    assert ringing.client_events[0] == event


@pytest.mark.parametrize("frame", ["{not json", "[1, 2]", '"text"', "[" * 5000, b"\x00\xff"])
async def test_a_frame_that_is_no_object_is_an_error_event(
    openai: OpenAIEmulator, url: str, frame: str | bytes
) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await connection.send(frame)
        assert (await peer.until("error"))["error"]["event_id"] is None
    assert ringing.client_events == []


async def test_one_response_at_a_time(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays("This goes on for a while.")])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        response = (await peer.until("response.created"))["response"]
        await peer.send("response.create", event_id="second")
        error = (await peer.until("error"))["error"]
        assert error == {
            "type": "invalid_request_error",
            "code": "conversation_already_has_active_response",
            "message": f"Conversation already has an active response in progress: {response['id']}. "
            "Wait until the response is finished before creating a new one.",
            "param": None,
            "event_id": "second",
        }
        assert (await peer.until("response.done"))["response"]["status"] == "completed"
    assert peer.types.count("response.created") == 1


async def test_a_response_is_canceled_and_its_sound_cleared(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays("One two three four five six seven. " * 20)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.until("output_audio_buffer.started")
        await peer.send("response.cancel")
        await peer.send("output_audio_buffer.clear")
        response = (await peer.until("response.done"))["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert response["output"][0]["status"] == "incomplete"
        assert response["usage"]["output_tokens"] > 0
        cleared = await peer.until("output_audio_buffer.cleared")
        assert cleared["response_id"] == response["id"]
        await peer.send("output_audio_buffer.clear")
        await peer.send("response.create")
        await peer.until("output_audio_buffer.stopped")
    assert peer.types.count("output_audio_buffer.cleared") == 1


async def test_text_has_no_sound(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, {**SESSION, "output_modalities": ["text"]}, scenario=[ModelSays("Yes.")])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create")
        await peer.until("rate_limits.updated")
    assert peer.types == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


async def test_responses_out_of_band_run_beside_the_conversation(openai: OpenAIEmulator, url: str) -> None:
    scenario = [
        ModelSays("In the conversation."),
        ModelSays("First aside.", out_of_band=True),
        ModelCalls("note", {"a": 1}, out_of_band=True),
    ]
    ringing = await accepted(openai, url, scenario=scenario)
    aside = {"conversation": "none", "output_modalities": ["text"]}
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("response.create", response={**aside, "metadata": {"n": "1"}})
        await peer.send("response.create", response={**aside, "metadata": {"n": "2"}})
        await peer.send("response.create")
        while peer.types.count("rate_limits.updated") < 3:
            await peer.receive()
    assert "error" not in peer.types
    done = [frame["response"] for frame in peer.frames if frame["type"] == "response.done"]
    asides = {response["metadata"]["n"]: response for response in done if response["metadata"]}
    assert asides["1"]["output"][0]["content"] == [{"type": "output_text", "text": "First aside."}]
    assert asides["2"]["output"][0]["name"] == "note"
    assert all(response["conversation_id"] is None for response in asides.values())
    items = [frame["item"] for frame in peer.frames if frame["type"] == "conversation.item.added"]
    assert len(items) == 1


async def test_items_are_created_retrieved_truncated_and_deleted(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, scenario=[ModelSays("So much of speech.", seconds=2)])
    async with sideband(openai, ringing) as connection:
        peer = Peer(connection)
        await peer.send("conversation.item.create", item={**ITEM, "id": "item_mine"})
        added = await peer.until("conversation.item.added")
        assert (added["previous_item_id"], added["item"]["id"]) == (None, "item_mine")
        assert added["item"]["status"] == "completed"
        await peer.send("conversation.item.create", item={**ITEM, "id": "item_mine"})
        assert (await peer.until("error"))["error"]["param"] == "item.id"
        await peer.send("conversation.item.retrieve", item_id="item_mine")
        assert (await peer.until("conversation.item.retrieved"))["item"]["content"] == ITEM["content"]
        await peer.send("response.create")
        item = (await peer.until("response.output_item.done"))["item"]
        await peer.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=2001)
        assert (await peer.until("error"))["error"]["param"] == "audio_end_ms"
        await peer.send("conversation.item.truncate", item_id=item["id"], content_index=0, audio_end_ms=1500)
        assert (await peer.until("conversation.item.truncated"))["audio_end_ms"] == 1500
        await peer.send("conversation.item.delete", item_id="item_mine")
        assert (await peer.until("conversation.item.deleted"))["item_id"] == "item_mine"
        await peer.send("conversation.item.delete", item_id="item_mine")
        assert (await peer.until("error"))["error"]["code"] == "item_delete_invalid_item_id"


async def test_a_call_is_attached_to_only_while_it_is_accepted(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    for prepare in (None, "accept", "hangup"):
        if prepare:
            await act(openai, ringing, prepare, SESSION if prepare == "accept" else None)
        if prepare == "accept":
            async with sideband(openai, ringing):
                continue
        with pytest.raises(InvalidStatus) as refused:
            await sideband(openai, ringing)
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "call_id_not_found"
    assert [(seen.operation, seen.status) for seen in ringing.requests] == [
        ("attach", 404),
        ("accept", 200),
        ("attach", 101),
        ("hangup", 200),
        ("attach", 404),
    ]


async def test_a_sideband_needs_the_key(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    with pytest.raises(InvalidStatus) as refused:
        await sideband(openai, ringing, headers={"authorization": "Bearer sk-other"})
    assert refused.value.response.status_code == 401


async def test_a_socket_with_the_beta_header_is_told_and_closed_with_4000(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing, headers={"OpenAI-Beta": "realtime=v1"}) as connection:
        peer = Peer(connection)
        assert (await peer.until("error"))["error"]["code"] == "beta_api_shape_disabled"
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == 4000


async def test_hangup_over_rest_closes_the_sideband(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    async with sideband(openai, ringing) as connection:
        await act(openai, ringing, "hangup")
        await Peer(connection).closed()
        assert connection.close_code == 1000
    end = await ringing.ended()
    assert (end.by, end.close_code) == (EndedBy.AGENT, 1000)


async def test_a_primary_socket_begins_with_session_created_and_carries_audio(openai: OpenAIEmulator) -> None:
    expected = openai.expect_socket(scenario=[ModelSays("Hello there, caller.")])
    async with socket(openai, "model=gpt-realtime-1.5") as connection:
        peer = Peer(connection)
        session = (await peer.receive())["session"]
        assert peer.types == ["session.created"]
        assert (session["type"], session["model"]) == ("realtime", "gpt-realtime-1.5")
        await peer.send("response.create")
        await peer.until("response.done")
    assert "response.output_audio.delta" in peer.types
    assert not any(kind.startswith("output_audio_buffer.") for kind in peer.types)
    await expected.closed()
    assert expected.said[0].text == "Hello there, caller."


async def test_a_primary_socket_may_transcribe(openai: OpenAIEmulator) -> None:
    async with socket(openai, "intent=transcription") as connection:
        peer = Peer(connection)
        assert (await peer.receive())["session"]["type"] == "transcription"
        change = {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}}
        await peer.send("session.update", session=change)
        session = (await peer.until("session.updated"))["session"]
        assert session["audio"]["input"]["transcription"]["model"] == "gpt-transcribe"
        assert "output" not in session["audio"]
        await peer.send("response.create")
        await peer.until("error")
        await peer.send("session.update", session={"type": "realtime"})
        assert (await peer.until("error"))["error"]["param"] == "session.type"


async def test_a_primary_socket_needs_a_model_or_a_client_secret(openai: OpenAIEmulator) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await socket(openai, "")
    assert refused.value.response.status_code == 400
    secret = (await post(openai, "/client_secrets", json={"session": SESSION})).json()["value"]
    async with socket(openai, "", headers={"authorization": f"Bearer {secret}"}) as connection:
        assert (await Peer(connection).receive())["session"]["instructions"] == "Be brief."
