"""What Twilio's webhooks mean for the calls of a host: found by the signed SID, and never guessed."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from phone import SESSION, Phone, phone, virtual
from realtime_sip import (
    Call,
    CallHost,
    EndReason,
    IncomingCall,
    MemoryStore,
    TransferFailureReason,
    TransferProgress,
    TransferTarget,
    TransferTargets,
)
from realtime_sip.errors import ConfigurationError, TransferError
from realtime_sip.hosting.carrier import Meaning, is_about, meaning
from realtime_sip.sip import ContextSigner, SipHeaders
from realtime_sip.testing import Behavior, RingingCall
from realtime_sip.testing.scenario import CallerSays
from realtime_sip.twilio.webhooks import (
    CallStatusCallback,
    CallWebhook,
    DialResult,
    MessageStatusCallback,
    QueueResult,
    ReferRequest,
    VoiceWebhook,
)

SECRET = "a context secret of the tests"
NOW = 1_795_000_000.0
PARENT, OPENAI, DESK = ("CA" + letter * 32 for letter in "abc")
CALL_ID = "a84b4c76e66710@127.0.0.1"
PROJECT = "sip:proj_abc123@sip.api.openai.com;transport=tls"
WORDS = {"CallStatus": "in-progress"}
TARGETS = TransferTargets({"desk": TransferTarget("sip:desk@pbx.example.com")})


def incoming(*, parent: str | None = PARENT, leg: str | None = OPENAI, call_id: str | None = CALL_ID) -> IncomingCall:
    given = [("X-Twilio-CallSid", leg), ("Call-ID", call_id)]
    headers = [{"name": name, "value": value} for name, value in given if value is not None]
    event = {"object": "event", "id": "evt_1", "type": "realtime.call.incoming", "created_at": int(NOW)}
    call = IncomingCall.model_validate({**event, "data": {"call_id": "rtc_1", "sip_headers": headers}})
    signed = ContextSigner(SECRET).sign({}, parent_call_sid=parent, now=NOW)
    context = ContextSigner(SECRET).verify(SipHeaders(signed.items()), now=NOW)
    vars(call)["_context"] = context
    return call


def refer(call_sid: str = PARENT, **more: str) -> ReferRequest:
    return ReferRequest.read(
        urlencode({"CallSid": call_sid, "ReferTransferTarget": "<sip:desk@pbx.example.com>", **WORDS, **more})
    )


def status(status: str, call_sid: str = DESK, parent: str | None = PARENT, **more: str) -> CallStatusCallback:
    form = {"CallSid": call_sid, "CallStatus": status, **({} if parent is None else {"ParentCallSid": parent}), **more}
    return CallStatusCallback.read(urlencode(form))


def result(dial_status: str, dialed: str | None = DESK, **more: str) -> DialResult:
    form = {"CallSid": PARENT, "DialCallStatus": dial_status, **WORDS, **more}
    return DialResult.read(urlencode(form if dialed is None else {**form, "DialCallSid": dialed}))


def left(queue_result: str, **more: str) -> QueueResult:
    return QueueResult.read(urlencode({"CallSid": PARENT, "QueueResult": queue_result, **WORDS, **more}))


# --- what it means ----------------------------------------------------------------------------------------------------

ASKED, ANSWERED = Meaning(TransferProgress.ASKED), Meaning(TransferProgress.ANSWERED)
GONE, NOTHING = Meaning(caller_left=True), Meaning()
BUSY, NO_ANSWER, CARRIER = (Meaning(TransferFailureReason(reason)) for reason in ("busy", "no answer", "carrier"))


@pytest.mark.parametrize(
    ("payload", "means"),
    [
        (refer(), ASKED),
        (refer(OPENAI, ParentCallSid=PARENT), ASKED),
        (status("in-progress"), ANSWERED),
        (status("answered"), ANSWERED),
        (status("completed"), ANSWERED),
        (status("busy"), BUSY),
        (status("no-answer"), NO_ANSWER),
        (status("canceled"), NO_ANSWER),
        (status("failed"), CARRIER),
        (status("ringing"), NOTHING),
        (status("initiated"), NOTHING),
        (status("a-new-word"), NOTHING),
        *((status(word, OPENAI), NOTHING) for word in ("in-progress", "busy", "failed", "completed")),
        (status("failed", DESK, To=PROJECT), NOTHING),  # an attempt before this one
        (status("busy", DESK, SipCallId=CALL_ID), NOTHING),
        (status("in-progress", PARENT, None), NOTHING),
        *((status(word, PARENT, None), GONE) for word in ("completed", "busy", "no-answer", "failed", "canceled")),
        (result("completed"), ANSWERED),
        (result("completed", DialBridged="true"), ANSWERED),
        (result("completed", DialBridged="false"), NOTHING),
        (result("busy"), BUSY),
        (result("no-answer", DialBridged="false"), NO_ANSWER),
        (result("failed"), CARRIER),
        (result("completed", OPENAI), NOTHING),
        (result("failed", OPENAI), NOTHING),
        (result("completed", DESK, DialSipCallId=CALL_ID), NOTHING),
        (result("completed", None), NOTHING),
        (result("answered", None), NOTHING),
        (result("completed", None, DialSipCallId="another@127.0.0.1"), ANSWERED),
        (result("completed", CallStatus="completed"), Meaning(TransferProgress.ANSWERED, caller_left=True)),
        (result("completed", OPENAI, CallStatus="completed"), GONE),
        (left("bridged"), ANSWERED),
        (left("redirected-from-bridged"), ANSWERED),
        *((left(word), CARRIER) for word in ("queue-full", "error", "system-error")),
        *((left(word), NOTHING) for word in ("leave", "redirected", "bridging-in-process", "a-new-word")),
        (left("hangup", CallStatus="completed"), GONE),
        (VoiceWebhook.read(urlencode({"CallSid": PARENT, "CallStatus": "in-progress"})), NOTHING),
    ],
    ids=repr,
)
def test_what_a_webhook_means(payload: CallWebhook, means: Meaning) -> None:
    assert is_about(payload, incoming())
    assert meaning(payload, incoming()) == means


@pytest.mark.parametrize("leg", [None, PARENT])
def test_law_no_guess__without_the_sid_of_the_leg_to_openai_other_facts_have_to_tell(leg: str | None) -> None:
    call = incoming(leg=leg, call_id=None)
    assert meaning(status("in-progress"), call) == NOTHING
    assert meaning(status("in-progress", To="sip:desk@pbx.example.com"), call) == ANSWERED
    assert meaning(status("in-progress", To=PROJECT), call) == NOTHING
    assert meaning(result("completed"), call) == NOTHING
    call = incoming(leg=leg)
    assert meaning(result("completed"), call) == NOTHING
    assert meaning(result("completed", DialSipCallId="another@127.0.0.1"), call) == ANSWERED
    assert meaning(result("completed", DialSipCallId=CALL_ID), call) == NOTHING


def test_a_call_without_a_signed_parent_is_about_nothing() -> None:
    assert not is_about(refer(), incoming(parent=None))
    assert not is_about(refer(OPENAI), incoming())
    assert not is_about(status("completed", DESK, "CA" + "d" * 32), incoming())


# --- what follows -----------------------------------------------------------------------------------------------------


async def rung(line: Phone, *, parent: str = PARENT, **options: Any) -> tuple[Call, RingingCall]:
    """Let a call come in as our TwiML sends it, and wait until it is up."""
    signed = ContextSigner(SECRET).sign({}, parent_call_sid=parent, now=line.openai.now(), refer_url=True)
    headers = [*signed.items(), ("X-Twilio-CallSid", OPENAI), ("Call-ID", CALL_ID)]
    up = asyncio.get_running_loop().create_future()

    async def talk(call: Call) -> None:
        up.set_result(call)
        await call.wait_ended()

    ringing = await line.ring(CallerSays("Hello?", after=3600), talk=talk, invite={"sip_headers": headers}, **options)
    return await up, ringing


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "realtime_sip.host"]


@virtual
async def test_a_caller_who_is_gone_is_hung_up_and_reported() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, ringing = await rung(line)
        assert line.host.carrier(status("completed", PARENT, None))
        assert line.host.carrier(status("completed", PARENT, None))
        ended = await line.host.ended(ringing.call_id)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        assert call.ended == ended
        assert [request.operation for request in ringing.requests] == ["accept", "attach", "hangup"]
        await line.idle()


REPORTS = [refer(), status("ringing"), status("in-progress"), status("completed", PARENT, None)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(REPORTS)))), ids=str)
@virtual
async def test_law_reports_of_a_transfer_come_to_the_same_in_any_order(order: tuple[int, ...]) -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, transfers=TARGETS)
        going = call.transfer("desk", after_speech=False)
        await asyncio.sleep(1)
        for place in [*order, *order]:
            line.host.carrier(REPORTS[place])
        await call.wait_ended()
        assert call.ended is not None
        assert (call.ended.reason, call.ended.certainty) == (EndReason.TRANSFERRED, "reported")
        assert (await going).reason is EndReason.TRANSFERRED
        await line.idle()


@pytest.mark.parametrize("again", [status("busy"), result("busy")], ids=repr)
@virtual
async def test_law_a_report_that_comes_twice_fails_no_later_transfer(again: CallWebhook) -> None:
    """Twilio repeats a callback that it got no answer to, perhaps once the next target rings: it would ring for nobody
    while the model offers a third."""
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, transfers=TARGETS, behavior=Behavior(refer="ignored"))
        first = call.transfer("desk", after_speech=False)
        await asyncio.sleep(1)
        line.host.carrier(refer())
        line.host.carrier(status("busy"))
        with pytest.raises(TransferError):
            await first
        second = call.transfer("desk", after_speech=False)
        await asyncio.sleep(1)
        line.host.carrier(refer())
        line.host.carrier(again)
        assert call.transferring
        other = "CA" + "d" * 32
        line.host.carrier(status("busy", other))
        with pytest.raises(TransferError):
            await second
        line.host.carrier(status("completed", PARENT, None))
        await call.wait_ended()
        await line.idle()


@virtual
async def test_a_call_that_left_with_a_transfer_is_known_until_it_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_sip.hosting.reports._TRANSFERRED", 1)
    async with phone(context_secret=SECRET, strict=False) as line:
        rung_ = []
        for parent in (PARENT, "CA" + "e" * 32):
            call, ringing = await rung(line, parent=parent, transfers=TARGETS)
            call.transfer("desk", after_speech=False)
            ended = await line.host.ended(ringing.call_id)
            assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
            await line.idle()
            rung_.append(ringing)
        assert not line.host.carrier(status("in-progress")), "more than one is too many here"
        for _ in range(2):
            assert line.host.carrier(status("in-progress", parent="CA" + "e" * 32)) is (_ == 0)
            ended = await line.host.ended(rung_[1].call_id)
            assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")


@virtual
async def test_the_dial_to_openai_says_nothing_about_the_transfer() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line, transfers=TARGETS)
        going = call.transfer("desk", after_speech=False)
        await asyncio.sleep(1)
        for payload in (status("completed", OPENAI), result("completed", OPENAI), result("completed", None)):
            assert line.host.carrier(payload)
        assert call.transferring
        line.host.carrier(status("completed", PARENT, None))
        ended = await call.wait_ended()
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        await line.idle()
        del going


@virtual
async def test_a_webhook_about_a_call_that_is_not_here_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "realtime_sip.host")
    async with phone(context_secret=SECRET, strict=False) as line:
        assert not line.host.carrier(status("completed", PARENT, None, To="+14155550123", From="+14155550100"))
        call, ringing = await rung(line, parent="CA" + "e" * 32)
        assert not line.host.carrier(status("completed", PARENT, None))
        assert call.ended is None
        said = [text for text in lines(caplog) if "not here" in text]
        assert len(said) == 2
        assert "+1415" not in "".join(said)
        await call.hangup()
        await line.idle()
        assert not line.host.carrier(status("completed", "CA" + "e" * 32, None))
        del ringing


@virtual
async def test_a_report_from_another_thread_reaches_the_call_on_its_loop() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, _ = await rung(line)
        assert await asyncio.to_thread(line.host.carrier, status("completed", PARENT, None))
        ended = await call.wait_ended()
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        await line.idle()


@pytest.mark.parametrize(
    "wrong", [None, {}, "CallSid=CA1", MessageStatusCallback.read("MessageSid=SM1&MessageStatus=sent")]
)
@virtual
async def test_what_is_no_webhook_about_a_call_is_refused(wrong: Any) -> None:
    async with phone(strict=False) as line:
        with pytest.raises(ConfigurationError, match="typed webhook"):
            CallHost.carrier(line.host, wrong)


# --- before anybody answers -------------------------------------------------------------------------------------------

FINAL = pytest.mark.parametrize("word", ["completed", "busy", "no-answer", "failed", "canceled"])


async def rings(line: Phone, on_call: Any) -> RingingCall:
    """Let a call come in as our TwiML sends it, for a handler."""
    line.host._on_call = on_call
    context = ContextSigner(SECRET).sign({}, parent_call_sid=PARENT, now=line.openai.now(), refer_url=True)
    ringing = await line.ring(invite={"sip_headers": [*context.items(), ("X-Twilio-CallSid", OPENAI)]})
    await ringing.until_delivered()
    return ringing


@FINAL
@virtual
async def test_a_caller_who_leaves_before_answer_begins_is_rejected(word: str) -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        ended = []

        async def on_call(incoming: IncomingCall) -> None:
            line.host.carrier(status(word, PARENT, None))
            line.host.carrier(status(word, PARENT, None))
            await asyncio.sleep(3)  # looks the caller up
            async with line.client.calls.answer(incoming, SESSION) as call:
                await call.respond("Greet.")
            ended.append(call.ended)

        ringing = await rings(line, on_call)
        ended.append(await line.host.ended(ringing.call_id))
        assert [request.operation for request in ringing.requests] == ["reject"]
        assert {(each.reason, each.certainty) for each in ended if each} == {(EndReason.CALLER, "reported")}
        assert len(ended) == 2
        await line.idle()


@virtual
async def test_a_caller_who_leaves_a_call_that_was_accepted_and_not_answered_yet_is_hung_up() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:

        async def on_call(incoming: IncomingCall) -> None:
            await line.client.calls.accept(incoming.call_id, SESSION)
            line.host.carrier(status("completed", PARENT, None))
            await asyncio.sleep(3)

        ringing = await rings(line, on_call)
        ended = await line.host.ended(ringing.call_id)
        assert [request.operation for request in ringing.requests] == ["accept", "hangup"]
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        await line.idle()


@virtual
async def test_a_caller_who_leaves_while_the_handler_accepts_is_hung_up() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:

        async def on_call(incoming: IncomingCall) -> None:
            accepting = asyncio.create_task(line.client.calls.accept(incoming.call_id, SESSION))
            await asyncio.sleep(0)
            line.host.carrier(status("completed", PARENT, None))
            await accepting

        ringing = await rings(line, on_call)
        ended = await line.host.ended(ringing.call_id)
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        assert [request.operation for request in ringing.requests if request.status == 200][-1] in ("reject", "hangup")
        await line.idle()


@virtual
async def test_a_caller_who_left_before_openai_announces_the_call_is_not_answered() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:

        async def on_call(_incoming: IncomingCall) -> None:
            raise AssertionError("nobody is there")

        assert not line.host.carrier(status("in-progress", PARENT, None))
        assert not line.host.carrier(status("completed"))  # of a call that was dialed for the caller
        assert not line.host.carrier(status("completed", PARENT, None))
        ringing = await rings(line, on_call)
        ended = await line.host.ended(ringing.call_id)
        assert [request.operation for request in ringing.requests] == ["reject"]
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "reported")
        await line.idle()


# --- which transfer ---------------------------------------------------------------------------------------------------


@virtual
async def test_the_transfer_that_twilio_asks_about_is_found_by_the_signed_sid() -> None:
    async with phone(context_secret=SECRET, strict=False) as line:
        call, ringing = await rung(line, transfers=TARGETS)
        assert await line.host.transfer_of(refer()) is None, "none was asked for"
        call.transfer("desk", after_speech=False, reason="a refund", summary="They ask for a refund.")
        await asyncio.sleep(1)
        for asked in (refer(), refer(OPENAI, ParentCallSid=PARENT), result("completed"), status("busy")):
            found = await line.host.transfer_of(asked)
            assert found is not None
            assert (found.name, found.reason, found.summary) == ("desk", "a refund", "They ask for a refund.")
            assert (found.target, found.call_id) == (TARGETS["desk"], ringing.call_id)
        assert await line.host.transfer_of(refer("CA" + "f" * 32)) is None
        await call.hangup()
        line.host.carrier(status("in-progress"))
        await line.host.ended(ringing.call_id)
        await line.idle()
        assert await line.host.transfer_of(refer()) is not None, "OpenAI's leg may be gone before Twilio asks"


@virtual
async def test_law_across_workers__any_of_them_answers_the_refer() -> None:
    store = MemoryStore()
    async with phone(context_secret=SECRET, strict=False) as line:
        line.host._store = store
        call, ringing = await rung(line, transfers=TARGETS)
        call.transfer("desk", after_speech=False, reason="é\n" * 9000, summary="They ask. " * 900)
        await asyncio.sleep(1)
        other = CallHost(line.host._on_call, client=line.client, store=store)
        here, there = await line.host.transfer_of(refer()), await other.transfer_of(refer())
        assert here is not None
        assert there is not None
        assert there == replace(here, reason=here.reason[:4000], summary=here.summary[:4000])
        assert await CallHost(line.host._on_call, client=line.client).transfer_of(refer()) is None
        line.host.carrier(status("completed", PARENT, None))
        await line.host.ended(ringing.call_id)
        await line.idle()


@virtual
async def test_law_a_store_that_fails_keeps_no_caller_from_a_person(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryStore):
        async def note(self, key: str, text: str, *, remember: float) -> None:
            await asyncio.Event().wait()

        async def noted(self, key: str) -> str | None:
            raise ConnectionError

    async with phone(context_secret=SECRET, strict=False) as line:
        line.host._store = Down()
        call, ringing = await rung(line, transfers=TARGETS)
        call.transfer("desk", after_speech=False)
        await ringing.until_requested("refer")
        assert await line.host.transfer_of(refer()) is not None
        assert await line.host.transfer_of(refer("CA" + "f" * 32)) is None
        assert "was not noted" in caplog.text
        assert "is not known" in caplog.text
        line.host.carrier(status("completed", PARENT, None))
        await line.host.ended(ringing.call_id)
        await line.idle()
