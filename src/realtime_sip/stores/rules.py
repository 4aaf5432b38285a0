"""What every store promises, and the rules by which all stores decide: claims, counters, nonces, notes. No I/O.

A store reads what it has under a key, asks a function of this module what follows, and writes that, in one atomic step.

The key of a claim is the call's id, because two webhook endpoints announce one call with different webhook ids. A claim
has a phase:

    claimed    its owner decides about the call, for as long as the claim's lease. Then the owner has died, and the call
               was perhaps accepted.
    accepted   its owner serves the call. If the owner has died, the call goes on without an agent.
    done       decided, and nothing is left to do: rejected, or ended. Remembered, so that a late repeat is known.

An owner is a worker: one host in one process. It has one lease however many calls it serves, renewed by `heartbeat`,
and has died when that is over. If it lives after all, its next heartbeat says which calls others have taken.

A claim carries a ticket: what another worker needs to go on with the call. A call with a ticket is an orphan if its
owner has died, or offers it, and `adopt` gives it to another worker.

Whoever claims a call is given one of three answers:

    NEW        the call is yours: decide.
    ADOPTED    its owner has died, and the call is yours now. In the phase `accepted` do not accept it again: attach.
               In the phase `claimed` accept it, and if that says `decision_already_made`, attach.
    REPEAT     somebody decides about it, serves it or has done so: nothing to do.

Amounts are whole numbers: calls, or millionths of a dollar. They are kept in buckets, each a sixtieth of the period,
and `bucket` says which. A sum has every bucket that reaches into the period. So it is never too small, and has at most
one bucket too many: for the last hour, a minute.
"""

from __future__ import annotations

import enum
import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from realtime_sip.errors import ConfigurationError

REMEMBER = 72 * 3600.0
"""Seconds for which a webhook is delivered again if it was not answered 2xx (webhooks guide, November 2026)."""

CLAIM_LEASE = 15.0
"""Seconds after which a call that was claimed, and not accepted, may be claimed again: nobody rings for much longer."""
WORKER_LEASE = 4.0
"""Seconds after which a worker that shows no life has died, and its calls may be adopted."""
HEARTBEAT = 1.0
"""Seconds from one heartbeat of a worker to the next."""
PLACE_LEASE = 30.0
"""Seconds after which a call whose worker shows no life no longer keeps its places in counters."""

MAX_NOTE = 16 * 1024
"""Characters of a note and of a ticket at most."""
MAX_KEY = 500
"""Characters of a key at most; longer ones are hashed. PostgreSQL has 2,704 bytes for one in an index."""
MAX_LETTERS = 100
"""Letters that wait for a worker at most."""

BUCKETS = 60
"""Buckets of a period. One more reaches into it, so 61 are kept."""

Phase: TypeAlias = Literal["claimed", "accepted", "done"]
"""How far a call is, in this order."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who serves a call, how far it is, and until when that counts.

    Attributes:
        call_id: The call.
        owner: Who claims it: a text that no other claimant has, new at each start of a program.
        phase: How far it is.
        expires_at: By the store's clock, in seconds: the end of the claim's lease; once accepted, of its owner's; once
            done, of what is remembered.
        offered: Whether its owner wants another worker to take it.
        ticket: What another worker needs to go on with the call, or "" if no other can.
    """

    call_id: str
    owner: str
    phase: Phase
    expires_at: float
    offered: bool = False
    ticket: str = field(default="", repr=False)


class Outcome(enum.Enum):
    """The answer to a claimant."""

    NEW = "new"
    """Nobody had claimed the call; it is the claimant's now."""
    ADOPTED = "adopted"
    """Its owner let the lease end; it is the claimant's now, and perhaps accepted."""
    REPEAT = "repeat"
    """Somebody else serves or served it; the claimant must not."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim.

    Attributes:
        outcome: Whether the call is the claimant's.
        claim: The claim as it is now. The phase of an adopted call is the last one of its dead owner.
    """

    outcome: Outcome
    claim: Claim


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat.

    Attributes:
        taken: The calls that others took from this worker since its last heartbeat.
        letters: What others posted to its calls since then, as (call, text), in order.
        free: How many more calls the other living workers would take, all together.
    """

    taken: tuple[str, ...] = ()
    letters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    free: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """Who used a nonce, and until when that is remembered, by the store's clock in seconds."""

    by: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Note:
    """What was noted, and until when that is remembered, by the store's clock in seconds."""

    text: str = field(repr=False)
    expires_at: float


