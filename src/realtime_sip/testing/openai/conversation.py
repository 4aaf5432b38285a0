"""The items of an emulated conversation, and what its responses cost."""

from __future__ import annotations

import math
from typing import Any

from realtime_sip.testing.openai.frames import Frame, Refusal
from realtime_sip.testing.openai.wire import Wire

__all__ = ["AUDIO_TOKENS_IN", "AUDIO_TOKENS_OUT", "EmulatedConversation", "audio_tokens", "text_tokens"]

AUDIO_TOKENS_IN = 10
"""Tokens of one second of the caller's speech (costs guide: one per 100 ms)."""
AUDIO_TOKENS_OUT = 20
"""Tokens of one second of the model's speech (costs guide: one per 50 ms)."""

_MAX_ITEMS = 10_000
_PARTS = {
    "user": ("input_text", "input_audio", "input_image"),
    "system": ("input_text",),
    "assistant": ("output_text",),
}
_CREATABLE = ("message", "function_call", "function_call_output", "mcp_approval_response")


def audio_tokens(seconds: float) -> int:
    """Return the tokens of so much of the model's speech. What plays is as long as its tokens: 50 ms each."""
    return round(seconds * AUDIO_TOKENS_OUT)


def text_tokens(text: str) -> int:
    """Estimate the tokens of `text`: one for four characters. The service's tokenizer is not emulated."""
    return math.ceil(len(text) / 4)


