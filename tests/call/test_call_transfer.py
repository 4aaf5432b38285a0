"""Transferring a call, over real sockets against the emulator, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from phone import Phone, asked, greet, outputs, phone, types, virtual
from realtime_sip import (
    Call,
    CallEnded,
    CallLimits,
    EndReason,
    Tools,
    TransferTarget,
    TransferTargets,
    transfer_to_human,
)
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.errors import ConfigurationError, InvalidRequestError, TransferError
from realtime_sip.outcomes import TransferFailed, TransferFailureReason, TransferProgress
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    RingingCall,
    SocketDropped,
    SocketSilent,
    Timings,
)

HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
BYE = CallerHangsUp()
SORRY = ModelSays("Nobody is there right now. Can I help you myself?")
BILLING = "tel:+14155550123"
PATIENT = Timings(patience=120.0)
"""For calls on which nobody speaks while a transfer comes to nothing."""
DESKS = TransferTargets(
    {
        "billing": TransferTarget(BILLING, description="Invoices and refunds."),
        "workshop": "sip:workshop@pbx.example.com",
    }
)


class Carrier:
    """A fallback, which takes the caller away by the carrier's own means."""

    def __init__(self, *, works: bool = True, raises: Exception | None = None, hangs: bool = False) -> None:
        self.requests: list[TransferRequest] = []
        self.ringing: RingingCall | None = None
        self._works, self._raises, self._hangs = works, raises, hangs

    async def __call__(self, request: TransferRequest) -> None:
        self.requests.append(request)
        if self._hangs:
            await asyncio.sleep(3600)
        if self._raises is not None:
            raise self._raises
        if self._works:
            assert self.ringing is not None
            self.ringing.redirect(str(request.target.uri))

    def desks(self) -> TransferTargets:
        return TransferTargets(dict(DESKS), fallback=self)


class Transferred:
    """A handler that greets, transfers, and keeps what came of it."""

    def __init__(self, target: str = "billing", **options: Any) -> None:
        self.result: CallEnded | None = None
        self.failure: TransferError | None = None
        self.seconds = 0.0
        self._target, self._options = target, options

    async def __call__(self, call: Call) -> None:
        await call.respond("Greet the caller.")
        began = asyncio.get_running_loop().time()
        try:
            self.result = await call.transfer(self._target, **self._options)
        except TransferError as error:
            self.failure = error
            self.seconds = asyncio.get_running_loop().time() - began
            await call.wait_ended()


async def played(
    line: Phone,
    *scenario: Any,
    carrier: Carrier | None = None,
    talk: Callable[[Call], Coroutine[Any, Any, None]],
    **more: Any,
) -> tuple[CallEnded, RingingCall]:
    """Let a call come in that a fallback can get hold of, and go to its end."""
    transfers = more.pop("transfers", DESKS if carrier is None else carrier.desks())
    ringing = await line.ring(*scenario, talk=talk, transfers=transfers, **more)
    if carrier is not None:
        carrier.ringing = ringing
    async with asyncio.timeout(7200):
        await ringing.until_requested("accept", timeout=3600)
        ended = await line.host.ended(ringing.call_id)
    await line.idle()
    return ended, ringing


# --- what speaks for a transfer ---------------------------------------------------------------------------------------


@virtual
async def test_law_a_caller_who_leaves_after_refer_is_inferred_to_be_transferred() -> None:
    talk = Transferred()
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, HELLO, talk=talk)
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
    assert "refer was answered with success" in ended.evidence
    assert talk.result == ended
    assert ringing.dialed == [BILLING]
    assert (await ringing.ended()).by is EndedBy.TRANSFERRED
    assert "hangup" not in [request.operation for request in ringing.requests]


@virtual
async def test_law_only_a_target_that_has_answered_is_reported() -> None:
    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(3)
        call.transfer_progress(TransferProgress.ASKED)
        await asyncio.sleep(3)
        call.transfer_progress(TransferProgress.ANSWERED)
        await transferring

    async with phone(timings=PATIENT) as line:
        ended, _ = await played(line, talk=talk, behavior=Behavior(refer="bridged"))
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")


@virtual
async def test_law_an_answer_that_is_told_after_the_leg_has_left_makes_it_reported() -> None:
    async with phone(timings=PATIENT) as line:
        ended, _ = await played(line, HELLO, talk=Transferred())
        (call,) = line.calls
        call.transfer_progress(TransferProgress.ASKED)
        assert call.ended == ended
        call.transfer_progress(TransferProgress.ANSWERED)
        assert call.ended is not None
        assert (call.ended.reason, call.ended.certainty) == (EndReason.TRANSFERRED, "reported")


