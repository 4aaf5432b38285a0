"""Message templates of the emulated account."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.replies import not_found

__all__ = ["Contents"]


class Contents:
    """The templates by SID, as REST shows them, and what WhatsApp says of each."""

    def __init__(self) -> None:
        self.contents: dict[str, dict[str, Any]] = {}
        self.approvals: dict[str, dict[str, Any]] = {}
        self.pending: int | None = None
        """How often a template is still pending when it is read; None until a test decides it in `approvals`."""
        self.rejection_reason = ""
        """Why each template is rejected then; approved if it is ""."""
        self._reads: dict[str, int] = {}

    def answer(self, request: Request, path: str) -> Reply:
        """Answer a request to `/v1/Content…`."""
        match request.method, path.removeprefix("/v1/Content").strip("/").split("/"):
            case "POST", [""]:
                value = _json(request, {"friendly_name", "language", "variables", "types"}, ("language", "types"))
                sid = new_sid("HX")
                self.contents[sid] = {"variables": {}, **value, "sid": sid}
                return Reply.of_json(self.contents[sid], status=201)
            case "GET", [sid] if sid in self.contents:
                return Reply.of_json(self.contents[sid])
            case "POST", [sid, "ApprovalRequests", "whatsapp"] if sid in self.contents:
                value = _json(request, {"name", "category"}, ("name", "category"))
                self.approvals[sid] = {**value, "status": "received", "rejection_reason": ""}
                return Reply.of_json(self.approvals[sid], status=201)
            case "GET", [sid, "ApprovalRequests"] if sid in self.contents:
                self._decide(sid)
                return Reply.of_json({"sid": sid, "whatsapp": self.approvals.get(sid)})
        raise not_found(path)

    def _decide(self, sid: str) -> None:
        approval = self.approvals.get(sid)
        if approval is None or self.pending is None or approval["status"] not in ("received", "pending"):
            return
        approval["status"] = "pending"
        self._reads[sid] = self._reads.get(sid, 0) + 1
        if self._reads[sid] > self.pending:
            approval["status"] = "rejected" if self.rejection_reason else "approved"
            approval["rejection_reason"] = self.rejection_reason


def _json(request: Request, known: set[str], needed: tuple[str, ...]) -> dict[str, Any]:
    try:
        value = from_json(request.body)
    except ValueError:
        value = None
    if not isinstance(value, dict) or any(name not in value for name in needed) or set(value) - known:
        raise TwilioRefusal(20001, f"The body must be a JSON object with {', '.join(needed)}.")
    return value
