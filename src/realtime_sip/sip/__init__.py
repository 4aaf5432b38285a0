"""What SIP says about a call: addresses, headers, who calls whom, and the signed context in a header."""

from __future__ import annotations

from realtime_sip.sip.address import NameAddr, SipUri
from realtime_sip.sip.headers import CHANNEL_HEADER, DIALED_HEADER, Channel, Diversion, SipHeaders, UserToUser
from realtime_sip.sip.signed_context import CONTEXT_HEADER, ContextRefusal, ContextSigner, SignedContext

__all__ = [
    "CHANNEL_HEADER",
    "CONTEXT_HEADER",
    "DIALED_HEADER",
    "Channel",
    "ContextRefusal",
    "ContextSigner",
    "Diversion",
    "NameAddr",
    "SignedContext",
    "SipHeaders",
    "SipUri",
    "UserToUser",
]
