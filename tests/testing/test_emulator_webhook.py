"""The webhooks that the emulator sends."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

import emulated
from emulated import SESSION, Delivery, Endpoint
from realtime_sip import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import CallState, OpenAIEmulator, RingingCall, ScenarioError, Timings


def _headers(delivery: Delivery) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for header in delivery.event["data"]["sip_headers"]:
        found[header["name"]].append(header["value"])
    return found


async def _rung(openai: OpenAIEmulator, endpoint: Endpoint, **options: Any) -> RingingCall:
    ringing = await openai.ring(endpoint.url, **options)
    await ringing.until_delivered()
    return ringing


async def test_a_call_is_told_with_a_signed_webhook(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    ringing = await _rung(openai, endpoint)
    (delivery,) = endpoint.deliveries
    assert delivery.headers["user-agent"] == "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
    assert delivery.headers["content-type"] == "application/json"
    Webhook(openai.webhook_secret).verify(delivery.body, delivery.headers)
    event = delivery.event
    assert (event["object"], event["type"]) == ("event", "realtime.call.incoming")
    assert event["id"].startswith("evt_")
    assert abs(event["created_at"] - time.time()) < 60
    assert event["data"]["call_id"] == ringing.call_id
    assert event["data"]["sip_media_security"] == "srtp"
    headers = _headers(delivery)
    assert "+14155550100" in headers["From"][0]
    assert headers["To"] == ["<sip:proj_emulator@sip.api.openai.com;transport=tls>"]
    assert "+14155550199" in headers["Diversion"][0]
    assert headers["X-Twilio-CallSid"][0].startswith("CA")
    (answer,) = ringing.webhook_responses
    assert (answer.webhook_id, answer.status_code, answer.attempt) == (delivery.headers["webhook-id"], 200, 1)


async def test_a_call_is_told_to_an_endpoint_that_was_made_here_with_its_own_secret(
    openai: OpenAIEmulator, endpoint: Endpoint
) -> None:
    def is_signed_with(secret: str | None) -> bool:
        try:
            Webhook(secret or "").verify(endpoint.deliveries[-1].body, endpoint.deliveries[-1].headers)
        except WebhookVerificationError:
            return False
        return True

    async with AsyncRealtimeSip(**openai.client_options) as client:
        made = await client.webhook_endpoints.create(name="Shop", url=endpoint.url)
        await _rung(openai, endpoint)
        assert is_signed_with(made.signing_secret)
        assert not is_signed_with(openai.webhook_secret)

        kept = await client.webhook_endpoints.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        await _rung(openai, endpoint)
        assert [is_signed_with(each.signing_secret) for each in (made, kept)] == [True, True]

        rotated = await client.webhook_endpoints.rotate_secret(made.id)
        await _rung(openai, endpoint)
        assert [is_signed_with(each.signing_secret) for each in (made, kept, rotated)] == [False, False, True]

        await client.webhook_endpoints.delete(made.id)
        await _rung(openai, endpoint)
        assert is_signed_with(openai.webhook_secret)


async def test_numbers_and_headers_are_chosen(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    await _rung(
        openai,
        endpoint,
        caller="+14155550111",
        dialed="+14155550122",
        sip_headers=[("X-Tag", "a"), ("x-tag", "b"), ("to", "<sip:other@example.com>")],
        media_security=None,
    )
    (delivery,) = endpoint.deliveries
    headers = _headers(delivery)
    assert "+14155550111" in headers["From"][0]
    assert "+14155550122" in headers["Diversion"][0]
    assert (headers["X-Tag"], headers["x-tag"]) == (["a"], ["b"])
    assert "To" not in headers
    assert headers["to"] == ["<sip:other@example.com>"]
    assert "sip_media_security" not in delivery.event["data"]


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_anything_but_2xx_is_repeated_with_the_same_id_and_a_new_signature(
    openai: OpenAIEmulator, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    seconds = itertools.count(int(time.time()))
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    endpoint.answer = lambda delivery: status if len(endpoint.deliveries) < 3 else 204
    endpoint.location = endpoint.url + "/elsewhere"
    ringing = await _rung(openai, endpoint)
    assert [answer.taken for answer in ringing.webhook_responses] == [False, False, True]
    assert {delivery.path for delivery in endpoint.deliveries} == {"/openai"}
    assert len({delivery.headers["webhook-id"] for delivery in endpoint.deliveries}) == 1
    assert len({delivery.headers["webhook-timestamp"] for delivery in endpoint.deliveries}) == 3
    assert len({delivery.headers["webhook-signature"] for delivery in endpoint.deliveries}) == 3
    assert len({delivery.body for delivery in endpoint.deliveries}) == 1
    for delivery in endpoint.deliveries:
        Webhook(openai.webhook_secret).verify(delivery.body, delivery.headers)


async def test_an_endpoint_that_does_not_answer_in_time_gets_it_again(endpoint: Endpoint) -> None:
    calls: dict[str, RingingCall] = {}

    def answer(delivery: Delivery) -> int:
        if len(endpoint.deliveries) == 1:
            while not calls["ringing"].webhook_responses:
                time.sleep(0.01)
        return 200

    endpoint.answer = answer
    async with OpenAIEmulator(speed=1, timings=Timings(webhook_timeout=0.2, webhook_retry=0.01)) as openai:
        calls["ringing"] = ringing = await openai.ring(endpoint.url)
        await ringing.until_delivered()
        assert [answer.status_code for answer in ringing.webhook_responses] == [None, 200]


async def test_several_endpoints_have_ids_of_their_own(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    with emulated.endpoint() as other:
        ringing = await openai.ring([endpoint.url, other.url])
        await ringing.until_delivered(count=2)
        (here,), (there,) = endpoint.deliveries, other.deliveries
    assert here.body == there.body
    assert here.headers["webhook-id"] != there.headers["webhook-id"]


async def test_a_delivery_may_come_twice(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    ringing = await openai.ring(endpoint.url, duplicates=1)
    await ringing.until_delivered(count=2)
    assert len(endpoint.deliveries) == 2
    assert len({delivery.headers["webhook-id"] for delivery in endpoint.deliveries}) == 1


async def test_a_late_delivery_says_how_old_it_is(endpoint: Endpoint) -> None:
    async with OpenAIEmulator(speed=10_000) as openai:
        await _rung(openai, endpoint, late=600)
    (delivery,) = endpoint.deliveries
    Webhook(openai.webhook_secret).verify(delivery.body, delivery.headers)
    assert 540 < time.time() - delivery.event["created_at"] < 660


async def test_a_sync_program_accepts_before_it_answers(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    def answer(delivery: Delivery) -> int:
        with httpx.Client(trust_env=False, headers={"authorization": f"Bearer {openai.api_key}"}) as client:
            call_id = delivery.event["data"]["call_id"]
            return client.post(f"{openai.base_url}/realtime/calls/{call_id}/accept", json=SESSION).status_code

    endpoint.answer = answer
    ringing = await _rung(openai, endpoint)
    assert ringing.state is CallState.ACCEPTED
    assert [answer.status_code for answer in ringing.webhook_responses] == [200]


async def test_an_endpoint_that_is_not_there_is_tried_again(openai: OpenAIEmulator) -> None:
    ringing = await openai.ring("http://127.0.0.1:9/")
    with pytest.raises(ScenarioError, match="expected 1 2xx to the webhook"):
        await ringing.until_delivered(timeout=0.3)
    assert len(ringing.webhook_responses) > 1
    assert {answer.status_code for answer in ringing.webhook_responses} == {None}


@pytest.mark.parametrize("target", [[], "ftp://example.com", "127.0.0.1:8000", ["http://127.0.0.1:9/"] * 21])
async def test_a_target_that_is_no_endpoint_is_refused(openai: OpenAIEmulator, target: Any) -> None:
    with pytest.raises(ConfigurationError):
        await openai.ring(target)


def test_the_secret_of_an_endpoint_is_chosen_or_made() -> None:
    assert OpenAIEmulator(webhook_secret="whsec_c2VjcmV0").webhook_secret == "whsec_c2VjcmV0"
    assert OpenAIEmulator().webhook_secret != OpenAIEmulator().webhook_secret
