"""Draws the regions of a call from the table of their moves: `python tests/laws/drawings.py` writes them into docs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from realtime_sip.call.machine.state import MOVES, End, Floor, Socket

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "call.md"
REGIONS: tuple[type[Enum], ...] = (Socket, Floor, End)


def drawn(region: type[Enum]) -> str:
    """Return the diagram of one region, in Mermaid."""
    states = list(region)
    lines = ["stateDiagram-v2", f"    [*] --> {states[0].name}"]
    for before in states:
        moves = MOVES[before]  # type: ignore[index]
        lines += [f"    {before.name} --> {to.name}: {moves[to]}" for to in states if to in moves]
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
