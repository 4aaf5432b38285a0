"""A transfer in which the person hears what it is about before they hear the caller, who waits in a conference."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from realtime_sip.errors import ConfigurationError
from realtime_sip.twilio.answers import warm_transfer_join, warm_transfer_wait
from realtime_sip.twilio.call_webhooks import CallStatusCallback, CallWebhook
from realtime_sip.twilio.remembered import Remembered, dialed_for
from realtime_sip.twilio.rest import Rest, document_of
from realtime_sip.twilio.status import UNANSWERED

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.machine.targets import TransferRequest
    from realtime_sip.twilio.elements import VoiceResponse

_log = logging.getLogger("realtime_sip.twilio")


class WarmTransfer:
    """A fallback for `TransferTargets(fallback=)`: the caller waits, and the target is called and told why.

    The target's number or SIP URI is called from `from_`. Who answers hears `request.summary`, alone, and then the
    caller, who has waited in a conference since the call to OpenAI ended. If Twilio refuses either call, the caller
    stays with the model. Nobody is called if Twilio is transferring the caller already, as with `redirect`.

    Pass the status callbacks of both calls to `report`: it gives a caller `otherwise` if the person does not answer,
    and ends the person's call if the caller does not wait.

    Args:
        client: Twilio's client, as for `redirect`.
        from_: The caller id of the person's call: a number of yours.
        status_callback: The whole URL to which Twilio posts how the person's call goes.
        otherwise: Makes the TwiML for a caller whose person did not answer, such as `voicemail`.
        action: The whole URL that Twilio asks when the conference is over for the caller.
        wait_url: The whole URL of what the caller hears meanwhile; Twilio's music if left out.
        language: Of the summary, such as "pt-BR".
        voice: Of the summary.

    Raises:
        ConfigurationError: `client` is no `twilio.rest.Client`, or `otherwise` cannot be called.
    """

    def __init__(
        self,
        client: Client,
        *,
        from_: str,
        status_callback: str,
        otherwise: Callable[[TransferRequest], VoiceResponse | str],
        action: str | None = None,
        wait_url: str | None = None,
        language: str | None = None,
        voice: str | None = None,
    ) -> None:
        if not callable(otherwise):
            raise ConfigurationError("otherwise must be a function of the TransferRequest that returns TwiML")
        self._rest = Rest(client)
        self._from = from_
        self._status_callback = status_callback
        self._otherwise = otherwise
        self._waiting: dict[str, Any] = {"action": action, "wait_url": wait_url}
        self._spoken: dict[str, Any] = {"language": language, "voice": voice}
        self._waits: Remembered[tuple[str, str, str]] = Remembered()
        """The person's call, the target's name, and what follows if they do not answer, by the caller's call."""

    async def __call__(self, request: TransferRequest) -> None:
        """Carry out one transfer."""
        parent = parent_of(request)
        wait = document_of(warm_transfer_wait(parent, **self._waiting))
        join = document_of(warm_transfer_join(parent, summary=request.summary or None, **self._spoken))
        otherwise = document_of(self._otherwise(request))
        legs = await self._rest.legs(parent)
        if legs is None:
            _log.info("call %s: not redirected: the carrier is transferring it already", request.call_id)
            return
        uri = request.target.uri
        # First, since a refusal leaves the caller with the model. Nobody answers before the caller waits: it rings.
        person = await self._rest.create(
            to=uri.number if uri.scheme == "tel" else str(uri),
            from_=self._from,
            twiml=join,
            timeout=max(5, round(request.target.ring_time)),
            status_callback=self._status_callback,
            status_callback_event=["answered", "completed"],
        )
        dialed_for.note(person, parent)
        self._waits.note(parent, (person, request.name, otherwise))
        try:
            await self._rest.redirect(parent, wait, legs, target=request.name)
        except Exception:
            self._waits.forget(parent)
            await self._rest.end(person)
            raise

    async def report(self, payload: CallWebhook) -> bool:
        """Take a status callback of the person's call or of the caller's; return whether it was about one of these.

        Pass it to `CallHost.carrier` too, which tells the call. It is for the process that made the transfer.
        """
        if not isinstance(payload, CallStatusCallback):
            return False
        parent = dialed_for.get(payload.call_sid) or payload.call_sid
        waits = self._waits.get(parent)
        if waits is None:
            return False
        person, name, otherwise = waits
        if parent == payload.call_sid:
            if payload.is_final:
                self._waits.forget(parent)
                await self._rest.end(person)
        elif payload.status in UNANSWERED:
            self._waits.forget(parent)
            await self._rest.redirect(parent, otherwise, frozenset(), target=name)
        elif payload.is_final:
            self._waits.forget(parent)
        return True


def parent_of(request: TransferRequest) -> str:
    """Return the SID of the caller's call.

    Raises:
        ConfigurationError: The signed context does not have it.
    """
    if request.parent_call_sid is None:
        raise ConfigurationError(
            "the caller's call is not known: pass voice= to dial_openai, and set REALTIME_SIP_CONTEXT_SECRET"
        )
    return request.parent_call_sid
