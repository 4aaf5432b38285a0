"""Fixtures for what each store promises: one in memory, and, if `-m stores` asks for them, those of real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from kept import Clock, Servers

from realtime_sip.stores import Store
from realtime_sip.stores.memory import MemoryStore

KINDS = ["memory", pytest.param("redis", marks=pytest.mark.stores), pytest.param("postgres", marks=pytest.mark.stores)]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(kind: str, clock: Clock, servers: Servers) -> AsyncIterator[Store]:
    store = servers.make(kind, clock)
    yield store
    if not isinstance(store, MemoryStore):
        await store.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return which kind of store to make."""
    return str(request.param)
