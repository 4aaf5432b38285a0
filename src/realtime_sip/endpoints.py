"""Where the service is: the API and the SIP endpoint of one region belong together."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import urlsplit

from realtime_sip.errors import ConfigurationError

# A name inside a network of containers may have underscores.
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_HOST = 253
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NO_URL = "the base URL must be an http or https URL, such as https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The API's base URL and the SIP host that a trunk or TwiML dials; both must be of one region.

    Attributes:
        api: Base URL of the REST and WebSocket API, with its version path, without a slash at the end.
        sip: Host of the SIP endpoint, reached by TLS on port 5061.
        key_header: The header that carries the API key; "Authorization" carries it as a bearer token.
    """

    api: str
    sip: str
    key_header: str = "Authorization"

    DEFAULT: ClassVar[Endpoints]
    """`api.openai.com` and `sip.api.openai.com` (telephony guide, November 2026)."""
    EU: ClassVar[Endpoints]
    """European data residency: `sip-eu.api.openai.com`, whose control plane is `eu.api.openai.com`."""
    INDIA: ClassVar[Endpoints]
    """Indian data residency: `sip-in.api.openai.com` (named by one locale of the guide); the API host beside it,
    `in.api.openai.com`, follows the pattern of the others and is not documented: check it before relying on it."""

    def __post_init__(self) -> None:
        """Refuse a base URL that no request could be built from.

        Raises:
            ConfigurationError: `api` is not an http(s) URL, or has a query or credentials; `sip` is no host name, or
                `key_header` no name of a header.
        """
        if not (is_host(self.sip) and _TOKEN.fullmatch(self.key_header)):
            raise ConfigurationError("the SIP host must be a host name, and the key's header the name of a header")
        try:
            parts = urlsplit(self.api)
            usable = parts.port != 0 and parts.scheme in ("http", "https") and is_host(parts.hostname or "")
        except (ValueError, AttributeError):
            raise ConfigurationError(_NO_URL) from None
        if not (usable and self.api.isascii() and self.api.isprintable() and " " not in self.api):
            raise ConfigurationError(_NO_URL)
        if parts.query or parts.fragment or parts.username is not None:
            raise ConfigurationError("the base URL must not have a query, a fragment or credentials")
        if self.api.endswith("/"):
            object.__setattr__(self, "api", self.api.rstrip("/"))

    @property
    def socket(self) -> str:
        """The base URL of the WebSocket API.

        >>> Endpoints.DEFAULT.socket
        'wss://api.openai.com/v1'
        """
        return "ws" + self.api.removeprefix("http")

    @property
    def has_residency(self) -> bool:
        """Whether the API's host is one of OpenAI's with data residency, which costs more with some models.

        >>> Endpoints.EU.has_residency, Endpoints.DEFAULT.has_residency
        (True, False)
        """
        return (urlsplit(self.api).hostname or "").removesuffix(".").endswith(".api.openai.com")

    def sip_uri(self, project: str) -> str:
        """Return the SIP URI that a trunk or TwiML dials to reach `project` (SIP guide, November 2026).

        >>> Endpoints.EU.sip_uri("proj_abc123")
        'sip:proj_abc123@sip-eu.api.openai.com;transport=tls'

        Raises:
            ConfigurationError: `project` is not a project id (`proj_…`).
        """
        if not re.fullmatch(r"proj_[A-Za-z0-9_-]{1,128}", project):
            raise ConfigurationError("a project id starts with 'proj_' and has letters, digits, '_' and '-' only")
        return f"sip:{project}@{self.sip};transport=tls"

    @classmethod
    def azure(cls, resource: str, *, region: str) -> Self:
        """Return the hosts of an Azure OpenAI resource.

        Paths start with `/openai/v1` and the key rides in `api-key`. SIP is offered in `eastus2` and `swedencentral`,
        and a call's project is "proj_" and the resource's internal id (Azure documentation, November 2026).

        Raises:
            ConfigurationError: `resource` or `region` is not a DNS label.
        """
        for name, label in (("resource", resource), ("region", region)):
            if not _LABEL.fullmatch(label):
                raise ConfigurationError(f"the Azure {name} must be its bare name, without dots or slashes")
        return cls(
            api=f"https://{resource}.openai.azure.com/openai/v1",
            sip=f"{region}.sip.ai.azure.com",
            key_header="api-key",
        )


def is_host(host: str) -> bool:
    """Whether `host` is a name or an address (RFC 3986 3.2.2), an IPv6 address without its brackets."""
    labels = host.removesuffix(".").split(".")
    try:
        if ":" in host:
            ipaddress.IPv6Address(host)
            return "%" not in host  # no zone: it means something on one machine only
        # Else its last label would begin with a letter (RFC 3261 25.1).
        if labels[-1].isdecimal():
            ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return len(host) <= _MAX_HOST and all(_HOST_LABEL.fullmatch(label) for label in labels)


Endpoints.DEFAULT = Endpoints(api="https://api.openai.com/v1", sip="sip.api.openai.com")
Endpoints.EU = Endpoints(api="https://eu.api.openai.com/v1", sip="sip-eu.api.openai.com")
Endpoints.INDIA = Endpoints(api="https://in.api.openai.com/v1", sip="sip-in.api.openai.com")
