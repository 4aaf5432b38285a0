"""How the emulated REST API answers: pages of lists in Twilio's two shapes, and refusals."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.twilio.record import TwilioRefusal

__all__ = ["matching", "meta_page", "not_found", "page", "refused", "seconds"]


def refused(refusal: TwilioRefusal) -> Reply:
    """Return a refusal as an error body."""
    code = refusal.code or 20001
    body = {
        "code": code,
        "message": refusal.message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": refusal.status,
    }
    return Reply.of_json(body, status=refusal.status)


def not_found(path: str) -> TwilioRefusal:
    """Return that there is no such resource."""
    return TwilioRefusal(20404, f"The requested resource {path[:200]} was not found", status=404)


def matching(found: list[dict[str, Any]], wanted: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return the resources that have these fields; None stands for any value."""
    return [each for each in found if all(value is None or each[name] == value for name, value in wanted.items())]


def page(name: str, found: list[dict[str, Any]], request: Request) -> Reply:
    """Return a page of a list as `api.twilio.com` shows it."""
    shown, number, size, uri = _page(found, request)
    more = len(found) > (number + 1) * size
    return Reply.of_json(
        {
            name: shown,
            "page": number,
            "page_size": size,
            "start": number * size,
            "end": number * size + len(shown) - 1 if shown else 0,
            "uri": f"{uri}{number}",
            "first_page_uri": f"{uri}0",
            "previous_page_uri": f"{uri}{number - 1}" if number else None,
            "next_page_uri": f"{uri}{number + 1}" if more else None,
        }
    )


def meta_page(name: str, found: list[dict[str, Any]], request: Request, host: str) -> Reply:
    """Return a page of a list as the newer APIs show it: whole URLs, of Twilio's own host."""
    shown, number, size, uri = _page(found, request)
    more = len(found) > (number + 1) * size
    url = f"https://{host}{uri}"
    meta = {
        "page": number,
        "page_size": size,
        "first_page_url": f"{url}0",
        "previous_page_url": f"{url}{number - 1}" if number else None,
        "url": f"{url}{number}",
        "next_page_url": f"{url}{number + 1}" if more else None,
        "key": name,
    }
    return Reply.of_json({name: shown, "meta": meta})


def _page(found: list[dict[str, Any]], request: Request) -> tuple[list[dict[str, Any]], int, int, str]:
    size = max(1, min(1000, int(seconds(request.query.get("PageSize"), 50))))
    number = int(seconds(request.query.get("Page"), 0))
    query = urlencode({key: value for key, value in request.query.items() if key not in ("Page", "PageSize")})
    uri = f"{request.path}?{query}{'&' if query else ''}PageSize={size}&Page="
    return found[number * size : (number + 1) * size], number, size, uri


def seconds(text: str | None, default: float) -> float:
    """Return a number that a request has, or the default."""
    return float(text) if text is not None and text.isdecimal() else default
