"""A headless Chromium for tests of pages, driven over its DevTools protocol. Skips where none is installed."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DEADLINE = 60.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars"),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ),
    *("--remote-debugging-port=0", "--disable-dev-shm-usage"),
)


class Page:
    """One tab. `requests` are the URLs that it asked for, `complaints` what went to its console as a problem."""

    def __init__(self, socket: ClientConnection) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._ids = itertools.count(1)
        self._socket = socket
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        return self._until(lambda message: message.get("id") == number)["result"]  # type: ignore[no-any-return]

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page of that size, and wait until it has loaded."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        mobile = width < 600
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.send("Page.navigate", url=url)
        self._until(lambda message: message.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page, a promise's too."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def follow(self, selector: str) -> None:
        """Click a link, and wait until the page that it leads to has loaded."""
        link = f"document.querySelector({json.dumps(selector)})"
        assert self.evaluate(f"{link} !== null"), selector
        # Nothing else is read before the page has loaded, which may be at once.
        params = {"expression": f"{link}.click()"}
        self._socket.send(json.dumps({"id": next(self._ids), "method": "Runtime.evaluate", "params": params}))
        self._until(lambda message: message.get("method") == "Page.loadEventFired")

    def screenshot(self, path: Path) -> None:
        """Write what it looks like, all of it, as a PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    def _until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE
        while True:
            message: dict[str, Any] = json.loads(self._socket.recv(timeout=max(deadline - time.monotonic(), 0)))
            assert "error" not in message, message
            match message:
                case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
                    self.requests.append(url)
                case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}}:
                    self.complaints.append(str(details.get("text")))
                case {"method": "Log.entryAdded", "params": {"entry": {"level": "error" | "warning", "text": said}}}:
                    self.complaints.append(said)
                case {"method": "Runtime.consoleAPICalled", "params": {"type": "error" | "warning", "args": args}}:
                    self.complaints.append(str([arg.get("value") for arg in args]))
            if wanted(message):
                return message


@contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium and hand out a page of it; no name resolves in it, so that only loopback and files are reached."""
    if PROGRAM is None:
        pytest.skip("no Chromium is installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        program = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE
        )
        try:
            assert program.stderr is not None
            line = next(line for line in program.stderr if b"DevTools listening on" in line)
            port = line.rpartition(b":")[2].partition(b"/")[0].decode()
            (tab,) = (
                target
                for target in httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False, timeout=DEADLINE).json()
                if target["type"] == "page"
            )
            with connect(tab["webSocketDebuggerUrl"], max_size=None, open_timeout=DEADLINE, proxy=None) as socket:
                yield Page(socket)
        finally:
            program.send_signal(signal.SIGTERM)
            program.communicate(timeout=DEADLINE)
