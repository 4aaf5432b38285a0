"""What users of WhatsApp have permitted, kept in a store that all workers share."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import get_args

from realtime_sip.errors import ConfigurationError, DeadlineError, RealtimeSipError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.sip.address import e164, without_whatsapp
from realtime_sip.stores.rules import Store
from realtime_sip.twilio.address import TwilioAddress
from realtime_sip.twilio.call_webhooks import CallStatusCallback
from realtime_sip.twilio.message_webhooks import CallPermissionReply, IncomingMessage
from realtime_sip.twilio.operations import may_have_acted
from realtime_sip.twilio.payload import TwilioWebhook
from realtime_sip.twilio.permission import EventKind, PermissionEvent, PermissionHistory, PermissionRules
from realtime_sip.twilio.status import UNANSWERED
from realtime_sip.twilio.whatsapp_user import WhatsAppUser, area_verdict

REMEMBER = 400 * 86_400.0
"""Seconds that a history is kept after its last change. Only a permission for good lasts longer."""
_LOCK, _TRY_FOR, _TRY_EVERY = 5.0, 3.0, 0.02
_MAX_ID = 64
_MAX_ALIASES = 5
_KINDS: dict[str, Sequence[EventKind]] = {
    "in-progress": ("connected",),
    "answered": ("connected",),
    # Over REST it is the only status that is reported unless more is asked for.
    "completed": ("connected", "ended"),
    "failed": ("ended",),
    "busy": ("missed",),
    "no-answer": ("missed",),
    "canceled": ("missed",),
}


class Reservation:
    """A call that was reserved, in `async with permissions.calling(…)`.

    Attributes:
        verdict: Whether it may be placed, for `place_call`.
        sid: Set it to the SID of the call that was placed.
    """

    __slots__ = ("sid", "verdict")

    def __init__(self, verdict: PermissionVerdict) -> None:
        self.verdict = verdict
        self.sid: str | None = None


class CallPermissions:
    """The ledger of what WhatsApp users have permitted your senders, and of the calls with them.

    It is kept in a store, for one sender and one person at a time: a number and a WhatsApp user id that came together
    are one person, and so is a Brazilian mobile with and without its ninth digit. Keys are hashes; no number is stored.
    With `MemoryStore` a restart forgets all of it, and everybody has to be asked again.

    Args:
        store: Where it is kept.
        rules: WhatsApp's numbers.
        clock: Returns the time as Unix seconds.

    Raises:
        ConfigurationError: It is no store.
    """

    def __init__(
        self, store: Store, *, rules: PermissionRules | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        if not isinstance(store, Store):
            raise ConfigurationError("store must be a Store, such as MemoryStore")
        self.rules = rules or PermissionRules()
        self._store = store
        self._clock = clock

    async def may_call(self, sender: str, user: str | WhatsAppUser) -> PermissionVerdict:
        """Return whether a sender may call a user now, and else why not, and when it may.

        Raises:
            InvalidRequestError: The user has no valid address.
            ConfigurationError: The sender is not a number.
            MissingExtraError: phonenumbers is not installed.
        """
        history, area = await self._looked_up(sender, user)
        return _with(history.may_call(self._now()), area) if area else area

    async def may_request(self, sender: str, user: str | WhatsAppUser, *, approved: bool = False) -> PermissionVerdict:
        """Return whether a sender may ask a user for permission now, and else why not, and when it may.

        Args:
            sender: The sender's number.
            user: The user.
            approved: Whether WhatsApp has approved the template of the request. Another one is delivered only within
                24 hours of the user's last message.

        Raises:
            InvalidRequestError: The user has no valid address.
            ConfigurationError: The sender is not a number.
            MissingExtraError: phonenumbers is not installed.
        """
        history, area = await self._looked_up(sender, user)
        return _with(history.may_request(self._now(), approved=approved), area) if area else area

    async def note(
        self,
        sender: str,
        user: str | WhatsAppUser,
        kind: EventKind,
        *,
        id: str = "",  # noqa: A002 - as of the event
        at: float | None = None,
    ) -> None:
        """Note what happened between a sender and a user; a repeat changes nothing.

        Args:
            sender: The sender's number.
            user: The user. With both number and id, the two are one person from now on.
            kind: What happened.
            id: The SID of the message or call.
            at: When, as Unix seconds; now if left out.

        Raises:
            InvalidRequestError: The user has no valid address.
            ConfigurationError: The sender is not a number, or the kind or the id is not valid.
            DeadlineError: Others kept changing the same history for three seconds.
        """
        number, who = _number(sender), WhatsAppUser.of(user)
        if kind not in get_args(EventKind) or len(id) > _MAX_ID:
            raise ConfigurationError(f"kind must be an EventKind, and id at most {_MAX_ID} characters")
        now = self._now()
        event = PermissionEvent(now if at is None else float(at), kind, id)
        key = await self._known(number, who)
        async with self._locked(key):
            await self._write(key, (await self._read(key)).having(event), now)
        if id and kind in ("ended", "missed"):
            await self._store.leave(_calls(number), id)

    async def observe(self, webhook: TwilioWebhook) -> bool:
        """Note what a verified webhook of Twilio's says: messages and answers of users, and calls with them.

        Repeats, and any order, do no harm. Call it for each `IncomingMessage`, `CallPermissionReply` and
        `CallStatusCallback`. An answer permits for seven days; note one for good with "accepted_permanently".

        Returns:
            Whether it was about a WhatsApp user.

        Raises:
            DeadlineError: Others kept changing the same history for three seconds.
        """
        found = _observed(webhook)
        if found is None:
            return False
        sender, user, kinds, sid = found
        for kind in kinds:
            lasted = webhook.duration_s if kind == "connected" and isinstance(webhook, CallStatusCallback) else None
            await self.note(sender, user, kind, id=sid, at=self._now() - (lasted or 0))
        return True

    async def same_person(self, sender: str, old: str | WhatsAppUser, new: str | WhatsAppUser) -> None:
        """Make two addresses one person, as the service says of a number that changed.

        Raises:
            InvalidRequestError: One of the two has no valid address.
            ConfigurationError: The sender is not a number.
            DeadlineError: Others kept changing the same history for three seconds.
        """
        number, before, after = _number(sender), WhatsAppUser.of(old), WhatsAppUser.of(new)
        key = await self._known(number, after)
        await self._link(number, before.person, key)

    async def reserve(self, sender: str, user: str | WhatsAppUser, call: str) -> PermissionVerdict:
        """Return whether a sender may call a user now; if so, the call counts as placed, and no other worker gets it.

        Args:
            sender: The sender's number.
            user: The user.
            call: What stands for the call until it has a SID, such as a random text. Then use `placed`.

        Raises:
            InvalidRequestError: The user has no valid address.
            ConfigurationError: The sender is not a number.
            DeadlineError: Others kept changing the same history for three seconds.
        """
        number, who = _number(sender), WhatsAppUser.of(user)
        area = area_verdict(number, who)
        if not area:
            return area
        key, now, rules = await self._known(number, who), self._now(), self.rules
        async with self._locked(key):
            history = await self._read(key)
            verdict = history.may_call(now)
            if verdict:
                lease = rules.longest_call
                if not await self._store.enter(_calls(number), call, lease=lease, most=rules.concurrent):
                    return _with(history.may_call(now, concurrent=rules.concurrent), area)
                await self._write(key, history.having(PermissionEvent(now, "dialed", call)), now)
        return _with(verdict, area)

    async def placed(self, sender: str, user: str | WhatsAppUser, call: str, sid: str | None) -> None:
        """Note the SID of a call that was reserved, or, without one, that it was not placed.

        Raises:
            DeadlineError: Others kept changing the same history for three seconds.
        """
        number, who = _number(sender), WhatsAppUser.of(user)
        key, now = await self._known(number, who), self._now()
        async with self._locked(key):
            history = (await self._read(key)).without("dialed", call)
            if sid is not None:
                history = history.having(PermissionEvent(now, "dialed", sid[:_MAX_ID]))
            await self._write(key, history, now)
        await self._store.leave(_calls(number), call)
        if sid is not None and not any(e.id == sid and e.kind in ("ended", "missed") for e in history.events):
            await self._store.enter(_calls(number), sid, lease=self.rules.longest_call)

    @asynccontextmanager
    async def calling(self, sender: str, user: str | WhatsAppUser) -> AsyncIterator[Reservation]:
        """Reserve a call, and settle at the end of the block what became of it.

        If `sid` was set, it is noted. Else the call is released, unless an exception leaves it open whether Twilio
        placed it: then it counts until its end is reported.

            async with permissions.calling(sender, user) as reserved:
                placed = await account.whatsapp.place_call(sender, user, permission=reserved.verdict, url=url)
                reserved.sid = placed.sid

        Raises:
            InvalidRequestError: The user has no valid address.
            ConfigurationError: The sender is not a number.
            DeadlineError: Others kept changing the same history for three seconds.
        """
        call = secrets.token_hex(8)
        reserved = Reservation(await self.reserve(sender, user, call))
        open_ = False
        try:
            yield reserved
        except BaseException as error:
            # A block that is canceled may have been canceled in the middle of the request.
            open_ = may_have_acted(error) if isinstance(error, RealtimeSipError) else not isinstance(error, Exception)
            raise
        finally:
            if reserved.verdict and not (open_ and reserved.sid is None):
                await self.placed(sender, user, call, reserved.sid)

    def _now(self) -> float:
        return time.time() if self._clock is None else self._clock()

    async def _looked_up(self, sender: str, user: str | WhatsAppUser) -> tuple[PermissionHistory, PermissionVerdict]:
        number, who = _number(sender), WhatsAppUser.of(user)
        return await self._read(await self._key(number, who)), area_verdict(number, who)

    async def _key(self, sender: str, user: WhatsAppUser) -> str:
        """Return the key of a person's history: that of the number, unless only the id has one."""
        key = await self._followed(_hash(sender, user.person))
        if user.number is None or user.user_id is None or await self._store.noted(_history(key)) is not None:
            return key
        return await self._followed(_hash(sender, user.user_id))

    async def _followed(self, key: str) -> str:
        for _ in range(_MAX_ALIASES):
            other = await self._store.noted(_alias(key))
            if other is None:
                break
            key = other
        return key

    async def _known(self, sender: str, user: WhatsAppUser) -> str:
        """Return the key of a person's history; number and id are one from now on."""
        key = await self._followed(_hash(sender, user.person))
        if user.user_id is not None:
            await self._link(sender, user.user_id, key)
        return key

    async def _link(self, sender: str, person: str, key: str) -> None:
        """Let what was a person's history be a part of another, from now on."""
        old = await self._followed(_hash(sender, person))
        if old == key:
            return
        async with self._locked(key):
            await self._store.note(_alias(old), key, remember=REMEMBER)
            moved = await self._store.take(_history(old))
            if moved is not None:
                await self._write(key, (await self._read(key)).having(*_events(moved)), self._now())

    async def _read(self, key: str) -> PermissionHistory:
        return PermissionHistory(rules=self.rules).having(*_events(await self._store.noted(_history(key))))

    async def _write(self, key: str, history: PermissionHistory, now: float) -> None:
        events = [[each.at, each.kind, each.id] for each in history.pruned(now).events]
        await self._store.note(_history(key), json.dumps(events, separators=(",", ":")), remember=REMEMBER)

    @asynccontextmanager
    async def _locked(self, key: str) -> AsyncIterator[None]:
        """Keep all others from changing a history meanwhile."""
        name, mine = f"twilio:permission-lock:{key}", secrets.token_hex(8)
        loop = asyncio.get_running_loop()
        until = loop.time() + _TRY_FOR
        while not await self._store.enter(name, mine, lease=_LOCK, most=1):
            if loop.time() >= until:
                raise DeadlineError(
                    "the history of a WhatsApp user's permission is being changed by others", sent=False
                )
            await asyncio.sleep(_TRY_EVERY)
        try:
            yield
        finally:
            await self._store.leave(name, mine)


