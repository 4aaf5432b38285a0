"""A declared trunk, applied and called: its calls reach the agent, and go where the declaration says they go."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("twilio")

from twilio_program import SESSION, Program, answering, rejecting

from emulated import virtual
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, TransferTargets
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Callee,
    CallerHangsUp,
    EndedBy,
    ModelSays,
    OpenAIEmulator,
    ScenarioError,
    TwilioEmulator,
)
from realtime_sip.twilio import AsyncTwilioAccount
from realtime_sip.twilio.trunking import OriginationUrl, Trunk, call_shares, for_openai

NUMBER = "+14155550199"
MAIN = for_openai("proj_abc", friendly_name="Shop", numbers=[NUMBER])
DESK = "sip:desk.example.com;transport=tls"
BACKED = dataclasses.replace(MAIN, origination=[*MAIN.origination, OriginationUrl(DESK, priority=20)])
GOODBYE = [ModelSays("Hello."), CallerHangsUp()]


@asynccontextmanager
async def applied(trunk: Trunk, openai: OpenAIEmulator, host: Any, **options: Any) -> AsyncIterator[TwilioEmulator]:
    async with TwilioEmulator(openai=openai, openai_webhook=host, **options) as twilio:
        twilio.account.own(NUMBER)
        async with AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, base_url=twilio.base_url) as account:
            await account.trunks.apply(trunk)
        yield twilio


@virtual
async def test_the_number_that_was_dialed_and_the_name_of_the_caller_reach_the_program() -> None:
    seen: list[IncomingCall] = []
    trunk = dataclasses.replace(
        MAIN,
        cnam_lookup_enabled=True,
        origination=for_openai("proj_abc", headers={"X-Shop": "7 & 8"}).origination,
    )
    async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:

        async def on_call(incoming: IncomingCall) -> None:
            seen.append(incoming)
            async with client.calls.answer(incoming, SESSION) as call:
                call.respond("Greet.")
                await call.wait_ended()

        async with applied(trunk, openai, CallHost(on_call, client=client)) as twilio:
            call = await twilio.ring_trunk(NUMBER, caller_name="DOE JOHN", scenario=GOODBYE)
            assert await call.ended() == "completed"
    (incoming,) = seen
    assert (incoming.caller, incoming.dialed, incoming.caller_name) == ("+14155550100", NUMBER, "DOE JOHN")
    assert (incoming.channel, incoming.media_security, incoming.sip.get("X-Shop")) == ("phone", "srtp", "7 & 8")
    assert call.tried == [(trunk.origination[0].sip_url, 200)]


@pytest.mark.parametrize(("status", "ends_at_desk"), [(503, True), (486, False), (603, False), (403, True)])
@virtual
async def test_a_rejected_call_goes_on_or_ends_as_the_pure_function_says(status: int, ends_at_desk: bool) -> None:
    async with (
        OpenAIEmulator(strict=False) as openai,
        rejecting(openai, status) as host,
        applied(BACKED, openai, host) as twilio,
    ):
        call = await twilio.ring_trunk(NUMBER)
        assert (await call.ended() == "completed") is ends_at_desk
    first = BACKED.origination[0].sip_url
    assert call.tried == [(first, status), *([(DESK, 200)] if ends_at_desk else [])]
    assert set(call_shares(BACKED.origination, {first: status})) == {call.tried[-1][0]}


@virtual
async def test_a_server_that_answers_nothing_is_passed_over_after_four_seconds_and_openais_400_ends_the_call() -> None:
    silent = dataclasses.replace(
        MAIN,
        origination=[OriginationUrl(DESK, priority=1), *MAIN.origination],
        disaster_recovery_url="https://a.example/",
    )
    async with (
        OpenAIEmulator(strict=False) as openai,
        applied(
            silent, openai, "http://127.0.0.1:9/nobody", callees={"desk.example.com": Callee(outcome="no answer")}
        ) as twilio,
    ):
        began = twilio._clock.now()
        call = await twilio.ring_trunk(NUMBER)
        await call.until_openai()
        assert twilio._clock.now() - began == pytest.approx(4, abs=0.1)
        assert await call.ended() == "failed"
        assert [answer for _, answer in call.tried] == [None, 400]
        assert call.disaster is None


@virtual
async def test_if_no_url_takes_it_the_disaster_recovery_url_does() -> None:
    document = "<Response><Say>We call you back.</Say></Response>"
    async with (
        Program(disaster=document) as program,
        OpenAIEmulator(strict=False) as openai,
        rejecting(openai, 503) as host,
    ):
        trunk = dataclasses.replace(MAIN, disaster_recovery_url=f"{program.url}/disaster")
        async with applied(trunk, openai, host) as twilio:
            call = await twilio.ring_trunk(NUMBER)
            assert await call.ended() == "completed"
            assert call.disaster is not None
            assert call.disaster.heard == ["We call you back."]
            assert call.disaster.requests[0]["To"] == NUMBER


@pytest.mark.parametrize(
    ("mode", "target", "code"),
    [
        ("enable-all", "tel:+14155550123", 0),
        ("enable-all", "sip:desk@pbx.example.com", 0),
        ("sip-only", "sip:desk@pbx.example.com", 0),
        ("sip-only", "tel:+14155550123", 32218),
        ("disable-all", "sip:desk@pbx.example.com", 32218),
        ("enable-all", "sip:+14155550123@pbx.example.com", None),
    ],
)
@virtual
async def test_a_refer_is_carried_out_as_the_transfer_mode_lets_it(mode: Any, target: str, code: int | None) -> None:
    trunk = dataclasses.replace(MAIN, transfer_mode=mode)
    async with (
        OpenAIEmulator(strict=False) as openai,
        answering(openai) as host,
        applied(trunk, openai, host) as twilio,
    ):
        call = await twilio.ring_trunk(NUMBER, alerts=[] if code == 0 else [code], scenario=[ModelSays("Hello.")])
        ringing = await call.until_openai()
        await ringing.until_attached()
        await twilio._clock.sleep(5)  # until the greeting was heard
        call._refers(target)
        if code == 0:
            assert await call.ended() == "completed"
            end = await ringing.ended()
            assert (call.transferred, end.by, end.target_uri) == (target, EndedBy.TRANSFERRED, target)
        else:
            assert call.transferred is None
            call.hang_up()
            assert await call.ended() == "completed"


@virtual
async def test_the_models_transfer_over_the_trunk() -> None:
    desks = TransferTargets({"desk": "tel:+14155550123"})
    async with OpenAIEmulator() as openai, AsyncRealtimeSip(**openai.client_options) as client:

        async def on_call(incoming: IncomingCall) -> None:
            async with client.calls.answer(incoming, SESSION, transfers=desks) as call:
                await call.respond("Greet.")
                call.transfer("desk")
                await call.wait_ended()

        async with applied(MAIN, openai, CallHost(on_call, client=client)) as twilio:
            call = await twilio.ring_trunk(NUMBER, scenario=[ModelSays("Hello.")])
            assert await call.ended() == "completed"
            assert call.transferred == "tel:+14155550123"


async def _called_without_a_url(openai: OpenAIEmulator, host: CallHost) -> None:
    async with applied(MAIN, openai, host) as twilio:
        (trunk,) = twilio.account.trunks.values()
        trunk["origination_urls"].clear()
        await (await twilio.ring_trunk(NUMBER)).ended()


@virtual
async def test_a_trunk_without_a_url_fails_with_32010_and_a_strict_emulator_says_so() -> None:
    async with OpenAIEmulator() as openai, answering(openai) as host:
        async with applied(MAIN, openai, host) as twilio:
            (trunk,) = twilio.account.trunks.values()
            trunk["origination_urls"].clear()
            assert await (await twilio.ring_trunk(NUMBER, alerts=[32010])).ended() == "failed"
        with pytest.raises(ScenarioError, match="32010"):
            await _called_without_a_url(openai, host)


@virtual
async def test_a_number_on_no_trunk_is_not_rung_so() -> None:
    async with TwilioEmulator() as twilio:
        twilio.account.own(NUMBER)
        for number in (NUMBER, "+14155550100"):
            with pytest.raises(ConfigurationError, match="belongs to no trunk"):
                await twilio.ring_trunk(number)
    with pytest.raises(ConfigurationError, match="entered first"):
        await twilio.ring_trunk(NUMBER)
