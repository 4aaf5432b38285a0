"""Changes to the session of a live call: what may change, and the language to speak; without I/O."""

from __future__ import annotations

import re

from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import RealtimeSession

_LANGUAGE = '# Language\nSpeak only the language with the ISO 639-1 code "{}" from now on.'
"""The part of the instructions that `update(language=…)` writes. A program may use the same heading itself."""
_WRITTEN = re.compile(rf"(?:\A|\n\n){re.escape(_LANGUAGE).replace(re.escape('{}'), '[a-z]{2,3}')}(?=\n|\Z)")


def refuse_locked(session: RealtimeSession, *, accepted: RealtimeSession, spoken: bool) -> None:
    """Refuse changes to what is locked, before they are sent.

    Args:
        session: The changes.
        accepted: The session with which the call was accepted.
        spoken: Whether the model was heard.

    Raises:
        InvalidRequestError: A field is locked; the problem says why.
    """
    problems: list[tuple[str, str]] = []
    if "model" in session.model_fields_set and session.model != accepted.model:
        problems.append(("model", "is fixed once the session has started"))
    if "tracing" in session.model_fields_set and accepted.tracing is not None:
        problems.append(("tracing", "is fixed once it is on"))
    audio = session.audio
    if spoken and audio is not None and audio.output is not None and "voice" in audio.output.model_fields_set:
        problems.append(("audio.output.voice", "is locked once the model has been heard"))
    if problems:
        raise InvalidRequestError("session", tuple(problems))


def worded(changed: RealtimeSession, model: str | None) -> RealtimeSession:
    """Return the changes with their instructions as text for the model of the call, which an update does not name."""
    if changed.instructions is None:
        return changed
    return changed.model_copy(update={"instructions": changed.instructions_text(model)})


def in_language(instructions: str | None, language: str) -> str:
    """Return the instructions with the language to speak at their end, in place of a language that was set before.

    >>> in_language(in_language("Be brief.", "pt"), "es")
    'Be brief.\\n\\n# Language\\nSpeak only the language with the ISO 639-1 code "es" from now on.'
    """
    before = _WRITTEN.sub("", instructions or "")
    return f"{before}\n\n{_LANGUAGE.format(language)}" if before else _LANGUAGE.format(language)
