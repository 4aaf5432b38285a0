"""What a webhook costs, verified and parsed: OpenAI's beside a bare HMAC of the same bytes and the `openai` package,
Twilio's signature beside the `twilio` package from the same raw body."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from urllib.parse import parse_qsl, urlencode

import openai
from openai import OpenAI
from twilio.request_validator import RequestValidator

from paired import Rows, cpu
from realtime_sip.twilio import TwilioSignature
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

ROUNDS = 30
TIMES = 200
_SECRET = "whsec_" + "c2VjcmV0" * 4
_HEADERS = {
    "From": '"+14155550100" <sip:+14155550100@pstn.example.com>;tag=77b2',
    "To": "<sip:proj_abc@sip.api.openai.com;transport=tls>",
    "Call-ID": "b2f1a9c3d4e5@192.0.2.1",
    "Via": "SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK-1",
    "CSeq": "1 INVITE",
    "Contact": "<sip:+14155550100@192.0.2.1:5061;transport=tls>",
    "Max-Forwards": "68",
    "User-Agent": "Twilio Gateway",
    "Diversion": "<sip:+14155550199@example.com>;reason=unconditional",
    "X-Twilio-CallSid": "CA" + "0123456789abcdef" * 2,
    "Content-Type": "application/sdp",
}

_TOKEN = "0123456789abcdef" * 2
_URL = "https://voice.example.com/voice"
_VOICE = {
    "CallSid": "CA" + "0" * 32,
    "AccountSid": "AC" + "0" * 32,
    "ApplicationSid": "AP" + "0" * 32,
    **dict.fromkeys(("From", "Caller"), "whatsapp:+5511987650001"),
    **dict.fromkeys(("To", "Called"), "whatsapp:+551130000001"),
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
    "FromCity": "SAO PAULO",
    **{f"{who}{what}": "" for who in ("From", "To", "Caller", "Called") for what in ("State", "Zip", "Country")},
    "CallToken": json.dumps({"parentCallInfoToken": "eyJhbGciOiJFUzI1NiJ9." + "a" * 64}),
}
"""A WhatsApp caller, as Twilio announces one."""


def _body() -> bytes:
    sip = [{"name": name, "value": value} for name, value in _HEADERS.items()]
    event = {"object": "event", "id": "evt_1", "type": "realtime.call.incoming", "created_at": int(time.time())}
    return json.dumps({**event, "data": {"call_id": "rtc_0123456789abcdef", "sip_headers": sip}}).encode()


def _timed(act: Callable[[], object]) -> Callable[[], float]:
    def seconds() -> float:
        act()
        begun = cpu()
        for _ in range(TIMES):
            act()
        return (cpu() - begun) / TIMES

    return seconds


def _twilio(rows: Rows) -> None:
    """Measure and print what Twilio's signature costs."""
    body = urlencode(_VOICE).encode()
    ours, theirs = TwilioSignature(_TOKEN, "https://voice.example.com"), RequestValidator(_TOKEN)
    signature = theirs.compute_signature(_URL, _VOICE)
    headers = {"host": "voice.example.com", "content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
    headers |= {"user-agent": "TwilioProxy/1.1", "x-twilio-signature": signature}

    def validate() -> None:
        assert theirs.validate(_URL, dict(parse_qsl(body.decode(), keep_blank_values=True)), signature)

    vendor = f"twilio {version('twilio')}, form parsed"
    rows.measure(ROUNDS, {vendor: _timed(validate), "ours": _timed(lambda: ours.verify("/voice", body, headers))})
    print(f"\nTwilio's signature, a form of {len(body)} bytes with {len(_VOICE)} fields, {ROUNDS} rounds")
    rows.show(vendor)
    rows.show("ours", floor=vendor, least=5)


def main() -> int:
    """Print the costs and return 1 if a target was missed."""
    body, now = _body(), time.time()
    webhooks = OpenAIWebhooks(_SECRET, tolerance=3600)
    headers = {"host": "shop.example", "user-agent": "OpenAI/1.0", **webhooks.sign(body, id="wh_1", timestamp=now)}
    theirs = OpenAI(api_key="sk", webhook_secret=_SECRET)
    key, head = b"secret" * 4, b"wh_1.%d." % now

    def read() -> None:
        event = webhooks.unwrap(body, headers)
        assert isinstance(event, IncomingCall)
        _ = event.caller, event.dialed, event.channel

    once = webhooks.unwrap(body, headers)
    assert isinstance(once, IncomingCall)
    rows = Rows()
    rows.measure(
        ROUNDS,
        {
            "bare HMAC": _timed(lambda: hmac.new(key, head + body, hashlib.sha256).digest()),
            "verified and parsed": _timed(lambda: webhooks.unwrap(body, headers)),
            "with caller, dialed and channel": _timed(read),
            "caller, dialed and channel again": _timed(lambda: (once.caller, once.dialed, once.channel)),
            f"openai {openai.__version__}": _timed(lambda: theirs.webhooks.unwrap(body, headers)),
        },
    )
    print(f"\nwebhooks, a body of {len(body)} bytes with {len(_HEADERS)} SIP headers, {ROUNDS} rounds")
    rows.show("bare HMAC")
    rows.show("verified and parsed", floor="bare HMAC", most=8)
    rows.show("with caller, dialed and channel", floor="bare HMAC")
    rows.show("caller, dialed and channel again", floor="bare HMAC")
    rows.show(f"openai {openai.__version__}", floor="bare HMAC")
    _twilio(rows)
    return int(rows.missed)


if __name__ == "__main__":
    sys.exit(main())
