"""Who may call: lists, countries, rates, calls at a time, money; asked before a call is accepted.

    policy = CallPolicy(
        DenyCallers({"+14155550199", "+1900*"}),
        Countries({"BR", "US"}),
        CallRate(5, per=3600),
        CallRate(100, per=60, per_caller=False),
        ConcurrentCalls(2, per_caller=True),
        DailySpend(Decimal(50)),
    )
    host = CallHost(on_call, client=client, store=store, policy=policy)

Rules are asked in their order, and the first one that refuses decides. Put the lists first: a rate counts the calls
that reach it, and not those that a rule before it refused.

The policy is asked before any handler, and so before a `Router`: it is the same for all numbers that are dialed,
unless a function tells them apart, and calls that no route takes count too.

A caller's number is a claim of whoever placed the call (`SipHeaders.caller`). These rules keep out nuisance and bound
what a mistake costs. They are no proof of who is calling.

The SIP status that a rule answers with decides who may take the call instead. A trunk tries its next route after a 5xx
(and after 403, 408, 480 and 488), and never after 404, 486 or a 6xx; `<Dial action=...>` sees them all (Twilio,
November 2026). So if the caller is the reason, the answer is 603 or 486, and nobody else is called either; if we are
full, it is 503, and the next route may take the call.

There are two kinds of rules, and they fail differently:

- A gate says who may call: `DenyCallers`, `AllowCallers`, `Countries`, and functions of your own. A gate that raises,
  takes more than two seconds, or returns a status that is not a SIP failure, is shut: 503, so that the next route may
  take the call. Otherwise a caller could open it with whatever makes the function fail.
- A counter says how much: rates, calls at a time, money. A counter whose store fails is open: nobody can cause that by
  calling, the phone would be dead for as long as the store is, and `max_calls` of the host still holds.

Each such failure is logged as an error for each call, without anything about the caller.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import TypeAlias

from realtime_sip._program_errors import telling
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.sip.address import e164
from realtime_sip.sip.status import FINAL_FAILURE, is_final_failure
from realtime_sip.stores.outage import Outage, why
from realtime_sip.stores.rules import PLACE_LEASE, Store
from realtime_sip.webhooks import IncomingCall

__all__ = [
    "AllowCallers",
    "CallPolicy",
    "CallRate",
    "ConcurrentCalls",
    "Countries",
    "DailySpend",
    "DenyCallers",
    "Gate",
    "Refusal",
    "Rule",
]

_log = logging.getLogger("realtime_sip.policy")

Gate: TypeAlias = Callable[[IncomingCall], int | Awaitable[int | None] | None]
"""Asked about a call. Returns the SIP status to refuse it with, 300 to 699, or None to let it pass. Sync or async; a
sync one must not block."""

RULE_TIMEOUT = 2.0
"""Seconds that a rule may take. The phone rings meanwhile."""
BROKEN = 503
"""The SIP status of a call about which a gate could not decide."""
DAY = 86_400.0
_MOST_CALLS = 100_000
_BEGINNING = re.compile(r"\+[1-9][0-9]{0,13}\*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call is refused.

    Attributes:
        status_code: The SIP status to reject it with.
        rule: The class of the rule, or the name of the function.
    """

    status_code: int
    rule: str


class DenyCallers:
    """Refuses callers: numbers as E.164, or the beginning of numbers and `*`, as in "+1900*".

    A caller without a number is on no list, and passes; add a function to refuse them:

    >>> def no_withheld_number(incoming: IncomingCall) -> int | None:
    ...     return 603 if incoming.caller is None else None
    >>> CallPolicy(DenyCallers({"+1 (415) 555-0199", "+1900*"}), no_withheld_number)
    CallPolicy(DenyCallers, no_withheld_number)
    """

    def __init__(self, callers: Iterable[str], *, status_code: int = 603) -> None:
        """Make the rule. It refuses with 603, declined, so that nobody else is called instead.

        Raises:
            ConfigurationError: One of them is not a number or the beginning of one, or the status is not 300 to 699.
        """
        self._callers = _Numbers(callers)
        self._status_code = _status(status_code)

    def __call__(self, incoming: IncomingCall) -> int | None:
        """Return the status to refuse the call with, or None."""
        return self._status_code if incoming.caller in self._callers else None


