"""httpx as the HTTP client of Twilio's package, blocking and async.

    client = twilio.rest.Client(account_sid, auth_token, http_client=AsyncTwilioHttp())

Twilio's own async client sends JSON bodies as forms, its clients have no timeout, and both log numbers. These send JSON
as JSON, wait ten seconds unless told otherwise, and log nothing.
"""

# mypy: disallow-subclassing-any=False
# Twilio calls the URL `uri` in the base class and `url` in its clients; an async client returns a coroutine.
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from realtime_sip.api.causes import cause_of
from realtime_sip.api.http_client import HttpClient
from realtime_sip.api.proxies import ProxyOption, proxy_to
from realtime_sip.api.transport import within
from realtime_sip.errors import ConfigurationError, DeadlineError, MissingExtraError, NetworkError

try:
    from twilio.http import HttpClient as _TwilioHttp
    from twilio.http.response import Response
except ImportError:
    raise MissingExtraError("twilio", "twilio") from None

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncTwilioHttp", "TwilioHttp"]

TIMEOUT = 10.0
"""Seconds for an answer. A transfer's fallback has as long in all."""
MAX_REPLY = 16 * 1024 * 1024
"""Bytes of an answer. A page of a thousand numbers has two million."""
_GRACE = 0.1
_JSON = {"application/json", "application/scim+json"}
_LOG = logging.getLogger("realtime_sip.twilio")


class _Httpx(_TwilioHttp):
    """What both have: how a request is built, and what a failure means."""

    def __init__(
        self,
        kind: Literal["Client", "AsyncClient"],
        given: object,
        *,
        base_url: str | None,
        timeout: float,
        proxy: ProxyOption,
    ) -> None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < inf:
            raise ConfigurationError("timeout must be a positive number of seconds")
        if base_url is not None and not (urlsplit(base_url).scheme in ("http", "https") and urlsplit(base_url).netloc):
            raise ConfigurationError("base_url must be an http or https URL")
        super().__init__(_LOG, kind == "AsyncClient", float(timeout))
        self._timeout = float(timeout)
        self._base_url = base_url
        self._proxy: ProxyOption = proxy
        self._http = HttpClient(kind, given, ssl=None, most=1)

    def _client(self, url: str) -> tuple[Any, Any]:
        return self._http.get(proxy_to(url, self._proxy, trust_env=True))

    def _place(self, url: str) -> str:
        """Return where a request goes: to `base_url`, if there is one, with the path that Twilio's client chose."""
        if self._base_url is None:
            return url
        base, parts = urlsplit(self._base_url), urlsplit(url)
        path = base.path.rstrip("/") + parts.path
        return urlunsplit((base.scheme, base.netloc, path, parts.query, ""))

    def _seconds(self, timeout: float | None) -> float:
        if timeout is not None and timeout <= 0:
            raise ValueError(timeout)
        return self._timeout if timeout is None else timeout

    def _arguments(
        self,
        library: Any,
        url: str,
        params: Mapping[str, object] | None,
        data: object,
        headers: Mapping[str, str] | None,
        auth: tuple[str, str] | None,
        timeout: float,
    ) -> dict[str, Any]:
        """Return the arguments of httpx for a request. `params` are added to those of the URL; bytes go as they are."""
        is_written = isinstance(data, bytes)
        is_json = (headers or {}).get("Content-Type") in _JSON
        return {
            "url": library.URL(url).copy_merge_params(params) if params else library.URL(url),
            "content": data if is_written else None,
            "json": data if is_json and not is_written else None,
            "data": None if is_json or is_written else data,
            "headers": headers,
            "auth": auth,
            "timeout": timeout,
        }

    @staticmethod
    def _failure(library: Any, error: Exception) -> NetworkError:
        unsent = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.UnsupportedProtocol)
        sent = not isinstance(error, unsent)
        kind = DeadlineError if isinstance(error, library.TimeoutException) else NetworkError
        return kind(f"Twilio did not answer: {cause_of(error)}", sent=sent)


