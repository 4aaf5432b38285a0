"""What is typed for a caller: lines of standard input, and the steps that they mean."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import CallerHangsUp, CallerPresses, CallerSays, Step
from realtime_sip.testing.scenario_file import read_step

__all__ = ["HELP", "step_of", "typed_lines"]

HELP = (
    "Type what the caller says; /hangup or Ctrl-D hangs up. A line of 0-9, * and # is keys, ! in front interrupts the\n"
    "agent, a line of a scenario file is that step. There is no model: the agent's answers are a placeholder.\n"
)

_KEYS = frozenset("0123456789*#")
_MAX_LINE = 256 * 1024
_MAX_WAITING = 100


def step_of(line: str) -> Step | None:
    """Return what a typed line means; None if it is blank.

    Raises:
        ConfigurationError: It is a command or a step that is not valid.

    >>> step_of("12#"), step_of("/hangup")
    (CallerPresses(interrupting=False, during=None, after=0.0), CallerHangsUp(interrupting=False, during=None, \
after=0.0, while_ringing=False))
    """
    text = line.strip()
    if text.startswith("{"):
        return read_step(text)
    if text.startswith("/"):
        if text == "/hangup":
            return CallerHangsUp()
        raise ConfigurationError("there is no such command; /hangup hangs up")
    interrupting = text.startswith("!")
    words = text.removeprefix("!").strip()
    if not words:
        return None
    if _KEYS.issuperset(words):
        return CallerPresses(words, interrupting=interrupting)
    return CallerSays(words, interrupting=interrupting)


async def typed_lines(descriptor: int) -> AsyncGenerator[str]:
    """Yield the lines of a file descriptor as they come, until its end.

    A terminal, a pipe and a file are read alike, in a thread of its own that nothing waits for: whoever types may never
    press Enter again.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue(_MAX_WAITING)

    def put(line: str | None) -> None:
        asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()

    def read() -> None:
        rest = b""
        try:
            # Not over sys.stdin, whose lock would be held when the interpreter ends.
            while data := os.read(descriptor, 65536):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    put(line.decode("utf-8", "replace"))
                if len(rest) > _MAX_LINE:
                    break
            if rest:
                put(rest[:_MAX_LINE].decode("utf-8", "replace"))
            put(None)
        except (OSError, RuntimeError):
            pass  # The input is gone, or the call is over and nobody waits for it.

    threading.Thread(target=read, name="realtime-sip-typed", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
