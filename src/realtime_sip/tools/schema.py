"""What a function's signature and docstring say: which arguments it takes, as a model and as a JSON Schema."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import FrameType, SimpleNamespace
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import SchemaError, core_schema

from realtime_sip.errors import ConfigurationError
from realtime_sip.tools.wire_schema import written

_CALL = "call"
"""The parameter that the runtime fills in, and that the model does not see."""


class Arguments:
    """Reads the arguments of one function from JSON.

    Behind it is a model whose fields are numbered, with the parameters' names as aliases, because a parameter may have
    any name, and a field of a pydantic model may not.
    """

    __slots__ = ("_model", "_names")

    def __init__(self, model: type[BaseModel], names: tuple[str, ...]) -> None:
        self._model = model
        self._names = names

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the keyword arguments, converted, with defaults filled in. Raises pydantic's ValidationError."""
        found = self._model.model_validate_json(data)
        # Not by the attribute: pydantic would warn of one that is deprecated.
        return {name: found.__dict__[f"p{index}"] for index, name in enumerate(self._names)}


@dataclass(frozen=True, slots=True)
class Signature:
    """What is known of a function.

    Attributes:
        description: What its docstring says before the first section, or None.
        arguments: Reads its arguments.
        schema: JSON Schema of its arguments, as `wire_schema` writes it.
        is_async: Whether it is a coroutine function.
        takes_call: Whether it has the parameter `call`, which is in neither the arguments nor the schema.
    """

    description: str | None
    arguments: Arguments
    schema: dict[str, Any]
    is_async: bool
    takes_call: bool


def name_of(function: Callable[..., object]) -> str:
    """Return the name that a function was defined with.

    Raises:
        ConfigurationError: It is no function, or a callable object, which has no name.
    """
    name: str = getattr(_plain(function), "__name__", "")
    if name in ("", "__call__"):
        raise ConfigurationError("a callable object has no name of its own: pass name=")
    return name


def read_signature(function: Callable[..., object], *, name: str, frame: FrameType) -> Signature:
    """Return what is known of `function`.

    Args:
        function: A function, a bound method, a partial or a callable object.
        name: What it is called in errors.
        frame: The frame that defines it: annotations can name what is local there.

    Raises:
        ConfigurationError: It cannot be called with arguments from JSON, by name; the message says why.
    """
    plain = _plain(function)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ConfigurationError(f"the tool {name} is a generator function; return one value")
    description, documented = _documented(inspect.cleandoc(plain.__doc__ or ""))
    parameters = _parameters(function, name)
    takes_call = parameters.pop(_CALL, None) is not None
    model = _checked_model(name, parameters, _hints(name, parameters, plain, frame))
    return Signature(
        description=description or None,
        arguments=Arguments(model, tuple(parameters)),
        schema=_schema(name, model, documented),
        is_async=inspect.iscoroutinefunction(plain),
        takes_call=takes_call,
    )


# --- from a signature to a model --------------------------------------------------------------------------------------


