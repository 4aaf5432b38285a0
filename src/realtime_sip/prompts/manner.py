"""Who the model is and how it speaks: role, personality, language, accent, pronunciations, length, pace, variety.

Each section is ready-made: what is left out has wording of its own, in the language of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.family import ModelFamily
from realtime_sip.prompts.locales import language_name, written_as_tag
from realtime_sip.prompts.section import BaseSection, Line, Wording, pairs

__all__ = ["Accent", "Language", "Pacing", "Personality", "Pronunciations", "Role", "Switch", "Variety", "Verbosity"]


@dataclass(frozen=True, repr=False)
class Role(BaseSection):
    """Who the model is, and when it has done well.

    Args:
        who: One sentence, such as "You answer the phone of a bakery."
        objective: What a good call ends with, such as "The caller has ordered, or knows why not."
        also: More lines.
    """

    titles = ("Role and Objective", "Papel e objetivo")
    live = True
    who: str
    objective: str | None = None
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield self.who
        if self.objective:
            yield say(f"Objective: {self.objective}", f"Objetivo: {self.objective}")
        yield from self.also


@dataclass(frozen=True, repr=False)
class Personality(BaseSection):
    """What the model is like, and its tone.

    Args:
        character: Such as "A calm and friendly expert."
        tone: Such as "Warm and to the point, never flattering."
        also: More lines.
    """

    titles = ("Personality and Tone", "Personalidade e tom")
    live = True
    character: str
    tone: str | None = None
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield say(f"Personality: {self.character}", f"Personalidade: {self.character}")
        if self.tone:
            yield say(f"Tone: {self.tone}", f"Tom: {self.tone}")
        yield from self.also


# --- language ---------------------------------------------------------------------------------------------------------

Switch = Literal["never", "on_request", "mirror"]


@dataclass(frozen=True, repr=False)
class Language(BaseSection):
    """The language that the model speaks, and when it changes to another.

    >>> from realtime_sip.prompts import Instructions
    >>> print(Instructions(Language("en", switch="never")))
    # Language
    - Speak English and no other language, even if the caller asks for one.
    - If the caller speaks another language, say politely, in English, that you can only help in English.

    Args:
        main: A BCP 47 tag such as "pt-BR" or "es-AR", which pins the dialect too, or the name of a language.
        switch: "never" pins it. "on_request", the default, changes if the caller asks or says a whole sentence in
            another. "mirror" follows the caller; OpenAI discourages that for gpt-realtime-2 and later, which get the
            rules of "on_request" in its place.
        others: The only languages that it can change to; any if left out.
        purposes: What is said in which language, such as `{"explanations": "en", "practice": "fr"}`.
        also: More lines.

    Raises:
        ConfigurationError: A pinned language has others beside it.
    """

    titles = ("Language", "Idioma")
    live = True
    main: str
    switch: Switch | None = None
    others: tuple[str, ...] = ()
    purposes: Mapping[str, str] | tuple[tuple[str, str], ...] = ()
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        object.__setattr__(self, "purposes", pairs(self.purposes))
        super().__post_init__()
        if self.switch is not None and self.switch not in get_args(Switch):
            raise ConfigurationError(f"switch must be one of: {', '.join(get_args(Switch))}")
        if self.switch == "never" and (self.others or self.purposes):
            raise ConfigurationError("a language that is pinned has no others and no purposes beside it")

    @property
    def spoken(self) -> str:
        """The language that the model begins to speak in."""
        return self.main

    @property
    def is_tag(self) -> bool:
        """Whether it is given as a tag, and not by a name."""
        return written_as_tag(self.main)

    @property
    def is_pinned(self) -> bool:
        """Whether no other language is ever spoken."""
        return self.switch == "never"

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        main = language_name(self.main, say.locale)
        if self.switch == "never":
            yield say(
                f"Speak {main} and no other language, even if the caller asks for one.",
                f"Fale somente em {main}, mesmo que a pessoa peça outro idioma.",
            )
            yield say(
                f"If the caller speaks another language, say politely, in {main}, that you can only help in {main}.",
                f"Se a pessoa falar outro idioma, diga com gentileza, em {main}, que só pode atender em {main}.",
            )
        elif self.purposes:
            for purpose, language in pairs(self.purposes):
                name = language_name(language, say.locale)
                yield say(f"Use {name} for: {purpose}.", f"Use {name} para: {purpose}.")
            yield say(f"For everything else, use {main}.", f"Para todo o resto, use {main}.")
        elif self.switch == "mirror" and say.family is ModelFamily.REALTIME_1:
            yield say(
                "Answer in the language that the caller speaks, and in the variety of it that they speak.",
                "Responda no idioma que a pessoa fala, e na variante regional que ela usa.",
            )
            yield say(
                f"As long as that is not clear, speak {main}.",
                f"Enquanto isso não estiver claro, fale em {main}.",
            )
        else:
            yield from self._on_request(main, say)
        yield from self.also

    def _on_request(self, main: str, say: Wording) -> Iterator[Line]:
        yield say(f"Begin in {main}, and stay with it.", f"Comece em {main} e continue nesse idioma.")
        yield say(
            "Change the language only if the caller asks for it, or says a whole sentence in another one. A greeting, "
            "a name or a single foreign word is no reason.",
            "Só mude de idioma se a pessoa pedir ou disser uma frase inteira em outro idioma. Um cumprimento, um nome "
            "ou uma palavra estrangeira solta não bastam.",
        )
        yield say("An accent is no reason either.", "Sotaque também não é motivo para mudar.")
        if self.others:
            names = ", ".join(language_name(other, say.locale) for other in self.others)
            yield say(f"You can change to: {names}.", f"Você pode mudar para: {names}.")
            yield say(
                f"If the caller wants any other language, say politely, in {main}, that you do not speak it.",
                f"Se a pessoa quiser outro idioma, diga com gentileza, em {main}, que você não fala esse idioma.",
            )


@dataclass(frozen=True, repr=False)
class Accent(BaseSection):
    """The accent of the voice, apart from the language.

    Args:
        accent: Such as "A light Scottish accent."
        also: More lines.
    """

    titles = ("Accent", "Sotaque")
    live = True
    accent: str
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield self.accent
        yield say(
            "Keep it through the whole call. It does not decide which language you speak.",
            "Mantenha o mesmo sotaque até o fim da ligação. Ele não define o idioma que você fala.",
        )
        yield from self.also


@dataclass(frozen=True, init=False, repr=False)
class Pronunciations(BaseSection):
    """How tricky words are said.

    >>> from realtime_sip.prompts import Instructions
    >>> print(Instructions(Pronunciations({"Nguyen": "win"})))
    # Reference Pronunciations
    - Say “Nguyen” as “win”.

    Args:
        words: Word -> how it sounds, in letters that the model reads right.
    """

    titles = ("Reference Pronunciations", "Pronúncias de referência")
    live = True
    words: tuple[tuple[str, str], ...]

    def __init__(self, words: Mapping[str, str], /) -> None:
        self._set(words=pairs(words))

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        for word, sound in self.words:
            yield say(f"Say “{word}” as “{sound}”.", f"Pronuncie “{word}” como “{sound}”.")


# --- how much, how fast, how varied -----------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Verbosity(BaseSection):
    """How long a turn of the model is. gpt-realtime-2 and later get a length for each kind of turn.

    Args:
        sentences: The most sentences of an answer, 1 to 9; 2 if left out.
        also: More lines.
    """

    titles = ("Verbosity and Length", "Tamanho das respostas")
    sentences: int | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a length that is no length."""
        super().__post_init__()
        if self.sentences is not None and self.sentences not in range(1, 10):
            raise ConfigurationError("sentences must be 1 to 9")

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        most = self.sentences or 2
        length = say.count(most, ("sentence", "sentences"), ("frase", "frases"))
        if say.family is ModelFamily.REALTIME_1:
            yield say(
                f"At most {length} in a turn, and one question at a time.",
                f"No máximo {length} por vez, e uma pergunta de cada vez.",
            )
        else:
            yield say(
                f"Answer: at most {length}, beginning with the result.",
                f"Resposta: no máximo {length}, começando pelo resultado.",
            )
            yield say(
                "Question: one at a time, and nothing after it.",
                "Pergunta: uma de cada vez; depois dela, espere.",
            )
            yield say(
                "Directions: one step at a time. Go on when the caller is ready.",
                "Instruções: um passo de cada vez. Continue quando a pessoa estiver pronta.",
            )
            yield say(
                "Reading a value back: the value, and whether it is right.",
                "Para conferir um dado: repita só o dado e pergunte se está certo.",
            )
        yield from self.also