class AllowCallers:
    """Refuses all callers but these: numbers as E.164, or the beginning of numbers and `*`, as in "+1415555*".

    A caller without a number is refused. Whoever knows your number may claim to call from one of these.
    """

    def __init__(self, callers: Iterable[str], *, status_code: int = 603) -> None:
        """Make the rule. It refuses with 603, declined, so that nobody else is called instead.

        Raises:
            ConfigurationError: The list is empty, one is not a number or its beginning, or the status is not 300 to
                699.
        """
        self._callers = _Numbers(callers)
        _require(len(self._callers) > 0, "AllowCallers without callers would refuse every call")
        self._status_code = _status(status_code)

    def __call__(self, incoming: IncomingCall) -> int | None:
        """Return the status to refuse the call with, or None."""
        return None if incoming.caller in self._callers else self._status_code


class Countries:
    """Refuses callers whose number is not of one of these countries. Needs the extra `policy`.

    The tables of libphonenumber give the country in which a number was issued, which says nothing about where the
    caller is. A caller without a number is refused, and so is one whose country the tables do not know, such as a
    number in a range that was not assigned when they were made.
    """

    def __init__(self, countries: Iterable[str], *, status_code: int = 603) -> None:
        """Make the rule. It refuses with 603, declined, so that nobody else is called instead.

        Args:
            countries: Two letters each (ISO 3166-1), or "001" for numbers of no country, such as +800.
            status_code: The SIP status of a refusal. Beware of 403: a trunk tries its next route after it.

        Raises:
            ConfigurationError: There are no countries, one of them is unknown, or the status is not 300 to 699.
            MissingExtraError: phonenumbers is not installed.
        """
        try:
            import phonenumbers
        except ImportError:
            raise MissingExtraError("phonenumbers", "policy") from None
        self._phonenumbers = phonenumbers
        self._countries = {country.upper() for country in _several(countries)}
        known = phonenumbers.SUPPORTED_REGIONS | {phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY}
        strange = sorted(self._countries - known)
        _require(not strange, f"not the two letters of a country: {', '.join(strange)[:100]}")
        _require(bool(self._countries), "Countries without countries would refuse every call")
        self._status_code = _status(status_code)

    def __call__(self, incoming: IncomingCall) -> int | None:
        """Return the status to refuse the call with, or None."""
        return None if self._country(incoming.caller) in self._countries else self._status_code

    def _country(self, caller: str | None) -> str | None:
        if caller is None:
            return None
        try:
            return self._phonenumbers.region_code_for_number(self._phonenumbers.parse(caller, None))
        except self._phonenumbers.NumberParseException:
            return None


class _Counter:
    """A rule that counts in a store, under a key of its own."""

    key: str

    async def ask(self, incoming: IncomingCall, store: Store, *, lease: float) -> int | None:
        """Return the status to refuse the call with, or None; then it is counted."""
        raise NotImplementedError

    async def renew(self, incoming: IncomingCall, store: Store, *, lease: float, cost: Decimal | None) -> None:
        """Keep what a call that is up has taken, for `lease` seconds from now, and note what it has cost so far."""

    async def ended(self, incoming: IncomingCall, store: Store, *, cost: Decimal | None) -> None:
        """Give back what a call has taken that is over, and note what it has cost in all."""


