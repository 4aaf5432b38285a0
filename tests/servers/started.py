"""A server of an application, as a process of its own, beside an emulator that it reaches by a host name."""

from __future__ import annotations

import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType

import pytest

import realtime_sip
from ports import free_port
from realtime_sip.testing import OpenAIEmulator

HERE = Path(__file__).parent
SOURCE = Path(realtime_sip.__file__).parents[1]
UWSGI = "import sys, pyuwsgi; pyuwsgi.run(sys.argv[1:])"


@dataclass(frozen=True)
class Server:
    """A command that serves an application, and what it needs.

    `{port}` stands for its port, `{workers}` for how many workers it has.
    """

    name: str
    command: str
    needs: tuple[str, ...] = ()
    path: str = "/openai/webhook"

    def arguments(self, *, port: int, workers: int) -> list[str]:
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed: pip install 'realtime-sip[servers]'")
        program = ["-c", UWSGI] if self.command.startswith("uwsgi ") else ["-m"]
        words = shlex.split(self.command.removeprefix("uwsgi ").format(port=port, workers=workers))
        return [sys.executable, *([] if words[0].endswith(".py") else program), *words]


class Running:
    """A server that runs."""

    def __init__(self, server: Server, process: subprocess.Popen[str], port: int, folder: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}{server.path}"
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def told_of(self, counts: Mapping[str, tuple[int, ...]], expected: tuple[int, ...]) -> str:
        """Return what was logged of the calls that differ."""
        odd = [call_id for call_id, count in counts.items() if count != expected]
        return "\n".join(line for line in self.log.splitlines() if any(call_id in line for call_id in odd))

    @property
    def looked_up(self) -> list[str]:
        """The orders that were looked up, by all workers."""
        return (self._folder / "looked_up").read_text().split()

    def terminate(self) -> None:
        """Send SIGTERM to the main process, and wait until it has ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@contextmanager
def started(
    server: Server,
    emulator: OpenAIEmulator,
    folder: Path,
    *,
    workers: int,
    drain: float,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Running]:
    """Start a server, and hand it out when it answers. Whatever happens, nothing of it is left.

    `variables` are what else is in its environment.
    """
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(folder), str(HERE)]),
        "OPENAI_API_KEY": emulator.api_key,
        "OPENAI_BASE_URL": emulator.base_url.replace("127.0.0.1", "localhost"),
        "OPENAI_WEBHOOK_SECRET": emulator.webhook_secret,
        "SHOP_DRAIN": str(drain),
        "SHOP_LOOKED_UP": str(folder / "looked_up"),
        **variables,
    }
    command = server.arguments(port=port, workers=workers)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, text=True, start_new_session=True
        )
        running = Running(server, process, port, folder)
        try:
            _until_it_answers(running, port)
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _until_it_answers(running: Running, port: int) -> None:
    end = time.monotonic() + 60
    while True:
        assert running.process.poll() is None, running.log
        assert time.monotonic() < end, running.log
        asking = HTTPConnection("127.0.0.1", port, timeout=60)
        with suppress(OSError, HTTPException), closing(asking):
            asking.request("GET", "/")
            asking.getresponse()
            return
        time.sleep(0.05)
