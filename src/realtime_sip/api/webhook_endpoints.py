"""Where the service delivers a project's webhooks, and what it signs them with (API reference, November 2026)."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, ValidationError

from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Operation, Repeat, Reply, json_body, nothing, unexpected
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.errors import InvalidRequestError

INCOMING_CALL = "realtime.call.incoming"

_PATH = "/webhook_endpoints"
_MAX_ID = 256
_MAX_PAGE = 100
_JSON = {"Content-Type": "application/json"}

_Endpoint = TypeVar("_Endpoint")
_Page = TypeVar("_Page")
_Delivery = TypeVar("_Delivery")
_Done = TypeVar("_Done")
_Answer = TypeVar("_Answer", bound=Inbound)


class WebhookEndpoint(Inbound):
    """A URL to which the service delivers events of one project.

    Attributes:
        id: Its id.
        url: Where it delivers, HTTPS.
        name: What the dashboard calls it.
        event_types: What it delivers.
        created_at: Unix seconds.
        updated_at: Unix seconds of the last change of its settings or its secret.
        signing_secret: What it signs with (`whsec_…`): `webhook_secret` of a client. Only `create` and `rotate_secret`
            return it, once; `repr` does not show it.
        signing_secret_hint: A masked hint at the secret.
    """

    id: str
    url: str
    name: str = ""
    event_types: list[str] = Field(default_factory=list)
    created_at: int | None = None
    updated_at: int | None = None
    signing_secret: str | None = Field(default=None, repr=False)
    signing_secret_hint: str | None = None


class WebhookEndpointPage(Inbound):
    """Some of a project's endpoints; pass `last_id` as `after` for those behind, if `has_more`."""

    data: list[WebhookEndpoint]
    has_more: bool = False
    last_id: str | None = None


class WebhookTest(Inbound):
    """A test delivery.

    Attributes:
        event_type: What was delivered: a sample. A call of a sample cannot be accepted.
        status_code: What the endpoint answered.
    """

    event_type: str
    status_code: int


def create(*, name: str, url: str, event_types: Sequence[str]) -> Operation[WebhookEndpoint]:
    """Create an endpoint. Not repeated after an unclear failure: there would be two."""
    body = _checked(name=name, url=url, event_types=event_types)
    return _operation("create", _PATH, WebhookEndpoint, Repeat.REFUSED, body=body)


def retrieve(endpoint_id: str) -> Operation[WebhookEndpoint]:
    """Read one endpoint."""
    return _operation("retrieve", _one(endpoint_id), WebhookEndpoint, Repeat.ANY, method="GET")


def page(*, limit: int = _MAX_PAGE, after: str | None = None) -> Operation[WebhookEndpointPage]:
    """Read some endpoints, the first ones without `after`."""
    if not isinstance(limit, int) or not 1 <= limit <= _MAX_PAGE:
        raise InvalidRequestError("limit", (("", f"must be 1 to {_MAX_PAGE}"),))
    query = urlencode({"limit": limit, **({} if after is None else {"after": _id(after)})})
    return _operation("list", f"{_PATH}?{query}", WebhookEndpointPage, Repeat.ANY, method="GET")


def update(
    endpoint_id: str,
    *,
    name: str | None = None,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
) -> Operation[WebhookEndpoint]:
    """Change what is given. Repeated after any failure: twice is once."""
    body = _checked(name=name, url=url, event_types=event_types)
    if not body:
        raise InvalidRequestError("webhook endpoint", (("", "give a name, a url or event_types to change"),))
    return _operation("update", _one(endpoint_id), WebhookEndpoint, Repeat.ANY, body=body)


def delete(endpoint_id: str) -> Operation[None]:
    """Delete an endpoint. Not repeated after an unclear failure: the second would find nothing, and look like one."""
    return Operation("webhook_endpoints.delete", _one(endpoint_id), nothing, Repeat.REFUSED, method="DELETE")


def rotate_secret(endpoint_id: str, *, keep_old_secret_active_for_24_hours: bool = False) -> Operation[WebhookEndpoint]:
    """Make a new secret. Not repeated after an unclear failure: the first new one would be lost."""
    body = {"keep_old_secret_active_for_24_hours": keep_old_secret_active_for_24_hours}
    return _operation("rotate_secret", f"{_one(endpoint_id)}/rotate_secret", WebhookEndpoint, Repeat.REFUSED, body=body)


def send_test(endpoint_id: str, *, event_type: str) -> Operation[WebhookTest]:
    """Have a sample delivered. Repeated after any failure: a sample does no harm twice."""
    body = {"event_type": event_type}
    return _operation("test", f"{_one(endpoint_id)}/test", WebhookTest, Repeat.ANY, body=body)


def _operation(
    name: str,
    path: str,
    kind: type[_Answer],
    repeat: Repeat,
    *,
    method: str = "POST",
    body: dict[str, Any] | None = None,
) -> Operation[_Answer]:
    whole = f"webhook_endpoints.{name}"

    def read(reply: Reply) -> _Answer:
        try:
            return kind.model_validate_json(reply.body)
        except ValidationError:
            raise unexpected(reply, f"{whole}: the reply is not what it should be") from None

    content = b"" if body is None else json_body(body, what="webhook endpoint")
    headers = {} if body is None else _JSON
    return Operation(whole, path, read, repeat, method=method, content=content, headers=headers)


