"""What the caller and the model do on an emulated call, step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from realtime_sip.errors import ConfigurationError

__all__ = [
    "CallerHangsUp",
    "CallerPresses",
    "CallerSays",
    "CallerStep",
    "During",
    "ModelCalls",
    "ModelCallsMcp",
    "ModelFails",
    "ModelSays",
    "ModelSaysNothing",
    "ModelStep",
    "Scenario",
    "Step",
]

Phase = Literal["commentary", "final_answer"]
"""What a message of the model is for, if a response holds several."""

During = Literal["speech", "tool"]
"""When a caller's step may begin early: while the model is heard ("speech"); or while the output of a function, a call
of an MCP server or its approval is awaited ("tool")."""

_DIGITS = frozenset("0123456789*#ABCD")
_MAX_STEPS = 1000
_MAX_TEXT = 20_000


class Step:
    """Something that happens in a scenario. Make one of its kinds, not a step itself."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CallerSays(Step):
    """The caller says `text`.

    The step begins when the line is quiet: no response is active or expected, and nothing is playing. With
    `during="speech"` it begins while the model is heard, which `interrupting=True` says too; with `during="tool"` while
    the model waits for a function. `after` is a delay in seconds of the emulator's clock. With `transcribed=False` the
    transcription of these words fails, with `conversation.item.input_audio_transcription.failed`. Speaking takes
    `seconds`, or as long as the caller's pace makes it (`Timings`).
    """

    text: str = field(repr=False)
    interrupting: bool = field(default=False, kw_only=True)
    during: During | None = field(default=None, kw_only=True)
    after: float = field(default=0.0, kw_only=True)
    transcribed: bool = field(default=True, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _check_text(self.text, "text")
        _check_seconds(self.seconds)
        _check_begin(self)


@dataclass(frozen=True, slots=True)
class CallerPresses(Step):
    """The caller presses the keys `digits`, of 0-9, *, #, A-D: one DTMF event each, `Timings.digit` apart.

    It begins as `CallerSays` does, but does not wait for an answer to what was said before if turn detection starts
    none (`create_response: false`). After other keys the line is quiet at once, so that `Timings.pause` and `after` lie
    between the last of those and the first of these.
    """

    digits: str = field(repr=False)
    interrupting: bool = field(default=False, kw_only=True)
    during: During | None = field(default=None, kw_only=True)
    after: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse keys that no telephone has."""
        if not self.digits or len(self.digits) > 100 or not _DIGITS.issuperset(self.digits):
            raise ConfigurationError("digits must be 1 to 100 of 0-9, *, #, A-D")
        _check_begin(self)


@dataclass(frozen=True, slots=True)
class CallerHangsUp(Step):
    """The caller hangs up: the sideband closes at once, and what was not delivered is lost.

    It begins as `CallerSays` does.

    With `while_ringing`, which makes sense only as the first step, the caller gives up before anyone accepts, `after`
    seconds after the webhook was sent.
    """

    interrupting: bool = field(default=False, kw_only=True)
    during: During | None = field(default=None, kw_only=True)
    after: float = field(default=0.0, kw_only=True)
    while_ringing: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        _check_begin(self)
        if self.while_ringing and (self.interrupting or self.during):
            raise ConfigurationError("nobody can be interrupted while the phone rings")


@dataclass(frozen=True, slots=True)
class ModelSays(Step):
    """The model's next response is `text`, spoken or written as the session's modality has it.

    Speaking takes `seconds`, or as long as the model's pace makes it (`Timings`); in steps of 50 ms, one audio token
    each, as `usage` says.

    With `same_response` it is one more item of the response of the step before. With `out_of_band` it is the next
    response outside of the conversation (`conversation: "none"`), whenever a client asks for one.

    `phase` is that of the message, if a response holds several (reasoning models say "commentary" before the
    "final_answer"); it stands on the item, as in the Responses API, whose name it has. `as_text` writes the text in a
    session of audio too, so that there is nothing to hear.
    """

    text: str = field(repr=False)
    same_response: bool = field(default=False, kw_only=True)
    out_of_band: bool = field(default=False, kw_only=True)
    seconds: float | None = field(default=None, kw_only=True)
    phase: Phase | None = field(default=None, kw_only=True)
    as_text: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.phase is not None and self.phase not in get_args(Phase):
            raise ConfigurationError(f"phase must be one of: {', '.join(get_args(Phase))}")
        _check_text(self.text, "text")
        _check_seconds(self.seconds)


@dataclass(frozen=True, slots=True)
class ModelSaysNothing(Step):
    """The model's next response is completed, and has no content."""

    out_of_band: bool = field(default=False, kw_only=True)

    @property
    def same_response(self) -> bool:
        """Always False."""
        return False


@dataclass(frozen=True, slots=True)
class ModelCalls(Step):
    """The model's next response calls the function `name`.

    `arguments` is a mapping, or a string that is sent as it is, so that arguments that are not JSON can be tried too.
    The response to the client's `response.create` after its output takes the next model step. `same_response` and
    `out_of_band` are as in `ModelSays`: several calls in one response are parallel ones.

    With `again` the model is in a loop: every response from here on calls the function, until one has `tool_choice:
    "none"`, or the words `until` are in its instructions, in those of the session, or in a system message. That
    response takes the next step.
    """

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict[str, object], repr=False)
    same_response: bool = field(default=False, kw_only=True)
    out_of_band: bool = field(default=False, kw_only=True)
    again: bool = field(default=False, kw_only=True)
    until: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a call without a name, or with arguments that JSON cannot hold."""
        _check_text(self.name, "name")
        if self.until and not self.again:
            raise ConfigurationError("until says when again ends")
        if self.again and (self.same_response or self.out_of_band):
            raise ConfigurationError("again is for a response of its own in the conversation")
        if len(self.as_json()) > _MAX_TEXT:
            raise ConfigurationError(f"arguments must be at most {_MAX_TEXT} characters of JSON")

    def as_json(self) -> str:
        """Return the arguments as the model writes them."""
        return _written(self.arguments)


@dataclass(frozen=True, slots=True)
class ModelCallsMcp(Step):
    """The model's next response makes the service call the tool `name` of the MCP server `server_label`.

    The server takes `seconds` of the emulator's clock (`Timings.mcp_call` if left out), and answers with
    `output`; or fails, with `error` as the message. The service asks for approval as the session's tool says, or as
    `approval` does; if the client denies it, no more events of the call are sent. Several calls in one response run at
    once. `same_response` is as in `ModelSays`.
    """

    server_label: str
    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict[str, object], repr=False)
    output: str = field(default="", kw_only=True, repr=False)
    error: str | None = field(default=None, kw_only=True, repr=False)
    seconds: float | None = field(default=None, kw_only=True)
    approval: bool | None = field(default=None, kw_only=True)
    same_response: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a call without a name, or with arguments that JSON cannot hold."""
        _check_text(self.server_label, "server_label")
        _check_text(self.name, "name")
        if max(len(self.as_json()), len(self.output)) > _MAX_TEXT:
            raise ConfigurationError(f"arguments and output must be at most {_MAX_TEXT} characters")
        _check_seconds(self.seconds)

    @property
    def out_of_band(self) -> bool:
        """Always False: it is not known how MCP calls outside of the conversation go."""
        return False

    def as_json(self) -> str:
        """Return the arguments as the model writes them."""
        return _written(self.arguments)


