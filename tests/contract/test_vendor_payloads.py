"""What the vendor's own helpers send for a call passes here: no false refusal.

The payloads are literals of ours, after openai-agents (Python: `OpenAIRealtimeSIPModel.build_initial_session_payload`,
JavaScript: `OpenAIRealtimeSIP.buildInitialConfig`). Their packages pin old websockets, and are never installed here.
"""

from __future__ import annotations

from typing import Any

import pytest

from realtime_sip.session import AudioFormatWarning, RealtimeSession, warn_of_formats

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
