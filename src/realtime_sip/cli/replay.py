"""What the demo does with a recorded session: whose part it plays, and what it answers in place of recorded tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from realtime_sip import events, items
from realtime_sip.api.sideband import AsyncSideband
from realtime_sip.cli.screen import Screen
from realtime_sip.cli.shown import conversation
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.outcomes import SocketClose
from realtime_sip.testing import OpenAIEmulator, RecordedFrame, Recording

__all__ = ["for_a_call", "outputs", "replay_primary"]


def for_a_call(recorded: Recording) -> Recording:
    """Return the recording without the messages that its client wrote into the conversation.

    They stand for a caller's words. A server that answers calls lets the caller speak, and would be waited for in vain.
    """
    return Recording(frame for frame in recorded.frames if not _is_message(frame))


def outputs(frames: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the outputs of tools among what a client sent."""
    sent = [frame.get("item") or {} for frame in frames if frame.get("type") == "conversation.item.create"]
    return [str(item.get("output")) for item in sent if item.get("type") == "function_call_output"]


async def replay_primary(
    openai: OpenAIEmulator, client: AsyncRealtimeSip, recorded: Recording, screen: Screen
) -> dict[str, bool]:
    """Hold the recorded conversation on a primary socket, and return what was to happen and whether it did.

    A primary socket is no call: nobody answers it and nobody hangs up, so the conversation is held by hand.
    """
    tools = _recorded_outputs(recorded)
    line = openai.expect_socket(recording=recorded)
    async with screen.following(conversation(line)), client.connect(model="gpt-realtime-2.1") as socket:
        screen.show("server", "primary socket open")
        close = await _converse(socket, tools, opening=_recorded_words(recorded))
        screen.show("server", f"socket closed: {close}")
    assert line.replay is not None
    return {
        "every tool that the recording calls has answered": set(tools.values()) <= set(outputs(line.client_events)),
        "the recording was played to its end": line.replay.complete,
        "the socket closes in good order": close is not None and close.quiet,
    }


async def _converse(socket: AsyncSideband, tools: Mapping[str, str], *, opening: str) -> SocketClose | None:
    """Open the conversation, answer every tool call with its recorded output, and return how the socket closed."""
    await socket.session_update({"tool_choice": "auto"})
    await socket.conversation_item_create(items.UserMessage.text(opening))
    await socket.response_create()
    answered = False
    async for event in socket:
        match event:
            case events.ResponseOutputItemDone(item=items.FunctionCallItem() as call) if call.call_id:
                output = items.FunctionCallOutput(call_id=call.call_id, output=tools.get(call.name or "", ""))
                await socket.conversation_item_create(output)
                answered = True
            case events.ResponseDone() if answered:
                # Only now: while a response is active, another one is refused.
                answered = False
                await socket.response_create()
    return socket.closed


def _is_message(frame: RecordedFrame) -> bool:
    match frame.direction, frame.data:
        case "sent", {"type": "conversation.item.create", "item": {"type": "message"}}:
            return True
    return False


def _recorded_outputs(recorded: Recording) -> dict[str, str]:
    """Return what each tool of the recording answered, by its name."""
    names = {
        frame.data["call_id"]: frame.data["name"]
        for frame in recorded.frames
        if frame.type == "response.function_call_arguments.done"
    }
    sent = [frame.data for frame in recorded.frames if frame.direction == "sent"]
    created = [frame.get("item") or {} for frame in sent if frame.get("type") == "conversation.item.create"]
    return {
        names[item["call_id"]]: item["output"]
        for item in created
        if item.get("type") == "function_call_output" and item.get("call_id") in names
    }


def _recorded_words(recorded: Recording) -> str:
    """Return what the recorded person typed, if anything."""
    for frame in recorded.frames:
        match frame.data:
            case {"type": "conversation.item.create", "item": {"role": "user", "content": [{"text": str(words)}, *_]}}:
                return words
    return "Hello."
