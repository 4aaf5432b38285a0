"""What was found about something at Twilio that nobody declared so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from realtime_sip._redaction import redact


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """Something to know.

    Attributes:
        level: "error" if calls would fail, or the plan could not be carried out; else "warning".
        text: What, and what to do.
    """

    level: Literal["error", "warning"]
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"

    def __repr__(self) -> str:
        """Show it without numbers, which `str` shows."""
        return f"<Finding {self.level}: {redact(self.text)}>"
