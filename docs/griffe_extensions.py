"""What is shown of a docstring and a signature in the reference: extensions of griffe, which reads both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Shows the examples of a docstring as code: puts a fence around each."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return a text with a fence around each run of lines that begins with `>>>`."""
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if not inside and line.startswith(">>> "):
            lines.append("```pycon")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


class SpecialMethods(griffe.Extension):
    """Leaves out special methods but the constructor."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Change a class that was read."""
        for name in [name for name in cls.members if name.startswith("__") and name != "__init__"]:
            cls.del_member(name)


class Faces(griffe.Extension):
    """Shows what a method returns on the blocking face: `CallFace` says `_Done`, and `Calls` says what that is."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Change the classes of a package that was read."""
        classes = {each.path: each for each in _members(pkg) if isinstance(each, griffe.Class)}
        for face in _members(pkg):
            if face.name.startswith("Async"):
                continue
            for base in face.bases if isinstance(face, griffe.Class) else [face.value]:
                if isinstance(base, griffe.ExprSubscript) and base.canonical_path in classes:
                    _fill(classes[base.canonical_path], base)


def _fill(generic: griffe.Class, base: griffe.ExprSubscript) -> None:
    variables = next((each for each in generic.bases if isinstance(each, griffe.ExprSubscript)), None)
    if variables is not None:
        meant = dict(zip(map(str, _parts(variables)), _parts(base), strict=False))
        for method in generic.functions.values():
            method.returns = meant.get(str(method.returns), method.returns)


def _parts(subscript: griffe.ExprSubscript) -> list[griffe.Expr | str]:
    inside = subscript.slice
    parts = list(inside.elements) if isinstance(inside, griffe.ExprTuple) else [inside]
    return [part.strip("'\"") if isinstance(part, str) else part for part in parts]


def _members(module: griffe.Module) -> Iterator[griffe.Class | griffe.Attribute]:
    for member in module.members.values():
        if isinstance(member, (griffe.Class, griffe.Attribute)):
            yield member
        elif isinstance(member, griffe.Module):
            yield from _members(member)
