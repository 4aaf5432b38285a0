"""OpenAI's side of a call on loopback: the calls API, the webhook sender and the sideband in one object."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self, TypedDict, get_args

from realtime_sip.errors import ConfigurationError
from realtime_sip.sip.headers import Channel
from realtime_sip.testing.clock import Clock, ScenarioError
from realtime_sip.testing.faults import LineFault
from realtime_sip.testing.openai.behavior import Behavior, Timings
from realtime_sip.testing.openai.call import CallState, EmulatedCall, EndedBy
from realtime_sip.testing.openai.frames import Frame, Ids
from realtime_sip.testing.openai.invite import CALLER, DIALED, LIVE, REALTIME, Invite
from realtime_sip.testing.openai.primary import ExpectedSocket
from realtime_sip.testing.openai.record import RecordedRequest
from realtime_sip.testing.openai.recording import Recording
from realtime_sip.testing.openai.rest import CallsApi
from realtime_sip.testing.openai.ringing import RingingCall
from realtime_sip.testing.openai.server import LoopbackServer, Upgrade
from realtime_sip.testing.openai.webhook import CallTarget, WebhookSender, check_targets
from realtime_sip.testing.openai.websocket import WebSocket
from realtime_sip.testing.reply_faults import CallFault, How, Operation, ReplyFault
from realtime_sip.testing.scenario import Scenario, Step

__all__ = ["ClientOptions", "OpenAIEmulator"]

_logger = logging.getLogger("realtime_sip.testing")

_MAX_CALLS = 10_000


class ClientOptions(TypedDict):
    """The options of a client of the emulator."""

    api_key: str
    base_url: str
    webhook_secret: str
    context_secret: str | None
    clock: Callable[[], float]


class OpenAIEmulator:
    """Stands in for OpenAI in tests and demos: real HTTP and real WebSockets on 127.0.0.1, one port, no account.

    It is no model and understands nothing: it plays what a scenario or a recording says. It follows what is known about
    the service in November 2026: the API guide and reference, frames recorded from real sessions (a sideband of a
    WebRTC call among them; nobody has published a recording of a SIP call), and field reports. If they leave two ways
    open, `Behavior` has a switch.

    Not known, and therefore guessed: all `Timings` that its docstring does not call measured or recorded; the messages,
    and some codes, of refusals; the HTTP status of a refused second sideband; usage figures, which are consistent but
    counted by a rule of thumb, except for audio tokens, which match the length of the audio; the order of events at an
    interruption, and the events of responses that waited to be heard then; when the items of an MCP call are done. Not
    emulated: media, retrieval of audio, noise, the Live API beyond its webhook, translation.

    A program needs its `base_url`, `api_key` and `webhook_secret`; `AsyncRealtimeSip` takes them as
    `**openai.client_options`. It serves clients of the same event loop, of other threads and of other processes alike.
    On a `VirtualTimeLoop` it runs with its real timings, and takes no time.

    Args:
        api_key: The bearer token that clients must send.
        webhook_secret: The secret that signs webhooks, `whsec_…`; a new one if left out. Those to a URL for which a
            webhook endpoint was made here are signed with that one's.
        context_secret: The secret that verifies contexts in SIP headers if the target is an object, as the client of a
            server would; see `realtime_sip.sip.ContextSigner`.
        speed: How many times faster than in reality the emulator acts.
        port: The port to listen on; a free one if 0.
        timings: Durations; see `Timings`.
        behavior: Which way the service goes if that is unknown; see `Behavior`.
        strict: Whether every call and every expected socket has to go as its scenario says. If one did not reach a
            step, or asked for a response that no step has, leaving the emulator raises `ScenarioError`, which says what
            was expected and seen. `ring` and `expect_socket` set it for a single one.
        starts_at: The Unix time at which the emulator's wall clock starts, for times on the wire (`expires_at`,
            `created_at`, timestamps of webhooks); the current time if left out. See `now`.

    Use it as an async context manager. Leaving it ends all calls, and leaves no task or socket behind.

    >>> import asyncio
    >>> async def main() -> str:
    ...     async with OpenAIEmulator(speed=100) as openai:
    ...         ringing = await openai.ring("http://127.0.0.1:9/nobody-listens-here")
    ...         return str(ringing.state)
    >>> asyncio.run(main())
    'ringing'
    """

    def __init__(
        self,
        *,
        api_key: str = "sk-emulator",
        webhook_secret: str | None = None,
        context_secret: str | None = None,
        speed: float = 1.0,
        port: int = 0,
        timings: Timings | None = None,
        behavior: Behavior | None = None,
        starts_at: float | None = None,
        strict: bool = True,
    ) -> None:
        if not api_key:
            raise ConfigurationError("api_key must not be empty")
        self.api_key = api_key
        self.webhook_secret = webhook_secret or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self._context_secret = context_secret
        self._timings = timings or Timings()
        self._behavior = behavior or Behavior()
        self._strict = strict
        self._clock = Clock(speed, least_patience=self._timings.least_patience, unix=starts_at)
        self._ids = Ids()
        self._calls: dict[str, EmulatedCall] = {}
        self._expected: list[ExpectedSocket] = []
        self._connected: set[ExpectedSocket] = set()
        self._sockets: list[ExpectedSocket] = []
        self._accounts: list[str | None] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = port
        self._sender: WebhookSender | None = None
        self._api = CallsApi(
            api_key=api_key,
            ids=self._ids,
            clock=self._clock,
            calls=self._calls,
            new_call=self._new_call,
            connect=self._connect,
        )
        self._server = LoopbackServer(self._api.handle)

    @property
    def base_url(self) -> str:
        """The URL to give to a client instead of the service's, `http://127.0.0.1:PORT/v1`."""
        if not self._server.port:
            raise ConfigurationError("the emulator has no URL before it is entered with: async with OpenAIEmulator()")
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def client_options(self) -> ClientOptions:
        """The options of a client, as keyword arguments of `RealtimeSip` and `AsyncRealtimeSip`."""
        return {
            "api_key": self.api_key,
            "base_url": self.base_url,
            "webhook_secret": self.webhook_secret,
            "context_secret": self._context_secret,
            "clock": self.now,
        }

    def now(self) -> float:
        """Return the Unix time of the emulator's wall clock. Pass it as `clock` to whatever must agree with it.

        On a `VirtualTimeLoop`, and with `starts_at`, it moves as the loop's clock does.
        """
        return self._clock.unix()

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far, in order of their answers."""
        return self._api.requests

    @property
    def calls(self) -> Mapping[str, RingingCall]:
        """All calls so far by their id, those that were created over WebRTC too."""
        return MappingProxyType({call_id: RingingCall(call) for call_id, call in self._calls.items()})

    async def __aenter__(self) -> Self:
        """Start listening."""
        self._clock.start()
        self._sender = WebhookSender(
            secret=self.webhook_secret,
            secrets_of=self._api.secrets_of,
            context_secret=self._context_secret,
            clock=self._clock,
            timings=self._timings,
        )
        await self._server.start(self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all calls, close all sockets, and wait until nothing runs.

        Raises:
            ScenarioError: A strict call did not go as its scenario says, and nothing else failed.
        """
        for call in self._calls.values():
            call.finish(EndedBy.EMULATOR)
        for expected in self._connected:
            expected.end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.stop()
        for call in self._calls.values():
            await call.stopped()
        if self._sender is not None:
            await self._sender.close()
        self._accounts += [call.account() for call in self._calls.values()]
        self._accounts += [socket.account() for socket in self._sockets]
        told = [text for text in self._accounts if text is not None]
        if kind is None and told:
            raise ScenarioError("\n".join(told))

    async def ring(
        self,
        target: str | CallTarget | Iterable[str | CallTarget],
        *,
        scenario: Iterable[Step] = (),
        recording: Recording | None = None,
        caller: str = CALLER,
        dialed: str = DIALED,
        channel: Channel = "phone",
        sip_headers: Iterable[tuple[str, str]] = (),
        media_security: Literal["rtp", "srtp"] | None = "srtp",
        behavior: Behavior | None = None,
        faults: Iterable[CallFault] = (),
        late: float = 0.0,
        duplicates: int = 0,
        live: bool = False,
        strict: bool | None = None,
    ) -> RingingCall:
        """Let a call come in: send its webhook, and serve what follows. Return at once, while the phone rings.

        Args:
            target: The URL of your webhook endpoint, or a `CallHost` (any object with `submit(incoming)`): then the
                webhook is signed, verified and parsed here, as your server would do, and the call is submitted. Or
                several targets; each gets a `webhook-id` of its own.
            scenario: What the caller and the model do.
            recording: Play this recording of a sideband instead.
            caller: The caller's number, for From; on the channel "sip" it may be a name.
            dialed: The number that was called, for Diversion; To has the project, as with a Twilio trunk.
            channel: How the call came: from a "phone" by a trunk; or from "whatsapp" or a "sip" domain by TwiML, which
                puts the channel into `X-Channel` and the number that was called into `X-Dialed-Number`.
            sip_headers: More headers of the INVITE as (name, value). They replace headers of the same name.
            media_security: `sip_media_security` of the webhook; None leaves it out.
            behavior: Another behavior for this call.
            faults: What goes wrong: on its sidebands, with requests for it (`RequestFails`), or because another worker
                decides (`DecidedElsewhere`).
            late: Seconds of the emulator's clock by which the webhook is late; its `created_at` is as old.
            duplicates: How many more times each endpoint gets the same delivery, with the same `webhook-id`, at once.
            live: Send `live.transport.incoming` for the same call too, an event with a `webhook-id` of its own.
            strict: Whether the call has to go as its scenario says; as for the emulator if left out.

        Raises:
            ConfigurationError: A value makes no sense, or the emulator is not running.
        """
        if channel not in get_args(Channel):
            raise ConfigurationError(f"channel must be one of: {', '.join(get_args(Channel))}")
        invite = Invite(caller=caller, dialed=dialed, channel=channel, given=sip_headers, media_security=media_security)
        call = await self._ring(
            target,
            invite,
            scenario=scenario,
            recording=recording,
            behavior=behavior,
            faults=faults,
            late=late,
            duplicates=duplicates,
            live=live,
            strict=strict,
        )
        return RingingCall(call)

    async def _ring(
        self,
        target: str | CallTarget | Iterable[str | CallTarget],
        invite: Invite,
        *,
        scenario: Iterable[Step],
        recording: Recording | None = None,
        behavior: Behavior | None = None,
        faults: Iterable[CallFault] = (),
        late: float = 0.0,
        duplicates: int = 0,
        live: bool = False,
        strict: bool | None = None,
        carrier: Callable[[str], None] | None = None,
    ) -> EmulatedCall:
        """Let a call come in with this INVITE; `carrier` takes the refers, if it is emulated too."""
        if self._sender is None:
            raise ConfigurationError("the emulator must be entered first: async with OpenAIEmulator() as openai")
        targets = check_targets(target)
        if not 0 <= late <= 86_400 * 4 or not 0 <= duplicates <= 100:
            raise ConfigurationError("late must be 0 to 345600 seconds, duplicates 0 to 100")
        played = Scenario(scenario)
        if recording is not None and played.total:
            raise ConfigurationError("a line plays a scenario or a recording, not both")
        if recording is not None and recording.primary:
            raise ConfigurationError("this is the recording of a primary socket: use expect_socket")
        call = self._new_call(
            played,
            recording=recording,
            behavior=behavior,
            faults=faults,
            strict=self._strict if strict is None else strict,
        )
        call.targets += [each for each in targets if isinstance(each, CallTarget)]
        call.carrier = carrier
        told = [(REALTIME, invite.realtime(call.call_id))]
        if live:
            session_id = call.call_id if call.behavior.live_ids == "rtc" else self._ids("live_u0")
            told.append((LIVE, invite.live(session_id)))
        if call.decides is not None and not call.decides.after:
            await call.decided_elsewhere(call.decides)
        elif call.decides is not None:
            self._spawn(call.decided_elsewhere(call.decides))
        for kind, data in told:
            self._spawn(self._deliver(call, targets, kind, data, late=late, copies=1 + duplicates))
        self._spawn(call.ring())
        return call

    def expect_socket(
        self,
        *,
        scenario: Iterable[Step] = (),
        recording: Recording | None = None,
        faults: Iterable[LineFault] = (),
        strict: bool | None = None,
    ) -> ExpectedSocket:
        """Say what the next primary socket (`?model=`) plays: a scenario, or the recording of one.

        A socket that nobody expected answers every response with a placeholder. `strict` is as for `ring`.

        Raises:
            ConfigurationError: The recording is of a sideband, or both are given.
        """
        strict = self._strict if strict is None else strict
        expected = ExpectedSocket(scenario=scenario, recording=recording, faults=faults, strict=strict)
        self._expected.append(expected)
        self._sockets.append(expected)
        return expected

    def fail(
        self,
        operation: Operation,
        *,
        status: int = 500,
        times: int = 1,
        how: How = "status",
        acted: bool = False,
        code: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        bare: bool = False,
    ) -> None:
        """Let the next `times` requests for `operation` fail, on any call; see `ReplyFault` for the other arguments.

        `openai.fail("accept", status=429, retry_after=1)`, `openai.fail("refer", status=500, acted=True)`,
        `openai.fail("attach", how="reset")`. For requests on one call pass `RequestFails` to `ring`.

        Raises:
            ConfigurationError: There is no such operation, or a value makes no sense.
        """
        fault = ReplyFault(
            status=status,
            how=how,
            acted=acted,
            code=code,
            retry_after=retry_after,
            headers=headers or {},
            bare=bare,
        )
        self._api.faults.add(operation, fault, times=times)

    def outage(
        self,
        seconds: float,
        *operations: Operation,
        status: int = 503,
        how: How = "status",
        bare: bool = True,
    ) -> None:
        """Let all requests fail for `seconds` (of the emulator's clock) from now on: those for `operations`, or for all
        REST operations; sidebands that are open go on. How is as in `ReplyFault`.

        `openai.outage(5, "accept", "reject", how="no answer")`; `openai.outage(5, *get_args(Operation))` refuses
        sidebands too.

        Raises:
            ConfigurationError: There is no such operation, or a value makes no sense.
        """
        fault = ReplyFault(status=status, how=how, bare=bare)
        failing = operations or tuple(each for each in get_args(Operation) if each != "attach")
        for each in failing:
            fault.check(each)
        if not 0 < seconds <= 86_400:
            raise ConfigurationError("seconds must be above 0 and at most 86400")
        self._api.outage(seconds, fault, frozenset(failing))

    def restart(self, seconds: float = 3.0, *, code: int = 1012) -> None:
        """Restart the server of the sidebands of all calls that are up now, as `ServiceRestarts` does for one call.

        Raises:
            ConfigurationError: The close code or the time is not valid.
        """
        for call in self._calls.values():
            if call.state is CallState.ACCEPTED:
                RingingCall(call).restart(seconds, code=code)

    @property
    def unattended(self) -> list[RingingCall]:
        """The calls that are up now with nobody attached: the model talks, and no program is in charge."""
        return [RingingCall(call) for call in self._calls.values() if call.unattended]

    def _new_call(
        self,
        scenario: Scenario | None = None,
        *,
        recording: Recording | None = None,
        behavior: Behavior | None = None,
        faults: Iterable[CallFault] = (),
        strict: bool = False,
    ) -> EmulatedCall:
        if len(self._calls) >= _MAX_CALLS:
            oldest = next((i for i, call in self._calls.items() if call.state is CallState.ENDED), None)
            if oldest is None:
                raise ConfigurationError(f"an emulator has at most {_MAX_CALLS} calls at once")
            self._accounts.append(self._calls.pop(oldest).account())
        call_id = self._ids("rtc_u0")
        call = EmulatedCall(
            call_id,
            ids=self._ids,
            clock=self._clock,
            timings=self._timings,
            behavior=behavior or self._behavior,
            scenario=scenario or Scenario(),
            recording=recording,
            faults=faults,
            strict=strict,
        )
        self._calls[call_id] = call
        return call

    def _connect(self, config: Frame, model: str | None) -> Upgrade:
        expected = self._expected.pop(0) if self._expected else ExpectedSocket()

        async def serve(socket: WebSocket) -> None:
            self._connected.add(expected)
            try:
                await expected.serve(
                    socket,
                    config,
                    model,
                    ids=self._ids,
                    clock=self._clock,
                    timings=self._timings,
                    behavior=self._behavior,
                )
            finally:
                self._connected.discard(expected)

        return Upgrade(serve)

    async def _deliver(
        self,
        call: EmulatedCall,
        targets: list[str | CallTarget],
        kind: str,
        data: Frame,
        *,
        late: float,
        copies: int,
    ) -> None:
        assert self._sender is not None
        if late:
            await self._clock.sleep(late)
        event = {
            "object": "event",
            "id": self._ids("evt"),
            "type": kind,
            "created_at": int(self._clock.unix() - late),
            "data": data,
        }
        deliveries = []
        for target in targets:
            webhook_id = self._ids("wh")
            deliveries += [
                self._sender.deliver(target, event, webhook_id=webhook_id, log=call.deliveries) for _ in range(copies)
            ]
        await asyncio.gather(*deliveries)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("the emulator failed on a call", exc_info=task.exception())
