"""The README: its examples run, and what it shows of the example server is what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PROGRAMS = [block for block in BLOCKS if block.startswith("import ")]
EXCERPTS = [block for block in BLOCKS if block not in PROGRAMS]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{len(program)} characters")
def test_the_programs_of_the_readme_run_and_print_what_they_say(program: str) -> None:
    expected = re.findall(r"^#> (.*)$", program, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.strip().splitlines()[0][:40])
def test_what_the_readme_shows_of_the_example_server_is_its_text(excerpt: str) -> None:
    """The server itself is run by test_demo.py."""
    assert excerpt in (ROOT / "examples" / "fastapi_server.py").read_text(encoding="utf-8")


def test_the_readme_begins_with_the_two_commands() -> None:
    commands = re.findall(r"^\$ (make \w+)", README, flags=re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands:
        assert f"\n{command.removeprefix('make ')}:" in makefile


def test_the_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target
