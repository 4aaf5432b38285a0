"""The call, over real sockets against the emulator, on virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import Any

import pytest

from phone import SESSION, asked, greet, outputs, phone, types, virtual
from realtime_sip import (
    Call,
    CallLimits,
    EndReason,
    EventsDropped,
    Heard,
    LimitKind,
    LimitNear,
    RealtimeSession,
    ToolOutput,
    Tools,
    end_call,
    events,
)
from realtime_sip.api.operations import Operation
from realtime_sip.call.machine.effects import AskApproval
from realtime_sip.errors import CallEndedError, ConfigurationError, InvalidRequestError
from realtime_sip.outcomes import SidebandGap
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EndedBy,
    ErrorSent,
    EventAltered,
    EventLost,
    EventRepeated,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
    ResponseRaced,
    SocketDropped,
    SocketSilent,
)

HELLO = ModelSays("Good morning, how can I help you?")
ASK = CallerSays("Where is my order?")
LOOK = ModelCalls("order_status", {"order_id": "1042"})
TELL = ModelSays("It comes tomorrow.")
BYE = CallerHangsUp()


def shop(**options: Any) -> tuple[Tools, list[str]]:
    """Return tools with one that looks orders up, and the orders that were looked up."""
    tools, looked = Tools(), []

    @tools.function(**options)
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        looked.append(order_id)
        return f"{order_id} is on its way"

    return tools, looked


# --- answer -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_call_is_answered_talked_to_and_ended_by_the_caller() -> None:
    tools, looked = shop()
    async with phone() as line:
        ended, ringing = await line.played(HELLO, ASK, LOOK, TELL, BYE, talk=greet, tools=tools)
    assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")
    assert ended.close is not None
    assert looked == ["1042"]
    assert outputs(ringing) == ["1042 is on its way"]
    assert [(line.by, line.text) for line in ringing.said] == [
        ("model", HELLO.text),
        ("caller", ASK.text),
        ("model", TELL.text),
    ]
    assert (await ringing.ended()).by is EndedBy.CALLER


@virtual
async def test_the_accept_holds_the_whole_session_with_the_registrys_tools() -> None:
    tools, _ = shop()
    session = {**SESSION, "tools": [{"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}]}
    async with phone() as line:
        _, ringing = await line.played(BYE, session=session, tools=tools)
    assert ringing.accepted_session is not None
    assert ringing.accepted_session["instructions"] == SESSION["instructions"]
    assert [tool["type"] for tool in ringing.accepted_session["tools"]] == ["mcp", "function"]


@virtual
async def test_a_session_that_is_not_valid_is_refused_before_anything_is_sent_and_the_call_rejected() -> None:
    async with phone() as line:
        ringing = await line.ring(session={**SESSION, "voice": "marin"})
        assert (await ringing.ended()).by is EndedBy.REJECTED
    assert [request.operation for request in ringing.requests] == ["reject"]


@virtual
async def test_two_tools_of_one_name_are_an_error() -> None:
    tools, _ = shop()
    async with phone() as line:
        with pytest.raises(ConfigurationError, match="order_status"):
            async with line.client.calls.answer("rtc_1", {**SESSION, "tools": [tools.wire()[0]]}, tools=tools):
                pass


@virtual
async def test_law_an_unclear_accept_is_settled_by_attaching() -> None:
    for how in ("status", "no answer", "reset"):
        async with phone(timeout=3.0) as line:
            line.openai.fail("accept", status=500, how=how, acted=True)
            ended, ringing = await line.played(HELLO, BYE, talk=greet)
        assert ended.reason is EndReason.CALLER
        assert [r.operation for r in ringing.requests].count("accept") == 1


@virtual
async def test_law_an_accept_that_lies_is_reported_as_what_it_is() -> None:
    async with phone() as line:
        ended, _ringing = await line.played(behavior=Behavior(accept="lies"))
    assert (ended.reason, ended.certainty) == (EndReason.NOT_CONNECTED, "inferred")
    assert "answered with success" in ended.evidence


@virtual
async def test_law_an_early_404_is_retried_within_the_ringing_deadline_by_accept_and_attach() -> None:
    async with phone() as line:
        ended, _ = await line.played(HELLO, BYE, talk=greet, behavior=Behavior(early=1.5))
    assert ended.reason is EndReason.CALLER


@virtual
async def test_a_caller_who_gave_up_while_it_rang_is_no_error() -> None:
    async with phone() as line:
        ringing = await line.ring(CallerHangsUp(while_ringing=True), behavior=Behavior(canceled="gone"))
        await ringing.ended()
        ended = await line.host.ended(ringing.call_id)
        await line.idle()
    assert ended.reason in (EndReason.CALLER, EndReason.NOT_CONNECTED)


@virtual
async def test_a_call_that_was_decided_elsewhere_ends_cleanly_as_such() -> None:
    async with phone(strict=False) as line:
        ringing = await line.openai.ring("http://127.0.0.1:9/", scenario=[HELLO])
        await line.client.calls.accept(ringing.call_id, SESSION)
        async with line.client.calls.answer(ringing.call_id, SESSION) as call:
            call.respond("Hello.")
            pytest.fail("what is asked of an ended call leaves the block")
        assert call.ended is not None
        assert (call.ended.reason, call.ended.certainty) == (EndReason.DECIDED_ELSEWHERE, "reported")
        assert "hangup" not in [request.operation for request in ringing.requests]


# --- greeting and speech ----------------------------------------------------------------------------------------------


@virtual
async def test_respond_adds_to_the_sessions_instructions() -> None:
    async with phone() as line:
        _, ringing = await line.played(HELLO, BYE, talk=greet)
    (create,) = [event for event in ringing.client_events if event["type"] == "response.create"]
    assert create["response"]["instructions"] == "You answer the phone of a shop.\n\nGreet the caller."


@virtual
async def test_law_speech_is_heard_when_it_was_played_and_not_before() -> None:
    heard: list[tuple[Heard, float]] = []

    async def talk(call: Call) -> None:
        began = asyncio.get_running_loop().time()
        speech = call.respond("Greet.")
        heard.append((await speech.heard(), asyncio.get_running_loop().time() - began))
        await call.wait_ended()

    async with phone() as line:
        await line.played(ModelSays("x" * 150), BYE, talk=talk)
    assert heard[0][0] is Heard.ENTIRELY
    assert heard[0][1] > 10, "150 characters take ten seconds"


@virtual
async def test_a_greeting_can_be_kept_from_being_cut_off() -> None:
    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, TELL, BYE, talk=greet, greet_undisturbed=True)
    assert ringing.accepted_session is not None
    assert ringing.accepted_session["audio"]["input"]["turn_detection"] is None
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert [said.by for said in ringing.said] == ["model", "caller", "model"]


@virtual
async def test_turn_detection_that_the_session_turns_off_stays_off_after_the_greeting() -> None:
    session = {**SESSION, "audio": {"input": {"turn_detection": None}}}
    async with phone() as line:
        _, ringing = await line.played(
            HELLO, CallerHangsUp(after=20.0), talk=greet, session=session, greet_undisturbed=True
        )
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"] is None


@virtual
async def test_law_say_it_then_act__hanging_up_waits_for_speech() -> None:
    async def talk(call: Call) -> None:
        call.respond("Say goodbye.")
        await call.hangup(after_speech=True)

    async with phone() as line:
        ended, ringing = await line.played(ModelSays("y" * 150), talk=talk)
    assert (ended.reason, ended.certainty) == (EndReason.AGENT, "reported")
    assert ended.ended_at - (ended.attached_at or 0) > 10
    assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_law_say_it_then_act__a_caller_who_interrupts_the_goodbye_is_hung_up_on_all_the_same() -> None:
    async def talk(call: Call) -> None:
        call.respond("Say goodbye.")
        await call.hangup(after_speech=True)

    async with phone(strict=False) as line:
        ended, _ = await line.played(
            ModelSays("y" * 300), CallerSays("Wait!", interrupting=True, after=2.0), TELL, talk=talk
        )
    assert ended.reason is EndReason.AGENT
    assert ended.ended_at - (ended.attached_at or 0) < 15


@virtual
async def test_the_ready_made_end_call_acts_after_the_sentence_and_says_no_second_goodbye() -> None:
    tools = Tools()
    tools.function(end_call)
    async with phone(strict=False) as line:
        ended, ringing = await line.played(
            HELLO,
            CallerSays("Goodbye."),
            ModelSays("Goodbye, and thank you."),
            ModelCalls("end_call", same_response=True),
            ModelSays("Goodbye again."),
            talk=greet,
            tools=tools,
        )
    assert ended.reason is EndReason.AGENT
    assert [said.text for said in ringing.said][-1] == "Goodbye, and thank you."
    assert asked(ringing) == 1


@virtual
async def test_a_second_hangup_is_harmless() -> None:
    async def talk(call: Call) -> None:
        ends = await asyncio.gather(*(call.hangup() for _ in range(20)))
        assert len({id(end) for end in ends}) == 1
        await call.hangup()

    async with phone() as line:
        ended, ringing = await line.played(talk=talk)
    assert ended.reason is EndReason.AGENT
    assert [request.operation for request in ringing.requests].count("hangup") == 1


@virtual
async def test_interrupting_stops_what_is_said() -> None:
    heard: list[Heard] = []

    async def talk(call: Call) -> None:
        speech = call.respond("Talk at length.")
        async for event in call:
            if event.type == "output_audio_buffer.started":
                break
        call.interrupt()
        heard.append(await speech.heard())
        await call.hangup()

    async with phone() as line:
        await line.played(ModelSays("z" * 600), talk=talk)
    assert heard == [Heard.IN_PART]


# --- turns and tools --------------------------------------------------------------------------------------------------


@virtual
async def test_law_one_response_at_a_time__a_race_with_turn_detection_is_absorbed() -> None:
    for names in (True, False):
        tools, looked = shop()
        async with phone(strict=False) as line:
            ended, _ringing = await line.played(
                HELLO,
                ASK,
                LOOK,
                ModelSays("Hm?"),
                TELL,
                BYE,
                talk=greet,
                tools=tools,
                faults=[ResponseRaced(occurrence=2, said="And tell me")],
                behavior=Behavior(busy_names_event=names),
            )
        assert ended.reason is EndReason.CALLER
        assert looked == ["1042"]


@virtual
async def test_law_the_read_loop_never_waits_for_user_code__a_slow_tool_does_not_hold_up_the_events() -> None:
    tools, seen = Tools(), []

    @tools.function(timeout=30)
    async def slow(order_id: str) -> str:
        """Look."""
        await asyncio.sleep(10)
        seen.append("tool")
        return "done"

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        async for event in call:
            if isinstance(event, events.InputAudioBufferDtmfEventReceived):
                seen.append(event.event)

    async with phone(strict=False) as line:
        await line.played(
            HELLO,
            ASK,
            ModelCalls("slow", {"order_id": "1"}),
            CallerPresses("7", during="tool"),
            TELL,
            BYE,
            talk=talk,
            tools=tools,
        )
    assert seen == ["7", "tool"]


@virtual
async def test_two_tools_of_one_response_get_one_response() -> None:
    tools, looked = shop()
    async with phone() as line:
        _, ringing = await line.played(
            HELLO,
            ASK,
            LOOK,
            ModelCalls("order_status", {"order_id": "7"}, same_response=True),
            TELL,
            BYE,
            talk=greet,
            tools=tools,
        )
    assert sorted(looked) == ["1042", "7"]
    assert len(outputs(ringing)) == 2
    assert asked(ringing) == 2


@virtual
async def test_law_a_tool_runs_once_per_call_id__however_often_it_is_told() -> None:
    tools, looked = shop()
    faults = [EventRepeated("response.output_item.done", times=9), EventRepeated("response.done", times=9)]
    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, LOOK, TELL, BYE, talk=greet, tools=tools, faults=faults)
    assert looked == ["1042"]
    assert len(outputs(ringing)) == 1
    assert [said.text for said in ringing.said].count(TELL.text) == 1


@virtual
async def test_law_after_a_re_attach_a_finished_output_is_sent_again_under_its_id_and_held_once() -> None:
    for when in ("conversation.item.create", "response.create"):
        tools, looked = shop()
        faults = [SocketDropped(when=when, occurrence=1 if when.startswith("conv") else 2, code=1006)]
        async with phone() as line:
            ended, ringing = await line.played(HELLO, ASK, LOOK, TELL, BYE, talk=greet, tools=tools, faults=faults)
        sent = [e["item"] for e in ringing.client_events if e["type"] == "conversation.item.create"]
        assert len({item["id"] for item in sent}) == 1
        held = [e["item"]["id"] for e in ringing.server_events if e["type"] == "conversation.item.added"]
        assert held.count(sent[0]["id"]) == 1
        assert looked == ["1042"]
        assert [said.text for said in ringing.said].count(TELL.text) == 1
        assert ended.reason is EndReason.CALLER


@virtual
async def test_law_tool_errors_go_back_to_the_model_without_internals(caplog: pytest.LogCaptureFixture) -> None:
    tools = Tools()

    @tools.function
    async def broken(order_id: str) -> str:
        """Look."""
        raise RuntimeError("PASSWORD".lower() + order_id)

    @tools.function(timeout=2)
    async def stuck() -> str:
        """Look."""
        await asyncio.sleep(3600)
        return "never"

    async with phone() as line:
        ended, ringing = await line.played(
            HELLO,
            ModelCalls("broken", {"order_id": "1042"}),
            TELL,
            ModelCalls("broken", "not json"),
            TELL,
            ModelCalls("stuck"),
            TELL,
            ModelCalls("made_up"),
            TELL,
            BYE,
            talk=ask_often,
            tools=tools,
        )
    assert ended.reason is EndReason.CALLER
    assert len(outputs(ringing)) == 4
    for output in outputs(ringing):
        assert "error" in json.loads(output)
        assert "password" not in output
    assert "password" not in caplog.text


async def ask_often(call: Call) -> None:
    """Ask for response after response, so that every step of the model has its turn."""
    for _ in range(5):
        speech = call.respond("Go on.")
        await speech.heard()
        await asyncio.sleep(5)
    await call.wait_ended()


@virtual
async def test_sync_tools_run_in_threads() -> None:
    tools, threads = Tools(), []

    @tools.function
    def where(order_id: str) -> str:
        """Look."""
        threads.append(threading.current_thread())
        return order_id

    async with phone() as line:
        _, ringing = await line.played(
            HELLO, ASK, ModelCalls("where", {"order_id": "7"}), TELL, BYE, talk=greet, tools=tools
        )
    assert threads[0] is not threading.main_thread()
    assert outputs(ringing) == ["7"]


@virtual
async def test_a_tool_gets_the_call_and_a_tool_that_outlives_it_is_canceled() -> None:
    tools, seen = Tools(), []

    @tools.function(timeout=600)
    async def forever(call: Call) -> str:
        """Look."""
        seen.append(call.call_id)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "never"

    async with phone() as line:
        _, ringing = await line.played(
            HELLO, ASK, ModelCalls("forever"), CallerHangsUp(during="tool"), talk=greet, tools=tools
        )
    assert seen == [ringing.call_id, "cancelled"]


@virtual
async def test_a_tool_can_keep_the_model_silent() -> None:
    tools = Tools()

    @tools.function
    async def note(text: str) -> ToolOutput:
        """Note."""
        return ToolOutput("noted", respond=False)

    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, ModelCalls("note", {"text": "x"}), BYE, talk=greet, tools=tools)
    assert outputs(ringing) == ["noted"]
    assert asked(ringing) == 1


@virtual
async def test_a_function_without_a_handler_is_the_programs_to_answer() -> None:
    session = {**SESSION, "tools": [{"type": "function", "name": "own", "parameters": {"type": "object"}}]}

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        async for event in call:
            if isinstance(event, events.ResponseFunctionCallArgumentsDone):
                call.tool_output(event.call_id, "by hand")

    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, ModelCalls("own"), TELL, BYE, talk=talk, session=session)
    assert outputs(ringing) == ["by hand"]
    assert ringing.said[-1].text == TELL.text


@virtual
async def test_an_action_that_needs_the_callers_yes_is_not_done_before_they_had_a_say() -> None:
    tools, looked = shop(confirm=True)
    async with phone() as line:
        _, ringing = await line.played(
            HELLO, ASK, LOOK, ModelSays("Shall I?"), CallerSays("Yes."), LOOK, TELL, BYE, talk=greet, tools=tools
        )
    assert looked == ["1042"]
    assert "agree" in outputs(ringing)[0]
    assert outputs(ringing)[1] == "1042 is on its way"


@virtual
async def test_a_model_that_confirms_by_itself_gets_nothing_done() -> None:
    tools, looked = shop(confirm=True)
    async with phone() as line:
        await line.played(HELLO, ASK, LOOK, LOOK, LOOK, TELL, BYE, talk=greet, tools=tools)
    assert looked == []


@virtual
async def test_a_check_may_refuse_a_tool() -> None:
    tools, looked = shop()

    async def check(name: str, arguments: dict[str, Any]) -> str | None:
        return "Not this order." if arguments == {"order_id": "1042"} and name == "order_status" else None

    async with phone() as line:
        _, ringing = await line.played(HELLO, ASK, LOOK, TELL, BYE, talk=greet, tools=tools, check_tool=check)
    assert looked == []
    assert "Not this order." in outputs(ringing)[0]


@virtual
async def test_a_check_may_stop_what_is_said_and_have_something_else_said() -> None:
    def check(said: str) -> str | None:
        return "Say that you cannot talk about that." if "secret" in said else None

    async with phone() as line:
        _, ringing = await line.played(
            ModelSays("The secret is " + "long " * 100),
            ModelSays("I cannot talk about that."),
            BYE,
            talk=greet,
            check_speech=check,
        )
    assert "response.cancel" in types(ringing.client_events)
    assert ringing.said[-1].text == "I cannot talk about that."


@virtual
async def test_a_response_that_fails_ends_its_speech() -> None:
    heard: list[Heard] = []

    async def talk(call: Call) -> None:
        heard.append(await call.respond("Greet."))
        await call.wait_ended()

    async with phone() as line:
        ended, _ = await line.played(ModelFails("rate_limit_exceeded"), BYE, talk=talk)
    assert heard == [Heard.FAILED]
    assert ended.reason is EndReason.CALLER


MCP_SESSION = {**SESSION, "tools": [{"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}]}


@virtual
async def test_law_hosted_mcp__approvals_are_asked_for_denied_by_default_and_followed_by_a_response() -> None:
    requests: list[AskApproval] = []

    async def approve(request: AskApproval) -> bool:
        requests.append(request)
        return True

    for approval_request in ("output", "item"):
        for allow in (True, False):
            requests.clear()
            async with phone() as line:
                _, ringing = await line.played(
                    HELLO,
                    ASK,
                    ModelCallsMcp("docs", "search", {"q": "order"}, output="found", approval=True),
                    TELL,
                    BYE,
                    talk=greet,
                    session=MCP_SESSION,
                    approve_mcp=approve if allow else None,
                    behavior=Behavior(approval_request=approval_request),
                )
            answers = [
                e["item"]["approve"]
                for e in ringing.client_events
                if e.get("item", {}).get("type") == "mcp_approval_response"
            ]
            assert answers == [allow]
            assert [r.name for r in requests] == (["search"] if allow else [])
            assert ringing.said[-1].text == TELL.text


# --- the end ----------------------------------------------------------------------------------------------------------


@virtual
async def test_law_leaving_the_block_ends_the_call_after_speech() -> None:
    async def talk(call: Call) -> None:
        call.respond("Say goodbye.")

    async with phone() as line:
        ended, _ringing = await line.played(ModelSays("y" * 150), talk=talk)
    assert ended.reason is EndReason.AGENT
    assert ended.ended_at - (ended.attached_at or 0) > 10


@virtual
async def test_law_never_a_caller_with_a_dead_agent__an_exception_ends_the_call_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(call: Call) -> None:
        call.respond("Talk.")
        raise ValueError("a bug")

    async with phone() as line:
        ended, ringing = await line.played(ModelSays("y" * 600), talk=talk)
    assert (ended.reason, ended.certainty) == (EndReason.HANDLER_FAILED, "reported")
    assert (await ringing.ended()).by is EndedBy.AGENT
    assert len([record for record in caplog.records if "the handler failed" in record.getMessage()]) == 1


@virtual
async def test_law_never_a_caller_with_a_dead_agent__a_cancelled_handler_hangs_up() -> None:
    async with phone() as line:
        ringing = await line.ring(HELLO, talk=greet)
        await ringing.until_attached(timeout=60)
        await line.host.drain(0.1)
        assert (await ringing.ended(timeout=60)).by is EndedBy.AGENT
    assert line.calls[0].ended is not None


@virtual
async def test_law_detach_alone_leaves_the_call_up() -> None:
    async def talk(call: Call) -> None:
        await call.detach()

    async with phone() as line:
        ended, ringing = await line.played(talk=talk)
        assert ended.reason is EndReason.DETACHED
        assert ringing.state == "accepted"
        ringing.hang_up()


@virtual
async def test_law_a_hangup_is_tried_until_it_succeeds() -> None:
    async def talk(call: Call) -> None:
        await call.hangup()

    async with phone() as line:
        line.openai.fail("hangup", status=503, times=8)
        ended, ringing = await line.played(talk=talk)
    assert (ended.reason, ended.certainty) == (EndReason.AGENT, "reported")
    assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_law_nothing_hangs__a_hangup_that_breaks_in_an_unknown_way_is_given_up_after_a_bound() -> None:
    async def talk(call: Call) -> None:
        await call.hangup()

    async with phone(strict=False) as line:
        run = line.client.calls.transport.run

        async def broken(operation: Operation[Any]) -> Any:
            if operation.name == "hangup":
                raise RuntimeError("an HTTP client of the program's own")
            return await run(operation)

        line.client.calls.transport.run = broken  # type: ignore[method-assign]
        ended, ringing = await line.played(HELLO, talk=talk)
        assert (ended.reason, ended.certainty) == (EndReason.AGENT, "inferred")
        assert "may be up" in ended.evidence
        ringing.hang_up()


@virtual
async def test_what_is_asked_of_a_call_that_ended_raises_and_the_block_ends_quietly() -> None:
    raised: list[BaseException] = []

    async def talk(call: Call) -> None:
        await call.wait_ended()
        for work in (
            lambda: call.respond("x"),
            call.interrupt,
            lambda: call.tool_output("c", "x"),
        ):
            with pytest.raises(CallEndedError) as refused:
                work()
            raised.append(refused.value)
        with pytest.raises(CallEndedError) as refused:
            await call.send({"type": "response.cancel"})
        raised.append(refused.value)
        call.respond("x")

    async with phone() as line:
        ended, _ = await line.played(BYE, talk=talk)
    assert ended.reason is EndReason.CALLER
    assert len(raised) == 4


@virtual
async def test_speech_that_is_never_heard_because_the_call_ends_raises() -> None:
    raised: list[BaseException] = []

    async def talk(call: Call) -> None:
        speech = call.respond("Talk.")
        try:
            await speech.heard()
        except CallEndedError as error:
            raised.append(error)
            raise

    async with phone() as line:
        ended, _ = await line.played(ModelSays("y" * 600), CallerHangsUp(during="speech"), talk=talk)
    assert ended.reason is EndReason.CALLER
    assert len(raised) == 1


@pytest.mark.parametrize("code", [1000, 1005, 1006])
def test_law_a_closed_socket_is_not_the_end__the_callers_hangup_is_told_by_attaching_again(code: Any) -> None:
    @virtual
    async def test() -> None:
        async with phone() as line:
            ended, _ringing = await line.played(HELLO, BYE, talk=greet, behavior=Behavior(end_code=code))
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")
        assert ended.close is not None
        assert ended.close.code == code

    test()


@pytest.mark.parametrize("code", [1000, 1006, 1011])
@pytest.mark.parametrize("when", ["attached", "generating", "playing", "tool", "caller"])
def test_law_a_closed_socket_is_not_the_end__the_call_goes_on_with_its_state(code: int, when: str) -> None:
    @virtual
    async def test() -> None:
        tools, looked = shop()
        gaps: list[SidebandGap] = []

        async def talk(call: Call) -> None:
            call.respond("Greet.")
            async for event in call:
                if isinstance(event, SidebandGap):
                    gaps.append(event)

        async with phone() as line:
            ended, ringing = await line.played(
                HELLO, ASK, LOOK, TELL, BYE, talk=talk, tools=tools, faults=[SocketDropped(when=when, code=code)]
            )
        assert ended.reason is EndReason.CALLER
        assert ringing.sidebands == 2
        assert gaps == line.calls[0].gaps
        assert len(gaps) == 1
        assert gaps[0].close.code == code
        if when != "caller":
            assert looked == ["1042"]

    test()


@pytest.mark.parametrize("when", ["attached", "generating", "tool"])
def test_a_socket_that_is_lost_with_the_call_ends_it(when: str) -> None:
    @virtual
    async def test() -> None:
        tools, _ = shop()
        async with phone(strict=False) as line:
            ended, _ = await line.played(
                HELLO, ASK, LOOK, TELL, talk=greet, tools=tools, faults=[SocketDropped(when=when, call_over=True)]
            )
        assert (ended.reason, ended.certainty) == (EndReason.CALLER, "inferred")

    test()


@pytest.mark.parametrize("pongs", [True, False])
def test_law_a_socket_that_is_silent_is_followed_by_a_new_one(pongs: bool) -> None:
    @virtual
    async def test() -> None:
        async with phone() as line:
            ended, ringing = await line.played(
                HELLO,
                CallerSays("Hm.", after=50.0),
                ModelSays("I was gone for a moment."),  # before that, for nobody knows what was said meanwhile
                TELL,
                BYE,
                talk=greet,
                faults=[SocketSilent(when="playing", pongs=pongs)],
            )
        assert ended.reason is EndReason.CALLER
        assert ringing.sidebands >= 2

    test()


@virtual
async def test_a_quiet_call_is_asked_for_life_and_not_dropped() -> None:
    async with phone() as line:
        _, ringing = await line.played(
            HELLO, CallerSays("Hm.", after=50.0), TELL, BYE, talk=greet, limits=CallLimits(silence=None)
        )
    assert ringing.sidebands == 1
    assert types(ringing.client_events).count("session.update") >= 2


@virtual
async def test_a_service_that_cannot_be_reached_any_more_is_hung_up_on_as_far_as_possible() -> None:
    async with phone(strict=False, timeout=1.0) as line:
        line.openai.fail("attach", status=503, times=200)
        ended, ringing = await line.played(HELLO, talk=greet)
    assert ended.reason is EndReason.CONNECTION_LOST
    assert (await ringing.ended()).by is EndedBy.AGENT


@virtual
async def test_an_expired_session_is_reported_as_what_the_service_said() -> None:
    # Where nothing told when the session expires, the service is what ends it.
    faults = [EventLost("session.updated", times=1000)]
    limits = CallLimits(max_duration=None, silence=None, first_sound=None)
    async with phone(strict=False) as line:
        ended, ringing = await line.played(*[HELLO] * 250, talk=chat, limits=limits, faults=faults)
    assert (ended.reason, ended.certainty) == (EndReason.EXPIRED, "reported")
    assert (await ringing.ended()).by is EndedBy.EXPIRED


# --- limits -----------------------------------------------------------------------------------------------------------


async def chat(call: Call) -> None:
    """Keep the line from falling silent."""
    while call.ended is None:
        speech = call.respond("Say something.")
        await speech.heard()
        await asyncio.sleep(20)


@virtual
async def test_law_limits_are_on_by_default__silence_ends_the_call_after_a_minute_with_a_goodbye() -> None:
    async with phone(strict=False) as line:
        ended, ringing = await line.played(HELLO, talk=greet)
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.SILENCE)
    last = [event for event in ringing.client_events if event["type"] == "response.create"][-1]
    assert "Say goodbye" in last["response"]["instructions"]
    assert len(ringing.said) == 2
    assert 60 < ended.ended_at - (ended.attached_at or 0) < 80


@virtual
async def test_law_limits_are_on_by_default__a_call_without_any_sound_ends_after_twenty_seconds() -> None:
    async with phone() as line:
        ended, _ringing = await line.played(behavior=Behavior(canceled="answers"))
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.FIRST_SOUND)
    assert 20 <= ended.ended_at - (ended.attached_at or 0) < 25


@virtual
async def test_law_limits_are_on_by_default__the_longest_duration_is_55_minutes() -> None:
    async with phone(strict=False) as line:
        ended, _ = await line.played(*[HELLO] * 200, talk=chat)
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.DURATION)
    assert 3300 <= ended.ended_at - (ended.attached_at or 0) < 3330


@virtual
async def test_law_limits_survive_a_dropped_socket() -> None:
    faults = [SocketDropped(when="playing", occurrence=n, code=1006) for n in (2, 20, 40)]
    async with phone(strict=False) as line:
        ended, ringing = await line.played(
            *[HELLO] * 200, talk=chat, faults=faults, limits=CallLimits(max_duration=1200)
        )
    assert ringing.sidebands == 4
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.DURATION)
    assert 1200 <= ended.ended_at - (ended.attached_at or 0) < 1230


@virtual
async def test_silence_rests_while_a_tool_runs_and_counts_from_the_last_digit() -> None:
    tools = Tools()

    @tools.function(timeout=200)
    async def slow() -> str:
        """Look."""
        await asyncio.sleep(100)
        return "done"

    async with phone(strict=False) as line:
        ended, _ringing = await line.played(
            HELLO,
            ASK,
            ModelCalls("slow"),
            TELL,
            CallerPresses("1", after=40.0),
            BYE.__class__(after=40.0),
            talk=greet,
            tools=tools,
        )
    assert ended.reason is EndReason.CALLER


@virtual
async def test_limits_are_told_before_they_are_reached() -> None:
    near: list[LimitNear] = []

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        async for event in call:
            if isinstance(event, LimitNear):
                near.append(event)

    async with phone(strict=False) as line:
        await line.played(HELLO, talk=talk)
    assert [event.limit for event in near] == [LimitKind.SILENCE]
    assert near[0].seconds is not None
    assert 14 < near[0].seconds <= 15


@virtual
async def test_the_services_wall_is_known_from_expires_at_and_told_and_a_goodbye_comes_before_it() -> None:
    near: list[LimitKind] = []

    async def talk(call: Call) -> None:
        chatting = asyncio.ensure_future(chat(call))
        async for event in call:
            if isinstance(event, LimitNear):
                near.append(event.limit)
        await asyncio.gather(chatting, return_exceptions=True)

    async with phone(strict=False) as line:
        ended, _ = await line.played(*[HELLO] * 250, talk=talk, limits=CallLimits(max_duration=None))
    assert near == [LimitKind.EXPIRY]
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.EXPIRY)
    assert 3500 < ended.ended_at - (ended.attached_at or 0) < 3600


# --- events -----------------------------------------------------------------------------------------------------------


@virtual
async def test_events_are_optional_and_a_slow_reader_loses_the_oldest_deltas_and_is_told() -> None:
    seen: list[Any] = []

    async def talk(call: Call) -> None:
        call.respond("Talk.")
        seen.append(await anext(call))
        await call.wait_ended()
        seen.extend([event async for event in call])

    async with phone() as line:
        await line.played(ModelSays("word " * 2000), BYE, talk=talk)
    dropped = [event for event in seen if isinstance(event, EventsDropped)]
    assert len(dropped) == 1
    assert dropped[0].count > 100
    assert any(isinstance(event, events.ResponseDone) for event in seen)


@virtual
async def test_law_before_anybody_reads_deltas_go_and_the_latest_others_and_the_calls_own_stay__over_sockets() -> None:
    seen: list[Any] = []

    async def talk(call: Call) -> None:
        for _ in range(20):
            await call.respond("Talk.")
        seen.extend([event async for event in call])

    async with phone() as line:
        dropped = SocketDropped(when="output_audio_buffer.stopped")
        _, ringing = await line.played(*[ModelSays("word " * 50)] * 20, BYE, talk=talk, faults=[dropped])
    first, gap, *others = seen
    assert isinstance(first, EventsDropped)
    assert isinstance(gap, SidebandGap)
    sent = [frame for frame in ringing.server_events if not frame["type"].endswith(".delta")]
    assert len(others) == 40
    assert [event.event_id for event in others] == [frame["event_id"] for frame in sent[-40:]]
    assert first.count > 20 * 10


@virtual
async def test_send_checks_and_a_response_sent_by_hand_waits_for_its_turn() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(InvalidRequestError):
            await call.send({"type": "made.up"})
        call.respond("One.")
        await call.send({"type": "response.create"})
        await call.update({"instructions": "Now be formal."})
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(HELLO, TELL, BYE, talk=talk)
    assert asked(ringing) == 2
    assert not [event for event in ringing.server_events if event["type"] == "error"]
    assert ringing.session is not None
    assert ringing.session["instructions"] == "Now be formal."


@virtual
async def test_errors_out_of_nowhere_and_lost_events_do_not_end_a_call() -> None:
    for faults in (
        [ErrorSent(when="playing")],
        [EventLost("response.created")],
        [EventLost("response.done")],
        [EventLost("output_audio_buffer.stopped")],
        [EventLost("session.updated")],
        [EventLost("input_audio_buffer.speech_stopped")],
    ):
        tools, looked = shop()
        async with phone() as line:
            ended, _ = await line.played(
                HELLO, ASK, LOOK, TELL, CallerHangsUp(after=30.0), talk=greet, tools=tools, faults=faults
            )
        assert ended.reason is EndReason.CALLER, faults
        assert looked == ["1042"], faults


@virtual
async def test_law_words_numbers_and_keys_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    tools, _ = shop()
    with caplog.at_level(logging.DEBUG):
        async with phone() as line:
            await line.played(HELLO, ASK, LOOK, TELL, CallerPresses("4111"), BYE, talk=greet, tools=tools)
            assert repr(line.calls[0]).startswith("Call(")
    ours = "\n".join(
        r.getMessage() for r in caplog.records if r.name.startswith("realtime_sip") and "testing" not in r.name
    )
    for word in ("order", "Greet", "4111", "1042", "4155550100", line.openai.api_key):
        assert word not in ours.replace("order_status", "")


def test_the_session_may_be_a_model() -> None:
    assert RealtimeSession.model_validate(SESSION).instructions == SESSION["instructions"]


@virtual
async def test_a_goodbye_longer_than_the_tools_timeout_is_said_to_its_end_and_the_call_ends() -> None:
    tools = Tools()
    tools.function(end_call, timeout=2)
    async with phone() as line:
        ended, ringing = await line.played(
            HELLO,
            CallerSays("Goodbye."),
            ModelSays("g" * 300),
            ModelCalls("end_call", same_response=True),
            talk=greet,
            tools=tools,
        )
    assert (ended.reason, ended.certainty) == (EndReason.AGENT, "reported")
    assert ringing.said[-1].text == "g" * 300
    assert asked(ringing) == 1


@virtual
async def test_a_block_that_waits_for_something_else_does_not_outlive_its_call() -> None:
    after: list[str] = []

    async def talk(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            after.append("left")

    async with phone(strict=False) as line:
        ended, _ = await line.played(HELLO, BYE, talk=talk, limits=CallLimits(first_sound=None))
        assert line.host.live == 0
    assert ended.reason is EndReason.CALLER
    assert after == ["left"]


@virtual
async def test_a_block_has_time_after_the_end_for_what_it_still_does() -> None:
    after: list[str] = []

    async def talk(call: Call) -> None:
        await call.wait_ended()
        await asyncio.sleep(5)
        after.append("saved")

    async with phone() as line:
        await line.played(BYE, talk=talk)
    assert after == ["saved"]


@virtual
async def test_how_the_socket_closed_is_told_after_our_own_hangup_too() -> None:
    async def talk(call: Call) -> None:
        await call.hangup()

    async with phone() as line:
        ended, _ = await line.played(talk=talk)
    assert ended.close is not None
    assert ended.close.code == 1000
    assert str(ended) == "agent (reported): the program hung up"


@virtual
async def test_law_a_model_that_asks_whether_anybody_is_there_does_not_keep_a_dead_line_up() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
    async with phone(strict=False) as line:
        ended, ringing = await line.played(
            HELLO, ASK, TELL, talk=greet, session=session, limits=CallLimits(silence=30.0, goodbye=None)
        )
    assert types(ringing.server_events).count("input_audio_buffer.timeout_triggered") > 1
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.SILENCE)
    assert ended.attached_at is not None
    assert ended.ended_at - ended.attached_at < 60


@virtual
async def test_law_a_call_in_which_nobody_hears_anybody_ends() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
    near: list[LimitNear] = []

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        near.extend([event async for event in call if isinstance(event, LimitNear)])

    async with phone(strict=False) as line:
        ended, _ = await line.played(HELLO, *[ModelSays("Are you there?")] * 9, talk=talk, session=session)
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.NO_AUDIO)
    assert LimitKind.NO_AUDIO in {each.limit for each in near}
    assert ended.attached_at is not None
    assert ended.ended_at - ended.attached_at < 50


@virtual
async def test_law_a_call_in_which_nobody_hears_anybody_ends__noise_without_words() -> None:
    session = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
    kind = "conversation.item.input_audio_transcription"
    faults = [
        EventLost(f"{kind}.delta", times=1000),
        EventAltered(f"{kind}.completed", lambda event: {**event, "transcript": ""}, times=1000),
    ]
    turns = [CallerSays("Mmh mmh."), ModelSays("Sorry?")] * 3
    async with phone(strict=False) as line:
        ended, ringing = await line.played(
            HELLO, *turns, talk=greet, session=session, faults=faults, limits=CallLimits(goodbye=None)
        )
    assert (ended.reason, ended.limit) == (EndReason.LIMIT, LimitKind.NO_AUDIO)
    assert types(ringing.server_events).count("input_audio_buffer.speech_started") == 3


@virtual
async def test_a_caller_who_answers_the_question_whether_they_are_there_stays() -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": 6000}
    session = {**SESSION, "audio": {"input": {"turn_detection": detection}}}
    pause = [ModelSays("Are you there?"), CallerSays("Yes, one moment.", after=4.0), ModelSays("Take your time.")]
    async with phone() as line:
        ended, _ = await line.played(
            HELLO, *pause * 8, BYE, talk=greet, session=session, limits=CallLimits(silence=30.0)
        )
    assert ended.reason is EndReason.CALLER


@virtual
async def test_an_output_that_is_no_text_is_refused_at_the_door() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(InvalidRequestError):
            call.tool_output("call_1", {"order": 1042})  # type: ignore[arg-type]

    async with phone() as line:
        ended, _ = await line.played(talk=talk)
    assert ended.reason is EndReason.AGENT
