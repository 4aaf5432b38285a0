"""What a trunk may be declared as: whatever Twilio refuses or misreads is refused before any request."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError, InvalidRequestError
from realtime_sip.twilio.trunking import (
    CredentialList,
    IpAccessControlList,
    OriginationUrl,
    Recording,
    Termination,
    Trunk,
    for_openai,
    localized_termination_uris,
    peak_bandwidth,
)

PASSWORD = "Abcdefghijk1"
SBC = "sip:sbc.example.com"
LISTS: dict[str, Any] = {"credential_lists": [CredentialList("pbx", {"pbx": PASSWORD})]}


def test_the_trunk_to_openai_is_one_line() -> None:
    trunk = for_openai("proj_abc123", numbers=["+14155550199"], edge="sao-paulo", headers={"X-Shop": "7"})
    assert trunk == Trunk(
        "OpenAI",
        origination=[OriginationUrl("sip:proj_abc123@sip.api.openai.com;transport=tls;edge=sao-paulo?X-Shop=7")],
        numbers=("+14155550199",),
        secure=True,
        transfer_mode="enable-all",
        transfer_caller_id="from-transferee",
    )
    assert for_openai("proj_a", host=Endpoints.EU).origination[0].uri.host == "sip-eu.api.openai.com"
    azure = Endpoints.azure("contoso", region="eastus2")
    assert for_openai("proj_a", host=azure).origination[0].uri.host == "eastus2.sip.ai.azure.com"
    assert for_openai("proj_a", numbers=iter(["+14155550199"])).numbers == ("+14155550199",)


@pytest.mark.parametrize("project", ["org-abc", "sk-abc", "", None, "proj_a b"])
def test_what_is_no_project_is_refused(project: Any) -> None:
    with pytest.raises(ConfigurationError):
        for_openai(project)


@pytest.mark.parametrize(
    ("sip_url", "problem"),
    [
        ("sips:sbc.example.com", "write sip: and ;transport=tls"),
        ("tel:+14155550100", "scheme"),
        ("sbc.example.com", "scheme"),
        ("sip:sbc.example.com;transport=ws", "udp, tcp or tls"),
        ("sip:sbc.example.com;transport=tls&edge=dublin", "joined by ';'"),
        ("sip:sbc.example.com;edge=paris", "ignores it silently"),
        ("sip:sbc.example.com;edge=ie1", "ignores it silently"),
        ("sip:sbc.example.com;region=dublin", "ignores it silently"),
        ("sip:sbc.example.com;edge=dublin;region=ie1", "name the same thing"),
        ("sip:sbc.example.com;secure=true", "a trunk has secure=True"),
        ("sip:sbc.example.com?edge=dublin", "is a parameter"),
        ("sip:sbc.example.com?Subject=a", "X-"),
        ("sip:sbc.example.com?User-to-User=a", "begins with X- alone"),
        ("sip:sbc.example.com?X-Twilio-A=a", "X-Twilio"),
        ("sip:sbc.example.com?X-A=a%0D%0AVia:b", "control character"),
        ("sip:proj_a@sip.api.openai.com", "add ;transport=tls"),
        ("sip:sip.api.openai.com;transport=tls", "sip:proj_…@"),
        ("sip:" + "a" * 260 + ".example.com", ""),
        (None, "no text"),
    ],
)
def test_an_origination_url_that_twilio_misreads_is_refused(sip_url: Any, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        OriginationUrl(sip_url)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    "sip_url",
    [
        *("sip:172.56.42.132", "sip:mysbc.com", "sip:anniebp@172.56.42.132;transport=tcp", "sip:[2001:db8::1]:5061"),
        *("sip:anniebp@172.56.42.132:5062;transport=tls", "sip:anniebp@172.56.42.132;edge=dublin"),
        *("sip:anniebp@172.56.42.132;region=ie1", "sip:+14158675309@mysbc.com?X-myheader=foo"),
    ],
)
def test_what_twilios_page_shows_is_taken(sip_url: str) -> None:
    assert OriginationUrl(sip_url).sip_url == sip_url


@pytest.mark.parametrize(
    "wrong",
    [
        *({"priority": -1}, {"priority": 65536}, {"priority": True}, {"priority": "1"}, {"weight": 0}),
        *({"weight": 65536}, {"weight": 1.0}, {"enabled": 1}, {"enabled": None}, {"friendly_name": "a" * 65}),
    ],
    ids=repr,
)
def test_ranges_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        OriginationUrl(SBC, **wrong)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"friendly_name": ""}, "1 to 64"),
        ({"friendly_name": "a" * 65}, "1 to 64"),
        ({"friendly_name": " a"}, "blanks"),
        ({"friendly_name": None}, "1 to 64"),
        ({"origination": [OriginationUrl(f"sip:a{n}.example.com") for n in range(11)]}, "10 URLs at most"),
        ({"origination": [OriginationUrl("sip:a.example"), OriginationUrl("sip:A.example")]}, "a URL twice"),
        ({"origination": SBC}, "must be a list of OriginationUrl"),
        ({"origination": [SBC]}, "must be a list of OriginationUrl"),
        ({"secure": True, "origination": [OriginationUrl(SBC)]}, "add ;transport=tls"),
        ({"secure": True, "origination": [OriginationUrl(f"{SBC};transport=udp")]}, "add ;transport=tls"),
        ({"secure": 1}, "True or False or None"),
        ({"numbers": "+14155550199"}, "must be a list"),
        ({"numbers": ["14155550199"]}, "with the plus"),
        ({"numbers": ["+1 415 555 0199"]}, "with the plus"),
        ({"numbers": [["+14155550199"]]}, "with the plus"),
        ({"numbers": ["+14155550199", "+14155550199"], "origination": [OriginationUrl(SBC)]}, "twice"),
        ({"numbers": ["+14155550199"]}, "32010"),
        ({"numbers": ["+14155550199"], "origination": [OriginationUrl(SBC, enabled=False)]}, "32010"),
        ({"transfer_mode": "on"}, "enable-all"),
        ({"transfer_caller_id": "mine"}, "from-transferee"),
        ({"cnam_lookup_enabled": "yes"}, "cnam_lookup_enabled"),
        ({"recording": "record-from-answer"}, "must be a Recording"),
        ({"termination": "a.pstn.twilio.com"}, "must be a Termination"),
        ({"disaster_recovery_url": "/twiml"}, "whole http"),
        ({"disaster_recovery_url": "https://[a"}, "whole http"),
        ({"disaster_recovery_method": "PUT"}, "GET, POST"),
    ],
    ids=repr,
)
def test_a_trunk_that_could_not_work_is_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        Trunk(**{"friendly_name": "Shop", **wrong})
    assert problem in str(raised.value)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InvalidRequestError) as raised:
        Trunk("", numbers=["1"], transfer_mode="on")  # type: ignore[arg-type]
    assert [place for place, _ in raised.value.problems] == [
        "friendly_name",
        "numbers",
        "origination",
        "transfer_mode",
    ]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: Termination("shop.pstn.ashburn.twilio.com", **LISTS), "localized"),
        (lambda: Termination("sip.api.openai.com", **LISTS), "goes to origination"),
        (lambda: Termination("Shop.pstn.twilio.com", **LISTS), "lower case"),
        (lambda: Termination("pstn.twilio.com", **LISTS), "below pstn.twilio.com"),
        (lambda: Termination("shop.pstn.twilio.com"), "nobody can use it"),
        (lambda: Termination("shop.pstn.twilio.com", credential_lists=["pbx"]), "list of CredentialList"),  # type: ignore[list-item]
        (
            lambda: Termination("shop.pstn.twilio.com", credential_lists=LISTS["credential_lists"] * 2),
            "two lists have the same name",
        ),
        (lambda: Termination("shop.pstn.twilio.com", caller_ids=("4155550100",), **LISTS), "with the plus"),
        (lambda: CredentialList("pbx", {}), "mapping"),
        (lambda: CredentialList("pbx", {"a" * 33: PASSWORD}), "1 to 32"),
        (lambda: CredentialList("pbx", {"a": "short1A"}), "12 characters"),
        (lambda: CredentialList("pbx", {"a": "abcdefghijklm1"}), "both cases"),
        (lambda: CredentialList("", {"a": PASSWORD}), "1 to 255"),
        (lambda: IpAccessControlList("sbc", ()), "at least one"),
        (lambda: IpAccessControlList("sbc", "8.8.8.8"), "at least one"),
        (lambda: IpAccessControlList("sbc", ("10.0.0.1",)), "private"),
        (lambda: IpAccessControlList("sbc", ("2001:db8::1",)), "IPv4"),
        (lambda: IpAccessControlList("sbc", ("8.8.8.8/24",)), "IPv4"),
        (lambda: Recording("always"), "record-from-answer"),  # type: ignore[arg-type]
        (lambda: Recording("do-not-record", trim="a"), "trim-silence"),  # type: ignore[arg-type]
    ],
)
def test_what_belongs_to_it_is_checked_too(make: Any, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        make()
    assert problem in str(raised.value)


def test_what_twilio_takes_and_advises_against_is_a_warning() -> None:
    alone = Termination("a-b.pstn.twilio.com", ip_access_control_lists=(IpAccessControlList("sbc", ("8.8.8.8",)),))
    assert "add a credential list" in Trunk("Shop", termination=alone).warnings[0]
    assert Trunk("Shop", termination=Termination("a.b.pstn.twilio.com", **LISTS)).warnings == ()
    assert "enable-all" in Trunk("Shop", transfer_mode="sip-only").warnings[0]


def test_law_no_number_and_no_secret_is_in_a_repr() -> None:
    trunk = Trunk(
        "Shop",
        numbers=("+14155550199",),
        origination=(OriginationUrl("sip:+14155550123@sbc.example.com"),),
        termination=Termination("a.pstn.twilio.com", caller_ids=("+14155550198",), **LISTS),
        disaster_recovery_url="https://user:secret@example.com/",
    )
    shown = repr(trunk)
    assert not [secret for secret in (PASSWORD, "415555", "secret") if secret in shown]


def test_localized_termination_uris_are_those_of_the_page() -> None:
    assert localized_termination_uris("shop.pstn.twilio.com") == {
        edge: f"shop.pstn.{edge}.twilio.com"
        for edge in ("ashburn", "umatilla", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney")
    }
    legacy = localized_termination_uris("shop.pstn.twilio.com", legacy=True)
    assert list(legacy) == ["us1", "us2", "ie1", "de1", "sg1", "jp1", "br1", "au1"]
    with pytest.raises(InvalidRequestError):
        localized_termination_uris("shop.example.com")


def test_a_call_needs_a_hundred_kilobits() -> None:
    assert peak_bandwidth(25) == 2500
    for wrong in (-1, True, 1.5, None):
        with pytest.raises(InvalidRequestError):
            peak_bandwidth(wrong)  # type: ignore[arg-type]
