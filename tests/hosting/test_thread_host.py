"""Calls on a thread of their own, as WSGI servers need it: started by the first webhook, drained at exit, once."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

import emulated
from realtime_sip import (
    AsyncRealtimeSip,
    CallHost,
    CallLimits,
    EndReason,
    IncomingCall,
    MemoryStore,
    Submission,
    ThreadCallHost,
    TransferRequest,
    TransferTarget,
)
from realtime_sip.errors import ConfigurationError, DeadlineError, MisuseError, UnknownCallError
from realtime_sip.hosting import at_exit, transfers
from realtime_sip.hosting.claims import Claims
from realtime_sip.hosting.threads import HostOptions
from realtime_sip.stores import Claimed
from realtime_sip.testing import CallerHangsUp, EndedBy, ModelSays, OpenAIEmulator, RingingCall
from realtime_sip.testing.on_thread import EmulatorOnThread
from realtime_sip.twilio.webhooks import CallStatusCallback, ReferRequest

SESSION: Any = {"model": "gpt-realtime-2.1"}
HELLO = ModelSays("Good morning.")
QUIET = CallLimits(silence=None, first_sound=None)
CALLS = "realtime-sip-calls"


class Line:
    """A service on a thread of its own, and a host on another."""

    def __init__(self, openai: EmulatorOnThread) -> None:
        self.openai = openai
        # A name, which has to be looked up.
        self.base_url = openai.emulator.base_url.replace("127.0.0.1", "localhost")
        self.options: dict[str, Any] = {**openai.emulator.client_options, "base_url": self.base_url}
        self.client = AsyncRealtimeSip(**self.options)
        self.went_on: list[str] = []
        self.host = self.hosted()

    def hosted(self, on_call: Any = None, **options: Any) -> ThreadCallHost:
        self.host = ThreadCallHost(on_call or self.on_call, client=self.client, **{"drain_timeout": 0.1, **options})
        return self.host

    async def on_call(self, incoming: IncomingCall) -> None:
        async with self.client.calls.answer(incoming, SESSION, limits=QUIET) as call:
            await call.wait_ended()
        self.went_on.append(incoming.call_id)

    def ring(self, target: Any = None, scenario: Any = (HELLO,)) -> RingingCall:
        """Ring the host, whose `submit` blocks a thread."""
        target = self.host if target is None else target
        ringing: RingingCall = self.openai.run(self.openai.emulator.ring, target, scenario=scenario)
        return ringing

    def up(self, *scenario: Any) -> RingingCall:
        ringing = self.ring(scenario=scenario or [HELLO])
        self.openai.run(ringing.until_attached)
        return ringing

    def incoming(self) -> tuple[RingingCall, IncomingCall]:
        """Let a phone ring, and return its webhook, which nobody has submitted."""
        kept: list[IncomingCall] = []
        arrived = threading.Event()

        class Target:
            def submit(self, incoming: IncomingCall) -> None:
                kept.append(incoming)
                arrived.set()

        ringing = self.ring(Target())
        assert arrived.wait(30)
        return ringing, kept[0]


@pytest.fixture
def line() -> Iterator[Line]:
    with EmulatorOnThread(OpenAIEmulator(speed=emulated.SPEED, timings=emulated.PATIENT, strict=False)) as openai:
        here = Line(openai)
        yield here
        here.host.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_a_call_is_answered_on_a_thread_that_the_first_webhook_starts(line: Line) -> None:
    assert CALLS not in threads()
    ringing = line.up(HELLO, CallerHangsUp())
    assert CALLS in threads()
    assert line.openai.run(ringing.ended).by is EndedBy.CALLER
    line.openai.run(ringing.until_delivered)
    assert ringing.submissions == [Submission.STARTED]
    line.host.close()
    assert CALLS not in threads()
    assert line.went_on == [ringing.call_id]


def test_whoever_blocks_waits_for_the_end_of_a_call_and_of_its_handler(line: Line) -> None:
    ringing = line.up(HELLO, CallerHangsUp())
    assert line.host.ended(ringing.call_id).reason is EndReason.CALLER
    assert line.went_on == [ringing.call_id]
    with pytest.raises(UnknownCallError):
        line.host.ended("rtc_of_nobody")
    with pytest.raises(DeadlineError):
        line.host.ended(line.up().call_id, timeout=0.01)


def test_many_first_webhooks_at_once_start_one_thread(line: Line) -> None:
    ringings = [line.incoming() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = [*pool.map(line.host.submit, [incoming for _, incoming in ringings])]
    assert results == [Submission.STARTED] * 8
    assert threads().count(CALLS) == 1
    line.host.close()
    assert {line.openai.run(ringing.ended).by for ringing, _ in ringings} == {EndedBy.AGENT}


def test_a_repeat_is_one(line: Line) -> None:
    ringing, incoming = line.incoming()
    assert [line.host.submit(incoming) for _ in range(3)] == [Submission.STARTED, *[Submission.REPEAT] * 2]
    assert ringing.tally.accepts == 1


# --- closing ----------------------------------------------------------------------------------------------------------


def test_a_close_hangs_up_what_is_left__and_twice_is_once(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.hosted(drain_timeout=0.2)
    ringing = line.up()
    closing = [threading.Thread(target=line.host.close) for _ in range(3)]
    for each in closing:
        each.start()
    for each in closing:
        each.join(30)
    line.host.close()
    assert line.openai.run(ringing.ended).by is EndedBy.AGENT
    assert ringing.tally.hangups == 1
    assert line.went_on == [ringing.call_id]
    told = [record.getMessage() for record in caplog.records if "the process ends" in record.getMessage()]
    assert told == ["the process ends with calls up (1): they have 0.2 s; an interruption hangs up at once"]


def test_what_comes_after_a_close_is_refused(line: Line) -> None:
    _, incoming = line.incoming()
    line.host.close()
    assert CALLS not in threads(), "a host that was never used is closed without a thread"
    with pytest.raises(MisuseError, match="closed"):
        line.host.submit(incoming)
    assert not line.host.health().ready


def test_a_submit_that_a_close_overtakes_is_refused_and_does_not_wait(line: Line) -> None:
    asked = threading.Event()

    class Stuck(MemoryStore):
        async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError

    line.hosted(store=Stuck(), drain_timeout=0)
    _, incoming = line.incoming()
    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(line.host.submit, incoming)
        assert asked.wait(30)
        line.host.close()
        with pytest.raises(MisuseError, match="closed"):
            submitting.result(30)


def test_a_drain_takes_no_new_calls__and_leaves_the_thread_for_what_still_comes(line: Line) -> None:
    ringing = line.up()
    line.host.drain(0.1)
    assert line.openai.run(ringing.ended).by is EndedBy.AGENT
    late = line.ring()
    assert line.openai.run(late.ended).by is EndedBy.REJECTED
    assert not line.host.health().ready


def test_a_drain_before_the_first_call_counts(line: Line) -> None:
    line.host.drain()
    assert CALLS not in threads()
    assert line.host.health().draining
    assert line.openai.run(line.ring().ended).by is EndedBy.REJECTED


@pytest.mark.parametrize("seconds", [-1, float("nan"), "5"])
def test_times_are_numbers_of_seconds(line: Line, seconds: Any) -> None:
    _, incoming = line.incoming()
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds"):
        line.host.drain(seconds)
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds"):
        line.host.submit(incoming, timeout=seconds)


def test_law_every_wait_has_a_deadline__a_handler_that_blocks_the_thread(line: Line) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    async def on_call(incoming: IncomingCall) -> int:
        blocked.set()
        go_on.wait(30)
        return 486

    line.hosted(on_call)
    ringing, incoming = line.incoming()
    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(line.host.submit, incoming)
        assert blocked.wait(30)
        _, second = line.incoming()
        with pytest.raises(DeadlineError, match=r"not decided within 0\.01 s"):
            line.host.submit(second, timeout=0.01)
        go_on.set()
        assert submitting.result(30) is Submission.STARTED
    assert line.openai.run(ringing.ended).by is EndedBy.REJECTED


def test_law_what_one_calls_code_raises_ends_at_most_that_call__not_the_thread(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_call(incoming: IncomingCall) -> None:
        if incoming.call_id == first.call_id:
            raise KeyboardInterrupt
        await line.on_call(incoming)

    line.hosted(on_call)
    first, incoming = line.incoming()
    assert line.host.submit(incoming) is Submission.STARTED
    assert line.openai.run(first.ended).by is EndedBy.REJECTED
    assert line.up().state == "accepted"
    assert "KeyboardInterrupt left the loop of the calls, which goes on" in caplog.messages


def test_a_handler_that_waits_for_its_own_thread_is_told(line: Line) -> None:
    told: list[BaseException] = []

    async def on_call(incoming: IncomingCall) -> int:
        for wait in (partial(line.host.submit, incoming), line.host.drain):
            try:
                wait()
            except MisuseError as error:
                told.append(error)
        return 486

    line.hosted(on_call)
    ringing = line.ring()
    assert line.openai.run(ringing.ended).by is EndedBy.REJECTED
    assert ["own thread" in str(error) for error in told] == [True, True]


# --- options, and health ----------------------------------------------------------------------------------------------


def test_the_options_are_those_of_a_call_host(line: Line) -> None:
    taken = inspect.signature(CallHost).parameters
    assert [*HostOptions.__annotations__] == [name for name in taken if name not in ("on_call", "client")]
    with pytest.raises(ConfigurationError, match="max_calls"):
        line.hosted(max_calls=0)
    line.hosted(max_calls=1, drain_timeout=0)
    assert line.host.health().ready
    line.up()
    health = line.host.health()
    assert (health.live, health.max_calls, health.draining, health.ready) == (1, 1, False, False)
    assert line.openai.run(line.ring().ended).by is EndedBy.REJECTED


# --- processes --------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> str:
    """Run something in a fork of this process, and return what it has come to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, repr(work()).encode())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork_the_loop_of_the_parent_is_left_alone_and_the_child_has_its_own(line: Line) -> None:
    first = line.up()
    second, incoming = line.incoming()

    def child() -> object:
        result = line.host.submit(incoming), line.host.health().live
        line.host.close()
        return result

    assert in_child(child) == "(<Submission.STARTED: 'started'>, 1)"
    assert line.openai.run(second.ended).by is EndedBy.AGENT
    assert first.state == "accepted", "the parent's call goes on"
    third = line.up()
    assert (third.tally.accepts, first.tally.hangups) == (1, 0)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_takes_no_calls_ends_none_of_its_parents(line: Line) -> None:
    ringing = line.up()

    def child() -> None:
        at_exit.close_all()
        at_exit.end_all()

    assert in_child(child) == "None"
    assert ringing.state == "accepted"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_law_one_call_one_handler__a_host_that_was_made_before_the_workers_were_forked(line: Line) -> None:
    """With one name for all of them, each would take a call that another has claimed for its own."""
    _, incoming = line.incoming()

    class Shared(MemoryStore):
        async def claim(self, call_id: str, *, owner: str, lease: float, ticket: str = "") -> Claimed:
            owners.append(owner)
            return await super().claim(call_id, owner=owner, lease=lease, ticket=ticket)

    owners: list[str] = []
    claims = Claims(Shared(), free=lambda: 0, adopted=lambda _: None, letter=lambda *_: None)

    async def claim() -> str:
        await claims.take(incoming, ticket=lambda _: "", known=False, now=0.0)
        return owners[-1]

    assert len({asyncio.run(claim()), *(in_child(lambda: asyncio.run(claim())) for _ in range(2))}) == 3


