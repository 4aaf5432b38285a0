"""A call that a host took, and what became of its webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING

from realtime_sip.call.call import Call  # loaded here, so that the first call does not wait for it
from realtime_sip.call.decision import Decision
from realtime_sip.hosting import contexts
from realtime_sip.hosting.claims import DECIDE
from realtime_sip.outcomes import CallEnded, Certainty, EndReason, TransferFailureReason
from realtime_sip.policy import Refusal
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from realtime_sip.call.machine.ticket import Ticket
    from realtime_sip.hosting.carrier import Meaning
    from realtime_sip.hosting.tickets import Seals
    from realtime_sip.telemetry import Telemetry
    from realtime_sip.telemetry.call_trace import CallTrace


class Submission(Enum):
    """What became of a webhook. Answer 200 to each of them: the call is taken care of, as far as it can be."""

    STARTED = "started"
    """The call was handed to the handler. It has accepted or rejected it, has failed, or has not decided yet."""
    REPEAT = "repeat"
    """The call was submitted before, here or elsewhere."""
    BUSY = "busy"
    """`max_calls` was reached; this call was rejected."""
    DRAINING = "draining"
    """The host is draining; this call was rejected."""
    PASSED_ON = "passed on"
    """This host is full or draining, and another worker of the store has the call."""
    REFUSED = "refused"
    """The policy refused the call; it was rejected with the status of the rule."""
    STALE = "stale"
    """It is too late to answer the call, or it is a test delivery that nobody can answer."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """A call that this host serves or turns away."""

    incoming: IncomingCall
    decision: Decision
    clock: Callable[[], float]
    became: Submission = Submission.STARTED
    refusal: Refusal | None = None
    failed: set[str] = field(default_factory=set[str])
    """The calls that were dialed for a transfer and have failed, as the carrier reports."""
    began_at: float = field(init=False)
    handling: asyncio.Task[int | None] | None = None
    serving: asyncio.Task[None] = field(init=False)
    trace: CallTrace | None = None
    leaving: asyncio.Task[None] | None = None
    """What ends a call that nobody is answering and whose caller is gone."""

    def __post_init__(self) -> None:
        self.began_at = self.clock()

    @property
    def call_id(self) -> str:
        return self.incoming.call_id

    @property
    def call(self) -> Call | None:
        """The call, if it is in an `answer` block."""
        return self.decision.call

    @property
    def lost(self) -> bool:
        """Whether another host took it over."""
        return self.decision.lost

    @property
    def is_up(self) -> bool:
        """Whether the phone rings, or somebody is on it, as far as is known here."""
        ended = self.call is not None and self.call.ended is not None
        return not (ended or self.lost or self.decision.rejected)

    @property
    def cost(self) -> Decimal | None:
        """What the call has cost here so far, in USD, if that is known."""
        if self.decision.rejected or not self.decision.made.is_set():
            return Decimal(0)
        cost = None if self.call is None else self.call.cost
        before = None if self.call is None or self.call.adopted is None else self.call.adopted.cost
        return cost if cost is None or before is None else cost - before

    def watch(self, telemetry: Telemetry | None, *, webhook: SpanContext | None, adopted: bool, offered: bool) -> None:
        """Let telemetry, if there is any, see the call.

        Args:
            telemetry: What watches.
            webhook: The span of the request that announced it.
            adopted: Whether another worker had it before.
            offered: Whether that one wanted to give it away.
        """
        if telemetry is None:
            return
        if adopted:
            telemetry.takeover()
            if not offered:
                telemetry.orphans()
        self.trace = telemetry.took(
            self.incoming, arrived=self.began_at, clock=self.clock, webhook=webhook, adopted=adopted
        )

    def ticket(self, seals: Seals, call: Ticket | None, *, offered: bool) -> str:
        """Return what another worker needs to go on with the call; its spans are to be below this one's."""
        trace = None if self.trace is None else self.trace.carrier
        return seals.ticket(
            self.incoming, route=self.decision.route, call=call, trace=trace, offered=offered, state=self.decision.state
        )

    async def decided(self) -> None:
        """Wait until the call is decided, so that the webhook can be answered."""
        waiting = asyncio.ensure_future(self.decision.made.wait())
        try:
            await asyncio.wait({waiting, self.serving}, timeout=DECIDE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if self.trace is not None:
                self.trace.webhook_answered(self.became.value)

    def span(self) -> AbstractContextManager[None]:
        """Return what makes the call's span the current one."""
        return contexts.span_of_call() if self.trace is None else self.trace.current()

    def over(self, ended: CallEnded) -> None:
        """Tell telemetry how the call ended."""
        if self.trace is not None:
            self.trace.webhook_answered(self.became.value)
            self.trace.ended(ended, goes_on=self.lost)

    def reported(self, meaning: Meaning, dialed: str | None) -> None:
        """Tell the call what the carrier reports, if it is in an `answer` block.

        Reports come more than once: what is said again of a dialed call that failed is not about a later transfer.
        """
        if self.call is None:
            self.decision.answered = meaning.answered or self.decision.answered
            return
        if meaning.answered is not None:
            self.call.answered_by(meaning.answered)
        if meaning.says is not None and dialed not in self.failed:
            if dialed is not None and isinstance(meaning.says, TransferFailureReason):
                self.failed.add(dialed)
            self.call.transfer_progress(meaning.says)
        if meaning.caller_left:
            self.call.caller_left()

    def ended(self, reason: EndReason, certainty: Certainty, evidence: str) -> CallEnded:
        """Return the end of a call that no `answer` block has kept to its end."""
        return CallEnded(
            reason=reason,
            certainty=certainty,
            evidence=evidence,
            started_at=self.began_at,
            attached_at=None,
            ended_at=self.clock(),
        )
