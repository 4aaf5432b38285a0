"""Servers that start the program again after each change: one webhook is one call, and no call holds a reload up."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

import pytest
from started import HERE, Running, Server, started

from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator, RingingCall, ScenarioError, Timings
from realtime_sip.testing.on_thread import EmulatorOnThread

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

SPEED = 20.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED, webhook_retry=SPEED / 2)
HELLO = ModelSays("Good morning.")
NEVER = 600.0
"""Seconds that a drain may take, if nobody reloads."""

SERVERS = [
    Server("flask", "shop_flask.py {port}"),
    Server("django", "shop_django.py runserver {port}", (), "/thread/webhook"),
    Server("uvicorn", "uvicorn shop_fastapi:app --reload --port {port}", ("uvicorn",)),
    Server("hypercorn", "hypercorn shop_fastapi:app --reload -b 127.0.0.1:{port}", ("hypercorn",)),
]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_change_of_the_program_ends_the_call_that_is_up__and_the_next_one_is_answered(
    server: Server, tmp_path: Path
) -> None:
    for source in HERE.glob("shop*.py"):
        shutil.copy(source, tmp_path)
    with (
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        started(server, openai.emulator, tmp_path, workers=1, drain=NEVER) as running,
    ):
        call = openai.run(openai.emulator.ring, running.url, scenario=[HELLO])
        openai.run(partial(call.until_attached, timeout=60))
        assert (call.tally.accepts, call.sidebands) == (1, 1)
        with (tmp_path / "shop.py").open("a") as program:
            program.write("\n")
        assert openai.run(partial(call.ended, timeout=60)).by is EndedBy.AGENT, running.log
        later = until_answered(openai, running)
        assert (later.tally.accepts, later.sidebands) == (1, 1)


def until_answered(openai: EmulatorOnThread, running: Running) -> RingingCall:
    """Ring until a call is answered: the old program rejects what still reaches it, so that a trunk goes on."""
    end = time.monotonic() + 60
    while True:
        assert time.monotonic() < end, running.log
        call: RingingCall = openai.run(openai.emulator.ring, running.url, scenario=[HELLO])
        try:
            openai.run(partial(call.until_attached, timeout=60))
        except ScenarioError:
            assert call.tally.rejects == 1, running.log
        else:
            return call
