"""Our wire types against those of the vendor's own package: a new release of theirs shows here as a red test.

Every event, nested object, field and enumerated value of theirs has to be ours too, and ours theirs, and what a
received object must have is the same. What differs on purpose is in the tables below, each row with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from realtime_sip import events
from realtime_sip._wire import Outbound, Unknown
from realtime_sip.session import ReportedRealtimeSession, Session

pytest.importorskip("openai", reason="the vendor's package is a development dependency")

from openai.types.realtime import (
    RealtimeClientEvent,
    RealtimeServerEvent,
    RealtimeSessionCreateRequest,
    RealtimeSessionCreateResponse,
    RealtimeTranscriptionSessionCreateRequest,
)

FIELDS = {
    "AssistantMessage.phase": "of the reported one, so that a conversation can be restored as it was",
    "AssistantMessageItem.phase": "documented by Azure for gpt-realtime-2; theirs have it in other APIs",
    "InputAudioBufferDtmfEventReceived.event_id": "not sent; ours so that every event has the attribute",
    "OutputText.audio": "audio of the assistant cannot be created by a client (API guide)",
    "OutputText.transcript": "audio of the assistant cannot be created by a client (API guide)",
    "ReportedRealtimeSession.expires_at": "session events carry it; theirs are typed as what is sent",
    "ReportedRealtimeSession.id": "session events carry it; theirs are typed as what is sent",
    "ReportedRealtimeSession.object": "session events carry it; theirs are typed as what is sent",
    "ReportedRealtimeSession.parallel_tool_calls": "their type of a client secret's session forgets it",
    "ReportedTranscriptionSession.expires_at": "session events carry it; theirs are typed as what is sent",
    "ReportedTranscriptionSession.id": "session events carry it; theirs are typed as what is sent",
    "ReportedTranscriptionSession.object": "session events carry it; theirs are typed as what is sent",
}
"""Fields that one side has and the other does not."""

KINDS = {
    "AudioPart": "assistant messages still come with the short name, as their own examples show",
    "ItemReference": "theirs is in the type of the request alone, not in the model",
    "OutputAudioPart": "so that a content part under its full name is not unknown",
    "OutputTextPart": "so that a content part under its full name is not unknown",
    "ReportedCustomVoice": "a session can be asked for with one, so that it may come back",
    "TextPart": "assistant messages still come with the short name, as their own examples show",
}
"""Kinds of ours at places where theirs do not have them."""

VALUES = {
    "24000": "the only rate that PCM has; a reported one is any number",
    "output_audio": "audio of the assistant cannot be created by a client (API guide), so that ours does not send it",
}
"""Enumerated values of theirs that ours does not name."""

NEEDED = {
    "FunctionTool.name": "a function without a name cannot be called",
    "InputText.text": "a part without its content says nothing",
    "OutputText.text": "a part without its content says nothing",
}
"""Fields to send that ours demands and theirs does not."""

ALWAYS = {
    "ConversationItemInputAudioTranscriptionCompleted.usage": "other services of this protocol leave it out",
    "InputAudioBufferDtmfEventReceived.received_at": "a key counts, whether or not its time is said",
    "ResponseFunctionCallArgumentsDone.name": "other services of this protocol leave it out",
    "ReportedRealtimeSession.id": "in the session of a client secret; theirs of session events has no such field",
    "ReportedRealtimeSession.object": "in the session of a client secret; theirs of session events has no such field",
}
"""Received fields that theirs promises and ours does not."""

FREE = {
    "McpCall.error": "sent as it is",
    "McpListTools.tools": "sent as it is",
    "Prompt.variables": "objects of another API, sent as they are",
    "ReportedPrompt.variables": "objects of another API, kept as they come",
}
"""Fields that ours takes as plain JSON."""


@dataclass
class _Parts:
    """What an annotation is made of."""

    models: list[type[BaseModel]] = field(default_factory=list)
    values: set[object] = field(default_factory=set)


def _parts(*annotations: Any) -> _Parts:
    found = _Parts()
    todo = list(annotations)
    while todo:
        annotation = todo.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not issubclass(annotation, Unknown) and annotation not in found.models:
                found.models.append(annotation)
        elif get_origin(annotation) is Annotated:
            todo.append(get_args(annotation)[0])
        elif get_origin(annotation) is Literal:
            found.values |= set(get_args(annotation))
        else:
            todo.extend(get_args(annotation))
    return found


def _kinds(model: type[BaseModel]) -> frozenset[tuple[object, object]]:
    """Return the pairs of type and role that tell an object of `model` from others."""

    def values(name: str) -> set[object]:
        info = model.model_fields.get(name)
        # The blank is that of the API specification's own example.
        found = _parts(info.annotation).values if info is not None else set()
        return {value.strip() for value in found if isinstance(value, str)} or {None}

    return frozenset((kind, role) for kind in values("type") for role in values("role"))


@dataclass
class _Comparison:
    problems: set[str] = field(default_factory=set)
    seen: set[tuple[frozenset[type], frozenset[type]]] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)

    def excuse(self, table: dict[str, str], name: str) -> bool:
        if name not in table:
            return False
        self.excused.add(name)
        return True

    def annotations(self, place: str, theirs: list[Any], ours: list[Any]) -> None:
        them, us = _parts(*theirs), _parts(*ours)
        for value in them.values - us.values:
            if not self.excuse(VALUES, str(value)):
                self.problems.add(f"{place}: the value {value!r} is theirs and not ours")
        for group_of_theirs, group_of_ours in _groups(them.models, us.models):
            if not group_of_ours:
                self.problems.add(f"{place}: {group_of_theirs[0].__name__} is theirs and not ours")
            elif not group_of_theirs:
                if not self.excuse(KINDS, group_of_ours[0].__name__):
                    self.problems.add(f"{place}: {group_of_ours[0].__name__} is ours and not theirs")
            else:
                self.models(group_of_theirs, group_of_ours)

    def models(self, theirs: list[type[BaseModel]], ours: list[type[BaseModel]]) -> None:
        key = (frozenset[type](theirs), frozenset[type](ours))
        if key in self.seen:
            return
        self.seen.add(key)
        name = ours[0].__name__
        their_fields = {n for model in theirs for n in model.model_fields}
        our_fields = {n for model in ours for n in model.model_fields} - {"extra_fields"}
        for missing in their_fields ^ our_fields:
            if not self.excuse(FIELDS, f"{name}.{missing}"):
                side = "theirs and not ours" if missing in their_fields else "ours and not theirs"
                self.problems.add(f"{name}.{missing} is {side}")
        for shared in their_fields & our_fields:
            place = f"{name}.{shared}"
            if len(theirs) == len(ours) == 1:
                self.required(place, theirs[0], ours[0], shared)
            if not self.excuse(FREE, place):
                self.annotations(place, _annotations(theirs, shared), _annotations(ours, shared))

    def required(self, place: str, theirs: type[BaseModel], ours: type[BaseModel], name: str) -> None:
        they, we = theirs.model_fields[name].is_required(), ours.model_fields[name].is_required()
        if issubclass(ours, Outbound):
            if we and not they and not self.excuse(NEEDED, place):
                self.problems.add(f"{place} is needed by ours alone")
        elif they and not we and not self.excuse(ALWAYS, place):
            self.problems.add(f"{place} is always there, but ours does not say so")
        elif we and not they and name != "type":
            self.problems.add(f"{place} may be missing, but ours demands it")


def _annotations(models: list[type[BaseModel]], name: str) -> list[Any]:
    return [model.model_fields[name].annotation for model in models if name in model.model_fields]


def _groups(
    theirs: list[type[BaseModel]], ours: list[type[BaseModel]]
) -> Iterator[tuple[list[type[BaseModel]], list[type[BaseModel]]]]:
    """Yield which of theirs correspond to which of ours: those that share a kind, directly or through another."""
    left = [("theirs", model) for model in theirs] + [("ours", model) for model in ours]
    while left:
        group = [left.pop(0)]
        kinds = _kinds(group[0][1])
        while near := [entry for entry in left if _kinds(entry[1]) & kinds]:
            group += near
            left = [entry for entry in left if entry not in near]
            kinds = kinds.union(*(_kinds(model) for _, model in near))
        yield [m for side, m in group if side == "theirs"], [m for side, m in group if side == "ours"]


THEIR_SESSIONS = RealtimeSessionCreateRequest | RealtimeTranscriptionSessionCreateRequest
ROOTS = {
    "server events": (RealtimeServerEvent, events.KnownServerEvent),
    "client events": (RealtimeClientEvent, events.ClientEvent),
    "sessions to send": (THEIR_SESSIONS, Session),
    "the session of a client secret": (RealtimeSessionCreateResponse, ReportedRealtimeSession),
}


@pytest.mark.parametrize("root", ROOTS)
def test_our_types_are_those_of_the_service(root: str) -> None:
    theirs, ours = ROOTS[root]
    comparison = _Comparison()
    comparison.annotations(root, [theirs], [ours])
    assert comparison.seen, "nothing was compared"
    assert not comparison.problems, "\n".join(sorted(comparison.problems))


def test_every_exception_is_still_needed() -> None:
    comparison = _Comparison()
    for name, (theirs, ours) in ROOTS.items():
        comparison.annotations(name, [theirs], [ours])
    tables = {**FIELDS, **KINDS, **VALUES, **NEEDED, **ALWAYS, **FREE}
    assert tables.keys() == comparison.excused


def test_a_difference_is_seen() -> None:
    class Theirs(BaseModel):
        type: Literal["a", "b"]
        renamed: str
        nested: list[Theirs]

    class Ours(BaseModel):
        type: Literal["a"]
        named: str | None = None
        nested: list[Ours] | None = None

    comparison = _Comparison()
    comparison.annotations("root", [Theirs], [Ours])
    assert comparison.problems == {
        "Ours.named is ours and not theirs",
        "Ours.nested is always there, but ours does not say so",
        "Ours.renamed is theirs and not ours",
        "Ours.type: the value 'b' is theirs and not ours",
    }
