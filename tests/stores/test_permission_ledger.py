"""The ledger of permissions in each store: what one worker notes another one knows, and of many one gets the call."""

from __future__ import annotations

import asyncio
from typing import Any

from kept import Clock, Servers

from realtime_sip.outcomes import PermissionReason
from realtime_sip.stores import Store
from realtime_sip.stores.memory import MemoryStore
from realtime_sip.twilio.permission import PermissionRules
from realtime_sip.twilio.whatsapp import CallPermissions, EventKind, ThreadCallPermissions, WhatsAppUser

pytest_plugins = ["store_fixtures"]

SENDER, USER, USER_ID = "+551130000001", "+5511987650001", "BR.1502576394655843"
T0 = 1_795_000_000.0
KINDS: tuple[EventKind, ...] = ("connected", "ended", "ended")


def ledgers(store: Store, count: int = 2, **rules: int) -> list[CallPermissions]:
    """Return the ledgers of several workers."""
    return [CallPermissions(store, rules=PermissionRules(**rules), clock=lambda: T0) for _ in range(count)]  # type: ignore[arg-type]


async def test_what_one_worker_notes_another_knows_and_repeats_change_nothing(store: Store) -> None:
    one, other = ledgers(store)
    for _ in range(2):
        await one.note(SENDER, USER, "accepted", id="SM1")
    assert await other.may_call(SENDER, USER)
    for number in range(5):
        for kind in KINDS:
            await other.note(SENDER, USER, kind, id=f"CA{number}", at=T0 - 100 + number)
    verdict = await one.may_call(SENDER, USER)
    assert (verdict.reason, verdict.allowed_at) == (PermissionReason.CALL_LIMIT, T0 - 100 + 86_400)


async def test_number_id_and_ninth_digit_are_one_person_for_all_workers(store: Store) -> None:
    one, other = ledgers(store)
    await one.note(SENDER, USER_ID, "accepted", id="SM1")
    await one.note(SENDER, WhatsAppUser(USER, user_id=USER_ID), "wrote", id="SM2")
    for who in (USER, USER_ID, "+551187650001"):
        assert await other.may_call(SENDER, who)
    await other.same_person(SENDER, USER, "+5511987650009")
    assert await one.may_call(SENDER, "+5511987650009")
    assert not await one.may_call("+551130000002", USER)


async def test_law_of_many_workers_one_gets_the_call(store: Store) -> None:
    workers = ledgers(store, 4)
    await workers[0].note(SENDER, USER, "accepted", id="SM1")
    verdicts = await asyncio.gather(*(workers[n % 4].reserve(SENDER, USER, f"call {n}") for n in range(12)))
    assert sum(map(bool, verdicts)) == 1
    assert {each.reason for each in verdicts if not each} == {PermissionReason.CALL_UNDER_WAY}


async def test_law_a_sender_has_no_more_calls_at_a_time_than_it_may(store: Store) -> None:
    workers = ledgers(store, 3, concurrent=2)
    users = [f"+55119876500{n:02}" for n in range(6)]
    for user in users:
        await workers[0].note(SENDER, user, "accepted", id=f"SM{user}")
    verdicts = await asyncio.gather(
        *(workers[n % 3].reserve(SENDER, user, f"call {n}") for n, user in enumerate(users))
    )
    assert sum(map(bool, verdicts)) == 2
    assert {each.reason for each in verdicts if not each} == {PermissionReason.SENDER_FULL}
    placed = next(n for n, verdict in enumerate(verdicts) if verdict)
    await workers[1].placed(SENDER, users[placed], f"call {placed}", None)
    waiting = next(n for n, verdict in enumerate(verdicts) if not verdict)
    assert await workers[2].reserve(SENDER, users[waiting], "again")


async def test_a_call_is_reserved_noted_and_over_in_a_block(store: Store) -> None:
    one, other = ledgers(store)
    await one.note(SENDER, USER, "accepted", id="SM1")
    async with one.calling(SENDER, USER) as reserved:
        assert (await other.may_call(SENDER, USER)).reason is PermissionReason.CALL_UNDER_WAY
        reserved.sid = "CA1"
    await other.note(SENDER, USER, "ended", id="CA1")
    assert await one.may_call(SENDER, USER)


async def test_law_many_changes_at_once_lose_none(store: Store) -> None:
    workers = ledgers(store, 4)
    await asyncio.gather(
        *(workers[n % 4].note(SENDER, USER, "missed", id=f"CA{n}", at=T0 - 50 + n) for n in range(8)),
        workers[0].note(SENDER, USER, "accepted", id="SM1", at=T0 - 100),
    )
    assert (await workers[1].may_call(SENDER, USER)).reason is PermissionReason.REVOKED


async def test_no_number_is_kept() -> None:
    class Watched(MemoryStore):
        async def note(self, key: str, text: str, *, remember: float) -> None:
            written.extend([key, text])
            await super().note(key, text, remember=remember)

    written: list[str] = []
    (one,) = ledgers(Watched(), 1)
    await one.note(SENDER, WhatsAppUser(USER, user_id=USER_ID), "accepted", id="SM1")
    kept = " ".join(written)
    assert "SM1" in kept
    assert USER_ID not in kept
    assert USER[1:] not in kept
    assert SENDER[1:] not in kept


def test_the_blocking_face_keeps_it_where_the_other_finds_it(kind: str, clock: Clock, servers: Servers) -> None:
    store = servers.make(kind, clock)
    with ThreadCallPermissions(store) as permissions:
        permissions.note(SENDER, USER, "accepted")
        with permissions.calling(SENDER, USER) as reserved:
            reserved.sid = "CA1"
        assert permissions.may_call(SENDER, USER).reason is PermissionReason.CALL_UNDER_WAY
        permissions.note(SENDER, USER, "ended", id="CA1")
        assert permissions.may_call(SENDER, USER)

    async def elsewhere() -> bool:
        again: Any = MemoryStore() if kind == "memory" else type(store)(servers.url(kind), **_place(store))
        try:
            return bool(await CallPermissions(again).may_call(SENDER, USER))
        finally:
            if kind != "memory":
                await again.close()

    assert asyncio.run(elsewhere()) is (kind != "memory")


def _place(store: object) -> dict[str, str]:
    prefix = getattr(store, "_prefix", None)
    return {} if prefix is None else {"prefix": prefix.strip("{}:")}
