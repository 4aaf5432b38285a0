"""The REST operations that the cassettes hold: what is asked, what fails, and what should come of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import vcr

from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.api import transport
from realtime_sip.errors import BadRequestError, CallGoneError, DecisionAlreadyMadeError, NotFoundError, RateLimitError
from realtime_sip.testing import VirtualTimeLoop, vcr_config
from realtime_sip.testing.reply_faults import Operation as FailedOperation

FOLDER = Path(__file__).parent / "cassettes"
SECRET_WORDS = "You are the receptionist of a shop whose safe opens with 4711."
SESSION: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": SECRET_WORDS}
OFFER = "v=0\r\no=- 4611731400430051336 2 IN IP4 192.0.2.17\r\ns=-\r\n"
TARGET = "tel:+14155550123"
URL = "https://shop.example.com/openai/webhook"
CALL = "rtc_u0_cassette0000000000001"
ENDPOINT = "wep_cassette0000000000001"
HEADS = {
    "emulator": "# Recorded from the emulator of realtime_sip, not from the service. `make record` writes it again.",
    "service": "# Recorded from the service. `make record` writes it again where a key is set.",
}

Client = Any


@dataclass(frozen=True)
class Operation:
    """One cassette: `ask` is called with a client whose methods return results on both faces."""

    name: str
    ask: Callable[[Client], Any]
    raises: type[Exception] | None = None
    fails: FailedOperation | None = None
    """The operation that the emulator fails with 429; without one the state of the call alone decides."""
    state: str = "ringing"
    result: Callable[[Any], bool] = field(default=lambda result: result is None)


def accept(client: Client) -> Any:
    return client.calls.accept(CALL, SESSION)


def reject(client: Client) -> Any:
    return client.calls.reject(CALL, status_code=486)


def refer(client: Client) -> Any:
    return client.calls.refer(CALL, target_uri=TARGET)


OPERATIONS = [
    Operation("accept", accept),
    Operation("accept_404", accept, CallGoneError, state="gone"),
    Operation("accept_409", accept, DecisionAlreadyMadeError, state="accepted"),
    Operation("accept_429", accept, RateLimitError, "accept"),
    Operation("reject", reject),
    Operation("reject_404", reject, CallGoneError, state="gone"),
    Operation("reject_409", reject, DecisionAlreadyMadeError, state="accepted"),
    Operation("reject_429", reject, RateLimitError, "reject"),
    Operation("refer", refer, state="accepted"),
    Operation("refer_404", refer, CallGoneError, state="gone"),
    Operation("refer_429", refer, RateLimitError, "refer", "accepted"),
    Operation("hangup", lambda client: client.calls.hangup(CALL), state="accepted"),
    Operation("hangup_404", lambda client: client.calls.hangup(CALL), CallGoneError, state="gone"),
    Operation("hangup_429", lambda client: client.calls.hangup(CALL), RateLimitError, "hangup", "accepted"),
    Operation(
        "create",
        lambda client: client.calls.create(sdp=OFFER, session=SESSION),
        result=lambda call: call.call_id.startswith("rtc_") and call.sdp.startswith("v=0"),
    ),
    Operation("create_429", lambda client: client.calls.create(sdp=OFFER, session=SESSION), RateLimitError, "create"),
    Operation(
        "client_secret",
        lambda client: client.client_secrets.create(session=SESSION, expires_after_seconds=60),
        result=lambda secret: secret.expires_at > 0 and secret.session.model == "gpt-realtime-2.1",
    ),
    Operation("client_secret_429", lambda client: client.client_secrets.create(), RateLimitError, "client_secrets"),
    Operation(
        "webhook_endpoint_create",
        lambda client: client.webhook_endpoints.create(name="Shop", url=URL),
        result=lambda endpoint: endpoint.id == ENDPOINT and endpoint.signing_secret is not None,
    ),
    Operation(
        "webhook_endpoint_list",
        lambda client: client.webhook_endpoints.list(),
        result=lambda page: [endpoint.id for endpoint in page.data] == [ENDPOINT] and not page.has_more,
        state="endpoint",
    ),
    Operation(
        "webhook_endpoint_retrieve",
        lambda client: client.webhook_endpoints.retrieve(ENDPOINT),
        result=lambda endpoint: endpoint.id == ENDPOINT and endpoint.signing_secret is None,
        state="endpoint",
    ),
    Operation(
        "webhook_endpoint_update",
        lambda client: client.webhook_endpoints.update(ENDPOINT, name="Garage"),
        result=lambda endpoint: endpoint.name == "Garage",
        state="endpoint",
    ),
    Operation(
        "webhook_endpoint_test_400",
        lambda client: client.webhook_endpoints.test(ENDPOINT),
        BadRequestError,
        state="endpoint",
    ),
    Operation(
        "webhook_endpoint_rotate",
        lambda client: client.webhook_endpoints.rotate_secret(ENDPOINT),
        result=lambda endpoint: endpoint.signing_secret is not None,
        state="endpoint",
    ),
    Operation("webhook_endpoint_delete", lambda client: client.webhook_endpoints.delete(ENDPOINT), state="endpoint"),
    Operation("webhook_endpoint_404", lambda client: client.webhook_endpoints.retrieve(ENDPOINT), NotFoundError),
    Operation(
        "webhook_endpoint_429", lambda client: client.webhook_endpoints.list(), RateLimitError, "webhook_endpoints"
    ),
]

LIVE = [
    Operation(
        "live_client_secret",
        lambda client: client.client_secrets.create(session=SESSION, expires_after_seconds=60),
        result=lambda secret: secret.expires_at > 0,
    ),
    Operation(
        "live_webhook_endpoint_list", lambda client: client.webhook_endpoints.list(), result=lambda page: page.data != 0
    ),
]
"""What can be asked of the service itself without a call."""


class Headed:
    """vcrpy's YAML, with a first line that says where it was recorded."""

    def __init__(self, source: str) -> None:
        self._head = HEADS[source]

    def serialize(self, cassette: dict[str, Any]) -> str:
        return f"{self._head}\n{vcr.serializers.yamlserializer.serialize(cassette)}"

    def deserialize(self, text: str) -> Any:
        return vcr.serializers.yamlserializer.deserialize(text)


def cassette(name: str, record_mode: str, *, source: str = "emulator", folder: Path = FOLDER) -> Any:
    """Return the cassette of that name to record, or, with "none", to play as often as it is asked."""
    machine = vcr.VCR(**vcr_config(), record_mode=record_mode, serializer="headed", cassette_library_dir=str(folder))
    machine.register_serializer("headed", Headed(source))
    return machine.use_cassette(f"{name}.yaml", allow_playback_repeats=record_mode == "none")


class Clock:
    """Time that passes if somebody sleeps, and never else: what is not found at first is asked for again for 5 s."""

    def __init__(self) -> None:
        self._now = 1000.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@contextmanager
def face(kind: str, **options: Any) -> Iterator[Callable[[Operation], Any]]:
    """Give a function that asks an operation of a client, blocking or async, and returns its result.

    Its pauses take no time, so that neither a recording nor what is played depends on how fast the machine is.
    """
    if kind == "sync":
        with RealtimeSip(**options) as client, patch.object(transport, "time", Clock()):
            yield lambda operation: operation.ask(client)
        return
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        there = AsyncRealtimeSip(**options)

        def ask(operation: Operation) -> Any:
            result = operation.ask(there)
            return runner.run(result) if inspect.iscoroutine(result) else result

        try:
            yield ask
        finally:
            runner.run(there.close())
