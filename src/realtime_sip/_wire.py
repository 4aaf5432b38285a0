"""Base models of everything on the wire: strict in what is sent, lenient in what is received.

On this wire absent is not null: `turn_detection: null` turns turn detection off, and leaving it out keeps the default.
A field that was not set is never sent, and a field with only one possible value, such as `type`, is always sent. The
few fields that the service lets be null are sent as null if they are set to None; in any other, None is refused.
"""

import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema, from_json

from realtime_sip._redaction import redact, size_of
from realtime_sip.errors import BetaShapeError, InvalidRequestError

_Known = TypeVar("_Known")

Open: TypeAlias = Annotated[
    _Known | str, GetPydanticSchema(lambda _source, _handler: core_schema.str_schema(strict=True))
]
"""An enumeration that the service may add to: `Open[Literal["a", "b"]]` names what is known and takes any string.

It is checked only as a string, which costs a third of what the union would.
"""

# Identifiers, names and positions; never words, numbers, digits or keys. `call_id` is also a function call's.
_SHOWN = frozenset(
    {
        "approval_request_id",
        "audio_end_ms",
        "audio_start_ms",
        "call_id",
        "code",
        "content_index",
        "conversation_id",
        "created_at",
        "event_id",
        "expires_at",
        "id",
        "item_id",
        "model",
        "name",
        "object",
        "output_index",
        "param",
        "phase",
        "previous_item_id",
        "received_at",
        "reason",
        "response_id",
        "role",
        "server_label",
        "session_id",
        "status",
        "type",
    }
)
_WORDS = frozenset({"code", "param", "reason", "type"})
_MAX_SHOWN_TEXT = 80
_LARGE = 1_000_000


def _shown(name: str, value: object) -> object:
    if isinstance(value, (BaseModel, bool)) or value is None:
        return value
    if isinstance(value, (int, float)):
        # An unknown field may hold a phone number as a number.
        return value if name in _SHOWN or abs(value) < _LARGE else _Size(value)
    if name in _SHOWN and isinstance(value, str) and len(value) <= _MAX_SHOWN_TEXT and " " not in value:
        if not any(c.isalpha() for c in value):
            return _Size(value)
        return redact(value) if name in _WORDS else value  # a word of a stranger's is no id, and not needed whole
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, BaseModel) for v in value):
        return value
    return _Size(value)


class _Size:
    """Replaces a value that is not shown in a repr."""

    __slots__ = ("_text",)

    def __init__(self, value: object) -> None:
        self._text = size_of(value)

    def __repr__(self) -> str:
        return self._text


class _Wire(BaseModel):
    # Deferred, a class is built when it is first used, which takes a third off the time of the import.
    model_config = ConfigDict(defer_build=True)

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        """Yield what `repr` shows: ids, positions and sizes, never anybody's words, numbers or keys."""
        for name, value in super().__repr_args__():
            if name is not None and name in self.model_fields_set:
                yield name, _shown(name, value)


_NULL = PydanticCustomError("null", "cannot be null; leave it out")


class Outbound(_Wire):
    """What we send. Unknown fields are refused, because the service would refuse them in the middle of a call.

    `extra_fields` adds fields that this version does not know; they are sent as they are. Instances are immutable and
    can be shared between calls.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        # Else a NaN among the extra fields would be sent as null.
        ser_json_inf_nan="constants",
    )

    _beta_names: ClassVar[dict[str, str]] = {}
    """Names of the beta API that this model had, with what to write instead, so that the refusal can say it."""

    _nullable: ClassVar[frozenset[str]] = frozenset()
    """Fields in which None is a value of its own. None in any other is a slip: the service would refuse the null."""

    _fixed: ClassVar[frozenset[str]] = frozenset()
    """Fields that have one possible value: `type`, a message's `role`, the rate of PCM."""

    extra_fields: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)
    """Fields to send that this version does not know."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_beta_names(cls, data: Any) -> Any:
        found = [name for name in cls._beta_names if name in data] if isinstance(data, dict) else []
        if found:
            advice = "; ".join(f"'{name}' is a name of the beta API: {cls._beta_names[name]}" for name in found)
            raise PydanticCustomError("beta_shape", "{advice}", {"advice": advice})
        return data

    @model_validator(mode="before")
    @classmethod
    def _refuse_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            fields = cls.model_fields
            wrong = [name for name, value in data.items() if value is None and name in fields.keys() - cls._nullable]
            if wrong:
                raise ValidationError.from_exception_data(
                    cls.__name__, [InitErrorDetails(type=_NULL, loc=(name,), input=None) for name in wrong]
                )
        return data

    @model_validator(mode="after")
    def _extra_fields_are_new(self) -> Self:
        known = sorted(name for name in self.extra_fields if name in type(self).model_fields)
        if known:
            raise PydanticCustomError(
                "extra_field_known", "extra_fields repeats the field {name}; set it directly", {"name": known[0]}
            )
        return self

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        cls._fixed = frozenset(
            name
            for name, field in cls.model_fields.items()
            if get_origin(field.annotation) is Literal and get_args(field.annotation) == (field.default,)
        )

    def model_post_init(self, _context: Any, /) -> None:
        """Count what is fixed as set, so that leaving out what is unset never leaves it out."""
        self.__pydantic_fields_set__.update(self._fixed)

    @model_serializer(mode="wrap")
    def _with_extra_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {**data, **self.extra_fields}

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that is sent: what was set, what is fixed, and `extra_fields`."""
        return self.model_dump(mode="json", exclude_unset=True)


