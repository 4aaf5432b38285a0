"""Templates for calls: their rules, and the curls of the request."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import pytest
from provisioning import HOW, provisioning

from realtime_sip.errors import CallNotAllowedError, InvalidRequestError, NetworkError
from realtime_sip.testing import TwilioEmulator, run_virtual
from realtime_sip.twilio import AsyncTwilioAccount
from realtime_sip.twilio.whatsapp import CallTemplate, PermissionReason, PermissionRequestTemplate, PermissionVerdict

SENDER, USER = "whatsapp:+551130000001", "whatsapp:+5511987650001"
CARD = CallTemplate(
    "voice_call_test", "Hello {{1}} let's continue on a call.", button="Call now", variables={"1": "name"}
)
ASK = PermissionRequestTemplate("voice_call_request", text="test", button="Call Request")


@HOW
async def test_templates_are_created_submitted_and_decided(how: str) -> None:
    async with provisioning(how) as p:
        made = await p.got(p.account.whatsapp.create_template(CARD))
        await p.got(p.account.whatsapp.submit_template(made.sid, name="voice_call_test", category="UTILITY"))
        request = await p.got(p.account.whatsapp.create_template(ASK))
        assert [each.url.path for each in p.wire.seen][1] == f"/v1/Content/{made.sid}/ApprovalRequests/whatsapp"
        assert request.asks_for_permission
        assert not made.asks_for_permission
        p.twilio.account.templates.approvals[made.sid] |= {"status": "rejected", "rejection_reason": "INVALID_FORMAT"}
        said = await p.got(p.account.whatsapp.approval(made.sid))
        assert (said.status, said.rejection_reason) == ("rejected", "INVALID_FORMAT")
        assert (await p.got(p.account.whatsapp.approval(request.sid))).status == "unsubmitted"


@pytest.mark.parametrize(
    ("pending", "reason", "wait", "status", "reads", "seconds"),
    [
        (0, "", 0, "approved", 1, 0),
        (3, "", 3600, "approved", 4, 9.5),
        (3, "INVALID_FORMAT", 3600, "rejected", 4, 9.5),
        (100, "", 10, "pending", 5, 10),
    ],
)
def test_the_wait_for_approval_is_bounded_and_a_rejection_has_its_reason(
    pending: int, reason: str, wait: float, status: str, reads: int, seconds: float
) -> None:
    async def main() -> None:
        async with TwilioEmulator() as twilio:
            options: dict[str, Any] = {"base_url": twilio.base_url, "proxy": False}
            async with AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, **options) as account:
                twilio.account.templates.pending = pending
                twilio.account.templates.rejection_reason = reason
                sid = (await account.whatsapp.create_template(CARD)).sid
                await account.whatsapp.submit_template(sid, name="voice_call_test", category="UTILITY")
                asked, began = len(twilio.rest_requests), asyncio.get_running_loop().time()
                said = await account.whatsapp.approval(sid, wait=wait)
                assert (said.status, said.rejection_reason, said.is_decided) == (status, reason, status != "pending")
                assert len(twilio.rest_requests) - asked == reads
                assert asyncio.get_running_loop().time() - began == pytest.approx(seconds, abs=0.5)
                with pytest.raises(InvalidRequestError):
                    await account.whatsapp.approval(sid, wait=-1)

    run_virtual(main())


@HOW
async def test_a_template_is_sent_with_all_of_its_variables(how: str) -> None:
    async with provisioning(how) as p:
        sid = (await p.got(p.account.whatsapp.create_template(CARD))).sid
        bad: list[dict[str, str]] = [{}, {"1": "Ana", "2": "x"}, {"1": ""}]
        for variables in bad:
            with pytest.raises(InvalidRequestError):
                await p.got(p.account.whatsapp.send_template(SENDER, USER, sid, variables=variables))
        assert len(p.wire.changes) == 1
        await p.got(p.account.whatsapp.send_template(SENDER, USER, sid, variables={"1": "Ana"}))
        form = parse_qs(p.wire.seen[-1].content.decode())
        assert form == {"ContentSid": [sid], "From": [SENDER], "To": [USER], "ContentVariables": ['{"1": "Ana"}']}


@HOW
async def test_a_request_for_permission_is_sent_if_the_rules_allow_it(how: str) -> None:
    async with provisioning(how) as p:
        sid = (await p.got(p.account.whatsapp.create_template(ASK))).sid
        with pytest.raises(InvalidRequestError, match="may_request"):
            await p.got(p.account.whatsapp.send_template(SENDER, USER, sid))
        no = PermissionVerdict(PermissionReason.REQUEST_LIMIT, allowed_at=86400.0)
        with pytest.raises(CallNotAllowedError):
            await p.got(p.account.whatsapp.send_template(SENDER, USER, sid, permission=no))
        await p.got(p.account.whatsapp.send_template(SENDER, USER, sid, permission=PermissionVerdict()))
        assert parse_qs(p.wire.seen[-1].content.decode()) == {"ContentSid": [sid], "From": [SENDER], "To": [USER]}


async def test_law_no_template_is_created_and_no_message_sent_twice() -> None:
    async with provisioning() as p:
        p.wire.fault = lambda _number, request: "timeout" if request.method == "POST" else None
        with pytest.raises(NetworkError):
            await p.account.whatsapp.create_template(CARD)
        (sid,) = p.twilio.account.templates.contents
        with pytest.raises(NetworkError):
            await p.account.whatsapp.send_template(SENDER, USER, sid, variables={"1": "Ana"})
        assert len(p.wire.changes) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"button": ""}, {"button": "Call {{1}}"}, {"button": "x" * 26}, {"kind": "twilio/text"}, {"variables": {}}],
)
def test_a_template_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    good = {"button": "Call", "variables": {"1": "name"}}
    with pytest.raises(InvalidRequestError):
        CallTemplate("a", "Hello {{1}}", **{**good, **wrong})
    with pytest.raises(InvalidRequestError):
        PermissionRequestTemplate("a", text="")
    with pytest.raises(InvalidRequestError):
        PermissionRequestTemplate("a", button="")


def test_each_kind_has_its_text_where_it_belongs() -> None:
    for kind, place in (("twilio/card", "title"), ("whatsapp/card", "body"), ("twilio/call-to-action", "body")):
        made = CallTemplate("a", "Hello", button="Call", kind=kind).to_wire()  # type: ignore[arg-type]
        assert made["types"][kind] == {place: "Hello", "actions": [{"title": "Call", "type": "VOICE_CALL"}]}
