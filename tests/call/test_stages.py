"""A conversation in stages, over real sockets against the emulator, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from phone import SESSION, phone, said, virtual
from realtime_sip import Call, Stages, Tools
from realtime_sip.errors import (
    CallEndedError,
    ConfigurationError,
    DeadlineError,
    EventRefusedError,
    InvalidRequestError,
)
from realtime_sip.prompts import Exit, Flow, Instructions, Role, State
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

SHOP = Instructions(Role("You answer the phone of a shop."))
ORDER = State(
    "Order", "Learn the number of the order.", exits=(Exit("It is known.", to="Confirm"),), tools=("order_is_known",)
)
CONFIRM = State("Confirm", "Read the order back.", exits=(Exit("They agree."),), tools=("confirm_order",))
FLOW = Flow(ORDER, CONFIRM)


def stages_of(tools: Tools | None = None) -> Stages:
    return Stages(FLOW, instructions=SHOP, tools=tools if tools is not None else all_tools())


def all_tools() -> Tools:
    def order_is_known() -> str:
        """The order is known."""
        return ""

    def confirm_order() -> str:
        """The order is right."""
        return ""

    def opening_hours() -> str:
        """Say when the shop is open."""
        return ""

    return Tools([order_is_known, confirm_order, opening_hours])


def moves(ringing: RingingCall) -> list[dict[str, Any]]:
    sent = [event["session"] for event in ringing.client_events if event["type"] == "session.update"]
    return [session for session in sent if "instructions" in session]


# --- the values -------------------------------------------------------------------------------------------------------


def test_a_state_has_its_own_prompt_and_tools_and_what_is_everywhere() -> None:
    stages = stages_of()
    prompt = str(stages.prompt("Order"))
    assert "You answer the phone of a shop." in prompt
    assert "Learn the number of the order." in prompt
    assert "It is known." in prompt
    assert "Read the order back" not in prompt
    assert "The states are" not in prompt
    assert [tool.name for tool in stages.tools("Order")] == ["order_is_known", "opening_hours"]
    assert [tool.name for tool in stages.tools("Confirm")] == ["confirm_order", "opening_hours"]
    assert repr(stages) == "Stages(Order, Confirm)"


@pytest.mark.parametrize(
    ("flow", "instructions", "why"),
    [
        (Flow(), None, "needs states"),
        (Flow(State("A", "x"), State("A", "y")), None, "a name of its own"),
        (Flow(State("A", "x", exits=(Exit("y", to="B"),))), None, "an exit to B"),
        (FLOW, SHOP | FLOW, "would know all states"),
    ],
)
def test_what_cannot_be_is_refused_before_a_phone_rings(flow: Flow, instructions: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Stages(flow, instructions=instructions)


def test_a_tool_that_is_not_there_shows_in_any_state() -> None:
    with pytest.raises(ConfigurationError, match="no tool with the name confirm_order"):
        stages_of(all_tools().only(["order_is_known"])).tools("Order")


# --- moving -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_move_waits_for_what_is_being_said_then_changes_then_asks() -> None:
    stages, seen = stages_of(), list[object]()

    async def talk(call: Call) -> None:
        assert stages.current(call) is None
        greeting = await stages.enter(call, instructions="Greet the caller.")
        seen.append(stages.current(call))
        assert greeting is not None
        second = await stages.enter(call, "Confirm")
        seen.append((greeting.over, stages.current(call)))
        assert second is not None
        await second
        await call.wait_ended()

    async with phone() as line:
        scenario = [ModelSays("Good morning. What is the number?"), ModelSays("1042, is that right?"), CallerHangsUp()]
        _, ringing = await line.played(*scenario, talk=talk, tools=all_tools())
    assert seen == ["Order", (True, "Confirm")]
    first, second = moves(ringing)
    assert first["instructions"] == str(stages.prompt("Order"))
    assert [tool["name"] for tool in second["tools"]] == ["confirm_order", "opening_hours"]
    kinds = [e["type"] for e in ringing.client_events if e["type"] == "response.create" or "instructions" in str(e)]
    assert kinds == ["session.update", "response.create", "session.update", "response.create"]
    asked = [e for e in ringing.client_events if e["type"] == "response.create"]
    assert asked[0]["response"]["instructions"] == f"{stages.prompt('Order')}\n\nGreet the caller."
    assert said(ringing) == ["Good morning. What is the number?", "1042, is that right?"]


@virtual
async def test_in_a_tool_the_model_answers_the_output_in_the_new_state() -> None:
    tools = Tools()
    stages = Stages(FLOW, instructions=SHOP, tools=tools)
    asked: list[object] = []

    @tools.function(timeout=1)
    async def order_is_known(call: Call) -> str:
        """The order is known."""
        asked.append(await stages.enter(call, "Confirm"))
        return "Read it back."

    @tools.function
    async def confirm_order() -> str:
        """The order is right."""
        return ""

    async def talk(call: Call) -> None:
        await stages.enter(call)
        await call.wait_ended()

    async with phone() as line:
        scenario = [
            ModelSays("Which order?"),
            CallerSays("1042."),
            ModelSays("One moment: these words take longer than the tool may, and are to be heard before it moves on."),
            ModelCalls("order_is_known", {}, same_response=True),
            ModelSays("1042, is that right?"),
            CallerHangsUp(),
        ]
        _, ringing = await line.played(*scenario, talk=talk, tools=tools)
    assert asked == [None]
    assert len(moves(ringing)) == 2
    kinds = [e["type"] for e in ringing.client_events]
    assert kinds.count("response.create") == 2  # the greeting, and the answer to the tool
    output = next(e["item"] for e in ringing.client_events if e["type"] == "conversation.item.create")
    assert output["output"] == "Read it back."


@virtual
async def test_only_exits_lead_on_and_staying_changes_nothing() -> None:
    stages = stages_of()

    async def talk(call: Call) -> None:
        await stages.enter(call, "Confirm", respond=False)
        with pytest.raises(InvalidRequestError, match="the state Confirm has no exit to Order"):
            await stages.enter(call, "Order")
        with pytest.raises(InvalidRequestError, match="there is no state Pay; there are Order, Confirm"):
            await stages.enter(call, "Pay")
        assert await stages.enter(call, "Confirm", respond=False) is None
        assert stages.current(call) == "Confirm"
        await call.hangup()

    async with phone() as line:
        _, ringing = await line.played(talk=talk, tools=all_tools())
    assert len(moves(ringing)) == 1


@virtual
async def test_a_move_that_is_refused_leaves_the_call_in_its_state() -> None:
    stages = stages_of()

    async def talk(call: Call) -> None:
        await stages.enter(call, respond=False)
        with pytest.raises(EventRefusedError):
            await stages.enter(call, "Confirm", respond=False)
        assert stages.current(call) == "Order"
        await stages.enter(call, "Confirm", respond=False)
        assert stages.current(call) == "Confirm"
        await call.hangup()

    async with phone() as line:
        await line.played(talk=talk, tools=all_tools(), faults=[UpdateRefused(occurrence=2)])


@virtual
async def test_two_moves_at_once_are_made_one_after_the_other() -> None:
    stages = Stages(Flow(State("A", "a"), State("B", "b"), State("C", "c")))

    async def talk(call: Call) -> None:
        await asyncio.gather(*(stages.enter(call, name, respond=False) for name in ("A", "B", "C")))
        assert stages.current(call) == "C"
        await call.hangup()

    async with phone() as line:
        _, ringing = await line.played(talk=talk)
    assert [session["instructions"][-1] for session in moves(ringing)] == ["a", "b", "c"]
    assert all(session["tools"] == [] for session in moves(ringing))


@virtual
async def test_the_end_of_the_call_ends_a_move() -> None:
    stages = stages_of()

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        moving = asyncio.create_task(stages.enter(call))
        await asyncio.sleep(1)
        await call.hangup()
        with pytest.raises(CallEndedError):
            await moving
        with pytest.raises(CallEndedError):
            await stages.enter(call)
        assert stages.current(call) is None

    async with phone() as line:
        await line.played(ModelSays("Good morning. " * 20), talk=talk, tools=all_tools())


@virtual
async def test_a_move_goes_through_a_socket_that_drops() -> None:
    stages = stages_of()

    async def talk(call: Call) -> None:
        speech = await stages.enter(call)
        assert speech is not None
        await stages.enter(call, "Confirm")
        await call.wait_ended()

    async with phone() as line:
        scenario = [ModelSays("Good morning."), ModelSays("Is that right?"), CallerHangsUp(after=5)]
        faults = [SocketDropped(when="output_audio_buffer.stopped", code=1006)]
        _, ringing = await line.played(*scenario, talk=talk, tools=all_tools(), faults=faults)
    assert stages.current(line.calls[0]) == "Confirm"
    assert said(ringing)[-1] == "Is that right?"


@virtual
async def test_given_up_it_waits_no_more() -> None:
    stages = stages_of()

    async def talk(call: Call) -> None:
        call.respond("Greet.")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stages.enter(call)
        assert [key for key in call._runtime.state.sequences if key.startswith("quiet")] == []
        assert stages.current(call) is None
        await call.hangup()

    async with phone(strict=False) as line:
        await line.played(ModelSays("Good morning. " * 20), talk=talk, tools=all_tools(), session=SESSION)


@virtual
async def test_after_a_move_whose_outcome_is_not_known_the_next_one_is_made_whatever_the_state() -> None:
    stages = Stages(Flow(State("A", "a"), State("B", "b")))

    async def talk(call: Call) -> None:
        await stages.enter(call, "A", respond=False)
        with pytest.raises(DeadlineError):
            await stages.enter(call, "B", respond=False)
        await stages.enter(call, "A", respond=False)
        assert stages.current(call) == "A"
        await call.hangup()

    async with phone() as line:
        lost = EventLost("session.updated", occurrence=3)
        _, ringing = await line.played(talk=talk, faults=[lost])
    assert [session["instructions"][-1] for session in moves(ringing)] == ["a", "b", "a"]
