"""Digits and codes, one character after the other, and what callers say as digits and codes again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from realtime_sip.errors import InvalidRequestError
from realtime_sip.prompts.locales import Locale, checked_locale

MAX_CHARACTERS = 200
_MOST_WORDS = 600

_DIGITS: dict[Locale, tuple[str, ...]] = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "pt-BR": ("zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove"),
}
_PT_LETTERS = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            *("á", "bê", "cê", "dê", "é", "efe", "gê", "agá", "i", "jota", "cá", "ele", "eme", "ene", "ó", "pê"),
            *("quê", "erre", "esse", "tê", "u", "vê", "dáblio", "xis", "ípsilon", "zê"),
        ),
        strict=True,
    )
)
# Words that begin with the letter and sound like it.
_EN_ALPHABET = (
    *("Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima"),
    *("Mike", "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey"),
    *("X-ray", "Yankee", "Zulu"),
)
_PT_ALPHABET = (
    *("amor", "bola", "casa", "dado", "escola", "faca", "gato", "hotel", "ilha", "janela", "kiwi", "lua", "mala"),
    *("navio", "ovo", "pato", "queijo", "rato", "sapo", "tatu", "uva", "vaca", "web", "xale", "yoga", "zebra"),
)
_MARKS: dict[Locale, dict[str, str]] = {
    "en": {"-": "dash", "/": "slash", ".": "dot", "_": "underscore"},
    "pt-BR": {"-": "traço", "/": "barra", ".": "ponto", "_": "underline"},
}


def refused(what: str, why: str) -> InvalidRequestError:
    """Return the refusal of a value that cannot be spoken. The value may be somebody's, and is not in it."""
    return InvalidRequestError(what, (("", why),))


# --- to be said -------------------------------------------------------------------------------------------------------


def digits(text: str, locale: Locale = "en", *, groups: Sequence[int] | None = None, meia: bool = True) -> str:
    """Return digits one by one, in groups with a pause between them.

    >>> digits("1066"), digits("1066", "pt-BR"), digits("1066", "pt-BR", meia=False)
    ('one zero six six', 'um zero meia meia', 'um zero seis seis')
    >>> digits("12345678")
    'one two three four, five six seven eight'

    Args:
        text: ASCII digits, 200 at most.
        locale: The language of the words.
        groups: How many digits each group has; the rest is a group of its own. Threes and fours if left out.
        meia: Whether six is "meia" in Portuguese, as Brazilians say it in a row of digits.

    Raises:
        InvalidRequestError: There is something else in it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_CHARACTERS):
        raise refused("digits", f"must be 1 to {MAX_CHARACTERS} digits and nothing else")
    return ", ".join(
        " ".join(digit(each, locale, meia=meia) for each in group) for group in grouped(text, groups or _usual(text))
    )


def digit(character: str, locale: Locale, *, meia: bool = True) -> str:
    """Return the word for a digit in a row of digits."""
    word = _DIGITS[checked_locale(locale)][int(character)]
    return "meia" if meia and word == "seis" else word


def grouped(text: str, groups: Sequence[int]) -> Iterable[str]:
    """Yield parts of `text` of these lengths, and what is left over."""
    at = 0
    for length in groups:
        if part := text[at : at + max(length, 0)]:
            yield part
        at += max(length, 0)
    if rest := text[at:]:
        yield rest


def _usual(text: str) -> tuple[int, ...]:
    """Return the lengths of groups of three and, at the end, four; one group if there is no such way."""
    length, fours = len(text), len(text) % 3
    threes = (length - 4 * fours) // 3
    return (length,) if length <= 5 or threes < 0 else (3,) * threes + (4,) * fours


def code(text: str, locale: Locale = "en", *, alphabet: bool = False) -> str:
    """Return a code letter by letter and digit by digit, with a pause between letters and digits.

    >>> code("AB-12"), code("AW6", "pt-BR"), code("B7", "pt-BR", alphabet=True)
    ('A B, dash, one two', 'á dáblio, meia', 'bê de bola, sete')

    Args:
        text: ASCII letters, digits, "-", "/", "." and "_", 200 at most. Capitals and small letters are not told apart.
        locale: The language of the words.
        alphabet: Whether each letter comes with a word that begins with it.

    Raises:
        InvalidRequestError: There is something else in it.
    """
    locale = checked_locale(locale)
    marks = _MARKS[locale]
    if not (0 < len(text) <= MAX_CHARACTERS and all((c.isascii() and c.isalnum()) or c in marks for c in text)):
        raise refused("a code", f"must be 1 to {MAX_CHARACTERS} ASCII letters, digits, '-', '/', '.' and '_'")
    runs: list[list[str]] = []
    before = None
    for character in text:
        kind = "mark" if character in marks else "digit" if character.isdigit() else "letter"
        if kind != before or kind == "mark":
            runs.append([])
        before = kind
        if kind == "mark":
            word = marks[character]
        else:
            word = digit(character, locale) if kind == "digit" else letter(character, locale, alphabet=alphabet)
        runs[-1].append(word)
    between = ", " if alphabet else " "
    return ", ".join(between.join(run) for run in runs)


def letter(character: str, locale: Locale, *, alphabet: bool = False) -> str:
    """Return the name of a letter."""
    upper = character.upper()
    at = ord(upper) - ord("A")
    if locale == "en":
        return f"{upper} as in {_EN_ALPHABET[at]}" if alphabet else upper
    return f"{_PT_LETTERS[upper]} de {_PT_ALPHABET[at]}" if alphabet else _PT_LETTERS[upper]


# --- heard ------------------------------------------------------------------------------------------------------------


def plain(word: str) -> str:
    """Return a word in small letters and without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(c))