class CallRate(_Counter):
    """Refuses calls beyond `most` within `per` seconds: of each caller, or with `per_caller=False` of all together.

    For one caller, refused attempts count too: whoever keeps calling stays out until there is a pause. All callers
    without a number are counted as one. For all callers together, refused attempts do not count, or whoever keeps
    calling would close the line to everybody.
    """

    def __init__(self, most: int, *, per: float, per_caller: bool = True, status_code: int | None = None) -> None:
        """Make the rule.

        It refuses with 486, busy, so that this caller does not get the next route either; with `per_caller=False` with
        503: we are busy, and the next route may take the call.

        Raises:
            ConfigurationError: `most` or `per` is not positive, or the status is not 300 to 699.
        """
        self._most = _most(most)
        _require(0 < per < math.inf, "per must be a positive number of seconds")
        self._per = per
        self._per_caller = per_caller
        busy = 486 if per_caller else 503
        self._status_code = _status(busy if status_code is None else status_code)
        self.key = f"{'caller_rate' if per_caller else 'total_rate'}:{self._per:g}"

    async def ask(self, incoming: IncomingCall, store: Store, *, lease: float) -> int | None:  # noqa: ARG002
        """Count the call; return the status to refuse it with, or None."""
        if self._per_caller:
            calls = await store.add(f"{self.key}:{_caller_key(incoming)}", 1, per=self._per)
        else:
            calls = await store.add(self.key, 1, per=self._per, most=self._most)
        return self._status_code if calls > self._most else None


class ConcurrentCalls(_Counter):
    """Refuses calls beyond `most` at a time: of all callers together, or with `per_caller` of each.

    A call keeps its place by a lease, which a host renews with that of its claim, so that the places of a process that
    died are free after half a minute. A call that is adopted is up already, and has a place even if all are taken.
    All callers without a number are counted as one.
    """

    def __init__(self, most: int, *, per_caller: bool = False, status_code: int | None = None) -> None:
        """Make the rule.

        It refuses with 503, so that the next route may take the call; with `per_caller` with 486, busy, so that this
        caller does not get the next route either.

        Raises:
            ConfigurationError: `most` is not positive, or the status is not 300 to 699.
        """
        self._most = _most(most)
        self._per_caller = per_caller
        busy = 486 if per_caller else 503
        self._status_code = _status(busy if status_code is None else status_code)
        self.key = "calls_of_caller" if per_caller else "calls"

    async def ask(self, incoming: IncomingCall, store: Store, *, lease: float) -> int | None:
        """Take a place; return the status to refuse the call with, or None."""
        entered = await store.enter(self._place(incoming), incoming.call_id, lease=lease, most=self._most)
        return None if entered else self._status_code

    async def renew(self, incoming: IncomingCall, store: Store, *, lease: float, cost: Decimal | None) -> None:  # noqa: ARG002
        """Keep the place of a call that is up, for `lease` seconds from now."""
        await store.enter(self._place(incoming), incoming.call_id, lease=lease)

    async def ended(self, incoming: IncomingCall, store: Store, *, cost: Decimal | None) -> None:  # noqa: ARG002
        """Free the place of a call."""
        await store.leave(self._place(incoming), incoming.call_id)

    def _place(self, incoming: IncomingCall) -> str:
        return f"{self.key}:{_caller_key(incoming)}" if self._per_caller else self.key


