"""What attackers have found: floods, forged and odd headers, folders that others write to, keys that leak."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from phone import phone, virtual
from realtime_sip import Call, EventLogFolder, IncomingCall, MemoryStore, OpenAIWebhooks, RealtimeSession, Router, Tools
from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import read_event_log, redacted_event
from realtime_sip.policy import AllowCallers, CallPolicy, CallRate, DailySpend, DenyCallers
from realtime_sip.sip.address import e164
from realtime_sip.sip.headers import SipHeaders
from realtime_sip.sip.signed_context import ContextRefusal, ContextSigner, SignedContext
from realtime_sip.stores.memory import Places, Window
from realtime_sip.stores.nonces import use_context
from realtime_sip.stores.rules import Outcome
from realtime_sip.testing import CallerHangsUp, CallerPresses, CallerSays, ModelCalls, ModelSays, run_virtual
from realtime_sip.webhooks import UnknownWebhookEvent

if TYPE_CHECKING:
    from realtime_sip.event_log import EventLog

SECRET = "a context secret of the tests"
NOW = 1_795_000_000.0
ANNA = "+14155550101"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def call(caller: str = ANNA, *, call_id: str = "rtc_1", context: dict[str, str] | None = None) -> IncomingCall:
    headers = {"From": f"<sip:{caller}@example.com>", "To": "sip:proj_a@example.com", **(context or {})}
    data = {"call_id": call_id, "sip_headers": [{"name": name, "value": value} for name, value in headers.items()]}
    body = json.dumps({"type": "realtime.call.incoming", "created_at": int(NOW), "data": data})
    webhooks = OpenAIWebhooks("a webhook secret", context_secret=SECRET, clock=lambda: NOW)
    event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=NOW))
    assert isinstance(event, IncomingCall)
    return event


def strangers(most: int) -> Iterator[IncomingCall]:
    """Calls from ever new numbers, as whoever writes `From` by themselves can place them."""
    return (call(f"+1415556{n:04d}", call_id=f"rtc_stranger_{n}") for n in range(most))


# --- floods -----------------------------------------------------------------------------------------------------------


def shut(incoming: IncomingCall) -> int | None:
    return None if incoming.caller == ANNA else 603


async def test_law_a_flood_of_refused_callers_does_not_reset_what_the_day_has_cost() -> None:
    store = MemoryStore(clock=Clock(), max_keys=50)
    policy = CallPolicy(CallRate(5, per=3600), shut, CallRate(1, per=86_400, per_caller=False), DailySpend(1))
    assert await policy.check(call(), store=store) is None
    await policy.ended(call(), store=store, cost=Decimal(2))
    for stranger in strangers(200):
        refusal = await policy.check(stranger, store=store)
        assert refusal is not None
        assert refusal.rule == "shut"
    refusal = await policy.check(call(call_id="rtc_2"), store=store)
    assert refusal is not None
    assert refusal.rule == "CallRate"
    assert await store.total("spend", per=86_400) == 2_000_000


async def test_law_who_called_is_forgotten_though_another_counter_counts_for_longer() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    policy = CallPolicy(CallRate(5, per=60), shut, DailySpend(1))
    await policy.ended(call(), store=store, cost=Decimal(2))
    seen = _counters(store)
    for stranger in strangers(50):
        await policy.check(stranger, store=store)
        clock.now += 120
    assert _counters(store) <= seen + 1


def _counters(store: MemoryStore) -> int:
    """Return how many counters the store holds, wherever it does."""
    found, level = 0, list[Any]([vars(store)])
    while level:
        one = level.pop()
        found += isinstance(one, (Window, Places))
        if isinstance(one, dict):
            level += one.values()
        elif hasattr(one, "__dict__") and type(one).__module__ == MemoryStore.__module__:
            level += vars(one).values()
    return found


async def test_law_context_is_used_once__also_where_a_flood_of_calls_fills_the_store() -> None:
    store = MemoryStore(clock=Clock(), max_calls=20)
    header = ContextSigner(SECRET).sign({"tier": "gold"}, parent_call_sid=None, now=NOW)
    first = await use_context(call(context=header), store, now=NOW)
    assert first.context == {"tier": "gold"}
    for n in range(100):
        claimed = await store.claim(f"rtc_stranger_{n}", owner="host", lease=30)
        assert claimed.outcome is Outcome.NEW
        assert await store.finish(f"rtc_stranger_{n}", owner="host")
    assert len(store) == 20
    second = await use_context(call(call_id="rtc_2", context=header), store, now=NOW)
    assert second.context == {}


async def test_a_store_that_is_full_of_nonces_still_takes_calls() -> None:
    store = MemoryStore(clock=Clock(), max_calls=5)
    for n in range(20):
        header = ContextSigner(SECRET).sign({}, parent_call_sid=None, now=NOW)
        await use_context(call(call_id=f"rtc_{n}", context=header), store, now=NOW)
    assert (await store.claim("rtc_new", owner="host", lease=30)).outcome is Outcome.NEW
    assert len(store) == 1


async def test_a_lease_too_short_for_the_clock_is_over_at_once() -> None:
    clock = Clock()
    clock.now = 1e9
    store = MemoryStore(clock=clock)
    assert await store.enter("calls", "one", lease=1e-12, most=1)
    assert await store.enter("calls", "two", lease=10, most=1)


# --- contexts and webhooks --------------------------------------------------------------------------------------------


def test_a_context_that_counts_for_longer_than_any_that_is_signed_is_not_believed() -> None:
    signer = ContextSigner(SECRET)
    for ahead, believed in ((590.0, True), (3600.0, False), (1e9, False)):
        header = signer.sign({}, parent_call_sid=None, now=NOW + ahead, expires_in=86_400)
        context = signer.verify(SipHeaders(header.items()), now=NOW)
        assert isinstance(context, SignedContext) == believed
        assert believed or context is ContextRefusal.MALFORMED


@pytest.mark.parametrize("call_id", ["rtc_1\nERROR forged", "rtc_1\r", "rtc_\x1b[31m", "rtc_\u2028", "x" * 257])
def test_law_no_call_id_makes_a_line_of_its_own_in_a_log(call_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    headers = [{"name": "From", "value": ANNA}, {"name": "X-Realtime-Sip-Context", "value": "junk"}]
    body = json.dumps({"type": "realtime.call.incoming", "data": {"call_id": call_id, "sip_headers": headers}})
    webhooks = OpenAIWebhooks("a webhook secret", context_secret=SECRET, clock=lambda: NOW)
    event = webhooks.unwrap(body, webhooks.sign(body, id="wh_1", timestamp=NOW))
    assert isinstance(event, UnknownWebhookEvent)
    assert event.data["call_id"] == call_id
    assert [record.getMessage().isprintable() for record in caplog.records] == [True]


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+44 (0)20 7946 0101", "+44(0)2079460101"])
def test_a_number_that_nobody_has_is_on_no_list_and_dialed_by_nobody(number: str) -> None:
    with pytest.raises(ConfigurationError) as deny:
        DenyCallers({number})
    with pytest.raises(ConfigurationError) as allow:
        AllowCallers({number})
    router = Router()

    async def nobody(incoming: IncomingCall, session: RealtimeSession) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError) as route:
        router.add(nobody, session={"model": "gpt-realtime-2.1"}, dialed=number)
    assert not any("7946" in str(error.value) for error in (deny, allow, route))


def test_a_caller_with_a_trunk_prefix_in_parentheses_is_no_second_caller() -> None:
    assert e164("+44 (0)20 7946 0101") is None


def test_parameters_behind_a_whatsapp_address_hide_no_number() -> None:
    assert SipHeaders([("From", f"<whatsapp:{ANNA};x=y>")]).caller == ANNA


# --- event logs -------------------------------------------------------------------------------------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="files have no such kinds and modes there")


def started(logs: EventLogFolder, call_id: str = "rtc_1") -> EventLog:
    log = logs.start(call_id, caller=ANNA, started_at=NOW)
    log.begin(consented=False)
    return log


def test_law_a_code_that_somebody_has_entered_is_withheld() -> None:
    shown = redacted_event({"type": "x", "code": 4711, "item": {"code": 4711}, "error": {"code": -32000}})
    assert shown == {"type": "x", "code": "<number>", "item": {"code": "<number>"}, "error": {"code": -32000}}


@posix
async def test_a_key_that_is_a_link_hides_no_caller(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = tmp_path / "known"
    known.write_bytes(b"x" * 32)
    logs = EventLogFolder(tmp_path / "calls")
    (logs.folder / ".key").symlink_to(known)
    log = started(logs)
    log.write({"type": "x"})
    await log.close()
    assert logs.paths() == []
    assert "OSError" in caplog.text
    with pytest.raises(OSError, match="symbolic"):
        logs.delete_caller(ANNA)


@posix
@pytest.mark.parametrize("writer", [False, True])
async def test_a_pipe_in_the_place_of_the_key_holds_nobody_up(tmp_path: Path, writer: bool) -> None:
    logs = EventLogFolder(tmp_path)
    os.mkfifo(tmp_path / ".key")
    held = os.open(tmp_path / ".key", os.O_RDWR | os.O_NONBLOCK) if writer else None
    try:
        with pytest.raises(OSError, match="damaged"):
            logs.delete_caller(ANNA)
        log = started(logs)
        log.write({"type": "x"})
        await log.close()
        assert logs.paths() == []
    finally:
        if held is not None:
            os.close(held)


@posix
def test_a_pipe_in_the_place_of_a_log_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def call_goes_on() -> None:
        logs = EventLogFolder(tmp_path)
        log = started(logs)
        log.write({"type": "x"})
        await asyncio.sleep(1)
        log.path.unlink()
        os.mkfifo(log.path)
        log.write({"type": "x"})
        await log.close()
        assert logs.paths() == []

    run_virtual(call_goes_on())
    assert [record.getMessage() for record in caplog.records] == [
        "call rtc_1: the event log can no longer be written: OSError"
    ]


@posix
@pytest.mark.parametrize(("mode", "warned"), [(0o777, True), (0o775, True), (0o755, False), (0o700, False)])
def test_a_folder_that_others_can_write_to_is_told_of(
    tmp_path: Path, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    folder.chmod(mode)
    EventLogFolder(folder)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert str(tmp_path) not in caplog.text
    assert stat.S_IMODE(folder.stat().st_mode) == mode


@pytest.mark.parametrize("caller", ["4155550101", "0014155550101", "anna", "", f"whatsapp:{ANNA}"])
async def test_a_deletion_that_could_find_nobody_does_not_look_like_one_that_found_nothing(
    tmp_path: Path, caller: str
) -> None:
    logs = EventLogFolder(tmp_path)
    log = started(logs)
    log.write({"type": "x"})
    await log.close()
    with pytest.raises(ConfigurationError, match=r"E\.164") as refused:
        logs.delete_caller(caller)
    assert caller == "" or caller not in str(refused.value)
    assert logs.delete_caller(ANNA) == 1


# --- keys and words that leak -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pressed",
    [[CallerPresses("7391#", after=10.5)], [CallerPresses("73"), CallerPresses("91#", after=3.5)]],
    ids=["late", "slow"],
)
@virtual
async def test_law_secret_digits_are_told_to_nobody__also_where_the_caller_is_too_slow(
    pressed: list[CallerPresses], tmp_path: Path
) -> None:
    seen: list[str] = []

    async def talk(call: Call) -> None:
        await call.collect_digits("Ask for the PIN.", secret=True)
        async for event in call:
            if event.type == "input_audio_buffer.dtmf_event_received":
                seen.append(getattr(event, "event", ""))

    logs = EventLogFolder(tmp_path, redact=False)
    async with phone() as line:
        steps = (ModelSays("Please enter your PIN."), *pressed, CallerHangsUp(after=5.0))
        await line.played(*steps, talk=talk, event_log=logs)
    (path,) = logs.paths()
    kept = [entry.data["event"] for entry in read_event_log(path).entries if "dtmf" in entry.type]
    assert seen == []
    assert set(kept) == {"<1 chars>"}


@virtual
async def test_law_no_words_of_the_caller_are_in_any_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tools = Tools()

    @tools.function
    async def order_status(order_id: str) -> str:
        """Tell where an order is."""
        return {"1042": "On its way."}[order_id]

    async def talk(call: Call) -> None:
        call.respond("Greet the caller.")
        await call.wait_ended()

    asked = ModelCalls("order_status", {"order_id": ANNA})
    async with phone() as line:
        steps = (ModelSays("Hello."), CallerSays("Where is it?"), asked, ModelSays("Pardon?"), CallerHangsUp())
        await line.played(*steps, talk=talk, tools=tools)
    assert ANNA not in caplog.text
