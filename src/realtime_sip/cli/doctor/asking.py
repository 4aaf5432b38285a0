"""What leaves the machine: requests to a URL, to OpenAI and to Twilio, each with a deadline. No verdict is here."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TypeVar

import certifi
import httpx

from realtime_sip.api.causes import cause_of, is_of_tls
from realtime_sip.api.proxies import proxy_to
from realtime_sip.api.settings import USER_AGENT
from realtime_sip.api.transport import within
from realtime_sip.cli.doctor.answer import Answer, Delivery
from realtime_sip.cli.doctor.finding import scrubbed
from realtime_sip.errors import ConfigurationError

__all__ = ["ask_all"]

T = TypeVar("T")

_MAX_TEXT = 20_000
_GRACE = 0.5


def ask_all(steps: Generator[Delivery, Answer, T], *, timeout: float, secrets: Sequence[str] = ()) -> T:
    """Send what a generator yields, each within `timeout` seconds, and return what it returns.

    Args:
        steps: What is sent, and gets the answers.
        timeout: Seconds for each.
        secrets: What is taken out of answers before anything of them is cut off or shown.
    """
    answer: Answer | None = None
    while True:
        try:
            delivery = next(steps) if answer is None else steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        came = _within(delivery, timeout)
        headers = {name: scrubbed(value, secrets) for name, value in came.headers.items()}
        answer = replace(came, text=scrubbed(came.text, secrets), headers=headers)


@cache
def _trusted() -> ssl.SSLContext:
    # Public authorities, as OpenAI and Twilio trust them, whatever this machine trusts beside them.
    return ssl.create_default_context(cafile=certifi.where())


def _within(delivery: Delivery, timeout: float) -> Answer:
    """Post a delivery, and return how it was answered. No redirect is followed."""
    began = time.monotonic()
    try:
        # The time of each phase begins anew with each byte; nothing else bounds their sum.
        return within(timeout + _GRACE, lambda: _post(delivery, timeout))
    except TimeoutError:
        return Answer(failure="timeout", cause="the answer does not end", seconds=time.monotonic() - began)


def _post(delivery: Delivery, timeout: float) -> Answer:
    began = time.monotonic()
    try:
        proxy = proxy_to(delivery.url, None, trust_env=True)
    except ConfigurationError as error:
        return Answer(failure="proxy", cause=str(error))
    through = None if proxy is None else proxy.replace("socks5h:", "socks5:", 1)
    try:
        with (
            httpx.Client(verify=_trusted(), timeout=timeout, proxy=through, trust_env=False) as http,
            http.stream(
                "POST", delivery.url, content=delivery.body, headers={"user-agent": USER_AGENT, **delivery.headers}
            ) as response,
        ):
            text = bytearray()
            with suppress(httpx.TimeoutException):
                for chunk in response.iter_bytes():
                    text += chunk
                    if len(text) > _MAX_TEXT:
                        break
            return Answer(
                status=response.status_code,
                headers={name.lower(): value for name, value in response.headers.items()},
                text=bytes(text[:_MAX_TEXT]).decode("utf-8", "replace"),
                seconds=time.monotonic() - began,
            )
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, ValueError) as error:
        return _failed(error, time.monotonic() - began, proxied=proxy is not None)


def _failed(error: Exception, seconds: float, *, proxied: bool) -> Answer:
    cause = cause_of(error)
    if isinstance(error, httpx.ProxyError):
        return Answer(failure="proxy", cause=f"it refuses ({cause})", seconds=seconds)
    if is_of_tls(error):
        return Answer(failure="tls", cause=cause, seconds=seconds)
    if proxied and isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return Answer(failure="proxy", cause=f"it cannot be reached ({cause})", seconds=seconds)
    if isinstance(error, httpx.ConnectTimeout):
        return Answer(failure="unconnected", cause=cause, seconds=seconds)
    if isinstance(error, httpx.TimeoutException):
        return Answer(failure="timeout", cause=cause, seconds=seconds)
    if "DNS" in cause:
        return Answer(failure="dns", cause=cause, seconds=seconds)
    if "refused" in cause or isinstance(error, httpx.ConnectError):
        return Answer(failure="refused", cause=cause, seconds=seconds)
    if isinstance(error, httpx.RemoteProtocolError):
        cause = "what answers is not HTTP, or ends too early"
    elif isinstance(error, httpx.DecodingError):
        cause = "the answer cannot be decompressed"
    return Answer(failure="broken", cause=cause, seconds=seconds)
