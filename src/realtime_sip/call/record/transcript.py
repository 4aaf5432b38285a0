"""What both sides of a call said, as a value.

>>> said = Line(by="caller", text="Where is my order?", item_id="item_1", complete=True, heard="Where is my order?")
>>> transcript = Transcript((said,), complete=True)
>>> transcript
Transcript(<1 lines>, complete=True)
>>> print(transcript.as_text())
caller: Where is my order?
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one side said in one turn, or in one message.

    Attributes:
        by: "caller" or "agent". A message that the program added counts for the side in whose name it is.
        text: The words; "" if they are not known. The agent's text is complete, even if the agent was interrupted.
        item_id: The id of the conversation's item.
        started_at: Unix seconds at which the service reported that the caller began to speak, or that the agent's
            response began to play. None if it did not, and for what was not spoken.
        ended_at: The same for the end. Messages of one response share the times of the response. Agent: SIP only.
        interrupted: Whether the agent was cut off, by the caller or by the program.
        heard: What the caller heard of an interrupted line of the agent. It is an estimate: the text is cut as if it
            were spoken evenly, at the end of a word. For any other line it is all of the text.
        phase: What the agent's message is for, if the model says so: "commentary" on the way, such as "let me look that
            up", or the "final_answer". One response can have a message of each, which are two lines.
        complete: Whether the text is all there, and no longer being spoken. False for a turn of the caller that is not
            transcribed yet, or never is, because transcription is off or failed; for a line that fell into a gap; and
            for one that was still playing when the call ended.
    """

    by: Literal["caller", "agent"]
    text: str = field(repr=False)
    item_id: str
    started_at: float | None = None
    ended_at: float | None = None
    interrupted: bool = False
    heard: str = field(repr=False)
    phase: str | None = None
    complete: bool


@dataclass(frozen=True, slots=True, repr=False)
class Transcript(Sequence[Line]):
    """What was said so far, as a sequence of lines in the order of the conversation. It does not grow.

    System messages, function calls, their outputs, and responses outside of the conversation are not in it. `as_text`
    and the lines' own attributes show the words; `repr` and `str` never do.

    Attributes:
        lines: The lines.
        complete: Whether every line is complete, and no line was lost: in a gap of the sideband, or as the oldest of
            more than 2,000 items or 1,000,000 characters.
    """

    lines: tuple[Line, ...]
    complete: bool = field(kw_only=True)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Line, ...]: ...
    def __getitem__(self, index: int | slice) -> Line | tuple[Line, ...]:
        """Return a line, or a tuple of lines for a slice."""
        return self.lines[index]

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self.lines)

    def __iter__(self) -> Iterator[Line]:
        """Go through the lines in order."""
        return iter(self.lines)

    def __repr__(self) -> str:
        """Show how many lines there are, and no words."""
        return f"Transcript(<{len(self.lines)} lines>, complete={self.complete})"

    def as_text(self) -> str:
        """Return the words as plain text, "caller: …" or "agent: …" on a line each.

        Of the agent's words it has those that were heard. "[…]" stands for words that are missing: not transcribed, not
        there yet, lost, or not heard. No words can forge a line of their own.
        """
        return "\n".join(_as_text(line) for line in self.lines)


def _as_text(line: Line) -> str:
    words = "".join(c if c.isprintable() else " " for c in line.heard).split()
    if not line.complete or line.heard != line.text:
        words.append("[…]")
    return " ".join([f"{line.by}:", *words])
