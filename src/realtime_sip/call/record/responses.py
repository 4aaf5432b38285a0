"""The book of responses: what was made, what of it plays, and what of it was heard. Decided without I/O.

A response is made much faster than it is spoken; then it plays; then the last syllable is still on its way. On SIP the
service tells of playback with `output_audio_buffer.started`, `stopped` and `cleared` (API reference, November 2026).
Each of them may be missing, so each wait ends by itself.

Speech plays in the order in which it was made. Speech that waits behind other speech has not begun, and takes as long
as its audio: 50 ms a token (costs guide, November 2026), whatever its text says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from realtime_sip.call.record.frame import get, has, items, text
from realtime_sip.outcomes import Heard

SECONDS_A_TOKEN = 0.05
"""One audio token is 50 ms of the model's voice (costs guide, November 2026)."""
CHARACTERS_A_SECOND = 6.0
"""Characters a second of speech, if usage does not say how long it is: recorded sessions have 3.9 to 8.8."""
SLOWEST = 3.5
"""Characters a second, for a wait that must not be too short."""
MAX_TOKENS = 100_000

START = 5.0
"""Seconds for audio to play, after its response was made and the line is free."""
END = 5.0
"""Seconds for the end of playback, beyond the time that the audio takes."""
JITTER = 0.25
"""Seconds for the last syllable to leave the buffers on the way to the caller's ear."""
MAKING = 60.0
"""Seconds for the end of a response that is being made, after the last sign of it."""
_CONTINUED = 1.0
"""Seconds by which playback may fall short of its audio and have played all of it."""

_MAX_OPEN = 32
_MAX_KEPT = 2_000
_MAX_ID = 200
"""Characters. A response with a longer id is forgotten when it is over."""


@dataclass(slots=True)
class Response:
    """One response, as far as it is known. Times are by the clock that the book is given."""

    id: str
    seen_at: float
    key: str | None = None
    """The key under which we asked for it, if we did."""
    outside: bool | None = None
    """Whether it is outside of the conversation; None if that is not known."""
    made_at: float | None = None
    """When its end was reported, or was assumed."""
    told_at: float | None = None
    """When `response.done` came."""
    status: str = ""
    code: str = ""
    """Why it is not complete: an error's code, or the reason."""
    speaks: bool | None = None
    """Whether audio was asked for, as `response.done` shows; None if it does not say."""
    seconds: float = 0.0
    """Seconds that its audio takes, by its tokens; 0 if that is not known."""
    audible: int = 0
    """How many of its messages have audio."""
    spoken: int = 0
    """Characters of what is spoken, as they came."""
    written: int = 0
    """Characters of text and of arguments, as they came."""
    spoke_at: float | None = None
    began_at: float | None = None
    """When its audio began to play, the first time."""
    started_at: float | None = None
    """When what plays now began; None if nothing does."""
    played: float = 0.0
    """Seconds that have played and stopped."""
    stopped_at: float | None = None
    cleared_at: float | None = None
    behind_cleared: bool = False
    """Whether the speech before it was cut off, which usually cuts this one off too."""
    heard: Heard | None = None
    heard_at: float = 0.0
    over: bool = False
    lost: bool = False
    """Whether it was playing when the sideband was lost."""
    used: bool = False
    """Whether what it used was counted."""
    messages: list[str] = field(default_factory=list)
    """The ids of its messages, in order, as far as the transcript has them."""

    @property
    def being_made(self) -> bool:
        return self.made_at is None

    @property
    def length(self) -> float:
        """Seconds that its audio takes, or can take if that is not known."""
        return self.seconds or self.spoken / SLOWEST

    @property
    def has_spoken(self) -> bool:
        """Whether any of it can be heard."""
        return self.spoken > 0 or self.audible > 0 or self.began_at is not None

    @property
    def canceled(self) -> bool:
        return self.status == "cancelled"

    @property
    def cut_off(self) -> bool:
        return self.canceled or self.cleared_at is not None

    @property
    def ended_at(self) -> float | None:
        """When it was reported to have stopped playing."""
        return self.stopped_at if self.cleared_at is None else self.cleared_at

    @property
    def seconds_heard(self) -> float | None:
        """How many seconds of it were played, if it was cut off; None for all of it."""
        if self.cleared_at is None and (self.stopped_at is not None or not self.canceled):
            return None
        began, ended = self.began_at, self.told_at
        if self.cleared_at is not None:
            ended = self.cleared_at
            # It was cleared, so it played: if the start was not reported, from about its first words on.
            began = self.spoke_at if began is None else began
        return 0.0 if began is None or ended is None else max(0.0, ended - began)

    def spoke(self, characters: int, now: float, *, aloud: bool) -> None:
        """Note the next piece of what it says, or writes."""
        if aloud:
            self.spoken += characters
            if self.spoke_at is None:
                self.spoke_at = now
        else:
            self.written += characters

    def end(self, heard: Heard, at: float) -> None:
        """Record how much of it was heard, once."""
        if self.heard is None:
            self.heard, self.heard_at = heard, at


