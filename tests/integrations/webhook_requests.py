"""What the tests of the integrations share: signed requests, and a host that takes every call and does nothing."""

from __future__ import annotations

import time
from typing import Any

from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, OpenAIWebhooks, Submission
from realtime_sip.errors import DeadlineError
from realtime_sip.twilio import TwilioSignature
from realtime_sip.twilio.webhooks import CallWebhook

SECRET = "a secret of the tests"
WEBHOOKS = OpenAIWebhooks(SECRET)
CALL = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": []}}'
URL = "https://voice.example.com"
TWILIO = TwilioSignature("a token of the tests", URL)
VOICE = b"CallSid=CA1&From=%2B14155550100&To=%2B14155550199&CallStatus=ringing&Direction=inbound"
DIALED = b"CallSid=CA1&CallStatus=in-progress&DialCallStatus=busy"
QUEUED = b"CallSid=CA1&QueueResult=bridged"
REFERRED = b"CallSid=CA1&ReferTransferTarget=sip%3Aflex%40desk.invalid"
STATUS = b"CallSid=CA2&ParentCallSid=CA1&CallStatus=completed&CallbackSource=call-progress-events&SequenceNumber=3"
RECORDED = b"RecordingSid=RE1&RecordingStatus=completed&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2FRE1"
MESSAGE = b"MessageSid=SM1&From=%2B14155550100&Body=Hello"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def openai_headers(body: bytes = CALL) -> dict[str, str]:
    return {**WEBHOOKS.sign(body, id="wh_1", timestamp=time.time()), "content-type": "application/json"}


def twilio_headers(target: str, body: bytes = VOICE, *, method: str = "POST") -> dict[str, str]:
    return {**TWILIO.sign(URL + target, body, method=method), **FORM}


def client_of_tests() -> AsyncRealtimeSip:
    return AsyncRealtimeSip("sk-example", webhook_secret=SECRET, base_url="http://127.0.0.1:1/v1")


async def nobody(_: IncomingCall) -> None:
    """Answer nobody."""


class TakingHost(CallHost):
    """Takes every call, and keeps what it was given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nobody, client=client_of_tests(), **options)
        self.taken: list[IncomingCall] = []
        self.heard: list[CallWebhook] = []
        self.late = False

    async def submit(self, incoming: IncomingCall) -> Submission:
        if self.late:
            raise DeadlineError("the store did not answer within 10 s", sent=False)
        self.taken.append(incoming)
        return Submission.STARTED

    def carrier(self, payload: CallWebhook) -> bool:
        self.heard.append(payload)
        return True
