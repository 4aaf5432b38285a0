"""What we want to be said: when it is its turn, how much of it was heard, and the answer to tools.

One response at a time writes to the conversation, though the service starts some by itself. Ours is asked for if none
is active and the caller does not speak; if both sides ask at once, the refusal is expected and ours waits. The answer
to tools is not queued: it is due if some output was not taken up and no tool is running. Speech is over when it was
heard or cut off, or when its response ended without any; in any case some time later.
"""

from __future__ import annotations

import secrets

from realtime_sip import events
from realtime_sip.call.machine.effects import Done, Tell
from realtime_sip.call.machine.inputs import AwaitQuiet
from realtime_sip.call.machine.sequences import AFTER_SPEECH, start
from realtime_sip.call.machine.session import release, tell
from realtime_sip.call.machine.state import CallState, End, Floor, Socket, Steps, Want, ask, move, remember, send
from realtime_sip.call.machine.tools import to_answer, tools_hold
from realtime_sip.call.record.struggle import Escalation, EscalationCause
from realtime_sip.outcomes import Heard, LimitKind, LimitNear
from realtime_sip.response import ResponseConfig

TAG = "realtime_sip"
"""The metadata key that marks our responses, so that they are known among those that the service starts."""
NOBODYS = ("answer_", "notice_")
"""The beginnings of keys whose speech only the caller waits for: answers to tools, and what the core has said."""

PROGRESS = "progress_"
"""How keys begin of what is said while a tool runs: nothing waits for it, and it answers nothing."""

CREATED = 10.0
"""Seconds for `response.created` after asking for a response."""
DEAF = 60.0
"""Seconds for the same while nothing at all comes: longer than a dead socket takes to be replaced."""
_UNHEARD_GREETING = 10.0
"""Seconds for the program to ask for a greeting."""


def respond(
    s: CallState,
    key: str,
    instructions: str | None = None,
    config: ResponseConfig | None = None,
    *,
    despite_hold: bool = False,
) -> None:
    """Want a response. `instructions` add to the session's own; on the wire they would replace them."""
    config = config or ResponseConfig()
    if instructions is not None:
        own = s.session.instructions
        if s.session.has_prompt and own is None:
            tell(s, instructions)  # only the service has the text of the prompt: a message adds to it
        else:
            whole = f"{own}\n\n{instructions}" if own else instructions
            config = config.model_copy(update={"instructions": whole})
    tagged = config.model_copy(update={"metadata": {**(config.metadata or {}), TAG: key}})
    if config.conversation == "none":
        ask(s, f"beside {key}", events.ResponseCreate(event_id=key, response=tagged), CREATED)
    else:
        s.wants.append(Want(key, tagged, despite_hold=despite_hold))


def give_up(s: CallState, key: str) -> None:
    """Give up the response that waits under this key: it would come too late."""
    for want in s.wants:
        if want.key == key:
            s.wants.remove(want)
            speech_ended(s, key, Heard.NOT_AT_ALL)
            return


def withdraw(s: CallState) -> None:
    """Give up everything that was not asked for yet, answers to tools too: the call is about to end."""
    for want in [*s.wants]:
        give_up(s, want.key)
    for tool in to_answer(s):
        del s.tools[tool]
    s.failures = s.tries = 0


def interrupt(s: CallState) -> None:
    """Stop what is being made and what is being heard."""
    going_on = bool(s.active) or s.floor is Floor.UNKNOWN or "response" in s.asks
    if going_on:
        # Without an id it also stops what we asked for just now.
        send(s, events.ResponseCancel(response_id=s.active) if s.active else events.ResponseCancel())
    if going_on or s.book.audible or any(r.audible and r.heard is None for r in s.book.open.values()):
        send(s, events.OutputAudioBufferClear())
    s.book.cut_off(s.now)


def speech_ended(s: CallState, key: str, heard: Heard) -> None:
    """Record that a speech is over, once: another response may turn out to have been the one that was asked for."""
    if remember(s.told, key, heard):
        s.out.append(Done(key, heard))


