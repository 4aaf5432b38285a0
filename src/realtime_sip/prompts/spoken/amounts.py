"""Sums of money in words."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

from realtime_sip.prompts.locales import Locale, checked_locale
from realtime_sip.prompts.numbers import MAX_NUMBER, number
from realtime_sip.prompts.spoken.characters import refused

Currency: TypeAlias = Literal["BRL", "EUR", "USD"]

# One and many, of the currency and of its hundredth.
_NAMES: dict[tuple[str, Locale], tuple[str, str, str, str]] = {
    ("BRL", "en"): ("real", "reais", "centavo", "centavos"),
    ("BRL", "pt-BR"): ("real", "reais", "centavo", "centavos"),
    ("EUR", "en"): ("euro", "euros", "cent", "cents"),
    ("EUR", "pt-BR"): ("euro", "euros", "centavo", "centavos"),
    ("USD", "en"): ("dollar", "dollars", "cent", "cents"),
    ("USD", "pt-BR"): ("dólar", "dólares", "centavo", "centavos"),
}


def money(amount: Decimal | int | str, currency: Currency, locale: Locale = "en") -> str:
    """Return a sum of money in words.

    >>> money("12.50", "BRL", "pt-BR"), money(1_000_000, "BRL", "pt-BR"), money("0.99", "USD")
    ('doze reais e cinquenta centavos', 'um milhão de reais', 'ninety-nine cents')

    Args:
        amount: A decimal, a whole number, or the text of one, such as "12.50". A float is refused: it is not exact.
        currency: BRL, EUR or USD.
        locale: The language of the words.

    Raises:
        InvalidRequestError: It is a float, out of range, has parts of a hundredth, or the currency is not known.
    """
    names = _NAMES.get((currency, checked_locale(locale)))
    if names is None:
        raise refused("a sum of money", "must be in BRL, EUR or USD")
    cents = _cents(amount)
    units, cents_left = divmod(abs(cents), 100)
    parts = []
    if units or not cents_left:
        # Whole millions take "de" in Portuguese.
        of = " de" if locale == "pt-BR" and units and units % 1_000_000 == 0 else ""
        parts.append(f"{number(units, locale)}{of} {names[units != 1]}")
    if cents_left:
        parts.append(f"{number(cents_left, locale)} {names[2 + (cents_left != 1)]}")
    sign = "" if cents >= 0 else "minus " if locale == "en" else "menos "
    return sign + (" and " if locale == "en" else " e ").join(parts)


def _cents(amount: object) -> int:
    if isinstance(amount, (bool, float)) or not isinstance(amount, (Decimal, int, str)):
        raise refused("a sum of money", "must be a Decimal, a whole number or a text such as '12.50'")
    try:
        value = Decimal(amount)
        # Compared first: a hundred times 1E+999999 has a million digits, and of 1E-999999 as many are shown.
        if value.is_finite() and abs(value) < MAX_NUMBER + 1:
            cents = value.quantize(Decimal("0.01"))
            if cents == value:
                return int(cents * 100)
    except InvalidOperation:
        pass
    raise refused("a sum of money", f"must have at most two decimals and be {MAX_NUMBER:,} at most")
