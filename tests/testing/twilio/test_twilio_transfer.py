"""A transfer through the whole chain: Twilio, our TwiML, OpenAI, a host, and back by REFER or by REST."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.rest import Client
from twilio_program import SESSION, Program

from emulated import virtual
from realtime_sip import (
    AsyncRealtimeSip,
    CallEnded,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    LimitKind,
    LimitNear,
    TransferRequest,
    TransferTarget,
    TransferTargets,
)
from realtime_sip.errors import CallEndedError, TransferError
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import (
    Behavior,
    Callee,
    CallerHangsUp,
    CallerSays,
    ModelSays,
    OpenAIEmulator,
    TwilioBehavior,
    TwilioCall,
    TwilioEmulator,
)
from realtime_sip.twilio import to_openai, twiml, voice
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.twiml import AfterDial
from realtime_sip.twilio.webhooks import CallWebhook, DialResult, ReferRequest, VoiceWebhook, read_webhook

SECRET = "a context secret of the tests"
DESK, HUMAN = "sip:desk@pbx.example.com", "+14155550123"
HELLO = (ModelSays("Hello."),)
Fallback = Callable[[Client, str], Callable[[TransferRequest], Any]]


def to_desk(url: str = "") -> twiml.VoiceResponse:
    """Dial the desk, whose progress is reported to `/status`. TwiML that is sent over REST needs the whole URLs."""
    response = twiml.VoiceResponse()
    dial = response.dial(action=f"{url}/desk", answer_on_bridge=True)
    dial.sip(DESK, status_callback=f"{url}/status", status_callback_event=["ringing", "answered", "completed"])
    return response


@dataclass
class Chain:
    """A program as its users write it, between both emulators."""

    openai: OpenAIEmulator
    client: AsyncRealtimeSip
    transfers: TransferTargets | None = None
    host: CallHost = field(init=False)
    twilio: TwilioEmulator = field(init=False)
    url: str = ""
    heard: list[tuple[str, bool]] = field(default_factory=list)
    """Each webhook that went to the host, and whether it was about a call there."""
    became: list[tuple[str, AfterDial]] = field(default_factory=list)
    failed: list[TransferError] = field(default_factory=list)
    by_target: bool = False
    """Whether a REFER is answered with what its target says."""
    thinks: float = 0.0
    """Seconds that the handler takes before it answers."""
    elsewhere: bool = False
    """Whether Twilio's webhooks reach another worker than that of the call."""
    queue: bool = False
    """Whether a REFER is answered with a queue."""
    warm: voice.WarmTransfer | None = None
    reports: set[asyncio.Task[bool]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.host = CallHost(self.on_call, client=self.client)

    async def on_call(self, incoming: IncomingCall) -> None:
        await asyncio.sleep(self.thinks)
        async with self.client.calls.answer(incoming, SESSION, transfers=self.transfers) as call:
            await call.respond("Greet.")
            if self.transfers is not None:
                try:
                    await call.transfer("desk", summary="They ask for a refund.")
                except TransferError as error:
                    self.failed.append(error)
                except CallEndedError:
                    return
            await call.wait_ended()

    def tell(self, form: Mapping[str, str]) -> CallWebhook:
        payload = read_webhook(urlencode(form))
        assert isinstance(payload, CallWebhook)
        self.heard.append((type(payload).__name__, not self.elsewhere and self.host.carrier(payload)))
        return payload

    def voice(self, form: Mapping[str, str]) -> str:
        webhook = VoiceWebhook.read(urlencode(form))
        return str(
            twiml.dial_openai(
                "proj_abc123", voice=webhook, signer=ContextSigner(SECRET), action="/after", refer_url="/refer"
            )
        )

    async def refer(self, form: Mapping[str, str]) -> str:
        asked = self.tell(form)
        assert isinstance(asked, ReferRequest)
        if self.queue:
            return str(twiml.enqueue_flex(WORKFLOW))
        if not self.by_target:
            return str(to_desk())
        transfer = await self.host.transfer_of(asked)
        assert transfer is not None
        return str(
            twiml.transfer_to(
                asked.target,
                channel=transfer.channel,
                caller_id=asked.sip_caller_id,
                task={"summary": transfer.summary},
                action="/desk",
                status_callback=f"{self.url}/status",
            )
        )

    def status(self, form: Mapping[str, str]) -> str:
        payload = self.tell(form)
        if self.warm is not None:
            self.reports.add(asyncio.create_task(self.warm.report(payload)))
        return ""

    async def after(self, form: Mapping[str, str], where: str = "after") -> str:
        result = self.tell(form)
        if isinstance(result, DialResult):
            redirected = await voice.was_redirected(result)
            self.became.append((where, twiml.after_dial(result.fields, redirected=redirected)))
        return str(twiml.VoiceResponse())

    async def desk(self, form: Mapping[str, str]) -> str:
        return await self.after(form, "desk")

    async def ring(self, **options: Any) -> TwilioCall:
        return await self.twilio.ring(f"{self.url}/voice", status_callback=f"{self.url}/status", **options)

    async def ended(self, call: TwilioCall) -> CallEnded:
        await call.ended()
        return await self.host.ended(call.openai_calls[0].call_id)


@contextlib.asynccontextmanager
async def chain(
    *,
    callee: Callee | None = None,
    target: str = DESK,
    fallback: Fallback | None = None,
    how: str = "async",
    transfers: bool = True,
    openai_behavior: Behavior | None = None,
    **on: Any,
) -> AsyncIterator[Chain]:
    """Set up everything; `fallback` makes the transfer's from Twilio's client, and `on` are switches of Twilio's."""
    async with (
        OpenAIEmulator(context_secret=SECRET, behavior=openai_behavior) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
    ):
        here = Chain(openai, client)
        routes: dict[str, Any] = {name: getattr(here, name) for name in ("voice", "refer", "status", "after", "desk")}
        async with (
            Program(**routes) as program,
            TwilioEmulator(
                openai=openai,
                openai_webhook=here.host,
                behavior=TwilioBehavior(**on),
                callees={DESK: callee or Callee(rings=8, talks=20), HUMAN: callee or Callee(rings=8, talks=20)},
            ) as twilio,
            contextlib.AsyncExitStack() as stack,
        ):
            here.twilio, here.url = twilio, program.url
            http: Any = (
                await stack.enter_async_context(AsyncTwilioHttp(base_url=twilio.base_url))
                if how == "async"
                else stack.enter_context(TwilioHttp(base_url=twilio.base_url))
            )
            rest = Client(twilio.account_sid, twilio.auth_token, http_client=http)
            if transfers:
                made = None if fallback is None else fallback(rest, program.url)
                here.warm = made if isinstance(made, voice.WarmTransfer) else None
                here.transfers = TransferTargets({"desk": TransferTarget(target, ring_time=20)}, fallback=made)
            yield here
            await asyncio.gather(*here.reports)
            await here.host.drain(1)


def by_rest(client: Client, url: str) -> Callable[[TransferRequest], Any]:
    return voice.redirect(client, twiml=lambda _request: to_desk(url))


@pytest.mark.parametrize(
    "on",
    [
        {},
        {"refer_call_sid": "child"},
        {"invite_call_sid": "parent"},
        {"action_after_refer": True},
        {"status_callbacks": "reversed", "status_copies": 2},
    ],
    ids=str,
)
@virtual
async def test_a_refer_that_arrives_is_reported_and_so_is_the_answer(on: dict[str, Any]) -> None:
    async with chain(fallback=by_rest, **on) as here:
        call = await here.ring(scenario=HELLO)
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
        assert here.heard[0] == ("ReferRequest", True)
        assert [leg.to.partition(";")[0] for leg in call.children] == ["sip:proj_abc123@sip.api.openai.com", DESK]
        assert here.twilio.rest_requests == []


@pytest.mark.parametrize("how", ["async", "sync"])
@virtual
async def test_without_a_hit_the_call_is_redirected_and_the_old_action_is_told_apart(how: str) -> None:
    async with chain(fallback=by_rest, how=how, enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
        assert "answered" in ended.evidence
        assert [request.method for request in here.twilio.rest_requests] == ["GET", "POST"]
        openai, desk = call.children
        assert openai.ended_at is not None
        assert desk.answered_at is not None
        assert openai.ended_at < desk.answered_at
        assert here.became == [("after", AfterDial.OWN_REDIRECT), ("desk", AfterDial.TALKED)]


@virtual
async def test_a_redirect_whose_target_is_busy_is_told_apart_from_the_redirect_itself() -> None:
    async with chain(fallback=by_rest, callee=Callee(outcome="busy"), enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
        assert here.became == [("after", AfterDial.OWN_REDIRECT), ("desk", AfterDial.REJECTED)]


@virtual
async def test_a_target_that_is_busy_leaves_the_caller_with_the_model() -> None:
    scenario = [*HELLO, ModelSays("They are busy."), CallerSays("Bye."), ModelSays("Bye."), CallerHangsUp()]
    async with chain(callee=Callee(outcome="busy")) as here:
        call = await here.ring(scenario=scenario)
        ended = await here.ended(call)
        assert [failed.reason.value for failed in here.failed] == ["busy"]
        assert ended.reason is EndReason.CALLER


@pytest.mark.parametrize("word", ["no-answer", "canceled", "completed"])
@virtual
async def test_a_caller_who_hangs_up_is_reported(word: str) -> None:
    async with chain(transfers=False, caller_gave_up=word) as here:
        call = await here.ring(scenario=[*HELLO, CallerHangsUp()])
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")


@pytest.mark.parametrize("word", ["no-answer", "canceled", "completed"])
@virtual
async def test_a_caller_who_gives_up_before_the_handler_answers_is_not_answered(word: Any) -> None:
    async with chain(transfers=False, caller_gave_up=word) as here:
        here.thinks = 5
        call = await here.ring()
        ringing = await call.until_openai()
        call.hang_up()
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        assert "accept" not in [request.operation for request in ringing.requests]
        assert call.status == word


@virtual
async def test_a_caller_who_hangs_up_while_the_target_rings_was_not_transferred() -> None:
    async with chain(callee=Callee(rings=15)) as here:
        call = await here.ring(scenario=HELLO)
        await call.until_dialed(count=2)
        call.hang_up()
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")


@virtual
async def test_law_never_a_double_dial__after_a_hit_that_was_told_the_fallback_is_not_taken() -> None:
    scenario = [*HELLO, ModelSays("Nobody is there."), CallerSays("Bye."), ModelSays("Bye."), CallerHangsUp()]
    async with chain(fallback=by_rest, callee=Callee(outcome="no answer")) as here:
        call = await here.ring(scenario=scenario)
        ended = await here.ended(call)
        assert [failed.reason.value for failed in here.failed] == ["no answer"]
        assert ended.reason is EndReason.CALLER
        assert len(call.children) == 2
        assert here.twilio.rest_requests == []


@pytest.mark.parametrize(("rings", "asks"), [(1, 0), (8, 1), (18, 1)], ids=["answered", "rings", "rings for long"])
@virtual
async def test_law_never_a_double_dial__a_hit_at_another_worker_is_seen_among_the_callers_calls(
    rings: float, asks: int
) -> None:
    async with chain(fallback=by_rest, callee=Callee(rings=rings, talks=20)) as here:
        here.elsewhere = True
        call = await here.ring(scenario=HELLO)
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
        assert [leg.to.partition(";")[0] for leg in call.children] == ["sip:proj_abc123@sip.api.openai.com", DESK]
        assert [request.method for request in here.twilio.rest_requests] == ["GET"] * asks


@pytest.mark.parametrize("closes", [True, False])
@virtual
async def test_law_never_a_double_dial__a_hit_that_became_a_queue_leaves_no_call_and_only_openais_leg_tells(
    closes: bool,
) -> None:
    async with chain(fallback=by_rest, openai_behavior=Behavior(closes_at_end=closes)) as here:
        here.elsewhere = here.queue = True
        call = await here.ring(scenario=HELLO)
        await call.until_queued()
        (openai,) = call.children
        await until(lambda: openai.ended_at is not None)
        call.hang_up()
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
        assert len(call.queued) == 1
        assert len(call.children) == 1
        assert all(request.method == "GET" for request in here.twilio.rest_requests)


WORKFLOW = "WW" + "0" * 32
WHATSAPP = {"from_": "whatsapp:+5511987650001", "to": "whatsapp:+14155550199"}


@pytest.mark.parametrize("who", [{}, WHATSAPP], ids=["phone", "WhatsApp"])
@pytest.mark.parametrize("refer_call_sid", ["parent", "child"])
@pytest.mark.parametrize(
    ("target", "dialed"),
    [("sip:anna@client.invalid", "client:anna"), (DESK, DESK), (f"sip:{WORKFLOW}@queue.invalid", None)],
    ids=["app", "SIP", "queue"],
)
@virtual
async def test_a_refer_leads_where_its_target_says(
    who: dict[str, str], refer_call_sid: Any, target: str, dialed: str | None
) -> None:
    async with chain(target=target, fallback=by_rest, refer_call_sid=refer_call_sid) as here:
        here.by_target = True
        call = await here.ring(scenario=HELLO, **who)
        await (call.until_queued() if dialed is None else call.until_dialed(count=2))
        assert [leg.to for leg in call.children[1:]] == ([] if dialed is None else [dialed])
        assert [queued.task for queued in call.queued] == ([] if dialed else [{"summary": "They ask for a refund."}])
        call.hang_up()
        await here.ended(call)
        assert here.twilio.rest_requests == []


# --- warm -------------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(600):
        while not condition():  # noqa: ASYNC110 - a conference tells nobody, and virtual time costs nothing
            await asyncio.sleep(0.1)


def warmly(client: Client, url: str) -> voice.WarmTransfer:
    return voice.WarmTransfer(
        client,
        from_="+14155550199",
        status_callback=f"{url}/status",
        otherwise=lambda request: twiml.say(f"Nobody at {request.name} answers."),
    )


@pytest.mark.parametrize("how", ["async", "sync"])
@virtual
async def test_a_person_hears_the_summary_and_then_the_caller_who_waited(how: str) -> None:
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, how=how, enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        await until(lambda: any(len(each.participants) == 2 for each in here.twilio.conferences))
        (conference,) = here.twilio.conferences
        assert conference.name == call.sid
        assert {each.leg.sid for each in conference.participants} == {each.sid for each in here.twilio.calls}
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
        asked = [(request.method, request.path.rpartition("/")[2]) for request in here.twilio.rest_requests]
        person = here.twilio.calls[1]
        assert asked[:3] == [("GET", "Calls.json"), ("POST", "Calls.json"), ("POST", f"{call.sid}.json")]
        assert asked[3:] == [("GET", f"{person.sid}.json")]
        form = dict(here.twilio.rest_requests[1].form)
        assert (form["To"], form["Timeout"]) == (HUMAN, "20")
        assert "<Say>They ask for a refund.</Say>" in form["Twiml"]
        assert "refund" not in dict(here.twilio.rest_requests[2].form)["Twiml"], "the caller does not hear it"
        assert (call.status, person.status) == ("completed", "completed")


@virtual
async def test_a_caller_whose_person_does_not_answer_is_not_left_waiting() -> None:
    busy = Callee(outcome="busy")
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, callee=busy, enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
        assert "busy" in ended.evidence
        last = [request for request in here.twilio.rest_requests if request.method == "POST"][-1]
        assert last.path.endswith(f"{call.sid}.json")
        assert "Nobody at desk answers." in dict(last.form)["Twiml"]
        assert call.status == "completed"


@virtual
async def test_a_person_who_hangs_up_on_the_summary_does_not_leave_the_caller_waiting() -> None:
    short = Callee(rings=8, talks=1)
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, callee=short, enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        await call.ended()
        assert call.heard == ["Nobody at desk answers."]
        assert here.twilio.calls[1].status == "completed"


@virtual
async def test_a_person_whose_caller_does_not_wait_is_not_left_ringing() -> None:
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, callee=Callee(rings=60), enhanced_sip=False) as here:
        call = await here.ring(scenario=HELLO, alerts=[None])
        await until(lambda: bool(here.twilio.conferences))
        call.hang_up()
        await here.ended(call)
        person = here.twilio.calls[1]
        await person.ended()
        assert person._call.leg.answered_at is None
        assert [request.path.rpartition("/")[2] for request in here.twilio.rest_requests][-1] == f"{person.sid}.json"


HOW = pytest.mark.parametrize("how", ["status", "reset", "no answer"])


@HOW
@virtual
async def test_law_never_a_double_dial__a_person_whom_twilio_calls_without_saying_so(how: Any) -> None:
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, enhanced_sip=False) as here:
        here.twilio.fail("Calls.json", acted=True, how=how)
        call = await here.ring(scenario=HELLO, alerts=[None])
        ended = await here.ended(call)
        assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
        _, person = here.twilio.calls
        assert "in-progress" in person.history


@HOW
@virtual
async def test_a_person_whom_twilio_does_not_call_leaves_the_caller_with_the_model(how: Any) -> None:
    scenario = [*HELLO, ModelSays("Nobody is there."), CallerSays("Bye."), ModelSays("Bye."), CallerHangsUp()]
    async with chain(target=f"tel:{HUMAN}", fallback=warmly, enhanced_sip=False) as here:
        here.twilio.fail("Calls.json", how=how)
        call = await here.ring(scenario=scenario, alerts=[None])
        ended = await here.ended(call)
        assert ended.reason is EndReason.CALLER
        assert [failed.reason.value for failed in here.failed] == ["refused"]
        assert here.twilio.calls[1:] == []


# --- beyond an hour ---------------------------------------------------------------------------------------------------


@dataclass
class LongCall:
    """A program whose calls go on for longer than OpenAI's hour."""

    client: AsyncRealtimeSip
    host: CallHost = field(init=False)
    rest: Client | None = None
    url: str = ""
    seen: list[tuple[str | None, str | None, str | None, str | None, dict[str, str]]] = field(default_factory=list)
    became: list[AfterDial] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = CallHost(self.on_call, client=self.client)

    async def on_call(self, incoming: IncomingCall) -> None:
        summary = await voice.summary_of(incoming)
        self.seen.append((summary, incoming.caller, incoming.channel, incoming.dialed, dict(incoming.context)))
        async with self.client.calls.answer(incoming, SESSION, limits=CallLimits(silence=None, goodbye=None)) as call:
            call.respond("Greet." if summary is None else "Go on.")
            async for event in call:
                if isinstance(event, LimitNear) and event.limit is LimitKind.DURATION and summary is None:
                    assert self.rest is not None
                    try:
                        await voice.renew(call, self.rest, twiml=self.dial, summary="They plan a long trip.")
                    except Exception as error:  # noqa: BLE001
                        self.failed.append(error)

    def dial(self, known: twiml.InboundCall, context: Mapping[str, str]) -> twiml.VoiceResponse:
        return twiml.dial_openai(
            "proj_abc123", voice=known, context=context, signer=ContextSigner(SECRET), action=f"{self.url}/after"
        )

    def voice(self, form: Mapping[str, str]) -> str:
        return str(self.dial(VoiceWebhook.read(urlencode(form)), {"tier": "gold"}))

    async def after(self, form: Mapping[str, str]) -> str:
        result = DialResult.read(urlencode(form))
        self.became.append(twiml.after_dial(result.fields, redirected=await voice.was_redirected(result)))
        return str(twiml.VoiceResponse())


@contextlib.asynccontextmanager
async def long_call(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[LongCall, TwilioEmulator]]:
    async with (
        OpenAIEmulator(context_secret=SECRET) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
    ):
        here = LongCall(client)
        monkeypatch.setattr(to_openai, "time", SimpleNamespace(time=openai.now))  # the hour passes in virtual time
        async with (
            Program(voice=here.voice, after=here.after) as program,
            TwilioEmulator(openai=openai, openai_webhook=here.host) as twilio,
            AsyncTwilioHttp(base_url=twilio.base_url) as http,
        ):
            here.rest, here.url = Client(twilio.account_sid, twilio.auth_token, http_client=http), program.url
            yield here, twilio
            await here.host.drain(1)


@pytest.mark.parametrize("who", [{}, WHATSAPP, {"from_": "client:anna"}], ids=["phone", "WhatsApp", "app"])
@virtual
async def test_after_55_minutes_a_call_goes_on_as_a_new_one_that_knows_what_was_said(
    who: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with long_call(monkeypatch) as (here, twilio):
        then = [[ModelSays("Where were we?"), CallerHangsUp()]]
        call = await twilio.ring(f"{here.url}/voice", scenario=[ModelSays("Hello.")], then=then, **who)
        await call.ended(timeout=4000)
        first, second = [await here.host.ended(each.call_id) for each in call.openai_calls]
        assert (first.reason, first.certainty) == (EndReason.DETACHED, "reported")
        assert 54 * 60 < first.ended_at - first.started_at < 55 * 60
        assert second.reason is EndReason.CALLER
        (nothing, *before, context), (summary, *after, carried) = here.seen
        assert (nothing, summary) == (None, "They plan a long trip.")
        assert after == before
        assert (context["tier"], carried["tier"]) == ("gold", "gold")
        assert "trip" not in str(carried)
        assert here.became == [AfterDial.OWN_REDIRECT, AfterDial.TALKED]
        assert here.failed == []


@virtual
async def test_a_call_that_cannot_be_renewed_goes_on_to_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async with long_call(monkeypatch) as (here, twilio):
        twilio.fail("Calls/", status=400, code=21220)
        call = await twilio.ring(f"{here.url}/voice", scenario=[ModelSays("Hello.")])
        await call.ended(timeout=4000)
        ended = await here.host.ended(call.openai_calls[0].call_id)
        assert ended.reason is EndReason.LIMIT
        assert [type(error).__name__ for error in here.failed] == ["TwilioRestException"]
