"""JSON Schemas as the service takes them: what pydantic writes, in one piece, in other words, or refused.

A schema that the service refuses costs the call that is accepted with it, so it is refused where the function is
registered. What is known of it, from errors of the service's APIs that take functions (reports of 2024 to 2026): an
array needs `items`, an object `properties`, a pattern is a regular expression of Python's without look-around, and the
whole is valid JSON Schema. Keywords and formats that its guide to structured outputs (November 2026) does not name are
not relied on: they are said in the description, and checked when the arguments are read, as always.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from typing import Any

from realtime_sip.errors import ConfigurationError

_MAX_BITS = 1023  # of an integer that a double can stand for
_MAX_NODES = 5_000

_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
"""The formats that the guide to structured outputs names."""
_SAYS_NOTHING = frozenset({"binary", "password"})
_UNWRITABLE = frozenset(
    {
        *("$dynamicRef", "$recursiveRef", "$ref", "contains", "dependencies", "dependentRequired", "dependentSchemas"),
        *("else", "if", "maxContains", "minContains", "not", "then", "unevaluatedItems", "unevaluatedProperties"),
    }
)
"""What narrows a value in a way that cannot be written otherwise. Any other keyword only annotates, and is left out."""
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_DESCRIBES = {"minLength", "maxLength", "pattern", "format"}


def written(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without references and titles, in a form that the service takes.

    >>> written({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, {})["items"]
    {'anyOf': [{'type': 'integer'}, {'type': 'string'}]}

    Raises:
        ConfigurationError: There is no such form; the message says why, of "it".
    """
    return _Writer(definitions).write(schema, ())


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return `value` without the nulls that stand for "nothing": members that may be left out, and cannot be null."""
    if isinstance(value, list):
        lists = [kind for kind in _kinds(schema) if kind.get("type") == "array"]
        return [without_nulls(each, lists[0]["items"]) for each in value] if len(lists) == 1 else value
    if not isinstance(value, dict):
        return value
    schema = _of_object(value, schema)
    properties, required, other = schema.get("properties", {}), schema.get("required", ()), None
    if isinstance(schema.get("additionalProperties"), dict):
        other = schema["additionalProperties"]
    kept = {}
    for name, each in value.items():
        known = properties.get(name, other)
        if each is None and name in properties and name not in required and not _takes_null(known):
            continue
        kept[name] = each if known is None else without_nulls(each, known)
    return kept


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return any(
        "null" in kind.get("type", ("null",)) and None in kind.get("enum", (kind.get("const"),))
        for kind in _kinds(schema)
    )


def _of_object(value: dict[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one kind of object that `value` can be; of several, none."""
    if "anyOf" not in schema:
        return schema
    kinds = [kind for kind in _kinds(schema) if kind.get("type") == "object" and _may_be(value, kind)]
    return kinds[0] if len(kinds) == 1 else {}


