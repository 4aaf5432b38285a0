"""The command `realtime-sip`: what it does is a module of this folder for each of its commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from realtime_sip.cli import demo, doctor, inspect, migrate, ring, store, twilio
from realtime_sip.cli.command import Command
from realtime_sip.errors import RealtimeSipError

__all__ = ["main"]

COMMANDS: dict[str, Command] = {
    "demo": demo,
    "ring": ring,
    "doctor": doctor,
    "inspect": inspect,
    "twilio": twilio,
    "store": store,
    "migrate": migrate,
}
"""In the order that `--help` shows."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="realtime-sip", description="Answer phone and WhatsApp calls with OpenAI's Realtime API over SIP."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS.values():
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 it went well, 1 it did not, 2 it could not be tried."""
    options = parser().parse_args(arguments)
    try:
        return COMMANDS[options.command].run(options)
    except RealtimeSipError as error:
        print(f"realtime-sip: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Nobody reads any more (`| head`). The interpreter would complain once more when it flushes at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
