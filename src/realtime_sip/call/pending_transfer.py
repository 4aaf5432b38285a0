"""A transfer that was asked for, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from realtime_sip.errors import CallEndedError, TransferError
from realtime_sip.outcomes import CallEnded, EndReason, TransferFailed


class PendingTransfer:
    """A transfer that `Call.transfer` asked for. Await it to know how it ends; it goes on even if nobody does."""

    def __init__(self, target: str, over: asyncio.Future[TransferFailed | CallEnded]) -> None:
        self.target = target
        self._over = over

    @property
    def over(self) -> bool:
        """Whether the caller was transferred, or the transfer failed."""
        return self._over.done()

    async def ended(self) -> CallEnded:
        """Wait until the caller was transferred, and return how the call ended.

        Raises:
            TransferError: The transfer failed. The caller is still on the line, and the model knows.
            CallEndedError: The call ended otherwise.
        """
        over = await asyncio.shield(self._over)
        if isinstance(over, TransferFailed):
            raise TransferError(self.target, reason=over.failure, evidence=over.evidence)
        if over.reason is not EndReason.TRANSFERRED:
            raise CallEndedError(over)
        return over

    def __await__(self) -> Generator[Any, None, CallEnded]:
        return self.ended().__await__()

    def __repr__(self) -> str:
        return f"PendingTransfer({self.target!r}, {'over' if self.over else 'not over'})"
