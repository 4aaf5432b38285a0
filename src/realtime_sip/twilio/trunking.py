"""Elastic SIP trunks: declared, planned, applied, verified, deleted.

    MAIN = trunking.for_openai("proj_abc123", numbers=["+14155550199"])
    print(account.trunks.plan(MAIN))
    account.trunks.apply(MAIN)

A trunk leads calls to numbers straight to OpenAI: one hop fewer than TwiML, but no voice webhook, no signed context, no
`action`, and no WhatsApp. `account.trunks` has the same methods on `TwilioAccount` and, to be awaited, on
`AsyncTwilioAccount`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from realtime_sip._redaction import redact
from realtime_sip.errors import InvalidRequestError, NetworkError, ServerError
from realtime_sip.twilio.finding import Finding
from realtime_sip.twilio.found import TRUNKS, Found, find, find_record, numbers_of
from realtime_sip.twilio.numbers import monthly_price, owned
from realtime_sip.twilio.operations import Steps, delete, may_have_acted, segment
from realtime_sip.twilio.origination import OriginationUrl, call_shares, fails_over, same_place
from realtime_sip.twilio.plan import Change, Step, TrunkPlan, difference, known_sids
from realtime_sip.twilio.records import PhoneNumber
from realtime_sip.twilio.termination import (
    CredentialList,
    IpAccessControlList,
    Termination,
    localized_termination_uris,
    peak_bandwidth,
)
from realtime_sip.twilio.trunk import Recording, Trunk, for_openai

__all__ = [
    "AppliedTrunk",
    "AsyncTrunks",
    "Change",
    "CredentialList",
    "Finding",
    "IpAccessControlList",
    "KeptNumber",
    "OriginationUrl",
    "Recording",
    "Step",
    "Termination",
    "Trunk",
    "TrunkDeletion",
    "TrunkFace",
    "TrunkPlan",
    "TrunkReport",
    "Trunks",
    "call_shares",
    "fails_over",
    "for_openai",
    "localized_termination_uris",
    "peak_bandwidth",
]


@dataclass(frozen=True, slots=True)
class AppliedTrunk:
    """What `apply` has done.

    Attributes:
        friendly_name: The trunk's name.
        sid: Its SID.
        done: The steps, in order. What had been done before is not among them.
        kept: What is there and not declared.
        findings: What to know.
    """

    friendly_name: str
    sid: str
    done: tuple[Step, ...]
    kept: tuple[str, ...] = field(default=(), repr=False)
    findings: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        plan = TrunkPlan(self.friendly_name, self.sid, self.done, self.kept, self.findings).to_json()
        return {("done" if name == "steps" else name): value for name, value in plan.items()}


@dataclass(frozen=True, slots=True)
class TrunkReport:
    """How a trunk is, beside its declaration.

    Attributes:
        plan: What `apply` would do.
        findings: What is wrong or risky.
    """

    plan: TrunkPlan
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether the trunk is as declared, and nothing found is an error."""
        return not self.plan.steps and not any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        findings = [{"level": each.level, "text": each.text} for each in self.findings]
        return {**self.plan.to_json(), "findings": findings, "ok": self.ok}

    def __str__(self) -> str:
        lines = [f"trunk {self.plan.friendly_name} ({self.plan.sid or 'not there'}): {'ok' if self.ok else 'not ok'}"]
        lines += [f"  {step}" for step in self.plan.steps]
        lines += [f"  = {text}" for text in self.plan.kept]
        lines += [f"  ! {finding}" for finding in self.findings]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class KeptNumber:
    """A number that stays in the account when its trunk is deleted.

    Attributes:
        number: The number. Nobody answers it then, unless it has a voice URL or an app.
        monthly_price: What it goes on costing, as "1.15 USD"; None if Twilio's prices do not say.
    """

    number: PhoneNumber
    monthly_price: str | None

    def __str__(self) -> str:
        cost = "its monthly price" if self.monthly_price is None else f"{self.monthly_price} a month"
        return f"{self.number.phone_number} stays, and goes on costing {cost}; release it to end that"


