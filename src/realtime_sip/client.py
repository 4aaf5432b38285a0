"""The clients: `RealtimeSip` blocks, `AsyncRealtimeSip` awaits; all else about them is the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, TypedDict, TypeVar, Unpack

import httpx

from realtime_sip.api import protocol
from realtime_sip.api.calls import AsyncCalls, Calls
from realtime_sip.api.client_secrets import AsyncClientSecrets, ClientSecrets
from realtime_sip.api.operations import DEADLINE
from realtime_sip.api.settings import Settings
from realtime_sip.api.sideband import AsyncSideband, Sideband
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.endpoints import Hosts
from realtime_sip.errors import ConfigurationError
from realtime_sip.webhooks.unwrap import OpenAIWebhooks

if TYPE_CHECKING:
    import httpx2

__all__ = ["AsyncRealtimeSip", "Options", "RealtimeSip"]

_Secrets = str | Sequence[str] | Mapping[str, str]

_Transport = TypeVar("_Transport", Transport, AsyncTransport)


class Options(TypedDict, total=False):
    """What `with_options` may change; the meanings are those of the clients' constructor."""

    api_key: str
    hosts: Hosts
    organization: str | None
    project: str | None
    deadline: float
    ping_interval: float | None
    ping_timeout: float | None


class _Client(Generic[_Transport]):
    """What both clients are, but for the I/O."""

    _transport: _Transport
    _webhook_secret: _Secrets | None
    _context_secret: str | Sequence[str] | None

    @property
    def settings(self) -> Settings:
        """What this client was told."""
        return self._transport.settings

    @cached_property
    def webhooks(self) -> OpenAIWebhooks:
        """Verifies and parses the webhooks of this client's secret, and the contexts of its context secret.

        Raises:
            ConfigurationError: The client has no webhook secret, or a secret is not one.
        """
        if not self._webhook_secret:
            raise ConfigurationError("no webhook secret: pass webhook_secret, or set OPENAI_WEBHOOK_SECRET")
        return OpenAIWebhooks(self._webhook_secret, context_secret=self._context_secret, clock=self.settings.clock)

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Return a client that differs in the options given. It shares the HTTP client, which is this one's to close.

        Raises:
            ConfigurationError: An option is unknown or makes no sense.
        """
        unknown = sorted(options.keys() - Options.__annotations__.keys())
        if unknown:
            raise ConfigurationError(f"unknown option {unknown[0]}; there are: {', '.join(Options.__annotations__)}")
        copy = object.__new__(type(self))
        copy._webhook_secret = self._webhook_secret
        copy._context_secret = self._context_secret
        copy._use(self._transport.sharing(replace(self.settings, **options)))
        return copy

    def _use(self, transport: _Transport) -> None:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.hosts.api})"


def _settings(
    api_key: str | None,
    base_url: str | None,
    hosts: Hosts,
    organization: str | None,
    project: str | None,
    deadline: float,
    ping_interval: float | None,
    ping_timeout: float | None,
    clock: Callable[[], float],
) -> Settings:
    """Return the settings, with what is not given taken from the environment."""
    api_key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
    if not api_key:
        raise ConfigurationError("no API key: pass api_key, or set OPENAI_API_KEY")
    if base_url is None and hosts is Hosts.DEFAULT:
        base_url = os.environ.get("OPENAI_BASE_URL") or None
    return Settings(
        api_key=api_key,
        hosts=hosts if base_url is None else replace(hosts, api=base_url),
        organization=organization if organization is not None else os.environ.get("OPENAI_ORG_ID") or None,
        project=project if project is not None else os.environ.get("OPENAI_PROJECT_ID") or None,
        deadline=deadline,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        clock=clock,
    )


class RealtimeSip(_Client[Transport]):
    """The blocking client. It can be shared between threads.

    >>> with RealtimeSip("sk-example", hosts=Hosts.EU) as client:
    ...     client.settings.hosts.sip_uri("proj_abc123")
    'sip:proj_abc123@sip-eu.api.openai.com;transport=tls'
    """

    calls: Calls
    client_secrets: ClientSecrets

    def __init__(
        self,
        api_key: str | None = None,
        *,
        webhook_secret: _Secrets | None = None,
        context_secret: str | Sequence[str] | None = None,
        base_url: str | None = None,
        hosts: Hosts = Hosts.DEFAULT,
        organization: str | None = None,
        project: str | None = None,
        deadline: float = DEADLINE,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        clock: Callable[[], float] = time.time,
        http_client: httpx.Client | httpx2.Client | None = None,
    ) -> None:
        """Make a client. Nothing is sent.

        Args:
            api_key: Else `OPENAI_API_KEY`.
            webhook_secret: One, several while rotating, or secret to project; else `OPENAI_WEBHOOK_SECRET`.
            context_secret: What your TwiML signs the context of calls with, one or several while rotating; else
                `REALTIME_SIP_CONTEXT_SECRET`. Without it `incoming.context` is empty.
            base_url: The API's, where it is not that of `hosts`; else `OPENAI_BASE_URL`.
            hosts: The region's API and SIP hosts.
            organization: Else `OPENAI_ORG_ID`.
            project: Else `OPENAI_PROJECT_ID`.
            deadline: Seconds that a request may take with all its repeats.
            ping_interval: Seconds between pings on a WebSocket, or None.
            ping_timeout: Seconds after which an unanswered ping ends a WebSocket, or None.
            clock: Returns Unix seconds: how old a webhook is, and when things happen.
            http_client: Your own; it is not closed here. httpx and httpx2 both fit.

        Raises:
            ConfigurationError: There is no key, or a value makes no sense.
        """
        settings = _settings(
            api_key, base_url, hosts, organization, project, deadline, ping_interval, ping_timeout, clock
        )
        self._webhook_secret = webhook_secret or os.environ.get("OPENAI_WEBHOOK_SECRET")
        self._context_secret = context_secret or os.environ.get("REALTIME_SIP_CONTEXT_SECRET") or None
        self._use(Transport(settings, http_client))

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self.calls = Calls(transport)
        self.client_secrets = ClientSecrets(transport)

    @classmethod
    def azure(cls, resource: str, *, region: str, api_key: str, **options: Any) -> Self:
        """Make a client of an Azure OpenAI resource; `options` are those of the constructor.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        return cls(api_key, hosts=Hosts.azure(resource, region=region), **options)

    def connect(self, *, model: str | None = None, intent: str | None = None) -> AbstractContextManager[Sideband]:
        """Open a primary socket, for realtime (by `model`) or for transcription (`intent="transcription"`).

        Its audio rides in the events; phone calls do not use it. The same protocol as a call's sideband.

        Raises:
            ConfigurationError: Neither is given.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return Sideband.opened(self._transport, protocol.open_primary(model=model, intent=intent))

    def close(self) -> None:
        """Close the HTTP client, unless it was given."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncRealtimeSip(_Client[AsyncTransport]):
    """The async client, for one event loop."""

    calls: AsyncCalls
    client_secrets: AsyncClientSecrets

    def __init__(
        self,
        api_key: str | None = None,
        *,
        webhook_secret: _Secrets | None = None,
        context_secret: str | Sequence[str] | None = None,
        base_url: str | None = None,
        hosts: Hosts = Hosts.DEFAULT,
        organization: str | None = None,
        project: str | None = None,
        deadline: float = DEADLINE,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        clock: Callable[[], float] = time.time,
        http_client: httpx.AsyncClient | httpx2.AsyncClient | None = None,
    ) -> None:
        """Make a client. Nothing is sent.

        Args:
            api_key: Else `OPENAI_API_KEY`.
            webhook_secret: One, several while rotating, or secret to project; else `OPENAI_WEBHOOK_SECRET`.
            context_secret: What your TwiML signs the context of calls with, one or several while rotating; else
                `REALTIME_SIP_CONTEXT_SECRET`. Without it `incoming.context` is empty.
            base_url: The API's, where it is not that of `hosts`; else `OPENAI_BASE_URL`.
            hosts: The region's API and SIP hosts.
            organization: Else `OPENAI_ORG_ID`.
            project: Else `OPENAI_PROJECT_ID`.
            deadline: Seconds that a request may take with all its repeats.
            ping_interval: Seconds between pings on a WebSocket, or None.
            ping_timeout: Seconds after which an unanswered ping ends a WebSocket, or None.
            clock: Returns Unix seconds: how old a webhook is, and when things happen.
            http_client: Your own; it is not closed here. httpx and httpx2 both fit.

        Raises:
            ConfigurationError: There is no key, or a value makes no sense.
        """
        settings = _settings(
            api_key, base_url, hosts, organization, project, deadline, ping_interval, ping_timeout, clock
        )
        self._webhook_secret = webhook_secret or os.environ.get("OPENAI_WEBHOOK_SECRET")
        self._context_secret = context_secret or os.environ.get("REALTIME_SIP_CONTEXT_SECRET") or None
        self._use(AsyncTransport(settings, http_client))

    def _use(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self.calls = AsyncCalls(transport)
        self.client_secrets = AsyncClientSecrets(transport)

    @classmethod
    def azure(cls, resource: str, *, region: str, api_key: str, **options: Any) -> Self:
        """Make a client of an Azure OpenAI resource; `options` are those of the constructor.

        Raises:
            ConfigurationError: A value makes no sense.
        """
        return cls(api_key, hosts=Hosts.azure(resource, region=region), **options)

    def connect(
        self, *, model: str | None = None, intent: str | None = None
    ) -> AbstractAsyncContextManager[AsyncSideband]:
        """Open a primary socket, for realtime (by `model`) or for transcription (`intent="transcription"`).

        Its audio rides in the events; phone calls do not use it. The same protocol as a call's sideband.

        Raises:
            ConfigurationError: Neither is given.
            NetworkError, ServiceError: The socket could not be opened.
        """
        return AsyncSideband.opened(self._transport, protocol.open_primary(model=model, intent=intent))

    async def close(self) -> None:
        """Close the HTTP client, unless it was given."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
