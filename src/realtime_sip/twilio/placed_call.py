"""A call that is placed over REST, and what is done with it then: requests as steps."""

from __future__ import annotations

from collections.abc import Mapping

from realtime_sip.api.operations import Repeat
from realtime_sip.outcomes import CallAnswered
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.call_webhooks import call_answered
from realtime_sip.twilio.inline import document_of
from realtime_sip.twilio.machine_detection import MachineDetection
from realtime_sip.twilio.operations import API, Steps, ask, checked_sid, form, get, segment
from realtime_sip.twilio.records import Made
from realtime_sip.twilio.status import is_final

PROGRESS = ("initiated", "ringing", "answered", "completed")
_MIN_RING, _MAX_RING = 5, 600
_MAX_CALL = 24 * 3600
_MAX_DIGITS = 32


class PlacedCall(Made):
    """A call that was placed.

    Attributes:
        sid: `CA…`.
        status: "queued" at first; callbacks tell the rest.
        answered_by: What machine detection found, in Twilio's word, or None.
    """

    status: str | None = None
    answered_by: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it is over."""
        return is_final(self.status)

    @property
    def answered(self) -> CallAnswered | None:
        """Who answered, as machine detection found, or None."""
        return None if self.answered_by is None else call_answered(self.answered_by)


def fields_of(
    what: str,
    problems: Mapping[str, str | None],
    *,
    url: str | None,
    twiml: object,
    application_sid: str | None,
    timeout: int | None,
    status_callback: str | None,
) -> dict[str, object]:
    """Return the fields that all calls have, checked together with other problems.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    given = [each for each in (url, twiml, application_sid) if each is not None]
    more = {
        "url": None if url is None else check.whole_url(url),
        "status_callback": None if status_callback is None else check.whole_url(status_callback),
        "timeout": None if timeout is None else check.seconds(timeout, _MIN_RING, _MAX_RING),
        "": None if len(given) == 1 else "pass one of url, twiml and application_sid",
    }
    check.refuse(what, {**problems, **more})
    return {
        "Url": url,
        "Twiml": None if twiml is None else document_of(twiml),
        "ApplicationSid": None if application_sid is None else checked_sid(application_sid, "AP", "application_sid"),
        "Timeout": timeout,
        "StatusCallback": status_callback,
        # Repeated, one field each: Twilio takes no list here (alert 21626).
        "StatusCallbackEvent": None if status_callback is None else PROGRESS,
    }


def placed(name: str, fields: Mapping[str, object]) -> Steps[PlacedCall]:
    """Return the steps that place a call: one, which is never repeated after a timeout or a 5xx."""
    return ask(form(name, f"{API}/Calls.json", fields, PlacedCall))


def place(
    from_: str,
    to: str,
    *,
    url: str | None,
    twiml: object,
    application_sid: str | None,
    machine_detection: MachineDetection | None,
    send_digits: str | None,
    timeout: int | None,
    time_limit: int | None,
    status_callback: str | None,
) -> Steps[PlacedCall]:
    """Return the steps that call a phone.

    Raises:
        InvalidRequestError: An argument is not valid.
    """
    detects = machine_detection is None or isinstance(machine_detection, MachineDetection)
    problems = {
        "from_": check.number(from_),
        "to": check.number(to),
        "machine_detection": None if detects else "must be a MachineDetection",
        "send_digits": None if send_digits is None else check.digits(send_digits, _MAX_DIGITS),
        "time_limit": None if time_limit is None else check.seconds(time_limit, 1, _MAX_CALL),
    }
    common = fields_of(
        "calls.place",
        problems,
        url=url,
        twiml=twiml,
        application_sid=application_sid,
        timeout=timeout,
        status_callback=status_callback,
    )
    detection = {} if machine_detection is None else machine_detection.to_form()
    more = {"SendDigits": send_digits, "TimeLimit": time_limit}
    return placed("calls.place", {"From": from_, "To": to, **common, **detection, **more})


def fetch(sid: str) -> Steps[PlacedCall]:
    """Return the steps that read a call."""
    return ask(get("calls.fetch", _path(sid), PlacedCall))


def redirect(sid: str, twiml: object) -> Steps[PlacedCall]:
    """Return the steps that give a call other TwiML: one, not repeated unless Twilio says that it did not act.

    Raises:
        InvalidRequestError: It is no SID, or no TwiML.
    """
    return ask(form("calls.redirect", _path(sid), {"Twiml": document_of(twiml)}, PlacedCall))


def end(sid: str) -> Steps[PlacedCall]:
    """Return the steps that end a call."""
    return ask(form("calls.end", _path(sid), {"Status": "completed"}, PlacedCall, repeat=Repeat.ANY))


def _path(sid: str) -> str:
    return f"{API}/Calls/{segment(checked_sid(sid, 'CA', 'call'))}.json"
