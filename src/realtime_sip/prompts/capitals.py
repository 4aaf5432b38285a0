"""What makes a rule easier to follow: capitals for the few that matter most, and words in place of signs.

Both are functions and not habits: a prompt in which all is in capitals has no emphasis.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from realtime_sip.prompts.locales import Locale, checked_locale
from realtime_sip.prompts.numbers import number

__all__ = ["emphasis", "in_words"]

# What is quoted, what stands for a value, and names such as those of tools: their capitals and digits mean something.
_KEPT = re.compile(r"`[^`]*`|“[^”]*”|\"[^\"]*\"|\[[^\]]*\]|\{[^{}]*\}|\b\w*_\w*\b")
# Not a part of a time, a version, a price, a phone number or a percentage.
_NUMBER = re.compile(r"(?<![\w.,:/+\-$€£])(?<![$€£] )[0-9]{1,9}(?!\w|%|[.,:/\-][0-9])")
_SIGNS = re.compile(r" ?(>=|<=|==|!=|≥|≤|≠|>|<) ?")
_EN_SIGNS = {
    **dict.fromkeys((">=", "≥"), "at least"),
    **dict.fromkeys(("<=", "≤"), "at most"),
    **dict.fromkeys(("!=", "≠"), "not"),
    ">": "more than",
    "<": "less than",
    "==": "exactly",
}
_PT_SIGNS = {
    **dict.fromkeys((">=", "≥"), "no mínimo"),
    **dict.fromkeys(("<=", "≤"), "no máximo"),
    **dict.fromkeys(("!=", "≠"), "diferente de"),
    ">": "maior que",
    "<": "menor que",
    "==": "exatamente",
}
_CONDITION = re.compile(r"\b(?:se|quando)\b", re.IGNORECASE)


def emphasis(text: str) -> str:
    """Return a rule in capitals; what is quoted, in brackets or a name with an underscore stays as it is.

    >>> emphasis("Never read a card number aloud. Call `end_call` first.")
    'NEVER READ A CARD NUMBER ALOUD. CALL `end_call` FIRST.'
    """
    return _outside(text, str.upper)


def in_words(text: str, locale: Locale = "en", *, feminine: bool = False) -> str:
    """Return a rule with its whole numbers and comparisons in words, which models follow better than signs.

    >>> in_words("If [failures] > 3, call escalate_to_human.")
    'If [failures] is more than three, call escalate_to_human.'
    >>> in_words("Se houver 2 tentativas sem sucesso, transfira.", "pt-BR", feminine=True)
    'Se houver duas tentativas sem sucesso, transfira.'

    Args:
        text: The rule. Times, prices, versions, percentages, what is quoted and what is in brackets stay as they are.
        locale: The language of the text.
        feminine: Whether what is counted is feminine in Portuguese.
    """
    locale = checked_locale(locale)
    if locale == "en":
        verb, signs = "is", _EN_SIGNS
    else:
        verb, signs = "for" if _CONDITION.search(text) else "é", _PT_SIGNS

    def worded(part: str) -> str:
        said = _NUMBER.sub(lambda found: number(int(found[0]), locale, feminine=feminine), part)
        return _SIGNS.sub(lambda found: f" {verb} {signs[found[1]]} ", said)

    return _outside(text, worded)


def _outside(text: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` made to everything but what is kept."""
    parts, at = [], 0
    for kept in _KEPT.finditer(text):
        parts += [change(text[at : kept.start()]), kept[0]]
        at = kept.end()
    return "".join([*parts, change(text[at:])])
