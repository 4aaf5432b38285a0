"""The WebSocket on both faces, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve
from websockets.utils import accept_key

import realtime_sip.api.sideband
from realtime_sip import AsyncRealtimeSip, RealtimeSip, events
from realtime_sip.api.protocol import MAX_EVENT_BYTES, Protocol, attach
from realtime_sip.errors import (
    AuthenticationError,
    BetaShapeError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    MisuseError,
    NetworkError,
    PermissionDeniedError,
    ServiceError,
    SocketClosedError,
)
from realtime_sip.items import UserMessage
from realtime_sip.outcomes import SocketCloseKind

CLEARED = {"type": "input_audio_buffer.cleared", "event_id": "event_1"}


class Service:
    """A WebSocket server of one script: what it got is in `received`, how it refuses is `refusals`."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self.refusals: list[tuple[int, bytes]] = []
        self.script: Callable[[ServerConnection], None] = lambda connection: None
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[Service]:
        def handle(connection: ServerConnection) -> None:
            self.script(connection)

        def process(connection: ServerConnection, request: Request) -> Response | None:
            self.paths.append(request.path)
            self.headers.append({name.lower(): value for name, value in request.headers.raw_items()})
            if not self.refusals:
                return None
            status, body = self.refusals.pop(0)
            response = connection.respond(http.HTTPStatus(status), "")
            response.headers["x-request-id"] = "req_7"
            if 300 <= status < 400:
                response.headers["Location"] = body.decode()
            response.body = body
            del response.headers["Content-Length"]
            response.headers["Content-Length"] = str(len(body))
            return response

        def listen() -> None:
            # A test that is over before this thread has begun leaves websockets a closed socket to name in its log.
            with contextlib.suppress(OSError):
                server.serve_forever()

        server: Server
        with serve(handle, "127.0.0.1", 0, process_request=process, compression=None, max_size=None) as server:
            self.port = server.socket.getsockname()[1]
            thread = threading.Thread(target=listen)
            thread.start()
            yield self
            server.shutdown()
            thread.join(5)
            assert not thread.is_alive()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def collect(self, connection: ServerConnection) -> None:
        """Keep what comes until the client closes."""
        for message in connection:
            self.received.put(json.loads(message))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service().running() as service:
        yield service


