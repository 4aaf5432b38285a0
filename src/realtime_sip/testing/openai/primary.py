"""A test's handle on a primary socket (`?model=`) that it expects."""

from __future__ import annotations

from collections.abc import Iterable

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.clock import Changes, Clock, ScenarioError, deadline
from realtime_sip.testing.faults import LineFault
from realtime_sip.testing.openai.account import account
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.frames import Frame, Ids
from realtime_sip.testing.openai.line import Line
from realtime_sip.testing.openai.record import LineRecord, Said
from realtime_sip.testing.openai.recording import Recording, Replay
from realtime_sip.testing.openai.websocket import WebSocket
from realtime_sip.testing.reply_faults import check_line_faults
from realtime_sip.testing.scenario import CallerHangsUp, Scenario, Step

__all__ = ["ExpectedSocket"]


class ExpectedSocket:
    """A primary socket: what it plays when it comes, and what was seen of it. Not for SIP.

    There is no caller; the caller's steps stand for what the client's audio would hold.
    """

    def __init__(
        self,
        *,
        scenario: Iterable[Step] = (),
        recording: Recording | None = None,
        faults: Iterable[LineFault] = (),
        strict: bool = False,
    ) -> None:
        self._strict = strict
        self._scenario = Scenario(scenario)
        first = self._scenario.next
        if isinstance(first, CallerHangsUp) and first.while_ringing:
            raise ConfigurationError("a primary socket does not ring")
        if recording is not None and self._scenario.total:
            raise ConfigurationError("a line plays a scenario or a recording, not both")
        if recording is not None and not recording.primary:
            raise ConfigurationError("this is the recording of a sideband: ring with it")
        self._recording = recording
        self._faults = check_line_faults(faults)
        self._record = LineRecord()
        self._changes = Changes()
        self._line: Line | None = None
        self._closed = False

    @property
    def client_events(self) -> list[Frame]:
        """What the client sent, in order."""
        return self._record.client_events

    @property
    def server_events(self) -> list[Frame]:
        """What the service sent, in order."""
        return self._record.server_events

    @property
    def said(self) -> list[Said]:
        """What was said, in order."""
        return self._record.said

    @property
    def notes(self) -> list[str]:
        """What the emulator found strange."""
        return self._record.notes

    @property
    def replay(self) -> Replay | None:
        """How the recording goes, once the socket is there."""
        return None if self._line is None else self._line.replay

    async def closed(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - a deadline with a message
        """Wait until the socket came and is closed again; `timeout` is as in `RingingCall`.

        Raises:
            ScenarioError: It did not come, or did not close.
        """
        seconds = deadline(timeout)
        if not await self._changes.until(lambda: self._closed, seconds=seconds):
            came = "it is open" if self._line is not None else "it has not come"
            sent = ", ".join(str(event.get("type")) for event in self.client_events[-10:]) or "nothing"
            raise ScenarioError(
                f"expected the socket to close within {seconds:g} s; {came}; the client sent: {sent}; "
                + ("; ".join(self.notes[-5:]) or "nothing strange was seen")
            )

    def end(self) -> None:
        """Close the socket, if it is open. For the emulator."""
        if self._line is not None:
            self._line.end(self._line.wire.behavior.end_code)

    def account(self) -> str | None:
        """Say how the socket differed from its scenario, if it is strict; None if it did not. For the emulator."""
        if not self._strict:
            return None
        came = self._line is not None
        end = "closed" if self._closed else "still open" if came else "never opened"
        return account("an expected socket", self._scenario, self._record, self.replay, end=end, came=came)

    async def serve(
        self,
        socket: WebSocket,
        config: Frame,
        model: str | None,
        *,
        ids: Ids,
        clock: Clock,
        timings: Timings,
        behavior: Behavior,
    ) -> None:
        """Serve the socket until it is over. For the emulator."""
        self._line = line = Line(
            ids=ids,
            clock=clock,
            timings=timings,
            behavior=behavior,
            record=self._record,
            changes=self._changes,
            config=config,
            scenario=self._scenario,
            recording=self._recording,
            faults=self._faults,
            primary=True,
            on_end=lambda _by: line.end(behavior.end_code),
            model=model,
        )
        line.start()
        try:
            await line.serve(socket)
        finally:
            self.end()
            self._closed = True
            self._changes.notify()
            await line.wire.stopped()
