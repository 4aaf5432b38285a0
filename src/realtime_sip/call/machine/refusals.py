"""What the service did not do, cut short or left out: each is told to the program, so that nothing passes unseen."""

from __future__ import annotations

from realtime_sip import beta
from realtime_sip._redaction import redact
from realtime_sip.call.machine.effects import Tell
from realtime_sip.call.machine.state import CallState
from realtime_sip.call.record.frame import get
from realtime_sip.call.record.responses import Response
from realtime_sip.outcomes import RefusalKind, ServiceRefused

_UNPAID = ("insufficient_quota", "billing")
"""The beginnings of error codes of an account that cannot pay."""
_RACED = frozenset({"response_cancel_not_active"})
"""Codes of what is expected: what was to be stopped had just ended."""
_MAX_ID = 200


def kind_of(s: CallState, response: Response, *, called: bool) -> RefusalKind | None:
    """Return what the service did not do of a response that is done; None if it did all of it, or was stopped."""
    match response.status:
        case "cancelled":
            return None
        case "failed":
            return RefusalKind.QUOTA if _is_unpaid(response.code) else RefusalKind.FAILED
        case "incomplete":
            return RefusalKind.INCOMPLETE
    expected = s.session.speaks if response.speaks is None else response.speaks
    silent = not called and not response.has_spoken and not response.outside
    return RefusalKind.NOTHING_TO_HEAR if silent and expected else None


def of_response(s: CallState, response: Response, kind: RefusalKind, *, again: bool) -> None:
    """Tell of a response."""
    s.out.append(Tell(ServiceRefused(kind, _shown(response.code), None, response.id[:_MAX_ID], None, again)))


def of_event(s: CallState, error: object, *, item_id: str | None = None, again: bool = False) -> None:
    """Tell of an `error` event, or that no answer came; then `error` is None."""
    code = get(error, "code")
    if isinstance(code, str) and code in _RACED:
        return
    kind = RefusalKind.QUOTA if _is_unpaid(code) else RefusalKind.REFUSED
    s.out.append(Tell(ServiceRefused(kind, _shown(code), _shown(get(error, "param")), None, item_id, again)))


def of_approval(s: CallState, request_id: str) -> None:
    """Tell that a call of an MCP server was not approved."""
    s.out.append(Tell(ServiceRefused(RefusalKind.APPROVAL_DENIED, item_id=request_id[:_MAX_ID])))


def is_hopeless(error: object) -> bool:
    """Whether an error will stay, however often the same is asked for."""
    code = get(error, "code")
    return _is_unpaid(code) or code == beta.DISABLED


def _is_unpaid(code: object) -> bool:
    return isinstance(code, str) and code.startswith(_UNPAID)


def _shown(text: object) -> str | None:
    return redact(text) if isinstance(text, str) and text else None
