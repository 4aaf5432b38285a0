"""What the model does with what it hears: audio that is not clear, and values that have to be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from realtime_sip.prompts.family import ModelFamily
from realtime_sip.prompts.locales import language_name
from realtime_sip.prompts.section import BaseSection, Line, Wording, sample_phrases

__all__ = ["EntityCapture", "UnclearAudio"]


@dataclass(frozen=True, repr=False)
class UnclearAudio(BaseSection):
    """What to do with audio that cannot be used. Without it, models answer noise.

    The sample phrases are in the language that `Language` begins with.

    Args:
        wait_tool: The tool that ends a turn in silence, `wait_for_user`, if the session has it.
        no_match_tool: The tool that reports a turn of which nothing came, `not_understood`, if the session has it.
        samples: Sample phrases in place of the ready-made ones.
        also: More lines.
    """

    titles = ("Unclear Audio", "Áudio incompreensível")
    wait_tool: str | None = None
    no_match_tool: str | None = None
    samples: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield say(
            "Answer only what you have heard clearly.",
            "Responda somente ao que ouviu com clareza.",
        )
        yield say(
            "If it was unintelligible, cut off or lost in noise, ask the caller in one short sentence to say it again. "
            "Use other words each time.",
            "Se a fala vier incompreensível, cortada ou encoberta por ruído, peça em uma frase curta para a pessoa "
            "repetir. Mude as palavras a cada vez.",
        )
        yield say(
            "Do not guess what was said, and do nothing on the strength of a guess.",
            "Não adivinhe o que foi dito, nem faça nada com base em um palpite.",
        )
        if say.family is not ModelFamily.REALTIME_1:
            yield say(
                "No preamble and no long thought before asking.",
                "Peça direto, sem introdução e sem raciocinar antes.",
            )
        main = language_name(say.spoken or say.phrases, say.locale)
        yield say(
            f"Ask in the language that the caller has been speaking; if you cannot tell, in {main}.",
            f"Peça no idioma que a pessoa vem falando; se não der para saber, em {main}.",
        )
        if self.wait_tool:
            yield say(
                f"Silence, a television, or people who talk to somebody else: call `{self.wait_tool}` and say nothing.",
                f"Silêncio, televisão ou gente falando com outras pessoas: chame `{self.wait_tool}` e não diga nada.",
            )
        if self.no_match_tool:
            yield say(
                f"If you could not understand the caller, or nothing that you can do fits what they said: first call "
                f"`{self.no_match_tool}`, without a word; then ask.",
                "Se você não entender a pessoa, ou se o pedido dela não corresponder a nada que você possa fazer: "
                f"primeiro chame `{self.no_match_tool}`, sem dizer nada; depois peça para ela "
                "repetir ou explicar melhor.",
            )
        yield from self.also
        yield sample_phrases(say, self.samples or say.phrase(_CLARIFY_EN, _CLARIFY_PT))


_CLARIFY_EN = (
    "I'm sorry, I missed that. What did you say?",
    "It's a bit noisy on the line. Could you tell me that last part again?",
    "You were cut off there. How did it go on?",
)
_CLARIFY_PT = (
    "Desculpe, não entendi. Pode repetir?",
    "Tem um barulho na linha. Pode repetir a última parte?",
    "Cortou um pouquinho aqui. O que você disse no final?",
)


@dataclass(frozen=True, repr=False)
class EntityCapture(BaseSection):
    """How values are taken down that have to be right: numbers, names, addresses.

    Args:
        values: What the rules are for, such as `("order number", "e-mail address")`. gpt-realtime-2 and later read
            rules literally, so name each.
        masked: What is not to be said aloud as a whole, such as `("CPF",)`.
        also: More lines.
    """

    titles = ("Entity Capture", "Coleta de dados")
    values: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if self.values or self.masked:
            names = ", ".join(dict.fromkeys((*self.values, *self.masked)))
            yield say(f"These rules are for: {names}.", f"Estas regras valem para: {names}.")
        yield say("Ask for one value at a time.", "Peça um dado de cada vez.")
        yield say(
            "Join letters and digits that the caller spells out into one value.",
            "Junte em um só dado as letras e os dígitos que a pessoa soletrar ou ditar.",
        )
        yield say(
            "If a number can be heard in two ways, such as “one nineteen”, ask which one it is.",
            "Se um número puder ser entendido de duas formas, como “vinte e três” (23, ou 20 e 3), pergunte qual é.",
        )
        if say.phrases == "pt-BR":
            yield say(
                "In a row of digits, the Portuguese word “meia” is a six.",
                "Em uma sequência de dígitos, “meia” é seis.",
            )
        yield say(
            "Read it back before you use it: digits one by one in short groups, e-mail addresses character by "
            "character. Ask whether it is right.",
            "Antes de usar o dado, repita para conferir: dígitos um a um, em grupos curtos, e e-mails letra por letra. "
            "Pergunte se está certo.",
        )
        yield say(
            "If the caller corrects it, read the whole value back again.",
            "Se a pessoa corrigir, repita o dado inteiro de novo.",
        )
        if self.masked:
            names = ", ".join(self.masked)
            yield say(
                f"Read back only the last three characters of these, and never say them whole: {names}.",
                f"Destes, repita só os três últimos caracteres, e nunca diga o dado inteiro: {names}.",
            )
        yield from self.also
