"""The command `realtime-sip`. It parses arguments, calls what does the work, and prints what that returns."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from realtime_sip.errors import RealtimeSipError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 it went well, 1 it did not, 2 it could not be tried."""
    parser = argparse.ArgumentParser(prog="realtime-sip", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="answer an emulated phone call, and show it as it happens",
        description="Starts the server of examples/fastapi_server.py and rings it through the emulator. No account, no "
        "network: only this machine's loopback.",
    )
    demo.add_argument("--recording", type=Path, metavar="PATH", help="replay a recorded session instead of a scenario")
    demo.add_argument(
        "--speed", type=_speed, default=3.0, help="how much faster than life, 0.5 to 30 (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        from realtime_sip.cli.demo import run_demo

        return 0 if asyncio.run(run_demo(recording=options.recording, speed=options.speed)) else 1
    except RealtimeSipError as error:
        print(f"realtime-sip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.5 <= speed <= 30:
        # The server's own clocks are real: to it, a faster caller is gone before the last syllable was heard.
        raise argparse.ArgumentTypeError("must be 0.5 to 30")
    return speed
