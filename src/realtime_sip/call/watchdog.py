"""Notices an async function that blocks: while it does, no call of this event loop hears or says anything."""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

HELD = 0.5
"""Seconds without an await that are not logged yet. Speech that comes later by as much is heard as a pause."""


@types.coroutine
def watched(work: Coroutine[Any, Any, T], held: Callable[[float], None]) -> Generator[Any, None, T]:
    """Await `work`, and tell `held` of each stretch in which it held the event loop for too long.

    What it has started as tasks of its own is not seen.
    """
    raised: BaseException | None = None
    while True:
        began = time.perf_counter()
        try:
            waits_for = work.send(None) if raised is None else work.throw(raised)
        except StopIteration as stop:
            result: T = stop.value
            return result
        finally:
            took = time.perf_counter() - began
            if took > HELD:
                held(took)
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's, a cancellation for one
            raised = error
        else:
            raised = None
