"""What was used, and what it costs: counts from the wire, prices with a date, and no cost where there is no price."""

from __future__ import annotations

import copy
import doctest
import math
import pickle
import re
from dataclasses import replace
from datetime import date
from decimal import Context, Decimal, Inexact, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip import usage as usage_module
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError
from realtime_sip.rates import ModelRates, RateCard, TranscriptionRates
from realtime_sip.session import MODEL_SHUTDOWNS
from realtime_sip.usage import TokenUsage, TranscriptionUsage, Usage

CARD = RateCard.published()
USD = Decimal
EVERYTHING: dict[str, Any] = {
    "total_tokens": 1300,
    "input_tokens": 1000,
    "output_tokens": 300,
    "input_token_details": {
        "text_tokens": 400,
        "audio_tokens": 500,
        "image_tokens": 100,
        "cached_tokens": 330,
        "cached_tokens_details": {"text_tokens": 200, "audio_tokens": 100, "image_tokens": 30},
    },
    "output_token_details": {"text_tokens": 60, "audio_tokens": 240},
}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*EVERYTHING, "text_tokens", "audio_tokens", "type", "seconds"]), inner)
    ),
    max_leaves=12,
)
COUNTS = st.integers(0, 200_000)
TOKENS = st.builds(
    lambda counts, cached: TokenUsage(
        **dict(zip(("text_in", "audio_in", "image_in", "text_out", "audio_out"), counts, strict=True)),
        **{
            f"cached_{kind}": min(count, part)
            for kind, count, part in zip(("text_in", "audio_in", "image_in"), counts, cached, strict=False)
        },
    ),
    st.tuples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS),
    st.tuples(COUNTS, COUNTS, COUNTS),
)


def details(**counts: int) -> dict[str, Any]:
    return {f"{kind}_tokens": count for kind, count in counts.items()}


def cost(tokens: TokenUsage, model: str | None = "gpt-realtime-2.1") -> Decimal | None:
    return CARD.cost(Usage(tokens=tokens), model=model)


def transcribed(model: str | None, **used: Any) -> Usage:
    return Usage(transcription=(TranscriptionUsage(model=model, **used),))


# --- tokens from the wire ---------------------------------------------------------------------------------------------

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_prices_of_the_page_are_those_of_the_card() -> None:
    text = (DOCS / "costs.md").read_text("utf-8")
    shown = set()
    for names, prices in re.findall(r"^\| (`gpt[^|]*) \| ([\d.| ]+) \|$", text, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", names):
            rates = CARD.rates[name]
            assert isinstance(rates, ModelRates)
            card = [rates.text_in, rates.cached_text_in, rates.text_out]
            card += [rates.audio_in, rates.cached_audio_in, rates.audio_out]
            assert list(map(USD, prices.split(" | "))) == card, name
            shown.add(name)
    assert shown == {name for name, rates in CARD.rates.items() if isinstance(rates, ModelRates)}


def test_the_models_that_end_are_on_the_page_with_their_day() -> None:
    text = (DOCS / "limits.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.*) \| (2027-\d\d-\d\d) \|$", text, flags=re.MULTILINE)
    shown = {name: day for names, day in rows for name in re.findall(r"`([^`]+)`", names)}
    snapshots = {name: f"{day}" for name, day in MODEL_SHUTDOWNS.items() if not re.search(r"-20\d\d-", name)}
    assert shown == snapshots


def test_the_usage_of_a_response_is_read_by_kind() -> None:
    assert TokenUsage.from_wire(EVERYTHING) == TokenUsage(
        text_in=400,
        audio_in=500,
        image_in=100,
        cached_text_in=200,
        cached_audio_in=100,
        cached_image_in=30,
        text_out=60,
        audio_out=240,
    )
    assert TokenUsage.from_wire(EVERYTHING).total == 1300


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, TokenUsage()),
        (None, TokenUsage()),
        ([EVERYTHING], TokenUsage()),
        ({"input_tokens": 10, "output_tokens": 5}, TokenUsage(audio_in=10, audio_out=5)),
        ({"total_tokens": 15}, TokenUsage(audio_in=15)),
        ({"total_tokens": 15, "output_tokens": 5}, TokenUsage(audio_in=10, audio_out=5)),
        ({"total_tokens": 15, "input_tokens": 10}, TokenUsage(audio_in=10, audio_out=5)),
        # Both are told, so that a total that is not their sum says nothing.
        ({"total_tokens": 9999, "input_tokens": 10, "output_tokens": 0}, TokenUsage(audio_in=10)),
        ({"input_tokens": 10, "input_token_details": details(text=7)}, TokenUsage(text_in=7, audio_in=3)),
        ({"input_tokens": 5, "input_token_details": details(text=7)}, TokenUsage(text_in=7)),
        ({"output_tokens": 9, "output_token_details": details(text=4)}, TokenUsage(text_out=4, audio_out=5)),
        (
            {"input_token_details": details(text=5, image=4, audio=9, cached=11)},
            TokenUsage(text_in=5, image_in=4, audio_in=9, cached_text_in=5, cached_image_in=4, cached_audio_in=2),
        ),
        ({"input_tokens": 10, "input_token_details": details(cached=64)}, TokenUsage(audio_in=10, cached_audio_in=10)),
        (
            # What is too much of one kind is not taken for another's.
            {
                "input_token_details": {
                    **details(text=5, audio=9, cached=8),
                    "cached_tokens_details": details(text=8),
                }
            },
            TokenUsage(text_in=5, audio_in=9, cached_text_in=5),
        ),
        (
            {"input_token_details": {**details(text=5, audio=9), "cached_tokens_details": details(audio=3)}},
            TokenUsage(text_in=5, audio_in=9, cached_audio_in=3),
        ),
    ],
)
def test_what_the_details_do_not_explain_is_attributed(usage: object, expected: TokenUsage) -> None:
    assert TokenUsage.from_wire(usage) == expected


