"""What Twilio's REST API says about trunks, numbers and lists: no more than is used here, and whatever else it says."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator

from realtime_sip._wire import Inbound


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value


Number: TypeAlias = Annotated[int | None, BeforeValidator(_number)]
"""A number, also as text: Twilio's older APIs have both."""


class Made(Inbound):
    """Anything that has a SID."""

    sid: str


class RecordingRecord(Inbound):
    """How a trunk records."""

    mode: str | None = None
    trim: str | None = None


class TrunkRecord(Made):
    """A trunk."""

    friendly_name: str | None = None
    domain_name: str | None = None
    secure: bool | None = None
    transfer_mode: str | None = None
    transfer_caller_id: str | None = None
    cnam_lookup_enabled: bool | None = None
    disaster_recovery_url: str | None = None
    disaster_recovery_method: str | None = None
    symmetric_rtp_enabled: bool | None = None
    recording: RecordingRecord | None = None


class OriginationRecord(Made):
    """An origination URL of a trunk."""

    sip_url: str
    friendly_name: str | None = None
    priority: Number = None
    weight: Number = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """What Twilio does with calls to a number: a trunk goes before a TwiML App, and an app before a URL.

    Attributes:
        kind: "trunk", "application", "url", or "nothing".
        target: The SID of the trunk or the app, or the URL; "" for nothing.
    """

    kind: Literal["trunk", "application", "url", "nothing"]
    target: str = field(default="", repr=False)

    def __str__(self) -> str:
        names = {"trunk": "trunk", "application": "TwiML App", "url": "voice URL", "nothing": "nothing"}
        return f"{names[self.kind]} {self.target}".rstrip()


class PhoneNumber(Made):
    """A number of the account.

    Attributes:
        sid: `PN…`.
        phone_number: The number as E.164.
        type: "local", "mobile", "toll-free" …, or None.
        capabilities: What it can, `{"voice": True, …}`.
    """

    phone_number: str
    friendly_name: str | None = None
    trunk_sid: str | None = None
    voice_application_sid: str | None = None
    voice_url: str | None = None
    type: str | None = None
    capabilities: dict[str, Any] | None = None

    @property
    def route(self) -> Route:
        """What Twilio does with calls to it."""
        if self.trunk_sid:
            return Route("trunk", self.trunk_sid)
        if self.voice_application_sid:
            return Route("application", self.voice_application_sid)
        return Route("url", self.voice_url) if self.voice_url else Route("nothing")

    @property
    def takes_calls(self) -> bool:
        """Whether it can be called. A number whose capabilities are unknown can."""
        said = {name.lower(): value for name, value in (self.capabilities or {}).items()}
        return said.get("voice") is not False


class AvailablePhoneNumber(Inbound):
    """A number that can be bought.

    Attributes:
        phone_number: The number as E.164.
        address_requirements: Which address its country asks for: "none", "any", "local" or "foreign".
    """

    phone_number: str
    locality: str | None = None
    region: str | None = None
    iso_country: str | None = None
    address_requirements: str | None = None
    capabilities: dict[str, Any] | None = None


class ListRecord(Made):
    """An IP access control list or a credential list."""

    friendly_name: str | None = None


class IpAddressRecord(Made):
    """An address of an IP access control list."""

    ip_address: str
    cidr_prefix_length: Number = None


class CredentialRecord(Made):
    """A username of a credential list."""

    username: str


class AccountRecord(Made):
    """The account."""

    type: str | None = None
    status: str | None = None


class CallerIdRecord(Made):
    """A caller id that was verified."""

    phone_number: str


class PriceRecord(Inbound):
    """What numbers of a country cost."""

    iso_country: str | None = None
    price_unit: str | None = None
    phone_number_prices: list[Any] | None = None


class RuleRecord(Inbound):
    """A rule of the webhook configuration (beta)."""

    id: str | None = None
    matchType: str | None = None  # noqa: N815 - the wire's name
    value: str | None = None
    prefix: str | None = None
    settings: list[Any] | None = None


class SettingRecord(Inbound):
    """A setting of the webhook configuration (beta)."""

    signature: dict[str, Any] | None = None
    connection: dict[str, Any] | None = None
    auth: dict[str, Any] | None = None
