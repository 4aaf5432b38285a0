"""Requests to a voice URL as Twilio sends them, and what their answers prove; and the TwiML that is answered.

Two are sent, of a call that is not there: one with another's signature, which has to be refused, and one that is
signed, which has to be answered with TwiML. `requests` sends without I/O, as `webhook_url.deliveries` does.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass, field
from urllib.parse import urlencode
from xml.etree import ElementTree

from realtime_sip.cli.doctor.answer import Answer, Delivery, is_here, obstacle, of_address, slowness
from realtime_sip.cli.doctor.finding import Finding, Group, Level, of_group
from realtime_sip.twilio.signature import TwilioSignature

__all__ = ["Answers", "requests", "sip_uris", "voice_url"]

_report = of_group(Group.TWILIO)
_FORM = "application/x-www-form-urlencoded; charset=UTF-8"
_NOBODY = "+15005550006"
"""A number of Twilio's for tests, which nobody has."""
_AUTH_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Answers:
    """How a voice URL answered; `signed` is None if it was not asked."""

    url: str
    forged: Answer
    signed: Answer | None = field(default=None)


def requests(
    url: str, token: str | None, *, account_sid: str | None, number: str | None, sender: str | None = None
) -> Generator[Delivery, Answer, Answers]:
    """Yield what to send to `url`, and return how it answered. Without a token only the forged one is sent.

    Args:
        url: The voice URL.
        token: The auth token.
        account_sid: The account.
        number: The number that is called.
        sender: The WhatsApp sender that is called, or its SID: the call is one of WhatsApp's.
    """
    channel = "" if sender is None else "whatsapp:"
    caller, called = f"{channel}{_NOBODY}", f"{channel}{number or _NOBODY}"
    if sender is not None and sender.startswith(channel):
        called = sender
    form = {
        "AccountSid": account_sid or "AC" + "0" * 32,
        "ApiVersion": "2010-04-01",
        "CallSid": "CA" + "0" * 32,
        "CallStatus": "ringing",
        "Called": called,
        "Caller": caller,
        "Direction": "inbound",
        "From": caller,
        "To": called,
    }
    body = urlencode(form).encode()

    def request(key: str) -> Delivery:
        signed = TwilioSignature(key).sign(url.partition("#")[0], body)
        return Delivery(url=url.partition("#")[0], body=body, headers={"content-type": _FORM, **signed})

    forged = yield request(secrets.token_hex(_AUTH_TOKEN // 2))
    if token is None or obstacle(_report, "", url, forged, sender="Twilio") is not None:
        return Answers(url, forged)
    return Answers(url, forged, (yield request(token)))


def voice_url(answers: Answers) -> list[Finding]:
    """Return what the answers of a voice URL prove."""
    address = of_address(_report, "voice-address", answers.url, sender="Twilio")
    findings = [] if address is None else [address]
    forged, signed = answers.forged, answers.signed
    blocked = obstacle(_report, "voice-reachable", answers.url, forged, sender="Twilio")
    if blocked is not None:
        return [*findings, blocked]
    findings.append(_report("voice-reachable", Level.OK, "the voice URL answers a POST"))
    findings += slowness(_report, "voice-slow", signed or forged, sender="Twilio")
    findings.append(_of_forged(forged))
    if signed is None:
        found = "there is no TWILIO_AUTH_TOKEN here to sign a request with"
        return [*findings, _report("voice-signed", Level.NOT_CHECKED, found)]
    return [*findings, *_of_signed(forged, signed, here=is_here(answers.url))]


def _of_forged(forged: Answer) -> Finding:
    name = "voice-forged"
    if forged.taken:
        found = f"a request that is not Twilio's is answered ({forged.status}): anyone can have the TwiML"
        return _report(name, Level.ERROR, found, "Verify `X-Twilio-Signature` (`TwilioSignature`), and answer 403.")
    if forged.refused:
        return _report(name, Level.OK, f"a request that is not Twilio's is refused ({forged.status})")
    found = f"a request that is not Twilio's is answered {forged.status}, and not refused"
    return _report(name, Level.ERROR, found, "See the log of the server.")


def _of_signed(forged: Answer, signed: Answer, *, here: bool) -> list[Finding]:
    name = "voice-signed"
    if signed.status is None:
        found = f"a signed request is not answered ({signed.failure}), and a forged one is"
        return [_report(name, Level.ERROR, found, "See where the server hangs once the signature is verified.")]
    if signed.refused and signed.status == forged.status:
        found = f"a signed request is refused as a forged one is ({signed.status})"
        fix = "Give the server this TWILIO_AUTH_TOKEN, and the public URL as Twilio has it (`public_url=`)."
        if here:
            fix = (
                "Pass the public URL: a server that has it as `public_url` refuses what is signed for this machine. If "
                "it does so there, give it this TWILIO_AUTH_TOKEN."
            )
        return [_report(name, Level.ERROR, found, fix)]
    if signed.status == forged.status and not signed.taken:
        found = f"the server fails on each request ({signed.status})"
        return [_report(name, Level.ERROR, found, "See its log: it may have no auth token.")]
    if not signed.taken:
        found = f"the signature is right, and then the server fails ({signed.status}): the caller hears an error"
        return [_report(name, Level.ERROR, found, "See the log of the server.")]
    if forged.taken:
        found = f"a signed request is answered ({signed.status}), which proves nothing: so is a forged one"
        return [_report(name, Level.NOT_CHECKED, found), *_twiml(signed)]
    found = f"a signed request is answered ({signed.status}), and a forged one is not"
    return [_report(name, Level.OK, found), *_twiml(signed)]


# --- the TwiML --------------------------------------------------------------------------------------------------------


def _twiml(answer: Answer) -> list[Finding]:
    name = "twiml"
    root = _parsed(answer)
    if root is None:
        found = "what the voice URL answers is not TwiML (Twilio's 12100, 12300)"
        return [_report(name, Level.ERROR, found, "Answer XML with <Response>, as text/xml.")]
    if not _is_xml(answer):
        kind = answer.headers.get("content-type", "").partition(";")[0][:40] or "none"
        found = f"the TwiML has the content type {kind} (Twilio's 12300)"
        return [_report(name, Level.ERROR, found, "Answer it as text/xml.")]
    dials = [dial for dial in root.iter("Dial") if dial.find("Sip") is not None]
    if not dials:
        found = "the TwiML dials no SIP URI, as if it asked or said something first"
        return [_report(name, Level.NOTE, found)]
    findings = [_report(name, Level.OK, "the voice URL answers TwiML that dials a SIP URI")]
    if any(":" in dial.get("callerId", "") for dial in dials):
        found = "the callerId of <Dial> has a colon, as that of a WhatsApp caller has: the call fails (13214)"
        findings.append(_report("caller-id", Level.ERROR, found, "Take the number alone; `dial_openai` does."))
    if any(not dial.get("action") for dial in dials):
        found = "<Dial> has no action: if OpenAI does not take the call, or the agent is gone, Twilio hangs up"
        findings.append(_report("dial-action", Level.NOTE, found))
    if any(not _refers(dial) for dial in dials):
        found = "<Dial> has no referUrl: a transfer by `call.transfer` fails (Twilio's 13802)"
        findings.append(_report("refer", Level.WARNING, found, "Pass `refer_url=` to `dial_openai`."))
    else:
        findings.append(_report("refer", Level.OK, "<Dial> has a referUrl, so that calls can be transferred"))
    return findings


def sip_uris(answers: Answers) -> list[str]:
    """Return the SIP URIs that the TwiML of a voice URL dials."""
    root = None if answers.signed is None or not answers.signed.taken else _parsed(answers.signed)
    return [] if root is None else [(sip.text or "").strip() for sip in root.iter("Sip")]


def _refers(dial: ElementTree.Element) -> bool:
    return bool(dial.get("referUrl"))


def _parsed(answer: Answer) -> ElementTree.Element | None:
    # No TwiML has a document type, whose entities could unfold into anything.
    if "<!DOCTYPE" in answer.text.upper() or "<!ENTITY" in answer.text.upper():
        return None
    try:
        root = ElementTree.fromstring(answer.text.strip().encode())  # noqa: S314 - bounded, without entities
    except ElementTree.ParseError:
        return None
    return root if root.tag == "Response" else None


def _is_xml(answer: Answer) -> bool:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/xml", "application/xml")
