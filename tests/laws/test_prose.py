"""How it reads: what pages and examples import is public, and no prose has the patterns that stop a native reader."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import realtime_sip

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    *("errors", "events", "items", "response", "session", "webhooks", "sip", "tools", "prompts.spoken"),
    *(
        "prompts",
        "policy",
        "outbound",
        "event_log",
        "stores",
        "telemetry",
        "migration",
        "testing",
        "twilio",
        "integrations",
        "live",
    ),
    "twilio.calls",
    *("twilio.numbers", "twilio.trunking", "twilio.twiml", "twilio.voice", "twilio.webhooks", "twilio.whatsapp"),
    *("integrations.fastapi", "integrations.flask", "integrations.django"),
}
"""The modules that a user may import; some are still to come."""

PAGES = [
    *(ROOT / "README.md", ROOT / "CHANGELOG.md"),
    *sorted(path for folder in ("docs", "examples") for path in (ROOT / folder).rglob("*.md")),
]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
SOURCES = sorted((ROOT / "src").rglob("*.py"))

_IMPORT = re.compile(r"^\s*(?:>>> )?(?:from|import) (realtime_sip[\w.]*)(?: import (\([^)]*\)|[^\n]*))?", re.MULTILINE)
_NAMED = re.compile(r"\brealtime_sip\.([\w.]+)")
_LOGGERS = {name for path in SOURCES for name in re.findall(r'"realtime_sip\.(\w+)"', path.read_text(encoding="utf-8"))}
"""What a page may name because a logger is called so."""

PATTERNS = {
    r"\b[Nn]ote that\b(?! says)": "say it",
    r"\bwhere (?:it (?:is|was|has|had)|there|that (?:is|was|fails)|nobody|no\b|not\b|nothing|none|somebody)\b": "if",
    r"(?:\b(?:None|only|not|also|even|except|but)|…) where (?!to\b|(?:it|they|he|she) )": "if",
    r"(?:^|[.] )Where (?:it|there|they|that|nobody|nothing|no)\b": "if",
    r"(?:^|[.] )Where [^.?,]*, (?!and\b|or\b|about\b|by\b)": "if, or name the place",
    r"\b(?:is|are|was|were) none\b(?! of\b)": "there is no …, or: is not valid",
    r"\b[Ww]hat (?:is|are) no(?:ne)?\b": "say what is refused: a count that is not valid",
    r"\bin case that\b": "if",
    r"\b[Tt]old (?:among|by|of|once|what|at|a|an)\b": "events are emitted or sent; a function is asked",
    r"\b(?:is|are) told\.": "events are emitted or sent",
    r"\bdo(?:es)? what (?:it|they) sa(?:y|ys)\b": "say what it does",
    r"\bhow many-th\b": "1 for the first",
    r"\ban own\b": "one of its own",
    r"\bnobody's to\b": "so that nobody … by accident",
    r"\banswered for\b": "a live call",
    r"\bas may be\b": "name the limit",
    r"\bin the order of their order\b": "in the order they were added",
    r"\b[Ww]hat has to wait\b": "name it",
    r"\bnot waited for\b": "say what does not count",
    r"\bleft quietly\b": "no exception leaves it",
    r"\bmeans; none\b": "Return None if …",
    r"\bfor ever\b": "forever",
    r"(?i)\b(?:dialled|cancelled|travelled|labelled|signalled|modelled)\b": "American spelling",
    r"(?i)\b(?:behavi|col|fav|hon|neighb)our": "American spelling",
    r"(?i)\b(?:apologi|recogni|organi|seriali|initiali|normali|summari|optimi)s(?:e|es|ed|ing|ation)\b": "American",
}

STOPPED_A_READER = (
    "`call.interrupt()`, `call.send(event)` does what it says.",
    "A block that still waits for something else ten seconds after the end is cancelled, and left quietly too.",
    "Say what a failed accept means; None where nothing but raising it is left.",
    "What has to wait for the end of a hold is not waited for.",
    "the how many-th to be placed by the service",
    "a hash … in place of the number, which is nobody's to read by chance",
    "A call that is answered for, and what can be asked of it.",
    "As many calls are up as may be; this one was rejected.",
    "for each operation in the order of their order",
    "or None for what is none",
    "Note that the call is done.",
    "0.5 where it is left out",
    "Where it was deleted meanwhile, it is not created again.",
    "It is told among the events of the call.",
    "the header that asks for beta behaviour",
)
"""Sentences that stood here, and that the patterns have to catch."""


def plain(text: str) -> str:
    """Return prose on one line, without code and what is quoted."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"^ *>>> .*?(?:\n\s*\n|\Z)", "\n", text, flags=re.DOTALL | re.MULTILINE)  # an example and its output
    text = re.sub(r"`[^`\n]*`|\"[^\"\n]{1,60}\"", "…", text)
    return " ".join(text.split())


def prose(path: Path) -> Iterator[str]:
    """Yield the prose of a file: a page, or the docstrings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield plain(text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield plain(node.value.value)
    comments = [
        token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type == tokenize.COMMENT
    ]
    yield plain("\n".join(token.string.lstrip("# ") for token in comments))


def found(text: str) -> list[str]:
    """Return what stops a reader of plain text, each with what is around it and what is better."""
    matches = [(match, better) for pattern, better in PATTERNS.items() for match in re.finditer(pattern, text)]
    return [f"…{text[max(0, match.start() - 40) : match.end() + 40]}…: {better}" for match, better in matches]


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_pages_and_examples_import_only_what_is_public(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module, names in _IMPORT.findall(text):
        _, _, below = module.partition(".")
        assert not below or below in PUBLIC, module
        exported = importlib.import_module(module).__all__
        for name in re.findall(r"\w+(?= as )|\w+(?=\s*(?:,|$|\)))", names.strip("()").strip()):
            assert name in exported, f"{name} of {module}"


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_pages_and_examples_name_only_what_is_public(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.name == "telemetry.md":
        # Its tables name what is emitted, which a test of its own holds.
        text = "\n".join(line for line in text.splitlines() if not line.startswith("| `realtime_sip."))
    # The reference shows a client's parts from where they are.
    text = re.sub(r"^::: .*$", "", text, flags=re.MULTILINE)
    named = {name.partition(".")[0] for name in _NAMED.findall(text)}
    assert named - PUBLIC - _LOGGERS - set(realtime_sip.__all__) == set()


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_the_prose_is_plain_english(path: Path) -> None:
    hits = [hit for text in prose(path) for hit in found(text)]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize("sentence", STOPPED_A_READER)
def test_the_patterns_catch_what_stopped_a_reader(sentence: str) -> None:
    assert found(plain(sentence))
