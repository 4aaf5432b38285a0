"""The emulated account, for Twilio's own client: the same resources, their shapes, and Twilio's refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

pytest.importorskip("twilio")

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from emulated import virtual
from realtime_sip.errors import ConfigurationError, NetworkError
from realtime_sip.testing import TwilioEmulator
from realtime_sip.twilio.http import AsyncTwilioHttp

NUMBER = "+14155550199"
OPENAI = "sip:proj_abc@sip.api.openai.com;transport=tls"


@asynccontextmanager
async def theirs() -> AsyncIterator[tuple[TwilioEmulator, Any]]:
    async with TwilioEmulator() as twilio, AsyncTwilioHttp(base_url=twilio.base_url, proxy=False) as http:
        yield twilio, Client(twilio.account_sid, twilio.auth_token, http_client=http)


@virtual
async def test_a_trunk_by_twilios_own_client() -> None:
    async with theirs() as (twilio, client):
        number = twilio.account.own(NUMBER, application_sid="AP" + "0" * 32)
        made = await client.trunking.v1.trunks.create_async(
            friendly_name="Shop", secure=True, transfer_mode="enable-all", domain_name="shop.pstn.twilio.com"
        )
        assert (made.secure, made.transfer_mode, made.symmetric_rtp_enabled) == (True, "enable-all", False)
        trunk = client.trunking.v1.trunks(made.sid)
        url = await trunk.origination_urls.create_async(
            friendly_name="OpenAI", sip_url=OPENAI, priority=1, weight=10, enabled=True
        )
        assert (url.priority, url.enabled, url.sip_url) == (1, True, OPENAI)
        attached = await trunk.phone_numbers.create_async(phone_number_sid=number)
        assert (attached.trunk_sid, attached.voice_application_sid) == (made.sid, None)
        recording = await trunk.recordings().update_async(mode="record-from-answer", trim="trim-silence")
        assert (recording.mode, recording.trim) == ("record-from-answer", "trim-silence")
        addresses = await client.api.account.sip.ip_access_control_lists.create_async(friendly_name="sbc")
        entries = client.api.account.sip.ip_access_control_lists(addresses.sid).ip_addresses
        await entries.create_async(friendly_name="a", ip_address="8.8.8.8", cidr_prefix_length=30)
        assert [each.cidr_prefix_length for each in await entries.list_async()] == [30]
        await trunk.ip_access_control_lists.create_async(ip_access_control_list_sid=addresses.sid)
        fetched = await trunk.fetch_async()
        assert (fetched.auth_type, fetched.auth_type_set) == ("IP_ACL", ["IP_ACL"])
        await trunk.delete_async()
        assert (await client.incoming_phone_numbers(number).fetch_async()).trunk_sid is None


@virtual
async def test_lists_are_paged_as_the_newer_apis_do() -> None:
    async with theirs() as (_, client):
        for number in range(5):
            await client.trunking.v1.trunks.create_async(friendly_name=f"T{number}")
        listed = await client.trunking.v1.trunks.list_async(page_size=2)
        assert [each.friendly_name for each in listed] == [f"T{number}" for number in range(5)]


def _create(**fields: Any) -> Any:
    return lambda client: client.trunking.v1.trunks.create_async(**fields)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (_create(friendly_name="a" * 65), 21245),
        (_create(transfer_mode="on"), 21245),
        (_create(domain_name="shop.example.com"), 21245),
        (_create(domain_name="shop.pstn.twilio.com"), 21248),
        (_create(domain_name="a.b.pstn.twilio.com"), 21247),
        (lambda client: client.trunking.v1.trunks("TK1").fetch_async(), 20404),
        (lambda client: client.incoming_phone_numbers("PN1").update_async(voice_url="x"), 20404),
        (lambda client: client.incoming_phone_numbers.create_async(phone_number=NUMBER), 21422),
        (lambda client: client.incoming_phone_numbers.create_async(phone_number="x"), 21421),
    ],
)
@virtual
async def test_refusals_have_twilios_codes(ask: Any, code: int) -> None:
    async with theirs() as (_, client):
        await client.trunking.v1.trunks.create_async(domain_name="shop.pstn.twilio.com")
        with pytest.raises(TwilioRestException) as raised:
            await ask(client)
        assert raised.value.code == code


@virtual
async def test_a_trunk_has_ten_urls_and_takes_what_the_page_says() -> None:
    async with theirs() as (_, client):
        made = await client.trunking.v1.trunks.create_async(friendly_name="Shop")
        urls = client.trunking.v1.trunks(made.sid).origination_urls
        fields = {"friendly_name": "a", "sip_url": "sip:a.example", "priority": 1, "weight": 1, "enabled": True}
        wrong: list[dict[str, Any]] = [{"sip_url": "sips:a.example"}, {"weight": 0}, {"priority": 65536}]
        for each in wrong:
            with pytest.raises(TwilioRestException):
                await urls.create_async(**{**fields, **each})
        for _ in range(10):
            await urls.create_async(**fields)
        with pytest.raises(TwilioRestException) as raised:
            await urls.create_async(**fields)
        assert raised.value.code == 21249


@virtual
async def test_what_is_left_out_and_what_is_misspelled_is_seen() -> None:
    async with theirs() as (twilio, client):
        made = await client.trunking.v1.trunks.create_async(friendly_name="Shop")
        path = f"{twilio.base_url}/v1/Trunks/{made.sid}/OriginationUrls"
        async with httpx.AsyncClient(auth=(twilio.account_sid, twilio.auth_token), trust_env=False) as plain:
            short = await plain.post(path, data={"SipUrl": "sip:a.example"})
            slip = await plain.post(f"{twilio.base_url}/v1/Trunks", data={"FriendlyNam": "Shop"})
            none = await plain.get(f"{twilio.base_url}/v1/Nothing")
        assert "FriendlyName" in short.json()["message"]
        assert "FriendlyNam is no parameter" in slip.json()["message"]
        assert none.status_code == 404


@virtual
async def test_a_domain_with_sub_domains_is_not_deleted_before_them() -> None:
    async with theirs() as (_, client):
        above = await client.trunking.v1.trunks.create_async(domain_name="b.pstn.twilio.com")
        below = await client.trunking.v1.trunks.create_async(domain_name="a.b.pstn.twilio.com")
        with pytest.raises(TwilioRestException) as raised:
            await client.trunking.v1.trunks(above.sid).delete_async()
        assert raised.value.code == 21247
        await client.trunking.v1.trunks(below.sid).delete_async()
        await client.trunking.v1.trunks(above.sid).delete_async()


@virtual
async def test_credentials_are_strong_and_their_passwords_are_never_shown() -> None:
    async with theirs() as (_, client):
        made = await client.api.account.sip.credential_lists.create_async(friendly_name="pbx")
        entries = client.api.account.sip.credential_lists(made.sid).credentials
        for username, password in (("a", "short"), ("a", "abcdefghijklm1")):
            with pytest.raises(TwilioRestException):
                await entries.create_async(username=username, password=password)
        shown = await entries.create_async(username="a", password="Abcdefghijk1")
        assert not hasattr(shown, "password")
        with pytest.raises(TwilioRestException):
            await entries.create_async(username="a", password="Abcdefghijk1")
        await client.api.account.sip.credential_lists(made.sid).delete_async()
        assert await client.api.account.sip.credential_lists.list_async() == []


@virtual
async def test_requests_of_any_method_can_fail_and_prices_and_caller_ids_are_served() -> None:
    async with theirs() as (twilio, client):
        twilio.account.caller_ids.append(NUMBER)
        assert [each.phone_number for each in await client.outgoing_caller_ids.list_async()] == [NUMBER]
        prices = await client.pricing.v1.phone_numbers.countries("US").fetch_async()
        assert prices.phone_number_prices[0]["current_price"] == "1.15"
        twilio.fail("OutgoingCallerIds", method="GET", how="reset")
        with pytest.raises(NetworkError):
            await client.outgoing_caller_ids.list_async()
        assert len(await client.outgoing_caller_ids.list_async()) == 1
        with pytest.raises(ConfigurationError):
            twilio.account.own("415")
