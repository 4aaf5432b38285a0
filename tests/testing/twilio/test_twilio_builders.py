"""What our builders of TwiML write, the stand-in reads without a warning and obeys: two readers, one meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio_program import Program, rejecting

from emulated import Program as Silent
from emulated import virtual
from realtime_sip import Endpoints
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, TwilioEmulator
from realtime_sip.testing.twilio.sip_uri import SipTarget, read_target
from realtime_sip.testing.twilio.twiml import parse
from realtime_sip.twilio import twiml
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import DialResult, VoiceWebhook

SIGNER = ContextSigner("a context secret of the tests")
WORKFLOW = "WW" + "0" * 32
BR_CALLER, BR_SENDER = "whatsapp:+5511987650001", "whatsapp:+551130000001"


def webhook(form: Mapping[str, str]) -> VoiceWebhook:
    return VoiceWebhook.read(urlencode(form))


def target(response: object) -> SipTarget:
    """Return whom the stand-in calls."""
    document = parse(str(response))
    assert not document.warnings + document.not_emulated
    return read_target(document.verbs[0].children[0])


@pytest.mark.parametrize(
    "response",
    [
        twiml.dial_openai(
            "proj_abc",
            action="/a",
            refer_url="/r",
            record="record-from-answer-dual",
            recording_status_callback="/c",
            status_callback="/s",
        ),
        twiml.dial_whatsapp("+5511987650001", BR_SENDER, timeout=20, time_limit=60, action="/a", status_callback="/s"),
        twiml.enqueue_flex(WORKFLOW),
        twiml.enqueue_flex(WORKFLOW, task={"a": "b"}, priority=1, wait_url="/w"),
        twiml.reject("busy"),
        twiml.say("Hello.", language="pt-BR", voice="Polly.Camila"),
        twiml.voicemail("Hello.", action="/a", recording_status_callback="/c"),
        twiml.warm_transfer_wait("room", action="/a", wait_url="/w"),
        twiml.warm_transfer_join("room", summary="Hello."),
    ],
)
def test_no_attribute_is_unknown_and_none_is_out_of_place(response: twiml.VoiceResponse) -> None:
    document = parse(str(response))
    assert (document.warnings, document.not_emulated) == ((), ())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"region": "br1", "secure": True},
        {"edge": "sao-paulo"},
        {"host": Endpoints.EU},
        {"host": Endpoints.INDIA},
        {"host": Endpoints.azure("contoso", region="swedencentral")},
    ],
)
def test_openai_is_reached_by_tls_and_nothing_is_odd(options: dict[str, Any]) -> None:
    read = target(twiml.dial_openai("proj_abc", **options))
    assert (read.encrypted, read.openai, read.user) == (True, True, "proj_abc")
    assert (read.omitted, read.odd) == ((), ())


@given(
    st.dictionaries(
        st.from_regex(r"X-[A-SU-Z][A-Za-z0-9-]{0,9}", fullmatch=True), st.text(" !\"#$%&'()*+,-./:;<=>?@\\a1")
    )
)
def test_law_the_stand_in_reads_the_headers_that_were_given(headers: dict[str, str]) -> None:
    given = {name: value for name, value in headers.items() if value}
    if len({name.lower() for name in given}) == len(given):
        assert target(twiml.dial_openai("proj_abc", headers=given)).headers == tuple(given.items())


@pytest.mark.parametrize(
    ("from_", "to", "caller", "channel", "dialed"),
    [
        ("+14155550100", "+14155550199", "+14155550100", "phone", "+14155550199"),
        ("Anonymous", "+14155550199", None, "phone", "+14155550199"),
        (BR_CALLER, BR_SENDER, "+5511987650001", "whatsapp", "+551130000001"),
        ("whatsapp:BR.1502576394655843", BR_SENDER, None, "whatsapp", "+551130000001"),
        ("client:agent_7", "+14155550199", None, "sip", "+14155550199"),
        ("+266696687", "+14155550199", None, "phone", "+14155550199"),
        ("sip:alice@pbx.example.com", "sip:+14155550199@example.sip.twilio.com", None, "sip", "+14155550199"),
    ],
)
@virtual
async def test_each_caller_reaches_openai_with_all_that_is_known(
    from_: str, to: str, caller: str | None, channel: str, dialed: str
) -> None:
    silent = Silent()

    def voice(form: Mapping[str, str]) -> str:
        return str(
            twiml.dial_openai(
                "proj_abc123", voice=webhook(form), context={"tier": "gold"}, signer=SIGNER, region="br1", secure=True
            )
        )

    async with (
        OpenAIEmulator() as openai,
        Program(voice=voice) as program,
        TwilioEmulator(openai=openai, openai_webhook=silent) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", from_=from_, to=to)
        await (await call.until_openai()).until_delivered()
        (incoming,) = silent.incoming
        assert (incoming.caller, incoming.channel, incoming.dialed) == (caller, channel, dialed)
        assert incoming.media_security == "srtp"
        context = SIGNER.verify(incoming.sip, now=twilio.now())
        assert getattr(context, "parent_call_sid", None) == call.sid
        assert getattr(context, "items", None) == (("tier", "gold"),)
        call.hang_up()
        await call.ended()
        assert twilio.alerts == []


@pytest.mark.parametrize(
    ("status", "times", "became"),
    [
        (603, 100, [AfterDial.REJECTED]),
        (486, 100, [AfterDial.REJECTED]),
        (503, 100, [AfterDial.UNREACHABLE, AfterDial.UNREACHABLE]),
        (503, 1, [AfterDial.UNREACHABLE, AfterDial.TALKED]),
        (404, 1, [AfterDial.UNREACHABLE, AfterDial.TALKED]),
        (403, 100, [AfterDial.FAILED]),
    ],
)
@virtual
async def test_the_fallback_after_each_end_of_a_dial(status: int, times: int, became: list[AfterDial]) -> None:
    seen: list[AfterDial] = []

    def after(form: Mapping[str, str]) -> str:
        seen.append(twiml.after_dial(DialResult.read(urlencode(form)).fields))
        assert twiml.after_dial(form) is seen[-1]
        if seen[-1].try_again and len(seen) == 1:
            return str(twiml.dial_openai("proj_abc123", action="/after"))
        return str(twiml.VoiceResponse() if seen[-1] is AfterDial.TALKED else twiml.say("Nobody can answer now."))

    talk = [ModelSays("Hello."), CallerHangsUp()]
    async with (
        OpenAIEmulator() as openai,
        rejecting(openai, status, times=times) as host,
        Program(voice=str(twiml.dial_openai("proj_abc123", action="/after")), after=after) as program,
        TwilioEmulator(openai=openai, openai_webhook=host, strict=False) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=[], then=[talk])
        await call.ended()
    assert seen == became
