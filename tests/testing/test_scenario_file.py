"""Scenario files: what is written reads back equal, and what is wrong is said with its line and what would be right."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
    ModelSaysNothing,
    Step,
    read_scenario,
    write_scenario,
)
from realtime_sip.testing.scenario import CallerStep, ModelStep, Scenario
from realtime_sip.testing.scenario_file import read_step, written_step

KINDS = [*get_args(CallerStep), *get_args(ModelStep)]

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
SECONDS = st.floats(0, 86_400) | st.integers(0, 86_400)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3) | st.text(st.characters(codec="utf-8"), max_size=40)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "digits": st.text("0123456789*#ABCD", min_size=1, max_size=20),
    "during": st.sampled_from([None, "speech", "tool"]),
    "phase": st.sampled_from([None, "commentary", "final_answer"]),
    "arguments": ARGUMENTS,
    "after": SECONDS,
    "seconds": st.none() | SECONDS,
    "times": st.integers(1, 5),
    "approval": st.none() | st.booleans(),
    "reason": st.none() | TEXTS,
    "calling": st.none() | TEXTS,
    "error": st.none() | TEXTS,
}


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Draw any step that can be made."""
    kind = draw(st.sampled_from(KINDS))
    fields = {}
    for part in dataclasses.fields(kind):
        required = part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
        if required or draw(st.booleans()):
            known = FIELDS.get(part.name, st.booleans() if part.type == "bool" else TEXTS)
            fields[part.name] = draw(known)
    try:
        step: Step = kind(**fields)
    except ConfigurationError:
        return draw(steps())
    return step


@given(steps())
def test_law_what_is_written_reads_back_equal(step: Step) -> None:
    line = written_step(step)
    assert "\n" not in line
    assert read_step(line) == step


@given(st.lists(steps(), min_size=1, max_size=8))
def test_law_a_scenario_that_is_written_reads_back_equal(drawn: list[Step]) -> None:
    try:
        Scenario(drawn)
    except ConfigurationError:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.jsonl"
        write_scenario(drawn, path)
        assert read_scenario(path) == drawn


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ('{"step": "CallerSays", "text": "Olá."}', CallerSays("Olá.")),
        ('{"step":"CallerPresses","digits":"12#","after":2}', CallerPresses("12#", after=2.0)),
        ('{"step": "CallerHangsUp", "while_ringing": true}', CallerHangsUp(while_ringing=True)),
        ('{"step": "ModelCalls", "name": "f", "arguments": {"a": [1]}}', ModelCalls("f", {"a": [1]})),
        ('{"step": "ModelCalls", "name": "f", "arguments": "{"}', ModelCalls("f", "{")),
        ('{"step": "ModelFails", "reason": null, "times": 2}', ModelFails(None, times=2)),
        ('{"step": "ModelSaysNothing"}', ModelSaysNothing()),
    ],
)
def test_a_line_is_a_step_and_its_fields(line: str, step: Step) -> None:
    assert read_step(line) == step
    assert read_step(written_step(step)) == step


