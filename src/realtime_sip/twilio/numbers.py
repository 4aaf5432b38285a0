"""Phone numbers at Twilio: found, bought, released, and led to a URL, a TwiML App or a trunk.

    account.numbers.route_to("+14155550199", voice_url="https://voice.example.com/twilio/voice")

`account.numbers` has the same methods on `TwilioAccount` and, to be awaited, on `AsyncTwilioAccount`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from realtime_sip.api.operations import Repeat, Reply, unexpected
from realtime_sip.errors import InvalidRequestError, MissingExtraError, NetworkError, ServerError, ServiceError
from realtime_sip.sip.address import e164
from realtime_sip.twilio.operations import (
    API,
    PRICING,
    TRUNKING,
    Steps,
    ask,
    checked_sid,
    delete,
    form,
    get,
    listed,
    may_have_acted,
    segment,
)
from realtime_sip.twilio.records import AvailablePhoneNumber, OriginationRecord, PhoneNumber, PriceRecord, Route
from realtime_sip.twilio.webhook_rules import delivery

__all__ = ["AsyncNumbers", "AvailablePhoneNumber", "NumberFace", "Numbers", "PhoneNumber", "Rerouted", "Route"]

NumberType: TypeAlias = Literal["local", "mobile", "national", "toll-free"]

_PATHS = {"local": "Local", "mobile": "Mobile", "national": "National", "toll-free": "TollFree"}
_CONTAINS = re.compile(r"[0-9A-Za-z*%+$]{1,32}")
_MAX_SEARCH = 100


@dataclass(frozen=True, slots=True)
class Rerouted:
    """A number that calls were led elsewhere from.

    Attributes:
        number: The number as it is now.
        before: What calls to it did.
        after: What they do now.
        warnings: What Twilio's webhook configuration changes about requests to the new URL.
    """

    number: PhoneNumber
    before: Route
    after: Route
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number.phone_number}: was {self.before}, is {self.after}"


def owned(number: str) -> Steps[PhoneNumber | None]:
    """Return a number of the account, or None."""
    asked = {"PhoneNumber": _checked_number(number)}
    found = yield from listed(
        "numbers.find", f"{API}/IncomingPhoneNumbers.json", "incoming_phone_numbers", PhoneNumber, asked
    )
    # Twilio also finds numbers that the text is a part of.
    return next((each for each in found if each.phone_number == number), None)


def monthly_price(number: PhoneNumber) -> Steps[str | None]:
    """Return what a number costs a month, as "1.15 USD", or None if Twilio's prices do not say."""
    country = country_of(number.phone_number)
    if country is None:
        return None
    path = f"{PRICING}/PhoneNumbers/Countries/{segment(country)}"
    try:
        prices = yield from ask(get("numbers.price", path, PriceRecord))
    except (ServiceError, NetworkError):
        return None
    kind = _bare(number.type or "")
    for price in prices.phone_number_prices or []:
        if isinstance(price, dict) and _bare(str(price.get("number_type"))) == kind and price.get("current_price"):
            return f"{price['current_price']} {prices.price_unit or ''}".strip()[:40]
    return None


def _list() -> Steps[list[PhoneNumber]]:
    return (
        yield from listed("numbers.list", f"{API}/IncomingPhoneNumbers.json", "incoming_phone_numbers", PhoneNumber)
    )


def _search(
    country: str, kind: str, area_code: int | None, contains: str | None, limit: int
) -> Steps[list[AvailablePhoneNumber]]:
    problems = []
    if not isinstance(country, str) or not re.fullmatch("[A-Z]{2}", country):
        problems.append(("country", "must be two letters, as US (ISO 3166-1)"))
    if kind not in _PATHS:
        problems.append(("type", f"must be one of {', '.join(_PATHS)}"))
    if area_code is not None and (country not in ("US", "CA") or not re.fullmatch("[2-9][0-9]{2}", str(area_code))):
        problems.append(("area_code", "has three digits, and is for the US and Canada alone: use contains elsewhere"))
    if contains is not None and not (isinstance(contains, str) and _CONTAINS.fullmatch(contains)):
        problems.append(("contains", "must be digits, letters, and * for any digit"))
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MAX_SEARCH:
        problems.append(("limit", f"must be 1 to {_MAX_SEARCH}"))
    if problems:
        raise InvalidRequestError("numbers.search", tuple(problems))
    path = f"{API}/AvailablePhoneNumbers/{country}/{_PATHS[kind]}.json"
    query = {"VoiceEnabled": True, "AreaCode": area_code, "Contains": contains}
    return listed("numbers.search", path, "available_phone_numbers", AvailablePhoneNumber, query, most=limit)


def _buy(number: str, friendly_name: str | None, address_sid: str | None, bundle_sid: str | None) -> Steps[PhoneNumber]:
    fields = {
        "PhoneNumber": _checked_number(number),
        "FriendlyName": friendly_name,
        "AddressSid": address_sid and checked_sid(address_sid, "AD", "address_sid"),
        "BundleSid": bundle_sid and checked_sid(bundle_sid, "BU", "bundle_sid"),
    }
    return _bought(number, fields)


