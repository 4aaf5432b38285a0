"""Writes what a language model reads of the site: `python docs/llms.py SITE` makes llms.txt and llms-full.txt.

llms.txt has the pages in the order of the menu, each with its first sentence, and leads to their Markdown, which is put
into the site as well. llms-full.txt has all of them in one text; the reference is named, and is read from docstrings.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent
CONFIG = DOCS.parent / "mkdocs.yml"
REFERENCE = "reference/"


class _Config(yaml.SafeLoader):
    """A loader that takes the names of Python objects in a config for text."""


_Config.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, name, _node: name)


def config() -> dict[str, Any]:
    """Return the site's config."""
    return yaml.load(CONFIG.read_text(encoding="utf-8"), Loader=_Config)  # noqa: S506 - a SafeLoader


def sections(menu: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the sections of a menu, each with the titles and files of its pages. Pages without one come first."""
    alone: list[tuple[str, str]] = []
    named: list[tuple[str, list[tuple[str, str]]]] = []
    for entry in menu:
        for title, what in entry.items():
            if isinstance(what, str):
                alone.append((title, what))
            else:
                named.append((title, [pair for page in what for pair in page.items()]))
    return [("Pages", alone), *named]


def first_sentence(text: str) -> str:
    """Return the first sentence of a page as plain text."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    paragraph = next(
        part for part in body.split("\n\n") if part.strip() and not part.lstrip().startswith(("#", "<", "```"))
    )
    plain = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", " ".join(paragraph.split()))
    return re.split(r"(?<=\.)\s", plain)[0].rstrip(":")


def write(site: Path) -> None:
    """Write both texts, and the Markdown of the pages, into a built site."""
    known = config()
    short = [f"# {known['site_name']}", f"> {known['site_description']}"]
    whole = list(short)
    for section, pages in sections(known["nav"]):
        lines = []
        for title, file in pages:
            if file.startswith(REFERENCE):
                lines.append(f"- [{title}]({file.removesuffix('.md')}/)")
                continue
            text = (DOCS / file).read_text(encoding="utf-8")
            lines.append(f"- [{title}]({file}): {first_sentence(text)}")
            whole.append(f"<!-- {file} -->\n\n{text.strip()}")
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(text, encoding="utf-8")
        short.append(f"## {section}\n\n" + "\n".join(lines))
    (site / "llms.txt").write_text("\n\n".join(short) + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(whole) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
