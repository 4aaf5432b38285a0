"""A transfer in which the person hears what it is about before they hear the caller, who waits in a conference."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from realtime_sip.errors import ConfigurationError, TransferError
from realtime_sip.outcomes import TransferFailureReason
from realtime_sip.twilio.answers import warm_transfer_join, warm_transfer_wait
from realtime_sip.twilio.call_webhooks import CallStatusCallback, CallWebhook
from realtime_sip.twilio.inline import document_of
from realtime_sip.twilio.remembered import Notes, dialed_for
from realtime_sip.twilio.rest import Rest, certainly_not
from realtime_sip.twilio.status import UNANSWERED, is_final

if TYPE_CHECKING:
    from twilio.rest import Client

    from realtime_sip.call.machine.targets import TransferRequest
    from realtime_sip.stores.rules import Store
    from realtime_sip.twilio.elements import VoiceResponse

_log = logging.getLogger("realtime_sip.twilio")

_WAITS, _PERSON, _MET, _UNCLEAR = "warm", "person", "met", "unclear"
"""The kinds of notes: by the caller's call the person's, the target's name and what follows if nobody answers; by the
person's call the caller's; by the caller's call that the person has joined them; by who calls whom the caller's call,
and since when it is not known whether they are."""


class WarmTransfer:
    """A fallback for `TransferTargets(fallback=)`: the caller waits, and the target is called and told why.

    The target's number or SIP URI is called from `from_`. Who answers hears `request.summary`, alone, and then the
    caller, who has waited in a conference since the call to OpenAI ended. If Twilio refuses either call, the caller
    stays with the model. Nobody is called if Twilio is transferring the caller already, as with `redirect`.

    Pass the status callbacks of both calls to `report`: it gives a caller `otherwise` if the person does not answer, or
    hangs up on the summary, and ends the person's call if the caller does not wait.

    If Twilio does not say whether it calls the person, it is asked for its calls to them. One that nobody else waits
    for is theirs, and the transfer goes on. Else the caller stays with the model, and nobody is called again until
    Twilio was asked once more. A person who answers such a call is hung up by `report`, since no caller comes.

    Args:
        client: Twilio's client, as for `redirect`.
        from_: The caller id of the person's call: a number of yours.
        status_callback: The whole URL to which Twilio posts how the person's call goes, and who joins the conference.
        otherwise: Makes the TwiML for a caller whose person did not answer, such as `voicemail`.
        action: The whole URL that Twilio asks when the conference is over for the caller.
        wait_url: The whole URL of what the caller hears meanwhile; Twilio's music if left out.
        language: Of the summary, such as "pt-BR".
        voice: Of the summary.
        store: Keeps who waits for whom: with several workers, the store of their hosts, and each of them may `report`.
            The memory of this process if left out.

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
        store: Store | None = None,
    ) -> None:
        if not callable(otherwise):
            raise ConfigurationError("otherwise must be a function of the TransferRequest that returns TwiML")
        self._notes = Notes(store)
        self._rest = Rest(client, self._notes)
        self._from = from_
        self._status_callback = status_callback
        self._otherwise = otherwise
        self._waiting: dict[str, Any] = {"action": action, "wait_url": wait_url}
        self._spoken: dict[str, Any] = {"language": language, "voice": voice}

    async def __call__(self, request: TransferRequest) -> None:
        """Carry out one transfer."""
        parent = parent_of(request)
        told: dict[str, Any] = {"status_callback": self._status_callback}
        wait = document_of(warm_transfer_wait(parent, **self._waiting, **told))
        join = document_of(warm_transfer_join(parent, summary=request.summary or None, **self._spoken, **told))
        otherwise = document_of(self._otherwise(request))
        legs = await self._rest.legs(parent)
        if legs is None:
            _log.info("call %s: not redirected: the carrier is transferring it already", request.call_id)
            return
        # First, since a refusal leaves the caller with the model. Nobody answers before the caller waits: it rings.
        person = await self._person(request, parent, join)
        dialed_for.note(person, parent)
        try:
            waits = json.dumps([person, request.name, otherwise])
            await asyncio.gather(self._notes.write(_WAITS, parent, waits), self._notes.write(_PERSON, person, parent))
            await self._rest.redirect(parent, wait, legs, target=request.name)
        except Exception:
            await self._notes.take(_WAITS, parent)
            await self._rest.end(person)
            raise
        # How the person's call ended may have been told before it was noted whose it is.
        if is_final(await self._rest.status(person)):
            await self._unanswered(parent)

    async def _person(self, request: TransferRequest, parent: str, join: str) -> str:
        """Call the target, unless Twilio does already, and return the call."""
        uri = request.target.uri
        to = uri.number if uri.scheme == "tel" and uri.number else str(uri)
        pair, since = _pair(self._from, to), time.time()
        before = await self._notes.read(_UNCLEAR, pair)
        if before is not None and json.loads(before)[0] == parent:
            called = await self._called(to, json.loads(before)[1])
            if len(called) > 1:
                evidence = "Twilio may be calling the target already"
                raise TransferError(request.name, reason=TransferFailureReason.PENDING, evidence=evidence)
            if called:
                await self._notes.take(_UNCLEAR, pair)
                return called[0]
        try:
            return await self._rest.create(
                to=to,
                from_=self._from,
                twiml=join,
                timeout=max(5, round(request.target.ring_time)),
                status_callback=self._status_callback,
                status_callback_event=["answered", "completed"],
            )
        except Exception as error:
            if certainly_not(error):
                raise
            _log.warning("call %s: whether the target is called is not known", request.call_id)
            with suppress(Exception):  # then the list alone tells
                await self._notes.write(_UNCLEAR, pair, json.dumps([parent, since]))
            called = await self._called(to, since)
            if len(called) != 1:
                raise
            await self._notes.take(_UNCLEAR, pair)
            return called[0]

    async def _called(self, to: str, since: float) -> list[str]:
        """Return the calls to the target that were made since then, and are not known to be another caller's."""
        made = await self._rest.made(to=to, from_=self._from, since=since)
        return [sid for sid in made if await self._notes.read(_PERSON, sid) is None]

    async def report(self, payload: CallWebhook) -> bool:
        """Take a webhook about the person's call or the caller's; return whether it was about one of these.

        These are the status callbacks of both calls and of their conference, the latter at `status_callback` too. Pass
        each to `CallHost.carrier` as well, which tells the call. Any process does that shares the `store`.
        """
        parent = await self._notes.read(_PERSON, payload.call_sid)
        if parent is not None and payload.fields.text("StatusCallbackEvent") == "participant-join":
            await self._notes.write(_MET, parent, payload.call_sid)
            return True
        if not isinstance(payload, CallStatusCallback):
            return False
        if not payload.is_final:
            known = await self._notes.read(_WAITS, parent or payload.call_sid)
            return known is not None or await self._end_if_in_vain(payload)
        if parent is None:
            waits = await self._notes.take(_WAITS, payload.call_sid)
            if waits is not None:
                await self._rest.end(json.loads(waits)[0])
            return waits is not None
        if payload.status in UNANSWERED:
            return await self._unanswered(parent)
        if await self._notes.read(_MET, parent) is None and not is_final(await self._rest.status(parent)):
            return await self._unanswered(parent)  # they hung up while they heard the summary
        return await self._notes.take(_WAITS, parent) is not None

    async def _unanswered(self, parent: str) -> bool:
        """Give the caller who waits what follows, once."""
        waits = await self._notes.take(_WAITS, parent)
        if waits is None:
            return False
        _, name, otherwise = json.loads(waits)
        await self._rest.redirect(parent, otherwise, frozenset(), target=name)
        return True

    async def _end_if_in_vain(self, payload: CallStatusCallback) -> bool:
        """End the call of a person who was called though Twilio did not say so: no caller comes to them."""
        fields = payload.fields
        if payload.direction != "outbound-api" or payload.parent_call_sid is not None:
            return False
        if await self._notes.take(_UNCLEAR, _pair(fields.get("From", ""), fields.get("To", ""))) is None:
            return False
        await self._rest.end(payload.call_sid)
        return True


def _pair(from_: str, to: str) -> str:
    """Return what stands for who calls whom, without a number."""
    return hashlib.sha256(f"{from_} {to}".encode()).hexdigest()


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
