"""How the model uses its tools: the policy of each, what it says before, and when it thinks first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.family import ModelFamily
from realtime_sip.prompts.section import BaseSection, Group, Line, Wording, ended, one_line, quoted, sample_phrases

__all__ = ["Policy", "Preambles", "ReasoningRules", "ToolRule", "ToolRules"]

Policy = Literal["read", "write", "exact_id"]


@dataclass(frozen=True, slots=True, repr=False)
class ToolRule:
    """When the model calls one tool, and how.

    Args:
        name: The name of the tool in the session.
        policy: "read" is called as soon as the request is clear. "write" changes something, so that the caller agrees
            first. "exact_id" looks something up by a number or a name that the caller confirms first. None is no
            policy, such as for a tool that ends the call.
        use: When to call it, as what follows "when": "the caller asks for an order".
        avoid: When not to, likewise.
        preamble: A sample of what to say right before it.
        confirm: Whether a tool that writes waits for the caller's yes. False is for what harms nobody.

    Raises:
        ConfigurationError: There is no such policy, or the name is empty.
    """

    name: str
    policy: Policy | None = None
    use: str | None = None
    avoid: str | None = None
    preamble: str | None = None
    confirm: bool = True

    def __post_init__(self) -> None:
        """Refuse a policy that is not known."""
        if self.policy is not None and self.policy not in get_args(Policy):
            raise ConfigurationError(f"policy must be one of: {', '.join(get_args(Policy))}")
        if not one_line(self.name):
            raise ConfigurationError("a rule for a tool needs its name")

    def __repr__(self) -> str:
        return f"<ToolRule: {self.name}>"


@dataclass(frozen=True, init=False, repr=False)
class ToolRules(BaseSection):
    """The tools of a session, by what they may do.

    >>> from realtime_sip.prompts import Instructions
    >>> print(Instructions(ToolRules(ToolRule("cancel_order", "write", use="the caller no longer wants it"))))
    # Tools
    - Call only tools that you have. If one is missing for what the caller wants, say what you can do in its place.
    - Say that something is done only after its tool has said so.
    - If a tool fails, do not call it again with the same arguments. Offer one more try, then another way.
    - `cancel_order` changes something: say what you are about to do and what it means, and call only after a clear yes.
    <BLANKLINE>
    ## `cancel_order`
    - Use it when the caller no longer wants it.

    Args:
        tools: A rule for each tool.
        also: More lines.
    """

    titles = ("Tools", "Ferramentas")
    tools: tuple[ToolRule, ...]
    also: tuple[str, ...]

    def __init__(self, *tools: ToolRule, also: tuple[str, ...] = ()) -> None:
        self._set(tools=tools, also=also)

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield say(
            "Call only tools that you have. If one is missing for what the caller wants, say what you can do in its "
            "place.",
            "Chame somente as ferramentas que você tem. Se faltar uma para o que a pessoa quer, diga o que você pode "
            "fazer em vez disso.",
        )
        yield say(
            "Say that something is done only after its tool has said so.",
            "Só diga que algo foi feito depois que a ferramenta confirmar.",
        )
        yield say(
            "If a tool fails, do not call it again with the same arguments. Offer one more try, then another way.",
            "Se uma ferramenta falhar, não a chame de novo com os mesmos argumentos. Ofereça mais uma tentativa e, "
            "depois, outro caminho.",
        )
        yield from self._policies(say)
        yield from self.also
        for tool in self.tools:
            yield Group(f"`{tool.name}`", tuple(_of(tool, say)), is_heading=True)

    def _policies(self, say: Wording) -> Iterator[Line]:
        if names := self._names("read"):
            yield say(
                f"{names}: call as soon as it is clear what the caller wants; do not ask for permission.",
                f"{names}: chame assim que estiver claro o que a pessoa quer; não peça permissão.",
            )
        if names := self._names("exact_id"):
            yield say(
                f"{names}: have the number or name confirmed before you call.",
                f"{names}: antes de chamar, confirme com a pessoa o número ou o nome.",
            )
        if names := self._names("write"):
            many = names.count("`") > 2
            yield say(
                f"{names} change{'' if many else 's'} something: say what you are about to do and what it means, and "
                "call only after a clear yes.",
                f"{names}: {'alteram' if many else 'altera'} dados; diga o que vai fazer e o que isso muda, e só "
                "chame depois de um sim claro.",
            )

    def _names(self, policy: Policy) -> str:
        chosen = [tool for tool in self.tools if tool.policy == policy and (tool.confirm or policy != "write")]
        return ", ".join(f"`{tool.name}`" for tool in chosen)


def _of(tool: ToolRule, say: Wording) -> Iterator[Line]:
    if tool.use:
        yield ended(say(f"Use it when {tool.use}", f"Use quando {tool.use}"))
    if tool.avoid:
        yield ended(say(f"Do not use it when {tool.avoid}", f"Não use quando {tool.avoid}"))
    if tool.preamble:
        yield say(
            f"Right before it, say something like {quoted(tool.preamble)}",
            f"Logo antes de chamar, diga algo como {quoted(tool.preamble)}",
        )


@dataclass(frozen=True, repr=False)
class Preambles(BaseSection):
    """What the model says while a tool works, so that the caller is not left in silence.

    gpt-realtime-2 and later say preambles by themselves, so that they are told when to say none.

    Args:
        samples: Sample phrases in place of the ready-made ones.
        also: More lines.
    """

    titles = ("Preambles", "Avisos antes de usar ferramentas")
    samples: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if say.family is ModelFamily.REALTIME_1:
            yield say(
                "Before each tool, tell the caller in one short sentence what you are doing. Then call it at once.",
                "Antes de cada ferramenta, diga em uma frase curta o que está fazendo. Em seguida, chame-a.",
            )
        else:
            yield say(
                "Before a tool that takes time, and before handing the caller over, name in one short sentence what "
                "you are doing. Call the tool in the same turn.",
                "Antes de uma ferramenta demorada, e antes de transferir a ligação, diga em uma frase curta o que está "
                "fazendo. Chame a ferramenta logo em seguida, sem esperar resposta.",
            )
            yield say(
                "Say none for a direct answer, a confirmation, a correction, noise, or a quick tool.",
                "Não avise quando for resposta direta, confirmação, correção, ruído ou ferramenta rápida.",
            )
            yield say(
                "Sentences that only ask for patience say nothing: leave them out.",
                "Evite frases que só pedem para esperar: elas não dizem nada.",
            )
        yield from self.also
        yield sample_phrases(say, self.samples or say.phrase(_PREAMBLES_EN, _PREAMBLES_PT))


_PREAMBLES_EN = (
    "I'm looking that up in our system.",
    "I'll see what we have for that.",
    "I'm opening your file now.",
)
_PREAMBLES_PT = (
    "Vou consultar isso no sistema.",
    "Vou ver o que temos para você.",
    "Estou abrindo o seu cadastro.",
)


@dataclass(frozen=True, repr=False)
class ReasoningRules(BaseSection):
    """When the model thinks first. Models that do not reason are not told; `session.Reasoning` sets how much.

    Args:
        think: What to think about first, in addition to what is ready-made.
        also: More lines.
    """

    titles = ("Reasoning", "Raciocínio")
    think: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if say.family is ModelFamily.REALTIME_1:
            return
        yield say(
            "Answer without thinking first: direct questions, confirmations, and audio that is not clear.",
            "Sem raciocinar antes: perguntas diretas, confirmações e áudio incompreensível.",
        )
        yield Group(
            say("Think before:", "Raciocine antes de:"),
            (
                say("using several tools, one after the other", "usar várias ferramentas, uma depois da outra"),
                say("handing the caller over to a person", "transferir a ligação para uma pessoa"),
                *self.think,
            ),
        )
        yield from self.also
