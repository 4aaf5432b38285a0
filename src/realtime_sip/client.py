"""The clients: `RealtimeSip` blocks, `AsyncRealtimeSip` awaits; everything else about them is the same."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypedDict, TypeVar, Unpack, cast

from realtime_sip._redaction import miscopied
from realtime_sip.api import protocol
from realtime_sip.api.calls import CallFace, Calls, WebRtcCall
from realtime_sip.api.client_secrets import AsyncClientSecrets, ClientSecrets
from realtime_sip.api.keys import ApiKey, check_is_plain
from realtime_sip.api.operations import DEADLINE, Operation
from realtime_sip.api.proxies import ProxyOption
from realtime_sip.api.settings import Settings, unix_now
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.api.webhook_endpoints import AsyncWebhookEndpoints, WebhookEndpoints
from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import ConfigurationError

# What a client needs for a call, a socket or a webhook is loaded with the first of them: a program that does without
# starts in half the time.
if TYPE_CHECKING:
    from ssl import SSLContext

    import httpx
    import httpx2

    from realtime_sip.api.sideband import AsyncSideband, Sideband
    from realtime_sip.call.call import Call
    from realtime_sip.call.machine.call_limits import CallLimits
    from realtime_sip.call.machine.targets import TransferTargets
    from realtime_sip.call.options import ApproveMcp, AskConsent, CheckSpeech, CheckTool, OnError
    from realtime_sip.call.record.struggle import EscalationRules
    from realtime_sip.event_log import EventLogFolder
    from realtime_sip.rates import RateCard
    from realtime_sip.session import RealtimeSession
    from realtime_sip.tools.registry import Tools
    from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

# Of the vendors' hosts: a gateway or a stand-in may have any path.
_UNVERSIONED = re.compile(r"https?://[^/]*\.(?:openai|azure)\.com(?!.*/v[0-9])(?:/.*)?")
_Secrets = str | Sequence[str] | Mapping[str, str]

_HttpClient = TypeVar("_HttpClient")
_Transport = TypeVar("_Transport", Transport, AsyncTransport)
_Socket = TypeVar("_Socket")


class AsyncCalls(
    CallFace[Coroutine[Any, Any, None], Coroutine[Any, Any, WebRtcCall], "AbstractAsyncContextManager[AsyncSideband]"]
):
    """`client.calls`, async."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport

    def _done(self, operation: Operation[None]) -> Coroutine[Any, Any, None]:
        return self.transport.run(operation)

    def _created(self, operation: Operation[WebRtcCall]) -> Coroutine[Any, Any, WebRtcCall]:
        return self.transport.run(operation)

    def _open(self, operation: Operation[None]) -> AbstractAsyncContextManager[AsyncSideband]:
        from realtime_sip.api.sideband import AsyncSideband

        return AsyncSideband.opened(self.transport, operation)

    def answer(
        self,
        incoming: IncomingCall | str,
        session: RealtimeSession | dict[str, Any],
        *,
        tools: Tools | None = None,
        limits: CallLimits | None = None,
        transfers: TransferTargets | None = None,
        escalation: EscalationRules | None = None,
        rates: RateCard | None = None,
        event_log: EventLogFolder | None = None,
        consent: AskConsent | None = None,
        approve_mcp: ApproveMcp | None = None,
        check_tool: CheckTool | None = None,
        check_speech: CheckSpeech | None = None,
        greet_undisturbed: bool = False,
        on_error: OnError | None = None,
        log_exceptions: bool | None = None,
    ) -> AbstractAsyncContextManager[Call, bool]:
        """Answer a call, and keep it until the block is left: accept, attach, turns, tools, limits, and a known end.

        Entering checks the session, accepts, and attaches within the client's timeout. A stale webhook, a call that was
        decided elsewhere and a caller who gave up are not errors: the call has ended then, `call.ended` says how, and
        whatever you ask of it leaves the block without an exception. The same holds when the call ends later. If the
        block is still running ten seconds after the call ended, it is canceled; no exception leaves it.

        Leaving the block ends the call: after the speech under way was heard, or at once if an exception leaves it. SIP
        only.

        Args:
            incoming: The webhook, or a call id.
            session: The session to accept the call with; the registry's tools are added. Leave audio formats unset.
            tools: The tools that the model may call. Answer calls of other functions of the session yourself.
            limits: The limits at which the call is ended.
            transfers: Where the call may be transferred to, by name; without it, nowhere.
            escalation: After how many failures in a row an `Escalation` is emitted.
            rates: What tokens cost, by model and host; the published prices if left out.
            event_log: Where to log what happens on the call, redacted unless it says otherwise.
            consent: Asked before the block begins. Without it, or if it returns True, the call is logged.
            approve_mcp: Decides whether an MCP server that needs approval may be called. Without it, it may not.
            check_tool: Asked before each tool runs; returns why it may not, or None.
            check_speech: Asked about each response as it grows; returns what to say instead, or None.
            greet_undisturbed: Keep turn detection off until the first speech that `respond` asks for was heard, so that
                its own echo cannot cut it off.
            on_error: Called with each exception of a tool or a callback; plain or async. Without it, the host's.
            log_exceptions: Whether the messages of those exceptions are logged too; without it, as the host says.

        Raises:
            InvalidRequestError: The session is not valid; nothing was sent.
            ConfigurationError: Two tools have the same name; `max_cost` is set and the model has no price; or
                `transfer_to_human` is a tool and there are no `transfers`.
            NetworkError, ServiceError: The service refuses the accept, or cannot be reached. The phone rings on.
        """
        from realtime_sip._program_errors import ProgramErrors
        from realtime_sip.call.answer import Answering, answer
        from realtime_sip.call.machine.call_limits import CallLimits
        from realtime_sip.call.options import AnswerOptions
        from realtime_sip.call.record.struggle import EscalationRules
        from realtime_sip.rates import RateCard
        from realtime_sip.tools.registry import Tools
        from realtime_sip.webhooks import IncomingCall

        if not isinstance(incoming, (IncomingCall, str)):
            raise ConfigurationError("incoming must be the webhook's IncomingCall, or a call id")
        options = AnswerOptions(
            tools=Tools() if tools is None else tools,
            limits=CallLimits() if limits is None else limits,
            transfers=transfers,
            escalation=EscalationRules() if escalation is None else escalation,
            rates=RateCard.published() if rates is None else rates,
            event_log=event_log,
            consent=consent,
            approve_mcp=approve_mcp,
            check_tool=check_tool,
            check_speech=check_speech,
            greet_undisturbed=greet_undisturbed,
            errors=ProgramErrors(on_error=on_error, log_exceptions=log_exceptions),
        )
        answering = Answering(answer(self.transport, incoming, session, options))
        # It may swallow what leaves the block, so that type checkers take the code behind it for reachable.
        return cast("AbstractAsyncContextManager[Call, bool]", answering)


