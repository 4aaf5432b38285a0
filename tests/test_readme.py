"""The README: its examples run, and what it shows of the example server is what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from realtime_sip import EndReason

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PROGRAMS = [block for block in BLOCKS if block.startswith("import ")]
TESTS = [block for block in BLOCKS if "def test_" in block]
EXCERPTS = [block for block in BLOCKS if block not in PROGRAMS and block not in TESTS]
EXAMPLES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{len(program)} characters")
def test_the_programs_of_the_readme_run_and_print_what_they_say(program: str) -> None:
    expected = re.findall(r"^#> (.*)$", program, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected


def test_the_test_of_the_readme_runs_beside_the_example_and_is_ten_lines(tmp_path: Path) -> None:
    (test,) = TESTS
    assert len(test[test.index("async def") :].splitlines()) <= 10
    (tmp_path / "test_shop.py").write_text("from __future__ import annotations\n\n" + test, encoding="utf-8")
    settings = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    (tmp_path / "pytest.ini").write_text(settings, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "examples"), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.strip().splitlines()[0][:40])
def test_what_the_readme_shows_of_an_example_is_its_text(excerpt: str) -> None:
    """The examples themselves are run by test_examples.py."""
    assert [name for name, text in EXAMPLES.items() if excerpt in text]


def test_every_example_is_named_in_the_readme() -> None:
    assert {name for name in EXAMPLES if f"(examples/{name})" in README} == set(EXAMPLES)


def test_the_ends_that_the_readme_lists_are_all_there_are() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` +\|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(reason.name for reason in EndReason)


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"^\$ (make \w+)", README, flags=re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands:
        assert f"\n{command.removeprefix('make ')}:" in makefile


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
