"""WhatsApp senders and calls over REST, blocking and async, against the emulated account."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from provisioning import HOW, Provisioning, provisioning

from realtime_sip import errors
from realtime_sip.errors import (
    CallLimitError,
    CallNotAllowedError,
    CallPermissionError,
    DeadlineError,
    InvalidRequestError,
    NetworkError,
    RateLimitError,
    ServerError,
    ServiceError,
    UnreachableNumberError,
    WhatsAppCallError,
    WhatsAppSenderError,
)
from realtime_sip.stores import MemoryStore
from realtime_sip.testing import TwilioEmulator, run_virtual
from realtime_sip.twilio import AsyncTwilioAccount, twiml
from realtime_sip.twilio.whatsapp import CallPermissions, PermissionReason, PermissionVerdict

SENDER, USER = "whatsapp:+551130000001", "whatsapp:+5511987650001"
VOICE, MESSAGES = "https://voice.example.com/twilio/voice", "https://voice.example.com/twilio/message"
YES = PermissionVerdict()


def may_call(p: Provisioning) -> None:
    """Give the account a sender that the user permits to call."""
    p.twilio.account.whatsapp.own(SENDER, application_sid="AP" + "0" * 32)
    p.twilio.permit_calls(SENDER, USER)


@HOW
async def test_a_sender_is_activated_with_an_app_that_has_the_voice_url_only(how: str) -> None:
    async with provisioning(how) as p:
        p.twilio.account.whatsapp.own(SENDER)
        p.twilio.account.whatsapp.updates = 0
        sender = await p.got(p.account.whatsapp.activate(SENDER, voice_url=VOICE, message_url=MESSAGES))
        ((sid, app),) = p.twilio.account.whatsapp.applications.items()
        assert sender.takes_calls
        assert sender.application_sid == sid
        assert sender.webhook["callback_url"] == MESSAGES
        assert (app["voice_url"], app["voice_method"], app["sms_url"]) == (VOICE, "POST", None)
        assert (sender.properties.messaging_limit, sender.properties.quality_rating) == ("1K Customers/24hr", "HIGH")
        seen = len(p.wire.changes)
        await p.got(p.account.whatsapp.activate(SENDER, voice_url=VOICE, message_url=MESSAGES))
        assert len(p.wire.changes) == seen  # nothing is left to be done


@HOW
async def test_a_sender_is_deactivated_by_a_real_null(how: str) -> None:
    async with provisioning(how) as p:
        p.twilio.account.whatsapp.updates = 0
        sid = p.twilio.account.whatsapp.own(SENDER, application_sid="AP" + "0" * 32)
        sender = await p.got(p.account.whatsapp.deactivate(sid))
        (change,) = [each for each in p.wire.seen if each.method == "POST"]
        assert json.loads(change.content) == {"configuration": {"voice_application_sid": None}}
        assert change.headers["content-type"] == "application/json"
        assert sender.application_sid is None
        await p.got(p.account.whatsapp.deactivate(SENDER))
        assert len(p.wire.changes) == 1


@HOW
async def test_senders_are_listed_found_and_registered_once(how: str) -> None:
    async with provisioning(how) as p:
        sid = p.twilio.account.whatsapp.own(SENDER)
        assert [each.sid for each in await p.got(p.account.whatsapp.senders())] == [sid]
        assert p.wire.seen[0].url.params["Channel"] == "whatsapp"
        assert (await p.got(p.account.whatsapp.register(SENDER))).sid == sid
        p.wire.fault = lambda _number, request: "timeout" if request.method == "POST" else None
        made = await p.got(p.account.whatsapp.register("whatsapp:+551130000002", name="Shop"))
        assert made.status == "CREATING"
        assert len(p.wire.changes) == 1
        assert len(p.twilio.account.whatsapp.senders) == 2
        with pytest.raises(InvalidRequestError, match="register it"):
            await p.got(p.account.whatsapp.sender("whatsapp:+551130000003"))


@pytest.mark.parametrize("fault", ["timeout", "500"])
async def test_law_never_two_apps__a_create_without_an_answer_is_not_repeated(fault: str) -> None:
    async with provisioning() as p:
        p.twilio.account.whatsapp.own(SENDER)
        p.twilio.account.whatsapp.updates = 0
        p.wire.fault = lambda _number, request: (
            fault if request.method == "POST" and request.url.path.endswith("/Applications.json") else None
        )
        assert (await p.account.whatsapp.activate(SENDER, voice_url=VOICE)).takes_calls
        assert len(p.twilio.account.whatsapp.applications) == 1


async def test_two_apps_of_one_name_are_not_guessed_between() -> None:
    async with provisioning() as p:
        p.twilio.account.whatsapp.own(SENDER)
        for n in range(2):
            sid = "AP" + f"{n:032}"
            p.twilio.account.whatsapp.applications[sid] = {"sid": sid, "friendly_name": "WhatsApp calls"}
        with pytest.raises(InvalidRequestError, match="2 TwiML Apps"):
            await p.account.whatsapp.activate(SENDER, voice_url=VOICE)


def test_the_wait_until_it_is_online_is_bounded() -> None:
    async def main() -> None:
        async with TwilioEmulator() as twilio:
            sid = twilio.account.whatsapp.own(SENDER, application_sid="AP" + "0" * 32)
            options: dict[str, Any] = {"base_url": twilio.base_url, "proxy": False}
            async with AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, **options) as account:
                twilio.account.whatsapp.updates = 5
                assert (await account.whatsapp.deactivate(sid)).status == "ONLINE"
                twilio.account.whatsapp.updates = 100
                with pytest.raises(DeadlineError, match="ONLINE:UPDATING after 10 s"):
                    await account.whatsapp.activate(sid, voice_url=VOICE, wait=10)

    run_virtual(main())


@HOW
async def test_a_call_is_placed_as_the_request_shows(how: str) -> None:
    async with provisioning(how) as p:
        may_call(p)
        placed = await p.got(
            p.account.whatsapp.place_call(SENDER, USER, permission=YES, url=VOICE, status_callback=f"{VOICE}/status")
        )
        (seen,) = p.wire.seen
        assert (seen.method, seen.url.path) == ("POST", f"/2010-04-01/Accounts/{p.account.sid}/Calls.json")
        assert parse_qs(seen.content.decode()) == {
            "From": [SENDER],
            "To": [USER],
            "Url": [VOICE],
            "StatusCallback": [f"{VOICE}/status"],
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        }
        assert placed.sid.startswith("CA")


@HOW
async def test_what_is_not_permitted_is_not_sent(how: str) -> None:
    no = PermissionVerdict(PermissionReason.CALL_LIMIT, allowed_at=90000.0)
    async with provisioning(how) as p:
        with pytest.raises(CallNotAllowedError, match="1970-01-02 01:00:00") as raised:
            await p.got(p.account.whatsapp.place_call(SENDER, USER, permission=no, url=VOICE))
        assert raised.value.verdict is no
        bad: list[dict[str, Any]] = [
            {},
            {"url": "/voice"},
            {"url": VOICE, "twiml": "<Response/>"},
            {"application_sid": "A"},
        ]
        for options in bad:
            with pytest.raises(InvalidRequestError):
                await p.got(p.account.whatsapp.place_call(SENDER, USER, permission=YES, **options))
        with pytest.raises(InvalidRequestError):
            await p.got(p.account.whatsapp.place_call(SENDER[9:], USER, permission=YES, url=VOICE))
        assert p.wire.seen == []


@HOW
@pytest.mark.parametrize("fault", ["timeout", "500", "503"])
async def test_law_a_call_is_never_placed_twice(how: str, fault: str) -> None:
    async with provisioning(how) as p:
        p.wire.fault = lambda _number, _request: fault
        with pytest.raises((NetworkError, ServerError)):
            await p.got(p.account.whatsapp.place_call(SENDER, USER, permission=YES, url=VOICE))
        assert len(p.wire.seen) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (37000, CallPermissionError),
        (37001, WhatsAppCallError),
        (37003, CallLimitError),
        (37004, RateLimitError),
        (37006, CallLimitError),
        (37007, WhatsAppSenderError),
        (37008, WhatsAppSenderError),
        (37009, WhatsAppSenderError),
        (13224, UnreachableNumberError),
        (21211, UnreachableNumberError),
    ],
)
async def test_what_twilio_refuses_has_a_name(code: int, kind: type[ServiceError]) -> None:
    async with provisioning() as p:
        p.twilio.fail("Calls", status=400, code=code, retry_after=3600.0)
        with pytest.raises(kind) as raised:
            await p.account.whatsapp.place_call(SENDER, USER, permission=YES, url=VOICE)
        assert raised.value.code == str(code)
        assert kind.__name__ in errors.__all__


async def test_a_call_is_reserved_placed_and_followed_to_its_end() -> None:
    permissions = CallPermissions(MemoryStore())
    async with provisioning() as p:
        may_call(p)
        await permissions.note(SENDER, USER, "accepted")
        verdict = await permissions.reserve(SENDER, USER, "mine")
        placed = await p.account.whatsapp.place_call(SENDER, USER, permission=verdict, url=VOICE)
        await permissions.placed(SENDER, USER, "mine", placed.sid)
        second = await permissions.reserve(SENDER, USER, "other")
        with pytest.raises(CallNotAllowedError, match="under way"):
            await p.account.whatsapp.place_call(SENDER, USER, permission=second, url=VOICE)
        await permissions.note(SENDER, USER, "ended", id=placed.sid)
        assert await permissions.reserve(SENDER, USER, "third")
        assert isinstance(p.wire.seen[0], httpx.Request)


def test_twiml_dials_nobody_who_may_not_be_called() -> None:
    no = PermissionVerdict(PermissionReason.REVOKED)
    with pytest.raises(CallNotAllowedError):
        twiml.dial_whatsapp(USER, SENDER, permission=no)
    assert "<WhatsApp>" in str(twiml.dial_whatsapp(USER, SENDER, permission=YES))
