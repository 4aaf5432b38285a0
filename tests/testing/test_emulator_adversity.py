"""A service that fails: requests on one call, outages, restarts, another worker, and what the service counts then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, get_args

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from emulated import SESSION, Frame, Peer, Program, accepted, act, error_of, post, sideband, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import (
    Behavior,
    CallerHangsUp,
    CallerSays,
    CallState,
    DecidedElsewhere,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    PingsUnanswered,
    RequestFails,
    RingingCall,
    ServiceRestarts,
    SocketDropped,
    SocketSilent,
    Timings,
)
from realtime_sip.testing.reply_faults import Operation

TOOLS: Frame = {**SESSION, "tools": [{"type": "function", "name": "order_status"}]}


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _status(openai: OpenAIEmulator, ringing: RingingCall) -> int:
    """Return with what status a sideband opens, or does not."""
    try:
        async with sideband(openai, ringing):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


# --- requests on one call ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acted", [False, True])
def test_an_accept_fails_for_good(acted: bool) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            ringing = await openai.ring(Program(), faults=[RequestFails("accept", times=10_000, acted=acted)])
            other = await openai.ring(Program())
            answers = [(await act(openai, ringing, "accept", SESSION)).status_code for _ in range(5)]
            assert answers == [500] * 5
            assert ringing.state is (CallState.ACCEPTED if acted else CallState.RINGING)
            assert ringing.tally.accepts == acted
            assert await _status(openai, ringing) == (101 if acted else 404)
            assert (await act(openai, other, "accept", SESSION)).status_code == 200

    run()


@virtual
async def test_an_accept_without_an_answer_may_have_been_carried_out() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Program(), faults=[RequestFails("accept", how="no answer", acted=True)])
        with pytest.raises(httpx.ReadTimeout):
            await post(openai, f"/calls/{ringing.call_id}/accept", json=SESSION)
        assert (ringing.state, ringing.tally.accepts) == (CallState.ACCEPTED, 1)
        answer = await act(openai, ringing, "accept", SESSION)
        assert (answer.status_code, error_of(answer)["code"]) == (409, "decision_already_made")
        assert ringing.tally.accepts == 1


@virtual
async def test_a_reject_works_the_third_time_and_a_hang_up_after_two_errors() -> None:
    async with OpenAIEmulator() as openai:
        faults = [RequestFails("reject", times=2, status=503), RequestFails("hangup", times=2, status=502, bare=True)]
        rejected = await openai.ring(Program(), faults=faults)
        assert [(await act(openai, rejected, "reject")).status_code for _ in range(3)] == [503, 503, 200]
        answered = await accepted(openai, Program(), faults=faults)
        answers = [await act(openai, answered, "hangup") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 502, 200]
    assert answers[0].text == "502 from a gateway\n"
    assert (rejected.tally.rejects, answered.tally.hangups) == (1, 1)
    assert (await answered.ended()).by is EndedBy.AGENT


@virtual
async def test_a_hang_up_never_answers() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), faults=[RequestFails("hangup", times=10_000, how="no answer")])
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                await act(openai, ringing, "hangup")
        assert (ringing.state, ringing.tally.hangups) == (CallState.ACCEPTED, 0)
        ringing.hang_up()
        await ringing.ended()


@virtual
async def test_a_refusal_has_the_code_and_the_headers_that_it_is_given() -> None:
    async with OpenAIEmulator() as openai:
        fault = RequestFails(
            "accept",
            status=429,
            code="insufficient_quota",
            retry_after=60,
            headers={"retry-after-ms": "60000", "x-should-retry": "false"},
        )
        ringing = await openai.ring(Program(), faults=[fault])
        answer = await act(openai, ringing, "accept", SESSION)
    assert error_of(answer)["code"] == "insufficient_quota"
    wanted = {"retry-after": "60", "retry-after-ms": "60000", "x-should-retry": "false"}
    assert {name: answer.headers[name] for name in wanted} == wanted


@pytest.mark.parametrize("named", [True, False])
def test_an_early_404_may_have_no_json(named: bool) -> None:
    @virtual
    async def run() -> None:
        behavior = Behavior(early=2.0, early_named=named)
        async with OpenAIEmulator(behavior=behavior, timings=Timings(attach=0.0)) as openai:
            ringing = await openai.ring(Program())
            early = [await act(openai, ringing, "accept", SESSION)]
            await asyncio.sleep(2)
            assert (await act(openai, ringing, "accept", SESSION)).status_code == 200
            early.append(await act(openai, ringing, "hangup"))
            with pytest.raises(InvalidStatus) as refused:
                await sideband(openai, ringing)
            body = refused.value.response.body or b""
            assert (b"call_id_not_found" in body) is named
            await asyncio.sleep(2)
            assert (await act(openai, ringing, "hangup")).status_code == 200
            gone = await act(openai, ringing, "hangup")
        assert [answer.status_code for answer in (*early, gone)] == [404] * 3
        assert [b"call_id_not_found" in answer.content for answer in early] == [named] * 2
        assert error_of(gone)["code"] == "call_id_not_found"

    run()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RequestFails("acccept"),  # type: ignore[arg-type]
        lambda: RequestFails("create"),
        lambda: RequestFails("accept", status=204),
        lambda: RequestFails("attach", acted=True),
        lambda: RequestFails("accept", times=0),
        lambda: RequestFails("accept", how="late"),  # type: ignore[arg-type]
        lambda: DecidedElsewhere(by="refer"),  # type: ignore[arg-type]
        lambda: DecidedElsewhere(after=-1),
        lambda: SocketDropped(when="attached", away=-1),
        lambda: SocketDropped(when="attached", fin=False),
        lambda: ServiceRestarts(when="attached", code=7),
    ],
)
def test_faults_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make()


# --- outages ----------------------------------------------------------------------------------------------------------


@virtual
async def test_an_outage_lasts_some_seconds_and_leaves_sidebands_alone() -> None:
    async with OpenAIEmulator() as openai:
        up = await accepted(openai, Program())
        ringing = await openai.ring(Program())
        async with sideband(openai, up) as connection:
            openai.outage(5)
            began = _now()
            while (await act(openai, ringing, "accept", SESSION)).status_code == 503:
                assert (await act(openai, up, "hangup")).status_code == 503
                assert (await post(openai, "/client_secrets", json={})).status_code == 503
                await asyncio.sleep(0.5)
            assert _now() - began == pytest.approx(5, abs=0.6)
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime"})
            await peer.until("session.updated")
            openai.outage(2, "refer", how="reset")
            with pytest.raises(httpx.HTTPError):
                await act(openai, up, "refer", {"target_uri": "tel:+14155550100"})
            openai.outage(2, *get_args(Operation))
            assert await _status(openai, up) == 503
            await asyncio.sleep(2)
            assert await _status(openai, up) == 101
    assert up.dialed == []


@pytest.mark.parametrize("arguments", [(0,), (-1,), (5, "nothing")])
def test_outages_that_make_no_sense_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError):
        OpenAIEmulator().outage(*arguments)


# --- another worker ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("status", [404, 409])
def test_another_worker_has_accepted_before(named: bool, status: int) -> None:
    @virtual
    async def run() -> None:
        behavior = Behavior(second_decision=status, decision_named=named)  # type: ignore[arg-type]
        async with OpenAIEmulator(behavior=behavior) as openai:
            scenario = [CallerSays("Hello?"), ModelSays("Hello."), CallerHangsUp()]
            ringing = await openai.ring(Program(), scenario=scenario, faults=[DecidedElsewhere()])
            for action in ("accept", "reject"):
                answer = await act(openai, ringing, action, SESSION if action == "accept" else None)
                code = "decision_already_made" if named else None
                assert (answer.status_code, error_of(answer)["code"]) == (status, code)
            # It goes on with the other worker, who is attached.
            assert (await ringing.ended()).by is EndedBy.CALLER
        assert ringing.tally.accepts == ringing.tally.rejects == ringing.sidebands == 0
        assert ringing.tally.unattended == 0
        assert ringing.notes == []

    run()


@virtual
async def test_what_the_program_does_to_the_other_workers_call_is_noted() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Program(), faults=[DecidedElsewhere()])
        assert await _status(openai, ringing) == 101
        assert (await act(openai, ringing, "hangup")).status_code == 200
        assert (await ringing.ended()).by is EndedBy.AGENT
    assert ringing.notes == [
        "the program attached to a call that another worker has",
        "the program did hangup to a call that another worker has",
    ]


@virtual
async def test_another_worker_rejects_or_comes_too_late() -> None:
    async with OpenAIEmulator() as openai:
        rejected = await openai.ring(Program(), faults=[DecidedElsewhere(by="reject", after=1)])
        late = await accepted(openai, Program(), faults=[DecidedElsewhere(after=1)])
        await asyncio.sleep(1.5)
        answer = await act(openai, rejected, "accept", SESSION)
        assert (answer.status_code, error_of(answer)["code"]) == (409, "decision_already_made")
        assert late.notes == ["another worker was to decide, but came too late"]
        assert late.tally.accepts == 1
        with pytest.raises(ConfigurationError, match="one other worker"):
            await openai.ring(Program(), faults=[DecidedElsewhere(), DecidedElsewhere(by="reject")])


# --- nobody attached --------------------------------------------------------------------------------------------------


@virtual
async def test_a_call_that_is_up_with_nobody_attached_is_counted() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Program())
        assert (openai.unattended, ringing.unattended) == ([], False)
        await act(openai, ringing, "accept", SESSION)
        await asyncio.sleep(3)
        assert [call.call_id for call in openai.unattended] == [ringing.call_id]
        async with sideband(openai, ringing):
            assert openai.unattended == []
            await asyncio.sleep(10)
            async with sideband(openai, ringing):
                ringing.drop()
            await asyncio.sleep(5)
            async with sideband(openai, ringing):
                await asyncio.sleep(1)
        await asyncio.sleep(2)
        assert ringing.unattended
        assert (await act(openai, ringing, "hangup")).status_code == 200
        await asyncio.sleep(50)
        assert (openai.unattended, ringing.unattended) == ([], False)
    tally = ringing.tally
    assert (tally.accepts, tally.hangups, tally.attaches) == (1, 1, 3)
    assert tally.unattended == pytest.approx(5, abs=0.1)
    assert tally.unattended_in_all == pytest.approx(10, abs=0.1)


# --- sidebands --------------------------------------------------------------------------------------------------------


@virtual
async def test_a_sideband_is_ready_only_after_some_seconds() -> None:
    async with OpenAIEmulator(behavior=Behavior(sideband_after=7)) as openai:
        ringing = await accepted(openai, Program())
        statuses = []
        for _ in range(8):
            statuses.append(await _status(openai, ringing))
            await asyncio.sleep(1)
        assert statuses == [404] * 7 + [101]
        soon = await accepted(openai, Program())
        assert (await act(openai, soon, "hangup")).status_code == 200


@virtual
async def test_one_stray_404_comes_on_attaching_again() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), faults=[RequestFails("attach", occurrence=2, status=404)])
        assert [await _status(openai, ringing) for _ in range(3)] == [101, 404, 101]


@virtual
async def test_an_upgrade_is_answered_200() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), faults=[RequestFails("attach", status=200)])
        assert [await _status(openai, ringing) for _ in range(2)] == [200, 101]
        assert ringing.sidebands == 1


@virtual
async def test_an_upgrade_is_preceded_by_an_informational_reply() -> None:
    async with OpenAIEmulator(behavior=Behavior(informational=103)) as openai:
        ringing = await accepted(openai, Program())
        port = int(openai.base_url.rpartition(":")[2].partition("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [
            f"GET /v1/realtime?call_id={ringing.call_id} HTTP/1.1",
            "host: localhost",
            f"authorization: Bearer {openai.api_key}",
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        first = await reader.readuntil(b"\r\n\r\n")
        second = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert first.startswith(b"HTTP/1.1 103 ")
    assert second.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("every", [False, True])
def test_a_restart_closes_sockets_as_they_open_and_then_they_work(every: bool) -> None:
    @virtual
    async def run() -> None:
        async with OpenAIEmulator() as openai:
            faults = [] if every else [ServiceRestarts(when="session.updated", seconds=3)]
            ringing = await accepted(openai, Program(), faults=faults)
            closes: list[int | None] = []
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await peer.send("session.update", session={"type": "realtime"})
                if every:
                    await peer.until("session.updated")
                    openai.restart(3)
                closes.append(await peer.closed_with())
            began = _now()
            while _now() < began + 2.9:
                async with sideband(openai, ringing) as connection:
                    with pytest.raises(ConnectionClosed):
                        await connection.recv()
                    closes.append(connection.close_code)
                await asyncio.sleep(0.25)
            assert ringing.unattended
            async with sideband(openai, ringing) as connection:
                peer = Peer(connection)
                await asyncio.sleep(1)
                await peer.send("session.update", session={"type": "realtime"})
                await peer.until("session.updated")
        assert set(closes) == {1012}
        assert len(closes) > 5

    run()


@virtual
async def test_nothing_can_be_opened_for_a_while_and_a_call_lost_in_the_hole_can_be_retrieved() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(
            openai,
            Program(),
            TOOLS,
            scenario=[ModelCalls("order_status", {"number": 7}), ModelSays("It is on its way.")],
            faults=[SocketDropped(when="response.created", away=3)],
        )
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("response.create")
            await peer.closed_with()
        assert peer.types == ["response.created"]
        assert await _status(openai, ringing) == 503
        await asyncio.sleep(3)
        (lost,) = [
            frame["item"]["id"] for frame in ringing.server_events if frame["type"] == "response.output_item.done"
        ]
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("conversation.item.retrieve", item_id=lost)
            item = (await peer.until("conversation.item.retrieved"))["item"]
            assert (item["name"], item["arguments"], item["status"]) == ("order_status", '{"number": 7}', "completed")
            output = {"type": "function_call_output", "call_id": item["call_id"], "output": "{}"}
            await peer.send("conversation.item.create", item=output)
            await peer.send("response.create")
            await peer.until("response.done")
    assert ringing.notes == []


@virtual
async def test_the_old_socket_still_counts_and_a_new_one_is_refused() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program(), faults=[SocketDropped(when="session.updated", counted=5)])
        async with sideband(openai, ringing) as connection:
            peer = Peer(connection)
            await peer.send("session.update", session={"type": "realtime"})
            await peer.closed_with()
        assert await _status(openai, ringing) == 409
        await asyncio.sleep(5)
        assert await _status(openai, ringing) == 101


@virtual
async def test_a_close_frame_comes_without_the_end_of_the_connection() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(
            openai, Program(), faults=[SocketDropped(when="session.updated", code=1011, fin=False)]
        )
        connection = await sideband(openai, ringing, close_timeout=4, ping_interval=None)
        await connection.send(json.dumps({"type": "session.update", "session": {"type": "realtime"}}))
        await asyncio.sleep(600)
        assert connection.state is State.CLOSING
        assert ringing.unattended
        await connection.close()  # the client ends it, since the service does not
        assert connection.close_code == 1011
        assert await _status(openai, ringing) == 101


@virtual
async def test_a_socket_stays_open_and_silent_while_events_flow_on_a_new_one() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(
            openai, Program(), scenario=[ModelSays("Hello.")], faults=[SocketSilent(when="session.updated")]
        )
        async with sideband(openai, ringing) as old, sideband(openai, ringing, ping_interval=None) as new:
            quiet = Peer(old)
            await quiet.send("session.update", session={"type": "realtime"})
            await quiet.until("session.updated")
            async with sideband(openai, ringing) as third:
                peer = Peer(third)
                await peer.send("response.create")
                await peer.until("output_audio_buffer.stopped")
                for connection in (old, new):
                    await asyncio.wait_for(await connection.ping(), 5)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(quiet.receive(), 5)


@virtual
async def test_pings_go_unanswered_while_events_flow() -> None:
    async with OpenAIEmulator() as openai:
        scenario = [ModelSays("Hello."), CallerSays("Hello?"), ModelSays("Yes?"), CallerHangsUp()]
        ringing = await accepted(
            openai, Program(), scenario=scenario, faults=[PingsUnanswered(when="response.created")]
        )
        async with sideband(openai, ringing, ping_interval=None) as connection:
            peer = Peer(connection)
            await asyncio.wait_for(await connection.ping(), 5)
            await peer.send("response.create")
            await peer.until("response.done")
            pong = asyncio.ensure_future(await connection.ping())
            await peer.closed()
            with pytest.raises(ConnectionClosed):
                await pong
    assert peer.types.count("response.done") == 2
    assert json.dumps(ringing.notes) == "[]"
