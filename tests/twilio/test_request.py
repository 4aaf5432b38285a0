"""Each TwiML, form and curl of the request that concerns voice. Its file is not part of this repository."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import pytest
from twilio.rest import Client
from twiml_reading import only

from emulated import Program, virtual
from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.session import ModelDeprecationWarning
from realtime_sip.sip import SipHeaders
from realtime_sip.testing import OpenAIEmulator, TwilioEmulator
from realtime_sip.twilio import twiml
from realtime_sip.twilio.voice import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.webhooks import CallPermissionReply, read_webhook

REQUEST = Path(__file__).resolve().parents[3] / "shared" / "000_1dabbc9e533d0548.txt"


@pytest.fixture(scope="module")
def request_text() -> str:
    if not REQUEST.exists():
        pytest.skip("the request is not beside this checkout")
    text = REQUEST.read_text(encoding="utf-8")
    return text[text.index("\ntwilio\n") :]


def documents(text: str) -> list[str]:
    """Return each TwiML document of the request, canonical, without the white space between elements."""
    found = re.findall(r"<Response>.*?</Response>", text, flags=re.DOTALL)
    return [ET.canonicalize(each, strip_text=True) for each in found]


def canonical(response: object) -> str:
    return ET.canonicalize(str(response), strip_text=True)


def test_each_document_of_the_request_is_written_by_a_builder(request_text: str) -> None:
    workflow = "WW" + "0" * 32
    whatsapp, flex, openai = documents(request_text)
    assert canonical(twiml.dial_whatsapp("+555551234567", "whatsapp:+558551234567")) == whatsapp
    assert canonical(twiml.enqueue_flex(workflow)) == flex.replace("[TASKROUTER_WORKFLOW_SID]", workflow)
    # Ours has attributes besides, so that the caller keeps ringing and nothing runs for hours.
    ours = only(twiml.dial_openai("proj_SEU_PROJECT_ID", region="br1"), "Dial/Sip").text
    assert ours == ET.fromstring(openai).findtext("Dial/Sip")
    assert ours == "sip:proj_SEU_PROJECT_ID@sip.api.openai.com;transport=tls;region=br1"


def test_the_url_of_a_studio_flow_is_the_requests(request_text: str) -> None:
    account, flow = "AC" + "0" * 32, "FW" + "1" * 32
    (written,) = re.findall(r"https://webhooks\.twilio\.com/\S+", request_text)
    assert twiml.studio_flow_url(account, flow) == written.replace("ACCOUNT_SID", account).replace(
        "STUDIO_FLOW_SID", flow
    )


def test_the_address_of_the_request_is_the_one_that_is_dialed(request_text: str) -> None:
    (written,) = set(re.findall(r"sip:\$PROJECT_ID@\S+", request_text))
    assert twiml.openai_uri("proj_abc") == written.replace("$PROJECT_ID", "proj_abc")


def curl(text: str, ending: str) -> tuple[str, str, list[str]]:
    """Return method, path and data of the only curl in the text whose URL ends so."""
    (found,) = re.finditer(rf"^curl -X (\w+) \"(\S+{ending})\"", text, flags=re.MULTILINE)
    lines = text[found.start() :].splitlines()
    # It ends with the first line that neither continues nor leaves a quotation open.
    whole = next(
        joined
        for count in range(1, len(lines))
        if not lines[count - 1].endswith("\\")
        and (joined := "\n".join(lines[:count]).replace("\\\n", " ")).count("'") % 2 == 0
    )
    words = shlex.split(whole)
    data = [words[place + 1] for place, word in enumerate(words) if word in ("-d", "--data-urlencode")]
    return found[1], urlsplit(found[2]).path, data


@pytest.mark.parametrize("how", ["blocking", "async"])
@virtual
async def test_the_curl_that_calls_a_whatsapp_user_is_what_twilios_client_sends_by_our_http(
    how: str, request_text: str
) -> None:
    method, path, data = curl(request_text, "/Calls.json")
    form = dict(each.split("=", 1) for each in data)
    options = {"from_": form["From"], "to": form["To"], "url": form["Url"]}
    async with TwilioEmulator(strict=False) as twilio:
        twilio.account.whatsapp.own(form["From"], application_sid="AP" + "0" * 32)
        twilio.permit_calls(form["From"], form["To"])
        account = (twilio.account_sid, twilio.auth_token)
        if how == "async":
            async with AsyncTwilioHttp(base_url=twilio.base_url, proxy=False) as http:
                await Client(*account, http_client=http).calls.create_async(**options)
        else:
            with TwilioHttp(base_url=twilio.base_url, proxy=False) as http:
                await asyncio.to_thread(Client(*account, http_client=http).calls.create, **options)
        (seen,) = twilio.rest_requests
    assert (seen.method, seen.path) == (method, path.replace("$TWILIO_ACCOUNT_SID", twilio.account_sid))
    assert (dict(seen.form), len(seen.form), seen.status) == (form, 3, 201)


@pytest.mark.filterwarnings(f"ignore::{ModelDeprecationWarning.__module__}.{ModelDeprecationWarning.__name__}")
@pytest.mark.parametrize("how", ["blocking", "async"])
@virtual
async def test_the_curl_that_accepts_in_portuguese_is_what_our_client_sends(how: str, request_text: str) -> None:
    method, path, (body,) = curl(request_text, "/accept")
    session: dict[str, Any] = json.loads(body)
    assert (method, session["instructions"]) == ("POST", "Atenda em pt-BR e seja objetivo.")
    async with OpenAIEmulator(strict=False) as openai:
        ringing = await openai.ring(Program())
        if how == "async":
            async with AsyncRealtimeSip(**openai.client_options) as client:
                await client.calls.accept(ringing.call_id, session)
        else:
            with RealtimeSip(**openai.client_options) as blocking:
                await asyncio.to_thread(blocking.calls.accept, ringing.call_id, session)
        (seen,) = ringing.requests
        ringing.hang_up()
    assert seen.path == path.replace("$CALL_ID", ringing.call_id)
    assert (seen.operation, seen.body, seen.status) == ("accept", session, 200)


def test_the_form_of_a_user_who_rejects_calls_is_read(request_text: str) -> None:
    (form,) = re.findall(r"^SmsMessageSid=\S+$", request_text, flags=re.MULTILINE)
    # Whoever wrote it crossed the SIDs out with letters that are in no SID.
    form = re.sub("x{2,}", lambda crossed_out: "0" * len(crossed_out[0]), form)
    reply = read_webhook(form)
    assert isinstance(reply, CallPermissionReply)
    assert (reply.answer, reply.number, reply.reply_to) == ("rejected", "+5524987654321", "whatsapp:+5524987654321")
    sent = dict(parse_qsl(form))
    assert (reply.fields["To"], reply.fields["WaId"]) == (sent["To"], sent["WaId"])
    assert reply.extras == {"ReferralNumMedia": "0"}
    accepted = read_webhook(form.replace("REJECTED", "ACCEPTED"))
    assert isinstance(accepted, CallPermissionReply)
    assert accepted.answer == "accepted"


def test_the_header_of_a_trunk_says_which_number_was_dialed(request_text: str) -> None:
    (written,) = re.findall(r"^Diversion: (\S+)$", request_text, flags=re.MULTILINE)
    headers = SipHeaders([("To", "<sip:proj_abc@sip.api.openai.com>"), ("Diversion", written)])
    assert headers.dialed == "+14155550000"
