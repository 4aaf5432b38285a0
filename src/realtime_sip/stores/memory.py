"""A store in the memory of one process."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from realtime_sip.errors import ConfigurationError
from realtime_sip.stores.rules import (
    BUCKETS,
    MAX_LETTERS,
    REMEMBER,
    Beat,
    Claim,
    Claimed,
    Note,
    Outcome,
    Use,
    accepted,
    after,
    bucket,
    checked,
    decide,
    finished,
    is_orphan,
    offered,
    recalled,
    used,
    written,
)

_MAX_WORKERS = 1000
"""Workers to remember, until those that have died and serve nothing are forgotten."""


class Window:
    """The amounts of the last `per` seconds."""

    __slots__ = ("_buckets", "_per")

    def __init__(self, per: float) -> None:
        self._per = per
        self._buckets: dict[int, int] = {}

    def add(self, amount: int, *, now: float, most: int | None = None) -> int:
        """Add an amount, and return the sum. If that would be more than `most`, return it and add nothing.

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
        """Let a member in, or renew its lease. False if it is not in and `most` others are.

        Raises:
            ConfigurationError: The lease is not a positive number of seconds.
        """
        until = after(now, lease, "lease")
        inside = self._until.get(member, now) > now
        if not inside and most is not None and len(self._until) >= most and self.live(now=now) >= most:
            return False
        self._until[member] = until
        self._until.move_to_end(member)
        # A lease that is too short for the clock to tell has ended already.
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        return True

    def leave(self, member: str) -> None:
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


_Counter = TypeVar("_Counter", Window, Places)
_Kept = TypeVar("_Kept", Use, Note)