def _kinds(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in schema.get("anyOf", ()):
        yield from _kinds(kind)
    if "anyOf" not in schema:
        yield schema


def _may_be(value: dict[str, Any], kind: Mapping[str, Any]) -> bool:
    properties = kind.get("properties", {})
    return all("const" not in known or value.get(name) == known["const"] for name, known in properties.items())


# --- from what pydantic writes ----------------------------------------------------------------------------------------


class _Writer:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._nodes = 0

    def write(self, node: Any, within: tuple[str, ...]) -> dict[str, Any]:
        """Return one schema, and all that are in it. `within` names the definitions that it is a part of."""
        node, within = self._resolved(node, within)
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise ConfigurationError("its JSON Schema is too large")
        for keyword in node:
            if keyword in _UNWRITABLE:
                raise ConfigurationError(f"its JSON Schema has {keyword!r}, which the service does not take")

        def inner(schema: Any) -> dict[str, Any]:
            return self.write(schema, within)

        words: list[str] = []
        plain: dict[str, Any] = {}
        if isinstance(node.get("description"), str) and _is_text(node["description"]):
            plain["description"] = node["description"]
        plain |= _choices(node, inner) | _data(node) | _type(node) | _bounds(node)
        if isinstance(node.get("pattern"), str):
            plain["pattern"] = _checked_pattern(node["pattern"])
        _format(node, plain, words)
        if _may_have(node, "array"):
            _array(node, plain, words, inner)
        if _may_have(node, "object"):
            _object(node, plain, words, inner)
        if words:
            plain["description"] = " ".join([plain["description"], *words] if "description" in plain else words)
        return plain

    def _resolved(self, node: Any, within: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return what a schema refers to, with its own keywords."""
        while isinstance(node, dict):
            alone = node.get("allOf")
            if isinstance(alone, list) and len(alone) == 1 and isinstance(alone[0], dict):
                node = {**alone[0], **{key: value for key, value in node.items() if key != "allOf"}}
                continue
            referred = str(node.get("$ref")).removeprefix("#/$defs/")
            if referred not in self._definitions:
                break
            if referred in within:
                raise ConfigurationError("it contains itself")
            within = (*within, referred)
            node = {**self._definitions[referred], **{key: value for key, value in node.items() if key != "$ref"}}
        if not isinstance(node, dict) or "allOf" in node:
            raise ConfigurationError("its JSON Schema is not an object of plain keywords")
        return node, within


def _type(node: dict[str, Any]) -> dict[str, Any]:
    if "type" not in node:
        return {}
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    if not kinds or not all(isinstance(kind, str) and kind in _TYPES for kind in kinds):
        raise ConfigurationError("its JSON Schema has a type that JSON does not have")
    return {"type": node["type"]}


def _may_have(node: dict[str, Any], kind: str) -> bool:
    return kind in node.get("type", ()) if isinstance(node.get("type"), list) else node.get("type") == kind


def _choices(node: dict[str, Any], inner: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return the kinds to choose from. Those of a tagged union exclude one another by their constants."""
    kinds = node.get("anyOf", node.get("oneOf"))
    if kinds is None:
        return {}
    if not isinstance(kinds, list) or not kinds or ("anyOf" in node and "oneOf" in node):
        raise ConfigurationError("its JSON Schema has choices that cannot be read")
    return {"anyOf": [inner(kind) for kind in kinds]}


def _data(node: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    if "enum" in node:
        if not isinstance(node["enum"], list) or not node["enum"]:
            raise ConfigurationError("no value fits it")
        plain["enum"] = node["enum"]
    if "const" in node:
        plain["const"] = node["const"]
    if not _is_data(plain):
        raise ConfigurationError("one of its values is not JSON, such as a number that is not finite")
    # These only advise; the function's own default counts.
    plain |= {key: node[key] for key in ("default", "examples") if key in node and _is_data(node[key])}
    if not isinstance(plain.get("examples", []), list):
        del plain["examples"]
    return plain


def _bounds(node: dict[str, Any]) -> dict[str, Any]:
    plain = {}
    for key in _NUMBERS:
        if key in node:
            value = node[key]
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and _is_data(value)
            if not good or (key == "multipleOf" and value <= 0):
                raise ConfigurationError(f"its bound {key} is not a number that JSON can carry")
            plain[key] = value
    for key in _COUNTS:
        if key in node:
            value = node[key]
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
                raise ConfigurationError(f"its bound {key} is not a count")
            plain[key] = value
    return plain


def _format(node: dict[str, Any], plain: dict[str, Any], words: list[str]) -> None:
    name = node.get("format")
    if isinstance(name, str):
        known = "uuid" if name.startswith("uuid") else name
        if known in _FORMATS:
            plain["format"] = known
        elif known not in _SAYS_NOTHING and _is_text(known):
            words.append(f"Format: {known}.")
    if node.get("contentMediaType") == "application/json":
        words.append("JSON, as text.")


def _array(
    node: dict[str, Any], plain: dict[str, Any], words: list[str], inner: Callable[[Any], dict[str, Any]]
) -> None:
    """Write `items`. What is a fixed row becomes items of any of its kinds, and its order is said."""
    items, row = node.get("items"), node.get("prefixItems")
    if row is None and isinstance(items, list):
        items, row = node.get("additionalItems"), items
    if row is None:
        if node.get("maxItems") == 0 and items is None:
            items = {}
        if not isinstance(items, dict):
            raise ConfigurationError("it is a list of unknown items")
        plain["items"] = inner(items)
        return
    if not isinstance(row, list) or not row:
        raise ConfigurationError("it is a list of unknown items")
    kinds = [inner(each) for each in row]
    names = [each.get("title") if isinstance(each, dict) else None for each in row]
    order = [f"{name} ({_kind(kind)})" if name else _kind(kind) for name, kind in zip(names, kinds, strict=True)]
    if isinstance(items, dict):
        kinds.append(inner(items))
        order.append(f"any number of {_kind(kinds[-1])}")
    different = [kind for number, kind in enumerate(kinds) if kind not in kinds[:number]]
    plain["items"] = different[0] if len(different) == 1 else {"anyOf": different}
    words.append(f"Items in this order: {', '.join(order)}.")


def _kind(schema: dict[str, Any]) -> str:
    """Return in words what a schema asks for."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(_kind, schema["anyOf"])))
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        return " or ".join(json.dumps(value) for value in values)
    kinds = schema.get("type", "value")
    return str(schema.get("format", kinds)) if isinstance(kinds, str) else " or ".join(kinds)


def _object(
    node: dict[str, Any], plain: dict[str, Any], words: list[str], inner: Callable[[Any], dict[str, Any]]
) -> None:
    properties = node.get("properties", {})
    required = node.get("required", [])
    if not isinstance(properties, dict) or not all(_is_text(name) for name in properties):
        raise ConfigurationError("its JSON Schema has properties that cannot be read")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise ConfigurationError("its JSON Schema has `required` that is not a list of names")
    plain["properties"] = {name: inner(each) for name, each in properties.items()}
    if required:
        plain["required"] = required
    other, keys, patterns = node.get("additionalProperties"), node.get("propertyNames"), node.get("patternProperties")
    if patterns:
        if not isinstance(patterns, dict) or len(patterns) > 1 or isinstance(other, dict) or properties:
            raise ConfigurationError("its JSON Schema has 'patternProperties', which the service does not take")
        ((pattern, other),) = patterns.items()
        words.append(f"Each key matches {pattern}.")
    if keys is not None:
        named = inner(keys)
        names = named.get("enum", [named["const"]] if "const" in named else None)
        if names is not None and not properties and isinstance(other, dict):
            plain["properties"] = {str(name): inner(other) for name in names}
            other = False
        else:
            words.extend(_of_keys(named))
    if isinstance(other, (bool, dict)):
        plain["additionalProperties"] = inner(other) if isinstance(other, dict) else other


def _of_keys(named: dict[str, Any]) -> Iterable[str]:
    told = {key: value for key, value in named.items() if key in _DESCRIBES}
    if told:
        yield f"Each key fits {json.dumps(told, ensure_ascii=False)}."


# --- what may stand in it ---------------------------------------------------------------------------------------------

_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_REFERS = re.compile(r"\(\?(?:P=|\(|>)|(?:[*+?]|\{[0-9,]+\})\+")


def _checked_pattern(pattern: str) -> str:
    """Return a pattern that the service can read: with Python's syntax, and by an engine that never goes back."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"its pattern is not one of Python's regular expressions: {error}") from None
    bare = _without_classes(pattern)
    advice = "; check that in an AfterValidator, which the model is not told of"
    if any(look in bare for look in _LOOKS):
        raise ConfigurationError(f"its pattern has look-around, which the service does not take{advice}")
    if _REFERS.search(bare) or "\\0" in bare:
        raise ConfigurationError(f"its pattern refers back or is possessive, which the service does not take{advice}")
    if not _is_text(pattern):
        raise ConfigurationError("its pattern is not text that JSON can carry")
    return pattern


_ESCAPE_OR_CLASS = re.compile(r"\\([1-9])|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def _without_classes(pattern: str) -> str:
    r"""Return a pattern without its escapes and classes of characters. A back-reference is left as "\0"."""
    return _ESCAPE_OR_CLASS.sub(lambda found: "\\0" if found[1] else ".", pattern)


def _is_text(value: object) -> bool:
    """Whether it is text that UTF-8 can hold."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_data(value: object) -> bool:
    """Whether it is JSON that can be sent as it is."""
    match value:
        case None | bool():
            return True
        case str():
            return _is_text(value)
        case int():
            return value.bit_length() <= _MAX_BITS
        case float():
            return isfinite(value)
        case list():
            return all(map(_is_data, value))
        case dict():
            return all(map(_is_text, value)) and all(map(_is_data, value.values()))
    return False
