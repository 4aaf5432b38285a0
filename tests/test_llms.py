"""`docs/llms.py`: llms.txt has each page of the menu, in its order, and leads to Markdown that is there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "llms.py"))


@pytest.fixture(scope="module")
def site(script: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    script["write"](folder)
    return folder


def test_each_page_of_the_menu_is_there_in_its_order(site: Path, script: dict[str, Any]) -> None:
    pages = [file for _, pages in script["sections"](script["config"]()["nav"]) for _, file in pages]
    text = (site / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\)", text, flags=re.MULTILINE)
    assert [re.sub(r"/$", ".md", target) for target in listed] == pages
    english = {path.relative_to(DOCS) for path in DOCS.rglob("*.md")}
    assert {str(path) for path in english if path.parts[0] != "pt"} == set(pages)


def test_it_begins_as_the_convention_has_it_and_each_page_has_a_sentence(site: Path) -> None:
    text = (site / "llms.txt").read_text(encoding="utf-8")
    assert re.match(r"# realtime-sip\n\n> .+\n\n## ", text)
    for line in re.findall(r"^- .*\.md\).*$", text, flags=re.MULTILINE):
        assert len(line.partition("): ")[2]) > 20, line


def test_the_markdown_is_that_of_the_pages_and_all_of_it_is_in_one_text(site: Path) -> None:
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    copies = list(site.rglob("*.md"))
    assert copies
    for copy in copies:
        text = (DOCS / copy.relative_to(site)).read_text(encoding="utf-8")
        assert copy.read_text(encoding="utf-8") == text
        assert text.strip() in whole