class Inbound(_Wire):
    """What we receive. Unknown fields are kept as attributes; an enumeration of the service is a string.

    Scalars are not converted: a string "7" is not the number 7. Instances are immutable.
    """

    model_config = ConfigDict(
        extra="allow", frozen=True, strict=True, hide_input_in_errors=True, protected_namespaces=()
    )

    def to_wire(self) -> dict[str, Any]:
        """Return everything that came in, unknown fields too."""
        return self.model_dump(exclude_unset=True)


class Unknown(Inbound):
    """An object of a kind that this version does not know, or that lacks a field that its kind must have."""

    @property
    def type(self) -> str:
        """The object's `type`, or "" if it has none."""
        value = (self.__pydantic_extra__ or {}).get("type")
        return value if isinstance(value, str) else ""

    @property
    def raw(self) -> dict[str, Any]:
        """The object as it came."""
        return dict(self.__pydantic_extra__ or {})


def refusing_beta_types(names: Mapping[str, str]) -> BeforeValidator:
    """Return a validator that refuses an object whose `type` is one of the beta names, and says the current one."""

    def refuse(data: Any) -> Any:
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(kind, str) and kind in names:
            raise PydanticCustomError(
                "beta_shape",
                "the type '{name}' is a name of the beta API: it is {current} now",
                {"name": kind, "current": names[kind]},
            )
        return data

    return BeforeValidator(refuse)


_Model = TypeVar("_Model", bound=BaseModel)


def checked(model: type[_Model], value: _Model | dict[str, Any], *, what: str) -> _Model:
    """Return `value` as `model`.

    Raises:
        BetaShapeError: It has a name of the beta API.
        InvalidRequestError: It is not valid for another reason.
    """
    if isinstance(value, model):
        return value
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_request(what, error, value) from None


def invalid_request(what: str, error: ValidationError, value: object = None) -> InvalidRequestError:
    """Return pydantic's findings as our own error, without the values that are wrong.

    With the `value` that was validated, places are those of the wire, `audio.input.turn_detection.threshold`; without
    it they also name the kinds that pydantic chose between.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    problems = tuple((place(d["loc"], d["type"], value), _MESSAGES.get(d["type"], d["msg"])) for d in details)
    kind = BetaShapeError if any(d["type"] == "beta_shape" for d in details) else InvalidRequestError
    return kind(what, problems)


_MESSAGES = {
    "extra_forbidden": "Unknown field; to send it anyway, put it into extra_fields",
    "missing": "Missing",
    "union_tag_not_found": "Its type is missing",
}


def place(loc: tuple[int | str, ...], problem: str, value: object) -> str:
    """Return the dotted path of `loc` in `value`, without the names of kinds, which are not on the wire."""
    if not isinstance(value, dict):
        return ".".join(str(part) for part in loc)
    path: list[str] = []
    here: Any = value
    part: Any
    for part in loc:
        if part in here if isinstance(here, dict) else isinstance(here, list) and part in range(len(here)):
            here = here[part]
            path.append(str(part))
    if problem == "missing":
        path.append(str(loc[-1]))
    return ".".join(path)


_OURS = ("realtime_sip", "pydantic", "pydantic_core", "contextlib", "asyncio")


def warn_outside(text: str, category: type[Warning]) -> None:
    """Warn at the program's line that led here, rather than at ours or pydantic's."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


_MAX_DEPTH = 64
_MAX_BITS = 1023  # of an integer that a double can stand for


# What may stand in a number becomes "0", or "e"; what opens a level "["; and everything else a space.
_MARKS = bytes(
    0x30 if c in b"+-.0123456789" else 0x65 if c in b"eE" else 0x5B if c in b"[{" else 0x20 for c in range(256)
)
_LONG = b"0" * 200
_EXPONENT = b"0e000"


def _is_plain(data: bytes) -> bool:
    """Whether JSON text cannot be too deep, nor hold a number beyond a double, as its bytes alone show.

    Most text is, which saves the walk. A number of less than 200 digits whose exponent has at most two is finite.
    """
    marks = data.translate(_MARKS)
    # Looking from the end for what begins with a rare character takes half the time.
    finite = (marks.rfind(_EXPONENT[1:]) < 0 or _EXPONENT not in marks) and _LONG not in marks
    return finite and marks.count(b"[") < _MAX_DEPTH


def read_json(data: str | bytes) -> Any:
    """Return what the JSON text of a stranger holds. Of members with one name the last counts.

    Raises:
        ValueError: It is not JSON, or it is not usable: it is nested more than 64 levels deep, so that code that walks,
            prints or sends it would fail; it has a number that is not finite or beyond a double (RFC 8259 6); or it has
            text that UTF-8 cannot hold, see `without_lone_surrogates`.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
    except (ValueError, TypeError):
        raise ValueError("not JSON") from None
    if _is_plain(data if isinstance(data, bytes) else data.encode("utf-8", "replace")):
        return value
    level = [value]
    for _ in range(_MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif (isinstance(each, float) and not isfinite(each)) or (
                isinstance(each, int) and each.bit_length() > _MAX_BITS
            ):
                raise ValueError("a number beyond a double")
        if not below:
            return value
        level = below
    raise ValueError("nested too deeply")


def without_lone_surrogates(data: bytes) -> bytes:
    """Return the JSON text with "?" for each escape that is half of a surrogate pair (RFC 8259 8.2).

    A delta that was cut inside an emoji has one, and so has a header in a phone system's own charset: the event, or the
    call, is worth more than that character. Text that cannot be mended is returned as it is.
    """
    if b"\\ud" not in data.lower():
        return data
    try:
        return json.dumps(json.loads(data), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return data
