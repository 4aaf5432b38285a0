"""What the carrier says about the calls of one host, also of calls that have left, and of those of other workers.

A webhook of the carrier's reaches any worker. The call is found by the SID of the caller's own call: here, or by a note
in the store, through which the webhook is posted to whoever serves the call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.hosting import endings
from realtime_sip.hosting.early import Early
from realtime_sip.hosting.ends import Ends
from realtime_sip.hosting.handlers import in_time, require
from realtime_sip.hosting.taken import Taken
from realtime_sip.hosting.tickets import Seals
from realtime_sip.outcomes import CallAnswered, EndReason
from realtime_sip.stores.rules import Store
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.hosting.carrier import Meaning
    from realtime_sip.twilio.call_webhooks import CallWebhook

_log = logging.getLogger("realtime_sip.host")

_TRANSFERRED = 100
_STORE = 2.0
"""Seconds that a store may take."""
_KNOWN = 3 * 3600.0
"""Seconds for which it is noted which call a caller's own call has led to: longer than any session."""
_EARLY = 600.0
"""Seconds for which is noted what the carrier says of a call that was not announced yet."""


class Reports:
    """What the carrier says about calls.

    Args:
        client: Ends calls whose callers are gone.
        calls: Those of this host, as they are.
        ends: How they ended, which a report can amend.
        store: Where other workers look.
        seals: Seals what is posted to them; None if the store is not shared.
    """

    def __init__(
        self, client: AsyncRealtimeSip, calls: Mapping[str, Taken], ends: Ends, store: Store, seals: Seals | None
    ) -> None:
        self._client = client
        self._calls = calls
        self._ends = ends
        self._store = store
        self._seals = seals
        self._transferred: OrderedDict[str, Taken] = OrderedDict()
        """Calls that have left with a transfer, of which the carrier may yet report how it went."""
        self._early = Early()
        self._posting: set[asyncio.Task[None]] = set()

    # --- here ---------------------------------------------------------------------------------------------------------

    def about(self, payload: CallWebhook) -> list[Taken]:
        """Return the calls here that a webhook is about.

        Raises:
            ConfigurationError: That is no typed webhook about a call.
        """
        from realtime_sip.hosting.carrier import is_about
        from realtime_sip.twilio.call_webhooks import CallWebhook

        require(isinstance(payload, CallWebhook), "payload must be a typed webhook, as read_webhook(body) returns")
        known = [*self._calls.values(), *self._transferred.values()]
        return [each for each in known if is_about(payload, each.incoming)]

    def take(self, payload: CallWebhook, loop: asyncio.AbstractEventLoop | None) -> bool:
        """Take in what the carrier says. Return whether such a call is known here. Any thread may call it."""
        found = self.about(payload)
        if loop is None:
            found = []
        if not found:
            _log.info("the carrier reports about a call that is not here: %r", payload)
            self._early.note(payload)
            if self._seals is not None and loop is not None:
                loop.call_soon_threadsafe(self._post, payload)
            return False
        here = asyncio._get_running_loop() is loop
        for taken in found:
            if here:
                self._reported(taken, payload)
            elif loop is not None:
                loop.call_soon_threadsafe(self._reported, taken, payload)
        return True

    def _reported(self, taken: Taken, payload: CallWebhook) -> None:
        from realtime_sip.hosting.carrier import dialed_call, meaning

        means: Meaning = meaning(payload, taken.incoming)
        if means.caller_left and taken.call is None and taken.call_id in self._calls:
            self.leave(taken)
        before = None if taken.call is None else taken.call.ended
        taken.reported(means, dialed_call(payload))
        ended = None if taken.call is None else taken.call.ended
        if taken.call_id not in self._transferred or ended is None or ended == before:
            return
        self._ends.amend(taken.call_id, ended)
        if not self.keep(taken):
            taken.decision.call = None

    def leave(self, taken: Taken) -> None:
        """End a call that nobody is answering and whose caller is gone, once."""
        if taken.leaving is None and not taken.decision.rejected:
            taken.decision.caller_left = True
            taken.leaving = asyncio.create_task(
                endings.caller_left(self._client, taken), name=f"end of call {taken.call_id}"
            )

    def keep(self, taken: Taken) -> bool:
        """Keep a call that was transferred for what the carrier says later, until that is known."""
        ended = None if taken.call is None else taken.call.ended
        inferred = ended is not None and ended.reason is EndReason.TRANSFERRED and ended.certainty == "inferred"
        if not inferred or taken.incoming.parent_call_sid is None:
            self._transferred.pop(taken.call_id, None)
            return False
        self._transferred[taken.call_id] = taken
        if len(self._transferred) > _TRANSFERRED:
            self._transferred.popitem(last=False)[1].decision.call = None
        return True

    # --- elsewhere ----------------------------------------------------------------------------------------------------

    async def announced(self, incoming: IncomingCall) -> bool:
        """Note which call a caller's own call has led to; return whether the caller is gone already."""
        sid = incoming.parent_call_sid
        if sid is not None and self._seals is not None:
            try:
                async with in_time(_STORE, "the store", sent=True):
                    await self._store.note(_leads_to(sid), incoming.call_id, remember=_KNOWN)
                    letter = await self._store.noted(_early(sid))
            except Exception as error:  # noqa: BLE001 - the call is answered, whatever the store is
                _log.warning("call %s: other workers cannot find it: %s", incoming.call_id, type(error).__name__)
            else:
                early = None if letter is None else self._read(letter)
                if early is not None:
                    self._early.note(early)
        return self._early.is_gone(sid)

    def answered(self, incoming: IncomingCall) -> CallAnswered | None:
        """Return who answered a call that was placed, if the carrier has said so before it was announced."""
        return self._early.answered(incoming.parent_call_sid)

    def _post(self, payload: CallWebhook) -> None:
        task = asyncio.create_task(self._posted(payload), name="post of a carrier's webhook")
        self._posting.add(task)
        task.add_done_callback(self._posting.discard)

    async def _posted(self, payload: CallWebhook) -> None:
        """Post a webhook to the worker whose call it is about."""
        from realtime_sip.twilio.remembered import dialed_for

        assert self._seals is not None
        sids = (payload.parent_call_sid, payload.call_sid, dialed_for.get(payload.call_sid))
        letter = self._seals.letter(type(payload).__name__, urlencode(payload.fields.pairs))
        try:
            async with in_time(_STORE, "the store", sent=True):
                for sid in sids:
                    if sid is not None and (call_id := await self._store.noted(_leads_to(sid))) is not None:
                        await self._store.post(call_id, letter)
                        return
                if payload.answered_by is not None or (payload.is_final and payload.parent_call_sid is None):
                    await self._store.note(_early(payload.call_sid), letter, remember=_EARLY)
        except Exception as error:  # noqa: BLE001 - the carrier is answered all the same
            _log.warning("what the carrier reports reached no other worker: %s", type(error).__name__)

    def letter(self, call_id: str, text: str) -> None:
        """Take in a webhook that another worker has posted here."""
        from realtime_sip.hosting.carrier import is_about

        payload = self._read(text)
        for taken in (self._calls.get(call_id), self._transferred.get(call_id)):
            if payload is not None and taken is not None and is_about(payload, taken.incoming):
                self._reported(taken, payload)

    def _read(self, letter: str) -> CallWebhook | None:
        from realtime_sip.twilio import call_webhooks

        name, form = ("", "") if self._seals is None else self._seals.opened(letter) or ("", "")
        kind = getattr(call_webhooks, name, None)
        if not (isinstance(kind, type) and issubclass(kind, call_webhooks.CallWebhook)):
            _log.warning("a letter of another worker cannot be read")
            return None
        return kind.read(form)


def _leads_to(sid: str) -> str:
    return f"leads-to:{sid}"


def _early(sid: str) -> str:
    return f"early:{sid}"
