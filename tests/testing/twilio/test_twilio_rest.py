"""The REST API: calls, messages and conferences with state, for httpx and for twilio's own client."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from twilio_program import PROJECT, Program, answering, dial

from emulated import virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Callee,
    CallerHangsUp,
    EndedBy,
    ModelSays,
    OpenAIEmulator,
    ScenarioError,
    TwilioBehavior,
    TwilioCall,
    TwilioEmulator,
)

HELLO = [ModelSays("Hello.")]
SENDER, CUSTOMER = "whatsapp:+551130000001", "whatsapp:+5511987650001"
SAY = "<Response><Say>One moment.</Say></Response>"
Form = Mapping[str, Any]


def rest(twilio: TwilioEmulator, **options: Any) -> httpx.AsyncClient:
    """A client of the account."""
    options.setdefault("auth", (twilio.account_sid, twilio.auth_token))
    base = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}/"
    return httpx.AsyncClient(base_url=base, trust_env=False, timeout=30, **options)


async def post(twilio: TwilioEmulator, path: str, data: Form, *, status: int = 200) -> Any:
    async with rest(twilio) as client:
        response = await client.post(f"{path}.json", data=dict(data))
    assert response.status_code == status, response.text
    return response.json()


async def get(twilio: TwilioEmulator, path: str, **params: str) -> Any:
    async with rest(twilio) as client:
        return (await client.get(f"{path}.json", params=params)).raise_for_status().json()


async def bridged(twilio: TwilioEmulator, url: str, **options: Any) -> TwilioCall:
    """Let a call come in, and wait until OpenAI talks with the caller."""
    call = await twilio.ring(url, **options)
    ringing = await call.until_openai()
    await ringing.until_attached()
    await call.until_status("in-progress")
    return call


@virtual
async def test_a_redirect_asks_the_old_action_first_and_then_begins_the_new_document() -> None:
    routes = {
        "voice": dial(action="/after"),
        "after": SAY,
        "next": "<Response><Dial><Client>a</Client></Dial></Response>",
    }
    async with (
        OpenAIEmulator() as openai,
        Program(**routes) as program,
        answering(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await bridged(twilio, f"{program.url}/voice", scenario=HELLO)
        await twilio._clock.sleep(6)
        asked = twilio._clock.now()
        shown = await post(twilio, f"Calls/{call.sid}", {"Url": f"{program.url}/next"})
        assert (shown["status"], shown["sid"]) == ("in-progress", call.sid)
        await call.ended()
        action, following = call.requests[1:]
        assert (action.kind, following.kind) == ("action", "redirect")
        assert (action["DialCallStatus"], action["CallStatus"]) == ("completed", "in-progress")
        assert int(action["DialCallDuration"]) >= 6
        assert action.at - asked == pytest.approx(0.3, abs=0.02)
        assert following.at - asked == pytest.approx(0.65, abs=0.02)
        assert call.heard == []  # what the old action answered counts for nothing
        assert [leg.to for leg in call.children][1:] == ["client:a"]
        end = await call.openai_calls[0].ended()
        assert (end.by, end.target_uri) == (EndedBy.TRANSFERRED, None)


@virtual
async def test_a_redirect_while_openai_rings_and_one_by_text() -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(action="/after")) as program,
        answering(openai),
        TwilioEmulator(openai=openai, openai_webhook=f"{program.url}/openai") as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice")
        await call.until_openai()
        await post(twilio, f"Calls/{call.sid}", {"Twiml": SAY})
        assert await call.ended() == "completed"
        assert call.requested("action")[0]["DialCallStatus"] == "canceled"
        assert (call.heard, call.children[0].status) == (["One moment."], "canceled")


@virtual
async def test_a_call_that_is_over_cannot_be_redirected_and_one_that_rings_as_the_switch_says() -> None:
    async with (
        Program(voice="<Response><Reject/></Response>", slow="<Response><Pause length='60'/></Response>") as program,
        TwilioEmulator(behavior=TwilioBehavior(redirect_while_ringing="refused")) as twilio,
    ):
        over, rings = await twilio.ring(f"{program.url}/voice"), await twilio.ring(f"{program.url}/slow")
        await over.ended()
        for call in (over, rings):
            error = await post(twilio, f"Calls/{call.sid}", {"Twiml": SAY}, status=400)
            assert (error["code"], error["status"]) == (21220, 400)
            assert (await post(twilio, f"Calls/{call.sid}", {}))["sid"] == call.sid
            assert (await post(twilio, f"Calls/{call.sid}", {"Status": "busy"}, status=400))["code"] == 21219


@pytest.mark.parametrize("status", ["completed", "canceled"])
@virtual
async def test_rest_ends_a_call_and_openai_sees_the_caller_go(status: str) -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial()) as program,
        answering(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await bridged(twilio, f"{program.url}/voice", scenario=HELLO)
        await twilio._clock.sleep(5)
        await post(twilio, f"Calls/{call.sid}", {"Status": status})
        if status == "canceled":  # too late
            assert call.status == "in-progress"
            call.hang_up()
        assert await call.ended() == "completed"
        assert (await call.openai_calls[0].ended()).by is EndedBy.CALLER


@virtual
async def test_a_leg_that_was_dialed_is_ended_by_its_own_sid_and_the_parent_goes_on() -> None:
    routes = {"voice": dial(action="/after"), "after": SAY}
    async with (
        OpenAIEmulator() as openai,
        Program(**routes) as program,
        answering(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        call = await bridged(twilio, f"{program.url}/voice", scenario=HELLO)
        await twilio._clock.sleep(5)
        (child,) = (await get(twilio, "Calls", ParentCallSid=call.sid))["calls"]
        assert (child["sid"], child["direction"]) == (call.children[0].sid, "outbound-dial")
        error = await post(twilio, f"Calls/{child['sid']}", {"Twiml": SAY}, status=400)
        assert "redirect its parent" in error["message"]
        await post(twilio, f"Calls/{child['sid']}", {"Status": "completed"})
        assert await call.ended() == "completed"
        assert call.heard == ["One moment."]


@virtual
async def test_calls_are_listed_filtered_and_paged() -> None:
    async with Program(voice="<Response><Reject/></Response>") as program, TwilioEmulator() as twilio:
        for _ in range(3):
            await (await twilio.ring(f"{program.url}/voice")).ended()
        assert len((await get(twilio, "Calls", Status="no-answer", To="+14155550199"))["calls"]) == 3
        assert (await get(twilio, "Calls", Status="completed"))["calls"] == []
        first = await get(twilio, "Calls", PageSize="2", To="+14155550199")
        assert len(first["calls"]) == 2
        async with rest(twilio) as client:
            second = (await client.get(twilio.base_url + first["next_page_uri"])).json()
        assert ([each["sid"] for each in second["calls"]], second["next_page_uri"]) == ([twilio.calls[0].sid], None)


@virtual
async def test_a_call_is_made_and_plays_its_document_to_who_answers() -> None:
    async with (
        Program(twiml="<Response><Dial><Client>a</Client></Dial></Response>") as program,
        TwilioEmulator() as twilio,
    ):
        form: dict[str, Any] = {"To": "+14155550101", "From": "+14155550199", "Url": f"{program.url}/twiml"}
        form |= {
            "StatusCallback": f"{program.url}/status",
            "StatusCallbackEvent": ["initiated", "answered", "completed"],
        }
        made = await post(twilio, "Calls", form, status=201)
        assert (made["status"], made["direction"]) == ("queued", "outbound-api")
        (call,) = twilio.calls
        assert await call.ended() == "completed"
        assert call.requested("voice")[0]["Direction"] == "outbound-api"
        assert [each["CallStatus"] for each in call.requested("status")] == ["initiated", "in-progress", "completed"]
        shown = await get(twilio, f"Calls/{made['sid']}")
        assert (shown["status"], shown["duration"]) == ("completed", "30")  # until the callee hung up


@virtual
async def test_events_that_are_a_list_in_one_parameter_are_taken_and_never_come() -> None:
    async with Program() as program, TwilioEmulator(strict=False) as twilio:
        form = {"To": "+14155550101", "From": "+14155550199", "Twiml": SAY, "StatusCallback": f"{program.url}/status"}
        await post(twilio, "Calls", {**form, "StatusCallbackEvent": "initiated ringing"}, status=201)
        (call,) = twilio.calls
        await call.ended()
        assert ([alert.code for alert in call.alerts], call.requests) == ([21626], [])


@pytest.mark.parametrize(("outcome", "word"), [("busy", "busy"), ("no answer", "no-answer"), ("failed", "failed")])
@virtual
async def test_a_call_that_is_not_answered_plays_nothing(outcome: Any, word: str) -> None:
    async with TwilioEmulator(callees={"+14155550101": Callee(outcome=outcome)}) as twilio:
        await post(twilio, "Calls", {"To": "+14155550101", "From": "+14155550199", "Twiml": SAY}, status=201)
        assert await twilio.calls[0].ended() == word
        assert twilio.calls[0].heard == []


@virtual
async def test_a_call_is_canceled_while_it_rings() -> None:
    async with TwilioEmulator(callees={"client:a": Callee(outcome="no answer")}) as twilio:
        made = await post(twilio, "Calls", {"To": "client:a", "From": "+14155550199", "Twiml": SAY}, status=201)
        await twilio._clock.sleep(3)
        await post(twilio, f"Calls/{made['sid']}", {"Status": "canceled"})
        assert await twilio.calls[0].ended() == "canceled"


@virtual
async def test_a_call_that_rest_makes_may_be_dialed_to_openai_or_go_there() -> None:
    twiml = dial()
    async with (
        OpenAIEmulator() as openai,
        answering(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host) as twilio,
    ):
        twilio.expect_call([ModelSays("Hello."), CallerHangsUp()])
        twilio.expect_call([ModelSays("Hello."), CallerHangsUp()])
        await post(twilio, "Calls", {"To": "+14155550101", "From": "+14155550199", "Twiml": twiml}, status=201)
        assert await twilio.calls[0].ended() == "completed"
        form = {"To": PROJECT, "From": "+14155550199", "Twiml": "<Response><Pause length='60'/></Response>"}
        await post(twilio, "Calls", form, status=201)
        assert await twilio.calls[1].ended() == "completed"
        assert [call.openai_calls[0].tally.accepts for call in twilio.calls] == [1, 1]
    with pytest.raises(ScenarioError, match="not all scenarios of expect_call"):
        async with TwilioEmulator() as twilio:
            twilio.expect_call(HELLO)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"From": "+14155550199", "Twiml": SAY}, 21201),
        ({"To": "+14155550101", "Twiml": SAY}, 21213),
        ({"To": "+14155550101", "From": "+14155550199"}, 21205),
        ({"To": "nobody", "From": "+14155550199", "Twiml": SAY}, 21211),
        ({"To": CUSTOMER, "From": "+14155550199", "Twiml": SAY}, 37008),
        ({"To": "+14155550101", "From": SENDER, "Twiml": SAY}, 13224),
        ({"To": "+14155550101", "From": "+14155550199", "Twiml": "<Response>" + " " * 4000 + "</Response>"}, 20422),
        ({"To": "+14155550101", "From": "+14155550199", "Twiml": "no"}, 12100),
        ({"To": "whatsapp:1", "From": SENDER, "Twiml": SAY}, 21211),
    ],
)
@virtual
async def test_a_call_that_cannot_be_made_is_refused_with_its_code(form: Form, code: int) -> None:
    async with TwilioEmulator() as twilio:
        error = await post(twilio, "Calls", form, status=400)
        assert error["code"] == twilio.rest_requests[0].code == code
        assert error["more_info"].endswith(f"/{code}")
        assert twilio.calls == []


@virtual
async def test_whoever_is_not_the_account_is_refused() -> None:
    async with TwilioEmulator() as twilio:
        for auth in ((twilio.account_sid, "wrong"), None, ("SK" + "0" * 31 + "1", "secret-of-the-emulator")):
            async with rest(twilio, auth=auth) as client:
                response = await client.get("Calls.json")
            known = auth is not None and auth[0].startswith("SK")
            assert response.status_code == (200 if known else 401)
            assert known or response.json()["code"] == 20003
        async with rest(twilio) as client:
            for path in ("Calls/CA1.json", "Messages/SM1.json", "Conferences/CF1.json", "Faxes.json", "Calls"):
                assert (await client.get(path)).json()["code"] == 20404
            other = f"{twilio.base_url}/2010-04-01/Accounts/AC{'f' * 32}/Calls.json"
            assert (await client.get(other)).status_code == 404
            hosted = f"{twilio.base_url}/api.twilio.com/2010-04-01/Accounts/{twilio.account_sid}/Calls.json"
            assert (await client.get(hosted)).json()["calls"] == []


@virtual
async def test_a_message_is_created_and_delivered() -> None:
    async with Program() as program, TwilioEmulator() as twilio:
        form = {"To": CUSTOMER, "From": SENDER, "ContentSid": "HX1", "ContentVariables": '{"1": "Ana"}'}
        made = await post(twilio, "Messages", {**form, "StatusCallback": f"{program.url}/status"}, status=201)
        assert made["status"] == "queued"
        await twilio._clock.sleep(5)
        (message,) = twilio.messages
        assert (message.status, message.variables) == ("delivered", {"1": "Ana"})
        told = [(request["MessageStatus"], request["MessageSid"]) for request in twilio.requests]
        assert told == [(status, made["sid"]) for status in ("queued", "sent", "delivered")]
        assert (await get(twilio, f"Messages/{made['sid']}"))["status"] == "delivered"
        assert len((await get(twilio, "Messages", To=CUSTOMER))["messages"]) == 1


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"From": SENDER, "Body": "Oi"}, 21604),
        ({"To": CUSTOMER, "Body": "Oi"}, 21603),
        ({"To": CUSTOMER, "From": SENDER}, 21602),
        ({"To": "whatsapp:BR.13491208655302741918", "From": SENDER, "Body": "Oi"}, 21211),
        ({"To": CUSTOMER, "From": "+14155550199", "Body": "Oi"}, 21910),
        ({"To": CUSTOMER, "From": SENDER, "ContentSid": "HX1", "ContentVariables": "Ana"}, 21656),
    ],
)
@virtual
async def test_a_message_that_cannot_be_sent_is_refused_with_its_code(form: Form, code: int) -> None:
    async with TwilioEmulator() as twilio:
        assert (await post(twilio, "Messages", form, status=400))["code"] == code
        assert twilio.messages == []


@virtual
async def test_a_user_id_may_be_written_to_if_the_switch_says_so() -> None:
    async with TwilioEmulator(behavior=TwilioBehavior(user_id_recipients="taken")) as twilio:
        await post(
            twilio, "Messages", {"To": "whatsapp:BR.1349", "MessagingServiceSid": "MG1", "Body": "Oi"}, status=201
        )


@virtual
async def test_a_user_answers_a_permission_request() -> None:
    async with Program() as program, TwilioEmulator() as twilio:
        url = f"{program.url}/messages"
        reply = await twilio.reply_to_permission(url, from_=CUSTOMER, to=SENDER, accepted=False, user_id="BR.1")
        assert (reply["ButtonPayload"], reply["WaId"], reply["ExternalUserId"]) == ("REJECTED", "5511987650001", "BR.1")
        assert program.seen[0][1] == reply.params
    with pytest.raises(ConfigurationError):
        await TwilioEmulator().reply_to_permission(url, from_=CUSTOMER, to=SENDER, accepted=True)


@virtual
async def test_requests_fail_as_asked_and_may_have_been_carried_out() -> None:
    form = {"To": CUSTOMER, "From": SENDER, "Body": "Oi"}
    async with TwilioEmulator() as twilio:
        twilio.fail("Messages", status=429, code=20429, retry_after=2)
        twilio.fail("Messages", status=503, acted=True)
        async with rest(twilio) as client:
            refused = await client.post("Messages.json", data=form)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
            assert twilio.messages == []
            assert (await client.post("Messages.json", data=form)).status_code == 503
            assert len(twilio.messages) == 1
            twilio.fail("Messages", how="reset")
            with pytest.raises(httpx.TransportError):
                await client.post("Messages.json", data=form)
            assert (await client.post("Messages.json", data=form)).status_code == 201
        with pytest.raises(ConfigurationError):
            twilio.fail(status=200)


@virtual
async def test_a_warm_transfer_by_conference_ends_the_leg_to_openai_with_the_redirect() -> None:
    attributes = 'statusCallback="/conference" statusCallbackEvent="start end join leave" endConferenceOnExit="true"'
    room = f"<Conference {attributes}>room</Conference>"
    waiting = room.replace("<Conference", '<Conference startConferenceOnEnter="false" waitUrl="/music"')
    routes = {
        "voice": dial(action="/after"),
        "room": f"<Response><Dial action='/left'>{waiting}</Dial></Response>",
        "agent": f"<Response><Say>Ana asks for a refund.</Say><Dial>{room}</Dial></Response>",
    }
    async with (
        OpenAIEmulator() as openai,
        Program(**routes) as program,
        answering(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host, callees={"client:a": Callee(talks=40)}) as twilio,
    ):
        call = await bridged(twilio, f"{program.url}/voice", scenario=HELLO)
        await twilio._clock.sleep(5)
        await post(twilio, f"Calls/{call.sid}", {"Url": f"{program.url}/room"})
        await call.until_requested("wait")
        assert (await call.openai_calls[0].ended()).by is EndedBy.TRANSFERRED
        assert (await get(twilio, "Conferences"))["conferences"] == []  # it has not begun
        form = {"To": "client:a", "From": "+14155550199", "Url": f"{program.url}/agent"}
        await post(twilio, "Calls", form, status=201)
        await twilio.calls[1].until_status("in-progress")
        while not (rooms := (await get(twilio, "Conferences", FriendlyName="room"))["conferences"]):
            await twilio._clock.sleep(1)
        assert rooms[0]["status"] == "in-progress"
        people = (await get(twilio, f"Conferences/{rooms[0]['sid']}/Participants"))["participants"]
        assert [each["call_sid"] for each in people] == [call.sid, twilio.calls[1].sid]
        held = await post(twilio, f"Conferences/{rooms[0]['sid']}/Participants/{call.sid}", {"Hold": "true"})
        assert held["hold"] is True
        await call.ended()
        await twilio.calls[1].ended()
        left = call.requested("action")[-1]
        assert (left["DialCallStatus"], left["DialBridged"]) == ("answered", "true")
        assert not {"DialCallSid", "DialCallDuration"} & left.params.keys()
        words = [request["StatusCallbackEvent"] for request in twilio.requests if request.kind == "conference"]
        assert words[:3] == ["participant-join", "participant-join", "conference-start"]
        assert words.count("conference-end") == 1
        assert (await get(twilio, "Conferences"))["conferences"] == []  # in-progress only, unless asked
        ended = (await get(twilio, "Conferences", Status="completed"))["conferences"]
        assert [each["sid"] for each in ended] == [rooms[0]["sid"]]
        assert twilio.calls[1].heard == ["Ana asks for a refund."]


@virtual
async def test_participants_are_added_removed_and_sent_home_with_the_conference() -> None:
    room = "<Response><Dial action='/left'><Conference>room &amp; more</Conference></Dial></Response>"
    async with Program(voice=room) as program, TwilioEmulator() as twilio:
        call = await twilio.ring(f"{program.url}/voice")
        await call.until_status("in-progress")
        form = {"To": "client:a", "From": "+14155550199", "Label": "agent", "EndConferenceOnExit": "false"}
        added = await post(twilio, "Conferences/room%20%26%20more/Participants", form, status=201)
        agent = twilio.calls[1]
        assert (added["call_sid"], added["label"], added["status"]) == (agent.sid, "agent", "queued")
        await agent.until_status("in-progress")
        await twilio._clock.sleep(1)
        (conference,) = twilio.conferences
        assert len(conference.participants) == 2
        async with rest(twilio) as client:
            path = f"Conferences/{conference.sid}/Participants/agent.json"
            muted = (await client.post(path, data={"Muted": "true", "EndConferenceOnExit": "true"})).json()
            assert (muted["muted"], muted["end_conference_on_exit"]) == (True, True)
            await client.post(path, data={"EndConferenceOnExit": "false"})
            assert (await client.delete(path)).status_code == 204
            assert await agent.ended() == "completed"
            assert (await client.delete(path)).status_code == 404
        assert (await get(twilio, f"Conferences/{conference.sid}"))["status"] == "in-progress"
        await post(twilio, f"Conferences/{conference.sid}", {"Status": "completed"})
        assert await call.ended() == "completed"


class _Plugged:
    """httpx as twilio's HTTP client: its interface is this one method."""

    is_async = True

    async def request(self, method: str, url: str, **options: Any) -> Any:
        response = pytest.importorskip("twilio.http.response")
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.request(
                method,
                url,
                params=options.get("params"),
                data=options.get("data"),
                headers=options.get("headers"),
                auth=options.get("auth"),
            )
        return response.Response(reply.status_code, reply.text, reply.headers)


