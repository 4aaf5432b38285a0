"""Function calls and calls of MCP servers: each is run once, its output arrives, and is answered once.

A tool runs once per `call_id`, from the completed items of responses in the conversation. Its output is sent as soon as
it is there, and again over a new sideband until the conversation was seen to hold it. Only the response to it waits
(`wants.rule_ask`): until the response that called has ended, and all tools have reported. A response that the service
started meanwhile, knowing the output, is as good.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from realtime_sip import events
from realtime_sip.call.machine import refusals
from realtime_sip.call.machine.effects import AskApproval, RunTool
from realtime_sip.call.machine.inputs import ApprovalDecided, ToolEnded
from realtime_sip.call.machine.state import Called, CallState, Tool, answered, ask, remember, send
from realtime_sip.call.record.frame import get, text
from realtime_sip.items import FunctionCallOutput, McpApprovalResponse, SystemMessage
from realtime_sip.tools.registry import error_output

TOOL = 120.0
"""Seconds for the output of a tool; after that it holds nothing up."""
MCP = 30.0
"""Seconds for an approval, for an approved MCP call to begin, and for one in progress to end."""
SHOWN = 60.0
"""Seconds for an item of ours to be shown by the conversation; then it is taken to be there."""
_MAX_ITEMS = 100
_MAX_RUNNING = 64
_TOO_MANY = error_output("It was not called, since too many tools are running. Wait for their results.")
_MAX_REFUSALS = 2
NOT_TAKEN = error_output("Its result could not be passed on. Tell the caller that it did not work.")


def tools_hold(s: CallState) -> bool:
    """Whether a tool, or an MCP call, has not reported yet, so that the answer to others waits for it."""
    return bool(s.tools) and any(
        state is Tool.RUNNING and f"tool {name}" in s.timers for name, state in s.tools.items()
    )


def to_answer(s: CallState) -> list[str]:
    """Return the calls whose output no response has taken up."""
    return [name for name, state in s.tools.items() if state is not Tool.RUNNING]


def covered(s: CallState, names: Iterable[str]) -> None:
    """Record that a response took up these outputs."""
    for name in names:
        if s.tools.get(name, Tool.RUNNING) is not Tool.RUNNING:
            del s.tools[name]


def run(s: CallState, name: str, seconds: float) -> None:
    """Record that a call is under way."""
    s.tools[name] = Tool.RUNNING
    s.timers.set(f"tool {name}", s.now + seconds)


def over(s: CallState, name: str, state: Tool | None) -> None:
    """Record that a call is no longer under way; None if there is nothing to answer."""
    s.timers.stop(f"tool {name}")
    s.called.pop(name.partition(" ")[2], None)
    if state is None:
        s.tools.pop(name, None)
    else:
        s.tools[name] = state


# --- what the model calls ---------------------------------------------------------------------------------------------


def take_calls(s: CallState, items: Iterable[object], *, begun: bool = False) -> bool:
    """Take up the calls among these items, once each; return whether there are any.

    `begun` says that the items were just added: what does not say that it is complete is not, then.
    """
    found = False
    for item in items:
        kind, item_id, name = text(item, "type"), text(item, "id"), text(item, "name")
        status = text(item, "status") or ("" if begun else "completed")
        if kind == "function_call" and status == "completed":
            call_id = text(item, "call_id")
            found = True
            s.calling.pop(item_id, None)
            if call_id and name and remember(s.seen, call_id, None):
                many = sum(state is Tool.RUNNING for state in s.tools.values()) >= _MAX_RUNNING
                run(s, f"call {call_id}", TOOL)
                s.called[call_id] = Called(item_id, name)
                if many:
                    tool_ended(s, ToolEnded(call_id, _TOO_MANY))
                else:
                    s.out.append(RunTool(call_id, name, text(item, "arguments")))
        elif kind == "mcp_approval_request":
            found = True
            if item_id and remember(s.seen, item_id, None):
                run(s, f"ask {item_id}", MCP)
                s.out.append(AskApproval(item_id, text(item, "server_label"), name, text(item, "arguments")))
        elif kind == "mcp_call":
            found = True
    return found


def tool_of_item(s: CallState, item_id: str) -> None:
    """Record that the model began to call a function: after a lost sideband, the item is asked for."""
    if item_id:
        s.calling[item_id] = None
        if len(s.calling) > _MAX_ITEMS:
            del s.calling[next(iter(s.calling))]


def on_retrieved(s: CallState, event: events.ServerEvent) -> None:
    item = get(event, "item")
    if answered(s, f"retrieve {text(item, 'id')}") is not None:
        take_calls(s, [item])


def on_item(s: CallState, event: events.ServerEvent) -> bool:
    """Record an item that the service shows. A message that we have not put there changes nothing."""
    item = get(event, "item")
    kind, called = text(item, "type"), f"call {text(item, 'call_id')}"
    shown = answered(s, f"item {text(item, 'id')}")
    if shown is not None and s.tools.get(shown.tool) is Tool.SENT:
        s.tools[shown.tool] = Tool.KNOWN
    if kind == "mcp_approval_request":
        take_calls(s, [item])
    elif kind == "function_call_output":
        if shown is None:
            for name in [name for name, asked in s.asks.items() if asked.tool == called]:
                answered(s, name)
        if s.tools.get(called) is Tool.SENT:
            s.tools[called] = Tool.KNOWN
    return shown is not None or kind != "message"


def on_mcp_begins(s: CallState, event: events.ServerEvent) -> None:
    for approved in [name for name in s.tools if name.startswith("approved ")][:1]:
        over(s, approved, None)
    run(s, f"mcp {text(event, 'item_id')}", MCP)


def on_mcp_ends(s: CallState, event: events.ServerEvent) -> None:
    over(s, f"mcp {text(event, 'item_id')}", Tool.KNOWN)


# --- what came of it --------------------------------------------------------------------------------------------------


def put(s: CallState, item: FunctionCallOutput | McpApprovalResponse | SystemMessage, *, tool: str = "") -> None:
    """Add an item to the conversation, over as many sidebands as it takes. Its id is ours, so that it is added once."""
    assert item.id is not None
    waiting = [name for name in s.asks if name.startswith("item ")]
    if len(waiting) >= _MAX_ITEMS:
        late(s, waiting[0])
    event = events.ConversationItemCreate(event_id=f"create_{item.id}", item=item)
    ask(s, f"item {item.id}", event, SHOWN, tool=tool)


def tool_ended(s: CallState, what: ToolEnded) -> None:
    """Send a tool's output. A second output of a call is ignored."""
    called = f"call {what.call_id}"
    if s.tools.get(called) is not Tool.RUNNING and not (called not in s.tools and remember(s.seen, what.call_id, None)):
        return
    item = FunctionCallOutput(id=f"item_{secrets.token_hex(10)}", call_id=what.call_id, output=what.output)
    put(s, item, tool=called)
    over(s, called, Tool.SENT if what.respond and not s.leaving else None)


