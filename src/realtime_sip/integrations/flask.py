"""OpenAI's and Twilio's webhooks as blueprints of Flask.

    host = ThreadCallHost(on_call, client=client)


    def create_app() -> Flask:
        app = Flask(__name__)
        app.register_blueprint(openai_webhook(host))
        return app

Handlers and tools run in an `app_context()` of their own, of the application that the webhook came to.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeAlias, Unpack

from realtime_sip.call.options import around_code
from realtime_sip.client import AsyncRealtimeSip
from realtime_sip.errors import ConfigurationError, DeadlineError, MissingExtraError
from realtime_sip.hosting.threads import ThreadCallHost
from realtime_sip.integrations import exchange
from realtime_sip.integrations.exchange import Payload, Received, Reply, TwilioFunctions
from realtime_sip.twilio.signature import TwilioSignature
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

try:
    from flask import Blueprint, Response, current_app, request
    from flask.typing import ResponseReturnValue
except ImportError:
    raise MissingExtraError("flask", "flask") from None

__all__ = ["health", "openai_webhook", "twilio_webhook", "verified_call", "verified_webhook"]

_CULPRITS = (
    "request.form, request.files or request.stream was read before, as in before_request, or by a WSGI middleware; "
    "request.get_data() does no harm. Under uWSGI what comes in chunks is empty"
)

P = ParamSpec("P")
_Answer: TypeAlias = ResponseReturnValue | Awaitable[ResponseReturnValue]


def openai_webhook(host: ThreadCallHost, *, path: str = "/openai/webhook") -> Blueprint:
    """Return a blueprint with the webhook of `realtime.call.incoming`: verified, submitted, answered once decided.

    Args:
        host: Takes the calls. Its client has the webhook secret.
        path: Where the webhook is, with and without a slash at the end.

    Raises:
        ConfigurationError: The client has no webhook secret, or the host or the path is not valid.
    """
    _check(host)
    webhooks = host.client.webhooks

    def webhook() -> Response:
        call = _call(webhooks)
        if isinstance(call, Reply):
            return _response(call)
        before = around_code.set(current_app._get_current_object().app_context)  # type: ignore[attr-defined]
        try:
            became = host.submit(call)
        except DeadlineError as error:
            return _response(exchange.not_submitted(call, error))
        finally:
            around_code.reset(before)
        return _response(exchange.submitted(call, became))

    blueprint = _blueprint("openai", path)
    _add(blueprint, path, "webhook", webhook, ["POST"])
    return blueprint


def twilio_webhook(
    signature: TwilioSignature | None,
    *,
    host: ThreadCallHost | None = None,
    path: str = "/twilio",
    **functions: Unpack[TwilioFunctions],
) -> Blueprint:
    """Return a blueprint with Twilio's webhooks: those that a function is given for, each under its own name.

    A function gets the verified, typed payload in the context of its request, and returns TwiML or None. An async one
    needs `flask[async]`.

    Args:
        signature: Proves that Twilio sent a request; None if something in front of the application has proven it.
        host: Is passed what the carrier reports, before the functions for those reports are called.
        path: What the paths begin with.
        **functions: `voice`, `after_dial`, `after_queue`, `refer`, `status`, `answered`, `recording`, `message`: each
            answers what comes to the path of its name, or hears it. `docs/fastapi.md` has a table of what they get and
            answer.

    Raises:
        ConfigurationError: There is nothing to answer, or what is given is no function.
    """
    routes = exchange.twilio_routes(host, functions)
    blueprint = _blueprint("twilio", path)
    for route in routes:
        view = functools.partial(_answered, route, signature)
        _add(blueprint, f"{path.rstrip('/')}/{route.name}", route.name, view, ["POST", "GET"])
    return blueprint


def health(host: ThreadCallHost, *, path: str = "/health") -> Blueprint:
    """Return a blueprint for a balancer: `/health/ready` and `/health/live`.

    `ready` answers 503 while the host is full or draining, so that no new calls come here. `live` answers 200 as long
    as the process does. Restart it by that one alone: a host that is full has calls on the line.

    Raises:
        ConfigurationError: The host or the path is not valid.
    """
    _check(host)
    blueprint = _blueprint("health", path)
    for name in ("ready", "live"):
        view = functools.partial(_healthy, host, ready=name == "ready")
        _add(blueprint, f"{path.rstrip('/')}/{name}", name, view, ["GET"])
    return blueprint


def verified_call(
    webhooks: OpenAIWebhooks | AsyncRealtimeSip,
) -> Callable[[Callable[Concatenate[IncomingCall, P], _Answer]], Callable[P, ResponseReturnValue]]:
    """Return a decorator for a view of your own: it gets the call that OpenAI's webhook announces.

        @app.post("/tenants/<tenant>/calls")
        @verified_call(client)
        def calls(call: IncomingCall, tenant: str) -> str:
            host.submit(call)
            return ""

    A request that nothing proves is answered 400 and never reaches the view; neither does an event of another type,
    which is answered 200.

    Args:
        webhooks: Proves who sent it; a client stands for the webhooks of its secret.
    """
    proving = webhooks if isinstance(webhooks, OpenAIWebhooks) else webhooks.webhooks

    def decorate(view: Callable[Concatenate[IncomingCall, P], _Answer]) -> Callable[P, ResponseReturnValue]:
        @functools.wraps(view)
        def verified(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            call = _call(proving)
            if isinstance(call, Reply):
                return _response(call)
            answer: ResponseReturnValue = current_app.ensure_sync(view)(call, *args, **kwargs)
            return answer

        return verified

    return decorate


def verified_webhook(
    signature: TwilioSignature | None, kind: type[Payload]
) -> Callable[[Callable[Concatenate[Payload, P], _Answer]], Callable[P, ResponseReturnValue]]:
    """Return a decorator for a view of your own: it gets what a webhook of Twilio's says.

        @app.post("/menu")
        @verified_webhook(signature, VoiceWebhook)
        def menu(call: VoiceWebhook) -> Response:
            return Response(str(twiml.say("Good morning.")), mimetype="text/xml")

    A request that nothing proves is answered 403 and never reaches the view.

    Args:
        signature: Proves that Twilio sent it; None if something in front of the application has proven it.
        kind: What it is read as: a class of `realtime_sip.twilio.webhooks`.
    """

    def decorate(view: Callable[Concatenate[Payload, P], _Answer]) -> Callable[P, ResponseReturnValue]:
        @functools.wraps(view)
        def verified(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            payload = _payload(kind, signature)
            if isinstance(payload, Reply):
                return _response(payload)
            answer: ResponseReturnValue = current_app.ensure_sync(view)(payload, *args, **kwargs)
            return answer

        return verified

    return decorate


def _check(host: object) -> None:
    if not isinstance(host, ThreadCallHost):
        raise ConfigurationError("host must be a ThreadCallHost: no other outlives a request of Flask's")


def _blueprint(kind: str, path: str) -> Blueprint:
    # One application may have several, which need names of their own.
    return Blueprint(f"realtime_sip_{kind}{path.rstrip('/').replace('/', '_').replace('.', '_')}", __name__)


def _add(blueprint: Blueprint, path: str, name: str, view: Callable[[], Response], methods: list[str]) -> None:
    for form in exchange.both_forms(path):
        endpoint = name if form.endswith("/") else f"{name}_plain"
        blueprint.add_url_rule(form, endpoint, view, methods=methods)


def _answered(route: exchange.Route, signature: TwilioSignature | None) -> Response:
    payload: Any = _payload(route.kind, signature)
    if isinstance(payload, Reply):
        return _response(payload)
    if route.host is not None:
        route.host.carrier(payload)
    answer: object = None
    if route.function is not None:
        answer = current_app.ensure_sync(route.function)(payload)
    return _response(route.reply(answer))


def _healthy(host: ThreadCallHost, *, ready: bool) -> Response:
    return _response(exchange.health_reply(host.health(), ready=ready))


def _call(webhooks: OpenAIWebhooks) -> IncomingCall | Reply:
    received = _received()
    if isinstance(received, Reply):
        return received
    return exchange.incoming_call(received, webhooks, culprits=_CULPRITS)


def _payload(kind: type[Payload], signature: TwilioSignature | None) -> Payload | Reply:
    received = _received()
    if isinstance(received, Reply):
        return received
    return exchange.twilio_payload(received, kind, signature, culprits=_CULPRITS)


def _received() -> Received | Reply:
    if exchange.is_too_long(request.headers):
        return exchange.TOO_LARGE
    # What comes in chunks is cut off there without a word.
    request.max_content_length = exchange.MAX_BODY + 1
    return Received(
        method=request.method,
        target=exchange.wsgi_target(request.environ),
        headers=request.headers,
        body=request.get_data(cache=True),
        peer=request.remote_addr,
    )


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, content_type=reply.content_type)
