"""`client.webhook_endpoints`, blocking and async, over sockets to the emulator."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import emulated
from realtime_sip import AsyncRealtimeSip, RealtimeSip
from realtime_sip.api.operations import Reply
from realtime_sip.api.webhook_endpoints import retrieve
from realtime_sip.errors import (
    BadRequestError,
    InvalidRequestError,
    NotFoundError,
    ServerError,
    UnexpectedReplyError,
    WebhookVerificationError,
)
from realtime_sip.testing.on_thread import EmulatorOnThread
from realtime_sip.webhooks import IncomingCall, OpenAIWebhooks

URL = "https://shop.example.com/openai/webhook"


class Project:
    """The endpoints of a project on one of the faces: what is awaited there is waited for here."""

    def __init__(self, endpoints: Any, wait: Callable[[Any], Any]) -> None:
        self._endpoints = endpoints
        self._wait = wait

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._endpoints, name)

        def called(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            return self._wait(result) if inspect.isawaitable(result) else result

        return called


@contextmanager
def on_face(face: str, openai: Any) -> Iterator[Project]:
    if face == "sync":
        with RealtimeSip(**openai.client_options) as client:
            yield Project(client.webhook_endpoints, lambda result: result)
        return
    with asyncio.Runner() as runner:
        there = AsyncRealtimeSip(**openai.client_options)
        try:
            yield Project(there.webhook_endpoints, lambda result: runner.run(result))
        finally:
            runner.run(there.close())


@pytest.fixture
def service() -> Iterator[EmulatorOnThread]:
    with EmulatorOnThread() as openai:
        yield openai


@pytest.fixture(params=["sync", "async"])
def project(request: pytest.FixtureRequest, service: EmulatorOnThread) -> Iterator[Project]:
    with on_face(request.param, service.emulator) as project:
        yield project


def test_an_endpoint_is_created_read_changed_and_deleted(project: Project) -> None:
    made = project.create(name="Shop", url=URL)
    assert made.event_types == ["realtime.call.incoming"]
    assert made.signing_secret.startswith("whsec_")
    OpenAIWebhooks(made.signing_secret)
    assert made.signing_secret not in repr(made)

    read = project.retrieve(made.id)
    assert (read.name, read.url, read.signing_secret) == ("Shop", URL, None)
    changed = project.update(made.id, url=f"{URL}2")
    assert (changed.name, changed.url) == ("Shop", f"{URL}2")
    project.delete(made.id)
    with pytest.raises(NotFoundError):
        project.retrieve(made.id)


def test_many_endpoints_come_in_pages(project: Project) -> None:
    ids = [project.create(name=f"Shop {n}", url=URL).id for n in range(5)]
    first = project.list(limit=3)
    rest = project.list(limit=3, after=first.last_id)
    assert [each.id for each in [*first.data, *rest.data]] == ids
    assert (first.has_more, rest.has_more) == (True, False)


def test_a_rotated_secret_is_a_new_one(project: Project) -> None:
    made = project.create(name="Shop", url=URL)
    again = project.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert again.signing_secret not in (None, made.signing_secret)


def test_a_test_delivery_is_signed_by_the_secret_of_the_endpoint(project: Project, endpoint: emulated.Endpoint) -> None:
    made = project.create(name="Shop", url=endpoint.url)
    old = made.signing_secret
    tested = project.test(made.id)
    assert (tested.status_code, tested.event_type) == (200, "realtime.call.incoming")
    (delivery,) = endpoint.deliveries
    event = OpenAIWebhooks(old).unwrap(delivery.body, delivery.headers)
    assert isinstance(event, IncomingCall)

    new = project.rotate_secret(made.id).signing_secret
    endpoint.answer = lambda delivery: 500
    assert project.test(made.id).status_code == 500
    OpenAIWebhooks(new).unwrap(endpoint.deliveries[-1].body, endpoint.deliveries[-1].headers)
    with pytest.raises(WebhookVerificationError):
        OpenAIWebhooks(old).unwrap(endpoint.deliveries[-1].body, endpoint.deliveries[-1].headers)


def test_an_endpoint_that_cannot_be_reached_is_an_error_of_the_service(project: Project) -> None:
    made = project.create(name="Shop", url="http://127.0.0.1:9/nobody")
    with pytest.raises(BadRequestError):
        project.test(made.id)


@pytest.mark.parametrize(
    "url", ["", "shop.example.com", "http://shop.example.com", "ftp://a.b", "https://", "https://["]
)
def test_a_url_that_nothing_is_delivered_to_is_refused_before_it_is_sent(
    url: str, project: Project, service: EmulatorOnThread
) -> None:
    with pytest.raises(InvalidRequestError, match="https"):
        project.create(name="Shop", url=url)
    assert service.emulator.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda project: project.create(name="Shop", url=URL, event_types=[]),
        lambda project: project.create(name="Shop", url=URL, event_types="realtime.call.incoming"),
        lambda project: project.update("wep_1"),
        lambda project: project.list(limit=0),
        lambda project: project.list(limit=101),
        lambda project: project.retrieve(""),
        lambda project: project.retrieve(".."),
        lambda project: project.delete("a\nb"),
        lambda project: project.test("x" * 257),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_they_are_sent(
    call: Callable[[Project], Any], project: Project, service: EmulatorOnThread
) -> None:
    with pytest.raises(InvalidRequestError):
        call(project)
    assert service.emulator.requests == []


def test_an_id_cannot_reach_another_path(project: Project, service: EmulatorOnThread) -> None:
    with pytest.raises(NotFoundError):
        project.retrieve("wep_1/../../realtime/calls?x=1")
    (request,) = service.emulator.requests
    assert request.path.startswith("/v1/webhook_endpoints/wep_1%2F..")


@pytest.mark.parametrize(
    ("name", "arguments", "tries"),
    [
        ("create", {"name": "Shop", "url": URL}, 1),
        ("rotate_secret", {"endpoint_id": "wep_1"}, 1),
        ("delete", {"endpoint_id": "wep_1"}, 1),
        ("retrieve", {"endpoint_id": "wep_1"}, 2),
        ("update", {"endpoint_id": "wep_1", "name": "Shop"}, 2),
        ("test", {"endpoint_id": "wep_1"}, 2),
        ("list", {}, 2),
    ],
)
def test_what_must_not_happen_twice_is_not_repeated_after_an_unclear_failure(
    name: str, arguments: dict[str, Any], tries: int, project: Project, service: EmulatorOnThread
) -> None:
    service.run(service.emulator.fail, "webhook_endpoints", status=503)
    if tries == 1:
        with pytest.raises(ServerError):
            getattr(project, name)(**arguments)
    elif name == "list":
        assert project.list().data == []
    else:
        with pytest.raises(NotFoundError):
            getattr(project, name)(**arguments)
    assert len(service.emulator.requests) == tries


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 7, "url": "https://a.example"}', b"\xff"])
def test_a_reply_that_is_no_endpoint_is_said(body: bytes) -> None:
    with pytest.raises(UnexpectedReplyError, match=r"webhook_endpoints\.retrieve"):
        retrieve("wep_1").read(Reply(200, {}, body))
