"""Requests URLs of the program as Twilio does: signed forms, with its timeouts, its retry, its redirects."""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urljoin, urlsplit, urlunsplit

import httpx

from realtime_sip.api.trust import default_trust
from realtime_sip.testing.clock import Clock
from realtime_sip.testing.twilio.behavior import TwilioBehavior, TwilioTimings
from realtime_sip.testing.twilio.record import RequestKind, TwilioRefusal, TwilioRequest
from realtime_sip.testing.twilio.signing import signature
from realtime_sip.testing.twilio.twiml import Document, parse

__all__ = ["Courier", "new_sid"]

_MAX_HOPS = 10
_FOLLOWED = {301, 302, 303, 307}
_XML = {"text/xml", "application/xml", "application/rss+xml", "application/rdf+xml"}


def new_sid(kind: str) -> str:
    """Return a new SID, as `CA…` for `kind="CA"`."""
    return kind + secrets.token_hex(16)


class Courier:
    """Sends the requests of all calls, and keeps them in `requests`, in order of their answers."""

    def __init__(
        self,
        *,
        auth_token: str,
        shared_key: tuple[str, str] | None,
        clock: Clock,
        timings: TwilioTimings,
        behavior: TwilioBehavior,
        tunnels: Mapping[str, str],
        changed: Callable[[], None],
    ) -> None:
        self.requests: list[TwilioRequest] = []
        self._auth_token = auth_token
        self._shared_key = shared_key
        self._clock = clock
        self._timings = timings
        self._behavior = behavior
        self._tunnels = {public.rstrip("/"): local.rstrip("/") for public, local in tunnels.items()}
        self._changed = changed
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=default_trust(),
            limits=httpx.Limits(max_connections=200),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def document(
        self,
        kind: RequestKind,
        url: str,
        params: Mapping[str, str],
        *,
        method: str = "POST",
        log: list[TwilioRequest],
    ) -> Document:
        """Request TwiML.

        Raises:
            TwilioRefusal: There was no answer (11205), it is no 2xx (11200), it redirects in a way that is not followed
                (11216), or it is no TwiML (12300, 12100).
        """
        if not self.reaches(url):
            raise TwilioRefusal(None, "the URL is not on this machine, and no tunnel leads there")
        response = await self.request(kind, url, params, method=method, log=log)
        if response is None:
            raise TwilioRefusal(11205, "the URL could not be connected to, or did not answer in time")
        status = response.status_code
        if 300 <= status < 400:
            raise TwilioRefusal(11216, f"a redirect with {status} is not followed, or there are too many")
        if not 200 <= status < 300:
            raise TwilioRefusal(11200, f"the URL answered {status}")
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not response.content.strip() and status == 204:
            return Document((), url=log[-1].url)
        if content_type not in _XML and not (content_type == "text/html" and self._behavior.answer_to_html == "taken"):
            raise TwilioRefusal(12300, f"the answer is of the type {content_type[:40] or 'none'}, not text/xml")
        return parse(response.content, url=log[-1].url)

    def reaches(self, url: str) -> bool:
        """Whether a URL is on this machine, or a tunnel leads there: nothing else is requested, whatever TwiML says."""
        if self._through(url)[1]:
            return True
        host = urlsplit(url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    async def request(
        self,
        kind: RequestKind,
        url: str,
        params: Mapping[str, str],
        *,
        method: str = "POST",
        log: list[TwilioRequest],
    ) -> httpx.Response | None:
        """Request a URL with the parameters, and return the last answer; None if none came, or if it is elsewhere."""
        parts = urlsplit(url)
        overrides = parse_qs(parts.fragment)
        retries = _whole(overrides, "rc", self._behavior.webhook_retries)
        seconds = _whole(overrides, "rt", int(self._timings.webhook * 1000)) / 1000
        url = urlunsplit(parts._replace(fragment=""))
        token = str(uuid.uuid4())
        response: httpx.Response | None = None
        for _ in range(_MAX_HOPS):
            response = None
            for _ in range(1 + retries if self.reaches(url) else 0):
                response = await self._attempt(kind, url, params, method, seconds, token, log)
                if response is not None:
                    break
            if response is None or response.status_code not in _FOLLOWED or not response.headers.get("location"):
                return response
            url = urljoin(url, response.headers["location"])
            if response.status_code != 307:
                method = "GET"  # as browsers do; whether Twilio does is not stated
        return response

    async def _attempt(
        self,
        kind: RequestKind,
        url: str,
        params: Mapping[str, str],
        method: str,
        seconds: float,
        token: str,
        log: list[TwilioRequest],
    ) -> httpx.Response | None:
        headers = {
            "user-agent": "TwilioProxy/1.1",
            "accept": "*/*",
            "i-twilio-idempotency-token": token,
            "x-home-region": "us1",
        }
        content: str | None = None
        form: list[tuple[str, str]] = []
        if method == "GET":
            # Twilio's own parameters come behind those of the URL, with "+" for a space.
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote_plus) if params else ""
        else:
            headers["content-type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            form = list(params.items())
            content = urlencode(form, quote_via=quote_plus)
        url = str(httpx.URL(url))  # as it is written on the wire
        if self._shared_key is None:
            headers["x-twilio-signature"] = signature(self._auth_token, url, form)
        else:
            key, secret = self._shared_key
            headers["x-twilio-signature"] = signature(secret, url, form, algorithm="sha256")
            headers["x-twilio-webhooks-signature-settings"] = f"key={key},algorithm=HMAC_SHA256"
        reached, through = self._through(url)
        response: httpx.Response | None
        try:
            response = await self._client.request(
                method, reached, content=content, headers={**headers, **through}, timeout=self._clock.patience(seconds)
            )
        except (httpx.HTTPError, httpx.InvalidURL):
            response = None
        seen = TwilioRequest(
            kind=kind,
            call_sid=params.get("CallSid"),
            method=method,
            url=url,
            params=dict(params),
            headers=headers,
            status_code=None if response is None else response.status_code,
            reply="" if response is None else response.text,
            at=self._clock.now(),
        )
        self.requests.append(seen)
        log.append(seen)
        self._changed()
        return response

    def _through(self, url: str) -> tuple[str, dict[str, str]]:
        """Return where a URL is reached, and what a tunnel adds to the request."""
        for public, local in self._tunnels.items():
            if url == public or url.startswith((public + "/", public + "?")):
                parts = urlsplit(public)
                added = {"host": parts.netloc, "x-forwarded-host": parts.netloc, "x-forwarded-proto": parts.scheme}
                return local + url.removeprefix(public), added
        return url, {}


def _whole(overrides: Mapping[str, list[str]], name: str, default: int) -> int:
    values: list[Any] = overrides.get(name, [])
    return int(values[0]) if values and str(values[0]).isdecimal() else default
