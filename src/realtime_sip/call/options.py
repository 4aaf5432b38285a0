"""The options of answering a call, and the functions of the program that are asked while it is up."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from realtime_sip._program_errors import ProgramErrors
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.effects import AskApproval
from realtime_sip.call.machine.targets import TransferTargets
from realtime_sip.call.record.struggle import EscalationRules
from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import EventLogFolder
from realtime_sip.rates import RateCard
from realtime_sip.tools.registry import Tools

if TYPE_CHECKING:
    from realtime_sip.call.call import Call

ApproveMcp = Callable[[AskApproval], bool | Awaitable[bool]]
"""Asked with what an MCP server is about to be called with. Returns whether it may be called."""

CheckTool = Callable[[str, dict[str, Any]], str | Awaitable[str | None] | None]
"""Asked with a tool's name and its checked arguments before it runs. Returns why it may not run, or None."""

CheckSpeech = Callable[[str], str | Awaitable[str | None] | None]
"""Asked with what the model has said so far in a response. Returns None to let it go on. Anything else stops it: the
instructions for what to say instead, or "" for nothing."""


Around = Callable[[], AbstractContextManager[object]]
"""Returns what is entered around the program's code, as a framework needs it: around each handler in its task, around
each tool in its task or thread."""

around_code: ContextVar[Around] = ContextVar("realtime_sip.around_code", default=nullcontext)
"""A host sets it for its handlers, or a framework's webhook for the call that it submits; their tools have it too."""

Failed = Callable[[logging.Logger, str, BaseException], None]
"""Tells what the program's own code has raised: where to log it, what has failed, and how."""


def logged(log: logging.Logger, what: str, error: BaseException) -> None:
    """Tell it to the log alone, outside of a call."""
    ProgramErrors().tell(log, what, error, call_id="-")


class OnError(Protocol):
    """Called with what the program's own code has raised; plain or async; an error tracker is attached here.

    `call` is None before `answer`. What it raises itself is logged, and nothing else.
    """

    def __call__(self, error: BaseException, *, call_id: str, call: Call | None) -> Awaitable[object] | object: ...


AskConsent = Callable[["Call"], bool | Awaitable[bool]]
"""Asked with the call: it gives notice, and asks the caller. Returns True if the call may be logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """The options of `AsyncCalls.answer`, which says what each of them means."""

    tools: Tools = field(default_factory=Tools)
    limits: CallLimits = field(default_factory=CallLimits)
    transfers: TransferTargets | None = None
    escalation: EscalationRules = field(default_factory=EscalationRules)
    rates: RateCard = field(default_factory=RateCard.published)
    event_log: EventLogFolder | None = None
    consent: AskConsent | None = None
    approve_mcp: ApproveMcp | None = None
    check_tool: CheckTool | None = None
    check_speech: CheckSpeech | None = None
    greet_undisturbed: bool = False
    errors: ProgramErrors = field(default_factory=ProgramErrors)

    def __post_init__(self) -> None:
        """Refuse what is of the wrong kind before the phone rings for it.

        Raises:
            ConfigurationError: It says what is wanted instead.
        """
        for name, (kind, advice) in _KINDS.items():
            value = getattr(self, name)
            if not (isinstance(value, kind) or (value is None and name in _OPTIONAL)):
                raise ConfigurationError(f"{name} must be {advice}, not {type(value).__name__}")
        for name in ("consent", "approve_mcp", "check_tool", "check_speech"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise ConfigurationError(f"{name} must be a function, plain or async, not {type(value).__name__}")


_KINDS: dict[str, tuple[type, str]] = {
    "tools": (Tools, "a registry: Tools([look_up])"),
    "limits": (CallLimits, "CallLimits(…)"),
    "transfers": (TransferTargets, "TransferTargets({name: where})"),
    "escalation": (EscalationRules, "EscalationRules(…)"),
    "rates": (RateCard, "a RateCard"),
    "event_log": (EventLogFolder, "an EventLogFolder(…)"),
    "greet_undisturbed": (bool, "True or False"),
}
_OPTIONAL = {"transfers", "event_log"}
