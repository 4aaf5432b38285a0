"""Messages of the emulated account: created over REST, delivered a little later, each status reported."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from realtime_sip.testing.twilio.courier import new_sid
from realtime_sip.testing.twilio.legs import Callback, written
from realtime_sip.testing.twilio.record import TwilioRefusal

if TYPE_CHECKING:
    from realtime_sip.testing.twilio.switchboard import Switchboard

__all__ = ["Message"]

_ADDRESS = re.compile(r"(?:whatsapp:)?\+[1-9][0-9]{6,14}")
_USER_ID = re.compile(r"whatsapp:[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}")


class Message:
    """One message, and its statuses: queued, sent, delivered.

    Raises:
        TwilioRefusal: Twilio takes no such message.
    """

    def __init__(self, form: dict[str, str], board: Switchboard) -> None:
        self.sid = new_sid("SM")
        self.to, self.from_ = form.get("To", ""), form.get("From", "")
        self.body = form.get("Body", "")
        self.content_sid = form.get("ContentSid", "")
        self.variables = _checked(form, taken=board.behavior.user_id_recipients == "taken")
        self.status = "queued"
        self.callback = Callback.of(form.get("StatusCallback", ""), "POST", ())
        self.created = board.clock.unix()
        self._service = form.get("MessagingServiceSid")
        self._board = board

    async def deliver(self) -> None:
        """Send it, and report how far it is."""
        await self._report()
        for status in ("sent", "delivered"):
            await self._board.clock.sleep(self._board.timings.message_delivery)
            self.status = status
            await self._report()
            self._board.changes.notify()

    def shown(self) -> dict[str, Any]:
        """Return the resource as REST shows it."""
        account = self._board.account_sid
        path = f"/2010-04-01/Accounts/{account}/Messages/{self.sid}"
        return {
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": written(self.created),
            "date_sent": None if self.status == "queued" else written(self.created),
            "date_updated": written(self.created),
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
            "from": self.from_ or None,
            "messaging_service_sid": self._service,
            "num_media": "0",
            "num_segments": "1",
            "price": None,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{path}/Media.json"},
            "to": self.to,
            "uri": f"{path}.json",
        }

    async def _report(self) -> None:
        if self.callback is None:
            return
        params = {
            "MessageSid": self.sid,
            "SmsSid": self.sid,
            "MessageStatus": self.status,
            "SmsStatus": self.status,
            "From": self.from_,
            "To": self.to,
            "AccountSid": self._board.account_sid,
            "ApiVersion": "2010-04-01",
        }
        for _ in range(self._board.behavior.status_copies):
            await self._board.courier.request("message", self.callback.url, params, log=[])


def _checked(form: dict[str, str], *, taken: bool) -> Any:
    """Return the content variables."""
    to, from_ = form.get("To", ""), form.get("From", "")
    if not to:
        raise TwilioRefusal(21604, "A 'To' phone number is required.")
    if not from_ and not form.get("MessagingServiceSid"):
        raise TwilioRefusal(21603, "A 'From' phone number is required.")
    if not any(form.get(name) for name in ("Body", "ContentSid", "MediaUrl")):
        raise TwilioRefusal(21602, "Message body is required.")
    if not _ADDRESS.fullmatch(to) and not (taken and _USER_ID.fullmatch(to)):
        raise TwilioRefusal(21211, "The 'To' number is not a valid phone number.")
    if from_ and from_.startswith("whatsapp:") != to.startswith("whatsapp:"):
        raise TwilioRefusal(21910, "Invalid 'From' and 'To' pair: they must be of the same channel.")
    variables = form.get("ContentVariables")
    if variables is None:
        return {}
    try:
        read = json.loads(variables)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise TwilioRefusal(21656, "The ContentVariables parameter is invalid.")
    return read