def test_a_carriers_webhook_that_comes_before_any_call_reaches_the_worker_that_has_the_call(line: Line) -> None:
    posted = threading.Event()

    class Shared(MemoryStore):
        async def noted(self, key: str) -> str | None:
            return "rtc_1" if key.startswith("leads-to:") else None

        async def post(self, call_id: str, text: str) -> bool:
            posted.set()
            return call_id == "rtc_1"

    store = Shared()
    store.shared = True
    host = line.hosted(store=store)
    form = urlencode({"CallSid": "CA" + "a" * 32, "CallStatus": "completed"})
    assert not host.carrier(CallStatusCallback.read(form))
    assert posted.wait(20)
    host.close()


def test_sigterm_exits_only_if_it_would_have_killed(line: Line) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert not line.host.exit_on_sigterm()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(line.host.exit_on_sigterm).result()
        assert line.host.exit_on_sigterm()
        with pytest.raises(SystemExit) as raised:
            signal.raise_signal(signal.SIGTERM)
        assert raised.value.code == 0
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "a second one kills"
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def interrupted() -> Iterator[None]:
    """Let Ctrl-C interrupt, also if whoever started the tests has it ignored, as a shell does in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupted")
def test_an_interruption_makes_a_drain_short(line: Line) -> None:
    """A second Ctrl-C, while the interpreter waits for the calls."""
    line.hosted(drain_timeout=600)
    ringing = line.up()
    began = time.monotonic()
    main = threading.main_thread().ident

    def interrupt() -> None:
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    threading.Timer(0.2, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        line.host.close()
    assert line.openai.run(ringing.ended).by is EndedBy.AGENT
    assert time.monotonic() - began < 60


@pytest.mark.usefixtures("interrupted")
def test_an_interruption_of_the_exit_ends_the_calls_of_every_host(line: Line) -> None:
    line.hosted(drain_timeout=600)
    first = line.up()
    client = AsyncRealtimeSip(**line.options)

    async def on_call(incoming: IncomingCall) -> None:
        async with client.calls.answer(incoming, SESSION, limits=QUIET) as call:
            await call.wait_ended()

    second_host = ThreadCallHost(on_call, client=client, drain_timeout=0.1)
    second = line.ring(second_host)
    line.openai.run(second.until_attached)
    interrupt = partial(signal.pthread_kill, threading.main_thread().ident or 0, signal.SIGINT)
    threading.Timer(0.2, interrupt).start()
    at_exit.close_all()
    assert {line.openai.run(ringing.ended).by for ringing in (first, second)} == {EndedBy.AGENT}
    assert CALLS not in threads()


@pytest.mark.parametrize("name", ["RUN_MAIN", "WERKZEUG_RUN_MAIN"])
def test_a_reloader_is_not_held_up(line: Line, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line.hosted(drain_timeout=600)
    ringing = line.up()
    monkeypatch.setenv(name, "true")
    line.host.close()
    assert line.openai.run(ringing.ended).by is EndedBy.AGENT


# --- what Twilio asks -------------------------------------------------------------------------------------------------


def test_a_view_that_blocks_asks_for_the_transfer_and_runs_what_is_async(line: Line) -> None:
    asked = ReferRequest.read("CallSid=CA1&ReferTransferTarget=sip:desk@pbx.example.com")
    request = TransferRequest(
        call_id="rtc_1", name="desk", target=TransferTarget("tel:+14155550123"), parent_call_sid="CA1"
    )
    store = MemoryStore()
    host = line.hosted(store=store)
    assert host.transfer_of(asked) is None
    host.run(transfers.note(store, None, request))
    assert host.transfer_of(asked) == request

    async def where() -> str:
        return threading.current_thread().name

    assert host.run(where()) == CALLS
    with pytest.raises(DeadlineError, match="not done"):
        host.run(asyncio.Event().wait(), timeout=0.01)
    with pytest.raises(ConfigurationError):
        host.run(where(), timeout=-1)
    with pytest.raises(ConfigurationError, match="typed webhook"):
        host.transfer_of("CallSid=CA1")  # type: ignore[arg-type]
    host.close()
    with pytest.raises(MisuseError):
        host.run(where())