def speaking(s: CallState) -> bool:
    """Whether a response is wanted now, being made, or being heard."""
    wanted = "response" in s.asks or any(want.despite_hold or not s.hold.on for want in s.wants)
    return wanted or s.floor is not Floor.IDLE or s.book.speaking


def busy(s: CallState) -> bool:
    """Whether anything is going on, so that silence does not count."""
    return speaking(s) or "caller" in s.timers or tools_hold(s) or bool(to_answer(s)) or s.digits.collector is not None


def await_quiet(s: CallState, what: AwaitQuiet) -> None:
    """Wait until nothing is being said, and nothing waits to be."""
    start(s, f"quiet {what.key}", _quiet(s, what.key))


def _quiet(s: CallState, key: str) -> Steps:
    yield lambda: not speaking(s), AFTER_SPEECH
    s.out.append(Done(key, None))


def greeting(s: CallState) -> Steps:
    """Restore turn detection after the first speech that the program asks for."""
    yield lambda: s.socket is Socket.OPEN, None
    yield lambda: speaking(s), _UNHEARD_GREETING
    yield lambda: not speaking(s) and not s.hold.on, AFTER_SPEECH
    release(s, "greeting")


# --- what follows -----------------------------------------------------------------------------------------------------


def rule_speech(s: CallState) -> bool:
    """Resolve each speech that was heard."""
    for response in s.book.expire(s.now):
        if response.key is not None and response.heard is not None:
            speech_ended(s, response.key, response.heard)
    next_over = min((over for _, _, over in s.book.ends()), default=None)
    if next_over is None:
        s.timers.stop("heard")
    else:
        s.timers.set("heard", next_over)
    return False


def rule_ask(s: CallState) -> bool:
    """Ask for a response if it is its turn."""
    if s.socket is not Socket.OPEN or s.floor is not Floor.IDLE or s.end is End.ENDING:
        return False
    if s.end is End.TRANSFERRING:
        goodbye = next((want.key for want in s.wants if want.key.startswith("goodbye_")), None)
        if goodbye is not None:
            give_up(s, goodbye)  # somebody else is about to take the caller
            return True
    if "caller" in s.timers or "own" in s.timers:
        return False
    want = next((want for want in s.wants if want.despite_hold or not s.hold.on), None)
    if want is not None:
        s.wants.remove(want)
        if want.maybe_sent and want.answers and not to_answer(s):
            return True  # a response that the service started meanwhile answered
    elif s.hold.on or tools_hold(s) or not to_answer(s) or "again" in s.timers:
        return False
    else:
        want = _answer(s)
        if want is None:
            return True
    event = events.ResponseCreate(event_id=want.key, response=want.config)
    want.covers = frozenset() if want.key.startswith(PROGRESS) else frozenset(to_answer(s))
    ask(s, "response", event, CREATED, want=want)
    s.timers.set("deaf", s.now + DEAF)
    move(s, Floor.ASKED, want.key.partition("_")[0])
    return True


_STOP = (
    "You have called tools many times in a row without the caller saying anything. Call none now: tell the caller in "
    "one or two sentences what you know, and ask how to go on."
)


def _answer(s: CallState) -> Want | None:
    """Return what to ask for as the answer to tools; None if there have been too many rounds of them."""
    key = f"answer_{secrets.token_hex(8)}"
    config = ResponseConfig(metadata={TAG: key})
    if s.tries == 0 and any(not tool.startswith("again ") for tool in to_answer(s)):
        s.rounds += 1
    most = s.limits.tool_rounds
    if most is not None and s.rounds > most:
        for tool in to_answer(s):
            del s.tools[tool]
        s.out.append(Tell(Escalation(EscalationCause.TOOL_ROUNDS, s.rounds)))
        s.timers.set("limit tool rounds", s.now)
        return None
    if most is not None and s.rounds == most:
        s.out.append(Tell(LimitNear(LimitKind.TOOL_ROUNDS, None)))
        own = s.session.instructions
        instructions = f"{own}\n\n{_STOP}" if own else _STOP
        config = config.model_copy(update={"instructions": instructions, "tool_choice": "none"})
    elif s.session.forces_tools:
        config = config.model_copy(update={"tool_choice": "auto"})
    return Want(key, config, tries=s.tries)