def _checked(*, name: str | None, url: str | None, event_types: Sequence[str] | None) -> dict[str, Any]:
    given: dict[str, Any] = {"name": name, "url": url}
    if event_types is not None:
        if isinstance(event_types, str) or not event_types:
            raise InvalidRequestError("event_types", (("", "must be a list of one event type or more"),))
        given["event_types"] = list(event_types)
    if url is not None and not _is_url(url):
        raise InvalidRequestError("url", (("", "must be an https URL: the service delivers to no other"),))
    return {key: value for key, value in given.items() if value is not None}


def _is_url(url: object) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return False
    # http is for a stand-in of the service; the service itself refuses it.
    loopback = parts is not None and parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    return parts is not None and bool(parts.hostname) and (parts.scheme == "https" or loopback)


def _id(endpoint_id: str) -> str:
    if not isinstance(endpoint_id, str) or not 0 < len(endpoint_id) <= _MAX_ID or not endpoint_id.isprintable():
        raise InvalidRequestError("endpoint_id", (("", f"must be 1 to {_MAX_ID} printable characters"),))
    if not endpoint_id.strip("."):
        raise InvalidRequestError("endpoint_id", (("", "must not be only dots"),))
    return endpoint_id


def _one(endpoint_id: str) -> str:
    return f"{_PATH}/{quote(_id(endpoint_id), safe='')}"


class WebhookEndpointFace(Generic[_Endpoint, _Page, _Delivery, _Done]):
    """`client.webhook_endpoints`. Each face decides how it carries an operation out, and what that returns.

    All of it needs an API key of the project, not an ephemeral one. Errors of the service are `ServiceError`, of the
    network `NetworkError`; an argument that is not valid is `InvalidRequestError`, and nothing was sent.
    """

    def _endpoint(self, operation: Operation[WebhookEndpoint]) -> _Endpoint:
        raise NotImplementedError

    def _page(self, operation: Operation[WebhookEndpointPage]) -> _Page:
        raise NotImplementedError

    def _delivery(self, operation: Operation[WebhookTest]) -> _Delivery:
        raise NotImplementedError

    def _done(self, operation: Operation[None]) -> _Done:
        raise NotImplementedError

    def create(self, *, name: str, url: str, event_types: Sequence[str] = (INCOMING_CALL,)) -> _Endpoint:
        """Create an endpoint, for incoming calls if nothing else is said. Its `signing_secret` is shown only now."""
        return self._endpoint(create(name=name, url=url, event_types=event_types))

    def retrieve(self, endpoint_id: str) -> _Endpoint:
        """Return one endpoint."""
        return self._endpoint(retrieve(endpoint_id))

    def list(self, *, limit: int = _MAX_PAGE, after: str | None = None) -> _Page:
        """Return up to `limit` endpoints, 1 to 100; `after` is the `last_id` of the page before."""
        return self._page(page(limit=limit, after=after))

    def update(
        self,
        endpoint_id: str,
        *,
        name: str | None = None,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
    ) -> _Endpoint:
        """Change what is given; `event_types` is the whole new list."""
        return self._endpoint(update(endpoint_id, name=name, url=url, event_types=event_types))

    def delete(self, endpoint_id: str) -> _Done:
        """Delete an endpoint."""
        return self._done(delete(endpoint_id))

    def rotate_secret(self, endpoint_id: str, *, keep_old_secret_active_for_24_hours: bool = False) -> _Endpoint:
        """Make a new `signing_secret`, which is shown only now.

        The old one is dead at once, and each webhook signed by it is refused, unless it is kept for 24 hours:
        `OpenAIWebhooks` takes both secrets meanwhile.
        """
        keep = keep_old_secret_active_for_24_hours
        return self._endpoint(rotate_secret(endpoint_id, keep_old_secret_active_for_24_hours=keep))

    def test(self, endpoint_id: str, *, event_type: str = INCOMING_CALL) -> _Delivery:
        """Have a signed sample delivered, and return what the endpoint answered.

        A sample of an incoming call has a call id that cannot be accepted: a server that answers it finds it gone.
        """
        return self._delivery(send_test(endpoint_id, event_type=event_type))


class WebhookEndpoints(WebhookEndpointFace[WebhookEndpoint, WebhookEndpointPage, WebhookTest, None]):
    """`client.webhook_endpoints`, blocking."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _endpoint(self, operation: Operation[WebhookEndpoint]) -> WebhookEndpoint:
        return self._transport.run(operation)

    def _page(self, operation: Operation[WebhookEndpointPage]) -> WebhookEndpointPage:
        return self._transport.run(operation)

    def _delivery(self, operation: Operation[WebhookTest]) -> WebhookTest:
        return self._transport.run(operation)

    def _done(self, operation: Operation[None]) -> None:
        return self._transport.run(operation)


class AsyncWebhookEndpoints(
    WebhookEndpointFace[
        Coroutine[Any, Any, WebhookEndpoint],
        Coroutine[Any, Any, WebhookEndpointPage],
        Coroutine[Any, Any, WebhookTest],
        Coroutine[Any, Any, None],
    ]
):
    """`client.webhook_endpoints`, async."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def _endpoint(self, operation: Operation[WebhookEndpoint]) -> Coroutine[Any, Any, WebhookEndpoint]:
        return self._transport.run(operation)

    def _page(self, operation: Operation[WebhookEndpointPage]) -> Coroutine[Any, Any, WebhookEndpointPage]:
        return self._transport.run(operation)

    def _delivery(self, operation: Operation[WebhookTest]) -> Coroutine[Any, Any, WebhookTest]:
        return self._transport.run(operation)

    def _done(self, operation: Operation[None]) -> Coroutine[Any, Any, None]:
        return self._transport.run(operation)
