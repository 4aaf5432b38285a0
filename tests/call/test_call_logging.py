"""What a call writes to the loggers, and what it does not."""

from __future__ import annotations

import logging

import pytest

from phone import phone, virtual
from realtime_sip import Call, Tools
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelCalls, ModelSays

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
