"""Conferences: who is in them, when they begin and end, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.legs import Callback, Leg, written
from realtime_sip.testing.twilio.stages import Interrupted
from realtime_sip.testing.twilio.twiml import Document, Verb

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.call import VoiceCall
    from realtime_sip.testing.twilio.switchboard import Switchboard

__all__ = ["Conference", "Participant", "confer"]

_WORDS = {
    "start": "conference-start",
    "end": "conference-end",
    "join": "participant-join",
    "leave": "participant-leave",
    "mute": "participant-mute",
    "hold": "participant-hold",
}


@dataclass(slots=True)
class Participant:
    """One leg in a conference."""

    leg: Leg
    starts: bool = True
    ends: bool = False
    muted: bool = False
    hold: bool = False
    label: str | None = field(default=None, repr=False)
    removed: bool = False

    def shown(self, conference: Conference) -> dict[str, Any]:
        """Return the resource as REST shows it."""
        account = self.leg.account_sid
        return {
            "account_sid": account,
            "call_sid": self.leg.sid,
            "label": self.label,
            "call_sid_to_coach": None,
            "coaching": False,
            "conference_sid": conference.sid,
            "date_created": written(conference.created),
            "date_updated": written(conference.created),
            "end_conference_on_exit": self.ends,
            "muted": self.muted,
            "hold": self.hold,
            "start_conference_on_enter": self.starts,
            "status": "connected",
            "queue_time": None,
            "uri": f"/2010-04-01/Accounts/{account}/Conferences/{conference.sid}/Participants/{self.leg.sid}.json",
        }


class Conference:
    """One conference. Its callback is that of the first participant who brings one."""

    def __init__(self, name: str, board: Switchboard) -> None:
        self.sid = new_sid("CF")
        self.name = name
        self.status: Literal["init", "in-progress", "completed"] = "init"
        self.participants: list[Participant] = []
        self.created = board.clock.unix()
        self.callback: Callback | None = None
        self._board = board
        self._sequence = 0

    def participant(self, call_sid: str) -> Participant | None:
        """Return who is there by the SID of their call, or by their label."""
        return next((each for each in self.participants if call_sid in (each.leg.sid, each.label)), None)

    def join(self, participant: Participant) -> None:
        """Let somebody in."""
        self.participants.append(participant)
        self.report("join", participant)
        if participant.starts and self.status == "init":
            self.status = "in-progress"
            self.report("start", participant)
        self.changed()

    def leave(self, participant: Participant) -> None:
        """Let somebody go; the conference may end with it."""
        if participant in self.participants:
            self.participants.remove(participant)
            self.report("leave", participant)
        if participant.ends or not self.participants:
            self.end()
        self.changed()

    def end(self) -> None:
        """End it, for all."""
        if self.status != "completed":
            self.status = "completed"
            self.report("end", None)
        self.changed()

    def changed(self) -> None:
        """Wake all who are in it."""
        for call in self._board.calls.values():
            call.notify()

    def report(self, event: str, participant: Participant | None) -> None:
        """Send a status callback, if it is for this event."""
        callback = self.callback
        self._sequence += 1
        if callback is None or event not in callback.events:
            return
        params = {
            "ConferenceSid": self.sid,
            "FriendlyName": self.name,
            "AccountSid": self._board.account_sid,
            "StatusCallbackEvent": _WORDS[event],
            "SequenceNumber": str(self._sequence),
            "Timestamp": written(self._board.clock.unix()),
        }
        log = []
        if participant is not None:
            flags = {"Muted": participant.muted, "Hold": participant.hold}
            flags |= {"StartConferenceOnEnter": participant.starts, "EndConferenceOnExit": participant.ends}
            params |= {"CallSid": participant.leg.sid, **{name: str(flag).lower() for name, flag in flags.items()}}
            log = self._board.log_of(participant.leg)
        self._board.tell("conference", callback, params, log=log)

    def shown(self) -> dict[str, Any]:
        """Return the resource as REST shows it."""
        account = self._board.account_sid
        path = f"/2010-04-01/Accounts/{account}/Conferences/{self.sid}"
        return {
            "account_sid": account,
            "api_version": "2010-04-01",
            "call_sid_ending_conference": None,
            "date_created": written(self.created),
            "date_updated": written(self.created),
            "friendly_name": self.name,
            "reason_conference_ended": None,
            "region": "us1",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"participants": f"{path}/Participants.json"},
            "uri": f"{path}.json",
        }


async def confer(call: VoiceCall, noun: Verb, document: Document, *, seconds: float) -> None:
    """Keep a caller in the conference that a noun names, until it ends, they are removed, or the time is over."""
    board = call.board
    conference = board.conference(noun.text)
    callback = Callback.of(
        call.url_of(noun, "statusCallback", document),
        noun.method("statusCallbackMethod"),
        noun.get("statusCallbackEvent", "end").split(),
    )
    conference.callback = conference.callback or callback
    mine = Participant(
        call.leg,
        starts=noun.flag("startConferenceOnEnter", default=True),
        ends=noun.flag("endConferenceOnExit"),
        muted=noun.flag("muted"),
        label=noun.get("participantLabel") or None,
    )
    conference.join(mine)
    wait_url = call.url_of(noun, "waitUrl", document)
    if wait_url and conference.status == "init":
        params = {"ConferenceSid": conference.sid, "FriendlyName": conference.name}
        await call.request("wait", wait_url, params, method=noun.method("waitMethod"))
    over: Callable[[], bool] = lambda: mine.removed or conference.status == "completed"  # noqa: E731
    try:
        await call.until(over, seconds=seconds)
    except Interrupted:
        conference.leave(mine)
        raise
    conference.leave(mine)
