"""The events of OpenAI's webhooks that this package acts upon, and one for all others."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field

from realtime_sip._wire import Inbound, Unknown
from realtime_sip.sip.headers import Channel, SipHeaders
from realtime_sip.sip.signed_context import SignedContext


class _Delivered(Inbound):
    """What the headers of the request said. It is not part of the body, so not of `to_wire()` either."""

    # In `__dict__`, as `cached_property` does it: no field that a body brings gets there under such a name. Private
    # attributes of pydantic's were a fifth of what a webhook costs.
    @property
    def _delivery(self) -> tuple[str, int | None, str | None]:
        delivery: tuple[str, int | None, str | None] = vars(self).get("_delivery", ("", None, None))
        return delivery

    @property
    def webhook_id(self) -> str:
        """The `webhook-id` header, the same at each retry; two endpoints get different ones. "" outside `unwrap`."""
        return self._delivery[0]

    @property
    def webhook_timestamp(self) -> int | None:
        """The `webhook-timestamp` header: Unix seconds of this delivery, new at each retry. None outside `unwrap`."""
        return self._delivery[1]

    @property
    def project(self) -> str | None:
        """The project whose secret signed it, if `OpenAIWebhooks` was given a mapping of secrets to projects."""
        return self._delivery[2]

    def _note_delivery(self, *, webhook_id: str, timestamp: int, project: str | None) -> None:
        vars(self)["_delivery"] = (webhook_id, timestamp, project)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        """Yield ids and sizes, never a number."""
        if self.webhook_id:
            yield "webhook_id", self.webhook_id
        yield from super().__repr_args__()


class _Event(_Delivered):
    id: str | None = None
    """The event's id, `evt_...`."""
    object: str | None = None
    created_at: int | None = None
    """When the event happened, in Unix seconds. It is not the time of this delivery."""

    def age(self, now: float) -> float | None:
        """Return the seconds from the event to `now` (Unix seconds); negative if clocks differ.

        Without `created_at` the time of this delivery counts, so a late retry looks fresh. Without both it is None.
        """
        since = self.created_at if self.created_at is not None else self.webhook_timestamp
        return None if since is None else now - since

    def is_stale(self, now: float, *, after: float = 300.0) -> bool:
        """Return whether the call has rung for longer than `after` seconds at `now`, so that nobody is waiting.

        A webhook is retried for up to 72 hours. OpenAI does not publish how long it lets a call ring; 5 to 30 seconds
        are reported, and Twilio's `<Dial>` waits 30 by default. The default here is five minutes: a webhook can be
        late and your clock ahead, and accepting a call that is gone does no harm. An event of unknown age is not stale.
        """
        age = self.age(now)
        return age is not None and age > after


class _SipData(Inbound):
    sip_headers: list[Any] | None = None
    sip_media_security: str | None = None


class _CallData(_SipData):
    call_id: Annotated[str, Field(min_length=1)]


class _SessionData(_SipData):
    session_id: Annotated[str, Field(min_length=1)]


class _ConnectedData(Inbound):
    session_id: Annotated[str, Field(min_length=1)]
    type: str | None = None


class _SipEvent(_Event):
    data: Any  # a `_SipData`, which one each event says

    @property
    def sip(self) -> SipHeaders:
        """The INVITE's headers in order, with repeats, as the other side sent them: untrusted.

        Entries that are not headers are left out here and kept in `to_wire()`.
        """
        sip: SipHeaders | None = vars(self).get("_sip")
        if sip is None:
            sip = vars(self)["_sip"] = SipHeaders.from_wire(self.data.sip_headers)
        return sip

    @property
    def caller(self) -> str | None:
        """The caller's number as E.164, or None. A claim: see `SipHeaders.caller`."""
        return self.sip.caller

    @property
    def caller_name(self) -> str | None:
        """The name that a CNAM lookup bought, or None. A stranger's text: see `SipHeaders.caller_name`."""
        return self.sip.caller_name

    @property
    def dialed(self) -> str | None:
        """The number that was dialed as E.164, or None. A claim: see `SipHeaders.dialed`."""
        return self.sip.dialed

    @property
    def channel(self) -> Channel:
        """Either "phone", "whatsapp" or "sip". A claim: see `SipHeaders.channel`."""
        return self.sip.channel

    @property
    def media_security(self) -> str | None:
        """How the audio travels, "rtp" or "srtp", or None if the service does not say."""
        security: str | None = self.data.sip_media_security
        return security

    @property
    def is_test(self) -> bool:
        """Whether this is the service's sample event, whose call cannot be accepted.

        The content of a test delivery is not documented. Every INVITE has From, To and Call-ID (RFC 3261 8.1.1), and
        the sample in the API specification has none of them; that decides.
        """
        return not any(name in self.sip for name in ("From", "To", "Call-ID"))

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from super().__repr_args__()
        yield "sip", self.sip


