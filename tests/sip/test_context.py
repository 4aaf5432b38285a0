"""Signed context: what is signed comes back, nothing else counts, and a nonce is used by one call."""

from __future__ import annotations

import asyncio
import base64
import copy
import hashlib
import hmac
import json
import logging
import pickle
import time
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from realtime_sip import (
    AsyncRealtimeSip,
    IncomingCall,
    MemoryStore,
    OpenAIWebhooks,
    RealtimeSip,
)
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.sip import SipHeaders, SipUri
from realtime_sip.sip.signed_context import CONTEXT_HEADER, MAX_CONTEXT, ContextRefusal, ContextSigner, SignedContext
from realtime_sip.stores.nonces import use_context

NOW = 1_795_000_000.0
SECRET = "a context secret of the tests"
OTHER = "another secret of the tests"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a webhook secret of the tests").decode()
SID = "CA" + "0123456789abcdef" * 2
SIGNER = ContextSigner(SECRET)

KEYS = st.text("abcXYZ019_.-", min_size=1, max_size=8)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12)


def header(values: dict[str, str] | None = None, **options: Any) -> str:
    arguments: dict[str, Any] = {"parent_call_sid": SID, "now": NOW, **options}
    signed = SIGNER.sign({"tier": "gold"} if values is None else values, **arguments)
    assert list(signed) == [CONTEXT_HEADER]
    return signed[CONTEXT_HEADER]


def verify(*values: str, secret: Any = SECRET, now: float = NOW) -> SignedContext | ContextRefusal | None:
    return ContextSigner(secret).verify(SipHeaders((CONTEXT_HEADER, value) for value in values), now=now)


def good(*values: str, **options: Any) -> SignedContext:
    context = verify(*values, **options)
    assert isinstance(context, SignedContext)
    return context


def by_hand(content: object, *, secret: str = SECRET) -> str:
    """Sign as the format is documented, without the package."""
    text = content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()
    payload = base64.urlsafe_b64encode(text).rstrip(b"=")
    mac = hmac.new(secret.encode(), b"realtime-sip context v1\n" + payload, hashlib.sha256).digest()
    return f"v1.{payload.decode()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


# --- signing and verifying -----------------------------------------------------------------------------------------


@given(values=st.dictionaries(KEYS, TEXTS, max_size=6), parent=st.sampled_from([None, SID]))
def test_what_is_signed_comes_back(values: dict[str, str], parent: str | None) -> None:
    context = good(header(values, parent_call_sid=parent, nonce="nonce-01"))
    assert dict(context.values) == values
    assert list(context.values) == list(values)
    assert (context.parent_call_sid, context.nonce, context.expires_at) == (parent, "nonce-01", int(NOW) + 300)


@given(values=st.dictionaries(KEYS, TEXTS, max_size=6))
def test_law_no_control_character_reaches_a_header__what_is_signed_needs_no_escape(values: dict[str, str]) -> None:
    value = header(values)
    assert value.isascii()
    assert escape(value, {'"': "&quot;"}) == value
    uri = str(SipUri("sip", user="proj_a", host="sip.api.openai.com", headers=((CONTEXT_HEADER, value),)))
    assert uri.endswith(f"?{CONTEXT_HEADER}={value}")


@pytest.mark.parametrize("character", ["\r", "\n", "\x00", "\t", "\x7f", "\x85", "\u2028", "\ud800"])
@pytest.mark.parametrize("where", ["key", "value", "parent_call_sid", "nonce"])
def test_law_control_characters_are_refused_at_the_door(character: str, where: str) -> None:
    text = f"abcdefgh{character}X-Evil: 1"
    values = {text: "x"} if where == "key" else {"k": text} if where == "value" else {}
    options = {where: text} if where in ("parent_call_sid", "nonce") else {}
    with pytest.raises(InvalidRequestError) as refused:
        header(values, **options)
    assert "Evil" not in str(refused.value)


