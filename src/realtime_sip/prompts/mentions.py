"""What the text of a prompt mentions that has to be there: tools that it calls, people, and values to be filled in.

The patterns follow a measurement on public voice prompts (November 2026; see `docs/prompts.md`), and are narrow for the
sake of few false alarms: what they do not see is left to a reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Mention", "hands_over", "headings", "placeholders", "promises", "tools_called"]

_MOST = 200_000


@dataclass(frozen=True, slots=True)
class Mention:
    """Something that a prompt mentions.

    Attributes:
        text: It, as it stands there.
        line: The line, from 1.
    """

    text: str
    line: int


# --- tools ------------------------------------------------------------------------------------------------------------

_NAME = r"[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+"
_QUOTED_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_CALL = r"\b(?:[Cc]all|[Uu]se|[Ii]nvoke|[Tt]rigger|[Rr]un|[Ee]xecute|[Cc]hame|[Cc]hamar|[Uu]sar|[Aa]cione|[Ee]xecutar)"
_ARTICLE = r"(?: (?:the|a|o))?(?: (?:tool|function|ferramenta|função))?"
_CALLED = (
    # Call `end_call`; use the order_status tool; chame a ferramenta `buscar`.
    re.compile(rf"{_CALL}{_ARTICLE} [`\"“'*]{{0,2}}({_NAME})\b(?! ?=| as\b)"),
    re.compile(rf"{_CALL}{_ARTICLE} (?:tool |function |ferramenta )?`({_QUOTED_NAME})`"),
    # `lookup` tool; the order_status function.
    re.compile(rf"\b({_NAME})[`\"”']? (?:tool|function)\b"),
    re.compile(rf"`({_QUOTED_NAME})` (?:tool|function)\b"),
    # order_status(); `lookup(order_id)`.
    re.compile(rf"\b({_NAME})\("),
    re.compile(rf"`({_QUOTED_NAME})\([^`\n]{{0,80}}\)`"),
    # A ferramenta `buscar`.
    re.compile(rf"\b(?:tool|function|ferramenta|função) [`\"“']({_QUOTED_NAME})[`\"”']"),
)


def tools_called(prompt: str) -> Iterator[Mention]:
    """Yield the tools that a prompt says to call, each once. A name that the text does not call is not seen."""
    seen: set[str] = set()
    for number, line in _lines(prompt):
        for pattern in _CALLED:
            for found in pattern.finditer(line):
                name = found[1]
                if name not in seen:
                    seen.add(name)
                    yield Mention(name, number)


# --- people -----------------------------------------------------------------------------------------------------------

_PROMISES = (
    re.compile(
        r"\b(?<!me )(?:transfer|transferring|escalate|escalating)\b(?! me\b)[^.\n“”\"]{0,40}?"
        r"\bto (?:a|an|the|our|one of our)? ?(?:[a-z]+ )?(?:human|person|specialist|manager)s?\b",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?<!me )(?:transfira|transferir|transfiro|encaminhe|encaminhar|encaminho)\b[^.\n“”\"]{0,40}?\b(?:para|a)"
        r" (?:um|uma|o|a|algum|alguma|nosso|nossa) ?(?:[a-zç]+ )?(?:humano|pessoa|atendente|especialista|gerente)s?\b",
        re.IGNORECASE,
    ),
)
_DENIED = re.compile(
    r"(?:\bnot\b|n't\b|\bnever\b|\bcannot\b|\bwithout\b|\bnão\b|\bnunca\b|\bsem\b)[^.:;,\n]{0,30}$", re.IGNORECASE
)
_HANDS_OVER = re.compile(
    r"transf|escalat|hand_?off|hand_?over|human|operator|atendente|encaminh|agent|desk", re.IGNORECASE
)


def promises(prompt: str) -> Iterator[Mention]:
    """Yield what promises to hand the caller over to a person."""
    for number, line in _lines(prompt):
        for pattern in _PROMISES:
            for found in pattern.finditer(line):
                if not _DENIED.search(line[max(0, found.start() - 60) : found.start()]):
                    yield Mention(found[0], number)


def hands_over(tool: str) -> bool:
    """Whether the name of a tool says that it may hand a caller over. It only spares a finding."""
    return _HANDS_OVER.search(tool) is not None


# --- what should have been filled in ----------------------------------------------------------------------------------

_SURE = re.compile(
    r"\{\{[^{}\n]{1,80}\}\}"
    # No link, and no heading; [BETA] and [END OF …] are no placeholders.
    r"|(?<!^)\[[A-Z][a-zà-ú]+(?:[ _](?:[A-Z][a-zà-ú]+|of|the|de|do|da)){0,4}\](?!\()"
)
_DIRECTIONS = frozenset({"[Beta]", "[Laughs]", "[Note]", "[Optional]", "[Pause]", "[Silence]", "[Wait]"})
_LIKELY = re.compile(r"(?<![{$/\w])\{[A-Za-z_][A-Za-z0-9_]{1,40}\}(?!\})")


def placeholders(prompt: str, *, likely: bool = False) -> Iterator[Mention]:
    """Yield placeholders that nobody filled in; with `likely` those in single braces, which can be meant."""
    lines = list(_lines(prompt))
    # Some write their headings in brackets, and refer to them.
    meant = _DIRECTIONS | {line for _, line in lines if line.startswith("[")}
    for number, line in lines:
        for found in (_LIKELY if likely else _SURE).finditer(line):
            if found[0] not in meant:
                yield Mention(found[0], number)


# --- headings ---------------------------------------------------------------------------------------------------------

_HEADING = re.compile(r"(#{1,3}) +(\S.*)")


def headings(prompt: str) -> Iterator[tuple[int, Mention, bool]]:
    """Yield the level of each Markdown heading, it, and whether there is anything below it."""
    before: tuple[int, Mention] | None = None
    filled = False
    for number, line in _lines(prompt):
        match = _HEADING.fullmatch(line)
        if match is None:
            filled = filled or bool(line.strip())
            continue
        level = len(match[1])
        if before is not None:
            yield (*before, filled or level > before[0])
        before, filled = (level, Mention(match[2].strip(), number)), False
    if before is not None:
        yield (*before, filled)


def _lines(prompt: str) -> Iterator[tuple[int, str]]:
    return enumerate((line.strip() for line in prompt[:_MOST].split("\n")), start=1)
