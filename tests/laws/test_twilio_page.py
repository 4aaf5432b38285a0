"""The table of `docs/twilio.md`: what it names is there, and it has all that Twilio offers for voice."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "twilio.md"
FACTS = ROOT.parent / "shared" / "facts" / "twilio_api.md"
MODULES = (
    "realtime_sip",
    *(f"realtime_sip.{name}" for name in ("webhooks", "twilio", "twilio.twiml", "twilio.webhooks")),
)
WITHOUT = ("console", "documented")
"""What a row says in place of a function, if there is none."""

OFFERED = {
    5: "a TwiML app with your voice URL",
    6: "a TwiML app with your voice URL",
    9: "a WhatsApp call arrives as a phone call does",
    10: "no phone network for WhatsApp callers",
    22: "the result of a request for permission to call",
    24: "`<Dial><WhatsApp>`",
    26: "`<Enqueue>` to Flex",
    27: "Flex through Studio",
    54: "WhatsApp, your TwiML, OpenAI's webhook, accept in Portuguese",
    55: "`sip:proj_…@sip.api.openai.com;transport=tls;region=br1`",
    56: "nor by a transfer of the model's",
    57: "OpenAI's signature on the raw body, accept, 200",
}
"""Where each row of the list of facts that concerns voice and TwiML is, and all of its last part."""


def rows() -> list[tuple[str, str, str]]:
    _, section = PAGE.read_text(encoding="utf-8").split("## What Twilio offers, by function and test\n")
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n## ")[0].splitlines() if line
    ]
    return [(feature, function, test) for feature, function, test in table[2:]]


@functools.cache
def names_of_tests() -> frozenset[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("test_*.py"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, kinds))


def is_there(name: str) -> bool:
    """Return whether a name of the table is a file, a public module, or what one of these modules has."""
    if name.startswith("examples/"):
        return (ROOT / name).is_file()
    if name.startswith("realtime_sip."):
        return importlib.import_module(name) is not None
    for module in map(importlib.import_module, MODULES):
        head, *rest = name.split(".")
        if head in module.__all__:
            found = functools.reduce(lambda value, part: getattr(value, part, None), rest, getattr(module, head))
            return found is not None
    return False


@pytest.mark.parametrize(("feature", "function", "test"), rows(), ids=lambda text: text[:40])
def test_law_the_functions_and_tests_of_the_table_are_there(feature: str, function: str, test: str) -> None:
    assert feature
    names = re.findall("`([^`]+)`", function)
    assert names or any(word in function for word in WITHOUT)
    assert [name for name in names if not is_there(name)] == []
    proofs = re.findall("`([^`]+)`", test)
    assert proofs or any(word in function for word in WITHOUT)
    assert [proof for proof in proofs if proof not in names_of_tests()] == []


def test_law_the_table_has_each_fact_about_voice_and_twiml() -> None:
    if not FACTS.exists():
        pytest.skip("the list of facts is not beside this checkout")
    text = FACTS.read_text(encoding="utf-8")
    last_part = re.findall(r"^\| (\d+) \|", text[text.index("### 1C.") : text.index("## 2.")], flags=re.MULTILINE)
    assert set(map(int, last_part)) <= OFFERED.keys()
    features = [feature for feature, _, _ in rows()]
    assert {number for number, start in OFFERED.items() if not any(row.startswith(start) for row in features)} == set()
