"""Whose API a source is about, as its words show: shapes of the beta are right for services that have kept them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from realtime_sip.migration.findings import Hit, Level

_OPENAI = re.compile(r"openai|gpt-(?:4o-(?:mini-)?)?realtime", re.IGNORECASE)
_SENT = re.compile(
    r'"(?:(?:transcription_)?session\.update|response\.create|realtime\.(?:\w+_)?session|client_secret)"'
)
# Their realtime APIs took the beta's shapes on purpose, and keep them (November 2026). Azure calls its preview API
# deprecated since April 2026, which does not say that it is off.
_OTHERS = re.compile(
    r"voice[-_]?live\b|azure voice live"
    r"|/openai/realtime\?api-version=|\b(?:async)?azureopenai\([^)]{0,500}-preview\b"
    r"|api\.x\.ai|\bxai_|\bgrok-|\bxai\b[^\n]{0,40}realtime"
    r"|nvidia[-_. ]?(?:ace|nim|riva|realtime)|api\.nvidia\.com|\briva\b"
    r"|\bdashscope|\bqwen[\w.-]*(?:omni|realtime)|\bstepfun\b|\bbigmodel\b|\bglm-realtime\b",
    re.IGNORECASE,
)
_ANTHROPIC = re.compile(r"anthropic|\bclaude\b", re.IGNORECASE)
# Its sessions are its own, in words that the beta had too; it converts them.
_AGENTS_SDK = re.compile(
    r"^\s*(?:from|import)\s+agents\.realtime\b|@openai/agents|\bRealtimeRunner\b|\bRealtimeAgent\b", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the whole text of a source shows.

    Attributes:
        text: The text.
        openai: It names OpenAI or a model of its Realtime API.
        other: It names another service that has kept the shapes of the beta.
        agents: It uses OpenAI's Agents SDK, whose own configuration has names of the beta.
    """

    text: str = field(repr=False)
    openai: bool
    other: bool
    agents: bool

    @classmethod
    def of(cls, text: str, *, data: bool = False) -> Evidence:
        """Read what a text shows. Data rarely names who it is for: what it sends, and the kind of a session, tell."""
        openai = _has(_OPENAI, text) or (data and _has(_SENT, text))
        return cls(text, openai, _has(_OTHERS, text), _has(_AGENTS_SDK, text))

    @property
    def anthropic(self) -> bool:
        """Whether it names Anthropic or its models."""
        return _has(_ANTHROPIC, self.text)

    @property
    def realtime(self) -> bool:
        """Whether it is about a realtime API. The Responses API has some events of the beta's names."""
        return "realtime" in self.text.lower()

    def level(self, hit: Hit) -> Level:
        """Return how sure a hit is in this source."""
        sure = hit.sure and self.openai and not self.other
        return Level.ERROR if sure else Level.NOTE


def _has(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.search(text) is not None
