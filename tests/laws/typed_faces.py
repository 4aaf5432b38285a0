"""What type checkers make of the two faces. It is checked, by mypy and pyright, and never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import UTC, datetime
from typing import Any, assert_type

import httpx
import httpx2
from fastapi import Request
from twilio.twiml import voice_response as vendor

from realtime_sip import AsyncRealtimeSip, AsyncSideband, Call, IncomingCall, RealtimeSip, Sideband
from realtime_sip.api.calls import WebRtcCall
from realtime_sip.api.client_secrets import ClientSecret
from realtime_sip.api.settings import Settings
from realtime_sip.api.webhook_endpoints import WebhookEndpoint, WebhookEndpointPage
from realtime_sip.integrations import fastapi as integrated
from realtime_sip.twilio import (
    AsyncTwilioAccount,
    TwilioAccount,
    TwilioSignature,
    calls,
    numbers,
    trunking,
    twiml,
    whatsapp,
)
from realtime_sip.twilio.elements import Dial, Enqueue, Say, Sip, Task
from realtime_sip.twilio.webhooks import (
    CallStatusCallback,
    DialResult,
    QueueResult,
    TwilioWebhook,
    VoiceWebhook,
    read_webhook,
)


def blocking(client: RealtimeSip) -> None:
    hangup: Callable[[str], None] = client.calls.hangup
    hangup("rtc_1")
    assert_type(client.calls.create(sdp="v=0"), WebRtcCall)
    assert_type(client.calls.connect("rtc_1"), AbstractContextManager[Sideband])
    assert_type(client.client_secrets.create(expires_after_seconds=60), ClientSecret)
    assert_type(client.webhook_endpoints.retrieve("wep_1"), WebhookEndpoint)
    assert_type(client.webhook_endpoints.list(), WebhookEndpointPage)
    assert_type(client.connect(model="gpt-realtime-2.1"), AbstractContextManager[Sideband])
    assert_type(client.with_options(timeout=2.0), RealtimeSip)
    assert_type(client.settings, Settings)
    assert_type(RealtimeSip.azure("contoso", region="eastus2", api_key="key"), RealtimeSip)
    with client as entered, client.calls.connect("rtc_1") as sideband:
        assert_type(entered, RealtimeSip)
        assert_type(sideband, Sideband)
    RealtimeSip(http_client=httpx.Client())
    RealtimeSip(http_client=httpx2.Client())
    RealtimeSip(http_client=httpx.AsyncClient())  # type: ignore[arg-type]


async def awaiting(client: AsyncRealtimeSip) -> None:
    hangup: Callable[[str], Coroutine[Any, Any, None]] = client.calls.hangup
    await hangup("rtc_1")
    assert_type(await client.calls.create(sdp="v=0"), WebRtcCall)
    assert_type(client.calls.connect("rtc_1"), AbstractAsyncContextManager[AsyncSideband])
    assert_type(await client.client_secrets.create(), ClientSecret)
    assert_type(client.connect(intent="transcription"), AbstractAsyncContextManager[AsyncSideband])
    assert_type(client.with_options(timeout=2.0), AsyncRealtimeSip)
    async with client as entered, client.calls.answer("rtc_1", {}) as call:
        assert_type(entered, AsyncRealtimeSip)
        assert_type(call, Call)
    AsyncRealtimeSip(http_client=httpx.AsyncClient())
    AsyncRealtimeSip(http_client=httpx2.AsyncClient())
    AsyncRealtimeSip(http_client=httpx.Client())  # type: ignore[arg-type]
    # A forgotten `await` is seen.
    client.calls.hangup("rtc_1")  # type: ignore[unused-coroutine]


def serving(client: AsyncRealtimeSip, twilio: TwilioSignature) -> None:
    assert_type(integrated.verified_call(client), Callable[[Request], Awaitable[IncomingCall]])
    assert_type(integrated.verified_webhook(twilio, DialResult), Callable[[Request], Awaitable[DialResult]])

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai("proj_a", voice=call)

    async def after_dial(result: DialResult) -> None: ...

    integrated.twilio_webhook(twilio, voice=voice, after_dial=after_dial)
    # A function of another webhook, and a name that is not known, are seen.
    integrated.twilio_webhook(twilio, after_dial=voice)  # type: ignore[arg-type]
    integrated.twilio_webhook(twilio, voices=voice)  # type: ignore[call-arg]


def composing(response: twiml.VoiceResponse) -> None:
    assert_type(twiml.dial_openai("proj_a"), twiml.VoiceResponse)
    assert_type(twiml.dial_openai("proj_a", into=response), twiml.VoiceResponse)
    assert_type(twiml.dial_openai("proj_a", into=vendor.VoiceResponse()), vendor.VoiceResponse)
    assert_type(twiml.dial_openai("proj_a", voice=VoiceWebhook.read(b"")), twiml.VoiceResponse)
    assert_type(twiml.BusinessHours("UTC", {}).opens_at(datetime.now(UTC)), datetime | None)
    assert_type(twiml.after_dial(DialResult.read(b"").fields), twiml.AfterDial)
    assert_type(twiml.say("Hello."), twiml.VoiceResponse)
    twiml.dial_openai("proj_a", region="br2")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    assert_type(response.dial(answer_on_bridge=True), Dial)
    assert_type(response.dial().sip("sip:a@example.com", status_callback_event=["ringing"]), Sip)
    assert_type(response.enqueue(workflow_sid="WW1"), Enqueue)
    assert_type(response.enqueue(workflow_sid="WW1").task("{}"), Task)
    assert_type(response.say("Hello."), Say)
    assert_type(response.append(vendor.Echo()).append("text"), twiml.VoiceResponse)
    assert_type(response.to_xml(), str)
    assert_type(str(response), str)
    theirs: vendor.VoiceResponse = response
    theirs.append(response)
    response.dial(anwser_on_bridge=True)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    response.dial().sip("sip:a@example.com", status_callback_event=["rang"])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]


def verifying(twilio: TwilioSignature, headers: list[tuple[bytes, bytes]]) -> None:
    assert_type(twilio.verify(b"/voice", b"", headers), str | None)
    assert_type(DialResult.read(b""), DialResult)
    assert_type(DialResult.read(b"").status, str | None)
    assert_type(QueueResult.read(b"").answered, bool | None)
    assert_type(CallStatusCallback.read(b"").status, str)
    assert_type(read_webhook(b""), TwilioWebhook)
    TwilioSignature(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def provisioning(account: TwilioAccount, trunk: trunking.Trunk) -> None:
    assert_type(account.trunks.plan(trunk), trunking.TrunkPlan)
    assert_type(account.trunks.apply(trunk, prune=True), trunking.AppliedTrunk)
    assert_type(account.trunks.verify(trunk), trunking.TrunkReport)
    assert_type(account.trunks.delete(trunk), trunking.TrunkDeletion)
    assert_type(account.numbers.list(), list[numbers.PhoneNumber])
    assert_type(account.numbers.search("US"), list[numbers.AvailablePhoneNumber])
    assert_type(account.numbers.buy("+14155550100"), numbers.PhoneNumber)
    assert_type(account.numbers.route_to("+14155550100", trunk_sid="TK1"), numbers.Rerouted)
    assert_type(account.whatsapp.senders(), list[whatsapp.Sender])
    assert_type(account.whatsapp.activate("XE1", voice_url="https://a.example"), whatsapp.Sender)
    assert_type(account.whatsapp.approval("HX1", wait=60), whatsapp.Approval)
    assert_type(account.calls.place("+14155550100", "+14155550101", url="https://a.example"), calls.PlacedCall)
    TwilioAccount(http_client=httpx.Client())
    TwilioAccount(http_client=httpx.AsyncClient())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def provisioning_async(account: AsyncTwilioAccount, trunk: trunking.Trunk) -> None:
    assert_type(await account.trunks.plan(trunk), trunking.TrunkPlan)
    assert_type(await account.trunks.apply(trunk), trunking.AppliedTrunk)
    assert_type(await account.numbers.list(), list[numbers.PhoneNumber])
    assert_type(await account.numbers.detach("+14155550100"), numbers.Rerouted)
    assert_type(await account.whatsapp.deactivate("XE1"), whatsapp.Sender)
    assert_type(await account.calls.fetch("CA1"), calls.PlacedCall)
    account.trunks.apply(trunk)  # type: ignore[unused-coroutine]
