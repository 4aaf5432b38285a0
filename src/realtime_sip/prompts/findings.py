"""A review of a session's prompt: what is checked against the session itself, and not against anybody's taste."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from realtime_sip.prompts.family import ModelFamily, family_of
from realtime_sip.prompts.flow import Flow
from realtime_sip.prompts.instructions import STORED_PROMPTS_END, Instructions
from realtime_sip.prompts.knowledge import Context, Rules
from realtime_sip.prompts.manner import Accent, Language, Pacing, Personality, Pronunciations, Role, Variety, Verbosity
from realtime_sip.prompts.mentions import hands_over, headings, placeholders, promises, tools_called
from realtime_sip.prompts.safety import SafetyAndEscalation
from realtime_sip.prompts.section import BaseSection, Wording
from realtime_sip.prompts.tool_rules import Preambles, ReasoningRules, ToolRules
from realtime_sip.prompts.understanding import EntityCapture, UnclearAudio

__all__ = ["Finding", "checklist", "review"]

_MAX_TRANSCRIPTION_PROMPT = 1_024
_ENDS = ("end_call", "transfer_to_human")

Level: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a prompt or its session that will not work, or not as it reads.

    Attributes:
        level: "error" if it is sure to go wrong, "warning" if it may be meant.
        rule: Which rule found it.
        place: Where: a field of the session, with the line of the text or the part of the flow.
        what: What stands there.
        why: Why it matters, and what to do.
    """

    level: Level
    rule: str
    place: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.level}: {self.place}: {self.what}: {self.why} [{self.rule}]"


class NamedTool(Protocol):
    """A tool as `Tools` has it."""

    @property
    def name(self) -> str: ...
    @property
    def confirm(self) -> bool: ...


class WireSession(Protocol):
    """A session that can be sent, such as `RealtimeSession`."""

    @property
    def instructions(self) -> str | Instructions | None: ...
    def to_wire(self) -> dict[str, Any]: ...


def review(
    session: WireSession | Mapping[str, Any] | Instructions | str,
    *,
    tools: Iterable[str | NamedTool] | None = None,
    transfers: Iterable[str] = (),
    ends: Iterable[str] = (),
) -> tuple[Finding, ...]:
    """Return what is wrong with a session's prompt, the errors first.

    Nothing is decided by prose alone: names of tools are held against the tools, a promise against the tools that can
    keep it, and structured sections are looked at as values. No finding is no praise: whether a prompt is good is for
    `review_request`, and for calls.

    >>> (found,) = review({"instructions": "Look it up, then call end_call.", "tools": []})
    >>> print(found)
    error: instructions, line 1: end_call: the session has no such tool, and the model cannot call it [unknown_tool]

    Args:
        session: A session, the JSON object of one, or instructions alone.
        tools: The tools that `answer` adds, as a `Tools`, or their names. If neither they nor the session's own tools
            are given, nothing is said about tools.
        transfers: The names of tools of your own that hand the caller over. `transfer_to_human`, and those whose name
            says so, are known.
        ends: The names of tools of your own that end a call. `end_call` is known.
    """
    wire = _wire(session)
    value = _value(session)
    model = wire.get("model") if isinstance(wire.get("model"), str) else None
    text = value.render(model) if value is not None else _text(wire.get("instructions"))
    given = None if tools is None else list(tools)
    known = _known_tools(wire, given)
    moving = {*transfers, *(name for name in known or () if hands_over(name))}
    found = [*_of_session(wire, model, text)]
    if value is not None:
        found += _of_value(value, wire, known, given or [], {*_ENDS, *transfers, *ends, *moving})
    # What a section names as a value is in its text too.
    named = {each.what for each in found if each.rule == "unknown_tool"}
    found += _of_text(text, None if known is None else known | named, moving, told=_told_transfer(value))
    return tuple(sorted(dict.fromkeys(found), key=lambda each: each.level != "error"))


def checklist(instructions: Instructions) -> tuple[str, ...]:
    """Return the names of the guides' sections that are not there. All are optional: most prompts need few of them."""
    return tuple(kind.__name__ for kind in _SECTIONS if instructions.find(kind) is None)


_SECTIONS: tuple[type[BaseSection], ...] = (
    *(Role, Personality, Language, Accent, Context, Pronunciations, ReasoningRules, Preambles, Verbosity, Pacing),
    *(Variety, UnclearAudio, EntityCapture, ToolRules, Rules, Flow, SafetyAndEscalation),
)