@virtual
async def test_twilio_s_own_client_works_with_it_blocking() -> None:
    package = pytest.importorskip("twilio.rest", reason="needs the package twilio")
    async with Program(voice="<Response><Pause length='30'/></Response>") as program, TwilioEmulator() as twilio:
        client = package.Client(twilio.account_sid, twilio.auth_token)
        client.api.base_url = twilio.base_url
        call = await twilio.ring(f"{program.url}/voice")
        await call.until_requested("voice")

        def work() -> None:
            assert client.calls(call.sid).fetch().status == "ringing"
            assert client.calls(call.sid).update(twiml=SAY).sid == call.sid
            made = client.calls.create(
                to="client:a", from_="+14155550199", twiml=SAY, status_callback_event=["answered", "completed"]
            )
            assert (made.status, made.date_created.year > 2020) == ("queued", True)
            assert [each.sid for each in client.calls.list(status="queued")] in ([made.sid], [])
            message = client.messages.create(to=CUSTOMER, from_=SENDER, body="Oi")
            assert client.messages(message.sid).fetch().body == "Oi"
            assert client.conferences.list() == []
            with pytest.raises(Exception, match=r"21220|not in-progress|not found"):
                client.calls("CA" + "0" * 32).update(twiml=SAY)

        await asyncio.to_thread(work)
        client.http_client.session.close()
        assert await call.ended() == "completed"
        assert twilio.rest_requests[2].values("StatusCallbackEvent") == ["answered", "completed"]


@virtual
async def test_twilio_s_own_client_works_with_it_async() -> None:
    package = pytest.importorskip("twilio.rest", reason="needs the package twilio")
    async with Program(voice="<Response><Pause length='30'/></Response>") as program, TwilioEmulator() as twilio:
        client = package.Client(
            "SK" + "0" * 31 + "1", "secret-of-the-emulator", twilio.account_sid, http_client=_Plugged()
        )
        client.api.base_url = twilio.base_url
        call = await twilio.ring(f"{program.url}/voice")
        await call.until_requested("voice")
        assert (await client.calls(call.sid).fetch_async()).status == "ringing"
        await client.calls(call.sid).update_async(url=f"{program.url}/next", method="GET")
        await call.ended()
        assert call.requested("redirect")[0].method == "GET"
        assert [each.sid for each in await client.calls.list_async()] == [call.sid]
