"""The whole chain: a WhatsApp caller, Twilio, our TwiML, OpenAI's webhook, a call in Portuguese, a person in Flex."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from twilio_program import Program

from emulated import virtual
from realtime_sip import (
    AsyncRealtimeSip,
    CallHost,
    EndReason,
    IncomingCall,
    RealtimeSession,
    Tools,
    TransferRequest,
    TransferTargets,
    transfer_to_human,
)
from realtime_sip.errors import WebhookVerificationError
from realtime_sip.sip import ContextSigner
from realtime_sip.testing import Behavior, CallerSays, EndedBy, ModelCalls, ModelSays, OpenAIEmulator, TwilioEmulator
from realtime_sip.testing.openai.server import Reply, Request

pytest.importorskip("twilio.twiml", reason="needs the extra twilio")

PUBLIC = "https://voice.example.com"
CALLER, SENDER = "whatsapp:+5511987650001", "whatsapp:+551130000001"
SECRET = "a secret of the tests, long enough"
WORKFLOW = "WW" + "0" * 31 + "1"
SESSION = RealtimeSession.model_validate(
    {
        "model": "gpt-realtime-2.1",
        "instructions": "Você atende o telefone de uma loja. Fale português do Brasil.",
        "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper", "language": "pt"}}},
    }
)
TARGETS = {"atendimento": "sip:atendimento@example.sip.twilio.com"}
ACCOUNT, TOKEN = "AC" + "c" * 32, "d" * 32
SCENARIO = [
    ModelSays("Oi! Como posso ajudar?"),
    CallerSays("Onde está o pedido 1042?"),
    ModelCalls("order_status", {"order_id": "1042"}),
    ModelSays("Ele chega amanhã."),
    CallerSays("Quero falar com uma pessoa."),
    ModelSays("Claro, um momento."),
    ModelCalls(
        "transfer_to_human",
        {"target": "atendimento", "reason": "pediu uma pessoa", "summary": "Pedido 1042."},
        same_response=True,
    ),
]


class Shop:
    """The program: Twilio's webhooks and OpenAI's on one server."""

    def __init__(self, twilio_token: str, client: AsyncRealtimeSip) -> None:
        from realtime_sip.twilio import TwilioSignature

        self.client = client
        self.twilio = TwilioSignature(twilio_token, PUBLIC)
        self.signer = ContextSigner(SECRET)
        self.host = CallHost(self.on_call, client=client)
        self.targets = TransferTargets(TARGETS, fallback=self.redirect)
        self.rest = ""
        self.incoming: list[IncomingCall] = []
        self.looked_up: list[str] = []
        self.known: list[tuple[str, bool]] = []
        """The paths of Twilio's callbacks, and whether the host has the call that they are about."""
        self.tools = Tools([transfer_to_human])
        self.tools.function(self.order_status)

    async def order_status(self, order_id: str) -> str:
        """Tell where an order is."""
        self.looked_up.append(order_id)
        return "Chega amanhã."

    async def on_call(self, incoming: IncomingCall) -> None:
        self.incoming.append(incoming)
        async with self.client.calls.answer(incoming, SESSION, tools=self.tools, transfers=self.targets) as call:
            call.respond("Cumprimente em português.")
            await call.wait_ended()

    async def redirect(self, request: TransferRequest) -> None:
        """Take the caller to the queue by Twilio's REST API."""
        from realtime_sip.twilio import twiml

        flex = twiml.enqueue_flex(WORKFLOW, task={"idioma": "pt-BR", "resumo": request.summary})
        async with httpx.AsyncClient(trust_env=False, auth=(ACCOUNT, TOKEN)) as http:
            url = f"{self.rest}/2010-04-01/Accounts/{ACCOUNT}/Calls/{request.parent_call_sid}.json"
            (await http.post(url, data={"Twiml": str(flex)})).raise_for_status()

    async def handle(self, request: Request) -> Reply:
        from realtime_sip.twilio import twiml
        from realtime_sip.twilio.webhooks import CallWebhook, VoiceWebhook, read_webhook

        if request.path == "/openai":
            event = self.client.webhooks.unwrap(request.body, dict(request.headers))
            assert isinstance(event, IncomingCall)
            await self.host.submit(event)
            return Reply()
        try:
            self.twilio.verify(request.target, request.body, dict(request.headers), method=request.method)
        except WebhookVerificationError:
            return Reply(status=403)
        response = twiml.VoiceResponse()
        match request.path:
            case "/voice":
                response = twiml.dial_openai(
                    "proj_abc123",
                    voice=VoiceWebhook.read(request.body),
                    signer=self.signer,
                    context={"loja": "centro"},
                    region="br1",
                    secure=True,
                    action=f"{PUBLIC}/after",
                    refer_url=f"{PUBLIC}/refer",
                    status_callback=f"{PUBLIC}/status",
                )
            case "/refer":
                task = {"idioma": "pt-BR", "resumo": "Pedido 1042."}
                response = twiml.enqueue_flex(WORKFLOW, task=task, action=f"{PUBLIC}/left")
        if request.path != "/voice":
            payload = read_webhook(request.body)
            assert isinstance(payload, CallWebhook)
            self.known.append((request.path, self.host.carrier(payload)))
        return Reply(body=str(response).encode(), content_type="text/xml")


class Server(Program):
    """The shop behind Twilio's public URL."""

    shop: Shop

    async def handle(self, request: Request) -> Reply:
        await super().handle(request)
        return await self.shop.handle(request)


