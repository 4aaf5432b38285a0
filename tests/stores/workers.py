"""Worker processes behind one address, which are killed and started again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from store_servers import listens

import realtime_sip
from ports import free_port
from realtime_sip.testing import OpenAIEmulator

HERE = Path(__file__).parent
SOURCE = Path(realtime_sip.__file__).parents[1]
DEADLINE = 60.0


class Workers:
    """So many processes of `worker_shop`, and one address that spreads webhooks over those that live."""

    def __init__(self, openai: OpenAIEmulator, store: str, folder: Path, count: int) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]),
            "OPENAI_API_KEY": openai.api_key,
            "OPENAI_BASE_URL": openai.base_url,
            "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
            "SHOP_STORE": store,
            "SHOP_RUNS": str(folder / "runs"),
        }
        self.ports = [free_port() for _ in range(count)]
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self._address = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._address.getsockname()[1]}/openai/webhook"
        threading.Thread(target=self._spread, name="balancer", daemon=True).start()

    @property
    def log(self) -> str:
        return "".join((self._folder / f"log{at}").read_text() for at in range(len(self.ports)))

    def told_of(self, call_id: str) -> str:
        """Return what was logged of a call."""
        return "\n".join(sorted(line for line in self.log.splitlines() if call_id in line))

    @property
    def runs(self) -> list[tuple[str, str, str]]:
        """Each run of a tool: its name, its argument, its key."""
        lines = (self._folder / "runs").read_text().splitlines()
        return [(tool, argument, key) for tool, argument, key in (line.split() for line in lines)]

    def start(self, at: int) -> None:
        """Start a worker."""
        command = [sys.executable, "-m", "uvicorn", "worker_shop:app", "--port", str(self.ports[at])]
        command += ["--log-level", "warning", "--lifespan", "on"]
        with (self._folder / f"log{at}").open("ab") as log:
            self.processes[at] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def ready(self) -> None:
        """Wait until all workers listen."""
        end = time.monotonic() + DEADLINE
        while not all(map(listens, self.ports)):
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def stop(self, at: int, with_signal: int) -> None:
        """Send a worker a signal, and wait until it has ended."""
        process, self.processes[at] = self.processes[at], None
        if process is not None:
            process.send_signal(with_signal)
            process.wait(DEADLINE)

    def close(self) -> None:
        self._address.close()
        for at in range(len(self.ports)):
            self.stop(at, signal.SIGKILL)

    def _spread(self) -> None:
        while True:
            try:
                came, _ = self._address.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(came,), daemon=True).start()

    def _pass_on(self, came: socket.socket) -> None:
        with came:
            for port in random.sample(self.ports, len(self.ports)):
                try:
                    worker = socket.create_connection(("127.0.0.1", port), timeout=1)
                except OSError:
                    continue
                with worker:
                    worker.settimeout(DEADLINE)
                    back = threading.Thread(target=_copied, args=(worker, came), daemon=True)
                    back.start()
                    _copied(came, worker)
                    back.join(DEADLINE)
                return


def _copied(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def workers(openai: OpenAIEmulator, store: str, folder: Path, count: int) -> Iterator[Workers]:
    """Start workers, and leave none behind."""
    fleet = Workers(openai, store, folder, count)
    try:
        for at in range(count):
            fleet.start(at)
        fleet.ready()
        yield fleet
    finally:
        fleet.close()
