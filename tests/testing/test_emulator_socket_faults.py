"""What goes wrong on a sideband at a chosen moment: sockets that drop or go silent, events that are not as usual."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from emulated import SESSION, Frame, Peer, Program, accepted, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    CallState,
    EndedBy,
    ErrorSent,
    EventAltered,
    EventLost,
    EventRepeated,
    FrameInjected,
    ModelCalls,
    ModelCallsMcp,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    SocketDropped,
    SocketSilent,
    UpdateRefused,
)

TOOLS = [
    {"type": "function", "name": "order_status", "parameters": {"type": "object"}},
    {"type": "mcp", "server_label": "orders", "server_url": "https://mcp.example.com", "require_approval": "never"},
]
CALL = [
    CallerSays("Where is my order?"),
    ModelCalls("order_status"),
    ModelCallsMcp("orders", "find", same_response=True),
    ModelSays("It is on its way, and will be there tomorrow."),
    CallerHangsUp(),
]
LAST_SEEN = {
    "generating": "response.function_call_arguments.delta",
    "playing": "output_audio_buffer.started",
    "tool": "response.done",
    "mcp": "response.mcp_call.in_progress",
    "caller": "input_audio_buffer.speech_started",
    "session.updated": "session.updated",
}


class Agent(Peer):
    """Serves a call, over as many sidebands as it takes; sends each tool's output once."""

    def __init__(self, connection: ClientConnection, answered: set[str]) -> None:
        super().__init__(connection)
        self.answered = answered

    async def serve(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.send("session.update", session={"type": "realtime"})
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self.receive()
                with contextlib.suppress(ConnectionClosed):
                    await self.act(frame)

    async def act(self, frame: Frame) -> None:
        if frame["type"] == "response.mcp_call.completed":
            await self.send("response.create")
        for item in frame.get("response", {}).get("output", ()):
            if item["type"] == "function_call" and item["call_id"] not in self.answered:
                self.answered.add(item["call_id"])
                output = {"type": "function_call_output", "call_id": item["call_id"], "output": "soon"}
                await self.send("conversation.item.create", item=output)


async def _served(openai: OpenAIEmulator, ringing: RingingCall) -> list[Agent]:
    """Serve the call until it is over; return what each sideband saw."""
    agents: list[Agent] = []
    answered: set[str] = set()
    while ringing.state is CallState.ACCEPTED:
        async with sideband(openai, ringing) as connection:
            agents.append(Agent(connection, answered))
            await agents[-1].serve()
    return agents


async def _turns(peer: Peer, count: int) -> None:
    for _ in range(count):
        await peer.send("response.create")
        await peer.until("output_audio_buffer.stopped")


@pytest.mark.parametrize("code", [1000, 1006, 1011])
@pytest.mark.parametrize("when", ["attached", *LAST_SEEN])
@virtual
async def test_a_socket_drops_in_every_phase_and_the_call_goes_on(when: str, code: int) -> None:
    async with OpenAIEmulator() as openai:
        faults = [SocketDropped(when=when, code=code)]
        ringing = await accepted(openai, Program(), {**SESSION, "tools": TOOLS}, scenario=CALL, faults=faults)
        first, *more = await _served(openai, ringing)
        assert (await ringing.ended()).by is EndedBy.CALLER
    assert first.connection.close_code == code
    assert [frame["type"] for frame in first.frames][-1:] == ([LAST_SEEN[when]] if when in LAST_SEEN else [])
    (again,) = more
    ids = [frame["event_id"] for frame in (*first.frames, *again.frames)]
    assert len(set(ids)) == len(ids)
    assert again.connection.close_code == 1000


@virtual
async def test_which_of_the_moments_it_is_and_how_much_later() -> None:
    scenario = [ModelSays("First, and for a while."), ModelSays("Second, and for a while."), CallerHangsUp()]
    async with OpenAIEmulator(strict=False) as openai:
        faults = [SocketDropped(when="playing", occurrence=2, after=0.5)]
        ringing = await accepted(openai, Program(), scenario=scenario, faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _turns(peer, 1)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.started")
            began = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionClosed):
                await peer.until("output_audio_buffer.stopped")
            assert asyncio.get_running_loop().time() - began == pytest.approx(0.5)


@virtual
async def test_what_the_client_asked_for_happens_though_its_socket_dropped() -> None:
    async with OpenAIEmulator() as openai:
        faults = [SocketDropped(when="response.create")]
        ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello."), CallerHangsUp()], faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            with pytest.raises(ConnectionClosed):
                await peer.receive()
        await ringing.ended()
    assert peer.frames == []
    assert [said.text for said in ringing.said] == ["Hello."]


@pytest.mark.parametrize("code", [1000, 1006, 1011])
@virtual
async def test_the_call_may_be_over_with_its_socket(code: int) -> None:
    async with OpenAIEmulator(strict=False) as openai:
        faults = [SocketDropped(when="caller", code=code, call_over=True)]
        ringing = await accepted(openai, Program(), scenario=CALL, faults=faults)
        async with sideband(openai, ringing) as connection:
            with pytest.raises(ConnectionClosed):
                await Peer(connection).until("response.created")
            assert connection.close_code == code
        end = await ringing.ended()
    assert (end.by, end.close_code) == (EndedBy.CALLER, code)


@pytest.mark.parametrize("pongs", [True, False])
@virtual
async def test_a_socket_goes_silent_and_another_one_works(pongs: bool) -> None:
    async with OpenAIEmulator() as openai:
        faults = [SocketSilent(when="session.updated", pongs=pongs)]
        ringing = await accepted(openai, Program(), faults=faults)
        async with sideband(openai, ringing, ping_interval=None, close_timeout=1) as connection:
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime"})
            await peer.until("session.updated")
            await peer.send("session.update", session={"type": "realtime"})
            pong = await connection.ping()
            done, _ = await asyncio.wait((asyncio.ensure_future(pong),), timeout=60)
            assert bool(done) is pongs
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await peer.receive()
        assert len(ringing.client_events) == 1
        async with sideband(openai, ringing) as connection:
            again = Peer(connection)
            await again.send("session.update", session={"type": "realtime"})
            await again.until("session.updated")
            ringing.silence(pongs=pongs)
            ringing.hang_up()
            assert (await ringing.ended()).close_code is None


@virtual
async def test_nothing_stays_of_a_call_that_is_in_the_middle_of_everything() -> None:
    before = asyncio.all_tasks()
    turns = {"type": "server_vad", "idle_timeout_ms": 5000}
    session = {**SESSION, "tools": TOOLS, "audio": {"input": {"turn_detection": turns}}}
    async with OpenAIEmulator(strict=False) as openai:
        faults = [SocketSilent(when="mcp", after=1, pongs=False), SocketDropped(when="mcp", after=100)]
        scenario = [
            ModelCallsMcp("orders", "find", seconds=1000),
            ModelCallsMcp("orders", "find", approval=True, same_response=True),
            CallerSays("Hello?", during="tool"),
        ]
        ringing = await accepted(openai, Program(), session, scenario=scenario, faults=faults)
        async with sideband(openai, ringing, close_timeout=1) as connection:
            await Peer(connection).send("response.create")
            with pytest.raises(ConnectionClosed):
                await Peer(connection).until("response.mcp_call.completed")
        attached = await sideband(openai, ringing, ping_interval=None)
    await attached.wait_closed()
    assert (await ringing.ended()).by is EndedBy.EMULATOR
    assert asyncio.all_tasks() == before


@virtual
async def test_an_error_comes_out_of_nowhere() -> None:
    async with OpenAIEmulator() as openai:
        faults = [ErrorSent(when="attached", code="server_overloaded", event_id="event_of_nobody")]
        ringing = await accepted(openai, Program(), faults=faults)
        async with sideband(openai, ringing) as connection:
            error = (await Peer(connection).until("error"))["error"]
    assert (error["type"], error["code"], error["event_id"]) == (
        "server_error",
        "server_overloaded",
        "event_of_nobody",
    )


@virtual
async def test_one_update_of_the_session_is_refused_and_named() -> None:
    fault = UpdateRefused(occurrence=2, code="invalid_value", param="session.tools", message="No.")
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), faults=[fault])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            for name in "first", "second", "third":
                # Without a change it is no update that could be refused.
                await peer.send("session.update", session={"type": "realtime"}, event_id="bare")
                await peer.until("session.updated")
                change = {"type": "realtime", "instructions": name}
                await peer.send("session.update", session=change, event_id=name)
                await peer.until("error" if name == "second" else "session.updated")
    errors = [frame["error"] for frame in peer.frames if frame["type"] == "error"]
    assert errors == [
        {
            "type": "invalid_request_error",
            "code": "invalid_value",
            "message": "No.",
            "param": "session.tools",
            "event_id": "second",
        }
    ]
    updated = [frame["session"]["instructions"] for frame in peer.frames if frame["type"] == "session.updated"]
    assert updated == ["Be brief.", "first", "first", "first", "third"]


