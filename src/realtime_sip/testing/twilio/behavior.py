"""How the emulated Twilio behaves: its timings, and which way it goes if nobody knows the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TwilioBehavior", "TwilioTimings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioTimings:
    """All durations, in seconds of the emulator's clock unless said otherwise (divided by its `speed`).

    `child_closes`, `old_action` and `new_document` were measured by another project. `webhook` and `dial_slack` are
    documented. The others are plausible values that no source states.
    """

    webhook: float = 15.0
    """How long a webhook's answer is waited for, in all."""
    child_closes: float = 0.2
    """From a redirect by REST until the leg that was dialed is closed."""
    old_action: float = 0.1
    """From then until the old Dial's `action` is requested."""
    new_document: float = 0.35
    """From then until the new document is requested, or begins."""
    dial_slack: float = 5.0
    """What Twilio adds to Dial's `timeout`."""
    setup: float = 0.3
    """From Dial until the dialed leg rings."""
    spoken_characters_per_second: float = 15.0
    """The pace of Say."""
    played: float = 3.0
    """How long a sound of Play lasts."""
    message: float = 8.0
    """How long a caller speaks after Record."""
    recording: float = 1.0
    """From the end of what was recorded until its status callback."""
    message_delivery: float = 1.0
    """From one status of a message to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioBehavior:
    """Switches for situations in which Twilio's behavior is unknown, reported both ways, or set in its console."""

    enhanced_sip: bool = True
    """The console's switch "Enhanced Programmable SIP Features". Without it no REFER is carried out; with it a Dial may
    hold several `<Sip>` (documented). Twilio's own default is off."""
    answer_to_html: Literal["refused", "taken"] = "refused"
    """A document of the type `text/html` is refused with 12300 (support page), or taken for TwiML (an old page)."""
    webhook_retries: int = 1
    """How often a webhook is repeated that could not be connected to. One retry is documented; which failures count is
    not: here those without an answer. `#rc=` in the URL overrides it."""
    empty_action: Literal["none", "document"] = "none"
    """`action=""` means that there is no action, or the URL of the document, as a relative URL would have it. Twilio's
    own page for Flex writes `<Enqueue action="">`, and says neither; the page on Enqueue has "none" as the default."""
    declined: Literal["busy", "failed", "no-answer", "canceled"] = "busy"
    """`DialCallStatus` after SIP 603, and other 6xx but 600 and 604 (not found in any source)."""
    action_after_caller: Literal["in-progress", "completed", "none"] = "in-progress"
    """`CallStatus` in Dial's `action` after the caller hung up, or that there is no request. By reports nothing in the
    data tells this end from one by our own redirect, whose `CallStatus` is "in-progress"."""
    caller_gave_up: Literal["no-answer", "canceled", "completed"] = "no-answer"
    """The final status of an inbound call whose caller gives up while it rings (not documented)."""
    action_after_refer: bool = False
    """Whether the `action` of the Dial is requested too after a REFER took the caller away (not found). Its answer is
    then ignored."""
    refer_call_sid: Literal["parent", "child"] = "parent"
    """Whose `CallSid` the request to `referUrl` has; that of the child has `ParentCallSid` too. The page says "standard
    voice parameters", and not whose."""
    refer_target_in_brackets: bool = True
    """Whether `ReferTransferTarget` is `<sip:…>`, as reported, or the bare URI."""
    colon_code: int = 13224
    """The code for a `callerId` with a colon towards `<Sip>`: 13224 by the only report, 13214 by the page of codes."""
    phone_network_code: int = 13224
    """The code for a WhatsApp call to the phone network. It is refused (documented); the code is in no source."""
    unencrypted: Literal["fails", "works"] = "fails"
    """What a `<Sip>` to OpenAI without `transport=tls` does. It goes by UDP, "reported as not working"."""
    invite_call_sid: Literal["child", "parent"] = "child"
    """Whose SID `X-Twilio-CallSid` of the INVITE is: the child's, as far as field code shows."""
    status_callbacks: Literal["in order", "reversed"] = "in order"
    """The order in which the status callbacks of one leg arrive. None is guaranteed (documented): "reversed" holds them
    back until the leg is over."""
    status_copies: int = 1
    """How often each status callback arrives."""
    redirect_while_ringing: Literal["taken", "refused"] = "taken"
    """Whether a call that was not answered yet can be given other TwiML by REST, or gets 21220 as one that is over."""
    whatsapp_calls: Literal["checked", "taken"] = "checked"
    """Calls to WhatsApp users need a sender of the account with a TwiML App (37008, 37009), not of a country that is
    banned (37007), and the user's permission (37000), with no call up (37003) and less than five connected within 24
    hours (37006); or each is taken, without `account.whatsapp.own` and `permit_calls`."""
    user_id_recipients: Literal["refused", "taken"] = "refused"
    """Whether a WhatsApp user id can be written to and called. A message was refused with 21211 (reported in June
    2026); that calls are too is inferred, since no page has such a recipient."""
