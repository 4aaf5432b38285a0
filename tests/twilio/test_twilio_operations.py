"""Twilio's REST API as values: what goes out, when it is repeated, and what a refusal is called. Blocking and async."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

pytest.importorskip("twilio")

from provisioning import HOW
from twilio.rest import Client

from emulated import virtual
from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Pause, Repeat
from realtime_sip.errors import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    DeadlineError,
    DomainTakenError,
    InvalidRequestError,
    LimitReachedError,
    MisuseError,
    NetworkError,
    NotFoundError,
    NumberUnavailableError,
    PermissionDeniedError,
    RateLimitError,
    RegulationError,
    ServerError,
    ServiceError,
    TrialAccountError,
    UnexpectedReplyError,
)
from realtime_sip.twilio import AsyncTwilioAccount, TwilioAccount
from realtime_sip.twilio.http import MAX_REPLY, AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.operations import API, TRUNKING, Steps, ask, body, checked_sid, delete, form, get, listed
from realtime_sip.twilio.records import Made

ACCOUNT, TOKEN, KEY = "AC" + "0" * 32, "token-of-the-tests", "SK" + "1" * 32
TRUNK = "TK" + "2" * 32
Answer = Callable[[int], httpx.Response]


def ok(_number: int = 0) -> httpx.Response:
    return httpx.Response(201, json={"sid": TRUNK})


async def run(how: str, steps: Callable[[], Steps[Any]], answer: Answer = ok, **options: Any) -> list[httpx.Request]:
    """Carry steps out against a service that answers the request of each number, and return the requests."""
    seen: list[httpx.Request] = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(len(seen) - 1)

    transport = httpx.MockTransport(service)
    try:
        if how == "sync":
            with httpx.Client(transport=transport) as given:
                TwilioAccount(ACCOUNT, TOKEN, http_client=given, **options).run(steps())
        else:
            async with httpx.AsyncClient(transport=transport) as given_async:
                await AsyncTwilioAccount(ACCOUNT, TOKEN, http_client=given_async, **options).run(steps())
    finally:
        run.seen = seen  # type: ignore[attr-defined]
    return seen


def create() -> Steps[Any]:
    return ask(form("trunks.create", f"{TRUNKING}/Trunks", {"FriendlyName": "A & B", "Secure": True}, Made))


@HOW
@virtual
async def test_a_form_a_query_and_the_account(how: str) -> None:
    fields = {"To": "+1", "Secure": False, "Priority": 0, "Event": ["a", "b"], "Left": None, "Empty": ""}
    (request,) = await run(how, lambda: ask(form("a", f"{API}/Calls.json", fields, Made)))
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert parse_qsl(request.content.decode(), keep_blank_values=True) == [
        ("To", "+1"),
        ("Secure", "false"),
        ("Priority", "0"),
        ("Event", "a"),
        ("Event", "b"),
        ("Empty", ""),
    ]
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == httpx.BasicAuth(ACCOUNT, TOKEN)._auth_header
    (request,) = await run(how, lambda: ask(get("a", f"{API}.json", Made, {"PhoneNumber": "+1", "Left": None})))
    assert (request.method, request.url.query, request.content) == ("GET", b"PhoneNumber=%2B1", b"")


@HOW
@virtual
async def test_law_absent_is_not_null__a_null_in_json_is_sent_and_json_is_json(how: str) -> None:
    value = {"configuration": {"voice_application_sid": None}, "list": [None, 1]}
    (request,) = await run(
        how, lambda: ask(body("a", "https://messaging.twilio.com/v2/Channels/Senders/X", value, Made))
    )
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == value


@HOW
@virtual
async def test_what_twilios_own_package_writes_is_what_is_written_here(how: str) -> None:
    theirs: list[httpx.Request] = []

    def service(request: httpx.Request) -> httpx.Response:
        theirs.append(request)
        return ok()

    with httpx.Client(transport=httpx.MockTransport(service)) as given:
        client = Client(ACCOUNT, TOKEN, http_client=TwilioHttp(given))
        client.trunking.v1.trunks.create(friendly_name="A & B", secure=True)
    (ours,) = await run(how, create)
    for request in (ours, theirs[0]):
        assert (request.method, str(request.url)) == ("POST", "https://trunking.twilio.com/v1/Trunks")
        assert request.headers["authorization"] == ours.headers["authorization"]
    assert sorted(parse_qsl(ours.content.decode())) == sorted(parse_qsl(theirs[0].content.decode()))


def _then_ok(first: Answer, times: int = 1) -> Answer:
    return lambda number: first(number) if number < times else ok()


def _raising(error: Exception) -> Answer:
    def answer(_number: int) -> httpx.Response:
        raise error

    return answer


def _status(status: int, code: int | None = None, **headers: str) -> Answer:
    return lambda _number: httpx.Response(
        status, json={"code": code, "message": "no, +14155550100", "status": status}, headers=headers
    )


FAILURES = {
    "timeout": _raising(httpx.ReadTimeout("late")),
    "reset": _raising(httpx.ReadError("reset")),
    "500": _status(500),
    "503": _status(503, 20503),
    "unsent": _raising(httpx.ConnectError("refused")),
    "429": _status(429, 20429),
}


@HOW
@pytest.mark.parametrize("failure", FAILURES)
@virtual
async def test_law_retry_only_what_is_safe__a_create_after_429_alone_and_a_read_after_anything(
    how: str, failure: str
) -> None:
    is_safe = failure in ("unsent", "429")
    answer = _then_ok(FAILURES[failure])
    if is_safe:
        assert len(await run(how, create, answer)) == 2
    else:
        with pytest.raises((NetworkError, ServerError)):
            await run(how, create, answer)
        assert len(run.seen) == 1  # type: ignore[attr-defined]
    for steps in (
        lambda: ask(get("a", f"{API}.json", Made)),
        lambda: delete("a", f"{API}/b.json"),
        lambda: ask(form("a", f"{API}/b.json", {}, Made, repeat=Repeat.ANY)),
    ):
        assert len(await run(how, steps, answer)) == 2


@virtual
async def test_repeating_ends_with_the_timeout_and_waits_as_long_as_twilio_says() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(RateLimitError) as raised:
        await run("async", create, _status(429, 20429, **{"retry-after": "4"}), timeout=10)
    assert raised.value.retry_after == 4
    assert len(run.seen) == 3  # type: ignore[attr-defined]
    assert asyncio.get_running_loop().time() - began == 8


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, 20003, AuthenticationError),
        (403, 20003, AuthenticationError),
        (403, None, PermissionDeniedError),
        (404, 20404, NotFoundError),
        (400, 21422, NumberUnavailableError),
        (400, 21452, NumberUnavailableError),
        (400, 21404, TrialAccountError),
        (400, 21631, RegulationError),
        (400, 21649, RegulationError),
        (400, 21244, LimitReachedError),
        (400, 21249, LimitReachedError),
        (400, 21248, DomainTakenError),
        (400, 99999, BadRequestError),
        (400, None, BadRequestError),
        (409, 12345, ServiceError),
        (500, 21248, ServerError),
    ],
)
@virtual
async def test_a_refusal_has_a_name(status: int, code: int | None, kind: type[ServiceError]) -> None:
    request_id = "RQ" + "a" * 32
    with pytest.raises(ServiceError) as raised:
        await run("async", create, _status(status, code, **{"twilio-request-id": request_id}))
    error = raised.value
    assert (type(error), error.status_code, error.request_id) == (kind, status, request_id)
    assert error.code == (None if code is None else str(code))
    assert "415555" not in str(error)
    assert (f"errors/{code}" in str(error)) is (code is not None)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"[]", b'{"code": "21248", "message": 7}', b'{"code": true}', b'{"code": -1}', b"[" * 9999],
)
@virtual
async def test_a_refusal_that_is_not_twilios_is_named_by_its_status(content: bytes) -> None:
    with pytest.raises(BadRequestError) as raised:
        await run("async", create, lambda _: httpx.Response(400, content=content))
    assert raised.value.code is None


@virtual
async def test_a_refusal_by_rfc_9457_has_its_detail() -> None:
    problem = {"type": "about:blank", "title": "Bad", "status": 400, "detail": "the rule is odd", "code": 59103}
    with pytest.raises(BadRequestError, match="59103: the rule is odd"):
        await run("async", create, lambda _: httpx.Response(400, json=problem))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"sid": 7}'])
@HOW
@virtual
async def test_a_success_without_what_it_should_hold_is_an_error(how: str, content: bytes) -> None:
    with pytest.raises(UnexpectedReplyError):
        await run(how, create, lambda _: httpx.Response(201, content=content))


@HOW
@virtual
async def test_what_is_deleted_already_is_deleted(how: str) -> None:
    assert len(await run(how, lambda: delete("a", f"{API}/b.json"), _status(404, 20404))) == 1


# --- lists ------------------------------------------------------------------------------------------------------------


async def pages(answer: Answer, **options: Any) -> list[Any]:
    found: list[Any] = []

    def steps() -> Steps[None]:
        found.extend((yield from listed("a", f"{TRUNKING}/Trunks", "trunks", Inbound, {"Name": "a b"}, **options)))

    await run("async", steps, answer)
    return found


@virtual
async def test_all_pages_are_read_by_each_of_twilios_ways() -> None:
    def by_url(number: int) -> httpx.Response:
        more = f"https://elsewhere.example/v1/Trunks?PageSize=100&Page={number + 1}&PageToken=PT%2B{number}"
        return httpx.Response(
            200,
            json={"trunks": [{"n": number}], "meta": {"key": "trunks", "next_page_url": more if number < 2 else None}},
        )

    def by_uri(number: int) -> httpx.Response:
        more = "/2010-04-01/x.json?Page=1" if number == 0 else None
        return httpx.Response(200, json={"trunks": [{"n": number}], "next_page_uri": more})

    def by_token(number: int) -> httpx.Response:
        return httpx.Response(
            200, json={"items": [{"n": number}], "meta": {"key": "items", "nextToken": "t" if number == 0 else ""}}
        )

    assert [each.n for each in await pages(by_url)] == [0, 1, 2]
    urls = [request.url for request in run.seen]  # type: ignore[attr-defined]
    assert {url.host for url in urls} == {"trunking.twilio.com"}, "another host would get the account's key"
    assert [url.params.get("PageToken") for url in urls] == [None, "PT+0", "PT+1"]
    assert {url.params["Name"] for url in urls} == {"a b"}
    assert len(await pages(by_uri)) == 2
    assert len(await pages(by_token, page_size="pageSize")) == 2
    assert [url.params.get("pageToken") for url in (each.url for each in run.seen)] == [None, "t"]  # type: ignore[attr-defined]
    assert len(await pages(by_url, most=2)) == 2


@virtual
async def test_a_list_without_end_ends() -> None:
    endless = httpx.Response(200, json={"trunks": [], "next_page_uri": "/?Page=1"})
    with pytest.raises(UnexpectedReplyError, match="pages"):
        await pages(lambda _: endless)


@pytest.mark.parametrize("answer", [{}, {"trunks": {}}, {"trunks": [7]}, {"trunks": None, "meta": {"key": 7}}])
@virtual
async def test_a_list_that_is_none_is_an_error(answer: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedReplyError):
        await pages(lambda _: httpx.Response(200, json=answer))


# --- the account ------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("ACCOUNT_SID", "AUTH_TOKEN", "API_KEY", "API_SECRET"):
        monkeypatch.delenv(f"TWILIO_{name}", raising=False)
    return monkeypatch


def test_credentials_come_from_the_arguments_else_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    def auth(account: TwilioAccount) -> str:
        return account._headers["Authorization"]

    def basic(user: str, secret: str) -> str:
        return httpx.BasicAuth(user, secret)._auth_header

    environment.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    environment.setenv("TWILIO_AUTH_TOKEN", "from-env")
    assert auth(TwilioAccount()) == basic(ACCOUNT, "from-env")
    environment.setenv("TWILIO_API_KEY", KEY)
    assert auth(TwilioAccount()) == basic(ACCOUNT, "from-env"), "a key without its secret is none"
    environment.setenv("TWILIO_API_SECRET", "secret")
    assert auth(TwilioAccount()) == basic(KEY, "secret")
    assert auth(TwilioAccount(auth_token="mine")) == basic(ACCOUNT, "mine")
    assert auth(TwilioAccount(auth_token="mine", api_key=(KEY, "s"))) == basic(KEY, "s")
    assert repr(TwilioAccount()) == f"TwilioAccount({ACCOUNT})"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"account_sid": "AC1", "auth_token": "a"},
        {"account_sid": ACCOUNT},
        {"account_sid": ACCOUNT, "auth_token": ""},
        {"account_sid": ACCOUNT, "auth_token": " a"},
        {"account_sid": ACCOUNT, "auth_token": "é"},
        {"account_sid": ACCOUNT, "api_key": (TOKEN, "a")},
        {"account_sid": ACCOUNT, "api_key": (KEY, "")},
        {"account_sid": ACCOUNT, "api_key": KEY},
        {"account_sid": ACCOUNT, "auth_token": "a", "timeout": 0},
        {"account_sid": ACCOUNT, "auth_token": "a", "base_url": "api.twilio.com"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [TwilioAccount, AsyncTwilioAccount])
def test_what_cannot_be_is_refused_at_once(environment: pytest.MonkeyPatch, kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        kind(**options)


@pytest.mark.parametrize("value", ["TK1", "AC" + "0" * 32, None, "TK" + "g" * 32, TRUNK + "\n"])
def test_what_is_no_sid_never_reaches_a_path(value: object) -> None:
    with pytest.raises(InvalidRequestError):
        checked_sid(value, "TK", "trunk_sid")


@HOW
@virtual
async def test_a_pause_is_a_pause(how: str) -> None:
    def steps() -> Steps[str]:
        yield Pause(0.001)
        return "done"

    assert await run(how, steps) == []


@virtual
async def test_an_account_that_was_closed_says_so() -> None:
    with TwilioAccount(ACCOUNT, TOKEN) as account:
        pass
    with pytest.raises(MisuseError, match="closed"):
        account.run(create())
    async with AsyncTwilioAccount(ACCOUNT, TOKEN) as async_account:
        pass
    with pytest.raises(MisuseError, match="closed"):
        await async_account.run(create())


# --- httpx below it ---------------------------------------------------------------------------------------------------


class _Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, chunk: bytes, times: int) -> None:
        self.chunk, self.times = chunk, times

    def __iter__(self) -> Any:
        for _ in range(self.times):
            yield self.chunk

    async def __aiter__(self) -> Any:
        for chunk in self:
            yield chunk


@HOW
@virtual
async def test_law_nothing_is_without_bounds__an_answer_that_does_not_end(how: str) -> None:
    stream = _Drip(b"x" * (1024 * 1024), MAX_REPLY // (1024 * 1024) + 1)
    with pytest.raises(NetworkError, match="more than"):
        await run(how, create, lambda _: httpx.Response(200, stream=stream))


def test_law_no_blocking_request_is_without_end__each_byte_would_begin_the_timeout_anew() -> None:
    over = threading.Event()

    def slow(_request: httpx.Request) -> httpx.Response:
        over.wait(30)
        return ok()

    with httpx.Client(transport=httpx.MockTransport(slow)) as given:
        http = TwilioHttp(given, timeout=0.05)
        with pytest.raises(DeadlineError, match="within"):
            http.request("GET", "https://api.twilio.com/")
        over.set()


@virtual
async def test_the_text_of_an_answer_is_read_by_its_charset_and_by_none_that_is_unknown() -> None:
    for charset, text in (("iso-8859-1", "é"), ("nonsense", "?")):
        content = "é".encode("iso-8859-1") if text == "é" else b"?"
        reply = httpx.Response(200, content=content, headers={"content-type": f"text/plain; charset={charset}"})
        transport = httpx.MockTransport(lambda _request, reply=reply: reply)
        async with httpx.AsyncClient(transport=transport) as given:
            response = await AsyncTwilioHttp(given).request("GET", "https://api.twilio.com/")
            assert response.text == text
