"""Every example of the guide that concerns OpenAI's side runs here: requests, events, and the form of the webhook.

The guide is not part of this repository; it is read from beside the checkout.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from emulated import SESSION, Frame, Peer, Program, accepted, act, post, sideband, socket, virtual
from realtime_sip import AsyncRealtimeSip, events
from realtime_sip.errors import WebhookError
from realtime_sip.session import AudioFormatWarning, ModelDeprecationWarning, RealtimeSession, StoredPromptWarning
from realtime_sip.testing import ModelSays, OpenAIEmulator, RingingCall
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

GUIDE = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"
API = "https://api.openai.com/v1"
SECRET = "whsec_" + "MDEy" * 8
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
CLIENT = {kind.model_fields["type"].default for kind in get_args(events.ClientEvent)}

pytestmark = [
    pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is not beside this checkout"),
    pytest.mark.filterwarnings(f"ignore::{ModelDeprecationWarning.__module__}.{ModelDeprecationWarning.__name__}"),
    pytest.mark.filterwarnings(f"ignore::{StoredPromptWarning.__module__}.{StoredPromptWarning.__name__}"),
    pytest.mark.filterwarnings(f"ignore::{AudioFormatWarning.__module__}.{AudioFormatWarning.__name__}"),
]


def _blocks() -> list[str]:
    if not GUIDE.is_file():
        return []
    return re.findall(r"^\s*```[a-z]*\n(.*?)^\s*```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def _parsed(text: str) -> Any:
    """Return what JSON, or a literal of JavaScript or Python says; None if it is none."""
    plain = re.sub(r"(?:^|\s)(?://|#)\s.*", "", text)
    plain = re.sub(r"([{,]\s*)(\w+):", r'\1"\2":', plain)
    plain = re.sub(r",(\s*[}\]])", r"\1", plain)
    plain = re.sub(r'\(\s*("[^"]*")\s*\)', r"\1", plain)
    # An item is not written out in the guide.
    plain = re.sub(r":\s*Item\b", ': {"type": "message", "role": "user", "id": "msg_1", "content": []}', plain)
    try:
        return json.loads(plain)
    except ValueError:
        return None


def _objects(text: str) -> Iterator[Frame]:
    """Yield the outermost objects in a text that can be read."""
    start = text.find("{")
    while start >= 0:
        depth = 0
        for end in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if not depth:
                break
        value = None if depth else _parsed(text[start : end + 1])
        if isinstance(value, dict):
            yield value
        start = text.find("{", end if isinstance(value, dict) else start + 1)


EXAMPLES = [value for block in _blocks() for value in _objects(block)]
EVENTS = [value for value in EXAMPLES if value.get("type") in CLIENT]
SESSIONS = [value for value in EXAMPLES if value.get("type") == "realtime"]
REPORTED = [value for value in EXAMPLES if "event_id" in value]
SECRETS = [value for value in EXAMPLES if "session" in value and "type" not in value]
CURLS = [
    curl.replace("\\\n", " ")
    for block in _blocks()
    for curl in re.findall(r"^curl .*?(?=^curl |\Z)", block, re.MULTILINE | re.DOTALL)
    if API in curl
]


def test_all_examples_are_found() -> None:
    assert [value["type"] for value in EVENTS].count("session.update") == 6
    assert [value["type"] for value in EVENTS].count("response.create") == 2
    assert len(SESSIONS) == 2
    assert [value["type"].rpartition(".")[2] for value in REPORTED] == ["created", "added", "done"]
    assert len(SECRETS) == 1
    assert [_curl(curl)[1].rpartition("/")[2] for curl in CURLS] == ["accept", "reject", "refer", "hangup"]


def _whole(value: Any) -> Any:
    """Return an example with the rate of PCM, which the client always sends."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if not isinstance(value, dict):
        return value
    rate = {"rate": 24000} if value.get("type") == "audio/pcm" else {}
    return {name: _whole(each) for name, each in value.items()} | rate


# --- events and sessions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_law_no_false_refusal__every_client_event_of_the_guide_is_sent_as_it_is(event: Frame) -> None:
    assert events.client_event(event).to_wire() == _whole(event)

    @virtual
    async def run() -> None:
        async with OpenAIEmulator(strict=False) as openai:
            ringing = await accepted(openai, Program(), {**SESSION, "model": "gpt-realtime"})
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send(**_as_sent(event))
                await peer.until("session.updated" if event["type"] == "session.update" else "response.done")
            assert "error" not in peer.types

    run()


def _as_sent(event: Frame) -> Frame:
    return {"kind" if name == "type" else name: value for name, value in event.items()}


@virtual
async def test_law_no_false_refusal__every_client_event_of_the_guide_passes_the_client() -> None:
    async with OpenAIEmulator(strict=False) as openai, AsyncRealtimeSip(**openai.client_options) as client:
        ringing = await accepted(openai, Program(), {**SESSION, "model": "gpt-realtime"})
        async with client.calls.connect(ringing.call_id) as connected:
            for event in EVENTS:
                await connected.send(event)
            await ringing.until_client_sent("session.update", count=6)
    sent = [{name: value for name, value in event.items() if name != "event_id"} for event in ringing.client_events]
    assert sent == _whole(EVENTS)


@pytest.mark.parametrize("session", SESSIONS, ids=range(len(SESSIONS)))
def test_law_no_false_refusal__every_session_of_the_guide_is_sent_as_it_is(session: Frame) -> None:
    assert RealtimeSession.model_validate(session).to_wire() == _whole(session)