_TEENS: dict[Locale, tuple[str, ...]] = {
    "en": (
        *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
        "nineteen",
    ),
    "pt-BR": (
        *("dez", "onze", "doze", "treze", "quatorze", "quinze", "dezesseis", "dezessete", "dezoito", "dezenove"),
    ),
}
_HEARD_DIGITS: dict[Locale, dict[str, str]] = {
    locale: {plain(word): str(value) for value, word in enumerate((*words, *_TEENS[locale]))}
    for locale, words in _DIGITS.items()
}
_HEARD_DIGITS["en"] |= {"oh": "0", "o": "0"}
_HEARD_DIGITS["pt-BR"] |= {"meia": "6", "uma": "1", "duas": "2", "catorze": "14"}
_PREFIXES = {"trezentos": "300", "quinhentos": "500", "oitocentos": "800", "novecentos": "900"}
"""What Brazilian numbers without an area begin with, after a zero."""
_HEARD_LETTERS: dict[Locale, dict[str, str]] = {
    "en": {character.lower(): character for character in _PT_LETTERS},
    "pt-BR": {
        **{plain(name): character for character, name in _PT_LETTERS.items()},
        "dabliu": "W",
        "ka": "K",
    },
}
_HEARD_MARKS: dict[Locale, dict[str, str]] = {
    "en": {**{word: mark for mark, word in _MARKS["en"].items()}, "hyphen": "-", "minus": "-", "period": "."},
    "pt-BR": {**{plain(word): mark for mark, word in _MARKS["pt-BR"].items()}, "hifen": "-", "sublinhado": "_"},
}
_REPEATED = {"double": 2, "triple": 3}


def words_of(said: str) -> list[str] | None:
    """Return the words that were said, without what a transcript puts between them; None if they are too many."""
    words = [word for word in said.replace(",", " ").replace(";", " ").split() if word.strip(".!?")]
    return words if len(said) <= _MOST_WORDS * 20 and len(words) <= _MOST_WORDS else None


def heard_digits(said: str, locale: Locale = "en") -> str | None:
    """Return the digits that somebody said one by one, or None if there is anything else among them.

    In Portuguese "meia" is 6. In English "oh" is 0, and "double five" is 55. Ten to nineteen are two digits, as in an
    area that is said as "onze". From twenty on numbers are None: whether they are 22 or 20 and 2 is for the caller to
    say. Only the "zero oitocentos" that a Brazilian number begins with is 0800. Digits that a transcript has grouped,
    such as "123.456.789-09", are taken as they stand.

    >>> heard_digits("um nove meia, dois", "pt-BR"), heard_digits("double four oh 7"), heard_digits("twenty-two")
    ('1962', '4407', None)
    """
    locale = checked_locale(locale)
    found: list[str] = []
    times = 1
    for word in words_of(said) or []:
        bare = plain(word.strip(".!?"))
        if locale == "en" and bare in _REPEATED and times == 1:
            times = _REPEATED[bare]
            continue
        value = _written(bare) or _HEARD_DIGITS[locale].get(bare)
        if locale == "pt-BR" and found == ["0"]:
            value = value or _PREFIXES.get(bare)
        if value is None or (times > 1 and len(value) > 1):
            return None
        found.append(value * times)
        times = 1
    whole = "".join(found)
    return whole if whole and times == 1 and len(whole) <= MAX_CHARACTERS else None


def _written(word: str) -> str | None:
    """Return the digits of a word that a transcript has in digits, or None."""
    bare = "".join(c for c in word if c not in "-.()/+")
    return bare if bare.isascii() and bare.isdigit() else None


def heard_code(said: str, locale: Locale = "en") -> str | None:
    """Return the code that somebody spelled, in capitals, or None if a word is neither a letter nor a digit.

    >>> heard_code("A as in Alfa, B, dash, one two"), heard_code("bê de bola, sete", "pt-BR")
    ('AB-12', 'B7')
    """
    locale = checked_locale(locale)
    words = [word.strip(".!?") for word in words_of(said) or []]
    found, at = [], 0
    while at < len(words):
        character = heard_character(words[at], locale)
        if character is None:
            return None
        found.append(character)
        at += 1 + _explained(words[at + 1 :], character, locale)
    whole = "".join(found)
    return whole if whole and len(whole) <= MAX_CHARACTERS else None


def heard_character(word: str, locale: Locale) -> str | None:
    """Return the letter, the digits or the mark that a word stands for, or None."""
    bare = plain(word)
    if locale == "en" and bare == "o":
        return "O"  # among letters
    digit_ = bare if bare.isascii() and bare.isdigit() else _HEARD_DIGITS[locale].get(bare)
    if digit_ is not None:
        return digit_
    if (
        len(bare) > 1
        and any(c.isdigit() for c in bare)
        and all((c.isascii() and c.isalnum()) or c in "-/" for c in bare)
    ):
        return bare.upper()  # as a transcript has it
    one = bare.upper() if len(bare) == 1 and bare.isascii() and bare.isalpha() else None
    return _HEARD_LETTERS[locale].get(bare) or _HEARD_MARKS[locale].get(bare) or one


def _explained(words: list[str], character: str, locale: Locale) -> int:
    """Return how many of the next words only explain a letter, as in "B as in Bravo" and "bê de bola"."""
    ahead = [plain(word) for word in words[:3]]
    explains = ["as", "in"] if locale == "en" else ["de"]
    end = len(explains)
    if ahead[:end] != explains or len(ahead) <= end or not character.isalpha():
        return 0
    example = ahead[end]
    # "de" is the name of a letter, too: only a word of its own after it makes it an explanation.
    said = example.startswith(character.lower()) and len(example) > 1
    return end + 1 if said and (locale == "en" or words[end - 1] == "de") else 0
