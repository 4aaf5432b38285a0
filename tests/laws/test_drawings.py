"""The diagrams in docs are those of the tables."""

from __future__ import annotations

import pytest
from drawings import PAGE, REGIONS, drawn, with_drawings

from realtime_sip.call.machine.state import MOVES

ONE_SCREEN = 24


def test_law_the_diagrams_are_drawn_from_the_tables() -> None:
    page = PAGE.read_text()
    assert with_drawings(page) == page
    for region in REGIONS:
        assert drawn(region) in page


@pytest.mark.parametrize("region", REGIONS)
def test_a_diagram_fits_on_one_screen_and_says_when_each_move_happens(region: type) -> None:
    assert len(drawn(region).splitlines()) <= ONE_SCREEN
    for state in region:  # type: ignore[attr-defined]
        assert all(0 < len(when) <= 30 for when in MOVES[state].values())
