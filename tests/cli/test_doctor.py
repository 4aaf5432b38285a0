"""The command `realtime-sip doctor` against both emulators: what it asks, prints, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

pytest.importorskip("twilio")

from flask import Flask, request
from served_twilio import twilio_on_a_thread

from realtime_sip import AsyncRealtimeSip, IncomingCall, RealtimeSip, ThreadCallHost
from realtime_sip.cli import main
from realtime_sip.cli.doctor.examination import Examination, examined
from realtime_sip.integrations.flask import openai_webhook, twilio_webhook
from realtime_sip.testing import OpenAIEmulator, TwilioEmulator
from realtime_sip.testing.on_thread import EmulatorOnThread
from realtime_sip.testing.openai.models import PROJECT
from realtime_sip.twilio import TwilioAccount, TwilioSignature, trunking, twiml
from realtime_sip.twilio.webhooks import VoiceWebhook
from realtime_sip.webhooks import WebhookVerificationError
from serving import serving_wsgi

NUMBER = "+14155550199"
KEY = "sk-proj-0123456789abcdef"
OURS = ("OPENAI_", "TWILIO_", "REALTIME_SIP_", "WEB_CONCURRENCY", "UVICORN_WORKERS", "GUNICORN_CMD_ARGS")

Doctor = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAIEmulator]:
    with EmulatorOnThread(OpenAIEmulator(api_key=KEY)) as running:
        yield running.emulator


@pytest.fixture(scope="module")
def twilio() -> Iterator[TwilioEmulator]:
    with twilio_on_a_thread() as running:
        yield running


@pytest.fixture(autouse=True)
def _environment(openai: OpenAIEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", openai.webhook_secret)
    monkeypatch.setenv("OPENAI_BASE_URL", openai.base_url)


@pytest.fixture
def account(twilio: TwilioEmulator, monkeypatch: pytest.MonkeyPatch) -> TwilioEmulator:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", twilio.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", twilio.auth_token)
    there = twilio.account
    there.is_trial = False
    for kept in (there.numbers, there.trunks, there.whatsapp.senders, there.whatsapp.applications, there.settings):
        kept.clear()
    there.rules.clear()
    return twilio


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], twilio: TwilioEmulator, openai: OpenAIEmulator) -> Doctor:
    """Run the command with --json, and return the findings by name; the last of several of a name."""

    def run(*options: str, status: int = 0) -> dict[str, dict[str, Any]]:
        done = main(["doctor", "--json", "--twilio-base-url", twilio.base_url, *options])
        out = capsys.readouterr().out
        shown = json.loads(out)
        assert done == status, out
        assert shown["ok"] is (status == 0)
        for secret in (KEY, openai.webhook_secret, twilio.auth_token, NUMBER):
            assert secret not in out
        return {each["name"]: each for each in shown["findings"]}

    return run


@pytest.fixture
def endpoints(openai: OpenAIEmulator) -> Iterator[RealtimeSip]:
    """Return a client of a project that has no webhook endpoint, and has none in the end."""
    with RealtimeSip(KEY, base_url=openai.base_url) as client:
        yield client
        for each in client.webhook_endpoints.list().data:
            client.webhook_endpoints.delete(each.id)


async def on_call(incoming: IncomingCall) -> None:
    raise AssertionError("no call is announced by a doctor")


@pytest.fixture
def shop(openai: OpenAIEmulator, twilio: TwilioEmulator) -> Iterator[str]:
    """Serve an application of Flask's that has both webhooks, and return its URL."""
    client = AsyncRealtimeSip(KEY, webhook_secret=openai.webhook_secret, base_url=openai.base_url)
    host = ThreadCallHost(on_call, client=client)

    def voice(call: VoiceWebhook) -> twiml.VoiceResponse:
        return twiml.dial_openai(PROJECT, voice=call, action="/twilio/after_dial", refer_url="/twilio/refer")

    app = Flask("shop")
    app.register_blueprint(openai_webhook(host, path="/openai/webhook"))
    with serving_wsgi(app) as url:
        signature = TwilioSignature(twilio.auth_token, public_url=url)
        app.register_blueprint(twilio_webhook(signature, path="/twilio", voice=voice))
        yield url
    host.close()


def levels(found: dict[str, dict[str, Any]], *names: str) -> list[str]:
    return [found[name]["level"] for name in names]


# --- everything is right ----------------------------------------------------------------------------------------------


