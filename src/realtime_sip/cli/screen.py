"""What the demo shows: who does what, when, and at the end whether it was right."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from realtime_sip.testing import ExpectedSocket, RingingCall, Said

__all__ = ["Screen"]

_LOOK = 0.02


class Screen:
    """Shows who does what, when, and says at the end whether it was right."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lines: list[tuple[str, str]] = []
        self._look: Callable[[], None] = lambda: None

    def show(self, who: str, what: str) -> None:
        """Print one line, after what has happened on the line before it."""
        self._look()
        self._print(who, what)

    def _print(self, who: str, what: str) -> None:
        self._lines.append((who, what))
        self._write(f"{time.monotonic() - self._started:7.2f}s  {who:>6} │ {what}")

    def _write(self, line: str) -> None:
        try:
            print(line, flush=True)
        except BrokenPipeError:
            # Nobody looks any more (`| head`); the call and its verdict go on.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process

    async def shown(self, who: str, start: str) -> bool:
        """Return whether `who` has said something that starts so, or says so within a second."""
        for _ in range(int(1 / _LOOK)):
            if any(by == who and what.startswith(start) for by, what in self._lines):
                return True
            await asyncio.sleep(_LOOK)
        return False

    @contextmanager
    def showing(self, log: logging.Logger) -> Iterator[None]:
        """Show what the example server logs."""
        handler = _Lines(self)
        before = log.level, log.propagate
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.level, log.propagate = before

    @asynccontextmanager
    async def following(self, line: RingingCall | ExpectedSocket) -> AsyncIterator[None]:
        """Show what is said on the line, until the block is left."""
        at = [0, 0, 0]

        def look() -> None:
            # Of what happened since the last look: on a call we answer the service, on a primary socket it answers us.
            on_call = isinstance(line, RingingCall)
            events = (line.server_events, line.client_events) if on_call else (line.client_events, line.server_events)
            heard: tuple[Sequence[Said | dict[str, Any]], ...] = (line.said, *events)
            for row, rows in enumerate(heard):
                new = rows[at[row] :]
                at[row] += len(new)
                for entry in new:
                    shown = _told(entry, replayed=line.replay is not None)
                    if shown is not None:
                        self._print(*shown)

        async def follow() -> None:
            while True:
                look()
                await asyncio.sleep(_LOOK)

        self._look = look
        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            look()
            self._look = lambda: None

    def verdict(self, checks: dict[str, bool]) -> bool:
        """Print what was to happen and whether it did; return whether all of it did."""
        self._write("")
        for what, ok in checks.items():
            self._write(f"  {'✓' if ok else '✗'} {what}")
        passed = all(checks.values())
        self._write(f"\n{'The call went as it should.' if passed else 'The call did NOT go as it should.'}")
        return passed


class _Lines(logging.Handler):
    """Hands the example's log lines to the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.show("server", record.getMessage())


def _told(entry: Said | dict[str, Any], *, replayed: bool) -> tuple[str, str] | None:
    """Return who does what in something that was said or sent, or None for what is not shown."""
    if isinstance(entry, Said):
        return ("caller" if entry.by == "caller" else "agent", f"“{entry.text}”")
    match entry:
        case {"type": "response.function_call_arguments.done", "name": name, "arguments": arguments}:
            return "agent", f"calls {name}({' '.join(arguments.split())})"
        case {"type": "conversation.item.create", "item": {"type": "function_call_output", "output": output}}:
            return "server", f"sends the tool's result: {output}"
        case {"type": "output_audio_buffer.started"}:
            return "caller", "hears the agent"
        case {"type": "input_audio_buffer.dtmf_event_received", "event": digit}:
            return "caller", f"presses {digit}"
    if replayed:
        match entry:
            case {"type": "response.output_audio_transcript.done", "transcript": words} | {
                "type": "response.output_text.done",
                "text": words,
            }:
                return "agent", f"“{words}”"
            case {"type": "conversation.item.input_audio_transcription.completed", "transcript": words}:
                return "caller", f"“{words}”"
            case {"type": "conversation.item.create", "item": {"role": "user", "content": [{"text": words}]}}:
                return "caller", f"“{words}”"
    return None
