"""Webhooks in a web framework: `realtime_sip.integrations.fastapi`, `.flask` and `.django`, each with its own extra.

Each translates requests and responses of its framework. What a request means is decided in one place, which they share.
"""

from __future__ import annotations

__all__: list[str] = []
