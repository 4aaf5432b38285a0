"""The ten tips of OpenAI's prompting guide and its sections, each as what it comes to here, in both languages.

`docs/prompts.md` has the table of them; each of its rows names a test, and the last test here looks it up.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from realtime_sip import Tools
from realtime_sip.prompts import (
    Accent,
    BaseSection,
    Context,
    EntityCapture,
    Exit,
    Flow,
    Instructions,
    Language,
    LivePolicies,
    LongContext,
    Pacing,
    Personality,
    Preambles,
    Pronunciations,
    ReasoningRules,
    Role,
    Rules,
    SafetyAndEscalation,
    Section,
    State,
    ToolRule,
    ToolRules,
    UnclearAudio,
    Variety,
    Verbosity,
    checklist,
    review,
)
from realtime_sip.prompts.locales import Locale

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "prompts.md"
MODELS = ("gpt-realtime-1.5", "gpt-realtime-2.1", "gpt-live-1.1")
LOCALES: tuple[Locale, ...] = get_args(Locale)

EVERYTHING: tuple[BaseSection, ...] = (
    Role("WHO.", objective="AIM."),
    Personality("KIND.", tone="TONE."),
    Language("en"),
    Accent("ACCENT."),
    Context({"FACT": "VALUE"}),
    Pronunciations({"WORD": "SOUND"}),
    ReasoningRules(("THINKING",)),
    Preambles(),
    Verbosity(),
    Pacing(),
    Variety(),
    UnclearAudio(wait_tool="wait_for_user", no_match_tool="not_understood"),
    EntityCapture(("order number",), masked=("CPF",)),
    ToolRules(ToolRule("find", "read", use="USE", avoid="AVOID", preamble="SAY."), ToolRule("pay", "write")),
    Rules("RULE.", exact={"NOW": "EXACT."}),
    Flow(State("FIRST", "GOAL.", ("HOW.",), ("PHRASE.",), (Exit("DONE"),), ("find",))),
    SafetyAndEscalation(tool="transfer_to_human"),
    LivePolicies(),
    Section("OWN", "LINE."),
    LongContext(("NOW",), ("SOURCE",), ("BEFORE",)),
    Context({"TIME": "NOON"}, per_call=True),
)


def text(*sections: BaseSection, locale: Locale = "en", model: str | None = None) -> str:
    return Instructions(*sections, locale=locale).render(model)


def bullets(*sections: BaseSection, **options: Any) -> list[str]:
    return [line.strip().removeprefix("- ") for line in text(*sections, **options).splitlines()[1:]]


# --- 1 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("model", MODELS)
def test_tip_1_what_is_ready_made_has_no_conflict_and_no_doubled_rule(locale: Locale, model: str) -> None:
    value = Instructions(*EVERYTHING, locale=locale)
    session = {"instructions": value, "model": model}
    assert review(session, tools=["find", "pay", "wait_for_user", "not_understood", "transfer_to_human"]) == ()
    lines = [line for line in value.render(model).splitlines() if line.startswith("- ") and not line.endswith(":")]
    doubled = {line for line in lines if lines.count(line) > 1}
    assert not {line for line in doubled if not line.startswith(("- Frases", "- Sample"))}


# --- 2 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("model", MODELS)
def test_tip_2_every_line_is_a_heading_or_a_short_bullet(locale: Locale, model: str) -> None:
    for line in text(*EVERYTHING, locale=locale, model=model).splitlines():
        assert not line or re.match(r"(?:## ?|# )\S|(?:  )?- \S", line), line
        assert len(line.split()) <= 36, line


# --- 3 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "spoken", "heard", "phrase"),
    [
        ("en", "en", "unintelligible", "I missed that"),
        ("en", "pt-BR", "unintelligible", "não entendi"),
        ("en", "fr", "unintelligible", "I missed that"),
        ("pt-BR", "pt-BR", "incompreensível", "não entendi"),
        ("pt-BR", "en-US", "incompreensível", "I missed that"),
    ],
)
def test_tip_3_unclear_audio_is_asked_about_in_the_callers_language(
    locale: Locale, spoken: str, heard: str, phrase: str
) -> None:
    whole = text(Language(spoken), UnclearAudio(), locale=locale)
    assert heard in whole
    assert phrase in whole
    name = {"en": "English", "pt-BR": "português do Brasil", "fr": "French", "en-US": "inglês americano"}
    if (locale, spoken) != ("en", "pt-BR"):
        assert f"{name[spoken]}." in whole.partition("# Unclear" if locale == "en" else "# Áudio")[2]
    foreign = "Sample phrases (say them in French, and vary them):"
    assert (foreign in whole) is (spoken == "fr")
    own = text(UnclearAudio(samples=("Pardon?",)), locale=locale)
    assert "“Pardon?”" in own
    assert phrase not in own


def test_tip_3_in_silence_and_without_a_match_tools_are_called_if_the_session_has_them() -> None:
    assert "`" not in text(UnclearAudio())
    whole = text(UnclearAudio(wait_tool="wait_for_user", no_match_tool="not_understood"))
    assert "call `wait_for_user` and say nothing" in whole
    assert "first call `not_understood`" in whole


# --- 4 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "locale", "words"),
    [
        (Language("en", switch="never"), "en", "Speak English and no other language"),
        (Language("pt-BR", switch="never"), "pt-BR", "Fale somente em português do Brasil"),
        (Language("pt-BR"), "pt-BR", "Comece em português do Brasil"),
        (Language("pt-BR", others=("en", "es")), "pt-BR", "Você pode mudar para: inglês, espanhol."),
        (Language("en", purposes={"explanations": "en", "practice": "fr"}), "en", "Use French for: practice."),
        (Language("es-AR", switch="never"), "en", "Speak Argentine Spanish and no other language"),
        (Language("en", switch="mirror"), "en", "only if the caller asks"),
    ],
)
def test_tip_4_the_language_is_pinned_switched_split_or_a_dialect(
    section: Language, locale: Locale, words: str
) -> None:
    assert words in text(section, locale=locale)


# --- 5 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "goal", "respond", "phrases", "leave"),
    [
        ("en", "Goal: Learn it.", "How to respond:", "Sample phrases (vary them):", "Go to Solve when it is said."),
        ("pt-BR", "Objetivo: Learn it.", "Como responder:", "Frases de exemplo (varie):", "Passe para Solve quando it is said."),  # noqa: E501
    ],
)  # fmt: skip
def test_tip_5_a_state_has_its_goal_how_to_respond_phrases_and_exit(
    locale: Locale, goal: str, respond: str, phrases: str, leave: str
) -> None:
    start = State("Greet", "Learn it.", ("Be brief.",), ("Hello!", "Hi."), (Exit("it is said", to="Solve"),))
    lines = bullets(Flow(start, State("Solve", "Help.", tools=("end_call",))), locale=locale)
    assert [each for each in lines if each in (goal, respond, "Be brief.", phrases, "“Hello!”", "“Hi.”", leave)] == [
        *(goal, respond, "Be brief.", phrases, "“Hello!”", "“Hi.”", leave)
    ]
    assert "Greet → Solve" in lines[0]


# --- 6 ----------------------------------------------------------------------------------------------------------------


def test_tip_6_no_sentence_is_said_twice_but_for_exact_wording() -> None:
    assert any("no sentence twice" in line for line in bullets(Variety()))
    assert any("mesma frase duas vezes" in line for line in bullets(Variety(), locale="pt-BR"))
    for locale, mark in zip(LOCALES, ("Exact wording", "Texto exato"), strict=True):
        assert any(mark.lower() in line for line in bullets(Variety(), locale=locale))
        assert any(line.startswith(mark) for line in bullets(Rules(exact={"x": "y"}), locale=locale))


# --- 8 (7 and 9 have pages of their own) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "read", "write", "exact"),
    [
        ("en", "do not ask for permission", "only after a clear yes", "confirmed before you call"),
        ("pt-BR", "não peça permissão", "só chame depois de um sim claro", "confirme com a pessoa o número"),
    ],
)
def test_tip_8_tools_have_policies_and_preambles(locale: Locale, read: str, write: str, exact: str) -> None:
    lines = bullets(
        ToolRules(
            ToolRule("find", "read", preamble="I look it up."),
            ToolRule("pay", "write"),
            ToolRule("note", "write", confirm=False),
            ToolRule("order", "exact_id"),
            ToolRule("end_call", use="they are done"),
        ),
        locale=locale,
    )
    assert [line for line in lines if read in line and line.startswith("`find`")]
    assert [line for line in lines if write in line and line.startswith("`pay`")]
    assert [line for line in lines if exact in line and line.startswith("`order`")]
    assert not [line for line in lines if line.startswith(("`note`", "`end_call`"))]
    assert [line for line in lines if "“I look it up.”" in line]
    assert [line for line in bullets(Preambles(), locale=locale, model="gpt-realtime") if "“" in line]


def test_tip_8_a_tool_can_say_the_same_in_its_own_description() -> None:
    tools = Tools()

    @tools.function(confirm=True, preamble="I'm booking it.")
    async def book() -> None:
        """Book it."""

    (wire,) = tools.wire()
    assert wire.description is not None
    assert "only after a clear yes" in wire.description
    assert "I'm booking it." in wire.description


# --- 10 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "brisk", "length"),
    [("en", "briskly", "at most two sentences"), ("pt-BR", "agilidade", "no máximo duas frases")],
)
def test_tip_10_speech_is_brisk_and_short(locale: Locale, brisk: str, length: str) -> None:
    whole = text(Pacing(), Verbosity(), locale=locale)
    assert brisk in whole
    assert length in whole
    assert brisk not in text(Pacing("calm"), locale=locale)


@pytest.mark.parametrize(
    ("locale", "causes"),
    [
        (
            "en",
            [
                "harm",
                "wants a person",
                "angry",
                "two failed attempts",
                "three turns in a row",
                "law, medicine or money",
            ],
        ),
        (
            "pt-BR",
            [
                "perigo",
                "pede para falar",
                "irritada",
                "duas tentativas sem sucesso",
                "três vezes seguidas",
                "jurídica",
            ],
        ),
    ],
)
def test_tip_10_a_person_is_fetched_for_the_guides_reasons(locale: Locale, causes: list[str]) -> None:
    whole = text(SafetyAndEscalation(tool="transfer_to_human"), locale=locale)
    for cause in causes:
        assert cause in whole
    assert "`transfer_to_human`" in whole
    other = text(SafetyAndEscalation(tool="t", tool_failures=1, missed_turns=4, out_of_scope=("tax",)), locale=locale)
    assert "tax" in other
    assert causes[-1] not in other
    assert {"en": "one failed attempt ", "pt-BR": "uma tentativa sem sucesso "}[locale] in other
    assert {"en": "four turns in a row", "pt-BR": "quatro vezes seguidas"}[locale] in other


def test_tip_10_without_anybody_to_fetch_nobody_is_promised() -> None:
    for locale in LOCALES:
        whole = text(SafetyAndEscalation(instead="MESSAGE.", danger="CALL."), locale=locale)
        assert "MESSAGE." in whole
        assert "CALL." in whole
        assert review(whole, tools=[]) == ()


# --- sections ---------------------------------------------------------------------------------------------------------

SECTIONS = {
    "Role & Objective": (Role, "WHO."),
    "Personality & Tone": (Personality, "KIND."),
    "Context": (Context, "FACT: VALUE"),
    "Reference Pronunciations": (Pronunciations, "“SOUND”"),
    "Tools": (ToolRules, "USE."),
    "Instructions / Rules": (Rules, "RULE."),
    "Conversation Flow": (Flow, "GOAL."),
    "Safety & Escalation": (SafetyAndEscalation, "transfer_to_human"),
}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("title", SECTIONS)
def test_each_section_of_the_guide_is_a_value(title: str, locale: Locale) -> None:
    kind, words = SECTIONS[title]
    (section, *_) = [each for each in EVERYTHING if isinstance(each, kind)]
    whole = text(section, locale=locale)
    assert whole.startswith("# ")
    assert words in whole
    if locale == "en":
        assert whole.splitlines()[0].removeprefix("# ") == title.replace("&", "and").replace("/", "and")


@pytest.mark.parametrize("locale", LOCALES)
def test_the_sections_of_the_newer_guide_are_values_too(locale: Locale) -> None:
    assert checklist(Instructions(*EVERYTHING)) == ()
    for section in EVERYTHING:
        assert text(section, locale=locale) or isinstance(section, LivePolicies)
    english, other = (text(*EVERYTHING, locale=each) for each in LOCALES)
    assert english.count("\n# ") == other.count("\n# ") == 19


# --- the page ---------------------------------------------------------------------------------------------------------


def test_every_row_of_the_page_names_a_test_that_is_there() -> None:
    rows = re.findall(r"^\| .*\| `(test_\w+)` \|$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(rows) >= 18
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in rows if f"def {name}(" not in tests] == []


def test_every_public_section_is_on_the_page() -> None:
    from realtime_sip import prompts

    page = PAGE.read_text(encoding="utf-8")
    kinds = [
        name
        for name in prompts.__all__
        if inspect.isclass(kind := getattr(prompts, name)) and issubclass(kind, BaseSection)
    ]
    assert [name for name in kinds if f"`{name}" not in page] == []
