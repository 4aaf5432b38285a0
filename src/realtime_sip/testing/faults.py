"""Faults of the emulated service: replies that fail, sockets that drop, frames that nobody should send."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from realtime_sip.errors import ConfigurationError

__all__ = ["FrameInjected", "Operation", "ReplyFault", "ReplyFaults", "SocketDropped", "SocketFault"]

Operation = Literal["accept", "reject", "refer", "hangup", "create", "client_secrets", "attach"]
"""What can fail; "attach" is the upgrade to a sideband, the others are REST operations."""

_MAX_FRAME = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyFault:
    """How one reply fails.

    `how` is "status" (an error reply with `status`), "no answer" (the connection stays open and silent), or "reset"
    (the connection closes without an answer). With `acted` the operation is carried out before its reply fails.
    """

    status: int = 500
    how: Literal["status", "no answer", "reset"] = "status"
    acted: bool = False
    retry_after: float | None = None


class ReplyFaults:
    """The replies that are still to fail, for each operation in the order of their order."""

    def __init__(self) -> None:
        self._queues: dict[Operation, list[ReplyFault]] = {}

    def add(self, operation: Operation, fault: ReplyFault, *, times: int) -> None:
        """Let the next `times` replies to `operation` fail.

        Raises:
            ConfigurationError: No such operation, or numbers that make no sense.
        """
        if operation not in get_args(Operation):
            raise ConfigurationError(f"no such operation; there are: {', '.join(get_args(Operation))}")
        if not 1 <= times <= 10_000:
            raise ConfigurationError("times must be 1 to 10000")
        if not 400 <= fault.status <= 599:
            raise ConfigurationError("status must be 400 to 599")
        if operation == "attach" and fault.acted:
            raise ConfigurationError("an upgrade cannot fail after it was carried out; drop the socket instead")
        self._queues.setdefault(operation, []).extend([fault] * times)

    def take(self, operation: Operation) -> ReplyFault | None:
        """Return how the reply to `operation` fails now, or None."""
        queue = self._queues.get(operation)
        return queue.pop(0) if queue else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketDropped:
    """The sockets of the call are dropped when `after_frames` frames have been sent on it in all; the call goes on.

    `code` is the close code; 1005 closes without a code, 1006 without a close frame.
    """

    after_frames: int
    code: int = 1006

    def __post_init__(self) -> None:
        """Refuse codes that cannot be."""
        _check_count(self.after_frames)
        check_close_code(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameInjected:
    """A frame is sent to all sockets of the call after `after_frames` frames; text as text, bytes as binary."""

    after_frames: int
    data: str | bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse a frame without measure."""
        _check_count(self.after_frames)
        check_frame(self.data)


SocketFault = SocketDropped | FrameInjected


def _check_count(count: int) -> None:
    if not 0 <= count <= 1_000_000:
        raise ConfigurationError("after_frames must be 0 to 1000000")


def check_close_code(code: int) -> None:
    """Refuse a close code that no server sends (RFC 6455 7.4), except 1005 and 1006, which stand for their cases.

    Raises:
        ConfigurationError: It is none.
    """
    if not (1000 <= code <= 1003 or 1005 <= code <= 1014 or 3000 <= code <= 4999):
        raise ConfigurationError("code must be a close code of RFC 6455, 1005 (no code) or 1006 (no close frame)")


def check_frame(data: str | bytes) -> None:
    """Refuse a frame above 64 MiB.

    Raises:
        ConfigurationError: It is larger.
    """
    if len(data) > _MAX_FRAME:
        raise ConfigurationError(f"a frame has at most {_MAX_FRAME} bytes")
