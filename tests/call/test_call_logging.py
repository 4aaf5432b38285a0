"""What a call writes to the loggers, and what it does not."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import pytest

from phone import phone, virtual
from realtime_sip import Call, Tools, TransferTargets
from realtime_sip.errors import TransferError
from realtime_sip.testing import Behavior, CallerHangsUp, CallerSays, ModelCalls, ModelSays, SocketDropped

ANNA = "+14155550101"


@virtual
async def test_law_no_words_of_the_caller_are_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return {"1042": "On its way."}[order_id]

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    asked = ModelCalls("order_status", {"order_id": ANNA})
    async with phone() as line:
        steps = (ModelSays("Hello."), CallerSays("Where is it?"), asked, ModelSays("Pardon?"), CallerHangsUp())
        await line.played(*steps, talk=talk, tools=tools)
    assert ANNA not in caplog.text


def steps(caplog: pytest.LogCaptureFixture, call_id: str) -> list[str]:
    """Return the lines of a call's life, without its id."""
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO and r.name.startswith("realtime_sip.")]
    assert all(line.startswith(f"call {call_id}: ") for line in lines), lines
    return [line.partition(": ")[2].partition(" (")[0] for line in lines]


@virtual
async def test_law_each_step_of_a_calls_life_is_one_line_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tools = Tools()

    @tools.function
    async def look() -> str:
        """Look."""
        await asyncio.sleep(1)
        return "seen"

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await asyncio.sleep(10)
        with pytest.raises(TransferError):
            await call.transfer("billing")
        await call.hangup()

    async with phone(strict=False) as line:
        _, ringing = await line.played(
            ModelCalls("look"),
            ModelSays("Hello."),
            talk=talk,
            tools=tools,
            transfers=TransferTargets({"billing": "tel:+14155550123"}),
            behavior=Behavior(refer="busy"),
            faults=[SocketDropped(when="playing", code=1006)],
        )
    told = steps(caplog, ringing.call_id)
    assert told == [
        *("ringing", "accepted", "attached", "tool look begins", "tool look has ended", "dropped", "attached again"),
        *("transfer to billing begins", "transfer to billing failed", "ended"),
    ]


def test_law_every_logger_is_in_the_documented_tree() -> None:
    root = Path(__file__).resolve().parents[2]
    code = [path.read_text() for path in (root / "src").rglob("*.py") if "testing" not in path.parts]
    named = {name for text in code for name in re.findall(r"(?:getLogger|logger_without_wire)\((\"[^)]*)\)", text)}
    known = (root / "docs" / "logging.md").read_text()
    assert named
    assert [name for name in named if f"| `{name.strip(chr(34))}` |" not in known] == []
