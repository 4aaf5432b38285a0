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
    *(f"realtime_sip.{name}" for name in ("webhooks", "outbound", "twilio", "twilio.twiml", "twilio.webhooks")),
    *(f"realtime_sip.twilio.{name}" for name in ("calls", "numbers", "trunking", "whatsapp")),
)
WITHOUT = ("console", "documented")
"""What a row says in place of a function, if there is none."""

OFFERED = {
    5: "a TwiML app with your voice URL",
    6: "a TwiML app with your voice URL",
    9: "a WhatsApp call arrives as a phone call does",
    10: "no phone network for WhatsApp callers",
    1: "WhatsApp senders: listed",
    4: "messaging limit and quality rating",
    7: "a sender activated for calls",
    8: "a sender deactivated",
    17: "call icon, business hours",
    23: "a call to a WhatsApp user by REST",
    2: "countries whose senders cannot call",
    3: "countries whose senders cannot call",
    11: "templates with a button for calls",
    12: "templates with a button for calls",
    13: "templates with a button for calls",
    14: "templates submitted for approval",
    15: "a template sent with all of its variables",
    16: "calls of a sender at a time",
    18: "permission to be called, by WhatsApp's rules",
    19: "a request for permission to call, created",
    20: "a request for permission to call, by its rules",
    21: "a request for permission to call, by its rules",
    25: "permission to be called, by WhatsApp's rules",
    22: "the result of a request for permission to call",
    24: "`<Dial><WhatsApp>`",
    26: "`<Enqueue>` to Flex",
    27: "Flex through Studio",
    28: "peak bandwidth of a trunk",
    29: "an Elastic SIP trunk, made and found by its name",
    30: "recording and trim of a trunk",
    31: "calls of 24 hours",
    32: "secure trunking: TLS and SRTP",
    33: "Twilio's authorities, TLS versions, ciphers, Asterisk",
    34: "REFER on a trunk",
    35: "symmetric RTP",
    36: "a termination URI, and sub-domains of it",
    37: "localized termination URIs",
    38: "access control lists and credential lists",
    39: "caller ids that may be shown",
    40: "origination URIs: user part",
    41: "X- headers, transport and edge",
    42: "X- headers, transport and edge",
    43: "X- headers, transport and edge",
    44: "ten URIs, priority, weight, enabled, failover",
    45: "disaster recovery URL",
    46: "CNAM lookups",
    47: "redirects by 302",
    48: "Diversion, towards OpenAI",
    49: "numbers: listed, searched, bought",
    50: "numbers: attached, detached, released",
    51: "a trunk planned, verified and deleted",
    52: "network: Max-Forwards",
    53: "Interconnect, emergency calls",
    54: "WhatsApp, your TwiML, OpenAI's webhook, accept in Portuguese",
    55: "`sip:proj_…@sip.api.openai.com;transport=tls;region=br1`",
    56: "nor by a transfer of the model's",
    57: "OpenAI's signature on the raw body, accept, 200",
}
"""Where each row of the list of facts is."""


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
    if name.startswith(("examples/", "docs/")):
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


def test_law_the_table_has_each_fact() -> None:
    features = [feature for feature, _, _ in rows()]
    assert {number for number, start in OFFERED.items() if not any(row.startswith(start) for row in features)} == set()
    assert set(range(1, 58)) - OFFERED.keys() == set()


def test_the_list_of_facts_has_no_row_that_is_not_looked_for() -> None:
    if not FACTS.exists():
        pytest.skip("the list of facts is not beside this checkout")
    text = FACTS.read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \|", text[text.index("### 1A.") : text.index("## 2.")], flags=re.MULTILINE)
    assert set(map(int, listed)) == OFFERED.keys()