def _plain(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function or method that a partial or a callable object stands for."""
    while isinstance(function, partial):
        function = function.func
    if not callable(function) or inspect.isclass(function):
        raise ConfigurationError("a tool is a function, a bound method, a functools.partial or a callable object")
    if inspect.isroutine(function):
        return function
    method: Callable[..., object] = type(function).__call__
    return method


def _parameters(function: Callable[..., object], name: str) -> dict[str, inspect.Parameter]:
    """Return the parameters that the model or the runtime fill in.

    Raises:
        ConfigurationError: One of them cannot be passed by its name, or has no annotation.
    """
    try:
        parameters = dict(inspect.signature(function).parameters)
    # A NameError comes from annotations that are evaluated when they are asked for (PEP 649).
    except (ValueError, TypeError, NameError) as error:
        raise ConfigurationError(f"the tool {name} has no signature that can be read: {error}") from error
    fixed = function.keywords if isinstance(function, partial) else {}
    for parameter in list(parameters.values()):
        place = f"the tool {name}: the parameter {parameter.name}"
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"{place} cannot be passed by its name, as the model does")
        if parameter.name in fixed:
            del parameters[parameter.name]
        elif parameter.name == _CALL:
            continue
        elif parameter.annotation is parameter.empty:
            unbound = parameter.name in ("self", "cls")
            advice = "; add the bound method, tools.function(thing.method)" if unbound else ""
            raise ConfigurationError(f"{place} has no annotation{advice}")
        elif isinstance(parameter.default, FieldInfo):
            raise ConfigurationError(f"{place} has a Field as its default; write Annotated[..., Field(...)]")
    return parameters


def _hints(
    name: str, parameters: Mapping[str, inspect.Parameter], plain: Callable[..., object], frame: FrameType
) -> dict[str, Any]:
    """Return the annotations with names resolved, at first in the module, and for a local function in its scope."""
    defined = inspect.unwrap(plain)
    module = getattr(defined, "__globals__", {})
    local = "<locals>" in getattr(defined, "__qualname__", "") and frame.f_globals is module
    scope = dict(frame.f_locals) if local else None
    hints: dict[str, Any] = {}
    for parameter in parameters.values():
        holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            hints |= get_type_hints(holder, module, scope, include_extras=True)
        except (NameError, SyntaxError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"the tool {name}: the annotation of {parameter.name} cannot be resolved: {error}; "
                "what it names has to be imported at run time, too"
            ) from error
    return hints


def _checked_model(name: str, parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any]) -> type[BaseModel]:
    fields = [(hints[parameter.name], _field(parameter)) for parameter in parameters.values()]
    # One by one at first, so that an error can say which it was.
    for parameter, one in zip(parameters, fields, strict=True):
        try:
            _model([one])
        except Exception as error:  # pydantic raises half a dozen kinds, and hooks of the types run in it
            raise ConfigurationError(
                f"the tool {name}: the annotation of {parameter} cannot be told to the model: {_reason(error)}"
            ) from error
    return _model(fields)


def _field(parameter: inspect.Parameter) -> Any:
    default = {} if parameter.default is parameter.empty else {"default": parameter.default}
    name = parameter.name
    return Field(alias=name, validation_alias=name, serialization_alias=name, **default)


def _reason(error: Exception) -> str:
    """Return the line of a message that says why: of a SchemaError the last one, else the first."""
    lines = str(error).splitlines() or [type(error).__name__]
    line = lines[-1] if isinstance(error, SchemaError) else lines[0]
    return line.strip().removeprefix("SchemaError: ").removeprefix("error: ").rstrip(".")


def _model(fields: list[tuple[Any, Any]]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, protected_namespaces=())
    numbered: dict[str, Any] = {f"p{index}": field for index, field in enumerate(fields)}
    model: type[BaseModel] = create_model("Arguments", __config__=config, **numbered)
    if len(model.model_fields) != len(fields):
        raise TypeError("it is not the type of an argument")
    # What cannot be described fails here, because here the field is known.
    model.model_json_schema(schema_generator=_Quiet)
    return model


# --- from a model to a schema -----------------------------------------------------------------------------------------


class _Quiet(GenerateJsonSchema):
    """Says nothing about a default that is not JSON: the schema then does without it."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Return the schema of a Decimal without pydantic's own pattern, which had look-around for a time (2.11)."""
        plain = super().decimal_schema(schema)
        return {
            **plain,
            "anyOf": [{k: v for k, v in kind.items() if k != "pattern"} for kind in plain.get("anyOf", [])],
        }


def _schema(name: str, model: type[BaseModel], documented: Mapping[str, str]) -> dict[str, Any]:
    """Return the JSON Schema of the arguments, as the service takes it.

    Raises:
        ConfigurationError: A type cannot be written so; the message names the argument.
    """
    whole = model.model_json_schema(schema_generator=_Quiet)
    properties = {}
    for argument, schema in whole.get("properties", {}).items():
        # Said of the parameter, it is more to the point than what is said of its type.
        described = {"description": documented[argument], **schema} if argument in documented else schema
        try:
            properties[argument] = written(described, whole.get("$defs", {}))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the tool {name}: the type of {argument} cannot be told to the model: {error}"
            ) from None
    required = {"required": whole["required"]} if whole.get("required") else {}
    return {"type": "object", "properties": properties, **required, "additionalProperties": False}


# --- docstrings -------------------------------------------------------------------------------------------------------

_ARGS = frozenset({"Args:", "Arguments:"})
_SECTIONS = _ARGS | {
    "Attributes:",
    "Example:",
    "Examples:",
    "Note:",
    "Notes:",
    "Raises:",
    "Return:",
    "Returns:",
    "See Also:",
    "Todo:",
    "Warning:",
    "Warnings:",
    "Yield:",
    "Yields:",
}
_ENTRY = re.compile(r"(\w+) ?(?:\([^()]*\))?:(?:\s+(.*))?")


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """Return what a docstring, without its indentation, says of the function and of each argument."""
    lines = text.splitlines()
    first = next((index for index, line in enumerate(lines) if line in _SECTIONS), len(lines))
    return "\n".join(lines[:first]).strip(), dict(_entries(_section(lines, _ARGS)))


def _section(lines: list[str], headers: frozenset[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        if line and not line[0].isspace():
            inside = line in headers
        elif inside and line.strip():
            yield line


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each argument with its text. Whatever is indented deeper than the first entry continues one."""
    indent: int | None = None
    name, words = "", list[str]()
    for line in lines:
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        entry = _ENTRY.fullmatch(line.strip()) if depth <= indent else None
        if entry is None:
            words.append(line.strip())
            continue
        if name and words:
            yield name, " ".join(words)
        name, words = entry[1], [entry[2]] if entry[2] else []
    if name and words:
        yield name, " ".join(words)