def test_the_largest_context_leaves_room_for_our_other_headers() -> None:
    longest = max(n for n in range(600) if fits({"a": "x" * min(n, 256), "b": "x" * max(n - 256, 0)}))
    assert longest > 350
    value = header({"a": "x" * min(longest, 256), "b": "x" * (longest - 256)})
    facts: dict[str, Any] = {"channel": "whatsapp", "dialed": "+" + "1" * 15, "refer_url": False}
    assert header({"a": "x" * min(longest - 50, 256), "b": "x" * (longest - 50 - 256)}, **facts)
    others = f"&X-Channel=whatsapp&X-Dialed-Number=%2B{'1' * 15}&X-Parent-Call-Sid={SID}"
    assert len(f"{CONTEXT_HEADER}={value}{others}") < 1024


def fits(values: dict[str, str]) -> bool:
    try:
        return len(header(values)) <= MAX_CONTEXT
    except InvalidRequestError:
        return False


@pytest.mark.parametrize(
    "values",
    [
        {"": "x"},
        {"k" * 33: "x"},
        {"ключ": "x"},
        {"a b": "x"},
        {7: "x"},
        {"k": 7},
        {"k": None},
        {"k": "x" * 257},
        {f"k{n}": "" for n in range(17)},
        {"a": "x" * 250, "b": "x" * 250},
        {"a": "ж" * 250},
        [("a", "b")],
        None,
    ],
)
def test_what_cannot_be_signed_is_refused_at_the_door(values: Any) -> None:
    with pytest.raises(InvalidRequestError, match="context is not valid"):
        SIGNER.sign(values, parent_call_sid=None, now=NOW)


@pytest.mark.parametrize(
    "options",
    [{"parent_call_sid": ""}, {"parent_call_sid": "CA 1234567"}, {"nonce": "short"}, {"nonce": "n" * 65}]
    + [{"now": now} for now in (-1.0, float("nan"), float("inf"), 1e12)],
)
def test_ids_and_times_are_checked_at_the_door(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        header(**options)


@pytest.mark.parametrize("seconds", [0, -1, 86_401, float("inf"), float("nan")])
def test_a_life_is_more_than_nothing_and_at_most_a_day(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="expires_in"):
        header(expires_in=seconds)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"channel": "whatsapp"},
        {"channel": "phone", "dialed": "+551130000001", "refer_url": False},
        {"channel": "sip", "refer_url": True},
    ],
)
def test_what_our_twiml_knows_of_a_call_comes_back(facts: dict[str, Any]) -> None:
    context = good(header({}, **facts))
    assert {"channel": context.channel, "dialed": context.dialed, "refer_url": context.refer_url} == {
        "channel": None,
        "dialed": None,
        "refer_url": None,
        **facts,
    }
    assert "+5511" not in repr(context)


@pytest.mark.parametrize(
    ("facts", "key"),
    [
        ({"channel": "fax"}, "w"),
        ({"channel": ["phone"]}, "w"),
        ({"dialed": "4155550100"}, "d"),
        ({"dialed": "+1 415 555 0100"}, "d"),
        ({"dialed": 7}, "d"),
        ({"refer_url": 1}, "r"),
        ({"refer_url": "https://example.com"}, "r"),
    ],
)
def test_what_our_twiml_cannot_know_is_neither_signed_nor_believed(facts: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(facts))) as refused:
        header(**facts)
    assert "0100" not in str(refused.value)
    content = {"c": {}, "e": int(NOW) + 60, "n": "nonce-01", key: next(iter(facts.values()))}
    assert verify(by_hand(content)) is ContextRefusal.MALFORMED


def test_each_context_has_a_nonce_of_its_own() -> None:
    assert len({good(header()).nonce for _ in range(50)}) == 50


def test_the_format_is_what_its_documentation_says() -> None:
    content = {"c": {"tier": "gold", "name": "Zoë"}, "e": int(NOW) + 300, "n": "nonce-01", "p": SID}
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    assert header({"tier": "gold", "name": "Zoë"}, nonce="nonce-01") == by_hand(text)
    assert good(by_hand(content)) == good(by_hand(text))


