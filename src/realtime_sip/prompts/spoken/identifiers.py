"""Numbers that people have: phone numbers, and Brazil's CPF, CNPJ and CEP. Those that are sensitive are masked."""

from __future__ import annotations

from realtime_sip.prompts.locales import Locale, checked_locale
from realtime_sip.prompts.numbers import number as in_words
from realtime_sip.prompts.spoken.characters import code, digit, digits, grouped, letter, refused

_HOMES: dict[Locale, str] = {"en": "1", "pt-BR": "55"}
# Country codes of two digits begin with these (ITU-T E.164), but for those of three digits below.
_ONE = ("1", "7")
_TWO = {
    *("20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48", "49"),
    *("51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81", "82", "84"),
    *("86", "90", "91", "92", "93", "94", "95", "98"),
}


def phone(number: str, locale: Locale = "en", *, home: str | None = None) -> str:
    """Return a phone number in the groups in which it is said.

    Numbers of Brazil and of North America have their own groups; those of other countries are in threes and fours.

    >>> phone("+5511987654321", "pt-BR")
    'um um, nove oito sete meia cinco, quatro três dois um'
    >>> phone("08007771234", "pt-BR")
    'zero oitocentos, sete sete sete, um dois três quatro'
    >>> phone("+14155550123")
    'four one five, five five five, zero one two three'
    >>> phone("+442071234567")
    'plus four four, two zero seven, one two three, four five six seven'

    Args:
        number: In E.164, such as "+14155550123". For Brazil "0800…" and "0300…" are taken too.
        locale: The language of the words.
        home: The country code that is left out; that of the language's country if not given, "1" or "55".

    Raises:
        InvalidRequestError: It is not a number in E.164.
    """
    locale = checked_locale(locale)
    home = _HOMES[locale] if home is None else home
    if number.startswith(("0800", "0300")) and len(number) == 11 and number.isascii() and number.isdigit():
        return _free(number, locale)
    value = number.removeprefix("+")
    if not (number.startswith("+") and value.isascii() and value.isdigit() and 7 <= len(value) <= 15):
        raise refused("a phone number", "must be in E.164, such as +14155550123")
    country = value[: 1 if value.startswith(_ONE) else 2 if value[:2] in _TWO else 3]
    national = value[len(country) :]
    groups: tuple[int, ...] = ()
    free = country == "55" and national[:3] in ("800", "300") and len(national) == 10
    if country == "55" and len(national) in (10, 11):
        groups = (2, 5 if len(national) == 11 else 4, 4)
    elif country == "1" and len(national) == 10:
        groups = (3, 3, 4)
    said = _free(f"0{national}", locale) if free else digits(national, locale, groups=groups)
    if country == home:
        return said
    plus = "plus" if locale == "en" else "mais"
    return f"{plus} {digits(country, locale)}, {said}"


def _free(number: str, locale: Locale) -> str:
    """Return a number with 0800 or 0300, which Brazilians say as "zero oitocentos"."""
    if locale == "en":
        return digits(number, locale, groups=(4, 3, 4))
    return f"zero {in_words(int(number[1:4]), locale)}, {digits(number[4:], locale, groups=(3, 4))}"


def cpf(number: str, locale: Locale = "pt-BR", *, whole: bool = False) -> str:
    """Return a CPF by its last three digits, or the `whole` of it.

    >>> cpf("123.456.789-09"), cpf("12345678909", whole=True)
    ('final nove zero nove', 'um dois três, quatro cinco meia, sete oito nove, zero nove')

    Raises:
        InvalidRequestError: It has not 11 digits. Whether its check digits are right is not looked at.
    """
    value = _bare(number)
    if not (value.isdigit() and len(value) == 11):
        raise refused("a CPF", "must have 11 digits")
    return digits(value, locale, groups=(3, 3, 3, 2)) if whole else ending(value, locale)


def cnpj(number: str, locale: Locale = "pt-BR", *, whole: bool = False) -> str:
    """Return a CNPJ by its last three characters, or the `whole` of it.

    Since July 2026 new ones have letters among their first twelve characters (IN RFB 2.229).

    >>> cnpj("12.ABC.345/01DE-35", whole=True)
    'um dois, á bê cê, três quatro cinco, zero um dê é, três cinco'

    Raises:
        InvalidRequestError: It has not 12 letters or digits and two digits behind them. Whether the check digits are
            right is not looked at.
    """
    value = _bare(number).upper()
    if not (value.isalnum() and len(value) == 14 and value[12:].isdigit()):
        raise refused("a CNPJ", "must have 12 letters or digits, and two digits behind them")
    if not whole:
        return ending(value, locale)
    locale = checked_locale(locale)
    parts = grouped(value, (2, 3, 3, 4, 2))
    return ", ".join(" ".join(digit(c, locale) if c.isdigit() else letter(c, locale) for c in part) for part in parts)


def cep(number: str, locale: Locale = "pt-BR") -> str:
    """Return a CEP, Brazil's postal code.

    >>> cep("01310-100")
    'zero um três um zero, um zero zero'

    Raises:
        InvalidRequestError: It has not 8 digits.
    """
    value = _bare(number)
    if not (value.isdigit() and len(value) == 8):
        raise refused("a CEP", "must have 8 digits")
    return digits(value, locale, groups=(5, 3))


def ending(text: str, locale: Locale = "en") -> str:
    """Return the last three characters of what is not to be said aloud as a whole, such as a card's number.

    >>> ending("4111 1111 1111 1234"), ending("AB-1234567", "pt-BR")
    ('ending in two three four', 'final cinco meia sete')

    Raises:
        InvalidRequestError: It has less than six letters and digits, so that three of them say too much.
    """
    value = _bare(text)
    if len(value) < 6 or not value.isalnum():
        raise refused("what is said by its ending", "must have at least 6 letters or digits")
    return f"{'ending in' if checked_locale(locale) == 'en' else 'final'} {code(value[-3:], locale)}"


def _bare(number: str) -> str:
    """Return a number without the marks that it is written with; "" if there is anything else."""
    value = "".join(c for c in number[:100] if c not in " .-/()")
    return value if value.isascii() and value.isalnum() else ""
