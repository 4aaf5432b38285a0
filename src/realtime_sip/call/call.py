"""A live call: what you can read from it and ask of it.

Turns, tools, limits, dropped sockets and a known end run by themselves (`runtime.Runtime`). Nobody has to iterate over
the events.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

from realtime_sip import events
from realtime_sip._wire import checked
from realtime_sip.api.transport import AsyncTransport
from realtime_sip.call.machine import inputs
from realtime_sip.call.machine.keypad import CollectedDigits, DigitCollector
from realtime_sip.call.machine.state import End
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.pending_transfer import PendingTransfer
from realtime_sip.call.ready_tools import offered
from realtime_sip.call.record.call_record import transcription_model
from realtime_sip.call.record.struggle import Escalation
from realtime_sip.call.record.transcript import Transcript
from realtime_sip.call.runtime import CallEvent, Runtime
from realtime_sip.call.session_changes import refuse_locked, says_transcription, spoken_in, transcription, worded
from realtime_sip.call.speech import Speech
from realtime_sip.call.tool_runner import function_call, waiting_for_caller
from realtime_sip.errors import ConfigurationError, EventRefusedError, InvalidRequestError, MisuseError, TransferError
from realtime_sip.items import FunctionCallOutput
from realtime_sip.outcomes import Adopted, CallAnswered, CallEnded, SidebandGap, TransferFailureReason, TransferProgress
from realtime_sip.prompts.instructions import Instructions
from realtime_sip.response import ResponseConfig
from realtime_sip.session import Prompt, RealtimeSession, warn_of_formats
from realtime_sip.tools.registry import Tools
from realtime_sip.usage import Usage
from realtime_sip.webhooks import IncomingCall

__all__ = ["Call"]


class Call:
    """A live call: what you can read from it and ask of it. `client.calls.answer` makes it.

    Iterate over it for events; everything works without it. A slow reader loses the oldest deltas first, and gets an
    `EventsDropped`. Before the first iteration no deltas are kept, and the latest 40 of the service's other events.

    Attributes:
        call_id: The call's id.
        incoming: The webhook, or None if the call was answered by its id.
        session: The session with which the call was accepted, tools included.
        gaps: The times in which the sideband was down.
    """

    def __init__(
        self, transport: AsyncTransport, incoming: IncomingCall | str, session: RealtimeSession, options: AnswerOptions
    ) -> None:
        transfers = options.transfers
        self._reachable = None if transfers is None else transfers.reachable(_channel(incoming))
        self._runtime = Runtime(
            transport, incoming, offered(session, options.tools, self._reachable), options, call=self
        )
        self.incoming = self._runtime.incoming
        self.call_id = self._runtime.call_id
        self.session = self._runtime.session
        self.gaps: list[SidebandGap] = self._runtime.gaps
        self._read = False
        # As the latest update left them.
        self._tools = list(self.session.tools or [])
        self._transcription = transcription(self.session)

    # --- what is known about it ---------------------------------------------------------------------------------------

    @property
    def ended(self) -> CallEnded | None:
        """How the call ended, or None while it is up."""
        return self._runtime.ended

    @property
    def adopted(self) -> Adopted | None:
        """What is known of another worker that served the call before; None if it is new: greet only then."""
        decision = self._runtime.decision
        return None if decision is None else decision.adopted

    @property
    def idempotency_key(self) -> str:
        """In a tool: a name of this call of it, the same if another worker runs it again; for what must not act twice.

        Raises:
            MisuseError: No tool runs this.
        """
        if not (running := function_call()):
            raise MisuseError("idempotency_key names the call of a tool: read it in one")
        return f"{self.call_id}:{running}"

    @property
    def transcript(self) -> Transcript:
        """What both sides have said so far, in order. Without `audio.input.transcription` the caller's lines are empty.

        What the caller says is transcribed one to three seconds late (field reports, 2026), and lost if they hang up
        before that.
        """
        return self._runtime.record.transcript

    @property
    def usage(self) -> Usage:
        """What was used so far: tokens by kind, from `response.done`, and transcription separately."""
        return self._runtime.record.usage

    @property
    def cost(self) -> Decimal | None:
        """The cost of `usage` in US dollars by the call's rate card; None if any part of it has no price."""
        return self._runtime.record.meter.cost

    # --- speech -------------------------------------------------------------------------------------------------------

    def respond(
        self, instructions: str | None = None, *, config: ResponseConfig | dict[str, Any] | None = None
    ) -> Speech:
        """Ask for a response and return at once. It begins when it is its turn; await the speech until it was heard.

        `instructions` add to the session's own for this response; `response.instructions` on the wire would replace
        them. `config` sets the rest of the response. `instructions` in it replace the session's.

        Raises:
            InvalidRequestError: The config is not valid.
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        response = None if config is None else checked(ResponseConfig, config, what="response")
        return self._runtime.respond(instructions, response)

    def interrupt(self) -> None:
        """Stop the model, now.

        Raises:
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        self._runtime.step(inputs.Interrupt())

    async def collect_digits(
        self,
        prompt: str | None = None,
        *,
        max_digits: int = 20,
        terminator: str | None = "#",
        timeout: float = 10.0,  # noqa: ASYNC109 - everybody's name for it, and the result says that it passed
        inter_digit_timeout: float = 3.0,
        barge_in: bool = True,
        secret: bool = False,
    ) -> CollectedDigits:
        """Collect the keys that the caller presses on the keypad. SIP only.

        Meanwhile the service starts no responses by itself, and the responses that you ask for wait. Afterwards turn
        detection is restored, whatever happens. Keys count from the moment of this call, also during the prompt.

        In a tool, the time that this takes does not count toward the tool's timeout. A terminator that follows
        `max_digits` keys at once is dropped, and does not end the next answer.

        The model does not see the digits; tell it what it needs to know. Digits in the audio cannot be hidden: a line
        that sends tones in-band, instead of as events (RFC 4733), sends them to the model and to the transcription
        too, and spoken digits are words like all others. So do not collect card numbers with it: use the carrier's
        payment verb (Twilio's `<Pay>`), which keeps them away from both.

        Args:
            prompt: Instructions for what the model says first.
            max_digits: The number of keys that completes the answer, 1 to 100.
            terminator: The key that ends the answer and is not part of it, or None.
            timeout: Seconds for the first key, from the end of the prompt.
            inter_digit_timeout: Seconds from one key to the next.
            barge_in: Stop the model when the first key is pressed.
            secret: Keep the keys out of the call's events and out of its event log, even if that is not redacted. This
                holds for late keys too, until another prompt was heard. Keys that were pressed before this call are not
                secret.

        Raises:
            ConfigurationError: An option makes no sense, or digits are being collected already.
            CallEndedError: The call has ended, or ended meanwhile.
        """
        collector = DigitCollector(
            max_digits=max_digits, terminator=terminator, timeout=timeout, inter_digit_timeout=inter_digit_timeout
        )
        self._runtime.check_live()
        key = f"digits_{secrets.token_hex(8)}"
        with waiting_for_caller():
            return await self._runtime.collect(inputs.Collect(key, collector, prompt, barge_in, secret))

    # --- handing over and ending --------------------------------------------------------------------------------------

    @property
    def targets(self) -> tuple[str, ...]:
        """The names in `transfers` that this caller can reach. A WhatsApp caller cannot reach the phone network."""
        return tuple(self._reachable or ())

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way. Meanwhile `respond` waits for its turn."""
        return self._runtime.state.end is End.TRANSFERRING

    def transfer(
        self,
        target: str,
        *,
        announcement: str | None = None,
        after_speech: bool = True,
        unless_interrupted: bool = False,
        reason: str = "",
        summary: str = "",
    ) -> PendingTransfer:
        """Transfer the caller to a target of the allow-list and return at once. SIP only.

        Await the result to know how the call ended. A tool, which has little time, need not.

        Meanwhile the model says nothing, and nothing hangs up: no limit, no drain, no end of the block. If the refer
        fails, the fallback of `TransferTargets` is tried, unless the target was dialed. If nothing is heard of the
        transfer, it is given up ten seconds after the target's ring time; until then the caller hears what the carrier
        plays, or nothing. Then the model learns of it, and speaks with the caller again.

        `CallEnded.certainty` is "reported" if the carrier said that the target answered, and "inferred" if the
        caller's leg left: a caller who gives up while the target rings looks the same.

        Args:
            target: A name in `transfers` of `answer`.
            announcement: Instructions for what the model says first.
            after_speech: Wait until the speech under way was heard, or the caller cut it off.
            unless_interrupted: Give up if the caller cuts that speech off.
            reason: Why, for the fallback and for `CallHost.transfer_of`. A refer does not carry it.
            summary: What the person who answers should know, likewise.

        Raises:
            InvalidRequestError: There is no such name.
            ConfigurationError: The call was answered without `transfers`.
            TransferError: The transfer failed, or another one is under way. The caller is still on the line. After a
                failure the model tells them; a later `respond` comes after that. If this error leaves the block, the
                caller hears the model out.
            CallEndedError: The call ended otherwise.
        """
        request = self._request(target, reason, summary)
        if self.transferring:
            raise TransferError(target, reason=TransferFailureReason.PENDING, evidence="another one is under way")
        transfers = self._runtime.options.transfers
        over = self._runtime.transfer(
            inputs.Transfer(
                f"transfer_{secrets.token_hex(8)}",
                request,
                announcement=announcement,
                after_speech=after_speech,
                unless_interrupted=unless_interrupted,
                fallback=transfers is not None and transfers.fallback is not None,
                refer_within=self._refer_within,
                reachable=target in self.targets,
            )
        )
        return PendingTransfer(target, over)

    @property
    def _refer_within(self) -> float | None:
        signed = None if self.incoming is None else self.incoming.signed_context
        transfers = self._runtime.options.transfers
        return transfers.refer_within if transfers is not None and signed is not None and signed.refer_url else None

    def _request(self, target: str, reason: str, summary: str) -> TransferRequest:
        self._runtime.check_live()
        transfers = self._runtime.options.transfers
        if transfers is None:
            raise ConfigurationError("no transfers are allowed on this call: answer(…, transfers=TransferTargets({…}))")
        return transfers.request(self.call_id, target, self.incoming, reason=reason, summary=summary)

    def escalate(self, escalation: Escalation) -> None:
        """Put an `Escalation` among the events, as failing tools and the tool `transfer_to_human` do."""
        self._runtime.emit(escalation)

    def missed_turn(self) -> None:
        """Count the caller's latest turn as one that matched nothing, as the tool `not_understood` does."""
        self._runtime.emit(self._runtime.struggle.not_matched())

    def transfer_progress(self, says: TransferProgress | TransferFailureReason) -> None:
        """Pass on what the carrier reports about the transfer under way: how far it is, or that it failed.

        A target that did not answer is not dialed again. If the caller's leg has left already,
        `TransferProgress.ANSWERED` makes the certainty of `ended` "reported".
        """
        self._runtime.step(inputs.CarrierSays(says))

    def caller_left(self) -> None:
        """Pass on that the carrier reports the caller's own call as over: the call is hung up.

        It ends as `EndReason.CALLER`, reported; as `TRANSFERRED` if the target of a transfer had answered.
        """
        self._runtime.step(inputs.CallerLeft())

    def answered_by(self, says: CallAnswered) -> None:
        """Pass on who answered a call that was placed, as the carrier reports it."""
        self._runtime.emit(self._runtime.pickup.report(says))

    async def who_answered(self, *, within: float = 20.0) -> CallAnswered:
        """Return who answered a call that was placed, once the carrier or the first words tell.

        Words need `audio.input.transcription`, and come when the greeting is over: a person's hello after two or three
        seconds, a voicemail's after fifteen. A menu and an assistant that screens calls are known by words alone. The
        model answers the greeting meanwhile, unless turn detection has `create_response=False`.

        Args:
            within: Seconds after which it is `Answered.UNKNOWN`. So it is if the call ends meanwhile, or if the carrier
                cannot tell and nobody has said anything.
        """
        pickup = self._runtime.pickup
        found = await pickup.who(within)
        self._runtime.emit(pickup.news(found))
        return found

    async def greeting_over(self, *, within: float = 30.0) -> bool:
        """Return True once the carrier reports the end of a machine's greeting, so that a message may begin.

        The tone is never heard here: it takes the carrier, such as Twilio's "DetectMessageEnd".

        Args:
            within: Seconds after which it is False. So it is if the call ends meanwhile.
        """
        return await self._runtime.pickup.greeting_over(within)

    async def hangup(
        self, *, after_speech: bool = False, goodbye: str | None = None, within: float | None = None
    ) -> CallEnded:
        """Hang up, and return how the call ended. Of several calls of this, the soonest counts.

        Hanging up is tried until it succeeds or the call is gone. During a transfer it waits, and happens if the
        transfer fails. In a tool this does not return, because the end of the call ends its tools.

        Args:
            after_speech: Wait until the speech under way was heard or cut off.
            goodbye: Instructions for what the model says first, in place of everything that waits to be said. Ignored
                if the call is being hung up already.
            within: Return after so many seconds at most, with what is known by then; the call may still be up.
        """
        self._runtime.step(inputs.Hangup(after_speech, goodbye))
        if within is not None:
            self._runtime.step(inputs.Hurry(within))
        return await self.wait_ended()

    async def wait_ended(self) -> CallEnded:
        """Wait for the end of the call."""
        return await asyncio.shield(self._runtime.over)

    async def detach(self) -> None:
        """Let go of the call: it goes on without this program.

        If digits are being collected or a transfer is under way, turn detection is restored first, which may take
        seconds. If the call is being hung up already, it still is.
        """
        key = f"let_go_{secrets.token_hex(8)}"
        gone = self._runtime.waiting.expect(key)
        self._runtime.step(inputs.LetGo(key))
        await gone

    # --- the session and the conversation -----------------------------------------------------------------------------

    async def update(
        self,
        session: RealtimeSession | dict[str, Any] | None = None,
        *,
        instructions: str | Instructions | None = None,
        tools: Tools | None = None,
        prompt: Prompt | dict[str, Any] | None = None,
        language: str | None = None,
    ) -> None:
        """Change the session, and return when the service has. A field that is set is changed, None clears it.

        Args:
            session: Anything that can change. If it has tools, they are all the session's tools; no registry adds any.
            instructions: The model's instructions from now on, as text or as a value of `realtime_sip.prompts`.
            tools: The registry from now on, in place of the one before; other tools of the session stay.
            prompt: A stored prompt, its version and its variables. Instructions of the session override it.
            language: The language that the model speaks, and that transcription, if it is on, expects. ISO 639-1, such
                as "pt".

        Raises:
            InvalidRequestError: A field is not valid, is set twice, or is locked: another model, and the
                voice once the model was heard. Or `language` would override a stored prompt.
            ConfigurationError: Two tools have the same name; `transfer_to_human` is a tool and there are no
                `transfers`; or `max_cost` is set and the model of transcription has no price.
            EventRefusedError: The service refused the change; nothing changed.
            DeadlineError: The service did not answer in time; the session may have changed.
            CallEndedError: The call has ended.
        """
        runtime = self._runtime
        runtime.check_live()
        changed = checked(RealtimeSession, {} if session is None else session, what="session")
        refuse_locked(changed, accepted=self.session, spoken=runtime.state.session.voiced)
        warn_of_formats(changed)
        heard = None if changed.audio is None else changed.audio.input
        if runtime.state.hold.on and heard is not None and "turn_detection" in heard.model_fields_set:
            why = "cannot change while digits are collected or the call is transferred"
            raise InvalidRequestError("session", (("audio.input.turn_detection", why),))
        own = {} if prompt is None else {"prompt": checked(Prompt, prompt, what="prompt")}
        fields: dict[str, Any] = {**own, **({} if instructions is None else {"instructions": instructions})}
        if tools is not None:
            others = [tool for tool in self._tools if tool.type != "function" or not runtime.tools.has(tool.name)]
            whole = tools.merged_into(self.session.model_copy(update={"tools": others}))
            fields["tools"] = offered(whole, tools, self._reachable).tools
        twice = sorted(changed.model_fields_set & fields.keys())
        if twice:
            raise InvalidRequestError("session", ((twice[0], "is set twice"),))
        self._refuse_unpriced(changed)
        changed = worded(changed.model_copy(update=fields), self.session.model)
        if language is not None:
            base = self._runtime.state.session.instructions
            changed = spoken_in(language, changed, base, self.session.prompt, self._transcription)
        await self._change(changed, tools)

    def _refuse_unpriced(self, changed: RealtimeSession) -> None:
        options, model = self._runtime.options, transcription_model(changed)
        limited = options.limits.max_cost is not None and model is not None
        if limited and not options.rates.has_price(self.session.model, transcription_model=model):
            raise ConfigurationError("max_cost needs a model of transcription with a price in the rate card")

    async def _change(self, session: RealtimeSession, tools: Tools | None) -> None:
        runtime = self._runtime
        if tools is not None:
            runtime.tools.offer(tools)
        else:
            runtime.own_functions |= {tool.name for tool in session.tools or [] if tool.type == "function"}
        try:
            await runtime.update(session)
        except (EventRefusedError, InvalidRequestError):
            if tools is not None:
                runtime.tools.refused(tools)
            raise
        if tools is not None:
            runtime.tools.taken(tools)
        if "tools" in session.model_fields_set:
            self._tools = list(session.tools or [])
        if says_transcription(session):
            self._transcription = transcription(session)

    async def send(self, event: events.ClientEvent | dict[str, Any]) -> None:
        """Send any client event. A `response.create` waits for its turn, as `respond` does.

        Raises:
            BetaShapeError, InvalidRequestError: The event is not valid.
            SocketClosedError: The socket closed while it was sent; whether the service got it is unknown.
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        checked_event = events.client_event(event)
        if isinstance(checked_event, events.SessionUpdate) and isinstance(checked_event.session, RealtimeSession):
            warn_of_formats(checked_event.session)
        if isinstance(checked_event, events.ResponseCreate):
            self._runtime.respond(None, checked_event.response)
            return
        await self._runtime.send(checked_event)

    def tool_output(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Answer a function call that no registered tool answers; with `respond`, the model then speaks about it.

        `call_id` is that of the function call's item, not of the phone call.

        Raises:
            InvalidRequestError: The output is not text.
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        checked(FunctionCallOutput, {"call_id": call_id, "output": output}, what="output")
        self._runtime.step(inputs.ToolEnded(call_id, output, respond))

    def __aiter__(self) -> AsyncIterator[CallEvent]:
        """Iterate over the events until the call ends."""
        return self

    async def __anext__(self) -> CallEvent:
        """Return the next event.

        Raises:
            MisuseError: Something else waits for the next event.
        """
        if self._read:
            # Each event goes to one of them: both would miss some, and nobody would know.
            raise MisuseError("something else iterates over this call already: iterate once, and hand events on")
        self._read = True
        try:
            event = await self._runtime.queue.get()
        finally:
            self._read = False
        if event is None:
            raise StopAsyncIteration
        return event

    def __repr__(self) -> str:
        return f"Call({self.call_id}, {self.ended.reason.value if self.ended else 'live'})"


def _channel(incoming: IncomingCall | str) -> Any:
    return None if isinstance(incoming, str) else incoming.channel
