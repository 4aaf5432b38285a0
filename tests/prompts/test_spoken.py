"""Spoken forms: how values are said in both languages, and that what is said can be read back to the value."""

from __future__ import annotations

import datetime as dt
import random
import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.errors import InvalidRequestError, RealtimeSipError
from realtime_sip.prompts import spoken
from realtime_sip.prompts.locales import Locale

LOCALES: st.SearchStrategy[Locale] = st.sampled_from(["en", "pt-BR"])
DIGITS = st.text("0123456789", min_size=1, max_size=30)
NUMBERS = st.integers(0, 999_999_999) | st.integers(0, 2_100)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "english", "portuguese"),
    [
        (0, "zero", "zero"),
        (14, "fourteen", "quatorze"),
        (16, "sixteen", "dezesseis"),
        (21, "twenty-one", "vinte e um"),
        (100, "one hundred", "cem"),
        (101, "one hundred one", "cento e um"),
        (999, "nine hundred ninety-nine", "novecentos e noventa e nove"),
        (1_000, "one thousand", "mil"),
        (1_001, "one thousand one", "mil e um"),
        (1_100, "one thousand one hundred", "mil e cem"),
        (1_101, "one thousand one hundred one", "mil cento e um"),
        (2_026, "two thousand twenty-six", "dois mil e vinte e seis"),
        (21_000, "twenty-one thousand", "vinte e um mil"),
        (200_202, "two hundred thousand two hundred two", "duzentos mil duzentos e dois"),
        (1_000_000, "one million", "um milhão"),
        (1_200_000, "one million two hundred thousand", "um milhão e duzentos mil"),
        (1_200_050, "one million two hundred thousand fifty", "um milhão duzentos mil e cinquenta"),
        (2_000_001, "two million one", "dois milhões e um"),
    ],
)
def test_numbers_in_words(value: int, english: str, portuguese: str) -> None:
    assert spoken.number(value) == english
    assert spoken.number(value, "pt-BR") == portuguese


def test_what_is_counted_can_be_feminine_in_portuguese() -> None:
    assert spoken.number(2, "pt-BR", feminine=True) == "duas"
    assert spoken.number(2_201, "pt-BR", feminine=True) == "duas mil duzentas e uma"
    assert spoken.number(2_000_002, "pt-BR", feminine=True) == "dois milhões e duas"
    assert spoken.number(2, feminine=True) == "two"


@given(NUMBERS, LOCALES, st.booleans())
def test_law_a_number_is_read_back(value: int, locale: Locale, feminine: bool) -> None:
    assert spoken.heard_number(spoken.number(value, locale, feminine=feminine), locale) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("two thousand and twenty-six", 2026),
        ("a hundred", 100),
        ("one nineteen", None),
        ("twenty ten", None),
        ("two hundred three hundred", None),
        ("thousand", None),
        ("zero five", None),
        ("banana", None),
        ("", None),
        ("one million million", None),
        ("42", 42),
        ("1,200", 1_200),
        ("1.200", None),
        ("1,20", None),
        ("99999999999", None),
        ("²", None),
        ("one " * 500, None),
    ],
)
def test_what_is_not_one_number_is_none(said: str, value: int | None) -> None:
    assert spoken.heard_number(said) == value


def test_numbers_are_understood_in_the_ways_that_brazilians_say_them() -> None:
    for said, value in (
        ("1.200", 1_200),
        ("catorze", 14),
        ("mil e duzentas", 1200),
        ("dois mil", 2000),
        ("um milhao", 1_000_000),
    ):
        assert spoken.heard_number(said, "pt-BR") == value
    assert spoken.heard_number("vinte dez", "pt-BR") is None
    assert spoken.heard_number("meia", "pt-BR") is None, "it is a digit, and half of something"


# --- digits and codes -------------------------------------------------------------------------------------------------


