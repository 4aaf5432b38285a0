"""What the caller hears of an emulated model: one sound after the other, at speaking pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from realtime_sip.testing.openai.wire import Wire

__all__ = ["Playback"]


@dataclass(slots=True, kw_only=True)
class _Sound:
    response_id: str
    in_conversation: bool
    made: Callable[[], bool]
    items: dict[str, float] = field(default_factory=dict[str, float])
    """How many seconds there are of each item, in their order."""
    began: float = 0.0
    task: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        return sum(self.items.values())


class Playback:
    """Plays the sound of responses, and tells `output_audio_buffer.started`, `stopped` and `cleared`.

    Sound plays in the order in which it was made. Of a response that is made while an earlier one plays,
    `response.done` comes long before its `started`, which comes when the earlier one has `stopped`. What waits when the
    line is cleared was never heard: no event is sent about it.

    Recorded is one response alone: `started` after its first three deltas, `stopped` after `response.done`. Reported
    and documented are one buffer and one voice. Not known: whether there is a gap between two responses; whether
    `cleared` or `conversation.item.truncated` also names responses that were waiting, and the later messages of the one
    that was cut off; and what becomes of the rest of a response that is still being made when the client clears the
    buffer without canceling it (here it is never heard).

    `truncated` is called with the id of an item, and the milliseconds of it that were heard, if the caller cut it
    off.
    """

    def __init__(self, wire: Wire, *, truncated: Callable[[str, int], None]) -> None:
        self._wire = wire
        self._truncated = truncated
        self._now: _Sound | None = None
        self._next: list[_Sound] = []
        self._known: set[str] = set()
        self.quiet_since: float | None = None
        """When the caller heard the model last; None while it is heard, and if that does not count any more."""

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model now."""
        return self._now is not None

    def add(self, response_id: str, item_id: str, *, in_conversation: bool, made: Callable[[], bool]) -> None:
        """Play an item behind what is playing; `made` tells whether its response has ended. See `grow`."""
        if response_id in self._known:  # One more item of a response that is being played already.
            for sound in (self._now, *self._next):
                if sound is not None and sound.response_id == response_id:
                    sound.items[item_id] = 0.0
            return
        self._known.add(response_id)
        sound = _Sound(response_id=response_id, in_conversation=in_conversation, made=made, items={item_id: 0.0})
        self._next.append(sound)
        self._go_on()

    def grow(self, item_id: str, seconds: float) -> None:
        """Record that there are so many seconds of an item now. Nothing changes if it is not to be heard."""
        for sound in (self._now, *self._next):
            if sound is not None and item_id in sound.items:
                sound.items[item_id] = seconds
                self._wire.changes.notify()

    def clear(self, *, interrupted: bool) -> None:
        """Be silent. Nothing is told if nothing plays; the service truncates by itself if it was interrupted."""
        self._next.clear()
        sound, self._now = self._now, None
        if sound is None:
            return
        if sound.task is not None:
            sound.task.cancel()
        self.quiet_since = self._wire.clock.now()
        self._wire.emit("output_audio_buffer.cleared", response_id=sound.response_id)
        if interrupted and self._wire.behavior.truncation_reported and sound.in_conversation:
            self._truncate(sound)
        self._wire.changes.notify()

    def _truncate(self, sound: _Sound) -> None:
        """Tell how much was heard of the item that was heard last."""
        heard = min(self._wire.clock.now() - sound.began, sound.seconds)
        for item_id, seconds in sound.items.items():
            if heard <= seconds:
                self._truncated(item_id, int(heard * 1000))
                return
            heard -= seconds

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
        clock, changes = self._wire.clock, self._wire.changes

        def left() -> float:
            return sound.began + sound.seconds - clock.now()

        # Generation is faster than speech, so the end of the sound follows response.done, as recorded.
        while left() > 0 or not sound.made():
            if left() > 0:
                await clock.sleep(left())
            else:
                await changes.until(lambda: left() > 0 or sound.made())
        self._now = None
        self.quiet_since = clock.now()
        self._wire.emit("output_audio_buffer.stopped", response_id=sound.response_id)
        self._go_on()
