"""What workers hand to each other through a store: sealed, bound to its call, read as far as it is known."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest
from fleet import fleet

from phone import until, virtual
from realtime_sip import AsyncRealtimeSip, Call, CallLimits, EndReason, TransferTargets
from realtime_sip.call.machine.state import Called, Tool
from realtime_sip.call.machine.ticket import Ticket
from realtime_sip.hosting.tickets import Seals
from realtime_sip.sip import ContextSigner
from realtime_sip.stores.rules import MAX_NOTE
from realtime_sip.testing import Behavior
from realtime_sip.testing.openai.call import EndedBy
from realtime_sip.twilio.webhooks import ReferRequest
from realtime_sip.webhooks import IncomingCall

AT = 1_795_000_000.0
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_b3RoZXIgc2VjcmV0IG9mIHRlc3Rz"
QUIET = CallLimits(silence=None, first_sound=None)


def seals(*secrets: str) -> Seals:
    return Seals(AsyncRealtimeSip("sk-test", webhook_secret=[*secrets] or [SECRET]))


def incoming(call_id: str = "rtc_1", **headers: str) -> IncomingCall:
    sip = [{"name": name.replace("_", "-"), "value": value} for name, value in headers.items()]
    return IncomingCall.model_validate(
        {
            "id": "evt_1",
            "object": "event",
            "created_at": int(AT),
            "type": "realtime.call.incoming",
            "data": {"call_id": call_id, "sip_headers": sip},
        }
    )


def altered(by: Seals, ticket: str, **fields: Any) -> str:
    """Return a ticket as a worker of another release would have written it."""
    content = json.loads(by._open(ticket))
    content["call"].update(fields)
    return by._seal(json.dumps(content))


# --- of another release -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": {"call call_1": "paused", "call call_2": "running"}},
        {"near": ["minutes", "cost"]},
        {"ending": {"reason": "a new reason", "evidence": "…"}},
        {"transfer": {"name": "desk", "sign": "seen on the moon"}},
        {"usage": {"tokens": "many"}},
        {"rounds": "three", "something": {"new": 1}},
        {"detection": "off"},
    ],
)
def test_what_a_ticket_of_another_release_says_beside_what_is_known_here_is_left_out(fields: dict[str, Any]) -> None:
    ours = seals()
    ticket = ours.ticket(incoming(), call=Ticket(at=AT, began=AT - 9, attached=AT - 8, sounded=True))
    known = ours.read(altered(ours, ticket, **fields), call_id="rtc_1")
    assert known is not None
    assert known.call is not None
    assert (known.call.attached, known.call.sounded, known.call.rounds) == (AT - 8, True, 0)
    if "tools" in fields:
        assert known.call.tools == {"call call_2": Tool.RUNNING}
    if "near" in fields:
        assert [limit.value for limit in known.call.near] == ["cost"]


@pytest.mark.parametrize("state", [{}, {"at": "noon"}, {"at": None, "began": 3}])
def test_a_call_whose_state_cannot_be_read_at_all_is_taken_over_all_the_same(state: dict[str, Any]) -> None:
    ours = seals()
    content = json.loads(ours._open(ours.ticket(incoming(), route="sales")))
    known = ours.read(ours._seal(json.dumps({**content, "call": state, "trace": {"traceparent": 7}})), call_id="rtc_1")
    assert known is not None
    assert known.call is None
    assert known.route == "sales"


def test_while_the_secret_is_rotated_each_worker_reads_what_the_others_have_sealed() -> None:
    old, both, new = seals(OTHER), seals(SECRET, OTHER), seals(SECRET)
    assert both.read(old.ticket(incoming()), call_id="rtc_1") is not None
    assert both.read(new.ticket(incoming()), call_id="rtc_1") is not None
    assert new.read(both.ticket(incoming()), call_id="rtc_1") is not None
    assert new.read(old.ticket(incoming()), call_id="rtc_1") is None


# --- of another call, or of nobody ------------------------------------------------------------------------------------


def test_a_ticket_counts_for_its_own_call_alone() -> None:
    ours = seals()
    assert ours.read(ours.ticket(incoming("rtc_1")), call_id="rtc_2") is None
    assert ours.read(ours.ticket(incoming("rtc_1")), call_id="rtc_1") is not None


@pytest.mark.parametrize("ticket", ["", "x", "gAAAAA", "é", "\ud800"])
def test_what_is_no_ticket_is_not_read(ticket: str) -> None:
    assert seals().read(ticket, call_id="rtc_1") is None
    assert seals().opened(ticket) is None


def test_a_ticket_that_was_tampered_with_is_not_read() -> None:
    ours = seals()
    ticket = ours.ticket(incoming())
    for at in range(0, len(ticket), 7):
        other = "A" if ticket[at] != "A" else "B"
        assert ours.read(ticket[:at] + other + ticket[at + 1 :], call_id="rtc_1") is None


@virtual
async def test_two_calls_whose_tickets_were_swapped_in_the_store_are_not_served_as_each_other() -> None:
    async with fleet(limits=QUIET) as shop:
        dead, living = shop.workers
        ringings = [await shop.ring(caller=f"+1415555010{number}") for number in range(2)]
        await until(lambda: len(dead.calls) == 2)
        await dead.die()
        store: Any = shop.store
        first, second = (store._open[ringing.call_id] for ringing in ringings)
        one, two = first.ticket, second.ticket
        object.__setattr__(first, "ticket", two)
        object.__setattr__(second, "ticket", one)
        assert [(await ringing.ended()).by for ringing in ringings] == [EndedBy.AGENT] * 2
        assert living.calls == []


PARENT = "CA" + "a" * 32


@virtual
async def test_what_is_noted_of_a_transfer_has_neither_numbers_nor_words_for_whoever_reads_the_store() -> None:
    desks = TransferTargets({"desk": "tel:+14155550177"})

    async def talk(call: Call) -> None:
        if call.adopted is None:
            call.transfer("desk", reason="a planted reason", summary="planted " + words, after_speech=False)
        await call.wait_ended()

    words = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(6000))
    async with fleet(talk=talk, limits=QUIET, transfers=desks, context_secret="a secret of the tests") as shop:
        first, other = shop.workers
        signed = ContextSigner("a secret of the tests").sign({}, parent_call_sid=PARENT, now=AT)
        ringing = await shop.ring(sip_headers=signed.items(), behavior=Behavior(refer="bridged"))
        await ringing.until_requested("refer")
        notes = [note.text for note in shop.store._notes.values()]
        held = " ".join([repr(vars(shop.store)), *notes, *(claim.ticket for claim in shop.store._open.values())])
        assert notes
        for planted in ("planted", "14155550177", "4155550177"):
            assert planted not in held
        asks = ReferRequest.read(urlencode({"CallSid": PARENT, "ReferTransferTarget": "sip:x@y"}))
        request = await other.host.transfer_of(asks)
        assert request is not None
        assert (request.name, request.reason) == ("desk", "a planted reason")
        assert request.summary.startswith("planted ")
        assert (await first.host.ended(ringing.call_id)).reason is EndReason.TRANSFERRED


# --- their size -------------------------------------------------------------------------------------------------------


def busy(calls: int) -> Ticket:
    """Return the ticket of a call in which many functions are under way, with long names."""
    ids = [f"call_{number:032d}" for number in range(calls)]
    return Ticket(
        at=AT,
        began=AT,
        attached=AT,
        tools={f"call {each}": Tool.RUNNING for each in ids},
        functions={each: Called(f"item_{each}", f"look_up_{number}_{'x' * 50}") for number, each in enumerate(ids)},
        seen=tuple(ids),
    )


def test_fifty_functions_under_way_fit_into_a_ticket() -> None:
    assert 0 < len(seals().ticket(incoming(), call=busy(50))) <= MAX_NOTE


def noise(length: int) -> str:
    """Return text that cannot be compressed."""
    return "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=length))


def test_headers_that_are_too_long_are_left_out__the_call_can_be_taken_over_all_the_same() -> None:
    ours = seals()
    call = incoming("rtc_1", From="<sip:+14155550100@x>", To="<sip:proj@y>", X_Hostile=noise(60_000))
    ticket = ours.ticket(call, call=busy(3))
    assert 0 < len(ticket) <= MAX_NOTE
    known = ours.read(ticket, call_id="rtc_1")
    assert known is not None
    assert known.incoming.caller == call.caller
    assert known.call == busy(3)
