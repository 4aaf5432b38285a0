"""Numbers on the wire: found, bought, released, and led elsewhere. Blocking and async, against the emulated account."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

pytest.importorskip("twilio")

from provisioning import HOW, NUMBER, OTHER, Provisioning, provisioning

from emulated import virtual
from realtime_sip.errors import (
    InvalidRequestError,
    NetworkError,
    NotFoundError,
    NumberUnavailableError,
    RegulationError,
    ServiceError,
    TrialAccountError,
    UnexpectedReplyError,
)
from realtime_sip.twilio.numbers import PhoneNumber, Route, rerouting
from realtime_sip.twilio.trunking import for_openai

APP = "AP" + "0" * 32
VOICE = "https://voice.example.com/twilio/voice"
BEFORE = "https://demo.twilio.com/welcome/voice/"


def form(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True))


async def trunk_of(here: Provisioning) -> str:
    applied = await here.got(here.account.trunks.apply(for_openai("proj_abc")))
    sid: str = applied.sid
    return sid


@HOW
@virtual
async def test_numbers_are_searched_and_bought_once(how: str) -> None:
    async with provisioning(how) as here:
        account = here.twilio.account
        for number in ("+14155550101", "+14155550102", "+12125550103"):
            account.offer(number)
        account.offer("+18005550104", type="TollFree")
        found = await here.got(here.account.numbers.search("US", area_code=415, contains="555****2"))
        assert [each.phone_number for each in found] == ["+14155550102"]
        assert len(await here.got(here.account.numbers.search("US", limit=2))) == 2
        (free,) = await here.got(here.account.numbers.search("US", type="toll-free"))
        asked = here.wire.seen[0].url
        assert asked.path.endswith("/AvailablePhoneNumbers/US/Local.json")
        assert dict(asked.params) == {
            "PageSize": "20",
            "VoiceEnabled": "true",
            "AreaCode": "415",
            "Contains": "555****2",
        }
        with pytest.raises(NotFoundError):
            await here.got(here.account.numbers.search("FR"))
        del here.wire.seen[:]
        bought = await here.got(here.account.numbers.buy(free.phone_number, friendly_name="Shop"))
        again = await here.got(here.account.numbers.buy(free.phone_number))
        assert bought.sid == again.sid
        (post,) = [each for each in here.wire.seen if each.method == "POST"]
        assert form(post) == {"PhoneNumber": "+18005550104", "FriendlyName": "Shop"}
        assert [each.phone_number for each in await here.got(here.account.numbers.list())] == ["+18005550104"]


@HOW
@pytest.mark.parametrize(("fault", "is_bought"), [("timeout", True), ("500", True), ("503", False)])
@virtual
async def test_law_a_number_is_never_bought_twice__without_an_answer_the_account_says(
    how: str, fault: str, is_bought: bool
) -> None:
    async with provisioning(how, timeout=1) as here:
        here.twilio.account.offer(NUMBER)
        here.wire.fault = lambda _number, request: fault if request.method == "POST" else None
        if is_bought:
            assert (await here.got(here.account.numbers.buy(NUMBER))).phone_number == NUMBER
        else:
            with pytest.raises((NetworkError, ServiceError)):
                await here.got(here.account.numbers.buy(NUMBER))
        assert len(here.wire.changes) == 1
        assert len(here.twilio.account.numbers) == is_bought


@virtual
async def test_what_twilio_refuses_to_sell_has_a_name() -> None:
    async with provisioning() as here:
        account = here.twilio.account
        account.offer("+4930123456", country="DE", needs="local")
        account.offer("+14155550101")
        with pytest.raises(NumberUnavailableError):
            await here.account.numbers.buy(NUMBER)
        with pytest.raises(RegulationError):
            await here.account.numbers.buy("+4930123456")
        address, bundle = "AD" + "0" * 32, "BU" + "0" * 32
        await here.account.numbers.buy("+4930123456", address_sid=address, bundle_sid=bundle)
        account.is_trial = True
        with pytest.raises(TrialAccountError):
            await here.account.numbers.buy("+14155550101")


@HOW
@virtual
async def test_a_number_is_led_to_a_url_an_app_or_a_trunk_and_each_takes_the_place_of_the_others(how: str) -> None:
    async with provisioning(how) as here:
        here.twilio.account.own(NUMBER)
        trunk = await trunk_of(here)
        del here.wire.seen[:]
        moved = [
            await here.got(here.account.numbers.route_to(NUMBER, **where))
            for where in (
                {"application_sid": APP},
                {"trunk_sid": trunk},
                {"voice_url": VOICE, "voice_fallback_url": f"{VOICE}/fallback"},
                {"application_sid": APP},
                {"voice_url": VOICE, "voice_method": "GET"},
            )
        ]
        assert [str(each) for each in moved] == [
            f"{NUMBER}: was voice URL {BEFORE}, is TwiML App {APP}",
            f"{NUMBER}: was TwiML App {APP}, is trunk {trunk}",
            f"{NUMBER}: was trunk {trunk}, is voice URL {VOICE}",
            f"{NUMBER}: was voice URL {VOICE}, is TwiML App {APP}",
            f"{NUMBER}: was TwiML App {APP}, is voice URL {VOICE}",
        ]
        assert [form(each) for each in here.wire.seen if each.method == "POST"] == [
            {"VoiceApplicationSid": APP},
            {"TrunkSid": trunk},
            {"VoiceUrl": VOICE, "VoiceMethod": "POST", "VoiceFallbackUrl": f"{VOICE}/fallback", "TrunkSid": ""},
            {"VoiceApplicationSid": APP},
            {"VoiceUrl": VOICE, "VoiceMethod": "GET", "VoiceApplicationSid": ""},
        ]
        assert "415555" not in repr(moved)


@HOW
@virtual
async def test_a_number_is_attached_detached_and_released(how: str) -> None:
    async with provisioning(how) as here:
        sid = here.twilio.account.own(NUMBER)
        trunk = await trunk_of(here)
        attached = await here.got(here.account.numbers.attach(NUMBER, trunk))
        assert attached.after == Route("trunk", trunk)
        detached = await here.got(here.account.numbers.detach(NUMBER))
        assert (detached.before, detached.after) == (Route("trunk", trunk), Route("url", BEFORE))
        assert here.wire.changes[-1] == ("DELETE", f"/v1/Trunks/{trunk}/PhoneNumbers/{sid}")
        again = await here.got(here.account.numbers.detach(NUMBER))
        assert again.before == again.after
        assert (await here.got(here.account.numbers.release(NUMBER))).sid == sid
        assert here.twilio.account.numbers == {}
        for do in ("release", "detach"):
            with pytest.raises(InvalidRequestError, match="not one of the account"):
                await here.got(getattr(here.account.numbers, do)(NUMBER))


@virtual
async def test_a_number_is_not_led_to_a_trunk_that_would_fail_its_calls() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER)
        trunk = await trunk_of(here)
        (url,) = here.twilio.account.trunks[trunk]["origination_urls"].values()
        url["enabled"] = False
        before = list(here.wire.changes)
        with pytest.raises(InvalidRequestError, match="32010"):
            await here.account.numbers.attach(NUMBER, trunk)
        with pytest.raises(NotFoundError):
            await here.account.numbers.attach(NUMBER, "TK" + "0" * 32)
        assert here.wire.changes == before


@virtual
async def test_a_part_of_a_number_is_not_the_number() -> None:
    async with provisioning() as here:
        here.twilio.account.own("+141555501990")
        with pytest.raises(InvalidRequestError, match="not one of the account"):
            await here.account.numbers.release(NUMBER)


@virtual
async def test_a_number_without_voice_is_not_led_anywhere() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER, voice=False)
        with pytest.raises(InvalidRequestError, match="takes no calls"):
            await here.account.numbers.route_to(NUMBER, voice_url=VOICE)
        assert here.wire.changes == []


@virtual
async def test_law_200_proves_nothing__a_number_that_went_elsewhere_all_the_same() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER)
        here.twilio.account._update = lambda record, fields: None  # type: ignore[method-assign]
        with pytest.raises(UnexpectedReplyError, match="all the same"):
            await here.account.numbers.route_to(NUMBER, application_sid=APP)


@virtual
async def test_a_webhook_rule_about_the_new_url_is_told() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER)
        here.twilio.account.rules = [{"id": "1", "matchType": "DEFAULT", "settings": [{"settingId": "s"}]}]
        here.twilio.account.settings = {"s": {"signature": {"sharedKeyId": "k", "algorithm": "HMAC_SHA256"}}}
        moved = await here.account.numbers.route_to(NUMBER, voice_url=VOICE)
        assert "shared key k" in moved.warnings[0]
        assert (await here.account.numbers.route_to(NUMBER, application_sid=APP)).warnings == ()


SOMEWHERE: dict[str, Any] = {"voice_url": VOICE}


@pytest.mark.parametrize(
    "ask",
    [
        lambda numbers: numbers.search("us"),
        lambda numbers: numbers.search("US", type="any"),
        lambda numbers: numbers.search("US", area_code=15),
        lambda numbers: numbers.search("DE", area_code=415),
        lambda numbers: numbers.search("US", contains="a b"),
        lambda numbers: numbers.search("US", limit=0),
        lambda numbers: numbers.search("US", limit=True),
        lambda numbers: numbers.search("US/../x"),
        lambda numbers: numbers.buy("4155550100"),
        lambda numbers: numbers.buy(NUMBER, address_sid="AD1"),
        lambda numbers: numbers.buy(NUMBER, bundle_sid="x"),
        lambda numbers: numbers.release("415"),
        lambda numbers: numbers.detach(None),
        lambda numbers: numbers.attach(NUMBER, "TK1"),
        lambda numbers: numbers.route_to(NUMBER),
        lambda numbers: numbers.route_to(NUMBER, voice_url=VOICE, application_sid=APP),
        lambda numbers: numbers.route_to(NUMBER, voice_url="/voice"),
        lambda numbers: numbers.route_to(NUMBER, voice_url="https://[x"),
        lambda numbers: numbers.route_to(NUMBER, voice_url=7),
        lambda numbers: numbers.route_to(NUMBER, voice_method="PUT", **SOMEWHERE),
        lambda numbers: numbers.route_to(NUMBER, voice_fallback_url="x", **SOMEWHERE),
        lambda numbers: numbers.route_to("415", **SOMEWHERE),
    ],
)
@HOW
@virtual
async def test_what_cannot_be_is_refused_before_any_request(how: str, ask: Any) -> None:
    async with provisioning(how) as here:
        with pytest.raises(InvalidRequestError):
            ask(here.account.numbers)
        assert here.wire.seen == []


def test_a_trunk_goes_before_an_app_and_an_app_before_a_url() -> None:
    number = PhoneNumber(sid="PN1", phone_number=OTHER, trunk_sid="TK1", voice_application_sid="AP1", voice_url="u")
    assert number.route == Route("trunk", "TK1")
    assert number.model_copy(update={"trunk_sid": ""}).route == Route("application", "AP1")
    bare = PhoneNumber(sid="PN1", phone_number=OTHER)
    assert (str(bare.route), bare.takes_calls) == ("nothing", True)
    assert rerouting(number, Route("url", "u"), "POST")["TrunkSid"] == ""
