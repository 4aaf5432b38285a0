"""What the emulator saw, for assertions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from realtime_sip.testing.openai.frames import Frame

__all__ = ["LineRecord", "RecordedRequest", "Said", "WebhookResponse"]

MAX_RECORDED = 100_000


@dataclass(frozen=True, slots=True)
class Said:
    """What one side said: the caller's words as scripted, the model's as far as they were generated."""

    by: Literal["caller", "model"]
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request to the REST API or for a socket.

    `operation` is "accept", "reject", "refer", "hangup", "create", "client_secrets", "webhook_endpoints", "models" or
    "attach".
    `status` is that of the answer, None if none was given. `body` is the parsed JSON, or None.
    """

    operation: str
    path: str
    status: int | None
    call_id: str | None = None
    body: Any = field(default=None, repr=False)
    refusal: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookResponse:
    """How an endpoint answered one delivery of an event of the type `type`.

    `url` is None for an object in this process. `status_code` is None if no answer came in time; for an object it
    is 200 if it returned, and 500 if it raised.
    """

    url: str | None
    type: str
    webhook_id: str
    attempt: int
    status_code: int | None

    @property
    def taken(self) -> bool:
        """Whether the answer was 2xx, so that nothing is repeated."""
        return self.status_code is not None and 200 <= self.status_code < 300


class LineRecord:
    """What happened on one line: a call, or a primary socket. The lists grow while it lasts."""

    def __init__(self) -> None:
        self.client_events: list[Frame] = []
        """What the client sent, in order."""
        self.server_events: list[Frame] = []
        """The service's events in order, whether or not a socket was open."""
        self.said: list[Said] = []
        """What was said, in order."""
        self.notes: list[str] = []
        """What the emulator found strange, in plain words: unscripted responses, steps that never came, and so on."""
        self.strange: list[str] = []
        """How the call differed from its scenario, in plain words. The notes have all of it too."""
        self.sockets = 0
        """How many sockets were opened on it so far."""

    def keep(self, where: list[Any], what: Any) -> None:
        """Append `what`, unless the record is full."""
        if len(where) < MAX_RECORDED:
            where.append(what)

    def note(self, text: str) -> None:
        """Note something strange; never anybody's words or numbers."""
        self.keep(self.notes, text)

    def unscripted(self, text: str) -> None:
        """Record that the call differs from its scenario."""
        self.keep(self.strange, text)
        self.note(text)

    def client_sent(self, kind: str, *, matching: Callable[[Frame], bool] | None = None) -> list[Frame]:
        """Return the events of the type `kind` that the client sent, and for which `matching` is true."""
        return [
            event for event in self.client_events if event.get("type") == kind and (matching is None or matching(event))
        ]
