"""A fault anywhere in `apply`, and then another `apply`: the trunk is as declared, and nothing is there twice.

Steps are carried out here by a driver of a few lines, over the emulated account and without sockets, so that every
position can be tried.
"""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

pytest.importorskip("twilio")

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from provisioning import HOW, NUMBER, OTHER, PASSWORD, WHOLE, prepared, provisioning, state

from emulated import virtual
from realtime_sip.api.operations import Failure, Operation, Reply, exchange
from realtime_sip.api.operations import Request as Asked
from realtime_sip.errors import NetworkError, RealtimeSipError, ServiceError
from realtime_sip.testing import TwilioEmulator
from realtime_sip.testing.openai.server import Reply as Answer
from realtime_sip.testing.openai.server import Request
from realtime_sip.testing.twilio.account import Account
from realtime_sip.twilio.operations import ACCOUNT_SID, Steps
from realtime_sip.twilio.trunking import (
    CredentialList,
    IpAccessControlList,
    OriginationUrl,
    Recording,
    Termination,
    Trunk,
    apply_steps,
    plan_steps,
    verify_steps,
)

_TWILIO = TwilioEmulator()
_AUTH = httpx.BasicAuth(_TWILIO.account_sid, _TWILIO.auth_token)._auth_header
FAULTS = ("timeout", "500", "429", "503", "unsent")


class Service:
    """The emulated account, whose requests fail by number as `faults` says: "timeout" and "500" were carried out."""

    def __init__(self, faults: dict[int, str]) -> None:
        self.twilio = _TWILIO  # making one costs more than all requests
        self.twilio._api.account = Account(self.twilio.account_sid)
        prepared(self.twilio)
        self.faults = faults
        self.requests = 0
        self.now = 0.0
        self.watch = False
        """Whether a number must never be on a trunk that takes no calls."""

    def run(self, steps: Steps[Any]) -> Any:
        outcome: Any = None
        error: RealtimeSipError | None = None
        while True:
            try:
                step = steps.send(outcome) if error is None else steps.throw(error)
            except StopIteration as stop:
                return stop.value
            assert isinstance(step, Operation)
            outcome = error = None
            try:
                outcome = self._carry(step)
            except RealtimeSipError as raised:
                error = raised

    def _carry(self, operation: Operation[Any]) -> Any:
        asking = exchange(operation, deadline=3, clock=lambda: self.now)
        outcome: Reply | Failure | None = None
        while True:
            try:
                step = asking.send(outcome)
            except StopIteration as stop:
                return stop.value
            if isinstance(step, Asked):
                outcome = self._answer(step)
            else:
                self.now += step.seconds
                outcome = None

    def _answer(self, asked: Asked) -> Reply | Failure:
        fault = self.faults.get(self.requests)
        self.requests += 1
        if fault == "unsent":
            return Failure("refused", sent=False)
        if fault in ("429", "503"):
            return Reply(int(fault), {})
        url = urlsplit(asked.path.replace(ACCOUNT_SID, self.twilio.account_sid))
        handling = self.twilio._api.handle(
            Request(
                id="1",
                method=asked.method,
                path=url.path,
                query=dict(parse_qsl(url.query)),
                headers=(("authorization", _AUTH),),
                body=asked.content,
            )
        )
        with pytest.raises(StopIteration) as stop:
            handling.send(None)
        if self.watch:
            self._check_calls()
        if fault == "timeout":
            return Failure("late", sent=True, timed_out=True)
        if fault == "500":
            return Reply(500, {})
        answer = stop.value.value
        assert isinstance(answer, Answer)
        return Reply(answer.status, {}, answer.body)

    def _check_calls(self) -> None:
        account = self.twilio.account
        for number in account.numbers.values():
            urls = account.trunks[number["trunk_sid"]]["origination_urls"] if number["trunk_sid"] else None
            assert urls is None or any(url["enabled"] for url in urls.values()), "calls to it fail with 32010"


def applied(faults: dict[int, str]) -> tuple[dict[str, Any], int]:
    """Apply with these faults, again until it succeeds; return what there is then, and how often it failed."""
    service = Service(faults)
    failures = 0
    while True:
        try:
            service.run(apply_steps(WHOLE, prune=False, on_step=None))
            break
        except (NetworkError, ServiceError):
            failures += 1
            assert failures <= len(faults), "without a fault there is no failure"
    service.faults = {}
    assert service.run(verify_steps(WHOLE)).ok
    return state(service.twilio), failures


@functools.cache
def whole() -> dict[str, Any]:
    return applied({})[0]


@functools.cache
def requests() -> int:
    service = Service({})
    service.run(apply_steps(WHOLE, prune=False, on_step=None))
    return service.requests