def _bought(number: str, fields: dict[str, str | None]) -> Steps[PhoneNumber]:
    have = yield from owned(number)
    if have is not None:
        return have
    try:
        return (yield from ask(form("numbers.buy", f"{API}/IncomingPhoneNumbers.json", fields, PhoneNumber)))
    except (NetworkError, ServerError) as error:
        if not may_have_acted(error):
            raise
        have = yield from owned(number)
        if have is None:
            raise
        return have


def _mine(number: str) -> Steps[PhoneNumber]:
    found = yield from owned(number)
    if found is None:
        raise InvalidRequestError("number", (("", "is not one of the account's: buy it first"),))
    return found


def _release(number: str) -> Steps[PhoneNumber]:
    found = yield from _mine(number)
    yield from delete("numbers.release", f"{API}/IncomingPhoneNumbers/{segment(found.sid)}.json")
    return found


def _detach(number: str) -> Steps[Rerouted]:
    found = yield from _mine(number)
    if not found.trunk_sid:
        return Rerouted(found, found.route, found.route)
    path = f"{TRUNKING}/Trunks/{segment(found.trunk_sid)}/PhoneNumbers/{segment(found.sid)}"
    yield from delete("numbers.detach", path)
    now = yield from ask(get("numbers.fetch", f"{API}/IncomingPhoneNumbers/{segment(found.sid)}.json", PhoneNumber))
    return Rerouted(now, found.route, now.route)


def rerouting(before: PhoneNumber, to: Route, method: str = "POST", fallback_url: str | None = None) -> dict[str, str]:
    """Return what to post so that calls to a number go elsewhere: a trunk and an app push each other out by themselves,
    a URL pushes out neither."""
    if to.kind == "trunk":
        return {"TrunkSid": to.target}
    if to.kind == "application":
        return {"VoiceApplicationSid": to.target}
    fields = {"VoiceUrl": to.target, "VoiceMethod": method}
    if fallback_url is not None:
        fields["VoiceFallbackUrl"] = fallback_url
    if before.trunk_sid:
        fields["TrunkSid"] = ""
    if before.voice_application_sid:
        fields["VoiceApplicationSid"] = ""
    return fields


def _route_to(number: str, to: Route, method: str, fallback_url: str | None) -> Steps[Rerouted]:
    found = yield from _mine(number)
    if not found.takes_calls:
        raise InvalidRequestError("number", (("", "takes no calls: it has no voice capability"),))
    if to.kind == "trunk":
        yield from _check_trunk(to.target)
    said = (yield from delivery(to.target)) if to.kind == "url" else []
    path = f"{API}/IncomingPhoneNumbers/{segment(found.sid)}.json"
    fields = rerouting(found, to, method, fallback_url)
    now = yield from ask(form("numbers.route", path, fields, PhoneNumber, repeat=Repeat.ANY))
    if now.route != to:
        raise unexpected(Reply(200, {}), f"numbers.route: calls go to {now.route.kind} all the same")
    return Rerouted(now, found.route, now.route, tuple(said))


def _check_trunk(sid: str) -> Steps[None]:
    path = f"{TRUNKING}/Trunks/{segment(sid)}/OriginationUrls"
    urls = yield from listed("trunks.origination_urls", path, "origination_urls", OriginationRecord)
    if not any(url.enabled for url in urls):
        problem = "the trunk has no origination URL that is enabled: calls would fail (Twilio's 32010)"
        raise InvalidRequestError("route", (("trunk_sid", problem),))


def _target(voice_url: object, application_sid: object, trunk_sid: object) -> Route:
    given = [each for each in (voice_url, application_sid, trunk_sid) if each is not None]
    if len(given) != 1:
        raise InvalidRequestError("route", (("", "pass one of voice_url, application_sid and trunk_sid"),))
    if trunk_sid is not None:
        return Route("trunk", checked_sid(trunk_sid, "TK", "trunk_sid"))
    if application_sid is not None:
        return Route("application", checked_sid(application_sid, "AP", "application_sid"))
    return Route("url", checked_url(voice_url, "voice_url"))


