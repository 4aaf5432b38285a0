"""The queue between the read loop and a reader: bounded, honest about what is lost, and never in the way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_sip.call.event_queue import EventQueue, EventsDropped

ROOM = 1000


def as_text(frame: str | bytes) -> str:
    """Read a frame, as the service's would be read."""
    return frame.strip() if isinstance(frame, str) else frame.decode().strip()


async def opened() -> EventQueue[str]:
    """Return a queue that somebody reads."""
    queue: EventQueue[str] = EventQueue(as_text)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return queue


async def filled(*, deltas: int, others: int) -> EventQueue[str]:
    queue = await opened()
    for number in range(deltas):
        queue.put(f"delta {number}", is_delta=True)
    for number in range(others):
        queue.put(f"event {number}", is_delta=False)
    return queue


async def drained(queue: EventQueue[str]) -> list[str | EventsDropped]:
    queue.close()
    events = []
    while (event := await queue.get()) is not None:
        events.append(event)
    return events


async def test_events_come_in_order() -> None:
    queue = await filled(deltas=2, others=2)
    assert await drained(queue) == ["delta 0", "delta 1", "event 0", "event 1"]


async def test_law_a_slow_reader_loses_the_oldest_deltas_and_is_told() -> None:
    events = await drained(await filled(deltas=10, others=ROOM - 3))
    assert events[:4] == [EventsDropped(7), "delta 7", "delta 8", "delta 9"]
    assert events[4:] == [f"event {number}" for number in range(ROOM - 3)]


async def test_a_delta_never_takes_the_room_of_another_event() -> None:
    queue = await filled(deltas=0, others=ROOM)
    queue.put("delta", is_delta=True)
    events = await drained(queue)
    assert events == [EventsDropped(1), *(f"event {number}" for number in range(ROOM))]


async def test_the_oldest_events_go_where_there_are_no_deltas() -> None:
    events = await drained(await filled(deltas=0, others=ROOM + 5))
    assert events == [EventsDropped(5), *(f"event {number}" for number in range(5, ROOM + 5))]


async def test_each_loss_is_told_once() -> None:
    queue = await filled(deltas=ROOM + 1, others=0)
    assert await queue.get() == EventsDropped(1)
    assert await queue.get() == "delta 1"
    queue.put("event", is_delta=False)
    queue.put("event", is_delta=False)
    assert await queue.get() == EventsDropped(1)


async def test_law_before_anybody_reads_deltas_go_and_the_latest_others_and_the_calls_own_stay() -> None:
    queue: EventQueue[str] = EventQueue(as_text)
    for number in range(100):
        queue.put(f"delta {number}", is_delta=True)
        queue.put(f"event {number}")
        if number % 25 == 0:
            queue.put(f"own {number}", own=True)
    assert len(queue._waiting) == 44
    first, *events = await drained(queue)
    assert first == EventsDropped(100 + 60)
    assert [event for event in events if str(event).startswith("own")] == ["own 0", "own 25", "own 50", "own 75"]
    assert [e for e in events if str(e).startswith("event")] == [f"event {number}" for number in range(60, 100)]


async def test_the_bytes_that_wait_are_bounded_too() -> None:
    queue = await opened()
    for number in range(10):
        queue.put(f"delta {number}", is_delta=True, frame=f"delta {number}".ljust(1000))
        queue.put(f"event {number}", frame=f"event {number}".ljust(1_000_000))
    assert await drained(queue) == [EventsDropped(19), "event 9"]


async def test_what_nobody_reads_waits_as_it_came_and_is_read_as_it_would_have_been() -> None:
    queue: EventQueue[str] = EventQueue(as_text)
    queue.put("typed", frame="as it came ")
    queue.put("own", own=True)
    assert await drained(queue) == ["as it came", "own"]
    queue = await opened()
    queue.put("typed", frame="as it came ")
    assert await drained(queue) == ["typed"]


@pytest.mark.parametrize("is_delta", [True, False])
async def test_law_a_full_queue_costs_as_much_as_an_empty_one(is_delta: bool) -> None:
    queue = await filled(deltas=0, others=ROOM - 1)
    looked = 0

    class Counting(OrderedDict[int, Any]):
        def __iter__(self) -> Iterator[int]:
            nonlocal looked
            looked += 1
            return super().__iter__()

    queue._waiting = Counting(queue._waiting)
    looked = 0
    for number in range(ROOM):
        queue.put(f"event {number}", is_delta=is_delta)
    assert looked == 0
    assert len(queue._waiting) == ROOM


async def test_a_reader_waits_for_the_next_event() -> None:
    queue: EventQueue[str] = EventQueue(as_text)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not reading.done()
    queue.put("event", is_delta=False)
    assert await reading == "event"


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    queue: EventQueue[str] = EventQueue(as_text)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put("event", is_delta=False)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await queue.get() == "event"


async def test_a_closed_queue_gives_what_waits_and_then_ends_for_good() -> None:
    queue = await filled(deltas=0, others=1)
    queue.close()
    queue.put("too late", is_delta=False)
    assert [await queue.get() for _ in range(3)] == ["event 0", None, None]


async def test_closing_wakes_the_reader() -> None:
    queue: EventQueue[str] = EventQueue(as_text)
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    assert await reading is None