def test_six_is_meia_in_a_row_of_digits_and_seis_everywhere_else() -> None:
    assert spoken.digits("666", "pt-BR") == "meia meia meia"
    assert spoken.digits("666", "pt-BR", meia=False) == "seis seis seis"
    assert spoken.number(66, "pt-BR") == "sessenta e seis"
    assert "seis" in spoken.money(6, "BRL", "pt-BR")
    assert "seis" in spoken.date(dt.date(2026, 6, 6), "pt-BR")
    assert "seis" in spoken.time(dt.time(6), "pt-BR")
    assert "seis" in spoken.email("a6@uol.com.br", "pt-BR")


@given(DIGITS, LOCALES, st.booleans(), st.lists(st.integers(0, 5), max_size=4))
def test_law_digits_are_read_back_whatever_their_groups(
    text: str, locale: Locale, meia: bool, groups: list[int]
) -> None:
    for chosen in (groups, None):
        said = spoken.digits(text, locale, groups=chosen, meia=meia)
        assert spoken.heard_digits(said, locale) == text


@pytest.mark.parametrize(
    ("length", "groups"),
    [
        (1, [1]),
        (4, [4]),
        (5, [5]),
        (6, [3, 3]),
        (7, [3, 4]),
        (8, [4, 4]),
        (9, [3, 3, 3]),
        (10, [3, 3, 4]),
        (11, [3, 4, 4]),
    ],
)
def test_digits_come_in_threes_and_fours(length: int, groups: list[int]) -> None:
    said = spoken.digits("1" * length)
    assert [len(group.split()) for group in said.split(", ")] == groups


@pytest.mark.parametrize(
    ("said", "locale", "digits"),
    [
        ("Nove, meia, um.", "pt-BR", "961"),
        ("tres MEIA", "pt-BR", "36"),
        ("double five oh 7", "en", "5507"),
        ("triple zero", "en", "000"),
        ("12 3", "en", "123"),
        ("11 98765-4321", "pt-BR", "11987654321"),
        ("123.456.789-09.", "pt-BR", "12345678909"),
        ("(415) 555-0123", "en", "4155550123"),
        ("--", "en", None),
        ("double", "en", None),
        ("double twelve", "en", None),
        ("triple ten", "en", None),
        ("double 12", "en", None),
        ("twenty-two", "en", None),
        ("meia dúzia", "pt-BR", None),
        ("vinte e dois", "pt-BR", None),
        ("onze, nove oito sete meia cinco, quatro três dois um", "pt-BR", "11987654321"),
        ("dez dezenove catorze", "pt-BR", "101914"),
        ("eleven nineteen", "en", "1119"),
        ("twenty one", "en", None),
        ("zero oitocentos, sete sete sete, um dois três quatro", "pt-BR", "08007771234"),
        ("zero trezentos", "pt-BR", "0300"),
        ("oitocentos", "pt-BR", None),
        ("um zero oitocentos", "pt-BR", None),
        ("zero oitocentos", "en", None),
        ("٣", "en", None),
        ("", "en", None),
        ("one " * 5_000, "en", None),
    ],
)
def test_digits_are_heard_one_by_one_or_not_at_all(said: str, locale: Locale, digits: str | None) -> None:
    assert spoken.heard_digits(said, locale) == digits


CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/._", min_size=1, max_size=20)


@given(CODES, LOCALES, st.booleans())
def test_law_codes_are_read_back(text: str, locale: Locale, alphabet: bool) -> None:
    assert spoken.heard_code(spoken.code(text, locale, alphabet=alphabet), locale) == text


def test_codes_are_spelled_by_the_names_of_their_letters() -> None:
    assert spoken.code("WY-6", "pt-BR") == "dáblio ípsilon, traço, meia"
    assert spoken.code("wy-6") == "W Y, dash, six"
    assert spoken.code("QX", "pt-BR", alphabet=True) == "quê de queijo, xis de xale"
    assert spoken.code("QX", alphabet=True) == "Q as in Quebec, X as in X-ray"
    letters = [spoken.code(chr(c), "pt-BR") for c in range(ord("A"), ord("Z") + 1)]
    assert len(set(letters)) == 26


