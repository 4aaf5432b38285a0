"""What has to be done so that a trunk is as it is declared: a difference, made without I/O, that can be printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import partial
from ipaddress import IPv4Network
from typing import Any, Literal

from realtime_sip._wire import Inbound
from realtime_sip.api.operations import Repeat
from realtime_sip.twilio.finding import Finding
from realtime_sip.twilio.found import ADDRESS_LISTS, CREDENTIAL_LISTS, TRUNKS, Found, FoundTrunk
from realtime_sip.twilio.operations import Steps, ask, delete, form, segment
from realtime_sip.twilio.origination import MAX_ORIGINATION_URLS, same_place
from realtime_sip.twilio.records import (
    ListRecord,
    Made,
    OriginationRecord,
    PhoneNumber,
    RecordingRecord,
    TrunkRecord,
)
from realtime_sip.twilio.termination import Termination
from realtime_sip.twilio.trunk import Trunk

Action = Literal["create", "update", "attach", "detach", "delete"]
Sids = dict[tuple[str, str], str]
"""The SIDs of what is there, and of what steps have made, by kind and name."""

_SIGNS: Mapping[Action, str] = {"create": "+", "update": "~", "attach": "+", "detach": "-", "delete": "-"}
_SETTINGS = {
    "secure": "Secure",
    "transfer_mode": "TransferMode",
    "transfer_caller_id": "TransferCallerId",
    "cnam_lookup_enabled": "CnamLookupEnabled",
    "disaster_recovery_url": "DisasterRecoveryUrl",
    "disaster_recovery_method": "DisasterRecoveryMethod",
    "domain_name": "DomainName",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that is to be another.

    Attributes:
        field: What Twilio calls it.
        before: As it is; None if it is not there yet.
        after: As it will be.
    """

    field: str
    before: object = dataclass_field(repr=False)
    after: object = dataclass_field(repr=False)

    def __str__(self) -> str:
        return f"{self.field} {_shown(self.after)}" + ("" if self.before is None else f" (was {_shown(self.before)})")


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """One thing to do.

    Attributes:
        action: "create", "update", "attach", "detach" or "delete".
        kind: What it is done to: "trunk", "origination URL", "recording", "IP access control list", "IP address",
            "credential list", "credential" or "number".
        name: Which one.
        changes: What will be how.
        note: What else to know, such as where calls to a number went before.
    """

    action: Action
    kind: str
    name: str
    changes: tuple[Change, ...] = ()
    note: str = ""
    operation: Callable[[Sids], Steps[None]] = dataclass_field(kw_only=True, repr=False, compare=False)

    @property
    def what(self) -> tuple[str, str, str]:
        """The action, the kind and the name, by which it is found again."""
        return self.action, self.kind, self.name

    def __str__(self) -> str:
        details = [*map(str, self.changes), *([self.note] if self.note else [])]
        return f"{_SIGNS[self.action]} {self.kind:<22} {self.name}{': ' if details else ''}{', '.join(details)}"

    def __repr__(self) -> str:
        return f"<Step {self.action} {self.kind}>"


@dataclass(frozen=True, slots=True, repr=False)
class TrunkPlan:
    """What `apply` would do. `str()` shows it to people, `to_json()` to programs; both name numbers.

    Attributes:
        friendly_name: The trunk's name.
        sid: Its SID, or None if it is not there.
        steps: What would be done, in order.
        kept: What is there and not declared. It stays, unless `prune` is asked for.
        findings: What to know. With an error among them nothing would be done.
    """

    friendly_name: str
    sid: str | None
    steps: tuple[Step, ...]
    kept: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def can_be_applied(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "friendly_name": self.friendly_name,
            "sid": self.sid,
            "steps": [
                {
                    "action": step.action,
                    "kind": step.kind,
                    "name": step.name,
                    "changes": [{"field": c.field, "before": c.before, "after": c.after} for c in step.changes],
                    "note": step.note,
                }
                for step in self.steps
            ],
            "kept": list(self.kept),
            "findings": [{"level": each.level, "text": each.text} for each in self.findings],
        }

    def __str__(self) -> str:
        lines = [f"trunk {self.friendly_name} ({self.sid or 'new'})"]
        lines += [f"  {step}" for step in self.steps] or ["  nothing to do"]
        lines += [f"  = {text}" for text in self.kept]
        lines += [f"  ! {finding}" for finding in self.findings]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<TrunkPlan {self.friendly_name} {len(self.steps)} steps>"


