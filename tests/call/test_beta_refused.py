"""What the service takes for the beta API's is fatal: it is asked once, and the field that it names is passed on."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from phone import phone, virtual
from realtime_sip import AsyncRealtimeSip, Call, EndReason, ServiceRefused, beta
from realtime_sip.api.operations import Repeat, Reply, Request, exchange
from realtime_sip.api.protocol import Protocol, attach
from realtime_sip.call.machine import core, effects, inputs
from realtime_sip.call.machine.call_limits import CallLimits
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.errors import BetaDisabledError, SocketClosedError
from realtime_sip.outcomes import SocketClose, SocketCloseKind
from realtime_sip.session import RealtimeSession
from realtime_sip.testing import (
    CallerHangsUp,
    ErrorSent,
    ModelSays,
    OpenAIEmulator,
    SocketDropped,
    UpdateRefused,
)

HEADERS = {beta.HEADER: beta.HEADER_VALUE}
CLOSED = SocketClose(SocketCloseKind.BETA, 4000, f"{beta.DISABLED}: session.voice")


# --- REST -------------------------------------------------------------------------------------------------------------


async def test_a_request_of_the_beta_is_asked_once() -> None:
    """An HTTP client of the program's own, such as one that other APIs share, may bring the header."""
    async with OpenAIEmulator() as openai, httpx.AsyncClient(headers=HEADERS) as http:
        async with AsyncRealtimeSip(**openai.client_options, http_client=http) as client:
            with pytest.raises(BetaDisabledError, match="the request is of the beta API, which is off"):
                await client.client_secrets.create()
        assert [request.status for request in openai.requests] == [400]


@pytest.mark.parametrize("advice", [{}, {"x-should-retry": "true"}, {"retry-after": "0"}])
def test_it_is_never_repeated_whatever_the_service_advises(advice: dict[str, str]) -> None:
    body = b'{"error": {"code": "beta_api_shape_disabled", "param": "session.voice", "message": "No."}}'
    operation = attach("rtc_1")
    assert operation.repeat is Repeat.ANY
    steps = exchange(operation, deadline=5, clock=lambda: 0.0)
    assert isinstance(next(steps), Request)
    with pytest.raises(BetaDisabledError, match=r"session\.voice is of the beta API") as caught:
        steps.send(Reply(400, advice, body))
    assert caught.value.param == "session.voice"


# --- sockets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "reason", "shown"),
    [
        (
            ['{"type": "error", "error": {"code": "beta_api_shape_disabled", "param": "session.voice"}}'],
            f"invalid_request_error.{beta.DISABLED}",
            f"beta (4000 invalid_request_error.{beta.DISABLED}: session.voice)",
        ),
        (
            ['{"type": "error", "error": {"code": "beta_api_shape_disabled", "param": 7}}'],
            "",
            f"beta (4000 {beta.DISABLED})",
        ),
        ([], f"invalid_request_error.{beta.DISABLED}", f"beta (4000 invalid_request_error.{beta.DISABLED})"),
        ([], "", "refused (4000)"),
        (['{"type": "error", "error": {"code": "invalid_value"}}'], "", "refused (4000)"),
    ],
)
def test_the_close_names_the_field(frames: list[str], reason: str, shown: str) -> None:
    protocol = Protocol()
    for frame in frames:
        protocol.receive(frame)
    close = protocol.closed(4000, reason)
    assert str(close) == shown
    assert not close.quiet


async def test_a_bare_socket_with_the_header_raises_what_it_was() -> None:
    """The header that only something between the program and the service can bring."""
    async with OpenAIEmulator(strict=False) as openai, AsyncRealtimeSip(**openai.client_options) as client:
        ringing = await openai.ring("http://127.0.0.1:9/webhook", scenario=[CallerHangsUp(after=60)])
        await client.calls.accept(ringing.call_id, {"model": "gpt-realtime-2.1"})
        headers = client._transport.settings.extra_headers
        assert isinstance(headers, dict)
        headers.update(HEADERS)
        async with client.calls.connect(ringing.call_id) as sideband:
            assert (await sideband.recv()).type == "error"
            with pytest.raises(SocketClosedError, match=beta.DISABLED) as caught:
                await sideband.recv()
        assert caught.value.close.kind is SocketCloseKind.BETA
        headers.clear()
        await client.calls.hangup(ringing.call_id)


# --- a call -----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_call_is_not_attached_again_and_ends_with_what_it_was() -> None:
    faults = [
        ErrorSent(when="output_audio_buffer.stopped", code=beta.DISABLED),
        SocketDropped(when="output_audio_buffer.stopped", after=0.1, code=4000),
    ]
    async with phone(strict=False) as line:
        scenario = [ModelSays("Good morning."), CallerHangsUp(after=60)]
        ended, ringing = await line.played(*scenario, talk=greet_and_wait, faults=faults)
    assert ended.reason is EndReason.CONNECTION_LOST
    assert beta.DISABLED in ended.evidence
    assert ringing.sidebands == 1


def test_the_core_gives_up_at_once() -> None:
    state = core.start(RealtimeSession(), CallLimits(), now=0.0, unix=0.0)
    core.step(state, inputs.Answer(), 0.0)
    core.step(state, inputs.Accepted(), 0.1)
    core.step(state, inputs.Attached(), 0.2)
    decided = core.step(state, inputs.Closed(CLOSED), 5.0)
    assert [type(effect) for effect in decided] == [effects.HangUp]
    assert (state.socket, state.end) == (Socket.LOST, End.ENDING)
    assert state.decided is not None
    assert "session.voice" in state.decided.evidence


def test_an_upgrade_that_is_refused_is_not_tried_again_and_neither_is_the_hang_up() -> None:
    error = BetaDisabledError("attach: 400", status_code=400, code=beta.DISABLED, param="session.voice")
    state = core.start(RealtimeSession(), CallLimits(), now=0.0, unix=0.0)
    core.step(state, inputs.Answer(), 0.0)
    core.step(state, inputs.Accepted(), 0.1)
    decided = core.step(state, inputs.AttachFailed(error), 0.2)
    assert [type(effect) for effect in decided][-1] is effects.HangUp
    core.step(state, inputs.HangupFailed(error), 0.3)
    assert state.ended is not None
    assert state.ended.reason is EndReason.CONNECTION_LOST
    assert "session.voice" in state.ended.evidence


@virtual
async def test_an_update_of_ours_that_is_refused_so_is_not_sent_again() -> None:
    """While keys are collected, turn detection is held; a hold that is refused for another reason is tried again."""
    told: list[ServiceRefused] = []

    async def talk(call: Call) -> None:
        async def watch() -> None:
            async for event in call:
                if isinstance(event, ServiceRefused):
                    told.append(event)

        watching = asyncio.create_task(watch())
        await call.respond("Greet.")
        await call.collect_digits(timeout=30)
        await call.hangup()
        await watching

    async with phone() as line:
        place = "session.audio.input.turn_detection"
        refused = [UpdateRefused(occurrence=1, code=beta.DISABLED, param=place)]
        _, ringing = await line.played(ModelSays("Good morning."), talk=talk, faults=refused)
    updates = [e["session"] for e in ringing.client_events if e["type"] == "session.update" and len(e["session"]) > 1]
    # What is sent afterwards restores turn detection, as it is not known whether it was changed.
    assert [u["audio"]["input"]["turn_detection"]["create_response"] for u in updates] == [False, True]
    assert [(event.param, event.again) for event in told] == [(place, False)]


async def greet_and_wait(call: Call) -> None:
    call.respond("Greet.")
    await call.wait_ended()
