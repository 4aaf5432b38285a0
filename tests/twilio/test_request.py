"""The TwiML of the request comes out of the builders. Its file is not part of this repository."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from twiml_reading import only

from realtime_sip.twilio import twiml

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
