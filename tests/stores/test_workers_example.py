"""`examples/workers`, started as its README says, and rung: one worker is killed in a tool, another one is stopped."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from store_servers import listens, redis_server, running

import realtime_sip
from ports import free_port
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EmulatorOnThread,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Timings,
)

pytestmark = [pytest.mark.stores, pytest.mark.timeout(120)]

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "workers"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
SOURCE = Path(realtime_sip.__file__).parents[1]
SPEED = 4.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED)


def commands(program: str) -> list[str]:
    """Return the commands of the README that begin so."""
    return re.findall(rf"^\$ ({program} .*)$", README, flags=re.MULTILINE)


@contextmanager
def worker(openai: OpenAIEmulator, store: str, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a worker; hand out its process and the URL of its webhook."""
    port = free_port()
    command, *_ = commands("uvicorn")
    arguments = shlex.split(re.sub(r"--port \d+", f"--port {port}", command))
    variables = {
        "PYTHONPATH": os.pathsep.join([str(SOURCE), str(FOLDER)]),
        "OPENAI_API_KEY": openai.api_key,
        "OPENAI_BASE_URL": openai.base_url,
        "OPENAI_WEBHOOK_SECRET": openai.webhook_secret,
        "REDIS_URL": store,
        "THEATER_SECONDS": "2",
    }
    # env becomes the program, so that a signal reaches it.
    program = ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", *arguments]
    with running(program, log, lambda: listens(port)) as process:
        yield process, f"http://127.0.0.1:{port}/openai/webhook"


def outputs(call: RingingCall) -> list[str]:
    items = [event["item"] for event in call.client_events if event["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def until(log: Path, text: str) -> None:
    deadline = time.monotonic() + 60
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@contextmanager
def two_workers(folder: Path) -> Iterator[tuple[EmulatorOnThread, subprocess.Popen[bytes], str]]:
    """Start two workers; hand out the emulator, and the first one's process and URL."""
    with (
        redis_server() as store,
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        worker(openai.emulator, store, folder / "one") as (one, url),
        worker(openai.emulator, store, folder / "two"),
    ):
        yield openai, one, url


@pytest.mark.parametrize(
    ("tool", "arguments", "interrupted", "answer"),
    [
        ("seats_left", {}, "nothing", "120"),
        ("book_seats", {"seats": 2}, "book_seats", "nobody knows whether it was done"),
    ],
)
def test_the_call_of_a_worker_that_is_killed_in_a_tool_goes_on_in_the_other(
    tool: str, arguments: dict[str, int], interrupted: str, answer: str, tmp_path: Path
) -> None:
    with two_workers(tmp_path) as (openai, one, url):
        scenario = [ModelSays("Good evening."), CallerSays("Seats?"), ModelCalls(tool, arguments), ModelSays("There.")]
        call = openai.run(partial(openai.emulator.ring, url, scenario=scenario))
        until(tmp_path / "one", f"tool {tool} begins")
        one.kill()
        openai.run(partial(call.until_client_sent, "conversation.item.create", timeout=60))
        openai.run(call.play, CallerSays("Thank you."), ModelSays("Goodbye."), CallerHangsUp())
        assert openai.run(partial(call.ended, timeout=60)).by is EndedBy.CALLER
        until(tmp_path / "two", "ended here: caller")
        log = (tmp_path / "two").read_text()
    assert call.tally.accepts == 1
    assert f"taken over; what was interrupted: {interrupted}" in log
    (output,) = outputs(call)
    assert answer in output


def test_a_worker_that_is_stopped_hands_its_call_over(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (openai, one, url):
        scenario = [ModelSays("Good evening.", seconds=2), CallerSays("Hello?"), ModelSays("How can I help you?")]
        call = openai.run(partial(openai.emulator.ring, url, scenario=scenario))
        openai.run(partial(call.until_client_sent, "response.create", timeout=60))
        one.terminate()
        until(tmp_path / "two", "taken over; what was interrupted: nothing")
        one.wait(60)
        openai.run(call.play, CallerSays("Thank you."), ModelSays("Goodbye."), CallerHangsUp())
        assert openai.run(partial(call.ended, timeout=60)).by is EndedBy.CALLER
        until(tmp_path / "two", "ended here: caller")
    assert call.tally.accepts == 1
    assert "ended here: detached" in (tmp_path / "one").read_text()
