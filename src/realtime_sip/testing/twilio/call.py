"""The life of one emulated call: it plays TwiML to its end, or until somebody leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx

from realtime_sip.testing.clock import Changes
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.scenario import Step
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.detection import Detection
from realtime_sip.testing.twilio.dial import ChildLeg, Dialing
from realtime_sip.testing.twilio.ends import Callee, FarEnd
from realtime_sip.testing.twilio.legs import Leg, LegStatus
from realtime_sip.testing.twilio.nouns import Target, word_of
from realtime_sip.testing.twilio.reach import reach
from realtime_sip.testing.twilio.record import RequestKind, TwilioAlert, TwilioRefusal, TwilioRequest
from realtime_sip.testing.twilio.stages import End, Gone, Interrupted, Redirected, Restored, Source
from realtime_sip.testing.twilio.twiml import Document, Verb, parse

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.switchboard import Switchboard

__all__ = ["Queued", "VoiceCall"]

_MAX_DOCUMENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A caller who was put into a queue: of TaskRouter by its workflow, as Flex uses it, or one of a name."""

    name: str
    workflow_sid: str
    task: Any = field(repr=False)
    """The attributes of the task, if they are JSON; else their text."""
    queue_sid: str


class VoiceCall:
    """One leg that plays TwiML: an inbound call, or one that was made over REST."""

    def __init__(
        self,
        board: Switchboard,
        leg: Leg,
        *,
        first: Source,
        fallback: tuple[str, str] = ("", "POST"),
        scenarios: list[list[Step]] | None = None,
        strict: bool = False,
    ) -> None:
        self.board = board
        self.leg = leg
        self.strict = strict
        self.changes = Changes()
        self.requests: list[TwilioRequest] = []
        self.alerts: list[TwilioAlert] = []
        self.heard: list[str] = []
        """What was said or played to the caller by TwiML."""
        self.children: list[Leg] = []
        self.queued: list[Queued] = []
        self.openai_calls: list[RingingCall] = []
        self.scenarios = [] if scenarios is None else scenarios
        """What is played on the next calls to OpenAI; all calls that REST makes share one list."""
        self.held: ChildLeg | None = None
        """The leg that stays until the target of its REFER has answered."""
        self.unanswered: LegStatus = "completed"
        """The final status, if the call is not answered."""
        self._first = first
        self._fallback = fallback
        self._interrupt: Gone | Redirected | None = None
        self._documents = 0

    async def live(self) -> None:
        """Play TwiML until the call is over."""
        source: Source | None = self._first
        while source is not None:
            try:
                await self.follow(source)
                source = None
            except Interrupted as interrupted:
                what = interrupted.what
                if isinstance(what, Redirected):
                    source = what.source
                    self.answer()
                else:
                    self.unanswered = what.unanswered
                    source = None
        self.leg.move("completed" if self.leg.answered_at is not None else self.unanswered)
        self.notify()

    async def call_out(self, target: Target, *, ring_seconds: float, detection: Detection | None = None) -> None:
        """Dial this leg, which REST made, and play its TwiML to who answers."""
        board, leg = self.board, self.leg
        refers: Callable[[str], None] = lambda _: self.alert(13802, "a call of the REST API has no referUrl")  # noqa: E731
        task: asyncio.Task[None] | None = None
        end: FarEnd | None = None

        def changed() -> None:
            if end is not None and end.gone:
                self.leave()
            self.notify()

        try:
            leg.move("initiated")
            await self.sleep(board.timings.setup)
            code = target.fails
            if code is None:
                end = await reach(self, target, leg, changed=changed, refers=refers)
                leg.move("ringing")
                if end is not None:
                    task = board.spawn(end.live())
                    reached = end
                    left = board.clock.patience(ring_seconds) * board.clock.speed
                    await self.until(lambda: reached.code is not None, seconds=left)
                code = 503 if end is None else end.code
            leg.sip_code = code
            if code == 200:
                self.answer()
                await self._detect(detection, board.callee(target.to, target.noun.text))
                await self.live()
            else:
                leg.move("no-answer" if code is None else word_of(code, board.behavior))
        except Interrupted as interrupted:
            leg.move("canceled" if isinstance(interrupted.what, Redirected) else interrupted.what.unanswered)
        finally:
            if end is not None:
                end.cancel() if leg.answered_at is None else end.bye()
            if task is not None:
                task.cancel()
            self.notify()

    async def _detect(self, detection: Detection | None, callee: Callee) -> None:
        if detection is None:
            return
        if detection.callback is not None:
            self.board.spawn(detection.report(self, self.leg, callee))
            return
        params = await detection.wait(self, self.leg, callee)
        self._first = replace(self._first, params={**self._first.params, **params})

    def leave(self, *, unanswered: LegStatus | None = None) -> None:
        """Let the caller hang up, or Twilio end the call."""
        if not self.leg.over and not isinstance(self._interrupt, Gone):
            self._interrupt = Gone(unanswered or self.board.behavior.caller_gave_up)
            self.notify()

    def redirect(self, source: Source) -> None:
        """Play another document from now on."""
        if not isinstance(self._interrupt, Gone):
            self._interrupt = Redirected(source)
            self.notify()

    def notify(self) -> None:
        """Wake all who wait for something of this call."""
        self.changes.notify()
        self.board.changes.notify()

    def answer(self) -> None:
        """Pick up, if that has not happened."""
        self.leg.move("in-progress")
        self.notify()

    def alert(self, code: int | None, message: str, *, warning: bool = False) -> None:
        """Note what Twilio's debugger would show."""
        self.board.alert(code, message, leg=self.leg, warning=warning)

    async def until(self, condition: Callable[[], bool], *, seconds: float | None = None) -> bool:
        """Wait until `condition()` is true, `seconds` of the emulator's clock at most.

        Raises:
            Interrupted: The call was redirected, or is over.
        """
        limit = None if seconds is None else self.board.clock.real(max(0.0, seconds))
        await self.changes.until(lambda: self._interrupt is not None or condition(), seconds=limit)
        if self._interrupt is not None:
            what = self._interrupt
            if isinstance(what, Redirected):
                self._interrupt = None
            raise Interrupted(what)
        return condition()

    async def sleep(self, seconds: float) -> None:
        """Let time pass, unless something interrupts."""
        await self.until(lambda: False, seconds=seconds)

    def url_of(self, verb: Verb, name: str, document: Document) -> str:
        """Return the URL in an attribute of a verb, or ""."""
        url = verb.attributes.get(name)
        if url is None or (not url and self.board.behavior.empty_action == "none"):
            return ""
        return self.joined(document, url)

    def joined(self, document: Document, url: str) -> str:
        """Return a URL of a document as a whole one; "" with an alert if it is not valid."""
        try:
            whole = urljoin(document.url, url)
            if urlsplit(whole).scheme in ("http", "https"):
                return str(httpx.URL(whole))
        except (ValueError, httpx.InvalidURL):
            pass
        self.alert(11100, "a URL is not valid")
        return ""

    async def request(
        self, kind: RequestKind, url: str, params: Mapping[str, str], *, method: str, status: str | None = None
    ) -> None:
        """Request a URL, and ignore what it answers."""
        sent = {**self.leg.params(), **({} if status is None else {"CallStatus": status}), **params}
        response = await self.board.courier.request(kind, url, sent, method=method, log=self.requests)
        if kind == "wait" and not self.board.courier.reaches(url):
            return  # music from elsewhere
        if response is None or response.status_code >= 300:
            self.alert(11200, f"the URL of {kind} did not answer with 2xx")

    async def load(self, source: Source) -> Document:
        """Return the document of a source.

        Raises:
            TwilioRefusal: It cannot be had.
        """
        if source.document is not None:
            return source.document
        if source.twiml is not None:
            return parse(source.twiml)
        params = {**self.leg.params(), **source.params}
        return await self.board.courier.document(
            source.kind, source.url, params, method=source.method, log=self.requests
        )

    async def follow(self, source: Source | None) -> None:
        """Play a document, and those that it leads to."""
        while source is not None:
            self._documents += 1
            if self._documents > _MAX_DOCUMENTS:
                self.alert(None, f"more than {_MAX_DOCUMENTS} documents in one call: they lead in a circle")
                return
            try:
                document = await self.load(source)
            except TwilioRefusal as refusal:
                self.alert(refusal.code, refusal.message)
                url, method = self._fallback
                params = {"ErrorCode": str(refusal.code), "ErrorUrl": source.url}
                if url and source.kind != "fallback":
                    source = Source("fallback", url, method, params)
                    continue
                self.answer()
                self.heard.append("an application error has occurred")
                return
            played = await self.play(document)
            source = played if isinstance(played, Source) else None

    async def play(self, document: Document) -> Source | End | None:
        """Play the verbs of a document; return what comes in place of the rest of the TwiML, if anything."""
        for text in document.warnings:
            self.alert(12200, text, warning=True)
        for text in document.not_emulated:
            self.alert(None, text)
        for verb in document.verbs:
            await self.until(lambda: True)
            played = await self._verb(verb, document)
            if played is not None:
                return played
        return None

    def hand_over(self) -> None:
        """Close the leg whose REFER is carried out now, if there is one."""
        held, self.held = self.held, None
        if held is not None:
            held.close(transferred=True)

    async def _verb(self, verb: Verb, document: Document) -> Source | End | None:
        if verb.name == "Dial":
            played = await Dialing(self, verb, document).run()
            if self.held is not None:
                raise Restored
            return played
        self.hand_over()
        match verb.name:
            case "Say" | "Play":
                self.answer()
                await self._speak(verb)
            case "Pause":
                await self.sleep(verb.number("length", 1))
            case "Reject":
                self.unanswered = "busy" if verb.get("reason") == "busy" else "no-answer"
                return End()
            case "Hangup":
                self.answer()
                return End()
            case "Redirect":
                url = self.joined(document, verb.text)
                return Source("redirect", url, verb.method()) if url else End()
            case "Enqueue":
                self.answer()
                return await self._enqueue(verb, document)
            case "Record":
                self.answer()
                return await self._record(verb, document)
        return None

    async def _speak(self, verb: Verb) -> None:
        self.heard.append(verb.text)
        self.notify()
        timings = self.board.timings
        once = timings.played if verb.name == "Play" else len(verb.text) / timings.spoken_characters_per_second
        await self.sleep(once * max(1, int(verb.number("loop", 1))))

    async def _enqueue(self, verb: Verb, document: Document) -> Source | End | None:
        workflow = verb.get("workflowSid")
        tasks = [child.text for child in verb.children if child.name == "Task"]
        queued = Queued(
            name=verb.text, workflow_sid=workflow, task=_json(tasks[0]) if tasks else None, queue_sid=new_sid("QU")
        )
        self.queued.append(queued)
        self.notify()
        began = self.board.clock.now()
        wait_url = self.url_of(verb, "waitUrl", document)
        place = {"QueueSid": queued.queue_sid, "QueuePosition": "1", "QueueTime": "0", "CurrentQueueSize": "1"}
        if wait_url:
            await self.request("wait", wait_url, place, method=verb.method("waitUrlMethod"))
        agent = self.board.callee(workflow or verb.text, default=Callee(rings=8.0))
        result, taken = "redirected", None
        try:
            await self.until(lambda: False, seconds=agent.rings if agent.outcome == "answers" else None)
            result, taken = "redirected-from-bridged", self.board.clock.now()
            await self.sleep(agent.talks)
            result = "bridged"
        except Interrupted as interrupted:
            if isinstance(interrupted.what, Gone):
                result = "hangup"
            source = self._queue_action(verb, document, queued, result, began, taken)
            if source is not None:
                await self.request("action", source.url, source.params, method=source.method)
            raise
        return self._queue_action(verb, document, queued, result, began, taken)

    def _queue_action(
        self, verb: Verb, document: Document, queued: Queued, result: str, began: float, taken: float | None
    ) -> Source | None:
        url = self.url_of(verb, "action", document)
        # The time in the queue, without that of the talk (documented).
        seconds = str(round((self.board.clock.now() if taken is None else taken) - began))
        params = {"QueueResult": result, "QueueSid": queued.queue_sid, "QueueTime": seconds}
        return Source("action", url, verb.method(), params) if url else None

    async def _record(self, verb: Verb, document: Document) -> Source | None:
        seconds = min(self.board.timings.message, verb.number("maxLength", 3600))
        await self.sleep(seconds)
        params = self.recorded(verb, document, seconds=seconds, source="RecordVerb", channels=1)
        # The caller has stopped speaking. Without an action the document is requested again (documented).
        url = self.joined(document, verb.get("action"))
        return Source("action", url, verb.method(), {**params, "Digits": ""}) if url else None

    def recorded(self, verb: Verb, document: Document, *, seconds: float, source: str, channels: int) -> dict[str, str]:
        """Make a recording, report it a little later, and return what an `action` says of it."""
        sid = new_sid("RE")
        account = self.leg.account_sid
        url = f"https://api.twilio.com/2010-04-01/Accounts/{account}/Recordings/{sid}"
        callback = self.url_of(verb, "recordingStatusCallback", document)
        events = verb.get("recordingStatusCallbackEvent", "completed").split()
        if callback and "completed" in events:
            params = {
                "AccountSid": account,
                "CallSid": self.leg.sid,
                "RecordingSid": sid,
                "RecordingUrl": url,
                "RecordingStatus": "completed",
                "RecordingDuration": str(round(seconds)),
                "RecordingChannels": str(channels),
                "RecordingSource": source,
            }
            self.board.spawn(self._report_recording(callback, params, verb.method("recordingStatusCallbackMethod")))
        return {"RecordingUrl": url, "RecordingSid": sid, "RecordingDuration": str(round(seconds))}

    async def _report_recording(self, url: str, params: dict[str, str], method: str) -> None:
        await self.board.clock.sleep(self.board.timings.recording)
        await self.board.courier.request("recording", url, params, method=method, log=self.requests)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
