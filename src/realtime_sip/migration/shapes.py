"""Beta shapes as values: which of them an object is, and the current object that it becomes. `beta` has the names."""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from realtime_sip import beta
from realtime_sip.errors import InvalidRequestError

__all__ = ["Change", "ChangeKind", "Migrated", "Shape", "to_ga"]

Shape: TypeAlias = Literal[
    "event",
    "session",
    "transcription_session",
    "response",
    "item",
    "secret_request",
    "transcription_secret_request",
    "secret_reply",
]
"""What an object is: an event of either side; a session, asked for or reported; a response, asked for or reported; an
item of a conversation; the body of a request for an ephemeral key, and the reply to it."""

_Json: TypeAlias = dict[str, Any]
_MAX_DEPTH = 64


class ChangeKind(enum.StrEnum):
    """What became of a field."""

    MOVED = "moved"
    """It has another name, or another place."""
    REPLACED = "replaced"
    """It has another value, in the same place."""
    ADDED = "added"
    """The beta had none; the current API demands it."""
    DROPPED = "dropped"
    """The current API has none."""
    KEPT = "kept"
    """It was left as it is, though it will not do: what to take in its place is a choice."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one field. It holds names and places, and no value but those of the table.

    Attributes:
        kind: What was done.
        place: The dotted path in what was given; in what came of it, if it was added.
        now: The dotted path, or the value, that it has now; None if it has none.
        why: The reason, or what to do; "" if the move says it all.
    """

    kind: ChangeKind
    place: str
    now: str | None = None
    why: str = ""

    def __str__(self) -> str:
        to = {ChangeKind.MOVED: f" to {self.now}", ChangeKind.REPLACED: f" by {self.now}"}.get(self.kind, "")
        return f"{self.place}: {self.kind.value}{to}{f'; {self.why}' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Migrated:
    """What came of an object.

    Attributes:
        value: The current object. What was given is not changed.
        changes: What was changed, in the order of the fields; empty if it was of the current API already.
        shape: What the object was taken for; None if it had nothing to tell it by, and was left alone.
    """

    value: _Json
    changes: tuple[Change, ...]
    shape: Shape | None

    @property
    def dropped(self) -> tuple[Change, ...]:
        """What the current API has no place for."""
        return tuple(change for change in self.changes if change.kind is ChangeKind.DROPPED)


def to_ga(value: Mapping[str, Any], *, shape: Shape | None = None) -> Migrated:
    """Return an object of the beta API as one of the current API.

    An absent field stays absent, and null stays null. Fields that are of neither API stay as they are; what has a name
    of both keeps the value of the current one.

    Args:
        value: A JSON object.
        shape: What it is. If left out, events and items are known by their type, and the rest by its fields: a session,
            unless it has fields that only another shape has. Flat fields may also be those of a response, or the body
            of a request for a key: then say so.

    Raises:
        InvalidRequestError: It is not an object, or is nested more than 64 levels deep.
    """
    if not isinstance(value, Mapping):
        raise InvalidRequestError("beta object", (("", "must be an object"),))
    _check_depth(value)
    given = copy.deepcopy(dict(value))
    known = shape or _shape_of(given)
    work = _Work()
    result = given if known is None else _CONVERTERS[known](work, given, "")
    return Migrated(result, tuple(work.changes), known)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            below
            for each in level
            if isinstance(each, (Mapping, list, tuple))
            for below in (each.values() if isinstance(each, Mapping) else each)
        ]
        if not level:
            return
    raise InvalidRequestError("beta object", (("", "is nested too deeply"),))


# --- what an object is ------------------------------------------------------------------------------------------------

_ITEMS = frozenset(
    {
        *("message", "function_call", "function_call_output", "item_reference", "mcp_call", "mcp_list_tools"),
        *("mcp_approval_request", "mcp_approval_response"),
    }
)
_OF_RESPONSES = frozenset({"conversation", "conversation_id", "input", "metadata", "output", "status", "usage"})


def _shape_of(value: _Json) -> Shape | None:
    kind, made = value.get("type"), value.get("object")
    if isinstance(kind, str) and "." in kind:
        return "event"
    if (isinstance(kind, str) and kind in _ITEMS) or made == "realtime.item":
        return "item"
    secret = value.get("client_secret")
    if isinstance(secret, dict):
        return "secret_reply" if "value" in secret else "secret_request"
    if isinstance(value.get("session"), dict):
        return "secret_reply" if "value" in value else "secret_request"
    if made == "realtime.response" or (_OF_RESPONSES & value.keys() and kind is None):
        return "response"
    if kind == "transcription" or made == "realtime.transcription_session":
        return "transcription_session"
    session = kind == "realtime" or made == "realtime.session" or bool(beta.SESSION_FIELDS.keys() & value.keys())
    return "session" if session else None


# --- the work ---------------------------------------------------------------------------------------------------------