@virtual
async def test_a_caller_who_gives_up_while_the_target_rings_looks_transferred_and_is_said_to_be_inferred() -> None:
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, HELLO, talk=Transferred(), behavior=Behavior(refer="given up"))
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
    assert (await ringing.ended()).by is EndedBy.CALLER


@virtual
async def test_a_caller_who_leaves_while_nothing_speaks_for_the_transfer_has_hung_up() -> None:
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=500)
        ringing = await line.ring(HELLO, talk=Transferred(), transfers=DESKS)
        await ringing.until_requested("refer")
        await asyncio.sleep(5)
        ringing.hang_up()
        ended = await line.host.ended(ringing.call_id)
        await line.idle()
    assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")
    assert "the refer failed (ServerError)" in ended.evidence


# --- what comes to nothing --------------------------------------------------------------------------------------------


@virtual
@pytest.mark.parametrize("refer", ["ignored", "busy", "no answer"])
async def test_law_a_transfer_without_a_sign_is_given_up_and_the_agent_keeps_the_caller(refer: Any) -> None:
    talk = Transferred()
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(
            line, HELLO, SORRY, ASK, ModelSays("It comes tomorrow."), BYE, talk=talk, behavior=Behavior(refer=refer)
        )
    assert talk.failure is not None
    assert talk.failure.reason is TransferFailureReason.NO_SIGN
    assert 44.9 < talk.seconds < 50
    assert ended.reason is EndReason.CALLER
    assert [said.text for said in ringing.said][1:] == [SORRY.text, ASK.text, "It comes tomorrow."]
    told = [e["item"] for e in ringing.client_events if e["type"] == "conversation.item.create"]
    assert [item["role"] for item in told] == ["system"]
    assert "billing" in told[0]["content"][0]["text"]


@virtual
async def test_a_refer_that_fails_unclearly_is_neither_repeated_nor_overtaken() -> None:
    for how in ("status", "no answer", "reset"):
        talk, carrier = Transferred(), Carrier()
        async with phone(timings=PATIENT) as line:
            line.openai.fail("refer", status=500, how=how, acted=True)
            ended, ringing = await played(line, HELLO, talk=talk, carrier=carrier)
        assert ringing.dialed == [BILLING]
        assert carrier.requests == []
        assert ended.certainty == "inferred"


@virtual
async def test_a_refer_that_was_not_acted_on_is_followed_by_the_second_path_when_its_time_is_over() -> None:
    carrier = Carrier()
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=500)
        ended, ringing = await played(
            line, HELLO, talk=Transferred(reason="refund", summary="Order 1042."), carrier=carrier
        )
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
    assert ringing.dialed == [BILLING]
    (request,) = carrier.requests
    assert (request.name, request.reason, request.summary) == ("billing", "refund", "Order 1042.")
    assert "Order" not in repr(request)


@virtual
async def test_a_refer_that_is_refused_is_followed_by_the_second_path_at_once() -> None:
    carrier = Carrier()
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=400)
        ringing = await line.ring(HELLO, talk=Transferred(), transfers=carrier.desks())
        carrier.ringing = ringing
        end = await ringing.ended()
        await line.idle()
    assert end.reason is EndReason.TRANSFERRED
    assert end.seconds < 20


@virtual
async def test_a_second_path_that_fails_leaves_the_caller_with_the_agent() -> None:
    for carrier in (Carrier(raises=RuntimeError("no")), Carrier(hangs=True), Carrier(works=False)):
        talk = Transferred()
        async with phone(timings=PATIENT) as line:
            ended, ringing = await played(
                line, HELLO, SORRY, BYE, talk=talk, carrier=carrier, behavior=Behavior(refer="ignored")
            )
        assert talk.failure is not None
        assert talk.failure.reason in (TransferFailureReason.REFUSED, TransferFailureReason.NO_ANSWER)
        assert ended.reason is EndReason.CALLER
        assert ringing.said[-1].text == SORRY.text
        assert len(carrier.requests) == 1


@virtual
async def test_law_never_a_double_dial_where_the_carrier_has_taken_the_refer() -> None:
    carrier = Carrier()

    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(3)
        call.transfer_progress(TransferProgress.ASKED)
        with pytest.raises(TransferError) as failed:
            await transferring
        assert failed.value.reason is TransferFailureReason.NO_ANSWER
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        await played(line, SORRY, BYE, talk=talk, carrier=carrier, behavior=Behavior(refer="no answer"))
    assert carrier.requests == []


