"""Twilio's answering machine detection (AMD): what is asked for, over REST and in TwiML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from realtime_sip.twilio import arguments as check

DetectionMode: TypeAlias = Literal["Enable", "DetectMessageEnd"]
"""When a machine is reported: at once, or when its greeting is over, so that a message may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineDetection:
    """Whether Twilio finds out who answers. It costs extra for each call, and listens to the sound, not to the words.

    Attributes:
        mode: "DetectMessageEnd" reports a machine when its greeting is over, usually by a tone; "Enable" at once.
        callback: A whole URL to which Twilio posts an `AnsweredByCallback` while your TwiML is done already. Without
            it, a call over REST waits in silence until it is known, and then your TwiML is asked for with it; a
            `<Dial>` finds it out for nobody (warning 21262).
        timeout: Seconds, 3 to 60, after which it is "unknown".
        speech_threshold: Milliseconds of speech, 1000 to 6000, beyond which it is a machine.
        speech_end_threshold: Milliseconds of silence, 500 to 5000, after which a greeting counts as over.
        silence_timeout: Milliseconds of silence at first, 2000 to 10000, after which it is "unknown".

    The ranges are those of Twilio's page on `<Number>` (2026). Of what is left out, Twilio's own value holds.

    Raises:
        InvalidRequestError: A value is out of its range.
    """

    mode: DetectionMode = "DetectMessageEnd"
    callback: str | None = None
    timeout: int | None = None
    speech_threshold: int | None = None
    speech_end_threshold: int | None = None
    silence_timeout: int | None = None

    def __post_init__(self) -> None:
        def within(value: int | None, least: int, most: int, unit: str) -> str | None:
            good = value is None or (type(value) is int and least <= value <= most)
            return None if good else f"must be {least} to {most} {unit}"

        problems = {
            "mode": check.one_of(self.mode, ("Enable", "DetectMessageEnd")),
            "callback": None if self.callback is None else check.whole_url(self.callback),
            "timeout": within(self.timeout, 3, 60, "seconds"),
            "speech_threshold": within(self.speech_threshold, 1000, 6000, "milliseconds"),
            "speech_end_threshold": within(self.speech_end_threshold, 500, 5000, "milliseconds"),
            "silence_timeout": within(self.silence_timeout, 2000, 10_000, "milliseconds"),
        }
        check.refuse("machine_detection", problems)

    def to_form(self) -> dict[str, object]:
        """Return it as fields of a request for a call."""
        asynchronous = {} if self.callback is None else {"AsyncAmd": True, "AsyncAmdStatusCallback": self.callback}
        return {
            "MachineDetection": self.mode,
            **asynchronous,
            "MachineDetectionTimeout": self.timeout,
            "MachineDetectionSpeechThreshold": self.speech_threshold,
            "MachineDetectionSpeechEndThreshold": self.speech_end_threshold,
            "MachineDetectionSilenceTimeout": self.silence_timeout,
        }

    def to_attributes(self) -> dict[str, Any]:
        """Return it as arguments of Twilio's class of a noun."""
        return {
            "machine_detection": self.mode,
            "machine_detection_timeout": self.timeout,
            "machine_detection_speech_threshold": self.speech_threshold,
            "machine_detection_speech_end_threshold": self.speech_end_threshold,
            "machine_detection_silence_timeout": self.silence_timeout,
            "amd_status_callback": self.callback,
        }
