"""What another worker needs to go on with a call: made of the state, without words, numbers or digits.

Times are Unix seconds. It is read leniently, since workers of two releases run beside each other during a deploy: what
is not known is left out, field by field and item by item, and what is missing has a default.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from realtime_sip.call.machine.state import Called, CallState, Socket, Tool
from realtime_sip.call.machine.targets import Fallback
from realtime_sip.outcomes import EndReason, LimitKind, TransferProgress
from realtime_sip.usage import Usage

_MAX_SEEN = 64
_MAX_EVIDENCE = 1000


class KnownInPart(BaseModel):
    """What another release may have written: a value that is not valid here is as if it were missing."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _leave_out(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return validate(value)
        except ValidationError as error:
            if not isinstance(value, dict):
                raise
            return validate(cls._without(value, [problem["loc"] for problem in error.errors(include_url=False)]))

    @classmethod
    def _without(cls, value: dict[str, Any], places: list[tuple[int | str, ...]]) -> dict[str, Any]:
        """Return the value without what is not valid: items of a mapping or a sequence, and otherwise whole fields."""
        left_out: dict[str, set[int | str]] = {}
        for name, *item in places:
            left_out.setdefault(str(name), set()).update(item[:1] if _has_items(cls, str(name)) else ())
        return {
            name: _less(each, left_out.get(name))
            for name, each in value.items()
            if name not in left_out or left_out[name]
        }


def _has_items(model: type[BaseModel], name: str) -> bool:
    annotation = model.model_fields[name].annotation if name in model.model_fields else None
    origin = get_origin(annotation)
    return origin is dict or (origin is tuple and Ellipsis in get_args(annotation))


def _less(value: Any, items: Collection[int | str] | None) -> Any:
    if not items:
        return value
    if isinstance(value, dict):
        return {key: each for key, each in value.items() if key not in items}
    return [each for number, each in enumerate(value) if number not in items]


class KeptTransfer(KnownInPart):
    """A transfer under way. Reason and summary, which are words, are not part of it."""

    name: str
    fallback: Fallback = "none"
    refer_within: float | None = None
    begun: bool = False
    sign: TransferProgress | None = None
    seen: tuple[str, ...] = ()
    due: float | None = None


class KeptEnding(KnownInPart):
    """An end that was decided."""

    reason: EndReason
    evidence: str
    limit: LimitKind | None = None
    reported: bool = False


class Ticket(KnownInPart):
    """What is handed over of one call.

    Attributes:
        handed: Whether the sideband was closed for the taker, so that it missed nothing else.
        at: When it was written, or when the sideband was lost before that: the taker has not seen what came later.
        began: When the call began.
        attached: When the sideband was first open, or None.
        accepted: How it was accepted, in words.
        wall: When the service ends the session, or None.
        tools: How far each call of a tool is, by its name in the state.
        functions: The item and the function of each function call that runs.
        outputs: The item that brings the output of a call, if it was not shown yet.
        background: The functions that run in the background, by their call.
        calling: The items of function calls that were not complete.
        seen: Function calls that were taken up, the latest.
        detection: The session's own turn detection, None if it is off.
        held: Whether the service has something else in its place; None if that is not known.
        undisturbed: Whether it was switched off for a greeting.
        transfer: A transfer under way.
        ending: An end that was decided.
        leaving: Whether the program wanted the call to end.
        usage: What was used so far.
    """

    at: float
    began: float
    handed: bool = False
    attached: float | None = None
    accepted: str = ""
    wall: float | None = None
    tools: dict[str, Tool] = {}
    functions: dict[str, Called] = {}
    outputs: dict[str, str] = {}
    background: dict[str, str] = {}
    calling: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    detection: dict[str, Any] | None = None
    held: bool | None = None
    undisturbed: bool = False
    transfer: KeptTransfer | None = None
    ending: KeptEnding | None = None
    leaving: bool = False
    near: tuple[LimitKind, ...] = ()
    rounds: int = 0
    failures: int = 0
    wordless: int = 0
    unanswered: int = 0
    sounded: bool = False
    had_input: bool = False
    voiced: bool = False
    usage: Usage | None = None

    @classmethod
    def of(cls, s: CallState, usage: Usage | None) -> Self:
        """Return the ticket of a call as it is now."""
        ahead, line = s.line.unix_ahead, s.line
        open_since = s.now if s.socket is Socket.OPEN or line.close is None else line.closed_at
        return cls(
            at=open_since + ahead,
            began=line.began + ahead,
            handed=s.socket is Socket.AWAY,
            attached=None if line.attached_at is None else line.attached_at + ahead,
            accepted=line.accepted,
            wall=None if line.wall is None else line.wall + ahead,
            tools=dict(s.tools),
            functions=dict(s.called),
            outputs={asked.tool: name.removeprefix("item ") for name, asked in s.asks.items() if asked.tool},
            background=dict(s.background),
            calling=tuple(s.calling),
            seen=tuple(islice(reversed(s.seen), _MAX_SEEN))[::-1],
            detection=s.hold.own,
            held=s.hold.there,
            undisturbed=s.hold.off,
            transfer=_transfer(s),
            ending=_ending(s),
            leaving=s.leaving,
            near=tuple(s.near),
            rounds=s.rounds,
            failures=s.failures,
            wordless=s.wordless,
            unanswered=s.unanswered,
            sounded=s.sounded,
            had_input=s.had_input,
            voiced=s.session.voiced,
            usage=usage,
        )

    def interrupted(self, idempotent: Collection[str]) -> tuple[str, ...]:
        """Return the functions whose outcome nobody knows: those that ran, and may not run again."""
        running = [name.partition(" ")[2] for name, state in self.tools.items() if state is Tool.RUNNING]
        called = [self.functions[call_id].function for call_id in running if call_id in self.functions]
        return (*(name for name in called if name not in idempotent), *self.background.values())


def _transfer(s: CallState) -> KeptTransfer | None:
    of = s.handover
    if of is None:
        return None
    due = s.timers.at("transfer")
    return KeptTransfer(
        name=of.request.name,
        fallback=of.fallback,
        refer_within=of.refer_within,
        begun=of.begun,
        sign=of.sign,
        seen=tuple(of.seen),
        due=None if due is None else due + s.line.unix_ahead,
    )


def _ending(s: CallState) -> KeptEnding | None:
    if s.decided is None:
        return None
    of = s.decided
    return KeptEnding(reason=of.reason, evidence=of.evidence[:_MAX_EVIDENCE], limit=of.limit, reported=of.reported)
