"""What the soak draws its calls from."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

from plans.ends import ENDS
from plans.outages import OUTAGES
from plans.plan import Plan, World, scripted
from plans.records import LOGGED, RECORDS, Shelf
from plans.refusals import REFUSALS
from plans.sessions import SESSIONS
from plans.speech import SPEECH
from plans.toolwork import TOOLWORK
from plans.transfers import TRANSFERS
from plans.workers import WORKERS

__all__ = ["Plan", "Shelf", "World", "drawn", "scripted"]


def drawn(rng: random.Random, *, calls: int, shelf: Shelf) -> list[Plan]:
    """Draw plans for so many calls, or a few more: those that follow each other on one host are not torn apart.

    Each has a generator of its own, so that what one draws changes nothing about the others.
    """
    logged = [functools.partial(make, shelf=shelf) for make in LOGGED]
    kinds: list[Callable[[random.Random], Plan]] = [*ENDS, *TRANSFERS, *SESSIONS, *RECORDS, *logged]
    kinds += [*OUTAGES, *WORKERS, *SPEECH, *TOOLWORK, *REFUSALS]
    plans: list[Plan] = []
    count = 0
    while count < calls:
        plan = rng.choice(kinds)(random.Random(rng.random()))
        plans.append(plan)
        for each in (*plan.crowd, plan):
            each.number = count
            count += 1
    return plans
