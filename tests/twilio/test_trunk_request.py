"""What the request says about trunks is what is here. Its file is not part of this repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime_sip.twilio.termination import localized_termination_uris
from realtime_sip.twilio.trunking import OriginationUrl, peak_bandwidth

ROOT = Path(__file__).resolve().parents[2]
REQUEST = ROOT.parent / "shared" / "000_1dabbc9e533d0548.txt"
PAGE = ROOT / "docs" / "trunking.md"


@pytest.fixture(scope="module")
def trunking_text() -> str:
    if not REQUEST.exists():
        pytest.skip("the request is not beside this checkout")
    text = REQUEST.read_text(encoding="utf-8")
    return text[text.index("Elastic SIP Trunking\n\n\nGetting Started") : text.index("Sim — SIP")]


def test_the_localized_termination_uris_are_the_requests(trunking_text: str) -> None:
    written = re.findall(r"^\{example\}\.(pstn\.([a-z-]+)\.twilio\.com) \(", trunking_text, flags=re.MULTILINE)
    ours = localized_termination_uris("example.pstn.twilio.com")
    assert ours == {edge: f"example.{uri}" for uri, edge in written}
    (legacy,) = re.findall(r"eg: \{example\}\.(pstn\.us1\.twilio\.com)", trunking_text)
    assert localized_termination_uris("example.pstn.twilio.com", legacy=True)["us1"] == f"example.{legacy}"


def test_each_origination_uri_of_the_request_is_taken(trunking_text: str) -> None:
    section = trunking_text[trunking_text.index("Origination SIP URI\nConfigure") :]
    section = section[: section.index("Using Multiple Origination SIP URIs")]
    written = set(re.findall(r"\bsip:[^\s,]+", section))
    assert len(written) > 8
    for uri in written:
        assert OriginationUrl(uri.rstrip(".")).sip_url == uri.rstrip(".")


def test_the_bandwidth_is_the_requests(trunking_text: str) -> None:
    (kilobits,) = re.findall(r"Max Simultaneous Calls x (\d+) kbps", trunking_text)
    assert peak_bandwidth(7) == 7 * int(kilobits)


def test_the_page_has_what_the_request_says_about_a_border_controller_of_ones_own(trunking_text: str) -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    (ciphers,) = re.findall(r"Supported Ciphers: (.*)", trunking_text)
    names = re.split(r",\s*", ciphers)
    assert len(names) == 10
    suites = set(re.findall(r"AES_CM_128_HMAC_SHA1_\d\d", trunking_text))
    authorities = re.findall(r"^DigiCert Global Root (?:CA|G\d)$", trunking_text, flags=re.MULTILINE)
    assert [name for name in (*names, *suites) if name not in page] == []
    assert [name.rpartition(" ")[2] for name in authorities if name.rpartition(" ")[2] not in page] == []
    for word in (
        "407",
        "302",
        "Max-Forwards",
        "OPTIONS",
        "Remote-Party-ID",
        "P-Asserted-Identity",
        "Diversion",
        "5061",
    ):
        assert word in page
