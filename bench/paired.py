"""Rows measured in turn, so that a busy machine slows all of them alike: what counts is the ratio in each round."""

from __future__ import annotations

import statistics
from collections.abc import Callable


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

    def compare(self, name: str, value: float, unit: str, *, most: float) -> None:
        """Print one number beside its target, and note a target missed."""
        self.missed = self.missed or value > most
        print(f"  {name:<44}{value:>10.2f} {unit}, target: at most {most:g}{'' if value <= most else '  MISSED'}")

    def show(self, name: str, *, floor: str | None = None, most: float | None = None, unit: float = 1e-6) -> None:
        """Print a row: the median, and its ratio to the floor with the range of the rounds; note a target missed."""
        seconds = self._seconds[name]
        text = f"  {name:<44}{statistics.median(seconds) / unit:>10.2f} {'us' if unit == 1e-6 else 'ms'}"
        if floor is not None:
            ratios = [mine / its for mine, its in zip(seconds, self._seconds[floor], strict=True)]
            middle = statistics.median(ratios)
            text += f"   {middle:.2f} x {floor} ({min(ratios):.2f} to {max(ratios):.2f})"
            if most is not None:
                self.missed = self.missed or middle > most
                text += f", target: at most {most}{'' if middle <= most else '  MISSED'}"
        print(text)
