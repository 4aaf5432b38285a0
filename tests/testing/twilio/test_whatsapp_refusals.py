"""The emulated Twilio refuses calls to WhatsApp users by activation and by permission, with Twilio's codes."""

from __future__ import annotations

import pytest
from twilio_program import Program

from emulated import virtual
from realtime_sip.errors import CallLimitError, CallPermissionError, ServiceError, WhatsAppSenderError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.testing import Callee, TwilioBehavior, TwilioEmulator
from realtime_sip.twilio import AsyncTwilioAccount, twiml

SENDER, USER = "whatsapp:+551130000001", "whatsapp:+5511987650001"
APP = "AP" + "0" * 32
DAY = 86_400.0


class Calling:
    """Calls a user of an account, again and again."""

    def __init__(self, twilio: TwilioEmulator, account: AsyncTwilioAccount) -> None:
        self.twilio = twilio
        self.account = account

    async def call(self, sender: str = SENDER, *, over: bool = True) -> str | None:
        """Return the code with which a call is refused, or None; wait until it is over."""
        try:
            options = {"permission": PermissionVerdict(), "twiml": twiml.say("Hi.")}
            placed = await self.account.whatsapp.place_call(sender, USER, **options)  # type: ignore[arg-type]
        except ServiceError as error:
            return error.code
        call = next(each for each in self.twilio.calls if each.sid == placed.sid)
        if over:
            await call.ended()
        return None


def account_of(twilio: TwilioEmulator) -> AsyncTwilioAccount:
    return AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, base_url=twilio.base_url, proxy=False)


@virtual
async def test_a_sender_has_to_be_the_accounts_and_activated() -> None:
    async with TwilioEmulator() as twilio, account_of(twilio) as account:
        calling = Calling(twilio, account)
        assert await calling.call() == "37008"
        twilio.account.whatsapp.own(SENDER)
        assert await calling.call() == "37009"
        twilio.account.whatsapp.applications[APP] = {"sid": APP}
        await account.whatsapp.activate(SENDER, application_sid=APP)
        assert await calling.call() == "37000"
        twilio.permit_calls(SENDER, USER)
        assert await calling.call() is None
        await account.whatsapp.deactivate(SENDER)
        assert await calling.call() == "37009"


@pytest.mark.parametrize("sender", ["whatsapp:+14155550199", "whatsapp:+201000000001", "whatsapp:+905300000001"])
@virtual
async def test_a_sender_of_some_countries_cannot_call(sender: str) -> None:
    async with TwilioEmulator() as twilio, account_of(twilio) as account:
        twilio.account.whatsapp.own(sender, application_sid=APP)
        twilio.permit_calls(sender, USER)
        assert await Calling(twilio, account).call(sender) == "37007"


@virtual
async def test_a_permission_lasts_seven_days_and_may_be_taken_back() -> None:
    async with Program() as program, TwilioEmulator() as twilio, account_of(twilio) as account:
        twilio.account.whatsapp.own(SENDER, application_sid=APP)
        calling = Calling(twilio, account)
        url = f"{program.url}/message"
        await twilio.reply_to_permission(url, from_=USER, to=SENDER, accepted=True)
        assert await calling.call() is None
        await twilio.reply_to_permission(url, from_=USER, to=SENDER, accepted=False)
        assert await calling.call() == "37000"
        twilio.permit_calls(SENDER, USER)
        await twilio._clock.sleep(7 * DAY)
        assert await calling.call() == "37000"


@virtual
async def test_one_call_at_a_time_and_five_connected_within_a_day() -> None:
    async with TwilioEmulator(callees={USER: Callee(talks=60)}) as twilio, account_of(twilio) as account:
        twilio.account.whatsapp.own(SENDER, application_sid=APP)
        twilio.permit_calls(SENDER, USER)
        calling = Calling(twilio, account)
        assert await calling.call(over=False) is None
        assert await calling.call() == "37003"
        await twilio.calls[0].ended()
        for _ in range(4):
            assert await calling.call() is None
        assert await calling.call() == "37006"
        await twilio._clock.sleep(DAY)
        assert await calling.call() is None


@virtual
async def test_four_missed_calls_in_a_row_end_a_permission() -> None:
    async with TwilioEmulator(callees={USER: Callee(outcome="busy")}) as twilio, account_of(twilio) as account:
        twilio.account.whatsapp.own(SENDER, application_sid=APP)
        twilio.permit_calls(SENDER, USER)
        calling = Calling(twilio, account)
        for _ in range(4):
            assert await calling.call() is None
        assert await calling.call() == "37000"
        await twilio._clock.sleep(1)
        twilio.permit_calls(SENDER, USER)
        assert await calling.call() is None


@virtual
async def test_a_dial_is_refused_as_a_call_by_rest_is() -> None:
    dial = str(twiml.dial_whatsapp(USER, SENDER))
    async with Program(voice=dial) as program, TwilioEmulator(strict=False) as twilio:
        twilio.account.whatsapp.own(SENDER, application_sid=APP)
        call = await twilio.ring(f"{program.url}/voice", from_="whatsapp:+5511987650002")
        await call.ended()
        assert ([alert.code for alert in call.alerts], call.children) == ([37000], [])


@virtual
async def test_with_the_switch_every_call_is_taken() -> None:
    behavior = TwilioBehavior(whatsapp_calls="taken")
    async with TwilioEmulator(behavior=behavior) as twilio, account_of(twilio) as account:
        assert await Calling(twilio, account).call() is None


def test_each_code_is_an_error_with_a_name() -> None:
    from realtime_sip.twilio.operations import _BY_CODE

    named = {37000: CallPermissionError, 37003: CallLimitError, 37006: CallLimitError, 37007: WhatsAppSenderError}
    assert {code: _BY_CODE[code] for code in named} == named