# --- what does not count -------------------------------------------------------------------------------------------


def test_no_header_is_no_refusal() -> None:
    assert verify() is None


def test_law_context_expires() -> None:
    value = header(expires_in=60.0)
    assert good(value, now=NOW + 59.9).expires_at == NOW + 60
    assert verify(value, now=NOW + 60) is ContextRefusal.EXPIRED


def test_law_context_is_signed__another_secret_counts_for_nothing() -> None:
    assert verify(header(), secret=OTHER) is ContextRefusal.FORGED
    assert verify(by_hand({"c": {}, "e": 2_000_000_000, "n": "nonce-01"}, secret=OTHER)) is ContextRefusal.FORGED


@given(place=st.integers(0, 10_000), character=st.sampled_from("AZaz09_-.+/=% "))
def test_law_context_is_signed__no_character_can_be_changed(place: int, character: str) -> None:
    value = header(nonce="nonce-01")
    place %= len(value)
    changed = value[:place] + character + value[place + 1 :]
    assume(changed != value)
    assert verify(changed) in (ContextRefusal.FORGED, ContextRefusal.MALFORMED)


@given(
    ours=st.dictionaries(KEYS, TEXTS, max_size=3), theirs=st.dictionaries(KEYS, TEXTS, max_size=3), other=st.booleans()
)
def test_law_context_is_signed__what_is_swapped_between_two_counts_for_nothing(
    ours: dict[str, str], theirs: dict[str, str], other: bool
) -> None:
    signer = ContextSigner(OTHER) if other else SIGNER
    mine, taken = (
        signed[CONTEXT_HEADER].split(".")
        for signed in (
            SIGNER.sign(ours, parent_call_sid=SID, now=NOW, nonce="nonce-01"),
            signer.sign(theirs, parent_call_sid="CA" + "f" * 32, now=NOW, nonce="nonce-02"),
        )
    )
    for swapped in ([mine[0], taken[1], mine[2]], [taken[0], mine[1], taken[2]]):
        assert verify(".".join(swapped)) is ContextRefusal.FORGED


def test_two_headers_count_for_nothing_even_where_one_is_right() -> None:
    value = header()
    assert verify(value, value) is ContextRefusal.REPEATED
    headers = SipHeaders([(CONTEXT_HEADER, value), (CONTEXT_HEADER.upper(), "x")])
    assert SIGNER.verify(headers, now=NOW) is ContextRefusal.REPEATED


def test_what_is_too_long_is_not_looked_at() -> None:
    assert verify("v1." + "A" * MAX_CONTEXT) is ContextRefusal.TOO_LONG


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"\xff\xfe\xfd",
        b"[" * 500,
        [],
        {},
        {"c": {}, "e": True, "n": "nonce-01"},
        {"c": {}, "e": 1e300, "n": "nonce-01"},
        {"c": {}, "e": 10**40, "n": "nonce-01"},
        {"c": {}, "e": "2000000000", "n": "nonce-01"},
        {"c": {}, "e": 2_000_000_000},
        {"c": {"k": 1}, "e": 2_000_000_000, "n": "nonce-01"},
        {"c": {"k": "\r\nX: 1"}, "e": 2_000_000_000, "n": "nonce-01"},
        {"c": {"k": "\ud800"}, "e": 2_000_000_000, "n": "nonce-01"},
        {"c": [], "e": 2_000_000_000, "n": "nonce-01"},
        {"c": {}, "e": 2_000_000_000, "n": "nonce-01", "p": 7},
    ],
)
def test_what_was_signed_by_a_careless_program_is_malformed(content: object) -> None:
    assert verify(by_hand(content)) is ContextRefusal.MALFORMED


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))),
            st.from_regex(r"v1\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,44}", fullmatch=True),
        ),
        max_size=3,
    )
)
def test_hostile_headers_never_raise_and_never_count(values: list[str]) -> None:
    assert not isinstance(verify(*values), SignedContext)


