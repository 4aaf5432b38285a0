"""Every block of the pages and docstrings is of a kind that some test executes, and commands are those that there are.

Python is run by test_readme.py; a block that cannot be is marked `<!-- not run: why -->`, and is parsed here.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path

import pytest
import yaml

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall
from realtime_sip.cli import main, parser
from realtime_sip.integrations.fastapi import health

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]+) -->\n)?```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
KINDS = {
    "python": "tests/test_readme.py",
    "console": "here",
    "sh": "tests/servers/test_sigterm.py",
    "json": "tests/test_examples_index.py",
    "javascript": "tests/cli/test_ring_servers.py",
    "mermaid": "tests/test_site.py",
    "yaml": "here",
    "text": "beside the command that prints it",
}
BLOCKS = [
    (page, found["mark"] or "", found["kind"], found["text"])
    for page, text in PAGES.items()
    for found in FENCE.finditer(text)
]
COMMANDS = {
    (page, line.removeprefix("$ "))
    for page, _, kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
}
OTHERS = (
    "pip install ",
    "make ",
    "export ",
    "uvicorn ",
    "gunicorn ",
    "python manage.py ",
    "cloudflared ",
    "ngrok ",
    "npx ",
)
SHOWN_BY = {
    "docs/ring.md": "tests/cli/test_ring.py",
    "docs/first_call.md": "tests/cli/test_first_call.py",
    "docs/inspect.md": "tests/cli/test_inspect.py",
    "docs/migration.md": "here",
}
"""Pages with commands whose output is shown, and the test that compares it."""
WITH_FILES = {
    *("docs/fastapi.md", "docs/flask.md", "docs/django.md", "docs/first_call.md", "docs/coming_from.md"),
    "docs/doctor.md",
}
"""Pages whose files are written and run, by test_readme.py, test_first_call.py and test_doctor_page.py."""


def test_each_block_has_a_kind_that_something_executes() -> None:
    assert {kind for _, _, kind, _ in BLOCKS} <= set(KINDS)
    for page, mark, kind, text in BLOCKS:
        if mark.startswith("not run: "):
            assert kind == "python", page
            ast.parse(text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_no_code_hides_in_an_indented_block(page: Path) -> None:
    outside = FENCE.sub("", PAGES[page])
    assert re.findall(r"(?<=\n\n) {4}[^ \n|*-][^\n]*", outside) == []


def test_no_docstring_has_a_fence_that_no_test_runs() -> None:
    """Examples there are doctests, which tests/laws/test_exports.py runs."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                assert "\n```" not in (ast.get_docstring(node) or ""), path


@pytest.mark.parametrize(("page", "command"), sorted(COMMANDS), ids=str)
def test_each_command_is_one_that_there_is(page: Path, command: str) -> None:
    for part in command.partition("   #")[0].split(" | "):
        words = shlex.split(part.replace("</dev/null", ""))
        if words[0] == "realtime-sip":
            parser().parse_args(words[1:])
        elif part is command or words[0] not in ("echo", "psql"):
            assert command.startswith(OTHERS), command


def test_the_output_of_a_command_is_compared_by_some_test() -> None:
    shown = {
        str(page)
        for page, _, kind, text in BLOCKS
        if kind == "console"
        and page.parts[:2] != ("docs", "pt")
        and any(not line.startswith("$ ") for line in text.splitlines())
    }
    assert shown <= set(SHOWN_BY)


def test_pages_with_files_are_those_whose_files_are_run() -> None:
    named = {
        str(page)
        for page, mark, kind, text in BLOCKS
        if kind == "python" and not mark and re.match(r"# [\w/]+\.py\n", text) and page.parts[:2] != ("docs", "pt")
    }
    assert named <= WITH_FILES


async def busy(_: IncomingCall) -> int:
    return 486


def test_a_process_has_the_time_to_drain_and_the_probes_ask_what_is_answered() -> None:
    page = PAGES[Path("docs/deploying.md")]
    pod, compose = (yaml.safe_load(text) for _, _, kind, text in BLOCKS if kind == "yaml")
    needed = 10 + inspect.signature(CallHost).parameters["drain_timeout"].default
    (container,) = pod["spec"]["containers"]
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == wait + needed
    assert compose["services"]["shop"]["stop_grace_period"] == f"{needed:g}s"
    assert re.findall(r"docker stop -t (\d+)", page) == [f"{needed:g}"]
    (port,) = (each["containerPort"] for each in container["ports"])
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {port}
    client = AsyncRealtimeSip("sk-example", webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    routes = health(CallHost(busy, client=client)).routes
    assert {probe["path"] for probe in probes} <= {getattr(route, "path", "") for route in routes}


def test_what_migrate_prints_is_what_its_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ((command, shown),) = re.findall(
        r"^\$ (realtime-sip migrate [^\n]*)\n(.*?)^```$",
        PAGES[Path("docs/migration.md")],
        flags=re.MULTILINE | re.DOTALL,
    )
    for folder in shlex.split(command)[2:]:
        (tmp_path / folder).mkdir()
    lines = [*[""] * 11, 'HEADERS = {"of": 1, "OpenAI-Beta": "realtime=v1"}', "VOICE = 1", "def update(put):"]
    lines += [*[""] * 26, '    put({"type": "session.update", "session": {"voice": VOICE}})']
    (tmp_path / "src" / "bridge.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    main(shlex.split(command)[1:])
    assert capsys.readouterr().out == shown
