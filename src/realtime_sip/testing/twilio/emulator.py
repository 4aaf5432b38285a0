"""Twilio's side of a call on loopback: it fetches your TwiML, obeys it, and rings OpenAI's side."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Mapping
from types import TracebackType
from typing import Literal, Self
from urllib.parse import urlsplit

from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.clock import Clock, ScenarioError
from realtime_sip.testing.openai.emulator import OpenAIEmulator
from realtime_sip.testing.openai.invite import CALLER, DIALED
from realtime_sip.testing.openai.server import LoopbackServer
from realtime_sip.testing.openai.webhook import CallTarget, check_targets
from realtime_sip.testing.scenario import Scenario, Step
from realtime_sip.testing.twilio.account import Account
from realtime_sip.testing.twilio.behavior import TwilioBehavior, TwilioTimings
from realtime_sip.testing.twilio.call import VoiceCall
from realtime_sip.testing.twilio.conference import Conference
from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.ends import Callee
from realtime_sip.testing.twilio.legs import Callback, Leg
from realtime_sip.testing.twilio.messages import Message
from realtime_sip.testing.twilio.record import RestRequest, TwilioAlert, TwilioRequest
from realtime_sip.testing.twilio.rest import RestFault, TwilioApi
from realtime_sip.testing.twilio.ringing import TwilioCall
from realtime_sip.testing.twilio.stages import Source
from realtime_sip.testing.twilio.switchboard import Switchboard
from realtime_sip.testing.twilio.trunk_call import TrunkCall

__all__ = ["TwilioEmulator"]

ACCOUNT = "AC" + "0" * 31 + "1"
API_KEY = ("SK" + "0" * 31 + "1", "secret-of-the-emulator")
AUTH_TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of an account that does not exist

_SID = re.compile(r"AC[0-9a-f]{32}")
_CALLER = re.compile(
    r"\+[0-9]{7,15}|whatsapp:(?:\+[1-9][0-9]{6,14}|[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128})|sips?:\S+@\S+|client:\S+"
    r"|Anonymous|Restricted|Unavailable|Blocked|Private|Unknown",
    re.IGNORECASE,
)
_GEOGRAPHY = ("City", "State", "Zip", "Country")


class TwilioEmulator:
    """Stands in for Twilio's Programmable Voice in tests and demos, on 127.0.0.1 and without an account.

    A call comes in (`ring`): your voice webhook is requested, signed, and the TwiML that it answers is obeyed. A Dial
    to OpenAI rings `openai`, whose webhook has the headers of the INVITE that the TwiML made. `action`, `referUrl` and
    status callbacks are requested, and a REFER is carried out. Whatever the documentation leaves open is a switch of
    `TwilioBehavior`; what Twilio's debugger would show is in `alerts`.

    Emulated are the verbs Dial (Sip, Number, Client, WhatsApp), Enqueue, Say, Play, Pause, Record, Reject, Redirect and
    Hangup. There is no media; Say takes as long as its text. Not emulated: Gather, Connect, Start and the other verbs,
    messages in TwiML, `sequential`. Machine detection finds what the `Callee` says. Beside the calls there is the REST
    API for calls, messages and conferences, for numbers, trunks and the lists of SIP, with state: give a client
    `base_url`, and the account's SID with the token or an API key. `ring_trunk` calls a number that belongs to a trunk.

    Not known, and therefore guessed: all `TwilioTimings` that its docstring does not call measured or documented; how
    the recipient of a whisper who hangs up shows in `action`; `action` after a redirect while the dialed leg rings
    ("canceled"); what a redirect by HTTP does to a POST (it becomes a GET); which status word follows a SIP status
    other than 486; that a REFER answered with anything but a Dial lets the leg to OpenAI leave at once; the codes of
    alerts that are None.

    Args:
        openai: What rings when TwiML dials OpenAI; enter it first. Both then have its clock.
        openai_webhook: The webhook endpoint of the OpenAI project: as the target of `OpenAIEmulator.ring`.
        account_sid: The account.
        auth_token: Its token, which signs the webhooks.
        api_key: SID and secret of an API key, which REST takes too.
        shared_key: Id and secret of a shared key, which then signs the webhooks in place of the token (beta).
        port: The port of the REST API; a free one if 0.
        callees: How those behave who are dialed or take callers out of queues, by number, `whatsapp:+…`, `client:…`,
            `sip:…`, or name or workflow SID of the queue. By default they answer after a while, talk, and hang up.
        tunnels: Public URLs of the program and where they lead to, as `{"https://voice.example.com":
            "http://127.0.0.1:8000"}`. Requests are signed for the public URL, and bring the headers of a proxy. Nothing
            that is neither here nor on this machine is requested, whatever your TwiML says.
        speed: How many times faster than in reality the emulator acts, if there is no `openai`.
        timings: Durations; see `TwilioTimings`.
        behavior: Which way Twilio goes if that is unknown; see `TwilioBehavior`.
        strict: Whether leaving the emulator raises `ScenarioError` if a call caused alerts that were not expected, or
            its scenarios were not played. `ring` sets it for a single call.

    >>> import asyncio
    >>> async def main() -> str:
    ...     async with TwilioEmulator(speed=100, strict=False) as twilio:
    ...         call = await twilio.ring("http://127.0.0.1:9/nobody-listens-here")
    ...         await call.ended()
    ...         return str(call.alerts[0])
    >>> asyncio.run(main())
    '11205: the URL could not be connected to, or did not answer in time'
    """

    def __init__(
        self,
        *,
        openai: OpenAIEmulator | None = None,
        openai_webhook: str | CallTarget | Iterable[str | CallTarget] | None = None,
        account_sid: str = ACCOUNT,
        auth_token: str = AUTH_TOKEN,
        api_key: tuple[str, str] = API_KEY,
        shared_key: tuple[str, str] | None = None,
        port: int = 0,
        callees: Mapping[str, Callee] | None = None,
        tunnels: Mapping[str, str] | None = None,
        speed: float = 1.0,
        timings: TwilioTimings | None = None,
        behavior: TwilioBehavior | None = None,
        strict: bool = True,
    ) -> None:
        if not _SID.fullmatch(account_sid) or not auth_token:
            raise ConfigurationError("account_sid is AC and 32 hexadecimal digits, and auth_token must not be empty")
        if openai_webhook is not None:
            if openai is None:
                raise ConfigurationError("openai_webhook is rung by openai: pass an OpenAIEmulator too")
            check_targets(openai_webhook)
        self.account_sid = account_sid
        self.auth_token = auth_token
        self._strict = strict
        self._timings = timings or TwilioTimings()
        self._openai = openai
        self._clock = Clock(speed) if openai is None else openai._clock
        self._board = Switchboard(
            account_sid=account_sid,
            auth_token=auth_token,
            shared_key=shared_key,
            clock=self._clock,
            timings=self._timings,
            behavior=behavior or TwilioBehavior(),
            tunnels=tunnels or {},
            openai=openai,
            openai_webhook=openai_webhook,
            callees=callees or {},
        )
        self._calls: list[TwilioCall] = []
        self._calls_of_trunks: list[TrunkCall] = []
        self._api = TwilioApi(
            self._board,
            secrets=[(account_sid, auth_token), api_key],
            made=lambda call: self._calls.append(TwilioCall(call)),
            strict=strict,
        )
        self._port = port
        self._server = LoopbackServer(self._api.handle)
        self._entered = False

    @property
    def base_url(self) -> str:
        """The URL of the REST API, in place of `https://api.twilio.com`: with twilio's client `client.api.base_url`."""
        if not self._server.port:
            raise ConfigurationError("the emulator has no URL before it is entered with: async with TwilioEmulator()")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def account(self) -> Account:
        """What the account has: `own("+1…")` gives it a number, and `trunks` and `numbers` are read by tests."""
        return self._api.account

    @property
    def rest_requests(self) -> list[RestRequest]:
        """All requests to the REST API so far, in order of their answers."""
        return self._api.requests

    @property
    def messages(self) -> list[Message]:
        """The messages that were created, in order: `to`, `from_`, `body`, `content_sid`, `variables`, `status`."""
        return list(self._api.messages.values())

    @property
    def conferences(self) -> list[Conference]:
        """All conferences so far. Each has `name`, `status` and `participants`."""
        return self._board.conferences

    @property
    def requests(self) -> list[TwilioRequest]:
        """All requests to the program so far, in order of their answers."""
        return self._board.courier.requests

    @property
    def alerts(self) -> list[TwilioAlert]:
        """What Twilio's debugger would show, of all calls."""
        return self._board.alerts

    @property
    def calls(self) -> list[TwilioCall]:
        """The calls that play TwiML: those that rang, and those that were created over REST."""
        return list(self._calls)

    def now(self) -> float:
        """Return the Unix time of the emulator's wall clock."""
        return self._clock.unix()

    async def __aenter__(self) -> Self:
        """Start."""
        if self._openai is None:
            self._clock.start()
        else:
            _ = self._openai.base_url  # raises if it was not entered
        await self._server.start(self._port)
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all calls, and wait until nothing runs.

        Raises:
            ScenarioError: A strict call did not go as expected, and nothing else failed.
        """
        self._entered = False
        await self._server.stop()
        await self._board.close()
        if kind is None and self._board.mistakes:
            raise self._board.mistakes[0]
        calls: list[TwilioCall | TrunkCall] = [*self._calls, *self._calls_of_trunks]
        accounts = [text for call in calls if (text := call.account()) is not None]
        if self._strict and any(self._board.scenarios):
            accounts.append("not all scenarios of expect_call were played")
        if kind is None and accounts:
            raise ScenarioError("\n".join(accounts))

    async def ring(
        self,
        voice_url: str,
        *,
        from_: str = CALLER,
        to: str | None = None,
        scenario: Iterable[Step] = (),
        then: Iterable[Iterable[Step]] = (),
        method: str = "POST",
        fallback_url: str = "",
        status_callback: str = "",
        sip_headers: Iterable[tuple[str, str]] = (),
        alerts: Iterable[int | None] = (),
        strict: bool | None = None,
    ) -> TwilioCall:
        """Let a call come in, as if `voice_url` were the voice URL of the number or TwiML App. Return at once.

        Args:
            voice_url: Where your TwiML is.
            from_: Who calls: a number, `whatsapp:+…`, `whatsapp:BR.…` (without a number), `sip:…@…`, `client:…`, or a
                word for a withheld number ("Anonymous"). The keypad sentinels are numbers, `+266696687`.
            to: What was called; something on the same channel if left out.
            scenario: What the caller and the model do on the first call to OpenAI; see `OpenAIEmulator.ring`.
            then: The scenarios of the next calls to OpenAI, if your TwiML dials it again.
            method: How the voice URL is requested, "POST" or "GET".
            fallback_url: Requested if a document cannot be had.
            status_callback: Where the end of the call is reported.
            sip_headers: Headers of a caller's own INVITE, as (name, value), which arrive as `SipHeader_…`.
            alerts: The codes of the alerts that a strict call is expected to cause, each as often as it comes.
            strict: As for the emulator if left out.

        Raises:
            ConfigurationError: A value makes no sense, or the emulator is not running.
        """
        if not self._entered:
            raise ConfigurationError("the emulator must be entered first: async with TwilioEmulator() as twilio")
        for url in filter(None, (voice_url, fallback_url, status_callback)):
            if urlsplit(url).scheme not in ("http", "https"):
                raise ConfigurationError("the voice URL, the fallback and the status callback are http or https URLs")
        if method not in ("POST", "GET"):
            raise ConfigurationError("method must be POST or GET")
        if not _CALLER.fullmatch(from_):
            raise ConfigurationError("from_ must be +…, whatsapp:…, sip:…@…, client:…, or a word such as Anonymous")
        scenarios = [list(scenario), *map(list, then)]
        for each in scenarios:
            Scenario(each)  # checks
        to = to or _called_by(from_)
        callback = Callback.of(status_callback, "POST", ())
        leg = self._inbound(from_, to, callback=callback, extra=_extra(from_, to, sip_headers))
        call = VoiceCall(
            self._board,
            leg,
            first=Source("voice", voice_url, method),
            fallback=(fallback_url, "POST"),
            scenarios=scenarios,
            strict=self._strict if strict is None else strict,
        )
        self._board.calls[leg.sid] = call
        handle = TwilioCall(call, alerts=alerts)
        self._calls.append(handle)
        self._board.spawn(call.live())
        return handle

    async def ring_trunk(
        self,
        number: str = DIALED,
        *,
        from_: str = CALLER,
        caller_name: str = "",
        scenario: Iterable[Step] = (),
        then: Iterable[Iterable[Step]] = (),
        alerts: Iterable[int | None] = (),
        strict: bool | None = None,
    ) -> TrunkCall:
        """Let somebody call a number of the account that belongs to a trunk. Return at once.

        The trunk's origination URLs are tried by priority, weight and failover. One of OpenAI's rings `openai`; who is
        at any other is `callees`, by URL or host. Then the disaster recovery URL gets the call.

        Args:
            number: A number that `account.own` gave the account.
            from_: Who calls.
            caller_name: What a CNAM lookup finds, if the trunk has it looked up.
            scenario: What the caller and the model do on the first call to OpenAI.
            then: The scenarios of the next calls to OpenAI.
            alerts: The codes of the alerts that a strict call is expected to cause.
            strict: As for the emulator if left out.

        Raises:
            ConfigurationError: The number is on no trunk, or the emulator is not running.
        """
        if not self._entered:
            raise ConfigurationError("the emulator must be entered first: async with TwilioEmulator() as twilio")
        record = next((each for each in self.account.numbers.values() if each["phone_number"] == number), None)
        trunk = None if record is None else self.account.trunks.get(record["trunk_sid"])
        if trunk is None:
            raise ConfigurationError("the number belongs to no trunk: account.own(…) it, and apply a trunk with it")
        scenarios = [list(scenario), *map(list, then)]
        for each in scenarios:
            Scenario(each)  # checks

        def recover(url: str, method: str) -> Awaitable[TwilioCall]:
            return self.ring(url, from_=from_, to=number, method=method, strict=strict)

        leg = self._inbound(from_, number)
        call = TrunkCall(
            self._board,
            leg,
            trunk,
            caller_name=caller_name,
            scenarios=scenarios,
            alerts=alerts,
            strict=self._strict if strict is None else strict,
            recover=recover,
        )
        self._calls_of_trunks.append(call)
        self._board.spawn(call.live())
        return call

    def _inbound(
        self, from_: str, to: str, *, callback: Callback | None = None, extra: Mapping[str, str] | None = None
    ) -> Leg:
        leg = self._board.add(
            Leg(
                new_sid("CA"),
                account_sid=self.account_sid,
                from_=from_,
                to=to,
                direction="inbound",
                now=self._clock.now,
                unix=self._clock.unix,
                callback=callback,
                extra=extra,
                report=self._board.report,
                moved=self._board.changes.notify,
            )
        )
        leg.move("ringing")
        return leg

    def expect_call(self, scenario: Iterable[Step] = ()) -> None:
        """Say what the next call to OpenAI plays that comes from a call of the REST API, and not from `ring`."""
        played = list(scenario)
        Scenario(played)  # checks
        self._board.scenarios.append(played)

    def fail(
        self,
        path: str = "Calls",
        *,
        method: Literal["POST", "GET", "DELETE"] = "POST",
        status: int = 503,
        code: int | None = None,
        times: int = 1,
        acted: bool = False,
        how: Literal["status", "reset", "no answer"] = "status",
        retry_after: float | None = None,
    ) -> None:
        """Let the next `times` requests fail whose path has `path` in it, as "Calls", "Trunks" or a SID.

        With `acted` they are carried out all the same, so that a repetition would do it twice.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        if not 400 <= status <= 599 or not 1 <= times <= 1000 or not path:
            raise ConfigurationError("status must be 400 to 599, times 1 to 1000, and path not empty")
        fault = RestFault(
            method=method, path=path, status=status, code=code, acted=acted, how=how, retry_after=retry_after
        )
        self._api.faults.extend([fault] * times)

    def permit_calls(self, sender: str, user: str) -> None:
        """Let a WhatsApp user permit calls of a sender, for seven days, without telling the program."""
        self.account.whatsapp.calls.permit(sender, user, at=self._clock.unix())

    async def reply_to_permission(
        self, url: str, *, from_: str, to: str, accepted: bool, user_id: str | None = None
    ) -> TwilioRequest:
        """Let a WhatsApp user answer a call permission request; `url` is the messaging webhook of the sender `to`.

        From then on the emulated Twilio takes calls to them, or refuses them.

        Raises:
            ConfigurationError: The emulator is not running.
        """
        if not self._entered:
            raise ConfigurationError("the emulator must be entered first: async with TwilioEmulator() as twilio")
        if accepted:
            self.permit_calls(to, from_)
        else:
            self.account.whatsapp.calls.reject(to, from_)
        sid = new_sid("SM")
        params = {
            "SmsMessageSid": sid,
            "NumMedia": "0",
            "ProfileName": "",
            "MessageType": "interactive",
            "SmsSid": sid,
            "WaId": from_.removeprefix("whatsapp:").removeprefix("+"),
            "SmsStatus": "received",
            "Body": "VOICE_CALL_REQUEST",
            "ButtonText": "VOICE_CALL_REQUEST",
            "To": to,
            "ButtonPayload": "ACCEPTED" if accepted else "REJECTED",
            "ReferralNumMedia": "0",
            "MessageSid": sid,
            "AccountSid": self.account_sid,
            "From": from_,
            "ApiVersion": "2010-04-01",
            **({} if user_id is None else {"ExternalUserId": user_id}),
        }
        log: list[TwilioRequest] = []
        await self._board.courier.request("message", url, params, log=log)
        return log[-1]


