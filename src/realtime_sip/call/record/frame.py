"""Reads fields of a received frame where they are, whether or not it parsed as its class."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def get(value: object, *path: str) -> Any:
    """Return the field at `path`, or None if it is not there.

    A known event has attributes, an unknown one has the dicts of the wire, and each may hold the other.
    """
    for name in path:
        if isinstance(value, BaseModel):
            # An attribute that is not there costs pydantic an exception, and a method may have its name.
            fields = value.__dict__
            if name in fields:
                value = fields[name]
            else:
                more = value.__pydantic_extra__
                value = more.get(name) if more else None
        elif isinstance(value, dict):
            value = value.get(name)
        else:
            return None
    return value


def has(value: object, name: str) -> bool:
    """Return whether a field came in: null is not absent."""
    if isinstance(value, BaseModel):
        return name in value.model_fields_set
    return isinstance(value, dict) and name in value


def text(value: object, *path: str) -> str:
    """Return the text at `path`, or ""."""
    found = get(value, *path)
    return found if isinstance(found, str) else ""


def items(value: object, *path: str) -> list[Any]:
    """Return the list at `path`, or an empty one."""
    found = get(value, *path)
    return found if isinstance(found, list) else []


def plain(value: object) -> Any:
    """Return a part of a frame as the wire had it, for what is compared or kept whole."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_unset=True)
    return value