@pytest.mark.parametrize("junk", [-1, 10**9, 10**400, 1.0, math.nan, math.inf, "7", True, None, [], {}])
def test_a_count_that_is_none_is_zero(junk: object) -> None:
    kinds = ("text_tokens", "audio_tokens", "image_tokens", "cached_tokens", "cached_tokens_details")
    usage = {
        **dict.fromkeys(("total_tokens", "input_tokens", "output_tokens"), junk),
        "input_token_details": dict.fromkeys(kinds, junk),
        "output_token_details": dict.fromkeys(kinds, junk),
    }
    assert TokenUsage.from_wire(usage) == TokenUsage()


@given(JUNK)
def test_no_junk_breaks_the_counts_or_makes_a_negative_cost(usage: object) -> None:
    tokens = TokenUsage.from_wire(usage)
    assert 0 <= tokens.total <= 10_000_000
    priced = cost(tokens)
    assert priced is not None
    assert priced >= 0
    used = TranscriptionUsage.from_wire(usage, model="gpt-realtime-whisper")
    assert used.seconds >= 0
    assert used.total >= 0


@given(JUNK)
def test_attributing_never_counts_less_than_the_details_say(usage: object) -> None:
    inner = {"input_token_details": usage, "output_token_details": usage}
    told, more = TokenUsage.from_wire(inner), TokenUsage.from_wire({**inner, "input_tokens": 5000})
    assert more.total >= told.total
    assert more.total >= 5000


@pytest.mark.parametrize(
    "counts",
    [{"text_in": -1}, {"audio_out": 1.0}, {"text_out": True}, {"audio_in": "1"}, {"text_in": 1, "cached_text_in": 2}],
)
def test_counts_that_make_no_sense_are_refused(counts: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(reversed(counts))):
        TokenUsage(**counts)


# --- transcription ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"type": "duration", "seconds": 3}, {"seconds": USD(3)}),
        ({"type": "duration", "seconds": 0.1}, {"seconds": USD("0.1")}),
        ({"type": "duration", "seconds": -3}, {}),
        ({"type": "duration", "seconds": math.nan}, {}),
        ({"type": "duration", "seconds": math.inf}, {}),
        ({"type": "duration", "seconds": 10**9}, {}),
        ({"type": "duration", "seconds": True}, {}),
        ({"type": "duration", "seconds": "3"}, {}),
        (
            {
                "type": "tokens",
                "total_tokens": 30,
                "input_tokens": 20,
                "output_tokens": 10,
                "input_token_details": details(text=4, audio=16),
            },
            {"text_in": 4, "audio_in": 16, "text_out": 10},
        ),
        ({"type": "tokens", "input_tokens": 20, "output_tokens": 10}, {"audio_in": 20, "text_out": 10}),
        ({"type": "tokens", "total_tokens": 30, "output_tokens": 10}, {"audio_in": 20, "text_out": 10}),
        ({"type": "tokens", "input_token_details": details(text=4, audio=16)}, {"text_in": 4, "audio_in": 16}),
        ({"type": "words", "seconds": 3, "input_tokens": 20}, {}),
        ({}, {}),
        (None, {}),
    ],
)
def test_the_usage_of_a_transcription_is_read(usage: object, expected: dict[str, Any]) -> None:
    assert TranscriptionUsage.from_wire(usage, model="m") == TranscriptionUsage(model="m", **expected)


