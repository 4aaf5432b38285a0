"""How far a call walks through the source. A room is a folder as in `test_layers.py`, or a module at the top level."""

from __future__ import annotations

import base64
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import standardwebhooks
from pydantic import BaseModel
from test_layers import FLOORS, SOURCE, parts_of, place

from phone import greet, phone, virtual
from realtime_sip import OpenAIWebhooks, events
from realtime_sip.call.runtime import Runtime
from realtime_sip.testing import CallerHangsUp, CallerSays, ModelSays

MOST_ROOMS = 6
CALL = {"call_id": "rtc_1", "sip_headers": [{"name": "From", "value": "<sip:+14155550100@example.com>"}]}


def room(frame: FrameType) -> str | None:
    """Return the room that a frame is in; None if it is in none of the product's, or plays the service."""
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(SOURCE):
        return None
    found = place(parts_of(path))
    return None if found == "testing" else found


def rooms(frame: FrameType | None) -> list[str]:
    """Return the rooms on the stack of a frame, from whoever called first."""
    found: list[str] = []
    while frame is not None:
        found += [room(frame) or ""]
        frame = frame.f_back
    return [name for name, _ in itertools.groupby(name for name in reversed(found) if name)]


@contextmanager
def watched(called: Callable[[FrameType], None]) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(lambda frame, what, _arg: called(frame) if what == "call" else None)
    try:
        yield
    finally:
        sys.setprofile(before)


def test_the_body_of_a_webhook_stays_in_one_room_but_for_the_reader_of_json() -> None:
    secret = "whsec_" + base64.b64encode(b"a secret of the tests").decode()
    now = int(time.time())
    body = json.dumps(
        {"object": "event", "id": "evt_1", "type": "realtime.call.incoming", "created_at": now, "data": CALL}
    ).encode()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(
            "msg_1", datetime.fromtimestamp(now, UTC), body.decode()
        ),
    }
    seen: set[str] = set()

    def called(frame: FrameType) -> None:
        held = frame.f_locals.values()
        if any(value == body or value == body.decode() for value in held if isinstance(value, str | bytes)):
            seen.add(room(frame) or "")

    with watched(called):
        event = OpenAIWebhooks(secret).unwrap(body, headers)
    assert event.id == "evt_1"
    assert seen - {""} == {"webhooks", "_wire"}


@virtual
async def test_an_incoming_call_reaches_its_accept_through_few_rooms_and_climbs_into_none() -> None:
    walks: list[list[str]] = []

    def called(frame: FrameType) -> None:
        # The request runs in a task of its own, so that the walk has two stacks.
        if frame.f_code is Runtime.start.__code__:
            walks.append(rooms(frame))
        if frame.f_code is httpx.AsyncClient.send.__code__ and frame.f_locals["request"].url.path.endswith("/accept"):
            walks.append(rooms(frame))

    async with phone() as line:
        with watched(called):
            await line.played(ModelSays("Good morning."), CallerHangsUp(), talk=greet)

    started, accepted = walks[:2]  # a coroutine that goes on is called once more
    walk = [name for name, _ in itertools.groupby(started + accepted)]
    assert walk[0] == "hosting"
    assert walk[-1] == "api"
    assert len(walk) <= MOST_ROOMS, walk
    floors = [FLOORS.index(each) for each in walk]
    assert floors == sorted(floors, reverse=True), walk


@virtual
async def test_a_frame_is_typed_once_and_stays_typed() -> None:
    typed: Counter[Any] = Counter()
    dumped: list[str] = []

    def called(frame: FrameType) -> None:
        if frame.f_code is events.parse_server_event.__code__:
            typed[frame.f_locals["data"]] += 1
        if frame.f_code is BaseModel.model_dump.__code__ and isinstance(frame.f_locals["self"], events.ServerEvent):
            dumped.extend(rooms(frame))

    async with phone() as line:
        with watched(called):
            await line.played(
                ModelSays("Good morning."), CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp(), talk=greet
            )
    assert len(typed) > 10
    assert set(typed.values()) == {1}
    assert dumped == []
