"""What a module of this folder that is a command has: `add(commands)` and `run(options)`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Protocol

__all__ = ["Command", "Commands", "speed"]

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = argparse._SubParsersAction


class Command(Protocol):
    """A command. Its module imports little: what does the work is imported by `run`, as it may need an extra."""

    def add(self, commands: Commands, /) -> None:
        """Add the command's parser, named as its module."""

    def run(self, options: argparse.Namespace, /) -> int:
        """Carry it out and return the exit status: 0 it went well, 1 it did not."""
        ...


def speed(text: str) -> float:
    """Return how much faster than life a command plays a call, for argparse."""
    times = float(text)
    if not 0.5 <= times <= 30:
        # The server's own clocks are real: to it, a faster caller is gone before the last syllable was heard.
        raise argparse.ArgumentTypeError("must be 0.5 to 30")
    return times
