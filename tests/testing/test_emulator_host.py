"""Calls that are given to an object in the same process, as `CallHost` is, instead of a URL."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from emulated import SESSION, Endpoint, Program, accepted, act, virtual
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing import Behavior, CallerHangsUp, EndedBy, OpenAIEmulator, ScenarioError, Timings
from realtime_sip.webhooks import IncomingCall, LiveTransportIncoming, OpenAIWebhooks


class Failing(Program):
    """Fails so many times before it takes a call."""

    def __init__(self, times: int, error: Exception) -> None:
        super().__init__()
        self.times = times
        self.error = error

    async def submit(self, incoming: IncomingCall) -> str:
        await super().submit(incoming)
        if len(self.incoming) <= self.times:
            raise self.error
        return "taken"


class Slow(Program):
    """Takes so many seconds for its first call."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def submit(self, incoming: IncomingCall) -> str:
        await super().submit(incoming)
        if len(self.incoming) == 1:
            await asyncio.sleep(self.seconds)
            return "late"
        return "repeat"


class Noticing(Program):
    """Says how calls ended; or raises; or, without anything to say, never does."""

    def __init__(self, says: object = None) -> None:
        super().__init__()
        self.says = says

    async def ended(self, call_id: str) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        if self.says is None:
            await asyncio.Event().wait()
        return self.says


GONE = SimpleNamespace(reason="the caller hung up", certainty="inferred", evidence=("the socket closed",))


@virtual
async def test_a_call_is_submitted_as_a_server_would() -> None:
    program = Program()
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(program, caller="+14155550111", dialed="+14155550122")
        await ringing.until_delivered()
    (incoming,) = program.incoming
    assert incoming.call_id == ringing.call_id
    assert incoming.webhook_id is not None
    assert (incoming.caller, incoming.dialed) == ("+14155550111", "+14155550122")
    assert incoming.media_security == "srtp"
    assert ringing.submissions == ["taken"]
    (answer,) = ringing.webhook_responses
    assert (answer.url, answer.webhook_id, answer.status_code) == (None, incoming.webhook_id, 200)


@pytest.mark.parametrize("channel", ["phone", "whatsapp", "sip"])
@virtual
async def test_a_call_comes_by_a_channel(channel: Any) -> None:
    program = Program()
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(
            program,
            caller="+14155550111",
            dialed="+14155550122",
            channel=channel,
            sip_headers=[("X-Tier", "gold"), ("User-to-User", "abcd;encoding=hex")],
        )
        await ringing.until_delivered()
    (incoming,) = program.incoming
    assert (incoming.channel, incoming.caller, incoming.dialed) == (channel, "+14155550111", "+14155550122")
    headers = incoming.sip
    # Only a trunk tells what was dialed in Diversion; only TwiML tells a channel.
    assert ("Diversion" in headers, "X-Channel" in headers) == (channel == "phone", channel != "phone")
    assert "whatsapp:" not in (headers.get("From") or "")
    assert (headers.get("X-Tier"), len(headers.user_to_user)) == ("gold", 1)


@virtual
async def test_a_caller_of_a_sip_domain_may_have_a_name_and_a_channel_must_be_known() -> None:
    program = Program()
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(program, caller="alice", channel="sip")
        await ringing.until_delivered()
        with pytest.raises(ConfigurationError, match="channel"):
            await openai.ring(program, channel="fax")  # type: ignore[arg-type]
    (incoming,) = program.incoming
    assert (incoming.channel, incoming.caller) == ("sip", None)


@virtual
async def test_an_exception_is_a_failed_delivery_and_is_repeated() -> None:
    program = Failing(2, RuntimeError("broken"))
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(program)
        await ringing.until_delivered()
    assert [answer.status_code for answer in ringing.webhook_responses] == [500, 500, 200]
    assert ringing.submissions == [program.error, program.error, "taken"]
    assert len({incoming.webhook_id for incoming in program.incoming}) == 1


@virtual
async def test_a_submission_that_takes_too_long_goes_on_and_the_webhook_is_repeated() -> None:
    program = Slow(8)
    async with OpenAIEmulator(timings=Timings(webhook_timeout=5, webhook_retry=2)) as openai:
        ringing = await openai.ring(program)
        await ringing.until_delivered()
        assert ringing.submissions == ["repeat"]
        await asyncio.sleep(8)
        assert ringing.submissions == ["repeat", "late"]
    assert [answer.status_code for answer in ringing.webhook_responses] == [None, 200]


@virtual
async def test_a_program_may_block_in_a_thread() -> None:
    class Blocking:
        def submit(self, incoming: IncomingCall) -> str:
            return threading.current_thread().name

        def ended(self, call_id: str) -> None:
            raise AssertionError("it would block the event loop")

    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Blocking())
        await ringing.until_delivered()
        ringing.hang_up()
        assert (await ringing.ended()).seen is None
    # Not asyncio's, which resolves names: a program that hangs would take it away from everything else.
    assert ringing.submissions == ["realtime-sip-submit"]


