"""What the REST operations put on the wire and make of the answers, on both faces, over httpx and httpx2."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from typing import Any, Literal

import httpx
import httpx2
import pytest

from realtime_sip import AsyncRealtimeSip, Endpoints, RealtimeSession, RealtimeSip, TranscriptionSession
from realtime_sip.errors import (
    AuthenticationError,
    BetaShapeError,
    CallGoneError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    MisuseError,
    NetworkError,
    RateLimitError,
    RealtimeSipError,
    UnexpectedReplyError,
)
from realtime_sip.session import AudioFormatWarning
from realtime_sip.sip import SipUri

Answer = tuple[int, dict[str, str], bytes]


class Face:
    """One face of the client over one HTTP library, talking to a function that answers."""

    def __init__(self, kind: Literal["sync", "async"], library: Any) -> None:
        self.kind = kind
        self.library = library
        self.requests: list[Any] = []
        self.answer: Callable[[], Answer] = lambda: (200, {}, b"")

    def _handle(self, request: Any) -> Any:
        self.requests.append(request)
        status, headers, body = self.answer()
        return self.library.Response(status, headers=headers, content=body)

    def call(self, path: str, *args: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """Call `client.<path>(...)` on this face and return what it returns."""
        options = {"api_key": "sk-test", "timeout": 0.5, **(options or {})}
        transport = self.library.MockTransport(self._handle)
        if self.kind == "sync":
            with self.library.Client(transport=transport) as http_client:
                target: Any = RealtimeSip(http_client=http_client, **options)
                for name in path.split("."):
                    target = getattr(target, name)
                return target(*args, **kwargs)

        async def run() -> Any:
            async with self.library.AsyncClient(transport=transport) as http_client:
                target: Any = AsyncRealtimeSip(http_client=http_client, **options)
                for name in path.split("."):
                    target = getattr(target, name)
                return await target(*args, **kwargs)

        return asyncio.run(run())

    @property
    def sent(self) -> Any:
        """The only request that was sent."""
        (request,) = self.requests
        return request

    @property
    def sent_json(self) -> Any:
        return json.loads(self.sent.content)


@pytest.fixture(params=["sync-httpx", "async-httpx", "sync-httpx2", "async-httpx2"])
def face(request: pytest.FixtureRequest) -> Face:
    kind, _, library = request.param.partition("-")
    return Face(kind, {"httpx": httpx, "httpx2": httpx2}[library])


def test_accept_sends_the_session_at_the_top_level_with_its_type(face: Face) -> None:
    face.call("calls.accept", "rtc_1", RealtimeSession(model="gpt-realtime-2.1", instructions="Be brief."))
    assert face.sent.method == "POST"
    assert str(face.sent.url) == "https://api.openai.com/v1/realtime/calls/rtc_1/accept"
    assert face.sent_json == {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}


def test_accept_takes_a_plain_dict_checked_the_same(face: Face) -> None:
    face.call("calls.accept", "rtc_1", {"audio": {"input": {"turn_detection": None}}})
    assert face.sent_json == {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


def test_a_bad_session_fails_here_before_a_caller_hears_silence(face: Face) -> None:
    with pytest.raises(InvalidRequestError, match=r"audio\.output\.speed"):
        face.call("calls.accept", "rtc_1", {"audio": {"output": {"speed": 9}}})
    with pytest.raises(BetaShapeError, match=r"audio\.output\.voice"):
        face.call("calls.accept", "rtc_1", {"voice": "marin"})
    with pytest.raises(InvalidRequestError):
        face.call("calls.accept", "rtc_1", {"type": "transcription"})
    assert face.requests == []


def test_law_no_false_refusal__an_audio_format_is_sent_with_a_warning_for_each(face: Face) -> None:
    both = {side: {"format": {"type": "audio/pcmu"}} for side in ("input", "output")}
    with pytest.warns(AudioFormatWarning) as caught:
        face.call("calls.accept", "rtc_1", {"audio": both})
    assert [str(each.message).partition(" ")[0] for each in caught] == ["audio.input.format", "audio.output.format"]
    assert face.sent_json["audio"] == both


def test_reject_leaves_the_status_to_the_service_unless_told(face: Face) -> None:
    face.call("calls.reject", "rtc_1")
    assert face.sent.content == b""
    face.requests.clear()
    face.call("calls.reject", "rtc_1", status_code=486)
    assert face.sent_json == {"status_code": 486}


@pytest.mark.parametrize("status", [200, 299, 700, "486"])
def test_reject_refuses_what_is_no_final_failure(face: Face, status: Any) -> None:
    with pytest.raises(InvalidRequestError, match="300 to 699"):
        face.call("calls.reject", "rtc_1", status_code=status)


@pytest.mark.parametrize("target", ["tel:+14155550123", SipUri.parse("tel:+14155550123")])
def test_refer_sends_the_target(face: Face, target: Any) -> None:
    face.call("calls.refer", "rtc_1", target_uri=target)
    assert str(face.sent.url).endswith("/realtime/calls/rtc_1/refer")
    assert face.sent_json == {"target_uri": "tel:+14155550123"}


@pytest.mark.parametrize("target", [None, "", "+14155550123", "https://example.com", "tel:+1415555\r\n0123"])
def test_refer_refuses_what_is_no_target(face: Face, target: str) -> None:
    with pytest.raises(InvalidRequestError):
        face.call("calls.refer", "rtc_1", target_uri=target)
    assert face.requests == []


def test_hangup_sends_no_body(face: Face) -> None:
    face.call("calls.hangup", "rtc_1")
    assert face.sent.content == b""


def test_hangup_of_a_call_that_was_attached_and_is_gone_is_not_repeated(face: Face) -> None:
    face.answer = lambda: (404, {}, b'{"error": {"code": "call_id_not_found", "message": "x", "type": "y"}}')
    with pytest.raises(InvalidRequestError):
        face.call("calls.hangup", "", attached=True)
    with pytest.raises(Exception, match="call_id_not_found"):
        face.call("calls.hangup", "rtc_1", attached=True)
    assert len(face.requests) == 1


def test_law_the_beta_header_is_never_sent(face: Face) -> None:
    face.call("calls.hangup", "rtc_1")
    assert "openai-beta" not in face.sent.headers


def test_key_organization_and_project_ride_in_their_headers(face: Face) -> None:
    face.call("calls.hangup", "rtc_1", options={"organization": "org-1", "project": "proj_1"})
    headers = face.sent.headers
    assert headers["authorization"] == "Bearer sk-test"
    assert headers["openai-organization"] == "org-1"
    assert headers["openai-project"] == "proj_1"
    assert headers["user-agent"].startswith("realtime-sip/")


def test_azure_has_its_own_host_path_and_key_header(face: Face) -> None:
    face.call("calls.hangup", "rtc_1", options={"endpoints": Endpoints.azure("contoso", region="swedencentral")})
    assert str(face.sent.url) == "https://contoso.openai.azure.com/openai/v1/realtime/calls/rtc_1/hangup"
    assert face.sent.headers["api-key"] == "sk-test"
    assert "authorization" not in face.sent.headers


def test_create_sends_offer_and_session_as_a_form_and_returns_answer_and_call_id(face: Face) -> None:
    face.answer = lambda: (201, {"Location": "/v1/realtime/calls/rtc_new"}, b"v=0\r\nanswer")
    call = face.call("calls.create", sdp="v=0\r\noffer", session={"model": "gpt-realtime-2.1"})
    assert (call.call_id, call.sdp) == ("rtc_new", "v=0\r\nanswer")
    read = form(face.sent)
    assert read["sdp"] == ("application/sdp", "v=0\r\noffer")
    kind, payload = read["session"]
    assert kind == "application/json"
    assert json.loads(payload) == {"type": "realtime", "model": "gpt-realtime-2.1"}


def form(request: Any) -> dict[str, tuple[str, str]]:
    """Return the parts of a form by name, each with its type."""
    parts = BytesParser().parsebytes(
        f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode() + request.content
    )
    assert parts.is_multipart()
    return {
        str(part.get_param("name", header="content-disposition")): (part.get_content_type(), str(part.get_payload()))
        for part in parts.walk()
        if not part.is_multipart()
    }


def test_create_without_a_session_sends_the_offer_as_the_kind_of_key_asks(face: Face) -> None:
    offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    face.answer = lambda: (201, {"Location": "/v1/realtime/calls/rtc_new"}, b"v=0")
    face.call("calls.create", sdp=offer, options={"api_key": "sk-proj-1"})
    assert offer.encode() in face.sent.content
    assert form(face.sent).keys() == {"sdp"}
    assert face.sent.headers["accept"] == "application/sdp"

    face.requests.clear()
    face.call("calls.create", sdp=offer, options={"api_key": "ek_1"})
    assert face.sent.headers["content-type"] == face.sent.headers["accept"] == "application/sdp"
    assert face.sent.content == offer.encode()


def test_a_session_goes_along_also_with_an_ephemeral_key(face: Face) -> None:
    face.answer = lambda: (201, {"Location": "/v1/realtime/calls/rtc_new"}, b"v=0")
    face.call("calls.create", sdp="v=0", session={"model": "gpt-realtime-2.1"}, options={"api_key": "ek_1"})
    assert form(face.sent).keys() == {"sdp", "session"}


@pytest.mark.parametrize(
    ("headers", "body"), [({}, b"v=0"), ({"Location": "/"}, b"v=0"), ({"Location": "/x"}, b"\xff")]
)
def test_create_says_when_the_reply_does_not_name_the_call(face: Face, headers: dict[str, str], body: bytes) -> None:
    face.answer = lambda: (201, {**headers, "x-request-id": "req_1"}, body)
    with pytest.raises(UnexpectedReplyError) as caught:
        face.call("calls.create", sdp="v=0")
    assert caught.value.request_id == "req_1"


def test_create_refuses_what_is_no_offer(face: Face) -> None:
    for sdp in ("", "hello", "v=" + "a" * 70_000, "v=\ud800"):
        with pytest.raises(InvalidRequestError, match="SDP"):
            face.call("calls.create", sdp=sdp)


def test_client_secrets_send_session_and_time_and_return_the_key(face: Face) -> None:
    reply = {"value": "ek_abc", "expires_at": 1700000000, "session": {"type": "realtime", "id": "sess_1", "new": 1}}
    face.answer = lambda: (200, {}, json.dumps(reply).encode())
    secret = face.call("client_secrets.create", session={"model": "gpt-realtime-2.1"}, expires_after_seconds=600)
    assert face.sent_json == {
        "expires_after": {"anchor": "created_at", "seconds": 600},
        "session": {"type": "realtime", "model": "gpt-realtime-2.1"},
    }
    assert (secret.value, secret.expires_at) == ("ek_abc", 1700000000)
    assert secret.to_wire() == reply
    assert "ek_abc" not in repr(secret)


@pytest.mark.parametrize("session", [TranscriptionSession(), {"type": "transcription"}])
def test_client_secrets_take_transcription_sessions(face: Face, session: Any) -> None:
    face.answer = lambda: (200, {}, b'{"value": "ek_1", "expires_at": 1, "session": {"type": "transcription"}}')
    face.call("client_secrets.create", session=session)
    assert face.sent_json == {"session": {"type": "transcription"}}


@pytest.mark.parametrize("seconds", [9, 7201, "600"])
def test_client_secrets_refuse_a_time_out_of_range(face: Face, seconds: Any) -> None:
    with pytest.raises(InvalidRequestError, match="10 to 7200"):
        face.call("client_secrets.create", expires_after_seconds=seconds)


def test_client_secrets_say_when_the_reply_holds_no_key(face: Face) -> None:
    face.answer = lambda: (200, {}, b"[]")
    with pytest.raises(UnexpectedReplyError):
        face.call("client_secrets.create")


def test_extra_fields_that_json_cannot_hold_are_refused_at_the_door(face: Face) -> None:
    for value in (float("nan"), object()):
        with pytest.raises(InvalidRequestError):
            face.call("calls.accept", "rtc_1", {"extra_fields": {"new": value}})
    face.call("calls.accept", "rtc_1", {"extra_fields": {"new": [1]}})
    assert face.sent_json == {"type": "realtime", "new": [1]}


def test_a_session_for_a_key_that_json_cannot_hold_is_refused_at_the_door(face: Face) -> None:
    parameters: dict[str, Any] = {}
    parameters["again"] = parameters
    session = {"tools": [{"type": "function", "name": "loop", "parameters": parameters}]}
    with pytest.raises(InvalidRequestError):
        face.call("client_secrets.create", session=session)
    assert face.requests == []


def test_errors_are_mapped_by_the_client_that_was_passed(face: Face) -> None:
    def broken() -> Answer:
        raise face.library.ReadError("broken pipe")

    face.answer = broken
    with pytest.raises(NetworkError, match="ReadError") as caught:
        face.call("calls.accept", "rtc_1", {})
    assert caught.value.sent is True
    assert len(face.requests) == 1


def test_a_connection_that_never_was_is_repeated_until_the_deadline(face: Face) -> None:
    def refused() -> Answer:
        raise face.library.ConnectError("refused")

    face.answer = refused
    with pytest.raises(NetworkError) as caught:
        face.call("calls.refer", "rtc_1", target_uri="tel:+14155550123")
    assert caught.value.sent is False
    assert len(face.requests) > 1


def test_no_answer_in_time_is_a_deadline_error(face: Face) -> None:
    def slow() -> Answer:
        raise face.library.ReadTimeout("slow")

    face.answer = slow
    with pytest.raises(DeadlineError):
        face.call("calls.accept", "rtc_1", {})


@contextmanager
def dribbling_service(reply: bytes) -> Iterator[str]:
    """A service that begins its answer with `reply` and then sends one byte at a time, for ever."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(reply)
                while not over.wait(0.05):
                    connection.sendall(b"x")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        finally:
            over.set()
            thread.join(5)