@pytest.mark.parametrize(
    ("said", "locale", "code"),
    [
        ("a b 12", "en", "AB12"),
        ("dê de dado, e, dois", "pt-BR", "DE2"),
        ("dê de", "pt-BR", "DD"),
        ("B as in Boy", "en", "B"),
        ("B as in Cat", "en", None),
        ("hello", "en", None),
        ("AB-12", "en", "AB-12"),
        ("B7 cê", "pt-BR", "B7C"),
        ("", "pt-BR", None),
    ],
)
def test_codes_are_heard_in_the_ways_that_callers_spell(said: str, locale: Locale, code: str | None) -> None:
    assert spoken.heard_code(said, locale) == code


# --- numbers that people have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "locale", "said"),
    [
        ("+5511987654321", "pt-BR", "um um, nove oito sete meia cinco, quatro três dois um"),
        ("+551132654321", "pt-BR", "um um, três dois meia cinco, quatro três dois um"),
        ("+558007771234", "pt-BR", "zero oitocentos, sete sete sete, um dois três quatro"),
        ("08007771234", "pt-BR", "zero oitocentos, sete sete sete, um dois três quatro"),
        ("03007771234", "pt-BR", "zero trezentos, sete sete sete, um dois três quatro"),
        ("08007771234", "en", "zero eight zero zero, seven seven seven, one two three four"),
        ("+14155550123", "pt-BR", "mais um, quatro um cinco, cinco cinco cinco, zero um dois três"),
        ("+14155550123", "en", "four one five, five five five, zero one two three"),
        ("+551132654321", "en", "plus five five, one one, three two six five, four three two one"),
        ("+351912345678", "en", "plus three five one, nine one two, three four five, six seven eight"),
        ("+79161234567", "en", "plus seven, nine one six, one two three, four five six seven"),
    ],
)
def test_phone_numbers_are_said_in_their_countrys_groups(number: str, locale: Locale, said: str) -> None:
    assert spoken.phone(number, locale) == said


def test_the_country_code_of_another_home_is_left_out() -> None:
    assert spoken.phone("+442071234567", home="44") == "two zero seven, one two three, four five six seven"
    assert spoken.phone("+14155550123", home="44").startswith("plus one, ")


@given(st.integers(10, 99), st.integers(20_000_000, 999_999_999), LOCALES)
def test_law_phone_numbers_are_read_back(area: int, number: int, locale: Locale) -> None:
    national = f"{area}{number}"
    said = spoken.phone(f"+55{national}", locale, home="55")
    assert spoken.heard_digits(said, locale) == national


@given(st.text("0123456789", min_size=11, max_size=11), LOCALES)
def test_law_a_cpf_is_masked_unless_asked_for_whole_and_then_read_back(number: str, locale: Locale) -> None:
    dotted = f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"
    assert spoken.cpf(dotted, locale) == spoken.cpf(number, locale)
    assert len(spoken.cpf(number, locale).split()) <= 5
    said = spoken.cpf(dotted, locale, whole=True)
    assert spoken.heard_digits(said, locale) == number
    assert [len(group.split()) for group in said.split(", ")] == [3, 3, 3, 2]


@given(st.from_regex(r"[0-9A-Z]{12}[0-9]{2}", fullmatch=True), LOCALES)
def test_law_a_cnpj_may_have_letters_and_is_read_back(number: str, locale: Locale) -> None:
    dotted = f"{number[:2]}.{number[2:5]}.{number[5:8]}/{number[8:12]}-{number[12:]}"
    said = spoken.cnpj(dotted.lower(), locale, whole=True)
    assert spoken.heard_code(said, locale) == number
    assert [len(group.split()) for group in said.split(", ")] == [2, 3, 3, 4, 2]
    assert spoken.heard_code(spoken.cnpj(number, locale).partition(" ")[2].removeprefix("in "), locale) == number[-3:]


@given(st.text("0123456789", min_size=8, max_size=8), LOCALES)
def test_law_a_cep_is_read_back(number: str, locale: Locale) -> None:
    said = spoken.cep(f"{number[:5]}-{number[5:]}", locale)
    assert spoken.heard_digits(said, locale) == number
    assert [len(group.split()) for group in said.split(", ")] == [5, 3]


