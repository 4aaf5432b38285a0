"""A call from the caller's first ring to its last callback, as TwiML says: over real sockets, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from twilio_program import PROJECT, Program, answering, dial, rejecting

from emulated import Program as Silent
from emulated import virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    Callee,
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelSays,
    OpenAIEmulator,
    ScenarioError,
    TwilioBehavior,
    TwilioCall,
    TwilioEmulator,
)
from realtime_sip.testing.openai.server import Reply

TALK = [ModelSays("Hello."), CallerSays("Bye."), ModelSays("Bye."), CallerHangsUp()]
BR_CALLER, BR_SENDER = "whatsapp:+5511987650001", "whatsapp:+551130000001"

TO_WHATSAPP = (
    f"<Response><Dial action='/after' callerId='{BR_SENDER}'><WhatsApp>+5511987650001</WhatsApp></Dial></Response>"
)


def kinds(call: TwilioCall) -> list[str]:
    return [request.kind for request in call.requests]


async def alone(routes: dict[str, Any], *, from_: str = "+14155550100", **options: Any) -> TwilioCall:
    """A call that OpenAI has no part in, until it is over."""
    ring = {name: options.pop(name) for name in ("alerts", "fallback_url", "method") if name in options}
    async with Program(**routes) as program, TwilioEmulator(**options) as twilio:
        if "fallback_url" in ring:
            ring["fallback_url"] = program.url + ring["fallback_url"]
        call = await twilio.ring(f"{program.url}/voice", from_=from_, **ring)
        await call.ended()
        return call


@virtual
async def test_a_phone_call_is_dialed_to_openai_answered_and_over() -> None:
    events = "initiated ringing answered completed"
    noun = f' statusCallback="/child" statusCallbackEvent="{events}"'
    twiml = dial(f"{PROJECT};secure=true?X-Tier=gold%3Bplus&amp;X-Channel=phone", noun=noun, action="/after")
    async with (
        OpenAIEmulator() as openai,
        answering(openai) as host,
        Program(voice=twiml) as program,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=TALK, status_callback=f"{program.url}/parent")
        ringing = await call.until_openai()
        assert call.status == "ringing"
        assert await call.ended() == "completed"
        assert (await ringing.ended()).by is EndedBy.CALLER
        assert call.history == ["ringing", "in-progress", "completed"]
        (child,) = call.children
        assert child.history == ["initiated", "ringing", "in-progress", "completed"]
        voice, after = call.requested("voice")[0], call.requested("action")[0]
        assert (voice["CallStatus"], voice["Direction"], voice["FromCity"]) == ("ringing", "inbound", "")
        assert (after["DialCallStatus"], after["DialSipResponseCode"]) == ("completed", "200")
        assert (after["DialCallSid"], after["DialBridged"]) == (child.sid, "true")
        assert after["DialCallDuration"] == str(child.seconds)
        told = [request for request in call.requested("status") if request["CallSid"] == child.sid]
        assert [request["CallStatus"] for request in told] == ["initiated", "ringing", "in-progress", "completed"]
        assert [request["SequenceNumber"] for request in told] == ["0", "1", "2", "3"]
        assert {request["ParentCallSid"] for request in told} == {call.sid}
        (ended,) = (request for request in call.requested("status") if request["CallSid"] == call.sid)
        assert (ended["CallStatus"], ended["CallbackSource"]) == ("completed", "call-progress-events")
        assert ended["Timestamp"].endswith(" +0000")


@virtual
async def test_the_webhook_of_openai_has_the_headers_that_the_twiml_made() -> None:
    target = Silent()
    twiml = dial(f"{PROJECT};secure=true;region=br1?X-Channel=whatsapp&amp;X-Dialed-Number=%2B551130000001")
    async with (
        OpenAIEmulator() as openai,
        Program(voice=twiml) as program,
        TwilioEmulator(openai=openai, openai_webhook=target) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", from_=BR_CALLER, to=BR_SENDER)
        await (await call.until_openai()).until_delivered()
        (incoming,) = target.incoming
        headers = incoming.sip
        assert (incoming.media_security, incoming.caller, incoming.dialed, incoming.channel) == (
            "srtp",
            "+14155550100",
            "+551130000001",
            "whatsapp",
        )
        assert headers.get("To") == "<sip:proj_abc123@sip.api.openai.com;transport=tls>"
        assert headers.get("X-Twilio-CallSid") == call.children[0].sid
        assert headers.get("X-Twilio-AccountSid") == twilio.account_sid
        assert "Diversion" not in headers
        call.hang_up()
        await call.ended()


async def test_it_runs_in_real_time_too_as_fast_as_openai_s_side() -> None:
    twiml = dial(f"{PROJECT}?X-Channel=phone", action="/after")
    async with (
        OpenAIEmulator(speed=200) as openai,
        answering(openai) as host,
        Program(voice=twiml) as program,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=TALK)
        assert await call.ended() == "completed"
        assert call.requested("action")[0]["DialCallStatus"] == "completed"


@pytest.mark.parametrize(
    ("from_", "has", "lacks"),
    [
        ("+14155550100", {"FromCountry": "US", "StirVerstat": "TN-Validation-Passed-A"}, "ApplicationSid"),
        ("+266696687", {"FromCountry": ""}, "StirVerstat"),
        ("Anonymous", {"From": "Anonymous", "CallerCountry": "TH"}, "SipDomain"),
        (BR_CALLER, {"From": BR_CALLER, "To": "whatsapp:+14155550199"}, "FromCountry"),
        ("whatsapp:BR.1502576394655843", {"Caller": "whatsapp:BR.1502576394655843"}, "FromCountry"),
        ("sip:alice@pbx.example.com", {"SipDomain": "example.sip.twilio.com", "SipHeader_X-Route": "7"}, "FromCity"),
        ("client:agent_7", {"From": "client:agent_7"}, "FromCity"),
    ],
)
@virtual
async def test_each_kind_of_caller_has_its_parameters(from_: str, has: dict[str, str], lacks: str) -> None:
    async with Program(voice="<Response><Reject/></Response>") as program, TwilioEmulator() as twilio:
        call = await twilio.ring(f"{program.url}/voice", from_=from_, sip_headers=[("X-Route", "7")])
        assert await call.ended() == "no-answer"
        params = call.requests[0].params
        assert has.items() <= params.items()
        assert lacks not in params
        assert params["CallSid"] == call.sid


@pytest.mark.parametrize(
    ("status", "word"), [(486, "busy"), (603, "busy"), (480, "no-answer"), (404, "failed"), (500, "failed")]
)
@virtual
async def test_a_reject_reaches_the_action_and_the_caller_never_paid(status: int, word: str) -> None:
    twiml = dial(action="/after")
    async with (
        OpenAIEmulator() as openai,
        Program(voice=twiml) as program,
        rejecting(openai, status) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        assert await call.ended() == word
        after = call.requested("action")[0]
        assert (after["DialCallStatus"], after["DialSipResponseCode"]) == (word, str(status))
        assert (after["DialBridged"], after["CallStatus"]) == ("false", "ringing")
        assert "DialCallDuration" not in after.params


@virtual
async def test_a_call_that_nobody_decides_on_fails_with_400_and_the_action_goes_on() -> None:
    routes = {"voice": dial(action="/after"), "after": "<Response><Say>Nobody is here.</Say></Response>"}
    async with (
        OpenAIEmulator() as openai,
        Program(**routes) as program,
        TwilioEmulator(openai=openai, openai_webhook=Silent()) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        assert await call.ended() == "completed"
        assert call.requested("action")[0]["DialSipResponseCode"] == "400"
        assert call.heard == ["Nobody is here."]
        assert call.openai_calls[0].state == "ended"


@virtual
async def test_twilio_gives_up_before_openai_does_and_the_webhook_is_out() -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(action="/after", timeout="5")) as program,
        TwilioEmulator(openai=openai, openai_webhook=Silent()) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        ringing = await call.until_openai()
        assert await call.ended() == "no-answer"
        after = call.requested("action")[0]
        assert after["DialCallStatus"] == "no-answer"
        assert after.at == pytest.approx(10.3, abs=0.1)
        assert "DialSipResponseCode" not in after.params
        await ringing.until_delivered()
        assert (await ringing.ended()).by is EndedBy.CALLER


@pytest.mark.parametrize("canceled", ["answers", "gone"])
@virtual
async def test_a_caller_gives_up_after_the_webhook(canceled: Any) -> None:
    scenario = [CallerHangsUp(while_ringing=True, after=2.0)]
    async with OpenAIEmulator(behavior=Behavior(canceled=canceled)) as openai, Program(voice=dial()) as program:
        behavior = TwilioBehavior(caller_gave_up="canceled")
        async with TwilioEmulator(openai=openai, openai_webhook=Silent(), behavior=behavior) as twilio:
            call = await twilio.ring(f"{program.url}/voice", scenario=scenario)
            assert await call.ended() == "canceled"
            assert call.children[0].status == "canceled"
            await call.openai_calls[0].until_delivered()


@virtual
async def test_without_answer_on_bridge_the_caller_pays_for_a_reject() -> None:
    twiml = dial(answerOnBridge="false")
    async with (
        OpenAIEmulator() as openai,
        Program(voice=twiml) as program,
        rejecting(openai, 486) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        assert await call.ended() == "completed"


@virtual
async def test_the_program_hangs_up_and_twilio_goes_on_with_the_action() -> None:
    routes = {"voice": dial(action="/after"), "after": "<Response><Say>One question.</Say></Response>"}
    async with (
        OpenAIEmulator() as openai,
        Program(**routes) as program,
        answering(openai, hang_up=True) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=[ModelSays("Hello.")])
        assert await call.ended() == "completed"
        assert call.openai_calls[0].tally.hangups == 1
        assert call.requested("action")[0]["DialCallStatus"] == "completed"
        assert call.heard == ["One question."]


@virtual
async def test_a_second_dial_plays_a_scenario_of_its_own() -> None:
    tries: list[str] = []

    def after(params: Any) -> str:
        tries.append(params["DialCallStatus"])
        return dial(action="/after") if len(tries) == 1 else "<Response/>"

    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(action="/after"), after=after) as program,
        rejecting(openai, 503, times=1) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", then=[[ModelSays("Hello."), CallerHangsUp()]])
        await call.ended()
        assert tries == ["failed", "completed"]
        assert [ringing.state for ringing in call.openai_calls] == ["ended", "ended"]


@virtual
async def test_the_time_limit_ends_the_bridge() -> None:
    async with (
        OpenAIEmulator() as openai,
        answering(openai) as host,
        Program(voice=dial(timeLimit="60")) as program,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=[ModelSays("Hello.")])
        await call.ended()
        assert call.children[0].seconds == 60


@pytest.mark.parametrize(
    ("twiml", "from_", "code"),
    [
        (dial(callerId="whatsapp:+5511987650001", action="/after"), BR_CALLER, 13224),
        ("<Response><Dial action='/after'><Number>+14155550101</Number></Dial></Response>", BR_CALLER, 13224),
        ("<Response><Dial action='/after'>+14155550101</Dial></Response>", "whatsapp:BR.150257639", 13224),
        ("<Response><Dial action='/after'><WhatsApp>+5511987650001</WhatsApp></Dial></Response>", BR_CALLER, 37008),
        (TO_WHATSAPP, "+14155550100", 13224),
        (dial("sip:proj abc@sip.api.openai.com", action="/after"), "+14155550100", 21228),
        (dial(f"{PROJECT}?X-A={'a' * 1020}", action="/after"), "+14155550100", 21227),
        ("<Response><Dial action='/after'><Number>+14155550101</Number></Dial></Response>", "client:agent_7", 13214),
        (
            "<Response><Dial action='/after' callerId='+14155550199'>+14155550101</Dial></Response>",
            "client:+14155550199",
            13214,
        ),
        (TO_WHATSAPP.replace("+5511987650001", "5511"), BR_CALLER, 13224),
        (TO_WHATSAPP.replace("+5511987650001", "BR.1502576394655843"), BR_CALLER, 13224),
        ("<Response><Dial action='/after'><Client/></Dial></Response>", "+14155550100", None),
        ("<Response><Dial action='/after'><Queue>support</Queue></Dial></Response>", "+14155550100", None),
        ("<Response><Dial action='/after'><Number>call me</Number></Dial></Response>", "+14155550100", 13224),
        ("<Response><Dial action='/after'><Conference/></Dial></Response>", "+14155550100", None),
    ],
)
@virtual
async def test_what_twilio_refuses_to_dial_comes_to_the_action_with_a_message_and_no_code(
    twiml: str, from_: str, code: int | None
) -> None:
    call = await alone({"voice": twiml}, from_=from_, alerts=[code])
    after = call.requested("action")[0]
    assert (after["DialCallStatus"], after["DialBridged"]) == ("failed", "false")
    assert after["ErrorMessage"]
    assert not {"DialCallSid", "DialSipResponseCode"} & after.params.keys()
    assert call.children == []


@pytest.mark.parametrize(
    ("twiml", "from_", "code", "sip"),
    [
        (dial(callerId=""), BR_CALLER, 13224, 400),
        (dial(callerId=""), "client:agent_7", 13224, 400),
        (dial(PROJECT.replace("proj_", "org-")), "+14155550100", None, 404),
        (dial(PROJECT.replace(";transport=tls", "")), "+14155550100", None, 408),
    ],
)
@virtual
async def test_what_openai_refuses_never_becomes_a_webhook(twiml: str, from_: str, code: int | None, sip: int) -> None:
    async with OpenAIEmulator() as openai, Program(voice=twiml) as program:
        target = Silent()
        async with TwilioEmulator(openai=openai, openai_webhook=target) as twilio:
            call = await twilio.ring(f"{program.url}/voice", from_=from_, alerts=[code])
            await call.ended()
            assert (call.children[0].sip_code, target.incoming) == (sip, [])


@virtual
async def test_two_parameters_joined_as_a_query_lose_encryption_and_say_so() -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(f"{PROJECT}&amp;secure=true")) as program,
        TwilioEmulator(openai=openai, openai_webhook=Silent(), strict=False) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        assert await call.ended() == "no-answer"
        assert "a transport that does not exist" in call.alerts[0].message


@virtual
async def test_an_edge_behind_a_question_mark_is_a_header_that_is_left_out() -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(f"{PROJECT}?edge=frankfurt")) as program,
        TwilioEmulator(openai=openai, openai_webhook=Silent()) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", alerts=[32113])
        await call.until_openai()
        assert call.alerts[0].warning
        call.hang_up()
        await call.ended()


@virtual
async def test_people_are_dialed_as_the_table_says() -> None:
    twiml = (
        "<Response><Dial action='/after' callerId='+14155550199'><Number>+14155550101</Number>"
        "<Client>agent</Client></Dial></Response>"
    )
    callees = {"+14155550101": Callee(rings=9), "client:agent": Callee(rings=3, talks=20)}
    call = await alone({"voice": twiml}, callees=callees)
    assert [(leg.to, leg.status) for leg in call.children] == [
        ("+14155550101", "canceled"),
        ("client:agent", "completed"),
    ]
    after = call.requested("action")[0]
    assert (after["DialCallSid"], after["DialCallDuration"]) == (call.children[1].sid, "20")
    assert "DialSipResponseCode" not in after.params


@pytest.mark.parametrize(
    ("callee", "word"),
    [
        (Callee(outcome="busy"), "busy"),
        (Callee(outcome="no answer"), "no-answer"),
        (Callee(outcome="failed"), "failed"),
    ],
)
@virtual
async def test_people_who_do_not_answer(callee: Callee, word: str) -> None:
    twiml = "<Response><Dial action='/after'><Sip>sip:desk@pbx.example.com</Sip></Dial></Response>"
    call = await alone({"voice": twiml}, callees={"sip:desk@pbx.example.com": callee})
    assert call.requested("action")[0]["DialCallStatus"] == word


WHISPER = "<Response><Say>A caller for you.</Say><Pause length='2'/>{}</Response>"


@pytest.mark.parametrize(
    ("whisper", "bridged", "alerts"),
    [
        (WHISPER.format(""), "true", []),
        (WHISPER.format("<Hangup/>"), "false", []),
        (Reply(status=500), "false", [11200]),
    ],
)
@virtual
async def test_a_whisper_is_played_to_who_answers_and_may_refuse(whisper: Any, bridged: str, alerts: list[int]) -> None:
    twiml = "<Response><Dial action='/after'><Number url='/whisper'>+14155550101</Number></Dial></Response>"
    call = await alone({"voice": twiml, "whisper": whisper}, alerts=alerts)
    assert kinds(call) == ["voice", "whisper", "action"]
    assert call.requested("whisper")[0]["ParentCallSid"] == call.sid
    assert call.requested("action")[0]["DialBridged"] == bridged


@virtual
async def test_two_sips_in_a_dial_need_the_enhanced_features() -> None:
    two = "<Response><Dial action='/after'><Sip>sip:a@x.example</Sip><Sip>sip:b@x.example</Sip></Dial></Response>"
    call = await alone({"voice": two}, callees={"sip:a@x.example": Callee(outcome="busy")})
    assert [leg.status for leg in call.children] == ["busy", "completed"]
    call = await alone({"voice": two}, behavior=TwilioBehavior(enhanced_sip=False), alerts=[None])
    assert call.children == []


@virtual
async def test_a_whatsapp_caller_is_dialed_to_another_and_a_phone_is_recorded() -> None:
    taken = TwilioBehavior(whatsapp_calls="taken")
    call = await alone({"voice": TO_WHATSAPP}, from_=BR_CALLER, behavior=taken)
    assert [(leg.to, leg.from_, leg.status) for leg in call.children] == [
        ("whatsapp:+5511987650001", BR_SENDER, "completed")
    ]
    twiml = (
        "<Response><Dial action='/after' record='record-from-answer-dual' recordingStatusCallback='/recorded'>"
        "<Number>+14155550101</Number></Dial><Pause length='9'/></Response>"
    )
    call = await alone({"voice": twiml, "after": "<Response><Pause length='9'/></Response>"})
    (recorded,) = call.requested("recording")
    assert call.requested("action")[0]["RecordingUrl"] == recorded["RecordingUrl"]
    assert (recorded["RecordingSource"], recorded["RecordingChannels"]) == ("DialVerb", "2")


@virtual
async def test_a_whatsapp_user_id_is_called_if_the_switch_says_so() -> None:
    to = TO_WHATSAPP.replace("+5511987650001", "BR.1502576394655843")
    behavior = TwilioBehavior(user_id_recipients="taken", whatsapp_calls="taken")
    call = await alone({"voice": to}, from_=BR_CALLER, behavior=behavior)
    assert [leg.to for leg in call.children] == ["whatsapp:BR.1502576394655843"]


@virtual
async def test_what_is_not_emulated_and_what_fails_unseen_are_alerts() -> None:
    call = await alone({"voice": "<Response><Gather/><Say>Hi.</Say></Response>"}, alerts=[None])
    assert (call.alerts[0].message, call.heard) == ("Gather is not emulated", ["Hi."])
    noun = " statusCallback='/child'"
    twiml = f"<Response><Dial><Number{noun}>+14155550101</Number></Dial></Response>"
    call = await alone({"voice": twiml, "child": Reply(status=403)}, alerts=[11200])
    assert call.alerts[0].warning
    call = await alone(
        {"voice": "<Response><Enqueue waitUrl='/w'/></Response>", "w": Reply(status=500)}, alerts=[11200]
    )
    call = await alone({"voice": Reply(status=204)})
    assert (call.status, call.alerts) == ("completed", [])
    call = await alone({"voice": dial()}, alerts=[None])
    assert "has no openai" in call.alerts[0].message


@virtual
async def test_verbs_are_played_one_after_another_and_redirects_followed() -> None:
    routes = {
        "voice": "<Response><Say>One</Say><Pause length='2'/><Redirect>next?x=1</Redirect><Say>Never</Say></Response>",
        "next": "<Response><Play>hold.mp3</Play><Hangup/><Say>Never</Say></Response>",
    }
    call = await alone(routes)
    assert (kinds(call), call.heard) == (["voice", "redirect"], ["One", "hold.mp3"])
    assert call.requests[1].url.endswith("/next?x=1")
    assert call.requests[1]["CallStatus"] == "in-progress"


@virtual
async def test_a_caller_is_put_into_a_queue_of_flex_and_an_agent_takes_them() -> None:
    twiml = """<Response><Enqueue workflowSid="WW1" action="/left" waitUrl="/wait"><Task>{"lang": "pt"}</Task></Enqueue>
    </Response>"""
    call = await alone({"voice": twiml}, from_=BR_CALLER)
    (queued,) = call.queued
    assert (queued.workflow_sid, queued.task) == ("WW1", {"lang": "pt"})
    assert kinds(call) == ["voice", "wait", "action"]
    left = call.requested("action")[0]
    assert (left["QueueResult"], left["QueueTime"]) == ("bridged", "8")  # without the 30 seconds of the talk
    assert call.children == []


@virtual
async def test_an_empty_action_of_a_queue_is_none_unless_it_is_the_document() -> None:
    twiml = '<Response><Enqueue action="" method="POST" workflowSid="WW1">call</Enqueue></Response>'
    assert kinds(await alone({"voice": twiml})) == ["voice"]

    def once(params: Any) -> str:
        return "<Response/>" if "QueueResult" in params else twiml

    assert kinds(await alone({"voice": once}, behavior=TwilioBehavior(empty_action="document"))) == ["voice", "action"]


@virtual
async def test_a_caller_leaves_a_queue() -> None:
    twiml = "<Response><Enqueue action='/left'>support</Enqueue></Response>"
    async with (
        Program(voice=twiml) as program,
        TwilioEmulator(callees={"support": Callee(outcome="no answer")}) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        assert (await call.until_queued()).name == "support"
        call.hang_up()
        assert await call.ended() == "completed"
        assert call.requested("action")[0]["QueueResult"] == "hangup"


@virtual
async def test_a_voicemail_is_recorded_and_reported() -> None:
    routes = {
        "voice": "<Response><Record action='/done' recordingStatusCallback='/recorded' maxLength='5'/></Response>",
        "done": "<Response><Say>Thanks.</Say><Pause length='5'/></Response>",
    }
    call = await alone(routes)
    assert kinds(call) == ["voice", "action", "recording"]
    done, recorded = call.requests[1:]
    assert (done["RecordingDuration"], recorded["RecordingStatus"]) == ("5", "completed")
    assert recorded["RecordingSid"] in done["RecordingUrl"]
    assert (recorded["CallSid"], recorded["RecordingSource"]) == (call.sid, "RecordVerb")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Reply(status=500), 11200),
        (Reply(status=403), 11200),
        (Reply(body=b"<Response/>", content_type="application/json"), 12300),
        (Reply(body=b"<Response/>", content_type="text/html"), 12300),
        ("not xml", 12100),
        (Reply(status=308, headers=(("location", "/other"),)), 11216),
    ],
)
@virtual
async def test_a_document_that_is_none_is_told_to_the_fallback(answer: Any, code: int) -> None:
    routes = {"voice": answer, "fallback": "<Response><Say>We call you back.</Say></Response>"}
    call = await alone(routes, alerts=[code], fallback_url="/fallback")
    assert call.heard == ["We call you back."]
    fallback = call.requested("fallback")[0]
    assert (fallback["ErrorCode"], fallback["ErrorUrl"]) == (str(code), call.requests[0].url)


@virtual
async def test_redirects_of_http_are_followed_and_signed_again() -> None:
    routes: dict[str, Any] = {"voice": Reply(status=302, headers=(("location", "/there?a=1"),)), "there": "<Response/>"}
    call = await alone(routes)
    assert [request.method for request in call.requests] == ["POST", "GET"]
    assert call.requests[1].url.partition("?")[2].startswith("a=1&CallSid=CA")


@virtual
async def test_html_is_taken_if_twilio_does() -> None:
    reply = Reply(body=b"<Response><Say>Hi.</Say></Response>", content_type="text/html; charset=utf-8")
    call = await alone({"voice": reply}, behavior=TwilioBehavior(answer_to_html="taken"))
    assert call.heard == ["Hi."]


@pytest.mark.parametrize(("fragment", "tries"), [("", 2), ("#rc=3", 4), ("#rc=0", 1)])
@virtual
async def test_a_url_that_nobody_answers_is_repeated_as_its_fragment_says(fragment: str, tries: int) -> None:
    async with TwilioEmulator() as twilio:
        call = await twilio.ring(f"http://127.0.0.1:9/voice{fragment}", alerts=[11205])
        await call.ended()
        assert [request.status_code for request in call.requests] == [None] * tries
        assert {request.url for request in call.requests} == {"http://127.0.0.1:9/voice"}
        assert len({request.headers["i-twilio-idempotency-token"] for request in call.requests}) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
@virtual
async def test_requests_are_signed_for_the_public_url_behind_a_tunnel(method: Any) -> None:
    validator = pytest.importorskip("twilio.request_validator", reason="needs the package twilio").RequestValidator
    async with (
        Program(voice="<Response><Redirect>/next?q=a%20b%3A</Redirect></Response>") as program,
        TwilioEmulator(tunnels={"https://voice.example.com": program.url}) as twilio,
    ):
        call = await twilio.ring("https://voice.example.com/voice?x=%2B1", from_=BR_CALLER, method=method)
        await call.ended()
        for request, (seen, params) in zip(call.requests, program.seen, strict=True):
            assert request.url.startswith("https://voice.example.com/")
            assert (seen.header("host"), seen.header("x-forwarded-proto")) == ("voice.example.com", "https")
            form = params if request.method == "POST" else {}
            form = {name: value for name, value in form.items() if name not in ("x", "q")}
            assert validator(twilio.auth_token).validate(request.url, form, seen.header("x-twilio-signature"))


@pytest.mark.parametrize(("order", "copies"), [("in order", 1), ("in order", 2), ("reversed", 1)])
@virtual
async def test_status_callbacks_come_in_any_order_and_more_than_once(order: Any, copies: int) -> None:
    noun = ' statusCallback="/child" statusCallbackEvent="initiated ringing answered completed"'
    twiml = f"<Response><Dial><Number{noun}>+14155550101</Number></Dial></Response>"
    behavior = TwilioBehavior(status_callbacks=order, status_copies=copies)
    call = await alone({"voice": twiml}, behavior=behavior)
    numbers = [int(request["SequenceNumber"]) for request in call.requested("status")]
    rising = [number for number in range(4) for _ in range(copies)]
    assert numbers == (rising if order == "in order" else rising[::-1])


@pytest.mark.parametrize("after", ["in-progress", "completed", "none"])
@virtual
async def test_the_action_after_a_caller_hung_up(after: Any) -> None:
    twiml = "<Response><Dial action='/after'><Number>+14155550101</Number></Dial></Response>"
    async with (
        Program(voice=twiml) as program,
        TwilioEmulator(behavior=TwilioBehavior(action_after_caller=after)) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        await call.until_dialed(answered=True)
        call.hang_up()
        await call.ended()
        asked = [(request["CallStatus"], request["DialCallStatus"]) for request in call.requested("action")]
        assert asked == ([] if after == "none" else [(after, "completed")])


@virtual
async def test_a_strict_call_tells_what_went_otherwise() -> None:
    with pytest.raises(ScenarioError, match=r"12200: Response has no Dail inside.*an alert with the code 13224"):
        await alone({"voice": "<Response><Dail/></Response>"}, alerts=[13224])
    with pytest.raises(ScenarioError, match="not all scenarios were played"):
        async with Program() as program, TwilioEmulator() as twilio:
            await (await twilio.ring(f"{program.url}/voice", scenario=TALK)).ended()


@virtual
async def test_documents_that_lead_in_a_circle_end_the_call() -> None:
    call = await alone({"voice": "<Response><Redirect/></Response>"}, alerts=[None])
    assert len(call.requests) == 100


@virtual
async def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="AC and 32"):
        TwilioEmulator(account_sid="AC1")
    with pytest.raises(ConfigurationError, match="rung by openai"):
        TwilioEmulator(openai_webhook=Silent())
    with pytest.raises(ConfigurationError, match="entered first"):
        await TwilioEmulator().ring("http://127.0.0.1:9/voice")
    with pytest.raises(ConfigurationError, match="before it is entered"):
        await TwilioEmulator(openai=OpenAIEmulator()).__aenter__()
    async with TwilioEmulator() as twilio:
        for options in ({"from_": "whatsapp:5511"}, {"method": "PUT"}, {"fallback_url": "ftp://x"}):
            with pytest.raises(ConfigurationError):
                await twilio.ring("http://127.0.0.1:9/voice", **options)  # type: ignore[arg-type]
    for wrong in ({"outcome": "sings"}, {"rings": -1}, {"code": 200}):
        with pytest.raises(ConfigurationError):
            Callee(**wrong)


@virtual
async def test_waiting_for_what_does_not_come_says_what_came() -> None:
    async with Program(voice="<Response><Reject reason='busy'/></Response>") as program, TwilioEmulator() as twilio:
        call = await twilio.ring(f"{program.url}/voice")
        with pytest.raises(ScenarioError, match=r"expected 1 call\(s\) to OpenAI .* busy; requests: voice 200"):
            await call.until_openai()
        with pytest.raises(ScenarioError, match="request"):
            await call.until_requested("action", timeout=1)
        assert repr(call) == f"<TwilioCall {call.sid} busy>"
        assert twilio.calls == [call]


@virtual
async def test_nothing_that_is_not_on_this_machine_is_requested() -> None:
    far = "https://voice.example.com/after"
    twiml = f"<Response><Enqueue waitUrl='https://music.example.com/' action='{far}'>support</Enqueue></Response>"
    call = await alone({"voice": twiml}, alerts=[None])
    assert kinds(call) == ["voice"]
    assert call.alerts[0].message == "the URL is not on this machine, and no tunnel leads there"
    for url in ("mailto:me", "http://[::1"):
        for verb in (f"<Redirect>{url}</Redirect>", f"<Dial action='{url}'><Client>a</Client></Dial>"):
            call = await alone({"voice": f"<Response>{verb}</Response>"}, strict=False)
            assert (call.status, {alert.code for alert in call.alerts}) == ("completed", {11100})
