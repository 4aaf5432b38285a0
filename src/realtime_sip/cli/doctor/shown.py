"""What is printed of findings: plain text in groups, or JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from realtime_sip.cli.doctor.finding import Finding, Group, Level

__all__ = ["as_json", "as_text"]

_WIDTH = 100
_LEVEL = len(Level.NOT_CHECKED)
_COLORS = {Level.OK: 32, Level.NOTE: 36, Level.WARNING: 33, Level.ERROR: 31, Level.NOT_CHECKED: 2}


def as_text(findings: Sequence[Finding], *, colored: bool) -> str:
    """Return the findings in groups, the fix of each below it, and how many there are of each level."""

    def painted(text: str, color: int) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if colored else text

    lines: list[str] = []
    for group in Group:
        inside = [each for each in findings if each.group is group]
        if inside:
            lines += ["", painted(group.value, 1)]
        for each in inside:
            lines += _lines(each, painted)
    return "\n".join([*lines, "", _summary(findings)]).lstrip("\n")


def _lines(finding: Finding, painted: Callable[[str, int], str]) -> Iterable[str]:
    margin = 2 + _LEVEL + 2
    first, *rest = _wrapped(f"{finding.name}: {finding.found}", _WIDTH - margin)
    yield f"  {painted(f'{finding.level.value:{_LEVEL}}', _COLORS[finding.level])}  {first}"
    for line in rest:
        yield f"{'':{margin}}{line}"
    for number, line in enumerate(_wrapped(finding.fix, _WIDTH - margin - 2) if finding.fix else []):
        yield f"{'':{margin}}{'  ' if number else '→ '}{line}"


def _wrapped(text: str, width: int) -> list[str]:
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return textwrap.wrap(printable, width, break_on_hyphens=False, break_long_words=False) or [""]


def _summary(findings: Iterable[Finding]) -> str:
    count = Counter(each.level for each in findings)
    shown = [f"{count[level]} {_word(level, count[level])}" for level in (Level.ERROR, Level.WARNING) if count[level]]
    shown += [f"{count[Level.NOT_CHECKED]} not checked"] if count[Level.NOT_CHECKED] else []
    return (
        f"{', '.join(shown) or 'nothing'}{'' if count[Level.ERROR] else ': nothing that was checked keeps calls away'}"
    )


def _word(level: Level, number: int) -> str:
    return level.value if number == 1 else f"{level.value}s"


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings for a program. `ok` says that none is an error."""
    return {
        "ok": not any(each.level is Level.ERROR for each in findings),
        "findings": [
            {
                "group": each.group.value,
                "name": each.name,
                "level": each.level.value,
                "found": each.found,
                "fix": each.fix or None,
            }
            for each in findings
        ],
    }
