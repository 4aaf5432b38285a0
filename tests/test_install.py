"""The wheel, in clean environments: the core with its four dependencies alone, oldest and newest, and the command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ports import free_port

pytestmark = pytest.mark.packages

ROOT = Path(__file__).resolve().parents[1]

OLDEST = ["httpx==0.27.0", "websockets==15.0", "standardwebhooks==1.0.0", "pydantic==2.10.6"]

# A whole call over real sockets, with nothing but the core installed.
CALL = """
import asyncio, sys
import realtime_sip
from realtime_sip import AsyncRealtimeSip, IncomingCall
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator

def run():
    async def serve(reader, writer):
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\\r\\n")[1:] if line)
        length = next(int(value) for name, value in headers.items() if name.lower() == "content-length")
        event = client.webhooks.unwrap(await reader.readexactly(length), headers)
        assert isinstance(event, IncomingCall)
        await client.calls.accept(event.call_id, {"model": "gpt-realtime-2.1"})
        tasks.append(asyncio.create_task(talk(event.call_id)))
        writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
        await writer.drain()
        writer.close()

    async def talk(call_id):
        async with client.calls.connect(call_id) as sideband:
            await sideband.response_create()
            return [event.type async for event in sideband]

    async def main():
        global client, tasks
        tasks = []
        async with OpenAIEmulator(speed=50) as openai:
            async with AsyncRealtimeSip(
                openai.api_key, base_url=openai.base_url, webhook_secret=openai.webhook_secret
            ) as client:
                server = await asyncio.start_server(serve, "127.0.0.1", 0)
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
                ringing = await openai.ring(url, scenario=[ModelSays("Hello."), CallerHangsUp()])
                await ringing.ended()
                (types,) = await asyncio.gather(*tasks)
                assert "response.done" in types, types
                server.close()

    asyncio.run(main())

run()
optional = {"fastapi", "uvicorn", "flask", "django", "twilio", "phonenumbers", "redis", "pytest", "opentelemetry"}
assert not optional & set(sys.modules), optional & set(sys.modules)
print("called with", realtime_sip.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(400)
@pytest.mark.parametrize("pins", [OLDEST, []], ids=["oldest", "newest"])
def test_the_core_installs_and_works_with_its_four_dependencies_alone(
    wheel: Path, pins: list[str], tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), *pins)
    assert run(python, "-W", "error", "-c", CALL, cwd=tmp_path).startswith("called with")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("pin", ["websockets==15.0", "websockets==17.1", "websockets"])
def test_the_tests_that_open_sockets_pass_with_each_websockets_without_a_warning(pin: str, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), pin)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [*command, "tests/api/test_sideband.py", "tests/api/test_halves.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(400)
def test_a_missing_extra_is_an_error_that_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", str(tmp_path / "env"))
    run(str(tmp_path / "env/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
    done = subprocess.run([str(tmp_path / "env/bin/realtime-sip"), "demo"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'realtime-sip[cli]'" in done.stderr


# Options of the server that the page names, so that it listens where the test says.
LISTENS = {"fastapi": "--port {port}", "flask": "--bind 127.0.0.1:{port}", "django": "--bind 127.0.0.1:{port}"}


@contextmanager
def served(command: list[str], port: int, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a server in a folder, and stop it as whoever deploys does."""
    log = folder / "log"
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            while f":{port}" not in log.read_text():
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield
            server.terminate()
            server.wait(60)
        finally:
            server.kill()
            server.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("framework", LISTENS)
def test_what_the_page_of_a_framework_says__pasted_into_a_fresh_environment__answers_a_call(
    framework: str, wheel: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / f"{framework}.md").read_text(encoding="utf-8")
    installs, *commands = re.findall(r"^\$ (.*)$", page, flags=re.MULTILINE)
    programs = tmp_path / "env" / "bin"
    # Nothing of whoever runs the tests: neither packages nor keys.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENAI_"))}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env"))
    pip, requirements = shlex.split(installs)[:2], shlex.split(installs)[2:]
    assert pip == ["pip", "install"]
    wanted = [each.replace("realtime-sip", str(wheel)) for each in requirements]
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(tmp_path / "env"),
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *wanted,
    )

    shop = tmp_path / "shop"
    shop.mkdir()
    if framework == "django":
        run(str(programs / "django-admin"), "startproject", "mysite", ".", cwd=shop)
    for block in re.findall(r"^```python\n(# [\w/]+\.py\n.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        file = shop / block.partition("\n")[0].removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:  # the lines are added to what a new project has
            lines.write(block)

    # The command itself says what to export.
    port, emulator = free_port(), ["--port", str(free_port())]
    ring = [str(programs / "realtime-sip"), "ring", f"http://127.0.0.1:{port}/openai/webhook", *emulator]
    asked = subprocess.run(ring, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 2, asked.stdout + asked.stderr
    environment |= dict(re.findall(r"^ +export (\w+)=(\S+)$", asked.stdout, flags=re.MULTILINE))

    *before, serves = commands
    for command in before:
        done = subprocess.run(
            shlex.split(command), cwd=shop, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with served(shlex.split(f"{serves} {LISTENS[framework].format(port=port)}"), port, shop, environment):
        rung = subprocess.run(
            ring, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90
        )
    assert rung.returncode == 0, rung.stdout + rung.stderr


def test_the_wheel_holds_the_package_its_types_and_the_example_that_the_command_runs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"realtime_sip/py.typed", "realtime_sip/events.py"} <= names
    assert {f"realtime_sip/cli/{server}.py" for server in ("fastapi_server", "whatsapp_receptionist")} <= names
    assert all(name.startswith(("realtime_sip/", "realtime_sip-")) for name in names)


def test_the_source_distribution_holds_what_the_tests_need(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path), cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "examples/fastapi_server.py"} <= names
    assert "tests/test_install.py" in names
