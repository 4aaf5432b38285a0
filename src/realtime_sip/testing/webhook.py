"""Sends signed webhooks as the service does: again and again until they are taken."""

from __future__ import annotations

import time

import httpx

from realtime_sip.testing.behaviour import Timings
from realtime_sip.testing.clock import Changes, Clock
from realtime_sip.testing.record import WebhookResponse
from realtime_sip.webhooks import OpenAIWebhooks

__all__ = ["WebhookSender"]

USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
"""What the service calls itself (webhook guide)."""


class WebhookSender:
    """Delivers webhooks.

    Anything but 2xx within the time is repeated with growing pauses, for 72 hours; redirects are not followed
    (webhook guide). A repetition keeps its `webhook-id`; timestamp and signature are those of the attempt.
    """

    def __init__(self, *, secret: str, clock: Clock, timings: Timings) -> None:
        self._webhooks = OpenAIWebhooks(secret)
        self._clock = clock
        self._timings = timings
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=clock.patience(timings.webhook_timeout),
            limits=httpx.Limits(max_connections=200),
        )

    async def deliver(
        self, url: str, body: bytes, *, webhook_id: str, log: list[WebhookResponse], changes: Changes
    ) -> None:
        """Deliver `body` to `url`, and write each attempt into `log`."""
        attempt = 0
        pause = self._timings.webhook_retry
        give_up = self._clock.now() + self._timings.webhook_give_up
        while True:
            attempt += 1
            status = await self._post(url, body, webhook_id)
            answer = WebhookResponse(url=url, webhook_id=webhook_id, attempt=attempt, status_code=status)
            log.append(answer)
            changes.notify()
            if answer.taken or self._clock.now() + pause > give_up:
                return
            await self._clock.sleep(pause)
            pause *= 2

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, url: str, body: bytes, webhook_id: str) -> int | None:
        headers = {"content-type": "application/json", "user-agent": USER_AGENT}
        headers |= self._webhooks.sign(body, id=webhook_id, timestamp=time.time())
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except httpx.HTTPError:
            return None
        return response.status_code
