"""What the page of symptoms quotes from the log, the code does log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import realtime_sip
from realtime_sip.outcomes import EndReason, RefusalKind

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
SOURCE = "\n".join(path.read_text() for path in Path(realtime_sip.__file__).parent.rglob("*.py"))
BUILT = {f"the service refused: {kind}" for kind in RefusalKind} | {f"ended ({reason.value}" for reason in EndReason}
"""Lines that are put together."""


def quoted() -> list[str]:
    tables = re.findall(r"\| the log says \|.*?\n((?:\|.*\n)+)", PAGE)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()[1:]]
    return [text.removeprefix("call rtc_…: ") for cell in cells for text in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("text", quoted())
def test_the_log_says_so(text: str) -> None:
    assert text in SOURCE or text in BUILT


@pytest.mark.parametrize("reason", re.findall(r"`([a-z_]+)`", PAGE.split("| `reason` |")[1].split("\n\n")[0]))
def test_the_reason_is_one_that_is_given(reason: str) -> None:
    assert f'"{reason}"' in SOURCE or reason.startswith("webhook")
