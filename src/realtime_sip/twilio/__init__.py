"""Twilio's side of a call: what your webhooks answer, and what Twilio says to them. It comes with the extra `twilio`.

- `TwilioAccount` and `AsyncTwilioAccount`: the account over REST, with `trunking`, `numbers`,
  `calls` and `whatsapp`.
- `TwilioSignature`: proof that Twilio sent a request.
- `twiml`: what a voice webhook answers, above all `twiml.dial_openai`, which sends the caller to OpenAI.
- `voice`: what is done with a call over REST: `voice.redirect` and `voice.WarmTransfer`, a transfer's fallbacks.
- `webhooks`: what Twilio's requests say, typed.
- `whatsapp`: senders of WhatsApp, and which users may be called.

Nothing here imports Twilio's package before it is needed; if it is missing then, that is a `MissingExtraError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_sip.twilio import calls, numbers, trunking, twiml, voice, webhooks, whatsapp
    from realtime_sip.twilio.account import AsyncTwilioAccount, TwilioAccount
    from realtime_sip.twilio.signature import TwilioSignature

__all__ = [
    "AsyncTwilioAccount",
    "TwilioAccount",
    "TwilioSignature",
    "calls",
    "numbers",
    "trunking",
    "twiml",
    "voice",
    "webhooks",
    "whatsapp",
]

# Imported when it is first asked for (PEP 562): a module, or a name and the module that has it.
_MODULES = {"calls", "numbers", "trunking", "twiml", "voice", "webhooks", "whatsapp"}
_PLACES = {
    "AsyncTwilioAccount": "realtime_sip.twilio.account",
    "TwilioAccount": "realtime_sip.twilio.account",
    "TwilioSignature": "realtime_sip.twilio.signature",
}


# Not for type checkers, which would believe in every name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"realtime_sip.twilio.{name}")
        if name not in _PLACES:
            raise AttributeError(f"module 'realtime_sip.twilio' has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
