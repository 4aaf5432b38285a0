"""`realtime-sip demo`: a WhatsApp call through Twilio and OpenAI to a model, a function, and a person in Flex."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import MissingExtraError
from realtime_sip.event_log import EventLogFolder

try:
    from realtime_sip.cli.demo_server import (
        DEADLINE,
        address,
        example,
        loopback,
        on_time,
        posted,
        serving,
    )
    from realtime_sip.cli.forged import forged_by_openai
    from realtime_sip.cli.replay import outputs
    from realtime_sip.cli.screen import Screen
    from realtime_sip.cli.shown import ASKED, HANDED_OVER, TOOL, inside, whole_chain
    from realtime_sip.testing import (
        Callee,
        CallerSays,
        ModelCalls,
        ModelSays,
        OpenAIEmulator,
        ScenarioError,
        TwilioCall,
        TwilioEmulator,
    )
    from realtime_sip.twilio import TwilioSignature
except ImportError as error:
    raise MissingExtraError(error.name or "a package", "cli") from None

__all__ = ["run_chain"]

CALLER, SENDER = "whatsapp:+5511987650001", "whatsapp:+551130000001"
URI = "sip:proj_demo@sip.api.openai.com;transport=tls;region=br1"
PROJECT, WORKFLOW = "proj_demo", "WW" + "0" * 31 + "1"
GREETING = "Clínica Boa Vista, bom dia! Como posso ajudar?"
QUESTION = "Bom dia. Tem horário livre na quinta-feira?"
RESULT = "10:30 e 16:00"
ANSWER = "Na quinta-feira temos horário às dez e meia e às dezesseis horas."
WISH = "Obrigada. Prefiro marcar com uma pessoa."
A_MOMENT = "Claro, vou transferir você para uma colega. Um momento, por favor."
SUMMARY = "Quer uma consulta na quinta-feira."
SCENARIO = (
    ModelSays(GREETING),
    CallerSays(QUESTION),
    ModelCalls("free_times", {"day": "quinta-feira"}),
    ModelSays(ANSWER),
    CallerSays(WISH),
    ModelSays(A_MOMENT),
    ModelCalls(
        "transfer_to_human",
        {"target": "equipe", "reason": "pediu para falar com uma pessoa", "summary": SUMMARY},
        same_response=True,
    ),
)
FORGED = "⓪ Nobody but Twilio and OpenAI is believed"
STEPS = {"free_times": TOOL, "transfer_to_human": HANDED_OVER}
_SECRET = "REALTIME_SIP_CONTEXT_SECRET"  # noqa: S105 - a name

HEAD = """\
A WhatsApp call to a clinic in Brazil, {speed:g} times as fast as life.
Emulated, on this machine: Twilio, OpenAI and its model, the people.
Real: the server, which is examples/whatsapp_receptionist.py, and its requests.

  caller ──WhatsApp──▶ Twilio ──SIP over TLS──▶ OpenAI ◀──audio──▶ model
                         ▲                        ▲
                       ① │ TwiML                ② │ accept ③ tools ④ refer ⑤
                         ▼                        ▼
                      ┌──────────────────────────────┐
                      │         your server          │
                      └──────────────────────────────┘"""


async def run_chain(
    *, speed: float = 3.0, server: ModuleType | None = None, event_log: EventLogFolder | None = None
) -> bool:
    """Play the call and return whether it went the way it should, each step of it.

    Args:
        speed: How much faster than life the call goes; the server's own clocks are real, so not more than 30 times.
        server: A module like `examples/whatsapp_receptionist.py`, which it is by default.
        event_log: Where the server writes the log of the call.

    Raises:
        ConfigurationError: The example is not there.
    """
    module = example("whatsapp_receptionist") if server is None else server
    screen = Screen()
    screen.write(HEAD.format(speed=speed))
    with screen.showing(module.log), _context_secret(), loopback() as listening:
        url = address(listening)
        async with (
            OpenAIEmulator(speed=speed, strict=False) as openai,
            AsyncRealtimeSip(**openai.client_options) as client,
            TwilioEmulator(
                openai=openai,
                openai_webhook=f"{url}/openai/webhook",
                callees={WORKFLOW: Callee(rings=3, talks=6)},
                strict=False,
            ) as twilio,
            serving(
                module.create_app(
                    client,
                    project=PROJECT,
                    twilio=TwilioSignature(twilio.auth_token, url),
                    workflow_sid=WORKFLOW,
                    event_log=event_log,
                ),
                listening,
            ),
        ):
            checks = await on_time(_ring(twilio, url, screen))
    return screen.verdict(checks)


async def _ring(twilio: TwilioEmulator, url: str, screen: Screen) -> dict[str, bool]:
    """Let the call come in, and return what was to happen and whether it did."""
    voice_url, webhook_url = f"{url}/twilio/voice", f"{url}/openai/webhook"
    screen.show("demo", "sends what neither Twilio nor OpenAI has signed", step=FORGED)
    forged = [await posted(voice_url, *_forged_by_twilio(voice_url)), await posted(webhook_url, *forged_by_openai())]
    screen.show("server", f"answers {' and '.join(map(str, forged))}")
    screen.show("caller", f"calls {SENDER}", step=ASKED)
    call = await twilio.ring(voice_url, from_=CALLER, to=SENDER, scenario=SCENARIO)
    async with screen.following(whole_chain(call, steps=STEPS)):
        try:
            await call.until_openai(timeout=DEADLINE)
        except ScenarioError:
            return {"Twilio calls OpenAI": False}
        rings = call.status == "ringing"
        await call.ended(timeout=DEADLINE)
    knows = await screen.shown("server", "the call to the model has ended: transferred")
    proven = await screen.shown("server", "accepted, and sideband attached; the caller came by whatsapp")
    return {
        "requests that Twilio or OpenAI did not sign are refused": forged == [403, 400],
        "the caller hears it ringing until OpenAI has the accept": rings,
        **_went(call),
        "the server knows, by Twilio's word, that the caller is on WhatsApp": proven,
        "the server knows that the call ended by a transfer": knows,
    }


def _went(call: TwilioCall) -> dict[str, bool]:
    ringing = call.openai_calls[0]
    said = [(line.by, line.text) for line in ringing.said]
    return {
        "Twilio calls OpenAI once": len(call.openai_calls) == 1,
        "the TwiML dials OpenAI over TLS, from São Paulo": URI in call.requested("voice")[0].reply,
        "OpenAI's webhook is taken at its first delivery": [r.taken for r in ringing.webhook_responses] == [True],
        "the call is accepted, with transcription in Portuguese": inside(
            ringing.accepted_session, "audio", "input", "transcription", "language"
        )
        == "pt",
        "the agent greets, and hears the caller": said[:2] == [("model", GREETING), ("caller", QUESTION)],
        "the function's result reaches the model, once": outputs(ringing.client_events)[:1] == [RESULT],
        "the agent says that it transfers before it does": said[-1:] == [("model", A_MOMENT)],
        "the caller waits in Flex, with the model's summary": [queued.task for queued in call.queued]
        == [{"language": "pt-BR", "summary": SUMMARY}],
        "a person in Flex talks to the caller": [r.params.get("QueueResult") for r in call.requested("action")]
        == ["bridged"],
        "Twilio's debugger shows nothing": call.alerts == [],
    }


def _forged_by_twilio(url: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request for TwiML that somebody else has signed."""
    body = b"CallSid=CA1&From=%2B14155550100&To=%2B14155550199&CallStatus=ringing"
    signed = TwilioSignature("somebody else's token", url).sign(url, body)
    return body, {"content-type": "application/x-www-form-urlencoded", **signed}


@contextmanager
def _context_secret() -> Iterator[None]:
    """Let the environment have a secret for contexts, as a server's has, until the block is left."""
    before = os.environ.get(_SECRET)
    os.environ[_SECRET] = before or "a secret of the demo, and of nobody else"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SECRET]