def test_what_is_right_is_said_to_be(
    doctor: Doctor, openai: OpenAIEmulator, account: TwilioEmulator, endpoints: RealtimeSip, shop: str
) -> None:
    voice, webhook = f"{shop}/twilio/voice", f"{shop}/openai/webhook"
    made = endpoints.webhook_endpoints.create(name="shop", url=webhook)
    assert made.signing_secret is not None
    account.account.own(NUMBER, voice_url=voice)
    app = "AP" + "1" * 32
    account.account.whatsapp.applications[app] = {"sid": app, "voice_url": voice, "voice_method": "POST"}
    account.account.whatsapp.own(f"whatsapp:{NUMBER}", application_sid=app)
    found = doctor("--url", webhook, "--voice-url", voice, "--model", "gpt-realtime-2.1")
    right = [
        *("openai-api-key", "openai-webhook-secret", "twilio-credentials", "key-works", "project", "clock", "model"),
        *("webhook-endpoint", "webhook-reachable", "webhook-clock", "webhook-forged", "webhook-signed", "webhook-old"),
        *("voice-reachable", "voice-forged", "voice-signed", "twiml", "refer", "sip-uri", "sip-project"),
        *("twilio-works", "twilio-account", "number-route", "whatsapp-sender", "whatsapp-app", "webhook-configuration"),
    ]
    assert {name: found[name]["level"] for name in right if found[name]["level"] != "ok"} == {}
    assert found["project"]["found"] == f"the key belongs to {PROJECT}"
    assert "whoever answers has the secret" in found["webhook-signed"]["found"]
    assert found["webhook-secret-hint"]["level"] == "warning", "the emulator's own secret is not that endpoint's"