class _Work:
    """The changes that were made so far."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def note(self, kind: ChangeKind, place: str, now: str | None = None, why: str = "") -> None:
        self.changes.append(Change(kind, place, now, why))


def _event(work: _Work, event: _Json, place: str) -> _Json:
    kind = event.get("type")
    renamed = {**beta.CLIENT_EVENT_TYPES, **beta.SERVER_EVENT_TYPES}.get(str(kind))
    if renamed is not None:
        event["type"] = renamed
        work.note(ChangeKind.REPLACED, f"{place}type", renamed)
    transcribes = str(kind).startswith("transcription_session.")
    for name, convert in (
        ("session", _transcription_session if transcribes else _session),
        ("response", _response),
        ("item", _item),
    ):
        if isinstance(event.get(name), dict):
            event[name] = convert(work, event[name], f"{place}{name}.")
    return event


def _session(work: _Work, session: _Json, place: str) -> _Json:
    kind, made = session.get("type"), session.get("object")
    if kind == "transcription" or (kind is None and made == "realtime.transcription_session"):
        return _transcription_session(work, session, place)
    session = _typed(work, session, place, "realtime")
    session = _flattened(work, session, place, beta.SESSION_FIELDS)
    return _shared(work, session, place)


def _transcription_session(work: _Work, session: _Json, place: str) -> _Json:
    session = _typed(work, session, place, "transcription")
    session = _flattened(work, session, place, beta.TRANSCRIPTION_FIELDS)
    return _shared(work, session, place)


def _response(work: _Work, response: _Json, place: str) -> _Json:
    if response.get("object") not in (None, "realtime.response"):
        return response  # the Responses API has events of the same names, and a temperature
    response = _shared(work, _flattened(work, response, place, beta.RESPONSE_FIELDS), place)
    entries = response.get("input")
    if isinstance(entries, list):
        response["input"] = _input(work, entries, f"{place}input.")
    made = response.get("output")
    if isinstance(made, list):
        response["output"] = [
            _item(work, item, f"{place}output.{n}.") if isinstance(item, dict) else item for n, item in enumerate(made)
        ]
    return response


def _secret_request(work: _Work, body: _Json, place: str) -> _Json:
    return _request(work, body, place, _session)


def _transcription_secret_request(work: _Work, body: _Json, place: str) -> _Json:
    return _request(work, body, place, _transcription_session)


def _request(work: _Work, body: _Json, place: str, convert: Callable[[_Work, _Json, str], _Json]) -> _Json:
    """Put the fields of a session, which stood in the body itself, below `session`."""
    if isinstance(body.get("session"), dict) or body.keys() <= {"expires_after"}:
        session = body.get("session")
        if isinstance(session, dict):
            body["session"] = (_session if "type" in session else convert)(work, session, f"{place}session.")
        return body
    request: _Json = {}
    secret = body.pop("client_secret", None)
    if "expires_after" in body:
        request["expires_after"] = body.pop("expires_after")
    if isinstance(secret, dict):
        # A transcription session of the beta called it expires_at.
        name = next((name for name in ("expires_after", "expires_at") if name in secret), None)
        if name is not None and "expires_after" not in request:
            request["expires_after"] = secret[name]
            work.note(ChangeKind.MOVED, f"{place}client_secret.{name}", f"{place}expires_after")
    if body:
        work.note(ChangeKind.MOVED, ", ".join(f"{place}{name}" for name in body), f"{place}session")
    request["session"] = convert(work, body, f"{place}session.")
    return request


def _secret_reply(work: _Work, reply: _Json, place: str) -> _Json:
    """Put the key, which stood in its session, beside it."""
    secret = reply.get("client_secret")
    if not isinstance(secret, dict):
        if isinstance(reply.get("session"), dict):
            reply["session"] = _session(work, reply["session"], f"{place}session.")
        return reply
    del reply["client_secret"]
    for name in secret:
        work.note(ChangeKind.MOVED, f"{place}client_secret.{name}", f"{place}{name}")
    work.note(ChangeKind.MOVED, "the fields of the session", f"{place}session")
    return {**secret, "session": _session(work, reply, f"{place}session.")}


# --- sessions and responses -------------------------------------------------------------------------------------------


def _typed(work: _Work, session: _Json, place: str, kind: str) -> _Json:
    if "type" in session:
        return session
    why = 'a session says whether it speaks ("realtime") or only transcribes ("transcription")'
    work.note(ChangeKind.ADDED, f"{place}type", kind, why)
    return {"type": kind, **session}


def _flattened(work: _Work, fields: _Json, place: str, table: Mapping[str, str | None]) -> _Json:
    """Move each beta field to its current path."""
    result = {name: value for name, value in fields.items() if name not in table}
    for name in (name for name in fields if name in table):
        path, value = table[name], fields[name]
        if path is None:
            why = beta.REMOVED.get(name, "there is none any more")
            work.note(ChangeKind.DROPPED, f"{place}{name}", why=why)
        elif _put(result, path, value):
            work.note(ChangeKind.MOVED, f"{place}{name}", f"{place}{path}")
        else:
            work.note(ChangeKind.DROPPED, f"{place}{name}", why=f"{place}{path} is set already")
    return result


def _put(fields: _Json, path: str, value: object) -> bool:
    """Put a value at a path, unless something is there."""
    *above, last = path.split(".")
    here = fields
    for step in above:
        below = here.setdefault(step, {})
        if not isinstance(below, dict):
            return False
        here = below
    if last in here:
        return False
    here[last] = value
    return True


def _shared(work: _Work, fields: _Json, place: str) -> _Json:
    """Convert what sessions and responses have in common, in its current place."""
    _modalities(work, fields, place)
    _tool_choice(work, fields, place)
    audio = fields.get("audio")
    for side in ("input", "output"):
        half = audio.get(side) if isinstance(audio, dict) else None
        if isinstance(half, dict):
            _half(work, half, f"{place}audio.{side}.", beta.HALF_MOVED[side])
    model = fields.get("model")
    if isinstance(model, str) and model in beta.MODELS:
        why = f"the model is of the beta; {beta.MODELS[model]} is what is nearest"
        work.note(ChangeKind.KEPT, f"{place}model", why=why)
    return fields


def _half(work: _Work, half: _Json, place: str, names: Mapping[str, str]) -> None:
    for name in [name for name in half if name in names]:
        value, now = half.pop(name), names[name].rpartition(".")[2]
        if now in half:
            work.note(ChangeKind.DROPPED, f"{place}{name}", why=f"{place}{now} is set already")
        else:
            half[now] = value
            work.note(ChangeKind.MOVED, f"{place}{name}", f"{place}{now}")
    word = half.get("format")
    if isinstance(word, str) and word in beta.AUDIO_FORMATS:
        half["format"] = dict(beta.AUDIO_FORMATS[word])
        work.note(ChangeKind.REPLACED, f"{place}format", half["format"]["type"])


def _modalities(work: _Work, fields: _Json, place: str) -> None:
    modalities = fields.get("output_modalities")
    words = {each for each in modalities if isinstance(each, str)} if isinstance(modalities, list) else set()
    if words == beta.BOTH_MODALITIES and isinstance(modalities, list) and len(modalities) == len(words):
        fields["output_modalities"] = ["audio"]
        why = "both at once is refused; the transcript comes anyway"
        work.note(ChangeKind.REPLACED, f"{place}output_modalities", '["audio"]', why)


def _tool_choice(work: _Work, fields: _Json, place: str) -> None:
    choice = fields.get("tool_choice")
    for name, now in beta.TOOL_CHOICE_FIELDS.items():
        named = choice.get(name) if isinstance(choice, dict) else None
        if isinstance(choice, dict) and isinstance(named, dict) and now in named:
            del choice[name]
            choice.setdefault(now, named[now])
            work.note(ChangeKind.MOVED, f"{place}tool_choice.{name}.{now}", f"{place}tool_choice.{now}")


# --- items ------------------------------------------------------------------------------------------------------------


def _input(work: _Work, entries: list[Any], place: str) -> list[Any]:
    """Convert the context of a response. A reference, which stood in a message, is an entry of its own."""
    result: list[Any] = []
    for n, entry in enumerate(entries):
        at = f"{place}{n}."
        if not isinstance(entry, dict):
            result.append(entry)
            continue
        content = entry.get("content")
        parts = content if isinstance(content, list) else []
        references = [part for part in parts if isinstance(part, dict) and part.get("type") == beta.REFERENCE]
        for part in references:
            result.append({"type": beta.REFERENCE, "id": part.get("id")})
            work.note(ChangeKind.MOVED, f"{at}content", place.rstrip("."), "a reference is an entry of its own")
        if references:
            entry["content"] = [part for part in parts if part not in references]
        if entry.get("content") or not references:
            result.append(_item(work, entry, at))
    return result


def _item(work: _Work, item: _Json, place: str) -> _Json:
    if item.get("role") != "assistant" or not isinstance(item.get("content"), list):
        return item
    for n, part in enumerate(item["content"]):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind in beta.CONTENT_TYPES:
            part["type"] = beta.CONTENT_TYPES[kind]
            work.note(ChangeKind.REPLACED, f"{place}content.{n}.type", part["type"])
    return item


_CONVERTERS: Mapping[Shape, Callable[[_Work, _Json, str], _Json]] = {
    "event": _event,
    "session": _session,
    "transcription_session": _transcription_session,
    "response": _response,
    "item": _item,
    "secret_request": _secret_request,
    "transcription_secret_request": _transcription_secret_request,
    "secret_reply": _secret_reply,
}
