"""Redis and PostgreSQL on free ports of this machine, from their Debian packages, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ports import free_port

DEADLINE = 60.0


@contextlib.contextmanager
def running(command: list[str], log: Path, ready: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block is left; it is ready when `ready` says so."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            deadline = time.monotonic() + DEADLINE
            while not ready():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield server
        finally:
            server.terminate()
            try:
                server.wait(DEADLINE)
            finally:
                server.kill()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[str]:
    """Start Redis, or Valkey, and hand out its URL."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", *options]
        with running(command, Path(folder) / "log", lambda: listens(port)):
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Make a cluster of PostgreSQL in a new folder, start it, and hand out its URL."""
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    initdb = next((Path(each).resolve() for each in found if each is not None), None)
    if initdb is None:
        pytest.skip("PostgreSQL is not installed")
    # It refuses to run as root.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o777)
        data = home / "data"
        made = subprocess.run(
            [*as_user, str(initdb), "-D", str(data), "-U", "shop", "-A", "trust", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
            cwd="/",
        )
        assert made.returncode == 0, made.stdout + made.stderr
        options = ["-c", "fsync=off", "-c", "unix_socket_directories=", "-c", "listen_addresses=127.0.0.1"]
        postgres = str(initdb.with_name("postgres"))
        command = [*as_user, postgres, "-D", str(data), "-p", str(port), *options]
        url = f"postgresql://shop@127.0.0.1:{port}/postgres"
        ready = initdb.with_name("pg_isready")

        def answers() -> bool:
            return subprocess.run([str(ready), "-q", "-d", url], check=False).returncode == 0

        with running(command, home / "log", answers):
            yield url
