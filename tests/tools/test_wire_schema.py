"""The schemas of tools leave in forms that the service takes, or the tool is refused where it is registered."""

from __future__ import annotations

import collections
import enum
import ipaddress
import json
import pathlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import (
    VERSION,
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Base64Str,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyAddress,
    Json,
    RootModel,
    SecretStr,
    WithJsonSchema,
)
from typing_extensions import TypedDict  # pydantic does not read that of typing before Python 3.12

from realtime_sip.errors import ConfigurationError, ToolArgumentsError
from realtime_sip.tools.registry import Tool, Tools
from realtime_sip.tools.wire_schema import without_nulls, written


class Spot(NamedTuple):
    row: int
    seat: str = "A"


class Booking(BaseModel):
    spot: Spot
    span: tuple[date, date]


class Pair(RootModel[tuple[int, str]]):
    pass


class Kind(enum.Enum):
    CAR = "car"
    BIKE = "bike"


class Gear(enum.IntEnum):
    LOW = 1


class Empty(enum.Enum):
    pass


class Odd(enum.Enum):
    NOTHING = float("nan")


class Car(BaseModel):
    kind: Literal["car"]
    doors: int = 4


class Bike(BaseModel):
    kind: Literal["bike"]
    basket: str = ""


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, tuple[int, int]]

    x: int