@virtual
async def test_a_carrier_that_says_busy_ends_the_wait() -> None:
    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(5)
        call.transfer_progress(TransferFailureReason.BUSY)
        with pytest.raises(TransferError, match="busy"):
            await transferring
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, SORRY, BYE, talk=talk, behavior=Behavior(refer="busy"))
    assert ended.reason is EndReason.CALLER
    assert ringing.said[-1].text == SORRY.text
    end = await ringing.ended()
    assert end.seconds < 25


@virtual
async def test_law_a_leg_that_left_with_the_socket_open_is_not_dialed_again() -> None:
    carrier = Carrier()
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(
            line, HELLO, talk=Transferred(), carrier=carrier, behavior=Behavior(closes_at_end=False)
        )
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "inferred")
    assert ringing.dialed == [BILLING]
    assert carrier.requests == []


@virtual
async def test_a_socket_that_is_lost_during_a_transfer_is_followed() -> None:
    for fault in (
        SocketDropped(when="playing", occurrence=1, after=6.0, code=1006),
        SocketSilent(when="playing", after=6.0),
    ):
        async with phone(timings=PATIENT) as line:
            ended, ringing = await played(
                line, HELLO, talk=Transferred(), behavior=Behavior(refer="bridged"), faults=[fault]
            )
        assert ended.reason is EndReason.TRANSFERRED
        assert ringing.dialed == [BILLING]


# --- while it is pending ----------------------------------------------------------------------------------------------


@virtual
async def test_law_while_a_transfer_is_pending_no_limit_hangs_up() -> None:
    limits = CallLimits(max_duration=30.0, silence=10.0, first_sound=5.0)
    talk = Transferred()
    async with phone(timings=PATIENT) as line:
        ended, _ = await played(
            line, HELLO, ModelSays("Goodbye."), talk=talk, limits=limits, behavior=Behavior(refer="no answer")
        )
    assert talk.failure is not None
    assert (ended.reason, ended.limit.value if ended.limit else None) == (EndReason.LIMIT, "duration")


@virtual
async def test_law_while_a_transfer_is_pending_neither_drain_nor_hangup_hangs_up() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(1)
        await call.hangup()
        await transferring

    async with phone(timings=PATIENT) as line:
        ringing = await line.ring(HELLO, talk=talk, transfers=DESKS, behavior=Behavior(refer="bridged"))
        await ringing.until_requested("refer")
        await line.host.drain(1)
        ended = await line.host.ended(ringing.call_id)
    assert ended.reason is EndReason.TRANSFERRED
    assert "hangup" not in [request.operation for request in ringing.requests]


@virtual
async def test_law_leaving_the_block_waits_for_the_transfer_and_hangs_up_where_it_fails() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")

    works, fails = Behavior(refer="bridged"), Behavior(refer="ignored")
    for behavior, reason in ((works, EndReason.TRANSFERRED), (fails, EndReason.AGENT)):
        async with phone(timings=PATIENT) as line:
            ended, _ = await played(line, HELLO, talk=talk, behavior=behavior)
        assert ended.reason is reason


@virtual
async def test_law_the_model_is_quiet_while_a_transfer_is_pending() -> None:
    """Also where turn detection answers the caller before the service knows that it must not."""

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(1)
        call.respond("Say something.")  # waits
        with pytest.raises(TransferError):
            await transferring
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(
            line, HELLO, SORRY, ModelSays("Something."), BYE, talk=talk, behavior=Behavior(refer="no answer")
        )
    assert ended.reason is EndReason.CALLER
    refers = [index for index, kind in enumerate(types(ringing.client_events)) if kind == "session.update"]
    assert refers
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"]["create_response"] is True
    assert [said.text for said in ringing.said] == [HELLO.text, "Something.", SORRY.text] or asked(ringing) == 3


@virtual
async def test_a_second_transfer_is_refused_while_one_is_pending() -> None:
    async def talk(call: Call) -> None:
        call.transfer("billing")
        with pytest.raises(TransferError) as failed:
            await call.transfer("workshop")
        assert failed.value.reason is TransferFailureReason.PENDING
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, talk=talk)
    assert ended.reason is EndReason.TRANSFERRED
    assert ringing.dialed == [BILLING]


# --- say it, then act -------------------------------------------------------------------------------------------------


@virtual
async def test_law_a_transfer_waits_for_what_is_being_said() -> None:
    async def talk(call: Call) -> None:
        call.respond("Say that you connect them.")
        await call.transfer("billing")

    async with phone(timings=PATIENT) as line:
        _, ringing = await played(line, ModelSays("I am connecting you now, one moment please."), talk=talk)
    kinds = types(ringing.server_events)
    assert "output_audio_buffer.stopped" in kinds
    assert "output_audio_buffer.cleared" not in kinds


