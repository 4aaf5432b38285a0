"""The example of a shop in Django on PostgreSQL: its tables, its own tests, and no complaint of a check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from store_servers import postgres_server

import realtime_sip

pytestmark = [pytest.mark.stores, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "django_project"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """Return a copy of the project, and the environment of its commands."""
    folder = tmp_path_factory.mktemp("shop") / "django_project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.sqlite3", "__pycache__", "static"))
    with postgres_server() as url:
        where = urlsplit(url)
        yield (
            folder,
            {
                **os.environ,
                "PYTHONPATH": str(Path(realtime_sip.__file__).parents[1]),
                "PGHOST": str(where.hostname),
                "PGPORT": str(where.port),
                "PGUSER": str(where.username),
                "PGDATABASE": where.path.strip("/"),
                "DJANGO_SECRET_KEY": "of-a-test-" * 6 + "0123456789",
                "DJANGO_ALLOWED_HOSTS": "shop.example.com",
                "OPENAI_API_KEY": "sk-example",
                "OPENAI_WEBHOOK_SECRET": "whsec_YSBzZWNyZXQgb2YgdGhlIGVtdWxhdG9y",
            },
        )


@pytest.mark.parametrize(
    "command", ["migrate", "check --deploy --fail-level WARNING", "test --noinput", "migrate phonecalls zero"]
)
def test_a_shop_on_postgres(command: str, shop: tuple[Path, dict[str, str]]) -> None:
    folder, environment = shop
    if command.startswith("test"):
        environment = {**environment, "DJANGO_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *command.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
