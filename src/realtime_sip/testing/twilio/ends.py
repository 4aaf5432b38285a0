"""The other ends of dialed legs: people at phones, queues and browsers as a table says, and OpenAI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.clock import Clock
from realtime_sip.testing.openai.call import CallState, EmulatedCall, EndedBy

__all__ = ["Callee", "CalleeEnd", "FarEnd", "OpenAIEnd"]

Outcome = Literal["answers", "busy", "no answer", "failed"]

AnsweredBy = Literal["human", "machine_end_beep", "machine_end_silence", "machine_end_other", "fax", "unknown"]

_CODES: dict[Outcome, int | None] = {"answers": 200, "busy": 486, "no answer": None, "failed": 503}


@dataclass(frozen=True, slots=True, kw_only=True)
class Callee:
    """How somebody behaves who is dialed, or who takes callers out of a queue.

    They answer after `rings` seconds, are busy, never answer, or cannot be reached (SIP `code`); and hang up after
    `talks` seconds, if the caller has not. Machine detection, if there is any, takes `detected` seconds to find
    `answered_by`; with "Enable" each machine is "machine_start".
    """

    outcome: Outcome = "answers"
    rings: float = 4.0
    talks: float = 30.0
    code: int | None = None
    answered_by: AnsweredBy = "human"
    detected: float = 3.0

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.outcome not in get_args(Outcome):
            raise ConfigurationError(f"outcome must be one of: {', '.join(get_args(Outcome))}")
        if self.answered_by not in get_args(AnsweredBy):
            raise ConfigurationError(f"answered_by must be one of: {', '.join(get_args(AnsweredBy))}")
        if not 0 <= self.detected <= 600:
            raise ConfigurationError("detected must be 0 to 600 seconds")
        if not 0 <= self.rings <= 86_400 or not 0 <= self.talks <= 86_400:
            raise ConfigurationError("rings and talks must be 0 to 86400 seconds")
        if self.code is not None and not 300 <= self.code <= 699:
            raise ConfigurationError("code must be a SIP status from 300 to 699")


class FarEnd(Protocol):
    """The far end of one leg. `code` is the SIP status by which the dialing ended, None while it has not."""

    code: int | None
    gone: Literal["", "callee", "caller"]
    """Who ended the leg after it was answered, as the far end saw it."""

    async def live(self) -> None:
        """Ring, answer, talk, until it is over; `changed` is called at each step."""
        ...

    def cancel(self) -> None:
        """Give up while it rings."""
        ...

    def bye(self, *, transferred: str | None = None) -> None:
        """Hang up from Twilio's side; `transferred` says where the caller went."""
        ...

    def divert(self, diverted: bool) -> None:
        """Let the caller hear ringing in place of this end, or no more."""
        ...


class CalleeEnd:
    """Somebody who is scripted by a `Callee`."""

    def __init__(self, callee: Callee, clock: Clock, changed: Callable[[], None]) -> None:
        self.code: int | None = None
        self.gone: Literal["", "callee", "caller"] = ""
        self._callee = callee
        self._clock = clock
        self._changed = changed

    async def live(self) -> None:
        """Ring, answer, talk, and hang up."""
        if self._callee.outcome == "no answer":
            return
        await self._clock.sleep(self._callee.rings)
        self.code = self._callee.code or _CODES[self._callee.outcome]
        self._changed()
        if self.code == 200:
            await self._clock.sleep(self._callee.talks)
            self.gone = "callee"
            self._changed()

    def cancel(self) -> None:
        """Stop ringing: nothing is left to do."""

    def bye(self, *, transferred: str | None = None) -> None:
        """Hang up: nothing is left to do."""

    def divert(self, diverted: bool) -> None:
        """Nobody is scripted who would notice."""


class OpenAIEnd:
    """A call that rings at `OpenAIEmulator`."""

    def __init__(self, call: EmulatedCall, sip_call_id: str, changed: Callable[[], None]) -> None:
        self.call = call
        self.code: int | None = None
        self.gone: Literal["", "callee", "caller"] = ""
        self.sip_call_id = sip_call_id
        self._changed = changed

    async def live(self) -> None:
        """Follow the call."""
        call = self.call
        await call.changes.until(lambda: call.state is not CallState.RINGING or call.abandoned)
        if call.abandoned:
            self.gone = "caller"
            self._changed()
            return
        if call.accepted_session is None:
            self.code = _refusal(call)
            self._changed()
            return
        self.code = 200
        self._changed()
        await call.changes.until(lambda: call.end is not None)
        self.gone = "caller" if call.end is not None and call.end.by is EndedBy.CALLER else "callee"
        self._changed()

    def cancel(self) -> None:
        """Cancel the INVITE; the webhook is out already."""
        if self.call.state is CallState.RINGING:
            self.call.cancel()

    def bye(self, *, transferred: str | None = None) -> None:
        """Hang up, because the caller did, or because they go elsewhere."""
        if transferred is None:
            self.call.finish(EndedBy.CALLER)
        else:
            self.call.finish(EndedBy.TRANSFERRED, target_uri=transferred or None)

    def divert(self, diverted: bool) -> None:
        """Let the caller hear ringing, not the model."""
        if self.call.line is not None and self.call.end is None:
            self.call.line.divert(diverted)


def _refusal(call: EmulatedCall) -> int:
    if call.end is not None and call.end.by is EndedBy.REJECTED:
        return call.end.status_code or 603
    # Nobody decided, or the accept was lost: 400 (field reports).
    return 400