def checked_url(url: object, place: str) -> str:
    """Return a URL that Twilio can request.

    Raises:
        InvalidRequestError: It cannot.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not isinstance(url, str) or not good:
        raise InvalidRequestError("route", ((place, "must be a whole http or https URL"),))
    return url


def _checked_number(number: object) -> str:
    if not isinstance(number, str) or e164(number) != number:
        raise InvalidRequestError("number", (("", "must be in E.164 with the plus, as +14155550100"),))
    return number


def country_of(number: str) -> str | None:
    """Return the country of a number in E.164, as two letters (ISO 3166-1), or None.

    Raises:
        MissingExtraError: phonenumbers is not installed.
    """
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtraError("phonenumbers", "twilio") from None
    try:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
    return country if isinstance(country, str) and re.fullmatch("[A-Z]{2}", country) else None


def _bare(kind: str) -> str:
    return re.sub("[^a-z]", "", kind.lower())


_Listed = TypeVar("_Listed")
_Searched = TypeVar("_Searched")
_Number = TypeVar("_Number")
_Rerouted = TypeVar("_Rerouted")


class NumberFace(Generic[_Listed, _Searched, _Number, _Rerouted]):
    """`account.numbers`. What its methods return is awaited on `AsyncTwilioAccount`."""

    def __init__(self, run: Callable[[Steps[Any]], Any]) -> None:
        self._run = run

    def list(self) -> _Listed:
        """Return the numbers of the account, each with what calls to it do.

        Raises:
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        found: _Listed = self._run(_list())
        return found

    def search(
        self,
        country: str,
        *,
        type: NumberType = "local",  # noqa: A002 - Twilio's word
        area_code: int | None = None,
        contains: str | None = None,
        limit: int = 20,
    ) -> _Searched:
        """Return numbers that can be bought and called.

        Args:
            country: Two letters, as "US".
            type: The kind of number. Not each country has each.
            area_code: Three digits, in the US and Canada.
            contains: Digits that it has, `*` for any.
            limit: 1 to 100.

        Raises:
            InvalidRequestError: An argument is not valid; nothing was sent.
            NotFoundError: Twilio sells no such numbers in that country.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        found: _Searched = self._run(_search(country, type, area_code, contains, limit))
        return found

    def buy(
        self,
        number: str,
        *,
        friendly_name: str | None = None,
        address_sid: str | None = None,
        bundle_sid: str | None = None,
    ) -> _Number:
        """Buy a number, unless the account has it already. It costs money each month until it is released.

        It is never asked for twice: if no answer comes, the account's numbers say whether it was bought.

        Raises:
            InvalidRequestError: An argument is not valid; nothing was sent.
            NumberUnavailableError: Somebody else has it.
            RegulationError: Its country asks for an address or a bundle.
            TrialAccountError: A trial account has one number.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        bought: _Number = self._run(_buy(number, friendly_name, address_sid, bundle_sid))
        return bought

    def release(self, number: str) -> _Number:
        """Give a number back, and return it as it was. Somebody else may buy it then.

        Raises:
            InvalidRequestError: It is not one of the account's.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        _checked_number(number)
        released: _Number = self._run(_release(number))
        return released

    def route_to(
        self,
        number: str,
        *,
        voice_url: str | None = None,
        voice_method: Literal["POST", "GET"] = "POST",
        voice_fallback_url: str | None = None,
        application_sid: str | None = None,
        trunk_sid: str | None = None,
    ) -> _Rerouted:
        """Lead calls to a number to one of a voice URL, a TwiML App and a trunk; each takes the place of the others.

        Args:
            number: A number of the account.
            voice_url: Where your TwiML is.
            voice_method: How it is requested.
            voice_fallback_url: Requested if the TwiML cannot be had; left as it is if left out.
            application_sid: A TwiML App, `AP…`.
            trunk_sid: An Elastic SIP trunk, `TK…`. Then no voice webhook is asked any more.

        Returns:
            What calls did before and do now, and what Twilio's webhook configuration changes about requests to the URL.

        Raises:
            InvalidRequestError: An argument is not valid, it is no number of the account that takes calls, or the trunk
                has no origination URL that is enabled.
            UnexpectedReplyError: Twilio says yes, and calls go elsewhere all the same.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        to = _target(voice_url, application_sid, trunk_sid)
        _checked_number(number)
        if voice_method not in ("POST", "GET"):
            raise InvalidRequestError("route", (("voice_method", "must be POST or GET"),))
        if voice_fallback_url is not None:
            checked_url(voice_fallback_url, "voice_fallback_url")
        rerouted: _Rerouted = self._run(_route_to(number, to, voice_method, voice_fallback_url))
        return rerouted

    def attach(self, number: str, trunk_sid: str) -> _Rerouted:
        """Let a trunk have the calls to a number, as `route_to(number, trunk_sid=…)`."""
        return self.route_to(number, trunk_sid=trunk_sid)

    def detach(self, number: str) -> _Rerouted:
        """Take a number off its trunk. Then calls do what the number's own settings say, and it goes on costing.

        Raises:
            InvalidRequestError: It is not one of the account's.
            NetworkError, ServiceError: Twilio cannot be reached, or refuses.
        """
        _checked_number(number)
        rerouted: _Rerouted = self._run(_detach(number))
        return rerouted


Numbers: TypeAlias = NumberFace[list[PhoneNumber], list[AvailablePhoneNumber], PhoneNumber, Rerouted]
"""`account.numbers`, blocking."""

AsyncNumbers: TypeAlias = NumberFace[
    Coroutine[Any, Any, list[PhoneNumber]],
    Coroutine[Any, Any, list[AvailablePhoneNumber]],
    Coroutine[Any, Any, PhoneNumber],
    Coroutine[Any, Any, Rerouted],
]
"""`account.numbers`, async."""
