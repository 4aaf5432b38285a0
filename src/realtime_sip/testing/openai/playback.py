"""What the caller hears of an emulated model: one sound after the other, at speaking pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from realtime_sip.testing.openai.wire import Wire

__all__ = ["Playback"]


@dataclass(slots=True, kw_only=True)
class _Sound:
    response_id: str
    item_id: str
    seconds: float
    in_conversation: bool
    made: Callable[[], bool]
    began: float = 0.0
    task: asyncio.Task[None] | None = None


class Playback:
    """Plays the sound of responses, and tells `output_audio_buffer.started`, `stopped` and `cleared`.

    `truncated` is called with the id of an item, and the milliseconds of it that were heard, where the caller cut it
    off.
    """

    def __init__(self, wire: Wire, *, truncated: Callable[[str, int], None]) -> None:
        self._wire = wire
        self._truncated = truncated
        self._now: _Sound | None = None
        self._next: list[_Sound] = []
        self._known: set[str] = set()
        self.quiet_since: float | None = None
        """When the caller heard the model last; None while it is heard, and where that does not count any more."""

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model now."""
        return self._now is not None

    def add(
        self, response_id: str, item_id: str, seconds: float, *, in_conversation: bool, made: Callable[[], bool]
    ) -> None:
        """Play `seconds` of sound behind what is playing; `made` tells whether the response has ended."""
        if response_id in self._known:  # One more item of a response that is being played already.
            for sound in (self._now, *self._next):
                if sound is not None and sound.response_id == response_id:
                    sound.seconds += seconds
            return
        self._known.add(response_id)
        self._next.append(
            _Sound(
                response_id=response_id, item_id=item_id, seconds=seconds, in_conversation=in_conversation, made=made
            )
        )
        self._go_on()

    def clear(self, *, interrupted: bool) -> None:
        """Be silent. Nothing is told where nothing plays; the service truncates by itself where it was interrupted."""
        self._next.clear()
        sound, self._now = self._now, None
        if sound is None:
            return
        if sound.task is not None:
            sound.task.cancel()
        self.quiet_since = self._wire.clock.now()
        self._wire.emit("output_audio_buffer.cleared", response_id=sound.response_id)
        if interrupted and self._wire.behavior.truncation_reported and sound.in_conversation:
            heard = min(self._wire.clock.now() - sound.began, sound.seconds)
            self._truncated(sound.item_id, int(heard * 1000))
        self._wire.changes.notify()

    def _go_on(self) -> None:
        if self._now is not None or not self._next:
            self._wire.changes.notify()
            return
        self._now = sound = self._next.pop(0)
        self.quiet_since = None
        sound.began = self._wire.clock.now()
        self._wire.emit("output_audio_buffer.started", response_id=sound.response_id)
        if self._now is sound:  # a fault at this moment can have ended the line
            sound.task = self._wire.spawn(self._play(sound))

    async def _play(self, sound: _Sound) -> None:
        clock = self._wire.clock
        while (left := sound.began + sound.seconds - clock.now()) > 0:
            await clock.sleep(left)
        # Generation is faster than speech, so the end of the sound follows response.done, as recorded.
        await self._wire.changes.until(sound.made)
        self._now = None
        self.quiet_since = clock.now()
        self._wire.emit("output_audio_buffer.stopped", response_id=sound.response_id)
        self._go_on()
