"""Who spoke when, and which tools ran, read from the events of a call, live or from its log. It keeps no words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from realtime_sip.call.record.frame import get, has, text


@dataclass(slots=True)
class Turn:
    """What one side said in one go. Times are those of whoever passes the events.

    Attributes:
        begin: When the service reported that it began: the caller's first sound, or the agent's audio playing.
        end: The same for its end.
        interrupted: Agent: whether it was cut off.
        outside: Agent: whether the response is outside of the conversation.
        wait: Agent: seconds from the end of the caller's turn to `begin`, if this is the first answer to it.
        tokens: Agent: tokens of the response, in and out.
    """

    begin: float | None = None
    end: float | None = None
    interrupted: bool = False
    outside: bool = False
    wait: float | None = None
    tokens: int = 0


@dataclass(slots=True)
class ToolCall:
    """A function that the program runs, or a tool of an MCP server that the service runs.

    Attributes:
        name: Its name.
        server: The label of its MCP server; "" for a function.
        response_id: The response that called it.
        begin: When the model had written its arguments.
        end: When its output was sent, or the server's was reported.
        failed: Whether the MCP server failed.
    """

    name: str
    server: str = ""
    response_id: str = ""
    begin: float | None = None
    end: float | None = None
    failed: bool = False


class Turns:
    """The turns and tools of one call.

    Attributes:
        caller: The caller's turns, by the id of their item.
        agent: The agent's, by the id of their response.
        tools: The tools, by the id of the function call, or of the item of an MCP call.
    """

    def __init__(self) -> None:
        self.caller: dict[str, Turn] = {}
        self.agent: dict[str, Turn] = {}
        self.tools: dict[str, ToolCall] = {}
        self._asked: float | None = None  # the end of the caller's turn that nobody has answered yet

    def receive(self, kind: str, event: object, at: float) -> None:
        """Take in what the service says."""
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, event, at)

    def send(self, event: object, at: float) -> None:
        """Take in an item that was sent: the output of a function, or another."""
        if text(event, "item", "type") == "function_call_output":
            tool = self.tools.get(text(event, "item", "call_id"))
            if tool is not None and tool.end is None:
                tool.end = at

    # --- the caller ---------------------------------------------------------------------------------------------------

    def of_caller(self, event: object) -> Turn:
        """Return the caller's turn that an event is about."""
        return self.caller.setdefault(text(event, "item_id"), Turn())

    def _caller_began(self, event: object, at: float) -> None:
        self.of_caller(event).begin = at

    def _caller_ended(self, event: object, at: float) -> None:
        self.of_caller(event).end = self._asked = at

    # --- the agent ----------------------------------------------------------------------------------------------------

    def of_agent(self, response_id: str) -> Turn:
        """Return the agent's turn of a response."""
        return self.agent.setdefault(response_id, Turn())

    def _began(self, event: object, at: float) -> None:
        turn = self.of_agent(text(event, "response_id"))
        if turn.begin is None:
            turn.begin = at
            if not turn.outside:
                turn.wait = None if self._asked is None else round(at - self._asked, 3)
                self._asked = None

    def _stopped(self, event: object, at: float) -> None:
        self.of_agent(text(event, "response_id")).end = at

    def _cleared(self, event: object, at: float) -> None:
        turn = self.of_agent(text(event, "response_id"))
        turn.end, turn.interrupted = at, True

    def _wrote(self, event: object, at: float) -> None:
        turn = self.of_agent(text(event, "response_id"))
        if turn.begin is None:
            self._began(event, at)
            turn.end = at

    def _made(self, event: object, _at: float) -> None:
        response = get(event, "response")
        turn = self.of_agent(text(response, "id"))
        turn.outside = turn.outside or (has(response, "conversation_id") and get(response, "conversation_id") is None)

    def _done(self, event: object, at: float) -> None:
        self._made(event, at)
        response = get(event, "response")
        turn = self.of_agent(text(response, "id"))
        total = get(response, "usage", "total_tokens")
        turn.tokens = total if isinstance(total, int) and total >= 0 else 0
        turn.interrupted = turn.interrupted or text(response, "status") == "cancelled"

    # --- tools --------------------------------------------------------------------------------------------------------

    def _item(self, event: object, _at: float) -> None:
        item, response_id = get(event, "item"), text(event, "response_id")
        kind, name = text(item, "type"), text(item, "name")
        if kind == "function_call":
            self.tools.setdefault(text(item, "call_id"), ToolCall(name, response_id=response_id))
        elif kind == "mcp_call":
            self.tools.setdefault(text(item, "id"), ToolCall(name, text(item, "server_label"), response_id))

    def _called(self, event: object, at: float) -> None:
        unseen = ToolCall(text(event, "name"), response_id=text(event, "response_id"))
        self.tools.setdefault(text(event, "call_id"), unseen).begin = at

    def _mcp_begins(self, event: object, at: float) -> None:
        tool = self.tools.get(text(event, "item_id"))
        if tool is not None:
            tool.begin = at

    def _mcp_ends(self, event: object, at: float) -> None:
        tool = self.tools.get(text(event, "item_id"))
        if tool is not None:
            tool.end = at

    def _mcp_fails(self, event: object, at: float) -> None:
        tool = self.tools.get(text(event, "item_id"))
        if tool is not None:
            tool.end, tool.failed = at, True


_HANDLERS: dict[str, Callable[[Turns, object, float], None]] = {
    "input_audio_buffer.speech_started": Turns._caller_began,
    "input_audio_buffer.speech_stopped": Turns._caller_ended,
    "output_audio_buffer.started": Turns._began,
    "output_audio_buffer.stopped": Turns._stopped,
    "output_audio_buffer.cleared": Turns._cleared,
    "response.created": Turns._made,
    "response.output_text.done": Turns._wrote,
    "response.done": Turns._done,
    "response.output_item.added": Turns._item,
    "response.output_item.done": Turns._item,
    "response.function_call_arguments.done": Turns._called,
    "response.mcp_call.in_progress": Turns._mcp_begins,
    "response.mcp_call.completed": Turns._mcp_ends,
    "response.mcp_call.failed": Turns._mcp_fails,
}
