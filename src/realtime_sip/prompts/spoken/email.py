"""E-mail addresses, spelled, and what callers say as an address again."""

from __future__ import annotations

import re

from realtime_sip.prompts.locales import Locale, checked_locale
from realtime_sip.prompts.numbers import is_large
from realtime_sip.prompts.spoken.characters import digit, heard_character, letter, plain, refused, words_of

_ADDRESS = re.compile(r"[a-z0-9._+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,63}")
_WORDS = frozenset(
    {
        *("gmail", "hotmail", "icloud", "live", "msn", "outlook", "yahoo", "bol", "globo", "ig", "terra", "uol"),
        *("com", "edu", "gov", "net", "org"),
    }
)
"""Parts of domains that are said as words. Others are spelled."""
_SIGNS: dict[Locale, dict[str, str]] = {
    "en": {"@": "at", ".": "dot", "_": "underscore", "-": "dash", "+": "plus"},
    "pt-BR": {"@": "arroba", ".": "ponto", "_": "underline", "-": "hífen", "+": "mais"},
}
_HEARD: dict[Locale, dict[str, str]] = {
    locale: {plain(word): sign for sign, word in signs.items()} for locale, signs in _SIGNS.items()
}
_HEARD["en"] |= {"hyphen": "-"}
_HEARD["pt-BR"] |= {"traco": "-", "sublinhado": "_"}


def email(address: str, locale: Locale = "en") -> str:
    """Return an e-mail address, spelled; the names of well-known providers are words.

    >>> email("ana_r6@gmail.com"), email("ana_r6@gmail.com", "pt-BR")
    ('A N A underscore R six at gmail dot com', 'á ene á underline erre seis arroba gmail ponto com')

    Args:
        address: An address of ASCII letters, digits, ".", "_", "+" and "-". Capitals and small letters are not told
            apart.
        locale: The language of the words.

    Raises:
        InvalidRequestError: It is no such address.
    """
    locale = checked_locale(locale)
    lower = address.lower()
    if len(address) > 254 or not _ADDRESS.fullmatch(lower):
        raise refused("an e-mail address", "must be such as name@example.com")
    local, _, domain = lower.partition("@")
    said = _spelled(local, locale)
    labels = [[label] if label in _WORDS else _spelled(label, locale) for label in domain.split(".")]
    for at, label in enumerate(labels):
        said += [_SIGNS[locale]["." if at else "@"], *label]
    return " ".join(said)


def _spelled(text: str, locale: Locale) -> list[str]:
    return [_SIGNS[locale].get(c) or (digit(c, locale, meia=False) if c.isdigit() else letter(c, locale)) for c in text]


def heard_email(said: str, locale: Locale = "en") -> str | None:
    """Return the e-mail address that somebody said or spelled, or None if it is not an address.

    Words that are no letters stay words, so that "maria dot silva at gmail dot com" is understood. Numbers of two
    digits and more are understood only digit by digit: "twenty-three" can be 23, 203 or a word, and is None.

    >>> heard_email("á ene á ponto silva arroba uol ponto com ponto bê erre", "pt-BR")
    'ana.silva@uol.com.br'
    """
    locale = checked_locale(locale)
    parts = []
    for word in words_of(said) or []:
        bare = plain(word.strip(".!?"))
        if is_large(bare, locale):
            return None
        parts.append(_HEARD[locale].get(bare) or heard_character(bare, locale) or bare)
    address = "".join(parts).lower()
    return address if len(address) <= 254 and _ADDRESS.fullmatch(address) else None
