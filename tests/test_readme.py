"""README and docs: what they show runs, and what they show of an example is its text."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import realtime_sip
from ports import free_port
from public_modules import PUBLIC
from realtime_sip import EndReason, ThreadCallHost
from realtime_sip.cli.demo_chain import run_chain
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    Timings,
    run_virtual,
)
from realtime_sip.twilio import TwilioSignature
from serving import serving, serving_wsgi

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PORTUGUESE = ROOT / "docs" / "pt"
DOCS = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}
PAGES = "\n".join([README, *DOCS.values()])
NOT_RUN = re.compile(r"^<!-- not run: .+ -->\n```python\n.*?^```$", flags=re.MULTILINE | re.DOTALL)
SERVER, *BLOCKS = re.findall(r"^```python\n(.*?)^```$", NOT_RUN.sub("", PAGES), flags=re.MULTILINE | re.DOTALL)
# What the Portuguese pages have unchanged is run once.
PROGRAMS = [*dict.fromkeys(block for block in BLOCKS if block.startswith("import ") or "\n#>" in block)]
TESTS = [block for block in BLOCKS if "def test_" in block]
NAMED = re.compile(r"# ([\w/]+\.py)\n")
FILES = [block for block in BLOCKS if NAMED.match(block)]
(SERVER_IN_PORTUGUESE,) = re.findall(
    r"^```python\n(from fastapi .*?)^```$", DOCS[PORTUGUESE / "first_call" / "index.md"], flags=re.MULTILINE | re.DOTALL
)
EXCERPTS = [block for block in BLOCKS if block not in [*PROGRAMS, *TESTS, *FILES, SERVER_IN_PORTUGUESE]]
PATIENT = Timings(least_patience=60)
"""A server that is slow because the machine is busy is not given up."""
EXAMPLES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}


@asynccontextmanager
async def pasted(program: str, folder: Path, openai: OpenAIEmulator) -> AsyncIterator[str]:
    """Serve a program as the README says, from `server.py` in a folder; hand out the webhook's URL."""
    (command,) = re.findall(r"\$ (uvicorn [\w:]+)\n", README)
    (folder / "server.py").write_text(program, encoding="utf-8")
    port = free_port()
    log = folder / "log"
    with log.open("w") as output:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", *command.split(), "--port", str(port)),
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "OPENAI_API_KEY": openai.api_key,
                "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
                "OPENAI_BASE_URL": openai.base_url,
            },
            stdout=output,
            stderr=output,
        )
        try:
            while f":{port}" not in log.read_text():
                assert server.returncode is None, log.read_text()
                await asyncio.sleep(0.05)
            yield f"http://127.0.0.1:{port}/openai/webhook"
            server.terminate()
        except BaseException:
            server.kill()
            raise
        finally:
            await server.wait()
    assert "Traceback" not in log.read_text(), log.read_text()
    (printed,) = re.findall(r"^(caller \(.*)$", DOCS[ROOT / "docs" / "first_call.md"], flags=re.MULTILINE)
    assert printed in log.read_text().splitlines()


@pytest.mark.parametrize(
    ("program", "output"),
    [(SERVER, "tomorrow before noon"), (SERVER_IN_PORTUGUESE, "amanhã, até o meio-dia")],
    ids=["english", "portuguese"],
)
async def test_the_program_of_the_readme_answers_a_call_as_pasted(program: str, output: str, tmp_path: Path) -> None:
    # A server's first call takes a second on a busy machine, and a phone that rings 20 times as fast gives it no more.
    async with OpenAIEmulator(speed=20, timings=PATIENT) as openai, pasted(program, tmp_path, openai) as url:
        scenario = [
            ModelSays("Hello."),
            CallerSays("Where is 1042?"),
            ModelCalls("order_status", {"order_id": "1042"}),
            ModelSays("It arrives tomorrow."),
            CallerHangsUp(),
        ]
        ringing = await openai.ring(url, scenario=scenario)
        assert (await ringing.ended(timeout=60)).by is EndedBy.CALLER
        assert [answer.status_code for answer in ringing.webhook_responses] == [200]
        created = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
        assert [output in item["output"] for item in created] == [True]
        assert ringing.notes == []


def test_the_readme_begins_with_a_whole_program_then_installs_it_then_tries_it() -> None:
    assert README.index("```python\n") < 300
    assert SERVER.startswith("from fastapi import ")
    sections = re.findall(r"^## (.*)$", README, flags=re.MULTILINE)
    assert sections[:2] == ["Install", "Try it without an account"]
    assert "$ realtime-sip demo\n" in README


