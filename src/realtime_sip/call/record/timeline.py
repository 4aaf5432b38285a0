"""The course of a call, read from its event log: who spoke when, which tools ran, what else happened, how it ended."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from realtime_sip.call.record.frame import get, text
from realtime_sip.call.record.meter import Meter
from realtime_sip.call.record.responses import Book
from realtime_sip.call.record.turns import Turns
from realtime_sip.event_log import CallLog, CallLogHeader, LogEntry
from realtime_sip.rates import RateCard
from realtime_sip.usage import Usage

_WITHHELD = re.compile(r"<([0-9]+) chars>")
_MAX_TEXT = 20_000

KEY_PRESSED = "key pressed"
RESPONSE_FAILED = "response failed"
"""What marks are called that others look for."""


@dataclass(frozen=True, slots=True)
class Words:
    """What was said, or how much of it there was if the log is redacted.

    >>> Words.of("<52 chars>", redacted=True)
    Words(characters=52)
    >>> str(Words.of("<52 chars>", redacted=True)), str(Words.of("Good morning.", redacted=False))
    ('[52 characters]', 'Good morning.')
    """

    characters: int
    text: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, value: str, *, redacted: bool) -> Words:
        """Read a text of a log."""
        withheld = _WITHHELD.fullmatch(value) if redacted else None
        if withheld is not None:
            return cls(min(int(withheld[1]), _MAX_TEXT))
        return cls(len(value), value[:_MAX_TEXT])

    def __str__(self) -> str:
        return f"[{self.characters} characters]" if self.text is None else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What one side said in one turn. Times are seconds since answering began.

    Attributes:
        by: "caller" or "agent".
        begin: When the service reported that it began: the caller's first sound, or the agent's audio playing.
        end: The same for its end; None if that was not reported.
        words: What was said: for the agent, all that was made; for the caller, as transcribed, or None.
        interrupted: Whether the agent was cut off.
        wait: Agent: seconds from the end of the caller's turn to the first audio of this answer, the time of tools
            between them included. None if it answers no speech. The service ends a turn some silence after its last
            word; that silence is not in it.
        tokens: Tokens of the response, in and out.
        response_id: Agent: the response that it is.
    """

    by: Literal["caller", "agent"]
    begin: float
    end: float | None
    words: Words | None
    interrupted: bool = False
    wait: float | None = None
    tokens: int = 0
    response_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """A function that the program ran, or a tool of an MCP server that the service ran.

    Attributes:
        name: Its name.
        server: The label of its MCP server; "" for a function.
        begin: When the model had written its arguments.
        end: When its output was sent, or the server's was reported; None if never.
        arguments: Its arguments, as JSON.
        output: What it returned; None if that is not known.
        failed: Whether the MCP server failed. A function's failure is in its output.
        response_id: The response that called it.
    """

    name: str
    server: str = ""
    begin: float
    end: float | None
    arguments: Words | None
    output: Words | None
    failed: bool = False
    response_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Anything else that happened: `what` in a word or two, `detail` in a sentence that is safe to show."""

    begin: float
    what: str
    detail: str = ""
    alarming: bool = False


Row: TypeAlias = Speech | ToolRun | Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the call ended, as `CallEnded` says it: `reason` and `certainty`, with the evidence."""

    at: float
    reason: str
    certainty: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A call as it went.

    Attributes:
        header: What the log says about itself.
        model: The model that the service reported, or "".
        rows: What happened, in the order in which it began.
        ending: How it ended; None if the log does not say, as after a crash.
        seconds: How long the call was, or the log is.
        usage: Tokens and transcription.
        cost: In USD by the published rates, or None if something has no known price.
        rates: The date of those rates.
        cut: Whether the log's last line was cut off.
    """

    header: CallLogHeader
    model: str
    rows: tuple[Row, ...] = field(repr=False)
    ending: Ending | None
    seconds: float
    usage: Usage
    cost: Decimal | None
    rates: str
    cut: bool

    @property
    def speeches(self) -> list[Speech]:
        """What was said."""
        return [row for row in self.rows if isinstance(row, Speech)]

    @property
    def tools(self) -> list[ToolRun]:
        """What ran."""
        return [row for row in self.rows if isinstance(row, ToolRun)]

    @property
    def waits(self) -> list[float]:
        """How long the caller waited for each answer, in seconds."""
        return [row.wait for row in self.speeches if row.wait is not None]

    @property
    def median_wait(self) -> float | None:
        """The median of `waits`."""
        return statistics.median(self.waits) if self.waits else None

    @property
    def interruptions(self) -> int:
        """How often the agent was cut off."""
        return sum(row.interrupted for row in self.speeches)

    def spoken(self, by: Literal["caller", "agent"]) -> float:
        """Return for how many seconds a side spoke, as far as ends were reported."""
        return sum(row.end - row.begin for row in self.speeches if row.by == by and row.end is not None)


def timeline(log: CallLog, rates: RateCard | None = None) -> Timeline:
    """Read the course of a call from its log, redacted or not. `rates` are the published ones by default.

    Whatever the log holds, nothing is raised: what cannot be read is left out.
    """
    return _Reader(log, rates or RateCard.published()).read()


class _Reader:
    def __init__(self, log: CallLog, rates: RateCard) -> None:
        self._log = log
        self._rates = rates
        self._meter = Meter(Book(), rates, model=None, transcription_model=None)
        self._turns = Turns()
        self._texts: dict[tuple[str, str], dict[tuple[str, int], str]] = {}  # by whom, and the item or response
        self._arguments: dict[str, str] = {}
        self._outputs: dict[str, str] = {}
        self._marks: list[Mark] = []
        self._ending: Ending | None = None
        self._model = ""
        self._updates = 0

    def read(self) -> Timeline:
        for entry in self._log.entries:
            if entry.source == "service":
                self._turns.receive(entry.type, entry.data, entry.at)
                event = entry.event()
                if event is not None:
                    self._meter.receive(event)
            handler = _HANDLERS.get((entry.source, entry.type))
            if handler is not None:
                handler(self, entry)
        if self._ending is None:
            self._meter.mark_incomplete()
        entries, usage = self._log.entries, self._meter.usage
        last = max((entry.at for entry in entries), default=0.0)
        return Timeline(
            header=self._log.header,
            model=self._model,
            rows=tuple(sorted([*self._speeches(), *self._runs(), *self._marks], key=_place)),
            ending=self._ending,
            seconds=last if self._ending is None else self._ending.at,
            usage=usage,
            cost=self._meter.cost,
            rates=f"{self._rates.as_of:%Y-%m-%d}",
            cut=self._log.cut,
        )

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _words(self, value: str | None) -> Words | None:
        return None if value is None else Words.of(value, redacted=self._log.header.redacted)

    def _said(self, by: str, name: str) -> Words | None:
        texts = self._texts.get((by, name))
        if not texts:
            return None
        words = [Words.of(part, redacted=self._log.header.redacted) for part in texts.values()]
        if any(part.text is None for part in words):
            return Words(sum(part.characters for part in words))
        return self._words(" ".join(part.text.strip() for part in words if part.text))

    def _speeches(self) -> Iterator[Speech]:
        for item_id, turn in self._turns.caller.items():
            if turn.begin is not None:
                yield Speech(by="caller", begin=turn.begin, end=turn.end, words=self._said("caller", item_id))
        for response_id, turn in self._turns.agent.items():
            if turn.begin is not None and not turn.outside:
                yield Speech(
                    by="agent",
                    begin=turn.begin,
                    end=turn.end,
                    words=self._said("agent", response_id),
                    interrupted=turn.interrupted,
                    wait=turn.wait,
                    tokens=turn.tokens,
                    response_id=response_id,
                )

    def _runs(self) -> Iterator[ToolRun]:
        for name, tool in self._turns.tools.items():
            if tool.begin is not None:
                yield ToolRun(
                    name=tool.name,
                    server=tool.server,
                    begin=tool.begin,
                    end=tool.end,
                    arguments=self._words(self._arguments.get(name)),
                    output=self._words(self._outputs.get(name)),
                    failed=tool.failed,
                    response_id=tool.response_id,
                )

    def _mark(self, entry: LogEntry, what: str, detail: str = "", *, alarming: bool = False) -> None:
        self._marks.append(Mark(begin=entry.at, what=what, detail=detail, alarming=alarming))

    # --- the caller ---------------------------------------------------------------------------------------------------

    def _note_text(self, by: str, name: str, place: tuple[str, int], words: str) -> None:
        self._texts.setdefault((by, name), {})[place] = words

    def _transcribed(self, entry: LogEntry) -> None:
        self._note_text("caller", text(entry.data, "item_id"), ("", _index(entry)), text(entry.data, "transcript"))

    def _not_transcribed(self, entry: LogEntry) -> None:
        self._mark(entry, "not transcribed", text(entry.data, "error", "code"), alarming=True)

    def _key(self, entry: LogEntry) -> None:
        key = Words.of(text(entry.data, "event"), redacted=self._log.header.redacted or entry.withheld)
        self._mark(entry, KEY_PRESSED, key.text or "")

    # --- the agent ----------------------------------------------------------------------------------------------------

    def _says(self, entry: LogEntry) -> None:
        field_name = "text" if entry.type == "response.output_text.done" else "transcript"
        place = (text(entry.data, "item_id"), _index(entry))
        self._note_text("agent", text(entry.data, "response_id"), place, text(entry.data, field_name))

    def _done(self, entry: LogEntry) -> None:
        response = entry.data.get("response")
        status, details = text(response, "status"), get(response, "status_details")
        if status in ("failed", "incomplete"):
            reason = text(details, "reason") or text(details, "error", "code") or status
            self._mark(entry, RESPONSE_FAILED, reason, alarming=True)

    # --- tools --------------------------------------------------------------------------------------------------------

    def _mcp_call(self, entry: LogEntry) -> None:
        item = entry.data.get("item")
        if text(item, "type") == "mcp_call":
            name, output, arguments = text(item, "id"), get(item, "output"), get(item, "arguments")
            if isinstance(output, str):
                self._outputs[name] = output
            if isinstance(arguments, str):
                self._arguments[name] = arguments

    def _called(self, entry: LogEntry) -> None:
        self._arguments[text(entry.data, "call_id")] = text(entry.data, "arguments")

    def _sent(self, entry: LogEntry) -> None:
        item = entry.data.get("item")
        kind, name = text(item, "type"), text(item, "call_id")
        self._turns.send(entry.data, entry.at)
        if kind == "function_call_output" and name in self._turns.tools:
            self._outputs.setdefault(name, text(item, "output"))
        elif kind == "message":
            self._mark(entry, "message added", text(item, "role"))

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _session(self, entry: LogEntry) -> None:
        self._model = text(entry.data, "session", "model") or self._model

    def _updated(self, entry: LogEntry) -> None:
        session = entry.data.get("session")
        changed = sorted(name for name in session if name != "type") if isinstance(session, dict) else []
        if changed:
            self._mark(entry, "session updated", ", ".join(changed))

    def _error(self, entry: LogEntry) -> None:
        code = text(entry.data, "error", "code") or text(entry.data, "error", "type")
        self._mark(entry, "error", code, alarming=True)

    def _note(self, entry: LogEntry) -> None:
        what, fields, alarming = _NOTES[entry.type]
        values = [get(entry.data, name) for name in fields]
        told = [str(value) for value in values if isinstance(value, (str, int, float)) and not isinstance(value, bool)]
        self._mark(entry, what, ", ".join(told), alarming=alarming)

    def _gap(self, entry: LogEntry) -> None:
        start, end = get(entry.data, "start"), get(entry.data, "end")
        seconds = end - start if isinstance(start, (int, float)) and isinstance(end, (int, float)) else 0.0
        self._mark(entry, "sideband was down", f"for {max(seconds, 0.0):.1f} s", alarming=True)

    def _adopted(self, entry: LogEntry) -> None:
        self._meter.mark_incomplete()
        self._mark(entry, "taken over from another worker")

    def _ended(self, entry: LogEntry) -> None:
        if text(entry.data, "reason") == "detached":
            self._meter.mark_incomplete()
        self._ending = Ending(
            at=entry.at,
            reason=text(entry.data, "reason"),
            certainty=text(entry.data, "certainty"),
            evidence=text(entry.data, "evidence"),
        )


def _index(entry: LogEntry) -> int:
    index = get(entry.data, "content_index")
    return index if isinstance(index, int) else 0


_NOTES: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "call.limit_near": ("limit near", ("limit", "seconds"), True),
    "call.transfer_failed": ("transfer failed", ("target", "failure", "evidence"), True),
    "call.service_refused": ("service refused", ("kind", "code", "param"), True),
    "call.escalation": ("escalation", ("cause",), True),
    "call.answered": ("answered by", ("who", "certainty"), False),
    "call.events_dropped": ("events dropped", ("count",), True),
    "call.log_full": ("log full", (), True),
    "call.log_dropped": ("log entries dropped", ("count",), True),
    "call.started": ("connected", (), False),
}
"""What each note of the call is called, which of its fields are shown, and whether it is alarming."""

_Handler: TypeAlias = Callable[[_Reader, LogEntry], None]

_HANDLERS: dict[tuple[str, str], _Handler] = {
    ("service", "conversation.item.input_audio_transcription.completed"): _Reader._transcribed,
    ("service", "conversation.item.input_audio_transcription.failed"): _Reader._not_transcribed,
    ("service", "input_audio_buffer.dtmf_event_received"): _Reader._key,
    ("service", "response.output_audio_transcript.done"): _Reader._says,
    ("service", "response.output_text.done"): _Reader._says,
    ("service", "response.done"): _Reader._done,
    ("service", "response.output_item.done"): _Reader._mcp_call,
    ("service", "response.function_call_arguments.done"): _Reader._called,
    ("program", "conversation.item.create"): _Reader._sent,
    ("service", "session.created"): _Reader._session,
    ("service", "session.updated"): _Reader._session,
    ("program", "session.update"): _Reader._updated,
    ("service", "error"): _Reader._error,
    ("call", "call.gap"): _Reader._gap,
    ("call", "call.adopted"): _Reader._adopted,
    ("call", "call.ended"): _Reader._ended,
    **{("call", kind): _Reader._note for kind in _NOTES},
}


def _place(row: Row) -> tuple[float, bool]:
    # What was cut off stands before what cut it off, though both began in one millisecond.
    return row.begin, not (isinstance(row, Speech) and row.interrupted)
