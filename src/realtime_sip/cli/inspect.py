"""`realtime-sip inspect`: an event log as a timeline, in the terminal, as a page, or as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_sip.cli.command import Commands
from realtime_sip.errors import ConfigurationError

if TYPE_CHECKING:
    from realtime_sip.call.record.timeline import Timeline

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
    # Every command is imported with this one, `doctor` too, which has to run where these packages cannot.
    from realtime_sip.call.record.timeline import timeline
    from realtime_sip.cli.timeline_json import timeline_json
    from realtime_sip.cli.timeline_page import timeline_page
    from realtime_sip.cli.timeline_text import timeline_text
    from realtime_sip.event_log import read_event_log

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