def _number(sender: str) -> str:
    number = e164(without_whatsapp(str(sender))[1])
    if number is None:
        raise ConfigurationError("the sender must be a number in E.164, with or without whatsapp:")
    return number


def _observed(webhook: TwilioWebhook) -> tuple[str, WhatsAppUser, Sequence[EventKind], str] | None:
    kinds: Sequence[EventKind]
    match webhook:
        case IncomingMessage():
            theirs, ours, sid = webhook.sender_address, webhook.recipient_address, webhook.message_sid
            number, user_id = webhook.number, webhook.user_id
            answer = webhook.answer if isinstance(webhook, CallPermissionReply) else None
            kinds = (answer or "wrote",)
        case CallStatusCallback(direction="inbound"):
            theirs, ours, sid = webhook.caller_address, webhook.dialed_address, webhook.call_sid
            number, user_id = webhook.caller, webhook.user_id
            kinds = ("missed_by_us",) if webhook.status in UNANSWERED else ("called_us",)
        case CallStatusCallback():
            theirs, ours, sid = webhook.dialed_address, webhook.caller_address, webhook.call_sid
            number, user_id = webhook.dialed, theirs.user_id if theirs else None
            kinds = _KINDS.get(webhook.status, ("dialed",))
        case _:
            return None
    if not _is_whatsapp(theirs) or ours is None or ours.number is None or not (number or user_id):
        return None
    return ours.number, WhatsAppUser(number, user_id=user_id), kinds, sid[:_MAX_ID]


def _is_whatsapp(address: TwilioAddress | None) -> bool:
    return address is not None and address.channel == "whatsapp"


def _with(verdict: PermissionVerdict, area: PermissionVerdict) -> PermissionVerdict:
    return replace(verdict, warnings=(*verdict.warnings, *area.warnings))


def _events(text: str | None) -> list[PermissionEvent]:
    try:
        read = json.loads(text or "[]")
        return [PermissionEvent(float(at), kind, str(sid)) for at, kind, sid in read if kind in get_args(EventKind)]
    except (ValueError, TypeError):
        return []


def _hash(sender: str, person: str) -> str:
    return hashlib.sha256(f"{sender}\n{person}".encode()).hexdigest()[:32]


def _history(key: str) -> str:
    return f"twilio:permission:{key}"


def _alias(key: str) -> str:
    return f"twilio:permission-alias:{key}"


def _calls(sender: str) -> str:
    return f"twilio:whatsapp-calls:{_hash(sender, '')}"
