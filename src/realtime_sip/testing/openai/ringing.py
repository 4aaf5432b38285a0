"""A test's handle on a call that it made ring."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.clock import ScenarioError, deadline
from realtime_sip.testing.faults import ServiceRestarts, check_close_code, check_frame
from realtime_sip.testing.openai.attendance import Tally
from realtime_sip.testing.openai.call import CallEnd, CallState, EmulatedCall, EndedBy
from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.openai.invite import REALTIME
from realtime_sip.testing.openai.record import RecordedRequest, Said, WebhookResponse
from realtime_sip.testing.openai.recording import Replay
from realtime_sip.testing.scenario import Step

__all__ = ["RingingCall"]


class RingingCall:
    """A call that `OpenAIEmulator.ring` made: what was seen of it, what to wait for, and what to do to it.

    The lists grow while the call lasts. `timeout` is a test's patience everywhere: 10 seconds if left out; on
    a `VirtualTimeLoop` 2 hours of its clock, in which every call has ended.
    """

    def __init__(self, call: EmulatedCall) -> None:
        self._call = call

    def __repr__(self) -> str:
        """Show id and state."""
        return f"<RingingCall {self.call_id} {self.state}>"

    @property
    def call_id(self) -> str:
        """The call's id, `rtc_…`."""
        return self._call.call_id

    @property
    def state(self) -> CallState:
        """How far the call is."""
        return self._call.state

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that named this call, in order of their answers."""
        return self._call.requests

    @property
    def webhook_responses(self) -> list[WebhookResponse]:
        """How the endpoints answered, each attempt."""
        return self._call.deliveries.responses

    @property
    def submissions(self) -> list[object]:
        """What `submit` of the target returned each time, or the exception it raised, if the target is an object."""
        return self._call.deliveries.submissions

    @property
    def accepted_session(self) -> Frame | None:
        """The body of the accept that was carried out, or None."""
        return self._call.accepted_session

    @property
    def session(self) -> Frame | None:
        """The session as it is now, as `session.updated` shows it; None before accept."""
        return None if self._call.line is None else self._call.line.session.shown()

    @property
    def client_events(self) -> list[Frame]:
        """What the client sent on sidebands, in order."""
        return self._call.record.client_events

    @property
    def server_events(self) -> list[Frame]:
        """The service's events in order, whether or not a sideband was open."""
        return self._call.record.server_events

    @property
    def said(self) -> list[Said]:
        """What the caller and the model said, in order."""
        return self._call.record.said

    @property
    def notes(self) -> list[str]:
        """What the emulator found strange, such as a response that nobody scripted, or an audio format in a session."""
        return self._call.record.notes

    @property
    def dialed(self) -> list[str]:
        """The targets that the carrier dialed for the caller, in order: one for each refer that reached it.

        It lacks refers that failed or were ignored (`Behavior.refer`). It has those of which only the reply failed
        (`acted` in `OpenAIEmulator.fail`), and what `redirect` dialed. So if it has one, a caller was not handed over
        twice.
        """
        return self._call.dialed

    @property
    def sidebands(self) -> int:
        """How many sidebands were opened so far."""
        return self._call.record.sockets

    @property
    def tally(self) -> Tally:
        """What was done to the call, and for how long it was up with nobody attached."""
        return self._call.tally

    @property
    def unattended(self) -> bool:
        """Whether the call is up now, and nobody is attached."""
        return self._call.unattended

    @property
    def replay(self) -> Replay | None:
        """How the recording goes, if the call plays one and was accepted."""
        return None if self._call.line is None else self._call.line.replay

    async def until_accepted(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - a deadline with a message
        """Wait until the call was accepted.

        Raises:
            ScenarioError: It was not accepted, or it ended first.
        """
        await self._until("the call to be accepted", lambda: self.accepted_session is not None, timeout)

    async def until_attached(self, *, count: int = 1, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until `count` sidebands have been opened in all.

        Raises:
            ScenarioError: They were not opened, or the call ended first.
        """
        await self._until(f"{count} sideband(s) to be opened", lambda: self.sidebands >= count, timeout)

    async def until_delivered(
        self,
        *,
        count: int = 1,
        type: str = REALTIME,  # noqa: A002 - the event's own name for it
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> None:
        """Wait until `count` deliveries of the webhook of this type have been answered 2xx.

        The call may have ended before that.

        Raises:
            ScenarioError: They were not.
        """
        await self._until(
            f"{count} 2xx to the webhook",
            lambda: sum(answer.taken and answer.type == type for answer in self.webhook_responses) >= count,
            timeout,
            also_after_end=True,
        )

    async def until_requested(self, operation: str, *, count: int = 1, timeout: float | None = None) -> RecordedRequest:  # noqa: ASYNC109
        """Wait until `count` requests for `operation` were answered, and return the last one of them.

        The call may have ended with it or before it.

        Raises:
            ScenarioError: They were not.
        """

        def seen() -> list[RecordedRequest]:
            return [request for request in self.requests if request.operation == operation]

        await self._until(f"{count} {operation}", lambda: len(seen()) >= count, timeout, also_after_end=True)
        return seen()[count - 1]

    async def until_dialed(self, *, count: int = 1, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Wait until the carrier has dialed `count` targets in all, and return the last one of them.

        The call may have ended with it or before it.

        Raises:
            ScenarioError: It did not.
        """
        await self._until(
            f"{count} target(s) to be dialed", lambda: len(self.dialed) >= count, timeout, also_after_end=True
        )
        return self.dialed[count - 1]

    async def until_client_sent(
        self,
        kind: str,
        *,
        matching: Callable[[Frame], bool] | None = None,
        count: int = 1,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Frame:
        """Wait until the client has sent `count` events of the type `kind`, and return the last one of them.

        Raises:
            ScenarioError: It did not, or the call ended first.
        """
        record = self._call.record
        await self._until(
            f"{count} {kind} of the client", lambda: len(record.client_sent(kind, matching=matching)) >= count, timeout
        )
        return record.client_sent(kind, matching=matching)[count - 1]

    async def ended(self, *, timeout: float | None = None) -> CallEnd:  # noqa: ASYNC109
        """Wait until the call is over, and return how it ended.

        If the target is an object with `async ended(call_id)`, such as a `CallHost`, wait for its result too: it is in
        `seen`, and its `reason`, `certainty` and `evidence` are those of the result. They are None if the object has no
        such method, or raises LookupError because it does not know the call.

        Raises:
            ScenarioError: The call is still up, or the program did not notice its end.
        """
        loop = asyncio.get_running_loop()
        end_at = loop.time() + deadline(timeout)
        await self._until("the call to end", lambda: self._call.end is not None, timeout)
        assert self._call.end is not None
        says = [getattr(target, "ended", None) for target in self._call.targets]
        seen = await self._first(
            [asyncio.ensure_future(said(self.call_id)) for said in says if inspect.iscoroutinefunction(said)],
            end_at - loop.time(),
        )
        return replace(self._call.end, seen=seen)

    def play(self, *steps: Step) -> None:
        """Let more happen than the scenario says.

        The caller's steps come after those that are there, each when its moment comes. A step of the model is for the
        next response for which the scenario has no step, and keeps the caller from nothing.

        Raises:
            ConfigurationError: They cannot follow, there are too many, or the call plays a recording.
        """
        if self._call.plays_recording:
            raise ConfigurationError("a line plays a scenario or a recording, not both")
        for step in steps:
            self._call.scenario.add(step)
        self._call.changes.notify()

    def hang_up(self) -> None:
        """Let the caller hang up now, whatever the scenario says."""
        self._call.finish(EndedBy.CALLER)

    def redirect(self, target_uri: str) -> bool:
        """Let the carrier take the caller's leg to `target_uri` now, by itself, and without asking the service.

        Twilio does this if a live call is updated over REST. The service sees that the leg leaves; a refer that was
        under way is over. `dialed` has the target, even if the leg had left the service before, for another target or
        because the program hung up.

        Returns:
            Whether there was a caller to take anywhere, which is not so after they hung up.

        Raises:
            ConfigurationError: The target is empty.
        """
        if not target_uri.strip():
            raise ConfigurationError("a caller is redirected to a target; it must not be empty")
        return self._call.redirect(target_uri)

    def drop(self, *, code: int = 1006) -> None:
        """Drop the sidebands now, with a close code, without one (1005), or without a close frame (1006).

        The call goes on.

        Raises:
            ConfigurationError: The close code is not valid.
        """
        check_close_code(code)
        if self._call.line is not None:
            self._call.line.wire.drop(code)

    def restart(self, seconds: float = 3.0, *, code: int = 1012) -> None:
        """Restart the server of this call's sidebands now, as `ServiceRestarts` does.

        Raises:
            ConfigurationError: The close code or the time is not valid.
        """
        ServiceRestarts(when="attached", seconds=seconds, code=code)  # checks
        if self._call.line is not None:
            self._call.line.wire.restart(seconds, code)

    def silence(self, *, pongs: bool = True) -> None:
        """Let no event through on the sidebands that are open, in either direction; they stay open.

        Pings are answered, unless `pongs` is False. The call goes on.
        """
        if self._call.line is not None:
            self._call.line.wire.silence(pongs=pongs)

    def inject(self, data: str | bytes) -> None:
        """Send a frame that is not the service's own to the sidebands: text, or bytes as a binary frame.

        Raises:
            ConfigurationError: It is larger than 64 MiB.
        """
        check_frame(data)
        if self._call.line is not None:
            self._call.line.wire.inject(data)

    async def _first(self, tasks: list[asyncio.Future[Any]], seconds: float) -> Any:
        """Return the result of the first task that knows the call, or None."""
        left, seen = set(tasks), None
        loop = asyncio.get_running_loop()
        end_at = loop.time() + seconds
        try:
            while left and seen is None:
                done, left = await asyncio.wait(
                    left, timeout=max(0.0, end_at - loop.time()), return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    raise ScenarioError(
                        f"expected the program to notice the end of the call in time; it is: {self._call.describe()}"
                    )
                for task in done:
                    if not task.cancelled() and not isinstance(task.exception(), LookupError):
                        seen = task.result()
        finally:
            for task in left:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return seen

    async def _until(
        self, expected: str, condition: Callable[[], bool], patience: float | None, *, also_after_end: bool = False
    ) -> None:
        seconds = deadline(patience)

        def settled() -> bool:
            return condition() or (self._call.end is not None and not also_after_end)

        await self._call.changes.until(settled, seconds=seconds)
        if not condition():
            raise ScenarioError(f"expected {expected} within {seconds:g} s; it is: {self._call.describe()}")
