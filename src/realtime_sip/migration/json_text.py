"""What of the beta is in JSON: where each object stands, and the text with the current objects in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from realtime_sip._wire import read_json
from realtime_sip.migration import objects, strings
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import Hit

_TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_INDENT = re.compile(r"\n([ \t]+)\S")

Path = tuple[str | int, ...]


def scan(text: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    """Yield each hit with its line and column, from 1.

    Raises:
        ValueError: It is not JSON, or is nested too deeply.
    """
    value = read_json(text)
    places = _places(text)
    for path, hit in _walk(value, (), source):
        at = places.get(path, 0)
        yield text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at), hit


def rewritten(text: str, source: Evidence) -> str | None:
    """Return JSON text with each object of the beta as the current one.

    It is None if nothing would change, or something would be lost: of members with one name only the last is left.
    """
    try:
        read_json(text)
        before = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    after = _current(before, source)
    if after == before:
        return None
    indent = _INDENT.search(text)
    written = json.dumps(after, ensure_ascii=text.isascii(), indent=None if indent is None else indent[1])
    written += text[len(text.rstrip()) :].replace("\r\n", "\n")
    return written.replace("\n", "\r\n") if "\r\n" in text else written


def _current(value: Any, source: Evidence) -> Any:
    if isinstance(value, list):
        return [_current(each, source) for each in value]
    if not isinstance(value, dict):
        return value
    hit = objects.judge(value, source)
    if hit is not None and hit.sure:
        return hit.now
    return {name: _current(below, source) for name, below in value.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("members with one name")
    return fields


def _walk(value: Any, path: Path, source: Evidence) -> Iterator[tuple[Path, Hit]]:
    """Go through a value. What is inside an object that was found is not found again by itself."""
    if isinstance(value, str):
        for said in strings.hits(value, source):
            yield path, said
        return
    hit = objects.judge(value, source) if isinstance(value, dict) else None
    if hit is not None:
        yield path, hit
        return
    if isinstance(value, dict):
        for name, below in value.items():
            if strings.is_header(name) and isinstance(below, str) and below.startswith("realtime"):
                yield (*path, name), strings.header()
            yield from _walk(below, (*path, name), source)
    elif isinstance(value, list):
        for n, below in enumerate(value):
            yield from _walk(below, (*path, n), source)


def _places(text: str) -> dict[Path, int]:
    """Return where each value of valid JSON begins, by its path. Of members with one name it is the last."""
    places: dict[Path, int] = {}
    path: list[str | int] = []
    open_: list[bool] = []  # whether each level is an object
    key: str | None = None
    named = False
    for token in _TOKENS.finditer(text):
        word, at = token.group(), token.start()
        if word == ":":
            named = True
        elif word == ",":
            named = False
            if open_ and not open_[-1]:
                path[-1] = int(path[-1]) + 1
        elif word in "}]":
            path.pop()
            open_.pop()
            named = False
        elif open_ and open_[-1] and not named:
            key = json.loads(word)
            path[-1] = key if key is not None else ""
        else:
            places[tuple(path)] = at
            if word in "{[":
                open_.append(word == "{")
                path.append("" if word == "{" else 0)
                named = False
    return places
