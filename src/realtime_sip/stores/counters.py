"""Counters that processes share: amounts within a time, and members with leases.

A `TallyStore` stands beside `DedupeStore`, mostly in one object, so that what a policy counts is counted for all
processes that share their claims. It has four operations, each atomic and small enough for a server of keys and values.

Amounts are whole numbers: calls, or millionths of a dollar. They are kept in buckets, each a sixtieth of the time that
is looked back on, and `bucket` says which, so that every store counts alike. A sum takes in every bucket that reaches
into that time. So it is never too small, and takes in at most one bucket too many: of the last hour, a minute.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Protocol, runtime_checkable

from realtime_sip.errors import ConfigurationError

__all__ = ["BUCKETS", "Places", "TallyStore", "Window", "bucket"]

BUCKETS = 60
"""Buckets to a time. One more of them reaches into it, so that 61 are kept."""


@runtime_checkable
class TallyStore(Protocol):
    """Keeps counters. Each operation is atomic. What is counted under a key is forgotten when it counts no more."""

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one.

        Where the sum would be more than `most`, nothing is added; what is returned is what the sum would be. One key
        with two times to look back on is two counters.
        """
        ...

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        ...

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again where it is in.

        False, and nothing is changed, where it is not in and `most` others are. Without `most` there is always room.
        """
        ...

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        ...


def bucket(now: float, *, per: float) -> int:
    """Return the number of the bucket that `now` is in. The sum of the last `per` seconds is of it and 60 before it.

    >>> bucket(7200.0, per=3600.0), bucket(7259.0, per=3600.0), bucket(7260.0, per=3600.0)
    (120, 120, 121)

    Raises:
        ConfigurationError: `per` is not a positive number of seconds.
    """
    if not 0 < per < math.inf:
        raise ConfigurationError("the time to count within must be a positive number of seconds")
    return math.floor(now / per * BUCKETS)


class Window:
    """The amounts of the last `per` seconds."""

    __slots__ = ("_buckets", "_per")

    def __init__(self, per: float) -> None:
        self._per = per
        self._buckets: dict[int, int] = {}

    def add(self, amount: int, *, now: float, most: int | None = None) -> int:
        """Add an amount, and return the sum. Where that would be more than `most`, return it and add nothing.

        Raises:
            ConfigurationError: It is negative, or `per` is not a positive number of seconds.
        """
        if amount < 0:
            raise ConfigurationError("an amount to count must be 0 or more")
        total = self.total(now=now) + amount
        if most is None or total <= most:
            current = bucket(now, per=self._per)
            self._buckets[current] = self._buckets.get(current, 0) + amount
        return total

    def total(self, *, now: float) -> int:
        """Return the sum. What is too old is forgotten."""
        oldest = bucket(now, per=self._per) - BUCKETS
        for number in [number for number in self._buckets if number < oldest]:
            del self._buckets[number]
        return sum(self._buckets.values())

    def counts(self, *, now: float) -> bool:
        """Return whether anything is left to count."""
        return any(number >= bucket(now, per=self._per) - BUCKETS for number in self._buckets)

    def __len__(self) -> int:
        """Return how many buckets are kept."""
        return len(self._buckets)


class Places:
    """Who is in, each until its lease ends."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        # In the order in which they came or renewed, which is nearly the order in which the leases end.
        self._until: OrderedDict[str, float] = OrderedDict()

    def enter(self, member: str, *, now: float, lease: float, most: int | None = None) -> bool:
        """Let a member in, or renew its lease. False where it is not in and `most` others are.

        Raises:
            ConfigurationError: The lease is not a positive number of seconds.
        """
        if not 0 < lease < math.inf:
            raise ConfigurationError("lease must be a positive number of seconds")
        inside = self._until.get(member, -math.inf) > now
        if not inside and most is not None and len(self._until) >= most and self.live(now=now) >= most:
            return False
        self._until[member] = now + lease
        self._until.move_to_end(member)
        # A lease that is too short for the clock to tell has ended already.
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        return True

    def leave(self, member: str) -> None:
        """Let a member out."""
        self._until.pop(member, None)

    def live(self, *, now: float) -> int:
        """Return how many are in. Those whose lease has ended are forgotten."""
        for member in [member for member, until in self._until.items() if until <= now]:
            del self._until[member]
        return len(self._until)

    def counts(self, *, now: float) -> bool:
        """Return whether anybody is in."""
        return any(until > now for until in self._until.values())

    def __len__(self) -> int:
        """Return how many are kept, some of them perhaps no longer in."""
        return len(self._until)
