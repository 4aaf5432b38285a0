"""The emulated calls API, driven with plain httpx."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from emulated import SESSION, SPEED, Peer, Program, accepted, act, auth, error_of, post, sideband, socket
from realtime_sip.testing import Behavior, CallerHangsUp, CallState, EndedBy, OpenAIEmulator, Timings, run_virtual

ACTIONS = [("accept", SESSION), ("reject", None), ("refer", {"target_uri": "tel:+14155550101"}), ("hangup", None)]


@pytest.mark.parametrize(("action", "body"), ACTIONS)
async def test_an_unknown_call_is_not_found(openai: OpenAIEmulator, action: str, body: Any) -> None:
    response = await post(openai, f"/calls/rtc_nobody/{action}", json=body)
    assert response.status_code == 404
    assert error_of(response)["code"] == "call_id_not_found"
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("header", [{"authorization": "Bearer sk-other"}, {"authorization": ""}])
@pytest.mark.parametrize("path", ["/calls/rtc_nobody/accept", "/calls", "/client_secrets"])
async def test_a_wrong_key_is_refused_without_being_repeated(
    openai: OpenAIEmulator, header: dict[str, str], path: str
) -> None:
    response = await post(openai, path, headers=header)
    assert response.status_code == 401
    assert "sk-other" not in response.text
    assert response.headers["x-request-id"]


async def test_unknown_urls_and_methods_are_refused(openai: OpenAIEmulator) -> None:
    assert error_of(await post(openai, "/nothing"))["code"] == "unknown_url"
    async with httpx.AsyncClient(trust_env=False, headers=auth(openai)) as client:
        response = await client.get(f"{openai.base_url}/realtime/calls/rtc_x/accept")
        plain = await client.get(f"{openai.base_url}/realtime?call_id=rtc_x")
    assert response.status_code == 405
    assert plain.status_code == 426


async def test_accept_answers_200_with_nothing_and_the_session_is_recorded(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    assert ringing.state is CallState.RINGING
    response = await act(openai, ringing, "accept", SESSION)
    assert (response.status_code, response.content) == (200, b"")
    await ringing.until_accepted()
    assert ringing.accepted_session == SESSION
    assert [(seen.operation, seen.status, seen.body) for seen in ringing.requests] == [("accept", 200, SESSION)]


@pytest.mark.parametrize("status", [404, 409])
@pytest.mark.parametrize("second", ["accept", "reject"])
async def test_a_second_decision_was_made_already(openai: OpenAIEmulator, url: str, status: Any, second: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(second_decision=status))
    response = await act(openai, ringing, second, SESSION if second == "accept" else None)
    assert response.status_code == status
    assert error_of(response)["code"] == "decision_already_made"
    assert ringing.state is CallState.ACCEPTED


async def test_a_rejected_call_cannot_be_accepted(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    assert (await act(openai, ringing, "reject")).status_code == 200
    assert error_of(await act(openai, ringing, "accept", SESSION))["code"] == "decision_already_made"
    assert ringing.accepted_session is None


BAD_SESSIONS: list[tuple[Any, str, str | None]] = [
    ({"model": "gpt-realtime-2.1"}, "missing_required_parameter", "type"),
    ({"type": "transcription"}, "invalid_value", "type"),
    ({"type": "realtime", "modalities": ["audio"]}, "unknown_parameter", "modalities"),
    ({"type": "realtime", "voice": "alloy"}, "unknown_parameter", "voice"),
    ({"type": "realtime", "colour": "red"}, "unknown_parameter", "colour"),
    ({"type": "realtime", "extra_fields": {}}, "unknown_parameter", "extra_fields"),
    (
        {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 1}}}},
        "invalid_value",
        "audio.input.turn_detection.idle_timeout_ms",
    ),
    ({"type": "realtime", "tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
    (["realtime"], "invalid_type", None),
]


@pytest.mark.parametrize(("session", "code", "param"), BAD_SESSIONS)
async def test_a_session_that_is_not_valid_is_refused_and_the_call_rings_on(
    openai: OpenAIEmulator, url: str, session: Any, code: str, param: str | None
) -> None:
    ringing = await openai.ring(url)
    response = await act(openai, ringing, "accept", session)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert ringing.state is CallState.RINGING
    assert (await act(openai, ringing, "accept", SESSION)).status_code == 200


async def test_a_body_that_is_no_json_is_refused(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    assert (await post(openai, f"/calls/{ringing.call_id}/accept", content=b"{not json")).status_code == 400
    assert (await post(openai, f"/calls/{ringing.call_id}/accept")).status_code == 400
    assert (await post(openai, f"/calls/{ringing.call_id}/reject", content=b"{not json")).status_code == 400


async def test_an_accept_may_lie(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url, behavior=Behavior(bad_accept="believed"))
    assert (await act(openai, ringing, "accept", {"modalities": ["audio"]})).status_code == 200
    assert (await ringing.ended()).by is EndedBy.FAILED
    with pytest.raises(InvalidStatus) as refused:
        await sideband(openai, ringing)
    assert refused.value.response.status_code == 404
    assert b"call_id_not_found" in (refused.value.response.body or b"")


async def test_a_model_that_will_be_shut_down_is_still_accepted(openai: OpenAIEmulator, url: str) -> None:
    session = {
        "type": "realtime",
        "model": "gpt-realtime",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},
    }
    ringing = await accepted(openai, url, session)
    assert ringing.session is not None
    assert ringing.session["model"] == "gpt-realtime"
    assert ringing.session["audio"]["input"]["transcription"]["model"] == "whisper-1"


@pytest.mark.parametrize(
    ("body", "status"), [(None, 603), ({}, 603), ({"status_code": 486}, 486), ({"status_code": 503}, 503)]
)
async def test_reject_ends_the_call_with_a_status(openai: OpenAIEmulator, url: str, body: Any, status: int) -> None:
    ringing = await openai.ring(url)
    assert (await act(openai, ringing, "reject", body)).status_code == 200
    end = await ringing.ended()
    assert (end.by, end.status_code, end.close_code) == (EndedBy.REJECTED, status, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"status_code": "486"}, "invalid_type"),
        ({"status_code": True}, "invalid_type"),
        ({"reason": "busy"}, "unknown_parameter"),
        ([], "invalid_type"),
    ],
)
async def test_reject_refuses_other_bodies(openai: OpenAIEmulator, url: str, body: Any, code: str) -> None:
    ringing = await openai.ring(url)
    response = await act(openai, ringing, "reject", body)
    assert (response.status_code, error_of(response)["code"]) == (400, code)
    assert ringing.state is CallState.RINGING


async def test_refer_lets_the_caller_leave(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    response = await act(openai, ringing, "refer", {"target_uri": "tel:+14155550101"})
    assert (response.status_code, response.content) == (200, b"")
    end = await ringing.ended()
    assert (end.by, end.target_uri) == (EndedBy.TRANSFERRED, "tel:+14155550101")


async def test_refer_may_be_ignored(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url, behavior=Behavior(refer="ignored"))
    assert (await act(openai, ringing, "refer", {"target_uri": "tel:+14155550101"})).status_code == 200
    assert (await act(openai, ringing, "hangup")).status_code == 200
    assert (await ringing.ended()).by is EndedBy.AGENT


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"target_uri": " "}, "invalid_value"),
        ({"target_uri": "tel:+14155550101", "headers": {}}, "unknown_parameter"),
    ],
)
async def test_refer_needs_a_target_alone(openai: OpenAIEmulator, url: str, body: Any, code: str) -> None:
    ringing = await accepted(openai, url)
    response = await act(openai, ringing, "refer", body)
    assert (response.status_code, error_of(response)["code"]) == (400, code)


@pytest.mark.parametrize(("action", "body"), ACTIONS[2:])
async def test_refer_and_hangup_do_not_find_a_call_that_rings(
    openai: OpenAIEmulator, url: str, action: str, body: Any
) -> None:
    ringing = await openai.ring(url)
    assert error_of(await act(openai, ringing, action, body))["code"] == "call_id_not_found"
    assert ringing.state is CallState.RINGING


async def test_hangup_ends_the_call_once_and_takes_no_body(openai: OpenAIEmulator, url: str) -> None:
    ringing = await accepted(openai, url)
    assert (await act(openai, ringing, "hangup", {"reason": "bye"})).status_code == 400
    assert (await act(openai, ringing, "hangup")).status_code == 200
    assert (await ringing.ended()).by is EndedBy.AGENT
    for action, body in ACTIONS:
        assert error_of(await act(openai, ringing, action, body))["code"] == "call_id_not_found"


def test_a_call_may_be_not_found_at_first(url: str) -> None:
    async def run() -> list[int]:
        async with OpenAIEmulator(timings=Timings(attach=0.0), behavior=Behavior(early=0.2)) as openai:
            ringing = await openai.ring(url)
            statuses: list[int] = []
            for action, body in ("accept", SESSION), ("hangup", None):
                response = await act(openai, ringing, action, body)
                statuses.append(response.status_code)
                while response.status_code == 404:
                    await asyncio.sleep(0.02)
                    response = await act(openai, ringing, action, body)
                assert response.status_code == 200
            return statuses

    # The time in which it is early is that of the emulator's clock, whatever the machine does meanwhile.
    assert run_virtual(run()) == [404, 404]


async def test_a_phone_that_nobody_answers_rings_out(url: str) -> None:
    async with OpenAIEmulator(speed=SPEED, timings=Timings(ring=5, least_patience=0.05)) as openai:
        ringing = await openai.ring(url)
        assert (await ringing.ended()).by is EndedBy.NOT_ANSWERED
        assert error_of(await act(openai, ringing, "accept", SESSION))["code"] == "call_id_not_found"


async def test_a_call_that_was_given_up_while_it_rang_can_be_accepted_for_nobody(
    openai: OpenAIEmulator, url: str
) -> None:
    ringing = await openai.ring(url, scenario=[CallerHangsUp(while_ringing=True)])
    await ringing.until_delivered()
    assert (await act(openai, ringing, "accept", SESSION)).status_code == 200
    async with sideband(openai, ringing) as connection:
        await connection.send('{"type": "session.update", "session": {"type": "realtime"}}')
        assert "session.updated" in str(await connection.recv())
        assert ringing.state is CallState.ACCEPTED
        await act(openai, ringing, "hangup")
    assert (await ringing.ended()).by is EndedBy.AGENT


async def test_a_call_that_was_given_up_while_it_rang_may_be_gone(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url, scenario=[CallerHangsUp(while_ringing=True)], behavior=Behavior(canceled="gone"))
    assert (await ringing.ended()).by is EndedBy.CALLER
    assert error_of(await act(openai, ringing, "accept", SESSION))["code"] == "call_id_not_found"


async def test_the_beta_header_is_refused(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    response = await post(
        openai, f"/calls/{ringing.call_id}/accept", json=SESSION, headers={"OpenAI-Beta": "realtime=v1"}
    )
    assert (response.status_code, error_of(response)["code"]) == (400, "beta_api_shape_disabled")


async def test_a_call_id_is_taken_from_an_escaped_path(openai: OpenAIEmulator, url: str) -> None:
    ringing = await openai.ring(url)
    escaped = ringing.call_id.replace("_", "%5F")
    assert (await post(openai, f"/calls/{escaped}/accept", json=SESSION)).status_code == 200


OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


async def test_a_webrtc_call_is_created_from_parts(openai: OpenAIEmulator) -> None:
    files = {
        "sdp": (None, OFFER, "application/sdp"),
        "session": (None, '{"type": "realtime", "instructions": "Be brief."}', "application/json"),
    }
    response = await post(openai, "/calls", files=files)
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/sdp"
    assert response.text.startswith("v=0")
    location = response.headers["location"]
    assert location.startswith("/v1/realtime/calls/rtc_")
    ringing = openai.calls[location.rpartition("/")[2]]
    assert ringing.session is not None
    assert ringing.session["instructions"] == "Be brief."
    async with sideband(openai, ringing):
        assert (await act(openai, ringing, "hangup")).status_code == 200
    assert (await ringing.ended()).by is EndedBy.AGENT


@pytest.mark.parametrize(
    "request_parts",
    [
        {"files": {"session": (None, "{}", "application/json")}},
        {"files": {"sdp": (None, "hello", "application/sdp")}},
        {"files": {"sdp": (None, OFFER), "session": (None, "{")}},
        {"files": {"sdp": (None, OFFER), "session": (None, '{"modalities": []}')}},
        {"content": b"hello", "headers": {"content-type": "application/sdp"}},
        {"json": {"sdp": OFFER}},
    ],
)
async def test_a_webrtc_call_needs_an_offer_and_a_valid_session(
    openai: OpenAIEmulator, request_parts: dict[str, Any]
) -> None:
    assert (await post(openai, "/calls", **request_parts)).status_code == 400
    assert not openai.calls


async def test_a_client_secret_opens_calls_with_its_session(openai: OpenAIEmulator, url: str) -> None:
    body = {"expires_after": {"anchor": "created_at", "seconds": 60}, "session": SESSION}
    response = await post(openai, "/client_secrets", json=body)
    assert response.status_code == 200
    secret = response.json()
    assert secret["value"].startswith("ek_")
    assert set(secret) == {"value", "expires_at", "session"}
    assert secret["session"]["object"] == "realtime.session"
    assert secret["session"]["id"].startswith("sess_")
    assert secret["session"]["expires_at"] == secret["expires_at"]
    ephemeral = {"authorization": f"Bearer {secret['value']}"}
    created = await post(
        openai, "/calls", content=OFFER.encode(), headers={**ephemeral, "content-type": "application/sdp"}
    )
    assert created.status_code == 201
    session = openai.calls[created.headers["location"].rpartition("/")[2]].session
    assert session is not None
    assert session["instructions"] == "Be brief."
    ringing = await openai.ring(url)
    refused = await post(openai, f"/calls/{ringing.call_id}/accept", json=SESSION, headers=ephemeral)
    assert refused.status_code == 401


@pytest.mark.parametrize("seconds", [9, 7201, "600", True])
async def test_a_client_secret_lives_10_seconds_to_2_hours(openai: OpenAIEmulator, seconds: Any) -> None:
    response = await post(openai, "/client_secrets", json={"expires_after": {"seconds": seconds}})
    assert (response.status_code, error_of(response)["param"]) == (400, "expires_after.seconds")


async def test_a_client_secret_may_be_for_transcription_and_needs_no_body(openai: OpenAIEmulator) -> None:
    assert (await post(openai, "/client_secrets")).status_code == 200
    response = await post(openai, "/client_secrets", json={"session": {"type": "transcription"}})
    assert response.json()["session"]["type"] == "transcription"
    assert (await post(openai, "/client_secrets", json={"session": {"type": "translation"}})).status_code == 400
    assert (await post(openai, "/client_secrets", json={"model": "gpt-realtime-2.1"})).status_code == 400


@pytest.mark.parametrize("by", ["accept", "session.update"])
async def test_law_no_false_refusal__an_audio_format_is_taken_with_a_warning(
    by: str, openai: OpenAIEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    formats = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcm"}}}
    session = {"type": "realtime", "audio": formats}
    ringing = await accepted(openai, Program(), session if by == "accept" else SESSION)
    async with sideband(openai, ringing) as connection:
        if by == "session.update":
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime", "audio": {"output": {"voice": "marin"}}})
            await peer.until("session.updated")
            assert ringing.notes == []
            await peer.send("session.update", session=session)
            shown = (await peer.until("session.updated"))["session"]["audio"]
            assert shown["input"]["format"] == {"type": "audio/pcmu"}
    for side in ("input", "output"):
        assert len([note for note in ringing.notes if f"{by} sets audio.{side}.format" in note]) == 1
        assert f"{by} sets audio.{side}.format" in caplog.text


async def test_an_audio_format_of_a_primary_socket_is_nothing_strange(
    openai: OpenAIEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    expected = openai.expect_socket()
    async with socket(openai, "model=gpt-realtime-2.1") as connection:
        peer = Peer(connection)
        await peer.send(
            "session.update", session={"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        )
        await peer.until("session.updated")
    assert expected.notes == []
    assert "format" not in caplog.text
