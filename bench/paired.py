"""Rows measured in turn, so that a busy machine slows all of them alike: what counts is the ratio in each round.

What computes is measured in seconds of the processor (`cpu`): what other programs take in the meantime does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

cpu = time.process_time


class Rows:
    """What each name cost in each round, in seconds."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}
        self.missed = False

    def measure(self, rounds: int, rows: dict[str, Callable[[], float]]) -> None:
        """Let each row be measured in turn, `rounds` times and once unmeasured."""
        for number in range(rounds + 1):
            costs = {name: cost() for name, cost in rows.items()}
            if number:
                self.note(costs)

    def note(self, costs: dict[str, float]) -> None:
        """Add a round that was measured elsewhere."""
        for name, seconds in costs.items():
            self._seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        """Return what a row cost in the median of its rounds."""
        return statistics.median(self._seconds[name])

    def compare(self, name: str, value: float, unit: str, *, most: float) -> None:
        """Print one number beside what was asked, and note what was missed."""
        print(f"  {name:<44}{value:>10.2f} {unit}{self._asked(value, most=most)}")

    def show(
        self,
        name: str,
        *,
        floor: str | None = None,
        most: float | None = None,
        least: float | None = None,
        unit: float = 1e-6,
    ) -> None:
        """Print a row: the median, its ratio to the floor with the range of the rounds, what was asked, and whether it
        is reached. With `least` the row is so many times as fast as the floor."""
        seconds = self._seconds[name]
        text = f"  {name:<44}{self.median(name) / unit:>10.2f} {'us' if unit == 1e-6 else 'ms'}"
        if floor is not None:
            pairs = zip(seconds, self._seconds[floor], strict=True)
            ratios = [its / mine if least is not None else mine / its for mine, its in pairs]
            middle = statistics.median(ratios)
            how = "x as fast as" if least is not None else "x"
            text += f"   {middle:.2f} {how} {floor} ({min(ratios):.2f} to {max(ratios):.2f})"
            text += self._asked(middle, most=most, least=least)
        print(text)

    def _asked(self, value: float, *, most: float | None = None, least: float | None = None) -> str:
        if most is None and least is None:
            return ""
        missed = (most is not None and value > most) or (least is not None and value < least)
        self.missed = self.missed or missed
        limit = f"at most {most:g}" if least is None else f"at least {least:g}"
        return f"; asked: {limit}, {'MISSED' if missed else 'reached'}"
