"""httpx below Twilio's own client: what Twilio's package encodes arrives as it means it, by both ways, and in time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

pytest.importorskip("twilio")

from reported import reported
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.rest.messaging.v2.channels_sender import ChannelsSenderList

from emulated import virtual
from realtime_sip.errors import ConfigurationError, DeadlineError, MisuseError, NetworkError
from realtime_sip.testing import TwilioEmulator
from realtime_sip.twilio import twiml
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp

ACCOUNT, TOKEN = "AC" + "0" * 32, "token-of-the-tests"
SENDER = "XE" + "0" * 32
CALL = {"sid": "CA" + "0" * 32, "account_sid": ACCOUNT, "status": "queued"}
ChannelsSender = ChannelsSenderList.MessagingV2ChannelsSenderRequestsUpdate


class Service:
    """Records requests, and answers each with the same."""

    def __init__(self, status: int = 200, answer: Mapping[str, Any] = CALL, error: Exception | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self.status, self.answer, self.error = status, answer, error

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.error is not None:
            raise self.error
        return httpx.Response(self.status, json=dict(self.answer))


async def ask(service: Service, how: str, do: Any, **options: Any) -> Any:
    """Let `do` ask the service with a blocking or an async client; `do` gets a client and the suffix of its methods."""
    transport = httpx.MockTransport(service)
    if how == "sync":
        with httpx.Client(transport=transport) as given:
            return do(Client(ACCOUNT, TOKEN, http_client=TwilioHttp(given, **options)), "")
    async with httpx.AsyncClient(transport=transport) as given_async:
        return await do(Client(ACCOUNT, TOKEN, http_client=AsyncTwilioHttp(given_async, **options)), "_async")


HOW = pytest.mark.parametrize("how", ["sync", "async"])


def form_of(request: httpx.Request) -> list[tuple[str, str]]:
    return parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True)


@HOW
@virtual
async def test_a_form_arrives_with_its_lists_repeated_and_the_account_signs_in(how: str) -> None:
    service = Service(201)

    def create(client: Client, suffix: str) -> Any:
        return getattr(client.calls, f"create{suffix}")(
            to="+14155550123",
            from_="+14155550100",
            twiml="<Response><Say>A & B</Say></Response>",
            status_callback_event=["ringing", "answered"],
            record=True,
        )

    call = await ask(service, how, create)
    (request,) = service.seen
    assert call.status == "queued"
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert sorted(form_of(request)) == [
        ("From", "+14155550100"),
        ("Record", "true"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "ringing"),
        ("To", "+14155550123"),
        ("Twiml", "<Response><Say>A & B</Say></Response>"),
    ]
    assert request.headers["authorization"].startswith("Basic ")


@HOW
@virtual
async def test_law_a_json_body_is_json_on_both_ways(how: str) -> None:
    service = Service(202, {"sid": SENDER, "status": "ONLINE:UPDATING"})

    def update(client: Client, suffix: str) -> Any:
        change = ChannelsSender({"configuration": {"voice_application_sid": "AP" + "0" * 32}})
        sender = client.messaging.v2.channels_senders(SENDER)
        return getattr(sender, f"update{suffix}")(messaging_v2_channels_sender_requests_update=change)

    await ask(service, how, update)
    (request,) = service.seen
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content)["configuration"] == {"voice_application_sid": "AP" + "0" * 32}


@HOW
@virtual
async def test_a_query_is_added_to_that_of_the_url(how: str) -> None:
    service = Service(answer={"calls": [], "next_page_uri": None})

    def calls(client: Client, suffix: str) -> Any:
        return getattr(client.calls, f"list{suffix}")(parent_call_sid="CA1", limit=20)

    assert await ask(service, how, calls) == []
    assert dict(service.seen[0].url.params) == {"ParentCallSid": "CA1", "PageSize": "20"}


@HOW
@virtual
async def test_all_requests_go_to_the_base_url(how: str) -> None:
    service = Service(answer={"calls": []})

    def calls(client: Client, suffix: str) -> Any:
        return getattr(client.calls, f"list{suffix}")(limit=1)

    await ask(service, how, calls, base_url="http://127.0.0.1:7000/twilio/")
    url = service.seen[0].url
    assert str(url).partition("?")[0] == f"http://127.0.0.1:7000/twilio/2010-04-01/Accounts/{ACCOUNT}/Calls.json"


@HOW
@virtual
async def test_a_refusal_is_twilios_exception(how: str) -> None:
    service = Service(400, {"code": 21220, "message": "Call is not in-progress. Cannot redirect.", "status": 400})

    def update(client: Client, suffix: str) -> Any:
        return getattr(client.calls("CA1"), f"update{suffix}")(twiml="<Response/>")

    with pytest.raises(TwilioRestException) as raised:
        await ask(service, how, update)
    assert (raised.value.status, raised.value.code) == (400, 21220)


@HOW
@pytest.mark.parametrize(
    ("error", "kind", "sent"),
    [
        (httpx.ConnectError("refused"), NetworkError, False),
        (httpx.ConnectTimeout("late"), DeadlineError, False),
        (httpx.ReadTimeout("late"), DeadlineError, True),
        (httpx.RemoteProtocolError("closed"), NetworkError, True),
    ],
    ids=repr,
)
@virtual
async def test_no_answer_says_whether_twilio_may_have_acted(
    how: str, error: Exception, kind: type[NetworkError], sent: bool
) -> None:
    def update(client: Client, suffix: str) -> Any:
        return getattr(client.calls("CA1"), f"update{suffix}")(twiml="<Response/>")

    with pytest.raises(kind) as raised:
        await ask(Service(error=error), how, update)
    assert raised.value.sent is sent


@virtual
async def test_law_no_request_is_without_end() -> None:
    async with TwilioEmulator() as twilio, AsyncTwilioHttp(base_url=twilio.base_url, timeout=3) as http:
        client = Client(twilio.account_sid, twilio.auth_token, http_client=http)
        twilio.fail("Calls", how="no answer")
        with pytest.raises(DeadlineError):
            await client.calls.create_async(to="+14155550123", from_="+14155550100", twiml="<Response/>")


@HOW
@virtual
async def test_every_request_has_a_timeout(how: str) -> None:
    service = Service(answer={"calls": []})
    await ask(service, how, lambda client, suffix: getattr(client.calls, f"list{suffix}")(limit=1))
    assert set(service.seen[0].extensions["timeout"].values()) == {10.0}


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": None}, {"timeout": float("inf")}, {"base_url": "api.twilio.com"}], ids=repr
)
@pytest.mark.parametrize("kind", [TwilioHttp, AsyncTwilioHttp])
def test_what_cannot_be_is_refused_at_once(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind(**options)


def test_a_client_that_was_closed_says_so() -> None:
    with TwilioHttp() as http:
        pass
    with pytest.raises(MisuseError, match="closed"):
        http.request("GET", "https://api.twilio.com/")


# --- what people reported ----------------------------------------------------------------------------------------


@reported("rest", has="place_call_events")
@HOW
@virtual
async def test_reported_events_are_a_repeated_parameter(how: str, case: dict[str, Any]) -> None:
    if "refused" in case["right"]:
        pytest.skip("of what checks the events of a call that it makes; twilio's own client takes any text")
    service = Service(201)

    def create(client: Client, suffix: str) -> Any:
        events = case["input"]["place_call_events"]
        return getattr(client.calls, f"create{suffix}")(to="+14155550123", from_="+1", status_callback_event=events)

    await ask(service, how, create)
    sent = [[name, value] for name, value in form_of(service.seen[0]) if name == "StatusCallbackEvent"]
    assert sent == case["right"]["form_pairs"]


@reported("rest", has="twiml_events")
def test_reported_events_are_one_attribute_of_twiml(case: dict[str, Any]) -> None:
    events = case["input"]["twiml_events"]
    response = twiml.dial_openai("proj_abc", status_callback="https://a.example/s", status_callback_events=events)
    ((name, value),) = case["right"]["attribute"].items()
    assert f'{name}="{value}"' in str(response)


@reported("rest", has="answers")
@HOW
@virtual
async def test_reported_failures_are_not_sent_again(how: str, case: dict[str, Any]) -> None:
    answers, right = iter(case["input"]["answers"]), case["right"]
    seen: list[httpx.Request] = []

    class Failing(Service):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            answer = next(answers)
            if answer.startswith("timeout"):
                raise httpx.ReadTimeout("no answer", request=request)
            return httpx.Response(int(answer[:3]), text="no JSON" if "no JSON" in answer else json.dumps(CALL))

    def create(client: Client, suffix: str) -> Any:
        return getattr(client.calls, f"create{suffix}")(to="+14155550123", from_="+14155550100", twiml="<Response/>")

    with pytest.raises((TwilioRestException, NetworkError, ValueError)) as raised:
        await ask(Failing(), how, create)
    assert 1 <= len(seen) <= right["requests_sent_at_most"]
    assert right["header_absent"].lower() not in seen[0].headers
    assert getattr(raised.value, "sent", True) is True  # whether it was carried out is not known


@reported("whatsapp", has="answer_of")
@HOW
@virtual
async def test_reported_refusals_of_a_user_id_are_not_sent_again(how: str, case: dict[str, Any]) -> None:
    body = case["input"]["body"]
    service = Service(body["status"], {"message": "Invalid 'To' Phone Number", **body})

    def create(client: Client, suffix: str) -> Any:
        to = case["input"]["answer_of"].rpartition("To=")[2]
        return getattr(client.messages, f"create{suffix}")(to=to, from_="whatsapp:+551130000001", body="Oi")

    with pytest.raises(TwilioRestException) as raised:
        await ask(service, how, create)
    assert (raised.value.code, len(service.seen), case["right"]["retried"]) == (21211, 1, False)