# --- money ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "portuguese", "english"),
    [
        ("12.50", "BRL", "doze reais e cinquenta centavos", "twelve reais and fifty centavos"),
        ("1", "BRL", "um real", "one real"),
        ("1.01", "BRL", "um real e um centavo", "one real and one centavo"),
        ("0.50", "BRL", "cinquenta centavos", "fifty centavos"),
        ("0", "BRL", "zero reais", "zero reais"),
        ("1000000", "BRL", "um milhão de reais", "one million reais"),
        ("2000000.10", "BRL", "dois milhões de reais e dez centavos", "two million reais and ten centavos"),
        ("1200000", "BRL", "um milhão e duzentos mil reais", "one million two hundred thousand reais"),
        ("2", "USD", "dois dólares", "two dollars"),
        ("0.01", "USD", "um centavo", "one cent"),
        ("3.02", "EUR", "três euros e dois centavos", "three euros and two cents"),
        ("-4.10", "BRL", "menos quatro reais e dez centavos", "minus four reais and ten centavos"),
    ],
)
def test_money_in_words(amount: str, currency: Any, portuguese: str, english: str) -> None:
    assert spoken.money(Decimal(amount), currency, "pt-BR") == portuguese
    assert spoken.money(amount, currency, "en") == english


def read_money(said: str, locale: Locale) -> Decimal:
    """Return the sum that was said: a test's reader, which knows nothing of how it is written."""
    one_and = " and " if locale == "en" else " e "
    for unit in ("reais", "real", "dollars", "dollar", "dólares", "dólar", "euros", "euro"):
        if f" {unit}" in said:
            units, _, cents = said.partition(f" {unit}")
            break
    else:
        units, cents = "zero", said
    cents = cents.removeprefix(one_and).rpartition(" ")[0]
    whole = spoken.heard_number(units.removesuffix(" de"), locale)
    part = spoken.heard_number(cents, locale) if cents else 0
    assert whole is not None
    assert part is not None
    return Decimal(whole) + Decimal(part) / 100


@given(st.integers(0, 99_999_999_999), st.sampled_from(["BRL", "EUR", "USD"]), LOCALES)
def test_law_money_is_read_back(cents: int, currency: Any, locale: Locale) -> None:
    amount = Decimal(cents) / 100
    assert read_money(spoken.money(amount, currency, locale), locale) == amount


# --- dates and times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "english", "portuguese"),
    [
        (dt.date(2026, 3, 1), "March first, twenty twenty-six", "primeiro de março de dois mil e vinte e seis"),
        (dt.date(1999, 8, 31), "August thirty-first, nineteen ninety-nine", "trinta e um de agosto de mil novecentos e noventa e nove"),  # noqa: E501
        (dt.date(2005, 8, 20), "August twentieth, two thousand five", "vinte de agosto de dois mil e cinco"),
        (dt.date(2000, 1, 12), "January twelfth, two thousand", "doze de janeiro de dois mil"),
        (dt.date(1900, 5, 3), "May third, nineteen hundred", "três de maio de mil e novecentos"),
        (dt.date(1906, 5, 22), "May twenty-second, nineteen oh six", "vinte e dois de maio de mil novecentos e seis"),
    ],
)  # fmt: skip
def test_dates_in_words(day: dt.date, english: str, portuguese: str) -> None:
    assert spoken.date(day) == english
    assert spoken.date(day, "pt-BR") == portuguese


def test_a_date_may_have_its_weekday_and_need_not_have_its_year() -> None:
    assert spoken.date(dt.date(2026, 12, 1), year=False, weekday=True) == "Tuesday, December first"
    assert spoken.date(dt.date(2026, 12, 5), "pt-BR", year=False, weekday=True) == "sábado, cinco de dezembro"


