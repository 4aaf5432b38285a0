"""What the workers of one program hand to each other through a store: tickets of calls, and letters about them.

A ticket has the webhook, which the taker's handler needs, the name of the handler that has the call, and what the core
makes of its state. A webhook has numbers in it, so a ticket is sealed, with a key that is derived from the webhook
secret, which all workers have: whoever reads the store learns no number, and whoever writes to it makes no call.
"""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from realtime_sip.call.machine.ticket import KnownInPart, Ticket
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.sip.signed_context import SignedContext
from realtime_sip.stores.rules import MAX_NOTE
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.client import AsyncRealtimeSip

_log = logging.getLogger("realtime_sip.host")

_PURPOSE = b"realtime-sip what workers hand over v1"
_MAX_READ = 16 * MAX_NOTE
"""Bytes of what was sealed, at most."""
_MAX_HEADERS = 4096
"""Characters of an INVITE's headers that are kept if all of them are too many."""
_HEADERS = frozenset({"from", "f", "to", "t", "call-id", "i"})
"""Those that every INVITE has (RFC 3261 8.1.1), which are kept first."""


class _Sealed(KnownInPart):
    webhook: dict[str, Any]
    delivery: tuple[str, int | None, str | None] = ("", None, None)
    context: dict[str, Any] | None = None
    route: str | None = None
    call: Ticket | None = None
    trace: dict[str, str] = Field(default_factory=dict)
    state: str | None = None
    offered: bool = False


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What a ticket says: the webhook, the name of the handler that has the call, and how far the call is.

    `state` is that of `Stages`; `offered` says that the worker before wanted to give the call away.
    """

    incoming: IncomingCall
    route: str | None
    call: Ticket | None
    state: str | None = None
    offered: bool = False


class Seals:
    """Seals and opens what the workers of one program hand to each other.

    Args:
        client: Its webhook secrets make the keys: the first one seals, each of them opens.

    Raises:
        ConfigurationError: The client has no webhook secret, or cryptography is not installed.
    """

    def __init__(self, client: AsyncRealtimeSip) -> None:
        try:
            from cryptography import fernet
        except ImportError:
            raise MissingExtraError("cryptography", "redis") from None
        try:
            keys = client.webhooks.derived_keys(_PURPOSE)
        except ConfigurationError:
            raise ConfigurationError(
                "a store that several workers share needs the client's webhook_secret, to seal what they hand over"
            ) from None
        self._fernet = fernet.MultiFernet([fernet.Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self._forged = fernet.InvalidToken
        self._warned = False

    def ticket(
        self,
        incoming: IncomingCall,
        *,
        route: str | None = None,
        call: Ticket | None = None,
        trace: Mapping[str, str] | None = None,
        state: str | None = None,
        offered: bool = False,
    ) -> str:
        """Return a sealed ticket. If it would be too long to be kept, SIP headers are left out, then the call's state.

        If it is too long even so it is "", and no other worker can have the call. `trace` is what the next worker's
        spans are to be below, if it is not what the webhook's headers say.
        """
        context = incoming.signed_context
        content = _Sealed(
            webhook=incoming.to_wire(),
            delivery=incoming._delivery,
            context=None if context is None else asdict(context),
            route=route,
            call=call,
            trace=dict(incoming.trace_context if trace is None else trace),
            state=state,
            offered=offered,
        )
        text = self._seal(content.model_dump_json(exclude_none=True))
        if len(text) <= MAX_NOTE:
            return text
        if not self._warned:
            self._warned = True
            _log.warning("call %s: its ticket is too long: whoever takes it over gets fewer headers", incoming.call_id)
        content = content.model_copy(update={"webhook": _shortened(content.webhook)})
        for less in (content, content.model_copy(update={"call": None})):
            text = self._seal(less.model_dump_json(exclude_none=True))
            if len(text) <= MAX_NOTE:
                return text
        return ""

    def read(self, ticket: str, *, call_id: str) -> HandedOver | None:
        """Return what the ticket of a call says, or None if it is not one of ours, or that of another call."""
        try:
            content = _Sealed.model_validate_json(self._open(ticket))
            incoming = IncomingCall.model_validate(content.webhook)
            if incoming.call_id != call_id:
                return None
            webhook_id, timestamp, project = content.delivery
            if timestamp is not None:
                incoming._note_delivery(webhook_id=webhook_id, timestamp=timestamp, project=project)
            if content.trace:
                incoming._note_trace(content.trace)
            if content.context is not None:
                items = tuple((key, value) for key, value in content.context.pop("items"))
                incoming._note_context(SignedContext(items=items, **content.context))
        except (self._forged, zlib.error, ValidationError, ValueError, TypeError, KeyError):
            return None
        return HandedOver(incoming, content.route, content.call, content.state, content.offered)

    def letter(self, kind: str, form: str) -> str:
        """Return a sealed letter with a webhook of the carrier's: the name of its class, and its form."""
        return self._seal(f"{kind} {form}")

    def opened(self, letter: str) -> tuple[str, str] | None:
        """Return what a letter says, or None if it is not one of ours."""
        try:
            kind, _, form = self._open(letter).decode().partition(" ")
        except (self._forged, zlib.error, ValueError):
            return None
        return kind, form

    def _seal(self, text: str) -> str:
        return self._fernet.encrypt(zlib.compress(text.encode())).decode()

    def _open(self, sealed: str) -> bytes:
        return zlib.decompressobj().decompress(self._fernet.decrypt(sealed.encode()), _MAX_READ)


def _shortened(webhook: dict[str, Any]) -> dict[str, Any]:
    """Return a webhook with few SIP headers, in their order."""
    data = webhook["data"]
    headers = [each for each in data.get("sip_headers") or () if isinstance(each, dict)]
    left, kept = _MAX_HEADERS, set[int]()
    for wanted in (True, False):
        for number, each in enumerate(headers):
            name, length = str(each.get("name")).lower(), len(json.dumps(each))
            if (name in _HEADERS) is wanted and length <= left:
                left -= length
                kept.add(number)
    short = [each for number, each in enumerate(headers) if number in kept]
    return {**webhook, "data": {**data, "sip_headers": short}}
