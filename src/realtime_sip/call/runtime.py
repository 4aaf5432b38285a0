"""The shell of a call: carries out what the core decides, and reports what came of it.

What happens to the call is decided by `machine.core.step`, the one door; its state can be printed. `Runtime` has the
sideband (`attaching`), the tasks, one timer, and a future for each thing that somebody waits for. What only watches
(transcript, usage, log, guardrail, counts of what goes wrong, whoever iterates over the events) gets each event
between the step and carrying out what it decided, because it reads the core's book of responses. `Call` is the
program's view of it.

It reads from the moment it is attached, whether or not anybody iterates over the events, and never waits for the
program's code while it reads. What a program can ask of a call is in `call.call`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import weakref
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, assert_never

from realtime_sip import events
from realtime_sip._program_errors import telling
from realtime_sip.api.protocol import parsed
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call import rest
from realtime_sip.call.alarm import Alarm
from realtime_sip.call.attaching import Sideline
from realtime_sip.call.decision import deciding
from realtime_sip.call.event_queue import EventQueue, EventsDropped
from realtime_sip.call.guardrail import Guardrail
from realtime_sip.call.machine import core, effects, inputs
from realtime_sip.call.machine.keypad import CollectedDigits
from realtime_sip.call.machine.state import End, Socket
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.pickup import TRANSCRIBED, Pickup
from realtime_sip.call.record.call_record import CallRecord
from realtime_sip.call.record.frame import text
from realtime_sip.call.record.struggle import STRUGGLES, Escalation, Struggle
from realtime_sip.call.speech import Speech
from realtime_sip.call.takeover import adopt
from realtime_sip.call.tasks import Tasks
from realtime_sip.call.tool_runner import ToolRunner, is_approved
from realtime_sip.call.waiting import Waiting
from realtime_sip.call.watch import watching
from realtime_sip.errors import CallEndedError, RealtimeSipError
from realtime_sip.outcomes import CallAnswered, CallEnded, ServiceRefused, SidebandGap, TransferFailed
from realtime_sip.response import ResponseConfig
from realtime_sip.session import RealtimeSession
from realtime_sip.tools.registry import Tool
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.call.call import Call

_log = logging.getLogger("realtime_sip.call")

CallEvent = events.ServerEvent | EventsDropped | effects.Happening
"""What iterating over a call gives: the service's events, and the call's own."""

END_SOON = 1.25
"""Seconds to hang up in where the client is closed."""
_KEPT = frozenset({"response.done", "session.updated"})
"""Events after which another worker would need to know more, also if nothing is to be done."""
_CALLER = frozenset({"input_audio_buffer.speech_started", "input_audio_buffer.dtmf_event_received"})


class Runtime:
    """One call: its state, its socket, its timer, its tasks. `call` is passed to tools."""

    def __init__(
        self,
        transport: AsyncTransport,
        incoming: IncomingCall | str,
        session: RealtimeSession,
        options: AnswerOptions,
        *,
        call: Call,
    ) -> None:
        self._call = weakref.ref(call)
        self.incoming = None if isinstance(incoming, str) else incoming
        self.call_id = incoming if isinstance(incoming, str) else incoming.call_id
        self.session = session
        self.options = options
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.over: asyncio.Future[CallEnded] = self.loop.create_future()
        self.queue: EventQueue[CallEvent] = EventQueue(parsed)
        self.gaps: list[SidebandGap] = []
        # The host sets it: this call was submitted, and a program that died may have accepted it.
        decision = deciding.get()
        self.decision = decision if decision is not None and decision.call_id == self.call_id else None
        if self.decision is not None:
            self.decision.call = call
        self._errors = options.errors.over(telling.get())
        unix = transport.settings.clock()
        self.state = core.start(
            session,
            options.limits,
            now=self.loop.time(),
            unix=unix,
            call_id=self.call_id,
            maybe_accepted=self.decision is not None and self.decision.maybe_accepted,
            greet_undisturbed=options.greet_undisturbed,
        )
        self.tools = ToolRunner(options.tools, call=call, check=options.check_tool, failed=self.program_failed)
        self.own_functions = {
            tool.name for tool in session.tools or [] if tool.type == "function" and not self.tools.has(tool.name)
        }
        """The names of functions that are in no registry: the program answers them with `tool_output`."""
        caller = None if self.incoming is None else self.incoming.caller
        logs = options.event_log
        log = None if logs is None else logs.start(self.call_id, caller=caller, started_at=unix)
        self.record = CallRecord(
            session, rates=options.rates, log=log, book=self.state.book, unix_ahead=self.state.line.unix_ahead
        )
        self.sideline = Sideline(
            transport,
            self.call_id,
            attached=self._attached,
            received=self._received,
            sent=self.record.note,
            ours=self._is_ours,
        )
        self._spends = options.limits.max_cost is not None or options.limits.max_tokens is not None
        check = options.check_speech
        self._guardrail = None if check is None else Guardrail(check, failed=self.program_failed)
        self.struggle = Struggle(options.escalation)
        self.pickup = Pickup(self.record, self.over, None if self.decision is None else self.decision.answered)
        self.waiting = Waiting()
        self.tasks = Tasks(self._broke)
        self._alarm = Alarm(self._tick)
        watch = watching.get()
        self._watch = None if watch is None or watch.call_id != self.call_id else watch
        if self._watch is not None:
            self._watch.began(session, self.record.meter, self.state.line.unix_ahead)

    @property
    def call(self) -> Call:
        """What tools and callbacks get. Whoever runs this holds it."""
        call = self._call()
        assert call is not None
        return call

    @property
    def ended(self) -> CallEnded | None:
        """How the call ended, or None while it is up."""
        return self.state.ended

    @property
    def refused(self) -> bool:
        """Whether the accept was refused for certain, so that the phone rings on and there is nothing to end."""
        return self.state.end is End.OVER and self.state.ended is None

    def check_live(self) -> None:
        """Refuse what can no longer be done.

        Raises:
            CallEndedError: The call has ended.
        """
        if self.ended is not None:
            raise CallEndedError(self.ended)

    # --- the door -----------------------------------------------------------------------------------------------------

    def step(self, what: inputs.Input) -> None:
        """Tell the core what happened, and carry out what follows."""
        decided = core.step(self.state, what, self.loop.time())
        if self._watch is not None:
            self._watch.saw(what, decided, self.state.now)
        self._carry_out(decided, changed=type(what) is not inputs.Tick)

    def _received(self, event: events.ServerEvent) -> None:
        now, kind, what = self.loop.time(), event.type, inputs.Received(event)
        calling, sounded = len(self.state.calling), self.state.sounded
        decided = core.step(self.state, what, now)
        changed = kind in _KEPT or len(self.state.calling) != calling or self.state.sounded is not sounded
        withheld = self.state.withheld
        self.record.receive(event, now, secret=withheld)
        if self._watch is not None:
            self._watch.saw(what, decided, now)
        if kind in _CALLER:
            self.tools.caller_spoke()
        if self._guardrail is not None and not self.state.book.is_outside(text(event, "response_id")):
            check = self._guardrail.receive(event)
            if check is not None:
                self.tasks.spawn(self._guard(check))
        if not withheld:
            self.queue.put(event, is_delta=kind.endswith(".delta"), frame=self.sideline.frame)
        if kind == TRANSCRIBED:
            self.pickup.look()
        if kind in STRUGGLES:
            self.emit(self.struggle.receive(event))
        self._carry_out(decided, changed=changed)
        if self._spends and self.record.meter.has_moved(event):
            meter = self.record.meter
            estimate = None if self.options.limits.max_cost is None else meter.estimate(now)
            self.step(inputs.Spent(meter.cost, estimate, meter.tokens))

    def _carry_out(self, decided: list[effects.Effect], *, changed: bool = False) -> None:
        for effect in decided:
            match effect:
                case effects.Send(event, key):
                    self.sideline.put(event, self.waiting.get(key))
                case effects.RunTool():
                    self._run_tool(effect)
                case effects.AskApproval():
                    self.tasks.spawn(self._approve(effect))
                case effects.Done(key, value):
                    self.waiting.resolve(key, value)
                case effects.Tell(what):
                    self._tell(what)
                case effects.Attach():
                    if self.decision is not None:
                        self.decision.made.set()  # also if the accept was unclear
                    self.tasks.spawn(self._follow())
                case effects.DropSocket():
                    self.tasks.spawn(self.sideline.close())
                case effects.Accept(early):
                    undisturbed = self.state.hold.off
                    self._request(
                        rest.accept(self.transport, self.call_id, self.session, early=early, undisturbed=undisturbed)
                    )
                case effects.Reject():
                    self._request(rest.reject(self.transport, self.call_id))
                case effects.HangUp():
                    self._request(rest.hang_up(self.transport, self.call_id))
                case effects.Refer(request):
                    self._request(rest.refer(self.transport, self.call_id, request, self.decision))
                case effects.Fallback(request):
                    self._request(rest.take_fallback(self.options.transfers, request, self.program_failed))
                case effects.Finish(ended):
                    self._finish(ended)
                case _:
                    assert_never(effect)
        self._alarm.set(self.state.timers.next)
        if (decided or changed) and self.decision is not None and self.decision.changed is not None:
            self.decision.changed()

    def _tick(self) -> None:
        try:
            self.step(inputs.Tick())
        except Exception as error:  # noqa: BLE001 - without a timer the call would have no end
            self._broke(error)

    # --- what somebody waits for --------------------------------------------------------------------------------------

    async def wait_for(self, key: str, future: asyncio.Future[Any]) -> Any:
        """Wait for what was asked for under this key, and note if nobody waits any more.

        Raises:
            CallEndedError: The call ended meanwhile.
        """
        try:
            value = await future
        except asyncio.CancelledError:
            self.step(inputs.Abandon(key))
            raise
        if isinstance(value, CallEnded):
            raise CallEndedError(value)
        if isinstance(value, RealtimeSipError):
            raise value
        return value

    def _request(self, work: Coroutine[Any, Any, inputs.Input]) -> None:
        self.tasks.request(self._requested(work))

    async def _requested(self, work: Coroutine[Any, Any, inputs.Input]) -> None:
        """Carry out a request, and tell the core what came of it."""
        if not await self._is_ours():
            work.close()
            return
        came = await work
        if type(came) is inputs.Accepted:
            _log.info("call %s: accepted", self.call_id)
        self.step(came)

    async def _is_ours(self) -> bool:
        """Return whether no other worker has the call, as far as is known: what it does is for that one to decide."""
        decision = self.decision
        return decision is None or decision.ours is None or await decision.ours()

    def _broke(self, error: BaseException) -> None:
        _log.error("call %s: %s", self.call_id, type(error).__name__, exc_info=error)
        # Never leave a caller with an agent that has died.
        self.step(inputs.Fail(f"the runtime failed ({type(error).__name__})"))

    # --- answering, and the sideband ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept and attach. Returns when the call is up, or is over.

        Raises:
            ServiceError, NetworkError: The service refuses the accept, or cannot be reached; the call rings on.
        """
        self.transport.carry(self)
        self.over.add_done_callback(lambda _: self.transport.forget(self))
        if self.decision is None or not self.decision.accepted_before:
            _log.info("call %s: ringing", self.call_id)
        up = self.waiting.expect("answer")
        if self.decision is not None and self.decision.lost:
            self.step(inputs.LetGo("answer"))
        elif self.decision is not None and self.decision.caller_left:
            self.step(inputs.NoCaller(reported=True))
        elif self.decision is not None and self.decision.accepted_before:
            _log.info("call %s: taken over from another worker", self.call_id)
            self.decision.adopted = adopt(self, self.decision.ticket)
        elif self.incoming is not None and self.incoming.is_stale(self.transport.settings.clock()):
            self.step(inputs.NoCaller())
        else:
            age = None if self.incoming is None else self.incoming.age(self.transport.settings.clock())
            self.step(inputs.Answer(age or 0.0))
        error = await up
        if isinstance(error, RealtimeSipError):
            self.transport.forget(self)
            raise error

    async def _follow(self) -> None:
        if not await self._is_ours():
            return
        try:
            close = await self.sideline.follow()
        except RealtimeSipError as error:
            self.step(inputs.AttachFailed(error))
        else:
            self.step(inputs.Closed(close, cut_off=self.decision is not None and self.decision.cut_off()))
            if self.state.socket is Socket.ATTACHING:
                _log.info("call %s: dropped (%s)", self.call_id, close)

    def _attached(self) -> None:
        if self.options.consent is None:
            self.record.begin(consented=False, adopted=self.call.adopted is not None)
        _log.info("call %s: attached%s", self.call_id, "" if self.state.line.attached_at is None else " again")
        self.step(inputs.Attached())

    # --- what the program asks for ------------------------------------------------------------------------------------

    async def send(self, event: events.ClientEvent) -> None:
        """Send an event over the sideband that is open, or the next one, and wait until it was.

        Raises:
            SocketClosedError: The socket closed while it was sent; whether the service got it is unknown.
            CallEndedError: The call has ended.
        """
        opened = asyncio.ensure_future(self.sideline.opened.wait())
        either: set[asyncio.Future[Any]] = {opened, self.over}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            opened.cancel()
        self.check_live()
        key = f"send_{secrets.token_hex(8)}"
        sent = self.waiting.expect(key)
        self.step(inputs.SendEvent(event, key))
        try:
            await self.wait_for(key, sent)
        finally:
            self.waiting.forget(key)

    async def update(self, session: RealtimeSession) -> None:
        """Change the session, and wait until the service has.

        Raises:
            EventRefusedError: The service refused it.
            DeadlineError: The service did not answer in time; the session may have changed.
            CallEndedError: The call has ended.
        """
        key = f"update_{secrets.token_hex(8)}"
        answered = self.waiting.expect(key)
        self.step(inputs.Update(key, session))
        await self.wait_for(key, answered)

    def respond(self, instructions: str | None, config: ResponseConfig | None = None) -> Speech:
        """Ask for a response, with instructions that add to the session's own."""
        key = f"speech_{secrets.token_hex(8)}"
        speech = Speech(key, self.waiting.expect(key))
        self.step(inputs.Respond(key, instructions, config or ResponseConfig()))
        return speech

    async def collect(self, what: inputs.Collect) -> CollectedDigits:
        """Collect digits.

        Raises:
            ConfigurationError: Digits are being collected already.
            CallEndedError: The call has ended meanwhile.
        """
        answer = self.waiting.expect(what.key)
        self.step(what)
        collected = await self.wait_for(what.key, answer)
        assert isinstance(collected, CollectedDigits)
        return collected

    def transfer(self, what: inputs.Transfer) -> asyncio.Future[Any]:
        """Begin a transfer. The future gets a `TransferFailed`, or how the call ended."""
        _log.info("call %s: transfer to %s begins", self.call_id, what.request.name)
        failing = self.waiting.expect(what.key)
        self.step(what)
        return failing

    # --- tools, approvals, guardrail ----------------------------------------------------------------------------------

    def _run_tool(self, asked: effects.RunTool) -> None:
        if self.tools.has(asked.name) or asked.name not in self.own_functions:
            self.tasks.spawn(self._tool(asked))

    async def _tool(self, asked: effects.RunTool) -> None:
        def began(tool: Tool) -> None:
            if tool.progress or tool.background:
                self.step(inputs.ToolBegan(asked.call_id, asked.name, tool.progress, tool.background))

        decision = self.decision
        # Whoever takes the call over has to know that it runs.
        if decision is not None and decision.saved is not None and not await decision.saved():
            return
        with nullcontext() if self._watch is None else self._watch.running(asked.call_id):
            result = await self.tools.run(asked, began)
        self.step(inputs.ToolEnded(asked.call_id, result.output, result.respond, result.failed))
        self.emit(self.struggle.tool_ended(asked.name, failed=result.failed))

    async def _approve(self, asked: effects.AskApproval) -> None:
        approve = await is_approved(self.options.approve_mcp, asked, self.program_failed)
        self.step(inputs.ApprovalDecided(asked.request_id, approve))

    async def _guard(self, check: Coroutine[Any, Any, str | None]) -> None:
        words = await check
        if words is not None and self.ended is None:
            self.step(inputs.Interrupt())
            if words:
                self.respond(words)

    def program_failed(self, log: logging.Logger, what: str, error: BaseException) -> None:
        """Tell what the program's own code has raised."""
        self._errors.tell(log, what, error, call_id=self.call_id, call=self.call)

    def emit(self, what: Escalation | CallAnswered | None) -> None:
        """Emit what something that only watches has found, if it has."""
        if what is not None and self.ended is None:
            self._tell(what)

    def _tell(self, what: effects.Happening) -> None:
        if isinstance(what, SidebandGap):
            self.gaps.append(what)
            self.record.gap(what)
        else:
            if isinstance(what, TransferFailed):
                _log.info("call %s: transfer to %s failed (%s)", self.call_id, what.target, what.failure.value)
            elif isinstance(what, ServiceRefused):
                _log.warning("call %s: the service refused: %s", self.call_id, what)
            self.record.note(what)
        self.queue.put(what, own=True)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _finish(self, ended: CallEnded) -> None:
        _log.info("call %s: ended (%s)", self.call_id, ended)
        if self.decision is not None:
            self.decision.made.set()
        self.record.note(ended)
        self.over.set_result(ended)
        self.waiting.resolve_all(ended)
        self.queue.close()
        self.tasks.end()

    async def end_soon(self) -> None:
        """Hang up, and return in two seconds at most, whatever becomes of it."""
        self.step(inputs.Hurry(END_SOON))
        self.step(inputs.Hangup())
        # A transfer under way is neither undone nor awaited.
        await asyncio.wait({self.over}, timeout=END_SOON)
        await self.tasks.finish_requests()

    async def leave(self, *, failed: bool) -> None:
        """End the call if it is up, after speech or at once, and leave nothing behind."""
        try:
            self.step(inputs.Fail("an exception left the answer block") if failed else inputs.Hangup(after_speech=True))
            await asyncio.shield(self.over)
        except GeneratorExit:  # the event loop was closed meanwhile, so nothing can be awaited
            raise
        except BaseException:
            await self._clear()
            raise
        await self._clear()

    async def _clear(self) -> None:
        self._alarm.stop()
        if not await self.tasks.clear():
            _log.error("call %s: something goes on after its end, such as a tool", self.call_id)
        await self.record.close()
        self.let_go()

    def let_go(self) -> None:
        """Leave no circle behind: the call is freed with the last who holds it, before any collector comes by."""
        self._alarm.stop()
        self.sideline.let_go()
        self.tools.let_go()
        if self._guardrail is not None:
            self._guardrail.let_go()
