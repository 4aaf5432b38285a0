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
from realtime_sip.twilio.remembered import redirected
from realtime_sip.twilio.rest import Rest, document_of
from realtime_sip.twilio.warm_transfer import WarmTransfer, parent_of

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.machine.targets import TransferFallback, TransferRequest
    from realtime_sip.twilio.elements import VoiceResponse

__all__ = ["AsyncTwilioHttp", "TwilioHttp", "WarmTransfer", "redirect", "was_redirected"]

_log = logging.getLogger("realtime_sip.twilio")

_Twiml: TypeAlias = "VoiceResponse | str"
TwimlOf: TypeAlias = "Callable[[TransferRequest], _Twiml | Awaitable[_Twiml]]"
"""Returns the new TwiML for a transfer; plain or async."""


def redirect(client: Client, *, twiml: TwimlOf) -> TransferFallback:
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

    Raises:
        ConfigurationError: `client` is no `twilio.rest.Client`, or `twiml` cannot be called.
    """
    rest = Rest(client)
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


def was_redirected(call_sid: str, dialed_call_sid: str | None = None) -> bool:
    """Return whether this process redirected a call in the last hour, for `after_dial(…, redirected=…)`.

    Args:
        call_sid: The caller's call: `result.call_sid`.
        dialed_call_sid: The call that was dialed, `result.dialed_call_sid`. With it the `<Dial>` that the redirect
            ended is told from those of the new TwiML, whose `action` comes with the same `call_sid`.
    """
    legs = redirected.get(call_sid)
    return legs is not None and (dialed_call_sid is None or not legs or dialed_call_sid in legs)