def test_the_demo_shows_what_the_readme_says(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(r"^```text\n(A WhatsApp call.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    assert run_virtual(run_chain())
    times = re.compile(r"^ *[0-9]+\.[0-9]{2}s", flags=re.MULTILINE)
    assert times.sub("", shown) in times.sub("", capsys.readouterr().out)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{len(program)} characters")
def test_the_programs_of_the_docs_run_and_print_what_they_say(program: str) -> None:
    expected = re.findall(r"^#> ?(.*)$", program, flags=re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected


def test_the_test_of_the_docs_runs_beside_the_example_and_is_ten_lines(tmp_path: Path) -> None:
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


def written(page: str, folder: Path) -> None:
    """Write the files of a page below a folder, where Python finds them, or add to what is there."""
    for block in re.findall(r"^```python\n(.*?)^```$", DOCS[ROOT / "docs" / page], flags=re.MULTILINE | re.DOTALL):
        named = NAMED.match(block)
        if named is not None:
            (folder / named[1]).parent.mkdir(parents=True, exist_ok=True)
            if (folder / named[1]).parent != folder:
                # As an application has it; a module of that name elsewhere would come first without.
                (folder / named[1]).parent.joinpath("__init__.py").touch()
            with (folder / named[1]).open("a", encoding="utf-8") as file:
                file.write(block)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what writes the files of a page, from which modules can be imported until the test ends."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda page: written(page, tmp_path)
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def keys_of(openai: OpenAIEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai.api_key)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", openai.webhook_secret)
    monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)


async def answers(openai: OpenAIEmulator, url: str) -> None:
    """Check that a call is answered there."""
    ringing = await openai.ring(url, scenario=[ModelSays("Hello."), CallerHangsUp()])
    assert (await ringing.ended(timeout=60)).by is EndedBy.CALLER
    assert [answer.status_code for answer in ringing.webhook_responses] == [200]


def test_each_page_of_a_framework_goes_from_an_application_to_a_call_in_under_20_lines() -> None:
    for page in ("fastapi.md", "flask.md", "django.md"):
        blocks = re.findall(r"^```python\n(.*?)^```$", DOCS[ROOT / "docs" / page], flags=re.MULTILINE | re.DOTALL)
        first = next(block for block in blocks if NAMED.match(block))
        assert len([line for line in first.splitlines()[1:] if line.strip()]) < 20


async def test_the_lines_of_the_page_on_fastapi_answer_a_call(
    beside: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside("fastapi.md")
    importlib.import_module("routes")
    async with OpenAIEmulator(speed=20, timings=PATIENT) as openai:
        keys_of(openai, monkeypatch)
        module = importlib.import_module("main")
        async with module.client, serving(module.app) as url:
            await answers(openai, url)


async def test_the_lines_of_the_page_on_flask_answer_a_call(
    beside: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside("flask.md")
    importlib.import_module("views")
    async with OpenAIEmulator(speed=20, timings=PATIENT) as openai:
        keys_of(openai, monkeypatch)
        module = importlib.import_module("main")
        with serving_wsgi(module.app) as url:
            await answers(openai, f"{url}/openai/webhook")
        await asyncio.to_thread(module.host.close)
        host = ThreadCallHost(module.on_call, client=module.client)
        signature = TwilioSignature("a token", "https://voice.example.com")
        client = importlib.import_module("shop").create_app(host, signature).test_client()
        assert [client.get("/health/ready").status_code, client.post("/twilio/voice").status_code] == [200, 403]


RING_COLUMN = """
import asyncio, importlib, os, sys
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, Timings
from serving import serving_wsgi

async def main():
    async with OpenAIEmulator(speed=20, timings=Timings(least_patience=60)) as openai:
        os.environ |= {
            "OPENAI_API_KEY": openai.api_key,
            "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
            "OPENAI_BASE_URL": openai.base_url,
        }
        module = importlib.import_module(sys.argv[1])
        with serving_wsgi(module.app) as url:
            ringing = await openai.ring(f"{url}/openai/webhook", scenario=[ModelSays("Hello."), CallerHangsUp()])
            print((await ringing.ended(timeout=60)).by, [answer.status_code for answer in ringing.webhook_responses])
        # While OpenAI is still there to hear of it; else the exit waits for the call until the drain is over.
        if sys.argv[1] == "after":
            await asyncio.to_thread(module.host.close)

asyncio.run(main())
"""


@pytest.mark.parametrize("column", ["before", "after"])
def test_both_columns_of_the_page_for_those_who_come_answer_a_call(column: str, tmp_path: Path) -> None:
    """In a process of its own: the thread of the left one ends with nothing else."""
    written("coming_from.md", tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests"), *sys.path])}
    command = [sys.executable, "-c", RING_COLUMN, column]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{EndedBy.CALLER} [200]" in done.stdout


RING_DJANGO = """
import asyncio, os
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, Timings
from serving import serving_wsgi

async def main():
    async with OpenAIEmulator(speed=20, timings=Timings(least_patience=60)) as openai:
        os.environ |= {
            "OPENAI_API_KEY": openai.api_key,
            "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
            "OPENAI_BASE_URL": openai.base_url,
        }
        import mysite.asgi, mysite.own_urls, shop.calls
        from django.core.management import call_command
        from django.core.wsgi import get_wsgi_application
        with serving_wsgi(get_wsgi_application()) as url:
            await asyncio.to_thread(call_command, "check")
            ringing = await openai.ring(f"{url}/openai/webhook", scenario=[ModelSays("Hello."), CallerHangsUp()])
            print((await ringing.ended(timeout=60)).by, [answer.status_code for answer in ringing.webhook_responses])
        await asyncio.to_thread(shop.calls.host.close)

asyncio.run(main())
"""


def test_the_lines_of_the_page_on_django_answer_a_call(tmp_path: Path) -> None:
    """In a new project, and in a process of its own, since Django has one set of settings."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "mysite", "."], cwd=tmp_path, check=True)
    written("django.md", tmp_path)
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "tests"), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "mysite.settings"}
    done = subprocess.run(
        [sys.executable, "-c", RING_DJANGO], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{EndedBy.CALLER} [200]" in done.stdout


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.strip().splitlines()[0][:40])
def test_what_a_page_shows_of_an_example_is_its_text(excerpt: str) -> None:
    """The examples themselves are run by test_examples.py."""
    assert excerpt == SERVER or [name for name, text in EXAMPLES.items() if excerpt in text]


def test_every_example_is_named_in_the_readme() -> None:
    assert {name for name in EXAMPLES if f"`examples/{name}`" in README} == set(EXAMPLES)


def test_every_page_is_named_in_the_readme_and_in_the_menu_of_the_site() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in DOCS:
        inside = path.relative_to(ROOT / "docs")
        if path.is_relative_to(PORTUGUESE):  # test_portuguese.py has their menu
            continue
        assert f": {inside}\n" in menu
        if inside.parts[0] not in ("index.md", "reference"):
            assert f"`docs/{inside}`" in README


def test_the_reference_has_a_page_for_each_public_module() -> None:
    shown = {name for text in DOCS.values() for name in re.findall(r"^::: ([\w.]+)$", text, flags=re.MULTILINE)}
    assert shown >= {"realtime_sip", *PUBLIC} - {"realtime_sip.integrations"}


def test_the_reference_of_the_root_has_each_of_its_names_once() -> None:
    root = DOCS[ROOT / "docs" / "reference" / "root.md"]
    assert sorted(re.findall(r"\[`(\w+)`\]\[", root)) == realtime_sip.__all__


def test_the_ends_that_the_docs_list_are_all_there_are() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` +\|", DOCS[ROOT / "docs" / "calls.md"], flags=re.MULTILINE)
    assert sorted(listed) == sorted(reason.name for reason in EndReason)


def test_the_commands_of_the_readme_are_in_the_makefile() -> None:
    commands = re.findall(r"^\$ make (\w+)", README, flags=re.MULTILINE)
    assert commands[:2] == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in commands:
        assert f"\n{command}:" in makefile


def test_the_readme_has_no_relative_link_and_the_files_it_names_are_there() -> None:
    """It is shown where there is no file beside it."""
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://"), target
    named = re.findall(r"`((?:docs|examples)/[\w./]+|[A-Z]+\.md)`", PAGES)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_a_page_of_the_site_leads_to_others_by_links() -> None:
    for page, text in DOCS.items():
        if page.name != "architecture.md":  # for whoever has the files
            assert re.findall(r"`docs/[\w/]+\.md`", text) == [], page


def test_the_links_of_the_docs_lead_somewhere() -> None:
    for page, text in DOCS.items():
        if page.is_relative_to(PORTUGUESE):  # test_portuguese.py has their links
            continue
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_extra_that_is_named_is_there() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(tomllib.loads(project)["project"]["optional-dependencies"])
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    lists = re.findall(r"realtime-sip\[([\w,]+)\]", project + PAGES + sources)
    needed = re.findall(r'MissingExtraError\([^"]*"[^"]*", "(\w+)"\)', sources)
    named = {name for each in [*lists, *needed] for name in each.split(",")}
    assert {"redis", "postgres", "cli"} <= named <= extras


def test_no_package_index_is_named() -> None:
    """Whoever installs this has an index of their own choice."""
    index = re.compile(r"pypi|pythonhosted|anaconda\.org", re.IGNORECASE)
    folders = [ROOT / name for name in ("src", "docs", "examples", "bench")]
    files = [ROOT / name for name in ("README.md", "CHANGELOG.md", "pyproject.toml", "Makefile")]
    files += [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".md", ".toml")]
    assert [str(path) for path in files if index.search(path.read_text(encoding="utf-8"))] == []
