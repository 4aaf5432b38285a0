"""Instructions of a model as values: sections in, text out, in English or Brazilian Portuguese.

Each section of OpenAI's prompting guides (autumn 2025, and 2026 for gpt-realtime-2) is a class here. What is left out
of it has ready-made wording, so that `UnclearAudio()` is a whole section.

>>> from realtime_sip.prompts import Context, Instructions, Language, Role, SafetyAndEscalation, UnclearAudio, Verbosity
>>> shop = Instructions(
...     Role("You answer the phone of a bakery.", objective="The caller has ordered, or knows why not."),
...     Language("en", switch="never"),
...     Verbosity(),
...     UnclearAudio(),
...     SafetyAndEscalation(tool="transfer_to_human"),
... )
>>> downtown = shop | Context({"Branch": "Downtown, open from seven to two"})
>>> print(downtown.render("gpt-realtime-1.5").partition("# Verbosity")[2].partition("# Unclear")[0].strip())
and Length
- At most two sentences in a turn, and one question at a time.

- `Instructions`: the value. `|` lays one over another; `render(model)` is its text, and `RealtimeSession` takes it.
- The sections: `Role`, `Personality`, `Language`, `Accent`, `Context`, `Pronunciations`, `ReasoningRules`,
  `Preambles`, `Verbosity`, `Pacing`, `Variety`, `UnclearAudio`, `EntityCapture`, `ToolRules`, `Rules`, `Flow`,
  `LongContext`, `SafetyAndEscalation`, `LivePolicies`; `Section` is one of your own.
- `review`: what is wrong with a session's prompt, checked against the session; `checklist`: which sections are not
  there; `review_request` and `issue_request`: texts that ask a model.
- `spoken`: values as they are said, and what callers say as values; `emphasis` and `in_words` for single rules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_sip.prompts import spoken
    from realtime_sip.prompts.capitals import emphasis, in_words
    from realtime_sip.prompts.family import ModelFamily
    from realtime_sip.prompts.findings import Finding, checklist, review
    from realtime_sip.prompts.flow import Exit, Flow, State
    from realtime_sip.prompts.instructions import STORED_PROMPTS_END, Instructions
    from realtime_sip.prompts.knowledge import Context, LongContext, Rules
    from realtime_sip.prompts.live import LivePolicies
    from realtime_sip.prompts.manner import (
        Accent,
        Language,
        Pacing,
        Personality,
        Pronunciations,
        Role,
        Variety,
        Verbosity,
    )
    from realtime_sip.prompts.requests import issue_request, review_request
    from realtime_sip.prompts.safety import SafetyAndEscalation
    from realtime_sip.prompts.section import BaseSection, Group, Section, Wording
    from realtime_sip.prompts.tool_rules import Preambles, ReasoningRules, ToolRule, ToolRules
    from realtime_sip.prompts.understanding import EntityCapture, UnclearAudio

__all__ = [
    "STORED_PROMPTS_END",
    "Accent",
    "BaseSection",
    "Context",
    "EntityCapture",
    "Exit",
    "Finding",
    "Flow",
    "Group",
    "Instructions",
    "Language",
    "LivePolicies",
    "LongContext",
    "ModelFamily",
    "Pacing",
    "Personality",
    "Preambles",
    "Pronunciations",
    "ReasoningRules",
    "Role",
    "Rules",
    "SafetyAndEscalation",
    "Section",
    "State",
    "ToolRule",
    "ToolRules",
    "UnclearAudio",
    "Variety",
    "Verbosity",
    "Wording",
    "checklist",
    "emphasis",
    "in_words",
    "issue_request",
    "review",
    "review_request",
    "spoken",
]

# Imported when it is first asked for (PEP 562): a session needs `Instructions` alone.
_PLACES = {
    **dict.fromkeys(("emphasis", "in_words"), "capitals"),
    **dict.fromkeys(("ModelFamily",), "family"),
    **dict.fromkeys(("Finding", "checklist", "review"), "findings"),
    **dict.fromkeys(("Exit", "Flow", "State"), "flow"),
    **dict.fromkeys(("STORED_PROMPTS_END", "Instructions"), "instructions"),
    **dict.fromkeys(("Context", "LongContext", "Rules"), "knowledge"),
    **dict.fromkeys(("LivePolicies",), "live"),
    **dict.fromkeys(("Accent", "Language", "Pacing", "Personality", "Pronunciations", "Role"), "manner"),
    **dict.fromkeys(("Variety", "Verbosity"), "manner"),
    **dict.fromkeys(("issue_request", "review_request"), "requests"),
    **dict.fromkeys(("SafetyAndEscalation",), "safety"),
    **dict.fromkeys(("BaseSection", "Group", "Section", "Wording"), "section"),
    **dict.fromkeys(("Preambles", "ReasoningRules", "ToolRule", "ToolRules"), "tool_rules"),
    **dict.fromkeys(("EntityCapture", "UnclearAudio"), "understanding"),
}


# Not for type checkers, which would believe in every name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name == "spoken":
            return import_module("realtime_sip.prompts.spoken")
        if name not in _PLACES:
            raise AttributeError(f"module 'realtime_sip.prompts' has no attribute {name!r}")
        value = getattr(import_module(f"realtime_sip.prompts.{_PLACES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