def test_transcription_adds_up_by_model() -> None:
    one = TranscriptionUsage(model="m", seconds=USD("0.1"), text_in=1, audio_in=2, text_out=3)
    assert one + one + one == TranscriptionUsage(model="m", seconds=USD("0.3"), text_in=3, audio_in=6, text_out=9)
    with pytest.raises(ConfigurationError, match="different"):
        one + TranscriptionUsage(model=None)


@pytest.mark.parametrize("used", [{"seconds": USD(-1)}, {"seconds": 1.5}, {"seconds": USD("NaN")}, {"text_in": -1}])
def test_transcription_that_makes_no_sense_is_refused(used: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(used))):
        TranscriptionUsage(model="m", **used)


# --- prices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        # A million tokens of each kind: text in, cached, out; audio in, cached, out; image in, cached.
        ("gpt-realtime-2.1", ["4", "0.40", "24", "32", "0.40", "64", "5", "0.50"]),
        ("gpt-realtime-2", ["4", "0.40", "24", "32", "0.40", "64", "5", "0.50"]),
        ("gpt-realtime-1.5", ["4", "0.40", "16", "32", "0.40", "64", "5", "0.50"]),
        ("gpt-realtime-2.1-mini", ["0.60", "0.06", "2.40", "10", "0.30", "20", "0.80", "0.08"]),
        ("gpt-realtime", ["4", "0.40", "16", "32", "0.40", "64", "5", "0.50"]),
    ],
)
def test_the_published_prices(model: str, dollars: list[str]) -> None:
    million = 1_000_000
    used = [
        TokenUsage(text_in=million),
        TokenUsage(text_in=million, cached_text_in=million),
        TokenUsage(text_out=million),
        TokenUsage(audio_in=million),
        TokenUsage(audio_in=million, cached_audio_in=million),
        TokenUsage(audio_out=million),
        TokenUsage(image_in=million),
        TokenUsage(image_in=million, cached_image_in=million),
    ]
    assert [cost(tokens, model) for tokens in used] == [Decimal(price) for price in dollars]


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-live-transcribe"])
def test_the_published_price_of_a_minute(model: str) -> None:
    usage = transcribed(model, seconds=USD(90))
    assert CARD.cost(usage, model="gpt-realtime") == USD("0.0255")


def test_the_card_says_from_when_and_where_it_is() -> None:
    assert CARD.as_of.year == 2026
    assert "gpt-realtime by its launch pricing" in CARD.source


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("gpt-realtime-2.1", "1.1"),
        ("gpt-realtime-2.1-2026-05-01", "1.1"),
        ("gpt-realtime-2", "1.1"),
        ("gpt-realtime-2.1-mini", "1.1"),
        ("gpt-realtime-1.5", "1"),
        ("gpt-realtime", "1"),
    ],
)
def test_residency_costs_a_tenth_more_with_newer_models(model: str, factor: str) -> None:
    usage = Usage(tokens=TokenUsage.from_wire(EVERYTHING))
    usual = CARD.cost(usage, model=model)
    assert usual is not None
    for api in ("https://eu.api.openai.com/v1", "https://us.api.openai.com/v1"):
        there = CARD.at(replace(Endpoints.DEFAULT, api=api))
        assert there.cost(usage, model=model) == usual * USD(factor)
        assert there.at(Endpoints.EU).rates == there.rates
    for endpoints in (Endpoints.DEFAULT, Endpoints.azure("shop", region="swedencentral")):
        assert CARD.at(endpoints) is CARD
        assert not endpoints.has_residency


def test_what_is_not_known_to_have_a_price_at_a_residency_host_has_none() -> None:
    there = CARD.at(Endpoints.EU)
    assert not there.has_price("gpt-realtime-2.1", transcription_model="gpt-realtime-whisper")
    assert there.cost(transcribed("gpt-realtime-whisper", seconds=USD(60)), model="gpt-realtime-2.1") is None
    assert "residency" in there.source
    own = ModelRates(**dict.fromkeys(PRICES, USD(1)))
    card = CARD.with_rates({"ours": own, "theirs": replace(own, residency=USD("1.5"))})
    assert card.at(Endpoints.EU).of_model("ours") is None
    assert card.at(Endpoints.EU).of_model("theirs") == ModelRates(**dict.fromkeys(PRICES, USD("1.5")), residency=USD(1))
    with pytest.raises(ConfigurationError, match="residency must be a Decimal"):
        replace(own, residency=USD(-1))
    with pytest.raises(ConfigurationError, match="need a price"):
        TranscriptionRates(residency=USD("1.1"))


