"""Faults of the REST operations and of the upgrade to a sideband, and a decision that somebody else made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.faults import LineFault

__all__ = [
    "CallFault",
    "DecidedElsewhere",
    "How",
    "Operation",
    "ReplyFault",
    "ReplyFaults",
    "RequestFails",
    "check_call_faults",
    "check_line_faults",
]

Operation = Literal[
    "accept",
    "reject",
    "refer",
    "hangup",
    "create",
    "client_secrets",
    "webhook_endpoints",
    "models",
    "attach",
]
"""What can fail; "attach" is the upgrade to a sideband, the others are REST operations."""

How = Literal["status", "no answer", "reset"]

_MAX_TIMES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFault:
    """How one reply fails.

    Attributes:
        status: The status of the reply: 400 to 599. For "attach" also a 2xx, which comes instead of the 101.
        how: "status" (a reply with `status`), "no answer" (the connection stays open and silent), or "reset" (it closes
            without an answer).
        acted: The operation is carried out before its reply fails.
        code: The code of the error, such as "decision_already_made"; the usual one for the status if left out.
        retry_after: The seconds in `Retry-After`.
        headers: More headers, such as `{"x-should-retry": "false"}`.
        bare: The reply has no JSON body, like that of a gateway; a 404 then has no `call_id_not_found`.
    """

    status: int = 500
    how: How = "status"
    acted: bool = False
    code: str | None = None
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    bare: bool = False

    def check(self, operation: Operation) -> None:
        """Refuse values that make no sense.

        Raises:
            ConfigurationError: There is no such operation, or a value makes no sense.
        """
        if operation not in get_args(Operation):
            raise ConfigurationError(f"no such operation; operations: {', '.join(get_args(Operation))}")
        if self.how not in get_args(How):
            raise ConfigurationError(f"how must be one of: {', '.join(get_args(How))}")
        upgrade = operation == "attach"
        if not 400 <= self.status <= 599 and not (upgrade and 200 <= self.status <= 299):
            raise ConfigurationError("status must be 400 to 599; for attach 200 to 299 too")
        if upgrade and self.acted:
            raise ConfigurationError("an upgrade cannot fail after it was carried out; drop the socket instead")


@dataclass(frozen=True, slots=True)
class RequestFails:
    """Requests for `operation` on this call fail: `times` of them, beginning with number `occurrence`.

    The other arguments are those of `ReplyFault`. An accept that fails for good:

    >>> RequestFails("accept", times=10_000).fault.status
    500

    One stray 404 on attaching again, a reject that works the third time, a hang-up that never answers:

    >>> stray = RequestFails("attach", occurrence=2, status=404)
    >>> reject = RequestFails("reject", times=2, status=503)
    >>> hangup = RequestFails("hangup", times=10_000, how="no answer")
    """

    operation: Operation
    occurrence: int = field(default=1, kw_only=True)
    times: int = field(default=1, kw_only=True)
    status: int = field(default=500, kw_only=True)
    how: How = field(default="status", kw_only=True)
    acted: bool = field(default=False, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    retry_after: float | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    bare: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _check_times(self.occurrence, "occurrence")
        _check_times(self.times, "times")
        if self.operation in ("create", "client_secrets", "webhook_endpoints"):
            raise ConfigurationError("this operation is on no call; see OpenAIEmulator.fail")
        self.fault.check(self.operation)

    @property
    def fault(self) -> ReplyFault:
        """How they fail."""
        return ReplyFault(
            status=self.status,
            how=self.how,
            acted=self.acted,
            code=self.code,
            retry_after=self.retry_after,
            headers=self.headers,
            bare=self.bare,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedElsewhere:
    """Another worker decides about the call after `after` seconds of the emulator's clock; 0 is before any request.

    With "accept" that worker has the call: it is attached and talks, and the program's accept gets 409
    (`Behavior.second_decision`). The program can still attach and hang up, and does so to the other worker's call; it
    is noted. With "reject" the call is over.
    """

    by: Literal["accept", "reject"] = "accept"
    after: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.by not in ("accept", "reject"):
            raise ConfigurationError("by must be accept or reject")
        if not 0 <= self.after <= 86_400:
            raise ConfigurationError("after must be 0 to 86400 seconds")


CallFault = LineFault | RequestFails | DecidedElsewhere
"""What can go wrong with a call that rings."""


class ReplyFaults:
    """The replies that are still to fail: for each operation, in the order they were added, or by number."""

    def __init__(self, numbered: Iterable[RequestFails] = ()) -> None:
        self._queues: dict[Operation, list[ReplyFault]] = {}
        self._numbered = tuple(numbered)
        self._seen: dict[Operation, int] = {}

    def add(self, operation: Operation, fault: ReplyFault, *, times: int) -> None:
        """Let the next `times` replies to `operation` fail.

        Raises:
            ConfigurationError: There is no such operation, or a number makes no sense.
        """
        fault.check(operation)
        _check_times(times, "times")
        self._queues.setdefault(operation, []).extend([fault] * times)

    def take(self, operation: Operation) -> ReplyFault | None:
        """Return how the reply to `operation` fails now, or None. Ask once for each request."""
        self._seen[operation] = number = self._seen.get(operation, 0) + 1
        for each in self._numbered:
            if each.operation == operation and each.occurrence <= number < each.occurrence + each.times:
                return each.fault
        queue = self._queues.get(operation)
        return queue.pop(0) if queue else None


def check_line_faults(faults: Iterable[LineFault]) -> tuple[LineFault, ...]:
    """Return the faults.

    Raises:
        ConfigurationError: There is something else among them.
    """
    checked = tuple(faults)
    for fault in checked:
        if not isinstance(fault, LineFault):
            raise ConfigurationError(f"a fault of a call's sockets is expected, not {type(fault).__name__}")
    return checked


def check_call_faults(faults: Iterable[CallFault]) -> tuple[CallFault, ...]:
    """Return the faults.

    Raises:
        ConfigurationError: There is something else among them, or two workers decide.
    """
    checked = tuple(faults)
    for fault in checked:
        if not isinstance(fault, CallFault):
            raise ConfigurationError(f"a fault of a call is expected, not {type(fault).__name__}")
    if sum(isinstance(fault, DecidedElsewhere) for fault in checked) > 1:
        raise ConfigurationError("one other worker decides, not several")
    return checked


def _check_times(count: int, what: str) -> None:
    if not 1 <= count <= _MAX_TIMES:
        raise ConfigurationError(f"{what} must be 1 to {_MAX_TIMES}")