@dataclass(frozen=True, slots=True)
class ModelFails(Step):
    """The model's next response ends for `reason` instead of being completed.

    "content_filter" and "max_output_tokens" make it `incomplete`; "turn_detected" and "client_cancelled" `cancelled`,
    though nobody spoke and nobody asked for that; anything else is the code of an error with which it has `failed`, as
    "rate_limit_exceeded", "server_error", "insufficient_quota", or None without a code. `message` is that error's.

    Before that it says `text`, if there is any (in `seconds`, as in `ModelSays`); or, with `calling`, it breaks off in
    the middle of the arguments for the function of that name. `same_response` and `out_of_band` are as in `ModelSays`;
    nothing can follow in the same response. `times` responses in a row fail this way.
    """

    reason: str | None
    text: str = field(default="", kw_only=True, repr=False)
    seconds: float | None = field(default=None, kw_only=True)
    calling: str | None = field(default=None, kw_only=True)
    message: str = field(default="The server had an error while processing your request.", kw_only=True)
    times: int = field(default=1, kw_only=True)
    same_response: bool = field(default=False, kw_only=True)
    out_of_band: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.reason is not None:
            _check_text(self.reason, "reason")
        if len(self.text) > _MAX_TEXT:
            raise ConfigurationError(f"text must have at most {_MAX_TEXT} characters")
        _check_seconds(self.seconds)
        if self.text and self.calling:
            raise ConfigurationError("a response breaks off in its text or in a call, not in both")
        if not 1 <= self.times <= _MAX_STEPS or (self.times > 1 and self.same_response):
            raise ConfigurationError(f"times must be 1 to {_MAX_STEPS}, and 1 within a response")

    @property
    def status(self) -> Literal["failed", "incomplete", "cancelled"]:
        """The status of the response."""
        if self.reason in ("turn_detected", "client_cancelled"):
            return "cancelled"
        return "incomplete" if self.reason in ("content_filter", "max_output_tokens") else "failed"

    @property
    def details(self) -> dict[str, object]:
        """Its `status_details`. Which `type` goes with which code is known only for those of quota and server."""
        if self.status != "failed":
            return {"type": self.status, "reason": self.reason}
        kind = self.reason if self.reason == "insufficient_quota" else "server_error"
        return {"type": "failed", "error": {"type": kind, "code": self.reason, "message": self.message}}


