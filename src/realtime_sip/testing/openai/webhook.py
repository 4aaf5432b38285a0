"""Sends signed webhooks as the service does: again and again until they are taken."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import httpx

from realtime_sip._threads import Threads
from realtime_sip.api.trust import default_trust
from realtime_sip.errors import ConfigurationError
from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.openai.behavior import Timings
from realtime_sip.testing.openai.frames import Frame
from realtime_sip.testing.openai.record import WebhookResponse
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

__all__ = ["CallTarget", "Deliveries", "WebhookSender", "check_targets"]

USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
"""What the service calls itself (webhook guide)."""

_MAX_ENDPOINTS = 20
_THREADS = Threads("realtime-sip-submit", 256)


@runtime_checkable
class CallTarget(Protocol):
    """Something in this process that takes calls, as `CallHost` does."""

    def submit(self, incoming: IncomingCall, /) -> object:
        """Take a call; raise if it could not be taken, so that it is delivered again.

        Async, or blocking: then it is called in a thread.
        """
        ...


class Deliveries:
    """How the deliveries of one call went."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.responses: list[WebhookResponse] = []
        self.submissions: list[object] = []
        """What `submit` of a call target returned or raised, in the order of its ends."""


class WebhookSender:
    """Delivers webhooks to URLs, and to call targets in this process.

    Anything but 2xx within the time is repeated with growing pauses, for 72 hours; redirects are not followed
    (webhook guide). A repetition keeps its `webhook-id`; timestamp and signature are those of the attempt.

    A call target stands for a server around it: the webhook is signed, verified and parsed as one that came over HTTP,
    and an incoming call goes to `submit`. What it returns is a 2xx, an exception a 500; if it takes too long, it
    goes on, but counts as no answer.

    Deliveries to a URL that an endpoint was made for are signed with its secrets, all others with `secret`.
    """

    def __init__(
        self,
        *,
        secret: str,
        secrets_of: Callable[[str], Sequence[str]],
        context_secret: str | None,
        clock: Clock,
        timings: Timings,
    ) -> None:
        self._secret = secret
        self._secrets_of = secrets_of
        self._webhooks = OpenAIWebhooks(secret, clock=clock.unix, context_secret=context_secret)
        self._clock = clock
        self._timings = timings
        self._patience = clock.patience(timings.webhook_timeout)
        self._submitting: set[asyncio.Task[object]] = set()
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=default_trust(),
            timeout=self._patience,
            limits=httpx.Limits(max_connections=200),
        )

    async def deliver(self, target: str | CallTarget, event: Frame, *, webhook_id: str, log: Deliveries) -> None:
        """Deliver `event` to `target`, and write each attempt into `log`."""
        body = json.dumps(event).encode()
        attempt = 0
        pause = self._timings.webhook_retry
        give_up = self._clock.now() + self._timings.webhook_give_up
        while True:
            attempt += 1
            secrets = (self._secrets_of(target) if isinstance(target, str) else ()) or [self._secret]
            headers = signed(secrets, body, webhook_id=webhook_id, timestamp=self._clock.unix())
            if isinstance(target, str):
                status = await self._post(target, body, headers)
            else:
                status = await self._submit(target, body, headers, log)
            answer = WebhookResponse(
                url=target if isinstance(target, str) else None,
                type=str(event["type"]),
                webhook_id=webhook_id,
                attempt=attempt,
                status_code=status,
            )
            log.responses.append(answer)
            log.changes.notify()
            if answer.taken or self._clock.now() + pause > give_up:
                return
            await self._clock.sleep(pause)
            pause *= 2

    async def close(self) -> None:
        """Close the connections, and end what call targets are still doing."""
        tasks = list(self._submitting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int | None:
        headers = {"content-type": "application/json", "user-agent": USER_AGENT, **headers}
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except httpx.HTTPError:
            return None
        return response.status_code

    async def _submit(self, target: CallTarget, body: bytes, headers: dict[str, str], log: Deliveries) -> int | None:
        event = self._webhooks.unwrap(body, headers)
        if not isinstance(event, IncomingCall):
            return 200
        task = asyncio.get_running_loop().create_task(_submitted_to(target, event))
        self._submitting.add(task)
        task.add_done_callback(lambda done: self._submitted(done, log))
        done, _ = await asyncio.wait((task,), timeout=self._patience)
        if not done:
            return None
        return 200 if not task.cancelled() and task.exception() is None else 500

    def _submitted(self, task: asyncio.Task[object], log: Deliveries) -> None:
        self._submitting.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        log.submissions.append(task.result() if error is None else error)
        log.changes.notify()


async def _submitted_to(target: CallTarget, event: IncomingCall) -> object:
    if inspect.iscoroutinefunction(target.submit):
        return await target.submit(event)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, target.submit, event)


def signed(secrets: Sequence[str], body: bytes, *, webhook_id: str, timestamp: float) -> dict[str, str]:
    """Return the headers with which a body is sent: with a signature of each secret (Standard Webhooks)."""
    each = [OpenAIWebhooks(secret).sign(body, id=webhook_id, timestamp=timestamp) for secret in secrets]
    return {name: " ".join(dict.fromkeys(headers[name] for headers in each)) for name in each[0]}


def check_targets(target: str | CallTarget | Iterable[str | CallTarget]) -> list[str | CallTarget]:
    """Return the URLs and call targets that are meant.

    Raises:
        ConfigurationError: The targets are missing, too many, or not all targets.
    """
    targets = list(target) if isinstance(target, Iterable) and not isinstance(target, str) else [target]
    if not 1 <= len(targets) <= _MAX_ENDPOINTS:
        raise ConfigurationError(f"ring needs the URL of your webhook endpoint, or of up to {_MAX_ENDPOINTS}")
    for each in targets:
        if isinstance(each, CallTarget):
            continue
        if not isinstance(each, str) or urlsplit(each).scheme not in ("http", "https"):
            raise ConfigurationError(
                "the target must be the http or https URL of your webhook endpoint, or an object with submit"
            )
    return targets
