"""The applications of `examples/`, started as their READMEs say, and rung; then their tables are read."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from started import SOURCE, Server, started

from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    EmulatorOnThread,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    Timings,
    read_scenario,
)

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SPEED = 20.0
PATIENT = Timings(ring=60 * SPEED, webhook_timeout=60 * SPEED, patience=60 * SPEED)
CALLER = "+14155550101"
HELLO, GOODBYE = ModelSays("Good morning."), ModelSays("Goodbye.")
SIDES: dict[type, str] = {ModelSays: "agent", CallerSays: "caller"}
LONG = ModelSays("We are open from nine to six, and on Saturdays from nine to one.", seconds=30)


@dataclass(frozen=True)
class Application:
    """An application, and what is in its tables on the first day.

    Attributes:
        folder: In `examples/`.
        prepares: Begins the command of its README that makes the tables.
        serves: Begins the one that serves it.
        port: Adds a port to that.
        scenario: The file of a call, with a question that a tool answers.
        answer: Is in what that tool answers.
        wish: What about somebody wants to be called back, who calls the other number.
        variables: What it needs in its environment; `{folder}` is where the database may be.
        database: The name of the file.
    """

    folder: str
    prepares: str
    serves: str
    port: str
    scenario: str
    answer: str
    wish: str
    database: str
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(self, begins: str) -> str:
        """Return the command of the README that begins so, without the program's name if it is Python."""
        page = (EXAMPLES / self.folder / "README.md").read_text(encoding="utf-8")
        (found,) = re.findall(rf"^\$ ({re.escape(begins)}.*)$", page, flags=re.MULTILINE)
        return str(found).removeprefix("python -m ")

    def environment(self, folder: Path) -> dict[str, str]:
        variables = {name: value.format(folder=folder) for name, value in self.variables.items()}
        return {**variables, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(EXAMPLES / self.folder)])}


APPLICATIONS = [
    Application(
        "fastapi_app",
        prepares="python -m florist.tables",
        serves="uvicorn ",
        port="--port {port}",
        scenario="order.jsonl",
        answer="there before noon",
        wish="a wedding in June",
        database="florist.db",
        variables={
            "DATABASE_URL": "sqlite+aiosqlite:///{folder}/florist.db",
            "OFFICE_TOKEN": "the token of the tests",
            "DRAIN_TIMEOUT": "6",
        },
    ),
    Application(
        "flask_app",
        prepares="flask --app garage init-db",
        serves="gunicorn ",
        port="--bind 127.0.0.1:{port}",
        scenario="repair.jsonl",
        answer="open until six",
        wish="four wiper blades",
        database="garage.db",
        variables={"GARAGE_SQLALCHEMY_DATABASE_URI": "sqlite:///{folder}/garage.db", "GARAGE_DRAIN_TIMEOUT": "6"},
    ),
]


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.folder)
def test_what_was_said_on_each_call_is_in_a_table_however_it_ended(application: Application, tmp_path: Path) -> None:
    variables = application.environment(tmp_path)
    scenario = read_scenario(EXAMPLES / application.folder / application.scenario)
    wish = ModelCalls("request_callback", {"reason": application.wish})
    serves = f"{application.command(application.serves)} {application.port}"
    server = Server(application.folder, serves, (application.serves.strip(),))
    with EmulatorOnThread(OpenAIEmulator(speed=SPEED, timings=PATIENT)) as openai:
        keys = {"OPENAI_API_KEY": openai.emulator.api_key, "OPENAI_WEBHOOK_SECRET": openai.emulator.webhook_secret}
        prepares = [sys.executable, "-m", *shlex.split(application.command(application.prepares))]
        subprocess.run(prepares, env={**os.environ, **keys, **variables}, cwd=tmp_path, check=True, timeout=60)
        with started(server, openai.emulator, tmp_path, workers=1, drain=0, variables=variables) as running:
            ring = partial(openai.run, openai.emulator.ring, running.url, caller=CALLER, dialed="+14155550110")
            asks = ring(scenario=scenario)
            wishes = ring(
                dialed="+14155550120",
                scenario=[HELLO, CallerSays("Call me."), wish, ModelSays("We do."), CallerHangsUp()],
            )
            cut_off = ring(scenario=[LONG, CallerHangsUp(during="speech")])
            gives_up = ring(scenario=[CallerHangsUp(while_ringing=True)], behavior=Behavior(canceled="gone"))
            for call in (asks, wishes, cut_off, gives_up):
                openai.run(partial(call.ended, timeout=60))
            still_up = ring(scenario=[HELLO, GOODBYE])
            openai.run(partial(still_up.until_attached, timeout=60))
            openai.run(partial(still_up.until_client_sent, "response.create", timeout=60))
            running.terminate()
            assert "Traceback" not in running.log, running.log
    calls, said, callbacks = read(tmp_path / application.database)
    assert {call_id: row["caller"] for call_id, row in calls.items()} == dict.fromkeys(
        [each.call_id for each in (asks, wishes, cut_off, gives_up, still_up)], CALLER
    )
    assert {row["ended_by"] for call_id, row in calls.items() if call_id != still_up.call_id} == {"caller"}
    assert calls[still_up.call_id]["ended_by"] == "agent"
    assert len({row["agent"] for row in calls.values()}) == 2
    assert said[asks.call_id] == [
        (SIDES[type(step)], getattr(step, "text", "")) for step in scenario if type(step) in SIDES
    ]
    assert said[wishes.call_id] == [("agent", HELLO.text), ("caller", "Call me."), ("agent", "We do.")]
    assert callbacks == [(wishes.call_id, CALLER, application.wish)]
    ((by, heard),) = said[cut_off.call_id]
    assert by == "agent"
    assert heard != LONG.text
    assert LONG.text.startswith(heard)
    assert not calls[cut_off.call_id]["complete"]
    assert gives_up.call_id not in said
    assert said[still_up.call_id] == [("agent", HELLO.text), ("agent", GOODBYE.text)]
    results = [event["item"]["output"] for event in asks.client_events if event["type"] == "conversation.item.create"]
    assert [application.answer in result for result in results] == [True]


def read(database: Path) -> tuple[dict[str, Any], dict[str, list[tuple[str, str]]], list[tuple[str, str, str]]]:
    """Return the calls, what was said on each of them, and who wants to be called back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        calls = {row["call_id"]: dict(row) for row in connection.execute("SELECT * FROM calls")}
        said: dict[str, list[tuple[str, str]]] = {}
        for line in connection.execute("SELECT call_id, by, text FROM transcript_lines ORDER BY id"):
            said.setdefault(line["call_id"], []).append((line["by"], line["text"]))
        callbacks = [tuple(row) for row in connection.execute("SELECT call_id, number, reason FROM callbacks")]
    return calls, said, callbacks
