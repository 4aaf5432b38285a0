"""A timeline as a scenario, so that a call that was is a test of a call to come."""

from __future__ import annotations

from collections.abc import Iterator

from realtime_sip.call.record.timeline import KEY_PRESSED, RESPONSE_FAILED, Mark, Speech, Timeline, ToolRun, Words
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
)
from realtime_sip.testing.scenario import CallerStep, ModelStep

__all__ = ["scenario_of", "unknown_arguments"]

_PLACEHOLDER = "withheld "
_LONG = 3.0
"""Seconds of silence before the caller's turn that are worth playing again."""
_REACTION = 0.5
"""Seconds in which the service may have cut the agent off before it told that the caller speaks."""


def scenario_of(timeline: Timeline) -> list[CallerStep | ModelStep]:
    """Return the steps of the caller and of the model in a call.

    Words that the log withholds are placeholders of the same length, arguments `{}`, and keys 0. Pauses of the caller
    of more than three seconds are kept. What the program did, and faults of the network, are not in it.
    """
    return list(_steps(timeline))


def unknown_arguments(timeline: Timeline) -> list[str]:
    """Return the tools whose arguments the log withholds, by name."""
    names = [tool.name for tool in timeline.tools if tool.arguments is not None and tool.arguments.text is None]
    return sorted(set(names))


def _steps(timeline: Timeline) -> Iterator[CallerStep | ModelStep]:
    playing: Speech | None = None  # what the agent last said
    response = ""  # what the step before is of, if it is the model's
    quiet = 0.0
    for row in timeline.rows:
        follows = isinstance(row, (Speech, ToolRun)) and row.response_id != "" and row.response_id == response
        match row:
            case Speech(by="caller"):
                during = playing is not None and _is_heard(playing, row.begin)
                pause = row.begin - (playing.begin if playing is not None and during else quiet)
                yield CallerSays(
                    _text(row.words),
                    interrupting=during,
                    after=round(pause, 1) if during or pause > _LONG else 0.0,
                    transcribed=row.words is not None,
                )
            case Speech():
                seconds = None if row.end is None or row.interrupted else round(max(row.end - row.begin, 0.0), 1)
                yield ModelSays(_text(row.words), same_response=follows, seconds=seconds)
                playing = row
            case ToolRun(server=""):
                yield ModelCalls(row.name or "unknown", _arguments(row), same_response=follows)
            case ToolRun():
                took = None if row.end is None else round(max(row.end - row.begin, 0.0), 1)
                yield ModelCallsMcp(
                    row.server,
                    row.name or "unknown",
                    _arguments(row),
                    output="" if row.output is None else _text(row.output),
                    error="it failed" if row.failed else None,
                    seconds=took,
                    same_response=follows,
                )
            case Mark(what=what) if what == KEY_PRESSED:
                yield CallerPresses(row.detail if row.detail and row.detail in "0123456789*#ABCD" else "0")
            case Mark(what=what) if what == RESPONSE_FAILED:
                yield ModelFails(row.detail or None)
            case Mark():
                continue
        response = row.response_id if isinstance(row, (Speech, ToolRun)) else ""
        end = row.end if isinstance(row, (Speech, ToolRun)) else row.begin
        quiet = row.begin if end is None else end
    if timeline.ending is not None and timeline.ending.reason == "caller":
        yield CallerHangsUp()


def _is_heard(speech: Speech, at: float) -> bool:
    """Return whether a speech of the agent is heard at `at`, or ended because of what began then."""
    return speech.end is None or at < speech.end + (_REACTION if speech.interrupted else 0.0)


def _text(words: Words | None) -> str:
    if words is not None and words.text is not None and words.text.strip():
        return words.text
    length = max(words.characters if words is not None else 0, 1)
    return (_PLACEHOLDER * (length // len(_PLACEHOLDER) + 1))[:length].strip() or "-"


def _arguments(tool: ToolRun) -> str:
    return tool.arguments.text if tool.arguments is not None and tool.arguments.text is not None else "{}"
