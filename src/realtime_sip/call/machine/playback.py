"""What of each response the caller has heard, decided without I/O.

A response is made, much faster than it is spoken; then it plays; then the last syllable is still on its way. On SIP the
service tells of playback with `output_audio_buffer.started`, `stopped` and `cleared` (API reference, November 2026).
Each of them may be missing, so each wait ends by itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from realtime_sip.outcomes import Heard

__all__ = ["Playback", "PlaybackTimings"]

_REMEMBERED = 512
_SECONDS_A_TOKEN = 0.05
"""One audio token is 50 ms of the assistant's voice (costs guide, November 2026)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackTimings:
    """How long to wait for what may never come, in seconds."""

    start: float = 5.0
    """For audio to play, after its response is done."""
    end: float = 5.0
    """For the end of playback, beyond the time that the audio takes."""
    jitter: float = 0.25
    """For the last syllable to leave the buffers on the way to the caller's ear."""
    making: float = 60.0
    """For the end of a response that is being made, after the last sign of it."""


@dataclass(slots=True)
class _Response:
    key: str | None
    outside: bool  # of the conversation: others may be made beside it
    seen_at: float
    done_at: float | None = None
    started_at: float | None = None
    seconds: float = 0.0  # that its audio takes, as far as usage tells
    heard: Heard | None = None
    heard_at: float = 0.0


class Playback:
    """The responses of one call that are being made, or are still to be heard."""

    def __init__(self, timings: PlaybackTimings | None = None) -> None:
        self._timings = timings or PlaybackTimings()
        self._responses: dict[str, _Response] = {}
        self._over: deque[str] = deque(maxlen=_REMEMBERED)

    @property
    def going_on(self) -> bool:
        """Whether a response of the conversation is being made or heard."""
        return any(not response.outside for response in self._responses.values())

    @property
    def audible(self) -> bool:
        """Whether the caller is hearing a response now, as far as is known."""
        return any(r.started_at is not None and r.heard is None for r in self._responses.values())

    def is_over(self, response_id: str) -> bool:
        """Whether the response was heard, or given up."""
        return response_id in self._over

    def is_being_made(self, response_id: str) -> bool:
        """Whether the response is of the conversation and not done, as far as is known."""
        response = self._responses.get(response_id)
        return response is None or (response.done_at is None and not response.outside)

    def is_outside(self, response_id: str) -> bool:
        """Whether the response is not part of the conversation."""
        response = self._responses.get(response_id)
        return response is not None and response.outside

    def key(self, response_id: str) -> str | None:
        """Return the key that the response was asked for with."""
        response = self._responses.get(response_id)
        return None if response is None else response.key

    def created(self, response_id: str, *, key: str | None, outside: bool, now: float) -> None:
        """Note a response. One in the conversation is the only one there, so that any other has ended."""
        if not outside:
            for other_id, other in self._responses.items():
                if other_id != response_id and not other.outside and other.done_at is None:
                    other.done_at = now
        response = self._responses.setdefault(response_id, _Response(key, outside, now))
        response.key, response.outside, response.seen_at = response.key or key, outside, now

    def appeared(self, response_id: str, now: float) -> None:
        """Note a sign of a response, also where its `response.created` was lost or came before we attached."""
        self._responses.setdefault(response_id, _Response(None, outside=False, seen_at=now)).seen_at = now

    def done(self, response_id: str, shown: dict[str, Any], now: float, *, key: str | None = None) -> None:
        """Note that a response was made, as `response.done` has it; `key` is its key where that was not known."""
        outside = "conversation_id" in shown and shown["conversation_id"] is None
        response = self._responses.setdefault(response_id, _Response(None, outside, now))
        response.key, response.outside = response.key or key, response.outside or outside
        response.done_at = now
        response.seconds = _seconds(shown)
        status = shown.get("status")
        silent = response.outside or not _has_audio(shown) or status in ("cancelled", "failed")
        if silent and response.started_at is None:
            self._end(response, Heard.FAILED if status == "failed" else Heard.NOT_AT_ALL, now)

    def abandoned(self, response_id: str, now: float) -> None:
        """Note that a response shows no sign of life any more; "" stands for whichever is made in the conversation."""
        for other_id, response in self._responses.items():
            if response.done_at is None and (not response.outside if response_id == "" else other_id == response_id):
                response.done_at = now

    def started(self, response_id: str, now: float) -> None:
        """Note that a response begins to play."""
        if response_id and response_id not in self._over:
            # One that is unknown was made before we attached, as far as anybody can tell.
            response = self._responses.setdefault(response_id, _Response(None, outside=False, seen_at=now, done_at=now))
            response.started_at = response.started_at or now

    def stopped(self, response_id: str, now: float) -> None:
        """Note that a response was played to its end."""
        if response_id in self._responses:
            self._end(self._responses[response_id], Heard.ENTIRELY, now + self._timings.jitter)

    def cleared(self, response_id: str, now: float) -> None:
        """Note that the rest of a response is not played."""
        if response_id in self._responses:
            self._end(self._responses[response_id], Heard.IN_PART, now)

    def cut_off(self, now: float) -> None:
        """Note that we have stopped what was made and is still to be heard."""
        for response in self._responses.values():
            if response.done_at is not None and not response.outside:
                self._end(response, Heard.NOT_AT_ALL if response.started_at is None else Heard.IN_PART, now)

    @staticmethod
    def _end(response: _Response, heard: Heard, at: float) -> None:
        if response.heard is None:
            response.heard, response.heard_at = heard, at

    def deadlines(self) -> list[tuple[str, float]]:
        """Return when each response is over, as things are now."""
        return [(response_id, self._over_at(response)) for response_id, response in self._responses.items()]

    def _over_at(self, response: _Response) -> float:
        timings = self._timings
        if response.done_at is None:
            return response.seen_at + timings.making
        if response.heard is not None:
            return max(response.heard_at, response.done_at)
        if response.started_at is None:
            return response.done_at + timings.start + response.seconds
        return max(response.started_at + response.seconds, response.done_at) + timings.end

    def expire(self, now: float) -> list[tuple[str, Heard]]:
        """Forget the responses that are over; return the keys of those that have one, and how much was heard."""
        ended = []
        for response_id, when in self.deadlines():
            if when <= now:
                response = self._responses.pop(response_id)
                self._over.append(response_id)
                if response.key is not None:
                    ended.append((response.key, response.heard or Heard.ASSUMED))
        return ended


def _seconds(shown: dict[str, Any]) -> float:
    usage = shown.get("usage")
    details = usage.get("output_token_details") if isinstance(usage, dict) else None
    tokens = details.get("audio_tokens") if isinstance(details, dict) else None
    return tokens * _SECONDS_A_TOKEN if isinstance(tokens, int) and 0 < tokens < 100_000 else 0.0


def _has_audio(shown: dict[str, Any]) -> bool:
    output = shown.get("output")
    for item in output if isinstance(output, list) else []:
        content = item.get("content") if isinstance(item, dict) else None
        for part in content if isinstance(content, list) else []:
            if isinstance(part, dict) and part.get("type") in ("output_audio", "audio"):
                return True
    return False
