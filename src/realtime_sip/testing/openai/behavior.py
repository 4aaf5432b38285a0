"""How the emulated service behaves: its timings, and which way it goes if nobody knows the real one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Behavior", "Timings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """All durations, in seconds of the emulator's clock unless said otherwise (divided by its `speed`).

    Users of the service measured `attach`, `transcription` and `early` (field reports, 2026). Both paces of speech come
    from recordings of real sessions. `session` is documented. The others are plausible values that no source states.
    """

    attach: float = 0.6
    """From accept until the sideband opens."""
    ring: float = 20.0
    """How long the phone rings without a decision before the call is given up (5 to 30 s by carrier)."""
    session: float = 3600.0
    """How long a session may last; `expires_at` on the wire is this much after the start on the wall clock."""
    transcription: tuple[float, float] = (0.9, 2.7)
    """The soonest and latest that the caller's words are transcribed after they were said."""
    characters_per_second: float = 7.4
    """The pace of the model's speech: 103 characters in the 279 audio tokens of three recorded responses. Short
    texts are slower: 12 characters took 3.05 s (3.9), 31 took 4.1 s (7.6), 60 took 6.8 s (8.8). `seconds` of a
    `ModelSays` says its length instead."""
    caller_characters_per_second: float = 9.6
    """The pace of the caller's speech: 26 characters in 27 audio tokens (recorded)."""
    first_token: float = 0.3
    """From `response.created` until the first delta."""
    token: float = 0.02
    """Between two deltas; a response is generated faster than it is spoken."""
    turn: float = 0.05
    """From the commit of the caller's words until turn detection starts a response."""
    pause: float = 1.0
    """How long the line must be quiet before the caller does the next thing."""
    digit: float = 0.25
    """Between two digits pressed."""
    mcp_listing: float = 0.5
    """How long an MCP server takes to list its tools."""
    mcp_call: float = 2.0
    """How long an MCP server takes for a call, if the step says nothing else."""
    transfer: float = 1.0
    """From the answer to refer until the caller's leg leaves, or until the target is found to be busy."""
    target_rings: float = 8.0
    """How long the target of a refer rings until it answers, or until it or the caller gives up."""
    patience: float = 10.0
    """How long the caller, or a recording, waits for something that the program is expected to do."""
    webhook_timeout: float = 5.0
    """How long a webhook's answer is waited for ("a few seconds", webhook guide; the number is not published)."""
    webhook_retry: float = 2.0
    """Until the first repetition of a webhook; doubles each time (the numbers are not published)."""
    webhook_give_up: float = 72 * 3600.0
    """How long a webhook is repeated (webhook guide)."""
    least_patience: float = 1.0
    """Seconds of the event loop, however fast the emulator's clock is, that the program under test always gets for its
    part (`ring`, `patience`, `webhook_timeout`), unless the wait itself is set shorter than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """Switches for situations in which the real service's behavior is unknown or reported both ways. Test with each.

    An emulator has one; `OpenAIEmulator.ring` takes another one for a single call.
    """

    end_code: Literal[1000, 1005, 1006] = 1000
    """The close code of the sideband when the call ends. 1005 is a close without a code, 1006 no close frame at all."""
    closes_at_end: bool = True
    """Whether the sideband is closed when the call ends; if not, it stays open and silent."""
    second_attach: Literal["shared", "refused", "superseding"] = "shared"
    """A second sideband for one call gets all events too, is refused (409), or replaces the first."""
    second_decision: Literal[404, 409] = 409
    """The HTTP status of `decision_already_made`."""
    decision_named: bool = True
    """Whether that answer has the code `decision_already_made`. The code is documented only for the Live API."""
    bad_accept: Literal["refused", "believed"] = "refused"
    """Accept with a session that is not valid gets 400; or 200, and then the call is gone (reported in May 2026)."""
    accept: Literal["answers", "lies"] = "answers"
    """Accept with a valid session answers the call; or gets 200, and the call is still gone (reported with sessions in
    which nobody found a mistake)."""
    early: float = 0.0
    """For how long (seconds of the emulator's clock) a call is not found by accept (after the webhook was sent), attach
    and hangup (after accept). Up to 2 s are reported."""
    early_named: bool = True
    """Whether that 404 has the code `call_id_not_found`; else it has no JSON body, like that of a gateway."""
    sideband_after: float = 0.0
    """For how long after accept (seconds of the emulator's clock) attaching gets that 404, while the call is up and
    hangup works. It is reported to take long; nobody knows how long at most."""
    informational: int | None = None
    """The status of a reply, as 103, that comes before the 101 of a sideband."""
    refer: Literal["leaves", "bridged", "busy", "no answer", "given up", "ignored"] = "leaves"
    """What the carrier does after refer was answered 200; no event tells of it, other than the end of the call.

    - "leaves": the caller's leg leaves after `Timings.transfer`, whatever its target does. Twilio does this if the call
      was dialed without `answerOnBridge`.
    - "bridged": the target rings for `Timings.target_rings`, answers, and only then the leg leaves. Twilio does this
      with `answerOnBridge`; only then can a transfer fail in the following ways.
    - "busy": the target is busy. After `Timings.transfer` the caller is back with the model.
    - "no answer": the target rings in vain for `Timings.target_rings`; then the caller is back with the model.
    - "given up": the target rings for `Timings.target_rings`, and the caller hangs up.
    - "ignored": no REFER reaches anybody (reported in May 2026), or the carrier has no `referUrl` and dials nobody
      (Twilio's documentation).

    From the answer to refer until one of these has happened the caller hears ringing, not the model, and the caller's
    steps wait; so does the patience for the model's. Events report whatever the model says meanwhile as if
    it were heard: it is not known whether the service knows better.
    """
    turn_detection_update: Literal["merged", "replaced"] = "merged"
    """Whether settings of turn detection that a `session.update` leaves out stay, while its type does; or whether they
    go back to their defaults. "Omitted fields stay" is said of the session (API reference), not of what is nested."""
    model_update: Literal["refused", "ignored"] = "refused"
    """Whether a `session.update` with another model is refused, or carried out without it. Documented is only that the
    model is fixed."""
    canceled: Literal["answers", "gone"] = "answers"
    """A call that the caller gave up while it rang can still be accepted, and the model talks to nobody (reported);
    or is not found."""
    created_on_sideband: bool = False
    """Whether a sideband begins with `session.created`. Recorded ones do not; one report says that it does."""
    truncation_reported: bool = True
    """Whether `conversation.item.truncated` follows when the caller interrupts the model."""
    busy_names_event: bool = True
    """Whether `conversation_already_has_active_response` names the client's event that it refuses. The guide says that
    errors do; the one that was recorded has null."""
    mcp_listing: Literal["completed", "failed"] = "completed"
    """Whether MCP servers list their tools when a session begins to use them."""
    approval_request: Literal["output", "item"] = "output"
    """An MCP approval request is in the output of the response too, or is only an item of the conversation (from which
    the vendor's example reads it)."""
    mcp_follow_up: Literal["client", "service"] = "client"
    """Who creates the response to an MCP call: the client, after both the call and its response have ended (field
    reports, and the vendor's example), or the service by itself."""
    live_ids: Literal["live", "rtc"] = "live"
    """Whether the Live API's webhook for a call has an id of its own, or the call's."""
