"""Dial: rings whom it names, bridges the first who answers, and asks `action` and `referUrl` what to do then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from realtime_sip.testing.twilio.conference import confer
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.detection import Detection
from realtime_sip.testing.twilio.ends import FarEnd, OpenAIEnd
from realtime_sip.testing.twilio.legs import Callback, Leg
from realtime_sip.testing.twilio.nouns import Target, noun_events, targets, word_of
from realtime_sip.testing.twilio.reach import reach
from realtime_sip.testing.twilio.record import TwilioRefusal
from realtime_sip.testing.twilio.stages import End, Gone, Interrupted, Redirected, Restored, Source
from realtime_sip.testing.twilio.twiml import Document, Verb

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.call import VoiceCall

__all__ = ["ChildLeg", "Dialing"]

_MAX_REFER = 256


class ChildLeg:
    """A leg that was dialed, and its far end."""

    def __init__(self, target: Target, leg: Leg) -> None:
        self.target = target
        self.leg = leg
        self.end: FarEnd | None = None
        self.code: int | None = target.fails
        self.referred: list[str] = []
        """The targets of REFERs that wait to be carried out."""
        self.refer_target = ""
        self.dropped = False
        self.left: Callable[[], None] = lambda: None
        """What happens when a REFER closed the leg."""
        self.task: asyncio.Task[None] | None = None

    @property
    def answer(self) -> int | None:
        """The SIP status by which the dialing ended, or None."""
        if self.dropped and self.leg.answered_at is None:
            return 487
        return self.code if self.end is None else self.end.code

    @property
    def gone(self) -> bool:
        """Whether the far end left, or was hung up by REST."""
        return self.dropped or (self.end is not None and bool(self.end.gone))

    def close(self, *, transferred: bool = False) -> None:
        """Hang up, or give up."""
        if self.end is not None:
            if self.leg.answered_at is None:
                self.end.cancel()
            else:
                self.end.bye(transferred=self.refer_target if transferred else None)
        self.leg.move("canceled" if self.leg.answered_at is None else "completed")
        self.stop()
        if transferred and self.refer_target:
            self.left()

    def stop(self) -> None:
        """Stop what the far end does."""
        if self.task is not None:
            self.task.cancel()


@dataclass(frozen=True, slots=True)
class _Result:
    status: Literal["completed", "answered", "busy", "no-answer", "failed", "canceled"]
    child: ChildLeg | None = None
    error: str = ""
    extra: dict[str, str] = field(default_factory=dict[str, str])


class Dialing:
    """One Dial, while it lasts."""

    def __init__(self, call: VoiceCall, verb: Verb, document: Document) -> None:
        self._call = call
        self._board = call.board
        self._verb = verb
        self._document = document
        self._on_bridge = verb.flag("answerOnBridge")
        self._children: list[ChildLeg] = []
        self._bridged: ChildLeg | None = None
        self._handed_over = False

    async def run(self) -> Source | End | None:
        """Dial, and return what comes in place of the next verb, if anything does."""
        call = self._call
        if not self._on_bridge:
            call.answer()
        if any(noun.name == "Conference" for noun in self._verb.children):
            return await self._confer()
        try:
            chosen = targets(self._verb, call.leg, self._board.behavior)
            for target in chosen:
                self._board.check_whatsapp(target.from_, target.to)
        except TwilioRefusal as refusal:
            call.alert(refusal.code, refusal.message)
            call.unanswered = "failed"
            return await self._next(_Result("failed", error=refusal.message))
        try:
            await self._start(chosen)
            result = await self._ring()
            if result is None:
                assert self._bridged is not None
                result = await self._talk(self._bridged)
            if result is None:
                return End()
            return await self._next(result)
        except Interrupted as interrupted:
            if not self._handed_over:
                await self._interrupted(interrupted.what)
            raise
        finally:
            for child in self._children:
                child.stop()

    async def _confer(self) -> Source | None:
        call = self._call
        call.hand_over()
        call.answer()
        noun = self._verb.children[0]
        if not noun.text or len(self._verb.children) > 1:
            call.alert(None, "a Dial has one Conference, which has a name, and nothing beside it")
            return await self._next(_Result("failed", error="no conference"))
        try:
            await confer(call, noun, self._document, seconds=min(self._verb.number("timeLimit", 14_400), 86_400))
        except Interrupted as interrupted:
            await self._interrupted(interrupted.what)
            raise
        return await self._next(_Result("answered", extra={"DialBridged": "true"}))

    async def _start(self, chosen: list[Target]) -> None:
        call, board = self._call, self._board
        for target in chosen:
            for code, text in target.warnings:
                call.alert(code, text, warning=True)
            for code, text in target.alerts:
                call.alert(code, text)
            noun = target.noun
            callback = Callback.of(
                call.url_of(noun, "statusCallback", self._document),
                noun.method("statusCallbackMethod"),
                noun_events(noun),
            )
            leg = Leg(
                new_sid("CA"),
                account_sid=call.leg.account_sid,
                from_=target.from_,
                to=target.to,
                direction="outbound-dial",
                now=board.clock.now,
                unix=board.clock.unix,
                parent=call.leg,
                callback=callback,
                report=board.report,
                moved=board.changes.notify,
            )
            board.add(leg)
            call.children.append(leg)
            child = ChildLeg(target, leg)
            self._children.append(child)
            leg.move("initiated")
        call.notify()
        await call.sleep(board.timings.setup)
        for child in self._children:
            await self._connect(child)

    async def _connect(self, child: ChildLeg) -> None:
        if child.code is not None:
            return
        child.end = await reach(
            self._call,
            child.target,
            child.leg,
            changed=lambda: self._changed(child),
            refers=lambda refer_to: self._refers(child, refer_to),
        )
        if child.end is None:
            child.code = 503
            return
        child.leg.hang_up = lambda: self._dropped(child)
        child.leg.move("ringing")
        child.task = self._board.spawn(child.end.live())
        self._call.notify()

    def _dropped(self, child: ChildLeg) -> None:
        """End the leg because REST says so."""
        child.dropped = True
        self._call.notify()

    def _changed(self, child: ChildLeg) -> None:
        if child.end is not None and child.end.gone == "caller" and not child.leg.over:
            self._call.leave()
        self._call.notify()

    def _refers(self, child: ChildLeg, target: str) -> None:
        child.referred.append(target)
        self._call.notify()

    async def _ring(self) -> _Result | None:
        """Wait until somebody has answered; return how it failed, or None."""
        board, call = self._board, self._call
        timeout = min(600.0, max(5.0, self._verb.number("timeout", 30.0))) + board.timings.dial_slack
        left = board.clock.patience(timeout) * board.clock.speed  # what is dialed may be the program under test
        await call.until(
            lambda: (
                any(child.answer == 200 for child in self._children)
                or all(child.answer is not None for child in self._children)
            ),
            seconds=left,
        )
        winner = next((child for child in self._children if child.answer == 200), None)
        for child in self._children:
            if child is winner:
                continue
            code = child.answer
            child.leg.sip_code = code
            if code is None and winner is None:
                assert child.end is not None
                child.end.cancel()
                child.leg.move("no-answer")
                child.stop()
            elif code is None or code == 200:
                child.close()
            else:
                child.leg.move(word_of(code, board.behavior))
        if winner is None:
            last = self._children[-1]
            status = word_of(last.answer, board.behavior) if last.answer is not None else "no-answer"
            if call.leg.answered_at is None:
                call.unanswered = status
            return _Result(status, last)
        winner.leg.sip_code = 200
        winner.leg.move("in-progress")
        self._bridged = winner
        return None

    async def _talk(self, child: ChildLeg) -> _Result | None:
        """Bridge until one side leaves; return the result, or None if a REFER took the caller away."""
        board, call, verb = self._board, self._call, self._verb
        if not await self._whispered(child):
            child.close()
            return _Result("completed", child, extra={"DialBridged": "false"})
        call.hand_over()
        call.answer()
        self._detect(child)
        began = board.clock.now()
        ends_at = began + min(verb.number("timeLimit", 14_400), 86_400)
        while True:
            await call.until(lambda: child.gone or bool(child.referred), seconds=ends_at - board.clock.now())
            if child.gone or not child.referred:
                break
            if await self._refer(child, child.referred.pop(0)):
                return None
        child.close()
        extra = {"DialCallDuration": str(child.leg.seconds or 0), "DialBridged": "true"}
        record = verb.get("record", "do-not-record")
        if record not in ("do-not-record", "false"):
            recorded = call.recorded(
                verb,
                self._document,
                seconds=board.clock.now() - began,
                source="DialVerb",
                channels=2 if record.endswith("-dual") else 1,
            )
            extra["RecordingUrl"] = recorded["RecordingUrl"]
        return _Result("completed", child, extra=extra)

    def _detect(self, child: ChildLeg) -> None:
        """Find out who answered, beside the talk."""
        noun, call = child.target.noun, self._call
        detection = Detection.of_noun(noun, call.url_of(noun, "amdStatusCallback", self._document))
        if detection is None:
            return
        if detection.callback is None:
            self._board.alert(21262, "machine detection has no amdStatusCallback", leg=call.leg, warning=True)
        callee = self._board.callee(child.target.to, noun.text)
        self._board.spawn(detection.report(call, child.leg, callee))

    async def _whispered(self, child: ChildLeg) -> bool:
        """Play the noun's own document to who answered; return whether they are still to be bridged."""
        url = self._call.url_of(child.target.noun, "url", self._document)
        if not url:
            return True
        call = self._call
        try:
            document = await self._board.courier.document(
                "whisper",
                url,
                child.leg.params(),
                method=child.target.noun.method(),
                log=call.requests,
            )
        except TwilioRefusal as refusal:
            call.alert(refusal.code, refusal.message)
            return False
        for verb in document.verbs:
            if verb.name in ("Hangup", "Reject"):
                return False
            timings = self._board.timings
            seconds = verb.number("length", 1) if verb.name == "Pause" else timings.played
            if verb.name == "Say":
                seconds = len(verb.text) / timings.spoken_characters_per_second
            await call.sleep(seconds)
        return not child.gone

    async def _refer(self, child: ChildLeg, refer_to: str) -> bool:
        """Carry a REFER out; return whether the caller is gone from here."""
        call, behavior = self._call, self._board.behavior
        url = call.url_of(self._verb, "referUrl", self._document)
        if not behavior.enhanced_sip:
            call.alert(None, "a REFER was not carried out: the enhanced SIP features are off")
            return False
        if not url:
            call.alert(13802, "a REFER was not carried out: the Dial has no referUrl")
            return False
        if len(refer_to) > _MAX_REFER:
            call.alert(None, f"a REFER was not carried out: its target has more than {_MAX_REFER} characters")
            return False
        leg = child.leg if behavior.refer_call_sid == "child" else call.leg
        shown = f"<{refer_to}>" if behavior.refer_target_in_brackets else refer_to
        try:
            document = await self._board.courier.document(
                "refer",
                url,
                {**leg.params(), "ReferTransferTarget": shown},
                method=self._verb.method("referMethod"),
                log=call.requests,
            )
        except TwilioRefusal as refusal:
            call.alert(refusal.code, refusal.message)
            return False
        if isinstance(child.end, OpenAIEnd):
            child.end.call.dial(refer_to)
        child.refer_target = refer_to
        child.left = lambda: self._left(child)
        call.held = child
        if self._on_bridge:
            assert child.end is not None
            child.end.divert(True)
        else:
            self._hand_over()
        with contextlib.suppress(Restored):
            await self._follow(document)
        return not self._take_back()

    async def _follow(self, document: Document) -> None:
        try:
            await self._call.follow(Source("refer", document=document))
        finally:
            self._handed_over = self._call.held is None

    def _take_back(self) -> bool:
        """Give the caller back to who referred them, unless they are gone."""
        held, self._call.held = self._call.held, None
        if held is not None and held.end is not None:
            held.end.divert(False)
        return held is not None

    def _hand_over(self) -> None:
        self._call.hand_over()
        self._handed_over = True

    def _left(self, child: ChildLeg) -> None:
        """Request `action` for a leg that a REFER closed, if Twilio does that."""
        if self._action and self._board.behavior.action_after_refer:
            extra = {"DialCallDuration": str(child.leg.seconds or 0), "DialBridged": "true"}
            params = self._params(_Result("completed", child, extra=extra))
            self._board.spawn(self._call.request("action", self._action, params, method=self._verb.method()))

    async def _interrupted(self, what: Gone | Redirected) -> None:
        """Close what was dialed, and request `action`, whose answer is ignored: something else comes next."""
        board, call = self._board, self._call
        timings = board.timings
        child = self._bridged
        redirected = isinstance(what, Redirected)
        call.held = None if call.held is child else call.held
        if redirected:
            await board.clock.sleep(timings.child_closes)
        for each in self._children:
            if not each.leg.over:
                each.refer_target = ""
                each.close(transferred=redirected)
        if redirected:
            await board.clock.sleep(timings.old_action)
        result = _Result(
            "completed" if child is not None else "canceled", child or next(reversed(self._children), None)
        )
        if child is not None:
            result.extra.update({"DialCallDuration": str(child.leg.seconds or 0), "DialBridged": "true"})
        after = board.behavior.action_after_caller
        if self._action and (redirected or after != "none"):
            status = None if redirected else after
            if call.leg.answered_at is None:
                status = None
            await call.request("action", self._action, self._params(result), method=self._verb.method(), status=status)
        if redirected:
            await board.clock.sleep(timings.new_document)

    @property
    def _action(self) -> str:
        return self._call.url_of(self._verb, "action", self._document)

    async def _next(self, result: _Result) -> Source | None:
        call = self._call
        if not self._action:
            return None
        params = self._params(result)
        if call.held is not None:
            # The caller goes back to who referred them, whatever this answers.
            await call.request("action", self._action, params, method=self._verb.method())
            return None
        return Source("action", self._action, self._verb.method(), params)

    def _params(self, result: _Result) -> dict[str, str]:
        params: dict[str, Any] = {"DialCallStatus": result.status}
        child = result.child
        if child is not None and result.status != "answered":
            params["DialCallSid"] = child.leg.sid
            if child.leg.sip_code is not None and child.target.sip is not None:
                params["DialSipResponseCode"] = str(child.leg.sip_code)
                params["DialSipCallId"] = getattr(child.end, "sip_call_id", f"{child.leg.sid[2:]}@0.0.0.0")
        if result.error:
            params["ErrorMessage"] = result.error
        return {**params, "DialBridged": "false", **result.extra}
