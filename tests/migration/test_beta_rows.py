"""Each row of the table of the beta in both of its uses: it is refused when it is sent, and converted by `to_ga`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import httpx
import pytest

from realtime_sip import RealtimeSip, beta, events, items
from realtime_sip._wire import checked
from realtime_sip.errors import BetaShapeError, ConfigurationError, InvalidRequestError
from realtime_sip.migration import ChangeKind, Shape, to_ga
from realtime_sip.response import ResponseConfig
from realtime_sip.session import ModelDeprecationWarning, RealtimeSession, checked_session
from realtime_sip.testing import OpenAIEmulator

VALUES: dict[str, tuple[Any, Any]] = {
    "client_secret": ({"expires_after": {"anchor": "created_at", "seconds": 60}}, None),
    "input_audio_format": ("g711_ulaw", {"type": "audio/pcmu"}),
    "input_audio_noise_reduction": ({"type": "near_field"}, {"type": "near_field"}),
    "input_audio_transcription": ({"model": "gpt-transcribe"}, {"model": "gpt-transcribe"}),
    "max_response_output_tokens": (4096, 4096),
    "modalities": (["text"], ["text"]),
    "output_audio_format": ("pcm16", {"type": "audio/pcm", "rate": 24000}),
    "speed": (1.25, 1.25),
    "temperature": (0.8, None),
    "turn_detection": ({"type": "semantic_vad"}, {"type": "semantic_vad"}),
    "voice": ("sage", "sage"),
}
"""A value of each beta field, and what it is now."""


def at(path: str | None, value: object) -> dict[str, Any]:
    """Return an object that has a value at a path; an empty one without a path."""
    fields: Any = value
    for step in reversed(path.split(".") if path else []):
        fields = {step: fields}
    return fields if path else {}


def refused(send: Callable[[], object], now: str | None) -> None:
    with pytest.raises(BetaShapeError) as caught:
        send()
    assert (f"it is {now} now" if now else "it was removed") in str(caught.value)


# --- sessions and responses -------------------------------------------------------------------------------------------

TABLES: list[tuple[str, Any, Any, Any]] = [
    ("session", beta.SESSION_FIELDS, {"type": "realtime"}, checked_session),
    ("transcription_session", beta.TRANSCRIPTION_FIELDS, {"type": "transcription"}, checked_session),
    ("response", beta.RESPONSE_FIELDS, {}, lambda value: checked(ResponseConfig, value, what="response")),
]
FIELDS = [(shape, name, path, kind, check) for shape, table, kind, check in TABLES for name, path in table.items()]


@pytest.mark.parametrize(("shape", "name", "path", "kind", "check"), FIELDS, ids=[f"{f[0]}-{f[1]}" for f in FIELDS])
def test_row_a_field(shape: Any, name: str, path: str | None, kind: dict[str, Any], check: Any) -> None:
    before, after = VALUES[name]
    refused(lambda: check({**kind, name: before}), path)
    migrated = to_ga({**kind, name: before}, shape=shape)
    assert migrated.value == {**kind, **at(path, after)}
    assert check(migrated.value).to_wire() == migrated.value
    first = migrated.changes[0]
    assert (first.place, first.now) == (name, path)
    assert first.kind is (ChangeKind.DROPPED if path is None else ChangeKind.MOVED)
    assert first.why or path


@pytest.mark.parametrize("name", beta.AUDIO_FORMATS)
@pytest.mark.parametrize("side", ["input", "output"])
def test_row_an_audio_format(name: str, side: str) -> None:
    half_moved = {"type": "realtime", "audio": {side: {"format": name}}}
    with pytest.raises(BetaShapeError, match=beta.AUDIO_FORMATS[name]["type"]):
        checked_session(half_moved)
    now = dict(beta.AUDIO_FORMATS[name])
    assert to_ga(half_moved).value == {"type": "realtime", "audio": {side: {"format": now}}}
    assert to_ga({f"{side}_audio_format": name}).value == {"type": "realtime", "audio": {side: {"format": now}}}


HALF = [(side, name, path) for side, names in beta.HALF_MOVED.items() for name, path in names.items()]


@pytest.mark.parametrize(("side", "name", "path"), HALF)
def test_row_a_name_that_is_half_moved(side: str, name: str, path: str) -> None:
    before, after = VALUES[name]
    session = {"type": "realtime", "audio": {side: {name: before}}}
    refused(lambda: checked_session(session), path)
    assert to_ga(session).value == {"type": "realtime", **at(path, after)}


def test_row_both_modalities() -> None:
    with pytest.raises(InvalidRequestError, match="has a transcript too"):
        checked_session({"output_modalities": ["audio", "text"]})
    for both in map(list, permutations(beta.BOTH_MODALITIES)):
        assert to_ga({"modalities": both}).value == {"type": "realtime", "output_modalities": ["audio"]}
        migrated = to_ga({"output_modalities": both}, shape="response")
        assert migrated.value == {"output_modalities": ["audio"]}
        assert [change.kind for change in migrated.changes] == [ChangeKind.REPLACED]


@pytest.mark.parametrize("name", beta.TOOL_CHOICE_FIELDS)
def test_row_the_choice_of_a_function(name: str) -> None:
    choice = {"type": "function", name: {"name": "order_status"}}
    tools = [{"type": "function", "name": "order_status"}]
    session = {"type": "realtime", "tools": tools, "tool_choice": choice}
    refused(lambda: checked_session(session), beta.TOOL_CHOICE_FIELDS[name])
    now = {"type": "function", "name": "order_status"}
    assert to_ga(session).value == {"type": "realtime", "tools": tools, "tool_choice": now}
    assert to_ga({"tool_choice": choice}, shape="response").value == {"tool_choice": now}


@pytest.mark.parametrize("model", beta.MODELS)
def test_row_a_model_is_warned_of_and_left_to_the_program(model: str) -> None:
    with pytest.warns(ModelDeprecationWarning, match=beta.MODELS[model]):
        RealtimeSession(model=model)
    migrated = to_ga({"type": "realtime", "model": model})
    assert migrated.value == {"type": "realtime", "model": model}
    assert [(c.kind, c.place) for c in migrated.changes] == [(ChangeKind.KEPT, "model")]
    assert beta.MODELS[model] in migrated.changes[0].why


# --- events and items -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", beta.CLIENT_EVENT_TYPES)
def test_row_a_client_event(kind: str) -> None:
    event = {"type": kind, "session": {"input_audio_transcription": {"model": "gpt-transcribe"}}}
    refused(lambda: events.client_event(event), beta.CLIENT_EVENT_TYPES[kind])
    migrated = to_ga(event).value
    assert events.client_event(migrated).to_wire() == migrated
    assert migrated["session"]["type"] == "transcription"


@pytest.mark.parametrize("kind", beta.SERVER_EVENT_TYPES)
def test_row_a_server_event(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    now = beta.SERVER_EVENT_TYPES[kind]
    events._named.discard(kind)
    old = events.parse_server_event(f'{{"type": "{kind}", "event_id": "event_1"}}')
    assert isinstance(old, events.UnknownServerEvent)
    assert f"is a name of the beta API, and {now} now" in caplog.text
    event: dict[str, Any] = {"type": kind, "event_id": "event_1"}
    if kind.startswith("response."):
        event |= {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        event |= {"delta": "AAAA", "transcript": "Hi.", "text": "Hi."}
    else:
        event |= {
            "session": {"id": "sess_1", "object": "realtime.transcription_session", "input_audio_format": "pcm16"}
        }
    migrated = to_ga(event)
    assert migrated.value["type"] == now
    parsed = events.parse_server_event(json.dumps(migrated.value))
    assert not isinstance(parsed, events.UnknownServerEvent)
    assert parsed.to_wire() == migrated.value


@pytest.mark.parametrize("kind", beta.CONTENT_TYPES)
def test_row_a_part_of_an_assistants_message(kind: str) -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": kind, "text": "Hi."}]}
    refused(lambda: checked(items.AssistantMessage, item, what="item"), "output_text")
    now = beta.CONTENT_TYPES[kind]
    expected = {**item, "content": [{"type": now, "text": "Hi."}]}
    assert to_ga(item).value == expected
    for event in ("conversation.item.create", "conversation.item.added", "response.output_item.done"):
        assert to_ga({"type": event, "item": item}).value == {"type": event, "item": expected}
    done = {"type": "response.done", "response": {"object": "realtime.response", "output": [item]}}
    assert to_ga(done).value["response"]["output"] == [expected]
    # The events of parts keep the short names, and so do the words of the user.
    part = {"type": "response.content_part.done", "part": {"type": kind}}
    assert to_ga(part).value == part


@pytest.mark.parametrize(("role", "model"), [("user", items.UserMessage), ("system", items.SystemMessage)])
def test_row_a_reference_to_an_item(role: str, model: Any) -> None:
    part = {"type": beta.REFERENCE, "id": "item_7"}
    item = {"type": "message", "role": role, "content": [part]}
    refused(lambda: checked(model, item, what="item"), "an entry of a response's input")
    words = {"type": "input_text", "text": "Hi."}
    before = {"type": "response.create", "response": {"input": [item, {**item, "content": [part, words]}]}}
    migrated = to_ga(before)
    expected = [part, part, {"type": "message", "role": role, "content": [words]}]
    assert migrated.value == {"type": "response.create", "response": {"input": expected}}
    assert events.client_event(migrated.value).to_wire() == migrated.value


# --- how it was reached -----------------------------------------------------------------------------------------------


def test_row_the_header() -> None:
    with pytest.raises(ConfigurationError, match="asked for the beta API, which was switched off"):
        RealtimeSip("sk-test", headers={beta.HEADER: beta.HEADER_VALUE})


async def test_row_the_header_is_refused_by_the_service(openai: OpenAIEmulator) -> None:
    response = await post(openai, "/realtime/client_secrets", {}, **{beta.HEADER: beta.HEADER_VALUE})
    assert (response.status_code, response.json()["error"]["code"]) == (400, beta.DISABLED)


@pytest.mark.parametrize("path", beta.ENDPOINTS)
async def test_row_an_endpoint(path: str, openai: OpenAIEmulator) -> None:
    transcribes = "transcription" in path
    body: dict[str, Any] = {
        "input_audio_transcription": {"model": "gpt-transcribe"},
        "client_secret": {"expires_at" if transcribes else "expires_after": {"anchor": "created_at", "seconds": 60}},
    }
    response = await post(openai, path, body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, beta.DISABLED)
    shape: Shape = "transcription_secret_request" if transcribes else "secret_request"
    migrated = to_ga(body, shape=shape)
    assert migrated.value == {
        "expires_after": {"anchor": "created_at", "seconds": 60},
        "session": {
            "type": "transcription" if transcribes else "realtime",
            "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}},
        },
    }
    made = await post(openai, beta.ENDPOINTS[path], migrated.value)
    assert made.status_code == 200
    assert to_ga(made.json()).value == made.json()


async def test_row_the_endpoint_for_sdp(openai: OpenAIEmulator) -> None:
    before, now = beta.SDP_ENDPOINT
    headers = {**openai_headers(openai), "Content-Type": "application/sdp"}
    offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    async with httpx.AsyncClient(base_url=openai.base_url, headers=headers, trust_env=False) as http:
        old = await http.post(f"{before}?model=gpt-realtime-2.1", content=offer)
        assert (old.status_code, old.json()["error"]["code"]) == (400, beta.DISABLED)
        assert (await http.post(now, content=offer)).status_code == 201


def test_row_the_reply_with_a_key() -> None:
    reply = {
        "id": "sess_1",
        "object": "realtime.session",
        "voice": "sage",
        "client_secret": {"value": "ek_1", "expires_at": 1},
    }
    migrated = to_ga(reply)
    assert migrated.value == {
        "value": "ek_1",
        "expires_at": 1,
        "session": {
            "type": "realtime",
            "id": "sess_1",
            "object": "realtime.session",
            "audio": {"output": {"voice": "sage"}},
        },
    }


NAMES_OF_CODE = {"SUBPROTOCOL", "PYTHON_NAMES"}
"""What is not sent as a value: `migrate` finds it in source code (tests/migration/test_python_code.py)."""
NO_ROWS = {"DISABLED", "DISTINCTIVE", "REMOVED", "HEADER_VALUE"}


def tables() -> Iterator[str]:
    return (name for name in vars(beta) if name.isupper() and name not in NAMES_OF_CODE | NO_ROWS)


def test_law_every_table_has_its_test_of_both_uses() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in tables() if f"beta.{name}" not in text] == []


# --- helpers ----------------------------------------------------------------------------------------------------------


def openai_headers(openai: OpenAIEmulator) -> dict[str, str]:
    return {"Authorization": f"Bearer {openai.client_options['api_key']}"}


async def post(openai: OpenAIEmulator, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=openai.base_url, trust_env=False) as http:
        return await http.post(path, json=body, headers={**openai_headers(openai), **headers})


@pytest.fixture
async def openai() -> Any:
    async with OpenAIEmulator() as emulator:
        yield emulator
