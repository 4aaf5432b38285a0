"""How the calls of a host ended: the last thousand are remembered."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from realtime_sip.errors import UnknownCallError
from realtime_sip.outcomes import CallEnded

_REMEMBERED = 1000


class Ends:
    """The ends of calls, known or awaited."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, asyncio.Future[CallEnded]] = OrderedDict()

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    async def wait(self, call_id: str) -> CallEnded:
        """Wait for the end of a call, and return it.

        Raises:
            UnknownCallError: No such call is known.
        """
        if call_id not in self._ends:
            raise UnknownCallError("no such call was submitted to this host")
        return await asyncio.shield(self._ends[call_id])

    def expect(self, call_id: str) -> None:
        """Record that a call is up, whose end will be known."""
        self._ends[call_id] = asyncio.get_running_loop().create_future()
        for _ in range(min(len(self._ends) - _REMEMBERED, 2)):
            oldest = next(iter(self._ends))
            if not self._ends[oldest].done():
                # It is still up, so it comes last again.
                self._ends.move_to_end(oldest)
                continue
            del self._ends[oldest]

    def over(self, call_id: str, ended: CallEnded) -> None:
        """Record how a call ended, unless that is known."""
        if call_id not in self._ends:
            self.expect(call_id)
        if not self._ends[call_id].done():
            self._ends[call_id].set_result(ended)

    def amend(self, call_id: str, ended: CallEnded) -> None:
        """Record how a call ended, as is known by now."""
        self._ends.pop(call_id, None)
        self.over(call_id, ended)
