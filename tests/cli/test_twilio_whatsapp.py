"""The command `realtime-sip twilio whatsapp`: what it shows, what it asks, what it changes, and its exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("twilio")

from served_twilio import twilio_on_a_thread

from realtime_sip.cli import main
from realtime_sip.testing import TwilioEmulator

SENDER, VOICE = "whatsapp:+551130000001", "https://voice.example.com/twilio/voice"


@pytest.fixture(scope="module")
def served() -> Iterator[TwilioEmulator]:
    with twilio_on_a_thread() as twilio:
        yield twilio


@pytest.fixture
def command(served: TwilioEmulator, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", served.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", served.auth_token)
    for unset in ("TWILIO_API_KEY", "TWILIO_API_SECRET"):
        monkeypatch.delenv(unset, raising=False)
    served.account.whatsapp.senders.clear()
    served.account.whatsapp.updates = 0
    return lambda *words: main(["twilio", "whatsapp", *words, "--base-url", served.base_url])


def test_calls_are_switched_on_and_off(
    command: Callable[..., int], served: TwilioEmulator, capsys: pytest.CaptureFixture[str]
) -> None:
    sid = served.account.whatsapp.own(SENDER)
    assert command("status") == 1
    assert capsys.readouterr().out == f"{SENDER} ({sid}): ONLINE, calls off; 1K Customers/24hr, quality HIGH\n"
    assert command("activate", SENDER, "--voice-url", VOICE, "--yes") == 0
    out = capsys.readouterr().out
    assert f"~ calls on: {VOICE}" in out
    assert "… waiting until it is online" in out
    assert command("status", SENDER, "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["takes_calls"], shown["sender_id"]) == (True, SENDER)
    assert command("deactivate", sid, "--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out)[0]["application_sid"] is None


def test_nothing_is_changed_without_a_yes(
    command: Callable[..., int], served: TwilioEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = served.account.whatsapp.own(SENDER, application_sid="AP" + "0" * 32)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _question: "")
    assert command("deactivate", SENDER) == 1
    assert served.account.whatsapp.senders[sid]["configuration"]["voice_application_sid"] is not None
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert command("deactivate", SENDER) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["activate"],
        ["activate", SENDER, "--yes"],
        ["activate", SENDER, "--json"],
        ["deactivate", SENDER, "--voice-url", VOICE],
        ["status", "nobody"],
    ],
)
def test_what_makes_no_sense_is_not_tried(
    command: Callable[..., int], served: TwilioEmulator, words: list[str]
) -> None:
    served.account.whatsapp.own(SENDER)
    assert command(*words) == 2


def test_an_account_without_senders_says_so(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("status") == 1
    assert capsys.readouterr().out == "the account has no WhatsApp sender\n"
