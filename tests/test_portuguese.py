"""The Portuguese pages: each has the structure, the code, the links and the numbers of the English one."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, PORTUGUESE = ROOT / "docs", ROOT / "docs" / "pt"
CONFIGS: dict[str, dict[str, Any]] = {
    name: yaml.safe_load((ROOT / name).read_text(encoding="utf-8").replace("!!python/name:", ""))
    for name in ("mkdocs.yml", "mkdocs.pt.yml")
}
NAMES = sorted(str(path.parent.relative_to(PORTUGUESE)) for path in PORTUGUESE.rglob("index.md"))
PAGES = {
    name: (
        (ENGLISH / ("index.md" if name == "." else f"{name}.md")).read_text(encoding="utf-8"),
        (PORTUGUESE / name / "index.md").read_text(encoding="utf-8"),
    )
    for name in NAMES
}
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def sections(page: str) -> list[str]:
    """Return the sections of a page, without its code."""
    return re.split(r"^(?=#{1,6} )", FENCE.sub("", page), flags=re.MULTILINE)[1:]


def cells(row: str) -> list[str]:
    """Return what stands between the bars of a row of a table."""
    return re.split(r"(?<!\\)\|", re.sub(r"`[^`]*`", "`…`", row))[1:-1]


def outline(page: str) -> list[str]:
    """Return what a page is built of: headings, code, rows of tables, and entries of lists."""
    plain = FENCE.sub(lambda fence: f"```{fence[1]}\n", page)
    kinds = {r"(#+) ": "heading {}", r"```(\w+)": "code {}", r"\| ": "row", r"- ": "bullet", r"\d+\. ": "number"}
    found = []
    for line in plain.splitlines():
        for start, kind in kinds.items():
            if match := re.match(start, line):
                found.append(kind.format(*match.groups()) + (f" of {len(cells(line))}" if kind == "row" else ""))
    return found


def code(language: str, text: str) -> str:
    """Return code without texts and phone numbers, and Python without comments and what it prints."""
    if language == "javascript":
        return re.sub(r'(?<=instructions: )"[^"\n]*"', '""', text)
    if language != "python":
        return re.sub(r"\+\d{6,}", "+", text)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        if isinstance(node, ast.Call):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "locale"]
    return ast.dump(tree)


def spans(section: str) -> set[str]:
    """Return the code in the prose of a section, without what somebody says in it."""
    found = {re.sub(r'"[^"]*"', '"…"', span) for span in re.findall(r"`([^`\n]+)`", section)}
    return {span for span in found if not re.search(r"^[A-Z][a-z]+ |[.?!]$", span)}


def numbers(section: str) -> set[int]:
    """Return the numbers in the prose of a section, with the separators of either language."""
    prose = LINK.sub("]", re.sub(r"`[^`\n]+`", "", section))
    return {int(re.sub(r"\D", "", number)) for number in re.findall(r"\d+(?:[.,]\d+)*", prose)}


def page_of(target: str, name: str) -> str:
    """Return the English page that a link on a Portuguese page leads to, or whose translation it leads to."""
    path, sign, anchor = target.partition("#")
    if target.startswith("https://") or not path:
        return target
    inside = (PORTUGUESE / name / path).resolve()
    if inside.is_relative_to(PORTUGUESE):
        assert inside.is_file(), target
        found = ENGLISH / inside.relative_to(PORTUGUESE).parent
    else:
        assert path.endswith("/"), f"{target}: an English page is a folder of the site"
        found = inside
    page = ENGLISH / "index.md" if found == ENGLISH else found.with_suffix(".md")
    assert page.is_file(), target
    return f"{page.relative_to(ENGLISH)}{sign}{anchor}"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_built_as_the_english_one_is(name: str) -> None:
    english, portuguese = PAGES[name]
    assert outline(portuguese) == outline(english)


@pytest.mark.parametrize("name", NAMES)
def test_the_code_of_a_page_is_that_of_the_english_one_but_for_what_is_said(name: str) -> None:
    english, portuguese = PAGES[name]
    assert [code(*fence) for fence in FENCE.findall(portuguese)] == [code(*fence) for fence in FENCE.findall(english)]


@pytest.mark.parametrize("name", NAMES)
def test_each_section_names_the_same_code_and_the_same_numbers(name: str) -> None:
    english, portuguese = PAGES[name]
    for ours, theirs in zip(sections(portuguese), sections(english), strict=True):
        heading = ours.partition("\n")[0]
        assert (heading, spans(ours)) == (heading, spans(theirs))
        assert (heading, numbers(ours)) == (heading, numbers(theirs))


@pytest.mark.parametrize("name", NAMES)
def test_each_section_leads_to_the_same_pages(name: str) -> None:
    english, portuguese = PAGES[name]
    for ours, theirs in zip(sections(portuguese), sections(english), strict=True):
        assert {page_of(target, name) for target in LINK.findall(ours)} == set(LINK.findall(theirs))


def test_a_link_that_leads_nowhere_is_found() -> None:
    for target in ("../../nothing/", "../nothing/index.md", "../../ring.md"):
        with pytest.raises(AssertionError):
            page_of(target, "whatsapp")


# --- how it reads -----------------------------------------------------------------------------------------------------

PATTERNS = {
    r"\b(?:v(?:ou|ai|amos|ão)|ir(?:á|ão|ei)) estar \w+ndo\b": "vai receber, e não vai estar recebendo",
    r"\best(?:ou|á|ão|amos) a \w+[aei]r\b": "está rodando, e não está a rodar",
    r"(?i)\b(?:ficheiro|utilizador|ecrã|telemóvel|aceder|partilhar|descarregar|palavra-passe)\w*\b": "arquivo, usuário",
    r"(?i)\b(?:fact|contact|object|project|direct|correct|except|regist|control)os?\b": "fato; registro; controle",
    r"(?i)\b(?:por defeito|a correr|correr o servidor|linha de comandos)\b": "por padrão, rodar",
    r"(?i)\b(?:tu|vós|teus?|tuas?|vosso|convosco)\b": "você",
    r"(?i)\b(?:chamador|discador|suporta[mr]?|endereçar|ligar ao|telefonar)\b": "quem liga; aceita; ligar para",
}
"""What no Brazilian developer would write, each with what is said in its place."""


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_in_brazil(name: str) -> None:
    prose = " ".join(FENCE.sub("", PAGES[name][1]).split())
    hits = [(match[0], better) for pattern, better in PATTERNS.items() for match in re.finditer(pattern, prose)]
    assert hits == []


@pytest.mark.parametrize(
    "sentence",
    ["O servidor vai estar recebendo a ligação.", "Está a correr.", "Abra o ficheiro.", "Indica o teu token."],
)
def test_the_patterns_catch_what_is_not_said_in_brazil(sentence: str) -> None:
    assert any(re.search(pattern, sentence) for pattern in PATTERNS)


# --- the two sites ----------------------------------------------------------------------------------------------------


def test_the_two_sites_are_set_up_alike() -> None:
    english, portuguese = (dict(config) for config in CONFIGS.values())
    for same in ("site_name", "use_directory_urls", "markdown_extensions"):
        assert portuguese[same] == english[same]

    def look(theme: dict[str, Any]) -> dict[str, Any]:
        names = [{**palette, "toggle": palette["toggle"]["icon"]} for palette in theme["palette"]]
        return {**theme, "language": "", "palette": names}

    assert look(portuguese["theme"]) == look(english["theme"])
    assert (english["theme"]["language"], portuguese["theme"]["language"]) == ("en", "pt-BR")
    assert (english["site_dir"], portuguese["site_dir"]) == ("build/site", "build/site/pt")


def test_the_switch_knows_which_pages_are_there_in_both_languages() -> None:
    english, portuguese = (config["extra"] for config in CONFIGS.values())
    translated = sorted(f"{name}/" for name in NAMES if name != ".")
    assert sorted(english["translated"]) == sorted(portuguese["translated"]) == translated
    assert [each["link"] for each in english["alternate"]] == ["./", "pt/"]
    assert [each["link"] for each in portuguese["alternate"]] == ["../", "./"]
    for each in ("name", "lang"):
        assert [one[each] for one in english["alternate"]] == [one[each] for one in portuguese["alternate"]]


def entries(menu: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the titles and targets of a menu."""
    pairs = [pair for entry in menu for pair in entry.items()]
    return [each for title, what in pairs for each in ([(title, what)] if isinstance(what, str) else entries(what))]


def test_the_menu_has_each_page_and_leads_to_the_english_ones_by_their_english_titles() -> None:
    menu = entries(CONFIGS["mkdocs.pt.yml"]["nav"])
    english = {target.removesuffix(".md"): title for title, target in entries(CONFIGS["mkdocs.yml"]["nav"])}
    own = [target for _, target in menu if not target.startswith("../")]
    assert sorted(own) == sorted("index.md" if name == "." else f"{name}/index.md" for name in NAMES)
    for title, target in menu:
        if target.startswith("../"):
            assert english[target.removeprefix("../").rstrip("/")] == title


def test_both_sites_are_built_by_one_command() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ndocs:")[2].partition("\n\n")[0]
    assert re.findall(r"build --strict -f (\S+)", recipe) == list(CONFIGS)
