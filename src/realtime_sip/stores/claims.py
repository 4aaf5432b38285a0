"""Who serves a call: claims with a lease, so that a call that is announced twice is answered once.

The key is the call's id, because two webhook endpoints announce one call with different webhook ids. A claim has a
phase, and until it is done a lease, which its owner renews for as long as it serves the call:

    claimed    its owner decides about the call. Where the owner has died, the call was perhaps accepted.
    accepted   its owner serves the call. Where the owner has died, the call goes on without an agent.
    done       decided, and nothing is left to do: rejected, or ended. Remembered, so that a late repeat is known.

Whoever claims a call is told one of three things:

    NEW        the call is yours: decide.
    ADOPTED    its owner has died, and the call is yours now. In the phase `accepted` do not accept it again: attach.
               In the phase `claimed` accept it, and where that says `decision_already_made`, attach.
    REPEAT     somebody decides about it, serves it or has done so: nothing to do.

What is true of a claim at a given time is decided here, by functions without I/O, so that every store decides alike:
`decide`, `renewed`, `advanced`, `finished` and `held`. A store only has to read the claim of a call and to write its
successor in one atomic step.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from realtime_sip.errors import ConfigurationError

__all__ = [
    "REMEMBER",
    "Claim",
    "Claimed",
    "DedupeStore",
    "Outcome",
    "Phase",
    "advanced",
    "decide",
    "finished",
    "held",
    "renewed",
]

REMEMBER = 72 * 3600.0
"""Seconds for which a webhook is delivered again where it was not answered 2xx (webhooks guide, November 2026)."""

Phase: TypeAlias = Literal["claimed", "accepted", "done"]
"""How far a call is, in this order."""

_ORDER: tuple[Phase, ...] = ("claimed", "accepted", "done")


@dataclass(frozen=True, slots=True)
class Claim:
    """Who serves a call, how far it is, and until when that counts.

    Attributes:
        call_id: The call.
        owner: Who claims it: a text that no other claimant has, made anew at each start of a program.
        phase: How far it is.
        expires_at: By the store's clock, in seconds: the end of the lease, or, once done, of what is remembered.
    """

    call_id: str
    owner: str
    phase: Phase
    expires_at: float


class Outcome(enum.Enum):
    """What a claimant is told."""

    NEW = "new"
    """Nobody has claimed the call: it is the claimant's now."""
    ADOPTED = "adopted"
    """Its owner let the lease end: it is the claimant's now, and perhaps accepted."""
    REPEAT = "repeat"
    """It is not the claimant's to serve."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim.

    Attributes:
        outcome: Whether the call is the claimant's.
        claim: As it stands now. The phase of an adopted call is how far its dead owner had come.
    """

    outcome: Outcome
    claim: Claim


class DedupeStore(Protocol):
    """Keeps the claims. Each operation is atomic, and those that name an owner do nothing for anybody else.

    False says that the claim is not, or no longer, the owner's: it has to stop serving the call without ending it,
    because somebody else serves it, or that the call is done.
    """

    async def claim(self, call_id: str, *, owner: str, lease: float) -> Claimed:
        """Claim a call for `lease` seconds, if it is to be had."""
        ...

    async def renew(self, call_id: str, *, owner: str, lease: float) -> bool:
        """Have the lease end `lease` seconds from now. A lease that has ended can be renewed until it is adopted."""
        ...

    async def advance(self, call_id: str, *, owner: str, phase: Phase) -> bool:
        """Note that the call is accepted. The lease stays as it is, and a phase that was passed is not gone back to."""
        ...

    async def finish(self, call_id: str, *, owner: str, remember: float = REMEMBER) -> bool:
        """Note that the call is done, and remember it for `remember` seconds. It can be repeated."""
        ...

    async def release(self, call_id: str, *, owner: str) -> bool:
        """Give the claim up with nothing decided: the next announcement of the call is a new one."""
        ...


def decide(existing: Claim | None, *, call_id: str, owner: str, now: float, lease: float) -> Claimed:
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
        ConfigurationError: The lease is not a positive number of seconds.
    """
    until = _after(now, lease, "lease")
    if existing is None or (existing.phase == "done" and existing.expires_at <= now):
        return Claimed(Outcome.NEW, Claim(call_id, owner, "claimed", until))
    if existing.phase == "done" or existing.owner == owner or existing.expires_at > now:
        return Claimed(Outcome.REPEAT, existing)
    return Claimed(Outcome.ADOPTED, Claim(call_id, owner, existing.phase, until))


def held(existing: Claim | None, *, owner: str) -> bool:
    """Return whether the call is the owner's to serve: claimed by it, adopted by nobody, and not done."""
    return existing is not None and existing.owner == owner and existing.phase != "done"


def renewed(existing: Claim | None, *, owner: str, now: float, lease: float) -> Claim | None:
    """Return the claim with its lease renewed, or None where it is not the owner's.

    Raises:
        ConfigurationError: The lease is not a positive number of seconds.
    """
    until = _after(now, lease, "lease")
    return replace(existing, expires_at=until) if existing is not None and held(existing, owner=owner) else None


def advanced(existing: Claim | None, *, owner: str, phase: Phase) -> Claim | None:
    """Return the claim in the later of both phases, or None where it is not the owner's.

    Raises:
        ConfigurationError: The phase is `done`, which `finished` is for.
    """
    if phase == "done":
        raise ConfigurationError("what is done is to be finished, so that it is known how long to remember it")
    if existing is None or not held(existing, owner=owner):
        return None
    return replace(existing, phase=max(existing.phase, phase, key=_ORDER.index))


def finished(existing: Claim | None, *, owner: str, now: float, remember: float) -> Claim | None:
    """Return the claim as done, or None where it is not the owner's. Who has finished may say so again.

    Raises:
        ConfigurationError: `remember` is not a positive number of seconds.
    """
    until = _after(now, remember, "remember")
    if existing is None or existing.owner != owner:
        return None
    return replace(existing, phase="done", expires_at=until)


def _after(now: float, seconds: float, name: str) -> float:
    if not 0 < seconds < math.inf:
        raise ConfigurationError(f"{name} must be a positive number of seconds")
    return now + seconds