CallerStep = CallerSays | CallerPresses | CallerHangsUp
ModelStep = ModelSays | ModelSaysNothing | ModelCalls | ModelCallsMcp | ModelFails
_AnyStep = CallerStep | ModelStep


def _written(arguments: Mapping[str, object] | str) -> str:
    if isinstance(arguments, str):
        return arguments
    try:
        return json.dumps(dict(arguments))
    except (TypeError, ValueError):
        raise ConfigurationError("arguments must be a mapping that JSON can hold, or a string") from None


def _check_text(text: str, what: str) -> None:
    if not text.strip() or len(text) > _MAX_TEXT:
        raise ConfigurationError(f"{what} must have 1 to {_MAX_TEXT} characters")


def _check_seconds(seconds: float | None) -> None:
    if seconds is not None and not 0 <= seconds <= 86_400:
        raise ConfigurationError("seconds must be 0 to 86400")


def _check_begin(step: CallerStep) -> None:
    if not 0 <= step.after <= 86_400:
        raise ConfigurationError("after must be 0 to 86400 seconds")
    if step.during is not None and step.during not in get_args(During):
        raise ConfigurationError(f"during must be one of: {', '.join(get_args(During))}")
    if step.interrupting and step.during == "tool":
        raise ConfigurationError("interrupting means during speech, which is not during a tool")


def _stands_alone(step: ModelStep) -> bool:
    return isinstance(step, ModelFails | ModelSaysNothing) or (isinstance(step, ModelCalls) and step.again)


def _named(step: _AnyStep) -> str:
    name = type(step).__name__
    return f"{name} {step.name}" if isinstance(step, ModelCalls | ModelCallsMcp) else name


