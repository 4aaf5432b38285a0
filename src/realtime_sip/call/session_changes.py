"""Changes to the session of a live call: what may change, and the language to speak; without I/O."""

from __future__ import annotations

import re

from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import AudioConfig, AudioInput, Prompt, RealtimeSession, Transcription

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


def spoken_in(
    language: str,
    changed: RealtimeSession,
    base: str | None,
    stored: Prompt | None,
    transcribed: Transcription | None,
) -> RealtimeSession:
    """Return the changes with the language that the model speaks, and that transcription expects.

    Args:
        language: ISO 639-1.
        changed: The changes besides.
        base: The instructions so far.
        stored: The stored prompt of the session.
        transcribed: The transcription so far.

    Raises:
        InvalidRequestError: It is no code of a language, or would override a stored prompt.
    """
    if not (len(language) in (2, 3) and language.isascii() and language.isalpha() and language.islower()):
        raise InvalidRequestError("language", (("", "must be a code of ISO 639-1, such as en"),))
    if "instructions" in changed.model_fields_set:
        base = changed.instructions_text()
    if not base and (changed.prompt or stored) is not None:
        why = "would override the stored prompt, whose text is not known: make the language one of its variables"
        raise InvalidRequestError("language", (("", why),))
    fields: dict[str, object] = {"instructions": in_language(base, language)}
    transcribed = transcription(changed) if says_transcription(changed) else transcribed
    if transcribed is not None:
        kept = {name: getattr(transcribed, name) for name in transcribed.model_fields_set}
        audio = changed.audio or AudioConfig()
        own = (audio.input or AudioInput()).model_copy(
            update={"transcription": Transcription(**{**kept, "language": language})}
        )
        fields["audio"] = audio.model_copy(update={"input": own})
    return changed.model_copy(update=fields)


def transcription(session: RealtimeSession) -> Transcription | None:
    """Return how a session transcribes the caller, or None."""
    heard = None if session.audio is None else session.audio.input
    return None if heard is None else heard.transcription


def says_transcription(session: RealtimeSession) -> bool:
    """Return whether a session says how, or that it does not."""
    heard = None if session.audio is None else session.audio.input
    return heard is not None and "transcription" in heard.model_fields_set
