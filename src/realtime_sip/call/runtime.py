"""The I/O around `turns.Turns` and `lifecycle.Lifecycle`, which decide everything about a call.

`Runtime` reads from the moment it is attached, whether or not anybody iterates over the events, and never waits for the
program's code while it reads. What a program can ask of a call is in `call.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime_sip import events
from realtime_sip.api import calls, protocol
from realtime_sip.api.decision import deciding
from realtime_sip.api.sideband import AsyncSideband
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.event_queue import EventQueue, EventsDropped
from realtime_sip.call.guardrail import Guardrail
from realtime_sip.call.machine.digits import DigitCollector
from realtime_sip.call.machine.lifecycle import Act, Attach, DropSocket, Finish, HangUp, Lifecycle, Probe, SayGoodbye
from realtime_sip.call.machine.limits import LimitNear
from realtime_sip.call.machine.session_update import SessionUpdates, Taken
from realtime_sip.call.machine.transfer import (
    Refer,
    TakeSecondPath,
    TransferGivenUp,
    TransferOver,
    TransferRequest,
)
from realtime_sip.call.machine.turns import AskApproval, Effect, RunTool, Send, SpeechEnded, Turns
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.outbox import Outbox
from realtime_sip.call.record.call_record import CallRecord
from realtime_sip.call.record.struggle import Escalation, Struggle
from realtime_sip.call.speech import Speech
from realtime_sip.call.tool_runner import ToolRunner
from realtime_sip.errors import (
    CallEndedError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    NetworkError,
    RealtimeSipError,
    SocketClosedError,
    TransferFailed,
)
from realtime_sip.outcomes import CallEnded, EndReason, Gap, Heard, TransferFailure
from realtime_sip.response import ResponseConfig
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, ServerVad
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.call.call import Call

__all__ = ["CallEvent", "Runtime"]

_log = logging.getLogger("realtime_sip.call")

CallEvent = events.ServerEvent | LimitNear | Gap | EventsDropped | Escalation | TransferGivenUp
"""What iterating over a call gives: what the service says, and what happens to the call itself."""

AFTER_SPEECH = 30.0
"""Seconds that hanging up and transferring wait for speech at most."""
PROOF_OF_CLOSE = 1.0
"""Seconds that the service has to close the socket after it has hung up."""
SECOND_PATH = 10.0
"""Seconds that asking the carrier may take."""
UPDATED = 10.0
"""Seconds that the service has to answer a `session.update`."""
TOOLS_END = 10.0
"""Seconds that tools have to end after their call has."""
_UNHEARD_GREETING = 10.0
_LISTEN_AGAIN = 10.0
_DTMF = "input_audio_buffer.dtmf_event_received"
_ACTIVITY = frozenset(
    {
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.dtmf_event_received",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "output_audio_buffer.cleared",
    }
)
_CALLER = frozenset({"input_audio_buffer.speech_started", _DTMF})
_CHARGED = frozenset({"response.done", "conversation.item.input_audio_transcription.completed"})
_TRANSFER_FAILED = (
    "The transfer to {name} has failed ({failure}). The caller is still on the line with you. Tell them so in one "
    "sentence, and offer something else."
)


_consenting: ContextVar[bool] = ContextVar("realtime_sip.consenting", default=False)
"""Whether what runs is what asks the caller for consent to the event log."""


@dataclass(slots=True)
class _Waiting:
    """An update that somebody waits for."""

    answered: asyncio.Future[Taken]
    delivered: bool = False


class Runtime:
    """One call: its socket, its timers, its tasks. `call` is what tools get as theirs."""

    def __init__(
        self,
        transport: AsyncTransport,
        incoming: IncomingCall | str,
        session: RealtimeSession,
        options: AnswerOptions,
        *,
        call: Call,
    ) -> None:
        self._call = call
        self.incoming = None if isinstance(incoming, str) else incoming
        self.call_id = incoming if isinstance(incoming, str) else incoming.call_id
        self.session = session
        self.options = options
        self.gaps: list[Gap] = []
        self.transport = transport
        self.clock = asyncio.get_running_loop().time
        decision = deciding.get()
        self._decision = decision if decision is not None and decision.call_id == self.call_id else None
        if self._decision is not None:
            self._decision.call = call
        now = self.clock()
        unix = transport.settings.clock()
        self.lifecycle = Lifecycle(options.limits, now=now, unix=unix, owned=self._decision is not None)
        self.turns = Turns(detection=None if options.greet_undisturbed else _detection(session))
        self.tools = ToolRunner(options.tools, call=call, check=options.check_tool)
        caller = None if self.incoming is None else self.incoming.caller
        logs = options.event_log
        log = None if logs is None else logs.start(self.call_id, caller=caller, started_at=unix)
        self.record = CallRecord(session, rates=options.rates, log=log)
        self.queue: EventQueue[CallEvent] = EventQueue()
        self.instructions = session.instructions
        functions = {tool.name for tool in session.tools or [] if tool.type == "function"}
        self.own_functions = {name for name in functions if not self.tools.has(name)}
        """The names of functions that no registry has: the program answers them with `tool_output`."""
        self.spoken = False
        """Whether the model has been heard, so that its voice is locked."""
        self.ours = False
        """Whether the call may have been accepted by us, so that it is to be ended."""
        self.leaving = False
        self.over: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        self._guardrail = None if options.check_speech is None else Guardrail(options.check_speech)
        self._struggle = Struggle(options.escalation)
        self._outbox = Outbox(self.record.note)
        self._updates = SessionUpdates()
        self._waiting: dict[str, _Waiting] = {}  # by the ids of updates
        self._speeches: dict[str, Speech] = {}
        self._collector: DigitCollector | None = None
        self._collected: DigitCollector | None = None  # the one before
        self._barge_in = self._secret = self._for_consent = False  # of the digits that are collected
        self._secret_until = self._secret_grace = 0.0  # keys that follow secret ones are secret too
        self._transfer: asyncio.Future[TransferOver] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sideband: AsyncSideband | None = None
        self._attach: Attach | None = None
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._adopted = self._decision is not None and self._decision.adopted
        # A program that died may have left its turn detection as it is for a greeting, or for collecting digits.
        self._deaf = options.greet_undisturbed or self._adopted
        self._interruptions = 0
        self._goodbye: str | None = None
        self._live = asyncio.Event()

    @property
    def ended(self) -> CallEnded | None:
        """How the call ended, or None while it is up."""
        return self.lifecycle.ended

    def check_live(self) -> None:
        """Refuse what can no longer be done.

        Raises:
            CallEndedError: The call has ended.
        """
        if self.ended is not None:
            raise CallEndedError(self.ended)

    # --- answering ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept and attach. Returns when the call is up, or is over.

        Raises:
            ServiceError, NetworkError: The service refuses the accept, or cannot be reached; the call rings on.
        """
        if self._adopted:
            self.ours = True
            self.record.missed(self.transport.settings.clock())
            self.do(self.lifecycle.adopted())
        elif self.incoming is not None and self.incoming.is_stale(self.transport.settings.clock()):
            self.do(self.lifecycle.stale(self.clock()))
        else:
            await self._accept()
        if self.ended is None:
            self.spawn(self._run())
            await self.until(lambda: self._live.is_set(), None)

    async def _accept(self) -> None:
        session = self.session
        if self.options.greet_undisturbed:
            audio = session.audio or AudioConfig()
            deaf = (audio.input or AudioInput()).model_copy(update={"turn_detection": None})
            session = session.model_copy(update={"audio": audio.model_copy(update={"input": deaf})})
        try:
            self.ours = True
            await self.transport.run(calls.accept(self.call_id, session))
        except InvalidRequestError:
            self.ours = False
            raise
        except RealtimeSipError as error:
            acts = self.lifecycle.accept_failed(error, self.clock())
            if acts is None:
                self.ours = False
                raise
            _log.info("call %s: the accept did not succeed (%s)", self.call_id, type(error).__name__)
            if self._decision is not None:
                self._decision.made.set()
            self.do(acts)
        else:
            self.do(self.lifecycle.accepted())

    async def _run(self) -> None:
        """Keep the sideband open as long as the call lives."""
        again = False
        while self.lifecycle.live:
            if self._attach is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            attach, self._attach = self._attach, None
            opening = AsyncSideband.opened(self.transport, protocol.attach(self.call_id, again=attach.again))
            try:
                async with opening as sideband:
                    self._attached(sideband, again=again)
                    again = True
                    await self._pump(sideband)
            except RealtimeSipError as error:
                self.do(self.lifecycle.attach_failed(error, self.clock()))
                continue
            finally:
                self._sideband = None
            assert sideband.closed is not None
            self.do(self.lifecycle.closed(sideband.closed, self.clock()))

    def _attached(self, sideband: AsyncSideband, *, again: bool) -> None:
        now = self.clock()
        gap = self.lifecycle.gap(now)
        self._sideband = sideband
        self._outbox.drop()  # what was put meanwhile is said again below
        lost = self._updates.lost()
        if not again:
            self._begin_log()
        self.do(self.lifecycle.attached(now))
        if again and gap is not None:
            self.gaps.append(gap)
            self.record.gap(gap)
            self.queue.put(gap, is_delta=False)
            self.do(self.turns.attached_again(now))
            for update in lost:
                waiting = self._waiting.get(update.event_id or "")
                if waiting is not None and waiting.delivered:
                    self.put(update)  # taken twice, it does what it did once
                elif waiting is not None:
                    self._updates.sent(update)  # it waits in the outbox
        elif self.options.greet_undisturbed:
            self.spawn(self._listen_after_greeting())
        elif self._adopted:
            self.spawn(self._listen())
        self.lifecycle.activity(now, busy=self._is_busy())
        self._live.set()
        self.settle()

    def _begin_log(self) -> None:
        if self.record.log is not None:
            asking = self.record.log.begin(self._call)
            if asking is not None:
                before = _consenting.set(True)
                self.spawn(asking)
                _consenting.reset(before)
            self.record.note({"type": "call.started"})

    async def _pump(self, sideband: AsyncSideband) -> None:
        """Read until the socket closes, and send what there is to send meanwhile."""
        sender = asyncio.create_task(self._outbox.deliver(sideband))
        try:
            async for event in sideband:
                self._receive(event)
                if self.ended is not None:
                    break
        except SocketClosedError:
            pass  # how it closed is asked of the sideband
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            self._outbox.drop()

    # --- what happens -------------------------------------------------------------------------------------------------

    def _receive(self, event: events.ServerEvent) -> None:
        now, kind = self.clock(), event.type
        self.lifecycle.frame(now)
        if isinstance(event, events.SessionUpdated):
            self._session_reported(event)
        for taken in self._updates.receive(event):
            waiting = self._waiting.get(taken.event_id)
            if waiting is not None and not waiting.answered.done():
                waiting.answered.set_result(taken)
        secret = kind == _DTMF and (self._secret or now < self._secret_until)
        if secret and not self._secret:
            self._secret_until = max(self._secret_until, now + self._secret_grace)
        self.record.receive(event, now, self.transport.settings.clock(), secret=secret)
        if kind in _ACTIVITY:
            self.lifecycle.sound()
            self.spoken = self.spoken or kind.startswith("output_audio_buffer.")
        if kind == "output_audio_buffer.cleared":
            self._interruptions += 1
        if kind in _CALLER:
            self.tools.caller_spoke()
            self.lifecycle.caller_there()
        elif kind == "input_audio_buffer.timeout_triggered":
            self.lifecycle.caller_silent(now)
        if isinstance(event, events.InputAudioBufferDtmfEventReceived) and self._collector is not None:
            self._pressed(self._collector, event.event, now)
        self.do(self.turns.receive(event, now))
        if self._guardrail is not None and not self.turns.is_outside(event):
            check = self._guardrail.receive(event)
            if check is not None:
                self.spawn(self._guard(check))
        if kind in _ACTIVITY:
            self.lifecycle.activity(now, busy=self._is_busy())
            self.settle()
        self._spent(kind, now)
        self.escalate(self._struggle.receive(event))
        if not secret:
            self.queue.put(event, is_delta=kind.endswith(".delta"))

    def _session_reported(self, event: events.SessionUpdated) -> None:
        session = event.session
        expires_at = getattr(session, "expires_at", None)
        if isinstance(expires_at, int):
            self.lifecycle.expires_at(expires_at)
        instructions = getattr(session, "instructions", None)
        if isinstance(instructions, str):
            self.instructions = instructions

    def _spent(self, kind: str, now: float) -> None:
        limits = self.options.limits
        if limits.max_cost is None and limits.max_tokens is None:
            return
        if kind in _CHARGED or kind.endswith(".delta"):
            meter = self.record.meter
            self.do(self.lifecycle.spent(now, cost=meter.cost, estimate=meter.estimate(now), tokens=meter.tokens))

    def do(self, effects: list[Effect] | list[Act]) -> None:
        """Carry out what was decided."""
        for effect in effects:
            match effect:
                case Send(event):
                    self.put(event)
                case RunTool():
                    self._run_tool(effect)
                case AskApproval():
                    self.spawn(self._approve(effect))
                case SpeechEnded(key, heard):
                    self._speech_ended(key, heard)
                case Attach():
                    self._attach = effect
                    self._changed.set()
                case HangUp():
                    self.spawn(self._hang_up())
                case Probe():
                    self.put(events.SessionUpdate(session=RealtimeSession()))
                case DropSocket():
                    if self._sideband is not None:
                        self.spawn(self._sideband.close())
                case SayGoodbye(words):
                    self._say_goodbye(words)
                case LimitNear():
                    self._tell(effect)
                case Refer(request):
                    self.spawn(self._refer(request))
                case TakeSecondPath(request):
                    self.spawn(self._take_second_path(request))
                case TransferOver():
                    self._transfer_over(effect)
                case Finish(ended):
                    self._finish(ended)
        self.settle()

    def settle(self) -> None:
        """See what follows from the state as it is now: silence, waiters, the next deadline."""
        busy = self._is_busy()
        if busy != self._busy:
            self._busy = busy
            self.lifecycle.activity(self.clock(), busy=busy)
        self.lifecycle.awaits(something=self.turns.awaiting, now=self.clock())
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        collecting = None if self._collector is None else self._collector.deadline
        deadlines = [d for d in (self.turns.deadline, self.lifecycle.deadline, collecting) if d is not None]
        if deadlines and self.ended is None:
            self._timer = asyncio.get_running_loop().call_at(min(deadlines), self._tick, min(deadlines))

    def _is_busy(self) -> bool:
        return self.turns.busy or self._collector is not None

    def _tick(self, due: float) -> None:
        self._timer = None
        # A loop may call a little early, by the resolution of its clock; then nothing would be due.
        now = max(self.clock(), due)
        if self._collector is not None:
            self._collector.tick(now)
        self.do(self.turns.tick(now))
        self.do(self.lifecycle.tick(now))

    async def until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Wait until the condition holds, the call has ended, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                # It is asked again at every change, of which there are few.
                while self.ended is None and not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    # --- what is sent -------------------------------------------------------------------------------------------------

    def put(self, event: events.ClientEvent) -> None:
        """Send an event if the socket allows."""
        self._outbox.put(self._noted(event))

    async def send(self, event: events.ClientEvent) -> None:
        """Send an event, and wait until it was.

        Raises:
            SocketClosedError: The socket closed while it was sent; whether the service got it is unknown.
            CallEndedError: The call has ended.
        """
        await self._outbox.sent(self._noted(event))

    def _noted(self, event: events.ClientEvent) -> events.ClientEvent:
        if isinstance(event, events.SessionUpdate):
            if event.event_id is None:
                event = event.model_copy(update={"event_id": f"update_{secrets.token_hex(8)}"})
            self._updates.sent(event)
        return event

    async def update(self, session: RealtimeSession) -> None:
        """Change the session, and wait until the service has.

        Raises:
            EventRefusedError: The service has refused it.
            DeadlineError: It has not answered in time; the session may have changed.
            CallEndedError: The call has ended.
        """
        event_id = f"update_{secrets.token_hex(8)}"
        waiting = self._waiting[event_id] = _Waiting(asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(UPDATED):
                with contextlib.suppress(SocketClosedError):  # then it is sent again over the next one
                    await self.send(events.SessionUpdate(event_id=event_id, session=session))
                waiting.delivered = True
                await asyncio.wait({waiting.answered})
        except TimeoutError:
            raise DeadlineError(f"session.update: not answered within {UPDATED:g} s", sent=True) from None
        finally:
            del self._waiting[event_id]
        self.check_live()
        error = waiting.answered.result().error
        if error is not None:
            raise error
        heard = None if session.audio is None else session.audio.input
        if heard is not None and "turn_detection" in heard.model_fields_set:
            self._deaf = False

    # --- speech -------------------------------------------------------------------------------------------------------

    def respond(
        self, instructions: str | None, config: ResponseConfig | None = None, *, despite_hold: bool = False
    ) -> Speech:
        """Ask for a response, with instructions that add to the session's own."""
        response = config or ResponseConfig()
        if instructions is not None:
            if self.session.prompt is not None and self.instructions is None:
                # The prompt's text is the service's: a message adds to what cannot be repeated here.
                self.do(self.turns.tell(instructions))
            else:
                whole = f"{self.instructions}\n\n{instructions}" if self.instructions else instructions
                response = response.model_copy(update={"instructions": whole})
        return self.say(response, despite_hold=despite_hold)

    def say(self, response: ResponseConfig, *, despite_hold: bool = False) -> Speech:
        """Ask for this response."""
        key = f"speech_{secrets.token_hex(8)}"
        speech = self._speeches[key] = Speech(key)
        self.do(self.turns.respond(response, key=key, now=self.clock(), despite_hold=despite_hold))
        return speech

    def _speech_ended(self, key: str, heard: Heard) -> None:
        speech = self._speeches.pop(key, None)
        if speech is not None:
            speech.end(heard)
        if key == self._goodbye:
            self.do(self.lifecycle.goodbye_said())

    def _say_goodbye(self, words: str) -> None:
        self.do(self.turns.withdraw(self.clock()))
        self._goodbye = self.respond(words, despite_hold=True).key

    async def _listen_after_greeting(self) -> None:
        """Turn detection on, after the first speech that the program asks for."""
        await self.until(lambda: self.turns.speaking, _UNHEARD_GREETING)
        await self.until(lambda: not self.turns.speaking and not self.turns.held, AFTER_SPEECH)
        await self._listen()

    async def _listen(self) -> None:
        """Turn detection as the session has it, unless the program has changed it. Without it, nobody answers."""
        own = (self.session.audio or AudioConfig()).input or AudioInput()
        # What was left out is the service's default; None is off, and stays so.
        detection = own.turn_detection if "turn_detection" in own.model_fields_set else ServerVad()
        if detection is not None and "create_response" not in detection.model_fields_set:
            detection = detection.model_copy(update={"create_response": True})  # left out, it may stay as it is
        update = RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=detection)))
        while self._deaf:
            try:
                await self.update(update)
            except CallEndedError:
                return
            except RealtimeSipError as error:
                _log.warning("call %s: turn detection is not on yet (%s)", self.call_id, type(error).__name__)
                await asyncio.sleep(_LISTEN_AGAIN)

    async def _guard(self, check: Coroutine[Any, Any, str | None]) -> None:
        words = await check
        if words is not None and self.ended is None:
            self.do(self.turns.interrupt(self.clock()))
            if words:
                self.respond(words)

    # --- tools and approvals ------------------------------------------------------------------------------------------

    def _run_tool(self, asked: RunTool) -> None:
        if asked.name in self.own_functions and not self.tools.has(asked.name):
            return
        self.spawn(self._tool(asked))

    async def _tool(self, asked: RunTool) -> None:
        result = await self.tools.run(asked)
        if self.ended is None:
            respond = result.respond and not self.leaving  # nothing more is said once it is to end
            output = result.output
            self.do(self.turns.tool_output(asked.call_id, output, respond=respond, now=self.clock()))
            self.escalate(self._struggle.tool_ended(asked.name, failed=result.failed))

    async def _approve(self, asked: AskApproval) -> None:
        approve = False
        if self.options.approve_mcp is not None:
            try:
                answer = self.options.approve_mcp(asked)
                approve = bool(await answer if inspect.isawaitable(answer) else answer)
            except Exception as error:  # noqa: BLE001 - what cannot be decided is denied
                _log.error("call %s: the approval callback failed: %s", self.call_id, type(error).__name__)
        self.do(self.turns.approve(asked.request_id, approve=approve, now=self.clock()))

    def escalate(self, escalation: Escalation | None) -> None:
        """Tell that a person should help."""
        if escalation is not None:
            self._tell(escalation)

    def _tell(self, happened: LimitNear | Escalation | TransferGivenUp) -> None:
        self.record.note(happened)
        self.queue.put(happened, is_delta=False)

    # --- digits -------------------------------------------------------------------------------------------------------

    async def collect(
        self, collector: DigitCollector, prompt: str | None, *, barge_in: bool, secret: bool
    ) -> DigitCollector:
        """Collect digits until the collector has them, or the call has ended.

        One at a time; the program, and its consent to the event log, which runs beside it, wait for each other.

        Raises:
            ConfigurationError: Digits are being collected already.
            CallEndedError: The call has ended meanwhile.
        """
        while self._collector is not None and (self._for_consent or _consenting.get()):
            await self.until(lambda: self._collector is None, None)
            self.check_live()
        if self._collector is not None:
            raise ConfigurationError("digits are being collected already")
        self._collector, self._barge_in, self._secret = collector, barge_in, secret
        self._for_consent = _consenting.get()
        self.do(self.turns.hold("digits", self.clock()))
        try:
            # The model is quiet during a transfer, and the caller hears the target ring.
            await self.until(lambda: not self.lifecycle.transferring, None)
            self.check_live()
            if prompt is not None:
                speech = self.respond(prompt, despite_hold=True)
                await self.until(lambda: speech.over or collector.collected is not None, None)
                if speech.over and await speech.heard() is Heard.ENTIRELY:
                    self._secret_until = 0.0  # keys from now on answer this prompt
            collector.listen(self.clock())
            self.settle()
            await self.until(lambda: collector.collected is not None, None)
        finally:
            if secret:
                self._secret_until, self._secret_grace = self.clock() + collector.grace, collector.grace
            self._collector, self._collected, self._secret = None, collector, False
            self.do(self.turns.release("digits", self.clock()))
        return collector

    def _pressed(self, collector: DigitCollector, key: str, now: float) -> None:
        before = self._collected
        if before is not None and before.swallows(key, now):
            return
        if collector.press(key, now) and self._barge_in:
            self.do(self.turns.interrupt(now))

    # --- transfer -----------------------------------------------------------------------------------------------------

    def transfer(
        self, request: TransferRequest, *, announcement: str | None, after_speech: bool, unless_interrupted: bool
    ) -> asyncio.Future[TransferOver]:
        """Begin a transfer. The result is there when it has failed; with success the call ends.

        Raises:
            TransferFailed: Another one is under way.
        """
        if self.lifecycle.transferring:
            raise TransferFailed(request.name, failure=TransferFailure.PENDING, evidence="another one is under way")
        self._transfer = asyncio.get_running_loop().create_future()
        transfers = self.options.transfers
        second_path = transfers is not None and transfers.second_path is not None
        self.lifecycle.transfer(request, second_path=second_path)
        # A task of its own, so that whoever waits for it may run out of time.
        seconds = AFTER_SPEECH if after_speech or announcement is not None else 0.0
        self.spawn(self._transfer_after_speech(announcement, seconds, unless_interrupted))
        return self._transfer

    async def _transfer_after_speech(self, announcement: str | None, seconds: float, unless_interrupted: bool) -> None:
        before = self._interruptions
        announced = None if announcement is None else self.respond(announcement)

        def was_said() -> bool:
            interrupted = self._interruptions > before
            if announced is not None:
                return announced.over or (unless_interrupted and interrupted)
            return interrupted or not self.turns.speaking

        if seconds:
            await self.until(was_said, seconds)
        if unless_interrupted and self._interruptions > before:
            self.do(self.lifecycle.transfer_failed(TransferFailure.INTERRUPTED, self.clock()))
            return
        if announced is not None:
            self.do(self.turns.give_up(announced.key))
        self.do(self.turns.hold("transfer", self.clock()))
        self.do(self.turns.interrupt(self.clock()))
        self.do(self.lifecycle.transfer_begins(self.clock()))

    async def _refer(self, request: TransferRequest) -> None:
        try:
            await self.transport.run(calls.refer(self.call_id, target_uri=request.target.uri))
        except RealtimeSipError as error:
            self.do(self.lifecycle.refer_failed(error, self.clock(), request))
        except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
            _log.error("call %s: the refer failed: %s", self.call_id, type(error).__name__)
            failure = NetworkError(f"refer: {type(error).__name__}", sent=True)
            self.do(self.lifecycle.refer_failed(failure, self.clock(), request))
        else:
            self.lifecycle.referred(request)
            self.settle()

    async def _take_second_path(self, request: TransferRequest) -> None:
        assert self.options.transfers is not None
        assert self.options.transfers.second_path is not None
        deadline = asyncio.timeout(SECOND_PATH)
        try:
            async with deadline:
                await self.options.transfers.second_path(request)
        except Exception as error:  # noqa: BLE001 - the program's own code, which must not end the call
            if not deadline.expired():
                _log.error("call %s: the second path failed: %s", self.call_id, type(error).__name__)
                self.do(self.lifecycle.second_path_failed(type(error).__name__, self.clock(), request))
                return
        self.lifecycle.second_path_taken(self.clock(), request)
        self.settle()

    def _transfer_over(self, over: TransferOver) -> None:
        _log.warning("call %s: the transfer has failed: %s", self.call_id, over.evidence)
        if self._transfer is not None and not self._transfer.done():
            self._transfer.set_result(over)
        self.do(self.turns.release("transfer", self.clock()))
        self._tell(TransferGivenUp(over.request.name, over.failure, over.evidence))
        if not self.lifecycle.ending and not self.leaving:
            self.tell_of_failed_transfer(over.request.name, over.failure)

    def tell_of_failed_transfer(self, name: str, failure: TransferFailure) -> None:
        """Tell the model, so that it keeps the caller. One who has interrupted is being answered already."""
        words = _TRANSFER_FAILED.format(name=name, failure=failure.value)
        self.do(self.turns.tell(words))
        if failure is not TransferFailure.INTERRUPTED:
            self.say(ResponseConfig())

    # --- the end ------------------------------------------------------------------------------------------------------

    def end(self, *, after_speech: bool, goodbye: str | None = None) -> None:
        """Hang up: now, or when what is being said, or the goodbye, was heard or cut off. One goodbye is enough."""
        first, self.leaving = not self.leaving, True
        # Tasks of their own, so that a tool that waits for them may run out of time, and the call ends all the same.
        if goodbye is not None and first:
            self.spawn(self._hang_up_after_goodbye(goodbye))
        elif goodbye is not None or after_speech:
            self.spawn(self._hang_up_after_speech())
        else:
            self.do(self.lifecycle.end(EndReason.AGENT, "the program hung up"))

    async def _hang_up_after_speech(self) -> None:
        before = self._interruptions
        await self.until(lambda: not self.turns.speaking or self._interruptions > before, AFTER_SPEECH)
        self.do(self.lifecycle.end(EndReason.AGENT, "the program hung up"))

    async def _hang_up_after_goodbye(self, words: str) -> None:
        await self.until(lambda: not self.lifecycle.transferring, None)
        if not self.lifecycle.ending:
            self.do(self.turns.withdraw(self.clock()))
            goodbye = self.respond(words, despite_hold=True)
            await self.until(lambda: goodbye.over, AFTER_SPEECH)
            self.do(self.lifecycle.end(EndReason.AGENT, "the program hung up"))

    async def _hang_up(self) -> None:
        try:
            await self.transport.run(calls.hangup(self.call_id, attached=self._live.is_set()))
        except RealtimeSipError as error:
            self.do(self.lifecycle.hangup_failed(error, self.clock()))
        except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
            _log.error("call %s: hanging up failed: %s", self.call_id, type(error).__name__)
            failure = NetworkError(f"hangup: {type(error).__name__}", sent=True)
            self.do(self.lifecycle.hangup_failed(failure, self.clock()))
        else:
            # The service closes the socket now, and how it does belongs to the end.
            await self.until(lambda: self._sideband is None, PROOF_OF_CLOSE)
            self.do(self.lifecycle.hung_up(self.clock()))

    def _finish(self, ended: CallEnded) -> None:
        _log.info("call %s ended: %s", self.call_id, ended)
        self.record.note(ended)
        self.over.set_result(ended)
        for speech in self._speeches.values():
            speech.end(ended)
        for waiting in self._waiting.values():
            waiting.answered.cancel()
        self._outbox.fail(CallEndedError(ended))
        self.queue.close()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    async def leave(self, *, failed: bool) -> None:
        """End the call if it is up, after speech or at once, and leave nothing behind."""
        try:
            if failed:
                self.fail()
            else:
                self.end(after_speech=True)
            await asyncio.shield(self.over)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            if self._tasks and (await asyncio.wait(self._tasks, timeout=TOOLS_END))[1]:
                _log.error("call %s: something goes on after its end, such as a tool", self.call_id)
            await self.record.close()

    async def let_go(self) -> None:
        """Let go of the call, which goes on, with turn detection as it was before a hold."""
        try:
            if self.turns.held and self.ended is None and not (self.leaving or self.lifecycle.ending):
                for reason in ("digits", "transfer"):
                    self.do(self.turns.release(reason, self.clock()))
                with contextlib.suppress(RealtimeSipError):
                    await self.update(RealtimeSession())  # the answer to it comes after those before
        finally:
            self.do(self.lifecycle.detached(self.clock()))

    def fail(self) -> None:
        """End the call at once, because the program failed."""
        self.do(self.lifecycle.end(EndReason.HANDLER_FAILED, "an exception left the answer block"))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the events, until the call has ended."""
        if self.ended is not None:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, CallEndedError):
            return
        _log.error("call %s: %s", self.call_id, type(error).__name__, exc_info=error)
        # Never a caller with a dead agent.
        self.do(self.lifecycle.end(EndReason.HANDLER_FAILED, f"the runtime failed ({type(error).__name__})"))


def _detection(session: RealtimeSession) -> dict[str, Any] | None:
    """Return the turn detection that the session asks for, as the wire has it; the service's default is server VAD."""
    heard = session.audio.input if session.audio is not None else None
    if heard is None or "turn_detection" not in heard.model_fields_set:
        return {"type": "server_vad"}
    return None if heard.turn_detection is None else heard.turn_detection.to_wire()
