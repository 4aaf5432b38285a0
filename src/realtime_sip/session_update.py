"""Changes to a session that is under way: what may change, and which of them the service has taken; without I/O.

`session.updated` does not say which `session.update` it answers (API reference, November 2026), but each is answered
once, in order, by it or by an `error` that names the event. Where an answer is lost, what the session then shows tells.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from realtime_sip import events
from realtime_sip.errors import EventRefusedError, InvalidRequestError
from realtime_sip.session import RealtimeSession

__all__ = ["SessionUpdates", "Taken", "in_language", "refuse_locked"]

_MOST_UNANSWERED = 100
LANGUAGE = "\n\n# Language\n"
"""What begins the part of the instructions that `update(language=…)` writes."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An update was answered: taken, or refused with `error`."""

    event_id: str
    error: EventRefusedError | None = None


class SessionUpdates:
    """The updates of one call that wait for their answer."""

    def __init__(self) -> None:
        self._unanswered: OrderedDict[str, events.SessionUpdate] = OrderedDict()

    def sent(self, update: events.SessionUpdate) -> None:
        """Note an update that is sent; it has an `event_id`."""
        assert update.event_id is not None
        self._unanswered[update.event_id] = update
        while len(self._unanswered) > _MOST_UNANSWERED:
            self._unanswered.popitem(last=False)

    def receive(self, event: events.ServerEvent) -> list[Taken]:
        """Take in what the service says; return which updates it answers."""
        if isinstance(event, events.Error):
            event_id = event.error.event_id
            if event_id is None or self._unanswered.pop(event_id, None) is None:
                return []
            return [
                Taken(event_id, EventRefusedError("session.update", code=event.error.code, param=event.error.param))
            ]
        if event.type != "session.updated" or not self._unanswered:
            return []
        taken = [self._unanswered.popitem(last=False)[0]]
        shown = event.to_wire().get("session")
        for event_id, update in list(self._unanswered.items()):
            wanted = update.to_wire()["session"]
            if len(wanted) > 1 and _shows(shown, wanted):
                del self._unanswered[event_id]
                taken.append(event_id)
        return [Taken(event_id) for event_id in taken]

    def lost(self) -> list[events.SessionUpdate]:
        """Note that the socket was lost, and with it the answers; return the updates, to be sent again."""
        waiting = list(self._unanswered.values())
        self._unanswered.clear()
        return waiting


def refuse_locked(session: RealtimeSession, *, accepted: RealtimeSession, spoken: bool) -> None:
    """Refuse what cannot change any more, before it is sent.

    Args:
        session: What is to change.
        accepted: What the call was accepted with.
        spoken: Whether the model has been heard.

    Raises:
        InvalidRequestError: A field is locked; the problem says why.
    """
    problems: list[tuple[str, str]] = []
    if "model" in session.model_fields_set:
        problems.append(("model", "is fixed once the session has started"))
    if "tracing" in session.model_fields_set and accepted.tracing is not None:
        problems.append(("tracing", "is fixed once it is on"))
    audio = session.audio
    for side, half in (("input", audio.input), ("output", audio.output)) if audio is not None else ():
        if half is not None and "format" in half.model_fields_set:
            problems.append((f"audio.{side}.format", "is negotiated by SIP"))
    if spoken and audio is not None and audio.output is not None and "voice" in audio.output.model_fields_set:
        problems.append(("audio.output.voice", "is locked once the model has been heard"))
    if problems:
        raise InvalidRequestError("session", tuple(problems))


def in_language(instructions: str | None, language: str) -> str:
    """Return the instructions with the language to speak at their end, in place of one that was said there before.

    >>> in_language(in_language("Be brief.", "pt"), "es")
    'Be brief.\\n\\n# Language\\nSpeak only the language with the ISO 639-1 code "es" from now on.'
    """
    before = (instructions or "").partition(LANGUAGE)[0]
    return f'{before}{LANGUAGE}Speak only the language with the ISO 639-1 code "{language}" from now on.'.lstrip("\n")


def _shows(shown: Any, wanted: Any) -> bool:
    """Return whether what is shown has all that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(_shows(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(shown, list) and len(shown) == len(wanted) and all(map(_shows, shown, wanted))
    return bool(shown == wanted)
