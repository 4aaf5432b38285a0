"""The timeline of a call as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from realtime_sip.call.record.timeline import Mark, Row, Speech, Timeline, ToolRun, Words

__all__ = ["timeline_json"]


def timeline_json(course: Timeline) -> dict[str, Any]:
    """Return the timeline as JSON has it. Times are seconds since `started_at`; words that were withheld are null."""
    ending, usage = course.ending, course.usage
    return {
        "call_id": course.header.call_id,
        "started_at": course.header.started_at,
        "redacted": course.header.redacted,
        "model": course.model or None,
        "seconds": course.seconds,
        "rows": [_row(row) for row in course.rows],
        "ended": None if ending is None else asdict(ending),
        "median_wait": course.median_wait,
        "interruptions": course.interruptions,
        "tokens": asdict(usage.tokens),
        "responses": usage.responses,
        "complete": usage.complete,
        "cost_usd": None if course.cost is None else str(course.cost),
        "rates_of": course.rates,
        "cut": course.cut,
    }


def _row(row: Row) -> dict[str, Any]:
    match row:
        case Speech():
            return {
                "kind": "speech",
                "by": row.by,
                "begin": row.begin,
                "end": row.end,
                **_words("words", row.words),
                "interrupted": row.interrupted,
                "wait": row.wait,
                "tokens": row.tokens,
            }
        case ToolRun():
            return {
                "kind": "tool",
                "name": row.name,
                "server": row.server or None,
                "begin": row.begin,
                "end": row.end,
                **_words("arguments", row.arguments),
                **_words("output", row.output),
                "failed": row.failed,
            }
        case Mark():
            return {
                "kind": "mark",
                "begin": row.begin,
                "what": row.what,
                "detail": row.detail,
                "alarming": row.alarming,
            }


def _words(name: str, words: Words | None) -> dict[str, Any]:
    return {name: None if words is None else words.text, f"{name}_characters": words and words.characters}
