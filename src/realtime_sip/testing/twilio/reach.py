"""Reaches the far end of a leg: OpenAI, or somebody whom the table of callees knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from realtime_sip.testing.openai.invite import Invite
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.twilio.ends import CalleeEnd, FarEnd, OpenAIEnd
from realtime_sip.testing.twilio.legs import Leg
from realtime_sip.testing.twilio.nouns import Target, invite_headers

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.call import VoiceCall

__all__ = ["reach"]


async def reach(
    call: VoiceCall, target: Target, leg: Leg, *, changed: Callable[[], None], refers: Callable[[str], None]
) -> FarEnd | None:
    """Return the far end of `leg`, which rings from now on; None if OpenAI was meant and there is no emulator of it.

    `changed` is called at each step of the far end, `refers` with the target of each REFER that it sends.
    """
    board = call.board
    if target.sip is None or not target.sip.openai:
        return CalleeEnd(board.callee(target.to, target.noun.text), board.clock, changed)
    if board.openai is None or board.openai_webhook is None:
        call.alert(None, "OpenAI was dialed, but TwilioEmulator has no openai or no openai_webhook")
        return None
    sip_call_id = f"{leg.sid[2:]}@0.0.0.0"
    headers = invite_headers(target, leg, call_id=sip_call_id, behavior=board.behavior)
    media_security: Literal["rtp", "srtp"] = "srtp" if target.sip.param("secure") == "true" else "rtp"
    rung = await board.openai._ring(
        board.openai_webhook,
        Invite.with_headers(headers, media_security=media_security),
        scenario=call.scenarios.pop(0) if call.scenarios else (),
        strict=call.strict,
        carrier=refers,
    )
    call.openai_calls.append(RingingCall(rung))
    return OpenAIEnd(rung, sip_call_id, changed)