@runtime_checkable
class Store(Protocol):
    """Keeps claims, counters, nonces and notes, for one process or for all that share it. Each operation is atomic.

    The store's clock counts, not that of whoever asks. Claims, counters, nonces and notes have separate keys: a nonce
    that reads like a call id is not a claim. Whatever no longer counts is forgotten.

    `accept`, `offer`, `recall` and `finish` do nothing for anybody but the claim's owner. False means that the call is
    done, or that the claim is not, or no longer, the owner's: then the owner has to stop serving the call without
    ending it, because somebody else serves it.
    """

    shared: bool
    """Whether other workers may have calls in it: then calls have tickets, and orphans are looked for."""

    async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
        """Claim a call, if it is free, for the `lease` seconds in which it is decided.

        A new claim has this ticket; an adopted one keeps its own. Adopting an accepted call makes its new owner live
        for `lease` seconds at least.
        """
        ...

    async def accept(self, call_id: str, *, owner: str, lease: float, ticket: str | None = None) -> bool:
        """Record that the call is accepted, and that its owner lives for `lease` seconds at least.

        From now on the owner's lease counts. A ticket takes the place of the one before; None leaves that. A call that
        the store does not know, because it has lost what it had, is the owner's too. Repeating this is allowed.
        """
        ...

    async def heartbeat(self, owner: str, *, lease: float, free: int = 0) -> Beat:
        """Make the owner live for `lease` seconds from now; return, once, what happened to its calls meanwhile.

        `free` is how many more calls it would take.
        """
        ...

    async def offer(self, call_id: str, *, owner: str, ticket: str) -> bool:
        """Let another worker adopt the call from now on, with this ticket, and let those who wait for news know."""
        ...

    async def recall(self, call_id: str, *, owner: str) -> bool:
        """Take back an offer. False if somebody has adopted the call."""
        ...

    async def adopt(self, owner: str, *, lease: float, most: int) -> list[Claim]:
        """Adopt up to `most` calls that have a ticket: offered ones, and those whose owners have died.

        The owner of a call that is only claimed has died if the claim's lease is over, or its worker's. From now on
        such a claim counts for `lease` seconds. The new owner of an accepted call lives by its heartbeats: ask after
        one. If it does not accept the call within `lease` seconds, it may not have heard that it has it: then the next
        `adopt` of the same owner returns the call again.
        """
        ...

    async def post(self, call_id: str, text: str) -> bool:
        """Leave a letter for whoever serves the call, and let those who wait for news know. False if nobody does.

        Of more than a hundred letters to one worker, the oldest are lost.
        """
        ...

    async def news(self, seconds: float) -> None:
        """Return when another worker has offered or posted something, or after so many seconds. It may be too early."""
        ...

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Record that the call is done, and remember it for `remember` seconds. Repeating this is allowed."""
        ...

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        """Use a nonce, and remember for `remember` seconds by whom. False if somebody else used it before.

        Whoever used it may use it again; it is not remembered for longer.
        """
        ...

    async def add(self, key: str, amount: int, *, per: float, most: int | None = None) -> int:
        """Add an amount of 0 or more, and return the sum of the last `per` seconds, with this one.

        If the sum would be more than `most`, nothing is added, and the sum that it would be is returned. One key with
        two periods is two counters.
        """
        ...

    async def total(self, key: str, *, per: float) -> int:
        """Return the sum of the last `per` seconds."""
        ...

    async def enter(self, key: str, member: str, *, lease: float, most: int | None = None) -> bool:
        """Let a member in for `lease` seconds, or for as long again if it is in.

        Return False and change nothing if it is not in and `most` others are. Without `most` there is always room.
        """
        ...

    async def leave(self, key: str, member: str) -> None:
        """Let a member out. One that is not in may leave too."""
        ...

    async def note(self, key: str, text: str, *, remember: float) -> None:
        """Remember a text for `remember` seconds, in place of the one before."""
        ...

    async def noted(self, key: str) -> str | None:
        """Return the text that was noted, or None."""
        ...

    async def take(self, key: str) -> str | None:
        """Forget what was noted, and return it, or None: of all who take it, one gets it."""
        ...


def decide(existing: Claim | None, *, call_id: str, owner: str, now: float, lease: float, ticket: str = "") -> Claimed:
    """Return the answer to a claim. Unless it is a repeat, its `claim` takes the place of `existing`.

    An owner who asks is alive, so it never adopts its own call, whatever became of the lease.

    >>> first = decide(None, call_id="rtc_1", owner="a", now=0.0, lease=10.0)
    >>> first.outcome, first.claim.expires_at
    (<Outcome.NEW: 'new'>, 10.0)
    >>> decide(first.claim, call_id="rtc_1", owner="b", now=9.9, lease=10.0).outcome
    <Outcome.REPEAT: 'repeat'>
    >>> decide(first.claim, call_id="rtc_1", owner="b", now=10.0, lease=10.0).outcome
    <Outcome.ADOPTED: 'adopted'>

    Raises:
        ConfigurationError: The lease is not a positive number of seconds, or the ticket is longer than 16 KiB.
    """
    until = after(now, lease, "lease")
    if existing is None or (existing.phase == "done" and existing.expires_at <= now):
        return Claimed(Outcome.NEW, Claim(call_id, owner, "claimed", until, ticket=checked(ticket)))
    if existing.phase == "done" or existing.owner == owner or not (existing.offered or existing.expires_at <= now):
        return Claimed(Outcome.REPEAT, existing)
    return Claimed(Outcome.ADOPTED, replace(existing, owner=owner, expires_at=until, offered=False))


def accepted(
    existing: Claim | None, *, call_id: str, owner: str, now: float, lease: float, ticket: str | None = None
) -> Claim | None:
    """Return the claim as accepted, or None if it is not the owner's.

    Raises:
        ConfigurationError: The lease is not a positive number of seconds, or the ticket is longer than 16 KiB.
    """
    until = after(now, lease, "lease")
    if existing is None or (existing.phase == "done" and existing.expires_at <= now):
        return Claim(call_id, owner, "accepted", until, ticket=checked(ticket or ""))
    if existing.owner != owner or existing.phase == "done":
        return None
    ticket = existing.ticket if ticket is None else checked(ticket)
    return replace(existing, phase="accepted", expires_at=until, ticket=ticket)


def offered(existing: Claim | None, *, owner: str, ticket: str) -> Claim | None:
    """Return the claim as offered, or None if it is not the owner's.

    Raises:
        ConfigurationError: The ticket is longer than 16 KiB.
    """
    checked(ticket)
    if existing is None or existing.owner != owner or existing.phase == "done":
        return None
    return replace(existing, offered=True, ticket=ticket)


def recalled(existing: Claim | None, *, owner: str) -> Claim | None:
    """Return the claim as no longer offered, or None if it is not the owner's."""
    if existing is None or existing.owner != owner or existing.phase == "done":
        return None
    return replace(existing, offered=False)