def _fitting(chunk: bytes, body: bytearray) -> bytes:
    if len(body) + len(chunk) > MAX_REPLY:
        raise NetworkError(f"Twilio's answer has more than {MAX_REPLY} bytes", sent=True)
    return chunk


def _response(reply: Any, body: bytearray) -> Response:
    return Response(reply.status_code, body.decode(reply.encoding or "utf-8", "replace"), reply.headers)


def _too_late(seconds: float) -> DeadlineError:
    return DeadlineError(f"Twilio did not answer within {seconds:g} s", sent=True)


class TwilioHttp(_Httpx):
    """The HTTP client of a blocking `twilio.rest.Client`.

    Args:
        http_client: An `httpx.Client` of yours, which you close; one is made if left out.
        base_url: Where all requests go in place of Twilio's hosts, such as `TwilioEmulator.base_url`.
        timeout: Seconds for a whole request.
        proxy: The URL of a proxy; False for none; None for that of the environment.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        http_client: httpx.Client | None = None,
        *,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
        proxy: ProxyOption = None,
    ) -> None:
        super().__init__("Client", http_client, base_url=base_url, timeout=timeout, proxy=proxy)

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Send a request, as Twilio's package asks for it.

        Raises:
            NetworkError: No answer came; `sent` says whether Twilio may have got the request.
        """
        url, seconds = self._place(url), self._seconds(timeout)
        client, library = self._client(url)
        arguments = self._arguments(library, url, params, data, headers, auth, seconds)

        def ask() -> Response:
            with client.stream(method.upper(), follow_redirects=allow_redirects, **arguments) as reply:
                body = bytearray()
                for chunk in reply.iter_bytes():
                    body += _fitting(chunk, body)
                return _response(reply, body)

        try:
            return within(seconds + _GRACE, ask)
        except library.RequestError as error:
            raise self._failure(library, error) from error
        except TimeoutError:
            raise _too_late(seconds) from None

    def close(self) -> None:
        """Close the HTTP client, unless it is yours."""
        for client in self._http.closing():
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTwilioHttp(_Httpx):
    """The HTTP client of an async `twilio.rest.Client`: its methods that end in `_async`. One for each event loop.

    Args:
        http_client: An `httpx.AsyncClient` of yours, which you close; one is made if left out.
        base_url: Where all requests go in place of Twilio's hosts, such as `TwilioEmulator.base_url`.
        timeout: Seconds for a whole request.
        proxy: The URL of a proxy; False for none; None for that of the environment.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        http_client: httpx.AsyncClient | None = None,
        *,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
        proxy: ProxyOption = None,
    ) -> None:
        super().__init__("AsyncClient", http_client, base_url=base_url, timeout=timeout, proxy=proxy)

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is Twilio's interface
        allow_redirects: bool = False,
    ) -> Response:
        """Send a request, as Twilio's package asks for it.

        Raises:
            NetworkError: No answer came; `sent` says whether Twilio may have got the request.
            MisuseError: It belongs to another event loop, or was closed.
        """
        self._http.on_loop()
        url, seconds = self._place(url), self._seconds(timeout)
        client, library = self._client(url)
        arguments = self._arguments(library, url, params, data, headers, auth, seconds)
        deadline = asyncio.timeout(seconds)
        try:
            async with (
                deadline,
                client.stream(method.upper(), follow_redirects=allow_redirects, **arguments) as reply,
            ):
                body = bytearray()
                async for chunk in reply.aiter_bytes():
                    body += _fitting(chunk, body)
                return _response(reply, body)
        except library.RequestError as error:
            raise self._failure(library, error) from error
        except TimeoutError:
            if not deadline.expired():
                raise
            raise _too_late(seconds) from None

    async def aclose(self) -> None:
        """Close the HTTP client, unless it is yours."""
        for client in self._http.closing():
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
