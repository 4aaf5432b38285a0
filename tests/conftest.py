"""What all tests share: where recorded data of others lies, and that nobody's environment leaks in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

import emulated
from realtime_sip.testing import OpenAIEmulator

# No test asserts a time, and the suite does the same each time; what is random runs in `make soak`.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

SLOW = {"test_transfer_orders.py", "test_lifecycle.py", "test_any_order.py", "test_demo.py"}
"""Whose tests take seconds each, mostly of waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the slow tests over the first half, so that no worker is left with them in the end."""
    slow = [item for item in items if item.path.name in SLOW]
    rest = [item for item in items if item.path.name not in SLOW]
    step = max(len(rest) // (2 * len(slow) + 1), 1) if slow else 1
    for number, item in enumerate(slow):
        rest.insert(min(number * (step + 1), len(rest)), item)
    items[:] = rest


SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of recordings and examples that are not part of this repository."""
    if not SHARED.is_dir():
        pytest.skip("the recordings of others are not beside this checkout")
    return SHARED


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIEmulator]:
    # It is the emulator that is tested with it, mostly without a scenario.
    async with OpenAIEmulator(speed=emulated.SPEED, strict=False) as emulator:
        yield emulator


@pytest.fixture
def endpoint() -> Iterator[emulated.Endpoint]:
    with emulated.endpoint() as receiver:
        yield receiver


@pytest.fixture
def url(endpoint: emulated.Endpoint) -> str:
    return endpoint.url
