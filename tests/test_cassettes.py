"""The cassettes of vcrpy: each plays on both faces with nobody there, and holds nothing that must not be committed."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import vcr.request
from hypothesis import given
from hypothesis import strategies as st
from vcr.errors import CannotOverwriteExistingCassetteException

import cassette_calls
from cassette_calls import CALL, FOLDER, HEADS, LIVE, OFFER, OPERATIONS, SECRET_WORDS, Operation, cassette, face
from realtime_sip.testing import vcr_config

# Port 9 is nobody's: what is not in the cassette fails.
NOBODY: dict[str, Any] = {"api_key": "sk-nobody", "base_url": "http://127.0.0.1:9/v1"}
NAMES = [operation.name for operation in OPERATIONS]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_a_cassette_plays_on_both_faces(operation: Operation, kind: str) -> None:
    with cassette(operation.name, "none") as played, face(kind, **NOBODY) as ask:
        if operation.raises is None:
            assert operation.result(ask(operation))
        else:
            with pytest.raises(operation.raises):
                ask(operation)
    assert played.play_count


def test_there_is_a_cassette_for_each_operation_and_no_other() -> None:
    live = {operation.name for operation in LIVE}
    assert {path.stem for path in FOLDER.glob("*.yaml")} - live == set(NAMES)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_cassette_says_where_it_was_recorded_and_holds_no_secret(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[0] in HEADS.values()
    for secret in ("sk-", "Bearer", "whsec_", "ek_", "4711", "receptionist", "4155550123", "shop.example.com"):
        assert secret not in text
    assert not re.search(r"\+[0-9]{7,}", text)


@pytest.mark.parametrize("change", ["body", "path", "method"])
def test_another_request_is_not_in_the_cassette(change: str) -> None:
    def other(client: Any) -> Any:
        if change == "body":
            return client.calls.accept(CALL, {**cassette_calls.SESSION, "model": "gpt-realtime-2.1-mini"})
        return client.calls.accept(f"{CALL}0", cassette_calls.SESSION)

    if change == "method":
        operation = Operation("x", lambda client: client.webhook_endpoints.retrieve(cassette_calls.ENDPOINT))
        name = "webhook_endpoint_delete"
    else:
        operation, name = Operation("x", other), "accept"
    with (
        cassette(name, "none"),
        face("sync", **NOBODY) as ask,
        pytest.raises(CannotOverwriteExistingCassetteException),
    ):
        ask(operation)


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLANTED = [SECRET, "sk-proj-abcdef1234567890", "+14155550123", "My card ends in 4242", OFFER]


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("name", ["instructions", "transcript", "sdp", "value", "signing_secret", "anything", "text"])
def test_law_a_planted_secret_does_not_reach_the_cassette(name: str, planted: str) -> None:
    config = vcr_config()
    value = {"session": {name: planted, "audio": {"input": {name: planted}}}, name: planted, "list": [{name: planted}]}
    body = json.dumps(value).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {planted}", "X-Own": planted}
    asked = config["before_record_request"](vcr.request.Request("POST", "https://x/v1/y", body, headers))
    given = {name: [value] for name, value in {**headers, "Set-Cookie": planted}.items()}
    answer: dict[str, Any] = {"headers": given, "body": {"string": body}}
    told = config["before_record_response"](answer)
    for text in (asked.body.decode(), str(asked.headers), str(told)):
        assert planted not in text
    # What the program goes on with is as it was.
    assert answer["body"]["string"] == body


def multipart(boundary: str) -> tuple[bytes, dict[str, str]]:
    parts = [("sdp", "application/sdp", OFFER), ("session", "application/json", json.dumps(cassette_calls.SESSION))]
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n\r\n{text}\r\n'
        for name, kind, text in parts
    ]
    body = "".join([*lines, f"--{boundary}--\r\n"]).encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


@given(*[st.text("abcdefghijklmnop0123456789", min_size=8, max_size=40)] * 2)
def test_a_random_boundary_is_the_same_request(one: str, other: str) -> None:
    scrub = vcr_config()["before_record_request"]
    first, second = (scrub(vcr.request.Request("POST", "https://x/y", *multipart(each))) for each in (one, other))
    assert first.body == second.body
    assert first.headers == second.headers
    assert b'name="sdp"' in first.body
    assert b"gpt-realtime-2.1" in first.body
    assert b"receptionist" not in first.body
    assert b"192.0.2.17" not in first.body


@given(
    st.binary(max_size=200), st.sampled_from(["application/json", "multipart/form-data; boundary=x", "text/xml", ""])
)
def test_whatever_a_body_is_nothing_is_raised_and_scrubbing_twice_is_scrubbing_once(body: bytes, kind: str) -> None:
    config = vcr_config()
    scrub, scrub_answer = config["before_record_request"], config["before_record_response"]
    once = scrub(vcr.request.Request("POST", "https://x/y", body, {"Content-Type": kind}))
    again = scrub(once)
    assert (again.body, again.headers) == (once.body, once.headers)
    told = scrub_answer({"headers": {"Content-Type": [kind]}, "body": {"string": body}})
    assert scrub_answer(told) == told


def test_a_form_of_twilio_has_its_names_and_lengths_alone() -> None:
    uri = f"https://api.twilio.com/2010-04-01/Accounts/AC{'a' * 32}/Calls.json?To=%2B14155550123"
    body = b"To=%2B14155550123&From=%2B14155550100&Twiml=%3CResponse%2F%3E&Empty="
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    asked = vcr_config()["before_record_request"](vcr.request.Request("POST", uri, body, kind))
    assert asked.uri == f"https://api.twilio.com/2010-04-01/Accounts/AC{'0' * 32}/Calls.json?To=%2B00000000000"
    assert asked.body == b"To=%3C12%20chars%3E&From=%3C12%20chars%3E&Twiml=%3C11%20chars%3E&Empty="


@pytest.mark.live
@pytest.mark.parametrize("operation", LIVE, ids=[operation.name for operation in LIVE])
def test_what_needs_no_call_goes_to_the_service_itself(operation: Operation) -> None:
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        pytest.skip("OPENAI_API_KEY is not set")
    with cassette(operation.name, "all", source="service"), face("sync", api_key=key) as ask:
        assert operation.result(ask(operation))
    assert SECRET_WORDS not in (FOLDER / f"{operation.name}.yaml").read_text()
