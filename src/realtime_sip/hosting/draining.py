"""Shutting down: no new calls, live ones finish in their time, the rest hear a goodbye that is early enough."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from realtime_sip.call.call import Call
from realtime_sip.hosting.taken import Taken

_log = logging.getLogger("realtime_sip.host")

GOODBYE = "You have to end this call now. Apologize and say goodbye in one short sentence."
HANG_UP = 0.75
"""Seconds for hanging up at the end of a drain, before the code after a handler's block runs."""
GOODBYE_TIME = 12.0
"""Seconds before the end of a drain at which calls that are still up hear a goodbye."""
GIVING = 3.0
"""Seconds for other workers to get the calls first, however short the drain is; but half of it at most."""
CODE_BEHIND = 1.0
"""Seconds after the end of a drain for what a handler does after its block, such as storing the transcript."""
AT_A_TIME = 4
"""Calls that are handed over to other workers at the same time."""
AGAIN = 0.2
"""Seconds until a call that could not be handed over is tried again."""
CANCELED = 0.75
"""Seconds after that for handlers that were canceled."""
_RELOADERS = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")


def is_reloaded() -> bool:
    """Return whether a reloader runs this process, and waits for it after each change of the program.

    Those of Django and Flask say so in the environment; the others, in the command of the server.
    """
    command = sys.argv[1:]
    developing = command[:1] == ["dev"] and Path(sys.argv[0]).stem == "fastapi"
    told = any(os.environ.get(name) == "true" for name in _RELOADERS)
    return told or developing or "--reload" in command


async def drain(
    calls: Mapping[str, Taken],
    claiming: Mapping[str, asyncio.Task[Any]],
    seconds: float,
    *,
    give: Callable[[Taken], Coroutine[Any, Any, bool]] | None,
) -> None:
    """Let the calls of a host end within so many seconds, and end those that do not. Both mappings change meanwhile.

    Until the goodbyes begin, `give` hands each call over to another worker, if it can; None if nobody shares the store.
    """
    begun = asyncio.get_running_loop().time()
    end = begun + seconds

    async def idle(until: float) -> None:
        """Wait until there are no calls, or until then."""
        loop = asyncio.get_running_loop()
        while (left := until - loop.time()) > 0:
            tasks = {*claiming.values(), *(taken.serving for taken in calls.values())}
            if not tasks:
                return
            await asyncio.wait(tasks, timeout=left)

    if give is None:
        await idle(end - GOODBYE_TIME)
    else:
        giving = asyncio.create_task(_handed_over(calls, give))
        await idle(max(end - GOODBYE_TIME, begun + min(GIVING, seconds / 2)))
        giving.cancel()
        await asyncio.wait({giving}, timeout=CANCELED)
    ending = _each_call(calls, lambda call: call.hangup(goodbye=GOODBYE))
    await idle(end)
    ending += _each_call(calls, _hung_up)
    _cancel(taken for taken in calls.values() if taken.call is None)
    await idle(end + CODE_BEHIND)
    _cancel(calls.values())
    await idle(end + CODE_BEHIND + CANCELED)
    for task in ending:
        task.cancel()
    for call_id in calls:
        _log.error("call %s: it did not end in the time of the drain", call_id)


async def _handed_over(calls: Mapping[str, Taken], give: Callable[[Taken], Coroutine[Any, Any, bool]]) -> None:
    """Hand calls over, few at a time: nobody is attached to a call until its new worker is, which has to come soon."""
    waiting = deque(calls.values())

    async def one_by_one() -> None:
        while waiting:
            taken = waiting.popleft()
            if taken.call_id in calls and not await give(taken):
                await asyncio.sleep(AGAIN)
                waiting.append(taken)

    await asyncio.gather(*(one_by_one() for _ in range(AT_A_TIME)))


async def _hung_up(call: Call) -> None:
    ended = await call.hangup(within=HANG_UP)
    if ended.certainty == "inferred":
        _log.error("call %s: it may still be up after the drain", call.call_id)


def _each_call(calls: Mapping[str, Taken], do: Callable[[Call], Coroutine[Any, Any, Any]]) -> list[asyncio.Task[None]]:
    async def done(call: Call) -> None:
        try:
            await do(call)
        except Exception as error:  # noqa: BLE001 - the other calls are to be ended too
            _log.warning("call %s: it was not hung up: %s", call.call_id, type(error).__name__)

    return [asyncio.create_task(done(taken.call)) for taken in calls.values() if taken.call is not None]


def _cancel(calls: Iterable[Taken]) -> None:
    for taken in calls:
        if taken.handling is not None:
            taken.handling.cancel()
