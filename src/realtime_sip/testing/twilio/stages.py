"""What comes next in a call: another document, its end, or an interruption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from realtime_sip.testing.twilio.legs import LegStatus
from realtime_sip.testing.twilio.record import RequestKind
from realtime_sip.testing.twilio.twiml import Document

__all__ = ["End", "Gone", "Interrupted", "Redirected", "Restored", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """The place a document comes from: a URL, the text of a REST request, or it is there already."""

    kind: RequestKind
    url: str = field(default="", repr=False)
    method: str = "POST"
    params: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    twiml: str | None = field(default=None, repr=False)
    document: Document | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The call ends here, whatever verbs are left."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The caller left, or the call was ended over REST; `unanswered` is its status if it was not answered."""

    unanswered: LegStatus


@dataclass(frozen=True, slots=True)
class Redirected:
    """The call was given other TwiML over REST."""

    source: Source


class Interrupted(Exception):  # noqa: N818 - it is no error
    """What a call does is cut short."""

    def __init__(self, what: Gone | Redirected) -> None:
        super().__init__()
        self.what = what


class Restored(Exception):  # noqa: N818 - it is no error
    """The target of a REFER did not answer, and the caller is back with who sent it."""
