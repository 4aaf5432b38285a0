"""`docs/first_call.md`, and in Portuguese: what it shows of its commands is what they print."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("twilio")

from served_twilio import twilio_on_a_thread

from realtime_sip.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["first_call.md", "pt/first_call/index.md"])
def test_the_trunk_of_the_page_is_made_as_it_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    (program,) = re.findall(r"^```python\n(# trunk\.py\n.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    console = re.compile(r"^\$ (realtime-sip twilio [^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    ((command, shown),) = console.findall(page)
    (number,) = re.findall(r"attach number (\S+)$", shown, flags=re.MULTILINE)
    (was,) = re.findall(r"was voice URL (\S+)$", shown, flags=re.MULTILINE)
    (tmp_path / "trunk.py").write_text(program, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "trunk", raising=False)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)

    def answer(question: str) -> str:
        sys.stdout.write(f"{question}y\n")
        return "y"

    monkeypatch.setattr(builtins, "input", answer)
    with twilio_on_a_thread() as twilio:
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", twilio.account_sid)
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", twilio.auth_token)
        for unset in ("TWILIO_API_KEY", "TWILIO_API_SECRET"):
            monkeypatch.delenv(unset, raising=False)
        twilio.account.own(number, voice_url=was)
        assert main([*command.split()[1:], "--base-url", twilio.base_url]) == 0
    assert re.sub(r"\bTK\w+", "TK…", capsys.readouterr().out) == shown
    monkeypatch.delitem(sys.modules, "trunk")
