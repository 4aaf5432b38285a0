"""`realtime-sip inspect`: an event log as a timeline, in the terminal, as a page, or as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realtime_sip.call.record.timeline import Mark, Row, Speech, Timeline, ToolRun, Words, timeline
from realtime_sip.cli.command import Commands
from realtime_sip.cli.timeline_page import timeline_page
from realtime_sip.cli.timeline_text import timeline_text
from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import read_event_log

__all__ = ["add", "run"]


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "inspect",
        help="show an event log as a timeline",
        description="Shows who spoke when, interruptions, tools, waits, tokens, cost and the end of one call, read "
        "from the event log that EventLogFolder wrote. Of a redacted log, lengths stand in the place of words.",
    )
    parser.add_argument("log", type=Path, help="an event log, or a folder of them: its newest")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--html", type=Path, metavar="PATH", help="write one self-contained HTML page")
    shape.add_argument("--json", action="store_true", help="print JSON")
    shape.add_argument(
        "--scenario",
        type=Path,
        metavar="PATH",
        help="write a scenario file that replays it, for `realtime-sip ring` and the emulator",
    )


def run(options: argparse.Namespace) -> int:
    """Show the log; return 0, or raise `ConfigurationError` if it cannot be read."""
    course = timeline(read_event_log(_newest(options.log)))
    if options.json:
        print(json.dumps(timeline_json(course), indent=2, allow_nan=False))
    elif options.html is not None:
        try:
            options.html.write_text(timeline_page(course), encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write the page: {type(error).__name__}") from None
        print(options.html)
    elif options.scenario is not None:
        _write_scenario(course, options.scenario)
    else:
        print(timeline_text(course, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else 100))
    return 0


def _write_scenario(course: Timeline, path: Path) -> None:
    # The emulator has extras of its own.
    from realtime_sip.cli.timeline_scenario import scenario_of, unknown_arguments
    from realtime_sip.testing import write_scenario

    write_scenario(scenario_of(course), path)
    print(path)
    unknown = unknown_arguments(course)
    if unknown:
        print(f"the log withholds the arguments of {', '.join(unknown)}: fill them in", file=sys.stderr)


def _newest(path: Path) -> Path:
    if not path.is_dir():
        return path
    logs = sorted(path.glob("*.jsonl"))
    if not logs:
        raise ConfigurationError("the folder has no event log")
    return logs[-1]


def timeline_json(course: Timeline) -> dict[str, Any]:
    """Return the timeline as JSON has it. Times are seconds since `started_at`; words that were withheld are null."""
    ending, usage = course.ending, course.usage
    return {
        "call_id": course.header.call_id,
        "started_at": course.header.started_at,
        "redacted": course.header.redacted,
        "model": course.model or None,
        "seconds": course.seconds,
        "rows": [_row(row) for row in course.rows],
        "ended": None if ending is None else asdict(ending),
        "median_wait": course.median_wait,
        "interruptions": course.interruptions,
        "tokens": asdict(usage.tokens),
        "responses": usage.responses,
        "complete": usage.complete,
        "cost_usd": None if course.cost is None else str(course.cost),
        "rates_of": course.rates,
        "cut": course.cut,
    }


def _row(row: Row) -> dict[str, Any]:
    match row:
        case Speech():
            return {
                "kind": "speech",
                "by": row.by,
                "begin": row.begin,
                "end": row.end,
                **_words("words", row.words),
                "interrupted": row.interrupted,
                "wait": row.wait,
                "tokens": row.tokens,
            }
        case ToolRun():
            return {
                "kind": "tool",
                "name": row.name,
                "server": row.server or None,
                "begin": row.begin,
                "end": row.end,
                **_words("arguments", row.arguments),
                **_words("output", row.output),
                "failed": row.failed,
            }
        case Mark():
            return {
                "kind": "mark",
                "begin": row.begin,
                "what": row.what,
                "detail": row.detail,
                "alarming": row.alarming,
            }


def _words(name: str, words: Words | None) -> dict[str, Any]:
    return {name: None if words is None else words.text, f"{name}_characters": words and words.characters}
