"""A trunk as it is at Twilio, beside what the account has that its declaration names. Reading changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from realtime_sip.errors import AuthenticationError, InvalidRequestError, PermissionDeniedError
from realtime_sip.twilio.numbers import owned
from realtime_sip.twilio.operations import API, TRUNKING, M, Steps, ask, get, listed, segment
from realtime_sip.twilio.records import (
    AccountRecord,
    CallerIdRecord,
    CredentialRecord,
    IpAddressRecord,
    ListRecord,
    OriginationRecord,
    PhoneNumber,
    TrunkRecord,
)
from realtime_sip.twilio.trunk import Trunk
from realtime_sip.twilio.webhook_rules import delivery

TRUNKS = f"{TRUNKING}/Trunks"
ADDRESS_LISTS = f"{API}/SIP/IpAccessControlLists"
CREDENTIAL_LISTS = f"{API}/SIP/CredentialLists"


@dataclass(frozen=True, slots=True)
class FoundTrunk:
    """A trunk, and all that belongs to it. `address_lists` and `credential_lists` are read for a termination alone."""

    record: TrunkRecord
    origination: Sequence[OriginationRecord] = ()
    numbers: Sequence[PhoneNumber] = ()
    address_lists: Sequence[ListRecord] = ()
    credential_lists: Sequence[ListRecord] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What is there.

    Attributes:
        trunk: The trunk of that name, or None.
        others: How many other trunks the account has.
        is_trial: Whether it is known to be a trial account.
        numbers: The declared numbers, if the account has them and they are not on the trunk.
        address_lists: The declared lists that are there, by name, each with its SID and entries.
        credential_lists: Likewise.
        caller_ids: Which of the declared caller ids the account owns or has verified.
        delivery: What Twilio's webhook configuration changes about requests to the disaster recovery URL.
    """

    trunk: FoundTrunk | None = None
    others: int = 0
    is_trial: bool = False
    numbers: Mapping[str, PhoneNumber] = field(default_factory=dict)
    address_lists: Mapping[str, tuple[str, Sequence[IpAddressRecord]]] = field(default_factory=dict)
    credential_lists: Mapping[str, tuple[str, Sequence[CredentialRecord]]] = field(default_factory=dict)
    caller_ids: frozenset[str] = frozenset()
    delivery: Sequence[str] = ()


def find_record(friendly_name: str) -> Steps[tuple[TrunkRecord | None, int]]:
    """Return the trunk of that name, or None, and how many others there are. Twilio cannot look for a name itself.

    Raises:
        InvalidRequestError: Two trunks have the name.
    """
    trunks = yield from listed("trunks.list", TRUNKS, "trunks", TrunkRecord)
    named = [trunk for trunk in trunks if trunk.friendly_name == friendly_name]
    if len(named) > 1:
        sids = ", ".join(trunk.sid for trunk in named)
        problem = f"{len(named)} trunks have it ({sids}): rename or delete all but one"
        raise InvalidRequestError("trunk", (("friendly_name", problem),))
    return (named[0] if named else None), len(trunks) - len(named)


def find(trunk: Trunk) -> Steps[Found]:
    """Read what there is of a declared trunk.

    Raises:
        InvalidRequestError: Two trunks, or two lists, have the same name, so that it is not known which one is meant.
    """
    record, others = yield from find_record(trunk.friendly_name)
    is_trial = yield from _is_trial()
    found = None if record is None else (yield from _belongings(record, termination=trunk.termination is not None))
    on_trunk = {number.phone_number for number in found.numbers} if found else set()
    numbers: dict[str, PhoneNumber] = {}
    for number in trunk.numbers:
        have = None if number in on_trunk else (yield from owned(number))
        if have is not None:
            numbers[number] = have
    address_lists: dict[str, tuple[str, Sequence[IpAddressRecord]]] = {}
    credential_lists: dict[str, tuple[str, Sequence[CredentialRecord]]] = {}
    caller_ids: frozenset[str] = frozenset()
    if trunk.termination is not None:
        names = [each.friendly_name for each in trunk.termination.ip_access_control_lists]
        address_lists = yield from _lists(
            ADDRESS_LISTS, "ip_access_control_lists", names, "IpAddresses", "ip_addresses", IpAddressRecord
        )
        names = [each.friendly_name for each in trunk.termination.credential_lists]
        credential_lists = yield from _lists(
            CREDENTIAL_LISTS, "credential_lists", names, "Credentials", "credentials", CredentialRecord
        )
        caller_ids = yield from _caller_ids(trunk.termination.caller_ids)
    said: Sequence[str] = ()
    if trunk.disaster_recovery_url:
        said = yield from delivery(trunk.disaster_recovery_url)
    return Found(
        trunk=found,
        others=others,
        is_trial=is_trial,
        numbers=numbers,
        address_lists=address_lists,
        credential_lists=credential_lists,
        caller_ids=caller_ids,
        delivery=said,
    )


def _is_trial() -> Steps[bool]:
    try:
        account = yield from ask(get("account.fetch", f"{API}.json", AccountRecord))
    except (AuthenticationError, PermissionDeniedError):
        return False  # a standard API key does everything but read the account itself
    return account.type == "Trial"


def numbers_of(trunk_sid: str) -> Steps[list[PhoneNumber]]:
    """Return the numbers of a trunk."""
    path = f"{TRUNKS}/{segment(trunk_sid)}/PhoneNumbers"
    return (yield from listed("trunks.numbers", path, "phone_numbers", PhoneNumber))


def _belongings(record: TrunkRecord, *, termination: bool) -> Steps[FoundTrunk]:
    within = f"{TRUNKS}/{segment(record.sid)}"
    urls = yield from listed(
        "trunks.origination_urls", f"{within}/OriginationUrls", "origination_urls", OriginationRecord
    )
    numbers = yield from numbers_of(record.sid)
    addresses: Sequence[ListRecord] = ()
    credentials: Sequence[ListRecord] = ()
    if termination:
        path = f"{within}/IpAccessControlLists"
        addresses = yield from listed("trunks.ip_access_control_lists", path, "ip_access_control_lists", ListRecord)
        path = f"{within}/CredentialLists"
        credentials = yield from listed("trunks.credential_lists", path, "credential_lists", ListRecord)
    return FoundTrunk(record, urls, numbers, addresses, credentials)


def _lists(
    path: str, key: str, names: Sequence[str], below: str, entries_key: str, model: type[M]
) -> Steps[dict[str, tuple[str, Sequence[M]]]]:
    if not names:
        return {}
    lists = yield from listed(f"sip.{key}", f"{path}.json", key, ListRecord)
    found: dict[str, tuple[str, Sequence[M]]] = {}
    for name in names:
        named = [each for each in lists if each.friendly_name == name]
        if len(named) > 1:
            problem = f"{len(named)} lists of the account have this name: rename or delete all but one"
            raise InvalidRequestError("termination", ((key, problem),))
        if named:
            inside = f"{path}/{segment(named[0].sid)}/{below}.json"
            found[name] = named[0].sid, (yield from listed(f"sip.{entries_key}", inside, entries_key, model))
    return found


def _caller_ids(declared: Sequence[str]) -> Steps[frozenset[str]]:
    found = set()
    for number in declared:
        path, asked = f"{API}/OutgoingCallerIds.json", {"PhoneNumber": number}
        verified = yield from listed("caller_ids.find", path, "outgoing_caller_ids", CallerIdRecord, asked)
        if any(each.phone_number == number for each in verified) or (yield from owned(number)) is not None:
            found.add(number)
    return frozenset(found)
