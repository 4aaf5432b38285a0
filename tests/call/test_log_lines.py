"""Each line about a call has the call's id, whichever logger writes it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phone import phone, virtual
from realtime_sip import Call, Tools, TransferTargets
from realtime_sip._about import LOGGERS, about_call
from realtime_sip.errors import CallGoneError, TransferError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    ErrorSent,
    FrameInjected,
    ModelCalls,
    ModelSays,
    SocketDropped,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """Return the records of ours, the emulator's left out; they are there when the test has played its calls."""
    caplog.set_level(logging.DEBUG)
    found: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        """Keeps what is of the package."""

        def emit(self, record: logging.LogRecord) -> None:
            if not record.name.startswith("realtime_sip.testing"):
                found.append(record)

    handler = Handler()
    logging.getLogger("realtime_sip").addHandler(handler)
    yield found
    logging.getLogger("realtime_sip").removeHandler(handler)


def broken_tools() -> Tools:
    tools = Tools()

    @tools.function
    async def fails() -> str:
        """Fail."""
        raise KeyError

    return tools


def check(words: str) -> str | None:
    raise ValueError


async def talk(call: Call) -> None:
    call.respond("Greet the caller.")
    await asyncio.sleep(20)
    assert call.transcript is not None
    try:
        await call.transfer("billing")
    except TransferError:
        await call.hangup()


@virtual
async def play() -> None:
    targets = TransferTargets({"billing": "tel:+14155550123"})
    async with phone(strict=False) as line:
        line.openai.fail("accept", status=404, times=2)
        line.openai.fail("refer", status=500)
        line.openai.fail("hangup", status=500)
        options: dict[str, Any] = {"transfers": targets, "tools": broken_tools(), "check_speech": check}
        faults = [
            SocketDropped(when="playing", code=1006),
            FrameInjected(data='{"type": "no.such.event"}', when="attached", after=3.0),
            FrameInjected(data="{" * 100_000, when="attached", after=4.0),
            FrameInjected(data="[]", when="attached", after=5.0),
            ErrorSent(when="attached", after=6.0),
        ]
        await line.played(
            *(ModelCalls("fails"), ModelSays("Pardon?"), CallerSays("Hello?"), ModelSays("The shop.")),
            talk=talk,
            behavior=Behavior(refer="ignored"),
            faults=faults,
            **options,
        )
        line.openai.fail("accept", status=400)
        ringing = await line.ring(CallerHangsUp())
        await ringing.ended()
        await line.idle()


def test_law_each_line_about_a_call_has_its_id(records: list[logging.LogRecord]) -> None:
    play()
    about = {record.name.partition(".")[2] for record in records}
    assert {"host", "call", "tools", "http", "protocol", "guardrail"} <= about
    for record in records:
        line = record.getMessage()
        assert re.match(r"call rtc_\S+: ", line), f"{record.name}: {line}"
        assert record.__dict__["call_id"].startswith("rtc_"), line


async def test_a_request_that_is_made_by_itself_names_its_call(records: list[logging.LogRecord]) -> None:
    async with phone(strict=False) as line:
        with pytest.raises(CallGoneError):
            await line.client.with_options(timeout=0.2).calls.hangup("rtc_1/%d")
    [gone, *_] = [record for record in records if record.name == "realtime_sip.http"]
    assert gone.getMessage().startswith("call rtc_1/%d: hangup failed: CallGoneError")
    assert gone.__dict__["call_id"] == "rtc_1/%d"
    assert about_call.get() == ""


@pytest.mark.parametrize("message", ["100 % of it", "call rtc_2: named", "%s of it"])
def test_a_line_is_changed_only_if_it_lacks_the_id(records: list[logging.LogRecord], message: str) -> None:
    token = about_call.set("rtc_1%s")
    arguments = ("half",) if "%s" in message else ()
    logging.getLogger("realtime_sip.call").warning(message, *arguments)
    about_call.reset(token)
    [record] = records
    expected = {"call rtc_2: named": message}.get(message, f"call rtc_1%s: {message.replace('%s', 'half')}")
    assert record.getMessage() == expected


def test_law_the_loggers_are_those_of_the_documented_tree() -> None:
    page = (ROOT / "docs" / "logging.md").read_text()
    documented = set(re.findall(r"^\| `realtime_sip\.(\w+)` ", page, flags=re.MULTILINE)) - {"testing"}
    assert documented == set(LOGGERS)
