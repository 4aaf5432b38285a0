"""The emulated calls API: which request is answered how. The state of a call is in `EmulatedCall`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from realtime_sip import beta
from realtime_sip.testing.clock import Clock
from realtime_sip.testing.openai.call import CallState, EmulatedCall, EndedBy
from realtime_sip.testing.openai.frames import Frame, Ids, Refusal, error_event, error_reply, not_found
from realtime_sip.testing.openai.models import models, said_by_all
from realtime_sip.testing.openai.record import MAX_RECORDED, RecordedRequest
from realtime_sip.testing.openai.sdp import answer_to, offer_and_session
from realtime_sip.testing.openai.server import Answer, Reply, Request, Silence, Upgrade
from realtime_sip.testing.openai.session import EmulatedSession, check_session, note_formats
from realtime_sip.testing.openai.webhook_endpoints import EndpointsApi
from realtime_sip.testing.openai.websocket import WebSocket
from realtime_sip.testing.reply_faults import Operation, ReplyFault, ReplyFaults

__all__ = ["CallsApi"]

_ON_CALLS: dict[str, Operation] = {"accept": "accept", "reject": "reject", "refer": "refer", "hangup": "hangup"}
_BETA = Refusal(
    "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.", code=beta.DISABLED
)
_MAX_SECRETS = 1000
_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "POST"),
    ("access-control-allow-headers", "authorization, content-type"),
    ("access-control-expose-headers", "location"),
)
_METHODS = {"attach": "GET", "connect": "GET", "models": "GET"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:\S{1,2000}")


class CallsApi:
    """Answers requests to `/v1/realtime…`, `/v1/webhook_endpoints…` and `/v1/models`."""

    def __init__(
        self,
        *,
        api_key: str,
        ids: Ids,
        clock: Clock,
        calls: dict[str, EmulatedCall],
        new_call: Callable[[], EmulatedCall],
        connect: Callable[[Frame, str | None], Upgrade],
    ) -> None:
        self.faults = ReplyFaults()
        self.requests: list[RecordedRequest] = []
        self._api_key = api_key
        self._ids = ids
        self._clock = clock
        self._calls = calls
        self._new_call = new_call
        self._connect = connect
        self._endpoints = EndpointsApi(ids=ids, clock=clock)
        self._ephemeral: dict[str, tuple[int, Frame]] = {}
        self._outages: list[tuple[float, ReplyFault, frozenset[Operation]]] = []

    def secrets_of(self, url: str) -> list[str]:
        """Return what deliveries to a URL are signed with, if an endpoint was made for it: the newest first."""
        return self._endpoints.secrets_of(url)

    async def handle(self, request: Request) -> Answer:
        """Answer one request, and record it."""
        if request.method == "OPTIONS":
            return _for_pages(Reply(status=204))
        operation, call_id = _route(request)
        body = _json(request.body)
        answer = await self._answer(request, operation, call_id, body)
        if isinstance(answer, Reply):
            answer = replace(answer, headers=(*answer.headers, *said_by_all(self._clock.unix())))
        if request.header("origin"):
            answer = _for_pages(answer)
        status = answer.status if isinstance(answer, Reply) else 101 if isinstance(answer, Upgrade) else None
        seen = RecordedRequest(
            operation=operation or "unknown",
            path=request.path,
            status=status,
            call_id=call_id,
            body=body,
            refusal=_message(answer),
        )
        call = self._calls.get(call_id or "")
        for where in (self.requests, None if call is None else call.requests):
            if where is not None and len(where) < MAX_RECORDED:
                where.append(seen)
        if call is not None:
            call.changes.notify()
        return answer

    async def _answer(self, request: Request, operation: str | None, call_id: str | None, body: Any) -> Answer:
        if _is_beta(request):
            return error_reply(_BETA)
        if operation is None:
            refusal = Refusal(f"Unknown request URL: {request.method} {request.path[:200]}.", code="unknown_url")
            return error_reply(refusal, status=404)
        denied = self._denied(request, operation)
        if denied is not None:
            return denied
        if operation != "webhook_endpoints" and request.method != _METHODS.get(operation, "POST"):
            return error_reply(Refusal("Method not allowed.", code="method_not_supported"), status=405)
        if request.header(beta.HEADER.lower()):
            # A socket is opened, told, and closed with 4000 (field reports, 2026).
            return Upgrade(self._refuse_beta) if request.upgrades else error_reply(_BETA)
        if operation == "connect":
            return self._primary(request)
        fault = self._fault(operation, self._calls.get(call_id or ""))  # type: ignore[arg-type]
        if fault is not None and not fault.acted:
            return _failed(fault)
        answer = await self._act(request, operation, call_id, body)
        return answer if fault is None else _failed(fault)

    def outage(self, seconds: float, fault: ReplyFault, operations: frozenset[Operation]) -> None:
        """Let all requests for these operations fail for so many seconds from now on."""
        self._outages.append((self._clock.now() + seconds, fault, operations))

    def _fault(self, operation: Operation, call: EmulatedCall | None) -> ReplyFault | None:
        """Return how the request fails; one that an outage swallows counts for no other fault."""
        self._outages = [outage for outage in self._outages if self._clock.now() < outage[0]]
        for _, fault, operations in self._outages:
            if operation in operations:
                return fault
        own = None if call is None else call.reply_faults.take(operation)
        return own or self.faults.take(operation)

    async def _act(self, request: Request, operation: str, call_id: str | None, body: Any) -> Answer:
        call = self._calls.get(call_id or "")
        try:
            answer = await self._carry_out(request, operation, call, body)
        except Refusal as refusal:
            return error_reply(refusal, status=404 if refusal.code == "not_found" else 400)
        if call is not None and operation in _ON_CALLS and isinstance(answer, Reply) and answer.status == 200:
            call.carried_out(operation)
        return answer

    async def _carry_out(self, request: Request, operation: str, call: EmulatedCall | None, body: Any) -> Answer:
        match operation:
            case "webhook_endpoints":
                return await self._endpoints.handle(request, body)
            case "models":
                return models()
            case "client_secrets":
                return self._client_secret(body)
            case "create":
                return self._create(request)
            case "attach":
                return await self._attach(request, call)
            case "accept":
                return self._decide(call, lambda ringing: self._accept(ringing, body))
            case "reject":
                return self._decide(call, lambda ringing: _reject(ringing, request, body))
            case "refer":
                return _refer(call, body)
            case _:
                return _hang_up(call, request, body)

    def _denied(self, request: Request, operation: str) -> Reply | None:
        scheme, _, key = request.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not key:
            refusal = Refusal("You did not provide an API key in the Authorization header.", code=None)
            return error_reply(refusal, status=401)
        if key == self._api_key:
            return None
        known = self._ephemeral.get(key)
        if operation in ("create", "connect") and known is not None and self._clock.unix() < known[0]:
            return None
        return error_reply(Refusal("Incorrect API key provided.", code="invalid_api_key"), status=401)

    def _decide(self, call: EmulatedCall | None, decide: Callable[[EmulatedCall], Reply]) -> Reply:
        if call is None or call.early_for_accept:
            return not_found(bare=call is not None and not call.behavior.early_named)
        rejected = call.end is not None and call.end.by is EndedBy.REJECTED
        if call.state is CallState.ACCEPTED or rejected:
            code = "decision_already_made" if call.behavior.decision_named else None
            refusal = Refusal("A decision was already made for this call.", code=code)
            return error_reply(refusal, status=call.behavior.second_decision)
        return not_found() if call.state is CallState.ENDED else decide(call)

    @staticmethod
    def _accept(call: EmulatedCall, body: Any) -> Reply:
        try:
            session = check_session(body, place="")
        except Refusal:
            if call.behavior.bad_accept == "refused":
                raise
            call.believe()
            return Reply()
        note_formats(session, "accept", call.record)
        if call.behavior.accept == "lies":
            call.believe()
        else:
            call.accept(session)
        return Reply()

    async def _attach(self, request: Request, call: EmulatedCall | None) -> Answer:
        if not request.upgrades:
            return error_reply(Refusal("A WebSocket upgrade is expected here.", code=None), status=426)
        if call is None or call.state is not CallState.ACCEPTED:
            return not_found()
        if call.early_for_sideband or call.no_sideband_yet:
            return not_found(bare=not call.behavior.early_named)
        await call.attachable()
        if call.line is None or call.state is not CallState.ACCEPTED:
            return not_found()
        wire, now = call.line.wire, self._clock.now()
        if now < wire.away_until:
            return _failed(ReplyFault(status=503))
        if now < wire.counted_until or (call.behavior.second_attach == "refused" and wire.sockets):
            return error_reply(Refusal("Another sideband is attached to this call.", code=None), status=409)
        return Upgrade(call.attach, informational=call.behavior.informational)

    def _primary(self, request: Request) -> Answer:
        if not request.upgrades:
            return error_reply(Refusal("A WebSocket upgrade is expected here.", code=None), status=426)
        key = request.header("authorization").partition(" ")[2]
        config = self._ephemeral.get(key, (0, {"type": "realtime"}))[1]
        if request.query.get("intent") == "transcription":
            config = {"type": "transcription"}
        model = request.query.get("model")
        if not model and config["type"] == "realtime" and key not in self._ephemeral:
            refusal = Refusal("Missing required parameter: 'model'.", code="missing_required_parameter", param="model")
            return error_reply(refusal)
        return self._connect(config, model)

    async def _refuse_beta(self, socket: WebSocket) -> None:
        socket.send(json.dumps(error_event(self._ids, _BETA, event_id=None)))
        socket.close(4000, f"invalid_request_error.{beta.DISABLED}")
        async for _ in socket.messages():
            pass

    def _create(self, request: Request) -> Reply:
        offer, session = offer_and_session(request)
        if not offer.startswith("v=0"):
            # How the service refuses an offer is not known.
            raise Refusal("The SDP offer is not valid.", code="invalid_offer", param="sdp")
        if session is None:
            key = request.header("authorization").partition(" ")[2]
            session = self._ephemeral.get(key, (0, {"type": "realtime"}))[1]
        config = check_session(session, place="session.")
        call = self._new_call()
        call.accept(config)
        location = ("location", f"/v1/realtime/calls/{call.call_id}")
        return Reply(status=201, body=answer_to(offer).encode(), content_type="application/sdp", headers=(location,))

    def _client_secret(self, body: Any) -> Reply:
        given = _object({} if body is None else body, allowed=("expires_after", "session"))
        seconds = 600
        if given.get("expires_after") is not None:
            after = _object(given["expires_after"], allowed=("anchor", "seconds"), place="expires_after.")
            seconds = after.get("seconds", 600)
            if after.get("anchor", "created_at") != "created_at":
                raise Refusal(
                    "Invalid value. Supported values are: 'created_at'.",
                    code="invalid_value",
                    param="expires_after.anchor",
                )
            if not isinstance(seconds, int) or isinstance(seconds, bool) or not 10 <= seconds <= 7200:
                raise Refusal(
                    "Invalid 'expires_after.seconds': expected 10 to 7200.",
                    code="invalid_value",
                    param="expires_after.seconds",
                )
        wanted = given.get("session") or {"type": "realtime"}
        config = check_session(wanted, place="session.", kinds=("realtime", "transcription"))
        if len(self._ephemeral) >= _MAX_SECRETS:
            self._ephemeral.pop(next(iter(self._ephemeral)))
        value, expires_at = self._ids("ek"), int(self._clock.unix()) + seconds
        self._ephemeral[value] = (expires_at, config)
        session = EmulatedSession(config, session_id=self._ids("sess"), expires_at=expires_at)
        return Reply.of_json({"value": value, "expires_at": expires_at, "session": session.shown()})


def _route(request: Request) -> tuple[str | None, str | None]:
    parts = request.path.split("/")
    match parts:
        case ["", "v1", "realtime"] if "call_id" in request.query:
            return "attach", request.query["call_id"]
        case ["", "v1", "realtime"]:
            return "connect", None
        case ["", "v1", "realtime", "client_secrets"]:
            return "client_secrets", None
        case ["", "v1", "realtime", "calls"]:
            return "create", None
        case ["", "v1", "models"]:
            return "models", None
        case ["", "v1", "webhook_endpoints", *_]:
            return "webhook_endpoints", None
        case ["", "v1", "realtime", "calls", call_id, action] if action in _ON_CALLS:
            return action, unquote(call_id)
    return None, None


def _for_pages(answer: Answer) -> Answer:
    """Let pages of any origin read an answer and its Location, as the guide to server controls does (November 2026)."""
    if not isinstance(answer, Reply):
        return answer
    return replace(answer, headers=(*answer.headers, *_CORS))


def _is_beta(request: Request) -> bool:
    """Whether a request is to an endpoint of the beta. That the two for keys answer as that for SDP does is a guess."""
    path = request.path.removeprefix("/v1")
    return path in beta.ENDPOINTS or (path == beta.SDP_ENDPOINT[0] and request.method == "POST")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _message(answer: Answer) -> str | None:
    """Return the message of an error body."""
    body = _json(answer.body) if isinstance(answer, Reply) else None
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("message") if isinstance(error, dict) else None


def _object(value: Any, *, allowed: tuple[str, ...], place: str = "") -> Frame:
    if not isinstance(value, dict):
        raise Refusal("The body must be a JSON object.", code="invalid_type", param=place.rstrip(".") or None)
    for name in value:
        if name not in allowed:
            param = f"{place}{str(name)[:80]}"
            raise Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    return value


def _reject(call: EmulatedCall, request: Request, body: Any) -> Reply:
    given = _object(body if request.body else {}, allowed=("status_code",))
    status = given.get("status_code", 603)
    # The schema has no range for it.
    if not isinstance(status, int) or isinstance(status, bool):
        raise Refusal("Invalid type for 'status_code': expected an integer.", code="invalid_type", param="status_code")
    call.reject(status)
    return Reply()


def _refer(call: EmulatedCall | None, body: Any) -> Reply:
    if call is None or call.state is not CallState.ACCEPTED:
        return not_found()
    target = _object(body, allowed=("target_uri",)).get("target_uri")
    if target is None:
        raise Refusal(
            "Missing required parameter: 'target_uri'.", code="missing_required_parameter", param="target_uri"
        )
    if not isinstance(target, str) or not _URI.fullmatch(target):
        # That it is refused is a guess: which schemes the service takes is not documented, "tel:" and "sip:" are shown.
        raise Refusal("Invalid 'target_uri': expected a URI.", code="invalid_value", param="target_uri")
    call.refer(target)
    return Reply()


def _hang_up(call: EmulatedCall | None, request: Request, body: Any) -> Reply:
    if call is None or call.state is not CallState.ACCEPTED or call.early_for_sideband:
        return not_found(bare=call is not None and call.early_for_sideband and not call.behavior.early_named)
    if request.body.strip() and body != {}:
        raise Refusal("This endpoint takes no body.", code="unknown_parameter")
    call.finish(EndedBy.AGENT)
    return Reply()


def _failed(fault: ReplyFault) -> Answer:
    if fault.how != "status":
        return Silence(reset=fault.how == "reset")
    headers = tuple(fault.headers.items())
    if fault.retry_after is not None:
        headers = (("retry-after", f"{fault.retry_after:g}"), *headers)
    if fault.bare or fault.status < 300:
        body = b"" if fault.status < 300 else f"{fault.status} from a gateway\n".encode()
        return Reply(status=fault.status, body=body, content_type="text/plain", headers=headers)
    code = fault.code
    if fault.status == 404:
        refusal = Refusal("No session found for this call.", code=code or "call_id_not_found")
    elif fault.status == 429:
        refusal = Refusal("Rate limit reached.", code=code or "rate_limit_exceeded", kind="requests")
    elif fault.status >= 500:
        refusal = Refusal("The server had an error while processing your request.", code=code, kind="server_error")
    else:
        refusal = Refusal("The request was refused.", code=code)
    return error_reply(refusal, status=fault.status, headers=headers)