@virtual
async def test_an_announcement_is_said_before_the_transfer() -> None:
    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing", announcement="Say that you connect them."))
        await asyncio.sleep(0.1)
        assert call.transferring
        await transferring

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, ModelSays("I am connecting you now."), talk=talk)
    assert ended.reason is EndReason.TRANSFERRED
    kinds = types(ringing.server_events)
    assert "output_audio_buffer.stopped" in kinds
    (request,) = [r for r in ringing.requests if r.operation == "refer"]
    assert request.body == {"target_uri": BILLING}


@virtual
async def test_law_barge_in_lets_the_transfer_happen_unless_told_otherwise() -> None:
    scenario = (ModelSays("z" * 300), CallerSays("No, wait!", interrupting=True), ModelSays("Yes?"), BYE)
    for unless, reason in ((False, EndReason.TRANSFERRED), (True, EndReason.CALLER)):

        async def talk(call: Call, unless: bool = unless) -> None:
            call.respond("Say that you connect them.")
            if unless:
                with pytest.raises(TransferError, match="interrupted"):
                    await call.transfer("billing", unless_interrupted=True)
                await call.wait_ended()
            await call.transfer("billing")

        async with phone(strict=False, timings=PATIENT) as line:
            ended, ringing = await played(line, *scenario, talk=talk)
        assert ended.reason is reason
        assert ringing.dialed == ([] if unless else [BILLING])


@virtual
async def test_a_transfer_that_leaves_the_block_as_failed_lets_the_caller_hear_so() -> None:
    async def talk(call: Call) -> None:
        await call.transfer("billing")

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, SORRY, talk=talk, behavior=Behavior(refer="ignored"))
    assert ended.reason is EndReason.AGENT
    assert ringing.said[-1].text == SORRY.text
    assert "output_audio_buffer.stopped" in types(ringing.server_events)


# --- where to ---------------------------------------------------------------------------------------------------------


@virtual
async def test_law_targets_come_from_the_allow_list() -> None:
    async def talk(call: Call) -> None:
        for target in ("sales", BILLING, "tel:+14155550199", ""):
            with pytest.raises(InvalidRequestError, match="billing, workshop"):
                await call.transfer(target)

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, talk=talk)
    assert ended.reason is EndReason.AGENT
    assert "refer" not in [request.operation for request in ringing.requests]


@virtual
async def test_without_an_allow_list_there_is_no_transfer() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(ConfigurationError, match="transfers="):
            await call.transfer("billing")

    async with phone(timings=PATIENT) as line:
        await played(line, talk=talk, transfers=None)


@virtual
async def test_law_whatsapp_callers_never_reach_the_phone_network() -> None:
    tools = Tools()
    tools.function(transfer_to_human)

    async def talk(call: Call) -> None:
        assert call.targets == ("workshop",)
        with pytest.raises(TransferError, match="unreachable"):
            await call.transfer("billing")
        await call.transfer("workshop")

    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, SORRY, talk=talk, tools=tools, invite={"channel": "whatsapp"})
    assert ringing.said[-1].text == SORRY.text
    assert ended.reason is EndReason.TRANSFERRED
    assert ringing.dialed == ["sip:workshop@pbx.example.com"]
    assert ringing.accepted_session is not None
    (tool,) = ringing.accepted_session["tools"]
    assert tool["parameters"]["properties"]["target"]["enum"] == ["workshop"]


# --- escalation -------------------------------------------------------------------------------------------------------


def escalating() -> Tools:
    tools = Tools()
    tools.function(transfer_to_human)
    return tools


CONNECTING = ModelSays("Thanks for your patience, I'm connecting you with a specialist now.")
ESCALATE = {"target": "billing", "reason": "asked for a person", "summary": "Refund of order 1042."}


@virtual
async def test_the_model_hands_over_by_name_and_the_reason_goes_along() -> None:
    told: list[Escalation] = []
    carrier = Carrier()

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, Escalation):
                told.append(event)

    scenario = (HELLO, ASK, CONNECTING, ModelCalls("transfer_to_human", ESCALATE, same_response=True))
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=400)
        ended, ringing = await played(line, *scenario, talk=talk, carrier=carrier, tools=escalating())
    assert ended.reason is EndReason.TRANSFERRED
    (escalation,) = told
    assert escalation.cause is EscalationCause.MODEL
    assert (escalation.target, escalation.reason, escalation.summary) == tuple(ESCALATE.values())
    assert "1042" not in repr(escalation)
    assert carrier.requests[0].summary == ESCALATE["summary"]
    # The announcement was heard before the caller was handed over.
    assert "output_audio_buffer.cleared" not in types(ringing.server_events)
    assert ringing.accepted_session is not None
    (tool,) = ringing.accepted_session["tools"]
    target = tool["parameters"]["properties"]["target"]
    assert target["enum"] == ["billing", "workshop"]
    assert "Invoices and refunds." in target["description"]
    assert "+1" not in str(tool)


