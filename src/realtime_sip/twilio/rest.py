"""Calls over Twilio's REST API, by Twilio's own client, whichever way it waits."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from realtime_sip._threads import NoThreadError, Threads
from realtime_sip.errors import (
    ConfigurationError,
    DeadlineError,
    MissingExtraError,
    RealtimeSipError,
    TransferError,
)
from realtime_sip.outcomes import TransferFailureReason
from realtime_sip.twilio.remembered import Notes
from realtime_sip.twilio.status import is_final
from realtime_sip.twilio.uri import leads_to_openai

try:
    from twilio.base.exceptions import TwilioException
except ImportError:
    raise MissingExtraError("twilio", "twilio") from None

_log = logging.getLogger("realtime_sip.twilio")

_MAX_CHILDREN = 50
_REQUEST_TIMEOUT = 408
_SOON = 3.0
"""Seconds for what comes before a redirect. The whole fallback of a transfer has ten."""
_CREATE, _LIST = 2.5, 1.5
"""Seconds to call somebody, and to ask whether that happened if nothing came of it: a part of those ten as well."""
_CLOCKS = 5.0
"""Seconds by which Twilio's clock may be behind, with what it rounds off."""
_AT_MOST = 15.0
"""Seconds for any other request: Twilio's own HTTP clients wait without end."""
REDIRECTED = "redirected"
"""The kind of a note: a call that a redirect of ours ended, or the caller's own if that ended a conference."""
_THREADS = Threads("realtime-sip-twilio", 32)


class Rest:
    """Twilio's client, blocking or async.

    Args:
        client: The client.
        notes: Where a redirect is noted.

    Raises:
        ConfigurationError: It is no `twilio.rest.Client`.
    """

    def __init__(self, client: Any, notes: Notes) -> None:
        if not hasattr(getattr(client, "http_client", None), "is_async") or not hasattr(client, "calls"):
            raise ConfigurationError("client must be a twilio.rest.Client")
        self._client = client
        self._notes = notes
        self._is_async = bool(client.http_client.is_async)

    async def _run(self, resource: Any, method: str, **arguments: Any) -> Any:
        async with asyncio.timeout(_AT_MOST):
            if self._is_async:
                return await getattr(resource, f"{method}_async")(**arguments)
            return await asyncio.wrap_future(_THREADS.submit(getattr(resource, method), **arguments))

    async def _soon(
        self, what: str, resource: Any, method: str, *, within: float = _SOON, sent: bool = False, **arguments: Any
    ) -> Any:
        """Ask for what comes before a redirect, in less time than the fallback of a transfer has: if it is canceled,
        the carrier counts as asked.

        Raises:
            DeadlineError: Twilio did not answer in time.
        """
        deadline = asyncio.timeout(within)
        try:
            async with deadline:
                return await self._run(resource, method, **arguments)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise DeadlineError(f"Twilio did not answer within {within:g} s {what}", sent=sent) from None

    async def legs(self, parent: str) -> frozenset[str] | None:
        """Return the calls to OpenAI that are up for a caller; None if somebody else was dialed, or none is up.

        Raises:
            DeadlineError: Twilio did not answer in time.
        """
        asked: dict[str, Any] = {"parent_call_sid": parent, "limit": _MAX_CHILDREN}
        children = await self._soon("which calls are up", self._client.calls, "list", **asked)
        up = [each for each in children if not is_final(each.status)]
        if not up or not all(leads_to_openai(each.to or "") for each in up):
            return None
        return frozenset(str(each.sid) for each in up)

    async def redirect(self, parent: str, document: str, ended: frozenset[str], *, target: str) -> bool:
        """Give a call new TwiML, which ends these legs; a conference has none. Return whether Twilio has said so: no
        answer, or one that says nothing, counts as done.

        Raises:
            TransferError: The call is over.
        """
        noted = await self._note(parent, ended or frozenset({parent}))
        try:
            shown = await self._run(self._client.calls(parent), "update", twiml=document)
        except Exception as error:
            if certainly_not(error):
                await self._take_back(noted)
                raise
            _log.warning("call %s: whether it was redirected is not known: %s", parent, type(error).__name__)
            return False
        if is_final(shown.status):
            await self._take_back(noted)
            evidence = f"the caller's call was {shown.status} when it was to be redirected"
            raise TransferError(target, reason=TransferFailureReason.REFUSED, evidence=evidence)
        return True

    async def _note(self, parent: str, ended: frozenset[str]) -> list[str]:
        """Note before it happens what a redirect ends. Return what was not noted before."""
        new = [sid for sid in ended if await self._notes.read(REDIRECTED, sid) is None]
        try:
            await asyncio.gather(*(self._notes.write(REDIRECTED, sid, parent) for sid in new))
        except Exception as error:  # noqa: BLE001 - the caller is not kept from a person by a store that fails
            _log.warning("call %s: that it is redirected was not noted: %s", parent, type(error).__name__)
        return new

    async def _take_back(self, noted: list[str]) -> None:
        await asyncio.gather(*(self._notes.take(REDIRECTED, sid) for sid in noted))

    async def create(self, **fields: Any) -> str:
        """Call somebody, and return the SID of the call.

        Raises:
            DeadlineError: Twilio did not answer in time, and may call them.
        """
        asked = ("whether it calls the target", self._client.calls, "create")
        made = await self._soon(*asked, within=_CREATE, sent=True, **fields)
        return str(made.sid)

    async def made(self, *, to: str, from_: str, since: float) -> list[str]:
        """Return the calls by REST between these two that are up and were made since then (Unix seconds).

        Raises:
            DeadlineError: Twilio did not answer in time.
        """
        asked: dict[str, Any] = {"to": to, "from_": from_, "limit": _MAX_CHILDREN}
        calls = await self._soon("whom it calls", self._client.calls, "list", within=_LIST, **asked)
        return [
            str(each.sid)
            for each in calls
            if each.direction == "outbound-api"
            and not is_final(each.status)
            and each.date_created is not None
            and each.date_created.timestamp() >= since - _CLOCKS
        ]

    async def status(self, call_sid: str) -> str | None:
        """Return the status of a call, or None if Twilio does not say."""
        try:
            return str((await self._run(self._client.calls(call_sid), "fetch")).status)
        except Exception as error:  # noqa: BLE001 - its status callback tells as well
            _log.info("call %s: how it is, is not known: %s", call_sid, type(error).__name__)
            return None

    async def end(self, call_sid: str) -> None:
        """End a call if it is up. A failure is logged: there is nobody to tell."""
        try:
            await self._run(self._client.calls(call_sid), "update", status="completed")
        except Exception as error:  # noqa: BLE001 - the call is over already, or its own time limit ends it
            _log.info("call %s: it was not ended: %s", call_sid, type(error).__name__)


def certainly_not(error: Exception) -> bool:
    """Whether Twilio certainly did not do what it was asked."""
    if isinstance(error, (RealtimeSipError, NoThreadError)):
        return not getattr(error, "sent", False)
    status = getattr(error, "status", None) if isinstance(error, TwilioException) else None
    return isinstance(status, int) and 400 <= status < 500 and status != _REQUEST_TIMEOUT
