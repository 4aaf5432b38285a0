"""OpenAI on loopback, for tests and demos without an account.

`OpenAIEmulator` is the calls API, the webhook sender and the sideband in one object. It plays scenarios made of
`CallerSays`, `CallerPresses`, `CallerHangsUp`, `ModelSays` and `ModelCalls`, or replays a `Recording`.
"""

from __future__ import annotations

from realtime_sip.testing.behaviour import Behaviour, Timings
from realtime_sip.testing.call import CallEnd, CallState, EndedBy
from realtime_sip.testing.clock import ScenarioError
from realtime_sip.testing.emulator import OpenAIEmulator
from realtime_sip.testing.faults import FrameInjected, SocketDropped
from realtime_sip.testing.primary import ExpectedSocket
from realtime_sip.testing.record import RecordedRequest, Said, WebhookResponse
from realtime_sip.testing.recording import RecordedFrame, Recording, Replay
from realtime_sip.testing.ringing import RingingCall
from realtime_sip.testing.scenario import CallerHangsUp, CallerPresses, CallerSays, ModelCalls, ModelSays

__all__ = [
    "Behaviour",
    "CallEnd",
    "CallState",
    "CallerHangsUp",
    "CallerPresses",
    "CallerSays",
    "EndedBy",
    "ExpectedSocket",
    "FrameInjected",
    "ModelCalls",
    "ModelSays",
    "OpenAIEmulator",
    "RecordedFrame",
    "RecordedRequest",
    "Recording",
    "Replay",
    "RingingCall",
    "Said",
    "ScenarioError",
    "SocketDropped",
    "Timings",
    "WebhookResponse",
]
