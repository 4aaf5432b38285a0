"""One emulated line: the session that a sideband or a primary socket talks to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.faults import CLIENT_EVENTS, EventLost, LineFault
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.caller import Caller
from realtime_sip.testing.openai.conversation import EmulatedConversation
from realtime_sip.testing.openai.frames import BUSY, Frame, Ids, Refusal, error_event
from realtime_sip.testing.openai.record import LineRecord
from realtime_sip.testing.openai.recording import Recording, Replay
from realtime_sip.testing.openai.responses import Responses
from realtime_sip.testing.openai.session import EmulatedSession, note_formats
from realtime_sip.testing.openai.websocket import WebSocket
from realtime_sip.testing.openai.wire import Wire
from realtime_sip.testing.scenario import Scenario

__all__ = ["Line", "LineEnd"]

LineEnd = Callable[[str], None]
"""Called once when the line ends by itself, with "caller" or "expired"."""


class Line:
    """Takes the client's events, and plays a scenario or a recording.

    Without a recording it begins when the first socket is there, or after the patience without one.
    """

    def __init__(
        self,
        *,
        ids: Ids,
        clock: Clock,
        timings: Timings,
        behavior: Behavior,
        record: LineRecord,
        changes: Changes,
        config: Frame,
        scenario: Scenario,
        recording: Recording | None,
        faults: Iterable[LineFault],
        primary: bool,
        on_end: LineEnd,
        model: str | None = None,
    ) -> None:
        self.wire = Wire(
            ids=ids,
            clock=clock,
            timings=timings,
            behavior=behavior,
            record=record,
            changes=changes,
            faults=faults,
            on_call_over=self._over,
        )
        self.session = EmulatedSession(
            config,
            session_id=ids("sess"),
            expires_at=int(clock.unix() + timings.session),
            model=model,
            behavior=behavior,
        )
        self.replay = None if recording is None else Replay(recording)
        self._primary = primary
        self._on_end = on_end
        self._record = record
        self._ended = False
        self._over_code: int | None = None
        self._conversation = EmulatedConversation(self.wire)
        self._responses = Responses(self.wire, self.session, self._conversation, scenario, primary=primary)
        self._caller = Caller(
            self.wire,
            self.session,
            self._conversation,
            self._responses,
            scenario,
            hang_up=lambda: self._finish("caller"),
        )
        self._takes: dict[str, Callable[[Frame], None]] = {
            "session.update": self._update,
            "input_audio_buffer.append": lambda _event: None,
            "input_audio_buffer.commit": lambda _event: self._caller.commit(),
            "input_audio_buffer.clear": lambda _event: self._caller.clear(),
            "output_audio_buffer.clear": lambda _event: self._responses.playback.clear(interrupted=False),
            "conversation.item.create": self._create_item,
            "conversation.item.delete": self._conversation.delete,
            "conversation.item.retrieve": self._conversation.retrieve,
            "conversation.item.truncate": self._conversation.truncate,
            "response.create": self._responses.create,
            "response.cancel": self._responses.cancel,
        }

    def start(self, *, caller: bool = True) -> None:
        """Begin: the session's time runs, and the scenario or the recording plays.

        Without `caller` nobody is on the line, as when the caller gave up while it rang.
        """
        self.wire.attended()
        self.wire.spawn(self._expire())
        if self.replay is None and self.session.kind == "realtime":
            self._responses.mcp.list_tools()
            self._caller.watch_idle()
        if caller:
            self.wire.spawn(self._play())

    def divert(self, diverted: bool) -> None:
        """Let the caller hear something else than the model, as the ringing of a target, or the model again."""
        self._caller.diverted = diverted
        self.wire.changes.notify()

    def end(self, code: int, *, close: bool = True) -> None:
        """End the line: what was not sent is lost, and the sockets are closed with `code`."""
        self._ended = True
        self.wire.stop()
        self.wire.close_code = None
        if self._over_code is not None:
            self.wire.drop(self._over_code)
        elif close:
            self.wire.drop(code)
        self.wire.changes.notify()

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket until it is over."""
        behavior = self.wire.behavior
        if not self._primary and self.wire.sockets and behavior.second_attach == "superseding":
            self.wire.drop(1000)
        if self._ended:
            socket.close(behavior.end_code)
        elif self.replay is None and (self._primary or behavior.created_on_sideband):
            self._send_alone(socket, "session.created", session=self.session.shown())
        self.wire.attach(socket)
        try:
            async for message in socket.messages():
                if socket.open:  # what crosses our close on its way is lost
                    self._take(message)
        finally:
            self.wire.detach(socket)

    def _send_alone(self, socket: WebSocket, kind: str, **fields: Any) -> None:
        frame = {"type": kind, "event_id": self.wire.ids("event"), **fields}
        self._record.keep(self._record.server_events, frame)
        socket.send(json.dumps(frame))

    def _take(self, message: str | bytes) -> None:
        if self._ended:
            return  # A socket that stays open after the end is silent.
        event: Any
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self._record.note("the client sent a frame that is no JSON object")
            self._refuse(Refusal("The event is no JSON object.", code="invalid_event"), None)
            return
        fault = self.wire.heard(event.get("type"))
        if isinstance(fault, EventLost):
            return
        self._record.keep(self._record.client_events, event)
        if fault is not None:
            event_id = event.get("event_id")
            refusal = Refusal(fault.message, code=fault.code, param=fault.param)
            self._refuse(refusal, event_id if isinstance(event_id, str) else None)
        elif self.replay is not None:
            for frame in self.replay.client_sent(event):
                self.wire.emit_frame(frame)
        else:
            self._dispatch(event)
        self.wire.changes.notify()

    def _dispatch(self, event: Frame) -> None:
        kind, event_id = event.get("type"), event.get("event_id")
        try:
            if not isinstance(kind, str):
                raise Refusal("The 'type' field is missing.", code="invalid_event")
            take = self._takes.get(kind)
            if take is None:
                supported = ", ".join(f"'{name}'" for name in CLIENT_EVENTS)
                raise Refusal(
                    f"Invalid value: '{kind[:80]}'. Supported values are: {supported}.",
                    code="invalid_value",
                    param="type",
                )
            if kind == "response.create":
                self._race(event.get("response"))
            take(event)
        except Refusal as refusal:
            named = isinstance(event_id, str) and (refusal.code != BUSY or self.wire.behavior.busy_names_event)
            self._refuse(refusal, event_id if named else None)

    def _race(self, response: object) -> None:
        if isinstance(response, dict) and response.get("conversation") == "none":
            return
        race = self.wire.plan.race()
        if race is not None and race.said is not None:
            self._caller.say_at_once(race.said)
        elif race is not None:
            self._responses.create_for_turn()

    def _refuse(self, refusal: Refusal, event_id: str | None) -> None:
        self.wire.emit_frame(error_event(self.wire.ids, refusal, event_id=event_id))

    def _update(self, event: Frame) -> None:
        if "session" not in event:
            raise Refusal("Missing required parameter: 'session'.", code="missing_required_parameter", param="session")
        session = event["session"]
        if isinstance(session, dict) and session.keys() - {"type"}:
            refused = self.wire.plan.refuses_update()
            if refused is not None:
                raise Refusal(refused.message, code=refused.code, param=refused.param)
        self.session.update(session)
        if not self._primary:
            note_formats(session, "session.update", self._record)
        self.wire.emit("session.updated", session=self.session.shown())
        if self.session.kind == "realtime":
            self._responses.mcp.list_tools()
            self._caller.watch_idle()

    def _create_item(self, event: Frame) -> None:
        item = self._conversation.create(event)
        if item["type"] == "mcp_approval_response":
            self._responses.mcp.answered(item)

    async def _play(self) -> None:
        patience = self.wire.clock.patience(self.wire.timings.patience)
        if not await self.wire.changes.until(lambda: bool(self.wire.sockets) or self.wire.elsewhere, seconds=patience):
            self._record.note("no socket was opened; the call goes on without one")
        if self.replay is None:
            await self._caller.play()
        else:
            await self._play_recording(self.replay, patience)

    async def _play_recording(self, replay: Replay, patience: float) -> None:
        for frame in replay.proceed():
            self.wire.emit_frame(frame)
        while not replay.complete:
            seen = len(replay.matched)

            def came(seen: int = seen) -> bool:
                return len(replay.matched) > seen or replay.complete

            if not await self.wire.changes.until(came, seconds=patience):
                replay.give_up(self.wire.timings.patience)
                self._record.note("the recording was not played to its end: " + str(replay.failure))
                break
        await self.wire.clock.sleep(self.wire.timings.pause)
        self._finish("caller")

    async def _expire(self) -> None:
        timings = self.wire.timings
        await self.wire.clock.sleep(timings.session)
        # The message that was recorded when the limit was 30 minutes, with the limit of now.
        refusal = Refusal(
            f"Your session hit the maximum duration of {timings.session / 60:g} minutes.", code="session_expired"
        )
        self._refuse(refusal, None)
        self._finish("expired")

    def _over(self, code: int) -> None:
        self._over_code = code
        self._finish("caller")

    def _finish(self, by: str) -> None:
        if not self._ended:
            self._on_end(by)
