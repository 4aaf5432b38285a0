"""The site that `make docs` builds, in a browser: whole, in both schemes and widths, without any foreign request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from browser import Page, browser

pytestmark = pytest.mark.pages

DOCS = Path(__file__).resolve().parents[1] / "docs"
SITE = DOCS.parent / "build" / "site"
PAGES = ["", "first_call/", "calls/", "twilio/", "concepts/call/", "reference/root/", "reference/errors/"]
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path or "home")
def test_a_page_of_the_site_is_whole_and_asks_nobody_else_for_anything(
    path: str, width: int, dark: bool, site: str, page: Page
) -> None:
    page.requests.clear()
    page.complaints.clear()
    page.open(f"{site}{path}", width=width, dark=dark)
    assert page.evaluate("document.body.dataset.mdColorScheme") == ("slate" if dark else "default")
    assert page.evaluate("document.querySelector('h1').textContent.length") > 2
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