class Options(TypedDict, total=False):
    """What `with_options` may change. The names mean what they mean in the clients' constructor."""

    api_key: ApiKey
    endpoints: Endpoints
    organization: str | None
    project: str | None
    timeout: float
    ping_interval: float | None
    ping_timeout: float | None


class _Client(Generic[_HttpClient, _Transport, _Socket]):
    """What both clients share: everything but the I/O."""

    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        webhook_secret: _Secrets | None = None,
        context_secret: str | Sequence[str] | None = None,
        base_url: str | None = None,
        endpoints: Endpoints = Endpoints.DEFAULT,
        organization: str | None = None,
        project: str | None = None,
        timeout: float = DEADLINE,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        clock: Callable[[], float] = unix_now,
        ssl: SSLContext | None = None,
        proxy: ProxyOption = None,
        headers: Mapping[str, str] | None = None,
        http_client: _HttpClient | None = None,
    ) -> None:
        """Make a client. Nothing is sent.

        Args:
            api_key: The API key, or a function that returns it, for keys that expire: it is asked before each request
                and each socket. The async client takes an async one too. If left out, `OPENAI_API_KEY` has it.
            webhook_secret: The signing secret, several while rotating, or a mapping of secret to project. If left out,
                `OPENAI_WEBHOOK_SECRET` has it.
            context_secret: The secret with which your TwiML signs the context of calls, or several while rotating. If
                left out, `REALTIME_SIP_CONTEXT_SECRET` has it. Without it `incoming.context` is empty.
            base_url: The base URL of the API, if it is not that of `endpoints`. If left out, `OPENAI_BASE_URL` has it.
            endpoints: The region's API and SIP hosts.
            organization: The organization's id. If left out, `OPENAI_ORG_ID` has it.
            project: The project's id. If left out, `OPENAI_PROJECT_ID` has it.
            timeout: Seconds that a request may take with all its repeats.
            ping_interval: Seconds between pings on a WebSocket, or None.
            ping_timeout: Seconds after which an unanswered ping ends a WebSocket, or None.
            clock: Returns Unix seconds. It decides how old a webhook is, and dates what happens.
            ssl: What is trusted, for authorities of your own. If left out, the system's and certifi's are.
            proxy: The URL of a proxy, or False for none. If left out, the environment has it (`HTTPS_PROXY`,
                `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), except for this machine itself.
            headers: More headers of each request and each upgrade, such as a gateway's.
            http_client: Your own httpx or httpx2 client, which `close` does not close; without it, an httpx client is
                made. With many calls at once `httpx2.AsyncClient()` (extra `httpx2`) takes less time for each request.
                What it trusts and its proxies cannot be read from it: the WebSocket needs them as `ssl` and `proxy`.

        Raises:
            ConfigurationError: There is no key, or a value makes no sense.
        """
        api_key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
        if not api_key:
            raise ConfigurationError("no API key: pass api_key, or set OPENAI_API_KEY")
        if base_url is None and endpoints is Endpoints.DEFAULT:
            base_url = os.environ.get("OPENAI_BASE_URL") or None
        if isinstance(base_url, str) and _UNVERSIONED.fullmatch(base_url):
            raise ConfigurationError("the base URL has no version in its path, as https://api.openai.com/v1 has")
        settings = Settings(
            api_key=api_key,
            endpoints=endpoints if base_url is None else replace(endpoints, api=base_url),
            organization=organization if organization is not None else os.environ.get("OPENAI_ORG_ID") or None,
            project=project if project is not None else os.environ.get("OPENAI_PROJECT_ID") or None,
            timeout=timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            clock=clock,
            ssl=ssl,
            proxy=proxy,
            extra_headers={} if headers is None else headers,
        )
        self._webhook_secret = webhook_secret or os.environ.get("OPENAI_WEBHOOK_SECRET")
        if self._webhook_secret:
            from realtime_sip.webhooks.unwrap import check_secrets

            check_secrets(self._webhook_secret)
        self._context_secret = context_secret or os.environ.get("REALTIME_SIP_CONTEXT_SECRET") or None
        _check_context_secrets(self._context_secret)
        self._use(self._transport_over(settings, http_client))

    def _transport_over(self, settings: Settings, http_client: _HttpClient | None) -> _Transport:
        raise NotImplementedError

    def _use(self, transport: _Transport) -> None:
        self._transport: _Transport = transport

    def _open(self, operation: Operation[None]) -> _Socket:
        raise NotImplementedError

    @property
    def settings(self) -> Settings:
        """The options of this client."""
        return self._transport.settings

    @cached_property
    def webhooks(self) -> OpenAIWebhooks:
        """Verifies and parses the webhooks of this client's secret, and the contexts of its context secret.

        Raises:
            ConfigurationError: The client has no webhook secret, or a secret is not valid.
        """
        if not self._webhook_secret:
            raise ConfigurationError("no webhook secret: pass webhook_secret, or set OPENAI_WEBHOOK_SECRET")
        from realtime_sip.webhooks import OpenAIWebhooks

        return OpenAIWebhooks(self._webhook_secret, context_secret=self._context_secret, clock=self.settings.clock)

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Return a client that differs in the options given. It shares the HTTP client, which this client closes.

        Raises:
            ConfigurationError: An option is unknown or makes no sense.
        """
        unknown = sorted(options.keys() - Options.__annotations__.keys())
        if unknown:
            raise ConfigurationError(f"unknown option {unknown[0]}; options: {', '.join(Options.__annotations__)}")
        copy = object.__new__(type(self))
        copy._webhook_secret = self._webhook_secret
        copy._context_secret = self._context_secret
        copy._use(self._transport.sharing(replace(self.settings, **options)))
        return copy

    @classmethod
    def azure(cls, resource: str, *, region: str, api_key: ApiKey, **options: Any) -> Self:
        """Make a client of an Azure OpenAI resource; `options` are those of the constructor.

        `api_key` is a key, or a function that returns one or a token of Entra ID.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        return cls(api_key, endpoints=Endpoints.azure(resource, region=region), **options)

    def connect(self, *, model: str | None = None, intent: str | None = None) -> _Socket:
        """Open a primary socket, for realtime (`model=`) or for transcription (`intent="transcription"`).

        Its events carry the audio; phone calls do not use it. Its protocol is that of a call's sideband.

        Raises:
            ConfigurationError: Neither was given.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return self._open(protocol.open_primary(model=model, intent=intent))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.endpoints.api})"


def _check_context_secrets(secret: object) -> None:
    for one in secret if isinstance(secret, Sequence) and not isinstance(secret, str) else [secret]:
        wrong = miscopied(one) if isinstance(one, str) else None
        if wrong is not None:
            raise ConfigurationError(f"a context secret {wrong}")


class RealtimeSip(_Client["httpx.Client | httpx2.Client", Transport, "AbstractContextManager[Sideband]"]):
    """The blocking client. It can be shared between threads.

    >>> with RealtimeSip("sk-example", endpoints=Endpoints.EU) as client:
    ...     client.settings.endpoints.sip_uri("proj_abc123")
    'sip:proj_abc123@sip-eu.api.openai.com;transport=tls'
    """

    calls: Calls
    client_secrets: ClientSecrets
    webhook_endpoints: WebhookEndpoints

    def _transport_over(self, settings: Settings, http_client: httpx.Client | httpx2.Client | None) -> Transport:
        return Transport(settings, http_client)

    def _use(self, transport: Transport) -> None:
        check_is_plain(transport.settings.api_key)
        super()._use(transport)
        self.calls = Calls(transport)
        self.client_secrets = ClientSecrets(transport)
        self.webhook_endpoints = WebhookEndpoints(transport)

    def _open(self, operation: Operation[None]) -> AbstractContextManager[Sideband]:
        from realtime_sip.api.sideband import Sideband

        return Sideband.opened(self._transport, operation)

    def close(self) -> None:
        """Close the HTTP client, unless it was given. Calls of `answer`, async only, are hung up first, in two seconds.

        To let them finish, use `CallHost.drain` before.
        """
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncRealtimeSip(
    _Client["httpx.AsyncClient | httpx2.AsyncClient", AsyncTransport, "AbstractAsyncContextManager[AsyncSideband]"]
):
    """The async client. It belongs to the event loop that uses it first."""

    calls: AsyncCalls
    client_secrets: AsyncClientSecrets
    webhook_endpoints: AsyncWebhookEndpoints

    def _transport_over(
        self, settings: Settings, http_client: httpx.AsyncClient | httpx2.AsyncClient | None
    ) -> AsyncTransport:
        return AsyncTransport(settings, http_client)

    def _use(self, transport: AsyncTransport) -> None:
        super()._use(transport)
        self.calls = AsyncCalls(transport)
        self.client_secrets = AsyncClientSecrets(transport)
        self.webhook_endpoints = AsyncWebhookEndpoints(transport)

    def _open(self, operation: Operation[None]) -> AbstractAsyncContextManager[AsyncSideband]:
        from realtime_sip.api.sideband import AsyncSideband

        return AsyncSideband.opened(self._transport, operation)

    async def close(self) -> None:
        """Close the HTTP client, unless it was given. Calls of `answer`, async only, are hung up first, in two seconds.

        To let them finish, use `CallHost.drain` before.
        """
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
