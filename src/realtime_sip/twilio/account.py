"""A Twilio account over its REST API, blocking and async: what provisions trunks and numbers, and places calls.

account = TwilioAccount()  # TWILIO_ACCOUNT_SID, TWILIO_API_KEY and TWILIO_API_SECRET, or TWILIO_AUTH_TOKEN
print(account.trunks.plan(trunking.for_openai("proj_abc123", numbers=["+14155550199"])))
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from realtime_sip._redaction import miscopied
from realtime_sip.api.operations import Failure, Pause, Reply, Request, exchange
from realtime_sip.api.proxies import ProxyOption
from realtime_sip.api.transport import drive, drive_async
from realtime_sip.errors import ConfigurationError, DeadlineError, NetworkError, RealtimeSipError
from realtime_sip.twilio.calls import AsyncCalls, CallFace, Calls
from realtime_sip.twilio.http import AsyncTwilioHttp, TwilioHttp
from realtime_sip.twilio.numbers import AsyncNumbers, NumberFace, Numbers
from realtime_sip.twilio.operations import ACCOUNT_SID, Steps
from realtime_sip.twilio.trunking import AsyncTrunks, TrunkFace, Trunks
from realtime_sip.twilio.whatsapp import AsyncWhatsApp, WhatsApp, WhatsAppFace

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncTwilioAccount", "TwilioAccount"]

T = TypeVar("T")
_ACCOUNT, _KEY = re.compile("AC[0-9a-f]{32}"), re.compile("SK[0-9a-f]{32}")
_Http = TypeVar("_Http", TwilioHttp, AsyncTwilioHttp)

TIMEOUT = 15.0
"""Seconds for one request with all its repeats."""


class _Account(Generic[_Http]):
    """What both have: who asks, and what a request looks like to the HTTP client."""

    def __init__(
        self, http: _Http, timeout: float, account_sid: str | None, auth_token: str | None, api_key: object
    ) -> None:
        self.sid, user, secret = _credentials(account_sid, auth_token, api_key)
        """The account's SID."""
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}
        self._http: _Http = http
        self._timeout = float(timeout)

    def _arguments(self, request: Request) -> dict[str, Any]:
        return {
            "method": request.method,
            "url": request.path.replace(ACCOUNT_SID, self.sid),
            "data": request.content or None,
            "headers": {**request.headers, **self._headers},
            "timeout": request.timeout,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sid})"


def _credentials(account_sid: str | None, auth_token: str | None, api_key: object) -> tuple[str, str, str]:
    """Return the account's SID, and user and secret of its requests."""
    sid = account_sid or os.environ.get("TWILIO_ACCOUNT_SID")
    if not isinstance(sid, str) or not _ACCOUNT.fullmatch(sid):
        raise ConfigurationError("no account: pass account_sid, AC and 32 digits, or set TWILIO_ACCOUNT_SID")
    if api_key is None and auth_token is None:
        named = os.environ.get("TWILIO_API_KEY"), os.environ.get("TWILIO_API_SECRET")
        api_key = named if all(named) else None
        auth_token = os.environ.get("TWILIO_AUTH_TOKEN")
    if api_key is None:
        return sid, sid, _checked_secret(auth_token, "auth_token")
    match api_key:
        case (str(key), secret) if _KEY.fullmatch(key):
            return sid, key, _checked_secret(secret, "the secret of the API key")
    raise ConfigurationError("api_key must be the SID of an API key, SK and 32 digits, and its secret")


def _checked_secret(secret: object, what: str) -> str:
    if not isinstance(secret, str) or not secret:
        raise ConfigurationError(
            "no credentials: pass api_key or auth_token, or set TWILIO_API_KEY and TWILIO_API_SECRET, or "
            "TWILIO_AUTH_TOKEN"
        )
    wrong = miscopied(secret)
    if wrong is not None:
        raise ConfigurationError(f"{what} {wrong}")
    if not secret.isascii():
        raise ConfigurationError(f"{what} must be ASCII text: copy it again")
    return secret


def _reply(response: Any) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.text.encode())


def _failure(error: NetworkError) -> Failure:
    return Failure(str(error), sent=error.sent, timed_out=isinstance(error, DeadlineError), cause=error.__cause__)


