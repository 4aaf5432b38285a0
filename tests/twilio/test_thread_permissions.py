"""The blocking face of the ledger: the same answers, from any thread, and no wait without an end."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest

from realtime_sip.errors import (
    CallLimitError,
    ConfigurationError,
    DeadlineError,
    InvalidRequestError,
    MisuseError,
    NetworkError,
    RealtimeSipError,
)
from realtime_sip.stores import MemoryStore
from realtime_sip.twilio.webhooks import CallPermissionReply
from realtime_sip.twilio.whatsapp import CallPermissions, PermissionReason, ThreadCallPermissions

SENDER, USER = "+551130000001", "+5511987650001"


def accepted(*, sid: str = "SM1") -> CallPermissionReply:
    form = {"MessageSid": sid, "Body": "VOICE_CALL_REQUEST", "ButtonPayload": "ACCEPTED"}
    return CallPermissionReply.read(urlencode({**form, "From": f"whatsapp:{USER}", "To": f"whatsapp:{SENDER}"}))


def test_law_both_faces_have_the_same_methods_with_the_same_arguments() -> None:
    public = {name for name in vars(CallPermissions) if not name.startswith("_")}
    for name in public:
        assert inspect.signature(getattr(ThreadCallPermissions, name)).parameters.keys() == (
            inspect.signature(getattr(CallPermissions, name)).parameters.keys()
        )
    assert {name for name in vars(ThreadCallPermissions) if not name.startswith("_")} == public | {"close"}


def test_what_is_permitted_is_asked_noted_and_reserved() -> None:
    now = [1000.0]
    with ThreadCallPermissions(MemoryStore(), clock=lambda: now[0]) as permissions:
        assert permissions.may_call(SENDER, USER).reason is PermissionReason.NOT_ASKED
        permissions.note(SENDER, USER, "requested", id="SM0")
        assert permissions.may_request(SENDER, USER, approved=True).reason is PermissionReason.REQUEST_LIMIT
        assert permissions.observe(accepted())
        assert permissions.may_call(SENDER, "whatsapp:+551187650001")
        permissions.same_person(SENDER, USER, "+5511987650002")
        assert permissions.may_call(SENDER, "+5511987650002")
        assert permissions.reserve(SENDER, USER, "mine")
        assert permissions.reserve(SENDER, USER, "other").reason is PermissionReason.CALL_UNDER_WAY
        permissions.placed(SENDER, USER, "mine", None)
        assert permissions.may_call(SENDER, USER)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, PermissionReason.CALL_UNDER_WAY),
        (CallLimitError("no", status_code=400), None),
        (NetworkError("no answer", sent=True), PermissionReason.CALL_UNDER_WAY),
    ],
    ids=repr,
)
def test_a_block_settles_what_became_of_a_call(error: RealtimeSipError | None, reason: PermissionReason | None) -> None:
    def place() -> None:
        with permissions.calling(SENDER, USER) as reserved:
            assert reserved.verdict
            if error is not None:
                raise error
            reserved.sid = "CA" + "1" * 32

    with ThreadCallPermissions(MemoryStore()) as permissions:
        permissions.note(SENDER, USER, "accepted")
        if error is None:
            place()
        else:
            with pytest.raises(type(error)):
                place()
        assert permissions.may_call(SENDER, USER).reason is reason


def test_of_many_threads_one_gets_the_call() -> None:
    with ThreadCallPermissions(MemoryStore()) as permissions, ThreadPoolExecutor(8) as pool:
        permissions.note(SENDER, USER, "accepted")
        verdicts = list(pool.map(lambda n: permissions.reserve(SENDER, USER, f"call {n}"), range(16)))
    assert sum(map(bool, verdicts)) == 1


def test_errors_are_those_of_the_other_face() -> None:
    with ThreadCallPermissions(MemoryStore()) as permissions:
        with pytest.raises(InvalidRequestError):
            permissions.may_call(SENDER, "nobody")
        with pytest.raises(ConfigurationError):
            permissions.may_call("Shop", USER)
    with pytest.raises(ConfigurationError):
        ThreadCallPermissions(object())  # type: ignore[arg-type]


class Stuck(MemoryStore):
    """Answers nothing, and is closed."""

    closed = False

    async def noted(self, key: str) -> str | None:
        import asyncio

        await asyncio.Event().wait()
        return None

    async def close(self) -> None:
        self.closed = True


def test_a_store_that_does_not_answer_is_an_error_and_the_thread_ends() -> None:
    store = Stuck()
    permissions = ThreadCallPermissions(store, timeout=0.05)
    with pytest.raises(DeadlineError, match="did not answer within"):
        permissions.may_call(SENDER, USER)
    permissions.close()
    permissions.close()
    assert store.closed
    assert not [each for each in threading.enumerate() if each.name == "realtime-sip-permissions"]


class Inside(MemoryStore):
    """Asks the blocking face in its own thread."""

    asks: Any = None

    async def noted(self, key: str) -> str | None:
        if self.asks is not None:
            self.asks.may_call(SENDER, USER)
        return None


def test_its_own_thread_cannot_wait_for_itself() -> None:
    store = Inside()
    with ThreadCallPermissions(store) as permissions:
        store.asks = permissions
        with pytest.raises(MisuseError, match="own thread"):
            permissions.may_call(SENDER, USER)
        store.asks = None


def test_without_a_call_there_is_no_thread() -> None:
    with ThreadCallPermissions(MemoryStore()):
        assert not [each for each in threading.enumerate() if each.name == "realtime-sip-permissions"]