class Seen:
    """What a client of one face saw on its socket."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.error: BaseException | None = None
        self.closed: Any = None


def listen(
    kind: str, service: Service, *, say: Sequence[Any] = (), options: dict[str, Any] | None = None, **connect: Any
) -> Seen:
    """Connect, send `say`, iterate to the end, and return what was seen."""
    seen = Seen()
    options = {"api_key": "sk-test", "base_url": service.base_url, "timeout": 2.0, **(options or {})}

    def sync() -> None:
        with RealtimeSip(**options) as client:
            opening = client.calls.connect("rtc_1") if not connect else client.connect(**connect)
            with opening as sideband:
                try:
                    for event in say:
                        sideband.send(event)
                    for received in sideband:
                        seen.events.append(received)
                except SocketClosedError as error:
                    seen.error = error
            seen.closed = sideband.closed

    async def asynchronous() -> None:
        async with AsyncRealtimeSip(**options) as client:
            opening = client.calls.connect("rtc_1") if not connect else client.connect(**connect)
            async with opening as sideband:
                try:
                    for event in say:
                        await sideband.send(event)
                    async for received in sideband:
                        seen.events.append(received)
                except SocketClosedError as error:
                    seen.error = error
            seen.closed = sideband.closed

    sync() if kind == "sync" else asyncio.run(asynchronous())
    return seen


faces = pytest.mark.parametrize("kind", ["sync", "async"])


@faces
def test_the_sideband_is_opened_by_call_id_with_the_key_and_without_compression(kind: str, service: Service) -> None:
    listen(kind, service)
    assert service.paths == ["/v1/realtime?call_id=rtc_1"]
    assert service.headers[0]["authorization"] == "Bearer sk-test"
    assert "openai-beta" not in service.headers[0]
    assert "sec-websocket-extensions" not in service.headers[0]


@faces
def test_law_the_beta_header_is_never_sent(kind: str, service: Service) -> None:
    listen(kind, service)
    listen(kind, service, model="gpt-realtime-2.1")
    assert len(service.headers) == 2
    assert not [name for headers in service.headers for name in headers if "beta" in name]


@faces
def test_the_primary_socket_is_opened_by_model_or_by_intent(kind: str, service: Service) -> None:
    listen(kind, service, model="gpt-realtime-2.1")
    listen(kind, service, intent="transcription")
    assert service.paths == ["/v1/realtime?model=gpt-realtime-2.1", "/v1/realtime?intent=transcription"]
    with pytest.raises(ConfigurationError):
        listen(kind, service, model=None)


@faces
def test_events_come_typed_and_in_order_and_the_iteration_ends_with_the_socket(kind: str, service: Service) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(json.dumps(CLEARED))
        connection.send(
            b'{"type": "input_audio_buffer.dtmf_event_received", "event": "9", "received_at": 1}', text=True
        )
        connection.send('{"type": "something.new", "event_id": "event_3"}')

    service.script = script
    seen = listen(kind, service)
    assert [type(event) for event in seen.events] == [
        events.InputAudioBufferCleared,
        events.InputAudioBufferDtmfEventReceived,
        events.UnknownServerEvent,
    ]
    assert seen.error is None


@faces
@pytest.mark.parametrize("frame", ["[]", "7", "not json", '{"a":' * 500 + "1" + "}" * 500, b"\xff\xfe", ""])
def test_law_a_frame_that_is_no_event_is_logged_and_skipped(
    kind: str, service: Service, frame: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(frame)
        connection.send(json.dumps(CLEARED))

    service.script = script
    seen = listen(kind, service)
    assert [event.type for event in seen.events] == ["input_audio_buffer.cleared"]
    assert "skipped a frame" in caplog.text


@faces
def test_law_a_frame_that_is_too_large_is_logged_and_skipped(
    kind: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(json.dumps({**CLEARED, "padding": "x" * MAX_EVENT_BYTES}))
        connection.send(json.dumps(CLEARED))

    service.script = script
    assert len(listen(kind, service).events) == 1
    assert "larger than" in caplog.text


@faces
def test_law_bounded__a_frame_without_bounds_is_not_waited_for(kind: str, service: Service) -> None:
    codes: queue.Queue[int] = queue.Queue()

    def script(connection: ServerConnection) -> None:
        with connection.protocol_mutex:
            connection.socket.sendall(b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"{")
        try:
            connection.recv(timeout=5)
        except ConnectionClosed as closed:
            codes.put(closed.rcvd.code if closed.rcvd else 0)

    service.script = script
    listen(kind, service)
    assert codes.get(timeout=5) == CloseCode.MESSAGE_TOO_BIG


@faces
@pytest.mark.parametrize("size", [4096, 1024 * 1024])
def test_law_bounded__what_waits_for_a_slow_reader_is_not_all_that_comes(
    size: int, kind: str, service: Service
) -> None:
    # Far more than what TCP buffers, and the queue's frames or bytes, can hold.
    outcomes: queue.Queue[str] = queue.Queue()
    frame = b"\x81\x7f" + size.to_bytes(8, "big") + b"x" * size

    def script(connection: ServerConnection) -> None:
        connection.socket.settimeout(1.0)
        try:
            for _ in range(120):
                connection.socket.sendall(frame * (1024 * 1024 // size))
        except TimeoutError:
            outcomes.put("the service has to wait")
        else:
            outcomes.put("all was taken")

    service.script = script
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": service.base_url}

    async def asynchronous() -> str:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1"):
            return await asyncio.to_thread(outcomes.get, timeout=20)

    def sync() -> str:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1"):
            return outcomes.get(timeout=20)

    assert (sync() if kind == "sync" else asyncio.run(asynchronous())) == "the service has to wait"


@faces
def test_what_waited_for_a_slow_reader_is_all_read_in_the_end(kind: str, service: Service) -> None:
    text = "x" * 1024 * 1024

    def script(connection: ServerConnection) -> None:
        for number in range(60):  # far more bytes than may wait
            connection.send(json.dumps({"type": "large", "event_id": str(number), "text": text}))
        connection.send(json.dumps({"type": "small", "event_id": "last"}))
        connection.recv()

    service.script = script
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": service.base_url}

    async def asynchronous() -> list[str | None]:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            return [(await sideband.recv(timeout=20)).event_id for _ in range(61)]

    def sync() -> list[str | None]:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            return [sideband.recv(timeout=20).event_id for _ in range(61)]

    came = sync() if kind == "sync" else asyncio.run(asynchronous())
    assert came == [*map(str, range(60)), "last"]


@faces
@pytest.mark.parametrize(
    ("code", "kind_of_close", "quiet"),
    [
        (1000, SocketCloseKind.NORMAL, True),
        (1005, SocketCloseKind.NORMAL, True),
        (1001, SocketCloseKind.GOING_AWAY, False),
        (1011, SocketCloseKind.FAILED, False),
        (1012, SocketCloseKind.GOING_AWAY, False),
        (1008, SocketCloseKind.REFUSED, False),
        (1009, SocketCloseKind.REFUSED, False),
        (4000, SocketCloseKind.REFUSED, False),
        (1006, SocketCloseKind.DROPPED, False),
    ],
)
def test_law_every_close_is_classified__quiet_at_a_normal_end_and_raised_otherwise(
    kind: str, service: Service, code: int, kind_of_close: SocketCloseKind, quiet: bool
) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(json.dumps(CLEARED))
        if code == 1006:
            connection.socket.shutdown(socket.SHUT_RDWR)
        elif code == 1005:
            with connection.send_context():
                connection.protocol.send_close()
        else:
            connection.close(code, "because")

    service.script = script
    seen = listen(kind, service)
    assert len(seen.events) == 1
    assert (seen.closed.kind, seen.closed.code) == (kind_of_close, code)
    assert (seen.error is None) is quiet
    if isinstance(seen.error, SocketClosedError):
        assert seen.error.close == seen.closed
        assert str(code) in str(seen.error)


@faces
@pytest.mark.parametrize("whole", [True, False])
def test_a_session_that_expired_ends_quietly_and_says_so(kind: str, service: Service, whole: bool) -> None:
    def script(connection: ServerConnection) -> None:
        error: dict[str, Any] = {"code": "session_expired"}
        if whole:
            error |= {"type": "invalid_request_error", "message": "60 minutes"}
        connection.send(json.dumps({"type": "error", "event_id": "event_1", "error": error}))
        connection.close(1001)

    service.script = script
    seen = listen(kind, service)
    assert seen.closed.kind is SocketCloseKind.EXPIRED
    assert seen.error is None


@faces
def test_a_close_of_ours_is_ours(kind: str, service: Service) -> None:
    service.script = service.collect
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": service.base_url}

    async def asynchronous() -> Any:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            assert sideband.closed is None
            await sideband.close()
            with pytest.raises(SocketClosedError):
                await sideband.response_create()
            assert [event async for event in sideband] == []
        return sideband.closed

    def sync() -> Any:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            assert sideband.closed is None
            sideband.close()
            with pytest.raises(SocketClosedError):
                sideband.response_create()
            assert list(sideband) == []
        return sideband.closed

    closed = sync() if kind == "sync" else asyncio.run(asynchronous())
    assert closed.kind is SocketCloseKind.OURS


GONE = b'{"error": {"type": "x", "code": "call_id_not_found", "message": "No session found", "param": null}}'


@faces
def test_an_early_404_is_retried_until_the_call_is_ready(kind: str, service: Service) -> None:
    service.refusals = [(404, GONE), (404, GONE)]
    assert listen(kind, service).closed.code == 1000
    assert len(service.paths) == 3


@faces
def test_a_call_that_never_becomes_ready_is_said_within_the_deadline(kind: str, service: Service) -> None:
    service.refusals = [(404, GONE)] * 100
    with pytest.raises(CallGoneError) as caught:
        listen(kind, service, options={"timeout": 0.5})
    assert caught.value.request_id == "req_7"
    assert len(service.paths) > 1


@faces
def test_a_key_that_is_refused_is_said_at_once(kind: str, service: Service) -> None:
    service.refusals = [(401, b"")]
    with pytest.raises(AuthenticationError):
        listen(kind, service)
    assert len(service.paths) == 1


@faces
def test_law_secrets_do_not_follow_a_redirect(kind: str, service: Service) -> None:
    with Service().running() as elsewhere:
        for location in (f"{elsewhere.base_url}/realtime", "/v1/realtime", "http://[", ""):
            service.refusals = [(307, location.encode())]
            with pytest.raises(ServiceError, match="307"):
                listen(kind, service)
    assert elsewhere.paths == []
    assert len(service.paths) == 4


@faces
def test_a_service_that_is_away_is_a_network_error_within_the_deadline(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = Service()
        away.port = taken.getsockname()[1]
        with pytest.raises(NetworkError) as caught:
            listen(kind, away, options={"timeout": 0.3})
    assert caught.value.sent is False


@faces
def test_a_service_that_does_not_answer_the_handshake_is_a_deadline_error(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away = Service()
        away.port = silent.getsockname()[1]
        with pytest.raises(DeadlineError):
            listen(kind, away, options={"timeout": 0.3})


@faces
def test_a_service_that_speaks_something_else_is_a_network_error(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        away = Service()
        away.port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"220 smtp\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(NetworkError):
            listen(kind, away, options={"timeout": 0.05})
        thread.join(5)


@faces
@pytest.mark.parametrize("interim", ["100 Continue", "103 Early Hints", "103"])
@pytest.mark.parametrize("pieces", [1, 7, 1000])
@pytest.mark.parametrize("status", ["101 Switching Protocols", "403 Forbidden"])
def test_a_1xx_before_the_answer_is_skipped(kind: str, interim: str, pieces: int, status: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        away = Service()
        away.port = server.getsockname()[1]

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                key = next(
                    line for line in connection.recv(65536).split(b"\r\n") if b"sec-websocket-key" in line.lower()
                )
                accept = accept_key(key.partition(b": ")[2].decode())
                early = f"HTTP/1.1 {interim}\r\nlink: </x>\r\n\r\n" * 2
                head = f"HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n"
                whole = f"{early}{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + b"\x88\x02\x03\xe8"
                with contextlib.suppress(OSError):  # a client that was refused does not wait for the rest
                    for at in range(0, len(whole), pieces):
                        connection.sendall(whole[at : at + pieces])
                    connection.recv(1024)

        thread = threading.Thread(target=answer)
        thread.start()
        if status.startswith("101"):
            seen = listen(kind, away, options={"timeout": 5})
            assert seen.closed is not None
            assert seen.closed.code == 1000
        else:
            with pytest.raises(PermissionDeniedError):
                listen(kind, away, options={"timeout": 5})
        server.close()
        thread.join(5)


# What each helper sends, beside the id.
HELPERS: list[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    ("session_update", ({"instructions": "x"},), {}, {"session": {"type": "realtime", "instructions": "x"}}),
    ("response_create", (), {}, {}),
    ("response_create", ({"instructions": "x"},), {}, {"response": {"instructions": "x"}}),
    ("response_cancel", (), {}, {}),
    ("response_cancel", ("resp_1",), {}, {"response_id": "resp_1"}),
    (
        "conversation_item_create",
        (UserMessage.model_validate({"content": [{"type": "input_text", "text": "hi"}]}),),
        {"previous_item_id": "root"},
        {
            "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            "previous_item_id": "root",
        },
    ),
    ("conversation_item_delete", ("item_1",), {}, {"item_id": "item_1"}),
    ("conversation_item_retrieve", ("item_1",), {}, {"item_id": "item_1"}),
    (
        "conversation_item_truncate",
        ("item_1",),
        {"audio_end_ms": 5},
        {"item_id": "item_1", "audio_end_ms": 5, "content_index": 0},
    ),
    ("input_audio_buffer_append", ("AAAA",), {}, {"audio": "AAAA"}),
    ("input_audio_buffer_commit", (), {}, {}),
    ("input_audio_buffer_clear", (), {}, {}),
    ("output_audio_buffer_clear", (), {}, {}),
]


@faces
def test_there_is_a_helper_for_every_client_event_and_it_sends_just_that(kind: str, service: Service) -> None:
    service.script = service.collect
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": service.base_url}
    ids: list[str] = []

    async def asynchronous() -> None:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            for name, args, kwargs, _ in HELPERS:
                ids.append(await getattr(sideband, name)(*args, **kwargs))

    def sync() -> None:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            ids.extend(getattr(sideband, name)(*args, **kwargs) for name, args, kwargs, _ in HELPERS)

    sync() if kind == "sync" else asyncio.run(asynchronous())
    for (name, _, _, expected), event_id in zip(HELPERS, ids, strict=True):
        sent = service.received.get(timeout=5)
        assert sent.pop("type").replace(".", "_") == name
        assert sent.pop("event_id") == event_id
        assert sent == expected
    assert len(set(ids)) == len(ids)
    assert {name for name, *_ in HELPERS} == {
        kind.model_fields["type"].default.replace(".", "_") for kind in get_args(events.ClientEvent)
    }


@faces
def test_waiting_for_an_event_has_a_deadline(kind: str, service: Service) -> None:
    service.script = service.collect
    options: dict[str, Any] = {"api_key": "sk-test", "base_url": service.base_url}

    async def asynchronous() -> None:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            await sideband.recv(timeout=0.01)

    def sync() -> None:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            sideband.recv(timeout=0.01)

    with pytest.raises(DeadlineError):
        sync() if kind == "sync" else asyncio.run(asynchronous())


@contextmanager
def deaf_service() -> Iterator[Service]:
    """A service that opens WebSockets and then reads nothing more; its buffers are full at once."""
    deaf = Service()
    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.port = server.getsockname()[1]

        def serve_one() -> None:
            connection, _ = server.accept()
            with connection:
                request = connection.recv(65536)
                key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
                accept = accept_key(key.partition(b": ")[2].decode())
                connection.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
                )
                gone.wait()

        thread = threading.Thread(target=serve_one)
        thread.start()
        try:
            yield deaf
        finally:
            gone.set()
            thread.join(5)


@faces
@pytest.mark.timeout(30)
def test_law_nothing_hangs__a_service_that_does_not_read_is_dropped_in_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_sip.api.sideband, "SEND_TIMEOUT", 0.2)
    monkeypatch.setattr(realtime_sip.api.sideband, "_CLOSE_AT_MOST", 0.2)
    item = UserMessage.text("x" * 12_000_000)

    async def asynchronous(options: dict[str, Any]) -> Any:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            with pytest.raises(DeadlineError):
                await sideband.conversation_item_create(item)
            with pytest.raises(SocketClosedError):
                await sideband.recv()
        return sideband.closed

    def sync(options: dict[str, Any]) -> Any:
        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            with pytest.raises(DeadlineError):
                sideband.conversation_item_create(item)
            with pytest.raises(SocketClosedError):
                sideband.recv()
        return sideband.closed

    with deaf_service() as deaf:
        options: dict[str, Any] = {"api_key": "sk-test", "base_url": deaf.base_url, "ping_interval": None}
        closed = sync(options) if kind == "sync" else asyncio.run(asynchronous(options))
    assert (closed.kind, closed.code) == (SocketCloseKind.DROPPED, 1006)


@faces
@pytest.mark.timeout(30)
def test_law_nothing_hangs__closing_does_not_wait_for_what_the_service_does_not_read(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_sip.api.sideband, "_CLOSE_AT_MOST", 0.2)
    item = UserMessage.text("x" * 12_000_000)

    async def asynchronous(options: dict[str, Any]) -> Any:
        async with AsyncRealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            sending = asyncio.ensure_future(sideband.conversation_item_create(item))
            done, _ = await asyncio.wait([sending], timeout=0.1)
            assert not done
        with suppress(SocketClosedError):
            await sending
        return sideband.closed

    def sync(options: dict[str, Any]) -> Any:
        errors: list[BaseException] = []

        def send() -> None:
            try:
                sideband.conversation_item_create(item)
            except SocketClosedError as error:
                errors.append(error)

        with RealtimeSip(**options) as client, client.calls.connect("rtc_1") as sideband:
            thread = threading.Thread(target=send)
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()
        thread.join()
        assert len(errors) == 1
        return sideband.closed

    with deaf_service() as deaf:
        options: dict[str, Any] = {"api_key": "sk-test", "base_url": deaf.base_url, "ping_interval": None}
        closed = sync(options) if kind == "sync" else asyncio.run(asynchronous(options))
    assert (closed.kind, closed.code) == (SocketCloseKind.OURS, 1006)


async def test_two_readers_are_told_apart_from_a_broken_socket(service: Service) -> None:
    service.script = service.collect
    async with (
        AsyncRealtimeSip("sk-test", base_url=service.base_url) as client,
        client.calls.connect("rtc_1") as sideband,
    ):
        first = asyncio.ensure_future(sideband.recv(timeout=5))
        await asyncio.sleep(0)
        with pytest.raises(MisuseError):
            await sideband.recv(timeout=5)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


@faces
def test_law_frames_keys_and_words_are_not_logged(
    kind: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(json.dumps({**CLEARED, "transcript": "my card is 4111"}))
        connection.send('{"type": "something.new", "transcript": "my card is 4111"}')
        connection.send('["my card is 4111"]')
        connection.send("my card is 4111" + " " * MAX_EVENT_BYTES)
        connection.recv()

    service.script = script
    with caplog.at_level(logging.DEBUG):
        listen(kind, service, say=[{"type": "response.create", "response": {"instructions": "say hush"}}])
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("websockets.server"))
    for word in ("4111", "hush", "sk-test"):
        assert word not in ours


def test_law_beta_shapes_are_refused_before_they_are_sent() -> None:
    protocol = Protocol()
    with pytest.raises(BetaShapeError, match=r"audio\.output\.voice"):
        protocol.encode({"type": "session.update", "session": {"type": "realtime", "voice": "marin"}})
    with pytest.raises(BetaShapeError, match=r"session\.update"):
        protocol.encode({"type": "transcription_session.update", "session": {}})


@pytest.mark.parametrize(
    "event",
    [{}, {"type": "response.made_up"}, {"type": 7}, {"type": "response.create", "x": 1}, None, "response.create", []],
)
def test_what_is_no_client_event_is_refused(event: Any) -> None:
    with pytest.raises(InvalidRequestError):
        Protocol().encode(event)


def test_law_bounded__an_event_larger_than_the_service_takes_is_refused() -> None:
    # 15 MiB of audio are 20 MiB of base64.
    Protocol().encode({"type": "input_audio_buffer.append", "audio": "A" * (20 * 1024 * 1024)})
    with pytest.raises(InvalidRequestError, match="at most"):
        Protocol().encode({"type": "input_audio_buffer.append", "audio": "A" * (20 * 1024 * 1024 + 1)})
    with pytest.raises(InvalidRequestError, match="larger"):
        Protocol().encode(
            {"type": "session.update", "session": {"type": "realtime", "instructions": "A" * (21 * 1024 * 1024)}}
        )


def test_an_error_is_correlated_to_the_event_that_caused_it() -> None:
    protocol = Protocol()
    _, event_id = protocol.encode(events.ResponseCreate())
    raw = {"type": "error", "event_id": "event_9", "error": {"type": "x", "message": "m", "event_id": event_id}}
    error = protocol.receive(json.dumps(raw))
    assert isinstance(error, events.Error)
    assert isinstance(protocol.cause(error), events.ResponseCreate)


def test_ids_given_are_kept_and_what_is_remembered_is_bounded() -> None:
    protocol = Protocol()
    assert protocol.encode({"type": "response.create", "event_id": "mine"})[1] == "mine"
    for _ in range(300):
        protocol.encode(events.ResponseCreate())
    raw = {"type": "error", "event_id": "event_9", "error": {"type": "x", "message": "m", "event_id": "mine"}}
    error = protocol.receive(json.dumps(raw))
    assert isinstance(error, events.Error)
    assert protocol.cause(error) is None


def test_law_bounded__appended_audio_is_not_remembered_and_pushes_nothing_out() -> None:
    protocol = Protocol()
    _, event_id = protocol.encode({"type": "session.update", "session": {"type": "realtime"}})
    audio_ids = [protocol.encode({"type": "input_audio_buffer.append", "audio": "AAAA"})[1] for _ in range(300)]

    def cause(named: str) -> events.ClientEvent | None:
        raw = {"type": "error", "event_id": "event_9", "error": {"type": "x", "message": "m", "event_id": named}}
        error = protocol.receive(json.dumps(raw))
        assert isinstance(error, events.Error)
        return protocol.cause(error)

    assert isinstance(cause(event_id), events.SessionUpdate)
    assert cause(audio_ids[-1]) is None


@faces
def test_a_model_that_no_url_can_hold_is_refused(kind: str, service: Service) -> None:
    for model in ("\ud800", "a\r\nb"):
        with pytest.raises(InvalidRequestError):
            listen(kind, service, model=model)
    with pytest.raises(ConfigurationError):
        listen(kind, service, model="")


@given(st.one_of(st.none(), st.integers(0, 5000)), st.one_of(st.none(), st.text(max_size=200)))
def test_any_close_is_classified_and_printable(code: int | None, reason: str | None) -> None:
    close = Protocol().closed(code, reason)
    assert isinstance(close.kind, SocketCloseKind)
    assert len(str(close)) < 400
    assert str(close).isprintable()


@given(st.one_of(st.text(max_size=300), st.binary(max_size=300)))
def test_law_no_frame_kills_a_live_call(frame: str | bytes) -> None:
    Protocol().receive(frame)


@pytest.mark.parametrize("part", ["{}", "[]"])
def test_law_a_frame_of_a_million_nothings_does_not_hold_the_loop(part: str, caplog: pytest.LogCaptureFixture) -> None:
    head = '{"type": "session.updated", "event_id": "event_1", "session": {"type": "realtime", "tools": ['
    many = (4 * 1024 * 1024 - len(head) - 8) // 3
    frame = head + ",".join([part] * many) + "]}}"
    began = time.perf_counter()
    assert Protocol().receive(frame) is None
    assert Protocol().receive(frame.encode()) is None
    assert time.perf_counter() - began < 0.5
    assert "objects and lists" in caplog.text
    long = json.dumps({"type": "session.updated", "session": {"type": "realtime", "instructions": "x" * 3_000_000}})
    assert Protocol().receive(long) is not None


def test_a_socket_that_opened_too_late_is_closed_without_a_warning(service: Service) -> None:
    service.script = service.collect
    with RealtimeSip("sk-test", base_url=service.base_url) as client:
        # As what becomes of a socket for which nobody waits any more: websockets 17.1 wants it in a `with` block.
        client.calls.transport.open(attach("rtc_1")).close()
    assert service.paths == ["/v1/realtime?call_id=rtc_1"]
