"""The emulated REST API: calls, messages, conferences, and what the account has, with state."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, unquote

from realtime_sip.testing.openai.server import Answer, Reply, Request, Silence
from realtime_sip.testing.twilio import trunks
from realtime_sip.testing.twilio.account import Account
from realtime_sip.testing.twilio.call import VoiceCall
from realtime_sip.testing.twilio.conference import Conference, Participant
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.detection import Detection
from realtime_sip.testing.twilio.legs import EVENTS, Callback, Leg
from realtime_sip.testing.twilio.messages import Message
from realtime_sip.testing.twilio.nouns import target_of
from realtime_sip.testing.twilio.record import RestRequest, TwilioRefusal
from realtime_sip.testing.twilio.replies import matching, not_found, page, refused, seconds
from realtime_sip.testing.twilio.stages import Source
from realtime_sip.testing.twilio.twiml import parse

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.switchboard import Switchboard

__all__ = ["RestFault", "TwilioApi"]

_VERSION = "2010-04-01"
_MAX_TWIML = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestFault:
    """How a request fails: with a status, or without an answer; and whether it was carried out all the same."""

    method: str
    path: str
    status: int
    code: int | None
    acted: bool
    how: Literal["status", "reset", "no answer"]
    retry_after: float | None


class TwilioApi:
    """Answers requests to `/2010-04-01/Accounts/…`, `/v1/…` and `/v2/…`. A path may begin with a host of Twilio's."""

    def __init__(
        self, board: Switchboard, *, secrets: Iterable[tuple[str, str]], made: Callable[[VoiceCall], None], strict: bool
    ) -> None:
        self.requests: list[RestRequest] = []
        self.messages: dict[str, Message] = {}
        self.faults: list[RestFault] = []
        self.account = Account(board.account_sid)
        board.senders = self.account.whatsapp
        self._board = board
        self._secrets = tuple(secrets)
        self._made = made
        self._strict = strict

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        path = request.path
        host, _, rest = path.lstrip("/").partition("/")
        if host.endswith(".twilio.com"):
            path = f"/{rest}"
        sent = request.target.partition("?")[2] if request.method == "GET" else request.body.decode("utf-8", "replace")
        form = parse_qsl(sent, keep_blank_values=True)
        code: int | None = None
        fault = self._fault(request.method, path)
        try:
            self._authenticate(request)
            reply = (
                Reply(status=500) if fault is not None and not fault.acted else await self._answer(request, path, form)
            )
        except TwilioRefusal as refusal:
            code = refusal.code
            reply = refused(refusal)
        answer: Answer = reply
        if fault is not None:
            code = fault.code
            headers = () if fault.retry_after is None else (("retry-after", f"{fault.retry_after:g}"),)
            error = refused(TwilioRefusal(fault.code, "The request was refused.", status=fault.status))
            reply = Reply(status=fault.status, body=error.body, headers=headers)
            answer = reply if fault.how == "status" else Silence(reset=fault.how == "reset")
        self.requests.append(
            RestRequest(method=request.method, path=path, form=tuple(form), status=reply.status, code=code)
        )
        self._board.changes.notify()
        return answer

    def _fault(self, method: str, path: str) -> RestFault | None:
        for fault in self.faults:
            if method == fault.method and f"/{fault.path}" in path:
                self.faults.remove(fault)
                return fault
        return None

    def _authenticate(self, request: Request) -> None:
        kind, _, value = request.header("authorization").partition(" ")
        try:
            given = base64.b64decode(value, validate=True).decode() if kind.lower() == "basic" else ""
        except (binascii.Error, ValueError):
            given = ""
        user, _, secret = given.partition(":")
        good = [hmac.compare_digest(f"{user}:{secret}", f"{known}:{word}") for known, word in self._secrets]
        if not any(good):
            raise TwilioRefusal(20003, "Authenticate", status=401)

    async def _answer(self, request: Request, path: str, form: list[tuple[str, str]]) -> Reply:
        if path.startswith("/v1/Content"):
            return self.account.templates.answer(request, unquote(path))
        if path.startswith("/v1/"):
            return trunks.answer(self.account, request, unquote(path), dict(form))
        if path.startswith("/v2/"):
            return self.account.whatsapp.answer(request, unquote(path))
        within = path.removeprefix(f"/{_VERSION}/Accounts/").removesuffix(".json")
        parts = [unquote(part) for part in within.split("/")]
        if not path.startswith(f"/{_VERSION}/Accounts/") or not path.endswith(".json"):
            raise not_found(path)
        account, *rest = parts
        if account != self._board.account_sid:
            raise not_found(path)
        fields = dict(form)
        match request.method, rest:
            case "GET", ["Calls"]:
                return self._calls(request)
            case "POST", ["Calls"]:
                return Reply.of_json(self._create_call(form).shown(), status=201)
            case "GET", ["Calls", sid]:
                return Reply.of_json(self._leg(sid, path).shown())
            case "POST", ["Calls", sid]:
                return Reply.of_json(self._update_call(self._leg(sid, path), fields).shown())
            case "GET", ["Messages"]:
                found = [message.shown() for message in self.messages.values()]
                wanted = {"to": request.query.get("To"), "from": request.query.get("From")}
                return page("messages", matching(found, wanted), request)
            case "POST", ["Messages"]:
                message = Message(fields, self._board)
                self.messages[message.sid] = message
                self._board.spawn(message.deliver())
                return Reply.of_json(message.shown(), status=201)
            case "GET", ["Messages", sid] if sid in self.messages:
                return Reply.of_json(self.messages[sid].shown())
            case method, ["Conferences", *inside]:
                return self._conferences(method, inside, request, fields, path)
        return self.account.answer(request, path, rest, fields)

    def _leg(self, sid: str, path: str) -> Leg:
        if sid not in self._board.legs:
            raise not_found(path)
        return self._board.legs[sid]

    def _calls(self, request: Request) -> Reply:
        found = [leg.shown() for leg in reversed(self._board.legs.values())]
        query = request.query
        wanted = {"to": query.get("To"), "from": query.get("From"), "status": query.get("Status")}
        return page("calls", matching(found, {**wanted, "parent_call_sid": query.get("ParentCallSid")}), request)

    def _create_call(self, form: list[tuple[str, str]], *, twiml: str | None = None) -> Leg:
        board, fields = self._board, dict(form)
        to, from_ = fields.get("To", ""), fields.get("From", "")
        if not to:
            raise TwilioRefusal(21201, "No 'To' number is specified")
        if not from_:
            raise TwilioRefusal(21213, "No 'From' number is specified")
        source = _source(fields) if twiml is None else Source("voice", twiml=twiml)
        if source is None:
            raise TwilioRefusal(21205, "Url or Twiml is required (ApplicationSid is not emulated)")
        target = target_of(to, from_, board.behavior)
        board.check_whatsapp(from_, target.to)
        detection = Detection.of_form(fields)
        events = [value for name, value in form if name == "StatusCallbackEvent"]
        wrong = [event for event in events if event not in EVENTS]
        leg = self._board.add(
            Leg(
                new_sid("CA"),
                account_sid=board.account_sid,
                from_=from_,
                to=target.to,
                direction="outbound-api",
                now=board.clock.now,
                unix=board.clock.unix,
                callback=None
                if wrong
                else Callback.of(fields.get("StatusCallback", ""), fields.get("StatusCallbackMethod", "POST"), events),
                report=board.report,
                moved=board.changes.notify,
            )
        )
        fallback = (fields.get("FallbackUrl", ""), fields.get("FallbackMethod", "POST"))
        call = VoiceCall(board, leg, first=source, fallback=fallback, scenarios=board.scenarios, strict=self._strict)
        board.calls[leg.sid] = call
        self._made(call)
        if wrong:
            # The call is made, and no callback comes (measured).
            call.alert(21626, "StatusCallbackEvent is a parameter that is repeated, not a list", warning=True)
        for code, text in target.alerts:
            call.alert(code, text)
        ring_seconds = seconds(fields.get("Timeout"), 60.0)
        board.spawn(call.call_out(target, ring_seconds=ring_seconds, detection=detection))
        return leg

    def _update_call(self, leg: Leg, fields: dict[str, str]) -> Leg:
        status = fields.get("Status")
        call = self._board.calls.get(leg.sid)
        if status not in (None, "canceled", "completed"):
            raise TwilioRefusal(21219, "Status is canceled or completed")  # that it has this code is a guess
        if status is not None:
            if call is not None and not (status == "canceled" and leg.answered_at is not None):
                call.leave(unanswered="canceled" if status == "canceled" else "completed")
            elif call is None and leg.hang_up is not None:
                leg.hang_up()
            return leg
        source = _source(fields, kind="redirect")
        if source is None:
            return leg
        refused = self._board.behavior.redirect_while_ringing == "refused" and leg.answered_at is None
        if leg.over or refused:
            raise TwilioRefusal(21220, "Call is not in-progress. Cannot redirect.")
        if call is None:
            raise TwilioRefusal(None, "to redirect a leg that was dialed is not emulated: redirect its parent")
        call.redirect(source)
        return leg

    def _conferences(
        self, method: str, inside: list[str], request: Request, fields: dict[str, str], path: str
    ) -> Reply:
        board = self._board
        if not inside:
            if method != "GET":
                raise not_found(path)
            wanted = {
                "status": request.query.get("Status", "in-progress"),
                "friendly_name": request.query.get("FriendlyName"),
            }
            return page("conferences", matching([each.shown() for each in board.conferences], wanted), request)
        key, *rest = inside
        known = [each for each in board.conferences if key in (each.sid, each.name)]
        if method == "POST" and rest == ["Participants"]:
            conference = known[-1] if known else board.conference(key)
            return self._add_participant(conference, fields)
        if not known:
            raise not_found(path)
        conference = known[-1]
        match method, rest:
            case "GET", []:
                return Reply.of_json(conference.shown())
            case "POST", []:
                if fields.get("Status") == "completed":
                    conference.end()
                return Reply.of_json(conference.shown())
            case "GET", ["Participants"]:
                return page("participants", [each.shown(conference) for each in conference.participants], request)
            case _, ["Participants", sid]:
                participant = conference.participant(sid)
                if participant is None:
                    raise not_found(path)
                return _participant(method, participant, conference, fields)
        raise not_found(path)

    def _add_participant(self, conference: Conference, fields: dict[str, str]) -> Reply:
        attributes = {
            "startConferenceOnEnter": fields.get("StartConferenceOnEnter", "true"),
            "endConferenceOnExit": fields.get("EndConferenceOnExit", "false"),
            "muted": fields.get("Muted", "false"),
            "participantLabel": fields.get("Label", ""),
        }
        written = "".join(f' {name}="{_escaped(value)}"' for name, value in attributes.items() if value)
        twiml = f"<Response><Dial><Conference{written}>{_escaped(conference.name)}</Conference></Dial></Response>"
        leg = self._create_call(list(fields.items()), twiml=twiml)
        participant = Participant(leg, label=fields.get("Label"))
        return Reply.of_json({**participant.shown(conference), "status": "queued"}, status=201)


