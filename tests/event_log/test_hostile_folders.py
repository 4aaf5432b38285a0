"""Folders that others can write to, and what must not be told: pipes and links hold nobody up, and hide no caller."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from realtime_sip import EventLogFolder
from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log import EventLog, redacted_event
from realtime_sip.testing import run_virtual

NOW = 1_795_000_000.0
ANNA = "+14155550101"
posix = pytest.mark.skipif(os.name != "posix", reason="files have no such kinds and modes there")


def started(logs: EventLogFolder, call_id: str = "rtc_1") -> EventLog:
    log = logs.start(call_id, caller=ANNA, started_at=NOW)
    log.begin(consented=False)
    return log


def test_law_a_code_that_somebody_has_entered_is_withheld() -> None:
    shown = redacted_event({"type": "x", "code": 4711, "item": {"code": 4711}, "error": {"code": -32000}})
    assert shown == {"type": "x", "code": "<number>", "item": {"code": "<number>"}, "error": {"code": -32000}}


@posix
async def test_a_key_that_is_a_link_hides_no_caller(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = tmp_path / "known"
    known.write_bytes(b"x" * 32)
    logs = EventLogFolder(tmp_path / "calls")
    (logs.folder / ".key").symlink_to(known)
    log = started(logs)
    log.write({"type": "x"})
    await log.close()
    assert logs.paths() == []
    assert "OSError" in caplog.text
    with pytest.raises(OSError, match="symbolic"):
        logs.delete_caller(ANNA)


@posix
@pytest.mark.parametrize("writer", [False, True])
async def test_a_pipe_in_the_place_of_the_key_holds_nobody_up(tmp_path: Path, writer: bool) -> None:
    logs = EventLogFolder(tmp_path)
    os.mkfifo(tmp_path / ".key")
    held = os.open(tmp_path / ".key", os.O_RDWR | os.O_NONBLOCK) if writer else None
    try:
        with pytest.raises(OSError, match="damaged"):
            logs.delete_caller(ANNA)
        log = started(logs)
        log.write({"type": "x"})
        await log.close()
        assert logs.paths() == []
    finally:
        if held is not None:
            os.close(held)


@posix
def test_a_pipe_in_the_place_of_a_log_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def call_goes_on() -> None:
        logs = EventLogFolder(tmp_path)
        log = started(logs)
        log.write({"type": "x"})
        await asyncio.sleep(1)
        log.path.unlink()
        os.mkfifo(log.path)
        log.write({"type": "x"})
        await log.close()
        assert logs.paths() == []

    run_virtual(call_goes_on())
    assert [record.getMessage() for record in caplog.records] == [
        "call rtc_1: the event log can no longer be written: OSError"
    ]


@posix
@pytest.mark.parametrize(("mode", "warned"), [(0o777, True), (0o775, True), (0o755, False), (0o700, False)])
def test_a_folder_that_others_can_write_to_is_told_of(
    tmp_path: Path, mode: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    folder.chmod(mode)
    EventLogFolder(folder)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert str(tmp_path) not in caplog.text
    assert stat.S_IMODE(folder.stat().st_mode) == mode


@pytest.mark.parametrize("caller", ["4155550101", "0014155550101", "anna", "", f"whatsapp:{ANNA}"])
async def test_a_deletion_that_could_find_nobody_does_not_look_like_one_that_found_nothing(
    tmp_path: Path, caller: str
) -> None:
    logs = EventLogFolder(tmp_path)
    log = started(logs)
    log.write({"type": "x"})
    await log.close()
    with pytest.raises(ConfigurationError, match=r"E\.164") as refused:
        logs.delete_caller(caller)
    assert caller == "" or caller not in str(refused.value)
    assert logs.delete_caller(ANNA) == 1