@virtual
async def test_a_transfer_of_the_models_that_fails_is_told_to_it_and_to_the_program() -> None:
    told: list[TransferFailed] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, TransferFailed):
                told.append(event)

    scenario = (HELLO, ASK, CONNECTING, ModelCalls("transfer_to_human", ESCALATE, same_response=True), SORRY, BYE)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(
            line, *scenario, talk=talk, tools=escalating(), behavior=Behavior(refer="ignored")
        )
    assert [(event.target, event.failure) for event in told] == [("billing", TransferFailureReason.NO_SIGN)]
    assert ended.reason is EndReason.CALLER
    assert ringing.said[-1].text == SORRY.text
    assert ringing.notes == []


@virtual
async def test_law_the_model_cannot_dial_at_will() -> None:
    call = ModelCalls("transfer_to_human", {**ESCALATE, "target": "tel:+19005550100"})
    async with phone(timings=PATIENT) as line:
        ended, ringing = await played(line, HELLO, ASK, call, SORRY, BYE, talk=greet, tools=escalating())
    assert ended.reason is EndReason.CALLER
    assert ringing.dialed == []
    assert "must be one of: billing, workshop" in outputs(ringing)[0]


@virtual
async def test_the_tool_needs_an_allow_list() -> None:
    async with phone(timings=PATIENT) as line:
        with pytest.raises(ConfigurationError, match="transfer_to_human"):
            async with line.client.calls.answer("rtc_1", {"model": "gpt-realtime-2.1"}, tools=escalating()):
                pass


@virtual
async def test_two_failures_of_a_tool_call_for_a_person() -> None:
    tools, told = Tools(), []

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        raise RuntimeError(order_id)

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, Escalation):
                told.append(event)
                await call.transfer("billing")

    look = ModelCalls("order_status", {"order_id": "1042"})
    async with phone(timings=PATIENT) as line:
        ended, _ = await played(
            line, HELLO, ASK, look, ModelSays("Once more."), ASK, look, SORRY, talk=talk, tools=tools
        )
    assert [(e.cause, e.count, e.tool) for e in told] == [(EscalationCause.TOOL_FAILURES, 2, "order_status")]
    assert ended.reason is EndReason.TRANSFERRED


TELL = ModelSays("It comes tomorrow.")


async def fails_as_told(call: Call) -> None:
    await call.respond("Greet the caller.")
    transferring = asyncio.ensure_future(call.transfer("billing"))
    await asyncio.sleep(10)
    call.transfer_progress(TransferFailureReason.BUSY)
    with pytest.raises(TransferError):
        await transferring
    await call.wait_ended()


@virtual
async def test_law_the_agent_keeps_the_caller_also_where_the_socket_is_silent_as_a_transfer_fails() -> None:
    """What the model has to be told, and to say, goes into a dead socket; it comes again over the next one."""
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO,
            SORRY,
            ASK,
            TELL,
            BYE,
            talk=fails_as_told,
            transfers=DESKS,
            limits=CallLimits(silence=90.0),
            behavior=Behavior(refer="busy"),
            faults=[SocketSilent(when="playing", after=6.0)],
        )
    told = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    assert [item["role"] for item in told] == ["system"]
    assert [said.text for said in ringing.said] == [HELLO.text, SORRY.text, ASK.text, TELL.text]
    assert ended.reason is EndReason.CALLER


@virtual
async def test_law_a_target_that_has_answered_is_reported_also_where_nobody_saw_the_leg_leave() -> None:
    async def talk(call: Call) -> None:
        transferring = asyncio.ensure_future(call.transfer("billing"))
        await asyncio.sleep(9)
        call.transfer_progress(TransferProgress.ANSWERED)
        await transferring

    async with phone(timings=PATIENT) as line:
        behavior: Any = Behavior(refer="bridged", closes_at_end=False)
        ended, ringing = await line.played(talk=talk, transfers=DESKS, behavior=behavior)
    assert (ended.reason, ended.certainty) == (EndReason.TRANSFERRED, "reported")
    assert "session.update" in types(ringing.client_events)
