"""What is done with a call over Twilio's REST API: a transfer's second way, for when no REFER arrives.

    client = twilio.rest.Client(account_sid, auth_token, http_client=AsyncTwilioHttp())
    transfers = TransferTargets(
        {"desk": "sip:desk@pbx.example.com"},
        fallback=voice.redirect(client, twiml=lambda request: twiml.enqueue_flex(WORKFLOW)),
    )

The caller's own call gets new TwiML, which ends the call to OpenAI. It is for Programmable Voice, and needs the signed
context that `dial_openai(voice=…)` writes: it has the SID of the caller's call.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from realtime_sip.errors import ConfigurationError
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.inline import document_of
from realtime_sip.twilio.remembered import Notes
from realtime_sip.twilio.renewal import KnownCall, renew, summary_of
from realtime_sip.twilio.rest import REDIRECTED, Rest
from realtime_sip.twilio.status import UNANSWERED
from realtime_sip.twilio.warm_transfer import WarmTransfer, parent_of

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.machine.targets import TransferFallback, TransferRequest
    from realtime_sip.stores.rules import Store
    from realtime_sip.twilio.call_webhooks import DialResult
    from realtime_sip.twilio.elements import VoiceResponse

__all__ = [
    "AsyncTwilioHttp",
    "KnownCall",
    "TwilioHttp",
    "WarmTransfer",
    "redirect",
    "renew",
    "summary_of",
    "was_redirected",
]

_log = logging.getLogger("realtime_sip.twilio")

_Twiml: TypeAlias = "VoiceResponse | str"
TwimlOf: TypeAlias = "Callable[[TransferRequest], _Twiml | Awaitable[_Twiml]]"
"""Returns the new TwiML for a transfer; plain or async."""


def redirect(client: Client, *, twiml: TwimlOf, store: Store | None = None) -> TransferFallback:
    """Return a fallback for `TransferTargets(fallback=)`: it redirects the caller's call to new TwiML.

    First Twilio is asked which calls it has dialed for the caller. If one besides that to OpenAI rings or is answered,
    or that to OpenAI is over, the REFER did arrive, at another worker perhaps, and nothing is done: nobody is dialed
    twice. What the carrier says then decides what becomes of the transfer.

    The fallback raises what Twilio refuses with (`TwilioRestException`; 21220 if the caller's call is over), and then
    the caller stays with the model. If no answer comes from Twilio, the redirect counts as done, as it may be.

    Args:
        client: Twilio's client. With `http_client=AsyncTwilioHttp()` it runs on the event loop; a blocking one, best
            with `TwilioHttp()`, runs in threads of its own, 32 at most.
        twiml: Makes the TwiML of a transfer, up to 4000 characters, from `request.name`, `reason` and `summary`. Its
            URLs are whole, since there is no document to which a path would be relative.
        store: Where the redirect is noted for `was_redirected`: with several workers, the store of their hosts. The
            memory of this process if left out.

    Raises:
        ConfigurationError: `client` is no `twilio.rest.Client`, or `twiml` cannot be called.
    """
    rest = Rest(client, Notes(store))
    if not callable(twiml):
        raise ConfigurationError("twiml must be a function of the TransferRequest that returns TwiML")

    async def fallback(request: TransferRequest) -> None:
        parent = parent_of(request)
        made = twiml(request)
        document = document_of(await made if inspect.isawaitable(made) else made)
        legs = await rest.legs(parent)
        if legs is None:
            _log.info("call %s: not redirected: the carrier is transferring it already", request.call_id)
            return
        await rest.redirect(parent, document, legs, target=request.name)

    return fallback


async def was_redirected(result: DialResult, *, store: Store | None = None) -> bool:
    """Return whether a redirect of ours ended this `<Dial>`, for `after_dial(…, redirected=…)`.

    It is known for an hour. The dials of the new TwiML, whose `action` comes about the same caller's call, are told
    apart. If the store fails, it is False.

    Args:
        result: What Twilio posted to the `action`.
        store: The store of `redirect` and `WarmTransfer`; the memory of this process if left out.
    """
    if result.dialed_call_sid is None and result.dial_status in UNANSWERED:
        return False  # nobody was dialed at all, by the new TwiML: a conference is "answered"
    return await Notes(store).read(REDIRECTED, result.dialed_call_sid or result.call_sid) is not None
