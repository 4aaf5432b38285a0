"""The queue between the read loop and a reader: bounded, honest about what is lost, and never in the way."""

from __future__ import annotations

import asyncio

import pytest

from realtime_sip.call.event_queue import EventQueue, EventsDropped

ROOM = 1000


def filled(*, deltas: int, others: int) -> EventQueue[str]:
    queue: EventQueue[str] = EventQueue()
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
    queue = filled(deltas=2, others=2)
    assert await drained(queue) == ["delta 0", "delta 1", "event 0", "event 1"]


async def test_law_a_slow_reader_loses_the_oldest_deltas_and_is_told() -> None:
    events = await drained(filled(deltas=10, others=ROOM - 3))
    assert events[:4] == [EventsDropped(7), "delta 7", "delta 8", "delta 9"]
    assert events[4:] == [f"event {number}" for number in range(ROOM - 3)]


async def test_a_delta_never_takes_the_room_of_another_event() -> None:
    queue = filled(deltas=0, others=ROOM)
    queue.put("delta", is_delta=True)
    events = await drained(queue)
    assert events == [EventsDropped(1), *(f"event {number}" for number in range(ROOM))]


async def test_the_oldest_events_go_where_there_are_no_deltas() -> None:
    events = await drained(filled(deltas=0, others=ROOM + 5))
    assert events == [EventsDropped(5), *(f"event {number}" for number in range(5, ROOM + 5))]


async def test_each_loss_is_told_once() -> None:
    queue = filled(deltas=ROOM + 1, others=0)
    assert await queue.get() == EventsDropped(1)
    assert await queue.get() == "delta 1"
    queue.put("event", is_delta=False)
    queue.put("event", is_delta=False)
    assert await queue.get() == EventsDropped(1)


async def test_a_reader_waits_for_the_next_event() -> None:
    queue: EventQueue[str] = EventQueue()
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not reading.done()
    queue.put("event", is_delta=False)
    assert await reading == "event"


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    queue: EventQueue[str] = EventQueue()
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put("event", is_delta=False)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await queue.get() == "event"


async def test_a_closed_queue_gives_what_waits_and_then_ends_for_good() -> None:
    queue = filled(deltas=0, others=1)
    queue.close()
    queue.put("too late", is_delta=False)
    assert [await queue.get() for _ in range(3)] == ["event 0", None, None]


async def test_closing_wakes_the_reader() -> None:
    queue: EventQueue[str] = EventQueue()
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    assert await reading is None
