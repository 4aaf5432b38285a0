"""What of a webhook's context its call keeps: context variables, without those that are dead once it is answered.

A middleware's variables (a tenant, a request id) are seen by handlers and tools. Left out are Flask's contexts, which
are torn down with the request, and the executors of asgiref, Django's, which quit with it. The request's span ends with
it too, so that nothing may become its child: a call has a span of its own, with a link to it.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from realtime_sip._about import about_call

_DEAD = ("flask.", "asgiref.")
"""What the names of their variables begin with; more of asgiref's are attributes of two classes."""

webhooks_span: contextvars.ContextVar[Any] = contextvars.ContextVar("realtime_sip.webhooks_span", default=None)
"""The span of the request that announced a call, as a `SpanContext`, or None."""


def of_call(call_id: str) -> contextvars.Context:
    """Return a copy of the running context for a call, which outlives its webhook."""
    kept = contextvars.Context()
    dead = _of_asgiref()
    for variable, value in contextvars.copy_context().items():
        if not (variable.name.startswith(_DEAD) or variable in dead):
            kept.run(variable.set, value)
    kept.run(_leave_span)
    kept.run(about_call.set, call_id)
    return kept


def _of_asgiref() -> set[object]:
    asgiref = sys.modules.get("asgiref.sync")
    if asgiref is None:
        return set()
    held = [*vars(asgiref.SyncToAsync).values(), *vars(asgiref.AsyncToSync).values()]
    return {each for each in held if isinstance(each, contextvars.ContextVar)}


def _leave_span() -> None:
    trace = sys.modules.get("opentelemetry.trace")
    span = None if trace is None else trace.get_current_span().get_span_context()
    if trace is not None and span is not None and span.is_valid:
        webhooks_span.set(span)
        # What else is in there, such as baggage, is kept.
        sys.modules["opentelemetry.context"].attach(trace.set_span_in_context(trace.INVALID_SPAN))


@contextmanager
def span_of_call() -> Iterator[None]:
    """Open a span for the call, with a link to the webhook's. If that had none, open none."""
    span = webhooks_span.get()
    if span is None:
        yield
        return
    trace = sys.modules["opentelemetry.trace"]
    tracer = trace.get_tracer("realtime_sip")
    # A message of the program's exception may hold anything.
    with tracer.start_as_current_span(
        "realtime_sip.call", links=[trace.Link(span)], record_exception=False, set_status_on_exception=False
    ):
        yield
