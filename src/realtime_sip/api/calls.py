"""What can be done with a call over REST: accept, reject, refer, hang up; and creating a WebRTC call.

The operations are values (`accept`, `reject`, …) that two thin faces carry out: `Calls` blocks, `AsyncCalls` awaits.
"""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx

from realtime_sip._wire import checked
from realtime_sip.api import protocol
from realtime_sip.api.decision import decided
from realtime_sip.api.operations import Operation, Repeat, Reply, call_path, json_body, nothing, unexpected
from realtime_sip.api.sideband import AsyncSideband, Sideband
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import AudioConfig, RealtimeSession
from realtime_sip.sip.headers import SipUri

if TYPE_CHECKING:
    from realtime_sip.call.call import Call
    from realtime_sip.call.guardrail import CheckSpeech
    from realtime_sip.call.machine.limits import CallLimits
    from realtime_sip.call.machine.transfer import Transfers
    from realtime_sip.call.record.struggle import EscalationRules
    from realtime_sip.call.runtime import ApproveMcp
    from realtime_sip.call.tool_runner import CheckTool
    from realtime_sip.event_log import EventLogs
    from realtime_sip.tools.registry import Tools
    from realtime_sip.usage import RateCard
    from realtime_sip.webhooks.unwrap import IncomingCall

__all__ = ["AsyncCalls", "Calls", "WebRtcCall"]

_JSON = {"Content-Type": "application/json"}
_MAX_SDP = 64 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class WebRtcCall:
    """A WebRTC call that was created.

    Attributes:
        call_id: For the sideband and for hanging up (`rtc_…`).
        sdp: The answer to hand to the peer that made the offer.
    """

    call_id: str
    sdp: str

    def __repr__(self) -> str:
        return f"WebRtcCall(call_id={self.call_id!r}, sdp=<{len(self.sdp)} chars>)"


def accept(call_id: str, session: RealtimeSession | dict[str, Any]) -> Operation[None]:
    """Accept a ringing call. Not repeated when it may have been acted on: attaching tells whether it was."""
    checked_session = checked(RealtimeSession, session, what="session")
    audio = checked_session.audio or AudioConfig()
    for side, half in (("input", audio.input), ("output", audio.output)):
        if half is not None and half.format is not None:
            advice = "must stay unset on SIP, where the media is negotiated; a format of your own has given silence"
            raise InvalidRequestError("session", ((f"audio.{side}.format", advice),))
    body = json_body(checked_session, what="session")
    path = call_path(call_id, "accept")
    return Operation("accept", path, nothing, Repeat.REFUSED, early_404=True, content=body, headers=_JSON)


def reject(call_id: str, *, status_code: int | None = None) -> Operation[None]:
    """Reject a ringing call. Not repeated when it may have been acted on."""
    if status_code is not None and not (isinstance(status_code, int) and 300 <= status_code <= 699):
        raise InvalidRequestError("status_code", (("", "must be a final SIP failure, 300 to 699"),))
    path = call_path(call_id, "reject")
    if status_code is None:
        return Operation("reject", path, nothing, Repeat.REFUSED, early_404=True)
    body = json_body({"status_code": int(status_code)}, what="reject")
    return Operation("reject", path, nothing, Repeat.REFUSED, early_404=True, content=body, headers=_JSON)


def refer(call_id: str, *, target_uri: str | SipUri) -> Operation[None]:
    """Ask the carrier to transfer the call. Never repeated once it may have arrived: two transfers dial twice."""
    uri = target_uri if isinstance(target_uri, SipUri) else SipUri.parse(target_uri)
    body = json_body({"target_uri": str(uri)}, what="refer")
    return Operation("refer", call_path(call_id, "refer"), nothing, Repeat.UNSENT, content=body, headers=_JSON)


def hangup(call_id: str, *, attached: bool = False) -> Operation[None]:
    """Hang up. Repeated after any failure, because hanging up twice does no harm."""
    return Operation("hangup", call_path(call_id, "hangup"), nothing, Repeat.ANY, early_404=not attached)


