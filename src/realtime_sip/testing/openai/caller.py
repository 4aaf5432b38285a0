"""The caller's side of an emulated line: plays the scenario, is transcribed, and waits for the line to be quiet."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from realtime_sip.testing.openai.conversation import AUDIO_TOKENS_IN, EmulatedConversation
from realtime_sip.testing.openai.frames import Frame, Refusal, pieces
from realtime_sip.testing.openai.record import Said
from realtime_sip.testing.openai.responses import Responses
from realtime_sip.testing.openai.session import EmulatedSession
from realtime_sip.testing.openai.wire import Wire
from realtime_sip.testing.scenario import CallerHangsUp, CallerPresses, CallerSays, CallerStep, ModelStep, Scenario

__all__ = ["Caller"]


class Caller:
    """Does what the scenario says that the caller does; `hang_up` is called at the step that says so."""

    def __init__(
        self,
        wire: Wire,
        session: EmulatedSession,
        conversation: EmulatedConversation,
        responses: Responses,
        scenario: Scenario,
        *,
        hang_up: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._session = session
        self._conversation = conversation
        self._responses = responses
        self._scenario = scenario
        self._hang_up = hang_up
        self._turns = 0
        self._speaks = False
        self._unanswered: int | None = None
        self.diverted = False
        """Whether the caller hears something else than the model, and waits."""
        self._watch: asyncio.Task[None] | None = None
        self._uncommitted: list[CallerSays] = []
        self._began = wire.clock.now()

    async def play(self) -> None:
        """Play the scenario, and what is added to it, as long as the line is up."""
        while True:
            await self._wire.changes.until(lambda: self._scenario.next is not None)
            step = self._scenario.next
            if isinstance(step, ModelStep):
                await self._leave_to_model()
                continue
            assert step is not None
            self._scenario.advance()
            self._scenario.waiting = self._scenario.position - 1
            await self._moment(step)
            await self._wire.clock.sleep(step.after)
            if self.diverted:
                await self._quiet(step)
            self._scenario.waiting = None
            await self._do(step)

    async def _do(self, step: CallerStep) -> None:
        match step:
            case CallerSays():
                await self._say(step)
            case CallerPresses():
                self._unanswered = None  # the keys are what is to be answered now
                await self._press(step.digits)
            case CallerHangsUp():
                self._hang_up()

    def commit(self) -> None:
        """Take the client's `input_audio_buffer.commit`, which matters while turn detection is off.

        Raises:
            Refusal: Nothing was said.
        """
        if not self._uncommitted:
            raise Refusal(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                "but buffer only has 0.00ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        said, self._uncommitted = self._uncommitted, []
        text = " ".join(step.text for step in said)
        seconds = sum(self._seconds(step) for step in said)
        self._commit(text, self._wire.ids("item"), seconds, transcribed=all(step.transcribed for step in said))
        self._unanswered = self._responses.created

    def clear(self) -> None:
        """Take the client's `input_audio_buffer.clear`."""
        self._uncommitted.clear()
        self._wire.emit("input_audio_buffer.cleared")

    def say_at_once(self, text: str) -> None:
        """Say `text` in no time, and have turn detection answer it as fast."""
        wire, item_id, turns = self._wire, self._wire.ids("item"), self._session.turn_detection
        if turns is not None:
            wire.emit("input_audio_buffer.speech_started", audio_start_ms=self._position_ms(), item_id=item_id)
            if turns["interrupt_response"]:
                self._responses.interrupt()
            wire.emit("input_audio_buffer.speech_stopped", audio_end_ms=self._position_ms(), item_id=item_id)
        self._commit(text, item_id, self._seconds(CallerSays(text)), transcribed=True)
        self._responses.create_for_turn()

    def watch_idle(self) -> None:
        """Trigger the idle timeout of turn detection from now on, if the session has one."""
        if self._watch is None and self._idle_seconds() is not None:
            self._watch = self._wire.spawn(self._watch_idle())

    def _idle_seconds(self) -> float | None:
        turns = self._session.turn_detection
        milliseconds = None if turns is None else turns.get("idle_timeout_ms")
        return None if milliseconds is None else milliseconds / 1000

    def _idle_until(self) -> float | None:
        """Return when the timeout is due as things are: it counts from the end of playback (session guide)."""
        seconds, quiet_since = self._idle_seconds(), self._responses.playback.quiet_since
        if seconds is None or quiet_since is None or self._speaks or self._responses.busy:
            return None
        return quiet_since + seconds

    async def _watch_idle(self) -> None:
        changes, clock = self._wire.changes, self._wire.clock
        while True:
            await changes.until(lambda: self._idle_until() is not None)
            due = self._idle_until()
            left = 0.0 if due is None else max(0.0, clock.real(due - clock.now()))
            if not await changes.until(lambda due=due: self._idle_until() != due, seconds=left):  # type: ignore[misc]
                self._time_out()

    def _time_out(self) -> None:
        """Commit the silence, and have the model say something (API guide)."""
        wire, playback = self._wire, self._responses.playback
        item_id = wire.ids("item")
        began, now = playback.quiet_since or 0.0, wire.clock.now()
        playback.quiet_since = None
        wire.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=int((began - self._began) * 1000),
            audio_end_ms=int((now - self._began) * 1000),
            item_id=item_id,
        )
        self._add_turn(item_id, now - began)
        turns = self._session.turn_detection
        if turns is not None and turns["create_response"]:
            self._responses.create_for_turn()

    @property
    def _occupied(self) -> bool:
        """Whether the caller listens or waits, without expecting anything of the client."""
        return self.diverted or self._responses.busy

    def _expecting(self, step: CallerStep) -> bool:
        """Whether something is to come from the client before `step`.

        Keys are pressed for a program that collects them, and nobody waits for it to answer what was said before.
        """
        answer = self._unanswered == self._responses.created and not isinstance(step, CallerPresses)
        return answer or self._responses.expected

    async def _moment(self, step: CallerStep) -> None:
        """Wait for the moment at which a step begins."""
        responses = self._responses
        if step.interrupting or step.during == "speech":
            await self._while(lambda: responses.heard, "the caller was to interrupt the model, but heard nothing")
        elif step.during == "tool":
            await self._while(lambda: responses.awaits_tool, "the caller was to act during a tool, but none was called")
        else:
            await self._quiet(step)

    async def _leave_to_model(self) -> None:
        """Wait until a response has taken the model's step; after the patience it is skipped."""
        position = self._scenario.position

        def taken() -> bool:
            return self._scenario.position != position

        while not taken():
            await self._wire.changes.until(lambda: taken() or not self._occupied)
            if taken() or await self._wait(lambda: taken() or self._occupied):
                continue
            self._scenario.advance()
            self._wire.record.unscripted(
                f"step {position + 1} of {self._scenario.total}, the model's, was skipped: nobody created a response"
            )
            return

    async def _quiet(self, step: CallerStep) -> None:
        """Wait until no response is active or expected before `step`, nothing plays, and that for a moment."""
        changes, clock = self._wire.changes, self._wire.clock
        while True:
            await changes.until(lambda: not self._occupied)
            if self._expecting(step):
                if not await self._wait(lambda: self._occupied or not self._expecting(step)):
                    self._responses.expected, self._unanswered = False, None
                    self._wire.record.note("the caller went on: a response was expected from the client, and none came")
                continue
            pause = clock.real(self._wire.timings.pause)
            if not await changes.until(lambda: self._occupied or self._expecting(step), seconds=pause):
                return

    async def _while(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait until `condition` holds, for a caller who hears the line."""

        def holds() -> bool:
            return condition() and not self.diverted

        while not holds():
            if not await self._wait(lambda: holds() or self._occupied):
                self._wire.record.note(otherwise)
                return
            await self._wire.changes.until(lambda: holds() or not self._occupied)

    async def _wait(self, condition: Callable[[], bool]) -> bool:
        """Wait for the program with patience; and for the idle timeout of turn detection, which makes its own."""
        clock, idle = self._wire.clock, self._idle_until()
        patience = clock.patience(self._wire.timings.patience)
        if idle is not None:
            patience += clock.real(max(0.0, idle - clock.now()))
        return await self._wire.changes.until(condition, seconds=patience)

    def _position_ms(self) -> int:
        return int((self._wire.clock.now() - self._began) * 1000)

    async def _say(self, step: CallerSays) -> None:
        wire = self._wire
        item_id = wire.ids("item")
        turns = self._session.turn_detection
        if turns is not None:
            self._speaks = True
            self._responses.playback.quiet_since = None
            wire.emit("input_audio_buffer.speech_started", audio_start_ms=self._position_ms(), item_id=item_id)
            if turns["interrupt_response"]:
                self._responses.interrupt()
        seconds = self._seconds(step)
        await wire.clock.sleep(seconds)
        if turns is None:
            # Nobody notices the end of the turn; the words wait for the client's commit.
            self._uncommitted.append(step)
            self._unanswered = self._responses.created
            return
        await wire.clock.sleep(turns.get("silence_duration_ms", 200) / 1000)
        self._speaks = False
        wire.emit("input_audio_buffer.speech_stopped", audio_end_ms=self._position_ms(), item_id=item_id)
        created = self._responses.created
        self._commit(step.text, item_id, seconds, transcribed=step.transcribed)
        if self._session.kind != "realtime":
            return
        # The session may have been updated meanwhile; that it counts at the end of the turn is a guess.
        if not (self._session.turn_detection or turns)["create_response"]:
            self._unanswered = created
            return
        await wire.clock.sleep(wire.timings.turn)
        if self._responses.created == created:  # Else the client's response.create came first.
            self._responses.create_for_turn()

    def _seconds(self, step: CallerSays) -> float:
        if step.seconds is not None:
            return step.seconds
        return len(step.text) / self._wire.timings.caller_characters_per_second

    def _commit(self, text: str, item_id: str, seconds: float, *, transcribed: bool) -> None:
        wire = self._wire
        self._add_turn(item_id, seconds)
        wire.record.keep(wire.record.said, Said("caller", text))
        self._turns += 1
        if self._session.transcribes:
            wire.spawn(self._transcribe(text, item_id, seconds, transcribed=transcribed))

    def _add_turn(self, item_id: str, seconds: float) -> None:
        wire = self._wire
        wire.emit("input_audio_buffer.committed", previous_item_id=self._conversation.last_id, item_id=item_id)
        item: Frame = {
            "id": item_id,
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        tokens = int(seconds * AUDIO_TOKENS_IN)
        previous = self._conversation.add(item, audio=tokens)
        self._conversation.done(item, previous, audio=tokens)

    async def _transcribe(self, text: str, item_id: str, seconds: float, *, transcribed: bool) -> None:
        wire = self._wire
        soonest, latest = wire.timings.transcription
        # Spread over the range, differently each turn, and the same in every run.
        await wire.clock.sleep(soonest + (latest - soonest) * (self._turns * 0.37 % 1))
        where = {"item_id": item_id, "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        if not transcribed:
            error = {
                "type": "server_error",
                "code": None,
                "message": f"Input transcription failed for item '{item_id}'.",
                "param": None,
            }
            wire.emit(f"{kind}.failed", **where, error=error)
            return
        for token in pieces(text):
            wire.emit(f"{kind}.delta", **where, delta=token)
        self._conversation.transcribed(item_id, text)
        usage = {"type": "duration", "seconds": math.ceil(seconds)}
        wire.emit(f"{kind}.completed", **where, transcript=text, usage=usage)

    async def _press(self, digits: str) -> None:
        wire = self._wire
        for index, digit in enumerate(digits):
            if index:
                await wire.clock.sleep(wire.timings.digit)
            # The one event without an event_id (recorded).
            wire.emit_frame(
                {
                    "type": "input_audio_buffer.dtmf_event_received",
                    "event": digit,
                    "received_at": int(wire.clock.unix()),
                }
            )