@dataclass(frozen=True, repr=False)
class Pacing(BaseSection):
    """How fast the model speaks. `audio.output.speed` of a session only plays the same speech faster.

    Args:
        pace: "brisk", the default, or "calm".
        also: More lines.
    """

    titles = ("Pacing", "Ritmo")
    live = True
    pace: Literal["brisk", "calm"] | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a pace that is not known."""
        super().__post_init__()
        if self.pace not in (None, "brisk", "calm"):
            raise ConfigurationError("pace must be brisk or calm")

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        if self.pace == "calm":
            yield say(
                "Speak slowly and clearly, with a short pause after each number and each step.",
                "Fale devagar e com clareza, com uma pequena pausa depois de cada número e de cada passo.",
            )
        else:
            yield say(
                "Speak briskly, but never as if in a hurry.",
                "Fale com agilidade, mas sem parecer que está com pressa.",
            )
        yield say(
            "Only the speed of the voice changes: the words are the same as at any other pace.",
            "Só muda a velocidade da voz; o conteúdo continua o mesmo.",
        )
        yield from self.also


@dataclass(frozen=True, repr=False)
class Variety(BaseSection):
    """Against robotic repetition, which sample phrases can cause.

    Args:
        also: More lines.
    """

    titles = ("Variety", "Variedade")
    also: tuple[str, ...] = ()

    def lines(self, say: Wording) -> Iterator[Line]:
        """Yield the lines."""
        yield say(
            "Say no sentence twice in a call: find other words.",
            "Não diga a mesma frase duas vezes na ligação: use outras palavras.",
        )
        yield say(
            "Sample phrases show the style. Adapt them; do not recite them.",
            "As frases de exemplo mostram o estilo. Adapte-as, sem recitar.",
        )
        yield say(
            "What is marked as exact wording is the exception: say it word for word, each time.",
            "O que está marcado como texto exato é a exceção: diga palavra por palavra, todas as vezes.",
        )
        yield from self.also
