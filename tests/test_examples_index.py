"""`examples/README.md`: it lists the folder, each example with the command that its docstring has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import realtime_sip
from realtime_sip.testing import read_scenario

FOLDER = Path(__file__).resolve().parents[1] / "examples"
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([\w/]+(?:\.py)?)/?` \| .+ \| `(.+)` \|$", INDEX, flags=re.MULTILINE))
PAGES = FOLDER.parent / "docs"


def test_every_example_is_listed_and_nothing_else() -> None:
    programs = {path.name for path in FOLDER.glob("*.py")}
    applications = {path.parent.name for path in FOLDER.glob("*/README.md")}
    assert set(ROWS) == programs | applications


@pytest.mark.parametrize("name", [name for name in ROWS if name.endswith(".py")])
def test_the_command_is_that_of_the_example(name: str) -> None:
    docstring = ast.get_docstring(ast.parse((FOLDER / name).read_text(encoding="utf-8"))) or ""
    assert ROWS[name] in [line.strip() for line in docstring.splitlines()]


def test_what_is_rung_is_there() -> None:
    # A path is in the example itself, or that of the helper that it takes.
    files = [*FOLDER.rglob("*.py"), *(Path(realtime_sip.__file__).parent / "integrations").glob("*.py")]
    programs = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for url in re.findall(r"http://127\.0\.0\.1:8000(/[\w/]*)", INDEX):
        assert f'"{url}"' in programs or f"`{url}`" in programs, url
    for scenario in re.findall(r"--scenario examples/(\S+)", INDEX):
        assert read_scenario(FOLDER / scenario)


def test_the_pages_show_the_scenario_of_the_examples() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", (PAGES / "testing.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert shown == (FOLDER / "order.jsonl").read_text(encoding="utf-8")
    assert "--scenario examples/order.jsonl" in (PAGES / "ring.md").read_text(encoding="utf-8")
