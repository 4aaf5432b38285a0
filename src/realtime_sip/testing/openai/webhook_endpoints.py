"""The emulated management of webhook endpoints: `/v1/webhook_endpoints`."""

from __future__ import annotations

import base64
import json
import math
import secrets
from typing import Any
from urllib.parse import urlsplit

import httpx

from realtime_sip.api.trust import default_trust
from realtime_sip.testing.clock import Clock
from realtime_sip.testing.openai.frames import Frame, Ids, Refusal
from realtime_sip.testing.openai.server import Reply, Request
from realtime_sip.testing.openai.webhook import USER_AGENT, signed

__all__ = ["EndpointsApi"]

_MAX_ENDPOINTS = 100
_TEST_TIMEOUT = 10.0
_KEPT_ACTIVE = 24 * 3600.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class EndpointsApi:
    """Keeps the endpoints of one project.

    Known are the requests and the shapes of replies (the vendor's package, November 2026). How bad input is worded,
    that a test whose delivery fails is answered with 400, and that an old secret which is kept active signs beside the
    new one (as Standard Webhooks has it) are guesses. Unlike the service it takes http URLs of this
    machine, so that a test delivery can reach a server under test.
    """

    def __init__(self, *, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._endpoints: dict[str, Frame] = {}
        self._secrets: dict[str, list[tuple[str, float]]] = {}
        """Those of each endpoint, the newest first, and until when they sign."""

    async def handle(self, request: Request, body: Any) -> Reply:
        """Answer a request; a `Refusal` is its answer too."""
        rest = request.path.removeprefix("/v1/webhook_endpoints").strip("/").split("/")
        match request.method, rest:
            case "POST", [""]:
                return self._create(body)
            case "GET", [""]:
                return self._list(request)
            case "GET", [endpoint_id]:
                return Reply.of_json(self._known(endpoint_id))
            case "POST", [endpoint_id]:
                return self._update(self._known(endpoint_id), body)
            case "DELETE", [endpoint_id]:
                self._known(endpoint_id)
                del self._endpoints[endpoint_id], self._secrets[endpoint_id]
                return Reply.of_json({"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True})
            case "POST", [endpoint_id, "rotate_secret"]:
                endpoint = self._known(endpoint_id)
                given = _object(body, ("keep_old_secret_active_for_24_hours",))
                endpoint["updated_at"] = int(self._clock.unix())
                return self._with_new_secret(endpoint, keep=given.get("keep_old_secret_active_for_24_hours") is True)
            case "POST", [endpoint_id, "test"]:
                return await self._test(self._known(endpoint_id), body)
        raise Refusal("Method not allowed.", code="method_not_supported")

    def secrets_of(self, url: str) -> list[str]:
        """Return what deliveries to a URL are signed with, if an endpoint was made for it: the newest first."""
        endpoint_id = next((each["id"] for each in self._endpoints.values() if each["url"] == url), None)
        return [] if endpoint_id is None else self._active(endpoint_id)

    def _active(self, endpoint_id: str) -> list[str]:
        return [secret for secret, until in self._secrets[endpoint_id] if self._clock.unix() < until]

    def _known(self, endpoint_id: str) -> Frame:
        if endpoint_id not in self._endpoints:
            raise Refusal("No webhook endpoint found with this id.", code="not_found", param="webhook_endpoint_id")
        return self._endpoints[endpoint_id]

    def _create(self, body: Any) -> Reply:
        given = _object(body, ("name", "url", "event_types"))
        for name in ("name", "url", "event_types"):
            if name not in given:
                raise Refusal(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
        _check(given)
        if len(self._endpoints) >= _MAX_ENDPOINTS:
            raise Refusal("Too many webhook endpoints.", code="limit_exceeded")
        now = int(self._clock.unix())
        endpoint = {
            "id": self._ids("wep"),
            "object": "webhook_endpoint",
            **given,
            "created_at": now,
            "updated_at": now,
        }
        self._endpoints[endpoint["id"]] = endpoint
        return self._with_new_secret(endpoint)

    def _with_new_secret(self, endpoint: Frame, *, keep: bool = False) -> Reply:
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        until = self._clock.unix() + _KEPT_ACTIVE
        kept = [(old, min(end, until)) for old, end in self._secrets.get(endpoint["id"], ()) if keep]
        self._secrets[endpoint["id"]] = [(secret, math.inf), *kept]
        endpoint["signing_secret_hint"] = f"whsec_...{secret[-4:]}"
        return Reply.of_json({**endpoint, "signing_secret": secret})

    def _list(self, request: Request) -> Reply:
        limit = request.query.get("limit", "20")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _MAX_ENDPOINTS:
            raise Refusal("Invalid 'limit': expected 1 to 100.", code="invalid_value", param="limit")
        known, after = list(self._endpoints), request.query.get("after")
        if after is not None and after not in known:
            raise Refusal("Invalid 'after'.", code="invalid_value", param="after")
        begin = 0 if after is None else known.index(after) + 1
        shown = known[begin : begin + int(limit)]
        return Reply.of_json(
            {
                "object": "list",
                "data": [self._endpoints[each] for each in shown],
                "first_id": shown[0] if shown else None,
                "last_id": shown[-1] if shown else None,
                "has_more": begin + len(shown) < len(known),
            }
        )

    def _update(self, endpoint: Frame, body: Any) -> Reply:
        given = _object(body, ("name", "url", "event_types"))
        _check(given)
        if any(endpoint[name] != value for name, value in given.items()):
            endpoint.update(given, updated_at=int(self._clock.unix()))
        return Reply.of_json(endpoint)

    async def _test(self, endpoint: Frame, body: Any) -> Reply:
        kind = _object(body, ("event_type",)).get("event_type")
        if not isinstance(kind, str) or not kind:
            raise Refusal("Missing required parameter: 'event_type'.", code="missing_required_parameter")
        data = {"call_id": self._ids("rtc_sample"), "sip_headers": []} if kind == "realtime.call.incoming" else {}
        now = self._clock.unix()
        event = {"id": self._ids("evt"), "object": "event", "created_at": int(now), "type": kind, "data": data}
        content = json.dumps(event).encode()
        headers = signed(self._active(endpoint["id"]), content, webhook_id=self._ids("wh"), timestamp=now)
        try:
            async with httpx.AsyncClient(trust_env=False, verify=default_trust(), timeout=_TEST_TIMEOUT) as client:
                answer = await client.post(
                    endpoint["url"],
                    content=content,
                    headers={"content-type": "application/json", "user-agent": USER_AGENT, **headers},
                )
        except httpx.HTTPError:
            raise Refusal("The webhook endpoint could not be reached.", code="webhook_delivery_failed") from None
        return Reply.of_json(
            {
                "object": "webhook_endpoint.test",
                "webhook_endpoint_id": endpoint["id"],
                "event_type": kind,
                "status_code": answer.status_code,
                "success": True,
            }
        )


def _object(body: Any, allowed: tuple[str, ...]) -> Frame:
    given = {} if body is None else body
    if not isinstance(given, dict):
        raise Refusal("The body must be a JSON object.", code="invalid_type")
    for name in given:
        if name not in allowed:
            raise Refusal(f"Unknown parameter: '{str(name)[:80]}'.", code="unknown_parameter", param=str(name)[:80])
    return given


def _check(given: Frame) -> None:
    name, url, types = given.get("name", "x"), given.get("url"), given.get("event_types", ["x"])
    if not isinstance(name, str) or not 0 < len(name) <= 256:
        raise Refusal("Invalid 'name'.", code="invalid_value", param="name")
    if not isinstance(types, list) or not types or not all(isinstance(each, str) for each in types):
        raise Refusal(
            "Invalid 'event_types': expected a list of event types.", code="invalid_type", param="event_types"
        )
    if url is not None and not _is_deliverable(url):
        raise Refusal("Invalid 'url': expected an HTTPS URL.", code="invalid_value", param="url")


def _is_deliverable(url: object) -> bool:
    if not isinstance(url, str) or len(url) > 2048:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )
