"""Two opinions: each request of the stand-in is signed and typed as our own readers of Twilio's webhooks have it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from twilio_program import Program, dial

from emulated import virtual
from realtime_sip.testing import Callee, TwilioEmulator
from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.twilio import TwilioSignature
from realtime_sip.twilio.webhooks import (
    CallPermissionReply,
    CallStatusCallback,
    DialResult,
    MessageStatusCallback,
    QueueResult,
    RecordingCallback,
    TwilioWebhook,
    VoiceWebhook,
    read_webhook,
)

PUBLIC = "https://voice.example.com"
KEY = ("webhooks_sharedkey_1", "a shared secret of the tests")
EVENTS = 'statusCallback="/status" statusCallbackEvent="initiated ringing answered completed"'
ROUTES = {
    "voice": "<Response><Say>Hi.</Say><Dial action='/after' record='record-from-answer' "
    f"recordingStatusCallback='/recorded'><Client {EVENTS}>a</Client></Dial></Response>",
    "after": "<Response><Enqueue action='/left'>support</Enqueue></Response>",
    "left": "<Response><Redirect method='GET'>/next?a=b%3Ac</Redirect></Response>",
    "next": "<Response><Pause length='5'/></Response>",
}
KINDS: dict[str, type[TwilioWebhook]] = {
    "/voice": VoiceWebhook,
    "/after": DialResult,
    "/left": QueueResult,
    "/next": VoiceWebhook,
    "/status": CallStatusCallback,
    "/recorded": RecordingCallback,
    "/message": MessageStatusCallback,
    "/permission": CallPermissionReply,
}


class Verifying(Program):
    """A program that takes nothing that Twilio did not sign, and reads each payload."""

    signature: TwilioSignature

    def __init__(self, **routes: Any) -> None:
        super().__init__(**routes)
        self.read: dict[str, list[TwilioWebhook]] = {}

    async def handle(self, request: Request) -> Reply:
        account = self.signature.verify(request.target, request.body, dict(request.headers), method=request.method)
        assert account is not None
        text = request.body or request.target.partition("?")[2].encode()
        self.read.setdefault(request.path, []).append(read_webhook(text))
        return await super().handle(request)


@pytest.mark.parametrize("shared_key", [None, KEY], ids=["token", "shared key"])
@pytest.mark.parametrize("from_", ["+14155550100", "whatsapp:BR.1502576394655843", "sip:a@b.example", "Anonymous"])
@virtual
async def test_each_request_is_signed_and_is_what_it_is(from_: str, shared_key: tuple[str, str] | None) -> None:
    async with (
        Verifying(**ROUTES) as program,
        TwilioEmulator(tunnels={PUBLIC: program.url}, shared_key=shared_key, callees={"client:a": Callee()}) as twilio,
    ):
        keys = {} if shared_key is None else dict([shared_key])
        program.signature = TwilioSignature(twilio.auth_token, PUBLIC, shared_keys=keys)
        call = await twilio.ring(f"{PUBLIC}/voice", from_=from_, status_callback=f"{PUBLIC}/status")
        await call.ended()
        await twilio.reply_to_permission(
            f"{PUBLIC}/permission", from_="whatsapp:+5511987650001", to="whatsapp:+551130000001", accepted=True
        )
        async with httpx.AsyncClient(trust_env=False, auth=(twilio.account_sid, twilio.auth_token)) as client:
            url = f"{twilio.base_url}/2010-04-01/Accounts/{twilio.account_sid}/Messages.json"
            form = {"To": "+14155550101", "From": "+14155550199", "Body": "Hi", "StatusCallback": f"{PUBLIC}/message"}
            assert (await client.post(url, data=form)).status_code == 201
        while len(program.read.get("/message", [])) < 3:
            await twilio._clock.sleep(1)
        kinds = {path: {type(each) for each in read} for path, read in program.read.items()}
        assert kinds == {path: {kind} for path, kind in KINDS.items()}
        assert {request.status_code for request in twilio.requests} == {200}
        (voice,) = program.read["/voice"]
        assert isinstance(voice, VoiceWebhook)
        assert (voice.call_sid, voice.caller) == (call.sid, from_ if from_.startswith("+") else None)
        told = [each for each in program.read["/status"] if isinstance(each, CallStatusCallback)]
        assert [each.status for each in told if each.parent_call_sid] == [
            *("initiated", "ringing", "in-progress", "completed")
        ]


@virtual
async def test_a_forged_token_is_seen() -> None:
    async with Program(voice=dial()) as program, TwilioEmulator(tunnels={PUBLIC: program.url}) as twilio:
        await (await twilio.ring(f"{PUBLIC}/voice", strict=False)).ended()
        request, _ = program.seen[0]
        with pytest.raises(Exception, match="does not match"):
            TwilioSignature("f" * 32, PUBLIC).verify(request.target, request.body, dict(request.headers))