@virtual
async def test_unknown_and_malformed_events_come_between_known_ones() -> None:
    unknown, malformed = '{"type": "response.dreamt", "dream": {}}', '{"type": "response.done", "response": 7}'
    async with OpenAIEmulator() as openai:
        faults = [FrameInjected(when="response.created", data=data) for data in (unknown, malformed)]
        ringing = await accepted(openai, Program(), scenario=[ModelSays("Hello.")], faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.until("output_audio_buffer.stopped")
    assert peer.types[:4] == ["response.created", "response.dreamt", "response.done", "response.output_item.added"]


@pytest.mark.parametrize("kind", ["response.created", "response.done", "output_audio_buffer.started"])
@virtual
async def test_an_event_is_lost_for_one_response(kind: str) -> None:
    async with OpenAIEmulator() as openai:
        faults = [EventLost(kind, occurrence=2)]
        scenario = [ModelSays("One."), ModelSays("Two."), ModelSays("Three.")]
        ringing = await accepted(openai, Program(), scenario=scenario, faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _turns(peer, 3)
    here = [frame.get("response_id") or frame["response"]["id"] for frame in peer.frames if frame["type"] == kind]
    all_ids = [frame["response_id"] for frame in peer.frames if frame["type"] == "output_audio_buffer.stopped"]
    assert here == [all_ids[0], all_ids[2]]
    told = [frame for frame in ringing.server_events if frame["type"] == kind]
    assert len(told) == 3


@virtual
async def test_the_end_of_speech_is_lost_and_its_response_comes() -> None:
    faults = [
        EventLost("input_audio_buffer.speech_stopped"),
        EventLost("response.output_audio_transcript.delta", times=100),
    ]
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), scenario=CALL[:1] + CALL[3:], faults=faults)
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.closed()
    assert not {"input_audio_buffer.speech_stopped", "response.output_audio_transcript.delta"} & set(peer.types)
    assert "response.done" in peer.types