PRICES = ("text_in", "cached_text_in", "text_out", "audio_in", "cached_audio_in", "audio_out")


def test_a_response_as_computed_by_hand() -> None:
    # (400-200)*4 + 200*.4 + 60*24 + (500-100)*32 + 100*.4 + 240*64 + (100-30)*5 + 30*.5 = 30,885
    assert cost(TokenUsage.from_wire(EVERYTHING)) == USD("0.030885")


@pytest.mark.parametrize(
    ("model", "same"),
    [
        ("gpt-realtime-2.1-2026-05-01", "gpt-realtime-2.1"),
        ("gpt-realtime-2.1-mini-2026-05-01", "gpt-realtime-2.1-mini"),
        ("gpt-realtime-2025-08-28", "gpt-realtime"),
    ],
)
def test_a_dated_snapshot_costs_what_its_model_does(model: str, same: str) -> None:
    assert CARD.has_price(model)
    assert CARD.of_model(model) == CARD.of_model(same)


@pytest.mark.parametrize(
    "model",
    [
        None,
        "",
        "gpt-realtime-mini",
        "gpt-realtime-9",
        "gpt-realtime-9-2026-05-01",
        "gpt-realtime-2.1-preview",
        "gpt-realtime-2.1-2026-05",
        "gpt-realtime-2.1-2026-W05-1",
        "gpt-realtime-2.1-2026-05-01-2026-05-01",
        "gpt-realtime-2.1-\u0662\u0660\u0662\u0666-05-01",
        "-2026-05-01",
        "GPT-realtime",
        "gpt-realtime-whisper",
    ],
)
def test_law_money_is_refused_on_a_model_without_a_price(model: str | None) -> None:
    assert not CARD.has_price(model)
    assert cost(TokenUsage(), model) is None
    assert cost(TokenUsage(audio_out=1), model) is None


def test_law_what_has_no_price_has_no_cost_and_never_a_cost_of_0() -> None:
    known = CARD.of_model("gpt-realtime")
    assert known is not None
    without_images = replace(known, image_in=None, cached_image_in=None)
    card = CARD.with_rates({"house": without_images, "by-time": TranscriptionRates(per_minute=USD(6))})
    spoken = TokenUsage(text_in=10, audio_in=10, text_out=10)
    assert card.cost(Usage(tokens=spoken), model="house") == cost(spoken, "gpt-realtime")
    assert card.cost(Usage(tokens=spoken + TokenUsage(image_in=1)), model="house") is None
    assert card.cost(Usage(tokens=TokenUsage(image_in=1, cached_image_in=1)), model="house") is None
    for nobodys in (None, "whisper-1", "gpt-realtime"):
        assert card.cost(transcribed(nobodys, seconds=USD(1)), model="house") is None
        assert card.cost(transcribed(nobodys, text_out=1), model="house") is None
        assert card.cost(transcribed(nobodys), model="house") == 0
    assert card.cost(transcribed("by-time", seconds=USD(10)), model="house") == 1
    assert card.cost(transcribed("by-time", seconds=USD(10), audio_in=1), model="house") is None
    assert card.cost(transcribed("by-time", seconds=USD(10)), model="gpt-realtime-9") is None


def test_transcription_by_tokens_costs_by_kind() -> None:
    rates = TranscriptionRates(text_in=USD("2.5"), audio_in=USD(6), text_out=USD(10))
    card = CARD.with_rates({"gpt-4o-transcribe": rates})
    usage = transcribed("gpt-4o-transcribe-2026-01-01", text_in=100, audio_in=1000, text_out=50)
    assert card.cost(usage, model="gpt-realtime") == USD("0.00675")
    assert card.cost(transcribed("gpt-4o-transcribe", seconds=USD(1)), model="gpt-realtime") is None


@pytest.mark.parametrize("model", ["gpt-realtime-2.1", "gpt-realtime-2.1-mini-2026-05-01"])
def test_a_call_that_used_nothing_yet_costs_nothing(model: str) -> None:
    assert CARD.cost(Usage(), model=model) == Decimal(0)


def test_the_door_asks_for_both_prices() -> None:
    assert CARD.has_price("gpt-realtime-2.1", transcription_model="gpt-realtime-whisper")
    assert not CARD.has_price("gpt-realtime-2.1", transcription_model="whisper-1")
    assert not CARD.has_price("gpt-realtime-9", transcription_model="gpt-realtime-whisper")


