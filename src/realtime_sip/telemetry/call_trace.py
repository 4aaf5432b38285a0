"""The trace of one call: a span for the call, and below it one for each thing that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry import context
from opentelemetry.trace import Link, SpanContext, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from realtime_sip.api.transport import on_repeat
from realtime_sip.call.machine import effects, inputs
from realtime_sip.call.record.meter import Meter
from realtime_sip.call.watch import watching
from realtime_sip.errors import CallGoneError, NotFoundError, RealtimeSipError
from realtime_sip.outcomes import CallEnded, EndReason, TransferFailed, TransferFailureReason
from realtime_sip.session import RealtimeSession
from realtime_sip.telemetry.harmless import harmless
from realtime_sip.telemetry.instruments import Instruments
from realtime_sip.telemetry.spans import Spans, current
from realtime_sip.telemetry.talk import SEEN, Talk
from realtime_sip.webhooks import IncomingCall

_PROPAGATOR = TraceContextTextMapPropagator()

_FAILED = frozenset({EndReason.HANDLER_FAILED, EndReason.CONNECTION_LOST, EndReason.NOT_CONNECTED})
"""Ends that somebody should look into."""
_CALL, _WEBHOOK, _ACCEPT, _ATTACH, _TRANSFER, _END = "call", "webhook", "accept", "attach", "transfer", "end"


class CallTrace:
    """What is told about one call, from its webhook to its end. It is a `Watch`; nothing here raises.

    Args:
        tracer: Makes the spans.
        instruments: Count.
        incoming: The call.
        clock: Returns Unix seconds.
        arrived: Unix seconds at which the webhook arrived.
        webhook: The span of the webhook's request, which ends with it; the call's is linked to it.
        adopted: Whether another worker had the call before.
    """

    def __init__(
        self,
        tracer: Tracer,
        instruments: Instruments,
        incoming: IncomingCall,
        *,
        clock: Callable[[], float],
        arrived: float,
        webhook: SpanContext | None,
        adopted: bool = False,
    ) -> None:
        self.call_id = incoming.call_id
        self._instruments = instruments
        self._clock = clock
        self._arrived = arrived
        self._channel = incoming.channel
        self._spans = Spans(tracer)
        self._call = self._spans.begin(
            _CALL,
            "realtime_sip.call",
            arrived,
            _PROPAGATOR.extract(incoming.trace_context, context.Context()),
            kind=SpanKind.CONSUMER,
            links=[] if webhook is None else [Link(webhook)],
            attributes={
                "gen_ai.conversation.id": incoming.call_id,
                "realtime_sip.channel": incoming.channel,
                "realtime_sip.call.adopted": adopted,
            },
        )
        self._below = self._call.within()
        self.carrier: dict[str, str] = {}
        """What a worker needs that takes the call over, so that its spans belong to the same trace."""
        _PROPAGATOR.inject(self.carrier, self._below)
        if not adopted:
            self._begin(_WEBHOOK, arrived)
        self._is_live = False
        self._goes_on = False
        """Whether another worker has the call, which ends there and is counted there."""
        self._talk: Talk | None = None
        self._unix_ahead = 0.0
        self._attached = False
        self._close: str | None = None
        self._referred = False
        """Whether the transfer under way was referred, which the service has answered with success."""
        self.finished: CallEnded | None = None
        """How the call ended, as far as whoever answers it knows."""

    def _begin(self, key: str, at: float, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> None:
        named = {f"realtime_sip.{key}.{name}": value for name, value in attributes.items() if value is not None}
        self._spans.begin(key, f"realtime_sip.{key}", at, self._below, kind=kind, attributes=named)

    # --- what the host says -------------------------------------------------------------------------------------------

    @contextmanager
    def current(self) -> Iterator[None]:
        """Let what is done here be seen, and make the call's span the current one."""
        self._live()
        watched, told = watching.set(self), on_repeat.set(self._repeats)
        try:
            with current(self._call):
                yield
        finally:
            with suppress(ValueError):  # the event loop was closed, and this with it, in another context
                watching.reset(watched)
                on_repeat.reset(told)

    @harmless
    def _live(self) -> None:
        if not self._is_live:
            self._is_live = True
            self._instruments.add("realtime_sip.calls.live", 1)

    @harmless
    def webhook_answered(self, result: str) -> None:
        """See that the webhook can be answered, and what became of it. Only the first time counts."""
        self._spans.end(_WEBHOOK, self._clock(), {"realtime_sip.webhook.result": result})

    @harmless
    def ended(self, ended: CallEnded | None, *, goes_on: bool = False) -> None:
        """See how the call ended, or that nobody knows. Only the first time counts.

        If it `goes_on` in another worker, it did not end, and is counted there.
        """
        if _CALL not in self._spans:
            return
        self._goes_on = self._goes_on or goes_on
        if self._is_live:
            self._instruments.add("realtime_sip.calls.live", -1)
        how = {} if ended is None else _how(ended)
        if ended is not None and not self._goes_on:
            self._instruments.add("realtime_sip.calls.ended", 1, how)
            if ended.attached_at is not None:
                self._instruments.record("realtime_sip.call.duration", ended.ended_at - ended.attached_at, how)
        failed = ended is not None and ended.reason in _FAILED
        self._spans.end(_CALL, self._clock(), how, error=how["realtime_sip.end.reason"] if failed else None)
        self._spans.end_all(self._clock())

    def _repeats(self, operation: str, error: RealtimeSipError) -> None:
        self._early(operation, error)

    @harmless
    def _early(self, operation: str, error: RealtimeSipError) -> None:
        """Count it, if the service says that it does not know the call yet."""
        if isinstance(error, NotFoundError) and error.code in (None, "call_id_not_found"):
            self._instruments.add("realtime_sip.early_404s", 1, {"realtime_sip.operation": operation})

    # --- what the call does -------------------------------------------------------------------------------------------

    @harmless
    def began(self, session: RealtimeSession, meter: Meter, unix_ahead: float) -> None:
        """See that the call is being answered."""
        self._unix_ahead = unix_ahead
        self._talk = Talk(
            self._spans, self._below, self._instruments, call_id=self.call_id, session=session, meter=meter
        )
        if session.model is not None:
            self._call.span.set_attribute("gen_ai.request.model", self._instruments.models.bounded(session.model))

    def saw(self, what: inputs.Input, decided: Sequence[effects.Effect], now: float) -> None:
        """See what happened, and what was decided. Most events are deltas, in which there is nothing to see."""
        if decided or type(what) is not inputs.Received or what.event.type in SEEN:
            self._saw(what, decided, now)

    @harmless
    def _saw(self, what: inputs.Input, decided: Sequence[effects.Effect], now: float) -> None:
        at = now + self._unix_ahead
        if type(what) is inputs.Received:
            if self._talk is not None:
                self._talk.receive(what.event, at)
        else:
            handler = _INPUTS.get(type(what))
            if handler is not None:
                handler(self, what, at)
        for effect in decided:
            carried = _EFFECTS.get(type(effect))
            if carried is not None:
                carried(self, effect, at)

    @contextmanager
    def running(self, call_id: str) -> Iterator[None]:
        """Make the span of a tool the current one."""
        if self._talk is None:
            yield
            return
        with self._talk.running(call_id):
            yield

    # --- answering ----------------------------------------------------------------------------------------------------

    def _accept(self, _effect: effects.Accept, at: float) -> None:
        self._begin(_ACCEPT, at, kind=SpanKind.CLIENT)

    def _accepted(self, _what: inputs.Accepted, at: float) -> None:
        self._spans.end(_ACCEPT, at)
        self._instruments.record("realtime_sip.call.time_to_answer", at - self._arrived)
        if self._talk is not None:
            self._talk.answered_at = at

    def _accept_failed(self, what: inputs.AcceptFailed, at: float) -> None:
        self._early("accept", what.error)
        self._spans.end(_ACCEPT, at, error=type(what.error).__name__)

    def _adopt(self, what: inputs.Adopt, at: float) -> None:
        self._attached = what.ticket is not None and what.ticket.attached is not None
        if self._talk is not None:
            self._talk.adopted()
        if what.ticket is not None and what.ticket.transfer is not None and what.request is not None:
            self._begin(_TRANSFER, at, target=what.request.name)

    def _taken(self, _what: inputs.Taken, _at: float) -> None:
        self._goes_on = True

    def _attach(self, _effect: effects.Attach, at: float) -> None:
        self._begin(_ATTACH, at, kind=SpanKind.CLIENT, again=self._attached, after=self._close)

    def _was_attached(self, _what: inputs.Attached, at: float) -> None:
        self._spans.end(_ATTACH, at)
        if not self._attached:
            self._attached = True
            self._instruments.add("realtime_sip.calls.answered", 1, {"realtime_sip.channel": self._channel})

    def _attach_failed(self, what: inputs.AttachFailed, at: float) -> None:
        if self._attached and isinstance(what.error, CallGoneError):
            # Most calls end by being gone, which is no error.
            self._spans.end(_ATTACH, at, {"realtime_sip.attach.gone": True})
            return
        if not self._attached:
            self._early("attach", what.error)
        self._spans.end(_ATTACH, at, error=type(what.error).__name__)

    def _closed(self, what: inputs.Closed, _at: float) -> None:
        self._close = what.close.kind.value

    # --- tools --------------------------------------------------------------------------------------------------------

    def _tool(self, effect: effects.RunTool, at: float) -> None:
        if self._talk is not None:
            self._talk.tool_begins(effect, at)

    def _tool_ended(self, what: inputs.ToolEnded, at: float) -> None:
        if self._talk is not None:
            self._talk.tool_ends(what, at)

    # --- transfer -----------------------------------------------------------------------------------------------------

    def _transfer(self, what: inputs.Transfer, at: float) -> None:
        if _TRANSFER not in self._spans:  # else it is refused, since one is under way
            self._referred = False
            self._begin(_TRANSFER, at, target=what.request.name)

    def _was_referred(self, _what: inputs.Referred, _at: float) -> None:
        self._referred = True

    def _fallback(self, _effect: effects.Fallback, _at: float) -> None:
        self._without_effect()
        transfer = self._spans.get(_TRANSFER)
        if transfer is not None:
            transfer.span.set_attribute("realtime_sip.transfer.fallback", True)

    def _without_effect(self) -> None:
        if self._referred:
            self._referred = False
            self._instruments.add("realtime_sip.refers.without_effect")

    def _told(self, effect: effects.Tell, at: float) -> None:
        if isinstance(effect.what, TransferFailed):
            self._transfer_failed(effect.what, at)

    def _done(self, effect: effects.Done, at: float) -> None:
        # One that cannot be is refused without an event of its own.
        if isinstance(effect.value, TransferFailed) and effect.value.failure is TransferFailureReason.UNREACHABLE:
            self._transfer_failed(effect.value, at)

    def _transfer_failed(self, what: TransferFailed, at: float) -> None:
        if what.failure is TransferFailureReason.NO_SIGN:
            self._without_effect()
        self._transfer_over(what.failure.value, at, error=what.failure.value)

    def _transfer_over(self, result: str, at: float, *, error: str | None = None) -> None:
        if _TRANSFER in self._spans:
            how = {"realtime_sip.transfer.result": result}
            if not self._goes_on:
                self._instruments.add("realtime_sip.transfers", 1, how)
            self._spans.end(_TRANSFER, at, how, error=error)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _hang_up(self, _effect: effects.HangUp, at: float) -> None:
        if _END not in self._spans:
            self._begin(_END, at, kind=SpanKind.CLIENT)

    def _finish(self, effect: effects.Finish, at: float) -> None:
        self.finished = effect.ended
        self._transfer_over(effect.ended.reason.value, at)
        if _END not in self._spans:
            self._begin(_END, at)
        self._spans.end(_END, at, _how(effect.ended))
        for key in (_ACCEPT, _ATTACH):
            self._spans.end(key, at)
        if self._talk is not None:
            self._talk.over(at)
            cost = self._talk.cost(goes_on=self._goes_on)
            if cost is not None:
                self._call.span.set_attribute("realtime_sip.cost", cost)


