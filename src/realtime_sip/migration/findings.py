"""What was found in a source: where, how sure it is, and what to write instead."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any


class Level(enum.StrEnum):
    """How sure a finding is."""

    ERROR = "error"
    """The service refuses it, or does not have it any more."""
    NOTE = "note"
    """It may be right: another service's, a library's own, a reader of both names, or a choice."""


class Rule(enum.StrEnum):
    """What kind of thing was found."""

    HEADER = "header"
    ENDPOINT = "endpoint"
    SDK = "sdk"
    EVENT_NAME = "event-name"
    SHAPE = "shape"
    SECRET = "secret"  # noqa: S105 - the name of a rule
    MODEL = "model"
    PROMPT = "prompt"
    UNREAD = "unread"


MENTIONED = ""
"""What a hit says that is a finding only if more is known of its model."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What a piece of a source is found to be.

    Attributes:
        rule: Which kind.
        what: What it is, and what is to be done.
        now: What to write instead: source text, or a JSON object; None if there is nothing.
        changes: What the object's fields become, a line each.
        sure: Whether the piece alone shows it, given that the source is about OpenAI's API.
        model: The model that it names, by whose shutdown it is judged if that is known.
    """

    rule: Rule
    what: str
    now: Any = None
    changes: tuple[str, ...] = ()
    sure: bool = True
    model: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A hit and its place.

    Attributes:
        path: The file.
        line: From 1; in a notebook, the line of the cell.
        column: From 1.
        cell: The cell of a notebook, from 1; None elsewhere.
    """

    path: str
    line: int
    column: int
    level: Level
    hit: Hit = field(repr=False)
    cell: int | None = None

    @property
    def place(self) -> str:
        """Path, cell, line and column, as editors read them."""
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{self.path}:{cell}{self.line}:{self.column}"
