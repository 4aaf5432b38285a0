"""What reviews of a call's code have found, as small as it gets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from phone import SESSION, greet, outputs, phone, types, virtual
from realtime_sip import (
    Call,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    Submission,
    Tools,
    TransferTargets,
    events,
)
from realtime_sip.errors import CallEndedError, ConfigurationError, InvalidRequestError, TransferError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.stores.memory import MemoryStore
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    EventLost,
    ModelCalls,
    ModelSays,
    RingingCall,
    SocketSilent,
    Timings,
    UpdateRefused,
)

HELLO = ModelSays("Good morning, how can I help you?")
LONG = ModelSays("We are open every day of the week, and this is everything that we have to tell you about it. " * 2)
ANNOUNCED = ModelSays("I am connecting you.")
SORRY = ModelSays("Nobody is there right now.")
GOODBYE = ModelSays("Goodbye, and thank you.")
ASK = CallerSays("Where is my order?")
BYE = CallerHangsUp()
DESKS = TransferTargets({"billing": "tel:+14155550123"})
PATIENT = Timings(patience=150.0)


def said(ringing: RingingCall) -> list[str]:
    return [words.text for words in ringing.said if words.by == "model"]


def words_asked_for(ringing: RingingCall) -> list[str]:
    """Return the instructions of the responses that the program has asked for."""
    wanted = [e.get("response", {}) for e in ringing.client_events if e["type"] == "response.create"]
    return [str(response.get("instructions", "")) for response in wanted]


def detections(ringing: RingingCall) -> list[Any]:
    """Return the turn detection of each update that says one."""
    inputs = [
        e["session"].get("audio", {}).get("input", {}) for e in ringing.client_events if e["type"] == "session.update"
    ]
    return [heard["turn_detection"] for heard in inputs if "turn_detection" in heard]


async def until(condition: Any, seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.05)


# --- saying it before doing it ----------------------------------------------------------------------------------------


@virtual
async def test_law_say_it_then_act__a_goodbye_is_said_also_where_the_caller_cuts_off_what_comes_before() -> None:
    async def talk(call: Call) -> None:
        call.respond("Tell everything.")
        await asyncio.sleep(1)
        await call.hangup(goodbye="Say goodbye.")

    interrupting = CallerSays("Yes, yes, I know.", interrupting=True, after=3.0)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(LONG, interrupting, ModelSays("I see."), GOODBYE, talk=talk)
    assert ended.reason is EndReason.AGENT
    assert any("Say goodbye." in words for words in words_asked_for(ringing))
    assert said(ringing)[-1] == GOODBYE.text


@virtual
async def test_law_say_it_then_act__an_announcement_is_said_also_where_the_caller_cuts_off_what_comes_before() -> None:
    async def talk(call: Call) -> None:
        call.respond("Tell everything.")
        await asyncio.sleep(1)
        await call.transfer("billing", announcement="Say who you connect to.")

    interrupting = CallerSays("Yes, yes, I know.", interrupting=True, after=3.0)
    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            LONG, interrupting, ModelSays("I see."), ANNOUNCED, talk=talk, transfers=DESKS
        )
    assert ended.reason is EndReason.TRANSFERRED
    assert said(ringing)[-1] == ANNOUNCED.text


@virtual
async def test_an_announcement_that_could_not_be_said_is_not_said_after_the_transfer() -> None:
    """A caller who talks for longer than the announcement waits is transferred without it."""

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        await asyncio.sleep(3)
        with pytest.raises(TransferError):
            await call.transfer("billing", announcement="Say who you connect to.")
        await call.wait_ended()

    talking = CallerSays("I will tell you all of it. " * 30, after=0.5)
    async with phone(timings=PATIENT) as line:
        line.openai.fail("refer", status=400)
        _, ringing = await line.played(HELLO, talking, SORRY, SORRY, BYE, talk=talk, transfers=DESKS)
    assert not any("who you connect to" in words for words in words_asked_for(ringing))


@virtual
async def test_law_a_second_hangup_changes_nothing() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        first = asyncio.ensure_future(call.hangup(goodbye="Say goodbye."))
        await asyncio.sleep(0.5)
        await call.hangup(goodbye="Say goodbye once more.")
        await first

    async with phone(strict=False) as line:
        ended, ringing = await line.played(HELLO, GOODBYE, GOODBYE, talk=talk)
    assert ended.reason is EndReason.AGENT
    assert said(ringing) == [HELLO.text, GOODBYE.text]


@virtual
async def test_law_say_it_then_act__a_goodbye_is_said_where_the_transfer_before_it_fails() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(5)
        await call.hangup(goodbye="Say goodbye.")

    async with phone(timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO, GOODBYE, talk=talk, transfers=DESKS, behavior=Behavior(refer="ignored")
        )
    assert ended.reason is EndReason.AGENT
    assert said(ringing) == [HELLO.text, GOODBYE.text]


# --- digits -----------------------------------------------------------------------------------------------------------


@virtual
async def test_law_secret_digits_are_told_to_nobody__nor_those_that_follow_into_the_next_answer() -> None:
    seen: list[str] = []

    async def read(call: Call) -> None:
        async for event in call:
            if isinstance(event, events.InputAudioBufferDtmfEventReceived):
                seen.append(event.event)

    async def talk(call: Call) -> None:
        reading = asyncio.create_task(read(call))
        await call.collect_digits(max_digits=4, secret=True)
        await call.collect_digits(max_digits=1, terminator=None)
        await call.wait_ended()
        await reading

    async with phone() as line:
        await line.played(CallerPresses("104299"), BYE, talk=talk)
    assert seen == []


@virtual
async def test_law_the_model_is_quiet_while_a_transfer_is_pending__also_where_digits_are_asked_for() -> None:
    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(2)
        await call.collect_digits("Ask for the number.", timeout=5.0)

    async with phone(strict=False, timings=PATIENT) as line:
        ended, ringing = await line.played(
            HELLO, ModelSays("Your number?"), talk=talk, transfers=DESKS, behavior=Behavior(refer="bridged")
        )
    assert ended.reason is EndReason.TRANSFERRED
    assert said(ringing) == [HELLO.text]


@virtual
async def test_digits_are_asked_for_once_the_transfer_has_failed() -> None:
    collected: list[str] = []

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        await asyncio.sleep(2)
        collected.append((await call.collect_digits("Ask for the number.", timeout=5.0, max_digits=2)).digits)
        await call.wait_ended()

    async with phone(timings=PATIENT) as line:
        _, ringing = await line.played(
            HELLO,
            ModelSays("Your number?"),
            CallerPresses("12"),
            SORRY,
            BYE,
            talk=talk,
            transfers=DESKS,
            behavior=Behavior(refer="busy"),
        )
    assert collected == ["12"]
    assert said(ringing) == [HELLO.text, "Your number?", SORRY.text]


@virtual
async def test_digits_of_the_consent_and_of_the_handler_are_collected_one_after_the_other(tmp_path: Path) -> None:
    """Both may ask as soon as the call is up, and neither knows of the other."""

    async def consent(call: Call) -> bool:
        return (await call.collect_digits("Ask for consent.", max_digits=1)).digits == "1"

    async def talk(call: Call) -> None:
        await call.collect_digits("Ask for the number.", max_digits=2, timeout=5.0)

    async with phone(timings=PATIENT) as line:
        scenario = (ModelSays("May we?"), CallerPresses("1"), ModelSays("Your number?"), CallerPresses("12"))
        ended, _ = await line.played(*scenario, talk=talk, event_log=EventLogFolder(tmp_path), consent=consent)
    assert ended.reason is EndReason.AGENT


@virtual
async def test_law_turn_detection_is_restored_whatever_happens__also_where_the_program_lets_go() -> None:
    async def talk(call: Call) -> None:
        collecting = asyncio.ensure_future(call.collect_digits(timeout=60.0))
        await asyncio.sleep(3)
        await call.detach()
        with pytest.raises(CallEndedError):
            await collecting

    async with phone(strict=False) as line:
        ended, ringing = await line.played(CallerHangsUp(after=30.0), talk=talk)
        assert ended.reason is EndReason.DETACHED
        assert ringing.session is not None
        assert ringing.session["audio"]["input"]["turn_detection"]["create_response"] is True
        ringing.hang_up()


# --- a greeting that nothing cuts off ---------------------------------------------------------------------------------


@virtual
async def test_digits_that_are_asked_for_first_are_a_greeting_too_and_nothing_cuts_it_off() -> None:
    began: list[int] = []

    async def talk(call: Call) -> None:
        (ringing,) = line.ringings
        collecting = asyncio.ensure_future(call.collect_digits("Ask for the number.", timeout=5.0))
        await until(lambda: "output_audio_buffer.started" in types(ringing.server_events))
        began.extend(1 for detection in detections(ringing) if detection is not None)
        await collecting
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(
            ModelSays("Please enter your number."), CallerHangsUp(after=30.0), talk=talk, greet_undisturbed=True
        )
    assert began == []
    assert ringing.session is not None
    restored = ringing.session["audio"]["input"]["turn_detection"]
    assert (restored["type"], restored["create_response"]) == ("server_vad", True)


@virtual
@pytest.mark.parametrize(
    "faults",
    [
        [SocketSilent(when="output_audio_buffer.stopped")],
        [UpdateRefused(occurrence=n) for n in (1, 2, 3, 4)],
        [EventLost("session.update", occurrence=2, times=5)],
    ],
)
async def test_law_never_a_dead_agent__a_call_that_was_to_listen_after_its_greeting_does(faults: list[Any]) -> None:
    async with phone(timings=PATIENT) as line:
        _, ringing = await line.played(
            HELLO,
            CallerSays("Hello?", after=100.0),
            ModelSays("Yes."),
            BYE,
            talk=greet,
            faults=faults,
            greet_undisturbed=True,
            limits=CallLimits(silence=None),
        )
    assert ringing.session is not None
    detection = ringing.session["audio"]["input"]["turn_detection"]
    assert detection is not None
    assert detection["type"] == "server_vad"


@virtual
async def test_law_a_dead_claimants_call_is_adopted__also_where_it_died_while_it_collected_digits() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    held = {"type": "server_vad", "create_response": False, "interrupt_response": True}
    async with phone(timings=PATIENT) as line:
        incoming: list[IncomingCall] = []

        async def dies(call: IncomingCall) -> None:
            incoming.append(call)
            await line.client.calls.accept(call.call_id, {**SESSION, "audio": {"input": {"turn_detection": held}}})

        ringing = await line.openai.ring(
            CallHost(dies, client=line.client), scenario=[CallerSays("Hello?", after=10.0), ModelSays("Yes."), BYE]
        )
        await ringing.until_accepted()
        await asyncio.sleep(1)
        await store.claim(ringing.call_id, owner="dead", lease=30)
        await store.advance(ringing.call_id, owner="dead", phase="accepted")
        line.host = CallHost(line.on_call, client=line.client, store=store)
        now[0] += 31
        assert await line.host.submit(incoming[0]) is Submission.STARTED
        ended = await line.host.ended(ringing.call_id)
        await line.idle()
    assert ended.reason is EndReason.CALLER
    assert said(ringing) == ["Yes."]


# --- tools and updates ------------------------------------------------------------------------------------------------


def order_tools(output: str = "on its way", name: str = "order_status") -> Tools:
    tools = Tools()

    @tools.function(name=name)
    async def order_status() -> str:
        """Tell where the order is."""
        return output

    return tools


@virtual
async def test_a_tool_that_the_model_calls_before_it_knows_that_it_is_gone_is_answered() -> None:
    async def talk(call: Call) -> None:
        await call.update(tools=order_tools("refunded", "refund"))
        await greet(call)

    async with phone() as line:
        scenario = (HELLO, ASK, ModelCalls("order_status"), ModelSays("I cannot."), BYE)
        _, ringing = await line.played(*scenario, talk=talk, tools=order_tools())
    assert outputs(ringing) == ['{"error":"There is no such tool."}']
    assert said(ringing)[-1] == "I cannot."


@virtual
async def test_a_function_of_an_update_that_no_registry_has_is_the_programs_to_answer() -> None:
    own = {"type": "function", "name": "refund", "description": "Refund.", "parameters": {"type": "object"}}

    async def talk(call: Call) -> None:
        await call.update({"tools": [own]})
        call.respond("Greet the caller.")
        async for event in call:
            if isinstance(event, events.ResponseFunctionCallArgumentsDone):
                await asyncio.sleep(1)
                call.tool_output(event.call_id, "refunded")

    async with phone() as line:
        scenario = (HELLO, ASK, ModelCalls("refund"), ModelSays("Done."), BYE)
        _, ringing = await line.played(*scenario, talk=talk, tools=order_tools())
    assert outputs(ringing) == ["refunded"]


@virtual
async def test_an_exchange_of_registries_leaves_the_sessions_other_functions_alone() -> None:
    own = {"type": "function", "name": "note", "description": "Note.", "parameters": {"type": "object"}}

    async def talk(call: Call) -> None:
        await call.update(tools=order_tools("refunded", "refund"))

    async with phone() as line:
        _, ringing = await line.played(talk=talk, tools=order_tools(), session={**SESSION, "tools": [own]})
    assert ringing.session is not None
    assert [tool["name"] for tool in ringing.session["tools"]] == ["note", "refund"]


@virtual
async def test_an_exchange_of_registries_keeps_the_tools_of_an_update_before() -> None:
    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}

    async def talk(call: Call) -> None:
        await call.update({"tools": [mcp]})
        await call.update(tools=order_tools("refunded", "refund"))

    async with phone() as line:
        _, ringing = await line.played(talk=talk, tools=order_tools())
    assert ringing.session is not None
    assert [tool.get("name", tool["type"]) for tool in ringing.session["tools"]] == ["mcp", "refund"]


@virtual
@pytest.mark.parametrize("cancelled", [True, False])
async def test_tools_of_an_update_of_which_nobody_knows_whether_it_was_taken_still_run(cancelled: bool) -> None:
    async def talk(call: Call) -> None:
        try:
            async with asyncio.timeout(2.0 if cancelled else None):
                await call.update(tools=order_tools("refunded", "refund"))
        except TimeoutError:  # a DeadlineError is one too
            pass
        await greet(call)

    scenario = (HELLO, ASK, ModelCalls("refund"), ModelSays("Done."), BYE)
    async with phone() as line:
        _, ringing = await line.played(
            *scenario, talk=talk, tools=order_tools(), faults=[EventLost("session.updated", times=3)]
        )
    assert outputs(ringing) == ["refunded"]


@virtual
async def test_law_limits_know_what_they_cannot_know__a_transcription_without_a_price_is_refused_later_too() -> None:
    unpriced = {"audio": {"input": {"transcription": {"model": "whisper-of-tomorrow"}}}}

    async def talk(call: Call) -> None:
        with pytest.raises(ConfigurationError, match="max_cost"):
            await call.update(unpriced)

    async with phone() as line:
        ended, _ = await line.played(talk=talk, limits=CallLimits(max_cost=1.0))
    assert ended.reason is EndReason.AGENT  # else the handler has failed


@virtual
async def test_a_language_is_that_of_the_transcription_as_it_is_now() -> None:
    def hearing(model: str) -> dict[str, Any]:
        return {"audio": {"input": {"transcription": {"model": model}}}}

    async def talk(call: Call) -> None:
        await call.update(hearing("gpt-transcribe"))
        await call.update(language="pt")

    async with phone() as line:
        _, ringing = await line.played(talk=talk, session={**SESSION, **hearing("gpt-realtime-whisper")})
    assert ringing.session is not None
    transcription = ringing.session["audio"]["input"]["transcription"]
    assert (transcription["model"], transcription["language"]) == ("gpt-transcribe", "pt")


@virtual
async def test_a_language_beside_a_stored_prompt_does_not_override_it() -> None:
    session = {"model": SESSION["model"], "prompt": {"id": "pmpt_1"}}

    async def talk(call: Call) -> None:
        with pytest.raises(InvalidRequestError, match="prompt"):
            await call.update(language="pt")

    async with phone() as line:
        ended, _ = await line.played(talk=talk, session=session)
    assert ended.reason is EndReason.AGENT  # else the handler has failed


@virtual
async def test_an_output_that_is_no_text_is_refused_at_the_door() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(InvalidRequestError):
            call.tool_output("call_1", {"order": 1042})  # type: ignore[arg-type]

    async with phone() as line:
        ended, _ = await line.played(talk=talk)
    assert ended.reason is EndReason.AGENT


# --- the end ----------------------------------------------------------------------------------------------------------


@virtual
async def test_law_nothing_hangs__a_tool_that_does_not_end_does_not_keep_the_block() -> None:
    tools, stop = Tools(), asyncio.Event()

    @tools.function
    async def stubborn() -> str:
        """Take no end."""
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue
        return "done"

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    async with phone() as line:
        ringing = await line.ring(
            ModelCalls("stubborn"), CallerHangsUp(during="tool", after=5.0), talk=talk, tools=tools
        )
        await ringing.until_attached()
        async with asyncio.timeout(120):
            await line.host.ended(ringing.call_id)
        await line.idle()
        stop.set()
        await asyncio.sleep(1)


@virtual
async def test_what_leaves_the_block_in_a_group_because_the_call_has_ended_leaves_it_quietly() -> None:
    async def talk(call: Call) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call.collect_digits(timeout=60.0))

    async with phone() as line:
        ended, _ = await line.played(CallerHangsUp(after=5.0), talk=talk)
    assert ended.reason is EndReason.CALLER


@virtual
async def test_law_drain__a_second_one_changes_nothing() -> None:
    """Such as that of a signal's handler, and that of the application's lifespan after it."""

    async def talk(call: Call) -> None:
        await call.wait_ended()

    async with phone(strict=False) as line:
        ringing = await line.ring(GOODBYE, GOODBYE, talk=talk, limits=CallLimits(silence=None, first_sound=None))
        await ringing.until_attached()
        first = asyncio.create_task(line.host.drain(12))
        await asyncio.sleep(0.5)
        await line.host.drain(12)
        await first
        assert (await line.host.ended(ringing.call_id)).reason is EndReason.AGENT
    assert said(ringing) == [GOODBYE.text]


@virtual
async def test_law_drain__a_call_that_is_being_finished_is_told_of_all_the_same() -> None:
    store = MemoryStore()

    async def slow(_call_id: str, *, owner: str) -> None:
        await asyncio.sleep(5)

    store.finish = slow  # type: ignore[method-assign, assignment]
    async with phone() as line:
        line.host = CallHost(line.on_call, client=line.client, store=store)
        ringing = await line.ring(HELLO, CallerHangsUp(), talk=greet)
        await until(lambda: ringing.state == "ended")
        await asyncio.sleep(1)
        await line.host.drain(1)
        async with asyncio.timeout(60):
            assert (await line.host.ended(ringing.call_id)).reason is EndReason.CALLER
        assert line.host.live == 0
        await asyncio.sleep(10)


@virtual
async def test_law_never_an_agent_with_a_dead_line__a_handler_that_is_canceled_again_and_again_has_hung_up() -> None:
    handlers: list[asyncio.Task[Any]] = []

    async def talk(_call: Call) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.append(task)
        await asyncio.sleep(10_000)

    async with phone(strict=False) as line:
        ringing = await line.ring(HELLO, talk=talk)
        await ringing.until_attached()
        await asyncio.sleep(1)
        line.openai.fail("hangup", status=500, times=20)
        for _ in range(3):
            handlers[0].cancel()
            await asyncio.sleep(0.1)
        ended = await line.host.ended(ringing.call_id)
        assert ended.reason is EndReason.HANDLER_FAILED
        assert ringing.state == "ended"
        await line.idle()


@virtual
async def test_law_decide__a_reject_that_breaks_in_an_unknown_way_leaves_nothing_behind() -> None:
    async def breaks(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("an HTTP client of the program's own")

    async def on_call(_incoming: IncomingCall) -> None:
        line.client.calls.reject = breaks  # type: ignore[method-assign]

    async with phone() as line:
        line.host = CallHost(on_call, client=line.client)
        ringing = await line.openai.ring(line.host)
        await asyncio.sleep(1)
        async with asyncio.timeout(60):
            assert (await line.host.ended(ringing.call_id)).reason is EndReason.REJECTED
        assert line.host.live == 0
        ringing.hang_up()


@virtual
async def test_turn_detection_that_the_program_sets_during_an_undisturbed_greeting_stays() -> None:
    semantic = {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.update(semantic)
        await call.wait_ended()

    async with phone() as line:
        _, ringing = await line.played(HELLO, CallerHangsUp(after=20.0), talk=talk, greet_undisturbed=True)
    assert ringing.session is not None
    assert ringing.session["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"


@virtual
async def test_speech_that_is_asked_for_as_the_call_ends_is_over() -> None:
    """Digits are awaited behind a transfer, and the call ends with it."""

    async def talk(call: Call) -> None:
        await call.respond("Greet the caller.")
        call.transfer("billing")
        with pytest.raises(CallEndedError):
            await call.collect_digits("Ask for the number.")
        assert not call._runtime._waiting

    async with phone(timings=PATIENT) as line:
        ended, _ = await line.played(HELLO, talk=talk, transfers=DESKS)
    assert ended.reason is EndReason.TRANSFERRED


@virtual
async def test_what_waits_for_the_end_of_a_hold_is_not_waited_for() -> None:
    """Hanging up and transferring would wait 30 seconds for it."""

    async def talk(call: Call) -> None:
        collecting = asyncio.ensure_future(call.collect_digits(timeout=60.0))
        await asyncio.sleep(1)
        call.respond("Say something later.")
        await call.hangup(after_speech=True)
        with pytest.raises(CallEndedError):
            await collecting

    async with phone(strict=False, timings=PATIENT) as line:
        ended, _ = await line.played(HELLO, talk=talk, limits=CallLimits(first_sound=None))
    assert ended.reason is EndReason.AGENT
    assert ended.ended_at - (ended.attached_at or 0) < 10
