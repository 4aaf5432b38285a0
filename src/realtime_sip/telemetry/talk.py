"""What is said in a call, and which tools run: a span for each turn, and below it its speech, responses and tools.

A turn begins with the caller's first sound, or with a response that answers nobody, and has the responses and tools up
to the next one. Who spoke when, and what belongs together, `call.record.turns` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import context
from opentelemetry.trace import SpanKind

from realtime_sip import events
from realtime_sip.call.machine.effects import RunTool
from realtime_sip.call.machine.inputs import ToolEnded
from realtime_sip.call.record.frame import get, plain, text
from realtime_sip.call.record.meter import Meter
from realtime_sip.call.record.turns import Turn, Turns
from realtime_sip.session import RealtimeSession
from realtime_sip.telemetry.instruments import Instruments
from realtime_sip.telemetry.names import OTHER
from realtime_sip.telemetry.spans import Attributes, Open, Spans, current
from realtime_sip.telemetry.spending import Spending, tokens_of
from realtime_sip.usage import TokenUsage

GENERATE = "generate_content"
EXECUTE = "execute_tool"
_PROVIDER = "openai"
_MAX_KEPT = 256
_FINISH = {"completed": "stop", "failed": "error"}


class _OpenTurn:
    """A turn whose span is open."""

    def __init__(self, key: str, span: Open) -> None:
        self.key = key
        self.span = span.span
        self.within = span.within()
        self.end = span.at
        self.below: set[str] = set()
        """The keys of the spans below it that are open."""
        self.unanswered = False
        """Whether the caller has spoken, or a tool was called, since its last response."""
        self.superseded = False


class Talk:
    """The turns, responses and tools of one call.

    Args:
        spans: The spans of the call.
        within: The context of the call's span.
        instruments: Count.
        call_id: The call's id.
        session: What the call is accepted with.
        meter: Has what the call has used.
    """

    def __init__(
        self,
        spans: Spans,
        within: context.Context,
        instruments: Instruments,
        *,
        call_id: str,
        session: RealtimeSession,
        meter: Meter,
    ) -> None:
        self._spans = spans
        self._call = within
        self._instruments = instruments
        self._call_id = call_id
        self._model = instruments.models.bounded(session.model)
        self._speaks = "audio" in (session.output_modalities or ["audio"])
        self._turns = Turns()
        self._turn: _OpenTurn | None = None
        self._speaking: _OpenTurn | None = None
        """The turn in which the caller speaks."""
        self._turn_of: dict[str, _OpenTurn] = {}
        """The turn of each response."""
        self._tools: dict[str, tuple[dict[str, str], _OpenTurn | None]] = {}
        """Of each tool that runs what its metric says, and the turn."""
        self._contexts: dict[str, context.Context] = {}
        """The context of each response's span, also after it has ended: tools go on."""
        self._kept: list[dict[str, Any]] = [
            *(self._turns.caller, self._turns.agent, self._turns.tools),
            *(self._turn_of, self._tools, self._contexts),
        ]
        self._count = 0
        self._spending = Spending(meter, instruments)
        self.answered_at: float | None = None
        """When the call was answered; None once the first word was heard."""

    # --- what happens -------------------------------------------------------------------------------------------------

    def receive(self, event: events.ServerEvent, at: float) -> None:
        """See what the service says."""
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            self._turns.receive(event.type, event, at)
            handler(self, event, at)
            for kept in self._kept:
                while len(kept) > _MAX_KEPT:
                    del kept[next(iter(kept))]

    def tool_begins(self, asked: RunTool, at: float) -> None:
        """See that a function is to be run."""
        called = self._turns.tools.get(asked.call_id)
        self._tool(asked.call_id, asked.name, "" if called is None else called.response_id, "function", at)

    def tool_ends(self, what: ToolEnded, at: float) -> None:
        """See that a function has its output."""
        self._turns.tools.pop(what.call_id, None)
        self._tool_over(what.call_id, at, failed=what.failed)

    @contextmanager
    def running(self, call_id: str) -> Iterator[None]:
        """Make the span of a tool the current one."""
        with current(self._spans.get(f"tool {call_id}")):
            yield

    def over(self, at: float) -> None:
        """See that the call has ended."""
        for turn in [self._speaking, *self._turn_of.values(), self._turn]:
            if turn is not None:
                for key in [*turn.below]:
                    self._end(key, turn, at)
        if self._turn is not None:
            self._supersede(self._turn)

    def adopted(self) -> None:
        """See that another worker had the call, which counts what was used there."""
        self._spending.begin()

    def cost(self, *, goes_on: bool) -> float | None:
        """Return what the call has cost, in USD, and tell it, unless the call goes on in another worker."""
        return self._spending.cost(self._model, told=not goes_on)

    # --- turns --------------------------------------------------------------------------------------------------------

    def _new_turn(self, at: float) -> _OpenTurn:
        if self._turn is not None:
            self._supersede(self._turn)
        self._count += 1
        key = f"turn {self._count}"
        attributes: Attributes = {"gen_ai.conversation.id": self._call_id, "realtime_sip.turn.number": self._count}
        span = self._spans.begin(key, "realtime_sip.turn", at, self._call, attributes=attributes)
        self._turn = _OpenTurn(key, span)
        return self._turn

    def _supersede(self, turn: _OpenTurn) -> None:
        """Let a turn end as soon as nothing of it is left: its speech may go on when the next one begins."""
        turn.superseded = True
        if not turn.below:
            self._spans.end(turn.key, turn.end)

    def _begin(self, key: str, name: str, at: float, turn: _OpenTurn | None, **options: Any) -> Open:
        within = self._call if turn is None else turn.within
        if turn is not None:
            turn.below.add(key)
        return self._spans.begin(key, name, at, within, **options)

    def _end(
        self,
        key: str,
        turn: _OpenTurn | None,
        at: float,
        attributes: Attributes | None = None,
        *,
        error: str | None = None,
    ) -> float | None:
        seconds = self._spans.end(key, at, attributes, error=error)
        if turn is not None and key in turn.below:
            turn.below.discard(key)
            turn.end = max(turn.end, at)
            if turn.superseded and not turn.below:
                self._spans.end(turn.key, turn.end)
        return seconds

    # --- the caller ---------------------------------------------------------------------------------------------------

    def _caller_began(self, event: events.ServerEvent, at: float) -> None:
        turn = self._turn
        if turn is None or not turn.unanswered:
            turn = self._new_turn(at)
        turn.unanswered = True
        self._caller_ended(event, at)  # else nobody has said so
        self._speaking = turn
        self._begin("caller", "realtime_sip.caller_speech", at, turn)

    def _caller_ended(self, _event: events.ServerEvent, at: float) -> None:
        self._end("caller", self._speaking, at)

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _made(self, event: events.ServerEvent, at: float) -> None:
        response_id = text(event, "response", "id")
        if not response_id or response_id in self._contexts:
            return
        turn = None if self._turns.of_agent(response_id).outside else self._turn_for_response(at)
        if turn is not None:
            turn.unanswered = False
            self._turn_of[response_id] = turn
        attributes = {
            "gen_ai.operation.name": GENERATE,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": self._model,
            "gen_ai.response.id": response_id,
            "gen_ai.conversation.id": self._call_id,
            "gen_ai.output.type": "speech" if self._speaks else "text",
        }
        key, name = f"response {response_id}", f"{GENERATE} {self._model}"
        span = self._begin(key, name, at, turn, kind=SpanKind.CLIENT, attributes=attributes)
        self._contexts[response_id] = span.within()

    def _turn_for_response(self, at: float) -> _OpenTurn:
        turn = self._turn
        return turn if turn is not None and (turn.unanswered or turn.below) else self._new_turn(at)

    def _done(self, event: events.ServerEvent, at: float) -> None:
        response = get(event, "response")
        response_id, status = text(response, "id"), text(response, "status")
        details = get(response, "status_details")
        reason = text(details, "reason") or _FINISH.get(status, status)
        error = None
        if status == "failed":
            error = self._instruments.errors.bounded(text(details, "error", "code") or text(details, "error", "type"))
        attributes: Attributes = {
            **tokens_of(TokenUsage.from_wire(plain(get(response, "usage")))),
            "gen_ai.response.finish_reasons": (self._instruments.errors.bounded(reason),),
        }
        seconds = self._end(f"response {response_id}", self._turn_of.get(response_id), at, attributes, error=error)
        of = {
            "gen_ai.operation.name": GENERATE,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": self._model,
        }
        if seconds is not None:
            how = of if error is None else {**of, "error.type": error}
            self._instruments.record("gen_ai.client.operation.duration", seconds, how)
        self._spending.response(of)

    def _audible(self, event: events.ServerEvent, at: float) -> None:
        response_id = text(event, "response_id")
        key, spoken = f"speech {response_id}", self._turns.of_agent(response_id)
        if key in self._spans or spoken.begin != at:
            return
        turn = self._turn_of.get(response_id)
        self._begin(key, "realtime_sip.agent_speech", at, turn, attributes={"gen_ai.response.id": response_id})
        if self.answered_at is not None:
            self._instruments.record("realtime_sip.call.time_to_first_word", at - self.answered_at)
            self.answered_at = None
        if spoken.wait is not None:
            self._instruments.record("realtime_sip.turn.wait", spoken.wait)
            if turn is not None:
                turn.span.set_attribute("realtime_sip.turn.wait", spoken.wait)

    def _silent(self, event: events.ServerEvent, at: float) -> None:
        response_id = text(event, "response_id")
        spoken: Turn = self._turns.of_agent(response_id)
        turn = self._turn_of.get(response_id)
        if turn is not None and spoken.interrupted and f"speech {response_id}" in self._spans:
            turn.span.set_attribute("realtime_sip.turn.interrupted", True)
        interrupted = {"realtime_sip.agent_speech.interrupted": spoken.interrupted}
        self._end(f"speech {response_id}", turn, at, interrupted)

    # --- tools --------------------------------------------------------------------------------------------------------

    def _tool(self, call_id: str, name: str, response_id: str, kind: str, at: float) -> None:
        name = self._instruments.tools.bounded(name)
        turn = self._turn_of.get(response_id)
        attributes = {
            "gen_ai.operation.name": EXECUTE,
            "gen_ai.tool.name": name,
            "gen_ai.tool.type": kind,
            "gen_ai.tool.call.id": call_id,
            "gen_ai.conversation.id": self._call_id,
        }
        key, within = f"tool {call_id}", self._contexts.get(response_id, self._call)
        self._spans.begin(key, f"{EXECUTE} {name}", at, within, attributes=attributes)
        self._tools[call_id] = ({"gen_ai.tool.name": name, "gen_ai.tool.type": kind}, turn)
        if turn is not None:
            turn.below.add(key)
            turn.unanswered = True

    def _tool_over(self, call_id: str, at: float, *, failed: bool) -> None:
        how, turn = self._tools.pop(call_id, ({}, None))
        error = "failed" if failed else None
        seconds = self._end(f"tool {call_id}", turn, at, error=error)
        if seconds is not None:
            how = how if error is None else {**how, "error.type": error}
            self._instruments.record("gen_ai.execute_tool.duration", seconds, how)

    def _mcp_began(self, event: events.ServerEvent, at: float) -> None:
        item_id = text(event, "item_id")
        called = self._turns.tools.get(item_id)
        if called is not None:
            self._tool(item_id, called.name, called.response_id, "extension", at)

    def _mcp_ended(self, event: events.ServerEvent, at: float) -> None:
        item_id = text(event, "item_id")
        called = self._turns.tools.pop(item_id, None)
        self._tool_over(item_id, at, failed=called is not None and called.failed)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _session(self, event: events.ServerEvent, _at: float) -> None:
        if self._model == OTHER:
            self._model = self._instruments.models.bounded(text(event, "session", "model"))

    def _transcribed(self, _event: events.ServerEvent, _at: float) -> None:
        self._spending.transcription()


_HANDLERS: dict[str, Callable[[Talk, events.ServerEvent, float], None]] = {
    "session.created": Talk._session,
    "session.updated": Talk._session,
    "input_audio_buffer.speech_started": Talk._caller_began,
    "input_audio_buffer.speech_stopped": Talk._caller_ended,
    "conversation.item.input_audio_transcription.completed": Talk._transcribed,
    "response.created": Talk._made,
    "response.output_item.added": lambda _talk, _event, _at: None,
    "response.output_item.done": lambda _talk, _event, _at: None,
    "response.function_call_arguments.done": lambda _talk, _event, _at: None,
    "response.done": Talk._done,
    "output_audio_buffer.started": Talk._audible,
    "output_audio_buffer.stopped": Talk._silent,
    "output_audio_buffer.cleared": Talk._silent,
    "response.mcp_call.in_progress": Talk._mcp_began,
    "response.mcp_call.completed": Talk._mcp_ended,
    "response.mcp_call.failed": Talk._mcp_ended,
}
"""What is seen of each type of event. Those without anything to do here are for who calls which tool."""

SEEN = frozenset(_HANDLERS)
"""The types of events in which there is something to see."""
