"""Functions of yours that the model may call: their schema, their arguments and their outputs.

`Tools` is the registry. It runs nothing: it describes the functions to the service, turns the model's JSON into
arguments that fit a function, and a returned value into text for the model.

>>> tools = Tools()
>>> @tools.function
... async def order_status(order_id: str) -> str:
...     '''Tell where an order is.
...
...     Args:
...         order_id: The number printed on the receipt.
...     '''
...     return "on its way"
>>> tools.wire()[0].to_wire()["parameters"]["properties"]
{'order_id': {'description': 'The number printed on the receipt.', 'type': 'string'}}
>>> tools["order_status"].arguments('{"order_id": "A7"}')
{'order_id': 'A7'}

What the model writes is read as pydantic reads JSON, in lax mode: "7" is taken for 7, and a date is a string. A number
is not taken for a string, because its text is not certain ("007", "1.10"). `Field(strict=True)` refuses more.

A docstring is read in Google style: the text before the first section describes the tool, and `Args:` its arguments.
With another style the whole docstring is the description, so that nothing is lost.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar, overload

from pydantic import ValidationError
from pydantic_core import to_json

from realtime_sip._wire import place, read_json
from realtime_sip.errors import ConfigurationError, ToolArgumentsError
from realtime_sip.session import FunctionTool, RealtimeSession
from realtime_sip.tools.schema import Arguments, name_of, read_signature
from realtime_sip.tools.wire_schema import without_nulls

MAX_ARGUMENTS = 32_000
"""Characters of a call's arguments at most. Longer ones are refused unread."""

MAX_OUTPUT = 16_000
"""Characters of an output at most. A longer one is cut, and says so to the model."""

_MAX_ERROR = 500
_MAX_PROBLEMS = 3
_MAX_PLACE = 60
_MAX_TOLD = 300

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_Function = TypeVar("_Function", bound=Callable[..., object])


# --- a tool -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that the model may call. `Tools.function` makes it.

    Attributes:
        name: What the model calls it.
        description: When to call it and what it does, for the model, or None.
        parameters: JSON Schema of its arguments without the parameter `call`, in a form that the service takes.
        timeout: Seconds that it may take.
        confirm: Whether the model is told to ask the caller first.
        preamble: An example of what the model says before it calls, or None.
        progress: The seconds after which the model says that it is still at it.
        background: Whether the model is answered at once, and gets the result later.
        idempotent: Whether it runs again if the worker died that ran it.
        is_async: Whether the function is a coroutine function. Any other blocks, and belongs in a thread; its result
            can still be awaitable, if a decorator hides a coroutine function.
        takes_call: Whether it has the parameter `call`, which is passed by keyword beside the arguments.
        function: The function itself.
    """

    name: str
    description: str | None
    parameters: dict[str, Any]
    timeout: float
    confirm: bool
    preamble: str | None
    progress: tuple[float, ...]
    background: bool
    idempotent: bool
    is_async: bool
    takes_call: bool
    function: Callable[..., object] = field(repr=False)
    _arguments: Arguments = field(repr=False)

    def wire(self) -> FunctionTool:
        """Return the tool as it is sent in a session.

        The description says what `confirm` and `preamble` ask of the model, as the prompting guide (November 2026)
        advises.
        """
        texts = [self.description] if self.description else []
        if self.confirm:
            texts.append(
                "Before calling this, tell the caller what you are about to do; call it only after a clear yes."
            )
        if self.preamble:
            texts.append(f"Right before calling this, say one short line such as: {self.preamble}")
        if not texts:
            return FunctionTool(name=self.name, parameters=self.parameters)
        return FunctionTool(name=self.name, description="\n\n".join(texts), parameters=self.parameters)

    def arguments(self, text: str) -> dict[str, Any]:
        """Return the keyword arguments that the model's JSON stands for, converted, with defaults filled in.

        An empty text means no arguments. An argument that is not known, is given twice or is not a finite number is
        refused. What a validator of yours raises besides ValueError and AssertionError is not caught.

        Args:
            text: `arguments` of the function call: written by the model, and untrusted.

        Raises:
            ToolArgumentsError: The arguments are not valid; `for_model` says which and why.
        """
        if len(text) > MAX_ARGUMENTS:
            raise self._refusal("too_long", f"the arguments are longer than {MAX_ARGUMENTS:,} characters")
        data = (text.strip() or "{}").encode("utf-8", "surrogatepass")
        try:
            value = read_json(data)
        except ValueError:
            raise self._refusal("not_json", "the arguments are not JSON that can be read") from None
        if not isinstance(value, dict):
            raise self._refusal("not_an_object", "the arguments must be a JSON object")
        # JSON would take the last of two values, which a reader of the transcript would not expect.
        whole = json.loads(data, object_pairs_hook=self._unique, parse_int=_Number, parse_float=_Number)
        if b"null" in data:
            # A model that fills in everything writes null for what it would leave out.
            data = _json(without_nulls(whole, self.parameters)).encode()
        try:
            return self._arguments.read(data)
        except ValidationError as error:
            raise self._refusal("invalid", _problems(error, value)) from None

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise self._refusal("repeated", f"{_cut(twice, _MAX_PLACE)}: given more than once")
        return value

    def _refusal(self, reason: str, for_model: str) -> ToolArgumentsError:
        return ToolArgumentsError(self.name, reason=reason, for_model=for_model)


class _Number(str):
    """A number as it was written: what is read from "1.10" can be more than a float holds."""

    __slots__ = ()


def _json(value: Any) -> str:
    match value:
        case _Number():
            return value
        case dict():
            return f"{{{','.join(f'{json.dumps(name)}:{_json(each)}' for name, each in value.items())}}}"
        case list():
            return f"[{','.join(map(_json, value))}]"
    return json.dumps(value)


_MESSAGES = {
    "extra_forbidden": "there is no such argument",
    "missing": "missing",
}


def _problems(error: ValidationError, value: object) -> str:
    """Return what is wrong for the model to read, a few things at most, none of them with its value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = []
    for detail in found[:_MAX_PROBLEMS]:
        where = place(detail["loc"], detail["type"], value)
        message = _MESSAGES.get(detail["type"], detail["msg"])
        told.append(f"{_cut(where, _MAX_PLACE)}: {message}" if where else message)
    if len(found) > _MAX_PROBLEMS:
        told.append(f"and {len(found) - _MAX_PROBLEMS} more")
    return _cut("; ".join(told), _MAX_TOLD)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


