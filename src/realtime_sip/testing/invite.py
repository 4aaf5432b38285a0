"""What the webhooks of an emulated call say: the headers of its INVITE, for the Realtime API and for the Live API."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Literal

from realtime_sip.testing.frames import Frame

__all__ = ["CALLER", "DIALED", "LIVE", "REALTIME", "Invite"]

# Numbers that are kept free for fiction (NANP 555-0100 to 555-0199).
CALLER = "+14155550100"
DIALED = "+14155550199"

REALTIME = "realtime.call.incoming"
LIVE = "live.transport.incoming"


class Invite:
    """The INVITE of one call, as a Twilio trunk sends it.

    `given` are more headers as (name, value), or others in place of those of the same name.
    """

    def __init__(
        self,
        *,
        caller: str,
        dialed: str,
        given: Iterable[tuple[str, str]],
        media_security: Literal["rtp", "srtp"] | None,
    ) -> None:
        more = list(given)
        replaced = {name.lower() for name, _ in more}
        usual = [
            ("From", f'"{caller}" <sip:{caller}@pstn.twilio.com:5060>;tag={secrets.token_hex(8)}'),
            ("To", "<sip:proj_emulator@sip.api.openai.com;transport=tls>"),
            ("Call-ID", f"{secrets.token_hex(16)}@127.0.0.1"),
            ("Diversion", f"<sip:{dialed}@twilio.com>;reason=unconditional"),
            ("X-Twilio-CallSid", f"CA{secrets.token_hex(16)}"),
            ("X-Twilio-AccountSid", f"AC{'0' * 32}"),
        ]
        headers = [(name, value) for name, value in usual if name.lower() not in replaced] + more
        self._data: Frame = {"sip_headers": [{"name": name, "value": value} for name, value in headers]}
        if media_security is not None:
            self._data["sip_media_security"] = media_security

    def realtime(self, call_id: str) -> Frame:
        """Return the `data` of `realtime.call.incoming`."""
        return {"call_id": call_id, **self._data}

    def live(self, session_id: str) -> Frame:
        """Return the `data` of `live.transport.incoming`."""
        return {"type": "sip", "session_id": session_id, **self._data}