def test_secrets_rotate() -> None:
    old, new = header(), ContextSigner([OTHER, SECRET]).sign({"tier": "new"}, parent_call_sid=None, now=NOW)
    assert dict(good(old, secret=[OTHER, SECRET]).values) == {"tier": "gold"}
    assert dict(good(new[CONTEXT_HEADER], secret=OTHER).values) == {"tier": "new"}
    assert verify(new[CONTEXT_HEADER], secret=SECRET) is ContextRefusal.FORGED


@pytest.mark.parametrize(
    "secret", ["", "too short", None, 7, [], [SECRET, ""], SECRET + "\n", b"bytes bytes bytes bytes"]
)
def test_a_secret_that_is_none_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="context secret"):
        ContextSigner(secret)


def test_law_nothing_of_a_context_is_shown() -> None:
    context = good(header(nonce="nonce-01"))
    shown = repr(context) + repr(SIGNER) + str(SIGNER)
    for hidden in ("gold", "tier", SID, "nonce-01", SECRET):
        assert hidden not in shown


def test_a_context_cannot_be_changed_and_can_be_handed_on() -> None:
    context = good(header())
    with pytest.raises(TypeError):
        context.values["tier"] = "platinum"  # type: ignore[index]
    assert pickle.loads(pickle.dumps(context)) == context == copy.deepcopy(context)
    assert {context: 1}[context] == 1


# --- on the webhook ------------------------------------------------------------------------------------------------


def webhooks(**options: Any) -> OpenAIWebhooks:
    return OpenAIWebhooks(WEBHOOK_SECRET, clock=lambda: NOW, **{"context_secret": SECRET, **options})


def incoming(
    *values: str,
    call_id: str = "rtc_1",
    hooks: OpenAIWebhooks | None = None,
    now: float = NOW,
    claims: tuple[tuple[str, str], ...] = (),
) -> IncomingCall:
    hooks = hooks or webhooks()
    headers = [("From", "<sip:+14155550100@example.com>"), *claims, *((CONTEXT_HEADER, value) for value in values)]
    data = {"call_id": call_id, "sip_headers": [{"name": name, "value": value} for name, value in headers]}
    body = json.dumps({"type": "realtime.call.incoming", "created_at": int(now), "data": data})
    event = hooks.unwrap(body, hooks.sign(body, id="wh_1", timestamp=now))
    assert isinstance(event, IncomingCall)
    return event


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="realtime_sip"):
        yield caplog
    for hidden in ("0100", "gold", SID, SECRET):
        assert hidden not in caplog.text


def test_a_verified_context_is_on_the_call(log: pytest.LogCaptureFixture) -> None:
    call = incoming(header(nonce="nonce-01"))
    assert dict(call.context) == {"tier": "gold"}
    assert call.parent_call_sid == SID
    assert call.signed_context is not None
    assert call.signed_context.nonce == "nonce-01"
    for hidden in ("gold", SID, "nonce-01", "0100"):
        assert hidden not in repr(call) + str(call)
    assert not log.records


def test_what_is_signed_of_channel_and_number_comes_before_what_headers_claim() -> None:
    signed = header(channel="whatsapp", dialed="+551130000001")
    claims = (("X-Channel", "phone"), ("X-Dialed-Number", "+14155550199"))
    call = incoming(signed, claims=claims)
    assert (call.channel, call.dialed) == ("whatsapp", "+551130000001")
    assert (call.without_context().channel, call.without_context().dialed) == ("phone", "+14155550199")
    silent = incoming(header(), claims=claims)
    assert (silent.channel, silent.dialed) == ("phone", "+14155550199")
    assert incoming(claims=()).dialed is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["v1.x.y"], "malformed"),
        ([by_hand({"c": {"tier": "gold"}, "e": 2_000_000_000, "n": "nonce-01"}, secret=OTHER)], "forged"),
        ([header(now=NOW - 301)], "expired"),
        ([header(), header()], "repeated"),
        (["x" * (MAX_CONTEXT + 1)], "too_long"),
    ],
)
def test_law_context_counts_when_verified_and_else_is_empty(
    values: list[str], why: str, log: pytest.LogCaptureFixture
) -> None:
    call = incoming(*values)
    assert (dict(call.context), call.parent_call_sid, call.signed_context) == ({}, None, None)
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith(f": {why}")
    assert "rtc_1" in record.getMessage()


