"""Ready-made tools, which end a call or hand it over: `tools.function(end_call)`, `tools.function(transfer_to_human)`.

Their docstrings are what the model reads. `transfer_to_human` offers it the names of the call's allow-list, and never a
number; the names that a caller cannot reach are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from realtime_sip.call.machine.targets import TransferTarget
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.errors import ConfigurationError, ToolError
from realtime_sip.session import FunctionTool, RealtimeSession
from realtime_sip.tools.registry import ToolOutput, Tools

if TYPE_CHECKING:
    from realtime_sip.call.call import Call

__all__ = ["end_call", "offered", "transfer_to_human"]

_MOST_WORDS = 2_000


async def end_call(call: Call) -> ToolOutput:
    """End the phone call. Say goodbye first; the call ends when that was heard, so say no second goodbye."""
    await call.hangup(after_speech=True)
    return ToolOutput(respond=False)


async def transfer_to_human(call: Call, target: str, reason: str, summary: str) -> ToolOutput:
    """Transfer the caller to a person. Say first that you are connecting them; say nothing after it.

    Args:
        target: Who to transfer to.
        reason: Why a person should help, in a few words.
        summary: What the person should know: who calls, what they want, and what was tried.
    """
    reason, summary = reason[:_MOST_WORDS], summary[:_MOST_WORDS]
    if target not in call.targets:
        raise ToolError(f"target must be one of: {', '.join(call.targets) or 'nobody'}")
    if call.transferring:
        return ToolOutput("The caller is being transferred already.", respond=False)
    call.transfer(target, reason=reason, summary=summary)
    call.escalate(Escalation(EscalationCause.MODEL, target=target, reason=reason, summary=summary))
    return ToolOutput("The caller is being transferred. Say nothing until you hear more.", respond=False)


def offered(session: RealtimeSession, tools: Tools, targets: Mapping[str, TransferTarget] | None) -> RealtimeSession:
    """Return the session with its `transfer_to_human` choosing among these names, or without it if there are no names.

    Raises:
        ConfigurationError: The tool is there, and `targets` is None: the call has no allow-list.
    """
    names = {tool.name for tool in tools if tool.function is transfer_to_human}
    if not names or session.tools is None:
        return session
    if targets is None:
        raise ConfigurationError("transfer_to_human needs an allow-list: answer(…, transfers=TransferTargets({…}))")
    kept = []
    for tool in session.tools:
        if not isinstance(tool, FunctionTool) or tool.name not in names:
            kept.append(tool)
        elif targets:
            described = "; ".join(f"{name}: {t.description}" if t.description else name for name, t in targets.items())
            parameters = dict(tool.parameters or {})
            target = {"type": "string", "enum": list(targets), "description": f"Who to transfer to. {described}"}
            parameters["properties"] = {**parameters["properties"], "target": target}
            kept.append(tool.model_copy(update={"parameters": parameters}))
    return session.model_copy(update={"tools": kept})