class TwilioAccount(_Account[TwilioHttp]):
    """A Twilio account, blocking. It can be shared between threads.

    Args:
        account_sid: The account; that of `TWILIO_ACCOUNT_SID` if left out.
        auth_token: The account's token; that of `TWILIO_AUTH_TOKEN` if left out.
        api_key: SID and secret of an API key, which is used in place of the token; those of `TWILIO_API_KEY` and
            `TWILIO_API_SECRET` if both are left out.
        base_url: Where all requests go in place of Twilio's hosts, such as `TwilioEmulator.base_url`.
        timeout: Seconds for one request with all its repeats.
        proxy: The URL of a proxy; False for none; None for that of the environment.
        http_client: An `httpx.Client` of yours, which you close; one is made if left out.

    Raises:
        ConfigurationError: There is no account, no token or key, or a value makes no sense.
    """

    def __init__(
        self,
        account_sid: str | None = None,
        auth_token: str | None = None,
        *,
        api_key: tuple[str, str] | None = None,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
        proxy: ProxyOption = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        http = TwilioHttp(http_client, base_url=base_url, timeout=timeout, proxy=proxy)
        super().__init__(http, timeout, account_sid, auth_token, api_key)
        self.trunks: Trunks = TrunkFace(self.run)
        """Elastic SIP trunks."""
        self.numbers: Numbers = NumberFace(self.run)
        """Phone numbers."""
        self.whatsapp: WhatsApp = WhatsAppFace(self.run)
        """WhatsApp senders, and calls to WhatsApp users."""
        self.calls: Calls = CallFace(self.run)
        """Calls to phones, and what is done with a call that was placed."""

    def run(self, steps: Steps[T]) -> T:
        """Carry out what a generator asks for, and return what it returns.

        Raises:
            NetworkError, ServiceError: Whatever the generator lets through.
        """
        outcome: object = None
        error: RealtimeSipError | None = None
        while True:
            try:
                step = steps.send(outcome) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            outcome = error = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                outcome = drive(exchange(step, deadline=self._timeout, clock=time.monotonic), self._send)
            except RealtimeSipError as raised:
                error = raised

    def _send(self, request: Request) -> Reply | Failure:
        try:
            return _reply(self._http.request(**self._arguments(request)))
        except NetworkError as error:
            return _failure(error)

    def close(self) -> None:
        """Close the HTTP client, unless it is yours."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncTwilioAccount(_Account[AsyncTwilioHttp]):
    """A Twilio account, async. It belongs to the event loop that uses it first; its arguments are `TwilioAccount`'s.

    Args:
        http_client: An `httpx.AsyncClient` of yours, which you close; one is made if left out.

    Raises:
        ConfigurationError: There is no account, no token or key, or a value makes no sense.
    """

    def __init__(
        self,
        account_sid: str | None = None,
        auth_token: str | None = None,
        *,
        api_key: tuple[str, str] | None = None,
        base_url: str | None = None,
        timeout: float = TIMEOUT,
        proxy: ProxyOption = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        http = AsyncTwilioHttp(http_client, base_url=base_url, timeout=timeout, proxy=proxy)
        super().__init__(http, timeout, account_sid, auth_token, api_key)
        self.trunks: AsyncTrunks = TrunkFace(self.run)
        """Elastic SIP trunks."""
        self.numbers: AsyncNumbers = NumberFace(self.run)
        """Phone numbers."""
        self.whatsapp: AsyncWhatsApp = WhatsAppFace(self.run)
        """WhatsApp senders, and calls to WhatsApp users."""
        self.calls: AsyncCalls = CallFace(self.run)
        """Calls to phones, and what is done with a call that was placed."""

    async def run(self, steps: Steps[T]) -> T:
        """Carry out what a generator asks for, and return what it returns.

        Raises:
            MisuseError: It belongs to another event loop, or was closed.
            NetworkError, ServiceError: Whatever the generator lets through.
        """
        clock = asyncio.get_running_loop().time
        outcome: object = None
        error: RealtimeSipError | None = None
        while True:
            try:
                step = steps.send(outcome) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            outcome = error = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                outcome = await drive_async(exchange(step, deadline=self._timeout, clock=clock), self._send)
            except RealtimeSipError as raised:
                error = raised

    async def _send(self, request: Request) -> Reply | Failure:
        try:
            return _reply(await self._http.request(**self._arguments(request)))
        except NetworkError as error:
            return _failure(error)

    async def close(self) -> None:
        """Close the HTTP client, unless it is yours."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
