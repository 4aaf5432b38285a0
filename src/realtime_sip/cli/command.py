"""What a module of this folder that is a command has: `add(commands)` and `run(options)`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Protocol

__all__ = ["Command", "Commands"]

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