def test_without_a_context_secret_all_contexts_are_empty(log: pytest.LogCaptureFixture) -> None:
    assert dict(incoming(header(), hooks=webhooks(context_secret=None)).context) == {}
    assert not log.records


def test_a_body_cannot_bring_a_context() -> None:
    hooks = webhooks()
    data = {"call_id": "rtc_1", "context": {"tier": "gold"}}
    payload = {"type": "realtime.call.incoming", "data": data, "context": {"tier": "gold"}, "parent_call_sid": SID}
    for extra in ({}, {"_context": {"tier": "gold"}}, {"signed_context": {"nonce": "n"}}):
        body = json.dumps(payload | extra)
        event = hooks.unwrap(body, hooks.sign(body, id="wh_1", timestamp=NOW))
        assert isinstance(event, IncomingCall)
        assert (dict(event.context), event.parent_call_sid, event.signed_context) == ({}, None, None)
        assert event.to_wire() == payload | extra


def test_a_call_outside_unwrap_has_no_context() -> None:
    call = IncomingCall.model_validate(incoming(header()).to_wire())
    assert (dict(call.context), call.parent_call_sid) == ({}, None)


def test_a_call_with_a_context_can_be_handed_on() -> None:
    call = incoming(header())
    again = pickle.loads(pickle.dumps(call))
    assert dict(again.context) == {"tier": "gold"}
    assert again.signed_context == call.signed_context


def test_a_call_without_its_context_is_the_same_call() -> None:
    call = incoming(header())
    bare = call.without_context()
    assert (dict(bare.context), bare.parent_call_sid) == ({}, None)
    assert (bare.call_id, bare.webhook_id, bare.caller) == (call.call_id, call.webhook_id, call.caller)
    assert bare.to_wire() == call.to_wire()
    assert dict(call.context) == {"tier": "gold"}


# --- used once -----------------------------------------------------------------------------------------------------


