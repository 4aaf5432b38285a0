"""Capitals and words in place of signs: what changes, and what means something and stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.prompts import emphasis, in_words


@pytest.mark.parametrize(
    ("rule", "emphatic"),
    [
        ("If [func.return_value] > 0, respond 1.", "IF [func.return_value] IS MORE THAN ZERO, RESPOND ONE."),
        ("If attempts >= 3 call `transfer_to_human`.", "IF ATTEMPTS IS AT LEAST THREE CALL `transfer_to_human`."),
        ("Say “All 3 of you” at 18:00.", "SAY “All 3 of you” AT 18:00."),
    ],
)
def test_a_rule_becomes_words_and_then_capitals(rule: str, emphatic: str) -> None:
    assert emphasis(in_words(rule)) == emphatic


def test_in_portuguese_the_verb_fits_a_condition() -> None:
    assert in_words("Se [falhas] > 3, transfira.", "pt-BR") == "Se [falhas] for maior que três, transfira."
    assert in_words("O prazo == 2 dias.", "pt-BR") == "O prazo é exatamente dois dias."
    assert in_words("Depois de 2 tentativas", "pt-BR", feminine=True) == "Depois de duas tentativas"
    assert emphasis("não prometa preços") == "NÃO PROMETA PREÇOS"


@pytest.mark.parametrize(
    "text",
    [
        "Open from 18:00 to 19:30",
        "It costs $5, R$ 20 or €7.50",
        "gpt-realtime-2.1 and v2",
        "10% of 2026-11-30",
        "Call +14155550123",
        'Say "3 > 2" or {x_2} or [4]',
        "item_3",
        "1234567890123",
    ],
)
def test_what_is_no_plain_number_stays(text: str) -> None:
    assert in_words(text) == text


@given(st.text(max_size=100))
def test_law_nothing_raises_and_what_is_kept_is_kept(text: str) -> None:
    kept = f"`{text.replace('`', '')}`"
    assert kept in emphasis(f"a {kept} b")
    in_words(text)
