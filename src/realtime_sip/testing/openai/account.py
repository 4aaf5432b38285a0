"""What a strict call or socket tells if it went otherwise than its scenario says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.openai.record import LineRecord
from realtime_sip.testing.openai.recording import Replay
from realtime_sip.testing.scenario import Scenario

__all__ = ["account"]

_MOST = 40


def account(
    what: str, scenario: Scenario, record: LineRecord, replay: Replay | None, *, end: str, came: bool = True
) -> str | None:
    """Return what was expected of a line and what was seen, without anybody's words; None if they agree.

    `end` is who ended it, `came` whether it came at all.
    """
    wrong = list(record.strange) if came else ["it did not come"]
    if scenario.left:
        wrong.append(f"not reached: {', '.join(scenario.left[:_MOST])}")
    if replay is not None and not replay.complete:
        wrong.append("the recording was not played to its end")
    if not wrong:
        return None
    expected = ", ".join(scenario.expected[:_MOST]) or "nothing"
    seen = ", ".join([*_seen(record.server_events)][-_MOST:]) or "nothing"
    return f"{what}: {'; '.join(wrong)}. Expected: {expected}. Seen: {seen}, {end}"


def _seen(events: Iterable[Frame]) -> Iterable[str]:
    for event in events:
        match event:
            case {"type": "input_audio_buffer.committed"}:
                yield "the caller spoke"
            case {"type": "input_audio_buffer.dtmf_event_received"}:
                yield "a key"
            case {"type": "response.done", "response": {"status": status, "output": list(output)}}:
                made = " + ".join(_made(item) for item in output) or "nothing"
                yield f"a response: {made}" + ("" if status == "completed" else f" ({status})")


def _made(item: Any) -> str:
    if not isinstance(item, dict):
        return "?"
    kind = {"message": "speech"}.get(str(item.get("type")), str(item.get("type")))
    return f"{kind} {item['name']}" if "name" in item else kind