class Store(MemoryStore):
    """A store on a clock of the tests, that counts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.uses = 0
        super().__init__(clock=lambda: self.now)

    async def use(self, nonce: str, *, by: str, remember: float) -> bool:
        self.uses += 1
        return await super().use(nonce, by=by, remember=remember)


async def test_law_context_is_used_once__another_call_with_it_has_none(log: pytest.LogCaptureFixture) -> None:
    store, value = Store(), header()
    first = await use_context(incoming(value), store, now=NOW)
    assert dict(first.context) == {"tier": "gold"}
    assert not log.records
    stolen = await use_context(incoming(value, call_id="rtc_2"), store, now=NOW + 299)
    assert (dict(stolen.context), stolen.call_id) == ({}, "rtc_2")
    (record,) = log.records
    assert record.levelno == logging.WARNING
    assert "rtc_2" in record.getMessage()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_law_context_is_used_once__whoever_replays_or_swaps_them_and_in_any_order(seen: list[tuple[int, int]]) -> None:
    """Each of four calls comes with each of four contexts, again and again: the first call with one has it."""
    values = [header({"n": str(n)}, nonce=f"nonce-0{n}") for n in range(4)]

    async def run() -> None:
        store, owner = Store(), dict[int, int]()
        for call, context in seen:
            got = await use_context(incoming(values[context], call_id=f"rtc_{call}"), store, now=NOW)
            mine = owner.setdefault(context, call) == call
            assert dict(got.context) == ({"n": str(context)} if mine else {})

    asyncio.run(run())


async def test_a_call_that_is_announced_again_keeps_its_context() -> None:
    store, value = Store(), header()
    for seconds in (0, 1, 200):
        store.now = seconds
        call = await use_context(incoming(value), store, now=NOW + seconds)
        assert dict(call.context) == {"tier": "gold"}


async def test_calls_with_contexts_of_their_own_do_not_disturb_each_other() -> None:
    store = Store()
    calls = [await use_context(incoming(header(), call_id=f"rtc_{n}"), store, now=NOW) for n in range(20)]
    assert [dict(call.context) for call in calls] == [{"tier": "gold"}] * 20


async def test_a_nonce_and_a_call_id_are_not_confused() -> None:
    store = Store()
    await store.claim("nonce-01", owner="a host", lease=30)
    assert dict((await use_context(incoming(header(nonce="nonce-01")), store, now=NOW)).context) == {"tier": "gold"}


async def test_a_call_without_context_uses_no_nonce() -> None:
    store = Store()
    for call in (incoming(), incoming("v1.x.y")):
        assert await use_context(call, store, now=NOW) is call
    assert store.uses == 0


async def test_a_context_that_expired_on_the_way_to_the_host_does_not_count(log: pytest.LogCaptureFixture) -> None:
    store = Store()
    call = await use_context(incoming(header(expires_in=10)), store, now=NOW + 10)
    assert dict(call.context) == {}
    assert store.uses == 0
    assert "expired" in log.text


async def test_a_nonce_is_remembered_for_longer_than_its_context_counts() -> None:
    store, value = Store(), header(expires_in=60)
    await use_context(incoming(value), store, now=NOW)
    store.now = 60 + 300  # the clock of another host may be as late as a webhook may be
    assert dict((await use_context(incoming(value, call_id="rtc_2"), store, now=NOW + 59)).context) == {}


async def test_what_the_store_raises_is_raised_and_nothing_was_taken() -> None:
    class Broken(Store):
        async def use(self, nonce: str, *, by: str, remember: float) -> bool:
            raise OSError("no store")

    with pytest.raises(OSError, match="no store"):
        await use_context(incoming(header()), Broken(), now=NOW)


# --- the client ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=[RealtimeSip, AsyncRealtimeSip])
def client_type(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("REALTIME_SIP_CONTEXT_SECRET", raising=False)
    return request.param


def unwrapped(client: Any) -> dict[str, str]:
    now = time.time()
    return dict(incoming(header(now=now), hooks=client.webhooks, now=now).context)


def test_the_client_verifies_contexts(client_type: Any) -> None:
    client = client_type("sk-test", webhook_secret=WEBHOOK_SECRET, context_secret=SECRET)
    assert unwrapped(client) == {"tier": "gold"}
    assert unwrapped(client.with_options(timeout=1.5)) == {"tier": "gold"}
    assert SECRET not in repr(client) + repr(client.webhooks) + repr(client.settings)


def test_the_client_takes_the_context_secret_from_the_environment(
    client_type: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unwrapped(client_type("sk-test", webhook_secret=WEBHOOK_SECRET)) == {}
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", SECRET)
    assert unwrapped(client_type("sk-test", webhook_secret=WEBHOOK_SECRET)) == {"tier": "gold"}
    assert unwrapped(client_type("sk-test", webhook_secret=WEBHOOK_SECRET, context_secret=[OTHER])) == {}
    monkeypatch.setenv("REALTIME_SIP_CONTEXT_SECRET", "")
    assert unwrapped(client_type("sk-test", webhook_secret=WEBHOOK_SECRET)) == {}


def test_a_context_secret_that_is_none_shows_when_webhooks_are_asked_for(client_type: Any) -> None:
    client = client_type("sk-test", webhook_secret=WEBHOOK_SECRET, context_secret="short")
    with pytest.raises(ConfigurationError, match="context secret"):
        client.webhooks  # noqa: B018


def test_a_context_that_counts_for_longer_than_any_that_is_signed_is_not_believed() -> None:
    signer = ContextSigner(SECRET)
    for ahead, believed in ((590.0, True), (3600.0, False), (1e9, False)):
        header = signer.sign({}, parent_call_sid=None, now=NOW + ahead, expires_in=86_400)
        context = signer.verify(SipHeaders(header.items()), now=NOW)
        assert isinstance(context, SignedContext) == believed
        assert believed or context is ContextRefusal.MALFORMED
