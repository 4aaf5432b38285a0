"""What the emulated Twilio saw and said, for assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["RestRequest", "TwilioAlert", "TwilioRefusal", "TwilioRequest"]

RequestKind = Literal[
    "voice",
    "action",
    "refer",
    "status",
    "answered",
    "recording",
    "conference",
    "wait",
    "whisper",
    "redirect",
    "fallback",
    "message",
]
"""What a request to the program is for."""


class TwilioRefusal(Exception):  # noqa: N818 - it is an answer to the program, not a failure of the emulator
    """Twilio refuses something: over REST as an error body, in a call as an alert and a failed verb."""

    def __init__(self, code: int | None, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioRequest:
    """One attempt to request a URL of the program.

    `params` are Twilio's own, in order. `status_code` is None if no answer came. `reply` is the body of the answer.
    """

    kind: RequestKind
    call_sid: str | None
    method: str
    url: str = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    status_code: int | None
    reply: str = field(default="", repr=False)
    at: float
    """Seconds of the emulator's clock."""

    def __getitem__(self, name: str) -> str:
        """Return one of Twilio's parameters.

        Raises:
            KeyError: The request had none of that name.
        """
        return self.params[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioAlert:
    """What Twilio's debugger would show. `code` is None if its code is in no source."""

    code: int | None
    message: str
    call_sid: str | None = None
    warning: bool = False
    """Whether Twilio goes on as if nothing were wrong; a strict call takes warnings too."""

    def __str__(self) -> str:
        return f"{self.code or 'no known code'}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One request to the REST API. `form` has the fields in order, with repeats: of the body, or of a GET's query."""

    method: str
    path: str
    form: tuple[tuple[str, str], ...] = field(repr=False)
    status: int
    code: int | None = None
    """The code of the error body, if it is one."""

    def values(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for known, value in self.form if known == name]
