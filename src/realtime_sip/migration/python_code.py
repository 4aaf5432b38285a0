"""What of the beta is in Python code, by its syntax tree; nothing is imported or run."""

from __future__ import annotations

import ast
import pprint
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from realtime_sip import beta
from realtime_sip._wire import read_json
from realtime_sip.migration import objects, strings
from realtime_sip.migration.evidence import Evidence
from realtime_sip.migration.findings import Hit, Rule
from realtime_sip.migration.shapes import Shape

_MAX_DEPTH = 30
_MAX_JSON = 100_000


class Code(str):
    """Stands in an object for an expression, whose value is not known, and prints as its source.

    It equals nothing but itself: a variable named `text` is not the word "text".
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return str(self)


def scan(text: str, source: Evidence) -> Iterator[tuple[int, int, Hit]]:
    """Yield each hit with its line and column, from 1.

    Raises:
        SyntaxError: It is not Python, or too deeply nested to read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the program's own: invalid escapes, `is` with a literal
            tree = ast.parse(text)
    except (ValueError, RecursionError, MemoryError):
        raise SyntaxError("cannot be read") from None
    try:
        yield from _Scan(tree, source).hits()
    except RecursionError:
        raise SyntaxError("nested too deeply") from None


class _Scan:
    """One module. What was found inside a larger object is not found again by itself."""

    def __init__(self, tree: ast.Module, source: Evidence) -> None:
        self._source = source
        self._nodes = list(ast.walk(tree))
        self._values = _assigned(self._nodes)
        self._done: set[int] = set()
        self._found: list[tuple[int, int, Hit]] = []
        self._noted: set[tuple[int, int, Rule]] = set()
        # A docstring may say anything.
        self._prose = {id(node.value) for node in self._nodes if isinstance(node, ast.Expr)}

    def hits(self) -> list[tuple[int, int, Hit]]:
        """Return all hits, in the order of the lines."""
        for node in self._nodes:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Subscript):
                self._subscript(node)
        # Events before the sessions in them, which may be assigned elsewhere.
        for events in (True, False):
            for node in self._nodes:
                value = self._object(node)
                if value is not None and ("." in str(value.get("type", ""))) is events:
                    self._judge(node, objects.judge(value, self._source))
        for node in self._nodes:
            if isinstance(node, ast.Dict):
                self._header_in(list(zip(node.keys, node.values, strict=True)))
            elif isinstance(node, (ast.Tuple, ast.List)):
                self._header_in([(node.elts[0], node.elts[1])] if len(node.elts) == 2 else [])
            elif isinstance(node, ast.Attribute):
                self._attribute(node)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif isinstance(node, (ast.Constant, ast.JoinedStr)):
                self._string(node)
        return sorted(self._found, key=lambda found: found[:2])

    # --- objects ------------------------------------------------------------------------------------------------------

    def _judge(self, node: ast.AST, hit: Hit | None) -> None:
        if hit is None or id(node) in self._done:
            return
        self._note(node, replace(hit, now=pprint.pformat(hit.now, width=100, sort_dicts=False)))
        self._take(node)

    def _take(self, node: ast.AST) -> None:
        """Mark an object, and those in it, as found."""
        for below in ast.walk(node):
            if isinstance(below, (ast.Dict, ast.Call)):
                self._done.add(id(below))
            elif isinstance(below, (ast.Name, ast.Attribute)):
                assigned = self._assigned_to(below)
                if assigned is not None and id(assigned) not in self._done:
                    self._done.add(id(assigned))
                    self._take(assigned)

    def _object(self, node: ast.AST) -> dict[str, Any] | None:
        value = self._value(node) if isinstance(node, (ast.Dict, ast.Call)) else None
        return value if isinstance(value, dict) else None

    def _value(self, node: ast.AST | None, depth: int = 0) -> Any:
        """Return what an expression is, as far as its source shows."""
        if depth > _MAX_DEPTH or node is None:
            return Code("…")
        match node:
            case ast.Constant(value=str() | int() | float() | bool() | None as value):
                return value
            case ast.Dict():
                return self._fields(list(zip(node.keys, node.values, strict=True)), depth)
            case ast.Call(func=ast.Name(id="dict"), args=[]):
                return self._fields([(keyword.arg, keyword.value) for keyword in node.keywords], depth)
            case ast.List() | ast.Tuple():
                return [self._value(each, depth + 1) for each in node.elts]
            case ast.Name() | ast.Attribute():
                assigned = self._assigned_to(node)
                if isinstance(assigned, (ast.Dict, ast.Call, ast.Constant)):
                    value = self._value(assigned, depth + 1)
                    if isinstance(value, (dict, str)) and not isinstance(value, Code):
                        return value
        return Code(ast.unparse(node))

    def _assigned_to(self, node: ast.Name | ast.Attribute) -> ast.expr | None:
        """Return what was assigned to a name last before it is used; if only afterwards, the first of that."""
        values = self._values.get(ast.unparse(node), [])
        before = [value for line, value in values if line < node.lineno]
        return before[-1] if before else values[0][1] if values else None

    def _fields(self, pairs: list[tuple[Any, ast.expr]], depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, value in pairs:
            if key is None:
                fields[objects.SPREAD] = Code(ast.unparse(value))
                continue
            name = key if isinstance(key, str) else self._value(key, depth + 1)
            if isinstance(name, str):
                fields[name] = self._value(value, depth + 1)
        return fields

    # --- calls and subscripts -----------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> None:
        name = _dotted(node.func)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        if name.endswith((".session.update", ".client_secrets.create")):
            self._argument(node, keywords.get("session"), "session.update", "session")
        elif name.endswith(".response.create"):
            self._argument(node, keywords.get("response"), "response.create", "response")
        elif name.endswith(("realtime.sessions.create", "realtime.transcription_sessions.create")):
            body = self._fields([(keyword.arg, keyword.value) for keyword in node.keywords], 0)
            shape: Shape = "transcription_secret_request" if "transcription" in name else "secret_request"
            self._judge(node, objects.as_shape(body, shape, "a request for a key"))
        elif name.endswith(".startswith") and node.args:
            for each in node.args[0].elts if isinstance(node.args[0], ast.Tuple) else node.args[:1]:
                text = self._value(each)
                hit = strings.prefix(text, self._source) if isinstance(text, str) else None
                if hit is not None:
                    self._note(each, hit)
        if len(node.args) >= 2:
            self._header_in([(node.args[0], node.args[1])])

    def _argument(self, call: ast.Call, node: ast.expr | None, kind: str, field: str) -> None:
        value = self._value(node)
        if node is None or not isinstance(value, dict):
            return
        hit = objects.as_shape({"type": kind, field: value}, "event", kind)
        if hit is None:
            return
        self._judge(node, replace(hit, now=hit.now[field]))
        self._take(call)

    def _subscript(self, node: ast.Subscript) -> None:
        chain = _keys(node)
        if chain[-2:] == ["client_secret", "value"]:
            what = 'the key is reply["value"] now, beside the session'
            self._note(node, Hit(Rule.SECRET, what, '["value"]'))
        elif isinstance(node.ctx, ast.Store) and chain and chain[-1] in beta.SESSION_FIELDS:
            sure = "session" in chain[:-1]
            if sure or chain[-1] in beta.DISTINCTIVE:
                path = beta.SESSION_FIELDS[chain[-1]]
                what = f"{chain[-1]} is {path} now" if path else f"{chain[-1]} was removed"
                self._note(node, Hit(Rule.SHAPE, what, path, sure=sure))

    def _header_in(self, pairs: list[tuple[ast.expr | None, ast.expr]]) -> None:
        for key, value in pairs:
            name, given = self._value(key), self._value(value)
            if not (isinstance(name, str) and strings.is_header(name)):
                continue
            if isinstance(given, Code) and self._source.realtime:
                what = f"{beta.HEADER} is set to what is not known here; {beta.HEADER_VALUE} is refused"
                self._note(key or value, Hit(Rule.HEADER, what, sure=False))
            elif isinstance(given, str) and given.startswith("realtime"):
                self._note(key or value, strings.header())

    # --- names --------------------------------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> None:
        name = _dotted(node)
        for before, now in beta.PYTHON_NAMES.items():
            if not before.startswith("openai.") and name.endswith(f".{before}"):
                self._note(node, Hit(Rule.SDK, f".{before} is .{now} now", f".{now}"))
                return
        if name.endswith(".beta.realtime"):
            self._note(node, Hit(Rule.SDK, ".beta.realtime is .realtime now", ".realtime"))

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        )
        for before, now in beta.PYTHON_NAMES.items():
            if before.startswith("openai.") and any(f"{name}.".startswith(f"{before}.") for name in modules):
                self._note(node, Hit(Rule.SDK, f"{before} is {now} now", now))

    def _string(self, node: ast.Constant | ast.JoinedStr) -> None:
        if isinstance(node, ast.Constant) and not isinstance(node.value, str):
            return
        if id(node) in self._prose:
            return
        text = _text(node)
        if text.lstrip().startswith("{") and len(text) <= _MAX_JSON and strings.HOLE not in text:
            self._json(node, text)
        for hit in strings.hits(text, self._source):
            self._note(node, hit)

    def _json(self, node: ast.AST, text: str) -> None:
        try:
            value = read_json(text)
        except ValueError:
            return
        hit = objects.judge(value, self._source) if isinstance(value, dict) else None
        if hit is not None:
            self._note(node, hit)

    def _note(self, node: ast.AST, hit: Hit) -> None:
        """Keep a hit. Of those of one kind at one place, such as the parts of a dotted name, the first is the whole."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        if (line, column, hit.rule) not in self._noted:
            self._noted.add((line, column, hit.rule))
            self._found.append((line, column, hit))


def _assigned(nodes: list[ast.AST]) -> dict[str, list[tuple[int, ast.expr]]]:
    """Return what is assigned to each name and attribute, with the lines, in their order."""
    found: dict[str, list[tuple[int, ast.expr]]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            if isinstance(target, (ast.Name, ast.Attribute)):
                found.setdefault(ast.unparse(target), []).append((node.lineno, value))
    return {name: sorted(values, key=lambda each: each[0]) for name, values in found.items()}


def _dotted(node: ast.AST) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    names.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(names))


def _keys(node: ast.AST) -> list[str]:
    """Return the names that lead to a subscript, such as ["session", "voice"]."""
    keys: list[str] = []
    while isinstance(node, ast.Subscript):
        if not (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)):
            break
        keys.append(node.slice.value)
        node = node.value
    if isinstance(node, (ast.Name, ast.Attribute)):
        keys.append(_dotted(node).rpartition(".")[2])
    return keys[::-1]


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = [each.value if isinstance(each, ast.Constant) else strings.HOLE for each in node.values]
    return "".join(map(str, parts))
