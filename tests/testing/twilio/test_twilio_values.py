"""TwiML, SIP URIs and signatures as values: what Twilio takes, warns of and refuses."""

from __future__ import annotations

import random
import string

import pytest

from realtime_sip.testing.twilio.behavior import TwilioBehavior
from realtime_sip.testing.twilio.nouns import word_of
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.signing import body_hash, signature
from realtime_sip.testing.twilio.sip_uri import read_target
from realtime_sip.testing.twilio.twiml import Verb, parse

PROJECT = "sip:proj_abc@sip.api.openai.com;transport=tls"


def sip(text: str) -> Verb:
    return Verb("Sip", text=text)


def test_a_document_is_its_verbs() -> None:
    document = parse(
        '<?xml version="1.0" encoding="UTF-8"?>\n<Response><!-- hi --><Say language="pt-BR">Um <break/>momento</Say>'
        '<Dial callerId="+14155550100" timeout="x"><Sip> sip:a@b.example </Sip></Dial></Response>'
    )
    say, dial = document.verbs
    assert (say.name, say.text, say.get("language")) == ("Say", "Um momento", "pt-BR")
    assert (dial.number("timeout", 30.0), dial.flag("answerOnBridge"), dial.method()) == (30.0, False, "POST")
    assert [(noun.name, noun.text) for noun in dial.children] == [("Sip", "sip:a@b.example")]
    assert document.warnings == document.not_emulated == ()


def test_what_twilio_does_not_know_is_a_warning_and_what_we_do_not_is_said() -> None:
    document = parse("<Response><Dail/><Gather/><Dial answer_on_bridge='true'><Say>x</Say></Dial></Response>")
    assert document.warnings == (
        "Response has no Dail inside",
        "Dial has no attribute answer_on_bridge",
        "Dial has no Say inside",
    )
    assert document.not_emulated == ("Gather is not emulated",)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 12100),
        (b"\n<?xml version='1.0'?><Response/>", 12100),
        (b"<Response><Sip>sip:a@b;x=1&secure=true</Sip></Response>", 12100),
        (b"<Response>\x00</Response>", 12100),
        (b"<Res/>", 12100),
        (b"<Response><Say>" + b"x" * 66_000 + b"</Say></Response>", 12101),
    ],
)
def test_what_is_no_twiml_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(TwilioRefusal) as refused:
        parse(body)
    assert refused.value.code == code


def test_parameters_stand_before_headers_and_both_are_decoded() -> None:
    target = read_target(
        sip(f"{PROJECT};region=br1;secure=true?X-To=whatsapp%3A%2B5511&User-to-User=a%3Bencoding%3Dhex")
    )
    assert (target.user, target.host, target.openai, target.encrypted) == ("proj_abc", "sip.api.openai.com", True, True)
    assert (target.param("region"), target.param("secure"), target.odd) == ("br1", "true", ())
    assert target.headers == (("X-To", "whatsapp:+5511"), ("User-to-User", "a;encoding=hex"))


@pytest.mark.parametrize("host", ["sip-eu.api.openai.com", "sip-in.api.openai.com", "eastus2.sip.ai.azure.com"])
def test_all_hosts_of_the_service_are_known(host: str) -> None:
    assert read_target(sip(f"sip:proj_a@{host};transport=tls")).openai
    assert not read_target(sip(f"sip:proj_a@{host}.example.com")).openai


def test_what_the_writer_did_not_mean_is_taken_silently() -> None:
    lost = read_target(sip(f"{PROJECT}&secure=true"))
    assert not lost.encrypted
    assert lost.odd == ("a transport that does not exist: the call goes by UDP",)
    assert read_target(sip(f"{PROJECT}?edge=frankfurt&X-Twilio-A=1&X-B=2")).omitted == ("edge", "X-Twilio-A")
    assert read_target(sip(f"{PROJECT};region=brazil")).odd == ("a region that does not exist is ignored",)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("tel:+14155550100", 13243),
        ("proj_abc@sip.api.openai.com", 13243),
        (f"{PROJECT}?X-A=" + "x" * 1020, 21227),
        (f"sip:proj_{'a' * 250}@sip.api.openai.com", 21227),
        (f"{PROJECT}?X-A=a b", 21228),
        (f"{PROJECT}?X-A=\u00e9", 21228),
        (f"{PROJECT}?X-A=%0D%0AX-B: 1".replace(" ", "%20"), 21229),
        (f"{PROJECT}?X(A=1", 13252),
        (f"{PROJECT}?" + "&".join(f"X-{n}={n}" for n in range(60)), 13251),
    ],
)
def test_what_twilio_refuses_has_its_code(uri: str, code: int) -> None:
    with pytest.raises(TwilioRefusal) as refused:
        read_target(sip(uri))
    assert refused.value.code == code


def test_headers_may_stand_in_elements_of_their_own() -> None:
    noun = parse(
        f"<Response><Dial><Sip><Uri>{PROJECT}</Uri><Headers><Header name='X-A' value='50% + &amp;'/></Headers></Sip>"
        "</Dial></Response>"
    ).verbs[0]
    assert read_target(noun.children[0]).headers == (("X-A", "50% + &"),)


@pytest.mark.parametrize(
    ("code", "word"),
    [(486, "busy"), (603, "canceled"), (480, "no-answer"), (487, "canceled"), (400, "failed"), (503, "failed")],
)
def test_a_sip_status_has_a_word(code: int, word: str) -> None:
    assert word_of(code, TwilioBehavior(declined="canceled")) == word


def test_signatures_agree_with_twilio_s_own_validator() -> None:
    validator = pytest.importorskip("twilio.request_validator", reason="needs the package twilio").RequestValidator
    chance = random.Random(18)
    characters = string.ascii_letters + string.digits + " +&=%?/:;äé€\U0001f600"
    for _ in range(300):
        token = "".join(chance.choices(string.hexdigits, k=32))
        form = [
            ("".join(chance.choices(characters, k=chance.randint(1, 12))), "".join(chance.choices(characters, k=9)))
            for _ in range(chance.randint(0, 6))
        ]
        form = list(dict(form).items())
        chance.shuffle(form)
        url = f"https://voice.example.com/a?{'x' * chance.randint(0, 3)}=1"
        assert validator(token).validate(url, dict(form), signature(token, url, form))
        assert validator(token).validate(
            url, dict(form), signature(token, url, form, algorithm="sha256"), algorithm="HMAC_SHA256"
        )
    url = f"https://voice.example.com/json?bodySHA256={body_hash(b'{}')}"
    assert validator("t").validate(url, "{}", signature("t", url))


def test_repeated_fields_are_sorted_and_equal_ones_count_once() -> None:
    validator = pytest.importorskip("twilio.request_validator", reason="needs the package twilio").RequestValidator
    form = [("E", "ringing"), ("E", "answered"), ("A", "1"), ("E", "ringing")]

    class Fields(dict[str, str]):
        def getall(self, name: str) -> list[str]:
            return [value for known, value in form if known == name]

    assert validator("t").validate("https://a.example/", Fields(form), signature("t", "https://a.example/", form))