@dataclass(frozen=True, slots=True)
class TrunkDeletion:
    """What deleting a trunk means, or has meant.

    Attributes:
        friendly_name: The trunk's name.
        sid: Its SID, or None if it is not there.
        numbers: The numbers that stay.
    """

    friendly_name: str
    sid: str | None
    numbers: tuple[KeptNumber, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        numbers = [
            {"phone_number": kept.number.phone_number, "sid": kept.number.sid, "monthly_price": kept.monthly_price}
            for kept in self.numbers
        ]
        return {"friendly_name": self.friendly_name, "sid": self.sid, "numbers": numbers}

    def __str__(self) -> str:
        if self.sid is None:
            return f"trunk {self.friendly_name} is not there"
        lines = [f"- trunk {self.friendly_name} ({self.sid}), with its origination URLs"]
        return "\n".join([*lines, *(f"  = {kept}" for kept in self.numbers)])


def examine(trunk: Trunk, found: Found, plan: TrunkPlan) -> tuple[Finding, ...]:
    """Return what is wrong or risky about a trunk as it is. Pure."""
    findings = list(plan.findings)

    def add(level: str, text: str) -> None:
        findings.append(Finding("error" if level == "error" else "warning", text))

    if found.trunk is None:
        add("error", "the trunk is not there")
        return tuple(findings)
    there = found.trunk
    enabled = [url for url in there.origination if url.enabled]
    if there.numbers and not enabled:
        add("error", "no origination URL is enabled: calls to its numbers fail with 32010")
    if enabled and not there.numbers:
        add("warning", "it has origination URLs and no number: nobody can call it")
    declared = {same_place(url.sip_url) for url in trunk.origination}
    if any(same_place(url.sip_url) not in declared for url in enabled):
        add("warning", "an origination URL that is not declared gets calls, too")
    if there.record.symmetric_rtp_enabled:
        add("warning", "symmetric RTP is on, which Twilio advises against: switch it off in the console, at the trunk")
    termination = trunk.termination
    if termination is not None:
        if not there.address_lists and not there.credential_lists:
            add("error", "its termination has neither an access control list nor a credential list")
        for number in termination.caller_ids:
            if number not in found.caller_ids:
                add("error", f"the caller id {number} is neither a number of the account nor verified")
    return tuple(findings)


def _planned(trunk: Trunk, *, prune: bool) -> Steps[tuple[Found, TrunkPlan]]:
    found = yield from find(trunk)
    return found, difference(trunk, found, prune=prune)


def plan_steps(trunk: Trunk, *, prune: bool) -> Steps[TrunkPlan]:
    """Read what is there, and return what has to be done."""
    _, plan = yield from _planned(trunk, prune=prune)
    return plan


def apply_steps(trunk: Trunk, *, prune: bool, on_step: Callable[[Step], object] | None) -> Steps[AppliedTrunk]:
    """Do what has to be done. After a failure that leaves open whether Twilio acted, what is there is read again: what
    was done is not done twice, and what was not is the failure."""
    done: list[Step] = []
    unclear: tuple[Step, NetworkError | ServerError] | None = None
    while True:
        found, plan = yield from _planned(trunk, prune=prune)
        if unclear is not None:
            step, error = unclear
            if step.what in [each.what for each in plan.steps]:
                raise error
            done.append(step)
            unclear = None
        if not plan.can_be_applied:
            problems = [("", redact(each.text)) for each in plan.findings if each.level == "error"]
            raise InvalidRequestError("trunk", tuple(problems))
        sids = known_sids(trunk, found)
        for step in plan.steps:
            if on_step is not None:
                on_step(step)
            try:
                yield from step.operation(sids)
            except (NetworkError, ServerError) as error:
                if not may_have_acted(error):
                    raise
                unclear = step, error
                break
            done.append(step)
        if unclear is None:
            name = trunk.friendly_name
            return AppliedTrunk(name, sids["trunk", name], tuple(done), plan.kept, plan.findings)


def verify_steps(trunk: Trunk) -> Steps[TrunkReport]:
    """Read what is there, and say what is wrong."""
    found, plan = yield from _planned(trunk, prune=False)
    return TrunkReport(plan, examine(trunk, found, plan))


def deletion_steps(trunk: Trunk) -> Steps[TrunkDeletion]:
    """Read what deleting it means."""
    record, _ = yield from find_record(trunk.friendly_name)
    if record is None:
        return TrunkDeletion(trunk.friendly_name, None)
    kept = []
    for number in (yield from numbers_of(record.sid)):
        # What kind of number it is, on which its price depends, the trunk does not say.
        whole = (yield from owned(number.phone_number)) or number
        kept.append(KeptNumber(whole, (yield from monthly_price(whole))))
    return TrunkDeletion(trunk.friendly_name, record.sid, tuple(kept))


def delete_steps(trunk: Trunk) -> Steps[TrunkDeletion]:
    """Delete it."""
    deletion = yield from deletion_steps(trunk)
    if deletion.sid is not None:
        yield from delete("trunks.delete", f"{TRUNKS}/{segment(deletion.sid)}")
    return deletion


_Planned = TypeVar("_Planned")
_Applied = TypeVar("_Applied")
_Verified = TypeVar("_Verified")
_Deleted = TypeVar("_Deleted")


class TrunkFace(Generic[_Planned, _Applied, _Verified, _Deleted]):
    """`account.trunks`. What its methods return is awaited on `AsyncTwilioAccount`."""

    def __init__(self, run: Callable[[Steps[Any]], Any]) -> None:
        self._run = run

    def plan(self, trunk: Trunk, *, prune: bool = False) -> _Planned:
        """Read what is there, and return what `apply` would do. Nothing is changed.

        Args:
            trunk: The declaration.
            prune: Whether what is there and not declared is to go: origination URLs, entries of the declared lists; and
                numbers and lists, which stay in the account.

        Raises:
            InvalidRequestError: Two trunks or lists have the same name.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        planned: _Planned = self._run(plan_steps(_checked(trunk), prune=prune))
        return planned

    def apply(self, trunk: Trunk, *, prune: bool = False, on_step: Callable[[Step], object] | None = None) -> _Applied:
        """Let the trunk be as it is declared. Done twice, it does nothing the second time.

        The trunk is looked for before one is made, and nothing that Twilio may have done is asked for twice: if no
        answer comes, what is there is read again. A failure leaves what was done by then; call it again to go on.

        Args:
            trunk: The declaration.
            prune: As for `plan`. Without it nothing is deleted.
            on_step: Called before each step.

        Raises:
            InvalidRequestError: Two trunks or lists have the same name, a number is not the account's, or a trial
                account does not suffice; nothing was changed.
            DomainTakenError: The termination domain belongs to somebody else.
            LimitReachedError: The account has as many as it may have.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        applied: _Applied = self._run(apply_steps(_checked(trunk), prune=prune, on_step=on_step))
        return applied

    def verify(self, trunk: Trunk) -> _Verified:
        """Read what is there, and say whether it is as declared, and what would let calls fail. Nothing is changed.

        Raises:
            InvalidRequestError: Two trunks or lists have the same name.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        verified: _Verified = self._run(verify_steps(_checked(trunk)))
        return verified

    def deletion(self, trunk: Trunk) -> _Deleted:
        """Return what `delete` would do, and what the numbers that stay go on costing. Nothing is changed.

        Raises:
            InvalidRequestError: Two trunks have the name.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        deletion: _Deleted = self._run(deletion_steps(_checked(trunk)))
        return deletion

    def delete(self, trunk: Trunk) -> _Deleted:
        """Delete the trunk with its origination URLs. Its numbers and lists stay in the account.

        Raises:
            InvalidRequestError: Two trunks have the name.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        deleted: _Deleted = self._run(delete_steps(_checked(trunk)))
        return deleted


def _checked(trunk: Trunk) -> Trunk:
    if not isinstance(trunk, Trunk):
        raise InvalidRequestError("trunk", (("", "must be a Trunk, such as for_openai(…)"),))
    return trunk


Trunks: TypeAlias = TrunkFace[TrunkPlan, AppliedTrunk, TrunkReport, TrunkDeletion]
"""`account.trunks`, blocking."""

AsyncTrunks: TypeAlias = TrunkFace[
    Coroutine[Any, Any, TrunkPlan],
    Coroutine[Any, Any, AppliedTrunk],
    Coroutine[Any, Any, TrunkReport],
    Coroutine[Any, Any, TrunkDeletion],
]
"""`account.trunks`, async."""
