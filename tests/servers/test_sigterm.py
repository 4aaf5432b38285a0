"""SIGTERM while 20 calls are up: whatever the server makes of it, each of them hears a goodbye or is hung up."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from started import HERE, Server, started

from realtime_sip.testing import EndedBy, ModelSays, OpenAIEmulator, Timings
from realtime_sip.testing.on_thread import EmulatorOnThread

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

CALLS = 20
SPEED = 20.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED)
"""Nobody gives up while a busy machine loads 20 servers."""
HELLO, GOODBYE = ModelSays("Good morning."), ModelSays("Goodbye.")
DRAIN = 6.0
"""Seconds: calls hear a goodbye at once."""

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploying.md"
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)).splitlines()
THREAD = "/thread/webhook"
APPLICATIONS = [
    ("--worker-class uvicorn_worker.UvicornWorker", "shop_django:application"),
    ("--worker-class sync", "shop_flask:app"),
    ("--worker-class gthread", "shop_flask:app"),
    ("uwsgi ", "shop_flask:app"),
    ("waitress-serve ", "shop_flask:app"),
    ("", "shop_fastapi:app"),
]
"""What stands for `shop:app` in a command that has this in it."""
LISTENING = {"gunicorn": "-b 127.0.0.1:{port}", "hypercorn": "-b 127.0.0.1:{port}", "daphne": "-p {port}"}
LISTENING |= dict.fromkeys(("uvicorn", "granian", "flask"), "--port {port}") | {"python": "{port}"}


def of_the_page(command: str) -> Server:
    """Return a server of the page, with its options, for an application and a port of ours."""
    begins = command.partition(" ")[0]
    here = next(application for part, application in APPLICATIONS if part in command)
    words = f"{command} {LISTENING.get(begins, '')}".replace(" :8000", " 127.0.0.1:{port}")
    words = words.replace("shop:application", "shop_django:django").replace("shop:app", here)
    words = words.replace("waitress-serve ", "waitress ").replace("--app shop ", "--app shop_flask ")
    words = words.replace("python manage.py", f"{HERE}/shop_django.py")
    needs = {"uwsgi": "pyuwsgi", "waitress-serve": "waitress", "python": "django"}.get(begins, begins)
    path = THREAD if "shop_django" in words and "application" not in words else "/openai/webhook"
    return Server(command, words, (needs,), path)


GTHREAD = "gunicorn shop_flask:app -k gthread --threads 8 -b 127.0.0.1:{port}"
SERVERS = [
    *map(of_the_page, COMMANDS),
    Server("gunicorn-hook", f"{GTHREAD} -c {HERE}/worker_exit.py", ("gunicorn",)),
    Server("uvicorn-thread", "uvicorn shop_django:django --port {port}", ("uvicorn",), THREAD),
]


def test_the_page_has_each_server() -> None:
    assert len(COMMANDS) == 12


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_law_never_an_agent_with_a_dead_line__a_server_that_is_asked_to_stop(server: Server, tmp_path: Path) -> None:
    with (
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        started(server, openai.emulator, tmp_path, workers=1, drain=DRAIN) as running,
    ):
        calls = [openai.run(openai.emulator.ring, running.url, scenario=[HELLO, GOODBYE]) for _ in range(CALLS)]
        for call in calls:
            openai.run(partial(call.until_attached, timeout=60))
            openai.run(partial(call.until_client_sent, "response.create", timeout=60))
        assert [call.state for call in calls] == ["accepted"] * CALLS
        running.terminate()
        assert [call.state for call in calls] == ["ended"] * CALLS, running.log
        assert {openai.run(call.ended).by for call in calls} == {EndedBy.AGENT}, running.log
        heard = sum(GOODBYE.text in [words.text for words in call.said] for call in calls)
        assert heard == CALLS, [[words.text for words in call.said] for call in calls]
        assert "Traceback" not in running.log, running.log


def test_law_never_an_agent_with_a_dead_line__a_worker_that_has_had_its_requests(tmp_path: Path) -> None:
    """gunicorn ends it by itself. Each call that it has on the line hears a goodbye, in the middle of whatever."""
    most = CALLS + 1  # one is asked before, whether the server answers
    command = f"{GTHREAD} --max-requests {most}"
    server = Server("gunicorn-max-requests", command, ("gunicorn",))
    with (
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        started(server, openai.emulator, tmp_path, workers=1, drain=DRAIN) as running,
    ):
        calls = [openai.run(openai.emulator.ring, running.url, scenario=[HELLO, GOODBYE]) for _ in range(CALLS)]
        ends = [openai.run(partial(call.ended, timeout=60)) for call in calls]
        assert {end.by for end in ends} == {EndedBy.AGENT}, running.log
        assert "Autorestarting worker" in running.log
        later = openai.run(openai.emulator.ring, running.url, scenario=[HELLO])
        openai.run(partial(later.until_attached, timeout=60))
        running.terminate()
        assert openai.run(later.ended).by is EndedBy.AGENT, "the next worker has answered"
        assert "Traceback" not in running.log, running.log
