"""What an object in a source is: one of the beta's shapes, and the current shape in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from realtime_sip import beta
from realtime_sip.errors import InvalidRequestError
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import Hit, Rule
from realtime_sip.migration.shapes import ChangeKind, Shape, to_ga

SPREAD = "**"
"""The key that stands in an object for whatever else is put into it."""

_SENT = frozenset({"session.update", "response.create", "conversation.item.create", *beta.CLIENT_EVENT_TYPES})
_FIELDS = beta.SESSION_FIELDS.keys()
_OF_A_RESPONSE = frozenset({"conversation", "input", "metadata"})
_OF_A_SESSION = frozenset({"input_audio_format", "input_audio_transcription", "turn_detection"})
_KEY = frozenset({"expires_after", "expires_at", "value"})
_TWO = 2


def judge(value: Mapping[str, Any], source: Evidence) -> Hit | None:
    """Return what an object is found to be by itself, or None if nothing shows that it is of the beta.

    `SPREAD` is a key of an object that is not known whole.
    """
    kind, keys = value.get("type"), value.keys()
    secret = value.get("client_secret")
    if isinstance(kind, str) and kind in _SENT:
        return as_shape(value, "event", kind)
    if kind == "message" and value.get("role") == "assistant":
        hit = as_shape(value, "item", "an assistant's message")
        # Anthropic's messages look the same.
        return None if hit is None else replace(hit, sure=source.realtime and not source.anthropic)
    if isinstance(secret, Mapping) and secret.keys() & _KEY and keys & (_FIELDS - {"client_secret"}):
        return as_shape(value, "secret_reply" if "value" in secret else "secret_request", "a key and its session")
    if kind in ("realtime", "transcription") and keys & _FIELDS:
        return as_shape(value, "session", "a session")
    if not source.agents and keys & beta.DISTINCTIVE and len(keys & _FIELDS) >= _TWO:
        responds = bool(keys & _OF_A_RESPONSE) and not keys & _OF_A_SESSION
        return as_shape(value, "response" if responds else "session", "a response" if responds else "a session")
    return None


def as_shape(value: Mapping[str, Any], shape: Shape, name: str) -> Hit | None:
    """Return what an object of a known shape is found to be, or None if it is of the current API."""
    try:
        migrated = to_ga(value, shape=shape)
    except InvalidRequestError:
        return None
    unknown = _has_spread(value)
    changes = [
        change
        for change in migrated.changes
        # What is put into it elsewhere may hold the type.
        if change.kind is not ChangeKind.KEPT and not (change.kind is ChangeKind.ADDED and unknown)
    ]
    if not changes:
        return None
    if all(change.kind is ChangeKind.ADDED for change in changes):
        what = f"{name} without {changes[0].place}, which is required"
    else:
        what = f"{name} in the shape of the beta"
    return Hit(Rule.SHAPE, what, migrated.value, tuple(map(str, changes)))


def _has_spread(value: object) -> bool:
    if isinstance(value, Mapping):
        return SPREAD in value or any(map(_has_spread, value.values()))
    return isinstance(value, list) and any(map(_has_spread, value))