def approval_decided(s: CallState, what: ApprovalDecided) -> None:
    """Answer an MCP server's request for approval."""
    over(s, f"ask {what.request_id}", None)
    if what.approve:
        run(s, f"approved {what.request_id}", MCP)
    else:
        refusals.of_approval(s, what.request_id)
        s.tools[f"denied {what.request_id}"] = Tool.KNOWN
    item_id = f"item_{secrets.token_hex(10)}"
    put(s, McpApprovalResponse(id=item_id, approval_request_id=what.request_id, approve=what.approve))


def item_refused(s: CallState, error: object, cause: str) -> bool:
    """Record that the service refused an event; return whether it was an item of ours.

    It is sent once more. If a tool's output is refused again, the model gets an error in its place.
    """
    name = f"item {cause.removeprefix('create_')}"
    asked = s.asks.get(name) if cause.startswith("create_") else None
    if asked is None:
        return False
    if get(error, "code") == "item_already_exists":
        late(s, name)  # it arrived before the sideband was lost
        return True
    asked.refusals += 1
    again = asked.refusals < _MAX_REFUSALS
    # Sent over an earlier sideband, it is most likely there; the code that says so is not known.
    maybe_there = s.line.close is not None and asked.at <= s.line.closed_at
    if not maybe_there:
        refusals.of_event(s, error, item_id=name.removeprefix("item "), again=again)
    item = get(asked.event, "item")
    if again:
        send(s, asked.event)
    elif not maybe_there and isinstance(item, FunctionCallOutput) and item.output != NOT_TAKEN:
        answered(s, name)
        put(s, item.model_copy(update={"id": f"item_{secrets.token_hex(10)}", "output": NOT_TAKEN}), tool=asked.tool)
    else:
        late(s, name)
    return True


def late(s: CallState, name: str) -> None:
    """Assume that an item that was not shown in time is in the conversation."""
    asked = answered(s, name)
    if asked is not None and s.tools.get(asked.tool) is Tool.SENT:
        s.tools[asked.tool] = Tool.KNOWN


def unreported(s: CallState, name: str) -> None:
    """Stop waiting for a call. What an MCP server did still shows, and wants an answer."""
    if name.startswith(("ask ", "approved ", "mcp ")):
        s.tools[name] = Tool.KNOWN


def retrieve(s: CallState) -> None:
    """Ask for the function calls that had begun when the sideband was lost."""
    for item_id in s.calling:
        ask(s, f"retrieve {item_id}", events.ConversationItemRetrieve(item_id=item_id), SHOWN)
    s.calling.clear()


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "conversation.item.added": on_item,
    "conversation.item.created": on_item,
    "conversation.item.done": on_item,
    "conversation.item.retrieved": on_retrieved,
    "response.mcp_call.in_progress": on_mcp_begins,
    "response.mcp_call.completed": on_mcp_ends,
    "response.mcp_call.failed": on_mcp_ends,
}
