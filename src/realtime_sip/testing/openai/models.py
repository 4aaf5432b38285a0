"""The emulated list of models: `GET /v1/models`, with `shutdown_date` as the service has it since October 2026."""

from __future__ import annotations

from email.utils import formatdate
from typing import get_args

from realtime_sip import beta
from realtime_sip.session import MODEL_SHUTDOWNS, RealtimeModel
from realtime_sip.testing.openai.server import Reply

__all__ = ["PROJECT", "models", "said_by_all"]

PROJECT = "proj_emulator"
"""The project that the emulator's key belongs to. That answers name it is reported, and not documented."""

_KNOWN = get_args(get_args(get_args(RealtimeModel)[0])[0])


def models() -> Reply:
    """Return the models of the Realtime API, without those of the beta, and the transcription models that end."""
    names = [name for name in dict.fromkeys([*_KNOWN, *MODEL_SHUTDOWNS]) if name not in beta.MODELS]
    shown = [
        {
            "id": name,
            "object": "model",
            "created": 1_750_000_000,
            "owned_by": "system",
            "shutdown_date": None if name not in MODEL_SHUTDOWNS else MODEL_SHUTDOWNS[name].isoformat(),
        }
        for name in names
    ]
    return Reply.of_json({"object": "list", "data": shown})


def said_by_all(unix: float) -> tuple[tuple[str, str], ...]:
    """Return the headers that each answer has."""
    return ("date", formatdate(unix, usegmt=True)), ("openai-project", PROJECT)
