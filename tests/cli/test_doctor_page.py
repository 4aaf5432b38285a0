"""The page on `realtime-sip doctor` shows what it prints, and names each of its checks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from realtime_sip import AsyncRealtimeSip, IncomingCall, ThreadCallHost
from realtime_sip.cli import main
from realtime_sip.cli.doctor.environment import SECRETS
from realtime_sip.integrations.flask import openai_webhook
from serving import serving_wsgi

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "src" / "realtime_sip" / "cli" / "doctor").glob("*.py")
)
LISTED = {
    name
    for row in re.findall(r"^\| (`[a-z`, -]+`) \|", PAGE, flags=re.MULTILINE)
    for name in re.findall(r"`([a-z]+(?:-[a-z]+)*)`", row)
}
OF_VARIABLES = {name.lower().replace("_", "-") for name in re.findall(r"`((?:TWILIO|OPENAI)_[A-Z_]+)`", SOURCES)} | {
    *("twilio-account-sid", "twilio-auth-token", "twilio-api-key", "twilio-api-secret"),
    *("openai-org-id", "openai-project-id"),
}


@pytest.fixture
def other_secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "TWILIO_", *SECRETS, "WEB_CON"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-proj-example-of-a-key")
    monkeypatch.setenv("OPENAI_WEBHOOK_SECRET", "whsec_dGhlIHNlY3JldCB0aGF0IHRoZSBzaGVsbCBoYXMuLi4=")

    async def on_call(incoming: IncomingCall) -> None:
        raise AssertionError

    client = AsyncRealtimeSip("sk-test", webhook_secret="whsec_dGhlIHNlcnZlcidz", base_url="http://127.0.0.1:9/v1")
    host = ThreadCallHost(on_call, client=client)
    app = Flask("shop")
    app.register_blueprint(openai_webhook(host, path="/openai/webhook"))
    with serving_wsgi(app) as url:
        yield f"{url}/openai/webhook"
    host.close()


def test_what_the_page_shows_is_what_is_printed(other_secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--offline", "--url", other_secret]) == 1
    shown = re.sub(r"Packages\n.*?\n\n", "", capsys.readouterr().out, flags=re.DOTALL)
    (block,) = re.findall(r"^```text\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert shown == block


async def test_the_emulators_of_the_page_are_what_doctor_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("twilio")
    (emulated,) = re.findall(r"^```python\n(# emulated\.py\n.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    lines: asyncio.Queue[str] = asyncio.Queue()
    written: dict[str, Any] = {"__name__": "emulated", "print": lambda line, **_: lines.put_nowait(line)}
    exec(emulated, written)
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "TWILIO_", *SECRETS))]:
        monkeypatch.delenv(name)
    running = asyncio.create_task(written["main"]())
    try:
        shown = [await asyncio.wait_for(lines.get(), 10) for _ in range(3)]
        for name, value in re.findall(r"(\w+)=(\S+)", " ".join(shown[:2])):
            monkeypatch.setenv(name, value)
        command = shlex.split(shown[2])[1:]
        assert await asyncio.to_thread(main, [*command, "--json"]) == 1
    finally:
        running.cancel()
        await asyncio.wait([running])
    found = {each["name"]: each["level"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert {name for name, level in found.items() if level == "error"} == {
        *("openai-webhook-secret", "webhook-endpoint", "number-route", "whatsapp-app")
    }


def test_each_check_is_on_the_page_and_nothing_else_is() -> None:
    made = set(
        re.findall(r'(?:report\(|\b(?:name|check)(?:, \w+)* = |Group\.[A-Z]+, |\(_report, )"([a-z-]+)"', SOURCES)
    )
    assert made | OF_VARIABLES <= LISTED
    assert {name for name in LISTED - OF_VARIABLES if f'"{name}"' not in SOURCES} == set()


def test_each_option_is_on_the_page() -> None:
    for option in re.findall(r'add_argument\(\s*"(--[a-z-]+)"', SOURCES):
        assert f"`{option}" in PAGE or option == "--twilio-base-url", option
