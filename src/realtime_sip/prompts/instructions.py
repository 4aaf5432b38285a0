"""Instructions of a model as a value: sections, layered over one another and rendered for the model that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.family import ModelFamily, family_of
from realtime_sip.prompts.locales import Locale, checked_locale, written_in
from realtime_sip.prompts.section import BaseSection, Line, Section, Wording, one_line

__all__ = ["STORED_PROMPTS_END", "Instructions"]

STORED_PROMPTS_END = date(2026, 11, 30)
"""When the service shuts stored prompts down, whose successor is text in code (deprecations page, 2026-06-03)."""

_Section = TypeVar("_Section", bound=BaseSection)


@dataclass(frozen=True, init=False, repr=False)
class Instructions:
    """What a model is to do, as sections in the order in which it reads them.

    It is a value: the same sections give the same text. `RealtimeSession(instructions=…)` takes it as it is, and
    renders it for its model when it is sent.

    >>> from realtime_sip.prompts import Context, Role, Rules
    >>> shop = Instructions(Role("You answer the phone of a bakery."), Rules("Take no orders after 18:00."))
    >>> downtown = shop | Context({"Branch": "Downtown"}) | Rules("There is no delivery.")
    >>> print(downtown)
    # Role and Objective
    - You answer the phone of a bakery.
    <BLANKLINE>
    # Instructions and Rules
    - Take no orders after 18:00.
    - There is no delivery.
    <BLANKLINE>
    # Context
    - Branch: Downtown

    Args:
        sections: The sections, in the order of the prompt.
        locale: The language that the prompt is written in. "en" if left out.

    Raises:
        ConfigurationError: One of them is no section, or there is no text in this language.
    """

    sections: tuple[BaseSection, ...]
    locale: Locale | None

    def __init__(self, *sections: BaseSection, locale: Locale | None = None) -> None:
        given: tuple[object, ...] = sections
        for each in given:
            if not isinstance(each, BaseSection):
                advice = "put a text into Section('Title', …)" if isinstance(each, str) else "pass sections one by one"
                raise ConfigurationError(f"{type(each).__name__} is no section of a prompt: {advice}")
        object.__setattr__(self, "sections", sections)
        object.__setattr__(self, "locale", None if locale is None else checked_locale(locale))

    # --- composing ----------------------------------------------------------------------------------------------------

    def __or__(self, layer: Instructions | BaseSection) -> Instructions:
        """Return these instructions with a layer over them, such as those of a shop with those of one of its numbers.

        A section that both have stays in its place: its lists grow by those of the layer (an entry with the same name
        is replaced), and the settings that the layer makes replace those here. What only the layer has comes behind,
        but before the sections at the end that differ from call to call.
        """
        over = layer if isinstance(layer, Instructions) else Instructions(layer)
        sections = list(self.sections)
        for section in over.sections:
            at = next((i for i, ours in enumerate(sections) if ours.key == section.key), None)
            if at is not None:
                sections[at] = sections[at].merged(section)
                continue
            end = len(sections)
            while not section.per_call and end and sections[end - 1].per_call:
                end -= 1
            sections.insert(end, section)
        return Instructions(*sections, locale=over.locale or self.locale)

    def without(self, *kinds: type[BaseSection] | str) -> Instructions:
        """Return these instructions without sections of some kinds, or of one's own with these titles."""
        classes = tuple(kind for kind in kinds if not isinstance(kind, str))
        titles = {one_line(kind).casefold() for kind in kinds if isinstance(kind, str)}
        kept = [each for each in self.sections if not isinstance(each, classes) and each.key not in titles]
        return Instructions(*kept, locale=self.locale)

    def find(self, kind: type[_Section]) -> _Section | None:
        """Return the first section of this kind, or None."""
        return next((section for section in self.sections if isinstance(section, kind)), None)

    # --- rendering ----------------------------------------------------------------------------------------------------

    def wording(self, model: str | None = None) -> Wording:
        """Return how the prompt is worded for a model."""
        locale: Locale = self.locale or "en"
        spoken = next((each.spoken for each in self.sections if each.spoken), None)
        return Wording(locale, family_of(model), spoken, locale if spoken is None else written_in(spoken) or locale)

    def render(self, model: str | None = None) -> str:
        """Return the text for a model, such as "gpt-realtime-1.5"; for gpt-realtime-2 and later if left out.

        For a model of GPT-Live it is the short prompt; `backend` has the rest.
        """
        say = self.wording(model)
        short = say.family is ModelFamily.LIVE
        return _markdown((each for each in self.sections if each.live or not short), say)

    def backend(self) -> str:
        """Return what a prompt for GPT-Live leaves out: procedures, tools and data, for the model behind it."""
        return _markdown((each for each in self.sections if not each.live), self.wording())

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        names = [repr(each.title) if isinstance(each, Section) else type(each).__name__ for each in self.sections]
        return f"<Instructions: {', '.join(names)}>"


def _markdown(sections: Iterable[BaseSection], say: Wording) -> str:
    parts = []
    for section in sections:
        lines = list(_bullets(section.lines(say), 0))
        if lines:
            title = one_line(section.heading(say)).lstrip("# ")
            parts.append("\n".join([f"# {title}", *lines]))
    return "\n\n".join(parts)


def _bullets(lines: Iterable[Line], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for line in lines:
        if isinstance(line, str):
            if text := one_line(line):
                yield f"{indent}- {text}"
        elif below := list(_bullets(line.lines, 0 if line.is_heading else depth + 1)):
            # A part with a heading of its own stands apart.
            yield f"\n## {one_line(line.head)}" if line.is_heading else f"{indent}- {one_line(line.head)}"
            yield from below
