"""What can be done with a call over REST: accept, reject, refer, hang up; and creating a WebRTC call.

The operations are values (`accept`, `reject`, …), which a transport runs; running an accept or a reject notes the
decision. `CallFace` is what a program sees of them; `client` has the async face, which can also answer a call.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from realtime_sip._wire import checked
from realtime_sip.api import protocol
from realtime_sip.api.operations import (
    Body,
    Operation,
    Repeat,
    Reply,
    Verdict,
    call_path,
    json_body,
    nothing,
    unexpected,
)
from realtime_sip.api.transport import Transport
from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import RealtimeSession, check_tool_choice, warn_of_formats
from realtime_sip.sip.address import SipUri
from realtime_sip.sip.status import FINAL_FAILURE, is_final_failure

if TYPE_CHECKING:
    from realtime_sip.api.sideband import Sideband

# What a face returns: the thing itself, or an awaitable or an async block.
_Done = TypeVar("_Done")
_Created = TypeVar("_Created")
_Socket = TypeVar("_Socket")

_JSON = {"Content-Type": "application/json"}
_MAX_SDP = 64 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WebRtcCall:
    """A WebRTC call that was created.

    Attributes:
        call_id: The id for the sideband and for hanging up (`rtc_…`).
        sdp: The answer to pass to the peer that made the offer.
    """

    call_id: str
    sdp: str

    def __repr__(self) -> str:
        return f"WebRtcCall(call_id={self.call_id!r}, sdp=<{len(self.sdp)} chars>)"


def accept(call_id: str, session: RealtimeSession | dict[str, Any]) -> Operation[None]:
    """Accept a ringing call. Not repeated if it may have been acted on: attaching shows whether it was."""
    checked_session = checked(RealtimeSession, session, what="session")
    check_tool_choice(checked_session)
    return Operation(
        "accept",
        call_path(call_id, "accept"),
        nothing,
        Repeat.REFUSED,
        early_404=True,
        content=json_body(checked_session, what="session"),
        headers=_JSON,
        decides=Verdict(call_id, rejected=False),
    )


def reject(call_id: str, *, status_code: int | None = None) -> Operation[None]:
    """Reject a ringing call. Repeated after any failure: a call that was rejected cannot be rejected again."""
    if status_code is not None and not is_final_failure(status_code):
        raise InvalidRequestError("status_code", (("", FINAL_FAILURE),))
    return Operation(
        "reject",
        call_path(call_id, "reject"),
        nothing,
        Repeat.ANY,
        early_404=True,
        content=b"" if status_code is None else json_body({"status_code": int(status_code)}, what="reject"),
        headers={} if status_code is None else _JSON,
        decides=Verdict(call_id, rejected=True),
    )


def refer(call_id: str, *, target_uri: str | SipUri) -> Operation[None]:
    """Ask the carrier to transfer the call. Never repeated once it may have arrived: two transfers dial twice."""
    uri = target_uri if isinstance(target_uri, SipUri) else SipUri.parse(target_uri)
    body = json_body({"target_uri": str(uri)}, what="refer")
    return Operation("refer", call_path(call_id, "refer"), nothing, Repeat.UNSENT, content=body, headers=_JSON)


def hangup(call_id: str, *, attached: bool = False) -> Operation[None]:
    """Hang up. Repeated after any failure, because hanging up twice does no harm."""
    return Operation("hangup", call_path(call_id, "hangup"), nothing, Repeat.ANY, early_404=not attached)


def create(*, sdp: str, session: RealtimeSession | dict[str, Any] | None = None) -> Operation[WebRtcCall]:
    """Create a WebRTC call from an SDP offer. Not repeated if it may have been acted on."""
    if not isinstance(sdp, str) or not sdp.startswith("v=") or len(sdp) > _MAX_SDP or _SURROGATE.search(sdp):
        raise InvalidRequestError("sdp", (("", f"must be an SDP offer ('v=0' first, {_MAX_SDP} characters at most)"),))
    parts = {"sdp": (None, sdp.encode(), "application/sdp")}
    if session is not None:
        body = json_body(checked(RealtimeSession, session, what="session"), what="session")
        parts["session"] = (None, body, "application/json")
    import httpx

    # This request is never sent: httpx knows how to write multipart.
    form = httpx.Request("POST", "https://api.openai.com", files=parts)
    accept = {"Accept": "application/sdp"}
    return Operation(
        "create",
        "/realtime/calls",
        _created,
        content=form.read(),
        headers={"Content-Type": form.headers["Content-Type"], **accept},
        # Only with an ephemeral key is the offer taken alone.
        ephemeral=Body(sdp.encode(), {"Content-Type": "application/sdp", **accept}) if session is None else None,
    )


def _created(reply: Reply) -> WebRtcCall:
    call_id = reply.headers.get("location", "").partition("?")[0].rstrip("/").rpartition("/")[2]
    if not call_id:
        raise unexpected(reply, "create: the reply has no Location header, which names the call")
    try:
        return WebRtcCall(call_id, reply.body.decode())
    except UnicodeDecodeError:
        raise unexpected(reply, "create: the SDP answer is not text") from None


class CallFace(Generic[_Done, _Created, _Socket]):
    """`client.calls`. Each face decides what it returns for an operation, and how it carries one out."""

    def _done(self, operation: Operation[None]) -> _Done:
        raise NotImplementedError

    def _created(self, operation: Operation[WebRtcCall]) -> _Created:
        raise NotImplementedError

    def _open(self, operation: Operation[None]) -> _Socket:
        raise NotImplementedError

    def accept(self, call_id: str, session: RealtimeSession | dict[str, Any]) -> _Done:
        """Accept a ringing call with the whole session, instructions, voice and tools: the first words need them.

        Success means that the request was taken, not that the session works: invalid sessions were accepted and then
        failed (field reports, May 2026). Only the sideband opening proves it. Leave audio formats unset: SIP negotiates
        them. SIP only.

        Raises:
            InvalidRequestError: The session or the call id is not valid; nothing was sent.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was accepted is unknown; attaching shows it.
            ServiceError: The service refused.
        """
        whole = checked(RealtimeSession, session, what="session")
        operation = accept(call_id, whole)
        warn_of_formats(whole)
        return self._done(operation)

    def reject(self, call_id: str, *, status_code: int | None = None) -> _Done:
        """Reject a ringing call with a SIP status: 603 (declined) if left out, 486 for busy. SIP only.

        Trunks try their next route after a 5xx, such as 503, and never after 486 or a 6xx.

        Raises:
            InvalidRequestError: The status is not 300 to 699, or the call id is not valid.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was rejected is unknown.
            ServiceError: The service refused.
        """
        return self._done(reject(call_id, status_code=status_code))

    def refer(self, call_id: str, *, target_uri: str | SipUri) -> _Done:
        """Ask the carrier to transfer the caller to `target_uri` (tel: or sip:). SIP only.

        Success means that the service took the request. Some never reached the carrier, and no event says so (field
        reports, May 2026). Never repeated once it may have arrived.

        Raises:
            InvalidRequestError: The target is not a SIP or tel URI, or the call id is not valid.
            CallGoneError: The call has ended.
            NetworkError: No answer; if `sent` is True, the transfer may be under way.
            ServiceError: The service refused or failed; after a ServerError the transfer may be under way.
        """
        return self._done(refer(call_id, target_uri=target_uri))

    def hangup(self, call_id: str, *, attached: bool = False) -> _Done:
        """Hang up a SIP or WebRTC call. Repeated until the deadline; hanging up twice does no harm.

        Set `attached` if the sideband was open: then an unknown call has ended. Without it an unknown call may not be
        ready yet, and hanging up is repeated until the deadline.

        Raises:
            CallGoneError: There is no such call. Usually it had ended.
            NetworkError, ServiceError: The service could not be reached or failed; the call may be alive.
        """
        return self._done(hangup(call_id, attached=attached))

    def create(self, *, sdp: str, session: RealtimeSession | dict[str, Any] | None = None) -> _Created:
        """Create a WebRTC call from a peer's SDP offer. It dials nobody: calls come in by SIP.

        Offer and session are sent as a form. Without a session and with an ephemeral key (`ek_…`), which carries the
        session, the offer is sent alone.

        Raises:
            InvalidRequestError: The offer or the session is not valid; nothing was sent.
            UnexpectedReplyError: The reply does not name the call.
            NetworkError, ServiceError: There is no call, or one whose id is unknown and that nobody is connected to.
        """
        return self._created(create(sdp=sdp, session=session))

    def connect(self, call_id: str) -> _Socket:
        """Open the sideband of an accepted call, the WebSocket that monitors and steers it.

        A 404 is repeated until the deadline, because a call takes about 0.6 s to become ready. Leaving the block closes
        the socket; the call goes on.

        Raises:
            CallGoneError: The call did not exist within the deadline: it was not accepted, or it ended.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return self._open(protocol.attach(call_id))


class Calls(CallFace[None, WebRtcCall, "AbstractContextManager[Sideband]"]):
    """`client.calls`, blocking."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def _done(self, operation: Operation[None]) -> None:
        self.transport.run(operation)

    def _created(self, operation: Operation[WebRtcCall]) -> WebRtcCall:
        return self.transport.run(operation)

    def _open(self, operation: Operation[None]) -> AbstractContextManager[Sideband]:
        from realtime_sip.api.sideband import Sideband

        return Sideband.opened(self.transport, operation)
