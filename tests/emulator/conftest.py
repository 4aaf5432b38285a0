from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import emulated
import pytest

from realtime_sip.testing import OpenAIEmulator


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIEmulator]:
    async with OpenAIEmulator(speed=emulated.SPEED) as emulator:
        yield emulator


@pytest.fixture
def endpoint() -> Iterator[emulated.Endpoint]:
    with emulated.endpoint() as receiver:
        yield receiver


@pytest.fixture
def url(endpoint: emulated.Endpoint) -> str:
    return endpoint.url
