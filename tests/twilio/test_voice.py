"""A transfer by REST: what Twilio is asked first, what counts as done, and which redirects were ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

pytest.importorskip("twilio")

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from emulated import virtual
from realtime_sip import MemoryStore, TransferRequest, TransferTarget
from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.errors import ConfigurationError, DeadlineError, InvalidRequestError, NetworkError, TransferError
from realtime_sip.sip import SipHeaders
from realtime_sip.twilio import remembered, rest, twiml, voice
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.webhooks import CallStatusCallback, DialResult, VoiceWebhook

ACCOUNT, TOKEN = "AC" + "0" * 32, "token-of-the-tests"
OPENAI, DESK = "CA" + "b" * 32, "CA" + "c" * 32
PROJECT = "sip:proj_abc123@sip.api.openai.com;transport=tls"
BYE = "<Response><Hangup/></Response>"
HOW = pytest.mark.parametrize("how", ["async", "sync"])


def dialed(call_sid: str, dialed_call_sid: str | None = None) -> DialResult:
    """What Twilio posts to the `action` of a Dial; of a conference it names no call."""
    form = {"CallSid": call_sid, "DialCallStatus": "completed" if dialed_call_sid else "answered"}
    return DialResult.read(urlencode(form | ({"DialCallSid": dialed_call_sid} if dialed_call_sid else {})))


async def was_redirected(parent: str, child: str | None = OPENAI, **options: Any) -> bool:
    return await voice.was_redirected(dialed(parent, child), **options)


_parents = iter(f"CA{number:032x}" for number in range(10**6))


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """What this process remembers, for one test."""
    store = MemoryStore()
    monkeypatch.setattr(remembered, "_here", store)
    return store


def leg(status: str = "in-progress", to: str = PROJECT, sid: str = OPENAI) -> dict[str, Any]:
    return {"sid": sid, "account_sid": ACCOUNT, "to": to, "status": status}


class Twilio:
    """Answers the question for children with `children`, and the redirect with what `updated` returns."""

    def __init__(self, *children: dict[str, Any], updated: Callable[[], httpx.Response] | None = None) -> None:
        self.children = list(children)
        self.updated = updated or (lambda: httpx.Response(200, json=leg("in-progress", "+14155550199")))
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fields = dict(parse_qsl(request.content.decode()) or request.url.params.multi_items())
        self.asked.append((request.method, request.url.path.rpartition("/")[2], fields))
        if request.method == "GET":
            return httpx.Response(200, json={"calls": self.children, "next_page_uri": None})
        return self.updated()

    @property
    def redirected(self) -> list[dict[str, str]]:
        return [fields for _, _, fields in self.asked if "Twiml" in fields and "To" not in fields]


@asynccontextmanager
async def client_of(service: Twilio, how: str = "async") -> AsyncIterator[Client]:
    transport = httpx.MockTransport(service)
    if how == "sync":
        with httpx.Client(transport=transport) as given:
            yield Client(ACCOUNT, TOKEN, http_client=TwilioHttp(given))
    else:
        async with httpx.AsyncClient(transport=transport) as given_async:
            yield Client(ACCOUNT, TOKEN, http_client=AsyncTwilioHttp(given_async))


def requested(parent: str | None) -> TransferRequest:
    target = TransferTarget("sip:desk@pbx.example.com")
    return TransferRequest(call_id="rtc_1", name="desk", target=target, summary="A refund.", parent_call_sid=parent)


async def redirected(service: Twilio, how: str = "async", made: Any = None) -> str:
    """Redirect a call, and return its SID."""
    parent = next(_parents)
    async with client_of(service, how) as client:
        await voice.redirect(client, twiml=made or (lambda _request: BYE))(requested(parent))
    return parent


@HOW
@virtual
async def test_the_parent_gets_the_new_document_once_its_children_were_asked_for(how: str) -> None:
    service = Twilio(leg(), leg("completed", "+14155550123", DESK))
    parent = await redirected(service, how, lambda request: twiml.say(request.summary))
    (_, list_, query), (_, path, form) = service.asked
    assert (list_, query["ParentCallSid"], path) == ("Calls.json", parent, f"{parent}.json")
    assert "<Say>A refund.</Say>" in form["Twiml"]
    assert await was_redirected(parent)
    assert not await was_redirected(parent, DESK), "the Dial of the new document"
    assert not await was_redirected(parent, None), "a conference of the new document"


async def _later(_request: TransferRequest) -> str:
    return BYE


@virtual
async def test_the_document_may_be_made_asynchronously() -> None:
    service = Twilio(leg())
    await redirected(service, made=_later)
    assert service.redirected == [{"Twiml": BYE}]


@pytest.mark.parametrize(
    "children",
    [
        [leg(), leg("ringing", "sip:desk@pbx.example.com", DESK)],
        [leg(), leg("in-progress", "client:agent", DESK)],
        [leg(), leg("queued", "+14155550123", DESK)],
        [leg("completed"), leg("in-progress", "+14155550123", DESK)],
        [leg("completed")],
        [],
    ],
    ids=["rings", "talks", "is queued", "alone", "gone to a queue", "none"],
)
@HOW
@virtual
async def test_law_never_a_double_dial__what_another_worker_has_begun_is_left_alone(
    how: str, children: list[dict[str, Any]]
) -> None:
    service = Twilio(*children)
    parent = await redirected(service, how)
    assert service.redirected == []
    assert not await was_redirected(parent)


def _refused(status: int, code: int) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, json={"code": code, "message": "no", "status": status})


@pytest.mark.parametrize(("status", "code"), [(400, 21220), (404, 20404), (429, 20429), (401, 20003)])
@HOW
@virtual
async def test_what_twilio_refuses_is_raised_and_was_no_redirect(how: str, status: int, code: int) -> None:
    service, parent = Twilio(leg(), updated=_refused(status, code)), next(_parents)
    async with client_of(service, how) as client:
        with pytest.raises(TwilioRestException) as raised:
            await voice.redirect(client, twiml=lambda _request: BYE)(requested(parent))
    assert raised.value.code == code
    assert not await was_redirected(parent)


@virtual
async def test_an_answer_that_the_call_is_over_is_no_redirect() -> None:
    service = Twilio(leg(), updated=lambda: httpx.Response(200, json=leg("completed")))
    with pytest.raises(TransferError, match="completed"):
        await redirected(service)


def _raising(error: Exception) -> Callable[[], httpx.Response]:
    def answer() -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    "updated",
    [_raising(httpx.ReadTimeout("late")), _raising(httpx.ReadError("reset")), _refused(503, 20503)],
    ids=["late", "reset", "5xx"],
)
@HOW
@virtual
async def test_what_may_have_been_done_counts_as_done(how: str, updated: Callable[[], httpx.Response]) -> None:
    service = Twilio(leg(), updated=updated)
    parent = await redirected(service, how)
    assert len(service.redirected) == 1
    assert await was_redirected(parent)


@HOW
@virtual
async def test_what_never_left_is_raised(how: str) -> None:
    parent = next(_parents)
    async with client_of(Twilio(leg(), updated=_raising(httpx.ConnectError("refused"))), how) as client:
        with pytest.raises(NetworkError):
            await voice.redirect(client, twiml=lambda _request: BYE)(requested(parent))
    assert not await was_redirected(parent)


@pytest.mark.parametrize(
    "document", ["", " ", "<" * 4001, "<Response>", '<Response><Dial action="/after">1</Dial></Response>']
)
@virtual
async def test_a_document_that_twilio_does_not_take_is_refused_before_anything_is_asked(document: str) -> None:
    service = Twilio(leg())
    with pytest.raises(InvalidRequestError, match="twiml"):
        await redirected(service, made=lambda _request: document)
    assert service.asked == []


@virtual
async def test_without_the_signed_context_nothing_is_known_of_the_caller() -> None:
    async with client_of(Twilio()) as client:
        with pytest.raises(ConfigurationError, match="voice="):
            await voice.redirect(client, twiml=lambda _request: BYE)(requested(None))


@virtual
async def test_a_blocking_client_waits_in_our_threads_and_never_in_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("asyncio's pool also resolves names")

    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", never)
    await redirected(Twilio(leg()), "sync")
    none_left = Threads("test", 1)
    assert none_left._take()
    monkeypatch.setattr(rest, "_THREADS", none_left)
    with pytest.raises(NoThreadError):
        await redirected(Twilio(leg()), "sync")


@pytest.mark.parametrize("wrong", [None, object(), TwilioHttp()])
def test_what_is_no_client_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="client"):
        voice.redirect(wrong, twiml=lambda _request: BYE)


def test_twiml_is_made_for_each_transfer() -> None:
    with pytest.raises(ConfigurationError, match="function"):
        voice.redirect(Client(ACCOUNT, TOKEN, http_client=TwilioHttp()), twiml=BYE)  # type: ignore[arg-type]


def test_calls_are_remembered_for_an_hour_and_ten_thousand_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(remembered, "time", SimpleNamespace(monotonic=lambda: now))
    known: remembered.Remembered[str] = remembered.Remembered()
    known.note("CA1", "a")
    now = 3600.0
    assert known.get("CA1") == "a"
    known.note("CA1", "b")
    now = 7201.0
    assert known.get("CA1") is None
    for number in range(10_050):
        known.note(f"CA{number}", "c")
    assert len(known._known) == 10_000
    assert known.get("CA49") is None
    assert known.get("CA10049") == "c"


@virtual
async def test_a_second_redirect_of_a_call_ends_the_legs_of_the_first_as_well() -> None:
    parent = next(_parents)
    for sid in (OPENAI, DESK):
        async with client_of(Twilio(leg(sid=sid))) as client:
            await voice.redirect(client, twiml=lambda _request: BYE)(requested(parent))
    async with client_of(Twilio(leg(), updated=_refused(400, 21220))) as client:
        with pytest.raises(TwilioRestException):
            await voice.redirect(client, twiml=lambda _request: BYE)(requested(parent))
    assert await was_redirected(parent, OPENAI)
    assert await was_redirected(parent, DESK)


@virtual
async def test_law_a_question_without_an_answer_is_no_redirect__the_fallback_is_not_canceled_meanwhile() -> None:
    async def silent(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(silent)) as given:
        client = Client(ACCOUNT, TOKEN, http_client=AsyncTwilioHttp(given))
        with pytest.raises(DeadlineError) as raised:
            async with asyncio.timeout(10):  # as long as the fallback of a transfer has
                await voice.redirect(client, twiml=lambda _request: BYE)(requested(next(_parents)))
    assert not raised.value.sent


# --- warm -------------------------------------------------------------------------------------------------------------


@virtual
async def test_law_nothing_hangs__a_client_of_twilios_own_that_waits_without_end() -> None:
    """Twilio's HTTP clients have no timeout, and a report is not bounded by a transfer's fallback."""

    class Never:
        is_async = True

        async def request(self, *_args: object, **_kwargs: object) -> None:
            await asyncio.Event().wait()

    asking = rest.Rest(Client(ACCOUNT, TOKEN, http_client=Never()), remembered.Notes(None))
    parent = next(_parents)
    await asking.end(parent)
    await asking.redirect(parent, BYE, frozenset({OPENAI}), target="desk")
    assert await was_redirected(parent), "it may be"


class Switchboard(Twilio):
    """Makes calls too: `made` answers that."""

    def __init__(
        self, *children: dict[str, Any], made: Callable[[], httpx.Response] | None = None, **more: Any
    ) -> None:
        super().__init__(*children, **more)
        self.made = made or (lambda: httpx.Response(201, json=leg("queued", "+14155550123", DESK)))
        self.called: list[dict[str, Any]] = []
        self.status = "ringing"

    @property
    def creates(self) -> int:
        return sum("Timeout" in fields for _, _, fields in self.asked)

    @property
    def questions(self) -> list[dict[str, str]]:
        """What it was asked about calls to somebody."""
        return [fields for method, _, fields in self.asked if method == "GET" and "To" in fields]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and not request.url.path.endswith("/Calls.json"):
            self.asked.append(("GET", request.url.path.rpartition("/")[2], {}))
            return httpx.Response(200, json=leg(self.status, "+14155550123", DESK))
        if request.method == "GET" and "To" in request.url.params:
            self.asked.append(("GET", "Calls.json", dict(request.url.params)))
            return httpx.Response(200, json={"calls": self.called, "next_page_uri": None})
        if request.method == "POST" and request.url.path.endswith("/Calls.json"):
            self.asked.append(("POST", "Calls.json", dict(parse_qsl(request.content.decode()))))
            return self.made()
        return super().__call__(request)


def warm_of(client: Client, **options: Any) -> voice.WarmTransfer:
    options = {"from_": "+14155550199", "status_callback": "https://a.example/s", **options}
    return voice.WarmTransfer(client, otherwise=lambda _request: BYE, **options)


async def warmly(service: Twilio, parent: str) -> voice.WarmTransfer:
    async with client_of(service) as client:
        warm = warm_of(client)
        await warm(requested(parent))
        return warm


@virtual
async def test_nobody_is_called_for_a_caller_who_is_being_transferred_already() -> None:
    service = Switchboard(leg(), leg("ringing", "+14155550123", DESK))
    await warmly(service, next(_parents))
    assert service.redirected == []


@virtual
async def test_a_person_who_cannot_be_called_leaves_the_caller_with_the_model() -> None:
    service, parent = Switchboard(leg(), made=_refused(400, 21211)), next(_parents)
    with pytest.raises(TwilioRestException):
        await warmly(service, parent)
    assert [path for _, path, _ in service.asked] == ["Calls.json", "Calls.json"]
    assert not await was_redirected(parent)


UNCLEAR = pytest.mark.parametrize(
    "made", [_refused(503, 20503), _raising(httpx.ReadTimeout("late")), _raising(httpx.ReadError("reset"))]
)


def person(status: str = "ringing", sid: str = DESK, age: float = 0.0) -> dict[str, Any]:
    """The call of a person as Twilio lists it."""
    at = formatdate(time.time() - age)
    return {**leg(status, "sip:desk@pbx.example.com", sid), "direction": "outbound-api", "date_created": at}


@UNCLEAR
@virtual
async def test_a_person_whom_twilio_calls_without_saying_so_is_found_and_not_called_again(made: Any) -> None:
    service, parent = Switchboard(leg(), made=made), next(_parents)
    service.called = [person(), person("completed", "CA" + "d" * 32), person(sid="CA" + "e" * 32, age=60)]
    await warmly(service, parent)
    assert service.creates == 1
    (question,) = service.questions
    assert (question["To"], question["From"]) == ("sip:desk@pbx.example.com", "+14155550199")
    assert "<Conference" in service.redirected[-1]["Twiml"]
    assert await was_redirected(parent)


@UNCLEAR
@pytest.mark.parametrize("called", [[], [person(), person(sid="CA" + "d" * 32)]], ids=["nobody", "two"])
@virtual
async def test_in_doubt_whether_a_person_is_called_the_caller_stays_with_the_model(made: Any, called: Any) -> None:
    service, parent = Switchboard(leg(), made=made), next(_parents)
    service.called = called
    with pytest.raises((TwilioRestException, NetworkError)):
        await warmly(service, parent)
    assert (service.creates, service.redirected) == (1, [])
    assert not await was_redirected(parent)


@virtual
async def test_law_never_a_double_dial__a_second_transfer_asks_whether_the_first_call_came_after_all() -> None:
    service, parent = Switchboard(leg(), made=_refused(503, 20503)), next(_parents)
    with pytest.raises(TwilioRestException):
        await warmly(service, parent)
    service.called = [person(), person(sid="CA" + "d" * 32)]
    with pytest.raises(TransferError, match="may be calling"):
        await warmly(service, parent)
    service.called = [person()]
    await warmly(service, parent)
    assert service.creates == 1
    assert "<Conference" in service.redirected[-1]["Twiml"]


@virtual
async def test_a_second_transfer_calls_again_if_nobody_is_being_called() -> None:
    service, parent = Switchboard(leg(), made=_refused(503, 20503)), next(_parents)
    for _ in range(2):
        with pytest.raises(TwilioRestException):
            await warmly(service, parent)
        service.called = [person("no-answer")]
    assert service.creates == 2


@virtual
async def test_another_callers_person_is_not_taken_for_ones_own() -> None:
    first, second = Switchboard(leg()), Switchboard(leg(), made=_refused(503, 20503))
    await warmly(first, next(_parents))
    second.called = [person()]
    with pytest.raises(TwilioRestException):
        await warmly(second, next(_parents))
    assert second.redirected == []


def answered(sid: str, **more: str) -> CallStatusCallback:
    form = {"CallSid": sid, "CallStatus": "in-progress", "Direction": "outbound-api", "From": "+14155550199"}
    return CallStatusCallback.read(urlencode({**form, "To": "sip:desk@pbx.example.com", **more}))


@virtual
async def test_a_person_who_was_called_in_vain_is_hung_up_when_they_answer() -> None:
    service, parent = Switchboard(leg(), made=_refused(503, 20503)), next(_parents)
    async with client_of(service) as client:
        warm = warm_of(client)
        with pytest.raises(TwilioRestException):
            await warm(requested(parent))
        before = len(service.asked)
        for other in (
            answered(DESK, To="+14155550123"),
            answered(DESK, ParentCallSid=parent),
            answered(DESK, Direction="inbound"),
        ):
            assert not await warm.report(other)
        assert len(service.asked) == before
        assert await warm.report(answered(DESK))
        assert service.asked[-1] == ("POST", f"{DESK}.json", {"Status": "completed"})
        assert not await warm.report(answered("CA" + "d" * 32)), "once"


@virtual
async def test_law_across_workers__any_of_them_takes_the_report_and_one_acts() -> None:
    """What one worker began, another one hears of; both have the same store."""
    service, parent, store = Switchboard(leg()), next(_parents), MemoryStore()
    async with client_of(service) as client:
        begins, hears, has_another = warm_of(client, store=store), warm_of(client, store=store), warm_of(client)
        await begins(requested(parent))
        busy = CallStatusCallback.read(f"CallSid={DESK}&CallStatus=busy")
        assert not await has_another.report(busy)
        assert sorted(await asyncio.gather(hears.report(busy), begins.report(busy))) == [False, True]
        assert [form.get("Twiml") for form in service.redirected][-1] == BYE
        assert len(service.redirected) == 2
        assert await was_redirected(parent, store=store)
        assert await was_redirected(parent, None, store=store), "the conference in which they waited"
        assert not await was_redirected(parent)


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed", "canceled"])
@virtual
async def test_a_report_that_came_before_its_call_was_known_is_made_up_for(status: str) -> None:
    service, parent = Switchboard(leg()), next(_parents)
    service.status = status
    await warmly(service, parent)
    assert [form["Twiml"] for form in service.redirected][1:] == [BYE]


@pytest.mark.parametrize("word", ["failed", "busy", "no-answer", "canceled"])
@virtual
async def test_a_dial_that_never_began_is_no_end_of_the_conference_before_it(word: str) -> None:
    """It names no call either, and a caller who is left alone with it would be hung up on."""
    service, parent = Switchboard(leg()), next(_parents)
    async with client_of(service) as client:
        warm = warm_of(client)
        await warm(requested(parent))
        assert await warm.report(CallStatusCallback.read(f"CallSid={DESK}&CallStatus=busy"))
    form = {"CallSid": parent, "CallStatus": "in-progress", "DialCallStatus": word, "ErrorMessage": "13224"}
    assert not await voice.was_redirected(DialResult.read(urlencode(form)))
    assert await was_redirected(parent, None), "the conference in which they waited"


@virtual
async def test_law_no_call_depends_on_the_store(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryStore):
        async def note(self, *_: Any, **__: Any) -> None:
            raise ConnectionError

        async def noted(self, key: str) -> str | None:
            await asyncio.Event().wait()
            raise AssertionError

        take = noted

    service, parent, store = Switchboard(leg()), next(_parents), Down()
    async with client_of(service) as client:
        async with asyncio.timeout(10):
            await voice.redirect(client, twiml=lambda _request: BYE, store=store)(requested(parent))
        assert service.redirected == [{"Twiml": BYE}]
        assert not await was_redirected(parent, store=store)
        with pytest.raises(ConnectionError):  # nobody would tell the caller that the person does not answer
            async with asyncio.timeout(10):
                await warm_of(client, store=store)(requested(parent))
        assert service.asked[-1] == ("POST", f"{DESK}.json", {"Status": "completed"})
    assert "the store failed" in caplog.text


@virtual
async def test_a_caller_who_cannot_be_redirected_ends_the_call_of_the_person() -> None:
    service, parent = Switchboard(leg(), updated=_refused(400, 21220)), next(_parents)
    with pytest.raises(TwilioRestException):
        await warmly(service, parent)
    assert service.asked[-1] == ("POST", f"{DESK}.json", {"Status": "completed"})
    assert not await was_redirected(parent)


@virtual
async def test_a_report_about_another_call_does_nothing() -> None:
    service, parent = Switchboard(leg()), next(_parents)
    warm = await warmly(service, parent)
    before = list(service.asked)
    assert not await warm.report(
        CallStatusCallback.read(f"CallSid={OPENAI}&CallStatus=completed&ParentCallSid={parent}")
    )
    assert not await warm.report(VoiceWebhook.read(f"CallSid={parent}&CallStatus=in-progress"))
    assert await warm.report(CallStatusCallback.read(f"CallSid={DESK}&CallStatus=in-progress"))
    joined = f"CallSid={DESK}&StatusCallbackEvent=participant-join&FriendlyName={parent}"
    assert await warm.report(VoiceWebhook.read(joined))
    assert await warm.report(CallStatusCallback.read(f"CallSid={DESK}&CallStatus=completed"))
    assert not await warm.report(CallStatusCallback.read(f"CallSid={DESK}&CallStatus=completed"))
    assert service.asked == before


@pytest.mark.parametrize(("caller", "follows"), [("in-progress", [BYE]), ("completed", [])])
@virtual
async def test_a_caller_waits_for_nobody_who_heard_the_summary_and_did_not_join(caller: str, follows: Any) -> None:
    service, parent = Switchboard(leg()), next(_parents)
    async with client_of(service) as client:
        warm = warm_of(client)
        await warm(requested(parent))
        service.status = caller
        assert not await warm.report(VoiceWebhook.read(f"CallSid={parent}&StatusCallbackEvent=participant-join"))
        assert await warm.report(CallStatusCallback.read(f"CallSid={DESK}&CallStatus=completed"))
    assert [form["Twiml"] for form in service.redirected][1:] == follows


# --- beyond an hour ---------------------------------------------------------------------------------------------------


class OneCall:
    """As much of a call as a renewal needs."""

    def __init__(
        self,
        parent: str | None,
        *,
        transferring: bool = False,
        caller: str | None = "+14155550100",
        channel: str = "sip",
        from_: str = "<sip:anonymous@anonymous.invalid>",
    ) -> None:
        self.call_id, self.transferring, self.detached = "rtc_1", transferring, False
        known = {"parent_call_sid": parent, "caller": caller, "channel": channel, "dialed": None, "context": {"a": "b"}}
        self.incoming = SimpleNamespace(sip=SipHeaders([("From", from_)]), **known)

    async def detach(self) -> None:
        self.detached = True


async def renewed(service: Twilio, call: OneCall, made: Any = None, **options: Any) -> None:
    async with client_of(service) as client:
        options = {"summary": "A long trip.", "twiml": made or (lambda *_: BYE), **options}
        await voice.renew(call, client, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("updated", "sure"), [(None, True), (_refused(503, 20503), False)])
@virtual
async def test_a_call_is_let_go_of_only_if_twilio_has_confirmed_the_redirect(updated: Any, sure: bool) -> None:
    told: list[Any] = []

    async def again(known: voice.KnownCall, context: Any) -> str:
        told.extend((known, context))
        return BYE

    store, parent = MemoryStore(), next(_parents)
    service, call = Twilio(leg(), updated=updated), OneCall(parent)
    await renewed(service, call, again, store=store)
    assert call.detached is sure
    assert service.redirected == [{"Twiml": BYE}]
    known, context = told
    assert (known.call_sid, known.caller, known.channel) == (parent, "+14155550100", "sip")
    next_one: Any = SimpleNamespace(context=context)
    assert context["a"] == "b"
    assert await voice.summary_of(next_one, store=store) == "A long trip."
    assert await voice.summary_of(next_one) is None, "in another store"
    assert await voice.summary_of(SimpleNamespace(context={})) is None  # type: ignore[arg-type]
    assert "trip" not in str(context)
    assert await was_redirected(parent, store=store)


@virtual
async def test_a_caller_without_a_number_is_dialed_again_as_an_app() -> None:
    """Whether it is a SIP phone or an app is not known, and an app's own address has a colon."""
    told: list[voice.KnownCall] = []

    def again(known: voice.KnownCall, _context: Any) -> str:
        told.append(known)
        return BYE

    await renewed(Twilio(leg()), OneCall(next(_parents), caller=None), again)
    assert [known.channel for known in told] == ["client"]


