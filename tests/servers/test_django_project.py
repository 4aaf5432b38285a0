"""The example of a shop in Django: under servers of both kinds, by its own tests, its checks and its commands."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from started import SOURCE, Server, started

from realtime_sip.testing import CallerHangsUp, CallerSays, EndedBy, ModelCalls, ModelSays, OpenAIEmulator, Timings
from realtime_sip.testing.on_thread import EmulatorOnThread

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "django_project"
SPEED = 20.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED)
ORDERS, SERVICE = "+14155550110", "+14155550120"
SERVERS = [
    Server(
        "gunicorn-uvicorn-worker",
        "gunicorn bookshop.asgi -k uvicorn_worker.UvicornWorker -w {workers} -b 127.0.0.1:{port}",
        ("gunicorn", "uvicorn_worker"),
    ),
    Server(
        "gunicorn-gthread",
        "gunicorn bookshop.wsgi -k gthread --threads 8 -w {workers} -b 127.0.0.1:{port}",
        ("gunicorn",),
    ),
]
KEYS = {"OPENAI_API_KEY": "sk-example", "OPENAI_WEBHOOK_SECRET": "whsec_YSBzZWNyZXQgb2YgdGhlIGVtdWxhdG9y"}


def python(project: Path, *words: str, **environment: str) -> str:
    """Run Python in the project, whatever keys this shell has, and return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PG", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=project,
        env={**kept, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


PREPARED = """
import os, django
from django.core.management import call_command
django.setup()
call_command("migrate", verbosity=0)
call_command("loaddata", "sample_orders", verbosity=0)
call_command("createsuperuser", interactive=False, email="root@example.com", verbosity=0)
"""
SUPERUSER = {"DJANGO_SUPERUSER_USERNAME": "root", "DJANGO_SUPERUSER_PASSWORD": "of a test"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project with a database, as its README says."""
    folder = tmp_path_factory.mktemp("shop") / "django_project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__", "static"))
    python(folder, "-c", PREPARED, DJANGO_DEBUG="1", DJANGO_SETTINGS_MODULE="bookshop.settings", **SUPERUSER)
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that, for one test and the servers that it starts."""
    monkeypatch.delenv("PGDATABASE", raising=False)
    monkeypatch.setenv("DJANGO_DEBUG", "1")
    return Path(shutil.copytree(prepared, tmp_path / "django_project"))


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_calls_and_what_was_said_are_in_the_table_and_in_the_admin_pages(server: Server, project: Path) -> None:
    cancel = ModelCalls("cancel_order", {"number": "1043", "postcode": "3012"})
    asking = [CallerSays("Where is 1042?"), ModelCalls("order_status", {"number": "1042"}), ModelSays("It comes soon.")]
    canceling = [cancel, ModelSays("Shall I?"), CallerSays("Yes."), cancel, ModelSays("It is canceled.")]
    with (
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT)) as openai,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("DRAIN_TIMEOUT", "6")  # seconds, so that calls that are up hear a goodbye at once
        ring = openai.emulator.ring
        with started(server, openai.emulator, project, workers=2, drain=6.0) as running:
            hello, bye = ModelSays("Good morning."), CallerHangsUp()
            asked = openai.run(ring, running.url, scenario=[hello, *asking, bye], dialed=ORDERS)
            canceled = openai.run(
                ring, running.url, scenario=[hello, CallerSays("Cancel 1043."), *canceling, bye], dialed=SERVICE
            )
            nobody = openai.run(ring, running.url, dialed="+14155550199")
            assert openai.run(nobody.ended).by is EndedBy.REJECTED
            for call in (asked, canceled):
                assert openai.run(call.ended).by is EndedBy.CALLER
            up = [openai.run(ring, running.url, scenario=[hello, ModelSays("Goodbye.")], dialed=ORDERS) for _ in "123"]
            for call in up:
                openai.run(call.until_attached)
            running.terminate()
            assert [openai.run(call.ended).by for call in up] == [EndedBy.AGENT] * 3, running.log
            assert "Traceback" not in running.log, running.log
        with closing(sqlite3.connect(project / "db.sqlite3")) as database:
            kept = dict(database.execute("select call_id, end_reason from phonecalls_phonecall").fetchall())
            said = database.execute("select text from phonecalls_transcriptline order by id").fetchall()
            orders = database.execute("select number, status from orders_order order by number").fetchall()
        assert kept == {asked.call_id: "caller", canceled.call_id: "caller"} | {call.call_id: "agent" for call in up}
        assert [said.count((words,)) for words in ("Where is 1042?", "It is canceled.", "Goodbye.")] == [1, 1, 3]
        assert orders == [("1042", "sent"), ("1043", "canceled")]
        with (
            started(server, openai.emulator, project, workers=1, drain=6.0) as running,
            httpx.Client(base_url=running.url.removesuffix(server.path), follow_redirects=True) as browser,
        ):
            listed = "/admin/phonecalls/phonecall/"
            assert "Log in" in browser.get(listed).text
            form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"], "username": "root", "password": "of a test"}
            page = browser.post("/admin/login/", params={"next": listed}, data=form).text
            links = {*re.findall(rf'href="({listed}\d+/change/)', page)}
            assert len(links) == 5
            pages = [browser.get(link).text for link in links]
            assert sum("Where is 1042?" in each for each in pages) == 1
            assert sum(asked.call_id in each for each in pages) == 1
            assert browser.get("/health/ready").status_code == 200


def test_its_own_tests_pass_without_any_key(project: Path) -> None:
    assert "OK" in python(project, "manage.py", "test", "--noinput", DJANGO_DEBUG="1")


def test_its_migrations_are_complete_and_it_is_fit_to_be_deployed_but_for_the_store_of_several_workers(
    project: Path,
) -> None:
    python(project, "manage.py", "makemigrations", "--check", DJANGO_DEBUG="1")
    environment = {"DJANGO_SECRET_KEY": "of-a-test-" * 6 + "0123456789", "DJANGO_ALLOWED_HOSTS": "shop.example.com"}
    checked = python(project, "manage.py", "check", "--deploy", **environment, **KEYS)
    assert re.findall(r"\((\w+\.\w+)\)", checked) == ["realtime_sip.W002"], checked


def test_it_is_rung_by_the_command_of_its_readme(project: Path) -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    (words,) = re.findall(r"^\$ python (manage.py ring .* --scenario .*)$", readme, re.MULTILINE)
    with ExitStack() as early:
        openai = early.enter_context(EmulatorOnThread(OpenAIEmulator())).emulator
        port, keys = urlsplit(openai.base_url).port, {"OPENAI_API_KEY": openai.api_key}
        with started(SERVERS[1], openai, project, workers=1, drain=6.0) as running:
            early.close()  # the command takes its place
            asked = [*words.replace("http://127.0.0.1:8000/openai/webhook", running.url).split(), "--port", str(port)]
            keys["OPENAI_WEBHOOK_SECRET"] = openai.webhook_secret
            shown = python(project, *asked, "--speed", "20", DJANGO_DEBUG="1", **keys)
    assert "It arrives on the first of December." in shown
