"""What the service does: the responses that it makes, the turns of the caller, what it refuses.

- A response that the caller waits for and that fails is asked for twice more, then the model apologizes, then a person
  should help (`Escalation`).
- Events count by their type and ids, known or unknown, and may be missing: no state is without a timer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from realtime_sip import events
from realtime_sip.call.machine import refusals
from realtime_sip.call.machine.effects import Tell
from realtime_sip.call.machine.session import refused as update_refused
from realtime_sip.call.machine.state import (
    CallState,
    End,
    Floor,
    Socket,
    Tool,
    Want,
    answered,
    move,
    send,
)
from realtime_sip.call.machine.tools import covered, item_refused, take_calls, to_answer, tool_of_item, tools_hold
from realtime_sip.call.machine.wants import CREATED, NOBODYS, TAG, respond, speech_ended
from realtime_sip.call.record.frame import get, has, items, text
from realtime_sip.call.record.responses import Response
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.outcomes import Heard, RefusalKind
from realtime_sip.response import ResponseConfig

BUSY = "conversation_already_has_active_response"

RESPONSE = 60.0
"""Seconds for any sign of the active response."""
PLAYED = 10.0
"""Seconds for the end of a response whose audio was played."""
CALLED = 5.0
"""Seconds for the end of a response that called a tool and said nothing."""
CALLER = 60.0
"""Seconds for the end of the caller's words."""
OWN_RESPONSE = 1.0
"""Seconds for the response that turn detection starts after the caller's words."""
UNKNOWN = 2.0
"""Seconds for an event that shows what the service does, if nothing else does."""

_MAX_TRIES = 8
_MAX_FAILURES = 2
"""How often a response that failed is asked for again."""
_SORRY = (
    "Something went wrong while you were answering. Tell the caller so in one short sentence, without details, and ask "
    "how you can help. Do not use any tool."
)


# --- what the service does --------------------------------------------------------------------------------------------


def begin(s: CallState, response_id: str, why: str) -> None:
    """Record which response is being made in the conversation."""
    s.active = response_id
    for timer in ("unknown", "played", "called"):
        s.timers.stop(timer)
    s.timers.set("active", s.now + RESPONSE)
    move(s, Floor.MODEL, why)


def presume(s: CallState, why: str) -> None:
    """Assume for a short time that a response is active of which nothing is known."""
    s.active = ""
    free(s, why, floor=Floor.UNKNOWN)
    s.timers.set("unknown", s.now + UNKNOWN)


def free(s: CallState, why: str, *, floor: Floor = Floor.IDLE) -> None:
    """Record that no response is known to be made."""
    s.active = ""
    for timer in ("active", "unknown", "played", "called"):
        s.timers.stop(timer)
    move(s, Floor.ASKED if floor is Floor.IDLE and "response" in s.asks else floor, why)


def sign(s: CallState, response_id: str) -> bool:
    """Record a sign of a response, even if its `response.created` was lost or came before we attached.

    Return whether more than its time changed.
    """
    response = s.book.get(response_id)
    known = response is not None
    if response is not None:
        if response.over:
            return False
        response.seen_at = s.now
        if s.active == response_id:
            return False
    else:
        response = s.book.seen(response_id, s.now)
    if response.made_at is None and not response.outside and not s.active:
        if s.floor is Floor.UNKNOWN:
            _abandon(s, besides=response)
        begin(s, response_id, "it shows a sign of life")
        return True
    return not known


def _abandon(s: CallState, *, besides: Response | None = None) -> None:
    for response in s.book.open.values():
        if response is not besides and response.made_at is None and not response.outside:
            s.book.abandoned(response, s.now)


