"""A webhook that somebody else has signed, which a server has to refuse."""

from __future__ import annotations

import time

from realtime_sip.webhooks import OpenAIWebhooks

__all__ = ["forged_by_openai"]


def forged_by_openai() -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a webhook that somebody else has signed."""
    body = b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_forged", "sip_headers": []}}'
    return body, OpenAIWebhooks("somebody else's secret").sign(body, id="wh_forged", timestamp=int(time.time()))