def create(*, sdp: str, session: RealtimeSession | dict[str, Any] | None = None) -> Operation[WebRtcCall]:
    """Create a WebRTC call from an SDP offer. Not repeated when it may have been acted on."""
    if not isinstance(sdp, str) or not sdp.startswith("v=") or len(sdp) > _MAX_SDP or _SURROGATE.search(sdp):
        raise InvalidRequestError("sdp", (("", f"must be an SDP offer ('v=0' first, {_MAX_SDP} characters at most)"),))
    if session is None:
        content, content_type = sdp.encode(), "application/sdp"
    else:
        body = json_body(checked(RealtimeSession, session, what="session"), what="session")
        parts = {
            "sdp": (None, sdp.encode(), "application/sdp"),
            "session": (None, body, "application/json"),
        }
        # A request that is never sent: it is httpx that knows how to write multipart.
        form = httpx.Request("POST", "https://api.openai.com", files=parts)
        content, content_type = form.read(), form.headers["Content-Type"]
    headers = {"Content-Type": content_type, "Accept": "application/sdp"}
    return Operation("create", "/realtime/calls", _created, content=content, headers=headers)


def _created(reply: Reply) -> WebRtcCall:
    call_id = reply.headers.get("location", "").partition("?")[0].rstrip("/").rpartition("/")[2]
    if not call_id:
        raise unexpected(reply, "create: the reply has no Location header, which names the call")
    try:
        return WebRtcCall(call_id, reply.body.decode())
    except UnicodeDecodeError:
        raise unexpected(reply, "create: the SDP answer is not text") from None


class Calls:
    """`client.calls`, blocking."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def accept(self, call_id: str, session: RealtimeSession | dict[str, Any]) -> None:
        """Accept a ringing call with the whole session, instructions, voice and tools: the first words need them.

        Success means that the request was taken, not that the session works: an invalid one has been accepted and then
        failed (field reports, May 2026). The sideband opening is the proof. Audio formats stay unset: SIP negotiates
        them. SIP only.

        Raises:
            InvalidRequestError: The session or the call id is not valid; nothing was sent.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was accepted is unknown; attaching tells.
            ServiceError: The service refused.
        """
        self._transport.run(accept(call_id, session))

    def reject(self, call_id: str, *, status_code: int | None = None) -> None:
        """Reject a ringing call with a SIP status: 603 (declined) when left out, 486 for busy. SIP only.

        Trunks try their next route after a 5xx, such as 503, and never after 486 or a 6xx.

        Raises:
            InvalidRequestError: The status is not 300 to 699, or the call id is not valid.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was rejected is unknown.
            ServiceError: The service refused.
        """
        self._transport.run(reject(call_id, status_code=status_code))

    def refer(self, call_id: str, *, target_uri: str | SipUri) -> None:
        """Ask the carrier to transfer the caller to `target_uri` (tel: or sip:). SIP only.

        Success means that the service took the request. Reports say that some never reached the carrier, and no event
        tells (field reports, May 2026). Never repeated once it may have arrived.

        Raises:
            InvalidRequestError: The target is not a SIP or tel URI, or the call id is not valid.
            CallGoneError: The call has ended.
            NetworkError: No answer; when `sent` is True the transfer may be under way.
            ServiceError: The service refused or failed; after a ServerError the transfer may be under way.
        """
        self._transport.run(refer(call_id, target_uri=target_uri))

    def hangup(self, call_id: str, *, attached: bool = False) -> None:
        """Hang up a SIP or WebRTC call. Repeated until the deadline; hanging up twice does no harm.

        With `attached` the sideband has been open, so that an unknown call is one that has ended; else it may be one
        that is not ready yet, and is asked for again until the deadline.

        Raises:
            CallGoneError: There is no such call: mostly, it had ended.
            NetworkError, ServiceError: The service could not be reached or failed; the call may be alive.
        """
        self._transport.run(hangup(call_id, attached=attached))

    def create(self, *, sdp: str, session: RealtimeSession | dict[str, Any] | None = None) -> WebRtcCall:
        """Create a WebRTC call from a peer's SDP offer. It dials nobody: calls come in by SIP.

        With a session, offer and session are sent as a form. Without one the offer is sent bare, as a client does that
        authenticates with an ephemeral key, which carries the session.

        Raises:
            InvalidRequestError: The offer or the session is not valid; nothing was sent.
            UnexpectedReplyError: The reply does not name the call.
            NetworkError, ServiceError: No call, or an unknown one that nobody is connected to.
        """
        return self._transport.run(create(sdp=sdp, session=session))

    def connect(self, call_id: str) -> AbstractContextManager[Sideband]:
        """Open the sideband of an accepted call, the WebSocket that monitors and steers it.

        A 404 is repeated until the deadline, because a call takes about 0.6 s to become ready. Leaving the block closes
        the socket; the call goes on.

        Raises:
            CallGoneError: The call does not exist within the deadline: it was not accepted, or has ended.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return Sideband.opened(self._transport, protocol.attach(call_id))


