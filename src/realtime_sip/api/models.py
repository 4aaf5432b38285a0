"""The models that a key may use, and when each of them ends."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic_core import from_json

from realtime_sip.api.operations import Operation, Repeat, Reply, unexpected


def shutdown_dates() -> Operation[dict[str, date | None]]:
    """Ask for all models, with the day on which each is shut down; None if none is announced.

    The service has `shutdown_date` since October 2026; another in its place may not.
    """
    return Operation("models.list", "/models", _dates, Repeat.ANY, method="GET")


def _dates(reply: Reply) -> dict[str, date | None]:
    try:
        listed: Any = from_json(reply.body)
        return {str(model["id"]): _date(model.get("shutdown_date")) for model in listed["data"]}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise unexpected(reply, "models.list: the reply does not hold a list of models") from None


def _date(value: object) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
