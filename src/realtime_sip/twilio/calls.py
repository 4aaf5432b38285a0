"""Calls to phones over Twilio's REST API: placed, given other TwiML, and ended.

    detection = calls.MachineDetection(callback="https://voice.example.com/twilio/answered")
    placed = account.calls.place("+14155550199", "+14155550123", url=VOICE_URL, machine_detection=detection)

`account.calls` has the same methods on `TwilioAccount` and, to be awaited, on `AsyncTwilioAccount`. Calls to WhatsApp
users are `account.whatsapp.place_call`; what is done with them then is here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

from realtime_sip.twilio import placed_call
from realtime_sip.twilio.machine_detection import DetectionMode, MachineDetection
from realtime_sip.twilio.operations import Steps
from realtime_sip.twilio.placed_call import PlacedCall

__all__ = ["AsyncCalls", "CallFace", "Calls", "DetectionMode", "MachineDetection", "PlacedCall"]

_Call = TypeVar("_Call")


class CallFace(Generic[_Call]):
    """`account.calls`. What its methods return is awaited on `AsyncTwilioAccount`."""

    def __init__(self, run: Callable[[Steps[Any]], Any]) -> None:
        self._run = run

    def place(
        self,
        from_: str,
        to: str,
        *,
        url: str | None = None,
        twiml: object = None,
        application_sid: str | None = None,
        machine_detection: MachineDetection | None = None,
        send_digits: str | None = None,
        timeout: int | None = None,
        time_limit: int | None = None,
        status_callback: str | None = None,
    ) -> _Call:
        """Call a phone. Sent once: it is repeated after 429, and never after a timeout or a 5xx.

        Args:
            from_: A number of the account, or one that was verified, as E.164.
            to: The number to call, as E.164.
            url: Where the TwiML is that is done when somebody answers, or
            twiml: the TwiML itself, or
            application_sid: a TwiML App.
            machine_detection: Whether Twilio finds out who answers.
            send_digits: Keys to press once it is answered, such as "ww1": 0 to 9, * and #, and w for half a second.
            timeout: Seconds to ring, 5 to 600; Twilio's 60 if left out. A voicemail answers after about 30.
            time_limit: Seconds that the call may last, up to 86400; four hours if left out.
            status_callback: The URL to which Twilio posts how the call goes.

        Raises:
            InvalidRequestError: An argument is not valid; nothing was sent.
            UnreachableNumberError: Twilio does not call that number.
            NetworkError: If `sent`, the call may have been placed: look before you place another.
            ServiceError: Twilio refuses for another reason, or failed.
        """
        steps = placed_call.place(
            from_,
            to,
            url=url,
            twiml=twiml,
            application_sid=application_sid,
            machine_detection=machine_detection,
            send_digits=send_digits,
            timeout=timeout,
            time_limit=time_limit,
            status_callback=status_callback,
        )
        placed: _Call = self._run(steps)
        return placed

    def fetch(self, sid: str) -> _Call:
        """Return a call: how it is, and who answered it.

        Raises:
            InvalidRequestError: It is no SID of a call.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        found: _Call = self._run(placed_call.fetch(sid))
        return found

    def redirect(self, sid: str, *, twiml: object) -> _Call:
        """Give a call other TwiML, such as `twiml.say(…)` or `twiml.press(…)`. What it dialed, as OpenAI, is hung up.

        Args:
            sid: The call, `CA…`: of a call with OpenAI on the other leg it is `incoming.parent_call_sid`.
            twiml: Up to 4000 characters. Its URLs are whole.

        Raises:
            InvalidRequestError: It is no SID of a call, or no TwiML; nothing was sent.
            BadRequestError: The call is over (21220).
            NetworkError: If `sent`, it may have been done.
            ServiceError: Twilio refuses for another reason, or failed.
        """
        changed: _Call = self._run(placed_call.redirect(sid, twiml))
        return changed

    def end(self, sid: str) -> _Call:
        """End a call. It is repeated until it succeeds or the time is up.

        Raises:
            InvalidRequestError: It is no SID of a call.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        ended: _Call = self._run(placed_call.end(sid))
        return ended


Calls: TypeAlias = CallFace[PlacedCall]
"""`account.calls`, blocking."""

AsyncCalls: TypeAlias = CallFace[Coroutine[Any, Any, PlacedCall]]
"""`account.calls`, async."""
