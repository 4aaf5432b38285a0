"""The frames that the benchmarks are fed: recorded ones if `../shared` lies beside the checkout, else parse.py's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from parse import _Call

_RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "recordings"
IDS = re.compile(rb'(: ")((?:event|resp|item|call|conv|sess)_\w+)"')
# A sideband gets no audio.
_NO_SIDEBANDS = {"response.output_audio.delta", "session.created"}


def made() -> list[bytes]:
    """Return the frames of one call of parse.py."""
    return [json.dumps(frame).encode() for frame in _Call().frames()]


def frames(least: int, recordings: Path | None = None) -> tuple[str, list[bytes]]:
    """Return which mix it is, and at least so many frames, whose ids are never the same."""
    folder = recordings or _RECORDINGS
    recorded = [frame for path in sorted(folder.glob("*openai_ws*.jsonl")) for frame in _server_frames(path)]
    name = f"recorded ({folder})" if recorded else "made in parse.py"
    once = [json.dumps(frame).encode() for frame in recorded] or made()
    found: list[bytes] = []
    for number in range(least // len(once) + 1):
        found += [IDS.sub(rb'\g<1>\g<2>%d"' % number, frame) for frame in once]
    return name, found


def _server_frames(path: Path) -> list[dict[str, Any]]:
    kept = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        frame = entry.get("data")
        if entry.get("direction") == "sent" or not isinstance(frame, dict):
            continue
        if isinstance(frame.get("event_id"), str) and frame.get("type") not in _NO_SIDEBANDS:
            kept.append(frame)
    return kept