def test_fields_with_their_default_are_not_written() -> None:
    assert written_step(CallerSays("Olá.")) == '{"step": "CallerSays", "text": "Olá."}'
    assert written_step(ModelCalls("f", {})) == '{"step": "ModelCalls", "name": "f"}'


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("CallerSays: Hello", "a line is one JSON object"),
        ('{"step": "CallerSays"', "a line is one JSON object"),
        ('["CallerSays", "Hello"]', "a line is a step and its fields"),
        ('{"text": "Hello"}', "step must be one of: CallerSays, CallerPresses, CallerHangsUp, ModelSays"),
        ('{"step": "CallerSpeaks", "text": "Hello"}', "step must be one of: CallerSays"),
        ('{"step": 7}', "step must be one of: CallerSays"),
        ('{"step": "CallerSays", "txt": "Hello"}', "CallerSays has no field txt; it has: text, interrupting, during"),
        ('{"step": "ModelSaysNothing", "x": 1}', "ModelSaysNothing has no field x; it has: out_of_band"),
        ('{"step": "CallerSays"}', "CallerSays needs: text"),
        ('{"step": "ModelCallsMcp"}', "ModelCallsMcp needs: server_label, name"),
        ('{"step": "CallerSays", "text": 7}', "text of CallerSays should be a valid string"),
        ('{"step": "CallerSays", "text": "Hi", "after": "2"}', "after of CallerSays should be a valid number"),
        ('{"step": "CallerSays", "text": "Hi", "after": true}', "after of CallerSays should be a valid number"),
        ('{"step": "CallerSays", "text": "Hi", "interrupting": 1}', "should be a valid boolean"),
        ('{"step": "CallerSays", "text": "Hi", "during": "lunch"}', "should be 'speech' or 'tool'"),
        ('{"step": "CallerSays", "text": "Hi", "after": -1}', "CallerSays: after must be 0 to 86400 seconds"),
        ('{"step": "CallerSays", "text": " "}', "CallerSays: text must have 1 to 20000 characters"),
        ('{"step": "CallerPresses", "digits": "E"}', "CallerPresses: digits must be 1 to 100 of 0-9, *, #, A-D"),
        ('{"step": "ModelCalls", "name": "f", "arguments": 7}', "dictionary or should be a valid string"),
        ('{"step": "ModelFails", "reason": null, "times": 1.5}', "should be a valid integer"),
        ('{"step": "ModelCalls", "name": "f", "arguments": ' + "[" * 200 + "]" * 200 + "}", "deep"),
        ('{"step": "CallerSays", "text": "\\ud800"}', "not JSON"),
        ('{"step": "ModelSays", "text": "Hi", "same_response": true}', "needs a step of the model before it"),
        ('{"step": "CallerHangsUp", "while_ringing": true}', "does nothing before"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_would_be_right(line: str, right: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.jsonl"
    path.write_text('{"step": "CallerSays", "text": "Hello?"}\n\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        read_scenario(path)
    assert str(raised.value).startswith("scenario.jsonl, line 3: ")
    assert right in str(raised.value)


def test_nobodys_words_are_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "scenario.jsonl"
    path.write_text('{"step": "CallerSays", "text": {"secret": "words"}, "very secret": "words"}\n')
    with pytest.raises(ConfigurationError) as raised:
        read_scenario(path)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "right"),
    [
        (b"", "has no steps; a line is a step, as"),
        (b" \n\r\n", "has no steps"),
        (b'{"step": "ModelSaysNothing"}\n\xff\n', "line 2: not UTF-8"),
        (b'{"step": "ModelSaysNothing"}\n' * 1001, "line 1001: a scenario has at most 1000 steps"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(content: bytes, right: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=right):
        read_scenario(path)


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the scenario none\.jsonl: No such file"):
        read_scenario(tmp_path / "none.jsonl")
    with pytest.raises(ConfigurationError, match=r"cannot write the scenario none\.jsonl: No such file"):
        write_scenario([ModelSaysNothing()], tmp_path / "none" / "none.jsonl")


def test_what_other_editors_save_is_read(tmp_path: Path) -> None:
    """A byte order mark, and line ends of another system."""
    path = tmp_path / "scenario.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"step": "CallerSays", "text": "Hi"}\r\n{"step": "CallerHangsUp"}\r\n')
    assert read_scenario(path) == [CallerSays("Hi"), CallerHangsUp()]


@pytest.mark.parametrize(
    "step",
    [
        ModelCalls("f", {"a": (1, 2)}),
        ModelCalls("f", {"a": float("nan")}),
        ModelCalls("f", {1: "a"}),  # type: ignore[dict-item]
        CallerSays("\ud800"),
        "Hello?",
    ],
)
def test_what_would_not_read_back_equal_is_not_written(step: Any, tmp_path: Path) -> None:
    path = tmp_path / "scenario.jsonl"
    path.write_text("kept")
    with pytest.raises(ConfigurationError):
        write_scenario([step], path)
    assert path.read_text() == "kept"


def test_a_scenario_says_what_a_redacted_event_log_knows_of_a_call(tmp_path: Path) -> None:
    """It knows lengths in place of words, names of tools, durations, how responses ended, and who interrupted whom."""
    known: list[Step] = [
        ModelSays("<51 chars>", seconds=5.2, phase="commentary"),
        CallerSays("<43 chars>", seconds=3.4, after=0.8),
        ModelCalls("order_status", "{}"),
        ModelCallsMcp("crm", "lookup", "{}", output="<120 chars>", seconds=2.5, same_response=True),
        ModelSays("<80 chars>", seconds=9.05),
        CallerSays("<12 chars>", interrupting=True, after=1.25, seconds=1.1, transcribed=False),
        ModelFails("content_filter", text="<20 chars>"),
        ModelFails("rate_limit_exceeded", calling="order_status"),
        ModelSaysNothing(),
        ModelSays("<9 chars>", out_of_band=True, as_text=True),
        CallerPresses("0", after=3.0),
        ModelCallsMcp("crm", "note", "{}", error="<30 chars>", approval=True),
        CallerHangsUp(during="tool", after=0.4),
    ]
    path = tmp_path / "call.jsonl"
    write_scenario(known, path)
    assert read_scenario(path) == known


def test_the_page_has_every_field_of_every_step() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, flags=re.MULTILINE))
    for kind in KINDS:
        needs, may = (re.findall(r"`(\w+)`", cell) for cell in rows[kind.__name__].split("|"))
        required = [
            part for part in dataclasses.fields(kind) if part.default is part.default_factory is dataclasses.MISSING
        ]
        assert needs == [part.name for part in required]
        assert sorted(may) == sorted({part.name for part in dataclasses.fields(kind)} - set(needs))
