"""Whole numbers in words, from 0 to 999,999,999, and how words become numbers again."""

from __future__ import annotations

import re

from realtime_sip.errors import ConfigurationError
from realtime_sip.prompts.locales import Locale, checked_locale

MAX_NUMBER = 999_999_999

_EN_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_EN_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

_PT_SMALL = (
    *("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove", "dez", "onze", "doze"),
    *("treze", "quatorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove"),
)
_PT_TENS = ("", "", "vinte", "trinta", "quarenta", "cinquenta", "sessenta", "setenta", "oitenta", "noventa")
_PT_HUNDREDS = (
    *("", "cento", "duzentos", "trezentos", "quatrocentos", "quinhentos"),
    *("seiscentos", "setecentos", "oitocentos", "novecentos"),
)


def number(value: int, locale: Locale = "en", *, feminine: bool = False) -> str:
    """Return a whole number in words.

    >>> number(1_119), number(1_119, "pt-BR"), number(202, "pt-BR", feminine=True)
    ('one thousand one hundred nineteen', 'mil cento e dezenove', 'duzentas e duas')

    Args:
        value: 0 to 999,999,999.
        locale: The language of the words.
        feminine: Whether what is counted is feminine in Portuguese, such as "horas". English has one form.

    Raises:
        ConfigurationError: The number is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NUMBER:
        raise ConfigurationError(f"a number to speak must be a whole number from 0 to {MAX_NUMBER:,}")
    if checked_locale(locale) == "en":
        return _english(value)
    return _portuguese(value, feminine=feminine)


def _english(value: int) -> str:
    if value < 20:
        return _EN_SMALL[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return f"{_EN_TENS[tens]}-{_EN_SMALL[ones]}" if ones else _EN_TENS[tens]
    for size, word in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if value >= size:
            many, rest = divmod(value, size)
            head = f"{_english(many)} {word}"
            return f"{head} {_english(rest)}" if rest else head
    raise AssertionError(value)


def _portuguese(value: int, *, feminine: bool) -> str:
    if value < 1_000:
        return _pt_group(value, feminine=feminine)
    millions, below = divmod(value, 1_000_000)
    thousands, rest = divmod(below, 1_000)
    parts: list[tuple[str, int]] = []
    if millions:
        parts.append((f"{_pt_group(millions, feminine=False)} {'milhão' if millions == 1 else 'milhões'}", 0))
    if thousands:
        # A thousand has no "um" before it.
        parts.append(("mil" if thousands == 1 else f"{_pt_group(thousands, feminine=feminine)} mil", thousands))
    if rest:
        parts.append((_pt_group(rest, feminine=feminine), rest))
    words, last = [parts[0][0]], len(parts) - 1
    for place, (text, group) in enumerate(parts[1:], start=1):
        # "e" comes before the last group if that is below a hundred, or hundreds alone.
        words += ["e", text] if place == last and (group < 100 or group % 100 == 0) else [text]
    return " ".join(words)


def _pt_group(value: int, *, feminine: bool) -> str:
    if value == 100:
        return "cem"
    hundreds, below = divmod(value, 100)
    words = []
    if hundreds:
        word = _PT_HUNDREDS[hundreds]
        words.append(f"{word[:-2]}as" if feminine and hundreds > 1 else word)
    if below >= 20:
        words.append(_PT_TENS[below // 10])
        below %= 10
    if below or value == 0:
        word = _PT_SMALL[below]
        words.append({"um": "uma", "dois": "duas"}.get(word, word) if feminine else word)
    return " e ".join(words)


# --- the way back -----------------------------------------------------------------------------------------------------

_HEARD: dict[Locale, dict[str, int]] = {
    "en": {
        **{word: value for value, word in enumerate(_EN_SMALL)},
        **{word: ten * 10 for ten, word in enumerate(_EN_TENS) if word},
        "oh": 0,
        "a": 1,
    },
    "pt-BR": {
        **{word: value for value, word in enumerate(_PT_SMALL)},
        **{word: ten * 10 for ten, word in enumerate(_PT_TENS) if word},
        **{word: hundred * 100 for hundred, word in enumerate(_PT_HUNDREDS) if word},
        **{f"{word[:-2]}as": hundred * 100 for hundred, word in enumerate(_PT_HUNDREDS) if hundred > 1},
        "uma": 1,
        "duas": 2,
        "cem": 100,
        "catorze": 14,
        "tres": 3,
    },
}
_SIZES: dict[Locale, dict[str, int]] = {
    "en": {"thousand": 1_000, "million": 1_000_000},
    "pt-BR": {"mil": 1_000, "milhão": 1_000_000, "milhões": 1_000_000, "milhao": 1_000_000, "milhoes": 1_000_000},
}
_AND: dict[Locale, str] = {"en": "and", "pt-BR": "e"}
_MOST_HEARD = 300
_WRITTEN: dict[Locale, re.Pattern[str]] = {
    "en": re.compile(r"[0-9]{1,9}|[0-9]{1,3}(?:,[0-9]{3}){1,2}"),
    "pt-BR": re.compile(r"[0-9]{1,9}|[0-9]{1,3}(?:\.[0-9]{3}){1,2}"),
}
"""A number as a transcript has it in digits."""


def is_large(word: str, locale: Locale) -> bool:
    """Whether a word is a number of two digits or more, or a part of one.

    >>> is_large("vinte", "pt-BR"), is_large("twenty-three", "en"), is_large("nove", "pt-BR")
    (True, True, False)
    """
    return any(
        _HEARD[locale].get(part, 0) >= 10 or part in _SIZES[locale] or (locale == "en" and part == "hundred")
        for part in word.lower().split("-")
    )


def heard_number(words: str, locale: Locale = "en") -> int | None:
    """Return the number that somebody said, or None if it is not clearly one number from 0 to 999,999,999.

    Parts must become smaller from left to right, as they do in any number: "one nineteen", which can be 119 or 1 and
    19, is None, and so is "vinte dez".

    >>> heard_number("two thousand and twenty-six"), heard_number("mil e duzentos", "pt-BR")
    (2026, 1200)
    >>> heard_number("one nineteen")
    """
    locale = checked_locale(locale)
    if len(words) > _MOST_HEARD:
        return None
    said = [word for word in words.lower().replace("-", " ").replace(",", " ").split() if word != _AND[locale]]
    if _WRITTEN[locale].fullmatch(words.strip()):
        value = int(re.sub(r"\D", "", words))
        return value if value <= MAX_NUMBER else None
    total, group, room, above = 0, None, 1_000, MAX_NUMBER + 1
    for word in said:
        size = _SIZES[locale].get(word)
        if size is not None:
            if group is None and (locale == "en" or size != 1_000):
                return None
            if size >= above or group == 0:
                return None
            total, group, room, above = total + (1 if group is None else group) * size, None, 1_000, size
            continue
        if locale == "en" and word == "hundred":
            if group is None or not 1 <= group <= 9:
                return None
            group, room = group * 100, 100
            continue
        value = _HEARD[locale].get(word, -1)
        if value < 0 or value >= room or (value == 0 and (group is not None or total)):
            return None
        group = (group or 0) + value
        room = 100 if value >= 100 else 10 if 20 <= value < 100 else 1
    if group is None and not total:
        return None
    return total + (group or 0)