class _Counters(Generic[_Counter]):
    """Counters by key and time, those of a kind together: all keys that are alike up to their last colon.

    In each kind the one that was asked for least recently comes first. Whoever calls under many numbers makes many
    counters of callers, and pushes out no counter of another kind, such as what the day has cost.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kinds: dict[str, OrderedDict[tuple[str, float], _Counter]] = {}
        self._size = 0

    def get(self, key: str, per: float = 0.0) -> _Counter | None:
        """Return a counter that is there, or None."""
        kind = self._kinds.get(_kind(key), OrderedDict())
        if (key, per) not in kind:
            return None
        kind.move_to_end((key, per))
        return kind[key, per]

    def put(self, key: str, counter: _Counter, per: float = 0.0) -> None:
        """Keep a counter that is not there yet."""
        self._kinds.setdefault(_kind(key), OrderedDict())[key, per] = counter
        self._size += 1

    def forget(self, now: float) -> None:
        """Forget what counts nothing any more, and one of the largest kind as long as there are too many."""
        for name, kind in list(self._kinds.items()):
            while kind and not next(iter(kind.values())).counts(now=now):
                self._forget_first(name)
        while self._size > self._most:
            self._forget_first(max(self._kinds, key=lambda name: len(self._kinds[name])))

    def _forget_first(self, name: str) -> None:
        self._kinds[name].popitem(last=False)
        self._size -= 1
        if not self._kinds[name]:
            del self._kinds[name]


def _kind(key: str) -> str:
    return key.rpartition(":")[0]


def _monotonic() -> float:
    return time.monotonic()  # looked up with each call, since tests replace it


class MemoryStore:
    """Keeps claims, counters, nonces and notes in memory, for a program of one process, and for tests.

    It survives no crash: a call that is announced again after a restart looks new, and accepting it fails with
    `decision_already_made`. It does not span processes: two workers would each take a repeat for new, and count
    separately. Use it on one event loop.

    It starts no task, and remembers at most `max_calls` calls. Beyond that it forgets the call that was done first,
    then a call whose owner has died; a call that is being served is never forgotten. It remembers as many nonces and as
    many notes, and beyond that forgets the one that was used or written first; only your own programs bring these. It
    forgets counters that no longer count anything. Beyond `max_keys` it looks at the largest group of counters whose
    keys are alike up to the last colon, and forgets the one that was asked for least recently: a flood of callers
    pushes out only counters of callers.

    Attributes:
        shared: Whether several hosts of one process have it, which take over each other's calls: True is for tests.
    """

    def __init__(
        self, *, clock: Callable[[], float] = _monotonic, max_calls: int = 100_000, max_keys: int = 100_000
    ) -> None:
        """Create an empty store.

        Args:
            clock: Returns the time in seconds. It must not go backwards.
            max_calls: Calls to remember at most, those that are done among them.
            max_keys: Counters to keep at most, of amounts and of members each.

        Raises:
            ConfigurationError: `max_calls` or `max_keys` is not positive.
        """
        if max_calls < 1:
            raise ConfigurationError("max_calls must be positive")
        if max_keys < 1:
            raise ConfigurationError("max_keys must be positive")
        self.shared = False
        self._clock = clock
        self._max_calls = max_calls
        self._windows: _Counters[Window] = _Counters(max_keys)
        self._places: _Counters[Places] = _Counters(max_keys)
        self._open: dict[str, Claim] = {}
        self._workers: dict[str, float] = {}  # until when each lives
        self._free: dict[str, int] = {}  # how many calls each would take
        self._heard_by: dict[str, float] = {}  # calls that were adopted and not accepted since
        self._taken: dict[str, list[str]] = {}  # what others took from a worker, until its next heartbeat
        self._letters: dict[str, deque[tuple[str, str]]] = {}  # to its calls, likewise
        self._news = asyncio.Event()
        # Both in the order in which they came, which is nearly the order in which to forget them. To find the first, a
        # dict would walk over the gaps of all that was forgotten.
        self._done: OrderedDict[str, Claim] = OrderedDict()
        self._used: OrderedDict[str, Use] = OrderedDict()
        self._notes: OrderedDict[str, Note] = OrderedDict()

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        """Claim a call for `lease` seconds, if it is free.

        Raises:
            ConfigurationError: The lease is not positive, the ticket is longer than 16 KiB, or `max_calls` calls are
                being served.
        """
        now = self._clock()
        before = self._get(call_id)
        claimed = decide(before, call_id=call_id, owner=owner, now=now, lease=lease, ticket=ticket)
        if claimed.outcome is Outcome.REPEAT:
            return claimed
        self._done.pop(call_id, None)
        if claimed.outcome is Outcome.NEW:
            self._make_room(now)
        self._open[call_id] = claimed.claim
        if claimed.outcome is Outcome.ADOPTED and before is not None:
            self._adopted(before.owner, claimed.claim)
            self._heard_by[call_id] = claimed.claim.expires_at
            if claimed.claim.phase == "accepted":
                self._live(owner, claimed.claim.expires_at)
        return claimed

    def _adopted(self, before: str, claim: Claim) -> None:
        self._open[claim.call_id] = claim
        if before == claim.owner:
            return
        self._taken.setdefault(before, []).append(claim.call_id)
        for call_id, text in self._letters.get(before, ()):
            if call_id == claim.call_id:
                self._letters.setdefault(claim.owner, deque(maxlen=MAX_LETTERS)).append((call_id, text))

    async def accept(self, call_id: str, *, owner: str, lease: float, ticket: str | None = None) -> bool:
        """Record that the call is accepted: from now on its owner's lease counts. False if it is not the owner's.

        Raises:
            ConfigurationError: The lease is not positive, the ticket is longer than 16 KiB, or the call is not known
                and there is no room for it.
        """
        now, before = self._clock(), self._get(call_id)
        claim = accepted(before, call_id=call_id, owner=owner, now=now, lease=lease, ticket=ticket)
        if claim is None:
            return False
        self._done.pop(call_id, None)
        if before is None:
            self._make_room(now)
        self._open[call_id] = claim
        self._heard_by.pop(call_id, None)
        self._live(owner, claim.expires_at)
        return True

    async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
        """Make the owner live for `lease` seconds from now; return what happened to its calls meanwhile.

        Raises:
            ConfigurationError: The lease is not a positive number of seconds.
        """
        now = self._clock()
        self._workers[owner] = after(now, lease, "lease")
        self._free[owner] = free
        if len(self._workers) > _MAX_WORKERS:
            served = {claim.owner for claim in self._open.values()}
            for dead in [name for name, until in self._workers.items() if until <= now and name not in served]:
                for kept in (self._workers, self._free, self._taken, self._letters):
                    kept.pop(dead, None)
        others = [name for name, until in self._workers.items() if until > now and name != owner]
        return Beat(
            tuple(self._taken.pop(owner, [])),
            tuple(self._letters.pop(owner, ())),
            sum(self._free.get(name, 0) for name in others),
        )

    async def offer(self, call_id: str, *, owner: str, ticket: str) -> bool:
        """Let another worker adopt the call from now on, with this ticket. False if it is not the owner's.

        Raises:
            ConfigurationError: The ticket is longer than 16 KiB.
        """
        claim = offered(self._open.get(call_id), owner=owner, ticket=ticket)
        return self._put(claim)

    async def recall(self, call_id: str, *, owner: str) -> bool:
        """Take back an offer. False if somebody has adopted the call."""
        return self._put(recalled(self._open.get(call_id), owner=owner))

    def _put(self, claim: Claim | None) -> bool:
        if claim is None:
            return False
        self._open[claim.call_id] = claim
        self._heard_by.pop(claim.call_id, None)
        if claim.offered:
            self._tell()
        return True

    async def adopt(self, owner: str, *, lease: float, most: int) -> list[Claim]:
        """Adopt up to `most` calls that are offered, or whose owners have died.

        Raises:
            ConfigurationError: The lease is not a positive number of seconds.
        """
        now = self._clock()
        until = after(now, lease, "lease")
        found = [
            claim
            for call_id in self._open
            if (claim := self._get(call_id)) is not None
            and is_orphan(
                claim,
                owner=owner,
                now=now,
                owner_lives_until=self._workers.get(claim.owner),
                heard_by=self._heard_by.get(call_id),
            )
        ][:most]
        mine = [replace(claim, owner=owner, expires_at=until, offered=False) for claim in found]
        for before, claim in zip(found, mine, strict=True):
            self._adopted(before.owner, claim)
            self._heard_by[claim.call_id] = until
        return mine

    async def post(self, call_id: str, text: str) -> bool:
        """Leave a letter for whoever serves the call. False if nobody does.

        Raises:
            ConfigurationError: It is longer than 16 KiB.
        """
        claim = self._open.get(call_id)
        checked(text)
        if claim is None:
            return False
        self._letters.setdefault(claim.owner, deque(maxlen=MAX_LETTERS)).append((call_id, text))
        self._tell()
        return True

    async def news(self, seconds: float) -> None:
        """Return when something was offered or posted, or after so many seconds."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            pass

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Record that the call is done, and remember it for `remember` seconds. False if it is not the owner's."""
        claim = finished(self._get(call_id), owner=owner, now=self._clock(), remember=remember)
        if claim is None:
            return False
        self._open.pop(call_id, None)
        self._heard_by.pop(call_id, None)
        self._done.pop(call_id, None)
        self._done[call_id] = claim
        return True

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        """Use a nonce, and remember for `remember` seconds by whom. False if somebody else used it before.

        Raises:
            ConfigurationError: `remember` is not a positive number of seconds.
        """
        now = self._clock()
        use = used(self._used.get(nonce), by=by, now=now, remember=remember)
        if self._used.get(nonce) is not use:
            self._used.pop(nonce, None)
            self._used[nonce] = use
            self._forget(self._used, now)
        return use.by == by

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one.

        If the sum would be more than `most`, nothing is added, and the sum that it would be is returned.

        Raises:
            ConfigurationError: The amount is negative, or `per` is not a positive number of seconds.
        """
        now = self._clock()
        window = self._windows.get(key, per)
        counted = Window(per) if window is None else window
        total = counted.add(amount, now=now, most=most)
        if window is None:
            self._windows.put(key, counted, per)
        self._windows.forget(now)
        return total

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        window = self._windows.get(key, per)
        return 0 if window is None else window.total(now=self._clock())

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again. False if it is not in and `most` others are.

        Raises:
            ConfigurationError: The lease is not a positive number of seconds.
        """
        now = self._clock()
        places = self._places.get(key)
        taken = Places() if places is None else places
        entered = taken.enter(member, now=now, lease=lease, most=most)
        if places is None:
            self._places.put(key, taken)
        self._places.forget(now)
        return entered

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        places = self._places.get(key)
        if places is not None:
            places.leave(member)
            self._places.forget(self._clock())

    async def note(self, key: str, text: str, *, remember: float) -> None:
        """Remember a text for `remember` seconds, in place of the one before.

        Raises:
            ConfigurationError: It is longer than 16 KiB, or `remember` is not a positive number of seconds.
        """
        now = self._clock()
        note = written(text, now=now, remember=remember)
        self._notes.pop(key, None)
        self._notes[key] = note
        self._forget(self._notes, now)

    async def noted(self, key: str) -> str | None:
        """Return the text that was noted, or None."""
        note = self._notes.get(key)
        return None if note is None or note.expires_at <= self._clock() else note.text

    async def take(self, key: str) -> str | None:
        """Forget what was noted, and return it, or None."""
        note = self._notes.pop(key, None)
        return None if note is None or note.expires_at <= self._clock() else note.text

    def __len__(self) -> int:
        """Return how many calls are remembered."""
        return len(self._open) + len(self._done)

    def _forget(self, kept: OrderedDict[str, _Kept], now: float) -> None:
        while kept and (len(kept) > self._max_calls or next(iter(kept.values())).expires_at <= now):
            del kept[next(iter(kept))]

    def _get(self, call_id: str) -> Claim | None:
        claim = self._open.get(call_id)
        if claim is None:
            return self._done.get(call_id)
        return replace(claim, expires_at=self._until(claim))

    def _until(self, claim: Claim) -> float:
        """Return until when the call's owner is taken to live."""
        return claim.expires_at if claim.phase == "claimed" else self._workers.get(claim.owner, 0.0)

    def _live(self, owner: str, until: float) -> None:
        self._workers[owner] = max(until, self._workers.get(owner, until))

    def _make_room(self, now: float) -> None:
        while self._done and next(iter(self._done.values())).expires_at <= now:
            del self._done[next(iter(self._done))]
        if len(self) < self._max_calls:
            return
        if self._done:
            del self._done[next(iter(self._done))]
            return
        dead = next((claim.call_id for claim in self._open.values() if self._until(claim) <= now), None)
        if dead is None:
            raise ConfigurationError(f"{self._max_calls} calls are being served, and max_calls allows no more")
        del self._open[dead]
        self._heard_by.pop(dead, None)