def on_created(s: CallState, event: events.ServerEvent) -> None:
    shown = get(event, "response")
    response_id, key = text(shown, "id"), text(shown, "metadata", TAG) or None
    if not response_id:
        presume(s, "a response without an id was created")
        return
    if s.book.is_over(response_id):
        return
    known = response_id in s.book.open
    response = s.book.created({"id": response_id, **_place(shown)}, key, s.now)
    asked = s.asks.get("response")
    if asked is not None and key is None:
        asked.untagged = True
    if response.outside:
        answered(s, f"beside {key}")
        if s.active == response_id:
            free(s, "it is not part of the conversation")
        return
    begin(s, response_id, "created")
    s.timers.stop("own")
    if s.hold.on and key is None and not known:
        # Turn detection may be faster than the update that told it to start no response. This one answers nothing: it
        # is stopped as soon as it is certain that it is not ours.
        s.stray = response_id
        maybe_beside = not has(shown, "conversation_id") and any(name.startswith("beside ") for name in s.asks)
        if asked is None and not maybe_beside and not any(want.maybe_sent for want in s.wants):
            stop_stray(s)
        return
    if asked is not None and asked.want is not None and key == asked.want.key == response.key:
        _granted(s, asked.want)
    else:
        # The service's own, or from before the connection was lost: it knows what is in the conversation.
        for want in [want for want in s.wants if want.maybe_sent and want.key == key == response.key]:
            s.wants.remove(want)
        covered(s, {tool for tool in to_answer(s) if s.tools[tool] is Tool.KNOWN})
    s.tries = 0


def _granted(s: CallState, want: Want) -> None:
    answered(s, "response")
    covered(s, want.covers)


def _place(shown: object) -> dict[str, object]:
    return {"conversation_id": get(shown, "conversation_id")} if has(shown, "conversation_id") else {}


def stop_stray(s: CallState) -> None:
    """Stop a response that the service started during a hold, but not what the caller still hears of another."""
    stray, s.stray = s.stray, ""
    if not stray or stray != s.active or not s.hold.on:
        return
    send(s, events.ResponseCancel(response_id=stray))
    if all(response_id == stray for response_id in s.book.open):
        send(s, events.OutputAudioBufferClear())


def on_done(s: CallState, event: events.ServerEvent) -> None:
    shown = get(event, "response")
    response_id, key = text(shown, "id") or s.active, text(shown, "metadata", TAG) or None
    asked = s.asks.get("response")
    known = s.book.get(response_id)
    first = known is None or known.told_at is None
    new = bool(response_id) and (known is None or known.key in (None, key))
    if asked is not None and asked.want is not None and key == asked.want.key and new:
        _granted(s, asked.want)  # its `response.created` was lost
    elif asked is not None and asked.untagged:
        # If this one is not ours, the service refused ours, or starts it now.
        s.timers.set("ask response", min(s.timers.at("ask response") or s.now, s.now + UNKNOWN))
    if s.floor is Floor.UNKNOWN or (s.active and s.active == response_id):
        free(s, "done")
    else:
        _still(s)
    if not response_id:
        return
    response = s.book.done(shown, s.now, key=key)
    _made_meanwhile(s, response)
    if response.over and response.key is not None and response.heard is not None:
        speech_ended(s, response.key, response.heard)  # whose it was is known only now
    live = not response.outside and not response.over
    s.sounded = s.sounded or (live and response.has_spoken)
    called = live and (take_calls(s, items(shown, "output")) or tools_hold(s))
    if first:
        # Of one that nothing else has shown, nobody knows whether the caller waits for it.
        live = live and not called and (known is not None or response.key is not None or response.status != "completed")
        _see_to(s, response, refusals.kind_of(s, response, called=called), live=live)


def _made_meanwhile(s: CallState, response: Response) -> None:
    """Do not ask again for a response that was made while the sideband was lost."""
    for want in [want for want in s.wants if want.maybe_sent and want.key == response.key]:
        s.wants.remove(want)
        covered(s, want.covers)


