"""A conversation in stages: the model has the prompt and the tools of one state at a time, and the program moves it."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from realtime_sip.call.call import Call
from realtime_sip.call.machine import inputs
from realtime_sip.call.speech import Speech
from realtime_sip.call.tool_runner import in_tool, waiting_for_caller
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.prompts.flow import Flow, State
from realtime_sip.prompts.instructions import Instructions
from realtime_sip.tools.registry import Tools

__all__ = ["Stages"]


@dataclass(slots=True)
class _Place:
    """Where a call is. One move at a time.

    Attributes:
        known: Whether the model is in `state` for sure: a move that failed may have been made all the same.
        resumed: Whether a worker before had moved it there, and nothing has moved it here.
    """

    state: str | None = None
    known: bool = True
    resumed: bool = False
    moving: asyncio.Lock = field(default_factory=asyncio.Lock)


class Stages:
    """The states of a conversation, of which the model knows one at a time. It can serve many calls at once.

    In a state the model's instructions are those of the whole call and that state alone, and its tools are those that
    the state names, and those that no state names. The program decides when to move, usually in a tool.

        stages = Stages(flow, instructions=shop, tools=tools)

        @tools.function
        async def order_is_known(call: Call, order_id: str) -> str:
            await stages.enter(call, "Confirm")
            return "Read the order back."

        async with client.calls.answer(incoming, session, tools=tools) as call:
            await stages.enter(call)

    A move changes the beginning of what the model reads, so that the rest is no longer cached: the next response reads
    the whole conversation at full price. To add a fact or an order, send a system message instead.

    Args:
        flow: The states; the first is where a call begins.
        instructions: What holds in all of them, without a `Flow`.
        tools: All tools. A state has those whose names it gives, and those that no state names. Add to it before the
            calls begin.

    Raises:
        ConfigurationError: There is no state, two have one name, an exit leads to none, or the instructions have a flow
            of their own.
    """

    def __init__(self, flow: Flow, *, instructions: Instructions | None = None, tools: Tools | None = None) -> None:
        self._base = Instructions() if instructions is None else instructions
        self._states = {state.name: state for state in flow.states}
        self._also = flow.also
        self._all_tools = Tools() if tools is None else tools
        self._check(flow)
        self._places: WeakKeyDictionary[Call, _Place] = WeakKeyDictionary()

    def _check(self, flow: Flow) -> None:
        if not flow.states or len(self._states) < len(flow.states):
            raise ConfigurationError("Stages needs states, each with a name of its own")
        if self._base.find(Flow) is not None:
            raise ConfigurationError("the instructions have a Flow: the model would know all states; pass it by itself")
        for state in flow.states:
            for way in state.exits:
                if way.to is not None and way.to not in self._states:
                    raise ConfigurationError(f"the state {state.name} has an exit to {way.to}, which is no state")

    def prompt(self, name: str) -> Instructions:
        """Return the instructions in a state.

        Raises:
            InvalidRequestError: There is no such state.
        """
        return self._base | Flow(self._state(name), also=self._also)

    def tools(self, name: str) -> Tools:
        """Return the tools in a state.

        Raises:
            InvalidRequestError: There is no such state.
            ConfigurationError: A state, this one or another, names a tool that is not there.
        """
        state = self._state(name)
        named = {tool for each in self._states.values() for tool in each.tools}
        # Of all states: what is misspelled shows when a call begins, and not in the middle of one.
        self._all_tools.only(named)
        everywhere = {tool.name for tool in self._all_tools} - named
        return self._all_tools.only(everywhere | {*state.tools})

    def current(self, call: Call) -> str | None:
        """Return the name of the state that a call is in; None before the first `enter`.

        A call that was taken over is in the state in which the worker before had it.
        """
        return self._place(call).state

    def _place(self, call: Call) -> _Place:
        place = self._places.get(call)
        if place is None:
            before = None if call.adopted is None else call.adopted.state
            resumed = before in self._states
            place = self._places[call] = _Place(before if resumed else None, resumed=resumed)
        return place

    async def enter(
        self, call: Call, name: str | None = None, *, instructions: str | None = None, respond: bool | None = None
    ) -> Speech | None:
        """Move a call to a state, and let the model speak.

        It waits until what is being said was heard, changes the session, and waits until the service has; only then is
        a response asked for, which the old instructions would shape otherwise. What the caller says meanwhile may be
        answered in the old state. In a tool, waiting does not count toward the tool's timeout.

        Args:
            call: The call.
            name: The state. If left out it is the first; or that of a call which was taken over: then nothing changes,
                and nothing is asked for unless `respond` is True.
            instructions: For what the model says first in the state, beside the state's own.
            respond: Ask for a response. If left out, it is asked for except in a tool: there the model answers the
                tool's output, in the new state.

        Returns:
            What the model says first; await it to wait until it was heard. None if nothing was asked for.

        Raises:
            InvalidRequestError: There is no such state, or the state that the call is in has no exit to it.
            ConfigurationError: A state names a tool that is not there.
            EventRefusedError: The service refused the change; the call stays in its state.
            DeadlineError: The service did not answer in time; which state the model is in is not known. `current` stays
                as it was, and the next `enter` changes the session even if it leads there.
            CallEndedError: The call has ended.
        """
        place = self._place(call)
        before = place.state if place.resumed else None
        stays = name is None and before is not None
        wanted = name if name is not None else before or next(iter(self._states))
        prompt, tools = self.prompt(wanted), self.tools(wanted)
        with waiting_for_caller():
            async with place.moving:
                if place.state is not None and wanted != place.state:
                    self._check_exit(place.state, wanted)
                if not stays:
                    await _quiet(call)
                if wanted != place.state or not place.known:
                    place.known = False
                    await call.update(instructions=prompt, tools=tools)
                    place.state, place.known = wanted, True
                place.resumed = False
                _note(call, wanted)
        asked = not (stays or in_tool()) if respond is None else respond
        return call.respond(instructions) if asked else None

    def _check_exit(self, left: str, wanted: str) -> None:
        exits = self._states[left].exits
        if exits and wanted not in {way.to for way in exits}:
            raise InvalidRequestError("stage", (("", f"the state {left} has no exit to {wanted}"),))

    def _state(self, name: str) -> State:
        state = self._states.get(name)
        if state is None:
            raise InvalidRequestError(
                "stage", (("", f"there is no state {name}; there are {', '.join(self._states)}"),)
            )
        return state

    def __repr__(self) -> str:
        return f"Stages({', '.join(self._states)})"


def _note(call: Call, state: str) -> None:
    """Let a worker that takes the call over know its state."""
    decision = call._runtime.decision
    if decision is not None:
        decision.state = state
        if decision.changed is not None:
            decision.changed()


async def _quiet(call: Call) -> None:
    """Wait until what is being said was heard, or was cut off."""
    runtime = call._runtime
    runtime.check_live()
    key = f"quiet_{secrets.token_hex(8)}"
    over = runtime.waiting.expect(key)
    runtime.step(inputs.AwaitQuiet(key))
    await runtime.wait_for(key, over)
