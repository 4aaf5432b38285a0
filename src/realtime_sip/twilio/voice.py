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

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.errors import (
    ConfigurationError,
    InvalidRequestError,
    MissingExtraError,
    RealtimeSipError,
    TransferError,
)
from realtime_sip.outcomes import TransferFailureReason
from realtime_sip.twilio import inline
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.redirects import Redirects
from realtime_sip.twilio.status import is_final
from realtime_sip.twilio.uri import leads_to_openai

try:
    from twilio.base.exceptions import TwilioException
except ImportError:
    raise MissingExtraError("twilio", "twilio") from None

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.machine.targets import TransferFallback, TransferRequest
    from realtime_sip.twilio.elements import VoiceResponse

__all__ = ["AsyncTwilioHttp", "TwilioHttp", "redirect", "was_redirected"]

_log = logging.getLogger("realtime_sip.twilio")

MAX_TWIML = 4000
"""Characters of TwiML that a request takes."""
_MAX_CHILDREN = 50
_REQUEST_TIMEOUT = 408
_THREADS = Threads("realtime-sip-twilio", 32)
_redirects = Redirects()

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
    rest = _Rest(client)
    if not callable(twiml):
        raise ConfigurationError("twiml must be a function of the TransferRequest that returns TwiML")

    async def fallback(request: TransferRequest) -> None:
        parent = _parent_of(request)
        document = await _written(twiml, request)
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
    return _redirects.has(call_sid, dialed_call_sid)


def _parent_of(request: TransferRequest) -> str:
    if request.parent_call_sid is None:
        raise ConfigurationError(
            "the caller's call is not known: pass voice= to dial_openai, and set REALTIME_SIP_CONTEXT_SECRET"
        )
    return request.parent_call_sid


async def _written(twiml: TwimlOf, request: TransferRequest) -> str:
    made = twiml(request)
    text = str(await made if inspect.isawaitable(made) else made)
    if not text.strip() or len(text) > MAX_TWIML:
        raise InvalidRequestError("redirect", (("twiml", f"must have 1 to {MAX_TWIML} characters"),))
    if (problem := inline.problem_of(text)) is not None:
        raise InvalidRequestError("redirect", (("twiml", problem),))
    return text


class _Rest:
    """Twilio's client, whichever way it waits."""

    def __init__(self, client: Any) -> None:
        if not hasattr(getattr(client, "http_client", None), "is_async") or not hasattr(client, "calls"):
            raise ConfigurationError("client must be a twilio.rest.Client")
        self._client = client
        self._is_async = bool(client.http_client.is_async)

    async def _run(self, resource: Any, method: str, **arguments: Any) -> Any:
        if self._is_async:
            return await getattr(resource, f"{method}_async")(**arguments)
        return await asyncio.wrap_future(_THREADS.submit(getattr(resource, method), **arguments))

    async def legs(self, parent: str) -> frozenset[str] | None:
        """Return the calls to OpenAI that are up for a caller; None if somebody else was dialed, or none is up."""
        children = await self._run(self._client.calls, "list", parent_call_sid=parent, limit=_MAX_CHILDREN)
        up = [each for each in children if not is_final(each.status)]
        if not up or not all(leads_to_openai(each.to or "") for each in up):
            return None
        return frozenset(str(each.sid) for each in up)

    async def redirect(self, parent: str, document: str, legs: frozenset[str], *, target: str) -> None:
        """Give a call new TwiML. No answer, or one that says nothing, counts as done."""
        _redirects.note(parent, legs)
        try:
            shown = await self._run(self._client.calls(parent), "update", twiml=document)
        except Exception as error:
            if _certainly_not(error):
                _redirects.forget(parent)
                raise
            _log.warning("call %s: whether it was redirected is not known: %s", parent, type(error).__name__)
            return
        if is_final(shown.status):
            _redirects.forget(parent)
            evidence = f"the caller's call was {shown.status} when it was to be redirected"
            raise TransferError(target, reason=TransferFailureReason.REFUSED, evidence=evidence)


def _certainly_not(error: Exception) -> bool:
    """Whether Twilio certainly did not do what it was asked."""
    if isinstance(error, (RealtimeSipError, NoThreadError)):
        return not getattr(error, "sent", False)
    status = getattr(error, "status", None) if isinstance(error, TwilioException) else None
    return isinstance(status, int) and 400 <= status < 500 and status != _REQUEST_TIMEOUT
