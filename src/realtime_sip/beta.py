"""The names and shapes of the beta Realtime API, and what they are called now: the one table of the move to GA.

The beta was switched off in May 2026. Beta shapes are refused here before they are sent, with the current name in the
message, because the service answers them with an error in the middle of a call; `migration.to_ga` converts them by the
same rows, and `realtime-sip migrate` finds them by these names.

The source of every row is OpenAI's migration guide and the types of both generations (API guide and openai-python,
November 2026). What has the same name in both is not here: instructions, tools, tool_choice, prompt, tracing,
truncation, include, metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# --- how it was reached -----------------------------------------------------------------------------------------------

HEADER = "OpenAI-Beta"
"""The request header that asked for the beta. It is never sent: the service refuses what has it."""

HEADER_VALUE = "realtime=v1"
"""What the header said. With another value, such as `assistants=v2`, it belongs to other APIs, which still take it."""

SUBPROTOCOL = "openai-beta.realtime-v1"
"""The WebSocket subprotocol with which browsers asked for the beta."""

DISABLED = "beta_api_shape_disabled"
"""The code with which the service answers what is of the beta: HTTP 400, or an `error` event and a close with 4000."""

ENDPOINTS: Mapping[str, str] = MappingProxyType(
    {
        "/realtime/sessions": "/realtime/client_secrets",
        "/realtime/transcription_sessions": "/realtime/client_secrets",
    }
)
"""Beta path, below /v1 -> the current one. What is below such a path, `/realtime/sessions/{id}`, is another API's."""

SDP_ENDPOINT = ("/realtime", "/realtime/calls")
"""The path, below /v1, to which an SDP offer was posted, with `?model=`, and the current one. `wss:` keeps the old."""

PYTHON_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "beta.realtime.connect": "realtime.connect",
        "beta.realtime.sessions.create": "realtime.client_secrets.create",
        "beta.realtime.transcription_sessions.create": "realtime.client_secrets.create",
        "openai.resources.beta.realtime": "openai.resources.realtime",
        "openai.types.beta.realtime": "openai.types.realtime",
    }
)
"""Attributes of a client of openai-python, and its modules, which it still has -> the current ones."""

MODELS: Mapping[str, str] = MappingProxyType(
    {
        "gpt-4o-realtime-preview": "gpt-realtime-2.1",
        "gpt-4o-realtime-preview-2024-10-01": "gpt-realtime-2.1",
        "gpt-4o-realtime-preview-2024-12-17": "gpt-realtime-2.1",
        "gpt-4o-realtime-preview-2025-06-03": "gpt-realtime-2.1",
        "gpt-4o-mini-realtime-preview": "gpt-realtime-2.1-mini",
        "gpt-4o-mini-realtime-preview-2024-12-17": "gpt-realtime-2.1-mini",
    }
)
"""A model of the beta -> what is nearest now. Which one to take is a choice, so none is put in another's place."""

# --- sessions and responses -------------------------------------------------------------------------------------------

SESSION_FIELDS: Mapping[str, str | None] = MappingProxyType(
    {
        "client_secret": None,
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
"""Beta field of a session -> its current path, None if it was removed. The session also needs a `type` now."""

TRANSCRIPTION_FIELDS: Mapping[str, str | None] = MappingProxyType(
    {name: path if path and path.startswith("audio.input.") else None for name, path in SESSION_FIELDS.items()}
)
"""The same for a session that only transcribes: it has no output, so what was about that was removed."""

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

HALF_MOVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        side: MappingProxyType(
            {
                name: path
                for name, path in SESSION_FIELDS.items()
                if path and path.startswith(f"audio.{side}.") and not path.endswith(f".{name}")
            }
        )
        for side in ("input", "output")
    }
)
"""Beta names that are found where only the current ones are: in `audio.input` and `audio.output` -> the current path.

The service refuses `session.audio.input.input_audio_noise_reduction` (field reports, 2026).
"""

DISTINCTIVE = frozenset(
    {
        "input_audio_format",
        "input_audio_noise_reduction",
        "input_audio_transcription",
        "max_response_output_tokens",
        "output_audio_format",
    }
)
"""Names that no other API of the service has. Speech, chat and responses have a voice, modalities or a temperature."""

REMOVED: Mapping[str, str] = MappingProxyType(
    {
        "client_secret": "expires_after stands beside the session, in the request for a key",
        "modalities": "a session that only transcribes has no output",
        "temperature": "there is none any more; say in the instructions how to sound",
    }
)
"""Beta field that was removed -> what to do without it."""

BOTH_MODALITIES = frozenset({"audio", "text"})
"""What `modalities` said for speech with its transcript. It is ["audio"] now, which has the transcript too."""

AUDIO_FORMATS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "g711_alaw": MappingProxyType({"type": "audio/pcma"}),
        "g711_ulaw": MappingProxyType({"type": "audio/pcmu"}),
        "pcm16": MappingProxyType({"type": "audio/pcm", "rate": 24000}),
    }
)
"""Beta audio format, a string -> the current object."""

TOOL_CHOICE_FIELDS: Mapping[str, str] = MappingProxyType({"function": "name"})
"""Beta field of a `tool_choice` that names a function, `{"function": {"name": …}}` -> the current one."""

# --- events and items -------------------------------------------------------------------------------------------------

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

REFERENCE = "item_reference"
"""Beta type of a part of a message that pointed to another item. It is an entry of a response's `input` now."""


def advice(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return a sentence for each beta name that says what to write instead.

    >>> advice({"voice": "audio.output.voice"})
    {'voice': 'it is audio.output.voice now'}
    >>> advice({"client_secret": None})
    {'client_secret': 'it was removed: expires_after stands beside the session, in the request for a key'}
    """
    return {
        name: f"it is {current} now"
        if current is not None
        else f"it was removed: {REMOVED[name]}"
        if name in REMOVED
        else "it was removed, leave it out"
        for name, current in names.items()
    }
