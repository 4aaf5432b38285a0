"""An Elastic SIP trunk as it should be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from realtime_sip.endpoints import Endpoints
from realtime_sip.errors import InvalidRequestError
from realtime_sip.twilio.origination import (
    MAX_FRIENDLY_NAME,
    MAX_ORIGINATION_URLS,
    OriginationUrl,
    flag_problems,
    same_place,
)
from realtime_sip.twilio.termination import Problems, Termination, name_problems, number_problems, of_kind, texts
from realtime_sip.twilio.uri import Edge, openai_uri

TransferMode: TypeAlias = Literal["disable-all", "enable-all", "sip-only"]
"""What a REFER may do: nothing, call anybody, or call SIP addresses alone."""

TransferCallerId: TypeAlias = Literal["from-transferee", "from-transferor"]
"""Whose number the target of a transfer sees: the caller's, or that of the trunk."""

RecordingMode: TypeAlias = Literal[
    "do-not-record",
    "record-from-ringing",
    "record-from-answer",
    "record-from-ringing-dual",
    "record-from-answer-dual",
]
"""From when on calls are recorded; with `-dual` both sides apart."""


@dataclass(frozen=True, slots=True)
class Recording:
    """How the calls of a trunk are recorded, in both directions. Twilio charges for it.

    Raises:
        InvalidRequestError: A word is not one of Twilio's.
    """

    mode: RecordingMode
    trim: Literal["trim-silence", "do-not-trim"] = "do-not-trim"

    def __post_init__(self) -> None:
        problems = word_problems("mode", self.mode, get_args(RecordingMode))
        problems += word_problems("trim", self.trim, ("trim-silence", "do-not-trim"))
        if problems:
            raise InvalidRequestError("recording", tuple(problems))