class Scenario:
    """The steps that are still to come. They play in order; those out of band have an order of their own."""

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps: list[_AnyStep] = []
        self._out_of_band: list[ModelStep] = []
        self._added: list[ModelStep] = []
        for step in steps:
            self._place(step, self._steps)
        self.position = 0
        """How many steps have begun; one of the caller's begins with waiting for its moment."""
        self.waiting: int | None = None
        """Which of them still waits for its moment."""

    @property
    def total(self) -> int:
        """How many steps there are, without those out of band and those that were added for the model."""
        return len(self._steps)

    def add(self, step: Step) -> None:
        """Add a step while the scenario plays.

        One of the caller's comes after all others of the caller. One of the model's is for the next response for which
        the scenario has no step, whenever it comes: it does not keep the caller waiting.
        """
        if isinstance(step, CallerHangsUp) and step.while_ringing:
            raise ConfigurationError("while_ringing is for the first step of a scenario")
        self._place(step, self._added if isinstance(step, ModelStep) else self._steps)

    def _place(self, step: Step, steps: list[Any]) -> None:
        if not isinstance(step, _AnyStep):
            raise ConfigurationError(f"a scenario is made of steps, not of {type(step).__name__}")
        target = self._out_of_band if isinstance(step, ModelStep) and step.out_of_band else steps
        if (
            isinstance(step, ModelStep)
            and step.same_response
            and not (target and isinstance(target[-1], ModelStep) and not _stands_alone(target[-1]))
        ):
            raise ConfigurationError("same_response needs a step of the model before it, which others can follow")
        if isinstance(step, CallerHangsUp) and step.while_ringing and self._steps:
            raise ConfigurationError("a caller who hangs up while it rings does nothing before")
        times = step.times if isinstance(step, ModelFails) else 1
        if len(self._steps) + len(self._out_of_band) + len(self._added) + times > _MAX_STEPS:
            raise ConfigurationError(f"a scenario has at most {_MAX_STEPS} steps")
        target += [step] * times

    def mcp_tools(self, server_label: str) -> list[str]:
        """Return the names of the tools that the model calls on this MCP server."""
        steps = [step for step in (*self._steps, *self._added) if isinstance(step, ModelCallsMcp)]
        return list(dict.fromkeys(step.name for step in steps if step.server_label == server_label))

    @property
    def next(self) -> _AnyStep | None:
        """The step that comes next, or None at the end."""
        return self._steps[self.position] if self.position < self.total else None

    def advance(self) -> _AnyStep | None:
        """Begin the next step, and return it."""
        step = self.next
        if step is not None:
            self.position += 1
        return step

    def upcoming(self, *, out_of_band: bool) -> list[ModelStep]:
        """Return the steps that the model's next response plays; none if nothing is scripted for it."""
        steps = self._out_of_band if out_of_band else self._steps[self.position :]
        if not out_of_band and not isinstance(self.next, ModelStep):
            steps = self._added
        found: list[ModelStep] = []
        for step in steps:
            if not isinstance(step, ModelStep) or (found and not step.same_response):
                break
            found.append(step)
        return found

    def take(self, steps: list[ModelStep], *, out_of_band: bool) -> None:
        """Begin these upcoming steps."""
        if out_of_band:
            del self._out_of_band[: len(steps)]
        elif not isinstance(self.next, ModelStep):
            del self._added[: len(steps)]
        else:
            self.position += len(steps)

    @property
    def expected(self) -> list[str]:
        """Each step in a word or two, without anybody's words."""
        return [_named(step) for step in (*self._steps, *self._added, *self._out_of_band)]

    @property
    def left(self) -> list[str]:
        """The steps that have not been played."""
        numbered = [f"step {index + 1} ({_named(step)})" for index, step in enumerate(self._steps)]
        waiting = [] if self.waiting is None else [numbered[self.waiting]]
        added = [f"added: {_named(step)}" for step in self._added]
        return (
            waiting + numbered[self.position :] + added + [f"out of band: {_named(step)}" for step in self._out_of_band]
        )

    def describe(self) -> str:
        """Say where the scenario is, without anybody's words."""
        upcoming = self.next
        if upcoming is None:
            return f"all {self.total} steps have begun"
        return f"step {self.position + 1} of {self.total} ({type(upcoming).__name__}) has not begun"
