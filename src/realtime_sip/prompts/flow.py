"""The states of a conversation: what each is for, how to respond in it, and when it is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.section import BaseSection, Group, Line, Wording, ended, one_line, sample_phrases

__all__ = ["Exit", "Flow", "State"]


@dataclass(frozen=True, slots=True)
class Exit:
    """A way out of a state.

    Args:
        when: What has to be so, as what follows "when": "the caller has said why they call".
        to: The name of the next state; None if the conversation is over then.
    """

    when: str
    to: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class State:
    """A state of the conversation.

    Args:
        name: Its name, which exits of other states use.
        goal: What it is for.
        respond: How to respond in it.
        samples: Sample phrases.
        exits: The ways out.
        tools: The names of the tools that it uses.

    Raises:
        ConfigurationError: The name is empty.
    """

    name: str
    goal: str
    respond: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    exits: tuple[Exit, ...] = ()
    tools: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Turn lists into tuples, and refuse a text in the place of several."""
        if not one_line(self.name):
            raise ConfigurationError("a state needs a name")
        for name in ("respond", "samples", "exits", "tools"):
            value = getattr(self, name)
            if isinstance(value, (str, Exit)):
                raise ConfigurationError(f"State: {name} takes several values: (…,)")
            object.__setattr__(self, name, tuple(value))

    def __repr__(self) -> str:
        return f"<State: {self.name}>"


@dataclass(frozen=True, init=False, repr=False)
class Flow(BaseSection):
    """The states of a conversation. The first is where it begins; one alone is the state that the model is in.

    >>> from realtime_sip.prompts import Instructions
    >>> greeting = State("Greeting", "Learn why they call.", exits=(Exit("they have said it", to="Answer"),))
    >>> print(Instructions(Flow(greeting, State("Answer", "Answer it.", exits=(Exit("they know"),)))))
    # Conversation Flow
    - The states are: Greeting → Answer.
    - Leave a state only when its exit says so.
    <BLANKLINE>
    ## Greeting
    - Goal: Learn why they call.
    - Go to Answer when they have said it.
    <BLANKLINE>
    ## Answer
    - Goal: Answer it.
    - The conversation is over when they know.

    Args:
        states: The states.
        also: More lines.
    """

    titles = ("Conversation Flow", "Fluxo da conversa")
    states: tuple[State, ...]
    also: tuple[str, ...]

    def __init__(self, *states: State, also: tuple[str, ...] = ()) -> None:
        self._set(states=states, also=also)

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if len(self.states) > 1:
            names = " → ".join(state.name for state in self.states)
            yield say(f"The states are: {names}.", f"As etapas são: {names}.")
            yield say(
                "Leave a state only when its exit says so.",
                "Só saia de uma etapa quando a condição de saída for atendida.",
            )
        yield from self.also
        for state in self.states:
            yield Group(state.name, tuple(_of(state, say)), is_heading=True)


def _of(state: State, say: Wording) -> Iterator[Line]:
    yield say(f"Goal: {state.goal}", f"Objetivo: {state.goal}")
    yield Group(say("How to respond:", "Como responder:"), state.respond)
    yield sample_phrases(say, state.samples)
    if state.tools:
        names = ", ".join(f"`{name}`" for name in state.tools)
        yield say(f"Tools: {names}.", f"Ferramentas: {names}.")
    for each in state.exits:
        if each.to is None:
            yield ended(say(f"The conversation is over when {each.when}", f"A conversa termina quando {each.when}"))
        else:
            yield ended(say(f"Go to {each.to} when {each.when}", f"Passe para {each.to} quando {each.when}"))
