"""Machine detection: who answered, as the table of callees says, and when Twilio reports it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_sip.testing.twilio.ends import Callee
from realtime_sip.testing.twilio.legs import Callback, Leg
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.twiml import Verb

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.call import VoiceCall

__all__ = ["Detection"]

_MODES = ("Enable", "DetectMessageEnd")
# As the page on <Number> has them.
_RANGES = {
    "Timeout": (3, 60),
    "SpeechThreshold": (1000, 6000),
    "SpeechEndThreshold": (500, 5000),
    "SilenceTimeout": (2000, 10_000),
}


@dataclass(frozen=True, slots=True)
class Detection:
    """What is asked for of one leg. Without a callback it is not asynchronous."""

    mode: str
    callback: Callback | None
    timeout: float

    @classmethod
    def of_form(cls, fields: Mapping[str, str]) -> Detection | None:
        """Return what a request for a call asks for, or None.

        Raises:
            TwilioRefusal: A value is out of its range.
        """
        given = {name.removeprefix("MachineDetection"): value for name, value in fields.items()}
        _check(fields.get("MachineDetection", ""), given)
        if not fields.get("MachineDetection"):
            return None
        url = fields.get("AsyncAmdStatusCallback", "") if fields.get("AsyncAmd") == "true" else ""
        callback = Callback.of(url, fields.get("AsyncAmdStatusCallbackMethod", "POST"), ())
        return cls(fields["MachineDetection"], callback, float(given.get("Timeout", "30")))

    @classmethod
    def of_noun(cls, noun: Verb, url: str) -> Detection | None:
        """Return what a noun of a Dial asks for, or None; `url` is its whole `amdStatusCallback`."""
        mode = noun.get("machineDetection")
        if mode not in _MODES:
            return None
        timeout = noun.number("machineDetectionTimeout", 30)
        return cls(mode, Callback.of(url, noun.method("amdStatusCallbackMethod"), ()), timeout)

    def found(self, callee: Callee) -> tuple[str, float]:
        """Return Twilio's word for who answered, and the seconds until it is known."""
        if callee.detected > self.timeout:
            return "unknown", self.timeout
        machine = callee.answered_by.startswith("machine_")
        return "machine_start" if machine and self.mode == "Enable" else callee.answered_by, callee.detected

    async def report(self, call: VoiceCall, leg: Leg, callee: Callee) -> None:
        """Find out, and post it to the callback, if there is one and the leg is up by then."""
        word, seconds = self.found(callee)
        await call.changes.until(lambda: leg.over, seconds=call.board.clock.real(seconds))
        if leg.over:
            return
        leg.answered_by = word
        if self.callback is not None:
            params = {"CallSid": leg.sid, "AccountSid": leg.account_sid, **_params(word, seconds)}
            call.board.tell("answered", self.callback, params, log=call.requests)

    async def wait(self, call: VoiceCall, leg: Leg, callee: Callee) -> dict[str, str]:
        """Let who answered wait in silence until it is known, and return what the voice URL gets."""
        word, seconds = self.found(callee)
        await call.sleep(seconds)
        leg.answered_by = word
        return _params(word, seconds)


def _params(word: str, seconds: float) -> dict[str, str]:
    return {"AnsweredBy": word, "MachineDetectionDuration": str(round(seconds * 1000))}


def _check(mode: str, given: Mapping[str, str]) -> None:
    # That these have this code is a guess.
    if mode and mode not in _MODES:
        raise TwilioRefusal(21219, "MachineDetection is Enable or DetectMessageEnd")
    for name, (least, most) in _RANGES.items():
        value = given.get(name)
        if value is not None and mode and not (value.isdecimal() and least <= int(value) <= most):
            raise TwilioRefusal(21219, f"MachineDetection{name} is {least} to {most}")
