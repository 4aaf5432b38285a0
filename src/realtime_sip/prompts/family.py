"""Which prompt a model wants: models of one family read the same rules alike."""

from __future__ import annotations

import re
from enum import Enum


class ModelFamily(Enum):
    """Models that are prompted alike (OpenAI's prompting guides, 2025 to November 2026)."""

    REALTIME_1 = "gpt-realtime"
    """gpt-realtime, 1.5, mini and the models before them. They do not reason."""
    REALTIME_2 = "gpt-realtime-2"
    """gpt-realtime-2 and later. They reason, say a preamble before tools by themselves, and read rules literally."""
    LIVE = "gpt-live"
    """GPT-Live, which takes a short prompt. What is procedure goes to the model behind it."""


_FIRST = re.compile(
    r"gpt-4o(-mini)?-realtime-preview.*|gpt-audio.*|gpt-realtime(-1(\.\d+)?)?(-mini)?(-20\d\d-\d\d-\d\d)?"
)


def family_of(model: str | None) -> ModelFamily:
    """Return the family of a model. An unknown model, such as the name of a deployment, is taken for a newest one.

    >>> [family_of(model).value for model in ("gpt-realtime-1.5", "gpt-realtime-2.1-mini", None)]
    ['gpt-realtime', 'gpt-realtime-2', 'gpt-realtime-2']
    """
    if model is None:
        return ModelFamily.REALTIME_2
    if model.startswith("gpt-live"):
        return ModelFamily.LIVE
    return ModelFamily.REALTIME_1 if _FIRST.fullmatch(model) else ModelFamily.REALTIME_2
