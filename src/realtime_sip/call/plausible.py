"""What in a session is allowed, and probably a slip: the service may know voices and models that nobody here does."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from typing import Any, get_args

from realtime_sip._redaction import redact
from realtime_sip.session import RealtimeModel, RealtimeSession, Voice

_log = logging.getLogger("realtime_sip.call")

_told: set[str] = set()
_MOST_TOLD = 1000


def _known(enumeration: Any) -> tuple[str, ...]:
    """Return the values of an `Open[Literal[…]]`."""
    return get_args(get_args(get_args(enumeration)[0])[0])


_VOICES, _MODELS = _known(Voice), _known(RealtimeModel)


def doubts(session: RealtimeSession) -> Iterable[str]:
    """Return what may be a slip: a voice that is not known, and a model that looks like another."""
    output = None if session.audio is None else session.audio.output
    voice = None if output is None else output.voice
    if isinstance(voice, str) and voice not in _VOICES:
        yield f"the voice {redact(voice)!r} is not known here; known are {', '.join(_VOICES)}"
    model = session.model
    if model is not None and not any(model == known or model.startswith(f"{known}-2") for known in _MODELS):
        near = difflib.get_close_matches(model, _MODELS, n=1, cutoff=0.75)
        if near:
            yield f"the model {redact(model)!r} is not known here; is it {near[0]}?"


def warn(session: RealtimeSession) -> None:
    """Warn of each doubt, once."""
    for doubt in doubts(session):
        if doubt not in _told and len(_told) < _MOST_TOLD:
            _told.add(doubt)
            _log.warning("%s", doubt)
