"""Templates for calls: their rules, and the curls of the request."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from provisioning import HOW, provisioning

from realtime_sip.errors import CallNotAllowedError, InvalidRequestError, NetworkError
from realtime_sip.twilio.whatsapp import CallTemplate, PermissionReason, PermissionRequestTemplate, PermissionVerdict

REQUEST = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"
SENDER, USER = "whatsapp:+551130000001", "whatsapp:+5511987650001"
CARD = CallTemplate(
    "voice_call_test", "Hello {{1}} let's continue on a call.", button="Call now", variables={"1": "name"}
)
ASK = PermissionRequestTemplate("voice_call_request", text="test", button="Call Request")


def curls() -> list[Any]:
    if not REQUEST.exists():
        pytest.skip("the request is not beside this checkout")
    text = REQUEST.read_text(encoding="utf-8")
    found = re.findall(r"content\.twilio\.com/v1/Content\S* .*?-d '(\{.*?\})'\n", text, flags=re.DOTALL)
    read = [json.loads(each.replace("'\\''", "'")) for each in found]
    kinds = ("twilio/card", "category", "twilio/call-to-action")
    return [next(each for each in read if kind in {**each, **each.get("types", {})}) for kind in kinds]


@HOW
async def test_templates_are_created_and_submitted_as_the_request_shows(how: str) -> None:
    card, submitted, asking = curls()
    async with provisioning(how) as p:
        made = await p.got(p.account.whatsapp.create_template(CARD))
        asked = {"name": submitted["name"], "category": submitted["category"]}
        await p.got(p.account.whatsapp.submit_template(made.sid, **asked))
        request = await p.got(p.account.whatsapp.create_template(ASK))
        assert [json.loads(each.content) for each in p.wire.seen] == [card, submitted, asking]
        assert [each.url.path for each in p.wire.seen][1] == f"/v1/Content/{made.sid}/ApprovalRequests/whatsapp"
        assert request.asks_for_permission
        assert not made.asks_for_permission
        p.twilio.account.templates.approvals[made.sid] |= {"status": "rejected", "rejection_reason": "INVALID_FORMAT"}
        said = await p.got(p.account.whatsapp.approval(made.sid))
        assert (said.status, said.rejection_reason) == ("rejected", "INVALID_FORMAT")
        assert (await p.got(p.account.whatsapp.approval(request.sid))).status == "unsubmitted"


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
