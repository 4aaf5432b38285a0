"""Ready-made tools that need nothing but the call itself."""

from __future__ import annotations

from typing import Protocol

from realtime_sip.tools.registry import ToolOutput

__all__ = ["not_understood", "wait_for_user"]

_ASK_AGAIN = "Ask the caller, in one short sentence and in other words than before, to say it again."


class _Misses(Protocol):
    def missed_turn(self) -> None: ...


async def wait_for_user() -> ToolOutput:
    """End your turn in silence. Use it when nobody speaks to you: silence, noise, a television, people who talk to
    somebody else, or a caller who asks you to wait. Say nothing before it and nothing after it.
    """
    return ToolOutput(respond=False)


async def not_understood(call: _Misses) -> str:
    """Report that you could not understand what the caller said, or that it matches nothing you can do. Call it each
    time before you ask again, without saying anything yourself first.
    """
    call.missed_turn()
    return _ASK_AGAIN
