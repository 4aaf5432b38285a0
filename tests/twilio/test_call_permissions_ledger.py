"""The ledger of permissions: one person by any of their addresses, webhooks in any order, workers beside each other."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlencode

import pytest
from reported import reported

from realtime_sip.errors import (
    CallLimitError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    NetworkError,
    RealtimeSipError,
    ServerError,
)
from realtime_sip.outcomes import PermissionReason
from realtime_sip.stores import MemoryStore
from realtime_sip.testing import run_virtual
from realtime_sip.twilio.call_permissions import CallPermissions
from realtime_sip.twilio.permission import PermissionRules
from realtime_sip.twilio.webhooks import CallPermissionReply, CallStatusCallback, IncomingMessage
from realtime_sip.twilio.whatsapp_user import WhatsAppUser, area_verdict

SENDER, USER, USER_ID = "+551130000001", "+5511987650001", "BR.1502576394655843"
Clock = list[float]


def ledger(clock: Clock | None = None, store: MemoryStore | None = None, **rules: Any) -> CallPermissions:
    now = clock if clock is not None else [0.0]
    return CallPermissions(
        MemoryStore() if store is None else store, rules=PermissionRules(**rules), clock=lambda: now[0]
    )


def status(word: str, *, sid: str = "CA1", direction: str = "outbound-api", **more: str) -> CallStatusCallback:
    ours, theirs = f"whatsapp:{SENDER}", f"whatsapp:{USER}"
    from_, to = (theirs, ours) if direction == "inbound" else (ours, theirs)
    form = {"CallSid": sid, "CallStatus": word, "Direction": direction, "From": from_, "To": to, **more}
    return CallStatusCallback.read(urlencode(form))


def reply(payload: str, *, sid: str = "SM1", **more: str) -> CallPermissionReply:
    form = {"MessageSid": sid, "Body": "VOICE_CALL_REQUEST", "ButtonPayload": payload}
    return CallPermissionReply.read(
        urlencode({**form, "From": f"whatsapp:{USER}", "To": f"whatsapp:{SENDER}", "WaId": USER[1:], **more})
    )


@reported("permission", has="sender")
def test_one_person_by_number_and_by_id(case: dict[str, Any]) -> None:
    given, clock = case["input"], [0.0]
    permissions = ledger(clock)

    async def main() -> bool:
        for event in given["events"]:
            clock[0], by = event["t"], event["granted_by"]
            user = WhatsAppUser(by["number"], user_id=by["whatsapp_user_id"])
            await permissions.note(given["sender"], user, "accepted")
        ask = given["ask"]
        clock[0] = ask["t"]
        user = WhatsAppUser(ask.get("number"), user_id=ask.get("whatsapp_user_id"))
        return bool(await permissions.may_call(given["sender"], user))

    assert asyncio.run(main()) is case["right"]["may_call"]


async def test_a_brazilian_mobile_is_one_person_with_and_without_its_ninth_digit() -> None:
    permissions = ledger()
    await permissions.note(SENDER, "whatsapp:+551187650001", "accepted")
    assert await permissions.may_call(f"whatsapp:{SENDER}", USER)
    assert WhatsAppUser.of("whatsapp:+551187650001").address == "whatsapp:+551187650001"
    assert not await permissions.may_call("+551130000002", USER)


async def test_what_was_noted_by_id_and_by_number_is_one_history_once_they_come_together() -> None:
    permissions = ledger()
    await permissions.note(SENDER, USER, "requested")
    await permissions.note(SENDER, USER_ID, "accepted")
    assert not await permissions.may_call(SENDER, USER)
    assert await permissions.may_call(SENDER, USER_ID)
    await permissions.note(SENDER, WhatsAppUser(USER, user_id=USER_ID), "wrote")
    assert await permissions.may_call(SENDER, USER)
    assert not await permissions.may_request(SENDER, USER_ID, approved=True)


async def test_a_changed_number_is_the_same_person_if_the_service_says_so() -> None:
    permissions = ledger()
    await permissions.note(SENDER, WhatsAppUser(USER, user_id=USER_ID), "accepted")
    new = WhatsAppUser("+5521998765432", user_id="BR.77")
    assert not await permissions.may_call(SENDER, new)
    await permissions.same_person(SENDER, USER_ID, new)
    for each in (new, new.number, "BR.77", USER, USER_ID):
        assert await permissions.may_call(SENDER, each)  # type: ignore[arg-type]
    await permissions.same_person(SENDER, new, WhatsAppUser(USER, user_id=USER_ID))  # no circle
    assert await permissions.may_call(SENDER, USER)


async def test_webhooks_tell_it_all_in_any_order_and_more_than_once() -> None:
    clock = [0.0]
    permissions = ledger(clock)
    assert await permissions.observe(
        IncomingMessage.read(urlencode({"MessageSid": "SM0", "From": f"whatsapp:{USER}", "To": f"whatsapp:{SENDER}"}))
    )
    assert await permissions.may_request(SENDER, USER)
    await permissions.note(SENDER, USER, "requested", id="SMr")
    assert await permissions.observe(reply("ACCEPTED"))
    assert await permissions.may_call(SENDER, USER)
    clock[0] = 5.0
    assert await permissions.observe(reply("ACCEPTED"))
    assert (await permissions.may_call(SENDER, USER)).permitted_until == 7 * 86_400.0
    for _ in range(2):
        for word in ("completed", "ringing", "in-progress", "initiated"):
            await permissions.observe(status(word))
    for n in range(4):
        assert await permissions.may_call(SENDER, USER)
        await permissions.observe(status("completed", sid=f"CB{n}"))
    assert (await permissions.may_call(SENDER, USER)).reason is PermissionReason.CALL_LIMIT
    await permissions.observe(reply("REJECTED", sid="SM2"))
    assert (await permissions.may_call(SENDER, USER)).reason is PermissionReason.REJECTED


async def test_only_what_is_between_a_sender_and_a_whatsapp_user_is_noted() -> None:
    permissions = ledger()
    phone = CallStatusCallback.read(
        urlencode({"CallSid": "CA1", "CallStatus": "completed", "Direction": "inbound", "From": USER, "To": SENDER})
    )
    assert not await permissions.observe(phone)
    assert await permissions.observe(reply("MAYBE"))
    assert (await permissions.may_call(SENDER, USER)).reason is PermissionReason.NOT_ASKED
    assert await permissions.may_request(SENDER, USER)  # it was a message all the same


async def test_a_missed_call_of_theirs_opens_the_way_to_the_callback_request() -> None:
    permissions = ledger()
    await permissions.observe(status("no-answer", direction="inbound"))
    assert await permissions.may_request(SENDER, USER)
    assert not await permissions.may_call(SENDER, USER)
    eager = ledger(missed_call_permits=True)
    await eager.observe(status("no-answer", direction="inbound"))
    assert await eager.may_call(SENDER, USER)


async def test_of_two_workers_one_gets_the_call() -> None:
    store = MemoryStore()
    one, other = ledger(store=store), ledger(store=store)
    await one.note(SENDER, USER, "accepted")
    found = await asyncio.gather(one.reserve(SENDER, USER, "a"), other.reserve(SENDER, USER, "b"))
    assert sorted(map(bool, found)) == [False, True]
    assert {each.reason for each in found} == {None, PermissionReason.CALL_UNDER_WAY}
    mine = "a" if found[0] else "b"
    await one.placed(SENDER, USER, mine, None)
    assert await other.reserve(SENDER, USER, "c")
    await other.placed(SENDER, USER, "c", "CA1")
    assert (await one.may_call(SENDER, USER)).reason is PermissionReason.CALL_UNDER_WAY
    await one.observe(status("completed"))
    assert await one.may_call(SENDER, USER)


async def test_a_sender_has_so_many_calls_at_a_time() -> None:
    permissions = ledger(concurrent=1)
    for user in (USER, "+5511987650002"):
        await permissions.note(SENDER, user, "accepted")
    assert await permissions.reserve(SENDER, USER, "a")
    await permissions.placed(SENDER, USER, "a", "CA1")
    full = await permissions.reserve(SENDER, "+5511987650002", "b")
    assert full.reason is PermissionReason.SENDER_FULL
    await permissions.observe(status("no-answer"))
    assert await permissions.reserve(SENDER, "+5511987650002", "b")


def test_who_cannot_get_at_a_history_gives_up() -> None:
    store = MemoryStore()
    permissions = ledger(store=store)

    async def main() -> None:
        key = await permissions._key(SENDER, WhatsAppUser(USER))
        await store.enter(f"twilio:permission-lock:{key}", "somebody", lease=60.0, most=1)
        with pytest.raises(DeadlineError):
            await permissions.note(SENDER, USER, "wrote")

    run_virtual(main())


async def test_no_number_is_in_the_store_and_what_is_broken_there_permits_nothing() -> None:
    noted: dict[str, str] = {}

    class Watched(MemoryStore):
        async def note(self, key: str, text: str, *, remember: float) -> None:
            noted[key] = text
            await super().note(key, text, remember=remember)

    store = Watched()
    permissions = ledger(store=store)
    await permissions.note(SENDER, WhatsAppUser(USER, user_id=USER_ID), "accepted")
    assert noted
    assert not any(
        digits in f"{key}{text}" for key, text in noted.items() for digits in (USER[3:], SENDER[3:], USER_ID[3:])
    )
    for key in list(noted):
        if key.startswith("twilio:permission:"):
            await store.note(key, '[["x"], 3, [1, "accepted"', remember=60.0)
    assert not await permissions.may_call(SENDER, USER)


async def test_a_long_history_fits_a_note() -> None:
    clock = [0.0]
    permissions = ledger(clock)
    for n in range(300):
        clock[0] = float(n)
        await permissions.note(SENDER, USER, "missed", id=f"CA{n:032}"[:34])
    assert (await permissions.may_call(SENDER, USER)).reason is PermissionReason.NOT_ASKED


async def test_addresses_that_are_none_are_refused() -> None:
    permissions = ledger()
    with pytest.raises(ConfigurationError):
        await permissions.may_call("me", USER)
    with pytest.raises(InvalidRequestError):
        await permissions.may_call(SENDER, "somebody")
    with pytest.raises(InvalidRequestError):
        WhatsAppUser()
    with pytest.raises(ConfigurationError):
        await permissions.note(SENDER, USER, "sneezed")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        CallPermissions({})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sender", "user", "reason"),
    [
        ("+551130000001", "+5511987650001", None),
        ("+551130000001", "+14155550100", None),
        ("+14155550100", "+5511987650001", PermissionReason.SENDER_COUNTRY),
        ("+16135550100", "+5511987650001", PermissionReason.SENDER_COUNTRY),
        ("+18765550100", "+5511987650001", None),  # Jamaica has +1, too
        ("+84912345678", "+5511987650001", PermissionReason.SENDER_COUNTRY),
        ("+551130000001", "+989121234567", PermissionReason.AREA),
        ("+551130000001", "CU.123", PermissionReason.AREA),
        ("+551130000001", "BR.123", None),
    ],
)
def test_countries(sender: str, user: str, reason: PermissionReason | None) -> None:
    verdict = area_verdict(sender, WhatsAppUser.of(user))
    assert verdict.reason is reason
    assert verdict.warnings == ()


def test_what_cannot_be_checked_is_said() -> None:
    (crimea,) = area_verdict("+551130000001", WhatsAppUser("+380441234567")).warnings
    assert "Crimea" in crimea
    (unknown,) = area_verdict("+551130000001", WhatsAppUser("+99912345678")).warnings
    assert "not known" in unknown


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, PermissionReason.CALL_UNDER_WAY),
        (CallLimitError("no", status_code=400), None),
        (InvalidRequestError("place_call", (("url", "no"),)), None),
        (NetworkError("no answer", sent=True), PermissionReason.CALL_UNDER_WAY),
        (NetworkError("no connection", sent=False), None),
        (ServerError("oops", status_code=500), PermissionReason.CALL_UNDER_WAY),
        (ValueError("a bug"), None),
        (asyncio.CancelledError(), PermissionReason.CALL_UNDER_WAY),
    ],
    ids=repr,
)
async def test_a_call_that_may_ring_counts_and_one_that_cannot_does_not(
    error: BaseException | None, reason: PermissionReason | None
) -> None:
    permissions = CallPermissions(MemoryStore())
    await permissions.note(SENDER, USER, "accepted")
    with contextlib.suppress(RealtimeSipError, ValueError, asyncio.CancelledError):
        async with permissions.calling(SENDER, USER) as reserved:
            assert reserved.verdict
            if error is not None:
                raise error
            reserved.sid = "CA" + "1" * 32
    assert (await permissions.may_call(SENDER, USER)).reason is reason


async def test_who_may_not_be_called_is_told_in_the_block_and_nothing_is_reserved() -> None:
    permissions = CallPermissions(MemoryStore())
    async with permissions.calling(SENDER, USER) as reserved:
        assert reserved.verdict.reason is PermissionReason.NOT_ASKED
    await permissions.note(SENDER, USER, "accepted")
    assert await permissions.may_call(SENDER, USER)
