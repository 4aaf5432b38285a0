"""Whom a Dial calls: each noun checked as Twilio checks it, as a value."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from realtime_sip.testing.twilio.behavior import TwilioBehavior
from realtime_sip.testing.twilio.legs import Leg
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.sip_uri import SipTarget, read_target
from realtime_sip.testing.twilio.twiml import Verb

__all__ = ["Target", "invite_headers", "noun_events", "target_of", "targets", "word_of"]

_SIP_CALLER_ID = re.compile(r"[A-Za-z0-9+\-_.]+")
_NUMBER = re.compile(r"\+?[0-9().\- ]{3,24}")
_SENDER = re.compile(r"whatsapp:\+[1-9][0-9]{6,14}")
_WHATSAPP_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_WHATSAPP_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")


@dataclass(frozen=True, slots=True)
class Target:
    """One leg to dial. `fails` is the SIP status with which it fails for sure."""

    noun: Verb
    to: str = field(repr=False)
    from_: str = field(repr=False)
    sip: SipTarget | None = field(default=None, repr=False)
    fails: int | None = None
    alerts: tuple[tuple[int | None, str], ...] = ()
    warnings: tuple[tuple[int | None, str], ...] = ()


def targets(dial: Verb, parent: Leg, behavior: TwilioBehavior) -> list[Target]:
    """Return whom to dial.

    Raises:
        TwilioRefusal: Twilio refuses it before it dials anybody.
    """
    nouns = list(dial.children) or [Verb("Number", text=dial.text)]
    kinds = {noun.name for noun in nouns}
    if not behavior.enhanced_sip and "Sip" in kinds and len(nouns) > 1:
        raise TwilioRefusal(None, "a Dial has one Sip and nothing beside it, unless the enhanced SIP features are on")
    return [_target(noun, dial.get("callerId"), parent, behavior) for noun in nouns]


def target_of(to: str, from_: str, behavior: TwilioBehavior) -> Target:
    """Return whom a call of the REST API dials.

    Raises:
        TwilioRefusal: Twilio refuses it.
    """
    if to.startswith("whatsapp:"):
        if not _SENDER.fullmatch(from_):
            raise TwilioRefusal(37008, "From must be whatsapp:+…, a sender that is activated for voice")
        if not _is_whatsapp_user(to, behavior):
            raise TwilioRefusal(21211, "To is no WhatsApp user that can be called")
        return Target(Verb("WhatsApp", text=to.removeprefix("whatsapp:")), to, from_)
    if from_.startswith("whatsapp:"):
        raise TwilioRefusal(behavior.phone_network_code, "WhatsApp cannot be connected to the phone network")
    if to.startswith(("sip:", "sips:")):
        sip = read_target(Verb("Sip", text=to))
        fails = 404 if sip.openai and not sip.user.startswith("proj_") else None
        return Target(Verb("Sip", text=to), sip.address, from_, sip, fails)
    if to.startswith("client:"):
        return Target(Verb("Client", text=to.removeprefix("client:")), to, from_)
    if not _NUMBER.fullmatch(to):
        raise TwilioRefusal(21211, "To is no number that can be called")
    return Target(Verb("Number", text=to), to, from_)


def _target(noun: Verb, caller_id: str, parent: Leg, behavior: TwilioBehavior) -> Target:
    match noun.name:
        case "Sip":
            return _sip(noun, caller_id, parent, behavior)
        case "WhatsApp":
            if not _SENDER.fullmatch(caller_id):
                raise TwilioRefusal(
                    37008, "WhatsApp needs the callerId whatsapp:+…, a sender that is activated for voice"
                )
            if not _is_whatsapp_user(noun.text, behavior):
                raise TwilioRefusal(13224, "this is no WhatsApp user that can be called")
            if not (parent.whatsapp or parent.from_.startswith(("sip:", "client:"))):
                # A phone is the phone network, which cannot be connected to WhatsApp.
                raise TwilioRefusal(behavior.phone_network_code, "WhatsApp cannot be connected to the phone network")
            return Target(noun, f"whatsapp:{noun.text.removeprefix('whatsapp:')}", caller_id)
        case "Client":
            identity = next((child.text for child in noun.children if child.name == "Identity"), noun.text)
            if not identity:
                raise TwilioRefusal(None, "Client has no identity")
            return Target(noun, f"client:{identity}", caller_id or parent.from_)
        case _:
            return _number(noun, caller_id, parent, behavior)


def _is_whatsapp_user(text: str, behavior: TwilioBehavior) -> bool:
    plain = text.removeprefix("whatsapp:")
    return bool(_WHATSAPP_NUMBER.fullmatch(plain)) or (
        behavior.user_id_recipients == "taken" and bool(_WHATSAPP_ID.fullmatch(plain))
    )


def _sip(noun: Verb, caller_id: str, parent: Leg, behavior: TwilioBehavior) -> Target:
    sip = read_target(noun)
    if caller_id and not _SIP_CALLER_ID.fullmatch(caller_id):
        raise TwilioRefusal(
            behavior.colon_code, "the callerId towards Sip has letters, digits, '+', '-', '_' and '.' only"
        )
    warnings: list[tuple[int | None, str]] = [
        (32113, f"the header {name[:40]} is left out of the INVITE") for name in sip.omitted
    ]
    warnings += [(None, text) for text in sip.odd]
    from_ = caller_id or parent.from_
    fails, alerts = None, list[tuple[int | None, str]]()
    if sip.openai and from_.startswith(("whatsapp:", "client:")):
        # Reported of WhatsApp; that an app, whose From has a colon too, fares as badly is inferred.
        fails, alerts = 400, [(13224, "no callerId: From is whatsapp:… or client:…, and OpenAI answers 400")]
    elif sip.openai and not sip.user.startswith("proj_"):
        fails, alerts = 404, [(None, "OpenAI is dialed by the id of a project, proj_…")]
    elif sip.openai and not sip.encrypted and behavior.unencrypted == "fails":
        fails, alerts = 408, [(None, "OpenAI is not reached without ;transport=tls")]
    return Target(noun, sip.address, from_, sip, fails, tuple(alerts), tuple(warnings))


def _number(noun: Verb, caller_id: str, parent: Leg, behavior: TwilioBehavior) -> Target:
    if noun.name not in ("Number", "Conference"):
        raise TwilioRefusal(None, f"{noun.name[:40]} is not emulated in Dial")
    if parent.whatsapp or caller_id.startswith("whatsapp:"):
        raise TwilioRefusal(behavior.phone_network_code, "WhatsApp cannot be connected to the phone network")
    if not _NUMBER.fullmatch(noun.text):
        raise TwilioRefusal(13224, "this is no number that can be called")
    if parent.from_.startswith(("sip:", "client:")):
        if not caller_id:
            raise TwilioRefusal(13214, "callerId missing for a call from a SIP or client leg")
        if caller_id in (parent.from_, parent.to):
            raise TwilioRefusal(13214, "the callerId of a call from SIP cannot be its own From or To")
    return Target(noun, noun.text, caller_id or parent.from_)


def invite_headers(target: Target, child: Leg, *, call_id: str, behavior: TwilioBehavior) -> Iterable[tuple[str, str]]:
    """Return the headers of an INVITE to OpenAI, as its webhook shows them."""
    assert target.sip is not None
    user = target.from_
    if user.startswith("sip:"):
        user = user.removeprefix("sip:").partition("@")[0]
    user = user.removeprefix("client:")
    shown = child.parent.sid if child.parent is not None and behavior.invite_call_sid == "parent" else child.sid
    params = "".join(f";{name}={value}" for name, value in target.sip.params if name == "transport")
    return [
        ("From", f'"{user}" <sip:{quote(user, safe="+")}@sip.twilio.com>;tag={secrets.token_hex(8)}'),
        ("To", f"<{target.to}{params}>"),
        ("Call-ID", call_id),
        ("X-Twilio-ApiVersion", "2010-04-01"),
        ("X-Twilio-AccountSid", child.account_sid),
        ("X-Twilio-CallSid", shown),
        *target.sip.headers,
    ]


def noun_events(noun: Verb) -> list[str]:
    """Return the events that a noun's status callback is for: one attribute, separated by spaces."""
    return noun.get("statusCallbackEvent").split()


SipWord = Literal["busy", "no-answer", "failed", "canceled", "completed"]


def word_of(code: int, behavior: TwilioBehavior) -> SipWord:
    """Return the status word for a SIP status (only the one for 486 is documented)."""
    if code in (486, 600):
        return "busy"
    if code in (408, 480):
        return "no-answer"
    if code == 487:
        return "canceled"
    if code >= 600 and code != 604:
        return behavior.declined
    return "failed"
