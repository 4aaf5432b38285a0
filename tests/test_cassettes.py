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
from record_cassettes import record

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


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_a_cassette_is_what_the_emulator_says_today(operation: Operation, tmp_path: Path) -> None:
    recorded = record(operation, tmp_path)
    assert recorded.read_text("utf-8") == (FOLDER / recorded.name).read_text("utf-8")


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


NUMBER, KEY, WORDS = "+14155550123", "sk-proj-abcdef1234567890", "My card ends in 4242"


@pytest.mark.parametrize(
    "uri",
    [
        *("?To=%2B14155550123", "?To=14155550123", "?To=%2B1%20415%20555%200123", "?x=%252B14155550123", f"?key={KEY}"),
        *(f"?token={SECRET}", "?Body=My%20card%20ends%20in%204242", "?14155550123=1", "?after=14155550123"),
        *("PhoneNumbers/14155550123", "PhoneNumbers/%2B14155550123", "x/%252B14155550123", "x/whatsapp:+14155550123"),
        *("x/whatsapp%3A14155550123", "x/+1%20415%20555%200123", "x/+1-415-555-0123", f"keys/{KEY}", f"keys/{SECRET}"),
        "y#+14155550123",
    ],
)
def test_law_a_planted_secret_in_a_url_does_not_reach_the_cassette(uri: str) -> None:
    config = vcr_config()
    whole = f"https://user:{SECRET}@api.example.com/v1/{uri}"
    asked = config["before_record_request"](vcr.request.Request("GET", whole, b"", {}))
    answer: dict[str, Any] = {"headers": {"Location": [whole]}, "body": {"string": b""}}
    (location,) = config["before_record_response"](answer)["headers"]["Location"]
    assert location == asked.uri
    for secret in ("4155550123", "555-0123", "555%200123", "4242", KEY, SECRET):
        assert secret not in asked.uri
    again = config["before_record_request"](asked)
    assert again.uri == asked.uri
    assert asked.uri.startswith("https://api.example.com/v1/")


@pytest.mark.parametrize(
    "uri",
    [
        "/v1/realtime/calls/rtc_u0_cassette0000000000001/accept",
        "/v1/webhook_endpoints?limit=20&after=wep_cassette0000000000001",
        f"/2010-04-01/Accounts/AC{'0' * 32}/Calls/CA{'a1' * 16}.json?PageSize=50&Page=0",
    ],
)
def test_what_tells_requests_apart_in_a_url_stays(uri: str) -> None:
    asked = vcr_config()["before_record_request"](vcr.request.Request("GET", f"https://x{uri}", b"", {}))
    assert asked.uri == f"https://x{uri}"


def test_law_a_planted_secret_in_names_headers_and_reasons_does_not_reach_the_cassette() -> None:
    config = vcr_config()
    part = f'--b\r\nContent-Disposition: form-data; name="{NUMBER}"; filename="{KEY}"\r\n\r\n{WORDS}\r\n--b--\r\n'
    sip = [{"name": "From", "value": f'"Ada" <sip:{NUMBER}@sip.example.com>;tag=1'}, {"name": NUMBER, "value": WORDS}]
    for body, kind in [
        (part, "multipart/form-data; boundary=b"),
        (part, f"multipart/form-data; boundary={NUMBER}"),
        (f"%2B14155550123=1&Body={WORDS}", "application/x-www-form-urlencoded"),
        (f"%2B14155550123=1&Body={WORDS}", f"text/plain; number={NUMBER}"),
        (json.dumps({"data": {"call_id": "rtc_1", "sip_headers": sip}, "n14155550123": 1}), "application/json"),
        (f"data: {json.dumps({'delta': WORDS})}\n\n", "text/event-stream"),
        (f"{NUMBER}\x1f\x8b{WORDS}", "application/json"),
        (json.dumps({"error": {"message": f"{KEY} {NUMBER}", "param": NUMBER, "code": WORDS}}), "application/json"),
    ]:
        headers = {"Content-Type": kind, "Accept": KEY, "OpenAI-Beta": NUMBER, "Host": "14155550123.example.com"}
        asked = config["before_record_request"](vcr.request.Request("POST", "https://x/y", body.encode(), headers))
        answer: dict[str, Any] = {
            "status": {"code": 400, "message": f"{NUMBER} {WORDS}"},
            "headers": {"Content-Type": [kind], "X-Request-Id": [NUMBER]},
            "body": {"string": body.encode()},
        }
        told = config["before_record_response"](answer)
        assert told["status"] == {"code": 400, "message": "Bad Request"}
        for text in (str(asked.body), str(asked.headers), str(told)):
            for secret in ("4155550123", KEY, WORDS, "Ada"):
                assert secret not in text


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
    assert asked.uri == f"https://api.twilio.com/2010-04-01/Accounts/AC{'0' * 32}/Calls.json?To=%3C12%20chars%3E"
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
