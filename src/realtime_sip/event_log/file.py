"""One log on disk, and the key that hides its caller. All of it blocks."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from realtime_sip.event_log.entries import CallLogHeader, encoded_header
from realtime_sip.sip.address import e164

KEY_FILE = ".key"
_KEY_BYTES = 32
# Do not follow a link that somebody else put there, and do not wait for the other end of a pipe.
# Windows has no such flags.
_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(slots=True, kw_only=True)
class LogFile:
    """The file of one log. The first `append` creates it; each one opens and closes it.

    If the file was deleted meanwhile, it is not created again: `append` raises FileNotFoundError.
    """

    path: Path
    call_id: str
    caller: str | None = field(repr=False)
    started_at: float
    redacted: bool
    _created: bool = False

    def append(self, lines: bytes, *, began: float, consented: bool) -> None:
        """Write whole lines, after the header if they are the first.

        Raises:
            OSError: They could not be written, in part or at all.
        """
        flags = os.O_WRONLY | os.O_APPEND | _SAFELY
        if not self._created:
            caller = None if self.caller is None else caller_hash(self.caller, made_key(self.path.parent))
            header = CallLogHeader(
                call_id=self.call_id,
                started_at=self.started_at,
                began=began,
                redacted=self.redacted,
                consented=consented,
                caller=caller,
            )
            lines = encoded_header(header) + lines
            flags |= os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(self.path, flags, 0o600), "ab") as opened:
            self._created = True
            opened.write(lines)


def caller_hash(caller: str, key: bytes) -> str:
    """Return HMAC-SHA256 of a caller's number, which may be written with separators, in hexadecimal."""
    return hmac.new(key, (e164(caller) or caller.strip()).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def read_key(folder: Path) -> bytes | None:
    """Return the folder's key, or None if it has none.

    Raises:
        OSError: It cannot be read, or is not a key.
    """
    try:
        with os.fdopen(os.open(folder / KEY_FILE, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _SAFELY), "rb") as opened:
            key = opened.read(_KEY_BYTES + 1) or b""  # None if it is a pipe
    except FileNotFoundError:
        return None
    if len(key) != _KEY_BYTES:
        raise OSError("the key of the event logs is damaged")
    return key


def made_key(folder: Path) -> bytes:
    """Return the folder's key, and make it if it is missing. Of several processes that do so, one makes it.

    Raises:
        OSError: It can neither be read nor made.
    """
    key = read_key(folder)
    if key is not None:
        return key
    # It is linked to its name when it is whole, so that nobody ever reads half a key.
    draft = folder / f"{KEY_FILE}.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(secrets.token_bytes(_KEY_BYTES))
        with suppress(FileExistsError):
            os.link(draft, folder / KEY_FILE)
    finally:
        draft.unlink(missing_ok=True)
    key = read_key(folder)
    if key is None:
        raise FileNotFoundError("the key of the event logs was deleted while it was made")
    return key
