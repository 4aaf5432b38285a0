"""The model's side of an emulated line: responses as they are recorded, and their playback."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Literal

from realtime_sip.testing.conversation import AUDIO_TOKENS_OUT, EmulatedConversation, text_tokens
from realtime_sip.testing.frames import Frame, Refusal, pieces
from realtime_sip.testing.record import Said
from realtime_sip.testing.scenario import ModelCalls, ModelSays, ModelStep, Scenario
from realtime_sip.testing.session import EmulatedSession
from realtime_sip.testing.wire import Wire

__all__ = ["PLACEHOLDER", "Responses"]

PLACEHOLDER = "This response is not in the script."
"""What the model says where the scenario has nothing for it."""

_PARAMETERS = frozenset(
    {
        "audio",
        "conversation",
        "input",
        "instructions",
        "max_output_tokens",
        "metadata",
        "output_modalities",
        "parallel_tool_calls",
        "prompt",
        "reasoning",
        "tool_choice",
        "tools",
    }
)
_SILENCE = base64.b64encode(bytes(960)).decode()
_STARTS_AFTER = 3
"""The deltas that were recorded before the audio began to play."""
_MAX_OUT_OF_BAND = 32

_Reason = Literal["turn_detected", "client_cancelled"]


@dataclass(slots=True)
class _Response:
    id: str
    steps: list[ModelStep]
    text_only: bool
    conversation_id: str | None
    max_output_tokens: int | str
    audio: dict[str, Any]
    metadata: Any
    output: list[Frame] = field(default_factory=list)
    started: list[_OpenItem] = field(default_factory=list)
    playing: bool = False
    over: bool = False
    text_tokens: int = 0
    audio_seconds: float = 0.0
    task: asyncio.Task[None] | None = None

    def shown(self, status: str, *, details: Frame | None = None, usage: Frame | None = None) -> Frame:
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": list(self.output),
            "conversation_id": self.conversation_id,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "max_output_tokens": self.max_output_tokens,
            "audio": {"output": self.audio},
            "usage": usage,
            "metadata": self.metadata,
        }


@dataclass(slots=True)
class _OpenItem:
    index: int
    item: Frame
    previous: str | None
    text: str = ""


@dataclass(slots=True)
class _Playback:
    response: _Response
    item_id: str
    seconds: float
    began: float = 0.0
    task: asyncio.Task[None] | None = None


class Responses:
    """Creates responses, one at a time in the conversation and any number outside of it, and plays their audio."""

    def __init__(
        self,
        wire: Wire,
        session: EmulatedSession,
        conversation: EmulatedConversation,
        scenario: Scenario,
        *,
        primary: bool,
    ) -> None:
        self._wire = wire
        self._session = session
        self._conversation = conversation
        self._scenario = scenario
        self._primary = primary
        self._active: _Response | None = None
        self._out_of_band: dict[str, _Response] = {}
        self._playing: _Playback | None = None
        self._to_play: list[_Playback] = []
        self._turn_waits = False
        self.created = 0
        """How many responses were created in the conversation."""
        self.expected = False
        """Whether the client is expected to create a response now."""

    @property
    def busy(self) -> bool:
        """Whether a response is active in the conversation, or anything is playing."""
        return self._active is not None or self.heard or self._turn_waits

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model now."""
        return self._playing is not None

    def create(self, event: Frame) -> None:
        """Take the client's `response.create`.

        Raises:
            Refusal: It is not valid, or a response is active.
        """
        given = event.get("response")
        parameters: Frame = {} if given is None else given
        _check(parameters)
        if self._session.kind != "realtime":
            raise Refusal("A transcription session has no responses.", code=None)
        if parameters.get("conversation") == "none":
            if len(self._out_of_band) >= _MAX_OUT_OF_BAND:
                raise Refusal("The emulator runs 32 responses out of band at once.", code=None)
            response = self._new(parameters, out_of_band=True)
            self._out_of_band[response.id] = response
            response.task = self._wire.spawn(self._run(response))
            return
        if self._active is not None:
            raise Refusal(
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        self._start(parameters)

    def create_for_turn(self) -> None:
        """Create a response because the caller has stopped speaking, as soon as none is active."""
        if self._active is not None:
            self._turn_waits = True
        else:
            self._start({})

    def cancel(self, event: Frame) -> None:
        """Take the client's `response.cancel`.

        Raises:
            Refusal: No such response is active; nothing changes.
        """
        wanted = event.get("response_id")
        active = self._out_of_band.get(wanted) if isinstance(wanted, str) else None
        if active is None and self._active is not None and wanted in (None, self._active.id):
            active = self._active
        if active is None:
            raise Refusal("Cancellation failed: no active response found.", code="response_cancel_not_active")
        self._cancel(active, "client_cancelled")

    def clear(self) -> None:
        """Take the client's `output_audio_buffer.clear`. Nothing is told where nothing plays."""
        self._clear(interrupted=False)

    def interrupt(self) -> None:
        """Stop generating and playing because the caller speaks; the service truncates by itself."""
        self._turn_waits = False
        if self._active is not None:
            self._cancel(self._active, "turn_detected")
        self._clear(interrupted=True)

    def _new(self, parameters: Frame, *, out_of_band: bool) -> _Response:
        steps = self._scenario.take_response(out_of_band=out_of_band)
        if not steps:
            self._wire.record.note("a response was created for which the scenario has no step")
            steps.append(ModelSays(PLACEHOLDER))
        audio = self._session.audio_output()
        audio.update((parameters.get("audio") or {}).get("output") or {})
        return _Response(
            id=self._wire.ids("resp"),
            steps=steps,
            text_only=(parameters.get("output_modalities") or self._session.modalities) == ["text"],
            conversation_id=None if out_of_band else self._conversation.id,
            max_output_tokens=parameters.get("max_output_tokens", self._session.max_output_tokens),
            audio=audio,
            metadata=parameters.get("metadata"),
        )

    def _start(self, parameters: Frame) -> None:
        self._active = response = self._new(parameters, out_of_band=False)
        self.created += 1
        self.expected = False
        response.task = self._wire.spawn(self._run(response))

    async def _run(self, response: _Response) -> None:
        wire = self._wire
        wire.emit("response.created", response=response.shown("in_progress"))
        await wire.clock.sleep(wire.timings.first_token)
        for index, step in enumerate(response.steps):
            if isinstance(step, ModelCalls):
                await self._call_function(response, index, step)
            else:
                await self._say(response, index, step.text)
        response.output = [opened.item for opened in response.started]
        self._end(response, "completed", None)

    async def _say(self, response: _Response, index: int, text: str) -> None:
        wire = self._wire
        item: Frame = {
            "id": wire.ids("item"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        opened = self._open(response, index, item)
        where = self._where(response, opened)
        part = {"type": "text", "text": ""} if response.text_only else {"type": "audio", "transcript": ""}
        wire.emit("response.content_part.added", **where, content_index=0, part=part)
        kind = "response.output_text.delta" if response.text_only else "response.output_audio_transcript.delta"
        tokens = pieces(text)
        for number, token in enumerate(tokens):
            opened.text += token
            wire.emit(kind, **where, content_index=0, delta=token, obfuscation=_padding(token))
            if number == min(_STARTS_AFTER, len(tokens)) - 1 and not response.text_only:
                self._sound(response, opened, text)
            await wire.clock.sleep(wire.timings.token)
        self._close_message(response, opened, "completed")

    async def _call_function(self, response: _Response, index: int, step: ModelCalls) -> None:
        wire = self._wire
        if not any(tool.get("name") == step.name for tool in self._session.shown()["tools"]):
            wire.record.note("the model calls a function that the session does not have")
        item: Frame = {
            "id": wire.ids("item"),
            "type": "function_call",
            "status": "in_progress",
            "name": step.name,
            "call_id": wire.ids("call"),
            "arguments": "",
        }
        opened = self._open(response, index, item)
        where = {**self._where(response, opened), "call_id": item["call_id"]}
        for token in pieces(step.as_json()):
            opened.text += token
            wire.emit("response.function_call_arguments.delta", **where, delta=token, obfuscation=_padding(token))
            await wire.clock.sleep(wire.timings.token)
        wire.emit("response.function_call_arguments.done", **where, name=step.name, arguments=opened.text)
        self._close_item(response, opened, {**item, "status": "completed", "arguments": opened.text})

    def _open(self, response: _Response, index: int, item: Frame) -> _OpenItem:
        opened = _OpenItem(index, item, None)
        response.started.append(opened)
        self._wire.emit("response.output_item.added", response_id=response.id, output_index=index, item=dict(item))
        if response.conversation_id is not None:
            opened.previous = self._conversation.add(item)
        return opened

    def _where(self, response: _Response, opened: _OpenItem) -> Frame:
        return {"response_id": response.id, "item_id": opened.item["id"], "output_index": opened.index}

    def _close_message(self, response: _Response, opened: _OpenItem, status: str) -> None:
        wire, where, text = self._wire, self._where(response, opened), opened.text
        if response.text_only:
            wire.emit("response.output_text.done", **where, content_index=0, text=text)
            part = {"type": "text", "text": text}
        else:
            wire.emit("response.output_audio.done", **where, content_index=0)
            wire.emit("response.output_audio_transcript.done", **where, content_index=0, transcript=text)
            part = {"type": "audio", "transcript": text}
            response.audio_seconds += len(text) / wire.timings.characters_per_second
        wire.emit("response.content_part.done", **where, content_index=0, part=part)
        key = "text" if response.text_only else "transcript"
        content = [{"type": f"output_{part['type']}", key: text}]
        wire.record.keep(wire.record.said, Said("model", text))
        self._close_item(response, opened, {**opened.item, "status": status, "content": content})

    def _close_item(self, response: _Response, opened: _OpenItem, item: Frame) -> None:
        opened.item = item
        tokens = text_tokens(opened.text)
        response.text_tokens += tokens
        if response.conversation_id is not None:
            self._conversation.done(item, opened.previous, text=tokens)
        self._wire.emit(
            "response.output_item.done", response_id=response.id, output_index=opened.index, item=dict(item)
        )

    def _end(self, response: _Response, status: str, details: Frame | None) -> None:
        response.over = True
        usage = self._conversation.usage(
            instructions=self._session.instructions,
            output_text=response.text_tokens,
            output_audio=int(response.audio_seconds * AUDIO_TOKENS_OUT),
        )
        self._out_of_band.pop(response.id, None)
        if self._active is response:
            self._active = None
            calls = any(opened.item["type"] == "function_call" for opened in response.started)
            self.expected = calls and status == "completed"
        self._wire.emit("response.done", response=response.shown(status, details=details, usage=usage))
        if not self._primary:
            limits = {"name": "tokens", "limit": 15_000_000, "remaining": 14_990_000, "reset_seconds": 0.04}
            self._wire.emit("rate_limits.updated", rate_limits=[limits])
        if self._turn_waits and self._active is None:
            self._turn_waits = False
            self._start({})
        self._wire.changes.notify()

    def _cancel(self, response: _Response, reason: _Reason) -> None:
        if response.task is not None:
            response.task.cancel()
        for opened in response.started:
            if opened.item["status"] == "in_progress":
                if opened.item["type"] == "message":
                    self._close_message(response, opened, "incomplete")
                else:
                    self._close_item(response, opened, {**opened.item, "status": "incomplete"})
        response.output = [opened.item for opened in response.started]
        self._end(response, "cancelled", {"type": "cancelled", "reason": reason})

    def _sound(self, response: _Response, opened: _OpenItem, text: str) -> None:
        self._session.voice_was_heard()
        if self._primary:
            for _ in range(3):
                where = self._where(response, opened)
                self._wire.emit("response.output_audio.delta", **where, content_index=0, delta=_SILENCE)
            return
        seconds = len(text) / self._wire.timings.characters_per_second
        if response.playing:  # One more item of a response that is being played already.
            for playback in (self._playing, *self._to_play):
                if playback is not None and playback.response is response:
                    playback.seconds += seconds
            return
        response.playing = True
        self._to_play.append(_Playback(response, opened.item["id"], seconds))
        self._play_next()

    def _play_next(self) -> None:
        if self._playing is not None or not self._to_play:
            self._wire.changes.notify()
            return
        self._playing = playback = self._to_play.pop(0)
        playback.began = self._wire.clock.now()
        self._wire.emit("output_audio_buffer.started", response_id=playback.response.id)
        playback.task = self._wire.spawn(self._play(playback))

    async def _play(self, playback: _Playback) -> None:
        clock = self._wire.clock
        while (left := playback.began + playback.seconds - clock.now()) > 0:
            await clock.sleep(left)
        # Generation is faster than speech, so the end of the sound follows response.done, as recorded.
        await self._wire.changes.until(lambda: playback.response.over)
        self._playing = None
        self._wire.emit("output_audio_buffer.stopped", response_id=playback.response.id)
        self._play_next()

    def _clear(self, *, interrupted: bool) -> None:
        self._to_play.clear()
        playback, self._playing = self._playing, None
        if playback is None:
            return
        if playback.task is not None:
            playback.task.cancel()
        self._wire.emit("output_audio_buffer.cleared", response_id=playback.response.id)
        if interrupted and self._wire.behaviour.truncation_reported and playback.response.conversation_id is not None:
            heard = min(self._wire.clock.now() - playback.began, playback.seconds)
            self._conversation.truncated(playback.item_id, int(heard * 1000))
        self._wire.changes.notify()


def _padding(token: str) -> str:
    return "x" * (16 - len(token) % 16)


def _check(parameters: object) -> None:
    if not isinstance(parameters, dict):
        raise Refusal("The response must be an object.", code="invalid_type", param="response")
    for name in parameters:
        if name not in _PARAMETERS:
            # The words of the beta API among them: modalities, voice, output_audio_format, temperature.
            param = f"response.{str(name)[:80]}"
            raise Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if parameters.get("conversation", "auto") not in ("auto", "none"):
        raise Refusal(
            "Invalid value. Supported values are: 'auto' and 'none'.",
            code="invalid_value",
            param="response.conversation",
        )
    if parameters.get("output_modalities", ["audio"]) not in (["audio"], ["text"]):
        raise Refusal(
            "Invalid value. Supported values are: ['text'] and ['audio'].",
            code="invalid_value",
            param="response.output_modalities",
        )
    metadata = parameters.get("metadata")
    if metadata is not None and (
        not isinstance(metadata, dict)
        or len(metadata) > 16
        or any(len(k) > 64 or not isinstance(v, str) or len(v) > 512 for k, v in metadata.items())
    ):
        raise Refusal(
            "Invalid 'response.metadata': at most 16 pairs, keys of 64 and values of 512 characters.",
            code="invalid_value",
            param="response.metadata",
        )
