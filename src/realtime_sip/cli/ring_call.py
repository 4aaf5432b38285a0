"""One call to a server that is another program: rung, played, shown, judged."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from realtime_sip.api.causes import cause_of
from realtime_sip.cli import findings
from realtime_sip.cli.findings import Environment, Probe
from realtime_sip.errors import ConfigurationError, MissingExtraError
from realtime_sip.sip.headers import Channel

try:
    import httpx

    from realtime_sip.cli import ring_shown
    from realtime_sip.cli.forged import forged_by_openai
    from realtime_sip.cli.screen import Screen, until
    from realtime_sip.cli.typed import HELP, step_of, typed_lines
    from realtime_sip.testing import (
        CallerHangsUp,
        CallState,
        EndedBy,
        OpenAIEmulator,
        RingingCall,
        ScenarioError,
        Step,
        Timings,
        TwilioCall,
        TwilioEmulator,
        read_scenario,
    )
    from realtime_sip.testing.openai.invite import CALLER, DIALED
    from realtime_sip.testing.twilio.emulator import ACCOUNT, AUTH_TOKEN
except ImportError as error:
    raise MissingExtraError(error.name or "a package", "testing") from None

__all__ = ["Ring", "ring"]

_SECRET = "whsec_" + base64.b64encode(b"a secret of the emulator").decode()
_KEY = "sk-emulator"
_SESSION = 3600.0
"""How long a typed call may take."""
_ANSWER = 6.0
"""How long an answer is waited for: a little longer than the emulator does."""
_GREETING = 2.0
"""How long somebody who types lets the other side greet first."""
_FAREWELL = 0.3
_ALWAYS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """What to ring and how; the options of the command. All times are real seconds."""

    url: str
    port: int
    scenario: Path | None = None
    caller: str | None = field(default=None, repr=False)
    dialed: str | None = field(default=None, repr=False)
    voice_url: str | None = None
    public_url: str | None = None
    speed: float = 3.0
    rings: float = 20.0
    timeout: float = 120.0


async def ring(plan: Ring) -> bool:
    """Ring the server, show the call, and return whether it went as it should.

    Raises:
        ConfigurationError: It could not be tried: an option or the scenario is not valid, the port is taken, or the
            server cannot be reached.
    """
    steps = None if plan.scenario is None else read_scenario(plan.scenario)
    call = _Call(plan, steps, _environment(plan), Screen())
    differs: list[str] = []
    try:
        await call.run()
    except ScenarioError as error:
        differs = str(error).splitlines()
    return call.judge(differs)


class _Call:
    """What is known of the call so far."""

    def __init__(self, plan: Ring, steps: Sequence[Step] | None, environment: Environment, screen: Screen) -> None:
        self._plan = plan
        self._steps = steps
        self._environment = environment
        self._screen = screen
        self._checks: dict[str, bool] = {}
        self._advice: list[str] = []
        self._misread = 0

    async def run(self) -> None:
        """Let the call come in, and wait until it is over.

        Raises:
            ScenarioError: It went otherwise than its scenario says.
        """
        plan, screen = self._plan, self._screen
        async with AsyncExitStack() as stack:
            openai = await self._listening(stack)
            self._show_environment()
            probe = await _probe(plan.url)
            screen.show("ring", f"a webhook that somebody else has signed was answered {probe.status}")
            problem = findings.of_probe(plan.url, probe)
            if problem is not None:
                self._checks["the URL is that of a webhook"] = False
                self._advice.append(problem)
                return
            self._checks["a webhook that somebody else has signed is refused"] = 400 <= probe.status < 500
            if plan.voice_url is None:
                await self._ring_openai(openai)
            else:
                twilio = await stack.enter_async_context(self._twilio(openai, plan.voice_url))
                await self._ring_twilio(openai, twilio, plan.voice_url)

    def judge(self, differs: Sequence[str]) -> bool:
        """Say what was to happen and whether it did; `differs` is how the call differed from its scenario."""
        known = bool(self._advice)
        if self._steps is not None and "the call is accepted" in self._checks:
            self._checks["it goes as the scenario says"] = not differs
        if self._misread:
            self._checks["all that was typed can be played"] = False
        # Nothing new: a call that never came about, or whose cause is known, has not reached its steps either.
        return self._screen.verdict(self._checks, advice=[*self._advice, *(() if known else differs)])

    async def _listening(self, stack: AsyncExitStack) -> OpenAIEmulator:
        plan, exports = self._plan, self._environment.exports
        openai = OpenAIEmulator(
            api_key=exports["OPENAI_API_KEY"],
            webhook_secret=exports["OPENAI_WEBHOOK_SECRET"],
            speed=plan.speed,
            port=plan.port,
            # Whatever the program has to do has its real time.
            timings=Timings(ring=plan.rings, session=_SESSION * plan.speed, least_patience=_ALWAYS),
            strict=self._steps is not None,
        )
        try:
            return await stack.enter_async_context(openai)
        except OSError as error:
            raise ConfigurationError(
                f"port {plan.port} is not free ({os.strerror(error.errno or 0)}): is another ring running? With --port "
                "it takes another one, and so does OPENAI_BASE_URL then"
            ) from None

    def _show_environment(self) -> None:
        write, environment = self._screen.write, self._environment
        write("Your server has to run with:\n")
        for name, value in environment.exports.items():
            if name not in environment.shared:
                write(f"    export {name}={value}")
        if environment.shared:
            write(f"\nand with {' and '.join(sorted(environment.shared))} as in this shell.")
        write("")

    async def _ring_openai(self, openai: OpenAIEmulator) -> None:
        caller, channel = _channel(self._plan.caller)
        self._screen.show("caller", "dials")
        ringing = await openai.ring(
            self._plan.url,
            scenario=self._steps or (),
            caller=caller,
            channel=channel,
            dialed=self._plan.dialed or DIALED,
        )
        await self._follow(openai, ringing)

    def _twilio(self, openai: OpenAIEmulator, voice_url: str) -> TwilioEmulator:
        origin = _origin(voice_url)
        return TwilioEmulator(
            openai=openai,
            openai_webhook=self._plan.url,
            auth_token=self._environment.exports["TWILIO_AUTH_TOKEN"],
            tunnels={self._plan.public_url or origin: origin},
            strict=self._steps is not None,
            account_sid=os.environ.get("TWILIO_ACCOUNT_SID") or ACCOUNT,
        )

    async def _ring_twilio(self, openai: OpenAIEmulator, twilio: TwilioEmulator, voice_url: str) -> None:
        plan, origin = self._plan, _origin(voice_url)
        public = (plan.public_url or origin).rstrip("/")
        self._screen.show("caller", "dials")
        call = await twilio.ring(
            public + voice_url.removeprefix(origin),
            from_=plan.caller or CALLER,
            to=plan.dialed,
            scenario=self._steps or (),
        )
        async with self._screen.following(ring_shown.of_twilio(call)):
            try:
                ringing = await call.until_openai(timeout=plan.timeout)
            except ScenarioError:
                ringing = None
            if ringing is not None:
                await self._follow(openai, ringing)
            over = await _ended(call, timeout=plan.timeout)
        statuses = [request.status_code for request in call.requested("voice")]
        wrong = findings.of_twilio(self._environment, call.alerts, statuses, public=public)
        if ringing is None and not wrong:
            wrong = [
                "The TwiML did not dial OpenAI: <Dial><Sip>sip:proj_…@sip.api.openai.com;transport=tls</Sip></Dial>."
            ]
        self._checks["Twilio gets what it asks for"] = not call.alerts
        self._checks["the call rings at OpenAI"] = ringing is not None
        self._checks["the call is over at Twilio too"] = over
        self._advice = wrong + self._advice

    async def _follow(self, openai: OpenAIEmulator, ringing: RingingCall) -> None:
        """Play a call that rings, wait until it is over, and note what is known of it."""
        longest = _SESSION if self._steps is None else self._plan.timeout
        async with self._screen.following(ring_shown.of_server(ringing)), self._typing(ringing):
            decided = self._plan.rings + _ANSWER
            await until(lambda: ringing.accepted_session is not None or _over(ringing), seconds=decided)
            in_time = await until(lambda: _over(ringing), seconds=longest)
            await until(lambda: bool(ringing.webhook_responses), seconds=_ANSWER)
            # A server may find out that the call is over by asking for it, and an emulator that is gone cannot say so.
            asked = len(openai.requests)
            await until(lambda: len(openai.requests) > asked, seconds=_FAREWELL)
        end = await ringing.ended() if ringing.state is CallState.ENDED else None
        if end is not None:
            self._screen.show("ring", f"the call has ended: {end.by}")
        refusals = findings.refusals(ringing.server_events)
        checks = self._checks
        checks["the webhook is taken at its first delivery"] = [each.taken for each in ringing.webhook_responses] == [
            True
        ]
        if not _gives_up(self._steps):
            checks["the call is accepted"] = ringing.accepted_session is not None
            checks["the server attaches to it"] = ringing.sidebands > 0
        checks["every event that the server sends is taken"] = not refusals
        what, enders = _expected_end(self._steps)
        checks[what] = end is not None and end.by in enders
        if not in_time:
            self._advice.append(
                f"The call was still up after {longest:g} seconds. Its scenario does not end with CallerHangsUp, or "
                "has not come to it, and the server did not hang up."
            )
        self._advice += findings.of_call(
            self._environment,
            self._plan.url,
            answers=ringing.webhook_responses,
            requests=openai.requests,
            sidebands=ringing.sidebands,
            refusals=refusals,
            end=end,
        )

    @asynccontextmanager
    async def _typing(self, ringing: RingingCall) -> AsyncIterator[None]:
        """Play what is typed until the block is left, unless there is a scenario."""
        task = asyncio.create_task(self._type(ringing)) if self._steps is None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _type(self, ringing: RingingCall) -> None:
        descriptor = _input()
        if descriptor is not None and os.isatty(descriptor):
            self._screen.write(HELP)
        await until(lambda: ringing.sidebands > 0, seconds=self._plan.rings)
        await until(lambda: _greeted(ringing), seconds=_GREETING)
        number = 0
        if descriptor is not None:
            async with aclosing(typed_lines(descriptor)) as lines:
                async for line in lines:
                    number += 1
                    self._play_line(ringing, number, line)
        try:
            ringing.play(CallerHangsUp())
        except ConfigurationError:  # there are as many steps as can be
            ringing.hang_up()

    def _play_line(self, ringing: RingingCall, number: int, line: str) -> None:
        try:
            step = step_of(line)
            if step is not None:
                ringing.play(step)
        except ConfigurationError as error:
            self._misread += 1
            self._screen.show("ring", f"line {number} is not played: {error}")


def _environment(plan: Ring) -> Environment:
    """Return what the server has to run with: what this shell has, and what nobody has set as the emulators have it."""
    usual = {"OPENAI_API_KEY": _KEY, "OPENAI_WEBHOOK_SECRET": _SECRET}
    if plan.voice_url is not None:
        usual["TWILIO_AUTH_TOKEN"] = AUTH_TOKEN
    own = {name: value for name in usual if (value := os.environ.get(name))}
    return Environment(
        exports={"OPENAI_BASE_URL": f"http://127.0.0.1:{plan.port}/v1", **usual, **own},
        shared=frozenset(name for name, value in own.items() if value != usual[name]),
    )


async def _probe(url: str) -> Probe:
    """Send a webhook that somebody else has signed.

    Raises:
        ConfigurationError: The server cannot be reached, or does not answer.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError("give the http or https URL of the webhook, as http://127.0.0.1:8000/openai/webhook")
    body, headers = forged_by_openai()
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER) as http:
            answer = await http.post(url, content=body, headers={"content-type": "application/json", **headers})
    except httpx.TimeoutException:
        raise ConfigurationError(f"the server at {_origin(url)} does not answer within {_ANSWER:g} seconds") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"no server can be reached at {_origin(url)} ({cause_of(error)}). Start yours with the lines above, then "
            "ring again"
        ) from None
    return Probe(
        status=answer.status_code,
        location=answer.headers.get("location", ""),
        csrf="csrf" in answer.text[:20_000].lower(),
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _channel(caller: str | None) -> tuple[str, Channel]:
    """Return who calls, without the channel in front, and the channel."""
    caller = caller or CALLER
    if caller.startswith("whatsapp:"):
        return caller.removeprefix("whatsapp:"), "whatsapp"
    if caller.startswith("sip:"):
        return caller.removeprefix("sip:").partition("@")[0], "sip"
    return caller, "phone"


def _gives_up(steps: Sequence[Step] | None) -> bool:
    """Whether the caller gives up while it rings."""
    return any(isinstance(step, CallerHangsUp) and step.while_ringing for step in steps or ())


def _expected_end(steps: Sequence[Step] | None) -> tuple[str, frozenset[EndedBy]]:
    """Return how the call is to end, in words, and by whom."""
    others = frozenset({EndedBy.AGENT, EndedBy.TRANSFERRED})
    if steps is None:
        return "somebody hangs up, or the caller is transferred", others | {EndedBy.CALLER}
    if any(isinstance(step, CallerHangsUp) for step in steps):
        return "the caller hangs up", frozenset({EndedBy.CALLER})
    return "the server hangs up, or transfers the caller", others


def _over(ringing: RingingCall) -> bool:
    """Whether the call has ended, or cannot be answered any more.

    A webhook, a key and a path that are refused once are refused again.
    """
    answers = ringing.webhook_responses
    refused = bool(answers) and answers[-1].status_code is not None and 300 <= answers[-1].status_code < 500
    denied = any(request.status == 401 for request in ringing.requests)
    return ringing.state is CallState.ENDED or ((refused or denied) and ringing.accepted_session is None)


def _greeted(ringing: RingingCall) -> bool:
    started = any(event.get("type") == "response.created" for event in ringing.server_events)
    return started or ringing.state is CallState.ENDED


async def _ended(call: TwilioCall, *, timeout: float) -> bool:  # noqa: ASYNC109 - of the emulator
    try:
        await call.ended(timeout=timeout)
    except ScenarioError:
        return False
    return True


def _input() -> int | None:
    """Return the file descriptor of standard input, or None if there is no such thing."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None
