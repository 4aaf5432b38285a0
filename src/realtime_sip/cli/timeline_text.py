"""A timeline in the terminal: plain text, as wide as it is asked to be."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from realtime_sip.call.record.timeline import Row, Speech, Timeline, ToolRun, Words

__all__ = ["cost", "facts", "printable", "shown", "started", "timeline_text", "told"]


def timeline_text(timeline: Timeline, *, width: int = 80) -> str:
    """Return the timeline as lines of at most `width` columns, but for a word that is longer."""
    return "\n".join(_lines(timeline, max(width, 50)))


def _lines(timeline: Timeline, width: int) -> Iterator[str]:
    model = printable(timeline.model) or "model unknown"
    yield printable(timeline.header.call_id)
    yield f"{started(timeline)} · {model} · {timeline.seconds:.1f} s"
    yield ""
    for row in timeline.rows:
        length = "" if (seconds := duration(row)) is None else f"{seconds:.1f}"
        who, what = told(row)
        notes = shown(row)
        yield from _wrapped(f"{row.begin:7.1f} {length:>5}  {who:<7}", " ".join([what, *notes]), width)
    if timeline.ending is not None:
        ending = timeline.ending
        what = f"{printable(ending.reason)} ({printable(ending.certainty)}): {printable(ending.evidence)}"
        yield from _wrapped(f"{ending.at:7.1f} {'':>5}  {'ended':<7}", what, width)
    else:
        yield from _wrapped(f"{timeline.seconds:7.1f} {'':>5}  {'?':<7}", "the log does not say how it ended", width)
    yield ""
    for name, value in facts(timeline):
        yield from _wrapped(f"{name:<13}", value, width)


def _wrapped(margin: str, what: str, width: int) -> list[str]:
    indent = " " * len(margin)
    lines = textwrap.wrap(what, width, initial_indent=f"{margin} ", subsequent_indent=f"{indent} ")
    return lines or [margin.rstrip()]


def told(row: Row) -> tuple[str, str]:
    """Return who does what in a row."""
    if isinstance(row, Speech):
        return row.by, _words(row.words)
    if isinstance(row, ToolRun):
        output = "no output" if row.output is None else _words(row.output)
        return "tool", f"{_name(row)} {_words(row.arguments)} → {output}"
    return "", f"{row.what}: {printable(row.detail)}" if row.detail else row.what


def shown(row: Row) -> list[str]:
    """Return what else there is to say of a row."""
    if isinstance(row, Speech):
        return [
            *(["[interrupted]"] if row.interrupted else []),
            *([] if row.wait is None else [f"[after {row.wait:.1f} s]"]),
        ]
    if isinstance(row, ToolRun):
        return ["[failed]"] if row.failed else []
    return ["[!]"] if row.alarming else []


def duration(row: Row) -> float | None:
    """Return how long a row took, in seconds; None for a moment, and for what has no end in the log."""
    if isinstance(row, (Speech, ToolRun)) and row.end is not None:
        return max(row.end - row.begin, 0.0)
    return None


def facts(timeline: Timeline) -> Iterator[tuple[str, str]]:
    """Return what the call comes to: waits, interruptions, tools, tokens and cost, each with its name."""
    first = next((row.begin for row in timeline.speeches if row.by == "agent"), None)
    if first is not None:
        yield "first word", f"{first:.1f} s after answering began"
    if timeline.median_wait is not None:
        waits = timeline.waits
        yield "waits", f"{timeline.median_wait:.1f} s (median), {max(waits):.1f} s (longest) of {len(waits)}"
    times = {0: "never", 1: "once", 2: "twice"}
    yield "interrupted", times.get(timeline.interruptions, f"{timeline.interruptions} times")
    yield "spoken", f"caller {timeline.spoken('caller'):.1f} s, agent {timeline.spoken('agent'):.1f} s"
    if timeline.tools:
        yield "tools", _tools(timeline)
    tokens = timeline.usage.tokens
    cached = tokens.cached_text_in + tokens.cached_audio_in + tokens.cached_image_in
    got = tokens.text_in + tokens.audio_in + tokens.image_in
    yield "tokens", f"{got:,} in ({cached:,} cached), {tokens.text_out + tokens.audio_out:,} out"
    yield "cost", cost(timeline)
    if timeline.cut:
        yield "log", "its last line was cut off"


def _tools(timeline: Timeline) -> str:
    took = [(row.end - row.begin, _name(row)) for row in timeline.tools if row.end is not None]
    if not took:
        return f"{len(timeline.tools)}, none with an end"
    seconds, name = max(took)
    return f"{len(timeline.tools)}, the slowest {name} with {seconds:.1f} s"


def _name(tool: ToolRun) -> str:
    return printable(f"{tool.server}: {tool.name}" if tool.server else tool.name)


def cost(timeline: Timeline) -> str:
    """Return the cost in words."""
    if timeline.cost is None:
        return "not known: something that was used has no published price"
    bound = "" if timeline.usage.complete else "at least "
    return f"{bound}${timeline.cost:.4f} by the rates of {timeline.rates}"


def started(timeline: Timeline) -> str:
    """Return when the call began."""
    try:
        return f"{datetime.fromtimestamp(timeline.header.started_at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "begin unknown"


def _words(words: Words | None) -> str:
    return "[not transcribed]" if words is None else printable(str(words))


def printable(text: str) -> str:
    """Return a text on one line without what a terminal would obey."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
