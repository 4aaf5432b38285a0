"""Deadlines by name. The presence of a timer is the state: whatever waits has one, and without one nothing waits."""

from __future__ import annotations

from collections.abc import Iterator


class Timers:
    """When each named wait is over, by the clock of the call."""

    __slots__ = ("_at", "_next")

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._next: float | None = None

    @property
    def next(self) -> float | None:
        """When the next one is due, or None if there is no timer."""
        if self._next is None and self._at:
            self._next = min(self._at.values())
        return self._next

    def set(self, name: str, at: float) -> None:
        """Make it due at this time, in place of any other."""
        before = self._at.get(name)
        self._at[name] = at
        if self._next is not None and at <= self._next:
            self._next = at
        elif before is not None and before == self._next:
            self._next = None

    def stop(self, name: str) -> bool:
        """Stop it. Return whether it was set."""
        at = self._at.pop(name, None)
        if at is not None and at == self._next:
            self._next = None
        return at is not None

    def stop_all(self, prefix: str = "") -> None:
        """Stop every timer whose name begins so."""
        for name in [name for name in self._at if name.startswith(prefix)]:
            self.stop(name)

    def at(self, name: str) -> float | None:
        """Return when it is due, or None if it is not set."""
        return self._at.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def due(self, now: float) -> list[str]:
        """Return the names of those that are due, the earliest first."""
        if self.next is None or self.next > now:
            return []
        return [name for name, at in sorted(self._at.items(), key=lambda entry: entry[1]) if at <= now]

    def __repr__(self) -> str:
        return ", ".join(f"{name} {at:.2f}" for name, at in sorted(self._at.items(), key=lambda entry: entry[1]))