def _how(ended: CallEnded) -> dict[str, str]:
    how = {"realtime_sip.end.reason": ended.reason.value, "realtime_sip.end.certainty": ended.certainty}
    return how if ended.limit is None else {**how, "realtime_sip.end.limit": ended.limit.value}


_INPUTS: dict[type, Callable[[CallTrace, Any, float], None]] = {
    inputs.Adopt: CallTrace._adopt,
    inputs.Taken: CallTrace._taken,
    inputs.Accepted: CallTrace._accepted,
    inputs.AcceptFailed: CallTrace._accept_failed,
    inputs.Attached: CallTrace._was_attached,
    inputs.AttachFailed: CallTrace._attach_failed,
    inputs.Closed: CallTrace._closed,
    inputs.ToolEnded: CallTrace._tool_ended,
    inputs.Transfer: CallTrace._transfer,
    inputs.Referred: CallTrace._was_referred,
}
_EFFECTS: dict[type, Callable[[CallTrace, Any, float], None]] = {
    effects.Accept: CallTrace._accept,
    effects.Attach: CallTrace._attach,
    effects.RunTool: CallTrace._tool,
    effects.Fallback: CallTrace._fallback,
    effects.Tell: CallTrace._told,
    effects.Done: CallTrace._done,
    effects.HangUp: CallTrace._hang_up,
    effects.Finish: CallTrace._finish,
}