def test_the_same_as_text(capsys: pytest.CaptureFixture[str], shop: str) -> None:
    assert main(["doctor", "--url", f"{shop}/openai/webhook"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("Environment\n  ok           openai-api-key: ")
    assert "\n  error        webhook-endpoint: no webhook endpoint of the project is for realtime.call.incoming" in out
    assert "\n               → Make one for realtime.call.incoming in the project's settings" in out
    assert out.endswith("not checked\n")
    assert "\x1b" not in out


# --- nothing leaves the machine ---------------------------------------------------------------------------------------


def test_offline_asks_nobody(doctor: Doctor, openai: OpenAIEmulator, account: TwilioEmulator) -> None:
    before = len(openai.requests), len(account.rest_requests)
    found = doctor(
        "--offline", "--model", "gpt-realtime", "--sip-uri", f"sip:{PROJECT}@sip.api.openai.com;transport=tls"
    )
    assert levels(found, "key-works", "twilio-works", "sip-uri") == ["not checked", "not checked", "ok"]
    assert "2027-01-20" in found["model"]["found"]
    assert (len(openai.requests), len(account.rest_requests)) == before


def test_offline_a_url_of_this_machine_is_asked_and_no_other(
    doctor: Doctor, shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor("--offline", "--url", f"{shop}/openai/webhook")["webhook-signed"]["level"] == "ok"
    assert main(["doctor", "--offline", "--url", "https://voice.example.com/openai/webhook"]) == 2
    assert "no URL is asked that is not on this machine" in capsys.readouterr().err


def test_nothing_is_changed(doctor: Doctor, openai: OpenAIEmulator, account: TwilioEmulator) -> None:
    before = len(openai.requests)
    account.account.own(NUMBER, voice_url="https://voice.example.com/twilio/voice")
    doctor("--model", "gpt-realtime-2.1", status=1)
    assert {request.operation for request in openai.requests[before:]} == {"models", "webhook_endpoints"}
    assert {request.method for request in account.rest_requests} == {"GET"}


# --- OpenAI -----------------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_taken(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-another-key")
    found = doctor("--model", "gpt-realtime-2.1", status=1)
    assert found["key-works"]["level"] == "error"
    assert "refuses the key (401)" in found["key-works"]["found"]
    assert found["model"]["level"] == "not checked"


def test_a_key_that_cannot_be_one_is_not_sent(
    doctor: Doctor, openai: OpenAIEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", openai.webhook_secret)
    before = len(openai.requests)
    assert levels(doctor(status=1), "openai-api-key", "key-works") == ["error", "not checked"]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_PROJECT_ID", "'proj_a'")
    assert levels(doctor(status=1), "openai-project-id", "key-works") == ["error", "not checked"]
    assert len(openai.requests) == before


def test_an_outage_is_not_waited_for_longer_than_asked(doctor: Doctor, openai: OpenAIEmulator) -> None:
    openai.fail("models", how="no answer")
    found = doctor("--timeout", "0.2", status=1)
    assert "OpenAI cannot be reached" in found["key-works"]["found"]


def test_endpoints_that_may_not_be_read(doctor: Doctor, openai: OpenAIEmulator) -> None:
    openai.fail("webhook_endpoints", status=403)
    found = doctor()
    assert levels(found, "key-works", "webhook-endpoint") == ["ok", "not checked"]


def test_the_endpoints_of_a_project_are_held_against_the_url(doctor: Doctor, endpoints: RealtimeSip, shop: str) -> None:
    url = f"{shop}/openai/webhook"
    endpoints.webhook_endpoints.create(name="old", url="https://old.example.com/hook")
    assert levels(doctor("--url", url), "webhook-endpoint", "webhook-signed") == ["note", "ok"]
    endpoints.webhook_endpoints.create(name="new", url=url)
    endpoints.webhook_endpoints.create(name="again", url=url)
    found = doctor("--url", url)
    assert levels(found, "webhook-endpoint", "webhook-endpoints-twice") == ["ok", "warning"]


def test_a_secret_of_the_endpoint_fits_its_hint(
    doctor: Doctor, endpoints: RealtimeSip, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = endpoints.webhook_endpoints.create(name="shop", url="https://voice.example.com/hook")
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", made.signing_secret or "")
    assert doctor()["webhook-secret-hint"]["level"] == "ok"


@pytest.mark.parametrize("behind", [1000.0, -1000.0])
def test_a_clock_of_this_machine_that_is_off_is_not_blamed_on_the_server(shop: str, behind: float) -> None:
    what = Examination(url=f"{shop}/openai/webhook")
    found = {each.name: each for each in examined(what, os.environ, lambda: time.time() - behind)}
    assert [found[name].level.value for name in ("clock", "webhook-clock", "webhook-signed")] == ["error", "ok", "ok"]
    assert "that of OpenAI" in found["webhook-clock"].found


# --- Twilio -----------------------------------------------------------------------------------------------------------


def test_credentials_of_twilio_that_are_not_taken(
    doctor: Doctor, account: TwilioEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "f" * 32)
    found = doctor(status=1)
    assert "refuses the credentials (401)" in found["twilio-works"]["found"]


def test_a_trial_account_and_a_number_of_somebody_else(
    doctor: Doctor, account: TwilioEmulator, endpoints: RealtimeSip
) -> None:
    account.account.is_trial = True
    found = doctor("--number", NUMBER, status=1)
    assert levels(found, "twilio-account", "number") == ["warning", "error"]


def test_a_trunk_of_the_number_and_its_origination_urls(doctor: Doctor, account: TwilioEmulator) -> None:
    account.account.own(NUMBER)
    with TwilioAccount(base_url=account.base_url) as provisioning:
        provisioning.trunks.apply(trunking.for_openai("proj_other", friendly_name="Shop", numbers=[NUMBER]))
    (trunk,) = account.account.trunks.values()
    trunk["transfer_mode"] = "disable-all"
    (url,) = trunk["origination_urls"].values()
    url["sip_url"] = "sip:proj_other@sip.api.openai.com"
    found = doctor(status=1)
    assert levels(found, "trunk", "refer", "sip-transport", "sip-project") == ["ok", "warning", "error", "error"]


def test_a_declared_trunk_is_verified(
    doctor: Doctor, account: TwilioEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "doctors_trunks.py").write_text(
        "from realtime_sip.twilio import trunking\n"
        f"MAIN = trunking.for_openai('proj_abc', friendly_name='Shop', numbers=['{NUMBER}'])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = doctor("--trunk", "doctors_trunks:MAIN", status=1)
    assert found["trunk-declared"]["level"] == "error"
    assert "the trunk Shop" in found["trunk-declared"]["found"]
    assert main(["doctor", "--trunk", "doctors_trunks:OTHER"]) == 2


def test_a_rule_of_the_webhook_configuration_is_said(doctor: Doctor, account: TwilioEmulator) -> None:
    voice = "https://voice.example.com/twilio/voice"
    account.account.own(NUMBER, voice_url=voice)
    account.account.rules.append({"id": "r1", "matchType": "DEFAULT", "settings": [{"settingId": "s1"}]})
    account.account.settings["s1"] = {"id": "s1", "signature": {"sharedKeyId": "k1"}}
    found = doctor(status=1)
    assert "the shared key k1" in found["webhook-configuration"]["found"]


def test_a_voice_url_that_has_another_token(doctor: Doctor, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "e" * 32)
    found = doctor("--offline", "--voice-url", f"{shop}/twilio/voice", status=1)
    assert levels(found, "voice-forged", "voice-signed") == ["ok", "error"]
    monkeypatch.delenv("TWILIO_AUTH_TOKEN")
    assert doctor("--offline", "--voice-url", f"{shop}/twilio/voice")["voice-signed"]["level"] == "not checked"


def test_a_voice_url_is_asked_as_whatsapp_does_if_a_sender_is_named(doctor: Doctor, account: TwilioEmulator) -> None:
    dial = "<Response><Dial callerId='{}' action='/a' referUrl='/r'><Sip>sip:a@pbx.example.com</Sip></Dial></Response>"
    asked: list[tuple[str, str]] = []
    app = Flask("naive")

    @app.post("/voice")
    def voice() -> tuple[str, int, dict[str, str]]:
        try:
            signature = TwilioSignature(account.auth_token, public_url=request.host_url.rstrip("/"))
            signature.verify("/voice", request.get_data(), request.headers, method="POST")
        except WebhookVerificationError:
            return "", 403, {}
        form = parse_qs(request.get_data(as_text=True))
        asked.append((form["From"][0], form["To"][0]))
        return dial.format(form["From"][0]), 200, {"content-type": "text/xml"}

    with serving_wsgi(app) as url:
        found = doctor("--offline", "--voice-url", f"{url}/voice", "--sender", NUMBER, status=1)
        assert "has a colon" in found["caller-id"]["found"]
        doctor("--offline", "--voice-url", f"{url}/voice", "--sender", "XE" + "0" * 32, status=1)
        assert "caller-id" not in doctor("--offline", "--voice-url", f"{url}/voice", "--number", NUMBER)
    nobody = "+15005550006"
    assert asked == [
        (f"whatsapp:{nobody}", f"whatsapp:{NUMBER}"),
        (f"whatsapp:{nobody}", f"whatsapp:{nobody}"),
        (nobody, NUMBER),
    ]


def test_a_token_that_cannot_be_one_signs_nothing(doctor: Doctor, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "'quoted'")
    assert (
        doctor("--offline", "--voice-url", f"{shop}/twilio/voice", status=1)["voice-signed"]["level"] == "not checked"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--url", "voice.example.com"),
        ("--url", "https://voice.example.com/a b"),
        ("--url", "https://voice.example.com:99999"),
        ("--number", "4155550100"),
        ("--timeout", "0"),
        ("--sender", "551130000001"),
        ("--application-sid", "AP123"),
        ("--model", " "),
        ("--twilio-base-url", "127.0.0.1:8000"),
    ],
)
def test_options_that_make_no_sense(options: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["doctor", "--offline", *options])
    assert error.value.code == 2


def test_a_sender_may_be_named_by_its_number(doctor: Doctor, account: TwilioEmulator) -> None:
    account.account.whatsapp.own(f"whatsapp:{NUMBER}")
    assert doctor("--sender", NUMBER, status=1)["whatsapp-app"]["level"] == "error"


def test_a_proxy_that_no_client_can_use_is_an_error(
    doctor: Doctor, account: TwilioEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    monkeypatch.setenv("https_proxy", "ftp://user:the-password@127.0.0.1:9")
    found = doctor(status=1)
    assert "the proxy of the environment" in found["key-works"]["found"]
    assert found["key-works"]["level"] == "error"
    assert "the-password" not in str(found)


def test_a_trunk_that_cannot_be_imported_could_not_be_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "doctors_broken.py").write_text("raise RuntimeError('the-password')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert main(["doctor", "--offline", "--trunk", "doctors_broken:MAIN"]) == 2
    err = capsys.readouterr().err
    assert "importing doctors_broken raises RuntimeError in <module> (" in err
    assert "doctors_broken.py:1)" in err
    assert "the-password" not in err


def test_a_package_without_which_nothing_can_be_imported_is_named() -> None:
    without = "import sys; sys.modules['pydantic'] = None"
    program = f"{without}; from realtime_sip.cli import main; sys.exit(main(['doctor', '--json']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    (said,) = json.loads(done.stdout)["findings"]
    assert said["name"] == "packages"
    assert said["found"].startswith("realtime-sip cannot be imported: pydantic is missing or too old")
    assert "pip install --upgrade" in said["fix"]


def test_without_twilios_package_it_is_not_checked(
    doctor: Doctor, account: TwilioEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "realtime_sip.twilio.account", raising=False)
    monkeypatch.delitem(sys.modules, "realtime_sip.twilio.http", raising=False)
    monkeypatch.setitem(sys.modules, "twilio.http", None)
    found = doctor(status=1)
    assert "realtime-sip[twilio]" in found["twilio-works"]["found"]