@pytest.mark.parametrize("event", REPORTED, ids=lambda event: event["type"])
def test_every_server_event_of_the_guide_is_known(event: Frame) -> None:
    parsed = events.parse_server_event(json.dumps(event))
    assert not isinstance(parsed, events.UnknownServerEvent)
    assert parsed.event_id == event["event_id"]


# --- requests ---------------------------------------------------------------------------------------------------------


def _curl(command: str) -> tuple[str, str, dict[str, str], str | None]:
    """Return the method, the URL, the headers and the body of a curl command."""
    words = shlex.split(command)
    method, url, headers, body = "GET", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        elif word.startswith("https:"):
            url = word
    return method, url, headers, body


@pytest.mark.parametrize("curl", CURLS, ids=lambda curl: _curl(curl)[1].rpartition("/")[2])
def test_law_no_false_refusal__every_curl_of_the_guide_works_and_the_client_sends_the_same(curl: str) -> None:
    method, url, headers, body = _curl(curl)
    action = url.rpartition("/")[2]

    async def prepared(openai: OpenAIEmulator) -> RingingCall:
        ringing = await openai.ring(Program())
        if action in ("refer", "hangup"):
            assert (await act(openai, ringing, "accept", SESSION)).status_code == 200
        return ringing

    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:
            theirs = await prepared(openai)
            filled = {name: value.replace("$OPENAI_API_KEY", openai.api_key) for name, value in headers.items()}
            async with httpx.AsyncClient(trust_env=False) as plain:
                address = url.replace(API, openai.base_url).replace("$CALL_ID", theirs.call_id)
                answer = await plain.request(method, address, headers=filled, content=body)
            assert (answer.status_code, answer.content) == (200, b"")

            ours = await prepared(openai)
            given = json.loads(body or "{}")
            if action == "accept":
                await client.calls.accept(ours.call_id, given)
            elif action == "reject":
                await client.calls.reject(ours.call_id, **given)
            elif action == "refer":
                await client.calls.refer(ours.call_id, **given)
            else:
                await client.calls.hangup(ours.call_id)
            his, mine = theirs.requests[-1], ours.requests[-1]
            assert his.path.replace(theirs.call_id, "") == mine.path.replace(ours.call_id, "")
            assert (his.operation, his.body or {}) == (mine.operation, mine.body or {})

    run()


@virtual
async def test_a_client_secret_and_a_form_of_a_webrtc_call_are_as_in_the_guide() -> None:
    (form,) = [block for block in _blocks() if "application/sdp" in block]
    path = re.findall(rf'"{API}(/[^"]*)"', form)
    async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:
        for body in SECRETS:
            theirs = (await post(openai, "/client_secrets", json=body)).json()
            ours = await client.client_secrets.create(session=body["session"])
            assert openai.requests[-1].body["session"] == openai.requests[-2].body["session"] == body["session"]
            for key in (theirs["value"], ours.value):
                headers = {"authorization": f"Bearer {key}", "content-type": "application/sdp"}
                async with httpx.AsyncClient(trust_env=False) as plain:
                    answer = await plain.post(openai.base_url + path[0], headers=headers, content=OFFER.encode())
                assert answer.status_code == 201
                created = openai.calls[answer.headers["location"].rpartition("/")[2]].session
                assert created is not None
                assert created["audio"]["output"]["voice"] == body["session"]["audio"]["output"]["voice"]


@virtual
async def test_the_sockets_of_the_guide_are_opened_by_call_and_by_model() -> None:
    queries = re.findall(r"wss://api\.openai\.com/v1/realtime\?(\w+)=", "\n".join(_blocks()))
    assert {*queries} == {"call_id", "model"}
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello.")])
        async with socket(openai, f"call_id={ringing.call_id}") as connection:
            peer = Peer(connection)
            await peer.send(**_as_sent(next(event for event in EVENTS if event["type"] == "response.create")))
            await peer.until("response.done")
        async with socket(openai, "model=gpt-realtime") as connection:
            assert (await Peer(connection).receive())["type"] == "session.created"


# --- the webhook ------------------------------------------------------------------------------------------------------


def test_the_webhook_of_the_guide_is_read_and_its_signature_has_the_form_of_ours() -> None:
    (block,) = [block for block in _blocks() if "webhook-signature:" in block]
    head, _, body = block.partition("\n\n")
    headers = {
        name: re.sub(r"\s#\s.*", "", value).strip()
        for name, _, value in (line.partition(": ") for line in head.splitlines()[1:])
    }
    (event,) = _objects(body)
    sent = json.dumps(event)
    at = int(headers["webhook-timestamp"])
    webhooks = OpenAIWebhooks(SECRET, clock=lambda: at)
    with pytest.raises(WebhookError):
        webhooks.unwrap(sent, headers)  # It is signed with a secret that nobody knows.

    signed = webhooks.sign(sent, id=headers["webhook-id"], timestamp=at)
    assert signed.keys() == {name for name in headers if name.startswith("webhook-")}
    form = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
    assert form.fullmatch(headers["webhook-signature"])
    assert form.fullmatch(signed["webhook-signature"])
    call = webhooks.unwrap(sent, {**headers, **signed})
    assert isinstance(call, IncomingCall)
    assert call.call_id == event["data"]["call_id"]
    given = {header["name"]: header["value"] for header in event["data"]["sip_headers"]}
    assert call.caller is not None
    assert call.caller in given["From"]
    assert [(name, value) for name, value in call.sip] == list(given.items())
