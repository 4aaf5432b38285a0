"""What `core.step` asks for: everything that the shell carries out."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime_sip import events
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.record.struggle import Escalation
from realtime_sip.outcomes import CallAnswered, CallEnded, LimitNear, ServiceRefused, SidebandGap, TransferFailed

Happening = LimitNear | SidebandGap | Escalation | TransferFailed | ServiceRefused | CallAnswered
"""What is emitted to the program among the events of the call."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept the call, and report with `Accepted` or `AcceptFailed`."""

    early: bool = True
    """Whether 404 may mean that there is no call yet, so that it is repeated."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Reject the call, so that its trunk goes on, and report with `Rejected`."""


@dataclass(frozen=True, slots=True)
class Attach:
    """Open the sideband, once, and report with `Attached` or `AttachFailed`."""


@dataclass(frozen=True, slots=True)
class DropSocket:
    """Close the socket, which is dead, and report with `Closed`."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the service; `key` names who waits until it was sent."""

    event: events.ClientEvent
    key: str = ""


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run this function once, and report with `ToolEnded`."""

    call_id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskApproval:
    """A call of an MCP server that needs approval: `approve_mcp` of `answer` decides.

    Attributes:
        request_id: The id of the request's item.
        server_label: The server, as the session labels it.
        name: The tool of the server.
        arguments: What the model wants to pass, in JSON.
    """

    request_id: str
    server_label: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the service for the transfer, and report with `Referred` or `ReferFailed`."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class Fallback:
    """Try the fallback, and report with `FallbackTaken` or `FallbackFailed`."""

    request: TransferRequest


@dataclass(frozen=True, slots=True)
class HangUp:
    """Hang up, once, and report with `HungUp` or `HangupFailed`."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Emit this to the program, among the events of the call."""

    what: Happening


@dataclass(frozen=True, slots=True)
class Done:
    """This is the result of what was asked for under this key."""

    key: str
    value: object


@dataclass(frozen=True, slots=True)
class Finish:
    """The call is over."""

    ended: CallEnded


Effect = (
    Accept
    | Reject
    | Attach
    | DropSocket
    | Send
    | RunTool
    | AskApproval
    | Refer
    | Fallback
    | HangUp
    | Tell
    | Done
    | Finish
)
