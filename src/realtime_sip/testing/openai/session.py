"""The session of an emulated connection: what is valid, what an update changes, and how the service shows it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from realtime_sip import beta
from realtime_sip.session import MODEL_SHUTDOWNS, RealtimeSession, TranscriptionSession
from realtime_sip.testing.openai.behavior import Behavior
from realtime_sip.testing.openai.frames import Refusal
from realtime_sip.testing.openai.parameters import check_tokens
from realtime_sip.testing.openai.record import LineRecord

__all__ = ["EmulatedSession", "check_session", "note_formats"]

_logger = logging.getLogger("realtime_sip.testing")

_TURN_DETECTION: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,  # Recorded; the guide says 500.
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}
_TRANSCRIPTION: dict[str, Any] = {"model": None, "language": None, "prompt": None}
_FORMAT = {"type": "audio/pcm", "rate": 24000}
_INSTRUCTIONS = "(the service's default instructions)"
DEFAULT_MODEL = "gpt-realtime-2.1"


def check_session(value: object, *, place: str, kinds: tuple[str, ...] = ("realtime",)) -> dict[str, Any]:
    """Return `value` as a session that the service takes.

    `place` is the prefix of parameters in messages: "session." in an event, "" for the body of accept.

    Raises:
        Refusal: It is not valid, in the words that the service has for it if they are known.
    """
    if not isinstance(value, dict):
        raise Refusal("The session must be an object.", code="invalid_type", param=place.rstrip(".") or None)
    kind = value.get("type")
    if kind is None:
        raise Refusal(
            f"Missing required parameter: '{place}type'.", code="missing_required_parameter", param=f"{place}type"
        )
    if kind not in kinds:
        supported = " and ".join(f"'{name}'" for name in kinds)
        raise Refusal(f"Invalid value. Supported values are: {supported}.", code="invalid_value", param=f"{place}type")
    model = RealtimeSession if kind == "realtime" else TranscriptionSession
    for name in value:
        # All beta names of a session are among these; extra_fields is a field of our models that is not on the wire.
        if name not in model.model_fields or name == "extra_fields":
            raise _unknown(f"{place}{str(name)[:80]}")
    try:
        model.model_validate(_undated(value))
    except ValidationError as error:
        raise _refusal(error, place, value) from None
    check_tokens(value.get("max_output_tokens", "inf"), f"{place}max_output_tokens")
    return value


def note_formats(session: Mapping[str, Any], by: str, record: LineRecord) -> None:
    """Note and log each audio format in a valid session of a call. It is taken all the same."""
    for side, half in (session.get("audio") or {}).items():
        if isinstance(half, dict) and half.get("format") is not None:
            text = f"{by} sets audio.{side}.format, which has given silence on calls; leave it out"
            record.note(text)
            _logger.warning(text)


def _undated(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out models that end: the warning of it is for the program that names them, not for us."""
    kept = {k: v for k, v in value.items() if k != "model" or not (v in MODEL_SHUTDOWNS or v in beta.MODELS)}
    audio = kept.get("audio")
    heard = audio.get("input") if isinstance(audio, dict) else None
    transcription = heard.get("transcription") if isinstance(heard, dict) else None
    if isinstance(transcription, dict) and transcription.get("model") in MODEL_SHUTDOWNS:
        transcription = {k: v for k, v in transcription.items() if k != "model"}
        kept["audio"] = {**(audio or {}), "input": {**(heard or {}), "transcription": transcription}}
    return kept


def _unknown(param: str) -> Refusal:
    return Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def _refusal(error: ValidationError, place: str, value: object) -> Refusal:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = place + _path(first["loc"], value)
    match first["type"]:
        case "extra_forbidden":
            return _unknown(param)
        case "missing":
            return Refusal(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)
        case "beta_shape":
            return Refusal(f"Invalid value for '{param}'.", code="invalid_value", param=param)
        case _:
            return Refusal(f"Invalid value for '{param}': {first['msg']}.", code="invalid_value", param=param)


def _path(location: tuple[int | str, ...], value: object) -> str:
    """Write pydantic's location as the service does, as `audio.input.format` or `tools[0].name`.

    pydantic puts the names of union members between; they are no keys of what was sent, and are left out.
    """
    path = ""
    here = value
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(part, int):
            path += f"[{part}]"
            here = here[part] if isinstance(here, list) and part < len(here) else None
        elif isinstance(here, dict) and (part in here or last):
            path += f".{part}" if path else part
            here = here.get(part)
    return path