@virtual
async def test_several_programs_get_ids_of_their_own_and_duplicates_the_same() -> None:
    here, there = Program(), Program()
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring([here, there], duplicates=1)
        await ringing.until_delivered(count=4)
    assert ringing.submissions == ["taken"] * 4
    assert len({incoming.webhook_id for incoming in here.incoming}) == 1
    assert {i.webhook_id for i in here.incoming}.isdisjoint({i.webhook_id for i in there.incoming})


async def test_programs_and_urls_can_be_mixed(openai: OpenAIEmulator, endpoint: Endpoint) -> None:
    program = Program()
    ringing = await openai.ring([endpoint.url, program])
    await ringing.until_delivered(count=2)
    assert endpoint.deliveries[0].event["data"]["call_id"] == program.incoming[0].call_id


@virtual
async def test_the_end_tells_what_the_service_saw_and_what_the_program_says() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Noticing(GONE), scenario=[CallerHangsUp(after=60)])
        end = await ringing.ended()
    assert (end.by, end.seen) == (EndedBy.CALLER, GONE)
    assert (end.reason, end.certainty, end.evidence) == (GONE.reason, GONE.certainty, GONE.evidence)


@pytest.mark.parametrize("program", [Program(), Noticing(LookupError())])
@virtual
async def test_a_program_may_have_nothing_to_say_about_the_end(program: Program) -> None:
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(program)
        await act(openai, ringing, "reject")
        end = await ringing.ended()
    assert (end.by, end.seen, end.reason, end.certainty, end.evidence) == (EndedBy.REJECTED, None, None, None, None)


@virtual
async def test_a_program_that_does_not_notice_the_end_is_not_waited_for_without_a_deadline() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Noticing(), scenario=[CallerHangsUp()])
        with pytest.raises(ScenarioError, match="expected the program to notice the end"):
            await ringing.ended()
        assert not [task for task in asyncio.all_tasks() if "ended" in repr(task.get_coro())]


@virtual
async def test_of_several_programs_the_one_that_had_the_call_says_how_it_ended() -> None:
    programs = [Noticing(LookupError()), Noticing(), Noticing(GONE)]
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(programs)
        await act(openai, ringing, "accept", SESSION)
        ringing.hang_up()
        assert (await ringing.ended()).reason == GONE.reason


@virtual
async def test_a_mistake_of_the_program_at_the_end_is_not_hidden() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Noticing(ZeroDivisionError()), scenario=[CallerHangsUp()])
        with pytest.raises(ZeroDivisionError):
            await ringing.ended()


@pytest.mark.parametrize(("ids", "same"), [("live", False), ("rtc", True)])
async def test_one_call_may_raise_a_webhook_of_the_live_api_too(
    openai: OpenAIEmulator, endpoint: Endpoint, ids: Any, same: bool
) -> None:
    program = Program()
    ringing = await openai.ring([endpoint.url, program], live=True, behavior=Behavior(live_ids=ids))
    await ringing.until_delivered(count=2)
    await ringing.until_delivered(count=2, type="live.transport.incoming")
    webhooks = OpenAIWebhooks(openai.webhook_secret)
    events = {type(event): event for event in (webhooks.unwrap(d.body, d.headers) for d in endpoint.deliveries)}
    assert set(events) == {IncomingCall, LiveTransportIncoming}
    live = events[LiveTransportIncoming]
    assert isinstance(live, LiveTransportIncoming)
    assert (live.session_id == ringing.call_id) is same
    assert len({answer.webhook_id for answer in ringing.webhook_responses}) == 4
    assert len({delivery.event["id"] for delivery in endpoint.deliveries}) == 2
    assert [type(incoming) for incoming in program.incoming] == [IncomingCall]


@virtual
async def test_the_default_deadline_of_virtual_time_outlasts_every_call() -> None:
    async with OpenAIEmulator() as openai:
        ringing = await accepted(openai, Program())
        assert (await ringing.ended()).by is EndedBy.EXPIRED


@virtual
async def test_what_a_program_is_still_doing_ends_with_the_emulator() -> None:
    before = asyncio.all_tasks()
    async with OpenAIEmulator() as openai:
        ringing = await openai.ring(Slow(100_000))
        await ringing.until_delivered()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("target", [object(), [object()], [Program(), "127.0.0.1:80"], 5])
async def test_a_target_that_takes_no_calls_is_refused(openai: OpenAIEmulator, target: Any) -> None:
    with pytest.raises(ConfigurationError):
        await openai.ring(target)
