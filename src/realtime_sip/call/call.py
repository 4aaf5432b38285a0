"""A call that is answered for, and what can be asked of it.

What happens on it runs by itself (`runtime.Runtime`): turns, tools, limits, dropped sockets, a known end. Nobody has to
iterate over the events.
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
from realtime_sip.call.machine.digits import CollectedDigits, DigitCollector
from realtime_sip.call.machine.state import End
from realtime_sip.call.machine.targets import TransferRequest
from realtime_sip.call.options import AnswerOptions
from realtime_sip.call.pending_transfer import PendingTransfer
from realtime_sip.call.ready_tools import offered
from realtime_sip.call.record.call_record import transcription_model
from realtime_sip.call.record.struggle import Escalation
from realtime_sip.call.record.transcript import Transcript
from realtime_sip.call.runtime import CallEvent, Runtime
from realtime_sip.call.session_changes import in_language, refuse_locked
from realtime_sip.call.speech import Speech
from realtime_sip.call.tool_runner import waiting_for_caller
from realtime_sip.errors import (
    ConfigurationError,
    EventRefusedError,
    InvalidRequestError,
    MisuseError,
    TransferError,
)
from realtime_sip.items import FunctionCallOutput
from realtime_sip.outcomes import (
    CallEnded,
    SidebandGap,
    TransferFailureReason,
    TransferProgress,
)
from realtime_sip.response import ResponseConfig
from realtime_sip.session import AudioConfig, AudioInput, Prompt, RealtimeSession, Transcription
from realtime_sip.tools.registry import Tools
from realtime_sip.usage import Usage
from realtime_sip.webhooks import IncomingCall

__all__ = ["Call"]


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
        # As updates have left them.
        self._tools = list(self.session.tools or [])
        self._transcription = _transcription(self.session)

    # --- what is known of it ------------------------------------------------------------------------------------------

    @property
    def ended(self) -> CallEnded | None:
        """How the call ended, or None while it is up."""
        return self._runtime.ended

    @property
    def transcript(self) -> Transcript:
        """What both sides have said so far, in order. Without `audio.input.transcription` the caller's lines are empty.

        What the caller says is written down one to three seconds late (field reports, 2026), and lost where they hang
        up before.
        """
        return self._runtime.record.transcript

    @property
    def usage(self) -> Usage:
        """What was used so far: tokens by kind from `response.done`, and transcription by itself."""
        return self._runtime.record.usage

    @property
    def cost(self) -> Decimal | None:
        """What that costs in US dollars by the call's rate card; None where anything of it has no price."""
        return self._runtime.record.meter.cost

    # --- speech -------------------------------------------------------------------------------------------------------

    def respond(
        self, instructions: str | None = None, *, config: ResponseConfig | dict[str, Any] | None = None
    ) -> Speech:
        """Ask for a response, when it is its turn; return at once. Await the speech to wait until it was heard.

        `instructions` add to the session's own for this response, as `response.instructions` on the wire would not.
        `config` says the rest of the response, its own `instructions` too, which then stand alone.

        Raises:
            InvalidRequestError: The config is not valid.
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        response = None if config is None else checked(ResponseConfig, config, what="response")
        return self._runtime.respond(instructions, response)

    def interrupt(self) -> None:
        """Stop what the model says, now.

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
        timeout: float = 10.0,  # noqa: ASYNC109 - the field's own name for it, and what is returned says that it passed
        inter_digit_timeout: float = 3.0,
        barge_in: bool = True,
        secret: bool = False,
    ) -> CollectedDigits:
        """Collect what the caller presses on the keypad. SIP only.

        Meanwhile the service starts no responses by itself, and those that are asked for wait; that is restored
        whatever happens. Keys count from the moment that this is called, also during the prompt.

        In a tool, the time that this takes is not the tool's. A terminator that follows `max_digits` keys at once is
        dropped, and does not end the next answer.

        The model is never told the digits; tell it what it needs to know. This cannot hide what is in the audio: a line
        that sends tones in-band, instead of as events (RFC 4733), sends them to the model and to the transcription
        too, and digits that are spoken are words like all others. So take no card numbers with it: use the carrier's
        payment verb (Twilio's `<Pay>`), which keeps them away from both.

        Args:
            prompt: What the model is told to say first.
            max_digits: After how many keys it is complete, 1 to 100.
            terminator: The key that ends it, and is no part of it; None for none.
            timeout: Seconds for the first key, from the end of the prompt.
            inter_digit_timeout: Seconds from one key to the next.
            barge_in: Stop what is being said when the first key is pressed.
            secret: Keep the keys from the events that the call gives, and from its event log, also where that is not
                redacted; and those of a caller who was too slow, until another prompt was heard. Keys that are pressed
                before this is called are not secret.

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
        """The names of `transfers` that this caller can be transferred to: of WhatsApp, none on the phone network."""
        return tuple(self._reachable or ())

    @property
    def transferring(self) -> bool:
        """Whether a transfer is under way. Meanwhile what `respond` asks for waits."""
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
        """Transfer the caller to a target of the allow-list; return at once. SIP only.

        Await what is returned to know how the call ended. A tool, which has little time, need not.

        The model says nothing while that is under way, and nothing hangs up: no limit, no drain, no end of the block.
        If the refer comes to nothing, the fallback of `TransferTargets` is taken, unless the target was dialed. A
        transfer of which nothing is heard is given up ten seconds after the target's ring time: until then the caller
        hears what the carrier plays, or nothing. Then the model is told, and speaks with them again.

        `CallEnded.certainty` is "reported" where the carrier has said that the target has answered, and "inferred"
        where the caller's leg left: a caller who gives up while the target rings looks the same.

        Args:
            target: A name in `transfers` of `answer`.
            announcement: What the model is told to say first.
            after_speech: Wait until what is being said was heard, or cut off by the caller.
            unless_interrupted: Give up where the caller cuts it off.
            reason: Why, for the second path. A refer carries none of it.
            summary: What the person who answers should know, for the second path.

        Raises:
            InvalidRequestError: There is no such name.
            ConfigurationError: The call was answered without `transfers`.
            TransferError: The caller is still on the line, and the model has been told, except where another transfer
                is under way. What `respond` asks for now comes after what the model says about it. Where it leaves the
                block, the caller hears that to its end.
            CallEndedError: The call has ended otherwise.
        """
        request = self._request(target, reason, summary)
        if self.transferring:
            raise TransferError(target, reason=TransferFailureReason.PENDING, evidence="another is under way")
        transfers = self._runtime.options.transfers
        over = self._runtime.transfer(
            inputs.Transfer(
                f"transfer_{secrets.token_hex(8)}",
                request,
                announcement=announcement,
                after_speech=after_speech,
                unless_interrupted=unless_interrupted,
                fallback=transfers is not None and transfers.fallback is not None,
                reachable=target in self.targets,
            )
        )
        return PendingTransfer(target, over)

    def _request(self, target: str, reason: str, summary: str) -> TransferRequest:
        self._runtime.check_live()
        transfers = self._runtime.options.transfers
        if transfers is None:
            raise ConfigurationError("no transfers are allowed on this call: answer(…, transfers=TransferTargets({…}))")
        return TransferRequest(
            call_id=self.call_id,
            name=target,
            target=transfers.chosen(target),
            reason=reason,
            summary=summary,
            parent_call_sid=None if self.incoming is None else self.incoming.parent_call_sid,
        )

    def escalate(self, escalation: Escalation) -> None:
        """Tell among the events that a person should help, as failing tools and the tool `transfer_to_human` do."""
        self._runtime.escalate(escalation)

    def transfer_progress(self, says: TransferProgress | TransferFailureReason) -> None:
        """Note what the carrier tells of the transfer under way: how far it is, or that it has failed.

        A target that did not answer is not dialed again. If the caller's leg has left already, `ended` becomes
        "reported" with `TransferProgress.ANSWERED`.
        """
        self._runtime.step(inputs.CarrierSays(says))

    async def hangup(
        self, *, after_speech: bool = False, goodbye: str | None = None, within: float | None = None
    ) -> CallEnded:
        """Hang up, with `after_speech` when what is being said was heard or cut off. Of several, the soonest counts.

        With `goodbye`, which is an instruction to the model, that is said first, in place of all that waits to be said;
        not where the call is being hung up already. Hanging up is tried until it succeeds or the call is gone. During a
        transfer it waits, and is done where that fails. Returns how the call ended. In a tool it does not return: the
        end of the call ends its tools. `within` is how many seconds that may take: what is known by then is how the
        call ended, and it may be up.
        """
        self._runtime.step(inputs.Hangup(after_speech, goodbye))
        if within is not None:
            self._runtime.step(inputs.Hurry(within))
        return await self.wait_ended()

    async def wait_ended(self) -> CallEnded:
        """Wait for the end of the call."""
        return await asyncio.shield(self._runtime.over)

    async def detach(self) -> None:
        """Let go of the call: it goes on without this program, which answers for it no more.

        Where digits are collected or a transfer is under way, turn detection is restored first, which may take seconds.
        Where the call is to be hung up already, that is done all the same.
        """
        key = f"let_go_{secrets.token_hex(8)}"
        gone = self._runtime.expect(key)
        self._runtime.step(inputs.LetGo(key))
        await gone

    # --- the session and the conversation -----------------------------------------------------------------------------

    async def update(
        self,
        session: RealtimeSession | dict[str, Any] | None = None,
        *,
        instructions: str | None = None,
        tools: Tools | None = None,
        prompt: Prompt | dict[str, Any] | None = None,
        language: str | None = None,
    ) -> None:
        """Change the session, and return when the service has. What is set is changed, None clears, the rest stays.

        Args:
            session: Anything that can change. Tools in it stand alone, beside no registry.
            instructions: What the model is told from now on.
            tools: The registry from now on, in place of the one before; other tools of the session stay.
            prompt: A stored prompt, its version and its variables. Instructions of the session override it.
            language: In ISO 639-1, such as "pt": what the model is to speak, and what transcription, where it is on, is
                to expect.

        Raises:
            InvalidRequestError: It is not valid, says something twice, or is locked: the model, audio formats, and the
                voice once the model has been heard. Or `language` would override a stored prompt.
            ConfigurationError: Two tools have the same name; `transfer_to_human` is there and no `transfers` are; or
                `max_cost` is set and the model of transcription has no price.
            EventRefusedError: The service has refused it; nothing has changed.
            DeadlineError: The service has not answered in time; the session may have changed.
            CallEndedError: The call has ended.
        """
        runtime = self._runtime
        runtime.check_live()
        changed = checked(RealtimeSession, {} if session is None else session, what="session")
        refuse_locked(changed, accepted=self.session, spoken=runtime.state.session.voiced)
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
            raise InvalidRequestError("session", ((twice[0], "is said twice"),))
        self._refuse_unpriced(changed)
        if language is not None:
            fields |= self._language(language, changed.model_copy(update=fields))
        await self._change(changed.model_copy(update=fields), tools)

    def _refuse_unpriced(self, changed: RealtimeSession) -> None:
        options, model = self._runtime.options, transcription_model(changed)
        limited = options.limits.max_cost is not None and model is not None
        if limited and not options.rates.has_price(self.session.model, transcription_model=model):
            raise ConfigurationError("max_cost needs a model of transcription that the rate card has")

    def _language(self, language: str, changed: RealtimeSession) -> dict[str, Any]:
        if not (len(language) in (2, 3) and language.isascii() and language.isalpha() and language.islower()):
            raise InvalidRequestError("language", (("", "must be a code of ISO 639-1, such as en"),))
        base = self._runtime.state.session.instructions
        if "instructions" in changed.model_fields_set:
            base = changed.instructions
        if not base and (changed.prompt or self.session.prompt) is not None:
            why = "would override the stored prompt, whose text is not known here: make it one of its variables"
            raise InvalidRequestError("language", (("", why),))
        fields: dict[str, Any] = {"instructions": in_language(base, language)}
        transcription = _transcription(changed) if _says_transcription(changed) else self._transcription
        if transcription is not None:
            written = Transcription(**{**_set(transcription), "language": language})
            audio = changed.audio or AudioConfig()
            own = (audio.input or AudioInput()).model_copy(update={"transcription": written})
            fields["audio"] = audio.model_copy(update={"input": own})
        return fields

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
        if _says_transcription(session):
            self._transcription = _transcription(session)

    async def send(self, event: events.ClientEvent | dict[str, Any]) -> None:
        """Send a client event. A `response.create` waits for its turn, as `respond` does.

        Raises:
            BetaShapeError, InvalidRequestError: The event is not valid.
            SocketClosedError: The socket closed while it was sent; whether the service got it is unknown.
            CallEndedError: The call has ended.
        """
        self._runtime.check_live()
        checked_event = events.client_event(event)
        if isinstance(checked_event, events.ResponseCreate):
            self._runtime.respond(None, checked_event.response)
            return
        await self._runtime.send(checked_event)

    def tool_output(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """Answer a function call that no registered tool has; with `respond`, the model then says something about it.

        `call_id` is that of the function call's item, not of the phone call.

        Raises:
            InvalidRequestError: The output is no text.
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


def _transcription(session: RealtimeSession) -> Transcription | None:
    heard = None if session.audio is None else session.audio.input
    return None if heard is None else heard.transcription


def _says_transcription(session: RealtimeSession) -> bool:
    heard = None if session.audio is None else session.audio.input
    return heard is not None and "transcription" in heard.model_fields_set


def _set(model: Transcription) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}
