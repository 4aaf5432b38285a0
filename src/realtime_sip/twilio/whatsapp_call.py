"""A call to a WhatsApp user over REST."""

from __future__ import annotations

from realtime_sip.errors import CallNotAllowedError, InvalidRequestError
from realtime_sip.outcomes import PermissionVerdict
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.operations import Steps
from realtime_sip.twilio.placed_call import PlacedCall, fields_of, placed
from realtime_sip.twilio.whatsapp_user import WhatsAppUser


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
) -> Steps[PlacedCall]:
    """Check a call against what is permitted, and return the steps that place it.

    Raises:
        CallNotAllowedError: The verdict is no.
        InvalidRequestError: An argument is not valid.
    """
    judged = isinstance(permission, PermissionVerdict)
    problems = {
        "sender": check.whatsapp_sender(sender),
        "permission": None if judged else "must be a verdict of may_call or reserve",
    }
    fields = fields_of(
        "place_call",
        problems,
        url=url,
        twiml=twiml,
        application_sid=application_sid,
        timeout=timeout,
        status_callback=status_callback,
    )
    to = WhatsAppUser.of(user)
    if not permission:
        raise CallNotAllowedError("place_call", permission)
    return placed("whatsapp.place_call", {"From": sender, "To": to.address, **fields})


def checked_sender(sender: object) -> str:
    """Return the address of a sender.

    Raises:
        InvalidRequestError: It is not `whatsapp:` and a number.
    """
    problem = check.whatsapp_sender(sender)
    if problem is not None or not isinstance(sender, str):
        raise InvalidRequestError("sender", (("", str(problem)),))
    return sender