def is_orphan(
    claim: Claim, *, owner: str, now: float, owner_lives_until: float | None, heard_by: float | None = None
) -> bool:
    """Return whether `owner` may adopt a call: it has a ticket, and its owner offers it or has died; or it is the
    owner's, who has adopted it and did not accept it until `heard_by`.

    `owner_lives_until` is the end of the lease of the claim's worker, None if it has never had one.
    """
    if not claim.ticket or claim.phase == "done":
        return False
    if claim.owner == owner:
        return heard_by is not None and heard_by <= now
    died = owner_lives_until is not None and owner_lives_until <= now
    return claim.offered or died or claim.expires_at <= now


def finished(existing: Claim | None, *, owner: str, now: float, remember: float) -> Claim | None:
    """Return the claim as done, or None if it is not the owner's. Whoever finished it may do so again.

    Raises:
        ConfigurationError: `remember` is not a positive number of seconds.
    """
    until = after(now, remember, "remember")
    if existing is None or existing.owner != owner:
        return None
    return Claim(existing.call_id, owner, "done", until)


def used(existing: Use | None, *, by: str, now: float, remember: float) -> Use:
    """Return who used a nonce, now that `by` asks for it. If that is `by`, the nonce is theirs.

    >>> first = used(None, by="rtc_1", now=0.0, remember=10.0)
    >>> used(first, by="rtc_2", now=9.9, remember=10.0).by, used(first, by="rtc_2", now=10.0, remember=10.0).by
    ('rtc_1', 'rtc_2')

    Raises:
        ConfigurationError: `remember` is not a positive number of seconds.
    """
    until = after(now, remember, "remember")
    return existing if existing is not None and existing.expires_at > now else Use(by, until)


def written(text: str, *, now: float, remember: float) -> Note:
    """Return the note, which takes the place of the one before.

    Raises:
        ConfigurationError: It is longer than 16 KiB, or `remember` is not a positive number of seconds.
    """
    return Note(checked(text), after(now, remember, "remember"))


def checked(text: str) -> str:
    """Return a text that is to be kept.

    Raises:
        ConfigurationError: It is longer than 16 KiB.
    """
    if len(text) > MAX_NOTE:
        raise ConfigurationError(f"a note, a ticket and a letter must have at most {MAX_NOTE} characters")
    return text


def plain(key: str) -> str:
    """Return a key as any server can hold it: itself, or a hash if it is long, or not all of it can be printed.

    >>> plain("caller 1"), plain("a" * 501) == plain("a" * 501), len(plain("\\x00"))
    ('caller 1', True, 71)
    """
    if len(key) <= MAX_KEY and key.isprintable():
        return key
    return f"sha256:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def bucket(now: float, *, per: float) -> int:
    """Return the number of the bucket that `now` is in. The sum of the last `per` seconds is of it and 60 before it.

    >>> bucket(7200.0, per=3600.0), bucket(7259.0, per=3600.0), bucket(7260.0, per=3600.0)
    (120, 120, 121)

    Raises:
        ConfigurationError: `per` is not a positive number of seconds.
    """
    if not 0 < per < math.inf:
        raise ConfigurationError("the period to count in must be a positive number of seconds")
    return math.floor(now / per * BUCKETS)


def after(now: float, seconds: float, name: str) -> float:
    """Return the moment `seconds` from `now`.

    Raises:
        ConfigurationError: That is not a positive number of seconds.
    """
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{name} must be a positive number of seconds")
    return now + seconds
