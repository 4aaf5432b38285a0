"""Cases that people reported, which are not in the repository: one JSON object a line, beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[3] / "shared" / "data" / "reported" / "twilio_cases.jsonl"


def reported(kind: str, *, has: str = "") -> pytest.MarkDecorator:
    """Return the cases of a kind, whose input has something, as parameters; one that is skipped without the file."""
    if not CASES.exists():
        reason = f"the reported cases are not there: {CASES.name}"
        return pytest.mark.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))])
    cases: list[dict[str, Any]] = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines() if line]
    chosen = [each for each in cases if each["kind"] == kind and (not has or has in each["input"])]
    assert chosen, f"there is no case {kind} with {has}"
    return pytest.mark.parametrize("case", [pytest.param(each, id=each["id"]) for each in chosen])
