"""The router: the first route that a call is for answers it, and a call that none is for is rejected."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from typing import Any

import pytest

from phone import SESSION, Phone, phone, types, virtual, wait
from realtime_sip import (
    AsyncRealtimeSip,
    CallHost,
    EndReason,
    IncomingCall,
    MemoryStore,
    OpenAIWebhooks,
    RealtimeSession,
    Submission,
)
from realtime_sip.errors import BetaShapeError, ConfigurationError, InvalidRequestError
from realtime_sip.hosting.router import Condition, RouteHandler, Router
from realtime_sip.sip.address import SipUri
from realtime_sip.sip.signed_context import CONTEXT_HEADER, ContextSigner
from realtime_sip.testing import CallerHangsUp, EndedBy, ModelSays, RingingCall, run_virtual

NOW = 1_795_000_000.0
SALES, SUPPORT = "+14155550101", "+14155550102"
SECRET = "a context secret of the tests"
HOOK_SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="


def session(instructions: str) -> dict[str, Any]:
    return {**SESSION, "instructions": instructions}


def call(
    *,
    dialed: str = SALES,
    channel: str | None = None,
    context: dict[str, str] | None = None,
    claimed: dict[str, str] | None = None,
    nonce: str | None = None,
    call_id: str = "rtc_1",
) -> IncomingCall:
    """Return a call as `unwrap` gives it, `context` signed and `claimed` not."""
    hooks = OpenAIWebhooks(HOOK_SECRET, context_secret=SECRET, clock=lambda: NOW)
    headers = [("From", "<sip:+14155550100@example.com>"), ("To", f"<sip:{dialed}@example.com>"), ("Call-ID", "1")]
    headers += [("X-Channel", channel)] if channel else []
    headers += [(f"X-{key}", value) for key, value in (claimed or {}).items()]
    if context is not None:
        headers += ContextSigner(SECRET).sign(context, parent_call_sid=None, now=NOW, nonce=nonce).items()
    data = {"call_id": call_id, "sip_headers": [{"name": name, "value": value} for name, value in headers]}
    body = json.dumps({"type": "realtime.call.incoming", "created_at": int(NOW), "data": data})
    event = hooks.unwrap(body, hooks.sign(body, id="wh_1", timestamp=NOW))
    assert isinstance(event, IncomingCall)
    return event


async def sales(incoming: IncomingCall, session: RealtimeSession) -> None:
    raise AssertionError("matching calls nobody")


async def support(incoming: IncomingCall, session: RealtimeSession) -> None:
    raise AssertionError("matching calls nobody")


@pytest.fixture
def router() -> Router:
    return Router()


async def matched(router: Router, incoming: IncomingCall) -> object:
    route = await router.match(incoming)
    return route.handler if route is not None else None


# --- which route ---------------------------------------------------------------------------------------------------


async def test_the_dialed_number_decides(router: Router) -> None:
    router.add(sales, session=SESSION, dialed=SALES)
    router.add(support, session=SESSION, dialed=[SUPPORT, "+1 (415) 555-0103"])
    assert await matched(router, call(dialed=SALES)) is sales
    assert await matched(router, call(dialed=SUPPORT)) is support
    assert await matched(router, call(dialed="+14155550103")) is support
    assert await matched(router, call(dialed="+14155550104")) is None
    assert await matched(router, call(dialed="proj_a")) is None


async def test_the_channel_decides(router: Router) -> None:
    router.add(sales, session=SESSION, channel="whatsapp")
    router.add(support, session=SESSION, channel=("phone", "sip"))
    assert await matched(router, call(channel="whatsapp")) is sales
    assert await matched(router, call()) is support


async def test_law_only_the_verified_context_decides(router: Router) -> None:
    router.add(sales, session=SESSION, context={"tier": "gold"})
    assert await matched(router, call(context={"tier": "gold", "city": "Zürich"})) is sales
    assert await matched(router, call(context={"tier": "silver"})) is None
    assert await matched(router, call(context={})) is None
    assert await matched(router, call(claimed={"Tier": "gold", "tier": "gold"})) is None
    assert await matched(router, call(context={"tier": "gold"}).without_context()) is None


async def test_a_function_decides_sync_or_async(router: Router) -> None:
    async def slowly(incoming: IncomingCall) -> bool:
        await asyncio.sleep(0)
        return incoming.dialed == SUPPORT

    router.add(sales, session=SESSION, when=lambda incoming: incoming.dialed == SALES)
    router.add(support, session=SESSION, when=slowly)
    assert await matched(router, call(dialed=SALES)) is sales
    assert await matched(router, call(dialed=SUPPORT)) is support
    assert await matched(router, call(dialed="+14155550104")) is None


async def test_all_given_conditions_must_hold_and_the_function_is_asked_last(router: Router) -> None:
    asked: list[str | None] = []

    def when(incoming: IncomingCall) -> bool:
        asked.append(incoming.call_id)
        return incoming.call_id != "rtc_no"

    router.add(sales, session=SESSION, dialed=SALES, channel="phone", context={"tier": "gold"}, when=when)
    gold = {"tier": "gold"}
    assert await matched(router, call(context=gold)) is sales
    assert await matched(router, call(context=gold, call_id="rtc_no")) is None
    assert await matched(router, call(context=gold, dialed=SUPPORT)) is None
    assert await matched(router, call(context=gold, channel="sip")) is None
    assert await matched(router, call()) is None
    assert asked == ["rtc_1", "rtc_no"]


async def test_the_first_match_wins_and_a_route_without_conditions_takes_the_rest(router: Router) -> None:
    first = router.add(sales, session=SESSION, dialed=SALES)
    second = router.add(support, session=SESSION, dialed=[SALES, SUPPORT])
    rest = router.add(support, session=SESSION)
    assert [await router.match(call(dialed=number)) for number in (SALES, SUPPORT, "+14155550104")] == [
        first,
        second,
        rest,
    ]


async def test_a_decorated_handler_stays_the_function_it_is(router: Router) -> None:
    assert router.route(session=SESSION, dialed=SALES)(sales) is sales
    route = await router.match(call())
    assert route is not None
    assert (route.handler, route.name) == (sales, "sales")
    assert isinstance(route.session, RealtimeSession)


async def test_a_router_without_routes_matches_nothing(router: Router) -> None:
    assert await router.match(call()) is None


# --- a condition that fails ----------------------------------------------------------------------------------------


def raising(incoming: IncomingCall) -> bool:
    raise KeyError(incoming.caller)


async def raising_later(incoming: IncomingCall) -> bool:
    raise KeyError(incoming.caller)


async def never(incoming: IncomingCall) -> bool:
    await asyncio.sleep(1e6)
    return True


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="realtime_sip"):
        yield caplog
    assert "555" not in caplog.text, "a number is in the log"


@pytest.mark.parametrize("when", [raising, raising_later, never])
def test_a_condition_that_fails_says_no_and_the_next_route_serves_the_caller(
    when: Condition, router: Router, log: pytest.LogCaptureFixture
) -> None:
    router.add(sales, session=SESSION, when=when)
    router.add(support, session=SESSION)
    assert run_virtual(matched(router, call())) is support
    (record,) = [record for record in log.records if record.name == "realtime_sip.router"]
    assert record.levelno == logging.ERROR
    message = record.getMessage()
    assert "rtc_1" in message
    assert "sales" in message
    assert ("DeadlineError" if when is never else f"KeyError in {when.__name__}") in message


# --- at the door ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conditions",
    [
        {"dialed": "4155550100"},
        {"dialed": [SALES, "0041 44 555 01 00"]},
        {"dialed": []},
        {"dialed": 14155550101},
        {"dialed": [14155550101]},
        {"channel": "fax"},
        {"channel": ["phone", "fax"]},
        {"channel": []},
        {"context": {}},
        {"context": {"tier": 1}},
        {"when": True},
        {"session": "You sell."},
        {"session": None},
    ],
)
def test_conditions_that_make_no_sense_are_refused_when_they_are_given(
    conditions: dict[str, Any], router: Router
) -> None:
    with pytest.raises((ConfigurationError, TypeError)) as refused:
        router.add(sales, **{"session": SESSION, **conditions})
    assert "555" not in str(refused.value)


def test_law_a_mistake_in_a_session_shows_when_the_program_starts(router: Router) -> None:
    with pytest.raises(InvalidRequestError, match="instruction"):
        router.add(sales, session={**SESSION, "instruction": "Sell."})
    with pytest.raises(BetaShapeError):
        router.add(sales, session={**SESSION, "turn_detection": None})


def test_a_handler_is_a_function(router: Router) -> None:
    with pytest.raises(ConfigurationError, match="handler"):
        router.add("sales", session=SESSION)  # type: ignore[arg-type]


def test_a_route_that_is_never_reached_is_refused(router: Router) -> None:
    router.add(sales, session=SESSION)
    with pytest.raises(ConfigurationError, match="sales takes every call"):
        router.add(support, session=SESSION, dialed=SUPPORT)


def test_law_no_number_and_no_context_is_in_a_repr(router: Router) -> None:
    route = router.add(sales, session=SESSION, dialed=SALES, context={"tier": "gold"})
    assert repr(route) == "<Route sales by dialed, context>"
    assert repr(router.add(support, session=SESSION)) == "<Route support by nothing>"
    assert repr(router) == "<Router routes=2>"


# --- with a host, over the emulator --------------------------------------------------------------------------------


class Desk:
    """Handlers that answer and remember which of them it was, with what."""

    def __init__(self, line: Phone) -> None:
        self.line = line
        self.answered: list[tuple[str, str, str]] = []

    def handler(self, name: str) -> RouteHandler:
        async def answering(incoming: IncomingCall, session: RealtimeSession) -> None:
            async with self.line.client.calls.answer(incoming, session) as call:
                self.answered.append((name, incoming.call_id, str(session.instructions)))
                await wait(call)

        return answering


def accepted_with(ringing: RingingCall) -> list[str]:
    """Return the instructions that the service was told to answer with."""
    return [request.body["instructions"] for request in ringing.requests if request.operation == "accept"]


def operations(ringing: RingingCall) -> list[str]:
    return [request.operation for request in ringing.requests]


@virtual
async def test_law_two_numbers_two_sessions_two_handlers_and_no_silence_for_a_third() -> None:
    async with phone(strict=False) as line:
        desk = Desk(line)
        router = Router()
        router.add(desk.handler("sales"), session=session("You sell."), dialed=SALES)
        router.add(desk.handler("support"), session=RealtimeSession(**session("You help.")), dialed=SUPPORT)
        line.host = CallHost(router, client=line.client)
        script = [ModelSays("Good morning."), CallerHangsUp(after=5.0)]
        one = await line.openai.ring(line.host, dialed=SUPPORT, scenario=script)
        two = await line.openai.ring(line.host, dialed=SALES, scenario=script)
        three = await line.openai.ring(line.host, dialed="+14155550103")
        end = await three.ended(timeout=600)
        assert (end.by, end.status_code) == (EndedBy.REJECTED, 404)
        assert three.submissions == [Submission.STARTED]
        assert operations(three) == ["reject"]
        assert (await line.host.ended(three.call_id)).reason is EndReason.REJECTED
        for ringing in (one, two):
            assert (await ringing.ended(timeout=600)).reason is EndReason.CALLER
        await line.idle()
    assert sorted(desk.answered) == [("sales", two.call_id, "You sell."), ("support", one.call_id, "You help.")]
    assert (accepted_with(one), accepted_with(two)) == (["You help."], ["You sell."])
    assert "session.update" in types(one.client_events)


async def test_a_router_says_with_which_status_a_call_is_to_be_rejected(router: Router) -> None:
    router.add(sales, session=SESSION, dialed=SALES)
    assert await router(call(dialed=SUPPORT)) == 404
    router.add(support, session=SESSION, when=raising)
    assert await router(call(dialed=SUPPORT)) == 503


@virtual
async def test_a_route_may_return_the_status_to_reject_its_call_with() -> None:
    async def closed(incoming: IncomingCall, session: RealtimeSession) -> int:
        return 480

    async with phone() as line:
        router = Router()
        router.add(closed, session=SESSION)
        line.host = CallHost(router, client=line.client)
        ringing = await line.openai.ring(line.host)
        assert (await ringing.ended()).status_code == 480
        assert operations(ringing) == ["reject"]


def test_law_unmatched_calls_are_logged_without_numbers(log: pytest.LogCaptureFixture) -> None:
    ids = []

    @virtual
    async def test() -> None:
        async with phone() as line:
            line.host = CallHost(Router(), client=line.client)
            ringing = await line.openai.ring(line.host)
            ids.append(ringing.call_id)
            await ringing.ended()
            await line.idle()

    test()
    (record,) = [record for record in log.records if record.name == "realtime_sip.router"]
    assert record.levelno == logging.WARNING
    assert ids[0] in record.getMessage()
    assert "404" in record.getMessage()
    assert "did not decide" not in log.text


@virtual
async def test_where_a_condition_failed_and_nothing_else_matches_the_trunk_is_sent_to_its_next_route() -> None:
    async with phone() as line:
        desk = Desk(line)
        router = Router()
        router.add(desk.handler("sales"), session=SESSION, when=raising)
        line.host = CallHost(router, client=line.client)
        ringing = await line.openai.ring(line.host)
        assert (await ringing.ended()).status_code == 503
    assert desk.answered == []


@pytest.mark.parametrize("later", [False, True])
def test_a_session_can_be_made_for_each_call(later: bool) -> None:
    def now(incoming: IncomingCall) -> dict[str, Any]:
        return session(f"You answer {incoming.call_id}.")

    async def soon(incoming: IncomingCall) -> RealtimeSession:
        await asyncio.sleep(1)
        return RealtimeSession(**now(incoming))

    @virtual
    async def test() -> None:
        async with phone() as line:
            router = Router()
            router.add(Desk(line).handler("sales"), session=soon if later else now)
            line.host = CallHost(router, client=line.client)
            rings = [await line.openai.ring(line.host, scenario=[CallerHangsUp(after=3.0)]) for _ in range(3)]
            for ringing in rings:
                await ringing.ended(timeout=600)
                assert accepted_with(ringing) == [f"You answer {ringing.call_id}."]
            await line.idle()

    test()


async def _late(incoming: IncomingCall) -> dict[str, Any]:
    await asyncio.sleep(1e6)
    return SESSION


@pytest.mark.parametrize(
    ("making", "error"),
    [
        (_late, "DeadlineError"),
        (lambda incoming: {**SESSION, "instruction": "Sell."}, "InvalidRequestError"),
        (lambda incoming: None, "InvalidRequestError"),
    ],
)
def test_a_session_that_cannot_be_made_fails_the_call_which_is_rejected(
    making: Callable[[IncomingCall], Any], error: str, log: pytest.LogCaptureFixture
) -> None:
    @virtual
    async def test() -> None:
        async with phone() as line:
            router = Router()
            router.add(Desk(line).handler("sales"), session=making)
            line.host = CallHost(router, client=line.client)
            ringing = await line.openai.ring(line.host)
            end = await ringing.ended(timeout=60)
            assert (end.by, end.status_code) == (EndedBy.REJECTED, 503)
            await line.idle()

    test()
    assert f"the handler failed: {error}" in log.text


@pytest.mark.parametrize("how", ["the caller gave up", "accepted elsewhere"])
def test_a_call_that_is_over_or_decided_before_its_rejection_is_no_error(
    how: str, log: pytest.LogCaptureFixture
) -> None:
    @virtual
    async def test() -> None:
        async def meanwhile(incoming: IncomingCall) -> bool:
            if how == "the caller gave up":
                ringing.hang_up()
            else:
                # In a context of its own, as another program: what this host's handlers decide is seen there.
                accepting = other.calls.accept(incoming.call_id, SESSION)
                await asyncio.create_task(accepting, context=Context())
            return False

        async with phone() as line, AsyncRealtimeSip(**line.openai.client_options) as other:
            router = Router()
            router.add(Desk(line).handler("sales"), session=SESSION, when=meanwhile)
            line.host = CallHost(router, client=line.client)
            ringing = await line.openai.ring(line.host)
            await ringing.until_delivered(timeout=60)
            await line.idle()
            # Nothing more is done to it: it is not hung up, because it may be somebody else's.
            assert set(operations(ringing)) - {"accept"} == {"reject"}
            assert ringing.state == ("ended" if how == "the caller gave up" else "accepted")

    test()
    assert not [record for record in log.records if record.levelno >= logging.ERROR]
    assert "did not decide" not in log.text


@virtual
async def test_law_no_caller_with_a_dead_agent__an_adopted_call_that_no_route_is_for_is_hung_up() -> None:
    now = [0.0]
    store = MemoryStore(clock=lambda: now[0])
    async with phone() as line:
        incoming: list[IncomingCall] = []

        async def dying(call: IncomingCall) -> None:
            incoming.append(call)
            await line.client.calls.accept(call.call_id, SESSION)

        ringing = await line.openai.ring(CallHost(dying, client=line.client))
        await ringing.until_accepted()
        await asyncio.sleep(1)
        await store.claim(ringing.call_id, owner="dead", lease=30)
        await store.accept(ringing.call_id, owner="dead", lease=30)
        now[0] += 31
        line.host = CallHost(Router(), client=line.client, store=store)
        assert await line.host.submit(incoming[0]) is Submission.STARTED
        assert (await ringing.ended(timeout=60)).by is EndedBy.AGENT
        await line.idle()
        assert operations(ringing) == ["accept", "hangup"]


@virtual
async def test_law_a_signed_context_goes_through_an_invite_to_its_route() -> None:
    async with phone(context_secret=SECRET) as line:
        desk = Desk(line)
        router = Router()
        router.add(desk.handler("gold"), session=session("You know this caller."), context={"tier": "gold"})
        router.add(desk.handler("rest"), session=session("You know nobody."))
        line.host = CallHost(router, client=line.client)
        signed = ContextSigner(SECRET).sign({"tier": "gold"}, parent_call_sid=None, now=line.openai.now())
        forged = ContextSigner("a secret of somebody else").sign(
            {"tier": "gold"}, parent_call_sid=None, now=line.openai.now()
        )
        rings = []
        for headers in (signed, forged):
            # As our TwiML tells it to Twilio: in a URI.
            uri = SipUri("sip", user="proj_a", host="sip.api.openai.com", headers=tuple(headers.items()))
            given = SipUri.parse(str(uri)).headers
            assert [name for name, _ in given] == [CONTEXT_HEADER]
            rings.append(await line.openai.ring(line.host, sip_headers=given, scenario=[CallerHangsUp(after=3.0)]))
        for ringing in rings:
            await ringing.ended(timeout=600)
        await line.idle()
    assert sorted(name for name, *_ in desk.answered) == ["gold", "rest"]
    assert accepted_with(rings[0]) == ["You know this caller."]
    assert accepted_with(rings[1]) == ["You know nobody."]


Handler = Callable[[IncomingCall], Awaitable[int | None]]


def test_a_router_is_what_a_host_runs(router: Router) -> None:
    handler: Handler = router
    assert callable(handler)


@virtual
async def test_law_context_is_used_once__a_second_call_with_the_same_header_goes_where_nothing_is_proven() -> None:
    async with phone(context_secret=SECRET) as line:
        desk = Desk(line)
        router = Router()
        router.add(desk.handler("gold"), session=SESSION, context={"tier": "gold"})
        router.add(desk.handler("rest"), session=SESSION)
        line.host = CallHost(router, client=line.client)
        headers = ContextSigner(SECRET).sign({"tier": "gold"}, parent_call_sid=None, now=line.openai.now()).items()
        script = [CallerHangsUp(after=3.0)]
        # The first is announced by two endpoints, twice each, and is one call all the same.
        first = await line.openai.ring([line.host, line.host], sip_headers=headers, scenario=script, duplicates=1)
        await first.ended(timeout=600)
        second = await line.openai.ring(line.host, sip_headers=headers, scenario=script)
        await second.ended(timeout=600)
        await line.idle()
    assert [(name, call_id) for name, call_id, _ in desk.answered] == [
        ("gold", first.call_id),
        ("rest", second.call_id),
    ]
