"""A call in which nobody hears anybody: noise in which no words are, or a model that talks and never gets an answer.

Either is counted by the turn, and begins anew with any words, with a key, and after the sideband was lost. At the limit
the program is told, and has a few seconds to do something better than to end the call.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_sip import events
from realtime_sip.call.machine.limits import lift, set_limit
from realtime_sip.call.machine.state import CallState
from realtime_sip.call.record.frame import text
from realtime_sip.outcomes import LimitKind

WORDS = 10.0
"""Seconds for words, or for any sign of the caller, after the turn that reaches the limit."""


def heard(s: CallState) -> None:
    """Count anew: somebody is heard, or nobody can know."""
    s.wordless = s.unanswered = 0
    lift(s, LimitKind.NO_AUDIO)


def on_caller_begins(s: CallState, _event: events.ServerEvent) -> None:
    s.had_input, s.unanswered = True, 0
    s.wordless = s.wordless + 1 if s.session.transcribes else 0
    most = s.limits.no_audio
    if most is None or s.wordless <= 2 * most:
        lift(s, LimitKind.NO_AUDIO)  # these may be words; noise that goes on and on does not count


def on_caller_ends(s: CallState, _event: events.ServerEvent) -> None:
    _look(s, s.wordless)


def on_words(s: CallState, event: events.ServerEvent) -> None:
    if text(event, "transcript").strip():
        heard(s)


def on_more_words(s: CallState, event: events.ServerEvent) -> bool:
    """Count anew at the first piece of what the caller says; the others change nothing."""
    counting = s.wordless or s.unanswered or f"limit {LimitKind.NO_AUDIO.value}" in s.timers
    if not counting or not text(event, "delta").strip():
        return False
    heard(s)
    return True


def on_key(s: CallState, _event: events.ServerEvent) -> None:
    s.had_input = True
    heard(s)


def on_no_transcript(s: CallState, _event: events.ServerEvent) -> None:
    heard(s)  # nobody knows that there were no words


def on_played(s: CallState, event: events.ServerEvent) -> None:
    if s.had_input:
        return
    s.unanswered += 1
    response = s.book.get(text(event, "response_id"))
    if response is None or response.key is None:
        _look(s, s.unanswered)  # else it was asked for here, such as a story that wants no answer


def _look(s: CallState, turns: int) -> None:
    most = s.limits.no_audio
    if most is not None and turns >= most and f"limit {LimitKind.NO_AUDIO.value}" not in s.timers:
        set_limit(s, LimitKind.NO_AUDIO, s.now + WORDS)


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "input_audio_buffer.speech_started": on_caller_begins,
    "input_audio_buffer.speech_stopped": on_caller_ends,
    "input_audio_buffer.dtmf_event_received": on_key,
    "conversation.item.input_audio_transcription.delta": on_more_words,
    "conversation.item.input_audio_transcription.completed": on_words,
    "conversation.item.input_audio_transcription.failed": on_no_transcript,
    "output_audio_buffer.stopped": on_played,
}
