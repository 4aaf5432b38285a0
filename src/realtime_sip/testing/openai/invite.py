"""What the webhooks of an emulated call say: the headers of its INVITE, for the Realtime API and for the Live API."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Literal, Self

from realtime_sip.sip.headers import CHANNEL_HEADER, DIALED_HEADER, Channel
from realtime_sip.testing.openai.frames import Frame

__all__ = ["CALLER", "DIALED", "LIVE", "REALTIME", "Invite"]

# Numbers that are kept free for fiction (NANP 555-0100 to 555-0199).
CALLER = "+14155550100"
DIALED = "+14155550199"

REALTIME = "realtime.call.incoming"
LIVE = "live.transport.incoming"


class Invite:
    """The INVITE of one call.

    A call from a phone comes as a Twilio trunk sends it. WhatsApp and SIP domains cannot use a trunk: such a call comes
    as `<Dial><Sip>` sends it, if TwiML of our own keeps the caller's bare number or name as caller id, and tells the
    channel and what was dialed in headers. (Without a caller id From has `whatsapp:`, and the service answers 400; one
    field report.)

    `given` are more headers as (name, value), or others in place of those of the same name.
    """

    def __init__(
        self,
        *,
        caller: str,
        dialed: str,
        channel: Channel,
        given: Iterable[tuple[str, str]],
        media_security: Literal["rtp", "srtp"] | None,
    ) -> None:
        more = list(given)
        replaced = {name.lower() for name, _ in more}
        host, reached = "pstn.twilio.com:5060", [("Diversion", f"<sip:{dialed}@twilio.com>;reason=unconditional")]
        if channel != "phone":
            host, reached = "sip.twilio.com", [(CHANNEL_HEADER, channel), (DIALED_HEADER, dialed)]
        usual = [
            ("From", f'"{caller}" <sip:{caller}@{host}>;tag={secrets.token_hex(8)}'),
            ("To", "<sip:proj_emulator@sip.api.openai.com;transport=tls>"),
            ("Call-ID", f"{secrets.token_hex(16)}@127.0.0.1"),
            *reached,
            ("X-Twilio-CallSid", f"CA{secrets.token_hex(16)}"),
            ("X-Twilio-AccountSid", f"AC{'0' * 32}"),
        ]
        headers = [(name, value) for name, value in usual if name.lower() not in replaced] + more
        self._data = _data(headers, media_security)

    @classmethod
    def with_headers(cls, headers: Iterable[tuple[str, str]], *, media_security: Literal["rtp", "srtp"]) -> Self:
        """Return an INVITE of exactly these headers, for a carrier that is emulated too."""
        invite = cls.__new__(cls)
        invite._data = _data(headers, media_security)
        return invite

    def realtime(self, call_id: str) -> Frame:
        """Return the `data` of `realtime.call.incoming`."""
        return {"call_id": call_id, **self._data}

    def live(self, session_id: str) -> Frame:
        """Return the `data` of `live.transport.incoming`."""
        return {"type": "sip", "session_id": session_id, **self._data}


def _data(headers: Iterable[tuple[str, str]], media_security: Literal["rtp", "srtp"] | None) -> Frame:
    data: Frame = {"sip_headers": [{"name": name, "value": value} for name, value in headers]}
    if media_security is not None:
        data["sip_media_security"] = media_security
    return data