@pytest.mark.parametrize("sneaked", ["\r\nX: y", "\n", "\x00", "\x7f", "\u2028"])
def test_law_control_characters_never_reach_a_header_or_a_uri(face: Face, sneaked: str) -> None:
    for option in ("api_key", "organization", "project"):
        with pytest.raises(ConfigurationError, match=option):
            face.call("calls.hangup", "rtc_1", options={option: "a" + sneaked})
    for operation, kwargs in (
        ("accept", {"session": {}}),
        ("reject", {}),
        ("refer", {"target_uri": "tel:+14155550123"}),
        ("hangup", {}),
        ("connect", {}),
    ):
        with pytest.raises(InvalidRequestError, match="call_id"):
            face.call(f"calls.{operation}", "rtc_1" + sneaked, **kwargs)
    with pytest.raises(InvalidRequestError, match="SIP"):
        face.call("calls.refer", "rtc_1", target_uri="sip:a@example.com" + sneaked)
    assert face.requests == []


def test_law_bounded__ids_and_offers_have_a_length(face: Face) -> None:
    with pytest.raises(InvalidRequestError, match="256"):
        face.call("calls.hangup", "r" * 257)
    with pytest.raises(InvalidRequestError, match="65536"):
        face.call("calls.create", sdp="v=" + "a" * 70_000)
    assert face.requests == []