class EmulatedConversation:
    """The items in order. The order of `added` and `done` is as recorded."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.id = wire.ids("conv")
        self._items: dict[str, Frame] = {}
        self._tokens: dict[str, tuple[int, int]] = {}
        self._open_calls: set[str] = set()
        self._cached = 0

    @property
    def last_id(self) -> str | None:
        """The id of the last item."""
        return next(reversed(self._items), None)

    @property
    def system_messages(self) -> list[str]:
        """What system messages say."""
        found = [item for item in self._items.values() if item.get("role") == "system"]
        return [str(part.get("text") or "") for item in found for part in item["content"]]

    @property
    def awaits_output(self) -> bool:
        """Whether a function was called whose output has not come."""
        return bool(self._open_calls)

    def add(self, item: Frame, *, text: int = 0, audio: int = 0, after: str | None = None) -> str | None:
        """Append `item`, tell `conversation.item.added`, and return the id of the item before it."""
        previous = after if after is not None else self.last_id
        if len(self._items) >= _MAX_ITEMS:
            raise Refusal("The conversation has too many items for the emulator.", code=None)
        self._items[item["id"]] = item
        self._tokens[item["id"]] = (text, audio)
        if item["type"] == "function_call":
            item.setdefault("call_id", self._wire.ids("call"))
            self._open_calls.add(item["call_id"])
        self._wire.emit("conversation.item.added", previous_item_id=previous, item=dict(item))
        return previous

    def done(self, item: Frame, previous: str | None, *, text: int = 0, audio: int = 0) -> None:
        """Tell `conversation.item.done` with the finished `item`."""
        self._items[item["id"]] = item
        self._tokens[item["id"]] = (text, audio)
        self._wire.emit("conversation.item.done", previous_item_id=previous, item=dict(item))

    def transcribed(self, item_id: str, transcript: str) -> None:
        """Put the transcript into a user's item."""
        item = self._items.get(item_id)
        if item is not None:
            item["content"] = [{"type": "input_audio", "transcript": transcript}]

    def create(self, event: Frame) -> Frame:
        """Take `conversation.item.create`, and return the item.

        Raises:
            Refusal: The item is not one that a client may create.
        """
        item = event.get("item")
        if not isinstance(item, dict):
            raise Refusal("Missing required parameter: 'item'.", code="missing_required_parameter", param="item")
        kind = item.get("type")
        if kind not in _CREATABLE:
            supported = ", ".join(f"'{name}'" for name in _CREATABLE)
            raise Refusal(f"Invalid value. Supported values are: {supported}.", code="invalid_value", param="item.type")
        previous = event.get("previous_item_id")
        if previous is not None and previous != "root" and previous not in self._items:
            # The code of this refusal is not known.
            raise Refusal("The previous item does not exist in the conversation.", code=None, param="previous_item_id")
        if isinstance(item.get("id"), str) and item["id"] in self._items:
            raise Refusal("An item with this id exists already.", code=None, param="item.id")
        new = {"id": item.get("id") or self._wire.ids("item"), **{k: v for k, v in item.items() if k != "id"}}
        text = 0
        if kind == "message":
            text = _check_message(item)
            new["status"] = "completed"
        elif kind == "function_call_output":
            text = self._check_output(item)
        elif kind == "mcp_approval_response":
            _require(item, "approval_request_id", str)
            _require(item, "approve", bool)
        before = self.add(new, text=text, after=None if previous == "root" else previous)
        self.done(new, before, text=text)
        return new

    def delete(self, event: Frame) -> None:
        """Take `conversation.item.delete`.

        Raises:
            Refusal: No such item.
        """
        item_id = self._find(event, "delete", "deleting")
        del self._items[item_id], self._tokens[item_id]
        self._wire.emit("conversation.item.deleted", item_id=item_id)

    def retrieve(self, event: Frame) -> None:
        """Take `conversation.item.retrieve`.

        Raises:
            Refusal: No such item.
        """
        item_id = self._find(event, "retrieve", "retrieving")
        self._wire.emit("conversation.item.retrieved", item=dict(self._items[item_id]))

    def truncate(self, event: Frame) -> None:
        """Take `conversation.item.truncate`.

        Raises:
            Refusal: No such item, or it has no audio of that length.
        """
        item_id = self._find(event, "truncate", "truncating")
        end = event.get("audio_end_ms")
        if not isinstance(end, int) or isinstance(end, bool) or end < 0:
            raise Refusal(
                "Missing required parameter: 'audio_end_ms'.", code="missing_required_parameter", param="audio_end_ms"
            )
        content = self._items[item_id].get("content") or [{}]
        if content[0].get("type") != "output_audio":
            raise Refusal("Only the model's audio can be truncated.", code=None, param="item_id")
        length = self._tokens[item_id][1] * 1000 // AUDIO_TOKENS_OUT
        if end > length:
            # The message is the service's, its code is not known.
            raise Refusal(
                f"Audio content of {length}ms is already shorter than {end}ms.",
                code="invalid_value",
                param="audio_end_ms",
            )
        self.truncated(item_id, end)

    def truncated(self, item_id: str, audio_end_ms: int) -> None:
        """Tell that only so much of the model's audio was heard."""
        self._wire.emit("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=audio_end_ms)

    def tokens(self, instructions: str) -> tuple[int, int]:
        """Return the text and audio tokens that a response gets to read now: the whole conversation, each time."""
        text = text_tokens(instructions) + sum(counts[0] for counts in self._tokens.values())
        return text, sum(counts[1] for counts in self._tokens.values())

    def usage(self, read: tuple[int, int], *, output_text: int, output_audio: int) -> dict[str, Any]:
        """Return the usage of a response that has read so many tokens; consistent, but not the real counts.

        What the response before has read counts as cached, in steps of 64 tokens, text first.
        """
        text, audio = read
        cached = min(self._cached, text + audio) // 64 * 64
        self._cached = text + audio
        cached_text = min(cached, text)
        return {
            "total_tokens": text + audio + output_text + output_audio,
            "input_tokens": text + audio,
            "output_tokens": output_text + output_audio,
            "input_token_details": {
                "text_tokens": text,
                "audio_tokens": audio,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": cached_text,
                    "audio_tokens": cached - cached_text,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": output_text, "audio_tokens": output_audio},
        }

    def _find(self, event: Frame, verb: str, doing: str) -> str:
        item_id = event.get("item_id")
        if not isinstance(item_id, str):
            raise Refusal("Missing required parameter: 'item_id'.", code="missing_required_parameter", param="item_id")
        if item_id not in self._items:
            raise Refusal(
                f"Error {doing} item: the item with id '{item_id[:80]}' does not exist.",
                code=f"item_{verb}_invalid_item_id",
                param="item_id",
            )
        return item_id

    def _check_output(self, item: Frame) -> int:
        _require(item, "call_id", str)
        _require(item, "output", str)
        call_id = item["call_id"]
        if not any(each["type"] == "function_call" and each.get("call_id") == call_id for each in self._items.values()):
            # Reported in words like these; the code is not certain.
            raise Refusal(
                f"Tool call ID '{call_id[:80]}' not found in conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )
        if call_id not in self._open_calls:
            # How the service takes a second output is not known; the record tells it.
            self._wire.record.note("a function_call_output came for a call that has one already")
        self._open_calls.discard(call_id)
        return text_tokens(item["output"])


def _require(item: Frame, name: str, kind: type) -> None:
    if not isinstance(item.get(name), kind):
        raise Refusal(
            f"Missing required parameter: 'item.{name}'.", code="missing_required_parameter", param=f"item.{name}"
        )


def _check_message(item: Frame) -> int:
    role, content = item.get("role"), item.get("content")
    if role not in _PARTS:
        raise Refusal(
            "Invalid value. Supported values are: 'user', 'system', 'assistant'.",
            code="invalid_value",
            param="item.role",
        )
    if not isinstance(content, list) or not content:
        raise Refusal(
            "Missing required parameter: 'item.content'.", code="missing_required_parameter", param="item.content"
        )
    tokens = 0
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in _PARTS[role]:
            supported = ", ".join(f"'{name}'" for name in _PARTS[role])
            raise Refusal(
                f"Invalid value. Supported values are: {supported}.",
                code="invalid_value",
                param=f"item.content[{index}].type",
            )
        tokens += text_tokens(str(part.get("text") or ""))
    return tokens
