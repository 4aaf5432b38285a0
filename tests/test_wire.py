"""The base models of the wire, and the laws that every model built on them keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from realtime_sip import events, items, session
from realtime_sip._wire import (
    Inbound,
    Open,
    Outbound,
    Unknown,
    checked,
    invalid_request,
    read_json,
    refusing_beta_types,
    without_lone_surrogates,
)
from realtime_sip.api.operations import json_body
from realtime_sip.errors import BetaShapeError, InvalidRequestError


class Wheel(Outbound):
    type: Literal["wheel"] = "wheel"
    size: Annotated[int, Field(ge=10, le=30)] | None = None


class Sail(Outbound):
    type: Literal["sail"] = "sail"


class Vehicle(Outbound):
    _nullable = frozenset({"drive"})

    _beta_names: ClassVar[dict[str, str]] = {"color": "it is paint.color now", "horn": "it was removed, leave it out"}

    type: Literal["vehicle"] = "vehicle"
    role: Literal["transport"] = "transport"
    name: str | None = None
    drive: Annotated[Wheel | Sail, Field(discriminator="type")] | None = None
    spare: list[Annotated[Wheel, refusing_beta_types({"tyre": "wheel"})]] | None = None


class Report(Inbound):
    type: Literal["report"]
    state: Open[Literal["new", "old"]] | None = None
    count: int | None = None
    ratio: float | None = None
    ready: bool | None = None
    text: str | None = None


def _subclasses(base: type[Outbound]) -> Iterator[type[Outbound]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("realtime_sip."):
            yield kind
        yield from _subclasses(kind)


# --- absent is not null -----------------------------------------------------------------------------------------------


def test_absent_is_not_null() -> None:
    assert Vehicle().to_wire() == {"type": "vehicle", "role": "transport"}
    off = {"type": "vehicle", "role": "transport", "drive": None}
    assert Vehicle(drive=None).to_wire() == Vehicle.model_validate({"drive": None}).to_wire() == off


def test_a_null_where_it_means_nothing_is_refused_with_the_fields_name() -> None:
    with pytest.raises(ValidationError, match="name\n  cannot be null; leave it out"):
        Vehicle(name=None)
    with pytest.raises(InvalidRequestError) as refused:
        checked(Vehicle, {"name": None, "drive": {"type": "wheel", "size": None}, "spare": [None]}, what="vehicle")
    assert {place for place, why in refused.value.problems if why == "cannot be null; leave it out"} == {"name"}
    with pytest.raises(InvalidRequestError, match=r"drive\.size: cannot be null"):
        checked(Vehicle, {"drive": {"type": "wheel", "size": None}}, what="vehicle")


NULLABLE = {
    "AudioInput": {"noise_reduction", "transcription", "turn_detection"},
    "TranscriptionAudioInput": {"noise_reduction", "transcription", "turn_detection"},
    "ServerVad": {"idle_timeout_ms"},
    "RealtimeSession": {"prompt", "tracing"},
    "ResponseConfig": {"prompt"},
}
"""What can be sent as null (API guide, November 2026): nothing else says that null is a value of its own."""


@pytest.mark.parametrize("model", list(dict.fromkeys(_subclasses(Outbound))), ids=lambda model: model.__name__)
def test_law_only_what_the_service_lets_be_null_is_sent_as_null(model: type[Outbound]) -> None:
    for name in model.model_fields:
        try:
            model.model_validate({name: None})
            problems = set()
        except ValidationError as error:
            problems = {problem["loc"] for problem in error.errors() if problem["type"] == "null"}
        assert ((name,) not in problems) is (name in NULLABLE.get(model.__name__, ())), name


THEIRS = {
    "AudioInput": "realtime_audio_config_input.RealtimeAudioConfigInput",
    "TranscriptionAudioInput": "realtime_transcription_session_audio_input.RealtimeTranscriptionSessionAudioInput",
    "ServerVad": "realtime_audio_input_turn_detection.ServerVad",
    "RealtimeSession": "realtime_session_create_request.RealtimeSessionCreateRequest",
    "ResponseConfig": "realtime_response_create_params.RealtimeResponseCreateParams",
}


def test_what_can_be_null_can_be_null_for_the_vendor_too(shared_data: Path) -> None:
    models = json.loads((shared_data / "wire_schema.json").read_text())["nested_models"]
    for name, nullable in NULLABLE.items():
        fields = models[f"realtime.{THEIRS[name]}"]
        assert all(fields[each]["type"].endswith(" | null") for each in nullable)


def test_what_is_fixed_is_always_sent_also_nested_and_from_dicts() -> None:
    built = Vehicle(drive=Sail(), spare=[Wheel(size=20)])
    parsed = Vehicle.model_validate({"drive": {"type": "sail"}, "spare": [{"size": 20}]})
    expected = {
        "type": "vehicle",
        "role": "transport",
        "drive": {"type": "sail"},
        "spare": [{"type": "wheel", "size": 20}],
    }
    assert built.to_wire() == parsed.to_wire() == expected
    assert built.model_copy(update={"name": "x"}).to_wire() == {**expected, "name": "x"}


def test_every_model_that_we_send_sends_its_type() -> None:
    typed = [kind for kind in _subclasses(Outbound) if _default_type(kind) is not None]
    assert {events.SessionUpdate, items.UserMessage, session.ServerVad} <= set(typed)
    for kind in typed:
        assert kind.model_construct().model_dump(exclude_unset=True)["type"] == _default_type(kind), kind


def _default_type(kind: type[Outbound]) -> object:
    field = kind.model_fields.get("type")
    return None if field is None or field.is_required() else field.default


# --- strict out -------------------------------------------------------------------------------------------------------


def test_strict_out_an_unknown_field_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked(Vehicle, {"nmae": "x"}, what="vehicle")
    assert caught.value.problems == (("nmae", "Unknown field; to send it anyway, put it into extra_fields"),)


def test_strict_out_extra_fields_are_sent() -> None:
    vehicle = Vehicle(drive=Wheel(extra_fields={"tread": None}), extra_fields={"wings": {"count": 2}})
    assert vehicle.to_wire() == {
        "type": "vehicle",
        "role": "transport",
        "drive": {"type": "wheel", "tread": None},
        "wings": {"count": 2},
    }


def test_strict_out_extra_fields_cannot_replace_a_known_field() -> None:
    with pytest.raises(ValidationError, match="extra_fields repeats the field name"):
        Vehicle(extra_fields={"name": "x"})


@pytest.mark.parametrize("ratio", [float("nan"), float("inf"), float("-inf")])
def test_strict_out_a_number_that_json_does_not_have_is_refused(ratio: float) -> None:
    with pytest.raises(ValidationError):
        session.NoiseReduction(strength=ratio)
    with pytest.raises(InvalidRequestError, match="JSON"):
        json_body(session.NoiseReduction(extra_fields={"ratio": ratio}), what="session")


def test_strict_out_what_is_sent_cannot_be_changed() -> None:
    vehicle = Vehicle(name="x")
    with pytest.raises(ValidationError):
        vehicle.name = "y"  # type: ignore[misc]


def test_beta_shapes_are_refused_with_the_current_name() -> None:
    with pytest.raises(BetaShapeError) as caught:
        checked(Vehicle, {"color": "red", "horn": True}, what="vehicle")
    assert "'color' is a name of the beta API: it is paint.color now" in str(caught.value)
    assert "'horn' is a name of the beta API: it was removed, leave it out" in str(caught.value)
    with pytest.raises(BetaShapeError, match="'tyre' is a name of the beta API: it is wheel now"):
        checked(Vehicle, {"spare": [{"type": "tyre"}]}, what="vehicle")


def test_a_refusal_names_the_place_on_the_wire_and_no_value() -> None:
    wrong = {"drive": {"type": "wheel", "size": 987654}, "spare": [{}, {"size": "a secret"}], "name": Wheel()}
    with pytest.raises(InvalidRequestError) as caught:
        checked(Vehicle, wrong, what="vehicle")
    assert [place for place, _ in caught.value.problems] == ["name", "drive.size", "spare.1.size"]
    assert "987654" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_refusal_names_what_is_missing() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked(items.UserMessage, {"content": [{"type": "input_text"}]}, what="message")
    assert caught.value.problems == (("content.0.text", "Missing"),)
    with pytest.raises(InvalidRequestError) as caught:
        checked(Vehicle, {"drive": {}}, what="vehicle")
    assert caught.value.problems == (("drive", "Its type is missing"),)


def test_a_refusal_without_its_value_has_pydantics_place() -> None:
    with pytest.raises(ValidationError) as caught:
        Vehicle.model_validate({"drive": {"type": "wheel", "size": 1}})
    assert invalid_request("vehicle", caught.value).problems[0][0] == "drive.wheel.size"


def test_a_model_that_was_checked_is_passed_on() -> None:
    vehicle = Vehicle()
    assert checked(Vehicle, vehicle, what="vehicle") is vehicle


# --- lenient in -------------------------------------------------------------------------------------------------------


def test_lenient_in_unknown_fields_and_values_are_kept() -> None:
    came = {"type": "report", "state": "renewed", "count": -7, "pages": [1, {"a": None}]}
    report = Report.model_validate(came)
    assert report.state == "renewed"
    assert report.to_wire() == came
    assert report.model_extra == {"pages": [1, {"a": None}]}


@pytest.mark.parametrize(
    "wrong",
    [{"count": "7"}, {"count": 7.0}, {"count": True}, {"ratio": "0.5"}, {"ready": 1}, {"text": 7}, {"state": 7}],
)
def test_lenient_in_scalars_are_not_converted(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Report.model_validate({"type": "report", **wrong})


def test_absent_is_not_null_in_what_is_received_either() -> None:
    report = Report.model_validate_json('{"type": "report", "text": null, "pages": null}')
    assert report.to_wire() == {"type": "report", "text": None, "pages": None}
    assert report.model_fields_set == {"type", "text", "pages"}
    assert Report.model_validate_json('{"type": "report"}').to_wire() == {"type": "report"}


def test_lenient_in_an_integer_is_a_number_too() -> None:
    assert Report.model_validate({"type": "report", "ratio": 1}).to_wire() == {"type": "report", "ratio": 1}


def test_unknown_keeps_everything() -> None:
    came = {"type": "spare", "raw": 1, "to_wire": 2, "model_config": 3, "nested": {"type": None}}
    unknown = Unknown.model_validate(came)
    assert (unknown.type, unknown.raw, unknown.to_wire()) == ("spare", came, came)
    assert Unknown.model_validate({"type": 7}).type == ""
    assert Unknown.model_validate({}).type == ""


# --- safety -----------------------------------------------------------------------------------------------------------


def test_law_words_and_numbers_are_not_on_exceptions() -> None:
    words = "my number is 415 555 0100"
    with pytest.raises(ValidationError) as out:
        items.UserMessage.model_validate({"content": [{"type": "input_text", "text": 4155550100}], "note": words})
    with pytest.raises(ValidationError) as received:
        items.UserMessageItem.model_validate({"type": "message", "role": words, "content": words})
    with pytest.raises(InvalidRequestError) as refused:
        checked(session.RealtimeSession, {"instructions": [words], "voice": words, "note": words}, what="session")
    for error in (out.value, received.value, refused.value):
        assert "415" not in str(error)
        assert "415" not in repr(error)


def test_repr_shows_ids_and_sizes_and_nobodys_words() -> None:
    words = "my number is 415 555 0100"
    message = items.UserMessage(id="item_1", content=[items.InputText(text=words)])
    assert "item_1" in repr(message)
    tool = session.McpTool(server_label="shop", server_url="https://user:pass@host", authorization="abc-secret")
    unknown = Unknown.model_validate({"type": "spoken", "transcript": words, "id": words})
    for shown in (repr(message), str(message), repr(tool), repr(unknown)):
        assert "415" not in shown
        assert "secret" not in shown
        assert "pass" not in shown
    assert repr(unknown) == "Unknown(type='spoken', transcript=<25 chars>, id=<25 chars>)"
    numbers = Unknown.model_validate({"phone": 14155550100, "id": "+14155550100", "code": "4155550100", "index": 7})
    assert repr(numbers) == "Unknown(phone=<int>, id=<12 chars>, code=<10 chars>, index=7)"


# --- JSON of strangers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ('{"a": [1, -1.5, true, null]}', {"a": [1, -1.5, True, None]}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (b'"\xc3\xa9"', "é"),
        ("[" * 64 + "]" * 64, None),
        ("1" * 308, int("1" * 308)),
        ("1e308", 1e308),
    ],
)
def test_json_is_read(data: str | bytes, value: object) -> None:
    assert read_json(data) == value or value is None


@pytest.mark.parametrize(
    "data",
    [
        *("", "{", "{} {}", "[1,]", "'a'", "01", "\ufeff{}", "NaN", "[-Infinity]", '"\n"', b'"\xff"', "\ud800"),
        *('"\\ud800"', '{"\\udfff": 1}', "1e999", '{"a": [-1e999]}', "9" * 309, "-" + "9" * 309, "9" * 10_000),
        *("[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, "[" * 200_000, '{"a":' * 100_000),
    ],
    ids=lambda data: repr(data)[:20],
)
def test_law_bounded__json_that_cannot_be_worked_with_is_refused(data: str | bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is for logs
        read_json(data)
    assert len(str(caught.value)) < 40
    assert caught.value.__cause__ is None


def test_half_a_surrogate_pair_is_mended_and_nothing_else() -> None:
    for data, mended in (
        (b'{"a": "\\uD83D", "\\udfff": 1}', b'{"a": "?", "?": 1}'),
        (b'"\\ud83d\\ude00"', '"😀"'.encode()),
        (b'{"a": "\\u00e9"}', b'{"a": "\\u00e9"}'),
        (b'{"\\ud83d', b'{"\\ud83d'),
        (b"[" * 100_000 + b'"\\ud83d"', b"[" * 100_000 + b'"\\ud83d"'),
    ):
        assert without_lone_surrogates(data) == mended
    for data in (b'["\\ud83d", NaN]', b'["\\ud83d", 1e999]', b'["\\ud83d", ' + b"9" * 5_000 + b"]"):
        with pytest.raises(ValueError, match=r"JSON|number"):
            read_json(without_lone_surrogates(data))
