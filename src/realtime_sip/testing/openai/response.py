"""One response of an emulated model, while it is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from realtime_sip.testing.openai.conversation import audio_tokens
from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.scenario import ModelStep

__all__ = ["OpenItem", "Response"]


@dataclass(slots=True)
class Response:
    """A response: what it plays, and what it has made so far."""

    id: str
    steps: list[ModelStep]
    text_only: bool
    conversation_id: str | None
    max_output_tokens: int | str
    audio: dict[str, Any]
    metadata: Any
    read: tuple[int, int]
    output: list[Frame] = field(default_factory=list)
    started: list[OpenItem] = field(default_factory=list)
    over: bool = False
    text_tokens: int = 0
    audio_tokens: int = 0
    task: asyncio.Task[None] | None = None

    def shown(self, status: str, *, details: Frame | None = None, usage: Frame | None = None) -> Frame:
        """Return the response as its events show it."""
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": list(self.output),
            "conversation_id": self.conversation_id,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "max_output_tokens": self.max_output_tokens,
            "audio": {"output": self.audio},
            "usage": usage,
            "metadata": self.metadata,
        }


@dataclass(slots=True)
class OpenItem:
    """An item that a response makes."""

    index: int
    item: Frame
    previous: str | None
    text: str = ""
    seconds: float = 0.0
    """How long speaking all of it takes."""
    characters: int = 0
    """How many characters all of it has."""
    sounds: bool = False
    """Whether it is to be heard."""
    written: bool = False
    """Whether it is text, not speech."""

    @property
    def generated(self) -> int:
        """The audio tokens that were generated so far."""
        if not self.sounds:
            return 0
        return max(1, audio_tokens(self.seconds * len(self.text) / self.characters))

    @property
    def unfinished(self) -> bool:
        """Whether it is being made."""
        return self.item.get("status") == "in_progress"

    @property
    def calls(self) -> bool:
        """Whether it calls a function of the client's."""
        return (self.item.get("type"), self.item.get("status")) == ("function_call", "completed")
