"""The rules of asking and repeating, without any I/O: what `exchange` does for each answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_sip.api.operations import Failure, Operation, Pause, Repeat, Reply, Request, call_path, exchange, nothing
from realtime_sip.errors import (
    AuthenticationError,
    BadRequestError,
    CallGoneError,
    DeadlineError,
    DecisionAlreadyMadeError,
    EndedError,
    InvalidRequestError,
    NetworkError,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    RealtimeSipError,
    ServerError,
    ServiceError,
)


def refused(status: int, code: str | None = None, message: str = "no", **headers: str) -> Reply:
    body = {"error": {"type": "invalid_request_error", "code": code, "message": message, "param": None}}
    return Reply(status, headers, json.dumps(body).encode())


GONE = refused(404, "call_id_not_found")
OK = Reply(200, {})
NO_CONNECTION = Failure("ConnectError", sent=False)
NO_ANSWER = Failure("ReadError", sent=True)
TOO_LATE = Failure("ReadTimeout", sent=True, timed_out=True)


class Played:
    """Plays answers to an operation on a clock that only pauses move."""

    def __init__(self, operation: Operation[None], answers: Iterable[Reply | Failure], deadline: float = 5.0) -> None:
        self.now = 100.0
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.error: RealtimeSipError | None = None
        steps = exchange(operation, deadline=deadline, clock=lambda: self.now)
        pending = list(answers)
        outcome: Reply | Failure | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    outcome = None
                else:
                    self.requests.append(step)
                    # The last answer goes on for ever.
                    outcome = pending.pop(0) if len(pending) > 1 else pending[0]
        except StopIteration:
            pass
        except RealtimeSipError as error:
            self.error = error


def operation(repeat: Repeat, *, early_404: bool = False) -> Operation[None]:
    return Operation("act", "/realtime/calls/rtc_1/act", nothing, repeat, early_404=early_404)


UNSENT, REFUSED, ANY = operation(Repeat.UNSENT), operation(Repeat.REFUSED), operation(Repeat.ANY)


@pytest.mark.parametrize("act", [UNSENT, REFUSED, ANY])
def test_a_request_that_never_arrived_is_always_repeated(act: Operation[None]) -> None:
    played = Played(act, [NO_CONNECTION, NO_CONNECTION, OK])
    assert played.error is None
    assert len(played.requests) == 3


@pytest.mark.parametrize("answer", [NO_ANSWER, refused(500), refused(503), refused(429), refused(409)])
def test_law_retry_only_what_is_safe__a_transfer_is_never_repeated_once_it_may_have_arrived(
    answer: Reply | Failure,
) -> None:
    played = Played(UNSENT, [answer])
    assert len(played.requests) == 1
    assert played.error is not None


@pytest.mark.parametrize("answer", [NO_ANSWER, refused(500), refused(503)])
def test_law_retry_only_what_is_safe__an_unclear_accept_or_reject_is_not_repeated(answer: Reply | Failure) -> None:
    played = Played(REFUSED, [answer, OK])
    assert len(played.requests) == 1
    assert isinstance(played.error, (NetworkError, ServerError))


@pytest.mark.parametrize("answer", [NO_ANSWER, NO_CONNECTION, refused(500), refused(503), refused(429)])
def test_law_retry_only_what_is_safe__hanging_up_is_always_repeated(answer: Reply | Failure) -> None:
    assert Played(ANY, [answer, answer, OK]).error is None


def test_law_an_early_404_is_repeated_within_one_ringing_deadline_and_then_said() -> None:
    act = operation(Repeat.REFUSED, early_404=True)
    assert Played(act, [GONE, GONE, GONE, OK]).error is None
    played = Played(act, [GONE])
    assert isinstance(played.error, CallGoneError)
    assert 4.0 < sum(played.pauses) <= 5.0


def test_law_after_one_successful_attach_404_means_ended_and_is_not_repeated() -> None:
    played = Played(REFUSED, [GONE])
    assert len(played.requests) == 1
    assert isinstance(played.error, CallGoneError)


def test_another_404_is_never_taken_for_a_call_that_is_not_ready() -> None:
    played = Played(operation(Repeat.REFUSED, early_404=True), [refused(404, "unknown_url")])
    assert len(played.requests) == 1
    assert isinstance(played.error, NotFoundError)
    assert not isinstance(played.error, CallGoneError)


def test_retry_after_is_waited_for_when_it_fits_the_deadline() -> None:
    played = Played(REFUSED, [refused(429, **{"retry-after": "3"}), OK])
    assert played.error is None
    assert played.pauses[0] >= 3


def test_retry_after_beyond_the_deadline_fails_at_once_and_tells_when() -> None:
    played = Played(REFUSED, [refused(429, **{"retry-after": "30"})])
    assert isinstance(played.error, RateLimitError)
    assert played.error.retry_after == 30
    assert played.pauses == []


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("1.5", "", 1.5),
        ("-4", "", None),
        ("Sun, 22 Nov 2026 10:00:07 GMT", "Sun, 22 Nov 2026 10:00:00 GMT", 7),
        ("Sun, 22 Nov 2026 10:00:07 GMT", "", None),
        ("soon", "", None),
        ("nan", "", None),
        ("Sun, 22 Nov 2026 10:00:07 +99999999999999999999", "Sun, 22 Nov 2026 10:00:00 GMT", None),
        ("", "", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, date: str, seconds: float | None) -> None:
    played = Played(UNSENT, [refused(429, **{"retry-after": header, "date": date})])
    assert isinstance(played.error, RateLimitError)
    assert played.error.retry_after == seconds


@pytest.mark.parametrize("seconds", ["86400", "9" * 9, "9" * 40, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_law_an_absurd_retry_after_is_no_sleep(seconds: str) -> None:
    headers = {"retry-after": seconds, "date": "Sun, 22 Nov 2026 10:00:00 GMT"}
    played = Played(ANY, [refused(429, **headers), OK], deadline=100_000.0)
    assert isinstance(played.error, RateLimitError)
    assert played.error.retry_after == 3600
    assert played.pauses == []


@pytest.mark.parametrize("seconds", ["1e400", "inf", "nan", "-1", "0x10", "1,5", "9" * 400])
def test_law_an_absurd_retry_after_is_no_sleep__what_is_not_a_number_is_no_advice(seconds: str) -> None:
    played = Played(ANY, [refused(429, **{"retry-after": seconds}), OK])
    assert played.error is None
    assert sum(played.pauses) < 1


def test_law_every_exchange_ends_within_its_deadline__also_if_a_test_has_stopped_the_clock() -> None:
    pauses: list[float] = []

    def refusing() -> None:
        steps = exchange(ANY, deadline=5.0, clock=lambda: 100.0)
        step: Request | Pause = next(steps)
        while True:
            pauses.extend([step.seconds] if isinstance(step, Pause) else [])
            step = steps.send(None if isinstance(step, Pause) else refused(429))

    with pytest.raises(RateLimitError):
        refusing()
    assert 2 < sum(pauses) <= 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "insufficient_quota", "code": None}, "insufficient_quota"),
        ({"type": "insufficient_quota", "code": "429"}, "insufficient_quota"),
        ({"type": "invalid_request_error", "code": "billing_hard_limit_reached"}, "billing_hard_limit_reached"),
        ({"type": "billing_not_active", "code": "billing_not_active"}, "billing_not_active"),
    ],
)
@pytest.mark.parametrize("status", [400, 402, 403, 429, 503])
def test_an_account_that_cannot_pay_is_named_whatever_the_status(
    error: dict[str, str | None], code: str, status: int
) -> None:
    played = Played(ANY, [Reply(status, {}, json.dumps({"error": error}).encode())])
    assert isinstance(played.error, QuotaError)
    assert (played.error.code, played.error.status_code) == (code, status)
    assert len(played.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refused(402), QuotaError),
        (refused(400, "invalid_value"), BadRequestError),
        (refused(422), BadRequestError),
        (refused(401, "invalid_api_key"), AuthenticationError),
        (refused(403), PermissionDeniedError),
        (refused(404), NotFoundError),
        (GONE, CallGoneError),
        (refused(410), CallGoneError),
        (refused(404, "decision_already_made"), DecisionAlreadyMadeError),
        (refused(409, "decision_already_made"), DecisionAlreadyMadeError),
        (refused(429), RateLimitError),
        (refused(500), ServerError),
        (refused(599), ServerError),
        (refused(418), ServiceError),
        (Reply(302, {"location": "https://elsewhere.example"}), ServiceError),
    ],
)
def test_an_answer_is_named_by_its_meaning(reply: Reply, kind: type[ServiceError]) -> None:
    error = Played(UNSENT, [reply]).error
    assert isinstance(error, ServiceError)
    assert type(error) is kind
    assert error.status_code == reply.status


def test_a_call_that_is_gone_is_caught_as_not_found_and_as_ended() -> None:
    error = Played(UNSENT, [GONE]).error
    assert isinstance(error, NotFoundError)
    assert isinstance(error, EndedError)


def test_code_param_and_request_id_are_kept() -> None:
    body = b'{"error": {"type": "x", "code": "unknown_parameter", "message": "no", "param": "session.foo"}}'
    error = Played(UNSENT, [Reply(400, {"x-request-id": "req_1"}, body)]).error
    assert isinstance(error, BadRequestError)
    assert (error.code, error.param, error.request_id) == ("unknown_parameter", "session.foo", "req_1")
    assert "req_1" in str(error)


@pytest.mark.parametrize(
    "request_id", ["req_f5fbc8f123456c7defa54f987654fed0", "01234567-89ab-4cde-8012-345678901234", "req_1415-555-0100"]
)
def test_a_request_id_is_kept_whole_for_the_vendors_support(request_id: str) -> None:
    error = Played(UNSENT, [refused(500, **{"x-request-id": request_id})]).error
    assert isinstance(error, ServiceError)
    assert error.request_id == request_id
    assert request_id in str(error)


def test_a_request_id_that_is_none_is_redacted() -> None:
    for request_id in ("+1 415 555 0100", "sk-proj-abcdefghijk", "req_1\r\nX"):
        error = Played(UNSENT, [refused(500, **{"x-request-id": request_id})]).error
        assert isinstance(error, ServiceError)
        assert error.request_id in (None, "[number]", "[secret]")


def test_a_timeout_is_a_deadline_error_and_a_timeout_error() -> None:
    error = Played(UNSENT, [TOO_LATE]).error
    assert isinstance(error, DeadlineError)
    assert isinstance(error, TimeoutError)
    assert error.sent is True


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (NO_CONNECTION, "no answer in time (ReadTimeout; before that: ConnectError)"),
        (refused(503), "no answer in time (ReadTimeout; before that: a 503)"),
        (TOO_LATE, "no answer in time (ReadTimeout)"),
    ],
)
def test_a_deadline_that_ends_the_last_attempt_does_not_hide_what_the_others_failed_for(
    first: Reply | Failure, said: str
) -> None:
    played = Played(ANY, [first, TOO_LATE])
    assert str(played.error).endswith(said)


def test_law_every_exchange_ends_within_its_deadline__each_attempt_gets_what_is_left() -> None:
    played = Played(ANY, [NO_ANSWER])
    assert len(played.requests) > 2
    for attempt, request in enumerate(played.requests):
        assert request.timeout == pytest.approx(5.0 - sum(played.pauses[:attempt]))


def test_law_every_exchange_ends_within_its_deadline__also_a_long_one() -> None:
    played = Played(operation(Repeat.ANY, early_404=True), [GONE], deadline=3600.0)
    assert isinstance(played.error, CallGoneError)
    assert sum(played.pauses) <= 3600.0


def test_what_the_service_says_is_one_line() -> None:
    error = Played(UNSENT, [refused(400, message="no\r\nCRITICAL forged\x1b[31m")]).error
    assert str(error).isprintable()


def test_law_secrets_and_bodies_are_not_in_repr() -> None:
    body = b'{"target_uri": "tel:+14155550100"}'
    for value in (
        Operation("refer", "/refer", nothing, content=body),
        Request("POST", "/refer", body, {}, 1.0),
        Reply(200, {}, body),
    ):
        assert "0100" not in repr(value)


def test_law_secrets_are_not_on_exceptions_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    said = "Incorrect API key provided: sk-proj-abcdefghijk for +1 415 555 0100"
    with caplog.at_level(logging.DEBUG):
        error = Played(UNSENT, [refused(401, "invalid_api_key", said)]).error
    for text in (str(error), repr(error), repr(vars(error)), caplog.text):
        assert "abcdef" not in text
        assert "555" not in text


def test_a_failure_is_logged_with_status_and_request_id(caplog: pytest.LogCaptureFixture) -> None:
    Played(UNSENT, [refused(500, **{"x-request-id": "req_9"})])
    assert "act failed: ServerError 500 None, request req_9, attempt 1" in caplog.text


@given(status=st.integers(300, 999), body=st.binary(max_size=200), header=st.text(max_size=40))
def test_any_answer_is_one_error_of_the_tree(status: int, body: bytes, header: str) -> None:
    error = Played(UNSENT, [Reply(status, {"x-request-id": header, "retry-after": header, "date": header}, body)]).error
    assert isinstance(error, ServiceError)
    assert str(error).isprintable()


@given(
    st.lists(
        st.sampled_from([OK, GONE, refused(429), refused(500), NO_ANSWER, NO_CONNECTION]), min_size=1, max_size=30
    ),
    st.sampled_from(list(Repeat)),
    st.booleans(),
)
def test_law_every_exchange_ends_within_its_deadline(
    answers: list[Reply | Failure], repeat: Repeat, early_404: bool
) -> None:
    played = Played(operation(repeat, early_404=early_404), answers)
    assert sum(played.pauses) < 5.0
    assert len(played.requests) == len(played.pauses) + 1


@pytest.mark.parametrize("call_id", ["", ".", "..", "a" * 257, "rtc_1\r\nX: y", "rtc_\x00"])
def test_what_cannot_be_a_call_id_is_refused(call_id: str) -> None:
    with pytest.raises(InvalidRequestError):
        call_path(call_id, "accept")


def test_a_call_id_is_opaque_and_escaped_in_the_path() -> None:
    assert call_path("rtc/../x?y#z", "hangup") == "/realtime/calls/rtc%2F..%2Fx%3Fy%23z/hangup"