def _see_to(s: CallState, response: Response, kind: RefusalKind | None, *, live: bool) -> None:
    """Tell what the service did not do, and leave no caller who waits for an answer in silence."""
    awaited = response.key is not None and not response.key.startswith(NOBODYS)
    if kind is None:
        if live and not awaited and response.has_spoken and response.status == "completed":
            s.failures = 0
        return
    # Whoever waits for its speech learns of it. What the service starts by itself may have nothing to say: once.
    chosen = kind is RefusalKind.NOTHING_TO_HEAR and response.key is None
    spoke = response.has_spoken and kind is RefusalKind.INCOMPLETE
    if not live or awaited or spoke or (chosen and s.failures) or s.hold.on or s.end is not End.NONE or s.leaving:
        refusals.of_response(s, response, kind, again=False)
        return
    s.failures += 1
    again = kind is not RefusalKind.QUOTA and s.failures <= _MAX_FAILURES
    refusals.of_response(s, response, kind, again=again)
    if again:
        s.tools[f"again {response.id}"] = Tool.KNOWN
        s.timers.set("again", s.now + 2.0 ** (s.failures - 1))
    elif kind is RefusalKind.QUOTA or s.failures > _MAX_FAILURES + 1:
        s.out.append(Tell(Escalation(EscalationCause.RESPONSE_FAILURES, s.failures)))
    else:
        respond(s, f"notice_{secrets.token_hex(8)}", _SORRY, ResponseConfig(tool_choice="none"))


def on_output_item(s: CallState, event: events.ServerEvent) -> bool:
    """Record the calls in what the model makes. Of a message, only the book keeps anything, and `sign` has."""
    if s.book.is_outside(text(event, "response_id")):
        return False
    item = get(event, "item")
    kind = text(item, "type")
    if kind == "message":
        return False
    if kind == "function_call" and (text(item, "status") or "in_progress") == "in_progress":
        tool_of_item(s, text(item, "id"))
    called = take_calls(s, [item], begun=event.type.endswith(".added"))
    response = s.book.get(text(event, "response_id"))
    if called and response is not None and response.id == s.active and not response.has_spoken:
        s.timers.set("called", s.now + CALLED)
    return True


def on_delta(s: CallState, event: events.ServerEvent) -> bool:
    """Record a piece of what is said. Only the book changes."""
    delta = getattr(event, "delta", None)
    response_id = getattr(event, "response_id", None)
    if isinstance(delta, str) and isinstance(response_id, str):
        response = s.book.get(response_id)  # `sign` has entered it
        if response is not None and not response.over:
            response.spoke(len(delta), s.now, aloud=event.type == "response.output_audio_transcript.delta")
    return False


def on_playing(s: CallState, event: events.ServerEvent) -> None:
    s.book.started(text(event, "response_id"), s.now)
    s.session.voiced = True


def on_played(s: CallState, event: events.ServerEvent) -> None:
    response_id = text(event, "response_id")
    s.book.stopped(response_id, s.now)
    s.session.voiced = True
    if s.active and s.active == response_id:
        # A response that was played was made; if its end does not come soon, that was lost.
        s.timers.set("played", s.now + PLAYED)


def on_cleared(s: CallState, event: events.ServerEvent) -> None:
    s.book.cleared(text(event, "response_id"), s.now)
    s.session.voiced = True
    s.interruptions += 1


def on_caller_begins(s: CallState, _event: events.ServerEvent) -> None:
    s.timers.set("caller", s.now + CALLER)


def on_caller_ends(s: CallState, _event: events.ServerEvent) -> None:
    s.timers.stop("caller")
    if s.service_responds:
        s.timers.set("own", s.now + OWN_RESPONSE)


def on_caller_dropped(s: CallState, _event: events.ServerEvent) -> None:
    s.timers.stop("caller")


def on_error(s: CallState, event: events.ServerEvent) -> None:
    error = get(event, "error")
    code, cause = get(error, "code"), text(error, "event_id")
    if update_refused(s, error, cause) or item_refused(s, error, cause):
        return
    if f"beside {cause}" in s.asks:
        answered(s, f"beside {cause}")
        refusals.of_event(s, error)
        speech_ended(s, cause, Heard.FAILED)
        return
    asked = s.asks.get("response")
    if asked is None or asked.want is None or not (cause == asked.want.key or (not cause and code == BUSY)):
        refusals.of_event(s, error)
        return
    want = asked.want
    if s.floor is Floor.ASKED and code == BUSY:
        presume(s, "it says that another response is active")
    want.tries += 1
    if code != BUSY or want.tries >= _MAX_TRIES:
        _ask_failed(s, error)
        return
    answered(s, "response")
    _still(s)
    if want.maybe_sent:
        # What is active is most likely the response that was asked for before the connection was lost.
        covered(s, want.covers)
        speech_ended(s, want.key, Heard.ASSUMED)
        return
    if want.answers:
        s.tries = want.tries  # what is to be answered stays so
    else:
        s.wants.appendleft(want)
    stop_stray(s)


