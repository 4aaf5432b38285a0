"""What provisioning sends is what Twilio's own package sends for the same: method, URL and form."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

pytest.importorskip("twilio")

from provisioning import NUMBER, OTHER, PASSWORD, WHOLE, Wire, prepared, provisioning, state
from twilio.rest import Client

from emulated import virtual
from realtime_sip.testing import TwilioEmulator
from realtime_sip.twilio.http import AsyncTwilioHttp

_SID = re.compile(r"\b([A-Z]{2})[0-9a-f]{32}\b")
APP = "AP" + "0" * 32


def changes(requests: list[httpx.Request]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """What changes something, with the kind of each SID in its place."""
    return sorted(
        (
            request.method,
            _SID.sub(r"\1", str(request.url)),
            sorted((name, _SID.sub(r"\1", value)) for name, value in _form(request)),
        )
        for request in requests
        if request.method != "GET"
    )


def _form(request: httpx.Request) -> list[tuple[str, str]]:
    return parse_qsl(request.content.decode(), keep_blank_values=True)


async def _by_twilios_package(twilio: TwilioEmulator, client: Any) -> None:
    sids = {each["phone_number"]: sid for sid, each in twilio.account.numbers.items()}
    made = await client.trunking.v1.trunks.create_async(
        friendly_name="Shop",
        secure=True,
        transfer_mode="sip-only",
        transfer_caller_id="from-transferor",
        cnam_lookup_enabled=True,
        disaster_recovery_url="https://voice.example.com/twilio/disaster",
        disaster_recovery_method="GET",
        domain_name="shop.pstn.twilio.com",
    )
    trunk = client.trunking.v1.trunks(made.sid)
    for url, name in zip(WHOLE.origination, ("sip.api.openai.com", "SBC"), strict=True):
        await trunk.origination_urls.create_async(
            friendly_name=name, sip_url=url.sip_url, priority=url.priority, weight=url.weight, enabled=url.enabled
        )
    await trunk.recordings().update_async(mode="record-from-answer-dual", trim="trim-silence")
    lists = client.api.account.sip
    addresses = await lists.ip_access_control_lists.create_async(friendly_name="sbc")
    for name, address, prefix in (("8.8.8.8", "8.8.8.8", 32), ("8.8.4.0/24", "8.8.4.0", 24)):
        await lists.ip_access_control_lists(addresses.sid).ip_addresses.create_async(
            friendly_name=name, ip_address=address, cidr_prefix_length=prefix
        )
    credentials = await lists.credential_lists.create_async(friendly_name="pbx")
    for username in ("pbx", "spare"):
        await lists.credential_lists(credentials.sid).credentials.create_async(username=username, password=PASSWORD)
    await trunk.ip_access_control_lists.create_async(ip_access_control_list_sid=addresses.sid)
    await trunk.credentials_lists.create_async(credential_list_sid=credentials.sid)
    for number in (NUMBER, OTHER):
        await trunk.phone_numbers.create_async(phone_number_sid=sids[number])
    numbers = client.incoming_phone_numbers
    await numbers(sids[NUMBER]).update_async(voice_application_sid=APP)
    await numbers(sids[NUMBER]).update_async(
        voice_url="https://voice.example.com/", voice_method="POST", voice_application_sid=""
    )
    await trunk.phone_numbers(sids[OTHER]).delete_async()
    await numbers(sids[OTHER]).delete_async()
    await numbers.create_async(phone_number="+14155550101", friendly_name="New")
    await trunk.delete_async()


@virtual
async def test_each_request_is_the_one_that_twilios_own_package_sends() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        here.twilio.account.offer("+14155550101")
        account = here.account
        await account.trunks.apply(WHOLE)
        await account.numbers.route_to(NUMBER, application_sid=APP)
        await account.numbers.route_to(NUMBER, voice_url="https://voice.example.com/")
        await account.numbers.detach(OTHER)
        await account.numbers.release(OTHER)
        await account.numbers.buy("+14155550101", friendly_name="New")
        await account.trunks.delete(WHOLE)
        ours, left = changes(here.wire.seen), state(here.twilio)
    twilio = TwilioEmulator()
    prepared(twilio)
    twilio.account.offer("+14155550101")
    wire = Wire(twilio)
    async with httpx.AsyncClient(transport=wire) as given:
        client = Client(twilio.account_sid, twilio.auth_token, http_client=AsyncTwilioHttp(given))
        await _by_twilios_package(twilio, client)
    assert ours == changes(wire.seen)
    assert left == state(twilio)
