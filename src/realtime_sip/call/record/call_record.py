"""What is kept of one call: its transcript, what it has used, and, on request, its event log."""

from __future__ import annotations

import logging

from realtime_sip import events
from realtime_sip.call.record.conversation import Conversation
from realtime_sip.call.record.meter import Meter
from realtime_sip.call.record.transcript import Transcript
from realtime_sip.event_log import EventLog, Logged
from realtime_sip.outcomes import Gap
from realtime_sip.rates import RateCard
from realtime_sip.session import RealtimeSession
from realtime_sip.usage import Usage

__all__ = ["CallRecord", "transcription_model"]

_log = logging.getLogger("realtime_sip.call")


class CallRecord:
    """What is kept of one call.

    Args:
        session: What the call is accepted with.
        rates: What tokens cost.
        log: Where events go, or None.
    """

    def __init__(self, session: RealtimeSession, *, rates: RateCard, log: EventLog | None) -> None:
        self.log = log
        self.meter = Meter(rates, model=session.model, transcription_model=transcription_model(session))
        self._conversation = Conversation(transcribes=_transcribes(session))
        self._warned = False

    @property
    def transcript(self) -> Transcript:
        """What was said so far. Where the caller's words are not written down, that is logged once."""
        warning = self._conversation.warning
        if warning is not None and not self._warned:
            self._warned = True
            _log.warning("%s", warning)
        return self._conversation.transcript

    @property
    def usage(self) -> Usage:
        """What was used so far."""
        return self.meter.usage

    def receive(self, event: events.ServerEvent, now: float, unix: float, *, secret: bool) -> None:
        """Take in what the service says; what is `secret` is withheld from the log."""
        self.meter.receive(event, now)
        self._conversation.receive(event, unix)
        self.note(event, secret=secret)

    def gap(self, gap: Gap) -> None:
        """Note that the sideband was lost for a time."""
        self.missed(gap.start)
        self.note(gap)

    def missed(self, unix: float) -> None:
        """Note that nobody listened at this time: transcript and usage are incomplete."""
        self.meter.mark_incomplete()
        self._conversation.gap(unix)

    def note(self, event: Logged, *, secret: bool = False) -> None:
        """Log an event, where there is a log."""
        if self.log is not None:
            self.log.write(event, secret=secret)

    async def close(self) -> None:
        """Bring what was logged to disk."""
        if self.log is not None:
            await self.log.close()


def transcription_model(session: RealtimeSession) -> str | None:
    """Return the model that the session has transcription with, or None."""
    heard = None if session.audio is None else session.audio.input
    return None if heard is None or heard.transcription is None else heard.transcription.model


def _transcribes(session: RealtimeSession) -> bool:
    heard = None if session.audio is None else session.audio.input
    return heard is not None and heard.transcription is not None