class DailySpend(_Counter):
    """Refuses calls once `most` USD were spent within the last 24 hours.

    The host counts what calls cost, every ten seconds while they are up, so that it counts in all processes that share
    the store. Calls that are up are not ended, and overshoot; `CallLimits` is for that. What is spent is counted
    in steps of 24 minutes: it counts for 24 hours at least. A call whose cost is not known, such as that of a model
    without a price or of a sideband of your own, counts nothing, and a warning says so once. A `MemoryStore` forgets
    the day when the process ends.
    """

    key = "spend"

    def __init__(self, most: Decimal | float, *, status_code: int = 503) -> None:
        """Make the rule. It refuses with 503, so that the next route may take the call: a person, perhaps.

        Raises:
            ConfigurationError: `most` is not a positive number, or the status is not 300 to 699.
        """
        money = Decimal(0 if isinstance(most, bool) or not isinstance(most, (Decimal, int, float)) else str(most))
        _require(money.is_finite() and money > 0, "the most to spend must be a positive number, in USD")
        self._most = _micros(money)
        self._status_code = _status(status_code)
        # Millionths of a dollar that the store has counted, of each call that is up.
        self._counted: OrderedDict[str, int] = OrderedDict()
        self._warned = False

    async def ask(self, incoming: IncomingCall, store: Store, *, lease: float) -> int | None:  # noqa: ARG002
        """Return the status to refuse the call with, or None."""
        return self._status_code if await store.total(self.key, per=DAY) >= self._most else None

    async def renew(self, incoming: IncomingCall, store: Store, *, lease: float, cost: Decimal | None) -> None:  # noqa: ARG002
        """Count what a call has cost here so far, None if nobody knows; less than before is of one that came back."""
        before = self._counted.get(incoming.call_id, 0)
        now = before if cost is None else _micros(cost)
        if now != before:
            await store.add(self.key, now - before if now > before else now, per=DAY)
            self._counted[incoming.call_id] = now
            if len(self._counted) > _MOST_CALLS:  # of a program that never says that they are over
                self._counted.popitem(last=False)

    async def ended(self, incoming: IncomingCall, store: Store, *, cost: Decimal | None) -> None:
        """Count what a call has cost in all; None if nobody knows."""
        await self.renew(incoming, store, lease=PLACE_LEASE, cost=cost)
        self._counted.pop(incoming.call_id, None)
        if cost is None and not self._warned:
            self._warned = True
            _log.warning("call %s: its cost is not known; DailySpend counts no such call", incoming.call_id)


Rule: TypeAlias = Gate | _Counter
"""What a policy is made of."""


class CallPolicy:
    """Rules for who may call, asked in their order. The docstring of the module lists them.

    A `CallHost` asks it about each new call, before its handler. Neither repeats of a webhook reach it, nor stale ones,
    nor calls for which the host has no room. An adopted call, which is up already, takes its places and is never
    refused. Without a host:

        refusal = await policy.check(incoming, store=store)
        if refusal is not None:
            await client.calls.reject(incoming.call_id, status_code=refusal.status_code)

    and then `renew` every ten seconds while the call is up, and `ended` after it, if calls at a time or money are
    counted. None of them raises for what a rule or the store does.

    Counters hold a hash of the caller's number, so that nobody sees the number by accident. It does not protect from
    somebody who has the store and tries all numbers.
    """

    def __init__(self, *rules: Rule) -> None:
        """Make a policy.

        Raises:
            ConfigurationError: One is not a rule, or two of them would count the same thing twice.
        """
        for rule in rules:
            is_rule = callable(rule) or isinstance(rule, _Counter)
            _require(is_rule and not isinstance(rule, type), "a rule must be one of this module's, or a function")
        keys = [rule.key for rule in rules if isinstance(rule, _Counter)]
        _require(len(set(keys)) == len(keys), "two rules of the policy count the same calls within the same time")
        self._rules = rules
        self._outage = Outage(_log)

    async def check(
        self, incoming: IncomingCall, *, store: Store | None = None, lease: float = PLACE_LEASE
    ) -> Refusal | None:
        """Ask the rules about a new call. Returns the first refusal, or None; then its places are taken.

        Args:
            incoming: The call. Asked about twice, it is counted twice.
            store: Where it is counted; a `MemoryStore`, for one. Not needed if no rule counts.
            lease: Seconds for which places are kept without `renew`.

        Raises:
            ConfigurationError: A rule counts, and there is no store.
        """
        if store is None and any(isinstance(rule, _Counter) for rule in self._rules):
            raise ConfigurationError("the policy counts calls, and was given no store to count in")
        for n, rule in enumerate(self._rules):
            status_code = None
            if not isinstance(rule, _Counter):
                status_code = await _ask_gate(rule, incoming)
            elif store is not None:
                try:
                    status_code = await asyncio.wait_for(rule.ask(incoming, store, lease=lease), RULE_TIMEOUT)
                except Exception as error:  # noqa: BLE001 - stores may raise anything
                    told = _failed(incoming, rule, "so the call passes all rules that count")
                    _log.error("%s: %s", told, why(error))
                    store = None  # the other counters would only wait for as long
            if status_code is not None:
                if store is not None:
                    await self._ended(self._rules[:n], incoming, store, Decimal(0))
                return Refusal(status_code, _name(rule))
        return None

    async def renew(
        self, incoming: IncomingCall, *, store: Store, lease: float = PLACE_LEASE, cost: Decimal | None = None
    ) -> None:
        """Keep the places of a call that is up for `lease` seconds, and note what it has cost so far, in USD."""
        for rule in self._rules:
            if isinstance(rule, _Counter):
                async with self._outage.within(RULE_TIMEOUT, _failed(incoming, rule, "so its count is old")):
                    await rule.renew(incoming, store, lease=lease, cost=cost)

    async def ended(self, incoming: IncomingCall, *, store: Store, cost: Decimal | None = None) -> None:
        """Free the places of a call that is over, and note what it has cost in all, in USD, None if nobody knows."""
        await self._ended(self._rules, incoming, store, cost)

    async def _ended(self, rules: Iterable[Rule], incoming: IncomingCall, store: Store, cost: Decimal | None) -> None:
        for rule in rules:
            if isinstance(rule, _Counter):
                async with self._outage.within(RULE_TIMEOUT, _failed(incoming, rule, "so the call still counts")):
                    await rule.ended(incoming, store, cost=cost)

    def __repr__(self) -> str:
        """Show the names of the rules."""
        return f"CallPolicy({', '.join(map(_name, self._rules))})"