def known_sids(trunk: Trunk, found: Found) -> Sids:
    """Return the SIDs of what is there."""
    sids: Sids = {}
    if found.trunk is not None:
        sids["trunk", trunk.friendly_name] = found.trunk.record.sid
    sids |= {("IP access control list", name): sid for name, (sid, _) in found.address_lists.items()}
    sids |= {("credential list", name): sid for name, (sid, _) in found.credential_lists.items()}
    return sids


def difference(trunk: Trunk, found: Found, *, prune: bool = False) -> TrunkPlan:
    """Return what has to be done, in an order that lets calls go on: what takes calls comes before what brings them,
    and goes after it."""
    planner = _Planner(trunk, found, known_sids(trunk, found))
    planner.plan()
    early = [step for step in planner.steps if not _disables(step)]
    late = [step for step in planner.steps if _disables(step)]
    detached = [step for step in planner.prunes if step.kind == "number"]
    pruned = [step for step in planner.prunes if step.kind != "number"]
    findings = planner.findings
    there = found.trunk or FoundTrunk(TrunkRecord(sid=""))
    made = sum(step.what[:2] == ("create", "origination URL") for step in early)
    too_many = max(0, len(there.origination) + made - MAX_ORIGINATION_URLS)
    if prune:
        room = [step for step in pruned if step.kind == "origination URL"][:too_many]
        steps = [*room, *early, *detached, *late, *(step for step in pruned if step not in room)]
    else:
        steps = [*early, *late]
        if too_many:
            text = f"it would have more than {MAX_ORIGINATION_URLS} origination URLs: prune those that are not declared"
            findings.append(Finding("error", text))
        if late and there.numbers and not _takes_calls(trunk, there):
            text = "its numbers would be left without an origination URL that is enabled (32010): detach them first"
            findings.append(Finding("error", text))
    kept = [] if prune else [_kept(step) for step in planner.prunes]
    sid = None if found.trunk is None else found.trunk.record.sid
    return TrunkPlan(trunk.friendly_name, sid, tuple(steps), tuple(kept), tuple(findings))


def _takes_calls(trunk: Trunk, there: FoundTrunk) -> bool:
    """Whether a URL is enabled if nothing is pruned."""
    declared = {same_place(url.sip_url) for url in trunk.origination}
    kept = any(url.enabled for url in there.origination if same_place(url.sip_url) not in declared)
    return kept or any(url.enabled for url in trunk.origination)


def _disables(step: Step) -> bool:
    return step.action == "update" and any(
        change.field == "enabled" and change.after is False for change in step.changes
    )


_Path = Callable[[Sids], str]