class Book:
    """The responses of one call. The latest 2,000 are kept; at most 32 are open: being made, or still to be heard.

    The core enters what happens; the meter, what it has counted; the transcript, which messages there are.
    """

    def __init__(self) -> None:
        self.responses: dict[str, Response] = {}
        self.open: dict[str, Response] = {}
        self.uncounted: dict[str, Response] = {}
        """The responses whose usage is not known yet; the latest 32."""
        self.uncounted_forgotten = False
        """Whether one was dropped from them."""
        self.signs = 0
        """Grows with each beginning and end that the service reports."""
        self.playing = ""
        """The response that last began to play."""
        self._freed_at = float("-inf")

    # --- what is known ------------------------------------------------------------------------------------------------

    def get(self, response_id: str) -> Response | None:
        return self.responses.get(response_id)

    def is_over(self, response_id: str) -> bool:
        """Whether the response was heard, or given up."""
        response = self.responses.get(response_id)
        return response is not None and response.over

    def is_outside(self, response_id: str) -> bool:
        """Whether the response is known to be outside of the conversation."""
        response = self.responses.get(response_id)
        return response is not None and response.outside is True

    @property
    def speaking(self) -> bool:
        """Whether a response of the conversation is being made or heard."""
        return any(not response.outside for response in self.open.values())

    @property
    def audible(self) -> bool:
        """Whether the caller hears a response now, as far as is known."""
        return any(r.started_at is not None and r.heard is None for r in self.open.values())

    def ends(self) -> Iterator[tuple[Response, float, float]]:
        """For each open response, in order: when its speech ends, as far as is known, and when it is over anyway."""
        free = self._freed_at
        for response in self.open.values():
            made_at = response.made_at
            if made_at is None:
                begun = response.started_at
                free = max(free, response.seen_at if begun is None else begun + response.spoken / SLOWEST)
                yield response, free, response.seen_at + MAKING
                continue
            if response.outside:
                yield response, made_at, max(response.heard_at, made_at) if response.heard else made_at + START
                continue
            left = max(response.length - response.played, 0.0)
            if response.heard is not None:
                end = over = max(response.heard_at, made_at)
            elif response.started_at is not None:
                end = max(response.started_at + left, made_at)
                over = end + END
            elif response.behind_cleared:
                end, over = free, max(made_at, free) + START
            else:
                end = max(made_at, free) + left
                over = end + START
            free = max(free, end)
            yield response, end, over

    def speech_ends(self, now: float) -> float:
        """Return when all known speech will be over: at least `now`."""
        return max((end for response, end, _ in self.ends() if not response.outside), default=now)

    # --- what happens -------------------------------------------------------------------------------------------------

    def seen(self, response_id: str, now: float) -> Response:
        """Return a response, a new one if it is not known, and record a sign of it."""
        response = self.responses.get(response_id)
        if response is None:
            response = self.responses[response_id] = self.open[response_id] = Response(response_id, now)
            self.uncounted[response_id] = response
            if len(self.uncounted) > _MAX_OPEN:
                del self.uncounted[next(iter(self.uncounted))]
                self.uncounted_forgotten = True
            while len(self.responses) > _MAX_KEPT:
                del self.responses[next(iter(self.responses))]
            if len(self.open) > _MAX_OPEN:
                oldest = next(iter(self.open.values()))
                oldest.made_at = now if oldest.made_at is None else oldest.made_at
                oldest.end(Heard.ASSUMED, now)
        response.seen_at = now
        return response

    def created(self, shown: object, key: str | None, now: float) -> Response:
        """Record `response.created`. One in the conversation is the only one being made there: any other has ended."""
        self.signs += 1
        response_id = text(shown, "id")
        known = self.responses.get(response_id)
        response = self.seen(response_id, now)
        response.key = response.key or key
        if known is None or response.outside is None:
            response.outside = is_outside(shown)
        if not response.outside:
            for other in self.open.values():
                if other is not response and not other.outside and other.made_at is None:
                    other.made_at = now
        return response

    def done(self, shown: object, now: float, *, key: str | None = None) -> Response:
        """Record `response.done`. `key` is the key under which it was asked for, if that was not known."""
        self.signs += 1
        response = self.seen(text(shown, "id") or self._being_made(), now)
        response.key = response.key or key
        self.told(response, shown, now)
        if response.over:
            return response
        response.made_at = now if response.made_at is None else response.made_at
        silent = response.outside or not response.has_spoken or response.status in ("cancelled", "failed")
        if silent and response.began_at is None:
            response.end(Heard.FAILED if response.status == "failed" else Heard.NOT_AT_ALL, now)
        elif response.heard is Heard.ENTIRELY and self._is_continued(response):
            response.heard = None
        elif response.heard is Heard.ENTIRELY and response.status == "incomplete":
            response.heard = Heard.IN_PART
        return response

    def told(self, response: Response, shown: object, now: float) -> None:
        """Record what `response.done` says about a response, even if nobody waits for it any longer."""
        response.outside = bool(response.outside) or bool(is_outside(shown))
        if response.told_at is None:
            response.told_at = now
            response.status = text(shown, "status")
            response.code = text(shown, "status_details", "error", "code") or text(shown, "status_details", "reason")
            response.seconds = audio_seconds(shown)
            response.audible = sum(map(_is_audible, items(shown, "output")))
            if has(shown, "output_modalities"):
                response.speaks = "audio" in items(shown, "output_modalities")

    def _being_made(self) -> str:
        return next((r.id for r in self.open.values() if r.being_made and not r.outside), "")

    def count(self, response: Response) -> bool:
        """Record that what a response used is counted; return whether it was not before."""
        self.uncounted.pop(response.id, None)
        new, response.used = not response.used, True
        return new

    def abandoned(self, response: Response, now: float) -> None:
        """Record that a response no longer shows a sign of life."""
        response.made_at = now if response.made_at is None else response.made_at

    def started(self, response_id: str, now: float) -> None:
        """Record that a response begins to play: so whatever was before it has ended."""
        self.signs += 1
        if not response_id:
            return
        unknown = response_id not in self.responses
        response = self.seen(response_id, now)
        if unknown:
            response.made_at = now  # made before we attached, as far as anybody knows
        if response.began_at is None:
            response.began_at = now
            self.playing = response_id
        if response.over:
            return
        for before in self.open.values():
            if before is response:
                break
            if before.started_at is not None and before.made_at is not None:
                before.end(Heard.ASSUMED, now)
                before.started_at = None
        if response.heard is Heard.ENTIRELY:
            response.heard = None  # another of its messages
        if response.started_at is None:
            response.started_at = now
            if response.made_at is None or self._is_continued(response):
                response.stopped_at = None
        response.behind_cleared = False

    def stopped(self, response_id: str, now: float) -> None:
        """Record that a response was played to its end, or one of its messages was."""
        response = self.responses.get(response_id)
        if response is None:
            return
        if response.told_at is not None:
            self.signs += 1  # else nobody knows whether it has called a function too
        if response.over:
            # Too late for whoever waited, and not for the transcript.
            response.stopped_at = now if response.ended_at is None else response.stopped_at
            return
        if response.started_at is not None:
            response.played += now - response.started_at
            response.started_at = None
        response.stopped_at = now
        if not self._is_continued(response):
            response.end(Heard.IN_PART if response.status == "incomplete" else Heard.ENTIRELY, now + JITTER)
        self._free(now)

    def _is_continued(self, response: Response) -> bool:
        """Whether more of it is to play: it has several messages, and not all of its audio was played."""
        several = response.audible > 1 and response.seconds > 0
        return several and response.played + _CONTINUED < response.seconds

    def cleared(self, response_id: str, now: float) -> None:
        """Record that the rest of a response is not played. Speech that waits behind it is usually cut off too."""
        self.signs += 1
        response = self.responses.get(response_id)
        if response is None:
            return
        if response.over:
            response.cleared_at = now if response.ended_at is None else response.cleared_at
            return
        response.cleared_at = now if response.cleared_at is None else response.cleared_at
        response.end(Heard.IN_PART, now)
        self._free(now)
        for other in self.open.values():
            if other is not response and other.made_at is not None and other.began_at is None:
                other.behind_cleared = True

    def cut_off(self, now: float) -> None:
        """Record that we stopped the speech that is still to be heard."""
        for response in self.open.values():
            if response.made_at is not None and not response.outside:
                response.end(Heard.NOT_AT_ALL if response.began_at is None else Heard.IN_PART, now)
        self._free(now)

    def gap(self, now: float) -> None:
        """Record that the sideband was lost."""
        playing = self.responses.get(self.playing)
        if playing is not None and playing.stopped_at is None and playing.cleared_at is None:
            over = playing.seconds > 0 and playing.began_at is not None and playing.began_at + playing.seconds < now
            playing.lost = playing.lost or not over

    def expire(self, now: float) -> list[Response]:
        """Close the responses that are over, and return them."""
        ended = [(response, end) for response, end, over in self.ends() if over <= now]
        for response, end in ended:
            del self.open[response.id]
            response.over = True
            if len(response.id) > _MAX_ID:
                self.responses.pop(response.id, None)
            if response.heard is None:
                response.heard, response.heard_at = Heard.ASSUMED, now
            if not response.outside and response.has_spoken:
                self._freed_at = max(self._freed_at, min(end, now))
        return [response for response, _ in ended]

    def _free(self, now: float) -> None:
        self._freed_at = max(self._freed_at, now)


def is_outside(shown: object) -> bool | None:
    """Return whether a response is outside of the conversation, or None if that is not known."""
    return get(shown, "conversation_id") is None if has(shown, "conversation_id") else None


def audio_seconds(shown: object) -> float:
    """Return how long a response's audio is, by its tokens; 0 if they are not known."""
    tokens = get(shown, "usage", "output_token_details", "audio_tokens")
    return tokens * SECONDS_A_TOKEN if isinstance(tokens, int) and 0 < tokens < MAX_TOKENS else 0.0


def _is_audible(item: object) -> bool:
    return any(text(part, "type") in ("output_audio", "audio") for part in items(item, "content"))
