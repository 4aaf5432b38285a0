"""When a person should help a caller: counted from what goes wrong, without I/O.

OpenAI's prompting guide (November 2026) says to escalate after two failed attempts of a tool at the same task, after
three turns in a row without input, and when the model finds a reason. The tool `transfer_to_human` is for the last.
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
    """Several turns in a row had no words: the idle timeout of turn detection, or an empty transcript."""
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
        turns_without_input: Turns of the caller without a word. Silent turns are counted if turn detection has
            `idle_timeout_ms`, turns that hold no words if the session has transcription.

    Raises:
        ConfigurationError: A number is not positive.
    """

    tool_failures: int | None = 2
    turns_without_input: int | None = 3

    def __post_init__(self) -> None:
        """Refuse numbers that are not positive."""
        for name in ("tool_failures", "turns_without_input"):
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
        self._without_input = 0
        self._before_words = 0  # turns without input before a turn that seems to have words
        self._counted: dict[str, None] = {}  # ids of the items of turns without input

    def receive(self, event: events.ServerEvent) -> Escalation | None:
        """Take in what the service says."""
        match event.type:
            case "input_audio_buffer.timeout_triggered":
                return self._silent(text(event, "item_id"))
            case "input_audio_buffer.speech_started":
                # Words are likely. If the transcript, which comes later, has none, the turn counts all the same.
                self._before_words = self._without_input or self._before_words
                self._without_input = 0
            case "input_audio_buffer.dtmf_event_received":
                self._without_input = self._before_words = 0
            case "conversation.item.input_audio_transcription.failed":
                self._before_words = 0  # nobody knows that it had no words
            case "conversation.item.input_audio_transcription.completed":
                words = get(event, "transcript")
                if isinstance(words, str) and not words.strip():
                    return self._silent(text(event, "item_id"), before=self._before_words)
                if isinstance(words, str):
                    self._without_input = self._before_words = 0
        return None

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
        if item_id:
            if item_id in self._counted:
                return None
            self._counted[item_id] = None
            if len(self._counted) > _REMEMBERED:
                del self._counted[next(iter(self._counted))]
        self._without_input = max(self._without_input, before) + 1
        if self._rules.turns_without_input is None or self._without_input < self._rules.turns_without_input:
            return None
        count, self._without_input, self._before_words = self._without_input, 0, 0
        return Escalation(EscalationCause.NO_INPUT, count)
