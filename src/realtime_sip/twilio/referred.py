"""`transfer_to`: the TwiML for a caller who is transferred, by where the target leads and how the caller came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args
from urllib.parse import quote

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip.address import SipUri
from realtime_sip.twilio import arguments as check
from realtime_sip.twilio.address import TwilioChannel
from realtime_sip.twilio.answers import enqueue_flex
from realtime_sip.twilio.elements import CallProgress, Dial, VoiceResponse
from realtime_sip.twilio.refer_target import ReferTarget
from realtime_sip.twilio.to_openai import MAX_CALL, MAX_RING, MIN_RING, AnyResponse, response_of
from realtime_sip.twilio.uri import is_header

_REPORTED: tuple[CallProgress, ...] = ("answered", "completed")
_TO_PHONES = ".pstn.twilio.com"
"""Twilio's own way from SIP to the phone network."""
_MAX_NAME = 121
"""Characters of the identity of an app that Twilio takes."""


def transfer_to(
    target: ReferTarget | SipUri,
    *,
    channel: TwilioChannel | None,
    caller_id: str | None = None,
    task: Mapping[str, Any] | None = None,
    timeout: int | None = None,
    time_limit: int | None = None,
    action: str | None = None,
    status_callback: str | None = None,
    into: AnyResponse | None = None,
) -> AnyResponse:
    """Return a response that connects the caller to the target of a transfer.

    A caller on the phone is connected to a number, an app, a SIP address or a queue. A caller on WhatsApp is never
    connected to the phone network, which Twilio refuses (November 2026): a number is refused here, and so is a SIP
    address that certainly leads there, by `user=phone` or at `pstn.twilio.com`.

    Args:
        target: Of the REFER, `asked.target`; or of a fallback, `request.target.uri`. `sip:anna@client.invalid` is the
            app of "anna", and `sip:support@queue.invalid` the queue "support", or that of Flex if the name is the SID
            of a workflow (`WW…`). Headers inside of a SIP URI go on to whoever answers, as far as Twilio passes them.
        channel: How the caller came. If None, no number is dialed.
        caller_id: What the target sees as the caller: `asked.sip_caller_id`, or a number of yours. WhatsApp callers
            need one, since their own has a colon; callers from SIP and from apps need one to a number. A number is
            shown only a number.
        task: Attributes of the task, for a queue of Flex; anything else shows nobody a task.
        timeout: Seconds to ring, 5 to 600; 30 if left out.
        time_limit: Seconds that the call may last; four hours if left out.
        action: The URL that Twilio asks when it is over, or did not come about.
        status_callback: The URL to which Twilio posts that the target answered, and how its call ended; pass that to
            `CallHost.carrier`. Give a whole one: by a report Twilio refuses a path (21609). A queue has none.
        into: The response to append to; a new one if left out.

    >>> from realtime_sip.twilio.webhooks import ReferTarget
    >>> target = ReferTarget.parse("<sip:anna@client.invalid>")
    >>> print(transfer_to(target, channel="whatsapp", caller_id="+5511987650001").to_xml(xml_declaration=False))
    <Response><Dial callerId="+5511987650001"><Client>anna</Client></Dial></Response>

    Raises:
        InvalidRequestError: The target cannot be read, or this caller cannot be connected to it, or another argument is
            not valid. Nothing was appended.
    """
    response = response_of("transfer_to", into)
    if isinstance(target, SipUri):
        target = ReferTarget.parse(str(target))
    check.refuse(
        "transfer_to",
        {
            "target": _unreachable(target, channel) if isinstance(target, ReferTarget) else "must be a ReferTarget",
            "channel": None if channel is None else check.one_of(channel, get_args(TwilioChannel)),
            "caller_id": check.sip_caller_id(caller_id),
            "timeout": None if timeout is None else check.seconds(timeout, MIN_RING, MAX_RING),
            "time_limit": None if time_limit is None else check.seconds(time_limit, 1, MAX_CALL),
            "action": check.url(action),
            "status_callback": check.url(status_callback),
        },
    )
    if target.kind == "queue":
        response.append(_queue(target.name or "", task, action))
        return response
    if target.kind == "number" and check.number(caller_id) is not None:
        caller_id = None
    _require_caller_id(target, channel, caller_id)
    dial = VoiceResponse().dial(timeout=timeout, time_limit=time_limit, action=action, caller_id=caller_id)
    _dialed(dial, target, status_callback)
    response.append(dial)
    return response


def _unreachable(target: ReferTarget, channel: TwilioChannel | None) -> str | None:
    """Return why the caller cannot be connected to a target, or None."""
    if target.kind == "none":
        return f"cannot be read: {target.problem}"
    if target.name is not None and (len(target.name) > _MAX_NAME or check.room(target.name) is not None):
        return f"must be named by 1 to {_MAX_NAME} characters, without control characters and without spaces around"
    if not _on_phone_network(target):
        return None
    if channel == "whatsapp":
        return "is on the phone network, which takes no WhatsApp callers"
    return "is on the phone network, and how the caller came is not known" if channel is None else None


def _on_phone_network(target: ReferTarget) -> bool:
    if target.kind != "sip":
        return target.kind == "number"
    uri = SipUri.parse(target.uri or "")
    return (uri.param("user") or "").lower() == "phone" or f".{uri.host}".endswith(_TO_PHONES)


def _require_caller_id(target: ReferTarget, channel: TwilioChannel | None, caller_id: str | None) -> None:
    # Without one Twilio shows the caller's own address: whatsapp:+…, client:… and sip:… are refused.
    own = channel == "phone" or (channel == "sip" and target.kind != "number")
    if caller_id is None and not own:
        needed = "is needed" if target.kind != "number" else "must be a number of yours, as E.164"
        raise InvalidRequestError("transfer_to", (("caller_id", f"{needed}: the caller's own is refused there"),))


def _queue(name: str, task: Mapping[str, Any] | None, action: str | None) -> object:
    if check.sid(name, "WW") is None:
        return enqueue_flex(name, task=task, action="" if action is None else action).verbs[0]
    return VoiceResponse().enqueue(name, action=action)


def _dialed(dial: Dial, target: ReferTarget, status_callback: str | None) -> None:
    events = _REPORTED if status_callback is not None else None
    if target.kind == "number":
        dial.number(target.number or "", status_callback=status_callback, status_callback_event=events)
    elif target.kind == "client":
        dial.client(target.name or "", status_callback=status_callback, status_callback_event=events)
    else:
        passed = [(name, value) for name, value in target.headers if is_header(name)]
        headers = "&".join(f"{name}={quote(value, safe='')}" for name, value in passed)
        uri = f"{target.uri}{'?' if headers else ''}{headers}"
        dial.sip(uri, status_callback=status_callback, status_callback_event=events)