# --- the registry -----------------------------------------------------------------------------------------------------


class Tools:
    """The functions that the model may call, in the order in which they were added.

    A registry can serve many calls at a time. Add to it before the calls begin: with `function`, or by passing
    functions that need no options.

    >>> def opening_hours() -> str:
    ...     '''Tell when the shop is open.'''
    ...     return "nine to five"
    >>> [tool.name for tool in Tools([opening_hours])]
    ['opening_hours']
    """

    def __init__(self, functions: Iterable[Callable[..., object]] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for function in functions:
            self.function(function)

    @overload
    def function(
        self,
        function: _Function,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 10.0,
        confirm: bool = False,
        preamble: str | None = None,
        progress: Iterable[float] = (),
        background: bool = False,
        idempotent: bool = False,
    ) -> _Function: ...

    @overload
    def function(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 10.0,
        confirm: bool = False,
        preamble: str | None = None,
        progress: Iterable[float] = (),
        background: bool = False,
        idempotent: bool = False,
    ) -> Callable[[_Function], _Function]: ...

    def function(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout: float = 10.0,
        confirm: bool = False,
        preamble: str | None = None,
        progress: Iterable[float] = (),
        background: bool = False,
        idempotent: bool = False,
    ) -> Any:
        """Add a function, and return it unchanged. Use it as a decorator, with or without options, or as a plain call.

        Every parameter needs an annotation that pydantic can read from JSON, such as `Annotated[int, Field(ge=1)]`. A
        parameter named `call` is left out of the schema, whatever its annotation: the runtime passes the phone call.
        Add methods bound: `tools.function(shop.order_status)`. Arguments that a `functools.partial` fixes are hidden
        from the model.

        Args:
            function: A function or coroutine function, a bound method, a `functools.partial` or a callable object.
            name: The name for the model; the function's own name if left out. Up to 64 letters, digits, `_` and `-`.
            description: When to call it and what it does; the docstring if left out.
            timeout: Seconds after which the model is told that it took too long.
            confirm: Tell the model to ask the caller before it calls. This is an instruction and not a lock: check in
                the function what must not happen by mistake.
            preamble: A short line that the model says before the call, such as "Let me look that up", so that the
                caller is not left in silence.
            progress: Seconds, such as `(8, 16)`, after which the model says in one short sentence that it is still at
                it, unless somebody is speaking then. Give the tool a longer `timeout`.
            background: Tell the model at once that the function runs. The conversation goes on; when the result is
                there, the model gets it and says something about it.
            idempotent: Run it again if another worker died while it ran, with the same `Call.idempotency_key`. Without
                it the model is told that the outcome is unknown.

        Raises:
            ConfigurationError: It cannot be a tool; the message says why.
        """
        # Names in annotations can be local to the frame that defines the function, which is the one that decorates it.
        frame = sys._getframe(1)

        def add(candidate: _Function) -> _Function:
            tool = _tool(
                candidate,
                name=name,
                description=description,
                timeout=timeout,
                confirm=confirm,
                preamble=preamble,
                progress=progress,
                background=background,
                idempotent=idempotent,
                frame=frame,
            )
            if tool.name in self._tools:
                raise ConfigurationError(f"there are two tools with the name {tool.name}")
            self._tools[tool.name] = tool
            return candidate

        return add if function is None else add(function)

    def get(self, name: str) -> Tool | None:
        """Return the tool of this name, or None."""
        return self._tools.get(name)

    def only(self, names: Iterable[str]) -> Tools:
        """Return a registry with the tools of these names alone, in the order of this one.

        Raises:
            ConfigurationError: One of them is not here.
        """
        wanted = set(names)
        missing = sorted(wanted - self._tools.keys())
        if missing:
            raise ConfigurationError(f"there is no tool with the name {missing[0]}")
        some = Tools()
        some._tools = {name: tool for name, tool in self._tools.items() if name in wanted}
        return some

    def wire(self) -> list[FunctionTool]:
        """Return the tools as they are sent in a session."""
        return [tool.wire() for tool in self]

    def merged_into(self, session: RealtimeSession) -> RealtimeSession:
        """Return the session with these tools after its own. If there are no tools at all, it stays without.

        Raises:
            ConfigurationError: Two functions have the same name.
        """
        if not self._tools:
            return session
        tools = [*(session.tools or []), *self.wire()]
        names = Counter(tool.name for tool in tools if isinstance(tool, FunctionTool))
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ConfigurationError(f"there are two tools with the name {twice[0]}")
        return session.model_copy(update={"tools": tools})

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"Tools({', '.join(self._tools)})"


def _tool(
    function: Callable[..., object],
    *,
    name: str | None,
    description: str | None,
    timeout: float,
    confirm: bool,
    preamble: str | None,
    progress: Iterable[float],
    background: bool,
    idempotent: bool,
    frame: FrameType,
) -> Tool:
    if name is None:
        name = name_of(function)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is not a name for a tool: 1 to 64 letters, digits, '_' and '-'; pass name=")
    if not 0 < timeout < math.inf:
        raise ConfigurationError(f"the tool {name}: timeout must be a positive number of seconds")
    try:
        seconds = tuple(sorted({float(each) for each in progress}))
    except (TypeError, ValueError):
        seconds = (math.nan,)
    if not all(0 < each < math.inf for each in seconds):
        raise ConfigurationError(f"the tool {name}: progress must be positive numbers of seconds, such as (8, 16)")
    signature = read_signature(function, name=name, frame=frame)
    return Tool(
        name=name,
        description=description or signature.description,
        parameters=signature.schema,
        timeout=timeout,
        confirm=confirm,
        preamble=preamble,
        progress=seconds,
        background=background,
        idempotent=idempotent,
        is_async=signature.is_async,
        takes_call=signature.takes_call,
        function=function,
        _arguments=signature.arguments,
    )


# --- outputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What a tool returns to decide whether the model says something about its output.

    Attributes:
        output: The output that the model gets.
        respond: Whether the model is asked for a response to it.
    """

    output: object = None
    respond: bool = True


def error_output(text: str) -> str:
    """Return the JSON object that tells the model that a tool failed. A long text is cut to 500 characters.

    >>> error_output("The order system does not answer.")
    '{"error":"The order system does not answer."}'
    """
    return json.dumps({"error": _cut(_encodable(text), _MAX_ERROR)}, ensure_ascii=False, separators=(",", ":"))


def render_output(value: object) -> str:
    """Return a tool's result as text for the model, `MAX_OUTPUT` characters at most. It never raises.

    Text stays as it is. Everything else that pydantic can serialize, such as models, dataclasses, dicts, lists, dates,
    decimals and enumerations, becomes compact JSON; NaN and infinity become strings. None says that the tool ran and
    found or returned nothing. What is too long is cut, and ends in a note that says so, because JSON that was cut is
    no longer JSON.

    >>> render_output({"total": 3.5}), render_output(None)
    ('{"total":3.5}', '{"ok":true,"result":null}')
    """
    if value is None:
        return '{"ok":true,"result":null}'
    if isinstance(value, str):
        # An enumeration can be a str, whose text is its value.
        return _bounded(_encodable(str.__str__(value)))
    # An iterator may have no end.
    if isinstance(value, Iterator):
        return NOT_SERIALIZABLE
    try:
        return _bounded(to_json(value, inf_nan_mode="strings").decode())
    except Exception:  # noqa: BLE001 - serializers of the user run in here, and the call goes on whatever they raise
        return NOT_SERIALIZABLE


def _bounded(text: str) -> str:
    if len(text) <= MAX_OUTPUT:
        return text
    note = f"\n[Cut here: this is the beginning of {len(text):,} characters. If it is JSON, it is not complete.]"
    return text[: MAX_OUTPUT - len(note)] + note


def _encodable(text: str) -> str:
    """Return `text` without lone surrogates, which no WebSocket frame can carry."""
    return text.encode("utf-8", "replace").decode()


NOT_SERIALIZABLE = error_output("The tool ran, but its result cannot be shown.")
"""What `render_output` returns for a value that is not data. That is a mistake in the tool; whoever calls logs it."""
