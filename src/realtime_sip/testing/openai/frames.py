"""What the emulated service puts on the wire: ids, error bodies, error events, pieces of text."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

from realtime_sip.testing.openai.server import Reply

__all__ = ["BUSY", "Frame", "Ids", "Refusal", "error_event", "error_reply", "not_found", "pieces"]

Frame = dict[str, Any]

BUSY = "conversation_already_has_active_response"
"""The code with which a second response in the conversation is refused (recorded)."""


class Ids:
    """Hands out ids that look like the service's, in rising order, and never twice in one process."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(4)
        self._count = itertools.count(1)

    def __call__(self, kind: str) -> str:
        """Return a new id, as `event_…` for `kind="event"`."""
        return f"{kind}_{self._prefix}{next(self._count):013d}"


class Refusal(Exception):  # noqa: N818 - it is an answer to the client, not a failure of the emulator
    """The emulated service refuses something: over HTTP as an error body, on a socket as an error event."""

    def __init__(
        self, message: str, *, code: str | None, param: str | None = None, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind

    def body(self) -> Frame:
        """Return the error object of the service."""
        return {"type": self.kind, "code": self.code, "message": self.message, "param": self.param}


def error_event(ids: Ids, refusal: Refusal, *, event_id: str | None) -> Frame:
    """Return the `error` event for `refusal`; `event_id` is that of the client's event that caused it."""
    return {"type": "error", "event_id": ids("event"), "error": {**refusal.body(), "event_id": event_id}}


def error_reply(refusal: Refusal, *, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return the error body (`{"error": {type, code, message, param}}`) for `refusal`."""
    return Reply.of_json({"error": refusal.body()}, status=status, headers=headers)


def not_found(*, bare: bool = False) -> Reply:
    """Return the answer for a call that is not there yet or any more: 404 `call_id_not_found` (field reports).

    A bare one is that of a gateway: no JSON.
    """
    if bare:
        return Reply(status=404, body=b"404 page not found\n", content_type="text/plain")
    return error_reply(Refusal("No session found for this call.", code="call_id_not_found"), status=404)


def pieces(text: str) -> list[str]:
    """Cut `text` into deltas, much as the service does; joined they are `text` again.

    >>> pieces("Hello there. Are you well?")
    ['Hello', ' there', '.', ' Are', ' you', ' well', '?']
    """
    found: list[str] = []
    for character in text:
        mark = character in ".,;:!?"
        if not found or character == " " or mark:
            found.append(character)
        else:
            found[-1] += character
    return found
