"""How the application is tested: an emulator rings it, and its pages are read afterwards. No account is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from florist.settings import Settings
from florist.tables import first_day
from florist.web import create_app
from realtime_sip import EndReason
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Timings,
)

HELLO = ModelSays("Good morning.")
TOKEN = "a token of the tests"


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIEmulator]:
    # Twenty times as fast as life; but a machine that is busy is given ten seconds for everything.
    async with OpenAIEmulator(speed=20, timings=Timings(least_patience=10)) as emulator:
        yield emulator


@pytest.fixture
async def app(openai: OpenAIEmulator, tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The application as it runs, with the emulator in OpenAI's place and a database of its own."""
    app = create_app(
        Settings(
            _env_file=None,
            openai_api_key=SecretStr(openai.api_key),
            openai_webhook_secret=SecretStr(openai.webhook_secret),
            openai_base_url=openai.base_url,
            database_url=f"sqlite+aiosqlite:///{tmp_path}/florist.db",
            office_token=SecretStr(TOKEN),
        )
    )
    async with app.router.lifespan_context(app):
        await first_day(app.state.engine)
        yield app


async def page(app: FastAPI, path: str, token: str = TOKEN) -> Any:
    """Return what the office sees."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://florist") as http:
        response = await http.get(path, headers={"Authorization": f"Bearer {token}"})
    return response.json() if response.status_code == 200 else response.status_code


def outputs(ringing: RingingCall) -> list[str]:
    """Return what the tools answered."""
    created = [event["item"] for event in ringing.client_events if event["type"] == "conversation.item.create"]
    return [item["output"] for item in created if item["type"] == "function_call_output"]


async def test_what_both_sides_said_is_in_the_table_when_the_caller_has_hung_up(
    openai: OpenAIEmulator, app: FastAPI
) -> None:
    ringing = await openai.ring(
        app.state.host,
        dialed="+14155550110",
        caller="+14155550101",
        scenario=[
            HELLO,
            CallerSays("Where is order 1042? It goes to 94110."),
            ModelCalls("order_status", {"number": "1042", "postcode": "94110"}),
            ModelSays("It is on its way."),
            CallerHangsUp(),
        ],
    )
    assert (await ringing.ended()).reason is EndReason.CALLER
    assert outputs(ringing) == ["on its way, and there before noon"]
    (call,) = await page(app, "/calls")
    assert (call["agent"], call["caller"], call["ended_by"]) == ("orders", "+14155550101", "caller")
    assert call["lines"] == [
        {"by": "agent", "text": "Good morning."},
        {"by": "caller", "text": "Where is order 1042? It goes to 94110."},
        {"by": "agent", "text": "It is on its way."},
    ]


async def test_who_does_not_know_where_an_order_goes_learns_nothing_of_it(openai: OpenAIEmulator, app: FastAPI) -> None:
    guess = ModelCalls("order_status", {"number": "1042", "postcode": "10001"})
    scenario = [HELLO, CallerSays("Where is 1042?"), guess, ModelSays("Which postcode?"), CallerHangsUp()]
    ringing = await openai.ring(app.state.host, dialed="+14155550110", scenario=scenario)
    await ringing.ended()
    assert "noon" not in outputs(ringing)[0]


async def test_the_other_number_has_the_agent_for_events__who_writes_down_whom_to_call(
    openai: OpenAIEmulator, app: FastAPI
) -> None:
    ringing = await openai.ring(
        app.state.host,
        dialed="+14155550120",
        caller="+14155550101",
        scenario=[
            HELLO,
            CallerSays("Could you decorate our wedding on June 12?"),
            ModelCalls("is_free", {"day": "2027-06-12"}),
            ModelCalls("request_callback", {"reason": "a wedding on June 12"}),
            ModelSays("We call you back today."),
            CallerHangsUp(),
        ],
    )
    await ringing.ended()
    assert outputs(ringing)[0] == "free"
    (wanted,) = await page(app, "/callbacks")
    assert (wanted["number"], wanted["reason"]) == ("+14155550101", "a wedding on June 12")


async def test_a_number_that_is_not_ours_is_rejected(openai: OpenAIEmulator, app: FastAPI) -> None:
    ringing = await openai.ring(app.state.host, dialed="+14155550130", strict=False)
    assert (await ringing.ended()).status_code == 404
    assert await page(app, "/calls") == []


@pytest.mark.parametrize("path", ["/calls", "/callbacks"])
async def test_nobody_sees_the_calls_without_the_token(app: FastAPI, path: str) -> None:
    assert await page(app, path, token="a guess") == 401
