"""What a redacted log keeps of an event: names, positions and counts; nobody's words, numbers or keys.

It is an allow-list. Whatever is not known to be harmless is withheld, and so is a field that the service adds tomorrow.
Shapes stay as far as the events' classes require them, so that a redacted event still parses as its own class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel

from realtime_sip._redaction import size_of
from realtime_sip._wire import Inbound

# Strings that are ids, enumerations of the service, or names that the program gives to tools and servers.
_NAMES = frozenset(
    {
        *("type", "object", "status", "role", "phase", "param", "model", "voice", "format", "name", "server_label"),
        *("id", "event_id", "item_id", "previous_item_id", "response_id", "conversation_id", "session_id", "call_id"),
        *("approval_request_id", "connector_id", "include", "output_modalities", "max_output_tokens", "conversation"),
        *("tool_choice", "tool_names", "allowed_tools", "allowed_callers", "require_approval", "truncation", "tracing"),
        *("effort", "eagerness", "delay", "language", "event_type", "event_types", "first_id", "last_id"),
    }
)
# These are names only there: elsewhere `reason` is a sentence, and `code` the language that a caller spoke.
_NAMES_THERE = frozenset({("status_details", "reason"), ("error", "code")})
# And this is a harmless number only there: elsewhere a code is what somebody has to enter.
_NUMBERS_THERE = frozenset({("error", "code")})

# Numbers that count, measure or date. Not `bytes`, which spells the words of a transcript, and not `logprob`.
_NUMBERS = frozenset(
    {
        *(
            "content_index",
            "output_index",
            "audio_start_ms",
            "audio_end_ms",
            "start",
            "end",
            "seconds",
            "rate",
            "speed",
        ),
        *(
            "count",
            "created_at",
            "updated_at",
            "expires_at",
            "received_at",
            "limit",
            "remaining",
            "reset_seconds",
            "strength",
        ),
        *("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "retention_ratio"),
        *("status_code", "post_instructions", "max_output_tokens", "total_tokens", "input_tokens", "output_tokens"),
        *("text_tokens", "audio_tokens", "image_tokens", "cached_tokens"),
    }
)
_LARGEST = 1e11

# Objects, and lists of objects, whose own fields are looked at one by one.
_PARTS = frozenset(
    {
        *("session", "response", "item", "input", "output", "content", "part", "conversation", "error", "rate_limits"),
        *("audio", "format", "noise_reduction", "transcription", "turn_detection", "voice", "reasoning", "prompt"),
        *("tools", "tool_choice", "allowed_tools", "require_approval", "always", "never", "tracing", "truncation"),
        *("token_limits", "status_details", "usage", "input_token_details", "output_token_details", "languages"),
        *("cached_tokens_details",),
    }
)
# Objects whose keys are the program's own, or an MCP server's: the classes of events ask for an object there.
_MAPS = frozenset({"metadata", "variables", "headers", "parameters", "input_schema", "annotations"})
# Lists whose elements have a shape that cannot be kept without telling words.
_EMPTIED = frozenset({"logprobs", "bytes"})

_KNOWN = _NAMES | _NUMBERS | _PARTS | _MAPS | _EMPTIED | {key for _, key in _NAMES_THERE}

_MOST_NAME = 100
# One type of the API specification begins with a blank.
_NAME = re.compile(r" ?[A-Za-z0-9_./-]{1,100}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LETTER = re.compile(r"[A-Za-z]")
_DIGITS_ALONE = re.compile(r"(?<![0-9A-Za-z])[0-9]+(?![0-9A-Za-z])")
_SECRETS = ("sk-", "sk_", "ek-", "ek_", "whsec_")
_MOST_DIGITS = 8
"""The most digits in a row in a name: the date in the name of a model has as many. A phone number has more."""
_DEEPEST = 16


def redacted_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be kept of an event, given in the wire's form.

    Kept are: true, false and null; numbers that count, measure or date; strings under keys whose values are names, if
    they look like one; and the keys themselves, if they look like the name of a field. Any other string becomes
    "<12 chars>", any other number "<number>", and an object that is not known to be part of an event, "<3 items>".
    Objects whose keys are the program's keep only how many they have. The key that a caller pressed is never kept.

    >>> redacted_event({"type": "response.output_text.done", "item_id": "item_1", "output_index": 0, "text": "Hello."})
    {'type': 'response.output_text.done', 'item_id': 'item_1', 'output_index': 0, 'text': '<6 chars>'}
    >>> redacted_event({"type": "input_audio_buffer.dtmf_event_received", "event": "7", "received_at": 1795000000})
    {'type': 'input_audio_buffer.dtmf_event_received', 'event': '<1 chars>', 'received_at': 1795000000}
    >>> redacted_event({"type": "response.done", "response": {"metadata": {"customer": "Ada"}, "order": 4711}})
    {'type': 'response.done', 'response': {'metadata': {'<1 items>': '<withheld>'}, 'order': '<number>'}}
    """
    return _part(event, "", 0)