@given(TOKENS, TOKENS)
def test_costs_add_up_exactly(one: TokenUsage, other: TokenUsage) -> None:
    first, second, both = cost(one), cost(other), cost(one + other)
    assert first is not None
    assert second is not None
    assert both == first + second
    assert (one + other).total == one.total + other.total


@given(TOKENS)
def test_a_cached_token_never_costs_more(tokens: TokenUsage) -> None:
    uncached = replace(tokens, cached_text_in=0, cached_audio_in=0, cached_image_in=0)
    dear, cheap = cost(uncached), cost(tokens)
    assert dear is not None
    assert cheap is not None
    assert dear >= cheap


def test_the_programs_own_arithmetic_changes_no_cost() -> None:
    usage = replace(transcribed("gpt-realtime-whisper", seconds=USD(7)), tokens=TokenUsage.from_wire(EVERYTHING))
    expected = CARD.cost(usage, model="gpt-realtime-2.1")
    with localcontext(Context(prec=2, traps=[Inexact])):
        assert CARD.cost(usage, model="gpt-realtime-2.1") == expected
        assert (TranscriptionUsage(model="m", seconds=USD("1234.5")) + TranscriptionUsage(model="m")).seconds > 1234


# --- a card of one's own ----------------------------------------------------------------------------------------------


def test_a_card_is_extended_without_changing_it() -> None:
    free = TranscriptionRates(per_minute=USD(0))
    card = CARD.with_rates({"gpt-realtime-whisper": free, "whisper-1": free})
    assert card.cost(transcribed("whisper-1", seconds=USD(60)), model="gpt-realtime") == 0
    assert card.cost(transcribed("gpt-realtime-whisper", seconds=USD(60)), model="gpt-realtime") == 0
    assert card.cost(transcribed("gpt-live-transcribe", seconds=USD(60)), model="gpt-realtime") == USD("0.017")
    assert (card.as_of, card.source) == (CARD.as_of, CARD.source)
    assert RateCard.published() == CARD
    assert CARD.of_transcription("whisper-1") is None


def test_a_snapshot_may_have_a_price_of_its_own() -> None:
    mini = CARD.of_model("gpt-realtime-2.1-mini")
    assert mini is not None
    card = CARD.with_rates({"gpt-realtime-2.1-2026-05-01": mini})
    assert card.of_model("gpt-realtime-2.1-2026-05-01") == mini
    assert card.of_model("gpt-realtime-2.1-2026-06-01") == CARD.of_model("gpt-realtime-2.1")


def test_a_card_keeps_its_prices_whatever_becomes_of_what_it_was_made_of() -> None:
    rates: dict[str, ModelRates | TranscriptionRates] = {"own": TranscriptionRates(per_minute=USD(1))}
    card = RateCard(as_of=date(2026, 11, 2), source="our contract", rates=rates)
    rates.clear()
    assert card.of_transcription("own") is not None
    assert not card.has_price("gpt-realtime")


def test_a_card_and_a_usage_can_be_handed_on() -> None:
    usage = replace(transcribed("m", seconds=USD(1)), tokens=TokenUsage(text_in=1))
    for value in (CARD, usage):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.deepcopy(value) == value
        assert hash(value) == hash(copy.deepcopy(value))


@pytest.mark.parametrize("price", [4, 0.4, "4", USD(-1), USD("NaN"), USD("Infinity"), True, None])
def test_what_is_no_price_is_refused(price: Any) -> None:
    known = CARD.of_model("gpt-realtime")
    assert known is not None
    with pytest.raises(ConfigurationError, match="text_in must be a Decimal"):
        replace(known, text_in=price)
    with pytest.raises(ConfigurationError, match=r"price|Decimal"):
        TranscriptionRates(per_minute=price)


@pytest.mark.parametrize("rates", [None, [], {"gpt-realtime": USD(4)}, {7: TranscriptionRates(per_minute=USD(1))}])
def test_a_card_of_something_else_is_refused(rates: Any) -> None:
    with pytest.raises(ConfigurationError, match="rates must map models"):
        CARD.with_rates(rates)
    with pytest.raises(ConfigurationError, match="rates must map models"):
        RateCard(as_of=date(2026, 11, 2), source="ours", rates=rates)


def test_the_examples_in_the_docstrings_run() -> None:
    result = doctest.testmod(usage_module, optionflags=doctest.ELLIPSIS)
    assert (result.failed, result.attempted > 0) == (0, True)
