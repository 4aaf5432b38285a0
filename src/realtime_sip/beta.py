"""The names of the beta Realtime API, and what they are called now.

Beta shapes are refused before they are sent, with the current name in the message, because the service answers them
with an error in the middle of a call. The tables are data, so that a program can also rewrite old code with them.

The source of every row is OpenAI's migration guide and the types of both generations (API guide, November 2026).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

HEADER = "OpenAI-Beta"
"""The request header that asks for beta behavior. It is never sent: with it, the service talks beta."""

SESSION_FIELDS: Mapping[str, str | None] = MappingProxyType(
    {
        "input_audio_format": "audio.input.format",
        "input_audio_noise_reduction": "audio.input.noise_reduction",
        "input_audio_transcription": "audio.input.transcription",
        "max_response_output_tokens": "max_output_tokens",
        "modalities": "output_modalities",
        "output_audio_format": "audio.output.format",
        "speed": "audio.output.speed",
        "temperature": None,
        "turn_detection": "audio.input.turn_detection",
        "voice": "audio.output.voice",
    }
)
"""Beta field of a session -> its current path, None if it was removed. Both session types share the table."""

RESPONSE_FIELDS: Mapping[str, str | None] = MappingProxyType(
    {
        "max_response_output_tokens": "max_output_tokens",
        "modalities": "output_modalities",
        "output_audio_format": "audio.output.format",
        "temperature": None,
        "voice": "audio.output.voice",
    }
)
"""Beta field of a response, asked for or reported -> its current path, None if it was removed."""

AUDIO_FORMATS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "g711_alaw": MappingProxyType({"type": "audio/pcma"}),
        "g711_ulaw": MappingProxyType({"type": "audio/pcmu"}),
        "pcm16": MappingProxyType({"type": "audio/pcm", "rate": 24000}),
    }
)
"""Beta audio format, a string -> the current object."""

CLIENT_EVENT_TYPES: Mapping[str, str] = MappingProxyType({"transcription_session.update": "session.update"})
"""Beta type of a client event -> the current one. The session then needs `type: "transcription"`."""

SERVER_EVENT_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "response.audio.delta": "response.output_audio.delta",
        "response.audio.done": "response.output_audio.done",
        "response.audio_transcript.delta": "response.output_audio_transcript.delta",
        "response.audio_transcript.done": "response.output_audio_transcript.done",
        "response.text.delta": "response.output_text.delta",
        "response.text.done": "response.output_text.done",
        "transcription_session.created": "session.created",
        "transcription_session.updated": "session.updated",
    }
)
"""Beta type of a server event -> the current one.

`conversation.item.created` is not here: it may still come, beside `conversation.item.added` and `.done`.
"""

CONTENT_TYPES: Mapping[str, str] = MappingProxyType({"audio": "output_audio", "text": "output_text"})
"""Beta type of a part of an assistant's message -> the current one. The content-part events keep the old names."""

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "/realtime/sessions": "/realtime/client_secrets",
        "/realtime/transcription_sessions": "/realtime/client_secrets",
    }
)
"""Beta path, below /v1 -> the current one."""


def advice(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return a sentence for each beta name that says what to write instead.

    >>> advice({"voice": "audio.output.voice", "temperature": None})
    {'voice': 'it is audio.output.voice now', 'temperature': 'it was removed, leave it out'}
    """
    return {
        name: "it was removed, leave it out" if current is None else f"it is {current} now"
        for name, current in names.items()
    }
