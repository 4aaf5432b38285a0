"""Cases that people reported, which are not in the repository: one JSON object a line, beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).resolve().parents[3] / "shared" / "data" / "reported" / "twilio_cases.jsonl"


def reported(*kinds: str) -> pytest.MarkDecorator:
    """Return the cases of these kinds as parameters; one that is skipped without the file."""
    if not CASES.exists():
        reason = f"the reported cases are not there: {CASES.name}"
        return pytest.mark.parametrize("case", [pytest.param(None, marks=pytest.mark.skip(reason=reason))])
    cases: list[dict[str, Any]] = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines() if line]
    return pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in cases if c["kind"] in kinds])
