"""The languages that prompts are written in, and what the languages that callers speak are called in them."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from realtime_sip.errors import ConfigurationError

Locale: TypeAlias = Literal["en", "pt-BR"]
"""A language that ready-made text and spoken forms are written in: American English, or the Portuguese of Brazil."""

_LOCALES: tuple[Locale, ...] = get_args(Locale)

# BCP 47 tag, in lower case -> its name in English and in Portuguese.
_NAMES = {
    "ar": ("Arabic", "árabe"),
    "de": ("German", "alemão"),
    "en": ("English", "inglês"),
    "en-gb": ("British English", "inglês britânico"),
    "en-us": ("American English", "inglês americano"),
    "es": ("Spanish", "espanhol"),
    "es-419": ("Latin American Spanish", "espanhol latino-americano"),
    "es-ar": ("Argentine Spanish", "espanhol da Argentina"),
    "es-es": ("the Spanish of Spain", "espanhol da Espanha"),
    "es-mx": ("Mexican Spanish", "espanhol do México"),
    "fr": ("French", "francês"),
    "fr-ca": ("Canadian French", "francês do Canadá"),
    "hi": ("Hindi", "hindi"),
    "it": ("Italian", "italiano"),
    "ja": ("Japanese", "japonês"),
    "ko": ("Korean", "coreano"),
    "nl": ("Dutch", "holandês"),
    "pl": ("Polish", "polonês"),
    "pt": ("Portuguese", "português"),
    "pt-br": ("Brazilian Portuguese", "português do Brasil"),
    "pt-pt": ("European Portuguese", "português de Portugal"),
    "ru": ("Russian", "russo"),
    "tr": ("Turkish", "turco"),
    "uk": ("Ukrainian", "ucraniano"),
    "zh": ("Chinese", "chinês"),
}


def checked_locale(locale: str) -> Locale:
    """Return `locale`.

    Raises:
        ConfigurationError: There is no text in it.
    """
    for known in _LOCALES:
        if locale == known:
            return known
    raise ConfigurationError(f"locale must be one of: {', '.join(_LOCALES)}")


def language_name(language: str, locale: Locale) -> str:
    """Return what a language is called in `locale`. What is not a tag known here is taken for a name, and returned.

    >>> language_name("es-AR", "en"), language_name("pt-BR", "pt-BR"), language_name("Guaraní", "en")
    ('Argentine Spanish', 'português do Brasil', 'Guaraní')
    """
    names = _NAMES.get(language.lower())
    return language if names is None else names[_LOCALES.index(locale)]


def written_as_tag(language: str) -> bool:
    """Whether a language is given as a BCP 47 tag, such as "pt-BR", and not by its name."""
    primary = language.partition("-")[0]
    return len(primary) in (2, 3) and primary.isascii() and primary.isalpha()


def written_in(language: str) -> Locale | None:
    """Return the locale whose phrases a speaker of this language understands, or None."""
    primary = language.lower().partition("-")[0]
    return "en" if primary == "en" else "pt-BR" if primary == "pt" else None
