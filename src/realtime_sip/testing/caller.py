"""The caller's side of an emulated line: plays the scenario, is transcribed, and waits for the line to be quiet."""

from __future__ import annotations

import math
from collections.abc import Callable

from realtime_sip.testing.conversation import AUDIO_TOKENS_IN, EmulatedConversation
from realtime_sip.testing.frames import Frame, Refusal, pieces
from realtime_sip.testing.record import Said
from realtime_sip.testing.responses import Responses
from realtime_sip.testing.scenario import CallerHangsUp, CallerPresses, CallerSays, CallerStep, ModelStep, Scenario
from realtime_sip.testing.session import EmulatedSession
from realtime_sip.testing.wire import Wire

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
        self._uncommitted: list[CallerSays] = []
        self._began = wire.clock.now()

    async def play(self) -> None:
        """Play the scenario to its end."""
        while (step := self._scenario.next) is not None:
            if isinstance(step, ModelStep):
                await self._leave_to_model()
                continue
            self._scenario.advance()
            await (self._sound() if step.interrupting else self._quiet())
            await self._wire.clock.sleep(step.after)
            await self._do(step)

    async def _do(self, step: CallerStep) -> None:
        match step:
            case CallerSays():
                await self._say(step)
            case CallerPresses():
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
        self._commit(text, self._wire.ids("item"), transcribed=all(step.transcribed for step in said))
        self._responses.expected = True

    def clear(self) -> None:
        """Take the client's `input_audio_buffer.clear`."""
        self._uncommitted.clear()
        self._wire.emit("input_audio_buffer.cleared")

    async def _leave_to_model(self) -> None:
        """Wait until a response has taken the model's step; after the patience it is skipped."""
        position = self._scenario.position
        responses = self._responses

        def taken() -> bool:
            return self._scenario.position != position

        while not taken():
            await self._wire.changes.until(lambda: taken() or not responses.busy)
            if taken() or await self._wait(lambda: taken() or responses.busy):
                continue
            self._scenario.advance()
            self._wire.record.note(
                f"step {position + 1} of {self._scenario.total}, the model's, was skipped: nobody created a response"
            )
            return

    async def _quiet(self) -> None:
        """Wait until no response is active or expected, nothing plays, and that for a moment."""
        responses, changes, clock = self._responses, self._wire.changes, self._wire.clock
        while True:
            await changes.until(lambda: not responses.busy)
            if responses.expected:
                if not await self._wait(lambda: responses.busy or not responses.expected):
                    responses.expected = False
                    self._wire.record.note("the caller went on: a response was expected from the client, and none came")
                continue
            pause = clock.real(self._wire.timings.pause)
            if not await changes.until(lambda: responses.busy or responses.expected, seconds=pause):
                return

    async def _sound(self) -> None:
        """Wait until the model is heard."""
        responses = self._responses
        while not responses.heard:
            if not await self._wait(lambda: responses.heard or responses.busy):
                self._wire.record.note("the caller was to interrupt the model, but heard nothing")
                return
            await self._wire.changes.until(lambda: responses.heard or not responses.busy)

    async def _wait(self, condition: Callable[[], bool]) -> bool:
        timings = self._wire.timings
        return await self._wire.changes.until(condition, seconds=self._wire.clock.patience(timings.patience))

    def _position_ms(self) -> int:
        return int((self._wire.clock.now() - self._began) * 1000)

    async def _say(self, step: CallerSays) -> None:
        wire = self._wire
        item_id = wire.ids("item")
        turns = self._session.turn_detection
        if turns is not None:
            wire.emit("input_audio_buffer.speech_started", audio_start_ms=self._position_ms(), item_id=item_id)
            if turns["interrupt_response"]:
                self._responses.interrupt()
        await wire.clock.sleep(len(step.text) / wire.timings.characters_per_second)
        if turns is None:
            # Nobody notices the end of the turn; the words wait for the client's commit.
            self._uncommitted.append(step)
            self._responses.expected = True
            return
        await wire.clock.sleep(turns.get("silence_duration_ms", 200) / 1000)
        wire.emit("input_audio_buffer.speech_stopped", audio_end_ms=self._position_ms(), item_id=item_id)
        created = self._responses.created
        self._commit(step.text, item_id, transcribed=step.transcribed)
        if self._session.kind != "realtime":
            return
        if not turns["create_response"]:
            self._responses.expected = True
            return
        await wire.clock.sleep(wire.timings.turn)
        if self._responses.created == created:  # Else the client's response.create came first.
            self._responses.create_for_turn()

    def _commit(self, text: str, item_id: str, *, transcribed: bool) -> None:
        wire = self._wire
        seconds = len(text) / wire.timings.characters_per_second
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
        wire.record.keep(wire.record.said, Said("caller", text))
        self._turns += 1
        if self._session.transcribes:
            wire.spawn(self._transcribe(text, item_id, seconds, transcribed=transcribed))

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
                    "received_at": wire.clock.unix(),
                }
            )
