"""The files that can hold code of the beta: how each kind is read, and what is found in it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from realtime_sip._wire import read_json
from realtime_sip.migration import json_text, python_code, scripts
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import MENTIONED, Finding, Hit, Level, Rule

MAX_BYTES = 2_000_000
"""A larger file is not read, and reported."""

_SCRIPTS = {".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".html", ".htm", ".vue", ".svelte"}
SUFFIXES = frozenset({".py", ".pyi", ".ipynb", ".json", ".md", ".markdown", *_SCRIPTS})
"""The kinds of files that are read."""

_SKIPPED = {"node_modules", "__pycache__", "site-packages", "dist", "build", "venv"}
_FENCE = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>```+|~~~+)[ \t]*(?P<info>[^\n`]*)\n(?P<code>.*?)^[ \t]*(?P=fence)",
    re.MULTILINE | re.DOTALL,
)
_MAGIC = re.compile(r"^[ \t]*[%!]", re.MULTILINE)

Spot = tuple[int | None, int, int, Hit]
"""The cell of a notebook, the line, the column, and what is there."""


def files(path: Path) -> Iterator[Path]:
    """Yield a file, or those of a folder that can be read, in order; not what is hidden, built or installed.

    Raises:
        FileNotFoundError: There is neither.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise FileNotFoundError(path)
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(folder) / name


def findings(path: Path, *, shutdowns: Mapping[str, date | None] | None = None) -> list[Finding]:
    """Return what of the beta is in a file. What cannot be read is a note of its own.

    Args:
        path: The file; how it is read is decided by its suffix.
        shutdowns: When each model that there is will be shut down, to judge all models by that are named.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            return [_unread(path, f"it is larger than {MAX_BYTES:,} bytes")]
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        return [_unread(path, f"it cannot be opened ({type(error).__name__})")]
    return of_text(path, text, shutdowns=shutdowns)


def of_text(path: Path, text: str, *, shutdowns: Mapping[str, date | None] | None = None) -> list[Finding]:
    """Return what of the beta is in the text of a file; see `findings`."""
    evidence = Evidence.of(text, data=path.suffix.lower() == ".json")
    try:
        spots = list(_spots(path.suffix.lower(), text, evidence))
    except SyntaxError:
        return [_unread(path, "it is not Python that can be read")]
    except ValueError:
        return [_unread(path, "it is not JSON that can be read")]
    found = []
    for cell, line, column, hit in spots:
        judged, level = hit, evidence.level(hit)
        if hit.model and shutdowns is not None:
            judged, level = _by_its_end(hit, shutdowns, datetime.now(UTC).date())
        if judged.what != MENTIONED:
            found.append(Finding(str(path), line, column, level, judged, cell))
    return sorted(found, key=lambda finding: (finding.cell or 0, finding.line, finding.column))


def _by_its_end(hit: Hit, shutdowns: Mapping[str, date | None], today: date) -> tuple[Hit, Level]:
    """Judge a model by what the service says of it; an error only if its day has passed."""
    if hit.model not in shutdowns:
        return replace(hit, what=hit.what or f"{hit.model} is not among the models of this key"), Level.NOTE
    end = shutdowns[hit.model]
    if end is None:
        return hit, Level.NOTE
    if end <= today:
        return replace(hit, what=f"{hit.model} was shut down on {end}"), Level.ERROR
    return replace(hit, what=f"{hit.model} will be shut down on {end}"), Level.NOTE


def write(path: Path) -> bool:
    """Put the current objects into a JSON file, in which some are of the beta for sure; return whether it was changed.

    Any other file, and one that cannot be written without a loss, is left as it is. It is replaced at once.
    """
    if path.suffix.lower() != ".json" or path.is_symlink():
        return False
    try:
        if path.stat().st_size > MAX_BYTES:
            return False
        text = path.read_bytes().decode("utf-8")
        evidence = Evidence.of(text, data=True)
        sure = evidence.openai and not evidence.other
        after = json_text.rewritten(text, evidence) if sure else None
        if after is None:
            return False
        _replace(path, after.encode())
    except (OSError, ValueError):
        return False
    return True


def _replace(path: Path, data: bytes) -> None:
    """Replace a file, so that it is never there in part."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as new:
        new.write(data)
    try:
        shutil.copymode(path, new.name)
        Path(new.name).replace(path)
    finally:
        Path(new.name).unlink(missing_ok=True)


def _unread(path: Path, why: str) -> Finding:
    return Finding(str(path), 1, 1, Level.NOTE, Hit(Rule.UNREAD, f"not read: {why}", sure=False))


def _spots(suffix: str, text: str, source: Evidence) -> Iterator[Spot]:
    match suffix:
        case ".py" | ".pyi":
            yield from ((None, *spot) for spot in python_code.scan(text, source))
        case ".json":
            yield from ((None, *spot) for spot in json_text.scan(text, source))
        case ".ipynb":
            yield from _notebook(text, source)
        case ".md" | ".markdown":
            yield from _page(text, source)
        case _:
            yield from ((None, *spot) for spot in scripts.scan(text, source))


def _notebook(text: str, source: Evidence) -> Iterator[Spot]:
    """Go through the cells of code. A cell that is not Python is read by its literals."""
    notebook = read_json(text)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    for n, cell in enumerate(cells if isinstance(cells, list) else [], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        lines = cell.get("source")
        code = "".join(map(str, lines)) if isinstance(lines, list) else str(lines or "")
        yield from ((n, *spot) for spot in _code(code, source))


def _code(code: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    try:
        # Commands of the notebook become comments; their lines stay.
        yield from list(python_code.scan(_MAGIC.sub("#", code), source))
    except SyntaxError:
        yield from scripts.scan(code, source)


def _page(text: str, source: Evidence) -> Iterator[Spot]:
    """Go through the fenced code, by the language that it says it is in."""
    for fence in _FENCE.finditer(text):
        language = fence["info"].strip().split(" ")[0].strip("{}.").lower()
        code = textwrap.dedent(fence["code"])
        above = text.count("\n", 0, fence.start("code"))
        if language in ("python", "py", "python3", "pycon", "ipython"):
            spots = _code(code, source)
        elif language in ("json", "jsonc", "json5"):
            spots = _json(code, source)
        elif language in ("js", "javascript", "jsx", "ts", "typescript", "tsx", "html"):
            spots = scripts.scan(code, source)
        elif not language and not code.lstrip().startswith(("curl ", "$ ", "POST ")):
            spots = _json(code, source) if code.lstrip().startswith(("{", "[")) else _code(code, source)
        else:
            spots = scripts.scan_lines(code, source)
        for line, column, hit in spots:
            yield None, above + line, column + len(fence["indent"]), hit


def _json(code: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    try:
        yield from list(json_text.scan(code, source))
    except ValueError:  # shortened, or with comments
        yield from scripts.scan(code, source)