def _called_by(from_: str) -> str:
    if from_.startswith("whatsapp:"):
        return f"whatsapp:{DIALED}"
    return "sip:help@example.sip.twilio.com" if from_.startswith("sip") else DIALED


def _extra(from_: str, to: str, sip_headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a voice webhook that depend on the channel."""
    if from_.startswith(("whatsapp:", "client:")):
        return {"ApplicationSid": "AP" + "0" * 31 + "1"}
    if from_.startswith("sip"):
        domain = to.partition("@")[2].partition(";")[0].partition("?")[0].partition(":")[0] or "example.sip.twilio.com"
        return {
            "SipDomain": domain,
            "SipDomainSid": "SD" + "0" * 31 + "1",
            "SipCallId": "f0e1d2c3@192.0.2.10",
            "SipSourceIp": "192.0.2.10",
            **{f"SipHeader_{name}": value for name, value in sip_headers},
        }
    extra = {f"{side}{part}": "" for side in ("From", "To", "Caller", "Called") for part in _GEOGRAPHY}
    extra["ToCountry"] = extra["CalledCountry"] = "US" if to.startswith("+1") else ""
    # Twilio makes a country of the word by which a number is withheld; it means nothing.
    country = "US" if from_.startswith("+1") else "" if from_.startswith("+") else "TH"
    extra["FromCountry"] = extra["CallerCountry"] = country
    if from_.startswith("+1"):
        extra["StirVerstat"] = "TN-Validation-Passed-A"
    return extra
