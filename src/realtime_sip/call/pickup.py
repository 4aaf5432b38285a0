"""Who answered a call that was placed: what the carrier says, and what the first words say; for whoever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from realtime_sip.call.record.call_record import CallRecord
from realtime_sip.outcomes import Answered, CallAnswered, CallEnded

TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_NO_VOICEMAIL = (Answered.IVR, Answered.SCREENING)


class Pickup:
    """Who answered.

    Args:
        record: Has the transcript.
        over: The end of the call.
        early: What the carrier said before the call was answered here.
    """

    def __init__(self, record: CallRecord, over: asyncio.Future[CallEnded], early: CallAnswered | None) -> None:
        self._record = record
        self._over = over
        self._reported = early
        self._emitted: CallAnswered | None = None
        self._changed = asyncio.Event()

    def look(self) -> None:
        """Let whoever waits look again: a transcript has come."""
        self._changed.set()

    def report(self, says: CallAnswered) -> CallAnswered | None:
        """Take in what the carrier says, and return it unless it was known."""
        self._reported = says
        self._changed.set()
        return self.news(says)

    def news(self, found: CallAnswered) -> CallAnswered | None:
        """Return it unless it was returned before."""
        before, self._emitted = self._emitted, found
        return None if found == before else found

    async def who(self, within: float) -> CallAnswered:
        """Return who answered as soon as that is known; `Answered.UNKNOWN` after so many seconds, and at the end."""
        await self._until(self._is_known, within)
        return self._found()

    async def greeting_over(self, within: float) -> bool:
        """Return whether the carrier has said so, as soon as it has, or after so many seconds."""
        await self._until(self._is_over, within)
        return self._is_over()

    def _is_known(self) -> bool:
        if self._found().who is not Answered.UNKNOWN:
            return True
        # The carrier has given up, and there is nothing that words could come of.
        return self._reported is not None and not self._said()

    def _is_over(self) -> bool:
        return self._reported is not None and self._reported.greeting_over

    def _found(self) -> CallAnswered:
        from realtime_sip.outbound import who_answered  # its patterns are compiled for who waits alone

        reported = self._reported
        if reported is not None and reported.who is Answered.HUMAN:
            return reported
        said = self._said()
        words = who_answered(said)
        # To the carrier, a menu and an assistant are machines like any other.
        if reported is not None and reported.who is Answered.VOICEMAIL and words not in _NO_VOICEMAIL:
            return reported
        return CallAnswered(words) if said or reported is None else reported

    def _said(self) -> list[str]:
        return [line.text for line in self._record.transcript if line.by == "caller"]

    async def _until(self, condition: Callable[[], bool], within: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not condition() and not self._over.done() and (left := until - loop.time()) > 0:
            self._changed.clear()
            changed = asyncio.ensure_future(self._changed.wait())
            either: set[asyncio.Future[object]] = {changed, self._over}  # type: ignore[arg-type]
            try:
                await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()
