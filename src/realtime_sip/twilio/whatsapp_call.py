"""A call to a WhatsApp user over REST."""

from __future__ import annotations

from realtime_sip.errors import CallNotAllowedError, InvalidRequestError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.operations import API, Steps, ask, checked_sid, form
from realtime_sip.twilio.records import Made
from realtime_sip.twilio.whatsapp_user import WhatsAppUser

PROGRESS = ("initiated", "ringing", "answered", "completed")
_MIN_RING, _MAX_RING = 5, 600


class WhatsAppCall(Made):
    """A call that was placed.

    Attributes:
        sid: `CA…`.
        status: "queued" at first; callbacks tell the rest.
    """

    status: str | None = None


def place_call(
    sender: str,
    user: str | WhatsAppUser,
    permission: PermissionVerdict,
    *,
    url: str | None,
    twiml: object,
    application_sid: str | None,
    timeout: int | None,
    status_callback: str | None,
) -> Steps[WhatsAppCall]:
    """Check a call against what is permitted, and return the steps that place it: one, which is never repeated after a
    timeout or a 5xx.

    Raises:
        CallNotAllowedError: The verdict is no.
        InvalidRequestError: An argument is not valid.
    """
    from realtime_sip.twilio.rest import document_of  # with Twilio's own client, which nothing else here needs

    given = [each for each in (url, twiml, application_sid) if each is not None]
    whole = isinstance(url, str) and url.startswith(("http://", "https://"))
    problems = {
        "sender": check.whatsapp_sender(sender),
        "url": None if url is None or (whole and check.url(url) is None) else "must be a whole http or https URL",
        "status_callback": check.url(status_callback),
        "timeout": None if timeout is None else check.seconds(timeout, _MIN_RING, _MAX_RING),
        "": None if len(given) == 1 else "pass one of url, twiml and application_sid",
        "permission": None if isinstance(permission, PermissionVerdict) else "must be a verdict of may_call or reserve",
    }
    check.refuse("place_call", problems)
    to = WhatsAppUser.of(user)
    if not permission:
        raise CallNotAllowedError("place_call", permission)
    fields = {
        "From": sender,
        "To": to.address,
        "Url": url,
        "Twiml": None if twiml is None else document_of(twiml),
        "ApplicationSid": None if application_sid is None else checked_sid(application_sid, "AP", "application_sid"),
        "Timeout": timeout,
        "StatusCallback": status_callback,
        # Repeated, one field each: Twilio takes no list here (alert 21626).
        "StatusCallbackEvent": None if status_callback is None else PROGRESS,
    }
    return ask(form("whatsapp.place_call", f"{API}/Calls.json", fields, WhatsAppCall))


def checked_sender(sender: object) -> str:
    """Return the address of a sender.

    Raises:
        InvalidRequestError: It is not `whatsapp:` and a number.
    """
    problem = check.whatsapp_sender(sender)
    if problem is not None or not isinstance(sender, str):
        raise InvalidRequestError("sender", (("", str(problem)),))
    return sender
