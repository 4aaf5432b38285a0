"""The event logs of a call that another worker took over: one for each of them, and what inspect makes of both."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fleet import fleet

from phone import until, virtual
from realtime_sip import Call, CallLimits
from realtime_sip.call.record.timeline import Mark, Timeline, timeline
from realtime_sip.cli.timeline_text import timeline_text
from realtime_sip.event_log import EventLogFolder, read_event_log
from realtime_sip.testing.scenario import CallerHangsUp, CallerSays, ModelSays

GREETING, QUESTION, ANSWER = "Hello, this is the shop.", "Where is my order?", "It left yesterday."


async def greet_once(call: Call) -> None:
    if call.adopted is None:
        call.respond("Greet the caller.")
    await call.wait_ended()


async def agrees(call: Call) -> bool:
    return True


def words(course: Timeline) -> list[str]:
    return [str(speech.words) for speech in course.speeches if speech.words is not None]


@virtual
@pytest.mark.parametrize("consent", [None, agrees], ids=["unasked", "consent"])
@pytest.mark.parametrize("how", ["dies", "drains"])
async def test_each_worker_that_had_a_call_has_a_log_of_its_part(how: str, consent: object, tmp_path: Path) -> None:
    logs = EventLogFolder(tmp_path, redact=False)
    quiet = CallLimits(silence=None, first_sound=None)
    async with fleet(talk=greet_once, limits=quiet, event_log=logs, consent=consent) as shop:
        first, second = shop.workers
        script = [ModelSays(GREETING), CallerSays(QUESTION, after=20), ModelSays(ANSWER), CallerHangsUp()]
        ringing = await shop.ring(*script)
        await until(lambda: len(first.calls) > 0)
        await asyncio.sleep(8)
        await (first.die() if how == "dies" else first.host.drain(25))
        await until(lambda: len(second.calls) > 0)
        await second.host.ended(ringing.call_id)
    before, after = (timeline(read_event_log(path)) for path in logs.paths())
    assert before.header.call_id == after.header.call_id == ringing.call_id
    assert words(before) == [GREETING]
    assert ANSWER in words(after)
    assert GREETING not in words(after)
    assert [row.what for row in before.rows if isinstance(row, Mark)] == ["connected"]
    assert next(row.what for row in after.rows if isinstance(row, Mark)) == "taken over from another worker"
    assert after.ending is not None
    assert after.ending.reason == "caller"
    assert before.ending is None if how == "dies" else before.ending is not None
    # What the other one used is not in it.
    assert "at least $" in timeline_text(after)
    assert "at least $" in timeline_text(before)
    assert logs.delete_call(ringing.call_id) == 2
