"""A call that is answered for: it keeps turns, runs tools, follows dropped sockets, and ends for a known reason.

`Call` is the I/O around `turns.Turns` and `lifecycle.Lifecycle`, which decide everything. It reads from the moment it
is attached, whether or not anybody iterates over its events, and never waits for the program's code while it reads.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from realtime_sip import events, protocol
from realtime_sip._wire import checked
from realtime_sip.decision import deciding
from realtime_sip.errors import CallEndedError, InvalidRequestError, NetworkError, RealtimeSipError, SocketClosedError
from realtime_sip.event_queue import EventQueue, EventsDropped
from realtime_sip.guardrail import CheckSpeech, Guardrail
from realtime_sip.items import SystemMessage
from realtime_sip.lifecycle import (
    Act,
    Attach,
    CallEnded,
    CallLimits,
    DropSocket,
    EndReason,
    Finish,
    Gap,
    HangUp,
    Lifecycle,
    LimitNear,
    Probe,
    SayGoodbye,
)
from realtime_sip.outbox import Outbox
from realtime_sip.playback import Heard
from realtime_sip.response import ResponseConfig
from realtime_sip.session import AudioConfig, AudioInput, RealtimeSession, ServerVad
from realtime_sip.sideband import AsyncSideband
from realtime_sip.tool_runner import CheckTool, NoResponse, ToolRunner
from realtime_sip.tools import Tools
from realtime_sip.turns import AskApproval, Effect, RunTool, Send, SpeechEnded, Turns
from realtime_sip.webhooks import IncomingCall

if TYPE_CHECKING:
    from realtime_sip.calls import AsyncCalls

__all__ = ["ApproveMcp", "Call", "CallEvent", "Speech", "answer", "end_call"]

_log = logging.getLogger("realtime_sip.call")

CallEvent = events.ServerEvent | LimitNear | Gap | EventsDropped
"""What iterating over a call gives: what the service says, and what happens to the call itself."""

ApproveMcp = Callable[[AskApproval], bool | Awaitable[bool]]
"""Told what an MCP server is to be called with; returns whether it may be."""

AFTER_SPEECH = 30.0
"""Seconds that hanging up waits for speech at most."""
PROOF_OF_CLOSE = 1.0
"""Seconds that the service has to close the socket after it has hung up."""
GRACE = 10.0
"""Seconds that the block may go on after the end of its call, before it is cancelled."""
_UNHEARD_GREETING = 10.0
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
_CALLER = frozenset({"input_audio_buffer.speech_started", "input_audio_buffer.dtmf_event_received"})


class Speech:
    """Something that the model was asked to say."""

    def __init__(self, key: str, over: asyncio.Future[Heard | CallEnded]) -> None:
        self.key = key
        self._over = over

    @property
    def over(self) -> bool:
        """Whether it was heard, cut off, or given up."""
        return self._over.done()

    async def heard(self) -> Heard:
        """Wait until it is over, and return how much of it was heard. That never takes for ever.

        Raises:
            CallEndedError: The call ended before.
        """
        heard = await asyncio.shield(self._over)
        if isinstance(heard, CallEnded):
            raise CallEndedError(heard)
        return heard

    def end(self, heard: Heard | CallEnded) -> None:
        """Note that it is over."""
        if not self._over.done():
            self._over.set_result(heard)

    def __repr__(self) -> str:
        return f"Speech({self.key}, {'over' if self.over else 'not over'})"


class Call:
    """A phone call. `client.calls.answer` makes it.

    Iterate over it for events; nothing depends on anybody doing so. A slow reader loses the oldest deltas first, and is
    told by `EventsDropped`.

    Attributes:
        call_id: The call's id.
        incoming: The webhook, or None where the call was answered by its id.
        session: What the call was accepted with, tools included.
        gaps: The times in which the sideband was down.
    """

    def __init__(
        self,
        calls: AsyncCalls,
        incoming: IncomingCall | str,
        session: RealtimeSession,
        *,
        tools: Tools,
        limits: CallLimits,
        approve_mcp: ApproveMcp | None,
        check_tool: CheckTool | None,
        check_speech: CheckSpeech | None,
        greet_undisturbed: bool,
    ) -> None:
        self.incoming = None if isinstance(incoming, str) else incoming
        self.call_id = incoming if isinstance(incoming, str) else incoming.call_id
        self.session = session
        self.gaps: list[Gap] = []
        self._calls = calls
        self._approve_mcp = approve_mcp
        self._clock = asyncio.get_running_loop().time
        decision = deciding.get()
        self._decision = decision if decision is not None and decision.call_id == self.call_id else None
        now = self._clock()
        self._lifecycle = Lifecycle(limits, now=now, unix=calls.transport.unix(), owned=self._decision is not None)
        self._turns = Turns()
        self._tools = ToolRunner(tools, call=self, check=check_tool)
        self._guardrail = Guardrail(check_speech) if check_speech is not None else None
        self._queue: EventQueue[CallEvent] = EventQueue()
        self._outbox = Outbox()
        self._speeches: dict[str, Speech] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sideband: AsyncSideband | None = None
        self._attach: Attach | None = None
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._interruptions = 0
        self._goodbye: str | None = None
        self._instructions = session.instructions
        self._listen = greet_undisturbed
        self._live = asyncio.Event()
        self._leaving = False
        self._block: asyncio.Task[Any] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self.overstayed = False
        """Whether the block was cancelled, because it went on for too long after the end."""
        self.ours = False
        """Whether the call may have been accepted by us, so that it is to be ended."""
        if self._decision is not None:
            self._decision.call = self

    # --- what the program asks for ------------------------------------------------------------------------------------

    @property
    def ended(self) -> CallEnded | None:
        """How the call ended, or None while it is up."""
        return self._lifecycle.ended

    async def respond(
        self, instructions: str | None = None, *, config: ResponseConfig | dict[str, Any] | None = None
    ) -> Speech:
        """Ask for a response, when it is its turn; return at once.

        `instructions` add to the session's own for this response, as `response.instructions` on the wire would not.
        `config` says the rest of the response, its own `instructions` too, which then stand alone.

        Raises:
            InvalidRequestError: The config is not valid.
            CallEndedError: The call has ended.
        """
        self._check_live()
        response = ResponseConfig() if config is None else checked(ResponseConfig, config, what="response")
        if instructions is not None:
            if self.session.prompt is not None and self._instructions is None:
                # The prompt's text is the service's: a message adds to what cannot be repeated here.
                await self.send(events.ConversationItemCreate(item=SystemMessage.text(instructions)))
            else:
                whole = f"{self._instructions}\n\n{instructions}" if self._instructions else instructions
                response = response.model_copy(update={"instructions": whole})
        return self._say(response)

    def _say(self, response: ResponseConfig) -> Speech:
        key = f"speech_{secrets.token_hex(8)}"
        speech = self._speeches[key] = Speech(key, asyncio.get_running_loop().create_future())
        self._do(self._turns.respond(response, key=key, now=self._clock()))
        return speech

    async def interrupt(self) -> None:
        """Stop what the model says, now.

        Raises:
            CallEndedError: The call has ended.
        """
        self._check_live()
        self._do(self._turns.interrupt(self._clock()))

    async def hangup(self, *, after_speech: bool = False, goodbye: str | None = None) -> CallEnded:
        """Hang up, with `after_speech` when what is being said was heard or cut off. A second one changes nothing.

        With `goodbye`, which is an instruction to the model, that is said first, in place of all that waits to be said.
        Hanging up is tried until it succeeds or the call is gone. Returns how the call ended.
        """
        if goodbye is not None and self.ended is None:
            self._do(self._turns.withdraw(self._clock()))
            await self.respond(goodbye)
            after_speech = True
        self._leaving = True
        if after_speech:
            # A task of its own, so that a tool that waits for it may run out of time, and the call ends all the same.
            self._spawn(self._hang_up_after_speech())
        else:
            self._do(self._lifecycle.end(EndReason.AGENT, "the program hung up"))
        return await self.wait_ended()

    async def _hang_up_after_speech(self) -> None:
        interruptions = self._interruptions
        await self._until(lambda: not self._turns.speaking or self._interruptions > interruptions, AFTER_SPEECH)
        self._do(self._lifecycle.end(EndReason.AGENT, "the program hung up"))

    async def update(self, session: RealtimeSession | dict[str, Any]) -> None:
        """Change the session. What is set is changed, None clears, the rest stays. Tools stay with the call's registry.

        Raises:
            InvalidRequestError: The session is not valid.
            CallEndedError: The call has ended.
        """
        await self.send(events.SessionUpdate(session=checked(RealtimeSession, session, what="session")))

    async def send(self, event: events.ClientEvent | dict[str, Any]) -> None:
        """Send a client event. A `response.create` waits for its turn, as `respond` does.

        Raises:
            BetaShapeError, InvalidRequestError: The event is not valid.
            SocketClosedError: The socket closed while it was sent; whether the service got it is unknown.
            CallEndedError: The call has ended.
        """
        self._check_live()
        checked_event = events.client_event(event)
        if isinstance(checked_event, events.ResponseCreate):
            self._say(checked_event.response or ResponseConfig())
            return
        await self._outbox.sent(checked_event)

    async def tool_output(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Answer a function call that no registered tool has; with `respond`, the model then says something about it.

        `call_id` is that of the function call's item, not of the phone call.

        Raises:
            CallEndedError: The call has ended.
        """
        self._check_live()
        self._do(self._turns.tool_output(call_id, output, respond=respond, now=self._clock()))

    async def wait_ended(self) -> CallEnded:
        """Wait for the end of the call."""
        return await asyncio.shield(self._ended)

    async def detach(self) -> None:
        """Let go of the call: it goes on without this program, which answers for it no more."""
        self._do(self._lifecycle.detached(self._clock()))

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        """Iterate over the events until the call ends."""
        return self

    async def __anext__(self) -> CallEvent:
        """Return the next event."""
        event = await self._queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    def __repr__(self) -> str:
        return f"Call({self.call_id}, {self.ended.reason.value if self.ended else 'live'})"

    def _check_live(self) -> None:
        if self.ended is not None:
            raise CallEndedError(self.ended)

    # --- answering ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Accept and attach. Returns when the call is up, or is over.

        Raises:
            ServiceError, NetworkError: The service refuses the accept, or cannot be reached; the call rings on.
        """
        if self._decision is not None and self._decision.adopted:
            self.ours = True
            self._do(self._lifecycle.adopted())
        elif self.incoming is not None and self.incoming.is_stale(self._calls.transport.unix()):
            self._do(self._lifecycle.stale(self._clock()))
        else:
            await self._accept()
        if self.ended is None:
            self._spawn(self._run())
            await self._until(lambda: self._live.is_set(), None)

    async def _accept(self) -> None:
        session = self.session
        if self._listen:
            audio = session.audio or AudioConfig()
            deaf = (audio.input or AudioInput()).model_copy(update={"turn_detection": None})
            session = session.model_copy(update={"audio": audio.model_copy(update={"input": deaf})})
        try:
            self.ours = True
            await self._calls.accept(self.call_id, session)
        except InvalidRequestError:
            self.ours = False
            raise
        except RealtimeSipError as error:
            acts = self._lifecycle.accept_failed(error, self._clock())
            if acts is None:
                self.ours = False
                raise
            _log.info("call %s: the accept did not succeed (%s)", self.call_id, type(error).__name__)
            if self._decision is not None:
                self._decision.made.set()
            self._do(acts)
        else:
            self._do(self._lifecycle.accepted())

    async def _run(self) -> None:
        """Keep the sideband open as long as the call lives."""
        again = False
        while self._lifecycle.live:
            if self._attach is None:
                self._changed.clear()
                await self._changed.wait()
                continue
            attach, self._attach = self._attach, None
            opening = AsyncSideband.opened(self._calls.transport, protocol.attach(self.call_id, again=attach.again))
            try:
                async with opening as sideband:
                    self._attached(sideband, again=again)
                    again = True
                    await self._pump(sideband)
            except RealtimeSipError as error:
                self._do(self._lifecycle.attach_failed(error, self._clock()))
                continue
            finally:
                self._sideband = None
            assert sideband.closed is not None
            self._do(self._lifecycle.closed(sideband.closed, self._clock()))

    def _attached(self, sideband: AsyncSideband, *, again: bool) -> None:
        now = self._clock()
        gap = self._lifecycle.gap(now)
        self._sideband = sideband
        self._outbox.drop()  # what was put meanwhile is said again below
        self._do(self._lifecycle.attached(now))
        if again and gap is not None:
            self.gaps.append(gap)
            self._queue.put(gap, is_delta=False)
            self._do(self._turns.attached_again(now))
        elif self._listen:
            self._spawn(self._listen_after_greeting())
        self._lifecycle.activity(now, busy=self._turns.busy)
        self._live.set()
        self._settle()

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
        now, kind = self._clock(), event.type
        self._lifecycle.frame(now)
        if isinstance(event, events.SessionUpdated):
            self._session_reported(event)
        if kind in _ACTIVITY:
            self._lifecycle.sound()
        if kind == "output_audio_buffer.cleared":
            self._interruptions += 1
        if kind in _CALLER:
            self._tools.caller_spoke()
        self._do(self._turns.receive(event, now))
        if self._guardrail is not None and not self._turns.is_outside(event):
            check = self._guardrail.receive(event)
            if check is not None:
                self._spawn(self._guard(check))
        if kind in _ACTIVITY:
            self._lifecycle.activity(now, busy=self._turns.busy)
            self._settle()
        self._queue.put(event, is_delta=kind.endswith(".delta"))

    def _session_reported(self, event: events.SessionUpdated) -> None:
        session = event.session
        expires_at = getattr(session, "expires_at", None)
        if isinstance(expires_at, int):
            self._lifecycle.expires_at(expires_at)
        instructions = getattr(session, "instructions", None)
        if isinstance(instructions, str):
            self._instructions = instructions

    def _do(self, effects: list[Effect] | list[Act]) -> None:
        """Carry out what was decided."""
        for effect in effects:
            match effect:
                case Send(event):
                    self._outbox.put(event)
                case RunTool():
                    self._run_tool(effect)
                case AskApproval():
                    self._spawn(self._approve(effect))
                case SpeechEnded(key, heard):
                    self._speech_ended(key, heard)
                case Attach():
                    self._attach = effect
                    self._changed.set()
                case HangUp():
                    self._spawn(self._hang_up())
                case Probe():
                    self._outbox.put(events.SessionUpdate(session=RealtimeSession()))
                case DropSocket():
                    if self._sideband is not None:
                        self._spawn(self._sideband.close())
                case SayGoodbye(words):
                    self._say_goodbye(words)
                case LimitNear():
                    self._queue.put(effect, is_delta=False)
                case Finish(ended):
                    self._finish(ended)
        self._settle()

    def _settle(self) -> None:
        """See what follows from the state as it is now: silence, waiters, the next deadline."""
        busy = self._turns.busy
        if busy != self._busy:
            self._busy = busy
            self._lifecycle.activity(self._clock(), busy=busy)
        self._changed.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [d for d in (self._turns.deadline, self._lifecycle.deadline) if d is not None]
        if deadlines and self.ended is None:
            self._timer = asyncio.get_running_loop().call_at(min(deadlines), self._tick, min(deadlines))

    def _tick(self, due: float) -> None:
        self._timer = None
        # A loop may call a little early, by the resolution of its clock; then nothing would be due.
        now = max(self._clock(), due)
        self._do(self._turns.tick(now))
        self._do(self._lifecycle.tick(now))

    async def _until(self, condition: Callable[[], bool], seconds: float | None) -> None:
        """Wait until the condition holds, the call has ended, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                # It is asked again at every change, of which there are few.
                while self.ended is None and not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    # --- tools, approvals, speech -------------------------------------------------------------------------------------

    def _run_tool(self, asked: RunTool) -> None:
        declared = {tool.name for tool in self.session.tools or [] if tool.type == "function"}
        if asked.name in declared and not self._tools.has(asked.name):
            return  # the program answers it with tool_output
        self._spawn(self._tool(asked))

    async def _tool(self, asked: RunTool) -> None:
        output, respond = await self._tools.run(asked)
        if self.ended is None:
            respond = respond and not self._leaving  # nothing more is said once it is to end
            self._do(self._turns.tool_output(asked.call_id, output, respond=respond, now=self._clock()))

    async def _approve(self, asked: AskApproval) -> None:
        approve = False
        if self._approve_mcp is not None:
            try:
                answer = self._approve_mcp(asked)
                approve = bool(await answer if inspect.isawaitable(answer) else answer)
            except Exception as error:  # noqa: BLE001 - what cannot be decided is denied
                _log.error("call %s: the approval callback failed: %s", self.call_id, type(error).__name__)
        self._do(self._turns.approve(asked.request_id, approve=approve, now=self._clock()))

    async def _guard(self, check: Coroutine[Any, Any, str | None]) -> None:
        words = await check
        if words is not None and self.ended is None:
            self._do(self._turns.interrupt(self._clock()))
            if words:
                await self.respond(words)

    def _speech_ended(self, key: str, heard: Heard) -> None:
        speech = self._speeches.pop(key, None)
        if speech is not None:
            speech.end(heard)
        if key == self._goodbye:
            self._do(self._lifecycle.goodbye_said())

    def _say_goodbye(self, words: str) -> None:
        now = self._clock()
        self._do(self._turns.withdraw(now))
        whole = f"{self._instructions}\n\n{words}" if self._instructions else words
        self._goodbye = f"goodbye_{secrets.token_hex(8)}"
        self._do(self._turns.respond(ResponseConfig(instructions=whole), key=self._goodbye, now=now))

    async def _listen_after_greeting(self) -> None:
        """Turn detection on, after the first speech that the program asks for."""
        await self._until(lambda: self._turns.speaking, _UNHEARD_GREETING)
        await self._until(lambda: not self._turns.speaking, AFTER_SPEECH)
        own = (self.session.audio or AudioConfig()).input or AudioInput()
        # What was left out is the service's default; None is off, and stays so.
        detection = own.turn_detection if "turn_detection" in own.model_fields_set else ServerVad()
        if self.ended is None:
            await self.update(RealtimeSession(audio=AudioConfig(input=AudioInput(turn_detection=detection))))

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _hang_up(self) -> None:
        try:
            await self._calls.hangup(self.call_id, attached=self._live.is_set())
        except RealtimeSipError as error:
            self._do(self._lifecycle.hangup_failed(error, self._clock()))
        except Exception as error:  # noqa: BLE001 - an HTTP client of the program's own may raise anything
            _log.error("call %s: hanging up failed: %s", self.call_id, type(error).__name__)
            failure = NetworkError(f"hangup: {type(error).__name__}", sent=True)
            self._do(self._lifecycle.hangup_failed(failure, self._clock()))
        else:
            # The service closes the socket now, and how it does belongs to the end.
            await self._until(lambda: self._sideband is None, PROOF_OF_CLOSE)
            self._do(self._lifecycle.hung_up(self._clock()))

    def _finish(self, ended: CallEnded) -> None:
        _log.info("call %s ended: %s", self.call_id, ended)
        self._ended.set_result(ended)
        for speech in self._speeches.values():
            speech.end(ended)
        self._outbox.fail(CallEndedError(ended))
        self._queue.close()
        if self._block is not None:
            self._grace = asyncio.get_running_loop().call_later(GRACE, self._cancel_block)
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()

    def enter(self) -> None:
        """Note which task the block runs in: it does not outlive its call for long."""
        self._block = asyncio.current_task()
        if self.ended is not None:
            self._grace = asyncio.get_running_loop().call_later(GRACE, self._cancel_block)

    def _cancel_block(self) -> None:
        if self._block is not None:
            _log.warning("call %s: the block still runs %.0f s after the end; cancelling it", self.call_id, GRACE)
            self.overstayed = True
            self._block.cancel()

    def exit(self) -> None:
        """Note that the block was left."""
        self._block = None
        if self._grace is not None:
            self._grace.cancel()

    async def leave(self, *, failed: bool) -> None:
        """End the call if it is up, after speech or at once, and leave nothing behind."""
        try:
            if failed:
                self.fail()
                await self.wait_ended()
            else:
                await self.hangup(after_speech=True)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail(self) -> None:
        """End the call at once, because the program failed."""
        self._do(self._lifecycle.end(EndReason.HANDLER_FAILED, "an exception left the answer block"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
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
        self._do(self._lifecycle.end(EndReason.HANDLER_FAILED, f"the runtime failed ({type(error).__name__})"))


@asynccontextmanager
async def answer(
    calls: AsyncCalls,
    incoming: IncomingCall | str,
    session: RealtimeSession | dict[str, Any],
    *,
    tools: Tools | None = None,
    limits: CallLimits | None = None,
    approve_mcp: ApproveMcp | None = None,
    check_tool: CheckTool | None = None,
    check_speech: CheckSpeech | None = None,
    greet_undisturbed: bool = False,
) -> AsyncIterator[Call]:
    """Do what `AsyncCalls.answer` says."""
    registry = tools if tools is not None else Tools()
    whole = registry.merged_into(checked(RealtimeSession, session, what="session"))
    call = Call(
        calls,
        incoming,
        whole,
        tools=registry,
        limits=limits or CallLimits(),
        approve_mcp=approve_mcp,
        check_tool=check_tool,
        check_speech=check_speech,
        greet_undisturbed=greet_undisturbed,
    )
    failed = True
    try:
        await call.start()
        call.enter()
        try:
            yield call
        finally:
            call.exit()
        failed = False
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not call.overstayed or task is None or task.uncancel() > 0:
            raise
        failed = False
    except CallEndedError as error:
        if error.ended is not call.ended:
            raise
        failed = False
    finally:
        if call.ours:
            leaving = asyncio.ensure_future(call.leave(failed=failed))
            try:
                await asyncio.shield(leaving)
            except asyncio.CancelledError:
                # In a hurry, but never with the caller left behind: hanging up has deadlines of its own.
                call.fail()
                await asyncio.wait({leaving})
                raise


async def end_call(call: Call) -> NoResponse:
    """End the phone call. Say goodbye first.

    Add it with `tools.function(end_call)`. The call ends when the sentence that came before was heard, and the model
    says no second goodbye.
    """
    await call.hangup(after_speech=True)
    return NoResponse()
