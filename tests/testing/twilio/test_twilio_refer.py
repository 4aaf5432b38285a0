"""What Twilio makes of a REFER: by the console's switch, `referUrl` and `answerOnBridge`; and of a caller's own end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from twilio_program import SESSION, Program, dial

from emulated import virtual
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall
from realtime_sip.testing import (
    Callee,
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelSays,
    OpenAIEmulator,
    TwilioBehavior,
    TwilioCall,
    TwilioEmulator,
)

TARGET = "sip:desk@pbx.example.com"
HELLO = (ModelSays("Hello."),)
DESK = f"<Response><Dial action='/desk'><Sip>{TARGET}</Sip></Dial></Response>"


@contextlib.asynccontextmanager
async def referring(openai: OpenAIEmulator, target: str = TARGET) -> AsyncIterator[CallHost]:
    """A host that asks for a REFER after its greeting, and goes on talking."""
    async with AsyncRealtimeSip(**openai.client_options) as client:

        async def on_call(incoming: IncomingCall) -> None:
            async with client.calls.answer(incoming, SESSION) as call:
                await call.respond("Greet.")
                await client.calls.refer(incoming.call_id, target_uri=target)
                await call.wait_ended()

        yield CallHost(on_call, client=client)


async def referred(
    refer: str = DESK,
    *,
    callee: Callee | None = None,
    behavior: TwilioBehavior | None = None,
    scenario: Any = HELLO,
    target: str = TARGET,
    alerts: Any = (),
    **attributes: str,
) -> TwilioCall:
    attributes = {"action": "/after", "referUrl": "/refer", **attributes}
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(**attributes), refer=refer) as program,
        referring(openai, target) as host,
        TwilioEmulator(
            openai=openai,
            openai_webhook=host,
            behavior=behavior,
            callees={} if callee is None else {TARGET: callee},
        ) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=scenario, alerts=alerts)
        await call.ended()
        await call.openai_calls[0].ended()
        return call


def end_of(call: TwilioCall) -> tuple[EndedBy, str | None]:
    end = call.openai_calls[0]._call.end
    assert end is not None
    return end.by, end.target_uri


@virtual
async def test_the_leg_to_openai_stays_until_the_target_has_answered() -> None:
    call = await referred(callee=Callee(rings=8, talks=40))
    assert end_of(call) == (EndedBy.TRANSFERRED, TARGET)
    assert call.openai_calls[0].dialed == [TARGET]
    kinds = [(request.kind, request.url.rpartition("/")[2]) for request in call.requests]
    assert kinds == [("voice", "voice"), ("refer", "refer"), ("action", "desk")]
    refer = call.requested("refer")[0]
    assert (refer["ReferTransferTarget"], refer["CallSid"]) == (f"<{TARGET}>", call.sid)
    openai, desk = call.children
    assert (openai.status, desk.status, desk.seconds) == ("completed", "completed", 40)
    assert openai.ended_at == desk.answered_at
    assert call.requested("action")[0]["DialCallSid"] == desk.sid


@virtual
async def test_without_answer_on_bridge_it_leaves_at_once() -> None:
    call = await referred(answerOnBridge="false", callee=Callee(outcome="busy"))
    assert end_of(call) == (EndedBy.TRANSFERRED, TARGET)
    openai, desk = call.children
    assert openai.ended_at is not None
    assert desk.ended_at is not None
    assert openai.ended_at < desk.ended_at
    assert call.requested("action")[0]["DialCallStatus"] == "busy"
    assert call.status == "completed"


@pytest.mark.parametrize(("outcome", "word"), [("busy", "busy"), ("no answer", "no-answer")])
@virtual
async def test_a_target_that_does_not_answer_gives_the_caller_back(outcome: Any, word: str) -> None:
    scenario = [ModelSays("Hello."), CallerSays("Nobody?"), ModelSays("Sorry."), CallerHangsUp()]
    call = await referred(callee=Callee(outcome=outcome), scenario=scenario)
    assert end_of(call) == (EndedBy.CALLER, None)
    asked = [(request.url.rpartition("/")[2], request["DialCallStatus"]) for request in call.requested("action")]
    assert asked == [("desk", word), ("after", "completed")]


@virtual
async def test_a_queue_takes_the_caller_away_at_once_and_is_no_leg() -> None:
    call = await referred("<Response><Enqueue workflowSid='WW1'/></Response>")
    assert end_of(call)[0] is EndedBy.TRANSFERRED
    assert [queued.workflow_sid for queued in call.queued] == ["WW1"]
    assert (len(call.children), call.requested("action")) == (1, [])


@pytest.mark.parametrize(
    ("behavior", "attributes", "target", "code"),
    [
        (TwilioBehavior(enhanced_sip=False), {}, TARGET, None),
        (TwilioBehavior(), {"referUrl": ""}, TARGET, 13802),
        (TwilioBehavior(), {}, f"sip:{'a' * 250}@pbx.example.com", None),
        (TwilioBehavior(), {"referUrl": "http://127.0.0.1:9/refer"}, TARGET, 11205),
    ],
)
@virtual
async def test_a_refer_that_is_not_carried_out_is_an_alert_and_the_call_goes_on(
    behavior: TwilioBehavior, attributes: dict[str, Any], target: str, code: int | None
) -> None:
    scenario = [ModelSays("Hello."), CallerSays("And now?"), ModelSays("Sorry."), CallerHangsUp()]
    call = await referred(behavior=behavior, scenario=scenario, target=target, alerts=[code], **attributes)
    assert end_of(call) == (EndedBy.CALLER, None)
    assert (call.openai_calls[0].dialed, call.openai_calls[0].tally.refers) == ([], 1)


@virtual
async def test_a_document_that_dials_nobody_gives_the_caller_back() -> None:
    scenario = [ModelSays("Hello."), CallerSays("And now?"), ModelSays("Sorry."), CallerHangsUp()]
    call = await referred("<Response/>", scenario=scenario)
    assert end_of(call) == (EndedBy.CALLER, None)


@virtual
async def test_the_target_may_be_bare_and_the_request_that_of_the_child() -> None:
    behavior = TwilioBehavior(refer_target_in_brackets=False, refer_call_sid="child", action_after_refer=True)
    call = await referred(behavior=behavior)
    refer = call.requested("refer")[0]
    assert (refer["ReferTransferTarget"], refer["ParentCallSid"]) == (TARGET, call.sid)
    assert refer["CallSid"] == call.children[0].sid
    assert [request.url.rpartition("/")[2] for request in call.requested("action")] == ["after", "desk"]


@virtual
async def test_a_caller_hangs_up_while_the_target_rings() -> None:
    async with (
        OpenAIEmulator() as openai,
        Program(voice=dial(referUrl="/refer", action="/after"), refer=DESK) as program,
        referring(openai) as host,
        TwilioEmulator(openai=openai, openai_webhook=host, callees={TARGET: Callee(outcome="no answer")}) as twilio,
    ):
        call = await twilio.ring(f"{program.url}/voice", scenario=[ModelSays("Hello.")])
        await call.until_dialed(count=2)
        call.hang_up()
        await call.ended()
        assert (await call.openai_calls[0].ended()).by is EndedBy.CALLER
        assert [leg.status for leg in call.children] == ["completed", "canceled"]
        asked = [(request.url.rpartition("/")[2], request["DialCallStatus"]) for request in call.requested("action")]
        assert asked == [("desk", "canceled"), ("after", "completed")]
