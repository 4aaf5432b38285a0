"""Draws the regions of a call from the table of their moves: `python tests/laws/drawings.py` writes them into docs."""

from __future__ import annotations

import textwrap
from enum import Enum
from pathlib import Path

from realtime_sip.call.machine.state import MOVES, End, Floor, Socket

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "call.md"
LABEL = 14
"""Letters to a line of a label: what is wider does not fit onto a phone."""
SIDEWAYS = (Floor,)
"""Regions whose moves cross each other from top to bottom."""
REGIONS: tuple[type[Enum], ...] = (Socket, Floor, End)


def drawn(region: type[Enum]) -> str:
    """Return the diagram of one region, in Mermaid."""
    states = list(region)
    lines = ["stateDiagram-v2", *(["    direction LR"] if region in SIDEWAYS else [])]
    lines.append(f"    [*] --> {states[0].name}")
    for before in states:
        moves = MOVES[before]  # type: ignore[index]
        for to in (state for state in states if state in moves):
            label = "<br/>".join(textwrap.wrap(moves[to], LABEL, break_long_words=False))
            lines.append(f"    {before.name} --> {to.name}: {label}")
        if not moves:
            lines.append(f"    {before.name} --> [*]")
    return "\n".join(lines)


def with_drawings(page: str) -> str:
    """Return the page with each diagram as the table has it."""
    for region in REGIONS:
        start = f"<!-- drawn: {region.__name__.lower()} -->\n```mermaid\n"
        before, _, after = page.partition(start)
        page = f"{before}{start}{drawn(region)}{after[after.index('```') - 1 :]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_drawings(PAGE.read_text()))
