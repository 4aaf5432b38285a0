"""From a bare number to what `realtime-sip doctor` says is right: each of its fixes is followed, and then a call comes.

The account has one number, which asks Twilio's demo, and a WhatsApp sender without calls; the project has no webhook;
no variable is set but those that lead to the emulators. Nothing else is known than what the findings say.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("twilio")

from fastapi import FastAPI

from ports import free_port
from realtime_sip import AsyncRealtimeSip, CallHost, IncomingCall, RealtimeSession
from realtime_sip.cli import main
from realtime_sip.cli.doctor import packages
from realtime_sip.integrations.fastapi import openai_webhook, twilio_webhook
from realtime_sip.testing import CallerHangsUp, ModelSays, OpenAIEmulator, TwilioEmulator
from realtime_sip.testing.openai.models import PROJECT
from realtime_sip.twilio import AsyncTwilioAccount, TwilioSignature, twiml
from realtime_sip.twilio.webhooks import VoiceWebhook
from serving import serving

NUMBER, SENDER = "+14155550199", "whatsapp:+551130000001"
KEY = "sk-proj-0123456789abcdefghij"
OURS = ("OPENAI_", "TWILIO_", "REALTIME_SIP_", "WEB_CONCURRENCY", "UVICORN_WORKERS", "GUNICORN_CMD_ARGS")
MOST = 12
SCENARIO = [ModelSays("Hello."), CallerHangsUp()]


class Trial:
    """A new user: runs the command, and does what the first finding says that keeps calls away."""

    def __init__(self, openai: OpenAIEmulator, twilio: TwilioEmulator, stack: AsyncExitStack, url: str) -> None:
        self.openai, self.twilio, self.url = openai, twilio, url
        self.voice_url, self.webhook = f"{url}/twilio/voice", f"{url}/openai/webhook"
        self.answered: list[str] = []
        self.aside = {"whatsapp-app", "number-route"}
        """What may be said of the number or sender that nobody asked about."""
        self._stack = stack

    async def doctor(self, *options: str) -> list[dict[str, Any]]:
        """Return what it finds, in its order."""
        status, out = await self.command("doctor", "--json", "--twilio-base-url", self.twilio.base_url, *options)
        shown = json.loads(out)
        assert shown["ok"] is (status == 0)
        assert not any(secret in out for secret in (KEY, self._secret(), self.twilio.auth_token, NUMBER))
        findings: list[dict[str, Any]] = shown["findings"]
        return findings

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run `realtime-sip`, and return its exit status and what it prints."""
        out = io.StringIO()

        def run() -> int:
            with contextlib.redirect_stdout(out):
                return main(arguments)

        return await asyncio.to_thread(run), out.getvalue()

    async def obey(self, fix: str) -> None:
        """Run the command that a fix shows, as it stands there."""
        (command,) = re.findall("`realtime-sip (.+?)`", fix)
        status, out = await self.command(*shlex.split(command), "--base-url", self.twilio.base_url, "--yes")
        assert status == 0, out

    async def walk(self, *options: str, steps: dict[str, Callable[[str], Awaitable[None]]]) -> list[str]:
        """Do what is said until all is right, and return the names of what was mended."""
        mended: list[str] = []
        for _ in range(MOST):
            findings = await self.doctor(*options)
            wrong = [each for each in findings if each["level"] == "error"]
            wrong += [
                each for each in findings if each["level"] in ("warning", "not checked") and each["name"] in steps
            ]
            if not wrong:
                assert {each["name"] for each in findings if each["level"] == "warning"} <= self.aside
                return mended
            first = wrong[0]
            assert first["level"] == "not checked" or first["fix"], first
            mended.append(first["name"])
            await steps[first["name"]](first["fix"] or first["found"])
        raise AssertionError(f"it goes round in circles: {mended}")

    @staticmethod
    def _secret() -> str:
        return os.environ.get("OPENAI_WEBHOOK_SECRET") or "whsec_"

    # --- what is done by hand ---

    async def make_key(self, fix: str) -> None:
        assert "a key of your project" in fix
        os.environ["OPENAI_API_KEY"] = KEY

    async def make_webhook(self, fix: str) -> None:
        assert fix.startswith("Make a webhook for realtime.call.incoming in the project's settings, and set it to")
        async with AsyncRealtimeSip() as client:
            made = await client.webhook_endpoints.create(name="shop", url=self.webhook)
        assert made.signing_secret is not None
        os.environ["OPENAI_WEBHOOK_SECRET"] = made.signing_secret

    async def start_server(self, fix: str) -> None:
        assert fix.startswith("Start the server")
        client = await self._stack.enter_async_context(AsyncRealtimeSip())
        session = RealtimeSession(model="gpt-realtime-2.1")

        async def on_call(incoming: IncomingCall) -> None:
            async with client.calls.answer(incoming, session) as call:
                self.answered.append(incoming.channel)
                call.respond("Greet the caller.")
                await call.wait_ended()

        def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
            return twiml.dial_openai(PROJECT, voice=call, action="/twilio/after_dial", refer_url="/twilio/refer")

        app = FastAPI()
        app.include_router(openai_webhook(CallHost(on_call, client=client)))
        signature = TwilioSignature(self.twilio.auth_token, public_url=self.url)
        app.include_router(twilio_webhook(signature, voice=voice, after_dial=lambda _: twiml.VoiceResponse()))
        listening = socket.create_server(("127.0.0.1", int(self.url.rpartition(":")[2])))
        await self._stack.enter_async_context(serving(app, listening))

    async def set_credentials(self, found: str) -> None:
        assert found.endswith("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        os.environ["TWILIO_ACCOUNT_SID"] = self.twilio.account_sid
        os.environ["TWILIO_AUTH_TOKEN"] = self.twilio.auth_token

    async def lead_number(self, fix: str) -> None:
        assert f"Give it {self.voice_url}: in the console" in fix
        assert "`account.numbers.route_to`" in fix
        async with AsyncTwilioAccount(base_url=self.twilio.base_url) as account:
            await account.numbers.route_to(NUMBER, voice_url=self.voice_url)

    @property
    def first(self) -> dict[str, Callable[[str], Awaitable[None]]]:
        """What each route begins with."""
        return {
            "openai-api-key": self.make_key,
            "openai-webhook-secret": self.make_webhook,
            "webhook-reachable": self.start_server,
            "twilio-credentials": self.set_credentials,
        }


@pytest.fixture
async def trial(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trial]:
    url = f"http://127.0.0.1:{free_port()}"
    async with (
        OpenAIEmulator(api_key=KEY, speed=20) as openai,
        TwilioEmulator(openai=openai, openai_webhook=f"{url}/openai/webhook") as twilio,
        AsyncExitStack() as stack,
    ):
        # It takes as long as all the rest, and has tests of its own.
        monkeypatch.setattr(packages, "installed", lambda: {"realtime-sip": ("0.1.0", [])})
        for name in [name for name in os.environ if name.startswith(OURS)]:
            monkeypatch.delenv(name)
        # Set and removed once, so that what the steps set is taken away at the end.
        for name in ("OPENAI_API_KEY", "OPENAI_WEBHOOK_SECRET", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"):
            monkeypatch.setenv(name, "")
        monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)
        twilio.account.own(NUMBER, voice_url="https://demo.twilio.com/welcome/voice/")
        twilio.account.whatsapp.own(SENDER)
        twilio.account.whatsapp.updates = 0
        yield Trial(openai, twilio, stack, url)


async def test_a_number_whose_calls_twiml_answers(trial: Trial) -> None:
    options = ("--url", trial.webhook, "--voice-url", trial.voice_url, "--model", "gpt-realtime-2.1")
    mended = await trial.walk(*options, "--number", NUMBER, steps={**trial.first, "number-route": trial.lead_number})
    assert mended == [
        *("openai-api-key", "openai-webhook-secret", "webhook-reachable", "twilio-credentials", "number-route")
    ]
    call = await trial.twilio.ring(trial.voice_url, to=NUMBER, scenario=SCENARIO)
    assert await call.ended() == "completed"
    assert trial.answered == ["phone"]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Declare a trunk that dials a project, anew with each call, and return its place."""
    name = f"trunks_of_{tmp_path.name}".replace("-", "_")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def declared(project: str) -> str:
        (tmp_path / f"{name}.py").write_text(
            "from realtime_sip.twilio import trunking\n"
            f"MAIN = trunking.for_openai({project!r}, friendly_name='Shop', numbers=[{NUMBER!r}])\n"
        )
        sys.modules.pop(name, None)
        return f"{name}:MAIN"

    return declared


async def test_a_number_on_a_trunk(trial: Trial, declare: Callable[[str], str]) -> None:
    async def mend_project(fix: str) -> None:
        assert fix.startswith(f"Write sip:{PROJECT}@sip.api.openai.com;transport=tls. Or take key and webhook of ")
        declare(PROJECT)

    place = declare("proj_abc123")  # as the page has it, whose reader has not put in the own id
    options = ("--url", trial.webhook, "--model", "gpt-realtime-2.1", "--trunk", place)
    steps = {**trial.first, "number-route": trial.obey, "sip-project": mend_project}
    mended = await trial.walk(*options, steps=steps)
    assert mended == [
        *("openai-api-key", "openai-webhook-secret", "webhook-reachable", "sip-project", "twilio-credentials"),
        "number-route",
    ]
    call = await trial.twilio.ring_trunk(NUMBER, scenario=SCENARIO)
    assert await call.ended() == "completed"
    assert trial.answered == ["phone"]


async def test_a_trunk_that_has_what_it_was_told_before(trial: Trial, declare: Callable[[str], str]) -> None:
    async def prune(fix: str) -> None:
        assert "--prune" in fix
        await trial.obey(fix)

    await trial.set_credentials("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
    place = declare("proj_abc123")
    await trial.obey(f"`realtime-sip twilio trunk apply {place}`")
    declare(PROJECT)
    options = ("--url", trial.webhook, "--trunk", place)
    mended = await trial.walk(*options, steps={**trial.first, "sip-project": prune})
    assert mended == ["openai-api-key", "openai-webhook-secret", "webhook-reachable", "sip-project"]
    assert [each["sip_url"] for trunk in trial.twilio.account.trunks.values() for each in urls_of(trunk)] == [
        f"sip:{PROJECT}@sip.api.openai.com;transport=tls"
    ]


def urls_of(trunk: dict[str, Any]) -> list[dict[str, Any]]:
    return list(trunk["origination_urls"].values())


async def test_calls_of_a_whatsapp_sender(trial: Trial) -> None:
    options = ("--url", trial.webhook, "--voice-url", trial.voice_url, "--model", "gpt-realtime-2.1")
    mended = await trial.walk(*options, "--sender", SENDER, steps={**trial.first, "whatsapp-app": trial.obey})
    assert mended == [
        *("openai-api-key", "openai-webhook-secret", "webhook-reachable", "twilio-credentials", "whatsapp-app")
    ]
    call = await trial.twilio.ring(trial.voice_url, from_="whatsapp:+5511987650001", to=SENDER, scenario=SCENARIO)
    assert await call.ended() == "completed"
    assert trial.answered == ["whatsapp"]


async def test_who_names_neither_is_told_of_both_until_one_takes_calls(trial: Trial) -> None:
    steps = {**trial.first, "whatsapp-app": trial.obey, "number-route": trial.lead_number}
    options = ("--url", trial.webhook, "--voice-url", trial.voice_url, "--model", "gpt-realtime-2.1")
    mended = await trial.walk(*options, steps=steps)
    assert mended[-2:] == ["number-route", "whatsapp-app"]
