"""What the tests of provisioning share: the emulated account without sockets, blocking and async, with faults."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import pytest

from realtime_sip.testing import TwilioEmulator
from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.twilio import AsyncTwilioAccount, TwilioAccount
from realtime_sip.twilio.trunking import (
    CredentialList,
    IpAccessControlList,
    OriginationUrl,
    Recording,
    Termination,
    Trunk,
)

T = TypeVar("T")

NUMBER, OTHER = "+14155550199", "+14155550198"
PASSWORD = "Abcdefghijk1"
WHOLE = Trunk(
    "Shop",
    origination=(
        OriginationUrl("sip:proj_abc@sip.api.openai.com;transport=tls;edge=dublin", priority=1, weight=60),
        OriginationUrl(
            "sip:sbc.example.com;transport=tls?X-A=1", priority=2, weight=7, enabled=False, friendly_name="SBC"
        ),
    ),
    numbers=(NUMBER, OTHER),
    secure=True,
    transfer_mode="sip-only",
    transfer_caller_id="from-transferor",
    cnam_lookup_enabled=True,
    recording=Recording("record-from-answer-dual", trim="trim-silence"),
    disaster_recovery_url="https://voice.example.com/twilio/disaster",
    disaster_recovery_method="GET",
    termination=Termination(
        "shop.pstn.twilio.com",
        ip_access_control_lists=(IpAccessControlList("sbc", ("8.8.8.8", "8.8.4.0/24")),),
        credential_lists=(CredentialList("pbx", {"pbx": PASSWORD, "spare": PASSWORD}),),
        caller_ids=(NUMBER, "+4930123456"),
    ),
)


def prepared(twilio: TwilioEmulator) -> None:
    """Give the account what `WHOLE` needs."""
    twilio.account.own(NUMBER)
    twilio.account.own(OTHER, application_sid="AP" + "0" * 32)
    twilio.account.caller_ids.append("+4930123456")


def state(twilio: TwilioEmulator) -> dict[str, Any]:
    """What the account has, without SIDs, so that two can be compared."""
    account = twilio.account
    trunks = [
        {
            **{name: value for name, value in trunk.items() if not isinstance(value, dict) and "sid" not in name},
            "recording": trunk["recording"],
            "urls": sorted(
                (url["sip_url"], url["priority"], url["weight"], url["enabled"], url["friendly_name"])
                for url in trunk["origination_urls"].values()
            ),
            "lists": sorted(
                each["friendly_name"]
                for kind in ("ip_access_control_lists", "credential_lists")
                for each in trunk[kind].values()
            ),
        }
        for trunk in account.trunks.values()
    ]
    names = {sid: trunk["friendly_name"] for sid, trunk in account.trunks.items()}
    numbers = {each["phone_number"]: names.get(each["trunk_sid"]) for each in account.numbers.values()}
    lists = sorted(
        (
            each["friendly_name"],
            sorted(str(entry.get("username") or entry["ip_address"]) for entry in each["entries"].values()),
        )
        for kind in account.lists.values()
        for each in kind.values()
    )
    return {"trunks": trunks, "numbers": numbers, "lists": lists}


HOW = pytest.mark.parametrize("how", ["sync", "async"])


@dataclass
class Wire(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes requests to the emulator's API, and keeps them.

    `fault(number, request)` says how the request of that number, counted from 0, fails: "timeout" or "500" after it was
    carried out, "unsent" or another status before.
    """

    twilio: TwilioEmulator
    fault: Callable[[int, httpx.Request], str | None] = lambda _number, _request: None
    seen: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._answer(request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        fault = self.fault(len(self.seen), request)
        self.seen.append(request)
        if fault == "unsent":
            raise httpx.ConnectError("refused")
        if fault in ("401", "403", "429", "503"):
            code = 20003 if fault == "401" else 20000 + int(fault)
            return httpx.Response(int(fault), json={"code": code, "message": "no", "status": int(fault)})
        reply = await self.twilio._api.handle(
            Request(
                id="1",
                method=request.method,
                path=request.url.path,
                query=dict(request.url.params),
                headers=tuple((name.lower(), value) for name, value in request.headers.items()),
                body=request.content,
                target=str(request.url.raw_path, "ascii"),
            )
        )
        if fault == "timeout":
            raise httpx.ReadTimeout("late")
        if fault == "500":
            return httpx.Response(500, json={"code": 20500, "message": "oops", "status": 500})
        assert isinstance(reply, Reply)
        return httpx.Response(reply.status, content=reply.body, headers=dict(reply.headers))

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What was asked that changes something: method and path."""
        return [(each.method, each.url.path) for each in self.seen if each.method != "GET"]


@dataclass
class Provisioning:
    """An account, and the wire below it."""

    twilio: TwilioEmulator
    wire: Wire
    account: Any
    """A `TwilioAccount` or an `AsyncTwilioAccount`: what it returns goes through `got`."""

    async def got(self, answer: T | Awaitable[T]) -> T:
        """Return what a method returned, awaited if it has to be."""
        return await answer if inspect.isawaitable(answer) else answer


@asynccontextmanager
async def provisioning(how: str = "async", **options: Any) -> AsyncIterator[Provisioning]:
    """An account over the wire, which is not entered: it has no server, and needs none."""
    twilio = TwilioEmulator()
    wire = Wire(twilio)
    if how == "sync":
        with httpx.Client(transport=wire) as given:
            account = TwilioAccount(twilio.account_sid, twilio.auth_token, http_client=given, **options)
            yield Provisioning(twilio, wire, account)
    else:
        async with httpx.AsyncClient(transport=wire) as given_async:
            async_account = AsyncTwilioAccount(
                twilio.account_sid, twilio.auth_token, http_client=given_async, **options
            )
            yield Provisioning(twilio, wire, async_account)