@dataclass(frozen=True, slots=True)
class Trunk:
    """An Elastic SIP trunk as it should be. Nothing is sent by making one.

    What is None is left as it is; on a new trunk that is Twilio's default. URLs, numbers and lists that are not named
    here stay, unless `prune` is asked for.

    Attributes:
        friendly_name: Its name, by which it is found: no other trunk of the account has it.
        origination: Where calls to its numbers go, ten URLs at most.
        numbers: The numbers of the account that belong to it, in E.164 with the plus.
        secure: Whether calls are TLS and SRTP or rejected. Each origination URL needs `;transport=tls` then.
        transfer_mode: What a REFER may do. Without it `call.transfer` cannot work over a trunk.
        transfer_caller_id: Whose number the target sees.
        cnam_lookup_enabled: Whether the caller's name is looked up, for callers in the US and Canada, at a price for
            each lookup. `incoming.caller_name` has it.
        recording: How calls are recorded.
        disaster_recovery_url: Where TwiML is that is done when no origination URL took the call; "" removes it. Twilio
            charges for it as for Programmable Voice.
        disaster_recovery_method: How that is requested.
        termination: How a PBX of your own places calls. OpenAI needs none.

    Raises:
        InvalidRequestError: Twilio would refuse it, or calls could not work; all problems are named.
    """

    friendly_name: str
    _: KW_ONLY
    origination: Sequence[OriginationUrl] = ()
    numbers: Sequence[str] = field(default=(), repr=False)
    secure: bool | None = None
    transfer_mode: TransferMode | None = None
    transfer_caller_id: TransferCallerId | None = None
    cnam_lookup_enabled: bool | None = None
    recording: Recording | None = None
    disaster_recovery_url: str | None = field(default=None, repr=False)
    disaster_recovery_method: Literal["GET", "POST"] = "POST"
    termination: Termination | None = None

    def __post_init__(self) -> None:
        problems = name_problems(self.friendly_name, MAX_FRIENDLY_NAME)
        origination = of_kind(self.origination, OriginationUrl)
        if origination is None:
            problems.append(("origination", "must be a list of OriginationUrl"))
        else:
            object.__setattr__(self, "origination", origination)
            problems += _origination_problems(origination, secure=self.secure is True)
        problems += _number_problems(self.numbers)
        object.__setattr__(self, "numbers", texts(self.numbers))
        if self.numbers and origination is not None and not any(url.enabled for url in origination):
            problems.append(("origination", "numbers need a URL that is enabled: calls would fail (Twilio's 32010)"))
        for name in ("secure", "cnam_lookup_enabled"):
            problems += flag_problems(name, getattr(self, name), (True, False, None))
        problems += _word_problems(self)
        for name, kind in (("recording", Recording), ("termination", Termination)):
            if not isinstance(getattr(self, name), (kind, type(None))):
                problems.append((name, f"must be a {kind.__name__}"))
        problems += _url_problems("disaster_recovery_url", self.disaster_recovery_url)
        if problems:
            raise InvalidRequestError("trunk", tuple(problems))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What Twilio takes, and advises against."""
        found = []
        if self.termination is not None and not self.termination.credential_lists:
            found.append("an IP access control list alone does not protect against some attacks: add a credential list")
        if self.transfer_mode == "sip-only":
            found.append("transfers to phone numbers are refused with sip-only: enable-all lets them through")
        return tuple(found)


def for_openai(
    project_id: str,
    *,
    friendly_name: str = "OpenAI",
    numbers: Iterable[str] = (),
    host: Endpoints | str = Endpoints.DEFAULT,
    edge: Edge | None = None,
    headers: Mapping[str, str] | None = None,
) -> Trunk:
    """Return the trunk that sends the calls of `numbers` to an OpenAI project: TLS, SRTP, and transfers by REFER.

    For more, such as a second URL or a disaster recovery URL, use `dataclasses.replace`.

    Args:
        project_id: The project's id (`proj_…`).
        friendly_name: The trunk's name.
        numbers: The numbers of the account that the agent answers.
        host: OpenAI's SIP host; that of a region if the project's data has to stay there.
        edge: Where Twilio hands the calls over; where they came in if left out.
        headers: `X-…` headers that each call carries, the same ones.

    Raises:
        ConfigurationError: It is no project id, or the host is not OpenAI's SIP host.
        InvalidRequestError: Anything else is not valid.

    >>> for_openai("proj_abc123", edge="dublin").origination[0].sip_url
    'sip:proj_abc123@sip.api.openai.com;transport=tls;edge=dublin'
    """
    return Trunk(
        friendly_name,
        origination=(OriginationUrl(openai_uri(project_id, host=host, edge=edge, headers=headers)),),
        numbers=texts(numbers) if not isinstance(numbers, str) else (numbers,),
        secure=True,
        transfer_mode="enable-all",
        transfer_caller_id="from-transferee",
    )


def _origination_problems(urls: Sequence[OriginationUrl], *, secure: bool) -> Problems:
    problems: Problems = []
    if len(urls) > MAX_ORIGINATION_URLS:
        problems.append(("origination", f"a trunk has {MAX_ORIGINATION_URLS} URLs at most"))
    if len({same_place(url.sip_url) for url in urls}) < len(urls):
        problems.append(("origination", "has a URL twice: give it more weight"))
    for number, url in enumerate(urls):
        if secure and (url.uri.param("transport") or "").lower() != "tls":
            problems.append((f"origination.{number}", "a secure trunk uses TLS alone: add ;transport=tls"))
    return problems


def _number_problems(numbers: object) -> Problems:
    found = texts(numbers)
    if isinstance(numbers, str) or not isinstance(numbers, Iterable):
        return [("numbers", "must be a list of numbers")]
    wrong = number_problems("numbers", found)
    return wrong or ([("numbers", "has a number twice")] if len(set(found)) < len(found) else [])


def _word_problems(trunk: Trunk) -> Problems:
    problems = word_problems("disaster_recovery_method", trunk.disaster_recovery_method, ("GET", "POST"))
    if trunk.transfer_mode is not None:
        problems += word_problems("transfer_mode", trunk.transfer_mode, get_args(TransferMode))
    if trunk.transfer_caller_id is not None:
        problems += word_problems("transfer_caller_id", trunk.transfer_caller_id, get_args(TransferCallerId))
    return problems


def word_problems(place: str, word: object, known: tuple[str, ...]) -> Problems:
    return [] if word in known else [(place, f"must be one of {', '.join(known)}")]


def _url_problems(place: str, url: object) -> Problems:
    if url is None or url == "":
        return []
    try:
        good = isinstance(url, str) and urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        good = False
    return [] if good else [(place, "must be a whole http or https URL")]
