"""What in a session is allowed, and probably a slip: the service may know voices and models that nobody here does."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from typing import Any, get_args

from realtime_sip._redaction import redact
from realtime_sip.session import ApprovalFilter, McpTool, RealtimeModel, RealtimeSession, Voice

_log = logging.getLogger("realtime_sip.call")

_told: set[str] = set()
_MOST_TOLD = 1000


def _known(enumeration: Any) -> tuple[str, ...]:
    """Return the values of an `Open[Literal[…]]`."""
    return get_args(get_args(get_args(enumeration)[0])[0])


_VOICES, _MODELS = _known(Voice), _known(RealtimeModel)


def doubts(session: RealtimeSession, *, approves: bool = True) -> Iterable[str]:
    """Return what may be a slip: an unknown voice, a model that looks like another, an MCP server of no use.

    `approves` is whether anybody can approve the calls of MCP servers.
    """
    for tool in session.tools or []:
        if not approves and isinstance(tool, McpTool) and _needs_approval(tool):
            label = redact(tool.server_label)
            advice = "pass approve_mcp= to answer, or require_approval='never' for tools that only read"
            yield f"every call of the MCP server {label!r} that needs an approval will be denied: {advice}"
    output = None if session.audio is None else session.audio.output
    voice = None if output is None else output.voice
    if isinstance(voice, str) and voice not in _VOICES:
        yield f"the voice {redact(voice)!r} is not known here; known are {', '.join(_VOICES)}"
    model = session.model
    if model is not None and not any(model == known or model.startswith(f"{known}-2") for known in _MODELS):
        near = difflib.get_close_matches(model, _MODELS, n=1, cutoff=0.75)
        if near:
            yield f"the model {redact(model)!r} is not known here; is it {near[0]}?"


def _needs_approval(tool: McpTool) -> bool:
    required = tool.require_approval
    if not isinstance(required, ApprovalFilter):
        return required != "never"
    allowed = tool.allowed_tools if isinstance(tool.allowed_tools, list) else None
    never = required.never.tool_names if required.never is not None else None
    return allowed is None or never is None or not {*allowed} <= {*never}


def warn(session: RealtimeSession, *, approves: bool) -> None:
    """Warn of each doubt, once."""
    for doubt in doubts(session, approves=approves):
        if doubt not in _told and len(_told) < _MOST_TOLD:
            _told.add(doubt)
            _log.warning("%s", doubt)
