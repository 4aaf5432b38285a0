"""Scenario files: one JSON object a line, a step's name and its fields."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from realtime_sip._wire import read_json
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import scenario
from realtime_sip.testing.scenario import CallerStep, ModelStep, Scenario, Step

__all__ = ["read_scenario", "read_step", "write_scenario", "written_step"]

_MAX_BYTES = 32 * 1024 * 1024
_MAX_NAME = 40
_EXAMPLE = '{"step": "CallerSays", "text": "Hello?"}'
_STEPS: dict[str, type[CallerStep | ModelStep]] = {
    kind.__name__: kind for kind in (*get_args(CallerStep), *get_args(ModelStep))
}


def read_scenario(path: str | os.PathLike[str]) -> list[Step]:
    """Read the steps of a scenario file, for `ring` of an emulator.

    Each line is one JSON object: `step` is the name of a step's class, and the other members are its arguments. Blank
    lines are passed over. At most 32 MiB.

    Raises:
        ConfigurationError: The file cannot be read, is too large, or has no steps; a line is not a step, or cannot
            follow those before it. The message has the line's number, and says what would be right.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read the scenario {file.name}: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"{file.name} is larger than {_MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file.name}, line {number}: not UTF-8") from None
    steps: list[Step] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            steps.append(read_step(line))
        except ConfigurationError as error:
            raise ConfigurationError(f"{file.name}, line {number}: {error}") from None
        numbers.append(number)
    if not steps:
        raise ConfigurationError(f"{file.name} has no steps; a line is a step, as {_EXAMPLE}")
    problem = _problem(steps)
    if problem is not None:
        place = numbers[_first_wrong(steps)]
        raise ConfigurationError(f"{file.name}, line {place}: {problem}")
    return steps


def write_scenario(steps: Iterable[Step], path: str | os.PathLike[str]) -> None:
    """Write a scenario file that `read_scenario` reads back as equal steps, in place of a file that is there.

    Raises:
        ConfigurationError: The steps are no scenario, or `arguments` are not what JSON gives back, such as a tuple; or
            the file cannot be written.
    """
    kept = list(steps)
    Scenario(kept)  # checks
    lines = "".join(written_step(step) + "\n" for step in kept)
    file = Path(path)
    try:
        file.write_text(lines, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigurationError(f"cannot write the scenario {file.name}: {error.strerror}") from None


def read_step(line: str) -> Step:
    """Return the step that a line of a scenario file says.

    Raises:
        ConfigurationError: It is not a step.

    >>> read_step('{"step": "CallerPresses", "digits": "1#", "after": 2}')
    CallerPresses(interrupting=False, during=None, after=2.0)
    """
    try:
        value: Any = read_json(line)
    except ValueError as error:
        raise ConfigurationError(f"{error}; a line is one JSON object, as {_EXAMPLE}") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"not a JSON object; a line is a step and its fields, as {_EXAMPLE}")
    name = value.pop("step", None)
    if not isinstance(name, str) or name not in _STEPS:
        raise ConfigurationError(f"step must be one of: {', '.join(_STEPS)}; as {_EXAMPLE}")
    kind = _STEPS[name]
    fields = _fields(name)
    unknown = next((key for key in value if key not in fields), None)
    if unknown is not None:
        shown = f" {unknown}" if unknown.isidentifier() and len(unknown) <= _MAX_NAME else ""
        raise ConfigurationError(f"{name} has no field{shown}; it has: {', '.join(fields) or 'none'}")
    given: dict[str, Any] = {}
    for key, adapter in fields.items():
        if key in value:
            try:
                given[key] = adapter.validate_python(value[key])
            except ValidationError as error:
                right = " or ".join(
                    dict.fromkeys(each["msg"].replace("Input should", "should", 1) for each in error.errors())
                )
                raise ConfigurationError(f"{key} of {name} {right}") from None
    lacking = [part.name for part in dataclasses.fields(kind) if _is_required(part) and part.name not in given]
    if lacking:
        raise ConfigurationError(f"{name} needs: {', '.join(lacking)}")
    try:
        return kind(**given)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None


def written_step(step: Step) -> str:
    """Return a step as the line of a scenario file, without its end; fields with their default are left out.

    Raises:
        ConfigurationError: `read_step` would not return an equal step.
    """
    if not isinstance(step, CallerStep | ModelStep):
        raise ConfigurationError(f"a scenario is made of steps, not of {type(step).__name__}")
    fields = {part.name: getattr(step, part.name) for part in dataclasses.fields(step)}
    kept = {
        part.name: dict(value) if isinstance(value := fields[part.name], Mapping) else value
        for part in dataclasses.fields(step)
        if _is_required(part) or fields[part.name] != _default(part)
    }
    try:
        line = json.dumps({"step": type(step).__name__, **kept}, ensure_ascii=False, allow_nan=False)
        if read_step(line) == step:
            return line
    except (TypeError, ValueError, RecursionError, ConfigurationError):
        pass
    raise ConfigurationError(f"this {type(step).__name__} cannot be written: JSON does not give its values back")


@cache
def _fields(name: str) -> dict[str, TypeAdapter[Any]]:
    """Return what checks each field of a step."""
    kind = _STEPS[name]
    hints = get_type_hints(kind, dict(vars(scenario)))
    strict = ConfigDict(strict=True)
    return {part.name: TypeAdapter(hints[part.name], config=strict) for part in dataclasses.fields(kind)}


def _is_required(part: dataclasses.Field[Any]) -> bool:
    return part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING


def _default(part: dataclasses.Field[Any]) -> object:
    return part.default if part.default_factory is dataclasses.MISSING else part.default_factory()


def _problem(steps: list[Step]) -> str | None:
    """Return what is wrong with the order or the number of steps."""
    try:
        Scenario(steps)
    except ConfigurationError as error:
        return str(error)
    return None


def _first_wrong(steps: list[Step]) -> int:
    """Return the index of the step with which they are no scenario any more: what begins wrong stays wrong."""
    right, wrong = 0, len(steps)
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if _problem(steps[:middle]) is None:
            right = middle
        else:
            wrong = middle
    return wrong - 1