class _Planner:
    """Compares one thing after another."""

    def __init__(self, trunk: Trunk, found: Found, known: Sids) -> None:
        self.trunk, self.found, self.known = trunk, found, known
        self.steps: list[Step] = []
        self.prunes: list[Step] = []
        self.findings: list[Finding] = []

    def plan(self) -> None:
        is_new = self.found.trunk is None
        there = self.found.trunk or FoundTrunk(TrunkRecord(sid=""))
        if is_new:
            self._settings(there.record, is_new=True)
        self._origination(there.origination)
        if not is_new:
            self._settings(there.record, is_new=False)
        self._recording(there.record.recording or RecordingRecord())
        if self.trunk.termination is not None:
            self._termination(self.trunk.termination, there)
        self._numbers(there.numbers)
        self.findings += [Finding("warning", text) for text in (*self.trunk.warnings, *self.found.delivery)]
        self._trial(is_new=is_new)

    def _below(self, *parts: str) -> _Path:
        """Return where something of the trunk is, which may have no SID yet."""
        return lambda sids: "/".join([TRUNKS, segment(sids["trunk", self.trunk.friendly_name]), *parts])

    def _make(
        self, kind: str, name: str, path: _Path, fields: Mapping[str, object], changes: tuple[Change, ...] = ()
    ) -> None:
        def operation(sids: Sids) -> Steps[None]:
            made = yield from ask(form(f"{kind}: create", path(sids), fields, Made))
            sids[kind, name] = made.sid

        self.steps.append(Step("create", kind, name, changes, operation=operation))

    def _change(
        self, kind: str, name: str, path: _Path, fields: Mapping[str, object], changes: tuple[Change, ...]
    ) -> None:
        def operation(sids: Sids) -> Steps[None]:
            yield from ask(form(f"{kind}: update", path(sids), fields, Inbound, repeat=Repeat.ANY))

        self.steps.append(Step("update", kind, name, changes, operation=operation))

    def _attach(self, kind: str, name: str, path: _Path, field_name: str, sid: _Path, note: str = "") -> None:
        def operation(sids: Sids) -> Steps[None]:
            yield from ask(form(f"{kind}: attach", path(sids), {field_name: sid(sids)}, Made))

        self.steps.append(Step("attach", kind, name, note=note, operation=operation))

    def _prune(self, action: Action, kind: str, name: str, path: _Path, note: str = "") -> None:
        def operation(sids: Sids) -> Steps[None]:
            yield from delete(f"{kind}: {action}", path(sids))

        self.prunes.append(Step(action, kind, name, note=note, operation=operation))

    def _settings(self, record: TrunkRecord, *, is_new: bool) -> None:
        trunk, termination = self.trunk, self.trunk.termination
        wanted: dict[str, object] = {
            "secure": trunk.secure,
            "transfer_mode": trunk.transfer_mode,
            "transfer_caller_id": trunk.transfer_caller_id,
            "cnam_lookup_enabled": trunk.cnam_lookup_enabled,
            "disaster_recovery_url": trunk.disaster_recovery_url,
            "disaster_recovery_method": trunk.disaster_recovery_method if trunk.disaster_recovery_url else None,
            "domain_name": None if termination is None else termination.domain_name,
        }
        changes = _changes(wanted, record, is_new=is_new)
        fields = {_SETTINGS[change.field]: change.after for change in changes}
        if is_new:
            fields["FriendlyName"] = trunk.friendly_name
            self._make("trunk", trunk.friendly_name, lambda _: TRUNKS, fields, changes)
        elif changes:
            self._change("trunk", trunk.friendly_name, self._below(), fields, changes)

    def _origination(self, there: Sequence[OriginationRecord]) -> None:
        left, before = list(there), len(self.steps)
        for url in self.trunk.origination:
            record = next((each for each in left if same_place(each.sip_url) == same_place(url.sip_url)), None)
            wanted = {
                "priority": url.priority,
                "weight": url.weight,
                "enabled": url.enabled,
                "friendly_name": url.friendly_name or None,
            }
            changes = _changes(wanted, record or OriginationRecord(sid="", sip_url=""), is_new=record is None)
            # All five are sent in any case: where Twilio's page has a default, its schema has another.
            fields = {
                "FriendlyName": url.friendly_name or (record and record.friendly_name) or url.uri.host[:64],
                "SipUrl": url.sip_url if record is None else record.sip_url,
                "Priority": url.priority,
                "Weight": url.weight,
                "Enabled": url.enabled,
            }
            if record is None:
                self._make("origination URL", url.sip_url, self._below("OriginationUrls"), fields, changes)
                continue
            left.remove(record)
            if changes:
                path = self._below("OriginationUrls", segment(record.sid))
                self._change("origination URL", url.sip_url, path, fields, changes)
        self.steps[before:] = sorted(self.steps[before:], key=lambda step: step.action == "update")
        for record in sorted(left, key=lambda record: bool(record.enabled)):
            note = f"priority {record.priority}, weight {record.weight}" + (", gets calls" if record.enabled else "")
            path = self._below("OriginationUrls", segment(record.sid))
            self._prune("delete", "origination URL", record.sip_url, path, note)

    def _recording(self, record: RecordingRecord) -> None:
        recording = self.trunk.recording
        if recording is None:
            return
        there = RecordingRecord(mode=record.mode or "do-not-record", trim=record.trim or "do-not-trim")
        if changes := _changes({"mode": recording.mode, "trim": recording.trim}, there, is_new=False):
            fields = {"Mode": recording.mode, "Trim": recording.trim}
            self._change("recording", self.trunk.friendly_name, self._below("Recording"), fields, changes)

    def _termination(self, termination: Termination, there: FoundTrunk) -> None:
        for addresses in termination.ip_access_control_lists:
            sid, entries = self.found.address_lists.get(addresses.friendly_name, ("", ()))
            self._list(
                "IP access control list",
                addresses.friendly_name,
                ADDRESS_LISTS,
                ("IP address", "IpAddresses"),
                is_new=not sid,
                wanted={_network(each): _address_fields(each) for each in addresses.addresses},
                have={_network(f"{each.ip_address}/{each.cidr_prefix_length or 32}"): each.sid for each in entries},
            )
        for credentials in termination.credential_lists:
            sid, usernames = self.found.credential_lists.get(credentials.friendly_name, ("", ()))
            self._list(
                "credential list",
                credentials.friendly_name,
                CREDENTIAL_LISTS,
                ("credential", "Credentials"),
                is_new=not sid,
                wanted={
                    username: {"Username": username, "Password": password}
                    for username, password in credentials.credentials.items()
                },
                have={each.username: each.sid for each in usernames},
            )
        for kind, lists, names, part in (
            (
                "IP access control list",
                there.address_lists,
                [each.friendly_name for each in termination.ip_access_control_lists],
                "IpAccessControlList",
            ),
            (
                "credential list",
                there.credential_lists,
                [each.friendly_name for each in termination.credential_lists],
                "CredentialList",
            ),
        ):
            self._mappings(kind, lists, names, part)

    def _list(
        self,
        kind: str,
        name: str,
        base: str,
        entry: tuple[str, str],
        *,
        is_new: bool,
        wanted: Mapping[str, Mapping[str, object]],
        have: Mapping[str, str],
    ) -> None:
        """Plan a list of the account, and its entries."""
        entry_kind, below = entry

        def inside(end: str) -> _Path:
            return lambda sids: f"{base}/{segment(sids[kind, name])}/{below}{end}.json"

        if is_new:
            self._make(kind, name, lambda _: f"{base}.json", {"FriendlyName": name})
        for key, fields in wanted.items():
            if key not in have:
                self._make(entry_kind, f"{key} of {name}", inside(""), fields)
        for key, sid in have.items():
            if key not in wanted:
                self._prune("delete", entry_kind, f"{key} of {name}", inside(f"/{segment(sid)}"), "still lets calls in")

    def _mappings(self, kind: str, there: Sequence[ListRecord], names: Sequence[str], part: str) -> None:
        """Plan which lists of the account the trunk uses."""
        mapped = {each.sid for each in there}
        declared = {self.known[kind, name] for name in names if (kind, name) in self.known}
        for name in names:
            if self.known.get((kind, name)) not in mapped:
                self._attach(
                    kind, name, self._below(f"{part}s"), f"{part}Sid", partial(_sid_of, (kind, name)), "may call in"
                )
        for record in there:
            if record.sid not in declared:
                path = self._below(f"{part}s", segment(record.sid))
                self._prune("detach", kind, record.friendly_name or record.sid, path, "still lets calls in")

    def _numbers(self, there: Sequence[PhoneNumber]) -> None:
        attached = {number.phone_number for number in there}
        for place, number in enumerate(self.trunk.numbers):
            if number in attached:
                continue
            record = self.found.numbers.get(number)
            if record is None:
                self._error(f"numbers.{place}, {number}, is not a number of this account: buy it first")
            elif not record.takes_calls:
                self._error(f"numbers.{place}, {number}, takes no calls: it has no voice capability")
            else:
                path, sid = self._below("PhoneNumbers"), _constant(record.sid)
                self._attach("number", number, path, "PhoneNumberSid", sid, f"was {record.route}")
        for each in there:
            if each.phone_number not in self.trunk.numbers:
                path = self._below("PhoneNumbers", segment(each.sid))
                self._prune("detach", "number", each.phone_number, path, "its calls come here")

    def _trial(self, *, is_new: bool) -> None:
        if not self.found.is_trial:
            return
        if is_new and self.found.others:
            self._error("a trial account has one trunk: upgrade it, or give the trunk that is there this name")
        if len(self.trunk.numbers) > 1:
            self._error("a trial account has one number: upgrade it")
        text = "a trial account has 4 calls at a time, and reaches verified numbers alone, also by transfers"
        self.findings.append(Finding("warning", text))

    def _error(self, text: str) -> None:
        self.findings.append(Finding("error", text))


def _kept(step: Step) -> str:
    return f"{step.kind} {step.name} is not declared, and stays" + (f": {step.note}" if step.note else "")


def _changes(wanted: Mapping[str, object], record: object, *, is_new: bool) -> tuple[Change, ...]:
    """Return what differs. None leaves a setting as it is, and what is empty on both sides is the same."""
    found = []
    for name, value in wanted.items():
        before = getattr(record, name)
        if value is not None and value != before and (is_new or value or before):
            found.append(Change(name, None if is_new else before, value))
    return tuple(found)


def _sid_of(key: tuple[str, str], sids: Sids) -> str:
    return sids[key]


def _constant(text: str) -> _Path:
    return lambda _: text


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text, strict=False))
    except ValueError:
        return text


def _address_fields(address: str) -> dict[str, object]:
    network = IPv4Network(address)
    return {
        "FriendlyName": address,
        "IpAddress": str(network.network_address),
        "CidrPrefixLength": network.prefixlen,
    }


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else '""' if value == "" else str(value)
