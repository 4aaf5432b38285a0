"""The command `realtime-sip twilio trunk`: what it shows, what it asks, what it changes, and its exit status."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("twilio")

from served_twilio import twilio_on_a_thread

from realtime_sip.cli import main
from realtime_sip.testing import TwilioEmulator

NUMBER = "+14155550199"
_names = (f"shop_{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def served() -> Iterator[TwilioEmulator]:
    with twilio_on_a_thread() as twilio:
        yield twilio


class Command:
    """The command in a folder that has the program's trunks."""

    def __init__(self, twilio: TwilioEmulator, name: str) -> None:
        self.twilio, self.name = twilio, name

    def __call__(self, action: str, *more: str) -> int:
        return main(["twilio", "trunk", action, f"{self.name}.trunks:MAIN", "--base-url", self.twilio.base_url, *more])


@pytest.fixture
def command(served: TwilioEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    name = next(_names)  # a module is imported once in a process
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "trunks.py").write_text(
        "from realtime_sip.twilio import trunking\n"
        f"MAIN = trunking.for_openai('proj_abc', friendly_name='Shop', numbers=['{NUMBER}'])\n"
        "OTHER = 7\n"
    )
    (folder / "broken.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", served.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", served.auth_token)
    for unset in ("TWILIO_API_KEY", "TWILIO_API_SECRET"):
        monkeypatch.delenv(unset, raising=False)
    served.account.trunks.clear()
    served.account.numbers.clear()
    served.account.own(NUMBER)
    return Command(served, name)


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> list[str]:
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", reply)
    return asked


def test_a_trunk_is_planned_applied_verified_and_deleted(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("plan") == 0
    plan = capsys.readouterr().out
    assert plan.startswith("trunk Shop (new)\n  + trunk ")
    assert command("verify") == 1
    assert "the trunk is not there" in capsys.readouterr().out
    assert command.twilio.account.trunks == {}
    asked = answering(monkeypatch, "y")
    assert command("apply") == 0
    out = capsys.readouterr().out
    assert out.startswith(plan)
    assert f"… attach number {NUMBER}\n" in out
    assert out.endswith("): ok\n")
    assert command("apply") == 0
    assert "nothing to do" in capsys.readouterr().out
    assert asked == ["Apply this? [y/N] "], "nobody is asked about nothing"
    assert command("verify") == 0
    assert command("delete") == 0
    assert f"{NUMBER} stays, and goes on costing 1.15 USD a month" in capsys.readouterr().out
    assert command.twilio.account.trunks == {}
    assert command("delete") == 0
    assert capsys.readouterr().out == "trunk Shop is not there\n"
    assert len(asked) == 2


@pytest.mark.parametrize("answer", ["", "n", "what?"])
def test_without_a_yes_nothing_is_changed(command: Command, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    answering(monkeypatch, answer)
    assert command("apply") == 1
    assert command.twilio.account.trunks == {}
    assert command("apply", "--yes") == 0
    assert command("delete") == 1
    assert len(command.twilio.account.trunks) == 1


def test_json_is_for_programs(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(action: str, *more: str, status: int = 0) -> Any:
        assert command(action, "--json", *more) == status
        return json.loads(capsys.readouterr().out)

    assert [step["kind"] for step in shown("plan")["steps"]] == ["trunk", "origination URL", "number"]
    assert shown("verify", status=1)["ok"] is False
    applied = shown("apply", "--yes")
    assert (len(applied["done"]), applied["ok"]) == (3, True)
    assert shown("verify")["ok"] is True
    assert shown("delete", "--yes")["numbers"][0]["phone_number"] == NUMBER
    for action in ("apply", "delete"):
        assert command(action, "--json") == 2
        assert "pass --yes" in capsys.readouterr().err
    command.twilio.account.numbers.clear()
    assert "not a number of this account" in shown("apply", "--yes", status=1)["findings"][0]["text"]


def test_what_cannot_be_applied_is_said_and_not_asked(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    command.twilio.account.numbers.clear()
    assert command("plan") == 1
    assert command("apply") == 1
    assert "not a number of this account" in capsys.readouterr().out


def test_where_nobody_can_be_asked_nothing_is_done(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("apply") == 2
    assert "pass --yes" in capsys.readouterr().err
    assert command.twilio.account.trunks == {}


def test_a_failure_in_the_middle_says_what_to_do_and_the_next_apply_goes_on(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    command.twilio.fail("OriginationUrls", status=400, code=21245)
    assert command("apply", "--yes") == 1
    assert "apply again to go on" in capsys.readouterr().err
    assert command("apply", "--yes") == 0
    (trunk,) = command.twilio.account.trunks.values()
    assert len(trunk["origination_urls"]) == 1


def test_prune_lets_go_what_is_not_declared(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("apply", "--yes") == 0
    (trunk,) = command.twilio.account.trunks.values()
    (url,) = trunk["origination_urls"].values()
    trunk["origination_urls"]["OU" + "0" * 32] = {**url, "sid": "OU" + "0" * 32, "sip_url": "sip:old.example.com"}
    assert command("apply", "--yes") == 0
    assert len(trunk["origination_urls"]) == 2
    assert command("apply", "--yes", "--prune") == 0
    assert len(trunk["origination_urls"]) == 1
    assert command("verify", "--prune") == 2
    assert "--prune is for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("shop", "MODULE:NAME"),
        ("shop:", "MODULE:NAME"),
        ("a_module_that_is_nowhere:MAIN", "there is no module"),
        ("{}.nowhere:MAIN", "there is no module"),
        ("{}.trunks:OTHER", "is not a Trunk"),
        ("{}.trunks:NONE", "is not a Trunk"),
    ],
)
def test_what_is_no_trunk_could_not_be_tried(
    command: Command, capsys: pytest.CaptureFixture[str], place: str, says: str
) -> None:
    assert main(["twilio", "trunk", "plan", place.format(command.name)]) == 2
    assert says in capsys.readouterr().err


def test_what_the_programs_own_module_lacks_is_said_with_its_place(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["twilio", "trunk", "plan", f"{command.name}.broken:MAIN"]) == 2
    said = capsys.readouterr().err
    assert f"importing {command.name}.broken raises ModuleNotFoundError, a_module_that_is_not_there in " in said
    assert "broken.py:" in said


def test_without_an_account_nothing_is_tried(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWILIO_ACCOUNT_SID")
    assert command("plan") == 2
    assert "TWILIO_ACCOUNT_SID" in capsys.readouterr().err