def test_law_one_tree__a_client_that_has_been_closed_says_so() -> None:
    client = RealtimeSip("sk-test")
    client.close()
    with pytest.raises(MisuseError, match="closed"):
        client.calls.hangup("rtc_1")

    async def hang_up() -> None:
        client = AsyncRealtimeSip("sk-test")
        await client.close()
        await client.calls.hangup("rtc_1")

    with pytest.raises(MisuseError, match="closed"):
        asyncio.run(hang_up())


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
@pytest.mark.timeout(20)
def test_law_nothing_hangs__a_reply_that_dribbles_is_given_up_in_time(kind: str, reply: bytes) -> None:
    with dribbling_service(reply) as url:
        if kind == "sync":
            with RealtimeSip("sk-test", base_url=url, timeout=0.3) as client, pytest.raises(DeadlineError):
                client.calls.refer("rtc_1", target_uri="tel:+14155550123")
        else:

            async def refer() -> None:
                async with AsyncRealtimeSip("sk-test", base_url=url, timeout=0.3) as client:
                    await client.calls.refer("rtc_1", target_uri="tel:+14155550123")

            with pytest.raises(DeadlineError):
                asyncio.run(refer())


@pytest.mark.timeout(20)
def test_law_nothing_hangs__a_resolver_that_does_not_answer_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, over = threading.Event(), threading.Event()

    def silent(*_args: Any, **_kwargs: Any) -> Any:
        asked.set()
        over.wait()
        raise socket.gaierror("too late")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    try:
        with RealtimeSip("sk-test", base_url="http://service.example/v1", timeout=0.2) as client:
            with pytest.raises(DeadlineError):
                client.calls.hangup("rtc_1")
            with pytest.raises(DeadlineError), client.calls.connect("rtc_1"):
                pass
        assert asked.is_set()
    finally:
        over.set()