class _Numbers:
    """Numbers, and what numbers begin with."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._numbers: set[str] = set()
        self._beginnings: set[str] = set()
        for text in _several(texts):
            if isinstance(text, str) and _BEGINNING.fullmatch(text):
                self._beginnings.add(text[:-1])
            elif isinstance(text, str) and (number := e164(text)) is not None:
                self._numbers.add(number)
            else:  # it may be somebody's number all the same, so it is not shown
                raise ConfigurationError('a caller is not E.164, as "+14155550199", nor a beginning of it, as "+1900*"')

    def __len__(self) -> int:
        return len(self._numbers) + len(self._beginnings)

    def __contains__(self, number: str | None) -> bool:
        if number is None:
            return False
        return number in self._numbers or any(number[:n] in self._beginnings for n in range(2, len(number) + 1))


async def _ask_gate(gate: Gate, incoming: IncomingCall) -> int | None:
    try:
        async with asyncio.timeout(RULE_TIMEOUT):
            answer = gate(incoming)
            answer = await answer if inspect.isawaitable(answer) else answer
            return None if answer is None else _status(answer)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - functions of the program may raise anything
        then = f"so the call is refused with {BROKEN}"
        telling.get().tell(_log, f"the rule {_name(gate)}", error, call_id=incoming.call_id, then=then)
        return BROKEN


def _failed(incoming: IncomingCall, rule: Rule, then: str) -> str:
    return f"call {incoming.call_id}: the rule {_name(rule)} failed, {then}"


def _name(rule: Rule) -> str:
    return rule.__name__ if inspect.isroutine(rule) else type(rule).__name__


def _caller_key(incoming: IncomingCall) -> str:
    if incoming.caller is None:
        return "withheld"
    return hashlib.blake2b(incoming.caller.encode(), digest_size=16, person=b"realtime_sip").hexdigest()


def _micros(amount: Decimal) -> int:
    return int((amount * 1_000_000).to_integral_value(ROUND_CEILING))


def _status(status_code: int) -> int:
    _require(is_final_failure(status_code), f"status_code {FINAL_FAILURE}")
    return int(status_code)


def _most(most: int) -> int:
    _require(type(most) is int and most >= 1, "the most calls must be a whole number of 1 or more")
    return most


def _several(texts: Iterable[str]) -> Iterable[str]:
    _require(not isinstance(texts, str), "several texts are needed, as in a set, not one text")
    return texts


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ConfigurationError(problem)
