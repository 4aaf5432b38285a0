"""The folder of event logs: whose calls are logged and how, retention, and deletion."""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import os
import re
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from realtime_sip.errors import ConfigurationError
from realtime_sip.event_log.entries import MAX_HEADER, MAX_LOG, read_header
from realtime_sip.event_log.file import LogFile, caller_hash, read_key
from realtime_sip.event_log.writer import END_ROOM, EventLog
from realtime_sip.sip.address import e164

_log = logging.getLogger("realtime_sip.event_log")

_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_FILE = re.compile(r"([0-9]{8}T[0-9]{9})Z\.([A-Za-z0-9_-]{1,100}|~[0-9a-f]{32})\.jsonl")
_LEAST_BYTES = 4 * END_ROOM


class EventLogFolder:
    """The event logs of calls, one file a call, in a folder of their own.

    The name of a file has the time at which the call began, and the call's id. Only the user can read it (0600), and
    the folder (0700) if it is made here. A folder that exists stays as it is, and a warning is logged if others may
    write to
    it: they could delete logs, or plant a key that they know. Several processes may share the folder. Methods that read
    or delete block; in a running event loop, call them in a thread.

    Nothing is deleted by itself: have `prune` called daily, by cron or a scheduler of your own.

    Notice and consent: with `answer(…, consent=…)`, the program is asked once for each call, when it is up and before
    the block begins. Nothing is logged or kept until that returns True. If it returns anything else, or raises, the
    call is never logged:

        async def consent(call: Call) -> bool:
            notice = "Say that we keep a record of this call, and that the caller can press 1 to agree."
            return (await call.collect_digits(notice, max_digits=1)).digits == "1"

    Without `consent` every call that is answered with these logs is logged. You have to know which notice the law
    requires in your callers' countries, and whether a log without it may be kept.

    A redacted log has a keyed hash of the caller's number, ids, times, counts and the course of the call, but nobody's
    words. An unredacted one has everything that was said and sent: transcripts, instructions, the arguments and outputs
    of tools, the keys that were pressed, and any audio in the events. Neither has the headers of the INVITE.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        redact: bool = True,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        """Use a folder, and make it if it is missing.

        Args:
            folder: Where the logs are. It should hold nothing else.
            redact: Whether to withhold words, numbers and keys.
            max_bytes: Bytes of one log at most, 32 KiB to 64 MiB. A full one ends with `call.log_full` and the end of
                the call.

        Raises:
            ConfigurationError: The folder cannot be made or is not a folder, or `max_bytes` is out of range.
        """
        if not _LEAST_BYTES <= max_bytes <= MAX_LOG:
            raise ConfigurationError(f"max_bytes must be from {_LEAST_BYTES} to {MAX_LOG}")
        self.folder = Path(folder)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = self.folder.stat().st_mode
        except OSError as error:
            raise ConfigurationError(f"cannot make the folder of the event logs: {type(error).__name__}") from None
        if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
            _log.warning("others than its owner can write to the folder of the event logs")
        self._redact = redact
        self._max_bytes = max_bytes
        # An executor of its own, because a disk that hangs would use up the loop's threads, which also resolve names.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="realtime-sip-event-log")

    def start(self, call_id: str, *, caller: str | None, started_at: float) -> EventLog:
        """Return the log of a call, on the running loop. Nothing is written before it begins.

        Args:
            call_id: The call's id.
            caller: The caller's number, or None if it is not known.
            started_at: Unix seconds, now.
        """
        moment = datetime.fromtimestamp(started_at, UTC)
        path = self.folder / f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z.{_safe(call_id)}.jsonl"
        file = LogFile(path=path, call_id=call_id, caller=caller, started_at=started_at, redacted=self._redact)
        return EventLog(file, executor=self._executor, max_bytes=self._max_bytes)

    def paths(self) -> list[Path]:
        """Return the files of all logs, the oldest call first.

        Raises:
            OSError: The folder cannot be read.
        """
        with os.scandir(self.folder) as found:
            names = [entry.name for entry in found if _is_log(entry)]
        return [self.folder / name for name in sorted(names)]

    def prune(self, *, older_than: float, now: float | None = None) -> int:
        """Delete the logs of calls that began more than `older_than` seconds ago; return how many.

        How long logs may be kept depends on the caller's rights and your purposes; only your own scheduler calls this.
        `now` is in Unix seconds, by default the current time. If a call still goes on, its log ends here.

        Raises:
            ConfigurationError: `older_than` is not a number of seconds, 0 or more.
            OSError: A log could not be deleted. All others were.
        """
        if not 0 <= older_than < 1e11:
            raise ConfigurationError("older_than must be a number of seconds, 0 or more")
        before = (time.time() if now is None else now) - older_than
        return self._delete(lambda path: _began(path) < before)

    def delete_caller(self, caller: str) -> int:
        """Delete all logs of a caller, given by the number in E.164; return how many.

        The files do not hold the number, but its HMAC-SHA256 under a random key, which is in the folder's `.key`.
        Whoever gets a log without that key cannot tell who called, nor that logs in two folders are of one caller.
        Whoever has both can try all numbers in minutes: this is pseudonymization, not anonymization. If the key is
        lost, older logs cannot be found here.

        If the caller withheld the number, or has none, as from a SIP address, only `delete_call` finds the log. If a
        call still goes on, its log ends here, unless its caller is still being asked for consent: then it may begin
        later. What the program keeps elsewhere, it has to delete itself.

        Raises:
            ConfigurationError: The number is not in E.164, so nothing could ever be found.
            OSError: The key cannot be read, or a log could not be read or deleted. All others were.
        """
        if e164(caller) is None:
            raise ConfigurationError("the caller must be a number in E.164, with + and country code")
        key = read_key(self.folder)
        if key is None:
            return 0
        wanted = caller_hash(caller, key)
        return self._delete(lambda path: hmac.compare_digest(_caller(path), wanted))

    def delete_call(self, call_id: str) -> int:
        """Delete the logs of a call (several if another process took the call over); return how many.

        Raises:
            OSError: A log could not be deleted. All others were.
        """
        name = _safe(call_id)
        return self._delete(lambda path: path.name.split(".")[1] == name)

    def _delete(self, meant: Callable[[Path], bool]) -> int:
        deleted = 0
        failure: OSError | None = None
        for path in self.paths():
            try:
                if meant(path):
                    path.unlink()
                    deleted += 1
            except FileNotFoundError:
                continue  # somebody else has deleted it
            except OSError as error:
                failure = error
        if failure is not None:
            raise failure
        return deleted


def _is_log(entry: os.DirEntry[str]) -> bool:
    return _FILE.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)


def _safe(call_id: str) -> str:
    """Return a name for the call's file: its id, or a hash if the id cannot be a name. No id looks like such a hash."""
    if _SAFE_ID.fullmatch(call_id):
        return call_id
    return f"~{hashlib.sha256(call_id.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _began(path: Path) -> float:
    """Return when the call of a log began, in Unix seconds, from its name: touching a file does not make it newer."""
    stamp = path.name.partition("Z.")[0]
    try:
        moment = datetime.strptime(stamp[:-3], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return math.inf  # such a moment does not exist, so the name is not ours
    return moment.timestamp() + int(stamp[-3:]) / 1000


def _caller(path: Path) -> str:
    with path.open("rb") as opened:
        header = read_header(opened.readline(MAX_HEADER + 1))
    caller = (header or {}).get("caller")
    # A comparison in constant time takes only ASCII.
    return caller if isinstance(caller, str) and caller.isascii() else ""
