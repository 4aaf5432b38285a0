"""What is of the wrong kind is refused at the door of `answer` and of the clients, with advice."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from typing import Any

import pytest

from phone import SESSION, phone, virtual
from realtime_sip import (
    AsyncRealtimeSip,
    Call,
    CallHost,
    CallLimits,
    Endpoints,
    EndReason,
    IncomingCall,
    RealtimeSession,
    RealtimeSip,
    Router,
)
from realtime_sip.call import plausible
from realtime_sip.errors import ConfigurationError, MisuseError, ServiceError, WebhookVerificationError
from realtime_sip.testing import CallerHangsUp, ModelSays
from realtime_sip.webhooks import OpenAIWebhooks

HELLO = ModelSays("Good morning.")


async def look() -> str:
    """Look."""
    return "seen"


@pytest.mark.parametrize(
    ("option", "wrong", "advice"),
    [
        ("tools", [look], "Tools"),
        ("tools", look, "Tools"),
        ("limits", {}, "CallLimits"),
        ("limits", {"silence": 5}, "CallLimits"),
        ("transfers", {"billing": "tel:+14155550123"}, "TransferTargets"),
        ("escalation", 3, "EscalationRules"),
        ("rates", {}, "RateCard"),
        ("event_log", "calls", "EventLogFolder"),
        ("consent", True, "function"),
        ("approve_mcp", True, "function"),
        ("check_tool", "no", "function"),
        ("check_speech", ["bad"], "function"),
        ("greet_undisturbed", "yes", "True or False"),
    ],
)
@virtual
async def test_law_a_wrong_kind_is_refused_at_the_door__of_answer(option: str, wrong: Any, advice: str) -> None:
    async with phone() as line:
        with pytest.raises(ConfigurationError, match=f"^{option} must be .*{advice}"):
            line.client.calls.answer("rtc_1", SESSION, **{option: wrong})


@virtual
async def test_law_a_wrong_kind_is_refused_at_the_door__of_answer_what_is_no_call() -> None:
    async with phone() as line:
        with pytest.raises(ConfigurationError, match="incoming must be"):
            line.client.calls.answer({"call_id": "rtc_1"}, SESSION)  # type: ignore[arg-type]


@virtual
async def test_a_limit_of_cost_names_the_models_that_have_a_price() -> None:
    async with phone() as line:
        with pytest.raises(ConfigurationError, match="gpt-realtime"):
            async with line.client.calls.answer("rtc_1", {"model": "gpt-of-mine"}, limits=CallLimits(max_cost=1.0)):
                raise AssertionError


@virtual
async def test_a_limit_of_cost_goes_by_the_prices_of_the_host() -> None:
    session = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    async with phone() as line:
        there = line.client.with_options(endpoints=Endpoints.EU)
        with pytest.raises(ConfigurationError, match="for this host; it has gpt-realtime, ") as refused:
            async with there.calls.answer("rtc_1", session, limits=CallLimits(max_cost=1.0)):
                raise AssertionError
    assert "whisper" not in str(refused.value)


@virtual
async def test_an_answer_that_is_no_block_says_so() -> None:
    async with phone() as line:
        with pytest.raises(MisuseError, match="async with"):
            await line.client.calls.answer("rtc_1", SESSION)  # type: ignore[misc]
        with pytest.raises(MisuseError, match="async with"), line.client.calls.answer("rtc_1", SESSION):  # type: ignore[attr-defined]
            raise AssertionError
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            line.client.calls.answer("rtc_1", SESSION)
            gc.collect()
        assert ["async with" in str(warning.message) for warning in told] == [True]


@virtual
async def test_law_two_iterations_over_one_call_are_an_error() -> None:
    refused: list[MisuseError] = []

    async def read(call: Call) -> None:
        try:
            async for _ in call:
                pass
        except MisuseError as error:
            refused.append(error)

    async def talk(call: Call) -> None:
        readers = [asyncio.create_task(read(call)) for _ in range(2)]
        call.respond("Greet the caller.")
        await asyncio.wait(readers)

    async with phone() as line:
        await line.played(HELLO, CallerHangsUp(), talk=talk)
    assert len(refused) == 1


@virtual
async def test_one_iteration_after_the_other_is_fine() -> None:
    seen: list[str] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        for _ in range(2):
            async for event in call:
                seen.append(event.type)
                break
        await call.wait_ended()

    async with phone() as line:
        ended, _ = await line.played(HELLO, CallerHangsUp(), talk=talk)
    assert len(seen) == 2
    assert ended.reason is EndReason.CALLER


@pytest.mark.parametrize("client", [RealtimeSip, AsyncRealtimeSip])
@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"api_key": "whsec_c2VjcmV0"}, "sk-"),
        ({"api_key": "proj_abc"}, "sk-"),
        ({"api_key": "org-abc"}, "sk-"),
        ({"api_key": "sk-a", "webhook_secret": "sk-b"}, "whsec_"),
        ({"api_key": "sk-a", "webhook_secret": "ek_b"}, "whsec_"),
        ({"api_key": "sk-a", "webhook_secret": ["whsec_c2VjcmV0", "proj_b"]}, "whsec_"),
        ({"api_key": "sk-a", "webhook_secret": {"proj_b": "whsec_c2VjcmV0"}}, "whsec_"),
        ({"api_key": "sk-a", "base_url": "https://api.openai.com"}, "/v1"),
        ({"api_key": "sk-a", "base_url": "https://eu.api.openai.com/realtime"}, "/v1"),
    ],
)
def test_law_what_cannot_be_is_refused_at_start(client: Any, options: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as refused:
        client(**options)
    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize("base_url", ["https://gateway.example/v1/openai", "https://a.openai.azure.com/openai/v1/"])
def test_a_base_url_of_a_gateway_is_taken(base_url: str) -> None:
    with RealtimeSip("sk-a", base_url=base_url) as client:
        assert client.settings.endpoints.api == base_url.rstrip("/")


def test_a_signature_of_a_body_that_was_written_again_is_told_as_that() -> None:
    webhooks = OpenAIWebhooks("whsec_c2VjcmV0", clock=lambda: 1750287078)
    body = b'{"type":"realtime.call.incoming","data":{"call_id":"rtc_1","sip_headers":[]}}'
    headers = webhooks.sign(body, id="wh_1", timestamp=1750287078)
    with pytest.raises(WebhookVerificationError, match="parsed and written again") as refused:
        webhooks.unwrap(json.dumps(json.loads(body)), headers)
    assert refused.value.reason == "no_match"


@virtual
async def test_law_an_end_is_reported_only_if_it_was__a_reject_that_got_401_is_not() -> None:
    async def on_call(incoming: IncomingCall) -> None:
        with pytest.raises(ServiceError):
            await line.client.calls.reject(incoming.call_id)

    async with phone(strict=False) as line:
        line.openai.fail("reject", status=401, times=10)
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host)
        ended = await line.host.ended(ringing.call_id) if await _submitted(line, ringing) else None
        assert ended is not None
        assert ended.certainty == "inferred"
        assert "AuthenticationError" in ended.evidence
        ringing.hang_up()
        await line.idle()


async def _submitted(line: Any, ringing: Any) -> bool:
    await ringing.until_delivered(timeout=60)
    return True


@pytest.mark.parametrize(
    ("session", "doubt"),
    [
        ({"model": "gpt-realtme-2.1"}, "is it gpt-realtime-2.1?"),
        ({"model": "gpt-realtime-2.1-2026-05-01"}, None),
        ({"model": "llama-of-mine"}, None),
        ({"model": "gpt-realtime-2.1", "audio": {"output": {"voice": "alloi"}}}, "alloy, ash"),
        ({"model": "gpt-realtime-2.1", "audio": {"output": {"voice": "marin"}}}, None),
    ],
)
def test_a_voice_or_a_model_that_may_be_a_slip_is_warned_of_once(
    session: dict[str, Any], doubt: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_incoming: IncomingCall, _session: RealtimeSession) -> None:
        raise AssertionError

    plausible._told.clear()
    for _ in range(2):
        Router().add(handler, session=session)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (doubt is not None)
    assert doubt is None or doubt in told[0]
