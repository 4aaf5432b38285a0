"""Changes to a session that is under way: what may change, and which of them the service has taken; without I/O.

`session.updated` does not say which `session.update` it answers (API reference, November 2026), but each is answered
once, in order, by it or by an `error` that names the event. Where an answer is lost, what the session then shows tells;
the answer itself may come all the same, and is not taken for that of the next update.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from realtime_sip import events
from realtime_sip.errors import EventRefusedError, InvalidRequestError
from realtime_sip.session import RealtimeSession

__all__ = ["SessionUpdates", "Taken", "in_language", "refuse_locked"]

_MOST_UNANSWERED = 100
_LANGUAGE = '# Language\nSpeak only the language with the ISO 639-1 code "{}" from now on.'
"""The part of the instructions that `update(language=…)` writes. A program may have such a heading of its own."""
_WRITTEN = re.compile(rf"(?:\A|\n\n){re.escape(_LANGUAGE).replace(re.escape('{}'), '[a-z]{2,3}')}(?=\n|\Z)")


@dataclass(frozen=True, slots=True)
class Taken:
    """An update was answered: taken, or refused with `error`."""

    event_id: str
    error: EventRefusedError | None = None


class SessionUpdates:
    """The updates of one call that wait for their answer."""

    def __init__(self) -> None:
        # None for one that the session has shown to be taken: its answer may come all the same.
        self._unanswered: OrderedDict[str, events.SessionUpdate | None] = OrderedDict()

    def sent(self, update: events.SessionUpdate) -> None:
        """Note an update that is sent; it has an `event_id`."""
        assert update.event_id is not None
        self._unanswered[update.event_id] = update
        while len(self._unanswered) > _MOST_UNANSWERED:
            self._unanswered.popitem(last=False)

    def receive(self, event: events.ServerEvent) -> list[Taken]:
        """Take in what the service says; return which updates it answers."""
        if isinstance(event, events.Error):
            return self._refused(event.error)
        if event.type != "session.updated" or not self._unanswered:
            return []
        first, update = self._unanswered.popitem(last=False)
        taken = [] if update is None else [Taken(first)]
        shown = event.to_wire().get("session")
        for event_id, later in self._unanswered.items():
            wanted = {} if later is None else later.to_wire()["session"]
            if len(wanted) > 1 and _shows(shown, wanted):
                self._unanswered[event_id] = None
                taken.append(Taken(event_id))
        return taken

    def _refused(self, error: events.ErrorDetail) -> list[Taken]:
        event_id = error.event_id
        if event_id is None or event_id not in self._unanswered:
            return []
        update = self._unanswered[event_id]
        # Answers come in order: of those before this one that the session has shown, none is to come any more.
        earlier = list(self._unanswered)[: list(self._unanswered).index(event_id)]
        for over in (*(i for i in earlier if self._unanswered[i] is None), event_id):
            del self._unanswered[over]
        refused = EventRefusedError("session.update", code=error.code, param=error.param)
        return [] if update is None else [Taken(event_id, refused)]

    def lost(self) -> list[events.SessionUpdate]:
        """Note that the socket was lost, and with it the answers; return the updates, to be sent again."""
        waiting = [update for update in self._unanswered.values() if update is not None]
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
    """Return the instructions with the language to speak at their end, in place of one that was said here before.

    >>> in_language(in_language("Be brief.", "pt"), "es")
    'Be brief.\\n\\n# Language\\nSpeak only the language with the ISO 639-1 code "es" from now on.'
    """
    before = _WRITTEN.sub("", instructions or "")
    return f"{before}\n\n{_LANGUAGE.format(language)}" if before else _LANGUAGE.format(language)


def _shows(shown: Any, wanted: Any) -> bool:
    """Return whether what is shown has all that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(shown, dict) and all(_shows(shown.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(shown, list) and len(shown) == len(wanted) and all(map(_shows, shown, wanted))
    return bool(shown == wanted)
