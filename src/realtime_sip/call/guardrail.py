"""Watches what the model says as it says it, and may stop it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Coroutine
from typing import Any

from realtime_sip import events
from realtime_sip.call.options import CheckSpeech, Failed, logged
from realtime_sip.call.record.frame import text

__all__ = ["Guardrail"]

_log = logging.getLogger("realtime_sip.guardrail")

CHECK_TIMEOUT = 10.0
"""Seconds that one check may take; after that the model goes on."""
_MOST_CHARACTERS = 20_000
_MOST_RESPONSES = 8
_SAYS = frozenset({"response.output_audio_transcript.delta", "response.output_text.delta"})


class Guardrail:
    """One check over the growing transcript of each response. It is never asked twice at the same time."""

    def __init__(self, check: CheckSpeech, *, failed: Failed = logged) -> None:
        self._check = check
        self._tell = failed
        self._said: dict[str, str] = {}  # what was said in each of the latest responses
        self._unchecked: dict[str, None] = {}  # responses in which something was said since they were checked
        self._checking = False
        self._stopped: deque[str] = deque(maxlen=_MOST_RESPONSES)
        self._failed = ""

    def let_go(self) -> None:
        """Hold the call no longer."""
        self._tell = logged

    def receive(self, event: events.ServerEvent) -> Coroutine[Any, Any, str | None] | None:
        """Take in an event; return a check to carry out beside the events, if there is something to check."""
        if event.type not in _SAYS:
            return None
        response_id, delta = text(event, "response_id"), text(event, "delta")
        if not delta or response_id in self._stopped:
            return None
        self._said[response_id] = (self._said.get(response_id, "") + delta)[-_MOST_CHARACTERS:]
        self._unchecked[response_id] = None
        if len(self._said) > _MOST_RESPONSES:
            self._forget(next(iter(self._said)))
        if self._checking:
            return None
        self._checking = True
        return self._checked()

    async def _checked(self) -> str | None:
        """Check until nothing new was said meanwhile; return what to say instead, if it was stopped."""
        try:
            while self._unchecked:
                response_id = next(iter(self._unchecked))
                del self._unchecked[response_id]
                verdict = await self._verdict(response_id)
                if verdict is not None:
                    self._stopped.append(response_id)
                    self._forget(response_id)
                    return verdict
            return None
        finally:
            self._checking = False

    async def _verdict(self, response_id: str) -> str | None:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                verdict = self._check(self._said[response_id])
                return await verdict if inspect.isawaitable(verdict) else verdict
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a check that fails must not end a call; it is told and goes on
            if self._failed != response_id:
                self._failed = response_id
                self._tell(_log, "check_speech", error)
            return None

    def _forget(self, response_id: str) -> None:
        self._said.pop(response_id, None)
        self._unchecked.pop(response_id, None)
