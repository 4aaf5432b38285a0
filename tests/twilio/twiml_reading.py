"""TwiML as Twilio reads it: an XML parser, and a SIP parser behind it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from realtime_sip.sip import SipHeaders, SipUri
from realtime_sip.twilio import to_openai

SID = "CA" + "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the environment's secret away, and let what is said once be said in each test that imports this."""
    monkeypatch.delenv("REALTIME_SIP_CONTEXT_SECRET", raising=False)
    monkeypatch.setattr(to_openai, "_said", set())


@dataclass
class Voice:
    """A voice webhook, as far as `dial_openai` needs it."""

    caller: str | None = "+14155550100"
    channel: str = "phone"
    dialed: str | None = "+14155550199"
    user_id: str | None = None
    call_sid: str = SID


def read(response: object) -> ET.Element:
    """Parse TwiML from its bytes on the wire."""
    return ET.fromstring(str(response).encode())


def only(response: object, path: str) -> ET.Element:
    """Return the one element at `path`."""
    (found,) = read(response).findall(path)
    return found


def uri_of(response: object) -> SipUri:
    """Return the URI that is dialed, read by our own parser."""
    return SipUri.parse(only(response, "Dial/Sip").text or "")


def headers_of(response: object) -> SipHeaders:
    """Return the headers that the INVITE has."""
    return SipHeaders(uri_of(response).headers)


def signed(value: str) -> dict[str, Any]:
    """Return what a signed context holds, without proof."""
    payload = value.split(".")[1]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return content


def shape(element: ET.Element) -> Any:
    """Return the names of elements and attributes, without any value."""
    return element.tag, sorted(element.attrib), [shape(child) for child in element]