def _participant(method: str, participant: Participant, conference: Conference, fields: dict[str, str]) -> Reply:
    if method == "DELETE":
        participant.removed = True
        conference.changed()
        return Reply(status=204)
    if method == "POST":
        if "Hold" in fields:
            participant.hold = fields["Hold"].lower() == "true"
            conference.report("hold", participant)
        if "Muted" in fields:
            participant.muted = fields["Muted"].lower() == "true"
            conference.report("mute", participant)
        if "EndConferenceOnExit" in fields:
            participant.ends = fields["EndConferenceOnExit"].lower() == "true"
    return Reply.of_json(participant.shown(conference))


def _source(fields: dict[str, str], *, kind: Literal["voice", "redirect"] = "voice") -> Source | None:
    """Return where a call's TwiML comes from. A text goes before a URL, as documented."""
    twiml, url = fields.get("Twiml"), fields.get("Url")
    if twiml:
        if len(twiml) > _MAX_TWIML:
            # The limit is documented; that it has this code is a guess.
            raise TwilioRefusal(20422, f"Twiml must have at most {_MAX_TWIML} characters")
        parse(twiml)
        return Source(kind, twiml=twiml)
    if url and not url.startswith(("http://", "https://")):
        raise TwilioRefusal(21205, "Url is not a valid URL.")
    return Source(kind, url, "GET" if fields.get("Method", "").upper() == "GET" else "POST") if url else None


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
