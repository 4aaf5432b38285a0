"""Each curl of the request about WhatsApp calls is what we send: method, URL and body.

The table has them in fields, so that it holds without the request, which is not part of this repository; if it is
beside this checkout, the table is held against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from provisioning import HOW, Provisioning, provisioning

from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.twilio.whatsapp import CallTemplate, PermissionRequestTemplate

REQUEST = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"
FIRST, LAST = 1066, 1370
"""The lines of the request that it is about."""

SENDER, USER = "whatsapp:+558551234567", "whatsapp:+555551234567"
SENDER_SID, APP, TEMPLATE = (prefix + "0" * 32 for prefix in ("XE", "AP", "HX"))
ACCOUNT = "$TWILIO_ACCOUNT_SID"
CARD = {
    "friendly_name": "voice_call_test",
    "language": "en",
    "variables": {"1": "name"},
    "types": {
        "twilio/card": {
            "title": "Hello {{1}} let's continue on a call.",
            "actions": [{"title": "Call now", "type": "VOICE_CALL"}],
        }
    },
}
ASK = {
    "friendly_name": "voice_call_request",
    "language": "en",
    "types": {
        "twilio/call-to-action": {
            "body": "test",
            "actions": [{"type": "VOICE_CALL_REQUEST", "title": "Call Request"}],
        }
    },
}
MESSAGE = {"ContentSid": TEMPLATE, "From": SENDER, "To": USER}
CALL = {"From": SENDER, "To": USER, "Url": "http://demo.twilio.com/docs/voice.xml"}
CONTENT = "https://content.twilio.com/v1/Content"
API = f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}"
Sends = Callable[[Provisioning], Awaitable[Any]]


@dataclass(frozen=True)
class Curl:
    """A request, whose body is JSON or a form."""

    url: str
    body: dict[str, Any]
    is_json: bool


def given(p: Provisioning) -> None:
    """Give the account what the request takes for granted."""
    whatsapp, templates = p.twilio.account.whatsapp, p.twilio.account.templates
    whatsapp.applications[APP] = {"sid": APP}
    whatsapp.senders[SENDER_SID] = {**whatsapp.senders.pop(whatsapp.own(SENDER)), "sid": SENDER_SID}
    whatsapp.updates = 0
    templates.contents[TEMPLATE] = {"sid": TEMPLATE, "variables": {}, "types": ASK["types"]}


async def activates(p: Provisioning) -> None:
    await p.got(p.account.whatsapp.activate(SENDER_SID, application_sid=APP))


async def creates_the_card(p: Provisioning) -> None:
    text, button = "Hello {{1}} let's continue on a call.", "Call now"
    template = CallTemplate("voice_call_test", text, button=button, variables={"1": "name"})
    await p.got(p.account.whatsapp.create_template(template))


async def submits(p: Provisioning) -> None:
    await p.got(p.account.whatsapp.submit_template(TEMPLATE, name="voice_call_test", category="UTILITY"))


async def sends(p: Provisioning) -> None:
    yes = PermissionVerdict()
    await p.got(p.account.whatsapp.send_template(SENDER, USER, TEMPLATE, permission=yes))


async def creates_the_request(p: Provisioning) -> None:
    template = PermissionRequestTemplate("voice_call_request", text="test", button="Call Request")
    await p.got(p.account.whatsapp.create_template(template))


async def calls(p: Provisioning) -> None:
    p.twilio.account.whatsapp.senders[SENDER_SID]["configuration"]["voice_application_sid"] = APP
    p.twilio.permit_calls(SENDER, USER)
    await p.got(p.account.whatsapp.place_call(SENDER, USER, permission=PermissionVerdict(), url=CALL["Url"]))


SENDERS = f"https://messaging.twilio.com/v2/Channels/Senders/{SENDER_SID}"
ACTIVATION = {"configuration": {"voice_application_sid": APP}}
TABLE: list[tuple[str, Curl, Sends]] = [
    ("activation", Curl(SENDERS, ACTIVATION, True), activates),
    ("card", Curl(CONTENT, CARD, True), creates_the_card),
    (
        "approval",
        Curl(
            f"{CONTENT}/{TEMPLATE}/ApprovalRequests/whatsapp", {"name": "voice_call_test", "category": "UTILITY"}, True
        ),
        submits,
    ),
    ("template", Curl(f"{API}/Messages.json", MESSAGE, False), sends),
    ("permission template", Curl(CONTENT, ASK, True), creates_the_request),
    ("permission request", Curl(f"{API}/Messages.json", MESSAGE, False), sends),
    ("call", Curl(f"{API}/Calls.json", CALL, False), calls),
]


def curls(text: str) -> list[Curl]:
    """Return the curls of a text. Whoever wrote it crossed SIDs out with letters that are in no SID, some too short."""
    found = []
    for whole in re.findall(
        r"^curl -X POST .*?(?=^(?:Output|ContentSid|Send|Example|Place)\b|\Z)", text, re.MULTILINE | re.DOTALL
    ):
        url = re.match(r"curl -X POST ['\"]?([^'\"\s]+)", whole)
        assert url is not None
        is_json = " -d '" in whole
        forms = re.findall(r"--data-urlencode \"([^\"]*)\"", whole)
        body = _json(whole) if is_json else dict(each.split("=", 1) for each in forms)
        found.append(Curl(_sids(url[1]), json.loads(_sids(json.dumps(body))), is_json))
    return found


def _json(whole: str) -> Any:
    start = whole.index("-d '") + 4
    text = whole[start : whole.rindex("'")].replace("'\\''", "'")
    return json.loads(text)


def _sids(text: str) -> str:
    return re.sub(r"\b(XE|AP|HX|H)[xX]{16,}", lambda each: {"H": "HX"}.get(each[1], each[1]) + "0" * 32, text)


def test_the_table_has_each_curl_of_the_request() -> None:
    if not REQUEST.exists():
        pytest.skip("the request is not beside this checkout")
    lines = REQUEST.read_text(encoding="utf-8").splitlines()[FIRST - 1 : LAST]
    assert sum(line.startswith("curl ") for line in lines) == len(TABLE)
    assert curls("\n".join(lines)) == [curl for _, curl, _ in TABLE]


@HOW
@pytest.mark.parametrize(("curl", "send"), [each[1:] for each in TABLE], ids=[each[0] for each in TABLE])
async def test_each_curl_of_the_request_is_what_is_sent(how: str, curl: Curl, send: Sends) -> None:
    async with provisioning(how) as p:
        given(p)
        await send(p)
        (sent,) = [each for each in p.wire.seen if each.method != "GET"]
        assert (sent.method, str(sent.url)) == ("POST", curl.url.replace(ACCOUNT, p.account.sid))
        kind = "application/json" if curl.is_json else "application/x-www-form-urlencoded"
        assert sent.headers["content-type"] == kind
        content = sent.content.decode()
        if curl.is_json:
            assert json.loads(content) == curl.body
        else:
            assert sorted(parse_qsl(content, strict_parsing=True)) == sorted(curl.body.items())
        assert sent.headers["authorization"].startswith("Basic ")


@HOW
async def test_null_is_really_null(how: str) -> None:
    async with provisioning(how) as p:
        given(p)
        p.twilio.account.whatsapp.senders[SENDER_SID]["configuration"]["voice_application_sid"] = APP
        await p.got(p.account.whatsapp.deactivate(SENDER_SID))
        (sent,) = [each for each in p.wire.seen if each.method != "GET"]
        assert (sent.method, str(sent.url)) == ("POST", SENDERS)
        assert sent.content == b'{"configuration": {"voice_application_sid": null}}'
