"""How a host is, for a balancer that asks whether it should send calls here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """How the host of one process is.

    Attributes:
        live: How many calls are up, or being decided.
        max_calls: How many there may be.
        draining: Whether the host is draining, or has been drained, and takes no new calls.
    """

    live: int
    max_calls: int
    draining: bool

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken: the host is neither full nor draining."""
        return not self.draining and self.live < self.max_calls
