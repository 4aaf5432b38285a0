"""What a command shows of a call: who does what, when, and at the end whether it was right."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Line", "Screen", "Watch", "until"]

_LOOK = 0.02
_WIDTH = 80
_WHO = 6
_MARGIN = 2 + len("000.00s") + 2 + _WHO + 1
_COLORS = {"caller": 36, "Twilio": 35, "OpenAI": 32, "agent": 32, "server": 33}
_DIM, _BOLD = 2, 1


class Line(NamedTuple):
    """Who did what. `step` is the heading of the part of the call that begins with it, if one does."""

    who: str
    what: str
    step: str = ""


Watch = Callable[[], Iterable[Line]]
"""Returns what has happened since it was last called."""


class Screen:
    """Shows who does what, when, and says at the end whether it was right. Its clock is the running event loop's.

    Lines have 80 columns. In a terminal, names have colors; the environment's `NO_COLOR` turns them off.
    """

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._started = self._now()
        self._lines: list[Line] = []
        self._step = ""
        self._looks: list[Callable[[], None]] = []
        self._colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show(self, who: str, what: str, *, step: str = "") -> None:
        """Print what somebody does, after what has happened before it."""
        for look in self._looks:
            look()
        self._print(Line(who, what, step))

    def write(self, text: str) -> None:
        """Print text as it is, beside the times."""
        self._write(text)

    def _print(self, line: Line) -> None:
        self._lines.append(line)
        if line.step and line.step != self._step:
            self._step = line.step
            self._write(f"\n{self._painted(line.step, _BOLD)}")
        first, *rest = _wrapped(line.what)
        at = self._painted(f"{self._now() - self._started:6.2f}s", _DIM)
        who = self._painted(f"{line.who:>{_WHO}}", _COLORS.get(line.who, _DIM))
        self._write(f"{at}  {who} │ {first}")
        for more in rest:
            self._write(f"{'':{_MARGIN - 2}}│ {more}")

    def _painted(self, text: str, color: int) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._colored else text

    def _write(self, line: str) -> None:
        encoding = sys.stdout.encoding or "utf-8"
        try:
            print(line.encode(encoding, "replace").decode(encoding), flush=True)
        except BrokenPipeError:
            # Nobody looks any more (`| head`); the call and its verdict go on.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process

    async def shown(self, who: str, start: str) -> bool:
        """Return whether `who` has said something that starts so, or says so within a second."""
        return await until(
            lambda: any(line.who == who and line.what.startswith(start) for line in self._lines), seconds=1
        )

    @contextmanager
    def showing(self, log: logging.Logger) -> Iterator[None]:
        """Show what the example server logs, and which webhooks are refused."""
        handler = _Lines(self)
        refused = logging.getLogger("realtime_sip.integrations")
        before = [(each, each.level, each.propagate) for each in (log, refused)]
        log.setLevel(logging.INFO)
        refused.setLevel(logging.WARNING)
        for each in (log, refused):
            each.addHandler(handler)
            each.propagate = False
        try:
            yield
        finally:
            for each, level, propagate in before:
                each.removeHandler(handler)
                each.setLevel(level)
                each.propagate = propagate

    @asynccontextmanager
    async def following(self, *watches: Watch) -> AsyncIterator[None]:
        """Show what happens, until the block is left. Of what is seen at once, the first watch's comes first."""

        def look() -> None:
            for watch in watches:
                for line in watch():
                    self._print(line)

        async def follow() -> None:
            while True:
                look()
                await asyncio.sleep(_LOOK)

        self._looks.append(look)
        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            look()
            self._looks.remove(look)

    def verdict(self, checks: Mapping[str, bool], *, advice: Iterable[str] = ()) -> bool:
        """Print what was to happen and whether it did, then advice; return whether all of it did."""
        self._write("")
        for what, ok in checks.items():
            mark = self._painted("✓", 32) if ok else self._painted("✗", 31)
            self._write(f"  {mark} {what}")
        passed = all(checks.values())
        self._write(f"\n{'The call went as it should.' if passed else 'The call did NOT go as it should.'}")
        for text in advice:
            lines = [
                textwrap.fill(line, _WIDTH, break_long_words=False, break_on_hyphens=False) for line in text.split("\n")
            ]
            self._write("\n" + "\n".join(lines))
        return passed


async def until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Look until `condition` holds, `seconds` at most; return whether it does."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition() and loop.time() < end:  # noqa: ASYNC110 - it is about lists that only grow
        await asyncio.sleep(_LOOK)
    return condition()


class _Lines(logging.Handler):
    """Hands the example's log lines to the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.show("server", record.getMessage())


def _wrapped(what: str) -> list[str]:
    """Return text in lines that fit behind the margin; line breaks and indents in it stay, other controls do not."""
    lines: list[str] = []
    for line in "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in what).split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(line, _WIDTH - _MARGIN, break_on_hyphens=False, subsequent_indent=indent)
    return lines or [""]
