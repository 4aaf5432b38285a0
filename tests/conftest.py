"""What all tests share: where recorded data of others lies, and that nobody's environment leaks in."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of recordings and examples that are not part of this repository."""
    if not SHARED.is_dir():
        pytest.skip("the recordings of others are not beside this checkout")
    return SHARED