def redacted_model(event: Inbound) -> dict[str, Any]:
    """Return what `redacted_event` does for the wire's form of an event, without making that."""
    return _of_model(event, "", 0)


def is_name(text: str) -> bool:
    """Return whether a string looks like an id or the word of an enumeration, and not like a phone number or a secret.

    >>> is_name("item_E6mH8gMSHj8w5w9SzpiLj"), is_name("gpt-realtime-2025-08-28"), is_name("audio/pcm")
    (True, True, True)
    >>> is_name("customer-415-555-0100"), is_name("5550100"), is_name("Ada Lovelace"), is_name("sk-proj-1")
    (False, False, False, False)
    """
    if text.startswith(_SECRETS):
        return False
    kind, _, rest = text.partition("_")
    if kind.isalpha() and rest.isalnum() and not rest.isdigit() and text.isascii() and len(text) <= _MOST_NAME:
        return True  # as most ids are
    if not _NAME.fullmatch(text) or not _LETTER.search(text):
        return False
    return sum(map(len, _DIGITS_ALONE.findall(text))) <= _MOST_DIGITS


_is_name_again = lru_cache(maxsize=2048)(is_name)
"""For what comes again and again: types, and the ids of a response and an item, in each of their deltas."""


@cache
def _fields(kind: type[BaseModel], name: str) -> tuple[tuple[str, Callable[[str], bool] | None, bool], ...]:
    """Return the fields of a class, each with what tells whether its text is kept, or None if none ever is, and whether
    its numbers are harmless."""

    def kept_if(key: str) -> Callable[[str], bool] | None:
        if key == "event_id":
            return is_name
        return _is_name_again if key in _NAMES or (name, key) in _NAMES_THERE else None

    return tuple((key, kept_if(key), key in _NUMBERS) for key in kind.model_fields)


def _of_model(model: BaseModel, name: str, depth: int) -> dict[str, Any]:
    fields, came = model.__dict__, model.__pydantic_fields_set__
    kept: dict[str, Any] = {}
    for key, is_kept, harmless in _fields(type(model), name):
        if key in came:
            value = fields[key]
            if type(value) is str:
                named = not value or (is_kept is not None and is_kept(value))
                kept[key] = value if named else f"<{len(value)} chars>"
            elif harmless and type(value) is int and -_LARGEST < value < _LARGEST:
                kept[key] = value
            else:
                kept[key] = _value(value, key, name, depth)
    more = model.__pydantic_extra__
    return kept | _part(more, name, depth) if more else kept


def _part(part: Mapping[str, Any], name: str, depth: int) -> dict[str, Any]:
    return {_key(key): _value(value, key, name, depth) for key, value in part.items()}


def _key(key: object) -> str:
    known = isinstance(key, str) and (key in _KNOWN or (_FIELD.fullmatch(key) is not None and is_name(key)))
    return str(key) if known else "<key>"


def _value(value: object, key: str, parent: str, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        named = key in _NAMES or (parent, key) in _NAMES_THERE
        return value if not value or (named and _is_name_again(value)) else f"<{len(value)} chars>"
    if isinstance(value, (int, float)):
        known = key in _NUMBERS or (parent, key) in _NUMBERS_THERE
        return value if known and abs(value) < _LARGEST else "<number>"
    if isinstance(value, BaseModel):
        if key in _PARTS and depth < _DEEPEST and value.__pydantic_fields_set__:
            return _of_model(value, key, depth + 1)
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        if not value:
            return {}
        if key in _PARTS and depth < _DEEPEST:
            return _part(value, key, depth + 1)
        if key in _MAPS:
            return {size_of(value): "<withheld>"}
    elif isinstance(value, (list, tuple)) and depth < _DEEPEST:
        return [] if key in _EMPTIED else [_value(one, key, parent, depth + 1) for one in value]
    return size_of(value)
