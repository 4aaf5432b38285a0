"""The MCP servers that an emulated session calls: their tools, approvals and calls.

The order of the events is that of the API guide (November 2026) and of the vendor's own example for approvals. Nobody
has published a recording, so when an item of a call is told to be done, and in what, is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime_sip.testing.openai.conversation import EmulatedConversation, text_tokens
from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.openai.session import EmulatedSession
from realtime_sip.testing.openai.wire import Wire
from realtime_sip.testing.scenario import ModelCallsMcp, Scenario

__all__ = ["McpServers"]


@dataclass(slots=True, kw_only=True)
class _Call:
    step: ModelCallsMcp
    item: Frame
    output_index: int
    done: Callable[[Frame], None]


class McpServers:
    """Lists tools, asks for approval, and carries calls out. `ended` is called whenever a call is over or denied."""

    def __init__(
        self,
        wire: Wire,
        session: EmulatedSession,
        conversation: EmulatedConversation,
        scenario: Scenario,
        *,
        ended: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._session = session
        self._conversation = conversation
        self._scenario = scenario
        self._ended = ended
        self._listed: set[str] = set()
        self._waiting: dict[str, _Call] = {}
        self._running = 0

    @property
    def running(self) -> bool:
        """Whether a server is at work on a call."""
        return self._running > 0

    @property
    def waiting(self) -> bool:
        """Whether a call waits for the client's approval."""
        return bool(self._waiting)

    def list_tools(self) -> None:
        """Let the servers that are new in the session tell their tools."""
        for tool in self._tools():
            label = str(tool.get("server_label"))
            if label not in self._listed:
                self._listed.add(label)
                self._wire.spawn(self._list(tool, label))

    def call(
        self,
        step: ModelCallsMcp,
        item: Frame,
        output_index: int,
        *,
        ask: Callable[[Frame], None],
        done: Callable[[Frame], None],
    ) -> None:
        """Carry a call out, or ask first.

        `item` is the call's. `ask` is called with the item of a request for approval, `done` with that of the call at
        its end.
        """
        call = _Call(step=step, item=item, output_index=output_index, done=done)
        if not self._needs_approval(step):
            self._run(call)
            return
        what = {key: item[key] for key in ("server_label", "name", "arguments")}
        request: Frame = {"id": self._wire.ids("mcpr"), "type": "mcp_approval_request", **what}
        call.item["approval_request_id"] = request["id"]
        self._waiting[request["id"]] = call
        ask(request)

    def answered(self, item: Frame) -> None:
        """Take the client's `mcp_approval_response`."""
        call = self._waiting.pop(item["approval_request_id"], None)
        if call is None:
            # How the service takes one is not known.
            self._wire.record.note("an mcp_approval_response came for a request that is not open")
        elif item["approve"]:
            self._run(call)
        else:
            self._ended()

    def _run(self, call: _Call) -> None:
        self._running += 1
        where = {"item_id": call.item["id"], "output_index": call.output_index}
        self._wire.emit("response.mcp_call.in_progress", **where)
        self._wire.spawn(self._carry_out(call, where))

    async def _carry_out(self, call: _Call, where: Frame) -> None:
        wire, step = self._wire, call.step
        await wire.clock.sleep(wire.timings.mcp_call if step.seconds is None else step.seconds)
        self._running -= 1
        if step.error is None:
            wire.emit("response.mcp_call.completed", **where)
            call.done({**call.item, "output": step.output})
        else:
            wire.emit("response.mcp_call.failed", **where)
            call.done({**call.item, "error": {"type": "tool_execution_error", "message": step.error}})
        self._ended()

    async def _list(self, tool: Mapping[str, Any], label: str) -> None:
        wire = self._wire
        item_id = wire.ids("mcpl")
        wire.emit("mcp_list_tools.in_progress", item_id=item_id)
        await wire.clock.sleep(wire.timings.mcp_listing)
        if wire.behavior.mcp_listing == "failed":
            wire.emit("mcp_list_tools.failed", item_id=item_id)
            return
        names = _names(tool.get("allowed_tools")) or self._scenario.mcp_tools(label)
        tools = [{"name": name, "description": None, "input_schema": {"type": "object"}} for name in names]
        item: Frame = {"id": item_id, "type": "mcp_list_tools", "server_label": label, "tools": tools}
        tokens = text_tokens(str(tools))
        self._conversation.done(item, self._conversation.add(item, text=tokens), text=tokens)
        wire.emit("mcp_list_tools.completed", item_id=item_id)

    def _tools(self) -> list[Mapping[str, Any]]:
        return [tool for tool in self._session.shown().get("tools", ()) if tool.get("type") == "mcp"]

    def _needs_approval(self, step: ModelCallsMcp) -> bool:
        tool = next((tool for tool in self._tools() if tool.get("server_label") == step.server_label), None)
        if tool is None:
            self._wire.record.note("the model calls an MCP server that the session does not have")
        if step.approval is not None:
            return step.approval
        wanted = None if tool is None else tool.get("require_approval")
        if isinstance(wanted, Mapping):
            # Of tools that neither filter names the guide says nothing; asking is the default of the whole.
            return step.name not in _names(wanted.get("never"))
        return wanted != "never"


def _names(given: object) -> list[str]:
    """Return the tools that a list or a filter of the session names."""
    if isinstance(given, Mapping):
        given = given.get("tool_names")
    return [str(name) for name in given] if isinstance(given, list) else []
