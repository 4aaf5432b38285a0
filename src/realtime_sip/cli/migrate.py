"""`realtime-sip migrate`: its arguments, what it prints, and what its exit status says."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_sip.cli.command import Commands
from realtime_sip.errors import ConfigurationError

if TYPE_CHECKING:
    from realtime_sip.migration.findings import Finding

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "migrate",
        help="find what is of the beta Realtime API in source code, and print what it is now",
        description="Reads Python, notebooks, JSON, fenced code in Markdown, and JavaScript, TypeScript and HTML by "
        "their literals; runs nothing of it. Errors are sure, notes may be right. The exit status is 0 without "
        "errors, 1 with, 2 if a path is not there.",
    )
    parser.add_argument("paths", nargs="*", type=Path, default=[Path()], metavar="PATH", help="files and folders (.)")
    parser.add_argument("--write", action="store_true", help="put the current objects into JSON files; into no others")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON array")
    parser.add_argument(
        "--models",
        action="store_true",
        help="ask the API, with OPENAI_API_KEY, when each model that is named will be shut down",
    )


def run(options: argparse.Namespace) -> int:
    """Look for what is of the beta; return 1 if anything is left that is sure to fail.

    Raises:
        ConfigurationError: A path is not there; or a key is missing, with which to ask for models.
        RealtimeSipError: The service could not be asked for models.
    """
    from realtime_sip.migration import sources

    dates = _shutdown_dates() if options.models else None
    found: list[Finding] = []
    written: list[Path] = []
    count = 0
    for path in options.paths:
        try:
            for file in sources.files(path):
                count += 1
                if options.write and sources.write(file):
                    written.append(file)
                found += sources.findings(file, shutdowns=dates)
        except FileNotFoundError:
            raise ConfigurationError(f"there is no file or folder {path}") from None
    errors = sum(finding.level == "error" for finding in found)
    if options.json:
        print(json.dumps([_as_json(finding) for finding in found], indent=2, default=str))
    else:
        for finding in found:
            _show(finding)
        for file in written:
            print(f"{file}: written")
    notes = len(found) - errors
    print(f"{_count(errors, 'error')}, {_count(notes, 'note')} in {_count(count, 'file')}", file=sys.stderr)
    return 1 if errors else 0


def _shutdown_dates() -> dict[str, date | None]:
    from realtime_sip.api.models import shutdown_dates
    from realtime_sip.client import RealtimeSip

    with RealtimeSip() as client:
        return client._transport.run(shutdown_dates())


def _show(finding: Finding) -> None:
    hit = finding.hit
    print(f"{finding.place}: {finding.level}: {hit.what} [{hit.rule}]")
    for change in hit.changes:
        print(f"    {change}")
    if hit.now is not None and (hit.changes or isinstance(hit.now, dict)):
        text = hit.now if isinstance(hit.now, str) else json.dumps(hit.now, indent=2, ensure_ascii=False)
        print("  now:")
        for line in text.splitlines():
            print(f"    {line}")


def _as_json(finding: Finding) -> dict[str, Any]:
    hit = finding.hit
    place = {"path": finding.path, "cell": finding.cell, "line": finding.line, "column": finding.column}
    return {
        **{name: value for name, value in place.items() if value is not None},
        "level": finding.level,
        "rule": hit.rule,
        "what": hit.what,
        "changes": list(hit.changes),
        "now": hit.now,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
