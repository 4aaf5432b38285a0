"""When a person should help a caller: counted from what goes wrong, without I/O.

OpenAI's prompting guide (November 2026) says to escalate after two failed attempts of a tool at the same task, after
three turns in a row without input or without a match, and when the model finds a reason. The tool `not_understood`
reports turns without a match, and `transfer_to_human` is for the model's reasons.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

from realtime_sip import events
from realtime_sip.call.record.frame import get, text
from realtime_sip.errors import ConfigurationError

_MAX_TOOLS = 200
_REMEMBERED = 100


class EscalationCause(Enum):
    """Why a person should help."""

    TOOL_FAILURES = "tool failures"
    """A tool failed several times in a row."""
    NO_INPUT = "no input"
    """Several turns in a row came to nothing. The last had no words: an idle timeout, or an empty transcript."""
    NO_MATCH = "no match"
    """Several turns in a row came to nothing. Of the last the model says so: it called `not_understood`."""
    RESPONSE_FAILURES = "response failures"
    """The service failed several times in a row to make a response that the caller waits for."""
    TOOL_ROUNDS = "tool rounds"
    """The model keeps calling tools without saying anything."""
    MODEL = "model"
    """The model called `transfer_to_human`."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """A person should help. It is among the events of the call; the program decides what to do.

    Attributes:
        cause: Why.
        count: How many failures or turns without input there were; 1 for the model's request.
        tool: The tool that failed, or None.
        target: The name that the model chose from the allow-list, or None. If there is one, the transfer is under way.
        reason: The model's reason, or "".
        summary: The model's summary for the person, or "".
    """

    type: ClassVar[str] = "call.escalation"
    cause: EscalationCause
    count: int = 1
    tool: str | None = None
    target: str | None = None
    reason: str = field(default="", repr=False)
    summary: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationRules:
    """After how many failures in a row a person should help. None turns a rule off.

    Attributes:
        tool_failures: Failures of one tool: an exception, no result in time, or arguments that do not fit.
        missed_turns: Turns of the caller without input or without a match. Silent turns are counted if turn detection
            has `idle_timeout_ms`, turns that hold no words if the session has transcription, and turns that match
            nothing if the model has the tool `not_understood`.

    Raises:
        ConfigurationError: A number is not positive.
    """

    tool_failures: int | None = 2
    missed_turns: int | None = 3

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        for name in ("tool_failures", "missed_turns"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"{name} must be 1 or more, or None")


STRUGGLES = frozenset(
    {
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.dtmf_event_received",
        "conversation.item.input_audio_transcription.failed",
        "conversation.item.input_audio_transcription.completed",
    }
)
"""The types of the events that `Struggle.receive` takes in; of others it knows nothing."""


class Struggle:
    """Counts what goes wrong on one call. Each rule fires once, and again each time that as much went wrong again."""

    def __init__(self, rules: EscalationRules) -> None:
        self._rules = rules
        self._failures: Counter[str] = Counter()
        self._missed = 0
        self._before_words = 0  # missed turns before a turn that seems to have words
        self._before_turn: int | None = None  # missed turns before the turn that the model can report; None if it has
        self._turn = ""  # the item of that turn
        self._counted: dict[str, bool] = {}  # item of a missed turn -> whether the model reported it

    def receive(self, event: events.ServerEvent) -> Escalation | None:
        """Take in what the service says."""
        match event.type:
            case "input_audio_buffer.timeout_triggered":
                self._before_turn = None
                return self._silent(text(event, "item_id"))
            case "input_audio_buffer.speech_started":
                self._before_turn, self._turn = self._missed, text(event, "item_id")
                # Words are likely. If the transcript, which comes later, has none, the turn counts all the same.
                self._before_words = self._missed or self._before_words
                self._missed = 0
            case "input_audio_buffer.dtmf_event_received":
                self._missed = self._before_words = 0
                self._before_turn = None
            case "conversation.item.input_audio_transcription.failed":
                self._before_words = 0  # nobody knows that it had no words
            case "conversation.item.input_audio_transcription.completed":
                words, item_id = get(event, "transcript"), text(event, "item_id")
                if isinstance(words, str) and not words.strip():
                    return self._silent(item_id, before=self._before_words)
                # Words that the model could not match come late, and do not speak against it.
                if isinstance(words, str) and not self._counted.get(item_id):
                    self._missed = self._before_words = 0
        return None

    def not_matched(self) -> Escalation | None:
        """Take in that the caller's latest turn matched nothing, as the model reports. A turn counts once."""
        if self._before_turn is None or self._turn in self._counted:
            return None
        before, self._before_turn, self._before_words = self._before_turn, None, 0
        self._note(self._turn, reported=True)
        return self._miss(EscalationCause.NO_MATCH, before=before)

    def tool_ended(self, name: str, *, failed: bool) -> Escalation | None:
        """Note how a tool ended."""
        if not failed:
            del self._failures[name]
            return None
        if name not in self._failures and len(self._failures) >= _MAX_TOOLS:
            self._failures.clear()
        self._failures[name] += 1
        if self._rules.tool_failures is None or self._failures[name] < self._rules.tool_failures:
            return None
        count = self._failures.pop(name)
        return Escalation(EscalationCause.TOOL_FAILURES, count, tool=name)

    def _silent(self, item_id: str, *, before: int = 0) -> Escalation | None:
        # The silence that ends with the idle timeout is an item too, and may get a transcript.
        if item_id in self._counted:
            return None
        self._note(item_id, reported=False)
        return self._miss(EscalationCause.NO_INPUT, before=before)

    def _note(self, item_id: str, *, reported: bool) -> None:
        if item_id:
            self._counted[item_id] = reported
            if len(self._counted) > _REMEMBERED:
                del self._counted[next(iter(self._counted))]

    def _miss(self, cause: EscalationCause, *, before: int) -> Escalation | None:
        self._missed = max(self._missed, before) + 1
        if self._rules.missed_turns is None or self._missed < self._rules.missed_turns:
            return None
        count, self._missed, self._before_words = self._missed, 0, 0
        return Escalation(cause, count)
