"""Ephemeral keys with which a browser or phone connects by itself, without the API key."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Operation, Repeat, Reply, json_body, unexpected
from realtime_sip.api.transport import AsyncTransport, Transport
from realtime_sip.errors import InvalidRequestError
from realtime_sip.session import RealtimeSession, ReportedSession, TranscriptionSession, checked_session

_Created = TypeVar("_Created")


class ClientSecret(Inbound):
    """An ephemeral key.

    Attributes:
        value: The key (`ek_…`). Pass it to the client it is for; `repr` does not show it.
        expires_at: Unix seconds until which it can start a session.
        session: The session that it starts, with every default filled in.
    """

    value: str
    expires_at: int
    session: ReportedSession


def create(
    *,
    session: RealtimeSession | TranscriptionSession | dict[str, Any] | None = None,
    expires_after_seconds: int | None = None,
) -> Operation[ClientSecret]:
    """Create an ephemeral key. Repeated after any failure: a key that nobody holds expires by itself."""
    body: dict[str, Any] = {}
    if expires_after_seconds is not None:
        if not isinstance(expires_after_seconds, int) or not 10 <= expires_after_seconds <= 7200:
            raise InvalidRequestError("expires_after_seconds", (("", "must be 10 to 7200"),))
        body["expires_after"] = {"anchor": "created_at", "seconds": expires_after_seconds}
    if session is not None:
        body["session"] = checked_session(session)
    content = json_body(body, what="client secret")
    headers = {"Content-Type": "application/json"}
    path = "/realtime/client_secrets"
    return Operation("client_secrets.create", path, _secret, Repeat.ANY, content=content, headers=headers)


def _secret(reply: Reply) -> ClientSecret:
    try:
        return ClientSecret.model_validate_json(reply.body)
    except ValidationError:
        raise unexpected(reply, "client_secrets.create: the reply does not hold a key") from None


class ClientSecretFace(Generic[_Created]):
    """`client.client_secrets`. Each face decides what it returns for an operation, and how it carries one out."""

    def _created(self, operation: Operation[ClientSecret]) -> _Created:
        raise NotImplementedError

    def create(
        self,
        *,
        session: RealtimeSession | TranscriptionSession | dict[str, Any] | None = None,
        expires_after_seconds: int | None = None,
    ) -> _Created:
        """Create an ephemeral key with which one client starts a session of its own.

        It can do so for `expires_after_seconds`: 10 to 7200, 600 if left out (API reference, November 2026).

        Raises:
            InvalidRequestError: The session or the time is not valid; nothing was sent.
            UnexpectedReplyError: The reply does not hold a key.
            NetworkError, ServiceError: No key was created.
        """
        return self._created(create(session=session, expires_after_seconds=expires_after_seconds))


class ClientSecrets(ClientSecretFace[ClientSecret]):
    """`client.client_secrets`, blocking."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _created(self, operation: Operation[ClientSecret]) -> ClientSecret:
        return self._transport.run(operation)


class AsyncClientSecrets(ClientSecretFace[Coroutine[Any, Any, ClientSecret]]):
    """`client.client_secrets`, async."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def _created(self, operation: Operation[ClientSecret]) -> Coroutine[Any, Any, ClientSecret]:
        return self._transport.run(operation)