class AsyncCalls:
    """`client.calls`, async."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport

    async def accept(self, call_id: str, session: RealtimeSession | dict[str, Any]) -> None:
        """Accept a ringing call with the whole session, instructions, voice and tools: the first words need them.

        Success means that the request was taken, not that the session works: an invalid one has been accepted and then
        failed (field reports, May 2026). The sideband opening is the proof. Audio formats stay unset: SIP negotiates
        them. SIP only.

        Raises:
            InvalidRequestError: The session or the call id is not valid; nothing was sent.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was accepted is unknown; attaching tells.
            ServiceError: The service refused.
        """
        await self.transport.run(accept(call_id, session))
        decided(call_id)

    async def reject(self, call_id: str, *, status_code: int | None = None) -> None:
        """Reject a ringing call with a SIP status: 603 (declined) when left out, 486 for busy. SIP only.

        Trunks try their next route after a 5xx, such as 503, and never after 486 or a 6xx.

        Raises:
            InvalidRequestError: The status is not 300 to 699, or the call id is not valid.
            CallGoneError: The call is not ready within the deadline, or the caller gave up.
            DecisionAlreadyMadeError: The call was accepted or rejected before.
            NetworkError, ServerError: Whether the call was rejected is unknown.
            ServiceError: The service refused.
        """
        await self.transport.run(reject(call_id, status_code=status_code))
        decided(call_id, rejected=True)

    async def refer(self, call_id: str, *, target_uri: str | SipUri) -> None:
        """Ask the carrier to transfer the caller to `target_uri` (tel: or sip:). SIP only.

        Success means that the service took the request. Reports say that some never reached the carrier, and no event
        tells (field reports, May 2026). Never repeated once it may have arrived.

        Raises:
            InvalidRequestError: The target is not a SIP or tel URI, or the call id is not valid.
            CallGoneError: The call has ended.
            NetworkError: No answer; when `sent` is True the transfer may be under way.
            ServiceError: The service refused or failed; after a ServerError the transfer may be under way.
        """
        await self.transport.run(refer(call_id, target_uri=target_uri))

    async def hangup(self, call_id: str, *, attached: bool = False) -> None:
        """Hang up a SIP or WebRTC call. Repeated until the deadline; hanging up twice does no harm.

        With `attached` the sideband has been open, so that an unknown call is one that has ended; else it may be one
        that is not ready yet, and is asked for again until the deadline.

        Raises:
            CallGoneError: There is no such call: mostly, it had ended.
            NetworkError, ServiceError: The service could not be reached or failed; the call may be alive.
        """
        await self.transport.run(hangup(call_id, attached=attached))

    async def create(self, *, sdp: str, session: RealtimeSession | dict[str, Any] | None = None) -> WebRtcCall:
        """Create a WebRTC call from a peer's SDP offer. It dials nobody: calls come in by SIP.

        With a session, offer and session are sent as a form. Without one the offer is sent bare, as a client does that
        authenticates with an ephemeral key, which carries the session.

        Raises:
            InvalidRequestError: The offer or the session is not valid; nothing was sent.
            UnexpectedReplyError: The reply does not name the call.
            NetworkError, ServiceError: No call, or an unknown one that nobody is connected to.
        """
        return await self.transport.run(create(sdp=sdp, session=session))

    def connect(self, call_id: str) -> AbstractAsyncContextManager[AsyncSideband]:
        """Open the sideband of an accepted call, the WebSocket that monitors and steers it.

        A 404 is repeated until the deadline, because a call takes about 0.6 s to become ready. Leaving the block closes
        the socket; the call goes on.

        Raises:
            CallGoneError: The call does not exist within the deadline: it was not accepted, or has ended.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return AsyncSideband.opened(self.transport, protocol.attach(call_id))

    def answer(
        self,
        incoming: IncomingCall | str,
        session: RealtimeSession | dict[str, Any],
        *,
        tools: Tools | None = None,
        limits: CallLimits | None = None,
        transfers: Transfers | None = None,
        escalation: EscalationRules | None = None,
        rates: RateCard | None = None,
        event_log: EventLogs | None = None,
        approve_mcp: ApproveMcp | None = None,
        check_tool: CheckTool | None = None,
        check_speech: CheckSpeech | None = None,
        greet_undisturbed: bool = False,
    ) -> AbstractAsyncContextManager[Call, bool]:
        """Answer a call, and keep it until the block is left: accept, attach, turns, tools, limits, and a known end.

        Entering validates the session, accepts, and attaches within the client's deadline. A webhook that is stale, a
        call that was decided elsewhere, or a caller who gave up is no error: the call has ended then, `call.ended` says
        so, and whatever is asked of it leaves the block quietly. The same holds when the call ends later.

        Leaving the block ends the call: after what is being said was heard, or at once for an exception. SIP only.

        Args:
            incoming: The webhook, or a call id.
            session: What the call is accepted with; the registry's tools are added. Audio formats stay unset.
            tools: What the model may call. Functions of the session that it does not have are yours to answer.
            limits: When the call is ended by itself.
            transfers: Where the call may be transferred to, by name; without it, nowhere.
            escalation: After how many failures in a row an `Escalation` is told.
            rates: What tokens cost; the published prices where it is left out.
            event_log: Where to keep what happens on the call, redacted unless it says otherwise.
            approve_mcp: Decides whether an MCP server that needs approval may be called. Without it, none may.
            check_tool: Asked before each tool runs; returns why it may not, or None.
            check_speech: Asked about each response as it grows; returns what to say instead, or None.
            greet_undisturbed: Keep turn detection off until the first speech that `respond` asks for has been heard, so
                that its own echo cannot cut it off.

        Raises:
            InvalidRequestError: The session is not valid; nothing was sent.
            ConfigurationError: Two tools have the same name; `max_cost` is set and the model has no price; or
                `transfer_to_human` is there and no `transfers` are.
            NetworkError, ServiceError: The service refuses the accept, or cannot be reached: the phone rings on.
        """
        from realtime_sip.call.answer import answer  # the one import upwards: the face offers what is built on it
        from realtime_sip.call.runtime import AnswerOptions

        given = {
            "tools": tools,
            "limits": limits,
            "transfers": transfers,
            "escalation": escalation,
            "rates": rates,
            "event_log": event_log,
            "approve_mcp": approve_mcp,
            "check_tool": check_tool,
            "check_speech": check_speech,
        }
        options = {name: value for name, value in given.items() if value is not None}
        answering = answer(
            self,
            incoming,
            session,
            AnswerOptions(greet_undisturbed=greet_undisturbed, **options),  # type: ignore[arg-type]
        )
        # It may swallow what leaves the block, so that type checkers take the code behind it for reachable.
        return cast("AbstractAsyncContextManager[Call, bool]", answering)
