"""The site that `make docs` builds, in a browser: whole, in both schemes and widths, without any foreign request."""

from __future__ import annotations

import html
import importlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from browser import Page, browser
from public_modules import PUBLIC

pytestmark = pytest.mark.pages

DOCS = Path(__file__).resolve().parents[1] / "docs"
SITE = DOCS.parent / "build" / "site"
TRANSLATED = ["", "first_call/", "prompts/", "ring/", "whatsapp/"]
ENGLISH = [
    "coming_from/",
    "security/",
    "errors/",
    "calls/",
    "twilio/",
    "concepts/call/",
    "reference/root/",
    "reference/clients/",
    "reference/call/",
    "reference/twilio/",
    "reference/errors/",
]
PAGES = [*TRANSLATED, *ENGLISH, *(f"pt/{path}" for path in TRANSLATED)]
NAMED = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]
OTHERS = sorted({f"{name.with_suffix('')}/" for name in NAMED if name.parts[0] != "pt"} - {"index/", *PAGES})
DRAWN = """new Promise(done => {
  const look = () => document.querySelector("pre.mermaid") ? setTimeout(look, 10) : done(
    [...document.querySelectorAll("div.mermaid")].map(drawing => drawing.scrollHeight));
  look();
})"""
"""The heights of a page's diagrams, once all are drawn."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not SITE.is_dir():
        pytest.skip("the site is not built: make docs")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as page:
        yield page


def test_what_a_model_reads_is_built_with_the_site(site: str) -> None:
    assert {path.name for path in SITE.glob("llms*.txt")} == {"llms.txt", "llms-full.txt"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "home")
def test_a_page_of_the_site_is_whole_and_asks_nobody_else_for_anything(
    path: str, width: int, dark: bool, site: str, page: Page
) -> None:
    look(page, site, path, width=width, dark=dark)


@pytest.mark.parametrize("path", OTHERS)
def test_each_other_page_is_whole_on_a_phone(path: str, site: str, page: Page) -> None:
    look(page, site, path, width=390, dark=True)


def look(page: Page, site: str, path: str, *, width: int, dark: bool) -> None:
    """Open a page, and see that it fits and asks nobody else for anything."""
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{site}{path}", width=width, dark=dark)
    assert page.evaluate("document.body.dataset.mdColorScheme") == ("slate" if dark else "default")
    assert page.evaluate("document.querySelector('h1').textContent.length") > 2
    assert page.evaluate("document.documentElement.lang") == ("pt-BR" if path.startswith("pt/") else "en")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in page.requests if not url.startswith((site, "data:"))] == []
    assert page.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_diagrams_are_drawn_by_the_site_itself(width: int, dark: bool, site: str, page: Page) -> None:
    page.requests.clear()
    page.complaints.clear()
    for path in sorted(DOCS.rglob("*.md")):
        diagrams = path.read_text(encoding="utf-8").count("```mermaid\n")
        if diagrams:
            page.open(f"{site}{path.relative_to(DOCS).with_suffix('')}/", width=width, dark=dark)
            heights = page.evaluate(DRAWN)
            assert len(heights) == diagrams
            assert min(heights) > 100
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in page.requests if not url.startswith((site, "data:"))] == []
    assert page.complaints == []


class Links(HTMLParser):
    """What a page leads to, and the places in it that can be led to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.places.add(named.get("id") or "")
        if tag == "a" and named.get("href"):
            self.targets.append(str(named["href"]))


@pytest.mark.usefixtures("site")
def test_every_link_of_both_languages_leads_to_a_page_and_a_place_in_it() -> None:
    pages = {path.parent.relative_to(SITE).as_posix() + "/": Links(path) for path in SITE.rglob("index.html")}
    astray = []
    for name, page in pages.items():
        for target in page.targets:
            url = urlsplit(urljoin(f"http://site/{name}".removesuffix("./"), target))
            if url.netloc == "site":
                led = pages.get(url.path.removeprefix("/") or "./")
                if led is None or unquote(url.fragment) not in led.places:
                    astray.append(f"{name}: {target}")
    assert astray == []


@pytest.mark.usefixtures("site")
def test_the_reference_has_each_public_name_and_no_private_type_is_what_a_method_returns() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in (SITE / "reference").rglob("index.html")}
    places = {place for text in pages.values() for place in re.findall(r'id="(realtime_sip[\w.]*)"', text)}
    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            # A function that is named as its own module is found there.
            assert places & {f"{module}.{name}", f"{module}.{name}.{name}"}, f"{module}.{name}"
    for path, text in pages.items():
        for signature in re.findall(r'<div class="doc-signature.*?</div>', text, flags=re.DOTALL):
            returned = html.unescape(re.sub(r"<[^>]+>", "", signature)).rpartition(" -> ")[2].strip()
            private = returned.startswith("_") and returned.partition(" ")[0] not in GENERIC
            assert not private, f"{path.parent.name}: {returned}"


GENERIC = {"_Function", "_Section"}
"""What is returned as it was given."""


@pytest.mark.parametrize("path", [*TRANSLATED, *ENGLISH], ids=lambda path: path or "home")
def test_the_switch_leads_to_the_page_in_the_other_language_and_back(path: str, site: str, page: Page) -> None:
    page.open(f"{site}{path}")
    assert page.evaluate("document.documentElement.lang") == "en"
    there = path if path in TRANSLATED else ""
    page.follow(".md-select__link[hreflang='pt-BR']")
    assert page.evaluate("location.href") == f"{site}pt/{there}"
    assert page.evaluate("document.documentElement.lang") == "pt-BR"
    page.follow(".md-select__link[hreflang='en']")
    assert page.evaluate("location.href") == f"{site}{there}"
    assert page.evaluate("document.documentElement.lang") == "en"


SEARCH = """new Promise((found) => {
  document.querySelector(".md-search__button").click();
  const look = () => {
    const root = [...document.querySelectorAll("body *")].find((element) => element.shadowRoot)?.shadowRoot;
    const field = root?.querySelector("input");
    if (field && field.value !== "WORDS") {
      field.value = "WORDS";
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const results = [...(root?.querySelectorAll("a[role=option]") ?? [])];
    if (results.length) found(results.map((link) => link.href));
    else requestAnimationFrame(look);
  };
  look();
})"""
"""Types into the search, whose dialog is a shadow tree, and returns where the results lead."""


SAID = """(() => {
  const root = [...document.body.children].find((element) => element.shadowRoot).shadowRoot;
  const named = [...root.querySelectorAll("[aria-label], [placeholder]")];
  const names = named.flatMap((element) => [element.ariaLabel, element.placeholder]);
  const title = root.querySelector("[role=status]").textContent;
  return [...names, title].join(" | ");
})()"""
"""What the search's dialog says in words of its own."""


@pytest.mark.parametrize("words", ["código de saída", "codigo de saida"])
def test_a_reader_of_portuguese_finds_pages_with_accents_and_without(words: str, site: str, page: Page) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{site}pt/")
    found = page.evaluate(SEARCH.replace("WORDS", words))
    assert f"{site}pt/ring/#com-um-cenario" in found
    said = page.evaluate(SAID)
    assert "Buscar" in said
    assert re.search(r"\d resultados?\b", said)
    assert re.findall(r"\b(?:Search|results?|Filters|Close)\b", said) == []
    assert [url for url in page.requests if not url.startswith((site, "data:"))] == []
    assert page.complaints == []
