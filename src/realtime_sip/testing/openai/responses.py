"""The model's side of an emulated line: responses as they are recorded."""

from __future__ import annotations

import base64
from typing import Literal

from realtime_sip.testing.openai.conversation import (
    AUDIO_TOKENS_OUT,
    EmulatedConversation,
    text_tokens,
)
from realtime_sip.testing.openai.frames import BUSY, Frame, Refusal, pieces
from realtime_sip.testing.openai.mcp import McpServers
from realtime_sip.testing.openai.model import Model
from realtime_sip.testing.openai.parameters import check_parameters
from realtime_sip.testing.openai.playback import Playback
from realtime_sip.testing.openai.record import Said
from realtime_sip.testing.openai.response import OpenItem, Response
from realtime_sip.testing.openai.session import EmulatedSession
from realtime_sip.testing.openai.wire import Wire
from realtime_sip.testing.scenario import ModelCalls, ModelCallsMcp, ModelFails, ModelSays, ModelSaysNothing, Scenario

__all__ = ["Responses"]

_SILENCE = base64.b64encode(bytes(960)).decode()
_STARTS_AFTER = 3
"""The deltas that were recorded before the audio began to play."""
_BROKEN_OFF = '{"'
"""The arguments of a call that was broken off."""
_MAX_OUT_OF_BAND = 32

_Reason = Literal["turn_detected", "client_cancelled"]
_Status = Literal["completed", "incomplete"]