class EmulatedSession:
    """One session's configuration, merged as the service merges it: what is left out stays, null clears."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        session_id: str,
        expires_at: int,
        model: str | None = None,
        behavior: Behavior | None = None,
    ) -> None:
        self.id = session_id
        self.expires_at = expires_at
        self.kind = str(config.get("type", "realtime"))
        self._model = str(config.get("model") or model or DEFAULT_MODEL)
        self._config: dict[str, Any] = {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}
        self._voice_used = False
        self._behavior = behavior or Behavior()
        self._merge(config)

    @property
    def turn_detection(self) -> dict[str, Any] | None:
        """The settings of turn detection with their defaults, or None if it is off."""
        wanted = self._input().get("turn_detection")
        if wanted is None:
            return None
        given = {name: setting for name, setting in wanted.items() if setting is not None}
        return {**_TURN_DETECTION[wanted.get("type", "server_vad")], **given}

    @property
    def transcribes(self) -> bool:
        """Whether the caller's words are transcribed."""
        return self._input().get("transcription") is not None

    @property
    def modalities(self) -> list[str]:
        """What a response is made of: ["audio"] or ["text"]."""
        return list(self._config.get("output_modalities") or ["audio"])

    @property
    def max_output_tokens(self) -> int | str:
        """The most tokens of one response, or "inf"."""
        value: int | str = self._config.get("max_output_tokens", "inf")
        return value

    @property
    def instructions(self) -> str:
        """The instructions."""
        return str(self._config.get("instructions") or _INSTRUCTIONS)

    @property
    def tools(self) -> list[Any]:
        """The tools."""
        return list(self._config.get("tools") or [])

    @property
    def tool_choice(self) -> Any:
        """How the model chooses among the tools."""
        return self._config.get("tool_choice") or "auto"

    def audio_output(self) -> dict[str, Any]:
        """Return format and voice, as responses show them."""
        output = self._config.get("audio", {}).get("output") or {}
        return {"format": output.get("format") or dict(_FORMAT), "voice": output.get("voice") or "alloy"}

    def voice_was_heard(self) -> None:
        """Lock the voice: it cannot be changed after the first audio (API guide)."""
        self._voice_used = True

    def update(self, change: object) -> None:
        """Take a `session.update`.

        Raises:
            Refusal: It is not valid, or changes what is fixed.
        """
        config = check_session(change, place="session.", kinds=(self.kind,))
        if config.get("model", self._model) != self._model and self._behavior.model_update == "refused":
            # The code of this refusal is not known.
            raise Refusal("The model cannot be changed after the session started.", code=None, param="session.model")
        voice = (((config.get("audio") or {}).get("output")) or {}).get("voice")
        if voice is not None and self._voice_used and voice != self.audio_output()["voice"]:
            raise Refusal(
                "Cannot update a conversation's voice if assistant audio is present.",
                code="cannot_update_voice",
                param="session.audio.output.voice",
            )
        self._merge(config)

    def shown(self) -> dict[str, Any]:
        """Return the session as `session.created` and `session.updated` show it: with all defaults."""
        given = self._input()
        transcription = given.get("transcription")
        audio_input = {
            "format": given.get("format") or dict(_FORMAT),
            "transcription": None if transcription is None else {**_TRANSCRIPTION, **transcription},
            "noise_reduction": given.get("noise_reduction"),
            "turn_detection": self.turn_detection,
        }
        head = {"type": self.kind, "object": "realtime.session", "id": self.id}
        tail = {"expires_at": self.expires_at, "include": self._config.get("include")}
        if self.kind == "transcription":
            head["object"] = "realtime.transcription_session"
            return {**head, "audio": {"input": audio_input}, **tail}
        output = self._config.get("audio", {}).get("output") or {}
        known: dict[str, Any] = {
            "model": self._model,
            "output_modalities": self.modalities,
            "instructions": self.instructions,
            "tools": self._config.get("tools") or [],
            "tool_choice": self._config.get("tool_choice", "auto"),
            "max_output_tokens": self.max_output_tokens,
            "tracing": self._config.get("tracing"),
            "truncation": self._config.get("truncation", "auto"),
            "prompt": self._config.get("prompt"),
            "audio": {"input": audio_input, "output": {**self.audio_output(), "speed": output.get("speed", 1.0)}},
        }
        others = {key: value for key, value in self._config.items() if key not in known and key != "type"}
        return {**head, **others, **known, **tail}

    def _input(self) -> dict[str, Any]:
        audio: dict[str, Any] = self._config.get("audio", {}).get("input") or {}
        return audio

    def _merge(self, config: Mapping[str, Any]) -> None:
        for key, value in config.items():
            if key == "audio":
                for side, settings in (value or {}).items():
                    mine = self._config["audio"].setdefault(side, {})
                    for name, setting in (settings or {}).items():
                        replaced = name == "turn_detection" and self._behavior.turn_detection_update == "replaced"
                        mine[name] = setting if replaced else _merged(mine.get(name), setting)
            elif key != "model":
                self._config[key] = value


def _merged(old: object, new: object) -> object:
    """Merge nested settings, unless their kind changes: the settings of another kind of turn detection are not kept."""
    if isinstance(old, dict) and isinstance(new, dict) and new.get("type", old.get("type")) == old.get("type"):
        return {**old, **new}
    return new
