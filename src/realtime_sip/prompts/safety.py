"""When the model hands the caller over to a person, and what it says then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.section import BaseSection, Group, Line, Wording, ended, quoted, sample_phrases

__all__ = ["SafetyAndEscalation"]


@dataclass(frozen=True, repr=False)
class SafetyAndEscalation(BaseSection):
    """When to escalate: danger, an explicit wish, anger, failed attempts, turns of which nothing came, and what is
    out of scope.

    `EscalationRules` of `answer` count the failures and the turns beside the model, and more reliably.

    Args:
        tool: The tool that hands the caller over, such as "transfer_to_human"; None if nobody can be fetched.
        instead: What to do if there is no tool, such as "Offer to take a message."
        tool_failures: Failed attempts of tools at one task; 2 if left out.
        missed_turns: Turns in a row with silence, or of which nothing fits; 3 if left out.
        out_of_scope: What the model does not handle, in place of news and of advice on law, medicine and money.
        danger: What to do first if somebody may come to harm, such as "tell them to call 911".
        samples: Sample phrases in place of the ready-made ones.
        also: More lines.

    Raises:
        ConfigurationError: There is neither a tool nor what to do instead, or a number is not 1 to 9.
    """

    titles = ("Safety and Escalation", "Segurança e transferência")
    tool: str | None = None
    instead: str | None = None
    tool_failures: int | None = None
    missed_turns: int | None = None
    out_of_scope: tuple[str, ...] = ()
    danger: str | None = None
    samples: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a promise that nobody keeps."""
        super().__post_init__()
        if not self.tool and not self.instead:
            raise ConfigurationError("name the tool that hands the caller over, or say what to do instead of it")
        for name in ("tool_failures", "missed_turns"):
            if getattr(self, name) is not None and getattr(self, name) not in range(1, 10):
                raise ConfigurationError(f"{name} must be 1 to 9")

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if self.danger:
            yield ended(say(f"If somebody may come to harm, {self.danger}", f"Se alguém correr perigo, {self.danger}"))
        if self.tool:
            head = say(
                f"Call `{self.tool}`, and try nothing else first, as soon as one of these is the case:",
                f"Chame `{self.tool}`, sem tentar mais nada antes, assim que acontecer um destes casos:",
            )
        else:
            yield say(
                "Nobody can be fetched to the phone: promise no colleague and no transfer.",
                "Não há como passar a ligação para outra pessoa: não prometa isso.",
            )
            head = say(f"{self.instead} Do so when:", f"{self.instead} Faça isso quando:")
        yield Group(head, tuple(self._causes(say)))
        if self.tool:
            yield say(
                "In that same turn, before the tool, thank the caller for their patience and say that you are "
                "connecting them.",
                "Na mesma fala, antes da ferramenta, agradeça pela paciência e diga que vai transferir a ligação.",
            )
        yield from self.also
        if self.tool:
            yield sample_phrases(say, self.samples or say.phrase(_SAY_EN, _SAY_PT))
        elif self.samples:
            yield sample_phrases(say, self.samples)
        head = say("What calls for it, for example:", "Exemplos do que a pessoa pode dizer nesses casos:")
        yield Group(head, tuple(quoted(each) for each in say.phrase(_HEARD_EN, _HEARD_PT)))

    def _causes(self, say: Wording) -> Iterator[str]:
        attempts = say.count(
            self.tool_failures or 2,
            ("failed attempt", "failed attempts"),
            ("tentativa sem sucesso", "tentativas sem sucesso"),
        )
        turns = say.count(self.missed_turns or 3, ("turn", "turns in a row"), ("vez", "vezes seguidas"))
        yield say(
            "somebody may come to harm, threatens or is threatened",
            "alguém corre perigo, faz ameaças ou está sendo ameaçado",
        )
        yield say(
            "the caller wants a person, in whatever words",
            "a pessoa pede para falar com um atendente, seja com que palavras for",
        )
        yield say(
            "the caller is angry, swears, or complains about the same thing again",
            "a pessoa está irritada, xinga ou volta a reclamar da mesma coisa",
        )
        yield say(f"{attempts} at the same task", f"{attempts} na mesma tarefa")
        yield say(
            f"{turns} without anything to go on: silence, or nothing that you understood or could act on",
            f"{turns} sem resposta útil: silêncio, ou algo que você não entendeu ou não tem como atender",
        )
        topics = self.out_of_scope or (
            say(
                "the news, or advice on law, medicine or money",
                "notícias, ou orientação jurídica, médica ou financeira",
            ),
        )
        yield say(
            f"it is about something that you do not handle: {'; '.join(topics)}",
            f"o assunto está fora do que você atende: {'; '.join(topics)}",
        )


_SAY_EN = (
    "Thank you for bearing with me. I'm putting you through to a colleague.",
    "I appreciate your patience. A colleague will take it from here; I'm connecting you.",
)
_SAY_PT = (
    "Agradeço a sua paciência. Vou transferir você para uma pessoa da equipe.",
    "Agradeço por aguardar. Alguém da equipe vai continuar o atendimento; já estou transferindo.",
)
_HEARD_EN = (
    "I've tried that three times now. Let me talk to somebody.",
    "This is ridiculous!",
)
_HEARD_PT = (
    "Já tentei isso três vezes. Quero falar com alguém.",
    "Isso é um absurdo!",
)