def twilio_for(openai: OpenAIEmulator, server: Server) -> TwilioEmulator:
    return TwilioEmulator(
        openai=openai,
        openai_webhook=f"{server.url}/openai",
        tunnels={PUBLIC: server.url},
        account_sid=ACCOUNT,
        auth_token=TOKEN,
    )


@pytest.mark.parametrize(
    ("from_", "caller"), [(CALLER, "+5511987650001"), ("whatsapp:BR.1502576394655843", None)], ids=["number", "user id"]
)
@virtual
async def test_a_whatsapp_caller_talks_portuguese_and_is_handed_to_a_person_in_flex(
    from_: str, caller: str | None
) -> None:
    async with (
        OpenAIEmulator(context_secret=SECRET) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
        Server() as server,
        twilio_for(openai, server) as twilio,
    ):
        shop = server.shop = Shop(TOKEN, client)
        call = await twilio.ring(
            f"{PUBLIC}/voice", from_=from_, to=SENDER, scenario=SCENARIO, status_callback=f"{PUBLIC}/status"
        )
        ringing = await call.until_openai()
        assert call.status == "ringing"  # until OpenAI has the accept
        assert await call.ended() == "completed"
        end = await ringing.ended()
        ended = await shop.host.ended(ringing.call_id)

        (incoming,) = shop.incoming
        assert (incoming.channel, incoming.caller, incoming.dialed) == ("whatsapp", caller, "+551130000001")
        assert incoming.media_security == "srtp"
        assert dict(incoming.context) == {"loja": "centro"}
        assert incoming.parent_call_sid == call.sid

        accepted = ringing.accepted_session
        assert accepted is not None
        assert accepted["audio"]["input"]["transcription"]["language"] == "pt"
        assert [tool["name"] for tool in accepted["tools"]] == ["transfer_to_human", "order_status"]
        assert shop.looked_up == ["1042"]
        assert [(said.by, said.text) for said in ringing.said][-1] == ("model", "Claro, um momento.")

        assert call.requested("refer")[0]["ReferTransferTarget"] == "<sip:atendimento@example.sip.twilio.com>"
        (queued,) = call.queued
        assert (queued.workflow_sid, queued.task["idioma"]) == (WORKFLOW, "pt-BR")
        # That a person took the call, only the queue's result says.
        assert call.requested("action")[0]["QueueResult"] == "bridged"
        assert ("/left", True) in shop.known
        assert (end.by, ended.reason, ended.certainty) == (EndedBy.TRANSFERRED, EndReason.TRANSFERRED, "reported")
        assert {request.status_code for request in call.requests} == {200}
        words = [request["CallStatus"] for request in call.requested("status") if "ParentCallSid" in request.params]
        assert words == ["initiated", "ringing", "in-progress", "completed"]


@virtual
async def test_a_request_that_twilio_did_not_sign_gets_no_twiml_and_openai_does_not_ring() -> None:
    async with (
        OpenAIEmulator(context_secret=SECRET) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
        Server() as server,
        twilio_for(openai, server) as twilio,
    ):
        shop = server.shop = Shop("0" * 32, client)
        call = await twilio.ring(f"{PUBLIC}/voice", from_=CALLER, to=SENDER, alerts=[11200])
        await call.ended()
        assert (call.requests[0].status_code, shop.incoming, call.openai_calls) == (403, [], [])


@virtual
async def test_a_refer_that_never_reaches_twilio_is_made_good_by_rest() -> None:
    async with (
        OpenAIEmulator(context_secret=SECRET, behavior=Behavior(refer="ignored")) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
        Server() as server,
        twilio_for(openai, server) as twilio,
    ):
        shop = server.shop = Shop(TOKEN, client)
        shop.rest = twilio.base_url
        call = await twilio.ring(f"{PUBLIC}/voice", from_=CALLER, to=SENDER, scenario=SCENARIO)
        ringing = await call.until_openai()
        assert await call.ended() == "completed"
        assert (await shop.host.ended(ringing.call_id)).reason is EndReason.TRANSFERRED
        assert (call.requested("refer"), [queued.task["resumo"] for queued in call.queued]) == ([], ["Pedido 1042."])
        # Twilio asks the old Dial's action, as if the call were over: the host knows that the redirect was its own.
        assert call.requested("action")[0]["DialCallStatus"] == "completed"
        assert (await ringing.ended()).by is EndedBy.TRANSFERRED


@virtual
async def test_a_caller_who_hangs_up_is_reported_by_twilio() -> None:
    async with (
        OpenAIEmulator(context_secret=SECRET) as openai,
        AsyncRealtimeSip(**openai.client_options) as client,
        Server() as server,
        twilio_for(openai, server) as twilio,
    ):
        shop = server.shop = Shop(TOKEN, client)
        call = await twilio.ring(
            f"{PUBLIC}/voice", from_=CALLER, scenario=SCENARIO[:1], status_callback=f"{PUBLIC}/status"
        )
        ringing = await call.until_openai()
        await call.until_dialed(answered=True)
        await ringing.until_attached()
        await asyncio.sleep(10)  # of virtual time: the greeting is over
        call.hang_up()
        assert await call.ended() == "completed"
        ended = await shop.host.ended(ringing.call_id)
        assert ended.reason is EndReason.CALLER
        assert ("/status", True) in shop.known
