"""OpenAI on loopback, for tests and demos without an account.

`OpenAIEmulator` is the calls API, the webhook sender and the sideband in one object. It plays scenarios made of what
the caller does (`CallerSays`, `CallerPresses`, `CallerHangsUp`) and what the model does (`ModelSays`, `ModelCalls`,
`ModelCallsMcp`, `ModelFails`, `ModelSaysNothing`), or replays a `Recording`. Faults and `Behavior` say what goes wrong.
A call that goes otherwise than its scenario fails the test, unless `strict=False`.

`TwilioEmulator` is Twilio's side, and rings it: it fetches your TwiML and obeys it.

`vcr_config` scrubs cassettes of vcrpy.

`run_virtual` runs a test in virtual time: an hour-long call, with its real timings, takes a moment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from realtime_sip.testing.cassettes import vcr_config
from realtime_sip.testing.clock import ScenarioError
from realtime_sip.testing.faults import (
    ErrorSent,
    EventAltered,
    EventLost,
    EventRefused,
    EventRepeated,
    FrameInjected,
    PingsUnanswered,
    ResponseRaced,
    ServiceRestarts,
    SocketDropped,
    SocketSilent,
    UpdateRefused,
)
from realtime_sip.testing.openai.attendance import Tally
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.call import CallEnd, CallState, EndedBy
from realtime_sip.testing.openai.emulator import ClientOptions, OpenAIEmulator
from realtime_sip.testing.openai.primary import ExpectedSocket
from realtime_sip.testing.openai.record import RecordedRequest, Said, WebhookResponse
from realtime_sip.testing.openai.recording import RecordedFrame, Recording, Replay
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.openai.webhook import CallTarget
from realtime_sip.testing.outside import VirtualTimeWarning
from realtime_sip.testing.reply_faults import DecidedElsewhere, RequestFails
from realtime_sip.testing.scenario import (
    CallerHangsUp,
    CallerPresses,
    CallerSays,
    ModelCalls,
    ModelCallsMcp,
    ModelFails,
    ModelSays,
    ModelSaysNothing,
    Step,
)
from realtime_sip.testing.scenario_file import read_scenario, write_scenario
from realtime_sip.testing.virtual_time import VirtualTimeLoop, run_virtual

if TYPE_CHECKING:
    from realtime_sip.testing.on_thread import EmulatorOnThread
    from realtime_sip.testing.twilio.behavior import TwilioBehavior, TwilioTimings
    from realtime_sip.testing.twilio.emulator import TwilioEmulator
    from realtime_sip.testing.twilio.ends import Callee
    from realtime_sip.testing.twilio.record import TwilioAlert, TwilioRequest
    from realtime_sip.testing.twilio.ringing import TwilioCall
    from realtime_sip.testing.twilio.trunk_call import TrunkCall

__all__ = [
    "Behavior",
    "CallEnd",
    "CallState",
    "CallTarget",
    "Callee",
    "CallerHangsUp",
    "CallerPresses",
    "CallerSays",
    "ClientOptions",
    "DecidedElsewhere",
    "EmulatorOnThread",
    "EndedBy",
    "ErrorSent",
    "EventAltered",
    "EventLost",
    "EventRefused",
    "EventRepeated",
    "ExpectedSocket",
    "FrameInjected",
    "ModelCalls",
    "ModelCallsMcp",
    "ModelFails",
    "ModelSays",
    "ModelSaysNothing",
    "OpenAIEmulator",
    "PingsUnanswered",
    "RecordedFrame",
    "RecordedRequest",
    "Recording",
    "Replay",
    "RequestFails",
    "ResponseRaced",
    "RingingCall",
    "Said",
    "ScenarioError",
    "ServiceRestarts",
    "SocketDropped",
    "SocketSilent",
    "Step",
    "Tally",
    "Timings",
    "TrunkCall",
    "TwilioAlert",
    "TwilioBehavior",
    "TwilioCall",
    "TwilioEmulator",
    "TwilioRequest",
    "TwilioTimings",
    "UpdateRefused",
    "VirtualTimeLoop",
    "VirtualTimeWarning",
    "WebhookResponse",
    "read_scenario",
    "run_virtual",
    "vcr_config",
    "write_scenario",
]

# Imported when they are asked for: not everybody who tests has Twilio, or needs a thread.
_LATER = {
    "Callee": "twilio.ends",
    "EmulatorOnThread": "on_thread",
    "TrunkCall": "twilio.trunk_call",
    "TwilioAlert": "twilio.record",
    "TwilioBehavior": "twilio.behavior",
    "TwilioCall": "twilio.ringing",
    "TwilioEmulator": "twilio.emulator",
    "TwilioRequest": "twilio.record",
    "TwilioTimings": "twilio.behavior",
}

# Not for type checkers, which would believe in every name then.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
        return value