def _still(s: CallState) -> None:
    """Leave `ASKED` if nothing is asked for any more."""
    if s.floor is Floor.ASKED and "response" not in s.asks:
        free(s, "what was asked for is settled")


def _ask_failed(s: CallState, error: object = None) -> None:
    """Give up what we asked for; an answer to tools is tried a few times more, for the caller waits for it.

    `error` is the service's; None if it neither granted nor refused it.
    """
    asked = answered(s, "response")
    assert asked is not None
    assert asked.want is not None
    _still(s)
    given_up = s.failures >= _MAX_FAILURES or asked.want.tries >= _MAX_TRIES or refusals.is_hopeless(error)
    refusals.of_event(s, error, again=asked.want.answers and not given_up)
    if asked.want.answers:
        s.failures += 1
        s.timers.set("again", s.now + 2.0 ** (s.failures - 1))
        if given_up:
            for tool in to_answer(s):
                del s.tools[tool]
            s.out.append(Tell(Escalation(EscalationCause.RESPONSE_FAILURES, s.failures)))
            s.tries = s.failures = 0
            s.timers.stop("again")
    speech_ended(s, asked.want.key, Heard.FAILED)


# --- after the sideband was lost --------------------------------------------------------------------------------------


def attached_again(s: CallState) -> None:
    """Want the response again that was asked for, and presume for a moment that another is active."""
    s.timers.stop("caller")
    asked = answered(s, "response")
    if asked is not None and asked.want is not None:
        asked.want.maybe_sent = True
        s.wants.appendleft(asked.want)
    presume(s, "nothing was replayed")
    s.timers.set("own", s.now + UNKNOWN)


# --- what time does ---------------------------------------------------------------------------------------------------


def late(s: CallState, name: str) -> None:
    """Give up an ask: it was neither granted nor refused in time."""
    asked = s.asks[name]
    if name != "response":
        answered(s, name)
        speech_ended(s, name.partition(" ")[2], Heard.FAILED)
        return
    deaf = s.line.frames == asked.frames and "deaf" in s.timers
    if deaf or s.socket is not Socket.OPEN:
        # The socket is what is to blame, and over a new one it is asked for again.
        s.timers.set("ask response", s.now + CREATED)
    elif asked.untagged:
        # A response without our tag was ours all the same: nothing has refused it.
        answered(s, name)
        _still(s)
        assert asked.want is not None
        covered(s, asked.want.covers)
        speech_ended(s, asked.want.key, Heard.ASSUMED)
    else:
        _ask_failed(s)


def no_sign(s: CallState, timer: str) -> None:
    """Give up the active response, unless a sign of it has come since the timer was set."""
    window = {"active": RESPONSE, "unknown": UNKNOWN, "played": PLAYED, "called": CALLED}[timer]
    response = s.book.get(s.active)
    if response is not None and timer == "called" and response.has_spoken:
        return
    if response is not None and response.seen_at + window > s.now:
        s.timers.set(timer, response.seen_at + window)
        return
    if response is None:
        _abandon(s)
    else:
        s.book.abandoned(response, s.now)
    free(s, "no sign of it")


HANDLERS: dict[str, Callable[[CallState, events.ServerEvent], object]] = {
    "response.created": on_created,
    "response.done": on_done,
    "response.output_item.added": on_output_item,
    "response.output_item.done": on_output_item,
    "response.output_audio_transcript.delta": on_delta,
    "response.output_text.delta": on_delta,
    "response.function_call_arguments.delta": on_delta,
    "response.mcp_call_arguments.delta": on_delta,
    "input_audio_buffer.speech_started": on_caller_begins,
    "input_audio_buffer.speech_stopped": on_caller_ends,
    "input_audio_buffer.committed": on_caller_ends,
    "input_audio_buffer.timeout_triggered": on_caller_ends,
    "input_audio_buffer.cleared": on_caller_dropped,
    "output_audio_buffer.started": on_playing,
    "output_audio_buffer.stopped": on_played,
    "output_audio_buffer.cleared": on_cleared,
    "error": on_error,
}