@pytest.mark.parametrize("fault", FAULTS)
def test_law_a_fault_anywhere_and_then_another_apply_ends_as_declared_with_nothing_doubled(fault: str) -> None:
    for position in range(requests()):
        found, failures = applied({position: fault})
        assert found == whole(), f"{fault} at request {position}"
        if fault != "503":
            assert failures == 0, "what was carried out is found, and what certainly was not is repeated"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 80), st.sampled_from(FAULTS), max_size=12))
def test_law_however_many_faults_there_are(faults: dict[int, str]) -> None:
    assert applied(faults)[0] == whole()


PLACES = ("sip:a.example;transport=tls", "sip:b.example;transport=tls;edge=dublin", "sip:c.example;transport=tls?X-A=1")
URLS = st.lists(
    st.builds(
        OriginationUrl,
        st.sampled_from(PLACES),
        priority=st.integers(0, 3),
        weight=st.integers(1, 3),
        enabled=st.booleans(),
        friendly_name=st.sampled_from(["one", "two"]),
    ),
    unique_by=lambda url: url.sip_url,
    max_size=3,
)
TERMINATIONS = st.builds(
    Termination,
    st.sampled_from(["shop.pstn.twilio.com", "other.pstn.twilio.com"]),
    ip_access_control_lists=st.lists(
        st.sampled_from([IpAccessControlList("x", ("8.8.8.8",)), IpAccessControlList("x", ("8.8.4.4", "8.8.8.0/24"))]),
        max_size=1,
    ),
    credential_lists=st.lists(
        st.sampled_from([CredentialList("y", {"a": PASSWORD}), CredentialList("y", {"b": PASSWORD, "c": PASSWORD})]),
        min_size=1,
        max_size=1,
    ),
)


@st.composite
def trunks(draw: st.DrawFn) -> Trunk:
    """Any trunk that says each setting, so that nothing of an earlier one is left."""
    urls = draw(URLS)
    numbers = draw(st.lists(st.sampled_from([NUMBER, OTHER]), unique=True))
    return Trunk(
        "Shop",
        origination=urls,
        numbers=numbers if any(url.enabled for url in urls) else [],
        secure=draw(st.booleans()),
        transfer_mode=draw(st.sampled_from(["disable-all", "enable-all", "sip-only"])),
        transfer_caller_id=draw(st.sampled_from(["from-transferee", "from-transferor"])),
        cnam_lookup_enabled=draw(st.booleans()),
        recording=draw(st.builds(Recording, st.sampled_from(["do-not-record", "record-from-answer"]))),
        disaster_recovery_url=draw(st.sampled_from(["", "https://a.example/"])),
        termination=draw(TERMINATIONS),
    )


@settings(max_examples=60, deadline=None)
@given(trunks(), trunks())
def test_law_from_whatever_was_declared_before_a_pruning_apply_leads_to_what_is_declared_now(
    before: Trunk, now: Trunk
) -> None:
    alone = Service({})
    alone.run(apply_steps(now, prune=True, on_step=None))
    wanted = state(alone.twilio)
    after = Service({})
    after.run(apply_steps(before, prune=False, on_step=None))
    planned = after.run(plan_steps(now, prune=True))
    after.watch = True
    applied = after.run(apply_steps(now, prune=True, on_step=None))
    assert [step.what for step in applied.done] == [step.what for step in planned.steps]
    found = state(after.twilio)
    for each in (wanted, found):
        del each["lists"]  # those of the account stay
        if not each["trunks"][0]["disaster_recovery_url"]:
            del each["trunks"][0]["disaster_recovery_method"]
    assert found == wanted
    assert after.run(plan_steps(now, prune=True)).steps == ()


@HOW
@virtual
async def test_law_never_two_trunks__a_create_without_an_answer_is_not_repeated(how: str) -> None:
    """It may have been done, so that the trunk is looked for; it was not, so that this is the failure."""
    for fault in ("503", "timeout"):
        async with provisioning(how, timeout=1) as here:
            prepared(here.twilio)

            def fails(_number: int, request: httpx.Request, fault: str = fault) -> str | None:
                return fault if (request.method, request.url.path) == ("POST", "/v1/Trunks") else None

            here.wire.fault = fails
            if fault == "503":
                with pytest.raises(ServiceError):
                    await here.got(here.account.trunks.apply(WHOLE))
            else:
                await here.got(here.account.trunks.apply(WHOLE))
            assert here.wire.changes.count(("POST", "/v1/Trunks")) == 1
            assert len(here.twilio.account.trunks) == (fault == "timeout")
