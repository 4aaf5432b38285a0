"""Changing the session of a call, over real sockets against the emulator, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import SESSION, greet, outputs, phone, said, types, virtual
from realtime_sip import (
    Call,
    CallLimits,
    EndReason,
    RealtimeSession,
    Tools,
    TransferTargets,
    events,
    transfer_to_human,
)
from realtime_sip.errors import (
    CallEndedError,
    ConfigurationError,
    DeadlineError,
    EventRefusedError,
    InvalidRequestError,
)
from realtime_sip.prompts import Instructions, Preambles, ReasoningRules, Role, Rules
from realtime_sip.session import AudioFormatWarning, StoredPromptWarning
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EventLost,
    ModelCalls,
    ModelSays,
    RingingCall,
    SocketDropped,
    UpdateRefused,
)

HELLO = ModelSays("Good morning.")
WITH_FORMAT = {"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcma"}}}}
ASK = CallerSays("Where is my order?")
BYE = CallerHangsUp()


def updates(ringing: RingingCall) -> list[dict[str, Any]]:
    """Return the updates that changed something."""
    sessions = [e["session"] for e in ringing.client_events if e["type"] == "session.update"]
    return [session for session in sessions if len(session) > 1]


@virtual
async def test_a_voice_of_the_accounts_own_goes_wherever_a_voice_goes() -> None:
    own, other = {"id": "voice_1"}, {"id": "voice_2"}
    seen: list[object] = []

    async def talk(call: Call) -> None:
        (ringing,) = line.ringings
        await call.update({"audio": {"output": {"voice": other}}})
        seen.append(ringing.session and ringing.session["audio"]["output"]["voice"])
        await call.respond("Greet.", config={"audio": {"output": {"voice": own}}})
        await call.send({"type": "response.create", "response": {"audio": {"output": {"voice": "ash"}}}})
        await call.wait_ended()

    async with phone() as line:
        session = {**SESSION, "audio": {"output": {"voice": own}}}
        _, ringing = await line.played(HELLO, HELLO, CallerHangsUp(after=5.0), talk=talk, session=session)
    assert ringing.accepted_session is not None
    assert ringing.accepted_session["audio"]["output"]["voice"] == own
    assert seen == [other]
    asked = [frame["response"] for frame in ringing.client_events if frame["type"] == "response.create"]
    assert [response["audio"]["output"]["voice"] for response in asked] == [own, "ash"]


@virtual
async def test_an_update_returns_when_the_service_has_taken_it() -> None:
    taken: list[bool] = []

    async def talk(call: Call) -> None:
        (ringing,) = line.ringings
        await call.update(instructions="Be brief.")
        taken.append(ringing.session is not None and ringing.session["instructions"] == "Be brief.")
        await call.update({"max_output_tokens": 100})
        taken.append(ringing.session is not None and ringing.session["max_output_tokens"] == 100)

    async with phone() as line:
        ended, ringing = await line.played(talk=talk)
    assert taken == [True, True]
    assert ended.reason is EndReason.AGENT
    assert updates(ringing) == [
        {"type": "realtime", "instructions": "Be brief."},
        {"type": "realtime", "max_output_tokens": 100},
    ]


@virtual
async def test_a_greeting_after_an_update_has_the_new_instructions() -> None:
    async def talk(call: Call) -> None:
        await call.update(instructions="Speak like a pirate.")
        call.respond("Greet the caller.")

    async with phone() as line:
        _, ringing = await line.played(HELLO, talk=talk)
    (response,) = [e["response"] for e in ringing.client_events if e["type"] == "response.create"]
    assert response["instructions"] == "Speak like a pirate.\n\nGreet the caller."


@virtual
async def test_an_update_that_the_service_refuses_raises_and_changes_nothing() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(EventRefusedError) as refused:
            await call.update(instructions="Be brief.")
        assert refused.value.code == "invalid_value"
        assert refused.value.param == "session.instructions"
        await call.update(instructions="Be kind.")

    async with phone() as line:
        ended, ringing = await line.played(talk=talk, faults=[UpdateRefused(param="session.instructions")])
    assert ended.reason is EndReason.AGENT
    assert ringing.session is not None
    assert ringing.session["instructions"] == "Be kind."


@virtual
async def test_updates_at_the_same_time_each_get_their_own_answer() -> None:
    async def talk(call: Call) -> None:
        results = await asyncio.gather(
            call.update(instructions="One."),
            call.update({"max_output_tokens": 7}),
            call.update(instructions="Three."),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), EventRefusedError, type(None)]

    async with phone() as line:
        _, ringing = await line.played(talk=talk, faults=[UpdateRefused(occurrence=2)])
    assert ringing.session is not None
    assert ringing.session["instructions"] == "Three."


@virtual
async def test_an_update_survives_a_lost_socket_and_a_lost_answer() -> None:
    for fault in (
        SocketDropped(when="session.update", occurrence=2, code=1006),
        EventLost("session.updated", occurrence=1),
    ):

        async def talk(call: Call) -> None:
            await call.update(instructions="Be brief.")
            await call.hangup()

        async with phone() as line:
            ended, ringing = await line.played(talk=talk, faults=[fault])
        assert ended.reason is EndReason.AGENT, fault
        assert ringing.session is not None
        assert ringing.session["instructions"] == "Be brief.", fault


@virtual
async def test_an_update_that_is_never_answered_has_a_deadline() -> None:
    async def talk(call: Call) -> None:
        with pytest.raises(DeadlineError) as late:
            await call.update(instructions="Be brief.")
        assert late.value.sent

    async with phone() as line:
        ended, _ = await line.played(talk=talk, faults=[EventLost("session.updated", occurrence=2, times=1000)])
    assert ended.reason is EndReason.AGENT


@virtual
async def test_an_update_ends_with_the_call() -> None:
    async def talk(call: Call) -> None:
        hanging = asyncio.ensure_future(call.hangup())
        with pytest.raises(CallEndedError):
            await call.update(instructions="Be brief.")
        await hanging
        with pytest.raises(CallEndedError):
            await call.update(instructions="Be brief.")

    async with phone() as line:
        await line.played(talk=talk, faults=[EventLost("session.update", occurrence=2)])


@virtual
async def test_law_locked_fields_are_refused_before_they_are_sent() -> None:
    async def talk(call: Call) -> None:
        for session, why in (
            ({"model": "gpt-realtime-2"}, "model: is fixed"),
            ({"voice": "marin"}, "audio.output.voice"),
        ):
            with pytest.raises(InvalidRequestError, match=why):
                await call.update(session)
        await call.update({"audio": {"output": {"voice": "marin"}}})
        await call.update({"model": SESSION["model"]})  # no change
        with pytest.warns(AudioFormatWarning, match=r"audio\.input\.format is set.*silence") as caught:
            await call.update({"audio": {"input": {"format": {"type": "audio/pcmu"}}}})
        with pytest.warns(AudioFormatWarning, match=r"audio\.output\.format"):
            await call.send({"type": "session.update", "session": WITH_FORMAT})
        assert [each.filename for each in caught] == [__file__]
        await call.respond("Greet the caller.")
        with pytest.raises(InvalidRequestError, match="locked once the model has been heard"):
            await call.update({"audio": {"output": {"voice": "cedar"}}})
        with pytest.raises(InvalidRequestError, match="set twice"):
            await call.update({"instructions": "One."}, instructions="Two.")
        with pytest.raises(InvalidRequestError, match="ISO 639-1"):
            await call.update(language="Portuguese")

    async with phone() as line:
        _, ringing = await line.played(HELLO, talk=talk)
    assert updates(ringing) == [
        {"type": "realtime", "audio": {"output": {"voice": "marin"}}},
        {"type": "realtime", "model": SESSION["model"]},
        {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcmu"}}}},
        WITH_FORMAT,
    ]


@virtual
async def test_tools_are_exchanged_for_others() -> None:
    first, second = Tools(), Tools()

    @first.function
    async def order_status() -> str:
        """Tell where the order is."""
        return "on its way"

    @second.function
    async def refund() -> str:
        """Refund the order."""
        return "refunded"

    second.function(transfer_to_human)

    async def talk(call: Call) -> None:
        await call.update(tools=second)
        call.respond("Greet the caller.")
        await call.wait_ended()

    mcp = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}
    scenario = (HELLO, ASK, ModelCalls("refund"), ModelSays("Done."), BYE)
    async with phone() as line:
        _, ringing = await line.played(
            *scenario,
            talk=talk,
            tools=first,
            session={**SESSION, "tools": [mcp]},
            transfers=TransferTargets({"billing": "tel:+14155550123"}),
        )
    assert outputs(ringing) == ["refunded"]
    (update,) = updates(ringing)
    assert [tool.get("name", tool["type"]) for tool in update["tools"]] == ["mcp", "refund", "transfer_to_human"]
    assert update["tools"][2]["parameters"]["properties"]["target"]["enum"] == ["billing"]


@virtual
async def test_tools_whose_update_is_refused_are_not_there() -> None:
    first, second = Tools(), Tools()

    @first.function
    async def order_status() -> str:
        """Tell where the order is."""
        return "on its way"

    @second.function(name="order_status")
    async def other() -> str:
        """Tell where the order of this caller is."""
        return "the other"

    async def talk(call: Call) -> None:
        with pytest.raises(EventRefusedError):
            await call.update(tools=second)
        await greet(call)

    async with phone() as line:
        scenario = (HELLO, ASK, ModelCalls("order_status"), ModelSays("Soon."), BYE)
        _, ringing = await line.played(*scenario, talk=talk, tools=first, faults=[UpdateRefused()])
    assert outputs(ringing) == ["on its way"]


@virtual
async def test_a_language_is_that_of_speech_and_of_transcription() -> None:
    session = {**SESSION, "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper", "language": "en"}}}}

    async def talk(call: Call) -> None:
        await call.update(language="pt")
        await call.update(language="es")

    async with phone() as line:
        _, ringing = await line.played(talk=talk, session=session)
    assert ringing.session is not None
    transcription = ringing.session["audio"]["input"]["transcription"]
    assert (transcription["model"], transcription["language"]) == ("gpt-realtime-whisper", "es")
    instructions = ringing.session["instructions"]
    assert instructions.startswith(SESSION["instructions"])
    assert instructions.count("# Language") == 1
    assert '"es"' in instructions
    assert '"pt"' not in instructions


@virtual
async def test_a_language_without_transcription_turns_none_on() -> None:
    async def talk(call: Call) -> None:
        await call.update(RealtimeSession(max_output_tokens=50), language="pt")

    async with phone() as line:
        _, ringing = await line.played(talk=talk)
    (update,) = updates(ringing)
    assert "audio" not in update
    assert update["max_output_tokens"] == 50


@virtual
async def test_structured_instructions_are_rendered_for_the_model_of_the_call() -> None:
    prompt = Instructions(Role("You answer for a bakery."), ReasoningRules(), Preambles())
    model = "gpt-realtime-1.5"

    async def talk(call: Call) -> None:
        await call.respond("Greet.")
        await call.update(instructions=prompt | Rules("Be brief."))
        await call.update(RealtimeSession(instructions=prompt), language="pt")

    async with phone() as line:
        _, ringing = await line.played(HELLO, talk=talk, session=RealtimeSession(model=model, instructions=prompt))
    assert ringing.accepted_session is not None
    assert ringing.accepted_session["instructions"] == prompt.render(model)
    assert prompt.render(model) != prompt.render()
    (asked,) = [event["response"] for event in ringing.client_events if event["type"] == "response.create"]
    assert asked["instructions"].startswith(prompt.render(model))
    first, second = updates(ringing)
    assert first["instructions"] == (prompt | Rules("Be brief.")).render(model)
    assert second["instructions"].startswith(prompt.render(model))
    assert '"pt"' in second["instructions"]


@virtual
async def test_a_stored_prompt_is_exchanged() -> None:
    async def talk(call: Call) -> None:
        with pytest.warns(StoredPromptWarning, match="2026-11-30"):
            await call.update(prompt={"id": "pmpt_1", "version": "7", "variables": {"shop": "bakery"}})

    async with phone() as line:
        _, ringing = await line.played(talk=talk)
    (update,) = updates(ringing)
    assert update["prompt"] == {"id": "pmpt_1", "version": "7", "variables": {"shop": "bakery"}}
    assert "session.updated" in types(ringing.server_events)


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


@pytest.mark.filterwarnings("ignore::realtime_sip.session.StoredPromptWarning")
@virtual
async def test_a_language_beside_a_stored_prompt_does_not_override_it() -> None:
    session = {"model": SESSION["model"], "prompt": {"id": "pmpt_1"}}

    async def talk(call: Call) -> None:
        with pytest.raises(InvalidRequestError, match="prompt"):
            await call.update(language="pt")

    async with phone() as line:
        ended, _ = await line.played(talk=talk, session=session)
    assert ended.reason is EndReason.AGENT  # else the handler has failed