ORDINALS = {f"{head}{word}": value for head, tens in (("", 0), ("twenty-", 20), ("thirty-", 30)) for value, word in (
    (tens + one, word) for one, word in enumerate(
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"], start=1
    )
)}  # fmt: skip
ORDINALS |= {"tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15}
ORDINALS |= {"sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30}
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "pt-BR": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
}


def read_year(said: str) -> int:
    whole = spoken.heard_number(said)
    if whole is not None and whole >= 1_000:
        return whole
    head, tail = said.rsplit(" ", 1)
    if tail == "hundred":
        return 100 * (spoken.heard_number(head) or 0)
    return 100 * (spoken.heard_number(head.removesuffix(" oh")) or 0) + (spoken.heard_number(tail) or 0)


@given(st.dates(min_value=dt.date(1000, 1, 1)))
def test_law_dates_are_read_back(day: dt.date) -> None:
    month, _, rest = spoken.date(day).partition(" ")
    ordinal, _, year = rest.partition(", ")
    assert dt.date(read_year(year), MONTHS["en"].split().index(month) + 1, ORDINALS[ordinal]) == day
    of_month, month, year = spoken.date(day, "pt-BR").split(" de ")
    heard = 1 if of_month == "primeiro" else spoken.heard_number(of_month, "pt-BR")
    assert (spoken.heard_number(year, "pt-BR"), MONTHS["pt-BR"].split().index(month) + 1, heard) == (
        day.year,
        day.month,
        day.day,
    )


@pytest.mark.parametrize(
    ("moment", "english", "portuguese"),
    [
        (dt.time(0), "midnight", "meia-noite"),
        (dt.time(0, 30), "twelve thirty a.m.", "meia-noite e meia"),
        (dt.time(1), "one a.m.", "uma hora"),
        (dt.time(6, 30), "six thirty a.m.", "seis e meia"),
        (dt.time(9, 5), "nine oh five a.m.", "nove horas e cinco minutos"),
        (dt.time(12), "noon", "meio-dia"),
        (dt.time(12, 30), "twelve thirty p.m.", "meio-dia e meia"),
        (dt.time(14, 30), "two thirty p.m.", "quatorze horas e trinta minutos"),
        (dt.time(21, 1), "nine oh one p.m.", "vinte e uma horas e um minuto"),
    ],
)
def test_times_in_words(moment: dt.time, english: str, portuguese: str) -> None:
    assert spoken.time(moment) == english
    assert spoken.time(dt.datetime.combine(dt.date(2026, 1, 1), moment), "pt-BR") == portuguese


def read_time(said: str) -> dt.time:
    if said in ("noon", "midnight"):
        return dt.time(12 if said == "noon" else 0)
    *words, half = said.split()
    minute = spoken.heard_number(words[-1]) if len(words) > 1 else 0
    hour = (spoken.heard_number(words[0]) or 0) % 12 + (12 if half == "p.m." else 0)
    return dt.time(hour, minute or 0)


def ler_hora(said: str) -> dt.time:
    for name, hour in (("meio-dia", 12), ("meia-noite", 0)):
        if said.startswith(name):
            rest = said.removeprefix(name).removeprefix(" e ")
            return dt.time(hour, minutos(rest))
    hours, _, rest = said.partition(" hora")
    if not rest and hours.endswith(" e meia"):
        return dt.time(spoken.heard_number(hours.removesuffix(" e meia"), "pt-BR") or 0, 30)
    return dt.time(spoken.heard_number(hours, "pt-BR") or 0, minutos(rest.removeprefix("s").removeprefix(" e ")))


def minutos(said: str) -> int:
    return 30 if said == "meia" else (spoken.heard_number(said.rpartition(" ")[0], "pt-BR") or 0) if said else 0


def test_law_every_minute_of_the_day_is_read_back() -> None:
    for hour in range(24):
        for minute in range(60):
            moment = dt.time(hour, minute)
            assert read_time(spoken.time(moment)) == moment
            assert ler_hora(spoken.time(moment, "pt-BR")) == moment


# --- e-mail -----------------------------------------------------------------------------------------------------------

ADDRESSES = st.from_regex(
    r"[a-z0-9._+-]{1,20}@(gmail|outlook|uol|[a-z0-9-]{1,12})\.(com|com\.br|org|io|[a-z]{2,5})", fullmatch=True
)


@given(ADDRESSES, LOCALES)
def test_law_an_address_is_read_back(address: str, locale: Locale) -> None:
    assert spoken.heard_email(spoken.email(address.upper(), locale), locale) == address


def test_addresses_are_spelled_and_known_providers_are_words() -> None:
    assert spoken.email("ana@uol.com.br", "pt-BR") == "á ene á arroba uol ponto com ponto bê erre"
    assert spoken.email("ana+x@acme.io") == "A N A plus X at A C M E dot I O"


@pytest.mark.parametrize(
    ("said", "locale", "address"),
    [
        ("maria ponto silva arroba gmail ponto com", "pt-BR", "maria.silva@gmail.com"),
        ("Ana traço erre meia arroba uol ponto com ponto bê erre.", "pt-BR", "ana-r6@uol.com.br"),
        ("joe at example dot org", "en", "joe@example.org"),
        # 20 or "vinte", 23 or 203: neither is sure, and one wrong character is another's address.
        ("ana vinte arroba gmail ponto com", "pt-BR", None),
        ("ana vinte e três arroba gmail ponto com", "pt-BR", None),
        ("ana dois mil e vinte arroba gmail ponto com", "pt-BR", None),
        ("joe nineteen at example dot org", "en", None),
        ("joe twenty-three at example dot org", "en", None),
        ("joe23@example.org", "en", "joe23@example.org"),
        ("ana dois três arroba gmail ponto com", "pt-BR", "ana23@gmail.com"),
        ("joe at example", "en", None),
        ("at dot com", "en", None),
        ("", "en", None),
        ("joe " * 5_000, "en", None),
    ],
)
def test_addresses_are_heard_in_the_ways_that_callers_say_them(said: str, locale: Locale, address: str | None) -> None:
    assert spoken.heard_email(said, locale) == address


# --- what cannot be said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: spoken.digits("12a"),
        lambda: spoken.digits(""),
        lambda: spoken.digits("٣"),
        lambda: spoken.digits("1" * 500),
        lambda: spoken.code("Ä"),
        lambda: spoken.code(""),
        lambda: spoken.phone("4155550123"),
        lambda: spoken.phone("+1"),
        lambda: spoken.phone("+1415555012²"),
        lambda: spoken.cpf("123"),
        lambda: spoken.cnpj("12.ABC.345/01DE-3X"),
        lambda: spoken.cep("01310-10"),
        lambda: spoken.ending("12345"),
        lambda: spoken.money(1.5, "BRL"),  # type: ignore[arg-type]
        lambda: spoken.money("1.005", "BRL"),
        lambda: spoken.money("1E+999999", "BRL"),
        lambda: spoken.money("NaN", "BRL"),
        lambda: spoken.money("x", "BRL"),
        lambda: spoken.money(1, "CHF"),  # type: ignore[arg-type]
        lambda: spoken.date(dt.date(999, 1, 1)),
        lambda: spoken.email("ana"),
        lambda: spoken.email("ana silva@uol.com"),
        lambda: spoken.email("é@uol.com"),
    ],
)
def test_what_cannot_be_said_is_refused_without_being_shown(make: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        make()
    for private in ("silva", "0123", "ABC", "01310"):
        assert private not in str(refused.value).replace("+14155550123", "")


@pytest.mark.parametrize("make", [lambda: spoken.number(-1), lambda: spoken.number(10**9), lambda: spoken.number(True)])
def test_numbers_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(RealtimeSipError):
        make()


@given(st.text(max_size=60), LOCALES)
def test_law_nothing_that_was_heard_raises(said: str, locale: Locale) -> None:
    for heard in (spoken.heard_number, spoken.heard_digits, spoken.heard_code, spoken.heard_email):
        heard(said, locale)


def test_words_in_any_order_raise_nothing() -> None:
    words = re.findall(r"\w+", "um dois mil e milhão cem meia de bê as in A at dot double zero hundred thousand")
    choose = random.Random(1)
    for _ in range(2_000):
        said = " ".join(choose.choices(words, k=choose.randrange(1, 9)))
        for heard in (spoken.heard_number, spoken.heard_digits, spoken.heard_code, spoken.heard_email):
            heard(said, "en")
            heard(said, "pt-BR")
