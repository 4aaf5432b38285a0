"""What we ask of Twilio's REST API, byte by byte: as twilio's own client has it, and by the names that are documented.

Each request goes over a socket to the stand-in, by httpx below twilio's client, blocking and async, and by the HTTP
client that twilio brings, whose forms nobody calls wrong.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twilio_program import Program, answering, dial

pytest.importorskip("twilio")

from twilio.rest import Client

from emulated import virtual
from realtime_sip import TransferRequest, TransferTarget
from realtime_sip.testing import Callee, ModelSays, OpenAIEmulator, TwilioCall, TwilioEmulator
from realtime_sip.testing.twilio.record import RestRequest
from realtime_sip.twilio import twiml, voice

FACTS = Path(__file__).resolve().parents[4] / "shared" / "facts" / "twilio_api.md"
PERSON = "+14155550123"
WAYS = ("twilio's own", "blocking", "async")
DOCUMENTED = {"Status", "Timeout"}
"""Parameters of Twilio's page on the Call resource that the list of facts does not name."""


@asynccontextmanager
async def client_of(twilio: TwilioEmulator, way: str) -> AsyncIterator[Client]:
    """A client of Twilio's package that talks to the stand-in."""
    account = (twilio.account_sid, twilio.auth_token)
    if way == "async":
        async with voice.AsyncTwilioHttp(base_url=twilio.base_url, proxy=False) as http:
            yield Client(*account, http_client=http)
    elif way == "blocking":
        with voice.TwilioHttp(base_url=twilio.base_url, proxy=False) as http:
            yield Client(*account, http_client=http)
    else:
        client = Client(*account)
        client.http_client.session.trust_env = False
        client.api.base_url = twilio.base_url
        try:
            yield client
        finally:
            client.http_client.session.close()


def requested(call: TwilioCall) -> TransferRequest:
    target = TransferTarget(f"tel:{PERSON}", ring_time=25)
    return TransferRequest(
        call_id="rtc_1", name="desk", target=target, summary="Açaí & <más>", parent_call_sid=call.sid
    )


async def redirect(client: Client, twilio: TwilioEmulator, call: TwilioCall) -> None:
    say = twiml.say("Olá, + & % = <tchau>", language="pt-BR")
    await voice.redirect(client, twiml=lambda _: say)(requested(call))


async def warm(client: Client, twilio: TwilioEmulator, call: TwilioCall) -> None:
    transfer = voice.WarmTransfer(
        client,
        from_="+14155550199",
        status_callback="https://voice.example.com/status?a=b%20c&d=%C3%A9",
        otherwise=lambda _: twiml.reject(),
    )
    await transfer(requested(call))


async def seen(way: str, what: Any) -> list[RestRequest]:
    """Do something while a caller talks to OpenAI, and return what Twilio was asked."""
    async with (
        OpenAIEmulator() as openai,
        answering(openai) as host,
        Program(voice=dial()) as program,
        TwilioEmulator(openai=openai, openai_webhook=host, callees={PERSON: Callee()}, strict=False) as twilio,
        client_of(twilio, way) as client,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=[ModelSays("Hello.")])
        await (await call.until_openai()).until_attached()
        await call.until_status("in-progress")
        await what(client, twilio, call)
        call.hang_up()
        return list(twilio.rest_requests)


def plain(request: RestRequest) -> tuple[str, str, list[tuple[str, str]], int]:
    """Return a request without what is new in each call: its SIDs."""
    masked = [(name, re.sub("[0-9a-f]{32}", "…", value)) for name, value in request.form]
    return request.method, re.sub("[0-9a-f]{32}", "…", request.path), sorted(masked), request.status


@pytest.mark.parametrize("what", [redirect, warm])
@virtual
async def test_each_request_is_encoded_as_twilios_own_client_does(what: Any) -> None:
    own, blocking, waiting = [[plain(each) for each in await seen(way, what)] for way in WAYS]
    assert own
    assert blocking == own
    assert waiting == own


@pytest.mark.parametrize("way", WAYS)
@virtual
async def test_what_is_asked_before_and_in_a_redirect(way: str) -> None:
    asked, updated = await seen(way, redirect)
    assert (asked.method, asked.path.rpartition("/")[2], asked.status) == ("GET", "Calls.json", 200)
    assert [name for name, _ in asked.form] == ["ParentCallSid", "PageSize"]
    assert (updated.method, [name for name, _ in updated.form]) == ("POST", ["Twiml"])
    assert updated.values("Twiml") == [str(twiml.say("Olá, + & % = <tchau>", language="pt-BR"))]


@pytest.mark.parametrize("way", WAYS)
@virtual
async def test_law_events_of_a_callback_are_a_repeated_parameter_over_rest(way: str) -> None:
    (created,) = [each for each in await seen(way, warm) if each.path.endswith("/Calls.json") and each.method == "POST"]
    assert created.values("StatusCallbackEvent") == ["answered", "completed"]
    assert created.values("StatusCallback") == ["https://voice.example.com/status?a=b%20c&d=%C3%A9"]
    assert created.values("To") == [PERSON]


@virtual
async def test_law_every_parameter_is_a_name_of_twilios() -> None:
    if not FACTS.exists():
        pytest.skip("the list of facts is not beside this checkout")
    facts = set(re.findall(r"\b[A-Z][A-Za-z]+\b", FACTS.read_text(encoding="utf-8")))
    sent = {name for what in (redirect, warm) for each in await seen("async", what) for name, _ in each.form}
    assert {"Twiml", "ParentCallSid", "StatusCallbackEvent"} <= sent
    assert sent - facts - DOCUMENTED == set()