def test_a_call_can_be_hung_up_while_the_interpreter_exits() -> None:
    code = """if True:
        import atexit, httpx
        from realtime_sip import RealtimeSip
        http_client = httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200)))
        client = RealtimeSip("sk-test", http_client=http_client)
        atexit.register(lambda: print("hung up", client.calls.hangup("rtc_1")))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "hung up None\n"


GONE = b'{"error": {"type": "x", "code": "call_id_not_found", "message": "No session found", "param": null}}'
OPERATIONS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "accept": ("calls.accept", ("rtc_1", {}), {}),
    "reject": ("calls.reject", ("rtc_1",), {}),
    "reject with a status": ("calls.reject", ("rtc_1",), {"status_code": 486}),
    "hangup": ("calls.hangup", ("rtc_1",), {}),
    "refer": ("calls.refer", ("rtc_1",), {"target_uri": "tel:+14155550123"}),
    "create": ("calls.create", (), {"sdp": "v=0"}),
    "client secret": ("client_secrets.create", (), {}),
}


PATIENT = {"timeout": 30.0}
"""For what succeeds in the end, however busy the machine is."""


def failing_once(failure: Callable[[], Answer]) -> Callable[[], Answer]:
    failures = [failure]
    return lambda: failures.pop()() if failures else (200, {}, b"")


@pytest.mark.parametrize("operation", ["accept", "reject", "reject with a status", "hangup"])
def test_law_an_early_404_is_retried_within_the_ringing_deadline(face: Face, operation: str) -> None:
    path, args, kwargs = OPERATIONS[operation]
    answers: Iterator[Answer] = iter([(404, {}, GONE), (404, {}, GONE), (200, {}, b"")])
    face.answer = lambda: next(answers)
    face.call(path, *args, options=PATIENT, **kwargs)
    assert len(face.requests) == 3


def test_law_an_early_404_is_retried_within_the_ringing_deadline__and_then_said(face: Face) -> None:
    face.answer = lambda: (404, {}, GONE)
    with pytest.raises(CallGoneError):
        face.call("calls.accept", "rtc_1", {})
    assert len(face.requests) > 1


@pytest.mark.parametrize(
    ("operation", "repeated_after"),
    [
        ("accept", {"429"}),
        ("reject", {"429", "500", "no answer"}),
        ("reject with a status", {"429", "500", "no answer"}),
        ("hangup", {"429", "500", "no answer", "404"}),
        ("refer", set()),
        ("create", {"429"}),
        ("client secret", {"429", "500", "no answer"}),
    ],
)
def test_law_retry_only_what_is_safe(face: Face, operation: str, repeated_after: set[str]) -> None:
    path, args, kwargs = OPERATIONS[operation]

    def no_answer() -> Answer:
        raise face.library.ReadTimeout("slow")

    failures: dict[str, Callable[[], Answer]] = {
        "429": lambda: (429, {}, b""),
        "500": lambda: (500, {}, b""),
        "no answer": no_answer,
    }
    if operation in ("refer", "hangup"):
        failures["404"] = lambda: (404, {}, GONE)
    for name, failure in failures.items():
        face.requests.clear()
        face.answer = failing_once(failure)
        with suppress(RealtimeSipError):
            face.call(path, *args, options=PATIENT, **kwargs)
        assert len(face.requests) == (2 if name in repeated_after else 1), name


def test_law_deadlines_fit_a_ringing_phone(face: Face) -> None:
    face.call("calls.hangup", "rtc_1", options={"timeout": RealtimeSip("sk-test").settings.timeout})
    assert 1 <= max(face.sent.extensions["timeout"].values()) <= 10


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("operation", ["accept", "reject", "hangup", "refer", "create"])
def test_any_2xx_is_a_success(face: Face, operation: str, status: int) -> None:
    path, args, kwargs = OPERATIONS[operation]
    face.answer = lambda: (status, {"location": "/v1/realtime/calls/rtc_1"}, b"v=0" if operation == "create" else b"")
    face.call(path, *args, **kwargs)
    assert len(face.requests) == 1


def test_rate_limits_tell_when_to_come_back(face: Face) -> None:
    face.answer = lambda: (429, {"retry-after": "20"}, b"")
    with pytest.raises(RateLimitError) as caught:
        face.call("calls.accept", "rtc_1", {})
    assert caught.value.retry_after == 20


def test_a_redirect_is_not_followed_with_the_key(face: Face) -> None:
    face.answer = lambda: (307, {"location": "https://elsewhere.example/"}, b"")
    with pytest.raises(Exception, match="307"):
        face.call("calls.hangup", "rtc_1")
    assert len(face.requests) == 1


def test_an_endless_reply_is_cut_off(face: Face) -> None:
    face.answer = lambda: (401, {}, b"x" * 3_000_000)
    with pytest.raises(AuthenticationError) as caught:
        face.call("calls.hangup", "rtc_1")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_law_bounded__no_more_than_a_megabyte_of_a_reply_is_read(kind: str) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for _ in range(1000):
            read.append(64 * 1024)
            yield b"x" * 64 * 1024

    async def async_chunks() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, content=chunks() if kind == "sync" else async_chunks())

    def sync() -> None:
        with httpx.Client(transport=httpx.MockTransport(answer)) as http_client:
            RealtimeSip("sk-test", http_client=http_client).calls.hangup("rtc_1")

    async def asynchronous() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http_client:
            await AsyncRealtimeSip("sk-test", http_client=http_client).calls.hangup("rtc_1")

    with pytest.raises(AuthenticationError):
        sync() if kind == "sync" else asyncio.run(asynchronous())
    assert sum(read) <= 1024 * 1024


def test_a_client_of_the_wrong_kind_is_refused(face: Face) -> None:
    with pytest.raises(ConfigurationError, match="http_client"):
        RealtimeSip("sk-test", http_client=face)  # type: ignore[arg-type]
    with face.library.Client() as http_client, pytest.raises(ConfigurationError, match="http_client"):
        AsyncRealtimeSip("sk-test", http_client=http_client)


async def test_without_a_client_of_your_own_it_is_httpx_whatever_is_installed() -> None:
    for client in (RealtimeSip("sk-test"), AsyncRealtimeSip("sk-test")):
        made, library = client._transport._http.get()
        assert library is httpx
        assert isinstance(made, (httpx.Client, httpx.AsyncClient))
        if isinstance(client, RealtimeSip):
            client.close()
        else:
            await client.close()