# --- reading the session ----------------------------------------------------------------------------------------------


def _wire(session: WireSession | Mapping[str, Any] | Instructions | str) -> Mapping[str, Any]:
    if isinstance(session, (str, Instructions)):
        return {"instructions": session}
    return session if isinstance(session, Mapping) else session.to_wire()


def _value(session: WireSession | Mapping[str, Any] | Instructions | str) -> Instructions | None:
    if isinstance(session, (Instructions, str)):
        value: object = session
    else:
        value = session.get("instructions") if isinstance(session, Mapping) else session.instructions
    return value if isinstance(value, Instructions) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _inside(value: object, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _known_tools(wire: Mapping[str, Any], given: list[str | NamedTool] | None) -> set[str] | None:
    """Return the names of all tools; None if some are not known."""
    own = wire.get("tools")
    if (own is None and given is None) or wire.get("prompt") is not None:
        return None
    names = {each if isinstance(each, str) else each.name for each in given or ()}
    for tool in own or ():
        if _inside(tool, "type") == "mcp":
            allowed = _inside(tool, "allowed_tools")
            allowed = _inside(allowed, "tool_names") if isinstance(allowed, Mapping) else allowed
            if not isinstance(allowed, list):
                return None
            names.update(allowed)
        else:
            names.add(_text(_inside(tool, "name")))
    return names


def _told_transfer(value: Instructions | None) -> bool:
    section = None if value is None else value.find(SafetyAndEscalation)
    return section is not None and section.tool is not None


# --- the session ------------------------------------------------------------------------------------------------------


def _of_session(wire: Mapping[str, Any], model: str | None, text: str) -> Iterator[Finding]:
    prompt = wire.get("prompt")
    stored = [name for name in ("id", "prompt_id") if _text(_inside(prompt, name))]
    if stored:
        why = (
            f"stored prompts end on {STORED_PROMPTS_END}; what a session with one gets afterwards is not documented. "
            "Keep the text in your code, as Instructions"
        )
        yield Finding("error", "stored_prompt", f"prompt.{stored[0]}", "a stored prompt", why)
        if text:
            why = "direct fields of a session override the stored prompt's, so that its text is never read"
            yield Finding("warning", "prompt_overridden", "instructions", "instructions beside a stored prompt", why)
    first = model is not None and family_of(model) is ModelFamily.REALTIME_1
    if first and wire.get("reasoning") is not None:
        why = "this model does not reason, and refuses the field; gpt-realtime-2 and later do"
        yield Finding("error", "reasoning", "reasoning", f"reasoning with {model}", why)
    written = _text(_inside(wire, "audio", "input", "transcription", "prompt"))
    if len(written) > _MAX_TRANSCRIPTION_PROMPT:
        why = f"the service refuses more than {_MAX_TRANSCRIPTION_PROMPT:,}"
        place = "audio.input.transcription.prompt"
        yield Finding("error", "transcription_prompt", place, f"{len(written):,} characters", why)


# --- the text ---------------------------------------------------------------------------------------------------------


def _of_text(text: str, known: set[str] | None, moving: set[str], *, told: bool) -> Iterator[Finding]:
    if known is not None:
        for tool in tools_called(text):
            if tool.text not in known:
                yield _unknown_tool(tool.text, f"instructions, line {tool.line}")
        # What a section of its own promises is kept or not by the tool that it names.
        for promise in promises(text) if not (moving or told) else ():
            why = "no tool of the session hands a caller over: give it transfer_to_human, or promise something else"
            yield Finding("error", "promised_person", f"instructions, line {promise.line}", f"“{promise.text}”", why)
    for left in placeholders(text):
        why = "nobody has filled it in, so that the model reads it, and may say it"
        yield Finding("error", "placeholder", f"instructions, line {left.line}", left.text, why)
    for left in placeholders(text, likely=True):
        why = "if it is a placeholder, nobody has filled it in"
        yield Finding("warning", "placeholder", f"instructions, line {left.line}", left.text, why)
    titles = Counter[str]()
    for level, heading, filled in headings(text):
        place = f"instructions, line {heading.line}"
        if not filled:
            yield Finding("warning", "empty_section", place, heading.text, "there is nothing below this heading")
        if level == 1:
            titles[heading.text.casefold()] += 1
            if titles[heading.text.casefold()] == 2:
                why = "there are two sections with this heading, so that neither is all that there is to say"
                yield Finding("warning", "doubled_section", place, heading.text, why)


def _unknown_tool(name: str, place: str) -> Finding:
    return Finding("error", "unknown_tool", place, name, "the session has no such tool, and the model cannot call it")


# --- structured sections ----------------------------------------------------------------------------------------------


def _of_value(
    value: Instructions, wire: Mapping[str, Any], known: set[str] | None, given: list[str | NamedTool], ends: set[str]
) -> Iterator[Finding]:
    yield from _sections(value)
    yield from _language(value, wire)
    if known is not None:
        for name, place in _named_tools(value):
            if name not in known:
                yield _unknown_tool(name, place)
    confirmed = {tool.name for tool in given if not isinstance(tool, str) and tool.confirm}
    rules = value.find(ToolRules)
    for tool in rules.tools if rules is not None else ():
        if tool.policy == "write" and not tool.confirm and tool.name not in confirmed:
            why = "it changes something without asking the caller; confirm it here, or with function(confirm=True)"
            yield Finding(
                "warning", "write_without_confirmation", f"instructions, ToolRules, {tool.name}", tool.name, why
            )
    flow = value.find(Flow)
    if flow is not None:
        yield from _flow(flow, ends)


def _sections(value: Instructions) -> Iterator[Finding]:
    locale = value.wording().locale
    everything = [Wording(locale, family) for family in ModelFamily]
    for section in value.sections:
        if not any(list(section.lines(say)) for say in everything):
            name = section.heading(everything[0])
            yield Finding("warning", "empty_section", "instructions", name, "the section says nothing, and is left out")
    last = max((at for at, section in enumerate(value.sections) if not section.per_call), default=-1)
    for at, section in enumerate(value.sections):
        if section.per_call and at < last:
            why = (
                "it differs from call to call, and stands before what does not: put it last, so that the rest is read "
                "from the cache, which costs less"
            )
            yield Finding("warning", "changes_first", "instructions", section.heading(everything[0]), why)


def _language(value: Instructions, wire: Mapping[str, Any]) -> Iterator[Finding]:
    language = value.find(Language)
    heard = _inside(wire, "audio", "input", "transcription")
    expected = [_inside(heard, "language"), *(_inside(heard, "languages") or ())]
    expected = [each for each in expected if isinstance(each, str) and each]
    if language is None or not language.is_pinned or not expected or not language.is_tag:
        return
    if language.main.lower().partition("-")[0] not in {each.lower().partition("-")[0] for each in expected}:
        why = "callers are answered in one language and written down in another: one of the two is wrong"
        place = "audio.input.transcription"
        yield Finding("warning", "language", place, f"{', '.join(expected)}, with {language.main} pinned", why)


def _named_tools(value: Instructions) -> Iterator[tuple[str, str]]:
    """Yield the tools that sections name as values, each with its place."""
    for section in value.sections:
        place = f"instructions, {type(section).__name__}"
        match section:
            case ToolRules():
                yield from ((tool.name, place) for tool in section.tools)
            case Flow():
                yield from ((name, f"{place}, {state.name}") for state in section.states for name in state.tools)
            case SafetyAndEscalation(tool=str(name)):
                yield name, place
            case UnclearAudio():
                yield from ((name, place) for name in (section.wait_tool, section.no_match_tool) if name)


def _flow(flow: Flow, ends: set[str]) -> Iterator[Finding]:
    states = {state.name: state for state in flow.states}
    for name, count in Counter(state.name for state in flow.states).items():
        if count > 1:
            why = "exits that name it can mean either"
            yield Finding("error", "flow_doubled_state", "instructions, Flow", name, why)
    for state in flow.states:
        place = f"instructions, Flow, {state.name}"
        for each in state.exits:
            if each.to is not None and each.to not in states:
                yield Finding("error", "flow_target", place, each.to, "there is no state of this name to go to")
        onward = {each.to for each in state.exits} - {state.name}
        if not onward and not ends & set(state.tools):
            why = "it has no exit but to itself, and no tool that ends the call or hands it over: nobody gets out of it"
            yield Finding("warning", "flow_dead_end", place, state.name, why)
    if not flow.states:
        return
    reached, ahead = set(), [flow.states[0].name]
    while ahead:
        name = ahead.pop()
        if name in states and name not in reached:
            reached.add(name)
            ahead += [each.to for each in states[name].exits if each.to is not None]
    for name in states:
        if name not in reached:
            why = "no exit leads to it from the first state"
            yield Finding("warning", "flow_unreachable", f"instructions, Flow, {name}", name, why)
