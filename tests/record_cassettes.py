"""Writes `tests/cassettes/`, each from a fresh emulator. Run by `make record`."""

from __future__ import annotations

import random
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from cassette_calls import FOLDER, OPERATIONS, SESSION, URL, Operation, cassette, face
from realtime_sip import RealtimeSip
from realtime_sip.testing import OpenAIEmulator
from realtime_sip.testing.clock import Clock
from realtime_sip.testing.on_thread import EmulatorOnThread

STARTED = 1_795_000_000.0


def record(operation: Operation, folder: Path = FOLDER) -> Path:
    """Bring a fresh emulator into the state that is meant, record what is asked then, and return the cassette."""
    emulator = OpenAIEmulator(strict=False)
    # The same ids, pauses and times each time, so that a cassette changes only if what it holds does.
    emulator._ids._prefix = "cassette"
    random.seed(operation.name)
    same_ids = patch("realtime_sip.testing.openai.server.secrets.token_hex", lambda size: "0a" * size)
    same_time = patch.object(Clock, "unix", lambda _: STARTED)
    with same_ids, same_time, EmulatorOnThread(emulator) as openai:
        options = emulator.client_options
        if operation.state != "endpoint" and operation.name.split("_")[0] in ("accept", "reject", "refer", "hangup"):
            ringing = openai.run(emulator.ring, "http://127.0.0.1:9/nobody")
            with RealtimeSip(**options) as client:
                if operation.state == "accepted":
                    client.calls.accept(ringing.call_id, SESSION)
                elif operation.state == "gone":
                    openai.run(ringing.hang_up)
                    openai.run(ringing.ended)
        elif operation.state == "endpoint":
            with RealtimeSip(**options) as client:
                client.webhook_endpoints.create(name="Shop", url=URL)
        if operation.fails:
            openai.run(partial(emulator.fail, operation.fails, status=429, retry_after=30))
        path = folder / f"{operation.name}.yaml"
        path.unlink(missing_ok=True)
        with cassette(operation.name, "all", folder=folder), face("sync", **options) as ask:
            try:
                ask(operation)
            except Exception as error:
                if operation.raises is None or not isinstance(error, operation.raises):
                    raise
    return path


def main() -> int:
    """Record all of them."""
    FOLDER.mkdir(exist_ok=True)
    for operation in OPERATIONS:
        sys.stdout.write(f"{record(operation).name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