class Checked(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")

    word: Annotated[str, Field(pattern=r"^(?!no).+$")]


@dataclass
class Trip:
    legs: list[tuple[str, int]] = field(default_factory=list)


class Opening(TypedDict):
    day: str
    hours: NotRequired[tuple[time, time]]


def with_annotation(annotation: Any, default: Any = ...) -> Tool:
    """Return the tool `take`, with one argument, `value`."""

    def take(value: annotation) -> None: ...

    def take_or_not(value: annotation = default) -> None: ...

    tools = Tools()
    tools.function(take if default is ... else take_or_not, name="take")
    return tools["take"]


def value_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    shown: dict[str, Any] = with_annotation(annotation, default).parameters["properties"]["value"]
    return shown


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield each schema in a schema, and no data."""
    yield schema
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            yield from nodes(schema[name])
    for inner in [*schema.get("anyOf", ()), *schema.get("properties", {}).values()]:
        yield from nodes(inner)


TAKEN = {
    *("type", "description", "anyOf", "enum", "const", "default", "examples", "format", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
    *("items", "minItems", "maxItems", "properties", "required", "additionalProperties", "minProperties"),
    "maxProperties",
}
FORMATS = {"date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def check(parameters: dict[str, Any]) -> None:
    """Hold a schema against what the service is known to refuse."""
    Draft202012Validator.check_schema(parameters)
    json.dumps(parameters, allow_nan=False, ensure_ascii=False).encode()
    for node in nodes(parameters):
        assert node.keys() <= TAKEN
        kinds = node.get("type", ())
        assert "array" not in kinds or isinstance(node["items"], dict)
        assert "object" not in kinds or isinstance(node["properties"], dict)
        assert node.get("format", "date") in FORMATS
        pattern = node.get("pattern", "")
        re.compile(pattern)
        assert not any(look in pattern for look in ("(?=", "(?!", "(?<=", "(?<!"))


POOL: list[tuple[Any, str, object]] = [
    (tuple[float, float], "[1.5, 2]", (1.5, 2.0)),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (tuple[int, str] | None, "null", None),
    (list[tuple[str, int]], '[["a", 1]]', [("a", 1)]),
    (tuple[()], "[]", ()),
    (tuple[int, ...], "[1, 2]", (1, 2)),
    (tuple[int, tuple[str, bool]], '[1, ["a", true]]', (1, ("a", True))),
    (dict[str, tuple[int, int]], '{"a": [1, 2]}', {"a": (1, 2)}),
    (Spot, '[3, "B"]', Spot(3, "B")),
    (Spot | None, "[3]", Spot(3)),
    (list[Spot], '[[1, "C"]]', [Spot(1, "C")]),
    (Pair, '[1, "x"]', Pair((1, "x"))),
    (
        Booking,
        '{"spot": [1], "span": ["2026-01-01", "2026-01-02"]}',
        Booking(spot=Spot(1), span=(date(2026, 1, 1), date(2026, 1, 2))),
    ),
    (Trip, '{"legs": [["a", 1]]}', Trip([("a", 1)])),
    (Opening, '{"day": "mon", "hours": ["08:00", "09:00"]}', {"day": "mon", "hours": (time(8), time(9))}),
    (Loose, '{"x": 1, "y": [1, 2]}', Loose(x=1, y=(1, 2))),  # type: ignore[call-arg]
    (Annotated[Car | Bike, Field(discriminator="kind")], '{"kind": "bike"}', Bike(kind="bike")),
    (list, "[1]", [1]),
    (dict, '{"a": 1}', {"a": 1}),
    (Any, '"x"', "x"),
    (object, "1", 1),
    (set[int], "[1, 1]", {1}),
    (frozenset[str], '["a"]', frozenset({"a"})),
    (collections.deque[int], "[1]", collections.deque([1])),
    (Sequence[int], "[1]", [1]),
    (Mapping[str, int], '{"a": 1}', {"a": 1}),
    (dict[int, str], '{"1": "a"}', {1: "a"}),
    (dict[Kind, int], '{"car": 1}', {Kind.CAR: 1}),
    (dict[Gear, int], '{"1": 1}', {Gear.LOW: 1}),
    (dict[Literal["a"], int], '{"a": 1}', {"a": 1}),
    (dict[Literal["a", "b"], int], '{"b": 1}', {"b": 1}),
    (dict[Annotated[str, Field(pattern="^a")], int], '{"ab": 1}', {"ab": 1}),
    (dict[Annotated[str, Field(min_length=2)], int], '{"ab": 1}', {"ab": 1}),
    (dict[date, int], '{"2026-01-01": 1}', {date(2026, 1, 1): 1}),
    (Decimal, '"1.10"', Decimal("1.10")),
    (Annotated[Decimal, Field(max_digits=5, decimal_places=2)], "1.25", Decimal("1.25")),
    (Annotated[Decimal, Field(ge=Decimal("0.1"))], "1", Decimal(1)),
    (Fraction, '"1/2"', Fraction(1, 2)),
    (complex, '"1+2j"', 1 + 2j),
    (bytes, '"a"', b"a"),
    (pathlib.Path, '"a/b"', pathlib.Path("a/b")),
    (AnyUrl, '"https://example.org/"', AnyUrl("https://example.org/")),
    (IPvAnyAddress, '"127.0.0.1"', ipaddress.IPv4Address("127.0.0.1")),
    (ipaddress.IPv4Network, '"10.0.0.0/8"', ipaddress.IPv4Network("10.0.0.0/8")),
    (uuid.UUID, '"00000000-0000-4000-8000-000000000000"', uuid.UUID("00000000-0000-4000-8000-000000000000")),
    (re.Pattern[str], '"a+"', re.compile("a+")),
    (AwareDatetime, '"2026-01-01T00:00:00Z"', datetime.fromisoformat("2026-01-01T00:00:00Z")),
    (timedelta, '"PT1M"', timedelta(minutes=1)),
    (SecretStr, '"x"', SecretStr("x")),
    (Literal[1, "a"] | None, "null", None),
    (Annotated[str, Field(pattern=r"^(?:A|B)-[?=!]\d{2}$")], '"A-=07"', "A-=07"),
    (Annotated[int, Field(json_schema_extra={"example": 3, "nullable": True})], "3", 3),
    (Annotated[int, Field(examples=[float("nan"), 1])], "3", 3),
    (Annotated[int, Field(deprecated=True)], "3", 3),
    (Annotated[float, Field(le=float("inf"))], "3", 3.0),
]
if VERSION >= "2.11":  # pydantic 2.10 cannot read these from JSON
    POOL += [(Json[int], '"1"', 1), (Base64Str, '"YQ=="', "a")]


@pytest.mark.parametrize(("annotation", "sent", "got"), POOL)
def test_what_pydantic_writes_leaves_in_a_form_that_is_taken(annotation: Any, sent: str, got: object) -> None:
    tool = with_annotation(annotation)
    check(tool.parameters)
    assert Draft202012Validator(tool.parameters["properties"]["value"]).is_valid(json.loads(sent))
    found = tool.arguments(f'{{"value": {sent}}}')["value"]
    assert found == got
    assert type(found) is type(got)


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Annotated[str, Field(pattern=re.compile("(?=a)b"))], "look-around"),
        (Annotated[str, Field(pattern="(?=a)b")], "look-around"),
        (Annotated[str, Field(pattern=re.compile("(?<!a)b"))], "look-around"),
        (list[Annotated[str, Field(pattern=re.compile("[(](?!a)b"))]], "look-around"),
        (Checked, "look-around"),
        (Annotated[str, Field(pattern=re.compile(r"(a)\1"))], "refers back"),
        (Annotated[str, Field(pattern=re.compile(r"(?P<x>a)(?P=x)"))], "refers back"),
        (Annotated[str, Field(pattern=re.compile(r"a++"))], "possessive"),
        (Annotated[str, Field(pattern=r"^\p{Lu}+$")], "regular expressions"),
        (Annotated[str, Field(pattern="(")], "unclosed group"),
        (dict[Annotated[str, Field(pattern="(")], int], "unclosed group"),
        (Annotated[int, Field(le=10**400)], "bound maximum"),
        (Annotated[float, WithJsonSchema({"type": "number", "minimum": float("nan")})], "bound minimum"),
        (Annotated[float, WithJsonSchema({"type": "number", "multipleOf": 0})], "bound multipleOf"),
        (Annotated[str, WithJsonSchema({"type": "string", "minLength": -1})], "bound minLength"),
        (Annotated[float, Field(multiple_of=0)], "multiple_?[oO]f"),
        (Empty, "no value fits"),
        (Odd, "not finite"),
        (Annotated[str, WithJsonSchema({"type": "array"})], "list of unknown items"),
        (Annotated[str, WithJsonSchema({"type": "array", "items": [{"type": "array"}]})], "list of unknown items"),
        (Annotated[str, WithJsonSchema({"type": "float"})], "a type that JSON does not have"),
        (Annotated[str, WithJsonSchema({"not": {"type": "string"}})], "'not'"),
        (Annotated[str, WithJsonSchema({"$ref": "#/$defs/elsewhere"})], "elsewhere"),
        (Annotated[str, WithJsonSchema({"anyOf": []})], "choices"),
        (Annotated[dict[str, int], Field(json_schema_extra={"required": True})], "`required`"),
        (Annotated[int, Field(json_schema_extra={"if": {}, "then": {}})], "'if'"),
    ],
)
def test_what_cannot_be_written_is_refused_with_tool_and_parameter(annotation: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        with_annotation(annotation)
    assert "the tool take: " in str(refused.value)
    assert " of value cannot be told to the model: " in str(refused.value)


def test_the_order_of_a_tuple_is_said() -> None:
    assert value_of(tuple[int, str]) == {
        "type": "array",
        "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "minItems": 2,
        "maxItems": 2,
        "description": "Items in this order: integer, string.",
    }
    assert value_of(tuple[float, float])["items"] == {"type": "number"}
    assert value_of(Spot)["description"] == "Items in this order: Row (integer), Seat (string)."
    assert value_of(tuple[Literal["a"] | None, date])["description"] == 'Items in this order: "a" or null, date.'

    def at(where: tuple[float, float]) -> None:
        """Look there.

        Args:
            where: Latitude and longitude.
        """

    tool = Tools([at])["at"]
    assert tool.parameters["properties"]["where"]["description"] == (
        "Latitude and longitude. Items in this order: number, number."
    )


def test_what_only_looks_like_look_around_is_a_pattern() -> None:
    assert value_of(Annotated[str, Field(pattern=r"^\(\?=[(?=]$")])["pattern"] == r"^\(\?=[(?=]$"


def test_keys_that_are_known_are_properties_and_others_are_said() -> None:
    assert value_of(dict[Kind, int]) == {
        "type": "object",
        "properties": {"car": {"type": "integer"}, "bike": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert value_of(dict[Annotated[str, Field(pattern="^a")], int]) == {
        "type": "object",
        "properties": {},
        "additionalProperties": {"type": "integer"},
        "description": "Each key matches ^a.",
    }
    assert value_of(dict[date, int])["description"] == 'Each key fits {"format": "date"}.'


def test_a_format_that_is_not_named_by_the_service_is_said() -> None:
    assert value_of(AnyUrl) == {"type": "string", "minLength": 1, "description": "Format: uri."}
    assert value_of(uuid.UUID) == {"type": "string", "format": "uuid"}
    assert value_of(bytes) == value_of(SecretStr) == {"type": "string"}


def test_a_default_that_json_cannot_carry_is_not_said_and_counts() -> None:
    for default in (float("inf"), float("nan"), 10**400, "\ud800"):
        tool = with_annotation(type(default), default)
        check(tool.parameters)
        assert "default" not in tool.parameters["properties"]["value"]
        assert tool.arguments("{}")["value"] is default


def test_a_schema_that_grows_without_end_is_refused() -> None:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for number in range(40):
        both = {"$ref": f"#/$defs/d{number}"}
        definitions[f"d{number + 1}"] = {"type": "object", "properties": {"a": both, "b": both}}
    with pytest.raises(ConfigurationError, match="too large"):
        written(definitions["d40"], definitions)


# --- null for an argument that has a default --------------------------------------------------------------------------


class Where(BaseModel):
    street: str
    unit: str = ""
    floor: int | None = 3


def _look_up(
    kind: str,
    where: Where,
    others: list[Where],
    namespace: str = "default",
    verbose: bool = False,
    price: Decimal = Decimal(0),
    by_name: dict[str, Where] | None = None,
    vehicle: Annotated[Car | Bike, Field(discriminator="kind")] | None = None,
    anything: Any = 1,
) -> None: ...


def test_a_null_for_an_argument_with_a_default_that_cannot_be_null_means_the_default() -> None:
    tool = Tools([_look_up])["_look_up"]
    nulls = dict.fromkeys(("namespace", "verbose", "price", "by_name", "vehicle", "anything"))
    found = tool.arguments(json.dumps({"kind": "a", "where": {"street": "b"}, "others": [], **nulls}))
    assert found == {
        "kind": "a",
        "where": Where(street="b"),
        "others": [],
        "namespace": "default",
        "verbose": False,
        "price": Decimal(0),
        "by_name": None,
        "vehicle": None,
        "anything": None,
    }


def test_a_null_inside_of_an_argument_is_the_default_too() -> None:
    tool = Tools([_look_up])["_look_up"]
    where = {"street": "b", "unit": None, "floor": None}
    found = tool.arguments(
        json.dumps(
            {
                "kind": "a",
                "where": where,
                "others": [where],
                "by_name": {"x": where},
                "vehicle": {"kind": "bike", "basket": None},
            }
        )
    )
    expected = Where(street="b", floor=None)
    assert (found["where"], found["others"], found["by_name"]) == (expected, [expected], {"x": expected})
    assert found["vehicle"] == Bike(kind="bike")


@pytest.mark.parametrize(
    "arguments",
    [
        '{"kind": null, "where": {"street": "b"}, "others": []}',
        '{"kind": "a", "where": {"street": null}, "others": []}',
        '{"kind": "a", "where": {"street": "b"}, "others": null}',
        '{"kind": "a", "where": {"street": "b"}, "others": [null]}',
        '{"kind": "a", "where": {"street": "b"}, "others": [], "more": null}',
    ],
)
def test_a_null_for_what_is_required_or_unknown_stays_a_mistake(arguments: str) -> None:
    with pytest.raises(ToolArgumentsError):
        Tools([_look_up])["_look_up"].arguments(arguments)


def test_what_stands_beside_a_null_is_read_as_it_was_written() -> None:
    arguments = '{"kind": "null \\u00e9\\"", "where": {"street": "x"}, "others": [], "verbose": null, "price": 1.10}'
    found = Tools([_look_up])["_look_up"].arguments(arguments)
    assert found["kind"] == 'null é"'
    assert str(found["price"]) == str(with_annotation(Decimal).arguments('{"value": 1.10}')["value"])
    assert with_annotation(Literal[1, 2], 1).arguments('{"value": null}') == {"value": 1}


def test_a_validator_for_nothing_is_not_asked_about_null() -> None:
    def strip(text: str) -> str:
        return text.strip()

    tool = with_annotation(Annotated[str, AfterValidator(strip)], "x")
    assert tool.arguments('{"value": null}') == {"value": "x"}


def test_objects_of_several_kinds_keep_their_nulls() -> None:
    kinds = {"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}] * 2}
    assert without_nulls({"a": None}, kinds) == {"a": None}