@virtual
async def test_an_event_of_the_clients_is_lost() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await accepted(openai, Program(), faults=[EventLost("response.create")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create", event_id="first")
            await peer.send("response.create", event_id="second")
            await peer.until("output_audio_buffer.stopped")
    assert [event["event_id"] for event in ringing.client_events] == ["second"]
    assert peer.types.count("response.created") == 1


@virtual
async def test_an_event_arrives_twice() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await accepted(openai, Program(), faults=[EventRepeated("response.done")])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _turns(peer, 1)
    first, second = [frame for frame in peer.frames if frame["type"] == "response.done"]
    assert first == second


def _with_a_dream(event: Frame) -> Frame:
    event["response"]["output"].append({"id": "item_dream", "type": "dream", "of": "sheep"})
    return event


@virtual
async def test_a_known_event_holds_what_is_not_known() -> None:
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await accepted(openai, Program(), faults=[EventAltered("response.done", _with_a_dream)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await _turns(peer, 1)
    done = next(frame for frame in peer.frames if frame["type"] == "response.done")
    assert [item["type"] for item in done["response"]["output"]] == ["message", "dream"]
    assert done in ringing.server_events


@pytest.mark.parametrize(
    "fault",
    [
        lambda: SocketDropped(),
        lambda: SocketDropped(when="attached", after_frames=1),
        lambda: SocketDropped(when="lunch"),
        lambda: SocketDropped(when="attached", occurrence=0),
        lambda: SocketDropped(when="attached", after=-1),
        lambda: SocketDropped(when="attached", code=1004),
        lambda: EventLost("response.done", times=0),
        lambda: EventRepeated("response.create"),
        lambda: EventAltered("response.create", lambda event: event),
    ],
)
def test_faults_that_cannot_be_are_refused(fault: Any) -> None:
    with pytest.raises(ConfigurationError):
        fault()


@virtual
async def test_what_is_no_fault_is_refused() -> None:
    async with OpenAIEmulator() as openai:
        with pytest.raises(ConfigurationError):
            await openai.ring(Program(), faults=["drop it"])  # type: ignore[list-item]
        assert not openai.calls
