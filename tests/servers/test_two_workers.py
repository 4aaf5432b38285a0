"""Two workers with a store each, and every webhook three times at once: each call is answered once, and served once."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from started import Server, started

from realtime_sip.testing import CallerHangsUp, EndedBy, ModelCalls, ModelSays, OpenAIEmulator, Timings
from realtime_sip.testing.on_thread import EmulatorOnThread

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

CALLS = 200
SPEED = 20.0
PATIENT = Timings(ring=120 * SPEED, webhook_timeout=120 * SPEED, patience=120 * SPEED)

SERVERS = [
    Server(
        "gunicorn-gthread",
        "gunicorn shop_flask:app -k gthread --threads 16 --preload -w {workers} -b 127.0.0.1:{port}",
        ("gunicorn",),
    ),
    Server("uvicorn", "uvicorn shop_fastapi:app --workers {workers} --port {port}", ("uvicorn",)),
    Server(
        "gunicorn-uvicorn-worker",
        "gunicorn shop_django:application -k uvicorn_worker.UvicornWorker --preload -w {workers} -b 127.0.0.1:{port}",
        ("gunicorn", "uvicorn_worker"),
    ),
]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_law_one_call_one_handler__three_deliveries_to_two_workers(server: Server, tmp_path: Path) -> None:
    with (
        EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT, strict=False)) as openai,
        started(server, openai.emulator, tmp_path, workers=2, drain=6.0) as running,
    ):
        calls = [
            openai.run(
                openai.emulator.ring,
                running.url,
                scenario=[ModelCalls("look_up", {"order": f"order-{number}"}), ModelSays("Tomorrow."), CallerHangsUp()],
                duplicates=2,
            )
            for number in range(CALLS)
        ]
        for call in calls:
            openai.run(partial(call.until_delivered, count=3, timeout=120))
        ends = [openai.run(partial(call.ended, timeout=120)) for call in calls]
        running.terminate()
        assert Counter(end.by for end in ends) == {EndedBy.CALLER: CALLS}, running.log
        accepts = [request for call in calls for request in call.requests if request.operation == "accept"]
        assert sum(request.status == 200 for request in accepts) == CALLS
        counts = {call.call_id: (call.tally.accepts, call.tally.attaches, call.sidebands) for call in calls}
        assert Counter(counts.values()) == {(1, 1, 1): CALLS}, running.told_of(counts, (1, 1, 1))
        assert Counter(running.looked_up) == Counter(f"order-{number}" for number in range(CALLS))
        workers = {line.split()[0] for line in running.log.splitlines() if line.endswith(": attached")}
        assert len(workers) == 2
        assert "Traceback" not in running.log, running.log
