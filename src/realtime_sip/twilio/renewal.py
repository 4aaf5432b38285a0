"""A call that goes on as a new call to OpenAI, before the service ends it after an hour."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from realtime_sip.errors import ConfigurationError, InvalidRequestError, TransferError
from realtime_sip.outcomes import TransferFailureReason
from realtime_sip.sip.address import NameAddr
from realtime_sip.twilio.address import whatsapp_user_id
from realtime_sip.twilio.inline import document_of
from realtime_sip.twilio.remembered import Notes
from realtime_sip.twilio.rest import Rest

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.call import Call
    from realtime_sip.stores.rules import Store
    from realtime_sip.twilio.elements import VoiceResponse
    from realtime_sip.webhooks import IncomingCall

_log = logging.getLogger("realtime_sip.twilio")

CONTINUES = "continues"
"""The key of the signed context that names the summary."""
_SUMMARY = "summary"
_RENEWAL = "the renewal"

_Twiml: TypeAlias = "VoiceResponse | str"
DialAgain: TypeAlias = "Callable[[KnownCall, Mapping[str, str]], _Twiml | Awaitable[_Twiml]]"
"""Returns TwiML that dials OpenAI again: `dial_openai(…, voice=…, context=…)` with these two; plain or async."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    """A caller's call, as `dial_openai(voice=…)` takes it, from what OpenAI's webhook said of it."""

    call_sid: str
    caller: str | None
    channel: str
    dialed: str | None
    user_id: str | None = None

    @classmethod
    def of(cls, incoming: IncomingCall) -> KnownCall:
        """Return the caller's call that a webhook of OpenAI's is about, to dial OpenAI for it again.

        Raises:
            ConfigurationError: It is not known: `dial_openai` had no `voice`, or no secret.
        """
        if incoming.parent_call_sid is None:
            raise ConfigurationError(
                "the caller's call is not known: pass voice= to dial_openai, and set REALTIME_SIP_CONTEXT_SECRET"
            )
        # The context does not tell an app from a SIP phone, whose own addresses would do.
        own = incoming.channel == "phone" or incoming.caller is not None
        return cls(
            call_sid=incoming.parent_call_sid,
            caller=incoming.caller,
            channel=incoming.channel if own or incoming.channel == "whatsapp" else "client",
            dialed=incoming.dialed,
            user_id=_user_id(incoming),
        )


async def renew(call: Call, client: Client, *, twiml: DialAgain, summary: str, store: Store | None = None) -> None:
    """Let a call go on as a new call to OpenAI: its caller's call is redirected to TwiML that dials OpenAI again.

    OpenAI ends each call after 60 minutes, and `CallLimits` after 55: answer its `LimitNear` with this. The caller
    hears a few seconds of ringing. This call ends, as `DETACHED` once Twilio has confirmed the redirect; the new one
    comes to the handler like any other, and `summary_of` says what it continues. If nothing comes of it, the call goes
    on, and ends at its limit.

    Args:
        call: The call. It has to know the caller's call: `voice` and a secret at `dial_openai`.
        client: Twilio's client, as for `redirect`.
        twiml: Makes the TwiML from the caller's call and the context, which has the values of this call's and names the
            summary. Its URLs are whole.
        summary: What the next model should know, up to 16 KiB. It stays in the store for an hour.
        store: Keeps the summary: with several workers, the store of their hosts. The memory of this process if left
            out.

    Raises:
        ConfigurationError: The caller's call is not known, or an argument is of the wrong kind.
        TransferError: The caller is being transferred, or is no longer with the model.
        InvalidRequestError: The TwiML is not valid.

    Raises what Twilio refuses with, and what the store raises.
    """
    if not callable(twiml):
        raise ConfigurationError("twiml must be a function of the call and the context that returns TwiML")
    notes = Notes(store)
    rest = Rest(client, notes)
    if call.incoming is None:
        raise ConfigurationError("the caller's call is not known: the call was answered by its id")
    known, context = KnownCall.of(call.incoming), call.incoming.context
    name = secrets.token_urlsafe(12)
    made = twiml(known, {**context, CONTINUES: name})
    document = document_of(await made if inspect.isawaitable(made) else made)
    if call.transferring:
        raise TransferError(_RENEWAL, reason=TransferFailureReason.PENDING, evidence="the caller is being transferred")
    legs = await rest.legs(known.call_sid)
    if legs is None:
        raise TransferError(_RENEWAL, reason=TransferFailureReason.REFUSED, evidence="the caller is elsewhere already")
    await notes.write(_SUMMARY, name, summary)
    if await rest.redirect(known.call_sid, document, legs, target=_RENEWAL):
        _log.info("call %s: it goes on as a new call", call.call_id)
        await call.detach()


async def summary_of(incoming: IncomingCall, *, store: Store | None = None) -> str | None:
    """Return what `renew` noted about the call that this one continues, or None if it continues none.

    The name of the summary is in the verified context, so nobody else gets it. It is known for an hour.
    """
    name = incoming.context.get(CONTINUES)
    return None if name is None else await Notes(store).read(_SUMMARY, name)


def _user_id(incoming: IncomingCall) -> str | None:
    """Return the id of a WhatsApp user without a number, which `dial_openai` made the caller id, or None."""
    if incoming.channel != "whatsapp" or incoming.caller is not None:
        return None
    try:
        return whatsapp_user_id(NameAddr.parse(incoming.sip.get("From") or "").uri.user)
    except InvalidRequestError:
        return None