class Responses:
    """Creates responses, one at a time in the conversation and any number outside of it, and has their audio played."""

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
        self._model = Model(wire.record, session, conversation, scenario)
        self._primary = primary
        self._active: Response | None = None
        self._out_of_band: dict[str, Response] = {}
        self._turn_waits = False
        self._mcp_to_answer = False
        self.playback = Playback(wire, truncated=conversation.truncated)
        self.mcp = McpServers(wire, session, conversation, scenario, ended=self._mcp_ended)
        self.created = 0
        """How many responses were created in the conversation."""
        self.expected = False
        """Whether the client is expected to do something now, mostly to create a response."""

    @property
    def busy(self) -> bool:
        """Whether the service is at work: a response is active in the conversation, plays, or calls an MCP server."""
        return self._active is not None or self.heard or self._turn_waits or self.mcp.running

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model now."""
        return self.playback.heard

    @property
    def awaits_tool(self) -> bool:
        """Whether the model has called a tool that has not answered yet."""
        calls = self._conversation.awaits_output or self.mcp.running or self.mcp.waiting
        return calls and self._active is None

    def create(self, event: Frame) -> None:
        """Take the client's `response.create`.

        Raises:
            Refusal: It is not valid, or a response is active.
        """
        given = event.get("response")
        parameters = check_parameters({} if given is None else given)
        if self._session.kind != "realtime":
            raise Refusal("A transcription session has no responses.", code=None)
        if parameters.get("conversation") == "none":
            if len(self._out_of_band) >= _MAX_OUT_OF_BAND:
                raise Refusal("The emulator runs 32 responses out of band at once.", code=None)
            response = self._new(parameters, out_of_band=True)
            self._out_of_band[response.id] = response
            self._begin(response)
            return
        if self._active is not None:
            raise Refusal(
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
                code=BUSY,
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

    def interrupt(self) -> None:
        """Stop generating and playing because the caller speaks; the service truncates by itself."""
        self._turn_waits = False
        if self._active is not None:
            self._cancel(self._active, "turn_detected")
        self.playback.clear(interrupted=True)

    def _new(self, parameters: Frame, *, out_of_band: bool) -> Response:
        steps = self._model.next(parameters, out_of_band=out_of_band)
        audio = self._session.audio_output()
        audio.update((parameters.get("audio") or {}).get("output") or {})
        return Response(
            id=self._wire.ids("resp"),
            steps=steps,
            text_only=(parameters.get("output_modalities") or self._session.modalities) == ["text"],
            conversation_id=None if out_of_band else self._conversation.id,
            max_output_tokens=parameters.get("max_output_tokens", self._session.max_output_tokens),
            audio=audio,
            metadata=parameters.get("metadata"),
            read=self._conversation.tokens(self._session.instructions),
        )

    def _start(self, parameters: Frame) -> None:
        self._active = response = self._new(parameters, out_of_band=False)
        self.created += 1
        self.expected = False
        self._mcp_to_answer = False
        self._begin(response)

    def _begin(self, response: Response) -> None:
        # Sent at once: whoever reads the client's next event knows that this response is active.
        self._wire.emit("response.created", response=response.shown("in_progress"))
        response.task = self._wire.spawn(self._run(response))

    async def _run(self, response: Response) -> None:
        await self._wire.clock.sleep(self._wire.timings.first_token)
        for step in response.steps:
            match step:
                case ModelSays():
                    await self._say(response, step)
                case ModelSaysNothing():
                    pass
                case ModelCalls():
                    await self._call_function(response, step.name, step.as_json())
                case ModelCallsMcp():
                    await self._call_mcp(response, step)
                case ModelFails():
                    await self._fail(response, step)
                    return
        self._end(response, "completed", None)

    async def _fail(self, response: Response, step: ModelFails) -> None:
        if step.text:
            await self._say(response, ModelSays(step.text, seconds=step.seconds), status="incomplete")
        if step.calling is not None:
            await self._call_function(response, step.calling, _BROKEN_OFF, status="incomplete")
        self._end(response, step.status, step.details)

    async def _say(self, response: Response, step: ModelSays, *, status: _Status = "completed") -> None:
        wire, text, written = self._wire, step.text, step.as_text or response.text_only
        item: Frame = {
            "id": wire.ids("item"),
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        if step.phase is not None:
            item["phase"] = step.phase
        opened = self._open(response, item)
        opened.written = written
        opened.characters = len(text)
        pace = wire.timings.characters_per_second
        opened.seconds = len(text) / pace if step.seconds is None else step.seconds
        where = self._where(response, opened)
        part = {"type": "text", "text": ""} if written else {"type": "audio", "transcript": ""}
        wire.emit("response.content_part.added", **where, content_index=0, part=part)
        kind = "response.output_text.delta" if written else "response.output_audio_transcript.delta"
        tokens = pieces(text)
        for number, token in enumerate(tokens):
            opened.text += token
            wire.emit(kind, **where, content_index=0, delta=token, obfuscation=_padding(token))
            if number == min(_STARTS_AFTER, len(tokens)) - 1 and not written:
                self._sound(response, opened)
            self.playback.grow(opened.item["id"], opened.generated / AUDIO_TOKENS_OUT)
            await wire.clock.sleep(wire.timings.token)
        self._close_message(response, opened, status)

    async def _call_function(
        self, response: Response, name: str, arguments: str, *, status: _Status = "completed"
    ) -> None:
        wire = self._wire
        if not any(tool.get("name") == name for tool in self._session.shown()["tools"]):
            wire.record.note("the model calls a function that the session does not have")
        item: Frame = {
            "id": wire.ids("item"),
            "type": "function_call",
            "status": "in_progress",
            "name": name,
            "call_id": wire.ids("call"),
            "arguments": "",
        }
        opened = self._open(response, item)
        where = {**self._where(response, opened), "call_id": item["call_id"]}
        await self._write(opened, arguments, "response.function_call_arguments.delta", where)
        if status == "completed":
            wire.emit("response.function_call_arguments.done", **where, name=name, arguments=opened.text)
        self._close_item(response, opened, {**item, "status": status, "arguments": opened.text})

    async def _call_mcp(self, response: Response, step: ModelCallsMcp) -> None:
        item: Frame = {
            "id": self._wire.ids("mcp"),
            "type": "mcp_call",
            "server_label": step.server_label,
            "name": step.name,
            "arguments": "",
            "approval_request_id": None,
            "output": None,
            "error": None,
        }
        opened = self._open(response, item)
        where = self._where(response, opened)
        await self._write(opened, step.as_json(), "response.mcp_call_arguments.delta", where)
        self._wire.emit("response.mcp_call_arguments.done", **where, arguments=opened.text)
        opened.item = {**item, "arguments": opened.text}
        self.mcp.call(
            step,
            opened.item,
            opened.index,
            ask=lambda request: self._ask(response, request),
            done=lambda called: self._close_item(response, opened, called),
        )

    def _ask(self, response: Response, request: Frame) -> None:
        if self._wire.behavior.approval_request == "output":
            opened = self._open(response, request)
            self._close_item(response, opened, request)
        else:
            self._conversation.done(request, self._conversation.add(request))

    async def _write(self, opened: OpenItem, arguments: str, kind: str, where: Frame) -> None:
        for token in pieces(arguments):
            opened.text += token
            self._wire.emit(kind, **where, delta=token, obfuscation=_padding(token))
            await self._wire.clock.sleep(self._wire.timings.token)

    def _open(self, response: Response, item: Frame) -> OpenItem:
        opened = OpenItem(len(response.started), item, None)
        response.started.append(opened)
        where = {"response_id": response.id, "output_index": opened.index}
        self._wire.emit("response.output_item.added", **where, item=dict(item))
        if response.conversation_id is not None:
            opened.previous = self._conversation.add(item)
        return opened

    def _where(self, response: Response, opened: OpenItem) -> Frame:
        return {"response_id": response.id, "item_id": opened.item["id"], "output_index": opened.index}

    def _close_message(self, response: Response, opened: OpenItem, status: str) -> None:
        wire, where, text = self._wire, self._where(response, opened), opened.text
        if opened.written:
            wire.emit("response.output_text.done", **where, content_index=0, text=text)
            part = {"type": "text", "text": text}
        else:
            wire.emit("response.output_audio.done", **where, content_index=0)
            wire.emit("response.output_audio_transcript.done", **where, content_index=0, transcript=text)
            part = {"type": "audio", "transcript": text}
        wire.emit("response.content_part.done", **where, content_index=0, part=part)
        key = "text" if opened.written else "transcript"
        content = [{"type": f"output_{part['type']}", key: text}]
        wire.record.keep(wire.record.said, Said("model", text))
        response.audio_tokens += opened.generated
        done = {**opened.item, "status": status, "content": content}
        self._close_item(response, opened, done, audio=opened.generated)

    def _close_item(self, response: Response, opened: OpenItem, item: Frame, *, audio: int = 0) -> None:
        opened.item = item
        tokens = text_tokens(opened.text)
        response.text_tokens += tokens
        if response.conversation_id is not None:
            self._conversation.done(item, opened.previous, text=tokens, audio=audio)
        where = {"response_id": response.id, "output_index": opened.index}
        self._wire.emit("response.output_item.done", **where, item=dict(item))

    def _end(self, response: Response, status: str, details: Frame | None) -> None:
        response.over = True
        response.output = [opened.item for opened in response.started]
        usage = self._conversation.usage(
            response.read,
            output_text=response.text_tokens,
            output_audio=response.audio_tokens,
        )
        self._out_of_band.pop(response.id, None)
        if self._active is response:
            self._active = None
            self.expected = any(opened.calls for opened in response.started) or self.mcp.waiting
        self._wire.emit("response.done", response=response.shown(status, details=details, usage=usage))
        if not self._primary:
            limits = {"name": "tokens", "limit": 15_000_000, "remaining": 14_990_000, "reset_seconds": 0.04}
            self._wire.emit("rate_limits.updated", rate_limits=[limits])
        if self._turn_waits and self._active is None:
            self._turn_waits = False
            self._start({})
        self._answer_mcp()
        self._wire.changes.notify()

    def _mcp_ended(self) -> None:
        self._mcp_to_answer = True
        self._answer_mcp()
        self._wire.changes.notify()

    def _answer_mcp(self) -> None:
        if not self._mcp_to_answer or self._active is not None or self.mcp.running or self.mcp.waiting:
            return
        if self._wire.behavior.mcp_follow_up == "service":
            self._start({})
        else:
            self.expected = True

    def _cancel(self, response: Response, reason: _Reason) -> None:
        if response.task is not None:
            response.task.cancel()
        for opened in response.started:
            if opened.unfinished and opened.item["type"] == "message":
                self._close_message(response, opened, "incomplete")
            elif opened.unfinished:
                self._close_item(response, opened, {**opened.item, "status": "incomplete"})
        self._end(response, "cancelled", {"type": "cancelled", "reason": reason})

    def _sound(self, response: Response, opened: OpenItem) -> None:
        opened.sounds = True
        self._session.voice_was_heard()
        if self._primary:
            for _ in range(3):
                where = self._where(response, opened)
                self._wire.emit("response.output_audio.delta", **where, content_index=0, delta=_SILENCE)
            return
        self.playback.add(
            response.id,
            opened.item["id"],
            in_conversation=response.conversation_id is not None,
            made=lambda: response.over,
        )


def _padding(token: str) -> str:
    return "x" * (16 - len(token) % 16)
