"""SIGTERM while 20 calls are up: whatever the server makes of it, each of them hears a goodbye or is hung up."""

from __future__ import annotations

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

GTHREAD = "gunicorn shop_flask:app -k gthread --threads 8"
SERVERS = [
    Server("uvicorn", "uvicorn shop_fastapi:app --port {port}", ("uvicorn",)),
    Server("gunicorn-sync", "gunicorn shop_flask:app -k sync -b 127.0.0.1:{port}", ("gunicorn",)),
    Server("gunicorn-gthread", f"{GTHREAD} -b 127.0.0.1:{{port}}", ("gunicorn",)),
    Server("gunicorn-gthread-hook", f"{GTHREAD} -b 127.0.0.1:{{port}} -c {HERE}/worker_exit.py", ("gunicorn",)),
    Server(
        "gunicorn-uvicorn-worker",
        "gunicorn shop_django:application -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port}",
        ("gunicorn", "uvicorn_worker"),
    ),
    Server("hypercorn", "hypercorn shop_fastapi:app -b 127.0.0.1:{port}", ("hypercorn",)),
    Server("granian", "granian --interface asgi shop_fastapi:app --port {port}", ("granian",)),
    Server("daphne", "daphne shop_django:django -p {port}", ("daphne",), "/thread/webhook"),
    Server(
        "uwsgi",
        "uwsgi --module shop_flask:app --http-socket 127.0.0.1:{port} --master --threads 8 --die-on-term",
        ("pyuwsgi",),
    ),
    Server("waitress", "waitress --listen 127.0.0.1:{port} shop_flask:app", ("waitress",)),
    Server("flask", "flask --app shop_flask run --port {port}"),
    Server("django", f"{HERE}/shop_django.py runserver --noreload {{port}}", (), "/thread/webhook"),
]


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
    command = f"{GTHREAD} -b 127.0.0.1:{{port}} --max-requests {most}"
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