@pytest.mark.parametrize(
    ("from_", "user_id"),
    [
        ('"Ana" <sip:BR.1502576394655843@pstn.twilio.com>;tag=1', "BR.1502576394655843"),
        ("sip:US.ENT.a1@pstn.twilio.com", "US.ENT.a1"),
        ("<sip:anonymous@anonymous.invalid>", None),
        ("<sip:ana@pbx.example.com>", None),
        ("<<", None),
        ("", None),
    ],
)
@virtual
async def test_a_whatsapp_caller_without_a_number_keeps_their_user_id(from_: str, user_id: str | None) -> None:
    """The next call would have nobody for a caller, and be another person's to whoever tells callers apart."""
    told: list[voice.KnownCall] = []

    def again(known: voice.KnownCall, _context: Any) -> str:
        told.append(known)
        return str(twiml.dial_openai("proj_abc123", voice=known))

    service = Twilio(leg())
    await renewed(service, OneCall(next(_parents), caller=None, channel="whatsapp", from_=from_), again)
    assert [(known.channel, known.user_id) for known in told] == [("whatsapp", user_id)]
    (form,) = service.redirected
    assert f'callerId="{user_id or "anonymous"}"' in form["Twiml"]


@virtual
async def test_what_cannot_be_renewed_goes_on() -> None:
    service = Twilio(leg(), leg("in-progress", "client:anna", DESK))
    for call, made, error in (
        (OneCall(None), None, ConfigurationError),
        (OneCall(next(_parents)), "<Response/>", ConfigurationError),
        (OneCall(next(_parents)), lambda *_: "<" * 4001, InvalidRequestError),
        (OneCall(next(_parents), transferring=True), None, TransferError),
        (OneCall(next(_parents)), None, TransferError),
    ):
        with pytest.raises(error):
            await renewed(service, call, made)
        assert not call.detached
    assert service.redirected == []
    refused, call = Twilio(leg(), updated=_refused(400, 21220)), OneCall(next(_parents))
    with pytest.raises(TwilioRestException):
        await renewed(refused, call)
    assert not call.detached
