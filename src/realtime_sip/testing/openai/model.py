"""What the emulated model does next: what the scenario says, as far as the choice of tools lets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from realtime_sip.testing.openai.conversation import EmulatedConversation
from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.openai.record import LineRecord
from realtime_sip.testing.openai.session import EmulatedSession
from realtime_sip.testing.scenario import ModelCalls, ModelCallsMcp, ModelFails, ModelSays, ModelStep, Scenario

__all__ = ["PLACEHOLDER", "Model"]

PLACEHOLDER = "This response is not in the script."
"""What the model says if the scenario has nothing for it."""


class Model:
    """Takes the scenario's steps, and obeys `tool_choice`: that of the response, else that of the session.

    With "required", or a function by name, every response calls a tool and says nothing: the next of the scenario's
    calls, or, while what comes next is speech, the first function of the session (or the one that is named), with the
    arguments of its last call; the speech stays for a response that may speak. With "none" nothing is called: calls of
    the scenario are left out. Whether the service forces its own responses, those of turn detection, is documented
    nowhere; the session's choice holds for them here.
    """

    def __init__(
        self, record: LineRecord, session: EmulatedSession, conversation: EmulatedConversation, scenario: Scenario
    ) -> None:
        self._record = record
        self._session = session
        self._conversation = conversation
        self._scenario = scenario
        self._arguments: dict[str, str] = {}

    def next(self, parameters: Frame, *, out_of_band: bool) -> list[ModelStep]:
        """Return the steps that a response with these parameters plays."""
        choice = parameters.get("tool_choice") or self._session.tool_choice
        steps = self._obeying(choice, parameters, out_of_band=out_of_band)
        for step in steps:
            if isinstance(step, ModelCalls):
                self._arguments[step.name] = step.as_json()
        return steps

    def _obeying(self, choice: object, parameters: Frame, *, out_of_band: bool) -> list[ModelStep]:
        forced = self._forced(choice, parameters)
        steps = self._upcoming(choice, parameters, out_of_band=out_of_band)
        if forced is not None:
            return self._calls_only(forced, choice != "required", steps, out_of_band=out_of_band)
        if choice == "none":
            steps = self._without_calls(steps, parameters, out_of_band=out_of_band)
        if not steps:
            self._record.unscripted("a response was created for which the scenario has no step")
            return [ModelSays(PLACEHOLDER)]
        if not _loops(steps[0]):
            self._scenario.take(steps, out_of_band=out_of_band)
        return [step for step in steps if choice != "none" or not isinstance(step, ModelCalls | ModelCallsMcp)]

    def _without_calls(self, steps: list[ModelStep], parameters: Frame, *, out_of_band: bool) -> list[ModelStep]:
        """Leave out what the model is not free to do: pass over steps that only call."""
        if any(isinstance(step, ModelCalls | ModelCallsMcp) for step in steps):
            self._record.unscripted("a call of the scenario was left out: tool_choice is none")
        while steps and all(isinstance(step, ModelCalls | ModelCallsMcp) for step in steps):
            self._scenario.take(steps, out_of_band=out_of_band)
            steps = self._upcoming("none", parameters, out_of_band=out_of_band)
        return steps

    def _upcoming(self, choice: object, parameters: Frame, *, out_of_band: bool) -> list[ModelStep]:
        """Return what comes next, if a loop that ends now is behind us."""
        steps = self._scenario.upcoming(out_of_band=out_of_band)
        while steps and _loops(steps[0]) and self._ends(steps[0], choice, parameters):
            self._scenario.take(steps, out_of_band=out_of_band)
            steps = self._scenario.upcoming(out_of_band=out_of_band)
        return steps

    def _ends(self, step: ModelStep, choice: object, parameters: Frame) -> bool:
        assert isinstance(step, ModelCalls)
        if choice == "none":
            return True
        told = [parameters.get("instructions"), self._session.instructions, *self._conversation.system_messages]
        return bool(step.until) and any(step.until in str(words) for words in told)

    def _calls_only(self, name: str, named: bool, steps: list[ModelStep], *, out_of_band: bool) -> list[ModelStep]:
        calls: list[ModelStep] = []
        for step in steps:
            if isinstance(step, ModelFails):
                calls.append(replace(step, text=""))
            elif isinstance(step, ModelCalls) or (isinstance(step, ModelCallsMcp) and not named):
                calls.append(step)
        if not calls or (named and any(isinstance(step, ModelCalls) and step.name != name for step in calls)):
            self._record.unscripted("the model had to call a function that the scenario does not call")
            return [ModelCalls(name, self._arguments.get(name, "{}"))]
        if not _loops(steps[0]):
            self._scenario.take(steps, out_of_band=out_of_band)
        return calls

    def _forced(self, choice: object, parameters: Frame) -> str | None:
        """Return the function that a response calls if it has to call one, and the scenario calls none."""
        tools = parameters.get("tools")
        given = self._session.tools if tools is None else tools
        names = [str(tool["name"]) for tool in given if isinstance(tool, Mapping) and tool.get("type") == "function"]
        if isinstance(choice, Mapping) and choice.get("type") == "function":
            return str(choice.get("name"))
        return names[0] if choice == "required" and names else None


def _loops(step: ModelStep) -> bool:
    return isinstance(step, ModelCalls) and step.again
