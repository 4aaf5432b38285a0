"""Tools: what the model is told of a function, what becomes of its arguments, and what it gets back."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NotRequired

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, Field, SecretStr, TypeAdapter, field_serializer
from typing_extensions import TypedDict  # pydantic does not read that of typing before Python 3.12

from realtime_sip.errors import ConfigurationError, ToolArgumentsError
from realtime_sip.session import FunctionTool, McpTool, RealtimeSession
from realtime_sip.tools.registry import (
    MAX_ARGUMENTS,
    MAX_OUTPUT,
    NOT_SERIALIZABLE,
    Tool,
    Tools,
    error_output,
    render_output,
)

if TYPE_CHECKING:
    from realtime_sip.api.calls import Elsewhere  # type: ignore[attr-defined]


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    """Where to deliver."""

    street: str
    floor: int | None = None


class Order(BaseModel):
    title: str
    size: Size
    deliver_to: Address
    bill_to: Address | None = None


class Card(BaseModel):
    kind: Literal["card"]
    last_four: str


class Cash(BaseModel):
    kind: Literal["cash"]


Payment = Annotated[Card | Cash, Field(discriminator="kind")]


class Category(BaseModel):
    name: str
    inside: list[Category] = []


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Window(TypedDict):
    opens: int
    closes: NotRequired[int]


def only(tools: Tools) -> Tool:
    (tool,) = tools
    return tool


def tool_of(function: Callable[..., Any], **options: Any) -> Tool:
    tools = Tools()
    tools.function(function, **options)
    return only(tools)


def with_annotation(annotation: Any, default: Any = inspect.Parameter.empty) -> Tool:
    """Return a tool with one argument, `value`."""

    def take(**_arguments: object) -> None: ...

    take.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)]
    )
    return tool_of(take)


def refusal(tool: Tool, text: str) -> ToolArgumentsError:
    with pytest.raises(ToolArgumentsError) as caught:
        tool.arguments(text)
    return caught.value


# --- adding -----------------------------------------------------------------------------------------------------------


def test_a_function_stays_what_it_is() -> None:
    tools = Tools()

    @tools.function
    def bare(count: int) -> int:
        return count + 1

    @tools.function(timeout=3, name="with-options", description="Said here.", confirm=True, preamble="One moment.")
    async def other() -> str:
        """Said there."""
        return "done"

    assert bare(1) == 2
    assert inspect.iscoroutinefunction(other)
    first, second = tools
    assert (first.name, first.timeout, first.is_async, first.function) == ("bare", 10.0, False, bare)
    assert (second.name, second.timeout, second.is_async, second.function) == ("with-options", 3, True, other)
    assert (second.description, second.confirm, second.preamble) == ("Said here.", True, "One moment.")


def test_a_registry_is_an_ordered_collection_by_name() -> None:
    tools = Tools()
    for name in ("b", "a", "c"):
        tools.function(lambda: None, name=name)
    assert len(tools) == 3
    assert [tool.name for tool in tools] == ["b", "a", "c"]
    assert [tool.name for tool in tools.wire()] == ["b", "a", "c"]
    assert "a" in tools
    assert "d" not in tools
    assert tools.get("a") is tools["a"]
    assert tools.get("d") is None
    assert repr(tools) == "Tools(b, a, c)"


def test_methods_partials_and_callable_objects_are_tools() -> None:
    class Shop:
        def status(self, order_id: str) -> str:
            """Tell where an order is."""
            return order_id

        async def __call__(self, count: int) -> int:
            """Count."""
            return count

    def charge(account: object, amount: int, currency: str = "EUR", *, dry: bool) -> None:
        """Charge."""

    tools = Tools()
    shop = Shop()
    tools.function(shop.status)
    tools.function(shop, name="count")
    tools.function(functools.partial(charge, object(), dry=False))
    status, count, charged = tools
    assert status.name == "status"
    assert (status.description, status.is_async) == ("Tell where an order is.", False)
    assert status.function(**status.arguments('{"order_id": "A"}')) == "A"
    assert (count.description, count.is_async) == ("Count.", True)
    assert (charged.name, charged.description) == ("charge", "Charge.")
    assert list(charged.parameters["properties"]) == ["amount", "currency"]


def test_what_a_partial_fixes_is_not_the_models_to_change() -> None:
    def pay(account: str, amount: int) -> None: ...

    fixed = tool_of(functools.partial(pay, account="house"))
    assert fixed.arguments('{"amount": 1}') == {"amount": 1}
    assert "account" in refusal(fixed, '{"amount": 1, "account": "other"}').for_model


def test_a_decorated_function_is_read_through_its_decorator() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @logged
    def find(size: Size) -> str:
        """Find one."""
        return size.value

    tool = tool_of(find)
    assert (tool.name, tool.description) == ("find", "Find one.")
    assert tool.function(**tool.arguments('{"size": "large"}')) == "large"


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _positional_only(a: int, /) -> None: ...


def _many(*numbers: int) -> None: ...


def _anything(**things: int) -> None: ...


def _bare_argument(a) -> None:  # type: ignore[no-untyped-def]
    ...


def _recursive(category: Category) -> None: ...


def _unsupported(fine: int, thing: AsyncIterator[Callable[[], int]] | Tools) -> None: ...


def _callback(back: Callable[[int], int]) -> None: ...


def _not_imported(thing: Elsewhere) -> None: ...


def _field_default(count: int = Field(default=3)) -> None: ...


def _discriminator_of_nothing(count: Annotated[int, Field(discriminator="kind")]) -> None: ...


def _no_argument_at_all(value: ClassVar[int]) -> None:  # type: ignore[misc]
    ...


class _Unbound:
    def method(self, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (_generator, {}, "generator"),
        (_async_generator, {}, "generator"),
        (_positional_only, {}, "the parameter a cannot be passed by its name"),
        (_many, {}, "numbers cannot be passed by its name"),
        (_anything, {}, "things cannot be passed by its name"),
        (_bare_argument, {}, "the parameter a has no annotation"),
        (_Unbound.method, {}, r"self has no annotation; add the bound method"),
        (_recursive, {}, "of category cannot be told to the model: it contains itself"),
        (_unsupported, {}, "annotation of thing"),
        (_callback, {}, "annotation of back"),
        (_not_imported, {}, "annotation of thing cannot be resolved: name 'Elsewhere'"),
        (_field_default, {}, r"count has a Field as its default; write Annotated"),
        (_discriminator_of_nothing, {}, "annotation of count"),
        (_no_argument_at_all, {}, "annotation of value"),
        (lambda: None, {}, "'<lambda>' is not a name for a tool"),
        (lambda: None, {"name": ""}, "not a name for a tool"),
        (lambda: None, {"name": "ä"}, "not a name for a tool"),
        (lambda: None, {"name": "a" * 65}, "not a name for a tool"),
        (lambda: None, {"name": "two words"}, "not a name for a tool"),
        (lambda: None, {"name": "line\n"}, "not a name for a tool"),
        (Address, {}, "a tool is a function"),
        ("text", {"name": "text"}, "a tool is a function"),
        (Tools.__len__.__get__(Tools()), {"timeout": 0}, "timeout must be a positive number"),
        (lambda: None, {"name": "x", "timeout": -1}, "timeout must be a positive number"),
        (lambda: None, {"name": "x", "timeout": float("nan")}, "timeout must be a positive number"),
        (lambda: None, {"name": "x", "timeout": float("inf")}, "timeout must be a positive number"),
        (max, {}, "signature"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_added(function: Any, options: dict[str, Any], said: str) -> None:
    tools = Tools()
    with pytest.raises(ConfigurationError, match=said):
        tools.function(function, **options)
    assert len(tools) == 0


def test_an_annotation_of_something_else_than_an_argument_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="annotation of value"):
        with_annotation(ClassVar[int])


def test_a_callable_object_needs_a_name() -> None:
    class Caller:
        def __call__(self) -> None: ...

    with pytest.raises(ConfigurationError, match="pass name="):
        Tools().function(Caller())
    assert tool_of(Caller(), name="caller").description is None


def test_two_tools_of_one_name_are_refused() -> None:
    tools = Tools()
    tools.function(lambda: None, name="x")
    with pytest.raises(ConfigurationError, match="two tools with the name x"):
        tools.function(lambda: None, name="x")


# --- what the model is told -------------------------------------------------------------------------------------------


def test_the_schema_is_that_of_the_signature_with_the_docstring() -> None:
    async def book(
        day: date,
        guests: Annotated[int, Field(ge=1, le=12, description="How many people.")],
        room: Literal["inside", "outside"] = "inside",
        notes: list[str] | None = None,
        *,
        call: Elsewhere,
    ) -> Elsewhere:
        """Book a table.

        Only after the caller has said
        for how many.

        Args:
            day: The day that is wanted, but
                today: never.
            guests: Not this text, because the annotation has one.
            room (str, optional): Where to sit.
            call: Not for the model.
            unknown: Of a parameter that is gone.

        Returns:
            Not for the model either.
        """

    tool = tool_of(book)
    assert tool.description == "Book a table.\n\nOnly after the caller has said\nfor how many."
    assert tool.takes_call
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "day": {
                "description": "The day that is wanted, but today: never.",
                "format": "date",
                "type": "string",
            },
            "guests": {"description": "How many people.", "maximum": 12, "minimum": 1, "type": "integer"},
            "room": {
                "description": "Where to sit.",
                "default": "inside",
                "enum": ["inside", "outside"],
                "type": "string",
            },
            "notes": {"anyOf": [{"items": {"type": "string"}, "type": "array"}, {"type": "null"}], "default": None},
        },
        "required": ["day", "guests"],
        "additionalProperties": False,
    }
    assert list(tool.parameters) == ["type", "properties", "required", "additionalProperties"]


def test_a_function_without_arguments_has_an_empty_schema() -> None:
    def goodbye(call: object) -> None: ...

    tool = tool_of(goodbye)
    assert tool.parameters == {"type": "object", "properties": {}, "additionalProperties": False}
    assert tool.wire().to_wire() == {"type": "function", "name": "goodbye", "parameters": tool.parameters}
    assert tool.arguments("{}") == tool.arguments("") == tool.arguments(" \n") == {}
    assert refusal(tool, '{"call": 1}').reason == "invalid"


def test_nested_types_are_written_out_without_references_and_titles() -> None:
    def order(order: Order, pay: Payment, at: Point, within: Window) -> None:
        """Order.

        Args:
            order: What was ordered.
        """

    tool = tool_of(order)
    text = json.dumps(tool.parameters)
    for noise in ("$ref", "$defs", "discriminator", "Order", "Size", "Point"):
        assert noise not in text
    ordered = tool.parameters["properties"]["order"]
    assert ordered["description"] == "What was ordered."
    assert ordered["required"] == ["title", "size", "deliver_to"]
    # A field may have the name of the keyword.
    assert ordered["properties"]["title"] == {"type": "string"}
    address = {
        "description": "Where to deliver.",
        "properties": {
            "street": {"type": "string"},
            "floor": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["street"],
        "type": "object",
    }
    assert ordered["properties"]["deliver_to"] == address
    assert ordered["properties"]["bill_to"]["anyOf"][0] == address
    kinds = tool.parameters["properties"]["pay"]["anyOf"]
    assert [kind["properties"]["kind"]["const"] for kind in kinds] == ["card", "cash"]

    found = tool.arguments(
        json.dumps(
            {
                "order": {"title": "Bread", "size": "small", "deliver_to": {"street": "High Street"}},
                "pay": {"kind": "cash"},
                "at": {"x": 1},
                "within": {"opens": 8},
            }
        )
    )
    assert found == {
        "order": Order(title="Bread", size=Size.SMALL, deliver_to=Address(street="High Street")),
        "pay": Cash(kind="cash"),
        "at": Point(1, 0),
        "within": {"opens": 8},
    }


def test_the_schema_is_the_same_every_time() -> None:
    def order(order: Order, pay: Payment, size: Size = Size.LARGE) -> None: ...

    assert json.dumps(tool_of(order).parameters) == json.dumps(tool_of(order).parameters)


def test_types_that_are_local_to_a_function_are_found() -> None:
    class Local(BaseModel):
        x: int

    tools = Tools()

    @tools.function
    def bare(local: Local, many: list[Local]) -> None: ...

    @tools.function(timeout=1)
    def with_options(local: Local) -> None: ...

    assert tools["bare"].arguments('{"local": {"x": 1}, "many": []}') == {"local": Local(x=1), "many": []}
    assert tools["with_options"].arguments('{"local": {"x": 1}}') == {"local": Local(x=1)}


def test_names_of_the_callers_scope_do_not_shadow_those_of_the_module() -> None:
    class Address(BaseModel):
        other: int

    tools = Tools()
    tools.function(_deliver)
    assert tools["_deliver"].arguments('{"to": {"street": "High Street"}}')["to"].street == "High Street"
    # A local function of another module.
    namespace: dict[str, Any] = {"Address": int}
    exec("def make():\n  def inner(to: 'Address'): ...\n  return inner", namespace)
    tools.function(namespace["make"]())
    assert tools["inner"].arguments('{"to": 3}') == {"to": 3}
    assert Address(other=1).other == 1


def _deliver(to: Address) -> None: ...


def test_any_name_of_a_parameter_is_possible() -> None:
    def odd(model_config: int, schema: int, _private: int, p0: int, copy: int, self_: int) -> None: ...

    names = ["model_config", "schema", "_private", "p0", "copy", "self_"]
    given_values = {name: index for index, name in enumerate(names)}
    assert tool_of(odd).arguments(json.dumps(given_values)) == given_values


def test_a_parameter_keeps_its_name_whatever_alias_its_annotation_has() -> None:
    tool = with_annotation(Annotated[int, Field(alias="other", validation_alias="third")])
    assert tool.arguments('{"value": 1}') == {"value": 1}
    assert list(tool.parameters["properties"]) == ["value"]


def test_a_default_in_the_annotation_counts() -> None:
    tool = with_annotation(Annotated[int, Field(default=3)])
    assert tool.arguments("{}") == {"value": 3}
    assert "required" not in tool.parameters


def test_a_default_need_not_be_json_and_is_not_shared() -> None:
    nothing = object()
    tool = with_annotation(int, nothing)
    assert tool.parameters["properties"]["value"] == {"type": "integer"}
    assert tool.arguments("{}")["value"] is nothing
    listed = with_annotation(list[int], [1])
    listed.arguments("{}")["value"].append(2)
    assert listed.arguments("{}") == {"value": [1]}


def test_data_in_a_schema_is_not_taken_for_a_schema() -> None:
    tool = with_annotation(dict[str, str], {"title": "Bread"})
    assert tool.parameters["properties"]["value"]["default"] == {"title": "Bread"}


@pytest.mark.parametrize(
    "docstring",
    [
        "Find.\n\n:param value: The one.\n",
        "Find.\n\nParameters\n----------\nvalue : int\n    The one.\n",
    ],
)
def test_other_styles_of_docstrings_are_the_description_whole(docstring: str) -> None:
    def find(value: int) -> None: ...

    find.__doc__ = docstring
    tool = tool_of(find)
    assert tool.description == docstring.strip()
    assert tool.parameters["properties"]["value"] == {"type": "integer"}


@given(st.text(st.sampled_from("Args:\n eturns(x)*-\t"), max_size=80))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_any_docstring_is_read(docstring: str) -> None:
    def take(x: int, s: int = 0) -> None: ...

    take.__doc__ = docstring
    tool = tool_of(take)
    assert set(tool.parameters["properties"]["x"]) <= {"type", "description"}
    assert tool.description is None or tool.description in inspect.cleandoc(docstring)


def test_confirm_and_preamble_are_told_to_the_model() -> None:
    def cancel(order_id: str) -> None:
        """Cancel an order."""

    plain = tool_of(cancel)
    assert plain.wire().description == "Cancel an order."
    told = tool_of(cancel, confirm=True, preamble="I cancel that for you.").wire().description
    assert told is not None
    first, second, third = told.split("\n\n")
    assert first == "Cancel an order."
    assert "clear yes" in second
    assert third.endswith("I cancel that for you.")


# --- in a session -----------------------------------------------------------------------------------------------------


def test_merging_keeps_the_sessions_own_tools_and_everything_else() -> None:
    tools = Tools()
    tools.function(lambda: None, name="mine")
    session = RealtimeSession(
        instructions="Hi.",
        tools=[FunctionTool(name="theirs"), McpTool(server_label="mine", server_url="https://example.com/mcp")],
    )
    merged = tools.merged_into(session)
    assert [tool["type"] for tool in merged.to_wire()["tools"]] == ["function", "mcp", "function"]
    assert merged.to_wire()["tools"][2] == tools["mine"].wire().to_wire()
    assert merged.to_wire()["instructions"] == "Hi."
    assert len(session.tools or []) == 2


def test_merging_into_a_session_without_tools() -> None:
    tools = Tools()
    assert tools.merged_into(RealtimeSession()).to_wire() == {"type": "realtime"}
    tools.function(lambda: None, name="mine")
    for session in (RealtimeSession(), RealtimeSession(tools=[])):
        assert [tool["name"] for tool in tools.merged_into(session).to_wire()["tools"]] == ["mine"]


def test_merging_names_the_tool_that_is_there_twice() -> None:
    tools = Tools()
    tools.function(lambda: None, name="order_status")
    with pytest.raises(ConfigurationError, match="order_status"):
        tools.merged_into(RealtimeSession(tools=[FunctionTool(name="order_status")]))


# --- arguments --------------------------------------------------------------------------------------------------------


def _book(guests: int, name: str, at: datetime | None = None, outside: bool = False) -> None: ...


def test_arguments_are_converted_and_defaults_filled_in() -> None:
    tool = tool_of(_book)
    assert tool.arguments('{"guests": "4", "name": "Table", "at": "2026-11-20T19:30:00Z"}') == {
        "guests": 4,
        "name": "Table",
        "at": datetime(2026, 11, 20, 19, 30, tzinfo=UTC),
        "outside": False,
    }


@pytest.mark.parametrize("text", ['"NaN"', '"inf"', '"-Infinity"'])
def test_a_number_is_finite_also_when_it_is_written_as_text(text: str) -> None:
    tool = with_annotation(float)
    assert tool.arguments('{"value": "1.5"}') == {"value": 1.5}
    assert refusal(tool, f'{{"value": {text}}}').for_model == "value: Input should be a finite number"


BIG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not_json"),
        ("guests=4", "not_json"),
        ('{"guests": NaN, "name": "x"}', "not_json"),
        ('{"guests": -Infinity, "name": "x"}', "not_json"),
        ('{"guests": 1e999, "name": "x"}', "not_json"),
        (f'{{"guests": {BIG}, "name": "x"}}', "not_json"),
        ("{} {}", "not_json"),
        ("[" * 10_000, "not_json"),
        ('{"a":' * 3_000 + "1" + "}" * 3_000, "not_json"),
        ("\ud800", "not_json"),
        ('{"guests": 1, "name": "\ud800"}', "not_json"),
        ('{"guests": 1, "name": "a\x00"}', "not_json"),
        ("[4]", "not_an_object"),
        ("null", "not_an_object"),
        ('"{}"', "not_an_object"),
        ('{"guests": 1, "guests": 2, "name": "x"}', "repeated"),
        ('{"guests": 1, "name": {"x": 1, "x": 1}}', "repeated"),
        (" " * (MAX_ARGUMENTS + 1), "too_long"),
        ("{}", "invalid"),
        ('{"guests": "four", "name": "x"}', "invalid"),
        ('{"guests": 4.5, "name": "x"}', "invalid"),
        ('{"guests": 4, "name": 7}', "invalid"),
        ('{"guests": 4, "name": null}', "invalid"),
        ('{"guests": 4, "name": "x", "Outside": true}', "invalid"),
        ('{"guests": 4, "name": "\\ud800"}', "not_json"),
        ('{"guests": ' + "[" * 300 + "]" * 300 + "}", "not_json"),
    ],
)
def test_arguments_that_are_not_valid_are_the_models_mistake(text: str, reason: str) -> None:
    error = refusal(tool_of(_book), text)
    assert (error.tool, error.reason) == ("_book", reason)
    assert 0 < len(error.for_model) <= 300
    assert isinstance(error, ValueError)


def test_the_model_is_told_which_argument_and_what_is_expected() -> None:
    assert refusal(tool_of(_book), '{"name": "x"}').for_model == "guests: missing"
    several = refusal(tool_of(_book), '{"guests": "four", "at": "soon", "color": 1}').for_model
    assert "guests: Input should be a valid integer" in several
    assert "name: missing" in several
    assert several.endswith("and 1 more")
    assert refusal(tool_of(_book), '{"guests": 1, "name": "x", "color": 1}').for_model == (
        "color: there is no such argument"
    )
    nested = with_annotation(list[Order])
    wrong = '{"value": [{"title": "x", "size": "huge", "deliver_to": {"floor": 1}}]}'
    assert refusal(nested, wrong).for_model == (
        "value.0.size: Input should be 'small' or 'large'; value.0.deliver_to.street: missing"
    )
    assert refusal(tool_of(_book), '{"name": "x", "name": "y"}').for_model == "name: given more than once"


def test_the_model_is_not_told_names_of_classes() -> None:
    told = refusal(with_annotation(Address | Point), '{"value": {"x": "a"}}').for_model
    assert (
        told == "value.street: missing; value.x: Input should be a valid integer, unable to parse string as an integer"
    )


def test_what_the_model_wrote_is_in_no_message() -> None:
    error = refusal(tool_of(_book), '{"guests": "+14155550100", "name": "x", "4155550100": 1, "at": "secret"}')
    assert "4155550100" not in str(error)
    assert "secret" not in str(error)
    assert "+14155550100" not in error.for_model
    assert "secret" not in error.for_model
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_long_names_and_many_mistakes_are_cut() -> None:
    text = json.dumps({"x" * 5_000 + str(index): index for index in range(5)})
    assert len(refusal(tool_of(_book), text).for_model) <= 300


def test_validators_of_the_user_speak_to_the_model() -> None:
    def past(value: int) -> int:
        if value < 10:
            raise ValueError("orders have numbers from 10 on")
        return value

    tool = with_annotation(Annotated[int, AfterValidator(past)])
    assert tool.arguments('{"value": 10}') == {"value": 10}
    assert refusal(tool, '{"value": 9}').for_model == "value: Value error, orders have numbers from 10 on"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(["guests", "name", "at", "outside", "order", "value"])


@given(
    st.text(max_size=60)
    | JSON_VALUES.map(json.dumps)
    | st.dictionaries(NAMES, JSON_VALUES, max_size=5).map(json.dumps)
    | st.dictionaries(NAMES, JSON_VALUES, max_size=5).map(lambda value: json.dumps(value, ensure_ascii=False))
)
@settings(derandomize=True, deadline=None)
def test_law_arbitrary_arguments_are_read_or_refused(text: str) -> None:
    for tool in HOSTILE:
        try:
            read = set(tool.arguments(text))
        except ToolArgumentsError as error:
            told = error.for_model
        else:
            assert read == set(tool.parameters["properties"])
            continue
        assert 0 < len(told) <= 300
        assert json.loads(error_output(told))["error"]


HOSTILE = [tool_of(_book), with_annotation(Order), with_annotation(dict[str, Any]), with_annotation(Payment | int)]


# --- schema and arguments together ------------------------------------------------------------------------------------

WORDS = st.text(max_size=12)
ADDRESSES = st.builds(Address, street=WORDS, floor=st.none() | st.integers(-5, 200))
POOL: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, WORDS),
    (int, st.integers(-(2**60), 2**60)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (str | None, st.none() | WORDS),
    (Size, st.sampled_from(Size)),
    (Literal["a", 1] | None, st.sampled_from(["a", 1, None])),
    (Annotated[int, Field(ge=1, le=9, description="A digit.")], st.integers(1, 9)),
    (list[int], st.lists(st.integers(-9, 9), max_size=4)),
    (set[str], st.sets(WORDS, max_size=3)),
    (tuple[int, str], st.tuples(st.integers(-9, 9), WORDS)),
    (dict[str, int], st.dictionaries(WORDS, st.integers(-9, 9), max_size=3)),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (timedelta, st.timedeltas(timedelta(0), timedelta(days=9))),
    (uuid.UUID, st.uuids()),
    (Decimal, st.decimals(-1000, 1000, places=2)),
    (Address, ADDRESSES),
    (list[Address] | None, st.none() | st.lists(ADDRESSES, max_size=2)),
    (
        Order,
        st.builds(Order, title=WORDS, size=st.sampled_from(Size), deliver_to=ADDRESSES, bill_to=st.none() | ADDRESSES),
    ),
    (Payment, st.just(Cash(kind="cash")) | st.builds(Card, kind=st.just("card"), last_four=WORDS)),
    (Point, st.builds(Point, st.integers(-9, 9), st.integers(-9, 9))),
    (Window, st.fixed_dictionaries({"opens": st.integers(0, 24)}, optional={"closes": st.integers(0, 24)})),
]


@st.composite
def signatures_with_values(draw: st.DrawFn) -> tuple[inspect.Signature, dict[str, Any], dict[str, Any]]:
    """Return a signature, arguments for it, and the same as JSON."""
    parameters, values, sent = [], {}, {}
    for index, (annotation, strategy) in enumerate(draw(st.lists(st.sampled_from(POOL), max_size=4))):
        name = f"arg{index}"
        default = draw(st.just(inspect.Parameter.empty) | strategy)
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        )
        values[name] = default
        if default is inspect.Parameter.empty or draw(st.booleans()):
            values[name] = draw(strategy)
            sent[name] = TypeAdapter(annotation).dump_python(values[name], mode="json")
    return inspect.Signature(parameters), values, sent


@given(signatures_with_values())
@settings(derandomize=True, deadline=None, max_examples=60)
def test_law_what_the_schema_asks_for_is_what_the_function_gets(
    drawn: tuple[inspect.Signature, dict[str, Any], dict[str, Any]],
) -> None:
    signature, values, sent = drawn

    def take(**arguments: object) -> dict[str, object]:
        return arguments

    take.__signature__ = signature  # type: ignore[attr-defined]
    tool = tool_of(take)
    Draft202012Validator.check_schema(tool.parameters)
    Draft202012Validator(tool.parameters).validate(sent)
    assert tool.function(**tool.arguments(json.dumps(sent))) == values
    assert "$ref" not in json.dumps(tool.parameters)
    assert not Draft202012Validator(tool.parameters).is_valid({**sent, "more": 1})
    assert refusal(tool, json.dumps({**sent, "more": 1})).for_model == "more: there is no such argument"


# --- outputs ----------------------------------------------------------------------------------------------------------


class Loud(enum.StrEnum):
    HIGH = "high"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Where is it? Ünïcode", "Where is it? Ünïcode"),
        ("", ""),
        ('{"already": "JSON"}', '{"already": "JSON"}'),
        (None, '{"ok":true,"result":null}'),
        (True, "true"),
        (3, "3"),
        ({"a": [1, 2.5], "ü": None}, '{"a":[1,2.5],"ü":null}'),
        ((1, "x"), '[1,"x"]'),
        (Address(street="High Street"), '{"street":"High Street","floor":null}'),
        ([Point(1, 2)], '[{"x":1,"y":2}]'),
        (date(2026, 11, 22), '"2026-11-22"'),
        (datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC), '"2026-11-22T01:02:03Z"'),
        (Decimal("1.10"), '"1.10"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Size.SMALL, '"small"'),
        (Loud.HIGH, "high"),
        (float("nan"), '"NaN"'),
        ({"inf": float("inf")}, '{"inf":"Infinity"}'),
        (SecretStr("hidden"), '"**********"'),
        ("half \ud800 a pair", "half ? a pair"),
    ],
)
def test_outputs_are_text_or_compact_json(value: object, text: str) -> None:
    assert render_output(value) == text


class Broken(BaseModel):
    x: int = 1

    @field_serializer("x")
    def _fail(self, _value: int) -> int:
        raise RuntimeError("secret")


def _circle() -> list[object]:
    circle: list[object] = []
    circle.append(circle)
    return circle


def _deep() -> list[object]:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@pytest.mark.parametrize(
    "value",
    [object(), {"tools": Tools()}, Broken(), _circle(), b"\xff", ValueError("secret"), lambda: None, Size],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_data_becomes_an_error_that_says_nothing(value: object) -> None:
    output = render_output(value)
    assert output == NOT_SERIALIZABLE
    assert set(json.loads(output)) == {"error"}
    assert "secret" not in output


def test_an_iterator_which_may_have_no_end_is_not_begun() -> None:
    begun = []

    def numbers() -> Iterator[int]:
        begun.append(True)
        yield 1

    assert render_output(numbers()) == NOT_SERIALIZABLE
    assert not begun


def test_the_depth_of_an_output_ends_somewhere() -> None:
    assert render_output(_deep()) == NOT_SERIALIZABLE


@pytest.mark.parametrize("value", ["x" * (MAX_OUTPUT + 1), ["word"] * MAX_OUTPUT], ids=["text", "json"])
def test_a_long_output_is_cut_and_says_so(value: object) -> None:
    output = render_output(value)
    assert len(output) == MAX_OUTPUT
    assert "Cut here" in output[-120:]
    assert "not complete" in output[-120:]
    assert output.startswith(("xxx", '["word","word"'))


def test_the_longest_output_is_not_cut() -> None:
    assert render_output("x" * MAX_OUTPUT) == "x" * MAX_OUTPUT


def test_errors_are_short_json_whatever_the_text() -> None:
    assert error_output('no "order"') == '{"error":"no \\"order\\""}'
    assert json.loads(error_output("\ud800\x00\n"))["error"] == "?\x00\n"
    assert len(json.loads(error_output("x" * 5_000))["error"]) == 500


@given(st.recursive(JSON_VALUES | st.binary(max_size=8) | st.dates(), lambda inner: st.lists(inner, max_size=3)))
@settings(derandomize=True, deadline=None)
def test_law_an_output_is_always_text_that_can_be_sent(value: object) -> None:
    output = render_output(value)
    assert len(output) <= MAX_OUTPUT
    assert output.encode()


def slow() -> str:
    """Take long."""
    return "done"


def test_a_slow_tool_says_when_the_caller_hears_of_it() -> None:
    tools = Tools()
    tools.function(slow, progress=[16, 8], background=True)
    tool = tools["slow"]
    assert (tool.progress, tool.background) == ((8.0, 16.0), True)


@pytest.mark.parametrize("progress", [(0,), (-1, 8), (float("inf"),), (float("nan"),), ("soon",), 8, None])
def test_what_is_no_time_for_progress_is_refused(progress: Any) -> None:
    with pytest.raises(ConfigurationError, match="progress must be positive numbers of seconds"):
        Tools().function(slow, progress=progress)
