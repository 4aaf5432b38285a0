"""What the vendor's own helpers and guide send for a call passes here: no false refusal.

The payloads are literals of ours, after openai-agents (Python: `OpenAIRealtimeSIPModel.build_initial_session_payload`,
JavaScript: `OpenAIRealtimeSIP.buildInitialConfig`). Their packages pin old websockets, and are never installed here.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any, get_args

import pytest

from realtime_sip import events
from realtime_sip.session import AudioFormatWarning, RealtimeSession, warn_of_formats

GUIDE = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"

PYTHON: dict[str, Any] = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": "You answer for a bakery.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "gpt-realtime-whisper"},
            "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash"},
    },
    "tools": [{"type": "function", "name": "hours", "description": "", "parameters": {"type": "object"}}],
}
JAVASCRIPT: dict[str, Any] = {
    "type": "realtime",
    "instructions": "You answer for a bakery.",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-realtime-whisper"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "ash", "speed": 1},
    },
    "tool_choice": "auto",
}


@pytest.mark.parametrize("payload", [PYTHON, JAVASCRIPT], ids=["python", "javascript"])
def test_law_no_false_refusal__what_the_vendors_helpers_build_is_sent_as_it_is(payload: dict[str, Any]) -> None:
    session = RealtimeSession.model_validate(payload)
    assert session.to_wire() == payload
    with pytest.warns(AudioFormatWarning) as caught:
        warn_of_formats(session)
    assert len(caught) == 2


def _blocks() -> list[str]:
    if not GUIDE.is_file():
        return []
    return re.findall(r"^\s*```[a-z]*\n(.*?)^\s*```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def _objects(block: str) -> list[dict[str, Any]]:
    """Return the objects in an example: the whole of it, the body of a curl command, or what a program assigns."""
    bodies = re.findall(r"-d '(\{.*?\})'", block, re.DOTALL)
    bodies += re.findall(r"^(?:const )?\w+ = (\{.*?^\})", textwrap.dedent(block), re.DOTALL | re.MULTILINE)
    found = []
    for body in bodies or [block]:
        # The programs' objects have comments, keys without quotes, and a comma behind the last.
        plain = re.sub(r"(?:^|\s)(?://|#)\s.*", "", body)
        plain = re.sub(r"^(\s*)(\w+):", r'\1"\2":', plain, flags=re.MULTILINE)
        plain = re.sub(r"([{,]\s*)(\w+):", r'\1"\2":', plain)
        plain = re.sub(r",(\s*[}\]])", r"\1", plain)
        try:
            value = json.loads(plain)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


CLIENT = {kind.model_fields["type"].default for kind in get_args(events.ClientEvent)}


@pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is not beside this checkout")
@pytest.mark.filterwarnings("ignore::realtime_sip.session.ModelDeprecationWarning")
def test_law_no_false_refusal__every_example_of_the_guide_passes() -> None:
    tried = []
    for block in _blocks():
        for value in _objects(block):
            kind = value.get("type")
            if kind in CLIENT:
                events.client_event(value)
            elif kind == "realtime":
                RealtimeSession.model_validate(value)
            elif isinstance(kind, str) and "event_id" in value:
                assert not isinstance(events.parse_server_event(json.dumps(value)), events.UnknownServerEvent), kind
            else:
                continue
            tried.append(kind)
    assert {"realtime", "session.update"} <= {*tried}