class IncomingCall(_SipEvent):
    """`realtime.call.incoming`: a call rings and waits to be accepted or rejected. SIP only.

    API guide, November 2026. The same call may also raise a `live.*` event; the first accept wins.
    """

    type: Literal["realtime.call.incoming"]
    data: _CallData

    @property
    def call_id(self) -> str:
        """The id for accept, reject, refer, hangup and the sideband. Opaque: pass it on unchanged."""
        return self.data.call_id

    @property
    def dialed(self) -> str | None:
        """The number that was dialed as E.164, or None. Signed by our TwiML, or else a claim (`SipHeaders.dialed`)."""
        signed = self.signed_context
        return (signed and signed.dialed) or self.sip.dialed

    @property
    def channel(self) -> Channel:
        """Either "phone", "whatsapp" or "sip". Signed by our TwiML, or else a claim (`SipHeaders.channel`)."""
        signed = self.signed_context
        return (signed and signed.channel) or self.sip.channel

    @property
    def context(self) -> Mapping[str, str]:
        """What our own TwiML signed about the call; empty if nothing is proven.

        Verified if `OpenAIWebhooks` got a `context_secret`. Unlike everything else in the headers it is not a claim of
        whoever placed the call. `CallHost` makes sure that only one call uses it. It cannot be changed, and no `repr`
        shows it.
        """
        signed = self.signed_context
        return MappingProxyType({}) if signed is None else signed.values

    @property
    def parent_call_sid(self) -> str | None:
        """The call from which our own TwiML dialed, from the verified context, or None."""
        signed = self.signed_context
        return None if signed is None else signed.parent_call_sid

    @property
    def signed_context(self) -> SignedContext | None:
        """The verified context with its nonce and its end, or None."""
        return vars(self).get("_context")

    @property
    def trace_context(self) -> Mapping[str, str]:
        """The `traceparent` and `tracestate` of the webhook (W3C Trace Context), if it had any. Nothing proves them."""
        return MappingProxyType(vars(self).get("_trace", {}))

    def without_context(self) -> Self:
        """Return the same call with an empty context, as for one whose context was used by another call."""
        copy = self.model_copy()
        vars(copy).pop("_context", None)
        return copy

    def _note_trace(self, trace_context: dict[str, str]) -> None:
        vars(self)["_trace"] = trace_context

    def _note_context(self, context: SignedContext) -> None:
        vars(self)["_context"] = context


class LiveCallIncoming(_SipEvent):
    """`live.call.incoming`: a call rings that the Live API could take; the older name. SIP only."""

    type: Literal["live.call.incoming"]
    data: _SessionData

    @property
    def session_id(self) -> str:
        """The id for the Live API. Reports disagree whether it equals the `call_id` of the same call."""
        return self.data.session_id


class LiveTransportIncoming(_SipEvent):
    """`live.transport.incoming`: a call rings that the Live API could take. SIP only."""

    type: Literal["live.transport.incoming"]
    data: _SessionData

    @property
    def session_id(self) -> str:
        """The id for the Live API. It differs from the `call_id` of the same call."""
        return self.data.session_id


class LiveTransportConnected(_Event):
    """`live.transport.connected`: a WebRTC client is connected to a Live session."""

    type: Literal["live.transport.connected"]
    data: _ConnectedData

    @property
    def session_id(self) -> str:
        """The id for the Live API."""
        return self.data.session_id


class UnknownWebhookEvent(_Delivered, Unknown):
    """An event of another type, or one that lacks a field that its type must have. `raw` is the body."""

    @property
    def id(self) -> str | None:
        """The event's id, `evt_...`, or None."""
        value = (self.__pydantic_extra__ or {}).get("id")
        return value if isinstance(value, str) else None

    @property
    def created_at(self) -> int | None:
        """When the event happened, in Unix seconds, or None."""
        value = (self.__pydantic_extra__ or {}).get("created_at")
        return value if type(value) is int else None

    @property
    def data(self) -> dict[str, Any]:
        """The event's `data`, or an empty dict if that is not an object."""
        value = (self.__pydantic_extra__ or {}).get("data")
        return value if isinstance(value, dict) else {}


WebhookEvent: TypeAlias = (
    IncomingCall | LiveCallIncoming | LiveTransportIncoming | LiveTransportConnected | UnknownWebhookEvent
)
"""What `OpenAIWebhooks.unwrap` returns."""

KNOWN: dict[str, type[IncomingCall | LiveCallIncoming | LiveTransportIncoming | LiveTransportConnected]] = {
    "realtime.call.incoming": IncomingCall,
    "live.call.incoming": LiveCallIncoming,
    "live.transport.incoming": LiveTransportIncoming,
    "live.transport.connected": LiveTransportConnected,
}
