"""What is kept of one call: its transcript, its usage, and, on request, its event log."""

from __future__ import annotations

import logging

from realtime_sip import events
from realtime_sip.call.record.conversation import Conversation
from realtime_sip.call.record.frame import get
from realtime_sip.call.record.meter import Meter
from realtime_sip.call.record.responses import Book
from realtime_sip.call.record.transcript import Transcript
from realtime_sip.event_log import EventLog, Logged
from realtime_sip.outcomes import SidebandGap
from realtime_sip.rates import RateCard
from realtime_sip.session import RealtimeSession
from realtime_sip.usage import Usage

_log = logging.getLogger("realtime_sip.call")


class CallRecord:
    """The observers of one call. The core has taken in each event before, and keeps the book.

    Args:
        session: The session with which the call is accepted.
        rates: What tokens cost.
        log: Where events go, or None.
        book: The responses of the call.
        unix_ahead: Seconds by which the wall clock is ahead of the core's.
    """

    def __init__(
        self, session: RealtimeSession, *, rates: RateCard, log: EventLog | None, book: Book, unix_ahead: float
    ) -> None:
        written_by = transcription_model(session)
        transcribes = get(session, "audio", "input", "transcription") is not None
        self.log = log
        self.meter = Meter(book, rates, model=session.model, transcription_model=written_by)
        self._conversation = Conversation(book, transcribes=transcribes, unix_ahead=unix_ahead)
        self._warned = False
        self._begun = False

    @property
    def transcript(self) -> Transcript:
        """What was said so far. If the caller's words are not transcribed, that is logged once."""
        warning = self._conversation.warning
        if warning is not None and not self._warned:
            self._warned = True
            _log.warning("%s", warning)
        return self._conversation.transcript

    @property
    def usage(self) -> Usage:
        return self.meter.usage

    def begin(self, *, consented: bool, adopted: bool) -> None:
        """Begin the log, once.

        Args:
            consented: Whether the caller was asked.
            adopted: Whether another worker had the call before.
        """
        if self.log is not None and not self._begun:
            self._begun = True
            self.log.begin(consented=consented)
            self.note({"type": "call.adopted" if adopted else "call.started"})

    def receive(self, event: events.ServerEvent, now: float, *, secret: bool) -> None:
        """Take in what the service says; what is `secret` is withheld from the log."""
        self.meter.receive(event)
        self._conversation.receive(event, now)
        self.note(event, secret=secret)

    def gap(self, gap: SidebandGap) -> None:
        """Record that the sideband was lost for a time."""
        self.missed()
        self.note(gap)

    def missed(self) -> None:
        """Record that nobody listened for a time: transcript and usage are incomplete."""
        self.meter.mark_incomplete()
        self._conversation.gap()

    def note(self, event: Logged, *, secret: bool = False) -> None:
        """Log an event, if there is a log."""
        if self.log is not None:
            self.log.write(event, secret=secret)

    async def close(self) -> None:
        """Write what was logged to disk."""
        if self.log is not None:
            await self.log.close()


def transcription_model(session: RealtimeSession) -> str | None:
    """Return the session's transcription model, or None."""
    model = get(session, "audio", "input", "transcription", "model")
    return model if isinstance(model, str) else None
